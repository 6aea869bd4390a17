/* signals.h -- signals that end a training. */
#ifndef TIGER_CLI_SIGNALS_H
#define TIGER_CLI_SIGNALS_H

/* From now on the first SIGINT, SIGTERM or SIGHUP stops the training as tg_train_stop does; the second ends the
 * program. SIGPIPE and SIGXFSZ do nothing: what cannot be written is a failure like others. */
void cli_catch_signals(void);

/* The exit status of a command that was stopped before it had a result: 128 + the signal; CLI_FAILED: it was none. */
int cli_signal_status(void);

#endif
