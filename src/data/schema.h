/* data/schema.h -- making and reading schemas; see tiger/engine/samples.h. */
#ifndef TG_DATA_SCHEMA_H
#define TG_DATA_SCHEMA_H

#include "tiger/engine/samples.h"

#define TG_MOST_CLASSES 65536
#define TG_MOST_FEATURES ((size_t)1 << 22)

/* A heap copy. */
tg_status tg_schema_copy(tg_schema **out, const tg_schema *from);

/* Room for `channels` channels and `classes` classes without names. */
tg_status tg_schema_create(tg_schema **out, size_t channels, size_t classes);

/* From the text of a samples.json; `name` is for messages. */
tg_status tg_schema_parse(tg_schema **out, const char *text, size_t bytes, const char *name);

#endif
