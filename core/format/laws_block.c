/* SPDX-License-Identifier: MIT */
/* laws_block.c - the laws of block codecs. How well one rounds is its own affair, within one bound: what an ordinary unit becomes is nearer to it than
 * zeros are. */
#include "core/base/mem.h"
#include "core/format/laws_impl.h"
#include "kernels/canon.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { UNITS = 61, GUARD = 64, FILL = 0xa5 };

/* Room for UNITS units, and for the same made in another way. */
struct room {
    size_t elems, bytes, n, n_bytes; /* of a unit, of all */
    double *x, *y, *back;
    float *narrow, *narrow_back, *narrow_want;
    unsigned char *codes, *want;
};

static void room_finish(struct room *r)
{
    lb_free(r->x);
    lb_free(r->y);
    lb_free(r->back);
    lb_free(r->narrow);
    lb_free(r->narrow_back);
    lb_free(r->narrow_want);
    lb_free(r->codes);
    lb_free(r->want);
}

static int room_init(struct lb_laws *l, struct room *r)
{
    r->elems = l->codec->unit_elems;
    r->bytes = l->codec->unit_bytes;
    r->n = UNITS * r->elems;
    r->n_bytes = UNITS * r->bytes;
    r->x = lb_alloc(r->n, sizeof *r->x, l->err);
    r->y = lb_alloc(r->n, sizeof *r->y, l->err);
    r->back = lb_alloc(r->n, sizeof *r->back, l->err);
    r->narrow = lb_alloc(r->n + GUARD, sizeof *r->narrow, l->err);
    r->narrow_back = lb_alloc(r->n + GUARD, sizeof *r->narrow_back, l->err);
    r->narrow_want = lb_alloc(r->n + GUARD, sizeof *r->narrow_want, l->err);
    r->codes = lb_alloc(r->n_bytes + GUARD, 1, l->err);
    r->want = lb_alloc(r->n_bytes + GUARD, 1, l->err);
    return r->x && r->y && r->back && r->narrow && r->narrow_back && r->narrow_want && r->codes && r->want ? 0 : -1;
}

/* ---- What to try ------------------------------------------------------------------------------------------------------------------ */

/* Units of ordinary numbers, a size each between 2^-4 and 2^4, of one or of both signs; some hold few numbers that are not 0. Binary32 numbers. */
static void ordinary(const struct room *r, uint32_t round, double *x)
{
    for (size_t i = 0; i < r->n; i++) {
        const size_t unit = i / r->elems;
        const canon_words w = canon_random64(30 + round, 6, i);
        const double size = ldexp(1, (int)(unit % 9) - 4), v = (double)(w.w[0] >> 8) * 0x1p-24;
        const double shaped = unit % 3 == 1 ? v * v * v : v;
        x[i] = unit % 5 == 4 && w.w[1] % 8 ? 0 : size * (unit % 4 == 3 || w.w[2] & 1 ? shaped : -shaped);
    }
}

/* Units of anything: the hard numbers, drawn bit patterns, NaN and infinities among ordinary numbers; every other unit is ordinary. */
static void anything(const struct lb_laws *l, const struct room *r, uint32_t round, double *x)
{
    ordinary(r, round, x);
    for (size_t i = 0; i < r->n; i++) {
        const canon_words w = canon_random64(31 + round, 7, i);
        switch (i / r->elems % 8) {
        case 1:
            x[i] = l->points.x[w.w[0] % l->points.n];
            break;
        case 3:
            x[i] = lb_points_random(w.w[0]);
            break;
        case 5:
            x[i] = w.w[0] % r->elems ? x[i] : w.w[1] % 3 == 0 ? NAN : w.w[1] % 3 == 1 ? INFINITY : -INFINITY;
            break;
        case 7:
            x[i] = ldexp(x[i], (int)(i / r->elems * 37 % 300) - 160);
            break;
        default:
            break;
        }
    }
}

static void drawn_codes(const struct room *r, uint32_t round, unsigned char *codes)
{
    for (size_t i = 0; i < r->n_bytes; i++)
        codes[i] = (unsigned char)canon_random64(32 + round, 8, i).w[0];
}

