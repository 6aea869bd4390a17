/* data/bpe.h -- byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019).
 *
 *   text -> special tokens and what is between them (special.c) -> words (split.c) -> merged bytes (bpe_merge.c)
 *
 * bpe_json.c reads tokenizer.json, bpe_files.c vocab.json and merges.txt, bpe.c is the kind of tokenizer. */
#ifndef TG_DATA_BPE_H
#define TG_DATA_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/byte_name.h"
#include "data/special.h"
#include "data/split.h"
#include "data/tokenizer.h"
#include "tiger/status.h"

#define TG_NO_TOKEN UINT32_MAX
#define TG_LONGEST_WORD ((size_t)1 << 30) /* bytes: places in a word are 32-bit */

/* left and right beside each other become `made`; the lowest rank goes first. */
typedef struct tg_merge {
    uint32_t left, right, rank, made;
} tg_merge;

typedef struct tg_bpe {
    size_t vocab;
    char *bytes;     /* of all tokens, by id */
    uint32_t *start; /* (vocab + 1) where a token's bytes begin; a number without token has none */
    tg_merge *merge; /* (slots) by hash of left and right; made == TG_NO_TOKEN: free */
    size_t slots;
    uint32_t *whole; /* (whole_slots) ids by hash of their bytes, for words that are tokens without merges; or NULL */
    size_t whole_slots;
    uint32_t of_byte[TG_BYTES]; /* TG_NO_TOKEN for a byte that has none */
    tg_specials specials;
    tg_splitter splitter;
} tg_bpe;

static inline const char *tg_bpe_token(const tg_bpe *bpe, uint32_t id, size_t *bytes)
{
    *bytes = bpe->start[id + 1] - bpe->start[id];
    return bpe->bytes + bpe->start[id];
}

/* ---- tables (bpe_table.c) ---- */

/* Makes the table of `count` merges, empty; of two for the same pair the later one holds. */
tg_status tg_bpe_merges_reserve(tg_bpe *bpe, size_t count);
void tg_bpe_merges_put(tg_bpe *bpe, const tg_merge *merge);
const tg_merge *tg_bpe_merges_find(const tg_bpe *bpe, uint32_t left, uint32_t right); /* NULL: there is none */

/* The same for whole words: the token must not be there yet, and has bytes. */
tg_status tg_bpe_whole_reserve(tg_bpe *bpe, size_t count);
void tg_bpe_whole_put(tg_bpe *bpe, uint32_t id);
uint32_t tg_bpe_whole_find(const tg_bpe *bpe, const char *word, size_t bytes); /* TG_NO_TOKEN: there is none */

/* Writes token `id`, unless out is NULL; its bytes, 0 for a number without token. */
typedef size_t tg_token_writer(char *out, const void *context, uint32_t id);

/* Makes bytes and start for bpe->vocab tokens; `name` of the file and the tokenizer's kind are for messages. */
tg_status tg_bpe_tokens_fill(tg_bpe *bpe, tg_token_writer *write, const void *context, const char *name,
                             const char *kind);

uint64_t tg_bpe_hash(const char *word, size_t bytes);

/* ---- reading (bpe_json.c) ---- */

/* The kind's part of tg_tokenizer_type. */
tg_status tg_bpe_read(tg_tokenizer *tokenizer, const json_t *document, const char *name);

/* ---- merging (bpe_merge.c) ---- */

struct tg_symbol;
struct tg_candidate;

/* Work space of one thread, grown by the longest word; starts as {0}. */
typedef struct tg_merger {
    struct tg_symbol *symbol;
    struct tg_candidate *heap;
    uint32_t *ids; /* the result */
    size_t room, waiting;
} tg_merger;

/* merger->ids <- the tokens of a word of 1 to TG_LONGEST_WORD bytes; *count is their number. TG_EUNSUPPORTED for a byte
 * that has no token. */
tg_status tg_merger_run(tg_merger *merger, size_t *count, const tg_bpe *bpe, const char *word, size_t bytes);
void tg_merger_free(tg_merger *merger);

#endif
