/* SPDX-License-Identifier: MIT */
/* vulkan_q_images.c - the ops on images of bytes, kernels/vulkan/q_images.comp, cut by images where a binding reaches less far; and copies,
 * kernels/vulkan/q_copy.comp, cut along their longest side. */
#include "plugins/vulkan/vulkan_q.h"

/* ---- Images ---- */

struct image_args {
    uint32_t count, x_from, y_from, h, w, c, kh, kw, stride, pad, dilation, oh, ow, kind, x_type;
    int32_t x_zero, multiplier;
    uint32_t shift;
    int32_t zero, low, high;
};

struct images {
    enum vulkan_kernel kernel; /* the one for quads is the next */
    struct lb_ref x, y;
    struct vulkan_operand scales;
    size_t x_image, y_image, y_size; /* elements of an image; bytes of an element of y */
    const struct lb_q_conv *s;
    size_t turns; /* of an invocation's loop */
    struct image_args args;
};

static void set_sizes(struct image_args *a, const struct lb_q_conv *s, const struct lb_q_out *out)
{
    a->h = (uint32_t)s->h;
    a->w = (uint32_t)s->w;
    a->c = (uint32_t)s->c;
    a->kh = (uint32_t)s->kh;
    a->kw = (uint32_t)s->kw;
    a->stride = (uint32_t)s->stride;
    a->pad = (uint32_t)s->pad;
    a->dilation = (uint32_t)s->dilation;
    a->oh = (uint32_t)s->oh;
    a->ow = (uint32_t)s->ow;
    a->zero = out->zero;
    a->low = out->low;
    a->high = out->high;
}

