/* schedule/compose.c -- the schedules' list, the reader of their text, stages in a row, and courses side by side.
 *
 * The reader walks the text once. A span is a piece of it between two signs, without blanks around it; every refusal
 * names the column of the span it is about. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "schedule/schedule.h"

#define MAX_TEXT ((size_t)1 << 16)
#define MAX_TOTAL 0x1p53
#define MAX_VALUE 128 /* letters of one value */
#define MAX_NAME 64

typedef struct placed_stage {
    const tg_schedule_kind *kind;
    tg_stage stage;
    double option[TG_MAX_SCHEDULE_OPTIONS];
    double start;
    const char *begin; /* in the text, while that is read */
} placed_stage;

/* A row of stages and the option it drives. */
typedef struct course {
    char option[MAX_NAME];
    placed_stage *at;
    size_t stages;
    tg_schedule_state state;
} course;

struct tg_schedule {
    tg_allocator allocator;
    bool own_allocator;
    size_t bytes; /* of the whole block: the struct, the courses, the stages, the numbers of all lists */
    double total;
    const course *lr; /* the one that drives lr; NULL: none does */
    size_t courses;
    course at[];
};

/* ---- the family ---------------------------------------------------------------------------------------------- */

static const tg_schedule_kind *const kinds[] = {
#define TG_SCHEDULE(name) &tg_schedule_kind_##name,
#include "schedule/schedules.inc"
#undef TG_SCHEDULE
};

size_t tg_schedule_count(void) { return sizeof kinds / sizeof *kinds; }

