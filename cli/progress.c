/* progress.c -- the console of a running training.
 *
 * On a terminal one line is redrawn ten times a second at most; elsewhere a plain line comes every log interval. When
 * nobody reads the output any more, the training is told to save and stop. */
#include "progress.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "human.h"
#include "report.h"
#include "scores.h"
#include "system.h"

#define BAR_MOST 30
#define BAR_LEAST 6
#define REDRAW_NS 100000000

static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* "[=====>    ] " with `width` places between the brackets. */
static void draw_bar(char *bar, size_t width, double share)
{
    const size_t done = (size_t)(share * (double)width);
    *bar++ = '[';
    for (size_t i = 0; i < width; i++)
        *bar++ = i < done ? '=' : i == done ? '>' : ' ';
    memcpy(bar, "] ", 3);
}

/* The line behind the bar; with the utilisation or without. How long it is. */
static size_t write_tail(char *tail, size_t bytes, const tg_progress *p, bool utilisation)
{
    char rate[32], memory[32], left[32], share[32] = "", step[64];
    cli_human_count(rate, sizeof rate, p->tokens_per_second, "");
    cli_human_bytes(memory, sizeof memory, (double)p->memory_bytes);
    cli_human_seconds(left, sizeof left, p->seconds_left);
    if (utilisation && isfinite(p->utilisation))
        snprintf(share, sizeof share, "MFU %.0f %% ", 100 * p->utilisation);
    if (p->line_search != NULL)
        snprintf(step, sizeof step, "%llu evals step %.1e", (unsigned long long)p->evaluations, p->step);
    else
        snprintf(step, sizeof step, "lr %.1e", p->lr);
    const int n =
        snprintf(tail, bytes, "loss %.3f %s %s %s/s %s%s %s left", p->loss, step, rate, p->rate, share, memory, left);
    return n > 0 ? (size_t)n : 0;
}

/* Where there is no room for both, the shortest bar goes before the utilisation. */
void cli_progress_line(char *line, size_t bytes, size_t columns, const tg_progress *p)
{
    char head[64], tail[192], bar[BAR_MOST + 4] = "";
    const int h =
        snprintf(head, sizeof head, "update %llu/%llu ", (unsigned long long)p->update, (unsigned long long)p->updates);
    const size_t others = (size_t)h + 4; /* and the bar's brackets and blank, and a free last column */
    size_t used = others + write_tail(tail, sizeof tail, p, true);
    if (columns > 0 && columns < used + BAR_LEAST)
        used = others + write_tail(tail, sizeof tail, p, false);
    if (columns >= used + BAR_LEAST) {
        const size_t room = columns - used;
        draw_bar(bar, room < BAR_MOST ? room : BAR_MOST, p->updates > 0 ? (double)p->update / (double)p->updates : 0.0);
    }
    snprintf(line, bytes, "%s%s%s", head, bar, tail);
    if (columns > 0 && columns < bytes && strlen(line) >= columns)
        line[columns - 1] = '\0';
}

void cli_progress_clear(cli_progress *progress)
{
    if (progress->drawn)
        fputs("\r\033[K", stdout);
    progress->drawn = false;
}

/* Output must be seen now; when it cannot be, the training ends. What is still to be said to a reader that is gone goes
 * nowhere, and is no failure. */
void cli_progress_flush(cli_progress *progress)
{
    if (fflush(stdout) == 0)
        return;
    progress->unread = errno == EPIPE && freopen("/dev/null", "w", stdout) != NULL;
    tg_train_stop();
}

static void on_plan(void *ctx, const tg_plan *plan)
{
    cli_report_plan(plan);
    cli_progress_flush(ctx);
}

static void on_progress(void *ctx, const tg_progress *p)
{
    cli_progress *progress = ctx;
    char line[512];
    const bool last = p->update == p->updates;
    progress->updates = p->updates;
    if (!progress->live) {
        if (!last && p->update % progress->every != 0)
            return;
        cli_progress_line(line, sizeof line, 0, p);
        puts(line);
        cli_progress_flush(ctx);
        return;
    }
    const int64_t now = cli_now_ns();
    if (!last && now < progress->next_ns)
        return;
    progress->next_ns = now + REDRAW_NS;
    cli_progress_line(line, sizeof line, terminal_columns(), p);
    printf("\r\033[K%s", line);
    progress->drawn = true;
    cli_progress_flush(ctx);
}

static void on_evaluated(void *ctx, const tg_evaluated *e)
{
    cli_progress_clear(ctx);
    printf("update %llu: validation loss %.4f", (unsigned long long)e->update, e->of.loss);
    cli_scores_line(&e->of, ", ", "");
    puts(e->best ? ", the best so far" : "");
    cli_progress_flush(ctx);
}

static void on_sampled(void *ctx, uint64_t update, const char *text)
{
    cli_progress_clear(ctx);
    printf("update %llu: sample\n%s\n", (unsigned long long)update, text);
    cli_progress_flush(ctx);
}

static void on_saved(void *ctx, uint64_t update, const char *directory)
{
    cli_progress *progress = ctx;
    (void)update;
    snprintf(progress->saved, sizeof progress->saved, "%s", directory);
}

static void on_note(void *ctx, const char *line)
{
    cli_progress_clear(ctx);
    puts(line);
    cli_progress_flush(ctx);
}

void cli_progress_init(cli_progress *progress, uint64_t every)
{
    *progress = (cli_progress){.live = isatty(STDOUT_FILENO) == 1, .every = every > 0 ? every : 1};
}

tg_train_listener cli_progress_listener(cli_progress *progress)
{
    return (tg_train_listener){.plan = on_plan,
                               .progress = on_progress,
                               .evaluated = on_evaluated,
                               .sampled = on_sampled,
                               .saved = on_saved,
                               .note = on_note,
                               .ctx = progress};
}
