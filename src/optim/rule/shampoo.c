/* shampoo.c -- preconditioners for rows and columns (Gupta, Koren & Singer 2018, arXiv:1802.09568, Alg. 1), with grafting and
 * the ridge of Anil et al. 2020 (arXiv:2002.09018).
 *
 *   L <- b L + g g^T       R <- b R + g^T g       every `interval` updates: their roots (A + eps max(A) I)^(-1/p), max(A) the
 *   u = L^(-1/p) g R^(-1/p)                       largest eigenvalue
 *   x <- x - lr u |s| / |u|                       s: the step of the rule that is grafted on; without one, x - lr u
 *
 * after decoupled decay. b = 1 is the paper's sum. A side longer than max_dim keeps the diagonal of its factor. A root that
 * cannot be had (a factor that is not finite, an iteration without an end) is not used: the last good one stays, the failure
 * is counted in `failures` and told. Until the first root, it is the identity. Matrices that one layer uses; all other tensors
 * get adamw, whose options serve the grafted rules too. Cost: 2 rows cols (rows + cols) operations an update for the factors,
 * as many for the step, and some 10 (rows^3 + cols^3) for new roots. State: 2 rows^2 + 2 cols^2 values, and the grafted rule's. */
#include <string.h>

#include "optim/rule/rest.h"
#include "optim/rule/sums.h"
#include "optim/side.h"

enum { LR, DECAY, BETA, ROOT, RIDGE, INTERVAL, MAX_DIM, GRAFTING, REST };
enum { GRAFT_NONE, GRAFT_SGD, GRAFT_ADAGRAD, GRAFT_RMSPROP, GRAFT_ADAM };
enum { LEFT, RIGHT, LEFT_ROOT, RIGHT_ROOT, FAILURES, AVERAGE, SQUARES };
enum { K_STEP, K_B1, K_A1, K_B2, K_A2, K_MEAN, K_ROOT, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(1e-3, 1e-4, 1e-1),
    TG_OPTION_DECAY(0.01),
    {.name = "beta", .kind = TG_REAL, .value = 1, .least = 0, .most = 1, .search_least = 0.9, .search_most = 1,
     .help = "share of the old factors that is kept; 1: sums"},
    {.name = "root", .kind = TG_INTEGER, .value = 4, .least = 1, .most = 64, .help = "roots are taken to the power of -1 / root"},
    {.name = "ridge", .kind = TG_REAL, .value = 1e-5, .least = 0, .most = 1, .above = 1, .search_least = 1e-8, .search_most = 1e-2,
     .search_log = 1, .help = "added to a factor's diagonal, relative to its largest eigenvalue"},
    {.name = "interval", .kind = TG_INTEGER, .value = 20, .least = 1, .most = 1e9, .help = "updates from roots to roots"},
    {.name = "max_dim", .kind = TG_INTEGER, .value = 2048, .least = 1, .most = 16384,
     .help = "longer sides keep only the diagonal of their factor"},
    {.name = "grafting", .kind = TG_CHOICE, .value = GRAFT_ADAM, .least = 0, .most = 4, .choices = "none|sgd|adagrad|rmsprop|adam",
     .help = "the rule whose step gives the length"},
    TG_OPTIONS_REST,
};

static const tg_slot slots[] = {
    [LEFT] = {.name = "left", .shape = TG_SLOT_LEFT, .owner = TG_SLOT_WHOLE},
    [RIGHT] = {.name = "right", .shape = TG_SLOT_RIGHT, .owner = TG_SLOT_WHOLE},
    [LEFT_ROOT] = {.name = "left_root", .shape = TG_SLOT_LEFT, .owner = TG_SLOT_WHOLE},
    [RIGHT_ROOT] = {.name = "right_root", .shape = TG_SLOT_RIGHT, .owner = TG_SLOT_WHOLE},
    [FAILURES] = {.name = "failures", .shape = TG_SLOT_SCALAR, .owner = TG_SLOT_WHOLE},
    [AVERAGE] = {.name = "exp_avg"},
    [SQUARES] = {.name = "exp_avg_sq", .needs_range = true},
};

static bool whole(const double *option, const tg_param *p) { return (void)option, p->role == TG_MATRIX && !p->many_uses; }

static size_t width(const double *option, size_t rows, size_t cols, bool right)
{
    const size_t side = right ? cols : rows;
    return (double)side <= option[MAX_DIM] ? side : 1;
}

/* Which full slots a whole matrix has: the grafted rule's. */
static bool keeps(const double *option, size_t slot)
{
    return slot < AVERAGE || option[GRAFTING] == GRAFT_ADAM || (slot == SQUARES && option[GRAFTING] >= GRAFT_ADAGRAD);
}

static void prepare(float *k, const tg_view *v)
{
    const double *rest = v->option + REST, b1 = rest[REST_BETA1], b2 = rest[REST_BETA2], t = (double)v->t;
    const int graft = (int)v->option[GRAFTING];
    k[K_STEP] = (float)v->option[LR];
    k[K_B1] = (float)b1;
    k[K_A1] = (float)(1 - b1);
    k[K_B2] = graft == GRAFT_ADAGRAD ? 1.0f : (float)b2;
    k[K_A2] = graft == GRAFT_ADAGRAD ? 1.0f : (float)(1 - b2);
    k[K_MEAN] = (float)(1 / (1 - pow(b1, t)));
    k[K_ROOT] = graft == GRAFT_ADAM ? (float)(1 / sqrt(1 - pow(b2, t))) : 1.0f;
    k[K_EPS] = (float)rest[REST_EPS];
    rest_prepare(k, v, v->option[LR], rest);
}

