/* SPDX-License-Identifier: MIT */
/* cmd_measure.c - `lowbit measure`: the fresh process in which a trial measures memory. Not in `lowbit --help`: nobody but lowbit calls it. */
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/run/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEY_MODEL = 0x2000, KEY_FORMAT, KEY_MODE, KEY_INPUT, KEY_FILE };

struct args {
    struct lb_experiment_args x;
    struct lb_measure m;
    size_t model, format;
    int mode; /* enum lb_mode */
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    struct lb_measure *m = &a->m;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &a->x;
        return 0;
    case KEY_MODEL:
        a->model = strtoul(arg, NULL, 10);
        return 0;
    case KEY_FORMAT:
        a->format = strtoul(arg, NULL, 10);
        return 0;
    case KEY_MODE:
        a->mode = lb_mode_find(arg);
        return 0;
    case KEY_FILE:
        m->file = arg;
        return 0;
    case KEY_INPUT:
        if (sscanf(arg, "%zu,%zu,%zu,%zu,%zu", &m->channels, &m->height, &m->width, &m->classes, &m->batch) != 5)
            argp_error(state, "--input: expected channels,height,width,classes,batch, found \"%s\"", arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"model", KEY_MODEL, "I", 0, "Index of the model in the config", 0},
                                                 {"format", KEY_FORMAT, "I", 0, "Index of the format", 0},
                                                 {"mode", KEY_MODE, "MODE", 0, "w, wa, w8a8, w4a8, integer", 0},
                                                 {"input", KEY_INPUT, "C,H,W,CLASSES,BATCH", 0, "Shapes", 0},
                                                 {"file", KEY_FILE, "FILE", 0, "The weights", 0},
                                                 {0}};
    const struct argp argp = {
        options, parse, "CONFIG", "Measures the memory of one inference; started by `lowbit run`.", lb_experiment_argp, NULL, NULL};
    struct args a = {.m = {.batch = 1}};
    struct lb_err err = {0};
    struct lb_experiment *e = NULL;
    json_t *reply = json_object();
    lb_cmd_parse("measure", &argp, argc, argv, &a);
    FILE *out = fdopen(dup(1), "w"); /* what plugins print is no part of the answer */
    dup2(2, 1);
    int r = lb_config_load(a.x.config, a.x.sets, a.x.n_sets, &e, &err) || lb_plugins_load(lb_globals.plugins, &err) ? -1 : 0;
    if (!r && (a.model >= e->n_models || a.format >= e->n_formats || a.mode < 0 || e->n_backends != 1))
        r = lb_fail(&err, "measure: wants an existing --model, --format and --mode, and one --backend");
    if (!r) {
        a.m.model = &e->models[a.model];
        a.m.backend = &e->backends[0];
        a.m.activations = a.mode == LB_MODE_WA ? lb_plan_activations(e, a.format) : NULL;
        a.m.integer = a.mode == LB_MODE_W8A8 || a.mode == LB_MODE_W4A8;
        a.m.sums = e->quantize_sums;
        a.m.integer_block = (size_t)e->integer_block;
        a.m.options = lb_backend_globals();
        r = lb_measure(&a.m, reply, &err);
    }
    if (!r && (!out || json_dumpf(reply, out, JSON_COMPACT) || fflush(out)))
        lb_fail(&err, "standard output cannot be written");
    json_decref(reply);
    if (out)
        fclose(out);
    return lb_experiment_close(&a.x, e, NULL, &err);
}

const struct lb_command lb_cmd_measure = {"measure", NULL, run};
