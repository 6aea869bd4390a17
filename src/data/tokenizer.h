/* data/tokenizer.h -- what a kind of tokenizer is: one const descriptor, one file in data/, one line in tokenizers.inc.
 *
 * tokenizer.c has what the public functions share, tokenizer_json.c reads and writes tokenizer.json. A kind hands its
 * tokens on as it makes them, so that a corpus never exists as 4 bytes a token. */
#ifndef TG_DATA_TOKENIZER_H
#define TG_DATA_TOKENIZER_H

#include <stdbool.h>

#include <jansson.h>

#include "tiger/engine/data.h"

#define TG_MAX_VOCAB ((size_t)1 << 30) /* targets are int32_t */
#define TG_TOKENIZER_FILE "tokenizer.json"
#define TG_TOKENIZER_CONFIG "tokenizer_config.json"
#define TG_KEPT_FILES 4
#define TG_TOKENIZER_MOST ((size_t)256 << 20) /* bytes of a file; a vocabulary of all of Unicode has 30 MiB */
#define TG_TOKENS_AT_ONCE 4096                /* what an encoder hands on in one piece, at most */

/* Where tokens go. */
typedef struct tg_token_sink {
    tg_status (*put)(void *ctx, const uint32_t *ids, size_t count);
    /* Unless NULL: text[from ... to) will not be looked at again for a while. */
    void (*passed)(void *ctx, const char *from, const char *to);
    void *ctx;
} tg_token_sink;

typedef struct tg_tokenizer_type {
    const char *name;
    bool bytes_are_tokens; /* a corpus can be read from the file itself */

    /* tokenizer.json without the vocabulary, complete, in Hugging Face's order of keys (NULL: the kind keeps the text
     * it was read from); and the part of it that a file must have for its ids to be this kind's: there null means null
     * or absent. Both with ' for ". */
    const char *layout, *essential;
    /* model.vocab of tokenizer.json, a new reference; NULL when there is no memory. */
    json_t *(*vocab_json)(const tg_tokenizer *tokenizer);
    /* Sets `own` and `vocab` from a file that has the essential part. `name` is the file's, for messages.
     * TG_EUNSUPPORTED: perhaps the next kind with that type of model knows it. */
    tg_status (*read)(tg_tokenizer *tokenizer, const json_t *document, const char *name);

    /* The working memory of one encoder; both NULL for a kind that needs none. */
    tg_status (*open)(void **work, const tg_tokenizer *tokenizer);
    void (*close)(void *work);
    /* Fails as tg_tokenizer_encode does; offsets in messages count from `text`. */
    tg_status (*encode)(const tg_tokenizer *tokenizer, void *work, const char *text, size_t bytes,
                        const tg_token_sink *sink);
    const char *(*token)(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes); /* id < vocab */
    size_t (*own_bytes)(const void *own);                                            /* memory it holds */
    bool (*is_special)(const void *own, uint32_t id); /* NULL: none is */
    void (*destroy)(void *own);
} tg_tokenizer_type;

struct tg_tokenizer {
    const tg_tokenizer_type *type;
    size_t vocab;
    void *own; /* the kind's */
    bool has_end;
    uint32_t end;        /* what ends a document */
    bool has_begin, has_pad; /* what tokenizer_config.json says of them */
    uint32_t begin, pad;
    bool has_mask, own_mask; /* own: added to a kind that knows no special tokens, behind its vocabulary */
    uint32_t mask;
    uint32_t *frame;         /* (before + after): what stands around a text */
    size_t before, after;
    char *text, *config; /* tokenizer.json and tokenizer_config.json to be written; NULL: made from the layout */
    size_t text_bytes;
    char *kept[TG_KEPT_FILES];   /* tg_kept_files as they were read, ended with 0; NULL: there was none */
};

/* What else lies beside a tokenizer and says how it is used. */
extern const char *const tg_kept_files[TG_KEPT_FILES];

#define TG_TOKENIZER(name) extern const tg_tokenizer_type tg_tokenizer_type_##name;
#include "data/tokenizers.inc"
#undef TG_TOKENIZER

/* A tokenizer without vocabulary; NULL when there is no memory. */
tg_tokenizer *tg_tokenizer_new(const tg_tokenizer_type *type);

/* Reads tokenizer.json from memory; `name` is for messages. */
tg_status tg_tokenizer_parse(tg_tokenizer **out, const char *json, size_t bytes, const char *name);
tg_status tg_tokenizer_from_document(tg_tokenizer **out, const json_t *document, const char *name);

/* Sets the frame from a document's post_processor (frame.c). */
tg_status tg_tokenizer_read_frame(tg_tokenizer *tokenizer, const json_t *document, const char *name);

#define TG_MASK_TEXT "[MASK]" /* of own masks */

/* *document <- tokenizer.json's of a byte-level BPE with GPT-2's words, from the text of merges.txt and a vocabulary,
 * whose reference it takes in any case; `name` is the merges'. */
tg_status tg_merges_document(json_t **document, json_t *vocab, const char *merges, size_t bytes, const char *name);

/* The same of a WordPiece from the text of vocab.txt, `name`; tokenizer_config.json (NULL: none) says how text is
 * cased. */
tg_status tg_vocabulary_document(json_t **document, const char *text, size_t bytes, const json_t *config,
                                 const char *name);

/* tg_tokenizer_char in parts: texts are added to a tokenizer that is not one before its end. */
tg_status tg_chars_begin(tg_tokenizer **out);
tg_status tg_chars_add(tg_tokenizer *tokenizer, const char *text, size_t bytes);
tg_status tg_chars_end(tg_tokenizer *tokenizer);

/* One encoder: working memory that is kept from text to text. */
typedef struct tg_encoder {
    const tg_tokenizer *tokenizer;
    void *work;
} tg_encoder;

tg_status tg_encoder_open(tg_encoder *encoder, const tg_tokenizer *tokenizer);
tg_status tg_encoder_run(const tg_encoder *encoder, const char *text, size_t bytes, const tg_token_sink *sink);
void tg_encoder_close(tg_encoder *encoder); /* fine on {0} */

/* Tells the system that these bytes of a mapped text need not stay in memory for now. */
void tg_text_forget(const char *text, size_t from, size_t to);

#endif
