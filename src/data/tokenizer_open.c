/* data/tokenizer_open.c -- a tokenizer from a path: a tokenizer.json, or a directory with one, or with vocab.json and
 * merges.txt, or with vocab.txt. */
#include <stdlib.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/tokenizer.h"

/* ---- one file of a directory ---- */

typedef struct file {
    char *path;
    const char *text;
    size_t bytes;
} file;

static void close_file(file *f)
{
    tg_text_close(f->text, f->bytes);
    tg_heap_free(f->path);
    *f = (file){0};
}

static tg_status open_path(file *f, const char *path)
{
    f->path = tg_heap_text(path);
    if (f->path == NULL)
        return tg_no_memory("a path", strlen(path));
    tg_status status = tg_text_open(&f->text, &f->bytes, path);
    if (status == TG_OK && f->bytes > TG_TOKENIZER_MOST)
        status = tg_fail(TG_EFORMAT, "'%s' is too large for a tokenizer (%zu bytes)", path, f->bytes);
    return status;
}

static tg_status open_in(file *f, const char *directory, const char *name)
{
    char *const path = tg_file_join(directory, name);
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    const tg_status status = open_path(f, path);
    tg_heap_free(path);
    return status;
}

/* ---- tokenizer_config.json ---- */

/* The token of a role ("eos_token") is a text, or an object with one. */
static void read_role(bool *has, uint32_t *number, const tg_tokenizer *tokenizer, const json_t *config,
                      const char *role)
{
    const json_t *const named = json_object_get(config, role);
    const char *const name = json_string_value(json_is_object(named) ? json_object_get(named, "content") : named);
    for (uint32_t id = 0; name != NULL && id < tokenizer->vocab; id++) {
        size_t bytes;
        const char *const token = tg_tokenizer_token(tokenizer, id, &bytes);
        if (bytes == strlen(name) && memcmp(token, name, bytes) == 0) {
            *has = true;
            *number = id;
        }
    }
}

/* Kept as it stands, to be written beside checkpoints; a tokenizer of ours has its own. Its integers may be of any
 * size: model_max_length often is 10^30. */
static tg_status read_config(tg_tokenizer *tokenizer, const char *directory)
{
    file f = {0};
    json_error_t error;
    tg_status status = open_in(&f, directory, TG_TOKENIZER_CONFIG);
    if (status == TG_ENOTFOUND) {
        close_file(&f);
        return TG_OK;
    }
    json_t *config = NULL;
    if (status == TG_OK && (config = json_loadb(f.text, f.bytes, JSON_DECODE_INT_AS_REAL, &error)) == NULL)
        status = tg_fail(TG_EFORMAT, "'%s' line %d column %d: %s", f.path, error.line, error.column, error.text);
    if (status == TG_OK && (tokenizer->config = tg_heap_alloc(f.bytes + 1, 1)) == NULL)
        status = tg_no_memory("a tokenizer's configuration", f.bytes);
    if (status == TG_OK) {
        memcpy(tokenizer->config, f.text, f.bytes);
        read_role(&tokenizer->has_begin, &tokenizer->begin, tokenizer, config, "bos_token");
        read_role(&tokenizer->has_pad, &tokenizer->pad, tokenizer, config, "pad_token");
        read_role(&tokenizer->has_end, &tokenizer->end, tokenizer, config, "eos_token");
        read_role(&tokenizer->has_mask, &tokenizer->mask, tokenizer, config, "mask_token");
    }
    json_decref(config);
    close_file(&f);
    return status;
}

/* ---- files that are kept ---- */

