/* SPDX-License-Identifier: MIT */
/* kernels/canon.h: known answers, special values, soft division and root against the hardware, and the bits themselves. How near the
 * truth they are is measured by test/tools/canon_ulp.c, which tries every input. */
#include "kernels/canon.h"

#include <criterion/criterion.h>

typedef float (*unary)(float);

#define ZERO         0x00000000u
#define ONE          0x3F800000u
#define HALF         0x3F000000u
#define TINY         0x00000001u /* 2^-149 */
#define NORMAL       0x00800000u /* 2^-126 */
#define LARGEST      0x7F7FFFFFu
#define INF          CANON_INF
#define NAN_BITS     CANON_NAN
#define MINUS(u)     ((u) | CANON_SIGN)
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- Philox ---- */

Test(canon, philox_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const uint32_t *c = cases[i].counter;
        canon_words r = canon_philox(c[0], c[1], c[2], c[3], cases[i].key[0], cases[i].key[1]);
        for (int j = 0; j < 4; j++)
            cr_assert(r.w[j] == cases[i].want[j], "case %zu word %d: %08x, want %08x", i, j, r.w[j], cases[i].want[j]);
    }
}

Test(canon, random_is_keyed_by_seed_stream_index)
{
    /* The words of the pi vector, at their places in the key and the counter, but for the counter's last word. */
    canon_words want = canon_philox(0x243f6a88, 0x85a308d3, 0x13198a2e, 0, 0xa4093822, 0x299f31d0);
    canon_words r = canon_random(0xa4093822, 0x299f31d0, 0x13198a2e, 0x243f6a88, 0x85a308d3);
    canon_words r64 = canon_random64(UINT64_C(0x299f31d0a4093822), 0x13198a2e, UINT64_C(0x85a308d3243f6a88));
    cr_assert(memcmp(&r, &want, sizeof r) == 0);
    cr_assert(memcmp(&r64, &want, sizeof r) == 0);
}

Test(canon, unit_is_in_zero_one)
{
    cr_assert(canon_unit(0) == 0.0f);
    cr_assert(canon_unit(0xFF) == 0.0f);
    cr_assert(canon_unit(0x100) == 0x1p-24f);
    cr_assert(canon_unit(0x80000000) == 0.5f);
    cr_assert(canon_unit(0xFFFFFFFF) == 1.0f - 0x1p-24f);
}

/* ---- Special values ---- */

