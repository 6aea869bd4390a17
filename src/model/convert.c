/* model/convert.c -- a model's files of any kind to a directory in Hugging Face's layout, tensor by tensor.
 *
 * A piece of a weight's rows at a time is read as fp32, in the order that the layout wants, rounded to nearest and
 * written; the pages of a tensor that is done with are given back. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/kernels.h"
#include "base/map.h"
#include "base/memory.h"
#include "model/gguf.h"
#include "store/directory.h"
#include "store/safetensors_stream.h"

#define PIECE ((size_t)1 << 20) /* values worked on at once, unless a row has more */

typedef struct job {
    tg_model *model; /* the weights' names and shapes */
    const tg_stored **source;
    tg_gguf_order *order;
    float *x;   /* (room) */
    void *narrow;
    size_t room;
} job;

/* What lies beside a model and is not made anew. */
static const char *const companions[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "vocab.txt", "tokenizer.model", "generation_config.json", "chat_template.jinja", "samples.json",
};

/* ---- values ---- */

/* The row of the file that is row `row` here: in a head of d rows, i < d/2 is the file's 2 i, i + d/2 its 2 i + 1. */
static size_t turned_row(size_t row, size_t head_dim)
{
    const size_t head = row / head_dim, in = row % head_dim, half = head_dim / 2;
    return head * head_dim + 2 * (in % half) + in / half;
}

static size_t pieces_rows(const job *j, size_t index)
{
    const tg_param *p = &j->model->weight[index].param;
    const size_t rows = j->order[index] == TG_GGUF_TURNED ? p->rows : p->cols == 0 ? 1 : PIECE / p->cols;
    return rows == 0 ? 1 : rows < p->rows ? rows : p->rows;
}

/* x (cols, rows) <- the tensor (rows, cols) turned. */
static tg_status read_turned(float *x, const tg_stored *s, size_t rows, size_t cols)
{
    float *row = tg_alloc(NULL, cols, sizeof *row);
    if (row == NULL)
        return tg_no_memory("converting a model", cols * sizeof *row);
    for (size_t r = 0; r < rows; r++) {
        tg_stored_read(row, s, (uint64_t)r * cols, cols);
        for (size_t c = 0; c < cols; c++)
            x[c * rows + r] = row[c];
    }
    tg_free(NULL, row, cols, sizeof *row);
    return TG_OK;
}

static tg_status read_rows(const job *j, size_t index, size_t first, size_t rows)
{
    const tg_param *p = &j->model->weight[index].param;
    const tg_gguf_order order = j->order[index];
    const size_t cols = p->cols, head_dim = j->model->config.head_dim;
    if (order == TG_GGUF_TURNED)
        return read_turned(j->x, j->source[index], p->cols, p->rows);
#pragma omp parallel for schedule(static) if (rows > 1)
    for (size_t r = 0; r < rows; r++) {
        const size_t row = order == TG_GGUF_AS_IS ? first + r : turned_row(first + r, head_dim);
        tg_stored_read(j->x + r * cols, j->source[index], (uint64_t)row * cols, cols);
    }
    return TG_OK;
}

static tg_status write_weight(void *ctx, size_t index, tg_safetensors_sink *sink)
{
    const job *j = ctx;
    const tg_param *p = &j->model->weight[index].param;
    const size_t value_bytes = tg_format_bytes(p->format), step = pieces_rows(j, index);
    tg_status status = TG_OK;
    for (size_t row = 0; row < p->rows && status == TG_OK; row += step) {
        const size_t rows = p->rows - row < step ? p->rows - row : step, n = rows * p->cols;
        if ((status = read_rows(j, index, row, rows)) != TG_OK)
            break;
        tg_kernels_get()->narrow(j->narrow, j->x, p->format, n);
        status = tg_safetensors_put(sink, j->narrow, n * value_bytes);
    }
    tg_map_forget(j->source[index]->data, j->source[index]->info.bytes);
    return status;
}

static tg_status write_weights(tg_conversion *made, job *j, const char *directory)
{
    static const char *const metadata[] = {"format", "pt"};
    const tg_model *m = j->model;
    char *path = tg_file_join(directory, "model.safetensors");
    tg_named_tensor *tensors = tg_heap_alloc(m->weights, sizeof *tensors);
    for (size_t i = 0; tensors != NULL && i < m->weights; i++) {
        const tg_param *p = &m->weight[i].param;
        const size_t values = pieces_rows(j, i) * p->cols;
        j->room = values > j->room ? values : j->room;
        tensors[i] = (tg_named_tensor){.name = p->name, .format = p->format,
                                       .bytes = p->rows * p->cols * tg_format_bytes(p->format)};
        tensors[i].rank = tg_weight_shape(tensors[i].shape, &m->weight[i]);
        made->bytes += tensors[i].bytes;
    }
    j->x = tg_alloc(NULL, j->room, sizeof *j->x);
    j->narrow = tg_alloc(NULL, j->room, sizeof(float)); /* statistics are fp32 in every model */
    tg_status status = TG_OK;
    if (path == NULL || tensors == NULL || j->x == NULL || j->narrow == NULL)
        status = tg_no_memory("converting a model", j->room * 2 * sizeof *j->x);
    else
        status = tg_safetensors_stream(path, tensors, m->weights, metadata, 1, write_weight, j);
    made->model = m->type->info.name;
    made->tensors = m->weights;
    made->parameters = tg_model_parameters(m);
    tg_free(NULL, j->x, j->room, sizeof *j->x);
    tg_free(NULL, j->narrow, j->room, sizeof(float));
    tg_heap_free(tensors);
    tg_heap_free(path);
    return status;
}

