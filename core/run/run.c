/* SPDX-License-Identifier: MIT */
#include "core/run/run.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"
#include "core/run/folder.h"
#include "core/run/rehash.h"
#include "core/run/trial.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct run {
    const struct lb_plan *p;
    const struct lb_run_options *o;
    struct lb_journal journal;
    struct lb_child *child; /* o->jobs of them */
    struct lb_job *job;
    enum lb_status *trained; /* of each training */
    char (*why)[1024];
    char *warned; /* of each training */
    char *broken; /* of each trial: it is done, and its file is not what it was; NULL without `repair` */
    struct lb_progress progress;
};

static int set_text(json_t *o, const char *key, const char *text)
{
    return text ? json_object_set_new(o, key, lb_json_text(text)) : 0;
}

/* Whether the trial is to run here. */
static int is_mine(const struct run *r, size_t trial)
{
    return !r->o->mine || r->o->mine[trial];
}

/* How long a child took, and when it ended. -1 where memory is out. */
static int set_times(json_t *line, double seconds)
{
    char at[32];
    lb_log_time(at);
    return json_object_set_new(line, "seconds", json_real(seconds)) || json_object_set_new(line, "at", json_string(at));
}

/* ---- A trial's line ---- */

/* Once a training: everything that is compared with a network that learned nothing means nothing. */
static void warn_unlearned(struct run *r, const struct lb_trial *t, const json_t *reply)
{
    const json_t *top1 = json_object_get(json_object_get(reply, "row"), "top1_f32");
    const double chance = 100 / (double)r->p->data.classes;
    if (!top1 || r->warned[t->training] || json_number_value(top1) > 2 * chance)
        return;
    r->warned[t->training] = 1;
    lb_log(LB_LOG_WARN,
           "model %s, seed %lld: the F32 network itself is right on %.2f %% of the labels, chance is %.0f %%: it learned little or nothing",
           r->p->e->models[t->model].name, (long long)r->p->e->seeds[t->seed], json_number_value(top1), chance);
}

static int record(struct run *r, size_t index, const struct lb_outcome *o, struct lb_err *err)
{
    const struct lb_plan *p = r->p;
    const struct lb_trial *t = &p->trials[index];
    const struct lb_format_config *f = &p->e->formats[t->format];
    const struct lb_backend_fact *b = &p->backends[t->backend];
    json_t *line = json_pack("{ss,ss,ss,ss,ss,ss,ss,ss,ss,sI,ss,ss,ss,ss,ss,sb}", "kind", "trial", "trial", t->hash, "build", t->build,
                             "model", p->e->models[t->model].name, "format", f->name, "codec", f->codec, "scale",
                             f->scale_text ? f->scale_text : "none", "mode", p->e->modes[t->mode], "numerics", b->exact ? "exact" : "fast",
                             "seed", (json_int_t)p->e->seeds[t->seed], "backend", b->name, "training", p->trainings[t->training].hash,
                             "codec_sha256", p->formats[t->format].sha256, "codec_plugin_sha256", p->formats[t->format].plugin_sha256,
                             "backend_plugin_sha256", b->entry ? b->entry->file_sha256 : "", "wraps", p->formats[t->format].wraps);
    int lost = set_text(line, "status", lb_status_name(o->status));
    if (t->qat >= 0)
        lost |= set_text(line, "qat_training", p->trainings[t->qat].hash);
    if (f->only >= 0)
        lost |= json_object_set_new(line, "only", json_integer((json_int_t)f->only));
    warn_unlearned(r, t, o->reply);
    if (o->status == LB_OK) {
        lost |= json_object_set(line, "row", json_object_get(o->reply, "row"));
        lost |= json_object_set(line, "measured", json_object_get(o->reply, "measured"));
    } else {
        lost |= set_text(line, "why", o->why) || (*o->said && set_text(line, "stderr", o->said));
        lb_log(LB_LOG_WARN, "trial %.12s (%s, %s, seed %lld): %s: %s", t->hash, f->name, b->name, (long long)p->e->seeds[t->seed],
               lb_status_name(o->status), o->why);
    }
    if (lost || set_times(line, o->seconds)) {
        json_decref(line);
        line = NULL; /* which the journal calls out of memory */
    }
    return lb_journal_append(&r->journal, line, err);
}

