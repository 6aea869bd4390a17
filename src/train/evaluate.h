/* train/evaluate.h -- the mean loss of a model on a split of a corpus. */
#ifndef TG_TRAIN_EVALUATE_H
#define TG_TRAIN_EVALUATE_H

#include "graph/graph.h"
#include "tiger/engine/train.h"

/* *out <- over the targets of the split. `graph` is planned and allocated for TG_EVALUATE; tokens and targets are work
 * space for its batch, (B,T) each. At most `batches` batches are looked at, spread evenly over the split and always the
 * same; 0: all. TG_EINVAL when the split has no target. */
tg_status tg_evaluate_split(tg_evaluation *out, tg_graph *graph, const tg_corpus *corpus, tg_split split,
                            const tg_tokenizer *tokenizer, size_t batches, uint32_t *tokens, int32_t *targets);

#endif
