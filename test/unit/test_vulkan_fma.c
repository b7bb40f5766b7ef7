/* SPDX-License-Identifier: MIT */
/* The fused multiply-add that the backend vulkan makes of binary64: the text of kernels/vulkan/fma.glsl, compiled as C, against fmaf on hard triples. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static int64_t doubleBitsToInt64(double x)
{
    int64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static double int64BitsToDouble(int64_t u)
{
    double x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* GLSL's conversions; a name that no parenthesis follows stays a type. */
#define float(x) ((float)(x))
#define double(x) ((double)(x))
#define int64_t(x) ((int64_t)(x))
#define abs(x)     fabs(x)
float fma_float64(float a, float b, float c);
#include "kernels/vulkan/fma.glsl"
#undef float
#undef double
#undef int64_t
#undef abs

static uint64_t state = 1;

static uint32_t word(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float number(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* A biased exponent from `least` up to `spread` - 1 more. */
static float around(uint32_t least, uint32_t spread)
{
    return number((word() & 0x807FFFFFu) | (least + word() % spread) << 23);
}

static void check(float a, float b, float c)
{
    const float wanted = fmaf(a, b, c), found = fma_float64(a, b, c);
    cr_assert(bits(wanted) == bits(found) || (isnan(wanted) && isnan(found)), "fma(0x%08X, 0x%08X, 0x%08X): expected 0x%08X, got 0x%08X",
              bits(a), bits(b), bits(c), bits(wanted), bits(found));
}

enum { CASES = 1 << 19 };

Test(vulkan_fma, any_bits)
{
    for (int i = 0; i < CASES; i++)
        check(number(word()), number(word()), number(word()));
}

Test(vulkan_fma, ordinary)
{
    for (int i = 0; i < CASES; i++)
        check(around(117, 20), around(117, 20), around(117, 20));
}

/* c about 1, a b about half a unit of it, or of the number below: where two roundings differ from one. */
Test(vulkan_fma, boundaries)
{
    for (int i = 0; i < CASES; i++) {
        const float b = number((0x33800000u - (word() & 15u)) | (word() & 0x80000000u));
        check(number(0x3F800000u + (word() & 7u)), b, around(126, 2));
        check(number(0x3F800000u + (word() & 7u)), number(bits(b) - (24u << 23)), around(102, 2));
    }
}

Test(vulkan_fma, cancelled)
{
    for (int i = 0; i < CASES; i++) {
        const float a = around(60, 100), b = around(60, 100), c = -(a * b);
        check(a, b, number(bits(c) + word() % 3u));
    }
}

Test(vulkan_fma, subnormals)
{
    for (int i = 0; i < CASES; i++) {
        const uint32_t e = 1 + word() % 100;
        check(around(e, 1), around(127 - e + word() % 4, 1), number(word() & 0x80FFFFFFu));
        check(around(e, 1), around(104 - e, 3), number(word() & 0x80000003u));
        check(number(word() & 0x807FFFFFu), around(100, 60), number(word() & 0x80FFFFFFu));
    }
}

Test(vulkan_fma, edges)
{
    static const uint32_t edge[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF,
                                    0x00800000, 0x80800000, 0x3F800000, 0xBF800000, 0x33800000, 0xB3800000,
                                    0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F7FFFFF};
    enum { N = sizeof edge / sizeof *edge };
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++)
            for (size_t k = 0; k < N; k++)
                check(number(edge[i]), number(edge[j]), number(edge[k]));
}
