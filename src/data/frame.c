/* data/frame.c -- what a tokenizer puts around a text: post_processor of tokenizer.json.
 *
 *   TemplateProcessing   `single`: special tokens, the text, special tokens
 *   BertProcessing       cls, the text, sep; RobertaProcessing alike
 *   ByteLevel            nothing: it only moves offsets
 *   Sequence             all of them, of which one may add tokens: Hugging Face takes what a second one gets as a pair
 *
 * The template for pairs of texts is kept in the file and not used. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "data/tokenizer.h"

#define MOST 32   /* tokens on a side */
#define DEEPEST 8 /* Sequences in Sequences */

typedef struct frame {
    uint32_t before[MOST], after[MOST];
    size_t befores, afters;
} frame;

typedef struct reader {
    const tg_tokenizer *tokenizer;
    const char *name;
    int depth;
} reader;

static tg_status wrong(const reader *r, const char *what)
{
    return tg_fail(TG_EFORMAT, "'%s': post_processor: %s", r->name, what);
}

/* Behind the others of a side. */
static tg_status add(const reader *r, uint32_t *side, size_t *count, const json_t *id)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || (size_t)json_integer_value(id) >= r->tokenizer->vocab)
        return wrong(r, "a special token has an id that is no token's");
    if (*count == MOST)
        return tg_fail(TG_EUNSUPPORTED, "'%s': post_processor: more than %d special tokens", r->name, MOST);
    side[(*count)++] = (uint32_t)json_integer_value(id);
    return TG_OK;
}

/* ---- the kinds ---- */

static tg_status read_nothing(reader *r, frame *f, const json_t *processor)
{
    (void)r, (void)f, (void)processor;
    return TG_OK;
}

static tg_status read_template(reader *r, frame *f, const json_t *processor)
{
    const json_t *const single = json_object_get(processor, "single");
    const json_t *const special = json_object_get(processor, "special_tokens");
    bool text = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *const piece = json_array_get(single, i), *const token = json_object_get(piece, "SpecialToken");
        if (token == NULL) {
            if (text || json_object_get(piece, "Sequence") == NULL)
                return wrong(r, "a template for one text needs one place for it");
            text = true;
            continue;
        }
        const char *const name = json_string_value(json_object_get(token, "id"));
        const json_t *const ids = json_object_get(json_object_get(special, name == NULL ? "" : name), "ids");
        if (json_array_size(ids) == 0)
            return wrong(r, "a special token of the template has no ids");
        for (size_t k = 0; k < json_array_size(ids); k++) {
            const json_t *const id = json_array_get(ids, k);
            const tg_status status = text ? add(r, f->after, &f->afters, id) : add(r, f->before, &f->befores, id);
            if (status != TG_OK)
                return status;
        }
    }
    return text ? TG_OK : wrong(r, "a template for one text needs one place for it");
}

/* "cls" and "sep" are pairs of text and id. */
static tg_status read_bert(reader *r, frame *f, const json_t *processor)
{
    const tg_status status = add(r, f->before, &f->befores, json_array_get(json_object_get(processor, "cls"), 1));
    return status == TG_OK ? add(r, f->after, &f->afters, json_array_get(json_object_get(processor, "sep"), 1))
                           : status;
}

static tg_status read_sequence(reader *r, frame *f, const json_t *processor);

static const struct {
    const char *type;
    tg_status (*read)(reader *r, frame *f, const json_t *processor);
} kinds[] = {
    {"ByteLevel", read_nothing},      {"TemplateProcessing", read_template}, {"BertProcessing", read_bert},
    {"RobertaProcessing", read_bert}, {"Sequence", read_sequence},
};

static tg_status read_any(reader *r, frame *f, const json_t *processor)
{
    const char *const type = json_string_value(json_object_get(processor, "type"));
    for (size_t i = 0; type != NULL && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(type, kinds[i].type) == 0)
            return kinds[i].read(r, f, processor);
    return type == NULL ? wrong(r, "it has no type")
                        : tg_fail(TG_EUNSUPPORTED, "'%s': post_processor '%.60s' is not known", r->name, type);
}

static tg_status read_sequence(reader *r, frame *f, const json_t *processor)
{
    const json_t *const list = json_object_get(processor, "processors");
    tg_status status = r->depth == DEEPEST ? wrong(r, "Sequences are nested too deeply") : TG_OK;
    r->depth++;
    for (size_t i = 0; status == TG_OK && i < json_array_size(list); i++) {
        frame own = {0};
        status = read_any(r, &own, json_array_get(list, i));
        if (status != TG_OK || own.befores + own.afters == 0)
            continue;
        if (f->befores + f->afters > 0)
            status = tg_fail(TG_EUNSUPPORTED, "'%s': post_processor: two of a Sequence add tokens", r->name);
        *f = own;
    }
    r->depth--;
    return status;
}

tg_status tg_tokenizer_read_frame(tg_tokenizer *tokenizer, const json_t *document, const char *name)
{
    const json_t *const processor = json_object_get(document, "post_processor");
    reader r = {.tokenizer = tokenizer, .name = name};
    frame f = {0};
    if (processor == NULL || json_is_null(processor))
        return TG_OK;
    const tg_status status = read_any(&r, &f, processor);
    if (status != TG_OK || f.befores + f.afters == 0)
        return status;
    tokenizer->frame = tg_heap_alloc(f.befores + f.afters, sizeof *tokenizer->frame);
    if (tokenizer->frame == NULL)
        return tg_no_memory("a tokenizer's special tokens", (f.befores + f.afters) * sizeof *tokenizer->frame);
    memcpy(tokenizer->frame, f.before, f.befores * sizeof *f.before);
    memcpy(tokenizer->frame + f.befores, f.after, f.afters * sizeof *f.after);
    tokenizer->before = f.befores;
    tokenizer->after = f.afters;
    return TG_OK;
}
