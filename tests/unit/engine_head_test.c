/* The output head against a float64 reference: loss, dx, dW in every mix of formats, over several chunks and panels. */
#include <omp.h>

#include "graph/product.h"
#include "layer_harness.h"

typedef struct head_case {
    size_t batch, time, width, vocab;
    double smoothing;
    bool twice; /* x is used once more, so dx is added */
    tg_format activations, weights;
    bool bias;
} head_case;

static void set_targets(harness *h, size_t vocab)
{
    const size_t m = h->graph->batch * h->graph->time;
    for (size_t i = 0; i < m; i++)
        h->targets[i] = i % 5 == 3 ? -1 - (int32_t)i : (int32_t)tg_random_below(tg_key_make(8, 1, 0, 0), (uint32_t)i, vocab);
    h->targets[0] = (int32_t)vocab - 1;
}

/* Logits have a standard deviation of about `spread`. */
static void build(harness *h, const head_case *c, tg_mode mode, double spread)
{
    harness_begin(h, mode, c->activations, c->batch, c->time);
    int x = harness_input(h, "x", c->width);
    if (c->twice) /* two uses: x + x of the add layer is one more writer of the same gradient */
        x = tg_add(h->graph, "twice", x, x);
    const int w = harness_weight(h, "w", c->vocab, c->width, c->weights, spread / sqrt((double)c->width));
    const int b = c->bias ? harness_weight(h, "b", 1, c->vocab, c->weights, 0.4 * spread) : TG_NONE;
    tg_head(h->graph, "head", x, w, b, c->smoothing);
    set_targets(h, c->vocab);
}

static double value_of(const tg_param *p, size_t i)
{
    float f;
    tg_kernels_get()->widen(&f, (const char *)p->data + i * tg_format_bytes(p->format), p->format, 1);
    return (double)f;
}

/* loss and gradients in double; x is the harness's weight 0, W its weight 1. */
static double reference(const harness *h, const head_case *c, double *dx, double *dw, double *db)
{
    const size_t m = c->batch * c->time, v = c->vocab, n = c->width;
    const double factor = c->twice ? 2.0 : 1.0;
    double *l = calloc(v, sizeof *l), *wide = calloc(v * n, sizeof *wide), loss = 0;
    size_t count = 0;
    for (size_t i = 0; i < v * n; i++)
        wide[i] = value_of(&h->weight[1].param, i);
    for (size_t t = 0; t < m; t++)
        count += h->targets[t] >= 0;
    for (size_t t = 0; t < m; t++) {
        if (h->targets[t] < 0)
            continue;
        const float *x = (const float *)h->weight[0].param.data + t * n;
        double most = -INFINITY, sum = 0, mean = 0;
        for (size_t j = 0; j < v; j++) {
            l[j] = c->bias ? value_of(&h->weight[2].param, j) : 0;
            for (size_t i = 0; i < n; i++)
                l[j] += factor * (double)x[i] * wide[j * n + i];
            most = fmax(most, l[j]);
            mean += l[j] / (double)v;
        }
        for (size_t j = 0; j < v; j++)
            sum += exp(l[j] - most);
        const double lse = most + log(sum);
        loss += lse - (1 - c->smoothing) * l[h->targets[t]] - c->smoothing * mean;
        for (size_t j = 0; j < v; j++) {
            const double hit = (int32_t)j == h->targets[t] ? 1 - c->smoothing : 0;
            const double g = (exp(l[j] - lse) - hit - c->smoothing / (double)v) / (double)count;
            db[j] += g;
            for (size_t i = 0; i < n; i++) {
                dx[t * n + i] += factor * g * wide[j * n + i];
                dw[j * n + i] += factor * g * (double)x[i];
            }
        }
    }
    free(l);
    free(wide);
    return loss / (double)count;
}

