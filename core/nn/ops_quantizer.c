/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_quantizer.h"
#include "core/base/mem.h"
#include "kernels/canon.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Intervals ---- */

/* The number whose key is k; its own inverse. */
static float of_key(int32_t k)
{
    return canon_float(k < 0 ? (uint32_t)(INT32_MIN - k - 1) : (uint32_t)k);
}

static uint32_t code_of(const struct lb_ops_codec *c, const struct lb_encode *how, int32_t key)
{
    unsigned char code[4] = {0};
    const float x = of_key(key);
    lb_encode_f32_derived(c->coder, how, &x, 1, code);
    return (uint32_t)lb_code_get(code, c->codec->bits, 0);
}

/* Where the codes of the keys from low to high change; between two keys with the same code nothing does. */
struct search {
    const struct lb_ops_quantizer *q;
    const struct lb_encode *how;
    size_t n, cap;
};

static void push(struct search *s, int32_t first, uint32_t code)
{
    if (s->n < s->cap) {
        s->q->first[s->n] = first;
        s->q->code[s->n] = code;
    }
    s->n++;
}

static void split(struct search *s, int32_t low, uint32_t at_low, int32_t high, uint32_t at_high)
{
    if (at_low == at_high)
        return;
    if (low + 1 == high) {
        push(s, high, at_high);
        return;
    }
    const int32_t mid = low + (int32_t)(((int64_t)high - low) / 2);
    const uint32_t at_mid = code_of(&s->q->codec, s->how, mid);
    split(s, low, at_low, mid, at_mid);
    split(s, mid, at_mid, high, at_high);
}

static int make_intervals(struct lb_ops_quantizer *q, struct lb_encode how, struct lb_err *err)
{
    const size_t cap = 4 * ((size_t)1 << q->codec.codec->bits) + 8;
    how.rounding = how.rounding == LB_STOCHASTIC ? (uint32_t)LB_NEAREST : how.rounding; /* its intervals are those of overflow */
    q->first = lb_alloc(cap, sizeof *q->first, err);
    q->code = lb_alloc(cap, sizeof *q->code, err);
    if (!q->first || !q->code)
        return -1;
    struct search s = {.q = q, .how = &how, .cap = cap};
    const int32_t infinity = 0x7f800000, marks[] = {INT32_MIN - (int32_t)0xff800000 - 1, -0x7f000000, -1, 0, 0x7f000000, infinity};
    push(&s, INT32_MIN, code_of(&q->codec, &how, marks[0]));
    for (size_t i = 0; i + 1 < sizeof marks / sizeof *marks; i++)
        split(&s, marks[i], code_of(&q->codec, &how, marks[i]), marks[i + 1], code_of(&q->codec, &how, marks[i + 1]));
    if (s.n > cap)
        return lb_fail(err, "codec %s: more than %zu intervals", q->codec.codec->base.name, cap);
    q->q.n = s.n;
    q->q.first = q->first;
    q->q.code = q->code;
    q->q.nan_code = q->codec.codec->nan_code;
    return 0;
}

/* ---- Members ---- */

struct member {
    int32_t key;
    uint32_t code;
};

static int32_t key_of(float x)
{
    const int32_t b = (int32_t)canon_bits(x);
    return b < 0 ? INT32_MIN - b - 1 : b;
}

static int compare(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->key != y->key ? (x->key < y->key ? -1 : 1) : x->code < y->code ? -1 : x->code > y->code;
}

static int make_members(struct lb_ops_quantizer *q, struct lb_err *err)
{
    const uint32_t codes = 1u << q->codec.codec->bits;
    const double *values = lb_coder_values(q->codec.coder);
    struct member *m = lb_alloc(codes, sizeof *m, err);
    q->member = lb_alloc(codes, sizeof *q->member, err);
    q->member_code = lb_alloc(codes, sizeof *q->member_code, err);
    if (!m || !q->member || !q->member_code) {
        lb_free(m);
        return -1;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < codes; i++)
        if (isfinite(values[i]))
            m[n++] = (struct member){key_of((float)values[i]), i};
    qsort(m, n, sizeof *m, compare);
    for (size_t i = 0; i < n; i++)
        if (!i || m[i].key != m[i - 1].key) {
            q->member[q->q.n_members] = of_key(m[i].key);
            q->member_code[q->q.n_members++] = m[i].code;
        }
    lb_free(m);
    q->q.member = q->member;
    q->q.member_code = q->member_code;
    return 0;
}

