/* safetensors_copy.c -- what interchange_safetensors.py runs: files through this library's reader and writer.
 *
 *   safetensors_copy copy IN OUT [KEY]...   writes IN's tensors, in their order, and its metadata of these keys to OUT
 *   safetensors_copy check FILE...          a line for every file: "ok", or why it is refused */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiger/safetensors.h"

static int copy(const char *in, const char *out, char **keys, size_t count)
{
    tg_safetensors *file = NULL;
    tg_status status = tg_safetensors_open(&file, in, NULL);
    if (status == TG_OK) {
        const size_t tensors = tg_safetensors_count(file);
        tg_named_tensor *list = calloc(tensors + 1, sizeof *list);
        const char **metadata = calloc(2 * count + 1, sizeof *metadata);
        if (list == NULL || metadata == NULL)
            abort();
        for (size_t i = 0; i < tensors; i++)
            list[i] = *tg_safetensors_at(file, i);
        for (size_t i = 0; i < count; i++) {
            metadata[2 * i] = keys[i];
            metadata[2 * i + 1] = tg_safetensors_metadata(file, keys[i]);
        }
        status = tg_safetensors_write(out, list, tensors, metadata, count);
        free(metadata);
        free(list);
    }
    tg_safetensors_destroy(file);
    if (status != TG_OK)
        fprintf(stderr, "safetensors_copy: %s\n", tg_message());
    return status != TG_OK;
}

static void check(const char *path)
{
    tg_safetensors *file = NULL;
    puts(tg_safetensors_open(&file, path, NULL) == TG_OK ? "ok" : tg_message());
    tg_safetensors_destroy(file);
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "copy") == 0)
        return copy(argv[2], argv[3], argv + 4, (size_t)argc - 4);
    if (argc < 3 || strcmp(argv[1], "check") != 0)
        return 2;
    for (int i = 2; i < argc; i++)
        check(argv[i]);
    return 0;
}
