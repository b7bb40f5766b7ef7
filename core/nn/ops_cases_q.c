/* SPDX-License-Identifier: MIT */
/* Integer tensors: every type on every side, odd sizes, zero points, codes at the ends of their range, ties. */
#include "core/nn/ops_cases.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- Arrays and outputs ---- */

static void add_bytes(struct op_case *c, const char *name, struct lb_ref *slot, int role, size_t bytes)
{
    lb_op_add(c, name, slot, role, (bytes + 3) / 4);
    c->array[c->n_arrays - 1].fill = FILL_BYTES;
}

static void add_ints(struct op_case *c, const char *name, struct lb_ref *slot, size_t n, int32_t low, int32_t high)
{
    lb_op_add(c, name, slot, ROLE_IN, n);
    c->array[c->n_arrays - 1].fill = FILL_INTS;
    c->array[c->n_arrays - 1].low = low;
    c->array[c->n_arrays - 1].high = high;
}

/* Multipliers and shifts as their arrays; the size of the sums decides which are of use. */
static void add_scales(struct op_case *c, struct lb_ref *multiplier, struct lb_ref *shift, size_t n, int32_t least, int32_t most)
{
    add_ints(c, "multiplier", multiplier, n, 0, (1 << 22) - 1);
    add_ints(c, "shift", shift, n, least, most);
}

static void add_out(struct op_case *c, const char *name, struct lb_ref *slot, const struct lb_q_out *o, size_t n)
{
    if (o->type == LB_Q_S32)
        lb_op_add(c, name, slot, ROLE_OUT, n);
    else
        add_bytes(c, name, slot, ROLE_OUT, n);
}

/* Case i's output: both types in turn, with their whole range, what relu leaves of it, or a part. */
static struct lb_q_out output(size_t i)
{
    const int s8 = i % 2 != 0;
    struct lb_q_out o = {.type = s8 ? LB_Q_S8 : LB_Q_U8, .low = s8 ? -128 : 0, .high = s8 ? 127 : 255};
    static const int32_t zeros[] = {0, 128, 7, 255};
    o.zero = zeros[i / 2 % 4] - 128 * s8;
    if (i % 3 == 1)
        o.low = o.zero;
    if (i % 5 == 4)
        o.high = o.low + 60;
    return o;
}

static int32_t zero_of(size_t i, uint32_t type)
{
    static const int32_t zeros[] = {128, 0, 131, 255, 117};
    return zeros[i % 5] - (type == LB_Q_S8 ? 128 : 0);
}

static const char *const type_names[] = {"u8", "s8", "u4", "s4", "s32"};

/* ---- Products ---- */

static const struct {
    size_t m, n, k;
} products[] = {{1, 1, 1},    {1, 5, 70},     {3, 33, 257}, {17, 40, 64}, {2, 64, 300},  {33, 7, 31},
                {4, 3, 513},  {1, 300, 512},  {5, 16, 2},   {70, 48, 96}, {16, 9, 256},  {1, 16, 784},
                {13, 17, 19}, {64, 100, 784}, {7, 31, 4},   {2, 2, 0},    {6, 65, 1025}, {29, 15, 12}};

static const uint32_t weight_types[] = {LB_Q_S8, LB_Q_U8, LB_Q_S4, LB_Q_U4};

static struct lb_ops_q_like weights(size_t i, size_t rows, size_t cols, int scaled)
{
    return (struct lb_ops_q_like){.rows = rows,
                                  .cols = cols,
                                  .type = weight_types[i % 4],
                                  .row_gap = i % 3 == 2 ? 5 : 0,
                                  .zeros =
                                      i / 4 % 3 == 1 || (weight_types[i % 4] != LB_Q_S8 && weight_types[i % 4] != LB_Q_S4 && i / 4 % 3),
                                  .bias = i / 2 % 3 != 0,
                                  .scaled = scaled,
                                  .extreme = i % 7 == 3};
}

