/* SPDX-License-Identifier: MIT */
#include "core/run/merge.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/folder.h"
#include "core/run/shard.h"
#include "core/run/trial.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct source {
    char *folder;
    struct lb_journal journal;
    json_t *experiment; /* borrowed */
};

struct merge {
    struct source *source;
    size_t n;
};

/* ---- The folders ---- */

static int add_source(struct merge *m, const char *folder, struct lb_err *err)
{
    struct source *more = lb_alloc(m->n + 1, sizeof *more, err);
    if (!more)
        return -1;
    if (m->n)
        memcpy(more, m->source, m->n * sizeof *more);
    lb_free(m->source);
    m->source = more;
    m->source[m->n] = (struct source){.folder = lb_strdup(folder, err), .journal = {.fd = -1}};
    return m->source[m->n++].folder ? 0 : -1;
}

static int is_shard(const struct dirent *e)
{
    return lb_shard_is_folder(e->d_name);
}

/* A folder, or the shards in it, in the order of their numbers. */
static int add_folder(struct merge *m, const char *folder, struct lb_err *err)
{
    struct dirent **shards;
    const int n = scandir(folder, &shards, is_shard, versionsort);
    int r = n < 0 ? lb_fail(err, "%s: %s", folder, strerror(errno)) : 0;
    for (int i = 0; i < n; i++) {
        char path[4096];
        const int length = snprintf(path, sizeof path, "%s/%s", folder, shards[i]->d_name);
        r = r || (length >= (int)sizeof path ? lb_fail(err, "%.200s...: the path is too long", folder) : add_source(m, path, err));
        free(shards[i]);
    }
    if (n >= 0)
        free(shards);
    return n == 0 ? add_source(m, folder, err) : r;
}

static int open_source(struct source *s, struct lb_err *err)
{
    if (lb_journal_open(s->folder, LB_JOURNAL_READ, &s->journal, err))
        return -1;
    s->experiment = lb_journal_find(&s->journal, "experiment", NULL);
    return s->experiment ? 0 : lb_fail(err, "%s: holds no experiment", s->journal.path);
}

/* ---- Do they belong together? ---- */

/* The path of the first value in which two JSON values differ, appended to `path`. 1 where they do. */
static int differ(const json_t *a, const json_t *b, struct lb_text *path)
{
    const size_t at = path->n;
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_object(a) && json_is_object(b)) {
        json_object_foreach((json_t *)(uintptr_t)a, key, value)
        {
            lb_text_add(path, "%s%s", at ? "." : "", key);
            if (differ(value, json_object_get(b, key), path))
                return 1;
            path->n = at;
        }
        json_object_foreach((json_t *)(uintptr_t)b, key, value) if (!json_object_get(a, key))
        {
            lb_text_add(path, "%s%s", at ? "." : "", key);
            return 1;
        }
        return 0;
    }
    if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        json_array_foreach(a, i, value)
        {
            lb_text_add(path, "[%zu]", i);
            if (differ(value, json_array_get(b, i), path))
                return 1;
            path->n = at;
        }
        return 0;
    }
    return !a || !b || !json_equal(a, b);
}

/* Where the configs of two folders differ, in words; "" where it cannot be said. */
static void config_difference(const struct source *a, const struct source *b, char *out, size_t size)
{
    char path[4200];
    json_t *config[2];
    const struct source *of[] = {a, b};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/config.json", of[i]->folder);
        config[i] = json_load_file(path, 0, NULL);
        json_object_del(config[i], "limits");
    }
    struct lb_text t = {0};
    const int found = config[0] && config[1] && differ(config[0], config[1], &t);
    snprintf(out, size, "%s%s", found && t.s ? ", first at " : "", found && t.s ? t.s : "");
    lb_text_free(&t);
    json_decref(config[0]);
    json_decref(config[1]);
}