static void compare(const head_case *c, double loss_tolerance, double tolerance)
{
    harness h;
    build(&h, c, TG_TRAIN, 1.7);
    const double loss = harness_run(&h);
    const size_t m = c->batch * c->time;
    double *dx = calloc(m * c->width, sizeof *dx), *dw = calloc(c->vocab * c->width, sizeof *dw);
    double *db = calloc(c->vocab, sizeof *db);
    const double wanted = reference(&h, c, dx, dw, db);
    assert_true(fabs(loss - wanted) <= loss_tolerance * wanted);
    assert_true(fabs(h.run.loss_sum - wanted * (double)h.run.targets_counted) <= loss_tolerance * h.run.loss_sum);
    const double x_error = harness_difference(h.grad[0], dx, m * c->width);
    const double w_error = harness_difference(h.grad[1], dw, c->vocab * c->width);
    if (!(x_error < tolerance && w_error < tolerance))
        fail_msg("width %zu vocab %zu: errors of dx %g, dw %g", c->width, c->vocab, x_error, w_error);
    assert_int_equal(h.completed[1], 1);
    if (c->bias) {
        const double b_error = harness_difference(h.grad[2], db, c->vocab);
        if (!(b_error < tolerance))
            fail_msg("width %zu vocab %zu: error of db %g", c->width, c->vocab, b_error);
        assert_int_equal(h.completed[2], 1);
        assert_int_equal(h.tiles[2], 1);
    }
    free(db);
    free(dx);
    free(dw);
    harness_end(&h);

    head_case evaluate = *c; /* the same loss without gradients */
    build(&h, &evaluate, TG_EVALUATE, 1.7);
    assert_true(fabs(harness_run(&h) - wanted) <= loss_tolerance * wanted);
    harness_end(&h);
}

static const head_case cases[] = {
    {.batch = 2, .time = 7, .width = 13, .vocab = 11},
    {.batch = 3, .time = 5, .width = 24, .vocab = 65, .smoothing = 0.137},
    {.batch = 1, .time = 9, .width = 9001, .vocab = 301, .smoothing = 0.07},        /* several panels */
    {.batch = 2, .time = 23, .width = 2001, .vocab = 1203, .twice = true},
    {.batch = 1, .time = 1, .width = 7, .vocab = 3, .twice = true},
    {.batch = 3, .time = 7, .width = 13, .vocab = 29, .bias = true},
    {.batch = 2, .time = 11, .width = 1501, .vocab = 1203, .smoothing = 0.137, .bias = true}, /* several panels */
};

static void every_case(tg_format activations, tg_format weights, double loss_tolerance, double tolerance)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        head_case c = cases[i];
        c.activations = activations;
        c.weights = weights;
        compare(&c, loss_tolerance, tolerance);
    }
}

#define BF16_TOLERANCE 0.1 /* G and dx are rounded to 8 bits; the largest values, of rows of targets, are many rms */

static void fp32_matches_reference(void **state)
{
    (void)state;
    every_case(TG_F32, TG_F32, 1e-5, 2e-4);
    every_case(TG_F32, TG_BF16, 1e-5, 2e-4);
}

static void bf16_widened_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "widen", 1);
    every_case(TG_BF16, TG_BF16, 1e-5, BF16_TOLERANCE);
    every_case(TG_BF16, TG_F32, 1e-5, BF16_TOLERANCE);
    unsetenv("TIGER_PRODUCTS");
}

#define FP16_TOLERANCE (BF16_TOLERANCE / 8)

static void fp16_matches_reference(void **state)
{
    (void)state;
    every_case(TG_F16, TG_F16, 1e-5, FP16_TOLERANCE);
    every_case(TG_F16, TG_F32, 1e-5, FP16_TOLERANCE);
}

static void bf16_native_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "native", 1);
    tg_products *products;
    const tg_status status = tg_products_create(&products);
    if (status == TG_OK) {
        tg_products_destroy(products);
        every_case(TG_BF16, TG_BF16, 1e-5, BF16_TOLERANCE);
        every_case(TG_BF16, TG_F32, 5e-3, 2 * BF16_TOLERANCE); /* fp32 weights are rounded first */
    }
    unsetenv("TIGER_PRODUCTS");
    if (status != TG_OK)
        skip();
}

/* A vocabulary so large that E does not fit: chunks of tokens, and so several tiles a panel. */
static void chunks_match_reference(void **state)
{
    (void)state;
    const head_case c = {.batch = 2, .time = 45, .width = 3, .vocab = 400003, .activations = TG_F32, .weights = TG_F32};
    harness h;
    build(&h, &c, TG_TRAIN, 1.7);
    harness_run(&h);
    const size_t panels = h.tiles[1];
    harness_end(&h);
    head_case small = c;
    small.time = 5;
    build(&h, &small, TG_TRAIN, 1.7);
    harness_run(&h);
    assert_true(panels >= 2 * h.tiles[1]);
    assert_true(h.graph->scratch_bytes < (size_t)200 << 20);
    harness_end(&h);
    compare(&c, 1e-5, 2e-3);
}

