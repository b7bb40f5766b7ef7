/* SPDX-License-Identifier: MIT */
/* quick.c - what lets a codec of up to 8 bits be encoded many numbers at a time, found in its tables and checked against them. */
#include "core/base/mem.h"
#include "core/format/coder_impl.h"
#include "kernels/canon.h"

#include <math.h>

enum { FEW = 40 /* steps that are taken one by one sooner than searched */, MOST_DIGITS = 6 };

static int32_t key_of(float x)
{
    const uint32_t b = canon_bits(x);
    return CANON_INT(b ^ ((0u - (b >> 31)) >> 1));
}

static float of_key(int32_t key)
{
    const uint32_t b = (uint32_t)key;
    return canon_float(b ^ ((0u - (b >> 31)) >> 1));
}

/* ---- To nearest ---- */

static uint32_t search(const struct lb_quick *q, float x)
{
    if (canon_is_nan(x))
        return q->steps.nan_code;
    const int32_t key = key_of(x);
    const uint32_t part = ((uint32_t)key ^ 0x80000000u) / (UINT32_MAX / LB_QUICK_PARTS + 1);
    size_t i = q->start[part + 1];
    while (i > q->start[part] && q->first[i] > key)
        i--;
    return q->code[i];
}

void lb_quick_nearest(const struct lb_quick *q, const float *x, size_t n, unsigned char *codes)
{
    if (q->way == LB_QUICK_WHOLE)
        lb_lanes_whole(&q->whole, x, n, codes);
    else if (q->way == LB_QUICK_STEPS)
        lb_lanes_steps(&q->steps, x, n, codes);
    else
        for (size_t i = 0; i < n; i++)
            codes[i] = (unsigned char)search(q, x[i]);
}

static void find_parts(struct lb_quick *q)
{
    size_t i = 0;
    for (uint32_t p = 0; p < LB_QUICK_PARTS; p++) {
        const int32_t key = (int32_t)(p * (UINT32_MAX / LB_QUICK_PARTS + 1) ^ 0x80000000u);
        while (i + 1 < q->steps.n && q->first[i + 1] <= key)
            i++;
        q->start[p] = (uint16_t)i;
    }
    q->start[LB_QUICK_PARTS] = (uint16_t)(q->steps.n - 1);
}

/* Both ascend with x: where they agree at both ends of every interval they agree. */
static int agrees(const struct lb_quick *q)
{
    for (size_t i = 0; i < q->steps.n; i++) {
        const int32_t low = key_of(-INFINITY), high = key_of(INFINITY);
        const int32_t first = q->first[i] < low ? low : q->first[i];
        const int32_t last = i + 1 == q->steps.n || q->first[i + 1] > high ? high : q->first[i + 1] - 1;
        const float ends[2] = {of_key(first), of_key(last)};
        unsigned char code[2];
        lb_lanes_whole(&q->whole, ends, 2, code);
        if (first <= last && (code[0] != q->code[i] || code[1] != q->code[i]))
            return 0;
    }
    return 1;
}

/* Multiples of a power of two, one after the other. */
static int is_whole(const struct lb_coder *c, struct lb_quick *q)
{
    const size_t n = c->n_sorted;
    int e;
    if (n < 2 || frexp(c->sorted[1] - c->sorted[0], &e) != 0.5 || e < -100 || e > 100)
        return 0;
    q->whole = (struct lb_lanes_whole){.by = (float)ldexp(1, 1 - e),
                                       .low = (float)c->sorted[0],
                                       .high = (float)c->sorted[n - 1],
                                       .mask = c->n_codes - 1,
                                       .nan_code = c->codec->nan_code};
    return fabs(c->sorted[0]) < ldexp(1, e + 20) && fabs(c->sorted[n - 1]) < ldexp(1, e + 20) && agrees(q);
}

/* ---- Stochastic ---- */

/* Member k >= 0 of a grid whose smallest one above 0 is `step`. */
static double on_grid(double step, int digits, size_t k)
{
    const size_t one = (size_t)1 << digits, binade = k >> digits;
    return binade ? ldexp(step * (double)(one + (k & (one - 1))), (int)binade - 1) : step * (double)k;
}

