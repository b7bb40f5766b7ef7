/* SPDX-License-Identifier: MIT */
/*
 * canon_ulp [--quick] [--pairs N] [FUNCTION...]: the largest errors of kernels/canon.h against MPFR, as CSV on stdout.
 *
 * Unary binary32 functions: all 2^32 inputs. canon_true.h gives for each an interval that holds the true value. It settles the input
 * where both its ends round to the same binary32 number and where, from both ends, the error is less than the largest found so far: that
 * is nearly everywhere. Every other input is MPFR's, at 160 bits. So the largest error, where it is (the lowest bit pattern of equals,
 * apart for subnormal results) and the count of results that are not correctly rounded are MPFR's, although few inputs are. What this
 * rests on is tried on one input of each block: that MPFR's value is in the interval, and that the loops measured, which use FMA where
 * there is one, have the bits of the plain build.
 * Half of the inputs go by symmetry, which is checked bit for bit: sin and tanh are odd, cos is even, log and sqrt of what is negative
 * are NaN.
 *
 * div_soft must equal the hardware on all pairs of edge values and on N (default 10^7) seeded pairs; sqrt_soft must be correctly rounded.
 * Binary64 functions: 10^7 seeded inputs, each by MPFR. --quick: the stated worst inputs and some 2^23 that are spread, not 2^32; 10^5,
 * not 10^7: seconds.
 * Exit status: 0; 1 where the largest error or its place is not as stated, or a check fails; 2 for bad usage.
 */
#include "kernels/canon.h"
#include "test/tools/canon_pairs.h"
#include "test/tools/canon_true.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEEDED = 1 << 16, MAX_THREADS = 64, BINADES = 512 };
enum { QUICK_BLOCK = 256, QUICK_EVERY = 509 };

static const uint64_t seed = 20240229;
static const struct true_format binary32 = {24, -126, 127}, binary64 = {53, -1022, 1023};

enum half { WHOLE, ODD, EVEN, NAN_BELOW_ZERO };

struct worst {
    double ulp;
    uint64_t bits, bits2; /* of the input; bits2: the divisor */
};

/* One row of the table. Stated are the largest error in ulp, rounded up to 4 decimals, and its input: of normal and of subnormal results. */
struct row {
    const char *name;
    struct worst stated[2];
    true_function truth;
    /* binary32 */
    float (*f)(float);
    void (*fast)(uint32_t first, uint32_t count, float *y); /* f, for a machine with AVX2 and FMA */
    true_intervals intervals;
    enum half half;
    /* binary64 */
    double (*f64)(double);
};

/* ---- What was found ---- */

struct tally {
    struct worst worst[2]; /* normal results, subnormal ones */
    uint64_t inputs, misrounded, asked;
    bool broken; /* what the measurement rests on does not hold */
};

/* An error of this size is none: it need not be measured. */
#define NEGLIGIBLE 0x1p-20

static const struct tally no_tally = {.worst = {{.ulp = NEGLIGIBLE}, {.ulp = NEGLIGIBLE}}};

/* The row must not depend on how the inputs fall to the threads. */
static void keep_worst(struct worst *w, struct worst other)
{
    if (other.ulp > w->ulp || (other.ulp == w->ulp && other.bits < w->bits))
        *w = other;
}

static void merge(struct tally *total, const struct tally *t)
{
    for (int i = 0; i < 2; i++)
        keep_worst(&total->worst[i], t->worst[i]);
    total->inputs += t->inputs;
    total->misrounded += t->misrounded;
    total->asked += t->asked;
    total->broken |= t->broken;
}

/* ---- Work for the threads ---- */

struct worker {
    struct truth truth;
    struct anchors anchors;
    float y[TRUE_BLOCK], negative[TRUE_BLOCK];
    struct interval v[TRUE_BLOCK];
    struct tally tally;
};

struct sweep {
    const struct row *row;
    void (*run)(const struct sweep *s, uint64_t item, struct worker *w);
    uint64_t items, inputs;
    bool quick, fma;
    atomic_uint_fast64_t next;
    pthread_mutex_t lock;
    struct tally total;
};

/* ---- Binary32, one input at a time: by MPFR ---- */

