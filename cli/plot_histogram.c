/* plot_histogram.c -- how the values of a checkpoint's tensors are distributed. */
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "gallery.h"
#include "picture.h"
#include "tiger/engine/tensors.h"

#define FINE 65536   /* bins in which the middle of the values is looked for */
#define TAIL 0.01    /* beyond the middle lies this share on either side; the picture is twice as wide */
#define MOST_APART 8 /* so many tensors have curves of their own */

/* Tensors that are drawn: those whose name fits, and whose values are no counts or codes. */
typedef struct choice {
    size_t *index; /* heap */
    size_t count;
    double low, high, values;
} choice;

static bool holds_reals(const char *type) { return strchr("IUB", type[0]) == NULL || strcmp(type, "BF16") == 0; }

/* Where `share` of the values lie below. */
static double quantile(const choice *c, const uint64_t *fine, double share)
{
    double below = 0;
    size_t bin = 0;
    while (bin + 1 < FINE && below + (double)fine[bin] < share * c->values)
        below += (double)fine[bin++];
    return c->low + (c->high - c->low) * ((double)bin + 0.5) / FINE;
}

/* From the least and the largest value to what is worth a look: a few far ones would squeeze the others into one bin.
 */
static int narrow(choice *c, const cli_args *args, const tg_tensors *tensors)
{
    uint64_t *fine = calloc(FINE, sizeof *fine);
    int status = CLI_OK;
    if (fine == NULL) {
        cli_usage(args, "no memory for a histogram");
        return CLI_FAILED;
    }
    for (size_t t = 0; t < c->count && status == CLI_OK; t++)
        status = cli_answer(args, tg_tensors_histogram(fine, FINE, c->low, c->high, tensors, c->index[t]));
    const double low = quantile(c, fine, TAIL), high = quantile(c, fine, 1 - TAIL), half = (high - low) / 2;
    c->low = fmax(c->low, low - half);
    c->high = fmin(c->high, high + half);
    free(fine);
    return status;
}

static int choose(choice *c, const cli_args *args, const tg_tensors *tensors)
{
    const char *pattern = cli_text_of(args, "tensor");
    double least = INFINITY, most = -INFINITY;
    c->index = calloc(tg_tensors_count(tensors) + 1, sizeof *c->index);
    if (c->index == NULL) {
        cli_usage(args, "no memory for %zu tensors", tg_tensors_count(tensors));
        return CLI_FAILED;
    }
    for (size_t i = 0; i < tg_tensors_count(tensors); i++) {
        const tg_tensor_info *t = tg_tensors_at(tensors, i);
        tg_tensor_statistics s;
        if (!holds_reals(t->type) || fnmatch(pattern, t->name, 0) != 0)
            continue;
        const int status = cli_answer(args, tg_tensors_statistics(&s, tensors, i));
        if (status != CLI_OK)
            return status;
        const double finite = (double)(s.values - s.non_finite);
        if (finite == 0)
            continue;
        c->index[c->count++] = i;
        c->values += finite;
        least = fmin(least, s.least);
        most = fmax(most, s.most);
    }
    if (c->count == 0)
        return cli_usage(args, "no tensor of real numbers is named like '%s' (see: tiger inspect %s)", pattern,
                         args->positional[1]);
    c->low = least;
    c->high = most;
    if (least < most)
        return narrow(c, args, tensors);
    c->low -= 0.5 * fabs(least) + 1e-6; /* all values are one */
    c->high += 0.5 * fabs(most) + 1e-6;
    return CLI_OK;
}

/* Tensors first .. last of the choice as one curve. */
static int add_histogram(cli_gallery *g, const cli_args *args, const tg_tensors *tensors, const choice *c, size_t first,
                         size_t last, double *inside)
{
    const size_t bins = (size_t)cli_number_of(args, "bins"), i = g->curves;
    uint64_t *counts = calloc(bins, sizeof *counts);
    double total = 0;
    int status = cli_gallery_add(g, args, bins);
    if (status == CLI_OK && counts == NULL) {
        cli_usage(args, "no memory for a histogram");
        status = CLI_FAILED;
    }
    for (size_t t = first; t <= last && status == CLI_OK; t++) {
        total += (double)tg_tensors_at(tensors, c->index[t])->values;
        status = cli_answer(args, tg_tensors_histogram(counts, bins, c->low, c->high, tensors, c->index[t]));
    }
    for (size_t b = 0; b < bins && status == CLI_OK; b++) {
        g->x[i][b] = c->low + (c->high - c->low) * ((double)b + 0.5) / (double)bins;
        g->y[i][b] = (double)counts[b] / total;
        *inside += (double)counts[b];
    }
    g->curve[i].style = TG_CURVE_STEPS;
    if (first == last)
        snprintf(g->title[i], sizeof g->title[i], "%.150s", tg_tensors_at(tensors, c->index[first])->name);
    else
        snprintf(g->title[i], sizeof g->title[i], "%zu tensors", last - first + 1);
    free(counts);
    return status;
}

int cli_plot_histogram(cli_gallery *g, const cli_args *args)
{
    tg_tensors *tensors = NULL;
    choice c = {0};
    double inside = 0;
    char label[128];
    if (args->positionals != 2)
        return cli_usage(args, "which file? usage: tiger plot histogram FILE|DIR [options]");
    int status = cli_answer(args, tg_tensors_open(&tensors, args->positional[1]));
    if (status != CLI_OK)
        return status;
    status = choose(&c, args, tensors);
    const bool apart = cli_is_given(args, "tensor") && c.count <= MOST_APART;
    for (size_t t = 0; apart && t < c.count && status == CLI_OK; t++)
        status = add_histogram(g, args, tensors, &c, t, t, &inside);
    if (!apart && status == CLI_OK)
        status = add_histogram(g, args, tensors, &c, 0, c.count - 1, &inside);
    if (status == CLI_OK) {
        snprintf(label, sizeof label, "value (%.0f values; %.3g %% lie outside)", c.values,
                 100 * (1 - inside / c.values));
        const tg_plot plot = {.title = args->positional[1],
                              .x_label = label,
                              .y_label = "share of the values in a bin",
                              .curve = g->curve,
                              .curves = g->curves};
        status = cli_picture(args, &plot, cli_text_of(args, "out"));
    }
    free(c.index);
    tg_tensors_destroy(tensors);
    return status;
}
