/* SPDX-License-Identifier: MIT */
/* mem.h - the one way to allocate, and the one growing text buffer. */
#ifndef LB_MEM_H
#define LB_MEM_H

#include "core/base/err.h"
#include <stddef.h>

/* n * size bytes, zeroed and 64-byte aligned; NULL with an error on overflow or out of memory. n == 0 gives a valid pointer. Freed by lb_free. */
void *lb_alloc(size_t n, size_t size, struct lb_err *err);
void lb_free(void *p); /* NULL is fine */
char *lb_strdup(const char *s, struct lb_err *err);

/* Bytes that lb_alloc holds now, and the most it has held since lb_mem_reset_peak. */
size_t lb_mem_now(void);
size_t lb_mem_peak(void);
void lb_mem_reset_peak(void);

/* How many allocations found no memory; those of libraries count where whoever calls them notes it. */
size_t lb_mem_refused(void);
void lb_mem_note_refused(void);

/* a * b or a + b into *out; -1 on overflow. For every size that comes from a file. */
int lb_mul(size_t a, size_t b, size_t *out);
int lb_add(size_t a, size_t b, size_t *out);

/* A growing, NUL-ended text; zero-initialise it. After a failed append it stays failed, and lb_text_end reports it. */
struct lb_text {
    char *s;
    size_t n, cap;
    int failed;
};
void lb_text_add(struct lb_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lb_text_put(struct lb_text *t, const char *data, size_t n);
int lb_text_end(struct lb_text *t, struct lb_err *err); /* -1 if an append failed; then t is freed */
void lb_text_free(struct lb_text *t);

#endif
