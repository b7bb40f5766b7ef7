/* SPDX-License-Identifier: MIT */
/* Every way of encoding that a codec admits, against brute.h; random rounding; and the codec that has an encoder of its own. */
#include "test/unit/brute.h"
#include "test/unit/nn_util.h"

#include "core/format/coder.h"
#include "kernels/canon.h"

enum { MAX_INPUTS = 6000 };

struct opened {
    struct lb_codec *codec;
    struct lb_coder *coder;
};

static struct opened open_coder(const char *name, const struct lb_param *params, size_t n)
{
    struct lb_err err = {0};
    struct opened o;
    const struct lb_entry *entry;
    cr_assert(!lb_plugins_codec(name, params, n, &o.codec, &entry, &err) && !lb_coder_create(o.codec, &o.coder, &err), "%s", err.text);
    return o;
}

static void close_coder(struct opened *o)
{
    lb_coder_destroy(o->coder);
    lb_plugins_codec_free(o->codec);
}

/* ---- Inputs ---- */

static double inputs[MAX_INPUTS];
static size_t n_inputs;

static void add(double x)
{
    cr_assert(n_inputs + 2 <= MAX_INPUTS);
    inputs[n_inputs++] = x;
    inputs[n_inputs++] = -x;
}

static void add_near(double x)
{
    add(x);
    add(nextafter(x, 0));
    add(nextafter(x, INFINITY));
}

/* Values of the codec, what lies halfway between them, the ends, all binades, wholes and halves, special values, random bits. */
static void make_inputs(const struct brute *b)
{
    n_inputs = 0;
    add(0);
    add(NAN);
    add(INFINITY);
    add_near((double)brute_largest(b));
    add_near((double)(brute_largest(b) + (b->exponent ? brute_step(b, brute_largest(b)) / 2 : 0.5L)));
    for (int k = -1074; k < 1024; k += k < -160 || k > 140 ? 37 : 3)
        add_near(ldexp(1, k));
    for (int i = 1; i < 24; i++) {
        add_near(i);
        add_near(i / 2.0);
        add(ldexp(1, 2 * i + 8) + 0.5);
        add(ldexp(3, 2 * i + 8) - 0.5);
    }
    for (uint64_t i = 0; i < 200; i++) {
        const canon_words r = canon_random64(1, 2, i);
        const uint64_t mask = b->bits == 64 ? UINT64_MAX : (UINT64_C(1) << b->bits) - 1;
        const uint64_t code = ((uint64_t)r.w[0] << 32 | r.w[1]) & mask;
        const long double v = brute_decode(b, code), step = b->exponent && isfinite(v) ? brute_step(b, fabsl(v)) : 1;
        add_near((double)v);
        add_near((double)(v + step / 2));
        add((double)(v + step * (long double)canon_unit(r.w[2])));
        add(ldexp((double)r.w[1], (int)(r.w[3] % 140) - 90));
        add((double)canon_float(r.w[3]));
    }
}

/* ---- All ways ---- */

static int admitted(const struct brute *b, int overflow)
{
    return overflow < 0 || overflow == LB_SATURATE || (overflow == LB_WRAP ? !b->exponent : b->has_specials);
}

static size_t failures;

static void check_code(const struct brute *b, const struct lb_encode *how, const char *from, long double x, uint64_t got, uint64_t want)
{
    if (got != want && failures++ < 5)
        cr_expect(0, "%s from %s, rounding %u, overflow %d: %.21Lg (%La): expected 0x%llx, got 0x%llx", b->name, from, how->rounding,
                  how->overflow, x, x, (unsigned long long)want, (unsigned long long)got);
}

/* The word of element i (docs/arithmetic.md, 8.6). Its upper 24 bits count. */
static uint32_t word(const struct lb_encode *how, size_t i)
{
    const uint64_t e = how->first + i;
    return canon_random64(how->seed, how->stream, e / 4).w[e % 4] & ~UINT32_C(0xff);
}

