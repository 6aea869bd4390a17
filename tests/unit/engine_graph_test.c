/* The planner, on graphs of made-up layers: lives never overlap, the arena is near its lower bound, recomputation gives
 * the same bits in less memory, gradients are shared only where that is right. */
#include <omp.h>

#include "graph/pack.h"
#include "layer_harness.h"

/* ---- made-up layers ----------------------------------------------------------------------------------------------- */

/* y = x^2 w + x, elementwise with a weight of one row; keeps x and a saved square. */
static tg_status bend_plan(tg_graph *graph, tg_op *op)
{
    const tg_tensor x = graph->tensor[op->input[0]];
    op->saved[0] = tg_graph_tensor(graph, TG_F32, x.rows, x.cols);
    op->scratch_bytes[TG_FORWARD] = 1000;
    op->scratch_bytes[TG_BACKWARD] = x.rows * x.cols * sizeof(float);
    return graph->failed;
}

static tg_status bend_forward(const tg_call *call)
{
    const size_t n = call->in_shape[0]->rows * call->in_shape[0]->cols, cols = call->in_shape[0]->cols;
    const float *x = call->in[0], *w = tg_op_weight(call->graph, call->op, 0)->data;
    float *y = call->out[0], *squares = call->saved[0];
    memset(call->scratch, 0x7f, call->op->scratch_bytes[TG_FORWARD]);
    for (size_t i = 0; i < n; i++) {
        squares[i] = x[i] * x[i];
        y[i] = squares[i] * w[i % cols] * 0.01f + x[i];
    }
    return TG_OK;
}

static tg_status bend_backward(const tg_call *call)
{
    const size_t n = call->in_shape[0]->rows * call->in_shape[0]->cols, cols = call->in_shape[0]->cols;
    const float *x = call->in[0], *w = tg_op_weight(call->graph, call->op, 0)->data, *dy = call->dout[0];
    const float *squares = call->saved[0];
    float *dw = call->scratch, *dx = call->din[0];
    memset(dw, 0, cols * sizeof *dw);
    for (size_t i = 0; i < n; i++)
        dw[i % cols] += dy[i] * squares[i] * 0.01f;
    for (size_t i = 0; i < n && dx != NULL; i++) {
        const float d = dy[i] * (2.0f * x[i] * w[i % cols] * 0.01f + 1.0f);
        dx[i] = call->add[0] ? dx[i] + d : d;
    }
    const tg_status status = tg_call_tile(call, 0, 0, 1, dw);
    return status == TG_OK ? tg_call_complete(call, 0) : status;
}

static const tg_layer bend = {.info = {.name = "bend"}, .keeps = TG_KEEPS_INPUT(0), .plan = bend_plan,
                              .forward = bend_forward, .backward = bend_backward};

static tg_status sum_forward(const tg_call *call)
{
    const size_t n = call->in_shape[0]->rows * call->in_shape[0]->cols;
    const float *a = call->in[0], *b = call->in[1];
    float *y = call->out[0];
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
    return TG_OK;
}

static int sum_backwards; /* how often the planner could not share */

static tg_status sum_backward(const tg_call *call)
{
    const size_t n = call->in_shape[0]->rows * call->in_shape[0]->cols;
    const float *dy = call->dout[0];
    sum_backwards++;
    for (int s = 0; s < 2; s++) {
        float *dx = call->din[s];
        for (size_t i = 0; i < n && dx != NULL; i++)
            dx[i] = call->add[s] ? dx[i] + dy[i] : dy[i];
    }
    return TG_OK;
}

static const tg_layer sum_layer = {.info = {.name = "sum"}, .passes_gradient = true, .forward = sum_forward,
                                   .backward = sum_backward};
/* The same without the promise: what sharing must agree with. */
static const tg_layer plain_sum = {.info = {.name = "plain sum"}, .forward = sum_forward, .backward = sum_backward};

static int add_op(harness *h, const tg_layer *layer, int a, int b, int weight)
{
    const int y = tg_graph_tensor(h->graph, TG_F32, h->graph->tensor[a].rows, h->graph->tensor[a].cols);
    tg_op *op = tg_graph_op(h->graph, layer, layer->info.name);
    op->input[0] = a;
    op->input[1] = b;
    op->output[0] = y;
    op->weight[0] = weight;
    return y;
}

