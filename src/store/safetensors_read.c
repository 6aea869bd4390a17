/* store/safetensors_read.c -- the reader: everything is checked before a pointer is handed out.
 *
 * Names are kept decoded in one block no larger than the header. Duplicates, overlaps and holes are found by sorting,
 * so a header of a million entries costs n log n however it was made. */
#include "tiger/safetensors.h"

#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/sort.h"
#include "store/safetensors_json.h"

typedef struct pair {
    const char *key, *value;
} pair;

/* A growing array. */
typedef struct list {
    void *at;
    size_t count, room;
} list;

struct tg_safetensors {
    tg_allocator allocator;
    bool own_heap;          /* no allocator was given */
    tg_map map;             /* {0}: the memory is the caller's */
    char *text;             /* names, keys and values, each ended with 0 */
    size_t text_bytes, text_used;
    list tensors, pairs;    /* tg_named_tensor, pair */
    size_t *by_name, *by_key;
    const unsigned char *data;
    size_t data_start, data_bytes; /* offset in the file, and length */
    bool has_metadata;
};

static const tg_allocator *heap(const tg_safetensors *f) { return f->own_heap ? NULL : &f->allocator; }

static tg_named_tensor *tensor_at(const tg_safetensors *f, size_t i) { return (tg_named_tensor *)f->tensors.at + i; }

static pair *pair_at(const tg_safetensors *f, size_t i) { return (pair *)f->pairs.at + i; }

void tg_safetensors_destroy(tg_safetensors *f)
{
    if (f == NULL)
        return;
    const tg_allocator allocator = f->allocator, *a = f->own_heap ? NULL : &allocator;
    tg_free(a, f->by_name, f->tensors.count, sizeof *f->by_name);
    tg_free(a, f->by_key, f->pairs.count, sizeof *f->by_key);
    tg_free(a, f->tensors.at, f->tensors.room, sizeof(tg_named_tensor));
    tg_free(a, f->pairs.at, f->pairs.room, sizeof(pair));
    tg_free(a, f->text, f->text_bytes, 1);
    tg_map_close(&f->map);
    tg_free(a, f, 1, sizeof *f);
}

static tg_status grow(const tg_safetensors *f, list *l, size_t size)
{
    if (l->count < l->room)
        return TG_OK;
    const size_t room = l->room == 0 ? 64 : 2 * l->room;
    void *at = tg_alloc(heap(f), room, size);
    if (at == NULL)
        return tg_no_memory("the header of a safetensors file", room * size);
    if (l->count > 0)
        memcpy(at, l->at, l->count * size);
    tg_free(heap(f), l->at, l->room, size);
    l->at = at;
    l->room = room;
    return TG_OK;
}

static tg_status read_text(tg_safetensors *f, tg_json_cursor *c, const char **text)
{
    char *out = f->text + f->text_used; /* there is room: see tg_json_text */
    size_t bytes = 0;
    const tg_status status = tg_json_text(c, out, &bytes);
    if (status == TG_OK) {
        f->text_used += bytes + 1;
        *text = out;
    }
    return status;
}

static tg_status read_metadata(tg_safetensors *f, tg_json_cursor *c)
{
    if (f->has_metadata)
        return tg_json_fail(c, "__metadata__ twice");
    f->has_metadata = true;
    tg_status status = tg_json_expect(c, '{');
    if (status != TG_OK || tg_json_accept(c, '}'))
        return status;
    do {
        pair p = {NULL, NULL};
        if ((status = read_text(f, c, &p.key)) != TG_OK || (status = tg_json_expect(c, ':')) != TG_OK ||
            (status = read_text(f, c, &p.value)) != TG_OK || (status = grow(f, &f->pairs, sizeof p)) != TG_OK)
            return status;
        *pair_at(f, f->pairs.count++) = p;
    } while (tg_json_accept(c, ','));
    return tg_json_expect(c, '}');
}

/* "[n, n, ...]" of at most `room` numbers. */
static tg_status read_integers(tg_json_cursor *c, uint64_t *values, unsigned room, unsigned *count)
{
    tg_status status = tg_json_expect(c, '[');
    *count = 0;
    if (status != TG_OK || tg_json_accept(c, ']'))
        return status;
    do {
        uint64_t value = 0;
        if ((status = tg_json_integer(c, &value)) != TG_OK)
            return status;
        if (*count == room)
            return tg_json_fail(c, "more than %u numbers in an array", room);
        values[(*count)++] = value;
    } while (tg_json_accept(c, ','));
    return tg_json_expect(c, ']');
}

