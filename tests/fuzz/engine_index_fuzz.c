/* engine_index_fuzz.c -- whatever is in model.safetensors.index.json: refused with a message, or plain names of files,
 * each with a number of its own. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/tensors_index.h"
#include "tiger/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tg_index index = {0};
    const char *key;
    json_t *value;
    json_int_t expected = 0;
    const tg_status status = tg_index_parse(&index, (const char *)data, bytes, "index.json");
    if (status != TG_OK) {
        demand(status == TG_EFORMAT && index.document == NULL);
        demand(*tg_message() != 0 && strchr(tg_message(), '\n') == NULL);
        return 0;
    }
    json_object_foreach((json_t *)index.map, key, value)
        demand(json_is_integer(json_object_get(index.files, json_string_value(value))));
    json_object_foreach(index.files, key, value)
    {
        demand(*key != 0 && strchr(key, '/') == NULL && strcmp(key, "..") != 0);
        demand(json_integer_value(value) == expected++);
    }
    demand(expected > 0);
    tg_index_fini(&index);
    return 0;
}
