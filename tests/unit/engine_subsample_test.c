/* engine_subsample_test.c -- the shortcut of every second place and zeros against double: values, gradients by finite
 * differences, more channels than fit into a piece, threads. */
#include "layer_reference.h"

typedef struct subsample_case {
    size_t images, in, out, size[2], stride;
} subsample_case;

static const subsample_case cases[] = {
    {2, 5, 10, {7, 6}, 2},                                                      /* odd and even sides */
    {3, 3, 3, {5, 9}, 2},                                                       /* no channel is new */
    {1, 4, 7, {3, 3}, 1},                                                       /* no place is left out */
    {2, 2, 9, {8, 11}, 3}, {1, 1030, 2059, {3, 2}, 2}, {2, 3, 1100, {2, 3}, 2}, /* a piece of zeros alone */
};
#define CASES (sizeof cases / sizeof *cases)

static const subsample_case *now;

static void reference_forward(double *y, const harness *h, double *const *weight)
{
    const size_t rows = (now->size[0] + now->stride - 1) / now->stride,
                 cols = (now->size[1] + now->stride - 1) / now->stride;
    (void)h;
    for (size_t at = 0; at < now->images * rows * cols * now->out; at++) {
        const size_t c = at % now->out, k = at / now->out % cols, r = at / now->out / cols % rows,
                     n = at / now->out / cols / rows;
        const size_t from = (n * now->size[0] + r * now->stride) * now->size[1] + k * now->stride;
        y[at] = c < now->in ? weight[0][from * now->in + c] : 0;
    }
}

static int build(harness *h, tg_format format, const subsample_case *c)
{
    now = c;
    harness_begin(h, TG_TRAIN, format, c->images, c->size[0] * c->size[1]);
    const int x = harness_input(h, "x", c->in);
    h->graph->tensor[x].height = c->size[0];
    h->graph->tensor[x].width = c->size[1];
    return tg_subsample(h->graph, "shortcut", x, c->stride, c->out);
}

/* Alone, and where its input's gradient is a sum of two. */
static void every_case(void **state)
{
    (void)state;
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t i = 0; i < CASES; i++)
            for (int way = 0; way < 2; way++) {
                harness h;
                const int y = build(&h, reference_formats[f].format, &cases[i]);
                assert_int_equal(h.graph->tensor[y].height, (cases[i].size[0] + cases[i].stride - 1) / cases[i].stride);
                assert_int_equal(h.graph->tensor[y].width, (cases[i].size[1] + cases[i].stride - 1) / cases[i].stride);
                harness_probe(&h, y, way > 0 ? h.graph->op[0].output[0] : TG_NONE);
                reference_check(&h, &(reference){reference_forward, reference_formats[f].tolerance});
                harness_end(&h);
            }
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    static const struct {
        subsample_case c;
        const char *what;
    } wrong[] = {{{1, 3, 2, {4, 4}, 2}, "3 channels do not fit into 2"}, {{1, 3, 4, {4, 4}, 0}, "every 0-th place"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        harness h;
        assert_int_equal(build(&h, TG_F32, &wrong[i].c), TG_NONE);
        assert_non_null(strstr(h.graph->failure, wrong[i].what));
        harness_end(&h);
    }
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, 2, 4);
    assert_int_equal(tg_subsample(h.graph, "shortcut", harness_input(&h, "x", 3), 2, 6), TG_NONE);
    assert_non_null(strstr(h.graph->failure, "no images"));
    harness_end(&h);
}

static void make_large(harness *h, tg_format format)
{
    static const subsample_case large = {3, 33, 70, {17, 19}, 2};
    const int y = build(h, format, &large);
    harness_probe(h, y, h->graph->op[0].output[0]);
}

static void same_bits(void **state)
{
    (void)state;
    reference_same_bits(make_large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
