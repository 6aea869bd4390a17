/* optim/update.c -- windows, micro-steps and updates: who is updated when, and from what. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "optim/optim.h"

#define RMS_FLOOR 1e-3                /* of weights, for clip_adaptive */
#define GROUP_BYTES ((size_t)8 << 20) /* of gradients inspected before they are used; last-level caches hold them */

void tg_optim_tell(const tg_optim *o, tg_event_kind kind, const char *param, double value)
{
    if (o->event == NULL)
        return;
    const tg_event event = {
        .kind = kind, .update = o->update + 1, .micro_step = o->micro_step + 1, .param = param, .value = value};
    o->event(o->event_ctx, &event);
}

static tg_status check_idle(const tg_optim *o)
{
    if (!o->started)
        return tg_fail(TG_ESTATE, "call tg_optim_start first");
    if (o->window != 0)
        return tg_fail(TG_ESTATE, "a window is open: end it with tg_optim_end first");
    return TG_OK;
}

tg_status tg_optim_begin(tg_optim *o, uint32_t micro_steps)
{
    const tg_status status = check_idle(o);
    if (status != TG_OK)
        return status;
    if (micro_steps == 0)
        return tg_fail(TG_EINVAL, "a window has at least one micro-step");
    if (o->place == TG_RELEASED && micro_steps != 1)
        return tg_fail(TG_EINVAL, "gradients=released updates each tensor at once: accumulation needs folded or buffered");
    tg_optim_schedule_groups(o);
    o->window = micro_steps;
    o->micro_step = 0;
    return TG_OK;
}

/* torch.nn.utils.clip_grad_norm_'s factor. */
static double clip_factor(const tg_optim *o, double norm)
{
    const double most = o->common[TG_COMMON_CLIP_NORM];
    return most > 0 ? fmin(1.0, most / (norm + 1e-6)) : 1.0;
}

/* By which a tensor's gradient, of this sum of squares, is scaled to have an RMS of no more than a share of its
 * weights' (Brock et al. 2021, arXiv:2102.06171, sec. 4.1, for whole tensors in place of rows). The floor lets weights
 * that begin at 0 move. */
static double adaptive_factor(const tg_optim *o, const tg_entry *e, double squares)
{
    const double share = o->common[TG_COMMON_CLIP_ADAPTIVE];
    if (share == 0 || e->n == 0)
        return 1;
    const double most = share * fmax(tg_entry_rms(o, e), RMS_FLOOR), rms = sqrt(squares / (double)e->n);
    return rms > most ? most / rms : 1;
}

/* The same of a gradient that came in tiles. */
static double adaptive_factor_of_tiles(const tg_optim *o, const tg_entry *e)
{
    const bool adaptive = o->common[TG_COMMON_CLIP_ADAPTIVE] > 0;
    return adaptive ? adaptive_factor(o, e, tg_tree_sum(e->row_squares, e->param.rows)) : 1;
}

static double buffered_norm(const tg_optim *o)
{
    double squares = 0;
    for (size_t i = 0; i < o->entries; i++)
        if (o->entry[i].row_squares != NULL && o->entry[i].accepted > 0)
            squares += tg_tree_sum(o->entry[i].row_squares, o->entry[i].param.rows);
    return sqrt(squares);
}

static void close_entry(tg_entry *e)
{
    if (e->row_tiles != NULL)
        memset(e->row_tiles, 0, e->param.rows);
    if (e->row_squares != NULL) /* rows without a tile in the next window have no gradient there */
        memset(e->row_squares, 0, e->param.rows * sizeof *e->row_squares);
    e->accepted = 0;
    e->seen = e->bad = e->bad_in_window = e->released = false;
}

static void report_frozen(tg_optim *o)
{
    if (o->moves_wanted > 0)
        tg_optim_tell(o, TG_EVENT_FROZEN_SHARE, "", (double)o->moves_frozen / (double)o->moves_wanted);
    o->moves_wanted = o->moves_frozen = 0;
}

/* After the passes: count the update, judge the window, make ready for the next. */
static tg_status finish(tg_optim *o)
{
    report_frozen(o);
    const tg_status status = tg_optim_guard_window(o);
    o->update++;
    for (size_t i = 0; i < o->entries; i++)
        close_entry(&o->entry[i]);
    o->window = o->micro_step = 0;
    const tg_status failed = o->matrix_status;
    o->matrix_status = TG_OK;
    return status != TG_OK ? status : failed;
}

