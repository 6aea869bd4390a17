/* tiger/option.h -- option tables: one table serves the checks, the command's flags, `--help`, the generated
 * documentation, the Python keywords and the default search space. */
#ifndef TIGER_OPTION_H
#define TIGER_OPTION_H

#include <stddef.h>

#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 2^53 - 1: every whole number up to here is a double, and of larger ones a double may stand for several. */
#define TG_WHOLE_MOST 9007199254740991.0

typedef enum tg_option_kind { TG_REAL, TG_INTEGER, TG_SWITCH, TG_CHOICE, TG_BYTES } tg_option_kind;

/* Every value is a finite double: integers and bytes exactly, switches 0 or 1, choices the index into
 * `choices`. */
typedef struct tg_option {
    const char *name; /* as in PyTorch where it has one: "weight_decay"; the flag is --weight-decay */
    tg_option_kind kind;
    double value;               /* the default; NaN: there is none, it must be given */
    double least, most;         /* legal: least <= v <= most, or least < v when `above` is set; infinite: no bound.
                                   For numbers; switches and choices know their values */
    int above;
    double search_least, search_most; /* where a search begins to look; equal: not searched */
    int search_log;
    const char *choices;        /* for TG_CHOICE: "rms|dim|none" */
    const char *help;           /* one line */
} tg_option;

/* An option of a table, as a user gave it. */
typedef struct tg_setting {
    const char *name, *value; /* "history_size", "5" */
} tg_setting;

typedef struct tg_option_table {
    const tg_option *at;
    size_t count;
} tg_option_table;

/* The index of `name` ('-' and '_' are the same); `count` when there is none. */
size_t tg_option_find(const tg_option_table *table, const char *name);

/* The index of the option a misspelt `name` most likely means; `count` when none is near. */
size_t tg_option_nearest(const tg_option_table *table, const char *name);

/* How many letters must be put in, taken out or changed to make one name of the other ('-' and '_' are the same). */
size_t tg_name_distance(const char *a, const char *b);
/* Whether a name of that distance from `name` is worth a "did you mean". */
int tg_name_near(const char *name, size_t distance);

/* *value <- `text` read as the option's kind: a decimal number ("1e-3"), on/off/true/false/yes/no/1/0 for a switch, one
 * of the names for a choice, a number with K, M, G or T (of 1024) behind it, and perhaps "iB", for bytes ("1.5G"), cut to
 * whole bytes. The program's locale does not matter. TG_EINVAL, naming option and range, for what is not
 * legal. */
tg_status tg_option_parse(double *value, const tg_option *option, const char *text);

/* TG_EINVAL, naming option and range, when `value` is not legal (NaN never is). */
tg_status tg_option_check(const tg_option *option, double value);

/* Writes a legal value as text that tg_option_parse reads back to the same double ("required" for a missing default);
 * at most `bytes` with the 0. */
void tg_option_print(char *text, size_t bytes, const tg_option *option, double value);

/* Writes the legal range: "0 <= lr", "0 <= beta < 1", "rms|dim|none", "on|off", "any number"; at most `bytes` with
 * the 0. */
void tg_option_range(char *text, size_t bytes, const tg_option *option);

#ifdef __cplusplus
}
#endif
#endif
