/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"
#include "core/format/coder_impl.h"
#include "kernels/canon.h"

#include <math.h>

/* Elements converted at a time on the stack; a multiple of every unit_elems up to 16 bits (8 / gcd(bits, 8)). Of a block codec, whole units. */
enum { CHUNK = LB_BLOCK_MAX };

static size_t chunk_of(const struct lb_coder *c)
{
    return CHUNK - CHUNK % c->codec->unit_elems;
}

/* Where element i begins: codes of up to 16 bits and units begin on a byte there, for i is a multiple of unit_elems. */
static unsigned char *code_at(const struct lb_coder *c, void *codes, size_t i)
{
    return (unsigned char *)codes + i / c->codec->unit_elems * c->codec->unit_bytes;
}

uint64_t lb_code_get(const void *codes, unsigned bits, size_t i)
{
    const unsigned char *p = codes;
    const size_t at = i * bits;
    uint64_t v = 0;
    for (unsigned got = 0; got < bits;) {
        const unsigned shift = (unsigned)((at + got) % 8), take = 8 - shift < bits - got ? 8 - shift : bits - got;
        v |= (uint64_t)(((unsigned)p[(at + got) / 8] >> shift) & ((1u << take) - 1)) << got;
        got += take;
    }
    return v;
}

void lb_code_set(void *codes, unsigned bits, size_t i, uint64_t code)
{
    unsigned char *p = codes;
    const size_t at = i * bits;
    for (unsigned put = 0; put < bits;) {
        const unsigned shift = (unsigned)((at + put) % 8), take = 8 - shift < bits - put ? 8 - shift : bits - put;
        const unsigned mask = ((1u << take) - 1) << shift;
        unsigned char *byte = &p[(at + put) / 8];
        *byte = (unsigned char)((*byte & ~mask) | (((unsigned)(code >> put) << shift) & mask));
        put += take;
    }
}

