/* SPDX-License-Identifier: MIT */
/* cmd_list.c - `lowbit list`: the codecs, backends, named formats and ops that this lowbit has here. */
#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/nn/backend.h"
#include "core/plugins.h"
#include "core/run/config.h"

#include <string.h>

struct options {
    const char *what; /* NULL: everything */
    int csv;
};

struct listing {
    const char *name;
    const char *const *columns;
    size_t n_columns;
    int (*fill)(struct lb_table *t, struct lb_err *err);
};

/* ---- Codecs and backends ---------------------------------------------------------------------------------------------------------- */

static const char *status_of(const struct lb_entry *e)
{
    return e->missing ? "missing" : e->why ? "refused" : e->shadowed ? "shadowed" : "ok";
}

/* Why an entry is not there: the refusal, or the file that comes first. */
static const char *reason_of(const struct lb_entry *e)
{
    if (e->why || !e->shadowed)
        return e->why;
    const struct lb_entry *first = lb_plugins_find(e->plugin->kind, e->name, NULL);
    return first ? first->file : NULL;
}

/* A refused file may have held either kind, so that both lists name it. */
static int belongs(const struct lb_entry *e, uint32_t kind)
{
    return !e->plugin || e->plugin->kind == kind;
}

static const char *const codec_columns[] = {"name", "bits", "kind", "tag", "aliases", "status", "file", "reason", "help"};

static int fill_codecs(struct lb_table *t, struct lb_err *err)
{
    static const char *const kinds[] = {"", "float", "signed", "unsigned", "codebook"};
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (!belongs(e, LB_CODEC))
            continue;
        const struct lb_codec *c = (const struct lb_codec *)e->plugin;
        char bits[16] = "";
        if (c && c->bits)
            snprintf(bits, sizeof bits, "%u", c->bits);
        else if (c) /* a block codec's, with what its elements share */
            snprintf(bits, sizeof bits, "%.6g", 8.0 * c->unit_bytes / c->unit_elems);
        const char *const cells[] = {
            e->name, bits,         c ? kinds[c->kind] : NULL, c ? c->tag : NULL, c ? c->aliases : NULL, status_of(e),
            e->file, reason_of(e), c ? c->base.help : NULL};
        if (lb_table_add(t, cells, err))
            return -1;
    }
    return 0;
}

static const char *const backend_columns[] = {"name", "exact", "available", "status", "file", "reason", "help"};

static int fill_backends(struct lb_table *t, struct lb_err *err)
{
    const struct lb_backend_options options = lb_backend_globals();
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (!belongs(e, LB_BACKEND))
            continue;
        const struct lb_backend *b = (const struct lb_backend *)e->plugin;
        char why[256] = "";
        const int here = b && lb_backend_probe(b, &options, why, sizeof why);
        const char *const cells[] = {e->name, !b ? NULL : b->exact ? "declared" : "no", !b ? NULL : here ? "yes" : "no", status_of(e),
                                     e->file, b && !here ? why : reason_of(e),          b ? b->base.help : NULL};
        if (lb_table_add(t, cells, err))
            return -1;
    }
    return 0;
}

/* ---- Ops -------------------------------------------------------------------------------------------------------------------------- */

static const char *const op_columns[] = {"name", "backends"};

static int add_op(struct lb_table *t, size_t op, const char *name, struct lb_err *err)
{
    struct lb_text have = {0};
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        int has = 0;
        if (e->plugin && e->plugin->kind == LB_BACKEND && !e->shadowed)
            lb_backend_op((const struct lb_backend *)e->plugin, op, &has);
        if (has)
            lb_text_add(&have, "%s%s", have.n ? " " : "", e->name);
    }
    if (lb_text_end(&have, err))
        return -1;
    const char *const cells[] = {name, have.s};
    const int r = lb_table_add(t, cells, err);
    lb_text_free(&have);
    return r;
}

static int fill_ops(struct lb_table *t, struct lb_err *err)
{
    static const struct lb_backend none; /* the names alone */
    const char *name;
    int has, r = 0;
    for (size_t op = 0; !r && (name = lb_backend_op(&none, op, &has)) != NULL; op++)
        r = add_op(t, op, name, err);
    return r;
}

