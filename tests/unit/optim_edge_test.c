/* optim_edge_test.c -- what every rule does at the edges: tensors without a gradient, frozen, empty and 0-dimensional
 * ones, groups, NaN, Inf and subnormals in a gradient, gradients that may not be written, clipping and unscaling. */
#define _DEFAULT_SOURCE
#include "optim_support.h"

#include <sys/mman.h>

static uint64_t tensor_hash(const work *w, size_t k)
{
    char prefix[32];
    uint64_t hash = hash_bytes(7, w->t[k].data, w->t[k].n * tg_format_bytes(w->t[k].format));
    snprintf(prefix, sizeof prefix, "%s/", w->t[k].name);
    for (size_t i = 0; i < tg_optim_state_count(w->o); i++) {
        const tg_named_tensor *s = tg_optim_state(w->o, i);
        if (strncmp(s->name, prefix, strlen(prefix)) == 0)
            hash = hash_bytes(hash, s->data, s->bytes);
    }
    return hash;
}

static void check_all_finite(const work *w)
{
    for (size_t k = 0; k < w->count; k++)
        assert_true(tg_kernels_get()->all_finite(w->t[k].data, w->t[k].format, w->t[k].n));
}

/* Tensors: 0 has a gradient; 1 has none; 2 frozen; 3, 4 empty; 5 one value; 6 has a gradient. */
static void check_shapes(const char *rule, work_option *options, size_t count)
{
    static const size_t shape[][2] = {{5, 7}, {3, 11}, {4, 4}, {0, 6}, {6, 0}, {1, 1}, {9, 129}};
    for (int way = WORK_ARRAYS; way < WORK_WAYS; way++) {
        work w;
        options[count] = (work_option){"gradients", way == WORK_ARRAYS ? "auto" : way == WORK_PANELS ? "released" : "buffered"};
        work_create(&w, rule, options);
        for (size_t i = 0; i < 7; i++)
            work_add(&w, shape[i][0], shape[i][1], TG_MATRIX, (uint32_t)(60 + i), i % 2 ? TG_BF16 : TG_F32);
        w.t[2].frozen = true;
        work_start(&w);
        work_update(&w, 0, 1, (work_way)way);
        uint64_t before[7];
        w.t[1].absent = true;
        for (size_t k = 0; k < 7; k++)
            before[k] = tensor_hash(&w, k);
        work_update(&w, 1, 1, (work_way)way);
        for (size_t k = 0; k < 7; k++) {
            const bool still = k >= 1 && k <= 4;
            if ((tensor_hash(&w, k) == before[k]) != still)
                fail_msg("%s%s, way %d: tensor %zu %s", rule, options_text(options), way, k, still ? "moved" : "did not move");
        }
        check_all_finite(&w);
        work_destroy(&w);
    }
    options[count] = (work_option){0};
}

static void test_shapes(void **state) { (void)state, for_each_variant(check_shapes); }

static void test_nothing_at_all(void **state)
{
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        work w;
        work_create(&w, tg_rule_at(r)->name, NULL);
        work_start(&w); /* no tensor */
        must(tg_optim_step(w.o, NULL));
        work_destroy(&w);
        work_create(&w, tg_rule_at(r)->name, NULL);
        work_add(&w, 3, 3, TG_MATRIX, 5, TG_F32)->absent = true;
        work_start(&w);
        const uint64_t before = tensor_hash(&w, 0);
        must(work_arrays(&w));
        assert_true(tensor_hash(&w, 0) == before);
        assert_int_equal(tg_optim_updates(w.o), 1);
        work_destroy(&w);
    }
}

