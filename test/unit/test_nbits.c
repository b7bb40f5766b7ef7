/* SPDX-License-Identifier: MIT */
/* # long */
/* MatMulNBits bit for bit against its definition, its gradients against differences in binary64, and its codes. */
#include "test/unit/nbits_util.h"

/* ---- Forward ------------------------------------------------------------------------------------------------------------------------ */

static void check_forward(const struct drawn *d)
{
    struct lb_err err = {0};
    struct lb_nbits *w = create(d);
    float *y = keep(d->m * d->n, sizeof *y);
    cr_assert_eq(lb_nbits_forward(w, held.dev, d->a, d->m, y, &err), 0, "%s", err.text);
    for (size_t row = 0; row < d->m; row++)
        for (size_t i = 0; i < d->n; i++) {
            const float want = expected(d, row, i);
            cr_assert(same(y[row * d->n + i], want), "bits %u, block %zu, K %zu, level %d: Y[%zu, %zu]: expected %a, got %a", d->bits,
                      d->block, d->k, (int)d->at.accuracy_level, row, i, (double)want, (double)y[row * d->n + i]);
        }
    lb_nbits_destroy(w);
}

static void every_width(const char *backend, int level)
{
    static const size_t blocks[] = {16, 32, 128, 512};
    uint64_t seed = 1;
    for (unsigned bits = 2; bits <= 8; bits++)
        for (int zeros = NO_ZEROS; zeros <= FLOATS; zeros++) {
            load_plugins();
            open_device(backend, ~0u);
            if (level == 4 && !held.dev->ops->gemm_int8) {
                drop_all();
                cr_skip("backend %s has no gemm_int8", backend);
            }
            for (size_t i = 0; i < COUNT(blocks); i++, seed++) {
                const size_t k = 1 + word(seed, 9, 0) % 600;
                struct drawn *d = draw(seed, bits, blocks[i], (enum zeros)zeros, 1 + seed % 4, 1 + seed % 7, k, level != 4 && seed % 2);
                d->at.accuracy_level = level;
                check_forward(d);
            }
            drop_all();
        }
}

Test(nbits, forward_cpu_ref)
{
    every_width("cpu_ref", 1);
}

Test(nbits, forward_cpu)
{
    every_width("cpu", 2);
}

Test(nbits, forward_vulkan)
{
    every_width("vulkan", 1);
}

Test(nbits, int8_cpu_ref)
{
    every_width("cpu_ref", 4);
}

Test(nbits, int8_cpu)
{
    every_width("cpu", 4);
}

Test(nbits, int8_vulkan)
{
    every_width("vulkan", 4);
}

/* A block longer than a piece of 8.12, and no rows at all. */
Test(nbits, large)
{
    load_plugins();
    open_device("cpu_ref", ~0u);
    struct drawn *d = draw(5, 2, 65536, CODES, 2, 2, 40000, 0);
    check_forward(d);
    d->at.accuracy_level = 4;
    if (held.dev->ops->gemm_int8)
        check_forward(d);
    d->m = 0;
    check_forward(d);
    drop_all();
}

/* A backend without packed weights: panels, here two and a part; and no int8. */
Test(nbits, panels)
{
    struct lb_err err = {0};
    load_plugins();
    open_device("cpu_ref", ~0u);
    struct lb_backend plain = *held.dev->ops;
    plain.weights_create = NULL;
    held.dev->ops = &plain;
    for (uint64_t seed = 3; seed < 5; seed++)
        check_forward(draw(seed, 3, 16, CODES, 1 + seed % 2, 19, 30011, seed % 2));
    struct drawn *d = draw(6, 4, 32, FLOATS, 2, 5, 77, 0);
    d->at.accuracy_level = 4;
    check_forward(d);
    d = draw(6, 4, 32, CODES, 2, 5, 77, 0);
    d->at.accuracy_level = 4;
    struct lb_nbits *w = create(d);
    float y[10];
    cr_assert_eq(lb_nbits_forward(w, held.dev, d->a, 2, y, &err), -1);
    cr_assert_str_eq(err.text, "unsupported: backend cpu_ref has no op gemm_int8, which accuracy_level 4 wants");
    lb_nbits_destroy(w);
    drop_all();
}

/* Scales, zero points and a bias in F16 and BF16 are worth what they hold. */
Test(nbits, half_precision)
{
    static const uint16_t f16[] = {0x3c00, 0xb800, 0x4248}, bf16[] = {0x3f80, 0xbf00, 0x4049};
    static const float worth[2][3] = {{1, -0.5f, 3.140625f}, {1, -0.5f, 3.140625f}};
    load_plugins();
    open_device("cpu_ref", ~0u);
    for (int which = 0; which < 2; which++) {
        struct drawn *d = draw(1, 5, 16, FLOATS, 2, 3, 13, 0);
        const struct lb_tensor t = tensor(which ? LB_BF16 : LB_F16, 1, (const size_t[]){3}, which ? bf16 : f16);
        d->scales = d->zero_points = d->bias = t;
        d->s = d->z = d->add = worth[which];
        check_forward(d);
    }
    drop_all();
}

/* ---- Gradients ------------------------------------------------------------------------------------------------------------------------- */

/* The loss sum(dy y) in binary64, from the definition. */
static double loss(const struct drawn *d, const double *a, const double *s, const float *dy)
{
    double total = 0;
    for (size_t row = 0; row < d->m; row++)
        for (size_t i = 0; i < d->n; i++)
            for (size_t k = 0; k < d->k; k++)
                total += (double)dy[row * d->n + i] * a[row * d->k + k] *
                         ((double)code_of(d, i, k) - (double)d->z[i * d->blocks + k / d->block]) * s[i * d->blocks + k / d->block];
    return total;
}

