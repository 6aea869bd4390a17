/* values.c -- what gguf_files.py runs: the values of every tensor of a file as this reader has them.
 *
 *   values PATH      writes, for every tensor, a line "NAME TYPE VALUES" and then its values as fp32 bytes */
#include <stdio.h>

#include "store/tensors.h"

#define PIECE ((size_t)4096)

int main(int count, char **argument)
{
    static float x[PIECE];
    tg_tensors *tensors = NULL;
    if (count != 2) {
        fprintf(stderr, "usage: values PATH\n");
        return 2;
    }
    tg_status status = tg_tensors_open(&tensors, argument[1]);
    for (size_t i = 0; status == TG_OK && i < tg_tensors_count(tensors); i++) {
        const tg_stored *s = tg_tensors_stored(tensors, i);
        if ((status = tg_stored_check(s)) != TG_OK)
            break;
        printf("%s %s %llu\n", s->info.name, s->info.type, (unsigned long long)s->info.values);
        for (uint64_t first = 0; first < s->info.values; first += PIECE) {
            const size_t n = s->info.values - first < PIECE ? (size_t)(s->info.values - first) : PIECE;
            tg_stored_read(x, s, first, n);
            fwrite(x, sizeof *x, n, stdout);
        }
    }
    if (status != TG_OK)
        fprintf(stderr, "values: %s\n", tg_message());
    tg_tensors_destroy(tensors);
    return status == TG_OK && fflush(stdout) == 0 ? 0 : 1;
}
