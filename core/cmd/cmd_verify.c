/* SPDX-License-Identifier: MIT */
/* cmd_verify.c - `lowbit verify PLUGIN.so`: every law of its codecs, every op of its backends; `lowbit verify DIR`: results again. */
#include "core/base/child.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/format/laws.h"
#include "core/nn/ops_verify.h"
#include "core/plugins.h"
#include "core/run/again.h"
#include "core/run/rehash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_PARAMS = 16, VERIFY_SECONDS = 900, SAMPLE = 3, KEY_ALL = 0x2000, KEY_SAMPLE, KEY_JOBS };

struct options {
    const char *path;
    struct lb_param params[MAX_PARAMS]; /* --set, for the codecs that take parameters */
    size_t n_params;
    int all; /* of a results folder: every trial again, and every training */
    size_t sample, jobs;
};

static int verify_backend(const struct lb_backend *b, FILE *report, struct lb_err *err)
{
    const struct lb_backend_options o = lb_backend_globals();
    return lb_backend_verify(b, &o, report, err);
}

/* Trials of a results folder, run again. 1 where some gave other bits. */
static int verify_trials(const struct options *o, size_t *bad, struct lb_err *err)
{
    char config[4200];
    const struct lb_backend_options b = lb_backend_globals();
    const struct lb_again_options again = {o->all ? 0 : o->sample, o->jobs};
    struct lb_experiment *e = NULL;
    struct lb_plan *p = NULL;
    snprintf(config, sizeof config, "%.4096s/config.json", o->path);
    if (!lb_exists(config))
        return lb_fail(err, "%s: not here, so its trials cannot be run again (--sample 0 leaves them)", config);
    int r = lb_config_load(config, NULL, 0, &e, err) || lb_plugins_load(lb_globals.plugins, err) || lb_plan_create(e, &b, &p, err) ? -1 : 0;
    if (!r && p->data_missing)
        r = lb_fail(err, "%s", p->data_why);
    r = r || lb_run_again(p, o->path, &again, stdout, bad, err) ? -1 : 0;
    lb_plan_destroy(p);
    lb_config_destroy(e);
    lb_plugins_unload();
    return r;
}

/* The artifacts and tables of a results folder, and some of its trials. The exit status. */
static int verify_results(const struct options *o)
{
    struct lb_err err = {0};
    size_t bad = 0, tables = 0, other = 0;
    if (lb_rehash(o->path, stdout, &bad, &err) || lb_report_again(o->path, stdout, &tables, &err) ||
        ((o->all || o->sample) && verify_trials(o, &other, &err)))
        return lb_cmd_fail(&err);
    return bad || tables || other ? 1 : 0;
}

/* A whole number for an option; argp_error leaves with status 2. */
static size_t number(struct argp_state *state, const char *option, const char *arg, size_t low, size_t high)
{
    char *end;
    const long v = strtol(arg, &end, 10);
    if (end == arg || *end || v < (long)low || v > (long)high)
        argp_error(state, "--%s: expected a whole number from %zu to %zu, found \"%s\"", option, low, high, arg);
    return (size_t)v;
}

