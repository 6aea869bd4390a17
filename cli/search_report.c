/* search_report.c -- what `tiger search` tells: a line a trial, and the best of them at the end. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "args.h"
#include "choose.h"
#include "human.h"
#include "search.h"
#include "system.h"

#define SHOWN 10

/* cli_choose asks for names by index alone. */
static const tg_sampler_info *(*family)(size_t index);
static const char *family_name(size_t index) { return family(index) != NULL ? family(index)->name : NULL; }

int cli_search_choose(size_t *index, const cli_args *args, const char *name, const tg_sampler_info *(*at)(size_t index))
{
    size_t count = 0;
    while (at(count) != NULL)
        count++;
    family = at;
    return cli_choose(index, args, name, cli_text_of(args, name), count, family_name);
}

int cli_search_directory(cli_searching *s)
{
    const char *out = cli_text_of(s->args, "out");
    if (mkdir(out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "tiger search: cannot make '%s': %s\n", out, strerror(errno));
        return CLI_FAILED;
    }
    s->path = cli_path_join(out, "study.journal");
    return s->path != NULL ? CLI_OK : (cli_usage(s->args, "no memory for a path"), CLI_FAILED);
}

static void print_params(const cli_searching *s, const tg_trial *trial)
{
    char text[TG_SPACE_TEXT] = "-";
    for (size_t d = 0; d < s->space.count; d++) {
        if (!isnan(trial->param[d]))
            tg_dimension_print(text, &s->space.at[d], trial->param[d]);
        printf(" %s=%s", s->space.at[d].name, isnan(trial->param[d]) ? "-" : text);
    }
}

static bool has_ended(const tg_trial *trial)
{
    return trial->state == TG_TRIAL_COMPLETE || trial->state == TG_TRIAL_PRUNED;
}

static size_t count_ended(const tg_study *study)
{
    size_t count = 0;
    for (size_t i = 0; i < tg_study_trials(study); i++)
        count += has_ended(tg_study_trial(study, i));
    return count;
}

void cli_search_begin(cli_searching *s, size_t made, size_t jobs)
{
    s->begun_with = made;
    s->started = cli_seconds();
    const double updates = s->config.option[TG_TRAIN_UPDATES];
    printf("%zu trial%s of %.0f update%s, %zu at a time; searched:", s->trials, CLI_PLURAL(s->trials), updates,
           CLI_PLURAL(updates), jobs);
    for (size_t d = 0; d < s->space.count; d++) {
        const tg_dimension *at = &s->space.at[d];
        char low[TG_SPACE_TEXT], high[TG_SPACE_TEXT];
        printf("%s %s ", d > 0 ? "," : "", at->name);
        for (size_t c = 0; c < at->choices; c++)
            printf("%s%s", c > 0 ? "/" : "", at->choice[c]);
        if (at->kind == TG_DIMENSION_CHOICE)
            continue;
        tg_dimension_print(low, at, at->low);
        tg_dimension_print(high, at, at->high);
        printf("%s..%s%s", low, high, at->log ? " (log)" : "");
    }
    if (made > 0)
        printf("; %zu %s there already", made, made == 1 ? "is" : "are");
    putchar('\n');
    fflush(stdout);
}

static void print_trial(const cli_searching *s, const tg_trial *trial)
{
    const tg_trial_step *last = trial->steps > 0 ? &trial->step[trial->steps - 1] : NULL;
    print_params(s, trial);
    if (trial->state == TG_TRIAL_COMPLETE)
        printf(": %.4f", trial->value);
    else if (last != NULL && isfinite(last->value))
        printf(": pruned at update %llu, %.4f", (unsigned long long)last->step, last->value);
    else
        printf(": diverged");
}

void cli_search_tell(const cli_searching *s, const char *worker)
{
    const size_t count = count_ended(s->study), best = tg_study_best(s->study);
    const size_t made = count > s->begun_with ? count - s->begun_with : 1,
                 open = s->trials > count ? s->trials - count : 0;
    char left[32];
    cli_human_seconds(left, sizeof left, (cli_seconds() - s->started) / (double)made * (double)open);
    for (size_t i = 0; i < tg_study_trials(s->study); i++) {
        const tg_trial *trial = tg_study_trial(s->study, i);
        if (!has_ended(trial) || strcmp(trial->worker, worker) != 0)
            continue;
        printf("%4zu/%zu ", count, s->trials);
        print_trial(s, trial);
        if (best != SIZE_MAX)
            printf(" (best %.4f)", tg_study_trial(s->study, best)->value);
        printf(", %s left\n", left);
    }
    fflush(stdout);
}

