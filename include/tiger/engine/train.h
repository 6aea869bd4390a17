/* tiger/engine/train.h -- the training loop, its plan, evaluation, sampling and gradient check. */
#ifndef TIGER_ENGINE_TRAIN_H
#define TIGER_ENGINE_TRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/engine/data.h"
#include "tiger/engine/model.h"
#include "tiger/optim.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- settings ----------------------------------------------------------------------------------------------------- */

/* Options of `tiger train` that are numbers or choices, as an option table; texts (paths, schedules) are in the struct.
 * Order: see TG_TRAIN_... */
enum {
    TG_TRAIN_BATCH, TG_TRAIN_ACCUMULATE, TG_TRAIN_UPDATES, TG_TRAIN_PRECISION, TG_TRAIN_RECOMPUTE,
    TG_TRAIN_VALIDATION, TG_TRAIN_SEED, TG_TRAIN_THREADS, TG_TRAIN_EVAL_EVERY, TG_TRAIN_EVAL_BATCHES,
    TG_TRAIN_SAVE_EVERY, TG_TRAIN_KEEP, TG_TRAIN_LOG_EVERY, TG_TRAIN_FORMAT, TG_TRAIN_MEMORY, TG_TRAIN_SAVE,
    TG_TRAIN_LOSS_GUARD, TG_TRAIN_KEEP_BEST, TG_TRAIN_SAMPLE_EVERY, TG_TRAIN_SAMPLE_TOKENS, TG_TRAIN_TENSORBOARD,
    TG_TRAIN_TENSORBOARD_EVERY, TG_TRAIN_MASK_RATE, TG_TRAIN_MASK_RANDOM, TG_TRAIN_MASK_KEEP, TG_TRAIN_CLOSURE,
    TG_TRAIN_CROP, TG_TRAIN_FLIP, TG_TRAIN_ADVERSARIAL, TG_TRAIN_ADVERSARIAL_NORM, TG_TRAIN_ADVERSARIAL_STEPS,
    TG_TRAIN_ADVERSARIAL_STEP,
    TG_TRAIN_OPTIONS
};
/* What a minimizer evaluates the loss over: choices of option closure. */
enum { TG_CLOSURE_AUTO, TG_CLOSURE_FRESH, TG_CLOSURE_FIXED, TG_CLOSURE_ALL };

const tg_option_table *tg_train_options(void);

typedef enum tg_precision {
    TG_PRECISION_FP32, TG_PRECISION_MIXED, TG_PRECISION_BF16, TG_PRECISION_FP16, TG_PRECISION_COUNT
} tg_precision;
/* Number formats of a policy's weights and activations. */
tg_format tg_precision_weights(tg_precision precision);
tg_format tg_precision_activations(tg_precision precision);

/* A run, as the user describes it. Texts are the caller's and live as long as the run.
 *
 * With `resume` the run's own settings hold, as its newest checkpoint has them; what the user says again must agree
 * (init by its place, a tokenizer by its tokens), but for data and eval_data (another path to the same text) and what
 * changes neither the model nor what it learns from: updates, threads, recompute, memory, how often and how much is
 * evaluated, saved, kept, logged and sampled; and loss_guard, for a run that needs one. What was chosen to fit into a
 * memory stays chosen. Bits are the same on the same number of threads: the product library may sum in another order on
 * another one, as it does of convolutions. */
