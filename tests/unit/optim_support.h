/* optim_support.h -- what the tests of optimizers share: the inputs that tests/oracle/optimizers.py makes too, a set of
 * tensors under one optimizer, and the ways of handing it gradients. */
#ifndef TG_OPTIM_SUPPORT_H
#define TG_OPTIM_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/isa.h"
#include "base/kernels.h"
#include "tiger/optim.h"

#define WORK_TENSORS 24
#define WORK_OPTIONS 24

#define must(call)                                                                                                     \
    do {                                                                                                               \
        const tg_status status_ = (call);                                                                              \
        if (status_ != TG_OK)                                                                                          \
            fail_msg("%s: %s: %s", #call, tg_status_name(status_), tg_message());                                      \
    } while (0)

/* ---- inputs ---- */

static inline uint32_t input_mix(uint32_t seed, uint32_t index)
{
    uint32_t x = index * 0x9e3779b1u + seed * 0x85ebca77u;
    x = (x ^ (x >> 15)) * 0x2c1b3c6du;
    x = (x ^ (x >> 12)) * 0x297a2d39u;
    return x ^ (x >> 15);
}

static inline float input_unit(uint32_t seed, size_t index)
{
    return (float)((int32_t)(input_mix(seed, (uint32_t)index) >> 8) - (1 << 23)) * 0x1p-23f;
}

static inline float input_weight(uint32_t seed, size_t index, tg_role role)
{
    return input_unit(seed, index) * 0.5f + (role == TG_GAIN ? 1.0f : 0.0f);
}

static inline float input_gradient(uint32_t seed, size_t step, size_t index)
{
    static const float size[] = {2.385f, 0.711f, 1.93f, 0.107f};
    return index % 13 == 5 ? 0.0f : input_unit(seed + 7919u * (uint32_t)(step + 1), index) * size[step % 4];
}

static inline bool input_touches(uint32_t seed, size_t step, size_t row, size_t rows)
{
    return input_mix(seed + 104729u * (uint32_t)(step + 1), (uint32_t)row) % 3 != 0 || row == step % rows;
}

/* What layer rows of micro-step `step` hold: so many, so large, so many terms in the loss's mean. */
static inline size_t input_rows(size_t step) { return 7 + step % 3; }
static const double input_terms = 11.5;

static inline float input_row(uint32_t seed, size_t step, size_t index, bool gradient)
{
    const uint32_t which = gradient ? 32452843u : 15485863u;
    return input_unit(seed + which * (uint32_t)(step + 1), index) * (gradient ? 0.59f : 1.37f);
}

/* ---- a set of tensors ---- */

typedef struct work_tensor {
    char name[16];
    size_t rows, cols, n;
    tg_role role;
    uint32_t seed;
    tg_format format;
    void *data;
    float *g; /* (rows, cols): this micro-step's gradient */
    bool frozen, absent, bad;
    tg_layer_form layer; /* of matrices, for rules that work layers: work_start says */
} work_tensor;

/* How gradients reach the optimizer. */
typedef enum work_way {
    WORK_ARRAYS, /* tg_optim_step */
    WORK_TILE,   /* one tile a tensor */
    WORK_ROWS,   /* a tile for every row, the last row first */
    WORK_PANELS, /* tiles of three rows */
    WORK_WAYS
} work_way;

typedef struct work {
    tg_optim *o;
    size_t count;
    bool layers; /* matrices belong to layers, whose rows come with every micro-step's gradients */
    work_tensor t[WORK_TENSORS];
} work;

typedef struct work_option {
    const char *name, *value;
} work_option;

/* `options` end with a NULL name. */
static inline void work_create(work *w, const char *rule, const work_option *options)
{
    *w = (work){.layers = tg_rule_find(rule)->layers};
    must(tg_optim_create(&w->o, rule, NULL));
    for (; options != NULL && options->name != NULL; options++)
        must(tg_optim_set(w->o, TG_ALL_GROUPS, options->name, options->value));
}

static inline work_tensor *work_add(work *w, size_t rows, size_t cols, tg_role role, uint32_t seed, tg_format format)
{
    assert_true(w->count < WORK_TENSORS);
    work_tensor *t = &w->t[w->count];
    *t = (work_tensor){.rows = rows, .cols = cols, .n = rows * cols, .role = role, .seed = seed, .format = format};
    snprintf(t->name, sizeof t->name, "t%zu", w->count);
    t->data = calloc(t->n + 1, 4);
    t->g = calloc(t->n + 1, sizeof *t->g);
    float *x = calloc(t->n + 1, sizeof *x);
    assert_true(t->data != NULL && t->g != NULL && x != NULL);
    for (size_t i = 0; i < t->n; i++)
        x[i] = input_weight(seed, i, role);
    tg_kernels_get()->narrow(t->data, x, format, t->n);
    free(x);
    w->count++;
    return t;
}

static inline tg_layer_form work_form(const work *w, size_t k)
{
    if (!w->layers || w->t[k].role != TG_MATRIX)
        return TG_NO_LAYER;
    return w->t[k].seed % 2 != 0 ? TG_LAYER_IN_BY_OUT : TG_LAYER_OUT_BY_IN;
}

/* After the last work_add. Rules of layers get some matrices (out, in) and some (in, out). */
static inline void work_start(work *w)
{
    double place = 0; /* 3: released, which layers refuse */
    must(tg_optim_get(w->o, TG_ALL_GROUPS, "gradients", &place));
    w->layers = w->layers && place != 3;
    for (size_t i = 0; i < w->count; i++) {
        work_tensor *t = &w->t[i];
        t->layer = work_form(w, i);
        size_t index;
        must(tg_optim_add(w->o,
                          &(tg_param){.name = t->name, .data = t->data, .format = t->format, .rows = t->rows,
                                      .cols = t->cols, .role = t->role, .frozen = t->frozen, .layer = t->layer},
                          &index));
        assert_int_equal(index, i);
    }
    must(tg_optim_start(w->o));
}

static inline void work_destroy(work *w)
{
    tg_optim_destroy(w->o);
    for (size_t i = 0; i < w->count; i++) {
        free(w->t[i].data);
        free(w->t[i].g);
    }
    *w = (work){0};
}

/* Rows of layer k at micro-step `step`. */
static inline void work_rows(work *w, size_t k, size_t step)
{
    const work_tensor *t = &w->t[k];
    const size_t rows = input_rows(step), in = t->layer == TG_LAYER_IN_BY_OUT ? t->rows : t->cols;
    const size_t out = t->layer == TG_LAYER_IN_BY_OUT ? t->cols : t->rows;
    float *a = calloc(rows * in + 1, sizeof *a), *g = calloc(rows * out + 1, sizeof *g);
    assert_true(a != NULL && g != NULL);
    for (size_t i = 0; i < rows * in; i++)
        a[i] = input_row(t->seed, step, i, false);
    for (size_t i = 0; i < rows * out; i++)
        g[i] = input_row(t->seed, step, i, true);
    must(tg_optim_observe_layer(
        w->o, k, &(tg_layer_rows){.inputs = a, .gradients = g, .format = TG_F32, .rows = rows, .scale = input_terms}));
    free(a), free(g);
}

/* Gradients of micro-step `step`; an embedding's untouched rows are zero. The rows of layers are handed over. */
static inline void work_fill(work *w, size_t step)
{
    for (size_t k = 0; w->layers && k < w->count; k++)
        if (w->t[k].layer != TG_NO_LAYER && !w->t[k].absent)
            work_rows(w, k, step);
    for (size_t k = 0; k < w->count; k++) {
        work_tensor *t = &w->t[k];
        for (size_t i = 0; i < t->n; i++)
            t->g[i] = t->role != TG_EMBEDDING || input_touches(t->seed, step, i / t->cols, t->rows)
                          ? input_gradient(t->seed, step, i)
                          : 0.0f;
    }
}

static inline void work_scattered(work *w, size_t k, size_t step)
{
    const work_tensor *t = &w->t[k];
    uint32_t *index = calloc(t->rows + 1, sizeof *index);
    float *tile = calloc(t->n + 1, sizeof *tile);
    size_t rows = 0;
    for (size_t r = 0; r < t->rows; r++)
        if (input_touches(t->seed, step, r, t->rows)) {
            memcpy(tile + rows * t->cols, t->g + r * t->cols, t->cols * sizeof *tile);
            index[rows++] = (uint32_t)r;
        }
    must(tg_optim_accumulate_rows(w->o, k, index, rows, tile));
    free(index);
    free(tile);
}

static inline void work_tiles(work *w, size_t k, work_way way)
{
    const work_tensor *t = &w->t[k];
    const size_t panel = way == WORK_TILE ? t->rows : way == WORK_ROWS ? 1 : 3;
    if (panel == 0 || t->rows == 0)
        return;
    for (size_t end = t->rows; end > 0;) {
        const size_t rows = end % panel != 0 ? end % panel : panel;
        end -= rows;
        must(tg_optim_accumulate(w->o, k, end, rows, t->g + end * t->cols));
    }
}

/* Hands over one micro-step's gradients as they stand in t[].g: `absent` tensors give none, `bad` ones are rejected. */
static inline void work_micro(work *w, size_t step, work_way way)
{
    for (size_t k = w->count; k-- > 0;) {
        if (w->t[k].absent || w->t[k].frozen || w->t[k].n == 0)
            continue;
        if (w->t[k].bad)
            must(tg_optim_reject(w->o, k));
        else if (w->t[k].role == TG_EMBEDDING)
            work_scattered(w, k, step);
        else
            work_tiles(w, k, way);
        must(tg_optim_complete(w->o, k));
    }
    must(tg_optim_micro_end(w->o));
}

static inline tg_status work_arrays(work *w)
{
    tg_grad grads[WORK_TENSORS] = {0};
    for (size_t k = 0; k < w->count; k++)
        if (!w->t[k].absent && !w->t[k].frozen)
            grads[k] = (tg_grad){.data = w->t[k].g, .format = TG_F32};
    return tg_optim_step(w->o, grads);
}

/* Update `update` (from 0) of `micro` micro-steps with the standard gradients. */
static inline void work_update(work *w, size_t update, size_t micro, work_way way)
{
    if (way == WORK_ARRAYS) {
        assert_int_equal(micro, 1);
        work_fill(w, update);
        must(work_arrays(w));
        return;
    }
    must(tg_optim_begin(w->o, (uint32_t)micro));
    for (size_t j = 0; j < micro; j++) {
        work_fill(w, update * micro + j);
        work_micro(w, update * micro + j, way);
    }
    must(tg_optim_end(w->o));
}

/* ---- looking at results ---- */

static inline const tg_named_tensor *work_state(const work *w, size_t k, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s/%s", w->t[k].name, name);
    for (size_t i = 0; i < tg_optim_state_count(w->o); i++)
        if (strcmp(tg_optim_state(w->o, i)->name, full) == 0)
            return tg_optim_state(w->o, i);
    return NULL;
}

/* A number, whatever format holds it. */
static inline double work_value(const void *data, tg_format format, size_t i)
{
    uint16_t h;
    float f;
    if (format == TG_F64) {
        double d;
        memcpy(&d, (const char *)data + 8 * i, 8);
        return d;
    }
    if (format == TG_F32) {
        memcpy(&f, (const char *)data + 4 * i, 4);
        return (double)f;
    }
    memcpy(&h, (const char *)data + 2 * i, 2);
    return (double)(format == TG_BF16 ? tg_bf16_to_f32(h) : tg_f16_to_f32(h));
}

static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *b = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ b[i]) * 0x100000001b3u; /* FNV-1a */
    return hash;
}

