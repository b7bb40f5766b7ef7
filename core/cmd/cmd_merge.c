/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/cmd/cmd.h"
#include "core/run/merge.h"

#include <stdio.h>

struct args {
    const char *out;
    const char **folders;
    size_t n;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct args *a = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        a->folders = lb_alloc((size_t)state->argc + 1, sizeof *a->folders, NULL);
        return a->folders ? 0 : ENOMEM;
    case 'o':
        a->out = arg;
        return 0;
    case ARGP_KEY_ARG:
        a->folders[a->n++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->n || !a->out)
            argp_error(state, a->n ? "-o DIR is missing: the folder of the whole" : "DIR is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(int argc, char **argv)
{
    static const struct argp_option options[] = {{"out", 'o', "DIR", 0, "The folder of the whole; may be one of the others", 0}, {0}};
    static const struct argp argp = {
        options,
        parse,
        "DIR... -o DIR",
        "Puts results folders of one experiment together: shares that were run with --shard. A DIR stands for the shard-I-of-N in it, so "
        "that "
        "`lowbit merge results/x -o results/x` is the usual way. The tables are those of a run in one place, byte for byte. Shares that "
        "differ "
        "in arithmetic, config, data or formats are refused. Exit status 1 where trials are missing or failed.",
        NULL,
        NULL,
        NULL};
    struct args a = {0};
    struct lb_err err = {0};
    struct lb_report counts = {0};
    lb_cmd_parse("merge", &argp, argc, argv, &a);
    const int r = lb_merge(a.folders, a.n, a.out, &counts, &err);
    lb_free(a.folders);
    if (r)
        return lb_cmd_fail(&err);
    printf("%s/table.md\n", a.out);
    lb_log(LB_LOG_INFO, "%zu of %zu trials, %zu ok", counts.done, counts.trials, counts.ok);
    return counts.ok + counts.skipped == counts.trials ? 0 : 1;
}

const struct lb_command lb_cmd_merge = {"merge", "put the shares of an experiment together: DIR... -o DIR", run};
