/* Any bytes are a table or are refused with a message that names it; the first byte chooses how it is read. What is
 * read once is read by its own schema again, to the same. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int truth)
{
    if (!truth)
        abort();
}

static void check(const tg_table *t)
{
    const tg_schema *s = t->schema;
    demand(t->rows > 0 && t->features > 0 && t->features == s->channels && (t->label == NULL) != (t->target == NULL));
    for (size_t i = 0; i < t->rows * t->features; i++)
        demand(isfinite((float)t->value[i]));
    for (size_t i = 0; i < t->rows && t->label != NULL; i++)
        demand(t->label[i] >= 0 && (size_t)t->label[i] < s->classes);
    for (size_t i = 1; i < s->classes; i++)
        demand(strcmp(s->class_name[i - 1], s->class_name[i]) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_table table = {0}, again = {0};
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    const tg_status status = tg_table_parse(&table, bytes, size - 1, "fuzz", "y", (tg_target_kind)(data[0] % 3), NULL);
    if (status != TG_OK) {
        demand((status == TG_EFORMAT || status == TG_EINVAL) && strncmp(tg_message(), "'fuzz'", 6) == 0);
        return 0;
    }
    check(&table);
    demand(tg_table_parse(&again, bytes, size - 1, "fuzz", "y", TG_TARGET_AUTO, table.schema) == TG_OK);
    check(&again);
    demand(again.rows == table.rows &&
           memcmp(again.value, table.value, table.rows * table.features * sizeof(double)) == 0);
    tg_table_fini(&table);
    tg_table_fini(&again);
    return 0;
}
