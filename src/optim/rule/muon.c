/* muon.c -- momentum, orthogonalised (Jordan et al. 2024, kellerjordan.github.io/posts/muon), as torch.optim.Muon.
 *
 *   m <- mu m + (1-mu) g        d = nesterov ? (1-mu) g + mu m : m
 *   O = d with its singular values brought near 1: newton_schulz.c
 *   x <- x - lr f O             f = sqrt(max(1, rows / cols)), or 0.2 sqrt(max(rows, cols)), where O's RMS is adamw's
 *
 * after decoupled decay. Matrices that one layer uses; all other tensors, and matrices with a dimension above max_dim (heads
 * of large vocabularies), get adamw. State: 1 value per weight of a matrix, 2 of the others. */
#include "optim/newton_schulz.h"
#include "optim/rule/rest.h"
#include "optim/rule/sums.h"

enum { LR, DECAY, MOMENTUM, NESTEROV, A, B, C, EPS, STEPS, ADJUST, FORMAT, MAX_DIM, REST };
enum { ORIGINAL, MATCH_RMS_ADAMW };
enum { M, REST_M, REST_V };
enum { K_STEP, K_KEEP, K_TAKE, K_MU, K_LOOK };

static const tg_option options[] = {
    TG_OPTION_LR(1e-3, 1e-4, 1e-1),
    TG_OPTION_DECAY(0.1),
    TG_OPTION_BETA("momentum", 0.95, 0.9, 0.98, "decay of the average of gradients"),
    {.name = "nesterov", .kind = TG_SWITCH, .value = 1, .least = 0, .most = 1, .help = "look one step ahead"},
    {.name = "ns_a", .kind = TG_REAL, .value = 3.4445, .least = -INFINITY, .most = INFINITY,
     .help = "a step makes a s + b s^3 + c s^5 of a singular value s"},
    {.name = "ns_b", .kind = TG_REAL, .value = -4.775, .least = -INFINITY, .most = INFINITY, .help = "see ns_a"},
    {.name = "ns_c", .kind = TG_REAL, .value = 2.0315, .least = -INFINITY, .most = INFINITY, .help = "see ns_a"},
    {.name = "eps", .kind = TG_REAL, .value = 1e-7, .least = 0, .most = 1, .above = 1, .help = "least norm that is divided by"},
    {.name = "ns_steps", .kind = TG_INTEGER, .value = 5, .least = 0, .most = 99, .help = "steps of the iteration"},
    {.name = "adjust_lr_fn", .kind = TG_CHOICE, .value = ORIGINAL, .least = 0, .most = 1, .choices = "original|match_rms_adamw",
     .help = "scale steps by the shape's aspect, or to the RMS of adamw's"},
    {.name = "ns_format", .kind = TG_CHOICE, .value = 0, .least = 0, .most = 1, .choices = "bf16|fp32",
     .help = "of the iteration's matrices; sums are fp32"},
    {.name = "max_dim", .kind = TG_INTEGER, .value = 16384, .least = 2, .most = 1e9,
     .help = "matrices with more rows or columns get adamw"},
    TG_OPTIONS_REST,
};

static const tg_slot slots[] = {
    [M] = {.name = "momentum_buffer", .owner = TG_SLOT_WHOLE},
    [REST_M] = {.name = "exp_avg", .owner = TG_SLOT_REST},
    [REST_V] = {.name = "exp_avg_sq", .needs_range = true, .owner = TG_SLOT_REST},
};

static bool whole(const double *option, const tg_param *p)
{
    return p->role == TG_MATRIX && !p->many_uses && (double)(p->rows > p->cols ? p->rows : p->cols) <= option[MAX_DIM];
}

static bool can_fold(const double *option) { return option[NESTEROV] == 0; }

static void fold(const tg_view *v, double *decay, double *scale)
{
    *decay = v->option[MOMENTUM];
    *scale = 1 - v->option[MOMENTUM];
}

static double adjusted(const tg_view *v)
{
    const double rows = (double)v->rows, cols = (double)v->cols;
    return v->option[ADJUST] == ORIGINAL ? sqrt(fmax(1, rows / cols)) : 0.2 * sqrt(fmax(rows, cols));
}

static void prepare(float *k, const tg_view *v)
{
    const double mu = v->option[MOMENTUM];
    const bool ahead = v->option[NESTEROV] != 0;
    k[K_STEP] = (float)(v->option[LR] * adjusted(v));
    k[K_KEEP] = (float)mu;
    k[K_TAKE] = (float)(1 - mu);
    /* d = LOOK g + MU m */
    k[K_LOOK] = ahead ? (float)(1 - mu) : 0.0f;
    k[K_MU] = ahead ? (float)mu : 1.0f;
    rest_prepare(k, v, v->option[LR], v->option + REST);
}

static double look(const tg_block *b, const float *k)
{
    float *restrict m = b->slot[M], *restrict d = b->d;
    const float *restrict g = b->g;
    for (size_t i = 0; g != NULL && i < b->n; i++) {
        m[i] = k[K_KEEP] * m[i] + k[K_TAKE] * g[i];
        d[i] = k[K_LOOK] * g[i] + k[K_MU] * m[i];
    }
    for (size_t i = 0; g == NULL && i < b->n; i++)
        d[i] = m[i];
    return tg_block_sum_squares(d, b->n);
}

static size_t matrix_bytes(const double *option, size_t rows, size_t cols)
{
    (void)option;
    return tg_newton_schulz_bytes(rows, cols);
}

static tg_status matrix(tg_matrix *m, const tg_view *v)
{
    const double *o = v->option;
    const tg_newton_schulz how = {(float)o[A], (float)o[B], (float)o[C], (unsigned)o[STEPS], o[EPS], o[FORMAT] == 0};
    return tg_orthogonalise(m, sqrt(v->look), &how);
}

static void block(const tg_block *b, const float *k)
{
    if (b->d == NULL) {
        rest_block(b, REST_M, REST_V, k);
        return;
    }
    float *restrict x = b->x;
    const float *restrict d = b->d;
    for (size_t i = 0; i < b->n; i++)
        x[i] -= k[K_STEP] * d[i];
}

const tg_rule TG_PER_ISA(tg_rule_muon) = {
    .info = {.name = "muon",
             .title = "momentum of matrices, orthogonalised; adamw for all else",
             .source = "Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv:2502.16982; torch.optim.Muon",
             .equations = "x <- (1 - lr weight_decay) x\n"
                          "m <- momentum m + (1 - momentum) g\n"
                          "d  = nesterov ? (1 - momentum) g + momentum m : m\n"
                          "X  = d / max(|d|, eps);  ns_steps times  X <- a X + (b A + c A A) X,  A = X X^T\n"
                          "x <- x - lr f X    f = sqrt(max(1, rows/cols)), or 0.2 sqrt(max(rows, cols))\n"
                          "other tensors: adamw with the learning rate lr adamw_lr",
             .when_to_use = "hidden layers of transformers: fewer updates than adamw for half of its state",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 3,
             .folds = true,
             .matrices = true},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .rest_lr = REST + REST_LR,
    .rest_decay = REST + REST_DECAY,
    .fixed = "max_dim",
    .can_fold = can_fold,
    .fold = fold,
    .prepare = prepare,
    .look = look,
    .look_moves = true,
    .whole = whole,
    .matrix_bytes = matrix_bytes,
    .matrix = matrix,
    .block = block,
};