static void gradients_match_differences(void **state)
{
    (void)state;
    const head_case c = {.batch = 2, .time = 5, .width = 19, .vocab = 31, .smoothing = 0.1};
    harness h;
    build(&h, &c, TG_TRAIN, 1.7);
    harness_check_gradients(&h, 1e-2, 2e-3);
    harness_end(&h);
}

static void threads_agree(void **state)
{
    (void)state;
    const head_case c = {.batch = 3, .time = 25, .width = 64, .vocab = 2000, .smoothing = 0.1};
    double loss[3];
    const int most = omp_get_max_threads();
    for (int t = 0; t < 3; t++) {
        omp_set_num_threads(t + 1);
        harness h;
        build(&h, &c, TG_TRAIN, 1.7);
        loss[t] = harness_run(&h);
        harness_end(&h);
    }
    omp_set_num_threads(most);
    assert_true(fabs(loss[0] - loss[1]) < 1e-6 && fabs(loss[0] - loss[2]) < 1e-6);
}

/* A value that makes some logit overflow: the loss is NaN, everything is rejected, no tile is given. */
static void assert_rejected(harness *h)
{
    assert_true(isnan(harness_run(h)));
    assert_int_equal(h->all_rejected, 1);
    assert_int_equal(h->tiles[1], 0);
    harness_end(h);
}

static void bad_values_are_caught_before_a_tile(void **state)
{
    (void)state;
    const float bad[] = {INFINITY, NAN, 3e38f};
    for (int where = 0; where < 2; where++)
        for (size_t i = 0; i < 3; i++) {
            const head_case c = {.batch = 2, .time = 5, .width = 1500, .vocab = 1301};
            harness h;
            build(&h, &c, TG_TRAIN, 900.0); /* large enough for 3e38 to overflow */
            ((float *)h.weight[where].param.data)[1500 * 4 + 2] = bad[i];
            if (where == 1)
                for (size_t t = 0; t < 10; t++)
                    ((float *)h.weight[0].param.data)[1500 * t + 2] = 40.0f;
            assert_rejected(&h);
        }
}

/* With several chunks a bad value of the last is seen before the first gives its tiles. */
static void bad_values_of_later_chunks_are_caught(void **state)
{
    (void)state;
    const head_case c = {.batch = 2, .time = 45, .width = 3, .vocab = 400003};
    for (int where = 0; where < 2; where++) {
        harness h;
        build(&h, &c, TG_TRAIN, 1.7);
        ((float *)h.weight[where].param.data)[harness_values(&h, where) - 1] = NAN;
        assert_rejected(&h);
    }
}

static void all_targets_ignored_is_a_loss_of_zero(void **state)
{
    (void)state;
    const head_case c = {.batch = 2, .time = 3, .width = 5, .vocab = 7};
    harness h;
    build(&h, &c, TG_TRAIN, 1.7);
    for (int i = 0; i < 6; i++)
        h.targets[i] = -100;
    assert_true(harness_run(&h) == 0.0);
    assert_int_equal(h.run.targets_counted, 0);
    for (size_t i = 0; i < 35; i++)
        assert_true(h.grad[1][i] == 0.0f);
    harness_end(&h);
}

static void unknown_target_is_refused(void **state)
{
    (void)state;
    const head_case c = {.batch = 2, .time = 3, .width = 5, .vocab = 7};
    harness h;
    build(&h, &c, TG_TRAIN, 1.7);
    harness_run(&h);
    h.targets[4] = 7;
    assert_int_equal(tg_graph_run(h.graph, &h.run), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "target 7"));
    harness_end(&h);
}

/* ---- labels drawn from the model's own output ---- */

#define CODE 1000 /* a label is 1000 high + low */

/* x (M,3) is (a, 0, 0) and W (V,3) is (logit, high, low): dx tells mean - drawn of both parts of each row's label. */
static void build_labels(harness *h, const head_case *c)
{
    build(h, c, TG_TRAIN, 1.0);
    float *x = h->weight[0].param.data, *w = h->weight[1].param.data;
    for (size_t t = 0; t < c->batch * c->time; t++) {
        x[3 * t] = 1.5f;
        x[3 * t + 1] = x[3 * t + 2] = 0;
    }
    for (size_t j = 0; j < c->vocab; j++) {
        w[3 * j] = tg_random_normal(tg_key_make(31, 0, 0, 0), (uint32_t)j);
        w[3 * j + 1] = (float)(j / CODE);
        w[3 * j + 2] = (float)(j % CODE);
    }
}

