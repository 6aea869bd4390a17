/* race/contender.c -- "adamw lr=1e-3/3e-3 beta2=0.99": an optimizer and every combination of the values given. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "race/race.h"
#include "tiger/schedule.h"

#define MOST_WORDS 32    /* options of one contender */
#define MOST_POINTS 4096 /* combinations of their values */
#define MOST_PRESET 32   /* options of a preset */

/* An option as it was given: its values are `count` parts of `values` between slashes. */
typedef struct word {
    char *name, *values;
    size_t count;
} word;

typedef struct words {
    const tg_contender *of;
    const tg_race_task *task;
    word at[MOST_WORDS];
    size_t count;
} words;

/* ---- values ---- */

static size_t count_values(const char *values)
{
    size_t count = 1;
    for (; *values != '\0'; values++)
        count += *values == '/';
    return count;
}

/* The heap copy of one of them. */
static char *value_at(const char *values, size_t index)
{
    for (; index > 0; index--)
        values = strchr(values, '/') + 1;
    const size_t bytes = strcspn(values, "/");
    char *copy = tg_heap_alloc(bytes + 1, 1);
    if (copy != NULL)
        memcpy(copy, values, bytes);
    return copy;
}

const tg_option_table *tg_contender_options(const tg_contender *c)
{
    return c->rule != NULL ? &c->rule->options : &c->minimizer->options;
}

#define TABLES 3

/* Of all options that a contender may set. */
static void tables_of(const tg_option_table *table[static TABLES], const words *w)
{
    table[0] = tg_contender_options(w->of);
    table[1] = w->of->rule != NULL ? tg_optim_common_options() : tg_minimizer_common_options();
    table[2] = w->task->options();
}

/* NULL when no table has it. */
static const tg_option *find_option(const words *w, const char *name)
{
    const tg_option_table *table[TABLES];
    tables_of(table, w);
    for (size_t i = 0; i < TABLES; i++) {
        const size_t found = tg_option_find(table[i], name);
        if (found < table[i]->count)
            return &table[i]->at[found];
    }
    return NULL;
}

/* What is nearest of all names seen so far to one that is not there. */
typedef struct guess {
    const char *name;
    size_t distance;
} guess;

static void consider(guess *best, const char *name, const char *wanted)
{
    const size_t distance = tg_name_distance(name, wanted);
    if (tg_name_near(wanted, distance) && (best->name == NULL || distance < best->distance))
        *best = (guess){name, distance};
}

/* Of the options that a contender may set; NULL when none is near. */
static const char *nearest_option(const words *w, const char *wanted)
{
    const tg_option_table *table[TABLES];
    guess best = {0};
    tables_of(table, w);
    for (size_t i = 0; i < TABLES; i++)
        for (size_t k = 0; k < table[i]->count; k++)
            consider(&best, table[i]->at[k].name, wanted);
    consider(&best, "schedule", wanted);
    consider(&best, "preset", wanted);
    return best.name;
}

static const char *nearest_method(const char *wanted)
{
    guess best = {0};
    for (size_t i = 0; i < tg_rule_count(); i++)
        consider(&best, tg_rule_at(i)->name, wanted);
    for (size_t i = 0; i < tg_minimizer_count(); i++)
        consider(&best, tg_minimizer_at(i)->name, wanted);
    return best.name;
}

static tg_status check_value(const words *w, const char *name, const char *value)
{
    const tg_preset *preset;
    if (strcmp(name, "preset") == 0)
        return tg_preset_find(&preset, w->of->rule, value);
    const tg_option *option = find_option(w, name);
    double number;
    if (option != NULL)
        return tg_option_parse(&number, option, value);
    tg_schedule *schedule = NULL;
    const tg_status status = tg_schedule_create(&schedule, value, 1, NULL);
    tg_schedule_destroy(schedule);
    return status;
}

/* ---- words ---- */

static void words_fini(words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        tg_heap_free(w->at[i].name);
        tg_heap_free(w->at[i].values);
    }
    w->count = 0;
}

