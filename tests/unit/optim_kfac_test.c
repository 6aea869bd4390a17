/* optim_kfac_test.c -- layers under kfac: their steps against the equations in double, biases and norm constraint
 * included; against least squares and the whole Fisher matrix, where theory says they are equal; what rows do, and what
 * is refused. */
#include <unistd.h>

#include "optim_support.h"

#define UPDATES 12
#define MOST 64 /* values of a side with its 1 */

/* fp32 sums of some ten products, and inverses of well-conditioned factors. */
static const double tolerance = 2e-5;

/* ---- a net of layers: two with a bias, one without; and tensors that are no layers ---- */

typedef struct layer {
    size_t in, out;
    tg_layer_form form;
    bool biased;
} layer;

static const layer layers[] = {{13, 5, TG_LAYER_OUT_BY_IN, true},
                               {17, 6, TG_LAYER_IN_BY_OUT, true},
                               {9, 4, TG_LAYER_OUT_BY_IN, false},
                               {37, 41, TG_LAYER_IN_BY_OUT, true}};
enum { LAYERS = sizeof layers / sizeof *layers, TENSORS = 2 * LAYERS + 1 };

typedef struct net {
    tg_optim *o;
    void *x[TENSORS]; /* matrix and bias of each layer in turn, and an embedding */
    float *g[TENSORS];
    size_t n[TENSORS];
    tg_format format, rows_format;
    bool absent[TENSORS];
} net;

static const char *const names[TENSORS] = {"w0", "b0", "w1", "b1", "w2", "b2", "w3", "b3", "e"};

static void net_fill(net *s, size_t step)
{
    for (size_t k = 0; k < TENSORS; k++)
        for (size_t i = 0; i < s->n[k]; i++)
            s->g[k][i] = input_gradient(50 + (uint32_t)k, step, i);
}

static void net_create(net *s, const work_option *options, tg_format format)
{
    *s = (net){.format = format, .rows_format = TG_F32};
    must(tg_optim_create(&s->o, "kfac", NULL));
    for (; options->name != NULL; options++)
        must(tg_optim_set(s->o, TG_ALL_GROUPS, options->name, options->value));
    for (size_t k = 0; k < TENSORS; k++) {
        const layer *l = k / 2 < LAYERS ? &layers[k / 2] : NULL;
        const bool matrix = l != NULL && k % 2 == 0, by_out = matrix && l->form == TG_LAYER_IN_BY_OUT;
        const size_t rows = l == NULL ? 7 : !matrix ? 1 : by_out ? l->in : l->out;
        const size_t cols = l == NULL ? 3 : !matrix || by_out ? l->out : l->in;
        s->n[k] = l != NULL && !matrix && !l->biased ? 0 : rows * cols;
        s->x[k] = calloc(s->n[k] + 1, 4);
        s->g[k] = calloc(s->n[k] + 1, 4);
        float *x = calloc(s->n[k] + 1, 4);
        for (size_t i = 0; i < s->n[k]; i++)
            x[i] = input_weight((uint32_t)k, i, TG_MATRIX);
        tg_kernels_get()->narrow(s->x[k], x, format, s->n[k]);
        free(x);
        const tg_param p = {.name = names[k],
                            .data = s->x[k],
                            .format = format,
                            .rows = s->n[k] == 0 ? 0 : rows,
                            .cols = cols,
                            .role = l == NULL ? TG_EMBEDDING
                                    : matrix  ? TG_MATRIX
                                              : TG_BIAS,
                            .layer = matrix ? l->form : TG_NO_LAYER,
                            .bias = matrix && l->biased ? names[k + 1] : NULL};
        must(tg_optim_add(s->o, &p, NULL));
    }
}

static void net_destroy(net *s)
{
    tg_optim_destroy(s->o);
    for (size_t k = 0; k < TENSORS; k++)
        free(s->x[k]), free(s->g[k]);
}

static void fill_rows(float *a, float *g, size_t l, size_t step)
{
    for (size_t i = 0; i < input_rows(step) * layers[l].in; i++)
        a[i] = input_row(300 + (uint32_t)l, step, i, false);
    for (size_t i = 0; i < input_rows(step) * layers[l].out; i++)
        g[i] = input_row(300 + (uint32_t)l, step, i, true);
}

static tg_status observe(tg_optim *o, size_t param, const void *inputs, const void *gradients, tg_format format, size_t rows,
                         double scale)
{
    return tg_optim_observe_layer(
        o, param,
        &(tg_layer_rows){.inputs = inputs, .gradients = gradients, .format = format, .rows = rows, .scale = scale});
}

static void net_rows(net *s, size_t step)
{
    for (size_t l = 0; l < LAYERS; l++) {
        float a[10 * MOST], g[10 * MOST];
        uint16_t half_a[10 * MOST], half_g[10 * MOST];
        const size_t rows = input_rows(step);
        const bool wide = s->rows_format == TG_F32;
        fill_rows(a, g, l, step);
        tg_kernels_get()->narrow(half_a, a, wide ? TG_BF16 : s->rows_format, rows * layers[l].in);
        tg_kernels_get()->narrow(half_g, g, wide ? TG_BF16 : s->rows_format, rows * layers[l].out);
        must(observe(s->o, 2 * l, wide ? (void *)a : half_a, wide ? (void *)g : half_g, s->rows_format, rows,
                     input_terms));
    }
}

static tg_status net_arrays(net *s)
{
    tg_grad grads[TENSORS] = {0};
    for (size_t k = 0; k < TENSORS; k++)
        if (!s->absent[k] && s->n[k] > 0)
            grads[k] = (tg_grad){.data = s->g[k], .format = TG_F32};
    return tg_optim_step(s->o, grads);
}

/* Tiles of one row, the last first; biases before or behind their matrices. */
static void net_tiles(net *s, bool upwards)
{
    must(tg_optim_begin(s->o, 1));
    for (size_t j = 0; j < TENSORS; j++) {
        const size_t k = upwards ? j : TENSORS - 1 - j, rows = tg_optim_param(s->o, k)->rows;
        for (size_t row = rows; row-- > 0;)
            must(tg_optim_accumulate(s->o, k, row, 1, s->g[k] + row * tg_optim_param(s->o, k)->cols));
        must(tg_optim_complete(s->o, k));
    }
    must(tg_optim_micro_end(s->o));
    must(tg_optim_end(s->o));
}

