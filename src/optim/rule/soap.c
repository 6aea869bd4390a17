/* soap.c -- adam in the eigenbasis of shampoo's factors (Vyas et al. 2024, arXiv:2409.11321, Alg. 3).
 *
 *   G' = QL^T g QR                    m <- b1 m + (1-b1) G'        v <- b2 v + (1-b2) G'^2        (m, v in the bases)
 *   x <- x - lr QL n QR^T             n = (m / (1-b1^s)) / (sqrt(v / (1-b2^s)) + eps),  s = t - 1
 *   L <- b L + (1-b) g g^T            R <- b R + (1-b) g^T g
 *   every `interval` steps, after the step:  Q <- QR(A Q), the directions q sorted by q^T A q first; v follows the
 * order, m goes from the old bases to the new ones
 *
 * after decoupled decay. As in the authors' program, which the paper's lines leave open: the first update only gathers
 * L and R and takes their eigenvectors, so that no gradient is turned by a basis that it made, and moves nothing; steps
 * are counted from the second one; m lies in the bases, which is Alg. 3's average but for rounding and spares two
 * products; and directions are sorted. Its eps is added to the uncorrected root, and it decays after the step: here
 * both are adamw's. A side longer than max_dim, with one_sided the longer one, keeps the identity (sections 5.1
 * and 7.1). A basis that cannot be had (a factor that is not finite) is not used: the old one stays, first the
 * identity; it is counted in `failures` and told. Matrices that one layer uses; all other tensors get adamw from the
 * first update on. Cost: 5 rows cols (rows + cols) multiplications and additions an update, and some 4 (rows^3 +
 * cols^3) for new bases. State: 2 rows^2 + 2 cols^2 + 2 rows cols values. */
#include <string.h>

#include "base/memory.h"
#include "optim/basis.h"
#include "optim/rule/rest.h"

enum { LR, DECAY, BETA1, BETA2, EPS, FACTOR_BETA, INTERVAL, MAX_DIM, ONE_SIDED, REST };
enum { LEFT, RIGHT, LEFT_BASIS, RIGHT_BASIS, FAILURES, AVERAGE, SQUARES };
enum { K_STEP, K_B1, K_A1, K_B2, K_A2, K_MEAN, K_ROOT, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(3e-3, 3e-4, 3e-2),
    TG_OPTION_DECAY(0.01),
    TG_OPTION_BETA("beta1", 0.95, 0.9, 0.98, "decay of the average of gradients"),
    TG_OPTION_BETA("beta2", 0.95, 0.9, 0.999, "decay of the average of squares"),
    TG_OPTION_EPS(1e-8, "added to the root"),
    {.name = "shampoo_beta",
     .kind = TG_REAL,
     .value = -1,
     .least = -1,
     .most = 0x1.fffffffffffffp-1,
     .help = "decay of the factors L and R; below 0: beta2"},
    {.name = "interval", .kind = TG_INTEGER, .value = 10, .least = 1, .most = 1e9, .help = "steps from bases to bases"},
    {.name = "max_dim",
     .kind = TG_INTEGER,
     .value = 2048,
     .least = 1,
     .most = 16384,
     .help = "longer sides are not turned"},
    {.name = "one_sided",
     .kind = TG_SWITCH,
     .value = 0,
     .least = 0,
     .most = 1,
     .help = "turn the shorter side alone: less memory and time"},
    TG_OPTIONS_REST,
};

static const tg_slot slots[] = {
    [LEFT] = {.name = "left", .shape = TG_SLOT_LEFT, .owner = TG_SLOT_WHOLE},
    [RIGHT] = {.name = "right", .shape = TG_SLOT_RIGHT, .owner = TG_SLOT_WHOLE},
    [LEFT_BASIS] = {.name = "left_basis", .shape = TG_SLOT_LEFT, .owner = TG_SLOT_WHOLE},
    [RIGHT_BASIS] = {.name = "right_basis", .shape = TG_SLOT_RIGHT, .owner = TG_SLOT_WHOLE},
    [FAILURES] = {.name = "failures", .shape = TG_SLOT_SCALAR, .owner = TG_SLOT_WHOLE},
    [AVERAGE] = {.name = "exp_avg"},
    [SQUARES] = {.name = "exp_avg_sq", .needs_range = true},
};