static void one_way(const struct brute *b, const struct lb_coder *c, const struct lb_encode *how)
{
    static float x32[MAX_INPUTS];
    static int64_t whole[MAX_INPUTS];
    static unsigned char f64[8 * MAX_INPUTS], f32[8 * MAX_INPUTS], derived[8 * MAX_INPUTS], i64[8 * MAX_INPUTS], u64[8 * MAX_INPUTS];
    for (size_t i = 0; i < n_inputs; i++) {
        x32[i] = (float)inputs[i];
        whole[i] = (int64_t)(uint64_t)brute_encode(&brutes[8], LB_NEAREST, LB_WRAP, (long double)inputs[i] * (i % 3 ? 1 : 0x1p40L), 0);
    }
    lb_encode_f64(c, how, inputs, n_inputs, f64);
    lb_encode_f32(c, how, x32, n_inputs, f32);
    lb_encode_f32_derived(c, how, x32, n_inputs, derived);
    lb_encode_int(c, how, whole, 0, n_inputs, i64);
    lb_encode_int(c, how, whole, 1, n_inputs, u64);
    const unsigned bits = (unsigned)b->bits;
    for (size_t i = 0; i < n_inputs; i++) {
        const uint32_t random = word(how, i);
        const uint64_t want32 = brute_encode(b, how->rounding, how->overflow, (long double)x32[i], random);
        const long double s = (long double)whole[i], u = (long double)(uint64_t)whole[i];
        check_code(b, how, "f64", (long double)inputs[i], lb_code_get(f64, bits, i),
                   brute_encode(b, how->rounding, how->overflow, (long double)inputs[i], random));
        check_code(b, how, "f32", (long double)x32[i], lb_code_get(f32, bits, i), want32);
        check_code(b, how, "f32, derived", (long double)x32[i], lb_code_get(derived, bits, i), want32);
        check_code(b, how, "i64", s, lb_code_get(i64, bits, i), brute_encode(b, how->rounding, how->overflow, s, random));
        check_code(b, how, "u64", u, lb_code_get(u64, bits, i), brute_encode(b, how->rounding, how->overflow, u, random));
    }
}

Test(coder, every_way)
{
    load_plugins();
    for (size_t i = 0; i < ALL_BRUTES; i++) {
        const struct brute *b = &brutes[i];
        struct opened o = open_coder(b->name, NULL, 0);
        make_inputs(b);
        failures = 0;
        for (uint32_t rounding = LB_NEAREST; rounding <= LB_STOCHASTIC; rounding++)
            for (int overflow = -1; overflow <= LB_WRAP; overflow++) {
                const struct lb_encode how = {.rounding = rounding, .overflow = overflow, .seed = 77, .stream = 5, .first = 1000};
                struct lb_err err = {0};
                const int r = lb_coder_check(o.coder, &how, &err);
                cr_expect_eq(r, admitted(b, overflow) ? 0 : -1, "%s, rounding %u, overflow %d: %s", b->name, rounding, overflow, err.text);
                if (!r)
                    one_way(b, o.coder, &how);
            }
        cr_expect_eq(failures, 0, "%s: %zu codes are wrong", b->name, failures);
        close_coder(&o);
    }
    drop_all();
}

/* What the codes mean, and what lies beyond all of them. */
Test(coder, ranges_and_values)
{
    load_plugins();
    for (size_t i = 0; i < ALL_BRUTES; i++) {
        const struct brute *b = &brutes[i];
        struct opened o = open_coder(b->name, NULL, 0);
        double low, high;
        lb_coder_range(o.coder, &low, &high);
        cr_expect(low == (double)brute_smallest(b) && high == (double)brute_largest(b), "%s: from %g to %g", b->name, low, high);
        make_inputs(b);
        for (size_t j = 0; j < n_inputs; j++) {
            const double x = (double)(float)inputs[j]; /* what it is asked about is binary32 */
            cr_expect_eq(lb_coder_beyond(o.coder, x) != 0, brute_beyond(b, (long double)x), "%s: %a", b->name, x);
        }
        const double *values = lb_coder_values(o.coder);
        cr_expect_eq(values != NULL, b->bits <= 16);
        for (uint64_t code = 0; values && code < UINT64_C(1) << b->bits; code++) {
            const double want = (double)brute_decode(b, code);
            cr_expect(values[code] == want || (isnan(values[code]) && isnan(want)), "%s: code %llu", b->name, (unsigned long long)code);
        }
        close_coder(&o);
    }
    drop_all();
}

