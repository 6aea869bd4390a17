/* hybrid.c -- a first-order rule first, then lbfgs: from far away many cheap steps, near the minimum few good ones (the
 * switch of Keskar & Socher 2017, arXiv:1712.07628, in the other direction: towards curvature).
 *
 *   rule adam (Kingma & Ba 2015, Alg. 1):  m <- b1 m + (1-b1) g   v <- b2 v + (1-b2) g^2   x <- x - rule_lr m^ /
 * (sqrt(v^) + 1e-8) rule momentum (Polak 1964):            m <- b1 m + g          x <- x - rule_lr m
 *
 * To lbfgs when at least min_steps steps were made, the gradient is at most switch_grad of the largest seen in this
 * phase, and `window` steps have changed the value by at most switch_change of itself. Back to the rule, with an empty
 * memory, when lbfgs finds no step that descends, max_switches times at most. minimum.phase and .switches tell; the
 * monitor sees every one. A step to where the function is not finite is taken back and rule_lr halved. Memory: lbfgs's
 * and 2 numbers per entry. */
#include "minimize/lbfgs.h"

#include <string.h>

enum { RULE = LBFGS_OPTIONS, RULE_LR, BETA1, BETA2, MIN_STEPS, WINDOW, SWITCH_GRAD, SWITCH_CHANGE, MAX_SWITCHES };
enum { MOMENT = LBFGS_ARRAYS, SQUARE, PAST };
enum { FIRST_ORDER, SECOND_ORDER };
enum { ADAM, MOMENTUM };
enum { LBFGS_COUNTS = 2, STEPS = LBFGS_COUNTS };
enum { K_LR, K_LARGEST };

static const tg_option options[] = {
    TG_LBFGS_OPTIONS,
    [RULE] = {.name = "rule", .kind = TG_CHOICE, .choices = "adam|momentum", .help = "the first-order rule"},
    [RULE_LR] = {.name = "rule_lr", .kind = TG_REAL, .value = 1e-2, .least = 0, .above = 1, .most = INFINITY,
                 .search_least = 1e-4, .search_most = 1, .search_log = 1, .help = "learning rate of the rule"},
    [BETA1] = {.name = "beta1", .kind = TG_REAL, .value = 0.9, .least = 0, .most = 0x1.fffffffffffffp-1,
               .help = "decay of the momentum"},
    [BETA2] = {.name = "beta2", .kind = TG_REAL, .value = 0.999, .least = 0, .most = 0x1.fffffffffffffp-1,
               .help = "decay of the squared gradients"},
    [MIN_STEPS] = {.name = "min_steps", .kind = TG_INTEGER, .value = 100, .least = 1, .most = 1e9,
                   .help = "steps of the rule at least"},
    [WINDOW] = {.name = "window", .kind = TG_INTEGER, .value = 20, .least = 1, .most = 1e6,
                .help = "steps over which the value's change counts"},
    [SWITCH_GRAD] = {.name = "switch_grad", .kind = TG_REAL, .value = 0.1, .least = 0, .most = 1,
                     .help = "share of the largest gradient, to switch at"},
    [SWITCH_CHANGE] = {.name = "switch_change", .kind = TG_REAL, .value = 0.05, .least = 0, .most = INFINITY,
                       .help = "change of the value as a share of it, to switch at"},
    [MAX_SWITCHES] = {.name = "max_switches", .kind = TG_INTEGER, .value = 5, .least = 1, .most = 1e9,
                      .help = "changes of method at most"},
};

static void lay(tg_minimizer *m)
{
    tg_lbfgs_lay(m);
    tg_lay(m, MOMENT, 1, m->n);
    tg_lay(m, SQUARE, 1, m->n);
    tg_lay(m, PAST, 1, (size_t)m->option[WINDOW]);
}

static void open_first(tg_minimizer *m)
{
    memset(m->at[MOMENT], 0, m->n * sizeof(double));
    memset(m->at[SQUARE], 0, m->n * sizeof(double));
    m->run->phase = FIRST_ORDER;
    m->run->c[STEPS] = 0;
    m->run->k[K_LARGEST] = 0;
}

