/* model/graph.c -- a model's operations, appended to a new graph by its family. */
#include "model/model.h"

tg_status tg_model_graph(tg_graph **out, tg_model *model, tg_mode mode, tg_format activations, size_t batch,
                         size_t time)
{
    tg_graph *graph = NULL;
    tg_status status = tg_graph_create(&graph, model, mode, activations, batch, time);
    if (status == TG_OK)
        status = model->type->build(model, graph);
    if (status == TG_OK)
        *out = graph;
    else
        tg_graph_destroy(graph);
    return status;
}
