/* minimize/create.c -- the family, options, making a minimizer, starting and releasing it. */
#include <float.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "minimize/minimize.h"

static const tg_minimizer_kind *const kinds[] = {
#define TG_MINIMIZER(name) &tg_minimizer_kind_##name,
#include "minimize/minimizers.inc"
#undef TG_MINIMIZER
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const tg_option common[TG_COMMON_COUNT] = {
    [TG_COMMON_MAX_ITER] = {.name = "max_iter", .kind = TG_INTEGER, .value = 1e6, .least = 0, .most = 1e15,
                            .help = "iterations at most"},
    [TG_COMMON_MAX_EVAL] = {.name = "max_eval", .kind = TG_INTEGER, .value = 1e6, .least = 1, .most = 1e15,
                            .help = "evaluations of the function at most"},
    [TG_COMMON_TOLERANCE_GRAD] = {.name = "tolerance_grad", .kind = TG_REAL, .value = 1e-7, .least = 0,
                                  .most = INFINITY,
                                  .help = "converged when no entry of the gradient is larger"},
    [TG_COMMON_TOLERANCE_CHANGE] = {.name = "tolerance_change", .kind = TG_REAL, .value = 1e-9, .least = 0,
                                    .most = INFINITY,
                                    .help = "converged when three times in a row no entry of x changes by more, or the "
                                            "value by no more of itself; 0: never (methods with gradients)"},
    [TG_COMMON_TARGET] = {.name = "target", .kind = TG_REAL, .value = -1e300, .least = -INFINITY, .most = INFINITY,
                          .help = "converged when the value is not above it"},
    [TG_COMMON_SEED] = {.name = "seed", .kind = TG_INTEGER, .value = 1, .least = 0, .most = TG_WHOLE_MOST,
                        .help = "of the random numbers"},
    [TG_COMMON_THREADS] = {.name = "threads", .kind = TG_INTEGER, .least = 0, .most = 4096,
                           .help = "that evaluate a generation, if the function allows it; 0: as many as OpenMP says"},
};

static const tg_option_table common_table = TG_MINIMIZER_TABLE(common);

const tg_option_table *tg_minimizer_common_options(void) { return &common_table; }

size_t tg_minimizer_count(void) { return KINDS; }

const tg_minimizer_info *tg_minimizer_at(size_t index) { return index < KINDS ? &kinds[index]->info : NULL; }

static const tg_minimizer_kind *find(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i]->info.name, name) == 0)
            return kinds[i];
    return NULL;
}

const tg_minimizer_info *tg_minimizer_find(const char *name)
{
    const tg_minimizer_kind *kind = find(name);
    return kind == NULL ? NULL : &kind->info;
}

static tg_status no_such_method(const char *name)
{
    char known[256] = "";
    for (size_t i = 0; i < KINDS; i++)
        if (strlen(known) + strlen(kinds[i]->info.name) + 3 < sizeof known)
            strcat(strcat(known, i == 0 ? "" : ", "), kinds[i]->info.name);
    return tg_fail(TG_ENOTFOUND, "there is no minimizer '%s' (there are %s)", name, known);
}

tg_status tg_minimizer_create(tg_minimizer **out, const char *method, const tg_allocator *allocator)
{
    const tg_minimizer_kind *kind = find(method);
    if (kind == NULL)
        return no_such_method(method);
    tg_minimizer *m = tg_heap_alloc(1, sizeof *m);
    if (m == NULL)
        return tg_no_memory("a minimizer", sizeof *m);
    if (allocator != NULL) {
        m->allocator_copy = *allocator;
        m->allocator = &m->allocator_copy;
    }
    m->kind = kind;
    for (size_t i = 0; i < kind->info.options.count; i++)
        m->option[i] = kind->info.options.at[i].value;
    for (size_t i = 0; i < TG_COMMON_COUNT; i++)
        m->common[i] = common[i].value;
    *out = m;
    return TG_OK;
}

