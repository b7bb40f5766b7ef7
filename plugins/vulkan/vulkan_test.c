/* SPDX-License-Identifier: MIT */
/* vulkan_test.c - the test of a device's arithmetic: can it give the bits of docs/arithmetic.md, and is its fma() fused?
 * kernels/vulkan/device_test.comp works on hard cases that are made here, with the answers of this machine's arithmetic, which is IEEE
 * 754's. */
#include "kernels/canon.h"
#include "plugins/vulkan/vulkan.h"

#include <stdio.h>

enum {
    OPERANDS = 3,
    CASES = 1 << 17, /* of single operations */
    SAMPLE = 1 << 13 /* of functions */
};

struct operands {
    float a, b, c;
};

/* ---- Cases ---- */

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Any sign and mantissa, and an exponent (biased) of `least` and up to `spread` - 1 more. */
static float number(uint64_t *r, uint32_t least, uint32_t spread)
{
    const uint32_t u = next(r);
    return canon_float((u & 0x807FFFFFu) | (least + next(r) % spread) << 23);
}

static struct operands any_bits(uint64_t *r)
{
    return (struct operands){canon_float(next(r)), canon_float(next(r)), canon_float(next(r))};
}

static struct operands ordinary(uint64_t *r)
{
    return (struct operands){number(r, 117, 20), number(r, 117, 20), number(r, 117, 20)};
}

/* Near 1 and near a half unit of it, or of something larger: the product lies on a rounding boundary of the sum, or up to 2^-23 of it
 * beside. */
static struct operands boundary(uint64_t *r)
{
    const uint32_t sign = next(r) & CANON_SIGN, far = next(r) % 8;
    const float a = canon_float(0x3F800000u + (next(r) & 3u)), b = canon_float((0x33800000u - (next(r) & 7u)) | sign);
    return (struct operands){a, b, number(r, 127 - (far == 0), 1 + (far > 5))};
}

/* Few bits each: the sum is exact in more than 24 bits, so many are exactly on a boundary, and there even decides. */
static struct operands coarse(uint64_t *r)
{
    const float a = (float)(int32_t)(next(r) % 8191u - 4095u), b = (float)(int32_t)(next(r) % 8191u - 4095u);
    return (struct operands){a, b, number(r, 147, 6)};
}

/* The product is nearly cancelled. */
static struct operands cancelled(uint64_t *r)
{
    const float a = number(r, 100, 50), b = number(r, 100, 50);
    const float c = -(a * b);
    return (struct operands){a, b, canon_float(canon_bits(c) + next(r) % 3u)};
}

/* The result is below 2^-126, or about there. */
static struct operands small(uint64_t *r)
{
    const uint32_t e = 1 + next(r) % 100;
    return (struct operands){number(r, e, 1), number(r, 127 - e + next(r) % 4, 1), canon_float(next(r) & 0x80FFFFFFu)};
}

static struct operands tiny(uint64_t *r)
{
    const uint32_t e = 1 + next(r) % 100;
    return (struct operands){number(r, e, 1), number(r, 104 - e, 1 + next(r) % 3), canon_float(next(r) & 0x80000003u)};
}

static struct operands special(uint64_t *r)
{
    static const uint32_t edge[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000,
                                    0x3F800000, 0xBF800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x3F7FFFFF};
    return (struct operands){canon_float(edge[next(r) & 15u]), canon_float(edge[next(r) & 15u]), canon_float(edge[next(r) & 15u])};
}

static void fill(struct operands *o, size_t n)
{
    static struct operands (*const kind[8])(uint64_t *) = {any_bits, ordinary, boundary, coarse, cancelled, small, tiny, special};
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++)
        o[i] = kind[i % 8](&state);
}

/* ---- Answers ---- */

enum { FUSED = 6, REPLACED = 7 };

static uint32_t sum(const struct operands *o)
{
    return canon_bits(o->a + o->b);
}

static uint32_t difference(const struct operands *o)
{
    return canon_bits(o->a - o->b);
}

static uint32_t product(const struct operands *o)
{
    return canon_bits(o->a * o->b);
}

static uint32_t from_integer(const struct operands *o)
{
    return canon_bits((float)(int32_t)canon_bits(o->a));
}