static void ask(const struct sweep *s, struct worker *w, float x, float got)
{
    double rounded;
    truth_at(&w->truth, s->row->truth, (double)x);
    if (!truth_round(&w->truth, false, &rounded)) {
        fprintf(stderr, "canon_ulp: %s(0x%08" PRIx32 "): %d bits do not tell how it is rounded\n", s->row->name, canon_bits(x), TRUE_BITS);
        w->tally.broken = true;
    }
    const bool wrong = canon_bits(got) != canon_bits(canon_nan((float)rounded));
    const bool regular = mpfr_regular_p(w->truth.value) != 0;
    const double ulp = regular ? truth_distance(&w->truth, &binary32, (double)got) : wrong ? (double)INFINITY : 0.0;
    const bool subnormal = regular && mpfr_get_exp(w->truth.value) - 1 < binary32.e_min;
    keep_worst(&w->tally.worst[subnormal], (struct worst){ulp, canon_bits(x), 0});
    w->tally.misrounded += wrong;
    w->tally.asked++;
}

/* An input whose result must have these bits. */
static void demand(struct worker *w, uint32_t x, uint32_t got, uint32_t want)
{
    if (got != want) {
        keep_worst(&w->tally.worst[0], (struct worst){(double)INFINITY, x, 0});
        w->tally.misrounded++;
    }
}

/* ---- Binary32, a block of inputs: by intervals, where they tell ---- */

/* Twice the distance of two neighbours above a magnitude, inverted: what makes a distance one in ulp. */
static double per_ulp(double magnitude)
{
    const int e = (int)(canon_bits64(magnitude) >> 52) - 1023;
    return canon_float64((uint64_t)(23 - (e < -126 ? -126 : e > 127 ? 127 : e) + 1023) << 52);
}

static double clamped(double y)
{
    return y > 0x1p+128 ? 0x1p+128 : y < -0x1p+128 ? -0x1p+128 : y;
}

/* Whether the interval alone shows that nothing has to be asked; wrong: that the result is not the correctly rounded one. */
static bool settled(const struct tally *t, float got, const struct interval *v, bool *wrong)
{
    const float a = (float)v->low, b = (float)v->high;
    const double low = clamped(v->low), high = clamped(v->high), g = clamped((double)got);
    const double to_low = fabs(g - low), to_high = fabs(g - high), far = to_low > to_high ? to_low : to_high;
    const double small = fabs(low) < fabs(high) ? fabs(low) : fabs(high), large = fabs(low) < fabs(high) ? fabs(high) : fabs(low);
    const bool subnormal = large < 0x1p-126;
    *wrong = canon_bits(got) != canon_bits(a);
    return canon_bits(a) == canon_bits(b) && (subnormal || small >= 0x1p-126) && far * per_ulp(small) < t->worst[subnormal].ulp;
}

static void judge(const struct sweep *s, struct worker *w, uint32_t first, uint32_t count)
{
    bool wrong;
    for (uint32_t j = 0; j < count; j++)
        if (settled(&w->tally, w->y[j], &w->v[j], &wrong))
            w->tally.misrounded += wrong;
        else
            ask(s, w, canon_float(first + j), w->y[j]);
}

static void values(const struct sweep *s, uint32_t first, uint32_t count, float *y)
{
    if (s->fma && s->row->fast)
        s->row->fast(first, count, y);
    else
        for (uint32_t j = 0; j < count; j++)
            y[j] = s->row->f(canon_float(first + j));
}

/* One input of the block, chosen at random: is what the others rest on true there? */
static void try_one(const struct sweep *s, struct worker *w, uint32_t first, uint32_t count)
{
    const uint32_t j = canon_random64(seed, 2, first).w[0] % count;
    const float x = canon_float(first + j);
    truth_at(&w->truth, s->row->truth, (double)x);
    if (mpfr_cmp_d(w->truth.value, w->v[j].low) < 0 || mpfr_cmp_d(w->truth.value, w->v[j].high) > 0) {
        fprintf(stderr, "canon_ulp: %s(0x%08" PRIx32 ") is not in [%a, %a]\n", s->row->name, first + j, w->v[j].low, w->v[j].high);
        w->tally.broken = true;
    }
    if (canon_bits(s->row->f(x)) != canon_bits(w->y[j])) {
        fprintf(stderr, "canon_ulp: %s(0x%08" PRIx32 "): with FMA the bits are others\n", s->row->name, first + j);
        w->tally.broken = true;
    }
}

