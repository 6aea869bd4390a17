/* train/task.c -- the tasks, and the scores that evaluations come to. */
#include "train/task.h"

#include <math.h>

#include "base/fail.h"
#include "model/model.h"

static const tg_task *const tasks[TG_TASK_COUNT] = {
    [TG_TASK_AUTO] = &tg_task_classification, /* until the data have said; both open the same */
    [TG_TASK_CLASSIFICATION] = &tg_task_classification,
    [TG_TASK_REGRESSION] = &tg_task_regression,
    [TG_TASK_LANGUAGE] = &tg_task_language,
};

const tg_task *tg_task_of(const tg_model_config *model) { return tasks[model->task]; }

/* ---- scores ---- */

#define SCORE(field, title_, format_, line_, times_, main_)                                                            \
    {                                                                                                                  \
        .name = #field, .title = title_, .format = format_, .line = line_, .times = times_, .main = main_,             \
        .offset = offsetof(tg_evaluation, field)                                                                       \
    }

static const tg_score scores[] = {
    SCORE(perplexity, "perplexity", "%.4f", "perplexity %.2f", 1, false),
    SCORE(bits_per_byte, "bits per byte", "%.4f", "%.4f bits per byte", 1, false),
    SCORE(bits_per_char, "bits per char", "%.4f", NULL, 1, false),
    SCORE(accuracy, "accuracy", "%.2f %%", "accuracy %.2f %%", 100, true),
    SCORE(rmse, "RMSE", "%.5g", "RMSE %.4g", 1, true),
    SCORE(r2, "R2", "%.5f", "R2 %.4f", 1, false),
};

size_t tg_score_count(void) { return sizeof scores / sizeof *scores; }

const tg_score *tg_score_at(size_t index) { return index < tg_score_count() ? &scores[index] : NULL; }

double tg_score_value(const tg_score *score, const tg_evaluation *e)
{
    return *(const double *)(const void *)((const char *)e + score->offset);
}

tg_evaluation tg_evaluation_empty(void)
{
    tg_evaluation e = {.loss = NAN};
    for (size_t i = 0; i < tg_score_count(); i++)
        *(double *)(void *)((char *)&e + scores[i].offset) = NAN;
    return e;
}

/* ---- a model's directory on data ---- */

tg_status tg_evaluation_graph(tg_graph **out, const tg_loaded *directory, size_t batch, size_t time)
{
    tg_graph *graph = NULL;
    tg_status status = tg_model_graph(&graph, directory->model, TG_EVALUATE, directory->activations, batch, time);
    if (status == TG_OK)
        status = tg_graph_plan(graph, TG_RECOMPUTE_NONE);
    if (status == TG_OK)
        status = tg_graph_allocate(graph);
    if (status == TG_OK)
        *out = graph;
    else
        tg_graph_destroy(graph);
    return status;
}

tg_status tg_evaluate(tg_evaluation *out, const tg_evaluate_config *config)
{
    tg_evaluation made = tg_evaluation_empty();
    tg_loaded opened = {0};
    if (config->batch == 0)
        return tg_fail(TG_EINVAL, "batch must be at least 1");
    tg_status status = tg_loaded_open(&opened, config->directory, config->precision);
    if (status == TG_OK)
        status = tg_task_of(tg_model_get_config(opened.model))->evaluate_file(&made, &opened, config);
    if (status == TG_OK)
        *out = made;
    tg_loaded_close(&opened);
    return status;
}