/* The value of "dtype"; the text's room in f->text is taken back. */
static tg_status read_format(tg_safetensors *f, tg_json_cursor *c, tg_format *format)
{
    char word[TG_PRINTABLE_BYTES];
    const char *name = NULL;
    const size_t used = f->text_used;
    const tg_status status = read_text(f, c, &name);
    if (status != TG_OK)
        return status;
    f->text_used = used;
    *format = tg_format_parse(name);
    if (*format == TG_FORMAT_COUNT || strcmp(tg_format_name(*format), name) != 0) /* the tag itself, no alias */
        return tg_json_fail(c, "unknown dtype '%s'", tg_printable(word, name));
    return TG_OK;
}

/* Shape, format and offsets against each other and the file; sets data and bytes. */
static tg_status place(const tg_safetensors *f, const tg_json_cursor *c, tg_named_tensor *t, const uint64_t *offsets)
{
    uint64_t bytes = tg_format_bytes(t->format);
    bool empty = false;
    for (unsigned i = 0; i < t->rank; i++) {
        const uint64_t n = t->shape[i] == 0 ? 1 : t->shape[i]; /* sizes beside a 0 must make sense too */
        empty = empty || t->shape[i] == 0;
        if (bytes > UINT64_MAX / n)
            return tg_json_fail(c, "the shape's product overflows");
        bytes *= n;
    }
    bytes = empty ? 0 : bytes;
    if (offsets[0] > offsets[1])
        return tg_json_fail(c, "data_offsets run backwards");
    if (offsets[1] > f->data_bytes)
        return tg_json_fail(c, "data ends %llu bytes behind the end of the file: is it cut short?",
                            (unsigned long long)(offsets[1] - f->data_bytes));
    if (offsets[1] - offsets[0] != bytes)
        return tg_json_fail(c, "data_offsets span %llu bytes, dtype and shape need %llu",
                            (unsigned long long)(offsets[1] - offsets[0]), (unsigned long long)bytes);
    t->data = f->data + offsets[0];
    t->bytes = (size_t)bytes;
    return TG_OK;
}

static tg_status read_tensor(tg_safetensors *f, tg_json_cursor *c, const char *name)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
    tg_named_tensor t = {.name = name};
    uint64_t offsets[2] = {0, 0};
    unsigned seen = 0;
    c->tensor = name;
    tg_status status = tg_json_expect(c, '{');
    do {
        const char *key = NULL;
        const size_t used = f->text_used;
        unsigned number = 0;
        if (status != TG_OK || (status = read_text(f, c, &key)) != TG_OK)
            return status;
        f->text_used = used;
        const unsigned which = strcmp(key, "dtype") == 0 ? DTYPE
                               : strcmp(key, "shape") == 0 ? SHAPE
                               : strcmp(key, "data_offsets") == 0 ? OFFSETS : 0;
        if (which == 0 || (seen & which) != 0)
            return tg_json_fail(c, which == 0 ? "a key that is not dtype, shape or data_offsets" : "a key twice");
        seen |= which;
        if ((status = tg_json_expect(c, ':')) != TG_OK)
            return status;
        if (which == DTYPE)
            status = read_format(f, c, &t.format);
        else if (which == SHAPE)
            status = read_integers(c, t.shape, TG_TENSOR_MAX_RANK, &t.rank);
        else if ((status = read_integers(c, offsets, 2, &number)) == TG_OK && number != 2)
            status = tg_json_fail(c, "data_offsets must be two numbers");
    } while (status == TG_OK && tg_json_accept(c, ','));
    if (status != TG_OK || (status = tg_json_expect(c, '}')) != TG_OK)
        return status;
    if (seen != ALL)
        return tg_json_fail(c, "dtype, shape or data_offsets is missing");
    if ((status = place(f, c, &t, offsets)) != TG_OK || (status = grow(f, &f->tensors, sizeof t)) != TG_OK)
        return status;
    *tensor_at(f, f->tensors.count++) = t;
    c->tensor = NULL;
    return TG_OK;
}

