/* inspect.c -- tiger inspect: what is in a model's files, without opening the model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "human.h"
#include "tiger/engine/tensors.h"

#define TYPES 64 /* a file of more kinds of tensors is not known */

static const cli_text texts[] = {
    {"statistics", NULL, NULL,
     "also the least, the largest and the mean value of every tensor, the root of its mean square, "
     "the share of zeros and the number of NaN and infinite values; reads all of the files"},
};

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options", .text = texts, .texts = sizeof texts / sizeof *texts});
    return CLI_OK;
}

/* Names are the file's: what could move a terminal's cursor is not shown. */
static void print_name(const char *name, int width)
{
    int used = 0;
    for (const unsigned char *c = (const unsigned char *)name; *c != 0; c++) {
        putchar(*c < 0x20 || *c == 0x7f ? '?' : *c);
        used += (*c & 0xc0) != 0x80;
    }
    printf("%*s", used < width ? width - used : 0, "");
}

static int name_width(const tg_tensors *tensors)
{
    size_t width = strlen("tensor");
    for (size_t i = 0; i < tg_tensors_count(tensors); i++) {
        const size_t bytes = strlen(tg_tensors_at(tensors, i)->name);
        width = bytes > width ? bytes : width;
    }
    return width > 64 ? 64 : (int)width;
}

static int print_metadata(const cli_args *args, const tg_tensors *tensors)
{
    char *value = NULL;
    const char *key = NULL;
    for (size_t i = 0; (key = tg_tensors_metadata(tensors, i, &value)) != NULL; i++) {
        if (value == NULL) {
            cli_usage(args, "no memory for the metadata");
            return CLI_FAILED;
        }
        print_name(key, 0);
        printf(" = %s\n", value);
        tg_tensors_value_free(value);
        value = NULL;
    }
    return CLI_OK;
}

static void print_shape(const tg_tensor_info *t)
{
    char text[TG_TENSOR_MAX_RANK * 24 + 1] = "1";
    size_t used = 0;
    for (unsigned i = 0; i < t->rank && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%llu", i > 0 ? " x " : "",
                                 (unsigned long long)t->shape[i]);
    printf("  %-8s %-16s", t->type, t->rank == 0 ? "one value" : text);
}

static int print_statistics(const cli_args *args, const tg_tensors *tensors, size_t index)
{
    tg_tensor_statistics s;
    const tg_status status = tg_tensors_statistics(&s, tensors, index);
    if (status == TG_EUNSUPPORTED) {
        printf("  values of this type cannot be read");
        return CLI_OK;
    }
    if (status != TG_OK)
        return cli_answer(args, status);
    const double share = s.values == 0 ? 0 : 100.0 * (double)s.zeros / (double)s.values;
    printf("  %11.4e %11.4e %11.4e %11.4e %6.2f %% %8llu", s.least, s.most, s.mean, s.rms, share,
           (unsigned long long)s.non_finite);
    return CLI_OK;
}

static int print_tensors(const cli_args *args, const tg_tensors *tensors)
{
    const bool statistics = cli_is_given(args, "statistics");
    const int width = name_width(tensors);
    printf("%-*s  %-8s %-16s %10s", width, "tensor", "type", "shape", "size");
    if (statistics)
        printf("  %11s %11s %11s %11s %8s %8s", "least", "largest", "mean", "rms", "zeros", "not fin.");
    putchar('\n');
    for (size_t i = 0; i < tg_tensors_count(tensors); i++) {
        const tg_tensor_info *t = tg_tensors_at(tensors, i);
        char size[32];
        cli_human_bytes(size, sizeof size, (double)t->bytes);
        print_name(t->name, width);
        print_shape(t);
        printf(" %10s", size);
        if (statistics) {
            const int status = print_statistics(args, tensors, i);
            if (status != CLI_OK)
                return status;
        }
        putchar('\n');
    }
    return CLI_OK;
}

static void print_totals(const tg_tensors *tensors)
{
    struct { const char *type; size_t tensors; } kind[TYPES];
    size_t kinds = 0;
    double values = 0, bytes = 0;
    char count[32], size[32];
    for (size_t i = 0; i < tg_tensors_count(tensors); i++) {
        const tg_tensor_info *t = tg_tensors_at(tensors, i);
        size_t k = 0;
        while (k < kinds && strcmp(kind[k].type, t->type) != 0)
            k++;
        if (k == kinds && kinds < TYPES) {
            kind[kinds].type = t->type;
            kind[kinds++].tensors = 0;
        }
        kind[k].tensors++;
        values += (double)t->values;
        bytes += (double)t->bytes;
    }
    cli_human_count(count, sizeof count, values, "");
    cli_human_bytes(size, sizeof size, bytes);
    printf("%s in %zu file%s: %zu tensor%s, %s values, %s", tg_tensors_layout(tensors), tg_tensors_files(tensors),
           CLI_PLURAL(tg_tensors_files(tensors)), tg_tensors_count(tensors), CLI_PLURAL(tg_tensors_count(tensors)),
           count, size);
    if (values > 0)
        printf(", %.2f bits a value", 8 * bytes / values);
    for (size_t k = 0; k < kinds; k++)
        printf("%s%zu %s", k == 0 ? " (" : ", ", kind[k].tensors, kind[k].type);
    puts(kinds > 0 ? ")" : "");
}

static int run(const cli_args *args)
{
    tg_tensors *tensors = NULL;
    const tg_status opened = tg_tensors_open(&tensors, args->positional[0]);
    if (opened != TG_OK)
        return cli_answer(args, opened);
    int status = print_metadata(args, tensors);
    if (status == CLI_OK)
        status = print_tensors(args, tensors);
    if (status == CLI_OK)
        print_totals(tensors);
    tg_tensors_destroy(tensors);
    return status;
}

const cli_command cli_inspect = {
    .name = "inspect",
    .summary = "lists the tensors and the metadata of a model's files",
    .usage = "FILE_OR_DIR [options]",
    .details = "Of a safetensors file, a GGUF file, or a directory with model.safetensors or with shards and their "
               "model.safetensors.index.json. Shapes are written slowest dimension first.",
    .positionals_least = 1,
    .positionals_most = 1,
    .arrange = arrange,
    .run = run,
};
