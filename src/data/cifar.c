/* data/cifar.c -- CIFAR's binary files (Krizhevsky 2009, "Learning multiple layers of features from tiny images"):
 *
 *   CIFAR-10     label (0 ... 9), image                                    3073 bytes a record
 *   CIFAR-100    coarse label (0 ... 19), fine label (0 ... 99), image     3074 bytes; the fine label is the class
 *
 * An image is its red, green and blue bytes, each row by row. There is no head: the file's length tells which it is. */
#include "data/cifar.h"

#include <string.h>

#include "base/fail.h"

#define LEAST_TEXT 20 /* bytes below are labels; what a text begins with, a line's end apart, is above */

static const struct {
    size_t labels, classes; /* bytes in front of an image; the last of them is the class */
} kinds[] = {{1, 10}, {2, 100}};
#define KINDS (sizeof kinds / sizeof *kinds)

static size_t kind_of(size_t count)
{
    for (size_t k = 0; k < KINDS; k++)
        if (count > 0 && count % (kinds[k].labels + TG_CIFAR_IMAGE_BYTES) == 0)
            return k;
    return KINDS;
}

/* Bytes that no text has, among the first. */
static bool is_binary(const unsigned char *at, size_t count)
{
    for (size_t i = 0; i < count && i < TG_CIFAR_IMAGE_BYTES; i++)
        if (at[i] < '\t' || (at[i] > '\r' && at[i] < LEAST_TEXT))
            return true;
    return false;
}

bool tg_cifar_looks(const char *bytes, size_t count)
{
    const unsigned char *at = (const unsigned char *)bytes;
    if (count == 0 || *at >= LEAST_TEXT)
        return false;
    const bool is_idx = count > 2 && memcmp(bytes, "\0\0\x08", 3) == 0;
    return kind_of(count) < KINDS || (!is_idx && is_binary(at, count));
}

tg_status tg_cifar_parse(tg_cifar *cifar, const char *bytes, size_t count, const char *path)
{
    const size_t kind = kind_of(count);
    if (kind == KINDS)
        return tg_fail(
            TG_EFORMAT,
            "'%s' has %zu bytes, and CIFAR's files are records of 3073, or of 3074 with 100 classes: is it cut off?",
            path, count);
    const size_t labels = kinds[kind].labels, step = labels + TG_CIFAR_IMAGE_BYTES;
    const tg_cifar c = {.count = count / step,
                        .step = step,
                        .classes = kinds[kind].classes,
                        .label = (const unsigned char *)bytes + labels - 1,
                        .image = (const unsigned char *)bytes + labels};
    for (size_t i = 0; i < c.count; i++)
        if (c.label[i * step] >= c.classes)
            return tg_fail(TG_EFORMAT, "'%s' byte %zu: label %u, and there are %zu classes", path,
                           i * step + labels - 1, c.label[i * step], c.classes);
    *cifar = c;
    return TG_OK;
}
