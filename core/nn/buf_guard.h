/* SPDX-License-Identifier: MIT */
/* buf_guard.h - `lowbit run --guard`: the buffers of a backend that works on host memory lie between pages that cannot be touched, and a process whose op goes beyond
 * one ends after a line on stderr that says which op, which of its arrays, and which byte. */
#ifndef LB_BUF_GUARD_H
#define LB_BUF_GUARD_H

#include "core/base/err.h"
#include <stddef.h>

/* `bytes` zeros at a multiple of 64 bytes. So some bytes are left between their end and the page's, 63 at most, and more before their beginning: there only writing
 * is found, behind the op. */
void *lb_buf_guard_alloc(size_t bytes, struct lb_err *err);
void lb_buf_guard_free(void *p);

/* Before and behind op `op` of the table, whose args are given. */
void lb_buf_guard_enter(const char *backend, const char *op, const void *args);
void lb_buf_guard_leave(void);

#endif