/* A group with values of its own does what an optimizer with these values does; a schedule scales all groups. */
static void check_groups(const char *rule, work_option *options, size_t count)
{
    work both, own;
    int group;
    (void)count;
    work_create(&both, rule, options);
    must(tg_optim_add_group(both.o, &group));
    assert_int_equal(group, 1);
    must(tg_optim_set(both.o, 1, "lr", "0.0193"));
    must(tg_optim_set(both.o, 1, "weight_decay", "0.31"));
    work_add(&both, 5, 13, TG_MATRIX, 8, TG_F32);
    work_add(&both, 5, 13, TG_MATRIX, 9, TG_F32);
    for (size_t k = 0; k < 2; k++) {
        both.t[k].layer = work_form(&both, k);
        must(tg_optim_add(both.o,
                          &(tg_param){.name = both.t[k].name, .data = both.t[k].data, .rows = 5, .cols = 13, .group = (int)k,
                                      .layer = both.t[k].layer},
                          NULL));
    }
    must(tg_optim_start(both.o));
    must(tg_optim_scale(both.o, "lr", 0.5));
    work_create(&own, rule, options);
    must(tg_optim_set_number(own.o, TG_ALL_GROUPS, "lr", 0.0193 * 0.5));
    must(tg_optim_set(own.o, TG_ALL_GROUPS, "weight_decay", "0.31"));
    work_add(&own, 5, 13, TG_MATRIX, 8, TG_F32); /* so that the other's place in the list, and its randomness, is the same */
    work_add(&own, 5, 13, TG_MATRIX, 9, TG_F32);
    work_start(&own);
    for (size_t u = 0; u < 5; u++) {
        work_update(&both, u, 1, WORK_ARRAYS);
        work_update(&own, u, 1, WORK_ARRAYS);
    }
    double lr;
    must(tg_optim_get(both.o, 1, "lr", &lr));
    assert_true(lr == 0.0193);
    if (memcmp(both.t[1].data, own.t[1].data, 65 * sizeof(float)) != 0)
        fail_msg("%s%s: a group differs from an optimizer of its own", rule, options_text(options));
    work_destroy(&both);
    work_destroy(&own);
}

static void test_groups(void **state) { (void)state, for_each_variant(check_groups); }

/* ---- values that are not finite ---- */

typedef struct witness {
    int events;
    char param[32];
    double value;
} witness;

static void note(void *ctx, const tg_event *event)
{
    witness *seen = ctx;
    if (event->kind != TG_EVENT_BAD_GRADIENT)
        return;
    seen->events++;
    snprintf(seen->param, sizeof seen->param, "%s", event->param);
    seen->value = event->value;
}

/* Tensor 1 meets `bad`; 0 and 2 must not notice. */
static void check_bad_value(const char *rule, work_option *options, float bad, const char *guard)
{
    work w, clean;
    witness seen = {0};
    float old[65];
    work_create(&w, rule, options);
    work_create(&clean, rule, options);
    must(tg_optim_set(w.o, TG_ALL_GROUPS, "nan_guard", guard));
    for (size_t k = 0; k < 3; k++) {
        work_add(&w, 5, 13, TG_MATRIX, (uint32_t)(30 + k), TG_F32);
        work_add(&clean, 5, 13, TG_MATRIX, (uint32_t)(30 + k), TG_F32);
    }
    work_start(&w);
    work_start(&clean);
    tg_optim_on_event(w.o, note, &seen);
    work_update(&w, 0, 1, WORK_ARRAYS);
    work_update(&clean, 0, 1, WORK_ARRAYS);
    memcpy(old, w.t[1].data, sizeof old);
    const tg_rule_info *info = tg_rule_find(rule);
    const char *slot = info->layers ? "exp_avg" : info->slot_count > 0 ? info->slots[0].name : ""; /* which rows leave alone */
    const tg_named_tensor *m = work_state(&w, 1, slot);
    const uint64_t state_before = m == NULL ? 0 : hash_bytes(1, m->data, m->bytes);
    work_fill(&w, 1);
    work_fill(&clean, 1);
    w.t[1].g[64] = bad;
    const tg_status status = work_arrays(&w);
    assert_int_equal(status, strcmp(guard, "error") == 0 ? TG_EDIVERGED : TG_OK);
    if (status != TG_OK)
        assert_non_null(strstr(tg_message(), "t1"));
    must(work_arrays(&clean));
    assert_int_equal(seen.events, 1);
    assert_string_equal(seen.param, "t1");
    assert_true(seen.value == 1);
    const bool shrinks = strcmp(rule, "tiger") == 0 || strcmp(rule, "tigermuon") == 0; /* unless told otherwise */
    const float factor = strcmp(guard, "shrink") == 0 || (strcmp(guard, "auto") == 0 && shrinks) ? 0.99f : 1.0f;
    for (size_t i = 0; i < 65; i++)
        assert_true(((float *)w.t[1].data)[i] == old[i] * factor);
    assert_true(m == NULL || hash_bytes(1, m->data, m->bytes) == state_before);
    assert_memory_equal(w.t[0].data, clean.t[0].data, sizeof old);
    assert_memory_equal(w.t[2].data, clean.t[2].data, sizeof old);
    work_destroy(&w);
    work_destroy(&clean);
}