/* share (V) <- the softmax, the same for every row. */
static void softmax(double *share, const harness *h, size_t vocab)
{
    const float *w = h->weight[1].param.data;
    double sum = 0;
    for (size_t j = 0; j < vocab; j++)
        sum += share[j] = exp(1.5 * (double)w[3 * j]);
    for (size_t j = 0; j < vocab; j++)
        share[j] /= sum;
}

/* The labels that the last run drew, out of dx; those of ignored targets are -1. */
static void read_labels(int32_t *label, const harness *h, const head_case *c, const double *share)
{
    double high = 0, low = 0;
    for (size_t j = 0; j < c->vocab; j++) {
        high += share[j] * (double)(j / CODE);
        low += share[j] * (double)(j % CODE);
    }
    for (size_t t = 0; t < c->batch * c->time; t++) {
        const double n = (double)h->run.targets_counted, scale = h->run.loss_scale > 0 ? h->run.loss_scale : 1;
        const double a = high - n * (double)h->grad[0][3 * t + 1] / scale,
                     b = low - n * (double)h->grad[0][3 * t + 2] / scale;
        label[t] = -1;
        if (h->targets[t] < 0) {
            assert_true(h->grad[0][3 * t] == 0 && h->grad[0][3 * t + 1] == 0 && h->grad[0][3 * t + 2] == 0);
            continue;
        }
        if (!(fabs(a - round(a)) < 0.25 && fabs(b - round(b)) < 0.25))
            fail_msg("row %zu: the label's parts are %g and %g", t, a, b);
        label[t] = (int32_t)(CODE * round(a) + round(b));
        assert_true(label[t] >= 0 && (size_t)label[t] < c->vocab);
    }
}

#define BUCKETS 11 /* of labels; chi^2 of 10 degrees is above 35.6 once in 10000 tries */
#define CHI_SQUARE_MOST 35.6

/* `updates` runs' draws, all rows', against the shares of each bucket. */
static void check_distribution(const head_case *c, uint64_t updates)
{
    const size_t m = c->batch * c->time;
    double seen[BUCKETS] = {0}, wanted[BUCKETS] = {0}, chi_square = 0, draws = 0;
    double *share = calloc(c->vocab, sizeof *share);
    int32_t *label = calloc(m, sizeof *label);
    harness h;
    build_labels(&h, c);
    softmax(share, &h, c->vocab);
    h.run.draws_labels = true;
    for (h.run.update = 0; h.run.update < updates; h.run.update++) {
        harness_run(&h);
        read_labels(label, &h, c, share);
        for (size_t t = 0; t < m; t++)
            if (label[t] >= 0)
                draws++, seen[(size_t)label[t] * BUCKETS / c->vocab]++;
    }
    for (size_t j = 0; j < c->vocab; j++)
        wanted[j * BUCKETS / c->vocab] += draws * share[j];
    for (size_t b = 0; b < BUCKETS; b++)
        chi_square += (seen[b] - wanted[b]) * (seen[b] - wanted[b]) / wanted[b];
    if (!(chi_square < CHI_SQUARE_MOST))
        fail_msg("chi^2 of %g draws is %g", draws, chi_square);
    free(share);
    free(label);
    harness_end(&h);
}

static const head_case few_labels = {.batch = 3, .time = 100, .width = 3, .vocab = BUCKETS};
static const head_case many_labels = {.batch = 2, .time = 45, .width = 3, .vocab = 400003}; /* two panels, two chunks */

static void drawn_labels_follow_the_softmax(void **state)
{
    (void)state;
    static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    for (size_t f = 0; f < 3; f++) {
        head_case c = few_labels;
        c.activations = formats[f];
        check_distribution(&c, 40); /* 9600 draws */
    }
    check_distribution(&many_labels, 7); /* 504 */
}

