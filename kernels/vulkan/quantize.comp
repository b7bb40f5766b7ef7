/* SPDX-License-Identifier: MIT */
/* quantize.comp - encoding in a format by tables, docs/arithmetic.md 8.1 to 8.12. A matrix has rows of `row` elements; `width` neighbours share a
 * scale, `per_row` scales a row (what shares one scale as a whole is one long row). One of these is defined:
 *
 *   AMAX     parts of what shares a scale: the bits of the largest magnitude. `raw`: numbers that are such bits already. `powers`: all ones, which
 *            are more than any, where an element is NaN or infinite
 *   SCALES   from amax to scales, in place: as they are before they are stored (MAKE), as they are worth (STORE), or both
 *   APPLY    what each element becomes
 *   BYTES    integers of 8 bits, rows of whole words: docs/arithmetic.md 8.12
 *
 * Tables: keys, what numbers from them on become, and for stochastic rounding members and what they become. */
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernels/vulkan/common.glsl"

#if defined(APPLY) || defined(SCALES)
layout(binding = 3) readonly buffer Tables { uint tables[]; };

/* The last of n ascending keys that is not above the number's. */
uint lb_search(uint keys, uint n, float t)
{
    int b = int(canon_bits(t)), key = b < 0 ? int(0x80000000u) - b - 1 : b;
    uint low = 0u, high = n;
    while (high - low > 1u) {
        uint mid = low + (high - low) / 2u;
        bool below = int(tables[keys + mid]) <= key;
        low = below ? mid : low;
        high = below ? high : mid;
    }
    return low;
}

/* What t becomes: n keys at word `keys`. */
float lb_nearest(uint keys, uint n, float t, float of_nan)
{
    float v = uintBitsToFloat(tables[keys + n + lb_search(keys, n, t)]);
    return canon_is_nan(t) ? of_nan : v;
}
#endif

/* x in the scale s. */
float lb_divided(float x, float s)
{
    return s == 0.0 ? 0.0 : canon_div(x, s);
}

#if defined(AMAX)

layout(binding = 0) readonly buffer Input { uint x[]; };
layout(binding = 1) writeonly buffer Most { uint most[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count, part0;     /* parts of this dispatch, and the first one's number */
    uint parts, part_size; /* of what shares a scale; elements, the last one may have fewer */
    uint row, width, per_row;
    uint bound; /* the first element that is bound */
    uint raw, powers;
};

void main()
{
    uint index = lb_index();
    if (index >= count)
        return;
    uint part = part0 + index, group = part / parts, of_row = group % per_row;
    uint from = of_row * width + part % parts * part_size, end = min(min(from + part_size, of_row * width + width), row);
    uint where = at.x + (group / per_row * row - bound), largest = 0u;
    for (uint i = from; i < end; i++) {
        uint u = x[where + i], magnitude = u & 0x7FFFFFFFu;
        uint counted = magnitude > CANON_INF ? 0u : magnitude;
        counted = powers != 0u && magnitude >= CANON_INF ? 0xFFFFFFFFu : counted;
        largest = max(largest, raw != 0u ? u : counted);
    }
    most[at.y + index] = largest;
}

#elif defined(SCALES)

layout(binding = 1) buffer Scales { float scales[]; };
layout(binding = 2) readonly buffer Most { float most[]; }; /* amax over all, where it is needed */

/* enum lb_scale_rule of core/plugin.h */
#define RULE_FIXED  1u
#define RULE_ABSMAX 2u
#define RULE_FLOOR  7u
#define RULE_CEIL   8u
#define RULE_EVEN   9u

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count;
    uint make, store;     /* steps */
    uint rule;
    float value, top;
    int emax, fraction;
    uint by_rule, by_all; /* of the scale's own format; by_all: both rules are absmax */
    float by_value, by_top;
    uint keys;            /* of its table */
    float of_nan;
};

/* floor(log2(x)) of a positive finite number; `up`: rounded up. */
int exponent(float x, bool up)
{
    canon_unpacked u = canon_unpack(canon_bits(x));
    return int(u.e) - 127 + (up && u.m != 0x00800000u ? 1 : 0);
}

float power_of_two(float amax)
{
    int e = -127;
    if (amax > 0.0 && rule <= RULE_EVEN)
        e = exponent(amax, rule == RULE_CEIL) - emax;
    if (amax > 0.0 && rule == RULE_EVEN && canon_unpack(canon_bits(amax)).m + (1u << (22 - fraction)) >= 0x01000000u)
        e++;
    if (rule > RULE_EVEN) {
        float ratio = canon_div(amax, top);
        if (ratio > 0.0)
            e = canon_bits(ratio) == CANON_INF ? 127 : exponent(ratio, true);
    }
    e = clamp(e, -127, 127);
    return canon_float(e > -127 ? uint(e + 127) << 23 : 0x00400000u);
}