static void check_bad_values(const char *rule, work_option *options, size_t count)
{
    (void)count;
    static const char *const guards[] = {"auto", "shrink", "skip", "error"};
    for (size_t g = 0; g < 4; g++) {
        check_bad_value(rule, options, NAN, guards[g]);
        check_bad_value(rule, options, INFINITY, guards[g]);
        check_bad_value(rule, options, -INFINITY, guards[g]);
    }
}

static void test_bad_values(void **state) { (void)state, for_each_variant(check_bad_values); }

/* Subnormal gradients are numbers like others: sign rules step by them, and no result is anything but finite. */
static void test_subnormal(void **state)
{
    static const char *const by_sign[] = {"tiger", "signum", "lion", "signsgd", "rprop"};
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        const char *rule = tg_rule_at(r)->name;
        work w;
        work_create(&w, rule, (work_option[]){{"lr", "0.0625"}, {"weight_decay", "0"}, {NULL, NULL}});
        work_add(&w, 3, 11, TG_MATRIX, 4, TG_F32);
        if (rule_has(rule, "scale"))
            must(tg_optim_set(w.o, TG_ALL_GROUPS, "scale", "none"));
        work_start(&w);
        float old[33];
        memcpy(old, w.t[0].data, sizeof old);
        work_fill(&w, 0);
        for (size_t i = 0; i < 33; i++)
            w.t[0].g[i] = i % 2 ? 0x1p-130f : -0x1p-130f;
        must(work_arrays(&w));
        bool signs = false;
        for (size_t s = 0; s < sizeof by_sign / sizeof *by_sign; s++)
            signs = signs || strcmp(rule, by_sign[s]) == 0;
        for (size_t i = 0; signs && i < 33; i++)
            assert_true(((float *)w.t[0].data)[i] == old[i] + (i % 2 ? -0.0625f : 0.0625f));
        check_all_finite(&w);
        work_destroy(&w);
    }
}

/* ---- gradients are only read ---- */

static void check_read_only(const char *rule, work_option *options, size_t count)
{
    enum { ROWS = 33, COLS = 129, BYTES = 20480 };
    for (size_t way = 0; way < 3; way++) {
        float *g = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(g != MAP_FAILED);
        for (size_t i = 0; i < ROWS * COLS; i++)
            g[i] = input_gradient(3, 1, i);
        assert_int_equal(mprotect(g, BYTES, PROT_READ), 0); /* a write ends the program */
        work w;
        options[count] = (work_option){"gradients", way == 0 ? "auto" : way == 1 ? "buffered" : "released"};
        work_create(&w, rule, options);
        work_add(&w, ROWS, COLS, TG_MATRIX, 4, TG_BF16);
        must(tg_optim_set(w.o, TG_ALL_GROUPS, "clip_value", "0.5"));
        work_start(&w);
        work_fill(&w, 0);
        if (way == 0) {
            must(tg_optim_step(w.o, &(tg_grad){.data = g, .format = TG_F32, .scale = 2.0f}));
        } else {
            must(tg_optim_begin(w.o, 1));
            must(tg_optim_accumulate(w.o, 0, 0, ROWS, g));
            must(tg_optim_complete(w.o, 0));
            must(tg_optim_micro_end(w.o));
            must(tg_optim_end(w.o));
        }
        work_destroy(&w);
        munmap(g, BYTES);
    }
    options[count] = (work_option){0};
}

