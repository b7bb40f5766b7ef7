/* SPDX-License-Identifier: MIT */
/* dtype.h - the 22 dtypes of safetensors, as a table. A dtype says how codes lie in memory; what a code means is a codec's business. */
#ifndef LB_DTYPE_H
#define LB_DTYPE_H

#include <stddef.h>

enum lb_dtype_id {
    LB_BOOL,
    LB_F4,
    LB_F6_E2M3,
    LB_F6_E3M2,
    LB_U8,
    LB_I8,
    LB_F8_E5M2,
    LB_F8_E4M3,
    LB_F8_E8M0,
    LB_F8_E4M3FNUZ,
    LB_F8_E5M2FNUZ,
    LB_I16,
    LB_U16,
    LB_F16,
    LB_BF16,
    LB_I32,
    LB_U32,
    LB_F32,
    LB_C64,
    LB_F64,
    LB_I64,
    LB_U64,
    LB_DTYPES
};

struct lb_dtype {
    const char *name; /* the safetensors tag */
    unsigned bits;    /* of one element: 4, 6, 8, 16, 32, 64 */
};

extern const struct lb_dtype lb_dtypes[LB_DTYPES];

/* The id of a tag (exact spelling), or -1. */
int lb_dtype_find(const char *name);

/* Bytes of n elements, codes packed as a little-endian bit stream and rounded up to whole bytes; -1 on overflow. */
int lb_dtype_bytes(enum lb_dtype_id id, size_t n, size_t *bytes);

/* Whether n elements fill whole bytes: what has padding bits cannot be in a safetensors file. */
int lb_dtype_fills(enum lb_dtype_id id, size_t n);

#endif