static const tg_named_tensor *state_of(const net *s, const char *name)
{
    for (size_t i = 0; i < tg_optim_state_count(s->o); i++)
        if (strcmp(tg_optim_state(s->o, i)->name, name) == 0)
            return tg_optim_state(s->o, i);
    return NULL;
}

static uint64_t net_hash(const net *s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t k = 0; k < TENSORS; k++)
        hash = hash_bytes(hash, s->x[k], s->n[k] * tg_format_bytes(s->format));
    for (size_t i = 0; i < tg_optim_state_count(s->o); i++)
        hash = hash_bytes(hash, tg_optim_state(s->o, i)->data, tg_optim_state(s->o, i)->bytes);
    return hash;
}

/* ---- the equations in double ---- */

/* By Gauss and Jordan: nothing that the library does. */
static void invert(double *inverse, const double *matrix, size_t n, double damping)
{
    double a[MOST * MOST];
    for (size_t i = 0; i < n * n; i++) {
        a[i] = matrix[i] + (i % (n + 1) == 0 ? damping : 0);
        inverse[i] = i % (n + 1) == 0;
    }
    for (size_t p = 0; p < n; p++) {
        const double pivot = a[p * n + p];
        for (size_t j = 0; j < n; j++)
            a[p * n + j] /= pivot, inverse[p * n + j] /= pivot;
        for (size_t r = 0; r < n; r++) {
            const double by = r == p ? 0 : a[r * n + p];
            for (size_t j = 0; j < n; j++)
                a[r * n + j] -= by * a[p * n + j], inverse[r * n + j] -= by * inverse[p * n + j];
        }
    }
}

/* A layer as the paper has it: W (out, in + 1), the bias its last column. */
typedef struct reference {
    size_t in, out; /* in: with the 1 */
    double w[MOST * MOST], m[MOST * MOST], g[MOST * MOST], u[MOST * MOST];
    double a[MOST * MOST], gg[MOST * MOST], inverse_a[MOST * MOST], inverse_g[MOST * MOST];
} reference;

/* Where element (o, i) of W lies in the net: the tensor through *tensor. */
static size_t place_of(size_t l, size_t o, size_t i, size_t *tensor)
{
    *tensor = 2 * l + (i == layers[l].in);
    if (i == layers[l].in)
        return o;
    return layers[l].form == TG_LAYER_IN_BY_OUT ? i * layers[l].out + o : o * layers[l].in + i;
}

static void gather(reference *r, size_t l, size_t step, double k, double beta)
{
    float a[10 * MOST], g[10 * MOST];
    const double b = fmin(1 - 1 / k, beta), rows = (double)input_rows(step);
    fill_rows(a, g, l, step);
    for (size_t i = 0; i < r->in; i++)
        for (size_t j = 0; j < r->in; j++) {
            double sum = 0;
            for (size_t t = 0; t < input_rows(step); t++)
                sum += (i < layers[l].in ? (double)a[t * layers[l].in + i] : 1) *
                       (j < layers[l].in ? (double)a[t * layers[l].in + j] : 1);
            r->a[i * r->in + j] = b * r->a[i * r->in + j] + (1 - b) * sum / rows;
        }
    for (size_t i = 0; i < r->out; i++)
        for (size_t j = 0; j < r->out; j++) {
            double sum = 0;
            for (size_t t = 0; t < input_rows(step); t++)
                sum += (double)g[t * r->out + i] * (double)g[t * r->out + j];
            r->gg[i * r->out + j] = b * r->gg[i * r->out + j] + (1 - b) * input_terms * sum;
        }
}

static void refresh(reference *r, double damping)
{
    double a = 0, g = 0;
    for (size_t i = 0; i < r->in; i++)
        a += r->a[i * r->in + i] / (double)r->in;
    for (size_t i = 0; i < r->out; i++)
        g += r->gg[i * r->out + i] / (double)r->out;
    invert(r->inverse_a, r->a, r->in, sqrt(a / g) * sqrt(damping));
    invert(r->inverse_g, r->gg, r->out, sqrt(damping) / sqrt(a / g));
}

/* u = G^-1 g A^-1; <u, g>. */
static double turn(reference *r)
{
    double measure = 0;
    for (size_t o = 0; o < r->out; o++)
        for (size_t i = 0; i < r->in; i++) {
            double sum = 0;
            for (size_t p = 0; p < r->out; p++)
                for (size_t q = 0; q < r->in; q++)
                    sum += r->inverse_g[o * r->out + p] * r->g[p * r->in + q] * r->inverse_a[q * r->in + i];
            r->u[o * r->in + i] = sum;
            measure += sum * r->g[o * r->in + i];
        }
    return measure;
}

typedef struct setting {
    double lr, decay, momentum, beta, damping, kl_clip;
    size_t interval;
    const char *gradients;
} setting;

static void net_set(net *s, const setting *c)
{
    const work_option none[] = {{NULL, NULL}};
    net_create(s, none, TG_F32);
    const struct {
        const char *name;
        double value;
    } options[] = {
        {"lr", c->lr},           {"weight_decay", c->decay}, {"momentum", c->momentum},        {"beta", c->beta},
        {"damping", c->damping}, {"kl_clip", c->kl_clip},    {"interval", (double)c->interval}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        must(tg_optim_set_number(s->o, TG_ALL_GROUPS, options[i].name, options[i].value));
    must(tg_optim_set(s->o, TG_ALL_GROUPS, "gradients", c->gradients));
    must(tg_optim_start(s->o));
}

static reference *reference_create(const net *s)
{
    reference *all = calloc(LAYERS, sizeof *all);
    assert_non_null(all);
    for (size_t l = 0; l < LAYERS; l++) {
        reference *r = &all[l];
        r->in = layers[l].in + layers[l].biased;
        r->out = layers[l].out;
        for (size_t i = 0; i < r->out * r->in; i++) {
            size_t tensor;
            const size_t at = place_of(l, i / r->in, i % r->in, &tensor);
            r->w[i] = (double)((float *)s->x[tensor])[at];
        }
    }
    return all;
}

/* One update of all layers; returns the factor of the norm constraint. */
static double reference_update(reference *all, const net *s, size_t u, const setting *c)
{
    double measured = 0;
    for (size_t l = 0; l < LAYERS; l++) {
        reference *r = &all[l];
        gather(r, l, u, (double)(u + 1), c->beta);
        if (u % c->interval == 0)
            refresh(r, c->damping);
        for (size_t i = 0; i < r->out * r->in; i++) {
            size_t tensor;
            const size_t at = place_of(l, i / r->in, i % r->in, &tensor);
            r->g[i] = (double)s->g[tensor][at];
        }
        measured += turn(r);
    }
    const double length = c->lr * c->lr * measured, nu = c->kl_clip > 0 ? fmin(1, sqrt(c->kl_clip / length)) : 1;
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < all[l].out * all[l].in; i++) {
            all[l].m[i] = c->momentum * all[l].m[i] + nu * all[l].u[i];
            all[l].w[i] += -c->lr * c->decay * all[l].w[i] - c->lr * all[l].m[i];
        }
    return nu;
}

