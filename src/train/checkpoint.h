/* train/checkpoint.h -- a run's checkpoints: OUT/checkpoint-00001234/ holds a model directory that Hugging Face tools open
 * (config.json, model.safetensors, tokenizer.json), optimizer.safetensors and trainer.json. */
#ifndef TG_TRAIN_CHECKPOINT_H
#define TG_TRAIN_CHECKPOINT_H

#include "train/session.h"
#include "train/settings.h"

/* Saves the session, which has come so far, crash-safely, points OUT's own model at it, and removes the oldest beyond
 * the run's `keep`. *directory <- heap text of the checkpoint's path. */
tg_status tg_checkpoint_save(const tg_session *session, const tg_reached *at, char **directory);

/* OUT/best <- the model alone, with the trainer.json of its update; crash-safely. No run is resumed from it. To be
 * called before a checkpoint says that this update is the best. */
tg_status tg_checkpoint_save_best(const tg_session *session, const tg_reached *at);

/* The newest checkpoint of `out`: its path (heap text) and settings; *path NULL when there is none. */
tg_status tg_checkpoint_newest(char **path, tg_saved_run *run, const char *out);

/* `status`, of a failure to resume; where its message names a file of the newest checkpoint, `path`, it says now how to
 * go on from the one before it, if there is one. Nothing is removed: the user may yet mend it. */
tg_status tg_checkpoint_not_read(tg_status status, const char *path, const char *out);

/* The states of a checkpoint into a session that was opened from it, allocated and begun with its weights. */
tg_status tg_checkpoint_load_states(tg_session *session, const char *path);

#endif
