/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/quantize_key.h"

#include <math.h>

enum { MOST_DIGITS = 22, LEAST_KEY = INT32_MIN + 0x007fffff /* of -Inf */, MOST_KEY = 0x7f800000 };

static float of_key(int32_t key)
{
    return canon_float((uint32_t)(key < 0 ? INT32_MIN - key - 1 : key));
}

static int same(float a, float b)
{
    return canon_bits(a) == canon_bits(b) || (a != a && b != b);
}

static float power(int e)
{
    return canon_float((uint32_t)(e + 127) << 23);
}

static int exponent(float x)
{
    return (int)(canon_bits(x) >> 23 & 0xff) - 127;
}

/* As the kernels do it. */
static float on_grid(const struct quantize_codec *c, float t)
{
    const uint32_t sign = canon_bits(t) >> 31;
    float a = canon_float(canon_bits(t) & 0x7fffffffu);
    a = a > c->cap ? c->cap : a;
    const int e = exponent(a) > c->low ? exponent(a) : c->low;
    const float magic = power(e - c->digits + 23);
    float r = (a + magic) - magic;
    r = r > c->high[sign] ? c->over[sign] : r;
    return canon_float(canon_bits(r) | (r == 0 && !c->minus_zero ? 0 : sign << 31));
}

/* Both are steps that ascend: where they agree at both ends of every interval they agree. */
static int agrees(const struct quantize_codec *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const int32_t first = c->first[i] < LEAST_KEY ? LEAST_KEY : c->first[i];
        const int32_t last = i + 1 == c->n || c->first[i + 1] > MOST_KEY ? MOST_KEY : c->first[i + 1] - 1;
        if (first <= last && (!same(on_grid(c, of_key(first)), c->value[i]) || !same(on_grid(c, of_key(last)), c->value[i])))
            return 0;
    }
    return 1;
}

/* The range of the finite values of a sign, and the smallest one above 0 of all. */
static float range(struct quantize_codec *c)
{
    float least = INFINITY;
    c->high[0] = c->high[1] = 0;
    for (size_t i = 0; i < c->n; i++) {
        const float v = c->value[i], a = fabsf(v);
        if (!isfinite(v))
            continue;
        c->high[v < 0] = a > c->high[v < 0] ? a : c->high[v < 0];
        c->minus_zero |= canon_bits(v) == 0x80000000u;
        least = a > 0 && a < least ? a : least;
    }
    c->over[0] = fabsf(c->value[c->n - 1]);
    c->over[1] = fabsf(c->value[0]);
    return least;
}

static void find_grid(struct quantize_codec *c)
{
    const float least = range(c), most = c->high[0] > c->high[1] ? c->high[0] : c->high[1];
    if (least == INFINITY || exponent(least) < -126 || canon_bits(least) & 0x007fffffu)
        return;
    for (c->digits = 0; c->digits <= MOST_DIGITS && !c->grid; c->digits += !c->grid) {
        c->low = exponent(least) + c->digits;
        const int top = exponent(most) > c->low ? exponent(most) : c->low;
        if (top + 1 - c->digits + 23 > 127 || c->low - c->digits + 23 < -126)
            continue;
        c->cap = 2 * power(top); /* above all, and a multiple of every step */
        c->grid = agrees(c);
    }
}

/* Whether neighbours are one step apart, as the kernels take it. */
static int agree_members(const struct quantize_codec *c)
{
    for (size_t i = 0; i + 1 < c->n_members; i++) {
        const float lo = c->member[i], hi = c->member[i + 1], near_zero = lo < 0 ? -hi : lo, far = lo < 0 ? -lo : hi;
        const int e = exponent(near_zero) > c->low ? exponent(near_zero) : c->low;
        if (lo < hi && (near_zero < 0 || !same(near_zero + power(e - c->digits), far)))
            return 0;
        if (lo < 0 && hi == 0 && (canon_bits(hi) != 0) != c->minus_zero)
            return 0;
    }
    const float first = c->n_members ? c->member[0] : 0, last = c->n_members ? c->member[c->n_members - 1] : 0;
    return c->n_members > 1 && last == c->high[0] && (first < 0 ? -first : 0) == c->high[1];
}

void quantize_codec_finish(struct quantize_codec *c)
{
    size_t i = 0;
    for (size_t p = 0; p < QUANTIZE_PARTS; p++) {
        const int32_t key = (int32_t)((uint32_t)p * (UINT32_MAX / QUANTIZE_PARTS + 1) ^ 0x80000000u);
        while (i + 1 < c->n && c->first[i + 1] <= key)
            i++;
        c->start[p] = (uint16_t)i;
    }
    c->start[QUANTIZE_PARTS] = (uint16_t)(c->n - 1);
    c->grid = c->minus_zero = 0;
    find_grid(c);
    c->grid_members = c->grid && agree_members(c);
}
