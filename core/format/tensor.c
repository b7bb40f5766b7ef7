/* SPDX-License-Identifier: MIT */
#include "core/format/tensor.h"
#include "core/base/mem.h"
#include "core/format/coder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The product of the dimensions from left to right, as the reference reader multiplies: a zero after an overflow does not undo it. */
static int count(unsigned ndim, const size_t *shape, size_t *elems)
{
    *elems = 1;
    for (unsigned i = 0; i < ndim; i++)
        if (lb_mul(*elems, shape[i], elems))
            return -1;
    return 0;
}

int lb_tensor_describe(struct lb_tensor *t, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, struct lb_err *err)
{
    *t = (struct lb_tensor){0};
    if ((unsigned)dtype >= LB_DTYPES)
        return lb_fail(err, "%d is no dtype", (int)dtype);
    if (ndim > LB_MAX_DIMS)
        return lb_fail(err, "%u dimensions: lowbit takes at most %d (a limit of its own)", ndim, LB_MAX_DIMS);
    size_t elems, bytes;
    if (count(ndim, shape, &elems) || lb_dtype_bytes(dtype, elems, &bytes)) {
        char text[LB_MAX_DIMS * 24];
        return lb_fail(err, "shape %s of %s: overflow, more bytes than this machine can address",
                       lb_shape_text(ndim, shape, text, sizeof text), lb_dtypes[dtype].name);
    }
    t->dtype = dtype;
    t->ndim = ndim;
    for (unsigned i = 0; i < ndim; i++)
        t->shape[i] = shape[i];
    t->elems = elems;
    t->bytes = bytes;
    return 0;
}

int lb_tensor_init(struct lb_tensor *t, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, struct lb_err *err)
{
    if (lb_tensor_describe(t, dtype, ndim, shape, err))
        return -1;
    t->data = lb_alloc(t->bytes, 1, err);
    if (!t->data) {
        *t = (struct lb_tensor){0};
        return -1;
    }
    t->owned = 1;
    return 0;
}

void lb_tensor_finish(struct lb_tensor *t)
{
    if (t->owned)
        lb_free(t->data);
    *t = (struct lb_tensor){0};
}

int lb_tensor_view(const struct lb_tensor *t, size_t first, size_t rows, struct lb_tensor *out, struct lb_err *err)
{
    if (!t->ndim)
        return lb_fail(err, "a scalar has no rows to view");
    if (first > t->shape[0] || rows > t->shape[0] - first)
        return lb_fail(err, "rows %zu to %zu of a tensor of %zu rows", first, first + rows, t->shape[0]);
    size_t row = t->elems ? t->elems / t->shape[0] : 0;
    unsigned bits = lb_dtypes[t->dtype].bits;
    size_t begin = first * row, end = (first + rows) * row;
    /* Only the number of bits modulo 8 matters here, so that a product that wraps does no harm. */
    if (begin * bits % 8 || (end * bits % 8 && end != t->elems))
        return lb_fail(err, "rows %zu to %zu of %zu elements of %u bits do not begin and end on whole bytes", first, first + rows, row,
                       bits);
    struct lb_tensor v = *t;
    v.shape[0] = rows;
    v.elems = end - begin;
    size_t skip;
    if (lb_dtype_bytes(t->dtype, begin, &skip) || lb_dtype_bytes(t->dtype, v.elems, &v.bytes))
        return lb_fail(err, "rows %zu to %zu: overflow", first, first + rows);
    v.data = t->data ? t->data + skip : NULL;
    v.owned = 0;
    *out = v;
    return 0;
}

int lb_tensor_clone(const struct lb_tensor *t, struct lb_tensor *out, struct lb_err *err)
{
    if (lb_tensor_init(out, t->dtype, t->ndim, t->shape, err))
        return -1;
    if (t->bytes)
        memcpy(out->data, t->data, t->bytes);
    return 0;
}

int lb_tensor_reshape(const struct lb_tensor *t, unsigned ndim, const size_t *shape, struct lb_tensor *out, struct lb_err *err)
{
    struct lb_tensor v;
    if (lb_tensor_describe(&v, t->dtype, ndim, shape, err))
        return -1;
    if (v.elems != t->elems) {
        char old[LB_MAX_DIMS * 24], new[LB_MAX_DIMS * 24];
        return lb_fail(err, "%s has %zu elements, %s has %zu", lb_shape_text(t->ndim, t->shape, old, sizeof old), t->elems,
                       lb_shape_text(ndim, shape, new, sizeof new), v.elems);
    }
    v.data = t->data;
    v.readonly = t->readonly;
    *out = v;
    return 0;
}

/* The row-major position of `index`, checked. */
static int position(const struct lb_tensor *t, const size_t *index, size_t *at, struct lb_err *err)
{
    *at = 0;
    for (unsigned i = 0; i < t->ndim; i++) {
        if (index[i] >= t->shape[i])
            return lb_fail(err, "index %zu of dimension %u, which has %zu", index[i], i, t->shape[i]);
        *at = *at * t->shape[i] + index[i];
    }
    if (!t->data)
        return lb_fail(err, "the tensor has no data");
    return 0;
}

int lb_tensor_get(const struct lb_tensor *t, const size_t *index, uint64_t *code, struct lb_err *err)
{
    size_t at;
    if (position(t, index, &at, err))
        return -1;
    *code = lb_code_get(t->data, lb_dtypes[t->dtype].bits, at);
    return 0;
}

int lb_tensor_set(struct lb_tensor *t, const size_t *index, uint64_t code, struct lb_err *err)
{
    const struct lb_dtype *d = &lb_dtypes[t->dtype];
    size_t at;
    if (t->readonly)
        return lb_fail(err, "the tensor is a view of a file and cannot be changed");
    if (position(t, index, &at, err))
        return -1;
    if (d->bits < 64 && code >> d->bits)
        return lb_fail(err, "code %" PRIu64 " does not fit the %u bits of %s", code, d->bits, d->name);
    lb_code_set(t->data, d->bits, at, code);
    return 0;
}

char *lb_shape_text(unsigned ndim, const size_t *shape, char *buf, size_t size)
{
    size_t n = 0;
    for (unsigned i = 0; i < ndim && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%zu", i ? ", " : "[", shape[i]);
    if (n < size)
        snprintf(buf + n, size - n, ndim ? "]" : "[]");
    return buf;
}
