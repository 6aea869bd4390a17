/* Any bytes are a samples.json or are refused with a message; what is read can be copied. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_schema *schema = NULL, *copy = NULL;
    const tg_status status = tg_schema_parse(&schema, (const char *)data, size, "fuzz");
    if (status != TG_OK) {
        if (status != TG_EFORMAT || strncmp(tg_message(), "'fuzz'", 6) != 0)
            abort();
        return 0;
    }
    if (tg_schema_features(schema) == 0 || (schema->class_name != NULL && schema->classes < 2) ||
        tg_schema_copy(&copy, schema) != TG_OK || tg_schema_bytes(copy) != tg_schema_bytes(schema))
        abort();
    tg_schema_destroy(schema);
    tg_schema_destroy(copy);
    return 0;
}
