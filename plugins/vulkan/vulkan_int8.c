/* SPDX-License-Identifier: MIT */
/* vulkan_int8.c - products of packed weights with activations of 8 bits: docs/arithmetic.md 8.12, kernels/vulkan/integers.comp. Activations are made
 * integers on the device, so many rows (samples) at a time as a binding reaches. */
#include "plugins/vulkan/vulkan.h"

#include <stdio.h>
#include <string.h>

enum {
    ROWS = 8, /* outputs of an invocation */
    PIECE = 32768,
    TURNS = 60000 /* of loops of an invocation: llvmpipe ends them after 65535 */
};
enum { FIRST = 0x100, LAST = 0x200, BIASED = 0x400 }; /* flags of integers.comp */

struct int8_args {
    uint32_t m, n, k0, k1, flags;
    float alpha;
    uint32_t words, scales_at, per_row, a_block, c_row;
    uint32_t rest[10 + VULKAN_PACKED]; /* a convolution's shape, then the weights' */
};

struct product {
    const char *op;
    const struct vulkan_weights *w;
    struct lb_ref x, bias, y;
    size_t rows, cols;   /* of x */
    size_t terms, block; /* block: activations that share a scale, 0: a row */
    size_t out_row;      /* elements of the result for a row of x */
    size_t positions;    /* of a convolution's output; else 0 */
    struct int8_args args;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int check(struct vulkan_device *d, const struct product *p, size_t rows)
{
    const struct vulkan_weights *w = p->w;
    if (rows != w->rows || p->terms != w->cols)
        return vulkan_fail(d, "%s: weights of %zu x %zu for a product of %zu x %zu", p->op, w->rows, w->cols, rows, p->terms);
    if (!(w->uses & LB_USE_INT8))
        return vulkan_fail(d, "%s: the weights were not made for integer products", p->op);
    return 0;
}

static int kernel_of(struct vulkan_device *d, const struct product *p, int one, enum vulkan_kernel *k)
{
    char defines[80], dot[16] = "";
    const struct vulkan_shader s = {"kernels/vulkan/integers.comp", defines, NULL, 0, NULL};
    if (d->t.dot && p->w->dot)
        snprintf(dot, sizeof dot, " DOT=%d", p->w->dot);
    snprintf(defines, sizeof defines, "%s ROWS=%d SHIFT=%d%s", p->positions ? "CONV2D" : "GEMM", one ? 1 : ROWS, p->w->shift, dot);
    return vulkan_packed_kernel(d, p->w, &s, p->positions ? "LEFT_PACKED" : "RIGHT_PACKED", k);
}

/* Terms of a dispatch: whole pieces, whose bounds are multiples of any of these lengths, and four terms or a sixth of a piece a turn of loops. */
static size_t terms_at_once(const struct vulkan_device *d, const struct product *p)
{
    const size_t piece = least(least(p->block ? p->block : PIECE, p->w->block ? p->w->block : PIECE), PIECE);
    const size_t most = least(TURNS * 4 / (24 / piece + 2), d->t.terms);
    return most < piece ? piece : most / piece * piece;
}

/* n rows of x from `from` on, which are `b`, and a slab. */
static int run(struct vulkan_device *d, const struct product *p, size_t from, size_t n, const struct vulkan_bytes *b,
               const struct vulkan_slab *s)
{
    struct int8_args args = p->args;
    const size_t step = p->positions ? p->positions : 1, at = from * p->out_row + s->row * step;
    const size_t down = p->positions ? s->rows : n, across = p->positions ? n * p->positions : s->rows;
    const size_t out = (n - 1) * p->out_row + s->rows * step;
    enum vulkan_kernel k;
    args.m = (uint32_t)down;
    args.n = (uint32_t)across;
    args.words = (uint32_t)b->words;
    args.scales_at = (uint32_t)b->scales_at;
    args.per_row = (uint32_t)b->per_row;
    memcpy(args.rest + (p->positions ? 10 : 0), s->args, sizeof s->args);
    if (!down || !across)
        return 0;
    if (kernel_of(d, p, down == 1, &k))
        return -1;
    const size_t groups_down = (down + ROWS - 1) / ROWS, terms = terms_at_once(d, p);
    struct vulkan_dispatch c = {.kernel = k,
                                .operand = {b->all, vulkan_slab_operand(s), vulkan_in(p->bias, s->row, s->rows), vulkan_out(p->y, at, out)},
                                .args = &args,
                                .args_bytes = sizeof args - (p->positions ? 0 : 10 * sizeof *args.rest),
                                .groups = vulkan_groups(d, k, groups_down * across),
                                .work = (double)down * (double)across * (double)p->terms};
    if (p->positions) {
        c.operand[0] = vulkan_slab_operand(s);
        c.operand[1] = b->all;
    }
    for (size_t t = 0; t == 0 || t < p->terms; t += terms) {
        const size_t end = p->terms - t < terms ? p->terms : t + terms;
        args.k0 = (uint32_t)t;
        args.k1 = (uint32_t)end;
        args.flags = p->args.flags | (t == 0 ? FIRST : 0u) | (end == p->terms ? LAST : 0u);
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

/* Slabs of a convolution's weights are channels, which lie apart in each sample: several are made sample by sample. */
static int make(struct vulkan_device *d, struct product *p, struct lb_act_op *act)
{
    const size_t words = (p->cols + 3) / 4, of_row = p->cols > p->out_row ? p->cols : p->out_row;
    const size_t scales = p->block ? p->cols / p->block + 1 : 1, reach = d->t.reach / (of_row + words + scales);
    const size_t most = reach && !(p->positions && p->w->n > 1) ? reach : 1;
    const int apart = act->act > LB_SCALED_RELU;
    p->args.a_block = (uint32_t)p->block;
    p->args.flags = (apart ? (uint32_t)LB_LINEAR : act->act) | (p->bias.buf ? BIASED : 0u);
    p->args.alpha = act->alpha;
    for (size_t from = 0, n; from < p->rows; from += n) {
        struct vulkan_bytes b;
        n = least(p->rows - from, most);
        if (vulkan_bytes(d, (struct lb_ref){p->x.buf, p->x.at + from * p->cols}, n, p->cols, p->block, &b))
            return -1;
        for (size_t i = 0; i < p->w->n; i++)
            if (run(d, p, from, n, &b, &p->w->slab[i]))
                return -1;
    }
    return apart ? vulkan_act(d, act) : 0;
}

int vulkan_gemm_int8(void *dev, const struct lb_gemm_packed *o)
{
    struct product p = {.op = "gemm_int8",
                        .w = o->w,
                        .x = o->a,
                        .bias = o->bias,
                        .y = o->c,
                        .rows = o->m,
                        .cols = o->k,
                        .terms = o->k,
                        .block = o->block,
                        .out_row = o->n,
                        .args = {.c_row = (uint32_t)o->n}};
    struct lb_act_op act = {.x = o->c, .y = o->c, .n = o->m * o->n, .act = o->act, .alpha = o->alpha};
    return check(dev, &p, o->n) ? -1 : make(dev, &p, &act);
}

int vulkan_conv2d_int8(void *dev, const struct lb_conv2d_packed *o)
{
    const struct lb_conv *s = &o->s;
    struct product p = {.op = "conv2d_int8",
                        .w = o->w,
                        .x = o->x,
                        .bias = o->bias,
                        .y = o->y,
                        .rows = s->n,
                        .cols = s->c * s->h * s->w,
                        .terms = s->c * s->kh * s->kw,
                        .out_row = s->o * s->oh * s->ow,
                        .positions = s->oh * s->ow,
                        .args.rest = {(uint32_t)s->c, (uint32_t)s->h, (uint32_t)s->w, (uint32_t)s->o, (uint32_t)s->kh, (uint32_t)s->kw,
                                      (uint32_t)s->stride, (uint32_t)s->pad, (uint32_t)s->oh, (uint32_t)s->ow}};
    struct lb_act_op act = {.x = o->y, .y = o->y, .n = s->n * p.out_row, .act = o->act, .alpha = o->alpha};
    return check(dev, &p, s->o) ? -1 : make(dev, &p, &act);
}
