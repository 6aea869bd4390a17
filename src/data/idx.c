/* data/idx.c -- the IDX format (LeCun, Cortes & Burges, "The MNIST database"):
 *
 *   0, 0, type, rank     then `rank` sizes of 4 bytes, the most significant first     then the values, row-major
 *
 * Types other than 8, unsigned bytes, are named and refused: no file of the family has them. */
#include "data/idx.h"

#include <stdint.h>

#include "base/fail.h"
#include "base/memory.h"

#define MAGIC_BYTES 4
#define SIZE_BYTES 4
#define UNSIGNED_BYTE 8

static const char *type_name(unsigned type)
{
    static const char *const name[] = {[9] = "signed bytes",
                                       [11] = "16-bit integers",
                                       [12] = "32-bit integers",
                                       [13] = "32-bit floats",
                                       [14] = "64-bit floats"};
    return type < sizeof name / sizeof *name && name[type] != NULL ? name[type] : "no known type";
}

static size_t read_size(const unsigned char *at)
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | (size_t)at[3];
}

static tg_status check_magic(const unsigned char *at, size_t count, const char *path)
{
    if (count < MAGIC_BYTES)
        return tg_fail(TG_EFORMAT, "'%s' has %zu bytes: no IDX file, which begins with 4", path, count);
    if (at[0] != 0 || at[1] != 0)
        return tg_fail(TG_EFORMAT, "'%s' byte 0: %02x%02x%02x%02x is not how an IDX file begins (0000 08 and a rank)",
                       path, at[0], at[1], at[2], at[3]);
    if (at[2] != UNSIGNED_BYTE)
        return tg_fail(TG_EUNSUPPORTED, "'%s' byte 2: values of type 0x%02x (%s); only unsigned bytes (0x08) are read",
                       path, at[2], type_name(at[2]));
    if (at[3] < 1 || at[3] > TG_IDX_RANK)
        return tg_fail(TG_EFORMAT, "'%s' byte 3: an array of %u dimensions; it must be 1 to %d", path, at[3],
                       TG_IDX_RANK);
    return TG_OK;
}

tg_status tg_idx_parse(tg_idx *idx, const char *bytes, size_t count, const char *path)
{
    const unsigned char *at = (const unsigned char *)bytes;
    const tg_status status = check_magic(at, count, path);
    if (status != TG_OK)
        return status;
    tg_idx read = {.rank = at[3], .shape = {1, 1, 1, 1}, .values = 1};
    const size_t head = MAGIC_BYTES + SIZE_BYTES * read.rank;
    if (count < head)
        return tg_fail(TG_EFORMAT, "'%s' is cut off at byte %zu, within its %u sizes", path, count, read.rank);
    for (unsigned i = 0; i < read.rank; i++) {
        read.shape[i] = read_size(at + MAGIC_BYTES + SIZE_BYTES * i);
        if (read.shape[i] == 0 || !tg_multiply(&read.values, read.values, read.shape[i]) || read.values > PTRDIFF_MAX)
            return tg_fail(TG_EFORMAT, "'%s' byte %zu: a size of %zu makes the array %s", path,
                           (size_t)(MAGIC_BYTES + SIZE_BYTES * i), read.shape[i],
                           read.shape[i] == 0 ? "empty" : "larger than memory can be");
    }
    if (count - head < read.values)
        return tg_fail(TG_EFORMAT, "'%s' is cut off at byte %zu: its shape needs %zu values, and there are %zu", path,
                       count, read.values, count - head);
    if (count - head > read.values)
        return tg_fail(TG_EFORMAT, "'%s' byte %zu: %zu bytes too many for its shape", path, head + read.values,
                       count - head - read.values);
    read.at = at + head;
    *idx = read;
    return TG_OK;
}
