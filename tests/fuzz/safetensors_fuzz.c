/* safetensors_fuzz.c -- whatever is in the file: no read outside of it, and what is handed out agrees with itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiger/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static volatile uint8_t sink; /* of every byte handed out: the reads must happen */

static void demand(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tg_safetensors *file = NULL;
    const tg_status status = tg_safetensors_open_memory(&file, data, bytes, NULL);
    demand(status == TG_OK || (status == TG_EFORMAT && file == NULL && *tg_message() != 0));
    if (status != TG_OK)
        return 0;
    size_t total = 0;
    uint8_t sum = 0;
    for (size_t i = 0; i < tg_safetensors_count(file); i++) {
        const tg_named_tensor *t = tg_safetensors_at(file, i);
        uint64_t values = 1;
        demand(t->rank <= TG_TENSOR_MAX_RANK);
        for (unsigned k = 0; k < t->rank; k++)
            values *= t->shape[k];
        demand(values * tg_format_bytes(t->format) == t->bytes);
        demand(tg_safetensors_find(file, t->name) == t);
        for (size_t k = 0; k < t->bytes; k++)
            sum ^= ((const uint8_t *)t->data)[k];
        total += t->bytes;
    }
    sink = sum;
    demand(total <= bytes);
    demand(tg_safetensors_metadata(file, "\x01 no such key") == NULL || bytes > 16);
    tg_safetensors_destroy(file);
    return 0;
}
