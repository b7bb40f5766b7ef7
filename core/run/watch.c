/* SPDX-License-Identifier: MIT */
#include "core/run/watch.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/run/columns.h"
#include "core/run/run.h"
#include "core/run/shard.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[LB_STATES] = {"done", "failed", "crashed", "timeout", "oom", "unsupported", "skipped", "stale", "to do"};

const char *lb_state_name(enum lb_state s)
{
    return names[s];
}

/* ---- The folders ---- */

static int add_place(struct lb_watch *w, const char *folder, struct lb_err *err)
{
    char journal[4200];
    snprintf(journal, sizeof journal, "%s/trials.jsonl", folder);
    if (!lb_exists(journal))
        return 0;
    struct lb_watch_place *more = lb_alloc(w->n + 1, sizeof *more, err);
    if (!more)
        return -1;
    if (w->n)
        memcpy(more, w->place, w->n * sizeof *more);
    lb_free(w->place);
    w->place = more;
    struct lb_watch_place *place = &w->place[w->n];
    snprintf(place->folder, sizeof place->folder, "%s", folder);
    place->at_work = lb_journal_locked(folder); /* before it is read: a run that ends now is at rest with all its lines */
    if (lb_journal_open(folder, LB_JOURNAL_READ, &place->journal, err))
        return -1;
    w->n++;
    return 0;
}

