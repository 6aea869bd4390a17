/* base/fail.h -- setting the thread's message. */
#ifndef TG_BASE_FAIL_H
#define TG_BASE_FAIL_H

#include "tiger/status.h"

#if defined(__GNUC__)
#define TG_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TG_PRINTF(text, first)
#endif

/* Sets the calling thread's message and returns `status`: `return tg_fail(TG_EINVAL, "lr must be >= 0, not %g", lr)`.
 * The message may use the old message as an argument. */
tg_status tg_fail(tg_status status, const char *format, ...) TG_PRINTF(2, 3);

/* As tg_fail, with the system's words for `error` (an errno) behind the message. */
tg_status tg_fail_errno(int error, const char *format, ...) TG_PRINTF(2, 3);

#endif
