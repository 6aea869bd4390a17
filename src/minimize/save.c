/* minimize/save.c -- a search as a file of named arrays, and back.
 *
 * "counts" and "numbers" are what tg_run has of the two kinds, in its order; then every array of the state,
 * those that all methods share by their names, its own as "method_0", "method_1", ... in the order of its file. What
 * comes back is checked before anything changes: shapes, and every count that indexes something. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "minimize/minimize.h"
#include "tiger/safetensors.h"

#define FORMAT_TAG "tiger-minimizer-1"
#define NAME_BYTES 24

static const char *const shared[TG_OWN] = {
    [TG_X] = "x",           [TG_G] = "gradient",           [TG_LOWER] = "lower",       [TG_UPPER] = "upper",
    [TG_LINE_X] = "line_x", [TG_LINE_G] = "line_gradient", [TG_LINE_LOW] = "line_low", [TG_LINE_HIGH] = "line_high",
    [TG_VALUES] = "values",
};

/* ---- tg_run as arrays -------------------------------------------------------------------------------------------- */

static const size_t counts_at[] = {
    offsetof(tg_run, iterations), offsetof(tg_run, evaluations), offsetof(tg_run, products),
    offsetof(tg_run, restarts),   offsetof(tg_run, switches),    offsetof(tg_run, phase),
    offsetof(tg_run, flat),       offsetof(tg_run, small),       offsetof(tg_run, begun),
    offsetof(tg_run, learnt),     offsetof(tg_run, asked),       offsetof(tg_run, candidates),
};
static const size_t numbers_at[] = {offsetof(tg_run, f), offsetof(tg_run, last_f), offsetof(tg_run, step),
                                    offsetof(tg_run, moved)};

enum {
    COUNTS = sizeof counts_at / sizeof *counts_at,
    NUMBERS = sizeof numbers_at / sizeof *numbers_at,
    ENDS = 2 /* stop and line, behind the counts */
};

typedef struct head {
    uint64_t count[COUNTS + ENDS + TG_MINIMIZER_SCALARS];
    double number[NUMBERS + TG_MINIMIZER_SCALARS];
} head;

static void pack(head *h, const tg_run *run)
{
    for (size_t i = 0; i < COUNTS; i++)
        memcpy(&h->count[i], (const char *)run + counts_at[i], sizeof *h->count);
    h->count[COUNTS] = run->stop;
    h->count[COUNTS + 1] = run->line;
    memcpy(h->count + COUNTS + ENDS, run->c, sizeof run->c);
    for (size_t i = 0; i < NUMBERS; i++)
        memcpy(&h->number[i], (const char *)run + numbers_at[i], sizeof *h->number);
    memcpy(h->number + NUMBERS, run->k, sizeof run->k);
}

static void unpack(tg_run *run, const head *h)
{
    for (size_t i = 0; i < COUNTS; i++)
        memcpy((char *)run + counts_at[i], &h->count[i], sizeof *h->count);
    run->stop = (uint32_t)h->count[COUNTS];
    run->line = (uint32_t)h->count[COUNTS + 1];
    memcpy(run->c, h->count + COUNTS + ENDS, sizeof run->c);
    for (size_t i = 0; i < NUMBERS; i++)
        memcpy((char *)run + numbers_at[i], &h->number[i], sizeof *h->number);
    memcpy(run->k, h->number + NUMBERS, sizeof run->k);
}

/* ---- the file's tensors ------------------------------------------------------------------------------------------ */

typedef struct listing {
    tg_named_tensor tensor[2 + TG_MINIMIZER_ARRAYS];
    char name[TG_MINIMIZER_ARRAYS][NAME_BYTES];
    size_t count;
} listing;

static void list(listing *l, const char *name, tg_format format, const void *data, size_t values)
{
    l->tensor[l->count++] = (tg_named_tensor){
        .name = name, .format = format, .rank = 1, .shape = {values}, .data = data, .bytes = values * 8};
}

