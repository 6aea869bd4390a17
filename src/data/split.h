/* data/split.h -- text into words, by the rules of a pre_tokenizer: a chain of steps, each of which cuts the pieces of
 * the one before. Patterns are matched by PCRE2. */
#ifndef TG_DATA_SPLIT_H
#define TG_DATA_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "tiger/status.h"

#define TG_MOST_STEPS 16

/* GPT-2's words, which a ByteLevel step with use_regex cuts. */
#define TG_GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Starts as {0}. Every match is a piece, and so is every text between two. */
typedef struct tg_splitter {
    void *code[TG_MOST_STEPS]; /* compiled patterns */
    size_t steps;
    bool
        adds_blank; /* in front of what comes to the last step without one; the pieces of no step, when there is none */
    bool last_cuts; /* the last step has a pattern: a blank is added in front of it */
    size_t bytes;
} tg_splitter;

/* A step that cuts by a regular expression as Hugging Face reads it (Oniguruma), or by a text as it is. TG_EUNSUPPORTED
 * naming what in the expression is not known to mean the same in PCRE2. */
tg_status tg_splitter_add(tg_splitter *splitter, const char *pattern, bool literal);
void tg_splitter_free(tg_splitter *splitter);

/* Work space of one thread; starts as {0}. */
typedef struct tg_split_work {
    void *match[TG_MOST_STEPS], *context, *stack;
    tg_text spaced;
} tg_split_work;

tg_status tg_split_work_open(tg_split_work *work, const tg_splitter *splitter);
void tg_split_work_free(tg_split_work *work);

typedef tg_status tg_word_function(void *ctx, const char *word, size_t bytes);
/* Hands on the words of a legal UTF-8 text, in order; none is empty. */
tg_status tg_splitter_run(const tg_splitter *splitter, tg_split_work *work, const char *text, size_t bytes,
                          tg_word_function *word, void *ctx);

/* ---- patterns (pattern.c) ---- */

/* *out <- the pattern for PCRE2, ended with 0; release with tg_text_free. */
tg_status tg_pattern_translate(tg_text *out, const char *pattern);

#endif