static void check_weights(const reference *all, const net *s, size_t u)
{
    for (size_t l = 0; l < LAYERS; l++)
        for (size_t i = 0; i < all[l].out * all[l].in; i++) {
            size_t tensor;
            const size_t at = place_of(l, i / all[l].in, i % all[l].in, &tensor);
            const double got = (double)((float *)s->x[tensor])[at], want = all[l].w[i];
            if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
                fail_msg("update %zu, layer %zu, (%zu, %zu): %.9g, by the equations %.9g", u + 1, l, i / all[l].in,
                         i % all[l].in, got, want);
        }
}

static void test_equations(void **state)
{
    (void)state;
    static const setting settings[] = {{0.0113, 0.37, 0.83, 0.9, 0.71, 0, 1, "auto"},
                                       {0.0113, 0, 0.83, 0.7, 0.71, 0.00231, 3, "auto"},
                                       {0.0237, 0.21, 0, 0.95, 2.385, 0.0171, 5, "buffered"}};
    for (size_t c = 0; c < sizeof settings / sizeof *settings; c++) {
        net s;
        net_set(&s, &settings[c]);
        reference *all = reference_create(&s);
        size_t clipped = 0;
        for (size_t u = 0; u < UPDATES; u++) {
            net_fill(&s, u);
            net_rows(&s, u);
            if (strcmp(settings[c].gradients, "buffered") == 0)
                net_tiles(&s, u % 2 == 0);
            else
                must(net_arrays(&s));
            clipped += reference_update(all, &s, u, &settings[c]) < 1;
            check_weights(all, &s, u);
        }
        assert_int_equal(clipped > UPDATES / 2, settings[c].kl_clip > 0);
        free(all);
        net_destroy(&s);
    }
}

/* ---- theory ---- */

/* One layer of an optimizer of its own, (out, in) with a bias; the whole gradient step is natural. */
typedef struct single {
    tg_optim *o;
    float w[3 * 5], b[3];
} single;

static void single_create(single *s)
{
    *s = (single){0};
    must(tg_optim_create(&s->o, "kfac", NULL));
    static const work_option pure[] = {{"lr", "1"},      {"weight_decay", "0"}, {"momentum", "0"},
                                       {"damping", "0"}, {"kl_clip", "0"},      {"threads", "1"}};
    for (size_t i = 0; i < sizeof pure / sizeof *pure; i++)
        must(tg_optim_set(s->o, TG_ALL_GROUPS, pure[i].name, pure[i].value));
    for (size_t i = 0; i < 15; i++)
        s->w[i] = input_weight(3, i, TG_MATRIX);
    for (size_t i = 0; i < 3; i++)
        s->b[i] = input_weight(4, i, TG_MATRIX);
    must(tg_optim_add(
        s->o, &(tg_param){.name = "w", .data = s->w, .rows = 3, .cols = 5, .layer = TG_LAYER_OUT_BY_IN, .bias = "b"},
        NULL));
    must(tg_optim_add(s->o, &(tg_param){.name = "b", .data = s->b, .rows = 1, .cols = 3, .role = TG_BIAS}, NULL));
    must(tg_optim_start(s->o));
}

/* Gradient of sum |W a + b - y|^2 / 2N; returns its norm. */
static double residual(const single *s, const float *a, const float *y, size_t n, float *gw, float *gb)
{
    double sum[3][6] = {{0}}, norm = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t o = 0; o < 3; o++) {
            double e = (double)s->b[o] - (double)y[t * 3 + o];
            for (size_t i = 0; i < 5; i++)
                e += (double)s->w[o * 5 + i] * (double)a[t * 5 + i];
            for (size_t i = 0; i < 6; i++)
                sum[o][i] += e * (i < 5 ? (double)a[t * 5 + i] : 1) / (double)n;
        }
    for (size_t o = 0; o < 3; o++)
        for (size_t i = 0; i < 6; i++) {
            *(i < 5 ? &gw[o * 5 + i] : &gb[o]) = (float)sum[o][i];
            norm += sum[o][i] * sum[o][i];
        }
    return sqrt(norm);
}

/* A linear model with Gaussian noise has G = I and A (x) I for its Fisher matrix, which is the Hessian: the natural
 * gradient is Newton's step, and one step solves least squares. Two, and the second must not move it. */
static void test_least_squares(void **state)
{
    (void)state;
    enum { N = 23 };
    single s;
    float a[N * 5], y[N * 3], g[N * 3] = {0}, gw[15], gb[3];
    single_create(&s);
    for (size_t i = 0; i < N * 5; i++)
        a[i] = input_unit(7, i) * 1.93f + 0.31f;
    for (size_t i = 0; i < N * 3; i++)
        y[i] = input_unit(8, i) * 2.385f;
    for (size_t i = 0; i < 3; i++)
        g[i * 3 + i] = 0.71f; /* 1 / 0.71^2 times the sum of g g^T is I */
    must(observe(s.o, 0, a, g, TG_F32, N, 1 / (0.71 * 0.71)));
    assert_true(residual(&s, a, y, N, gw, gb) > 0.5);
    for (int step = 0; step < 2; step++) {
        must(tg_optim_step(s.o, (tg_grad[]){{gw, TG_F32, 0}, {gb, TG_F32, 0}}));
        const double left = residual(&s, a, y, N, gw, gb);
        if (!(left < 1e-5))
            fail_msg("step %d: the gradient's norm is still %g", step + 1, left);
    }
    tg_optim_destroy(s.o);
}

