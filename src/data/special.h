/* data/special.h -- tokens that are found in the text itself before it is split into words: end of text, roles of a
 * chat, runs of blanks. */
#ifndef TG_DATA_SPECIAL_H
#define TG_DATA_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/status.h"

struct tg_tokenizer;

typedef struct tg_special {
    char *text;
    size_t bytes; /* at least 1 */
    uint32_t id;
    bool strips_left, strips_right; /* takes the blanks beside it along: they are in no token then */
    bool special;                   /* has a meaning of its own, rather than being a word that is kept whole */
    bool late;                      /* looked for behind all those that are not ("normalized") */
} tg_special;

/* Starts as {0}. */
typedef struct tg_specials {
    tg_special *at;
    size_t count;
    size_t first[2][257]; /* those of each round that begin with byte b: first[late][b] ... first[late][b + 1] - 1 */
} tg_specials;

/* Keeps a copy of the token. */
tg_status tg_specials_add(tg_specials *specials, const tg_special *special);
/* Puts them in order, once all are there. */
tg_status tg_specials_arrange(tg_specials *specials);
void tg_specials_free(tg_specials *specials);
size_t tg_specials_bytes(const tg_specials *specials);

/* The first token of a round that begins in text[from ... to), the longest there, and its place; NULL for none. It may
 * end behind `to`, but not behind `bytes`. */
const tg_special *tg_specials_find(const tg_specials *specials, bool late, const char *text, size_t bytes, size_t from,
                                   size_t to, size_t *place);
/* Whether an id is that of a token with a meaning of its own. */
bool tg_specials_has(const tg_specials *specials, uint32_t id);
/* The tokens that models of the field have for it, by their text: what ends a document, what masks. */
void tg_specials_find_roles(const tg_specials *specials, struct tg_tokenizer *tokenizer);
/* text[*begin ... *end) is the token; the blanks it takes along join it, none in front of `from`. */
void tg_special_strip(const tg_special *special, const char *text, size_t bytes, size_t from, size_t *begin,
                      size_t *end);

#endif
