/* SPDX-License-Identifier: MIT */
#include "core/nn/backend.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/pool.h"
#include "core/nn/buf_guard.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The host as a backend sees it comes first, so that the callbacks find the rest. */
struct open_backend {
    struct lb_dev d;
    struct lb_pool *pool;
    char cache[4096];
};

static struct open_backend *self(const struct lb_host *h)
{
    return (struct open_backend *)(void *)((char *)(uintptr_t)h - offsetof(struct lb_dev, host));
}

static void host_log(const struct lb_host *h, int level, const char *text)
{
    struct open_backend *o = self(h);
    level = level < LB_LOG_ERROR ? LB_LOG_ERROR : level; /* a plugin's number, not yet an index */
    if (level == LB_LOG_ERROR)
        snprintf(o->d.log, sizeof o->d.log, "%s", text);
    lb_log(level == LB_LOG_ERROR ? LB_LOG_DEBUG : level, "%s: %s", o->d.ops->base.name, text);
}

static void *host_alloc(const struct lb_host *h, size_t bytes)
{
    (void)h;
    return lb_alloc(bytes, 1, NULL);
}

static void host_free(const struct lb_host *h, void *p)
{
    (void)h;
    lb_free(p);
}

static void host_parallel(const struct lb_host *h, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
    lb_pool_run(self(h)->pool, n, fn, arg);
}

unsigned lb_cpu_features(void)
{
    unsigned f = 0;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        f |= LB_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
        f |= LB_CPU_AVX512;
    if (__builtin_cpu_supports("avx512vnni"))
        f |= LB_CPU_VNNI;
    if (__builtin_cpu_supports("avx512vbmi"))
        f |= LB_CPU_VBMI;
#endif
    return f;
}

/* LOWBIT_CACHE (empty: none), else the user's cache folder. NULL where there is none: nothing is kept then. */
static const char *cache_folder(char *path, size_t size)
{
    const char *own = getenv("LOWBIT_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (own)
        n = snprintf(path, size, "%s", own);
    else if (xdg && *xdg == '/')
        n = snprintf(path, size, "%s/lowbit", xdg);
    else if (home && *home == '/')
        n = snprintf(path, size, "%s/.cache/lowbit", home);
    return n > 0 && (size_t)n < size ? path : NULL;
}

static void setup(struct open_backend *o, const struct lb_backend *b, const struct lb_backend_options *opt)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    o->d.ops = b;
    o->d.guard = opt->guard && !b->buf_create;
    o->d.host = (struct lb_host){.abi = LB_ABI,
                                 .size = sizeof o->d.host,
                                 .threads = opt->threads ? opt->threads
                                            : cpus > 0   ? (unsigned)cpus
                                                         : 1,
                                 .cpu = lb_cpu_features() & opt->cpumask,
                                 .device = opt->device,
                                 .log = host_log,
                                 .alloc = host_alloc,
                                 .free = host_free,
                                 .parallel = host_parallel,
                                 .numerics = (unsigned)opt->numerics,
                                 .cache = cache_folder(o->cache, sizeof o->cache)};
}

int lb_backend_probe(const struct lb_backend *b, const struct lb_backend_options *opt, char *why, size_t why_size)
{
    struct open_backend o = {.pool = NULL};
    setup(&o, b, opt);
    why[0] = 0;
    return b->probe(&o.d.host, why, why_size);
}

int lb_backend_open(const struct lb_backend *b, const struct lb_backend_options *opt, struct lb_dev **d, struct lb_err *err)
{
    *d = NULL;
    struct open_backend *o = lb_alloc(1, sizeof *o, err);
    if (!o)
        return -1;
    setup(o, b, opt);
    struct lb_err ignored = {0};
    if (o->d.host.cache && lb_make_dirs(o->d.host.cache, &ignored))
        o->d.host.cache = NULL;
    char why[256] = "";
    o->pool = lb_pool_create(o->d.host.threads);
    if (!o->pool)
        lb_fail(err, "backend %s: %u threads could not be started", b->base.name, o->d.host.threads);
    else if (!b->probe(&o->d.host, why, sizeof why))
        lb_fail(err, "backend %s: not on this machine: %s", b->base.name, why);
    else if (!(o->d.dev = b->open(&o->d.host, why, sizeof why)))
        lb_fail(err, "backend %s: cannot be opened: %s", b->base.name, why);
    if (!o->d.dev) {
        lb_pool_destroy(o->pool);
        lb_free(o);
        return -1;
    }
    b->info(o->d.dev, &o->d.info);
    *d = &o->d;
    return 0;
}

void lb_backend_close(struct lb_dev *d)
{
    if (!d)
        return;
    struct open_backend *o = (struct open_backend *)d;
    d->ops->close(d->dev);
    lb_pool_destroy(o->pool);
    lb_free(o);
}