static void test_read_only(void **state) { (void)state, for_each_variant(check_read_only); }

/* ---- unscaling and clipping ---- */

/* One update from grads scaled by `scale` must be one update from grads divided by it. */
static void check_factor(const char *rule, work_option *options, float scale, const char *clip, double factor)
{
    work plain, scaled;
    work_create(&plain, rule, options);
    work_create(&scaled, rule, options);
    if (clip != NULL)
        must(tg_optim_set(scaled.o, TG_ALL_GROUPS, "clip_norm", clip));
    if (rule_has(rule, "ridge")) { /* roots of factors that lack full rank make much of roundings */
        must(tg_optim_set(plain.o, TG_ALL_GROUPS, "ridge", "0.043"));
        must(tg_optim_set(scaled.o, TG_ALL_GROUPS, "ridge", "0.043"));
    }
    for (size_t k = 0; k < 3; k++) {
        work_add(&plain, 5, 13, TG_MATRIX, (uint32_t)(70 + k), TG_F32);
        work_add(&scaled, 5, 13, TG_MATRIX, (uint32_t)(70 + k), TG_F32);
    }
    work_start(&plain);
    work_start(&scaled);
    tg_grad grads[3];
    work_fill(&plain, 0);
    work_fill(&scaled, 0);
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < 65; i++)
            plain.t[k].g[i] = (float)((double)plain.t[k].g[i] * factor);
        for (size_t i = 0; i < 65; i++)
            scaled.t[k].g[i] *= scale;
        grads[k] = (tg_grad){.data = scaled.t[k].g, .format = TG_F32, .scale = scale};
    }
    must(work_arrays(&plain));
    must(tg_optim_step(scaled.o, grads));
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < 65; i++)
            if (!(fabsf(((float *)plain.t[k].data)[i] - ((float *)scaled.t[k].data)[i]) < 2e-6f))
                fail_msg("%s%s: scale %g, clip %s: %.9g and %.9g", rule, options_text(options), (double)scale,
                         clip == NULL ? "none" : clip, (double)((float *)plain.t[k].data)[i],
                         (double)((float *)scaled.t[k].data)[i]);
    work_destroy(&plain);
    work_destroy(&scaled);
}

static void check_factors(const char *rule, work_option *options, size_t count)
{
    (void)count;
    double squares = 0;
    for (uint32_t k = 0; k < 3; k++)
        for (size_t i = 0; i < 65; i++)
            squares += pow((double)input_gradient(70 + k, 0, i), 2);
    check_factor(rule, options, 1024.0f, NULL, 1);
    check_factor(rule, options, 4.0f, "0.5", 0.5 / (sqrt(squares) + 1e-6)); /* the norm is of the unscaled gradients */
    check_factor(rule, options, 1.0f, "1e6", 1);
}

static void test_factors(void **state) { (void)state, for_each_variant(check_factors); }

/* The global norm of buffered tiles is the norm of their sum, over micro-steps and tiles. */
static void check_buffered_norm(const char *format, double tolerance)
{
    const work_option options[] = {
        {"lr", "1"}, {"clip_norm", "0.731"}, {"gradients", "buffered"}, {"gradient_format", format}, {NULL, NULL}};
    for (int way = WORK_TILE; way < WORK_WAYS; way++) {
        work w;
        float old[2][65];
        double squares = 0;
        work_create(&w, "sgd", options);
        for (size_t k = 0; k < 2; k++) {
            work_add(&w, 5, 13, TG_MATRIX, (uint32_t)(80 + k), TG_F32);
            memcpy(old[k], w.t[k].data, sizeof old[k]);
        }
        work_start(&w);
        work_update(&w, 0, 3, (work_way)way);
        for (size_t k = 0; k < 2; k++)
            for (size_t i = 0; i < 65; i++)
                squares += pow((double)((float *)w.t[k].data)[i] - (double)old[k][i], 2);
        /* sgd with lr 1 moves by the clipped gradient */
        if (!(fabs(sqrt(squares) - 0.731) < tolerance))
            fail_msg("%s, way %d: the norm is %g", format, way, sqrt(squares));
        work_destroy(&w);
    }
}