static tg_status read_header(tg_safetensors *f, tg_json_cursor *c)
{
    if (c->at == c->end || *c->at != '{')
        return tg_json_fail(c, "the header does not begin with '{': no safetensors file?");
    tg_status status = tg_json_expect(c, '{');
    if (!tg_json_accept(c, '}')) {
        do {
            const char *name = NULL;
            if ((status = read_text(f, c, &name)) != TG_OK || (status = tg_json_expect(c, ':')) != TG_OK)
                return status;
            status = strcmp(name, "__metadata__") == 0 ? read_metadata(f, c) : read_tensor(f, c, name);
            if (status != TG_OK)
                return status;
        } while (tg_json_accept(c, ','));
        if ((status = tg_json_expect(c, '}')) != TG_OK)
            return status;
    }
    (void)tg_json_accept(c, ' '); /* skips the padding */
    return c->at == c->end ? TG_OK : tg_json_fail(c, "something follows the header's closing '}'");
}

/* ---- order: names, keys, data ---- */

static int compare_names(const void *ctx, size_t a, size_t b)
{
    return strcmp(tensor_at(ctx, a)->name, tensor_at(ctx, b)->name);
}

static int compare_keys(const void *ctx, size_t a, size_t b)
{
    return strcmp(pair_at(ctx, a)->key, pair_at(ctx, b)->key);
}

