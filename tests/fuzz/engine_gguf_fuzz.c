/* engine_gguf_fuzz.c -- whatever is in a GGUF file: no read outside of it, and what is handed out agrees with itself;
 * its blocks decode. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static volatile uint8_t sink; /* of every byte handed out: the reads must happen */

static void demand(int truth)
{
    if (!truth)
        abort();
}

static uint8_t sum_of(const void *at, size_t bytes)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum ^= ((const uint8_t *)at)[i];
    return sum;
}

static void look_at_value(const tg_gguf_value *value)
{
    tg_text line = {0};
    const char *text;
    size_t length, offset = 0, strings = 0;
    int64_t integer;
    double real;
    sink ^= sum_of(value->data, value->bytes);
    tg_gguf_print(&line, value, 5);
    demand(!line.failed && memchr(line.at, '\n', line.used) == NULL);
    tg_text_free(&line);
    while (tg_gguf_string(&text, &length, value, &offset)) {
        sink ^= sum_of(text, length);
        strings++;
    }
    if (value->type == TG_GGUF_ARRAY && value->element == TG_GGUF_STRING)
        demand(strings == value->count && offset == value->bytes);
    for (uint64_t i = 0; i < value->count && value->type != TG_GGUF_STRING; i++)
        demand(!tg_gguf_integer(&integer, value, i) || tg_gguf_real(&real, value, i));
    demand(!tg_gguf_real(&real, value, value->count));
}

static void look_at_tensor(const tg_gguf_tensor *t)
{
    float x[TG_BLOCK_MOST];
    const size_t blocks = t->bytes / t->encoding->block_bytes;
    uint64_t values = 1;
    for (unsigned i = 0; i < t->rank; i++)
        values *= t->shape[i];
    demand(t->rank <= TG_GGUF_MAX_RANK && blocks * t->encoding->block_bytes == t->bytes);
    demand(values == blocks * t->encoding->block_values);
    sink ^= sum_of(t->data, t->bytes);
    for (size_t i = 0; i < blocks && t->encoding->decode != NULL; i++) {
        t->encoding->decode(x, t->data + i * t->encoding->block_bytes, 1);
        sink ^= sum_of(x, t->encoding->block_values * sizeof *x);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tg_gguf *file = NULL;
    const tg_status status = tg_gguf_open_memory(&file, data, bytes, "memory");
    if (status != TG_OK) {
        demand((status == TG_EFORMAT || status == TG_EUNSUPPORTED) && file == NULL);
        demand(*tg_message() != 0 && strchr(tg_message(), '\n') == NULL);
        return 0;
    }
    size_t total = 0;
    for (size_t i = 0; i < tg_gguf_pairs(file); i++) {
        const char *key;
        const tg_gguf_value *value = tg_gguf_pair(file, i, &key);
        demand(tg_gguf_find(file, key) == value);
        look_at_value(value);
    }
    for (size_t i = 0; i < tg_gguf_tensors(file); i++) {
        look_at_tensor(tg_gguf_tensor_at(file, i));
        total += tg_gguf_tensor_at(file, i)->bytes;
    }
    demand(total <= bytes);
    tg_gguf_destroy(file);
    return 0;
}
