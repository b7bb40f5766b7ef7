/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/run/run.h"
#include "core/run/shard.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_OUT = 0x2000, KEY_JOBS, KEY_SHARD, KEY_WAIT, KEY_REPAIR, KEY_GUARD };

struct args {
    struct lb_experiment_args x;
    const char *out, *shard_text;
    long jobs;
    int wait, repair;
    struct lb_shard shard;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->x;
        return 0;
    case KEY_OUT:
        a->out = arg;
        return 0;
    case KEY_JOBS: {
        char *end;
        a->jobs = strtol(arg, &end, 10);
        if (*end || a->jobs < 1 || a->jobs > LB_CHILDREN)
            argp_error(state, "--jobs: expected a whole number from 1 to %d, found \"%s\"", LB_CHILDREN, arg);
        return 0;
    }
    case KEY_SHARD: {
        struct lb_err err = {0};
        a->shard_text = arg;
        if (lb_shard_parse(arg, &a->shard, &err))
            argp_error(state, "%s", err.text);
        return 0;
    }
    case KEY_WAIT:
        a->wait = 1;
        return 0;
    case KEY_REPAIR:
        a->repair = 1;
        return 0;
    case KEY_GUARD:
        lb_globals.guard = 1;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* A word as a shell takes it. */
static void add_word(struct lb_text *t, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    lb_text_put(t, " ", 1);
    if (*word && strspn(word, plain) == strlen(word)) {
        lb_text_add(t, "%s", word);
        return;
    }
    lb_text_put(t, "'", 1);
    for (; *word; word++)
        if (*word == '\'')
            lb_text_add(t, "'\\''");
        else
            lb_text_put(t, word, 1);
    lb_text_put(t, "'", 1);
}

/* The children are ended and the journal is whole; the process ends as the signal wants it. */
static void end_by_signal(int argc, char **argv)
{
    struct lb_text t = {0};
    lb_text_add(&t, "%s run", program_invocation_name);
    for (int i = 1; i < argc; i++)
        add_word(&t, argv[i]);
    lb_log(LB_LOG_WARN, "interrupted (%s); to go on where this run stopped: %s", strsignal(lb_child_interrupted()),
           lb_text_end(&t, NULL) ? "the same command" : t.s);
    lb_text_free(&t);
    lb_child_end_process();
}

/* A backend that --backend names must be there; one of a config is skipped where it is not. */
static int is_there(const struct args *a, const struct lb_plan *p, struct lb_err *err)
{
    const struct lb_backend_fact *b = p->backends;
    if (a->x.backend_set && b->status == LB_SKIPPED)
        return lb_fail(err, "--backend %s: not on this machine: %s", b->plugin, b->why);
    return 0;
}

/* Says what is going to run; the number of trials. */
static size_t announce(const struct lb_shard *s, const struct lb_experiment *e, const struct lb_plan *p, const char *mine)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_trials; i++)
        n += mine[i] != 0;
    if (s->count)
        lb_log(LB_LOG_INFO, "%s: share %zu of %zu: %zu of %zu trials; data: %s", e->name, s->index, s->count, n, p->n_trials,
               p->data.described);
    else
        lb_log(LB_LOG_INFO, "%s: %zu trial%s, %zu training%s; data: %s", e->name, n, n == 1 ? "" : "s", p->n_trainings,
               p->n_trainings == 1 ? "" : "s", p->data.described);
    return n;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", KEY_OUT, "DIR", 0, "Results folder (default: results/NAME, NAME from the config)", 0},
        {"jobs", KEY_JOBS, "N", 0, "Trials side by side (default 1)", 0},
        {"shard", KEY_SHARD, "I/N", 0,
         "Run share I of N only, in DIR/shard-I-of-N (default: what SLURM_ARRAY_TASK_ID says; none: all); lowbit merge puts shares "
         "together",
         0},
        {"wait", KEY_WAIT, NULL, 0, "Wait where another process is at work on the folder (default: refuse)", 0},
        {"repair", KEY_REPAIR, NULL, 0,
         "Hash the files of what is finished, and make those again that were lost or changed (lowbit verify DIR finds them)", 0},
        {"guard", KEY_GUARD, NULL, 0,
         "Look for ops that go beyond their arrays: on host memory these lie between pages that cannot be touched. Such a trial has "
         "crashed, and its last words say where",
         0},
        {0}};
    const struct argp argp = {
        options,
        parse,
        "CONFIG",
        "Runs an experiment: trains, stores the weights in each format, runs them on each backend, and writes table.csv, table.md "
        "and measured.csv into the results folder. Run again, it continues where it stopped.",
        lb_experiment_argp,
        NULL,
        NULL};
    struct args a = {.jobs = 1};
    struct lb_err err = {0};
    struct lb_plan *p = NULL;
    struct lb_experiment *e = NULL;
    char whole[4096], folder[4096];
    lb_cmd_parse("run", &argp, argc, argv, &a);
    signal(SIGPIPE, SIG_IGN); /* whoever reads along may leave; the run goes on */
    if (lb_experiment_open(&a.x, &e, &p, &err)) {
        if (lb_child_interrupted())
            end_by_signal(argc, argv);
        return lb_experiment_close(&a.x, e, p, &err);
    }
    if (p->data_missing) {
        lb_fail(&err, "%s", p->data_why);
        return lb_experiment_close(&a.x, e, p, &err);
    }
    if (is_there(&a, p, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    if (!a.shard_text && lb_shard_of_slurm(&a.shard, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    const int length = snprintf(whole, sizeof whole, a.out ? "%s" : "results/%s", a.out ? a.out : e->name);
    if (length < 0 || (size_t)length >= sizeof whole)
        lb_fail(&err, "--out: the path is too long");
    char *mine = err.set || lb_shard_folder(&a.shard, whole, folder, &err) ? NULL : lb_shard_trials(&a.shard, p->n_trials, &err);
    if (!mine)
        return lb_experiment_close(&a.x, e, p, &err);
    const size_t n = announce(&a.shard, e, p, mine);
    struct lb_report counts;
    const struct lb_run_options o = {.folder = folder,
                                     .jobs = (size_t)a.jobs,
                                     .mine = mine,
                                     .shard = a.shard.index,
                                     .shards = a.shard.count,
                                     .wait = a.wait,
                                     .repair = a.repair};
    const int failed = lb_run(p, &o, &counts, &err);
    lb_free(mine);
    if (failed && lb_child_interrupted()) {
        lb_experiment_close(&a.x, e, p, NULL);
        end_by_signal(argc, argv);
    }
    if (failed)
        return lb_experiment_close(&a.x, e, p, &err);
    lb_experiment_close(&a.x, e, p, NULL);
    printf("%s/table.md\n", folder);
    lb_log(LB_LOG_INFO, "%zu of %zu trials ok; the table: %s/table.md and table.csv, times and memory: %s/measured.csv", counts.ok, n,
           folder, folder);
    return counts.ok + counts.skipped == n ? 0 : 1; /* skipped is "not on this machine", no failure */
}

const struct lb_command lb_cmd_run = {
    "run", "run an experiment: CONFIG [--out DIR] [--backend B] [--set PATH=VALUE]... [--jobs N] [--shard I/N]", run};