static double *widened(const float *x, size_t n)
{
    double *y = keep(n, sizeof *y);
    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

/* The loss is linear in each number, so that a difference has no error but rounding; binary32 loses 2^-24 of the terms of each of its sums. */
static void check_differences(const struct drawn *d, double *a, double *s, const float *dy, double *x, const float *got, size_t n,
                              const char *name)
{
    double largest = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        const double was = x[i];
        x[i] = was + 0.5;
        const double up = loss(d, a, s, dy);
        x[i] = was - 0.5;
        const double want = up - loss(d, a, s, dy);
        x[i] = was;
        largest = fmax(largest, fabs(want));
        off = fmax(off, fabs(want - (double)got[i]));
    }
    cr_expect(largest > 0.1 && off <= 1e-5 * largest, "%u bits, %s: %g off, the largest being %g", d->bits, name, off, largest);
}

/* The same by the order of the sums: docs/arithmetic.md 8.13. */
static void check_order(const struct drawn *d, const float *dy, const float *da, const float *ds)
{
    enum { LONGEST = 512 };
    float w[64], dw[LONGEST], q[LONGEST];
    cr_assert(d->n <= COUNT(w) && d->block <= LONGEST);
    for (size_t row = 0; row < d->m; row++)
        for (size_t k = 0; k < d->k; k++) {
            for (size_t i = 0; i < d->n; i++)
                w[i] = weight(d, i, k);
            cr_assert(same(da[row * d->k + k], store(sum(dy + row * d->n, 1, w, d->n))), "%u bits: dA[%zu, %zu]", d->bits, row, k);
        }
    for (size_t i = 0; i < d->n; i++)
        for (size_t g = 0; g < d->blocks; g++) {
            const size_t first = g * d->block, n = d->k - first < d->block ? d->k - first : d->block;
            for (size_t k = 0; k < n; k++) {
                float column[16];
                for (size_t row = 0; row < d->m; row++)
                    column[row] = d->a[row * d->k + first + k];
                dw[k] = store(sum(dy + i, d->n, column, d->m));
                q[k] = difference(d, i, first + k);
            }
            cr_assert(same(ds[i * d->blocks + g], store(sum(dw, 1, q, n))), "%u bits: dscales[%zu, %zu]", d->bits, i, g);
        }
}

static void check_gradients(const struct drawn *d, int differences)
{
    struct lb_err err = {0};
    struct lb_nbits *w = create(d);
    const float *dy = numbers(d->bits, 6, d->m * d->n, 0);
    float *da = keep(d->m * d->k, sizeof *da), *ds = keep(d->n * d->blocks, sizeof *ds);
    cr_assert_eq(lb_nbits_grad_input(w, held.dev, dy, d->m, da, &err), 0, "%s", err.text);
    cr_assert_eq(lb_nbits_grad_scales(w, held.dev, d->a, dy, d->m, ds, &err), 0, "%s", err.text);
    check_order(d, dy, da, ds);
    if (differences) {
        double *a = widened(d->a, d->m * d->k), *s = widened(d->s, d->n * d->blocks);
        check_differences(d, a, s, dy, a, da, d->m * d->k, "dA");
        check_differences(d, a, s, dy, s, ds, d->n * d->blocks, "dscales");
    }
    lb_nbits_destroy(w);
}

Test(nbits, gradients)
{
    load_plugins();
    open_device("cpu_ref", ~0u);
    for (unsigned bits = 2; bits <= 8; bits++)
        check_gradients(draw(bits, bits, bits % 2 ? 16 : 32, (enum zeros)(bits % 3), 1 + bits, 4, 37 + bits, 0), 1);
    check_gradients(draw(3, 4, 512, CODES, 3, 5, 900, 1), 0);
    check_gradients(draw(7, 5, 16, CODES, 2, 19, 30011, 0), 0); /* several panels of rows, and of columns */
    drop_all();
}

/* ---- Codes ------------------------------------------------------------------------------------------------------------------------------ */

Test(nbits, pack)
{
    struct lb_err err = {0};
    for (unsigned bits = 2; bits <= 8; bits++)
        for (size_t cols = 0; cols < 20; cols++) {
            enum { ROWS = 3 };
            const size_t row = (cols * bits + 7) / 8 + 1;
            unsigned char codes[ROWS * 20], packed[ROWS * 21], back[ROWS * 20];
            for (size_t i = 0; i < ROWS * cols; i++)
                codes[i] = (unsigned char)(word(bits, (uint32_t)cols, i) >> (32 - bits));
            memset(packed, 0xff, sizeof packed);
            cr_assert_eq(lb_nbits_pack(codes, ROWS, cols, bits, row, packed, &err), 0, "%s", err.text);
            for (size_t i = 0; i < ROWS; i++) {
                for (size_t j = 0; j < cols; j++)
                    cr_assert_eq(code_at(packed + i * row, bits, j), codes[i * cols + j], "%u bits: [%zu, %zu]", bits, i, j);
                for (size_t j = cols * bits; j < row * 8; j++)
                    cr_assert_eq(bit(packed + i * row, j), 0, "%u bits, %zu columns: a bit behind the last code", bits, cols);
            }
            lb_nbits_unpack(packed, row, ROWS, cols, bits, back);
            cr_assert(!memcmp(codes, back, ROWS * cols));
        }
    const unsigned char large[] = {1, 2, 3, 8};
    unsigned char packed[4];
    cr_assert_eq(lb_nbits_pack(large, 2, 2, 3, 1, packed, &err), -1);
    cr_assert_str_eq(err.text, "element [1, 1] is 8, which 3 bits do not hold");
}
