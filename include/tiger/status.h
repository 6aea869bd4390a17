/* tiger/status.h -- how every fallible function of tiger reports.
 *
 * A function that can fail returns a tg_status. On failure its outputs are as they were before the call, and
 * tg_message() tells in one line what went wrong, where, and what to do. The library never prints or exits. */
#ifndef TIGER_STATUS_H
#define TIGER_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tg_status {
    TG_OK = 0,
    TG_EINVAL,       /* an argument or option is wrong */
    TG_ENOMEM,       /* no memory */
    TG_EIO,          /* the operating system refused to read or write */
    TG_EFORMAT,      /* a file's contents are not what they should be */
    TG_ENOTFOUND,    /* no file, tensor, option, ... of that name */
    TG_ESTATE,       /* the call does not fit the object's state */
    TG_EUNSUPPORTED, /* understood, but not possible in this build or on this machine */
    TG_EDIVERGED,    /* training met too many bad values in a row */
    TG_STATUS_COUNT
} tg_status;

/* A short constant name ("no memory"); never NULL. */
const char *tg_status_name(tg_status status);

/* The calling thread's message of its last failure; "" before the first. Valid until its next failing call. */
const char *tg_message(void);

/* "MAJOR.MINOR.PATCH" of the library in use. */
const char *tg_version(void);

#ifdef __cplusplus
}
#endif
#endif
