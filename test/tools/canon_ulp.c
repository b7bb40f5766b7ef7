/* SPDX-License-Identifier: MIT */
/*
 * canon_ulp [STRIDE [PAIRS [FUNCTION]]]: the largest errors of kernels/canon.h, as CSV on stdout.
 *
 * Unary binary32 functions: every STRIDE-th of the 2^32 inputs (default 1: all) against binary64 libm, whose own error is
 * about 1e-8 of the unit used. div_soft and sqrt_soft must equal the hardware: sqrt on the same inputs, div on all pairs of
 * edge values and on PAIRS (default 10^7) seeded pairs. Binary64 functions: 10^7 seeded inputs against long double libm.
 * Exit status: 0; 1 if a function passes its bound; 2 for bad usage.
 *
 * Build: cc -std=c11 -O2 -mfma -ffp-contract=off -I. test/tools/canon_ulp.c -o canon_ulp -lm -lpthread
 */
#define _POSIX_C_SOURCE 200809L
#include "kernels/canon.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, MAX_THREADS = 64, POWERS = 277, EDGES = 2 * (3 * POWERS + 4) };

static const uint64_t seed = 20240229;

struct worst {
    double ulp;
    uint64_t index, bits, bits2; /* of the worst input; bits2: the divisor */
    uint64_t inputs, misrounded;
};

/* One row of the table. run() handles inputs first .. first + count - 1 of the row's own numbering. */
struct check {
    const char *name;
    double bound; /* in ulp: what kernels/canon.h states, rounded up */
    void (*run)(const struct check *c, uint64_t first, uint64_t count, uint64_t stride, struct worst *w);
    float (*f)(float);
    double (*ref)(double);
    double (*f64)(double);
    long double (*ref64)(long double);
    uint64_t inputs; /* 0: every STRIDE-th of 2^32; 1: PAIRS and edges */
};

static void record(struct worst *w, double ulp, bool misrounded, uint64_t index, uint64_t bits, uint64_t bits2)
{
    w->inputs++;
    w->misrounded += misrounded;
    if (ulp > w->ulp) {
        w->ulp = ulp;
        w->index = index;
        w->bits = bits;
        w->bits2 = bits2;
    }
}

/* Distance in units of the last place that a binary32 of the size of ref has; infinity for a wrong NaN, sign or zero. */
static double ulp_error(float got, double ref)
{
    if (isnan(ref) || isnan(got))
        return isnan(ref) && canon_bits(got) == CANON_NAN ? 0.0 : INFINITY;
    if ((signbit(got) != 0) != (signbit(ref) != 0) || (ref == 0.0 && got != 0.0f))
        return INFINITY;
    if (isinf(ref) || (double)got == ref)
        return isinf(ref) && !isinf(got) ? INFINITY : 0.0;
    double limit = copysign(0x1p+128, ref);
    double g = isinf(got) ? limit : (double)got;
    double r = fabs(ref) > 0x1p+128 ? limit : ref;
    int e = (int)(canon_bits64(r) >> 52 & 0x7FF) - 1023;
    e = e < -126 ? -126 : e > 127 ? 127 : e;
    return fabs(g - r) * canon_float64((uint64_t)(23 - e + 1023) << 52);
}

static void run_unary(const struct check *c, uint64_t first, uint64_t count, uint64_t stride, struct worst *w)
{
    for (uint64_t i = first; i < first + count; i++) {
        float x = canon_float((uint32_t)(i * stride));
        double ref = c->ref((double)x);
        float got = c->f(x);
        record(w, ulp_error(got, ref), !isnan(ref) && (float)ref != got, i, canon_bits(x), 0);
    }
}

/* Units between two binary32 results that should have the same bits. */
static double bit_distance(float got, float want)
{
    uint32_t a = canon_bits(canon_nan(got)), b = canon_bits(canon_nan(want));
    return a == b ? 0.0 : ((a ^ b) >> 31) != 0 ? INFINITY : fabs((double)a - (double)b);
}

static void run_sqrt(const struct check *c, uint64_t first, uint64_t count, uint64_t stride, struct worst *w)
{
    (void)c;
    for (uint64_t i = first; i < first + count; i++) {
        float x = canon_float((uint32_t)(i * stride));
        double d = bit_distance(canon_sqrt_soft(x), sqrtf(x));
        record(w, d, d != 0.0, i, canon_bits(x), 0);
    }
}