/* ---- what is beside the weights ---- */

static tg_status copy_companion(const char *to, const char *from, const char *name)
{
    tg_map map = {0};
    char *source = tg_file_join(from, name), *copy = tg_file_join(to, name);
    tg_status status =
        source == NULL || copy == NULL ? tg_no_memory("a path", strlen(from)) : tg_map_open(&map, source);
    if (status == TG_OK)
        status = tg_file_write_whole(copy, map.bytes == 0 ? "" : map.at, map.bytes);
    else if (status == TG_ENOTFOUND)
        status = TG_OK;
    tg_map_close(&map);
    tg_heap_free(source);
    tg_heap_free(copy);
    return status;
}

static tg_status write_beside_directory(const tg_model *m, const char *to, const char *from)
{
    tg_status status = tg_model_config_copy(to, from, m->format);
    for (size_t i = 0; i < sizeof companions / sizeof *companions && status == TG_OK; i++)
        status = copy_companion(to, from, companions[i]);
    return status;
}

/* The ids that config.json names, too. */
static tg_status write_beside_gguf(tg_conversion *made, const tg_model *m, const tg_tensors *tensors, const char *to)
{
    static const struct { const char *key, *name; } ids[] = {
        {"tokenizer.ggml.bos_token_id", "bos_token_id"},
        {"tokenizer.ggml.eos_token_id", "eos_token_id"},
        {"tokenizer.ggml.padding_token_id", "pad_token_id"},
    };
    json_t *more = json_object();
    for (size_t i = 0; more != NULL && i < sizeof ids / sizeof *ids; i++) {
        const tg_gguf_value *value = tg_gguf_find(tg_tensors_gguf(tensors), ids[i].key);
        int64_t id;
        if (value != NULL && tg_gguf_integer(&id, value, 0) && id >= 0 && (uint64_t)id < m->config.vocab)
            json_object_set_new(more, ids[i].name, json_integer((json_int_t)id));
    }
    tg_status status = more == NULL ? tg_no_memory("writing config.json", 0)
                                    : tg_model_config_write_more(&m->config, m->format, to, more);
    json_decref(more);
    return status == TG_OK ? tg_gguf_tokenizer_write(made->note, tensors, m->config.vocab, to) : status;
}

/* ---- all of it ---- */

static tg_status fill(tg_conversion *made, const tg_tensors *tensors, const char *in, const char *directory,
                      tg_format format)
{
    const bool gguf = tg_tensors_gguf(tensors) != NULL;
    tg_model_config config;
    job j = {0};
    tg_status status = gguf ? tg_gguf_config(&config, tensors) : tg_model_config_read(&config, in);
    if (status == TG_OK)
        status = tg_model_outline(&j.model, &config, format);
    if (status != TG_OK)
        return status;
    j.source = tg_heap_alloc(j.model->weights, sizeof *j.source);
    j.order = tg_heap_alloc(j.model->weights, sizeof *j.order);
    if (j.source == NULL || j.order == NULL)
        status = tg_no_memory("converting a model", j.model->weights * sizeof *j.source);
    else
        status = gguf ? tg_gguf_match(j.source, j.order, j.model, tensors) : tg_model_match(j.source, j.model, tensors);
    if (status == TG_OK)
        status = gguf ? write_beside_gguf(made, j.model, tensors, directory)
                      : write_beside_directory(j.model, directory, in);
    if (status == TG_OK)
        status = write_weights(made, &j, directory);
    tg_model_destroy(j.model);
    tg_heap_free(j.source);
    tg_heap_free(j.order);
    return status;
}

/* *parent, *name <- the parts of a path; "a/b/" is "a/b". */
static tg_status split(char **parent, char **name, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    *parent = tg_file_parent(path);
    *name = tg_heap_alloc(end - begin + 1, 1);
    if (*parent == NULL || *name == NULL)
        return tg_no_memory("a path", end);
    memcpy(*name, path + begin, end - begin);
    if (end == begin || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
        return tg_fail(TG_EINVAL, "'%s' is no name of a new directory", path);
    return TG_OK;
}

/* A single safetensors file has no configuration beside it that could be trusted to be its own. */
static tg_status check_paths(const char *in, const char *out, const tg_tensors *tensors)
{
    struct stat about;
    if (stat(out, &about) == 0)
        return tg_fail(TG_EINVAL, "'%s' exists already: name a new directory", out);
    if (tg_tensors_gguf(tensors) == NULL && stat(in, &about) == 0 && !S_ISDIR(about.st_mode))
        return tg_fail(TG_EINVAL, "'%s' is neither a GGUF file nor a model's directory", in);
    return TG_OK;
}

tg_status tg_model_convert(tg_conversion *conversion, const char *in, const char *out, tg_format format)
{
    tg_tensors *tensors = NULL;
    tg_directory directory = {0};
    tg_conversion made = {0};
    char *parent = NULL, *name = NULL;
    tg_status status = tg_tensors_open(&tensors, in);
    if (status == TG_OK)
        status = check_paths(in, out, tensors);
    if (status == TG_OK)
        status = split(&parent, &name, out);
    if (status == TG_OK)
        status = tg_directory_make(parent);
    if (status == TG_OK)
        status = tg_directory_begin(&directory, parent, name);
    if (status == TG_OK)
        status = fill(&made, tensors, in, directory.temporary, format);
    if (status == TG_OK)
        status = tg_directory_commit(&directory);
    if (status == TG_OK)
        *conversion = made;
    tg_directory_abort(&directory);
    tg_tensors_destroy(tensors);
    tg_heap_free(parent);
    tg_heap_free(name);
    return status;
}
