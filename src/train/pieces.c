/* train/pieces.c -- bytes that come one by one, handed on as whole UTF-8 characters (RFC 3629). */
#include "train/pieces.h"

#include <stdbool.h>

static void replace(const tg_pieces *pieces) { pieces->text(pieces->ctx, "\xef\xbf\xbd", 3); }

/* Bytes of the character that begins so; 0 for what begins none. */
static size_t length_of(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0u) == 0xe0 ? 3
         : lead >= 0xf0 && lead <= 0xf4                   ? 4
                                                          : 0;
}

/* Second bytes are narrower where the first could begin an overlong form, a surrogate or more than U+10FFFF. */
static bool continues(const tg_pieces *pieces, unsigned char byte)
{
    const unsigned char lead = pieces->held[0];
    if (pieces->have > 1)
        return byte >= 0x80 && byte <= 0xbf;
    const unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return byte >= least && byte <= most;
}

static void add_byte(tg_pieces *pieces, unsigned char byte)
{
    if (pieces->have > 0 && !continues(pieces, byte)) {
        replace(pieces);
        pieces->have = 0;
    }
    if (pieces->have == 0 && (pieces->need = length_of(byte)) == 0) {
        replace(pieces);
        return;
    }
    pieces->held[pieces->have++] = byte;
    if (pieces->have == pieces->need) {
        pieces->text(pieces->ctx, (const char *)pieces->held, pieces->have);
        pieces->have = 0;
    }
}

void tg_pieces_add(tg_pieces *pieces, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_byte(pieces, (unsigned char)bytes[i]);
}