/* Where every input meets every output gradient, the Fisher matrix is A (x) G to the last element: the step is that of
 * the whole 18 x 18 matrix. */
static void test_whole_fisher(void **state)
{
    (void)state;
    enum { A = 11, G = 7, N = A * G };
    single s;
    float a[N * 5], g[N * 3], gw[15], gb[3];
    double fisher[18 * 18] = {0}, inverse[18 * 18], before[18];
    single_create(&s);
    for (size_t t = 0; t < N; t++) {
        for (size_t i = 0; i < 5; i++)
            a[t * 5 + i] = input_unit(17, t / G * 5 + i);
        for (size_t o = 0; o < 3; o++)
            g[t * 3 + o] = input_unit(18, t % G * 3 + o) * 0.0711f;
        for (size_t p = 0; p < 18; p++)
            for (size_t q = 0; q < 18; q++) {
                const double ap = p % 6 < 5 ? (double)a[t * 5 + p % 6] : 1,
                             aq = q % 6 < 5 ? (double)a[t * 5 + q % 6] : 1;
                fisher[p * 18 + q] += ap * aq * (double)g[t * 3 + p / 6] * (double)g[t * 3 + q / 6] * N;
            }
    }
    invert(inverse, fisher, 18, 0);
    for (size_t i = 0; i < 18; i++) {
        *(i % 6 < 5 ? &gw[i / 6 * 5 + i % 6] : &gb[i / 6]) = input_gradient(19, 0, i) * 0.01f;
        before[i] = (double)(i % 6 < 5 ? s.w[i / 6 * 5 + i % 6] : s.b[i / 6]);
    }
    must(observe(s.o, 0, a, g, TG_F32, N, N));
    must(tg_optim_step(s.o, (tg_grad[]){{gw, TG_F32, 0}, {gb, TG_F32, 0}}));
    for (size_t p = 0; p < 18; p++) {
        double step = 0;
        for (size_t q = 0; q < 18; q++)
            step += inverse[p * 18 + q] * (double)(q % 6 < 5 ? gw[q / 6 * 5 + q % 6] : gb[q / 6]);
        const double got = before[p] - (double)(p % 6 < 5 ? s.w[p / 6 * 5 + p % 6] : s.b[p / 6]);
        if (!(fabs(got - step) < 1e-4 * fmax(1, fabs(step))))
            fail_msg("element %zu: the step is %.9g, by the whole Fisher matrix %.9g", p, got, step);
    }
    tg_optim_destroy(s.o);
}

/* ---- the same bits ---- */

static const work_option busy[] = {{"lr", "0.0237"},  {"weight_decay", "0.21"}, {"kl_clip", "0.0031"},
                                   {"interval", "3"}, {"damping", "0.071"},     {"seed", "7"},
                                   {NULL, NULL}};

static uint64_t run(tg_format format, tg_format rows, const char *threads, const char *place, int way)
{
    net s;
    net_create(&s, busy, format);
    s.rows_format = rows;
    must(tg_optim_set(s.o, TG_ALL_GROUPS, "threads", threads));
    must(tg_optim_set(s.o, TG_ALL_GROUPS, "gradients", place));
    must(tg_optim_start(s.o));
    for (size_t u = 0; u < 7; u++) {
        net_fill(&s, u);
        net_rows(&s, u);
        if (way == 0)
            must(net_arrays(&s));
        else
            net_tiles(&s, way == 1);
    }
    const uint64_t hash = net_hash(&s);
    net_destroy(&s);
    return hash;
}

static void test_bits(void **state)
{
    (void)state;
    static const tg_format formats[][2] = {{TG_F32, TG_F32}, {TG_BF16, TG_BF16}, {TG_F16, TG_F16}};
    const tg_isa best = tg_isa_chosen();
    for (size_t f = 0; f < 3; f++) {
        const uint64_t want = run(formats[f][0], formats[f][1], "1", "buffered", 1);
        assert_true(run(formats[f][0], formats[f][1], "2", "buffered", 1) == want);
        assert_true(run(formats[f][0], formats[f][1], "7", "buffered", 2) == want);
        if (f == 0)
            assert_true(run(formats[f][0], formats[f][1], "2", "auto", 0) == want);
        for (int isa = 0; isa < TG_ISA_COUNT; isa++)
            if (tg_isa_usable((tg_isa)isa)) {
                tg_isa_force((tg_isa)isa);
                const uint64_t got = run(formats[f][0], formats[f][1], "2", "buffered", 1);
                tg_isa_force(best);
                if (got != want)
                    fail_msg("format %zu, %s: other bits", f, tg_isa_name((tg_isa)isa));
            }
    }
}

static void test_resume(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/tiger-kfac-%ld.safetensors", (long)getpid());
    for (size_t stop = 1; stop < 7; stop += 2) {
        net s, t;
        net_create(&s, busy, TG_BF16);
        net_create(&t, busy, TG_BF16);
        must(tg_optim_start(s.o));
        must(tg_optim_start(t.o));
        for (size_t u = 0; u < 8; u++) {
            if (u == stop) {
                must(tg_optim_save(s.o, path));
                must(tg_optim_load(t.o, path));
                for (size_t k = 0; k < TENSORS; k++)
                    memcpy(t.x[k], s.x[k], 2 * s.n[k]);
            }
            for (net *n = &s; n != NULL; n = n == &s && u >= stop ? &t : NULL) {
                net_fill(n, u);
                net_rows(n, u);
                must(net_arrays(n));
            }
        }
        assert_true(net_hash(&s) == net_hash(&t));
        net_destroy(&s);
        net_destroy(&t);
    }
    remove(path);
}

/* ---- rows ---- */