/* What two shards of one experiment have in common. */
static int compare(const struct source *a, const struct source *b, struct lb_err *err)
{
    static const struct {
        const char *key, *name;
    } same[] = {{"arithmetic", "version of the arithmetic"},
                {"data_sha256", "data"},
                {"config_sha256", "config"},
                {"formats", "formats"},
                {"trials", "trials"}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const json_t *x = json_object_get(a->experiment, same[i].key), *y = json_object_get(b->experiment, same[i].key);
        char where[600] = "";
        struct lb_text path = {0};
        if (x && y && json_equal(x, y))
            continue;
        if (!strcmp(same[i].key, "config_sha256"))
            config_difference(a, b, where, sizeof where);
        else if (json_is_string(x) && json_is_string(y))
            snprintf(where, sizeof where, ": %.100s and %.100s", json_string_value(x), json_string_value(y));
        else if (differ(x, y, &path) && path.s)
            snprintf(where, sizeof where, ", first at %.300s", path.s);
        lb_text_free(&path);
        return lb_fail(err, "%s and %s are not of one experiment: their %s differ%s%s", a->folder, b->folder, same[i].name,
                       same[i].name[strlen(same[i].name) - 1] == 's' || !strcmp(same[i].name, "data") ? "" : "s", where);
    }
    return 0;
}