Test(canon, special_values)
{
    static const struct {
        const char *name;
        unary f;
        uint32_t x, want;
    } cases[] = {
        {"nan", canon_nan, 0x7F800001u, NAN_BITS},
        {"nan", canon_nan, 0xFFFFFFFFu, NAN_BITS},
        {"nan", canon_nan, MINUS(INF), MINUS(INF)},
        {"nan", canon_nan, MINUS(ZERO), MINUS(ZERO)},
        {"relu", canon_relu, MINUS(ONE), ZERO},
        {"relu", canon_relu, MINUS(ZERO), MINUS(ZERO)},
        {"relu", canon_relu, MINUS(TINY), ZERO},
        {"relu", canon_relu, 0xFFC12345u, 0xFFC12345u},
        {"relu", canon_relu, MINUS(INF), ZERO},
        {"exp", canon_exp, ZERO, ONE},
        {"exp", canon_exp, MINUS(ZERO), ONE},
        {"exp", canon_exp, TINY, ONE},
        {"exp", canon_exp, INF, INF},
        {"exp", canon_exp, MINUS(INF), ZERO},
        {"exp", canon_exp, LARGEST, INF},
        {"exp", canon_exp, MINUS(LARGEST), ZERO},
        {"exp", canon_exp, 0x42B17218u, INF},         /* 88.72284 */
        {"exp", canon_exp, 0x42B17217u, 0x7F7FFF84u}, /* 88.72283 */
        {"exp", canon_exp, 0xC2CFF1B5u, ZERO},        /* -103.97208 */
        {"exp", canon_exp, 0xC2CFF1B4u, TINY},        /* -103.97207 */
        {"exp", canon_exp, 0xC2AEAC50u, 0x007FFFE6u}, /* -87.33655: the largest subnormal results */
        {"log", canon_log, ZERO, MINUS(INF)},
        {"log", canon_log, MINUS(ZERO), MINUS(INF)},
        {"log", canon_log, MINUS(TINY), NAN_BITS},
        {"log", canon_log, MINUS(ONE), NAN_BITS},
        {"log", canon_log, MINUS(INF), NAN_BITS},
        {"log", canon_log, INF, INF},
        {"log", canon_log, ONE, ZERO},
        {"log", canon_log, TINY, 0xC2CE8ED0u},    /* -149 ln 2 */
        {"log", canon_log, LARGEST, 0x42B17218u}, /* 128 ln 2 */
        {"tanh", canon_tanh, ZERO, ZERO},
        {"tanh", canon_tanh, MINUS(ZERO), MINUS(ZERO)},
        {"tanh", canon_tanh, TINY, TINY},
        {"tanh", canon_tanh, MINUS(NORMAL), MINUS(NORMAL)},
        {"tanh", canon_tanh, INF, ONE},
        {"tanh", canon_tanh, MINUS(INF), MINUS(ONE)},
        {"tanh", canon_tanh, MINUS(LARGEST), MINUS(ONE)},
        {"sigmoid", canon_sigmoid, ZERO, HALF},
        {"sigmoid", canon_sigmoid, MINUS(ZERO), HALF},
        {"sigmoid", canon_sigmoid, INF, ONE},
        {"sigmoid", canon_sigmoid, MINUS(INF), ZERO},
        {"sigmoid", canon_sigmoid, LARGEST, ONE},
        {"sigmoid", canon_sigmoid, MINUS(LARGEST), ZERO},
        {"sigmoid", canon_sigmoid, 0xC2CFF1B5u, ZERO},
        {"sigmoid", canon_sigmoid, 0xC2CFF1B4u, TINY},
        {"sin", canon_sin, ZERO, ZERO},
        {"sin", canon_sin, MINUS(ZERO), MINUS(ZERO)},
        {"sin", canon_sin, MINUS(TINY), MINUS(TINY)},
        {"sin", canon_sin, INF, NAN_BITS},
        {"sin", canon_sin, MINUS(INF), NAN_BITS},
        {"sin", canon_sin, LARGEST, 0xBF0599B3u},
        {"cos", canon_cos, ZERO, ONE},
        {"cos", canon_cos, MINUS(ZERO), ONE},
        {"cos", canon_cos, TINY, ONE},
        {"cos", canon_cos, INF, NAN_BITS},
        {"cos", canon_cos, MINUS(INF), NAN_BITS},
        {"cos", canon_cos, LARGEST, 0x3F5A5F96u},
        {"cos", canon_cos, 0x6F79BE45u, 0xB0DDEEA9u}, /* the binary32 value nearest to a multiple of pi/2 */
        {"sqrt_soft", canon_sqrt_soft, MINUS(ZERO), MINUS(ZERO)},
        {"sqrt_soft", canon_sqrt_soft, MINUS(ONE), NAN_BITS},
        {"sqrt_soft", canon_sqrt_soft, INF, INF},
        {"sqrt_soft", canon_sqrt_soft, MINUS(INF), NAN_BITS},
        {"sqrt_soft", canon_sqrt_soft, 0x00000002u, 0x1A800000u}, /* 2^-148 */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t got = canon_bits(cases[i].f(canon_float(cases[i].x)));
        cr_expect(got == cases[i].want, "%s(%08x) = %08x, want %08x", cases[i].name, cases[i].x, got, cases[i].want);
    }
}

Test(canon, one_nan)
{
    static const unary functions[] = {canon_nan, canon_exp, canon_log, canon_tanh, canon_sigmoid, canon_sin, canon_cos, canon_sqrt_soft};
    static const uint32_t nans[] = {0x7F800001u, 0x7FC00000u, 0x7FFFFFFFu, 0xFF800001u, 0xFFC00000u, 0xFFFFFFFFu};
    for (size_t i = 0; i < COUNT(functions); i++)
        for (size_t j = 0; j < COUNT(nans); j++) {
            uint32_t got = canon_bits(functions[i](canon_float(nans[j])));
            cr_assert(got == NAN_BITS, "function %zu(%08x) = %08x", i, nans[j], got);
        }
    for (size_t j = 0; j < COUNT(nans); j++) {
        cr_assert(canon_bits(canon_div_soft(canon_float(nans[j]), 1.0f)) == NAN_BITS);
        cr_assert(canon_bits(canon_div_soft(1.0f, canon_float(nans[j]))) == NAN_BITS);
    }
    cr_assert(canon_bits64(canon_exp64((double)NAN)) == CANON_U64(0x7FF80000u, 0u));
    cr_assert(canon_bits64(canon_log64(-1.0)) == CANON_U64(0x7FF80000u, 0u));
}