/* The interval that holds `key`. */
static size_t find(const struct lb_intervals *w, int64_t key)
{
    size_t low = 0, high = w->n;
    while (high - low > 1) {
        const size_t mid = low + (high - low) / 2;
        if (w->first[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* Whether x between lo and hi becomes hi, in the arithmetic of the input's type (docs/arithmetic.md, 8.6). */
static int goes_up(double x, double lo, double hi, uint32_t random, int narrow)
{
    const uint32_t u = random >> 8; /* times 2^-24 */
    if (narrow)
        return fmaf((float)u * 0x1p-24f, (float)hi - (float)lo, -((float)x - (float)lo)) < 0;
    return fma((double)u * 0x1p-24, hi - lo, -(x - lo)) < 0;
}

/* x rounded to a whole number. */
static double to_whole(uint32_t rounding, double x, uint32_t random, int narrow)
{
    const double down = floor(x), part = x - down;
    switch (rounding) {
    case LB_TOWARD_ZERO:
        return trunc(x);
    case LB_HALF_AWAY:
        return round(x);
    case LB_STOCHASTIC:
        return goes_up(x, down, down + 1, random, narrow) ? down + 1 : down;
    default:
        return part > 0.5 || (part == 0.5 && fmod(down, 2) != 0) ? down + 1 : down;
    }
}

/* The low bits of a whole number of any size, in two's complement. */
static uint64_t wrap(double whole, unsigned bits)
{
    if (!isfinite(whole))
        return 0;
    const uint64_t magnitude = (uint64_t)fmod(fabs(whole), 18446744073709551616.0);
    const uint64_t v = whole < 0 ? 0 - magnitude : magnitude;
    return bits == 64 ? v : v & ((UINT64_C(1) << bits) - 1);
}

static uint32_t too_large(const struct lb_coder *c, uint32_t overflow, int negative)
{
    if (overflow == LB_TO_INF && c->inf_code[negative] >= 0)
        return (uint32_t)c->inf_code[negative];
    if (overflow == LB_TO_NAN && c->has_nan)
        return c->codec->nan_code;
    return c->sorted_code[negative ? 0 : c->n_sorted - 1];
}

/* Up or down with probability in proportion to the distance; beyond the ends as to nearest. Members are taken in the input's type. */
static uint32_t encode_stochastic(const struct lb_coder *c, double x, uint32_t random, int narrow)
{
    const struct lb_intervals *w = &c->ways[LB_NEAREST];
    const size_t nearest = find(w, lb_key(x));
    size_t i = nearest;
    if (i && x < (narrow ? (double)(float)c->sorted[i] : c->sorted[i]))
        i--;
    if (i + 1 == c->n_sorted)
        return w->code[nearest];
    const double lo = narrow ? (double)(float)c->sorted[i] : c->sorted[i], hi = narrow ? (double)(float)c->sorted[i + 1] : c->sorted[i + 1];
    if (!(lo < x && x < hi))
        return w->code[nearest];
    return c->sorted_code[goes_up(x, lo, hi, random, narrow) ? i + 1 : i];
}

struct resolved {
    uint32_t rounding, overflow;
    int plain;  /* the codec's default way, for which fast forms exist */
    int narrow; /* the input is binary32 */
};

/* One code, bits <= 16. */
static uint32_t encode_one(const struct lb_coder *c, struct resolved r, double x, uint32_t random)
{
    if (x != x)
        return r.overflow == LB_WRAP ? 0 : c->codec->nan_code;
    if (r.overflow == LB_WRAP)
        return (uint32_t)wrap(to_whole(r.rounding, x, random, r.narrow), c->codec->bits);
    const struct lb_intervals *w = &c->ways[r.rounding == LB_STOCHASTIC ? LB_NEAREST : r.rounding];
    const int64_t key = lb_key(x);
    if (key >= w->over || key < w->under)
        return too_large(c, r.overflow, x < 0);
    if (r.rounding == LB_STOCHASTIC && !c->has_steps)
        return encode_stochastic(c, x, random, r.narrow);
    return w->code[find(w, key)];
}

/* One word an element, four from each draw; n <= CHUNK. Where they begin in `out`, which holds RANDOM. */
enum { RANDOM = CHUNK + 8 };
static uint32_t *random_words(const struct lb_encode *how, size_t at, size_t n, uint32_t *out)
{
    const uint64_t e = how->first + at;
    const size_t skip = (size_t)(e % 4);
    lb_lanes_random(how->seed, how->stream, e / 4, (skip + n + 3) / 4, out);
    return out + skip;
}

/* Codecs wider than 16 bits compare all 32 bits with a share, so the low ones, which do not count, are 0. */
static uint32_t *random_shares(const struct lb_encode *how, size_t at, size_t n, uint32_t *out)
{
    uint32_t *w = random_words(how, at, n, out);
    for (size_t i = 0; i < n; i++)
        w[i] &= ~UINT32_C(0xff);
    return w;
}

static struct resolved resolve(const struct lb_coder *c, const struct lb_encode *how)
{
    struct resolved r = {LB_NEAREST, c->codec->overflow, 1, 0};
    if (how) {
        r.rounding = how->rounding;
        if (how->overflow >= 0)
            r.overflow = (uint32_t)how->overflow;
        r.plain = r.rounding == LB_NEAREST && r.overflow == c->codec->overflow;
    }
    return r;
}

/* ---- As data ---------------------------------------------------------------------------------------------------------------------- */

/* The binary32 key of the smallest binary32 number at or above the number with this binary64 key; INT32_MAX where there is none. */
static int32_t key32_from(int64_t key)
{
    if (key > lb_key(INFINITY))
        return INT32_MAX;
    if (key <= lb_key(-INFINITY))
        return INT32_MIN; /* below all numbers */
    const int64_t bits = key < 0 ? INT64_MIN - key - 1 : key;
    double x;
    memcpy(&x, &bits, sizeof x);
    float f = (float)x;
    if (lb_key((double)f) < key)
        f = nextafterf(f, INFINITY);
    int32_t b;
    memcpy(&b, &f, sizeof b);
    return b < 0 ? INT32_MIN - b - 1 : b;
}

/* An interval from `key` on; those before it that hold no binary32 number go. */
static void add_interval(size_t *n, int32_t *first, uint32_t *code, int64_t key, uint32_t becomes)
{
    const int32_t from = key32_from(key);
    if (from == INT32_MAX)
        return;
    if (*n && first[*n - 1] == from)
        --*n;
    first[*n] = from;
    code[(*n)++] = becomes;
}

int lb_coder_intervals(const struct lb_coder *c, const struct lb_encode *how, size_t *n, int32_t **first, uint32_t **code,
                       struct lb_err *err)
{
    const struct resolved r = resolve(c, how);
    *n = 0;
    *first = NULL;
    *code = NULL;
    if (!c->table)
        return lb_fail(err, "codec %s: has no table of intervals", c->codec->base.name);
    if (r.overflow == LB_WRAP)
        return lb_fail(err, "codec %s: overflow \"wrap\" is no table of intervals", c->codec->base.name);
    const struct lb_intervals *w = &c->ways[r.rounding == LB_STOCHASTIC ? LB_NEAREST : r.rounding];
    *first = lb_alloc(w->n + 2, sizeof **first, err);
    *code = lb_alloc(w->n + 2, sizeof **code, err);
    if (!*first || !*code) {
        lb_free(*first);
        lb_free(*code);
        *first = NULL;
        *code = NULL;
        return -1;
    }
    if (!c->has_steps)
        add_interval(n, *first, *code, INT64_MIN, too_large(c, r.overflow, 1));
    for (size_t i = 0; i < w->n; i++)
        if (w->first[i] < w->over && (i + 1 == w->n || w->first[i + 1] > w->under))
            add_interval(n, *first, *code, w->first[i] > w->under ? w->first[i] : w->under, w->code[i]);
    if (!c->has_steps)
        add_interval(n, *first, *code, w->over, too_large(c, r.overflow, 0));
    return 0;
}

/* ---- Arrays ----------------------------------------------------------------------------------------------------------------------- */

/* `n` <= CHUNK binary64 values to codes [at, at + n). */
static void encode_chunk(const struct lb_coder *c, const struct lb_encode *how, struct resolved r, const double *x, size_t at, size_t n,
                         void *codes)
{
    uint32_t drawn[RANDOM];
    const uint32_t *random = r.rounding == LB_STOCHASTIC ? random_shares(how, at, n, drawn) : NULL;
    if (!c->table) {
        const struct lb_encoding e = {r.rounding, r.overflow, random};
        c->codec->encode(c->codec, &e, x, n, code_at(c, codes, at));
        return;
    }
    for (size_t i = 0; i < n; i++)
        lb_code_set(codes, c->codec->bits, at + i, encode_one(c, r, x[i], random ? random[i] : 0));
}

/* Padding bits behind the last code are zero. */
static void clear_tail(const struct lb_coder *c, size_t n, void *codes)
{
    size_t bytes;
    if (n && (n * c->codec->bits) % 8 && !lb_coder_bytes(c, n, &bytes))
        ((unsigned char *)codes)[bytes - 1] = 0;
}

void lb_encode_f64(const struct lb_coder *c, const struct lb_encode *how, const double *x, size_t n, void *codes)
{
    const struct resolved r = resolve(c, how);
    const size_t chunk = chunk_of(c);
    clear_tail(c, n, codes);
    for (size_t at = 0; at < n; at += chunk)
        encode_chunk(c, how, r, x + at, at, n - at < chunk ? n - at : chunk, codes);
}

static void encode_f32_from(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t start, size_t n, void *codes)
{
    struct resolved r = resolve(c, how);
    const size_t chunk = chunk_of(c);
    double wide[CHUNK];
    r.narrow = 1;
    for (size_t at = start; at < n;) {
        const size_t count = n - at < chunk ? n - at : chunk;
        for (size_t i = 0; i < count; i++)
            wide[i] = (double)x[at + i];
        encode_chunk(c, how, r, wide, at, count, codes);
        at += count;
    }
}

void lb_encode_f32_derived(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n, void *codes)
{
    clear_tail(c, n, codes);
    encode_f32_from(c, how, x, 0, n, codes);
}

/* Codes of a byte each as a bit stream; the bits behind the last are 0. */
static void pack(const unsigned char *code, unsigned bits, size_t n, unsigned char *out)
{
    size_t i = 0;
    if (bits == 8 || bits == 4 || bits == 2 || bits == 1) {
        i = n - n % 8;
        lb_lanes_pack(code, bits, i, out);
    }
    for (; i < n; i += 8) {
        const size_t many = n - i < 8 ? n - i : 8, bytes = (many * bits + 7) / 8;
        uint64_t word = 0;
        for (size_t j = 0; j < many; j++)
            word |= (uint64_t)code[i + j] << (j * bits);
        for (size_t j = 0; j < bytes; j++)
            out[i / 8 * bits + j] = (unsigned char)(word >> (8 * j));
    }
}

static int is_quick(const struct lb_coder *c, struct resolved r)
{
    return c->quick && (r.plain || (c->quick->has_grid && r.rounding == LB_STOCHASTIC && r.overflow == c->codec->overflow));
}

static void encode_quick(const struct lb_coder *c, const struct lb_encode *how, struct resolved r, const float *x, size_t n,
                         unsigned char *codes)
{
    const unsigned bits = c->codec->bits;
    unsigned char code[CHUNK];
    uint32_t drawn[RANDOM];
    for (size_t at = 0; at < n; at += CHUNK) {
        const size_t many = n - at < CHUNK ? n - at : CHUNK;
        unsigned char *out = codes + at / 8 * bits, *to = bits == 8 ? out : code;
        if (r.plain)
            lb_quick_nearest(c->quick, x + at, many, to);
        else
            lb_lanes_stochastic(&c->quick->grid, x + at, random_words(how, at, many, drawn), many, to);
        if (bits != 8)
            pack(code, bits, many, out);
    }
}

int lb_round_f32(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n, float *y)
{
    unsigned char code[CHUNK];
    if (!c->quick || !resolve(c, how).plain)
        return 0;
    for (size_t at = 0, many; at < n; at += many) {
        many = n - at < CHUNK ? n - at : CHUNK;
        lb_quick_nearest(c->quick, x + at, many, code);
        for (size_t i = 0; i < many; i++)
            y[at + i] = c->values32[code[i]];
    }
    return 1;
}

void lb_encode_f32(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n, void *codes)
{
    const struct resolved r = resolve(c, how);
    size_t done = 0;
    if (c->codec->encode_f32 && r.plain) {
        done = n - n % c->codec->unit_elems;
        c->codec->encode_f32(c->codec, x, done, codes);
    } else if (is_quick(c, r)) {
        encode_quick(c, how, r, x, n, codes);
        return;
    }
    if (done == n)
        return;
    clear_tail(c, n, codes);
    encode_f32_from(c, how, x, done, n, codes);
}

/* A 64-bit integer as binary64 rounded to odd: rounding that once more, to 51 bits or fewer, is the same as rounding the integer. */
static double int_to_odd(int64_t x, int is_unsigned)
{
    const int negative = !is_unsigned && x < 0;
    uint64_t m = negative ? 0 - (uint64_t)x : (uint64_t)x;
    const int extra = m >> 53 ? 11 - __builtin_clzll(m) : 0;
    if (extra > 0) {
        const uint64_t lost = m & ((UINT64_C(1) << extra) - 1);
        m = (m >> extra | (lost != 0)) << extra;
    }
    return negative ? -(double)m : (double)m;
}

/* Codecs above 16 bits take integers as they are. */
static void encode_int_wide(const struct lb_coder *c, const struct lb_encode *how, struct resolved r, const int64_t *x, int is_unsigned,
                            size_t at, size_t n, void *codes)
{
    uint32_t drawn[RANDOM];
    const uint32_t *random = r.rounding == LB_STOCHASTIC ? random_shares(how, at, n, drawn) : NULL;
    const struct lb_encoding e = {r.rounding, r.overflow, random};
    c->codec->encode_int(c->codec, &e, x, is_unsigned, n, code_at(c, codes, at));
}

void lb_encode_int(const struct lb_coder *c, const struct lb_encode *how, const int64_t *x, int is_unsigned, size_t n, void *codes)
{
    const struct resolved r = resolve(c, how);
    const size_t chunk = chunk_of(c);
    clear_tail(c, n, codes);
    for (size_t at = 0; at < n; at += chunk) {
        const size_t count = n - at < chunk ? n - at : chunk;
        if (c->codec->bits > 16) {
            encode_int_wide(c, how, r, x + at, is_unsigned, at, count, codes);
        } else if (r.overflow == LB_WRAP) {
            for (size_t i = 0; i < count; i++)
                lb_code_set(codes, c->codec->bits, at + i, (uint64_t)x[at + i]);
        } else {
            double wide[CHUNK];
            for (size_t i = 0; i < count; i++)
                wide[i] = int_to_odd(x[at + i], is_unsigned);
            encode_chunk(c, how, r, wide, at, count, codes);
        }
    }
}

void lb_decode_f64(const struct lb_coder *c, const void *codes, size_t n, double *x)
{
    if (!c->table) {
        c->codec->decode(c->codec, codes, n, x);
        return;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = c->values[lb_code_get(codes, c->codec->bits, i)];
}

/* Wide integers become binary32 at once: by way of binary64 those beyond 2^53 would be rounded twice. */
static void int_to_f32(const struct lb_coder *c, const void *codes, size_t start, size_t n, float *x)
{
    int64_t whole[CHUNK];
    for (size_t at = start; at < n;) {
        const size_t count = n - at < CHUNK ? n - at : CHUNK;
        c->codec->decode_int(c->codec, (const unsigned char *)codes + at * c->codec->unit_bytes, count, whole);
        for (size_t i = 0; i < count; i++)
            x[at + i] = c->codec->kind == LB_UNSIGNED ? (float)(uint64_t)whole[i] : (float)whole[i];
        at += count;
    }
}

static void decode_f32_from(const struct lb_coder *c, const void *codes, size_t start, size_t n, float *x)
{
    if (c->table) {
        for (size_t i = start; i < n; i++)
            x[i] = c->values32[c->codec->bits == 8 ? ((const unsigned char *)codes)[i] : lb_code_get(codes, c->codec->bits, i)];
        return;
    }
    if (c->codec->kind == LB_SIGNED || c->codec->kind == LB_UNSIGNED) {
        int_to_f32(c, codes, start, n, x);
        return;
    }
    const size_t chunk = chunk_of(c);
    double wide[CHUNK];
    for (size_t at = start; at < n;) {
        const size_t count = n - at < chunk ? n - at : chunk;
        c->codec->decode(c->codec, (const unsigned char *)codes + at / c->codec->unit_elems * c->codec->unit_bytes, count, wide);
        for (size_t i = 0; i < count; i++)
            x[at + i] = canon_nan((float)wide[i]);
        at += count;
    }
}

void lb_decode_f32_derived(const struct lb_coder *c, const void *codes, size_t n, float *x)
{
    decode_f32_from(c, codes, 0, n, x);
}

void lb_decode_f32(const struct lb_coder *c, const void *codes, size_t n, float *x)
{
    size_t done = 0;
    if (c->codec->decode_f32) {
        done = n - n % c->codec->unit_elems;
        c->codec->decode_f32(c->codec, codes, done, x);
    }
    decode_f32_from(c, codes, done, n, x);
}

void lb_decode_f32_at(const struct lb_coder *c, const void *codes, size_t i, float *x)
{
    if (c->table)
        *x = c->values32[lb_code_get(codes, c->codec->bits, i)];
    else
        lb_decode_f32(c, (const unsigned char *)codes + i * c->codec->unit_bytes, 1, x);
}

void lb_decode_int(const struct lb_coder *c, const void *codes, size_t n, int64_t *x)
{
    if (!c->table) {
        c->codec->decode_int(c->codec, codes, n, x);
        return;
    }
    for (size_t i = 0; i < n; i++)
        x[i] = (int64_t)c->values[lb_code_get(codes, c->codec->bits, i)];
}
