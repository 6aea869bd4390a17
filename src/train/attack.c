/* train/attack.c -- a model's directory under attack: robust accuracy over sizes of changes. */
#include "tiger/engine/attack.h"

#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/fail.h"
#include "base/memory.h"
#include "data/pixel.h"
#include "graph/run.h"
#include "model/model.h"
#include "train/task.h"

/* ---- settings ---- */

#define EPS_MOST 1e3 /* as of adversarial training */

#define WHOLE(name_, value_, least_, most_, help_)                                                                     \
    {                                                                                                                  \
        .name = name_, .kind = TG_INTEGER, .value = value_, .least = least_, .most = most_, .help = help_              \
    }

static const tg_option options[TG_ATTACK_OPTIONS] = {
    [TG_ATTACK_METHOD] = {.name = "method",
                          .kind = TG_CHOICE,
                          .value = TG_ATTACK_PGD,
                          .most = TG_ATTACK_FGSM,
                          .choices = "pgd|fgsm",
                          .help = "projected gradient descent (Madry et al. 2018), or one step of length eps from the "
                                  "image itself (Goodfellow et al. 2015)"},
    [TG_ATTACK_NORM] = {.name = "norm",
                        .kind = TG_CHOICE,
                        .value = TG_ATTACK_LINF,
                        .most = TG_BALL_COUNT - 1,
                        .choices = TG_BALLS,
                        .help = "in which eps is measured: any pixel, or the whole image"},
    [TG_ATTACK_STEPS] = WHOLE("steps", 20, 1, 1e6, "pgd: forward and backward each"),
    [TG_ATTACK_STEP] = {.name = "step",
                        .kind = TG_REAL,
                        .value = 0,
                        .least = 0,
                        .most = 1e3,
                        .help = "pgd: length of a step, of pixels from 0 to 1; 0: 2.5 eps / steps"},
    [TG_ATTACK_RANDOM_START] = {.name = "random_start",
                                .kind = TG_SWITCH,
                                .value = 1,
                                .help = "pgd: begin anywhere within eps; off: at the image"},
    [TG_ATTACK_RESTARTS] = WHOLE("restarts", 1, 1, 1e6, "pgd: attacks on each image, from other starts"),
    [TG_ATTACK_SAMPLES] = WHOLE("samples", 0, 0, TG_WHOLE_MOST, "images that are attacked, from the first on; 0: all"),
    [TG_ATTACK_BATCH] = WHOLE("batch", 250, 1, 1 << 20, "images worked on at once"),
    [TG_ATTACK_SEED] = WHOLE("seed", 1, 0, TG_WHOLE_MOST, "of random starts"),
};

static const tg_option_table table = {options, TG_ATTACK_OPTIONS};

const tg_option_table *tg_attack_options(void) { return &table; }

void tg_attack_config_default(tg_attack_config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < TG_ATTACK_OPTIONS; i++)
        config->option[i] = options[i].value;
}

static tg_status check(const tg_attack_config *c)
{
    static const size_t of_pgd[] = {TG_ATTACK_STEPS, TG_ATTACK_STEP, TG_ATTACK_RANDOM_START, TG_ATTACK_RESTARTS};
    for (size_t i = 0; c->option[TG_ATTACK_METHOD] == TG_ATTACK_FGSM && i < sizeof of_pgd / sizeof *of_pgd; i++)
        if (c->option[of_pgd[i]] != options[of_pgd[i]].value)
            return tg_fail(TG_EINVAL, "%s is for pgd: fgsm is one step of length eps from the image itself",
                           options[of_pgd[i]].name);
    if (c->option[TG_ATTACK_RESTARTS] > 1 && c->option[TG_ATTACK_RANDOM_START] == 0)
        return tg_fail(TG_EINVAL, "restarts without a random start are all the same");
    for (size_t i = 0; i < c->sizes; i++)
        if (!(c->eps[i] >= 0 && c->eps[i] <= EPS_MOST))
            return tg_fail(TG_EINVAL, "eps must be from 0 to %g, not %g", EPS_MOST, c->eps[i]);
    return c->sizes > 0 ? TG_OK : tg_fail(TG_EINVAL, "there is no eps to attack with");
}

