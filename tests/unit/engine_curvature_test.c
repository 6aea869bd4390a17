/* Sophia's estimates in the loop: Hutchinson's against the Hessian's diagonal by differences of gradients,
 * Gauss-Newton-Bartlett's against gradients with the same labels; neither leaves a trace in the weights. */
#include <math.h>
#include <stdlib.h>

#include "base/kernels.h"
#include "session_support.h"
#include "train/curvature.h"

/* ---- a session of a tiny model, whose weights matter all ---- */

typedef struct setup {
    tg_train_config config;
    tg_setting setting[3];
    tg_session session;
} setup;

static void configure(setup *s, const char *hessian, tg_precision precision)
{
    memset(s, 0, sizeof *s);
    s->setting[0] = (tg_setting){"hessian", hessian};
    s->setting[1] = (tg_setting){"beta2", "0"}; /* the state is the last estimate */
    s->setting[2] = (tg_setting){"interval", "7"};
    configure_session(&s->config, "gpt2", "sophia", s->setting, precision);
}

static void begin(setup *s, const char *hessian, tg_precision precision)
{
    configure(s, hessian, precision);
    ok(tg_session_open(&s->session, &s->config, NULL));
    ok(tg_session_allocate(&s->session));
    ok(tg_model_initialize(s->session.model, 3));
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
        const tg_param *p = tg_model_weight(s->session.model, w);
        for (size_t i = 0; i < p->rows * p->cols; i++) {
            char *at = (char *)p->data + i * tg_format_bytes(p->format);
            float x;
            tg_kernels_get()->widen(&x, at, p->format, 1);
            x += 0.31f * tg_random_normal(tg_key_make(11, w, 0, 0), (uint32_t)i);
            tg_kernels_get()->narrow(at, &x, p->format, 1);
        }
    }
    ok(tg_optim_refresh(s->session.optim));
}

static size_t values_of(const setup *s, size_t w)
{
    const tg_param *p = tg_model_weight(s->session.model, w);
    return p->rows * p->cols;
}

static uint64_t weights_hash(const setup *s)
{
    uint64_t hash = 1;
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
        const tg_param *p = tg_model_weight(s->session.model, w);
        const unsigned char *bytes = p->data;
        for (size_t i = 0; i < p->rows * p->cols * tg_format_bytes(p->format); i++)
            hash = tg_mix64(hash ^ bytes[i]);
    }
    return hash;
}

/* The estimate that weight w has now, in fp32. */
static void read_estimate(float *values, const setup *s, size_t w)
{
    char name[128];
    snprintf(name, sizeof name, "%s/hessian", tg_model_weight(s->session.model, w)->name);
    for (size_t i = 0; i < tg_optim_state_count(s->session.optim); i++)
        if (strcmp(tg_optim_state(s->session.optim, i)->name, name) == 0) {
            ok(tg_optim_state_values(s->session.optim, i, values));
            return;
        }
    fail_msg("there is no state %s", name);
}

/* ---- gradients of the session's batch into arrays ---- */

/* Runs the first batch of `update`; returns the number of targets. */
static double run_batch(session_gradients *all, setup *s, uint64_t update, bool draws)
{
    tg_session *n = &s->session;
    ok(tg_corpus_batch(n->corpus, n->tokens, n->targets, n->train->batch, n->train->time, 2385, update, 0));
    session_gradients_zero(all);
    tg_run run = {.tokens = n->tokens,
                  .targets = n->targets,
                  .seed = 2385,
                  .update = update,
                  .draws_labels = draws,
                  .sink = session_gradients_sink(all)};
    ok(tg_graph_run(n->train, &run));
    return (double)run.targets_counted;
}

/* ---- Hutchinson ---- */

#define PROBES 600
#define STEP 2e-3            /* of the reference's differences */
#define SIGMAS 5.0           /* of the mean of PROBES estimates; over some hundred values */
#define ROUNDING 2e-3        /* of differences of fp32 gradients over 2 STEP, and over the loop's probe length */
#define WHOLE_TOLERANCE 0.15 /* of the diagonal's norm */

/* An update without gradients, which moves nothing: the next probe has other signs. */
static void count_an_update(setup *s)
{
    ok(tg_optim_begin(s->session.optim, 1));
    ok(tg_optim_micro_end(s->session.optim));
    ok(tg_optim_end(s->session.optim));
}

/* The mean of PROBES estimates to mean, their variance to spread. */
static void average_estimates(setup *s, session_gradients *mean, session_gradients *spread)
{
    session_gradients now;
    session_gradients_init(&now, s->session.model);
    for (uint64_t probe = 0; probe < PROBES; probe++) {
        ok(tg_curvature_observe(&s->session, 14));
        count_an_update(s);
        for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
            read_estimate(now.g[w], s, w);
            for (size_t i = 0; i < values_of(s, w); i++) {
                mean->g[w][i] += now.g[w][i] / PROBES;
                spread->g[w][i] += now.g[w][i] * now.g[w][i] / PROBES;
            }
        }
    }
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++)
        for (size_t i = 0; i < values_of(s, w); i++)
            spread->g[w][i] -= mean->g[w][i] * mean->g[w][i];
    session_gradients_fini(&now);
}

static double diagonal_by_differences(session_gradients *all, setup *s, size_t w, size_t i)
{
    float *x = (float *)tg_model_weight(s->session.model, w)->data + i;
    const float kept = *x;
    *x = kept + (float)STEP;
    const double above = (double)*x;
    run_batch(all, s, 14, false);
    const double up = (double)all->g[w][i];
    *x = kept - (float)STEP;
    const double below = (double)*x;
    run_batch(all, s, 14, false);
    *x = kept;
    return (up - (double)all->g[w][i]) / (above - below);
}

