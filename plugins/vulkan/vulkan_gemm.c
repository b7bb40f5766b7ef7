/* SPDX-License-Identifier: MIT */
/* vulkan_gemm.c - the matrix product. It is cut into rows and columns of the result, and into whole segments of its terms, where an operand is larger
 * than a binding reaches or the terms are more than an invocation may have. Weights that stay packed come in slabs of columns;
 * where a CPU multiplies them with many rows, some columns at a time are unpacked first: its tiles are too low to unpack for each anew. */
#include "plugins/vulkan/vulkan.h"

#include <string.h>

enum {
    PANEL = 1 << 20, /* most elements that are unpacked at a time */
    COLUMNS = 32,    /* of them a multiple of this many columns */
    MANY_ROWS = 24   /* from which on that pays */
};

struct gemm_args {
    uint32_t count, k0, k1, is_first, is_last, has_bias, act;
    float alpha;
    uint32_t n, a_row, a_col, b_row, b_col, c_row;
    uint32_t packed[VULKAN_PACKED];
};

/* A product; with packed weights b is not a buffer, and transposed. */
struct product {
    const struct lb_gemm *o;
    const struct vulkan_weights *w;
    uint32_t act;
};

/* A part of the product: rows, columns, terms. */
struct part {
    size_t i, m, j, n, k, terms;
    const struct vulkan_slab *slab; /* whose rows are the columns */
    struct vulkan_operand panel;    /* and these columns unpacked, or nothing */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The largest part that fits: m rows, n columns, `terms` terms. Never 0, so that what cannot be cut far enough is refused where it is bound. */
static struct part largest(const struct vulkan_device *d, const struct product *g)
{
    const struct lb_gemm *o = g->o;
    const size_t reach = d->t.reach;
    struct part p = {.m = o->m, .n = o->n, .terms = least(o->k, d->t.terms)};
    if (o->trans_a && o->m)
        p.terms = least(p.terms, reach / o->m);
    if (!o->trans_b && o->n)
        p.terms = least(p.terms, reach / o->n);
    if (p.terms < o->k)
        p.terms = p.terms < VULKAN_SEGMENT ? VULKAN_SEGMENT : p.terms / VULKAN_SEGMENT * VULKAN_SEGMENT;
    if (!o->trans_a && o->k)
        p.m = least(p.m, reach / o->k);
    if (o->n)
        p.m = least(p.m, reach / o->n);
    if (o->trans_b && o->k && !g->w)
        p.n = least(p.n, reach / o->k);
    p.m = p.m ? p.m : 1;
    p.n = p.n ? p.n : 1;
    p.terms = p.terms ? p.terms : 1;
    return p;
}

/* From the first to the last element of `rows` rows of `cols`, `ld` apart. */
static size_t span(size_t rows, size_t cols, size_t ld)
{
    return rows && cols ? (rows - 1) * ld + cols : 0;
}

static struct vulkan_operand right(const struct lb_gemm *o, const struct part *p)
{
    if (p->panel.buffer)
        return (struct vulkan_operand){p->panel.buffer, p->panel.at + p->k, span(p->n, p->terms, o->k), 0};
    if (p->slab)
        return vulkan_slab_operand(p->slab);
    return o->trans_b ? vulkan_in(o->b, p->j * o->k + p->k, span(p->n, p->terms, o->k))
                      : vulkan_in(o->b, p->k * o->n + p->j, span(p->terms, p->n, o->n));
}

static int run(struct vulkan_device *d, const struct product *g, const struct part *p)
{
    const struct lb_gemm *o = g->o;
    const struct vulkan_weights *w = p->panel.buffer ? NULL : g->w;
    enum vulkan_kernel kernel = KERNEL_GEMM;
    const size_t k = p->terms;
    struct gemm_args args = {.count = (uint32_t)(p->m * p->n),
                             .k0 = (uint32_t)p->k,
                             .k1 = (uint32_t)(p->k + k),
                             .is_first = p->k == 0,
                             .is_last = p->k + k == o->k,
                             .has_bias = o->bias.buf != NULL,
                             .act = g->act,
                             .alpha = o->alpha,
                             .n = (uint32_t)p->n,
                             .a_row = o->trans_a ? 1 : (uint32_t)o->k,
                             .a_col = o->trans_a ? (uint32_t)o->m : 1,
                             .b_row = o->trans_b ? 1 : (uint32_t)o->n,
                             .b_col = o->trans_b ? (uint32_t)o->k : 1,
                             .c_row = (uint32_t)o->n};
    const struct vulkan_operand a =
        o->trans_a ? vulkan_in(o->a, p->k * o->m + p->i, span(k, p->m, o->m)) : vulkan_in(o->a, p->i * o->k + p->k, span(p->m, k, o->k));
    if (w) {
        memcpy(args.packed, p->slab->args, sizeof args.packed);
        if (vulkan_packed_kernel(d, w, &vulkan_shaders[KERNEL_GEMM], "RIGHT_PACKED", &kernel))
            return -1;
    }
    const struct vulkan_dispatch c = {
        .kernel = kernel,
        .operand = {a, right(o, p), vulkan_in(o->bias, p->j, p->n), vulkan_out(o->c, p->i * o->n + p->j, span(p->m, p->n, o->n))},
        .args = &args,
        .args_bytes = sizeof args,
        .groups = vulkan_groups(d, kernel, p->m * p->n),
        .work = (double)p->m * (double)p->n * (double)k};
    struct vulkan_factors f = {.m = (uint32_t)p->m,
                               .n = (uint32_t)p->n,
                               .k1 = (uint32_t)k,
                               .has_bias = args.has_bias,
                               .act = g->act,
                               .alpha = o->alpha,
                               .rest = {args.a_row, args.a_col, args.b_row, args.b_col, args.c_row}};
    memcpy(f.packed, args.packed, sizeof f.packed);
    const int tiled = k == o->k ? vulkan_tiles(d, PRODUCT_GEMM, c.operand, &f, w) : 0;
    return tiled ? (tiled < 0 ? -1 : 0) : vulkan_dispatch(d, &c);
}

/* All terms of one block of outputs; without terms the block is made once. */
static int run_terms(struct vulkan_device *d, const struct product *g, struct part p)
{
    const size_t terms = p.terms;
    for (p.k = 0; p.k == 0 || p.k < g->o->k; p.k += terms) {
        p.terms = least(terms, g->o->k - p.k);
        if (run(d, g, &p))
            return -1;
    }
    return 0;
}

/* All rows of the columns of p. */
static int run_rows(struct vulkan_device *d, const struct product *g, struct part p)
{
    const size_t most = p.m;
    for (p.i = 0; p.i < g->o->m; p.i += most) {
        p.m = least(most, g->o->m - p.i);
        if (run_terms(d, g, p))
            return -1;
    }
    return 0;
}

static int unpack(struct vulkan_device *d, const struct product *g, const struct part *p)
{
    static const struct vulkan_shader shader = {"kernels/vulkan/unpack.comp", "", NULL, 0, NULL};
    struct {
        uint32_t rows, cols, row0, packed[VULKAN_PACKED];
    } args = {.rows = (uint32_t)p->n, .cols = (uint32_t)g->o->k, .row0 = (uint32_t)(p->j - p->slab->row)};
    enum vulkan_kernel kernel;
    memcpy(args.packed, p->slab->args, sizeof args.packed);
    if (vulkan_packed_kernel(d, g->w, &shader, "RIGHT_PACKED", &kernel))
        return -1;
    const size_t quads = p->n * ((g->o->k + 3) / 4);
    const struct vulkan_dispatch c = {.kernel = kernel,
                                      .operand = {p->panel, vulkan_slab_operand(p->slab)},
                                      .args = &args,
                                      .args_bytes = sizeof args,
                                      .groups = vulkan_groups(d, kernel, quads),
                                      .work = 40.0 * (double)quads};
    return vulkan_dispatch(d, &c);
}

/* Columns that are unpacked at a time; 0: none are. Never all of them: there is no second copy of a weight. */
static size_t panel_columns(const struct vulkan_device *d, const struct product *g)
{
    const size_t n = g->w->rows, k = g->o->k, most = least(PANEL, d->t.reach);
    if (d->t.type != VK_PHYSICAL_DEVICE_TYPE_CPU || g->o->m < MANY_ROWS || n <= COLUMNS || !k || k * COLUMNS > most)
        return 0;
    return least(most / k, n / 4 + COLUMNS - 1) / COLUMNS * COLUMNS;
}

static int run_slab(struct vulkan_device *d, const struct product *g, struct part p)
{
    const size_t most = panel_columns(d, g), end = p.slab->row + p.slab->rows;
    struct vulkan_buffer *scratch = most ? vulkan_scratch_buffer(d, most * g->o->k * sizeof(float)) : NULL;
    if (most && !scratch)
        return -1;
    for (p.j = p.slab->row; p.j < end; p.j += p.n) {
        p.n = most ? least(most, end - p.j) : p.slab->rows;
        p.panel = (struct vulkan_operand){scratch, 0, p.n * g->o->k, 1};
        if ((scratch && unpack(d, g, &p)) || run_rows(d, g, p))
            return -1;
    }
    return 0;
}

static int run_columns(struct vulkan_device *d, const struct product *g)
{
    const struct part most = largest(d, g);
    struct part p = most;
    for (size_t i = 0; g->w && i < g->w->n; i++) {
        p.slab = &g->w->slab[i];
        if (run_slab(d, g, p))
            return -1;
    }
    for (p.j = 0; !g->w && p.j < g->o->n; p.j += most.n) {
        p.n = least(most.n, g->o->n - p.j);
        if (run_rows(d, g, p))
            return -1;
    }
    return 0;
}

static int make(struct vulkan_device *d, const struct lb_gemm *o, const struct vulkan_weights *w)
{
    const int apart = o->act > LB_SCALED_RELU; /* sigmoid and tanh: a dispatch of their own keeps the product's shader small */
    const struct product g = {o, w, apart ? (uint32_t)LB_LINEAR : o->act};
    const struct lb_act_op act = {.x = o->c, .y = o->c, .n = o->m * o->n, .act = o->act, .alpha = o->alpha};
    if (run_columns(d, &g))
        return -1;
    return apart ? vulkan_act(d, &act) : 0;
}

int vulkan_gemm(void *dev, const struct lb_gemm *o)
{
    return make(dev, o, NULL);
}

int vulkan_gemm_packed(void *dev, const struct lb_gemm_packed *o)
{
    const struct vulkan_weights *w = o->w;
    const struct lb_gemm g = {
        .a = o->a, .bias = o->bias, .c = o->c, .m = o->m, .n = o->n, .k = o->k, .trans_b = 1, .act = o->act, .alpha = o->alpha};
    if (o->n != w->rows || o->k != w->cols)
        return vulkan_fail(dev, "gemm_packed: weights of %zu x %zu for a product of %zu x %zu", w->rows, w->cols, o->n, o->k);
    return make(dev, &g, w);
}