void lb_op_make_q_dense(struct op_case *c, size_t i)
{
    struct lb_q_dense *o = &c->args.q_dense;
    const size_t p = i * 5 % COUNT(products), far = i % 44 == 5; /* now and then sums near the ends of int32 */
    *o = (struct lb_q_dense){.m = far ? 3 : products[p].m, .n = far ? 17 : products[p].n, .k = far ? 32900 : products[p].k};
    o->a_type = i / 3 % 2 ? LB_Q_S8 : LB_Q_U8;
    o->a_zero = zero_of(i, o->a_type);
    o->out = i % 6 == 5 ? (struct lb_q_out){.type = LB_Q_S32} : output(i);
    c->q = weights(i, o->n, o->k, i % 6 != 5);
    c->object = &o->w;
    add_bytes(c, "a", &o->a, ROLE_IN, o->m * o->k);
    add_out(c, "c", &o->c, &o->out, o->m * o->n);
    snprintf(c->text, sizeof c->text, "m=%zu n=%zu k=%zu %s x %s -> %s a_zero=%d zeros=%d bias=%d", o->m, o->n, o->k, type_names[o->a_type],
             type_names[c->q.type], type_names[o->out.type], o->a_zero, c->q.zeros, c->q.bias);
}

/* oh, ow: filled in; of transposed ones `more` is as large as may be in every other case. */
static const struct lb_q_conv convolutions[] = {
    {.n = 1, .h = 3, .w = 3, .c = 1, .o = 1, .kh = 3, .kw = 3, .stride = 1, .dilation = 1, .groups = 1},
    {.n = 2, .h = 28, .w = 28, .c = 1, .o = 8, .kh = 3, .kw = 3, .stride = 1, .dilation = 1, .groups = 1},
    {.n = 2, .h = 26, .w = 26, .c = 8, .o = 16, .kh = 3, .kw = 3, .stride = 2, .dilation = 1, .groups = 1},
    {.n = 1, .h = 5, .w = 7, .c = 3, .o = 5, .kh = 3, .kw = 2, .stride = 1, .pad = 1, .dilation = 1, .groups = 1},
    {.n = 3, .h = 9, .w = 8, .c = 4, .o = 33, .kh = 3, .kw = 3, .stride = 1, .pad = 1, .dilation = 1, .groups = 1},
    {.n = 1, .h = 11, .w = 11, .c = 2, .o = 4, .kh = 5, .kw = 5, .stride = 2, .pad = 2, .dilation = 1, .groups = 1},
    {.n = 1, .h = 12, .w = 10, .c = 3, .o = 6, .kh = 3, .kw = 3, .stride = 1, .pad = 2, .dilation = 2, .groups = 1},
    {.n = 2, .h = 13, .w = 14, .c = 2, .o = 2, .kh = 3, .kw = 2, .stride = 3, .pad = 1, .dilation = 3, .groups = 1},
    {.n = 1, .h = 8, .w = 8, .c = 6, .o = 9, .kh = 3, .kw = 3, .stride = 1, .pad = 1, .dilation = 1, .groups = 3},
    {.n = 2, .h = 9, .w = 9, .c = 8, .o = 8, .kh = 3, .kw = 3, .stride = 2, .pad = 1, .dilation = 1, .groups = 8},
    {.n = 1, .h = 10, .w = 9, .c = 16, .o = 32, .kh = 1, .kw = 1, .stride = 1, .dilation = 1, .groups = 1},
    {.n = 1, .h = 7, .w = 9, .c = 16, .o = 20, .kh = 1, .kw = 1, .stride = 2, .dilation = 1, .groups = 2},
    {.n = 1, .h = 6, .w = 31, .c = 1, .o = 4, .kh = 2, .kw = 3, .stride = 1, .dilation = 1, .groups = 1},
    {.n = 1, .h = 6, .w = 33, .c = 3, .o = 8, .kh = 3, .kw = 3, .stride = 1, .dilation = 1, .groups = 1},
    {.n = 1, .h = 4, .w = 40, .c = 5, .o = 15, .kh = 3, .kw = 4, .stride = 1, .pad = 3, .dilation = 1, .groups = 1},
    {.n = 1, .h = 3, .w = 4, .c = 2, .o = 3, .kh = 3, .kw = 3, .stride = 1, .dilation = 1, .groups = 1, .transposed = 1},
    {.n = 2, .h = 5, .w = 5, .c = 4, .o = 6, .kh = 3, .kw = 3, .stride = 2, .pad = 1, .dilation = 1, .groups = 1, .transposed = 1},
    {.n = 1, .h = 4, .w = 6, .c = 4, .o = 8, .kh = 2, .kw = 4, .stride = 2, .dilation = 1, .groups = 2, .transposed = 1},
    {.n = 1, .h = 4, .w = 3, .c = 3, .o = 5, .kh = 3, .kw = 3, .stride = 3, .pad = 2, .dilation = 2, .groups = 1, .transposed = 1},
};

