/* store/encoding.c -- the plain formats: one value a block. */
#include "store/encoding.h"

#include <string.h>

#include "base/half.h"
#include "base/kernels.h"

#define PIECE ((size_t)512) /* values copied at a time: files promise no alignment */

static void widen(float *x, const unsigned char *src, tg_format format, size_t n)
{
    const tg_kernels *kernels = tg_kernels_get();
    const size_t bytes = tg_format_bytes(format);
    union { float f32[PIECE]; uint16_t h[PIECE]; } copy;
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t now = n - i < PIECE ? n - i : PIECE;
        memcpy(&copy, src + i * bytes, now * bytes);
        kernels->widen(x + i, &copy, format, now);
    }
}

static void decode_f32(float *x, const unsigned char *src, size_t n) { memcpy(x, src, n * sizeof *x); }
static void decode_bf16(float *x, const unsigned char *src, size_t n) { widen(x, src, TG_BF16, n); }
static void decode_f16(float *x, const unsigned char *src, size_t n) { widen(x, src, TG_F16, n); }

static void decode_f64(float *x, const unsigned char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, src + i * sizeof value, sizeof value);
        x[i] = (float)value;
    }
}

static uint64_t little(const unsigned char *src, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | src[i];
    return value;
}

static void decode_unsigned(float *x, const unsigned char *src, size_t n, size_t bytes)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)little(src + i * bytes, bytes);
}

static void decode_signed(float *x, const unsigned char *src, size_t n, size_t bytes)
{
    const uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    for (size_t i = 0; i < n; i++) {
        const uint64_t value = little(src + i * bytes, bytes);
        x[i] = (value & sign) != 0 ? -(float)((sign - 1 - (value & (sign - 1))) + 1) : (float)value;
    }
}

static void decode_i64(float *x, const unsigned char *src, size_t n) { decode_signed(x, src, n, 8); }
static void decode_i32(float *x, const unsigned char *src, size_t n) { decode_signed(x, src, n, 4); }
static void decode_i16(float *x, const unsigned char *src, size_t n) { decode_signed(x, src, n, 2); }
static void decode_i8(float *x, const unsigned char *src, size_t n) { decode_signed(x, src, n, 1); }
static void decode_u64(float *x, const unsigned char *src, size_t n) { decode_unsigned(x, src, n, 8); }
static void decode_u32(float *x, const unsigned char *src, size_t n) { decode_unsigned(x, src, n, 4); }
static void decode_u16(float *x, const unsigned char *src, size_t n) { decode_unsigned(x, src, n, 2); }
static void decode_u8(float *x, const unsigned char *src, size_t n) { decode_unsigned(x, src, n, 1); }

/* fp16's bits with a smaller exponent: 4 bits of bias 7, 3 of mantissa; all ones is NaN, and there is no Inf. */
static void decode_e4m3(float *x, const unsigned char *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = src[i] & 0x7fu, sign = src[i] & 0x80u;
        const float value = 256.0f * tg_half_widen((uint16_t)(sign << 8 | magnitude << 7));
        x[i] = magnitude == 0x7f ? tg_half_widen((uint16_t)(sign << 8 | 0x7e00u)) : value;
    }
}

/* The upper half of an fp16. */
static void decode_e5m2(float *x, const unsigned char *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = tg_half_widen((uint16_t)(src[i] << 8));
}

static const tg_encoding plain[TG_FORMAT_COUNT] = {
    [TG_F32] = {"F32", TG_F32, 1, 4, decode_f32},
    [TG_BF16] = {"BF16", TG_BF16, 1, 2, decode_bf16},
    [TG_F16] = {"F16", TG_F16, 1, 2, decode_f16},
    [TG_F64] = {"F64", TG_F64, 1, 8, decode_f64},
    [TG_I64] = {"I64", TG_I64, 1, 8, decode_i64},
    [TG_I32] = {"I32", TG_I32, 1, 4, decode_i32},
    [TG_I16] = {"I16", TG_I16, 1, 2, decode_i16},
    [TG_I8] = {"I8", TG_I8, 1, 1, decode_i8},
    [TG_U64] = {"U64", TG_U64, 1, 8, decode_u64},
    [TG_U32] = {"U32", TG_U32, 1, 4, decode_u32},
    [TG_U16] = {"U16", TG_U16, 1, 2, decode_u16},
    [TG_U8] = {"U8", TG_U8, 1, 1, decode_u8},
    [TG_BOOL] = {"BOOL", TG_BOOL, 1, 1, decode_u8},
    [TG_F8_E4M3] = {"F8_E4M3", TG_F8_E4M3, 1, 1, decode_e4m3},
    [TG_F8_E5M2] = {"F8_E5M2", TG_F8_E5M2, 1, 1, decode_e5m2},
};

const tg_encoding *tg_encoding_of_format(tg_format format)
{
    return (unsigned)format < TG_FORMAT_COUNT ? &plain[format] : NULL;
}