/* The whole takes neither the place of a share nor that of another experiment's results. */
static int check_out(const struct merge *m, const char *out, struct lb_err *err)
{
    struct lb_journal j = {.fd = -1};
    struct lb_err none = {0};
    char here[4200];
    struct stat a, b;
    for (size_t i = 0; i < m->n; i++)
        if (json_object_get(m->source[i].experiment, "shard") && stat(out, &a) == 0 && stat(m->source[i].folder, &b) == 0 &&
            a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return lb_fail(err, "-o %s: that is one of the shares; expected a folder for the whole", out);
    snprintf(here, sizeof here, "%.4096s/trials.jsonl", out);
    if (!lb_exists(here))
        return 0;
    if (lb_journal_open(out, LB_JOURNAL_READ, &j, &none)) /* what is wrong with it is said when it is written to */
        return 0;
    const json_t *old = lb_journal_find(&j, "experiment", NULL);
    const char *was = json_string_value(json_object_get(old, "config_sha256")),
               *is = json_string_value(json_object_get(m->source[0].experiment, "config_sha256"));
    const int other = was && is && strcmp(was, is) != 0;
    lb_journal_close(&j);
    return other ? lb_fail(err, "-o %s: holds the results of another experiment; expected a new folder, or one of the same config", out)
                 : 0;
}

/* ---- Lines ---- */

/* The last line of a trial or training among the sources: one that is ok rather than another. */
static json_t *best_line(struct merge *m, const char *kind, const char *hash, const struct source **from)
{
    json_t *best = NULL;
    for (size_t i = 0; i < m->n; i++) {
        json_t *line = lb_journal_find(&m->source[i].journal, kind, hash);
        const char *status = json_string_value(json_object_get(line, "status"));
        if (line && (!best || (status && !strcmp(status, "ok")))) {
            best = line;
            *from = &m->source[i];
            if (!status || !strcmp(status, "ok"))
                break;
        }
    }
    return best;
}

/* A hard link where that can be, else a copy. What is there already was put there by an earlier merge, or is the same file. */
static int take_file(char *from, char *to, struct lb_err *err)
{
    struct stat st;
    int r = !from || !to ? -1 : 0;
    const int there = !r && lstat(from, &st) == 0;
    if (there && !S_ISREG(st.st_mode)) /* a link would lead whoever reads the whole to another place */
        r = lb_fail(err, "%s: not a regular file", from);
    if (!r && there && !lb_exists(to) && link(from, to)) {
        struct lb_map map;
        r = lb_map_open(from, &map, err);
        if (!r) {
            r = lb_write_file(to, map.data, map.size, err);
            lb_map_close(&map);
        }
    }
    lb_free(from);
    lb_free(to);
    return r;
}

static int take_line(struct lb_journal *to, json_t *line, struct lb_err *err)
{
    json_t *copy = json_copy(line);
    json_object_del(copy, "shard");
    return lb_journal_append(to, copy, err);
}

/* Whether the folder has such a line already: merged before. */
static int has_line(struct lb_journal *j, const char *kind, const char *hash, const json_t *line)
{
    const json_t *have = lb_journal_find(j, kind, hash);
    return have && json_equal(have, line);
}

static int take_trainings(struct merge *m, struct lb_journal *to, const char *out, struct lb_err *err)
{
    for (size_t s = 0; s < m->n; s++)
        for (size_t i = 0; i < m->source[s].journal.n; i++) {
            json_t *line = lb_journal_line(&m->source[s].journal, i);
            const char *kind = json_string_value(json_object_get(line, "kind")),
                       *hash = json_string_value(json_object_get(line, "training"));
            if (!kind || strcmp(kind, "train") || !hash || lb_journal_find(to, "train", hash))
                continue;
            if (take_file(lb_trained_path(m->source[s].folder, hash, err), lb_trained_path(out, hash, err), err) ||
                take_line(to, line, err))
                return -1;
        }
    return 0;
}

static int take_trials(struct merge *m, struct lb_journal *to, const char *out, struct lb_err *err)
{
    const json_t *planned;
    size_t i, missing = 0;
    json_array_foreach(json_object_get(m->source[0].experiment, "trials"), i, planned)
    {
        const char *hash = json_string_value(json_object_get(planned, "trial"));
        const struct source *from = NULL;
        json_t *line = hash ? best_line(m, "trial", hash, &from) : NULL;
        missing += !line;
        if (!line || has_line(to, "trial", hash, line))
            continue;
        if (take_file(lb_formatted_path(from->folder, hash, err), lb_formatted_path(out, hash, err), err) || take_line(to, line, err))
            return -1;
    }
    if (missing)
        lb_log(LB_LOG_WARN, "%zu of %zu trials are in none of these folders", missing, i);
    return 0;
}

/* Which shards have not all of their trials, or are not there at all. */
static void tell_missing(struct merge *m)
{
    const json_t *trials = json_object_get(m->source[0].experiment, "trials");
    const size_t shards = (size_t)json_integer_value(json_object_get(json_object_get(m->source[0].experiment, "shard"), "count"));
    for (size_t s = 1; s <= shards; s++) {
        const struct lb_shard shard = {s, shards};
        char *mine = lb_shard_trials(&shard, json_array_size(trials), NULL);
        size_t own = 0, have = 0;
        const struct source *from;
        for (size_t i = 0; mine && i < json_array_size(trials); i++)
            if (mine[i]) {
                const char *hash = json_string_value(json_object_get(json_array_get(trials, i), "trial"));
                own++;
                have += hash && best_line(m, "trial", hash, &from);
            }
        if (mine && have < own)
            lb_log(LB_LOG_WARN, "share %zu of %zu: %zu of its %zu trials are missing", s, shards, own - have, own);
        lb_free(mine);
    }
}

/* config.json and formats.json: those of the first, where it has them. */
static int take_config(const struct merge *m, const char *out, struct lb_err *err)
{
    static const char *const files[] = {"config.json", "formats.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct lb_text from = {0}, to = {0};
        lb_text_add(&from, "%s/%s", m->source[0].folder, files[i]);
        lb_text_add(&to, "%s/%s", out, files[i]);
        if (lb_text_end(&from, err) || lb_text_end(&to, err))
            return -1;
        unlink(to.s); /* never write through a link to a shard's own */
        if (take_file(from.s, to.s, err))
            return -1;
    }
    return 0;
}

static int write_out(struct merge *m, const char *out, struct lb_report *counts, struct lb_err *err)
{
    struct lb_journal to = {.fd = -1};
    int r = lb_folder_open(out, LB_JOURNAL_WRITE, &to, err);
    to.lazy = 1;
    r = r || take_trainings(m, &to, out, err) || take_trials(m, &to, out, err) || take_line(&to, m->source[0].experiment, err) ||
                lb_journal_sync(&to, err) || take_config(m, out, err) || lb_report_write(out, &to, counts, err)
            ? -1
            : 0;
    lb_folder_close(out, &to);
    return r;
}

int lb_merge(const char *const *folders, size_t n, const char *out, struct lb_report *counts, struct lb_err *err)
{
    struct merge m = {0};
    int r = 0;
    for (size_t i = 0; !r && i < n; i++)
        r = add_folder(&m, folders[i], err);
    for (size_t i = 0; !r && i < m.n; i++)
        r = open_source(&m.source[i], err) || (i && compare(&m.source[0], &m.source[i], err)) ? -1 : 0;
    if (!r)
        r = check_out(&m, out, err) || write_out(&m, out, counts, err) ? -1 : 0;
    if (!r && counts->done < counts->trials)
        tell_missing(&m);
    for (size_t i = 0; i < m.n; i++) {
        lb_journal_close(&m.source[i].journal);
        lb_free(m.source[i].folder);
    }
    lb_free(m.source);
    return r;
}