/* 16-bit rows are what their values are, however many: some at a time are widened. */
static void test_half_rows(void **state)
{
    (void)state;
    enum { ROWS = 611 };
    static float a[ROWS * 5], g[ROWS * 3];
    static uint16_t ha[ROWS * 5], hg[ROWS * 3];
    for (int f = TG_BF16; f <= TG_F16; f++) {
        single wide, half;
        single_create(&wide);
        single_create(&half);
        for (size_t i = 0; i < ROWS * 5; i++)
            a[i] = input_unit(7, i) * 1.93f;
        for (size_t i = 0; i < ROWS * 3; i++)
            g[i] = input_unit(8, i) * 0.31f;
        tg_kernels_get()->narrow(ha, a, (tg_format)f, ROWS * 5);
        tg_kernels_get()->narrow(hg, g, (tg_format)f, ROWS * 3);
        tg_kernels_get()->widen(a, ha, (tg_format)f, ROWS * 5);
        tg_kernels_get()->widen(g, hg, (tg_format)f, ROWS * 3);
        must(observe(wide.o, 0, a, g, TG_F32, ROWS, ROWS));
        must(observe(half.o, 0, ha, hg, (tg_format)f, ROWS, ROWS));
        for (size_t i = 0; i < tg_optim_state_count(wide.o); i++) {
            const tg_named_tensor *x = tg_optim_state(wide.o, i), *y = tg_optim_state(half.o, i);
            for (size_t j = 0; x->format == TG_F32 && j < x->bytes / 4; j++)
                assert_true(fabs(work_value(x->data, TG_F32, j) - work_value(y->data, TG_F32, j)) <
                            1e-5 * fmax(1, fabs(work_value(x->data, TG_F32, j))));
        }
        tg_optim_destroy(wide.o);
        tg_optim_destroy(half.o);
    }
}

/* Gradients that are scaled against underflow give the same factors. */
static void test_scaled_rows(void **state)
{
    (void)state;
    float a[9 * 5], g[9 * 3];
    double trace[2] = {0};
    for (int scaled = 0; scaled < 2; scaled++) {
        single s;
        single_create(&s);
        for (size_t i = 0; i < 9 * 5; i++)
            a[i] = input_unit(7, i);
        for (size_t i = 0; i < 9 * 3; i++)
            g[i] = input_unit(8, i) * (scaled ? 64.0f : 1.0f);
        must(tg_optim_set_gradient_scale(s.o, scaled ? 64 : 1));
        must(observe(s.o, 0, a, g, TG_F32, 9, 9));
        for (size_t i = 0; i < tg_optim_state_count(s.o); i++)
            if (strcmp(tg_optim_state(s.o, i)->name, "w/left") == 0)
                for (size_t d = 0; d < 3; d++)
                    trace[scaled] += work_value(tg_optim_state(s.o, i)->data, TG_F32, 4 * d);
        tg_optim_destroy(s.o);
    }
    assert_true(trace[0] > 0.1 && fabs(trace[0] / trace[1] - 1) < 1e-6);
}

static void test_bad_rows(void **state)
{
    (void)state;
    net s;
    net_create(&s, busy, TG_F32);
    must(tg_optim_start(s.o));
    net_rows(&s, 0);
    const uint64_t before = net_hash(&s);
    for (int side = 0; side < 2; side++) {
        float a[3 * 13] = {0}, g[3 * 5] = {0};
        (side == 0 ? a : g)[14] = side == 0 ? NAN : -INFINITY;
        must(observe(s.o, 0, a, g, TG_F32, 3, 3));
        assert_true(net_hash(&s) == before);
        must(observe(s.o, 0, a, g, TG_F32, 0, 3));
        must(observe(s.o, 1, a, g, TG_F32, 3, 3)); /* a bias */
        assert_true(net_hash(&s) == before);
    }
    net_destroy(&s);
}

/* A batch in three parts is the batch, up to rounding; a part that is not finite is refused. */
static void test_parts(void **state)
{
    (void)state;
    enum { ROWS = 11 };
    static const size_t ends[] = {4, 5, ROWS};
    net whole, parts;
    float a[ROWS * 13], g[ROWS * 5];
    net_create(&whole, busy, TG_F32);
    net_create(&parts, busy, TG_F32);
    must(tg_optim_start(whole.o));
    must(tg_optim_start(parts.o));
    for (size_t step = 0; step < 3; step++) {
        for (size_t i = 0; i < ROWS * 13; i++)
            a[i] = input_unit(21, step * ROWS * 13 + i);
        for (size_t i = 0; i < ROWS * 5; i++)
            g[i] = input_unit(22, step * ROWS * 5 + i);
        must(observe(whole.o, 0, a, g, TG_F32, ROWS, 7));
        for (size_t p = 0, first = 0; p < 3; first = ends[p++])
            must(tg_optim_observe_layer(parts.o, 0,
                                        &(tg_layer_rows){.inputs = a + first * 13, .gradients = g + first * 5, .format = TG_F32,
                                                         .rows = ends[p] - first, .scale = 7, .first = first, .all = ROWS}));
    }
    for (size_t k = 0; k < tg_optim_state_count(whole.o); k++) {
        const tg_named_tensor *x = tg_optim_state(whole.o, k), *y = tg_optim_state(parts.o, k);
        if (x->format != TG_F32) {
            assert_memory_equal(x->data, y->data, x->bytes); /* counts */
            continue;
        }
        for (size_t i = 0; i < x->bytes / sizeof(float); i++) {
            const float at_once = ((const float *)x->data)[i], in_parts = ((const float *)y->data)[i];
            if (!(fabsf(at_once - in_parts) <= 2e-6f * fmaxf(1, fabsf(at_once))))
                fail_msg("%s, value %zu: %.9g at once, %.9g in parts", x->name, i, (double)at_once, (double)in_parts);
        }
    }
    a[0] = NAN;
    tg_layer_rows bad = {.inputs = a, .gradients = g, .format = TG_F32, .rows = 4, .scale = 7, .all = ROWS};
    assert_int_equal(tg_optim_observe_layer(parts.o, 0, &bad), TG_EINVAL);
    bad.rows = ROWS; /* a part that is all of it is left out, as rows are that come at once */
    const uint64_t before = net_hash(&parts);
    must(tg_optim_observe_layer(parts.o, 0, &bad));
    assert_true(net_hash(&parts) == before);
    net_destroy(&whole);
    net_destroy(&parts);
}

/* Rows are due at first, every `interval` updates, and while a layer has had none. */
static void test_due(void **state)
{
    (void)state;
    net s;
    net_create(&s, busy, TG_F32);
    assert_false(tg_optim_layers_due(s.o) || tg_optim_observes_layer(s.o, 0));
    must(tg_optim_start(s.o));
    for (size_t k = 0; k < TENSORS; k++)
        assert_int_equal(tg_optim_observes_layer(s.o, k), k % 2 == 0 && k < 2 * LAYERS);
    assert_false(tg_optim_observes_layer(s.o, TENSORS));
    for (size_t u = 0; u < 8; u++) {
        assert_int_equal(tg_optim_layers_due(s.o), u % 3 == 0);
        net_fill(&s, u);
        net_rows(&s, u);
        must(net_arrays(&s));
    }
    net_destroy(&s);
    net_create(&s, busy, TG_F32);
    must(tg_optim_start(s.o));
    must(tg_optim_set_updates(s.o, 4));
    assert_true(tg_optim_layers_due(s.o)); /* none has come yet */
    net_rows(&s, 0);
    assert_false(tg_optim_layers_due(s.o));
    net_destroy(&s);
}