/* Convolution number i, its sizes in the text. */
static struct lb_q_conv convolution(struct op_case *c, size_t i, int turn)
{
    struct lb_q_conv s = convolutions[i];
    const size_t reach_y = s.dilation * (s.kh - 1) + 1, reach_x = s.dilation * (s.kw - 1) + 1, more = turn ? s.stride - 1 : 0;
    s.oh = s.transposed ? (s.h - 1) * s.stride + reach_y + more - 2 * s.pad : (s.h + 2 * s.pad - reach_y) / s.stride + 1;
    s.ow = s.transposed ? (s.w - 1) * s.stride + reach_x + more - 2 * s.pad : (s.w + 2 * s.pad - reach_x) / s.stride + 1;
    snprintf(c->text, sizeof c->text, "n=%zu h=%zu w=%zu c=%zu o=%zu kh=%zu kw=%zu stride=%zu pad=%zu dilation=%zu groups=%zu%s", s.n, s.h,
             s.w, s.c, s.o, s.kh, s.kw, s.stride, s.pad, s.dilation, s.groups, s.transposed ? " transposed" : "");
    return s;
}

void lb_op_make_q_conv2d(struct op_case *c, size_t i)
{
    struct lb_q_conv2d *o = &c->args.q_conv2d;
    *o = (struct lb_q_conv2d){.s = convolution(c, i * 7 % COUNT(convolutions), i % 4 < 2)};
    const struct lb_q_conv *s = &o->s;
    const size_t used = strlen(c->text);
    o->x_type = i / 3 % 2 ? LB_Q_S8 : LB_Q_U8;
    o->x_zero = zero_of(i, o->x_type);
    o->out = i % 6 == 5 ? (struct lb_q_out){.type = LB_Q_S32} : output(i);
    c->q = weights(i, s->o, s->kh * s->kw * (s->c / s->groups), i % 6 != 5);
    c->object = &o->w;
    add_bytes(c, "x", &o->x, ROLE_IN, s->n * s->h * s->w * s->c);
    add_out(c, "y", &o->y, &o->out, s->n * s->oh * s->ow * s->o);
    snprintf(c->text + used, sizeof c->text - used, " %s x %s -> %s x_zero=%d zeros=%d", type_names[o->x_type], type_names[c->q.type],
             type_names[o->out.type], o->x_zero, c->q.zeros);
}

void lb_op_make_q_gemm(struct op_case *c, size_t i)
{
    struct lb_q_gemm *o = &c->args.q_gemm;
    const size_t p = i * 5 % COUNT(products), gap = i % 3 == 1 ? 3 : 0;
    *o = (struct lb_q_gemm){.batch = i % 4 == 3 ? 3 : 1, .m = products[p].m, .n = products[p].n, .k = products[p].k};
    o->trans_b = i / 2 % 2;
    o->a_row = o->k + gap;
    o->b_row = (o->trans_b ? o->k : o->n) + gap;
    o->c_row = o->n + 2 * gap;
    o->a_step = i % 8 == 7 ? 0 : o->m * o->a_row + gap;
    o->b_step = i % 8 == 3 ? 0 : (o->trans_b ? o->n : o->k) * o->b_row + 2 * gap;
    o->c_step = o->m * o->c_row + gap;
    o->a_type = i / 3 % 2 ? LB_Q_S8 : LB_Q_U8;
    o->b_type = i / 6 % 2 ? LB_Q_U8 : LB_Q_S8;
    o->a_zero = zero_of(i, o->a_type);
    o->b_zero = zero_of(i / 2, o->b_type);
    o->per_column = i / 4 % 2;
    o->out = i % 5 == 4 ? (struct lb_q_out){.type = LB_Q_S32} : output(i);
    add_bytes(c, "a", &o->a, ROLE_IN, o->batch * (o->m * o->a_row + gap));
    add_bytes(c, "b", &o->b, ROLE_IN, o->batch * ((o->trans_b ? o->n : o->k) * o->b_row + 2 * gap));
    add_out(c, "c", &o->c, &o->out, (o->batch - 1) * o->c_step + (o->m - 1) * o->c_row + o->n);
    if (i % 7 == 2)
        add_ints(c, "b_zeros", &o->b_zeros, o->n, -255, 255);
    if (o->out.type != LB_Q_S32)
        add_scales(c, &o->multiplier, &o->shift, o->per_column ? o->n : 1, 27, 33);
    snprintf(c->text, sizeof c->text, "batch=%zu m=%zu n=%zu k=%zu trans_b=%d %s x %s -> %s a_zero=%d b_zero=%d gap=%zu per_column=%d",
             o->batch, o->m, o->n, o->k, o->trans_b, type_names[o->a_type], type_names[o->b_type], type_names[o->out.type], o->a_zero,
             o->b_zero, gap, o->per_column);
}