static void test_buffered_norm(void **state)
{
    (void)state;
    check_buffered_norm("fp32", 1e-5);
    check_buffered_norm("bf16", 1e-5); /* of the gradient as it is stored, which is what is used */
    check_buffered_norm("fp16", 1e-5);
}

/* A lazy row without a gradient in this window does not count by what it had in another one. */
static void test_norm_of_lazy_rows(void **state)
{
    (void)state;
    const work_option options[] = {
        {"lr", "1"}, {"initial_accumulator_value", "1"}, {"gradients", "buffered"}, {NULL, NULL}};
    work w[2];
    for (int clipped = 0; clipped < 2; clipped++) {
        work_create(&w[clipped], "adagrad", options);
        must(tg_optim_set(w[clipped].o, TG_ALL_GROUPS, "clip_norm", clipped ? "5" : "1e6"));
        work_add(&w[clipped], 6, 3, TG_EMBEDDING, 80, TG_F32);
        work_start(&w[clipped]);
        for (uint32_t update = 0; update < 2; update++) {
            const float tile[3] = {update == 0 ? 4.9f : 1.3f, 0.7f,
                                   -0.4f}; /* each update's norm is below 5, both's is not */
            must(tg_optim_begin(w[clipped].o, 1));
            must(tg_optim_accumulate_rows(w[clipped].o, 0, &(uint32_t){update == 0 ? 4 : 1}, 1, tile));
            must(tg_optim_micro_end(w[clipped].o));
            must(tg_optim_end(w[clipped].o));
        }
    }
    assert_memory_equal(w[0].t[0].data, w[1].t[0].data, 18 * sizeof(float));
    work_destroy(&w[0]);
    work_destroy(&w[1]);
}

/* How far tensor k went from `old`. */
static double way_of(const work *w, size_t k, const float *old)
{
    double squares = 0;
    for (size_t i = 0; i < w->t[k].n; i++)
        squares += pow((double)((float *)w->t[k].data)[i] - (double)old[i], 2);
    return sqrt(squares);
}

/* The norm is of what is used: not of a tensor that got no tile in this window, nor of one with NaN. */
static void test_norm_of_the_used(void **state)
{
    (void)state;
    for (int buffered = 0; buffered < 2; buffered++) {
        const work_option options[] = {
            {"lr", "1"}, {"clip_norm", "0.731"}, {"gradients", buffered ? "buffered" : "auto"}, {NULL, NULL}};
        work w;
        float old[65];
        work_create(&w, "sgd", options);
        work_add(&w, 5, 13, TG_MATRIX, 80, TG_F32);
        work_add(&w, 5, 13, TG_MATRIX, 81, TG_F32);
        work_start(&w);
        work_update(&w, 0, 1, buffered ? WORK_TILE : WORK_ARRAYS);
        memcpy(old, w.t[0].data, sizeof old);
        if (buffered) {
            w.t[1].absent = true;
            work_update(&w, 1, 1, WORK_TILE);
        } else {
            work_fill(&w, 1);
            w.t[1].g[7] = NAN;
            must(work_arrays(&w));
        }
        assert_true(fabs(way_of(&w, 0, old) - 0.731) < 1e-5);
        work_destroy(&w);
    }
}

/* sgd with lr 1 goes as far as the gradient is long: a third of the weights' norm, of a tensor whose gradient is
 * longer; another one's is as it was, whatever the first one's is. The same however gradients come. */
