/* norm_support.h -- what the tests of norms of images share: the weights that tests/oracle/norms.py has. */
#ifndef TG_TESTS_NORM_SUPPORT_H
#define TG_TESTS_NORM_SUPPORT_H

#include "layer_reference.h"

/* Weights x (2 images of 3 x 4, 6 channels), gain and bias, in this order. */
static inline void norm_golden_weights(harness *h)
{
    float *x = h->weight[0].param.data, *gain = h->weight[1].param.data, *bias = h->weight[2].param.data;
    assert_int_equal(harness_values(h, 0), 2 * 3 * 4 * 6);
    for (size_t n = 0, at = 0; n < 2; n++)
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 4; j++)
                for (size_t c = 0; c < 6; c++)
                    x[at++] = (float)(sin((double)(1 + 7 * n + 3 * c + 2 * i + j)) + (double)c / 2);
    for (size_t c = 0; c < 6; c++) {
        gain[c] = (float)(1 + (double)c / 7);
        bias[c] = (float)((double)c / 5 - 0.3);
    }
}

#endif
