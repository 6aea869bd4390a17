/* data/split.c -- text into words. The steps of the chain nest: a piece goes through all of them before the next is
 * cut, so that nothing but the place in each is kept. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/split.h"

#include <pcre2.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

#define MOST_TRIES 10000000 /* of one match, before a pattern is given up as one that explodes */
#define STACK_LEAST ((size_t)32 << 10)
#define STACK_MOST ((size_t)8 << 20)

static void *take(size_t bytes, void *ctx)
{
    (void)ctx;
    return tg_heap_alloc(bytes, 1);
}

static void give(void *memory, void *ctx)
{
    (void)ctx;
    tg_heap_free(memory);
}

static tg_status no_memory(void) { return tg_no_memory("a tokenizer's pattern", STACK_LEAST); }

/* ---- patterns ---- */

static tg_status compile(pcre2_code **code, const char *pattern, uint32_t options)
{
    int error = 0;
    PCRE2_SIZE place = 0;
    pcre2_general_context *const memory = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *const context = memory == NULL ? NULL : pcre2_compile_context_create(memory);
    pcre2_code *made = NULL;
    if (context != NULL) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        made = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options | PCRE2_UTF, &error, &place, context);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    *code = made;
    if (made != NULL)
        return TG_OK;
    if (context == NULL || error == PCRE2_ERROR_HEAP_FAILED)
        return no_memory();
    char why[128] = "";
    pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof why);
    return tg_fail(TG_EFORMAT, "a pattern is wrong at offset %zu: %s", (size_t)place, why);
}

tg_status tg_splitter_add(tg_splitter *splitter, const char *pattern, bool literal)
{
    tg_text text = {0};
    pcre2_code *code = NULL;
    if (splitter->steps == TG_MOST_STEPS)
        return tg_fail(TG_EUNSUPPORTED, "more than %d steps", TG_MOST_STEPS);
    tg_status status = literal ? TG_OK : tg_pattern_translate(&text, pattern);
    if (status == TG_OK)
        status = compile(&code, literal ? pattern : text.at, literal ? PCRE2_LITERAL : PCRE2_UCP);
    tg_text_free(&text);
    if (status != TG_OK)
        return status;
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where there is none, patterns are interpreted */
    size_t bytes = 0, machine = 0;
    pcre2_pattern_info(code, PCRE2_INFO_SIZE, &bytes);
    pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &machine);
    splitter->bytes += bytes + machine;
    splitter->code[splitter->steps++] = code;
    return TG_OK;
}

void tg_splitter_free(tg_splitter *splitter)
{
    for (size_t i = 0; i < splitter->steps; i++)
        pcre2_code_free(splitter->code[i]);
    *splitter = (tg_splitter){0};
}

/* ---- work space ---- */

tg_status tg_split_work_open(tg_split_work *work, const tg_splitter *splitter)
{
    pcre2_general_context *const memory = pcre2_general_context_create(take, give, NULL);
    if (memory == NULL)
        return no_memory();
    work->context = pcre2_match_context_create(memory);
    work->stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, memory);
    uint32_t has_machine_code = 0;
    pcre2_config(PCRE2_CONFIG_JIT, &has_machine_code);
    bool there = work->context != NULL && (work->stack != NULL || !has_machine_code);
    for (size_t i = 0; there && i < splitter->steps; i++)
        there = (work->match[i] = pcre2_match_data_create(1, memory)) != NULL;
    pcre2_general_context_free(memory);
    if (!there) {
        tg_split_work_free(work);
        return no_memory();
    }
    pcre2_set_match_limit(work->context, MOST_TRIES);
    if (work->stack != NULL)
        pcre2_jit_stack_assign(work->context, NULL, work->stack);
    return TG_OK;
}

void tg_split_work_free(tg_split_work *work)
{
    for (size_t i = 0; i < TG_MOST_STEPS; i++)
        pcre2_match_data_free(work->match[i]);
    pcre2_match_context_free(work->context);
    pcre2_jit_stack_free(work->stack);
    tg_text_free(&work->spaced);
    *work = (tg_split_work){0};
}

