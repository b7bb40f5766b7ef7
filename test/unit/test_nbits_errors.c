/* SPDX-License-Identifier: MIT */
/* What MatMulNBits refuses, and how it says so. */
#include "test/unit/nn_util.h"

#include "core/nn/nbits.h"

/* K 40, N 3, 4 bits, blocks of 16: three blocks a row. */
#define GOOD 40, 3, 4, 16, 0
enum { NOTHING, B, SCALES, ZERO_POINTS, G_IDX, BIAS, INPUTS };

static const struct {
    struct lb_nbits_attributes at;
    int which; /* of the inputs is instead: */
    enum lb_dtype_id dtype;
    unsigned ndim;
    size_t shape[4];
    const char *message; /* NULL: it is taken */
} rows[] = {
    {{GOOD}, NOTHING, 0, 0, {0}, NULL},
    {{0, 3, 4, 16, 0}, NOTHING, 0, 0, {0}, "K: 0, wanted 1 or more"},
    {{40, -1, 4, 16, 0}, NOTHING, 0, 0, {0}, "N: -1, wanted 1 or more"},
    {{40, 3, 1, 16, 0}, NOTHING, 0, 0, {0}, "bits: 1, wanted 2 to 8"},
    {{40, 3, 9, 16, 0}, NOTHING, 0, 0, {0}, "bits: 9, wanted 2 to 8"},
    {{40, 3, 4, 0, 0}, NOTHING, 0, 0, {0}, "block_size: 0, wanted a power of two, 16 or more"},
    {{40, 3, 4, 8, 0}, NOTHING, 0, 0, {0}, "block_size: 8, wanted a power of two, 16 or more"},
    {{40, 3, 4, 48, 0}, NOTHING, 0, 0, {0}, "block_size: 48, wanted a power of two, 16 or more"},
    {{40, 3, 4, INT64_MIN, 0}, NOTHING, 0, 0, {0}, "block_size: -9223372036854775808, wanted a power of two"},
    {{40, 3, 4, 16, 5}, NOTHING, 0, 0, {0}, "accuracy_level: 5, wanted 0 to 4"},
    {{40, 3, 4, 16, -1}, NOTHING, 0, 0, {0}, "accuracy_level: -1, wanted 0 to 4"},
    {{INT64_MAX, INT64_MAX, 8, 16, 0},
     NOTHING,
     0,
     0,
     {0},
     "tensor B: shape [3, 3, 8], wanted [9223372036854775807, 576460752303423488, 16]"},
    {{40, 3, 8, (int64_t)1 << 62, 0}, NOTHING, 0, 0, {0}, "tensor B: shape [3, 3, 8], wanted [3, 1, 4611686018427387904]"},
    {{40, 3, 5, 16, 0}, NOTHING, 0, 0, {0}, "tensor B: shape [3, 3, 8], wanted [3, 3, 10]"},
    {{40, 3, 4, 32, 0}, NOTHING, 0, 0, {0}, "tensor B: shape [3, 3, 8], wanted [3, 2, 16]"},
    {{49, 3, 4, 16, 0}, NOTHING, 0, 0, {0}, "tensor B: shape [3, 3, 8], wanted [3, 4, 8] (N, ceil(K / block_size), block_size * bits / 8)"},
    {{GOOD}, B, LB_I8, 3, {3, 3, 8}, "tensor B: dtype I8, wanted U8"},
    {{GOOD}, B, LB_U8, 2, {3, 24}, "tensor B: shape [3, 24], wanted [3, 3, 8]"},
    {{GOOD}, B, LB_U8, 3, {3, 8, 3}, "tensor B: shape [3, 8, 3], wanted [3, 3, 8]"},
    {{GOOD}, B, LB_U8, 4, {3, 3, 8, 1}, "tensor B: shape [3, 3, 8, 1], wanted [3, 3, 8]"},
    {{GOOD}, SCALES, LB_F32, 2, {3, 3}, NULL},
    {{GOOD}, SCALES, LB_BF16, 1, {9}, NULL},
    {{GOOD}, SCALES, LB_U8, 1, {9}, "tensor scales: dtype U8, wanted F32, F16 or BF16"},
    {{GOOD}, SCALES, LB_F64, 1, {9}, "tensor scales: dtype F64, wanted F32, F16 or BF16"},
    {{GOOD}, SCALES, LB_F32, 1, {8}, "tensor scales: shape [8], wanted [9] (N * ceil(K / block_size)), or in two dimensions"},
    {{GOOD}, SCALES, LB_F32, 2, {9, 1}, "tensor scales: shape [9, 1], wanted [3, 3]"},
    {{GOOD}, SCALES, LB_F32, 3, {3, 3, 1}, "tensor scales: shape [3, 3, 1], wanted [3, 3]"},
    {{GOOD}, SCALES, LB_F32, 0, {0}, "tensor scales: shape [], wanted [3, 3]"},
    {{GOOD}, ZERO_POINTS, LB_U8, 1, {6}, NULL},
    {{GOOD}, ZERO_POINTS, LB_U8, 2, {3, 2}, NULL},
    {{GOOD}, ZERO_POINTS, LB_F16, 2, {3, 3}, NULL},
    {{GOOD}, ZERO_POINTS, LB_U8, 1, {5}, "tensor zero_points: shape [5], wanted [6] (N * ceil(ceil(K / block_size) * bits / 8))"},
    {{GOOD}, ZERO_POINTS, LB_U8, 1, {9}, "tensor zero_points: shape [9], wanted [6]"},
    {{GOOD}, ZERO_POINTS, LB_U8, 2, {2, 3}, "tensor zero_points: shape [2, 3], wanted [3, 2]"},
    {{GOOD},
     ZERO_POINTS,
     LB_F32,
     1,
     {6},
     "tensor zero_points: shape [6], wanted [9] (N * ceil(K / block_size)), or in two dimensions, as floats"},
    {{GOOD}, ZERO_POINTS, LB_I32, 1, {9}, "tensor zero_points: dtype I32, wanted U8 (packed codes), F32, F16 or BF16"},
    {{GOOD}, G_IDX, LB_I64, 1, {40}, "tensor g_idx: dtype I64, wanted I32"},
    {{GOOD}, G_IDX, LB_I32, 1, {39}, "tensor g_idx: shape [39], wanted [40] (K)"},
    {{GOOD}, G_IDX, LB_I32, 1, {40}, "tensor g_idx: element 16 is 0, wanted 1: rows in another order are not supported"},
    {{GOOD}, G_IDX, LB_I32, 1, {48}, "tensor g_idx: element 16 is 0, wanted 1"},
    {{GOOD}, BIAS, LB_F16, 1, {3}, NULL},
    {{GOOD}, BIAS, LB_F32, 1, {4}, "tensor bias: shape [4], wanted [3] (N)"},
    {{GOOD}, BIAS, LB_F32, 2, {1, 3}, "tensor bias: shape [1, 3], wanted [3] (N)"},
    {{GOOD}, BIAS, LB_I32, 1, {3}, "tensor bias: dtype I32, wanted F32, F16 or BF16"},
};

