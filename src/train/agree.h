/* train/agree.h -- whether what the user says again of a run to resume is what the run has. */
#ifndef TG_TRAIN_AGREE_H
#define TG_TRAIN_AGREE_H

#include "tiger/engine/train.h"

/* TG_EINVAL naming the first thing in which `wish` has another model, vocabulary or tokenizer than the checkpoint. */
tg_status tg_agree_check(const tg_train_config *wish, const char *checkpoint);

/* `status`, of a `model` that could not be made, or not be filled with the weights of the directory `init`; where it
 * was asked for in another size than they have, the message names that, too. */
tg_status tg_agree_init(tg_status status, const char *init, const tg_model_config *model);

#endif
