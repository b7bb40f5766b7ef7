/* SPDX-License-Identifier: MIT */
#include "core/cmd/experiment.h"
#include "core/base/mem.h"
#include "core/plugins.h"

#include <string.h>

enum { KEY_SET = 0x3000, KEY_BACKEND };

static const struct argp_option options[] = {
    {"set", KEY_SET, "PATH=VALUE", 0, "Change one option of the config: --set train.epochs=2 (repeatable); null takes it out", 1},
    {"backend", KEY_BACKEND, "B", 0, "Run on this backend only: --set backends=[\"B\"]", 1},
    {0}};

static int add_set(struct lb_experiment_args *a, const char *text)
{
    const char **more = lb_alloc(a->n_sets + 1, sizeof *more, NULL);
    if (!more)
        return -1;
    if (a->n_sets)
        memcpy(more, a->sets, a->n_sets * sizeof *more);
    more[a->n_sets++] = text;
    lb_free(a->sets);
    a->sets = more;
    return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct lb_experiment_args *a = state->input;
    struct lb_text t = {0};
    switch (key) {
    case KEY_SET:
        return add_set(a, arg) ? ENOMEM : 0;
    case KEY_BACKEND:
        if (a->backend_set)
            argp_error(state, "one --backend; several are --set 'backends=[\"A\",\"B\"]'");
        lb_text_add(&t, "backends=[\"%s\"]", arg);
        if (lb_text_end(&t, NULL))
            return ENOMEM;
        a->backend_set = t.s;
        return add_set(a, t.s) ? ENOMEM : 0;
    case ARGP_KEY_ARG:
        if (a->config)
            argp_error(state, "one CONFIG, found \"%s\" and \"%s\"", a->config, arg);
        a->config = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->config)
            argp_error(state, "CONFIG is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp_child lb_experiment_argp[] = {{&argp, 0, NULL, 1}, {0}};

struct lb_backend_options lb_backend_globals(void)
{
    return (struct lb_backend_options){.device = lb_globals.device,
                                       .cpumask = lb_globals.cpumask,
                                       .threads = (unsigned)lb_globals.threads,
                                       .plugins = lb_globals.plugins,
                                       .guard = lb_globals.guard};
}

int lb_experiment_open(const struct lb_experiment_args *a, struct lb_experiment **e, struct lb_plan **p, struct lb_err *err)
{
    const struct lb_backend_options o = lb_backend_globals();
    if (lb_config_load(a->config, a->sets, a->n_sets, e, err) || lb_plugins_load(lb_globals.plugins, err))
        return -1;
    return lb_plan_create(*e, &o, p, err);
}

int lb_experiment_close(struct lb_experiment_args *a, struct lb_experiment *e, struct lb_plan *p, const struct lb_err *err)
{
    const int status = err && err->set ? lb_cmd_fail(err) : 0;
    lb_plan_destroy(p);
    lb_config_destroy(e);
    lb_plugins_unload();
    lb_free(a->sets);
    lb_free(a->backend_set);
    return status;
}
