/* SPDX-License-Identifier: MIT */
/* The backend vulkan's integer tensors beside what `lowbit verify` compares: a network of them as a list, large products, groups of a convolution
 * whose weights are cut, what is refused. */
#include "kernels/canon.h"
#include "nn_util.h"

static struct lb_err err;

#define run_op(d, op, args) cr_assert_eq(LB_RUN(d, op, args, &err), 0, "%s", err.text)

enum { LEAST_SHIFT = 22 };

static uint32_t *drawn(size_t words, uint32_t stream)
{
    uint32_t *x = keep(words, sizeof *x);
    for (size_t i = 0; i < words; i++)
        x[i] = canon_random64(21, stream, i).w[0];
    return x;
}

static int32_t *between(size_t n, uint32_t stream, int32_t low, int32_t high)
{
    int32_t *x = keep(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = low + (int32_t)(canon_random64(22, stream, i).w[0] % (uint32_t)(high - low + 1));
    return x;
}

static struct lb_ref bytes_on_device(struct lb_dev *d, size_t n, uint32_t stream)
{
    return on_device(d, drawn((n + 3) / 4, stream), (n + 3) / 4);
}

static void *weights(struct lb_dev *d, size_t rows, size_t cols, uint32_t type, int scaled)
{
    const size_t row_bytes = type == LB_Q_U4 || type == LB_Q_S4 ? (cols + 1) / 2 : cols;
    const struct lb_q_matrix m = {.rows = rows,
                                  .cols = cols,
                                  .type = type,
                                  .codes = drawn((rows * row_bytes + 3) / 4, 1),
                                  .row_bytes = row_bytes,
                                  .zero = between(rows, 2, 0, 12),
                                  .bias = between(rows, 3, -100000, 100000),
                                  .multiplier = scaled ? between(rows, 4, 1 << 19, (1 << 22) - 1) : NULL,
                                  .shift = scaled ? between(rows, 5, LEAST_SHIFT + 6, LEAST_SHIFT + 9) : NULL};
    size_t bytes;
    void *w = d->ops->q_weights_create(d->dev, &m, &bytes);
    cr_assert(w, "%s", d->log);
    return w;
}

static const struct lb_q_out u8 = {.type = LB_Q_U8, .zero = 100, .low = 3, .high = 250}, s32 = {.type = LB_Q_S32};

static void same(const char *what, const void *want, const void *got, size_t words)
{
    const uint32_t *a = want, *b = got;
    for (size_t i = 0; i < words; i++)
        cr_assert(a[i] == b[i], "%s: word %zu of %zu: expected 0x%08x, got 0x%08x", what, i, words, a[i], b[i]);
}

/* ---- A network: images, a convolution in groups, a pool, a table, a product with itself, a dense layer, logits ---- */

enum { N = 6, SIDE = 11, CHANNELS = 6, OUTPUTS = 10, POOLED = 5, FEATURES = POOLED * POOLED * OUTPUTS, CLASSES = 7, TURNS = 3 };

struct network {
    struct lb_q_quantize quantize;
    struct lb_q_conv2d conv;
    struct lb_q_pool pool;
    struct lb_q_table table;
    struct lb_q_gemm gemm, large; /* large: more scratch memory than what was recorded before it */
    struct lb_q_binary sum;
    struct lb_q_dense dense;
    struct lb_q_dequantize dequantize;
    void *first, *last;
};

static void make_network(struct lb_dev *d, struct network *n)
{
    enum { IMAGE = SIDE * SIDE * CHANNELS, LARGE = 700 };
    const struct lb_q_conv shape = {.n = N,
                                    .h = SIDE,
                                    .w = SIDE,
                                    .c = CHANNELS,
                                    .o = OUTPUTS,
                                    .kh = 3,
                                    .kw = 2,
                                    .stride = 2,
                                    .pad = 1,
                                    .dilation = 1,
                                    .groups = 2,
                                    .oh = 6,
                                    .ow = 6};
    const struct lb_q_conv windows = {.n = N,
                                      .h = 6,
                                      .w = 6,
                                      .c = OUTPUTS,
                                      .o = OUTPUTS,
                                      .kh = 2,
                                      .kw = 2,
                                      .stride = 1,
                                      .dilation = 1,
                                      .groups = 1,
                                      .oh = POOLED,
                                      .ow = POOLED};
    const float scale = 0.0078125f;
    const int32_t scales[] = {1 << 21, 21, 1 << 21, 22, 2796203, 23, 1 << 21, 23}, one[] = {1 << 20, LEAST_SHIFT + 12};
    const struct lb_ref images = on_device(d, NULL, N * IMAGE), scale_ref = on_device(d, &scale, 1), one_ref = on_device(d, one, 2);
    const struct lb_ref bytes = bytes_on_device(d, N * IMAGE, 6), sums = bytes_on_device(d, N * 36 * OUTPUTS, 7);
    const struct lb_ref pooled = bytes_on_device(d, N * FEATURES, 8), product = bytes_on_device(d, N * FEATURES, 9);
    const struct lb_ref logits = on_device(d, NULL, N * CLASSES), larger = bytes_on_device(d, LARGE * LARGE, 10);
    n->first = weights(d, OUTPUTS, 3 * 2 * CHANNELS / 2, LB_Q_U8, 1);
    n->last = weights(d, CLASSES, FEATURES, LB_Q_S4, 0);
    n->quantize = (struct lb_q_quantize){.x = images, .y = bytes, .scale = scale_ref, .rows = N, .cols = IMAGE, .out = u8};
    n->conv = (struct lb_q_conv2d){.x = bytes, .y = sums, .w = n->first, .s = shape, .x_type = LB_Q_U8, .x_zero = 100, .out = u8};
    n->pool = (struct lb_q_pool){.x = sums,
                                 .y = pooled,
                                 .scales = on_device(d, scales, 8),
                                 .s = windows,
                                 .kind = LB_Q_AVERAGE,
                                 .x_type = LB_Q_U8,
                                 .x_zero = 100,
                                 .out = u8};
    n->table = (struct lb_q_table){.x = pooled, .y = pooled, .table = on_device(d, drawn(64, 11), 64), .n = N * FEATURES};
    n->gemm = (struct lb_q_gemm){.a = pooled,
                                 .b = pooled,
                                 .c = product,
                                 .multiplier = one_ref,
                                 .shift = {one_ref.buf, 1},
                                 .batch = N,
                                 .m = POOLED * POOLED,
                                 .n = OUTPUTS,
                                 .k = OUTPUTS,
                                 .a_row = OUTPUTS,
                                 .b_row = OUTPUTS,
                                 .c_row = OUTPUTS,
                                 .a_step = FEATURES,
                                 .b_step = FEATURES,
                                 .c_step = FEATURES,
                                 .a_zero = 90,
                                 .b_zero = 3,
                                 .out = u8};
    n->large = n->gemm;
    n->large.a = n->large.b = n->large.c = larger;
    n->large.c = bytes_on_device(d, LARGE * LARGE, 12);
    n->large.batch = 1;
    n->large.m = n->large.n = n->large.k = n->large.a_row = n->large.b_row = n->large.c_row = LARGE;
    n->sum = (struct lb_q_binary){.a = pooled,
                                  .b = product,
                                  .y = product,
                                  .n = N * FEATURES,
                                  .kind = LB_Q_ADD,
                                  .a_zero = 90,
                                  .b_zero = 100,
                                  .a_multiplier = 1 << 20,
                                  .b_multiplier = 1 << 20,
                                  .shift = 21,
                                  .out = u8};
    n->dense = (struct lb_q_dense){
        .a = product, .c = logits, .w = n->last, .m = N, .n = CLASSES, .k = FEATURES, .a_type = LB_Q_U8, .a_zero = 100, .out = s32};
    n->dequantize = (struct lb_q_dequantize){
        .x = logits, .y = on_device(d, NULL, N * CLASSES), .scale = scale_ref, .rows = N, .cols = CLASSES, .x_type = LB_Q_S32};
}

static void run_network(struct lb_dev *d, const struct network *n)
{
    run_op(d, q_quantize, &n->quantize);
    run_op(d, q_conv2d, &n->conv);
    run_op(d, q_pool, &n->pool);
    run_op(d, q_table, &n->table);
    run_op(d, q_gemm, &n->gemm);
    run_op(d, q_gemm, &n->large);
    run_op(d, q_binary, &n->sum);
    run_op(d, q_dense, &n->dense);
    run_op(d, q_dequantize, &n->dequantize);
}

static void write_images(struct lb_dev *d, const struct network *n, uint32_t turn)
{
    const size_t elements = N * SIDE * SIDE * CHANNELS;
    float *x = keep(elements, sizeof *x);
    for (size_t i = 0; i < elements; i++)
        x[i] = 2 * canon_unit(canon_random64(23, turn, i).w[0]) - 1;
    cr_assert_eq(lb_buf_write(d, n->quantize.x.buf, 0, x, elements, &err), 0, "%s", err.text);
}

Test(vulkan_q, a_network_as_a_list)
{
    load_plugins();
    struct network n;
    float *want[TURNS];
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    make_network(d, &n);
    for (uint32_t t = 0; t < TURNS; t++) {
        write_images(d, &n, t);
        run_network(d, &n);
        want[t] = from_device(d, n.dequantize.y, N * CLASSES);
        cr_assert(t == 0 || memcmp(want[t], want[t - 1], N * CLASSES * sizeof(float)), "the images make no difference");
    }
    d->ops->q_weights_free(d->dev, n.first);
    d->ops->q_weights_free(d->dev, n.last);
    close_device();

    d = open_device("vulkan", ~0u);
    make_network(d, &n);
    void *list = d->ops->record(d->dev);
    cr_assert(list);
    run_network(d, &n);
    cr_assert_eq(d->ops->record_end(d->dev, list), 0);
    for (uint32_t t = 0; t < TURNS; t++) {
        write_images(d, &n, t);
        cr_assert_eq(d->ops->replay(d->dev, list), 0);
        same("by a list", want[t], from_device(d, n.dequantize.y, N * CLASSES), N * CLASSES);
        run_network(d, &n);
        same("directly", want[t], from_device(d, n.dequantize.y, N * CLASSES), N * CLASSES);
    }
    d->ops->record_free(d->dev, list);
    d->ops->q_weights_free(d->dev, n.first);
    d->ops->q_weights_free(d->dev, n.last);
    drop_all();
}

/* ---- Products, against cpu_ref ---- */

static uint32_t *conv_result(struct lb_dev *d, const struct lb_q_conv *s)
{
    const size_t words = (s->n * s->oh * s->ow * s->o + 3) / 4;
    void *w = weights(d, s->o, s->kh * s->kw * s->c / s->groups, LB_Q_S8, 1);
    const struct lb_q_conv2d o = {.x = bytes_on_device(d, s->n * s->h * s->w * s->c, 30),
                                  .y = bytes_on_device(d, 4 * words, 31),
                                  .w = w,
                                  .s = *s,
                                  .x_type = LB_Q_S8,
                                  .x_zero = -5,
                                  .out = u8};
    run_op(d, q_conv2d, &o);
    void *y = from_device(d, o.y, words);
    d->ops->q_weights_free(d->dev, w);
    return y;
}

static uint32_t *dense_result(struct lb_dev *d, size_t m, size_t n, size_t k, uint32_t type)
{
    const size_t words = (m * n + 3) / 4;
    void *w = weights(d, n, k, type, 1);
    const struct lb_q_dense o = {.a = bytes_on_device(d, m * k, 40),
                                 .c = bytes_on_device(d, 4 * words, 41),
                                 .w = w,
                                 .m = m,
                                 .n = n,
                                 .k = k,
                                 .a_type = LB_Q_U8,
                                 .a_zero = 131,
                                 .out = u8};
    run_op(d, q_dense, &o);
    void *y = from_device(d, o.c, words);
    d->ops->q_weights_free(d->dev, w);
    return y;
}

/* Slabs of output channels that neither begin nor end with a group; rows that are barely as long as what is bound. */
Test(vulkan_q, products_are_cut)
{
    enum { M = 3, LONG = 198 };
    static const char *const settings[] = {"reach=300", "reach=210,tiles=2,dot=1", "reach=50"};
    static const struct lb_q_conv cases[] = {
        {.n = 3, .h = 4, .w = 5, .c = 32, .o = 144, .kh = 1, .kw = 2, .stride = 1, .pad = 2, .dilation = 1, .groups = 4, .oh = 8, .ow = 8},
        {.n = 3, .h = 6, .w = 6, .c = 60, .o = 60, .kh = 3, .kw = 3, .stride = 1, .pad = 1, .dilation = 1, .groups = 60, .oh = 6, .ow = 6}};
    const uint32_t *want[COUNT(cases)];
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    for (size_t i = 0; i < COUNT(cases); i++)
        want[i] = conv_result(d, &cases[i]);
    const uint32_t *want_rows = dense_result(d, M, 4, LONG, LB_Q_S8);
    close_device();
    for (size_t s = 0; s < COUNT(settings); s++) {
        setenv("LOWBIT_VULKAN_TEST", settings[s], 1);
        d = open_device("vulkan", ~0u);
        for (size_t i = 0; i < COUNT(cases); i++)
            same(settings[s], want[i], conv_result(d, &cases[i]), cases[i].n * cases[i].oh * cases[i].ow * cases[i].o / 4);
        same(settings[s], want_rows, dense_result(d, M, 4, LONG, LB_Q_S8), M);
        close_device();
    }
    drop_all();
}

/* Of each size of tiles, more than one; sums that are as long as int32 holds, and longer. */
Test(vulkan_q, large_products)
{
    static const struct {
        size_t m, n, k;
        uint32_t type;
    } cases[] = {{257, 301, 1027, LB_Q_U4}, {140, 200, 784, LB_Q_S8}, {300, 13, 520, LB_Q_U8},
                 {7, 333, 512, LB_Q_S4},    {1, 70, 240000, LB_Q_U8}, {9, 8, 200001, LB_Q_S8}};
    static const char *const settings[] = {"tiles=0", "tiles=1", "tiles=2"};
    const uint32_t *want[COUNT(cases)];
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    for (size_t i = 0; i < COUNT(cases); i++)
        want[i] = dense_result(d, cases[i].m, cases[i].n, cases[i].k, cases[i].type);
    close_device();
    for (size_t s = 0; s < COUNT(settings); s++) {
        setenv("LOWBIT_VULKAN_TEST", settings[s], 1);
        d = open_device("vulkan", ~0u);
        for (size_t i = 0; i < COUNT(cases); i++) {
            const size_t m = cases[i].m, n = cases[i].n, k = cases[i].k;
            char what[100];
            snprintf(what, sizeof what, "m=%zu n=%zu k=%zu %s", m, n, k, settings[s]);
            same(what, want[i], dense_result(d, m, n, k, cases[i].type), (m * n + 3) / 4);
        }
        close_device();
    }
    drop_all();
}

/* ---- What is refused ---- */

Test(vulkan_q, what_cannot_be_done_is_an_error)
{
    load_plugins();
    struct lb_dev *d = open_device("vulkan", ~0u);
    const struct lb_ref some = on_device(d, NULL, 300000);
    struct lb_q_gemm far = {
        .a = some, .b = some, .c = some, .batch = 1, .m = 1, .n = 1, .k = 1000000, .a_row = 1000000, .b_row = 1, .c_row = 1, .out = s32};
    cr_assert_eq(LB_RUN(d, q_gemm, &far, &err), -1);
    cr_assert(strstr(err.text, "q_gemm: sums of 1000000 terms; this backend makes at most 240000"), "%s", err.text);
    err = (struct lb_err){0};
    void *w = weights(d, 4, 10, LB_Q_S8, 1);
    const struct lb_q_dense other = {.a = some, .c = some, .w = w, .m = 1, .n = 4, .k = 11, .out = u8};
    cr_assert_eq(LB_RUN(d, q_dense, &other, &err), -1);
    cr_assert(strstr(err.text, "q_dense: weights of 4 x 10 for a product of 4 x 11"), "%s", err.text);
    err = (struct lb_err){0};
    const struct lb_q_conv2d conv = {
        .x = some,
        .y = some,
        .w = w,
        .s = {.n = 1, .h = 3, .w = 3, .c = 10, .o = 4, .kh = 1, .kw = 1, .stride = 1, .dilation = 1, .groups = 1, .oh = 3, .ow = 3},
        .x_type = LB_Q_U8,
        .x_zero = -1,
        .out = u8};
    cr_assert_eq(LB_RUN(d, q_conv2d, &conv, &err), -1);
    cr_assert(strstr(err.text, "q_conv2d: the input's zero point -1 is not a number of its type"), "%s", err.text);
    d->ops->q_weights_free(d->dev, w);
    drop_all();
}