static int run_images(struct vulkan_device *d, const struct images *o)
{
    const size_t x = o->x_image, y = o->y_image * o->y_size, most = vulkan_q_at_once(d, x > y ? x : y);
    if (o->turns > Q_TURNS)
        return vulkan_fail(d, "windows of %zu taps; this backend takes at most %d", o->turns, Q_TURNS);
    for (size_t from = 0, n; from < o->s->n && o->y_image; from += n) {
        n = o->s->n - from < most ? o->s->n - from : most;
        struct image_args args = o->args;
        struct vulkan_dispatch c = {.args = &args, .args_bytes = sizeof args};
        c.operand[0] = vulkan_q_bytes(o->x, from * x, n * x, 0, &args.x_from);
        c.operand[1] = o->scales;
        c.operand[3] = vulkan_q_bytes(o->y, from * y, n * y, 1, &args.y_from);
        args.count = (uint32_t)(n * o->y_image);
        c.kernel = (enum vulkan_kernel)(o->kernel + (args.c % 4 == 0 && args.x_from == 0));
        c.groups = vulkan_groups(d, c.kernel, (args.count + (size_t)3) / 4);
        c.work = (double)args.count * (double)o->turns;
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

int vulkan_q_pool(void *dev, const struct lb_q_pool *o)
{
    const struct lb_q_conv *s = &o->s;
    struct images i = {.kernel = KERNEL_Q_POOL,
                       .x = o->x,
                       .y = o->y,
                       .scales = vulkan_in(o->scales, 0, 2 * s->kh * s->kw),
                       .x_image = s->h * s->w * s->c,
                       .y_image = s->oh * s->ow * s->c,
                       .y_size = 1,
                       .s = s,
                       .turns = s->kh * s->kw,
                       .args = {.kind = o->kind, .x_type = o->x_type, .x_zero = o->x_zero}};
    set_sizes(&i.args, s, &o->out);
    return run_images(dev, &i);
}

int vulkan_q_im2col(void *dev, const struct lb_q_columns *o)
{
    const struct lb_q_conv *s = &o->s;
    const struct lb_q_out out = {.zero = o->zero};
    struct images i = {.kernel = KERNEL_Q_IM2COL,
                       .x = o->x,
                       .y = o->y,
                       .x_image = s->h * s->w * s->c,
                       .y_image = s->oh * s->ow * s->kh * s->kw * s->c,
                       .y_size = 1,
                       .s = s,
                       .turns = 1};
    set_sizes(&i.args, s, &out);
    return run_images(dev, &i);
}

int vulkan_q_col2im(void *dev, const struct lb_q_col2im *o)
{
    const struct lb_q_conv *s = &o->s;
    const int to_s32 = o->out.type == LB_Q_S32;
    struct images i = {
        .kernel = KERNEL_Q_COL2IM,
        .x = o->x,
        .y = o->y,
        .x_image = s->oh * s->ow * s->kh * s->kw * s->c,
        .y_image = s->h * s->w * s->c,
        .y_size = to_s32 ? 4 : 1,
        .s = s,
        .turns = s->kh * s->kw,
        .args = {
            .kind = (uint32_t)to_s32, .x_type = o->x_type, .x_zero = o->x_zero, .multiplier = o->multiplier, .shift = (uint32_t)o->shift}};
    set_sizes(&i.args, s, &o->out);
    return run_images(dev, &i);
}

/* ---- Copies ---- */

enum { SIDES = 4 };

struct side {
    size_t size, x, y; /* strides */
};

struct copy_args {
    uint32_t x_from, y_from, run, run_words, x_step, size[SIDES], x_stride[SIDES], y_stride[SIDES];
};

/* Sides by their strides in y, the largest first, and those joined that are one in both; returns how many there are. */
static size_t arrange(struct side side[SIDES])
{
    size_t n = 0;
    for (size_t i = 0; i < SIDES; i++) {
        const struct side s = side[i];
        size_t at = n;
        if (s.size == 1)
            continue;
        for (; at && side[at - 1].y < s.y; at--)
            side[at] = side[at - 1];
        side[at] = s;
        n++;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const struct side s = side[i];
        struct side *last = kept ? &side[kept - 1] : NULL;
        if (last && last->x == s.x * s.size && last->y == s.y * s.size)
            *last = (struct side){last->size * s.size, s.x, s.y};
        else
            side[kept++] = s;
    }
    return kept;
}

/* n sides, of which the last is the run where its neighbours are neighbours in y. */
static int run_copy(struct vulkan_device *d, const struct lb_q_copy *o, const struct side *side, size_t n, size_t x_bytes, size_t y_bytes)
{
    const int has_run = n && side[n - 1].y == 1;
    const size_t run = has_run ? side[n - 1].size : 1, outer = has_run ? n - 1 : n, run_words = (run + 6) / 4;
    struct copy_args a = {.run = (uint32_t)run, .run_words = (uint32_t)run_words, .x_step = has_run ? (uint32_t)side[n - 1].x : 1};
    size_t runs = 1;
    for (size_t i = 0; i < SIDES; i++) {
        const struct side s = i < outer ? side[i] : (struct side){1, 0, 0};
        a.size[i] = (uint32_t)s.size;
        a.x_stride[i] = (uint32_t)s.x;
        a.y_stride[i] = (uint32_t)s.y;
        runs *= s.size;
    }
    struct vulkan_dispatch c = {.kernel = KERNEL_Q_COPY,
                                .args = &a,
                                .args_bytes = sizeof a,
                                .groups = vulkan_groups(d, KERNEL_Q_COPY, runs * run_words),
                                .work = (double)runs * (double)run_words};
    c.operand[0] = vulkan_q_bytes(o->x, o->x_at, x_bytes, 0, &a.x_from);
    c.operand[3] = vulkan_q_bytes(o->y, o->y_at, y_bytes, 1, &a.y_from);
    return vulkan_dispatch(d, &c);
}

int vulkan_q_copy(void *dev, const struct lb_q_copy *o)
{
    struct vulkan_device *d = dev;
    struct side side[SIDES];
    size_t x_bytes = 1, y_bytes = 1, longest = 0, most = 0;
    for (size_t i = 0; i < SIDES; i++) {
        side[i] = (struct side){o->size[i], o->x_stride[i], o->y_stride[i]};
        if (!o->size[i])
            return 0;
        const size_t x = (o->size[i] - 1) * o->x_stride[i], y = (o->size[i] - 1) * o->y_stride[i];
        x_bytes += x;
        y_bytes += y;
        if ((x > y ? x : y) > most) {
            most = x > y ? x : y;
            longest = i;
        }
    }
    const size_t reach = 4 * d->t.reach - 4;
    if (!most || (x_bytes <= reach && y_bytes <= reach))
        return run_copy(d, o, side, arrange(side), x_bytes, y_bytes);
    struct lb_q_copy half = *o, rest = *o;
    half.size[longest] /= 2;
    rest.size[longest] -= half.size[longest];
    rest.x_at += half.size[longest] * o->x_stride[longest];
    rest.y_at += half.size[longest] * o->y_stride[longest];
    return vulkan_q_copy(dev, &half) || vulkan_q_copy(dev, &rest) ? -1 : 0;
}
