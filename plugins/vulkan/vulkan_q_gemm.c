/* SPDX-License-Identifier: MIT */
/* vulkan_q_gemm.c - products of integer tensors that both come with each call: kernels/vulkan/q_pack.comp makes the right one into weights. */
#include "plugins/vulkan/vulkan_q.h"

struct pack_args {
    uint32_t batch, n, k, w_row, w_step, from, step_n, step_k, b_step, flip;
    int32_t zero, moved;
    uint32_t has_zeros, has_scales, per_column;
};

/* Matrices, rows and columns of one product. */
struct part {
    size_t matrix, matrices, row, rows, col, cols;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* From the first to the last element of so many matrices of (rows, cols). */
static size_t extent(size_t matrices, size_t step, size_t rows, size_t row, size_t cols)
{
    return rows && cols ? (matrices - 1) * step + (rows - 1) * row + cols : 0;
}

static size_t words_of_row(size_t k)
{
    return (k + 4 * Q_TURN - 1) / (4 * Q_TURN) * Q_TURN;
}

/* Words of a matrix of weights: whole turns, as each begins where one may. */
static size_t matrix_words(const struct lb_q_gemm *o, size_t cols)
{
    return (cols * (words_of_row(o->k) + Q_COLUMN) + Q_TURN - 1) / Q_TURN * Q_TURN;
}

/* Matrices that differ. */
static size_t different(const struct lb_q_gemm *o, size_t matrices)
{
    return o->b_step ? matrices : 1;
}

static int32_t moved(const struct lb_q_gemm *o)
{
    return o->b_type == LB_Q_U8 ? -128 : 0;
}

/* The columns' numbers: of operand 3, which has the quads already. */
static int pack_columns(struct vulkan_device *d, const struct lb_q_gemm *o, const struct part *p, const struct pack_args *a,
                        struct vulkan_operand to)
{
    const size_t scale = o->per_column ? p->col : 0, scales = o->per_column ? p->cols : 1;
    const struct vulkan_dispatch c = {.kernel = KERNEL_Q_PACK_COLUMNS,
                                      .operand = {vulkan_in(o->b_zeros, p->col, p->cols), vulkan_in(o->multiplier, scale, scales),
                                                  vulkan_in(o->shift, scale, scales), to},
                                      .args = a,
                                      .args_bytes = sizeof *a,
                                      .groups = vulkan_groups(d, KERNEL_Q_PACK_COLUMNS, (size_t)a->batch * a->n),
                                      .work = (double)a->batch * a->n * a->w_row};
    return vulkan_dispatch(d, &c);
}

static int pack(struct vulkan_device *d, const struct lb_q_gemm *o, const struct part *p, struct vulkan_operand to)
{
    const size_t matrices = different(o, p->matrices), first = p->matrix * o->b_step + p->col * (o->trans_b ? o->b_row : 1);
    const size_t bytes =
        o->trans_b ? extent(matrices, o->b_step, p->cols, o->b_row, o->k) : extent(matrices, o->b_step, o->k, o->b_row, p->cols);
    struct pack_args a = {.batch = (uint32_t)matrices,
                          .n = (uint32_t)p->cols,
                          .k = (uint32_t)o->k,
                          .w_row = (uint32_t)words_of_row(o->k),
                          .w_step = (uint32_t)matrix_words(o, p->cols),
                          .step_n = (uint32_t)(o->trans_b ? o->b_row : 1),
                          .step_k = (uint32_t)(o->trans_b ? 1 : o->b_row),
                          .b_step = (uint32_t)o->b_step,
                          .flip = o->b_type == LB_Q_U8 ? 0x80 : 0,
                          .zero = o->b_zero + moved(o),
                          .moved = moved(o),
                          .has_zeros = o->b_zeros.buf != NULL,
                          .has_scales = o->multiplier.buf != NULL,
                          .per_column = o->per_column != 0};
    const size_t words = (size_t)a.batch * a.n * a.w_row;
    struct vulkan_dispatch c = {.kernel = KERNEL_Q_PACK_QUADS,
                                .args = &a,
                                .args_bytes = sizeof a,
                                .groups = vulkan_groups(d, KERNEL_Q_PACK_QUADS, words),
                                .work = 4.0 * (double)words};
    c.operand[0] = vulkan_q_bytes(o->b, first, bytes, 0, &a.from);
    c.operand[3] = to;
    return vulkan_dispatch(d, &c) ? -1 : pack_columns(d, o, p, &a, to);
}

static int run(struct vulkan_device *d, const struct lb_q_gemm *o, const struct part *p, struct vulkan_operand weights)
{
    const size_t size = o->out.type == LB_Q_S32 ? 4 : 1;
    const size_t a = p->matrix * o->a_step + p->row * o->a_row, c = p->matrix * o->c_step + p->row * o->c_row + p->col;
    struct vulkan_q_product q = {.zeros = o->b_zeros.buf || o->b_zero + moved(o),
                                 .scratch = weights.n,
                                 .args = {.m = (uint32_t)p->rows,
                                          .n = (uint32_t)p->cols,
                                          .k = (uint32_t)o->k,
                                          .w_row = (uint32_t)words_of_row(o->k),
                                          .a_row = (uint32_t)o->a_row,
                                          .c_row = (uint32_t)o->c_row}};
    vulkan_q_types(&q, o->a_type, o->a_zero, &o->out);
    q.args.rest[Q_BATCH] = (uint32_t)p->matrices;
    q.args.rest[Q_A_STEP] = (uint32_t)o->a_step;
    q.args.rest[Q_W_STEP] = o->b_step ? (uint32_t)matrix_words(o, p->cols) : 0;
    q.args.rest[Q_C_STEP] = (uint32_t)o->c_step;
    q.operand[0] = vulkan_q_bytes(o->a, a, extent(p->matrices, o->a_step, p->rows, o->a_row, o->k), 0, &q.args.a_from);
    q.operand[1] = weights;
    q.operand[3] = vulkan_q_bytes(o->c, c * size, extent(p->matrices, o->c_step, p->rows, o->c_row, p->cols) * size, 1, &q.args.c_from);
    return vulkan_q_product(d, &q);
}

/* Packs the columns of a part, and makes its rows, so many at a time. */
static int make(struct vulkan_device *d, const struct lb_q_gemm *o, struct part p, size_t rows_at_once)
{
    const size_t words = different(o, p.matrices) * matrix_words(o, p.cols);
    struct vulkan_buffer *scratch = vulkan_scratch_buffer(d, (words + p.matrices * o->m) * sizeof(uint32_t));
    struct vulkan_operand weights = {scratch, 0, words, 1};
    if (!scratch || pack(d, o, &p, weights))
        return -1;
    weights.writes = 0;
    for (p.row = 0; p.row < o->m; p.row += p.rows) {
        p.rows = least(o->m - p.row, rows_at_once);
        if (run(d, o, &p, weights))
            return -1;
    }
    return 0;
}

/* Whether so many matrices can be bound as they are. */
static int fits(const struct vulkan_device *d, const struct lb_q_gemm *o, size_t matrices)
{
    const size_t words = d->t.reach, bytes = 4 * (words - 1), size = o->out.type == LB_Q_S32 ? 4 : 1, b = different(o, matrices);
    return b * matrix_words(o, o->n) <= words && matrices * o->m <= words /* the rows' sums */ &&
           extent(matrices, o->a_step, o->m, o->a_row, o->k) <= bytes &&
           extent(matrices, o->c_step, o->m, o->c_row, o->n) * size <= bytes &&
           extent(b, o->b_step, o->trans_b ? o->n : o->k, o->b_row, o->trans_b ? o->k : o->n) <= bytes;
}

/* A product in parts of its rows and columns. */
static int make_parts(struct vulkan_device *d, const struct lb_q_gemm *o, size_t matrix)
{
    const size_t a = o->a_row + o->k, c = (o->c_row + o->n) * (o->out.type == LB_Q_S32 ? 4 : 1);
    const size_t rows = vulkan_q_at_once(d, (a > c ? a : c) + sizeof(int32_t));
    const size_t cols = vulkan_q_at_once(d, matrix_words(o, 1) * 4 + (o->trans_b ? o->b_row : 1));
    struct part p = {.matrix = matrix, .matrices = 1};
    for (; p.col < o->n; p.col += p.cols) {
        p.cols = least(o->n - p.col, cols);
        if (make(d, o, p, rows))
            return -1;
    }
    return 0;
}

/* Matrices that follow each other, with the same right factor, are one. */
static struct lb_q_gemm joined(const struct lb_q_gemm *o)
{
    struct lb_q_gemm j = *o;
    if (o->b_step || o->a_step != o->m * o->a_row || o->c_step != o->m * o->c_row)
        return j;
    j.m *= o->batch;
    j.batch = o->batch != 0;
    return j;
}

int vulkan_q_gemm(void *dev, const struct lb_q_gemm *op)
{
    struct vulkan_device *d = dev;
    const struct lb_q_gemm o = joined(op);
    if (vulkan_q_check_terms(d, "q_gemm", o.k))
        return -1;
    for (size_t i = 0, n; i < o.batch && o.m && o.n; i += n) {
        n = o.batch - i;
        while (n > 1 && !fits(d, &o, n))
            n = (n + 1) / 2;
        if (fits(d, &o, n)) {
            if (make(d, &o, (struct part){.matrix = i, .matrices = n, .cols = o.n}, o.m))
                return -1;
        } else if (make_parts(d, &o, i)) {
            return -1;
        }
    }
    return 0;
}
