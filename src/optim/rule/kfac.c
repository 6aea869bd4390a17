/* kfac.c -- Kronecker-factored approximate curvature (Martens & Grosse 2015, arXiv:1503.05671), with the norm constraint of Ba,
 * Grosse & Martens 2017 ("Distributed second-order optimization using Kronecker-factored approximations").
 *
 * The Fisher matrix of a layer y = W a is taken for A (x) G, A = E[a a^T] of its inputs (a 1 behind them stands for the bias),
 * G = E[g g^T] of the loss's gradients at its outputs. In a matrix's own terms, whichever side is the inputs':
 *
 *   L, R <- b L + (1-b) L', b R + (1-b) R'   b = min(1 - 1/k, beta), from the k-th batch of rows; section 5
 *   L^ = (L + pi sqrt(damping) I)^-1         every `interval` updates; section 6.3:
 *   R^ = (R + sqrt(damping) / pi I)^-1       pi = sqrt((tr L / rows) / (tr R / columns))
 *   u = L^ g R^                              the matrix's gradient with its bias's; section 4.2
 *   m <- momentum m + nu u                   nu = min(1, sqrt(kl_clip / (lr^2 sum of <u, g> over all layers)))
 *   x <- x - lr m                            after decoupled decay
 *
 * The rows are the caller's (tg_optim_observe_layer). Deviations: damping does not adapt, momentum is a constant, decay
 * is no part of the damping. When one of a layer's factors cannot be inverted (it is not finite) both inverses stay the
 * last good ones, the failure is counted in `failures` and told; before the first they are the identity. Matrices of
 * linear layers, and kernels of convolutions, whose rows are windows (Grosse & Martens 2016), up to max_dim wide; all
 * other tensors get adamw. Cost: 2 M (rows^2 + columns^2) operations for M rows of a batch, 2 rows columns (rows +
 * columns) an update, rows^3 + columns^3 for new inverses. State: 2 rows^2 + 2 columns^2 values and 1 a weight. */
#include <string.h>

#include "base/fail.h"
#include "dense/dense.h"
#include "optim/rule/rest.h"

enum { LR, DECAY, MOMENTUM, BETA, DAMPING, KL_CLIP, INTERVAL, FISHER, MAX_DIM, REST };
enum { LEFT, RIGHT, LEFT_INVERSE, RIGHT_INVERSE, BATCHES, FAILURES, AVERAGE, SQUARES };
enum { K_STEP, K_MU, K_NU };

static const tg_option options[] = {
    TG_OPTION_LR(0.1, 1e-2, 1),
    TG_OPTION_DECAY(0.01),
    TG_OPTION_BETA("momentum", 0.9, 0, 0.95, "decay of the sum of steps"),
    TG_OPTION_BETA("beta", 0.95, 0.8, 0.99, "decay of the averages of factors, once as many batches were seen"),
    {.name = "damping", .kind = TG_REAL, .value = 0.1, .least = 0, .most = INFINITY, .search_least = 1e-3, .search_most = 10,
     .search_log = 1, .help = "added to the curvature, split between both factors"},
    {.name = "kl_clip", .kind = TG_REAL, .value = 3e-3, .least = 0, .most = INFINITY, .search_least = 1e-4, .search_most = 1e-1,
     .search_log = 1, .help = "longest step of all layers, by the curvature: twice its divergence; 0: off"},
    {.name = "interval", .kind = TG_INTEGER, .value = 5, .least = 1, .most = 1e9,
     .help = "updates from rows to rows, and from inverses to inverses"},
    {.name = "fisher", .kind = TG_CHOICE, .value = 0, .most = 1, .choices = "sampled|empirical",
     .help = "rows of labels drawn from the model's own output, in a pass of their own, or of the data's"},
    {.name = "max_dim", .kind = TG_INTEGER, .value = 4096, .least = 2, .most = 32768,
     .help = "layers with more inputs or outputs get adamw"},
    TG_OPTIONS_REST_LR(0.03),
};

