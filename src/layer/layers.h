/* layer/layers.h -- appending layers to a graph: what model builders call.
 *
 * x, y, ... are tensor ids of the graph, w, b, ... indexes of the model's weights (TG_NONE where optional and absent);
 * each returns the id of its output. A mistake (shapes that do not fit, no memory) is remembered and reported by
 * tg_graph_plan; the id is then TG_NONE, which all of them take and pass on. */
#ifndef TG_LAYER_LAYERS_H
#define TG_LAYER_LAYERS_H

#include "layer/layer.h"

typedef struct tg_attention_config {
    size_t heads, kv_heads, head_dim; /* heads a multiple of kv_heads */
    double rope_theta;                /* 0: no rotation; else head_dim is even */
    bool causal;
    const tg_rope_scaling *rope;              /* lives as long as the graph; NULL: default */
} tg_attention_config;

typedef struct tg_gau_config {
    double rope_theta;
    bool causal;
    tg_gau_kind kind;
} tg_gau_config;

typedef enum tg_pool_kind { TG_POOL_MAX, TG_POOL_MEAN } tg_pool_kind;

/* (B*T, C) of the run's tokens: rows of `table` (V, C) plus, unless TG_NONE, rows of `positions` (>= T, C) and the
 * first row of `segments` (>= 1, C). */
int tg_embedding(tg_graph *graph, const char *name, int table, int positions, int segments);
/* (B*T, count): the features of the run's samples. */
int tg_features(tg_graph *graph, const char *name, size_t count);
/* (B*T * places, channels): the same as images, whose values come channel by channel. */
int tg_images(tg_graph *graph, const char *name, size_t channels, size_t height, size_t width);
/* (rows, out) = x W^T + b; W (out, in), or (in, out) with in_by_out; b (out) or TG_NONE. */
int tg_linear(tg_graph *graph, const char *name, int x, int w, int b, bool in_by_out);
/* (B * places, out) of images x: W (out, in / groups * kernel height * kernel width), a kernel's values as files have them, b
 * (out) or TG_NONE. Its height and width are those of the window's places. */
int tg_conv2d(tg_graph *graph, const char *name, int x, int w, int b, const tg_window *window);
/* (B * places, channels) of images x: the largest value or the mean in each window, which has neither dilation nor groups. */
int tg_pool2d(tg_graph *graph, const char *name, int x, tg_pool_kind kind, const tg_window *window);
/* (B, channels): the same over the whole image. */
int tg_pool_all(tg_graph *graph, const char *name, int x, tg_pool_kind kind);
/* (B * places, channels) of images x, which have no more channels: every stride-th place of both sides, zeros behind. */
int tg_subsample(tg_graph *graph, const char *name, int x, size_t stride, size_t channels);
/* x where the rate is 0 or the graph is not for training. */
int tg_dropout(tg_graph *graph, const char *name, int x, double rate);
int tg_activation(tg_graph *graph, const char *name, int x, tg_activation_kind kind);
/* silu(a) * b */
int tg_gated(tg_graph *graph, const char *name, int a, int b);
int tg_add(tg_graph *graph, const char *name, int x, int y);
int tg_layernorm(tg_graph *graph, const char *name, int x, int gain, int bias, double eps);
int tg_rmsnorm(tg_graph *graph, const char *name, int x, int gain, double eps);
/* gain and bias (C): of a channel. `groups` divides C: the channels of one are normalised together, over all rows of a
 * sample. */
int tg_groupnorm(tg_graph *graph, const char *name, int x, int gain, int bias, size_t groups, double eps);
/* Over all rows; running_mean and running_var (C) are frozen and fp32, and training writes to them. */
int tg_batchnorm(tg_graph *graph, const char *name, int x, int gain, int bias, int running_mean, int running_var,
                 double eps);
/* (B*T, heads * head_dim). Either k and v are TG_NONE and q is fused, (B*T, (heads + 2 kv_heads) head_dim) with all
 * queries first, then keys, then values; or q (B*T, heads * head_dim), k and v (B*T, kv_heads * head_dim). */
int tg_attention(tg_graph *graph, const char *name, int q, int k, int v, const tg_attention_config *config);
/* (B*T, E): the gated attention unit of u, v (B*T, E) and z (B*T, D), with the scale and offset (D) of queries and keys in
 * weight[4]. rope_theta 0: no rotation; else D is even. */
int tg_gau(tg_graph *graph, const char *name, int u, int v, int z, const int weight[4], const tg_gau_config *config);
/* Ends the graph: softmax cross-entropy of x W^T + b, W (V, C), b (V) or TG_NONE, against the run's targets. */
void tg_head(tg_graph *graph, const char *name, int x, int w, int b, double label_smoothing);
/* Ends the graph: mean squared error of x (B*T, K) against the run's values. */
void tg_mse(tg_graph *graph, const char *name, int x);

#endif
