/* suggest.c -- the known name nearest to what was typed. */
#include "suggest.h"

#include <stdio.h>
#include <string.h>

#include "tiger/option.h"

void cli_suggest(cli_suggestion *best, const char *known)
{
    char wanted[sizeof best->name];
    if (best->bytes >= sizeof wanted || strlen(known) >= sizeof best->name)
        return;
    snprintf(wanted, sizeof wanted, "%.*s", (int)best->bytes, best->wanted);
    const size_t distance = tg_name_distance(known, wanted);
    if (!tg_name_near(known, distance) || (best->name[0] != '\0' && distance >= best->distance))
        return;
    best->distance = distance;
    snprintf(best->name, sizeof best->name, "%s", known);
}
