/* bench.c -- tiger bench optimizers: how fast every rule updates its weights, beside what the memory can do.
 *
 * For each rule, number format of the weights, way of the gradients and number of threads: time of an update, in ns a
 * parameter and in GB/s of the traffic it cannot do without. The yardstick is a read-modify-write of one array as large
 * as the rule's traffic, with the same threads, timed in turn with the rule: memory on shared machines has good and bad
 * seconds, and both must see them. Medians. A folded gradient is timed in its two parts: tiles into the momentum, and
 * the update. Rules that multiply matrices are shown in operations a second too, beside the fastest product of the
 * machine. */
#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "choose.h"
#include "human.h"
#include "system.h"
#include "tiger/engine/train.h"
#include "tiger/optim.h"

#define TILE_BYTES ((size_t)4 << 20) /* of a folded gradient's tile */
#define MOST_ROUNDS 101
#define LAYER_ROWS ((size_t)64) /* that rules of layers get, once */

enum { PARAMETERS, TENSOR, ROUNDS, WEIGHTS, OWN_OPTIONS };

static const cli_text texts[] = {
    {"json", "FILE", NULL, "write the figures there too"},
};

static const tg_option options[OWN_OPTIONS] = {
    [PARAMETERS] = {.name = "parameters", .kind = TG_INTEGER, .value = 1 << 25, .least = 1, .most = 1e12,
                    .help = "weights in all; from some 30 million on no cache helps"},
    [TENSOR] = {.name = "tensor", .kind = TG_INTEGER, .value = 1 << 22, .least = 1, .most = 1e12,
                .help = "weights of one tensor"},
    [ROUNDS] = {.name = "rounds", .kind = TG_INTEGER, .value = 9, .least = 1, .most = MOST_ROUNDS,
                .help = "updates timed, of which the median is shown"},
    [WEIGHTS] = {.name = "weights", .kind = TG_CHOICE, .value = 0, .most = 3, .choices = "fp32+bf16|fp32|bf16|fp16",
                 .help = "number format of weights and gradients"},
};

typedef struct job {
    const cli_args *args;
    const tg_rule_info *rule;
    tg_format format;
    bool folded;
    size_t n, tensor, rounds;
    int threads;
} job;

/* What is trained, and with what. */
typedef struct bench {
    tg_optim *o;
    tg_grad *grads;
    size_t tensors;
    char *weights, *gradients; /* (n); gradients: NULL when folded */
    float *tile, *yardstick;
    size_t yardstick_floats;
} bench;

/* Medians in seconds of one part of the work, and of the yardstick for as many bytes. */
typedef struct part {
    const char *name;
    double bytes, seconds, yardstick; /* yardstick: bytes a second */
    double flops, product_share; /* operations a second, and their share of the fastest products; 0: there are none */
} part;

/* What the rounds took: of each part, in each round. */
typedef struct timing {
    double seconds[MOST_ROUNDS], yardstick[MOST_ROUNDS];
    tg_optim_operations done[MOST_ROUNDS];
} timing;

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

/* ---- the work ------------------------------------------------------------------------------------------------------ */

static size_t tensor_cols(const job *j) { return j->tensor % 2048 == 0 ? 2048 : j->tensor % 64 == 0 ? 64 : j->tensor; }

static size_t tensor_rows(const job *j) { return j->tensor / tensor_cols(j); }

static size_t tile_rows(const job *j)
{
    const size_t rows = TILE_BYTES / (sizeof(float) * tensor_cols(j));
    return rows == 0 ? 1 : rows < tensor_rows(j) ? rows : tensor_rows(j);
}

static void set(const job *j, char *values, size_t i, float value)
{
    if (j->format == TG_F32)
        ((float *)(void *)values)[i] = value;
    else
        ((uint16_t *)(void *)values)[i] = j->format == TG_BF16 ? tg_f32_to_bf16(value) : tg_f32_to_f16(value);
}

