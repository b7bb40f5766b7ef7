/* SPDX-License-Identifier: MIT */
/* pool.c - a job is finished when its parts are, not when every helper has looked at it: where the machine has other work to do and a
 * helper does not get a CPU, the caller takes all the parts itself and waits for nobody.
 *
 * `ticket` is the number of the job and how many of its parts nobody has taken. Whoever takes one off with a compare-and-exchange of the
 * whole has a part of that job, so the job cannot end, nor fn, arg and n change, before that part is counted in `done`. */
#include "core/base/pool.h"
#include "core/base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct lb_pool {
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    unsigned threads; /* helpers, without the caller */
    pthread_t *thread;
    int stop; /* under lock */
    void (*fn)(void *arg, size_t i);
    void *arg;
    size_t n;
    _Alignas(64) atomic_uint_fast64_t ticket; /* job << 32 | parts left */
    atomic_uint sleepers;                     /* helpers that must be woken */
    _Alignas(64) atomic_size_t done;          /* parts that are finished */
    atomic_uint waiting;                      /* the caller must be woken */
};

/* Looking again for some microseconds costs less than going to sleep: in training a job follows a job. */
enum { LOOKS = 4000 };

static void breathe(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static size_t left(uint_fast64_t ticket)
{
    return (size_t)(ticket & UINT32_MAX);
}

/* Takes parts and does them until none is left. */
static void take(struct lb_pool *p)
{
    uint_fast64_t t = atomic_load(&p->ticket);
    while (left(t)) {
        if (!atomic_compare_exchange_weak(&p->ticket, &t, t - 1))
            continue;
        const size_t n = p->n;
        p->fn(p->arg, n - left(t));
        if (atomic_fetch_add(&p->done, 1) + 1 == n && atomic_load(&p->waiting)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->finished);
            pthread_mutex_unlock(&p->lock);
        }
        t = atomic_load(&p->ticket);
    }
}

/* Waits until there are parts to take; 0: none will come. */
static int wait_for_work(struct lb_pool *p)
{
    for (int i = 0; i < LOOKS; i++, breathe())
        if (left(atomic_load(&p->ticket)))
            return 1;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1); /* before the look at the ticket, as the caller looks here after it has set that */
    while (!left(atomic_load(&p->ticket)) && !p->stop)
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    const int stop = p->stop;
    pthread_mutex_unlock(&p->lock);
    return !stop;
}

static void *helper(void *arg)
{
    struct lb_pool *p = arg;
    while (wait_for_work(p))
        take(p);
    return NULL;
}

struct lb_pool *lb_pool_create(unsigned threads)
{
    struct lb_pool *p = lb_alloc(1, sizeof *p, NULL);
    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->finished, NULL);
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
    pthread_cond_destroy(&p->finished);
    lb_free(p);
}

static void publish(struct lb_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
    p->fn = fn;
    p->arg = arg;
    p->n = n;
    atomic_store(&p->done, 0);
    const uint_fast64_t job = (atomic_load(&p->ticket) >> 32) + 1;
    atomic_store(&p->ticket, job << 32 | n);
    if (!atomic_load(&p->sleepers))
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

void lb_pool_run(struct lb_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
    if (!p || p->threads == 0 || n < 2 || n > UINT32_MAX) {
        for (size_t i = 0; i < n; i++)
            fn(arg, i);
        return;
    }
    publish(p, n, fn, arg);
    take(p);
    for (int i = 0; i < LOOKS && atomic_load(&p->done) < n; i++)
        breathe();
    if (atomic_load(&p->done) == n)
        return;
    atomic_store(&p->waiting, 1);
    pthread_mutex_lock(&p->lock);
    while (atomic_load(&p->done) < n)
        pthread_cond_wait(&p->finished, &p->lock);
    pthread_mutex_unlock(&p->lock);
    atomic_store(&p->waiting, 0);
}