/* Of every bit of weights and states. */
static inline uint64_t work_hash(const work *w)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t k = 0; k < w->count; k++)
        hash = hash_bytes(hash, w->t[k].data, w->t[k].n * tg_format_bytes(w->t[k].format));
    for (size_t i = 0; i < tg_optim_state_count(w->o); i++)
        hash = hash_bytes(hash, tg_optim_state(w->o, i)->data, tg_optim_state(w->o, i)->bytes);
    return hash;
}

/* The mixed bag most tests train: odd sizes, two that span blocks, every role. */
static inline void work_add_bag(work *w, tg_format format)
{
    static const size_t shape[][2] = {{1, 1},   {1, 7},  {3, 5},   {4, 4},    {1, 17},    {3, 11},  {7, 9},
                                      {65, 13}, {5, 13}, {25, 40}, {33, 129}, {1, 65537}, {40, 1031}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        work_add(w, shape[i][0], shape[i][1], (tg_role)(i % TG_ROLE_COUNT), (uint32_t)(100 + i), format);
}

/* ---- every rule, every switch ---- */

static inline size_t option_index(const tg_rule_info *info, const char *name)
{
    return tg_option_find(&info->options, name);
}

/* Whether its states are 8-bit codes. */
static inline bool rule_is_coded(const char *rule)
{
    const tg_rule_info *info = tg_rule_find(rule);
    return info->slot_count > 0 && info->slots[0].codes != TG_CODES_NONE;
}

static inline bool rule_has(const char *rule, const char *name)
{
    const tg_rule_info *info = tg_rule_find(rule);
    return option_index(info, name) < info->options.count;
}

/* The rule with its state in use and decay on, then with each of its switches and choices turned in its turn, and with
 * the common switches; options end with a NULL name, and more may be put behind them. */
typedef void (*variant_check)(const char *rule, work_option *options, size_t count);

static inline void for_each_choice(const char *rule, const tg_option *option, const work_option *base, size_t count,
                                   variant_check check)
{
    char text[64];
    for (double v = option->least; v <= option->most; v++) {
        work_option options[WORK_OPTIONS] = {0};
        if (v == option->value)
            continue;
        memcpy(options, base, count * sizeof *base);
        tg_option_print(text, sizeof text, option, v);
        options[count] = (work_option){option->name, text};
        check(rule, options, count + 1);
    }
}

/* A learning rate with which a weight moves by about 0.007 an update. */
static inline const char *base_lr(const char *rule)
{
    static const work_option others[] = {{"adadelta", "7.1"}, {"adagrad", "0.0293"}, {"lars", "17"},
                                          {"amos", "0.0531"}, {"muon", "0.0293"}}; /* lr sqrt(eps), lr / sqrt(t), lr / 1000, lr / sqrt(cols), likewise */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].name, rule) == 0)
            return others[i].value;
    return "0.0071";
}