static const tg_slot slots[] = {
    [LEFT] = {.name = "left", .shape = TG_SLOT_LEFT, .owner = TG_SLOT_WHOLE},
    [RIGHT] = {.name = "right", .shape = TG_SLOT_RIGHT, .owner = TG_SLOT_WHOLE},
    [LEFT_INVERSE] = {.name = "left_inverse", .shape = TG_SLOT_LEFT, .owner = TG_SLOT_WHOLE},
    [RIGHT_INVERSE] = {.name = "right_inverse", .shape = TG_SLOT_RIGHT, .owner = TG_SLOT_WHOLE},
    [BATCHES] = {.name = "batches", .shape = TG_SLOT_SCALAR, .owner = TG_SLOT_WHOLE},
    [FAILURES] = {.name = "failures", .shape = TG_SLOT_SCALAR, .owner = TG_SLOT_WHOLE},
    [AVERAGE] = {.name = "exp_avg"}, /* of a layer: the momentum */
    [SQUARES] = {.name = "exp_avg_sq", .needs_range = true, .owner = TG_SLOT_REST},
};

static bool whole(const double *option, const tg_param *p)
{
    return p->role == TG_MATRIX && p->layer != TG_NO_LAYER && !p->many_uses &&
           (double)(p->rows > p->cols ? p->rows : p->cols) <= option[MAX_DIM];
}

static size_t width(const double *option, size_t rows, size_t cols, bool right)
{
    (void)option;
    return right ? cols : rows;
}

static double kept(const tg_view *v) { return fmin(1 - 1 / *v->scalar[BATCHES], v->option[BETA]); }

static void prepare(float *k, const tg_view *v)
{
    const double lr = v->option[LR], most = v->option[KL_CLIP], length = lr * lr * v->measured;
    k[K_STEP] = (float)lr;
    k[K_MU] = (float)v->option[MOMENTUM];
    k[K_NU] = most > 0 && length > most ? (float)sqrt(most / length) : 1.0f;
    rest_prepare(k, v, lr, v->option + REST);
}

/* The direction starts as the gradient. */
static double look(const tg_block *b, const float *k)
{
    (void)k;
    memcpy(b->d, b->g, b->n * sizeof *b->d);
    return 0;
}

/* Both inverses in double, or a step and the half of it. */
static size_t matrix_bytes(const double *option, size_t rows, size_t cols)
{
    const size_t inverses = (rows * rows + cols * cols) * sizeof(double), step = 2 * rows * cols * sizeof(float);
    return (void)option, inverses > step ? inverses : step;
}

static double mean_diagonal(const float *factor, size_t n)
{
    double trace = 0;
    for (size_t i = 0; i < n; i++)
        trace += (double)factor[i * n + i];
    return trace / (double)n;
}

static tg_status invert(double *inverse, const float *factor, size_t n, double damping)
{
    for (size_t i = 0; i < n * n; i++)
        inverse[i] = (double)factor[i];
    for (size_t i = 0; i < n; i++)
        inverse[i * n + i] += damping;
    return tg_dense_inverse(TG_F64, n, inverse);
}

static void refresh(tg_matrix *m, const tg_view *v)
{
    const double left = mean_diagonal(m->slot[LEFT], m->rows), right = mean_diagonal(m->slot[RIGHT], m->cols);
    const double pi = left > 0 && right > 0 ? sqrt(left / right) : 1, root = sqrt(v->option[DAMPING]);
    double *l = m->scratch, *r = l + m->rows * m->rows;
    if (invert(l, m->slot[LEFT], m->rows, pi * root) != TG_OK || invert(r, m->slot[RIGHT], m->cols, root / pi) != TG_OK) {
        m->failures = ++*v->scalar[FAILURES];
        return;
    }
    for (size_t i = 0; i < m->rows * m->rows; i++)
        m->slot[LEFT_INVERSE][i] = (float)l[i];
    for (size_t i = 0; i < m->cols * m->cols; i++)
        m->slot[RIGHT_INVERSE][i] = (float)r[i];
}

static void identity(float *a, size_t n)
{
    for (size_t i = 0; i < n * n; i += n + 1)
        a[i] = 1;
}

