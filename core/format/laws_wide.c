/* SPDX-License-Identifier: MIT */
/* laws_wide.c - the laws of codecs wider than 16 bits, at edges and at 10^6 seeded values. A neighbour is the code before or behind: whatever the
 * order of the codes, no neighbour may be a better answer than the code given. */
#include "core/base/mem.h"
#include "core/format/laws_impl.h"
#include "core/format/oracle.h"
#include "kernels/canon.h"

#include <float.h>
#include <math.h>

enum { SEEDED = 1000000 };

static uint64_t mask(const struct lb_laws *l)
{
    return UINT64_MAX >> (64 - l->codec->bits);
}

static int is_integer(const struct lb_laws *l)
{
    return l->codec->kind == LB_SIGNED || l->codec->kind == LB_UNSIGNED;
}

static uint64_t encode(const struct lb_laws *l, const struct lb_encode *how, double x)
{
    unsigned char packed[8] = {0};
    lb_encode_f64(l->coder, how, &x, 1, packed);
    return lb_code_get(packed, l->codec->bits, 0);
}

static uint64_t encode_int(const struct lb_laws *l, int64_t x, int is_unsigned)
{
    const struct lb_encode how = {.overflow = LB_SATURATE};
    unsigned char packed[8] = {0};
    lb_encode_int(l->coder, &how, &x, is_unsigned, 1, packed);
    return lb_code_get(packed, l->codec->bits, 0);
}

static double decode(const struct lb_laws *l, uint64_t code)
{
    unsigned char packed[8] = {0};
    double x;
    lb_code_set(packed, l->codec->bits, 0, code);
    lb_decode_f64(l->coder, packed, 1, &x);
    return x;
}

static int64_t decode_int(const struct lb_laws *l, uint64_t code)
{
    unsigned char packed[8] = {0};
    int64_t x;
    lb_code_set(packed, l->codec->bits, 0, code);
    lb_decode_int(l->coder, packed, 1, &x);
    return x;
}

/* Every power of two with its neighbours, then seeded ones. */
static uint64_t code_at(const struct lb_laws *l, uint64_t i)
{
    if (i < 3 * 64)
        return ((UINT64_C(1) << (i / 3)) + i % 3 - 1) & mask(l);
    const canon_words w = canon_random64(23, 4, i);
    return ((uint64_t)w.w[0] << 32 | w.w[1]) & mask(l);
}

static void law_codes(struct lb_laws *l)
{
    const struct lb_encode how = {.overflow = LB_SATURATE};
    lb_law_begin(l, "a decoded code becomes a code of the same value");
    for (uint64_t i = 0; i < SEEDED; i++, l->tried++) {
        const uint64_t code = code_at(l, i);
        const double x = decode(l, code);
        if (isinf(x))
            continue;
        const uint64_t back = encode(l, &how, x);
        const double y = decode(l, back);
        if (l->codec->kind != LB_FLOAT && isnan(x))
            continue;
        if (!lb_same_number(x, y))
            lb_law_wrong(l, "code 0x%llx is %s, which becomes code 0x%llx, %s", (unsigned long long)code, lb_number(x).s,
                         (unsigned long long)back, lb_number(y).s);
    }
    lb_law_end(l);
}

static double point(const struct lb_laws *l, uint64_t i)
{
    return i < l->points.n ? l->points.x[i] : lb_points_random(i);
}

/* Whether v, of the code beside y's, is a better answer for x than y by the rounding. */
static int is_better(const struct lb_laws *l, uint32_t rounding, long double x, double y, uint64_t code_y, double v, uint64_t code_v)
{
    if (v == y || !isfinite(v))
        return 0;
    if (rounding == LB_TOWARD_ZERO) {
        const int too_far = fabsl(y) > fabsl(x), fits = fabsl(v) <= fabsl(x);
        return fits && (too_far || (!signbit(v) == !signbit(x) && fabs(v) > fabs(y)));
    }
    const int side = y < v ? lb_oracle_side(x, y, v) : -lb_oracle_side(x, v, y); /* > 0: nearer to v */
    if (side)
        return side > 0;
    const uint32_t ties = rounding == LB_HALF_AWAY ? LB_TIES_AWAY : l->codec->ties;
    if (ties == LB_TIES_EVEN)
        return (code_y & 1) && !(code_v & 1);
    return fabs(v) != fabs(y) && (fabs(v) > fabs(y)) == (ties == LB_TIES_AWAY);
}

