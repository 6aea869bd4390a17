/* tiger/engine/descent.h -- the library's optimizers and minimizers on textbook problems: one run, its path, and files
 * of paths.
 *
 * The problem gives f and its gradient in double. For an optimizer (tiger/optim.h) the variables are one row of weights
 * in fp32 (or bf16, fp16) of role matrix, updated as the weights of a network are; so a run ends at the precision of
 * that format. A minimizer (tiger/minimize.h) works in double; an update is then one of its iterations. */
#ifndef TIGER_ENGINE_DESCENT_H
#define TIGER_ENGINE_DESCENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/engine/problem.h"
#include "tiger/format.h"
#include "tiger/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_descent_config {
    const tg_problem *problem;
    const char *optimizer;     /* or minimizer */
    const tg_setting *setting; /* its options */
    size_t settings;
    const char *schedule; /* of lr and other options; NULL: constant. Minimizers have none */
    uint64_t updates;     /* at most so many, >= 1 */
    double tolerance;     /* ends the run when the gradient's norm is not above it */
    tg_format weights;    /* TG_F32, TG_BF16 or TG_F16; TG_F32 for minimizers, which pass it over */
    const double *start;  /* NULL: the problem's */
} tg_descent_config;

typedef struct tg_descent_point {
    uint64_t update;      /* 0: the start */
    uint64_t evaluations; /* of f and its gradient, so far; of minimizers: of f, with or without its gradient */
    double value, slope;  /* f, and the norm of its gradient */
    double seconds; /* that the updates so far took, with their evaluations; neither the visitor nor what is evaluated
                       for it alone */
    const double *x;
    bool last; /* the run ends here */
} tg_descent_point;

typedef enum tg_descent_end {
    TG_DESCENT_TOLERANCE, /* the gradient is as small as was asked for */
    TG_DESCENT_UPDATES,   /* all updates were made */
    TG_DESCENT_DIVERGED,  /* f, its gradient or a variable is not finite, or a variable beyond 1e12 */
    TG_DESCENT_STOPPED,   /* the visitor said so */
    TG_DESCENT_CONVERGED, /* a minimizer: nothing changes any more, its target is reached, rounding hides the rest */
    TG_DESCENT_STUCK      /* a minimizer found no step */
} tg_descent_end;

typedef struct tg_descent_result {
    tg_descent_end end;
    const char *word, *reason; /* why: "tolerance", and as a sentence */
    uint64_t updates, evaluations;
    double value, slope; /* at the end */
    double distance;     /* to the nearest known minimum, which is number `nearest`; NaN when none is known */
    size_t nearest;
} tg_descent_result;

/* Sees the start, and the point behind every update; false stops. */
typedef bool tg_descent_visit(void *ctx, const tg_descent_point *point);

/* Runs. x (one value a variable) <- where it ended. `visit` may be NULL. Rules that want the Hessian's diagonal
 * (sophia) get it by Hutchinson's probes, two more evaluations each. */
tg_status tg_descend(tg_descent_result *result, double *x, const tg_descent_config *config, tg_descent_visit *visit,
                     void *ctx);

/* ---- paths and their files --------------------------------------------------------------------------------------- */

#define TG_TRACE_VARIABLES 64 /* paths of more variables are kept without the points themselves */
#define TG_TRACE_TITLE 160

typedef struct tg_trace {
    char title[TG_TRACE_TITLE];
    const tg_problem *problem;
    tg_problem *owned; /* the problem, when the trace brought it along */
    size_t n, count, room;
    double *update, *value, *slope;
    double *x; /* (count, n); NULL: more than TG_TRACE_VARIABLES */
} tg_trace;

typedef struct tg_traces {
    tg_trace *at;
    size_t count;
} tg_traces;

/* An empty path; the problem must live as long. */
void tg_trace_init(tg_trace *trace, const char *title, const tg_problem *problem);
tg_status tg_trace_append(tg_trace *trace, const tg_descent_point *point);
void tg_trace_fini(tg_trace *trace); /* fine on {0} */

/* JSON Lines, whole or none: for each path a line with "run", and "problem" and "options" or "expression", then a line
 * for each point with "update", "f", "gradient" and "x". What is not finite is null. */
tg_status tg_traces_write(const tg_trace *trace, size_t count, const char *path);
tg_status tg_traces_read(tg_traces *traces, const char *path);
/* The same of a text; `file` for messages. */
tg_status tg_traces_parse(tg_traces *traces, const char *text, size_t bytes, const char *file);
void tg_traces_fini(tg_traces *traces); /* fine on {0} */

#ifdef __cplusplus
}
#endif
#endif
