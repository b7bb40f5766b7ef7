/* SPDX-License-Identifier: MIT */
#include "core/cmd/cmd.h"
#include "core/base/mem.h"
#include "core/run/config.h"

#include <stdio.h>

enum { KEY_SET = 0x100, KEY_OPTIONS, KEY_SCHEMA };

struct check_args {
    const char *config, **sets; /* sets: room for argc texts */
    size_t n_sets;
    int options, schema;
};

static const struct argp_option check_options[] = {{"set", KEY_SET, "PATH=VALUE", 0, "Change the config first: train.epochs=2", 0},
                                                   {"options", KEY_OPTIONS, NULL, 0, "List everything that a config may hold", 0},
                                                   {"schema", KEY_SCHEMA, NULL, 0, "Print the JSON Schema of a config", 0},
                                                   {0}};

static error_t parse_check(int key, char *arg, struct argp_state *state)
{
    struct check_args *a = state->input;
    switch (key) {
    case KEY_SET:
        a->sets[a->n_sets++] = arg;
        return 0;
    case KEY_OPTIONS:
        a->options = 1;
        return 0;
    case KEY_SCHEMA:
        a->schema = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (a->config)
            argp_error(state, "one CONFIG, please");
        a->config = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->config + !a->options + !a->schema != 2)
            argp_error(state, "CONFIG, --options or --schema is needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static int check_config(const struct check_args *a)
{
    struct lb_err err = {0};
    struct lb_experiment *e;
    if (lb_config_load(a->config, a->sets, a->n_sets, &e, &err))
        return lb_cmd_fail(&err);
    size_t trials = e->n_models * e->n_seeds * e->n_formats * e->n_modes * e->n_backends;
    printf("%s: ok: %zu model%s, %zu format%s, %zu seed%s, %zu trial%s\n", a->config, e->n_models, plural(e->n_models), e->n_formats,
           plural(e->n_formats), e->n_seeds, plural(e->n_seeds), trials, plural(trials));
    lb_config_destroy(e);
    return 0;
}

static int run_check(int argc, char **argv)
{
    static const struct argp argp = {
        check_options, parse_check, "CONFIG\n--options\n--schema", "Validates a config; errors read file:line:column: message.", NULL,
        NULL,          NULL};
    struct lb_err err = {0};
    struct check_args a = {.sets = lb_alloc((size_t)argc, sizeof *a.sets, &err)};
    int status = 2;
    if (!a.sets)
        return lb_cmd_fail(&err);
    if (lb_cmd_parse("check", &argp, argc, argv, &a))
        goto out;
    status = 0;
    if (a.options)
        lb_config_print_help(stdout);
    else if (a.schema)
        status = lb_config_print_schema(stdout) ? lb_cmd_fail(&err) : 0;
    else
        status = check_config(&a);
out:
    lb_free(a.sets);
    return status;
}

const struct lb_command lb_cmd_check = {"check", "validate a config, list its options, print its schema", run_check};
