/* store/tensors.c -- one list of tensors, of one file or of many. */
#include "store/tensors.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/sort.h"
#include "store/safetensors_json.h"
#include "store/tensors_index.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME "model.safetensors.index.json"
#define INDEX_SUFFIX ".index.json"
#define INDEX_MOST ((size_t)256 << 20) /* bytes of an index; of a million tensors it has 100 MiB */
#define SHOWN 120                      /* bytes of a metadata text */
#define SHOWN_ELEMENTS 8

typedef struct file {
    char *path;
    tg_safetensors *safetensors;
} file;

struct tg_tensors {
    char *path; /* the single file's, or the index's */
    file *file;
    size_t files;
    tg_gguf *gguf; /* then files is 1 */
    tg_stored *stored;
    size_t count;
    size_t *by_name;
};

void tg_tensors_destroy(tg_tensors *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->files; i++) {
        tg_heap_free(t->file[i].path);
        tg_safetensors_destroy(t->file[i].safetensors);
    }
    tg_gguf_destroy(t->gguf);
    tg_heap_free(t->path);
    tg_heap_free(t->file);
    tg_heap_free(t->stored);
    tg_heap_free(t->by_name);
    tg_heap_free(t);
}

/* ---- the list ---- */

static int compare_names(const void *ctx, size_t a, size_t b)
{
    const tg_tensors *t = ctx;
    return strcmp(t->stored[a].info.name, t->stored[b].info.name);
}

static tg_status make_room(tg_tensors *t, size_t count)
{
    t->stored = tg_heap_alloc(count + 1, sizeof *t->stored);
    t->by_name = tg_heap_alloc(count + 1, sizeof *t->by_name);
    return t->stored == NULL || t->by_name == NULL ? tg_no_memory("a list of tensors", count * sizeof *t->stored)
                                                   : TG_OK;
}

static void add(tg_tensors *t, const tg_stored *stored)
{
    tg_stored *s = &t->stored[t->count++];
    *s = *stored;
    s->info.type = s->encoding->name;
    s->info.values = 1;
    for (unsigned i = 0; i < s->info.rank; i++) /* an empty tensor's other sizes may overflow: 0 is 0 */
        s->info.values *= s->info.shape[i];
}

static void add_safetensors(tg_tensors *t, const file *f)
{
    for (size_t i = 0; i < tg_safetensors_count(f->safetensors); i++) {
        const tg_named_tensor *n = tg_safetensors_at(f->safetensors, i);
        tg_stored s = {{.name = n->name, .file = f->path, .rank = n->rank, .bytes = n->bytes},
                       tg_encoding_of_format(n->format), n->data};
        memcpy(s.info.shape, n->shape, sizeof s.info.shape);
        add(t, &s);
    }
}

static void add_gguf(tg_tensors *t)
{
    for (size_t i = 0; i < tg_gguf_tensors(t->gguf); i++) {
        const tg_gguf_tensor *g = tg_gguf_tensor_at(t->gguf, i);
        tg_stored s = {
            {.name = g->name, .file = t->file->path, .rank = g->rank, .bytes = g->bytes}, g->encoding, g->data};
        memcpy(s.info.shape, g->shape, sizeof g->shape);
        add(t, &s);
    }
}

/* ---- opening ---- */

static tg_status add_file(tg_tensors *t, char *path) /* takes the path */
{
    file *grown = path == NULL ? NULL : tg_heap_resize(t->file, t->files, t->files + 1, sizeof *grown);
    if (grown == NULL) {
        tg_heap_free(path);
        return tg_no_memory("a list of files", (t->files + 1) * sizeof *grown);
    }
    t->file = grown;
    t->file[t->files++].path = path;
    return TG_OK;
}

static tg_status set_path(tg_tensors *t, const char *path)
{
    t->path = tg_heap_text(path);
    return t->path == NULL ? tg_no_memory("a path", strlen(path)) : TG_OK;
}

