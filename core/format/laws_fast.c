/* SPDX-License-Identifier: MIT */
/* laws_fast.c - arrays: packing at odd sizes, and the codec's own fast forms against the derived ones. */
#include "core/base/mem.h"
#include "core/format/laws_impl.h"
#include "kernels/canon.h"

#include <string.h>

enum { GUARD = 64, FILL = 0xa5 };

/* ---- Packing ---------------------------------------------------------------------------------------------------------------------- */

static void try_packing(struct lb_laws *l, const double *x, size_t n, unsigned char *packed, double *back)
{
    const unsigned bits = l->codec->bits;
    size_t bytes = 0;
    lb_coder_bytes(l->coder, n, &bytes);
    memset(packed, FILL, bytes + GUARD);
    lb_encode_f64(l->coder, NULL, x, n, packed);
    lb_decode_f64(l->coder, packed, n, back);
    l->tried++;
    for (size_t i = 0; i < n; i++) {
        unsigned char one[8] = {0};
        double alone;
        lb_encode_f64(l->coder, NULL, x + i, 1, one);
        lb_decode_f64(l->coder, one, 1, &alone);
        if (lb_code_get(packed, bits, i) != lb_code_get(one, bits, 0) || !lb_same_number(alone, back[i]))
            lb_law_wrong(l, "element %zu of %zu, %s: code 0x%llx and value %s, alone 0x%llx and %s", i, n, lb_number(x[i]).s,
                         (unsigned long long)lb_code_get(packed, bits, i), lb_number(back[i]).s,
                         (unsigned long long)lb_code_get(one, bits, 0), lb_number(alone).s);
    }
    for (size_t bit = n * bits; bit < 8 * bytes; bit++)
        if (packed[bit / 8] >> (bit % 8) & 1)
            lb_law_wrong(l, "%zu elements: padding bit %zu is 1", n, bit);
    for (size_t i = 0; i < GUARD; i++)
        if (packed[bytes + i] != FILL)
            lb_law_wrong(l, "%zu elements: byte %zu was written, there are %zu", n, bytes + i, bytes);
}

/* Random words go by the element's index in the whole array, so that pieces, wherever they are cut, give the codes of the whole. */
static void law_pieces(struct lb_laws *l, const double *x, size_t n, unsigned char *whole)
{
    struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = -1, .seed = 9, .stream = 2, .first = 77};
    unsigned char piece[64 * 8];
    if (lb_coder_check(l->coder, &how, NULL))
        return;
    lb_law_begin(l, "stochastic rounding: an array in pieces gives the codes of the whole");
    lb_encode_f64(l->coder, &how, x, n, whole);
    for (size_t at = 0, k = 1; at<n; at += k, k = k % 64 + 7> 64 ? 1 : k % 64 + 7) {
        const size_t count = k < n - at ? k : n - at;
        how.first = 77 + at;
        lb_encode_f64(l->coder, &how, x + at, count, piece);
        for (size_t i = 0; i < count; i++, l->tried++)
            if (lb_code_get(piece, l->codec->bits, i) != lb_code_get(whole, l->codec->bits, at + i))
                lb_law_wrong(l, "element %zu, %s: code 0x%llx in the whole, 0x%llx in a piece that begins at %zu", at + i,
                             lb_number(x[at + i]).s, (unsigned long long)lb_code_get(whole, l->codec->bits, at + i),
                             (unsigned long long)lb_code_get(piece, l->codec->bits, i), at);
    }
    lb_law_end(l);
}

int lb_laws_packing(struct lb_laws *l)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 31, 33, 257, 511, 513, 1025, 1337};
    enum { MOST = 1337 };
    double *x = lb_alloc(2 * MOST, sizeof *x, l->err);
    unsigned char *packed = lb_alloc(8 * MOST + GUARD, 1, l->err);
    if (x && packed) {
        for (size_t i = 0; i < MOST; i++)
            x[i] = lb_points_random(i);
        lb_law_begin(l, "packing: any number of elements, none beyond its bytes");
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            try_packing(l, x, sizes[i], packed, x + MOST);
        lb_law_end(l);
        law_pieces(l, x, MOST, packed);
    }
    const int r = x && packed ? 0 : -1;
    lb_free(x);
    lb_free(packed);
    return r;
}

/* ---- Fast forms ------------------------------------------------------------------------------------------------------------------- */

