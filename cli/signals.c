/* signals.c -- signals that end a training. */
#include "signals.h"

#include <signal.h>

#include "command.h"
#include "tiger/engine/train.h"

static volatile sig_atomic_t caught; /* the signal that asked for an end */

static void on_signal(int number)
{
    caught = number;
    tg_train_stop();
}

void cli_catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* a reader that goes away must not cost the run's state */
}

int cli_signal_status(void) { return caught != 0 ? 128 + caught : CLI_FAILED; }
