/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"
#include "core/format/tensor.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

/* Sizes of 7 elements, by hand. */
static const struct {
    const char *name;
    unsigned bits;
    size_t bytes_of_7;
} dtypes[LB_DTYPES] = {
    {"BOOL", 8, 7},    {"F4", 4, 4},      {"F6_E2M3", 6, 6}, {"F6_E3M2", 6, 6},     {"U8", 8, 7},          {"I8", 8, 7},
    {"F8_E5M2", 8, 7}, {"F8_E4M3", 8, 7}, {"F8_E8M0", 8, 7}, {"F8_E4M3FNUZ", 8, 7}, {"F8_E5M2FNUZ", 8, 7}, {"I16", 16, 14},
    {"U16", 16, 14},   {"F16", 16, 14},   {"BF16", 16, 14},  {"I32", 32, 28},       {"U32", 32, 28},       {"F32", 32, 28},
    {"C64", 64, 56},   {"F64", 64, 56},   {"I64", 64, 56},   {"U64", 64, 56},
};

Test(tensor, dtypes)
{
    for (int i = 0; i < LB_DTYPES; i++) {
        size_t bytes = 0;
        cr_assert_str_eq(lb_dtypes[i].name, dtypes[i].name);
        cr_assert_eq(lb_dtypes[i].bits, dtypes[i].bits, "%s", dtypes[i].name);
        cr_assert_eq(lb_dtype_find(dtypes[i].name), i);
        cr_assert_eq(lb_dtype_bytes((enum lb_dtype_id)i, 7, &bytes), 0);
        cr_assert_eq(bytes, dtypes[i].bytes_of_7, "%s: %zu", dtypes[i].name, bytes);
        cr_assert_eq(lb_dtype_fills((enum lb_dtype_id)i, 7), dtypes[i].bits % 8 == 0);
        cr_assert_eq(lb_dtype_fills((enum lb_dtype_id)i, 4), 1);
        cr_assert_eq(lb_dtype_bytes((enum lb_dtype_id)i, 0, &bytes), 0);
        cr_assert_eq(bytes, 0);
    }
    static const char *const none[] = {"", "f32", "F32 ", "F3", "F8", "F8_E4M3FN", "float32"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert_eq(lb_dtype_find(none[i]), -1, "%s", none[i]);
}

Test(tensor, bytes_do_not_wrap)
{
    size_t bytes;
    cr_assert_eq(lb_dtype_bytes(LB_F64, SIZE_MAX / 8, &bytes), 0);
    cr_assert_eq(bytes, SIZE_MAX / 8 * 8);
    cr_assert_eq(lb_dtype_bytes(LB_F64, SIZE_MAX / 8 + 1, &bytes), -1);
    cr_assert_eq(lb_dtype_bytes(LB_U8, SIZE_MAX, &bytes), 0);
    cr_assert_eq(bytes, SIZE_MAX);
    cr_assert_eq(lb_dtype_bytes(LB_F4, SIZE_MAX, &bytes), 0);
    cr_assert_eq(bytes, SIZE_MAX / 2 + 1);
    cr_assert_eq(lb_dtype_bytes(LB_F6_E2M3, SIZE_MAX, &bytes), 0);
    cr_assert_eq(bytes, SIZE_MAX / 4 * 3 + 3); /* 2^64 - 1 = 4 (2^62 - 1) + 3 elements of 6 bits */
}

/* What cannot be described, each with a part of its message. */
static const struct {
    enum lb_dtype_id dtype;
    unsigned ndim;
    size_t shape[LB_MAX_DIMS + 1];
    const char *part;
} refused[] = {
    {LB_F32, 9, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "at most 8"},
    {LB_U8, 2, {SIZE_MAX, 2}, "overflow"},
    {LB_U8, 3, {SIZE_MAX, 2, 0}, "overflow"},
    {LB_F64, 1, {SIZE_MAX / 4}, "overflow"},
    {LB_F32, 4, {65536, 65536, 65536, 65536}, "overflow"},
    {LB_DTYPES, 1, {1}, "no dtype"},
    {LB_F32, 1, {SIZE_MAX / 4}, "address"},
    {LB_U8, 1, {SIZE_MAX / 2}, "address"},
};

Test(tensor, refused_shapes)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct lb_tensor t;
        struct lb_err err = {0};
        cr_assert_eq(lb_tensor_init(&t, refused[i].dtype, refused[i].ndim, refused[i].shape, &err), -1, "case %zu", i);
        cr_assert(strstr(err.text, refused[i].part), "case %zu: %s", i, err.text);
        cr_assert_null(t.data);
        lb_tensor_finish(&t);
    }
}

