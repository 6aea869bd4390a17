/* minimize/minimize.h -- what a minimizer is: one const descriptor, one file in minimize/, one line in minimizers.inc.
 *
 * A method declares the arrays it lives on (`lay`), and moves from iteration to iteration: either by itself, calling
 * tg_evaluate_at (`iterate`), or by naming points and taking their values (`ask`, `tell`). The driver allocates once,
 * counts, checks tolerances and budgets, and evaluates a generation in parallel. All that changes lies in one block:
 * tg_run, then x, then the arrays. So saving a search is copying a block. */
#ifndef TG_MINIMIZE_MINIMIZE_H
#define TG_MINIMIZE_MINIMIZE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/minimize.h"

#define TG_MAX_MINIMIZER_OPTIONS 24
#define TG_MINIMIZER_ARRAYS 28
#define TG_MINIMIZER_SCALARS 24

enum {
    TG_COMMON_MAX_ITER, TG_COMMON_MAX_EVAL, TG_COMMON_TOLERANCE_GRAD, TG_COMMON_TOLERANCE_CHANGE, TG_COMMON_TARGET,
    TG_COMMON_SEED, TG_COMMON_THREADS, TG_COMMON_COUNT
};

/* Arrays that the driver and the line searches own; a method's own begin at TG_OWN. */
enum { TG_X, TG_G, TG_LOWER, TG_UPPER, TG_LINE_X, TG_LINE_G, TG_LINE_LOW, TG_LINE_HIGH, TG_VALUES, TG_OWN };

/* The head of the state. */
typedef struct tg_run {
    uint64_t iterations, evaluations, products, restarts, switches, phase, flat, small;
    uint64_t begun;      /* x has been evaluated */
    uint64_t learnt;     /* ... and the method has begun */
    uint64_t asked;      /* points are out, not told yet */
    uint64_t candidates; /* how many the next generation has */
    uint32_t stop, line;
    double f, last_f, step, moved;    /* value at x, the one before; moved: largest |entry| of
                                         the last change of x; NaN: it says nothing of convergence */
    double k[TG_MINIMIZER_SCALARS];   /* the method's own */
    uint64_t c[TG_MINIMIZER_SCALARS]; /* and counts */
} tg_run;

typedef struct tg_minimizer_kind tg_minimizer_kind;

struct tg_minimizer {
    const tg_minimizer_kind *kind;
    tg_allocator allocator_copy;
    const tg_allocator *allocator;
    double option[TG_MAX_MINIMIZER_OPTIONS], common[TG_COMMON_COUNT];
    tg_objective f;
    size_t n;
    bool started, bounded, wrong_size;
    double noise; /* relative rounding of values: what differs by less may be equal */
    tg_run *run;
    double *at[TG_MINIMIZER_ARRAYS];
    size_t count[TG_MINIMIZER_ARRAYS]; /* doubles of each */
    bool scratch[TG_MINIMIZER_ARRAYS]; /* no part of the state */
    float *x32, *g32;                  /* for evaluate_f32: as many points as can be evaluated at once */
    size_t room32;                     /* how many that is */
    void *memory;
    size_t state_bytes, bytes;
};

struct tg_minimizer_kind {
    tg_minimizer_info info;
    /* What is wrong with the options taken together, or NULL; NULL function: nothing can be. */
    const char *(*check)(const tg_minimizer *m);
    /* Declares arrays through tg_lay. */
    void (*lay)(tg_minimizer *m);
    /* Before the first iteration: with gradients, x, f and g are there; without, x is the start and nothing is
     * evaluated. */
    void (*begin)(tg_minimizer *m);
    /* With gradients: from x, f, g to the next; or sets run->stop. */
    void (*iterate)(tg_minimizer *m);
    /* Without: where the points lie, run->candidates of them; `tell` gets their values in at[TG_VALUES]. */
    double *(*ask)(tg_minimizer *m);
    void (*tell)(tg_minimizer *m, const double *points);
    const char *(*phase)(const tg_minimizer *m); /* NULL: the name */
    /* Whether counts that a file brought can be those of a search: what indexes must stay inside. NULL: all
     * can. */
    bool (*sound)(const tg_minimizer *m, const tg_run *run);
};

#define TG_MINIMIZER(name) extern const tg_minimizer_kind tg_minimizer_kind_##name;
#include "minimize/minimizers.inc"
#undef TG_MINIMIZER

#define TG_MINIMIZER_TABLE(options)                                                                                    \
    {                                                                                                                  \
        options, sizeof(options) / sizeof *(options)                                                                   \
    }

