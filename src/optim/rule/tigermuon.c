/* tigermuon.c -- tiger's signs and muon's orthogonalised steps in turn, on one folded momentum. A rule of this project's own.
 *
 *   m <- beta m + (1-beta) g
 *   u = sign(m)                             but at every `period`-th update of a matrix
 *   u = sqrt(max(rows, cols)) NS(m)         NS: singular values brought near 1, newton_schulz.c
 *   x <- x - eta (u + wd x)                 eta by roles, relative to RMS(x), as tiger's
 *
 * An orthogonal (rows, cols) matrix has the RMS 1 / sqrt(max(rows, cols)): with the factor both kinds of step have RMS 1,
 * and one learning rate and one decay serve them. Signs move every weight alike and so follow small gradients, rows that are
 * seldom used among them; the orthogonalised step moves every direction of the matrix alike. Both read the same average,
 * so nothing but m is kept and gradients still fold into it: 4 bytes a weight in bf16, weights included. Matrices that
 * one layer uses, up to max_dim; all other tensors get tiger's step at every update. State: 1 value per weight. */
#include <string.h>

#include "optim/newton_schulz.h"
#include "optim/rule.h"
#include "optim/rule/sums.h"

enum { LR, BETA, DECAY, PERIOD, RMS_FLOOR, BIAS_LR, EMBEDDING_RMS, EMBEDDING_UPDATE, STEPS, FORMAT, MAX_DIM };
enum { RMS_TABLE, RMS_ROW };
enum { UPDATE_LAZY, UPDATE_DENSE };
enum { K_ETA, K_B, K_A, K_WD, K_SCALE }; /* K_SCALE 0: signs */

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-3, 3e-2),
    TG_OPTION_BETA("beta", 0.965, 0.9, 0.98, "decay of the momentum"),
    TG_OPTION_DECAY(0.01),
    {.name = "period", .kind = TG_INTEGER, .value = 2, .least = 1, .most = 1e9, .search_least = 1, .search_most = 8,
     .help = "updates from one orthogonalised step to the next; 1: every one"},
    {.name = "rms_floor", .kind = TG_REAL, .value = 1e-3, .least = 0, .most = 1, .help = "least RMS a step is relative to"},
    {.name = "bias_lr", .kind = TG_REAL, .value = 0.05, .least = 0, .most = INFINITY,
     .help = "learning rate of biases and norm gains, as a factor of lr"},
    {.name = "embedding_rms", .kind = TG_CHOICE, .value = RMS_TABLE, .least = 0, .most = 1, .choices = "table|row",
     .help = "RMS of embeddings over the table or of each row"},
    {.name = "embedding_update", .kind = TG_CHOICE, .value = UPDATE_LAZY, .least = 0, .most = 1, .choices = "lazy|dense",
     .help = "update only rows with a gradient, or all"},
    {.name = "ns_steps", .kind = TG_INTEGER, .value = 5, .least = 1, .most = 99, .help = "steps of the Newton-Schulz iteration"},
    {.name = "ns_format", .kind = TG_CHOICE, .value = 0, .least = 0, .most = 1, .choices = "bf16|fp32",
     .help = "of the iteration's matrices; sums are fp32"},
    {.name = "max_dim", .kind = TG_INTEGER, .value = 16384, .least = 2, .most = 1e9,
     .help = "matrices with more rows or columns get signs alone"},
};

static const tg_slot slots[] = {{.name = "exp_avg"}};

static bool whole(const double *option, const tg_param *p)
{
    return p->role == TG_MATRIX && !p->many_uses && (double)(p->rows > p->cols ? p->rows : p->cols) <= option[MAX_DIM];
}

static bool row_rms(const double *option, tg_role role) { return role == TG_EMBEDDING && option[EMBEDDING_RMS] == RMS_ROW; }

static bool lazy_rows(const double *option, tg_role role)
{
    return role == TG_EMBEDDING && option[EMBEDDING_UPDATE] == UPDATE_LAZY;
}