Test(nbits_errors, refused)
{
    static unsigned char zeros[1024];
    load_plugins();
    const size_t before = lb_mem_now();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lb_err err = {0};
        struct lb_tensor b, scales, other;
        struct lb_nbits *w;
        cr_assert_eq(lb_tensor_describe(&b, LB_U8, 3, (const size_t[]){3, 3, 8}, &err), 0);
        cr_assert_eq(lb_tensor_describe(&scales, LB_F32, 1, (const size_t[]){9}, &err), 0);
        cr_assert_eq(lb_tensor_describe(&other, rows[i].dtype, rows[i].ndim, rows[i].shape, &err), 0);
        cr_assert(other.bytes <= sizeof zeros);
        b.data = scales.data = other.data = zeros;
        const struct lb_tensor *in[INPUTS] = {[B] = &b, [SCALES] = &scales};
        in[rows[i].which] = &other;
        const struct lb_nbits_inputs inputs = {in[B], in[SCALES], in[ZERO_POINTS], in[G_IDX], in[BIAS]};
        const int r = lb_nbits_create(&rows[i].at, &inputs, &w, &err);
        lb_nbits_destroy(w);
        cr_expect_eq(r, rows[i].message ? -1 : 0, "row %zu: %s", i, err.text);
        cr_expect(!rows[i].message || strstr(err.text, rows[i].message), "row %zu:\n  expected %s\n  got      %s", i, rows[i].message,
                  err.text);
        cr_expect_eq(lb_mem_now(), before, "row %zu: %zu bytes are left", i, lb_mem_now() - before);
    }
    drop_all();
}

/* k / block_size, spelled out and padded to whole blocks, is the order that there is anyway. */
Test(nbits_errors, g_idx)
{
    struct lb_err err = {0};
    static unsigned char zeros[128];
    int32_t order[48];
    struct lb_tensor b, scales, g_idx;
    struct lb_nbits *w;
    load_plugins();
    for (int i = 0; i < 48; i++)
        order[i] = i / 16;
    cr_assert_eq(lb_tensor_describe(&b, LB_U8, 3, (const size_t[]){3, 3, 8}, &err), 0);
    cr_assert_eq(lb_tensor_describe(&scales, LB_F32, 1, (const size_t[]){9}, &err), 0);
    b.data = scales.data = zeros;
    for (size_t n = 40; n <= 48; n += 8) {
        cr_assert_eq(lb_tensor_describe(&g_idx, LB_I32, 1, &n, &err), 0);
        g_idx.data = (unsigned char *)order;
        const struct lb_nbits_inputs in = {&b, &scales, NULL, &g_idx, NULL};
        cr_assert_eq(lb_nbits_create(&(struct lb_nbits_attributes){GOOD}, &in, &w, &err), 0, "%s", err.text);
        lb_nbits_destroy(w);
    }
    drop_all();
}
