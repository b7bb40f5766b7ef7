/* SPDX-License-Identifier: MIT */
/* vulkan_q_product.c - products of integer tensors: which shader makes them, cut where a binding reaches less far. */
#include "plugins/vulkan/vulkan_q.h"

#include <stdio.h>

enum { SIGNS = 0x80 /* of a byte: unsigned ones become signed ones by it */ };

int vulkan_q_check_terms(struct vulkan_device *d, const char *op, size_t k)
{
    const size_t most = (size_t)Q_TURNS * 4; /* a quad a turn */
    return k <= most ? 0 : vulkan_fail(d, "%s: sums of %zu terms; this backend makes at most %zu", op, k, most);
}

void vulkan_q_types(struct vulkan_q_product *p, uint32_t a_type, int32_t a_zero, const struct lb_q_out *out)
{
    const int is_unsigned = a_type == LB_Q_U8;
    p->to_s32 = out->type == LB_Q_S32;
    p->args.flip = is_unsigned ? SIGNS * 0x01010101u : 0;
    p->args.a_zero = a_zero - (is_unsigned ? SIGNS : 0);
    p->args.zero = out->zero;
    p->args.low = out->low;
    p->args.high = out->high;
}

struct vulkan_operand vulkan_q_bytes(struct lb_ref r, size_t from, size_t n, int writes, uint32_t *rest)
{
    const size_t at = r.at + from / 4, words = (from % 4 + n + 3) / 4;
    *rest = (uint32_t)(from % 4);
    return (struct vulkan_operand){r.buf ? r.buf->ptr : NULL, at, words, writes};
}

size_t vulkan_q_at_once(const struct vulkan_device *d, size_t bytes)
{
    const size_t n = bytes ? 4 * (d->t.reach - 1) / bytes : 1; /* a word less, as bytes may begin within one */
    return n ? n : 1;
}

/* ---- One product ---- */

static const char plain[] = "kernels/vulkan/q_plain.comp";

/* Tiles: constants of their shader by id (that says what they are), rows and columns of outputs. LOW for few rows, NARROW for few columns. */
struct shape {
    const char *file;
    uint32_t spec[VULKAN_SPEC];
    size_t tall, wide;
};
enum { SHAPE_LOW, SHAPE_NARROW, SHAPE_WIDE, SHAPES };
static const struct shape lanes[SHAPES] = {[SHAPE_LOW] = {"kernels/vulkan/q_lanes.comp", {8, 1, 4}, 8, 32},
                                           [SHAPE_NARROW] = {"kernels/vulkan/q_lanes.comp", {8, 4, 1}, 32, 8},
                                           [SHAPE_WIDE] = {"kernels/vulkan/q_lanes.comp", {8, 4, 2}, 32, 16}};
static const struct shape tiles[SHAPES] = {[SHAPE_LOW] = {"kernels/vulkan/q_tiles.comp", {128, 4, 32, 1, 1, 8}, 16, 128},
                                           [SHAPE_NARROW] = {"kernels/vulkan/q_tiles.comp", {128, 32, 4, 1, 1, 8}, 128, 16},
                                           [SHAPE_WIDE] = {"kernels/vulkan/q_tiles.comp", {256, 16, 16, 1, 1, 8}, 64, 64}};
enum { FEW_SHARING = 4 /* columns that share rows: fewer are made plainly */ };

/* 1: the tiles of GPUs on every device; 2: none, as in vulkan_tiles. */
static uint64_t tiles_setting(void)
{
    return vulkan_test_setting("tiles", 0);
}

static int is_cpu(const struct vulkan_device *d)
{
    return d->t.type == VK_PHYSICAL_DEVICE_TYPE_CPU && !tiles_setting();
}

/* Whether so many bytes of the input always lie side by side, and begin at a multiple of their number. */
static int is_aligned(const struct vulkan_q_product *p, uint32_t bytes)
{
    const struct vulkan_q_args *a = &p->args;
    const uint32_t apart = p->conv ? a->rest[Q_C] | a->rest[Q_CHANNELS] : a->a_row | a->rest[Q_A_STEP];
    return (p->operand[0].at * 4 + a->a_from) % bytes == 0 && apart % bytes == 0;
}

/* Groups, or matrices: each is a product of its own. */
static size_t groups_of(const struct vulkan_q_product *p)
{
    return p->conv ? p->args.rest[Q_C] / p->args.rest[Q_CHANNELS] : p->args.rest[Q_BATCH];
}

static size_t args_bytes(const struct vulkan_q_product *p)
{
    return sizeof p->args - (p->conv ? 0 : (Q_CONV - Q_MATRICES) * sizeof *p->args.rest);
}

