/* search/space.h -- dimensions as Optuna's journal spells them. */
#ifndef TG_SEARCH_SPACE_H
#define TG_SEARCH_SPACE_H

#include <stdbool.h>

#include <jansson.h>

#include "search/search.h"

/* The distribution as a JSON text, which is what the journal has; NULL when there is no memory. Release with free(). */
char *tg_dimension_json(const tg_dimension *dimension);
/* Whether a distribution of the journal is of this kind and on this scale: its values then mean the same. */
bool tg_dimension_agrees(const tg_dimension *dimension, const char *distribution);
/* The value that a JSON number or text means, as a user of Optuna's says it; NaN: none of this dimension. */
double tg_dimension_meant(const tg_dimension *dimension, const json_t *value);
/* Whether a value as the journal has it lies in the dimension. */
bool tg_dimension_holds(const tg_dimension *dimension, double value);

#endif
