/* base/fail.c -- statuses and the thread's message. */
#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES 1024

static _Thread_local char message[MESSAGE_BYTES];

const char *tg_status_name(tg_status status)
{
    static const char *const names[TG_STATUS_COUNT] = {
        [TG_OK] = "ok",
        [TG_EINVAL] = "invalid argument",
        [TG_ENOMEM] = "no memory",
        [TG_EIO] = "input/output error",
        [TG_EFORMAT] = "bad file contents",
        [TG_ENOTFOUND] = "not found",
        [TG_ESTATE] = "call out of order",
        [TG_EUNSUPPORTED] = "unsupported",
        [TG_EDIVERGED] = "training diverged",
    };
    return (unsigned)status < TG_STATUS_COUNT ? names[status] : "unknown status";
}

const char *tg_message(void) { return message; }

const char *tg_version(void) { return TG_VERSION; }

tg_status tg_fail(tg_status status, const char *format, ...)
{
    char text[MESSAGE_BYTES]; /* the arguments may point into `message` */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return status;
}

tg_status tg_fail_errno(int error, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const tg_status status = error == ENOMEM ? TG_ENOMEM : error == ENOENT ? TG_ENOTFOUND : TG_EIO;
    return tg_fail(status, "%s: %s", text, strerror(error));
}