Test(tensor, set_and_get_every_dtype)
{
    static const size_t shape[] = {3, 1, 5};
    for (int id = 0; id < LB_DTYPES; id++) {
        struct lb_tensor t;
        uint64_t mask = lb_dtypes[id].bits == 64 ? UINT64_MAX : ((uint64_t)1 << lb_dtypes[id].bits) - 1;
        cr_assert_eq(lb_tensor_init(&t, (enum lb_dtype_id)id, 3, shape, NULL), 0);
        cr_assert(t.elems == 15 && t.owned && !t.readonly);
        for (size_t i = 0; i < 15; i++)
            cr_assert_eq(lb_tensor_set(&t, (const size_t[]){i / 5, 0, i % 5}, (0x9e3779b97f4a7c15u * (i + 1)) & mask, NULL), 0);
        for (size_t i = 0; i < 15; i++) {
            uint64_t code = 0;
            cr_assert_eq(lb_tensor_get(&t, (const size_t[]){i / 5, 0, i % 5}, &code, NULL), 0);
            cr_assert_eq(code, (0x9e3779b97f4a7c15u * (i + 1)) & mask, "%s [%zu]", lb_dtypes[id].name, i);
        }
        struct lb_err err = {0};
        if (lb_dtypes[id].bits < 64)
            cr_assert(lb_tensor_set(&t, (const size_t[]){0, 0, 0}, mask + 1, &err) == -1 && strstr(err.text, "does not fit"));
        lb_tensor_finish(&t);
    }
}

