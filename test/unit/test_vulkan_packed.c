/* SPDX-License-Identifier: MIT */
/* The backend vulkan with packed weights, beside what `lowbit verify` compares: lists, codecs that bring a text of their own, weights that do not fit into
 * a binding, what is refused. */
#include "core/format/packed.h"
#include "core/nn/ops_packed.h"
#include "core/nn/ops_quantizer.h"
#include "kernels/canon.h"
#include "nn_util.h"

static struct lb_err err;

#define run_op(d, op, args) cr_assert_eq(LB_RUN(d, op, args, &err), 0, "%s", err.text)

static float *numbers(size_t n, uint32_t stream)
{
    float *x = keep(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = 2 * canon_unit(canon_random64(11, stream, i).w[0]) - 1;
    return x;
}

static void same(const char *what, const float *want, const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert(canon_bits(want[i]) == canon_bits(got[i]), "%s: element %zu of %zu: expected 0x%08x (%g), got 0x%08x (%g)", what, i, n,
                  canon_bits(want[i]), (double)want[i], canon_bits(got[i]), (double)got[i]);
}

static void *weights(struct lb_dev *d, const struct lb_packed *p, uint32_t uses)
{
    char why[300] = "";
    size_t bytes;
    void *w = d->ops->weights_create(d->dev, p, uses, &bytes, why, sizeof why);
    cr_assert(w, "%s", why);
    return w;
}

/* ---- Products against the same backend's plain ones, on the weights as lb_packed_row has them ---- */

static void compare_products(struct lb_dev *d, const char *what, const struct lb_packed *p, size_t m)
{
    const size_t n = p->rows, k = p->cols;
    float *unpacked = keep(n * k + 1, sizeof *unpacked);
    for (size_t i = 0; i < n && k; i++)
        lb_packed_row(p, i, 0, k, unpacked + i * k);
    const struct lb_ref a = on_device(d, numbers(m * k + 1, 1), m * k + 1), b = on_device(d, unpacked, n * k + 1);
    const struct lb_ref bias = on_device(d, numbers(n, 2), n), want = on_device(d, NULL, m * n), got = on_device(d, NULL, m * n);
    void *w = weights(d, p, LB_USE_F32);
    const struct lb_gemm plain = {.a = a, .b = b, .bias = bias, .c = want, .m = m, .n = n, .k = k, .trans_b = 1, .act = LB_RELU};
    const struct lb_gemm_packed packed = {.a = a, .bias = bias, .c = got, .w = w, .m = m, .n = n, .k = k, .act = LB_RELU};
    run_op(d, gemm, &plain);
    run_op(d, gemm_packed, &packed);
    same(what, from_device(d, want, m * n), from_device(d, got, m * n), m * n);
    d->ops->weights_free(d->dev, w);
}

/* A matrix of drawn codes of a codec of the test's own. */
static struct lb_packed drawn(const struct lb_codes *q, size_t rows, size_t cols)
{
    const struct lb_codec *k = q->codec;
    struct lb_packed p = {.rows = rows, .cols = cols, .q = *q, .block = cols};
    p.row_bytes = k->bits ? (cols * k->bits + 7) / 8 : (cols + k->unit_elems - 1) / k->unit_elems * k->unit_bytes;
    unsigned char *codes = keep(rows * p.row_bytes + 1, 1);
    for (size_t i = 0; i < rows * p.row_bytes; i++)
        codes[i] = (unsigned char)canon_random64(12, 3, i).w[0];
    p.codes = codes;
    return p;
}

static void decode_table(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = c->values[lb_code_get(codes, c->codec->bits, first + i)];
}

/* ---- Texts ---- */

/* 12 bits, and no form that the backend knows. */
static double squares(const struct lb_codec *c, uint32_t code)
{
    const double x = (double)code - 2048;
    (void)c;
    return x < 0 ? -x * x : x * x;
}
static const char squares_text[] =
    "float lb_value(uint code)\n{\n    float x = float(int(code)) - 2048.0;\n    return x < 0.0 ? -x * x : x * x;\n}\n";

static struct lb_codes wide(struct lb_codec *c, double (*value)(const struct lb_codec *, uint32_t), const char *text)
{
    float *values = keep((size_t)1 << 12, sizeof *values);
    *c = (struct lb_codec){.base = {.name = "wide"}, .bits = 12, .unit_elems = 2, .unit_bytes = 3, .value = value, .glsl = text};
    for (uint32_t i = 0; i < 1u << 12; i++)
        values[i] = (float)value(c, i);
    return (struct lb_codes){.codec = c, .values = values, .decode = decode_table};
}

/* Five elements in three bytes: a scale and four bits each, the last of them none. */
static void decode_block(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    const unsigned char *u = codes;
    (void)c;
    for (size_t i = 0; i < n; i++, u += i % 5 == 0 ? 3 : 0)
        x[i] = i % 5 == 4 ? u[0] : (double)(u[0] * (int)(u[1 + i % 5 / 2] >> (i % 2 * 4) & 15));
}
static void decode_block32(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    double y[64];
    for (size_t i = 0; i < n; i += 5) {
        c->codec->decode(c->codec, (const unsigned char *)codes + (first + i) / 5 * 3, 5, y);
        for (size_t j = 0; j < 5 && i + j < n; j++)
            x[i + j] = (float)y[j];
    }
}
static const char block_text[] = "float lb_element(uint at, uint i)\n"
                                 "{\n"
                                 "    uint s = lb_byte(at), e = min(i, 3u);\n"
                                 "    return float(int(i == 4u ? s : s * (lb_byte(at + 1u + e / 2u) >> (e % 2u * 4u) & 15u)));\n"
                                 "}\n";

Test(vulkan_packed, a_codec_brings_its_own_text)
{
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    struct lb_codec c;
    const struct lb_codes q = wide(&c, squares, squares_text);
    const struct lb_packed p = drawn(&q, 40, 301);
    compare_products(d, "12 bits, few rows", &p, 5);
    compare_products(d, "12 bits, many rows", &p, 40);
    struct lb_codec b = {
        .base = {.name = "block"}, .unit_elems = 5, .unit_bytes = 3, .kind = LB_SIGNED, .decode = decode_block, .glsl = block_text};
    const struct lb_codes blocks = {.codec = &b, .decode = decode_block32};
    const struct lb_packed r = drawn(&blocks, 33, 64);
    compare_products(d, "blocks of five", &r, 9);
    drop_all();
}

/* The text says what codes are worth by themselves; values that were made of them are something else. */
static void decode_other(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    decode_block32(c, codes, first, n, x);
    for (size_t i = 0; i < n; i++)
        x[i] = x[i] / 100 - 1;
}

Test(vulkan_packed, a_text_is_taken_for_the_codec_alone)
{
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    struct lb_codec c;
    struct lb_codes q = wide(&c, squares, squares_text);
    float *other = keep((size_t)1 << 12, sizeof *other);
    for (uint32_t i = 0; i < 1u << 12; i++)
        other[i] = q.values[i] / 100 - 1;
    q.values = other;
    const struct lb_packed p = drawn(&q, 120, 300);
    compare_products(d, "values made of a codec's", &p, 3);
    struct lb_codec b = {
        .base = {.name = "block"}, .unit_elems = 5, .unit_bytes = 3, .kind = LB_SIGNED, .decode = decode_block, .glsl = block_text};
    const struct lb_codes blocks = {.codec = &b, .decode = decode_other};
    const struct lb_packed r = drawn(&blocks, 3, 10);
    char why[300] = "";
    size_t bytes;
    cr_assert_null(d->ops->weights_create(d->dev, &r, LB_USE_F32, &bytes, why, sizeof why));
    cr_assert(strstr(why, "neither a table of values nor a GLSL text"), "%s", why);
    drop_all();
}

Test(vulkan_packed, what_cannot_be_is_told)
{
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    char why[300] = "";
    size_t bytes;
    struct lb_codec c;
    struct lb_codes q = wide(&c, squares, "float lb_value(uint code)\n{\n    return nonsense;\n}\n");
    struct lb_packed p = drawn(&q, 120, 300);
    cr_assert_null(d->ops->weights_create(d->dev, &p, LB_USE_F32, &bytes, why, sizeof why));
    cr_assert(strstr(why, "lb_codec.glsl:3") && strstr(why, "nonsense"), "a fault in a codec's text: %s", why);
    q.codec = &(struct lb_codec){.base = {.name = "wide"}, .bits = 12, .unit_elems = 2, .unit_bytes = 3, .value = squares};
    p = drawn(&q, 2, 30);
    cr_assert_null(d->ops->weights_create(d->dev, &p, LB_USE_F32, &bytes, why, sizeof why));
    cr_assert(strstr(why, "table of wide's values would be larger"), "%s", why);
    p = drawn(&q, 120, 300);
    cr_assert_null(d->ops->weights_create(d->dev, &p, LB_USE_INT8, &bytes, why, sizeof why));
    cr_assert(strstr(why, "no integers of 8 bits"), "%s", why);
    drop_all();
}

/* ---- Lists, slabs, no terms ---- */

static struct lb_ops_packed *matrix(const struct lb_ops_like *like)
{
    struct lb_ops_packed *c;
    cr_assert_eq(lb_ops_packed_create(like, 5, &c, &err), 0, "%s", err.text);
    return c;
}

static const struct lb_ops_like mxint = {
    .codec = "I4", .rows = 70, .cols = 200, .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"};

/* Encoding, both products: directly, and by a list that is replayed. */
Test(vulkan_packed, lists_do_what_the_ops_do)
{
    enum { M = 30, N = 70, K = 200, TURNS = 3 };
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    struct lb_ops_packed *own = matrix(&mxint);
    const struct lb_ops_quantizer_like scale = {.codec = "F8_E4M3", .how = {.overflow = -1}, .rule = LB_SCALE_ABSMAX, .block = SIZE_MAX};
    const struct lb_ops_quantizer_like by = {.codec = "F4", .how = {.overflow = -1}, .rule = LB_SCALE_ABSMAX, .block = 16, .scale = &scale};
    struct lb_ops_quantizer *tables;
    cr_assert_eq(lb_ops_quantizer_create(&by, &tables, &err), 0, "%s", err.text);
    char why[300] = "";
    void *q = d->ops->quantizer_create(d->dev, &tables->q, why, sizeof why), *w = weights(d, &own->p, LB_USE_F32 | LB_USE_INT8);
    cr_assert(q, "%s", why);
    const struct lb_ref x = on_device(d, NULL, M * K), e = on_device(d, NULL, M * K);
    struct lb_ref out[4];
    for (int i = 0; i < 4; i++)
        out[i] = on_device(d, NULL, M * N);
    void *list = NULL;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int listed = 0; listed < 2; listed++) {
            const struct lb_quantize encode = {.x = x, .y = e, .q = q, .rows = M, .cols = K};
            const struct lb_gemm_packed f32 = {.a = e, .c = out[2 * listed], .w = w, .m = M, .n = N, .k = K};
            const struct lb_gemm_packed int8 = {.a = e, .c = out[2 * listed + 1], .w = w, .m = M, .n = N, .k = K, .block = 32};
            cr_assert_eq(lb_buf_write(d, x.buf, 0, numbers(M * K, 20 + (uint32_t)turn), M * K, &err), 0, "%s", err.text);
            if (listed && !list)
                cr_assert(list = d->ops->record(d->dev));
            if (!listed || turn == 0) {
                run_op(d, quantize, &encode);
                run_op(d, gemm_packed, &f32);
                run_op(d, gemm_int8, &int8);
            }
            if (listed && turn == 0)
                cr_assert_eq(d->ops->record_end(d->dev, list), 0);
            if (listed)
                cr_assert_eq(d->ops->replay(d->dev, list), 0);
        }
        same("gemm_packed", from_device(d, out[0], M * N), from_device(d, out[2], M * N), M * N);
        same("gemm_int8", from_device(d, out[1], M * N), from_device(d, out[3], M * N), M * N);
    }
    d->ops->record_free(d->dev, list);
    d->ops->weights_free(d->dev, w);
    d->ops->quantizer_free(d->dev, q);
    lb_ops_quantizer_destroy(tables);
    lb_ops_packed_destroy(own);
    drop_all();
}

/* A binding that reaches less far than the weights: slabs of some rows. Scales then begin anywhere in a word, and second levels anywhere in a group. */
Test(vulkan_packed, weights_that_no_binding_reaches_are_cut)
{
    setenv("LOWBIT_VULKAN_TEST", "reach=700", 1);
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    struct lb_ops_like like = mxint;
    like.second = LB_OPS_SECOND_GROUPS;
    like.group2 = 9;
    like.offset = 1;
    struct lb_ops_packed *own = matrix(&like);
    compare_products(d, "cut, few rows", &own->p, 3);
    compare_products(d, "cut, many rows", &own->p, 40);
    lb_ops_packed_destroy(own);
    drop_all();
}

Test(vulkan_packed, products_without_terms_end)
{
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    struct lb_codec c;
    const struct lb_codes q = wide(&c, squares, squares_text);
    const struct lb_packed p = drawn(&q, 40, 0);
    compare_products(d, "no terms", &p, 30);
    drop_all();
}