static int has_grid(const struct lb_coder *c, double step, int digits, uint32_t sign)
{
    size_t minus = 0, plus;
    while (minus < c->n_sorted && lb_key(c->sorted[minus]) < 0)
        minus++;
    plus = c->n_sorted - minus;
    const size_t zero = minus && c->sorted[minus - 1] == 0; /* -0 */
    if (minus - zero + 1 != plus)
        return 0;
    for (size_t k = 0; k < plus; k++)
        if (c->sorted[minus + k] != on_grid(step, digits, k) || c->sorted_code[minus + k] != k)
            return 0;
    for (size_t k = 0; k < minus; k++) {
        const size_t magnitude = k + 1 - zero;
        if (c->sorted[minus - 1 - k] != -on_grid(step, digits, magnitude) || c->sorted_code[minus - 1 - k] != (magnitude | sign))
            return 0;
    }
    return 1;
}

static void find_grid(const struct lb_coder *c, struct lb_quick *q)
{
    const uint32_t sign = c->n_codes / 2;
    const size_t n = c->n_sorted, minus_zero = (size_t)(c->values32[sign] == 0);
    size_t zero = 0;
    int e;
    while (zero < n && lb_key(c->sorted[zero]) < 0)
        zero++;
    if (zero + 1 >= n || !zero || q->steps.n < 3 || frexp(c->sorted[zero + 1], &e) != 0.5)
        return;
    for (int digits = 0; digits <= MOST_DIGITS && !q->has_grid; digits++) {
        const int low = e - 1 + digits;
        if (low < -95 || low > 120 || !has_grid(c, c->sorted[zero + 1], digits, sign))
            continue;
        q->grid = (struct lb_lanes_grid){.digits = (uint32_t)digits,
                                         .base = (uint32_t)(low + 126) << digits,
                                         .least = (uint32_t)(low + 127) << 23,
                                         .top = canon_bits((float)c->sorted[n - 1]),
                                         .fine = (float)ldexp(1, 24 + digits - low),
                                         .over = (uint32_t)q->first[q->steps.n - 1],
                                         .over_code = {q->code[q->steps.n - 1], q->code[0]},
                                         .sign = sign,
                                         .minus_zero = minus_zero ? ~0u : 0,
                                         .nan_code = c->codec->nan_code};
        q->has_grid = q->first[1] == -q->first[q->steps.n - 1]; /* both signs overflow alike */
    }
}

/* ---- Both ---- */

void lb_quick_destroy(struct lb_quick *q)
{
    if (!q)
        return;
    lb_free(q->first);
    lb_free(q->code);
    lb_free(q->change);
    lb_free(q);
}

int lb_quick_create(const struct lb_coder *c, struct lb_quick **out, struct lb_err *err)
{
    size_t n;
    int32_t *first;
    uint32_t *code;
    *out = NULL;
    if (c->codec->bits > 8 || c->codec->overflow == LB_WRAP)
        return 0;
    if (lb_coder_intervals(c, NULL, &n, &first, &code, err))
        return -1;
    struct lb_quick *q = lb_alloc(1, sizeof *q, err);
    uint32_t *change = q ? lb_alloc(n, sizeof *change, err) : NULL;
    if (!change) {
        lb_free(first);
        lb_free(code);
        lb_free(q);
        return -1;
    }
    for (size_t i = 1; i < n; i++)
        change[i] = code[i] ^ code[i - 1];
    q->first = first;
    q->code = code;
    q->change = change;
    q->steps = (struct lb_lanes_steps){n, first, code, change, c->codec->nan_code};
    find_parts(q);
    q->way = is_whole(c, q) ? LB_QUICK_WHOLE : n <= FEW ? LB_QUICK_STEPS : LB_QUICK_SEARCH;
    if (!c->has_steps)
        find_grid(c, q);
    *out = q;
    return 0;
}
