/* SPDX-License-Identifier: MIT */
/* nn_util.h - what the tests of the network share: memory that is dropped at the end of a test, backends, dumps, experiments from text. */
#ifndef LB_TEST_NN_UTIL_H
#define LB_TEST_NN_UTIL_H

#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/nn/model.h"
#include "core/plugins.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MAX_KEPT = 512 };

/* What a test must give back: each test is a process of its own. */
static struct {
    void *p[MAX_KEPT];
    size_t n;
    struct lb_buf *buf[MAX_KEPT];
    struct lb_dev *dev; /* of all of buf */
    size_t bufs;
    struct lb_model *model[16];
    struct lb_net *net[16];
    struct lb_experiment *experiment[16];
    struct lb_safetensors dump[16];
    size_t models, nets, experiments, dumps;
    size_t had;
} held;

static inline void *keep(size_t n, size_t size)
{
    struct lb_err err = {0};
    void *p = lb_alloc(n, size, &err);
    cr_assert(p && held.n < MAX_KEPT, "%s", err.text);
    held.p[held.n++] = p;
    return p;
}

/* The plugins that lie beside this program's folder. */
static inline void load_plugins(void)
{
    struct lb_err err = {0};
    char exe[4000], folder[4100];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    cr_assert(n > 0);
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    snprintf(folder, sizeof folder, "%s/../plugins", exe);
    unsetenv("LOWBIT_PLUGIN_PATH");
    held.had = lb_mem_now();
    cr_assert_eq(lb_plugins_load(folder, &err), 0, "%s", err.text);
}

/* Closes the device, after all that lies on it. */
static inline void close_device(void)
{
    for (; held.nets; held.nets--)
        lb_net_destroy(held.net[held.nets - 1]);
    for (; held.bufs; held.bufs--)
        lb_buf_destroy(held.dev, held.buf[held.bufs - 1]);
    lb_backend_close(held.dev);
    held.dev = NULL;
}

/* Gives everything back; at the end of each test. */
static inline void drop_all(void)
{
    close_device();
    for (; held.models; held.models--)
        lb_model_destroy(held.model[held.models - 1]);
    for (; held.experiments; held.experiments--)
        lb_config_destroy(held.experiment[held.experiments - 1]);
    for (; held.dumps; held.dumps--)
        lb_safetensors_finish(&held.dump[held.dumps - 1]);
    for (; held.n; held.n--)
        lb_free(held.p[held.n - 1]);
    lb_plugins_unload();
    cr_expect_eq(lb_mem_now(), held.had, "%zu bytes are left", lb_mem_now() - held.had);
}

/* Opens a backend, with the features of the CPU that `cpumask` leaves. Skips the test, with the reason, where there is none. */
static inline struct lb_dev *open_device(const char *name, unsigned cpumask)
{
    struct lb_err err = {0};
    const struct lb_backend_options options = {.cpumask = cpumask, .threads = 2};
    char why[256];
    const struct lb_entry *missing = lb_plugins_refused(name),
                          *e = missing && missing->missing ? NULL : lb_plugins_find(LB_BACKEND, name, &err);
    if (missing) {
        snprintf(why, sizeof why, "%s", missing->why);
        drop_all();
        cr_skip("backend %s: %s", name, why);
    }
    cr_assert(e, "%s", err.text);
    const struct lb_backend *b = (const struct lb_backend *)e->plugin;
    if (!lb_backend_probe(b, &options, why, sizeof why)) {
        drop_all();
        cr_skip("backend %s is not on this machine: %s", name, why);
    }
    cr_assert_eq(lb_backend_open(b, &options, &held.dev, &err), 0, "%s", err.text);
    return held.dev;
}

/* n elements on the device; data may be NULL. */
static inline struct lb_ref on_device(struct lb_dev *d, const void *data, size_t n)
{
    struct lb_err err = {0};
    struct lb_buf *b = keep(1, sizeof *b);
    cr_assert_eq(lb_buf_create(d, n, b, &err), 0, "%s", err.text);
    held.buf[held.bufs++] = b;
    cr_assert(!data || !lb_buf_write(d, b, 0, data, n, &err), "%s", err.text);
    return (struct lb_ref){b, 0};
}