static void run_finite(const struct sweep *s, struct worker *w, uint32_t first, uint32_t count)
{
    const enum half half = s->row->half;
    values(s, first, count, w->y);
    w->tally.inputs += count;
    if (half == NAN_BELOW_ZERO && first >= CANON_SIGN) {
        for (uint32_t j = 0; j < count; j++)
            if (first + j == CANON_SIGN)
                ask(s, w, -0.0f, w->y[j]);
            else
                demand(w, first + j, canon_bits(w->y[j]), CANON_NAN);
        return;
    }
    s->row->intervals(&w->anchors, first, count, w->v);
    const uint64_t misrounded = w->tally.misrounded;
    judge(s, w, first, count);
    try_one(s, w, first, count);
    if (half != ODD && half != EVEN)
        return;
    w->tally.inputs += count;
    w->tally.misrounded += w->tally.misrounded - misrounded;
    values(s, first | CANON_SIGN, count, w->negative);
    for (uint32_t j = 0; j < count; j++)
        demand(w, (first + j) | CANON_SIGN, canon_bits(w->negative[j]), canon_bits(w->y[j]) ^ (half == ODD ? CANON_SIGN : 0u));
}

/* Infinities and NaN of both signs. */
static void run_specials(const struct sweep *s, struct worker *w, uint32_t first, uint32_t count)
{
    values(s, first, count, w->y);
    w->tally.inputs += count;
    for (uint32_t j = 0; j < count; j++)
        if (((first + j) & ~CANON_SIGN) == CANON_INF)
            ask(s, w, canon_float(first + j), w->y[j]);
        else
            demand(w, first + j, canon_bits(w->y[j]), CANON_NAN);
}

/* An item is a binade of one sign. Those next to one come first: they have errors that most others do not reach. */
static void run_unary(const struct sweep *s, uint64_t item, struct worker *w)
{
    const uint32_t block = s->quick ? QUICK_BLOCK : TRUE_BLOCK, every = s->quick ? QUICK_EVERY : 1, start = (uint32_t)(item ^ 127) << 23;
    const bool special = (start >> 23) % 256 == 255;
    if (!special && start >= CANON_SIGN && (s->row->half == ODD || s->row->half == EVEN))
        return;
    for (uint32_t i = 0; i < 1u << 23; i += block * every)
        (special ? run_specials : run_finite)(s, w, start + i, block);
    for (int i = 0; i < 2 && s->quick && item == 0; i++)
        if (s->row->stated[i].ulp != 0.0)
            run_finite(s, w, (uint32_t)s->row->stated[i].bits, 1);
}

/* ---- Division ---- */

/* Units between two binary32 results that should have the same bits. */
static double bit_distance(float got, float want)
{
    uint32_t a = canon_bits(canon_nan(got)), b = canon_bits(canon_nan(want));
    return a == b ? 0.0 : ((a ^ b) >> 31) != 0 ? (double)INFINITY : fabs((double)a - (double)b);
}

static uint64_t end_of(const struct sweep *s, uint64_t item)
{
    return (item + 1) * SEEDED < s->inputs ? (item + 1) * SEEDED : s->inputs;
}

static void run_div(const struct sweep *s, uint64_t item, struct worker *w)
{
    for (uint64_t i = item * SEEDED; i < end_of(s, item); i++) {
        float a = edge(i / EDGES % EDGES), b = edge(i % EDGES);
        if (i >= (uint64_t)EDGES * EDGES)
            seeded_pair(seed, i, &a, &b);
        const double d = bit_distance(canon_div_soft(a, b), a / b);
        keep_worst(&w->tally.worst[0], (struct worst){d, canon_bits(a), canon_bits(b)});
        w->tally.misrounded += d != 0.0;
        w->tally.inputs++;
    }
}

/* ---- Binary64 ---- */

static double seeded_input64(const struct row *row, uint64_t i)
{
    canon_words r = canon_random64(seed, 1, i);
    uint64_t u = (uint64_t)r.w[1] << 32 | r.w[0];
    double unit = (double)(u >> 11) * 0x1p-53;
    if (row->f64 == canon_exp64) /* the whole range of finite results, and closer and closer to zero */
        return r.w[2] % 4 == 0 ? unit * 1455.0 - 745.2 : ldexp(unit * 2.0 - 1.0, 9 - (int)(r.w[3] % 64));
    /* every positive bit pattern, and closer and closer to one */
    return r.w[2] % 4 == 0 ? canon_float64(u >> 1) : 1.0 + ldexp(unit * 2.0 - 1.0, -(int)(r.w[3] % 52));
}

