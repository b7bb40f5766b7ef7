/* SPDX-License-Identifier: MIT */
/* err.h - the one error type. A function that can fail returns 0 or -1 and fills in a caller-owned `struct lb_err`; the first error wins. */
#ifndef LB_ERR_H
#define LB_ERR_H

struct lb_err {
    int set;         /* 0: no error yet */
    char text[1024]; /* one line, without a newline: "file:line:column: path: what was wanted, what was found" */
};

/* Records the message unless an error is already there; control characters become '?'. Returns -1, so that a caller writes `return lb_fail(err, ...)`. `err` may be NULL. */
int lb_fail(struct lb_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the message that is there; does nothing without one. Returns -1. */
int lb_fail_in(struct lb_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