/* ---- Element by element ---- */

static const size_t lengths[] = {1, 2, 3, 7, 31, 64, 255, 1000, 70001};

void lb_op_make_q_table(struct op_case *c, size_t i)
{
    struct lb_q_table *o = &c->args.q_table;
    *o = (struct lb_q_table){.n = lengths[i]};
    add_bytes(c, "x", &o->x, i % 2 ? ROLE_BOTH : ROLE_IN, o->n);
    if (i % 2)
        c->array[0].alias = &o->y;
    else
        add_bytes(c, "y", &o->y, ROLE_OUT, o->n);
    add_bytes(c, "table", &o->table, ROLE_IN, 256);
    snprintf(c->text, sizeof c->text, "n=%zu%s", o->n, i % 2 ? " in place" : "");
}

void lb_op_make_q_binary(struct op_case *c, size_t i)
{
    struct lb_q_binary *o = &c->args.q_binary;
    *o = (struct lb_q_binary){.n = lengths[i % COUNT(lengths)], .kind = i / 3 % 2 ? LB_Q_MUL : LB_Q_ADD};
    o->a_type = i % 2 ? LB_Q_S8 : LB_Q_U8;
    o->b_type = i / 2 % 2 ? LB_Q_S8 : LB_Q_U8;
    o->a_zero = zero_of(i, o->a_type);
    o->b_zero = zero_of(i / 2, o->b_type);
    o->a_multiplier = i % 5 == 0 ? 1 << 21 : (int32_t)(2097152 + i * 40009 % 2097152);
    o->b_multiplier = i % 5 == 0 ? 1 << 20 : (int32_t)(i * 987643 % 4194304);
    o->shift = o->kind == LB_Q_MUL ? 27 + (int32_t)(i % 4) : 21 + (int32_t)(i % 4);
    o->out = output(i / 2);
    add_bytes(c, "a", &o->a, ROLE_IN, o->n);
    add_bytes(c, "b", &o->b, ROLE_IN, o->n);
    add_bytes(c, "y", &o->y, ROLE_OUT, o->n);
    snprintf(c->text, sizeof c->text, "%s n=%zu %s, %s -> %s a_zero=%d b_zero=%d a_multiplier=%d b_multiplier=%d shift=%d",
             o->kind == LB_Q_ADD ? "add" : "mul", o->n, type_names[o->a_type], type_names[o->b_type], type_names[o->out.type], o->a_zero,
             o->b_zero, o->a_multiplier, o->b_multiplier, o->shift);
}

static const struct lb_q_conv pools[] = {
    {.n = 1, .h = 2, .w = 2, .c = 1, .kh = 2, .kw = 2, .stride = 2},
    {.n = 2, .h = 26, .w = 26, .c = 8, .kh = 2, .kw = 2, .stride = 2},
    {.n = 1, .h = 7, .w = 9, .c = 3, .kh = 3, .kw = 3, .stride = 2, .pad = 1},
    {.n = 3, .h = 8, .w = 5, .c = 17, .kh = 3, .kw = 2, .stride = 1, .pad = 1},
    {.n = 1, .h = 6, .w = 6, .c = 64, .kh = 6, .kw = 6, .stride = 1},
    {.n = 1, .h = 11, .w = 10, .c = 5, .kh = 5, .kw = 3, .stride = 3, .pad = 2},
};