static void try_point(struct lb_laws *l, uint32_t rounding, double x)
{
    const struct lb_encode how = {.rounding = rounding, .overflow = LB_SATURATE};
    if (isnan(x) || isinf(x))
        return;
    const uint64_t code = encode(l, &how, x);
    const double y = decode(l, code);
    l->tried++;
    if (!isfinite(y)) {
        lb_law_wrong(l, "%s becomes code 0x%llx, %s, though it saturates", lb_number(x).s, (unsigned long long)code, lb_number(y).s);
        return;
    }
    for (int step = -1; step <= 1; step += 2) {
        const uint64_t next = (code + (uint64_t)(int64_t)step) & mask(l);
        const double v = decode(l, next);
        if (is_better(l, rounding, x, y, code, v, next))
            lb_law_wrong(l, "%s becomes code 0x%llx (%s), but code 0x%llx (%s) is right", lb_number(x).s, (unsigned long long)code,
                         lb_number(y).s, (unsigned long long)next, lb_number(v).s);
    }
}

/* The integers of 54 bits and more are not in binary64, and their neighbours cannot be told apart: for them law_integers speaks. */
static void law_roundings(struct lb_laws *l)
{
    static const char *const names[] = {"rounding: nearest", "rounding: toward zero", "rounding: half away"};
    for (uint32_t rounding = 0; rounding < 3; rounding++) {
        lb_law_begin(l, names[rounding]);
        for (uint64_t i = 0; i < SEEDED / 2; i++) {
            const double x = point(l, i);
            if (is_integer(l) && fabs(x) > 0x1p52)
                continue;
            try_point(l, rounding, x);
            /* Between the answer and its neighbour lies the boundary. */
            const uint64_t code = code_at(l, i);
            const double v = decode(l, code), w = decode(l, (code + 1) & mask(l));
            if (isfinite(v) && isfinite(w) && !(is_integer(l) && fabs(v) + fabs(w) > 0x1p52))
                try_point(l, rounding, v / 2 + w / 2);
        }
        lb_law_end(l);
    }
}

static void law_stochastic(struct lb_laws *l)
{
    const struct lb_encode down = {.rounding = LB_TOWARD_ZERO, .overflow = LB_SATURATE};
    lb_law_begin(l, "stochastic rounding: one of the two neighbours, and a value becomes itself");
    for (uint64_t i = 0; i < SEEDED / 4; i++) {
        const struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = LB_SATURATE, .seed = 7, .first = i};
        const double x = point(l, i);
        if (!isfinite(x) || (is_integer(l) && fabs(x) > 0x1p52))
            continue;
        const double low = decode(l, encode(l, &down, x)), y = decode(l, encode(l, &how, x));
        const uint64_t code = encode(l, &how, x);
        const double before = decode(l, (code - 1) & mask(l)), after = decode(l, (code + 1) & mask(l));
        l->tried++;
        if (y != low && (low == x || (before != low && after != low)))
            lb_law_wrong(l, "%s becomes %s; toward zero it is %s", lb_number(x).s, lb_number(y).s, lb_number(low).s);
    }
    lb_law_end(l);
}

/* The largest and the smallest integer of the codec. */
static uint64_t largest(const struct lb_laws *l)
{
    return mask(l) >> (l->codec->kind == LB_SIGNED);
}

static uint64_t expected_int(const struct lb_laws *l, int64_t x, int is_unsigned)
{
    const int negative = !is_unsigned && x < 0;
    const uint64_t lowest = l->codec->kind == LB_SIGNED ? largest(l) + 1 : 0, m = negative ? 0 - (uint64_t)x : (uint64_t)x;
    if (negative)
        return 0 - (m > lowest ? lowest : m);
    return m > largest(l) ? largest(l) : m;
}

static void law_integers(struct lb_laws *l)
{
    lb_law_begin(l, "integers: within the range themselves, beyond it the end");
    for (uint64_t i = 0; i < SEEDED; i++) {
        uint64_t bits = code_at(l, i);
        if (i % 2)
            bits = 0 - bits;
        for (int is_unsigned = 0; is_unsigned < 2; is_unsigned++) {
            const int64_t x = (int64_t)bits, y = decode_int(l, encode_int(l, x, is_unsigned));
            const uint64_t want = expected_int(l, x, is_unsigned);
            l->tried++;
            if ((uint64_t)y != want)
                lb_law_wrong(l, "%s%lld becomes %lld, wanted %lld", is_unsigned ? "unsigned " : "", (long long)x, (long long)y,
                             (long long)want);
        }
    }
    lb_law_end(l);
}