/* Gradients with drawn labels are those of the same labels as targets, and the loss is that of the true targets. */
static void drawn_labels_are_targets(void **state)
{
    (void)state;
    const head_case *const all[] = {&few_labels, &many_labels};
    for (size_t i = 0; i < 2; i++) {
        const head_case *c = all[i];
        const size_t m = c->batch * c->time;
        double *share = calloc(c->vocab, sizeof *share);
        int32_t *label = calloc(m, sizeof *label);
        harness drawn, given;
        build_labels(&drawn, c);
        build_labels(&given, c);
        softmax(share, &drawn, c->vocab);
        const double loss = harness_run(&given);
        drawn.run.draws_labels = true;
        assert_true(harness_run(&drawn) == loss);
        read_labels(label, &drawn, c, share);
        size_t moved = 0;
        for (size_t t = 0; t < m; t++)
            moved += label[t] != given.targets[t] && label[t] >= 0;
        assert_true(moved > m / 2);
        for (size_t t = 0; t < m; t++)
            given.targets[t] = label[t];
        assert_true(harness_run(&given) != loss);
        for (int w = 0; w < 2; w++)
            assert_memory_equal(drawn.grad[w], given.grad[w], harness_values(&given, w) * sizeof(float));
        free(share);
        free(label);
        harness_end(&drawn);
        harness_end(&given);
    }
}

/* Draws are a function of seed, update, micro-step and place: not of threads, and others with each of them. */
static void draws_follow_their_key(void **state)
{
    (void)state;
    const size_t m = 300;
    const int most = omp_get_max_threads();
    double share[BUCKETS];
    int32_t first[300], label[300];
    for (int way = 0; way < 6; way++) {
        harness h;
        omp_set_num_threads(way < 3 ? way + 1 : most);
        build_labels(&h, &few_labels);
        softmax(share, &h, BUCKETS);
        h.run.draws_labels = true;
        h.run.update += way == 3;
        h.run.micro_step += way == 4;
        h.run.seed += way == 5;
        harness_run(&h);
        read_labels(way == 0 ? first : label, &h, &few_labels, share);
        size_t differ = 0;
        for (size_t t = 0; t < m && way > 0; t++)
            differ += label[t] != first[t];
        if (way > 0 && way < 3)
            assert_int_equal(differ, 0);
        if (way >= 3)
            assert_true(differ > m / 3);
        harness_end(&h);
    }
    omp_set_num_threads(most);
}

/* ---- loss scaling ---- */

/* A power of two passes through sums and products exactly; the loss does not have it. */
static void loss_scale_multiplies_gradients_exactly(void **state)
{
    (void)state;
    const head_case c = {.batch = 3, .time = 5, .width = 24, .vocab = 65, .smoothing = 0.137};
    harness plain, scaled;
    build(&plain, &c, TG_TRAIN, 1.7);
    const double loss = harness_run(&plain);
    for (double scale = 0.25; scale <= 0x1p24; scale *= 64) {
        build(&scaled, &c, TG_TRAIN, 1.7);
        scaled.run.loss_scale = scale;
        assert_true(harness_run(&scaled) == loss);
        for (int w = 0; w < 2; w++)
            for (size_t i = 0; i < harness_values(&plain, w); i++)
                assert_true(scaled.grad[w][i] == (float)scale * plain.grad[w][i]);
        harness_end(&scaled);
    }
    harness_end(&plain);
}

/* ---- losses that the run does not want ---- */

typedef struct judge {
    double loss;
    size_t asked;
    bool answer;
} judge;

static bool ask(void *ctx, double loss)
{
    judge *j = ctx;
    j->loss = loss;
    j->asked++;
    return j->answer;
}

/* One chunk, and several; a run that was asked and wanted the gradient has the bits of one that was not. */
static void an_unwanted_loss_gives_no_gradient(void **state)
{
    (void)state;
    const head_case judged[] = {{.batch = 3, .time = 5, .width = 24, .vocab = 65, .smoothing = 0.137},
                               {.batch = 2, .time = 45, .width = 3, .vocab = 400003}};
    for (size_t k = 0; k < sizeof judged / sizeof *judged; k++) {
        harness plain, asked;
        build(&plain, &judged[k], TG_TRAIN, 1.7);
        const double loss = harness_run(&plain);
        for (int answer = 0; answer < 2; answer++) {
            judge j = {.answer = answer != 0};
            build(&asked, &judged[k], TG_TRAIN, 1.7);
            asked.run.wants = ask;
            asked.run.wants_ctx = &j;
            assert_true(harness_run(&asked) == loss && j.loss == loss && j.asked == 1);
            assert_true(asked.run.spared == !j.answer && asked.all_rejected == 0);
            for (int w = 0; w < 2; w++) {
                assert_int_equal(asked.tiles[w], j.answer ? plain.tiles[w] : 0);
                assert_int_equal(asked.completed[w], j.answer ? plain.completed[w] : 0);
                for (size_t i = 0; j.answer && i < harness_values(&plain, w); i++)
                    assert_true(asked.grad[w][i] == plain.grad[w][i]);
            }
            harness_end(&asked);
        }
        harness_end(&plain);
    }
}

