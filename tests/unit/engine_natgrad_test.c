/* engine_natgrad_test.c -- steps of natgrad on a tiny GPT are those of its equations: rows from a graph of one
 * sequence, the dense matrix in double, solved by elimination. */
#include <math.h>
#include <stdlib.h>

#include "session_support.h"
#include "train/mover.h"
#include "train/task.h"

#define ROWS 7        /* more than the six sequences of an update, */
#define DAMPING 0.21  /* as in the settings below */
#define ROUNDING 1e-4 /* of a step: gradients are sums of fp32 */

typedef struct setup {
    tg_train_config config;
    tg_session session;
    tg_graph *single;
    size_t n;
    double *before, *gradient; /* (n) */
    double *row, *matrix;      /* (n), (n, n) */
    session_gradients sum;     /* what the sink is given */
} setup;

static void begin(setup *s, int closure)
{
    static const tg_setting setting[3] = {{"samples", "7"}, {"damping", "0.21"}, {"max_ls", "30"}};
    memset(s, 0, sizeof *s);
    configure_session(&s->config, "gpt2", "natgrad", setting, TG_PRECISION_FP32);
    s->config.option[TG_TRAIN_ACCUMULATE] = 2;
    s->config.option[TG_TRAIN_CLOSURE] = closure;
    tg_session *n = &s->session;
    ok(tg_session_open(n, &s->config, NULL));
    ok(tg_session_allocate(n));
    ok(tg_model_initialize(n->model, 3));
    session_gradients_init(&s->sum, n->model);
    s->n = s->sum.n;
    for (size_t w = 0; w < tg_model_weight_count(n->model); w++) {
        const tg_param *p = tg_model_weight(n->model, w);
        for (size_t i = 0; i < p->rows * p->cols; i++)
            ((float *)p->data)[i] += 0.31f * tg_random_normal(tg_key_make(11, w, 0, 0), (uint32_t)i);
    }
    ok(n->mover->begin(n, NULL, NULL));
    ok(tg_model_graph(&s->single, n->model, TG_TRAIN, n->train->format, 1, n->train->time));
    ok(tg_graph_plan(s->single, TG_RECOMPUTE_NONE));
    ok(tg_graph_allocate(s->single));
    s->before = calloc(s->n, sizeof(double));
    s->gradient = calloc(s->n, sizeof(double));
    s->row = calloc(s->n, sizeof(double));
    s->matrix = calloc(s->n * s->n, sizeof(double));
    assert_true(s->before && s->gradient && s->row && s->matrix);
}

static void end(setup *s)
{
    tg_graph_destroy(s->single);
    session_gradients_fini(&s->sum);
    tg_session_close(&s->session);
    free(s->before), free(s->gradient), free(s->row), free(s->matrix);
}

static void read_weights(const setup *s, double *to)
{
    for (size_t w = 0; w < tg_model_weight_count(s->session.model); w++) {
        const tg_param *p = tg_model_weight(s->session.model, w);
        for (size_t i = 0; i < p->rows * p->cols; i++)
            *to++ = (double)((const float *)p->data)[i];
    }
}

/* ---- what the step should be ------------------------------------------------------------------------------------- */

/* The sequences of a micro-batch of an update. */
static void read_batch(setup *s, uint64_t update, size_t micro)
{
    tg_session *n = &s->session;
    uint32_t lengths[3];
    if (s->config.option[TG_TRAIN_CLOSURE] == TG_CLOSURE_ALL)
        ok(n->task->window(n, micro, lengths));
    else
        ok(n->task->batch(n, update, (uint32_t)micro));
}

/* out (n) += the gradient's sum over the targets of a run; their count. */
static double add_gradient(setup *s, double *out, tg_graph *graph, tg_run *run)
{
    session_gradients_zero(&s->sum);
    run->sink = session_gradients_sink(&s->sum);
    ok(tg_graph_run(graph, run));
    for (size_t i = 0; i < s->n; i++)
        out[i] += (double)s->sum.all[i] * (double)run->targets_counted;
    return (double)run->targets_counted;
}

static void expected_gradient(setup *s, uint64_t update)
{
    double counted = 0;
    memset(s->gradient, 0, s->n * sizeof(double));
    for (size_t micro = 0; micro < s->session.mover->micro_steps(&s->session); micro++) {
        read_batch(s, update, micro);
        tg_run run = tg_session_run(&s->session, update, (uint32_t)micro);
        counted += add_gradient(s, s->gradient, s->session.train, &run);
    }
    for (size_t i = 0; i < s->n; i++)
        s->gradient[i] /= counted;
}

