/* SPDX-License-Identifier: MIT */
/* vulkan_conv.c - convolution and its input gradient. Both are cut by samples, and into whole segments of their terms where these are more than an
 * invocation may have. */
#include "plugins/vulkan/vulkan.h"

#include <string.h>

struct conv_args {
    uint32_t count, k0, k1, is_first, is_last, has_bias, act;
    float alpha;
    uint32_t c, h, w, o, kh, kw, stride, pad, oh, ow;
    uint32_t packed[VULKAN_PACKED];
};

/* What the two have in common: a product of the weights with x or dy, image by image. */
struct product {
    enum vulkan_kernel kernel;
    enum vulkan_product tiles;
    struct lb_ref w, right, bias, out;
    const struct vulkan_weights *packed; /* instead of w, or NULL */
    const struct lb_conv *s;
    size_t right_image, out_image; /* elements of one sample */
    size_t rows, terms;            /* rows: channels of the output */
    uint32_t act;
    float alpha;
};

/* Samples, terms, and the slab of packed weights whose rows are the output channels (one sample where there are several). */
struct part {
    size_t sample, n, k0, k1;
    const struct vulkan_slab *slab;
};

static int run(struct vulkan_device *d, const struct product *p, const struct part *part)
{
    const struct lb_conv *s = p->s;
    const struct vulkan_slab *slab = part->slab;
    const size_t sample = part->sample, n = part->n, k0 = part->k0, k1 = part->k1, positions = p->rows ? p->out_image / p->rows : 0;
    const size_t row = slab ? slab->row : 0, rows = slab ? slab->rows : p->rows, count = n * rows * positions;
    enum vulkan_kernel kernel = p->kernel;
    struct conv_args args = {.count = (uint32_t)count,
                             .k0 = (uint32_t)k0,
                             .k1 = (uint32_t)k1,
                             .is_first = k0 == 0,
                             .is_last = k1 == p->terms,
                             .has_bias = p->bias.buf != NULL,
                             .act = p->act,
                             .alpha = p->alpha,
                             .c = (uint32_t)s->c,
                             .h = (uint32_t)s->h,
                             .w = (uint32_t)s->w,
                             .o = (uint32_t)(slab ? rows : s->o),
                             .kh = (uint32_t)s->kh,
                             .kw = (uint32_t)s->kw,
                             .stride = (uint32_t)s->stride,
                             .pad = (uint32_t)s->pad,
                             .oh = (uint32_t)s->oh,
                             .ow = (uint32_t)s->ow};
    if (slab) {
        memcpy(args.packed, slab->args, sizeof args.packed);
        if (vulkan_packed_kernel(d, p->packed, &vulkan_shaders[p->kernel], "LEFT_PACKED", &kernel))
            return -1;
    }
    const struct vulkan_dispatch c = {.kernel = kernel,
                                      .operand = {slab ? vulkan_slab_operand(slab) : vulkan_in(p->w, 0, s->o * s->c * s->kh * s->kw),
                                                  vulkan_in(p->right, sample * p->right_image, n * p->right_image),
                                                  vulkan_in(p->bias, row, slab ? rows : s->o),
                                                  vulkan_out(p->out, sample * p->out_image + row * positions, count)},
                                      .args = &args,
                                      .args_bytes = sizeof args,
                                      .groups = vulkan_groups(d, kernel, count),
                                      .work = (double)count * (double)(k1 - k0)};
    struct vulkan_factors f = {.m = (uint32_t)rows,
                               .n = (uint32_t)(n * positions),
                               .k1 = (uint32_t)k1,
                               .has_bias = args.has_bias,
                               .act = p->act,
                               .alpha = p->alpha,
                               .rest = {args.c, args.h, args.w, args.o, args.kh, args.kw, args.stride, args.pad, args.oh, args.ow}};
    memcpy(f.packed, args.packed, sizeof f.packed);
    const int tiled = k0 == 0 && k1 == p->terms ? vulkan_tiles(d, p->tiles, c.operand, &f, p->packed) : 0;
    return tiled ? (tiled < 0 ? -1 : 0) : vulkan_dispatch(d, &c);
}

