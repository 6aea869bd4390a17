/* train/generate.h -- a model that reads tokens and tells the logits of the next one, with a key/value cache. */
#ifndef TG_TRAIN_GENERATE_H
#define TG_TRAIN_GENERATE_H

#include "graph/run.h"
#include "tiger/engine/model.h"

typedef struct tg_generator {
    tg_model *model;
    tg_format activations;
    tg_cache cache;
    tg_graph *one, *many; /* one token; the latest other number of tokens */
    uint32_t *window;     /* (context): the tokens the cache stands for */
    float *logits;        /* (vocab) */
    const tg_graph *lender; /* whose arena `one` and `many` are laid into, as tg_graph_share does; NULL: their own */
} tg_generator;

/* What a generator holds beside its graphs. */
size_t tg_generator_bytes(const tg_model_config *config);

/* `generator` starts from zeros; the model must outlive it. */
tg_status tg_generator_init(tg_generator *generator, tg_model *model, tg_format activations);
void tg_generator_fini(tg_generator *generator); /* of zeros is fine */

/* Reads `count` >= 1 further tokens; generator->logits are then those of the token that follows. When the context is
 * full, the model forgets all but the last half of it and goes on from there. */
tg_status tg_generator_read(tg_generator *generator, const uint32_t *tokens, size_t count);

#endif
