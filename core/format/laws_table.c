/* SPDX-License-Identifier: MIT */
/* laws_table.c - the laws of codecs of up to 16 bits that do not need random words. */
#include "core/base/mem.h"
#include "core/format/laws_impl.h"
#include "core/format/oracle.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const rounding_names[] = {"nearest", "toward zero", "half away"};

static double value(const struct lb_laws *l, uint64_t code)
{
    return l->codec->value(l->codec, (uint32_t)code);
}

/* The same codes twice, backwards the second time: a value may not depend on what was asked before. */
static void law_pure(struct lb_laws *l)
{
    const double *first = lb_coder_values(l->coder);
    lb_law_begin(l, "a value depends on its code alone");
    for (uint32_t code = 1u << l->codec->bits; code-- > 0; l->tried++)
        if (!lb_same_number(value(l, code), first[code]))
            lb_law_wrong(l, "code %u is %s, then %s", code, lb_number(first[code]).s, lb_number(value(l, code)).s);
    lb_law_end(l);
}

static void law_special_codes(struct lb_laws *l, const struct lb_oracle *o)
{
    lb_law_begin(l, "nan_code is a NaN where there is one, and the overflow rule has its code");
    l->tried = 2;
    if (o->has_nan && !isnan(value(l, l->codec->nan_code)))
        lb_law_wrong(l, "nan_code %u is %s, but other codes are NaN", l->codec->nan_code, lb_number(value(l, l->codec->nan_code)).s);
    if (l->codec->overflow == LB_TO_INF && o->inf[0] < 0)
        lb_law_wrong(l, "overflow is LB_TO_INF, but no code is +Inf");
    if (l->codec->overflow == LB_TO_NAN && !o->has_nan)
        lb_law_wrong(l, "overflow is LB_TO_NAN, but no code is NaN");
    lb_law_end(l);
}

static void law_fixed_points(struct lb_laws *l)
{
    lb_law_begin(l, "every value becomes a code of that value");
    for (uint32_t code = 0; code < 1u << l->codec->bits; code++) {
        unsigned char packed[2] = {0};
        const double v = value(l, code);
        if (isinf(v) && l->codec->overflow != LB_TO_INF)
            continue;
        lb_encode_f64(l->coder, NULL, &v, 1, packed);
        const uint64_t back = lb_code_get(packed, l->codec->bits, 0);
        l->tried++;
        if (isnan(v) ? back != l->codec->nan_code : !lb_same_number(value(l, back), v))
            lb_law_wrong(l, "code %u is %s, which becomes code %u, %s", code, lb_number(v).s, (unsigned)back, lb_number(value(l, back)).s);
    }
    lb_law_end(l);
}

/* The decoded forms of every code. */
static void law_decode(struct lb_laws *l)
{
    lb_law_begin(l, "decoding gives the value, rounded once to binary32, and one NaN");
    for (uint32_t code = 0; code < 1u << l->codec->bits; code++, l->tried++) {
        unsigned char packed[2] = {(unsigned char)code, (unsigned char)(code >> 8)};
        const double v = value(l, code);
        double wide;
        float narrow;
        uint64_t bits;
        uint32_t bits32;
        lb_decode_f64(l->coder, packed, 1, &wide);
        lb_decode_f32_derived(l->coder, packed, 1, &narrow);
        memcpy(&bits, &wide, sizeof bits);
        memcpy(&bits32, &narrow, sizeof bits32);
        if (!lb_same_number(wide, v) || !lb_same_number((double)narrow, (double)(float)v))
            lb_law_wrong(l, "code %u is %s, decoded %s and %s", code, lb_number(v).s, lb_number(wide).s, lb_number((double)narrow).s);
        if (isnan(v) && (bits != UINT64_C(0x7ff8000000000000) || bits32 != 0x7fc00000u))
            lb_law_wrong(l, "code %u is NaN, decoded 0x%016llx and 0x%08x, wanted 0x7ff8000000000000 and 0x7fc00000", code,
                         (unsigned long long)bits, bits32);
    }
    lb_law_end(l);
}

