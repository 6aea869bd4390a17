/* attack_picture.h -- a picture of adversarial examples. */
#ifndef TIGER_CLI_ATTACK_PICTURE_H
#define TIGER_CLI_ATTACK_PICTURE_H

#include "command.h"
#include "tiger/engine/attack.h"

#define CLI_EXAMPLES_MOST 64

/* The first examples of an attack on which the model was right and now is wrong. Starts as {0}, with `wanted` set. */
typedef struct cli_examples {
    size_t wanted, count, channels, rows, cols;
    float *clean, *changed;                 /* (count, channels, rows, cols); heap */
    char caption[CLI_EXAMPLES_MOST][2][64]; /* what the model takes them for, before and after */
} cli_examples;

/* Takes what there is among some images; CLI_OK, or prints a line and gives the exit status. */
int cli_examples_take(cli_examples *examples, const cli_args *args, const tg_attacked *attacked);
/* A row for each: clean, what was added, adversarial. What was added is grey where nothing was, and so much brighter or
 * darker that the largest change of the row is white or black. */
int cli_examples_draw(const cli_examples *examples, const cli_args *args, const char *path);
void cli_examples_free(cli_examples *examples);

#endif
