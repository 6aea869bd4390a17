/* base/normal.h -- the logarithm and the cosine behind normal draws (Box & Muller 1958), in double, without branches or
 * calls, so that loops over them vectorise; the same bits on every instruction set.
 *
 * log: m 2^e with m within a factor sqrt(2) of 1, then the series of log((1+s)/(1-s)) with s = (m-1)/(m+1), |s| <
 * 0.172. cos: of turns, reduced to an eighth of one, then Taylor's series of cosine or sine. Both are within some units
 * of the last place: the float made of them is that of libm but for one in millions. */
#ifndef TG_BASE_NORMAL_H
#define TG_BASE_NORMAL_H

#include <stdint.h>
#include <string.h>

#define TG_LN2_HEAD 0x1.62e42fefap-1 /* few bits: e * head is exact */
#define TG_LN2_TAIL 0x1.cf79abc9e3b39p-40
#define TG_WHOLE 0x1.8p+52 /* adding it rounds to a whole number, kept in the low bits */
#define TG_TWO_PI 6.283185307179586

static inline uint64_t tg_bits_from_double(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double tg_double_from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* log(x) of a normal x > 0. */
static inline double tg_log(double x)
{
    const uint64_t bits = tg_bits_from_double(x);
    const double mantissa = tg_double_from_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    const double exponent = tg_double_from_bits(0x4330000000000000u | bits >> 52) - (0x1p52 + 1023);
    const int large = mantissa > 1.4142135623730951;
    const double m = large ? 0.5 * mantissa : mantissa, e = large ? exponent + 1 : exponent;
    const double s = (m - 1) / (m + 1), z = s * s;
    double p = 1.0 / 23;
    p = p * z + 1.0 / 21;
    p = p * z + 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    return e * TG_LN2_HEAD + (e * TG_LN2_TAIL + 2 * (s + s * z * p));
}

/* cos(2 pi turn), 0 <= turn <= 1. */
static inline double tg_cos_turn(double turn)
{
    const double shifted = 4 * turn + TG_WHOLE;
    const uint64_t quarter = tg_bits_from_double(shifted);
    const double a = TG_TWO_PI * (turn - 0.25 * (shifted - TG_WHOLE)), z = a * a;
    double c = 1.0 / 20922789888000.0, s = 1.0 / 355687428096000.0; /* 1/16!, 1/17! */
    c = c * z - 1.0 / 87178291200.0;
    s = s * z - 1.0 / 1307674368000.0;
    c = c * z + 1.0 / 479001600.0;
    s = s * z + 1.0 / 6227020800.0;
    c = c * z - 1.0 / 3628800.0;
    s = s * z - 1.0 / 39916800.0;
    c = c * z + 1.0 / 40320.0;
    s = s * z + 1.0 / 362880.0;
    c = c * z - 1.0 / 720.0;
    s = s * z - 1.0 / 5040.0;
    c = c * z + 1.0 / 24.0;
    s = s * z + 1.0 / 120.0;
    c = c * z - 0.5;
    s = s * z - 1.0 / 6.0;
    const double cosine = 1 + z * c, sine = a + a * z * s;
    const double value = (quarter & 1u) != 0 ? sine : cosine; /* cos, -sin, -cos, sin */
    return ((quarter + 1) & 2u) != 0 ? -value : value;
}

#endif