static int boundary_points(struct lb_laws *l, const struct lb_oracle *o)
{
    struct lb_points *p = &l->points;
    int r = 0;
    for (size_t i = 0; !r && i < o->n_steps; i++)
        r = lb_points_near(p, o->steps[i].from, l->err) | lb_points_near(p, -o->steps[i].from, l->err);
    for (size_t i = 0; !r && i < o->n; i++) {
        r = lb_points_near(p, o->value[i], l->err);
        if (i && !r)
            r = lb_points_near(p, o->value[i - 1] / 2 + o->value[i] / 2, l->err);
    }
    for (int side = 0; side < 2 && !r; side++)
        if (!isnan(lb_oracle_limit(o, side)))
            r = lb_points_near(p, lb_oracle_limit(o, side), l->err);
    for (uint64_t i = 0; !r && i < 20000; i++)
        r = lb_points_add(p, lb_points_random(i), l->err);
    return r;
}

static int acceptable(const struct lb_laws *l, const uint32_t codes[2], size_t n, uint64_t code)
{
    for (size_t i = 0; i < n; i++)
        if (codes[i] == code || (!isnan(value(l, code)) && lb_same_number(value(l, codes[i]), value(l, code))))
            return 1;
    return 0;
}

/* Encodes all points by one rounding and asks the oracle about each. `codes`: room for all of them. */
static void law_rounding(struct lb_laws *l, const struct lb_oracle *o, uint32_t rounding, unsigned char *codes)
{
    const struct lb_encode how = {.rounding = rounding, .overflow = -1};
    const uint32_t overflow = l->codec->overflow == LB_WRAP ? LB_SATURATE : l->codec->overflow;
    const struct lb_encode saturate = {.rounding = rounding, .overflow = LB_SATURATE};
    char law[64];
    snprintf(law, sizeof law, "rounding: %s", o->steps ? "the codec's own steps" : rounding_names[rounding]);
    lb_law_begin(l, law);
    lb_encode_f64(l->coder, l->codec->overflow == LB_WRAP ? &saturate : &how, l->points.x, l->points.n, codes);
    for (size_t i = 0; i < l->points.n; i++, l->tried++) {
        const double x = l->points.x[i];
        const uint64_t code = lb_code_get(codes, l->codec->bits, i);
        uint32_t right[2];
        const size_t n = lb_oracle_codes(o, rounding, overflow, x, right);
        const double v = value(l, code);
        if (!acceptable(l, right, n, code))
            lb_law_wrong(l, "%s: expected code %u (%s), got code %u (%s)", lb_number(x).s, right[0], lb_number(value(l, right[0])).s,
                         (unsigned)code, lb_number(v).s);
        else if (l->codec->bits <= 8 && !o->steps && rounding != LB_TOWARD_ZERO && isfinite(x) && isfinite(v) &&
                 !lb_oracle_is_nearest(o, x, v))
            lb_law_wrong(l, "%s: got code %u (%s), but another value is nearer", lb_number(x).s, (unsigned)code, lb_number(v).s);
    }
    lb_law_end(l);
}

static void law_overflow(struct lb_laws *l, const struct lb_oracle *o)
{
    static const char *const names[] = {"saturate", "inf", "nan"};
    const double huge[] = {INFINITY, DBL_MAX, 1e30, lb_oracle_limit(o, 0), -INFINITY, -DBL_MAX, -1e30, lb_oracle_limit(o, 1)};
    lb_law_begin(l, "overflow, by every rule that the codec can follow");
    for (int rule = LB_SATURATE; rule <= LB_TO_NAN; rule++)
        for (uint32_t rounding = 0; rounding < 3; rounding++)
            for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
                const struct lb_encode how = {.rounding = rounding, .overflow = rule};
                unsigned char packed[2] = {0};
                uint32_t right[2];
                if (lb_coder_check(l->coder, &how, NULL) || isnan(huge[i]))
                    continue;
                const size_t n = lb_oracle_codes(o, rounding, (uint32_t)rule, huge[i], right);
                lb_encode_f64(l->coder, &how, &huge[i], 1, packed);
                const uint64_t code = lb_code_get(packed, l->codec->bits, 0);
                l->tried++;
                if (!acceptable(l, right, n, code))
                    lb_law_wrong(l, "%s, %s, %s: expected code %u (%s), got code %u (%s)", lb_number(huge[i]).s, names[rule],
                                 rounding_names[rounding], right[0], lb_number(value(l, right[0])).s, (unsigned)code,
                                 lb_number(value(l, code)).s);
            }
    lb_law_end(l);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int law_monotone(struct lb_laws *l, unsigned char *codes)
{
    const struct lb_encode how = {.overflow = LB_SATURATE};
    double *sorted = lb_alloc(l->points.n, sizeof *sorted, l->err);
    size_t n = 0;
    if (!sorted)
        return -1;
    for (size_t i = 0; i < l->points.n; i++)
        if (!isnan(l->points.x[i]))
            sorted[n++] = l->points.x[i];
    qsort(sorted, n, sizeof *sorted, by_size);
    lb_encode_f64(l->coder, &how, sorted, n, codes);
    lb_law_begin(l, "a larger number never becomes a smaller value");
    for (size_t i = 1; i < n; i++, l->tried++) {
        const double before = value(l, lb_code_get(codes, l->codec->bits, i - 1)), after = value(l, lb_code_get(codes, l->codec->bits, i));
        if (!(before <= after))
            lb_law_wrong(l, "%s becomes %s, but %s becomes %s", lb_number(sorted[i - 1]).s, lb_number(before).s, lb_number(sorted[i]).s,
                         lb_number(after).s);
    }
    lb_law_end(l);
    lb_free(sorted);
    return 0;
}

