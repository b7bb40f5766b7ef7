/* SPDX-License-Identifier: MIT */
/* plan.h - an experiment as a list of trials with their hashes. A trial is a pure function of what its hash covers: docs/results.md. */
#ifndef LB_PLAN_H
#define LB_PLAN_H

#include "core/base/child.h"
#include "core/nn/backend.h"
#include "core/nn/dataset.h"
#include "core/plugins.h"
#include "core/run/config.h"

/* What a trial puts into the format; bit i of lb_format_fact.modes. */
enum lb_mode { LB_MODE_W, LB_MODE_WA, LB_MODE_W8A8, LB_MODE_W4A8, LB_MODE_INTEGER, LB_MODES };
int lb_mode_find(const char *name); /* "w", "wa", "w8a8", "w4a8", "integer"; else -1 */
const char *lb_mode_name(int mode);

/* What is known of a backend or of a format before any trial: found in a child, so that a plugin that crashes is a fact too. */
struct lb_backend_fact {
    const char *name;                       /* of its rows: the config's */
    const char *plugin;                     /* the plugin's name */
    const struct lb_backend_config *config; /* NULL: a backend that only trains, with nothing said of it */
    struct lb_backend_options options;      /* how it is opened */
    const struct lb_entry *entry;           /* NULL: there is none of that name, or its file was refused */
    enum lb_status status;                  /* LB_OK, or what its trials become */
    char why[1024], said[LB_SAID];          /* and the last lines that it said */
    int exact;                              /* opened like this it gives the bits of the rules */
    int is_reference;                       /* the first cpu_ref: what others are compared with */
    char isa[64], device[128];              /* part of the hash of what is not exact */
    unsigned threads;
};

struct lb_format_fact {
    const struct lb_format_config *config;
    enum lb_status status;
    char why[1024], said[LB_SAID];
    char sha256[65], plugin_sha256[65];
    char plugins_sha256[65];                    /* over those of all codecs in it, of its activations too */
    int wraps;                                  /* its overflow is wrap */
    unsigned modes;                             /* that it has; a trial of another is left out */
    const struct lb_format_config *activations; /* mode wa: config or another's */
    char activations_sha256[65];
    char why_not[512];                    /* it has no mode wa, where it was asked for */
    const struct lb_format_config *codes; /* mode integer: the format of what layers read */
    char codes_sha256[65];
    char no_codes[512]; /* it has no mode integer */
};

enum { LB_NO_FORMAT = -1 };
/* build: SHA-256 over the executable's and the used plugins' SHA-256: which program makes it. No part of the hash. */
struct lb_training {
    char hash[65], build[65];
    size_t model, seed, backend; /* indices */
    long format;                 /* that it knows ("qat"), in mode w, wa or integer; or LB_NO_FORMAT */
    int mode;                    /* enum lb_mode */
};

struct lb_trial {
    char hash[65], build[65];
    size_t model, seed, format, mode, backend, training;
    long qat; /* the training whose weights are formatted, where it is not `training`; else -1 */
};

struct lb_plan {
    const struct lb_experiment *e;
    struct lb_dataset data;
    int data_missing; /* then there are no trials, and data_why says what fetches it */
    char data_why[1024];
    char build[65];                   /* SHA-256 of the executable */
    struct lb_backend_fact *backends; /* e->backends first, then those that only train */
    size_t n_backends;
    struct lb_format_fact *formats;
    struct lb_training *trainings;
    size_t n_trainings;
    struct lb_trial *trials;
    size_t n_trials;
    int with_reference; /* cpu_ref is among e->backends: others are compared with it */
    struct lb_backend_options options;
    struct lb_format_config codes; /* mode integer: of what layers read, where nothing is said of it */
};

/* Plugins must have been loaded. Fails where the data is bad or a model does not fit it; missing data is no failure, see data_missing. */
int lb_plan_create(const struct lb_experiment *e, const struct lb_backend_options *options, struct lb_plan **out, struct lb_err *err);
void lb_plan_destroy(struct lb_plan *p);

/* Whether the models fit the data and its formats the models. */
int lb_plan_check(const struct lb_plan *p, struct lb_err *err);

/* The options that a backend is opened with: those of the command line, `given`, and what its config says. -1 with the reason where it asks for an
 * instruction set that this machine lacks. */
int lb_plan_backend_options(const struct lb_backend_config *c, const struct lb_backend_options *given, struct lb_backend_options *out,
                            char *why, size_t why_size);

/* Mode wa: the format of activations beside format i. */
const struct lb_format_config *lb_plan_activations(const struct lb_experiment *e, size_t i);

/* plan_facts.c. Learns what formats and backends are here, in children; refuses modes that were asked for by name and cannot be. */
int lb_plan_learn(struct lb_plan *p, struct lb_err *err);
/* Adds a backend of this name in the config (`c`, or NULL where it only trains) and learns what it is; its index, or -1. */
long lb_plan_add_backend(struct lb_plan *p, const char *name, const char *plugin, const struct lb_backend_config *c, struct lb_err *err);
/* A text into an array: cut where it is too long, but never within a character of UTF-8, since it goes into JSON. NULL is "". */
void lb_plan_copy(char *to, size_t size, const char *from);

/* plan_qat.c. Whether training for a format knows what layers read in this mode. */
int lb_plan_qat_reads(const struct lb_qat_config *c, int mode);
/* The mode that the training for a trial's mode knows. In mode integer biases are whole numbers of a scale that is no format's. */
int lb_plan_qat_mode(const struct lb_qat_config *c, int mode);
/* Which formats have trainings of their own, and how, in words; NULL where none has, or memory is out. */
json_t *lb_plan_qat_describe(const struct lb_plan *p);
/* What the training knows of its format, into the JSON that is hashed. -1 where memory is out. */
int lb_plan_qat_identity(const struct lb_plan *p, const struct lb_training *t, json_t *o);

/* The effective training config of a model. */
const struct lb_train_config *lb_plan_train(const struct lb_plan *p, size_t model);

#endif
