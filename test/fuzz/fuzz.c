/* SPDX-License-Identifier: MIT */
#include "test/fuzz/fuzz.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/nn/model.h"
#include "core/plugins.h"
#include "core/run/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES = 16, FORMATS = 4 };

static char folder[256], paths[NAMES][512];
static struct lb_dev *device;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

void fuzz_start(void)
{
    struct lb_err err = {0};
    const char *tmp = getenv("TMPDIR");
    const int n = snprintf(folder, sizeof folder, "%s/fuzz-%ld", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    must(n > 0 && (size_t)n < sizeof folder && !mkdir(folder, 0700), "TMPDIR is no folder to write to");
    lb_log_setup(0, 1);
    must(!lb_plugins_load(NULL, &err), err.text);
    const struct lb_entry *e = lb_plugins_find(LB_BACKEND, "cpu_ref", &err);
    const struct lb_backend_options o = {.cpumask = ~0u, .threads = 1};
    must(e && !lb_backend_open((const struct lb_backend *)e->plugin, &o, &device, &err), err.text);
}

struct lb_dev *fuzz_device(void)
{
    return device;
}

const char *fuzz_path(const char *name)
{
    size_t i = 0;
    char path[sizeof paths[0]];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    while (i < NAMES && *paths[i] && strcmp(paths[i], path))
        i++;
    must(i < NAMES, "too many names");
    memcpy(paths[i], path, sizeof path);
    return paths[i];
}

const char *fuzz_file(const char *name, const void *data, size_t n)
{
    const char *path = fuzz_path(name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && (!n || write(fd, data, n) == (ssize_t)n), "no room in TMPDIR");
    close(fd);
    return path;
}

void fuzz_copy(const char *from, const char *name)
{
    struct lb_err err = {0};
    size_t n;
    char *text = lb_read_file(from, &n, &err);
    must(text != NULL, err.text);
    fuzz_file(name, text, n);
    lb_free(text);
}

void fuzz_command(const struct lb_command *c, const char *argument, const char *more)
{
    char name[] = "lowbit", *text = strdup(argument), *second = more ? strdup(more) : NULL;
    char *argv[] = {name, text, second, NULL};
    must(text && (!more || second), "out of memory");
    const size_t before = lb_mem_now();
    lb_globals = (struct lb_globals){.cpumask = ~0u, .quiet = 1};
    const int status = c->run(more ? 3 : 2, argv);
    must(status >= 0 && status <= 2, "an exit status that no command has");
    fuzz_balance(before);
    free(text);
    free(second);
}

void fuzz_result(int failed, struct lb_err *err)
{
    must(failed == 0 || failed == -1, "a result that is neither 0 nor -1");
    must(!failed == !err->set, failed ? "a failure without an error" : "an error without a failure");
    must(!err->set || (*err->text && !strchr(err->text, '\n')), "an error that is not one line");
    *err = (struct lb_err){0};
}

void fuzz_balance(size_t before)
{
    must(lb_mem_now() == before, "memory was not given back");
}

static void try_formats(const struct lb_experiment *e)
{
    for (size_t i = 0; i < e->n_formats && i < FORMATS; i++) {
        struct lb_err err = {0};
        struct lb_format *f = NULL;
        fuzz_result(lb_format_create(&e->formats[i], &f, &err), &err);
        lb_format_destroy(f);
    }
}

static void try_models(const struct lb_experiment *e)
{
    for (size_t i = 0; i < e->n_models; i++) {
        const struct lb_model_config *c = &e->models[i];
        const size_t in[3] = {c->has_input ? (size_t)c->input[0] : 1, c->has_input ? (size_t)c->input[1] : 28,
                              c->has_input ? (size_t)c->input[2] : 28};
        struct lb_err err = {0};
        struct lb_model *m = NULL;
        fuzz_result(lb_model_shape(c, in[0], in[1], in[2], 10, &m, &err), &err);
        lb_model_destroy(m);
    }
}

void fuzz_experiment(const char *path, const char *const *sets, size_t n_sets)
{
    struct lb_err err = {0};
    struct lb_experiment *e = NULL;
    const size_t before = lb_mem_now();
    const int failed = lb_config_load(path, sets, n_sets, &e, &err);
    fuzz_result(failed, &err);
    if (!failed) {
        try_formats(e);
        try_models(e);
    }
    lb_config_destroy(e);
    fuzz_balance(before);
}
