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

#endif