static uint32_t to_integer(const struct operands *o)
{
    return (uint32_t)canon_float((canon_bits(o->c) & 0x0EFFFFFFu) + 0x3F800000u);
}

static uint32_t compared(const struct operands *o)
{
    return (o->a < o->b ? 1u : 0u) | (o->a > o->b ? 2u : 0u) | (o->a == o->b ? 4u : 0u) | (o->a <= o->b ? 8u : 0u) |
           (canon_is_nan(o->a) ? 16u : 0u);
}

static uint32_t fused(const struct operands *o)
{
    return canon_bits(canon_fma(o->a, o->b, o->c));
}

static uint32_t quotient(const struct operands *o)
{
    return canon_bits(canon_div(o->a, o->b));
}

static uint32_t root(const struct operands *o)
{
    return canon_bits(canon_sqrt(o->a));
}

static uint32_t exponential(const struct operands *o)
{
    return canon_bits(canon_exp(o->b));
}

static uint32_t logarithm(const struct operands *o)
{
    return canon_bits(canon_log(o->a));
}

struct answer {
    const char *name;
    uint32_t (*of)(const struct operands *);
    int is_float;
};

static const struct answer operations[] = {{"addition", sum, 1},
                                           {"subtraction", difference, 1},
                                           {"multiplication", product, 1},
                                           {"conversion from integers", from_integer, 1},
                                           {"conversion to integers", to_integer, 0},
                                           {"comparison", compared, 0},
                                           [FUSED] = {"fused multiply-add", fused, 1},
                                           [REPLACED] = {"fused multiply-add made of binary64", fused, 1}};

static const struct answer functions[] = {{"division (kernels/canon.h)", quotient, 1},
                                          {"square root (kernels/canon.h)", root, 1},
                                          {"exp (kernels/canon.h)", exponential, 1},
                                          {"log (kernels/canon.h)", logarithm, 1}};

static int agrees(const struct answer *a, uint32_t found, uint32_t wanted)
{
    return found == wanted || (a->is_float && canon_is_nan(canon_float(found)) && canon_is_nan(canon_float(wanted)));
}

/* ---- The test ---- */

struct trial {
    enum vulkan_kernel kernel;
    const struct answer *answer;
    size_t answers, n; /* answers to a case, cases */
    struct operands *cases;
    uint32_t *found; /* n x answers */
};

static int run_on(struct vulkan_device *d, const struct trial *t, struct lb_buf *in, struct lb_buf *out)
{
    const uint32_t n = (uint32_t)t->n;
    struct vulkan_dispatch c = {.kernel = t->kernel, .args = &n, .args_bytes = sizeof n, .groups = vulkan_groups(d, t->kernel, t->n)};
    c.operand[0] = vulkan_in((struct lb_ref){in, 0}, 0, OPERANDS * t->n);
    c.operand[1] = vulkan_out((struct lb_ref){out, 0}, 0, t->answers * t->n);
    return vulkan_buf_write(d, in, 0, t->cases, in->bytes) || vulkan_dispatch(d, &c) || vulkan_buf_read(d, out, 0, t->found, out->bytes)
               ? -1
               : 0;
}

static int run(struct vulkan_device *d, const struct trial *t)
{
    struct lb_buf in = {.bytes = t->n * sizeof *t->cases}, out = {.bytes = t->n * t->answers * sizeof *t->found};
    int r = vulkan_buf_create(d, &in);
    if (!r && !(r = vulkan_buf_create(d, &out))) {
        r = run_on(d, t, &in, &out);
        vulkan_buf_destroy(d, &out);
    }
    if (in.ptr)
        vulkan_buf_destroy(d, &in);
    return r;
}

/* The first case whose answer is wrong; t->n where there is none. */
static size_t first_wrong(const struct trial *t, size_t which)
{
    const struct answer *a = &t->answer[which];
    for (size_t i = 0; i < t->n; i++)
        if (!agrees(a, t->found[i * t->answers + which], a->of(&t->cases[i])))
            return i;
    return t->n;
}

static int is_subnormal(float x)
{
    return (canon_bits(x) & 0x7FFFFFFFu) - 1u < 0x007FFFFFu;
}

