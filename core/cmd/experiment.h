/* SPDX-License-Identifier: MIT */
/* experiment.h - what the commands that take a CONFIG share: its options, and loading config, plugins and plan. */
#ifndef LB_CMD_EXPERIMENT_H
#define LB_CMD_EXPERIMENT_H

#include "core/cmd/cmd.h"
#include "core/run/plan.h"

struct lb_experiment_args {
    const char *config;
    const char **sets; /* --set, and what --backend stands for; owned */
    size_t n_sets;
    char *backend_set;
};

/* An argp child list for CONFIG, --set and --backend; its input is a struct lb_experiment_args. */
extern const struct argp_child lb_experiment_argp[];

/* Loads the config, the plugins and the plan. Close in every case. */
int lb_experiment_open(const struct lb_experiment_args *a, struct lb_experiment **e, struct lb_plan **p, struct lb_err *err);

/* Frees all; prints err where it is set. Returns the exit status: 2 after an error, else 0. */
int lb_experiment_close(struct lb_experiment_args *a, struct lb_experiment *e, struct lb_plan *p, const struct lb_err *err);

/* The options of every backend that the common options say. */
struct lb_backend_options lb_backend_globals(void);

#endif
