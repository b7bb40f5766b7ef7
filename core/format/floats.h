/* SPDX-License-Identifier: MIT */
/* floats.h - tensors of floating-point numbers as binary32, for ops that compute in it. */
#ifndef LB_FLOATS_H
#define LB_FLOATS_H

#include "core/format/tensor.h"

/* Whether F32 holds every number of the dtype: F32, F16, BF16. */
int lb_floats_has(enum lb_dtype_id dtype);

/* The numbers of t, exactly, in memory that the caller frees with lb_free; NULL with an error that names the tensor where lb_floats_has is 0. */
float *lb_floats(const struct lb_tensor *t, const char *name, struct lb_err *err);

/* An error that names the tensor, its shape and the wanted one, unless they are equal. `meaning`: of the dimensions, as "(N, K)", or NULL. */
int lb_tensor_expect(const struct lb_tensor *t, const char *name, unsigned ndim, const size_t *shape, const char *meaning,
                     struct lb_err *err);

#endif