typedef struct place {
    size_t trial;
    double value;
} place;

static int by_value(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? -1 : 1) : (x->trial > y->trial) - (x->trial < y->trial);
}

/* The flag of an option, whichever group has it. */
static void print_flag(const cli_searching *s, const char *name, const char *value)
{
    char flag[64];
    for (size_t g = 0; g < s->args->groups; g++) {
        const tg_option_table *table = &s->args->group[g].table;
        const size_t at = tg_option_find(table, name);
        if (at < table->count && cli_flag_name(flag, sizeof flag, s->args, g, true, at)) {
            printf(" --%s %s", flag, value);
            return;
        }
    }
}

static void print_best(const cli_searching *s, const tg_trial *best)
{
    char text[TG_SPACE_TEXT];
    printf("\nthe best as flags: --optimizer %s", s->config.optimizer);
    for (size_t d = 0; d < s->space.count; d++)
        if (!isnan(best->param[d])) {
            tg_dimension_print(text, &s->space.at[d], best->param[d]);
            print_flag(s, s->space.at[d].name, text);
        }
    putchar('\n');
}

/* A best value at the end of its range says that the range is too short. */
static void print_edges(const cli_searching *s, const tg_trial *best)
{
    for (size_t d = 0; d < s->space.count; d++) {
        const tg_dimension *at = &s->space.at[d];
        char low[TG_SPACE_TEXT], high[TG_SPACE_TEXT];
        if (at->kind == TG_DIMENSION_CHOICE || isnan(best->param[d]))
            continue;
        const double from = at->log ? log(at->low) : at->low, to = at->log ? log(at->high) : at->high;
        const double share = ((at->log ? log(best->param[d]) : best->param[d]) - from) / (to - from);
        tg_dimension_print(low, at, at->low);
        tg_dimension_print(high, at, at->high);
        if (share < 0.03 || share > 0.97)
            printf("! %s lies at the end of %s..%s: the true best may lie beyond\n", at->name, low, high);
    }
}

int cli_search_report(cli_searching *s)
{
    const size_t all = tg_study_trials(s->study);
    place *order = calloc(all + 1, sizeof *order);
    size_t complete = 0, pruned = 0, diverged = 0, failed = 0;
    if (order == NULL)
        return cli_usage(s->args, "no memory for a table"), CLI_FAILED;
    for (size_t i = 0; i < all; i++) {
        const tg_trial *t = tg_study_trial(s->study, i);
        if (t->state == TG_TRIAL_COMPLETE && !isnan(t->value))
            order[complete++] = (place){i, t->value};
        pruned += t->state == TG_TRIAL_PRUNED && t->steps > 0 && isfinite(t->step[t->steps - 1].value);
        diverged += t->state == TG_TRIAL_PRUNED && !(t->steps > 0 && isfinite(t->step[t->steps - 1].value));
        failed += t->state == TG_TRIAL_FAILED;
    }
    qsort(order, complete, sizeof *order, by_value);
    printf("\n%zu complete, %zu pruned, %zu diverged, %zu failed\n\ntrial  validation loss  settings\n", complete,
           pruned, diverged, failed);
    for (size_t i = 0; i < complete && i < SHOWN; i++) {
        printf("%5zu  %15.4f ", order[i].trial, order[i].value);
        print_params(s, tg_study_trial(s->study, order[i].trial));
        putchar('\n');
    }
    if (complete > 0) {
        print_best(s, tg_study_trial(s->study, order[0].trial));
        print_edges(s, tg_study_trial(s->study, order[0].trial));
    }
    printf("study: %s\n", s->path);
    free(order);
    if (complete > 0)
        return CLI_OK;
    fflush(stdout);
    fprintf(stderr, "tiger search: no trial came to its end\n");
    return CLI_FAILED;
}
