/* optimizer_run.c -- what torch_optimizers.py runs: an optimizer of this library over given gradients.
 *
 *   optimizer_run describe RULE
 *       prints "option NAME DEFAULT" for each of the rule's options
 *   optimizer_run RULE ROLE IN OUT [OPTION VALUE]...
 *       IN holds x (rows, cols), g (updates, rows, cols), both fp32, and factor (updates), fp64, of the learning rate;
 *       OUT gets the weights x and every state ("x/exp_avg") after the last update */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiger/optim.h"

static int fail(void)
{
    fprintf(stderr, "optimizer_run: %s\n", tg_message());
    return 1;
}

static int describe(const char *rule)
{
    const tg_rule_info *info = tg_rule_find(rule);
    if (info == NULL)
        return 1;
    for (size_t i = 0; i < info->options.count; i++)
        printf("option %s %.17g\n", info->options.at[i].name, info->options.at[i].value);
    return 0;
}

/* A tensor of the file, copied to where its values may lie; ends the program when it is not as it must be. */
static void *copy_of(const tg_safetensors *file, const char *name, tg_format format, unsigned rank, size_t *shape)
{
    const tg_named_tensor *t = tg_safetensors_find(file, name);
    void *copy = t == NULL ? NULL : malloc(t->bytes + 1);
    if (copy == NULL || t->format != format || t->rank != rank) {
        fprintf(stderr, "optimizer_run: no tensor '%s' as it must be\n", name);
        exit(1);
    }
    for (unsigned d = 0; d < rank; d++)
        shape[d] = (size_t)t->shape[d];
    return memcpy(copy, t->data, t->bytes);
}

static tg_status set_up(tg_optim **o, char **argument, int count, const tg_param *param)
{
    tg_status status = tg_optim_create(o, argument[0], NULL);
    for (int i = 4; status == TG_OK && i + 1 < count; i += 2)
        status = tg_optim_set(*o, TG_ALL_GROUPS, argument[i], argument[i + 1]);
    if (status == TG_OK)
        status = tg_optim_add(*o, param, NULL);
    return status == TG_OK ? tg_optim_start(*o) : status;
}

static tg_status save(const tg_optim *o, const char *path, const tg_param *param)
{
    const size_t states = tg_optim_state_count(o);
    tg_named_tensor *all = calloc(states + 1, sizeof *all);
    if (all == NULL)
        abort();
    all[0] = (tg_named_tensor){.name = "x", .format = TG_F32, .rank = 2, .shape = {param->rows, param->cols},
                               .data = param->data, .bytes = param->rows * param->cols * sizeof(float)};
    for (size_t i = 0; i < states; i++)
        all[i + 1] = *tg_optim_state(o, i);
    const tg_status status = tg_safetensors_write(path, all, states + 1, NULL, 0);
    free(all);
    return status;
}

static int run(char **argument, int count)
{
    tg_safetensors *file = NULL;
    tg_optim *o = NULL;
    size_t shape[2], steps[3], factors[1];
    if (tg_safetensors_open(&file, argument[2], NULL) != TG_OK)
        return fail();
    float *x = copy_of(file, "x", TG_F32, 2, shape), *g = copy_of(file, "g", TG_F32, 3, steps);
    double *factor = copy_of(file, "factor", TG_F64, 1, factors);
    tg_safetensors_destroy(file);
    if (steps[0] != factors[0] || steps[1] != shape[0] || steps[2] != shape[1])
        return 1;
    const tg_role role = strcmp(argument[1], "embedding") == 0 ? TG_EMBEDDING : TG_MATRIX;
    const tg_param param = {.name = "x", .data = x, .format = TG_F32, .rows = shape[0], .cols = shape[1], .role = role};
    tg_status status = set_up(&o, argument, count, &param);
    for (size_t u = 0; status == TG_OK && u < steps[0]; u++) {
        status = tg_optim_scale(o, "lr", factor[u]);
        if (status == TG_OK)
            status = tg_optim_step(o, &(tg_grad){.data = g + u * shape[0] * shape[1], .format = TG_F32});
    }
    if (status == TG_OK)
        status = save(o, argument[3], &param);
    const int result = status == TG_OK ? 0 : fail();
    tg_optim_destroy(o);
    free(factor);
    free(g);
    free(x);
    return result;
}

int main(int count, char **argument)
{
    if (count == 3 && strcmp(argument[1], "describe") == 0)
        return describe(argument[2]);
    if (count >= 5 && count % 2 == 1)
        return run(argument + 1, count - 1);
    fprintf(stderr, "usage: optimizer_run describe RULE | RULE ROLE IN OUT [OPTION VALUE]...\n");
    return 2;
}