/* Moves the grafted rule's states; the sum of squares of its step. */
static double look(const tg_block *b, const float *k)
{
    float *restrict m = b->slot[AVERAGE], *restrict v = b->slot[SQUARES], s[TG_BLOCK];
    const float *restrict g = b->g;
    memcpy(b->d, g, b->n * sizeof *g);
    if (v == NULL)
        return tg_block_sum_squares(g, b->n);
    for (size_t i = 0; i < b->n; i++)
        v[i] = k[K_B2] * v[i] + k[K_A2] * (g[i] * g[i]);
    for (size_t i = 0; m != NULL && i < b->n; i++)
        m[i] = k[K_B1] * m[i] + k[K_A1] * g[i];
    for (size_t i = 0; i < b->n; i++)
        s[i] = (m == NULL ? g[i] : k[K_MEAN] * m[i]) / (sqrtf(v[i]) * k[K_ROOT] + k[K_EPS]);
    return tg_block_sum_squares(s, b->n);
}

static tg_side side_of(const tg_matrix *m, const tg_view *v, bool right)
{
    const size_t n = right ? m->cols : m->rows;
    return (tg_side){.n = n,
                     .full = width(v->option, m->rows, m->cols, right) == n,
                     .right = right,
                     .factor = m->slot[right ? RIGHT : LEFT],
                     .root = m->slot[right ? RIGHT_ROOT : LEFT_ROOT]};
}

static size_t matrix_bytes(const double *option, size_t rows, size_t cols)
{
    const size_t left = width(option, rows, cols, false) == rows ? tg_side_bytes(rows) : 0;
    const size_t right = width(option, rows, cols, true) == cols ? tg_side_bytes(cols) : 0, step = rows * cols * sizeof(float);
    return step > left && step > right ? step : left > right ? left : right;
}

static void refresh(tg_matrix *m, const tg_side *s, const tg_view *v)
{
    if ((v->t - 1) % (uint64_t)v->option[INTERVAL] != 0)
        return;
    if (tg_side_root(m, s, v->option[RIDGE], v->option[ROOT]) != TG_OK)
        m->failures = ++*v->scalar[FAILURES];
}

static void graft(const tg_matrix *m, double squares)
{
    double length = 0;
    for (size_t r = 0; r < m->rows; r++)
        length += TG_PER_ISA(tg_kernels).sum_squares(m->d + r * m->cols, m->cols);
    const float by = length > 0 ? (float)sqrt(squares / length) : 0.0f;
    for (size_t i = 0; i < m->rows * m->cols; i++)
        m->d[i] *= by;
}

static tg_status matrix(tg_matrix *m, const tg_view *v)
{
    tg_status status = TG_OK;
    for (int right = 0; right < 2 && status == TG_OK; right++) {
        const tg_side s = side_of(m, v, right);
        if (v->t == 1)
            tg_side_identity(&s);
        status = tg_side_gather(m, &s, (float)v->option[BETA], 1);
        if (status == TG_OK)
            refresh(m, &s, v);
    }
    const tg_side left = side_of(m, v, false), right = side_of(m, v, true);
    if (status == TG_OK)
        status = tg_side_apply(m, &left, m->d, m->scratch);
    if (status == TG_OK)
        status = tg_side_apply(m, &right, m->scratch, m->d);
    if (status == TG_OK && v->option[GRAFTING] != GRAFT_NONE)
        graft(m, v->look);
    return status;
}

static void block(const tg_block *b, const float *k)
{
    if (b->d == NULL) {
        rest_block(b, AVERAGE, SQUARES, k);
        return;
    }
    float *restrict x = b->x;
    const float *restrict d = b->d;
    for (size_t i = 0; i < b->n; i++)
        x[i] -= k[K_STEP] * d[i];
}

const tg_rule TG_PER_ISA(tg_rule_shampoo) = {
    .info = {.name = "shampoo",
             .title = "gradients of matrices between roots of their rows' and columns' second moments",
             .source = "Gupta, Koren & Singer 2018, arXiv:1802.09568, Alg. 1; Anil et al. 2020, arXiv:2002.09018",
             .equations = "x <- (1 - lr weight_decay) x\n"
                          "L <- beta L + g g^T;  R <- beta R + g^T g\n"
                          "u = L^(-1/root) g R^(-1/root)   roots anew every interval updates, of A + ridge max(A) I\n"
                          "x <- x - lr u |s| / |u|         s: the step of the grafted rule; grafting=none: x - lr u\n"
                          "other tensors: adamw with the learning rate lr adamw_lr",
             .when_to_use =
                 "badly conditioned matrices of some hundred rows and columns, where memory and time are there",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 7,
             .matrices = true},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .rest_lr = REST + REST_LR,
    .rest_decay = REST + REST_DECAY,
    .fixed = "max_dim",
    .prepare = prepare,
    .look = look,
    .look_moves = true,
    .whole = whole,
    .width = width,
    .keeps = keeps,
    .matrix_bytes = matrix_bytes,
    .lapack = true,
    .matrix = matrix,
    .block = block,
};