static void law_binary32(struct lb_laws *l)
{
    lb_law_begin(l, "a binary32 number becomes the same code from either precision");
    for (size_t i = 0; i < l->points.n; i++) {
        unsigned char a[2] = {0}, b[2] = {0};
        float f;
        if (!lb_as_binary32(l->points.x[i], &f))
            continue;
        lb_encode_f64(l->coder, NULL, &l->points.x[i], 1, a);
        lb_encode_f32_derived(l->coder, NULL, &f, 1, b);
        l->tried++;
        if (memcmp(a, b, sizeof a) != 0)
            lb_law_wrong(l, "%s: code %u from binary64, %u from binary32", lb_number(l->points.x[i]).s,
                         (unsigned)lb_code_get(a, l->codec->bits, 0), (unsigned)lb_code_get(b, l->codec->bits, 0));
    }
    lb_law_end(l);
}

/* 64-bit integers, which binary64 does not hold: rounded once. */
static void law_integers(struct lb_laws *l, const struct lb_oracle *o)
{
    const struct lb_encode how = {.overflow = o->steps ? -1 : LB_SATURATE};
    const long double odd = 0x1p53L + 1; /* a whole number that only a wider type than binary64 holds */
    if ((double)odd == odd)
        return;
    lb_law_begin(l, "a 64-bit integer is rounded once");
    for (size_t i = 0; i < l->points.n; i++) {
        const double x = trunc(l->points.x[i]);
        if (!(fabs(x) < 0x1p63))
            continue;
        for (int64_t k = (int64_t)x - 1; k <= (int64_t)x + 1; k++) {
            unsigned char packed[2] = {0};
            uint32_t right[2];
            const size_t n = lb_oracle_codes(o, LB_NEAREST, o->steps ? l->codec->overflow : LB_SATURATE, (long double)k, right);
            lb_encode_int(l->coder, &how, &k, 0, 1, packed);
            const uint64_t code = lb_code_get(packed, l->codec->bits, 0);
            l->tried++;
            if (!acceptable(l, right, n, code))
                lb_law_wrong(l, "%lld: expected code %u (%s), got code %u (%s)", (long long)k, right[0], lb_number(value(l, right[0])).s,
                             (unsigned)code, lb_number(value(l, code)).s);
        }
    }
    lb_law_end(l);
}

int lb_laws_table(struct lb_laws *l)
{
    struct lb_oracle o = {0};
    size_t bytes;
    unsigned char *codes = NULL;
    int r = -1;
    if (lb_oracle_init(&o, l->codec, l->err) || boundary_points(l, &o) || lb_coder_bytes(l->coder, l->points.n, &bytes) ||
        !(codes = lb_alloc(bytes, 1, l->err)))
        goto out;
    law_pure(l);
    law_special_codes(l, &o);
    if (!o.steps)
        law_fixed_points(l);
    law_decode(l);
    for (uint32_t rounding = 0; rounding < (o.steps ? 1 : 3); rounding++)
        law_rounding(l, &o, rounding, codes);
    if (!o.steps)
        law_overflow(l, &o);
    r = o.steps ? 0 : law_monotone(l, codes);
    law_binary32(l);
    law_integers(l, &o);
out:
    lb_free(codes);
    lb_oracle_finish(&o);
    return r;
}
