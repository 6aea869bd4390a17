/* Any bytes are an IDX file, all of whose values lie within them, or are refused with a message that names the place.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_idx idx;
    const tg_status status = tg_idx_parse(&idx, (const char *)data, size, "fuzz");
    if (status != TG_OK) {
        if ((status != TG_EFORMAT && status != TG_EUNSUPPORTED) || strncmp(tg_message(), "'fuzz'", 6) != 0)
            abort();
        return 0;
    }
    size_t values = 1;
    for (unsigned i = 0; i < TG_IDX_RANK; i++)
        values *= idx.shape[i];
    if (values != idx.values || idx.rank < 1 || idx.rank > TG_IDX_RANK || idx.at < data ||
        idx.at + values != data + size)
        abort();
    return 0;
}