/* Array `which` has rows * cols doubles. */
void tg_lay(tg_minimizer *m, size_t which, size_t rows, size_t cols);
/* One that every iteration writes before it reads it: no part of the state, neither copied with it nor saved. */
void tg_lay_scratch(tg_minimizer *m, size_t which, size_t rows, size_t cols);

/* ---- evaluating -------------------------------------------------------------------------------------------------- */

/* *f <- value at x, and g unless NULL; infinite when either is not finite. False: a callback or the budget says stop,
 * and run->stop is set. */
bool tg_evaluate_at(tg_minimizer *m, double *f, double *g, const double *x);

/* product <- Hessian, or Fisher matrix, at x times v: by the callback, of the Hessian also by central differences; uses
 * `scratch`, two arrays of n. False: as above, or not finite. */
bool tg_product(tg_minimizer *m, double *product, const double *v, bool fisher, double *scratch);

/* at[TG_VALUES] <- values of the generation at `points`. False: as above. */
bool tg_evaluate_all(tg_minimizer *m, const double *points);

/* out <- x + t d, within the bounds, as numbers of fp32 where the function is. Returns whether any entry differs from
 * x. */
bool tg_point(const tg_minimizer *m, double *out, const double *x, double t, const double *d);

/* Takes x if it is the lowest so far: for methods without gradients. */
void tg_keep_best(tg_minimizer *m, const double *x, double f);

/* Whether entry i of x is held at a bound: there, and the gradient pushes outwards. */
bool tg_held(const tg_minimizer *m, const double *x, const double *g, size_t i);

/* The largest |entry| of the gradient at x, entries held at a bound left out. */
double tg_gradient_size(const tg_minimizer *m, const double *x, const double *g);

/* ---- line searches (line*.c) ------------------------------------------------------------------------------------- */

/* From x along d. In: first the length to try in t, f and slope at 0. Out: the length taken, x, f, g there in `at`. */
typedef struct tg_line {
    const double *d;
    double f0, slope0, t;
    double f, slope;
    double c1, c2; /* sufficient decrease, curvature */
    int max_ls;
    double tolerance;   /* torch's: shortest bracket */
    bool tried, finite; /* a point was evaluated; one was finite */
    bool wrong;         /* where the gradient had hardly changed the value rose: it is not the function's */
} tg_line;

/* On TG_LINE_FOUND and TG_LINE_BEST at[TG_LINE_X] and at[TG_LINE_G] hold the new point and its gradient. */
tg_line_end tg_line_wolfe(tg_minimizer *m, tg_line *l);     /* More & Thuente 1994 */
tg_line_end tg_line_torch(tg_minimizer *m, tg_line *l);     /* torch.optim.LBFGS */
tg_line_end tg_line_backtrack(tg_minimizer *m, tg_line *l); /* Armijo, along the path bent into the bounds */
tg_line_end tg_line_fixed(tg_minimizer *m, tg_line *l);     /* the length as it is; halved while not finite */

/* Evaluates at t: l->f, l->slope, the point's arrays. TG_LINE_NONE: there is something to judge, though f may be
 * infinite. */
tg_line_end tg_line_try(tg_minimizer *m, tg_line *l, double t);

/* Where a search along d ended well: moves x there, run->f, ->moved, ->step. */
void tg_line_take(tg_minimizer *m, const tg_line *l);

/* Where it did not and nothing else can be tried: sets run->stop. */
void tg_line_give_up(tg_minimizer *m, const tg_line *l, tg_line_end end);

/* Backtracks, and does the one or the other. */
void tg_line_backtrack_or_stop(tg_minimizer *m, tg_line *l);

/* The choice of a line search, in this order, as an option and as functions. */
#define TG_LINE_SEARCHES "wolfe|torch|backtracking|none"
enum { TG_SEARCH_WOLFE, TG_SEARCH_TORCH, TG_SEARCH_BACKTRACKING, TG_SEARCH_NONE };
tg_line_end tg_line_search(tg_minimizer *m, tg_line *l, int choice);
void tg_line_lay(tg_minimizer *m, bool torch);

/* ---- vectors (vector.c) ------------------------------------------------------------------------------------------ */

double tg_dot(size_t n, const double *a, const double *b); /* the same bits on any number of threads */
double tg_max_abs(size_t n, const double *a);
void tg_axpy(size_t n, double *y, double a, const double *x); /* y <- y + a x */

#endif
