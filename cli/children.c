/* children.c -- work in child processes, a few at a time.
 *
 * A child is a copy of this process: it may use OpenMP as long as this process never has. It dies with its parent. */
#include "children.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define SHORTEST 200000L  /* nanoseconds between looks: at first, for children that take no longer, */
#define LONGEST 50000000L /* and while nothing ends */

typedef struct child {
    pid_t pid; /* 0: no child */
    size_t index;
} child;

typedef struct nursery {
    const cli_children *plan;
    child *at; /* (jobs) */
    size_t alive, next;
    bool ending;
} nursery;

static volatile sig_atomic_t signalled;

static void on_signal(int number) { signalled = number; }

int cli_children_signal(void) { return signalled; }

void cli_children_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&stop.sa_mask);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
}

size_t cli_children_jobs(double wanted, double threads)
{
    const double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    if (wanted > 0)
        return (size_t)wanted;
    const double fit = isnan(threads) ? cores : threads > 0 ? cores / threads : 1;
    return fit >= 1 ? (size_t)fit : 1;
}

/* SIGTERM is held back across a fork: what is to end a child must not meet its parent's handler there. */
static void hold_term(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(how, &set, NULL);
}

static void work(const cli_children *plan, size_t index, pid_t parent)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != parent)
        _exit(1);
    signal(SIGINT, SIG_IGN); /* of a terminal it comes to all of them: the parent then says what is to end */
    signal(SIGTERM, SIG_DFL);
    hold_term(SIG_UNBLOCK);
    const int status = plan->work(plan->ctx, index);
    fflush(stderr);
    _exit(status);
}

/* False when there is no child to be had. */
static bool begin(nursery *n, size_t index)
{
    const pid_t parent = getpid();
    fflush(NULL); /* or the child would write it once more */
    hold_term(SIG_BLOCK);
    const pid_t pid = fork();
    if (pid == 0)
        work(n->plan, index, parent);
    hold_term(SIG_UNBLOCK);
    if (pid < 0)
        return false;
    for (size_t i = 0;; i++)
        if (n->at[i].pid == 0) {
            n->at[i] = (child){pid, index};
            break;
        }
    n->alive++;
    return true;
}

static void end_all(nursery *n)
{
    if (!n->ending && n->plan->ending != NULL)
        n->plan->ending(n->plan->ctx);
    for (size_t i = 0; i < n->plan->jobs && !n->ending; i++)
        if (n->at[i].pid != 0)
            kill(n->at[i].pid, SIGTERM);
    n->ending = true;
}

/* Children that have ended since the last time; how many. */
static size_t collect(nursery *n)
{
    const size_t before = n->alive;
    for (size_t i = 0; i < n->plan->jobs; i++) {
        int state;
        if (n->at[i].pid == 0 || waitpid(n->at[i].pid, &state, WNOHANG) != n->at[i].pid)
            continue;
        n->at[i].pid = 0;
        n->alive--;
        const int status = WIFEXITED(state) ? WEXITSTATUS(state) : WIFSIGNALED(state) ? -WTERMSIG(state) : -1;
        if (!n->plan->ended(n->plan->ctx, n->at[i].index, status))
            end_all(n);
    }
    return before - n->alive;
}

/* Begins what there is room for; true when something was begun, or passed over. */
static bool fill(nursery *n)
{
    const size_t before = n->next;
    while (!n->ending && n->alive < n->plan->jobs && n->next < n->plan->count) {
        if (n->plan->wanted(n->plan->ctx, n->next) && !begin(n, n->next)) {
            if (n->alive == 0) { /* nobody's end will help */
                perror("tiger: cannot begin a process");
                n->ending = true;
            }
            break;
        }
        n->next++;
    }
    return n->next != before;
}

bool cli_children_run(const cli_children *plan)
{
    nursery n = {.plan = plan, .at = calloc(plan->jobs, sizeof *n.at)};
    if (n.at == NULL)
        return false;
    long pause = SHORTEST;
    while (fill(&n) || n.alive > 0) {
        pause = collect(&n) > 0 ? SHORTEST : 2 * pause < LONGEST ? 2 * pause : LONGEST;
        if (n.alive > 0 && signalled != 0)
            end_all(&n);
        if (n.alive > 0)
            nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    }
    free(n.at);
    return n.next == plan->count && !n.ending;
}
