/* graph/gradients.c -- which tensors have gradients, and which of those can be one.
 *
 * A residual add passes its output's gradient on to both inputs unchanged. Along a residual stream all these gradients
 * can live in one place: whoever adds to the stream's gradient does so after all who wanted the earlier value have
 * read it. That is not so for every graph, so each sharing is checked: within a class of tensors that share,
 *
 *     for every tensor w written at a step t, and every other tensor m of the class that is read at a step >= t,
 *     what is written to w must belong to m too: m lies below w through adds of the class.
 *
 * Where the check fails the add gets a backward step that copies or adds. */
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "graph/plan.h"

#define NEVER SIZE_MAX

/* Scratch of this file. Backward's time of op o is ops - 1 - o. */
typedef struct sharing {
    const tg_graph *graph;
    tg_op_plan *plan;
    int *class;        /* [tensor] */
    bool *below;       /* [tensor] */
    int *member;       /* [tensor] of the class looked at */
    size_t members;
    size_t *first_user, *user; /* consumers of a tensor: user[first_user[x] .. first_user[x + 1]) */
    bool *wanted;      /* [tensor] has a gradient */
} sharing;

static size_t time_of(const sharing *s, size_t op) { return s->graph->ops - 1 - op; }

static bool has_trainable_weight(const tg_graph *graph, const tg_op *op)
{
    for (int i = 0; i < TG_OP_WEIGHTS; i++)
        if (op->weight[i] != TG_NONE && !tg_op_weight(graph, op, i)->frozen)
            return true;
    return false;
}

/* Whether the op itself holds something that is differentiated: weights, or in TG_ATTACK the samples alone. */
static bool begins(const tg_graph *graph, const tg_op *op)
{
    return graph->mode == TG_ATTACK ? op->layer->reads_samples : has_trainable_weight(graph, op);
}

/* Forward: what depends on such; backward from the loss: what the loss depends on. */
static void find_active(const tg_graph *graph, tg_op_plan *plan, bool *depends, bool *wanted)
{
    for (size_t o = 0; o < graph->ops; o++) {
        const tg_op *op = &graph->op[o];
        bool flows = begins(graph, op);
        for (int i = 0; i < TG_OP_INPUTS; i++)
            flows = flows || (op->input[i] != TG_NONE && depends[op->input[i]]);
        for (int i = 0; i < TG_OP_OUTPUTS; i++)
            if (op->output[i] != TG_NONE)
                depends[op->output[i]] = flows;
        plan[o].active = flows;
    }
    for (size_t o = graph->ops; o-- > 0;) {
        const tg_op *op = &graph->op[o];
        bool seen = op->layer->is_loss;
        for (int i = 0; i < TG_OP_OUTPUTS; i++)
            seen = seen || (op->output[i] != TG_NONE && wanted[op->output[i]]);
        plan[o].active = op->layer->is_loss || (plan[o].active && seen);
        for (int i = 0; i < TG_OP_INPUTS && plan[o].active; i++)
            if (op->input[i] != TG_NONE)
                wanted[op->input[i]] = depends[op->input[i]];
    }
}

/* The step at which backward reads d x, if any step does. */
static size_t read_time(const sharing *s, int x)
{
    const int maker = s->graph->tensor[x].maker;
    if (maker == TG_NONE || !s->plan[maker].active)
        return NEVER;
    const tg_op *op = &s->graph->op[maker];
    if (!op->layer->passes_gradient)
        return time_of(s, (size_t)maker);
    for (int i = 0; i < TG_OP_INPUTS; i++)
        if (op->input[i] != TG_NONE && s->wanted[op->input[i]] && !s->plan[maker].shares[i])
            return time_of(s, (size_t)maker);
    return NEVER;
}

/* The first step that writes to d x, sharing adds apart. */
static size_t write_time(const sharing *s, int x)
{
    for (size_t u = s->first_user[x + 1]; u-- > s->first_user[x];) { /* the last on the tape is backward's first */
        const size_t o = s->user[u];
        const tg_op *op = &s->graph->op[o];
        for (int i = 0; i < TG_OP_INPUTS && s->plan[o].active; i++)
            if (op->input[i] == x && !s->plan[o].shares[i])
                return time_of(s, o);
    }
    return NEVER;
}

/* Marks what lies below w through shared adds. Members are ascending, and an op's inputs are older than its output. */
static void mark_below(sharing *s, int w)
{
    for (size_t i = 0; i < s->members; i++)
        s->below[s->member[i]] = s->member[i] == w;
    for (size_t i = s->members; i-- > 0;) {
        const int x = s->member[i], maker = s->graph->tensor[x].maker;
        if (!s->below[x] || maker == TG_NONE || !s->graph->op[maker].layer->passes_gradient)
            continue;
        for (int k = 0; k < TG_OP_INPUTS; k++)
            if (s->plan[maker].shares[k])
                s->below[s->graph->op[maker].input[k]] = true;
    }
}