/* F4: the first element in the low nibble. F6: bits run on from byte to byte, from the lowest. */
Test(tensor, packing)
{
    struct lb_tensor t;
    cr_assert_eq(lb_tensor_init(&t, LB_F4, 1, (const size_t[]){3}, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        lb_tensor_set(&t, &i, i + 1, NULL);
    cr_assert(t.bytes == 2 && t.data[0] == 0x21 && t.data[1] == 0x03);
    lb_tensor_finish(&t);
    cr_assert_eq(lb_tensor_init(&t, LB_F6_E3M2, 1, (const size_t[]){4}, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        lb_tensor_set(&t, &i, (uint64_t[]){0x3f, 0x00, 0x2a, 0x15}[i], NULL);
    /* 010101 | 101010 | 000000 | 111111, lowest bit last */
    cr_assert(t.bytes == 3 && t.data[0] == 0x3f && t.data[1] == 0xa0 && t.data[2] == 0x56);
    lb_tensor_finish(&t);
    cr_assert_eq(lb_tensor_init(&t, LB_I32, 0, NULL, NULL), 0);
    cr_assert_eq(lb_tensor_set(&t, NULL, 0x01020304, NULL), 0);
    cr_assert(t.elems == 1 && t.bytes == 4 && t.data[0] == 4 && t.data[3] == 1);
    lb_tensor_finish(&t);
}

Test(tensor, checked_indices)
{
    struct lb_tensor t;
    uint64_t code;
    struct lb_err err = {0};
    cr_assert_eq(lb_tensor_init(&t, LB_U8, 2, (const size_t[]){2, 3}, NULL), 0);
    cr_assert(lb_tensor_get(&t, (const size_t[]){2, 0}, &code, &err) == -1 && strstr(err.text, "index 2 of dimension 0"));
    err.set = 0;
    cr_assert(lb_tensor_set(&t, (const size_t[]){0, 3}, 0, &err) == -1 && strstr(err.text, "index 3 of dimension 1"));
    cr_assert_eq(lb_tensor_get(&t, (const size_t[]){SIZE_MAX, SIZE_MAX}, &code, NULL), -1);
    t.readonly = 1;
    err.set = 0;
    cr_assert(lb_tensor_set(&t, (const size_t[]){0, 0}, 0, &err) == -1 && strstr(err.text, "cannot be changed"));
    lb_tensor_finish(&t);
    cr_assert_eq(lb_tensor_init(&t, LB_U8, 2, (const size_t[]){0, 3}, NULL), 0);
    cr_assert_eq(lb_tensor_get(&t, (const size_t[]){0, 0}, &code, NULL), -1);
    lb_tensor_finish(&t);
}

/* Rows of a (6, cols) tensor: whether the view is legal, and where it begins. */
static const struct {
    enum lb_dtype_id dtype;
    size_t cols, first, rows;
    int r;
    size_t skip, bytes;
} views[] = {
    {LB_F32, 2, 1, 3, 0, 8, 24},    {LB_F32, 2, 0, 6, 0, 0, 48},        {LB_F32, 2, 6, 0, 0, 48, 0},    {LB_F32, 2, 5, 2, -1, 0, 0},
    {LB_F32, 2, 7, 0, -1, 0, 0},    {LB_F32, 2, 1, SIZE_MAX, -1, 0, 0}, {LB_F32, 0, 1, 3, 0, 0, 0},     {LB_F4, 2, 1, 1, 0, 1, 1},
    {LB_F4, 3, 1, 2, -1, 0, 0},     {LB_F4, 3, 1, 1, -1, 0, 0},         {LB_F4, 3, 1, 5, -1, 0, 0},     {LB_F4, 3, 2, 1, -1, 0, 0},
    {LB_F4, 3, 2, 2, 0, 3, 3},      {LB_F6_E2M3, 2, 0, 2, 0, 0, 3},     {LB_F6_E2M3, 2, 2, 4, 0, 3, 6}, {LB_F6_E2M3, 2, 1, 2, -1, 0, 0},
    {LB_F6_E2M3, 3, 4, 2, 0, 9, 5}, {LB_F6_E2M3, 3, 4, 1, -1, 0, 0},
};

Test(tensor, views)
{
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        struct lb_tensor t, v = {0};
        cr_assert_eq(lb_tensor_init(&t, views[i].dtype, 2, (const size_t[]){6, views[i].cols}, NULL), 0);
        cr_assert_eq(lb_tensor_view(&t, views[i].first, views[i].rows, &v, NULL), views[i].r, "case %zu", i);
        if (!views[i].r) {
            cr_assert(v.data == t.data + views[i].skip && v.bytes == views[i].bytes && !v.owned, "case %zu", i);
            cr_assert(v.shape[0] == views[i].rows && v.shape[1] == views[i].cols && v.elems == views[i].rows * views[i].cols, "case %zu",
                      i);
        }
        lb_tensor_finish(&v);
        lb_tensor_finish(&t);
    }
    struct lb_tensor scalar, v;
    struct lb_err err = {0};
    cr_assert_eq(lb_tensor_init(&scalar, LB_F32, 0, NULL, NULL), 0);
    cr_assert(lb_tensor_view(&scalar, 0, 1, &v, &err) == -1 && strstr(err.text, "scalar"));
    lb_tensor_finish(&scalar);
    /* No element, but dimensions whose product does not fit: the product from the left is 0. */
    cr_assert_eq(lb_tensor_init(&scalar, LB_U8, 3, (const size_t[]){0, SIZE_MAX, 2}, NULL), 0);
    cr_assert_eq(lb_tensor_view(&scalar, 0, 0, &v, NULL), 0);
    lb_tensor_finish(&scalar);
}

Test(tensor, clone_and_reshape)
{
    struct lb_tensor t, c, r;
    struct lb_err err = {0};
    size_t before = lb_mem_now();
    cr_assert_eq(lb_tensor_init(&t, LB_I16, 2, (const size_t[]){4, 3}, NULL), 0);
    for (size_t i = 0; i < t.bytes; i++)
        t.data[i] = (unsigned char)i;
    t.readonly = 1;
    cr_assert_eq(lb_tensor_clone(&t, &c, NULL), 0);
    cr_assert(c.owned && !c.readonly && c.data != t.data && c.ndim == 2 && !memcmp(c.data, t.data, t.bytes));
    cr_assert_eq(lb_tensor_reshape(&t, 3, (const size_t[]){2, 1, 6}, &r, NULL), 0);
    cr_assert(!r.owned && r.readonly && r.data == t.data && r.ndim == 3 && r.bytes == t.bytes && r.dtype == LB_I16);
    cr_assert_eq(lb_tensor_reshape(&t, 1, (const size_t[]){13}, &r, &err), -1);
    cr_assert_str_eq(err.text, "[4, 3] has 12 elements, [13] has 13");
    cr_assert_eq(lb_tensor_reshape(&t, 2, (const size_t[]){SIZE_MAX, 12}, &r, NULL), -1);
    cr_assert_eq(lb_tensor_reshape(&t, 0, NULL, &r, NULL), -1);
    lb_tensor_finish(&c);
    lb_tensor_finish(&t);
    cr_assert_eq(lb_mem_now(), before);
}

Test(tensor, shape_text)
{
    char buf[64], small[8];
    cr_assert_str_eq(lb_shape_text(3, (const size_t[]){60000, 28, 28}, buf, sizeof buf), "[60000, 28, 28]");
    cr_assert_str_eq(lb_shape_text(0, NULL, buf, sizeof buf), "[]");
    cr_assert_str_eq(lb_shape_text(1, (const size_t[]){0}, buf, sizeof buf), "[0]");
    cr_assert_str_eq(lb_shape_text(2, (const size_t[]){1234567, 89}, small, sizeof small), "[123456");
}