static tg_status check_word(const words *w, const word *new)
{
    const char *who = w->of->name;
    const bool of_rules = strcmp(new->name, "schedule") == 0 || strcmp(new->name, "preset") == 0;
    if (of_rules && w->of->rule == NULL)
        return tg_fail(TG_EINVAL, "contender %s: a %s is for optimizers, and this is a minimizer", who, new->name);
    if (find_option(w, new->name) == NULL && !of_rules) {
        const char *meant = nearest_option(w, new->name);
        return tg_fail(TG_ENOTFOUND, "contender %s: neither it nor a %s has an option '%.80s'%s%s%s", who,
                       w->task->name, new->name, meant != NULL ? " (did you mean " : "", meant != NULL ? meant : "",
                       meant != NULL ? "?)" : "");
    }
    if (strcmp(new->name, "seed") == 0)
        return tg_fail(TG_EINVAL, "contender %s: seeds are the race's", who);
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->at[i].name, new->name) == 0)
            return tg_fail(TG_EINVAL, "contender %s: option %s is given twice", who, new->name);
    for (size_t i = 0; i < new->count; i++) {
        char *value = value_at(new->values, i);
        if (value == NULL)
            return tg_no_memory("a contender", 0);
        const tg_status status = check_value(w, new->name, value);
        tg_heap_free(value);
        if (status != TG_OK)
            return tg_fail(status, "contender %s: %s", who, tg_message());
    }
    return TG_OK;
}

/* Options are known by the name in their table, however their dashes were typed. */
static void use_name_of_table(char *name)
{
    for (; *name != '\0'; name++)
        if (*name == '-')
            *name = '_';
}

static tg_status add_word(words *w, const char *text, size_t bytes)
{
    const char *equals = memchr(text, '=', bytes);
    if (equals == NULL || equals == text || equals + 1 == text + bytes)
        return tg_fail(TG_EINVAL, "contender %s: '%.*s' is not OPTION=VALUE or OPTION=VALUE/VALUE/...", w->of->name,
                       bytes < 80 ? (int)bytes : 80, text);
    if (w->count == MOST_WORDS)
        return tg_fail(TG_EINVAL, "contender %s: more than %d options", w->of->name, MOST_WORDS);
    const size_t name = (size_t)(equals - text), values = bytes - name - 1;
    word new = {.name = tg_heap_alloc(name + 1, 1), .values = tg_heap_alloc(values + 1, 1)};
    tg_status status = new.name == NULL || new.values == NULL ? tg_no_memory("a contender", bytes) : TG_OK;
    if (status == TG_OK) {
        memcpy(new.name, text, name);
        memcpy(new.values, equals + 1, values);
        use_name_of_table(new.name);
        new.count = count_values(new.values);
        status = check_word(w, &new);
    }
    if (status == TG_OK) {
        w->at[w->count++] = new;
        return TG_OK;
    }
    tg_heap_free(new.name);
    tg_heap_free(new.values);
    return status;
}

/* ---- learning rates of the table ---- */

tg_status tg_race_rates(double *rate, size_t count, const tg_rule_info *rule)
{
    const size_t found = tg_option_find(&rule->options, "lr");
    if (found == rule->options.count)
        return tg_fail(TG_ENOTFOUND, "%s has no learning rate", rule->name);
    const tg_option *lr = &rule->options.at[found];
    if (!(lr->search_least > 0 && lr->search_most > lr->search_least))
        return tg_fail(TG_EINVAL, "%s names no range to search its lr in: give it values", rule->name);
    for (size_t i = 0; i < count; i++) {
        const double share = count == 1 ? 0.5 : (double)i / (double)(count - 1);
        char text[32];
        snprintf(text, sizeof text, "%.1e", lr->search_least * pow(lr->search_most / lr->search_least, share));
        if (!tg_number_read(&rate[i], text, strlen(text)))
            return tg_fail(TG_EINVAL, "%s: its lr has no range that could be divided", rule->name);
    }
    return TG_OK;
}