/* ---- Random rounding ---- */

/* The words come by element: a part encoded by itself, from where it begins, gives the codes that it has in the whole. */
Test(coder, stochastic_by_element)
{
    enum { N = 1500, PART = 516 }; /* whole bytes of any codec */
    static float x[N];
    static unsigned char all[N * 8], part[N * 8], other[N * 8];
    load_plugins();
    for (size_t i = 0; i < N; i++)
        x[i] = 8 * canon_unit(canon_random64(3, 1, i).w[0]) - 4;
    for (size_t i = 2; i < ALL_BRUTES; i++) {
        struct opened o = open_coder(brutes[i].name, NULL, 0);
        struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = -1, .seed = 5, .stream = 6, .first = 100};
        size_t bytes, skipped;
        cr_assert(!lb_coder_bytes(o.coder, N, &bytes) && !lb_coder_bytes(o.coder, PART, &skipped));
        lb_encode_f32(o.coder, &how, x, N, all);
        lb_encode_f32(o.coder, &how, x, N, other);
        cr_expect_arr_eq(all, other, bytes, "%s: twice", brutes[i].name);
        how.first += PART;
        lb_encode_f32(o.coder, &how, x + PART, N - PART, part);
        cr_expect_arr_eq(all + skipped, part, bytes - skipped, "%s: a part", brutes[i].name);
        how.first = 100;
        how.stream = 7;
        lb_encode_f32(o.coder, &how, x, N, other);
        cr_expect_arr_neq(all, other, bytes, "%s: another stream", brutes[i].name);
        how.stream = 6;
        how.seed += UINT64_C(1) << 32;
        lb_encode_f32(o.coder, &how, x, N, other);
        cr_expect_arr_neq(all, other, bytes, "%s: another seed", brutes[i].name);
        close_coder(&o);
    }
    drop_all();
}

/* The mean of what x becomes is x: within five standard deviations of the mean of N draws between two neighbours. */
Test(coder, stochastic_is_unbiased)
{
    enum { N = 40000 };
    static const struct {
        const char *codec;
        double x, low, high;
    } rows[] = {{"F4", 0.1, 0, 0.5},
                {"F4", -3.8, -4, -3},
                {"F4", 5.5, 4, 6},
                {"F8_E4M3", 0.0003, 0, 0x1p-9},
                {"F8_E5M2FNUZ", -1.1, -1.25, -1},
                {"F6_E3M2", 27.5, 24, 28},
                {"F8_E8M0", 2.5, 2, 4},
                {"NF4", 0.05, 0, 0.07958029955625534},
                {"TERNARY", -0.4, -1, 0},
                {"I8", 2.25, 2, 3},
                {"I8", -0.9, -1, 0},
                {"F16", 1 + 0x1p-13, 1, 1 + 0x1p-10},
                {"BF16", -1.001, -1 - 0x1p-7, -1},
                {"I32", -7.7, -8, -7},
                {"U64", 0.5, 0, 1},
                {"F32", -1 - 0x1p-25, -1 - 0x1p-23, -1}};
    static double x[N], back[N];
    static unsigned char codes[8 * N];
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct opened o = open_coder(rows[i].codec, NULL, 0);
        const struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = -1, .seed = 11, .stream = (uint32_t)i};
        double sum = 0;
        for (size_t j = 0; j < N; j++)
            x[j] = rows[i].x;
        lb_encode_f64(o.coder, &how, x, N, codes);
        lb_decode_f64(o.coder, codes, N, back);
        for (size_t j = 0; j < N; j++) {
            cr_assert(back[j] == rows[i].low || back[j] == rows[i].high, "%s: %g became %g", rows[i].codec, rows[i].x, back[j]);
            sum += back[j] - rows[i].x;
        }
        const double up = (rows[i].x - rows[i].low) / (rows[i].high - rows[i].low),
                     deviation = (rows[i].high - rows[i].low) * sqrt(up * (1 - up) / N);
        cr_expect(fabs(sum / N) < 5 * deviation, "%s: the mean of %g is off by %g, %.1f deviations", rows[i].codec, rows[i].x, sum / N,
                  sum / N / deviation);
        close_coder(&o);
    }
    drop_all();
}

