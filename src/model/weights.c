/* model/weights.c -- what stands in a model's block: fresh values, and values from and to files. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/kernels.h"
#include "base/map.h"
#include "base/memory.h"
#include "model/model.h"
#include "store/safetensors_stream.h"
#include "store/tensors.h"
#include "tiger/safetensors.h"

#define CHUNK 4096               /* values worked on at a time */
#define STRIP ((size_t)1 << 22)  /* values of a file, or of weights in one, in memory at once */
#define PURPOSE_INIT 0x696e6974u /* tg_key_make: "init" */

/* ---- fresh values ---- */

/* Lets go of n values, or what there is of them, where weights lie in a file. */
static void rest_values(const tg_weight *w, size_t first, size_t n)
{
    const size_t all = w->param.rows * w->param.cols, bytes = tg_format_bytes(w->param.format);
    if (w->param.mapped)
        tg_map_rest((char *)w->param.data + first * bytes, (all - first < n ? all - first : n) * bytes);
}

/* A chunk of n values from element `first` on, a multiple of CHUNK. */
static void fill_chunk(float *x, const tg_weight *w, tg_key key, double std, size_t first, size_t n)
{
    if (w->init != TG_INIT_ZERO && w->init != TG_INIT_ONE) { /* a normal takes two draws: 2^31 under one key */
        tg_kernels_get()->normal(x, (float)std, n, tg_key_part(key, (uint64_t)first >> 31),
                                 (uint32_t)(first & 0x7fffffffu));
        return;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = w->init == TG_INIT_ONE ? 1.0f : 0.0f;
}

/* Of a weight's normal values. */
static double std_of(const tg_model *m, const tg_weight *w)
{
    const double in = (double)(w->param.fan_in != 0 ? w->param.fan_in : w->param.cols);
    const size_t places = w->kernel[0] * w->kernel[1]; /* an input of a convolution goes into as many outputs */
    const double out = (double)w->param.rows * (double)w->param.cols / in * (double)(places == 0 ? 1 : places);
    switch (w->init) {
    case TG_INIT_RESIDUAL: return m->config.init_std / sqrt(2.0 * (double)m->config.layers);
    case TG_INIT_HE: return sqrt(2.0 / in);
    case TG_INIT_XAVIER: return sqrt(2.0 / (in + out));
    default: return m->config.init_std;
    }
}

tg_status tg_model_initialize(tg_model *m, uint64_t seed)
{
    const tg_kernels *kernels = tg_kernels_get();
    for (size_t i = 0; i < m->weights; i++) {
        const tg_weight *w = &m->weight[i];
        const size_t n = w->param.rows * w->param.cols, chunks = (n + CHUNK - 1) / CHUNK;
        const size_t value_bytes = tg_format_bytes(w->param.format);
        const tg_key key = tg_key_make(seed, PURPOSE_INIT, i, 0);
        const double std = std_of(m, w);
        char *data = w->param.data;
        for (size_t strip = 0; strip < chunks; strip += STRIP / CHUNK) {
            const size_t end = chunks - strip < STRIP / CHUNK ? chunks : strip + STRIP / CHUNK;
#pragma omp parallel for schedule(static) if (end - strip > 1)
            for (size_t c = strip; c < end; c++) {
                float x[CHUNK];
                const size_t first = c * CHUNK, now = n - first < CHUNK ? n - first : CHUNK;
                fill_chunk(x, w, key, std, first, now);
                kernels->narrow(data + first * value_bytes, x, w->param.format, now);
            }
            rest_values(w, strip * CHUNK, (end - strip) * CHUNK);
        }
    }
    return TG_OK;
}

/* ---- from files ---- */

/* Values first ... first + n of a weight. */
static void convert_strip(const tg_weight *w, const tg_stored *t, size_t first, size_t n)
{
    const tg_kernels *kernels = tg_kernels_get();
    const size_t chunks = (n + CHUNK - 1) / CHUNK, from_bytes = t->encoding->block_bytes;
    const size_t to_bytes = tg_format_bytes(w->param.format);
#pragma omp parallel for schedule(static) if (chunks > 1)
    for (size_t c = 0; c < chunks; c++) {
        const size_t at = first + c * CHUNK, now = n - c * CHUNK < CHUNK ? n - c * CHUNK : CHUNK;
        char *dst = (char *)w->param.data + at * to_bytes;
        float x[CHUNK];
        if (t->encoding->format == w->param.format)
            memcpy(dst, t->data + at * to_bytes, now * to_bytes);
        else {
            tg_stored_read(x, t, at, now);
            kernels->narrow(dst, x, w->param.format, now);
        }
    }
    tg_map_forget(t->data + first * from_bytes, n * from_bytes);
    rest_values(w, first, n);
}

/* Strip by strip, and the file's pages go when one is done: there is never a second copy of the weights. */
static void convert(const tg_weight *w, const tg_stored *t)
{
    const size_t n = w->param.rows * w->param.cols;
    for (size_t first = 0; first < n; first += STRIP)
        convert_strip(w, t, first, n - first < STRIP ? n - first : STRIP);
}

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), s = strlen(suffix);
    return n >= s && strcmp(name + n - s, suffix) == 0;
}