#define COLS 37

static int bend_op(harness *h, int x) { return add_op(h, &bend, x, TG_NONE, harness_weight(h, "w", 1, COLS, TG_F32, 0.8)); }

/* ---- packing -------------------------------------------------------------------------------------------------------- */

static void packed_blocks_do_not_overlap(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 60; round++) {
        const tg_key key = tg_key_make(3, round, 0, 0);
        const size_t blocks = 1 + tg_random_below(key, 0, 90);
        tg_block_life *b = calloc(blocks, sizeof *b);
        for (size_t i = 0; i < blocks; i++) {
            b[i].bytes = 64 * tg_random_below(key, 3 * (uint32_t)i + 1, 1000);
            b[i].first = tg_random_below(key, 3 * (uint32_t)i + 2, 50);
            b[i].last = b[i].first + tg_random_below(key, 3 * (uint32_t)i + 3, 20);
        }
        size_t bytes, bound;
        harness_ok(tg_pack(b, blocks, &bytes));
        harness_ok(tg_pack_bound(b, blocks, &bound));
        assert_true(bytes >= bound);
        assert_true((double)bytes <= 1.3 * (double)bound);
        for (size_t i = 0; i < blocks; i++) {
            assert_true(b[i].offset % 64 == 0 && b[i].offset + b[i].bytes <= bytes);
            for (size_t j = 0; j < i; j++)
                assert_true(b[i].last < b[j].first || b[j].last < b[i].first || b[i].bytes == 0 || b[j].bytes == 0 ||
                            b[i].offset + b[i].bytes <= b[j].offset || b[j].offset + b[j].bytes <= b[i].offset);
        }
        free(b);
    }
}

/* ---- whole graphs --------------------------------------------------------------------------------------------------- */

/* A residual stream of `blocks` blocks, x + bend(bend(bend x)). */
static void build_residual(harness *h, int blocks, const tg_layer *sum, tg_recompute recompute)
{
    harness_begin(h, TG_TRAIN, TG_F32, 3, 5);
    h->recompute = recompute;
    int x = harness_input(h, "x", COLS);
    for (int b = 0; b < blocks; b++) {
        tg_graph_block_begin(h->graph);
        const int y = bend_op(h, bend_op(h, bend_op(h, x)));
        x = add_op(h, sum, x, y, TG_NONE);
        tg_graph_block_end(h->graph);
    }
    harness_probe(h, bend_op(h, x), TG_NONE);
}

static void assert_same_gradients(const harness *a, const harness *b)
{
    assert_true(a->run.loss == b->run.loss && isfinite(a->run.loss));
    for (size_t w = 0; w < a->model.weights; w++) {
        assert_memory_equal(a->grad[w], b->grad[w], harness_values(a, (int)w) * sizeof(float));
        assert_int_equal(a->completed[w], 1);
        assert_int_equal(b->completed[w], 1);
    }
}

static void recomputation_gives_the_same_bits_in_less_memory(void **state)
{
    (void)state;
    harness none, block, root;
    build_residual(&none, 4, &sum_layer, TG_RECOMPUTE_NONE);
    build_residual(&block, 4, &sum_layer, TG_RECOMPUTE_BLOCK);
    build_residual(&root, 4, &sum_layer, TG_RECOMPUTE_SQRT);
    harness_run(&none);
    harness_run(&block);
    harness_run(&root);
    assert_same_gradients(&none, &block);
    assert_same_gradients(&none, &root);
    assert_true(block.graph->arena_bytes * 10 < none.graph->arena_bytes * 7);
    assert_true(root.graph->arena_bytes < none.graph->arena_bytes);
    assert_int_equal(none.graph->steps, block.graph->steps - 4 * 3); /* three bends a block again; the sum is not */
    harness_end(&none);
    harness_end(&block);
    harness_end(&root);
}