const tg_schedule_info *tg_schedule_at(size_t index)
{
    return index < tg_schedule_count() ? &kinds[index]->info : NULL;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

typedef struct span {
    const char *at;
    size_t bytes;
} span;

typedef struct reader {
    const char *text, *at;
    placed_stage *stage; /* room for the next stage */
    double *list;        /* and for the next list's numbers */
} reader;

/* A stage while its items are read. */
typedef struct stage_reader {
    placed_stage *placed;
    unsigned set; /* bit i: option i was given */
} stage_reader;

static tg_status fail_at(const reader *r, const char *place, const char *format, ...) TG_PRINTF(3, 4);

static tg_status fail_at(const reader *r, const char *place, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return tg_fail(TG_EINVAL, "schedule '%.200s', column %zu: %s", r->text, (size_t)(place - r->text) + 1, what);
}

/* Of ASCII: ctype.h follows the program's locale. */
static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* What stands from here to the next of `signs` or the end. */
static span next_span(reader *r, const char *signs)
{
    while (blank(*r->at))
        r->at++;
    const span s = {r->at, strcspn(r->at, signs)};
    r->at += s.bytes;
    size_t bytes = s.bytes;
    while (bytes > 0 && blank(s.at[bytes - 1]))
        bytes--;
    return (span){s.at, bytes};
}

/* The span as text with a 0 behind; false when it is too long to mean anything. */
static bool span_text(char text[static MAX_VALUE], span s)
{
    if (s.bytes >= MAX_VALUE)
        return false;
    memcpy(text, s.at, s.bytes);
    text[s.bytes] = '\0';
    return true;
}

static tg_status find_kind(const tg_schedule_kind **kind, const reader *r, span s)
{
    char name[MAX_VALUE];
    const char *nearest = NULL;
    size_t least = MAX_VALUE;
    if (s.bytes == 0)
        return fail_at(r, s.at, "the name of a schedule is missing");
    if (!span_text(name, s))
        return fail_at(r, s.at, "there is no schedule with so long a name");
    for (size_t i = 0; i < tg_schedule_count(); i++) {
        const size_t distance = tg_name_distance(kinds[i]->info.name, name);
        if (distance == 0) {
            *kind = kinds[i];
            return TG_OK;
        }
        if (distance < least) {
            least = distance;
            nearest = kinds[i]->info.name;
        }
    }
    if (tg_name_near(name, least))
        return fail_at(r, s.at, "there is no schedule '%s' (did you mean %s?)", name, nearest);
    return fail_at(r, s.at, "there is no schedule '%s'", name);
}

static tg_status set_option(const reader *r, stage_reader *s, size_t index, span value)
{
    const tg_option *const option = &s->placed->kind->info.options.at[index];
    char text[MAX_VALUE];
    if (s->set >> index & 1)
        return fail_at(r, value.at, "%s is set a second time", option->name);
    if (!span_text(text, value))
        return fail_at(r, value.at, "the value of %s is too long", option->name);
    if (tg_option_parse(&s->placed->option[index], option, text) != TG_OK)
        return fail_at(r, value.at, "%s", tg_message());
    s->set |= 1u << index;
    return TG_OK;
}

static tg_status read_named(const reader *r, stage_reader *s, span name, span value)
{
    const tg_schedule_info *const info = &s->placed->kind->info;
    char text[MAX_VALUE];
    if (!span_text(text, name))
        return fail_at(r, name.at, "%s has no option with so long a name", info->name);
    const size_t index = tg_option_find(&info->options, text);
    if (index < info->options.count)
        return set_option(r, s, index, value);
    const size_t nearest = tg_option_nearest(&info->options, text);
    if (nearest < info->options.count)
        return fail_at(r, name.at, "%s has no option '%s' (did you mean %s?)", info->name, text,
                       info->options.at[nearest].name);
    return fail_at(r, name.at, "%s has no option '%s'", info->name, text);
}

static tg_status read_row(reader *r, stage_reader *s, span left, span right)
{
    placed_stage *const placed = s->placed;
    const size_t width = placed->kind->list_width;
    double update, factor = 0;
    if ((width == 2) != (right.at != NULL))
        return fail_at(r, left.at, "%s wants %s here", placed->kind->info.name,
                       width == 2 ? "UPDATE=FACTOR" : "UPDATE");
    if (!tg_number_read(&update, left.at, left.bytes) || update < 0 || update > MAX_TOTAL || update != rint(update))
        return fail_at(r, left.at, "an update must be a whole number >= 0");
    if (width == 2 && (!tg_number_read(&factor, right.at, right.bytes) || factor < 0))
        return fail_at(r, right.at, "a factor must be a number >= 0");
    if (placed->stage.items > 0 && r->list[-(ptrdiff_t)width] >= update)
        return fail_at(r, left.at, "updates must ascend");
    *r->list++ = update;
    if (width == 2)
        *r->list++ = factor;
    placed->stage.items++;
    return TG_OK;
}

static tg_status read_item(reader *r, stage_reader *s)
{
    const tg_schedule_info *const info = &s->placed->kind->info;
    const span left = next_span(r, "=,>;");
    span right = {NULL, 0};
    if (*r->at == '=') {
        r->at++;
        right = next_span(r, ",>;");
    }
    if (left.bytes == 0)
        return fail_at(r, left.at, "a value is missing");
    if (right.at != NULL && letter(*left.at))
        return read_named(r, s, left, right);
    if (info->list != NULL)
        return read_row(r, s, left, right);
    if (right.at != NULL || info->first == NULL)
        return fail_at(r, left.at, "%s takes values as NAME=VALUE", info->name);
    return set_option(r, s, tg_option_find(&info->options, info->first), left);
}

static tg_status read_stage(reader *r, placed_stage *placed)
{
    const span name = next_span(r, ":>;");
    stage_reader s = {.placed = placed};
    tg_status status = find_kind(&placed->kind, r, name);
    if (status != TG_OK)
        return status;
    const tg_schedule_info *const info = &placed->kind->info;
    for (size_t i = 0; i < info->options.count; i++)
        placed->option[i] = info->options.at[i].value;
    placed->stage.option = placed->option;
    placed->stage.list = r->list;
    if (*r->at == ':') {
        do {
            r->at++;
            status = read_item(r, &s);
        } while (status == TG_OK && *r->at == ',');
        if (status != TG_OK)
            return status;
    }
    if (info->list != NULL && placed->stage.items == 0)
        return fail_at(r, name.at, "%s needs its list: %s:%s", info->name, info->name, info->list);
    for (size_t i = 0; i < info->options.count; i++)
        if (isnan(placed->option[i]))
            return fail_at(r, name.at, "%s needs %s: %s:%s=VALUE", info->name, info->options.at[i].name, info->name,
                           info->options.at[i].name);
    return TG_OK;
}

/* ---- stages in a row ----------------------------------------------------------------------------------------- */

/* Whether the stage's length is whatever is left: `updates` is 0 where it could have been left out. */
static bool takes_rest(const placed_stage *placed)
{
    return placed->option[TG_SCHEDULE_UPDATES] == 0 && placed->kind->info.options.at[TG_SCHEDULE_UPDATES].value == 0;
}

static void place(placed_stage *placed, double start, double total)
{
    const double rest = total - start;
    placed->start = start;
    placed->stage.total = total;
    placed->stage.length =
        takes_rest(placed) ? rest : fmin(rest, tg_stage_updates(&placed->stage, placed->option[TG_SCHEDULE_UPDATES]));
}

/* ---- courses side by side -------------------------------------------------------------------------------------- */

static size_t stage_at(const course *c, double now)
{
    size_t i = 0;
    while (i + 1 < c->stages && now >= c->at[i + 1].start)
        i++;
    return i;
}

static double course_factor(const tg_schedule *schedule, const course *c, double now)
{
    const size_t i = stage_at(c, now);
    const placed_stage *const placed = &c->at[i];
    tg_stage stage = placed->stage;
    if (placed->kind->follows_lr) /* which lr's own course never does */
        stage.lr = schedule->lr == NULL ? 1 : course_factor(schedule, schedule->lr, now);
    if (c->state.stage == i + 1)
        stage.state = &c->state;
    return placed->kind->factor(&stage, fmin(now - placed->start, stage.length));
}

static bool same_name(const char *a, const char *b) { return tg_name_distance(a, b) == 0; }

/* "OPTION =" in front of the stages, or nothing for lr. */
static tg_status read_option(tg_schedule *schedule, reader *r, course *c)
{
    const char *const begin = r->at;
    const span name = next_span(r, ":>;=");
    snprintf(c->option, sizeof c->option, "lr");
    if (*r->at == '=') {
        r->at++;
        if (name.bytes == 0)
            return fail_at(r, name.at, "the name of the option that is driven is missing");
        if (name.bytes >= sizeof c->option)
            return fail_at(r, name.at, "no option has so long a name");
        for (size_t i = 0; i < name.bytes; i++)
            c->option[i] = name.at[i] == '-' ? '_' : name.at[i]; /* as option tables have it */
        c->option[name.bytes] = '\0';
    } else {
        r->at = begin;
    }
    for (const course *other = schedule->at; other < c; other++)
        if (same_name(other->option, c->option))
            return fail_at(r, name.at, "%s is driven a second time", c->option);
    if (same_name(c->option, "lr"))
        schedule->lr = c;
    return TG_OK;
}

static tg_status read_course(tg_schedule *schedule, reader *r)
{
    course *const c = &schedule->at[schedule->courses++];
    double start = 0;
    tg_status status = read_option(schedule, r, c);
    c->at = r->stage;
    while (status == TG_OK) {
        placed_stage *const placed = r->stage++;
        c->stages++;
        while (blank(*r->at))
            r->at++;
        placed->begin = r->at;
        status = read_stage(r, placed);
        if (status != TG_OK)
            break;
        place(placed, start, schedule->total);
        start += placed->stage.length;
        if (placed->kind->follows_lr && schedule->lr == c)
            return fail_at(r, placed->begin, "%s follows lr and cannot drive it: name another option, OPTION=%s",
                           placed->kind->info.name, placed->kind->info.name);
        if (*r->at == '\0' || *r->at == ';')
            return TG_OK;
        if (takes_rest(placed))
            return fail_at(r, placed->begin, "%s lasts to the end: give it updates=N, or put it last",
                           placed->kind->info.name);
        r->at++;
    }
    return status;
}

/* At both ends of every stage: all kinds are monotonous enough for that to be enough. */
static tg_status check_finite(const tg_schedule *schedule, const reader *r)
{
    for (size_t i = 0; i < schedule->courses; i++) {
        const course *const c = &schedule->at[i];
        for (size_t j = 0; j < c->stages; j++) {
            const placed_stage *const p = &c->at[j];
            if (!isfinite(p->kind->factor(&p->stage, 0)) || !isfinite(p->kind->factor(&p->stage, p->stage.length)))
                return fail_at(r, p->begin, "%s grows beyond every number", p->kind->info.name);
        }
    }
    return TG_OK;
}

static tg_status read_all(tg_schedule *schedule, reader *r)
{
    tg_status status = read_course(schedule, r);
    while (status == TG_OK && *r->at == ';') {
        r->at++;
        status = read_course(schedule, r);
    }
    return status == TG_OK ? check_finite(schedule, r) : status;
}

tg_status tg_schedule_create(tg_schedule **out, const char *text, uint64_t total, const tg_allocator *allocator)
{
    const size_t length = strlen(text);
    size_t courses = 1, stages = 1, items = 0;
    if (total < 1 || total > (uint64_t)MAX_TOTAL)
        return tg_fail(TG_EINVAL, "a schedule needs a run of 1 to 2^53 updates");
    if (length > MAX_TEXT)
        return tg_fail(TG_EINVAL, "the schedule's text is longer than %zu bytes", MAX_TEXT);
    for (const char *c = text; *c != '\0'; c++) {
        courses += *c == ';';
        stages += *c == '>' || *c == ';';
        items += *c == ',' || *c == ':';
    }
    const size_t bytes =
        sizeof(tg_schedule) + courses * sizeof(course) + stages * sizeof(placed_stage) + 2 * items * sizeof(double);
    tg_schedule *const schedule = tg_alloc(allocator, bytes, 1);
    if (schedule == NULL)
        return tg_no_memory("a schedule", bytes);
    schedule->own_allocator = allocator != NULL;
    if (allocator != NULL)
        schedule->allocator = *allocator;
    schedule->bytes = bytes;
    schedule->total = (double)total;
    placed_stage *const first = (placed_stage *)(schedule->at + courses);
    reader r = {.text = text, .at = text, .stage = first, .list = (double *)(first + stages)};
    const tg_status status = read_all(schedule, &r);
    if (status != TG_OK) {
        tg_schedule_destroy(schedule);
        return status;
    }
    *out = schedule;
    return TG_OK;
}

void tg_schedule_destroy(tg_schedule *schedule)
{
    if (schedule == NULL)
        return;
    const tg_allocator allocator = schedule->allocator;
    tg_free(schedule->own_allocator ? &allocator : NULL, schedule, schedule->bytes, 1);
}

static double now_of(const tg_schedule *schedule, uint64_t u) { return fmin((double)u, schedule->total); }

double tg_schedule_factor(const tg_schedule *schedule, uint64_t u)
{
    return schedule->lr == NULL ? 1 : course_factor(schedule, schedule->lr, now_of(schedule, u));
}

size_t tg_schedule_courses(const tg_schedule *schedule) { return schedule->courses; }

const char *tg_schedule_course_option(const tg_schedule *schedule, size_t i) { return schedule->at[i].option; }

double tg_schedule_course_factor(const tg_schedule *schedule, size_t i, uint64_t u)
{
    return course_factor(schedule, &schedule->at[i], now_of(schedule, u));
}

/* ---- watching -------------------------------------------------------------------------------------------------- */

bool tg_schedule_watches(const tg_schedule *schedule)
{
    for (size_t i = 0; i < schedule->courses; i++)
        for (size_t j = 0; j < schedule->at[i].stages; j++)
            if (schedule->at[i].at[j].kind->observe != NULL)
                return true;
    return false;
}

void tg_schedule_observe(tg_schedule *schedule, uint64_t updates, double loss)
{
    const double now = now_of(schedule, updates);
    for (size_t i = 0; i < schedule->courses; i++) {
        course *const c = &schedule->at[i];
        const size_t j = stage_at(c, now);
        const placed_stage *const placed = &c->at[j];
        if (placed->kind->observe == NULL || now - placed->start > placed->stage.length)
            continue;
        if (c->state.stage != j + 1)
            c->state = (tg_schedule_state){.stage = (uint32_t)(j + 1), .factor = 1, .best = INFINITY};
        placed->kind->observe(&placed->stage, &c->state, loss);
    }
}

void tg_schedule_get_state(const tg_schedule *schedule, size_t i, tg_schedule_state *state)
{
    *state = schedule->at[i].state;
}

tg_status tg_schedule_set_state(tg_schedule *schedule, size_t i, const tg_schedule_state *state)
{
    course *const c = &schedule->at[i];
    const bool fresh = state->stage == 0;
    if (!fresh && (state->stage > c->stages || c->at[state->stage - 1].kind->observe == NULL))
        return tg_fail(TG_EINVAL, "the schedule of %s has no stage %u that watches evaluations", c->option,
                       (unsigned)state->stage);
    if (!fresh && (!(state->factor >= 0 && state->factor <= 1) || isnan(state->best)))
        return tg_fail(TG_EINVAL, "the schedule of %s cannot have come to the factor %g and the best loss %g",
                       c->option, state->factor, state->best);
    c->state = fresh ? (tg_schedule_state){0} : *state;
    return TG_OK;
}
