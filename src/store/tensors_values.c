/* store/tensors_values.c -- values of stored tensors as fp32, and what can be said of them in numbers.
 *
 * Sums are of pieces of fixed size, added in their order: the same on any number of threads. */
#include <math.h>

#include "base/fail.h"
#include "base/map.h"
#include "store/safetensors_json.h"
#include "store/tensors.h"

#define PIECE ((size_t)4096) /* values; a multiple of TG_BLOCK_MOST */
#define PIECES 64            /* worked on at once */

typedef struct partial {
    uint64_t zeros, non_finite;
    double least, most, sum, squares;
} partial;

void tg_stored_read(float *x, const tg_stored *s, uint64_t first, size_t n)
{
    const tg_encoding *e = s->encoding;
    e->decode(x, s->data + (size_t)(first / e->block_values) * e->block_bytes, n / e->block_values);
}

tg_status tg_stored_check(const tg_stored *s)
{
    char word[TG_PRINTABLE_BYTES];
    if (s->encoding->decode != NULL)
        return TG_OK;
    return tg_fail(TG_EUNSUPPORTED, "'%s': tensor '%s': values of type %s cannot be read", s->info.file,
                   tg_printable(word, s->info.name), s->info.type);
}

static partial look(const tg_stored *s, uint64_t first, size_t n)
{
    float x[PIECE];
    partial p = {.least = INFINITY, .most = -INFINITY};
    tg_stored_read(x, s, first, n);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i] + 0.0; /* -0 becomes 0 */
        if (!isfinite(v)) {
            p.non_finite++;
            continue;
        }
        p.zeros += v == 0;
        p.least = v < p.least ? v : p.least;
        p.most = v > p.most ? v : p.most;
        p.sum += v;
        p.squares += v * v;
    }
    return p;
}

static void join(partial *all, const partial *p)
{
    all->zeros += p->zeros;
    all->non_finite += p->non_finite;
    all->least = p->least < all->least ? p->least : all->least;
    all->most = p->most > all->most ? p->most : all->most;
    all->sum += p->sum;
    all->squares += p->squares;
}

tg_status tg_tensors_statistics(tg_tensor_statistics *out, const tg_tensors *tensors, size_t index)
{
    const tg_stored *s = tg_tensors_stored(tensors, index);
    if (s == NULL)
        return tg_fail(TG_ENOTFOUND, "there is no tensor number %zu", index);
    const tg_status status = tg_stored_check(s);
    if (status != TG_OK)
        return status;
    const uint64_t n = s->info.values, pieces = (n + PIECE - 1) / PIECE;
    partial all = {.least = INFINITY, .most = -INFINITY}, part[PIECES];
    for (uint64_t first = 0; first < pieces; first += PIECES) {
        const int now = pieces - first < PIECES ? (int)(pieces - first) : PIECES;
#pragma omp parallel for schedule(static) if (now > 1)
        for (int i = 0; i < now; i++) {
            const uint64_t begin = (first + (uint64_t)i) * PIECE;
            part[i] = look(s, begin, n - begin < PIECE ? (size_t)(n - begin) : PIECE);
        }
        for (int i = 0; i < now; i++)
            join(&all, &part[i]);
    }
    tg_map_forget(s->data, s->info.bytes);
    const double finite = (double)(n - all.non_finite);
    *out = (tg_tensor_statistics){.values = n,
                                  .zeros = all.zeros,
                                  .non_finite = all.non_finite,
                                  .least = NAN,
                                  .most = NAN,
                                  .mean = NAN,
                                  .rms = NAN};
    if (finite > 0) {
        out->least = all.least;
        out->most = all.most;
        out->mean = all.sum / finite;
        out->rms = sqrt(all.squares / finite);
    }
    return TG_OK;
}

tg_status tg_tensors_histogram(uint64_t *counts, size_t bins, double low, double high, const tg_tensors *tensors,
                               size_t index)
{
    const tg_stored *s = tg_tensors_stored(tensors, index);
    float x[PIECE];
    if (s == NULL)
        return tg_fail(TG_ENOTFOUND, "there is no tensor number %zu", index);
    if (bins == 0 || !(low < high))
        return tg_fail(TG_EINVAL, "a histogram needs bins, and low < high");
    const tg_status status = tg_stored_check(s);
    if (status != TG_OK)
        return status;
    for (uint64_t first = 0; first < s->info.values; first += PIECE) {
        const uint64_t left = s->info.values - first;
        const size_t n = left < PIECE ? (size_t)left : PIECE;
        tg_stored_read(x, s, first, n);
        for (size_t i = 0; i < n; i++) {
            const double v = (double)x[i];
            if (!(v >= low && v <= high))
                continue;
            const size_t bin = (size_t)((v - low) / (high - low) * (double)bins);
            counts[bin < bins ? bin : bins - 1]++;
        }
    }
    tg_map_forget(s->data, s->info.bytes);
    return TG_OK;
}
