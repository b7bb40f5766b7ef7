/* SPDX-License-Identifier: MIT */
/* brute.h - number formats from their definitions, one number at a time, in long double (which holds every binary64 and every 64-bit
 * integer). It shares nothing with core/format: no tables, no boundaries, no intervals. */
#ifndef LB_TEST_BRUTE_H
#define LB_TEST_BRUTE_H

#include "core/plugin.h"

#include <math.h>
#include <stdint.h>

/* sign | exponent | fraction where exponent > 0; else a whole number, in two's complement where it has a sign. */
struct brute {
    const char *name;
    int bits, exponent, fraction, has_specials, is_signed;
    uint32_t overflow; /* by default */
    uint64_t nan_code;
};

static const struct brute brutes[] = {
    {"F64", 64, 11, 52, 1, 1, LB_TO_INF, UINT64_C(0x7ff8000000000000)},
    {"F32", 32, 8, 23, 1, 1, LB_TO_INF, 0x7fc00000},
    {"F16", 16, 5, 10, 1, 1, LB_TO_INF, 0x7e00},
    {"BF16", 16, 8, 7, 1, 1, LB_TO_INF, 0x7fc0},
    {"F4", 4, 2, 1, 0, 1, LB_SATURATE, 0},
    {"I8", 8, 0, 0, 0, 1, LB_SATURATE, 0},
    {"I16", 16, 0, 0, 0, 1, LB_SATURATE, 0},
    {"I32", 32, 0, 0, 0, 1, LB_SATURATE, 0},
    {"I64", 64, 0, 0, 0, 1, LB_SATURATE, 0},
    {"U8", 8, 0, 0, 0, 0, LB_SATURATE, 0},
    {"U16", 16, 0, 0, 0, 0, LB_SATURATE, 0},
    {"U32", 32, 0, 0, 0, 0, LB_SATURATE, 0},
    {"U64", 64, 0, 0, 0, 0, LB_SATURATE, 0},
    /* From BRUTES on: some of these have no tag in safetensors. */
    {"I4", 4, 0, 0, 0, 1, LB_SATURATE, 0},
    {"I2", 2, 0, 0, 0, 1, LB_SATURATE, 0},
    {"U4", 4, 0, 0, 0, 0, LB_SATURATE, 0},
    {"U2", 2, 0, 0, 0, 0, LB_SATURATE, 0},
    {"F6_E2M3", 6, 2, 3, 0, 1, LB_SATURATE, 0},
    {"F6_E3M2", 6, 3, 2, 0, 1, LB_SATURATE, 0},
    {"F8_E5M2", 8, 5, 2, 1, 1, LB_SATURATE, 0x7e},
    {"F8_E4M3_IEEE", 8, 4, 3, 1, 1, LB_SATURATE, 0x7c},
    {"F8_E3M4", 8, 3, 4, 1, 1, LB_SATURATE, 0x78},
};
enum { BRUTES = 13, ALL_BRUTES = sizeof brutes / sizeof *brutes };

static inline int brute_bias(const struct brute *b)
{
    return (1 << (b->exponent - 1)) - 1;
}

/* The distance of neighbours around the magnitude a. */
static inline long double brute_step(const struct brute *b, long double a)
{
    int e;
    frexpl(a, &e); /* a in [2^(e-1), 2^e) */
    const int least = 1 - brute_bias(b);
    return ldexpl(1, (a == 0 || e - 1 < least ? least : e - 1) - b->fraction);
}

/* The largest finite value. */
static inline long double brute_largest(const struct brute *b)
{
    if (!b->exponent)
        return ldexpl(1, b->bits - b->is_signed) - 1;
    const int top = (1 << b->exponent) - 1 - b->has_specials - brute_bias(b);
    return ldexpl(2, top) - ldexpl(1, top - b->fraction);
}

static inline long double brute_smallest(const struct brute *b)
{
    return b->exponent ? -brute_largest(b) : b->is_signed ? -brute_largest(b) - 1 : 0;
}

