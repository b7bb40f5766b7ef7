/* SPDX-License-Identifier: MIT */
#include "core/base/csv.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/run/columns.h"
#include "core/run/watch.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_OUT = 0x2000 };

struct args {
    struct lb_experiment_args x;
    const char *out;
    int csv;
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
    case 'c':
        a->csv = 1;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- The trials ---- */

static void print_line(const struct lb_plan *p, const struct lb_trial *t, const struct lb_trial_state *s)
{
    const struct lb_experiment *e = p->e;
    printf("%.16s  %-11s %s  seed %lld  %s  %s  %s\n", t->hash, lb_state_name(s->state), e->models[t->model].name,
           (long long)e->seeds[t->seed], e->formats[t->format].name, e->modes[t->mode], e->backends[t->backend].name);
}

static const char *const columns[] = {"trial", "state", "model", "seed", "format", "mode", "backend", "seconds", "at", "folder", "why"};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static void print_csv(const struct lb_plan *p, const struct lb_trial *t, const struct lb_trial_state *s)
{
    const struct lb_experiment *e = p->e;
    const struct lb_backend_fact *b = &p->backends[t->backend];
    const json_t *seconds = json_object_get(s->line, "seconds");
    const int here = b->status == LB_OK && p->formats[t->format].status == LB_OK;
    char seed[32], took[32] = "";
    snprintf(seed, sizeof seed, "%lld", (long long)e->seeds[t->seed]);
    if (json_is_number(seconds))
        snprintf(took, sizeof took, "%.3f", json_number_value(seconds));
    const char *const why = here || s->state == LB_STATE_DONE ? lb_line_text(s->line, "why")
                            : b->status != LB_OK              ? b->why
                                                              : p->formats[t->format].why;
    const char *const cells[N_COLUMNS] = {t->hash,
                                          lb_state_name(s->state),
                                          e->models[t->model].name,
                                          seed,
                                          e->formats[t->format].name,
                                          e->modes[t->mode],
                                          e->backends[t->backend].name,
                                          took,
                                          lb_line_text(s->line, "at"),
                                          s->folder,
                                          why};
    lb_csv_line(stdout, cells, N_COLUMNS);
}

/* ---- The last line ---- */

static void add_work(struct lb_text *t, const struct lb_watched *w)
{
    const double left = w->progress.seconds_left;
    lb_text_add(t, "; at work: %zu process%s with %zu job%s", w->at_work, w->at_work == 1 ? "" : "es", w->jobs, w->jobs == 1 ? "" : "s");
    if (*w->last)
        lb_text_add(t, ", last line %s", w->last);
    if (left >= 0)
        lb_text_add(t, ", about %.0f s left", left);
}

static int summarize(const struct lb_plan *p, const struct lb_watched *w, struct lb_err *err)
{
    struct lb_text t = {0};
    lb_text_add(&t, "%zu trials, %zu done", p->n_trials, w->count[LB_STATE_DONE]);
    for (int s = LB_STATE_DONE + 1; s < LB_STATES; s++)
        if (w->count[s])
            lb_text_add(&t, ", %zu %s", w->count[s], lb_state_name((enum lb_state)s));
    if (w->at_work)
        add_work(&t, w);
    lb_text_add(&t, "; data: %s", p->data.described);
    if (lb_text_end(&t, err))
        return -1;
    lb_log(LB_LOG_INFO, "%s", t.s);
    if (lb_globals.json)
        lb_progress_show(&w->progress);
    lb_text_free(&t);
    return 0;
}

static int print_plan(const struct args *a, const struct lb_plan *p, const char *folder, struct lb_err *err)
{
    struct lb_watch w;
    struct lb_watched counts;
    int r = lb_watch_open(p, folder, &w, err) || lb_watch_count(&w, &counts, err) ? -1 : 0;
    if (!r && a->csv)
        lb_csv_line(stdout, columns, N_COLUMNS);
    for (size_t i = 0; !r && i < p->n_trials; i++) {
        const struct lb_trial_state s = lb_watch_trial(&w, i);
        (a->csv ? print_csv : print_line)(p, &p->trials[i], &s);
    }
    r = r || summarize(p, &counts, err) ? -1 : 0;
    lb_watch_close(&w);
    return r;
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"out", KEY_OUT, "DIR", 0, "Results folder (default: results/NAME)", 0}, {"csv", 'c', NULL, 0, "Print CSV", 0}, {0}};
    const struct argp argp = {
        options,
        parse,
        "CONFIG|DIR",
        "Lists the trials of an experiment, or of a results folder: hash, state (done, to do, stale: done by another build, how it failed, "
        "or why it cannot run), "
        "model, seed, format, mode, backend. The last line counts them, those in shard-I-of-N folders too, and tells of processes that "
        "are at work on them.",
        lb_experiment_argp,
        NULL,
        NULL};
    struct args a = {0};
    struct lb_err err = {0};
    struct lb_plan *p = NULL;
    struct lb_experiment *e = NULL;
    char folder[4000], config[4200];
    struct stat st;
    lb_cmd_parse("plan", &argp, argc, argv, &a);
    if (stat(a.x.config, &st) == 0 && S_ISDIR(st.st_mode)) { /* a results folder, which has its config */
        a.out = a.out ? a.out : a.x.config;
        snprintf(config, sizeof config, "%.4096s/config.json", a.x.config);
        a.x.config = config;
    }
    if (lb_experiment_open(&a.x, &e, &p, &err))
        return lb_experiment_close(&a.x, e, p, &err);
    const int length = snprintf(folder, sizeof folder, a.out ? "%s" : "results/%s", a.out ? a.out : e->name);
    if (p->data_missing)
        lb_fail(&err, "%s", p->data_why);
    else if (length < 0 || (size_t)length >= sizeof folder)
        lb_fail(&err, "--out: the path is too long");
    else
        print_plan(&a, p, folder, &err);
    return lb_experiment_close(&a.x, e, p, &err);
}

const struct lb_command lb_cmd_plan = {"plan", "list the trials of CONFIG, their hashes and which are done, also while they run", run};