static void residual_streams_share_their_gradient(void **state)
{
    (void)state;
    harness shared, plain;
    build_residual(&shared, 3, &sum_layer, TG_RECOMPUTE_NONE);
    build_residual(&plain, 3, &plain_sum, TG_RECOMPUTE_NONE);
    sum_backwards = 0;
    harness_run(&shared);
    assert_int_equal(sum_backwards, 0);
    harness_run(&plain);
    assert_int_equal(sum_backwards, 3);
    assert_same_gradients(&shared, &plain);
    assert_true(shared.graph->arena_bytes <= plain.graph->arena_bytes);
    harness_end(&shared);
    harness_end(&plain);
}

/* Random graphs of bends and sums, with sums of everything with everything: sharing changes no bit and no count. */
static void build_random(harness *h, uint64_t seed, const tg_layer *sum, tg_recompute recompute)
{
    const tg_key key = tg_key_make(seed, 1, 2, 3);
    int id[24], count = 0;
    harness_begin(h, TG_TRAIN, TG_F32, 2, 3);
    h->recompute = recompute;
    id[count++] = harness_input(h, "x", COLS);
    for (uint32_t i = 0; count < 16; i++) {
        if (i % 4 == 0 && count > 1)
            tg_graph_block_begin(h->graph);
        const int a = id[tg_random_below(key, 3 * i, (uint64_t)count)], b = id[tg_random_below(key, 3 * i + 1, (uint64_t)count)];
        if (tg_random_below(key, 3 * i + 2, 3) == 0 && h->model.weights < HARNESS_WEIGHTS)
            id[count++] = bend_op(h, a);
        else
            id[count++] = add_op(h, sum, a, b, TG_NONE);
        if (i % 4 == 3 && h->graph->open_block != TG_NONE)
            tg_graph_block_end(h->graph);
    }
    if (h->graph->open_block != TG_NONE)
        tg_graph_block_end(h->graph);
    harness_probe(h, id[count - 1], id[count - 3]);
}

static void assert_close_gradients(const harness *a, const harness *b)
{
    assert_true(a->run.loss == b->run.loss && isfinite(a->run.loss));
    for (size_t w = 0; w < a->model.weights; w++)
        for (size_t i = 0; i < harness_values(a, (int)w); i++) {
            const double x = (double)a->grad[w][i], y = (double)b->grad[w][i];
            assert_true(fabs(x - y) <= 1e-4 * (1.0 + fabs(x) + fabs(y))); /* sums of gradients in another order */
        }
}

static void sharing_is_right_in_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        harness shared, plain, again;
        build_random(&shared, seed, &sum_layer, TG_RECOMPUTE_NONE);
        build_random(&plain, seed, &plain_sum, TG_RECOMPUTE_NONE);
        build_random(&again, seed, &sum_layer, seed % 2 == 0 ? TG_RECOMPUTE_BLOCK : TG_RECOMPUTE_SQRT);
        harness_run(&shared);
        harness_run(&plain);
        harness_run(&again);
        assert_close_gradients(&shared, &plain);
        assert_true(again.run.loss == shared.run.loss);
        for (size_t w = 0; w < shared.model.weights; w++)
            assert_memory_equal(shared.grad[w], again.grad[w], harness_values(&shared, (int)w) * sizeof(float));
        harness_end(&shared);
        harness_end(&plain);
        harness_end(&again);
    }
}

/* That tensors do not overwrite each other shows above: arenas start as NaN, and recomputation, which moves everything,
 * changes no bit. Here the arena's size is held against what must be alive at once. */
static void arena_is_near_the_least_possible(void **state)
{
    (void)state;
    harness h;
    build_residual(&h, 4, &sum_layer, TG_RECOMPUTE_NONE);
    harness_run(&h);
    /* Alive when backward begins: of every bend its input and square; the probe's input; its gradient. */
    const size_t one = tg_round_up(15 * COLS * sizeof(float), 64);
    const size_t least = (4 * 3 + 1) * 2 * one;
    assert_true(h.graph->arena_bytes >= least);
    assert_true(h.graph->arena_bytes <= least + 5 * one);
    harness_end(&h);
}

/* ---- failures and the rest -------------------------------------------------------------------------------------------- */

static void frozen_weights_get_no_gradient(void **state)
{
    (void)state;
    harness h;
    build_residual(&h, 2, &sum_layer, TG_RECOMPUTE_NONE);
    h.weight[2].param.frozen = true;
    harness_run(&h);
    assert_int_equal(h.tiles[2], 0);
    assert_int_equal(h.completed[2], 0);
    assert_int_equal(h.tiles[0], 1);
    harness_end(&h);
}

