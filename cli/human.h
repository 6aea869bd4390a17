/* human.h -- numbers as people read them. Each writes at most `bytes` with the 0. */
#ifndef TIGER_CLI_HUMAN_H
#define TIGER_CLI_HUMAN_H

#include <stddef.h>

void cli_human_bytes(char *text, size_t bytes, double value);                  /* "61.2 MiB" */
void cli_human_count(char *text, size_t bytes, double value, const char *gap); /* "12.3k", "124 M" with gap " " */
void cli_human_seconds(char *text, size_t bytes, double seconds);              /* "0:42", "1:02:03"; "-" when unknown */
void cli_human_duration(char *text, size_t bytes, double seconds);             /* of one thing: "1.65 ms", "38.4 s" */

/* "s" behind what a number counts, but for 1. */
#define CLI_PLURAL(count) ((count) == 1 ? "" : "s")

#endif
