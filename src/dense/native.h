/* dense/native.h -- tiles of a product of bf16 operands, which oneDNN multiplies as they are. */
#ifndef TG_DENSE_NATIVE_H
#define TG_DENSE_NATIVE_H

#include "dense/dense.h"

/* Whether this build can on this CPU; and whether that is faster than fp32 there. */
bool tg_native_possible(void);
bool tg_native_faster(void);

/* One thread's compiled tiles of one product, in the caller's memory: a product allocates nothing but what the library
 * does. Between open and close the thread must not be told of other threads (omp_set_num_threads(1)): the library would
 * share out a tile among them. */
typedef struct tg_native {
    const tg_dense_product *product;
    void *engine, *stream; /* the library's, */
    struct {
        void *primitive, *memory[3]; /* and what it compiled for a shape of tiles; NULL: not yet */
    } shapes[4];
} tg_native;
tg_status tg_native_open(tg_native *native, const tg_dense_product *product);
void tg_native_close(tg_native *native); /* fine on {0} */

/* sums (m,n) <- A B, from where the tile's panels of A and B begin, over the product's whole k; m and n up to TG_TILE.
 */
tg_status tg_native_tile(tg_native *native, float *sums, size_t m, size_t n, const uint16_t *a, const uint16_t *b);

#endif
