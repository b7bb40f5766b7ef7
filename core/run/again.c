/* SPDX-License-Identifier: MIT */
#include "core/run/again.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/run/run.h"
#include "core/run/trial.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text_of(const json_t *line, const char *key)
{
    const char *s = json_string_value(json_object_get(line, key));
    return s ? s : "";
}

/* Whether the journal has the trial, of whatever build, and its bits are the same anywhere. */
static int is_comparable(const struct lb_plan *p, struct lb_journal *j, size_t i)
{
    const struct lb_backend_fact *b = &p->backends[p->trials[i].backend];
    return b->exact && b->status == LB_OK && !strcmp(text_of(lb_journal_find(j, "trial", p->trials[i].hash), "status"), "ok");
}

/* Which trials to run: all that can be compared, or `sample` of them, spread evenly. */
static char *choose(const struct lb_plan *p, struct lb_journal *j, size_t sample, size_t *chosen, struct lb_err *err)
{
    char *mine = lb_alloc(p->n_trials + 1, 1, err);
    size_t n = 0, at = 0;
    *chosen = 0;
    for (size_t i = 0; mine && i < p->n_trials; i++)
        n += (size_t)is_comparable(p, j, i);
    const size_t take = sample && sample < n ? sample : n;
    for (size_t i = 0; mine && i < p->n_trials; i++)
        if (is_comparable(p, j, i)) {
            mine[i] = (at + 1) * take / n > at * take / n;
            *chosen += mine[i] != 0;
            at++;
        }
    return mine;
}

/* The trained weights of the folder into the other one, as if that run had trained them. */
static int take_trainings(const struct lb_plan *p, struct lb_journal *j, const char *folder, const char *other, struct lb_err *err)
{
    struct lb_journal to = {.fd = -1};
    int r = lb_journal_open(other, LB_JOURNAL_WRITE, &to, err);
    for (size_t i = 0; !r && i < p->n_trainings; i++) {
        const char *hash = p->trainings[i].hash;
        json_t *line = lb_journal_find(j, "train", hash);
        char *from = lb_trained_path(folder, hash, err), *at = lb_trained_path(other, hash, err);
        struct lb_map map;
        if (line && from && at && lb_exists(from)) {
            r = lb_map_open(from, &map, err) || lb_write_file(at, map.data, map.size, err) ? -1 : 0;
            lb_map_close(&map);
            json_t *copy = json_copy(line);
            json_object_set_new(copy, "build", json_string(p->trainings[i].build));
            r = lb_journal_append(&to, copy, err) || r ? -1 : 0;
        }
        lb_free(from);
        lb_free(at);
    }
    lb_journal_close(&to);
    return r;
}

/* The first column in which two rows differ, or NULL. */
static const char *difference(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        const json_t *other = json_object_get(b, key);
        if (!other || !json_equal(value, other))
            return key;
    }
    return json_object_size(a) == json_object_size(b) ? NULL : "the columns";
}

static size_t compare_trial(const struct lb_plan *p, size_t i, struct lb_journal *was, struct lb_journal *is, FILE *report)
{
    const struct lb_trial *t = &p->trials[i];
    const json_t *before = lb_journal_find(was, "trial", t->hash), *after = lb_journal_find(is, "trial", t->hash);
    const char *key = difference(json_object_get(before, "row"), json_object_get(after, "row")), *status = text_of(after, "status");
    const int same = !strcmp(status, "ok") && !key;
    fprintf(report, "%s trial %.16s (%s, %s, %s, %s, seed %lld)", same ? "ok     " : "FAILED ", t->hash, p->e->models[t->model].name,
            p->e->formats[t->format].name, p->e->modes[t->mode], p->backends[t->backend].name, (long long)p->e->seeds[t->seed]);
    if (same)
        fprintf(report, "\n");
    else if (strcmp(status, "ok") != 0)
        fprintf(report, ": %s now: %s\n", *status ? status : "not run", text_of(after, "why"));
    else {
        char *x = lb_json_dump(json_object_get(json_object_get(before, "row"), key), JSON_ENCODE_ANY),
             *y = lb_json_dump(json_object_get(json_object_get(after, "row"), key), JSON_ENCODE_ANY);
        fprintf(report, ": %s was %s, is %s\n", key, x ? x : "missing", y ? y : "missing");
        lb_free(x);
        lb_free(y);
    }
    return !same;
}

static size_t compare_training(const struct lb_training *t, struct lb_journal *was, struct lb_journal *is, FILE *report)
{
    const json_t *before = lb_journal_find(was, "train", t->hash), *after = lb_journal_find(is, "train", t->hash);
    if (!before || !after)
        return 0;
    const char *x = text_of(before, "weights_sha256"), *y = text_of(after, "weights_sha256");
    const int same = !strcmp(x, y);
    fprintf(report, "%s training %.16s", same ? "ok     " : "FAILED ", t->hash);
    fprintf(report, same ? "\n" : ": its weights were %s, are %s\n", x, y);
    return !same;
}

