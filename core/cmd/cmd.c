/* SPDX-License-Identifier: MIT */
#include "core/cmd/cmd.h"
#include "core/base/child.h"
#include "core/format/lanes.h"
#include "core/base/log.h"
#include "core/plugins.h"
#include "core/plugins_trust.h"
#include "core/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lb_globals lb_globals = {.cpumask = ~0u};

static const struct lb_command *const commands[] = {&lb_cmd_run,  &lb_cmd_plan,    &lb_cmd_check,   &lb_cmd_report,  &lb_cmd_list,
                                                    &lb_cmd_show, &lb_cmd_convert, &lb_cmd_inspect, &lb_cmd_compare, &lb_cmd_verify,
                                                    &lb_cmd_op,   &lb_cmd_bench,   &lb_cmd_measure, &lb_cmd_merge};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

enum { KEY_PLUGINS = 0x1000, KEY_DEVICE, KEY_CPUMASK, KEY_LOG, KEY_THREADS, KEY_TRUST };

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Everywhere:", 10},
    {"plugins", KEY_PLUGINS, "DIR", 0, "Look for plugins in DIR first", 10},
    {"trust-plugins", KEY_TRUST, NULL, 0, "Load plugins that others could have written (docs/security.md), with a warning for each", 10},
    {"device", KEY_DEVICE, "D", 0, "Device of a backend, by name or index", 10},
    {"cpumask", KEY_CPUMASK, "MASK", 0, "CPU features that may be used: 0 none, 1 AVX2, 2 AVX-512, 4 VNNI, 8 VBMI, or their sum", 10},
    {"threads", KEY_THREADS, "N", 0, "Threads of a backend (default: one a CPU)", 10},
    {"log", KEY_LOG, "text|json", 0, "How messages on stderr look", 10},
    {"quiet", 'q', NULL, 0, "Warnings and errors only; twice: errors only", 10},
    {0}};

/* A whole number in [low, high]; argp_error leaves with status 2. */
static long number(struct argp_state *state, const char *option, const char *arg, long low, long high)
{
    char *end;
    long v = strtol(arg, &end, 0);
    if (end == arg || *end || v < low || v > high)
        argp_error(state, "--%s: expected a whole number from %ld to %ld, found \"%s\"", option, low, high, arg);
    return v;
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct lb_globals *g = &lb_globals;
    switch (key) {
    case KEY_PLUGINS:
        g->plugins = arg;
        return 0;
    case KEY_DEVICE:
        g->device = arg;
        return 0;
    case KEY_CPUMASK:
        g->cpumask = (unsigned)number(state, "cpumask", arg, 0, 0x7fffffff);
        lb_lanes_limit(g->cpumask);
        return 0;
    case KEY_THREADS:
        g->threads = (int)number(state, "threads", arg, 1, 1024);
        return 0;
    case KEY_LOG:
        if (strcmp(arg, "text") && strcmp(arg, "json"))
            argp_error(state, "--log: expected text or json, found \"%s\"", arg);
        g->json = arg[0] == 'j';
        return 0;
    case KEY_TRUST:
        lb_plugins_trust_all();
        return 0;
    case 'q':
        g->quiet++;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int lb_cmd_parse(const char *name, const struct argp *argp, int argc, char **argv, void *input)
{
    static const struct argp common = {common_options, parse_common, NULL, NULL, NULL, NULL, NULL};
    const struct argp_child own = argp->children ? argp->children[0] : (struct argp_child){0}; /* a command has at most one child */
    const struct argp_child children[] = {
        argp->children ? own : (struct argp_child){&common, 0, NULL, 10}, {argp->children ? &common : NULL, 0, NULL, 10}, {0}};
    struct argp all = *argp;
    char shown[64];
    snprintf(shown, sizeof shown, "lowbit %s", name);
    argv[0] = shown;
    all.children = children;
    error_t e = argp_parse(&all, argc, argv, 0, NULL, input);
    lb_log_setup(lb_globals.json, lb_globals.quiet);
    if (e) { /* as argp ends where the command line is wrong: a --set that there was no memory for must not be left out */
        lb_log(LB_LOG_ERROR, "lowbit %s: %s", name, e == ENOMEM ? "out of memory: command line" : strerror(e));
        exit(argp_err_exit_status);
    }
    return 0;
}

int lb_cmd_plugins(void)
{
    struct lb_err err = {0};
    if (lb_plugins_load(lb_globals.plugins, &err) == 0)
        return 0;
    lb_cmd_fail(&err);
    return -1;
}

int lb_cmd_fail(const struct lb_err *err)
{
    lb_child_end_process(); /* which was the reason */
    lb_log(LB_LOG_ERROR, "%s", err->set ? err->text : "failed without a message");
    return 2;
}

static void usage(FILE *out)
{
    fprintf(out, "Usage: lowbit COMMAND [OPTION...]\nWhat a number format costs a neural network: accuracy, bytes and time.\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i]->help)
            fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->help);
    fprintf(out, "\n`lowbit COMMAND --help` explains a command; `lowbit check --options` lists everything that a config may hold.\n"
                 "Exit status: 0 done; 1 some trials failed (the table is still written); 2 bad usage or bad input.\n");
}

/* Messages about the command line itself are JSON, too. */
static int wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--log=json") || (!strcmp(argv[i], "--log") && i + 1 < argc && !strcmp(argv[i + 1], "json")))
            return 1;
    return 0;
}

int lb_main(int argc, char **argv)
{
    argp_err_exit_status = 2;
    if (wants_json(argc, argv))
        lb_log_json_errors();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "-?") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("lowbit %s (arithmetic %s, plugin ABI %u)\n", LB_VERSION, LB_ARITHMETIC, LB_ABI);
        return 0;
    }
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i]->name;
        if (!strcmp(argv[1], commands[i]->name))
            return commands[i]->run(argc - 1, argv + 1);
    }
    const char *near = lb_nearest(argv[1], names, N_COMMANDS);
    fprintf(stderr, "lowbit: \"%s\" is no command", argv[1]);
    fprintf(stderr, near ? "; did you mean \"%s\"?\n" : "; see lowbit --help\n", near);
    return 2;
}
