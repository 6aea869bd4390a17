/* engine_gguf_model_fuzz.c -- whatever metadata a GGUF file has: a configuration and a tokenizer.json that is read
 * back, or a status with one line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/tokenizer.h"
#include "model/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(int truth)
{
    if (!truth)
        abort();
}

static char directory[64];

static void leave(void)
{
    char name[96];
    static const char *const files[] = {"in.gguf", "tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(name, sizeof name, "%s/%s", directory, files[i]);
        unlink(name);
    }
    rmdir(directory);
}

static void put(const char *name, const uint8_t *data, size_t bytes)
{
    FILE *file = fopen(name, "wb");
    demand(file != NULL && fwrite(data, 1, bytes, file) == bytes);
    demand(fclose(file) == 0);
}

/* What was written is a tokenizer, or one whose ids would not be the same here. */
static void read_back(void)
{
    tg_tokenizer *tokenizer = NULL;
    const tg_status status = tg_tokenizer_read(&tokenizer, directory);
    demand(status == TG_OK || status == TG_EUNSUPPORTED || status == TG_EFORMAT || status == TG_ENOTFOUND);
    tg_tokenizer_destroy(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char path[96], note[TG_CONVERSION_NOTE_BYTES];
    tg_tensors *tensors = NULL;
    tg_model_config config;
    if (*directory == '\0') {
        snprintf(directory, sizeof directory, "/tmp/tiger-fuzz-XXXXXX");
        demand(mkdtemp(directory) != NULL && atexit(leave) == 0);
    }
    snprintf(path, sizeof path, "%s/in.gguf", directory);
    put(path, data, bytes);
    if (tg_tensors_open(&tensors, path) != TG_OK)
        return 0;
    if (tg_gguf_config(&config, tensors) != TG_OK)
        demand(*tg_message() != 0 && strchr(tg_message(), '\n') == NULL);
    if (tg_gguf_tokenizer_write(note, tensors, 1 << 20, directory) != TG_OK)
        demand(*tg_message() != 0 && strchr(tg_message(), '\n') == NULL);
    else if (*note == 0)
        read_back();
    tg_tensors_destroy(tensors);
    return 0;
}
