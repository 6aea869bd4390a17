/* report.c -- the memory plan as a table, alone or beside other ways of training the same model. */
#include "report.h"

#include <stdio.h>

#include "human.h"

#define WIDE 10 /* of a column of sizes */

/* A row of the table: its name, and where its bytes stand. */
typedef struct row {
    const char *kind;
    size_t offset;
} row;

static const row rows[] = {
    {"weights", offsetof(tg_plan, weights_bytes)},     {"states", offsetof(tg_plan, states_bytes)},
    {"gradients", offsetof(tg_plan, gradients_bytes)}, {"activations", offsetof(tg_plan, activations_bytes)},
    {"scratch", offsetof(tg_plan, scratch_bytes)},     {"mapped", offsetof(tg_plan, mapped_bytes)},
    {"data", offsetof(tg_plan, data_bytes)},           {"process", offsetof(tg_plan, process_bytes)},
    {"peak", offsetof(tg_plan, peak_bytes)},
};

static size_t bytes_of(const tg_plan *plan, size_t offset) { return *(const size_t *)((const char *)plan + offset); }

static bool on_disk(const tg_plan *plan, size_t offset)
{
    if (offset == offsetof(tg_plan, weights_bytes))
        return plan->weights_on_disk;
    return plan->states_on_disk &&
           (offset == offsetof(tg_plan, states_bytes) || offset == offsetof(tg_plan, gradients_bytes));
}

static bool is_shown(const tg_plan *plan, size_t offset)
{
    return offset != offsetof(tg_plan, mapped_bytes) || plan->disk_bytes > 0;
}

static void print_size(size_t bytes)
{
    char size[32];
    cli_human_bytes(size, sizeof size, (double)bytes);
    printf(" %*s", WIDE, size);
}

static void print_share(const tg_plan *plan, size_t offset)
{
    const size_t bytes = bytes_of(plan, offset), whole = plan->peak_bytes;
    if (on_disk(plan, offset) && bytes > 0)
        printf("  on disk");
    else
        printf(" %6.1f %%", whole > 0 ? 100.0 * (double)bytes / (double)whole : 0.0);
}

/* ---- below the table ---- */

static void print_work(const tg_plan *plan)
{
    char parameters[32], tokens[32], flops[32], training[32];
    cli_human_count(parameters, sizeof parameters, (double)plan->parameters, "");
    cli_human_count(tokens, sizeof tokens, plan->tokens_per_update, "");
    cli_human_count(flops, sizeof flops, plan->flops_per_update, " ");
    cli_human_bytes(training, sizeof training, plan->bytes_per_parameter * (double)plan->parameters);
    printf("%s parameters, %.2f bytes each while training (%s); an %s is %s %s, %sFLOP\n", parameters,
           plan->bytes_per_parameter, training, plan->evaluates ? "evaluation" : "update", tokens, plan->items, flops);
}

static void print_choice(const tg_plan *plan)
{
    static const char *const recompute[] = {"none", "block", "sqrt"};
    char limit[32], asked[32];
    if (plan->limit_bytes == 0)
        return;
    cli_human_bytes(limit, sizeof limit, (double)plan->limit_bytes);
    cli_human_bytes(asked, sizeof asked, (double)plan->asked_bytes);
    printf("%s %s: batch %zu x accumulate %zu, recompute %s",
           plan->asked_bytes > 0 ? "chosen to stay within" : "stays within", limit, plan->batch, plan->accumulate,
           recompute[plan->recompute]);
    if (plan->asked_bytes > 0)
        printf(" (as asked it would take %s)\n", asked);
    else
        puts(", as asked");
}

static void print_shortage(const tg_plan *plan)
{
    char peak[32], available[32];
    if (plan->available_bytes == 0 || plan->peak_bytes <= plan->available_bytes)
        return;
    cli_human_bytes(peak, sizeof peak, (double)plan->peak_bytes);
    cli_human_bytes(available, sizeof available, (double)plan->available_bytes);
    printf("warning: the plan takes %s and this machine has %s available: --memory %zuM chooses a plan that fits, if "
           "there "
           "is one\n",
           peak, available, plan->available_bytes >> 20);
}

static void print_below(const tg_plan *plan)
{
    print_work(plan);
    print_choice(plan);
    print_shortage(plan);
}

/* ---- tables ---- */

void cli_report_plan(const tg_plan *plan)
{
    puts("memory plan");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!is_shown(plan, rows[i].offset))
            continue;
        printf("  %-12s", rows[i].kind);
        print_size(bytes_of(plan, rows[i].offset));
        print_share(plan, rows[i].offset);
        putchar('\n');
    }
    print_below(plan);
}

static void print_heads(const tg_plan_peer *peer, size_t peers)
{
    printf("%-14s %*s          ", "memory plan", WIDE, "this run");
    for (size_t i = 0; i < peers; i++)
        printf(" %*s", WIDE, peer[i].name);
    putchar('\n');
}

static void print_peers(const char *kind, size_t offset, const tg_plan *plan, const tg_plan_peer *peer, size_t peers)
{
    printf("  %-12s", kind);
    print_size(bytes_of(plan, offset));
    print_share(plan, offset);
    putchar(' ');
    for (size_t i = 0; i < peers; i++)
        print_size(bytes_of(&peer[i].plan, offset));
    putchar('\n');
}

static void print_masters(const tg_plan_peer *peer, size_t peers)
{
    printf("  %-12s", "master copy");
    print_size(0);
    printf(" %6.1f %% ", 0.0);
    for (size_t i = 0; i < peers; i++)
        print_size(peer[i].master_bytes);
    putchar('\n');
}

static void print_each(const tg_plan *plan, const tg_plan_peer *peer, size_t peers)
{
    printf("  %-12s %*.2f          ", "a parameter", WIDE, plan->bytes_per_parameter);
    for (size_t i = 0; i < peers; i++)
        printf(" %*.2f", WIDE, peer[i].plan.bytes_per_parameter);
    puts("  bytes");
}

void cli_report_peers(const tg_plan *plan, const tg_plan_peer *peer, size_t peers)
{
    print_heads(peer, peers);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (is_shown(plan, rows[i].offset))
            print_peers(rows[i].kind, rows[i].offset, plan, peer, peers);
        if (i == 0)
            print_masters(peer, peers);
    }
    print_each(plan, peer, peers);
    for (size_t i = 0; i < peers; i++)
        printf("%s: %s\n", peer[i].name, peer[i].what);
    print_below(plan);
}
