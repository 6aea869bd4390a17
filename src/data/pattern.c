/* data/pattern.c -- a regular expression of a tokenizer.json, written for Oniguruma's Ruby syntax, for PCRE2.
 *
 * What the two read alike passes as it stands. \s differs (PCRE2 counts U+180E as a blank) and is spelled out.
 * Everything else that could mean two things is refused: a word cut elsewhere is another token. */
#include <stdbool.h>
#include <string.h>

#include "data/split.h"

/* Unicode's White_Space. */
#define BLANKS "\\t-\\r\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

static const char *const categories[] = {"L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",  "Mc", "Me", "Mn", "N", "Nd",
                                         "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc",
                                         "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs", "C",  "Cc", "Cf", "Co"};
static const char *const groups[] = {"?:", "?=", "?!", "?<=", "?<!", "?>", "?i:"}; /* what may follow a "(" */

typedef struct reader {
    const char *at;
    tg_text *out;
    bool in_class;
} reader;

static tg_status refuse(const char *what, size_t bytes)
{
    return tg_fail(TG_EUNSUPPORTED, "'%.*s' in a pattern is not known to mean the same here", (int)bytes, what);
}

static void copy(reader *r, size_t bytes)
{
    tg_text_append(r->out, r->at, bytes);
    r->at += bytes;
}

/* \p{L}, \P{L}: general categories only, for what scripts are has changed. */
static tg_status read_property(reader *r)
{
    const size_t name = strcspn(r->at, "}");
    const bool whole = r->at[2] == '{' && r->at[name] == '}';
    for (size_t i = 0; whole && i < sizeof categories / sizeof *categories; i++)
        if (strlen(categories[i]) + 3 == name && strncmp(r->at + 3, categories[i], name - 3) == 0) {
            copy(r, name + 1);
            return TG_OK;
        }
    return refuse(r->at, r->at[name] == '}' ? name + 1 : name);
}

static tg_status read_blanks(reader *r)
{
    const bool not = r->at[1] == 'S';
    if (r->in_class && not )
        return refuse("[...\\S...]", 10);
    tg_text_format(r->out, "%s", r->in_class ? "" : not ? "[^" : "[");
    tg_text_append(r->out, BLANKS, sizeof BLANKS - 1);
    tg_text_format(r->out, "%s", r->in_class ? "" : "]");
    r->at += 2;
    return TG_OK;
}

static tg_status read_escape(reader *r)
{
    const char c = r->at[1];
    if (c == 's' || c == 'S')
        return read_blanks(r);
    if (c == 'p' || c == 'P')
        return read_property(r);
    if (c != '\0' && strchr("rntfd", c) != NULL) {
        copy(r, 2);
        return TG_OK;
    }
    if (c > ' ' && c < 0x7f && strchr("()[]{}*+?|.^$\\/-'\"#&~!,:;<=>@%`_", c) != NULL) {
        copy(r, 2);
        return TG_OK;
    }
    return refuse(r->at, c == '\0' ? 1 : 2);
}

static tg_status read_class(reader *r)
{
    const char *const begin = r->at;
    copy(r, r->at[1] == '^' ? 2 : 1);
    r->in_class = true;
    while (*r->at != ']') {
        if (*r->at == '\0')
            return refuse(begin, strlen(begin));
        if (*r->at == '[' || strncmp(r->at, "&&", 2) == 0)
            return refuse(r->at, *r->at == '[' ? 1 : 2);
        if (*r->at != '\\')
            copy(r, 1);
        else {
            const tg_status status = read_escape(r);
            if (status != TG_OK)
                return status;
        }
    }
    if (r->at == begin + 1 || (begin[1] == '^' && r->at == begin + 2)) /* []...] begins with a bracket for PCRE2 */
        return refuse(begin, (size_t)(r->at - begin) + 1);
    r->in_class = false;
    copy(r, 1);
    return TG_OK;
}

static tg_status read_group(reader *r)
{
    for (size_t i = 0; r->at[1] == '?' && i < sizeof groups / sizeof *groups; i++)
        if (strncmp(r->at + 1, groups[i], strlen(groups[i])) == 0) {
            copy(r, 1 + strlen(groups[i]));
            return TG_OK;
        }
    if (r->at[1] == '?' || r->at[1] == '*')
        return refuse(r->at, 3);
    copy(r, 1);
    return TG_OK;
}

/* {2}, {1,3}, {1,} count; a "+" behind them is possessive in PCRE2, and counts once more in Ruby. */
static tg_status read_count(reader *r)
{
    size_t bytes = 1 + strspn(r->at + 1, "0123456789");
    const bool number = bytes > 1;
    if (r->at[bytes] == ',')
        bytes += 1 + strspn(r->at + bytes + 1, "0123456789");
    if (!number || r->at[bytes] != '}' || r->at[bytes + 1] == '+')
        return refuse(r->at, strnlen(r->at, bytes + 2));
    copy(r, bytes + 1);
    return TG_OK;
}

tg_status tg_pattern_translate(tg_text *out, const char *pattern)
{
    tg_text text = {0};
    reader r = {.at = pattern, .out = &text};
    tg_status status = TG_OK;
    while (status == TG_OK && *r.at != '\0') {
        if (*r.at == '\\')
            status = read_escape(&r);
        else if (*r.at == '[')
            status = read_class(&r);
        else if (*r.at == '(')
            status = read_group(&r);
        else if (*r.at == '{')
            status = read_count(&r);
        else if (*r.at == '^' || *r.at == '$') /* of lines in Ruby, of the text in PCRE2 */
            status = refuse(r.at, 1);
        else
            copy(&r, 1);
    }
    tg_text_append(&text, "", 1);
    if (status == TG_OK && text.failed)
        status = tg_fail(TG_ENOMEM, "no memory for a pattern");
    if (status != TG_OK)
        tg_text_free(&text);
    else
        *out = text;
    return status;
}