json_t *lb_run_done(const struct lb_plan *p, struct lb_journal *j, size_t trial)
{
    json_t *line = lb_journal_find(j, "trial", p->trials[trial].hash);
    const char *build = json_string_value(json_object_get(line, "build")), *status = json_string_value(json_object_get(line, "status"));
    return build && status && !strcmp(build, p->trials[trial].build) && !strcmp(status, "ok") ? line : NULL;
}

static int is_done(struct run *r, size_t trial)
{
    return lb_run_done(r->p, &r->journal, trial) && !(r->broken && r->broken[trial]);
}

/* ---- Trainings ---- */

/* Whether a trial that is still to do needs the training, and has nothing else in its way. */
static int wanted(struct run *r, size_t training)
{
    const struct lb_plan *p = r->p;
    for (size_t i = 0; i < p->n_trials; i++) {
        const struct lb_trial *t = &p->trials[i];
        if ((t->training == training || t->qat == (long)training) && p->backends[t->backend].status == LB_OK &&
            p->formats[t->format].status == LB_OK && is_mine(r, i) && !is_done(r, i))
            return 1;
    }
    return 0;
}

static void set_trained(struct run *r, size_t i, enum lb_status status, const char *why)
{
    r->trained[i] = status;
    snprintf(r->why[i], sizeof r->why[i], "%s%.900s", status == LB_OK ? "" : "training: ", why);
}

static int finish_training(struct run *r, size_t i, struct lb_outcome *o, struct lb_err *err)
{
    int result = 0;
    set_trained(r, i, o->status, o->why);
    if (o->status == LB_OK) {
        const struct lb_training *t = &r->p->trainings[i];
        const char *format = t->format == LB_NO_FORMAT ? NULL : r->p->e->formats[t->format].name;
        json_t *line = json_pack("{ss,ss,ss,ss*,ss*}", "kind", "train", "training", t->hash, "build", t->build, "format", format, "mode",
                                 format ? lb_mode_name(t->mode) : NULL);
        if (json_object_update_missing(line, o->reply) || set_times(line, o->seconds)) {
            json_decref(line);
            line = NULL;
        }
        result = lb_journal_append(&r->journal, line, err);
        const double seconds = json_number_value(json_object_get(o->reply, "seconds"));
        if (seconds > 0)
            lb_log(LB_LOG_INFO, "trained %s, seed %lld, on %s%s%s: %.1f s, %.0f samples/s, loss %.4f", r->p->e->models[t->model].name,
                   (long long)r->p->e->seeds[t->seed], r->p->backends[t->backend].name, format ? ", for " : "", format ? format : "",
                   seconds, json_number_value(json_object_get(o->reply, "samples_per_s")),
                   json_number_value(json_object_get(o->reply, "loss")));
    } else {
        lb_log(LB_LOG_WARN, "training %.12s: %s: %s", r->p->trainings[i].hash, lb_status_name(o->status), o->why);
    }
    json_decref(o->reply);
    return result;
}

/* Whether an earlier run left the training's file, of this build and unchanged since. */
static int trained_before(struct run *r, const struct lb_training *t)
{
    const json_t *line = lb_journal_find(&r->journal, "train", t->hash);
    const char *build = json_string_value(json_object_get(line, "build")),
               *want = json_string_value(json_object_get(line, "weights_sha256"));
    char *path = lb_trained_path(r->o->folder, t->hash, NULL), have[65];
    struct lb_safetensors st = {0};
    const int there = path && build && want && !strcmp(build, t->build) && lb_exists(path) && !lb_safetensors_open(path, &st, NULL) &&
                      !lb_safetensors_sha256(&st, have, NULL) && !strcmp(have, want);
    lb_safetensors_finish(&st);
    lb_free(path);
    return there;
}

/* Whether the training needs no process: it is there, no trial wants it, or its backend cannot train. */
static int settled(struct run *r, size_t i)
{
    const struct lb_training *t = &r->p->trainings[i];
    const struct lb_backend_fact *b = &r->p->backends[t->backend];
    const int needed = r->o->repair ? lb_journal_find(&r->journal, "train", t->hash) != NULL || wanted(r, i) : wanted(r, i);
    if (!needed || trained_before(r, t))
        set_trained(r, i, LB_OK, "");
    else if (b->status != LB_OK && !r->p->e->models[t->model].weights)
        set_trained(r, i, b->status, b->why);
    else
        return 0;
    return 1;
}

