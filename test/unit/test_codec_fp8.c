/* SPDX-License-Identifier: MIT */
/* The kernels of 8-bit floats (and E2M1's for AVX-512): plain C against AVX2 and AVX-512 VBMI, bit for bit. That one of them is right is what
 * `lowbit verify` and test_codec_vectors show. */
#include "kernels/canon.h"
#include "kernels/cpu/codec_fp8.h"
#include "kernels/cpu/codec_kernels.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct lb_minifloat formats[] = {
    {4, 3, 7, 0, LB_NAN_ONE, 0},   {5, 2, 15, 1, LB_NAN_IEEE, 0}, {4, 3, 8, 0, LB_NAN_FNUZ, 0},  {5, 2, 16, 0, LB_NAN_FNUZ, 0},
    {4, 3, 11, 0, LB_NAN_FNUZ, 0}, {4, 3, 7, 1, LB_NAN_IEEE, 0},  {3, 4, 3, 1, LB_NAN_IEEE, 0},  {6, 1, 31, 0, LB_NAN_NONE, 0},
    {1, 6, 1, 1, LB_NAN_ONE, 0},   {2, 5, 0, 0, LB_NAN_ONE, 0},   {4, 3, 100, 0, LB_NAN_ONE, 0},
};

static const struct lb_minifloat *current;

static double value(uint32_t code)
{
    return lb_minifloat_value(current, code);
}

static const struct way {
    const char *name;
    int (*here)(void);
    void (*encode)(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes);
    void (*decode)(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x);
} ways[] = {{"AVX2", lb_codec_avx2, lb_fp8_encode_avx2, lb_fp8_decode_avx2},
            {"VBMI", lb_codec_vbmi, lb_fp8_encode_vbmi, lb_fp8_decode_vbmi}};

enum { MOST = 1 << 16, GUARD = 64, FILL = 0xa5 };
static float x[MOST + GUARD], back[MOST + GUARD], want_back[MOST + GUARD];
static unsigned char codes[MOST + GUARD], want[MOST + GUARD];

static void check_encode(const struct way *w, const struct lb_fp8 *t, size_t format, const float *in, size_t n, size_t shift)
{
    memset(codes, FILL, n + GUARD);
    lb_fp8_encode_c(t, in, n, want);
    w->encode(t, in, n, codes + shift);
    for (size_t i = 0; i < n; i++)
        cr_assert(codes[shift + i] == want[i], "%s, format %zu, n=%zu: code of 0x%08x: expected 0x%02x, got 0x%02x", w->name, format, n,
                  canon_bits(in[i]), want[i], codes[shift + i]);
    for (size_t i = 0; i < n + GUARD; i++)
        cr_assert((i >= shift && i < shift + n) || codes[i] == FILL, "%s: n=%zu: wrote byte %zu", w->name, n, i);
}

static void check_decode(const struct way *w, const struct lb_fp8 *t, size_t format, const unsigned char *in, size_t n, size_t shift)
{
    memset(back, FILL, (n + GUARD) * sizeof *back);
    lb_fp8_decode_c(t, in, n, want_back);
    w->decode(t, in, n, back + shift);
    for (size_t i = 0; i < n; i++)
        cr_assert(canon_bits(back[shift + i]) == canon_bits(want_back[i]),
                  "%s, format %zu, n=%zu: code 0x%02x: expected 0x%08x, got 0x%08x", w->name, format, n, in[i], canon_bits(want_back[i]),
                  canon_bits(back[shift + i]));
    for (size_t i = 0; i < n + GUARD; i++)
        cr_assert((i >= shift && i < shift + n) || canon_bits(back[i]) == 0xa5a5a5a5u, "%s: n=%zu: wrote element %zu", w->name, n, i);
}

