/* SPDX-License-Identifier: MIT */
/* buffers.h - the few buffers on a device that one op on host data needs. */
#ifndef LB_BUFFERS_H
#define LB_BUFFERS_H

#include "core/nn/backend.h"

enum { LB_BUFFERS = 4 };

/* Set d, zero the rest; finish frees everything. */
struct lb_buffers {
    struct lb_dev *d;
    struct lb_buf buf[LB_BUFFERS];
};

/* Makes buffer i of rows x cols elements of 4 bytes, zeroed where data is NULL. */
int lb_buffers_put(struct lb_buffers *b, int i, const float *data, size_t rows, size_t cols, struct lb_err *err);
void lb_buffers_finish(struct lb_buffers *b);

/* Buffer i as an op takes it: absent where it was not made. */
struct lb_ref lb_buffers_at(struct lb_buffers *b, int i);

#endif