static void hutchinson_approaches_the_diagonal(void **state)
{
    (void)state;
    setup s;
    session_gradients mean, spread, scratch;
    begin(&s, "hutchinson", TG_PRECISION_FP32);
    session_gradients_init(&mean, s.session.model);
    session_gradients_init(&spread, s.session.model);
    session_gradients_init(&scratch, s.session.model);
    const uint64_t before = weights_hash(&s);
    average_estimates(&s, &mean, &spread);
    assert_true(weights_hash(&s) == before);
    double error = 0, size = 0;
    for (size_t w = 0; w < tg_model_weight_count(s.session.model); w++)
        for (size_t i = 0; i < values_of(&s, w); i++) {
            const double wanted = diagonal_by_differences(&scratch, &s, w, i), got = (double)mean.g[w][i];
            const double bound = SIGMAS * sqrt(fmax((double)spread.g[w][i], 0) / PROBES) + ROUNDING;
            if (!(fabs(got - wanted) <= bound))
                fail_msg("%s[%zu]: %g, by differences %g (bound %g)", tg_model_weight(s.session.model, w)->name, i, got,
                         wanted, bound);
            error += (got - wanted) * (got - wanted);
            size += wanted * wanted;
        }
    if (!(error < WHOLE_TOLERANCE * WHOLE_TOLERANCE * size))
        fail_msg("the mean estimate is off by %g of the diagonal's norm %g", sqrt(error / size), sqrt(size));
    session_gradients_fini(&mean);
    session_gradients_fini(&spread);
    session_gradients_fini(&scratch);
    tg_session_close(&s.session);
}

/* ---- Gauss-Newton-Bartlett ---- */

static void drawn_labels_give_n_squares(void **state)
{
    (void)state;
    static const tg_precision precisions[] = {TG_PRECISION_FP32, TG_PRECISION_MIXED};
    for (size_t p = 0; p < 2; p++) {
        setup s;
        session_gradients drawn, got;
        begin(&s, "gnb", precisions[p]);
        session_gradients_init(&drawn, s.session.model);
        session_gradients_init(&got, s.session.model);
        const uint64_t before = weights_hash(&s);
        ok(tg_curvature_observe(&s.session, 14));
        assert_true(weights_hash(&s) == before);
        const double n = run_batch(&drawn, &s, 14, true);
        assert_true(n == 15);
        size_t counted = 0;
        for (size_t w = 0; w < tg_model_weight_count(s.session.model); w++) {
            read_estimate(got.g[w], &s, w);
            for (size_t i = 0; i < values_of(&s, w); i++) {
                const double g = (double)drawn.g[w][i], wanted = n * g * g;
                assert_true(fabs((double)got.g[w][i] - wanted) <= 1e-6 * wanted + 1e-30);
                counted += wanted > 0;
            }
        }
        assert_true(counted > 200);
        session_gradients_fini(&drawn);
        session_gradients_fini(&got);
        tg_session_close(&s.session);
    }
}

/* ---- when, and what it takes ---- */

static void only_every_interval(void **state)
{
    (void)state;
    setup s;
    session_gradients got;
    begin(&s, "gnb", TG_PRECISION_FP32);
    session_gradients_init(&got, s.session.model);
    for (uint64_t update = 1; update <= 7; update++) {
        double sum = 0;
        ok(tg_curvature_observe(&s.session, update));
        for (size_t w = 0; w < tg_model_weight_count(s.session.model); w++) {
            read_estimate(got.g[w], &s, w);
            for (size_t i = 0; i < values_of(&s, w); i++)
                sum += (double)got.g[w][i];
        }
        assert_true((sum > 0) == (update == 7));
    }
    session_gradients_fini(&got);
    tg_session_close(&s.session);
}

/* Hutchinson's estimate keeps a copy of the weights, and the plan says so. */
static void plan_counts_the_copy(void **state)
{
    (void)state;
    static const char *const hessian[] = {"gnb", "hutchinson"};
    tg_plan plan[2];
    setup s;
    for (int i = 0; i < 2; i++) {
        configure(&s, hessian[i], TG_PRECISION_FP32);
        ok(tg_train_plan(&plan[i], &s.config));
    }
    assert_int_equal(plan[1].scratch_bytes - plan[0].scratch_bytes, plan[0].weights_bytes);
    assert_true(plan[0].weights_bytes > 1000);
}

static void refused_before_it_begins(const char *hessian, tg_precision precision, const char *place)
{
    setup s;
    configure(&s, hessian, precision);
    tg_setting setting[4] = {s.setting[0], s.setting[1], s.setting[2], {"gradients", place}};
    s.config.setting = setting;
    s.config.settings = 4;
    assert_int_equal(tg_session_open(&s.session, &s.config, NULL), TG_EINVAL);
}

static void what_cannot_be_observed_is_refused(void **state)
{
    (void)state;
    refused_before_it_begins("gnb", TG_PRECISION_FP32, "released");
    assert_non_null(strstr(tg_message(), "gradients=buffered"));
    refused_before_it_begins("hutchinson", TG_PRECISION_BF16, "buffered");
    assert_non_null(strstr(tg_message(), "hessian=gnb"));
    refused_before_it_begins("hutchinson", TG_PRECISION_FP16, "buffered");
    assert_non_null(strstr(tg_message(), "hessian=gnb"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hutchinson_approaches_the_diagonal),
        cmocka_unit_test(drawn_labels_give_n_squares),
        cmocka_unit_test(only_every_interval),
        cmocka_unit_test(plan_counts_the_copy),
        cmocka_unit_test(what_cannot_be_observed_is_refused),
    };
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