/* ---- a bias and its matrix ---- */

/* A bias goes with its matrix: without a gradient it stays, and the matrix's step is as if that were 0; when the matrix
 * stays, or is bad, it stays too. */
static void test_apart(void **state)
{
    (void)state;
    static const float zero[6];
    for (size_t l = 0; l < 2; l++)
        for (int what = 0; what < 3; what++) {
            net s, t;
            net_create(&s, busy, TG_F32);
            net_create(&t, busy, TG_F32);
            must(tg_optim_start(s.o));
            must(tg_optim_start(t.o));
            for (size_t u = 0; u < 2; u++) { /* an update with all of them first: it leaves something to forget */
                net_rows(&s, u);
                net_rows(&t, u);
                net_fill(&s, u);
                net_fill(&t, u);
                if (u == 0) {
                    must(net_arrays(&s));
                    must(net_arrays(&t));
                }
            }
            s.absent[2 * l + 1] = what == 0;
            s.absent[2 * l] = what == 1;
            if (what == 2)
                s.g[2 * l][7] = NAN;
            memcpy(t.g[2 * l + 1], zero, sizeof(float) * s.n[2 * l + 1]);
            float old[6];
            memcpy(old, s.x[2 * l + 1], 4 * s.n[2 * l + 1]);
            const uint64_t matrix = hash_bytes(1, s.x[2 * l], 4 * s.n[2 * l]);
            must(net_arrays(&s));
            must(net_arrays(&t));
            assert_memory_equal(s.x[2 * l + 1], old, 4 * s.n[2 * l + 1]);
            if (what == 0)
                assert_memory_equal(s.x[2 * l], t.x[2 * l], 4 * s.n[2 * l]);
            else
                assert_true(hash_bytes(1, s.x[2 * l], 4 * s.n[2 * l]) == matrix);
            net_destroy(&s);
            net_destroy(&t);
        }
}

/* The last one is most of the sum of squares. */
static const float few[6] = {0.3f, -0.2f, 0.11f, 0.25f, -0.4f, 1.9f};

/* A small layer without a bias, whose weights are x (6), and a batch it saw. */
static tg_optim *few_create(float *x, const char *kl_clip, const char *momentum, const char *format)
{
    static const float a[] = {0.7f, -1.3f, 0.4f, 1.1f, 0.2f, -0.9f, -0.3f, 0.8f, 1.7f},
                       d[] = {0.5f, -0.2f, 0.9f, 0.4f, -0.6f, 1.2f};
    tg_optim *o;
    must(tg_optim_create(&o, "kfac", NULL));
    must(tg_optim_set(o, TG_ALL_GROUPS, "lr", "0.1"));
    must(tg_optim_set(o, TG_ALL_GROUPS, "weight_decay", "0"));
    must(tg_optim_set(o, TG_ALL_GROUPS, "momentum", momentum));
    must(tg_optim_set(o, TG_ALL_GROUPS, "kl_clip", kl_clip));
    must(tg_optim_set(o, TG_ALL_GROUPS, "state_format", format));
    must(tg_optim_add(o, &(tg_param){.name = "w", .data = x, .rows = 2, .cols = 3, .layer = TG_LAYER_OUT_BY_IN}, NULL));
    must(tg_optim_start(o));
    must(observe(o, 0, a, d, TG_F32, 3, 3));
    return o;
}

/* One update's way along the gradient, sum of (old - new) g. */
static double descent(const char *kl_clip)
{
    float x[6] = {0};
    double sum = 0;
    tg_optim *o = few_create(x, kl_clip, "0", "fp32");
    must(tg_optim_step(o, &(tg_grad){.data = few, .format = TG_F32}));
    for (size_t i = 0; i < 6; i++)
        sum -= (double)x[i] * (double)few[i];
    tg_optim_destroy(o);
    return sum;
}

/* The averages after three updates from gradients times `scale`. */
static void averages(float m[static 6], const char *kl_clip, float scale, const char *format)
{
    float x[6] = {0}, g[6];
    tg_optim *o = few_create(x, kl_clip, "0.9", format);
    for (size_t i = 0; i < 6; i++)
        g[i] = scale * few[i];
    for (int u = 0; u < 3; u++)
        must(tg_optim_step(o, &(tg_grad){.data = g, .format = TG_F32}));
    for (size_t i = 0; i < tg_optim_state_count(o); i++)
        if (strcmp(tg_optim_state(o, i)->name, "w/exp_avg") == 0)
            must(tg_optim_state_values(o, i, m));
    tg_optim_destroy(o);
}

/* In fp16 averages are what they are in fp32, however small: their power of two follows the step as it is, after the
 * constraint. */
static void test_range(void **state)
{
    (void)state;
    static const struct {
        const char *kl_clip;
        float scale;
    } cases[] = {{"1e30", 1}, {"1e30", 1e-10f}, {"1e30", 1e7f}, {"1e-16", 1}, {"1e-16", 1e7f}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float wide[6] = {0}, half[6] = {0}, most = 0;
        averages(wide, cases[c].kl_clip, cases[c].scale, "fp32");
        averages(half, cases[c].kl_clip, cases[c].scale, "fp16");
        for (size_t i = 0; i < 6; i++)
            most = fmaxf(most, fabsf(wide[i]));
        assert_true(most > 0);
        for (size_t i = 0; i < 6; i++)
            if (!(fabsf(wide[i] - half[i]) < 0x1p-8f * most))
                fail_msg("kl_clip %s, scale %g: %g in fp16, %g in fp32", cases[c].kl_clip, (double)cases[c].scale,
                         (double)half[i], (double)wide[i]);
    }
}

/* The step's length by the curvature is what kl_clip says: with nu^2 lr^2 <u, g> = kl_clip the way is sqrt(kl_clip <u,
 * g>). */