/* x / step as a whole number, up or down. stochastic: up, in the sense of `part`, where random / 2^32 < part. */
static inline long double brute_round(long double x, uint32_t rounding, uint32_t random)
{
    const long double down = floorl(x), part = x - down;
    switch (rounding) {
    case LB_TOWARD_ZERO:
        return truncl(x);
    case LB_HALF_AWAY:
        return part == 0.5L ? (x < 0 ? down : down + 1) : part > 0.5L ? down + 1 : down;
    case LB_STOCHASTIC:
        return (long double)random < part * 0x1p32L ? down + 1 : down;
    default:
        return part == 0.5L ? 2 * ceill(down / 2) : part > 0.5L ? down + 1 : down;
    }
}

/* A finite magnitude that the format has, as exponent and fraction. */
static inline uint64_t brute_pack(const struct brute *b, long double a)
{
    int e;
    const long double step = brute_step(b, a), units = a / step;
    frexpl(a, &e);
    const long double hidden = ldexpl(1, b->fraction);
    if (units < hidden)
        return (uint64_t)units;
    return (uint64_t)(e - 1 + brute_bias(b)) << b->fraction | (uint64_t)(units - hidden);
}

static inline uint64_t brute_float(const struct brute *b, uint32_t rounding, uint32_t overflow, long double x, uint32_t random)
{
    const uint64_t sign = signbit(x) ? UINT64_C(1) << (b->bits - 1) : 0, inf = ((UINT64_C(1) << b->exponent) - 1) << b->fraction;
    const long double a = fabsl(x), largest = brute_largest(b);
    const long double towards = sign ? -1 : 1; /* up is toward +Inf */
    long double r = INFINITY;
    if (!isinf(x)) {
        const long double step = brute_step(b, a);
        r = fabsl(brute_round(towards * a / step, a > largest && rounding == LB_STOCHASTIC ? LB_NEAREST : rounding, random)) * step;
        if (r > largest && rounding == LB_TOWARD_ZERO)
            r = largest;
    }
    if (r <= largest)
        return sign | brute_pack(b, r);
    return overflow == LB_TO_NAN ? b->nan_code : sign | (overflow == LB_TO_INF ? inf : brute_pack(b, largest));
}

static inline uint64_t brute_whole(const struct brute *b, uint32_t rounding, uint32_t overflow, long double x, uint32_t random)
{
    const long double all = ldexpl(1, b->bits);
    long double r = isinf(x) ? x : brute_round(x, rounding, random);
    if (overflow == LB_WRAP)
        r = isinf(x) ? 0 : fmodl(r, all);
    else
        r = r > brute_largest(b) ? brute_largest(b) : r < brute_smallest(b) ? brute_smallest(b) : r;
    return (uint64_t)(r < 0 ? r + all : r);
}

/* The code of x. overflow: enum lb_overflow, or -1 for the format's own. */
static inline uint64_t brute_encode(const struct brute *b, uint32_t rounding, int overflow, long double x, uint32_t random)
{
    const uint32_t o = overflow < 0 ? b->overflow : (uint32_t)overflow;
    if (isnan(x))
        return b->nan_code;
    return b->exponent ? brute_float(b, rounding, o, x, random) : brute_whole(b, rounding, o, x, random);
}

static inline long double brute_decode(const struct brute *b, uint64_t code)
{
    if (!b->exponent)
        return b->is_signed && code >> (b->bits - 1) ? (long double)code - ldexpl(1, b->bits) : (long double)code;
    const uint64_t ones = (UINT64_C(1) << b->exponent) - 1, e = code >> b->fraction & ones, f = code & ((UINT64_C(1) << b->fraction) - 1);
    long double a = ldexpl((long double)f + (e ? ldexpl(1, b->fraction) : 0), (e ? (int)e : 1) - brute_bias(b) - b->fraction);
    if (e == ones && b->has_specials)
        a = f ? (long double)NAN : (long double)INFINITY;
    return code >> (b->bits - 1) ? -a : a;
}

/* Whether rounding to nearest leaves the range. */
static inline int brute_beyond(const struct brute *b, long double x)
{
    if (!b->exponent) {
        const long double r = isinf(x) ? x : brute_round(x, LB_NEAREST, 0);
        return r > brute_largest(b) || r < brute_smallest(b);
    }
    const long double largest = brute_largest(b);
    return fabsl(x) >= largest + brute_step(b, largest) / 2;
}

#endif