float second()
{
    if (by_all != 0u)
        return canon_div(most[at.z], top * by_top);
    return by_rule == RULE_ABSMAX ? canon_div(most[at.z], by_top) : by_value;
}

float made(float amax)
{
    if (rule == RULE_FIXED)
        return value;
    if (rule == RULE_ABSMAX)
        return lb_divided(amax, by_all != 0u ? top * second() : top);
    return canon_is_nan(amax) ? amax : power_of_two(amax);
}

float stored(float r)
{
    if (by_rule == 0u)
        return lb_nearest(at.w, keys, r, of_nan);
    float s = second();
    return lb_nearest(at.w, keys, by_all != 0u ? r : lb_divided(r, s), of_nan) * s;
}

void main()
{
    uint index = lb_index();
    if (index >= count)
        return;
    float s = scales[at.y + index];
    if (make != 0u)
        s = made(s);
    if (store != 0u)
        s = stored(s);
    scales[at.y + index] = canon_nan(s);
}

#elif defined(APPLY)

layout(binding = 0) readonly buffer Input { float x[]; };
layout(binding = 1) buffer Result { float y[]; };
layout(binding = 2) readonly buffer Scales { float scales[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count, first; /* elements of this dispatch, and the first one's number */
    uint row, width, per_row, scale0;
    uint scaled, held; /* held: what is below -top is taken as -top */
    float top;
    uint keys, members; /* members: 0 without stochastic rounding */
    float of_nan;
    uint index_lo, index_hi, seed_lo, seed_hi, stream; /* of the random words */
};

float unit_of(uint i)
{
    uint lo = index_lo + i, hi = index_hi + (lo < i ? 1u : 0u);
    canon_words r = canon_random(seed_lo, seed_hi, stream, lo >> 2 | hi << 30, hi >> 2);
    uint n = lo & 3u;
    return canon_unit(n < 2u ? (n == 0u ? r.w[0] : r.w[1]) : (n == 2u ? r.w[2] : r.w[3]));
}

float member(uint i)
{
    return uintBitsToFloat(tables[at.w + 2u * keys + i]);
}

float encoded(float t, uint i)
{
    float v = lb_nearest(at.w, keys, t, of_nan);
    if (members == 0u)
        return v;
    uint low = 0u, high = members;
    while (high - low > 1u) {
        uint mid = low + (high - low) / 2u;
        bool below = member(mid) < t;
        low = below ? mid : low;
        high = below ? high : mid;
    }
    if (high >= members)
        return v;
    float a = member(low), b = member(high);
    bool up = canon_fma(unit_of(i), b - a, -(t - a)) < 0.0;
    float w = uintBitsToFloat(tables[at.w + 2u * keys + members + (up ? high : low)]);
    return a < t && t < b ? w : v;
}

void main()
{
    uint i = lb_index();
    if (i >= count)
        return;
    float t = x[at.x + i];
    if (scaled == 0u) {
        y[at.y + i] = encoded(t, i);
        return;
    }
    uint e = first + i, r = e / row;
    float s = scales[at.z + (r * per_row + (e - r * row) / width - scale0)];
    t = lb_divided(t, s);
    t = held != 0u && t < -top ? -top : t;
    y[at.y + i] = canon_nan(encoded(t, i) * s);
}

#else

layout(binding = 0) readonly buffer Input { float x[]; };
layout(binding = 1) writeonly buffer Bytes { uint bytes[]; };
layout(binding = 2) readonly buffer Scales { float scales[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count; /* words */
    uint row, width, per_row;
};

void main()
{
    uint index = lb_index();
    if (index >= count)
        return;
    uint words = (row + 3u) / 4u, r = index / words, from = (index - r * words) * 4u, word = 0u;
    for (uint i = 0u; i < 4u; i++) {
        uint j = from + i;
        if (j >= row)
            continue;
        float t = lb_divided(x[at.x + r * row + j], scales[at.z + r * per_row + j / width]);
        t = t > 127.0 ? 127.0 : t < -127.0 ? -127.0 : t;
        uint a = canon_bits(t + CANON_SHIFTER) - CANON_SHIFTER_BITS; /* to a whole number, half to even */
        word |= (canon_is_nan(t) ? 0u : a & 0xFFu) << (8u * i);
    }
    bytes[at.y + index] = word;
}

#endif
