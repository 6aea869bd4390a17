/* data/tokenizer.h -- what a kind of tokenizer is: one const descriptor, one file in data/, one line in tokenizers.inc.
 *
 * tokenizer.c has what the public functions share, tokenizer_json.c reads and writes tokenizer.json. A kind turns text
 * into tokens piece by piece, so that a corpus never exists as 4 bytes a token. */
#ifndef TG_DATA_TOKENIZER_H
#define TG_DATA_TOKENIZER_H

#include <stdbool.h>

#include <jansson.h>

#include "tiger/engine/data.h"

#define TG_MAX_VOCAB ((size_t)1 << 30) /* targets are int32_t */

typedef struct tg_tokenizer_type {
    const char *name;
    bool bytes_are_tokens; /* a corpus can be read from the file itself */

    /* tokenizer.json without the vocabulary, complete, in Hugging Face's order of keys; and the part of it that a file
     * must have for its ids to be this kind's: there null means null or absent. Both with ' for ". */
    const char *layout, *essential;
    /* model.vocab of tokenizer.json, a new reference; NULL when there is no memory. */
    json_t *(*vocab_json)(const tg_tokenizer *tokenizer);
    /* Sets `own` and `vocab` from model.vocab. `name` is the file's, for messages. */
    tg_status (*read_vocab)(tg_tokenizer *tokenizer, const json_t *vocab, const char *name);

    /* At most this many tokens come of a text. */
    size_t (*most_tokens)(const char *text, size_t bytes);
    /* Encodes text[*offset ...], at most `room` tokens, and moves *offset behind what it took. Fails as
     * tg_tokenizer_encode does; offsets in messages count from `text`. */
    tg_status (*encode)(const tg_tokenizer *tokenizer, uint32_t *ids, size_t room, size_t *count, const char *text,
                        size_t bytes, size_t *offset);
    const char *(*token)(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes); /* id < vocab */
    void (*destroy)(void *own);
} tg_tokenizer_type;

struct tg_tokenizer {
    const tg_tokenizer_type *type;
    size_t vocab;
    void *own; /* the kind's */
};

#define TG_TOKENIZER(name) extern const tg_tokenizer_type tg_tokenizer_type_##name;
#include "data/tokenizers.inc"
#undef TG_TOKENIZER

/* A tokenizer without vocabulary; NULL when there is no memory. */
tg_tokenizer *tg_tokenizer_new(const tg_tokenizer_type *type);

/* Reads tokenizer.json from memory; `name` is for messages. */
tg_status tg_tokenizer_parse(tg_tokenizer **out, const char *json, size_t bytes, const char *name);

/* Tells the system that these bytes of a mapped text need not stay in memory for now. */
void tg_text_forget(const char *text, size_t from, size_t to);

#endif