/* Every value, what lies halfway to the next, the limit, each with its neighbours; special numbers; then random ones of all sizes. */
static void fill(const struct lb_fp8 *t)
{
    static const uint32_t special[] = {0,          1,          0x007fffff, 0x00800000, 0x7f7fffff, 0x7f800000,
                                       0x7f800001, 0x7fc00000, 0x7fffffff, 0x3f800000, 0x34000000};
    size_t n = 0;
    for (uint32_t code = 0; code < 256; code++)
        for (uint32_t d = 0; d < 5; d++) {
            const float next = t->value[(code + 1) % 256];
            x[n++] = canon_float(canon_bits(t->value[code]) + d - 2);
            x[n++] = canon_float(canon_bits(0.5f * t->value[code] + 0.5f * next) + d - 2);
        }
    for (size_t i = 0; i < COUNT(special); i++) {
        x[n++] = canon_float(special[i]);
        x[n++] = canon_float(special[i] | 0x80000000);
    }
    for (size_t i = 0; n < MOST; i++) {
        const canon_words r = canon_random64(31, 7, i);
        x[n++] = i % 2 ? canon_float(r.w[0]) : (float)CANON_INT(r.w[0]) * 0x1p-31f * t->value[r.w[1] % t->finite] * 4;
    }
}

Test(codec_fp8, every_form_gives_the_same_bits)
{
    size_t tried = 0;
    for (size_t f = 0; f < COUNT(formats); f++) {
        struct lb_fp8 t;
        current = &formats[f];
        memset(&t, 0, sizeof t);
        lb_fp8_init(&t, value, current);
        fill(&t);
        for (size_t k = 0; k < COUNT(ways); k++) {
            if (!ways[k].here())
                continue;
            tried++;
            check_encode(&ways[k], &t, f, x, MOST, 1);
            for (size_t i = 0; i < MOST; i++) /* every code, first alone among finite ones */
                want[i] = (unsigned char)(i < 256 * 64 && i % 64 ? 1 : i < 256 * 64 ? i / 64 : canon_random64(3, 3, i).w[0]);
            check_decode(&ways[k], &t, f, want, MOST, 0);
            check_decode(&ways[k], &t, f, want, MOST - 3, 3);
            for (size_t n = 0; n < 200; n++)
                for (size_t shift = 0; shift < 3; shift++) {
                    check_encode(&ways[k], &t, f, x + 7 * n + shift, n, shift);
                    memcpy(want, codes, n + GUARD);
                    check_decode(&ways[k], &t, f, want + shift, n, shift);
                }
        }
    }
    if (!tried)
        cr_skip_test("this CPU has no AVX2 with FMA");
}

/* Powers of two without a sign: decoded by the same tables, never encoded. */
static double power(uint32_t code)
{
    return code == 255 ? (double)NAN : ldexp(1, (int)code - 127);
}

Test(codec_fp8, tables_of_any_codec)
{
    struct lb_fp8 t;
    memset(&t, 0, sizeof t);
    lb_fp8_init(&t, power, NULL);
    cr_expect(!t.encodes && t.value[0] == 0x1p-127f && canon_bits(t.value[255]) == 0x7fc00000);
    for (size_t i = 0; i < 1000; i++)
        want[i] = (unsigned char)i;
    for (size_t k = 0; k < COUNT(ways); k++)
        if (ways[k].here())
            check_decode(&ways[k], &t, 0, want, 1000, 1);
}

Test(codec_fp8, e2m1_with_avx512)
{
    static unsigned char got[MOST + GUARD];
    struct lb_fp8 t;
    if (!lb_codec_vbmi())
        cr_skip_test("this CPU has no AVX-512 with VBMI");
    current = &formats[0];
    memset(&t, 0, sizeof t);
    lb_fp8_init(&t, value, current);
    fill(&t);
    for (size_t i = 0; i < 64; i++) /* where E2M1 decides */
        x[i] = canon_float(canon_bits((float[]){0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, 6}[i / 8]) + (uint32_t)(i % 4) - 1) *
               (i % 8 < 4 ? 1.0f : -1.0f);
    for (size_t n = 0; n <= MOST; n = n < 300 ? n + 2 : n * 6 + 2)
        for (size_t shift = 0; shift < 3; shift++) {
            memset(got, FILL, sizeof got);
            lb_fp4_encode_c(x + shift, n, want);
            lb_fp4_encode_vbmi(x + shift, n, got + shift);
            for (size_t i = 0; i < n / 2; i++)
                cr_assert(got[shift + i] == want[i], "n=%zu: codes of 0x%08x, 0x%08x: expected 0x%02x, got 0x%02x", n,
                          canon_bits(x[shift + 2 * i]), canon_bits(x[shift + 2 * i + 1]), want[i], got[shift + i]);
            for (size_t i = 0; i < sizeof got; i++)
                cr_assert((i >= shift && i < shift + n / 2) || got[i] == FILL, "n=%zu: wrote byte %zu", n, i);
        }
}
