/* SPDX-License-Identifier: MIT */
/* op_nbits.c - MatMulNBits and its codes: core/nn/nbits.h on tensors from a file. */
#include "core/base/mem.h"
#include "core/cmd/op.h"
#include "core/format/floats.h"
#include "core/nn/nbits.h"

#include <string.h>

/* ---- matmul_nbits ----------------------------------------------------------------------------------------------------------------- */

static int open_weights(const struct lb_op_call *c, int level, struct lb_nbits **w, struct lb_err *err)
{
    const struct lb_nbits_inputs in = {lb_op_tensor(c, "B"), lb_op_tensor(c, "scales"), lb_op_tensor(c, "zero_points"),
                                       lb_op_tensor(c, "g_idx"), lb_op_tensor(c, "bias")};
    struct lb_nbits_attributes a = {0};
    if (lb_op_whole(c, "K", 1, INT64_MAX, &a.k, err) || lb_op_whole(c, "N", 1, INT64_MAX, &a.n, err) ||
        lb_op_whole(c, "bits", 2, 8, &a.bits, err) || lb_op_whole(c, "block_size", 16, INT64_MAX, &a.block_size, err) ||
        (level && lb_op_whole(c, "accuracy_level", 0, 4, &a.accuracy_level, err)))
        return -1;
    return lb_nbits_create(&a, &in, w, err);
}

/* The numbers of a tensor (..., cols), how many rows it has, and the shape of a result (..., other). */
static int take_rows(const struct lb_op_call *c, const char *name, const char *setting, const char *other, float **x, size_t *rows,
                     struct lb_tensor *result, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    char shape[LB_MAX_DIMS * 24];
    int64_t cols, others;
    if (lb_op_whole(c, setting, 1, INT64_MAX, &cols, err) || lb_op_whole(c, other, 1, INT64_MAX, &others, err))
        return -1;
    if (!t->ndim || t->shape[t->ndim - 1] != (size_t)cols)
        return lb_fail(err, "tensor %s: shape %s, wanted (..., %s), %s being %zu", name,
                       lb_shape_text(t->ndim, t->shape, shape, sizeof shape), setting, setting, (size_t)cols);
    size_t dims[LB_MAX_DIMS];
    memcpy(dims, t->shape, sizeof dims);
    dims[t->ndim - 1] = (size_t)others;
    *rows = t->elems / (size_t)cols;
    return lb_tensor_describe(result, LB_F32, t->ndim, dims, err) || lb_op_floats(c, name, x, err) ? -1 : 0;
}

int lb_op_matmul_nbits(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_nbits *w = NULL;
    struct lb_tensor y;
    float *a = NULL, *out;
    size_t m;
    const int r = open_weights(c, 1, &w, err) || take_rows(c, "A", "K", "N", &a, &m, &y, err) ||
                          !(out = lb_op_output(c, "Y", LB_F32, y.ndim, y.shape, err)) || lb_nbits_forward(w, c->dev, a, m, out, err)
                      ? -1
                      : 0;
    lb_free(a);
    lb_nbits_destroy(w);
    return r;
}

static int scale_gradient(struct lb_op_call *c, const struct lb_nbits *w, const float *dy, size_t m, struct lb_err *err)
{
    const struct lb_tensor *scales = lb_op_tensor(c, "scales");
    struct lb_tensor like;
    float *a = NULL, *ds;
    size_t rows = 0;
    int r = take_rows(c, "A", "K", "N", &a, &rows, &like, err);
    if (!r && rows != m)
        r = lb_fail(err, "tensor A: %zu rows, wanted the %zu of dY", rows, m);
    if (!r)
        r = (ds = lb_op_output(c, "dscales", LB_F32, scales->ndim, scales->shape, err)) ? lb_nbits_grad_scales(w, c->dev, a, dy, m, ds, err)
                                                                                        : -1;
    lb_free(a);
    return r;
}

