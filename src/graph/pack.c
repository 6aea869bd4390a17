/* graph/pack.c -- greedy placement: blocks in a fixed order, each into the smallest gap that its life leaves open
 * ("greedy by size"; Pisarchyk & Lee 2020, arXiv:2001.03288, sec. 5.2). The problem is NP-hard; three orders are tried
 * and the smallest arena wins. n blocks cost O(n^2). */
#include "graph/pack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct entry {
    size_t bytes, first, last, id, key, offset;
} entry;

/* Descending by key, then in the order given: the result never depends on qsort's whims. */
static int by_key(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The offset for `e` among `placed`, which are ordered by offset. */
static size_t best_gap(const entry *placed, size_t count, const entry *e)
{
    size_t end = 0, best = SIZE_MAX, best_gap_bytes = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (placed[i].last < e->first || placed[i].first > e->last)
            continue;
        if (placed[i].offset > end) {
            const size_t gap = placed[i].offset - end;
            if (gap >= e->bytes && gap < best_gap_bytes) {
                best = end;
                best_gap_bytes = gap;
            }
        }
        const size_t after = placed[i].offset + placed[i].bytes;
        end = after > end ? after : end;
    }
    return best != SIZE_MAX ? best : end;
}

/* Places the sorted entries; `placed` is room for as many. */
static size_t place(entry *sorted, entry *placed, size_t count)
{
    size_t arena = 0;
    for (size_t i = 0; i < count; i++) {
        entry *e = &sorted[i];
        e->offset = best_gap(placed, i, e);
        size_t at = i;
        while (at > 0 && placed[at - 1].offset > e->offset)
            at--;
        memmove(placed + at + 1, placed + at, (i - at) * sizeof *placed);
        placed[at] = *e;
        arena = e->offset + e->bytes > arena ? e->offset + e->bytes : arena;
    }
    return arena;
}

static size_t key_of(int order, const tg_block_life *b)
{
    const size_t life = b->last - b->first + 1;
    switch (order) {
    case 0: return b->bytes;
    case 1: return life; /* the long-lived lie at the bottom, the rest is a stack upon them */
    default: return b->bytes > SIZE_MAX / life ? SIZE_MAX : b->bytes * life;
    }
}

tg_status tg_pack(tg_block_life *block, size_t blocks, size_t *bytes)
{
    entry *sorted = tg_heap_alloc(blocks, sizeof *sorted), *placed = tg_heap_alloc(blocks, sizeof *placed);
    tg_status status = TG_OK;
    if (sorted == NULL || placed == NULL) {
        status = tg_no_memory("planning the arena", 2 * blocks * sizeof *sorted);
        goto done;
    }
    size_t best = SIZE_MAX;
    for (int order = 0; order < 3; order++) {
        for (size_t i = 0; i < blocks; i++)
            sorted[i] = (entry){.bytes = block[i].bytes, .first = block[i].first, .last = block[i].last, .id = i,
                                .key = key_of(order, &block[i])};
        qsort(sorted, blocks, sizeof *sorted, by_key);
        const size_t arena = place(sorted, placed, blocks);
        if (arena >= best)
            continue;
        best = arena;
        for (size_t i = 0; i < blocks; i++)
            block[sorted[i].id].offset = sorted[i].offset;
    }
    *bytes = best;
done:
    tg_heap_free(sorted);
    tg_heap_free(placed);
    return status;
}

tg_status tg_pack_bound(const tg_block_life *block, size_t blocks, size_t *bytes)
{
    size_t steps = 0;
    for (size_t i = 0; i < blocks; i++)
        steps = block[i].last + 1 > steps ? block[i].last + 1 : steps;
    size_t *starts = tg_heap_alloc(steps + 1, sizeof *starts), *ends = tg_heap_alloc(steps + 1, sizeof *ends);
    tg_status status = TG_OK;
    if (starts == NULL || ends == NULL) {
        status = tg_no_memory("planning the arena", 2 * steps * sizeof *starts);
        goto done;
    }
    for (size_t i = 0; i < blocks; i++) {
        starts[block[i].first] += block[i].bytes;
        ends[block[i].last + 1] += block[i].bytes;
    }
    size_t alive = 0, most = 0;
    for (size_t s = 0; s < steps; s++) {
        alive = alive + starts[s] - ends[s];
        most = alive > most ? alive : most;
    }
    *bytes = most;
done:
    tg_heap_free(starts);
    tg_heap_free(ends);
    return status;
}