static void ask64(const struct sweep *s, struct worker *w, double x)
{
    struct truth *t = &w->truth;
    const double got = s->row->f64(x);
    double rounded;
    truth_at(t, s->row->truth, x);
    w->tally.broken |= !truth_round(t, true, &rounded);
    const bool wrong = isnan(rounded) ? !isnan(got) : got != rounded, regular = mpfr_regular_p(t->value) != 0;
    const double ulp = regular ? truth_distance(t, &binary64, got) : wrong ? (double)INFINITY : 0.0;
    const bool subnormal = regular && mpfr_get_exp(t->value) - 1 < binary64.e_min;
    keep_worst(&w->tally.worst[subnormal], (struct worst){ulp, canon_bits64(x), 0});
    w->tally.misrounded += wrong;
    w->tally.inputs++;
    w->tally.asked++;
}

static void run_unary64(const struct sweep *s, uint64_t item, struct worker *w)
{
    for (uint64_t i = item * SEEDED; i < end_of(s, item); i++)
        ask64(s, w, seeded_input64(s->row, i));
    for (int i = 0; i < 2 && s->quick && item == 0; i++)
        if (s->row->stated[i].ulp != 0.0)
            ask64(s, w, canon_float64(s->row->stated[i].bits));
}

/* ---- The table ---- */

#if defined(__x86_64__)
#define FMA_AVX2 __attribute__((target("avx2,fma"), flatten))
#else
#define FMA_AVX2
#endif

FMA_AVX2 static void exp_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_exp(canon_float(first + j));
}

FMA_AVX2 static void log_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_log(canon_float(first + j));
}

FMA_AVX2 static void tanh_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_tanh(canon_float(first + j));
}

FMA_AVX2 static void sigmoid_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_sigmoid(canon_float(first + j));
}

FMA_AVX2 static void sin_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_sin(canon_float(first + j));
}

FMA_AVX2 static void cos_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_cos(canon_float(first + j));
}

FMA_AVX2 static void sqrt_avx2(uint32_t first, uint32_t count, float *y)
{
    for (uint32_t j = 0; j < count; j++)
        y[j] = canon_sqrt_soft(canon_float(first + j));
}

static const struct row rows[] = {
    {"exp", {{0.5987, 0x4047C6F0, 0}, {0.7579, 0xC2AF6568, 0}}, mpfr_exp, canon_exp, exp_avx2, intervals_exp, WHOLE, NULL},
    {"log", {{0.5897, 0x3F2BE206, 0}, {0, 0, 0}}, mpfr_log, canon_log, log_avx2, intervals_log, NAN_BELOW_ZERO, NULL},
    {"tanh", {{0.6961, 0x3F0AB81E, 0}, {0, 0, 0}}, mpfr_tanh, canon_tanh, tanh_avx2, intervals_tanh, ODD, NULL},
    {"sigmoid",
     {{0.5971, 0xC1E08C47, 0}, {0.7579, 0xC2AF6568, 0}},
     true_sigmoid,
     canon_sigmoid,
     sigmoid_avx2,
     intervals_sigmoid,
     WHOLE,
     NULL},
    {"sin", {{0.7296, 0x6E8B0EE5, 0}, {0, 0, 0}}, mpfr_sin, canon_sin, sin_avx2, intervals_sin, ODD, NULL},
    {"cos", {{0.7284, 0x63CEFA77, 0}, {0, 0, 0}}, mpfr_cos, canon_cos, cos_avx2, intervals_cos, EVEN, NULL},
    {"sqrt_soft", {{0.5, 0x017FFFFF, 0}, {0, 0, 0}}, mpfr_sqrt, canon_sqrt_soft, sqrt_avx2, intervals_sqrt, NAN_BELOW_ZERO, NULL},
    {"div_soft", {{0, 0, 0}, {0, 0, 0}}, NULL, NULL, NULL, NULL, WHOLE, NULL},
    {"exp64", {{0.5887, 0xC08301BF9BB68269, 0}, {0.7484, 0xC08624DC845176FE, 0}}, mpfr_exp, NULL, NULL, NULL, WHOLE, canon_exp64},
    {"log64", {{0.5961, 0x3FF5F7BD5B6BD5DD, 0}, {0, 0, 0}}, mpfr_log, NULL, NULL, NULL, WHOLE, canon_log64},
};

static void *work(void *argument)
{
    struct sweep *s = argument;
    struct worker *w = malloc(sizeof *w);
    if (!w)
        abort();
    truth_init(&w->truth);
    anchors_init(&w->anchors);
    uint64_t item;
    while ((item = atomic_fetch_add(&s->next, 1)) < s->items) {
        w->tally = no_tally;
        pthread_mutex_lock(&s->lock);
        memcpy(w->tally.worst, s->total.worst, sizeof w->tally.worst); /* the larger it is, the fewer inputs are MPFR's */
        pthread_mutex_unlock(&s->lock);
        s->run(s, item, w);
        pthread_mutex_lock(&s->lock);
        merge(&s->total, &w->tally);
        pthread_mutex_unlock(&s->lock);
    }
    anchors_finish(&w->anchors);
    truth_finish(&w->truth);
    mpfr_free_cache();
    free(w);
    return NULL;
}

