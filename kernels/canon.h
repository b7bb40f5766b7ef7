/* SPDX-License-Identifier: MIT */
/* canon.h - the canonical arithmetic: one text for C and for GLSL (version 420 or later), the same bits from both.
 *
 * Part 1 is in the common subset of the two languages: only +, -, *, fused multiply-add, comparisons, exact conversions and integer
 * operations, in the order written, each rounded to nearest even with subnormals kept. So it must be compiled without contraction
 * (C: -ffp-contract=off; GLSL: every operation NoContraction). kernels/canon64.h, included at the end, is the part for C alone. No libm but fma and sqrt.
 *
 * Every unary function returns 0x7FC00000 for a NaN and has no other NaN. "Error" is the largest distance from the true value over all
 * 2^32 inputs, in ulp of the result (2^-149 where it is subnormal), rounded up, measured by test/tools/canon_ulp.c against MPFR; that tool
 * holds the figures, and test/unit/test_canon.c the bits. 1/2 would be correctly rounded.
 *
 * Methods: argument reduction and error-free sums as in Muller et al., Handbook of Floating-Point Arithmetic (2nd ed., ch. 4 and 10);
 * Payne and Hanek's reduction (SIGNUM 1983). The polynomials are our own: a Remez fit of the relative error of the whole function
 * (mpmath, 50 digits), then the coefficients rounded one at a time from the lowest power, the others fitted again (least squares,
 * reweighted by the error). Beside each stands the relative error that is left, and the interval. */
#ifndef LB_CANON_H
#define LB_CANON_H

#if !defined(CANON_GLSL) && (defined(VULKAN) || defined(GL_core_profile))
#define CANON_GLSL
#endif

/* ---- Adaptor: the only place where the two languages differ ---- */

#ifdef CANON_GLSL

#define CANON_FN
#define CANON_CONST    const
#define canon_uint     uint
#define canon_int      int
#define CANON_UINT(x)  uint(x) /* exact or truncating conversions of non-negative values below 2^31 */
#define CANON_INT(x)   int(x)  /* reinterprets a uint as two's complement */
#define CANON_REAL(x)  float(x)
#define canon_bits(x)  floatBitsToUint(x)
#define canon_float(u) uintBitsToFloat(u)
#ifndef canon_fma /* a device whose fma() is not fused defines its own before including this file */
#define canon_fma(a, b, c) fma(a, b, c)
#endif

uint canon_mulhi(uint a, uint b)
{
    uint high, low;
    umulExtended(a, b, high, low);
    return high;
}

#else

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define CANON_FN      static inline
#define CANON_CONST   static const
#define CANON_UINT(x) ((uint32_t)(x))
#define CANON_INT(x)  ((int32_t)(x))
#define CANON_REAL(x) ((float)(x))
typedef uint32_t canon_uint;
typedef int32_t canon_int;
typedef struct canon_words canon_words;
typedef struct canon_scaled canon_scaled;
typedef struct canon_unpacked canon_unpacked;
typedef struct canon_angle canon_angle;

/* The bit pattern of a binary32 value. */
static inline uint32_t canon_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* The binary32 value of a bit pattern. */
static inline float canon_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* a*b + c, rounded once. */
static inline float canon_fma(float a, float b, float c)
{
    return fmaf(a, b, c);
}