static bool class_is_right(sharing *s, int class)
{
    s->members = 0;
    for (size_t x = 0; x < s->graph->tensors; x++)
        if (s->class[x] == class)
            s->member[s->members++] = (int)x;
    for (size_t i = 0; i < s->members; i++) {
        const size_t written = write_time(s, s->member[i]);
        if (written == NEVER)
            continue;
        mark_below(s, s->member[i]);
        for (size_t j = 0; j < s->members; j++) {
            const size_t read = read_time(s, s->member[j]);
            if (read != NEVER && read >= written && !s->below[s->member[j]])
                return false;
        }
    }
    return true;
}

/* Tries to let op o's inputs of `mask` share its output's gradient. An input twice gets twice the gradient: never. */
static bool try_sharing(sharing *s, size_t o, unsigned mask, int *saved_class)
{
    const tg_op *op = &s->graph->op[o];
    const int class = s->class[op->output[0]];
    memcpy(saved_class, s->class, s->graph->tensors * sizeof *saved_class);
    bool right = true;
    for (int i = 0; i < TG_OP_INPUTS && right; i++) {
        s->plan[o].shares[i] = (mask >> i & 1u) != 0;
        if (!s->plan[o].shares[i])
            continue;
        const int x = op->input[i], old = s->class[x];
        right = x != TG_NONE && s->wanted[x] && old != class;
        for (size_t t = 0; t < s->graph->tensors && right; t++)
            if (s->class[t] == old)
                s->class[t] = class;
    }
    if (right && class_is_right(s, class))
        return true;
    memcpy(s->class, saved_class, s->graph->tensors * sizeof *saved_class);
    memset(s->plan[o].shares, 0, sizeof s->plan[o].shares);
    return false;
}

static void share(sharing *s, int *saved_class)
{
    for (size_t x = 0; x < s->graph->tensors; x++)
        s->class[x] = (int)x;
    for (size_t o = s->graph->ops; o-- > 0;) {
        if (!s->graph->op[o].layer->passes_gradient || !s->plan[o].active)
            continue;
        static const unsigned wishes[] = {3, 1, 2};
        for (int w = 0; w < 3 && !try_sharing(s, o, wishes[w], saved_class); w++)
            ;
    }
}

/* One gradient tensor per class. */
static tg_status make_gradients(tg_graph *graph, const bool *wanted, const int *class, int *made)
{
    const size_t tensors = graph->tensors;
    for (size_t x = 0; x < tensors; x++)
        made[x] = TG_NONE;
    for (size_t x = 0; x < tensors; x++) {
        if (!wanted[x])
            continue;
        int *gradient = &made[class[x]];
        if (*gradient == TG_NONE)
            *gradient = tg_graph_tensor(graph, graph->tensor[x].format, graph->tensor[x].rows, graph->tensor[x].cols);
        if (*gradient == TG_NONE)
            return tg_fail(graph->failed, "%s", graph->failure);
        graph->tensor[x].gradient = *gradient;
    }
    return TG_OK;
}

static void list_users(sharing *s)
{
    const tg_graph *graph = s->graph;
    for (size_t o = 0; o < graph->ops; o++)
        for (int i = 0; i < TG_OP_INPUTS; i++)
            if (graph->op[o].input[i] != TG_NONE)
                s->first_user[graph->op[o].input[i] + 2]++;
    for (size_t x = 0; x < graph->tensors; x++)
        s->first_user[x + 2] += s->first_user[x + 1];
    for (size_t o = 0; o < graph->ops; o++)
        for (int i = 0; i < TG_OP_INPUTS; i++)
            if (graph->op[o].input[i] != TG_NONE)
                s->user[s->first_user[graph->op[o].input[i] + 1]++] = o;
}

tg_status tg_plan_gradients(tg_graph *graph, tg_op_plan *plan)
{
    const size_t n = graph->tensors;
    bool *flags = tg_heap_alloc(3 * n, sizeof *flags);
    int *ids = tg_heap_alloc(3 * n, sizeof *ids);
    size_t *lists = tg_heap_alloc(n + 3 + graph->ops * TG_OP_INPUTS, sizeof *lists);
    tg_status status = TG_OK;
    if (flags == NULL || ids == NULL || lists == NULL) {
        status = tg_no_memory("planning gradients", n * sizeof *ids);
        goto done;
    }
    sharing s = {.graph = graph, .plan = plan, .class = ids, .member = ids + n, .below = flags, .wanted = flags + n,
                 .first_user = lists, .user = lists + n + 3};
    find_active(graph, plan, flags + 2 * n, s.wanted);
    list_users(&s);
    share(&s, ids + 2 * n);
    status = make_gradients(graph, s.wanted, s.class, ids + 2 * n);
done:
    tg_heap_free(flags);
    tg_heap_free(ids);
    tg_heap_free(lists);
    return status;
}
