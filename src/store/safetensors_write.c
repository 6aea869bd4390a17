/* store/safetensors_write.c -- the writer: header first, then each tensor straight from the caller's memory, or from a
 * function that makes it while it is written.
 *
 * The header is padded with spaces so that the data begins at a multiple of 64 bytes. Tensors stand in the caller's
 * order without gaps, which the format forbids: one whose neighbours are of odd sizes is not aligned further. */
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/sort.h"
#include "base/text.h"
#include "store/safetensors_json.h"
#include "store/safetensors_stream.h"

#define DATA_ALIGN 64
#define STRIP ((size_t)8 << 20) /* bytes of mapped memory in RAM at a time */

/* ---- checks ---- */

static int compare_tensors(const void *ctx, size_t a, size_t b)
{
    const tg_named_tensor *tensors = ctx;
    return strcmp(tensors[a].name, tensors[b].name);
}

static int compare_keys(const void *ctx, size_t a, size_t b)
{
    const char *const *metadata = ctx;
    return strcmp(metadata[2 * a], metadata[2 * b]);
}

/* *twice <- one of two equal things among `count`, `count` when there are none. */
static tg_status find_twice(size_t *twice, size_t count, tg_compare *compare, const void *ctx)
{
    size_t *order = tg_alloc(NULL, count, sizeof *order);
    if (order == NULL)
        return tg_no_memory("writing a safetensors file", count * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    tg_sort(order, count, compare, ctx);
    *twice = count;
    for (size_t i = 1; i < count && *twice == count; i++)
        if (compare(ctx, order[i - 1], order[i]) == 0)
            *twice = order[i];
    tg_free(NULL, order, count, sizeof *order);
    return TG_OK;
}

static tg_status check_tensor(const char *path, const tg_named_tensor *t, bool needs_data)
{
    char word[TG_PRINTABLE_BYTES];
    size_t bytes = tg_format_bytes(t->format);
    bool sound = bytes != 0 && t->rank <= TG_TENSOR_MAX_RANK;
    for (unsigned i = 0; sound && i < t->rank; i++)
        sound = t->shape[i] <= SIZE_MAX && tg_multiply(&bytes, bytes, (size_t)t->shape[i]);
    if (!sound || bytes != t->bytes || (bytes != 0 && t->data == NULL && needs_data))
        return tg_fail(TG_EINVAL, "cannot write '%s': tensor '%s': format, shape, size and data do not agree", path,
                       tg_printable(word, t->name));
    if (strcmp(t->name, "__metadata__") == 0)
        return tg_fail(TG_EINVAL, "cannot write '%s': no tensor can be called __metadata__", path);
    return TG_OK;
}

static tg_status check(const char *path, const tg_named_tensor *tensors, size_t count, const char *const *metadata,
                       size_t metadata_count, bool needs_data)
{
    char word[TG_PRINTABLE_BYTES];
    size_t twice = 0;
    tg_status status = TG_OK;
    for (size_t i = 0; i < count && status == TG_OK; i++)
        status = check_tensor(path, &tensors[i], needs_data);
    if (status != TG_OK || (status = find_twice(&twice, count, compare_tensors, tensors)) != TG_OK)
        return status;
    if (twice != count)
        return tg_fail(TG_EINVAL, "cannot write '%s': two tensors are called '%s'", path,
                       tg_printable(word, tensors[twice].name));
    if ((status = find_twice(&twice, metadata_count, compare_keys, metadata)) != TG_OK)
        return status;
    if (twice != metadata_count)
        return tg_fail(TG_EINVAL, "cannot write '%s': metadata key '%s' twice", path,
                       tg_printable(word, metadata[2 * twice]));
    return TG_OK;
}

/* ---- the header ---- */

static bool append_metadata(tg_text *t, const char *const *metadata, size_t count)
{
    tg_text_format(t, "\"__metadata__\":{");
    for (size_t i = 0; i < count; i++) {
        tg_text_append(t, ",", i > 0);
        if (!tg_text_quoted(t, metadata[2 * i]))
            return false;
        tg_text_append(t, ":", 1);
        if (!tg_text_quoted(t, metadata[2 * i + 1]))
            return false;
    }
    tg_text_append(t, "}", 1);
    return true;
}

/* False when the name is not UTF-8 or the data's end overflows. */
static bool append_tensor(tg_text *t, const tg_named_tensor *tensor, size_t *offset)
{
    size_t end;
    if (!tg_text_quoted(t, tensor->name) || !tg_add_size(&end, *offset, tensor->bytes))
        return false;
    tg_text_format(t, ":{\"dtype\":\"%s\",\"shape\":[", tg_format_name(tensor->format));
    for (unsigned i = 0; i < tensor->rank; i++)
        tg_text_format(t, "%s%llu", i > 0 ? "," : "", (unsigned long long)tensor->shape[i]);
    tg_text_format(t, "],\"data_offsets\":[%zu,%zu]}", *offset, end);
    *offset = end;
    return true;
}

/* Length and header, padded; `out` is empty before. */
static tg_status make_header(tg_text *out, const char *path, const tg_named_tensor *tensors, size_t count,
                             const char *const *metadata, size_t metadata_count)
{
    char word[TG_PRINTABLE_BYTES];
    static const char blanks[] = "                                                                ";
    size_t offset = 0;
    tg_text_append(out, "\0\0\0\0\0\0\0\0{", TG_HEADER_PREFIX + 1);
    if (metadata_count > 0 && !append_metadata(out, metadata, metadata_count))
        return tg_fail(TG_EINVAL, "cannot write '%s': the metadata is not UTF-8", path);
    for (size_t i = 0; i < count; i++) {
        tg_text_append(out, ",", i > 0 || metadata_count > 0);
        if (!append_tensor(out, &tensors[i], &offset))
            return tg_fail(TG_EINVAL, "cannot write '%s': the name '%s' is not UTF-8, or the data is too large", path,
                           tg_printable(word, tensors[i].name));
    }
    tg_text_append(out, "}", 1);
    tg_text_append(out, blanks, tg_round_up(out->used, DATA_ALIGN) - out->used);
    if (out->failed)
        return tg_no_memory("the header of a safetensors file", out->used);
    const size_t header = out->used - TG_HEADER_PREFIX;
    if (header > TG_HEADER_MOST)
        return tg_fail(TG_EINVAL, "cannot write '%s': the header would have %zu bytes, the limit is %u", path, header,
                       TG_HEADER_MOST);
    for (unsigned i = 0; i < TG_HEADER_PREFIX; i++)
        out->at[i] = (char)(unsigned char)((uint64_t)header >> (8 * i) & 0xff);
    return TG_OK;
}

/* ---- the file ---- */

struct tg_safetensors_sink {
    tg_file file;
    size_t left; /* bytes of the current tensor */
};

tg_status tg_safetensors_put(tg_safetensors_sink *sink, const void *data, size_t bytes)
{
    if (bytes > sink->left)
        return tg_fail(TG_EINVAL, "cannot write '%s': more data than the tensor has", sink->file.path);
    sink->left -= bytes;
    return tg_file_write(&sink->file, data, bytes);
}

/* From `source`, or without one from the tensors' own memory. */
static tg_status write_file(const char *path, const tg_named_tensor *tensors, size_t count, const char *const *metadata,
                            size_t metadata_count, tg_safetensors_source *source, void *ctx)
{
    tg_text header = {0};
    tg_safetensors_sink sink = {.file = {.descriptor = -1}};
    tg_status status = check(path, tensors, count, metadata, metadata_count, source == NULL);
    if (status == TG_OK)
        status = make_header(&header, path, tensors, count, metadata, metadata_count);
    if (status == TG_OK)
        status = tg_file_begin(&sink.file, path);
    if (status == TG_OK)
        status = tg_file_write(&sink.file, header.at, header.used);
    for (size_t i = 0; i < count && status == TG_OK; i++) {
        sink.left = tensors[i].bytes;
        status = source == NULL ? tg_safetensors_put(&sink, tensors[i].data, sink.left) : source(ctx, i, &sink);
        if (status == TG_OK && sink.left != 0)
            status = tg_fail(TG_EINVAL, "cannot write '%s': %zu bytes of a tensor are missing", path, sink.left);
    }
    if (status == TG_OK)
        status = tg_file_commit(&sink.file);
    tg_file_abort(&sink.file);
    tg_text_free(&header);
    return status;
}

tg_status tg_safetensors_write(const char *path, const tg_named_tensor *tensors, size_t count,
                               const char *const *metadata, size_t metadata_count)
{
    return write_file(path, tensors, count, metadata, metadata_count, NULL, NULL);
}

tg_status tg_safetensors_stream(const char *path, const tg_named_tensor *tensors, size_t count,
                                const char *const *metadata, size_t metadata_count, tg_safetensors_source *source,
                                void *ctx)
{
    return write_file(path, tensors, count, metadata, metadata_count, source, ctx);
}

static tg_status put_mapped(void *ctx, size_t index, tg_safetensors_sink *sink)
{
    const tg_named_tensor *t = (const tg_named_tensor *)ctx + index;
    tg_status status = TG_OK;
    for (size_t at = 0; at < t->bytes && status == TG_OK; at += STRIP) {
        const size_t now = t->bytes - at < STRIP ? t->bytes - at : STRIP;
        char *data = (char *)t->data + at;
        status = tg_safetensors_put(sink, data, now);
        tg_map_rest(data, now);
    }
    return status;
}

tg_status tg_safetensors_write_mapped(const char *path, const tg_named_tensor *tensors, size_t count,
                                      const char *const *metadata, size_t metadata_count)
{
    return write_file(path, tensors, count, metadata, metadata_count, put_mapped, (void *)tensors);
}