/* By begin, then by end: an empty tensor stands before what begins at the same place. */
static int compare_data(const void *ctx, size_t a, size_t b)
{
    const tg_named_tensor *x = tensor_at(ctx, a), *y = tensor_at(ctx, b);
    const unsigned char *i = x->data, *j = y->data;
    if (i != j)
        return i < j ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static tg_status sorted(const tg_safetensors *f, size_t **order, size_t count, tg_compare *compare)
{
    *order = tg_alloc(heap(f), count, sizeof **order);
    if (*order == NULL)
        return tg_no_memory("the names of a safetensors file", count * sizeof **order);
    for (size_t i = 0; i < count; i++)
        (*order)[i] = i;
    tg_sort(*order, count, compare, f);
    return TG_OK;
}

static tg_status check_names(tg_safetensors *f, const char *path)
{
    char word[TG_PRINTABLE_BYTES];
    tg_status status = sorted(f, &f->by_name, f->tensors.count, compare_names);
    if (status != TG_OK || (status = sorted(f, &f->by_key, f->pairs.count, compare_keys)) != TG_OK)
        return status;
    for (size_t i = 1; i < f->tensors.count; i++)
        if (compare_names(f, f->by_name[i - 1], f->by_name[i]) == 0)
            return tg_fail(TG_EFORMAT, "'%s': tensor '%s' occurs twice", path,
                           tg_printable(word, tensor_at(f, f->by_name[i])->name));
    for (size_t i = 1; i < f->pairs.count; i++)
        if (compare_keys(f, f->by_key[i - 1], f->by_key[i]) == 0)
            return tg_fail(TG_EFORMAT, "'%s': metadata key '%s' occurs twice", path,
                           tg_printable(word, pair_at(f, f->by_key[i])->key));
    return TG_OK;
}

/* The tensors must cover the data without overlap, hole or rest. */
static tg_status check_cover(tg_safetensors *f, const char *path)
{
    char word[TG_PRINTABLE_BYTES];
    size_t *order, covered = 0;
    tg_status status = sorted(f, &order, f->tensors.count, compare_data);
    for (size_t i = 0; status == TG_OK && i < f->tensors.count; i++) {
        const tg_named_tensor *t = tensor_at(f, order[i]);
        const size_t begin = (size_t)((const unsigned char *)t->data - f->data);
        if (begin != covered)
            status = tg_fail(TG_EFORMAT, "'%s': tensor '%s': data begins at byte %zu of the file, %s", path,
                             tg_printable(word, t->name), f->data_start + begin,
                             begin < covered ? "inside another tensor's" : "behind a hole");
        covered = begin + t->bytes;
    }
    if (status == TG_OK && covered != f->data_bytes)
        status = tg_fail(TG_EFORMAT, "'%s': the last %zu bytes belong to no tensor", path, f->data_bytes - covered);
    tg_free(heap(f), order, f->tensors.count, sizeof *order);
    return status;
}

/* ---- opening ---- */

static tg_status parse(tg_safetensors *f, const char *path, const unsigned char *memory, size_t bytes)
{
    uint64_t header = 0;
    if (bytes < TG_HEADER_PREFIX)
        return tg_fail(TG_EFORMAT, "'%s': %zu bytes are no safetensors file", path, bytes);
    for (int i = TG_HEADER_PREFIX; i-- > 0;)
        header = header << 8 | memory[i];
    if (header > TG_HEADER_MOST)
        return tg_fail(TG_EFORMAT, "'%s': a header of %llu bytes, the limit is %u: no safetensors file?", path,
                       (unsigned long long)header, TG_HEADER_MOST);
    if (header > bytes - TG_HEADER_PREFIX)
        return tg_fail(TG_EFORMAT, "'%s': a header of %llu bytes in a file of %zu: is it cut short?", path,
                       (unsigned long long)header, bytes);
    f->data_start = TG_HEADER_PREFIX + (size_t)header;
    f->data = memory + f->data_start;
    f->data_bytes = bytes - f->data_start;
    f->text_bytes = (size_t)header + 1;
    f->text = tg_alloc(heap(f), f->text_bytes, 1);
    if (f->text == NULL)
        return tg_no_memory("the header of a safetensors file", f->text_bytes);
    const unsigned char *begin = memory + TG_HEADER_PREFIX;
    tg_json_cursor cursor = {.file = path, .begin = begin, .at = begin, .end = f->data};
    tg_status status = read_header(f, &cursor);
    if (status == TG_OK)
        status = check_cover(f, path);
    return status == TG_OK ? check_names(f, path) : status;
}

static tg_safetensors *create(const tg_allocator *allocator)
{
    tg_safetensors *f = tg_alloc(allocator, 1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->own_heap = allocator == NULL;
    if (allocator != NULL)
        f->allocator = *allocator;
    return f;
}

tg_status tg_safetensors_open_memory(tg_safetensors **out, const void *memory, size_t bytes,
                                     const tg_allocator *allocator)
{
    tg_safetensors *f = create(allocator);
    if (f == NULL)
        return tg_no_memory("a safetensors file", sizeof *f);
    const tg_status status = parse(f, "memory", memory, bytes);
    if (status != TG_OK)
        tg_safetensors_destroy(f);
    else
        *out = f;
    return status;
}

tg_status tg_safetensors_open(tg_safetensors **out, const char *path, const tg_allocator *allocator)
{
    tg_safetensors *f = create(allocator);
    if (f == NULL)
        return tg_no_memory("a safetensors file", sizeof *f);
    tg_status status = tg_map_open(&f->map, path);
    if (status == TG_OK)
        status = parse(f, path, f->map.at, f->map.bytes);
    if (status != TG_OK)
        tg_safetensors_destroy(f);
    else
        *out = f;
    return status;
}

/* ---- looking up ---- */

size_t tg_safetensors_count(const tg_safetensors *f) { return f->tensors.count; }

const tg_named_tensor *tg_safetensors_at(const tg_safetensors *f, size_t index)
{
    return index < f->tensors.count ? tensor_at(f, index) : NULL;
}

const tg_named_tensor *tg_safetensors_find(const tg_safetensors *f, const char *name)
{
    for (size_t low = 0, high = f->tensors.count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const tg_named_tensor *t = tensor_at(f, f->by_name[middle]);
        const int side = strcmp(name, t->name);
        if (side == 0)
            return t;
        if (side < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *tg_safetensors_metadata(const tg_safetensors *f, const char *key)
{
    for (size_t low = 0, high = f->pairs.count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const pair *p = pair_at(f, f->by_key[middle]);
        const int side = strcmp(key, p->key);
        if (side == 0)
            return p->value;
        if (side < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t tg_safetensors_metadata_count(const tg_safetensors *f) { return f->pairs.count; }

const char *tg_safetensors_metadata_at(const tg_safetensors *f, size_t index, const char **value)
{
    if (index >= f->pairs.count)
        return NULL;
    *value = pair_at(f, index)->value;
    return pair_at(f, index)->key;
}