/* ---- The laws --------------------------------------------------------------------------------------------------------------------- */

enum { ROUNDS = 16 };

/* The first byte in which units differ, as words. */
static void differ(struct lb_laws *l, const struct room *r, const char *how)
{
    size_t i = 0;
    while (i < r->n_bytes && r->codes[i] == r->want[i])
        i++;
    if (i < r->n_bytes)
        lb_law_wrong(l, "unit %zu of %d, byte %zu: 0x%02x, %s 0x%02x", i / r->bytes, UNITS, i % r->bytes, r->codes[i], how, r->want[i]);
}

static void law_decode(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "any bytes are binary32 numbers, in a unit alone as among others");
    for (uint32_t round = 0; round < ROUNDS; round++) {
        drawn_codes(r, round, r->codes);
        lb_decode_f64(l->coder, r->codes, r->n, r->back);
        for (size_t u = 0; u < UNITS; u++)
            lb_decode_f64(l->coder, r->codes + u * r->bytes, r->elems, r->y + u * r->elems);
        for (size_t i = 0; i < r->n; i++, l->tried++) {
            float f;
            if (!lb_as_binary32(r->back[i], &f))
                lb_law_wrong(l, "element %zu of drawn unit %zu is %s", i % r->elems, i / r->elems, lb_number(r->back[i]).s);
            if (!lb_same_number(r->back[i], r->y[i]))
                lb_law_wrong(l, "element %zu of drawn unit %zu is %s, alone %s", i % r->elems, i / r->elems, lb_number(r->back[i]).s,
                             lb_number(r->y[i]).s);
        }
    }
    lb_law_end(l);
}

static void law_zeros(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "zeros become zeros");
    memset(r->x, 0, r->n * sizeof *r->x);
    lb_encode_f64(l->coder, NULL, r->x, r->n, r->codes);
    lb_decode_f64(l->coder, r->codes, r->n, r->back);
    for (size_t i = 0; i < r->n; i++, l->tried++)
        if (r->back[i] != 0)
            lb_law_wrong(l, "element %zu of a unit of zeros becomes %s", i % r->elems, lb_number(r->back[i]).s);
    lb_law_end(l);
}

/* The second time the numbers are those that the codec made itself. */
static void law_error(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "what an ordinary unit becomes is nearer to it than zeros are");
    for (uint32_t round = 0; round < 2 * ROUNDS; round++) {
        if (round % 2)
            memcpy(r->x, r->back, r->n * sizeof *r->x);
        else
            ordinary(r, round, r->x);
        lb_encode_f64(l->coder, NULL, r->x, r->n, r->codes);
        lb_decode_f64(l->coder, r->codes, r->n, r->back);
        for (size_t u = 0; u < UNITS; u++, l->tried++) {
            double all = 0, lost = 0;
            for (size_t i = u * r->elems; i < (u + 1) * r->elems; i++) {
                all += r->x[i] * r->x[i];
                lost += (r->back[i] - r->x[i]) * (r->back[i] - r->x[i]);
            }
            if (all > 0 && !(lost < all))
                lb_law_wrong(l, "unit %zu: sum of squares %g, of errors %g", u, all, lost);
        }
    }
    lb_law_end(l);
}

static void law_units(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "encoding: each unit by itself, all of its bytes and no other, twice the same; NaN, infinities and any size");
    for (uint32_t round = 0; round < ROUNDS; round++, l->tried += r->n) {
        anything(l, r, round, r->x);
        memset(r->codes, FILL, r->n_bytes + GUARD);
        memset(r->want, (unsigned char)~FILL, r->n_bytes);
        lb_encode_f64(l->coder, NULL, r->x, r->n, r->codes);
        for (size_t u = 0; u < UNITS; u++)
            lb_encode_f64(l->coder, NULL, r->x + u * r->elems, r->elems, r->want + u * r->bytes);
        differ(l, r, "alone");
        for (size_t i = 0; i < GUARD; i++)
            if (r->codes[r->n_bytes + i] != FILL)
                lb_law_wrong(l, "%d units: byte %zu was written, there are %zu", UNITS, r->n_bytes + i, r->n_bytes);
        lb_encode_f64(l->coder, NULL, r->x, r->n, r->want);
        differ(l, r, "the second time");
    }
    lb_law_end(l);
}