/* All powers of two from 2^-149 and both neighbours, 0, 3, infinity and NaN, each with both signs. */
static float edge(uint64_t i)
{
    static const uint32_t others[4] = {0, 0x40400000, CANON_INF, CANON_NAN};
    uint32_t sign = (uint32_t)(i & 1) << 31, k = (uint32_t)(i / 2);
    if (k >= 3 * POWERS)
        return canon_float(sign | others[k - 3 * POWERS]);
    uint32_t power = k / 3 < 23 ? 1u << (k / 3) : (k / 3 - 22) << 23;
    return canon_float(sign | (power + k % 3 - 1));
}

/* A dividend whose quotient by d (odd, 24 bits) is as near to a tie as a quotient can be: m is +-2^-24 modulo d, in [d, 2d), so m * 2^24
 * is an odd multiple of d and 1 more or less. m itself is taken if it has 24 bits or, being even, half of it; else it is just a number. */
static float hard_dividend(uint32_t d, bool minus)
{
    uint64_t m = 1;
    for (int i = 0; i < 24; i++)
        m = m % 2 == 0 ? m / 2 : (m + d) / 2;
    m = (minus ? d - m : m) + d;
    return (float)(m < 1u << 24 ? m : m / 2);
}

static void run_div(const struct check *c, uint64_t first, uint64_t count, uint64_t stride, struct worst *w)
{
    (void)c, (void)stride;
    for (uint64_t i = first; i < first + count; i++) {
        float a, b;
        if (i < (uint64_t)EDGES * EDGES) {
            a = edge(i / EDGES);
            b = edge(i % EDGES);
        } else {
            canon_words r = canon_random64(seed, 0, i);
            uint32_t ua = r.w[0], ub = r.w[1];
            if (r.w[2] % 4 == 1) /* quotients in (1/2, 2) */
                ub = (ub & 0x807FFFFF) | (ua & CANON_INF);
            if (r.w[2] % 4 == 2) { /* quotients that are subnormal or nearly so */
                ua &= 0xBFFFFFFF;
                ub = (ub & 0x807FFFFF) | (((ua >> 23 & 0xFF) + 124 + (r.w[3] & 31)) << 23);
            }
            if (r.w[2] % 8 == 3) { /* short operands: exact quotients and ties */
                ua &= 0xFFFFFFFFu << (r.w[3] % 24);
                ub &= 0xFFFFFFFFu << (r.w[3] / 32 % 24);
            }
            if (r.w[2] % 8 == 7) { /* quotients next to a tie */
                uint32_t d = (ub & 0x007FFFFFu) | 0x00800001u;
                ua = canon_bits(hard_dividend(d, (ua & 1) != 0));
                ub = canon_bits((float)d);
            }
            a = canon_float(ua);
            b = canon_float(ub);
        }
        double d = bit_distance(canon_div_soft(a, b), a / b);
        record(w, d, d != 0.0, i, canon_bits(a), canon_bits(b));
    }
}

