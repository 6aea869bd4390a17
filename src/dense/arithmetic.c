/* dense/arithmetic.c -- see arithmetic.h. */
#include "dense/arithmetic.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

tg_status tg_arithmetic_choose(tg_arithmetic *arithmetic, bool possible, bool faster)
{
    const char *wish = getenv("TIGER_PRODUCTS");
    if (wish == NULL || *wish == '\0') {
        *arithmetic = faster ? TG_NATIVE : TG_WIDEN;
        return TG_OK;
    }
    if (strcmp(wish, "widen") == 0) {
        *arithmetic = TG_WIDEN;
        return TG_OK;
    }
    if (strcmp(wish, "native") != 0)
        return tg_fail(TG_EINVAL, "TIGER_PRODUCTS must be native or widen, not '%s'", wish);
    if (!possible)
        return tg_fail(TG_EUNSUPPORTED,
                       "TIGER_PRODUCTS=native, but oneDNN has no bf16 products for this CPU; use widen");
    *arithmetic = TG_NATIVE;
    return TG_OK;
}