static bool is_ignored(const tg_model *m, const char *name)
{
    if (m->type->head != NULL && m->config.tied && strcmp(name, m->type->head) == 0)
        return true;
    for (const char *const *suffix = m->type->ignored; suffix != NULL && *suffix != NULL; suffix++)
        if (has_suffix(name, *suffix))
            return true;
    return false;
}

/* `now` <- the name with an ending that has been renamed since; false when it has none of those. */
static bool rename_end(char *now, size_t room, const tg_model *m, const char *name)
{
    for (const tg_rename *r = m->type->renames; r != NULL && r->old != NULL; r++)
        if (has_suffix(name, r->old)) {
            const int n = snprintf(now, room, "%.*s%s", (int)(strlen(name) - strlen(r->old)), name, r->now);
            return n > 0 && (size_t)n < room;
        }
    return false;
}

/* The weight a file's tensor is for: its name, or its name less the family's prefix. */
static int find_weight(const tg_model *m, const char *name)
{
    char now[256];
    if (strlen(name) < sizeof now && rename_end(now, sizeof now, m, name))
        name = now;
    const int index = tg_model_index(m, "%s", name);
    return index != TG_NONE || m->type->prefix == NULL ? index : tg_model_index(m, "%s%s", m->type->prefix, name);
}

static void print_shape(char *text, size_t room, const uint64_t *shape, unsigned rank)
{
    size_t used = (size_t)snprintf(text, room, "(");
    for (unsigned i = 0; i < rank && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%llu", i > 0 ? ", " : "", (unsigned long long)shape[i]);
    if (used < room)
        snprintf(text + used, room - used, ")");
}

unsigned tg_weight_shape(uint64_t *shape, const tg_weight *w)
{
    const size_t places = w->kernel[0] * w->kernel[1];
    shape[0] = w->vector ? w->param.cols : w->param.rows;
    shape[1] = places == 0 ? w->param.cols : w->param.cols / places;
    shape[2] = w->kernel[0];
    shape[3] = w->kernel[1];
    return w->vector ? 1 : places == 0 ? 2 : 4;
}

/* A table of positions may have more rows than the context: the first are taken. */
static bool is_shape(const tg_model *m, const tg_weight *w, const tg_tensor_info *t, const uint64_t *shape,
                     unsigned rank)
{
    const bool positions = m->type->positions != NULL && strcmp(w->param.name, m->type->positions) == 0;
    return t->rank == rank &&
           memcmp(t->shape + positions, shape + positions, (rank - positions) * sizeof *shape) == 0 &&
           t->shape[0] >= shape[0];
}

static tg_status check_tensor(const tg_model *m, const tg_weight *w, const tg_stored *s)
{
    const tg_tensor_info *t = &s->info;
    const tg_format format = s->encoding->format;
    uint64_t shape[TG_WEIGHT_RANK];
    const unsigned rank = tg_weight_shape(shape, w);
    if (format != TG_F32 && format != TG_BF16 && format != TG_F16 && format != TG_F64)
        return tg_fail(TG_EFORMAT, "'%s': tensor '%s' is %s; weights are F32, BF16, F16 or F64", t->file, t->name,
                       t->type);
    if (is_shape(m, w, t, shape, rank))
        return TG_OK;
    char has[256], needs[64];
    print_shape(has, sizeof has, t->shape, t->rank);
    print_shape(needs, sizeof needs, shape, rank);
    return tg_fail(TG_EFORMAT, "'%s': tensor '%s' has shape %s, the configuration needs %s", t->file, t->name, has,
                   needs);
}

tg_status tg_model_match(const tg_stored **source, const tg_model *m, const tg_tensors *tensors)
{
    for (size_t i = 0; i < tg_tensors_count(tensors); i++) {
        const tg_stored *t = tg_tensors_stored(tensors, i);
        const int index = find_weight(m, t->info.name);
        if (index == TG_NONE && is_ignored(m, t->info.name))
            continue;
        if (index == TG_NONE)
            return tg_fail(TG_EFORMAT, "'%s': tensor '%.200s' is no weight of this %s", t->info.file, t->info.name,
                           m->type->info.name);
        if (source[index] != NULL)
            return tg_fail(TG_EFORMAT, "'%s': tensors '%s' and '%s' are the same weight", t->info.file,
                           source[index]->info.name, t->info.name);
        const tg_status status = check_tensor(m, &m->weight[index], t);
        if (status != TG_OK)
            return status;
        source[index] = t;
    }
    for (size_t i = 0; i < m->weights; i++)
        if (source[i] == NULL)
            return tg_fail(TG_EFORMAT, "'%s': tensor '%s' is missing", tg_tensors_path(tensors),
                           m->weight[i].param.name);
    return TG_OK;
}

tg_status tg_model_load(tg_model *m, const char *directory)
{
    tg_tensors *tensors = NULL;
    const tg_stored **source = tg_heap_alloc(m->weights, sizeof *source);
    tg_status status = source == NULL ? tg_no_memory("loading a model", m->weights * sizeof *source)
                                      : tg_tensors_open_directory(&tensors, directory);
    if (status == TG_OK)
        status = tg_model_match(source, m, tensors);
    if (status == TG_OK)
        for (size_t i = 0; i < m->weights; i++)
            convert(&m->weight[i], source[i]);
    tg_tensors_destroy(tensors);
    tg_heap_free(source);
    return status;
}

/* ---- to a file ---- */

tg_status tg_model_save(const tg_model *m, const char *directory)
{
    static const char *const metadata[] = {"format", "pt"}; /* without it transformers refuses the file */
    char *path = tg_file_join(directory, "model.safetensors");
    tg_named_tensor *tensors = tg_heap_alloc(m->weights, sizeof *tensors);
    tg_status status = TG_OK;
    if (path == NULL || tensors == NULL)
        status = tg_no_memory("saving a model", m->weights * sizeof *tensors);
    for (size_t i = 0; i < m->weights && status == TG_OK; i++) {
        const tg_param *p = &m->weight[i].param;
        tensors[i] = (tg_named_tensor){.name = p->name, .format = p->format, .data = p->data,
                                       .bytes = p->rows * p->cols * tg_format_bytes(p->format)};
        tensors[i].rank = tg_weight_shape(tensors[i].shape, &m->weight[i]);
    }
    if (status == TG_OK)
        status = tg_model_config_write(&m->config, m->format, directory);
    if (status == TG_OK)
        status = (m->weight[0].param.mapped ? tg_safetensors_write_mapped
                                            : tg_safetensors_write)(path, tensors, m->weights, metadata, 1);
    tg_heap_free(tensors);
    tg_heap_free(path);
    return status;
}
