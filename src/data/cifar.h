/* data/cifar.h -- the binary files of CIFAR-10 and CIFAR-100: records of a label and an image of 3 x 32 x 32 bytes. */
#ifndef TG_DATA_CIFAR_H
#define TG_DATA_CIFAR_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/status.h"

#define TG_CIFAR_CHANNELS 3
#define TG_CIFAR_SIDE 32
#define TG_CIFAR_IMAGE_BYTES ((size_t)TG_CIFAR_CHANNELS * TG_CIFAR_SIDE * TG_CIFAR_SIDE)

typedef struct tg_cifar {
    size_t count, step, classes;        /* step: from a record to the next */
    const unsigned char *label, *image; /* of the first record, in the bytes given */
} tg_cifar;

/* Whether bytes look like such a file, or a piece of one: their number is that of whole records, and they begin as no
 * text does; or they hold what no text does, and are no IDX file. */
bool tg_cifar_looks(const char *bytes, size_t count);
/* TG_EFORMAT, with file, offset and cause, for bytes that are not whole records of labels that exist. */
tg_status tg_cifar_parse(tg_cifar *cifar, const char *bytes, size_t count, const char *path);

#endif