int lb_op_matmul_nbits_grad(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_nbits *w = NULL;
    struct lb_tensor da;
    float *dy = NULL, *out;
    size_t m;
    const int r = open_weights(c, 0, &w, err) || take_rows(c, "dY", "N", "K", &dy, &m, &da, err) ||
                          !(out = lb_op_output(c, "dA", LB_F32, da.ndim, da.shape, err)) ||
                          lb_nbits_grad_input(w, c->dev, dy, m, out, err) || (lb_op_tensor(c, "A") && scale_gradient(c, w, dy, m, err))
                      ? -1
                      : 0;
    lb_free(dy);
    lb_nbits_destroy(w);
    return r;
}

/* ---- Codes ------------------------------------------------------------------------------------------------------------------------ */

/* How `cols` codes of a row lie: in row_bytes bytes, which are `blocks` blocks, or none. */
struct layout {
    unsigned bits;
    size_t blocks, row_bytes;
};

static int find_layout(const struct lb_op_call *c, size_t cols, struct layout *l, struct lb_err *err)
{
    int64_t bits, block;
    if (lb_op_whole(c, "bits", 2, 8, &bits, err) || lb_op_whole(c, "block_size", 0, INT64_MAX, &block, err) ||
        lb_nbits_check(bits, block, err))
        return -1;
    l->bits = (unsigned)bits;
    l->blocks = block ? cols / (size_t)block + (cols % (size_t)block != 0) : 0;
    l->row_bytes = cols / 8 * l->bits + (cols % 8 * l->bits + 7) / 8;
    if (block && lb_mul(l->blocks, (size_t)block / 8 * l->bits, &l->row_bytes))
        return lb_fail(err, "block_size: %zu, too large", (size_t)block);
    return 0;
}

/* The shape of `rows` rows in that layout. Returns the number of dimensions. */
static unsigned packed_shape(const struct layout *l, size_t rows, size_t shape[3])
{
    shape[0] = rows;
    shape[1] = l->blocks ? l->blocks : l->row_bytes;
    shape[2] = l->blocks ? l->row_bytes / l->blocks : 0;
    return l->blocks ? 3 : 2;
}

int lb_op_pack_nbits(struct lb_op_call *c, struct lb_err *err)
{
    const struct lb_tensor *codes = lb_op_tensor(c, "codes");
    struct layout l;
    size_t shape[3];
    unsigned char *packed;
    if (lb_op_dtype(c, "codes", LB_U8, err) || lb_op_dims(c, "codes", 2, "(rows, codes of a row)", err) ||
        find_layout(c, codes->shape[1], &l, err))
        return -1;
    const unsigned ndim = packed_shape(&l, codes->shape[0], shape);
    if (!(packed = lb_op_output(c, "B", LB_U8, ndim, shape, err)))
        return -1;
    return lb_nbits_pack(codes->data, codes->shape[0], codes->shape[1], l.bits, l.row_bytes, packed, err) ? lb_fail_in(err, "tensor codes")
                                                                                                          : 0;
}

int lb_op_unpack_nbits(struct lb_op_call *c, struct lb_err *err)
{
    const struct lb_tensor *b = lb_op_tensor(c, "B");
    struct layout l;
    size_t shape[3];
    int64_t k;
    unsigned char *codes;
    if (lb_op_whole(c, "K", 0, INT64_MAX / 8, &k, err) || lb_op_dtype(c, "B", LB_U8, err) || find_layout(c, (size_t)k, &l, err))
        return -1;
    const unsigned ndim = packed_shape(&l, b->ndim ? b->shape[0] : 0, shape);
    if (lb_tensor_expect(b, "B", ndim, shape, ndim == 3 ? "(rows, blocks, bytes of a block)" : "(rows, bytes of a row)", err) ||
        !(codes = lb_op_output(c, "codes", LB_U8, 2, (const size_t[]){shape[0], (size_t)k}, err)))
        return -1;
    lb_nbits_unpack(b->data, l.row_bytes, shape[0], (size_t)k, l.bits, codes);
    return 0;
}
