/* SPDX-License-Identifier: MIT */
/* lb_codec_laws must pass sound codecs of every shape, and must name the law that each of the faulty ones breaks. */
#include "core/base/mem.h"
#include "core/format/laws.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs the laws; the report is the caller's to free. */
static int laws(const struct lb_codec *c, char **report, struct lb_err *err)
{
    size_t size;
    FILE *out = open_memstream(report, &size);
    cr_assert_not_null(out);
    const int r = lb_codec_laws(c, out, err);
    fclose(out);
    return r;
}

/* ---- Sound codecs ----------------------------------------------------------------------------------------------------------------- */

/* sign | e bits | m bits, subnormals kept; `top`: 0 no specials, 1 IEEE, 2 NaN where all ones (E4M3), 3 NaN where the code is the sign alone (FNUZ). */
static double small_float(uint32_t code, int e, int m, int bias, int top)
{
    const uint32_t sign = code >> (e + m), magnitude = code & ((1u << (e + m)) - 1), exponent = magnitude >> m, ones = (1u << e) - 1;
    const double fraction = (double)(magnitude & ((1u << m) - 1));
    if (top == 1 && exponent == ones)
        return fraction > 0 ? (double)NAN : sign ? -INFINITY : INFINITY;
    if ((top == 2 && magnitude == (1u << (e + m)) - 1) || (top == 3 && sign && !magnitude))
        return NAN;
    const double v = exponent ? ldexp((double)(1u << m) + fraction, (int)exponent - bias - m) : ldexp(fraction, 1 - bias - m);
    return sign ? -v : v;
}

static double e4m3(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return small_float(code, 4, 3, 7, 2);
}

static double e5m2(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return small_float(code, 5, 2, 15, 1);
}

static double e4m3fnuz(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return small_float(code, 4, 3, 8, 3);
}

static double e3m2(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return small_float(code, 3, 2, 3, 0);
}

static double e8m0(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return code == 255 ? (double)NAN : ldexp(1, (int)code - 127);
}

/* Neighbours whose midpoint binary64 does not hold, duplicates, and codes in no order. */
static double odd_book(const struct lb_codec *c, uint32_t code)
{
    static const double book[16] = {0.1,    -1.0 / 3, 1e15, 0.1, 7,  1e-15, -0.0, 1.0 / 3,
                                    -1e-15, 2.0 / 3,  0.7,  -5,  -5, 1e8,   0,    0.30000000000000004};
    (void)c;
    return book[code];
}

static double integer(const struct lb_codec *c, uint32_t code)
{
    return (double)code - (c->kind == LB_SIGNED && code >> (c->bits - 1) ? (double)(1u << c->bits) : 0);
}

static double one_bit(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return code ? 1 : -1;
}

#define NAMED(n) .base = {LB_ABI, LB_CODEC, sizeof(struct lb_codec), n, "-"}
static const struct lb_codec sound[] = {
    {NAMED("E4M3"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .nan_code = 127, .value = e4m3},
    {NAMED("E4M3_NAN"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .overflow = LB_TO_NAN, .nan_code = 127,
     .value = e4m3},
    {NAMED("E4M3_AWAY"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .ties = LB_TIES_AWAY, .nan_code = 127,
     .value = e4m3},
    {NAMED("E5M2"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .overflow = LB_TO_INF, .nan_code = 126, .value = e5m2},
    {NAMED("E5M2_ZERO"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .ties = LB_TIES_ZERO, .nan_code = 126,
     .value = e5m2},
    {NAMED("E4M3FNUZ"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .nan_code = 128, .value = e4m3fnuz},
    {NAMED("E3M2"), .bits = 6, .unit_elems = 4, .unit_bytes = 3, .kind = LB_FLOAT, .value = e3m2},
    {NAMED("E8M0"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .nan_code = 255, .value = e8m0},
    {NAMED("ODD"), .bits = 4, .unit_elems = 2, .unit_bytes = 1, .kind = LB_CODEBOOK, .nan_code = 3, .value = odd_book},
    {NAMED("ODD_AWAY"), .bits = 4, .unit_elems = 2, .unit_bytes = 1, .kind = LB_CODEBOOK, .ties = LB_TIES_AWAY, .nan_code = 3,
     .value = odd_book},
    {NAMED("I5_WRAP"), .bits = 5, .unit_elems = 8, .unit_bytes = 5, .kind = LB_SIGNED, .overflow = LB_WRAP, .value = integer},
    {NAMED("U3"), .bits = 3, .unit_elems = 8, .unit_bytes = 3, .kind = LB_UNSIGNED, .value = integer},
    {NAMED("I11"), .bits = 11, .unit_elems = 8, .unit_bytes = 11, .kind = LB_SIGNED, .value = integer},
    {NAMED("SIGN"), .bits = 1, .unit_elems = 8, .unit_bytes = 1, .kind = LB_CODEBOOK, .value = one_bit},
};

Test(laws, sound_codecs_pass)
{
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        struct lb_err err = {0};
        char *report;
        const size_t had = lb_mem_now();
        cr_expect_eq(laws(&sound[i], &report, &err), 0, "%s\n%s", err.text, report);
        cr_expect_null(strstr(report, "FAILED"), "%s", report);
        cr_expect_eq(lb_mem_now(), had);
        free(report);
    }
}

/* ---- Faulty codecs ---------------------------------------------------------------------------------------------------------------- */

static unsigned calls;

static double moody(const struct lb_codec *c, uint32_t code)
{
    return integer(c, code) + (code == 3 && calls++ ? 0.25 : 0);
}

static uint32_t to_u8(float x)
{
    const double whole = nearbyint((double)x);
    return !(whole > 0) ? 0 : whole > 255 ? 255 : (uint32_t)whole;
}

static void ties_up(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)codes)[i] = (unsigned char)(x[i] == 2.5f ? 3 : to_u8(x[i]));
}

static void one_too_many(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    ties_up(c, x, n, codes);
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)codes)[i] = (unsigned char)to_u8(x[i]);
    ((unsigned char *)codes)[n] = 0;
}

/* Right but for the last of 17: a kernel's tail. */
static void bad_tail(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((const unsigned char *)codes)[i];
    if (n == 17)
        x[16] += 1;
}

static void other_nan(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        const double v = e4m3(c, ((const unsigned char *)codes)[i]);
        x[i] = isnan(v) ? -(float)NAN : (float)v;
    }
}

/* binary32 kept in 32 bits, its integers rounded twice where `fault` has 1, all cut where it has 2. */
static int fault;

static void f32_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        float f = (float)x[i];
        if (isinf(f) && how->overflow == LB_TO_NAN)
            f = NAN;
        if (isinf(f) && how->overflow == LB_SATURATE)
            f = copysignf(3.40282347e+38f, f);
        if (fault & 2 && fabsf(f) > 1 && fabs((double)f) > fabs(x[i]))
            f = nextafterf(f, 0);
        if ((how->rounding == LB_TOWARD_ZERO || how->rounding == LB_STOCHASTIC) && fabs((double)f) > fabs(x[i]))
            f = nextafterf(f, 0);
        if (how->rounding == LB_HALF_AWAY && isfinite(f) && fabs((double)f) < fabs(x[i])) {
            const float up = nextafterf(f, f > 0 || !signbit(f) ? INFINITY : -INFINITY);
            if (isfinite(up) && fabs(x[i]) - fabs((double)f) >= fabs((double)up) - fabs(x[i]))
                f = signbit(x[i]) ? -fabsf(up) : fabsf(up);
        }
        if (f == 0)
            f = copysignf(f, (float)copysign(1, x[i]));
        memcpy((char *)codes + 4 * i, &f, 4);
    }
}