static void bad_loss_rejects_everything(void **state)
{
    (void)state;
    harness h;
    build_residual(&h, 2, &sum_layer, TG_RECOMPUTE_NONE);
    ((float *)h.weight[0].param.data)[3] = NAN;
    harness_run(&h);
    assert_int_equal(h.all_rejected, 1);
    for (size_t w = 0; w < h.model.weights; w++)
        assert_int_equal(h.tiles[w] + h.completed[w], 0);
    harness_end(&h);
}

static void wrong_use_is_refused(void **state)
{
    (void)state;
    tg_graph *graph;
    assert_int_equal(tg_graph_create(&graph, NULL, TG_TRAIN, TG_F64, 2, 3), TG_EUNSUPPORTED);
    assert_int_equal(tg_graph_create(&graph, NULL, TG_TRAIN, TG_F32, 0, 3), TG_EINVAL);
    assert_int_equal(tg_graph_create(&graph, NULL, TG_GENERATE, TG_F32, 2, 3), TG_EINVAL);
    harness_ok(tg_graph_create(&graph, NULL, TG_TRAIN, TG_F32, 2, 3));
    assert_int_equal(tg_graph_allocate(graph), TG_ESTATE);
    assert_int_equal(tg_graph_plan(graph, TG_RECOMPUTE_NONE), TG_EINVAL); /* no operations */
    tg_run run = {0};
    assert_int_equal(tg_graph_run(graph, &run), TG_ESTATE);
    tg_graph_destroy(graph);
    harness_ok(tg_graph_create(&graph, NULL, TG_TRAIN, TG_F32, 2, 3));
    assert_int_equal(tg_graph_tensor(graph, TG_F32, SIZE_MAX / 2, 3), TG_NONE);
    assert_int_equal(tg_graph_plan(graph, TG_RECOMPUTE_NONE), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "too large"));
    tg_graph_destroy(graph);
    tg_graph_destroy(NULL);
}

/* Every allocation of building and planning fails in turn: a clean status each time. */
static void no_memory_is_reported(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        harness h;
        build_residual(&h, 3, &sum_layer, TG_RECOMPUTE_BLOCK);
        tg_memory_fail_at(n);
        tg_status status = tg_graph_plan(h.graph, TG_RECOMPUTE_BLOCK);
        if (status == TG_OK)
            status = tg_graph_allocate(h.graph);
        tg_memory_fail_at(0);
        harness_end(&h);
        assert_true(status == TG_OK || status == TG_ENOMEM);
        if (status == TG_OK)
            break;
        assert_true(n < 100);
    }
}

static void arenas_can_be_shared(void **state)
{
    (void)state;
    harness large, small;
    build_residual(&large, 3, &sum_layer, TG_RECOMPUTE_NONE);
    build_residual(&small, 1, &sum_layer, TG_RECOMPUTE_NONE);
    harness_ok(tg_graph_plan(large.graph, TG_RECOMPUTE_NONE));
    harness_ok(tg_graph_plan(small.graph, TG_RECOMPUTE_NONE));
    harness_ok(tg_graph_allocate(large.graph));
    harness_ok(tg_graph_share(small.graph, large.graph));
    assert_ptr_equal(small.graph->arena, large.graph->arena);
    assert_true(isfinite(harness_run(&small)));
    assert_true(isfinite(harness_run(&large)));
    harness_end(&small);
    harness_end(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_blocks_do_not_overlap),
        cmocka_unit_test(recomputation_gives_the_same_bits_in_less_memory),
        cmocka_unit_test(residual_streams_share_their_gradient),
        cmocka_unit_test(sharing_is_right_in_random_graphs),
        cmocka_unit_test(arena_is_near_the_least_possible),
        cmocka_unit_test(frozen_weights_get_no_gradient),
        cmocka_unit_test(bad_loss_rejects_everything),
        cmocka_unit_test(wrong_use_is_refused),
        cmocka_unit_test(no_memory_is_reported),
        cmocka_unit_test(arenas_can_be_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
