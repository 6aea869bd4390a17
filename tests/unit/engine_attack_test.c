/* Attacks: the gradient of samples against differences, balls, and what a listener is told. */
#include <math.h>
#include <omp.h>

#include "attack/attack.h"
#include "base/memory.h"
#include "graph/run.h"
#include "home_support.h"
#include "model/model.h"
#include "tiger/engine/attack.h"
#include "tiger/engine/train.h"

#define CHANNELS 3
#define ROWS 7
#define COLS 9
#define PLACES (ROWS * COLS)
#define FEATURES (CHANNELS * PLACES)
#define CLASSES 4
#define BATCH 5

/* ---- the gradient of the samples ---- */

typedef struct shape {
    const char *model, *options; /* "NAME VALUE NAME VALUE ..." */
} shape;

static const shape shapes[] = {
    {"logistic", ""},
    {"mlp", "layers 2 width 11 activation gelu norm layer"},
    {"mlp", "layers 1 width 13 activation tanh norm batch dropout 0.3"},
    {"resnet", "depth 8 width 4 activation gelu norm batch"},
    {"resnet", "depth 8 width 4 activation silu norm group groups 2"},
};

static tg_model *model_of(const shape *s)
{
    tg_model_config config;
    char text[128];
    ok(tg_model_config_default(&config, s->model));
    snprintf(text, sizeof text, "%s", s->options);
    for (char *name = strtok(text, " "); name != NULL; name = strtok(NULL, " "))
        ok(tg_model_config_set(&config, name, strtok(NULL, " ")));
    config.features = FEATURES;
    config.outputs = CLASSES;
    config.channels = CHANNELS;
    config.rows = ROWS;
    config.cols = COLS;
    ok(tg_model_config_complete(&config));
    tg_model *model;
    ok(tg_model_create(&model, &config, TG_F32));
    ok(tg_model_initialize(model, 2385));
    for (size_t w = 0; w < tg_model_weight_count(model); w++) { /* running statistics and gains that are not 0 and 1 */
        const tg_param *p = tg_model_weight(model, w);
        float *x = p->data;
        for (size_t i = 0; i < p->rows * p->cols; i++)
            x[i] += 0.3f * tg_random_uniform(tg_key_make(7, w, 0, 0), (uint32_t)i);
    }
    return model;
}

static tg_graph *graph_of(tg_model *model, tg_mode mode, tg_recompute recompute)
{
    tg_graph *graph;
    ok(tg_model_graph(&graph, model, mode, TG_F32, BATCH, 1));
    ok(tg_graph_plan(graph, recompute));
    ok(tg_graph_allocate(graph));
    return graph;
}

static double loss_of(tg_graph *graph, const float *features, const int32_t *targets)
{
    tg_run run = {.features = features, .targets = targets};
    ok(tg_graph_run(graph, &run));
    return run.loss;
}

/* Along directions by chance over the whole batch, and over one sample alone. */
static void check_direction(tg_graph *graph, const float *x, const float *dx, const int32_t *targets, size_t sample,
                            uint32_t number)
{
    static float moved[BATCH * FEATURES];
    const double step = 3e-3;
    double numeric = 0, analytic = 0;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t i = 0; i < BATCH * FEATURES; i++) {
            const bool there = sample == BATCH || i / FEATURES == sample;
            const float d = there ? tg_random_normal(tg_key_make(11, number, 0, 0), (uint32_t)i) : 0;
            moved[i] = x[i] + (float)(sign * step) * d;
            analytic += sign > 0 ? (double)dx[i] * (double)d : 0;
        }
        numeric += sign * loss_of(graph, moved, targets) / (2 * step);
    }
    if (!(fabs(numeric - analytic) <= 3e-3 * fabs(numeric) + 2e-4))
        fail_msg("sample %zu, direction %u: %g instead of %g", sample, number, analytic, numeric);
}

