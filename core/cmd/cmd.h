/* SPDX-License-Identifier: MIT */
/* cmd.h - the subcommands, and the options that all of them take. A command returns the exit status: 0 done, 1 some trials failed, 2 bad usage. */
#ifndef LB_CMD_H
#define LB_CMD_H

#include "core/base/err.h"
#include <argp.h>
#include <stddef.h>

struct lb_command {
    const char *name, *help; /* help: one line for `lowbit --help` */
    int (*run)(int argc, char **argv);
};

/* Options that every command takes; filled in by lb_cmd_parse. */
struct lb_globals {
    const char *plugins, *device;
    unsigned cpumask; /* enum lb_cpu bits that may be used */
    int threads;      /* 0: all */
    int json, quiet;
    int guard; /* of `run` alone */
};
extern struct lb_globals lb_globals;

extern const struct lb_command lb_cmd_run, lb_cmd_plan, lb_cmd_check, lb_cmd_list, lb_cmd_show, lb_cmd_convert, lb_cmd_inspect,
    lb_cmd_compare, lb_cmd_report, lb_cmd_verify, lb_cmd_op, lb_cmd_bench, lb_cmd_measure, lb_cmd_merge;

/* Parses with the command's own argp and the common options; sets up logging. `argp.parser` may be NULL where there are only common options.
 * Prints help and exits by itself for --help; bad usage exits with 2. */
int lb_cmd_parse(const char *name, const struct argp *argp, int argc, char **argv, void *input);

/* Loads the plugins of the common options; prints the error itself. 0 or -1. */
int lb_cmd_plugins(void);

/* Prints the error and returns 2, so that a command writes `return lb_cmd_fail(&err)`. */
int lb_cmd_fail(const struct lb_err *err);

/* Which command `name` is, and runs it. */
int lb_main(int argc, char **argv);

#endif