static void run_unary64(const struct check *c, uint64_t first, uint64_t count, uint64_t stride, struct worst *w)
{
    (void)stride;
    for (uint64_t i = first; i < first + count; i++) {
        canon_words r = canon_random64(seed, 1, i);
        uint64_t u = (uint64_t)r.w[1] << 32 | r.w[0];
        double unit = (double)(u >> 11) * 0x1p-53, x;
        if (c->f64 == canon_exp64) /* the whole range of finite results, and closer and closer to zero */
            x = r.w[2] % 4 == 0 ? unit * 1455.0 - 745.2 : ldexp(unit * 2.0 - 1.0, 9 - (int)(r.w[3] % 64));
        else /* every positive bit pattern, and closer and closer to one */
            x = r.w[2] % 4 == 0 ? canon_float64(u >> 1) : 1.0 + ldexp(unit * 2.0 - 1.0, -(int)(r.w[3] % 52));
        long double ref = c->ref64((long double)x);
        double got = c->f64(x);
        double ulp = 0.0;
        if (isnan(got) || isnan(ref))
            ulp = isnan(got) && isnan(ref) ? 0.0 : INFINITY;
        else if (isinf(got) || isinf((double)ref))
            ulp = got == (double)ref ? 0.0 : INFINITY;
        else if (ref != 0.0L) {
            int e = ilogbl(ref);
            ulp = (double)fabsl(scalbnl((long double)got - ref, 52 - (e < -1022 ? -1022 : e)));
        }
        record(w, ulp, !isnan(got) && got != (double)ref, i, canon_bits64(x), 0);
    }
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static const struct check checks[] = {
    {"exp", 0.76, run_unary, canon_exp, exp, NULL, NULL, 0},
    {"log", 0.59, run_unary, canon_log, log, NULL, NULL, 0},
    {"tanh", 0.70, run_unary, canon_tanh, tanh, NULL, NULL, 0},
    {"sigmoid", 0.76, run_unary, canon_sigmoid, sigmoid, NULL, NULL, 0},
    {"sin", 0.73, run_unary, canon_sin, sin, NULL, NULL, 0},
    {"cos", 0.73, run_unary, canon_cos, cos, NULL, NULL, 0},
    {"sqrt_soft", 0.0, run_sqrt, NULL, NULL, NULL, NULL, 0},
    {"div_soft", 0.0, run_div, NULL, NULL, NULL, NULL, 1},
    {"exp64", 0.75, run_unary64, NULL, NULL, canon_exp64, expl, 10000000},
    {"log64", 0.60, run_unary64, NULL, NULL, canon_log64, logl, 10000000},
};

struct sweep {
    const struct check *check;
    uint64_t inputs, stride;
    atomic_uint_fast64_t next;
    pthread_mutex_t lock;
    struct worst total;
};

static void *worker(void *argument)
{
    struct sweep *s = argument;
    struct worst w = {.ulp = -1.0};
    uint64_t first;
    while ((first = atomic_fetch_add(&s->next, BLOCK)) < s->inputs) {
        uint64_t left = s->inputs - first;
        s->check->run(s->check, first, left < BLOCK ? left : BLOCK, s->stride, &w);
    }
    pthread_mutex_lock(&s->lock);
    uint64_t inputs = s->total.inputs + w.inputs, misrounded = s->total.misrounded + w.misrounded;
    if (w.ulp > s->total.ulp || (w.ulp == s->total.ulp && w.index < s->total.index)) /* the same row however blocks fall */
        s->total = w;
    s->total.inputs = inputs;
    s->total.misrounded = misrounded;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Runs one row and prints it. Returns whether the bound holds. */
static bool sweep(const struct check *c, uint64_t stride, uint64_t pairs)
{
    struct sweep s = {.check = c, .stride = stride, .lock = PTHREAD_MUTEX_INITIALIZER, .total = {.ulp = -1.0}};
    s.inputs = c->inputs == 0 ? ((UINT64_C(1) << 32) + stride - 1) / stride : c->inputs == 1 ? (uint64_t)EDGES * EDGES + pairs : c->inputs;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores;
    pthread_t id[MAX_THREADS];
    int started = 0;
    while (started < threads && pthread_create(&id[started], NULL, worker, &s) == 0)
        started++;
    if (started == 0)
        worker(&s);
    for (int i = 0; i < started; i++)
        pthread_join(id[i], NULL);

    const struct worst *w = &s.total;
    printf("%s,%" PRIu64 ",%.4f,0x%0*" PRIx64, c->name, w->inputs, w->ulp, c->f64 ? 16 : 8, w->bits);
    if (c->inputs == 1)
        printf("/0x%08" PRIx64, w->bits2);
    printf(",%.4f\n", 100.0 * (double)w->misrounded / (double)w->inputs);
    fflush(stdout);
    return w->ulp <= c->bound;
}

/* A positive integer, or 0 for anything else. */
static uint64_t parse_count(const char *text)
{
    char *end;
    double v = strtod(text, &end); /* so that 1e9 is understood */
    return *text != '\0' && *end == '\0' && v >= 1.0 && v <= 0x1p+53 ? (uint64_t)v : 0;
}

int main(int argc, char **argv)
{
    uint64_t stride = argc > 1 ? parse_count(argv[1]) : 1;
    uint64_t pairs = argc > 2 ? parse_count(argv[2]) : 10000000;
    const char *only = argc > 3 ? argv[3] : NULL;
    if (argc > 4 || stride == 0 || pairs == 0) {
        fprintf(stderr, "usage: canon_ulp [STRIDE [PAIRS [FUNCTION]]]\n");
        return 2;
    }
    bool ok = true, found = false;
    printf("function,inputs,max_ulp,worst_input,incorrectly_rounded_percent\n");
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (only != NULL && strcmp(only, checks[i].name) != 0)
            continue;
        found = true;
        if (!sweep(&checks[i], stride, pairs)) {
            fprintf(stderr, "canon_ulp: %s exceeds its bound of %g ulp; repeat with: canon_ulp %" PRIu64 " %" PRIu64 " %s\n",
                    checks[i].name, checks[i].bound, stride, pairs, checks[i].name);
            ok = false;
        }
    }
    if (!found) {
        fprintf(stderr, "canon_ulp: no function %s\n", only);
        return 2;
    }
    return ok ? 0 : 1;
}
