/* data/normalize.h -- text as BERT's vocabularies have it: BertNormalizer and BertPreTokenizer of Hugging Face. */
#ifndef TG_DATA_NORMALIZE_H
#define TG_DATA_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "tiger/status.h"

typedef struct tg_normalizer {
    bool cleans;         /* control characters go, every blank becomes a plain one */
    bool parts_chinese;  /* a blank on both sides of every CJK ideograph */
    bool strips_accents; /* decomposes characters and drops the marks */
    bool lowers;
} tg_normalizer;

/* Working memory of one encoder; starts as {0}. */
typedef struct tg_normal_work {
    tg_text text; /* the result */
    tg_text part;
    int32_t *points; /* (room) */
    size_t room;
} tg_normal_work;

/* work->text <- the normal form of a legal UTF-8 text. */
tg_status tg_normalize(const tg_normalizer *normalizer, tg_normal_work *work, const char *text, size_t bytes);
void tg_normal_work_free(tg_normal_work *work);

/* The next word of a legal UTF-8 text from *at on, which moves behind it: a punctuation character, or what stands
 * between those and blanks. *bytes <- its length; false when there is none. */
bool tg_next_word(const char **word, size_t *bytes, const char *text, size_t end, size_t *at);

#endif
