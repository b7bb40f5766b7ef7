/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/format/coder_impl.h"
#include "kernels/canon.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct by_value {
    double value;
    uint32_t code;
};

static int compare(const void *a, const void *b)
{
    const struct by_value *x = a, *y = b;
    int64_t k = lb_key(x->value), l = lb_key(y->value);
    if (k != l)
        return k < l ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static int read_values(struct lb_coder *c, struct lb_err *err)
{
    const struct lb_codec *k = c->codec;
    c->n_codes = 1u << k->bits;
    c->values = lb_alloc(c->n_codes, sizeof *c->values, err);
    c->values32 = lb_alloc(c->n_codes, sizeof *c->values32, err);
    c->inf_code[0] = c->inf_code[1] = -1;
    if (!c->values || !c->values32)
        return -1;
    static const uint32_t nan32 = 0x7fc00000u;
    static const uint64_t nan64 = UINT64_C(0x7ff8000000000000);
    for (uint32_t i = 0; i < c->n_codes; i++) {
        double v = k->value(k, i);
        c->values[i] = v;
        c->values32[i] = (float)v;
        if (v != v) {
            memcpy(&c->values[i], &nan64, sizeof nan64);
            memcpy(&c->values32[i], &nan32, sizeof nan32);
            c->has_nan = 1;
        } else if (isinf(v) && c->inf_code[v < 0] < 0) {
            c->inf_code[v < 0] = (int)i;
        }
    }
    return 0;
}

static int sort_values(struct lb_coder *c, struct lb_err *err)
{
    struct by_value *all = lb_alloc(c->n_codes, sizeof *all, err);
    c->sorted = lb_alloc(c->n_codes, sizeof *c->sorted, err);
    c->sorted_code = lb_alloc(c->n_codes, sizeof *c->sorted_code, err);
    if (!all || !c->sorted || !c->sorted_code) {
        lb_free(all);
        return -1;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < c->n_codes; i++)
        if (isfinite(c->values[i]))
            all[n++] = (struct by_value){c->values[i], i};
    qsort(all, n, sizeof *all, compare);
    for (size_t i = 0; i < n; i++) {
        if (c->n_sorted && lb_key(all[i].value) == lb_key(c->sorted[c->n_sorted - 1]))
            continue;
        c->sorted[c->n_sorted] = all[i].value;
        c->sorted_code[c->n_sorted++] = all[i].code;
    }
    lb_free(all);
    return c->n_sorted ? 0 : lb_fail(err, "codec %s: has no finite value", c->codec->base.name);
}

/* Whether a number exactly between neighbours a < b goes up to b. */
static int tie_goes_up(uint32_t ties, double a, uint32_t code_a, double b, uint32_t code_b)
{
    if (ties == LB_TIES_EVEN && ((code_a ^ code_b) & 1))
        return !(code_b & 1);
    const int b_larger = fabs(b) > fabs(a) || (fabs(b) == fabs(a) && b > 0);
    return ties == LB_TIES_AWAY ? b_larger : !b_larger;
}

/* The key of the smallest binary64 nearer to b than to a (or as near, where ties go up). The midpoint is computed with its error term, so that
 * it is right even where binary64 does not hold it. */
static int64_t midpoint(double a, double b, int up)
{
    const double half_a = a / 2, half_b = b / 2; /* exact: codec values are far from the subnormals of binary64 */
    const double mid = half_a + half_b;
    const double t = mid - half_a;
    const double error = (half_a - (mid - t)) + (half_b - t);
    if (mid == 0) /* -0 and +0 go the same way */
        return up ? lb_key(-0.0) : lb_key(0.0) + 1;
    const int64_t key = lb_key(mid);
    if (error != 0)
        return error > 0 ? key + 1 : key;
    return up ? key : key + 1;
}

/* Where neighbours a < b meet: the first key of b. */
static int64_t meet(uint32_t rounding, uint32_t ties, double a, uint32_t code_a, double b, uint32_t code_b)
{
    if (a == 0 && b == 0) /* -0 and +0 */
        return 0;
    if (rounding == LB_TOWARD_ZERO && !(a < 0 && b > 0)) /* between two signs nothing lies nearer to zero: there as to nearest */
        return b > 0 ? lb_key(b) : lb_key(a) + 1;
    return midpoint(a, b, tie_goes_up(rounding == LB_HALF_AWAY ? LB_TIES_AWAY : ties, a, code_a, b, code_b));
}

/* Numbers from here on overflow: half a step beyond the largest value, its tie decided as if the next value existed with the next code. */
static void limits(const struct lb_coder *c, uint32_t rounding, struct lb_intervals *w)
{
    const size_t n = c->n_sorted;
    const int64_t infinite = lb_key(INFINITY);
    w->over = infinite;
    w->under = -infinite; /* -Inf is one below */
    if (rounding == LB_TOWARD_ZERO || n < 2)
        return;
    const double top = c->sorted[n - 1], bottom = c->sorted[0];
    const uint32_t ct = c->sorted_code[n - 1], cb = c->sorted_code[0];
    const double above = top + (top - c->sorted[n - 2]), below = bottom - (c->sorted[1] - bottom);
    const uint32_t ties = c->codec->ties;
    if (isfinite(above))
        w->over = meet(rounding, ties, top, ct, above, ct + 1);
    if (isfinite(below) && (bottom < 0 || c->codec->kind == LB_UNSIGNED))
        w->under = meet(rounding, ties, below, cb + 1, bottom, cb);
}

static int derive_way(struct lb_coder *c, uint32_t rounding, struct lb_err *err)
{
    struct lb_intervals *w = &c->ways[rounding];
    w->first = lb_alloc(c->n_sorted, sizeof *w->first, err);
    w->code = lb_alloc(c->n_sorted, sizeof *w->code, err);
    if (!w->first || !w->code)
        return -1;
    w->n = c->n_sorted;
    for (size_t i = 0; i < w->n; i++) {
        w->code[i] = c->sorted_code[i];
        w->first[i] = i ? meet(rounding, c->codec->ties, c->sorted[i - 1], w->code[i - 1], c->sorted[i], w->code[i]) : INT64_MIN;
    }
    limits(c, rounding, w);
    return 0;
}

/* The steps of magnitudes, mirrored. */
static void mirror(const struct lb_coder *c, const struct lb_step *s, size_t n, struct lb_intervals *w)
{
    w->n = 2 * n;
    for (size_t i = 0; i < n; i++) {
        w->first[n + i] = lb_key(s[i].from);
        w->code[n + i] = s[i].code;
        w->first[n - 1 - i] = i + 1 < n ? lb_key(-s[i + 1].from) + 1 : INT64_MIN;
        w->code[n - 1 - i] = s[i].code | c->codec->sign_bit;
    }
}

/* Those of the whole line. */
static void line_up(const struct lb_step *s, size_t n, struct lb_intervals *w)
{
    w->n = n;
    for (size_t i = 0; i < n; i++) {
        w->first[i] = i ? lb_key(s[i].from) : INT64_MIN;
        w->code[i] = s[i].code;
    }
}

/* A codec with its own encoder. */
static int derive_steps(struct lb_coder *c, struct lb_err *err)
{
    const struct lb_codec *k = c->codec;
    struct lb_step *s = lb_alloc(LB_STEPS_MAX, sizeof *s, err);
    if (!s)
        return -1;
    const size_t n = k->steps(k, s, LB_STEPS_MAX);
    const int line = n && s[0].from == -INFINITY;
    int bad = n < 1 || n > LB_STEPS_MAX || (!line && s[0].from != 0);
    for (size_t i = 0; !bad && i < n; i++)
        bad = (i && !(lb_key(s[i].from) > lb_key(s[i - 1].from))) || (s[i].code | k->sign_bit) >= c->n_codes;
    if (bad) {
        lb_free(s);
        return lb_fail(err, "codec %s: steps() must ascend from 0 or -INFINITY, at most %d of them, with codes below %u", k->base.name,
                       LB_STEPS_MAX, c->n_codes);
    }
    for (int way = 0; way < 3; way++) {
        struct lb_intervals *w = &c->ways[way];
        w->first = lb_alloc(2 * n, sizeof *w->first, err);
        w->code = lb_alloc(2 * n, sizeof *w->code, err);
        if (!w->first || !w->code)
            break;
        if (line)
            line_up(s, n, w);
        else
            mirror(c, s, n, w);
        w->over = INT64_MAX;
        w->under = INT64_MIN;
    }
    lb_free(s);
    c->has_steps = 1;
    return c->ways[2].code ? 0 : lb_fail(err, "out of memory");
}

static int create(const struct lb_codec *codec, int reader, struct lb_coder **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_coder *c = lb_alloc(1, sizeof *c, err);
    if (!c)
        return -1;
    c->codec = codec;
    c->table = codec->bits && codec->bits <= 16;
    int r = 0;
    if (c->table)
        r = read_values(c, err);
    if (c->table && reader) {
        lb_free(c->values);
        c->values = NULL;
    } else if (c->table) {
        r = r || sort_values(c, err) ? -1 : 0;
        if (!r && codec->steps)
            r = derive_steps(c, err);
        for (uint32_t way = 0; !r && !codec->steps && way < 3; way++)
            r = derive_way(c, way, err);
        r = r || lb_quick_create(c, &c->quick, err) ? -1 : 0;
    }
    if (r) {
        lb_coder_destroy(c);
        return -1;
    }
    *out = c;
    return 0;
}

int lb_coder_create(const struct lb_codec *codec, struct lb_coder **out, struct lb_err *err)
{
    return create(codec, 0, out, err);
}

int lb_coder_create_reader(const struct lb_codec *codec, struct lb_coder **out, struct lb_err *err)
{
    return create(codec, 1, out, err);
}

void lb_coder_destroy(struct lb_coder *c)
{
    if (!c)
        return;
    for (int i = 0; i < 3; i++) {
        lb_free(c->ways[i].first);
        lb_free(c->ways[i].code);
    }
    lb_quick_destroy(c->quick);
    lb_free(c->values);
    lb_free(c->values32);
    lb_free(c->sorted);
    lb_free(c->sorted_code);
    lb_free(c);
}

const struct lb_codec *lb_coder_codec(const struct lb_coder *c)
{
    return c->codec;
}

const double *lb_coder_values(const struct lb_coder *c)
{
    return c->values;
}

const float *lb_coder_values32(const struct lb_coder *c)
{
    return c->values32;
}

void lb_coder_members(const struct lb_coder *c, size_t *n, const double **values, const uint32_t **codes)
{
    *n = c->n_sorted;
    *values = c->sorted;
    *codes = c->sorted_code;
}

int lb_coder_check(const struct lb_coder *c, const struct lb_encode *how, struct lb_err *err)
{
    const struct lb_codec *k = c->codec;
    const int whole = k->kind == LB_SIGNED || k->kind == LB_UNSIGNED;
    if (how->rounding > LB_STOCHASTIC)
        return lb_fail(err, "codec %s: no such rounding", k->base.name);
    if (how->overflow == LB_WRAP && !whole)
        return lb_fail(err, "codec %s: overflow \"wrap\" is for integers", k->base.name);
    if (how->overflow == LB_WRAP && c->table && c->n_codes > 1 && (double)c->values32[1] != 1)
        return lb_fail(err, "codec %s: overflow \"wrap\" is for whole numbers, and its code 1 is worth %.9g", k->base.name,
                       (double)c->values32[1]);
    if (how->overflow == LB_TO_INF && (c->table ? c->inf_code[0] < 0 : whole))
        return lb_fail(err, "codec %s: overflow \"inf\", but it has no infinity", k->base.name);
    if (how->overflow == LB_TO_NAN && (c->table ? !c->has_nan : whole))
        return lb_fail(err, "codec %s: overflow \"nan\", but it has no NaN", k->base.name);
    if (!k->bits && (how->rounding != LB_NEAREST || (how->overflow >= 0 && (uint32_t)how->overflow != k->overflow)))
        return lb_fail(err, "codec %s: a block codec rounds in its own way; rounding and overflow cannot be chosen", k->base.name);
    if (c->has_steps && (how->rounding != LB_NEAREST || how->overflow >= 0))
        return lb_fail(err, "codec %s: it has an encoder of its own; rounding and overflow cannot be chosen", k->base.name);
    return 0;
}

void lb_coder_range(const struct lb_coder *c, double *low, double *high)
{
    const struct lb_codec *k = c->codec;
    if (c->table && !c->sorted) { /* a reader */
        *low = (double)INFINITY;
        *high = -(double)INFINITY;
        for (uint32_t i = 0; i < c->n_codes; i++) {
            const double v = (double)c->values32[i];
            *low = isfinite(v) && v < *low ? v : *low;
            *high = isfinite(v) && v > *high ? v : *high;
        }
    } else if (c->table) {
        *low = c->sorted[0];
        *high = c->sorted[c->n_sorted - 1];
    } else if (!k->bits) {
        *high = INFINITY;
        *low = -INFINITY;
    } else if (k->kind == LB_SIGNED || k->kind == LB_UNSIGNED) {
        *high = ldexp(1, (int)k->bits - (k->kind == LB_SIGNED)) - 1;
        *low = k->kind == LB_SIGNED ? -*high - 1 : 0;
    } else {
        *high = k->bits == 32 ? (double)FLT_MAX : DBL_MAX;
        *low = -*high;
    }
}

int lb_coder_beyond(const struct lb_coder *c, double x)
{
    if (c->has_steps || !c->table) {
        double low, high;
        lb_coder_range(c, &low, &high);
        if (c->has_steps || !c->codec->bits || c->codec->kind == LB_FLOAT)
            return x > high || x < low;
        return x >= high + 0.5 || x < low - 0.5; /* high is odd, so its tie is lost; for 64 bits high + 0.5 is the power of two above */
    }
    const struct lb_intervals *w = &c->ways[LB_NEAREST];
    return x == x && (lb_key(x) >= w->over || lb_key(x) < w->under);
}

int lb_coder_bytes(const struct lb_coder *c, size_t n, size_t *bytes)
{
    size_t bits;
    const struct lb_codec *k = c->codec;
    if (!k->bits)
        return n % k->unit_elems || lb_mul(n / k->unit_elems, k->unit_bytes, bytes) ? -1 : 0;
    if (lb_mul(n, k->bits, &bits))
        return -1;
    *bytes = bits / 8 + (bits % 8 != 0);
    return 0;
}

/* Little-endian bytes of a number, whatever the machine. */
static void hash_u64(struct lb_sha256 *h, uint64_t v)
{
    unsigned char b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)(v >> (8 * i));
    lb_sha256_add(h, b, sizeof b);
}

