/* tiger/engine/data.h -- text as tokens: tokenizers, a corpus with its validation split, and batches by number.
 *
 * Sampling is a pure function of (seed, update, micro-step): there is nothing to save but the update's number. */
#ifndef TIGER_ENGINE_DATA_H
#define TIGER_ENGINE_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tokenizers -------------------------------------------------------------------------------------------------- */

/* byte: token = byte value, 256 of them, any file. char: a token for every Unicode character that occurs in the text,
 * in code point order; the text must be strict UTF-8 without U+0000. Both are kept as tokenizer.json in the layout of
 * Hugging Face `tokenizers`, which opens them, gives the same ids, and decodes them to the same text. */
typedef struct tg_tokenizer tg_tokenizer;

tg_status tg_tokenizer_byte(tg_tokenizer **out);
/* Collects the characters of `text`. TG_EFORMAT with the offset of the first byte that is no UTF-8; TG_EINVAL for no
 * text at all. */
tg_status tg_tokenizer_char(tg_tokenizer **out, const char *text, size_t bytes);
/* DIRECTORY/tokenizer.json. TG_EUNSUPPORTED, naming the place, for a file whose tokens would not be those of byte or
 * char; others' files are fine as long as they mean the same. */
tg_status tg_tokenizer_read(tg_tokenizer **out, const char *directory);
/* Writes tokenizer.json, and tokenizer_config.json that makes transformers take it as it is. Each appears whole. */
tg_status tg_tokenizer_write(const tg_tokenizer *tokenizer, const char *directory);
void tg_tokenizer_destroy(tg_tokenizer *tokenizer);

const char *tg_tokenizer_kind(const tg_tokenizer *tokenizer); /* "byte", "char" */
size_t tg_tokenizer_vocab(const tg_tokenizer *tokenizer);

/* *ids <- heap array of *count tokens; release with tg_tokens_free. TG_EINVAL, naming character and offset, for a
 * character the tokenizer does not know; TG_EFORMAT for a byte that is no UTF-8 where it must be. */
tg_status tg_tokenizer_encode(const tg_tokenizer *tokenizer, uint32_t **ids, size_t *count, const char *text,
                              size_t bytes);
void tg_tokens_free(uint32_t *ids);

/* The bytes of one token (at most 4, no 0 behind); *bytes is their number, 0 for an id that has none. */
const char *tg_tokenizer_token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes);

/* ---- corpus ------------------------------------------------------------------------------------------------------ */

typedef struct tg_corpus tg_corpus;

/* Maps the file at `path` and encodes it; a byte tokenizer reads the mapping itself, others keep 1, 2 or 4 bytes a
 * token, by the vocabulary's size. A mapped file must not change while the corpus is open: one that is cut off ends the
 * process. The last `validation` share of the tokens (0 <= share < 1) is held out. The tokenizer is not kept. Fewer
 * than two tokens are refused. */
tg_status tg_corpus_open(tg_corpus **out, const char *path, const tg_tokenizer *tokenizer, double validation);
/* The whole file's bytes, to build a tokenizer from: mapped, released by tg_text_close. */
tg_status tg_text_open(const char **text, size_t *bytes, const char *path);
void tg_text_close(const char *text, size_t bytes);
void tg_corpus_destroy(tg_corpus *corpus);

typedef enum tg_split { TG_SPLIT_TRAIN, TG_SPLIT_VALIDATION } tg_split;

size_t tg_corpus_tokens(const tg_corpus *corpus, tg_split split);
size_t tg_corpus_bytes(const tg_corpus *corpus);        /* memory it holds, mapped pages included */
/* Of all tokens: does a resumed run see the same text? The first call reads all of it. */
uint64_t tg_corpus_hash(const tg_corpus *corpus);

/* tokens (B,T) and targets (B,T), the tokens one further, from B random places of the training split. TG_EINVAL when it
 * has fewer than T+1 tokens. */
tg_status tg_corpus_batch(const tg_corpus *corpus, uint32_t *tokens, int32_t *targets, size_t batch, size_t time,
                          uint64_t seed, uint64_t update, uint32_t micro_step);

/* Windows `index` * B ... `index` * B + B - 1 of the consecutive windows of T tokens of a split, for evaluation; places
 * past the end have token 0 and target -1 (ignored). *windows, when not NULL, is the number of windows the split has
 * (each token but the first is a target once; the last window may be short). With B = 0 nothing is written but
 * *windows, and tokens and targets may be NULL. */
tg_status tg_corpus_window(const tg_corpus *corpus, tg_split split, uint32_t *tokens, int32_t *targets, size_t batch,
                           size_t time, size_t index, size_t *windows);

#ifdef __cplusplus
}
#endif
#endif