static void count(struct lb_progress *p, enum lb_status s)
{
    p->done += s == LB_OK;
    p->skipped += s == LB_SKIPPED;
    p->failed += s != LB_OK && s != LB_SKIPPED;
}

/* ---- The loop: starts what is next while there is room, then waits ---- */

struct loop {
    size_t n;
    double timeout_s;
    lb_work *work;
    int (*settled)(struct run *r, size_t i);
    int (*finish)(struct run *r, size_t i, struct lb_outcome *o, struct lb_err *err);
    const char *kind; /* what one is called in messages: "training", "trial" */
    int counts;       /* its ends are those of trials, which progress tells of */
};

/* The next one into a free place. */
static int start(struct run *r, const struct loop *l, size_t slot, size_t index, struct lb_err *err)
{
    const struct lb_child_limits limits = {.seconds = l->timeout_s, .bytes = (size_t)r->p->e->limits.process_bytes};
    r->job[slot] = (struct lb_job){r->p, r->o->folder, index};
    if (lb_child_start(&r->child[slot], l->work, &r->job[slot], &limits, err))
        return -1;
    r->child[slot].source = (struct lb_log_source){l->kind, l->counts ? r->p->trials[index].hash : r->p->trainings[index].hash};
    r->progress.running++;
    return 0;
}

static int run_loop(struct run *r, const struct loop *l, struct lb_err *err)
{
    size_t next = 0, ended = 0;
    const double started = lb_seconds();
    for (;;) {
        size_t free_slot = 0;
        while (free_slot < r->o->jobs && r->child[free_slot].pid)
            free_slot++;
        while (next < l->n && l->settled(r, next))
            next++;
        if (next < l->n && free_slot < r->o->jobs) {
            if (start(r, l, free_slot, next++, err))
                return -1;
            continue;
        }
        struct lb_outcome o;
        const long slot = lb_child_wait(r->child, r->o->jobs, &o);
        if (lb_child_interrupted())
            return lb_fail(err, "interrupted");
        if (slot < 0)
            break;
        r->progress.running--;
        if (l->counts)
            count(&r->progress, o.status);
        if (l->finish(r, r->job[slot].index, &o, err))
            return -1;
        lb_progress_estimate(&r->progress, ++ended, lb_seconds() - started);
        if (l->counts)
            lb_progress_show(&r->progress);
    }
    lb_progress_end();
    return 0;
}

/* What keeps a trial from running at all, or LB_OK; and the last words of what ended there. */
static enum lb_status obstacle(const struct run *r, size_t i, const char **why, const char **said)
{
    const struct lb_trial *t = &r->p->trials[i];
    const struct lb_backend_fact *b = &r->p->backends[t->backend];
    const struct lb_format_fact *f = &r->p->formats[t->format];
    *why = b->why;
    *said = b->said;
    if (b->status != LB_OK)
        return b->status;
    *why = f->why;
    *said = f->said;
    if (f->status != LB_OK)
        return f->status;
    const size_t last = t->qat >= 0 && r->trained[t->training] == LB_OK ? (size_t)t->qat : t->training;
    *why = r->why[last];
    *said = "";
    return r->trained[last];
}

static int trial_settled(struct run *r, size_t i)
{
    return !is_mine(r, i) || is_done(r, i);
}

static int finish_trial(struct run *r, size_t i, struct lb_outcome *o, struct lb_err *err)
{
    const int result = record(r, i, o, err);
    json_decref(o->reply);
    return result;
}

/* Trials that cannot run are recorded at once; then the loop need not know of them. */
static int trial_or_obstacle_settled(struct run *r, size_t i)
{
    const char *why, *said;
    return trial_settled(r, i) || obstacle(r, i, &why, &said) != LB_OK;
}

static int record_obstacles(struct run *r, struct lb_err *err)
{
    for (size_t i = 0; i < r->p->n_trials; i++) {
        const char *why, *said;
        struct lb_outcome o = {.status = obstacle(r, i, &why, &said)};
        r->progress.total += (size_t)is_mine(r, i);
        r->progress.done += is_mine(r, i) && is_done(r, i);
        if (trial_settled(r, i) || o.status == LB_OK)
            continue;
        count(&r->progress, o.status);
        snprintf(o.why, sizeof o.why, "%s", why);
        snprintf(o.said, sizeof o.said, "%s", said);
        if (record(r, i, &o, err))
            return -1;
    }
    return 0;
}

