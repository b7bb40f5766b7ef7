/* SPDX-License-Identifier: MIT */
/* vulkan_q_ops.c - the ops on the elements of integer tensors: kernels/vulkan/q_elements.comp, cut where an operand is larger than a binding reaches. */
#include "plugins/vulkan/vulkan_q.h"

enum { ELEMENTS = 4 /* of an invocation */, OPERAND_BYTES, OPERAND_NUMBERS, OPERAND_WHOLE };

/* An operand that is cut with the elements, each a byte or a number of 4; or stays whole, `n` elements of 4 bytes. */
struct cut {
    struct lb_ref r;
    int kind, writes;
    size_t n;
};

struct elements {
    enum vulkan_kernel kernel;
    size_t n;
    struct cut cut[VULKAN_OPERANDS];
};

static struct vulkan_operand part_of(const struct cut *c, size_t from, size_t n)
{
    uint32_t none;
    switch (c->kind) {
    case OPERAND_BYTES:
        return vulkan_q_bytes(c->r, from, n, c->writes, &none);
    case OPERAND_NUMBERS:
        return c->writes ? vulkan_out(c->r, from, n) : vulkan_in(c->r, from, n);
    default:
        return vulkan_in(c->r, 0, c->n);
    }
}

/* args: those of the shader; the first word becomes the count of a part and, where the elements have columns, the second which column it begins with,
 * of as many as the third says. */
static int run(struct vulkan_device *d, const struct elements *e, uint32_t *args, size_t args_bytes, int has_columns)
{
    const size_t most = d->t.reach < ELEMENTS ? ELEMENTS : d->t.reach / ELEMENTS * ELEMENTS;
    for (size_t from = 0, n; from < e->n; from += n) {
        n = e->n - from < most ? e->n - from : most;
        args[0] = (uint32_t)n;
        if (has_columns)
            args[1] = (uint32_t)(from % args[2]);
        struct vulkan_dispatch c = {.kernel = e->kernel,
                                    .args = args,
                                    .args_bytes = args_bytes,
                                    .groups = vulkan_groups(d, e->kernel, (n + ELEMENTS - 1) / ELEMENTS),
                                    .work = 10.0 * (double)n};
        for (int i = 0; i < VULKAN_OPERANDS; i++)
            c.operand[i] = part_of(&e->cut[i], from, n);
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

int vulkan_q_table(void *dev, const struct lb_q_table *o)
{
    uint32_t args[1];
    const struct elements e = {
        KERNEL_Q_TABLE, o->n, {{o->x, OPERAND_BYTES, 0, 0}, {o->table, OPERAND_WHOLE, 0, 256 / 4}, {o->y, OPERAND_BYTES, 1, 0}}};
    return run(dev, &e, args, sizeof args, 0);
}

int vulkan_q_binary(void *dev, const struct lb_q_binary *o)
{
    uint32_t args[] = {0,
                       o->kind == LB_Q_MUL,
                       o->a_type,
                       o->b_type,
                       (uint32_t)o->a_zero,
                       (uint32_t)o->b_zero,
                       (uint32_t)o->a_multiplier,
                       (uint32_t)o->b_multiplier,
                       (uint32_t)o->shift,
                       (uint32_t)o->out.zero,
                       (uint32_t)o->out.low,
                       (uint32_t)o->out.high};
    const struct elements e = {
        KERNEL_Q_BINARY, o->n, {{o->a, OPERAND_BYTES, 0, 0}, {o->b, OPERAND_BYTES, 0, 0}, {o->y, OPERAND_BYTES, 1, 0}}};
    return run(dev, &e, args, sizeof args, 0);
}

/* Columns of what there is a number for each of: one where all elements share it. */
static size_t columns(int per_column, size_t cols)
{
    return per_column ? cols : 1;
}

int vulkan_q_requantize(void *dev, const struct lb_q_requantize *o)
{
    const size_t n = columns(o->per_column, o->cols);
    const int to_s32 = o->out.type == LB_Q_S32;
    uint32_t args[] = {0, 0, (uint32_t)n, (uint32_t)to_s32, (uint32_t)o->out.zero, (uint32_t)o->out.low, (uint32_t)o->out.high};
    const struct elements e = {KERNEL_Q_REQUANTIZE,
                               o->rows * o->cols,
                               {{o->x, OPERAND_NUMBERS, 0, 0},
                                {o->multiplier, OPERAND_WHOLE, 0, n},
                                {o->shift, OPERAND_WHOLE, 0, n},
                                {o->y, to_s32 ? OPERAND_NUMBERS : OPERAND_BYTES, 1, 0}}};
    return run(dev, &e, args, sizeof args, 1);
}

int vulkan_q_quantize(void *dev, const struct lb_q_quantize *o)
{
    const size_t n = columns(o->per_column, o->cols);
    uint32_t args[] = {0, 0, (uint32_t)n, (uint32_t)o->out.zero, (uint32_t)o->out.low, (uint32_t)o->out.high};
    const struct elements e = {KERNEL_Q_QUANTIZE,
                               o->rows * o->cols,
                               {{o->x, OPERAND_NUMBERS, 0, 0}, {o->scale, OPERAND_WHOLE, 0, n}, {o->y, OPERAND_BYTES, 1, 0}}};
    return run(dev, &e, args, sizeof args, 1);
}

int vulkan_q_dequantize(void *dev, const struct lb_q_dequantize *o)
{
    const size_t n = columns(o->per_column, o->cols);
    uint32_t args[] = {0, 0, (uint32_t)n, o->x_type, (uint32_t)o->zero};
    const struct elements e = {KERNEL_Q_DEQUANTIZE,
                               o->rows * o->cols,
                               {{o->x, o->x_type == LB_Q_S32 ? OPERAND_NUMBERS : OPERAND_BYTES, 0, 0},
                                {o->scale, OPERAND_WHOLE, 0, n},
                                {o->y, OPERAND_NUMBERS, 1, 0}}};
    return run(dev, &e, args, sizeof args, 1);
}
