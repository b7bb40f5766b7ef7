/* SPDX-License-Identifier: MIT */
/* skeleton_backend.c - a backend that is as short as one can be and says what each hook of `struct lb_backend` is for. It computes in host memory, and
 * has three ops. The others are NULL: the host then reports "unsupported" and computes nothing elsewhere. Built with everything else, not installed.
 *
 * `lowbit verify skeleton_backend.so` compares each op that is there with cpu_ref. */
#include <plugin.h>
#include "kernels/canon.h"

#include <stdio.h>

/* ---- Life ------------------------------------------------------------------------------------------------------------------------- */

/* What `open` returns and every other hook gets as `dev`. The host may open a backend more than once: no globals. */
struct device {
    const struct lb_host *host;
};

/* Required. Can this machine run it? Looks, takes nothing, and is quick. 0 means "not here" and is no failure: the trials are skipped, with the
 * reason in `why`. A backend that needs a library loads it here with dlopen rather than being linked to it, and says so when it is absent. */
static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    if (h->abi == LB_ABI)
        return 1;
    snprintf(why, why_size, "the host speaks ABI %u, this backend %u", h->abi, LB_ABI);
    return 0;
}

/* Required. Only after a probe that gave 1. `h` stays valid until close: h->threads and h->cpu say what may be used (never ask the CPU itself:
 * --cpumask hides features), h->alloc counts memory, h->parallel spreads work over the host's threads, h->log speaks. */
static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    struct device *d = h->alloc(h, sizeof *d);
    if (d)
        d->host = h;
    else
        snprintf(why, why_size, "out of memory");
    return d;
}

static void close_device(void *dev)
{
    struct device *d = dev;
    d->host->free(d->host, d);
}

/* Required. The strings go into measured.csv, and into the hash of a trial where the backend is not exact. */
static void info(void *dev, struct lb_device_info *out)
{
    (void)dev;
    *out = (struct lb_device_info){.device = "host memory", .isa = "c", .threads = 1};
}

/* The four buffer hooks are left NULL, all of them: the host then gives each buffer 64-byte aligned memory in buf->ptr. A device with memory of its own
 * sets buf->ptr in buf_create and copies in buf_write and buf_read. `sync` is left NULL because each op is done when it returns. `record` and its three companions are left NULL too: they are for
 * a device that wants to be told a list of ops once and then only to run it again. */

/* ---- Ops -------------------------------------------------------------------------------------------------------------------------- */

/* The formulas are in docs/arithmetic.md. A backend that says `exact` gives their bits; one that does not, is free in all but meaning. The functions of
 * kernels/canon.h are the only ones that may be used for exp, tanh and their like: a C library's differ in the last bit. */
static float activate(uint32_t act, float alpha, float v)
{
    switch (act) {
    case LB_RELU:
        return canon_nan(canon_relu(v));
    case LB_SCALED_RELU:
        return canon_nan(alpha * canon_relu(v));
    case LB_SIGMOID:
        return canon_sigmoid(v);
    case LB_TANH:
        return canon_tanh(v);
    default:
        return canon_nan(v);
    }
}

/* Rule 2 of the arithmetic, for one output: segments of 256, each a chain of fused multiply-adds from +0, their sums added in ascending order. */
static float dot(const float *a, size_t step_a, const float *b, size_t step_b, size_t k)
{
    float total = 0;
    for (size_t from = 0; from < k; from += 256) {
        float acc = 0;
        for (size_t i = from; i < k && i < from + 256; i++)
            acc = canon_fma(a[i * step_a], b[i * step_b], acc);
        total += acc;
    }
    return total;
}

/* A reference is a buffer and a place in it, counted in elements; lb_f32 gives the pointer, NULL where the reference is absent (here: no bias). Returns 0,
 * or -1 after h->log with the reason. */
static int gemm(void *dev, const struct lb_gemm *o)
{
    (void)dev;
    const float *a = lb_f32(o->a), *b = lb_f32(o->b), *bias = lb_f32(o->bias);
    float *c = lb_f32(o->c);
    for (size_t i = 0; i < o->m; i++)
        for (size_t j = 0; j < o->n; j++) {
            const float *row = o->trans_a ? a + i : a + i * o->k, *column = o->trans_b ? b + j * o->k : b + j;
            const float sum = dot(row, o->trans_a ? o->m : 1, column, o->trans_b ? 1 : o->n, o->k);
            c[i * o->n + j] = activate(o->act, o->alpha, bias ? sum + bias[j] : sum);
        }
    return 0;
}

static int act(void *dev, const struct lb_act_op *o)
{
    (void)dev;
    const float *x = lb_f32(o->x);
    float *y = lb_f32(o->y);
    for (size_t i = 0; i < o->n; i++)
        y[i] = activate(o->act, o->alpha, x[i]);
    return 0;
}

/* v may be absent, and is then not kept: the parentheses of the formula stay where they are. */
static int sgd(void *dev, const struct lb_sgd *o)
{
    (void)dev;
    float *w = lb_f32(o->w), *v = lb_f32(o->v);
    const float *g = lb_f32(o->g);
    for (size_t i = 0; i < o->n; i++) {
        float step = canon_fma(o->decay, w[i], g[i]);
        if (v)
            v[i] = step = canon_nan(canon_fma(o->momentum, v[i], step));
        w[i] = canon_nan(canon_fma(-o->lr, step, w[i]));
    }
    return 0;
}

/* What is left NULL below, and what then happens (docs/plugins.md, "Formats on a backend"):
 *
 *   the other ops                    trials that need one are "unsupported"
 *   weights_create and its three     the host unpacks weights to binary32 and calls gemm and conv2d: rows say `packed` no
 *   gemm_int8, conv2d_int8           trials of the modes w8a8 and w4a8 are "unsupported"
 *   quantizer_create and its two     the host encodes: mode wa says `packed` no
 *   q_weights_create and the q_ ops  trials of the mode integer are "unsupported"
 *
 * A backend that is to run formats as they are stored begins with weights_create for codecs of up to 8 bits, from lb_codes.values alone.
 * plugins/cpu_ref/ has all of them in their shortest form. */
static const struct lb_backend skeleton = {
    .base = {LB_ABI, LB_BACKEND, sizeof skeleton, "skeleton", "an example: three ops in host memory; the others are unsupported"},
    .exact = 1, /* a claim: `lowbit verify` compares the bits with cpu_ref's */
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .gemm = gemm,
    .act = act,
    .sgd = sgd,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&skeleton.base, NULL};