Test(canon, min_and_max_are_comparisons)
{
    cr_assert(canon_min(1.0f, 2.0f) == 1.0f && canon_min(2.0f, 1.0f) == 1.0f);
    cr_assert(canon_max(1.0f, 2.0f) == 2.0f && canon_max(2.0f, 1.0f) == 2.0f);
    cr_assert(canon_bits(canon_min(0.0f, -0.0f)) == ZERO && canon_bits(canon_max(-0.0f, 0.0f)) == MINUS(ZERO));
    float nan = canon_float(NAN_BITS);
    cr_assert(canon_min(1.0f, nan) == 1.0f && canon_max(1.0f, nan) == 1.0f);
    cr_assert(canon_is_nan(canon_min(nan, 1.0f)) && canon_is_nan(canon_max(nan, 1.0f)));
}

Test(canon, binary64_special_values)
{
    cr_assert(canon_exp64(0.0) == 1.0 && canon_exp64(-0.0) == 1.0);
    cr_assert(canon_exp64((double)INFINITY) == (double)INFINITY && canon_exp64(710.0) == (double)INFINITY &&
              canon_exp64(1e300) == (double)INFINITY);
    cr_assert(canon_bits64(canon_exp64(-(double)INFINITY)) == 0 && canon_bits64(canon_exp64(-745.2)) == 0);
    cr_assert(canon_bits64(canon_exp64(-745.1)) == 1);
    cr_assert(canon_log64(0.0) == -(double)INFINITY && canon_log64(-0.0) == -(double)INFINITY);
    cr_assert(canon_log64((double)INFINITY) == (double)INFINITY && canon_bits64(canon_log64(1.0)) == 0);
    cr_assert(canon_is_nan((float)canon_log64(-(double)INFINITY)));
}

Test(canon, sin_and_tanh_are_odd_and_cos_is_even)
{
    for (uint32_t u = 0; u < INF; u += 30011) {
        float x = canon_float(u);
        cr_assert(canon_bits(canon_sin(-x)) == (canon_bits(canon_sin(x)) ^ CANON_SIGN), "sin %08x", u);
        cr_assert(canon_bits(canon_tanh(-x)) == MINUS(canon_bits(canon_tanh(x))), "tanh %08x", u);
        cr_assert(canon_bits(canon_cos(-x)) == canon_bits(canon_cos(x)), "cos %08x", u);
    }
}

/* ---- Division and square root against the hardware ---- */

static void check_div(float a, float b)
{
    uint32_t got = canon_bits(canon_div_soft(a, b)), want = canon_bits(canon_nan(a / b));
    if (got != want)
        cr_assert_fail("div_soft(%08x, %08x) = %08x, want %08x", canon_bits(a), canon_bits(b), got, want);
}

static void check_sqrt(uint32_t u)
{
    uint32_t got = canon_bits(canon_sqrt_soft(canon_float(u))), want = canon_bits(canon_nan(sqrtf(canon_float(u))));
    if (got != want)
        cr_assert_fail("sqrt_soft(%08x) = %08x, want %08x", u, got, want);
}

Test(canon, soft_division_equals_hardware)
{
    for (uint32_t i = 0; i < 500000; i++) {
        canon_words r = canon_random64(11, 0, i);
        uint32_t a = r.w[0], b = r.w[1], near = (b & 0x807FFFFFu) | (a & INF);
        uint32_t low = a & 0xBFFFFFFFu; /* below 2: so that the next quotients are subnormal, or nearly */
        uint32_t far = (b & 0x807FFFFFu) | ((((low >> 23) & 0xFFu) + 124u + (r.w[3] & 31u)) << 23);
        uint32_t cut = 0xFFFFFFFFu << r.w[2] % 24;
        check_div(canon_float(a), canon_float(b));
        check_div(canon_float(a), canon_float(near));
        check_div(canon_float(low), canon_float(far));
        check_div(canon_float(a & cut), canon_float(near & (cut << 1))); /* exact quotients and ties */
    }
}

/* Quotients as near to a tie as they can be: m is +-2^-24 modulo d, so m * 2^24 is an odd multiple of d and 1 more or less. (Where m has
 * 25 bits and is odd, it is just some dividend.) */
Test(canon, soft_division_equals_hardware_next_to_ties)
{
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t d = (canon_random64(13, 0, i).w[0] & 0x007FFFFFu) | 0x00800001u, m = 1;
        for (int k = 0; k < 24; k++)
            m = m % 2 == 0 ? m / 2 : (m + d) / 2;
        m = (i % 2 == 0 ? m : d - m) + d;
        check_div((float)(m < 1u << 24 ? m : m / 2), (float)d);
    }
}

