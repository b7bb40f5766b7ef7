/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/run/run.h"

#include <stdio.h>
#include <string.h>

enum { KEY_OUT = 0x2000 };

struct args {
    struct lb_experiment_args x;
    const char *out;
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
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What the trial is now: its status in the journal, what keeps it from running, or that it is still to do. */
static const char *state_of(const struct lb_plan *p, const struct lb_journal *j, size_t i)
{
    const struct lb_backend_fact *b = &p->backends[p->trials[i].backend];
    const struct lb_format_fact *f = &p->formats[p->trials[i].format];
    const char *status = json_string_value(json_object_get(lb_journal_find(j, "trial", p->trials[i].hash), "status"));
    if (lb_run_done(p, j, i))
        return "done";
    if (b->status != LB_OK || f->status != LB_OK)
        return lb_status_name(b->status != LB_OK ? b->status : f->status);
    return status ? strcmp(status, "ok") ? status : "stale" : "to do";
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"out", KEY_OUT, "DIR", 0, "Results folder (default: results/NAME)", 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "CONFIG",
        "Lists the trials of an experiment: hash, state (done, to do, stale: done by another build, or why it cannot run), model, seed, "
        "format, mode, backend.",
        lb_experiment_argp,
        NULL,
        NULL};
    struct args a = {0};
    struct lb_err err = {0};
    struct lb_plan *p = NULL;
    struct lb_experiment *e = NULL;
    struct lb_journal j = {.fd = -1};
    char folder[4096], journal[4200];
    lb_cmd_parse("plan", &argp, argc, argv, &a);
    if (lb_experiment_open(&a.x, &e, &p, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    snprintf(folder, sizeof folder, a.out ? "%s" : "results/%s", a.out ? a.out : e->name);
    snprintf(journal, sizeof journal, "%s/trials.jsonl", folder);
    if (p->data_missing)
        lb_fail(&err, "%s", p->data_why);
    else if (lb_exists(journal) && lb_journal_open(folder, 0, &j, &err)) /* none yet: all is to do */
        return lb_experiment_close(&a.x, e, p, &err);
    size_t done = 0;
    for (size_t i = 0; i < p->n_trials; i++) {
        const struct lb_trial *t = &p->trials[i];
        const char *state = state_of(p, &j, i);
        done += !strcmp(state, "done");
        printf("%.16s  %-11s %s  seed %lld  %s  %s  %s\n", t->hash, state, e->models[t->model].name, (long long)e->seeds[t->seed],
               e->formats[t->format].name, e->modes[t->mode], e->backends[t->backend].name);
    }
    if (!err.set)
        lb_log(LB_LOG_INFO, "%zu trials, %zu done; data: %s", p->n_trials, done, p->data.described);
    lb_journal_close(&j);
    return lb_experiment_close(&a.x, e, p, &err);
}

const struct lb_command lb_cmd_plan = {"plan", "list the trials of CONFIG, their hashes and which are done", run};