/* A kernel of one of the files q_*.comp. */
static int kernel_of(struct vulkan_device *d, const struct vulkan_q_product *p, const char *file, const uint32_t *spec, const char *more,
                     enum vulkan_kernel *k)
{
    char defines[100];
    const struct vulkan_shader s = {file, defines, spec, 0, NULL};
    const int pairs = is_cpu(d) && d->t.int64;
    snprintf(defines, sizeof defines, "%s%s%s%s%s%s%s%s%s", p->conv ? "CONV2D" : "MATRICES", p->transposed ? " TRANSPOSED" : "",
             is_aligned(p, 4) ? " ALIGNED" : "", pairs && is_aligned(p, 8) ? " INPUT_PAIRS" : "", pairs ? " WEIGHT_PAIRS" : "",
             p->nibbles ? " NIBBLES" : "", p->to_s32 ? " TO_S32" : "", d->t.dot ? " DOT" : "", more);
    return vulkan_made(d, &s, k);
}

/* Sums of the input's rows, in scratch memory, as the third operand. */
static int make_sums(struct vulkan_device *d, struct vulkan_q_product *p)
{
    const size_t n = (size_t)p->args.m * groups_of(p);
    struct vulkan_buffer *scratch = vulkan_scratch_buffer(d, (p->scratch + n) * sizeof(int32_t));
    enum vulkan_kernel k;
    if (!scratch || kernel_of(d, p, plain, NULL, " SUMS", &k))
        return -1;
    p->operand[2] = (struct vulkan_operand){scratch, p->scratch, n, 1};
    const struct vulkan_dispatch c = {.kernel = k,
                                      .operand = {p->operand[0], {NULL, 0, 0, 0}, {NULL, 0, 0, 0}, p->operand[2]},
                                      .args = &p->args,
                                      .args_bytes = args_bytes(p),
                                      .groups = vulkan_groups(d, k, n),
                                      .work = (double)n * p->args.k};
    p->operand[2].writes = 0;
    p->args.has_sums = 1;
    return vulkan_dispatch(d, &c);
}

/* By tiles of outputs of one group; -1 after a log message. */
static int make_tiles(struct vulkan_device *d, const struct vulkan_q_product *p, const struct shape *s, struct vulkan_dispatch *c)
{
    const size_t groups = groups_of(p), columns = p->conv && groups > 1 ? p->args.rest[Q_OUTPUTS] : p->args.n;
    c->groups = groups * ((p->args.m + s->tall - 1) / s->tall) * ((columns + s->wide - 1) / s->wide);
    return kernel_of(d, p, s->file, s->spec, "", &c->kernel) ? -1 : vulkan_dispatch(d, c);
}

static int make_plainly(struct vulkan_device *d, const struct vulkan_q_product *p, struct vulkan_dispatch *c)
{
    const struct vulkan_q_args *a = &p->args;
    const size_t matrices = p->conv ? 1 : a->rest[Q_BATCH], quads = (a->n + (size_t)3) / 4;
    const int apart = p->conv && groups_of(p) > 1 && (a->rest[Q_OUTPUTS] | a->rest[Q_FIRST]) % 4;
    if (kernel_of(d, p, plain, NULL, apart ? " APART" : "", &c->kernel))
        return -1;
    c->groups = vulkan_groups(d, c->kernel, matrices * a->m * quads);
    return vulkan_dispatch(d, c);
}

/* Whether shared memory has room for the pieces of q_tiles.comp, and a work group for its threads. */
static int fits(const struct vulkan_device *d, const struct shape *s)
{
    const size_t pieces = s->spec[5] * (s->tall / 4 + 1 + s->wide / 4 + 1) * 16;
    return s->spec[0] <= d->t.group_most && s->spec[0] <= d->t.group_size[0] && pieces <= d->t.shared;
}

/* The tiles that suit, or NULL. Those of a convolution in groups are not cut by output channels. */
static const struct shape *shape_of(const struct vulkan_device *d, const struct vulkan_q_product *p)
{
    const int in_groups = p->conv && groups_of(p) > 1;
    const uint32_t columns = in_groups ? p->args.rest[Q_OUTPUTS] : p->args.n;
    if (tiles_setting() == 2 || p->args.m == 1 || columns < FEW_SHARING || (in_groups && p->args.n != columns * groups_of(p)))
        return NULL;
    const struct shape *all = is_cpu(d) ? lanes : tiles;
    const struct shape *s = &all[p->args.m <= all[SHAPE_LOW].tall    ? SHAPE_LOW
                                 : columns <= all[SHAPE_NARROW].wide ? SHAPE_NARROW
                                                                     : SHAPE_WIDE];
    return (all == lanes ? vulkan_can_lanes(d) : fits(d, s)) ? s : NULL;
}