static void fill(const job *j, bench *b)
{
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (size_t i = 0; i < j->n; i++) {
        set(j, b->weights, i, 0.02f * ((float)(i % 1009) / 504.5f - 1));
        if (b->gradients != NULL)
            set(j, b->gradients, i, 1e-3f * ((float)(i % 997) / 498.5f - 1));
    }
    for (size_t i = 0; b->tile != NULL && i < tile_rows(j) * tensor_cols(j); i++)
        b->tile[i] = 1e-3f * ((float)(i % 997) / 498.5f - 1);
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (size_t i = 0; i < b->yardstick_floats; i++)
        b->yardstick[i] = 0.5f;
}

static tg_status set_options(const job *j, tg_optim *o)
{
    const cli_args *args = j->args;
    tg_status status = tg_optim_set_number(o, TG_ALL_GROUPS, "threads", j->threads);
    for (size_t i = 0; i < args->given_count && status == TG_OK; i++) {
        const cli_given *given = &args->given[i];
        const tg_option *table = args->group[given->group].table.at;
        if (given->is_option && (table == j->rule->options.at || table == tg_optim_common_options()->at))
            status = tg_optim_set(o, TG_ALL_GROUPS, table[given->index].name, given->text);
    }
    if (status == TG_OK && j->folded)
        status = tg_optim_set(o, TG_ALL_GROUPS, "gradients", "folded");
    return status;
}

/* The weights stand for what goes into a layer, the gradients for what comes back. */
static tg_status give_rows(const job *j, bench *b)
{
    const size_t most = tensor_rows(j) < tensor_cols(j) ? tensor_rows(j) : tensor_cols(j);
    tg_status status = TG_OK;
    for (size_t i = 0; i < b->tensors && status == TG_OK; i++) {
        const size_t at = i * j->tensor * tg_format_bytes(j->format);
        const tg_layer_rows rows = {.inputs = b->weights + at, .gradients = b->gradients + at, .format = j->format,
                                    .rows = most < LAYER_ROWS ? most : LAYER_ROWS, .scale = LAYER_ROWS};
        status = tg_optim_observe_layer(b->o, i, &rows);
    }
    return status;
}

static tg_status make_optimizer(const job *j, bench *b)
{
    const size_t value = tg_format_bytes(j->format);
    tg_status status = tg_optim_create(&b->o, j->rule->name, NULL);
    if (status == TG_OK)
        status = set_options(j, b->o);
    for (size_t i = 0; i < b->tensors && status == TG_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        const tg_param param = {.name = name, .data = b->weights + i * j->tensor * value, .format = j->format,
                                .rows = tensor_rows(j), .cols = tensor_cols(j),
                                .layer = j->rule->layers ? TG_LAYER_OUT_BY_IN : TG_NO_LAYER};
        status = tg_optim_add(b->o, &param, NULL);
        if (b->gradients != NULL)
            b->grads[i] = (tg_grad){.data = b->gradients + i * j->tensor * value, .format = j->format};
    }
    if (status == TG_OK)
        status = tg_optim_start(b->o);
    return status == TG_OK && j->rule->layers ? give_rows(j, b) : status;
}

/* Gradients read, weights and states read and written. Folded: the momentum, and the tile, which caches hold, not. */
static double traffic(const job *j, const bench *b, bool tiles)
{
    tg_optim_bytes bytes = {0};
    tg_optim_measure(b->o, &bytes);
    const double weights = (double)(j->n * tg_format_bytes(j->format)), states = (double)(bytes.states + bytes.kahan);
    if (j->folded)
        return tiles ? 2 * states : 2 * weights + states;
    return 3 * weights + 2 * states;
}

static void bench_destroy(bench *b)
{
    tg_optim_destroy(b->o);
    free(b->grads);
    free(b->weights);
    free(b->gradients);
    free(b->tile);
    free(b->yardstick);
}

static bool allocate(const job *j, bench *b)
{
    const size_t bytes = j->n * tg_format_bytes(j->format);
    b->tensors = j->n / j->tensor;
    b->yardstick_floats = 7 * j->n; /* as many as adamw's traffic in fp32; as much of it is used as a part moves */
    b->grads = calloc(b->tensors, sizeof *b->grads);
    b->weights = aligned_alloc(64, (bytes + 63) / 64 * 64);
    b->gradients = j->folded ? NULL : aligned_alloc(64, (bytes + 63) / 64 * 64);
    b->tile = j->folded ? malloc(tile_rows(j) * tensor_cols(j) * sizeof *b->tile) : NULL;
    b->yardstick = malloc(b->yardstick_floats * sizeof *b->yardstick);
    return b->grads != NULL && b->weights != NULL && (j->folded ? b->tile : (void *)b->gradients) != NULL &&
           b->yardstick != NULL;
}

