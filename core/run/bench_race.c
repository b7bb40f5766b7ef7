/* SPDX-License-Identifier: MIT */
/* bench_race.c - contenders in turns. */
#include "core/base/io.h"
#include "core/run/bench_impl.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_TURNS = 101, MIN_TURNS = 7, MAX_CONTENDERS = BENCH_ENTRIES + 8 };

static int runs(const struct contender *c, size_t n, double *seconds, struct lb_err *err)
{
    const double start = lb_seconds();
    for (size_t i = 0; i < n; i++)
        if (c->run(c->arg, err))
            return -1;
    *seconds = (lb_seconds() - start) / (double)n;
    return 0;
}

/* Threads of the one before may still look for work, for a tenth of a millisecond; and the first run finds cold caches and sleeping
 * threads. */
static int turn(const struct contender *c, double *seconds, struct lb_err *err)
{
    const struct timespec settle = {0, 300000};
    nanosleep(&settle, NULL);
    if (c->repeats > 1 && runs(c, 1, seconds, err))
        return -1;
    return runs(c, c->repeats, seconds, err);
}

/* Warms up, and finds how many runs make a turn of a few milliseconds, and whether it is so slow that this run must do. */
static int calibrate(struct contender *c, double budget, double *seconds, struct lb_err *err)
{
    const double least = 4e-3;
    c->repeats = 1;
    c->turns = MAX_TURNS;
    if (runs(c, 1, seconds, err))
        return -1;
    if (*seconds > least && *seconds > budget) {
        c->turns = 1;
        return 0;
    }
    if (turn(c, seconds, err))
        return -1;
    while (*seconds * (double)c->repeats < least) {
        c->repeats *= 4;
        if (turn(c, seconds, err))
            return -1;
    }
    if (c->repeats > 1)
        c->repeats = (size_t)(least / *seconds) + 1;
    return 0;
}

/* All turns last about alike, up to a limit, so that what else runs on the machine takes its share of each. */
static void even_out(struct contender *c, const double *seconds, size_t n)
{
    const double most = 0.2;
    double longest = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].turns == MAX_TURNS && seconds[i] * (double)c[i].repeats > longest)
            longest = seconds[i] * (double)c[i].repeats;
    longest = longest < most ? longest : most;
    for (size_t i = 0; i < n; i++)
        if (c[i].turns == MAX_TURNS && (double)(c[i].repeats + 1) * seconds[i] < longest)
            c[i].repeats = (size_t)(longest / seconds[i]);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(struct contender *c, double *times, size_t turns)
{
    qsort(times, turns, sizeof *times, ascending);
    c->turns = turns;
    c->seconds = times[turns / 2];
    c->best = times[0];
    c->spread = (times[turns * 3 / 4] - times[turns / 4]) / c->seconds;
}

int lb_bench_race(struct contender *c, size_t n, double budget, struct lb_err *err)
{
    double times[MAX_CONTENDERS][MAX_TURNS], first[MAX_CONTENDERS];
    size_t turns = 0;
    if (n > MAX_CONTENDERS)
        return lb_fail(err, "bench: more than %d at a time; choose backends with --backend", MAX_CONTENDERS);
    for (size_t i = 0; i < n; i++)
        if (calibrate(&c[i], budget, &first[i], err))
            return -1;
    even_out(c, first, n);
    const double start = lb_seconds();
    for (; turns < MAX_TURNS && (turns < MIN_TURNS || lb_seconds() - start < budget); turns++)
        for (size_t j = 0; j < n; j++) {
            const size_t i = turns % 2 ? n - 1 - j : j; /* so that nobody always comes after the same one */
            times[i][turns] = first[i];
            if (c[i].turns > 1 && turn(&c[i], &times[i][turns], err))
                return -1;
        }
    for (size_t i = 0; i < n; i++)
        summarise(&c[i], times[i], turns < c[i].turns ? turns : c[i].turns);
    return 0;
}
