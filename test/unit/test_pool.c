/* SPDX-License-Identifier: MIT */
/* The host's threads: every part once, whether the helpers are awake, asleep, late, or too many. */
#include "core/base/pool.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { MOST = 200 };

struct job {
    atomic_uint calls[MOST];
    size_t n;
    uint32_t number;    /* of the job: what was written before a run is seen by its parts */
    uint32_t out[MOST]; /* and what they write is seen behind it */
    unsigned delay_us;
};

static void nap(unsigned us)
{
    const struct timespec t = {0, (long)us * 1000};
    nanosleep(&t, NULL);
}

static void part(void *arg, size_t i)
{
    struct job *j = arg;
    atomic_fetch_add(&j->calls[i], 1);
    if (j->delay_us)
        nap(j->delay_us);
    j->out[i] = j->number * 1000 + (uint32_t)i;
}

static void run(struct lb_pool *p, struct job *j, uint32_t number, size_t n, unsigned delay_us)
{
    for (size_t i = 0; i < MOST; i++)
        atomic_store(&j->calls[i], 0);
    j->n = n;
    j->number = number;
    j->delay_us = delay_us;
    lb_pool_run(p, n, part, j);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(atomic_load(&j->calls[i]), 1, "job %u of %zu parts: part %zu was called %u times", number, n, i,
                     atomic_load(&j->calls[i]));
        cr_assert_eq(j->out[i], number * 1000 + i, "job %u of %zu parts: part %zu is not to be seen", number, n, i);
    }
    for (size_t i = n; i < MOST; i++)
        cr_assert_eq(atomic_load(&j->calls[i]), 0, "job %u of %zu parts: part %zu", number, n, i);
}

/* Jobs close behind each other, so that a helper that is late for one meets the next. */
static void many(unsigned threads, uint32_t jobs)
{
    static struct job j;
    struct lb_pool *p = lb_pool_create(threads);
    cr_assert_not_null(p);
    for (uint32_t k = 1; k <= jobs; k++)
        run(p, &j, k, k % 7 ? k % 9 : k % (MOST + 1), 0);
    lb_pool_destroy(p);
}

Test(pool, one_thread)
{
    many(1, 300);
}
Test(pool, two_threads)
{
    many(2, 20000);
}
Test(pool, more_threads_than_cpus)
{
    many(17, 2000);
}

Test(pool, helpers_that_sleep_are_woken)
{
    static struct job j;
    struct lb_pool *p = lb_pool_create(3);
    cr_assert_not_null(p);
    for (uint32_t k = 1; k <= 60; k++) {
        nap(k % 3 ? 2000 : 60);
        run(p, &j, k, 2 + k % 5, k % 2 ? 300 : 0); /* slow parts: the caller has to wait for them asleep, too */
    }
    lb_pool_destroy(p);
}

Test(pool, comes_and_goes)
{
    static struct job j;
    for (uint32_t k = 1; k <= 100; k++) {
        struct lb_pool *p = lb_pool_create(1 + k % 4);
        cr_assert_not_null(p);
        if (k % 3)
            run(p, &j, k, k % 11, 0);
        lb_pool_destroy(p);
    }
}

Test(pool, no_pool_is_one_thread)
{
    static struct job j;
    run(NULL, &j, 1, MOST, 0);
}