/* Up where word < 2^24 (x - low) / (high - low), and not where they are equal. */
Test(coder, stochastic_decides_exactly)
{
    enum { N = 100 };
    static const struct {
        const char *codec;
        double low, high;
    } rows[] = {{"F4", 4, 6},    {"F4", -3, -2}, {"I8", 5, 6}, {"I16", -9, -8}, {"F16", 1, 1 + 0x1p-10}, {"BF16", -2, -2 + 0x1p-7},
                {"I32", -6, -5}, {"U64", 0, 1}};
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct opened o = open_coder(rows[i].codec, NULL, 0);
        const struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = -1, .seed = 2, .stream = 3};
        double x[N], y[N];
        unsigned char codes[8 * N];
        for (int above = 0; above < 1000; above = above * 256 + 1) { /* 0, 1 and 257 times 2^-32 */
            for (size_t j = 0; j < N; j++)
                x[j] = rows[i].low + (rows[i].high - rows[i].low) * 0x1p-32 * ((double)word(&how, j) + above);
            lb_encode_f64(o.coder, &how, x, N, codes);
            lb_decode_f64(o.coder, codes, N, y);
            for (size_t j = 0; j < N; j++)
                cr_expect(y[j] == (above ? rows[i].high : rows[i].low), "%s: %a became %a", rows[i].codec, x[j], y[j]);
        }
        close_coder(&o);
    }
    drop_all();
}

/* Where x - low does not fit the type of the input it is rounded, which can decide: 1 - 2^-24 j and a little is 1 - 2^-24 j in binary32. */
Test(coder, stochastic_in_the_type_of_the_input)
{
    load_plugins();
    struct opened o = open_coder("I8", NULL, 0);
    struct lb_encode how = {.rounding = LB_STOCHASTIC, .overflow = -1, .seed = 2, .stream = 3};
    size_t found = 0;
    for (how.first = 0; how.first < 200000; how.first++) {
        const double below_one = (double)((UINT32_C(1) << 24) - (word(&how, 0) >> 8)) * 0x1p-24;
        if (below_one > 0x1p-12)
            continue;
        const float narrow = nextafterf(-(float)below_one, 0);
        const double x = (double)narrow;
        uint8_t from_f64, from_f32;
        lb_encode_f64(o.coder, &how, &x, 1, &from_f64);
        lb_encode_f32(o.coder, &how, &narrow, 1, &from_f32);
        found++;
        cr_expect(from_f64 == 0 && from_f32 == 0xff, "element %zu, %a: %u, %u", (size_t)how.first, x, from_f64, from_f32);
    }
    cr_expect(found > 10);
    close_coder(&o);
    drop_all();
}

/* ---- Intervals as data ---- */

static float from_key(int32_t key)
{
    return canon_float(key < 0 ? (uint32_t)INT32_MIN - (uint32_t)key - 1u : (uint32_t)key);
}

static int32_t to_key(float x)
{
    const int32_t b = (int32_t)canon_bits(x);
    return b < 0 ? INT32_MIN - b - 1 : b;
}

