/* layer/build.c -- appending layers to a graph, and what the list of layers tells the outside. Compiled once. */
#include "layer/layers.h"

#define FEW_SAMPLES 16 /* for the statistics of a batch */

size_t tg_layer_count(void) { return TG_LAYER_COUNT; }

const tg_layer_info *tg_layer_at(size_t index)
{
    return index < TG_LAYER_COUNT ? &tg_layer_get((tg_layer_id)index)->info : NULL;
}

static const tg_param *weight_of(const tg_graph *graph, int w) { return &graph->model->weight[w].param; }

static bool have(const tg_graph *graph, int x) { return x >= 0 && (size_t)x < graph->tensors; }

/* An op with input x and a new output (rows, cols) of the graph's format; NULL after a failure. */
static tg_op *append(tg_graph *graph, tg_layer_id id, const char *name, int x, size_t rows, size_t cols)
{
    const int y = tg_graph_tensor(graph, graph->format, rows, cols);
    tg_op *op = y == TG_NONE ? NULL : tg_graph_op(graph, tg_layer_get(id), name);
    if (op == NULL)
        return NULL;
    op->input[0] = x;
    op->output[0] = y;
    return op;
}

/* An op whose output has its input's shape. */
static tg_op *append_like(tg_graph *graph, tg_layer_id id, const char *name, int x)
{
    tg_op *op = have(graph, x) ? append(graph, id, name, x, graph->tensor[x].rows, graph->tensor[x].cols) : NULL;
    if (op != NULL) {
        graph->tensor[op->output[0]].height = graph->tensor[x].height;
        graph->tensor[op->output[0]].width = graph->tensor[x].width;
    }
    return op;
}

static int output_of(const tg_op *op) { return op == NULL ? TG_NONE : op->output[0]; }

/* True when w is a vector of n values. */
static bool vector_fits(tg_graph *graph, const char *name, const char *what, int w, size_t n)
{
    const tg_param *p = weight_of(graph, w);
    if (p->rows * p->cols == n)
        return true;
    tg_graph_refuse(graph, "%s: %s '%s' has %zu values, not %zu", name, what, p->name, p->rows * p->cols, n);
    return false;
}

int tg_embedding(tg_graph *graph, const char *name, int table, int positions, int segments)
{
    const tg_param *t = weight_of(graph, table);
    if (positions != TG_NONE) {
        const tg_param *p = weight_of(graph, positions);
        if (p->cols != t->cols || p->rows < graph->time) {
            tg_graph_refuse(graph, "%s: the position table is (%zu, %zu), not (>= %zu, %zu)", name, p->rows, p->cols,
                            graph->time, t->cols);
            return TG_NONE;
        }
    }
    if (segments != TG_NONE && weight_of(graph, segments)->cols != t->cols) {
        tg_graph_refuse(graph, "%s: segments have %zu features, tokens %zu", name, weight_of(graph, segments)->cols,
                        t->cols);
        return TG_NONE;
    }
    tg_op *op = append(graph, TG_LAYER_EMBEDDING, name, TG_NONE, graph->batch * graph->time, t->cols);
    if (op == NULL)
        return TG_NONE;
    op->weight[0] = table;
    op->weight[1] = positions;
    op->weight[2] = segments;
    return op->output[0];
}

int tg_features(tg_graph *graph, const char *name, size_t count)
{
    return output_of(append(graph, TG_LAYER_FEATURES, name, TG_NONE, graph->batch * graph->time, count));
}

int tg_images(tg_graph *graph, const char *name, size_t channels, size_t height, size_t width)
{
    if (height > 0 && width > INT32_MAX / height) { /* what convolutions count with */
        tg_graph_refuse(graph, "%s: images of %zu x %zu are too large", name, height, width);
        return TG_NONE;
    }
    const size_t rows = graph->batch * graph->time * height * width;
    const tg_op *op = append(graph, TG_LAYER_FEATURES, name, TG_NONE, rows, channels);
    if (op == NULL)
        return TG_NONE;
    graph->tensor[op->output[0]].height = height;
    graph->tensor[op->output[0]].width = width;
    return op->output[0];
}