static bool whole(const double *option, const tg_param *p)
{
    return (void)option, p->role == TG_MATRIX && !p->many_uses;
}

/* Of equal sides the rows are the shorter one. */
static size_t width(const double *option, size_t rows, size_t cols, bool right)
{
    const size_t side = right ? cols : rows;
    const bool longer = right ? cols >= rows : rows > cols;
    return (double)side > option[MAX_DIM] || (option[ONE_SIDED] != 0 && longer) ? 0 : side;
}

static void prepare(float *k, const tg_view *v)
{
    const double *o = v->option, steps = v->t > 1 ? (double)(v->t - 1) : 1;
    k[K_STEP] = (float)o[LR];
    k[K_B1] = (float)o[BETA1];
    k[K_A1] = (float)(1 - o[BETA1]);
    k[K_B2] = (float)o[BETA2];
    k[K_A2] = (float)(1 - o[BETA2]);
    k[K_MEAN] = (float)(1 / (1 - pow(o[BETA1], steps)));
    k[K_ROOT] = (float)(1 / sqrt(1 - pow(o[BETA2], steps)));
    k[K_EPS] = (float)o[EPS];
    rest_prepare(k, v, o[LR], o + REST);
}

static double look(const tg_block *b, const float *k)
{
    (void)k;
    memcpy(b->d, b->g, b->n * sizeof *b->d);
    return 0;
}

/* In the bases: d is the gradient, then the step. */
static void adam(const tg_block *b, const float *k)
{
    float *restrict m = b->slot[AVERAGE], *restrict v = b->slot[SQUARES], *restrict d = b->d;
    for (size_t i = 0; i < b->n; i++) {
        m[i] = k[K_B1] * m[i] + k[K_A1] * d[i];
        v[i] = k[K_B2] * v[i] + k[K_A2] * (d[i] * d[i]);
        d[i] = (k[K_MEAN] * m[i]) / (sqrtf(v[i]) * k[K_ROOT] + k[K_EPS]);
    }
}

static void get_average(const tg_block *b, const float *k)
{
    (void)k, memcpy(b->d, b->slot[AVERAGE], b->n * sizeof *b->d);
}
static void put_average(const tg_block *b, const float *k)
{
    (void)k, memcpy(b->slot[AVERAGE], b->d, b->n * sizeof *b->d);
}
static void get_squares(const tg_block *b, const float *k)
{
    (void)k, memcpy(b->d, b->slot[SQUARES], b->n * sizeof *b->d);
}
static void put_squares(const tg_block *b, const float *k)
{
    (void)k, memcpy(b->slot[SQUARES], b->d, b->n * sizeof *b->d);
}

static void find_sides(tg_side side[2], const tg_matrix *m)
{
    for (int right = 0; right < 2; right++)
        side[right] = (tg_side){.n = right ? m->cols : m->rows,
                                .full = m->slot[right ? RIGHT : LEFT] != NULL,
                                .right = right,
                                .factor = m->slot[right ? RIGHT : LEFT],
                                .basis = m->slot[right ? RIGHT_BASIS : LEFT_BASIS]};
}

static size_t array_bytes(size_t rows, size_t cols) { return tg_round_up(rows * cols * sizeof(float), TG_CACHE_LINE); }

static size_t line_bytes(size_t cols) { return tg_round_up(cols * sizeof(float), TG_CACHE_LINE); }

/* Two arrays like the matrix, a line of it, and what a basis takes. */
static size_t matrix_bytes(const double *option, size_t rows, size_t cols)
{
    const size_t left = tg_basis_bytes(width(option, rows, cols, false));
    const size_t right = tg_basis_bytes(width(option, rows, cols, true));
    return 2 * array_bytes(rows, cols) + line_bytes(cols) + (left > right ? left : right);
}