static void f32_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, (const char *)codes + 4 * i, 4);
        x[i] = (double)f;
    }
}

static void f32_encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n,
                           void *codes)
{
    (void)is_unsigned;
    for (size_t i = 0; i < n; i++) {
        const float once = (float)x[i];
        const double twice = (double)x[i];
        if (fault & 1)
            f32_encode(c, how, &twice, 1, (char *)codes + 4 * i);
        else
            memcpy((char *)codes + 4 * i, &once, 4);
    }
}

#define U8_LIKE .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_UNSIGNED
#define F32_LIKE                                                                                                                           \
    .bits = 32, .unit_elems = 1, .unit_bytes = 4, .kind = LB_FLOAT, .encode = f32_encode, .decode = f32_decode, .encode_int = f32_encode_int
static const struct {
    struct lb_codec codec;
    int fault;
    const char *says[2]; /* what the report must hold */
} faulty[] = {
    {{NAMED("MOODY"), U8_LIKE, .value = moody},
     0,
     {"FAILED  MOODY: a value depends on its code alone: 1 of 256, the first: code 3 is 3, then 3.25"}},
    {{NAMED("NO_INF"), U8_LIKE, .overflow = LB_TO_INF, .value = integer}, 0, {"overflow is LB_TO_INF, but no code is +Inf"}},
    {{NAMED("NO_NAN"), U8_LIKE, .overflow = LB_TO_NAN, .value = integer}, 0, {"overflow is LB_TO_NAN, but no code is NaN"}},
    {{NAMED("NAN_CODE"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .nan_code = 5, .value = e4m3},
     0,
     {"nan_code 5 is "}},
    {{NAMED("TIES_UP"), U8_LIKE, .value = integer, .encode_f32 = ties_up},
     0,
     {"FAILED  TIES_UP: the fast encoder gives the derived codes: "}},
    {{NAMED("TAIL"), U8_LIKE, .value = integer, .decode_f32 = bad_tail}, 0, {"code 0x41, element 16 of 17: derived 65, fast 66"}},
    {{NAMED("OTHER_NAN"), .bits = 8, .unit_elems = 1, .unit_bytes = 1, .kind = LB_FLOAT, .nan_code = 127, .value = e4m3,
      .decode_f32 = other_nan},
     0,
     {"derived nan, fast nan (0x7fc00000 and 0xffc00000)"}},
    {{NAMED("WIDE"), F32_LIKE}, 3, {"FAILED  WIDE: rounding: nearest", "FAILED  WIDE: 64-bit integers are rounded once"}},
};

Test(laws, faulty_codecs_are_named)
{
    for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
        struct lb_err err = {0};
        char *report;
        calls = 0;
        fault = faulty[i].fault;
        cr_expect_eq(laws(&faulty[i].codec, &report, &err), -1, "%s: %s\n%s", faulty[i].codec.base.name, err.text, report);
        for (int k = 0; k < 2; k++)
            cr_expect(!faulty[i].says[k] || strstr(report, faulty[i].says[k]), "expected %s\n%s", faulty[i].says[k], report);
        free(report);
    }
}

/* It touches a page that cannot be touched: `lowbit verify` tries codecs in a process of their own. */
Test(laws, a_codec_that_writes_beyond_its_array_ends_the_process, .signal = SIGSEGV)
{
    static const struct lb_codec beyond = {NAMED("BEYOND"), U8_LIKE, .value = integer, .encode_f32 = one_too_many};
    struct lb_err err = {0};
    char *report;
    laws(&beyond, &report, &err);
}
