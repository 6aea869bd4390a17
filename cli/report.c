/* report.c -- the memory plan as a table. */
#include "report.h"

#include <stdio.h>

#include "human.h"

static void print_row(const char *kind, size_t bytes, size_t whole)
{
    char size[32];
    cli_human_bytes(size, sizeof size, (double)bytes);
    printf("  %-12s %10s %6.1f %%\n", kind, size, whole > 0 ? 100.0 * (double)bytes / (double)whole : 0.0);
}

void cli_report_plan(const tg_plan *plan)
{
    const struct {
        const char *kind;
        size_t bytes;
    } part[] = {
        {"weights", plan->weights_bytes},     {"states", plan->states_bytes},
        {"gradients", plan->gradients_bytes}, {"activations", plan->activations_bytes},
        {"scratch", plan->scratch_bytes},     {"data", plan->data_bytes},
        {"process", plan->process_bytes},
    };
    char parameters[32], tokens[32], flops[32], training[32];
    puts("memory plan");
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        print_row(part[i].kind, part[i].bytes, plan->peak_bytes);
    print_row("peak", plan->peak_bytes, plan->peak_bytes);
    cli_human_count(parameters, sizeof parameters, (double)plan->parameters, "");
    cli_human_count(tokens, sizeof tokens, plan->tokens_per_update, "");
    cli_human_count(flops, sizeof flops, plan->flops_per_update, " ");
    cli_human_bytes(training, sizeof training, plan->bytes_per_parameter * (double)plan->parameters);
    printf("%s parameters, %.2f bytes each while training (%s); an update is %s tokens, %sFLOP\n", parameters,
           plan->bytes_per_parameter, training, tokens, flops);
}