/* Sequence j of them is `first` + j; labels are drawn with the key of j. */
static void expected_matrix(setup *s, uint64_t update, size_t first)
{
    const size_t time = s->session.train->time, samples = 3 * s->session.mover->micro_steps(&s->session);
    double counted = 0;
    memset(s->matrix, 0, s->n * s->n * sizeof(double));
    for (size_t j = 0; j < ROWS; j++) {
        const size_t sample = (first + j) % samples;
        read_batch(s, update, sample / 3);
        tg_run run = tg_session_run(&s->session, update, (uint32_t)j);
        run.tokens += sample % 3 * time;
        run.targets += sample % 3 * time;
        run.draws_labels = true;
        memset(s->row, 0, s->n * sizeof(double));
        counted += add_gradient(s, s->row, s->single, &run);
        for (size_t i = 0; i < s->n * s->n; i++)
            s->matrix[i] += s->row[i / s->n] * s->row[i % s->n];
    }
    for (size_t i = 0; i < s->n * s->n; i++)
        s->matrix[i] = s->matrix[i] / counted + (i % (s->n + 1) == 0 ? DAMPING : 0);
}

/* x <- matrix^-1 x; the matrix is positive definite and needs no pivots. */
static void eliminate(size_t n, double *matrix, double *x)
{
    for (size_t k = 0; k < n; k++)
        for (size_t i = k + 1; i < n; i++) {
            const double by = matrix[i * n + k] / matrix[k * n + k];
            for (size_t j = k; j < n; j++)
                matrix[i * n + j] -= by * matrix[k * n + j];
            x[i] -= by * x[k];
        }
    for (size_t k = n; k-- > 0;) {
        for (size_t j = k + 1; j < n; j++)
            x[k] -= matrix[k * n + j] * x[j];
        x[k] /= matrix[k * n + k];
    }
}

/* The update's way against -x, whatever length the line search found. */
static void check_way(const setup *s, const double *x)
{
    double *after = calloc(s->n, sizeof(double)), along = 0, square = 0, gap = 0, way = 0;
    read_weights(s, after);
    for (size_t i = 0; i < s->n; i++) {
        along -= (after[i] - s->before[i]) * x[i];
        square += x[i] * x[i];
    }
    for (size_t i = 0; i < s->n; i++) {
        const double to = -x[i] * along / square;
        gap += (after[i] - s->before[i] - to) * (after[i] - s->before[i] - to);
        way += to * to;
    }
    free(after);
    assert_true(along > 0);
    if (!(sqrt(gap) <= ROUNDING * sqrt(way)))
        fail_msg("%g of the way off", sqrt(gap / way));
}

static void make_update(setup *s, uint64_t update)
{
    tg_move step = {.update = update};
    read_weights(s, s->before);
    ok(s->session.mover->update(&s->session, &step));
    assert_null(step.stuck);
}

/* ---- closures ---------------------------------------------------------------------------------------------------- */

static void check_step(setup *s, uint64_t update, size_t first)
{
    expected_gradient(s, update);
    expected_matrix(s, update, first);
    eliminate(s->n, s->matrix, s->gradient);
    make_update(s, update);
    check_way(s, s->gradient);
}

static void fresh_batches(void **state)
{
    (void)state;
    setup s;
    begin(&s, TG_CLOSURE_FRESH);
    for (uint64_t update = 0; update < 3; update++)
        check_step(&s, update, 0);
    end(&s);
}

/* Every update takes the next samples. */
static void all_of_the_text(void **state)
{
    (void)state;
    setup s;
    begin(&s, TG_CLOSURE_ALL);
    const size_t samples = 3 * s.session.mover->micro_steps(&s.session);
    assert_true(samples > 3 * ROWS);
    for (uint64_t update = 0; update < 3; update++)
        check_step(&s, update, update * ROWS);
    make_update(&s, 3);
    check_step(&s, samples - 1, (samples - 1) * ROWS % samples); /* those at the end, and the first again */
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fresh_batches), cmocka_unit_test(all_of_the_text)};
    return cmocka_run_group_tests(tests, make_text, remove_text);
}
