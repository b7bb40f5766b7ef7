/* SPDX-License-Identifier: MIT */
/* vulkan_sums.c - weight and bias gradients: long sums with few outputs. Segments are made in parallel into scratch memory, then added in order.
 * Cut into runs of segments: what an operand's binding reaches, and what the scratch holds. */
#include "plugins/vulkan/vulkan.h"

#include <string.h>

enum { SCRATCH_FLOATS = 1 << 24 /* sums in scratch at once */, MOST_SEGMENTS = 1 << 15 };

struct sum_args {
    uint32_t count, outputs, k, k0, sample0;
    uint32_t shape[10]; /* bias_grad: channels, positions;  conv2d_dw: c h w o kh kw stride pad oh ow */
};

struct sum {
    enum vulkan_kernel kernel;
    struct lb_ref dy, x, out;
    size_t samples, positions, outputs, rows; /* rows: of the outputs, conv2d_dw's channels */
    size_t dy_image, x_image;                 /* elements of one sample */
    struct sum_args args;
};

/* How many segments fit into a dispatch; at least one, so that what cannot be cut far enough is refused where it is bound. */
static size_t largest(const struct vulkan_device *d, const struct sum *s)
{
    const size_t reach = d->t.reach, image = s->dy_image > s->x_image ? s->dy_image : s->x_image;
    size_t sums = reach < SCRATCH_FLOATS ? reach : SCRATCH_FLOATS;
    size_t n = s->outputs ? sums / s->outputs : MOST_SEGMENTS;
    const size_t samples = image ? reach / image : s->samples;
    /* n segments lie within `samples` samples if they have at most (samples - 1) * positions + 1 terms, wherever they begin. */
    if (samples < s->samples) {
        const size_t terms = samples ? (samples - 1) * s->positions + 1 : 0;
        n = terms / VULKAN_SEGMENT < n ? terms / VULKAN_SEGMENT : n;
    }
    n = n < MOST_SEGMENTS ? n : MOST_SEGMENTS;
    return n ? n : 1;
}

/* Segments from first on, `n` of them, into scratch. */
static int make(struct vulkan_device *d, const struct sum *s, size_t first, size_t n, const struct vulkan_operand *sums)
{
    const size_t k = s->samples * s->positions, k0 = first * VULKAN_SEGMENT;
    const size_t k1 = k - k0 < n * VULKAN_SEGMENT ? k : k0 + n * VULKAN_SEGMENT;
    const size_t sample0 = k0 / s->positions, samples = (k1 - 1) / s->positions + 1 - sample0;
    struct sum_args args = s->args;
    args.count = (uint32_t)(n * s->outputs);
    args.outputs = (uint32_t)s->outputs;
    args.k = (uint32_t)k;
    args.k0 = (uint32_t)k0;
    args.sample0 = (uint32_t)sample0;
    const struct vulkan_dispatch c = {.kernel = s->kernel,
                                      .operand = {vulkan_in(s->dy, sample0 * s->dy_image, samples * s->dy_image),
                                                  vulkan_in(s->x, sample0 * s->x_image, samples * s->x_image), *sums},
                                      .args = &args,
                                      .args_bytes = sizeof args,
                                      .groups = vulkan_groups(d, s->kernel, args.count),
                                      .work = (double)(k1 - k0) * (double)s->outputs};
    int tiled = 0;
    if (s->kernel == KERNEL_CONV2D_DW) {
        const struct vulkan_operand operand[VULKAN_OPERANDS] = {c.operand[0], c.operand[1], {.buffer = NULL}, *sums};
        struct vulkan_factors f = {.m = (uint32_t)s->rows,
                                   .n = (uint32_t)(s->outputs / s->rows),
                                   .k0 = (uint32_t)k0,
                                   .k1 = (uint32_t)k1,
                                   .sample0 = (uint32_t)sample0};
        memcpy(f.rest, args.shape, sizeof f.rest);
        tiled = vulkan_tiles(d, PRODUCT_CONV2D_DW, operand, &f, NULL);
    }
    return tiled ? (tiled < 0 ? -1 : 0) : vulkan_dispatch(d, &c);
}

static int add(struct vulkan_device *d, const struct sum *s, int is_first, size_t n, struct vulkan_operand sums)
{
    const struct {
        uint32_t outputs, segments, is_first;
    } args = {(uint32_t)s->outputs, (uint32_t)n, is_first != 0};
    sums.writes = 0;
    const struct vulkan_dispatch c = {.kernel = KERNEL_ADD_SEGMENTS,
                                      .operand = {sums, vulkan_out(s->out, 0, s->outputs)},
                                      .args = &args,
                                      .args_bytes = sizeof args,
                                      .groups = vulkan_groups(d, KERNEL_ADD_SEGMENTS, s->outputs),
                                      .work = (double)n * (double)s->outputs};
    return vulkan_dispatch(d, &c);
}

static int run(struct vulkan_device *d, const struct sum *s)
{
    const size_t k = s->samples * s->positions, segments = (k + VULKAN_SEGMENT - 1) / VULKAN_SEGMENT, most = largest(d, s);
    if (k > UINT32_MAX)
        return vulkan_fail(d, "a sum of %zu terms; this backend takes up to %lu", k, (unsigned long)UINT32_MAX);
    const size_t at_once = segments < most ? segments : most;
    struct vulkan_buffer *scratch = vulkan_scratch_buffer(d, at_once * s->outputs * sizeof(float));
    if (!scratch)
        return -1;
    if (!segments)
        return add(d, s, 1, 0, (struct vulkan_operand){.buffer = NULL});
    for (size_t first = 0; first < segments; first += at_once) {
        const size_t n = segments - first < at_once ? segments - first : at_once;
        const struct vulkan_operand sums = {scratch, 0, n * s->outputs, 1};
        if (make(d, s, first, n, &sums) || add(d, s, first == 0, n, sums))
            return -1;
    }
    return 0;
}

int vulkan_conv2d_dw(void *dev, const struct lb_conv2d_grad *o)
{
    const struct lb_conv *c = &o->s;
    const struct sum s = {.kernel = KERNEL_CONV2D_DW,
                          .dy = o->dy,
                          .x = o->x,
                          .out = o->out,
                          .samples = c->n,
                          .positions = c->oh * c->ow,
                          .outputs = c->o * c->c * c->kh * c->kw,
                          .rows = c->o,
                          .dy_image = c->o * c->oh * c->ow,
                          .x_image = c->c * c->h * c->w,
                          .args.shape = {(uint32_t)c->c, (uint32_t)c->h, (uint32_t)c->w, (uint32_t)c->o, (uint32_t)c->kh, (uint32_t)c->kw,
                                         (uint32_t)c->stride, (uint32_t)c->pad, (uint32_t)c->oh, (uint32_t)c->ow}};
    return run(dev, &s);
}

int vulkan_bias_grad(void *dev, const struct lb_bias_grad *o)
{
    const struct sum s = {.kernel = KERNEL_BIAS_GRAD,
                          .dy = o->dy,
                          .out = o->db,
                          .samples = o->n,
                          .positions = o->p,
                          .outputs = o->c,
                          .dy_image = o->c * o->p,
                          .args.shape = {(uint32_t)o->c, (uint32_t)o->p}};
    return run(dev, &s);
}
