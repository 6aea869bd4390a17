/* data/special.c -- finding special tokens: at each place the longest, places from left to right. Few bytes begin one,
 * and only there is anything compared. */
#include "data/special.h"

#include <string.h>

#include "base/memory.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "data/tokenizer.h"

tg_status tg_specials_add(tg_specials *specials, const tg_special *special)
{
    tg_special *const more = tg_heap_resize(specials->at, specials->count, specials->count + 1, sizeof *specials->at);
    if (more == NULL)
        return tg_no_memory("a special token", sizeof *specials->at);
    specials->at = more;
    tg_special *const added = &more[specials->count];
    *added = *special;
    added->text = tg_heap_alloc(special->bytes, 1);
    if (added->text == NULL)
        return tg_no_memory("a special token", special->bytes);
    memcpy(added->text, special->text, special->bytes);
    specials->count++;
    return TG_OK;
}

void tg_specials_free(tg_specials *specials)
{
    for (size_t i = 0; i < specials->count; i++)
        tg_heap_free(specials->at[i].text);
    tg_heap_free(specials->at);
    *specials = (tg_specials){0};
}

size_t tg_specials_bytes(const tg_specials *specials)
{
    size_t bytes = specials->count * sizeof *specials->at;
    for (size_t i = 0; i < specials->count; i++)
        bytes += specials->at[i].bytes;
    return bytes;
}

/* By round, first byte, the longest first. */
static int compare(const void *ctx, size_t a, size_t b)
{
    const tg_special *const one = (const tg_special *)ctx + a, *const two = (const tg_special *)ctx + b;
    const unsigned char x = (unsigned char)*one->text, y = (unsigned char)*two->text;
    if (one->late != two->late)
        return one->late ? 1 : -1;
    if (x != y)
        return x < y ? -1 : 1;
    return one->bytes == two->bytes ? 0 : one->bytes > two->bytes ? -1 : 1;
}

tg_status tg_specials_arrange(tg_specials *specials)
{
    const size_t count = specials->count;
    if (count == 0)
        return TG_OK;
    size_t *const order = tg_heap_alloc(count, sizeof *order);
    tg_special *const sorted = tg_heap_alloc(count, sizeof *sorted);
    if (order == NULL || sorted == NULL) {
        tg_heap_free(order);
        tg_heap_free(sorted);
        return tg_no_memory("special tokens", count * sizeof *sorted);
    }
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    tg_sort(order, count, compare, specials->at);
    for (size_t i = 0; i < count; i++)
        sorted[i] = specials->at[order[i]];
    tg_heap_free(order);
    tg_heap_free(specials->at);
    specials->at = sorted;
    size_t at = 0;
    for (int late = 0; late < 2; late++)
        for (unsigned b = 0; b <= 256; b++) {
            specials->first[late][b] = at;
            while (b < 256 && at < count && sorted[at].late == late && (unsigned char)*sorted[at].text == b)
                at++;
        }
    return TG_OK;
}

bool tg_specials_has(const tg_specials *specials, uint32_t id)
{
    for (size_t i = 0; i < specials->count; i++)
        if (specials->at[i].id == id && specials->at[i].special)
            return true;
    return false;
}

static bool find_named(uint32_t *id, const tg_specials *specials, const char *const *names)
{
    for (; *names != NULL; names++)
        for (size_t i = 0; i < specials->count; i++)
            if (specials->at[i].bytes == strlen(*names) && memcmp(specials->at[i].text, *names, strlen(*names)) == 0) {
                *id = specials->at[i].id;
                return true;
            }
    return false;
}

void tg_specials_find_roles(const tg_specials *specials, tg_tokenizer *tokenizer)
{
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", NULL};
    static const char *const masks[] = {"[MASK]", "<mask>", "<|mask|>", NULL};
    tokenizer->has_end = find_named(&tokenizer->end, specials, ends);
    tokenizer->has_mask = find_named(&tokenizer->mask, specials, masks);
}

/* ---- finding ---- */

/* Bytes of the blank that ends in front of `at`, not below `from`; 0 for none. */
static size_t blank_before(const char *text, size_t from, size_t at)
{
    for (size_t bytes = 1; bytes <= TG_UTF8_BYTES && bytes <= at - from; bytes++) {
        uint32_t c;
        if (tg_utf8_decode(&c, text + at - bytes, bytes) == bytes)
            return tg_utf8_is_blank(c) ? bytes : 0;
    }
    return 0;
}

void tg_special_strip(const tg_special *special, const char *text, size_t bytes, size_t from, size_t *begin,
                      size_t *end)
{
    size_t more;
    uint32_t c;
    while (special->strips_left && (more = blank_before(text, from, *begin)) > 0)
        *begin -= more;
    while (special->strips_right && (more = tg_utf8_decode(&c, text + *end, bytes - *end)) > 0 && tg_utf8_is_blank(c))
        *end += more;
}

const tg_special *tg_specials_find(const tg_specials *specials, bool late, const char *text, size_t bytes, size_t from,
                                   size_t to, size_t *place)
{
    const size_t *const first = specials->first[late];
    if (first[0] == first[256])
        return NULL;
    for (size_t at = from; at < to; at++) {
        const unsigned char b = (unsigned char)text[at];
        for (size_t i = first[b]; i < first[b + 1]; i++) {
            const tg_special *const special = &specials->at[i];
            if (special->bytes > bytes - at || memcmp(text + at, special->text, special->bytes) != 0)
                continue;
            *place = at;
            return special;
        }
    }
    return NULL;
}
