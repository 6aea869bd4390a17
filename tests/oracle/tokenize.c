/* tokenize.c -- ids of a text by tiger's tokenizer, for tests/oracle/bpe.py and wordpiece.py; and how long they took.
 *
 *   tokenize TOKENIZER TEXT IDS     writes IDS as 32-bit numbers; the tokens' bytes must be the text again unless
 *                                   TOKENIZER's special tokens strip blanks or it adds one
 *   tokenize TOKENIZER TEXT IDS framed      the same with what the tokenizer puts around a text
 *   tokenize TOKENIZER TEXT         prints MB/s of TEXT, the best of 5: of one thread's own time */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tiger/engine/data.h"

#define ROUNDS 5

static int failed(const char *what)
{
    fprintf(stderr, "tokenize: %s: %s\n", what, tg_message());
    return 1;
}

/* The bytes of the tokens, in order, are the text. */
static bool gives_back(const tg_tokenizer *tokenizer, const uint32_t *ids, size_t count, const char *text, size_t bytes)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *const token = tg_tokenizer_token(tokenizer, ids[i], &length);
        if (length > bytes - at || memcmp(token, text + at, length) != 0)
            return false;
        at += length;
    }
    return at == bytes;
}

static int write_ids(const char *path, const tg_tokenizer *tokenizer, const uint32_t *ids, size_t count, bool framed)
{
    size_t before, after;
    const uint32_t *const frame = tg_tokenizer_frame(tokenizer, &before, &after);
    FILE *const file = fopen(path, "wb");
    if (!framed)
        before = after = 0;
    if (file == NULL || (before > 0 && fwrite(frame, sizeof *frame, before, file) != before) ||
        fwrite(ids, sizeof *ids, count, file) != count ||
        (after > 0 && fwrite(frame + before, sizeof *frame, after, file) != after) || fclose(file) != 0) {
        fprintf(stderr, "tokenize: cannot write %s\n", path);
        return 1;
    }
    return 0;
}

static int measure(const tg_tokenizer *tokenizer, const char *text, size_t bytes)
{
    double best = 1e300;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t *ids;
        size_t count;
        const clock_t begin = clock();
        if (tg_tokenizer_encode(tokenizer, &ids, &count, text, bytes) != TG_OK)
            return failed("encoding");
        const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        best = seconds < best ? seconds : best;
        tg_tokens_free(ids);
    }
    printf("%.1f MB/s\n", (double)bytes / 1e6 / best);
    return 0;
}

int main(int argc, char **argv)
{
    tg_tokenizer *tokenizer;
    const char *text;
    size_t bytes, count;
    uint32_t *ids;
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: tokenize TOKENIZER TEXT [IDS [framed]]\n");
        return 2;
    }
    if (tg_tokenizer_read(&tokenizer, argv[1]) != TG_OK)
        return failed(argv[1]);
    if (tg_text_open(&text, &bytes, argv[2]) != TG_OK)
        return failed(argv[2]);
    if (argc == 3)
        return measure(tokenizer, text, bytes);
    if (tg_tokenizer_encode(tokenizer, &ids, &count, text, bytes) != TG_OK)
        return failed(argv[2]);
    if (write_ids(argv[3], tokenizer, ids, count, argc == 5) != 0)
        return 1;
    puts(gives_back(tokenizer, ids, count, text, bytes) ? "back" : "not back");
    tg_tokens_free(ids);
    tg_text_close(text, bytes);
    tg_tokenizer_destroy(tokenizer);
    return 0;
}