/* Makes tensor `param` ready for the common walk; a whole matrix walks at once where all share one array of directions. */
static void prepare(tg_optim *o, size_t param, const void *gradient, tg_format format, double scale, bool whole)
{
    tg_pass_prepare(o, param, gradient, format, scale, whole);
    if (o->entry[param].whole && o->rule->kept == NULL)
        tg_pass_run(o, param, param + 1);
}

/* Whether a tensor is made ready in this of two turns: matrices after their biases, which they take along. A joined bias
 * goes with its matrix or not at all. */
static bool has_turn(const tg_optim *o, size_t param, int turn)
{
    const tg_entry *e = &o->entry[param];
    const bool late = o->rule->kept != NULL && tg_entry_is_matrix(e);
    return e->accepted > 0 && late == (turn == 1) && !(e->joined && o->entry[e->mate].accepted == 0);
}

void tg_optim_update_entry(tg_optim *o, size_t param)
{
    tg_entry *e = &o->entry[param];
    tg_tiles_settle(o, e);
    tg_pass_prepare(o, param, tg_tiles_gradient(o, e), o->gradient_format, adaptive_factor_of_tiles(o, e), false);
    tg_pass_run(o, param, param + 1);
    e->released = true;
}

tg_status tg_optim_complete(tg_optim *o, size_t param)
{
    if (param >= o->entries || o->window == 0)
        return tg_fail(param >= o->entries ? TG_EINVAL : TG_ESTATE, "no gradient of parameter %zu is being made", param);
    tg_entry *e = &o->entry[param];
    if (o->place != TG_RELEASED || e->param.many_uses || e->released)
        return TG_OK;
    if (e->seen && !e->bad)
        tg_optim_update_entry(o, param);
    if (o->release_owner == param)
        o->release_owner = o->entries;
    return TG_OK;
}

/* Released tensors whose end nobody announced: tied ones, mostly. */
static void release_rest(tg_optim *o)
{
    for (size_t i = 0; i < o->entries; i++)
        if (o->entry[i].seen && !o->entry[i].bad && !o->entry[i].released)
            tg_optim_update_entry(o, i);
    o->release_owner = o->entries;
}

tg_status tg_optim_micro_end(tg_optim *o)
{
    if (o->window == 0 || o->micro_step >= o->window)
        return tg_fail(TG_ESTATE, "no micro-step is under way");
    if (o->place == TG_RELEASED)
        release_rest(o);
    const tg_status status = tg_optim_guard_micro(o, 0, o->entries);
    o->micro_step++;
    return status;
}

tg_status tg_optim_end(tg_optim *o)
{
    if (o->window == 0 || o->micro_step != o->window)
        return tg_fail(TG_ESTATE, "the window has %u of its %u micro-steps", o->micro_step, o->window);
    if (o->place == TG_RELEASED)
        return finish(o);
    for (size_t i = 0; i < o->entries; i++)
        if (o->entry[i].accepted > 0)
            tg_tiles_settle(o, &o->entry[i]);
    const double scale = o->place == TG_BUFFERED ? clip_factor(o, buffered_norm(o)) : 1;
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < o->entries; i++)
            if (has_turn(o, i, turn))
                prepare(o, i, tg_tiles_gradient(o, &o->entry[i]), o->gradient_format,
                        scale * adaptive_factor_of_tiles(o, &o->entry[i]), false);
    tg_pass_agree(o, 0, o->entries);
    tg_pass_run(o, 0, o->entries);
    return finish(o);
}

void tg_optim_abandon(tg_optim *o)
{
    bool updated = false;
    for (size_t i = 0; i < o->entries; i++) {
        updated = updated || o->entry[i].released;
        close_entry(&o->entry[i]);
    }
    o->update += updated; /* its random numbers are used up */
    o->release_owner = o->entries;
    o->window = o->micro_step = 0;
    o->matrix_status = TG_OK;
}

static tg_status check_grads(const tg_optim *o, const tg_grad *grads)
{
    for (size_t i = 0; i < o->entries; i++) {
        const tg_param *p = &o->entry[i].param;
        if (grads[i].data == NULL)
            continue;
        if (grads[i].format != TG_F32 && !tg_is_half(grads[i].format))
            return tg_fail(TG_EINVAL, "the gradient of %s must be fp32, bf16 or fp16, not %s", p->name,
                           tg_format_name(grads[i].format));
        if (!(grads[i].scale >= 0) || isinf(grads[i].scale))
            return tg_fail(TG_EINVAL, "the gradient scale of %s must be a number > 0, not %g", p->name,
                           (double)grads[i].scale);
        if (grads[i].data == p->data)
            return tg_fail(TG_EINVAL, "the gradient of %s lies in its weights' memory", p->name);
    }
    return TG_OK;
}

