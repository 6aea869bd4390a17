/* minimizer_fuzz.c -- whatever is in a file of a search: it is refused and the minimizer stays as it was, or it is
 * taken and the search can go on. The first byte is the method. Without its high bit the rest is the file; with it the
 * rest is mixed into the arrays of one that the method has saved, whose header no mutation would hit. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tiger/minimize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define MIXED 0x80
#define BEFORE 3 /* iterations before the search is saved, */
#define BEHIND 4 /* and tried after one is loaded */
#define N 3

static char directory[] = "/tmp/tiger_fuzz_XXXXXX", path[64];

static void demand(int truth)
{
    if (!truth)
        abort();
}

static void leave(void)
{
    remove(path);
    rmdir(directory);
}

/* Not convex everywhere, so that line searches have something to do. */
static int evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    (void)ctx;
    *value = 0;
    for (size_t i = 0; i < N; i++) {
        const double away = x[i] - 0.385 * (double)(i + 1);
        *value += 0.7 * away * away - 0.31 * cos(2.385 * x[i]);
        if (gradient != NULL)
            gradient[i] = 1.4 * away + 0.31 * 2.385 * sin(2.385 * x[i]);
    }
    return 0;
}

static int fisher_vector(void *ctx, double *product, const double *x, const double *v)
{
    (void)ctx;
    (void)x;
    for (size_t i = 0; i < N; i++)
        product[i] = (1 + 0.5 * (double)i) * v[i];
    return 0;
}

static tg_minimizer *begin(const char *method)
{
    static const double start[N] = {1.3, -0.77, 0.4};
    const tg_objective objective = {.n = N, .evaluate = evaluate, .fisher_vector = fisher_vector};
    tg_minimizer *m = NULL;
    demand(tg_minimizer_create(&m, method, NULL) == TG_OK && tg_minimizer_start(m, &objective, start) == TG_OK);
    return m;
}

static void iterate(tg_minimizer *m, size_t times)
{
    bool going = true;
    for (size_t i = 0; i < times && going; i++)
        demand(tg_minimizer_iterate(m, &going) == TG_OK);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A file that is cut and written again is flushed by some file systems, a new one is not. */
static void write_file(const uint8_t *data, size_t bytes)
{
    remove(path);
    FILE *file = fopen(path, "wb");
    demand(file != NULL && fwrite(data, 1, bytes, file) == bytes && fclose(file) == 0);
}

typedef struct whole {
    uint8_t bytes[1 << 16];
    size_t size, header; /* of the file; of it before the arrays */
} whole;

/* What the method saves after a few iterations, made once. */
static const whole *saved_of(size_t method)
{
    static whole *saved[MIXED];
    if (saved[method] != NULL)
        return saved[method];
    whole *s = saved[method] = calloc(1, sizeof *s);
    tg_minimizer *m = begin(tg_minimizer_at(method)->name);
    iterate(m, BEFORE);
    demand(s != NULL && tg_minimizer_save(m, path) == TG_OK);
    tg_minimizer_destroy(m);
    FILE *file = fopen(path, "rb");
    demand(file != NULL);
    s->size = fread(s->bytes, 1, sizeof s->bytes, file);
    fclose(file);
    for (size_t i = 0; i < 8; i++)
        s->header |= (size_t)s->bytes[i] << 8 * i;
    s->header += 8;
    demand(s->header < s->size && s->size < sizeof s->bytes);
    return s;
}

static void write_mixed(size_t method, const uint8_t *data, size_t bytes)
{
    static whole mixed;
    mixed = *saved_of(method);
    for (size_t i = 0; i < bytes && mixed.header + i < mixed.size; i++)
        mixed.bytes[mixed.header + i] ^= data[i];
    write_file(mixed.bytes, mixed.size);
}

/* ---- the target -------------------------------------------------------------------------------------------------- */

static void check_refused(tg_minimizer *m, tg_status status, const char *before)
{
    size_t bytes;
    const char *now = tg_minimizer_state(m, &bytes);
    demand(status == TG_EFORMAT && strncmp(tg_message(), "", 1) != 0 && memcmp(now, before, bytes) == 0);
}

static void check_taken(tg_minimizer *m)
{
    tg_minimum now;
    iterate(m, BEHIND);
    tg_minimizer_minimum(m, &now);
    demand(strcmp(tg_stop_text(now.stop), "?") != 0 && strcmp(tg_line_end_name(now.line), "?") != 0);
    demand(now.phase != NULL && *now.phase != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (*path == '\0') {
        demand(mkdtemp(directory) != NULL && atexit(leave) == 0);
        snprintf(path, sizeof path, "%s/search.safetensors", directory);
    }
    if (bytes == 0)
        return 0;
    const size_t method = (data[0] & ~MIXED) % tg_minimizer_count();
    if (data[0] & MIXED)
        write_mixed(method, data + 1, bytes - 1);
    else
        write_file(data + 1, bytes - 1);
    tg_minimizer *m = begin(tg_minimizer_at(method)->name);
    size_t size;
    const void *state = tg_minimizer_state(m, &size);
    char *before = malloc(size);
    demand(before != NULL);
    memcpy(before, state, size);
    const tg_status status = tg_minimizer_load(m, path);
    if (status == TG_OK)
        check_taken(m);
    else
        check_refused(m, status, before);
    free(before);
    tg_minimizer_destroy(m);
    return 0;
}
