/* layer/work.c -- products over converted operands: scratch, conversion, and the walk that plans. Compiled once: its
 * loops are base/kernels.h's. */
#include "layer/work.h"

#include <omp.h>

#include "base/kernels.h"

#define SERIAL_BELOW ((size_t)1 << 15) /* values: less work than waking the threads */
#define PIECE ((size_t)1 << 14)

tg_work tg_work_plan(const tg_graph *graph)
{
    const bool native = graph->format == TG_BF16 && tg_products_arithmetic(graph->products) == TG_NATIVE;
    return (tg_work){.products = graph->products,
                     .convolutions = graph->convolutions,
                     .format = native ? TG_BF16 : TG_F32,
                     .planning = true};
}

tg_work tg_work_run(const tg_graph *graph, void *scratch)
{
    tg_work work = tg_work_plan(graph);
    work.planning = false;
    work.scratch = scratch;
    return work;
}

void *tg_work_take(tg_work *work, size_t bytes)
{
    const size_t rounded = tg_round_up(bytes, TG_CACHE_LINE);
    if (work->planning) {
        work->scratch_bytes += rounded;
        return NULL;
    }
    void *taken = work->scratch;
    work->scratch += rounded;
    return taken;
}

void tg_work_taken(tg_work *work) { work->native = work->scratch; }

size_t tg_work_bytes(const tg_work *work, tg_graph *graph)
{
    if (work->library_bytes > graph->library_bytes)
        graph->library_bytes = work->library_bytes;
    return work->scratch_bytes + tg_round_up(work->native_bytes, TG_CACHE_LINE);
}

tg_status tg_work_product(tg_work *work, const tg_product *product, const void *a, const void *b, const float *bias,
                          void *c)
{
    if (!work->planning)
        return work->format == TG_F32 ? tg_product_f32(product, a, b, c)
                                      : tg_products_run(work->products, product, a, b, bias, c, work->native);
    size_t bytes = 0;
    if (work->format != TG_F32) {
        const tg_status status = tg_products_plan(work->products, product, &bytes);
        if (status != TG_OK)
            return status;
        work->native_bytes = bytes > work->native_bytes ? bytes : work->native_bytes;
    }
    const bool allocates = work->format == TG_F32 || tg_product_packs(product);
    bytes = allocates ? tg_product_library_bytes(product, work->format) : 0;
    work->library_bytes = bytes > work->library_bytes ? bytes : work->library_bytes;
    return TG_OK;
}

tg_status tg_work_convolution(tg_work *work, const tg_convolution *convolution, const void *a, const void *b,
                              const float *bias, void *c)
{
    if (!work->planning)
        return tg_convolutions_run(work->convolutions, convolution, a, b, bias, c, work->native);
    size_t bytes = 0;
    const tg_status status = tg_convolutions_plan(work->convolutions, convolution, &bytes);
    work->native_bytes = bytes > work->native_bytes ? bytes : work->native_bytes;
    return status;
}

static void convert_row(const tg_kernels *kernels, void *dst, tg_format to, const void *src, tg_format from, size_t n)
{
    float middle[256];
    if (to == from)
        memcpy(dst, src, n * tg_format_bytes(to));
    else if (to == TG_F32)
        kernels->widen(dst, src, from, n);
    else if (from == TG_F32)
        kernels->narrow(dst, src, to, n);
    else
        for (size_t i = 0; i < n; i += 256) {
            const size_t now = tg_least(256, n - i);
            kernels->widen(middle, tg_at(src, from, i), from, now);
            kernels->narrow((char *)dst + i * tg_format_bytes(to), middle, to, now);
        }
}

void tg_convert(void *dst, tg_format to, const void *src, tg_format from, size_t rows, size_t cols, size_t ld)
{
    const tg_kernels *kernels = tg_kernels_get();
    if (ld == cols) { /* one long row, in pieces that suit the threads */
        const size_t n = rows * cols;
#pragma omp parallel for schedule(static) if (n >= SERIAL_BELOW)
        for (size_t i = 0; i < n; i += PIECE)
            convert_row(kernels, (char *)dst + i * tg_format_bytes(to), to, tg_at(src, from, i), from,
                        tg_least(PIECE, n - i));
        return;
    }
#pragma omp parallel for schedule(static) if (rows * cols >= SERIAL_BELOW)
    for (size_t r = 0; r < rows; r++)
        convert_row(kernels, (char *)dst + r * cols * tg_format_bytes(to), to, tg_at(src, from, r * ld), from, cols);
}

bool tg_convert_checked(void *dst, tg_format to, const void *src, tg_format from, size_t n)
{
    const tg_kernels *kernels = tg_kernels_get();
    int good = 1;
#pragma omp parallel for schedule(static) reduction(&& : good) if (n >= SERIAL_BELOW)
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t now = tg_least(PIECE, n - i);
        convert_row(kernels, (char *)dst + i * tg_format_bytes(to), to, tg_at(src, from, i), from, now);
        good = good && kernels->all_finite(tg_at(src, from, i), from, now);
    }
    return good != 0;
}

bool tg_all_finite(const void *x, tg_format format, size_t n)
{
    const tg_kernels *kernels = tg_kernels_get();
    int good = 1;
#pragma omp parallel for schedule(static) reduction(&& : good) if (n >= 2 * SERIAL_BELOW)
    for (size_t i = 0; i < n; i += PIECE)
        good = good && kernels->all_finite(tg_at(x, format, i), format, tg_least(PIECE, n - i));
    return good != 0;
}

size_t tg_panel_size(size_t n, size_t most)
{
    if (n <= most)
        return n;
    const size_t unit = most < 64 ? 64 : most / 64 * 64, panels = (n + unit - 1) / unit;
    return tg_least(n, tg_round_up((n + panels - 1) / panels, 64));
}