static void law_inputs(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "binary32, binary64 and whole numbers that are equal become the same codes");
    int64_t *whole = lb_alloc(r->n, sizeof *whole, l->err);
    for (uint32_t round = 0; whole && round < ROUNDS; round++, l->tried += r->n) {
        anything(l, r, round, r->x);
        for (size_t i = 0; i < r->n; i++) {
            if (round % 2)
                r->x[i] = (double)(whole[i] = (int32_t)canon_random64(33, 9, i).w[0] >> 8 >> i / r->elems % 23);
            r->narrow[i] = (float)r->x[i];
            r->x[i] = (double)r->narrow[i];
        }
        lb_encode_f64(l->coder, NULL, r->x, r->n, r->want);
        lb_encode_f32_derived(l->coder, NULL, r->narrow, r->n, r->codes);
        differ(l, r, "from binary64");
        if (round % 2) {
            lb_encode_int(l->coder, NULL, whole, 0, r->n, r->codes);
            differ(l, r, "from binary64");
        }
    }
    lb_free(whole);
    lb_law_end(l);
}

/* ---- Fast forms ------------------------------------------------------------------------------------------------------------------- */

static void law_fast_encode(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "the fast encoder gives the derived codes");
    for (uint32_t round = 0; round < ROUNDS; round++, l->tried += r->n) {
        const size_t offset = round % 5; /* arrays begin anywhere */
        anything(l, r, round, r->x);
        for (size_t i = 0; i < r->n; i++)
            r->narrow[offset + i] = (float)r->x[i];
        memset(r->codes, FILL, r->n_bytes + GUARD);
        l->codec->encode_f32(l->codec, r->narrow + offset, r->n, r->codes);
        lb_encode_f32_derived(l->coder, NULL, r->narrow + offset, r->n, r->want);
        differ(l, r, "derived");
        if (r->codes[r->n_bytes] != FILL)
            lb_law_wrong(l, "%d units: wrote behind the last", UNITS);
    }
    lb_law_end(l);
}

static void law_fast_decode(struct lb_laws *l, struct room *r)
{
    lb_law_begin(l, "the fast decoder gives the derived values");
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const size_t offset = round % 5;
        float *out = r->narrow_back + offset;
        drawn_codes(r, round, r->codes);
        memset(r->narrow_back, FILL, (r->n + GUARD) * sizeof *out);
        l->codec->decode_f32(l->codec, r->codes, r->n, out);
        lb_decode_f32_derived(l->coder, r->codes, r->n, r->narrow_want);
        for (size_t i = 0; i < r->n; i++, l->tried++)
            if (memcmp(out + i, r->narrow_want + i, sizeof *out) != 0)
                lb_law_wrong(l, "element %zu of drawn unit %zu: derived %s (0x%08x), fast %s (0x%08x)", i % r->elems, i / r->elems,
                             lb_number((double)r->narrow_want[i]).s, canon_bits(r->narrow_want[i]), lb_number((double)out[i]).s,
                             canon_bits(out[i]));
        for (size_t i = 0; i < sizeof *out; i++)
            if (((unsigned char *)(out + r->n))[i] != FILL)
                lb_law_wrong(l, "%d units: wrote behind the last", UNITS);
    }
    lb_law_end(l);
}

int lb_laws_block(struct lb_laws *l)
{
    struct room r = {0};
    const int result = room_init(l, &r);
    if (!result) {
        law_decode(l, &r);
        law_zeros(l, &r);
        law_error(l, &r);
        law_units(l, &r);
        law_inputs(l, &r);
        if (l->codec->encode_f32)
            law_fast_encode(l, &r);
        if (l->codec->decode_f32)
            law_fast_decode(l, &r);
    }
    room_finish(&r);
    return result;
}
