/* SPDX-License-Identifier: MIT */
/* The products of backend `cpu`, through the op, with each instruction set and one to three threads, against the reference, bit for bit. */
#include "test/unit/op_util.h"

enum { CASES = 260 };

/* Sizes around the borders of tiles, vectors, panels, segments and blocks. */
static size_t draw_size(struct op_run *t, size_t most)
{
    static const size_t borders[] = {1, 4, 5, 6, 8, 13, 14, 15, 16, 28, 29, 32, 48, 64, 128, 255};
    const size_t way = op_draw(t, 0, 3);
    const size_t n = way == 0 ? op_draw(t, 1, 9) : way == 1 ? op_draw(t, 1, most) : borders[op_draw(t, 0, 15)] + op_draw(t, 0, 1);
    return n < most ? n : most;
}

static size_t draw_k(struct op_run *t)
{
    static const size_t borders[] = {0, 1, 16, 64, 255, 256, 257, 512, 513, 784, 1024, 1025, 1300};
    return op_draw(t, 0, 2) ? op_draw(t, 1, 300) : borders[op_draw(t, 0, 12)];
}

/* Long sums of many columns: the totals of a block wait in the output while the next part of k is packed. */
static int draw_long(struct op_run *t, size_t *m, size_t *n, size_t *k)
{
    static const size_t ks[] = {1025, 1281, 2048, 2304, 2817};
    if (op_draw(t, 0, 31))
        return 0;
    *k = ks[op_draw(t, 0, 4)];
    *m = op_draw(t, 5, 12);
    *n = op_draw(t, 129, 200);
    return 1;
}

static struct lb_buf host(float *p, size_t n)
{
    return (struct lb_buf){.ptr = p, .bytes = n * sizeof *p};
}

static void one_product(struct op_run *t)
{
    size_t m, n, k;
    if (!draw_long(t, &m, &n, &k)) {
        k = draw_k(t);
        m = draw_size(t, k > 300 ? 70 : 200);
        n = draw_size(t, k > 300 ? 70 : 300);
    }
    const int ta = (int)op_draw(t, 0, 1), tb = (int)op_draw(t, 0, 1), with_bias = (int)op_draw(t, 0, 1), act = (int)op_draw(t, 0, 4);
    const unsigned threads = (unsigned)op_draw(t, 1, 3), rarity = op_draw(t, 0, 1) ? 4 * (unsigned)(k + 1) : 0;
    op_name(t, "m=%zu n=%zu k=%zu trans_a=%d trans_b=%d bias=%d act=%d threads=%u special 1/%u", m, n, k, ta, tb, with_bias, act, threads,
            rarity);
    float *a = op_input(t, m * k, rarity), *b = op_input(t, n * k, rarity), *bias = op_input(t, n, rarity ? 8 : 0);
    float *want = op_output(t, m * n), *got = op_output(t, m * n);
    ref_kernels_c.gemm(a, b, with_bias ? bias : NULL, want, m, n, k, ta, tb, act, 1.1f);

    struct lb_buf buf[] = {host(a, m * k), host(b, n * k), host(bias, n), host(got, m * n)};
    const struct lb_gemm op = {.a = {&buf[0], 0},
                               .b = {&buf[1], 0},
                               .bias = {with_bias ? &buf[2] : NULL, 0},
                               .c = {&buf[3], 0},
                               .m = m,
                               .n = n,
                               .k = k,
                               .trans_a = ta,
                               .trans_b = tb,
                               .act = (uint32_t)act,
                               .alpha = 1.1f};
    struct lb_dev *d = op_device(t, threads);
    struct lb_err err = {0};
    const int r = LB_RUN(d, gemm, &op, &err);
    op_assert(t, r == 0, "%s", err.text);
    op_same(t, "c", want, got, m * n);
    lb_backend_close(d);
    lb_plugins_unload();
}

Test(op_gemm, c)
{
    op_cases("op_gemm/c", "c", CASES, one_product);
}

Test(op_gemm, avx2)
{
    op_cases("op_gemm/avx2", "avx2", CASES, one_product);
}

Test(op_gemm, avx512)
{
    op_cases("op_gemm/avx512", "avx512", CASES, one_product);
}
