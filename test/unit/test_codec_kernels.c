/* SPDX-License-Identifier: MIT */
/* The fast codec kernels: plain C against AVX2, bit for bit. That the plain ones are right is what test_codec_vectors and `lowbit verify` show. */
#include "kernels/canon.h"
#include "kernels/cpu/codec_kernels.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

typedef void encode_fn(const float *x, size_t n, void *codes);
typedef void decode_fn(const void *codes, size_t n, float *x);

static const struct codec {
    const char *name;
    unsigned bits;
    encode_fn *encode_c, *encode_avx2;
    decode_fn *decode_c, *decode_avx2;
} codecs[] = {{"F16", 16, lb_f16_encode_c, lb_f16_encode_avx2, lb_f16_decode_c, lb_f16_decode_avx2},
              {"BF16", 16, lb_bf16_encode_c, lb_bf16_encode_avx2, lb_bf16_decode_c, lb_bf16_decode_avx2},
              {"I8", 8, lb_i8_encode_c, lb_i8_encode_avx2, lb_i8_decode_c, lb_i8_decode_avx2},
              {"F4", 4, lb_fp4_encode_c, lb_fp4_encode_avx2, lb_fp4_decode_c, lb_fp4_decode_avx2}};

enum { RANDOM = 1 << 20, MARGIN = 8, SHIFTS = 3 };

static void need_avx2(void)
{
    if (!lb_codec_avx2())
        cr_skip_test("this CPU has no AVX2 with FMA");
}

/* A zeroed array with a margin. */
static void *array(size_t bytes)
{
    void *p = calloc(bytes + 2 * MARGIN, 1);
    cr_assert_not_null(p);
    return p;
}

/* n numbers with both kernels, codes at an odd address; n even. */
static void check_encode(const struct codec *c, const float *x, size_t n, size_t shift)
{
    const size_t bytes = n * c->bits / 8;
    unsigned char *want = array(bytes), *got = array(bytes);
    c->encode_c(x, n, want);
    c->encode_avx2(x, n, got + shift);
    for (size_t i = 0; i < bytes; i++)
        cr_assert(want[i] == got[shift + i], "%s: encode, n=%zu: byte %zu: expected 0x%02x, got 0x%02x; of 0x%08x", c->name, n, i, want[i],
                  got[shift + i], canon_bits(x[i * 8 / c->bits]));
    for (size_t i = 0; i < bytes + 2 * MARGIN; i++)
        cr_assert((i >= shift && i < shift + bytes) || !got[i], "%s: encode, n=%zu: wrote byte %td of %zu", c->name, n,
                  (ptrdiff_t)(i - shift), bytes);
    free(want);
    free(got);
}

static void check_decode(const struct codec *c, const unsigned char *codes, size_t n, size_t shift)
{
    float *want = array(n * sizeof *want), *got = array((n + SHIFTS) * sizeof *got);
    c->decode_c(codes, n, want);
    c->decode_avx2(codes, n, got + shift);
    for (size_t i = 0; i < n; i++)
        cr_assert(canon_bits(want[i]) == canon_bits(got[shift + i]), "%s: decode, n=%zu: [%zu]: expected 0x%08x, got 0x%08x", c->name, n, i,
                  canon_bits(want[i]), canon_bits(got[shift + i]));
    for (size_t i = 0; i < n + SHIFTS; i++)
        cr_assert((i >= shift && i < shift + n) || !canon_bits(got[i]), "%s: decode, n=%zu: wrote beside", c->name, n);
    free(want);
    free(got);
}

Test(codec_kernels, every_code)
{
    need_avx2();
    for (size_t k = 0; k < COUNT(codecs); k++) {
        const size_t n = codecs[k].bits == 4 ? 512 : (size_t)1 << codecs[k].bits; /* F4: every pair */
        unsigned char *codes = array(2 * n);
        for (size_t i = 0; i < n; i++) {
            if (codecs[k].bits == 16)
                memcpy(codes + 2 * i, &(uint16_t){(uint16_t)i}, 2);
            else
                codes[codecs[k].bits == 4 ? i / 2 : i] = (unsigned char)(codecs[k].bits == 4 ? i / 2 : i);
        }
        for (size_t shift = 0; shift < SHIFTS; shift++)
            check_decode(&codecs[k], codes, n, shift);
        free(codes);
    }
}

/* Around every number that lies halfway between two values, and around every value: the binary32 neighbours on both sides. */
Test(codec_kernels, every_boundary)
{
    need_avx2();
    for (size_t k = 0; k < COUNT(codecs); k++) {
        const struct codec *c = &codecs[k];
        const size_t n = c->bits == 4 ? 16 : (size_t)1 << c->bits;
        float *value = array(n * sizeof *value), *x = array(n * 12 * sizeof *x);
        unsigned char *codes = array(2 * n);
        for (size_t i = 0; i < n; i++)
            if (c->bits == 16)
                memcpy(codes + 2 * i, &(uint16_t){(uint16_t)i}, 2);
            else
                codes[c->bits == 4 ? i / 2 : i] |= (unsigned char)(c->bits == 4 ? i << 4 * (i % 2) : i);
        c->decode_c(codes, n, value);
        size_t m = 0;
        for (size_t i = 0; i < n; i++) {
            const float next = value[(i + 1) % n], middle = 0.5f * value[i] + 0.5f * next;
            for (uint32_t d = 0; d < 5; d++) {
                x[m++] = canon_float(canon_bits(middle) + d - 2);
                x[m++] = canon_float(canon_bits(value[i]) + d - 2);
            }
        }
        check_encode(c, x, m, 1);
        free(value);
        free(x);
        free(codes);
    }
}

static float *random_patterns(void)
{
    float *x = array(RANDOM * sizeof *x);
    for (size_t i = 0; i < RANDOM / 4; i++) {
        const canon_words r = canon_random64(7, 0, i);
        memcpy(x + 4 * i, r.w, sizeof r.w);
    }
    return x;
}

Test(codec_kernels, random_patterns)
{
    need_avx2();
    float *x = random_patterns();
    for (size_t k = 0; k < COUNT(codecs); k++) {
        check_encode(&codecs[k], x, RANDOM, 1);
        for (size_t i = 0; i < RANDOM; i++) /* and in the range of the codecs */
            if (i % 2)
                x[i] = (float)(int32_t)canon_bits(x[i]) * 0x1p-24f;
        check_encode(&codecs[k], x, RANDOM, 3);
    }
    free(x);
}

/* Every length around the vectors, every alignment. */
Test(codec_kernels, lengths_and_addresses)
{
    need_avx2();
    float *x = random_patterns();
    for (size_t k = 0; k < COUNT(codecs); k++)
        for (size_t n = 0; n < 200; n += codecs[k].bits == 4 ? 2 : 1)
            for (size_t shift = 0; shift < SHIFTS; shift++) {
                check_encode(&codecs[k], x + n + shift, n, shift);
                check_decode(&codecs[k], (unsigned char *)x + n + shift, n, shift);
            }
    free(x);
}
