/* attack.c -- tiger attack: how many images a trained classifier still tells rightly when each may be changed by eps.
 *
 * Eps are sizes of changes of pixels from 0 to 1. A table a model is printed as it is made; --json, --plot, --examples
 * and --save keep them, their curves, a picture of what was changed, and the changed images themselves. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "attack_picture.h"
#include "choose.h"
#include "gallery.h"
#include "picture.h"
#include "setup.h"
#include "tiger/engine/attack.h"
#include "tiger/safetensors.h"

#define SIZES_MOST 64
#define LINF_SIZES "0,0.02,0.05,0.1,0.15,0.2,0.3"
#define L2_SIZES "0,0.25,0.5,1,1.5,2,3"

static const cli_text texts[] = {
    {"data", "FILE", NULL, "the images to attack (IDX, CIFAR), perhaps gzipped"},
    {"labels", "FILE", NULL, "the classes of --data's images (IDX)"},
    {"eps", "LIST", NULL,
     "sizes of changes, of pixels from 0 to 1: 0.1,0.2 or 4/255,8/255 (default " LINF_SIZES "; of --norm l2 " L2_SIZES
     ")"},
    {"target-class", "NAME", NULL, "images are to be taken for this class (default: for any but their own)"},
    {"json", "FILE", NULL, "write the tables there too"},
    {"plot", "FILE", NULL, "draw accuracy over eps there: .png, .svg or .gp"},
    {"examples", "FILE", NULL, "draw examples of the last eps there: clean, what was added, adversarial"},
    {"save", "FILE", NULL, "write the images of the last eps there, clean and adversarial, as safetensors"},
    CLI_TEXT_BEST,
};

static const tg_option own[] = {
    {.name = "count",
     .kind = TG_INTEGER,
     .value = 6,
     .least = 1,
     .most = CLI_EXAMPLES_MOST,
     .help = "examples in the picture"},
};

/* A run of the command: what it is told, and what it keeps. */
typedef struct job {
    const cli_args *args;
    tg_attack_config config;
    double eps[SIZES_MOST];
    cli_gallery *gallery;  /* a curve a model */
    json_t *models, *rows; /* rows: of the model that is attacked */
    cli_examples examples;
    float *clean, *changed; /* heap: all images of the last eps, for --save */
    size_t images, room;    /* of them, and values that there is room for */
    uint64_t shape[3];
    int status; /* of what went wrong while an attack told of its images */
} job;

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options",
                                     .text = texts,
                                     .texts = sizeof texts / sizeof *texts,
                                     .table = {own, sizeof own / sizeof *own}});
    cli_add_group(args, &(cli_group){.title = "Attack", .table = *tg_attack_options()});
    return CLI_OK;
}

/* ---- settings ---- */

/* A number, or a fraction as 8/255. */
static bool read_size(double *size, const char **at)
{
    char *end;
    *size = strtod(*at, &end);
    if (end != *at && *end == '/') {
        const char *below = end + 1;
        *size /= strtod(below, &end);
        end = end == below ? (char *)*at : end;
    }
    const bool good = end != *at && (*end == ',' || *end == '\0') && isfinite(*size) && *size >= 0;
    *at = *end == ',' ? end + 1 : end;
    return good;
}

static int read_sizes(job *j)
{
    const char *said = cli_text_of(j->args, "eps");
    const char *list = said != NULL ? said : cli_number_of(j->args, "norm") == TG_ATTACK_LINF ? LINF_SIZES : L2_SIZES;
    j->config.eps = j->eps;
    for (const char *at = list; *at != '\0' || at == list;) {
        if (j->config.sizes == SIZES_MOST)
            return cli_usage(j->args, "--eps: more than %d sizes", SIZES_MOST);
        if (!read_size(&j->eps[j->config.sizes++], &at))
            return cli_usage(j->args, "--eps: '%s' is no list of numbers, 0 or more (0.1,0.2 or 4/255,8/255)", list);
    }
    return CLI_OK;
}

static int set_up(job *j)
{
    static const char *const of_one[] = {"examples", "save"};
    const cli_args *args = j->args;
    const tg_option_table *table = tg_attack_options();
    tg_attack_config_default(&j->config);
    if (cli_text_of(args, "data") == NULL)
        return cli_usage(args, "--data FILE is missing: the images to attack");
    for (size_t i = 0; i < sizeof of_one / sizeof *of_one; i++)
        if (args->positionals > 1 && cli_text_of(args, of_one[i]) != NULL)
            return cli_usage(args, "--%s is for the attack on one model, and there are %zu", of_one[i],
                             args->positionals);
    j->config.data = cli_text_of(args, "data");
    j->config.labels = cli_text_of(args, "labels");
    j->config.target = cli_text_of(args, "target-class");
    for (size_t i = 0; i < table->count; i++)
        j->config.option[i] = cli_number_of(args, table->at[i].name);
    j->examples.wanted = cli_text_of(args, "examples") == NULL ? 0 : (size_t)cli_number_of(args, "count");
    return read_sizes(j);
}