void lb_op_make_q_pool(struct op_case *c, size_t i)
{
    struct lb_q_pool *o = &c->args.q_pool;
    *o = (struct lb_q_pool){
        .s = pools[i % COUNT(pools)], .kind = i / 6 % 2 ? LB_Q_AVERAGE : LB_Q_MAX, .x_type = i / 12 % 2 ? LB_Q_S8 : LB_Q_U8};
    struct lb_q_conv *s = &o->s;
    s->o = s->c;
    s->dilation = s->groups = 1;
    s->oh = (s->h + 2 * s->pad - s->kh) / s->stride + 1;
    s->ow = (s->w + 2 * s->pad - s->kw) / s->stride + 1;
    o->x_zero = zero_of(i / 6, o->x_type);
    o->out = output(i);
    add_bytes(c, "x", &o->x, ROLE_IN, s->n * s->h * s->w * s->c);
    add_bytes(c, "y", &o->y, ROLE_OUT, s->n * s->oh * s->ow * s->c);
    if (o->kind == LB_Q_AVERAGE) {
        lb_op_add(c, "scales", &o->scales, ROLE_IN, 2 * s->kh * s->kw);
        c->array[2].fill = FILL_PAIRS;
    }
    snprintf(c->text, sizeof c->text, "%s n=%zu h=%zu w=%zu c=%zu kh=%zu kw=%zu stride=%zu pad=%zu %s",
             o->kind == LB_Q_MAX ? "max" : "average", s->n, s->h, s->w, s->c, s->kh, s->kw, s->stride, s->pad, type_names[o->x_type]);
}

void lb_op_make_q_copy(struct op_case *c, size_t i)
{
    static const size_t sizes[][4] = {{1, 1, 1, 1}, {1, 1, 1, 513}, {2, 3, 5, 7}, {1, 28, 28, 3}, {3, 4, 9, 1}, {2, 1, 65, 31}};
    const size_t *n = sizes[i % COUNT(sizes)], turn = i / COUNT(sizes);
    struct lb_q_copy *o = &c->args.q_copy;
    *o = (struct lb_q_copy){.x_at = i % 5, .y_at = i % 3, .size = {n[0], n[1], n[2], n[3]}};
    /* the source as it lies; the result the same, turned about (channels last to first), or with gaps */
    const size_t x[4] = {n[1] * n[2] * n[3], n[2] * n[3], n[3], 1}, about[4] = {n[1] * n[2] * n[3], n[2], 1, n[1] * n[2]};
    size_t x_bytes = o->x_at + 1, y_bytes = o->y_at + 1;
    for (int d = 0; d < 4; d++) {
        o->x_stride[d] = x[d];
        o->y_stride[d] = turn == 1 ? about[d] : turn == 2 ? 3 * x[d] : x[d];
        x_bytes += (n[d] - 1) * o->x_stride[d];
        y_bytes += (n[d] - 1) * o->y_stride[d];
    }
    add_bytes(c, "x", &o->x, ROLE_IN, x_bytes);
    add_bytes(c, "y", &o->y, ROLE_OUT, y_bytes);
    snprintf(c->text, sizeof c->text, "%zu x %zu x %zu x %zu%s", n[0], n[1], n[2], n[3],
             turn == 1   ? " turned"
             : turn == 2 ? " with gaps"
                         : "");
}

/* Convolutions of one group that are not transposed. */
static struct lb_q_conv columns(struct op_case *c, size_t i)
{
    static const size_t plain[] = {0, 1, 2, 3, 4, 5, 6, 7, 10, 12, 13, 14};
    return convolution(c, plain[i % COUNT(plain)], 0);
}

void lb_op_make_q_im2col(struct op_case *c, size_t i)
{
    struct lb_q_columns *o = &c->args.q_columns;
    *o = (struct lb_q_columns){.s = columns(c, i), .zero = i % 2 ? 130 : -5};
    add_bytes(c, "x", &o->x, ROLE_IN, o->s.n * o->s.h * o->s.w * o->s.c);
    add_bytes(c, "y", &o->y, ROLE_OUT, o->s.n * o->s.oh * o->s.ow * o->s.kh * o->s.kw * o->s.c);
}

