/* train/agree.c -- whether what the user says again of a run to resume is what the run has: its model and its
 * tokenizer, which stand in its checkpoint. Settings are compared where they are merged (settings.c). */
#include "train/agree.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "train/settings.h"

/* Of the options in `wish` 0 may stand for what follows from others. */
static tg_status check_options(const tg_model_config *wish, const tg_model_config *has)
{
    const tg_option_table *table = &has->info->options;
    tg_model_config full = *wish;
    full.vocab = has->vocab;
    full.channels = full.channels == 0 ? has->channels : full.channels;
    full.rows = full.rows == 0 ? has->rows : full.rows;
    full.cols = full.cols == 0 ? has->cols : full.cols;
    full.features = full.features == 0 ? has->features : full.features;
    full.outputs = full.outputs == 0 ? has->outputs : full.outputs;
    full.task = full.task == TG_TASK_AUTO ? has->task : full.task;
    const bool completed = tg_model_config_complete(&full) == TG_OK;
    for (size_t i = 0; i < table->count; i++) {
        const char *name = table->at[i].name;
        double old, new;
        tg_status status = tg_model_config_get(has, name, &old);
        if (status == TG_OK)
            status = tg_model_config_get(wish, name, &new);
        if (status == TG_OK && new == 0 && completed)
            status = tg_model_config_get(&full, name, &new);
        if (status != TG_OK)
            return status;
        char before[64], after[64];
        tg_option_print(before, sizeof before, &table->at[i], old);
        tg_option_print(after, sizeof after, &table->at[i], new);
        if (old != new)
            return tg_settings_disagree(name, before, after);
    }
    return TG_OK;
}

static tg_status check_model(const tg_train_config *wish, const tg_model_config *has)
{
    char before[32], after[32];
    if (wish->given_model && strcmp(wish->model.info->name, has->info->name) != 0)
        return tg_settings_disagree("model", has->info->name, wish->model.info->name);
    const tg_status status = wish->given_model ? check_options(&wish->model, has) : TG_OK;
    if (status != TG_OK || wish->vocab == 0 || wish->vocab == has->vocab)
        return status;
    snprintf(before, sizeof before, "%zu", has->vocab);
    snprintf(after, sizeof after, "%zu", wish->vocab);
    return tg_settings_disagree("vocab", before, after);
}

/* Whether both cut a text into the same tokens, as far as their tokens tell. */
static bool same_tokens(const tg_tokenizer *a, const tg_tokenizer *b)
{
    size_t before[2], after[2];
    const uint32_t *frame[2] = {tg_tokenizer_frame(a, &before[0], &after[0]),
                                tg_tokenizer_frame(b, &before[1], &after[1])};
    if (strcmp(tg_tokenizer_kind(a), tg_tokenizer_kind(b)) != 0 || tg_tokenizer_vocab(a) != tg_tokenizer_vocab(b) ||
        before[0] != before[1] || after[0] != after[1])
        return false;
    for (size_t i = 0; i < before[0] + after[0]; i++)
        if (frame[0][i] != frame[1][i])
            return false;
    for (uint32_t id = 0; id < tg_tokenizer_vocab(a); id++) {
        size_t bytes[2];
        const char *token[2] = {tg_tokenizer_token(a, id, &bytes[0]), tg_tokenizer_token(b, id, &bytes[1])};
        if (bytes[0] != bytes[1] || (bytes[0] > 0 && memcmp(token[0], token[1], bytes[0]) != 0))
            return false;
    }
    return true;
}

/* Whether the tokenizer at a path has the same tokens: it may have moved. What cannot be had is another. */
static tg_status compare_path(bool *same, const tg_tokenizer *has, const char *path, bool masked)
{
    tg_tokenizer *other = NULL;
    tg_status status = tg_tokenizer_read(&other, path);
    if (status == TG_OK && masked) /* as the run did */
        status = tg_tokenizer_add_mask(other);
    *same = status == TG_OK && same_tokens(has, other);
    tg_tokenizer_destroy(other);
    return status == TG_ENOTFOUND || status == TG_EUNSUPPORTED ? TG_OK : status;
}

static tg_status check_tokenizer(const char *wished, const char *checkpoint, bool masked)
{
    tg_tokenizer *has;
    char before[64];
    tg_status status = tg_tokenizer_read(&has, checkpoint);
    if (status != TG_OK)
        return status;
    bool same = strcmp(tg_tokenizer_kind(has), wished) == 0;
    if (strcmp(wished, "byte") != 0 && strcmp(wished, "char") != 0)
        status = compare_path(&same, has, wished, masked);
    snprintf(before, sizeof before, "%s of %zu tokens", tg_tokenizer_kind(has), tg_tokenizer_vocab(has));
    if (status == TG_OK && !same)
        status = tg_settings_disagree("tokenizer", before, wished);
    tg_tokenizer_destroy(has);
    return status;
}

tg_status tg_agree_check(const tg_train_config *wish, const char *checkpoint)
{
    tg_model_config has;
    tg_status status = tg_model_config_read(&has, checkpoint);
    if (status == TG_OK)
        status = check_model(wish, &has);
    if (status == TG_OK && wish->tokenizer != NULL && has.task == TG_TASK_LANGUAGE)
        status = check_tokenizer(wish->tokenizer, checkpoint, has.info->masked);
    return status;
}

tg_status tg_agree_init(tg_status status, const char *init, const tg_model_config *model)
{
    tg_model_config has;
    if (status == TG_OK)
        return status;
    char message[1024];
    snprintf(message, sizeof message, "%s", tg_message());
    if (tg_model_config_read(&has, init) != TG_OK || has.info != model->info)
        return tg_fail(status, "%s", message);
    for (size_t i = 0; i < has.info->options.count; i++) {
        const tg_option *option = &has.info->options.at[i];
        double old = 0, new = 0;
        tg_model_config_get(&has, option->name, &old);
        tg_model_config_get(model, option->name, &new);
        if (option->kind == TG_INTEGER && old != new)
            return tg_fail(status, "%s (the model in %s has %s %.0f, not %.0f: leave it out, or train without init)",
                           message, init, option->name, old, new);
    }
    return tg_fail(status, "%s", message);
}
