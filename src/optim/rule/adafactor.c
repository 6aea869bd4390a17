/* adafactor.c -- adaptive rates from row and column means (Shazeer & Stern 2018, arXiv:1804.04235, Alg. 4 to 6), as
 * torch.optim.Adafactor.
 *
 *   a = t^beta2_decay      rho = min(lr, 1 / sqrt t)      alpha = max(eps2, RMS(x)) rho
 *   matrices:  R <- (1-a) R + a mean_cols(g^2)      C <- (1-a) C + a mean_rows(g^2)      V = R C^T / max(mean(R), eps1)
 *   vectors:   V <- (1-a) V + a g^2
 *   u = g / sqrt(max(V, eps1^2))      x <- x - alpha / max(1, RMS(u) / d) u
 *
 * RMS(x) is taken before the decoupled decay. eps1 is fp32's 2^-23, PyTorch's default. Kernels of more than two
 * dimensions are matrices (outputs, all else) here; PyTorch factors their last two dimensions. State: a value for each
 * row and column of a matrix, one per parameter of a vector. */
#include "optim/rule.h"
#include "optim/rule/sums.h"

enum { LR, BETA2_DECAY, EPS2, D, DECAY };
enum { ROW, COL, VARIANCE };
enum { K_STEP, K_A, K_KEEP };

#define EPS1 0x1p-23

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-4, 1e-1),
    {.name = "beta2_decay", .kind = TG_REAL, .value = -0.8, .least = -INFINITY, .most = 0, .search_least = -1,
     .search_most = -0.5, .help = "exponent of the share that new squares get: t^beta2_decay"},
    {.name = "eps2", .kind = TG_REAL, .value = 1e-3, .least = 0, .most = INFINITY,
     .help = "least RMS of weights that steps are relative to"},
    {.name = "d", .kind = TG_REAL, .value = 1, .least = 0, .most = INFINITY, .above = 1,
     .help = "largest RMS of a tensor's update"},
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {
    [ROW] = {.name = "row_var", .shape = TG_SLOT_ROW, .owner = TG_SLOT_MATRICES},
    [COL] = {.name = "col_var", .shape = TG_SLOT_COLUMN, .owner = TG_SLOT_MATRICES},
    [VARIANCE] = {.name = "variance", .needs_range = true, .owner = TG_SLOT_VECTORS},
};

static double new_share(const tg_view *v) { return pow((double)v->t, v->option[BETA2_DECAY]); }

static void factors(const tg_factors *f, const tg_view *v)
{
    const double a = new_share(v);
    double mean = 0;
    for (size_t r = 0; r < v->rows; r++) {
        f->slot[ROW][r] = (float)((1 - a) * (double)f->slot[ROW][r] + a * f->row_squares[r]);
        mean += (double)f->slot[ROW][r] / (double)v->rows;
    }
    for (size_t c = 0; c < v->cols; c++)
        f->slot[COL][c] = (float)((1 - a) * (double)f->slot[COL][c] + a * f->col_squares[c]);
    for (size_t r = 0; r < v->rows; r++)
        f->row_k[r * TG_ROW_SCALARS] = (float)((double)f->slot[ROW][r] / fmax(mean, EPS1));
}

static void prepare(float *k, const tg_view *v)
{
    const double rho = fmin(v->option[LR], 1 / sqrt((double)v->t)), n = (double)v->rows * (double)v->cols;
    const double rms = n == 0 ? 0 : sqrt(v->look / n);
    k[K_STEP] = (float)(fmax(v->option[EPS2], v->rms) * rho / fmax(1, rms / v->option[D]));
    k[K_A] = (float)new_share(v);
    k[K_KEEP] = (float)(1 - new_share(v));
}

static inline float scaled(float g, float variance)
{
    const float least = (float)(EPS1 * EPS1);
    return g / sqrtf(variance > least ? variance : least);
}

static double look(const tg_block *b, const float *k)
{
    float u[TG_BLOCK];
    const float *restrict g = b->g;
    if (b->slot[VARIANCE] != NULL) {
        const float *restrict v = b->slot[VARIANCE];
        for (size_t i = 0; i < b->n; i++)
            u[i] = scaled(g[i], k[K_KEEP] * v[i] + k[K_A] * (g[i] * g[i]));
    } else {
        const float *restrict col = b->slot[COL], row = b->row_k[0];
        for (size_t i = 0; i < b->n; i++)
            u[i] = scaled(g[i], row * col[i]);
    }
    return tg_block_sum_squares(u, b->n);
}

static void block(const tg_block *b, const float *k)
{
    float *restrict x = b->x;
    const float *restrict g = b->g;
    if (b->slot[VARIANCE] != NULL) {
        float *restrict v = b->slot[VARIANCE];
        for (size_t i = 0; i < b->n; i++) {
            v[i] = k[K_KEEP] * v[i] + k[K_A] * (g[i] * g[i]);
            x[i] -= k[K_STEP] * scaled(g[i], v[i]);
        }
    } else {
        const float *restrict col = b->slot[COL], row = b->row_k[0];
        for (size_t i = 0; i < b->n; i++)
            x[i] -= k[K_STEP] * scaled(g[i], row * col[i]);
    }
}

const tg_rule TG_PER_ISA(tg_rule_adafactor) = {
    .info = {.name = "adafactor",
             .title = "adaptive rates from means over rows and columns: next to no state",
             .source = "Shazeer & Stern 2018, arXiv:1804.04235, Alg. 4 to 6; torch.optim.Adafactor",
             .equations = "a = t^beta2_decay\n"
                          "R <- (1 - a) R + a mean of g^2 over columns;  C likewise over rows;  V = R C / mean(R)\n"
                          "u = g / sqrt(V)\n"
                          "x <- x - max(eps2, RMS(x)) min(lr, 1 / sqrt(t)) / max(1, RMS(u) / d) u",
             .when_to_use = "when memory is the limit and an adaptive rule is wanted",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_DECOUPLED,
    .uses_rms = true,
    .lr = LR,
    .weight_decay = DECAY,
    .factors = factors,
    .prepare = prepare,
    .look = look,
    .look_spares_x = true,
    .block = block,
};
