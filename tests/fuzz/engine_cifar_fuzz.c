/* Any bytes are CIFAR records, all of whose labels and images lie within them, or are refused with a message that names
 * the place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/cifar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_cifar c;
    (void)tg_cifar_looks((const char *)data, size);
    const tg_status status = tg_cifar_parse(&c, (const char *)data, size, "fuzz");
    if (status != TG_OK) {
        if (status != TG_EFORMAT || strncmp(tg_message(), "'fuzz'", 6) != 0)
            abort();
        return 0;
    }
    const size_t image = (size_t)TG_CIFAR_CHANNELS * TG_CIFAR_SIDE * TG_CIFAR_SIDE;
    if (c.count * c.step != size || c.label + 1 != c.image || c.image + (c.count - 1) * c.step + image != data + size)
        abort();
    for (size_t i = 0; i < c.count; i++)
        if (c.label[i * c.step] >= c.classes)
            abort();
    return 0;
}
