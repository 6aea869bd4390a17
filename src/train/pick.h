/* train/pick.h -- choosing the next token by its logits. */
#ifndef TG_TRAIN_PICK_H
#define TG_TRAIN_PICK_H

#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "tiger/status.h"

/* *token <- one of 0 .. vocab-1. Temperature 0: the most likely; else by the softmax of logits / temperature over the
 * top_k most likely (0: all), drawn by `key`. Among equals the lower token counts as more likely. `heap` is work space
 * for top_k indexes (NULL when top_k is 0). TG_EDIVERGED when a logit is NaN or the largest is no finite number. */
tg_status tg_pick_token(uint32_t *token, const float *logits, size_t vocab, double temperature, size_t top_k,
                        uint32_t *heap, tg_key key);

#endif
