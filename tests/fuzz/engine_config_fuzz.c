/* engine_config_fuzz.c -- whatever is in config.json: refused with a message, or a configuration that is complete. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(int truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    tg_model_config config;
    memset(&config, 0x5a, sizeof config);
    const tg_model_config before = config;
    const tg_status status = tg_model_config_parse(&config, (const char *)data, bytes, "config.json");
    if (status != TG_OK) {
        demand(status == TG_EFORMAT || status == TG_EUNSUPPORTED);
        demand(memcmp(&config, &before, sizeof config) == 0);
        demand(*tg_message() != 0 && strchr(tg_message(), '\n') == NULL);
        return 0;
    }
    if (config.task != TG_TASK_LANGUAGE) {
        demand(config.features > 0 && config.outputs > (config.task == TG_TASK_CLASSIFICATION) && config.context == 1);
        demand(config.dropout >= 0 && config.dropout < 1 && (config.info->tasks & TG_CAN(config.task)) != 0);
        demand((unsigned)config.activation < TG_ACTIVATION_COUNT && (unsigned)config.norm < TG_NORM_COUNT);
        return 0;
    }
    demand(config.vocab > 0 && config.context > 0 && config.layers > 0 && config.heads > 0 && config.width > 0);
    demand(config.kv_heads > 0 && config.head_dim > 0 && config.hidden > 0 && config.heads % config.kv_heads == 0);
    demand(config.eps > 0 && config.dropout >= 0 && config.dropout < 1);
    tg_model_config again = config;
    demand(tg_model_config_complete(&again) == TG_OK);
    demand(again.width == config.width && again.hidden == config.hidden && again.head_dim == config.head_dim);
    return 0;
}
