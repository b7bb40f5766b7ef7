/* SPDX-License-Identifier: MIT */
/* quantize_body.h - the text of quantize.h's kernels. */
#include "kernels/cpu/gemm_micro.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/quantize_key.h"

typedef uint32_t words __attribute__((vector_size(VEC * 4)));

INLINE vec magnitude(vec x)
{
    return (vec)((words)x & 0x7fffffffu);
}

static float amax(const float *x, size_t n, int *finite)
{
    enum { SIDE = 4 };
    float lane[VEC], most = 0, sum = 0;
    vec m[SIDE], zero[SIDE]; /* x - x is 0 but for infinities and NaN */
    for (int j = 0; j < SIDE; j++)
        m[j] = zero[j] = vec_zero();
    size_t i = 0;
    for (; i + SIDE * VEC <= n; i += SIDE * VEC)
        UNROLL for (size_t j = 0; j < SIDE; j++)
        {
            const vec v = vec_load(x + i + j * VEC), a = magnitude(v);
            m[j] = vec_select(vec_less(m[j], a), a, m[j]);
            zero[j] = vec_add(zero[j], vec_sub(v, v));
        }
    for (; i < n; i += VEC) {
        const vec v = n - i >= VEC ? vec_load(x + i) : vec_load_masked(x + i, vec_first(n - i)), a = magnitude(v);
        m[0] = vec_select(vec_less(m[0], a), a, m[0]);
        zero[0] = vec_add(zero[0], vec_sub(v, v));
    }
    for (int j = 1; j < SIDE; j++) {
        m[0] = vec_select(vec_less(m[0], m[j]), m[j], m[0]);
        zero[0] = vec_add(zero[0], zero[j]);
    }
    vec_store(lane, m[0]);
    for (int j = 0; j < VEC; j++)
        most = lane[j] > most ? lane[j] : most;
    vec_store(lane, zero[0]);
    for (int j = 0; j < VEC; j++)
        sum += lane[j];
    *finite = sum == 0;
    return most;
}

/* ---- Values ---- */

/* |t| on the grid, and the step there. What is not above cap stays below 2^23 times the step, so that a sum with that is rounded at the step. */
INLINE vec on_step(const struct quantize_codec *c, vec a, vec *step)
{
    const vec cap = vec_set(c->cap), low = (vec)((words)vec_zero() + ((uint32_t)(c->low + 127) << 23));
    a = vec_select(vec_less(cap, a), cap, a);
    const vec binade = (vec)((words)a & 0x7f800000u), e = vec_select(vec_less(binade, low), low, binade);
    const vec magic = (vec)((words)e + ((uint32_t)(23 - c->digits) << 23));
    *step = (vec)((words)e - ((uint32_t)c->digits << 23));
    return vec_sub(vec_add(a, magic), magic);
}

/* The sign that a number of a codec without -0 does not keep as a zero. */
INLINE vec with_sign(const struct quantize_codec *c, vec r, words sign)
{
    const vec keeps = (vec)((words)r | sign);
    return c->minus_zero ? keeps : vec_select(vec_less(vec_zero(), r), keeps, r);
}

/* What differs by the sign: [1] where it is set. */
INLINE vec by_sign(const float v[2], words sign)
{
    return vec_select(vec_less((vec)(sign | 0x3f800000u), vec_zero()), vec_set(v[1]), vec_set(v[0]));
}

INLINE vec grid(const struct quantize_codec *c, vec t)
{
    const words sign = (words)t & 0x80000000u;
    vec step, r = on_step(c, magnitude(t), &step);
    r = vec_select(vec_less(by_sign(c->high, sign), r), by_sign(c->over, sign), r);
    return vec_select(vec_is_nan(t), vec_set(c->nan_value), with_sign(c, r, sign));
}

/* The one of two neighbours that a random number u chooses for t. */
INLINE vec one_of_two(vec t, vec lo, vec hi, vec u)
{
    const vec minus = (vec)((words)vec_sub(t, lo) ^ 0x80000000u);
    return vec_select(vec_less(vec_fma(u, vec_sub(hi, lo), minus), vec_zero()), hi, lo);
}

/* 8.6; a number that is a member, or beyond the last, becomes what it is on the grid. */
INLINE vec random_grid(const struct quantize_codec *c, vec t, vec u)
{
    const words sign = (words)t & 0x80000000u;
    const vec a = magnitude(t), nearest = grid(c, t);
    vec step, lower = on_step(c, a, &step);
    lower = vec_select(vec_less(a, lower), vec_sub(lower, step), lower);
    const vec near_zero = with_sign(c, lower, sign), far = (vec)((words)vec_add(lower, step) | sign);
    const vec_mask negative = vec_less(t, vec_zero());
    const vec v = one_of_two(t, vec_select(negative, far, near_zero), vec_select(negative, near_zero, far), u);
    const vec inside = vec_select(vec_less(a, by_sign(c->high, sign)), v, nearest);
    return vec_select(vec_less(lower, a), inside, nearest);
}