static int is_share(const struct dirent *d)
{
    return lb_shard_is_folder(d->d_name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strverscmp((*a)->d_name, (*b)->d_name);
}

int lb_watch_open(const struct lb_plan *p, const char *folder, struct lb_watch *w, struct lb_err *err)
{
    *w = (struct lb_watch){.p = p};
    struct dirent **shares = NULL;
    int r = add_place(w, folder, err);
    const int n = r ? 0 : scandir(folder, &shares, is_share, by_name);
    for (int i = 0; i < n; i++) {
        char path[4096];
        const int length = snprintf(path, sizeof path, "%s/%s", folder, shares[i]->d_name);
        if (!r)
            r = (size_t)length < sizeof path ? add_place(w, path, err) : lb_fail(err, "%.200s...: the path is too long", path);
        free(shares[i]);
    }
    free(shares);
    return !r && n < 0 && errno != ENOENT ? lb_fail(err, "%s: %s", folder, strerror(errno)) : r;
}

void lb_watch_close(struct lb_watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        lb_journal_close(&w->place[i].journal);
    lb_free(w->place);
    *w = (struct lb_watch){0};
}

/* ---- One trial ---- */

static enum lb_state state_of(const char *status)
{
    for (int s = LB_STATE_FAILED; s < LB_STATE_STALE; s++)
        if (!strcmp(status, names[s]))
            return (enum lb_state)s;
    return !strcmp(status, "ok") ? LB_STATE_STALE : LB_STATE_TO_DO;
}

/* What keeps it from running here, or LB_OK. */
static enum lb_status obstacle(const struct lb_plan *p, size_t trial)
{
    const enum lb_status b = p->backends[p->trials[trial].backend].status, f = p->formats[p->trials[trial].format].status;
    return b != LB_OK ? b : f;
}

struct lb_trial_state lb_watch_trial(struct lb_watch *w, size_t trial)
{
    struct lb_trial_state s = {.state = LB_STATE_TO_DO, .folder = ""};
    for (size_t i = 0; i < w->n; i++) {
        json_t *done = lb_run_done(w->p, &w->place[i].journal, trial);
        json_t *line = done ? done : lb_journal_find(&w->place[i].journal, "trial", w->p->trials[trial].hash);
        if (line && (done || !s.line || strcmp(lb_line_text(s.line, "at"), lb_line_text(line, "at")) < 0))
            s = (struct lb_trial_state){done ? LB_STATE_DONE : state_of(lb_line_text(line, "status")), w->place[i].folder, line};
        if (done)
            return s;
    }
    if (obstacle(w->p, trial) != LB_OK)
        s.state = state_of(lb_status_name(obstacle(w->p, trial)));
    return s;
}

/* ---- All trials ---- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Which trials the place's run is to do: those of its share. */
static char *trials_of(const struct lb_watch *w, const json_t *experiment, struct lb_err *err)
{
    const json_t *shard = json_object_get(experiment, "shard");
    const json_int_t index = json_integer_value(json_object_get(shard, "index")),
                     count = json_integer_value(json_object_get(shard, "count"));
    const struct lb_shard s = {(size_t)index, (size_t)count};
    return lb_shard_trials(index >= 1 && index <= count ? &s : &(struct lb_shard){0}, w->p->n_trials, err);
}

/* Of a place at work: how many of its trials have not ended since its run began, and the seconds of those that are done. */
static size_t still_to_do(struct lb_watch *w, struct lb_watch_place *place, const char *mine, const char *began, double *seconds, size_t *n)
{
    size_t left = 0;
    *n = 0;
    for (size_t i = 0; i < w->p->n_trials; i++) {
        const json_t *line = lb_journal_find(&place->journal, "trial", w->p->trials[i].hash), *done = lb_run_done(w->p, &place->journal, i);
        if (done && json_is_number(json_object_get(done, "seconds")))
            seconds[(*n)++] = json_number_value(json_object_get(done, "seconds"));
        left += mine[i] && !done && obstacle(w->p, i) == LB_OK && (!line || strcmp(lb_line_text(line, "at"), began) < 0);
    }
    return left;
}

static int add_work(struct lb_watch *w, struct lb_watch_place *place, struct lb_watched *out, struct lb_err *err)
{
    const json_t *experiment = lb_journal_find(&place->journal, "experiment", NULL);
    const json_int_t said = json_integer_value(json_object_get(experiment, "jobs"));
    const size_t jobs = said > 0 && said <= LB_CHILDREN ? (size_t)said : 1;
    double *seconds = lb_alloc(w->p->n_trials, sizeof *seconds, err);
    char *mine = seconds ? trials_of(w, experiment, err) : NULL;
    if (mine) {
        size_t n;
        const size_t left = still_to_do(w, place, mine, lb_line_text(experiment, "at"), seconds, &n);
        qsort(seconds, n, sizeof *seconds, by_size);
        const double time = n ? seconds[n / 2] * (double)left / (double)(jobs < left || !left ? jobs : left) : left ? -1 : 0;
        struct lb_progress *p = &out->progress;
        p->seconds_left = out->at_work && (time < 0 || p->seconds_left < 0) ? -1 : time > p->seconds_left ? time : p->seconds_left;
        p->running += left < jobs ? left : jobs;
        out->at_work++;
        out->jobs += jobs;
    }
    lb_free(seconds);
    lb_free(mine);
    return mine ? 0 : -1;
}

int lb_watch_count(struct lb_watch *w, struct lb_watched *out, struct lb_err *err)
{
    *out = (struct lb_watched){.last = "", .progress = {.label = "trials", .total = w->p->n_trials, .seconds_left = -1}};
    for (size_t i = 0; i < w->p->n_trials; i++)
        out->count[lb_watch_trial(w, i).state]++;
    for (int s = LB_STATE_FAILED; s <= LB_STATE_UNSUPPORTED; s++)
        out->progress.failed += out->count[s];
    out->progress.done = out->count[LB_STATE_DONE];
    out->progress.skipped = out->count[LB_STATE_SKIPPED];
    for (size_t i = 0; i < w->n; i++) {
        struct lb_watch_place *place = &w->place[i];
        const char *at = place->journal.n ? lb_line_text(lb_journal_line(&place->journal, place->journal.n - 1), "at") : "";
        if (strcmp(at, out->last) > 0)
            out->last = at;
        if (place->at_work && add_work(w, place, out, err))
            return -1;
    }
    return 0;
}