static tg_status begin(tg_matrix *m, const tg_side side[2], const tg_view *v)
{
    for (int right = 0; right < 2; right++)
        if (side[right].full && tg_basis_begin(&side[right], m->scratch) != TG_OK)
            m->failures = ++*v->scalar[FAILURES];
    memset(m->d, 0, m->rows * m->cols * sizeof *m->d);
    m->still = true;
    return TG_OK;
}

/* The average leaves the old bases, the squares follow the directions, the average enters the new bases. */
static tg_status renew(tg_matrix *m, const tg_side side[2], const tg_view *v)
{
    float *x = m->scratch, *spare = x + array_bytes(m->rows, m->cols) / sizeof *x;
    float *line = spare + array_bytes(m->rows, m->cols) / sizeof *x, *rest = line + line_bytes(m->cols) / sizeof *x;
    bool renewed = false;
    tg_matrix_walk(m, x, get_average, false);
    const tg_status status = tg_basis_turn(m, side, x, spare, true);
    if (status != TG_OK)
        return status;
    tg_matrix_walk(m, spare, get_squares, false);
    for (int right = 0; right < 2; right++) {
        size_t *order = NULL;
        if (side[right].full && tg_basis_renew(&side[right], &order, rest, m->threads) != TG_OK)
            m->failures = ++*v->scalar[FAILURES];
        if (order != NULL)
            tg_basis_reorder(spare, m->rows, m->cols, right, order, line);
        renewed = renewed || order != NULL;
    }
    if (!renewed)
        return TG_OK;
    tg_matrix_walk(m, spare, put_squares, true);
    const tg_status turned = tg_basis_turn(m, side, x, spare, false);
    if (turned == TG_OK)
        tg_matrix_walk(m, x, put_average, true);
    return turned;
}

static tg_status matrix(tg_matrix *m, const tg_view *v)
{
    const double beta = v->option[FACTOR_BETA] < 0 ? v->option[BETA2] : v->option[FACTOR_BETA];
    tg_side side[2];
    tg_status status = TG_OK;
    find_sides(side, m);
    for (int right = 0; right < 2 && status == TG_OK; right++)
        if (side[right].full)
            status = tg_side_gather(m, &side[right], (float)beta, (float)(1 - beta));
    if (v->t == 1 && status == TG_OK)
        return begin(m, side, v);
    if (status == TG_OK)
        status = tg_basis_turn(m, side, m->d, m->scratch, false);
    if (status != TG_OK)
        return status;
    tg_matrix_walk(m, m->d, adam, true);
    status = tg_basis_turn(m, side, m->d, m->scratch, true);
    if (status == TG_OK && (side[0].full || side[1].full) && (v->t - 1) % (uint64_t)v->option[INTERVAL] == 0)
        status = renew(m, side, v);
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

const tg_rule TG_PER_ISA(tg_rule_soap) = {
    .info =
        {.name = "soap",
         .title = "adamw along the eigenvectors of the gradients' second moments over rows and columns",
         .source = "Vyas et al. 2024, arXiv:2409.11321, Alg. 3",
         .equations = "x <- (1 - lr weight_decay) x\n"
                      "G' = QL^T g QR\n"
                      "m <- beta1 m + (1 - beta1) G';  v <- beta2 v + (1 - beta2) G'^2\n"
                      "x <- x - lr QL n QR^T;  n = (m / (1 - beta1^s)) / (sqrt(v / (1 - beta2^s)) + eps),  s = t - 1\n"
                      "L <- b L + (1 - b) g g^T;  R <- b R + (1 - b) g^T g    b: shampoo_beta\n"
                      "QL, QR: eigenvectors of L and R at the first update, which moves no matrix; after every\n"
                      "interval-th step QR(L QL), QR(R QR), directions of large moments first, and m and v follow\n"
                      "other tensors: adamw with the learning rate lr adamw_lr",
         .when_to_use = "language models, where updates matter more than their cost: fewer of them than adamw or muon",
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
    .matrix_bytes = matrix_bytes,
    .lapack = true,
    .matrix = matrix,
    .block = block,
};
