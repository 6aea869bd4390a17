/* train/pieces.h -- bytes that come one by one, handed on as whole UTF-8 characters. */
#ifndef TG_TRAIN_PIECES_H
#define TG_TRAIN_PIECES_H

#include <stddef.h>

typedef void tg_text_function(void *ctx, const char *bytes, size_t count);

/* Start from zeros, with text and ctx set. */
typedef struct tg_pieces {
    tg_text_function *text;
    void *ctx;
    unsigned char held[4]; /* the beginning of a character */
    size_t have, need;
} tg_pieces;

/* Bytes that are no UTF-8 are handed on as U+FFFD, one for the longest beginning of a character. */
void tg_pieces_add(tg_pieces *pieces, const char *bytes, size_t count);

#endif
