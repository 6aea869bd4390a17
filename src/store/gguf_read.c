/* store/gguf_read.c -- the reader: one walk over the header, then names and places against each other by sorting. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/sort.h"
#include "base/utf8.h"
#include "store/gguf.h"
#include "store/safetensors_json.h"

#define VERSION_LEAST 2
#define VERSION_MOST 3
#define ALIGNMENT 32      /* unless general.alignment says otherwise */
#define ALIGNMENT_UNIT 8
#define NAME_MOST 65535
#define DEPTH_MOST 4      /* arrays in arrays */
#define PAIR_LEAST 13     /* bytes of a pair: key's length, type, one byte */
#define TENSOR_LEAST 24   /* of a tensor: name's length, rank, type, offset */

typedef struct pair {
    const char *key;
    tg_gguf_value value;
} pair;

struct tg_gguf {
    tg_map map; /* {0}: the memory is the caller's */
    unsigned version;
    pair *pair;
    tg_gguf_tensor *tensor;
    uint64_t *offset; /* of each tensor, from the data's begin */
    size_t pairs, tensors;
    size_t *by_key; /* pairs in the order of their keys */
};

typedef struct cursor {
    const char *file;  /* for messages, as the next two */
    const char *thing; /* "tensor", "metadata key" */
    const char *name;  /* of the thing being read; NULL: none */
    const unsigned char *begin, *at, *end;
} cursor;

static tg_status bad(const cursor *c, const char *format, ...) TG_PRINTF(2, 3);

void tg_gguf_destroy(tg_gguf *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->pairs; i++)
        tg_heap_free((void *)f->pair[i].key);
    for (size_t i = 0; i < f->tensors; i++)
        tg_heap_free((void *)f->tensor[i].name);
    tg_heap_free(f->pair);
    tg_heap_free(f->tensor);
    tg_heap_free(f->offset);
    tg_heap_free(f->by_key);
    tg_map_close(&f->map);
    tg_heap_free(f);
}

/* ---- pieces of the header ---- */