/* Bytes a second of a read-modify-write of `bytes` bytes of traffic. */
static double read_modify_write(const job *j, const bench *b, double bytes)
{
    float *x = b->yardstick;
    const double wanted = bytes / 2 / sizeof *x;
    const size_t n = wanted < (double)b->yardstick_floats ? (size_t)wanted : b->yardstick_floats;
    const double begin = cli_seconds();
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * 0.999f + 0.001f;
    return 2.0 * (double)n * sizeof *x / (cli_seconds() - begin);
}

static tg_status give_tiles(const job *j, const bench *b)
{
    tg_status status = tg_optim_begin(b->o, 1);
    for (size_t i = 0; i < b->tensors; i++)
        for (size_t row = 0; row < tensor_rows(j) && status == TG_OK; row += tile_rows(j)) {
            const size_t left = tensor_rows(j) - row;
            status = tg_optim_accumulate(b->o, i, row, left < tile_rows(j) ? left : tile_rows(j), b->tile);
        }
    return status == TG_OK ? tg_optim_micro_end(b->o) : status;
}

/* One part of one round, from `begin` on and after `before` operations. */
static void take_time(const bench *b, timing *t, size_t round, double begin, tg_optim_operations *before)
{
    tg_optim_operations now;
    t->seconds[round] = cli_seconds() - begin;
    tg_optim_count(b->o, &now);
    t->done[round] = (tg_optim_operations){now.bf16 - before->bf16, now.wide - before->wide};
    *before = now;
}

static tg_status update(const job *j, const bench *b, timing *parts, size_t round)
{
    tg_optim_operations before;
    tg_optim_count(b->o, &before);
    double begin = cli_seconds();
    tg_status status = j->folded ? give_tiles(j, b) : tg_optim_step(b->o, b->grads);
    take_time(b, &parts[0], round, begin, &before);
    begin = cli_seconds();
    if (j->folded && status == TG_OK)
        status = tg_optim_end(b->o);
    take_time(b, &parts[1], round, begin, &before);
    return status;
}

/* Operations a second, and their share of what products of their formats come to at most. */
static tg_status judge_products(const job *j, const timing *t, part *p)
{
    double rate[MOST_ROUNDS], share[MOST_ROUNDS], bf16 = INFINITY, wide = INFINITY; /* the peaks */
    tg_optim_operations all = {0};
    const int team = omp_get_max_threads();
    tg_status status = TG_OK;
    for (size_t r = 0; r < j->rounds; r++) {
        all.bf16 += t->done[r].bf16;
        all.wide += t->done[r].wide;
    }
    omp_set_num_threads(j->threads);
    if (all.bf16 > 0)
        status = tg_product_peak(&bf16, TG_BF16);
    if (all.wide > 0 && status == TG_OK)
        status = tg_product_peak(&wide, TG_F32);
    omp_set_num_threads(team);
    for (size_t r = 0; r < j->rounds; r++) {
        rate[r] = (t->done[r].bf16 + t->done[r].wide) / t->seconds[r];
        share[r] = (t->done[r].bf16 / bf16 + t->done[r].wide / wide) / t->seconds[r];
    }
    p->flops = median(rate, j->rounds);
    p->product_share = median(share, j->rounds);
    return status;
}

static tg_status measure(const job *j, const bench *b, part *parts, size_t count)
{
    timing time[2];
    tg_status status = update(j, b, time, 0); /* touches what has not been touched */
    for (size_t r = 0; r < j->rounds && status == TG_OK; r++) {
        status = update(j, b, time, r);
        for (size_t p = 0; p < count; p++)
            time[p].yardstick[r] = read_modify_write(j, b, parts[p].bytes);
    }
    for (size_t p = 0; p < count && status == TG_OK; p++) {
        status = judge_products(j, &time[p], &parts[p]);
        parts[p].seconds = median(time[p].seconds, j->rounds);
        parts[p].yardstick = median(time[p].yardstick, j->rounds);
    }
    return status;
}

