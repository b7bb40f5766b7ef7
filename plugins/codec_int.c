/* SPDX-License-Identifier: MIT */
/* codec_int.c - I2 I4 I8 I16 I32 I64 (two's complement) and U2 U4 U8 U16 U32 U64. Up to 16 bits they are value functions; the wider ones round, then
 * saturate or wrap. NaN becomes 0. */
#include "core/plugin.h"
#include "kernels/cpu/codec_kernels.h"

#include <math.h>

static double signed_value(const struct lb_codec *c, uint32_t code)
{
    const double v = (double)code;
    return code >> (c->bits - 1) ? v - (double)(1u << c->bits) : v;
}

static double unsigned_value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return (double)code;
}

static double to_whole(double x, const struct lb_encoding *how, size_t i)
{
    const double down = floor(x), part = x - down;
    switch (how->rounding) {
    case LB_TOWARD_ZERO:
        return trunc(x);
    case LB_HALF_AWAY:
        return round(x);
    case LB_STOCHASTIC:
        return (double)how->random[i] < part * 4294967296.0 ? down + 1 : down;
    default:
        return part > 0.5 || (part == 0.5 && fmod(down, 2) != 0) ? down + 1 : down;
    }
}

static void put(const struct lb_codec *c, void *codes, size_t i, uint64_t v)
{
    unsigned char *p = (unsigned char *)codes + i * c->unit_bytes;
    for (unsigned b = 0; b < c->unit_bytes; b++)
        p[b] = (unsigned char)(v >> (8 * b));
}

static uint64_t get(const struct lb_codec *c, const void *codes, size_t i)
{
    const unsigned char *p = (const unsigned char *)codes + i * c->unit_bytes;
    uint64_t v = 0;
    for (unsigned b = 0; b < c->unit_bytes; b++)
        v |= (uint64_t)p[b] << (8 * b);
    return v;
}

static uint64_t largest(const struct lb_codec *c)
{
    return UINT64_MAX >> (64 - c->bits + (c->kind == LB_SIGNED));
}

/* The magnitude that a negative number may have. */
static uint64_t lowest(const struct lb_codec *c)
{
    return c->kind == LB_SIGNED ? largest(c) + 1 : 0;
}

static uint64_t from_sign_magnitude(const struct lb_codec *c, uint32_t overflow, int negative, uint64_t m)
{
    if (overflow != LB_WRAP) {
        const uint64_t most = negative ? lowest(c) : largest(c);
        m = m > most ? most : m;
    }
    return negative ? 0 - m : m;
}

static uint64_t encode_one(const struct lb_codec *c, const struct lb_encoding *how, double x, size_t i)
{
    if (x != x || (isinf(x) && how->overflow == LB_WRAP))
        return 0;
    const double whole = isinf(x) ? x : to_whole(x, how, i);
    const double m = fabs(whole);
    if (m < 0x1p64)
        return from_sign_magnitude(c, how->overflow, whole < 0, (uint64_t)m);
    if (how->overflow == LB_WRAP)
        return from_sign_magnitude(c, LB_WRAP, whole < 0, (uint64_t)fmod(m, 0x1p64));
    return from_sign_magnitude(c, how->overflow, whole < 0, UINT64_MAX);
}

static void wide_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    for (size_t i = 0; i < n; i++)
        put(c, codes, i, encode_one(c, how, x[i], i));
}

static void wide_encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n,
                            void *codes)
{
    for (size_t i = 0; i < n; i++) {
        const int negative = !is_unsigned && x[i] < 0;
        put(c, codes, i, from_sign_magnitude(c, how->overflow, negative, negative ? 0 - (uint64_t)x[i] : (uint64_t)x[i]));
    }
}

static void wide_decode_int(const struct lb_codec *c, const void *codes, size_t n, int64_t *x)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t v = get(c, codes, i);
        x[i] = c->kind == LB_SIGNED && c->bits == 32 ? (int32_t)(uint32_t)v : (int64_t)v;
    }
}

static void wide_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++) {
        int64_t v;
        wide_decode_int(c, (const unsigned char *)codes + i * c->unit_bytes, 1, &v);
        x[i] = c->kind == LB_UNSIGNED ? (double)(uint64_t)v : (double)v;
    }
}

static void i8_encode(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    (lb_codec_avx2() ? lb_i8_encode_avx2 : lb_i8_encode_c)(x, n, codes);
}

static void i8_decode(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    (lb_codec_avx2() ? lb_i8_decode_avx2 : lb_i8_decode_c)(codes, n, x);
}

