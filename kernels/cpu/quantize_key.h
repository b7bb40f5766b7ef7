/* SPDX-License-Identifier: MIT */
/* quantize_key.h - the code of one number, from tables. */
#ifndef LB_QUANTIZE_KEY_H
#define LB_QUANTIZE_KEY_H

#include "kernels/canon.h"
#include "kernels/cpu/quantize.h"

/* Integers that ascend with the numbers. */
static inline int32_t quantize_key(float x)
{
    const int32_t b = (int32_t)canon_bits(x);
    return b < 0 ? INT32_MIN - b - 1 : b;
}

static inline size_t quantize_part(int32_t key)
{
    return ((uint32_t)key ^ 0x80000000u) / (UINT32_MAX / QUANTIZE_PARTS + 1);
}

/* The last i below `high` with first[i] <= key; there is one from `low` on. */
static inline size_t quantize_last(const int32_t *first, int32_t key, size_t low, size_t high)
{
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (first[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* t is no NaN. */
static inline float quantize_nearest(const struct quantize_codec *c, float t)
{
    const int32_t key = quantize_key(t);
    const uint16_t *start = c->start + quantize_part(key);
    return c->value[quantize_last(c->first, key, start[0], (size_t)start[1] + 1)];
}

/* 8.6; members are treated as nearest treats them, and so is what lies beside them. */
static inline float quantize_stochastic(const struct quantize_codec *c, float t, float u)
{
    size_t low = 0, high = c->n_members;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (c->member[mid] < t)
            low = mid;
        else
            high = mid;
    }
    if (high >= c->n_members || !(c->member[low] < t && t < c->member[high]))
        return quantize_nearest(c, t);
    const float lo = c->member[low], hi = c->member[high];
    return canon_fma(u, hi - lo, -(t - lo)) < 0 ? hi : lo;
}

#endif
