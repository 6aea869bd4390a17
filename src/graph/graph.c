/* graph/graph.c -- building a graph: growing lists of tensors and operations; mistakes are remembered for the plan. */
#include "graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "graph/product.h"

tg_status tg_graph_create(tg_graph **out, struct tg_model *model, tg_mode mode, tg_format activations, size_t batch,
                          size_t time)
{
    size_t tokens;
    if (batch == 0 || time == 0 || !tg_multiply(&tokens, batch, time))
        return tg_fail(TG_EINVAL, "a batch of %zu sequences of %zu tokens cannot be run", batch, time);
    if (mode == TG_GENERATE && batch != 1)
        return tg_fail(TG_EINVAL, "generation takes one sequence, not %zu", batch);
    if (activations != TG_F32 && activations != TG_BF16 && activations != TG_F16)
        return tg_fail(TG_EUNSUPPORTED, "activations cannot be %s; use F32, BF16 or F16", tg_format_name(activations));
    tg_graph *graph = tg_heap_alloc(1, sizeof *graph);
    if (graph == NULL)
        return tg_no_memory("a graph", sizeof *graph);
    graph->model = model;
    graph->mode = mode;
    graph->format = activations;
    graph->batch = batch;
    graph->time = time;
    graph->open_block = TG_NONE;
    tg_status status = tg_products_create(&graph->products);
    if (status == TG_OK)
        status = tg_convolutions_create(&graph->convolutions);
    if (status != TG_OK) {
        tg_products_destroy(graph->products);
        tg_heap_free(graph);
        return status;
    }
    *out = graph;
    return TG_OK;
}

void tg_graph_destroy(tg_graph *graph)
{
    if (graph == NULL)
        return;
    for (size_t o = 0; o < graph->ops; o++)
        tg_heap_free((void *)graph->op[o].name);
    if (!graph->borrowed)
        tg_free(NULL, graph->arena, graph->arena_bytes, 1);
    tg_convolutions_destroy(graph->convolutions);
    tg_products_destroy(graph->products);
    tg_heap_free(graph->tensor);
    tg_heap_free(graph->op);
    tg_heap_free(graph->step);
    tg_heap_free(graph);
}

void tg_graph_refuse(tg_graph *graph, const char *format, ...)
{
    if (graph->failed != TG_OK)
        return;
    graph->failed = TG_EINVAL;
    va_list args;
    va_start(args, format);
    vsnprintf(graph->failure, sizeof graph->failure, format, args);
    va_end(args);
}

void tg_graph_advise(tg_graph *graph, const char *format, ...)
{
    if (graph->advice[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(graph->advice, sizeof graph->advice, format, args);
    va_end(args);
}

static void out_of_memory(tg_graph *graph)
{
    tg_graph_refuse(graph, "no memory for the graph of %zu operations and %zu tensors", graph->ops, graph->tensors);
    graph->failed = TG_ENOMEM;
}

/* Room for one more entry behind `count` in a list that grows by doubling. */
static bool grow(void **list, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return true;
    const size_t more = *room == 0 ? 64 : 2 * *room;
    void *resized = tg_heap_resize(*list, *room, more, size);
    if (resized == NULL)
        return false;
    *list = resized;
    *room = more;
    return true;
}

int tg_graph_tensor(tg_graph *graph, tg_format format, size_t rows, size_t cols)
{
    if (graph->failed != TG_OK)
        return TG_NONE;
    size_t values, bytes;
    if (!tg_multiply(&values, rows, cols) || !tg_multiply(&bytes, values, tg_format_bytes(format)) ||
        bytes > SIZE_MAX / 4) {
        tg_graph_refuse(graph, "a tensor of (%zu, %zu) values is too large", rows, cols);
        return TG_NONE;
    }
    void *list = graph->tensor;
    if (graph->tensors >= INT32_MAX || !grow(&list, &graph->tensor_room, graph->tensors, sizeof *graph->tensor)) {
        out_of_memory(graph);
        return TG_NONE;
    }
    graph->tensor = list;
    graph->tensor[graph->tensors] = (tg_tensor){.format = format,
                                                .rows = rows,
                                                .cols = cols,
                                                .bytes = tg_round_up(bytes, TG_CACHE_LINE),
                                                .maker = TG_NONE,
                                                .gradient = TG_NONE};
    return (int)graph->tensors++;
}

tg_op *tg_graph_op(tg_graph *graph, const struct tg_layer *layer, const char *name)
{
    if (graph->failed != TG_OK)
        return NULL;
    void *list = graph->op;
    char *copy = graph->ops < INT32_MAX ? tg_heap_text(name) : NULL;
    if (copy == NULL || !grow(&list, &graph->op_room, graph->ops, sizeof *graph->op)) {
        tg_heap_free(copy);
        out_of_memory(graph);
        return NULL;
    }
    graph->op = list;
    tg_op *op = &graph->op[graph->ops++];
    *op = (tg_op){.layer = layer, .name = copy, .block = graph->open_block};
    for (int i = 0; i < TG_OP_INPUTS; i++)
        op->input[i] = TG_NONE;
    for (int i = 0; i < TG_OP_OUTPUTS; i++)
        op->output[i] = TG_NONE;
    for (int i = 0; i < TG_OP_SAVED; i++)
        op->saved[i] = TG_NONE;
    for (int i = 0; i < TG_OP_WEIGHTS; i++)
        op->weight[i] = TG_NONE;
    return op;
}

void tg_graph_block_begin(tg_graph *graph)
{
    if (graph->open_block != TG_NONE)
        tg_graph_refuse(graph, "block %d of the model is still open", graph->open_block);
    graph->open_block = graph->blocks++;
}

void tg_graph_block_end(tg_graph *graph)
{
    if (graph->open_block == TG_NONE)
        tg_graph_refuse(graph, "no block of the model is open");
    graph->open_block = TG_NONE;
}

tg_status tg_graph_allocate(tg_graph *graph)
{
    if (graph->steps == 0)
        return tg_fail(TG_ESTATE, "a graph must be planned before it is allocated");
    if (graph->arena == NULL)
        graph->arena = tg_alloc(NULL, graph->arena_bytes, 1);
    return graph->arena != NULL ? TG_OK : tg_no_memory("activations", graph->arena_bytes);
}

tg_status tg_graph_share(tg_graph *graph, const tg_graph *lender)
{
    if (graph->arena != NULL || lender->arena == NULL || lender->arena_bytes < graph->arena_bytes)
        return tg_graph_allocate(graph);
    if (graph->steps == 0)
        return tg_fail(TG_ESTATE, "a graph must be planned before it is allocated");
    graph->arena = lender->arena;
    graph->borrowed = true;
    return TG_OK;
}