typedef int32_t keys __attribute__((vector_size(VEC * 4)));

/* A few steps: each is taken by those who are beyond it. */
INLINE vec by_steps(const struct quantize_codec *c, vec t)
{
    const keys b = (keys)t, key = b ^ ((b >> 31) & 0x7fffffff);
    words v = (words)vec_set(c->value[0]);
    for (size_t i = 1; i < c->n; i++)
        v ^= (words)(key >= c->first[i]) & (canon_bits(c->value[i]) ^ canon_bits(c->value[i - 1]));
    return vec_select(vec_is_nan(t), vec_set(c->nan_value), (vec)v);
}

INLINE vec random_steps(const struct quantize_codec *c, vec t, vec u)
{
    vec lo = t, hi = t; /* where there is no neighbour it is no less, and no more, than t */
    for (size_t i = 0; i < c->n_members; i++)
        lo = vec_select(vec_less(vec_set(c->member[i]), t), vec_set(c->member[i]), lo);
    for (size_t i = c->n_members; i-- > 0;)
        hi = vec_select(vec_less(vec_set(c->member[i]), t), hi, vec_set(c->member[i]));
    const vec nearest = by_steps(c, t), v = one_of_two(t, lo, hi, u);
    return vec_select(vec_less(lo, t), vec_select(vec_less(t, hi), v, nearest), nearest);
}

static vec from_tables(const struct quantize_codec *c, vec t, size_t n, const float *unit)
{
    float lane[VEC];
    vec_store(lane, t);
    for (size_t i = 0; i < n; i++)
        lane[i] = lane[i] != lane[i] ? c->nan_value : unit ? quantize_stochastic(c, lane[i], unit[i]) : quantize_nearest(c, lane[i]);
    return vec_load(lane);
}

enum way { GRID, STEPS, TABLES };
enum { FEW = 40 /* steps */ };

INLINE vec value_of(const struct quantize_codec *c, vec t, size_t n, const float *unit, int way)
{
    if (way == TABLES)
        return from_tables(c, t, n, unit);
    if (!unit)
        return way == GRID ? grid(c, t) : by_steps(c, t);
    const vec u = n == VEC ? vec_load(unit) : vec_load_masked(unit, vec_first(n));
    return way == GRID ? random_grid(c, t, u) : random_steps(c, t, u);
}

/* n elements from `at` on that share a scale. */
INLINE void share(const struct quantize_run *r, size_t at, size_t n, int way)
{
    const struct quantize_codec *c = r->codec;
    const float scale = r->scale ? r->scale[at / r->block] : 1.0f;
    const vec s = vec_set(scale), least = vec_set(r->clamp ? -r->top : -INFINITY);
    for (size_t i = 0; i < n; i += VEC) {
        const size_t some = n - i < VEC ? n - i : VEC;
        const vec_mask m = vec_first(some);
        vec t = some == VEC ? vec_load(r->x + at + i) : vec_load_masked(r->x + at + i, m);
        if (r->scale)
            t = scale == 0 ? vec_zero() : vec_raise(vec_div(t, s), least);
        vec v = value_of(c, t, some, r->unit ? r->unit + at + i : NULL, way);
        v = vec_nan(r->scale ? vec_mul(v, s) : v);
        if (some == VEC)
            vec_store(r->y + at + i, v);
        else
            vec_store_masked(r->y + at + i, m, v);
    }
}

static void quantize(const struct quantize_run *r)
{
    const struct quantize_codec *c = r->codec;
    const enum way way = c->grid && (!r->unit || c->grid_members) ? GRID : c->n <= FEW ? STEPS : TABLES;
    for (size_t i = 0; i < r->n; i += r->block) {
        const size_t n = r->n - i < r->block ? r->n - i : r->block;
        if (way == GRID)
            share(r, i, n, GRID);
        else if (way == STEPS)
            share(r, i, n, STEPS);
        else
            share(r, i, n, TABLES);
    }
}

/* ---- Random numbers ---- */

static void random_units(float *u, uint64_t seed, uint32_t stream, uint64_t first, size_t n)
{
    float all[QUANTIZE_RUN + 4];
    const size_t skip = (size_t)(first % 4), blocks = (skip + n + 3) / 4;
    for (size_t i = 0; i < blocks; i++) { /* compilers compute many blocks side by side */
        const uint64_t index = first / 4 + i;
        const canon_words r = canon_random((uint32_t)seed, (uint32_t)(seed >> 32), stream, (uint32_t)index, (uint32_t)(index >> 32));
        for (size_t j = 0; j < 4; j++)
            all[4 * i + j] = canon_unit(r.w[j]);
    }
    memcpy(u, all + skip, n * sizeof *u);
}

static void quantize_init(struct quantize_kernels *k)
{
    *k = (struct quantize_kernels){.isa = VEC_ISA, .amax = amax, .quantize = quantize, .random = random_units};
}