static void gradients_of_samples(void **state)
{
    (void)state;
    static float x[BATCH * FEATURES], dx[BATCH * FEATURES], again[BATCH * FEATURES];
    const int32_t targets[BATCH] = {2, 0, -1, 3, 1};
    for (size_t i = 0; i < BATCH * FEATURES; i++)
        x[i] = tg_random_normal(tg_key_make(3, 5, 0, 0), (uint32_t)i);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        tg_model *model = model_of(&shapes[s]);
        tg_graph *attack = graph_of(model, TG_ATTACK, TG_RECOMPUTE_NONE), *plain = graph_of(model, TG_EVALUATE, 0);
        tg_graph *thrifty = graph_of(model, TG_ATTACK, TG_RECOMPUTE_BLOCK);
        tg_run run = {.features = x, .targets = targets, .dfeatures = dx};
        ok(tg_graph_run(attack, &run));
        assert_true(run.loss == loss_of(plain, x, targets)); /* the same function, to the bit */
        for (uint32_t d = 0; d < 6; d++)
            check_direction(plain, x, dx, targets, d % 2 == 0 ? BATCH : d - 1, d);
        for (size_t i = 2 * FEATURES; i < 3 * FEATURES; i++) /* nobody asks for this sample */
            assert_true(dx[i] == 0);
        run.dfeatures = again;
        ok(tg_graph_run(thrifty, &run));
        assert_memory_equal(dx, again, sizeof dx);
        tg_graph_destroy(thrifty);
        tg_graph_destroy(plain);
        tg_graph_destroy(attack);
        tg_model_destroy(model);
    }
}

/* ---- balls ---- */

static double size_of(const tg_ball *ball, const float *a, const float *b, size_t n)
{
    double most = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        square += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    }
    return ball == &tg_ball_linf ? most : sqrt(square);
}

static void balls(void **state)
{
    (void)state;
    float clean[23], x[23], g[23], before[23];
    for (size_t b = 0; b < TG_BALL_COUNT; b++) {
        const tg_ball *ball = tg_ball_at(b);
        double largest = 0, sum = 0, drift = 0;
        for (uint32_t trial = 0; trial < 200; trial++) {
            for (uint32_t i = 0; i < 23; i++) {
                clean[i] = x[i] = 100 + 9 * tg_random_normal(tg_key_make(trial, 1, 0, 0), i);
                g[i] = tg_random_normal(tg_key_make(trial, 2, 0, 0), i);
            }
            ball->start(x, 23, 7.3, tg_key_make(trial, 3, 0, 0));
            const double size = size_of(ball, x, clean, 23);
            assert_true(size <= 7.3 * (1 + 1e-5));
            largest = fmax(largest, size);
            sum += size;
            for (size_t i = 0; i < 23; i++)
                drift += ((double)x[i] - (double)clean[i]) / (200 * 23);
            memcpy(before, x, sizeof x);
            ball->project(x, clean, 23, 7.4); /* what lies within stays */
            assert_memory_equal(before, x, sizeof x);
            ball->step(x, g, 23, 2.1);
            double along = 0;
            for (size_t i = 0; i < 23; i++)
                along += ((double)x[i] - (double)before[i]) * (double)g[i];
            assert_true(fabs(size_of(ball, x, before, 23) - 2.1) < 1e-4 && along > 0);
            ball->step(x, g, 23, 30);
            ball->project(x, clean, 23, 7.3);
            assert_true(fabs(size_of(ball, x, clean, 23) - 7.3) < 1e-4);
        }
        assert_true(largest > 0.97 * 7.3 &&
                    sum / 200 > 0.85 * 7.3); /* most of a ball of many dimensions is near its rim */
        assert_true(fabs(drift) < 0.05 * 7.3);
        memcpy(before, x, sizeof x);
        memset(g, 0, sizeof g);
        ball->step(x, g, 23, 2.1); /* no gradient, no step */
        assert_memory_equal(before, x, sizeof x);
        for (int inf = 0; inf < 2; inf++) { /* nor where it has no direction */
            g[4] = inf ? INFINITY : NAN;
            ball->step(x, g, 23, 2.1);
            before[4] = inf && ball == &tg_ball_linf ? x[4] : before[4];
            assert_memory_equal(before, x, sizeof x);
        }
    }
}

/* ---- a model's directory ---- */

#define IMAGES 90

static unsigned char images[IMAGES * FEATURES], labels[IMAGES];