static bool can_fold(const double *option) { return (void)option, true; }

static void fold(const tg_view *v, double *decay, double *scale)
{
    *decay = v->option[BETA];
    *scale = 1 - v->option[BETA];
}

static bool orthogonal(const tg_view *v) { return v->t % (uint64_t)v->option[PERIOD] == 0; }

static void prepare(float *k, const tg_view *v)
{
    const bool vector = v->role == TG_BIAS || v->role == TG_GAIN;
    k[K_ETA] = (float)(v->option[LR] * (vector ? v->option[BIAS_LR] : fmax(v->rms, v->option[RMS_FLOOR])));
    k[K_B] = (float)v->option[BETA];
    k[K_A] = (float)(1 - v->option[BETA]);
    k[K_WD] = vector ? 0.0f : (float)v->option[DECAY];
    k[K_SCALE] = orthogonal(v) ? (float)sqrt(fmax((double)v->rows, (double)v->cols)) : 0.0f;
}

static void average(const tg_block *b, const float *k)
{
    float *restrict m = b->slot[0];
    const float *restrict g = b->g;
    for (size_t i = 0; i < b->n; i++)
        m[i] = k[K_B] * m[i] + k[K_A] * g[i];
}

static double look(const tg_block *b, const float *k)
{
    if (b->g != NULL)
        average(b, k);
    memcpy(b->d, b->slot[0], b->n * sizeof *b->d);
    return tg_block_sum_squares(b->d, b->n);
}

static size_t matrix_bytes(const double *option, size_t rows, size_t cols)
{
    return (void)option, tg_newton_schulz_bytes(rows, cols);
}

static tg_status matrix(tg_matrix *m, const tg_view *v)
{
    const tg_newton_schulz how = {3.4445f, -4.775f, 2.0315f, (unsigned)v->option[STEPS], 1e-7, v->option[FORMAT] == 0};
    return orthogonal(v) ? tg_orthogonalise(m, sqrt(v->look), &how) : TG_OK;
}

static void block(const tg_block *b, const float *k)
{
    if (b->g != NULL)
        average(b, k);
    float *restrict x = b->x;
    const float *restrict u = b->d != NULL ? b->d : b->slot[0];
    if (b->d != NULL && k[K_SCALE] != 0.0f)
        for (size_t i = 0; i < b->n; i++)
            x[i] -= k[K_ETA] * (k[K_SCALE] * u[i] + k[K_WD] * x[i]);
    else
        for (size_t i = 0; i < b->n; i++)
            x[i] -= k[K_ETA] * (tg_sign(u[i]) + k[K_WD] * x[i]);
}

const tg_rule TG_PER_ISA(tg_rule_tigermuon) = {
    .info = {.name = "tigermuon",
             .title = "signs and orthogonalised steps in turn, on tiger's one folded momentum",
             .source = "this project, after Su Jianlin 2023, spaces.ac.cn/archives/9512, and Jordan et al. 2024, "
                       "kellerjordan.github.io/posts/muon",
             .equations = "m <- beta m + (1 - beta) g\n"
                          "u  = sqrt(max(rows, cols)) NS(m)   at every period-th update of a matrix; NS as in muon\n"
                          "u  = sign(m)                       at its others, and at all of other tensors\n"
                          "x <- x - eta (u + weight_decay x)  eta as in tiger",
             .when_to_use = "an experiment: muon's directions in tiger's memory, at a part of muon's cost",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 1,
             .folds = true,
             .matrices = true},
    .decay = TG_DECAY_OWN,
    .uses_rms = true,
    .spares_vectors = true,
    .shrinks = true,
    .lr = LR,
    .weight_decay = DECAY,
    .rest_lr = LR,
    .rest_decay = DECAY,
    .rest_folds = true,
    .fixed = "max_dim",
    .row_rms = row_rms,
    .lazy_rows = lazy_rows,
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