static uint32_t by_coder(const struct lb_coder *c, const struct lb_encode *how, float x)
{
    unsigned char code[2] = {0};
    lb_encode_f32_derived(c, how, &x, 1, code);
    return (uint32_t)lb_code_get(code, lb_coder_codec(c)->bits, 0);
}

/* Both sides of every boundary, and the inputs. */
static void check_intervals(const struct lb_coder *c, const struct lb_encode *how, const char *name)
{
    struct lb_err err = {0};
    size_t n;
    int32_t *first;
    uint32_t *code;
    cr_assert(!lb_coder_intervals(c, how, &n, &first, &code, &err), "%s", err.text);
    cr_expect(n && first[0] == INT32_MIN, "%s: %zu intervals", name, n);
    for (size_t i = 0; i < n; i++) {
        const float x = i ? from_key(first[i]) : -INFINITY, below = i ? from_key(first[i] - 1) : x;
        cr_expect((!i || first[i] > first[i - 1]) && x == x && by_coder(c, how, x) == code[i] &&
                      by_coder(c, how, below) == code[i ? i - 1 : 0],
                  "%s, rounding %u, overflow %d: interval %zu of %zu from %a, code %u", name, how->rounding, how->overflow, i, n, (double)x,
                  code[i]);
    }
    for (size_t j = 0; j < n_inputs; j++) {
        const float x = (float)inputs[j];
        size_t i = 0;
        for (size_t high = n; high - i > 1;)
            *(first[(i + high) / 2] <= to_key(x) ? &i : &high) = (i + high) / 2;
        cr_expect(x != x || code[i] == by_coder(c, how, x), "%s: %a is in interval %zu", name, (double)x, i);
    }
    lb_free(first);
    lb_free(code);
}

Test(coder, intervals)
{
    load_plugins();
    for (size_t k = 0; k < ALL_BRUTES; k++) {
        const struct brute *b = &brutes[k];
        struct opened o = open_coder(b->name, NULL, 0);
        size_t n;
        int32_t *first;
        uint32_t *code;
        make_inputs(b);
        for (uint32_t rounding = 0; rounding < LB_STOCHASTIC; rounding++)
            for (int overflow = -1; overflow < LB_WRAP; overflow++) {
                const struct lb_encode how = {.rounding = rounding, .overflow = overflow};
                if (b->bits <= 16 && admitted(b, overflow))
                    check_intervals(o.coder, &how, b->name);
            }
        const struct lb_encode wraps = {.overflow = b->bits > 16 ? -1 : LB_WRAP};
        cr_expect(lb_coder_intervals(o.coder, &wraps, &n, &first, &code, NULL) && !n && !first && !code, "%s", b->name);
        close_coder(&o);
    }
    struct opened loom = open_coder("LOOM_F4", NULL, 0);
    check_intervals(loom.coder, &(struct lb_encode){.overflow = -1}, "LOOM_F4");
    close_coder(&loom);
    drop_all();
}

Test(coder, members)
{
    load_plugins();
    struct opened o = open_coder("F4", NULL, 0);
    static const double want[] = {-6, -4, -3, -2, -1.5, -1, -0.5, -0.0, 0, 0.5, 1, 1.5, 2, 3, 4, 6};
    const double *values;
    const uint32_t *codes;
    size_t n;
    lb_coder_members(o.coder, &n, &values, &codes);
    cr_assert(n == COUNT(want));
    for (size_t i = 0; i < n; i++)
        cr_expect(values[i] == want[i] && signbit(values[i]) == signbit(want[i]) && lb_coder_values(o.coder)[codes[i]] == want[i]);
    close_coder(&o);
    drop_all();
}

/* ---- LOOM_F4 ---- */

/* FACTS 1c, encoder a. */
static uint32_t loom_a(float x)
{
    const float a = fabsf(x);
    const uint32_t m = a < 0.125f ? 0 : a < 1 ? 1 : a < 1.5f ? 2 : a < 2 ? 3 : a < 3 ? 4 : a < 4 ? 5 : 7;
    return isnan(x) ? 7 : m | (signbit(x) ? 8 : 0);
}