static tg_status bad(const cursor *c, const char *format, ...)
{
    char text[256], word[TG_PRINTABLE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t offset = (size_t)(c->at - c->begin);
    if (c->name == NULL)
        return tg_fail(TG_EFORMAT, "'%s': %s, at byte %zu of the file", c->file, text, offset);
    return tg_fail(TG_EFORMAT, "'%s': %s '%s': %s, at byte %zu of the file", c->file, c->thing,
                   tg_printable(word, c->name), text, offset);
}

static size_t left(const cursor *c) { return (size_t)(c->end - c->at); }

/* *value <- the next `bytes` (at most 8) bytes. */
static tg_status take(cursor *c, uint64_t *value, size_t bytes)
{
    if (left(c) < bytes)
        return bad(c, "the file ends inside its header: is it cut short?");
    *value = 0;
    for (size_t i = bytes; i-- > 0;)
        *value = *value << 8 | c->at[i];
    c->at += bytes;
    return TG_OK;
}

static tg_status take_length(cursor *c, uint64_t *length, const char *what)
{
    tg_status status = take(c, length, 8);
    if (status == TG_OK && *length > left(c)) {
        c->at -= 8;
        status = bad(c, "%s of %llu bytes passes the end of the file", what, (unsigned long long)*length);
    }
    return status;
}

/* *name <- a copy of a name on the heap. */
static tg_status take_name(cursor *c, char **name)
{
    uint64_t length = 0;
    tg_status status = take_length(c, &length, "a name");
    if (status != TG_OK)
        return status;
    if (length == 0 || length > NAME_MOST)
        return bad(c, "a name of %llu bytes", (unsigned long long)length);
    for (size_t i = 0, n; i < length; i += n) {
        uint32_t code_point = 0;
        n = tg_utf8_decode(&code_point, (const char *)c->at + i, (size_t)length - i);
        if (n == 0 || code_point < 0x20 || code_point == 0x7f) {
            c->at += i;
            return bad(c, "a name with a byte that is no UTF-8, or a control character");
        }
    }
    char *copy = tg_heap_alloc((size_t)length + 1, 1);
    if (copy == NULL)
        return tg_no_memory("the header of a GGUF file", (size_t)length + 1);
    memcpy(copy, c->at, (size_t)length);
    c->at += length;
    *name = copy;
    return TG_OK;
}

/* ---- metadata ---- */

static tg_status check_bools(cursor *c, uint64_t count)
{
    for (; count > 0; count--, c->at++)
        if (*c->at > 1)
            return bad(c, "a truth value of %d", *c->at);
    return TG_OK;
}

static tg_status skip_elements(cursor *c, uint32_t type, uint64_t count, unsigned depth);

/* The rest of an array whose element type and count were read: *bytes of it are behind the cursor then. */
static tg_status skip_array(cursor *c, uint64_t *type, uint64_t *count, unsigned depth)
{
    tg_status status = take(c, type, 4);
    if (status != TG_OK || (status = take(c, count, 8)) != TG_OK)
        return status;
    if (depth > DEPTH_MOST)
        return bad(c, "arrays in arrays deeper than %d", DEPTH_MOST);
    if (*type >= TG_GGUF_TYPES)
        return bad(c, "elements of type %llu, which there is not", (unsigned long long)*type);
    return skip_elements(c, (uint32_t)*type, *count, depth);
}

static tg_status skip_elements(cursor *c, uint32_t type, uint64_t count, unsigned depth)
{
    const size_t bytes = tg_gguf_type_bytes(type), least = bytes != 0 ? bytes : type == TG_GGUF_STRING ? 8 : 12;
    if (count > left(c) / least)
        return bad(c, "%llu values pass the end of the file", (unsigned long long)count);
    if (type == TG_GGUF_BOOL)
        return check_bools(c, count);
    if (bytes != 0) {
        c->at += count * bytes;
        return TG_OK;
    }
    tg_status status = TG_OK;
    for (; count > 0 && status == TG_OK; count--) {
        uint64_t length = 0, inner = 0;
        if (type == TG_GGUF_ARRAY)
            status = skip_array(c, &inner, &length, depth + 1);
        else if ((status = take_length(c, &length, "a text")) == TG_OK)
            c->at += length;
    }
    return status;
}

static tg_status read_value(cursor *c, tg_gguf_value *value)
{
    uint64_t type = 0, element = 0, count = 1;
    tg_status status = take(c, &type, 4);
    if (status != TG_OK)
        return status;
    if (type >= TG_GGUF_TYPES) {
        c->at -= 4;
        return bad(c, "a value of type %llu, which there is not", (unsigned long long)type);
    }
    const unsigned char *begin = c->at;
    if (type == TG_GGUF_ARRAY) {
        begin += 12;
        status = skip_array(c, &element, &count, 1);
    } else if (type == TG_GGUF_STRING) {
        begin += 8;
        if ((status = take_length(c, &count, "a text")) == TG_OK)
            c->at += count;
    } else
        status = skip_elements(c, (uint32_t)type, 1, 1);
    if (status == TG_OK)
        *value = (tg_gguf_value){(tg_gguf_type)type, (tg_gguf_type)element, count, begin, (size_t)(c->at - begin)};
    return status;
}

static tg_status read_pairs(tg_gguf *f, cursor *c, size_t count)
{
    tg_status status = TG_OK;
    c->thing = "metadata key";
    for (size_t i = 0; i < count && status == TG_OK; i++) {
        char *key = NULL;
        c->name = NULL;
        if ((status = take_name(c, &key)) != TG_OK)
            break;
        f->pair[f->pairs++].key = c->name = key;
        status = read_value(c, &f->pair[i].value);
    }
    c->name = NULL;
    return status;
}

/* ---- tensors ---- */

/* Shape, type and size in bytes. */
static tg_status measure(const cursor *c, tg_gguf_tensor *t)
{
    const uint64_t row = t->rank == 0 ? 1 : t->shape[t->rank - 1], block = t->encoding->block_values;
    uint64_t values = 1;
    bool empty = false;
    for (unsigned i = 0; i < t->rank; i++) {
        const uint64_t n = t->shape[i] == 0 ? 1 : t->shape[i];
        empty = empty || t->shape[i] == 0;
        if (values > INT64_MAX / n)
            return bad(c, "the shape's product overflows");
        values *= n;
    }
    if (row % block != 0)
        return bad(c, "rows of %llu values are no whole blocks of %s, which have %llu", (unsigned long long)row,
                   t->encoding->name, (unsigned long long)block);
    if (values / block > PTRDIFF_MAX / t->encoding->block_bytes)
        return bad(c, "the shape's product overflows");
    t->bytes = empty ? 0 : (size_t)(values / block) * t->encoding->block_bytes;
    return TG_OK;
}

static tg_status read_tensor(cursor *c, tg_gguf_tensor *t, uint64_t *offset)
{
    uint64_t rank = 0, type = 0;
    tg_status status = take(c, &rank, 4);
    if (status != TG_OK)
        return status;
    if (rank > TG_GGUF_MAX_RANK)
        return bad(c, "%llu dimensions, at most %d are known", (unsigned long long)rank, TG_GGUF_MAX_RANK);
    t->rank = (unsigned)rank;
    for (unsigned i = 0; i < t->rank && status == TG_OK; i++)
        status = take(c, &t->shape[t->rank - 1 - i], 8);
    if (status != TG_OK || (status = take(c, &type, 4)) != TG_OK || (status = take(c, offset, 8)) != TG_OK)
        return status;
    t->encoding = tg_encoding_of_gguf((uint32_t)type);
    return t->encoding == NULL ? bad(c, "type %llu is not known", (unsigned long long)type) : measure(c, t);
}

static tg_status read_tensors(tg_gguf *f, cursor *c, size_t count)
{
    tg_status status = TG_OK;
    c->thing = "tensor";
    for (size_t i = 0; i < count && status == TG_OK; i++) {
        char *name = NULL;
        c->name = NULL;
        if ((status = take_name(c, &name)) != TG_OK)
            break;
        f->tensor[f->tensors++].name = c->name = name;
        status = read_tensor(c, &f->tensor[i], &f->offset[i]);
    }
    c->name = NULL;
    return status;
}

/* ---- order: keys, names, data ---- */

static int compare_keys(const void *ctx, size_t a, size_t b)
{
    const tg_gguf *f = ctx;
    return strcmp(f->pair[a].key, f->pair[b].key);
}

static int compare_names(const void *ctx, size_t a, size_t b)
{
    const tg_gguf *f = ctx;
    return strcmp(f->tensor[a].name, f->tensor[b].name);
}

/* By begin, then by size: an empty tensor stands before what begins at the same place. */
static int compare_places(const void *ctx, size_t a, size_t b)
{
    const tg_gguf *f = ctx;
    if (f->offset[a] != f->offset[b])
        return f->offset[a] < f->offset[b] ? -1 : 1;
    return (f->tensor[a].bytes > f->tensor[b].bytes) - (f->tensor[a].bytes < f->tensor[b].bytes);
}

static tg_status sorted(size_t **order, size_t count, tg_compare *compare, const tg_gguf *f)
{
    *order = tg_heap_alloc(count + 1, sizeof **order);
    if (*order == NULL)
        return tg_no_memory("the names of a GGUF file", count * sizeof **order);
    for (size_t i = 0; i < count; i++)
        (*order)[i] = i;
    tg_sort(*order, count, compare, f);
    return TG_OK;
}

static tg_status check_names(tg_gguf *f, const char *file)
{
    char word[TG_PRINTABLE_BYTES];
    size_t *order = NULL;
    tg_status status = sorted(&f->by_key, f->pairs, compare_keys, f);
    for (size_t i = 1; status == TG_OK && i < f->pairs; i++)
        if (compare_keys(f, f->by_key[i - 1], f->by_key[i]) == 0)
            status = tg_fail(TG_EFORMAT, "'%s': metadata key '%s' occurs twice", file,
                             tg_printable(word, f->pair[f->by_key[i]].key));
    if (status == TG_OK)
        status = sorted(&order, f->tensors, compare_names, f);
    for (size_t i = 1; status == TG_OK && i < f->tensors; i++)
        if (compare_names(f, order[i - 1], order[i]) == 0)
            status = tg_fail(TG_EFORMAT, "'%s': tensor '%s' occurs twice", file,
                             tg_printable(word, f->tensor[order[i]].name));
    tg_heap_free(order);
    return status;
}

static tg_status place(tg_gguf *f, const cursor *c, size_t index, size_t start, uint64_t expected, uint64_t alignment)
{
    tg_gguf_tensor *t = &f->tensor[index];
    const uint64_t offset = f->offset[index], room = (uint64_t)(c->end - c->begin) - start;
    cursor where = {c->file, "tensor", t->name, c->begin, c->begin + start, c->end};
    if (offset % alignment != 0)
        return bad(&where, "data at offset %llu is no multiple of the alignment %llu", (unsigned long long)offset,
                   (unsigned long long)alignment);
    if (offset > room || t->bytes > room - offset)
        return bad(&where, "data of %zu bytes at offset %llu passes the end of the file: is it cut short?", t->bytes,
                   (unsigned long long)offset);
    where.at += offset;
    if (offset != expected)
        return bad(&where, "its data begins %s", offset < expected ? "inside another tensor's" : "behind a hole");
    t->data = c->begin + start + offset;
    return TG_OK;
}

/* The tensors must follow each other, padded to the alignment, to the end of the file. */
static tg_status check_places(tg_gguf *f, const cursor *c, uint64_t alignment)
{
    const uint64_t size = (uint64_t)(c->end - c->begin), header = (uint64_t)(c->at - c->begin);
    const uint64_t start = (header + alignment - 1) / alignment * alignment;
    uint64_t end = 0; /* of the last tensor, from `start` */
    size_t *order = NULL;
    if (f->tensors == 0)
        return size <= start ? TG_OK : bad(c, "something follows the header of a file without tensors");
    if (start > size)
        return bad(c, "the file ends before its data: is it cut short?");
    tg_status status = sorted(&order, f->tensors, compare_places, f);
    for (size_t i = 0; i < f->tensors && status == TG_OK; i++) {
        const uint64_t expected = (end + alignment - 1) / alignment * alignment;
        status = place(f, c, order[i], (size_t)start, expected, alignment);
        end = f->offset[order[i]] + f->tensor[order[i]].bytes;
    }
    if (status == TG_OK && size - start > (end + alignment - 1) / alignment * alignment)
        status = tg_fail(TG_EFORMAT, "'%s': the last %llu bytes belong to no tensor", c->file,
                         (unsigned long long)(size - start - end));
    tg_heap_free(order);
    return status;
}

/* ---- opening ---- */

static tg_status read_counts(tg_gguf *f, cursor *c, size_t *tensors, size_t *pairs)
{
    uint64_t version = 0, count[2] = {0, 0};
    if (left(c) < 4 || memcmp(c->at, "GGUF", 4) != 0)
        return bad(c, "the file does not begin with 'GGUF'");
    c->at += 4;
    tg_status status = take(c, &version, 4);
    if (status != TG_OK)
        return status;
    if (version < VERSION_LEAST || version > VERSION_MOST)
        return tg_fail(TG_EUNSUPPORTED, "'%s': GGUF version %llu%s; versions %d and %d are read", c->file,
                       (unsigned long long)version, (version & 0xffff) == 0 ? " (of a big-endian machine?)" : "",
                       VERSION_LEAST, VERSION_MOST);
    if ((status = take(c, &count[0], 8)) != TG_OK || (status = take(c, &count[1], 8)) != TG_OK)
        return status;
    if (count[0] > left(c) / TENSOR_LEAST || count[1] > left(c) / PAIR_LEAST)
        return bad(c, "%llu tensors and %llu metadata pairs do not fit into the file: is it cut short?",
                   (unsigned long long)count[0], (unsigned long long)count[1]);
    f->version = (unsigned)version;
    *tensors = (size_t)count[0];
    *pairs = (size_t)count[1];
    return TG_OK;
}

static tg_status read_alignment(const tg_gguf *f, const char *file, uint64_t *alignment)
{
    const tg_gguf_value *value = tg_gguf_find(f, "general.alignment");
    int64_t number = ALIGNMENT;
    if (value != NULL && (value->type != TG_GGUF_U32 || !tg_gguf_integer(&number, value, 0) || number == 0 ||
                          number % ALIGNMENT_UNIT != 0))
        return tg_fail(TG_EFORMAT, "'%s': general.alignment must be a multiple of %d, as a number of 32 bits", file,
                       ALIGNMENT_UNIT);
    *alignment = (uint64_t)number;
    return TG_OK;
}

static tg_status parse(tg_gguf *f, const char *file, const unsigned char *memory, size_t bytes)
{
    cursor c = {.file = file, .begin = memory, .at = memory, .end = memory + bytes};
    size_t tensors = 0, pairs = 0;
    uint64_t alignment = ALIGNMENT;
    tg_status status = read_counts(f, &c, &tensors, &pairs);
    if (status != TG_OK)
        return status;
    f->pair = tg_heap_alloc(pairs + 1, sizeof *f->pair);
    f->tensor = tg_heap_alloc(tensors + 1, sizeof *f->tensor);
    f->offset = tg_heap_alloc(tensors + 1, sizeof *f->offset);
    if (f->pair == NULL || f->tensor == NULL || f->offset == NULL)
        return tg_no_memory("the header of a GGUF file", pairs * sizeof *f->pair + tensors * sizeof *f->tensor);
    if ((status = read_pairs(f, &c, pairs)) != TG_OK || (status = read_tensors(f, &c, tensors)) != TG_OK ||
        (status = check_names(f, file)) != TG_OK || (status = read_alignment(f, file, &alignment)) != TG_OK)
        return status;
    return check_places(f, &c, alignment);
}

tg_status tg_gguf_open_memory(tg_gguf **out, const void *memory, size_t bytes, const char *name)
{
    tg_gguf *f = tg_heap_alloc(1, sizeof *f);
    if (f == NULL)
        return tg_no_memory("a GGUF file", sizeof *f);
    const tg_status status = parse(f, name, memory, bytes);
    if (status != TG_OK)
        tg_gguf_destroy(f);
    else
        *out = f;
    return status;
}

tg_status tg_gguf_open(tg_gguf **out, const char *path)
{
    tg_map map = {0};
    tg_status status = tg_map_open(&map, path);
    if (status != TG_OK)
        return status;
    status = tg_gguf_open_memory(out, map.at != NULL ? map.at : "", map.bytes, path);
    if (status != TG_OK)
        tg_map_close(&map);
    else
        (*out)->map = map;
    return status;
}

/* ---- looking up ---- */

unsigned tg_gguf_version(const tg_gguf *f) { return f->version; }

size_t tg_gguf_pairs(const tg_gguf *f) { return f->pairs; }

const tg_gguf_value *tg_gguf_pair(const tg_gguf *f, size_t index, const char **key)
{
    *key = f->pair[index].key;
    return &f->pair[index].value;
}

const tg_gguf_value *tg_gguf_find(const tg_gguf *f, const char *key)
{
    for (size_t low = 0, high = f->pairs; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const pair *p = &f->pair[f->by_key[middle]];
        const int side = strcmp(key, p->key);
        if (side == 0)
            return &p->value;
        if (side < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t tg_gguf_tensors(const tg_gguf *f) { return f->tensors; }

const tg_gguf_tensor *tg_gguf_tensor_at(const tg_gguf *f, size_t index) { return &f->tensor[index]; }