/* ---- the report ---------------------------------------------------------------------------------------------------- */

static const char *format_name(tg_format format) { return format == TG_F32 ? "fp32" : format == TG_BF16 ? "bf16" : "fp16"; }

static void report(const job *j, const part *p, json_t *rows)
{
    const double speed = p->bytes / p->seconds, per = (double)j->n;
    printf("%-12s %-9s %-5s %7d  %9.2f  %9.3f  %9.2f  %7.1f  %7.1f  %5.0f %%", j->rule->name, p->name,
           format_name(j->format), j->threads, 1e3 * p->seconds, 1e9 * p->seconds / per, p->bytes / per, 1e-9 * speed,
           1e-9 * p->yardstick, 100 * speed / p->yardstick);
    if (p->flops > 0)
        printf("  %7.1f  %7.1f  %5.0f %%", 1e-9 * p->flops, 1e-9 * p->flops / p->product_share, 100 * p->product_share);
    printf("\n");
    fflush(stdout);
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:f, s:f, s:f, s:f}", "optimizer", j->rule->name, "part", p->name,
                  "weights", format_name(j->format), "threads", j->threads, "parameters", (json_int_t)j->n, "tensors",
                  (json_int_t)(j->n / j->tensor), "seconds", p->seconds, "bytes_per_parameter", p->bytes / per,
                  "bytes_per_second", speed, "read_modify_write_bytes_per_second", p->yardstick);
    if (p->flops > 0) {
        json_object_set_new(row, "flops_per_second", json_real(p->flops));
        json_object_set_new(row, "product_peak_flops_per_second", json_real(p->flops / p->product_share));
    }
    json_array_append_new(rows, row);
}

static int run_job(const job *j, json_t *rows)
{
    bench b = {0};
    int status = CLI_OK;
    if (!allocate(j, &b)) {
        status = cli_usage(j->args, "no memory for %zu parameters; take fewer with --parameters", j->n);
    } else {
        fill(j, &b);
        part parts[2] = {{.name = j->folded ? "tiles" : "arrays"}, {.name = "update"}};
        const size_t count = j->folded ? 2 : 1;
        tg_status made = make_optimizer(j, &b);
        for (size_t p = 0; p < count && made == TG_OK; p++)
            parts[p].bytes = traffic(j, &b, p == 0);
        if (made == TG_OK)
            made = measure(j, &b, parts, count);
        for (size_t p = 0; p < count && made == TG_OK; p++)
            report(j, &parts[p], rows);
        status = cli_answer(j->args, made);
    }
    bench_destroy(&b);
    return status;
}

/* Whether the rule folds as the options say. */
static bool folds(const job *j)
{
    tg_optim *o = NULL;
    bool yes = false;
    if (j->rule->folds && tg_optim_create(&o, j->rule->name, NULL) == TG_OK && set_options(j, o) == TG_OK)
        yes = tg_optim_gradient_place(o) == TG_FOLDED;
    tg_optim_destroy(o);
    return yes;
}

static int run_rule(const cli_args *args, const tg_rule_info *rule, int threads, json_t *rows)
{
    const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    const int wanted = (int)cli_number_of(args, "weights");
    job j = {.args = args, .rule = rule, .threads = threads, .tensor = (size_t)cli_number_of(args, "tensor"),
             .rounds = (size_t)cli_number_of(args, "rounds")};
    j.n = (size_t)cli_number_of(args, "parameters");
    j.tensor = j.tensor < j.n ? j.tensor : j.n;
    j.n = j.n / j.tensor * j.tensor;
    int status = CLI_OK;
    for (size_t f = 0; f < 3 && status == CLI_OK; f++) {
        if (wanted == 0 ? f == 2 : f != (size_t)wanted - 1)
            continue;
        j.format = formats[f];
        j.folded = false;
        status = run_job(&j, rows);
        j.folded = folds(&j);
        if (status == CLI_OK && j.folded)
            status = run_job(&j, rows);
    }
    return status;
}

