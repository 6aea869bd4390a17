/* engine_fisher_test.c -- rows of layers in the loop: what linear layers hand over is what their weights' gradients are
 * made of; the optimizer's factors are its second moments, with drawn labels and with the data's; when, and what it
 * leaves alone. */
#include <math.h>
#include <stdlib.h>

#include "base/kernels.h"
#include "session_support.h"
#include "train/fisher.h"

#define ROUNDING 3e-6      /* of fp32 sums of 15 products, to the largest of them */
#define HALF_ROUNDING 2e-2 /* of activations and gradients in bf16, where one side was rounded once more */

/* ---- a session of a tiny model, and all that its layers say ---- */

typedef struct setup {
    session_gradients got; /* first, as its sink's functions get it */
    tg_train_config config;
    tg_setting setting[3];
    tg_session session;
    float *a[SESSION_MOST_WEIGHTS], *g[SESSION_MOST_WEIGHTS]; /* rows of a matrix's layer, widened */
    size_t rows[SESSION_MOST_WEIGHTS];
    double scale[SESSION_MOST_WEIGHTS];
} setup;

static void begin(setup *s, const char *model, const char *fisher, const char *interval, tg_precision precision)
{
    memset(s, 0, sizeof *s);
    s->setting[0] = (tg_setting){"fisher", fisher};
    s->setting[1] = (tg_setting){"interval", interval};
    s->setting[2] = (tg_setting){"lr", "0.0071"};
    configure_session(&s->config, model, "kfac", s->setting, precision);
    ok(tg_session_open(&s->session, &s->config, NULL));
    ok(tg_session_allocate(&s->session));
    ok(tg_model_initialize(s->session.model, 3));
    session_gradients_init(&s->got, s->session.model);
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
        const tg_param *p = tg_model_weight(s->session.model, w);
        for (size_t i = 0; i < p->rows * p->cols; i++)
            ((float *)p->data)[i] += 0.31f * tg_random_normal(tg_key_make(11, w, 0, 0), (uint32_t)i);
    }
    ok(tg_optim_refresh(s->session.optim));
}

static void end(setup *s)
{
    for (size_t w = 0; w < SESSION_MOST_WEIGHTS; w++)
        free(s->a[w]), free(s->g[w]);
    session_gradients_fini(&s->got);
    tg_session_close(&s->session);
}

static size_t in_of(const tg_param *p) { return p->layer == TG_LAYER_IN_BY_OUT ? p->rows : p->cols; }
static size_t out_of(const tg_param *p) { return p->layer == TG_LAYER_IN_BY_OUT ? p->cols : p->rows; }

static tg_status take_layer(void *ctx, size_t weight, const tg_layer_rows *rows)
{
    setup *s = ctx;
    const tg_param *p = tg_model_weight(s->session.model, weight);
    assert_true(s->a[weight] == NULL && p->layer != TG_NO_LAYER);
    s->rows[weight] = rows->rows;
    s->scale[weight] = rows->scale;
    s->a[weight] = calloc(rows->rows * in_of(p), sizeof(float));
    s->g[weight] = calloc(rows->rows * out_of(p), sizeof(float));
    tg_kernels_get()->widen(s->a[weight], rows->inputs, rows->format, rows->rows * in_of(p));
    tg_kernels_get()->widen(s->g[weight], rows->gradients, rows->format, rows->rows * out_of(p));
    return TG_OK;
}

static bool every_layer(void *ctx, size_t weight)
{
    return tg_model_weight(((setup *)ctx)->session.model, weight)->layer != TG_NO_LAYER;
}

/* The first batch of `update`: rows and gradients of everything. */
static void capture(setup *s, uint64_t update, bool draws)
{
    tg_session *n = &s->session;
    ok(tg_corpus_batch(n->corpus, n->tokens, n->targets, n->train->batch, n->train->time, 2385, update, 0));
    tg_run run = {.tokens = n->tokens,
                  .targets = n->targets,
                  .seed = 2385,
                  .update = update,
                  .draws_labels = draws,
                  .sink = session_gradients_sink(&s->got)};
    run.sink.layer = take_layer;
    run.sink.observes = every_layer;
    ok(tg_graph_run(n->train, &run));
    assert_int_equal(run.targets_counted, 15);
}

static const float *state_of(const setup *s, const char *param, const char *slot)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s", param, slot);
    for (size_t i = 0; i < tg_optim_state_count(s->session.optim); i++)
        if (strcmp(tg_optim_state(s->session.optim, i)->name, name) == 0)
            return tg_optim_state(s->session.optim, i)->data;
    fail_msg("there is no state %s", name);
    return NULL;
}

static void check(double got, double want, double size, double tolerance, const char *what, size_t i)
{
    if (!(fabs(got - want) <= tolerance * size))
        fail_msg("%s[%zu]: %g, from the rows %g", what, i, got, want);
}

/* ---- what layers hand over ---- */

/* dW is the product of its rows, db their sum. */
static void check_gradients(const setup *s, size_t w, double tolerance)
{
    const tg_param *p = tg_model_weight(s->session.model, w);
    const size_t in = in_of(p), out = out_of(p);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < s->rows[w]; t++) {
                const double term = (double)s->a[w][t * in + i] * (double)s->g[w][t * out + o];
                sum += term;
                size += fabs(term);
            }
            const size_t at = p->layer == TG_LAYER_IN_BY_OUT ? i * out + o : o * in + i;
            check((double)s->got.g[w][at], sum, size, tolerance, p->name, at);
        }
    for (size_t b = 0; p->bias != NULL && b < tg_model_weight_count(s->session.model); b++)
        for (size_t o = 0; strcmp(tg_model_weight(s->session.model, b)->name, p->bias) == 0 && o < out; o++) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < s->rows[w]; t++) {
                sum += (double)s->g[w][t * out + o];
                size += fabs((double)s->g[w][t * out + o]);
            }
            check((double)s->got.g[b][o], sum, size, tolerance, p->bias, o);
        }
}

