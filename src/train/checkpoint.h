/* train/checkpoint.h -- a run's checkpoints: OUT/checkpoint-00001234/ holds a model directory that Hugging Face tools open
 * (config.json, model.safetensors, tokenizer.json), optimizer.safetensors and trainer.json. */
#ifndef TG_TRAIN_CHECKPOINT_H
#define TG_TRAIN_CHECKPOINT_H

#include "train/session.h"
#include "train/settings.h"

/* Saves the session after `update` updates, crash-safely, points OUT's own model at it, and removes the oldest beyond
 * the run's `keep`. *directory <- heap text of the checkpoint's path. */
tg_status tg_checkpoint_save(const tg_session *session, uint64_t update, double validation_loss, char **directory);

/* The newest checkpoint of `out`: its path (heap text) and settings; *path NULL when there is none. */
tg_status tg_checkpoint_newest(char **path, tg_saved_run *run, const char *out);

/* Weights and states of a checkpoint into an allocated session that was opened from it. */
tg_status tg_checkpoint_load(tg_session *session, const char *path);

#endif