/* ---- what the attack tells ---- */

static void take_row(void *ctx, const tg_attack_row *row)
{
    job *j = ctx;
    const size_t i = json_array_size(j->rows);
    if (i == 0)
        printf("%8s %9s %9s%s\n", "eps", "accuracy", "loss", isnan(row->reached) ? "" : "   reached");
    printf("%8.4g %7.2f %% %9.4f", row->eps, 100 * row->accuracy, row->loss);
    if (!isnan(row->reached))
        printf(" %7.2f %%", 100 * row->reached);
    putchar('\n');
    fflush(stdout);
    j->gallery->x[j->gallery->curves - 1][i] = row->eps;
    j->gallery->y[j->gallery->curves - 1][i] = 100 * row->accuracy;
    json_t *object = json_pack("{s:f, s:I, s:f, s:f}", "eps", row->eps, "samples", (json_int_t)row->samples, "accuracy",
                               row->accuracy, "loss", row->loss);
    if (!isnan(row->reached))
        json_object_set_new(object, "reached", json_real(row->reached));
    json_array_append_new(j->rows, object);
}

static bool grow(float **values, size_t count)
{
    float *more = realloc(*values, count * sizeof **values);
    *values = more != NULL ? more : *values;
    return more != NULL;
}

static int keep_images(job *j, const tg_attacked *a)
{
    const size_t n = a->channels * a->rows * a->cols, all = (j->images + a->count) * n;
    if (all > j->room) {
        const size_t room = 2 * all;
        if (!grow(&j->clean, room) || !grow(&j->changed, room)) {
            cli_usage(j->args, "no memory for %zu images", j->images + a->count);
            return CLI_FAILED;
        }
        j->room = room;
    }
    memcpy(j->clean + j->images * n, a->clean, a->count * n * sizeof *j->clean);
    memcpy(j->changed + j->images * n, a->changed, a->count * n * sizeof *j->changed);
    j->images += a->count;
    j->shape[0] = a->channels;
    j->shape[1] = a->rows;
    j->shape[2] = a->cols;
    return CLI_OK;
}

static tg_status take_images(void *ctx, const tg_attacked *a)
{
    job *j = ctx;
    if (a->size + 1 < j->config.sizes)
        return TG_OK;
    if (cli_text_of(j->args, "examples") != NULL)
        j->status = cli_examples_take(&j->examples, j->args, a);
    if (j->status == CLI_OK && cli_text_of(j->args, "save") != NULL)
        j->status = keep_images(j, a);
    return j->status == CLI_OK ? TG_OK : TG_ENOMEM;
}

/* ---- what is kept ---- */

static json_t *settings_of(const job *j)
{
    const tg_option_table *table = tg_attack_options();
    json_t *root = json_pack("{s:s}", "data", j->config.data);
    if (j->config.target != NULL)
        json_object_set_new(root, "target_class", json_string(j->config.target));
    for (size_t i = 0; i < table->count; i++) {
        const tg_option *option = &table->at[i];
        const double value = j->config.option[i];
        char text[64];
        tg_option_print(text, sizeof text, option, value);
        json_object_set_new(root, option->name,
                            option->kind == TG_INTEGER  ? json_integer((json_int_t)value)
                            : option->kind == TG_REAL   ? json_real(value)
                            : option->kind == TG_SWITCH ? json_boolean(value != 0)
                                                        : json_string(text));
    }
    return root;
}

static int write_json(const job *j)
{
    const char *path = cli_text_of(j->args, "json");
    json_t *root = settings_of(j);
    json_object_set(root, "models", j->models);
    const int written = json_dump_file(root, path, JSON_INDENT(1));
    json_decref(root);
    if (written != 0) {
        cli_usage(j->args, "cannot write %s", path);
        return CLI_FAILED;
    }
    printf("table: %s\n", path);
    return CLI_OK;
}

