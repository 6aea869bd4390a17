/* Any bytes as trainer.json are settings or are refused with a message; what was read can be merged with a wish. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "train/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_saved_run run;
    const tg_status status = tg_settings_parse(&run, (const char *)data, size, "trainer.json");
    if (status != TG_OK) {
        if (*tg_message() == 0)
            abort();
        return 0;
    }
    int exponent;
    if (!(run.loss_scale >= 1) || frexp(run.loss_scale, &exponent) != 0.5)
        abort();
    if (!tg_loss_guard_is_sound(&run.guard) || run.at.best_update > run.at.update)
        abort();
    tg_train_config wish, merged;
    tg_train_config_default(&wish);
    wish.given[TG_TRAIN_UPDATES] = true;
    wish.option[TG_TRAIN_UPDATES] = 2385;
    if (tg_settings_merge(&merged, &run, &wish) != TG_OK || merged.option[TG_TRAIN_UPDATES] != 2385)
        abort();
    tg_saved_run_fini(&run);
    return 0;
}