/* Encoder b, on the bits of binary32: exponent below 0 as 0 (its code is that of the fraction's top bit), above 2 as 2; subnormals
 * are 0. */
static uint32_t loom_b(float x)
{
    const uint32_t u = canon_bits(x), exponent = u >> 23 & 255, top = u >> 22 & 1, sign = u >> 31 << 3;
    if (isnan(x))
        return 7;
    return sign | (exponent == 0 ? 0 : exponent < 127 ? top : exponent == 127 ? 2 | top : exponent == 128 ? 4 | top : 6 | top);
}

static void check_loom(const char *encoder, uint32_t (*want)(float))
{
    static const float edges[] = {0,
                                  0x1p-149f,
                                  0x1.8p-127f,
                                  0x1.fffffcp-127f,
                                  0x1p-126f,
                                  0x1.8p-126f,
                                  0x1p-30f,
                                  0x1.8p-30f,
                                  0.09375f,
                                  0.125f,
                                  0.1875f,
                                  0.25f,
                                  0.375f,
                                  0.5f,
                                  0.75f,
                                  1,
                                  1.5f,
                                  2,
                                  3,
                                  4,
                                  5,
                                  6,
                                  7,
                                  8,
                                  12,
                                  1e30f,
                                  0x1p127f,
                                  0x1.8p127f,
                                  0x1.fffffep127f,
                                  INFINITY,
                                  NAN};
    static float x[12 * COUNT(edges) + 4000];
    static unsigned char codes[sizeof x];
    const struct lb_param param = {"encoder", 0, encoder};
    struct opened o = open_coder("LOOM_F4", &param, 1);
    size_t n = 0;
    for (size_t i = 0; i < COUNT(edges); i++)
        for (int sign = 1; sign >= -1; sign -= 2)
            for (int step = -1; step <= 1; step++)
                x[n++] = (float)sign * (step ? nextafterf(edges[i], step < 0 ? 0 : INFINITY) : edges[i]);
    for (uint64_t i = 0; i < 4000; i++)
        x[n++] = canon_float(canon_random64(1, 4, i).w[0]);
    lb_encode_f32(o.coder, NULL, x, n, codes);
    for (size_t i = 0; i < n; i++)
        cr_expect_eq(lb_code_get(codes, 4, i), want(x[i]), "encoder %s: %a: expected %u, got %u", encoder, (double)x[i], want(x[i]),
                     (unsigned)lb_code_get(codes, 4, i));
    static const double values[8] = {0, 0.75, 1, 1.5, 2, 3, INFINITY, NAN};
    for (uint32_t code = 0; code < 16; code++) {
        const double v = lb_coder_values(o.coder)[code], w = code & 8 ? -values[code & 7] : values[code & 7];
        cr_expect((isnan(v) && isnan(w)) || (v == w && signbit(v) == signbit(w)), "code %u is %g", code, v);
    }
    cr_expect(!lb_coder_beyond(o.coder, 3) && !lb_coder_beyond(o.coder, -3) && lb_coder_beyond(o.coder, 4) && lb_coder_beyond(o.coder, -4));
    close_coder(&o);
}

Test(coder, loom)
{
    load_plugins();
    check_loom("a", loom_a);
    check_loom("b", loom_b);
    struct opened o = open_coder("LOOM_F4", NULL, 0);
    for (uint32_t rounding = LB_NEAREST; rounding <= LB_STOCHASTIC; rounding++)
        for (int overflow = -1; overflow <= LB_WRAP; overflow++) {
            struct lb_err err = {0};
            const struct lb_encode how = {.rounding = rounding, .overflow = overflow};
            cr_expect_eq(lb_coder_check(o.coder, &how, &err), rounding == LB_NEAREST && overflow < 0 ? 0 : -1, "rounding %u, overflow %d",
                         rounding, overflow);
        }
    close_coder(&o);
    drop_all();
}