void lb_op_make_q_col2im(struct op_case *c, size_t i)
{
    struct lb_q_col2im *o = &c->args.q_col2im;
    *o = (struct lb_q_col2im){.s = columns(c, i), .x_type = i % 2 ? LB_Q_S8 : LB_Q_U8};
    o->x_zero = zero_of(i, o->x_type);
    o->multiplier = i % 4 == 0 ? 1 << 21 : (int32_t)(2097152 + i * 40009 % 2097152);
    o->shift = 22 + (int32_t)(i % 3);
    o->out = i % 5 == 4 ? (struct lb_q_out){.type = LB_Q_S32} : output(i);
    add_bytes(c, "x", &o->x, ROLE_IN, o->s.n * o->s.oh * o->s.ow * o->s.kh * o->s.kw * o->s.c);
    add_out(c, "y", &o->y, &o->out, o->s.n * o->s.h * o->s.w * o->s.c);
}

static const struct {
    size_t rows, cols;
} tables[] = {{1, 1}, {1, 10}, {3, 33}, {64, 10}, {5, 257}, {2, 1000}};

void lb_op_make_q_requantize(struct op_case *c, size_t i)
{
    struct lb_q_requantize *o = &c->args.q_requantize;
    const int wide = (int)(i / 6 % 3); /* any sum; sums that a byte nearly holds, so that there are ties; some more */
    *o = (struct lb_q_requantize){.rows = tables[i % 6].rows, .cols = tables[i % 6].cols, .per_column = i / 6 % 2, .out = output(i)};
    const int32_t most = wide == 0 ? INT32_MAX : wide == 1 ? 1000 : 1 << 20;
    add_ints(c, "x", &o->x, o->rows * o->cols, wide == 0 ? INT32_MIN : -most, most);
    add_scales(c, &o->multiplier, &o->shift, o->per_column ? o->cols : 1,
               wide == 0   ? 0
               : wide == 1 ? 22
                           : 32,
               wide == 0   ? 62
               : wide == 1 ? 25
                           : 37);
    add_bytes(c, "y", &o->y, ROLE_OUT, o->rows * o->cols);
    snprintf(c->text, sizeof c->text, "%zu x %zu, x up to %d, per_column=%d", o->rows, o->cols, most, o->per_column);
}

static void add_float_scales(struct op_case *c, struct lb_ref *slot, size_t n)
{
    lb_op_add(c, "scale", slot, ROLE_IN, n);
    c->array[c->n_arrays - 1].fill = FILL_SCALES;
}

void lb_op_make_q_quantize(struct op_case *c, size_t i)
{
    struct lb_q_quantize *o = &c->args.q_quantize;
    *o = (struct lb_q_quantize){.rows = tables[i % 6].rows, .cols = tables[i % 6].cols, .per_column = i / 6 % 2, .out = output(i / 2)};
    lb_op_add(c, "x", &o->x, ROLE_IN, o->rows * o->cols);
    add_float_scales(c, &o->scale, o->per_column ? o->cols : 1);
    add_bytes(c, "y", &o->y, ROLE_OUT, o->rows * o->cols);
    c->rarity = 16;
    snprintf(c->text, sizeof c->text, "%zu x %zu, per_column=%d, zero=%d", o->rows, o->cols, o->per_column, o->out.zero);
}

void lb_op_make_q_dequantize(struct op_case *c, size_t i)
{
    static const uint32_t types[] = {LB_Q_U8, LB_Q_S8, LB_Q_S32};
    struct lb_q_dequantize *o = &c->args.q_dequantize;
    const size_t n = tables[i % 6].rows * tables[i % 6].cols;
    *o = (struct lb_q_dequantize){
        .rows = tables[i % 6].rows, .cols = tables[i % 6].cols, .per_column = i / 6 % 2, .x_type = types[i / 12 % 3]};
    o->zero = o->x_type == LB_Q_S32 ? 0 : zero_of(i, o->x_type);
    if (o->x_type == LB_Q_S32)
        add_ints(c, "x", &o->x, n, INT32_MIN, INT32_MAX);
    else
        add_bytes(c, "x", &o->x, ROLE_IN, n);
    add_float_scales(c, &o->scale, o->per_column ? o->cols : 1);
    lb_op_add(c, "y", &o->y, ROLE_OUT, n);
    snprintf(c->text, sizeof c->text, "%zu x %zu, %s, per_column=%d, zero=%d", o->rows, o->cols, type_names[o->x_type], o->per_column,
             o->zero);
}