static tg_status open_single(tg_tensors *t, const char *path)
{
    tg_status status = set_path(t, path);
    if (status == TG_OK)
        status = add_file(t, tg_heap_text(path));
    if (status == TG_OK)
        status = tg_safetensors_open(&t->file->safetensors, path, NULL);
    if (status == TG_OK)
        status = make_room(t, tg_safetensors_count(t->file->safetensors));
    if (status == TG_OK)
        add_safetensors(t, t->file);
    return status;
}

static tg_status open_gguf(tg_tensors *t, const char *path)
{
    tg_status status = set_path(t, path);
    if (status == TG_OK)
        status = add_file(t, tg_heap_text(path));
    if (status == TG_OK)
        status = tg_gguf_open(&t->gguf, path);
    if (status == TG_OK)
        status = make_room(t, tg_gguf_tensors(t->gguf));
    if (status == TG_OK)
        add_gguf(t);
    return status;
}

/* Every tensor of a shard must be its own by the index. */
static tg_status check_shard(const tg_index *index, const file *f, const char *name)
{
    char word[TG_PRINTABLE_BYTES];
    for (size_t i = 0; i < tg_safetensors_count(f->safetensors); i++) {
        const char *tensor = tg_safetensors_at(f->safetensors, i)->name;
        const char *owner = json_string_value(json_object_get(index->map, tensor));
        if (owner == NULL || strcmp(owner, name) != 0)
            return tg_fail(TG_EFORMAT, "'%s': tensor '%s' is %s by the index beside it", f->path,
                           tg_printable(word, tensor), owner == NULL ? "no weight of the model" : "another file's");
    }
    return TG_OK;
}

static tg_status open_shards(tg_tensors *t, const tg_index *index, const char *directory)
{
    char word[TG_PRINTABLE_BYTES];
    const char *name, *tensor;
    json_t *value;
    tg_status status = TG_OK;
    json_object_foreach(index->files, name, value)
    {
        if ((status = add_file(t, tg_file_join(directory, name))) != TG_OK)
            return status;
        file *f = &t->file[t->files - 1];
        if ((status = tg_safetensors_open(&f->safetensors, f->path, NULL)) != TG_OK ||
            (status = check_shard(index, f, name)) != TG_OK)
            return status;
    }
    json_object_foreach((json_t *)index->map, tensor, value)
    {
        const json_t *number = json_object_get(index->files, json_string_value(value));
        const file *f = &t->file[json_integer_value(number)];
        if (tg_safetensors_find(f->safetensors, tensor) == NULL)
            return tg_fail(TG_EFORMAT, "'%s': tensor '%s' is missing, which the index beside it says to be there",
                           f->path, tg_printable(word, tensor));
    }
    if ((status = make_room(t, json_object_size(index->map))) == TG_OK)
        for (size_t i = 0; i < t->files; i++)
            add_safetensors(t, &t->file[i]);
    return status;
}

static tg_status open_index(tg_tensors *t, const char *path)
{
    tg_map map = {0};
    tg_index index = {0};
    char *directory = tg_file_parent(path);
    tg_status status = directory == NULL ? tg_no_memory("a path", strlen(path)) : set_path(t, path);
    if (status == TG_OK)
        status = tg_map_open(&map, path);
    if (status == TG_OK && map.bytes > INDEX_MOST)
        status = tg_fail(TG_EFORMAT, "'%s' is too large for an index (%zu bytes)", path, map.bytes);
    if (status == TG_OK)
        status = tg_index_parse(&index, map.bytes != 0 ? map.at : "", map.bytes, path);
    if (status == TG_OK)
        status = open_shards(t, &index, directory);
    tg_index_fini(&index);
    tg_map_close(&map);
    tg_heap_free(directory);
    return status;
}

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), s = strlen(suffix);
    return n >= s && strcmp(name + n - s, suffix) == 0;
}

static bool begins_as_gguf(const char *path)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rb");
    const bool is = f != NULL && fread(magic, 1, sizeof magic, f) == sizeof magic && memcmp(magic, "GGUF", 4) == 0;
    if (f != NULL)
        fclose(f);
    return is;
}

static tg_status open_file(tg_tensors *t, const char *path)
{
    return has_suffix(path, ".gguf") || begins_as_gguf(path) ? open_gguf(t, path)
           : has_suffix(path, INDEX_SUFFIX) ? open_index(t, path) : open_single(t, path);
}

