/* Any bytes as metrics.jsonl give a series of numbers or are refused with a message. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "tiger/engine/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_series series;
    if (tg_series_parse(&series, (const char *)data, size, "loss", "metrics.jsonl") == TG_OK) {
        for (size_t i = 0; i < series.count; i++)
            if (!isfinite(series.update[i]) || !isfinite(series.value[i]))
                abort();
        tg_series_fini(&series);
    } else if (*tg_message() == '\0') {
        abort();
    }
    return 0;
}
