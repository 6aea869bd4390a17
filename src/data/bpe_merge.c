/* data/bpe_merge.c -- the merge loop: a word's bytes become tokens, the merge of the lowest rank first, of equal ones
 * the leftmost.
 *
 * Symbols are a linked list, pairs that can merge wait in a heap: n log n for a word of n bytes, whatever it is. A pair
 * in the heap may be out of date when its turn comes: it is done only if the symbols there still merge into the same
 * token, which is also how Hugging Face decides. */
#include "base/fail.h"
#include "base/memory.h"
#include "data/bpe.h"

#define NONE UINT32_MAX

typedef struct tg_symbol {
    uint32_t id; /* NONE: merged into the one before */
    uint32_t before, next;
} tg_symbol;

typedef struct tg_candidate {
    uint32_t rank, at, made; /* the symbol at `at` and its next */
} tg_candidate;

void tg_merger_free(tg_merger *merger)
{
    tg_heap_free(merger->symbol);
    tg_heap_free(merger->heap);
    tg_heap_free(merger->ids);
    *merger = (tg_merger){0};
}

/* A word of n bytes has n - 1 pairs; each merge takes one out and puts at most two in: never more than 2 n wait. */
static tg_status reserve(tg_merger *merger, size_t bytes)
{
    if (bytes <= merger->room)
        return TG_OK;
    tg_merger_free(merger);
    const size_t room = bytes < 64 ? 64 : bytes;
    merger->symbol = tg_heap_alloc(room, sizeof *merger->symbol);
    merger->heap = tg_heap_alloc(2 * room, sizeof *merger->heap);
    merger->ids = tg_heap_alloc(room, sizeof *merger->ids);
    if (merger->symbol == NULL || merger->heap == NULL || merger->ids == NULL)
        return tg_no_memory("merging a word", room * (sizeof *merger->symbol + 2 * sizeof *merger->heap));
    merger->room = room;
    return TG_OK;
}

/* ---- the heap ---- */

static bool sooner(const tg_candidate *a, const tg_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push(tg_merger *merger, tg_candidate candidate)
{
    tg_candidate *const heap = merger->heap;
    size_t at = merger->waiting++;
    for (; at > 0 && sooner(&candidate, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = candidate;
}

static tg_candidate pop(tg_merger *merger)
{
    tg_candidate *const heap = merger->heap;
    const tg_candidate first = heap[0], last = heap[--merger->waiting];
    const size_t count = merger->waiting;
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && sooner(&heap[child + 1], &heap[child]);
        if (!sooner(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return first;
}

/* ---- merging ---- */

/* The pair of the symbol at `at` and its next waits, if it can merge. */
static void offer(tg_merger *merger, const tg_bpe *bpe, uint32_t at)
{
    const uint32_t next = at == NONE ? NONE : merger->symbol[at].next;
    if (next == NONE)
        return;
    const tg_merge *const merge = tg_bpe_merges_find(bpe, merger->symbol[at].id, merger->symbol[next].id);
    if (merge != NULL)
        push(merger, (tg_candidate){merge->rank, at, merge->made});
}

static bool still_there(const tg_merger *merger, const tg_bpe *bpe, const tg_candidate *candidate)
{
    const tg_symbol *const left = &merger->symbol[candidate->at];
    if (left->id == NONE || left->next == NONE)
        return false;
    const tg_merge *const merge = tg_bpe_merges_find(bpe, left->id, merger->symbol[left->next].id);
    return merge != NULL && merge->made == candidate->made;
}

static void join(tg_merger *merger, const tg_bpe *bpe, const tg_candidate *candidate)
{
    tg_symbol *const left = &merger->symbol[candidate->at], *const right = &merger->symbol[left->next];
    left->id = candidate->made;
    left->next = right->next;
    right->id = NONE;
    if (left->next != NONE)
        merger->symbol[left->next].before = candidate->at;
    offer(merger, bpe, left->before);
    offer(merger, bpe, candidate->at);
}

tg_status tg_merger_run(tg_merger *merger, size_t *count, const tg_bpe *bpe, const char *word, size_t bytes)
{
    if (bytes > TG_LONGEST_WORD)
        return tg_fail(TG_EUNSUPPORTED, "a word of %zu bytes is too long for a BPE tokenizer", bytes);
    const tg_status status = reserve(merger, bytes);
    if (status != TG_OK)
        return status;
    for (uint32_t i = 0; i < bytes; i++) {
        const uint32_t id = bpe->of_byte[(unsigned char)word[i]];
        if (id == TG_NO_TOKEN)
            return tg_fail(TG_EUNSUPPORTED, "the tokenizer has no token for the byte 0x%02x",
                           (unsigned)(unsigned char)word[i]);
        merger->symbol[i] = (tg_symbol){id, i == 0 ? NONE : i - 1, i + 1 == bytes ? NONE : i + 1};
    }
    merger->waiting = 0;
    for (uint32_t i = 0; i < bytes; i++)
        offer(merger, bpe, i);
    while (merger->waiting > 0) {
        const tg_candidate candidate = pop(merger);
        if (still_there(merger, bpe, &candidate))
            join(merger, bpe, &candidate);
    }
    size_t made = 0;
    for (uint32_t i = 0; i != NONE; i = merger->symbol[i].next)
        merger->ids[made++] = merger->symbol[i].id;
    *count = made;
    return TG_OK;
}
