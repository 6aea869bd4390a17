/* activation.c -- the functions applied value by value.
 *
 *   relu       y = max(x, 0)                     y' = [x > 0]
 *   relu2      y = max(x, 0)^2                   y' = 2 max(x, 0)                (So et al. 2021, arXiv:2109.08668)
 *   gelu       y = x P(x), P = (1 + erf(x/sqrt 2))/2    y' = P + x exp(-x^2/2)/sqrt(2 pi)   (Hendrycks & Gimpel 2016)
 *   gelu_tanh  y = x (1 + tanh(u))/2 = x s,  s = 1/(1 + exp(-2u)),  u = sqrt(2/pi) (x + 0.044715 x^3)
 *                                                y' = s + x s (1 - s) 2u'
 *   silu       y = x s, s = 1/(1 + exp(-x))      y' = s (1 + x (1 - s))
 *   tanh       y = tanh(x)                       y' = 1 - y^2
 *
 * Backward recomputes from x, in fp32: dx = dy y'(x). */
#include "base/vecmath.h"
#include "layer/elements.h"
#include "layer/layers.h"

#define SQRT_HALF 0.70710678f
#define SQRT_8_OVER_PI 1.59576912f
#define INVERSE_SQRT_2PI 0.39894228f
#define CUBIC 0.044715f

/* One loop a kind, so that each vectorises: y (n) <- f(x), and dx (n) <- dy f'(x). */
typedef void value_function(float *restrict y, const float *restrict x, size_t n);
typedef void slope_function(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n);

static void relu(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] <= 0.0f ? 0.0f : x[i]; /* NaN stays NaN */
}

static void relu_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = x[i] <= 0.0f ? 0.0f : dy[i];
}

static void relu2(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] <= 0.0f ? 0.0f : x[i] * x[i];
}

static void relu2_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = x[i] <= 0.0f ? 0.0f : 2.0f * x[i] * dy[i];
}

static void gelu(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.5f * x[i] * (1.0f + tg_erf(x[i] * SQRT_HALF));
}

static void gelu_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float share = 0.5f * (1.0f + tg_erf(x[i] * SQRT_HALF));
        const float density = INVERSE_SQRT_2PI * tg_exp(-0.5f * x[i] * x[i]);
        dx[i] = dy[i] * (share + x[i] * density);
    }
}

static void gelu_tanh(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / (1.0f + tg_exp(x[i] * (-SQRT_8_OVER_PI - SQRT_8_OVER_PI * CUBIC * (x[i] * x[i]))));
}

static void gelu_tanh_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float square = x[i] * x[i], u2_slope = SQRT_8_OVER_PI + 3.0f * SQRT_8_OVER_PI * CUBIC * square;
        const float s = 1.0f / (1.0f + tg_exp(x[i] * (-SQRT_8_OVER_PI - SQRT_8_OVER_PI * CUBIC * square)));
        dx[i] = dy[i] * (s + x[i] * s * (1.0f - s) * u2_slope);
    }
}

static void silu(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * tg_logistic(x[i]);
}

static void silu_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float s = tg_logistic(x[i]);
        dx[i] = dy[i] * (s * (1.0f + x[i] * (1.0f - s)));
    }
}

static void hyperbolic(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = tg_tanh(x[i]);
}

static void hyperbolic_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float t = tg_tanh(x[i]);
        dx[i] = dy[i] * (1.0f - t * t);
    }
}

static const struct {
    value_function *value;
    slope_function *slope;
} kinds[] = {
    [TG_RELU] = {relu, relu_slope},
    [TG_RELU_SQUARED] = {relu2, relu2_slope},
    [TG_GELU] = {gelu, gelu_slope},
    [TG_GELU_TANH] = {gelu_tanh, gelu_tanh_slope},
    [TG_SILU] = {silu, silu_slope},
    [TG_TANH] = {hyperbolic, hyperbolic_slope},
};

static tg_status forward(const tg_call *call)
{
    const tg_tensor *shape = call->out_shape[0];
    const size_t n = shape->rows * shape->cols;
    value_function *value = kinds[call->op->as.activation.kind].value;
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        float x_buffer[TG_PIECE], y_buffer[TG_PIECE];
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        const float *x = tg_elements_read(x_buffer, call->in[0], shape->format, first, length);
        float *y = tg_elements_target(y_buffer, call->out[0], shape->format, first, false);
        value(y, x, length);
        tg_elements_write(call->out[0], y, shape->format, first, length, false);
    }
    return TG_OK;
}

static tg_status backward(const tg_call *call)
{
    const tg_tensor *shape = call->in_shape[0];
    const size_t n = shape->rows * shape->cols;
    slope_function *slope = kinds[call->op->as.activation.kind].slope;
    if (call->din[0] == NULL)
        return TG_OK;
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        float x_buffer[TG_PIECE], dy_buffer[TG_PIECE], dx_buffer[TG_PIECE];
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        const float *x = tg_elements_read(x_buffer, call->in[0], shape->format, first, length);
        const float *dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, first, length);
        float *dx = tg_elements_target(dx_buffer, call->din[0], shape->format, first, call->add[0]);
        slope(dx, x, dy, length);
        tg_elements_write(call->din[0], dx, shape->format, first, length, call->add[0]);
    }
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_activation) = {
    .info = {.name = "activation",
             .help = "relu, relu2, gelu, gelu_tanh, silu or tanh, value by value",
             .equations = "y = f(x)"},
    .keeps = TG_KEEPS_INPUT(0),
    .forward = forward,
    .backward = backward,
};
