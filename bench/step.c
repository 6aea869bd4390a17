/* step.c -- where the time of a training step goes.
 *
 *   bench_step [small|124m] [fp32|bf16] [ROUNDS] [none|block|sqrt]
 *
 * Runs forward and backward of GPT-2 124M (4 sequences of 256 tokens) or of the small recipe (4 layers, width 128, 12
 * sequences of 64) on made-up tokens, weight gradients folded into a momentum by the optimizer tiger. Each layer's
 * functions are wrapped to take their time, and so are the library's products; shown is the fastest of ROUNDS for every
 * operation by itself, so that other programs on the machine disturb little. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/random.h"
#include "layer/layer.h"
#include "tiger/optim.h"

/* With one thread its own time, which other programs do not lengthen. */
static double now(void)
{
    struct timespec t;
    clock_gettime(omp_get_max_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_step: %s: %s\n", what, tg_message());
    exit(1);
}

#define must(call) ((call) == TG_OK ? (void)0 : die(#call))

/* ---- clocks -------------------------------------------------------------------------------------------------------- */

/* Of one entry of the graph's order of work. */
typedef struct clock_of_step {
    double all, products, sink;
} clock_of_step;

static clock_of_step running, *fastest; /* [graph->steps + 1]; the last is the update */
static const tg_graph *timed_graph;
static const tg_layer *wrapped[TG_LAYER_COUNT];

static void add_to(double *sum, double seconds)
{
#pragma omp atomic
    *sum += seconds;
}

/* Stands before the library's: counts the time of every product. */
dnnl_status_t dnnl_sgemm(char ta, char tb, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t k, float alpha, const float *a,
                         dnnl_dim_t lda, const float *b, dnnl_dim_t ldb, float beta, float *c, dnnl_dim_t ldc)
{
    typedef dnnl_status_t (*sgemm)(char, char, dnnl_dim_t, dnnl_dim_t, dnnl_dim_t, float, const float *, dnnl_dim_t,
                                   const float *, dnnl_dim_t, float, float *, dnnl_dim_t);
    static sgemm library;
    if (library == NULL)
        *(void **)&library = dlsym(RTLD_NEXT, "dnnl_sgemm");
    const double start = now();
    const dnnl_status_t status = library(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    const double seconds = now() - start;
    add_to(&running.products, omp_in_parallel() ? seconds / omp_get_num_threads() : seconds);
    return status;
}

/* Stands before the library's as well: its compiled primitives, which are the bf16 products. */
dnnl_status_t dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int count,
                                     const dnnl_exec_arg_t *args)
{
    typedef dnnl_status_t (*execute)(const_dnnl_primitive_t, dnnl_stream_t, int, const dnnl_exec_arg_t *);
    static execute library;
    if (library == NULL)
        *(void **)&library = dlsym(RTLD_NEXT, "dnnl_primitive_execute");
    const double start = now();
    const dnnl_status_t status = library(primitive, stream, count, args);
    const double seconds = now() - start;
    add_to(&running.products, omp_in_parallel() ? seconds / omp_get_num_threads() : seconds);
    return status;
}

static void keep_fastest(size_t step, double seconds)
{
    running.all = seconds;
    if (fastest[step].all == 0 || seconds < fastest[step].all)
        fastest[step] = running;
    running = (clock_of_step){0};
}

static tg_status timed(const tg_call *call, tg_phase phase)
{
    size_t kind = 0;
    while (strcmp(wrapped[kind]->info.name, call->op->layer->info.name) != 0)
        kind++;
    running = (clock_of_step){0};
    const double start = now();
    const tg_status status = phase == TG_FORWARD ? wrapped[kind]->forward(call) : wrapped[kind]->backward(call);
    keep_fastest((size_t)(call->step - timed_graph->step), now() - start);
    return status;
}

static tg_status timed_forward(const tg_call *call) { return timed(call, TG_FORWARD); }
static tg_status timed_backward(const tg_call *call) { return timed(call, TG_BACKWARD); }

static tg_layer stand_in[TG_LAYER_COUNT];

static void wrap_layers(tg_graph *graph)
{
    for (size_t i = 0; i < TG_LAYER_COUNT; i++) {
        wrapped[i] = tg_layer_get((tg_layer_id)i);
        stand_in[i] = *wrapped[i];
        stand_in[i].forward = timed_forward;
        stand_in[i].backward = timed_backward;
    }
    for (size_t o = 0; o < graph->ops; o++)
        for (size_t i = 0; i < TG_LAYER_COUNT; i++)
            if (graph->op[o].layer == wrapped[i])
                graph->op[o].layer = &stand_in[i];
}

/* ---- the sink ------------------------------------------------------------------------------------------------------ */

static tg_status sink_tile(void *ctx, size_t weight, size_t row, size_t rows, const float *tile)
{
    const double start = now();
    const tg_status status = tg_optim_accumulate(ctx, weight, row, rows, tile);
    add_to(&running.sink, now() - start);
    return status;
}

static tg_status sink_rows(void *ctx, size_t weight, const uint32_t *index, size_t rows, const float *tile)
{
    const double start = now();
    const tg_status status = tg_optim_accumulate_rows(ctx, weight, index, rows, tile);
    add_to(&running.sink, now() - start);
    return status;
}

static tg_status sink_reject(void *ctx, size_t weight) { return tg_optim_reject(ctx, weight); }
static tg_status sink_complete(void *ctx, size_t weight) { return tg_optim_complete(ctx, weight); }

/* ---- the step ------------------------------------------------------------------------------------------------------ */

typedef struct setup {
    bool large;
    tg_format format;
    tg_recompute recompute;
    tg_model *model;
    tg_optim *optim;
    tg_graph *graph;
    uint32_t *tokens;
    int32_t *targets;
} setup;

static void prepare(setup *s)
{
    static const char *const large[][2] = {{"layers", "12"}, {"heads", "12"}, {"width", "768"}, {"context", "256"}};
    tg_model_config config;
    must(tg_model_config_default(&config, "gpt2"));
    for (size_t i = 0; i < 4 && s->large; i++)
        must(tg_model_config_set(&config, large[i][0], large[i][1]));
    config.vocab = s->large ? 50304 : 65;
    must(tg_model_config_complete(&config));
    must(tg_model_create(&s->model, &config, s->format));
    must(tg_model_initialize(s->model, 1));
    must(tg_optim_create(&s->optim, "tiger", NULL));
    for (size_t w = 0; w < tg_model_weight_count(s->model); w++)
        must(tg_optim_add(s->optim, tg_model_weight(s->model, w), NULL));
    must(tg_optim_start(s->optim));
    const size_t batch = s->large ? 4 : 12, places = batch * config.context;
    must(tg_model_graph(&s->graph, s->model, TG_TRAIN, s->format, batch, config.context));
    must(tg_graph_plan(s->graph, s->recompute));
    must(tg_graph_allocate(s->graph));
    s->tokens = calloc(places, sizeof *s->tokens);
    s->targets = calloc(places, sizeof *s->targets);
    for (size_t i = 0; i < places; i++) {
        s->tokens[i] = (uint32_t)tg_random_below(tg_key_make(1, 2, 3, 4), (uint32_t)i, config.vocab);
        s->targets[i] = (int32_t)tg_random_below(tg_key_make(1, 2, 3, 5), (uint32_t)i, config.vocab);
    }
}

static double one_step(setup *s, uint64_t update)
{
    const double start = now();
    must(tg_optim_begin(s->optim, 1));
    tg_run run = {.tokens = s->tokens,
                  .targets = s->targets,
                  .seed = 1,
                  .update = update,
                  .sink = {sink_tile, sink_rows, sink_reject, sink_complete, s->optim}};
    must(tg_graph_run(s->graph, &run));
    const double update_start = now();
    must(tg_optim_micro_end(s->optim));
    must(tg_optim_end(s->optim));
    keep_fastest(s->graph->steps, now() - update_start);
    return now() - start;
}

static void show_kind(const setup *s, size_t kind, double all)
{
    double phase[2] = {0}, products = 0, sink = 0;
    size_t calls = 0;
    for (size_t i = 0; i < s->graph->steps; i++) {
        const tg_step *step = &s->graph->step[i];
        if (s->graph->op[step->op].layer != &stand_in[kind])
            continue;
        phase[step->phase] += fastest[i].all - fastest[i].sink;
        products += fastest[i].products;
        sink += fastest[i].sink;
        calls++;
    }
    if (calls > 0)
        printf("%-12s %6zu %9.2f %9.2f %9.2f %9.2f %7.1f %%\n", wrapped[kind]->info.name, calls, phase[0] * 1e3,
               phase[1] * 1e3, products * 1e3, sink * 1e3, 100 * (phase[0] + phase[1] + sink) / all);
}

static void show(const setup *s, double best)
{
    const double tokens = (double)(s->graph->batch * s->graph->time);
    double all = 0, products = 0;
    for (size_t i = 0; i <= s->graph->steps; i++) {
        all += fastest[i].all;
        products += fastest[i].products;
    }
    printf("%-12s %6s %9s %9s %9s %9s\n", "ms", "calls", "forward", "backward", "products", "tiles");
    for (size_t kind = 0; kind < TG_LAYER_COUNT; kind++)
        show_kind(s, kind, all);
    const double update = fastest[s->graph->steps].all;
    printf("%-12s %46.2f %7.1f %%\n", "update", update * 1e3, 100 * update / all);
    printf("%-12s %46.2f, products %.1f %%; fastest whole step %.2f\n", "sum", all * 1e3, 100 * products / all, best * 1e3);
    printf("%.0f tokens/s, %.0f GFLOP/s; arena %.1f MiB, of which scratch %.1f; library %.1f\n", tokens / all,
           s->graph->flops / all * 1e-9, (double)s->graph->arena_bytes / (1 << 20),
           (double)s->graph->scratch_bytes / (1 << 20), (double)s->graph->library_bytes / (1 << 20));
}

/* Index of an argument among `names`, the first when it is left out; anything else ends the program. */
static int choose(int argc, char **argv, int at, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (at >= argc || strcmp(argv[at], names[i]) == 0)
            return i;
    fprintf(stderr, "bench_step: '%s' is not", argv[at]);
    for (int i = 0; i < count; i++)
        fprintf(stderr, "%s %s", i == 0 ? "" : " or", names[i]);
    fprintf(stderr, "\n");
    exit(2);
}

static int rounds_of(const char *text)
{
    const int rounds = atoi(text);
    if (rounds > 0)
        return rounds;
    fprintf(stderr, "bench_step: '%s' is no number of rounds\n", text);
    exit(2);
}

int main(int argc, char **argv)
{
    static const char *const shapes[] = {"small", "124m"}, *const formats[] = {"fp32", "bf16"},
                             *const recomputes[] = {"none", "block", "sqrt"};
    if (argc > 5) {
        fprintf(stderr, "usage: bench_step [small|124m] [fp32|bf16] [ROUNDS] [none|block|sqrt]\n");
        return 2;
    }
    setup s = {.large = choose(argc, argv, 1, shapes, 2) == 1,
               .format = choose(argc, argv, 2, formats, 2) == 0 ? TG_F32 : TG_BF16,
               .recompute = (tg_recompute)choose(argc, argv, 4, recomputes, 3)};
    const int rounds = argc > 3 ? rounds_of(argv[3]) : 10;
    prepare(&s);
    wrap_layers(s.graph);
    timed_graph = s.graph;
    fastest = calloc(s.graph->steps + 1, sizeof *fastest);
    double best = 1e9;
    for (int round = 0; round < rounds; round++) {
        const double seconds = one_step(&s, (uint64_t)round + 1);
        best = seconds < best ? seconds : best;
    }
    printf("gpt2 %s, %s, %d threads\n", s.large ? "124M" : "small", tg_format_name(s.format), omp_get_max_threads());
    show(&s, best);
    free(fastest);
    tg_graph_destroy(s.graph);
    tg_optim_destroy(s.optim);
    tg_model_destroy(s.model);
    free(s.tokens);
    free(s.targets);
    return 0;
}