/* Targets that have the largest logit, the first of equal ones, over panels and chunks; asked for, and else not. */
static void hits_are_first_choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const head_case *c = &cases[i];
        const size_t m = c->batch * c->time;
        harness h;
        build(&h, c, TG_EVALUATE, 1.7);
        const double factor = c->twice ? 2 : 1;
        size_t wanted = 0;
        for (size_t t = 0; t < m; t++) {
            const float *x = (const float *)h.weight[0].param.data + t * c->width;
            double most = -INFINITY;
            size_t choice = 0;
            for (size_t j = 0; j < c->vocab; j++) {
                double l = c->bias ? value_of(&h.weight[2].param, j) : 0;
                for (size_t k = 0; k < c->width; k++)
                    l += factor * (double)x[k] * value_of(&h.weight[1].param, j * c->width + k);
                choice = l > most ? j : choice;
                most = fmax(l, most);
            }
            if (t % 3 == 1)
                h.targets[t] = (int32_t)choice;
            wanted += h.targets[t] == (int32_t)choice;
        }
        h.run.hits = 99;
        harness_run(&h);
        assert_int_equal(h.run.hits, 0);
        h.run.wants_hits = true;
        harness_run(&h);
        assert_int_equal(h.run.hits, wanted);
        memset(h.weight[1].param.data, 0, harness_values(&h, 1) * sizeof(float));
        if (c->bias)
            memset(h.weight[2].param.data, 0, c->vocab * sizeof(float));
        h.targets[0] = 0;
        wanted = 0;
        for (size_t t = 0; t < m; t++)
            wanted += h.targets[t] == 0;
        harness_run(&h); /* every logit is 0 */
        assert_int_equal(h.run.hits, wanted);
        harness_end(&h);
    }
}

static void generation_gives_the_last_logits(void **state)
{
    (void)state;
    const tg_format formats[][2] = {
        {TG_F32, TG_F32}, {TG_F32, TG_BF16}, {TG_BF16, TG_BF16}, {TG_BF16, TG_F32}, {TG_F16, TG_F16}};
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        const head_case c = {.batch = 1, .time = 4, .width = 3001, .vocab = 700, .activations = formats[f][0],
                             .weights = formats[f][1]};
        harness h;
        build(&h, &c, TG_GENERATE, 1.7);
        float *logits = calloc(c.vocab, sizeof *logits);
        double *wanted = calloc(c.vocab, sizeof *wanted);
        h.run.logits = logits;
        harness_run(&h);
        for (size_t j = 0; j < c.vocab; j++)
            for (size_t i = 0; i < c.width; i++)
                wanted[j] += (double)((float *)h.weight[0].param.data)[3 * c.width + i] *
                             value_of(&h.weight[1].param, j * c.width + i);
        assert_true(harness_difference(logits, wanted, c.vocab) < (f == 3 ? 0.05 : 1e-5));
        free(logits);
        free(wanted);
        harness_end(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_matches_reference),
        cmocka_unit_test(bf16_widened_matches_reference),
        cmocka_unit_test(fp16_matches_reference),
        cmocka_unit_test(bf16_native_matches_reference),
        cmocka_unit_test(chunks_match_reference),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(threads_agree),
        cmocka_unit_test(bad_values_are_caught_before_a_tile),
        cmocka_unit_test(bad_values_of_later_chunks_are_caught),
        cmocka_unit_test(all_targets_ignored_is_a_loss_of_zero),
        cmocka_unit_test(unknown_target_is_refused),
        cmocka_unit_test(drawn_labels_follow_the_softmax),
        cmocka_unit_test(drawn_labels_are_targets),
        cmocka_unit_test(draws_follow_their_key),
        cmocka_unit_test(loss_scale_multiplies_gradients_exactly),
        cmocka_unit_test(an_unwanted_loss_gives_no_gradient),
        cmocka_unit_test(hits_are_first_choices),
        cmocka_unit_test(generation_gives_the_last_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