/* ---- Formats ---------------------------------------------------------------------------------------------------------------------- */

static const char *const format_columns[] = {"name", "codec", "scale", "fit", "file"};

static int fill_formats(struct lb_table *t, struct lb_err *err)
{
    static const char *const fits[] = {[LB_FIT_NONE] = "none", [LB_FIT_GPTQ] = "gptq", [LB_FIT_AWQ] = "awq", [LB_FIT_SMOOTH] = "smooth"};
    struct lb_format_config *f;
    size_t n;
    char *path = lb_config_formats_path(NULL);
    int r = lb_config_formats(NULL, &f, &n, err);
    for (size_t i = 0; !r && i < n; i++) {
        const char *const cells[] = {f[i].name, f[i].codec, f[i].scale_text, f[i].has_fit ? fits[f[i].fit.method] : "", path};
        r = lb_table_add(t, cells, err);
    }
    if (f)
        lb_config_formats_free(f, n);
    lb_free(path);
    return r;
}

/* ---- The command ------------------------------------------------------------------------------------------------------------------ */

#define COLUMNS(c) c, sizeof c / sizeof *c
static const struct listing listings[] = {{"codecs", COLUMNS(codec_columns), fill_codecs},
                                          {"backends", COLUMNS(backend_columns), fill_backends},
                                          {"formats", COLUMNS(format_columns), fill_formats},
                                          {"ops", COLUMNS(op_columns), fill_ops}};
#undef COLUMNS
enum { N_LISTINGS = sizeof listings / sizeof *listings };

static int print_listing(const struct listing *l, const struct options *o, struct lb_err *err)
{
    struct lb_table t = {.columns = l->columns, .n_columns = l->n_columns};
    const int r = l->fill(&t, err);
    if (!r && o->csv) {
        lb_table_print_csv(&t, stdout);
    } else if (!r) {
        if (!o->what)
            printf("%s%s\n\n", l == listings ? "" : "\n", l->name);
        lb_table_print(&t, stdout);
    }
    lb_table_finish(&t);
    return r;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    const char *names[N_LISTINGS];
    int known = 0;
    switch (key) {
    case 'c':
        o->csv = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (o->what)
            argp_error(state, "one list at a time, found \"%s\" and \"%s\"", o->what, arg);
        for (size_t i = 0; i < N_LISTINGS; i++) {
            names[i] = listings[i].name;
            known |= !strcmp(arg, names[i]);
        }
        if (!known) {
            const char *near = lb_nearest(arg, names, N_LISTINGS);
            argp_error(state, "expected codecs, backends, formats or ops, found \"%s\"%s%s%s", arg, near ? "; did you mean \"" : "",
                       near ? near : "", near ? "\"?" : "");
        }
        o->what = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->csv && !o->what)
            argp_error(state, "--csv wants one list: codecs, backends, formats or ops");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(int argc, char **argv)
{
    static const struct argp_option opts[] = {{"csv", 'c', NULL, 0, "Print CSV", 0}, {0}};
    static const struct argp argp = {opts,
                                     parse,
                                     "[codecs|backends|formats|ops]",
                                     "Lists the number formats, backends, named formats and ops that are here, and each plugin that was "
                                     "refused or is shadowed, with the reason.",
                                     NULL,
                                     NULL,
                                     NULL};
    struct options o = {0};
    struct lb_err err = {0};
    if (lb_cmd_parse("list", &argp, argc, argv, &o) || lb_cmd_plugins())
        return 2;
    int r = 0;
    for (size_t i = 0; i < N_LISTINGS && !r; i++)
        if (!o.what || !strcmp(o.what, listings[i].name))
            r = print_listing(&listings[i], &o, &err);
    lb_plugins_unload();
    return r ? lb_cmd_fail(&err) : 0;
}

const struct lb_command lb_cmd_list = {"list", "the codecs, backends, formats and ops that are here", run};