static void test_constraint(void **state)
{
    (void)state;
    const double inner = descent("1e30") / 0.1, way = descent("0.0031");
    assert_true(0.01 * inner > 0.0031); /* it binds */
    assert_true(fabs(way - sqrt(0.0031 * inner)) < 1e-5 * way);
}

/* Second moments are symmetric as they are saved, the row and column of the bias too. */
static void test_symmetric(void **state)
{
    (void)state;
    net s;
    net_create(&s, busy, TG_F32);
    must(tg_optim_start(s.o));
    net_rows(&s, 0);
    net_rows(&s, 1);
    static const char *const factors[] = {"w0/right", "w0/left", "w1/left", "w1/right"};
    for (size_t k = 0; k < 4; k++) {
        const tg_named_tensor *t = state_of(&s, factors[k]);
        const float *x = t->data;
        const size_t n = (size_t)t->shape[0];
        assert_true(x[n * n - 2] != 0);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < i; j++)
                if (!(fabsf(x[i * n + j] - x[j * n + i]) <= 1e-5f * (1 + fabsf(x[i * n + j]))))
                    fail_msg("%s: %g at (%zu, %zu) and %g", factors[k], (double)x[i * n + j], i, j,
                             (double)x[j * n + i]);
    }
    net_destroy(&s);
}