static void put_idx(const char *name, unsigned rank, const uint32_t *of, const unsigned char *bytes, size_t count)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    fwrite((unsigned char[]){0, 0, 8, (unsigned char)rank}, 1, 4, file);
    for (unsigned i = 0; i < rank; i++)
        fwrite((unsigned char[]){0, 0, (unsigned char)(of[i] >> 8), (unsigned char)of[i]}, 1, 4, file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static tg_train_config training(const char *out)
{
    static const tg_setting lr = {"lr", "0.01"};
    tg_train_config config;
    tg_train_config_default(&config);
    ok(tg_model_config_default(&config.model, "mlp"));
    ok(tg_model_config_set(&config.model, "width", "12"));
    config.data = "images";
    config.labels = "labels";
    config.out = out;
    config.optimizer = "adamw";
    config.setting = &lr;
    config.settings = 1;
    config.peak_flops = -1;
    config.option[TG_TRAIN_UPDATES] = 60;
    config.option[TG_TRAIN_VALIDATION] = 0;
    return config;
}

static tg_status train(const tg_train_config *config)
{
    tg_train_result result;
    return tg_train_run(&result, config, NULL);
}

static int begin(void **state)
{
    if (enter(state) != 0)
        return -1;
    for (size_t i = 0; i < IMAGES; i++) {
        labels[i] = (unsigned char)((3 * i + i / 7) % CLASSES);
        for (size_t k = 0; k < FEATURES; k++)
            images[i * FEATURES + k] = (unsigned char)(tg_random(tg_key_make(1, i, 0, 0), (uint32_t)k) % 220 +
                                                       (k % 11 % CLASSES == labels[i] ? 35 : 0));
    }
    put_idx("images", 4, (uint32_t[]){IMAGES, CHANNELS, ROWS, COLS}, images, sizeof images);
    put_idx("labels", 1, (uint32_t[]){IMAGES}, labels, sizeof labels);
    tg_train_config config = training("run");
    ok(train(&config));
    config = training("hardened");
    config.option[TG_TRAIN_ADVERSARIAL] = 0.1;
    ok(train(&config));
    return 0;
}

/* Images that the table says the model has been right about, over all rows. */
#define RIGHT(t) ((size_t)lrint(IMAGES * ((t).row[0].accuracy + (t).row[1].accuracy + (t).row[2].accuracy)))

/* What a listener was told: sums over all images. */
typedef struct told {
    tg_attack_row row[4];
    size_t rows, images, right;
    uint64_t pixels; /* of clean images, as in the file */
    double largest, sum;
    float least, most;
    bool wants_no_more;
} told;

static void take_row(void *ctx, const tg_attack_row *row)
{
    told *t = ctx;
    t->row[t->rows++] = *row;
}

static tg_status take_images(void *ctx, const tg_attacked *a)
{
    told *t = ctx;
    assert_true(a->channels == CHANNELS && a->rows == ROWS && a->cols == COLS && a->size == t->rows);
    for (size_t i = 0; i < a->count; i++)
        t->right += a->choice_of_clean[i] == a->label[i] && a->choice_of_changed[i] == a->label[i];
    for (size_t i = 0; i < a->count * FEATURES; i++) {
        t->largest = fmax(t->largest, fabs((double)a->changed[i] - (double)a->clean[i]));
        t->pixels += (uint64_t)lrintf(255 * a->clean[i]);
        t->sum += (double)a->changed[i] * (double)(i % FEATURES % 13 + 1);
        t->least = fminf(t->least, a->changed[i]);
        t->most = fmaxf(t->most, a->changed[i]);
    }
    t->images += a->count;
    return t->wants_no_more ? TG_ENOMEM : TG_OK;
}

static told attack(const tg_attack_config *config, double *clean)
{
    told t = {.least = 1};
    const tg_attack_listener listener = {take_row, take_images, &t};
    ok(tg_attack_model(clean, config, &listener));
    return t;
}

static tg_attack_config attacking(const char *directory, const double *eps, size_t sizes)
{
    tg_attack_config config;
    tg_attack_config_default(&config);
    config.directory = directory;
    config.data = "images";
    config.labels = "labels";
    config.eps = eps;
    config.sizes = sizes;
    config.option[TG_ATTACK_STEPS] = 4;
    config.option[TG_ATTACK_BATCH] = 37; /* the last batch has empty places */
    return config;
}

static void what_is_told(void **state)
{
    (void)state;
    const double eps[] = {0, 0.04, 0.13};
    double clean;
    const tg_attack_config config = attacking("run", eps, 3);
    const told t = attack(&config, &clean);
    assert_true(t.rows == 3 && t.images == 3 * IMAGES && clean > 0.9);
    assert_true(t.row[0].accuracy == clean && t.row[0].accuracy > t.row[1].accuracy &&
                t.row[1].accuracy > t.row[2].accuracy);
    assert_true(t.right == RIGHT(t));
    uint64_t pixels = 0;
    for (size_t i = 0; i < IMAGES * FEATURES; i++)
        pixels += 3u * images[i];
    assert_true(t.pixels == pixels);
    assert_true(t.largest <= 0.13 * (1 + 1e-5) && t.largest > 0.12 && t.least >= 0 && t.most <= 1);
    for (int threads = 1; threads <= 3; threads += 2) {
        const int before = omp_get_max_threads();
        omp_set_num_threads(threads);
        const told again = attack(&config, &clean);
        omp_set_num_threads(before);
        assert_true(again.sum == t.sum && again.row[2].loss == t.row[2].loss);
    }
    tg_attack_config other = config;
    other.option[TG_ATTACK_SEED] = 2;
    assert_true(attack(&other, &clean).sum != t.sum);
    other = config;
    other.option[TG_ATTACK_BATCH] = 20; /* how images are put together changes none of them */
    assert_true(fabs(attack(&other, &clean).sum - t.sum) < 1e-3 * t.sum);
    other = config;
    other.option[TG_ATTACK_RESTARTS] = 5;
    const told restarted = attack(&other, &clean);
    assert_true(restarted.right == RIGHT(restarted)); /* what is shown is what has fooled the model */
    for (size_t i = 0; i < 3; i++)
        assert_true(restarted.row[i].accuracy <= t.row[i].accuracy);
    other = config;
    other.option[TG_ATTACK_SAMPLES] = 41;
    assert_true(attack(&other, &clean).images == 3 * 41);
}

static void a_target(void **state)
{
    (void)state;
    const double eps[] = {0.01, 0.3};
    double clean;
    tg_attack_config config = attacking("run", eps, 2);
    config.target = "1";
    config.option[TG_ATTACK_STEPS] = 9;
    const told t = attack(&config, &clean);
    assert_true(t.row[0].samples < IMAGES && t.images == 2 * t.row[0].samples); /* those of class 1 are left alone */
    assert_true(t.row[0].reached < 0.5 && t.row[1].reached > 0.9 && t.row[1].accuracy <= 1 - t.row[1].reached);
    assert_true(isnan(
        attack(&(tg_attack_config){.directory = "run",
                                   .data = "images",
                                   .labels = "labels",
                                   .eps = eps,
                                   .sizes = 1,
                                   .option = {[TG_ATTACK_STEPS] = 1, [TG_ATTACK_RESTARTS] = 1, [TG_ATTACK_BATCH] = 90}},
               &clean)
            .row[0]
            .reached));
}

static void training_helps(void **state)
{
    (void)state;
    const double eps[] = {0.07};
    double clean;
    tg_attack_config config = attacking("run", eps, 1);
    const double plain = attack(&config, &clean).row[0].accuracy;
    config.directory = "hardened";
    const double hardened = attack(&config, &clean).row[0].accuracy;
    if (!(hardened > plain + 0.1))
        fail_msg("%g with adversarial training, %g without", hardened, plain);
}

static void refusals(void **state)
{
    (void)state;
    const double eps[] = {0.1}, negative[] = {-0.1};
    double clean = 2.385;
    tg_attack_config config = attacking("run", eps, 1);
    config.target = "9";
    refused(tg_attack_model(&clean, &config, NULL), TG_EINVAL, "no class '9'|'0'|'3'");
    config = attacking("run", negative, 1);
    refused(tg_attack_model(&clean, &config, NULL), TG_EINVAL, "eps must be from 0 to 1000, not -0.1");
    config = attacking("run", eps, 0);
    refused(tg_attack_model(&clean, &config, NULL), TG_EINVAL, "no eps");
    config = attacking("run", eps, 1);
    config.option[TG_ATTACK_METHOD] = TG_ATTACK_FGSM;
    refused(tg_attack_model(&clean, &config, NULL), TG_EINVAL, "steps is for pgd");
    config = attacking("run", eps, 1);
    config.option[TG_ATTACK_RESTARTS] = 2;
    config.option[TG_ATTACK_RANDOM_START] = 0;
    refused(tg_attack_model(&clean, &config, NULL), TG_EINVAL, "restarts without a random start");
    config = attacking("nowhere", eps, 1);
    refused(tg_attack_model(&clean, &config, NULL), TG_ENOTFOUND, "nowhere");
    config = attacking("run", eps, 1);
    told t = {.least = 1, .wants_no_more = true};
    assert_int_equal(tg_attack_model(&clean, &config, &(tg_attack_listener){take_row, take_images, &t}), TG_ENOMEM);
    assert_true(t.images == 37 && clean == 2.385); /* outputs stay as they were */
    tg_train_config minimized = training("none");
    minimized.optimizer = "lbfgs";
    minimized.settings = 0;
    minimized.option[TG_TRAIN_ADVERSARIAL] = 0.1;
    refused(train(&minimized), TG_EINVAL, "adversarial images move with the weights|lbfgs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_samples), cmocka_unit_test(balls),
        cmocka_unit_test(what_is_told),         cmocka_unit_test(a_target),
        cmocka_unit_test(training_helps),       cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("engine_attack", tests, begin, leave);
}