/* Lengths in units, and where the array begins, in elements and bytes: kernels have heads and tails. */
static const struct {
    size_t units, from;
} shapes[] = {{1, 0}, {2, 1}, {3, 2}, {5, 3}, {7, 1}, {15, 5}, {16, 0}, {17, 7}, {31, 1}, {33, 3}, {63, 0}, {65, 9}, {127, 1}, {1021, 3}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct arrays {
    float *x, *back, *want; /* n, with GUARD more */
    unsigned char *codes, *want_codes;
    size_t n, bytes;
};

static void arrays_finish(struct arrays *a)
{
    lb_free(a->x);
    lb_free(a->back);
    lb_free(a->want);
    lb_free(a->codes);
    lb_free(a->want_codes);
}

static int arrays_init(struct lb_laws *l, struct arrays *a, size_t n)
{
    a->n = n;
    if (lb_coder_bytes(l->coder, n, &a->bytes))
        return lb_fail(l->err, "too many elements");
    a->x = lb_alloc(n + GUARD, sizeof *a->x, l->err);
    a->back = lb_alloc(n + GUARD, sizeof *a->back, l->err);
    a->want = lb_alloc(n + GUARD, sizeof *a->want, l->err);
    a->codes = lb_alloc(a->bytes + GUARD, 1, l->err);
    a->want_codes = lb_alloc(a->bytes + GUARD, 1, l->err);
    return a->x && a->back && a->want && a->codes && a->want_codes ? 0 : -1;
}

static void try_encode(struct lb_laws *l, struct arrays *a, size_t at, size_t n, size_t offset)
{
    const struct lb_codec *c = l->codec;
    const size_t bytes = n / c->unit_elems * c->unit_bytes;
    unsigned char *out = a->codes + offset % 16;
    memset(out, FILL, bytes + 16);
    c->encode_f32(c, a->x + at, n, out);
    lb_encode_f32_derived(l->coder, NULL, a->x + at, n, a->want_codes);
    l->tried += n;
    if (memcmp(out, a->want_codes, bytes) != 0) {
        size_t i = 0;
        while (lb_code_get(out, c->bits, i) == lb_code_get(a->want_codes, c->bits, i))
            i++;
        lb_law_wrong(l, "%s, element %zu of %zu: derived code 0x%llx, fast code 0x%llx", lb_number((double)a->x[at + i]).s, i, n,
                     (unsigned long long)lb_code_get(a->want_codes, c->bits, i), (unsigned long long)lb_code_get(out, c->bits, i));
    }
    if (out[bytes] != FILL || memcmp(out + bytes, out + bytes + 1, 15) != 0)
        lb_law_wrong(l, "%zu elements: wrote behind its %zu bytes", n, bytes);
}

static void try_decode(struct lb_laws *l, struct arrays *a, size_t at, size_t n, size_t offset)
{
    const struct lb_codec *c = l->codec;
    const unsigned char *codes = a->codes + at / c->unit_elems * c->unit_bytes;
    float *out = a->back + offset % 16;
    memset(out, FILL, (n + 16) * sizeof *out);
    c->decode_f32(c, codes, n, out);
    lb_decode_f32_derived(l->coder, codes, n, a->want);
    l->tried += n;
    for (size_t i = 0; i < n; i++)
        if (memcmp(out + i, a->want + i, sizeof *out) != 0) {
            uint32_t want, got;
            memcpy(&want, a->want + i, sizeof want);
            memcpy(&got, out + i, sizeof got);
            lb_law_wrong(l, "code 0x%llx, element %zu of %zu: derived %s, fast %s (0x%08x and 0x%08x)",
                         (unsigned long long)lb_code_get(codes, c->bits, i), i, n, lb_number((double)a->want[i]).s,
                         lb_number((double)out[i]).s, want, got);
            break;
        }
    for (size_t i = 0; i < 16 * sizeof *out; i++)
        if (((unsigned char *)(out + n))[i] != FILL) {
            lb_law_wrong(l, "%zu elements: wrote behind the last", n);
            break;
        }
}

/* Walks over a->n elements in pieces of all shapes. */
static void walk(struct lb_laws *l, struct arrays *a, void (*try)(struct lb_laws *, struct arrays *, size_t, size_t, size_t))
{
    const size_t unit = l->codec->unit_elems;
    size_t k = 0;
    for (size_t at = 0; at + unit <= a->n; k++) {
        size_t units = shapes[k % SHAPES].units;
        if (units * unit > a->n - at)
            units = (a->n - at) / unit;
        try(l, a, at, units * unit, shapes[k % SHAPES].from);
        at += units * unit;
    }
}

static float random_f32(uint64_t i)
{
    const canon_words w = canon_random64(21, 2, i);
    float f;
    const uint32_t bits = w.w[1] % 8 ? w.w[0] : (w.w[0] & 0x007fffffu) | (w.w[0] & 0x80000000u) | (120u + w.w[2] % 16) << 23;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static int law_fast_encode(struct lb_laws *l)
{
    enum { RANDOM = 1000000 };
    struct arrays a = {0};
    size_t n = 0;
    int r = arrays_init(l, &a, l->points.n + RANDOM);
    if (!r) {
        float f;
        for (size_t i = 0; i < l->points.n; i++)
            if (lb_as_binary32(l->points.x[i], &f))
                a.x[n++] = f;
        for (uint64_t i = 0; i < RANDOM; i++)
            a.x[n++] = random_f32(i);
        a.n = n;
        lb_law_begin(l, "the fast encoder gives the derived codes");
        walk(l, &a, try_encode);
        lb_law_end(l);
    }
    arrays_finish(&a);
    return r;
}

static int law_fast_decode(struct lb_laws *l)
{
    const unsigned bits = l->codec->bits;
    const size_t unit = l->codec->unit_elems, codes = bits <= 16 ? (size_t)1 << bits : 0, random = 100000;
    struct arrays a = {0};
    int r = arrays_init(l, &a, (codes + random) / unit * unit);
    if (!r) {
        for (size_t i = 0; i < a.n; i++) {
            const canon_words w = canon_random64(22, 3, i);
            lb_code_set(a.codes, bits, i, i < codes ? i : (uint64_t)w.w[0] << 32 | w.w[1]);
        }
        lb_law_begin(l, "the fast decoder gives the derived values");
        walk(l, &a, try_decode);
        lb_law_end(l);
    }
    arrays_finish(&a);
    return r;
}

int lb_laws_fast(struct lb_laws *l)
{
    int r = 0;
    if (l->codec->encode_f32)
        r = law_fast_encode(l);
    if (!r && l->codec->decode_f32)
        r = law_fast_decode(l);
    return r;
}