/* ---- cutting ---- */

typedef struct cutting {
    const tg_splitter *splitter;
    tg_split_work *work;
    tg_word_function *word;
    void *ctx;
} cutting;

/* One match from `at` on; *found false when there is none. */
static tg_status match(const cutting *c, size_t step, const char *text, size_t bytes, size_t at, size_t *begin,
                       size_t *end, bool *found)
{
    const int count = pcre2_match(c->splitter->code[step], (PCRE2_SPTR)text, bytes, at, PCRE2_NO_UTF_CHECK,
                                  c->work->match[step], c->work->context);
    *found = count >= 0;
    if (count == PCRE2_ERROR_NOMATCH)
        return TG_OK;
    if (count == PCRE2_ERROR_NOMEMORY || count == PCRE2_ERROR_HEAPLIMIT)
        return no_memory();
    if (count < 0)
        return tg_fail(TG_EUNSUPPORTED, "a pattern of the tokenizer takes too long on this text");
    const PCRE2_SIZE *const places = pcre2_get_ovector_pointer(c->work->match[step]);
    *begin = places[0];
    *end = places[1];
    return TG_OK;
}

static tg_status cut(const cutting *c, size_t step, const char *text, size_t bytes);

static tg_status pass_on(const cutting *c, size_t step, const char *text, size_t from, size_t to)
{
    return to > from ? cut(c, step + 1, text + from, to - from) : TG_OK;
}

static size_t character_bytes(const char *text, size_t bytes)
{
    uint32_t c;
    const size_t length = tg_utf8_decode(&c, text, bytes);
    return length == 0 ? 1 : length;
}

/* Matches and what is between them; an empty match cuts as well, unless it is where the last one ended. */
static tg_status cut_matches(const cutting *c, size_t step, const char *text, size_t bytes)
{
    size_t done = 0, at = 0, begin = 0, end = 0;
    bool found = true, any = false;
    tg_status status = TG_OK;
    while (status == TG_OK && at <= bytes) {
        const size_t last = end;
        status = match(c, step, text, bytes, at, &begin, &end, &found);
        if (status != TG_OK || !found)
            break;
        if (begin == end && any && begin == last) {
            at += character_bytes(text + at, bytes - at);
            continue;
        }
        any = true;
        status = pass_on(c, step, text, done, begin);
        if (status == TG_OK)
            status = pass_on(c, step, text, begin, end);
        done = at = end;
    }
    return status == TG_OK ? pass_on(c, step, text, done, bytes) : status;
}

/* The last step, and what has no step at all, may see a blank that is not there. */
static tg_status add_blank(const cutting *c, size_t step, const char **text, size_t *bytes)
{
    const tg_splitter *const s = c->splitter;
    const size_t here = s->last_cuts ? s->steps - 1 : s->steps;
    if (!s->adds_blank || step != here || **text == ' ')
        return TG_OK;
    tg_text *const spaced = &c->work->spaced;
    spaced->used = 0;
    tg_text_append(spaced, " ", 1);
    tg_text_append(spaced, *text, *bytes);
    if (spaced->failed)
        return tg_no_memory("a text with a blank in front", *bytes + 1);
    *text = spaced->at;
    *bytes += 1;
    return TG_OK;
}

static tg_status cut(const cutting *c, size_t step, const char *text, size_t bytes)
{
    const tg_status status = add_blank(c, step, &text, &bytes);
    if (status != TG_OK)
        return status;
    return step == c->splitter->steps ? c->word(c->ctx, text, bytes) : cut_matches(c, step, text, bytes);
}

tg_status tg_splitter_run(const tg_splitter *splitter, tg_split_work *work, const char *text, size_t bytes,
                          tg_word_function *word, void *ctx)
{
    const cutting c = {splitter, work, word, ctx};
    return bytes == 0 ? TG_OK : cut(&c, 0, text, bytes);
}