int vulkan_q_product(struct vulkan_device *d, struct vulkan_q_product *p)
{
    const struct vulkan_q_args *a = &p->args;
    if (!a->m || !a->n)
        return 0;
    p->args.a_last = p->operand[0].n ? (uint32_t)(p->operand[0].n - 1) : 0;
    if (p->zeros && make_sums(d, p))
        return -1;
    const struct shape *s = shape_of(d, p);
    struct vulkan_dispatch c = {
        .args = a, .args_bytes = args_bytes(p), .work = (p->conv ? 1.0 : a->rest[Q_BATCH]) * a->m * (double)a->n * a->k};
    for (int i = 0; i < VULKAN_OPERANDS; i++)
        c.operand[i] = p->operand[i];
    return s ? make_tiles(d, p, s, &c) : make_plainly(d, p, &c);
}

/* ---- With weights: units are the rows of a matrix, or the images of a convolution ---- */

struct layer {
    const char *op;
    const struct vulkan_q_weights *w;
    struct lb_ref x, y;
    size_t units, x_unit, y_unit; /* how many; bytes and elements of each */
    size_t positions;             /* rows of the product in a unit */
    struct vulkan_q_product p;
};

static size_t size_of(const struct layer *l)
{
    return l->p.to_s32 ? 4 : 1;
}

static int run(struct vulkan_device *d, const struct layer *l, size_t from, size_t n, const struct vulkan_q_slab *s)
{
    struct vulkan_q_product p = l->p;
    const size_t size = size_of(l), first = from * l->y_unit + s->row, elements = (n * l->positions - 1) * p.args.c_row + s->rows;
    p.args.m = (uint32_t)(n * l->positions);
    p.args.n = (uint32_t)s->rows;
    p.operand[0] = vulkan_q_bytes(l->x, from * l->x_unit, n * l->x_unit, 0, &p.args.a_from);
    p.operand[1] = (struct vulkan_operand){s->buf.ptr, 0, s->buf.bytes / 4, 0};
    p.operand[3] = vulkan_q_bytes(l->y, first * size, elements * size, 1, &p.args.c_from);
    if (p.conv)
        p.args.rest[Q_FIRST] = (uint32_t)s->row;
    return vulkan_q_product(d, &p);
}

static size_t most_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int run_layer(struct vulkan_device *d, struct layer *l, size_t rows, size_t terms)
{
    const struct vulkan_q_weights *w = l->w;
    const size_t sums = w->zeros ? 4 * l->positions * groups_of(&l->p) : 0;
    const size_t most = vulkan_q_at_once(d, most_of(most_of(l->x_unit, l->y_unit * size_of(l)), sums));
    if (rows != w->rows || terms != w->cols)
        return vulkan_fail(d, "%s: weights of %zu x %zu for a product of %zu x %zu", l->op, w->rows, w->cols, rows, terms);
    if (!l->positions)
        return 0;
    l->p.nibbles = w->nibbles;
    l->p.zeros = w->zeros;
    l->p.args.k = (uint32_t)terms;
    l->p.args.w_row = (uint32_t)w->row_words;
    for (size_t from = 0, n; from < l->units; from += n) {
        n = l->units - from < most ? l->units - from : most;
        for (size_t i = 0; i < w->n; i++)
            if (run(d, l, from, n, &w->slab[i]))
                return -1;
    }
    return 0;
}

int vulkan_q_dense(void *dev, const struct lb_q_dense *o)
{
    struct layer l = {.op = "q_dense", .w = o->w, .x = o->a, .y = o->c, .units = o->m, .x_unit = o->k, .y_unit = o->n, .positions = 1};
    vulkan_q_types(&l.p, o->a_type, o->a_zero, &o->out);
    l.p.args.a_row = (uint32_t)o->k;
    l.p.args.c_row = (uint32_t)o->n;
    l.p.args.rest[Q_BATCH] = 1;
    return run_layer(dev, &l, o->n, o->k);
}

int vulkan_q_conv2d(void *dev, const struct lb_q_conv2d *o)
{
    const struct lb_q_conv *s = &o->s;
    const size_t positions = s->oh * s->ow, channels = s->c / s->groups;
    struct layer l = {
        .op = "q_conv2d",
        .w = o->w,
        .x = o->x,
        .y = o->y,
        .units = s->n,
        .x_unit = s->h * s->w * s->c,
        .y_unit = positions * s->o,
        .positions = positions,
        .p = {.conv = 1,
              .transposed = s->transposed,
              .args.rest = {(uint32_t)s->h, (uint32_t)s->w, (uint32_t)s->c, (uint32_t)s->kw, (uint32_t)s->stride, (uint32_t)s->pad,
                            (uint32_t)s->dilation, (uint32_t)s->oh, (uint32_t)s->ow, (uint32_t)channels, (uint32_t)(s->o / s->groups)}}};
    vulkan_q_types(&l.p, o->x_type, o->x_zero, &o->out);
    l.p.args.c_row = (uint32_t)s->o;
    if (l.p.args.a_zero < INT8_MIN || l.p.args.a_zero > INT8_MAX)
        return vulkan_fail(dev, "q_conv2d: the input's zero point %d is not a number of its type", (int)o->x_zero);
    return run_layer(dev, &l, s->o, s->kh * s->kw * channels);
}
