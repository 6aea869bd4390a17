/* engine_embedding_test.c -- rows picked by token, scattered gradients in order, positions, tokens outside. */
#include "layer_reference.h"

static const uint32_t *tokens_now;

/* weight: table, positions (if there are), segments (likewise) */
static void forward(double *y, const harness *h, double *const *weight)
{
    const size_t cols = h->weight[0].param.cols;
    for (size_t r = 0; r < h->graph->batch * h->graph->time; r++)
        for (size_t c = 0; c < cols; c++)
            y[r * cols + c] = weight[0][tokens_now[r] * cols + c] +
                              (h->model.weights > 1 ? weight[1][r % h->graph->time * cols + c] : 0) +
                              (h->model.weights > 2 ? weight[2][c] : 0);
}

static int build(harness *h, tg_format format, tg_format weights, const size_t *shape, size_t vocab, size_t context,
                 bool segmented)
{
    harness_begin(h, TG_TRAIN, format, shape[0], shape[1]);
    const int table = harness_weight(h, "table", vocab, shape[2], weights, 0.7);
    const int positions = context > 0 ? harness_weight(h, "positions", context, shape[2], weights, 0.3) : TG_NONE;
    const int segments = segmented ? harness_weight(h, "segments", 2, shape[2], weights, 0.4) : TG_NONE;
    for (uint32_t r = 0; r < shape[0] * shape[1]; r++) /* some often, some never */
        h->tokens[r] = (uint32_t)tg_random_below(tg_key_make(8, 0, 0, 0), r, r % 3 == 0 ? vocab : (vocab + 6) / 7);
    tokens_now = h->tokens;
    return tg_embedding(h->graph, "embedding", table, positions, segments);
}

/* The last shape needs several tiles, of tokens and of positions, and pieces of rows. */
static void all_shapes(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 1, 1}, {1, 7, 17}, {3, 5, 65}, {4, 33, 3}, {2, 70, 5003}};
    static const size_t vocab[] = {1, 13, 300, 70001, 260};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (int w = 0; w < REFERENCE_FORMATS; w++)
            for (size_t s = 0; s < 5; s++)
                for (int positions = 0; positions < 3; positions++) { /* 2: segments too */
                    if (s == 4 && w != 0 && w != f) /* slow: no mixes of 16 bits */
                        continue;
                    harness h;
                    const int y = build(&h, reference_formats[f].format, reference_formats[w].format, shape[s],
                                        vocab[s], positions ? shape[s][1] + 2 : 0, positions == 2);
                    harness_probe(&h, y, TG_NONE);
                    reference_check(&h, &(reference){forward, reference_formats[f].tolerance});
                    if (s == 4)
                        assert_true(h.tiles[0] > 1 && (!positions || h.tiles[1] > 1));
                    const size_t unseen = shape[s][1] * shape[s][2];
                    for (size_t i = 0; positions && i < 2 * shape[s][2]; i++)
                        assert_true(h.grad[1][unseen + i] == 0);
                    for (size_t i = 0; positions == 2 && i < shape[s][2]; i++)
                        assert_true(h.grad[2][shape[s][2] + i] == 0);
                    harness_end(&h);
                }
}

static void every_value_of_the_positions(void **state)
{
    (void)state;
    const size_t batch = 2, time = 70, cols = 5003; /* two tiles */
    harness h;
    harness_probe(&h, build(&h, TG_F32, TG_F32, (const size_t[]){2, 70, 5003}, 260, 72, false), TG_NONE);
    harness_run(&h);
    for (size_t i = 0; i < time * cols; i++) {
        double sum = 0;
        for (size_t b = 0; b < batch; b++)
            sum += (double)harness_probe_value(0, b * time * cols + i);
        assert_true(fabs((double)h.grad[1][i] - sum) < 1e-5);
    }
    harness_end(&h);
}

static void every_value_of_the_table(void **state)
{
    (void)state;
    const size_t shape[] = {3, 35, 9}, vocab = 21, cols = 9;
    harness h;
    harness_probe(&h, build(&h, TG_F32, TG_F32, shape, vocab, 0, false), TG_NONE);
    harness_run(&h);
    for (size_t v = 0; v < vocab; v++)
        for (size_t c = 0; c < cols; c++) {
            double sum = 0;
            for (size_t r = 0; r < 105; r++)
                sum += h.tokens[r] == v ? (double)harness_probe_value(0, r * cols + c) : 0;
            assert_true(fabs((double)h.grad[0][v * cols + c] - sum) < 1e-5);
        }
    harness_end(&h);
}

static void tokens_and_positions_outside_are_refused(void **state)
{
    (void)state;
    harness h;
    harness_probe(&h, build(&h, TG_F32, TG_F32, (const size_t[]){2, 5, 7}, 11, 5, false), TG_NONE);
    harness_run(&h);
    h.tokens[7] = 11;
    assert_int_equal(tg_graph_run(h.graph, &h.run), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "11"));
    h.tokens[7] = UINT32_MAX;
    assert_int_equal(tg_graph_run(h.graph, &h.run), TG_EINVAL);
    harness_end(&h);
}

static void bad_gradients_are_rejected(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t b = 0; b < 3; b++) {
            harness h;
            const int y = build(&h, reference_formats[f].format, TG_F32, (const size_t[]){2, 5, 700}, 11, 5, true);
            reference_rejects(&h, y, bad[b], 0, 3);
        }
}

static void frozen_weights_get_nothing(void **state)
{
    (void)state;
    harness h;
    harness_probe(&h, build(&h, TG_F32, TG_F32, (const size_t[]){2, 5, 7}, 11, 5, false), TG_NONE);
    h.weight[0].param.frozen = true;
    harness_run(&h);
    assert_int_equal(h.tiles[0] + h.completed[0], 0);
    assert_int_equal(h.completed[1], 1);
    harness_end(&h);
}

static void make(harness *h, tg_format format)
{
    harness_probe(h, build(h, format, format, (const size_t[]){3, 67, 1131}, 40, 70, true), TG_NONE);
}

static void same_bits(void **state)
{
    (void)state;
    reference_same_bits(make);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_shapes),
        cmocka_unit_test(every_value_of_the_positions),
        cmocka_unit_test(every_value_of_the_table),
        cmocka_unit_test(tokens_and_positions_outside_are_refused),
        cmocka_unit_test(bad_gradients_are_rejected),
        cmocka_unit_test(frozen_weights_get_nothing),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