static inline float *from_device(struct lb_dev *d, struct lb_ref r, size_t n)
{
    struct lb_err err = {0};
    float *x = keep(n, sizeof *x);
    cr_assert_eq(lb_buf_read(d, r.buf, r.at, x, n, &err), 0, "%s", err.text);
    return x;
}

/* A file of test/data/nn. */
static inline const struct lb_safetensors *open_dump(const char *name)
{
    struct lb_err err = {0};
    char path[200];
    snprintf(path, sizeof path, "test/data/nn/%s.safetensors", name);
    cr_assert_eq(lb_safetensors_open(path, &held.dump[held.dumps], &err), 0, "%s (run from the root of the repository)", err.text);
    return &held.dump[held.dumps++];
}

static inline const struct lb_tensor *dumped(const struct lb_safetensors *st, const char *name, enum lb_dtype_id dtype)
{
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    cr_assert(t && t->dtype == dtype, "%s", name);
    return t;
}

/* Copies, as the data of a mapped file may lie on any byte. */
static inline float *dumped_f32(const struct lb_safetensors *st, const char *name)
{
    const struct lb_tensor *t = dumped(st, name, LB_F32);
    return memcpy(keep(t->elems, sizeof(float)), t->data, t->bytes);
}

static inline double *dumped_f64(const struct lb_safetensors *st, const char *name)
{
    const struct lb_tensor *t = dumped(st, name, LB_F64);
    return memcpy(keep(t->elems, sizeof(double)), t->data, t->bytes);
}

static inline int32_t *dumped_i32(const struct lb_safetensors *st, const char *name)
{
    const struct lb_tensor *t = dumped(st, name, LB_I32);
    return memcpy(keep(t->elems, sizeof(int32_t)), t->data, t->bytes);
}

/* A file that is deleted by the caller. Returns path. */
static inline char *temp_file(char path[200], const void *data, size_t n)
{
    struct lb_err err = {0};
    const char *folder = getenv("TMPDIR");
    snprintf(path, 200, "%s/lowbit-nn-XXXXXX", folder && strlen(folder) < 150 ? folder : "/tmp");
    const int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    cr_assert_eq(lb_write_file(path, data, n, &err), 0, "%s", err.text);
    return path;
}

/* An experiment with the given "model" and "train". */
static inline struct lb_experiment *experiment(const char *model, const char *train)
{
    struct lb_err err = {0};
    char text[4096], path[200];
    snprintf(text, sizeof text, "{\"data\": {\"source\": \"digits\"}, \"formats\": [\"F32\"], \"model\": %s, \"train\": %s}", model, train);
    struct lb_experiment *e;
    lb_config_load(temp_file(path, text, strlen(text)), NULL, 0, &e, &err);
    unlink(path);
    cr_assert(e, "%s", err.text);
    return held.experiment[held.experiments++] = e;
}

static inline struct lb_model *model_of(const struct lb_experiment *e, size_t classes)
{
    struct lb_err err = {0};
    const struct lb_model_config *c = &e->models[0];
    struct lb_model *m;
    lb_model_create(c, (size_t)c->input[0], (size_t)c->input[1], (size_t)c->input[2], classes, &m, &err);
    cr_assert(m, "%s", err.text);
    return held.model[held.models++] = m;
}

/* A network for training. */
static inline struct lb_net *net_of(const struct lb_model *m, struct lb_dev *d, size_t batch)
{
    struct lb_err err = {0};
    struct lb_net *n;
    lb_net_create(m, d, batch, 1, &n, &err);
    cr_assert(n, "%s", err.text);
    return held.net[held.nets++] = n;
}

static inline const char *sha256_of(const struct lb_model *m)
{
    struct lb_err err = {0};
    char *hex = keep(65, 1);
    cr_assert_eq(lb_model_sha256(m, hex, &err), 0, "%s", err.text);
    return hex;
}

#endif
