/* suggest.c -- the known name nearest to what was typed.
 *
 * Distance: insertions, deletions, replacements and swaps of neighbours, each 1 (optimal string alignment). A name is
 * near enough at a third of its length. */
#include "suggest.h"

#include <stdio.h>
#include <string.h>

#define MOST 63

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static char plain(char c) { return c == '_' ? '-' : c; }

static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][MOST + 1]; /* two rows back, the row before, this row */
    for (size_t j = 0; j <= m; j++)
        row[1][j] = row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[2][0] = i;
        for (size_t j = 1; j <= m; j++) {
            const size_t replaced = row[1][j - 1] + (plain(a[i - 1]) != plain(b[j - 1]));
            row[2][j] = least(replaced, least(row[1][j], row[2][j - 1]) + 1);
            if (i > 1 && j > 1 && plain(a[i - 1]) == plain(b[j - 2]) && plain(a[i - 2]) == plain(b[j - 1]))
                row[2][j] = least(row[2][j], row[0][j - 2] + 1);
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][m];
}

void cli_suggest(cli_suggestion *best, const char *known)
{
    const size_t length = strlen(known);
    if (best->bytes > MOST || length > MOST)
        return;
    const size_t d = distance(best->wanted, best->bytes, known, length);
    if (d > (length < 4 ? 1 : length / 3) || (best->name[0] != '\0' && d >= best->distance))
        return;
    best->distance = d;
    snprintf(best->name, sizeof best->name, "%s", known);
}
