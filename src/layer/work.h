/* layer/work.h -- products and convolutions over operands that may first have to be converted: the shared part of
 * linear, head and conv2d.
 *
 * A layer writes its loops over chunks of tokens and panels of weights once and walks them twice: when planning,
 * nothing is touched but the library compiles what it must and sizes are gathered; when running, the work is done. */
#ifndef TG_LAYER_WORK_H
#define TG_LAYER_WORK_H

#include "base/memory.h"
#include "graph/graph.h"
#include "graph/product.h"

/* Bounds of scratch. Where operands are converted, a panel of weights or a tile of their gradient stays in the cache of
 * a core; a tile of operands as they are may be larger, because the library is slower at few rows. */
#define TG_PANEL_BYTES ((size_t)4 << 20)
#define TG_TILE_BYTES ((size_t)12 << 20)
#define TG_CHUNK_BYTES ((size_t)24 << 20)

typedef struct tg_work {
    tg_products *products;
    tg_convolutions *convolutions;
    tg_format format; /* of both operands of a product: fp32, or bf16 for native products */
    bool planning;
    char *scratch;        /* running: what is left of the op's scratch */
    size_t scratch_bytes; /* planning: taken so far */
    size_t native_bytes;  /* planning: the most a native product or a convolution wants */
    void *native;         /* running: scratch of those */
    size_t library_bytes; /* planning: the most the library takes for itself */
} tg_work;

/* For products of activations of the graph. */
tg_work tg_work_plan(const tg_graph *graph);
tg_work tg_work_run(const tg_graph *graph, void *scratch);
/* Takes `bytes` of scratch; when planning the pointer is NULL. */
void *tg_work_take(tg_work *work, size_t bytes);
/* The rest of scratch serves native products and convolutions: call it after the last take, before the first of these. */
void tg_work_taken(tg_work *work);
/* What the op needs in all; notes the library's share in the graph. Ends a planning walk. */
size_t tg_work_bytes(const tg_work *work, tg_graph *graph);

/* C of operands in work->format, bias in fp32 where the product has one; when planning, all pointers may be NULL. */
tg_status tg_work_product(tg_work *work, const tg_product *product, const void *a, const void *b, const float *bias,
                          void *c);

/* Likewise; the convolution's formats are work->format, or fp32 for what it writes. */
tg_status tg_work_convolution(tg_work *work, const tg_convolution *convolution, const void *a, const void *b,
                              const float *bias, void *c);

/* (rows, cols) of `src`, ld values from row to row, to `dst`, contiguous, in another format. In parallel. */
void tg_convert(void *dst, tg_format to, const void *src, tg_format from, size_t rows, size_t cols, size_t ld);
/* n values, likewise; true when all of them are finite. */
bool tg_convert_checked(void *dst, tg_format to, const void *src, tg_format from, size_t n);
/* True when all n values are finite. In parallel. */
bool tg_all_finite(const void *x, tg_format format, size_t n);

/* n as equal panels of at most `most`, each but the last a multiple of 64. */
size_t tg_panel_size(size_t n, size_t most);

/* Of an activation's or a weight's format; inline, for loops over short rows. */
static inline size_t tg_value_bytes(tg_format format) { return format == TG_F32 ? sizeof(float) : sizeof(uint16_t); }

static inline const void *tg_at(const void *x, tg_format format, size_t index)
{
    return (const char *)x + index * tg_value_bytes(format);
}

static inline void *tg_to(void *x, tg_format format, size_t index)
{
    return (char *)x + index * tg_value_bytes(format);
}


#endif