static int run_terms(struct vulkan_device *d, const struct product *p, struct part part)
{
    for (size_t k = 0; k == 0 || k < p->terms; k += d->t.terms) {
        part.k0 = k;
        part.k1 = p->terms - k < d->t.terms ? p->terms : k + d->t.terms;
        if (run(d, p, &part))
            return -1;
    }
    return 0;
}

static int run_slabs(struct vulkan_device *d, const struct product *p, struct part part)
{
    for (size_t i = 0; i < p->packed->n; i++) {
        part.slab = &p->packed->slab[i];
        if (run_terms(d, p, part))
            return -1;
    }
    return 0;
}

static int run_all(struct vulkan_device *d, const struct product *p)
{
    const size_t image = p->right_image > p->out_image ? p->right_image : p->out_image, reach = d->t.reach;
    const size_t most = image && image <= reach && !(p->packed && p->packed->n > 1) ? reach / image : 1;
    for (size_t sample = 0; sample < p->s->n; sample += most) {
        const struct part part = {.sample = sample, .n = p->s->n - sample < most ? p->s->n - sample : most};
        if (p->packed ? run_slabs(d, p, part) : run_terms(d, p, part))
            return -1;
    }
    return 0;
}

static int make(struct vulkan_device *d, const struct lb_conv2d *o, const struct vulkan_weights *w)
{
    const struct lb_conv *s = &o->s;
    const int apart = o->act > LB_SCALED_RELU;
    const struct product p = {.kernel = KERNEL_CONV2D,
                              .tiles = PRODUCT_CONV2D,
                              .w = o->w,
                              .packed = w,
                              .right = o->x,
                              .bias = o->bias,
                              .out = o->y,
                              .s = s,
                              .right_image = s->c * s->h * s->w,
                              .out_image = s->o * s->oh * s->ow,
                              .rows = s->o,
                              .terms = s->c * s->kh * s->kw,
                              .act = apart ? (uint32_t)LB_LINEAR : o->act,
                              .alpha = o->alpha};
    const struct lb_act_op act = {.x = o->y, .y = o->y, .n = s->n * p.out_image, .act = o->act, .alpha = o->alpha};
    if (run_all(d, &p))
        return -1;
    return apart ? vulkan_act(d, &act) : 0;
}

int vulkan_conv2d(void *dev, const struct lb_conv2d *o)
{
    return make(dev, o, NULL);
}

int vulkan_conv2d_packed(void *dev, const struct lb_conv2d_packed *o)
{
    const struct vulkan_weights *w = o->w;
    const struct lb_conv2d c = {.x = o->x, .bias = o->bias, .y = o->y, .s = o->s, .act = o->act, .alpha = o->alpha};
    const size_t terms = o->s.c * o->s.kh * o->s.kw;
    if (o->s.o != w->rows || terms != w->cols)
        return vulkan_fail(dev, "conv2d_packed: weights of %zu x %zu for a product of %zu x %zu", w->rows, w->cols, o->s.o, terms);
    return make(dev, &c, w);
}

int vulkan_conv2d_dx(void *dev, const struct lb_conv2d_grad *o)
{
    const struct lb_conv *s = &o->s;
    const struct product p = {.kernel = KERNEL_CONV2D_DX,
                              .tiles = PRODUCT_CONV2D_DX,
                              .w = o->w,
                              .right = o->dy,
                              .out = o->out,
                              .s = s,
                              .right_image = s->o * s->oh * s->ow,
                              .out_image = s->c * s->h * s->w,
                              .rows = s->c,
                              .terms = s->o * s->kh * s->kw,
                              .act = LB_LINEAR};
    return run_all(dev, &p);
}
