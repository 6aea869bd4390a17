/* race/contender.c -- "adamw lr=1e-3/3e-3 beta2=0.99": an optimizer and every combination of the values given. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "tiger/engine/race.h"
#include "tiger/schedule.h"

#define MOST_WORDS 32    /* options of one contender */
#define MOST_POINTS 4096 /* combinations of their values */

/* An option as it was given: its values are `count` parts of `values` between slashes. */
typedef struct word {
    char *name, *values;
    size_t count;
} word;

typedef struct words {
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

/* The table that has the option; NULL when none has. */
static const tg_option *find_option(const tg_rule_info *rule, const char *name)
{
    const tg_option_table *const table[] = {&rule->options, tg_optim_common_options(), tg_train_options()};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const size_t found = tg_option_find(table[i], name);
        if (found < table[i]->count)
            return &table[i]->at[found];
    }
    return NULL;
}

static tg_status check_value(const tg_rule_info *rule, const char *name, const char *value)
{
    const tg_option *option = find_option(rule, name);
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

static tg_status check_word(const words *w, const word *new, const tg_rule_info *rule)
{
    if (find_option(rule, new->name) == NULL && strcmp(new->name, "schedule") != 0)
        return tg_fail(TG_ENOTFOUND, "contender %s: neither it nor a training has an option '%.80s'", rule->name,
                       new->name);
    if (strcmp(new->name, "seed") == 0)
        return tg_fail(TG_EINVAL, "contender %s: seeds are the race's", rule->name);
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->at[i].name, new->name) == 0)
            return tg_fail(TG_EINVAL, "contender %s: option %s is given twice", rule->name, new->name);
    for (size_t i = 0; i < new->count; i++) {
        char *value = value_at(new->values, i);
        if (value == NULL)
            return tg_no_memory("a contender", 0);
        const tg_status status = check_value(rule, new->name, value);
        tg_heap_free(value);
        if (status != TG_OK)
            return tg_fail(status, "contender %s: %s", rule->name, tg_message());
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

static tg_status add_word(words *w, const tg_rule_info *rule, const char *text, size_t bytes)
{
    const char *equals = memchr(text, '=', bytes);
    if (equals == NULL || equals == text || equals + 1 == text + bytes)
        return tg_fail(TG_EINVAL, "contender %s: '%.*s' is not OPTION=VALUE or OPTION=VALUE/VALUE/...", rule->name,
                       bytes < 80 ? (int)bytes : 80, text);
    if (w->count == MOST_WORDS)
        return tg_fail(TG_EINVAL, "contender %s: more than %d options", rule->name, MOST_WORDS);
    const size_t name = (size_t)(equals - text), values = bytes - name - 1;
    word new = {.name = tg_heap_alloc(name + 1, 1), .values = tg_heap_alloc(values + 1, 1)};
    tg_status status = new.name == NULL || new.values == NULL ? tg_no_memory("a contender", bytes) : TG_OK;
    if (status == TG_OK) {
        memcpy(new.name, text, name);
        memcpy(new.values, equals + 1, values);
        use_name_of_table(new.name);
        new.count = count_values(new.values);
        status = check_word(w, &new, rule);
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

static tg_status add_rates(words *w, const tg_rule_info *rule, size_t rates)
{
    tg_text text = {0};
    double *rate = tg_heap_alloc(rates, sizeof *rate);
    tg_status status =
        rate == NULL ? tg_no_memory("learning rates", rates * sizeof *rate) : tg_race_rates(rate, rates, rule);
    tg_text_format(&text, "lr=");
    for (size_t i = 0; i < rates && status == TG_OK; i++) {
        char number[TG_NUMBER_BYTES];
        tg_number_print(number, rate[i]);
        tg_text_format(&text, "%s%s", i > 0 ? "/" : "", number);
    }
    if (status == TG_OK)
        status = text.failed ? tg_no_memory("learning rates", text.used) : add_word(w, rule, text.at, text.used);
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

/* Combination `index`: the last word's values change fastest. */
static tg_status fill_point(tg_race_point *point, const words *w, size_t index)
{
    tg_text label = {0};
    point->lr = NAN;
    point->setting = tg_heap_alloc(w->count + 1, sizeof *point->setting);
    if (point->setting == NULL)
        return tg_no_memory("a contender", w->count * sizeof *point->setting);
    point->settings = w->count;
    for (size_t i = w->count; i-- > 0;) {
        point->setting[i].name = tg_heap_text(w->at[i].name);
        point->setting[i].value = value_at(w->at[i].values, index % w->at[i].count);
        index /= w->at[i].count;
        if (point->setting[i].name == NULL || point->setting[i].value == NULL)
            return tg_no_memory("a contender", 0);
        if (strcmp(w->at[i].name, "lr") == 0)
            tg_number_read(&point->lr, point->setting[i].value, strlen(point->setting[i].value));
    }
    for (size_t i = 0; i < w->count; i++)
        if (w->at[i].count > 1)
            add_setting(&label, &w->at[i], point->setting[i].value);
    tg_text_append(&label, "", 1);
    point->label = label.failed ? NULL : tg_heap_text(label.at);
    tg_text_free(&label);
    return point->label == NULL ? tg_no_memory("a contender", 0) : TG_OK;
}

static tg_status fill_points(tg_contender *c, const words *w)
{
    size_t points = 1;
    for (size_t i = 0; i < w->count; i++) {
        if (points > MOST_POINTS / w->at[i].count)
            return tg_fail(TG_EINVAL, "contender %s: more than %d combinations of values", c->rule->name, MOST_POINTS);
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

static tg_status fill_title(tg_contender *c, const words *w)
{
    tg_text title = {0};
    tg_text_append(&title, c->rule->name, strlen(c->rule->name));
    for (size_t i = 0; i < w->count; i++)
        if (w->at[i].count == 1)
            add_setting(&title, &w->at[i], w->at[i].values);
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

static tg_status find_rule(const tg_rule_info **rule, const char *text, size_t bytes)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", bytes < sizeof name ? (int)bytes : (int)sizeof name - 1, text);
    *rule = tg_rule_find(name);
    return *rule != NULL
               ? TG_OK
               : tg_fail(TG_ENOTFOUND, "there is no optimizer '%s' (a contender is \"NAME option=value ...\")", name);
}

static bool has_word(const words *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->at[i].name, name) == 0)
            return true;
    return false;
}

tg_status tg_contender_parse(tg_contender *contender, const char *text, size_t rates)
{
    tg_contender c = {0};
    words w = {0};
    const char *at = text + strspn(text, " ");
    size_t bytes = strcspn(at, " ");
    tg_status status = find_rule(&c.rule, at, bytes);
    for (at += bytes, at += strspn(at, " "); status == TG_OK && *at != '\0'; at += bytes, at += strspn(at, " ")) {
        bytes = strcspn(at, " ");
        status = add_word(&w, c.rule, at, bytes);
    }
    if (status == TG_OK && !has_word(&w, "lr") && tg_option_find(&c.rule->options, "lr") < c.rule->options.count)
        status = add_rates(&w, c.rule, rates);
    if (status == TG_OK)
        status = fill_points(&c, &w);
    if (status == TG_OK)
        status = fill_title(&c, &w);
    words_fini(&w);
    if (status == TG_OK)
        *contender = c;
    else
        tg_contender_fini(&c);
    return status;
}
