/* store/tree.h -- walks of small directory trees that we made ourselves: sync all, remove all. */
#ifndef TG_STORE_TREE_H
#define TG_STORE_TREE_H

#include <stdbool.h>

#include "tiger/status.h"

/* Names are relative to the open directory `at`, or to the working directory with AT_FDCWD. No links are followed. */
tg_status tg_tree_sync(int at, const char *name);
tg_status tg_tree_remove(int at, const char *name); /* a file, too; fine when absent */

/* Calls `entry` for every name in a directory but . and ..; it may remove what it is given. */
tg_status tg_tree_each(int at, const char *name, tg_status (*entry)(void *ctx, int directory, const char *name),
                       void *ctx);

#endif
