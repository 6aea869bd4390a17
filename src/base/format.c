/* base/format.c -- names and sizes of number formats, and scalar fp16. */
#include "tiger/format.h"

#include <strings.h>

#include "base/half.h"

static const struct {
    const char *name, *alias, *other;
    size_t bytes;
} formats[TG_FORMAT_COUNT] = {
    [TG_F32] = {"F32", "fp32", "float32", 4},
    [TG_BF16] = {"BF16", "bf16", "bfloat16", 2},
    [TG_F16] = {"F16", "fp16", "float16", 2},
    [TG_F64] = {"F64", "fp64", "float64", 8},
    [TG_I64] = {"I64", "int64", "i64", 8},
    [TG_I32] = {"I32", "int32", "i32", 4},
    [TG_I16] = {"I16", "int16", "i16", 2},
    [TG_I8] = {"I8", "int8", "i8", 1},
    [TG_U64] = {"U64", "uint64", "u64", 8},
    [TG_U32] = {"U32", "uint32", "u32", 4},
    [TG_U16] = {"U16", "uint16", "u16", 2},
    [TG_U8] = {"U8", "uint8", "u8", 1},
    [TG_BOOL] = {"BOOL", "bool", "boolean", 1},
    [TG_F8_E4M3] = {"F8_E4M3", "fp8_e4m3", "float8_e4m3fn", 1},
    [TG_F8_E5M2] = {"F8_E5M2", "fp8_e5m2", "float8_e5m2", 1},
};

size_t tg_format_bytes(tg_format format) { return (unsigned)format < TG_FORMAT_COUNT ? formats[format].bytes : 0; }

const char *tg_format_name(tg_format format)
{
    return (unsigned)format < TG_FORMAT_COUNT ? formats[format].name : "?";
}

tg_format tg_format_parse(const char *name)
{
    for (int f = 0; f < TG_FORMAT_COUNT; f++)
        if (strcasecmp(name, formats[f].name) == 0 || strcasecmp(name, formats[f].alias) == 0 ||
            strcasecmp(name, formats[f].other) == 0)
            return (tg_format)f;
    return TG_FORMAT_COUNT;
}

float tg_f16_to_f32(uint16_t h) { return tg_half_widen(h); }
uint16_t tg_f32_to_f16(float f) { return tg_half_narrow(f); }
uint16_t tg_f32_to_f16_stochastic(float f, uint32_t random) { return tg_half_narrow_stochastic(f, random); }