static tg_status add_rates(words *w, size_t rates)
{
    tg_text text = {0};
    double *rate = tg_heap_alloc(rates, sizeof *rate);
    tg_status status =
        rate == NULL ? tg_no_memory("learning rates", rates * sizeof *rate) : tg_race_rates(rate, rates, w->of->rule);
    tg_text_format(&text, "lr=");
    for (size_t i = 0; i < rates && status == TG_OK; i++) {
        char number[TG_NUMBER_BYTES];
        tg_number_print(number, rate[i]);
        tg_text_format(&text, "%s%s", i > 0 ? "/" : "", number);
    }
    if (status == TG_OK)
        status = text.failed ? tg_no_memory("learning rates", text.used) : add_word(w, text.at, text.used);
    tg_text_free(&text);
    tg_heap_free(rate);
    return status;
}

/* ---- points ---- */

static void add_setting(tg_text *label, const word *w, const char *value)
{
    tg_text_append(label, label->used > 0 ? " " : "", label->used > 0);
    tg_text_append(label, w->name, strlen(w->name));
    tg_text_append(label, "=", 1);
    tg_text_append(label, value, strlen(value));
}

static bool has_word(const words *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->at[i].name, name) == 0)
            return true;
    return false;
}

static tg_status take_setting(tg_race_point *point, const char *name, const char *value)
{
    tg_setting *setting = &point->setting[point->settings++];
    setting->name = tg_heap_text(name);
    setting->value = tg_heap_text(value);
    if (setting->name == NULL || setting->value == NULL)
        return tg_no_memory("a contender", 0);
    if (strcmp(name, "lr") == 0)
        tg_number_read(&point->lr, value, strlen(value));
    return TG_OK;
}

/* A preset stands for its options, but for those that have a word of their own. */
static tg_status take_preset(tg_race_point *point, const words *w, const char *name)
{
    const tg_preset *preset;
    tg_status status = tg_preset_find(&preset, w->of->rule, name);
    for (size_t i = 0; status == TG_OK && i < preset->settings; i++)
        if (!has_word(w, preset->setting[i].name))
            status = take_setting(point, preset->setting[i].name, preset->setting[i].value);
    return status;
}

/* Whether the contender says what lr is: by a word, or by a preset. */
static bool has_rate(const words *w)
{
    for (size_t i = 0; i < w->count; i++)
        for (size_t v = 0; v < w->at[i].count && strcmp(w->at[i].name, "preset") == 0; v++) {
            char *name = value_at(w->at[i].values, v);
            const tg_preset *preset = NULL;
            if (name != NULL && tg_preset_find(&preset, w->of->rule, name) != TG_OK)
                preset = NULL;
            tg_heap_free(name);
            for (size_t s = 0; preset != NULL && s < preset->settings; s++)
                if (strcmp(preset->setting[s].name, "lr") == 0)
                    return true;
        }
    return has_word(w, "lr");
}

/* Combination `index`: the last word's values change fastest. */
static tg_status fill_point(tg_race_point *point, const words *w, size_t index)
{
    tg_text label = {0};
    tg_status status = TG_OK;
    size_t chosen[MOST_WORDS];
    point->lr = NAN;
    point->setting = tg_heap_alloc(w->count + MOST_PRESET, sizeof *point->setting);
    if (point->setting == NULL)
        return tg_no_memory("a contender", w->count * sizeof *point->setting);
    for (size_t i = w->count; i-- > 0; index /= w->at[i].count)
        chosen[i] = index % w->at[i].count;
    for (size_t i = 0; i < w->count && status == TG_OK; i++) {
        char *value = value_at(w->at[i].values, chosen[i]);
        if (value == NULL)
            status = tg_no_memory("a contender", 0);
        else if (strcmp(w->at[i].name, "preset") == 0)
            status = take_preset(point, w, value);
        else
            status = take_setting(point, w->at[i].name, value);
        if (value != NULL && w->at[i].count > 1)
            add_setting(&label, &w->at[i], value);
        tg_heap_free(value);
    }
    tg_text_append(&label, "", 1);
    point->label = label.failed || status != TG_OK ? NULL : tg_heap_text(label.at);
    tg_text_free(&label);
    return status == TG_OK && point->label == NULL ? tg_no_memory("a contender", 0) : status;
}

