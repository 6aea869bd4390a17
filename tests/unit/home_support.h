/* home_support.h -- tests that write files: a folder of their own under /tmp, in which they run, and what they ask of
 * statuses. */
#ifndef TG_HOME_SUPPORT_H
#define TG_HOME_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/directory.h"
#include "tiger/status.h"

static char home[64];

/* Setup and teardown of a group: into a new folder with a folder "m" in it, and back out. */
static inline int enter(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/tiger-test-XXXXXX");
    return mkdtemp(home) == NULL || chdir(home) != 0 || mkdir("m", 0700) != 0 ? -1 : 0;
}

static inline int leave(void **state)
{
    (void)state;
    return chdir("/") != 0 || tg_directory_remove(home) != TG_OK ? -1 : 0;
}

static inline void ok(tg_status status)
{
    if (status != TG_OK)
        fail_msg("%s", tg_message());
}

/* The status, with every word of `words` (split at '|') in a message of one line. */
static inline void refused(tg_status status, tg_status wanted, const char *words)
{
    char copy[256];
    if (status != wanted)
        fail_msg("%s instead of %s (%s): %s", tg_status_name(status), tg_status_name(wanted), words, tg_message());
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, "|"); word != NULL; word = strtok(NULL, "|"))
        if (strstr(tg_message(), word) == NULL)
            fail_msg("'%s' is not in '%s'", word, tg_message());
    assert_null(strchr(tg_message(), '\n'));
}

#endif