static const struct lb_codec i2 = {
    .base = {LB_ABI, LB_CODEC, sizeof i2, "I2", "2-bit two's complement integer: -2 to 1"},
    .aliases = "int2",
    .bits = 2,
    .unit_elems = 4,
    .unit_bytes = 1,
    .kind = LB_SIGNED,
    .value = signed_value,
};
static const struct lb_codec i4 = {
    .base = {LB_ABI, LB_CODEC, sizeof i4, "I4", "4-bit two's complement integer"},
    .aliases = "int4",
    .bits = 4,
    .unit_elems = 2,
    .unit_bytes = 1,
    .kind = LB_SIGNED,
    .value = signed_value,
};
static const struct lb_codec i8 = {
    .base = {LB_ABI, LB_CODEC, sizeof i8, "I8", "8-bit two's complement integer"},
    .tag = "I8",
    .aliases = "int8",
    .bits = 8,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_SIGNED,
    .value = signed_value,
    .encode_f32 = i8_encode,
    .decode_f32 = i8_decode,
};
static const struct lb_codec i16 = {
    .base = {LB_ABI, LB_CODEC, sizeof i16, "I16", "16-bit two's complement integer"},
    .tag = "I16",
    .aliases = "int16",
    .bits = 16,
    .unit_elems = 1,
    .unit_bytes = 2,
    .kind = LB_SIGNED,
    .value = signed_value,
};
static const struct lb_codec i32 = {
    .base = {LB_ABI, LB_CODEC, sizeof i32, "I32", "32-bit two's complement integer"},
    .tag = "I32",
    .aliases = "int32",
    .bits = 32,
    .unit_elems = 1,
    .unit_bytes = 4,
    .kind = LB_SIGNED,
    .encode = wide_encode,
    .decode = wide_decode,
    .encode_int = wide_encode_int,
    .decode_int = wide_decode_int,
};
static const struct lb_codec i64 = {
    .base = {LB_ABI, LB_CODEC, sizeof i64, "I64", "64-bit two's complement integer"},
    .tag = "I64",
    .aliases = "int64",
    .bits = 64,
    .unit_elems = 1,
    .unit_bytes = 8,
    .kind = LB_SIGNED,
    .encode = wide_encode,
    .decode = wide_decode,
    .encode_int = wide_encode_int,
    .decode_int = wide_decode_int,
};
static const struct lb_codec u2 = {
    .base = {LB_ABI, LB_CODEC, sizeof u2, "U2", "2-bit unsigned integer"},
    .aliases = "uint2",
    .bits = 2,
    .unit_elems = 4,
    .unit_bytes = 1,
    .kind = LB_UNSIGNED,
    .value = unsigned_value,
};
static const struct lb_codec u4 = {
    .base = {LB_ABI, LB_CODEC, sizeof u4, "U4", "4-bit unsigned integer"},
    .aliases = "uint4",
    .bits = 4,
    .unit_elems = 2,
    .unit_bytes = 1,
    .kind = LB_UNSIGNED,
    .value = unsigned_value,
};
static const struct lb_codec u8 = {
    .base = {LB_ABI, LB_CODEC, sizeof u8, "U8", "8-bit unsigned integer"},
    .tag = "U8",
    .aliases = "uint8",
    .bits = 8,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_UNSIGNED,
    .value = unsigned_value,
};
static const struct lb_codec u16 = {
    .base = {LB_ABI, LB_CODEC, sizeof u16, "U16", "16-bit unsigned integer"},
    .tag = "U16",
    .aliases = "uint16",
    .bits = 16,
    .unit_elems = 1,
    .unit_bytes = 2,
    .kind = LB_UNSIGNED,
    .value = unsigned_value,
};
static const struct lb_codec u32 = {
    .base = {LB_ABI, LB_CODEC, sizeof u32, "U32", "32-bit unsigned integer"},
    .tag = "U32",
    .aliases = "uint32",
    .bits = 32,
    .unit_elems = 1,
    .unit_bytes = 4,
    .kind = LB_UNSIGNED,
    .encode = wide_encode,
    .decode = wide_decode,
    .encode_int = wide_encode_int,
    .decode_int = wide_decode_int,
};
static const struct lb_codec u64 = {
    .base = {LB_ABI, LB_CODEC, sizeof u64, "U64", "64-bit unsigned integer"},
    .tag = "U64",
    .aliases = "uint64",
    .bits = 64,
    .unit_elems = 1,
    .unit_bytes = 8,
    .kind = LB_UNSIGNED,
    .encode = wide_encode,
    .decode = wide_decode,
    .encode_int = wide_encode_int,
    .decode_int = wide_decode_int,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&i2.base, &i4.base, &i8.base,  &i16.base, &i32.base, &i64.base, &u2.base,
                                                        &u4.base, &u8.base, &u16.base, &u32.base, &u64.base, NULL};
