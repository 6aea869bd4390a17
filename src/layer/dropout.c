/* dropout.c -- dropout (Srivastava et al. 2014), inverted: what stays is scaled, so evaluation changes nothing.
 *
 *   y_i = m_i x_i / (1 - p),   m_i = 0 with probability p, else 1        dx_i = m_i dy_i / (1 - p)
 *
 * The mask is a pure function of (seed, update, micro-step, number of the dropout, i): nothing is saved, backward and recomputation
 * draw it again. Outside training the layer copies. */
#include "layer/elements.h"
#include "layer/layers.h"

#define PURPOSE 0x64726f706f7574u /* "dropout" */

static tg_key key_of(const tg_call *call)
{
    const uint64_t micro_step = call->run->micro_step, index = call->op->as.dropout.index;
    return tg_key_make(call->run->seed, PURPOSE, call->run->update, micro_step << 32 | index);
}

/* to <- mask(from) over the whole tensor. */
static void apply(const tg_call *call, void *to, const void *from, bool add)
{
    const tg_tensor *shape = call->out_shape[0];
    const size_t n = shape->rows * shape->cols;
    const double rate = call->graph->mode == TG_TRAIN ? call->op->as.dropout.rate : 0.0;
    const tg_key key = key_of(call);
    const uint32_t drop_below = (uint32_t)(rate * 0x1p32); /* rate < 1 */
    const float scale = (float)(1.0 / (1.0 - rate));
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        float x_buffer[TG_PIECE], y_buffer[TG_PIECE];
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        /* Pieces divide 2^32, so one key serves a whole piece. */
        const tg_key part = tg_key_part(key, (uint64_t)first >> 32);
        const uint32_t counter = (uint32_t)first;
        const float *x = tg_elements_read(x_buffer, from, shape->format, first, length);
        float *y = tg_elements_target(y_buffer, to, shape->format, first, add);
        for (size_t i = 0; i < length; i++)
            y[i] = tg_random(part, counter + (uint32_t)i) >= drop_below ? scale * x[i] : 0.0f;
        tg_elements_write(to, y, shape->format, first, length, add);
    }
}

static tg_status forward(const tg_call *call)
{
    apply(call, call->out[0], call->in[0], false);
    return TG_OK;
}

static tg_status backward(const tg_call *call)
{
    if (call->din[0] != NULL)
        apply(call, call->din[0], call->dout[0], call->add[0]);
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_dropout) = {
    .info = {.name = "dropout",
             .help = "sets values to 0 by chance while training",
             .equations = "y = m x / (1 - p),  m = 0 with probability p, else 1"},
    .forward = forward,
    .backward = backward,
};
