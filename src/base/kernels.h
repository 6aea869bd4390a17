/* base/kernels.h -- the vector loops everybody needs, built per instruction set: widening, narrowing, sums, checks.
 *
 * All are single-threaded, work on n values without alignment demands, and give the same bits on every instruction
 * set: sums run in 16 fixed lanes of double, combined in a fixed tree. */
#ifndef TG_BASE_KERNELS_H
#define TG_BASE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"
#include "base/random.h"
#include "tiger/format.h"

typedef struct tg_kernels {
    /* dst (n) fp32 <- src (n) fp32, bf16 or fp16. */
    void (*widen)(float *dst, const void *src, tg_format format, size_t n);
    /* dst (n) <- src (n) fp32, nearest even. */
    void (*narrow)(void *dst, const float *src, tg_format format, size_t n);
    /* dst (n) <- src (n) fp32, stochastically; `first` is the first value's index in its tensor, under `key`, whose turn is
     * added to every draw. */
    void (*narrow_stochastic)(void *dst, const float *src, tg_format format, size_t n, tg_key key, uint64_t first);
    /* Kahan pair: x (n) and its rest c (n), both in `format`; src (n) is x + c to fp32's precision. */
    void (*widen_pair)(float *dst, const void *x, const void *c, tg_format format, size_t n);
    void (*narrow_pair)(void *x, void *c, const float *src, tg_format format, size_t n);
    void (*multiply)(float *x, float by, size_t n);          /* x (n) <- by x */
    double (*sum_squares)(const float *x, size_t n);       /* for any magnitudes */
    double (*sum_squares_quick)(const float *x, size_t n); /* to 1e-7; for magnitudes in 1e-18 .. 1e18, as weights have */
    double (*squares_of_stored)(const void *x, tg_format format, size_t n); /* sum_squares_quick of any format */
    /* sums (n) <- sums + squares of x (n) of any format; their sum, as sum_squares gives it. */
    double (*add_squares)(double *sums, const void *x, tg_format format, size_t n);
    float (*max_abs)(const float *x, size_t n);              /* NaN counts as +Inf */
    bool (*all_finite)(const void *x, tg_format format, size_t n);
    void (*decode)(float *dst, const uint8_t *codes, const float *scale, bool is_signed, size_t n); /* base/codes.h */
    void (*encode)(uint8_t *codes, float *scale, const float *src, bool is_signed, size_t n, const tg_key *key,
                   uint64_t first);
    /* m (n) <- decay m + scale g. 16-bit m is rounded stochastically under *key, value i with index first + i, or to
     * nearest where key is NULL. decay 0: m is not read. */
    void (*fold)(void *m, tg_format format, const float *g, float decay, float scale, size_t n, const tg_key *key,
                 uint64_t first);
    /* x (n) <- std times standard normal draws number first, first + 1, ... under `key`: those of tg_random_normal. */
    void (*normal)(float *x, float std, size_t n, tg_key key, uint32_t first);
} tg_kernels;

TG_ISA_DECLARE(const tg_kernels, tg_kernels);

static inline const tg_kernels *tg_kernels_get(void) { return TG_ISA_PICK(tg_kernels); }

#endif