int tg_linear(tg_graph *graph, const char *name, int x, int w, int b, bool in_by_out)
{
    if (!have(graph, x))
        return TG_NONE;
    const tg_param *p = weight_of(graph, w);
    const size_t in = in_by_out ? p->rows : p->cols, out = in_by_out ? p->cols : p->rows;
    if (graph->tensor[x].cols != in) {
        tg_graph_refuse(graph, "%s: the input has %zu features, the weight takes %zu", name, graph->tensor[x].cols, in);
        return TG_NONE;
    }
    if (b != TG_NONE && !vector_fits(graph, name, "bias", b, out))
        return TG_NONE;
    tg_op *op = append(graph, TG_LAYER_LINEAR, name, x, graph->tensor[x].rows, out);
    if (op == NULL)
        return TG_NONE;
    op->weight[0] = w;
    op->weight[1] = b;
    op->as.linear.in_by_out = in_by_out;
    return op->output[0];
}

/* An op whose window slides over images x and makes `channels` of them; NULL after a failure. */
static tg_op *append_window(tg_graph *graph, tg_layer_id id, const char *name, int x, size_t channels,
                            const tg_window *window)
{
    const tg_tensor from = graph->tensor[x]; /* tensors move when one is made */
    const size_t height = tg_window_places(window, 0, from.height), width = tg_window_places(window, 1, from.width);
    if (from.height == 0 || from.rows != graph->batch * from.height * from.width) {
        tg_graph_refuse(graph, "%s: the input has no images", name);
        return NULL;
    }
    if (height == 0 || width == 0) {
        tg_graph_refuse(graph, "%s: a window of %zu x %zu does not fit into images of %zu x %zu", name,
                        window->kernel[0], window->kernel[1], from.height, from.width);
        return NULL;
    }
    tg_op *op = append(graph, id, name, x, graph->batch * height * width, channels);
    if (op == NULL)
        return NULL;
    graph->tensor[op->output[0]].height = height;
    graph->tensor[op->output[0]].width = width;
    op->as.window = *window;
    return op;
}

int tg_conv2d(tg_graph *graph, const char *name, int x, int w, int b, const tg_window *window)
{
    if (!have(graph, x))
        return TG_NONE;
    const tg_param *p = weight_of(graph, w);
    const size_t in = graph->tensor[x].cols, out = p->rows, groups = window->groups;
    if (groups == 0 || in % groups != 0 || out % groups != 0 ||
        p->cols != in / groups * window->kernel[0] * window->kernel[1]) {
        tg_graph_refuse(graph,
                        "%s: kernels (%zu, %zu) in %zu groups do not fit %zu channels under a window of %zu x %zu",
                        name, out, p->cols, groups, in, window->kernel[0], window->kernel[1]);
        return TG_NONE;
    }
    if (b != TG_NONE && !vector_fits(graph, name, "bias", b, out))
        return TG_NONE;
    tg_op *op = append_window(graph, TG_LAYER_CONV2D, name, x, out, window);
    if (op == NULL)
        return TG_NONE;
    op->weight[0] = w;
    op->weight[1] = b;
    return op->output[0];
}

int tg_pool2d(tg_graph *graph, const char *name, int x, tg_pool_kind kind, const tg_window *window)
{
    if (!have(graph, x))
        return TG_NONE;
    for (int side = 0; side < 2; side++)
        if (window->padding[side] > window->kernel[side] / 2 || window->dilation[side] != 1 || window->groups != 1) {
            tg_graph_refuse(graph,
                            "%s: a pooling window is padded by half of its size at most, without dilation or "
                            "groups",
                            name);
            return TG_NONE;
        }
    tg_op *op = append_window(graph, TG_LAYER_POOL2D, name, x, graph->tensor[x].cols, window);
    if (op == NULL)
        return TG_NONE;
    op->as.pool.window = *window;
    op->as.pool.kind = (int)kind;
    return op->output[0];
}