Test(canon, soft_division_equals_hardware_at_the_edges)
{
    static const uint32_t edges[] = {0,          1,          2,          3,          0x00400000, 0x007FFFFF, 0x00800000,
                                     0x00800001, 0x00FFFFFF, 0x01000000, 0x33800000, 0x3EAAAAAB, 0x3F000000, 0x3F7FFFFF,
                                     0x3F800000, 0x3F800001, 0x3FFFFFFF, 0x40000000, 0x40400000, 0x4B7FFFFF, 0x7E800000,
                                     0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF, INF,        0x7F800001, NAN_BITS};
    for (size_t i = 0; i < COUNT(edges); i++)
        for (size_t j = 0; j < COUNT(edges); j++)
            for (uint32_t signs = 0; signs < 4; signs++)
                check_div(canon_float(edges[i] | (signs & 1) << 31), canon_float(edges[j] | (signs & 2) << 30));
}

Test(canon, soft_root_equals_hardware)
{
    for (uint32_t i = 0; i < 1000000; i++)
        check_sqrt(i * 4294u + 1u);
    for (uint32_t e = 0; e < 512; e++) /* both sides of every power of two, and every subnormal power */
        for (uint32_t d = 0; d < 5; d++)
            check_sqrt((e << 23) + d - 2u);
    for (uint32_t i = 0; i < 23; i++)
        check_sqrt(1u << i);
}

/* ---- The bits ---- */

enum { INPUTS = 65536 };

static uint64_t fnv1a(uint64_t hash, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        hash = (hash ^ (value >> 8 * i & 0xFF)) * 0x100000001B3u;
    return hash;
}

#define FNV_START 0xCBF29CE484222325u

/* FNV-1a of the little-endian results at 0x00000000, 0x00010001, ... 0xFFFFFFFF. If a bit changes on purpose, the version of the
 * arithmetic changes with the constants below. */
Test(canon, bits_of_the_unary_functions)
{
    static const struct {
        const char *name;
        unary f;
        uint64_t want;
    } cases[] = {
        {"exp", canon_exp, 0x29B2B34D58455A02u},   {"log", canon_log, 0xE7464D0AE6A8B13Eu},
        {"tanh", canon_tanh, 0x5993FA42B03CB732u}, {"sigmoid", canon_sigmoid, 0x77FB96A0078AB012u},
        {"sin", canon_sin, 0x92939313A3DABD09u},   {"cos", canon_cos, 0x2E619BDFC6C007E5u},
        {"relu", canon_relu, 0xEA95C3443465C025u}, {"sqrt_soft", canon_sqrt_soft, 0x3CFCF8BD82704E1Au},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t hash = FNV_START;
        for (uint32_t k = 0; k < INPUTS; k++)
            hash = fnv1a(hash, canon_bits(cases[i].f(canon_float(k * 0x10001u))), 4);
        cr_expect(hash == cases[i].want, "%s: 0x%016llX", cases[i].name, (unsigned long long)hash);
    }
}

Test(canon, bits_of_the_others)
{
    uint64_t words = FNV_START, quotients = FNV_START, exps = FNV_START, logs = FNV_START;
    for (uint32_t k = 0; k < INPUTS; k++) {
        canon_words r = canon_random64(3, 1, k);
        for (int j = 0; j < 4; j++)
            words = fnv1a(words, r.w[j], 4);
        quotients = fnv1a(quotients, canon_bits(canon_div_soft(canon_float(r.w[0]), canon_float(r.w[1]))), 4);
        uint64_t u = (uint64_t)r.w[2] << 32 | r.w[3];
        exps = fnv1a(exps, canon_bits64(canon_exp64((double)(int32_t)r.w[0] * 0x1p-21)), 8);
        logs = fnv1a(logs, canon_bits64(canon_log64(canon_float64(u))), 8);
    }
    cr_expect(words == 0xABD0B180903DC1BEu, "random64: 0x%016llX", (unsigned long long)words);
    cr_expect(quotients == 0x8C78E83D7E8F1D44u, "div_soft: 0x%016llX", (unsigned long long)quotients);
    cr_expect(exps == 0x77E3394C7D3E45C8u, "exp64: 0x%016llX", (unsigned long long)exps);
    cr_expect(logs == 0xEF4718F9971D46FDu, "log64: 0x%016llX", (unsigned long long)logs);
}
