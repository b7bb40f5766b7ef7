/* SPDX-License-Identifier: MIT */
/* Products of integer tensors of backend `cpu`, with each instruction set and one to three threads, against loops. */
#include "test/unit/q_util.h"

enum { DENSE_CASES = 200, CONV_CASES = 240, GEMM_CASES = 160 };

/* ---- Weights ---- */

struct weights {
    struct lb_q_matrix m;
    int32_t *w; /* (rows, cols), less their zeros */
    int32_t *bias, *multiplier, *shift;
};

static int32_t code_of(const struct lb_q_matrix *m, size_t i, size_t j)
{
    const unsigned char *row = (const unsigned char *)m->codes + i * m->row_bytes;
    if (m->type == LB_Q_U8 || m->type == LB_Q_S8)
        return q_number(m->type, row[j]);
    const int half = row[j / 2] / (j % 2 ? 16 : 1) % 16;
    return m->type == LB_Q_S4 && half > 7 ? half - 16 : half;
}

/* Zeros: none; the middle; any that the type has; any at all. Where codes are few, a zero goes into the weights. */
static void draw_weights(struct op_run *t, struct weights *w, size_t rows, size_t cols)
{
    const uint32_t type = (uint32_t)op_draw(t, 0, 3);
    const int packed = type == LB_Q_U4 || type == LB_Q_S4, few = op_draw(t, 0, 2) == 0;
    const size_t row_bytes = (packed ? (cols + 1) / 2 : cols) + op_draw(t, 0, 2), zeros = op_draw(t, 0, 3);
    unsigned char *codes = malloc(rows * row_bytes + 1);
    int32_t *n = malloc((4 * rows + rows * cols + 1) * sizeof *n), *zero = n + 3 * rows;
    *w = (struct weights){.bias = n, .multiplier = n + rows, .shift = n + 2 * rows, .w = n + 4 * rows};
    for (size_t i = 0; i < rows * row_bytes; i++)
        codes[i] = (unsigned char)(few && !packed ? 100 + op_words(t, 0x700, i).w[0] % 28 : op_words(t, 0x700, i).w[0]);
    for (size_t i = 0; i < rows; i++) {
        w->bias[i] = op_draw(t, 0, 9) ? (int32_t)op_draw(t, 0, 200000) - 100000 : (int32_t)q_random(t);
        q_draw_factor(t, cols, &w->multiplier[i], &w->shift[i]);
        zero[i] = zeros == 1 ? 128 : zeros == 2 ? (int32_t)op_draw(t, 0, packed ? 15 : 127) : (int32_t)op_draw(t, 0, 510) - 255;
    }
    w->m = (struct lb_q_matrix){.rows = rows,
                                .cols = cols,
                                .type = type,
                                .codes = codes,
                                .row_bytes = row_bytes,
                                .zero = zeros ? zero : NULL,
                                .bias = w->bias,
                                .multiplier = w->multiplier,
                                .shift = w->shift};
    if (op_draw(t, 0, 4) == 0) {
        w->m.bias = NULL;
        memset(w->bias, 0, rows * sizeof *w->bias);
    }
    for (size_t i = 0; i < rows * cols; i++)
        w->w[i] = code_of(&w->m, i / cols, i % cols) - (zeros ? zero[i / cols] : 0);
}

static void free_weights(struct weights *w)
{
    free((void *)(uintptr_t)w->m.codes);
    free(w->bias);
}

static const char *const type_names[] = {"u8", "s8", "u4", "s4", "s32"};

/* ---- Dense ---- */

