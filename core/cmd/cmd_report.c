/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/cmd/cmd.h"
#include "core/run/report.h"

#include <stdio.h>

static error_t parse(int key, char *arg, struct argp_state *state)
{
    const char **folder = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (*folder)
            argp_error(state, "one DIR, found \"%s\" and \"%s\"", *folder, arg);
        *folder = arg;
        return 0;
    case ARGP_KEY_END:
        if (!*folder)
            argp_error(state, "DIR is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {
        NULL, parse, "DIR", "Writes table.csv, table.md and measured.csv again, from the journal of a results folder alone.",
        NULL, NULL,  NULL};
    const char *folder = NULL;
    struct lb_err err = {0};
    struct lb_journal j;
    struct lb_report counts;
    lb_cmd_parse("report", &argp, argc, argv, &folder);
    if (lb_journal_open(folder, 0, &j, &err))
        return lb_cmd_fail(&err);
    const int r = lb_report_write(folder, &j, &counts, &err);
    lb_journal_close(&j);
    if (r)
        return lb_cmd_fail(&err);
    printf("%s/table.md\n", folder);
    lb_log(LB_LOG_INFO, "%zu of %zu trials are in the journal, %zu ok", counts.done, counts.trials, counts.ok);
    return 0;
}

const struct lb_command lb_cmd_report = {"report", "write the tables of a results folder DIR again, from its journal", run};