/* A folder of its own, which remove_temporary removes with all that is in it. */
static int make_temporary(char *path, size_t size, struct lb_err *err)
{
    const char *base = getenv("TMPDIR");
    const int length = snprintf(path, size, "%s/lowbit-verify-XXXXXX", base && *base ? base : "/tmp");
    if (length < (int)size && mkdtemp(path))
        return 0;
    return lb_fail(err, "%s: %s", path, length >= (int)size ? "the path is too long" : strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void remove_temporary(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* 1 where the folder has the table and it is another than the one just made. */
static size_t compare_table(const char *folder, const char *made, const char *name, FILE *report)
{
    char path[2][4200];
    struct lb_map map[2] = {{0}};
    snprintf(path[0], sizeof path[0], "%.4096s/%s", folder, name);
    snprintf(path[1], sizeof path[1], "%.4096s/%s", made, name);
    if (!lb_exists(path[0]))
        return 0;
    const int r = lb_map_open(path[0], &map[0], NULL) || lb_map_open(path[1], &map[1], NULL);
    const int same = !r && map[0].size == map[1].size && (!map[0].size || !memcmp(map[0].data, map[1].data, map[0].size));
    lb_map_close(&map[0]);
    lb_map_close(&map[1]);
    fprintf(report, same ? "ok      %s\n" : "FAILED  %s: it is not what the journal gives (lowbit report %s makes it again)\n", path[0],
            folder);
    return !same;
}

int lb_report_again(const char *folder, FILE *report, size_t *bad, struct lb_err *err)
{
    static const char *const tables[] = {"table.csv", "table.md", "measured.csv"};
    struct lb_journal j;
    char made[4096];
    *bad = 0;
    if (lb_journal_open(folder, LB_JOURNAL_READ, &j, err))
        return -1;
    int r = make_temporary(made, sizeof made, err);
    if (!r) {
        r = lb_report_tables(made, &j, err);
        for (size_t i = 0; !r && i < sizeof tables / sizeof *tables; i++)
            *bad += compare_table(folder, made, tables[i], report);
        remove_temporary(made);
    }
    lb_journal_close(&j);
    return r;
}

static int compare_all(const struct lb_plan *p, const char *mine, const struct lb_again_options *o, const char *other,
                       struct lb_journal *was, FILE *report, size_t *bad, struct lb_err *err)
{
    struct lb_journal is;
    if (lb_journal_open(other, LB_JOURNAL_READ, &is, err))
        return -1;
    for (size_t i = 0; !o->sample && i < p->n_trainings; i++)
        *bad += compare_training(&p->trainings[i], was, &is, report);
    for (size_t i = 0; i < p->n_trials; i++)
        if (mine[i])
            *bad += compare_trial(p, i, was, &is, report);
    lb_journal_close(&is);
    return 0;
}

/* Whether the config is the one that the journal's last run had. */
static size_t compare_config(const struct lb_plan *p, struct lb_journal *was, const char *folder, FILE *report)
{
    char is[65];
    const char *had = text_of(lb_journal_find(was, "experiment", NULL), "config_sha256");
    if (!*had || lb_config_sha256(p->e, is, NULL) || !strcmp(had, is))
        return 0;
    fprintf(report, "FAILED  %s/config.json: it is not the config of the journal's last run\n", folder);
    return 1;
}

int lb_run_again(const struct lb_plan *p, const char *folder, const struct lb_again_options *o, FILE *report, size_t *bad,
                 struct lb_err *err)
{
    struct lb_journal was = {.fd = -1};
    struct lb_report counts;
    char other[4096], trained[4200];
    size_t chosen = 0, other_config = 0;
    *bad = 0;
    if (make_temporary(other, sizeof other, err))
        return -1;
    snprintf(trained, sizeof trained, "%s/trained", other);
    char *mine = NULL;
    int r = lb_journal_open(folder, LB_JOURNAL_READ, &was, err) || !(mine = choose(p, &was, o->sample, &chosen, err)) ||
                    lb_make_dirs(trained, err) || (o->sample && take_trainings(p, &was, folder, other, err))
                ? -1
                : 0;
    if (!r)
        other_config = compare_config(p, &was, folder, report);
    const struct lb_run_options run = {.folder = other, .jobs = o->jobs, .mine = mine};
    if (!r && chosen)
        r = lb_run(p, &run, &counts, err) || compare_all(p, mine, o, other, &was, report, bad, err) ? -1 : 0;
    if (!r)
        fprintf(report, "%s: %zu of %zu trials run again, %zu differ\n", folder, chosen, p->n_trials, *bad);
    *bad += other_config;
    lb_journal_close(&was); /* which is safe where it could not be opened */
    lb_free(mine);
    remove_temporary(other);
    return r;
}
