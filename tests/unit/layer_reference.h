/* layer_reference.h -- a layer in the harness against a plain reference in double: values, and gradients against central
 * differences of the reference. */
#ifndef TG_TESTS_LAYER_REFERENCE_H
#define TG_TESTS_LAYER_REFERENCE_H

#include <omp.h>

#include "base/isa.h"
#include "layer_harness.h"

#define REFERENCE_PLACES 60     /* values probed of a weight; */
#define REFERENCE_FEW_PLACES 4  /* as many where the reference is slow */
#define REFERENCE_SLOW 100000
#define FP32_TOLERANCE 2e-5     /* both of the value or, if that is larger, the root mean square of all */
#define BF16_TOLERANCE 1e-2     /* 8 significant bits, and two roundings where gradients are added */
#define FP16_TOLERANCE 1.25e-3  /* 11 significant bits */

/* Every format of activations, and how near a layer's results come to the reference. */
static const struct {
    tg_format format;
    double tolerance;
} reference_formats[] = {{TG_F32, FP32_TOLERANCE}, {TG_BF16, BF16_TOLERANCE}, {TG_F16, FP16_TOLERANCE}};
#define REFERENCE_FORMATS 3

/* y <- the layer's output for the weights (inputs among them, in the order they were made). */
typedef void reference_function(double *y, const harness *h, double *const *weight);

typedef struct reference {
    reference_function *forward;
    double tolerance;
} reference;

static inline double reference_loss(const harness *h, const reference *r, double *const *weight, double *y)
{
    double loss = 0;
    r->forward(y, h, weight);
    for (size_t i = 0; i < h->output_values[0]; i++)
        loss += y[i] * (double)harness_probe_value(0, i);
    for (size_t i = 0; i < h->output_values[1]; i++) /* harness_probe(h, y, x) with the first input as x */
        loss += weight[0][i] * (double)harness_probe_value(1, i);
    return loss;
}

static inline void reference_check_weight(const harness *h, const reference *r, double *const *weight, double *y,
                                          size_t w)
{
    const size_t n = harness_values(h, (int)w);
    const tg_key key = tg_key_make(41, w, 0, 0);
    const double rms = sqrt(tg_kernels_get()->sum_squares(h->grad[w], n) / (double)n);
    const uint32_t places = h->output_values[0] > REFERENCE_SLOW ? REFERENCE_FEW_PLACES : REFERENCE_PLACES;
    for (uint32_t p = 0; p < places; p++) {
        const size_t i = n <= places ? p % n : (size_t)tg_random_below(key, p, n);
        const double before = weight[w][i], step = 1e-5;
        weight[w][i] = before + step;
        const double up = reference_loss(h, r, weight, y);
        weight[w][i] = before - step;
        const double down = reference_loss(h, r, weight, y);
        weight[w][i] = before;
        const double numeric = (up - down) / (2 * step), analytic = (double)h->grad[w][i];
        if (!(fabs(analytic - numeric) <= r->tolerance * fmax(fmax(rms, fabs(numeric)), 1e-2)))
            fail_msg("d %s[%zu] is %.9g, by differences %.9g (rms %.3g)", h->weight[w].param.name, i, analytic, numeric,
                     rms);
    }
    assert_int_equal(h->completed[w], h->weight[w].param.frozen ? 0 : 1);
    assert_int_equal(h->rejected[w], 0);
}

/* Runs the harness and compares output 0 and every weight's gradient. */
static inline void reference_check(harness *h, const reference *r)
{
    double *weight[HARNESS_WEIGHTS];
    harness_run(h);
    double *y = calloc(h->output_values[0], sizeof *y);
    for (size_t w = 0; w < h->model.weights; w++) {
        const size_t n = harness_values(h, (int)w);
        float *values = malloc(n * sizeof *values);
        weight[w] = malloc(n * sizeof *weight[w]);
        tg_kernels_get()->widen(values, h->weight[w].param.data, h->weight[w].param.format, n);
        for (size_t i = 0; i < n; i++)
            weight[w][i] = (double)values[i];
        free(values);
    }
    r->forward(y, h, weight);
    const double rms = sqrt(tg_kernels_get()->sum_squares(h->output[0], h->output_values[0]) / (double)h->output_values[0]);
    for (size_t i = 0; i < h->output_values[0]; i++)
        if (!(fabs((double)h->output[0][i] - y[i]) <= r->tolerance * fmax(rms, fabs(y[i]))))
            fail_msg("output %zu is %.9g, should be %.9g (rms %.3g)", i, (double)h->output[0][i], y[i], rms);
    for (size_t w = 0; w < h->model.weights && h->graph->mode == TG_TRAIN; w++)
        reference_check_weight(h, r, weight, y, w);
    for (size_t w = 0; w < h->model.weights; w++)
        free(weight[w]);
    free(y);
}

