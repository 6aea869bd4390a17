/* problem.c -- flags that say which textbook problem, or which function, is meant. */
#include "problem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "choose.h"
#include "setup.h"
#include "tiger/engine/samples.h"

#define PREFIX "problem"

/* Of problems that can be made on a table. The column has a flag once there is a table: else it would hide that of
 * minimizers. */
static const cli_text data_texts[] = {
    {"data", "FILE.csv", NULL,
     "a table in place of drawn data, its numbers standardised; --target COLUMN is the column of two classes"},
    {"target", "COLUMN", NULL, "the column of --data with the two classes"},
};

static const char *problem_name(size_t index) { return tg_problem_at(index)->name; }

int cli_problem_arrange(cli_args *args, const char *name)
{
    size_t index = 0;
    const int status = cli_choose(&index, args, "problem", name, tg_problem_count(), problem_name);
    if (status != CLI_OK)
        return status;
    const tg_problem_info *info = tg_problem_at(index);
    const size_t texts = !info->on_table ? 0 : cli_peek(args, "data", NULL) != NULL ? 2 : 1;
    if (info->options.count > 0) {
        snprintf(args->title[0], sizeof args->title[0], "Problem %s", info->name);
        cli_setup_prefixed_group(args, args->title[0], PREFIX, &info->options);
        args->group[args->groups - 1].text = data_texts;
        args->group[args->groups - 1].texts = texts;
    }
    return CLI_OK;
}

/* ---- on a table ---- */

/* The last value of a text flag of the problem's group, where another group may have one of that name; NULL: none. */
static const char *own_text(const cli_args *args, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        const cli_group *group = &args->group[given->group];
        if (!given->is_option && group->text == data_texts && strcmp(group->text[given->index].name, name) == 0)
            value = given->text;
    }
    return value;
}

/* Two classes, the second of which is what is told. */
static int make_on(tg_problem **problem, const cli_args *args, const char *name, const double *option,
                   const tg_samples *samples)
{
    const tg_schema *schema = tg_samples_schema(samples);
    const char *file = own_text(args, "data");
    tg_problem_data data = {.samples = tg_samples_count(samples, TG_SPLIT_TRAIN),
                            .features = tg_schema_features(schema)};
    if (schema->classes != 2)
        return cli_usage(args, "%s tells two classes apart, and column %s of %s has %zu", name, schema->target, file,
                         schema->classes);
    char label[4200];
    snprintf(label, sizeof label, "%s, %s, %016" PRIx64, file, schema->target, tg_samples_hash(samples));
    data.name = label;
    float *wide = calloc(data.samples * data.features + 1, sizeof *wide);
    int32_t *class = calloc(data.samples + 1, sizeof *class);
    double *feature = calloc(data.samples * data.features + 1, sizeof *feature);
    bool *second = calloc(data.samples + 1, sizeof *second);
    const char **column = calloc(data.features + 1, sizeof *column);
    int status = CLI_FAILED;
    if (wide == NULL || class == NULL || feature == NULL || second == NULL || column == NULL)
        cli_usage(args, "no memory for %zu samples", data.samples);
    else {
        tg_samples_window(samples, TG_SPLIT_TRAIN,
                          &(tg_sample_batch){.features = wide, .labels = class, .size = data.samples}, 0);
        for (size_t i = 0; i < data.samples * data.features; i++)
            feature[i] = (double)wide[i];
        for (size_t i = 0; i < data.samples; i++)
            second[i] = class[i] == 1;
        for (size_t i = 0; i < data.features; i++)
            column[i] = schema->channel[i].name;
        data.feature = feature;
        data.second = second;
        data.column = column;
        status = cli_answer(args, tg_problem_create_on(problem, name, option, &data));
    }
    free(wide);
    free(class);
    free(feature);
    free(second);
    free(column);
    return status;
}

static int make_on_table(tg_problem **problem, const cli_args *args, const char *name, const double *option)
{
    const tg_samples_source source = {
        .data = own_text(args, "data"), .target = own_text(args, "target"), .kind = TG_TARGET_CLASS};
    tg_samples *samples = NULL;
    if (source.target == NULL)
        return cli_usage(args, "--target COLUMN is missing: the column of %s to be told", source.data);
    int status = cli_answer(args, tg_samples_open(&samples, &source, NULL, 0));
    if (status != CLI_OK)
        return status;
    status = make_on(problem, args, name, option, samples);
    tg_samples_destroy(samples);
    return status;
}

/* ---- the problem ---- */

/* The library's line, and under it the text with a caret where it went wrong; a long text is cut around that place. */
static int bad_expression(const cli_args *args, const char *text, size_t column)
{
    const size_t from = column > 60 ? column - 40 : 1;
    cli_usage(args, "%s", tg_message());
    if (column == 0)
        return CLI_USAGE;
    fprintf(stderr, "    ");
    for (size_t i = from - 1; text[i] != '\0' && i < from + 79; i++)
        fputc((unsigned char)text[i] < 0x20 ? ' ' : text[i], stderr);
    fprintf(stderr, "\n    ");
    for (size_t i = from; i < column; i++) /* a sign of several bytes is one column wide */
        if (((unsigned char)text[i - 1] & 0xc0) != 0x80)
            fputc(' ', stderr);
    fputs("^\n", stderr);
    return CLI_USAGE;
}

int cli_problem_make(tg_problem **problem, const cli_args *args, const char *name)
{
    const char *text = cli_text_of(args, "f");
    size_t column = 0;
    if (text != NULL && name != NULL)
        return cli_usage(args, "--f and the problem '%s' at once: take one", name);
    if (text == NULL && name == NULL)
        return cli_usage(args, "what to minimize is missing: PROBLEM (see: tiger list problems) or --f EXPRESSION");
    if (text != NULL)
        return tg_problem_parse(problem, text, &column) == TG_OK ? CLI_OK : bad_expression(args, text, column);
    const tg_problem_info *info = tg_problem_find(name);
    if (info == NULL)
        return cli_usage(args, "there is no problem '%s' (see: tiger list problems)", name);
    double option[CLI_OWN_OPTIONS];
    for (size_t i = 0; i < info->options.count; i++)
        option[i] = info->options.at[i].value;
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        if (given->is_option && args->group[given->group].table.at == info->options.at)
            option[given->index] = given->number;
    }
    if (own_text(args, "data") != NULL)
        return make_on_table(problem, args, info->name, option);
    return cli_answer(args, tg_problem_create(problem, info->name, option));
}
