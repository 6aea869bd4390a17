/* data/normalize.c -- see normalize.h. What a character is, what it is made of and its lower case, utf8proc says. */
#include "data/normalize.h"

#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/utf8.h"

/* Of CJK ideographs, as BERT has them. */
static bool is_chinese(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
        {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0xf900, 0xfaff},   {0x2f800, 0x2fa1f},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* Control, format and private characters and U+FFFD; not those that are blanks of a text. */
static bool is_noise(uint32_t c)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (c == '\t' || c == '\n' || c == '\r')
        return false;
    return c == 0xfffd || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
           category == UTF8PROC_CATEGORY_CO;
}

static bool is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* ---- normal form ---- */

static void put_point(tg_text *text, uint32_t c)
{
    char at[TG_UTF8_BYTES];
    tg_text_append(text, at, tg_utf8_encode(at, c));
}

/* Cleaning and blanks around ideographs. */
static void rewrite(const tg_normalizer *n, tg_text *out, const char *text, size_t bytes)
{
    out->used = 0;
    for (size_t at = 0, step; at < bytes; at += step) {
        uint32_t c = 0xfffd;
        step = tg_utf8_decode(&c, text + at, bytes - at);
        step += step == 0; /* not in a legal text */
        if (n->cleans && is_noise(c))
            continue;
        const bool apart = n->parts_chinese && is_chinese(c);
        if (apart)
            put_point(out, ' ');
        put_point(out, n->cleans && tg_utf8_is_blank(c) ? ' ' : c);
        if (apart)
            put_point(out, ' ');
    }
}

/* The one character whose lower case is two. */
#define CAPITAL_I_DOT 0x130
#define DOT_ABOVE 0x307

static void put_lower(tg_text *out, uint32_t c)
{
    if (c == CAPITAL_I_DOT) {
        put_point(out, 'i');
        put_point(out, DOT_ABOVE);
    } else {
        put_point(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
    }
}

/* work->points <- the canonical decomposition; *count is its length. */
static tg_status decompose(tg_normal_work *work, size_t *count, const char *text, size_t bytes)
{
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    for (;;) {
        const utf8proc_ssize_t made = utf8proc_decompose((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes,
                                                         work->points, (utf8proc_ssize_t)work->room, how);
        if (made < 0)
            return tg_fail(TG_EFORMAT, "a text cannot be decomposed: %s", utf8proc_errmsg(made));
        if ((size_t)made <= work->room) {
            *count = (size_t)made;
            return TG_OK;
        }
        int32_t *const more = tg_heap_resize(work->points, work->room, (size_t)made, sizeof *more);
        if (more == NULL)
            return tg_no_memory("a normal form", (size_t)made * sizeof *more);
        work->points = more;
        work->room = (size_t)made;
    }
}

static tg_status finish(const tg_normalizer *n, tg_normal_work *work)
{
    const char *const text = work->part.at;
    const size_t bytes = work->part.used;
    size_t count = 0;
    if (n->strips_accents) {
        const tg_status status = decompose(work, &count, text, bytes);
        if (status != TG_OK)
            return status;
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t c = (uint32_t)work->points[i];
        if (utf8proc_category(work->points[i]) == UTF8PROC_CATEGORY_MN)
            continue;
        if (n->lowers)
            put_lower(&work->text, c);
        else
            put_point(&work->text, c);
    }
    for (size_t at = 0, step; !n->strips_accents && at < bytes; at += step) {
        uint32_t c = 0;
        step = tg_utf8_decode(&c, text + at, bytes - at);
        if (n->lowers)
            put_lower(&work->text, c);
        else
            put_point(&work->text, c);
    }
    return TG_OK;
}

tg_status tg_normalize(const tg_normalizer *normalizer, tg_normal_work *work, const char *text, size_t bytes)
{
    work->text.used = 0;
    rewrite(normalizer, &work->part, text, bytes);
    const tg_status status = work->part.failed || work->part.used == 0 ? TG_OK : finish(normalizer, work);
    return work->part.failed || work->text.failed ? tg_no_memory("a normal form", bytes) : status;
}

void tg_normal_work_free(tg_normal_work *work)
{
    tg_text_free(&work->text);
    tg_text_free(&work->part);
    tg_heap_free(work->points);
    *work = (tg_normal_work){0};
}

/* ---- words ---- */

bool tg_next_word(const char **word, size_t *bytes, const char *text, size_t end, size_t *at)
{
    size_t begin = *at, step;
    uint32_t c = ' ';
    while (begin < end && (step = tg_utf8_decode(&c, text + begin, end - begin)) > 0 && tg_utf8_is_blank(c))
        begin += step;
    if (begin >= end)
        return false;
    size_t stop = begin;
    while (stop < end && (step = tg_utf8_decode(&c, text + stop, end - stop)) > 0 && !tg_utf8_is_blank(c) &&
           !is_punctuation(c))
        stop += step;
    if (stop == begin) /* a punctuation character is a word of its own */
        stop += tg_utf8_decode(&c, text + begin, end - begin);
    *word = text + begin;
    *bytes = stop - begin;
    *at = stop;
    return stop > begin;
}
