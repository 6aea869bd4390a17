/* problem/dual.c -- arithmetic and functions of dual numbers: forward differentiation (Wengert 1964), exact but for
 * rounding.
 *
 * A derivative of 0 stays 0 even where the slope is infinite or undefined: what does not depend on the variable does not
 * spoil the gradient (sqrt(x) at x = 0 after y). At kinks: abs and sign have slope 0 at 0, min and max that of the first
 * of equals. */
#include "problem/dual.h"

#include <math.h>

static dual chain(double value, double slope, dual a) { return (dual){value, a.d == 0 ? 0 : slope * a.d}; }

static double part(double slope, double d) { return d == 0 ? 0 : slope * d; }

dual tg_dual_add(dual a, dual b) { return (dual){a.v + b.v, a.d + b.d}; }
dual tg_dual_subtract(dual a, dual b) { return (dual){a.v - b.v, a.d - b.d}; }
dual tg_dual_multiply(dual a, dual b) { return (dual){a.v * b.v, part(b.v, a.d) + part(a.v, b.d)}; }
dual tg_dual_divide(dual a, dual b) { return (dual){a.v / b.v, part(1 / b.v, a.d) - part(a.v / b.v / b.v, b.d)}; }
dual tg_dual_negative(dual a, dual b) { return (void)b, (dual){-a.v, -a.d}; }

/* d a^b = b a^(b-1) da + a^b log(a) db; the latter is 0 at a = 0 < b, its limit. */
dual tg_dual_power(dual a, dual b)
{
    const double value = pow(a.v, b.v);
    const double by_base = part(b.v == 0 ? 0 : b.v * pow(a.v, b.v - 1), a.d);
    const double by_exponent = part(a.v == 0 && b.v > 0 ? 0 : value * log(a.v), b.d);
    return (dual){value, by_base + by_exponent};
}

static dual d_sin(dual a, dual b) { return (void)b, chain(sin(a.v), cos(a.v), a); }
static dual d_cos(dual a, dual b) { return (void)b, chain(cos(a.v), -sin(a.v), a); }
static dual d_tan(dual a, dual b) { return (void)b, chain(tan(a.v), 1 + tan(a.v) * tan(a.v), a); }
static dual d_asin(dual a, dual b) { return (void)b, chain(asin(a.v), 1 / sqrt(1 - a.v * a.v), a); }
static dual d_acos(dual a, dual b) { return (void)b, chain(acos(a.v), -1 / sqrt(1 - a.v * a.v), a); }
static dual d_atan(dual a, dual b) { return (void)b, chain(atan(a.v), 1 / (1 + a.v * a.v), a); }
static dual d_sinh(dual a, dual b) { return (void)b, chain(sinh(a.v), cosh(a.v), a); }
static dual d_cosh(dual a, dual b) { return (void)b, chain(cosh(a.v), sinh(a.v), a); }
static dual d_tanh(dual a, dual b) { return (void)b, chain(tanh(a.v), 1 - tanh(a.v) * tanh(a.v), a); }
static dual d_exp(dual a, dual b) { return (void)b, chain(exp(a.v), exp(a.v), a); }
static dual d_log(dual a, dual b) { return (void)b, chain(log(a.v), a.v < 0 ? NAN : 1 / a.v, a); }
static dual d_log2(dual a, dual b) { return (void)b, chain(log2(a.v), a.v < 0 ? NAN : 1 / (a.v * log(2)), a); }
static dual d_log10(dual a, dual b) { return (void)b, chain(log10(a.v), a.v < 0 ? NAN : 1 / (a.v * log(10)), a); }
static dual d_sqrt(dual a, dual b) { return (void)b, chain(sqrt(a.v), 0.5 / sqrt(a.v), a); }
static dual d_cbrt(dual a, dual b) { return (void)b, chain(cbrt(a.v), 1 / (3 * cbrt(a.v) * cbrt(a.v)), a); }
static dual d_abs(dual a, dual b) { return (void)b, chain(fabs(a.v), (double)((a.v > 0) - (a.v < 0)), a); }
static dual d_sign(dual a, dual b) { return (void)b, (dual){(double)((a.v > 0) - (a.v < 0)), 0}; }

static dual d_min(dual a, dual b) { return isnan(a.v) || a.v <= b.v ? a : b; }
static dual d_max(dual a, dual b) { return isnan(a.v) || a.v >= b.v ? a : b; }

static dual d_hypot(dual a, dual b)
{
    const double length = hypot(a.v, b.v);
    return (dual){length, length == 0 ? 0 : part(a.v / length, a.d) + part(b.v / length, b.d)};
}

static dual d_atan2(dual a, dual b)
{
    const double squares = a.v * a.v + b.v * b.v;
    return (dual){atan2(a.v, b.v), part(b.v / squares, a.d) - part(a.v / squares, b.d)};
}

const tg_dual_function tg_dual_functions[] = {
    {"sin", 1, d_sin},     {"cos", 1, d_cos},     {"tan", 1, d_tan},     {"asin", 1, d_asin},   {"acos", 1, d_acos},
    {"atan", 1, d_atan},   {"sinh", 1, d_sinh},   {"cosh", 1, d_cosh},   {"tanh", 1, d_tanh},   {"exp", 1, d_exp},
    {"log", 1, d_log},     {"log2", 1, d_log2},   {"log10", 1, d_log10}, {"sqrt", 1, d_sqrt},   {"cbrt", 1, d_cbrt},
    {"abs", 1, d_abs},     {"sign", 1, d_sign},   {"min", 2, d_min},     {"max", 2, d_max},     {"pow", 2, tg_dual_power},
    {"hypot", 2, d_hypot}, {"atan2", 2, d_atan2}, {NULL, 0, NULL},
};

const char tg_dual_function_names[] = "sin cos tan asin acos atan sinh cosh tanh exp log log2 log10 sqrt cbrt abs sign "
                                      "pow(a,b) min(a,b) max(a,b) hypot(a,b) atan2(y,x)";