/* Where the group of tensors that begins with `first` ends. What inspection has read of a group is still in the last-level
 * cache when its update reads it again. Clipping by the global norm, and rules of layers, must have seen all first. */
static size_t group_end(const tg_optim *o, const tg_grad *grads, size_t first)
{
    size_t bytes = 0, end = first;
    if (o->guard == TG_GUARD_OFF || o->common[TG_COMMON_CLIP_NORM] > 0 || o->rule->kept != NULL)
        return o->entries;
    do
        bytes += grads[end].data == NULL ? 0 : o->entry[end].n * tg_format_bytes(grads[end].format);
    while (++end < o->entries && bytes < GROUP_BYTES * (1 + (size_t)tg_optim_threads(o) / 8));
    return end;
}

static tg_status step_group(tg_optim *o, const tg_grad *grads, size_t first, size_t end)
{
    const double scale = clip_factor(o, tg_inspect(o, grads, first, end));
    const tg_status status = tg_optim_guard_micro(o, first, end);
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = first; i < end; i++)
            if (has_turn(o, i, turn)) {
                const double factor = scale * adaptive_factor(o, &o->entry[i], o->entry[i].gradient_squares);
                prepare(o, i, grads[i].data, grads[i].format,
                        grads[i].scale > 0 ? factor / (double)grads[i].scale : factor, true);
            }
    tg_pass_agree(o, first, end);
    tg_pass_run(o, first, end);
    return status;
}

tg_status tg_optim_step(tg_optim *o, const tg_grad *grads)
{
    tg_status status = check_idle(o);
    if (status == TG_OK)
        status = check_grads(o, grads);
    if (status != TG_OK)
        return status;
    tg_optim_schedule_groups(o);
    o->window = 1;
    for (size_t first = 0, end; first < o->entries; first = end) {
        end = group_end(o, grads, first);
        const tg_status group = step_group(o, grads, first, end);
        status = status == TG_OK ? group : status;
    }
    const tg_status finished = finish(o);
    return status != TG_OK ? status : finished;
}

/* ---- second order ---- */

static tg_status check_observing(const tg_optim *o, const tg_grad *grads, double scale)
{
    if (o->rule->observe == NULL)
        return tg_fail(TG_EUNSUPPORTED, "%s has no use for the Hessian's diagonal", o->rule->info.name);
    if (!(scale > 0) || isinf(scale))
        return tg_fail(TG_EINVAL, "the scale of an estimate must be a number > 0, not %g", scale);
    if (grads != NULL) {
        const tg_status status = check_idle(o);
        return status != TG_OK ? status : check_grads(o, grads);
    }
    if (o->window == 0 || o->micro_step != o->window)
        return tg_fail(TG_ESTATE, "the window has %u of its %u micro-steps", o->micro_step, o->window);
    return o->place == TG_BUFFERED ? TG_OK
                                   : tg_fail(TG_ESTATE, "an estimate from tiles needs gradients=buffered");
}

tg_status tg_optim_observe(tg_optim *o, const tg_grad *grads, tg_estimate estimate, double scale)
{
    tg_status status = check_observing(o, grads, scale);
    if (status != TG_OK)
        return status;
    tg_optim_schedule_groups(o);
    if (grads != NULL) {
        o->window = 1;
        tg_inspect(o, grads, 0, o->entries);
        status = tg_optim_guard_micro(o, 0, o->entries);
    }
    for (size_t i = 0; i < o->entries; i++) {
        tg_entry *e = &o->entry[i];
        if (e->accepted < o->window) /* a part would be no estimate: of a difference, one side */
            continue;
        const double unscale = grads == NULL || grads[i].scale <= 0 ? 1 : 1 / (double)grads[i].scale;
        if (grads == NULL)
            tg_tiles_settle(o, e);
        tg_observe_entry(o, i, grads == NULL ? tg_tiles_gradient(o, e) : grads[i].data,
                         grads == NULL ? o->gradient_format : grads[i].format, unscale, estimate, scale);
    }
    for (size_t i = 0; i < o->entries; i++)
        close_entry(&o->entry[i]);
    o->window = o->micro_step = 0;
    return status;
}
