/* optimizers.c -- how fast every rule updates its weights, beside what the memory can do.
 *
 *   bench_optimizers [RULE ...]
 *
 * For every rule, weights in fp32 and bf16, 30 and 124 million parameters, one thread and all: time of an update, in ns a
 * parameter and in GB/s of the traffic an update cannot do without (gradient read, weights and states read and written).
 * The yardstick is a read-modify-write of one array as large as the rule's arrays together, with the same threads, timed
 * in turn with the rule: memory on shared machines has good and bad seconds, and both must see them. Medians of ROUNDS. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "tiger/optim.h"

#define ROUNDS 9
#define TENSOR ((size_t)4 << 20) /* values of one tensor: (2048, 2048) */
#define SIDE 2048
#define TILE_ROWS 512            /* of a folded gradient's tile: 4 MiB */

typedef struct job {
    const char *rule;
    tg_format format;
    bool folded;
    size_t n;
    int threads;
} job;

typedef struct result {
    double seconds, bytes, yardstick; /* of an update; of its traffic; yardstick in bytes a second */
} result;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_optimizers: %s: %s\n", what, tg_message());
    exit(1);
}

#define must(call) ((call) == TG_OK ? (void)0 : die(#call))

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, ascending);
    return v[n / 2];
}

static void *array(size_t bytes)
{
    void *memory = tg_alloc(NULL, bytes, 1);
    if (memory == NULL)
        die("no memory");
    return memory;
}

/* Seconds of one read-modify-write of n floats. */
static double read_modify_write(float *x, size_t n, int threads)
{
    const double begin = now();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * 0.999f + 0.001f;
    return now() - begin;
}

typedef struct bench {
    tg_optim *o;
    tg_grad *grads;
    size_t tensors;
    char *weights, *gradients; /* n values each */
    float *tile;
} bench;

static void fill(const job *j, bench *b)
{
    uint16_t *h = (uint16_t *)(void *)b->weights, *hg = (uint16_t *)(void *)b->gradients;
    float *x = (float *)(void *)b->weights, *g = (float *)(void *)b->gradients;
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (size_t i = 0; i < j->n; i++) {
        const float w = 0.02f * ((float)(i % 1009) / 504.5f - 1), d = 1e-3f * ((float)(i % 997) / 498.5f - 1);
        if (j->format == TG_F32)
            x[i] = w;
        else
            h[i] = tg_f32_to_bf16(w);
        if (g != NULL && j->format == TG_F32)
            g[i] = d;
        else if (g != NULL)
            hg[i] = tg_f32_to_bf16(d);
    }
    for (size_t i = 0; i < TILE_ROWS * SIDE; i++)
        b->tile[i] = 1e-3f * ((float)(i % 997) / 498.5f - 1);
}

static void make(const job *j, bench *b)
{
    const size_t value = tg_format_bytes(j->format);
    b->tensors = j->n / TENSOR;
    b->weights = array(j->n * value);
    b->gradients = j->folded ? NULL : array(j->n * value);
    b->tile = array(TILE_ROWS * SIDE * sizeof(float));
    b->grads = array(b->tensors * sizeof *b->grads);
    fill(j, b);
    must(tg_optim_create(&b->o, j->rule, NULL));
    must(tg_optim_set_number(b->o, TG_ALL_GROUPS, "threads", j->threads));
    must(tg_optim_set(b->o, TG_ALL_GROUPS, "gradients", j->folded ? "folded" : "auto"));
    if (strcmp(j->rule, "sgd") == 0)
        must(tg_optim_set(b->o, TG_ALL_GROUPS, "momentum", "0.9"));
    for (size_t i = 0; i < b->tensors; i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        must(tg_optim_add(b->o,
                          &(tg_param){.name = name, .data = b->weights + i * TENSOR * value, .format = j->format,
                                      .rows = SIDE, .cols = SIDE},
                          NULL));
        if (!j->folded)
            b->grads[i] = (tg_grad){.data = b->gradients + i * TENSOR * value, .format = j->format};
    }
    must(tg_optim_start(b->o));
}