static void hash_f64(struct lb_sha256 *h, double v)
{
    hash_u64(h, (uint64_t)(v == v ? lb_key(v) : INT64_MAX));
}

/* A wide codec has no table to hash: what it does to fixed inputs stands for it, in each rounding mode: powers of two with neighbours and halves of
 * both signs over the whole range of binary64, and drawn bit patterns. The hash is the same whatever compiled the plugin. */
static void hash_behaviour(struct lb_sha256 *h, const struct lb_codec *k)
{
    enum { PROBES = 2048 + 2 * 2098 + 4 };
    for (uint32_t i = 0; i < PROBES * 4; i++) {
        const uint32_t rounding = i % 4, n = i / 4;
        const canon_words r = canon_random64(n, 0x30000, rounding);
        const uint64_t drawn = (uint64_t)r.w[1] << 32 | r.w[2];
        static const double special[] = {0.0, -0.0, INFINITY, NAN};
        double x, back;
        unsigned char code[8];
        if (n < 2048)
            memcpy(&x, &drawn, sizeof x);
        else if (n < PROBES - 4)
            x = ldexp(n % 2 ? -(1 + (double)(r.w[3] % 64) * 0x1p-5) : 1 + (double)(r.w[3] % 64) * 0x1p-5, (int)((n - 2048) / 2) - 1074);
        else
            x = special[n % 4];
        k->encode(k, &(struct lb_encoding){rounding, k->overflow, r.w}, &x, 1, code);
        k->decode(k, code, 1, &back);
        lb_sha256_add(h, code, k->unit_bytes);
        hash_f64(h, back);
    }
}