static void test_states(void **state)
{
    (void)state;
    net s;
    net_create(&s, busy, TG_F32);
    must(tg_optim_start(s.o));
    static const struct {
        const char *name;
        size_t rows, cols;
    } expected[] = {{"w0/left", 5, 5},     {"w0/right", 14, 14},       {"w0/left_inverse", 5, 5}, {"w1/left", 18, 18},
                    {"w1/right", 6, 6},    {"w1/right_inverse", 6, 6}, {"w2/left", 4, 4},         {"w2/right", 9, 9},
                    {"w0/exp_avg", 5, 13}, {"b0/exp_avg", 1, 5},       {"e/exp_avg_sq", 7, 3}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const tg_named_tensor *t = state_of(&s, expected[i].name);
        assert_non_null(t);
        assert_true(t->shape[0] == expected[i].rows && t->shape[1] == expected[i].cols);
    }
    static const char *const absent[] = {"b0/left", "b0/exp_avg_sq", "b0/batches", "w0/exp_avg_sq", "e/left"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_null(state_of(&s, absent[i]));
    tg_optim_bytes bytes;
    must(tg_optim_measure(s.o, &bytes));
    const size_t squares = 2 * (5 * 5 + 14 * 14 + 18 * 18 + 6 * 6 + 4 * 4 + 9 * 9 + 38 * 38 + 41 * 41);
    const size_t full = 5 * 14 + 18 * 6 + 4 * 9 + 38 * 41 + 2 * 7 * 3;
    assert_in_range(bytes.states, 4 * (squares + full) + 8 * 8, 4 * (squares + full) + 48 * 64);
    net_destroy(&s);
}

/* Rows into both factors; at every update two products, and inverses at some. A bias is a column more, whose sums are
 * no product. */
static void test_operations(void **state)
{
    (void)state;
    net s;
    tg_optim_operations done;
    double expected = 0;
    net_create(&s, (work_option[]){{"interval", "2"}, {NULL, NULL}}, TG_F32);
    must(tg_optim_start(s.o));
    net_fill(&s, 0);
    net_rows(&s, 0);
    for (size_t l = 0; l < LAYERS; l++) {
        const double in = (double)layers[l].in, out = (double)layers[l].out, all = in + layers[l].biased;
        expected += 2 * (double)input_rows(0) * (in * in + out * out);
        expected += 3 * 2 * (out * out * all + out * all * all) + 2 * (out * out * out + all * all * all);
    }
    for (size_t u = 0; u < 3; u++)
        must(net_arrays(&s));
    tg_optim_count(s.o, &done);
    if (done.bf16 != 0 || fabs(done.wide - expected) > 0.5)
        fail_msg("%.0f operations, %.0f expected", done.wide, expected);
    net_destroy(&s);
}

/* ---- factors without an inverse ---- */

static void count_stale(void *ctx, const tg_event *event)
{
    if (event->kind == TG_EVENT_STALE_ROOT && strcmp(event->param, "w0") == 0)
        *(double *)ctx = event->value;
}

/* One factor that has come to hold NaN: both last good inverses stay to the bit, which is counted and told. */
static void test_stale(void **state)
{
    (void)state;
    net s;
    double told = 0;
    net_create(&s, busy, TG_F32);
    must(tg_optim_start(s.o));
    tg_optim_on_event(s.o, count_stale, &told);
    net_rows(&s, 0);
    net_fill(&s, 0);
    must(net_arrays(&s));
    const tg_named_tensor *left = state_of(&s, "w0/left_inverse"), *right = state_of(&s, "w0/right_inverse");
    const tg_named_tensor *other = state_of(&s, "w1/right_inverse"), *failures = state_of(&s, "w0/failures");
    const uint64_t was = hash_bytes(hash_bytes(1, left->data, left->bytes), right->data, right->bytes);
    const uint64_t other_was = hash_bytes(1, other->data, other->bytes);
    memcpy((float *)state_of(&s, "w0/right")->data + 3 * 14 + 1, &(float){NAN}, sizeof(float));
    for (size_t u = 1; u < 8; u++) {
        net_rows(&s, u);
        net_fill(&s, u);
        must(net_arrays(&s));
        assert_true(hash_bytes(hash_bytes(1, left->data, left->bytes), right->data, right->bytes) == was);
        assert_true(*(const double *)failures->data == (double)(u / 3) && told == (double)(u / 3)); /* due at 4 and 7 */
    }
    assert_true(hash_bytes(1, other->data, other->bytes) != other_was);
    for (size_t i = 0; i < s.n[0]; i++)
        assert_true(isfinite(((float *)s.x[0])[i]));
    net_destroy(&s);
}

/* Rows of zeros have no inverse without damping: until there is one, it is the identity. */
static void test_first_inverse(void **state)
{
    (void)state;
    single s;
    float a[2 * 5] = {0}, g[2 * 3] = {0}, gw[15], gb[3], w[15];
    single_create(&s);
    for (size_t i = 0; i < 15; i++)
        gw[i] = input_gradient(3, 0, i);
    for (size_t i = 0; i < 3; i++)
        gb[i] = input_gradient(4, 0, i);
    memcpy(w, s.w, sizeof w);
    must(observe(s.o, 0, a, g, TG_F32, 2, 2));
    must(tg_optim_step(s.o, (tg_grad[]){{gw, TG_F32, 0}, {gb, TG_F32, 0}}));
    for (size_t i = 0; i < 15; i++)
        assert_true(s.w[i] == w[i] - gw[i]);
    tg_optim_destroy(s.o);
}

/* ---- misuse ---- */

static void test_refused(void **state)
{
    (void)state;
    net s;
    float a[13] = {0}, g[5] = {0};
    const tg_layer_rows good = {a, g, TG_F32, 1, 1, 0, 0};
    net_create(&s, busy, TG_F32);
    assert_int_equal(tg_optim_observe_layer(s.o, 0, &good), TG_ESTATE);
    must(tg_optim_start(s.o));
    const tg_layer_rows wrong[] = {
        {a, g, TG_F64, 1, 1, 0, 0},   {NULL, g, TG_F32, 1, 1, 0, 0},     {a, NULL, TG_F32, 1, 1, 0, 0}, {a, g, TG_F32, 1, 0, 0, 0},
        {a, g, TG_F32, 1, NAN, 0, 0}, {a, g, TG_F32, 1, INFINITY, 0, 0}, {a, g, TG_F32, 1, 1, 5, 0}, {a, g, TG_F32, 1, 1, 1, 1},    {a, g, TG_F32, 2, 1, 2, 3}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(tg_optim_observe_layer(s.o, 0, &wrong[i]), TG_EINVAL);
    assert_int_equal(tg_optim_observe_layer(s.o, TENSORS, &good), TG_EINVAL);
    net_fill(&s, 0);
    assert_int_equal(net_arrays(&s), TG_ESTATE);
    assert_non_null(strstr(tg_message(), "tg_optim_observe_layer"));
    net_destroy(&s);
    net_create(&s, busy, TG_F32);
    must(tg_optim_set(s.o, TG_ALL_GROUPS, "gradients", "released"));
    assert_int_equal(tg_optim_start(s.o), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "gradients=buffered"));
    net_destroy(&s);
    work w;
    work_create(&w, "adamw", NULL);
    work_add(&w, 5, 13, TG_MATRIX, 3, TG_F32);
    work_start(&w);
    assert_int_equal(tg_optim_observe_layer(w.o, 0, &good), TG_EUNSUPPORTED);
    assert_false(tg_optim_layers_due(w.o));
    work_destroy(&w);
}

static void refuse_start(const tg_param *first, const tg_param *second, const tg_param *third, const char *why)
{
    tg_optim *o;
    const tg_param *all[] = {first, second, third};
    must(tg_optim_create(&o, "adamw", NULL)); /* what is said of layers is checked whoever reads it */
    tg_status status = TG_OK;
    for (size_t i = 0; i < 3 && status == TG_OK; i++)
        status = all[i] == NULL ? TG_OK : tg_optim_add(o, all[i], NULL);
    if (status == TG_OK)
        status = tg_optim_start(o);
    assert_int_equal(status, TG_EINVAL);
    if (strstr(tg_message(), why) == NULL)
        fail_msg("'%s' says nothing of '%s'", tg_message(), why);
    tg_optim_destroy(o);
}

static void test_wrong_layers(void **state)
{
    (void)state;
    static float x[15];
    const tg_param w = {.name = "w", .data = x, .rows = 3, .cols = 5, .layer = TG_LAYER_OUT_BY_IN, .bias = "b"};
    const tg_param b = {.name = "b", .data = x, .rows = 1, .cols = 3, .role = TG_BIAS};
    tg_param other = w;
    refuse_start(&w, NULL, NULL, "'b', which was not added");
    other.layer = TG_LAYER_IN_BY_OUT;
    refuse_start(&other, &b, NULL, "5 outputs");
    other = w;
    other.name = "v";
    refuse_start(&w, &other, &b, "the bias of two layers");
    other.layer = TG_NO_LAYER;
    refuse_start(&other, &b, NULL, "tg_param.layer");
    other.layer = (tg_layer_form)7;
    refuse_start(&other, &b, NULL, "form of a layer number 7");
}

static void test_who_is_a_layer(void **state)
{
    (void)state;
    static float x[65];
    static const tg_param cases[] = {{.rows = 5, .cols = 13, .layer = TG_LAYER_OUT_BY_IN},
                                     {.rows = 5, .cols = 13},
                                     {.rows = 5, .cols = 13, .layer = TG_LAYER_OUT_BY_IN, .many_uses = true},
                                     {.rows = 5, .cols = 13, .layer = TG_LAYER_IN_BY_OUT, .role = TG_EMBEDDING},
                                     {.rows = 1, .cols = 13, .layer = TG_LAYER_IN_BY_OUT},
                                     {.rows = 5, .cols = 13, .layer = TG_LAYER_IN_BY_OUT, .frozen = true}};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        tg_optim *o;
        tg_param p = cases[i / 2];
        p.name = "x";
        p.data = x;
        must(tg_optim_create(&o, "kfac", NULL));
        must(tg_optim_set(o, TG_ALL_GROUPS, "max_dim", i % 2 ? "13" : "12"));
        must(tg_optim_add(o, &p, NULL));
        must(tg_optim_start(o));
        assert_int_equal(tg_optim_observes_layer(o, 0), i == 1);
        tg_optim_destroy(o);
    }
}

static void test_no_lapack(void **state)
{
    (void)state;
    tg_optim *o;
    assert_int_equal(tg_optim_create(&o, "kfac", NULL), TG_EUNSUPPORTED);
    assert_non_null(strstr(tg_message(), "kfac needs LAPACK"));
}

int main(void)
{
    const struct CMUnitTest without[] = {cmocka_unit_test(test_no_lapack)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equations),
        cmocka_unit_test(test_least_squares),
        cmocka_unit_test(test_whole_fisher),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_half_rows),
        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_scaled_rows),
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_constraint),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_symmetric),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_first_inverse),
        cmocka_unit_test(test_wrong_layers),
        cmocka_unit_test(test_who_is_a_layer),
    };
    return tg_rule_find("kfac") == NULL ? cmocka_run_group_tests(without, NULL, NULL)
                                        : cmocka_run_group_tests(tests, NULL, NULL);
}
