/* SPDX-License-Identifier: MIT */
/* cmd_op.c - `lowbit op`: one op on tensors from a file. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/cmd/op.h"
#include "core/plugins.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_IN = 0x2000, KEY_OUT, KEY_BACKEND, KEY_SET, MAX_OPS = 32, MAX_SETS = 32 };

struct args {
    const char *name, *in, *out, *backend;
    const char *sets[MAX_SETS];
    size_t n_sets;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case KEY_IN:
        a->in = arg;
        return 0;
    case KEY_OUT:
        a->out = arg;
        return 0;
    case KEY_BACKEND:
        a->backend = arg;
        return 0;
    case KEY_SET:
        if (a->n_sets == MAX_SETS)
            argp_error(state, "--set: more than %d", MAX_SETS);
        a->sets[a->n_sets++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (a->name)
            argp_error(state, "one op, found \"%s\" and \"%s\"", a->name, arg);
        a->name = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->name || !a->out)
            argp_error(state, "NAME and --out are needed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- Help: the table -------------------------------------------------------------------------------------------------------------- */

static void add_op(struct lb_text *t, const struct lb_op *op)
{
    lb_text_add(t, "\n  %s: %s\n      ", op->name, op->help);
    for (size_t i = 0; i < LB_OP_INPUTS && op->inputs[i].name; i++)
        lb_text_add(t, op->inputs[i].optional ? "%s[%s]" : "%s%s", i ? ", " : "", op->inputs[i].name);
    lb_text_add(t, "%s-> %s\n", op->inputs[0].name ? " " : "", op->outputs);
    for (size_t i = 0; i < LB_OP_SETTINGS && op->settings[i].name; i++) {
        const struct lb_op_setting *s = &op->settings[i];
        lb_text_add(t, "      %s=%s: %s\n", s->name, s->value ? s->value : "...", s->help);
    }
}

/* argp frees what it is given back. */
static char *filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    struct lb_text t = {0};
    const struct lb_op *op;
    lb_text_add(&t, "Ops, with their tensors and settings (name=default; ... must be given):\n");
    for (size_t i = 0; (op = lb_op_at(i)); i++)
        add_op(&t, op);
    char *copy = lb_text_end(&t, NULL) ? NULL : strdup(t.s);
    lb_text_free(&t);
    return copy;
}

/* ---- The op ----------------------------------------------------------------------------------------------------------------------- */

static int find_op(const char *name, const struct lb_op **op, struct lb_err *err)
{
    const char *names[MAX_OPS];
    size_t n = 0;
    for (; (*op = lb_op_at(n)) && n < MAX_OPS; n++) {
        names[n] = (*op)->name;
        if (!strcmp(name, (*op)->name))
            return 0;
    }
    const char *near = lb_nearest(name, names, n);
    return lb_fail(err, near ? "\"%s\" is no op; did you mean \"%s\"?" : "\"%s\" is no op; see lowbit op --help", name, near);
}

static int open_backend(struct lb_op_call *c, const char *name, struct lb_err *err)
{
    const struct lb_backend_options o = lb_backend_globals();
    const struct lb_entry *e = lb_plugins_find(LB_BACKEND, name, err);
    return e ? lb_backend_open((const struct lb_backend *)e->plugin, &o, &c->dev, err) : -1;
}

static int run_op(const struct args *a, struct lb_op_call *c, struct lb_err *err)
{
    if (find_op(a->name, &c->op, err))
        return -1;
    for (size_t i = 0; i < a->n_sets; i++)
        if (lb_op_set(c, a->sets[i], err))
            return -1;
    if (!a->in && c->op->inputs[0].name)
        return lb_fail(err, "op %s: --in is needed", a->name);
    if ((a->in && lb_safetensors_open(a->in, &c->in, err)) || lb_op_check(c, a->in, err) ||
        (c->op->on_backend && open_backend(c, a->backend ? a->backend : "cpu_ref", err)))
        return -1;
    if (c->op->run(c, err))
        return lb_fail_in(err, "op %s", a->name);
    return lb_safetensors_write(&c->out, a->out, err);
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"in", KEY_IN, "X.safetensors", 0, "The tensors that the op takes, by its names for them", 0},
        {"out", KEY_OUT, "Y.safetensors", 0, "Where its outputs go", 0},
        {"backend", KEY_BACKEND, "B", 0, "What computes (default: cpu_ref)", 0},
        {"set", KEY_SET, "K=V", 0, "A setting of the op (repeatable)", 0},
        {0}};
    static const struct argp argp = {
        options, parse, "NAME", "Runs one op on tensors from a file. Numbers are F32; inputs may be F16 or BF16.\v ", NULL, filter, NULL};
    struct args a = {0};
    struct lb_err err = {0};
    struct lb_op_call c = {.op = NULL};
    lb_cmd_parse("op", &argp, argc, argv, &a);
    if (lb_cmd_plugins())
        return 2;
    const int r = run_op(&a, &c, &err);
    lb_safetensors_finish(&c.out);
    lb_safetensors_finish(&c.in);
    lb_backend_close(c.dev);
    lb_plugins_unload();
    return r ? lb_cmd_fail(&err) : 0;
}

const struct lb_command lb_cmd_op = {"op", "one op on tensors from a file: NAME --in X.safetensors --out Y.safetensors", run};
