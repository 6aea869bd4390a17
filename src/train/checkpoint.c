/* train/checkpoint.c -- saving and taking up a run. */
#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/directory.h"
#include "tiger/engine/method.h"
#include "train/mover.h"
#include "train/task.h"

static const char states_name[] = "optimizer.safetensors", best_name[] = "best";
/* What makes OUT itself a model's directory. */
static const char *const model_files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                          "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                          "chat_template.jinja", "generation_config.json", "samples.json"};
#define ALWAYS 2 /* the others where there are such */

static tg_status in_directory(char **path, const char *directory, const char *name)
{
    *path = tg_file_join(directory, name);
    return *path != NULL ? TG_OK : tg_no_memory("a path", strlen(directory) + strlen(name));
}

static tg_status write_model(const tg_session *s, const tg_reached *at, const char *directory)
{
    tg_status status = tg_model_save(s->model, directory);
    if (status == TG_OK)
        status = s->task->write(s, directory);
    if (status == TG_OK)
        status = tg_settings_write(s->config, s->schedule, &s->loss_scale, &s->guard, at, s->task->hash(s, false),
                                   s->task->hash(s, true), directory);
    return status;
}

static tg_status write_states(const tg_session *s, const char *directory)
{
    char *states = NULL;
    tg_status status = in_directory(&states, directory, states_name);
    if (status == TG_OK)
        status = s->mover->save(s, states);
    tg_heap_free(states);
    return status;
}

/* OUT/NAME, whole or not at all. */
static tg_status write_directory(const tg_session *s, const tg_reached *at, const char *name, bool with_states)
{
    tg_directory dir = {0};
    tg_status status = tg_directory_begin(&dir, s->config->out, name);
    if (status == TG_OK)
        status = write_model(s, at, dir.temporary);
    if (status == TG_OK && with_states)
        status = write_states(s, dir.temporary);
    if (status == TG_OK)
        status = tg_directory_commit(&dir);
    tg_directory_abort(&dir);
    return status;
}

tg_status tg_checkpoint_save_best(const tg_session *s, const tg_reached *at)
{
    return write_directory(s, at, best_name, false);
}

/* OUT/model.safetensors is another name of the newest checkpoint's: no second copy on the disk. */
static tg_status point_model(const char *out, const char *checkpoint)
{
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && i < sizeof model_files / sizeof *model_files; i++) {
        char *from = NULL, *to = NULL;
        status = in_directory(&from, checkpoint, model_files[i]);
        if (status == TG_OK)
            status = in_directory(&to, out, model_files[i]);
        if (status == TG_OK)
            status = tg_file_link(to, from);
        if (status == TG_ENOTFOUND && i >= ALWAYS)
            status = TG_OK;
        tg_heap_free(from);
        tg_heap_free(to);
    }
    return status;
}

tg_status tg_checkpoint_save(const tg_session *s, const tg_reached *at, char **directory)
{
    const char *out = s->config->out;
    char name[TG_CHECKPOINT_NAME_BYTES], *path = NULL;
    tg_checkpoint_name(name, at->update);
    tg_status status = in_directory(&path, out, name);
    if (status == TG_OK)
        status = write_directory(s, at, name, true);
    if (status == TG_OK)
        status = point_model(out, path);
    if (status == TG_OK)
        status = tg_checkpoint_prune(out, (size_t)s->config->option[TG_TRAIN_KEEP], TG_SPARE_NONE);
    if (status == TG_OK)
        *directory = path;
    else
        tg_heap_free(path);
    return status;
}

tg_status tg_checkpoint_not_read(tg_status status, const char *path, const char *out)
{
    uint64_t *updates = NULL;
    size_t count = 0;
    char told[1024];
    snprintf(told, sizeof told, "%s", tg_message());
    if (status == TG_OK || status == TG_EINVAL || strstr(told, path) == NULL)
        return status;
    if (tg_checkpoint_list(&updates, &count, out) == TG_OK && count > 1)
        tg_fail(status, "%s; to go on from the checkpoint of update %llu instead, move %s away, then --resume", told,
                (unsigned long long)updates[1], path);
    else
        tg_fail(status, "%s", told);
    tg_heap_free(updates);
    return status;
}

tg_status tg_checkpoint_newest(char **path, tg_saved_run *run, const char *out)
{
    uint64_t *updates = NULL;
    size_t count = 0;
    char name[TG_CHECKPOINT_NAME_BYTES], *newest = NULL;
    tg_status status = tg_directory_recover(out);
    if (status == TG_ENOTFOUND) { /* the run was killed before it made its directory, or never began */
        *path = NULL;
        return TG_OK;
    }
    if (status == TG_OK)
        status = tg_checkpoint_list(&updates, &count, out);
    if (status == TG_OK && count > 0) {
        tg_checkpoint_name(name, updates[0]);
        status = in_directory(&newest, out, name);
        if (status == TG_OK)
            status = tg_settings_read(run, newest);
        if (status == TG_OK && run->at.update != updates[0]) {
            tg_saved_run_fini(run);
            status = tg_fail(TG_EFORMAT, "%s: trainer.json speaks of another update", newest);
        }
        if (status != TG_OK && newest != NULL)
            status = tg_checkpoint_not_read(status, newest, out);
    }
    tg_heap_free(updates);
    if (status == TG_OK)
        *path = newest;
    else
        tg_heap_free(newest);
    return status;
}

const char *tg_train_saved_optimizer(const char *out)
{
    uint64_t *updates = NULL;
    size_t count = 0;
    char name[TG_CHECKPOINT_NAME_BYTES];
    tg_method method = {0};
    const bool listed = tg_checkpoint_list(&updates, &count, out) == TG_OK;
    for (size_t i = 0; listed && i < count && method.name == NULL; i++) {
        tg_saved_run run = {0};
        char *path = NULL;
        tg_checkpoint_name(name, updates[i]);
        if (in_directory(&path, out, name) == TG_OK && tg_settings_read(&run, path) == TG_OK)
            tg_method_find(&method, run.config.optimizer);
        tg_saved_run_fini(&run);
        tg_heap_free(path);
    }
    tg_heap_free(updates);
    return method.name;
}

tg_status tg_checkpoint_load_states(tg_session *s, const char *path)
{
    char *states = NULL;
    tg_status status = in_directory(&states, path, states_name);
    if (status == TG_OK)
        status = s->mover->load(s, states);
    tg_heap_free(states);
    return status;
}
