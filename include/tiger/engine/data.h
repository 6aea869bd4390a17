/* tiger/engine/data.h -- text as tokens: tokenizers, a corpus with its validation split, and batches by number.
 *
 * Sampling is a pure function of (seed, update, micro-step): there is nothing to save but the update's number. */
#ifndef TIGER_ENGINE_DATA_H
#define TIGER_ENGINE_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- tokenizers -------------------------------------------------------------------------------------------------- */

/* byte: token = byte value, 256 of them, any file. char: a token for every Unicode character that occurs in the text,
 * in code point order; the text must be strict UTF-8 without U+0000. bpe: byte-level byte pair encoding, as GPT-2,
 * Llama 3 and most models since have it; any file. All are kept as tokenizer.json in the layout of Hugging Face `tokenizers`,
 * which opens them, gives the same ids, and decodes them to the same text. */
typedef struct tg_tokenizer tg_tokenizer;

tg_status tg_tokenizer_byte(tg_tokenizer **out);
/* Collects the characters of `text`. TG_EFORMAT with the offset of the first byte that is no UTF-8; TG_EINVAL for no
 * text at all. */
tg_status tg_tokenizer_char(tg_tokenizer **out, const char *text, size_t bytes);
/* A directory with tokenizer.json, or with vocab.json and merges.txt; or a file like tokenizer.json.
 * TG_EUNSUPPORTED, naming the place, for one whose ids would not be the same here. Of a directory's
 * tokenizer_config.json the roles of tokens (eos_token, ...) are read, and special_tokens_map.json, added_tokens.json,
 * chat_template.jinja and generation_config.json are kept as they are. */
tg_status tg_tokenizer_read(tg_tokenizer **out, const char *path);
/* Writes tokenizer.json, and tokenizer_config.json that makes transformers take it as it is; of a bpe tokenizer both
 * are byte for byte those that were read, where there were such. So are the files that are kept. Each appears whole. */
tg_status tg_tokenizer_write(const tg_tokenizer *tokenizer, const char *directory);
void tg_tokenizer_destroy(tg_tokenizer *tokenizer);

const char *tg_tokenizer_kind(const tg_tokenizer *tokenizer); /* "byte", "char", "bpe" */
size_t tg_tokenizer_vocab(const tg_tokenizer *tokenizer);             /* the largest id and one */
size_t tg_tokenizer_bytes(const tg_tokenizer *tokenizer);             /* memory it holds */
/* The token that ends a document; false when there is none. */
bool tg_tokenizer_end(const tg_tokenizer *tokenizer, uint32_t *id);

/* Those that begin a text and that fill up a row of a batch, as tokenizer_config.json names them; false likewise. */
bool tg_tokenizer_begin(const tg_tokenizer *tokenizer, uint32_t *id);
bool tg_tokenizer_pad(const tg_tokenizer *tokenizer, uint32_t *id);
/* The token that stands for one to be guessed; false when there is none. */
bool tg_tokenizer_mask(const tg_tokenizer *tokenizer, uint32_t *id);
/* Gives a byte or char tokenizer that has none a last token "[MASK]", found in texts; TG_EUNSUPPORTED for others. */
tg_status tg_tokenizer_add_mask(tg_tokenizer *tokenizer);
/* Whether a token has a meaning of its own: begin, end, padding, mask. */
bool tg_tokenizer_is_special(const tg_tokenizer *tokenizer, uint32_t id);
/* What the tokenizer puts around a text (post_processor in tokenizer.json): *before tokens in front of it, and *after
 * tokens behind it, which come next in the list. */
const uint32_t *tg_tokenizer_frame(const tg_tokenizer *tokenizer, size_t *before, size_t *after);

/* *ids <- heap array of *count tokens; release with tg_tokens_free. TG_EINVAL, naming character and offset, for a
 * character the tokenizer does not know; TG_EFORMAT for a byte that is no UTF-8 where it must be; TG_EUNSUPPORTED for a
 * byte that a bpe vocabulary lacks. Special tokens of bpe and wordpiece are found in the text; none is added to it. */
