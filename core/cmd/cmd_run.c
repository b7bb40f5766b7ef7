/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/run/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_OUT = 0x2000, KEY_JOBS };

struct args {
    struct lb_experiment_args x;
    const char *out;
    long jobs;
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
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Children die of the same signal; the journal is whole at any moment. */
static void interrupted(int number)
{
    static const char text[] = "\ninterrupted; the same command goes on where this run stopped\n";
    if (write(2, text, sizeof text - 1) < 0)
        _exit(128 + number);
    signal(number, SIG_DFL);
    raise(number);
}

/* A backend that --backend names must be there; one of a config is skipped where it is not. */
static int is_there(const struct args *a, const struct lb_plan *p, struct lb_err *err)
{
    const struct lb_backend_fact *b = p->backends;
    if (a->x.backend_set && b->status == LB_SKIPPED)
        return lb_fail(err, "--backend %s: not on this machine: %s", b->plugin, b->why);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", KEY_OUT, "DIR", 0, "Results folder (default: results/NAME, NAME from the config)", 0},
        {"jobs", KEY_JOBS, "N", 0, "Trials side by side (default 1)", 0},
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
    char folder[4096];
    lb_cmd_parse("run", &argp, argc, argv, &a);
    if (lb_experiment_open(&a.x, &e, &p, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    if (p->data_missing) {
        lb_fail(&err, "%s", p->data_why);
        return lb_experiment_close(&a.x, e, p, &err);
    }
    if (is_there(&a, p, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    const int length = snprintf(folder, sizeof folder, a.out ? "%s" : "results/%s", a.out ? a.out : e->name);
    if (length < 0 || (size_t)length >= sizeof folder) {
        lb_fail(&err, "--out: the path is too long");
        return lb_experiment_close(&a.x, e, p, &err);
    }
    lb_log(LB_LOG_INFO, "%s: %zu trial%s, %zu training%s; data: %s", e->name, p->n_trials, p->n_trials == 1 ? "" : "s", p->n_trainings,
           p->n_trainings == 1 ? "" : "s", p->data.described);
    signal(SIGINT, interrupted);
    struct lb_report counts;
    const struct lb_run_options o = {folder, (size_t)a.jobs};
    if (lb_run(p, &o, &counts, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    lb_experiment_close(&a.x, e, p, NULL);
    printf("%s/table.md\n", folder);
    lb_log(LB_LOG_INFO, "%zu of %zu trials ok; the table: %s/table.md and table.csv, times and memory: %s/measured.csv", counts.ok,
           counts.trials, folder, folder);
    return counts.ok + counts.skipped == counts.trials ? 0 : 1; /* skipped is "not on this machine", no failure */
}

const struct lb_command lb_cmd_run = {"run", "run an experiment: CONFIG [--out DIR] [--backend B] [--set PATH=VALUE]... [--jobs N]", run};