static void begin(tg_minimizer *m)
{
    tg_lbfgs_begin(m);
    open_first(m);
    m->run->k[K_LR] = m->option[RULE_LR];
}

/* d: what the rule adds to x, at step t. */
static void direct(tg_minimizer *m, double t)
{
    double *d = m->at[LBFGS_D], *moment = m->at[MOMENT], *square = m->at[SQUARE];
    const double *g = m->at[TG_G], b1 = m->option[BETA1], b2 = m->option[BETA2], lr = m->run->k[K_LR];
    const bool adam = m->option[RULE] == ADAM;
    for (size_t i = 0; i < m->n; i++) {
        moment[i] = b1 * moment[i] + (adam ? 1 - b1 : 1) * g[i];
        square[i] = b2 * square[i] + (1 - b2) * g[i] * g[i];
        d[i] = -lr * (adam ? moment[i] / (1 - pow(b1, t)) / (sqrt(square[i] / (1 - pow(b2, t))) + 1e-8) : moment[i]);
    }
}

static bool ripe(const tg_minimizer *m)
{
    const tg_run *r = m->run;
    const size_t window = (size_t)m->option[WINDOW];
    const double then = m->at[PAST][r->c[STEPS] % window]; /* the value `window` steps ago */
    return (double)r->c[STEPS] >= fmax(m->option[MIN_STEPS], (double)window) &&
           r->switches < (uint64_t)m->option[MAX_SWITCHES] &&
           tg_max_abs(m->n, m->at[TG_G]) <= m->option[SWITCH_GRAD] * r->k[K_LARGEST] &&
           fabs(then - r->f) <= m->option[SWITCH_CHANGE] * fabs(r->f);
}

static void first_order(tg_minimizer *m)
{
    tg_run *r = m->run;
    tg_line l = {.d = m->at[LBFGS_D], .f0 = r->f, .max_ls = 25, .t = 1};
    m->at[PAST][r->c[STEPS] % (size_t)m->option[WINDOW]] = r->f;
    r->k[K_LARGEST] = fmax(r->k[K_LARGEST], tg_max_abs(m->n, m->at[TG_G]));
    direct(m, (double)++r->c[STEPS]);
    l.slope0 = tg_dot(m->n, m->at[TG_G], l.d);
    const tg_line_end end = tg_line_fixed(m, &l);
    r->line = end;
    if (end != TG_LINE_FOUND) {
        tg_line_give_up(m, &l, end);
        return;
    }
    r->k[K_LR] *= l.t; /* halved as often as it led to where nothing is finite */
    tg_line_take(m, &l);
    r->moved = NAN; /* what the rule does says nothing of convergence */
    if (ripe(m)) {
        r->phase = SECOND_ORDER;
        r->switches++;
        tg_lbfgs_begin(m);
    }
}

static void iterate(tg_minimizer *m)
{
    tg_run *r = m->run;
    if (r->phase == FIRST_ORDER) {
        first_order(m);
        return;
    }
    tg_lbfgs_iterate(m);
    if ((r->stop == TG_STOP_LINE_SEARCH || r->stop == TG_STOP_NOT_FINITE) &&
        r->switches < (uint64_t)m->option[MAX_SWITCHES]) {
        r->stop = TG_STOP_NOT_YET;
        r->moved = NAN;
        r->switches++;
        open_first(m);
    }
}

static const char *phase(const tg_minimizer *m)
{
    return m->run->phase == SECOND_ORDER ? "lbfgs" : m->option[RULE] == ADAM ? "adam" : "momentum";
}

const tg_minimizer_kind tg_minimizer_kind_hybrid = {
    .info = {.name = "hybrid",
             .title = "a first-order rule, then lbfgs",
             .source = "adam: Kingma & Ba 2015, arXiv:1412.6980, Alg. 1; momentum: Polak 1964; lbfgs: Nocedal 1980",
             .equations = "rule: adam or momentum, until gradient, change of the value and steps allow a switch\n"
                          "then lbfgs; back to the rule when no step descends",
             .when_to_use = "starts far from a minimum, in rough country",
             .needs = TG_NEEDS_GRADIENT,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = tg_lbfgs_check,
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
    .phase = phase,
    .sound = tg_lbfgs_sound,
};