static void one_dense(struct op_run *t)
{
    const int large = op_draw(t, 0, 9) == 0; /* enough for three threads */
    const size_t m = large ? op_draw(t, 60, 90) : op_draw(t, 1, 20), n = large ? op_draw(t, 100, 220) : op_draw(t, 1, 150);
    const size_t k = large ? op_draw(t, 290, 330) : op_draw(t, 0, 3) ? op_draw(t, 0, 90) : op_draw(t, 200, 700);
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct weights w;
    struct q_tensor a;
    struct q_pair c;
    draw_weights(t, &w, n, k);
    struct lb_q_dense op = {.m = m, .n = n, .k = k, .a_type = q_draw_type(t), .out = q_draw_out(t, 1)};
    if (op.out.type == LB_Q_S32 && op_draw(t, 0, 1))
        w.m.multiplier = w.m.shift = NULL;
    op.a_zero = q_draw_zero(t, op.a_type);
    op_name(t, "m=%zu n=%zu k=%zu a=%s w=%s out=%s threads=%u", m, n, k, type_names[op.a_type], type_names[w.m.type],
            type_names[op.out.type], threads);
    q_make(t, &a, m * k);
    q_outputs(t, &c, q_size(&op.out, m * n));
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            uint32_t sum = (uint32_t)w.bias[j];
            for (size_t x = 0; x < k; x++)
                sum += (uint32_t)((q_number(op.a_type, a.bytes[i * k + x]) - op.a_zero) * w.w[j * k + x]);
            q_put(&op.out, &c.want, i * n + j, (int32_t)sum, w.multiplier[j], w.shift[j]);
        }
    struct lb_dev *d = op_device(t, threads);
    size_t bytes = 0;
    op.w = d->ops->q_weights_create(d->dev, &w.m, &bytes);
    op_assert(t, op.w && bytes > 0, "%s", "no weights");
    op.a = a.ref;
    op.c = c.got.ref;
    op_assert(t, d->ops->q_dense(d->dev, &op) == 0, "%s", "q_dense failed");
    q_same(t, &c);
    op.n++;
    op_assert(t, d->ops->q_dense(d->dev, &op) == -1, "%s", "weights of another shape were taken");
    d->ops->q_weights_free(d->dev, op.w);
    lb_backend_close(d);
    lb_plugins_unload();
    free_weights(&w);
}

/* ---- Convolutions ---- */

static struct lb_q_conv draw_shape(struct op_run *t)
{
    struct lb_q_conv s = {.n = op_draw(t, 1, 3), .groups = op_draw(t, 0, 2) ? 1 : op_draw(t, 2, 6)};
    s.c = s.groups * op_draw(t, 1, op_draw(t, 0, 2) ? 5 : 18);
    s.o = s.groups * op_draw(t, 1, op_draw(t, 0, 2) ? 9 : 40);
    s.kh = op_draw(t, 1, 4);
    s.kw = op_draw(t, 1, 4);
    s.stride = op_draw(t, 1, 3);
    s.pad = op_draw(t, 0, 2);
    s.dilation = op_draw(t, 0, 2) ? 1 : op_draw(t, 2, 3);
    s.transposed = op_draw(t, 0, 3) == 0;
    const size_t eh = s.dilation * (s.kh - 1) + 1, ew = s.dilation * (s.kw - 1) + 1;
    if (!s.transposed) {
        s.h = eh + op_draw(t, 0, 8);
        s.w = ew + op_draw(t, 0, 20);
        s.oh = (s.h + 2 * s.pad - eh) / s.stride + 1;
        s.ow = (s.w + 2 * s.pad - ew) / s.stride + 1;
        return s;
    }
    const size_t more = op_draw(t, 0, s.stride - 1), least = 2 * s.pad; /* positions enough for the padding */
    s.h = least + op_draw(t, 1, 5);
    s.w = least + op_draw(t, 1, 7);
    s.oh = (s.h - 1) * s.stride + eh + more - 2 * s.pad;
    s.ow = (s.w - 1) * s.stride + ew + more - 2 * s.pad;
    return s;
}