const char *const tg_kept_files[TG_KEPT_FILES] = {"special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                                                  "generation_config.json"};

static tg_status keep_file(char **kept, const char *directory, const char *name)
{
    file f = {0};
    tg_status status = open_in(&f, directory, name);
    if (status == TG_OK && (*kept = tg_heap_alloc(f.bytes + 1, 1)) == NULL)
        status = tg_no_memory("a file beside a tokenizer", f.bytes);
    if (status == TG_OK && f.bytes > 0)
        memcpy(*kept, f.text, f.bytes);
    close_file(&f);
    return status == TG_ENOTFOUND ? TG_OK : status;
}

/* ---- vocab.json and merges.txt ---- */

/* The document as text, and read like one. */
static tg_status parse_document(tg_tokenizer **out, json_t *document, const char *name)
{
    char *const text = json_dumps(document, JSON_INDENT(2));
    if (text == NULL)
        return tg_no_memory("a tokenizer", 0);
    const tg_status status = tg_tokenizer_parse(out, text, strlen(text), name);
    free(text);
    return status;
}

static tg_status read_pair(tg_tokenizer **out, const char *directory)
{
    file vocab = {0}, merges = {0};
    json_error_t error;
    json_t *object, *document = NULL;
    tg_status status = open_in(&vocab, directory, "vocab.json");
    if (status == TG_OK)
        status = open_in(&merges, directory, "merges.txt");
    if (status != TG_OK)
        goto done;
    object = json_loadb(vocab.text, vocab.bytes, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        status = tg_fail(TG_EFORMAT, "'%s' line %d column %d: %s", vocab.path, error.line, error.column, error.text);
    else
        status = tg_merges_document(&document, object, merges.text, merges.bytes, merges.path);
    if (status == TG_OK)
        status = parse_document(out, document, vocab.path);
    json_decref(document);
done:
    close_file(&vocab);
    close_file(&merges);
    return status;
}

/* ---- vocab.txt ---- */

static tg_status read_vocabulary(tg_tokenizer **out, const char *directory)
{
    file vocab = {0}, beside = {0};
    json_t *document = NULL, *config = NULL;
    tg_status status = open_in(&vocab, directory, "vocab.txt");
    if (status == TG_OK)
        status = open_in(&beside, directory, TG_TOKENIZER_CONFIG);
    if (status == TG_OK)
        config = json_loadb(beside.text, beside.bytes, JSON_DECODE_INT_AS_REAL, NULL); /* read_config will complain */
    if (status == TG_ENOTFOUND && vocab.text != NULL)
        status = TG_OK;
    if (status == TG_OK)
        status = tg_vocabulary_document(&document, vocab.text, vocab.bytes, config, vocab.path);
    if (status == TG_OK)
        status = parse_document(out, document, vocab.path);
    json_decref(document);
    json_decref(config);
    close_file(&vocab);
    close_file(&beside);
    return status;
}

/* ---- paths ---- */

static tg_status look(bool *there, const char *directory, const char *name)
{
    struct stat about;
    char *const path = tg_file_join(directory, name);
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    *there = stat(path, &about) == 0;
    tg_heap_free(path);
    return TG_OK;
}


static tg_status read_file(tg_tokenizer **out, const char *path)
{
    file f = {0};
    tg_status status = open_path(&f, path);
    if (status == TG_OK)
        status = tg_tokenizer_parse(out, f.text, f.bytes, path);
    close_file(&f);
    return status;
}

static tg_status read_directory(tg_tokenizer **out, const char *directory)
{
    static const struct {
        const char *name;
        tg_status (*read)(tg_tokenizer **out, const char *directory);
    } others[] = {{"merges.txt", read_pair}, {"vocab.txt", read_vocabulary}};
    bool there = false;
    tg_status status = look(&there, directory, TG_TOKENIZER_FILE);
    for (size_t i = 0; status == TG_OK && !there && i < sizeof others / sizeof *others; i++) {
        bool other = false;
        status = look(&other, directory, others[i].name);
        if (status == TG_OK && other)
            return others[i].read(out, directory);
    }
    if (status != TG_OK)
        return status;
    char *const path = tg_file_join(directory, TG_TOKENIZER_FILE);
    status = path == NULL ? tg_no_memory("a path", strlen(directory)) : read_file(out, path);
    tg_heap_free(path);
    return status;
}

/* A vocabulary as JSON takes many times what it says, in pieces that the C library would keep for itself. */
static void give_back(void)
{
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

tg_status tg_tokenizer_read(tg_tokenizer **out, const char *path)
{
    struct stat about;
    tg_tokenizer *tokenizer = NULL;
    const bool is_file = stat(path, &about) == 0 && S_ISREG(about.st_mode);
    char *const directory = is_file ? tg_file_parent(path) : tg_heap_text(path);
    if (directory == NULL)
        return tg_no_memory("a path", strlen(path));
    tg_status status = is_file ? read_file(&tokenizer, path) : read_directory(&tokenizer, path);
    if (status == TG_OK && tokenizer->type->layout == NULL)
        status = read_config(tokenizer, directory);
    for (size_t i = 0; status == TG_OK && tokenizer->type->layout == NULL && i < TG_KEPT_FILES; i++)
        status = keep_file(&tokenizer->kept[i], directory, tg_kept_files[i]);
    tg_heap_free(directory);
    give_back();
    if (status != TG_OK)
        tg_tokenizer_destroy(tokenizer);
    else
        *out = tokenizer;
    return status;
}
