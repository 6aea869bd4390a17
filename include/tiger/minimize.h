/* tiger/minimize.h -- minimizers: of any function of n numbers that the caller brings as a callback. Some want the
 * gradient (lbfgs, cg, newton, ...), some the value alone (cmaes, genetic, anneal).
 *
 * In one call:
 *
 *     double x[2] = {-1.2, 1};                                 the start; the minimum afterwards
 *     tg_objective f = {.n = 2, .evaluate = rosenbrock};
 *     tg_minimum found;
 *     tg_status status = tg_minimize(&found, x, "lbfgs", &f, NULL);
 *
 * Step by step: tg_minimizer_create, _set, _start, then tg_minimizer_iterate until it is no longer going. Methods that
 * need values alone can be asked for points and told their values instead: tg_minimizer_ask and _tell.
 *
 * How a search ends is no error: found.stop says it. A status other than TG_OK means that the call was wrong or that
 * there was no memory. Nothing is allocated after tg_minimizer_start. Results have the same bits on any number of
 * threads. A minimizer may be used by one thread at a time; different minimizers are independent. */
#ifndef TIGER_MINIMIZE_H
#define TIGER_MINIMIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/memory.h"
#include "tiger/option.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_minimizer tg_minimizer;

/* ---- how a search ends ------------------------------------------------------------------------------------------- */

typedef enum tg_stop {
    TG_STOP_NOT_YET,
    TG_STOP_GRADIENT,    /* largest entry of the (projected) gradient <= tolerance_grad: converged */
    TG_STOP_CHANGE,      /* three times in a row value or point changed by no more than tolerance_change: converged */
    TG_STOP_TARGET,      /* the value is at or below `target`: converged */
    TG_STOP_PRECISION,   /* rounding hides any further descent: converged as far as the numbers go */
    TG_STOP_ITERATIONS,  /* max_iter */
    TG_STOP_EVALUATIONS, /* max_eval */
    TG_STOP_LINE_SEARCH, /* no step was found, not even along the steepest descent: is the gradient right? */
    TG_STOP_NOT_FINITE,  /* NaN or Inf at the start, or wherever a step led */
    TG_STOP_CALLER,      /* a callback said so */
    TG_STOP_COUNT
} tg_stop;

const char *tg_stop_name(tg_stop stop); /* "gradient", ...; never NULL */
const char *tg_stop_text(tg_stop stop); /* a sentence; never NULL */
bool tg_stop_converged(tg_stop stop);

/* How the last line search ended. */
typedef enum tg_line_end {
    TG_LINE_NONE,        /* there was none */
    TG_LINE_FOUND,       /* its conditions hold */
    TG_LINE_BEST,        /* they do not, but the best point tried is lower than the start: taken */
    TG_LINE_PRECISION,   /* points or values no longer differ */
    TG_LINE_ASCENT,      /* the direction does not descend */
    TG_LINE_NOT_FINITE,  /* NaN or Inf however short the step */
    TG_LINE_EVALUATIONS, /* max_ls, or the budget */
    TG_LINE_CALLER,      /* a callback said so */
    TG_LINE_COUNT
} tg_line_end;

const char *tg_line_end_name(tg_line_end end);

/* What is known of the minimum: during a search to the monitor, and at its end. */
typedef struct tg_minimum {
    const double *x; /* (n), the minimizer's; after tg_minimize the caller's */
    double value;
    double gradient_norm; /* its largest entry by magnitude, bounds regarded; NaN for methods without gradients */
    double step;          /* length along the last direction, or the spread of the candidates (cmaes, anneal) */
    uint64_t iterations, evaluations; /* of the function: with or without gradient, one each */
    uint64_t products;                /* of a Hessian or Fisher matrix with a vector, by the callback */
    uint64_t restarts;                /* history dropped, population enlarged, temperature raised */
    uint64_t switches;                /* hybrid: changes between its two methods */
    const char *phase;                /* the method at work: of hybrid one of its two */
    tg_stop stop;
    tg_line_end line;
} tg_minimum;

/* ---- the function ------------------------------------------------------------------------------------------------ */

/* Callbacks return 0, or anything else to stop the search (TG_STOP_CALLER). Values of NaN and Inf are fine: such a
 * point is worse than any other. */
typedef struct tg_objective {
    size_t n; /* >= 1 */
    void *ctx;
    /* *value <- f(x), and gradient[] <- its derivatives unless `gradient` is NULL. x and gradient: (n). */
    int (*evaluate)(void *ctx, double *value, double *gradient, const double *x);
    /* In its place for models in fp32: points are then kept to numbers of fp32, and rounding in value and gradient is
     * reckoned with. */
    int (*evaluate_f32)(void *ctx, double *value, float *gradient, const float *x);
    bool value_only; /* `gradient` is never written: methods that need it take central differences, 2 n
                        evaluations each */
    bool parallel;   /* evaluate may be called from several threads at once */
    /* Optional: values[i] <- f(points + i n) for a whole generation, in place of calls of evaluate. */
    int (*batch)(void *ctx, double *values, const double *points, size_t count);
    /* Optional: product[] <- Hessian at x times v; without it, central differences of gradients. */
    int (*hessian_vector)(void *ctx, double *product, const double *x, const double *v);
    /* For natgrad: product[] <- Fisher or Gauss-Newton matrix at x times v. */
    int (*fisher_vector)(void *ctx, double *product, const double *x, const double *v);
    /* Or in its place: *root <- R at x, (fisher_rows, n), where the matrix is R^T R; the caller's, good until the next
     * call. */
    size_t fisher_rows;
    int (*fisher_root)(void *ctx, const float **root, const double *x);
    /* Optional bounds (n); -INFINITY and INFINITY: none there. Copied. Not all methods take them. */
    const double *lower, *upper;
    /* Optional: told after every iteration. */
    int (*monitor)(void *ctx, const tg_minimum *now);
} tg_objective;