static inline void for_each_variant_of(const char *rule, variant_check check)
{
    /* What must be set for all of a rule's states to be in use. */
    static const work_option in_use[] = {
        {"momentum", "0.83"}, {"kl_clip", "0"} /* tensors apart */, {"t0", "1"}, {"lr_decay", "0.013"}, {"initial_accumulator_value", "0.37"}};
    static const char *const common[] = {"decay", "maximize"};
    const tg_rule_info *info = tg_rule_find(rule);
    work_option base[8] = {{"weight_decay", "0.113"}, {"lr", base_lr(rule)}}, options[WORK_OPTIONS] = {0};
    size_t count = 2;
    for (size_t i = 0; i < sizeof in_use / sizeof *in_use; i++)
        if (rule_has(rule, in_use[i].name))
            base[count++] = in_use[i];
    memcpy(options, base, count * sizeof *base);
    check(rule, options, count);
    for (size_t i = 0; i < info->options.count; i++)
        if (info->options.at[i].kind == TG_SWITCH || info->options.at[i].kind == TG_CHOICE)
            for_each_choice(rule, &info->options.at[i], base, count, check);
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        for_each_choice(rule, &tg_optim_common_options()->at[tg_option_find(tg_optim_common_options(), common[i])], base,
                        count, check);
    if (rule_has(rule, "gamma")) {
        memcpy(options, base, count * sizeof *base);
        options[count] = (work_option){"gamma", "0.5"};
        check(rule, options, count + 1);
    }
}

/* TIGER_TEST_RULE=NAME in the environment: the suites that every rule passes are run for this one only. */
static inline bool rule_wanted(const char *rule)
{
    const char *only = getenv("TIGER_TEST_RULE");
    return only == NULL || strcmp(only, rule) == 0;
}

static inline void for_each_variant(variant_check check)
{
    for (size_t r = 0; r < tg_rule_count(); r++)
        if (rule_wanted(tg_rule_at(r)->name))
            for_each_variant_of(tg_rule_at(r)->name, check);
}

/* For messages. */
static inline const char *options_text(const work_option *options)
{
    static char text[400];
    text[0] = '\0';
    for (; options->name != NULL; options++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s=%s", options->name, options->value);
    return text;
}

#endif