/* The upper 32 bits of the 64-bit product. */
static inline uint32_t canon_mulhi(uint32_t a, uint32_t b)
{
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

#endif

/* ---- Part 1: C and GLSL ---- */

#define CANON_SIGN         0x80000000u
#define CANON_INF          0x7F800000u
#define CANON_NAN          0x7FC00000u
#define CANON_SHIFTER      12582912.0f /* 1.5 * 2^23: x + this, for |x| < 2^22, holds round(x) in its low bits */
#define CANON_SHIFTER_BITS 0x4B400000u

/* c ? a : b by mask. It keeps a compiler from moving the making of a or b under a branch, so that loops become vectors. */
CANON_FN float canon_select(bool c, float a, float b)
{
    canon_uint mask = c ? 0xFFFFFFFFu : 0u;
    return canon_float((canon_bits(a) & mask) | (canon_bits(b) & ~mask));
}

/* True for every NaN; an integer test, so it holds whatever a compiler assumes of NaN. */
CANON_FN bool canon_is_nan(float x)
{
    return (canon_bits(x) & 0x7FFFFFFFu) > CANON_INF;
}

/* x, with every NaN made 0x7FC00000. */
CANON_FN float canon_nan(float x)
{
    return canon_select(canon_is_nan(x), canon_float(CANON_NAN), x);
}

/* max(x, +0): -0 stays -0 and a NaN goes through with its bits. */
CANON_FN float canon_relu(float x)
{
    return x < 0.0f ? 0.0f : x;
}

/* The smaller one; a if they compare equal or if either is a NaN. */
CANON_FN float canon_min(float a, float b)
{
    return b < a ? b : a;
}

/* The larger one; a if they compare equal or if either is a NaN. */
CANON_FN float canon_max(float a, float b)
{
    return a < b ? b : a;
}

/* 2^n for -126 <= n <= 127, n in two's complement. */
CANON_FN float canon_pow2(canon_uint n)
{
    return canon_float((n + 127u) << 23);
}

/* x * 2^n for -252 <= n <= 254 and |x| in [1/2, 2], in two steps: the first is exact, the second rounds. */
CANON_FN float canon_scale(float x, canon_uint n)
{
    canon_uint lower = ((n + 512u) >> 1) - 256u; /* floor(n / 2) */
    return (x * canon_pow2(lower)) * canon_pow2(n - lower);
}

/* A finite non-zero magnitude as m * 2^(e - 150) with 2^23 <= m < 2^24; e, in two's complement, is <= 0 for subnormals. */
struct canon_unpacked {
    canon_uint m;
    canon_uint e;
};

CANON_FN canon_unpacked canon_unpack(canon_uint magnitude)
{
    bool subnormal = magnitude < 0x00800000u;
    canon_uint u = subnormal ? canon_bits(CANON_REAL(magnitude)) : magnitude; /* the conversion normalises */
    canon_unpacked r;
    r.m = (u & 0x007FFFFFu) | 0x00800000u;
    r.e = (u >> 23) - (subnormal ? 149u : 0u);
    return r;
}

/* a / b, correctly rounded, subnormals included; NaN for a NaN, 0/0 and inf/inf. Error 1/2: equal to the hardware on 10^9 seeded pairs
 * and all pairs of edges. A binary32 estimate of the quotient's 26 bits is corrected by its exact integer remainder, so the estimate
 * does not decide the result (up to 100 units off would do), and the last rounding is done on integers. */
CANON_FN float canon_div_soft(float a, float b)
{
    canon_uint sign = (canon_bits(a) ^ canon_bits(b)) & CANON_SIGN;
    canon_uint ua = canon_bits(a) & 0x7FFFFFFFu;
    canon_uint ub = canon_bits(b) & 0x7FFFFFFFu;
    if (ua > CANON_INF || ub > CANON_INF || (ua == ub && (ua == 0u || ua == CANON_INF)))
        return canon_float(CANON_NAN);
    if (ua == CANON_INF || ub == 0u)
        return canon_float(sign | CANON_INF);
    if (ua == 0u || ub == CANON_INF)
        return canon_float(sign);

    canon_unpacked x = canon_unpack(ua);
    canon_unpacked y = canon_unpack(ub);
    bool less = x.m < y.m;
    canon_uint m = less ? x.m << 1 : x.m;                      /* m / y.m is in [1, 2) */
    canon_int e = CANON_INT(x.e - y.e + (less ? 126u : 127u)); /* the biased exponent of the result */
    if (e > 254)
        return canon_float(sign | CANON_INF);

    float d = CANON_REAL(y.m);
    float inv = canon_float(0x7EF311C7u - canon_bits(d)); /* 1/d within 13%, then three Newton steps */
    for (int i = 0; i < 3; i++)
        inv = canon_fma(inv, canon_fma(-d, inv, 1.0f), inv);

    canon_uint q = CANON_UINT((CANON_REAL(m) * inv) * 33554432.0f); /* about m * 2^25 / y.m */
    canon_uint rest = (m << 25) - q * y.m;                          /* modulo 2^32, yet small: exact in two's complement */
    canon_uint step = canon_bits(CANON_REAL(CANON_INT(rest)) * inv + CANON_SHIFTER) - CANON_SHIFTER_BITS;
    q += step;
    rest -= step * y.m;
    if (rest >= CANON_SIGN) { /* negative: the step was rounded up */
        q -= 1u;
        rest += y.m;
    }

    /* q is in [2^25, 2^26): 24 bits of result and two more, fewer where the result is subnormal. */
    canon_uint drop = e > 0 ? 2u : (e < -25 ? 28u : CANON_UINT(3 - e));
    canon_uint kept = q >> drop;
    canon_uint dropped = q & ((1u << drop) - 1u);
    canon_uint tie = 1u << (drop - 1u);
    bool up = dropped > tie || (dropped == tie && (rest != 0u || (kept & 1u) != 0u));
    canon_uint base = e > 0 ? CANON_UINT(e - 1) << 23 : 0u;
    return canon_float(sign | (base + kept + (up ? 1u : 0u))); /* a carry moves into the exponent, up to infinity */
}

/* The square root, correctly rounded; sqrt(-0) = -0, NaN for a NaN and below zero. Made as canon_div_soft is. Error 1/2: as MPFR rounds on
 * all 2^32 inputs. */
CANON_FN float canon_sqrt_soft(float a)
{
    canon_uint u = canon_bits(a);
    if (u == 0u || u == CANON_SIGN || u == CANON_INF)
        return a;
    if (u > CANON_INF)
        return canon_float(CANON_NAN);

    canon_unpacked x = canon_unpack(u);
    bool even = (x.e & 1u) == 0u;
    canon_uint m = even ? x.m << 1 : x.m; /* a = m * 2^(e - 150), e odd */
    canon_uint e = even ? x.e - 1u : x.e;

    float d = CANON_REAL(m);
    float inv = canon_float(0x5F375A00u - (canon_bits(d) >> 1)); /* 1/sqrt(d) within 4%, then three Newton steps */
    for (int i = 0; i < 3; i++)
        inv = inv * canon_fma(-0.5f * d * inv, inv, 1.5f);

    canon_uint q = CANON_UINT((d * inv) * 5792.61865f); /* about sqrt(m * 2^25), in [2^24, 2^25) */
    canon_uint rest = (m << 25) - q * q;
    float step = CANON_REAL(CANON_INT(rest)) * (inv * 8.63167486e-5f); /* rest / (2 q), as 1/q = inv * 2^-12.5 */
    q += canon_bits(step + CANON_SHIFTER) - CANON_SHIFTER_BITS;
    rest = (m << 25) - q * q;
    if (rest >= CANON_SIGN) /* negative: the step was rounded up */
        q -= 1u;
    /* One bit more than the result has; a root is never half-way between two values. */
    return canon_float((((e + 127u) >> 1) - 1u) * 0x00800000u + ((q + 1u) >> 1));
}

/* a / b and the square root as IEEE-754 defines them. A NaN that C makes may differ in its bits: see canon_nan. */
#ifdef CANON_GLSL
#define canon_div(a, b) canon_div_soft(a, b)
#define canon_sqrt(a)   canon_sqrt_soft(a)
#else
static inline float canon_div(float a, float b)
{
    return a / b;
}

static inline float canon_sqrt(float a)
{
    return sqrtf(a);
}
#endif

/* (hi + lo) * 2^n, with |lo| at most half an ulp of hi; n in two's complement. */
struct canon_scaled {
    float hi;
    float lo;
    canon_uint n;
};

/* e^x for -104 <= x <= 89, to about 2^-30. e^x = 2^n e^r, |r| <= ln(2)/2; e^r = 1 + r + r^2 q(r). */
CANON_FN canon_scaled canon_exp_scaled(float x)
{
    float t = canon_fma(x, 1.44269502f, CANON_SHIFTER);
    float n = t - CANON_SHIFTER;
    float r0 = canon_fma(n, -0.693147182f, x); /* exact: a multiple of 2^-24 (2^-25 if n = 0) below 1/2 */
    float r = canon_fma(n, 1.90465421e-9f, r0);
    float r_lo = canon_fma(n, 1.90465421e-9f, r0 - r);
    float q = canon_fma(canon_fma(0.000197478294f, r, 0.00139354321f), r, 0.00833356194f); /* 2^-33.2 on |r| <= 0.347 */
    q = canon_fma(canon_fma(canon_fma(q, r, 0.0416664593f), r, 0.166666657f), r, 0.5f);
    float tail = canon_fma(r * r, q, canon_fma(r_lo, r, r_lo));
    float s = 1.0f + r;
    tail = ((1.0f - s) + r) + tail;
    canon_scaled e;
    e.hi = s + tail;
    e.lo = (s - e.hi) + tail;
    e.n = canon_bits(t) - CANON_SHIFTER_BITS;
    return e;
}

/* e^x. exp(-inf) = +0, exp(+inf) = +inf, exp(+-0) = 1; overflow to +inf, gradual underflow.
 * Error 0.5987; 0.7579 where the result is subnormal and so rounded twice. */
CANON_FN float canon_exp(float x)
{
    float c = canon_select(x > 89.0f, 89.0f, x);
    c = canon_select(c < -104.0f, -104.0f, c);
    canon_scaled e = canon_exp_scaled(c);
    float y = canon_scale(e.hi, e.n);
    return canon_select(canon_is_nan(x), canon_float(CANON_NAN), y);
}

/* The natural logarithm. log(+-0) = -inf, log(x < 0) = NaN, log(+inf) = +inf, log(1) = +0. Error 0.5897.
 * x = 2^k (1 + f), |f| <= 1/3; log(1 + f) = f - f^2/2 + f^3 q(f), the two leading terms carried in two parts. */
CANON_FN float canon_log(float x)
{
    canon_uint u = canon_bits(x);
    canon_uint subnormal = 0u - ((u - 0x00800000u) >> 31);                                /* a mask, where x > 0 */
    canon_uint v = (canon_bits(CANON_REAL(CANON_INT(u))) & subnormal) | (u & ~subnormal); /* the conversion normalises */
    v += 0x3F800000u - 0x3F2AAAABu;                                                       /* so that the mantissa is cut at 2/3 and 4/3 */
    float k = CANON_REAL(CANON_INT((v >> 23) - 127u - (149u & subnormal)));
    float f = canon_float((v & 0x007FFFFFu) + 0x3F2AAAABu) - 1.0f;

    float q = canon_fma(canon_fma(0.119108401f, f, -0.128398001f), f, 0.107814044f); /* 2^-30.1 on |f| <= 1/3 */
    q = canon_fma(canon_fma(canon_fma(q, f, -0.121970579f), f, 0.143017724f), f, -0.166794792f);
    q = canon_fma(canon_fma(canon_fma(q, f, 0.199997053f), f, -0.249998227f), f, 0.333333343f);

    float h = (0.5f * f) * f;
    float h_lo = canon_fma(0.5f * f, f, -h);
    float k_hi = k * 0.693145752f; /* exact: 16 bits of ln(2) */
    float s = k_hi + f;
    float s_lo = (k_hi - s) + f;
    float t = s - h;
    float t_lo = (s - t) - h;
    float tail = canon_fma(f * h * 2.0f, q, canon_fma(k, 1.42860677e-6f, (s_lo + t_lo) - h_lo));
    float y = t + tail;
    bool positive = u - 1u < CANON_INF - 1u; /* and finite */
    canon_uint special = u == CANON_INF ? u : CANON_NAN;
    special = (u & 0x7FFFFFFFu) == 0u ? CANON_SIGN | CANON_INF : special;
    return canon_select(positive, y, canon_float(special));
}

/* The hyperbolic tangent, odd bit for bit. tanh(+-0) = +-0, tanh(+-inf) = +-1. Error 0.6961.
 * Below 9/16 an odd polynomial, above 1 - 2/(e^2x + 1) with the rounding errors of sum and quotient put back. */
CANON_FN float canon_tanh(float x)
{
    canon_uint u = canon_bits(x);
    float a = canon_float(u & 0x7FFFFFFFu);
    float c = canon_select(a > 10.0f, 10.0f, a);

    float z = c * c;
    float p = canon_fma(canon_fma(0.00217599305f, z, -0.00821552519f), z, 0.0217164736f); /* 2^-33.0 on c <= 9/16 */
    p = canon_fma(canon_fma(canon_fma(p, z, -0.0539496355f), z, 0.133332282f), z, -0.333333313f);
    float y_small = canon_fma(c, z * p, c);

    canon_scaled e = canon_exp_scaled(c + c);
    float two_n = canon_pow2(e.n);
    float e_hi = e.hi * two_n;
    float d = e_hi + 1.0f;
    float d_lo = ((e_hi - d) + 1.0f) + e.lo * two_n;
    float q = canon_div(2.0f, d);
    float rest = canon_fma(-q, d, 2.0f) - q * d_lo;
    float s = 1.0f - q;
    float y_large = s + (((1.0f - s) - q) - rest * (0.5f * q));

    float y = canon_select(a < 0.5625f, y_small, y_large);
    return canon_select(canon_is_nan(x), canon_float(CANON_NAN), canon_float(canon_bits(y) | (u & CANON_SIGN)));
}

/* 1 / (1 + e^-x). sigmoid(-inf) = +0, sigmoid(+-0) = 1/2, sigmoid(+inf) = 1; gradual underflow.
 * Error 0.5971; 0.7579 where the result is subnormal and so rounded twice.
 * With e = e^-|x|: 1 / (1 + e) or e / (1 + e), from one quotient whose rounding error is put back. */
CANON_FN float canon_sigmoid(float x)
{
    float a = canon_float(canon_bits(x) & 0x7FFFFFFFu);
    canon_scaled e = canon_exp_scaled(canon_select(a > 104.0f, -104.0f, -a));
    float e_hi = canon_scale(e.hi, e.n);
    float e_lo = canon_scale(e.lo, e.n);
    float d = 1.0f + e_hi;
    float d_lo = ((1.0f - d) + e_hi) + e_lo;
    float inv = canon_div(1.0f, d);
    float inv_lo = inv * (canon_fma(-inv, d, 1.0f) - inv * d_lo);
    float right = inv + inv_lo;
    float p = e.hi * inv;
    float p_lo = canon_fma(e.hi, inv, -p) + canon_fma(e.lo, inv, e.hi * inv_lo);
    float left = canon_scale(p + p_lo, e.n);
    float y = canon_select(x < 0.0f, left, right);
    return canon_select(canon_is_nan(x), canon_float(CANON_NAN), y);
}

/* The first 224 bits of 2/pi behind 32 zero bits. */
CANON_CONST canon_uint canon_two_over_pi[8] = {0u,          0xA2F9836Eu, 0x4E441529u, 0xFC2757D1u,
                                               0xF534DDC0u, 0xDB629599u, 0x3C439041u, 0xFE5163ABu};

/* quadrant * pi/2 + hi + lo, with |hi + lo| <= pi/4. */
struct canon_angle {
    float hi;
    float lo;
    canon_uint quadrant; /* modulo 4 */
};

/* Reduces a finite magnitude x = m * 2^e. From pi/4 up: 96 bits of 2/pi, from the one that m * 2^e makes worth 2, times m, modulo 2^96,
 * is x * 2/pi modulo 4, right to 2^-62. No binary32 value lies within 2^-30 of a multiple (0xF9BE45 * 2^72 is nearest). Comparisons are
 * masks here, which vectors need; at is at most 135, also for infinity and NaN. */
CANON_FN canon_angle canon_reduce(float x)
{
    canon_angle r;
    canon_uint u = canon_bits(x);
    canon_uint small = 0u - ((u - 0x3F490FDBu) >> 31); /* a mask: x < pi/4 */
    canon_uint at = ((u >> 23) - 120u) & ~small;       /* position in the table of the bit that will be worth 2 */
    canon_uint i = at >> 5;
    canon_uint shift = at & 31u;
    canon_uint t0 = canon_two_over_pi[i];
    canon_uint t1 = canon_two_over_pi[i + 1u];
    canon_uint t2 = canon_two_over_pi[i + 2u];
    canon_uint t3 = canon_two_over_pi[i + 3u];
    canon_uint w0 = (t0 << shift) | ((t1 >> 1) >> (31u - shift));
    canon_uint w1 = (t1 << shift) | ((t2 >> 1) >> (31u - shift));
    canon_uint w2 = (t2 << shift) | ((t3 >> 1) >> (31u - shift));

    canon_uint m = (u & 0x007FFFFFu) | 0x00800000u;
    canon_uint low = m * w1;
    canon_uint v1 = low + canon_mulhi(m, w2);
    canon_uint v0 = m * w0 + canon_mulhi(m, w1) + (v1 < low ? 1u : 0u); /* 2 bits of quadrant, 30 + 32 of fraction */
    canon_uint quadrant = (v0 + 0x20000000u) >> 30;
    v0 -= quadrant << 30;
    canon_uint negative = 0u - (v0 >> 31); /* a mask; a complement for a negation is off by one unit of 2^-62 */
    v0 ^= negative;
    v1 ^= negative;

    /* The fraction, below 2^61, in three pieces that convert exactly: bits 40 and up, 20 to 39, 0 to 19; in units of 2^-62. */
    float f0 = CANON_REAL(CANON_INT(v0 >> 8)) * 2.38418579e-7f;
    float f1 = CANON_REAL(CANON_INT(((v0 & 0xFFu) << 12) | (v1 >> 20))) * 2.27373675e-13f;
    float f2 = CANON_REAL(CANON_INT(v1 & 0xFFFFFu)) * 2.16840434e-19f;
    float s = f0 + f1;
    float tail = ((f0 - s) + f1) + f2;
    float hi = s + tail;
    float lo = (s - hi) + tail;
    float p = hi * 1.57079637f; /* times pi/2 = 1.57079637 - 4.37113883e-8 */
    float p_lo = canon_fma(hi, 1.57079637f, -p) + canon_fma(hi, -4.37113883e-8f, lo * 1.57079637f);

    r.hi = canon_float((u & small) | ((canon_bits(p) ^ (negative & CANON_SIGN)) & ~small));
    r.lo = canon_float((canon_bits(p_lo) ^ (negative & CANON_SIGN)) & ~small);
    r.quadrant = quadrant & 3u & ~small;
    return r;
}

/* sin(|x| + turn * pi/2) for x of any sign, NaN for inf and NaN. sin r = r + r^3 S(r^2); cos r = 1 - r^2/2 + r^4 C(r^2). */
CANON_FN float canon_trig(float x, canon_uint turn)
{
    canon_uint u = canon_bits(x) & 0x7FFFFFFFu;
    canon_angle r = canon_reduce(canon_float(u));
    float z = r.hi * r.hi;
    float z_lo = canon_fma(r.hi, r.hi, -z);

    float p = 2.83250915e-6f; /* 2^-32.5 on |r| <= pi/4 */
    p = canon_fma(canon_fma(canon_fma(p, z, -0.000198530644f), z, 0.0083333794f), z, -0.166666672f);
    float sine = r.hi + canon_fma(r.hi * z, p, canon_fma(-0.5f * z, r.lo, r.lo));

    float q = canon_fma(canon_fma(2.44323273e-5f, z, -0.00138873095f), z, 0.0416666456f); /* 2^-33.0 on |r| <= pi/4 */
    float h = 0.5f * z;
    float s = 1.0f - h;
    float tail = canon_fma(-r.hi, r.lo, ((1.0f - s) - h) - 0.5f * z_lo);
    float cosine = s + canon_fma(z * z, q, tail);

    canon_uint quadrant = r.quadrant + turn;
    float y = canon_select((quadrant & 1u) != 0u, cosine, sine);
    y = canon_float(canon_bits(y) ^ ((quadrant & 2u) << 30));
    return canon_select(u >= CANON_INF, canon_float(CANON_NAN), y);
}

/* The sine of x radians, odd bit for bit. sin(+-0) = +-0, sin(+-inf) = NaN. Error 0.7296. */
CANON_FN float canon_sin(float x)
{
    float y = canon_trig(x, 0u);
    return canon_nan(canon_float(canon_bits(y) ^ (canon_bits(x) & CANON_SIGN)));
}

/* The cosine of x radians, even bit for bit. cos(+-0) = 1, cos(+-inf) = NaN. Error 0.7284. */
CANON_FN float canon_cos(float x)
{
    return canon_trig(x, 1u);
}

/* Four random words. */
struct canon_words {
    canon_uint w[4];
};

/* Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11): counter c, key k. */
CANON_FN canon_words canon_philox(canon_uint c0, canon_uint c1, canon_uint c2, canon_uint c3, canon_uint k0, canon_uint k1)
{
    canon_words r;
    r.w[0] = c0;
    r.w[1] = c1;
    r.w[2] = c2;
    r.w[3] = c3;
    canon_uint key0 = k0;
    canon_uint key1 = k1;
    for (int round = 0; round < 10; round++) {
        canon_uint hi0 = canon_mulhi(0xD2511F53u, r.w[0]);
        canon_uint lo0 = 0xD2511F53u * r.w[0];
        canon_uint hi1 = canon_mulhi(0xCD9E8D57u, r.w[2]);
        canon_uint lo1 = 0xCD9E8D57u * r.w[2];
        r.w[0] = hi1 ^ r.w[1] ^ key0;
        r.w[1] = lo1;
        r.w[2] = hi0 ^ r.w[3] ^ key1;
        r.w[3] = lo0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return r;
}

/* lowbit's keying: the key is the seed; the counter is (index_lo, index_hi, stream, 0). One call makes four words. */
CANON_FN canon_words canon_random(canon_uint seed_lo, canon_uint seed_hi, canon_uint stream, canon_uint index_lo, canon_uint index_hi)
{
    return canon_philox(index_lo, index_hi, stream, 0u, seed_lo, seed_hi);
}

/* A multiple of 2^-24 in [0, 1) from the upper 24 bits of a random word. Exact. */
CANON_FN float canon_unit(canon_uint word)
{
    return CANON_REAL(CANON_INT(word >> 8)) * 5.96046448e-8f;
}

#ifndef CANON_GLSL
#include "kernels/canon64.h"
#endif

#endif /* LB_CANON_H */
