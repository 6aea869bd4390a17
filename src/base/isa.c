/* base/isa.c -- which instruction set this process uses. */
#include "base/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[TG_ISA_COUNT] = {"base", "v3", "v4"};

/* The dispatch table's one cell: TG_ISA_COUNT until the first question. Racing first questions store the same. */
static atomic_int chosen = TG_ISA_COUNT;

bool tg_isa_usable(tg_isa isa)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512cd");
    return isa == TG_ISA_BASE || (isa == TG_ISA_V3 && v3) || (isa == TG_ISA_V4 && v4);
#else
    return isa == TG_ISA_BASE;
#endif
}

const char *tg_isa_name(tg_isa isa) { return names[isa]; }

void tg_isa_force(tg_isa isa) { atomic_store(&chosen, (int)isa); }

static tg_isa choose(void)
{
    const char *wish = getenv("TIGER_ISA");
    for (int isa = 0; wish != NULL && isa < TG_ISA_COUNT; isa++)
        if (strcmp(wish, names[isa]) == 0 && tg_isa_usable((tg_isa)isa))
            return (tg_isa)isa;
    for (int isa = TG_ISA_COUNT - 1; isa > 0; isa--)
        if (tg_isa_usable((tg_isa)isa))
            return (tg_isa)isa;
    return TG_ISA_BASE;
}

tg_isa tg_isa_chosen(void)
{
    int isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (isa == TG_ISA_COUNT) {
        isa = (int)choose();
        atomic_store(&chosen, isa);
    }
    return (tg_isa)isa;
}
