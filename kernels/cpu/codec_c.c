/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/codec_kernels.h"

#include <stdint.h>
#include <string.h>

int lb_codec_avx2(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

int lb_codec_vbmi(void)
{
#ifdef __x86_64__
    return lb_codec_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512vbmi");
#else
    return 0;
#endif
}

static uint32_t bits_of(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static float float_of(uint32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static void put16(void *codes, size_t i, uint32_t v)
{
    unsigned char *p = (unsigned char *)codes + 2 * i;
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static uint32_t get16(const void *codes, size_t i)
{
    const unsigned char *p = (const unsigned char *)codes + 2 * i;
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t f16_code(float x)
{
    const uint32_t b = bits_of(x), sign = b >> 16 & 0x8000, m = b & 0x7fffffff;
    if (m > 0x7f800000)
        return 0x7e00;
    if (m >= 0x477ff000) /* 65520: half a step above the largest */
        return sign | 0x7c00;
    if (m < 0x38800000) { /* subnormal: adding 0.5 leaves multiples of 2^-24 in the low bits, rounded to nearest even */
        return sign | (bits_of(float_of(m) + 0.5f) - 0x3f000000);
    }
    return sign | ((m - 0x38000000 + 0xfff + (m >> 13 & 1)) >> 13);
}

void lb_f16_encode_c(const float *x, size_t n, void *codes)
{
    for (size_t i = 0; i < n; i++)
        put16(codes, i, f16_code(x[i]));
}

static float f16_value(uint32_t c)
{
    const uint32_t sign = (c & 0x8000) << 16, m = c & 0x7fff;
    if (m > 0x7c00)
        return float_of(0x7fc00000);
    if (m == 0x7c00)
        return float_of(sign | 0x7f800000);
    if (m < 0x400) {
        const float v = (float)m * 0x1p-24f;
        return float_of(sign | bits_of(v));
    }
    return float_of(sign | ((m << 13) + 0x38000000));
}

void lb_f16_decode_c(const void *codes, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = f16_value(get16(codes, i));
}

void lb_bf16_encode_c(const float *x, size_t n, void *codes)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t b = bits_of(x[i]);
        put16(codes, i, (b & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (b + 0x7fff + (b >> 16 & 1)) >> 16);
    }
}

void lb_bf16_decode_c(const void *codes, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t b = get16(codes, i) << 16;
        x[i] = float_of((b & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : b);
    }
}

static int i8_code(float x)
{
    if (x != x)
        return 0;
    if (x >= 127.0f)
        return 127;
    if (x <= -128.0f)
        return -128;
    const int down = (int)(x + 128.0f) - 128; /* a guess that may be one off for tiny negatives; mended below */
    const float floor_x = (float)down > x ? (float)(down - 1) : (float)down, part = x - floor_x;
    const int f = (int)floor_x;
    return part > 0.5f || (part == 0.5f && (f & 1)) ? f + 1 : f;
}

void lb_i8_encode_c(const float *x, size_t n, void *codes)
{
    for (size_t i = 0; i < n; i++)
        ((signed char *)codes)[i] = (signed char)i8_code(x[i]);
}

void lb_i8_decode_c(const void *codes, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((const signed char *)codes)[i];
}

static unsigned fp4_code(float x)
{
    if (x != x)
        return 0;
    const float a = float_of(bits_of(x) & 0x7fffffff);
    const int m = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) + (a >= 3.5f) + (a > 5.0f);
    return (unsigned)m | (bits_of(x) >> 28 & 8);
}

void lb_fp4_encode_c(const float *x, size_t n, void *codes)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        ((unsigned char *)codes)[i / 2] = (unsigned char)(fp4_code(x[i]) | fp4_code(x[i + 1]) << 4);
}

void lb_fp4_decode_c(const void *codes, size_t n, float *x)
{
    static const float value[16] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    for (size_t i = 0; i + 1 < n; i += 2) {
        const unsigned byte = ((const unsigned char *)codes)[i / 2];
        x[i] = value[byte & 15];
        x[i + 1] = value[byte >> 4];
    }
}
