/* SPDX-License-Identifier: MIT */
/* bounds_backend.c - a backend one of whose functions goes too far: NAME, IN the function's number, and TOUCH what it does there to `first`, `end`, the bytes of one of
 * its arrays. It has few hooks, so that the others cost no time. The numbers: sgd's w 1, bias_grad's dy 2 and db 3, weights_create's codes 4 and scales 5, gemm_packed's memory of those codes 6, quantizer_create's
 * table 7, and with DEVICE, which gives it memory of its own, buf_write 8 and buf_read 9. */
#include "core/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef IN
#define IN 0
#define TOUCH
#endif

static void touch(int in, const void *p, size_t bytes)
{
    volatile unsigned char seen = 0; /* for what is only read */
    unsigned char *first = (unsigned char *)(uintptr_t)p, *end = first + bytes;
    (void)end;
    if (in == IN) {
        TOUCH;
    }
    (void)seen;
}

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return 1;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return malloc(1);
}

static void info(void *dev, struct lb_device_info *out)
{
    (void)dev;
    *out = (struct lb_device_info){.device = "cpu", .isa = "c", .threads = 1};
}

static int sgd(void *dev, const struct lb_sgd *o)
{
    (void)dev;
    for (size_t i = 0; i < o->n; i++) {
        float step = lb_f32(o->g)[i] + o->decay * lb_f32(o->w)[i];
        if (o->v.buf)
            lb_f32(o->v)[i] = step = o->momentum * lb_f32(o->v)[i] + step;
        lb_f32(o->w)[i] -= o->lr * step;
    }
    touch(1, lb_f32(o->w), 4 * o->n);
    return 0;
}

static int bias_grad(void *dev, const struct lb_bias_grad *o)
{
    (void)dev;
    for (size_t c = 0; c < o->c; c++) {
        float sum = 0;
        for (size_t k = 0; k < o->n * o->p; k++)
            sum += lb_f32(o->dy)[(k / o->p * o->c + c) * o->p + k % o->p];
        lb_f32(o->db)[c] = sum;
    }
    touch(2, lb_f32(o->dy), 4 * o->n * o->c * o->p);
    touch(3, lb_f32(o->db), 4 * o->c);
    return 0;
}

#if IN >= 4 && IN <= 7
static void free_nothing(void *dev, void *object)
{
    (void)dev, (void)object;
}
#endif

#if IN >= 4 && IN <= 6

/* It keeps a pointer to what it should copy, in the only case that it takes. */
static struct lb_packed kept;

static void *weights_create(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why, size_t why_size)
{
    (void)dev, (void)uses;
    touch(4, w->codes, w->rows * w->row_bytes);
    if (w->scaled)
        touch(5, w->scales, w->n_scales * w->s.codec->bits / 8);
    kept = *w;
    *bytes = w->rows * w->row_bytes;
    snprintf(why, why_size, "it does no products");
    return IN == 6 ? &kept : NULL;
}

static int gemm_packed(void *dev, const struct lb_gemm_packed *o)
{
    (void)dev, (void)o;
    touch(6, kept.codes, kept.rows * kept.row_bytes);
    return -1;
}

static int conv2d_packed(void *dev, const struct lb_conv2d_packed *o)
{
    (void)dev, (void)o;
    return -1;
}

#elif IN == 7

static void *quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size)
{
    (void)dev;
    touch(7, q->first, q->n * sizeof *q->first);
    snprintf(why, why_size, "it encodes nothing");
    return NULL;
}

static int quantize(void *dev, const struct lb_quantize *o)
{
    (void)dev, (void)o;
    return -1;
}

#endif

#ifdef DEVICE

static int buf_create(void *dev, struct lb_buf *b)
{
    (void)dev;
    b->ptr = calloc(1, b->bytes + 64);
    return b->ptr ? 0 : -1;
}

static void buf_destroy(void *dev, struct lb_buf *b)
{
    (void)dev;
    free(b->ptr);
}

static int buf_write(void *dev, struct lb_buf *b, size_t offset, const void *data, size_t bytes)
{
    (void)dev;
    memcpy((char *)b->ptr + offset, data, bytes);
    touch(8, data, bytes);
    return 0;
}

static int buf_read(void *dev, const struct lb_buf *b, size_t offset, void *data, size_t bytes)
{
    (void)dev;
    memcpy(data, (const char *)b->ptr + offset, bytes);
    touch(9, data, bytes);
    return 0;
}

#endif

static const struct lb_backend bad = {
    .base = {LB_ABI, LB_BACKEND, sizeof bad, NAME, "goes too far"},
    .probe = probe,
    .open = open_device,
    .close = free,
    .info = info,
#ifdef DEVICE
    .buf_create = buf_create,
    .buf_destroy = buf_destroy,
    .buf_write = buf_write,
    .buf_read = buf_read,
#endif
    .sgd = sgd,
    .bias_grad = bias_grad,
#if IN >= 4 && IN <= 6
    .weights_create = weights_create,
    .weights_free = free_nothing,
    .gemm_packed = gemm_packed,
    .conv2d_packed = conv2d_packed,
#elif IN == 7
    .quantizer_create = quantizer_create,
    .quantizer_free = free_nothing,
    .quantize = quantize,
#endif
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