void lb_backend_enter(const struct lb_dev *d, const char *op, const void *args)
{
    if (d->guard)
        lb_buf_guard_enter(d->ops->base.name, op, args);
}

int lb_backend_result(struct lb_dev *d, const char *op, int result, struct lb_err *err)
{
    if (d->guard)
        lb_buf_guard_leave();
    if (result == 0)
        return 0;
    if (result == -2)
        return lb_fail(err, "unsupported: backend %s has no op %s", d->ops->base.name, op);
    return lb_fail(err, "backend %s: %s: %s", d->ops->base.name, op, d->log[0] ? d->log : "failed without a message");
}

int lb_buf_create(struct lb_dev *d, size_t n, struct lb_buf *b, struct lb_err *err)
{
    *b = (struct lb_buf){0};
    if (lb_mul(n, 4, &b->bytes))
        return lb_fail(err, "%zu elements: too many", n);
    if (d->ops->buf_create)
        return lb_backend_result(d, "buf_create", d->ops->buf_create(d->dev, b), err);
    const size_t bytes = b->bytes ? b->bytes : 4;
    b->ptr = d->guard ? lb_buf_guard_alloc(bytes, err) : lb_alloc(bytes, 1, err);
    return b->ptr ? 0 : -1;
}

void lb_buf_destroy(struct lb_dev *d, struct lb_buf *b)
{
    if (!b->ptr)
        return;
    if (d->ops->buf_destroy)
        d->ops->buf_destroy(d->dev, b);
    else
        (d->guard ? lb_buf_guard_free : lb_free)(b->ptr);
    *b = (struct lb_buf){0};
}

static int inside(const struct lb_buf *b, size_t at, size_t n, struct lb_err *err)
{
    if (at > b->bytes / 4 || n > b->bytes / 4 - at)
        return lb_fail(err, "elements %zu to %zu of a buffer of %zu", at, at + n, b->bytes / 4);
    return 0;
}

int lb_buf_write(struct lb_dev *d, struct lb_buf *b, size_t at, const void *data, size_t n, struct lb_err *err)
{
    if (inside(b, at, n, err))
        return -1;
    if (d->ops->buf_write)
        return lb_backend_result(d, "buf_write", d->ops->buf_write(d->dev, b, at * 4, data, n * 4), err);
    if (n)
        memcpy((char *)b->ptr + at * 4, data, n * 4);
    return 0;
}

int lb_buf_read(struct lb_dev *d, const struct lb_buf *b, size_t at, void *data, size_t n, struct lb_err *err)
{
    if (inside(b, at, n, err))
        return -1;
    if (d->ops->buf_read) /* waits by itself */
        return lb_backend_result(d, "buf_read", d->ops->buf_read(d->dev, b, at * 4, data, n * 4), err);
    if (d->ops->sync && lb_backend_result(d, "sync", d->ops->sync(d->dev), err))
        return -1;
    if (n)
        memcpy(data, (const char *)b->ptr + at * 4, n * 4);
    return 0;
}

const char *lb_backend_op(const struct lb_backend *b, size_t i, int *has)
{
    const struct {
        const char *name;
        int has;
    } ops[] = {{"gemm", b->gemm != NULL},
               {"conv2d", b->conv2d != NULL},
               {"conv2d_dx", b->conv2d_dx != NULL},
               {"conv2d_dw", b->conv2d_dw != NULL},
               {"bias_grad", b->bias_grad != NULL},
               {"act", b->act != NULL},
               {"act_grad", b->act_grad != NULL},
               {"softmax", b->softmax != NULL},
               {"softmax_grad", b->softmax_grad != NULL},
               {"cross_entropy", b->cross_entropy != NULL},
               {"mse", b->mse != NULL},
               {"sgd", b->sgd != NULL},
               {"gemm_packed", b->gemm_packed != NULL},
               {"conv2d_packed", b->conv2d_packed != NULL},
               {"gemm_int8", b->gemm_int8 != NULL},
               {"conv2d_int8", b->conv2d_int8 != NULL},
               {"quantize", b->quantize != NULL},
               {"q_dense", b->q_dense != NULL},
               {"q_conv2d", b->q_conv2d != NULL},
               {"q_gemm", b->q_gemm != NULL},
               {"q_table", b->q_table != NULL},
               {"q_binary", b->q_binary != NULL},
               {"q_pool", b->q_pool != NULL},
               {"q_copy", b->q_copy != NULL},
               {"q_im2col", b->q_im2col != NULL},
               {"q_col2im", b->q_col2im != NULL},
               {"q_requantize", b->q_requantize != NULL},
               {"q_quantize", b->q_quantize != NULL},
               {"q_dequantize", b->q_dequantize != NULL}};
    if (i >= sizeof ops / sizeof *ops)
        return NULL;
    *has = ops[i].has;
    return ops[i].name;
}