typedef struct tg_train_config {
    const char *data;      /* text file; of models that learn from samples images, or a table (tiger/engine/samples.h) */
    const char *labels;    /* of images */
    const char *target;    /* the column of a table that is to be told */
    const char *out;       /* run directory; NULL: nothing is written */
    const char *init;      /* directory of a model to start from; NULL: fresh weights of `model` */
    bool resume;           /* go on from the newest checkpoint in `out`, if there is one */
    const char *tokenizer; /* "byte", "char", or a path as tg_tokenizer_read takes it; NULL: the directory's own with `init`,
                              else "char" */
    size_t vocab;          /* pad the vocabulary to this size; 0: the tokenizer's */
    tg_model_config model; /* vocab is filled in from the tokenizer; with `init` it is what tg_model_config_read gives for
                              that directory, dropout changed perhaps */
    bool given_model;      /* `model` was said by the user, rather than a default: that of a run to resume must be the
                              same; what is 0 in it follows from others */
    double option[TG_TRAIN_OPTIONS];
    bool given[TG_TRAIN_OPTIONS]; /* said by the user, rather than a default */
    const char *optimizer;     /* or minimizer (tiger/engine/method.h); NULL: "tiger" */
    const tg_setting *setting; /* options of the optimizer */
    size_t settings;
    const char *state_file;    /* a new file to keep the optimizer's states in, mapped; NULL: memory */
    const char *weight_file;   /* the same for the weights */
    const char *schedule;  /* of lr and other options (tiger/schedule.h); NULL: default_schedule */
    const char *default_schedule; /* of a run that begins, where `schedule` is not said: a run to resume has its own;
                                     NULL: "constant" */
    const char *eval_data; /* text to evaluate on, of the same format: then all of `data` is trained on; NULL: the share
                              `validation` of data's end */
    const char *eval_labels;   /* of eval_data's images */
    const char *sample_prompt; /* what samples begin with; NULL: nothing */
    double max_seconds;    /* of this process: then the run ends as by tg_train_stop, after at least one update; 0: none */
    double max_work;       /* the run is over once its updates have come to so much (tg_progress), as it is after all of them;
                              0: none */
    double eval_work;      /* 0, or work between evaluations, in place of eval_every */
    double peak_flops;     /* floating-point operations a second that the machine can do at most in products, for the
                              utilisation; 0: it is measured when the run begins; negative: not wanted */
} tg_train_config;

void tg_train_config_default(tg_train_config *config);

/* *flops <- operations a second of a large square product of fp32 or bf16 matrices, on as many threads as OpenMP gives:
 * the best of some, within about a quarter of a second. What a training measures for its utilisation. */
tg_status tg_product_peak(double *flops, tg_format format);

/* ---- plan ---------------------------------------------------------------------------------------------------------- */

typedef struct tg_plan {
    size_t weights_bytes, states_bytes, gradients_bytes, activations_bytes, scratch_bytes, data_bytes,
        process_bytes; /* the process itself before training: code, libraries, compiled kernels */
    bool weights_on_disk, states_on_disk; /* in mapped files; gradient arrays lie where states do */
    size_t disk_bytes;   /* of those files */
    size_t mapped_bytes; /* of those files, in memory at a time */
    size_t peak_bytes; /* resident memory at its highest: the sum less what is on disk, or what reading a large vocabulary
                          took */
    size_t batch, accumulate; /* as said, or as chosen to stay within limit_bytes; */
    int recompute;            /* index into the option's choices */
    size_t limit_bytes;       /* option memory; 0: none */
    size_t asked_bytes;       /* peak of what was said and is not what was chosen; 0: it is */
    size_t available_bytes;   /* of this machine, for this process, now; 0: not known */
    tg_model_config model;    /* complete */
    const char *items;        /* what an update is made of: "tokens", "samples" */
    double flops_per_update, tokens_per_update; /* tokens, or samples */
    bool evaluates; /* by a minimizer: the two are of one evaluation, of which an update makes several */
    size_t parameters;
    double bytes_per_parameter; /* of training state: weights + states + gradients */
} tg_plan;

/* The same batches of the same model trained in another way. */
typedef struct tg_plan_peer {
    const char *name, *what; /* "usual AdamW", one line */
    size_t master_bytes;     /* of an fp32 copy of the weights, part of the peak */
    tg_plan plan;
} tg_plan_peer;

enum { TG_PLAN_PEER_USUAL, TG_PLAN_PEER_FP32, TG_PLAN_PEER_BF16, TG_PLAN_PEERS };

/* ---- what a run tells ------------------------------------------------------------------------------------------------ */

typedef struct tg_progress {
    uint64_t update, updates;  /* made, wanted */
    double loss, lr, tokens_per_second, seconds_left; /* tokens, or what `rate` says; of updates, not of evaluations */
    const char *rate;          /* "tok", "samples" */
    size_t memory_bytes;       /* resident now */
    double flops_per_second;   /* the model's, over the time of this process's updates; evaluation and the like apart */
    double optimizer_seconds;  /* of this process, spent on updates beside forward and backward; what is folded or
                                * released while backward makes it is backward's */
    double utilisation;        /* of the peak in products, 0 to 1; NaN: the peak is not known */
    double work;               /* of this process: sequences or samples that updates took forward and backward; those taken
                                * forward alone count a third. Estimates of curvature are not counted */
    uint64_t evaluations;      /* of this update: 1, unless a minimizer made it; then lr is NaN, */
    double step;               /* this the length of its step, */
    const char *line_search;   /* and how that was found; else NULL */
} tg_progress;

