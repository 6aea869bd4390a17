/* data/cifar_files.h -- CIFAR as people have it after unpacking: a directory of several files; or files by name. */
#ifndef TG_DATA_CIFAR_FILES_H
#define TG_DATA_CIFAR_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "data/cifar.h"
#include "data/packed.h"
#include "tiger/status.h"

/* Which files of a directory are wanted. */
typedef enum tg_cifar_part { TG_CIFAR_TRAIN, TG_CIFAR_TRAIN_AND_TEST, TG_CIFAR_TEST } tg_cifar_part;

#define TG_CIFAR_MOST_FILES 64

typedef struct tg_cifar_files {
    char *path[TG_CIFAR_MOST_FILES]; /* heap */
    size_t count, tests;             /* the last `tests` of them are a directory's test file */
} tg_cifar_files;

/* What `said` names: a directory, whose files have the names of CIFAR's archives; files with commas between them; or
 * one file, be it there or not. TG_CIFAR_TEST: all of a directory that has no test file. TG_EINVAL for a directory
 * without CIFAR's files, or that lacks some. */
tg_status tg_cifar_files_find(tg_cifar_files *files, const char *said, tg_cifar_part part);
void tg_cifar_files_fini(tg_cifar_files *files); /* fine on {0} */

/* Reads all of them into one block, in order: *all has their records, of which the last *tests are test files'. Each
 * must be whole and of the same kind as the first: TG_EFORMAT naming the one that is not. */
tg_status tg_cifar_join(tg_cifar *all, size_t *tests, tg_packed *block, const tg_cifar_files *files);

/* `said` as it is found from anywhere. Heap; NULL when there is no memory. */
char *tg_cifar_files_absolute(const char *said);

#endif