/* ---- the family -------------------------------------------------------------------------------------------------- */

/* What a method needs of the function. TG_NEEDS_PRODUCT: gradients, and products with the Hessian, which differences of
 * gradients make where there is no callback; TG_NEEDS_FISHER: gradients, and fisher_vector or fisher_root. */
typedef enum tg_needs { TG_NEEDS_VALUE, TG_NEEDS_GRADIENT, TG_NEEDS_PRODUCT, TG_NEEDS_FISHER } tg_needs;

typedef struct tg_minimizer_info {
    const char *name, *title, *source; /* "lbfgs", one line, paper and page or algorithm */
    const char *equations;             /* plain text, a line each */
    const char *when_to_use;
    tg_needs needs;
    bool bounds;             /* takes bounds */
    tg_option_table options; /* its own; tg_minimizer_common_options has the rest */
} tg_minimizer_info;

size_t tg_minimizer_count(void);
const tg_minimizer_info *tg_minimizer_at(size_t index);       /* NULL past the end */
const tg_minimizer_info *tg_minimizer_find(const char *name); /* NULL when there is none */

/* Options every method has: tolerances, budget, seed, threads. */
const tg_option_table *tg_minimizer_common_options(void);

/* ---- in one call ------------------------------------------------------------------------------------------------- */

/* Searches from x, (n), and leaves the best point found there. `settings`: NULL, or ended by a name of NULL. On a
 * status other than TG_OK x and *found are as they were. */
tg_status tg_minimize(tg_minimum *found, double *x, const char *method, const tg_objective *objective,
                      const tg_setting *settings);

/* ---- step by step ------------------------------------------------------------------------------------------------ */

tg_status tg_minimizer_create(tg_minimizer **out, const char *method, const tg_allocator *allocator);
void tg_minimizer_destroy(tg_minimizer *minimizer); /* NULL is fine */

/* Sets an option of the method or a common one, before the start. */
tg_status tg_minimizer_set(tg_minimizer *minimizer, const char *option, const char *text);
tg_status tg_minimizer_set_number(tg_minimizer *minimizer, const char *option, double value);
tg_status tg_minimizer_get(const tg_minimizer *minimizer, const char *option, double *value);

/* Checks options and function as the start does, and says how much memory it would take. Of the bounds it matters only
 * whether there are any. */
tg_status tg_minimizer_measure(const tg_minimizer *minimizer, const tg_objective *objective, size_t *bytes);

/* Checks options and function, allocates, and copies the start x0 (n), moved into the bounds; evaluates nothing yet.
 * The struct is copied, ctx must live on. For ask and tell `evaluate` may be NULL. */
tg_status tg_minimizer_start(tg_minimizer *minimizer, const tg_objective *objective, const double *x0);

/* One iteration (the first one evaluates the start, too). *going: whether there is more to do. */
tg_status tg_minimizer_iterate(tg_minimizer *minimizer, bool *going);

/* For when the function has changed, or x (n) is to be another (NULL: it is not): value and gradient are taken anew at
 * the next iteration, an end is forgotten, and what the method has learnt is kept: lbfgs its pairs. TG_EUNSUPPORTED for
 * methods without gradients. */
tg_status tg_minimizer_refresh(tg_minimizer *minimizer, const double *x);

/* The points whose values the method wants next, (count, n), the minimizer's until told; the same points until then.
 * Count 0: the search is over. TG_EUNSUPPORTED for methods with gradients. */
tg_status tg_minimizer_ask(tg_minimizer *minimizer, const double **points, size_t *count);
/* Their values, in that order; NaN is the worst of all. */
tg_status tg_minimizer_tell(tg_minimizer *minimizer, const double *values, size_t count);

/* The best so far; before the first evaluation x is the start and the value NaN. */
void tg_minimizer_minimum(const tg_minimizer *minimizer, tg_minimum *now);

/* All that changes during a search, *bytes of it. Copied out between iterations and back into a started minimizer of
 * the same method, options and function, also in another process of this build, the search goes on to the same bits.
 * NULL before the start. */
void *tg_minimizer_state(tg_minimizer *minimizer, size_t *bytes);

/* The same as a file of named arrays (safetensors), for other builds and processes too: counts and numbers of the search,
 * "x", "gradient", and what the method keeps. Written whole or not at all. Loading wants a started minimizer of the
 * same method, options and size; TG_EFORMAT says what does not fit or cannot be, and the minimizer stays as it was. */
tg_status tg_minimizer_save(const tg_minimizer *minimizer, const char *path);
tg_status tg_minimizer_load(tg_minimizer *minimizer, const char *path);

#ifdef __cplusplus
}
#endif
#endif
