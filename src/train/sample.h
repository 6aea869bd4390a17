/* train/sample.h -- text from a model that is open already: one of a directory, or one that is being trained. */
#ifndef TG_TRAIN_SAMPLE_H
#define TG_TRAIN_SAMPLE_H

#include "graph/graph.h"
#include "train/loaded.h"

/* As tg_sample; config's directory and precision are not read. The work is done in the arena of `lender`, unless that
 * is too small or NULL. */
tg_status tg_sample_model(const tg_sample_config *config, const tg_loaded *loaded, const tg_graph *lender,
                          void (*text)(void *ctx, const char *bytes, size_t count), void *ctx);

/* Whether a text can begin so: TG_EINVAL, naming the character, for one that the tokenizer does not know. */
tg_status tg_sample_check_prompt(const tg_tokenizer *tokenizer, const char *prompt);

#endif
