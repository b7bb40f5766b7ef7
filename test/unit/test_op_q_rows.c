/* SPDX-License-Identifier: MIT */
/* The other ops on integer tensors of backend `cpu`, with each instruction set and one to three threads, against loops. */
#include "test/unit/q_util.h"

enum { ROW_CASES = 150, IMAGE_CASES = 150, COPY_CASES = 120 };

/* ---- Element by element ---- */

/* A shape with now few, now enough elements for three threads. */
static void draw_shape(struct op_run *t, size_t *rows, size_t *cols)
{
    *rows = op_draw(t, 1, 9);
    *cols = op_draw(t, 0, 11) ? op_draw(t, 1, 150) : op_draw(t, 10000, 30000);
}

static void one_requantize(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_requantize op = {.per_column = (int)op_draw(t, 0, 1), .out = q_draw_out(t, 1)};
    struct q_tensor x, multiplier, shift;
    struct q_pair y;
    draw_shape(t, &op.rows, &op.cols);
    const size_t n = op.rows * op.cols, factors = op.per_column ? op.cols : 1;
    op_name(t, "%zu x %zu, per_column=%d, threads=%u", op.rows, op.cols, op.per_column, threads);
    int32_t *v = q_ints(t, &x, n), *m = q_ints(t, &multiplier, factors), *s = q_ints(t, &shift, factors);
    const size_t terms = op_draw(t, 0, 1) ? 10 : (size_t)1 << 30;
    for (size_t i = 0; i < n; i++)
        v[i] = terms == 10 ? v[i] % 4096 : v[i];
    for (size_t i = 0; i < factors; i++)
        q_draw_factor(t, terms, &m[i], &s[i]);
    for (size_t i = 0; i < 4 && i < n; i++)
        v[i] = i % 2 ? INT32_MIN : INT32_MAX;
    q_outputs(t, &y, q_size(&op.out, n));
    for (size_t i = 0; i < n; i++)
        q_put(&op.out, &y.want, i, v[i], m[op.per_column ? i % op.cols : 0], s[op.per_column ? i % op.cols : 0]);
    op.x = x.ref;
    op.multiplier = multiplier.ref;
    op.shift = shift.ref;
    op.y = y.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_requantize(d->dev, &op) == 0, "%s", "q_requantize failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

/* Numbers near the middles between two codes, beyond all codes, special ones. */
static float draw_number(struct op_run *t, float scale, size_t i)
{
    const canon_words r = op_words(t, 0x800, i);
    const float half = (float)((int32_t)(r.w[0] % 1200) - 600) * 0.5f * scale;
    switch (r.w[1] % 16) {
    case 0:
        return op_special(r.w[2]);
    case 1:
        return op_not_finite(r.w[2]);
    case 2:
        return canon_float(r.w[2]);
    case 3:
    case 4:
        return canon_float(canon_bits(half) + r.w[2] % 3 - 1);
    case 5:
    case 6:
    case 7:
        return half;
    default:
        return (canon_unit(r.w[0]) - 0.5f) * 600.0f * scale;
    }
}

static void one_quantize(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_quantize op = {.per_column = (int)op_draw(t, 0, 1), .out = q_draw_out(t, 0)};
    struct q_tensor x, scale;
    struct q_pair y;
    draw_shape(t, &op.rows, &op.cols);
    const size_t n = op.rows * op.cols, scales = op.per_column ? op.cols : 1;
    op_name(t, "%zu x %zu, per_column=%d, threads=%u", op.rows, op.cols, op.per_column, threads);
    float *v = (float *)(void *)q_ints(t, &x, n), *s = (float *)(void *)q_ints(t, &scale, scales);
    for (size_t i = 0; i < scales; i++)
        s[i] = op_draw(t, 0, 2) ? canon_unit(q_random(t)) + 0x1p-20f : canon_float((uint32_t)op_draw(t, 1, 0x7f7fffff));
    for (size_t i = 0; i < n; i++)
        v[i] = draw_number(t, s[op.per_column ? i % op.cols : 0], i);
    q_outputs(t, &y, n);
    for (size_t i = 0; i < n; i++) {
        const float q = v[i] / s[op.per_column ? i % op.cols : 0];
        const double whole = q != q ? 0 : rint(q > 1e6f ? 1e6 : q < -1e6f ? -1e6 : (double)q);
        y.want.bytes[i] = q_held(&op.out, (int64_t)whole);
    }
    op.x = x.ref;
    op.scale = scale.ref;
    op.y = y.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_quantize(d->dev, &op) == 0, "%s", "q_quantize failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

static void one_dequantize(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_dequantize op = {.per_column = (int)op_draw(t, 0, 1), .x_type = op_draw(t, 0, 1) ? LB_Q_S32 : q_draw_type(t)};
    struct q_tensor x, scale;
    struct q_pair y;
    draw_shape(t, &op.rows, &op.cols);
    const int wide = op.x_type == LB_Q_S32;
    const size_t n = op.rows * op.cols, scales = op.per_column ? op.cols : 1;
    op.zero = wide ? (int32_t)q_random(t) : q_draw_zero(t, op.x_type);
    op_name(t, "%zu x %zu, per_column=%d, type %u, threads=%u", op.rows, op.cols, op.per_column, op.x_type, threads);
    q_make(t, &x, wide ? 4 * n : n);
    float *s = (float *)(void *)q_ints(t, &scale, scales);
    for (size_t i = 0; i < scales; i++)
        s[i] = op_draw(t, 0, 3) ? canon_unit(q_random(t)) : op_draw(t, 0, 1) ? op_special(q_random(t)) : op_not_finite(q_random(t));
    q_outputs(t, &y, 4 * n);
    for (size_t i = 0; i < n; i++) {
        const int32_t q = wide ? ((const int32_t *)(const void *)x.bytes)[i] : q_number(op.x_type, x.bytes[i]);
        const float v = (float)(int32_t)((uint32_t)q - (uint32_t)op.zero) * s[op.per_column ? i % op.cols : 0];
        ((float *)(void *)y.want.bytes)[i] = v != v ? canon_float(0x7fc00000u) : v;
    }
    op.x = x.ref;
    op.scale = scale.ref;
    op.y = y.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_dequantize(d->dev, &op) == 0, "%s", "q_dequantize failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

static void one_table(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_table op = {.n = op_draw(t, 0, 7) ? op_draw(t, 1, 400) : op_draw(t, 150000, 300000)};
    const int in_place = (int)op_draw(t, 0, 1);
    struct q_tensor x, table;
    struct q_pair y;
    op_name(t, "n=%zu in_place=%d threads=%u", op.n, in_place, threads);
    q_make(t, &x, op.n);
    q_make(t, &table, 256);
    q_outputs(t, &y, op.n);
    for (size_t i = 0; i < op.n; i++) {
        y.want.bytes[i] = table.bytes[x.bytes[i]];
        if (in_place)
            y.got.bytes[i] = x.bytes[i];
    }
    op.x = in_place ? y.got.ref : x.ref;
    op.y = y.got.ref;
    op.table = table.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_table(d->dev, &op) == 0, "%s", "q_table failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

static void one_binary(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_binary op = {
        .kind = op_draw(t, 0, 1) ? LB_Q_ADD : LB_Q_MUL, .a_type = q_draw_type(t), .b_type = q_draw_type(t), .out = q_draw_out(t, 0)};
    struct q_tensor a, b;
    struct q_pair y;
    size_t rows;
    draw_shape(t, &rows, &op.n);
    op.n *= rows;
    op.a_zero = q_draw_zero(t, op.a_type);
    op.b_zero = q_draw_zero(t, op.b_type);
    q_draw_factor(t, 2, &op.a_multiplier, &op.shift);
    q_draw_factor(t, 2, &op.b_multiplier, &op.shift);
    const int in_place = (int)op_draw(t, 0, 1);
    op_name(t, "n=%zu kind=%u types %u %u in_place=%d threads=%u", op.n, op.kind, op.a_type, op.b_type, in_place, threads);
    q_make(t, &a, op.n);
    q_make(t, &b, op.n);
    q_outputs(t, &y, op.n);
    for (size_t i = 0; i < op.n; i++) {
        const int64_t p = q_number(op.a_type, a.bytes[i]) - op.a_zero, q = q_number(op.b_type, b.bytes[i]) - op.b_zero;
        const int64_t r = op.kind == LB_Q_ADD ? q_rounded(p * op.a_multiplier + q * op.b_multiplier, 1, op.shift)
                                              : q_rounded(p * q, op.a_multiplier, op.shift);
        y.want.bytes[i] = q_held(&op.out, r);
        if (in_place)
            y.got.bytes[i] = a.bytes[i];
    }
    op.a = in_place ? y.got.ref : a.ref;
    op.b = b.ref;
    op.y = y.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_binary(d->dev, &op) == 0, "%s", "q_binary failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

/* ---- Images ---- */

static struct lb_q_conv draw_images(struct op_run *t, int dilated)
{
    struct lb_q_conv s = {.n = op_draw(t, 1, 3), .c = op_draw(t, 1, op_draw(t, 0, 2) ? 9 : 90), .groups = 1, .dilation = 1};
    s.o = s.c;
    s.kh = op_draw(t, 1, 4);
    s.kw = op_draw(t, 1, 4);
    s.stride = op_draw(t, 1, 3);
    s.pad = op_draw(t, 0, (s.kh < s.kw ? s.kh : s.kw) - 1);
    s.dilation = dilated && op_draw(t, 0, 1) ? op_draw(t, 2, 3) : 1;
    const size_t eh = s.dilation * (s.kh - 1) + 1, ew = s.dilation * (s.kw - 1) + 1;
    s.h = eh + op_draw(t, 0, 10);
    s.w = ew + op_draw(t, 0, 20);
    s.oh = (s.h + 2 * s.pad - eh) / s.stride + 1;
    s.ow = (s.w + 2 * s.pad - ew) / s.stride + 1;
    return s;
}

static void name_images(struct op_run *t, const struct lb_q_conv *s, unsigned threads)
{
    op_name(t, "n=%zu h=%zu w=%zu c=%zu %zux%zu stride=%zu pad=%zu dilation=%zu threads=%u", s->n, s->h, s->w, s->c, s->kh, s->kw,
            s->stride, s->pad, s->dilation, threads);
}

/* Byte (iy, ix, c) of image n; *inside: whether it is there. */
static unsigned char byte_at(const struct lb_q_conv *s, const struct q_tensor *x, size_t n, ptrdiff_t iy, ptrdiff_t ix, size_t c,
                             int *inside)
{
    *inside = iy >= 0 && ix >= 0;
    return *inside ? x->bytes[((n * s->h + (size_t)iy) * s->w + (size_t)ix) * s->c + c] : 0;
}

static unsigned char expect_pool(const struct lb_q_pool *o, const struct q_tensor *x, size_t i, const int32_t *scales)
{
    const struct lb_q_conv *s = &o->s;
    const size_t c = i % s->c, ox = i / s->c % s->ow, oy = i / s->c / s->ow % s->oh, n = i / s->c / s->ow / s->oh;
    int32_t largest = -1000, sum = 0;
    size_t taps = 0;
    for (size_t k = 0; k < s->kh * s->kw; k++) {
        int inside;
        const unsigned char b = byte_at(s, x, n, q_place(s, oy, k / s->kw, s->h), q_place(s, ox, k % s->kw, s->w), c, &inside);
        if (!inside)
            continue;
        const int32_t v = q_number(o->x_type, b);
        largest = v > largest ? v : largest;
        sum += v - o->x_zero;
        taps++;
    }
    return o->kind == LB_Q_MAX ? (unsigned char)largest : q_held(&o->out, q_rounded(sum, scales[2 * taps - 2], scales[2 * taps - 1]));
}

static void one_pool(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_pool op = {
        .s = draw_images(t, 0), .kind = op_draw(t, 0, 1) ? LB_Q_MAX : LB_Q_AVERAGE, .x_type = q_draw_type(t), .out = q_draw_out(t, 0)};
    const struct lb_q_conv *s = &op.s;
    const size_t n = s->n * s->oh * s->ow * s->c;
    struct q_tensor x, scales;
    struct q_pair y;
    op.x_zero = q_draw_zero(t, op.x_type);
    name_images(t, s, threads);
    q_make(t, &x, s->n * s->h * s->w * s->c);
    int32_t *f = q_ints(t, &scales, 2 * s->kh * s->kw);
    for (size_t i = 0; i < s->kh * s->kw; i++)
        q_draw_factor(t, 1, &f[2 * i], &f[2 * i + 1]);
    q_outputs(t, &y, n);
    for (size_t i = 0; i < n; i++)
        y.want.bytes[i] = expect_pool(&op, &x, i, f);
    op.x = x.ref;
    op.y = y.got.ref;
    op.scales = scales.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_pool(d->dev, &op) == 0, "%s", "q_pool failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

/* Where column i of the matrix of all positions comes from. */
static unsigned char column_at(const struct lb_q_conv *s, const struct q_tensor *x, size_t i, int *inside, size_t *image)
{
    const size_t taps = s->kh * s->kw, c = i % s->c, k = i / s->c % taps, p = i / s->c / taps;
    const size_t ox = p % s->ow, oy = p / s->ow % s->oh, n = p / s->ow / s->oh;
    const ptrdiff_t iy = q_place(s, oy, k / s->kw, s->h), ix = q_place(s, ox, k % s->kw, s->w);
    *inside = iy >= 0 && ix >= 0;
    *image = *inside ? ((n * s->h + (size_t)iy) * s->w + (size_t)ix) * s->c + c : 0;
    return x ? byte_at(s, x, n, iy, ix, c, inside) : 0;
}

static void one_columns(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    const struct lb_q_conv s = draw_images(t, 1);
    const size_t image = s.n * s.h * s.w * s.c, columns = s.n * s.oh * s.ow * s.kh * s.kw * s.c;
    struct lb_q_columns im2col = {.s = s, .zero = (int32_t)op_draw(t, 0, 383) - 128};
    struct lb_q_col2im col2im = {.s = s, .x_type = q_draw_type(t), .out = q_draw_out(t, 1)};
    struct q_tensor x, p;
    struct q_pair y, z;
    size_t at;
    int inside;
    q_draw_factor(t, s.kh * s.kw, &col2im.multiplier, &col2im.shift);
    col2im.x_zero = q_draw_zero(t, col2im.x_type);
    name_images(t, &s, threads);
    q_make(t, &x, image);
    q_make(t, &p, columns);
    q_outputs(t, &y, columns);
    q_outputs(t, &z, q_size(&col2im.out, image));
    int32_t *sums = calloc(image, sizeof *sums);
    for (size_t i = 0; i < columns; i++) {
        const unsigned char byte = column_at(&s, &x, i, &inside, &at);
        y.want.bytes[i] = inside ? byte : (unsigned char)im2col.zero;
        sums[at] += inside ? q_number(col2im.x_type, p.bytes[i]) - col2im.x_zero : 0;
    }
    for (size_t i = 0; i < image; i++)
        q_put(&col2im.out, &z.want, i, sums[i], col2im.multiplier, col2im.shift);
    free(sums);
    im2col.x = x.ref;
    im2col.y = y.got.ref;
    col2im.x = p.ref;
    col2im.y = z.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_im2col(d->dev, &im2col) == 0, "%s", "q_im2col failed");
    q_same(t, &y);
    op_assert(t, d->ops->q_col2im(d->dev, &col2im) == 0, "%s", "q_col2im failed");
    q_same(t, &z);
    lb_backend_close(d);
    lb_plugins_unload();
}

/* ---- Copies ---- */

/* Strides of a tensor whose sides lie in the order `order`, the last one innermost, now with gaps. Returns its bytes. */
static size_t draw_strides(struct op_run *t, const size_t *size, const size_t *order, size_t *stride)
{
    size_t bytes = 1;
    for (size_t i = 4; i-- > 0;) {
        stride[order[i]] = bytes;
        bytes = bytes * size[order[i]] + (op_draw(t, 0, 4) ? 0 : op_draw(t, 1, 3));
    }
    return bytes;
}

static void one_copy(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    const int large = op_draw(t, 0, 9) == 0;
    struct lb_q_copy op = {.x_at = op_draw(t, 0, 5), .y_at = op_draw(t, 0, 5)};
    size_t order[2][4] = {{0, 1, 2, 3}, {0, 1, 2, 3}};
    struct q_tensor x;
    struct q_pair y;
    for (size_t i = 0; i < 4; i++)
        op.size[i] = op_draw(t, 0, 3) ? op_draw(t, 1, large ? 24 : 9) : op_draw(t, 0, 9) ? op_draw(t, 1, 70) : 0;
    for (size_t i = 0; i < 8; i++) {
        const size_t a = op_draw(t, 0, 3), b = op_draw(t, 0, 3), swap = order[i % 2][a];
        order[i % 2][a] = order[i % 2][b];
        order[i % 2][b] = swap;
    }
    memcpy(order[1], order[op_draw(t, 0, 1)], sizeof order[1]);
    const size_t x_bytes = draw_strides(t, op.size, order[0], op.x_stride), y_bytes = draw_strides(t, op.size, order[1], op.y_stride);
    if (op_draw(t, 0, 4) == 0)
        op.x_stride[op_draw(t, 0, 3)] = 0; /* the same bytes again and again */
    op_name(t, "%zu x %zu x %zu x %zu, from %zu %zu %zu %zu to %zu %zu %zu %zu, threads=%u", op.size[0], op.size[1], op.size[2], op.size[3],
            op.x_stride[0], op.x_stride[1], op.x_stride[2], op.x_stride[3], op.y_stride[0], op.y_stride[1], op.y_stride[2], op.y_stride[3],
            threads);
    q_make(t, &x, op.x_at + x_bytes);
    q_outputs(t, &y, op.y_at + y_bytes);
    size_t i[4];
    for (i[0] = 0; i[0] < op.size[0]; i[0]++)
        for (i[1] = 0; i[1] < op.size[1]; i[1]++)
            for (i[2] = 0; i[2] < op.size[2]; i[2]++)
                for (i[3] = 0; i[3] < op.size[3]; i[3]++) {
                    size_t from = op.x_at, to = op.y_at;
                    for (size_t k = 0; k < 4; k++) {
                        from += i[k] * op.x_stride[k];
                        to += i[k] * op.y_stride[k];
                    }
                    y.want.bytes[to] = x.bytes[from];
                }
    op.x = x.ref;
    op.y = y.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_copy(d->dev, &op) == 0, "%s", "q_copy failed");
    q_same(t, &y);
    lb_backend_close(d);
    lb_plugins_unload();
}

#define OP(name, n)                                                                                                                        \
    Test(q_##name, c)                                                                                                                      \
    {                                                                                                                                      \
        op_cases("q_" #name "/c", "c", n, one_##name);                                                                                     \
    }                                                                                                                                      \
    Test(q_##name, avx2)                                                                                                                   \
    {                                                                                                                                      \
        op_cases("q_" #name "/avx2", "avx2", n, one_##name);                                                                               \
    }                                                                                                                                      \
    Test(q_##name, vnni)                                                                                                                   \
    {                                                                                                                                      \
        op_cases("q_" #name "/vnni", "vnni", n, one_##name);                                                                               \
    }

OP(requantize, ROW_CASES)
OP(quantize, ROW_CASES)
OP(dequantize, ROW_CASES)
OP(table, ROW_CASES / 2)
OP(binary, ROW_CASES)
OP(pool, IMAGE_CASES)
OP(columns, IMAGE_CASES)
OP(copy, COPY_CASES)
