/* signals.c -- signals that end a training.
 *
 * The first one asks for an end: what is under way is finished and saved. With it all of them get back what they do to
 * any program: the next one, whichever it is, ends the process at once, and the shell then shows 128 + its number. */
#define _XOPEN_SOURCE 700 /* sigaltstack */
#include "signals.h"

#include <signal.h>
#include <unistd.h>

#include "command.h"
#include "tiger/engine/train.h"

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t caught; /* the signal that asked for an end */
static volatile sig_atomic_t tells;  /* somebody sits at the terminal and may wonder */

static void on_signal(int number)
{
    static const char line[] = "\nstopping after this update, and saving; once more stops at once\n";
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        signal(ending[i], SIG_DFL);
    caught = number;
    tg_train_stop();
    if (tells && write(STDERR_FILENO, line, sizeof line - 1) < 0)
        tells = 0; /* nobody is there any more */
}

/* The handler has a stack of its own. On the program's, a signal that came in the midst of oneDNN's products spoiled the
 * heap now and then (2.6, 8 of 1,980 runs; of none since): it seems that its kernels keep something below the stack
 * pointer. */
static void take_own_stack(void)
{
    static char memory[1 << 16];
    const stack_t own = {.ss_sp = memory, .ss_size = sizeof memory};
    sigaltstack(&own, NULL);
}

void cli_catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    take_own_stack();
    tells = isatty(STDERR_FILENO);
    sigemptyset(&stop.sa_mask);
    sigemptyset(&ignore.sa_mask);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        sigaddset(&stop.sa_mask, ending[i]); /* one handler at a time */
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        sigaction(ending[i], &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL); /* a reader that goes away must not cost the run's state */
#ifdef SIGXFSZ
    sigaction(SIGXFSZ, &ignore, NULL); /* a file that may not grow is a failed write, which is told */
#endif
}

int cli_signal_status(void) { return caught != 0 ? 128 + caught : CLI_FAILED; }