/* ---- a layer that does nothing, but spoils a gradient on its way back ---- */

static float poison_value;

static tg_status poison_forward(const tg_call *call)
{
    const tg_tensor *shape = call->out_shape[0];
    memcpy(call->out[0], call->in[0], shape->rows * shape->cols * tg_format_bytes(shape->format));
    return TG_OK;
}

static tg_status poison_backward(const tg_call *call)
{
    const tg_tensor *shape = call->out_shape[0];
    const size_t n = shape->rows * shape->cols, place = n / 3;
    memcpy(call->din[0], call->dout[0], n * tg_format_bytes(shape->format));
    void *spoilt = (char *)call->din[0] + place * tg_format_bytes(shape->format);
    tg_kernels_get()->narrow(spoilt, &poison_value, shape->format, 1);
    return TG_OK;
}

static const tg_layer poison_layer = {
    .info = {.name = "poison"}, .forward = poison_forward, .backward = poison_backward};

static inline int reference_poison(harness *h, int x, float value)
{
    const tg_tensor shape = h->graph->tensor[x];
    const int y = tg_graph_tensor(h->graph, shape.format, shape.rows, shape.cols);
    tg_op *op = tg_graph_op(h->graph, &poison_layer, "poison");
    assert_non_null(op);
    op->input[0] = x;
    op->output[0] = y;
    poison_value = value;
    return y;
}

/* A bad gradient of y: the weights first .. end - 1 are rejected, each once, and get no tile. Ends the harness. */
static inline void reference_rejects(harness *h, int y, float bad, size_t first, size_t end)
{
    harness_probe(h, reference_poison(h, y, bad), TG_NONE);
    harness_run(h);
    for (size_t w = first; w < end; w++) {
        assert_int_equal(h->rejected[w], 1);
        assert_int_equal(h->tiles[w], 0);
        assert_int_equal(h->completed[w], 1);
    }
    harness_end(h);
}

/* Output and gradients must have the same bits with 1, 2 and 3 threads, and on every instruction set this machine has.
 * `make` begins and builds the harness; results go through a hash. */
static inline uint64_t reference_bits(const harness *h)
{
    uint64_t bits = 1;
    for (size_t i = 0; i < h->output_values[0]; i++)
        bits = tg_mix64(bits ^ tg_bits_from_float(h->output[0][i]));
    for (size_t w = 0; w < h->model.weights; w++)
        for (size_t i = 0; i < harness_values(h, (int)w); i++)
            bits = tg_mix64(bits ^ tg_bits_from_float(h->grad[w][i]));
    return bits;
}

static inline void reference_same_bits(void (*make)(harness *h, tg_format format))
{
    const int threads = omp_get_max_threads();
    const tg_isa chosen = tg_isa_chosen();
    for (int f = 0; f < REFERENCE_FORMATS; f++) {
        uint64_t wanted = 0;
        for (int isa = 0; isa < TG_ISA_COUNT; isa++) {
            if (!tg_isa_usable((tg_isa)isa))
                continue;
            tg_isa_force((tg_isa)isa);
            for (int t = 1; t <= 7; t += t < 3 ? 1 : 4) {
                harness h;
                omp_set_num_threads(t);
                make(&h, reference_formats[f].format);
                harness_run(&h);
                const uint64_t bits = reference_bits(&h);
                wanted = wanted == 0 ? bits : wanted;
                harness_end(&h);
                if (bits != wanted)
                    fail_msg("%s: other bits with %d threads on %s", tg_format_name(reference_formats[f].format), t,
                             tg_isa_name((tg_isa)isa));
            }
        }
    }
    omp_set_num_threads(threads);
    tg_isa_force(chosen);
}

#endif