static tg_status open_directory(tg_tensors *t, const char *path)
{
    char *single = tg_file_join(path, SINGLE_NAME), *index = tg_file_join(path, INDEX_NAME);
    tg_status status;
    if (single == NULL || index == NULL)
        status = tg_no_memory("a path", strlen(path));
    else if (access(single, F_OK) != 0 && access(index, F_OK) == 0)
        status = open_index(t, index);
    else
        status = open_single(t, single);
    tg_heap_free(single);
    tg_heap_free(index);
    return status;
}

static tg_status open_with(tg_tensors **out, const char *path, tg_status (*open)(tg_tensors *t, const char *path))
{
    tg_tensors *t = tg_heap_alloc(1, sizeof *t);
    if (t == NULL)
        return tg_no_memory("a list of tensors", sizeof *t);
    const tg_status status = open(t, path);
    if (status != TG_OK) {
        tg_tensors_destroy(t);
        return status;
    }
    for (size_t i = 0; i < t->count; i++)
        t->by_name[i] = i;
    tg_sort(t->by_name, t->count, compare_names, t);
    *out = t;
    return TG_OK;
}

tg_status tg_tensors_open(tg_tensors **out, const char *path)
{
    struct stat about;
    const bool is_directory = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    return open_with(out, path, is_directory ? open_directory : open_file);
}

tg_status tg_tensors_open_directory(tg_tensors **out, const char *path) { return open_with(out, path, open_directory); }

/* ---- looking up ---- */

const char *tg_tensors_path(const tg_tensors *t) { return t->path; }

const char *tg_tensors_layout(const tg_tensors *t) { return t->gguf != NULL ? "GGUF" : "safetensors"; }

size_t tg_tensors_files(const tg_tensors *t) { return t->files; }

size_t tg_tensors_count(const tg_tensors *t) { return t->count; }

const tg_stored *tg_tensors_stored(const tg_tensors *t, size_t index)
{
    return index < t->count ? &t->stored[index] : NULL;
}

const tg_tensor_info *tg_tensors_at(const tg_tensors *t, size_t index)
{
    return index < t->count ? &t->stored[index].info : NULL;
}

const tg_gguf *tg_tensors_gguf(const tg_tensors *t) { return t->gguf; }

const tg_stored *tg_tensors_find(const tg_tensors *t, const char *name)
{
    for (size_t low = 0, high = t->count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const tg_stored *s = &t->stored[t->by_name[middle]];
        const int side = strcmp(name, s->info.name);
        if (side == 0)
            return s;
        if (side < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- metadata ---- */

static char *finish(tg_text *text)
{
    tg_text_append(text, "", 1);
    char *at = text->failed ? NULL : text->at;
    if (at == NULL)
        tg_text_free(text);
    return at;
}

static char *gguf_value(const tg_gguf_value *value)
{
    tg_text text = {0};
    tg_gguf_print(&text, value, value->type == TG_GGUF_ARRAY ? SHOWN_ELEMENTS : SHOWN);
    return finish(&text);
}

static char *text_value(const char *value)
{
    tg_text text = {0};
    const tg_gguf_value string = {.type = TG_GGUF_STRING, .data = (const unsigned char *)value, .bytes = strlen(value)};
    tg_gguf_print(&text, &string, SHOWN);
    return finish(&text);
}

const char *tg_tensors_metadata(const tg_tensors *t, size_t index, char **value)
{
    const char *key, *text;
    if (t->gguf != NULL) {
        if (index >= tg_gguf_pairs(t->gguf))
            return NULL;
        *value = gguf_value(tg_gguf_pair(t->gguf, index, &key));
        return key;
    }
    for (size_t i = 0; i < t->files; i++) { /* those of all shards, one after the other */
        const size_t pairs = tg_safetensors_metadata_count(t->file[i].safetensors);
        if (index < pairs) {
            key = tg_safetensors_metadata_at(t->file[i].safetensors, index, &text);
            *value = text_value(text);
            return key;
        }
        index -= pairs;
    }
    return NULL;
}

void tg_tensors_value_free(char *value) { tg_heap_free(value); }
