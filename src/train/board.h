/* train/board.h -- what a run tells TensorBoard: its numbers, and statistics of its tensors every `tensorboard_every`
 * updates.
 *
 * Statistics of weights and momentum are of a sample: all values of a tensor of at most 4096, of larger ones 4096
 * places, one drawn at random from each of as many equal parts, always the same. A share p then has a standard error of
 * at most sqrt(p (1-p) / 4096) < 0.8 %. What they were before the update is kept for the sample alone, so memory is 32
 * KiB a tensor whatever its size; nothing that is trained is written. Of activations: of at most 64 tokens of the first
 * micro-batch, spread evenly, all features.
 *
 *     weight_rms, update_rms, momentum_rms      of the values as they are stored; update: after - before
 *     unmoved_share        of weights whose stored value is the same after the update
 *     sign_flips           share of the momentum's values whose sign changed
 *     activation_mean, activation_std, activation_dead      dead: features that stay below 1e-4 of the tensor's RMS for
 *                                                           every token looked at
 *     weights, updates, momentum                histograms */
#ifndef TG_TRAIN_BOARD_H
#define TG_TRAIN_BOARD_H

#include "store/metrics.h"
#include "train/session.h"

typedef struct tg_board tg_board;

/* Event files in the run's directory, of what follows on `update` updates. The session outlives it. */
tg_status tg_board_open(tg_board **out, const tg_session *session, uint64_t update);
void tg_board_close(tg_board *board); /* NULL is fine */
size_t tg_board_bytes(const tg_session *session);

/* What metrics.jsonl is told, as scalars; those of an event are called event/NAME. */
tg_status tg_board_metrics(tg_board *board, uint64_t update, const tg_metric *fields, size_t count);

/* Around an update whose statistics are due: before its first micro-step, and after its end, with its number. */
tg_status tg_board_before(tg_board *board);
tg_status tg_board_after(tg_board *board, uint64_t update);
/* Between them, in the run of the first micro-step: run.look, with the board as look_ctx. */
void tg_board_look(void *board, const tg_call *call);

tg_status tg_board_sync(tg_board *board);

#endif
