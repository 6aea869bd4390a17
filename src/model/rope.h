/* model/rope.h -- how rotary positions are stretched, from and to config.json. */
#ifndef TG_MODEL_ROPE_H
#define TG_MODEL_ROPE_H

#include "tiger/engine/model.h"

/* config->rope <- "rope_scaling" or "rope_parameters" of a json_t object; `name` is the file's. config->context and
 * head_dim are known. TG_EUNSUPPORTED, naming it, for a kind that is not computed here. */
tg_status tg_rope_read(tg_model_config *config, const void *json_object, const char *name);
/* "rope_scaling" into a json_t object. */
void tg_rope_write(const tg_model_config *config, void *json);

#endif
