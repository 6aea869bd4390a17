/* data/wordpiece.h -- WordPiece (Schuster & Nakajima 2012; as BERT has it: Devlin et al. 2019).
 *
 *   text -> special tokens and what is between them (special.c) -> normal form -> words (normalize.c) -> pieces
 *
 * wordpiece_json.c reads tokenizer.json, wordpiece_files.c vocab.txt, wordpiece.c is the kind of tokenizer. */
#ifndef TG_DATA_WORDPIECE_H
#define TG_DATA_WORDPIECE_H

#include "data/bpe.h"
#include "data/normalize.h"

#define TG_LONGEST_PIECES 10000 /* max_input_chars_per_word may be at most */

typedef struct tg_wordpiece {
    tg_bpe table; /* vocab, bytes, start, whole, specials. A token that begins a word is stored with a blank in front of
                     it, one that goes on without its prefix ("##"): as the text has them */
    tg_normalizer normalizer;
    uint32_t unknown;
    size_t most_characters; /* of a word; a longer one is unknown */
    size_t longest;         /* bytes of a stored token */
} tg_wordpiece;

/* The kind's part of tg_tokenizer_type (wordpiece_json.c). */
tg_status tg_wordpiece_read(tg_tokenizer *tokenizer, const json_t *document, const char *name);

#endif