/* ---- what an attack needs ---- */

typedef struct siege {
    const tg_attack_config *config;
    const tg_attack_listener *listener;
    tg_loaded model;
    tg_samples *samples;
    tg_graph *judge, *graph; /* forward alone, and back to the images */
    tg_attacker attacker;
    size_t count, size;                       /* images, and of a batch */
    size_t room;                              /* B * F */
    int32_t target;                           /* -1: none */
    float *features;                          /* (B, F) */
    float *clean, *kept;                      /* (B, F): pixels from 0 to 1, as they are and as they are shown */
    int32_t *label, *aim;                     /* (B): classes, and whose loss moves; -1: no image */
    int32_t *of_clean, *of_changed, *of_kept; /* (B): choices */
    bool *right, *done; /* (B): the model has been right so far; the attack has come to what it wants */
} siege;

static size_t features_of(const siege *s) { return tg_model_get_config(s->model.model)->features; }

static tg_status find_target(siege *s)
{
    const tg_schema *schema = s->model.schema;
    s->target = -1;
    if (s->config->target == NULL)
        return TG_OK;
    for (size_t i = 0; i < schema->classes; i++)
        if (strcmp(schema->class_name[i], s->config->target) == 0)
            s->target = (int32_t)i;
    return s->target >= 0 ? TG_OK
                          : tg_fail(TG_EINVAL, "%s: the model knows no class '%s'; the first is '%s', the last '%s'",
                                    s->config->directory, s->config->target, schema->class_name[0],
                                    schema->class_name[schema->classes - 1]);
}

static tg_status open_model(siege *s)
{
    const tg_attack_config *c = s->config;
    tg_status status = tg_loaded_open(&s->model, c->directory, TG_PRECISION_FP32);
    if (status != TG_OK)
        return status;
    const tg_schema *schema = s->model.schema;
    if (schema == NULL || !schema->images || schema->class_name == NULL)
        return tg_fail(TG_EINVAL, "%s: attacks are on models that tell classes of images, not on %s of %s",
                       c->directory, tg_model_get_config(s->model.model)->info->name,
                       schema == NULL ? "a text" : "a table");
    const tg_samples_source source = {c->data, c->labels, NULL, TG_TARGET_CLASS, true};
    status = tg_samples_open(&s->samples, &source, schema, 0.0);
    return status == TG_OK ? find_target(s) : status;
}

static tg_status make_graphs(siege *s)
{
    tg_status status = tg_model_graph(&s->graph, s->model.model, TG_ATTACK, TG_F32, s->size, 1);
    if (status == TG_OK)
        status = tg_graph_plan(s->graph, TG_RECOMPUTE_NONE);
    if (status == TG_OK)
        status = tg_graph_allocate(s->graph);
    if (status == TG_OK)
        status = tg_model_graph(&s->judge, s->model.model, TG_EVALUATE, TG_F32, s->size, 1);
    if (status == TG_OK)
        status = tg_graph_plan(s->judge, TG_RECOMPUTE_NONE);
    return status == TG_OK ? tg_graph_share(s->judge, s->graph) : status;
}

