/* SPDX-License-Identifier: MIT */
/* codec_float.c - F64 and F32: wider than a table, so they encode and decode by function. */
#include "core/plugin.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const uint64_t nan64 = UINT64_C(0x7ff8000000000000);
static const uint32_t nan32 = 0x7fc00000u;

/* What a finite value beyond `largest`, or an infinity, becomes. */
static double too_large(uint32_t overflow, double x, double largest)
{
    if (overflow == LB_TO_NAN)
        return (double)NAN;
    return copysign(overflow == LB_SATURATE ? largest : (double)INFINITY, x);
}

/* Whether stochastic rounding leaves a magnitude `part` of a step above its lower neighbour there, or takes it away from zero. The word decides about
 * the signed value, as everywhere: up where word < 2^32 (x - lower) / step. */
static int away(double part, int negative, uint32_t random)
{
    return negative ? !((double)random < (1 - part) * 4294967296.0) : (double)random < part * 4294967296.0;
}

/* The magnitude a rounded to a multiple of `ulp` (a power of two), a / ulp < 2^53: the neighbours and the remainder are exact. */
static double to_multiple(double a, int negative, double ulp, uint32_t rounding, uint32_t random)
{
    const double low = trunc(a / ulp) * ulp, part = (a - low) / ulp;
    if (rounding == LB_TOWARD_ZERO || part == 0)
        return low;
    if (rounding == LB_STOCHASTIC)
        return away(part, negative, random) ? low + ulp : low;
    return part >= 0.5 ? low + ulp : low; /* half away; nearest is done by the conversion itself */
}

static double round_to_f32(double x, const struct lb_encoding *how, size_t i)
{
    if (x != x)
        return x;
    if (isinf(x))
        return too_large(how->overflow, x, FLT_MAX);
    double r = (double)(float)x;
    const double a = fabs(x);
    if (how->rounding != LB_NEAREST && !(how->rounding == LB_STOCHASTIC && a > FLT_MAX)) {
        int e;
        frexp(a, &e); /* a in [2^(e-1), 2^e) */
        r = copysign(to_multiple(a, x < 0, ldexp(1, e - 24 < -149 ? -149 : e - 24), how->rounding, how->random ? how->random[i] : 0), x);
    }
    return fabs(r) > FLT_MAX ? too_large(how->rounding == LB_TOWARD_ZERO ? LB_SATURATE : how->overflow, x, FLT_MAX) : r;
}

static void put_f32(void *codes, size_t i, double v)
{
    const float f = (float)v;
    memcpy((char *)codes + 4 * i, v != v ? (const void *)&nan32 : (const void *)&f, 4);
}

static void put_f64(void *codes, size_t i, double v)
{
    memcpy((char *)codes + 8 * i, v != v ? (const void *)&nan64 : (const void *)&v, 8);
}

static void f32_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        put_f32(codes, i, round_to_f32(x[i], how, i));
}

static void f64_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        put_f64(codes, i, isinf(x[i]) ? too_large(how->overflow, x[i], DBL_MAX) : x[i]);
}

/* An integer as a float of `precision` bits, rounded once. */
static double from_int(int64_t x, int is_unsigned, int precision, const struct lb_encoding *how, size_t i)
{
    const int negative = !is_unsigned && x < 0;
    const uint64_t m = negative ? 0 - (uint64_t)x : (uint64_t)x;
    const int extra = m >> precision ? 64 - __builtin_clzll(m) - precision : 0;
    uint64_t high = m >> extra;
    const uint64_t low = m - (high << extra), half = extra ? UINT64_C(1) << (extra - 1) : 1;
    switch (how->rounding) {
    case LB_TOWARD_ZERO:
        break;
    case LB_HALF_AWAY:
        high += low >= half;
        break;
    case LB_STOCHASTIC:
        high += low && away((double)low / (2.0 * (double)half), negative, how->random[i]);
        break;
    default:
        high += low > half || (low == half && (high & 1));
        break;
    }
    const double v = ldexp((double)high, extra);
    return negative ? -v : v;
}

static void f32_encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n,
                           void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        put_f32(codes, i, from_int(x[i], is_unsigned, 24, how, i));
}

static void f64_encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n,
                           void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        put_f64(codes, i, from_int(x[i], is_unsigned, 53, how, i));
}

static void f32_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, (const char *)codes + 4 * i, 4);
        put_f64(x, i, (double)f);
    }
}

static void f64_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, (const char *)codes + 8 * i, 8);
        put_f64(x, i, v);
    }
}

/* F32 to and from binary32 arrays is a copy, but for NaN. */
static void f32_copy(const void *from, size_t n, void *to)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t b;
        memcpy(&b, (const char *)from + 4 * i, 4);
        b = (b & 0x7fffffffu) > 0x7f800000u ? nan32 : b;
        memcpy((char *)to + 4 * i, &b, 4);
    }
}

static void f32_encode_f32(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    f32_copy(x, n, codes);
}

static void f32_decode_f32(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    f32_copy(codes, n, x);
}

static const struct lb_codec f64 = {
    .base = {LB_ABI, LB_CODEC, sizeof f64, "F64", "IEEE 754 binary64"},
    .tag = "F64",
    .aliases = "float64 double",
    .bits = 64,
    .unit_elems = 1,
    .unit_bytes = 8,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_TO_INF,
    .encode = f64_encode,
    .decode = f64_decode,
    .encode_int = f64_encode_int,
};

static const struct lb_codec f32 = {
    .base = {LB_ABI, LB_CODEC, sizeof f32, "F32", "IEEE 754 binary32"},
    .tag = "F32",
    .aliases = "float32 float",
    .bits = 32,
    .unit_elems = 1,
    .unit_bytes = 4,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_TO_INF,
    .encode = f32_encode,
    .decode = f32_decode,
    .encode_int = f32_encode_int,
    .encode_f32 = f32_encode_f32,
    .decode_f32 = f32_decode_f32,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&f64.base, &f32.base, NULL};
