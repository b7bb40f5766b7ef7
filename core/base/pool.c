/* SPDX-License-Identifier: MIT */
#include "core/base/pool.h"
#include "core/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

struct lb_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    unsigned threads; /* helpers, without the caller */
    atomic_uint busy; /* helpers that are not yet done with the job */
    atomic_ulong job; /* counts jobs; a helper waits until it changes */
    int stop;
    void (*fn)(void *arg, size_t i);
    void *arg;
    size_t n;
    atomic_size_t next;
    pthread_t *thread;
};

/* Looking again for some microseconds costs less than going to sleep: in training a job follows a job. */
enum { LOOKS = 4000 };

static void breathe(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static void take(struct lb_pool *p)
{
    for (size_t i; (i = atomic_fetch_add(&p->next, 1)) < p->n;)
        p->fn(p->arg, i);
}

static void *helper(void *arg)
{
    struct lb_pool *p = arg;
    for (unsigned long seen = 0;;) {
        for (int i = 0; i < LOOKS && atomic_load(&p->job) == seen; i++)
            breathe();
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->job) == seen && !p->stop)
            pthread_cond_wait(&p->work, &p->lock);
        const int stop = p->stop;
        seen = atomic_load(&p->job);
        pthread_mutex_unlock(&p->lock);
        if (stop)
            return NULL;
        take(p);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

struct lb_pool *lb_pool_create(unsigned threads)
{
    struct lb_pool *p = lb_alloc(1, sizeof *p, NULL);
    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->thread = lb_alloc(threads, sizeof *p->thread, NULL);
    while (p->thread && p->threads + 1 < threads && pthread_create(&p->thread[p->threads], NULL, helper, p) == 0)
        p->threads++;
    if (!p->thread || p->threads + 1 < threads) {
        lb_pool_destroy(p);
        return NULL;
    }
    return p;
}

void lb_pool_destroy(struct lb_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads; i++)
        pthread_join(p->thread[i], NULL);
    lb_free(p->thread);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    lb_free(p);
}

void lb_pool_run(struct lb_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
    if (!p || p->threads == 0 || n < 2) {
        for (size_t i = 0; i < n; i++)
            fn(arg, i);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->arg = arg;
    p->n = n;
    atomic_store(&p->next, 0);
    atomic_store(&p->busy, p->threads);
    atomic_fetch_add(&p->job, 1);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    take(p);
    for (int i = 0; i < LOOKS && atomic_load(&p->busy); i++)
        breathe();
    if (!atomic_load(&p->busy))
        return;
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->busy))
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