static void update(const job *j, bench *b)
{
    if (!j->folded) {
        must(tg_optim_step(b->o, b->grads));
        return;
    }
    must(tg_optim_begin(b->o, 1));
    for (size_t i = 0; i < b->tensors; i++)
        for (size_t row = 0; row < SIDE; row += TILE_ROWS)
            must(tg_optim_accumulate(b->o, i, row, TILE_ROWS, b->tile));
    must(tg_optim_micro_end(b->o));
    must(tg_optim_end(b->o));
}

/* Gradient read, weights and states read and written; folded: the momentum once more, to take the tiles in. */
static double traffic(const job *j, const bench *b)
{
    tg_optim_bytes bytes;
    must(tg_optim_measure(b->o, &bytes));
    const double weights = (double)(j->n * tg_format_bytes(j->format)), states = (double)bytes.states;
    return j->folded ? 2 * weights + 3 * states : 3 * weights + 2 * states;
}

static result run(const job *j)
{
    bench b = {0};
    double rule[ROUNDS], yard[ROUNDS];
    make(j, &b);
    const double bytes = traffic(j, &b);
    const size_t floats = (size_t)(bytes / 2 / sizeof(float));
    float *yardstick = array(floats * sizeof *yardstick);
    read_modify_write(yardstick, floats, j->threads); /* touches its pages */
    update(j, &b);
    for (size_t r = 0; r < ROUNDS; r++) {
        double begin = now();
        update(j, &b);
        rule[r] = now() - begin;
        yard[r] = read_modify_write(yardstick, floats, j->threads);
    }
    const result answer = {median(rule, ROUNDS), bytes, 2.0 * (double)(floats * sizeof(float)) / median(yard, ROUNDS)};
    tg_optim_destroy(b.o);
    tg_free(NULL, yardstick, floats * sizeof *yardstick, 1);
    tg_free(NULL, b.weights, j->n * tg_format_bytes(j->format), 1);
    tg_free(NULL, b.gradients, j->n * tg_format_bytes(j->format), 1);
    tg_free(NULL, b.tile, TILE_ROWS * SIDE * sizeof(float), 1);
    tg_free(NULL, b.grads, b.tensors * sizeof *b.grads, 1);
    return answer;
}

static void row(const job *j)
{
    const result r = run(j);
    const double speed = r.bytes / r.seconds;
    printf("%-8s %-8s %-5s %8.1f M %3d  %8.2f ms  %7.3f  %7.1f  %7.1f  %5.0f %%\n", j->rule, j->folded ? "folded" : "arrays",
           j->format == TG_F32 ? "fp32" : "bf16", (double)j->n * 1e-6, j->threads, 1e3 * r.seconds,
           1e9 * r.seconds / (double)j->n, speed * 1e-9, r.yardstick * 1e-9, 100 * speed / r.yardstick);
    fflush(stdout);
}

static bool wanted(const char *rule, int argc, char **argv)
{
    bool any = argc < 2;
    for (int i = 1; i < argc; i++)
        any = any || strcmp(argv[i], rule) == 0;
    return any;
}

static void rule_rows(const tg_rule_info *info, size_t n, int threads)
{
    for (int folded = 0; folded <= (info->folds ? 1 : 0); folded++) {
        row(&(job){info->name, TG_F32, folded != 0, n, threads});
        row(&(job){info->name, TG_BF16, folded != 0, n, threads});
    }
}

int main(int argc, char **argv)
{
    const size_t sizes[] = {(size_t)30000000 / TENSOR * TENSOR + TENSOR, (size_t)124000000 / TENSOR * TENSOR};
    const int all = omp_get_max_threads();
    printf("median of %d updates, in turn with a read-modify-write of as many bytes\n", ROUNDS);
    printf("%-8s %-8s %-5s %10s %3s  %11s  %7s  %7s  %7s  %7s\n", "rule", "gradient", "as", "parameters", "thr", "update",
           "ns/par.", "GB/s", "memory", "share");
    for (size_t s = 0; s < 2; s++)
        for (int threads = 1; threads <= all; threads = threads < all ? all : all + 1)
            for (size_t r = 0; r < tg_rule_count(); r++)
                if (wanted(tg_rule_at(r)->name, argc, argv))
                    rule_rows(tg_rule_at(r), sizes[s], threads);
    return 0;
}
