/* SPDX-License-Identifier: MIT */
#include "core/base/reserve.h"
#include "core/base/mem.h"

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Pages that are never touched cost nothing. Pieces are not given back: the process is near its end. */
enum { RESERVE = 4 << 20, STEP = 16 };
static _Alignas(STEP) unsigned char reserve[RESERVE];
static atomic_size_t taken;

static int is_ours(const void *p)
{
    return (uintptr_t)p - (uintptr_t)reserve < RESERVE;
}

/* A piece begins behind its size. */
static void *take(size_t n)
{
    const size_t bytes = n < RESERVE / 2 ? STEP + (n + STEP - 1) / STEP * STEP : RESERVE, at = atomic_fetch_add(&taken, bytes);
    if (n >= RESERVE / 2 || at > RESERVE - bytes) {
        atomic_fetch_sub(&taken, bytes);
        lb_mem_note_refused();
        return NULL;
    }
    memcpy(reserve + at, &n, sizeof n);
    return reserve + at + STEP;
}

static void *reserve_malloc(size_t n)
{
    void *p = malloc(n);
    return p || !n ? p : take(n);
}

static void reserve_free(void *p)
{
    if (!is_ours(p))
        free(p);
}

static void *reserve_realloc(void *p, size_t n)
{
    size_t had = n;
    void *q = is_ours(p) ? NULL : realloc(p, n);
    if (q || !n)
        return q;
    q = take(n);
    if (is_ours(p))
        memcpy(&had, (unsigned char *)p - STEP, sizeof had);
    else if (p)
        had = malloc_usable_size(p);
    if (q && p)
        memcpy(q, p, had < n ? had : n);
    if (q)
        reserve_free(p);
    return q;
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return reserve_malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return reserve_realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    reserve_free(p);
}

void lb_reserve_start(void)
{
    json_set_alloc_funcs(reserve_malloc, reserve_free);
    CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free);
}