void tg_minimizer_destroy(tg_minimizer *m)
{
    if (m == NULL)
        return;
    tg_free(m->allocator, m->memory, m->bytes, 1);
    tg_heap_free(m);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* Where the option's value and row are; NULL, with the message set, when there is none. */
static double *place_of(const tg_minimizer *m, const char *name, const tg_option **row)
{
    const tg_option_table *own = &m->kind->info.options;
    const size_t at = tg_option_find(own, name), shared = tg_option_find(&common_table, name);
    if (at < own->count) {
        *row = &own->at[at];
        return (double *)&m->option[at];
    }
    if (shared < common_table.count) {
        *row = &common[shared];
        return (double *)&m->common[shared];
    }
    const size_t near = tg_option_nearest(own, name), common_near = tg_option_nearest(&common_table, name);
    const char *meant = near < own->count                  ? own->at[near].name
                        : common_near < common_table.count ? common[common_near].name
                                                           : NULL;
    tg_fail(TG_ENOTFOUND, "%s has no option '%s'%s%s%s", m->kind->info.name, name,
            meant == NULL ? "" : " (did you mean ", meant == NULL ? "" : meant, meant == NULL ? "" : "?)");
    return NULL;
}

tg_status tg_minimizer_set_number(tg_minimizer *m, const char *name, double value)
{
    const tg_option *row;
    double *place = place_of(m, name, &row);
    if (place == NULL)
        return TG_ENOTFOUND;
    if (m->started)
        return tg_fail(TG_ESTATE, "%s is fixed once the minimizer has started", row->name);
    const tg_status status = tg_option_check(row, value);
    if (status == TG_OK)
        *place = value;
    return status;
}

tg_status tg_minimizer_set(tg_minimizer *m, const char *name, const char *text)
{
    const tg_option *row;
    double value;
    if (place_of(m, name, &row) == NULL)
        return TG_ENOTFOUND;
    const tg_status status = tg_option_parse(&value, row, text);
    return status != TG_OK ? status : tg_minimizer_set_number(m, name, value);
}

tg_status tg_minimizer_get(const tg_minimizer *m, const char *name, double *value)
{
    const tg_option *row;
    const double *place = place_of(m, name, &row);
    if (place == NULL)
        return TG_ENOTFOUND;
    *value = *place;
    return TG_OK;
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

void tg_lay(tg_minimizer *m, size_t which, size_t rows, size_t cols)
{
    size_t count, bytes;
    m->wrong_size |= !tg_multiply(&count, rows, cols) || !tg_multiply(&bytes, count, 2 * sizeof(double));
    m->count[which] = m->wrong_size ? 0 : tg_round_up(count, TG_CACHE_LINE / sizeof(double));
    m->scratch[which] = false;
}

void tg_lay_scratch(tg_minimizer *m, size_t which, size_t rows, size_t cols)
{
    tg_lay(m, which, rows, cols);
    m->scratch[which] = true;
}

/* What is wrong with options and function, whatever the start. */
static tg_status check(const tg_minimizer *m, const tg_objective *f)
{
    const tg_minimizer_info *info = &m->kind->info;
    if (f->n == 0)
        return tg_fail(TG_EINVAL, "the function needs at least one number: n is 0");
    if (f->evaluate != NULL && f->evaluate_f32 != NULL)
        return tg_fail(TG_EINVAL, "the function has both evaluate and evaluate_f32: give one");
    if (f->evaluate == NULL && f->evaluate_f32 == NULL && info->needs != TG_NEEDS_VALUE)
        return tg_fail(TG_EINVAL, "%s needs a function to evaluate: evaluate or evaluate_f32", info->name);
    if ((f->lower != NULL || f->upper != NULL) && !info->bounds)
        return tg_fail(TG_EUNSUPPORTED, "%s takes no bounds: use lbfgs, gd, cmaes, genetic or anneal", info->name);
    tg_minimizer with = *m;
    with.f = *f;
    with.n = f->n;
    const char *wrong = m->kind->check == NULL ? NULL : m->kind->check(&with);
    return wrong == NULL ? TG_OK : tg_fail(TG_EINVAL, "%s: %s", info->name, wrong);
}

static tg_status check_start(const tg_objective *f, const double *x0)
{
    for (size_t i = 0; i < f->n; i++) {
        const double low = f->lower == NULL ? -INFINITY : f->lower[i], high = f->upper == NULL ? INFINITY : f->upper[i];
        if (!(low <= high) || low == INFINITY || high == -INFINITY)
            return tg_fail(TG_EINVAL, "bounds of x[%zu] must be a lower and an upper one, not %g and %g", i, low, high);
        if (!isfinite(x0[i]))
            return tg_fail(TG_EINVAL, "the start's x[%zu] is not finite", i);
    }
    return TG_OK;
}

static void take(tg_minimizer *m, const tg_objective *objective)
{
    m->f = *objective;
    m->n = objective->n;
    m->bounded = objective->lower != NULL || objective->upper != NULL;
    m->noise = objective->evaluate_f32 != NULL ? 8 * (double)FLT_EPSILON : 8 * DBL_EPSILON;
}

/* *doubles <- all that arrays of the state take, or those that are scratch. False: too many. */
static bool add_up(size_t *doubles, const tg_minimizer *m, bool scratch)
{
    bool fits = true;
    *doubles = 0;
    for (size_t i = 0; i < TG_MINIMIZER_ARRAYS; i++)
        fits = fits && (m->scratch[i] != scratch || tg_add_size(doubles, *doubles, m->count[i]));
    return fits;
}

/* One block: tg_run, the arrays, and behind the state those that are scratch and the points in fp32. Sets how much each
 * takes. */
static tg_status lay_out(tg_minimizer *m)
{
    const size_t head = tg_round_up(sizeof(tg_run), TG_CACHE_LINE), n = m->n;
    size_t doubles = 0, scratch = 0, singles = 0, bytes = 0;
    memset(m->count, 0, sizeof m->count);
    memset(m->scratch, 0, sizeof m->scratch);
    m->wrong_size = false;
    tg_lay(m, TG_X, 1, n);
    if (m->bounded) {
        tg_lay(m, TG_LOWER, 1, n);
        tg_lay(m, TG_UPPER, 1, n);
    }
    m->kind->lay(m);
    m->room32 = m->f.evaluate_f32 == NULL ? 0 : m->count[TG_VALUES] == 0 ? 1 : m->count[TG_VALUES];
    bool fits = !m->wrong_size && tg_multiply(&singles, 2 * tg_round_up(n, TG_CACHE_LINE), m->room32);
    fits = fits && add_up(&doubles, m, false) && add_up(&scratch, m, true);
    fits = fits && tg_multiply(&bytes, doubles, sizeof(double)) && tg_add_size(&m->state_bytes, head, bytes) &&
           tg_multiply(&bytes, scratch, sizeof(double)) && tg_add_size(&m->bytes, m->state_bytes, bytes) &&
           tg_multiply(&bytes, singles, sizeof(float)) && tg_add_size(&m->bytes, m->bytes, bytes);
    return fits ? TG_OK : tg_fail(TG_EINVAL, "%s: %zu numbers are too many", m->kind->info.name, n);
}

static tg_status allocate(tg_minimizer *m)
{
    const size_t head = tg_round_up(sizeof(tg_run), TG_CACHE_LINE);
    const tg_status status = lay_out(m);
    if (status != TG_OK)
        return status;
    m->memory = tg_alloc(m->allocator, m->bytes, 1);
    if (m->memory == NULL)
        return tg_no_memory(m->kind->info.name, m->bytes);
    m->run = m->memory;
    double *next = (double *)((char *)m->memory + head);
    for (int scratch = 0; scratch < 2; scratch++)
        for (size_t i = 0; i < TG_MINIMIZER_ARRAYS; i++)
            if (m->scratch[i] == (scratch != 0)) {
                m->at[i] = m->count[i] == 0 ? NULL : next;
                next += m->count[i];
            }
    m->x32 = m->room32 == 0 ? NULL : (float *)next;
    m->g32 = m->room32 == 0 ? NULL : m->x32 + tg_round_up(m->n, TG_CACHE_LINE) * m->room32;
    return TG_OK;
}

tg_status tg_minimizer_measure(const tg_minimizer *m, const tg_objective *objective, size_t *bytes)
{
    tg_status status = check(m, objective);
    if (status != TG_OK)
        return status;
    tg_minimizer as_if = *m;
    take(&as_if, objective);
    status = lay_out(&as_if);
    if (status == TG_OK)
        *bytes = as_if.bytes;
    return status;
}

tg_status tg_minimizer_start(tg_minimizer *m, const tg_objective *objective, const double *x0)
{
    tg_status status = m->started ? tg_fail(TG_ESTATE, "the minimizer has already started") : check(m, objective);
    if (status == TG_OK)
        status = check_start(objective, x0);
    if (status != TG_OK)
        return status;
    take(m, objective);
    status = allocate(m);
    if (status != TG_OK)
        return status;
    for (size_t i = 0; m->bounded && i < m->n; i++) {
        m->at[TG_LOWER][i] = objective->lower == NULL ? -INFINITY : objective->lower[i];
        m->at[TG_UPPER][i] = objective->upper == NULL ? INFINITY : objective->upper[i];
    }
    m->f.lower = m->f.upper = NULL; /* the copies serve from here on */
    memset(m->at[TG_X], 0, m->n * sizeof(double));
    tg_point(m, m->at[TG_X], x0, 0, m->at[TG_X]);
    m->run->f = m->run->last_f = NAN;
    m->started = true;
    if (m->kind->info.needs == TG_NEEDS_VALUE)
        m->kind->begin(m);
    return TG_OK;
}

void *tg_minimizer_state(tg_minimizer *m, size_t *bytes)
{
    *bytes = m->started ? m->state_bytes : 0;
    return m->memory;
}