static int prepare(struct run *r, struct lb_err *err)
{
    r->child = lb_alloc(r->o->jobs, sizeof *r->child, err);
    r->job = lb_alloc(r->o->jobs, sizeof *r->job, err);
    r->trained = lb_alloc(r->p->n_trainings + 1, sizeof *r->trained, err);
    r->why = lb_alloc(r->p->n_trainings + 1, sizeof *r->why, err);
    r->warned = lb_alloc(r->p->n_trainings + 1, sizeof *r->warned, err);
    if (!r->child || !r->job || !r->trained || !r->why || !r->warned)
        return -1;
    return lb_folder_open(r->o->folder, r->o->wait ? LB_JOURNAL_WAIT : LB_JOURNAL_WRITE, &r->journal, err) ||
                   lb_config_save(r->p->e, r->o->folder, err)
               ? -1
               : 0;
}

static int append_described(struct run *r, struct lb_err *err)
{
    json_t *line = lb_run_describe(r->p, r->o, err);
    return err->set ? -1 : lb_journal_append(&r->journal, line, err);
}

/* Finds the finished trials whose files were lost or changed. A training's is looked at before each use, and where the trials are to be kept, here. */
static int find_broken(struct run *r, struct lb_err *err)
{
    size_t n = 0;
    r->broken = lb_alloc(r->p->n_trials + 1, 1, err);
    for (size_t i = 0; r->broken && i < r->p->n_trials; i++) {
        const json_t *line = is_mine(r, i) ? lb_run_done(r->p, &r->journal, i) : NULL;
        r->broken[i] = line && !lb_rehash_is_whole(r->o->folder, line);
        n += r->broken[i] != 0;
    }
    if (r->broken)
        lb_log(LB_LOG_INFO, "%zu finished trial%s to be run again: %s not what the journal says", n, n == 1 ? " is" : "s are",
               n == 1 ? "its file is" : "their files are");
    return r->broken ? 0 : -1;
}

/* Nothing finished is made again without a word. */
static void tell_stale(struct run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->p->n_trials; i++) {
        const json_t *line = lb_journal_find(&r->journal, "trial", r->p->trials[i].hash);
        const char *status = json_string_value(json_object_get(line, "status"));
        n += is_mine(r, i) && status && !strcmp(status, "ok") && !lb_run_done(r->p, &r->journal, i);
    }
    if (n)
        lb_log(LB_LOG_WARN, "%zu trial%s that %s finished by another build of lowbit or of a plugin: %s again", n, n == 1 ? "" : "s",
               n == 1 ? "was" : "were", n == 1 ? "it runs" : "they run");
}

int lb_run(const struct lb_plan *p, const struct lb_run_options *o, struct lb_report *counts, struct lb_err *err)
{
    struct run r = {.p = p, .o = o, .journal = {.fd = -1}, .progress = {.label = "trials", .seconds_left = -1}};
    const struct loop train = {p->n_trainings, p->e->limits.train_timeout_s, lb_training_work, settled, finish_training, "training", 0};
    const struct loop trials = {p->n_trials, p->e->limits.timeout_s, lb_trial_work, trial_or_obstacle_settled, finish_trial, "trial", 1};
    lb_child_signals(1);
    int result = prepare(&r, err);
    if (!result)
        tell_stale(&r);
    if (!result && o->repair)
        result = find_broken(&r, err);
    if (!result)
        result = append_described(&r, err) || run_loop(&r, &train, err) || record_obstacles(&r, err) || run_loop(&r, &trials, err) ||
                         lb_report_write(o->folder, &r.journal, counts, err)
                     ? -1
                     : 0;
    if (r.child)
        lb_child_kill(r.child, o->jobs);
    lb_folder_close(o->folder, &r.journal);
    lb_free(r.child);
    lb_free(r.job);
    lb_free(r.trained);
    lb_free(r.why);
    lb_free(r.warned);
    lb_free(r.broken);
    if (!lb_child_interrupted())
        lb_child_signals(0);
    return result;
}