/* Integers that binary64 holds must become what binary64 becomes; others what is nearest. */
static void try_integer(struct lb_laws *l, int64_t x)
{
    const struct lb_encode how = {.overflow = LB_SATURATE};
    const uint64_t code = encode_int(l, x, 0);
    const double y = decode(l, code);
    const int held = (x < 0 ? 0 - (uint64_t)x : (uint64_t)x) <= UINT64_C(1) << 53;
    l->tried++;
    if (held && code != encode(l, &how, (double)x))
        lb_law_wrong(l, "%lld becomes code 0x%llx, and as binary64 0x%llx", (long long)x, (unsigned long long)code,
                     (unsigned long long)encode(l, &how, (double)x));
    for (int step = -1; !held && LDBL_MANT_DIG >= 64 && step <= 1; step += 2) {
        const uint64_t next = (code + (uint64_t)(int64_t)step) & mask(l);
        const double v = decode(l, next);
        if (is_better(l, LB_NEAREST, (long double)x, y, code, v, next))
            lb_law_wrong(l, "%lld becomes code 0x%llx (%s), but code 0x%llx (%s) is right", (long long)x, (unsigned long long)code,
                         lb_number(y).s, (unsigned long long)next, lb_number(v).s);
    }
}

static void law_from_integers(struct lb_laws *l)
{
    lb_law_begin(l, "64-bit integers are rounded once");
    for (uint64_t i = 0; i < SEEDED / 2; i++) {
        const canon_words w = canon_random64(24, 5, i);
        try_integer(l, (int64_t)(((uint64_t)w.w[0] << 32 | w.w[1]) >> w.w[2] % 64));
        /* Beside the middle of two values, where rounding twice goes wrong. */
        const double v = decode(l, code_at(l, i)), next = decode(l, (code_at(l, i) + 1) & mask(l));
        for (int64_t k = -1; fabs(v) > 4 && fabs(v) < 0x1p62 && fabs(next) < 0x1p62 && k <= 1; k++)
            try_integer(l, (int64_t)(v / 2) + (int64_t)(next / 2) + k);
    }
    lb_law_end(l);
}

static void law_decode_agree(struct lb_laws *l)
{
    lb_law_begin(l, "decoding to integers and to binary64 agree");
    for (uint64_t i = 0; i < SEEDED; i++, l->tried++) {
        const uint64_t code = code_at(l, i);
        const int64_t k = decode_int(l, code);
        const double v = decode(l, code), want = l->codec->kind == LB_UNSIGNED ? (double)(uint64_t)k : (double)k;
        if (v != want)
            lb_law_wrong(l, "code 0x%llx is %lld and %s", (unsigned long long)code, (long long)k, lb_number(v).s);
    }
    lb_law_end(l);
}

static void law_special(struct lb_laws *l)
{
    const double top = decode(l, encode(l, &(struct lb_encode){.overflow = LB_SATURATE}, INFINITY));
    lb_law_begin(l, "NaN, infinities and overflow");
    l->tried = 4;
    if (l->codec->kind == LB_FLOAT && !isnan(decode(l, encode(l, NULL, NAN))))
        lb_law_wrong(l, "NaN becomes %s", lb_number(decode(l, encode(l, NULL, NAN))).s);
    if (!isfinite(top))
        lb_law_wrong(l, "an infinity that saturates becomes %s", lb_number(top).s);
    const struct lb_encode inf = {.overflow = LB_TO_INF}, nan = {.overflow = LB_TO_NAN};
    if (!lb_coder_check(l->coder, &inf, NULL) && !isinf(decode(l, encode(l, &inf, INFINITY))))
        lb_law_wrong(l, "an infinity that stays one becomes %s", lb_number(decode(l, encode(l, &inf, INFINITY))).s);
    if (!lb_coder_check(l->coder, &nan, NULL) && !isnan(decode(l, encode(l, &nan, INFINITY))))
        lb_law_wrong(l, "an infinity that is to be NaN becomes %s", lb_number(decode(l, encode(l, &nan, INFINITY))).s);
    lb_law_end(l);
}

int lb_laws_wide(struct lb_laws *l)
{
    law_codes(l);
    law_special(l);
    law_roundings(l);
    law_stochastic(l);
    if (is_integer(l)) {
        law_integers(l);
        law_decode_agree(l);
    } else {
        law_from_integers(l);
    }
    return 0;
}
