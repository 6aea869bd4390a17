/* signals.h -- signals that end a training. */
#ifndef TIGER_CLI_SIGNALS_H
#define TIGER_CLI_SIGNALS_H

/* From now on SIGINT, SIGTERM and SIGHUP stop the training as tg_train_stop does, once; the second ends the program. */
void cli_catch_signals(void);

/* The exit status of a command that was stopped: 128 + the signal, or CLI_FAILED when it was none. */
int cli_signal_status(void);

#endif
