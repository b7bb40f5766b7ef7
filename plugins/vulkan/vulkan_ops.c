/* SPDX-License-Identifier: MIT */
/* vulkan_ops.c - the ops on elements and on rows, cut where an operand is larger than a binding reaches. */
#include "plugins/vulkan/vulkan.h"

struct vulkan_operand vulkan_in(struct lb_ref r, size_t from, size_t n)
{
    return (struct vulkan_operand){r.buf ? r.buf->ptr : NULL, r.at + from, n, 0};
}

struct vulkan_operand vulkan_out(struct lb_ref r, size_t from, size_t n)
{
    return (struct vulkan_operand){r.buf ? r.buf->ptr : NULL, r.at + from, n, 1};
}

size_t vulkan_groups(const struct vulkan_device *d, enum vulkan_kernel k, size_t invocations)
{
    const size_t group = vulkan_spec(d, k, 0);
    return (invocations + group - 1) / group;
}

/* ---- Elements ---- */

struct element_args {
    uint32_t count;
    float factor[3]; /* alpha; or learning rate, momentum, decay */
};

/* Runs `whole`, whose operands have n elements each, in as many dispatches as a binding's reach asks for. */
static int run_elements(struct vulkan_device *d, const struct vulkan_dispatch *whole, size_t n, struct element_args args)
{
    for (size_t from = 0, part; from < n; from += part) {
        part = n - from < d->t.reach ? n - from : d->t.reach;
        struct vulkan_dispatch c = *whole;
        for (size_t i = 0; i < VULKAN_OPERANDS; i++) {
            c.operand[i].at += from;
            c.operand[i].n = part;
        }
        args.count = (uint32_t)part;
        c.args = &args;
        c.args_bytes = sizeof args;
        c.groups = vulkan_groups(d, c.kernel, part);
        c.work = (double)part;
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

int vulkan_act(void *dev, const struct lb_act_op *o)
{
    const struct vulkan_dispatch c = {.kernel = (enum vulkan_kernel)((uint32_t)KERNEL_ACT + o->act),
                                      .operand = {vulkan_in(o->x, 0, o->n), vulkan_out(o->y, 0, o->n)}};
    return run_elements(dev, &c, o->n, (struct element_args){.factor = {o->alpha}});
}

int vulkan_act_grad(void *dev, const struct lb_act_op *o)
{
    const struct vulkan_dispatch c = {.kernel = (enum vulkan_kernel)((uint32_t)KERNEL_ACT_GRAD + o->act),
                                      .operand = {vulkan_in(o->y, 0, o->n), vulkan_in(o->dy, 0, o->n), vulkan_out(o->dx, 0, o->n)}};
    return run_elements(dev, &c, o->n, (struct element_args){.factor = {o->alpha}});
}

int vulkan_sgd(void *dev, const struct lb_sgd *o)
{
    const struct vulkan_dispatch c = {.kernel = o->v.buf ? KERNEL_SGD_MOMENTUM : KERNEL_SGD,
                                      .operand = {vulkan_in(o->g, 0, o->n), vulkan_out(o->w, 0, o->n), vulkan_out(o->v, 0, o->n)}};
    return run_elements(dev, &c, o->n, (struct element_args){.factor = {o->lr, o->momentum, o->decay}});
}

/* ---- Rows ---- */

struct row_args {
    uint32_t rows, cols;
    float row_divisor, cell_divisor, col_divisor;
};

/* How many rows go into one dispatch; 0 after a log message. An invocation goes through its row up to three times. */
static size_t rows_at_once(struct vulkan_device *d, const char *op, size_t cols)
{
    const size_t most = VULKAN_TERMS / 4;
    if (cols && cols <= most)
        return cols <= d->t.reach ? d->t.reach / cols : 1;
    vulkan_fail(d, "%s: rows of %zu elements; this backend takes 1 to %zu", op, cols, most);
    return 0;
}

static int run_rows(struct vulkan_device *d, struct vulkan_dispatch *c, struct row_args args)
{
    c->args = &args;
    c->args_bytes = sizeof args;
    c->groups = vulkan_groups(d, c->kernel, args.rows);
    c->work = 100.0 * args.rows * args.cols;
    return vulkan_dispatch(d, c);
}

int vulkan_softmax(void *dev, const struct lb_softmax *o)
{
    struct vulkan_device *d = dev;
    const size_t most = o->rows ? rows_at_once(d, "softmax", o->cols) : 1;
    for (size_t from = 0, n; most && from < o->rows; from += n) {
        n = o->rows - from < most ? o->rows - from : most;
        const size_t at = from * o->cols, cells = n * o->cols;
        struct vulkan_dispatch c = {.kernel = KERNEL_SOFTMAX, .operand = {vulkan_in(o->x, at, cells), vulkan_out(o->y, at, cells)}};
        if (run_rows(d, &c, (struct row_args){.rows = (uint32_t)n, .cols = (uint32_t)o->cols}))
            return -1;
    }
    return most ? 0 : -1;
}

int vulkan_softmax_grad(void *dev, const struct lb_softmax *o)
{
    struct vulkan_device *d = dev;
    const size_t most = o->rows ? rows_at_once(d, "softmax_grad", o->cols) : 1;
    for (size_t from = 0, n; most && from < o->rows; from += n) {
        n = o->rows - from < most ? o->rows - from : most;
        const size_t at = from * o->cols, cells = n * o->cols;
        struct vulkan_dispatch c = {.kernel = KERNEL_SOFTMAX_GRAD,
                                    .operand = {vulkan_in(o->y, at, cells), vulkan_in(o->dy, at, cells), vulkan_out(o->dx, at, cells)}};
        if (run_rows(d, &c, (struct row_args){.rows = (uint32_t)n, .cols = (uint32_t)o->cols}))
            return -1;
    }
    return most ? 0 : -1;
}

static int run_loss(struct vulkan_device *d, enum vulkan_kernel k, const char *op, const struct lb_loss *o)
{
    const size_t most = o->rows ? rows_at_once(d, op, o->cols) : 1;
    for (size_t from = 0, n; most && from < o->rows; from += n) {
        n = o->rows - from < most ? o->rows - from : most;
        const size_t at = from * o->cols, cells = n * o->cols;
        struct vulkan_dispatch c = {.kernel = k,
                                    .operand = {vulkan_in(o->x, at, cells), vulkan_in(o->labels, from, n), vulkan_out(o->loss, from, n),
                                                vulkan_out(o->dx, at, cells)}};
        const struct row_args args = {.rows = (uint32_t)n,
                                      .cols = (uint32_t)o->cols,
                                      .row_divisor = (float)o->rows,
                                      .cell_divisor = (float)(o->rows * o->cols),
                                      .col_divisor = (float)o->cols};
        if (run_rows(d, &c, args))
            return -1;
    }
    return most ? 0 : -1;
}

int vulkan_cross_entropy(void *dev, const struct lb_loss *o)
{
    return run_loss(dev, KERNEL_CROSS_ENTROPY, "cross_entropy", o);
}

int vulkan_mse(void *dev, const struct lb_loss *o)
{
    return run_loss(dev, o->reduction == LB_HALF ? KERNEL_MSE + LB_HALF : KERNEL_MSE, "mse", o);
}
