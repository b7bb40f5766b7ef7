/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/codec_fp8.h"

#include <string.h>

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

void lb_fp8_init(struct lb_fp8 *t, double (*value)(uint32_t code), const struct lb_minifloat *f)
{
    for (uint32_t code = 0; code < 256; code++) {
        const double v = value(code);
        t->value[code] = v != v ? float_of(0x7fc00000) : (float)v;
        t->byte3[code] = (unsigned char)(bits_of(t->value[code]) >> 24);
        t->byte2[code] = (unsigned char)(bits_of(t->value[code]) >> 16 & 255);
    }
    if (!f)
        return;
    t->encodes = 1;
    t->m = f->m;
    t->bias = f->bias;
    t->finite = lb_minifloat_finite(f);
    t->nan_code = lb_minifloat_nan(f);
    t->top = t->value[t->finite - 1];
    t->unit = float_of((uint32_t)(127 + f->m - 23) << 23);
    t->constant = (uint32_t)(f->bias - 128) << f->m & 255;
    t->least = (uint32_t)(128 - f->bias) << 23 | t->constant;
}

static unsigned char code_of(const struct lb_fp8 *t, float x)
{
    const uint32_t sign = bits_of(x) >> 31 << 7;
    float a = float_of(bits_of(x) & 0x7fffffff);
    if (x != x)
        return (unsigned char)t->nan_code;
    a = a < t->top ? a : t->top;
    const uint32_t power = (bits_of(a) & 0x7f800000) | t->constant;
    const uint32_t sum = bits_of(a * t->unit + float_of(power > t->least ? power : t->least));
    const uint32_t magnitude = (sum + (sum >> (23 - t->m))) & 127;
    return (unsigned char)(magnitude || t->nan_code != 0x80 ? sign | magnitude : 0);
}

void lb_fp8_encode_c(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = code_of(t, x[i]);
}

void lb_fp8_decode_c(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = t->value[codes[i]];
}