static int write_images(const job *j)
{
    const char *path = cli_text_of(j->args, "save");
    char eps[32];
    snprintf(eps, sizeof eps, "%.17g", j->eps[j->config.sizes - 1]);
    const char *const metadata[] = {"eps", eps};
    tg_named_tensor tensor[] = {{.name = "clean", .data = j->clean}, {.name = "adversarial", .data = j->changed}};
    for (size_t i = 0; i < 2; i++) {
        tensor[i].rank = 4;
        tensor[i].shape[0] = j->images;
        memcpy(tensor[i].shape + 1, j->shape, sizeof j->shape);
        tensor[i].bytes = (size_t)(j->images * j->shape[0] * j->shape[1] * j->shape[2]) * sizeof(float);
    }
    const int status = cli_answer(j->args, tg_safetensors_write(path, tensor, 2, metadata, 1));
    if (status == CLI_OK)
        printf("images: %s\n", path);
    return status;
}

static int draw_curves(const job *j)
{
    static const char *const axis[] = {"eps: the largest change of a pixel", "eps: the change's Euclidean norm"};
    const tg_plot plot = {.x_label = axis[(size_t)j->config.option[TG_ATTACK_NORM]],
                          .y_label = "accuracy, %",
                          .curve = j->gallery->curve,
                          .curves = j->gallery->curves};
    return cli_picture(j->args, &plot, cli_text_of(j->args, "plot"));
}

static int keep(const job *j)
{
    int status = CLI_OK;
    if (cli_text_of(j->args, "json") != NULL)
        status = write_json(j);
    if (status == CLI_OK && cli_text_of(j->args, "save") != NULL)
        status = write_images(j);
    if (status == CLI_OK && cli_text_of(j->args, "plot") != NULL)
        status = draw_curves(j);
    if (status == CLI_OK && cli_text_of(j->args, "examples") != NULL)
        status = cli_examples_draw(&j->examples, j->args, cli_text_of(j->args, "examples"));
    return status;
}

/* ---- models one after the other ---- */

static int attack(job *j, const char *directory)
{
    const tg_attack_listener listener = {.row = take_row, .attacked = take_images, .ctx = j};
    const size_t curve = j->gallery->curves;
    double clean;
    int status = cli_gallery_add(j->gallery, j->args, j->config.sizes);
    if (status != CLI_OK)
        return status;
    snprintf(j->gallery->title[curve], sizeof j->gallery->title[curve], "%.150s", directory);
    j->gallery->curve[curve].style = TG_CURVE_POINTS;
    j->config.directory = directory;
    j->rows = json_array();
    if (j->args->positionals > 1)
        printf("%s%s\n", curve > 0 ? "\n" : "", directory);
    const tg_status attacked = tg_attack_model(&clean, &j->config, &listener);
    json_t *model = json_pack("{s:s, s:f, s:o}", "model", directory, "clean_accuracy", attacked == TG_OK ? clean : 0.0,
                              "rows", j->rows);
    json_array_append_new(j->models, model);
    if (j->status != CLI_OK) /* told already */
        return j->status;
    if (attacked == TG_OK)
        printf("clean accuracy %.2f %%\n", 100 * clean);
    return cli_answer(j->args, attacked);
}

static int run(const cli_args *args)
{
    char directory[CLI_PATH_BYTES];
    job j = {.args = args, .gallery = calloc(1, sizeof *j.gallery), .models = json_array()};
    int status = CLI_FAILED;
    if (j.gallery == NULL || j.models == NULL)
        cli_usage(args, "no memory for a table");
    else
        status = set_up(&j);
    for (size_t i = 0; i < args->positionals && status == CLI_OK; i++) {
        status = cli_choose_directory_at(directory, args, i);
        if (status == CLI_OK)
            status = attack(&j, directory);
    }
    if (status == CLI_OK)
        status = keep(&j);
    if (j.gallery != NULL)
        cli_gallery_free(j.gallery);
    json_decref(j.models);
    cli_examples_free(&j.examples);
    free(j.clean);
    free(j.changed);
    return status;
}

const cli_command cli_attack = {
    .name = "attack",
    .summary = "changes images a little, so that a trained classifier is wrong",
    .usage = "DIR... --data FILE [options]",
    .details = "Each DIR is a model directory of a classifier of images (mlp, logistic, resnet). Accuracy is the share "
               "of images that it tells rightly as they are and after every attack. No attack finds everything, so it "
               "bounds from above what holds for all changes of that size.\n"
               "tiger train --adversarial EPS trains models that stand it better.",
    .positionals_least = 1,
    .positionals_most = CLI_POSITIONALS,
    .arrange = arrange,
    .run = run,
};