static void in_threads(struct sweep *s)
{
    long cores = mpfr_buildopt_tls_p() ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
    int threads = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores, started = 0;
    pthread_t id[MAX_THREADS];
    while (started < threads && pthread_create(&id[started], NULL, work, s) == 0)
        started++;
    if (started == 0)
        work(s);
    for (int i = 0; i < started; i++)
        pthread_join(id[i], NULL);
}

/* As it is stated. */
static double four_decimals_up(const struct worst *w)
{
    return w->ulp == NEGLIGIBLE ? 0.0 : ceil(w->ulp * 1e4) / 1e4;
}

static void print_worst(const struct sweep *s, const struct worst *w)
{
    printf(",%.4f,", four_decimals_up(w));
    if (w->ulp != NEGLIGIBLE)
        printf("0x%0*" PRIX64, s->row->f64 ? 16 : 8, w->bits);
    if (w->ulp != NEGLIGIBLE && s->run == run_div)
        printf("/0x%08" PRIX64, w->bits2);
}

/* Runs one row and prints it. Returns whether it is as stated. */
static bool sweep_row(const struct row *row, bool quick, uint64_t pairs)
{
    struct sweep s = {.row = row, .quick = quick, .lock = PTHREAD_MUTEX_INITIALIZER, .total = no_tally};
    s.run = row->f ? run_unary : row->f64 ? run_unary64 : run_div;
    s.inputs = row->f64 ? (quick ? 100000 : 10000000) : (uint64_t)EDGES * EDGES + pairs;
    s.items = row->f ? BINADES : (s.inputs + SEEDED - 1) / SEEDED;
#if defined(__x86_64__)
    s.fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    in_threads(&s);

    const struct tally *t = &s.total;
    printf("%s,%" PRIu64, row->name, t->inputs);
    print_worst(&s, &t->worst[0]);
    print_worst(&s, &t->worst[1]);
    printf(",%" PRIu64 ",%.4f,%" PRIu64 "\n", t->misrounded, 100.0 * (double)t->misrounded / (double)t->inputs, t->asked);
    fflush(stdout);
    bool ok = !t->broken && (row->stated[0].ulp > 0.5 || t->misrounded == 0);
    for (int i = 0; i < 2; i++)
        ok &= four_decimals_up(&t->worst[i]) == row->stated[i].ulp && t->worst[i].bits == row->stated[i].bits;
    return ok;
}

static bool chosen(const char *name, char **names, int count)
{
    bool found = count == 0;
    for (int i = 0; i < count; i++)
        found |= strcmp(names[i], name) == 0;
    return found;
}

int main(int argc, char **argv)
{
    bool quick = false, ok = true, found = false;
    double pairs = 0.0;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[at], "--pairs") == 0 && at + 1 < argc)
            pairs = strtod(argv[++at], NULL); /* so that 1e9 is understood */
        else
            break;
    }
    pairs = pairs == 0.0 ? (quick ? 1e5 : 1e7) : pairs;
    const size_t count = sizeof rows / sizeof rows[0];
    for (size_t i = 0; i < count; i++)
        found |= chosen(rows[i].name, argv + at, argc - at);
    if (!found || !(pairs >= 1.0 && pairs <= 0x1p+53)) {
        fprintf(stderr, "usage: canon_ulp [--quick] [--pairs N] [FUNCTION...]\n");
        return 2;
    }
    printf("function,inputs,max_ulp,worst_input,max_ulp_subnormal,worst_input_subnormal,misrounded,misrounded_percent,by_mpfr\n");
    for (size_t i = 0; i < count; i++) {
        if (!chosen(rows[i].name, argv + at, argc - at) || sweep_row(&rows[i], quick, (uint64_t)pairs))
            continue;
        fprintf(stderr, "canon_ulp: %s is not as stated: %.4f ulp, subnormal results %.4f; repeat with: canon_ulp%s %s\n", rows[i].name,
                rows[i].stated[0].ulp, rows[i].stated[1].ulp, quick ? " --quick" : "", rows[i].name);
        ok = false;
    }
    return ok ? 0 : 1;
}
