/* data/bpe_table.c -- the two tables of a BPE: merges by their pair, tokens by their bytes. Open addressing, at most
 * three quarters full. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/random.h"
#include "data/bpe.h"

/* A power of two above 4/3 of count. */
static size_t slots_for(size_t count)
{
    size_t slots = 16;
    while (slots / 4 * 3 <= count)
        slots *= 2;
    return slots;
}

uint64_t tg_bpe_hash(const char *word, size_t bytes)
{
    uint64_t hash = bytes, part;
    for (; bytes >= sizeof part; word += sizeof part, bytes -= sizeof part) {
        memcpy(&part, word, sizeof part);
        hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    part = 0;
    memcpy(&part, word, bytes);
    hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* ---- merges ---- */

tg_status tg_bpe_merges_reserve(tg_bpe *bpe, size_t count)
{
    bpe->slots = slots_for(count);
    bpe->merge = tg_heap_alloc(bpe->slots, sizeof *bpe->merge);
    if (bpe->merge == NULL)
        return tg_no_memory("a tokenizer's merges", bpe->slots * sizeof *bpe->merge);
    for (size_t i = 0; i < bpe->slots; i++)
        bpe->merge[i].made = TG_NO_TOKEN;
    return TG_OK;
}

/* The pair's slot, or the free one where it would be. */
static tg_merge *merge_slot(const tg_bpe *bpe, uint32_t left, uint32_t right)
{
    size_t at = tg_mix64((uint64_t)left << 32 | right) & (bpe->slots - 1);
    while (bpe->merge[at].made != TG_NO_TOKEN && (bpe->merge[at].left != left || bpe->merge[at].right != right))
        at = (at + 1) & (bpe->slots - 1);
    return &bpe->merge[at];
}

void tg_bpe_merges_put(tg_bpe *bpe, const tg_merge *merge) { *merge_slot(bpe, merge->left, merge->right) = *merge; }

const tg_merge *tg_bpe_merges_find(const tg_bpe *bpe, uint32_t left, uint32_t right)
{
    const tg_merge *const slot = merge_slot(bpe, left, right);
    return slot->made == TG_NO_TOKEN ? NULL : slot;
}

/* ---- whole words ---- */

tg_status tg_bpe_whole_reserve(tg_bpe *bpe, size_t count)
{
    bpe->whole_slots = slots_for(count);
    bpe->whole = tg_heap_alloc(bpe->whole_slots, sizeof *bpe->whole);
    if (bpe->whole == NULL)
        return tg_no_memory("a tokenizer's words", bpe->whole_slots * sizeof *bpe->whole);
    memset(bpe->whole, 0xff, bpe->whole_slots * sizeof *bpe->whole);
    return TG_OK;
}

static uint32_t *whole_slot(const tg_bpe *bpe, const char *word, size_t bytes)
{
    size_t at = tg_bpe_hash(word, bytes) & (bpe->whole_slots - 1);
    for (; bpe->whole[at] != TG_NO_TOKEN; at = (at + 1) & (bpe->whole_slots - 1)) {
        size_t there;
        const char *const token = tg_bpe_token(bpe, bpe->whole[at], &there);
        if (there == bytes && memcmp(token, word, bytes) == 0)
            break;
    }
    return &bpe->whole[at];
}

void tg_bpe_whole_put(tg_bpe *bpe, uint32_t id)
{
    size_t bytes;
    const char *const token = tg_bpe_token(bpe, id, &bytes);
    *whole_slot(bpe, token, bytes) = id;
}

uint32_t tg_bpe_whole_find(const tg_bpe *bpe, const char *word, size_t bytes) { return *whole_slot(bpe, word, bytes); }

/* ---- tokens by id ---- */

tg_status tg_bpe_tokens_fill(tg_bpe *bpe, tg_token_writer *write, const void *context, const char *name,
                             const char *kind)
{
    size_t all = 0;
    for (uint32_t id = 0; id < bpe->vocab; id++)
        all += write(NULL, context, id);
    if (all > UINT32_MAX)
        return tg_fail(TG_EUNSUPPORTED, "'%s': the tokens have %zu bytes, more than 32 bits count", name, all);
    bpe->bytes = tg_heap_alloc(all + 1, 1);
    bpe->start = tg_heap_alloc(bpe->vocab + 1, sizeof *bpe->start);
    if (bpe->bytes == NULL || bpe->start == NULL)
        return tg_no_memory(kind, all);
    for (uint32_t id = 0; id < bpe->vocab; id++)
        bpe->start[id + 1] = bpe->start[id] + (uint32_t)write(bpe->bytes + bpe->start[id], context, id);
    return TG_OK;
}
