/* SPDX-License-Identifier: MIT */
/* cmd_bench.c - `lowbit bench`: how fast, beside what the machine can do at most. */
#include "core/base/table.h"
#include "core/cmd/cmd.h"
#include "core/cmd/experiment.h"
#include "core/plugins.h"
#include "core/run/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_M = 0x2000, KEY_N, KEY_K, KEY_FORMAT, KEY_BACKEND, KEY_MODEL, KEY_BATCH, KEY_SECONDS, KEY_NO_PEERS, KEY_NUMERICS, KEY_CSV };

struct args {
    struct lb_bench_options o;
    const char *backends[LB_BENCH_BACKENDS];
    int csv, numerics; /* enum lb_numerics */
};

static size_t size(struct argp_state *state, const char *option, const char *arg)
{
    char *end;
    const long v = strtol(arg, &end, 10);
    if (end == arg || *end || v < 1 || v > 1 << 20)
        argp_error(state, "--%s: expected a whole number from 1 to %d, found \"%s\"", option, 1 << 20, arg);
    return (size_t)v;
}

static double seconds(struct argp_state *state, const char *arg)
{
    char *end;
    const double v = strtod(arg, &end);
    if (end == arg || *end || !(v >= 0 && v <= 3600))
        argp_error(state, "--seconds: expected a number from 0 to 3600, found \"%s\"", arg);
    return v;
}

static void take_op(struct argp_state *state, struct args *a, const char *arg)
{
    size_t n = 0;
    while (lb_bench_ops[n] && strcmp(lb_bench_ops[n], arg) != 0)
        n++;
    if (a->o.op)
        argp_error(state, "one op at a time, found \"%s\" and \"%s\"", a->o.op, arg);
    if (!lb_bench_ops[n]) {
        const char *near = lb_nearest(arg, lb_bench_ops, n);
        argp_error(state, "expected gemm, gemv, gemm_packed, gemm_int8, gemm_u8s8, conv, train, forward or codec, found \"%s\"%s%s%s", arg,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    a->o.op = arg;
}

/* One name, or several with commas between. */
static void take_backends(struct argp_state *state, struct args *a, char *arg)
{
    for (char *rest = arg, *name; (name = strsep(&rest, ","));) {
        if (!*name)
            argp_error(state, "--backend: a name is missing");
        if (a->o.n_backends == LB_BENCH_BACKENDS)
            argp_error(state, "--backend: more than %d", LB_BENCH_BACKENDS);
        a->backends[a->o.n_backends++] = name;
    }
    a->o.backends = a->backends;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case KEY_M:
        a->o.m = size(state, "m", arg);
        return 0;
    case KEY_N:
        a->o.n = size(state, "n", arg);
        return 0;
    case KEY_K:
        a->o.k = size(state, "k", arg);
        return 0;
    case KEY_BATCH:
        a->o.batch = size(state, "batch", arg);
        return 0;
    case KEY_SECONDS:
        a->o.seconds = seconds(state, arg);
        return 0;
    case KEY_FORMAT:
        a->o.format = arg;
        return 0;
    case KEY_BACKEND:
        take_backends(state, a, arg);
        return 0;
    case KEY_NO_PEERS:
        a->o.no_peers = 1;
        return 0;
    case KEY_NUMERICS:
        if (strcmp(arg, "exact") != 0 && strcmp(arg, "fast") != 0)
            argp_error(state, "--numerics: expected exact or fast, found \"%s\"", arg);
        a->numerics = strcmp(arg, "fast") ? LB_EXACT : LB_FAST;
        return 0;
    case KEY_MODEL:
        if (strcmp(arg, "cnn") != 0 && strcmp(arg, "mlp") != 0)
            argp_error(state, "--model: expected cnn or mlp, found \"%s\"", arg);
        a->o.model = arg;
        return 0;
    case KEY_CSV:
        a->csv = 1;
        return 0;
    case ARGP_KEY_ARG:
        take_op(state, a, arg);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char doc[] = /* what stands behind \v comes after the options */
    "Measures the backends and codecs that are here, beside OpenBLAS (the backend cpu_blas) and, where its library is installed, oneDNN."
    "\vWhat a row is compared with ran in turns with it, in the same process and on as many threads. `seconds` is the median of the "
    "`turns`, "
    "`spread` the distance of their quartiles as a share of it, `best` the fastest. `ratio` is the share of what the machine can do "
    "(`of`), "
    "measured in the same turns. vs_openblas, vs_onednn and vs_cpu_ref say how many times as fast a row is as the fastest `method` of that "
    "one, vs_f32 as the same backend in binary32. For a convolution these are its own convolutions, and, \"alone\", the matrix product "
    "without the making of the matrix. With b "
    "packed beforehand a product does less than the others, so nothing is compared with it.\n\n"
    "gemm, gemv: c = a b, or with \"bT\" c = a b^T, which is what --m, --n and --k measure. Results that differ by more than rounding are "
    "an "
    "error.\n\n"
    "LOWBIT_DNNL: the file of oneDNN, version 2 (default: libdnnl.so.2)";

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"m", KEY_M, "M", 0, "gemm: rows of the result", 0},
        {"n", KEY_N, "N", 0, "gemm, gemv: columns of the result", 0},
        {"k", KEY_K, "K", 0, "gemm, gemv: length of the sums", 0},
        {"format", KEY_FORMAT, "F", 0,
         "codec, gemm_packed, gemm_int8: only this codec or format; forward, train: that of the integer network, and of the training that "
         "knows it",
         0},
        {"backend", KEY_BACKEND, "B[,B]", 0, "These, repeatable (default: all that run here, without cpu_ref and the skeletons)", 0},
        {"no-peers", KEY_NO_PEERS, NULL, 0, "Without OpenBLAS and oneDNN", 0},
        {"numerics", KEY_NUMERICS, "exact|fast", 0, "What backends are opened for (default: exact)", 0},
        {"model", KEY_MODEL, "cnn|mlp", 0, "train, forward: the network (default: both)", 0},
        {"batch", KEY_BATCH, "N", 0, "train, forward, conv: samples at a time (default: 64; forward also 1)", 0},
        {"seconds", KEY_SECONDS, "S", 0, "About so long for each comparison (default: 1)", 0},
        {"csv", KEY_CSV, NULL, 0, "Print CSV", 0},
        {0}};
    static const struct argp argp = {options, parse, "[gemm|gemv|gemm_packed|gemm_int8|gemm_u8s8|conv|train|forward|codec]", doc, NULL,
                                     NULL,    NULL};
    struct args a = {.o = {.seconds = 1}};
    struct lb_table t = {0};
    struct lb_err err = {0};
    if (lb_cmd_parse("bench", &argp, argc, argv, &a) || lb_cmd_plugins())
        return 2;
    a.o.host = lb_backend_globals();
    a.o.host.numerics = a.numerics;
    const int r = lb_bench(&a.o, &t, &err);
    if (!r && a.csv)
        lb_table_print_csv(&t, stdout);
    else if (!r)
        lb_table_print(&t, stdout);
    lb_table_finish(&t);
    lb_plugins_unload();
    return r ? lb_cmd_fail(&err) : 0;
}

const struct lb_command lb_cmd_bench = {"bench", "how fast the backends and codecs are, beside what the machine can do", run};