/* The same for a block codec: drawn units of many sizes, and what drawn bytes are worth. */
static void hash_blocks(struct lb_sha256 *h, const struct lb_codec *k)
{
    enum { UNITS = 512 };
    double x[LB_BLOCK_MAX];
    unsigned char codes[LB_BLOCK_BYTES_MAX];
    const struct lb_encoding how = {LB_NEAREST, k->overflow, NULL};
    for (uint32_t u = 0; u < 2 * UNITS; u++) {
        const int size = u % 8 ? (int)(u % 40) - 20 : (int)(u % 512) - 256;
        for (uint32_t i = 0; i < k->unit_elems; i++) {
            const canon_words r = canon_random64(u, 0x30000, i);
            x[i] = ldexp((double)CANON_INT(r.w[0]) * (r.w[1] % 8 ? 0x1p-4 : 1), size - 31);
        }
        for (uint32_t i = 0; i < k->unit_bytes; i++)
            codes[i] = (unsigned char)canon_random64(u, 0x30001, i).w[0];
        if (u < UNITS)
            k->encode(k, &how, x, k->unit_elems, codes);
        k->decode(k, codes, k->unit_elems, x);
        lb_sha256_add(h, codes, k->unit_bytes);
        for (uint32_t i = 0; i < k->unit_elems; i++)
            hash_f64(h, x[i]);
    }
}

static void hash_table(struct lb_sha256 *h, const struct lb_coder *c)
{
    for (uint32_t i = 0; i < c->n_codes; i++)
        hash_f64(h, c->values ? c->values[i] : (double)c->values32[i]);
    const struct lb_intervals *w = &c->ways[LB_NEAREST];
    for (size_t i = 0; i < w->n; i++) {
        hash_u64(h, (uint64_t)w->first[i]);
        hash_u64(h, w->code[i]);
    }
}

int lb_coder_sha256(const struct lb_coder *c, char hex[65], struct lb_err *err)
{
    const struct lb_codec *k = c->codec;
    struct lb_sha256 *h = lb_sha256_create(err);
    if (!h)
        return -1;
    const uint32_t facts[] = {k->bits, k->unit_elems, k->unit_bytes, k->kind, k->overflow, c->table ? k->nan_code : 0};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        hash_u64(h, facts[i]);
    if (c->table)
        hash_table(h, c);
    else if (!k->bits)
        hash_blocks(h, k);
    else
        hash_behaviour(h, k);
    lb_sha256_end(h, hex);
    return 0;
}
