/* newton_cg.c -- Newton's method whose steps are solved for by conjugate gradients, without a matrix (Dembo & Steihaug
 * 1983, Math. Prog. 26; Nocedal & Wright 2006, Algorithm 7.1).
 *
 *   H d = -g, until |H d + g| <= min(eta, sqrt(|g|)) |g|      x <- x + t d
 *
 * Truncated at negative curvature: the inner loop ends with what it has reached, at its first direction with the
 * steepest descent. Products H v: the caller's, or central differences of gradients (2 evaluations). Memory: 11 numbers
 * per entry. */
#include "minimize/curved.h"
#include "minimize/lbfgs.h"

#include <string.h>

enum { LINE_SEARCH, C1, C2, MAX_LS, ETA, MAX_CG };
enum { DIRECTION = TG_OWN, WORK };

static const tg_option options[] = {
    TG_LINE_OPTIONS(LINE_SEARCH, C1, C2, MAX_LS, 0.9),
    [ETA] = {.name = "eta", .kind = TG_REAL, .value = 0.5, .least = 0, .above = 1, .most = 0x1.fffffffffffffp-1,
             .help = "share of the gradient that the inner loop may leave"},
    [MAX_CG] = {.name = "max_cg", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1e15,
                .help = "products of an iteration at most; 0: 2 n, at most 200"},
};

static const char *check(const tg_minimizer *m)
{
    return m->option[C1] < m->option[C2] ? NULL : "c1 must be below c2: no step meets both conditions otherwise";
}

static void lay(tg_minimizer *m)
{
    tg_line_lay(m, m->option[LINE_SEARCH] == TG_SEARCH_TORCH);
    tg_lay_scratch(m, DIRECTION, 1, m->n);
    tg_lay_scratch(m, WORK, 5, m->n + 8);
}

static void begin(tg_minimizer *m) { m->run->step = 0; }

static void iterate(tg_minimizer *m)
{
    tg_run *r = m->run;
    const size_t n = m->n, most = m->option[MAX_CG] > 0 ? (size_t)m->option[MAX_CG] : n > 100 ? 200 : 2 * n;
    double *d = m->at[DIRECTION];
    const double size = sqrt(tg_dot(n, m->at[TG_G], m->at[TG_G]));
    const tg_solved solved = tg_conjugate(m, d, false, 0, fmin(m->option[ETA], sqrt(size)), most, m->at[WORK]);
    if (solved == TG_SOLVED_FAILED && r->stop != TG_STOP_NOT_YET)
        return;
    bool steepest = solved == TG_SOLVED_FAILED;
    do {
        for (size_t i = 0; steepest && i < n; i++)
            d[i] = -m->at[TG_G][i];
        const double slope = tg_dot(n, m->at[TG_G], d);
        const bool gradient = steepest || (solved == TG_SOLVED_CURVED && slope == -size * size);
        tg_line l = {.d = d,
                     .f0 = r->f,
                     .slope0 = slope,
                     .t = gradient ? 1 / size : 1,
                     .c1 = m->option[C1],
                     .c2 = m->option[C2],
                     .max_ls = (int)m->option[MAX_LS]};
        const tg_line_end end = tg_line_search(m, &l, (int)m->option[LINE_SEARCH]);
        if (end == TG_LINE_FOUND || end == TG_LINE_BEST) {
            tg_line_take(m, &l);
            return;
        }
        if (gradient || r->stop != TG_STOP_NOT_YET) {
            tg_line_give_up(m, &l, end);
            return;
        }
        steepest = true;
        r->restarts++;
    } while (true);
}

const tg_minimizer_kind tg_minimizer_kind_newton_cg = {
    .info = {.name = "newton_cg",
             .title = "Newton's method without a matrix, truncated at negative curvature",
             .source = "Dembo & Steihaug 1983, Math. Prog. 26; Nocedal & Wright 2006, Algorithm 7.1",
             .equations = "H d = -g by conjugate gradients, until |H d + g| <= min(eta, sqrt(|g|)) |g|\n"
                          "x <- x + t d, t by the line search",
             .when_to_use = "large functions whose products with the Hessian are cheap",
             .needs = TG_NEEDS_PRODUCT,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
};