static int32_t conv_sum(const struct lb_q_conv2d *op, const struct weights *w, const unsigned char *x, size_t oy, size_t ox, size_t o)
{
    const struct lb_q_conv *s = &op->s;
    const size_t channels = s->c / s->groups, first = o / (s->o / s->groups) * channels;
    uint32_t sum = (uint32_t)w->bias[o];
    for (size_t ky = 0; ky < s->kh; ky++)
        for (size_t kx = 0; kx < s->kw; kx++) {
            const ptrdiff_t iy = q_place(s, oy, ky, s->h), ix = q_place(s, ox, kx, s->w);
            for (size_t c = 0; c < channels && iy >= 0 && ix >= 0; c++)
                sum += (uint32_t)((q_number(op->x_type, x[((size_t)iy * s->w + (size_t)ix) * s->c + first + c]) - op->x_zero) *
                                  w->w[((o * s->kh + ky) * s->kw + kx) * channels + c]);
        }
    return (int32_t)sum;
}

static void run_conv(struct op_run *t, struct lb_dev *d, struct lb_q_conv2d *op, const struct weights *w)
{
    const struct lb_q_conv *s = &op->s;
    const size_t image = s->h * s->w * s->c, plane = s->oh * s->ow;
    struct q_tensor x;
    struct q_pair y;
    q_make(t, &x, s->n * image);
    q_outputs(t, &y, q_size(&op->out, s->n * plane * s->o));
    for (size_t i = 0; i < s->n * plane * s->o; i++) {
        const size_t n = i / (plane * s->o), p = i / s->o % plane, o = i % s->o;
        const int32_t sum = conv_sum(op, w, x.bytes + n * image, p / s->ow, p % s->ow, o);
        q_put(&op->out, &y.want, i, sum, w->multiplier[o], w->shift[o]);
    }
    op->x = x.ref;
    op->y = y.got.ref;
    op_assert(t, d->ops->q_conv2d(d->dev, op) == 0, "%s", "q_conv2d failed");
    q_same(t, &y);
}

static void one_conv(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct weights w;
    struct lb_q_conv2d op = {.s = draw_shape(t), .x_type = q_draw_type(t), .out = q_draw_out(t, 1)};
    const struct lb_q_conv *s = &op.s;
    draw_weights(t, &w, s->o, s->kh * s->kw * s->c / s->groups);
    op_name(t, "n=%zu h=%zu w=%zu c=%zu o=%zu %zux%zu stride=%zu pad=%zu dilation=%zu groups=%zu transposed=%d x=%s w=%s out=%s threads=%u",
            s->n, s->h, s->w, s->c, s->o, s->kh, s->kw, s->stride, s->pad, s->dilation, s->groups, s->transposed, type_names[op.x_type],
            type_names[w.m.type], type_names[op.out.type], threads);
    struct lb_dev *d = op_device(t, threads);
    size_t bytes = 0;
    op.w = d->ops->q_weights_create(d->dev, &w.m, &bytes);
    op_assert(t, op.w && bytes > 0, "%s", "no weights");
    for (int i = 0; i < 3; i++) { /* another zero, then another shape, with the same weights */
        op.x_zero = q_draw_zero(t, op.x_type);
        op.s.h += i == 2 ? op.s.stride : 0;
        op.s.oh += i == 2 ? (op.s.transposed ? op.s.stride * op.s.stride : 1) : 0;
        run_conv(t, d, &op, &w);
    }
    op.s.kh++;
    op_assert(t, d->ops->q_conv2d(d->dev, &op) == -1, "%s", "weights of another shape were taken");
    d->ops->q_weights_free(d->dev, op.w);
    lb_backend_close(d);
    lb_plugins_unload();
    free_weights(&w);
}

/* ---- Products of two tensors ---- */

static struct lb_q_gemm draw_gemm(struct op_run *t)
{
    const int large = op_draw(t, 0, 9) == 0;
    struct lb_q_gemm o = {.batch = large ? 1 : op_draw(t, 1, 5), .m = op_draw(t, 1, 20), .n = op_draw(t, 1, 100), .k = op_draw(t, 0, 150)};
    if (large)
        o.m = op_draw(t, 60, 90), o.n = op_draw(t, 100, 220), o.k = op_draw(t, 290, 330);
    o.trans_b = (int)op_draw(t, 0, 1);
    o.per_column = (int)op_draw(t, 0, 1);
    o.a_type = q_draw_type(t);
    o.b_type = q_draw_type(t);
    o.a_zero = q_draw_zero(t, o.a_type);
    o.b_zero = op_draw(t, 0, 2) ? q_draw_zero(t, o.b_type) : o.b_type == LB_Q_U8 ? 128 : 0;
    o.out = q_draw_out(t, 1);
    o.a_row = o.k + op_draw(t, 0, 4);
    o.b_row = (o.trans_b ? o.k : o.n) + op_draw(t, 0, 4);
    o.c_row = o.n;
    o.a_step = op_draw(t, 0, 3) ? o.m * o.a_row : 0;
    o.b_step = op_draw(t, 0, 2) ? (o.trans_b ? o.n : o.k) * o.b_row : 0;
    o.c_step = o.m * o.n + op_draw(t, 0, 3);
    return o;
}