static tg_status open(siege *s)
{
    tg_status status = open_model(s);
    if (status != TG_OK)
        return status;
    const size_t all = tg_samples_count(s->samples, TG_SPLIT_TRAIN),
                 wanted = (size_t)s->config->option[TG_ATTACK_SAMPLES];
    const size_t batch = (size_t)s->config->option[TG_ATTACK_BATCH];
    s->count = wanted == 0 || wanted > all ? all : wanted;
    s->size = batch < s->count ? batch : s->count;
    if (!tg_multiply(&s->room, s->size, features_of(s)) || s->room > SIZE_MAX / 16)
        return tg_fail(TG_EINVAL, "a batch of %zu images is too large", s->size);
    s->features = tg_alloc(NULL, s->room, sizeof *s->features);
    s->clean = tg_alloc(NULL, s->room, sizeof *s->clean);
    s->kept = tg_alloc(NULL, s->room, sizeof *s->kept);
    s->label = tg_heap_alloc(s->size, 5 * sizeof *s->label);
    s->right = tg_heap_alloc(s->size, 2 * sizeof *s->right);
    if (s->features == NULL || s->clean == NULL || s->kept == NULL || s->label == NULL || s->right == NULL)
        return tg_no_memory("adversarial images", 3 * s->room * sizeof(float));
    s->done = s->right + s->size;
    s->aim = s->label + s->size;
    s->of_clean = s->aim + s->size;
    s->of_changed = s->of_clean + s->size;
    s->of_kept = s->of_changed + s->size;
    status = tg_attacker_init(&s->attacker, s->model.schema, s->size);
    return status == TG_OK ? make_graphs(s) : status;
}

static void close(siege *s)
{
    tg_graph_destroy(s->judge);
    tg_graph_destroy(s->graph);
    tg_attacker_fini(&s->attacker);
    tg_free(NULL, s->features, s->room, sizeof *s->features);
    tg_free(NULL, s->clean, s->room, sizeof *s->clean);
    tg_free(NULL, s->kept, s->room, sizeof *s->kept);
    tg_heap_free(s->label);
    tg_heap_free(s->right);
    tg_samples_destroy(s->samples);
    tg_loaded_close(&s->model);
}

/* ---- one batch ---- */

typedef struct tally {
    size_t samples, clean, right, reached;
    double loss;
} tally;

/* What the model makes of the features. */
static tg_status judge(const siege *s, int32_t *choices, double *loss)
{
    tg_run run = {.features = s->features, .targets = s->label, .wants_hits = true, .choices = choices};
    const tg_status status = tg_graph_run(s->judge, &run);
    *loss = run.loss_sum;
    return status;
}

static void show(float *restrict shown, const float *restrict pixels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        shown[i] = pixels[i] / TG_PIXEL_MOST;
}

/* Reads the batch; places without an image, or with one that is of the target's class already, have label -1. */
static tg_status take(siege *s, size_t first)
{
    tg_sample_batch b = {s->features, s->label, NULL, s->size};
    double loss;
    tg_samples_window(s->samples, TG_SPLIT_TRAIN, &b, first);
    for (size_t i = 0; i < s->size; i++) {
        if (s->label[i] == s->target || first + i >= s->count)
            s->label[i] = -1;
        s->aim[i] = s->label[i] >= 0 && s->target >= 0 ? s->target : s->label[i];
    }
    tg_attacker_take(&s->attacker, s->features);
    show(s->clean, s->attacker.clean, s->room);
    const tg_status status = judge(s, s->of_clean, &loss);
    for (size_t i = 0; i < s->size; i++) {
        s->right[i] = s->of_clean[i] == s->label[i];
        s->done[i] = s->label[i] < 0;
    }
    return status;
}

/* Of images with which no attack before was done, this one is shown. Gives how many are left. */
static size_t note_attack(siege *s)
{
    const size_t n = features_of(s);
    size_t left = 0;
    for (size_t i = 0; i < s->size; i++) {
        s->right[i] = s->right[i] && s->of_changed[i] == s->label[i];
        if (s->done[i])
            continue;
        show(s->kept + i * n, s->attacker.pixels + i * n, n);
        s->of_kept[i] = s->of_changed[i];
        s->done[i] = s->target >= 0 ? s->of_changed[i] == s->target : s->of_changed[i] != s->label[i];
        left += !s->done[i];
    }
    return left;
}

static void count(tally *t, const siege *s, double loss)
{
    t->loss += loss;
    for (size_t i = 0; i < s->size; i++) {
        if (s->label[i] < 0)
            continue;
        t->samples++;
        t->clean += s->of_clean[i] == s->label[i];
        t->right += s->right[i];
        t->reached += s->target >= 0 && s->of_kept[i] == s->target;
    }
}

