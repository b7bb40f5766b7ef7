/* SPDX-License-Identifier: MIT */
/* tensor.h - a tensor of any safetensors dtype: a shape, and packed row-major codes that it owns or views. */
#ifndef LB_TENSOR_H
#define LB_TENSOR_H

#include "core/base/err.h"
#include "core/format/dtype.h"
#include <stddef.h>
#include <stdint.h>

enum { LB_MAX_DIMS = 8 };

struct lb_tensor {
    enum lb_dtype_id dtype;
    unsigned ndim; /* 0: a scalar, one element */
    size_t shape[LB_MAX_DIMS];
    size_t elems;        /* product of shape */
    size_t bytes;        /* of data */
    unsigned char *data; /* packed codes, little-endian bit stream */
    int owned;           /* 1: freed by lb_tensor_finish; 0: a view, valid while its source lives */
    int readonly;        /* 1: a view of a mapped file; set is refused */
};

/* Fills in dtype, shape, elems and bytes of a tensor that has no data yet; refuses what cannot be addressed. On error t is left empty. */
int lb_tensor_describe(struct lb_tensor *t, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, struct lb_err *err);

/* Zeroed codes. On error t is left empty (safe to finish). */
int lb_tensor_init(struct lb_tensor *t, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape, struct lb_err *err);
void lb_tensor_finish(struct lb_tensor *t);

/* A view of rows [first, first + count) along dimension 0; refused where it would not begin and end on whole bytes (the
 * end of the tensor counts as one). Data of a mapped file may lie on any byte: read it with memcpy or lb_decode. */
int lb_tensor_view(const struct lb_tensor *t, size_t first, size_t count, struct lb_tensor *out, struct lb_err *err);
int lb_tensor_clone(const struct lb_tensor *t, struct lb_tensor *out, struct lb_err *err);

/* A view of the same codes in another shape; refused where the number of elements differs. */
int lb_tensor_reshape(const struct lb_tensor *t, unsigned ndim, const size_t *shape, struct lb_tensor *out, struct lb_err *err);

/* The code at `index` (ndim numbers), checked. Up to 64 bits, zero-extended. */
int lb_tensor_get(const struct lb_tensor *t, const size_t *index, uint64_t *code, struct lb_err *err);
int lb_tensor_set(struct lb_tensor *t, const size_t *index, uint64_t code, struct lb_err *err);

/* "[60000, 28, 28]" into buf. Returns buf. */
char *lb_shape_text(unsigned ndim, const size_t *shape, char *buf, size_t size);

#endif