static void list_all(listing *l, const tg_minimizer *m, const head *h)
{
    l->count = 0;
    list(l, "counts", TG_U64, h->count, sizeof h->count / sizeof *h->count);
    list(l, "numbers", TG_F64, h->number, sizeof h->number / sizeof *h->number);
    for (size_t i = 0; i < TG_MINIMIZER_ARRAYS; i++) {
        if (m->count[i] == 0 || m->scratch[i])
            continue;
        if (i >= TG_OWN)
            snprintf(l->name[i], NAME_BYTES, "method_%zu", i - TG_OWN);
        list(l, i < TG_OWN ? shared[i] : l->name[i], TG_F64, m->at[i], m->count[i]);
    }
}

static tg_status check_started(const tg_minimizer *m)
{
    return m->started ? TG_OK : tg_fail(TG_ESTATE, "a search is saved and loaded once the minimizer has started");
}

tg_status tg_minimizer_save(const tg_minimizer *m, const char *path)
{
    const tg_status status = check_started(m);
    if (status != TG_OK)
        return status;
    head h;
    listing l;
    pack(&h, m->run);
    list_all(&l, m, &h);
    const char *const metadata[] = {"format", FORMAT_TAG, "minimizer", m->kind->info.name};
    return tg_safetensors_write(path, l.tensor, l.count, metadata, 2);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static tg_status check_metadata(const tg_minimizer *m, const tg_safetensors *file, const char *path)
{
    const char *format = tg_safetensors_metadata(file, "format"), *method = tg_safetensors_metadata(file, "minimizer");
    if (format == NULL || strcmp(format, FORMAT_TAG) != 0 || method == NULL)
        return tg_fail(TG_EFORMAT, "%s: holds no search of a minimizer", path);
    if (strcmp(method, m->kind->info.name) != 0)
        return tg_fail(TG_EFORMAT, "%s: a search of %s, not of %s", path, method, m->kind->info.name);
    return TG_OK;
}

static tg_status check_tensors(const listing *ours, const tg_safetensors *file, const char *path)
{
    if (tg_safetensors_count(file) != ours->count)
        return tg_fail(TG_EFORMAT, "%s: %zu arrays, not %zu", path, tg_safetensors_count(file), ours->count);
    for (size_t i = 0; i < ours->count; i++) {
        const tg_named_tensor *want = &ours->tensor[i], *is = tg_safetensors_find(file, want->name);
        if (is == NULL)
            return tg_fail(TG_EFORMAT, "%s: there is no array '%s'", path, want->name);
        if (is->format != want->format || is->rank != 1 || is->shape[0] != want->shape[0])
            return tg_fail(TG_EFORMAT, "%s: %s has another size or format than here", path, want->name);
    }
    return TG_OK;
}

/* Methods of a fixed number of candidates have it since the start. */
static tg_status check_counts(const tg_minimizer *m, const head *h, const char *path)
{
    tg_run run = {0};
    unpack(&run, h);
    const bool whole = h->count[COUNTS] < TG_STOP_COUNT && h->count[COUNTS + 1] < TG_LINE_COUNT;
    const bool fits =
        m->kind->sound != NULL ? m->kind->sound(m, &run) : m->kind->ask == NULL || run.candidates == m->run->candidates;
    return whole && fits ? TG_OK
                         : tg_fail(TG_EFORMAT, "%s: its counts are of no search of %s", path, m->kind->info.name);
}

tg_status tg_minimizer_load(tg_minimizer *m, const char *path)
{
    tg_safetensors *file = NULL;
    head h;
    listing l;
    tg_status status = check_started(m);
    if (status == TG_OK)
        status = tg_safetensors_open(&file, path, NULL);
    if (status == TG_OK)
        status = check_metadata(m, file, path);
    if (status == TG_OK) {
        list_all(&l, m, &h);
        status = check_tensors(&l, file, path);
    }
    if (status == TG_OK) {
        memcpy(h.count, tg_safetensors_find(file, "counts")->data, sizeof h.count);
        memcpy(h.number, tg_safetensors_find(file, "numbers")->data, sizeof h.number);
        status = check_counts(m, &h, path);
    }
    if (status == TG_OK) {
        unpack(m->run, &h);
        for (size_t i = 2; i < l.count; i++) /* the arrays are the minimizer's own */
            memcpy((void *)l.tensor[i].data, tg_safetensors_find(file, l.tensor[i].name)->data, l.tensor[i].bytes);
    }
    tg_safetensors_destroy(file);
    return status;
}