static tg_status fill_points(tg_contender *c, const words *w)
{
    size_t points = 1;
    for (size_t i = 0; i < w->count; i++) {
        if (points > MOST_POINTS / w->at[i].count)
            return tg_fail(TG_EINVAL, "contender %s: more than %d combinations of values", c->name, MOST_POINTS);
        points *= w->at[i].count;
    }
    c->point = tg_heap_alloc(points, sizeof *c->point);
    if (c->point == NULL)
        return tg_no_memory("a contender", points * sizeof *c->point);
    c->points = points;
    tg_status status = TG_OK;
    for (size_t i = 0; i < points && status == TG_OK; i++)
        status = fill_point(&c->point[i], w, i);
    return status;
}

/* "adamw beta2=0.99 over eps": the options with one value, then those with several but for lr, which most have. */
static tg_status fill_title(tg_contender *c, const words *w)
{
    tg_text title = {0};
    tg_text_append(&title, c->name, strlen(c->name));
    for (size_t i = 0; i < w->count; i++)
        if (w->at[i].count == 1)
            add_setting(&title, &w->at[i], w->at[i].values);
    size_t varied = 0;
    for (size_t i = 0; i < w->count; i++)
        if (w->at[i].count > 1 && strcmp(w->at[i].name, "lr") != 0)
            tg_text_format(&title, "%s%s", varied++ == 0 ? " over " : ",", w->at[i].name);
    tg_text_append(&title, "", 1);
    c->title = title.failed ? NULL : tg_heap_text(title.at);
    tg_text_free(&title);
    return c->title == NULL ? tg_no_memory("a contender", 0) : TG_OK;
}

/* ---- the whole ---- */

void tg_contender_fini(tg_contender *c)
{
    for (size_t i = 0; i < c->points; i++) {
        for (size_t s = 0; s < c->point[i].settings; s++) {
            tg_heap_free((void *)c->point[i].setting[s].name);
            tg_heap_free((void *)c->point[i].setting[s].value);
        }
        tg_heap_free(c->point[i].setting);
        tg_heap_free(c->point[i].label);
    }
    tg_heap_free(c->point);
    tg_heap_free(c->title);
    *c = (tg_contender){0};
}

static tg_status find_method(tg_contender *c, const char *text, size_t bytes)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", bytes < sizeof name ? (int)bytes : (int)sizeof name - 1, text);
    c->rule = tg_rule_find(name);
    c->minimizer = c->rule == NULL ? tg_minimizer_find(name) : NULL;
    const char *meant = c->rule == NULL && c->minimizer == NULL ? nearest_method(name) : NULL;
    if (meant != NULL)
        return tg_fail(TG_ENOTFOUND, "there is no optimizer '%s' (did you mean %s?)", name, meant);
    if (c->rule == NULL && c->minimizer == NULL)
        return tg_fail(TG_ENOTFOUND, "there is no optimizer '%s' (a contender is \"NAME option=value ...\")", name);
    c->name = c->rule != NULL ? c->rule->name : c->minimizer->name;
    return TG_OK;
}

tg_status tg_contender_parse(tg_contender *contender, const char *text, size_t rates, const tg_race_task *task)
{
    tg_contender c = {0};
    words w = {.of = &c, .task = task};
    const char *at = text + strspn(text, " ");
    size_t bytes = strcspn(at, " ");
    tg_status status = find_method(&c, at, bytes);
    for (at += bytes, at += strspn(at, " "); status == TG_OK && *at != '\0'; at += bytes, at += strspn(at, " ")) {
        bytes = strcspn(at, " ");
        status = add_word(&w, at, bytes);
    }
    if (status == TG_OK && c.rule != NULL && !has_rate(&w) && find_option(&w, "lr") != NULL)
        status = add_rates(&w, rates);
    if (status == TG_OK)
        status = fill_points(&c, &w);
    if (status == TG_OK)
        status = fill_title(&c, &w);
    words_fini(&w);
    if (status == TG_ENOTFOUND) /* what it names: the text is wrong */
        status = TG_EINVAL;
    if (status == TG_OK)
        *contender = c;
    else
        tg_contender_fini(&c);
    return status;
}
