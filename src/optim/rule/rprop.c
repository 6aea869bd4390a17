/* rprop.c -- a step size for every weight, from the gradient's signs alone (Riedmiller & Braun 1993; without weight
 * backtracking: "iRprop-" of Igel & Huesken 2003), as torch.optim.Rprop.
 *
 *   c = g prev      s <- clamp(s (c > 0 ? etaplus : c < 0 ? etaminus : 1), step_size_min, step_size_max)
 *   c < 0: g <- 0      x <- x - sign(g) s      prev <- g
 *
 * s begins at lr, which is not read again. PyTorch has no weight decay here. (What some texts call Rprop is signsgd.)
 * State: 2 values per parameter. */
#include "optim/each.h"

enum { LR, ETAMINUS, ETAPLUS, STEP_MIN, STEP_MAX, DECAY };
enum { PREV, STEP };
enum { K_FIRST, K_MINUS, K_PLUS, K_MIN, K_MAX };

static const tg_option options[] = {
    {.name = "lr", .kind = TG_REAL, .value = 1e-2, .least = 0, .most = INFINITY, .search_least = 1e-4,
     .search_most = 1e-1, .search_log = 1, .help = "size of every weight's first step; later ones follow from signs"},
    {.name = "etaminus", .kind = TG_REAL, .value = 0.5, .least = 0, .most = 0x1.fffffffffffffp-1, .above = 1,
     .search_least = 0.3, .search_most = 0.8, .help = "factor of the step when the gradient's sign flips"},
    {.name = "etaplus", .kind = TG_REAL, .value = 1.2, .least = 1, .most = INFINITY, .above = 1, .search_least = 1.05,
     .search_most = 1.5, .help = "factor of the step when the sign stays"},
    {.name = "step_size_min", .kind = TG_REAL, .value = 1e-6, .least = 0, .most = INFINITY, .help = "least step"},
    {.name = "step_size_max", .kind = TG_REAL, .value = 50, .least = 0, .most = INFINITY, .help = "largest step"},
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {{.name = "prev"}, {.name = "step_size", .needs_range = true}};

static const char *check(const double *option)
{
    return option[STEP_MIN] > option[STEP_MAX] ? "step_size_min must not be above step_size_max" : NULL;
}

static void prepare(float *k, const tg_view *v)
{
    k[K_FIRST] = v->t == 1 ? (float)v->option[LR] : 0.0f; /* the state is 0 then */
    k[K_MINUS] = (float)v->option[ETAMINUS];
    k[K_PLUS] = (float)v->option[ETAPLUS];
    k[K_MIN] = (float)v->option[STEP_MIN];
    k[K_MAX] = (float)v->option[STEP_MAX];
}

static inline void follow(tg_element *e, const float *k)
{
    const float plus = k[K_PLUS], minus = k[K_MINUS], least = k[K_MIN], most = k[K_MAX];
    const float c = e->g * e->slot[PREV], kept = c < 0.0f ? 0.0f : e->g;
    float step = (e->slot[STEP] + k[K_FIRST]) * (c > 0.0f ? plus : c < 0.0f ? minus : 1.0f);
    step = step < least ? least : step;
    step = step > most ? most : step;
    e->x -= tg_sign(kept) * step;
    e->slot[PREV] = kept;
    e->slot[STEP] = step;
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, follow, 1 << PREV | 1 << STEP, 1 << STEP); }

const tg_rule TG_PER_ISA(tg_rule_rprop) = {
    .info = {.name = "rprop",
             .title = "a step size for every weight, grown and shrunk by the gradient's signs",
             .source = "Riedmiller & Braun 1993; Igel & Huesken 2003 (iRprop-); torch.optim.Rprop",
             .equations = "c  = g prev\n"
                          "s <- clamp(s (c > 0 ? etaplus : c < 0 ? etaminus : 1), step_size_min, step_size_max)\n"
                          "c < 0: g <- 0\n"
                          "x <- x - sign(g) s\n"
                          "prev <- g   (s begins at lr)",
             .when_to_use = "full-batch training of small networks; signs of mini-batches are too noisy for it",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 2},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .check = check,
    .prepare = prepare,
    .block = block,
    .each = true,
};