/* "n=8" is a number, "encoder=b" a text; the text is cut at its '='. */
static void add_param(struct argp_state *state, struct options *o, char *arg)
{
    char *equals = strchr(arg, '='), *end;
    if (!equals || equals == arg || o->n_params == MAX_PARAMS)
        argp_error(state, "--set: expected NAME=VALUE, at most %d times, found \"%s\"", MAX_PARAMS, arg);
    *equals = 0;
    struct lb_param *p = &o->params[o->n_params++];
    p->name = arg;
    p->number = strtod(equals + 1, &end);
    p->text = end == equals + 1 || *end ? equals + 1 : NULL;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 's':
        add_param(state, o, arg);
        return 0;
    case KEY_ALL:
        o->all = 1;
        return 0;
    case KEY_SAMPLE:
        o->sample = number(state, "sample", arg, 0, 1000000);
        return 0;
    case KEY_JOBS:
        o->jobs = number(state, "jobs", arg, 1, LB_CHILDREN);
        return 0;
    case ARGP_KEY_ARG:
        if (o->path)
            argp_error(state, "one plugin or folder at a time, found \"%s\" and \"%s\"", o->path, arg);
        o->path = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a plugin (.so) or a folder of results");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int verify_codec(const struct lb_entry *e, const struct options *o, struct lb_err *err)
{
    const struct lb_codec *c = (const struct lb_codec *)e->plugin;
    struct lb_codec *ready;
    if (lb_plugins_codec(e->name, c->init ? o->params : NULL, c->init ? o->n_params : 0, &ready, NULL, err))
        return -1;
    const int r = lb_codec_laws(ready, stdout, err);
    lb_plugins_codec_free(ready);
    return r;
}

/* One plugin, in a process of its own: what crashes or hangs there is a finding. */
struct task {
    const struct lb_entry *entry;
    const struct options *options;
};

static int verify_in_child(void *arg, json_t *reply, struct lb_err *err)
{
    const struct task *t = arg;
    (void)reply;
    return t->entry->plugin->kind == LB_CODEC ? verify_codec(t->entry, t->options, err)
                                              : verify_backend((const struct lb_backend *)t->entry->plugin, stdout, err);
}

static int verify_one(const struct lb_entry *e, const struct options *o)
{
    struct task t = {e, o};
    struct lb_outcome out;
    lb_log(LB_LOG_INFO, "%s: looking at %s, %d s at most", o->path, e->name, VERIFY_SECONDS);
    lb_child_run(verify_in_child, &t, &(struct lb_child_limits){.seconds = VERIFY_SECONDS, .prints = 1}, &out);
    json_decref(out.reply);
    if (out.status == LB_OK)
        return 0;
    if (out.status == LB_CRASHED || out.status == LB_TIMEOUT || out.status == LB_OOM)
        printf("FAILED  %s: %s: %s\n", e->name, lb_status_name(out.status), out.why);
    lb_log(LB_LOG_ERROR, "%s: %s", o->path, out.why);
    return 1;
}

/* Goes on after a failure, so that one run shows them all. The exit status. */
static int verify_plugins(const struct options *o)
{
    struct lb_err err = {0};
    int failed = 0, loaded = 0;
    if (lb_plugins_load_file(o->path, &err))
        return lb_cmd_fail(&err);
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (!e->plugin || e->shadowed || strcmp(e->file, o->path) != 0)
            continue;
        /* A backend is compared with another, which lies in the folders. */
        if (e->plugin->kind == LB_BACKEND && !loaded++ && lb_cmd_plugins())
            return 2;
        failed |= verify_one(e, o);
    }
    return failed;
}

static int run(int argc, char **argv)
{
    static const struct argp_option opts[] = {
        {"set", 's', "NAME=VALUE", 0, "PLUGIN.so: a parameter of the codecs, as a config would give it", 0},
        {"sample", KEY_SAMPLE, "N", 0, "DIR: run N trials again, with the trained weights that are there (default 3)", 0},
        {"all", KEY_ALL, NULL, 0, "DIR: train again, and run all trials again", 0},
        {"jobs", KEY_JOBS, "N", 0, "DIR: trials side by side (default 1)", 0},
        {0}};
    static const struct argp argp = {
        opts,
        parse,
        "PLUGIN.so|DIR",
        "Checks every law of a plugin's codecs and every op of its backends. Of a results folder: that its weights and tables are still "
        "those that its journal tells of, and that trials that are run again give the same bits. Exit status 1 where something failed.",
        NULL,
        NULL,
        NULL};
    struct options o = {.sample = SAMPLE, .jobs = 1};
    struct stat st;
    if (lb_cmd_parse("verify", &argp, argc, argv, &o))
        return 2;
    if (stat(o.path, &st) == 0 && S_ISDIR(st.st_mode))
        return verify_results(&o);
    const int status = verify_plugins(&o);
    lb_plugins_unload();
    return status;
}

const struct lb_command lb_cmd_verify = {
    "verify", "check a plugin: PLUGIN.so; or a results folder, its files and some of its trials: DIR [--all]", run};