int tg_pool_all(tg_graph *graph, const char *name, int x, tg_pool_kind kind)
{
    if (!have(graph, x))
        return TG_NONE;
    const tg_tensor *from = &graph->tensor[x];
    const tg_window whole = {.kernel = {from->height, from->width}, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
    if (from->height == 0) {
        tg_graph_refuse(graph, "%s: the input has no images", name);
        return TG_NONE;
    }
    return tg_pool2d(graph, name, x, kind, &whole);
}

int tg_subsample(tg_graph *graph, const char *name, int x, size_t stride, size_t channels)
{
    const tg_window window = {.kernel = {1, 1}, .stride = {stride, stride}, .dilation = {1, 1}, .groups = 1};
    if (!have(graph, x))
        return TG_NONE;
    if (graph->tensor[x].cols > channels || stride == 0) {
        tg_graph_refuse(graph, "%s: images of %zu channels do not fit into %zu, every %zu-th place", name,
                        graph->tensor[x].cols, channels, stride);
        return TG_NONE;
    }
    tg_op *op = append_window(graph, TG_LAYER_SUBSAMPLE, name, x, channels, &window);
    return op == NULL ? TG_NONE : op->output[0];
}

int tg_dropout(tg_graph *graph, const char *name, int x, double rate)
{
    if (rate == 0.0 || graph->mode != TG_TRAIN)
        return x;
    if (!(rate > 0.0 && rate < 1.0)) {
        tg_graph_refuse(graph, "%s: dropout must be in [0, 1), not %g", name, rate);
        return TG_NONE;
    }
    tg_op *op = append_like(graph, TG_LAYER_DROPOUT, name, x);
    if (op != NULL) {
        op->as.dropout.rate = rate;
        op->as.dropout.index = (uint32_t)graph->dropouts++;
        graph->training_differs = true;
    }
    return output_of(op);
}

int tg_activation(tg_graph *graph, const char *name, int x, tg_activation_kind kind)
{
    if ((unsigned)kind >= TG_ACTIVATION_COUNT) {
        tg_graph_refuse(graph, "%s: activation %d does not exist", name, (int)kind);
        return TG_NONE;
    }
    tg_op *op = append_like(graph, TG_LAYER_ACTIVATION, name, x);
    if (op != NULL)
        op->as.activation.kind = (int)kind;
    return output_of(op);
}

/* An op of two inputs of one shape. */
static int append_pair(tg_graph *graph, tg_layer_id id, const char *name, int a, int b)
{
    if (!have(graph, a) || !have(graph, b))
        return TG_NONE;
    if (graph->tensor[a].rows != graph->tensor[b].rows || graph->tensor[a].cols != graph->tensor[b].cols) {
        tg_graph_refuse(graph, "%s: the inputs are (%zu, %zu) and (%zu, %zu)", name, graph->tensor[a].rows,
                        graph->tensor[a].cols, graph->tensor[b].rows, graph->tensor[b].cols);
        return TG_NONE;
    }
    tg_op *op = append_like(graph, id, name, a);
    if (op != NULL)
        op->input[1] = b;
    return output_of(op);
}

int tg_gated(tg_graph *graph, const char *name, int a, int b) { return append_pair(graph, TG_LAYER_GATED, name, a, b); }

int tg_add(tg_graph *graph, const char *name, int x, int y) { return append_pair(graph, TG_LAYER_ADD, name, x, y); }

/* A norm with a gain, and with a bias, which is TG_NONE where a norm may do without. */
static tg_op *append_norm(tg_graph *graph, tg_layer_id id, const char *name, int x, int gain, int bias,
                          bool bias_optional, double eps)
{
    if (!have(graph, x) || !vector_fits(graph, name, "gain", gain, graph->tensor[x].cols) ||
        (!(bias_optional && bias == TG_NONE) && !vector_fits(graph, name, "bias", bias, graph->tensor[x].cols)))
        return NULL;
    tg_op *op = append_like(graph, id, name, x);
    if (op == NULL)
        return NULL;
    op->weight[0] = gain;
    op->weight[1] = bias;
    op->as.norm.eps = eps;
    return op;
}

int tg_layernorm(tg_graph *graph, const char *name, int x, int gain, int bias, double eps)
{
    return output_of(append_norm(graph, TG_LAYER_LAYERNORM, name, x, gain, bias, true, eps));
}

int tg_rmsnorm(tg_graph *graph, const char *name, int x, int gain, double eps)
{
    return output_of(append_norm(graph, TG_LAYER_RMSNORM, name, x, gain, TG_NONE, true, eps));
}

int tg_groupnorm(tg_graph *graph, const char *name, int x, int gain, int bias, size_t groups, double eps)
{
    if (have(graph, x) && (groups == 0 || graph->tensor[x].cols % groups != 0)) {
        tg_graph_refuse(graph, "%s: %zu channels do not fall into %zu groups", name, graph->tensor[x].cols, groups);
        return TG_NONE;
    }
    if (have(graph, x) && graph->mode == TG_TRAIN &&
        graph->tensor[x].rows / graph->batch * (graph->tensor[x].cols / groups) < 2) {
        tg_graph_refuse(
            graph, "%s: a group of one value is 0 when it is normalised: take fewer groups, or larger images", name);
        return TG_NONE;
    }
    tg_op *op = append_norm(graph, TG_LAYER_GROUPNORM, name, x, gain, bias, false, eps);
    if (op != NULL)
        op->as.norm.groups = groups;
    return output_of(op);
}

int tg_batchnorm(tg_graph *graph, const char *name, int x, int gain, int bias, int running_mean, int running_var,
                 double eps)
{
    const int running[] = {running_mean, running_var};
    for (int i = 0; i < 2 && have(graph, x); i++) {
        if (!vector_fits(graph, name, "running statistic", running[i], graph->tensor[x].cols))
            return TG_NONE;
        if (weight_of(graph, running[i])->format != TG_F32 || !weight_of(graph, running[i])->frozen) {
            tg_graph_refuse(graph, "%s: '%s' must be frozen, in fp32", name, weight_of(graph, running[i])->name);
            return TG_NONE;
        }
    }
    if (have(graph, x) && graph->mode == TG_TRAIN && graph->tensor[x].rows < 2) {
        tg_graph_refuse(graph, "%s: batch norm needs 2 values of a channel to train, and there is 1", name);
        return TG_NONE;
    }
    tg_op *op = append_norm(graph, TG_LAYER_BATCHNORM, name, x, gain, bias, false, eps);
    if (op == NULL)
        return TG_NONE;
    op->weight[2] = running_mean;
    op->weight[3] = running_var;
    graph->training_differs = graph->mixes_samples = true;
    if (graph->mode == TG_TRAIN && graph->batch < FEW_SAMPLES)
        tg_graph_advise(graph,
                        "batch norm estimates means and variances from %zu samples, and below %d those are poor: "
                        "a larger batch or group norm does better",
                        graph->batch, FEW_SAMPLES);
    return op->output[0];
}

int tg_attention(tg_graph *graph, const char *name, int q, int k, int v, const tg_attention_config *c)
{
    const bool fused = k == TG_NONE && v == TG_NONE;
    if (!have(graph, q) || (!fused && (!have(graph, k) || !have(graph, v))))
        return TG_NONE;
    if (c->heads == 0 || c->kv_heads == 0 || c->head_dim == 0 || c->heads % c->kv_heads != 0 ||
        (c->rope_theta != 0.0 && c->head_dim % 2 != 0)) {
        tg_graph_refuse(graph, "%s: %zu heads of %zu with %zu key heads do not fit", name, c->heads, c->head_dim,
                        c->kv_heads);
        return TG_NONE;
    }
    const size_t width = c->heads * c->head_dim, kv_width = c->kv_heads * c->head_dim;
    const size_t rows = graph->batch * graph->time, q_cols = fused ? width + 2 * kv_width : width;
    const int input[3] = {q, k, v};
    for (int i = 0; i < (fused ? 1 : 3); i++) {
        const tg_tensor *t = &graph->tensor[input[i]];
        const size_t cols = i == 0 ? q_cols : kv_width;
        if (t->cols != cols || t->rows != rows) {
            tg_graph_refuse(graph, "%s: input %d is (%zu, %zu), not (%zu, %zu)", name, i, t->rows, t->cols, rows, cols);
            return TG_NONE;
        }
    }
    tg_op *op = append(graph, TG_LAYER_ATTENTION, name, q, rows, width);
    if (op == NULL)
        return TG_NONE;
    op->input[1] = k;
    op->input[2] = v;
    op->as.attention.heads = c->heads;
    op->as.attention.kv_heads = c->kv_heads;
    op->as.attention.head_dim = c->head_dim;
    op->as.attention.rope_theta = c->rope_theta;
    op->as.attention.rope = c->rope;
    op->as.attention.causal = c->causal;
    op->as.attention.cache = graph->attentions++;
    return op->output[0];
}

int tg_gau(tg_graph *graph, const char *name, int u, int v, int z, const int weight[4], const tg_gau_config *c)
{
    static const char *const what[4] = {"scale", "offset", "scale", "offset"};
    if (!have(graph, u) || !have(graph, v) || !have(graph, z))
        return TG_NONE;
    const tg_tensor *gate = &graph->tensor[u], *value = &graph->tensor[v], *base = &graph->tensor[z];
    if (gate->cols != value->cols || gate->rows != value->rows || gate->rows != base->rows ||
        gate->rows != graph->batch * graph->time) {
        tg_graph_refuse(graph, "%s: gates (%zu, %zu), values (%zu, %zu) and base (%zu, %zu) do not fit", name,
                        gate->rows, gate->cols, value->rows, value->cols, base->rows, base->cols);
        return TG_NONE;
    }
    if (c->rope_theta != 0.0 && base->cols % 2 != 0) {
        tg_graph_refuse(graph, "%s: %zu features of queries cannot be rotated in pairs", name, base->cols);
        return TG_NONE;
    }
    for (int i = 0; i < 4; i++)
        if (!vector_fits(graph, name, what[i], weight[i], base->cols))
            return TG_NONE;
    tg_op *op = append_like(graph, TG_LAYER_GAU, name, u);
    if (op == NULL)
        return TG_NONE;
    op->input[1] = v;
    op->input[2] = z;
    for (int i = 0; i < 4; i++)
        op->weight[i] = weight[i];
    op->as.gau.rope_theta = c->rope_theta;
    op->as.gau.causal = c->causal;
    op->as.gau.kind = (int)c->kind;
    op->as.gau.cache = graph->attentions++;
    return op->output[0];
}

void tg_head(tg_graph *graph, const char *name, int x, int w, int b, double label_smoothing)
{
    if (!have(graph, x))
        return;
    const tg_param *p = weight_of(graph, w);
    if (p->cols != graph->tensor[x].cols || graph->tensor[x].rows != graph->batch * graph->time) {
        tg_graph_refuse(graph, "%s: the input is (%zu, %zu), the weight (%zu, %zu)", name, graph->tensor[x].rows,
                        graph->tensor[x].cols, p->rows, p->cols);
        return;
    }
    if (b != TG_NONE && !vector_fits(graph, name, "bias", b, p->rows))
        return;
    if (!(label_smoothing >= 0.0 && label_smoothing < 1.0)) {
        tg_graph_refuse(graph, "%s: label smoothing must be in [0, 1), not %g", name, label_smoothing);
        return;
    }
    tg_op *op = tg_graph_op(graph, tg_layer_get(TG_LAYER_HEAD), name);
    if (op == NULL)
        return;
    op->input[0] = x;
    op->weight[0] = w;
    op->weight[1] = b;
    op->as.head.label_smoothing = label_smoothing;
}

void tg_mse(tg_graph *graph, const char *name, int x)
{
    tg_op *op = have(graph, x) ? tg_graph_op(graph, tg_layer_get(TG_LAYER_MSE), name) : NULL;
    if (op != NULL)
        op->input[0] = x;
}