static void check_adaptive(const char *gradients, work_way way, size_t micro)
{
    const work_option options[] = {{"lr", "1"}, {"clip_adaptive", "0.3"}, {"gradients", gradients}, {NULL, NULL}};
    work w;
    float old[3][65];
    double weights[3] = {0}, length = 0;
    work_create(&w, "sgd", options);
    for (size_t k = 0; k < 3; k++)
        work_add(&w, 5, 13, TG_MATRIX, (uint32_t)(80 + k), TG_F32);
    for (size_t i = 0; i < 65; i++) {
        ((float *)w.t[1].data)[i] *= 1e4f; /* its gradient is short beside it */
        ((float *)w.t[2].data)[i] = 0;
    }
    work_start(&w);
    for (int update = 0; update < 2; update++) {
        for (size_t k = 0; k < 3; k++) {
            memcpy(old[k], w.t[k].data, sizeof old[k]);
            weights[k] = 0;
            for (size_t i = 0; i < 65; i++)
                weights[k] += pow((double)old[k][i], 2);
        }
        work_update(&w, (size_t)update, micro, way);
        assert_true(fabs(way_of(&w, 0, old[0]) - 0.3 * sqrt(weights[0])) < 1e-5 * sqrt(weights[0]));
        if (update == 0) /* no weight, but a floor under their RMS */
            assert_true(fabs(way_of(&w, 2, old[2]) - 0.3e-3 * sqrt(65)) < 1e-8);
    }
    for (size_t i = 0; i < 65; i++)
        length += pow((double)w.t[1].g[i], 2);
    if (micro == 1) /* g is the last micro-step's */
        assert_true(fabs(way_of(&w, 1, old[1]) - sqrt(length)) < 1e-2 * sqrt(length));
    work_destroy(&w);
}

static void test_adaptive(void **state)
{
    (void)state;
    check_adaptive("auto", WORK_ARRAYS, 1);
    check_adaptive("released", WORK_TILE, 1);
    check_adaptive("buffered", WORK_TILE, 1);
    for (int way = WORK_TILE; way < WORK_WAYS; way++)
        check_adaptive("buffered", (work_way)way, 3);
}

/* A frozen tensor's gradient may be given: nothing is done with it. */
static void test_frozen_gradient(void **state)
{
    (void)state;
    const work_option options[] = {{"lr", "1"}, {"clip_norm", "0.731"}, {NULL, NULL}};
    work w;
    float old[65], frozen[65];
    work_create(&w, "sgd", options);
    work_add(&w, 5, 13, TG_MATRIX, 80, TG_F32);
    work_add(&w, 5, 13, TG_MATRIX, 81, TG_F32)->frozen = true;
    work_start(&w);
    work_fill(&w, 0);
    memcpy(old, w.t[0].data, sizeof old);
    memcpy(frozen, w.t[1].data, sizeof frozen);
    must(tg_optim_step(w.o, (tg_grad[]){{.data = w.t[0].g, .format = TG_F32}, {.data = w.t[1].g, .format = TG_F32}}));
    assert_true(fabs(way_of(&w, 0, old) - 0.731) < 1e-5);
    assert_memory_equal(w.t[1].data, frozen, sizeof frozen);
    work_destroy(&w);
}

/* bf16 and fp16 gradient arrays are what their values are. */
static void check_half_gradients(const char *rule, work_option *options, size_t count)
{
    (void)count;
    for (int format = TG_BF16; format <= TG_F16; format++) {
        work a, b;
        uint16_t h[65];
        work_create(&a, rule, options);
        work_create(&b, rule, options);
        work_add(&a, 5, 13, TG_MATRIX, 7, TG_F32);
        work_add(&b, 5, 13, TG_MATRIX, 7, TG_F32);
        work_start(&a);
        work_start(&b);
        for (size_t u = 0; u < 3; u++) {
            work_fill(&a, u);
            work_fill(&b, u);
            tg_kernels_get()->narrow(h, a.t[0].g, (tg_format)format, 65);
            tg_kernels_get()->widen(a.t[0].g, h, (tg_format)format, 65);
            must(work_arrays(&a));
            must(tg_optim_step(b.o, &(tg_grad){.data = h, .format = (tg_format)format}));
        }
        assert_memory_equal(a.t[0].data, b.t[0].data, 65 * sizeof(float));
        work_destroy(&a);
        work_destroy(&b);
    }
}

static void test_half_gradients(void **state) { (void)state, for_each_variant(check_half_gradients); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_subnormal),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_adaptive),
        cmocka_unit_test(test_norm_of_lazy_rows),
        cmocka_unit_test(test_buffered_norm),
        cmocka_unit_test(test_half_gradients),
        cmocka_unit_test(test_norm_of_the_used),
        cmocka_unit_test(test_frozen_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
