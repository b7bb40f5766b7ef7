/* SPDX-License-Identifier: MIT */
#include "core/nn/buffers.h"
#include "core/base/mem.h"

int lb_buffers_put(struct lb_buffers *b, int i, const float *data, size_t rows, size_t cols, struct lb_err *err)
{
    size_t n;
    if (lb_mul(rows, cols, &n))
        return lb_fail(err, "%zu x %zu elements: too many", rows, cols);
    return lb_buf_create(b->d, n, &b->buf[i], err) || (data && lb_buf_write(b->d, &b->buf[i], 0, data, n, err)) ? -1 : 0;
}

void lb_buffers_finish(struct lb_buffers *b)
{
    for (int i = 0; i < LB_BUFFERS; i++)
        lb_buf_destroy(b->d, &b->buf[i]);
}

struct lb_ref lb_buffers_at(struct lb_buffers *b, int i)
{
    return (struct lb_ref){b->buf[i].ptr ? &b->buf[i] : NULL, 0};
}