static void rows_make_the_gradients(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        size_t layers;
    } models[] = {{"gpt2", 4}, {"llama", 7}};
    for (size_t m = 0; m < 2; m++)
        for (int half = 0; half < 2; half++) {
            setup s;
            size_t found = 0;
            begin(&s, models[m].model, "sampled", "7", half ? TG_PRECISION_MIXED : TG_PRECISION_FP32);
            capture(&s, 0, false);
            for (size_t w = 0; w < tg_model_weight_count(s.session.model); w++) {
                if (s.a[w] == NULL)
                    continue;
                found++;
                assert_int_equal(s.rows[w], 15);
                assert_true(s.scale[w] == 15);
                check_gradients(&s, w, half ? HALF_ROUNDING : ROUNDING);
            }
            assert_int_equal(found, models[m].layers);
            end(&s);
        }
}

/* ---- what the optimizer makes of it ---- */

/* One factor against its rows; the last of `n` is the 1 of a bias where x has n - 1 columns. */
static void check_factor(const float *factor, const float *x, size_t rows, size_t cols, size_t n, double by,
                         const char *name)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (size_t t = 0; t < rows; t++) {
                const double term = (i < cols ? (double)x[t * cols + i] : 1) * (j < cols ? (double)x[t * cols + j] : 1);
                sum += by * term;
                size += by * fabs(term);
            }
            check((double)factor[i * n + j], sum, size, ROUNDING, name, i * n + j);
        }
}

static void check_factors(const setup *s)
{
    size_t found = 0;
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
        const tg_param *p = tg_model_weight(s->session.model, w);
        if (p->layer == TG_NO_LAYER)
            continue;
        const bool swapped = p->layer == TG_LAYER_IN_BY_OUT;
        const size_t in = in_of(p), out = out_of(p);
        check_factor(state_of(s, p->name, swapped ? "left" : "right"), s->a[w], s->rows[w], in, in + (p->bias != NULL),
                     1 / (double)s->rows[w], p->name);
        check_factor(state_of(s, p->name, swapped ? "right" : "left"), s->g[w], s->rows[w], out, out, s->scale[w],
                     p->name);
        double batches;
        memcpy(&batches, state_of(s, p->name, "batches"), sizeof batches);
        assert_true(batches == 1);
        found++;
    }
    assert_true(found >= 4);
}

static uint64_t weights_hash(const setup *s)
{
    uint64_t hash = 1;
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
        const tg_param *p = tg_model_weight(s->session.model, w);
        for (size_t i = 0; i < p->rows * p->cols; i++)
            hash = tg_mix64(hash ^ tg_bits_from_float(((const float *)p->data)[i]));
    }
    return hash;
}

static void drawn_labels_give_the_factors(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama"};
    for (int m = 0; m < 2; m++)
        for (int half = 0; half < 2; half++) {
            setup s;
            begin(&s, models[m], "sampled", "7", half ? TG_PRECISION_MIXED : TG_PRECISION_FP32);
            const uint64_t before = weights_hash(&s);
            ok(tg_fisher_observe(&s.session, 0));
            assert_true(weights_hash(&s) == before);
            assert_null(tg_fisher_sink(&s.session, 0).layer);
            capture(&s, 0, true);
            check_factors(&s);
            end(&s);
        }
}

/* With the data's labels the update's own first micro-step brings the rows. */
static void data_gives_the_factors(void **state)
{
    (void)state;
    setup s;
    begin(&s, "gpt2", "empirical", "7", TG_PRECISION_FP32);
    tg_session *n = &s.session;
    ok(tg_fisher_observe(n, 0)); /* nothing */
    assert_null(tg_fisher_sink(n, 1).layer);
    ok(tg_corpus_batch(n->corpus, n->tokens, n->targets, n->train->batch, n->train->time, 2385, 0, 0));
    ok(tg_optim_begin(n->optim, 1));
    tg_run run = {.tokens = n->tokens, .targets = n->targets, .seed = 2385, .sink = tg_fisher_sink(n, 0)};
    ok(tg_graph_run(n->train, &run));
    ok(tg_optim_micro_end(n->optim));
    capture(&s, 0, false); /* before the weights move */
    check_factors(&s);
    ok(tg_optim_end(n->optim));
    assert_null(tg_fisher_sink(n, 0).layer); /* not due again */
    end(&s);
}

/* Rows whose run has no target that counts are none. */
static void nothing_without_targets(void **state)
{
    (void)state;
    setup s;
    begin(&s, "gpt2", "empirical", "7", TG_PRECISION_FP32);
    tg_session *n = &s.session;
    ok(tg_corpus_batch(n->corpus, n->tokens, n->targets, n->train->batch, n->train->time, 2385, 0, 0));
    for (size_t i = 0; i < n->places; i++)
        n->targets[i] = -1;
    tg_run run = {
        .tokens = n->tokens, .targets = n->targets, .sink = {.ctx = &s, .layer = take_layer, .observes = every_layer}};
    ok(tg_graph_run(n->train, &run));
    for (size_t w = 0; w < SESSION_MOST_WEIGHTS; w++)
        assert_null(s.a[w]);
    end(&s);
}

int main(void)
{
    if (tg_rule_find("kfac") == NULL)
        return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_make_the_gradients),
        cmocka_unit_test(drawn_labels_give_the_factors),
        cmocka_unit_test(data_gives_the_factors),
        cmocka_unit_test(nothing_without_targets),
    };
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
