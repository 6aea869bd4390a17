/* base/isa.h -- one source, several instruction sets.
 *
 * Files whose loops are hot (number formats, optimizer rules, layers) are compiled once for each instruction set of the
 * architecture, with TG_ISA set to its tag and every external name of theirs wrapped in TG_PER_ISA. The choice is made
 * once; the environment variable TIGER_ISA (base, v3, v4) forces one. With -ffp-contract=off all of them give the same
 * bits. x86-64 has base (SSE2), v3 (AVX2, FMA) and v4 (AVX-512); arm64 has base (NEON). */
#ifndef TG_BASE_ISA_H
#define TG_BASE_ISA_H

#include <stdbool.h>

#define TG_PASTE2(a, b) a##_##b
#define TG_PASTE(a, b) TG_PASTE2(a, b)
#define TG_PER_ISA(name) TG_PASTE(name, TG_ISA)

/* For loops that take functions and constants from where they are inlined. */
#define TG_INLINE static inline __attribute__((always_inline))

typedef enum tg_isa { TG_ISA_BASE, TG_ISA_V3, TG_ISA_V4, TG_ISA_COUNT } tg_isa;

tg_isa tg_isa_chosen(void);          /* the best of this machine and build, or what TIGER_ISA says */
bool tg_isa_usable(tg_isa isa);      /* built in, and this machine has it */
const char *tg_isa_name(tg_isa isa); /* "base", "v3", "v4" */

/* For tests: from now on use `isa`, which must be usable. Not while other threads run. */
void tg_isa_force(tg_isa isa);

/* Picks among tables named by TG_PER_ISA: TG_ISA_PICK(tg_kernels) is &tg_kernels_v4 where that is chosen. */
#if defined(__x86_64__)
#define TG_ISA_PICK(name)                                                                                              \
    (tg_isa_chosen() == TG_ISA_V4 ? &name##_v4 : tg_isa_chosen() == TG_ISA_V3 ? &name##_v3 : &name##_base)
#define TG_ISA_DECLARE(type, name) extern type name##_base, name##_v3, name##_v4
#else
#define TG_ISA_PICK(name) (&name##_base)
#define TG_ISA_DECLARE(type, name) extern type name##_base
#endif

#endif
