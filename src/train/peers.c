/* train/peers.c -- the memory that other ways of training the same model take, beside a plan. */
#include "tiger/engine/train.h"

/* bf16 weights and gradients, an fp32 master copy, m and v in fp32: 2 + 2 + 4 + 4 + 4 bytes a parameter. */
static void usual(tg_plan_peer *peer, const tg_plan *plan)
{
    const size_t n = plan->parameters;
    *peer = (tg_plan_peer){.name = "usual",
                           .what = "mixed precision with AdamW as usual: bf16 weights and gradients, fp32 "
                                   "master copy, m and v; activations as here",
                           .master_bytes = 4 * n,
                           .plan = *plan};
    peer->plan.weights_bytes = peer->plan.gradients_bytes = 2 * n;
    peer->plan.states_bytes = 8 * n;
}

/* adamw as this engine runs it. */
static tg_status ours(tg_plan_peer *peer, const tg_plan *plan, const tg_train_config *config, tg_precision precision)
{
    tg_train_config c = *config;
    c.data = c.init = c.out = c.tokenizer = c.state_file = c.weight_file = NULL; /* the data are read once */
    c.eval_data = c.labels = c.eval_labels = c.target = NULL;
    c.vocab = plan->model.vocab;
    c.model = plan->model;
    c.optimizer = "adamw";
    c.schedule = NULL;
    c.settings = 0;
    c.option[TG_TRAIN_PRECISION] = precision;
    c.option[TG_TRAIN_MEMORY] = 0;
    c.option[TG_TRAIN_BATCH] = (double)plan->batch;
    c.option[TG_TRAIN_ACCUMULATE] = (double)plan->accumulate;
    c.option[TG_TRAIN_RECOMPUTE] = plan->recompute;
    const bool fp32 = precision == TG_PRECISION_FP32;
    *peer = (tg_plan_peer){.name = fp32 ? "adamw fp32" : "adamw bf16",
                           .what = fp32 ? "tiger train --optimizer adamw --precision fp32"
                                        : "tiger train --optimizer adamw --precision bf16"};
    return tg_train_plan(&peer->plan, &c);
}

/* Text and process are the same whatever trains. */
static void add_up(tg_plan_peer *peer, const tg_plan *plan)
{
    tg_plan *p = &peer->plan;
    const size_t training = p->weights_bytes + peer->master_bytes + p->states_bytes + p->gradients_bytes;
    p->data_bytes = plan->data_bytes;
    p->process_bytes = plan->process_bytes;
    p->disk_bytes = p->mapped_bytes = 0;
    p->weights_on_disk = p->states_on_disk = false;
    p->peak_bytes = training + p->activations_bytes + p->scratch_bytes + p->data_bytes + p->process_bytes;
    p->bytes_per_parameter = (double)training / (double)p->parameters;
}

tg_status tg_train_plan_peers(tg_plan_peer peer[TG_PLAN_PEERS], const tg_plan *plan, const tg_train_config *config)
{
    usual(&peer[TG_PLAN_PEER_USUAL], plan);
    tg_status status = ours(&peer[TG_PLAN_PEER_FP32], plan, config, TG_PRECISION_FP32);
    if (status == TG_OK)
        status = ours(&peer[TG_PLAN_PEER_BF16], plan, config, TG_PRECISION_BF16);
    for (size_t i = 0; status == TG_OK && i < TG_PLAN_PEERS; i++)
        add_up(&peer[i], plan);
    return status;
}
