/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64, LARGE = 32 << 20 };

static atomic_size_t now, peak, refused;

static void count_up(size_t n)
{
    size_t have = atomic_fetch_add(&now, n) + n, seen = atomic_load(&peak);
    while (have > seen && !atomic_compare_exchange_weak(&peak, &seen, have))
        ;
}

void *lb_alloc(size_t n, size_t size, struct lb_err *err)
{
    size_t bytes, total;
    if (lb_mul(n, size, &bytes) || lb_add(bytes, ALIGN, &total) || total > PTRDIFF_MAX) {
        lb_fail(err, "%zu x %zu bytes: more than this machine can address", n, size);
        return NULL;
    }
    void *p = aligned_alloc(ALIGN, (bytes + (bytes == 0) + ALIGN - 1) / ALIGN * ALIGN);
    if (!p) {
        lb_mem_note_refused();
        lb_fail(err, "out of memory: %zu bytes wanted", bytes);
        return NULL;
    }
    if (bytes >= LARGE) /* in huge pages, whose tables a fork copies in no time; where there are none nothing is lost */
        madvise((void *)(((uintptr_t)p + 4095) & ~(uintptr_t)4095), bytes - 4096, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    count_up(malloc_usable_size(p));
    return p;
}

void lb_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub(&now, malloc_usable_size(p));
    free(p);
}

char *lb_strdup(const char *s, struct lb_err *err)
{
    size_t n = strlen(s) + 1;
    char *copy = lb_alloc(n, 1, err);
    return copy ? memcpy(copy, s, n) : NULL;
}

size_t lb_mem_now(void)
{
    return atomic_load(&now);
}

size_t lb_mem_peak(void)
{
    return atomic_load(&peak);
}

void lb_mem_reset_peak(void)
{
    atomic_store(&peak, atomic_load(&now));
}

void lb_mem_note_refused(void)
{
    atomic_fetch_add(&refused, 1);
}

size_t lb_mem_refused(void)
{
    return atomic_load(&refused);
}

int lb_mul(size_t a, size_t b, size_t *out)
{
    return __builtin_mul_overflow(a, b, out) ? -1 : 0;
}

int lb_add(size_t a, size_t b, size_t *out)
{
    return __builtin_add_overflow(a, b, out) ? -1 : 0;
}

static int reserve(struct lb_text *t, size_t more)
{
    size_t want = t->n + more + 1;
    if (t->failed || want <= t->cap)
        return t->failed;
    size_t cap = t->cap ? t->cap : 256;
    while (cap < want)
        cap *= 2;
    char *s = lb_alloc(cap, 1, NULL);
    if (!s)
        return t->failed = 1;
    if (t->s)
        memcpy(s, t->s, t->n + 1);
    lb_free(t->s);
    t->s = s;
    t->cap = cap;
    return 0;
}

void lb_text_put(struct lb_text *t, const char *data, size_t n)
{
    if (reserve(t, n))
        return;
    memcpy(t->s + t->n, data, n);
    t->n += n;
    t->s[t->n] = 0;
}

void lb_text_add(struct lb_text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    t->failed |= n < 0; /* longer than an int counts */
    if (n >= 0 && !reserve(t, (size_t)n)) {
        vsnprintf(t->s + t->n, (size_t)n + 1, format, again);
        t->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

int lb_text_end(struct lb_text *t, struct lb_err *err)
{
    if (!reserve(t, 0))
        return 0;
    lb_text_free(t);
    return lb_fail(err, "out of memory: text");
}

void lb_text_free(struct lb_text *t)
{
    lb_free(t->s);
    *t = (struct lb_text){0};
}
