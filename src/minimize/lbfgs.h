/* minimize/lbfgs.h -- limited-memory BFGS for its own file and for hybrid, whose table of options begins with the same
 * rows. */
#ifndef TG_MINIMIZE_LBFGS_H
#define TG_MINIMIZE_LBFGS_H

#include "minimize/minimize.h"

enum { LBFGS_HISTORY, LBFGS_LINE_SEARCH, LBFGS_LR, LBFGS_C1, LBFGS_C2, LBFGS_MAX_LS, LBFGS_OPTIONS };
enum { LBFGS_S = TG_OWN, LBFGS_Y, LBFGS_RHO, LBFGS_ALPHA, LBFGS_D, LBFGS_ARRAYS };

#define TG_LBFGS_OPTIONS                                                                                               \
    [LBFGS_HISTORY] = {.name = "history_size", .kind = TG_INTEGER, .value = 10, .least = 1, .most = 10000,             \
                       .search_least = 3, .search_most = 50, .search_log = 1,                                        \
                       .help = "steps remembered: 2 n numbers each"},                                                  \
    TG_LINE_OPTIONS(LBFGS_LINE_SEARCH, LBFGS_C1, LBFGS_C2, LBFGS_MAX_LS, 0.9),                                         \
    [LBFGS_LR] = {.name = "lr", .kind = TG_REAL, .value = 1, .least = 0, .above = 1, .most = INFINITY,                 \
                  .help = "length first tried, of the quasi-Newton step"}

#define TG_LINE_OPTIONS(search, c1, c2, max_ls, curvature)                                                             \
    [search] = {.name = "line_search", .kind = TG_CHOICE, .choices = TG_LINE_SEARCHES,                                 \
                .help = "wolfe: More & Thuente's; torch: PyTorch's strong_wolfe; none: the first length"},             \
    [c1] = {.name = "c1", .kind = TG_REAL, .value = 1e-4, .least = 0, .above = 1, .most = 0.4999,                      \
            .help = "share of the descent the slope promises that a step must make"},                                  \
    [c2] = {.name = "c2", .kind = TG_REAL, .value = curvature, .least = 0, .above = 1, .most = 0x1.fffffffffffffp-1,   \
            .help = "share of the slope that a step may leave (wolfe, torch)"},                                        \
    [max_ls] = {.name = "max_ls", .kind = TG_INTEGER, .value = 25, .least = 1, .most = 1000,                           \
                .help = "evaluations in a line search at most"}

const char *tg_lbfgs_check(const tg_minimizer *m);
void tg_lbfgs_lay(tg_minimizer *m);
void tg_lbfgs_begin(tg_minimizer *m); /* also: forgets the history */
void tg_lbfgs_iterate(tg_minimizer *m);
bool tg_lbfgs_sound(const tg_minimizer *m, const tg_run *run);

#endif