/* What the device lacks, as a wrong answer shows it. */
static const char *property(const struct answer *a, const struct operands *o, uint32_t wanted)
{
    if (!a->is_float)
        return "exactness";
    if (is_subnormal(canon_float(wanted)))
        return "subnormal results";
    if (is_subnormal(o->a) || is_subnormal(o->b) || is_subnormal(o->c))
        return "subnormal operands";
    if ((wanted & 0x7FFFFFFFu) == 0)
        return "the sign of zero";
    if ((wanted & 0x7FFFFFFFu) >= CANON_INF)
        return "infinity and NaN";
    return "rounding to nearest even";
}

static void refuse(const struct vulkan_device *d, const struct trial *t, size_t which, size_t i, char *why, size_t why_size)
{
    const struct answer *a = &t->answer[which];
    const struct operands *o = &t->cases[i];
    const uint32_t wanted = a->of(o), found = t->found[i * t->answers + which];
    snprintf(why, why_size,
             "%s is not exact: it lacks %s in %s (0x%08X, 0x%08X, 0x%08X gave 0x%08X, not 0x%08X); \"numerics\": \"fast\" runs on it",
             d->t.name, property(a, o, wanted), a->name, (unsigned)canon_bits(o->a), (unsigned)canon_bits(o->b), (unsigned)canon_bits(o->c),
             (unsigned)found, (unsigned)wanted);
}

/* The single operations decide which fused multiply-add there is. */
static int choose_fma(struct vulkan_device *d, const struct trial *t, char *why, size_t why_size)
{
    const int can_replace = d->t.float64 && d->t.int64;
    for (size_t k = 0; k < FUSED; k++) {
        const size_t i = first_wrong(t, k);
        if (i < t->n) {
            refuse(d, t, k, i, why, why_size);
            return -1;
        }
    }
    const size_t i = first_wrong(t, FUSED), j = can_replace ? first_wrong(t, REPLACED) : t->n;
    d->fma = i == t->n && !vulkan_test_setting("unfused", 0) ? VULKAN_FMA_FUSED : VULKAN_FMA_FLOAT64;
    if (d->fma == VULKAN_FMA_FUSED || (can_replace && j == t->n))
        return 0;
    if (can_replace)
        refuse(d, t, REPLACED, j, why, why_size);
    else
        snprintf(why, why_size,
                 "%s is not exact: its fma() is not fused, and it lacks %s to make one of; \"numerics\": \"fast\" runs on it", d->t.name,
                 d->t.float64 ? "64-bit integers (shaderInt64)" : "binary64 (shaderFloat64)");
    return -1;
}

static int test_functions(struct vulkan_device *d, const struct trial *t, char *why, size_t why_size)
{
    for (size_t k = 0; k < t->answers; k++) {
        const size_t i = first_wrong(t, k);
        if (i < t->n) {
            refuse(d, t, k, i, why, why_size);
            return -1;
        }
    }
    return 0;
}

static int test(struct vulkan_device *d, struct trial *t, char *why, size_t why_size)
{
    snprintf(why, why_size, "%s: the test of its arithmetic could not be run", d->t.name);
    *t = (struct trial){KERNEL_DEVICE_TEST, operations, sizeof operations / sizeof *operations, CASES, t->cases, t->found};
    d->fma = d->t.float64 && d->t.int64 ? VULKAN_FMA_FLOAT64 : VULKAN_FMA_FUSED;
    if (run(d, t) || choose_fma(d, t, why, why_size))
        return -1;
    snprintf(why, why_size, "%s: the test of its arithmetic could not be run", d->t.name);
    *t = (struct trial){KERNEL_FUNCTION_TEST, functions, sizeof functions / sizeof *functions, SAMPLE, t->cases, t->found};
    return run(d, t) || test_functions(d, t, why, why_size) ? -1 : 0;
}

int vulkan_device_test(struct vulkan_device *d, char *why, size_t why_size)
{
    const struct lb_host *h = d->host;
    struct trial t = {.cases = h->alloc(h, CASES * sizeof *t.cases),
                      .found = h->alloc(h, CASES * (sizeof operations / sizeof *operations) * sizeof *t.found)};
    int r = -1;
    snprintf(why, why_size, "out of memory");
    if (t.cases && t.found) {
        fill(t.cases, CASES);
        r = test(d, &t, why, why_size);
    }
    h->free(h, t.cases);
    h->free(h, t.found);
    return r;
}