tg_status tg_tokenizer_encode(const tg_tokenizer *tokenizer, uint32_t **ids, size_t *count, const char *text,
                              size_t bytes);
void tg_tokens_free(uint32_t *ids);

/* The bytes of one token (no 0 behind); *bytes is their number, 0 for an id that has none. They may be part of a
 * character. */
const char *tg_tokenizer_token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes);

/* ---- corpus ------------------------------------------------------------------------------------------------------ */

typedef struct tg_corpus tg_corpus;

/* What a file is made of. text: one text. lines: a document a line. jsonl: an object a line, {"text": ...}, or
 * {"prompt": ..., "response": ...} of which only the response counts in the loss. Around every document of the last two
 * stands what the tokenizer puts around a text; with nothing behind it comes the token that ends one, or a newline
 * where the tokenizer has none; blank lines are no documents. */
typedef enum tg_data_format { TG_FORMAT_TEXT, TG_FORMAT_LINES, TG_FORMAT_JSONL, TG_FORMATS } tg_data_format;

/* As tg_tokenizer_char, from the documents of a file. */
tg_status tg_tokenizer_char_from(tg_tokenizer **out, const char *path, tg_data_format format);

/* Maps the file at `path` and encodes it; a byte tokenizer reads a text from the mapping itself, otherwise a token
 * is kept in 1, 2 or 4 bytes, by the vocabulary's size. A mapped file must not change while the corpus is open:
 * one that is cut off ends the process. The last `validation` share of the tokens (0 <= share < 1) is held out.
 * The tokenizer is not kept. Fewer than two tokens are refused, and lines that are not what the format says, by
 * their number. */
tg_status tg_corpus_open(tg_corpus **out, const char *path, const tg_tokenizer *tokenizer, tg_data_format format,
                         double validation);
/* The whole file's bytes, to build a tokenizer from: mapped, released by tg_text_close. */
tg_status tg_text_open(const char **text, size_t *bytes, const char *path);
void tg_text_close(const char *text, size_t bytes);
void tg_corpus_destroy(tg_corpus *corpus);

typedef enum tg_split { TG_SPLIT_TRAIN, TG_SPLIT_VALIDATION } tg_split;

size_t tg_corpus_tokens(const tg_corpus *corpus, tg_split split);
size_t tg_corpus_bytes(const tg_corpus *corpus);        /* memory it holds, mapped pages included */
size_t tg_corpus_text_bytes(const tg_corpus *corpus);   /* of the text that is predicted, as it is without JSON */
/* Of all tokens, and which count: does a resumed run see the same text? The first call reads all of it. */
uint64_t tg_corpus_hash(const tg_corpus *corpus);

/* tokens (B,T) and targets (B,T), the tokens one further, from B random places of the training split; -1 where the
 * token does not count. A place without any that counts is drawn again, some times. Rows of an update are numbered through
 * its micro-steps: 12 at once are the same as 3 times 4. TG_EINVAL when the split has fewer than T+1 tokens. */
tg_status tg_corpus_batch(const tg_corpus *corpus, uint32_t *tokens, int32_t *targets, size_t batch, size_t time,
                          uint64_t seed, uint64_t update, uint32_t micro_step);

/* From now on batches and windows of the corpus are masked: of the tokens that count and are not special, `rate` are to
 * be guessed, at least one in a row; targets have them there and are -1 elsewhere. In `tokens` the mask stands for
 * them, or for the share `random` any token, or for the share `keep` they themselves. TG_EINVAL without a mask token.
 */
tg_status tg_corpus_mask(tg_corpus *corpus, const tg_tokenizer *tokenizer, double rate, double random, double keep);

/* lengths (B) <- how many tokens of each row tg_corpus_window gives are those of the text. */
void tg_corpus_lengths(const tg_corpus *corpus, tg_split split, uint32_t *lengths, size_t batch, size_t time,
                       size_t index);

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