/* docs/arithmetic.md 8.10: emax, and the bits of fraction that `even` rounds to. */
static void range(struct lb_ops_quantizer *q)
{
    double low, high;
    lb_coder_range(q->codec.coder, &low, &high);
    q->q.top = (float)high;
    int e;
    frexp((double)q->q.top, &e);
    q->q.emax = e - 1;
    size_t n = 0;
    for (size_t i = 0; i < q->q.n_members; i++)
        n += (double)q->member[i] >= ldexp(1, q->q.emax - 1) && (double)q->member[i] < ldexp(1, q->q.emax);
    for (; n > 1; n /= 2)
        q->q.fraction++;
    q->q.clamp = q->codec.codec->kind == LB_SIGNED && q->q.rule != LB_SCALE_NONE;
}

int lb_ops_quantizer_create(const struct lb_ops_quantizer_like *like, struct lb_ops_quantizer **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_ops_quantizer *q = lb_alloc(1, sizeof *q, err);
    if (!q)
        return -1;
    q->q.rule = like->rule;
    q->q.value = like->value;
    q->q.block = like->block;
    q->q.stochastic = like->how.rounding == LB_STOCHASTIC;
    int r = lb_ops_codec_init(like->codec, like->params, like->n_params, &q->codec, err);
    if (!r && (!q->codec.codes.values || q->codec.codec->bits > 16))
        r = lb_fail(err, "codec %s: only those of up to 16 bits are encoded by tables", like->codec);
    r = r || make_intervals(q, like->how, err) || make_members(q, err) ||
        (like->scale && lb_ops_quantizer_create(like->scale, &q->scale, err));
    if (r) {
        lb_ops_quantizer_destroy(q);
        return -1;
    }
    q->q.q = q->codec.codes;
    q->q.scale = q->scale ? &q->scale->q : NULL;
    range(q);
    *out = q;
    return 0;
}

void lb_ops_quantizer_destroy(struct lb_ops_quantizer *q)
{
    if (!q)
        return;
    lb_ops_quantizer_destroy(q->scale);
    lb_ops_codec_finish(&q->codec);
    lb_free(q->first);
    lb_free(q->code);
    lb_free(q->member);
    lb_free(q->member_code);
    lb_free(q);
}

void lb_ops_quantizer_text(const struct lb_ops_quantizer_like *like, char *text, size_t size)
{
    static const char *const rules[] = {"",     " fixed", " absmax", " multiply", " asymmetric", " percentile",
                                        " mse", " floor", " ceil",   " even",     " rceil"};
    char block[32] = "", scale[96] = "", codec[64];
    lb_ops_codec_text(like->codec, like->params, like->n_params, codec, sizeof codec);
    if (like->rule != LB_SCALE_NONE && like->block == SIZE_MAX)
        snprintf(block, sizeof block, " matrix");
    else if (like->rule != LB_SCALE_NONE)
        snprintf(block, sizeof block, like->block ? " block %zu" : " row", like->block);
    if (like->scale) {
        memcpy(scale, " in ", 5);
        lb_ops_quantizer_text(like->scale, scale + 4, sizeof scale - 4);
    }
    static const char *const roundings[] = {"", " toward zero", " half away", " stochastic"}, *const overflows[] = {"", " to inf",
                                                                                                                    " to nan", ""};
    snprintf(text, size, "%s%s%s%s%s%s", codec, rules[like->rule], block, roundings[like->how.rounding],
             like->how.overflow < 0 ? "" : overflows[like->how.overflow], scale);
}
