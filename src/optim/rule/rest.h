/* optim/rule/rest.h -- adamw for the tensors that a rule of whole matrices leaves: biases, gains, embeddings. Its options are
 * prefixed; its learning rate is a factor of the rule's own, so that one schedule serves both. */
#ifndef TG_OPTIM_RULE_REST_H
#define TG_OPTIM_RULE_REST_H

#include "optim/rule.h"

/* In this order, one behind the other, among the rule's options. */
enum { REST_LR, REST_BETA1, REST_BETA2, REST_EPS, REST_DECAY };
#define TG_OPTIONS_REST TG_OPTIONS_REST_LR(1)
#define TG_OPTIONS_REST_LR(share)                                                                                      \
    {.name = "adamw_lr", .kind = TG_REAL, .value = share, .least = 0, .most = INFINITY, .search_least = 1e-2,              \
     .search_most = 1, .search_log = 1, .help = "learning rate of the other tensors, as a factor of lr"},              \
        TG_OPTION_BETA("adamw_beta1", 0.9, 0.8, 0.95, "of the other tensors: decay of the average of gradients"),      \
        TG_OPTION_BETA("adamw_beta2", 0.999, 0.9, 0.9999, "of the other tensors: decay of the average of squares"),    \
        {.name = "adamw_eps", .kind = TG_REAL, .value = 1e-8, .least = 0, .most = 1,                                   \
         .help = "of the other tensors: added to the root"},                                                           \
    {                                                                                                                  \
        .name = "adamw_weight_decay", .kind = TG_REAL, .value = 0.01, .least = 0, .most = INFINITY,                    \
        .help = "of the other tensors: weight decay"                                                                   \
    }

/* Its scalars, the last of k. */
enum { K_REST_STEP = TG_MAX_SCALARS - 7, K_REST_B1, K_REST_A1, K_REST_B2, K_REST_A2, K_REST_ROOT, K_REST_EPS };

/* `option`: the first of its own. */
static inline void rest_prepare(float *k, const tg_view *v, double lr, const double *option)
{
    const double b1 = option[REST_BETA1], b2 = option[REST_BETA2], t = (double)v->t;
    k[K_REST_STEP] = (float)(lr * option[REST_LR] / (1 - pow(b1, t)));
    k[K_REST_B1] = (float)b1;
    k[K_REST_A1] = (float)(1 - b1);
    k[K_REST_B2] = (float)b2;
    k[K_REST_A2] = (float)(1 - b2);
    k[K_REST_ROOT] = (float)(1 / sqrt(1 - pow(b2, t)));
    k[K_REST_EPS] = (float)option[REST_EPS];
}

static inline void rest_block(const tg_block *b, size_t average, size_t squares, const float *restrict k)
{
    float *restrict x = b->x, *restrict m = b->slot[average], *restrict v = b->slot[squares];
    const float *restrict g = b->g;
    for (size_t i = 0; i < b->n; i++) {
        m[i] = k[K_REST_B1] * m[i] + k[K_REST_A1] * g[i];
        v[i] = k[K_REST_B2] * v[i] + k[K_REST_A2] * (g[i] * g[i]);
        x[i] -= k[K_REST_STEP] * (m[i] / (sqrtf(v[i]) * k[K_REST_ROOT] + k[K_REST_EPS]));
    }
}

#endif