static void expect_gemm(const struct lb_q_gemm *o, const struct q_tensor *a, const struct q_tensor *b, struct q_tensor *c)
{
    for (size_t at = 0; at < o->batch; at++)
        for (size_t i = 0; i < o->m; i++)
            for (size_t j = 0; j < o->n; j++) {
                const int32_t zero = o->b_zeros.buf ? lb_i32(o->b_zeros)[j] : o->b_zero;
                const size_t scale = o->per_column ? j : 0;
                uint32_t sum = 0;
                for (size_t k = 0; k < o->k; k++)
                    sum += (uint32_t)((q_number(o->a_type, a->bytes[at * o->a_step + i * o->a_row + k]) - o->a_zero) *
                                      (q_number(o->b_type, b->bytes[at * o->b_step + (o->trans_b ? j * o->b_row + k : k * o->b_row + j)]) -
                                       zero));
                q_put(&o->out, c, at * o->c_step + i * o->c_row + j, (int32_t)sum, lb_i32(o->multiplier)[scale], lb_i32(o->shift)[scale]);
            }
}

static void one_gemm(struct op_run *t)
{
    const unsigned threads = (unsigned)op_draw(t, 1, 3);
    struct lb_q_gemm op = draw_gemm(t);
    struct q_tensor a, b, zeros, multiplier, shift;
    struct q_pair c;
    const size_t b_rows = op.trans_b ? op.n : op.k;
    op_name(t, "batch=%zu m=%zu n=%zu k=%zu trans_b=%d a=%s b=%s out=%s steps=%zu %zu threads=%u", op.batch, op.m, op.n, op.k, op.trans_b,
            type_names[op.a_type], type_names[op.b_type], type_names[op.out.type], op.a_step, op.b_step, threads);
    q_make(t, &a, op.k ? (op.batch - 1) * op.a_step + (op.m - 1) * op.a_row + op.k : 0);
    q_make(t, &b, op.k ? (op.batch - 1) * op.b_step + (b_rows - 1) * op.b_row + (op.trans_b ? op.k : op.n) : 0);
    q_outputs(t, &c, q_size(&op.out, (op.batch - 1) * op.c_step + op.m * op.n));
    int32_t *z = q_ints(t, &zeros, op.n), *m = q_ints(t, &multiplier, op.n), *s = q_ints(t, &shift, op.n);
    for (size_t j = 0; j < op.n; j++) {
        z[j] = q_draw_zero(t, op.b_type);
        q_draw_factor(t, op.k, &m[j], &s[j]);
    }
    op.a = a.ref;
    op.b = b.ref;
    op.b_zeros = op_draw(t, 0, 2) ? (struct lb_ref){NULL, 0} : zeros.ref;
    op.multiplier = multiplier.ref;
    op.shift = shift.ref;
    expect_gemm(&op, &a, &b, &c.want);
    if (op.out.type == LB_Q_S32)
        op.multiplier.buf = op.shift.buf = NULL;
    op.c = c.got.ref;
    struct lb_dev *d = op_device(t, threads);
    op_assert(t, d->ops->q_gemm(d->dev, &op) == 0, "%s", "q_gemm failed");
    q_same(t, &c);
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

OP(dense, DENSE_CASES)
OP(conv, CONV_CASES)
OP(gemm, GEMM_CASES)