/* What a model comes to on data that it is not trained on. Scores of other tasks than its own are NaN. */
typedef struct tg_evaluation {
    double loss;       /* in the mean: nats a token or sample, or the squared error of a standardised number */
    double perplexity; /* language: exp(loss) */
    double bits_per_byte, bits_per_char; /* language: the sum of the losses / ln 2, over the bytes or characters of the
                                            tokens that counted; what ends a document has none. NaN: there are none, and
                                            of models that fill in masked tokens */
    double accuracy;   /* classification: the share of samples whose class is the model's first choice */
    double rmse, r2;   /* regression: root of the mean squared error, in the target's own units; share of the target's
                          variance that the model explains */
    size_t targets;    /* tokens or samples that counted */
} tg_evaluation;

/* The scores of tg_evaluation, for whoever prints or keeps them. */
typedef struct tg_score {
    const char *name, *title; /* "bits_per_byte" in metrics.jsonl, "bits per byte" */
    const char *format;       /* of printf, for the value times `times`: "%.2f %%" */
    const char *line;         /* the same within a line; NULL: not there */
    double times;
    bool main;                /* what people ask for beside the loss: races show it */
    size_t offset;            /* in tg_evaluation, a double */
} tg_score;
size_t tg_score_count(void);
const tg_score *tg_score_at(size_t index); /* NULL past the end */
double tg_score_value(const tg_score *score, const tg_evaluation *evaluation);

typedef struct tg_evaluated {
    uint64_t update;
    tg_evaluation of;
    bool best; /* the least loss of the run so far */
} tg_evaluated;

typedef struct tg_train_listener {
    void (*plan)(void *ctx, const tg_plan *plan);                /* before the first update */
    void (*progress)(void *ctx, const tg_progress *progress);    /* after every update */
    void (*evaluated)(void *ctx, const tg_evaluated *evaluated);
    void (*sampled)(void *ctx, uint64_t update, const char *text); /* UTF-8, the prompt in front */
    void (*saved)(void *ctx, uint64_t update, const char *directory);
    void (*note)(void *ctx, const char *line);                   /* guard events, warnings, resuming */
    bool (*enough)(void *ctx); /* asked before every update: true ends the run as tg_train_stop does */
    void *ctx;
} tg_train_listener;

typedef struct tg_train_result {
    uint64_t updates;
    double train_loss, validation_loss; /* validation NaN when there is none */
    tg_evaluation validation;           /* of the last evaluation in this process; all NaN when there was none */
    const char *rate;                   /* what is counted in a second: "tok", "samples" */
    double best_loss;                   /* the least validation loss; NaN when there is none */
    uint64_t best_update;
    double seconds;                     /* of this process, evaluations and saving included */
    double tokens_per_second;           /* while it made updates */
    double update_seconds;              /* of one update, in the mean; NaN: none was made; */
    double optimizer_seconds;           /* of these beside forward and backward, as in tg_progress */
    double peak_flops, utilisation;     /* as in tg_progress; NaN: not known */
    size_t peak_bytes, planned_bytes;
    bool interrupted;                   /* stopped by tg_train_stop or by max_seconds, state saved */
    const char *ended;                  /* why a minimizer ended before all updates, a sentence; else NULL */
    uint64_t evaluations;               /* of this process: of a rule its updates */
} tg_train_result;

/* Runs, or resumes, a training. */
tg_status tg_train_run(tg_train_result *result, const tg_train_config *config, const tg_train_listener *listener);
/* The optimizer or minimizer of the run in `out`, as the newest of its checkpoints that can be read has it; NULL: none can.
 */
const char *tg_train_saved_optimizer(const char *out);
/* The plan alone; no file is written, no large memory touched. */
tg_status tg_train_plan(tg_plan *plan, const tg_train_config *config);
/* What a plan is to be compared with: AdamW in mixed precision as it is usually done (16 bytes a parameter, activations
 * alike), and adamw as tg_train_run runs it in fp32 and in bf16. `plan` is what tg_train_plan made of `config`. */
