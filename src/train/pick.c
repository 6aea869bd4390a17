/* train/pick.c -- choosing the next token by its logits. */
#include "train/pick.h"

#include <math.h>
#include <stdbool.h>

#include "base/fail.h"

static bool less_likely(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] < logits[b] || (logits[a] == logits[b] && a > b);
}

/* Lets the value at the top of a heap (n), least likely first, sink to its place. */
static void sink(uint32_t *heap, size_t n, size_t at, const float *logits)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child < n && child <= 2 * at + 2; child++)
            if (less_likely(logits, heap[child], heap[least]))
                least = child;
        if (least == at)
            return;
        const uint32_t moved = heap[at];
        heap[at] = heap[least];
        heap[least] = moved;
        at = least;
    }
}

/* The least likely of the k most likely tokens. */
static uint32_t threshold(uint32_t *heap, size_t k, const float *logits, size_t vocab)
{
    for (size_t i = 0; i < k; i++)
        heap[i] = (uint32_t)i;
    for (size_t i = k / 2; i-- > 0;)
        sink(heap, k, i, logits);
    for (size_t i = k; i < vocab; i++)
        if (less_likely(logits, heap[0], (uint32_t)i)) {
            heap[0] = (uint32_t)i;
            sink(heap, k, 0, logits);
        }
    return heap[0];
}

static uint32_t draw(const float *logits, size_t vocab, double temperature, uint32_t best, uint32_t last, tg_key key)
{
    double sum = 0, so_far = 0;
    for (size_t i = 0; i < vocab; i++)
        if (!less_likely(logits, (uint32_t)i, last))
            sum += exp(((double)logits[i] - (double)logits[best]) / temperature);
    const double wanted = ((double)tg_random(key, 0) + (double)tg_random(key, 1) * 0x1p-32) * 0x1p-32 * sum;
    for (size_t i = 0; i < vocab; i++) {
        if (less_likely(logits, (uint32_t)i, last))
            continue;
        so_far += exp(((double)logits[i] - (double)logits[best]) / temperature);
        if (so_far > wanted)
            return (uint32_t)i;
    }
    return best; /* rounding left `wanted` at the very end */
}

tg_status tg_pick_token(uint32_t *token, const float *logits, size_t vocab, double temperature, size_t top_k,
                        uint32_t *heap, tg_key key)
{
    uint32_t best = 0, least = 0;
    bool good = true;
    for (size_t i = 0; i < vocab; i++) {
        good = good && !isnan(logits[i]);
        if (less_likely(logits, best, (uint32_t)i))
            best = (uint32_t)i;
        if (less_likely(logits, (uint32_t)i, least))
            least = (uint32_t)i;
    }
    if (vocab == 0 || !good || !isfinite(logits[best]))
        return tg_fail(TG_EDIVERGED, "the model's output is not a number: its weights are damaged or it diverged");
    if (temperature == 0) {
        *token = best;
        return TG_OK;
    }
    const uint32_t last = top_k == 0 || top_k >= vocab ? least : threshold(heap, top_k, logits, vocab);
    *token = draw(logits, vocab, temperature, best, last, key);
    return TG_OK;
}
