/* session_support.h -- sessions of a tiny GPT or Llama on a text of their own, for tests of what the training loop
 * does. */
#ifndef TG_SESSION_SUPPORT_H
#define TG_SESSION_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/random.h"
#include "model/model.h"
#include "train/session.h"

#define ok(expression)                                                                                                 \
    do {                                                                                                               \
        if ((expression) != TG_OK)                                                                                     \
            fail_msg("%s: %s", #expression, tg_message());                                                             \
    } while (0)

static char text_file[] = "/tmp/tiger-session-XXXXXX";

/* Setup and teardown of a group. */
static inline int make_text(void **state)
{
    (void)state;
    const int file = mkstemp(text_file);
    FILE *out = fdopen(file, "w");
    for (uint32_t i = 0; i < 400; i++)
        fputc("abcd\n"[tg_random_below(tg_key_make(3, 0, 0, 0), i, i % 3 == 0 ? 5 : 3)], out);
    return fclose(out);
}

static inline int remove_text(void **state)
{
    (void)state;
    return unlink(text_file);
}

/* Three sequences a batch, a model whose sizes all differ. `setting` (3): of the optimizer. */
static inline void configure_session(tg_train_config *config, const char *model, const char *optimizer,
                                     const tg_setting *setting, tg_precision precision)
{
    static const char *const sizes[][2] = {
        {"layers", "1"}, {"heads", "1"}, {"width", "6"}, {"hidden", "7"}, {"context", "5"}};
    tg_train_config_default(config);
    ok(tg_model_config_default(&config->model, model));
    config->data = text_file;
    config->optimizer = optimizer;
    config->schedule = "constant";
    config->setting = setting;
    config->settings = 3;
    config->option[TG_TRAIN_PRECISION] = precision;
    config->option[TG_TRAIN_BATCH] = 3;
    config->option[TG_TRAIN_SEED] = 2385;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        ok(tg_model_config_set(&config->model, sizes[i][0], sizes[i][1]));
}

/* ---- gradients into arrays ---- */

#define SESSION_MOST_WEIGHTS 48

/* Of all weights of a model, as a sink sums them. */
typedef struct session_gradients {
    const tg_model *model;
    size_t n;                             /* values of all */
    float *all, *g[SESSION_MOST_WEIGHTS]; /* (n); a weight's place in it */
} session_gradients;

static inline void session_gradients_init(session_gradients *s, const tg_model *model)
{
    *s = (session_gradients){.model = model};
    assert_true(tg_model_weight_count(model) <= SESSION_MOST_WEIGHTS);
    for (size_t w = 0; w < tg_model_weight_count(model); w++)
        s->n += tg_model_weight(model, w)->rows * tg_model_weight(model, w)->cols;
    s->all = calloc(s->n, sizeof *s->all);
    assert_non_null(s->all);
    float *at = s->all;
    for (size_t w = 0; w < tg_model_weight_count(model); w++) {
        s->g[w] = at;
        at += tg_model_weight(model, w)->rows * tg_model_weight(model, w)->cols;
    }
}

static inline void session_gradients_fini(session_gradients *s) { free(s->all); }

static inline void session_gradients_zero(session_gradients *s) { memset(s->all, 0, s->n * sizeof *s->all); }

static inline tg_status session_take_tile(void *ctx, size_t weight, size_t row, size_t rows, const float *tile)
{
    session_gradients *s = ctx;
    const size_t cols = tg_model_weight(s->model, weight)->cols;
    for (size_t i = 0; i < rows * cols; i++)
        s->g[weight][row * cols + i] += tile[i];
    return TG_OK;
}

static inline tg_status session_take_rows(void *ctx, size_t weight, const uint32_t *index, size_t rows,
                                          const float *tile)
{
    const size_t cols = tg_model_weight(((session_gradients *)ctx)->model, weight)->cols;
    for (size_t r = 0; r < rows; r++)
        session_take_tile(ctx, weight, index[r], 1, tile + r * cols);
    return TG_OK;
}

static inline tg_status session_take_reject(void *ctx, size_t weight)
{
    (void)ctx;
    fail_msg("the gradient of weight %zu was rejected", weight);
    return TG_OK;
}

static inline tg_status session_take_complete(void *ctx, size_t weight) { return (void)ctx, (void)weight, TG_OK; }

/* Adds all that comes; it fails at a gradient that is rejected. */
static inline tg_sink session_gradients_sink(session_gradients *s)
{
    return (tg_sink){.tile = session_take_tile,
                     .rows = session_take_rows,
                     .reject = session_take_reject,
                     .complete = session_take_complete,
                     .ctx = s};
}

#endif
