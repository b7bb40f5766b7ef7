/* SPDX-License-Identifier: MIT */
/* canon64.h - the part of canon.h that is for C alone: binary64 exp and log for metrics, and 64-bit keys of random numbers. Include canon.h. */
#ifndef LB_CANON64_H
#define LB_CANON64_H

#define CANON_U64(high, low) ((uint64_t)(high) << 32 | (low)) /* GLSL's scanner refuses 64-bit and hexadecimal float literals */
#define CANON_SHIFTER64      6755399441055744.0               /* 1.5 * 2^52 */

/* canon_random with 64-bit seed and index. */
static inline canon_words canon_random64(uint64_t seed, uint32_t stream, uint64_t index)
{
    return canon_random((uint32_t)seed, (uint32_t)(seed >> 32), stream, (uint32_t)index, (uint32_t)(index >> 32));
}

/* The bit pattern of a binary64 value. */
static inline uint64_t canon_bits64(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* The binary64 value of a bit pattern. */
static inline double canon_float64(uint64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* e^x in binary64, as canon_exp: for metrics. Error 0.5887 (subnormal results 0.7484) on 10^7 seeded inputs. */
static inline double canon_exp64(double x)
{
    if (x != x)
        return canon_float64(CANON_U64(0x7FF80000u, 0x00000000u));
    double c = x > 710.0 ? 710.0 : x;
    c = c < -746.0 ? -746.0 : c;
    double t = fma(c, 1.4426950408889634, CANON_SHIFTER64);
    double n = t - CANON_SHIFTER64;
    double r0 = fma(n, -0.69314718055994529, c);
    double r = fma(n, -2.3190468138462996e-17, r0);
    double r_lo = fma(n, -2.3190468138462996e-17, r0 - r);
    double q = fma(2.0855601310355457e-09, r, 2.5111767721645051e-08); /* 2^-63.8 on |r| <= 0.347 */
    q = fma(fma(fma(q, r, 2.7557468435138111e-07), r, 2.7557235789292836e-06), r, 2.4801587095842599e-05);
    q = fma(fma(fma(q, r, 0.0001984126989524516), r, 0.0013888888888996993), r, 0.0083333333333176166);
    q = fma(fma(fma(q, r, 0.041666666666666477), r, 0.16666666666666682), r, 0.5);
    double tail = fma(r * r, q, fma(r_lo, r, r_lo));
    double s = 1.0 + r;
    double y = s + (((1.0 - s) + r) + tail);
    uint64_t k = canon_bits64(t) - canon_bits64(CANON_SHIFTER64);
    uint64_t lower = ((k + 4096u) >> 1) - 2048u; /* floor(k / 2) */
    return (y * canon_float64((lower + 1023u) << 52)) * canon_float64((k - lower + 1023u) << 52);
}

/* The natural logarithm in binary64: for metrics. log(1 + f) = f - f^2/2 + s (f^2/2 + s^2 R(s^2)), s = f / (2 + f). Error 0.5961 on 10^7
 * seeded inputs. */
static inline double canon_log64(double x)
{
    if (x != x || x < 0.0)
        return canon_float64(CANON_U64(0x7FF80000u, 0x00000000u));
    if (x == 0.0)
        return canon_float64(CANON_U64(0xFFF00000u, 0x00000000u));
    uint64_t u = canon_bits64(x);
    if (u == CANON_U64(0x7FF00000u, 0x00000000u))
        return x;
    bool subnormal = u < CANON_U64(0x00100000u, 0x00000000u);
    uint64_t v = subnormal ? canon_bits64(x * 18014398509481984.0) : u;
    v += CANON_U64(0x3FF00000u, 0x00000000u) - CANON_U64(0x3FE55555u, 0x55555555u); /* so that the mantissa is cut at 2/3 and 4/3 */
    double k = (double)((int)(v >> 52) - (subnormal ? 1077 : 1023));
    double f = canon_float64((v & CANON_U64(0x000FFFFFu, 0xFFFFFFFFu)) + CANON_U64(0x3FE55555u, 0x55555555u)) - 1.0;

    double s = f / (2.0 + f);
    double z = s * s;
    double p = fma(fma(0.1191742223928071, z, 0.11709768959021764), z, 0.13332376472509716); /* 2^-66.8 on |s| <= 1/5 */
    p = fma(fma(fma(p, z, 0.15384758808495297), z, 0.18181813319525145), z, 0.22222222302679809);
    p = fma(fma(fma(p, z, 0.28571428570741025), z, 0.4000000000000275), z, 0.66666666666666663);

    double h = (0.5 * f) * f;
    double h_lo = fma(0.5 * f, f, -h);
    double k_hi = k * 0.69314718055989033; /* exact: 42 bits of ln(2) */
    double a = k_hi + f;
    double a_lo = (k_hi - a) + f;
    double b = a - h;
    double b_lo = (a - b) - h;
    return b + fma(s, fma(z, p, h), fma(k, 5.4979230187083712e-14, (a_lo + b_lo) - h_lo));
}

#endif