static int write_json(const cli_args *args, const char *path, json_t *rows)
{
    json_t *root = json_pack("{s:i, s:i, s:O}", "threads_available", omp_get_num_procs(), "rounds",
                             (int)cli_number_of(args, "rounds"), "rows", rows);
    const int written = json_dump_file(root, path, JSON_INDENT(1));
    json_decref(root);
    if (written != 0) {
        cli_usage(args, "cannot write %s", path);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int arrange(cli_args *args)
{
    const char *name = args->argc > 1 && args->argv[1][0] != '-' ? args->argv[1] : NULL;
    cli_add_group(args, &(cli_group){.title = "Benchmark", .text = texts, .texts = sizeof texts / sizeof *texts,
                                     .table = {options, OWN_OPTIONS}});
    const tg_rule_info *rule = NULL;
    if (name != NULL && cli_choose_rule(&rule, args, name) != CLI_OK)
        return CLI_USAGE;
    if (rule != NULL) {
        snprintf(args->title[1], sizeof args->title[1], "Optimizer %s", rule->name);
        cli_add_group(args, &(cli_group){.title = args->title[1], .table = rule->options});
    }
    cli_add_group(args, &(cli_group){.title = "Every optimizer", .table = *tg_optim_common_options()});
    return CLI_OK;
}

static int run(const cli_args *args)
{
    const tg_rule_info *only = args->positionals > 1 ? tg_rule_find(args->positional[1]) : NULL;
    const int all = omp_get_max_threads(), given = (int)cli_number_of(args, "threads");
    char count[32];
    if (strcmp(args->positional[0], "optimizers") != 0)
        return cli_usage(args, "there is nothing to measure named '%s' (there is optimizers)", args->positional[0]);
    if (args->positionals > 1 && only == NULL)
        return cli_usage(args, "there is no optimizer '%s' (see: tiger list optimizers)", args->positional[1]);
    cli_human_count(count, sizeof count, cli_number_of(args, "parameters"), " ");
    printf("%s parameters; median of %.0f updates, in turn with a read-modify-write of as many bytes\n", count,
           cli_number_of(args, "rounds"));
    printf("%-12s %-9s %-5s %7s  %9s  %9s  %9s  %7s  %7s  %7s", "optimizer", "gradients", "as", "threads", "ms",
           "ns/param", "bytes/par", "GB/s", "memory", "share");
    if (only == NULL || only->matrices)
        printf("  %7s  %7s  %7s", "GFLOP/s", "product", "share");
    printf("\n");
    json_t *rows = json_array();
    int status = CLI_OK;
    for (int threads = given > 0 ? given : 1; status == CLI_OK; threads = all) {
        for (size_t r = 0; r < tg_rule_count() && status == CLI_OK; r++)
            if (only == NULL || tg_rule_at(r) == only)
                status = run_rule(args, tg_rule_at(r), threads, rows);
        if (given > 0 || threads >= all)
            break;
    }
    if (status == CLI_OK && cli_text_of(args, "json") != NULL)
        status = write_json(args, cli_text_of(args, "json"), rows);
    json_decref(rows);
    return status;
}

const cli_command cli_bench = {
    .name = "bench",
    .summary = "measures how fast optimizers update, beside the memory's speed",
    .usage = "optimizers [NAME] [options]",
    .details =
        "Without --threads each optimizer runs on one thread and on all. 'arrays': the gradients lie in arrays; "
        "'tiles' and 'update': they are folded into the momentum as they are made, then the weights move.\n"
        "'bytes/par': what the rule cannot do without. The NaN guard, on unless --nan-guard off, reads every "
        "gradient once more; that is in the time, not in the bytes.\n"
        "'GFLOP/s', of optimizers that work matrices: a multiply and an add are two, of a symmetric product counts the "
        "half that is computed, an eigenproblem of n is 9 n^3, an orthonormal basis 8/3 n^3, an inverse n^3. "
        "'product': the fastest product of the formats that they multiply, on as many threads. An update that renews "
        "roots, bases or inverses takes longer than the median says, which is of the others.\n"
        "Quiet the machine first; what else runs on it uses the same memory.",
    .positionals_least = 1,
    .positionals_most = 2,
    .arrange = arrange,
    .run = run,
};