tg_status tg_train_plan_peers(tg_plan_peer peer[TG_PLAN_PEERS], const tg_plan *plan, const tg_train_config *config);
/* Async-signal-safe: the running training saves after its current update and returns.
 *
 * Signal handlers of a program that trains, whatever they do, need a stack of their own (sigaltstack, and SA_ONSTACK in
 * sigaction): on the program's stack a signal in the midst of oneDNN's products has spoiled the heap now and then.
 * cli/signals.c shows how. */
void tg_train_stop(void);

/* ---- the learning-rate range test -------------------------------------------------------------------------------- */

/* Losses over a learning rate that grows from update to update (Smith 2017, arXiv:1506.01186). */
typedef struct tg_lr_range {
    double *lr, *loss; /* loss of the batch that follows an update made with lr */
    double *smoothed;  /* exponential average of the losses, bias removed */
    size_t count;
    double suggested;   /* where the smoothed loss falls most steeply over log lr; NaN: it does not fall, noise apart */
    double last_stable; /* where it is least; from there on it rises */
    double diverged;    /* where it was above 4 times its least, or not finite, and the test ended; NaN: nowhere */
    bool interrupted;   /* by tg_train_stop: the rest is what was seen until then */
} tg_lr_range;

/* Trains as `config` says, without writing anything, for its `updates` (at least 10) or until the loss diverges, while
 * lr grows exponentially from `from` to `to`; 0 <= smooth < 1 weighs the past in the average. config's out, resume,
 * schedule and validation are not used, and its settings leave out lr. */
tg_status tg_lr_range_run(tg_lr_range *range, const tg_train_config *config, double from, double to, double smooth,
                          const tg_train_listener *listener);
/* Fills in all but the arrays lr and loss, from them; `smoothed` has room for `count`, which a divergence cuts. */
void tg_lr_range_judge(tg_lr_range *range, double smooth);
void tg_lr_range_fini(tg_lr_range *range); /* fine on {0} */

/* ---- afterwards -------------------------------------------------------------------------------------------------------- */

typedef struct tg_evaluate_config {
    const char *directory;        /* of a model */
    const char *data;             /* a text of that format, or what a model that learned from samples is to be tried on */
    tg_data_format format;
    const char *labels, *target;  /* as in training; a table's target may be left out */
    size_t batch;
    tg_precision precision;
} tg_evaluate_config;

/* A model that fills in masked tokens has 15 % of them masked, always the same. The first token of a text has no
 * prediction. */
tg_status tg_evaluate(tg_evaluation *out, const tg_evaluate_config *config);

typedef struct tg_sample_config {
    const char *directory, *prompt;
    size_t tokens, top_k;   /* top_k 0: all */
    double temperature;     /* 0: the most likely token */
    uint64_t seed;
    tg_precision precision; /* of the activations; weights keep the file's format unless fp32 is asked for */
} tg_sample_config;

/* Hands out the text as it is made, prompt first, in pieces of whole characters. The model reads what its tokenizer
 * puts in front of a text, too. TG_EUNSUPPORTED for one that fills in masked tokens. */
tg_status tg_sample(const tg_sample_config *config, void (*text)(void *ctx, const char *bytes, size_t count), void *ctx);

#define TG_FILLINGS 5 /* of a place, when top_k is 0 */

typedef struct tg_filling {
    size_t mask, rank; /* which masked place of the prompt, and how many tokens are likelier there */
    const char *text;
    size_t bytes;
    double probability;
} tg_filling;

/* Instead, for a model that fills in masked tokens: the top_k likeliest at every masked place of the prompt, in order;
 * the other settings but directory, prompt and precision are not used. */
tg_status tg_fill(const tg_sample_config *config, void (*filling)(void *ctx, const tg_filling *filling), void *ctx);

typedef struct tg_check_row {
    const char *weight;
    double analytic_norm, numeric_norm, relative_error; /* |a - n| / max(|a|, |n|) over the values probed */
    size_t probed;
    bool good;
} tg_check_row;

/* Central differences of the loss in fp32 against the model's backward, `probes` random directions and values a tensor. */
tg_status tg_check_gradients(const tg_model_config *model, size_t batch, size_t time, size_t probes, uint64_t seed,
                             void (*row)(void *ctx, const tg_check_row *row), void *ctx, bool *all_good);

#ifdef __cplusplus
}
#endif
#endif