/* Tells of the batch's images, those of others' places left out. */
static tg_status tell(siege *s, size_t size)
{
    const tg_schema *schema = s->model.schema;
    const size_t n = features_of(s);
    size_t images = 0;
    if (s->listener->attacked == NULL)
        return TG_OK;
    for (size_t i = 0; i < s->size; i++) {
        if (s->label[i] < 0)
            continue;
        memmove(s->clean + images * n, s->clean + i * n, n * sizeof *s->clean);
        memmove(s->kept + images * n, s->kept + i * n, n * sizeof *s->kept);
        s->label[images] = s->label[i];
        s->of_clean[images] = s->of_clean[i];
        s->of_kept[images++] = s->of_kept[i];
    }
    const tg_attacked told = {.size = size,
                              .count = images,
                              .channels = schema->channels,
                              .rows = schema->rows,
                              .cols = schema->cols,
                              .clean = s->clean,
                              .changed = s->kept,
                              .label = s->label,
                              .choice_of_clean = s->of_clean,
                              .choice_of_changed = s->of_kept,
                              .class_name = schema->class_name};
    return s->listener->attacked(s->listener->ctx, &told);
}

static tg_status attack_batch(tally *t, siege *s, const tg_attack *attack, size_t size, size_t first)
{
    const size_t restarts = (size_t)s->config->option[TG_ATTACK_RESTARTS];
    double loss = 0;
    tg_status status = take(s, first);
    size_t left = 1;
    for (size_t r = 0; r < restarts && left > 0 && status == TG_OK; r++) {
        status = tg_attacker_run(&s->attacker, s->features, attack, s->graph, s->aim, first, r);
        if (status == TG_OK)
            status = judge(s, s->of_changed, &loss);
        if (status == TG_OK)
            left = note_attack(s);
    }
    if (status != TG_OK)
        return status;
    count(t, s, loss);
    return tell(s, size);
}

/* ---- all of them ---- */

static tg_attack attack_of(const siege *s, double eps)
{
    const double *option = s->config->option;
    const bool fgsm = option[TG_ATTACK_METHOD] == TG_ATTACK_FGSM;
    return (tg_attack){.ball = tg_ball_at((size_t)option[TG_ATTACK_NORM]),
                       .eps = eps,
                       .step = fgsm ? eps : option[TG_ATTACK_STEP],
                       .steps = fgsm ? 1 : (size_t)option[TG_ATTACK_STEPS],
                       .random_start = !fgsm && option[TG_ATTACK_RANDOM_START] != 0,
                       .targeted = s->target >= 0,
                       .seed = (uint64_t)option[TG_ATTACK_SEED]};
}

static tg_status attack_size(double *clean, siege *s, size_t size)
{
    const tg_attack attack = attack_of(s, s->config->eps[size]);
    tally t = {0};
    tg_status status = TG_OK;
    for (size_t first = 0; first < s->count && status == TG_OK; first += s->size)
        status = attack_batch(&t, s, &attack, size, first);
    if (status != TG_OK)
        return status;
    if (t.samples == 0)
        return tg_fail(TG_EINVAL, "there is no image to attack: all of them are of class '%s'", s->config->target);
    const double n = (double)t.samples;
    const tg_attack_row row = {.eps = attack.eps,
                               .samples = t.samples,
                               .accuracy = (double)t.right / n,
                               .reached = s->target >= 0 ? (double)t.reached / n : (double)NAN,
                               .loss = t.loss / n};
    *clean = (double)t.clean / n;
    if (s->listener->row != NULL)
        s->listener->row(s->listener->ctx, &row);
    return TG_OK;
}

tg_status tg_attack_model(double *clean, const tg_attack_config *config, const tg_attack_listener *listener)
{
    static const tg_attack_listener nobody = {0};
    siege s = {.config = config, .listener = listener != NULL ? listener : &nobody};
    double share = NAN;
    tg_status status = check(config);
    if (status == TG_OK)
        status = open(&s);
    for (size_t i = 0; i < config->sizes && status == TG_OK; i++)
        status = attack_size(&share, &s, i);
    close(&s);
    if (status == TG_OK)
        *clean = share;
    return status;
}