static tg_status multiply(const tg_matrix *m, const float *a, const float *b, size_t depth, float *c)
{
    const tg_dense_product p = {.m = m->rows, .n = m->cols, .k = depth, .lda = depth, .ldb = m->cols, .ldc = m->cols,
                                .alpha = 1, .format = TG_F32};
    return tg_dense_multiply(&p, a, b, NULL, c, m->threads);
}

/* <a, b>, in lanes that a processor sums side by side. */
static double inner(const float *restrict a, const float *restrict b, size_t n)
{
    double lane[8] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++)
        lane[i % 8] += (double)a[i] * (double)b[i];
    for (size_t l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}

/* d, the gradient, becomes u = L^ d R^, and <u, d> is measured: u's length by the curvature. */
static tg_status matrix(tg_matrix *m, const tg_view *v)
{
    const size_t n = m->rows * m->cols;
    float *half = m->scratch, *u = half + n;
    if (*v->scalar[BATCHES] == 0)
        return tg_fail(TG_ESTATE, "no rows of its layer have come: tg_optim_observe_layer takes them, before the first update");
    if (m->slot[LEFT_INVERSE][0] == 0) {
        identity(m->slot[LEFT_INVERSE], m->rows);
        identity(m->slot[RIGHT_INVERSE], m->cols);
    }
    if ((v->t - 1) % (uint64_t)v->option[INTERVAL] == 0)
        refresh(m, v);
    tg_status status = multiply(m, m->slot[LEFT_INVERSE], m->d, m->rows, half);
    if (status == TG_OK)
        status = multiply(m, half, m->slot[RIGHT_INVERSE], m->cols, u);
    if (status == TG_OK) {
        m->measure = inner(u, m->d, n);
        memcpy(m->d, u, n * sizeof *u);
    }
    return status;
}

static void block(const tg_block *b, const float *k)
{
    if (b->d == NULL) {
        rest_block(b, AVERAGE, SQUARES, k);
        return;
    }
    float *restrict x = b->x, *restrict m = b->slot[AVERAGE];
    const float *restrict u = b->d;
    for (size_t i = 0; i < b->n; i++) {
        m[i] = k[K_MU] * m[i] + k[K_NU] * u[i];
        x[i] -= k[K_STEP] * m[i];
    }
}

const tg_rule TG_PER_ISA(tg_rule_kfac) = {
    .info =
        {.name = "kfac",
         .title = "natural gradient of linear layers and convolutions, by Kronecker factors of their curvature",
         .source = "Martens & Grosse 2015, arXiv:1503.05671; Ba, Grosse & Martens 2017",
         .equations =
             "x <- (1 - lr weight_decay) x\n"
             "A = E[a a^T];  G = E[g g^T]   of a layer's inputs, with a 1 for the bias, and output gradients:\n"
             "A <- b A + (1 - b) A';  G <- b G + (1 - b) G';  b = min(1 - 1/k, beta)   k-th batch of rows\n"
             "u = (G + sqrt(damping) / pi I)^-1 g (A + pi sqrt(damping) I)^-1   inverses anew every interval updates\n"
             "pi = sqrt((tr A / inputs) / (tr G / outputs))\n"
             "m <- momentum m + nu u        nu = min(1, sqrt(kl_clip / (lr^2 sum of <u, g> over layers)))\n"
             "x <- x - lr m\n"
             "other tensors: adamw with the learning rate lr adamw_lr",
         .when_to_use = "layers of some hundred features, where an update's curvature is worth more than its time",
         .options = TG_TABLE(options),
         .slots = slots,
         .slot_count = 8,
         .matrices = true,
         .layers = true},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .rest_lr = REST + REST_LR,
    .rest_decay = REST + REST_DECAY,
    .fixed = "max_dim",
    .prepare = prepare,
    .look = look,
    .whole = whole,
    .width = width,
    .matrix_bytes = matrix_bytes,
    .lapack = true,
    .matrix = matrix,
    .kept = kept,
    .factor = LEFT,
    .batches = BATCHES,
    .block = block,
};
