/* SPDX-License-Identifier: MIT */
/* vulkan_gemm.c - the matrix product. It is cut into rows and columns of the result, and into whole segments of its terms, where an operand is larger
 * than a binding reaches or the terms are more than an invocation may have. */
#include "plugins/vulkan/vulkan.h"

struct gemm_args {
    uint32_t count, k0, k1, is_first, is_last, has_bias, act;
    float alpha;
    uint32_t n, a_row, a_col, b_row, b_col, c_row;
};

/* A part of the product: rows, columns, terms. */
struct part {
    size_t i, m, j, n, k, terms;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The largest part that fits: m rows, n columns, `terms` terms. Never 0, so that what cannot be cut far enough is refused where it is bound. */
static struct part largest(const struct vulkan_device *d, const struct lb_gemm *o)
{
    const size_t reach = d->t.reach;
    struct part p = {0, o->m, 0, o->n, 0, least(o->k, d->t.terms)};
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
    if (o->trans_b && o->k)
        p.n = least(p.n, reach / o->k);
    p.m = p.m ? p.m : 1;
    p.n = p.n ? p.n : 1;
    return p;
}

/* From the first to the last element of `rows` rows of `cols`, `ld` apart. */
static size_t span(size_t rows, size_t cols, size_t ld)
{
    return rows && cols ? (rows - 1) * ld + cols : 0;
}

static int run(struct vulkan_device *d, const struct lb_gemm *o, const struct part *p, uint32_t act)
{
    const size_t k = p->terms;
    const struct gemm_args args = {.count = (uint32_t)(p->m * p->n),
                                   .k0 = (uint32_t)p->k,
                                   .k1 = (uint32_t)(p->k + k),
                                   .is_first = p->k == 0,
                                   .is_last = p->k + k == o->k,
                                   .has_bias = o->bias.buf != NULL,
                                   .act = act,
                                   .alpha = o->alpha,
                                   .n = (uint32_t)p->n,
                                   .a_row = o->trans_a ? 1 : (uint32_t)o->k,
                                   .a_col = o->trans_a ? (uint32_t)o->m : 1,
                                   .b_row = o->trans_b ? 1 : (uint32_t)o->n,
                                   .b_col = o->trans_b ? (uint32_t)o->k : 1,
                                   .c_row = (uint32_t)o->n};
    const struct vulkan_operand a =
        o->trans_a ? vulkan_in(o->a, p->k * o->m + p->i, span(k, p->m, o->m)) : vulkan_in(o->a, p->i * o->k + p->k, span(p->m, k, o->k));
    const struct vulkan_operand b =
        o->trans_b ? vulkan_in(o->b, p->j * o->k + p->k, span(p->n, k, o->k)) : vulkan_in(o->b, p->k * o->n + p->j, span(k, p->n, o->n));
    const struct vulkan_dispatch c = {
        .kernel = KERNEL_GEMM,
        .operand = {a, b, vulkan_in(o->bias, p->j, p->n), vulkan_out(o->c, p->i * o->n + p->j, span(p->m, p->n, o->n))},
        .args = &args,
        .args_bytes = sizeof args,
        .groups = vulkan_groups(d, KERNEL_GEMM, p->m * p->n),
        .work = (double)p->m * (double)p->n * (double)k};
    const struct vulkan_factors f = {.m = (uint32_t)p->m,
                                     .n = (uint32_t)p->n,
                                     .k1 = (uint32_t)k,
                                     .has_bias = args.has_bias,
                                     .act = act,
                                     .alpha = o->alpha,
                                     .rest = {args.a_row, args.a_col, args.b_row, args.b_col, args.c_row}};
    const int tiled = k == o->k ? vulkan_tiles(d, PRODUCT_GEMM, c.operand, &f) : 0;
    return tiled ? (tiled < 0 ? -1 : 0) : vulkan_dispatch(d, &c);
}

/* All terms of one block of outputs; without terms the block is made once. */
static int run_terms(struct vulkan_device *d, const struct lb_gemm *o, struct part p, uint32_t act)
{
    const size_t terms = p.terms;
    for (p.k = 0; p.k == 0 || p.k < o->k; p.k += terms) {
        p.terms = least(terms, o->k - p.k);
        if (run(d, o, &p, act))
            return -1;
    }
    return 0;
}

int vulkan_gemm(void *dev, const struct lb_gemm *o)
{
    struct vulkan_device *d = dev;
    const int apart = o->act > LB_SCALED_RELU; /* sigmoid and tanh: a dispatch of their own keeps the product's shader small */
    const struct part most = largest(d, o);
    struct part p = most;
    for (p.i = 0; p.i < o->m; p.i += most.m)
        for (p.j = 0; p.j < o->n; p.j += most.n) {
            p.m = least(most.m, o->m - p.i);
            p.n = least(most.n, o->n - p.j);
            if (run_terms(d, o, p, apart ? (uint32_t)LB_LINEAR : o->act))
                return -1;
        }
    const struct lb_act_op act = {.x = o->c, .y = o->c, .n = o->m * o->n, .act = o->act, .alpha = o->alpha};
    return apart ? vulkan_act(d, &act) : 0;
}
