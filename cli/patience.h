/* patience.h -- how long threads wait for each other before they give the processor away. */
#ifndef TIGER_CLI_PATIENCE_H
#define TIGER_CLI_PATIENCE_H

/* Begins the program anew with a short spin, unless the environment says how threads wait. Returns when there is nothing
 * to do. */
void cli_wait_politely(char **argv);

#endif
