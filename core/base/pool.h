/* SPDX-License-Identifier: MIT */
/* pool.h - the host's threads. */
#ifndef LB_POOL_H
#define LB_POOL_H

#include <stddef.h>

struct lb_pool;

/* `threads` >= 1 counts the caller, which works too. NULL where no thread could be started. Not to be carried over a fork. */
struct lb_pool *lb_pool_create(unsigned threads);
void lb_pool_destroy(struct lb_pool *p);

/* Calls fn(arg, i) for i = 0 .. n - 1, in any order on any thread; returns when all are done. Not to be nested. */
void lb_pool_run(struct lb_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg);

#endif
