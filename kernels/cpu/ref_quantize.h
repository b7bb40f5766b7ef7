/* SPDX-License-Identifier: MIT */
/* ref_quantize.h - encoding and decoding arrays, literally as docs/arithmetic.md section 8 has it, from tables. */
#ifndef LB_REF_QUANTIZE_H
#define LB_REF_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

enum ref_scale_rule { /* the numbers are those of enum lb_scale_rule; the others are for hosts only */
                      REF_SCALE_NONE = 0,
                      REF_SCALE_FIXED = 1,
                      REF_SCALE_ABSMAX = 2,
                      REF_SCALE_FLOOR = 7,
                      REF_SCALE_CEIL,
                      REF_SCALE_EVEN,
                      REF_SCALE_RCEIL
};

struct ref_quantizer {
    const float *values; /* (n_values) what each code is worth */
    size_t n_values;
    /* x becomes code[i] for the last i with first[i] <= key(x); a key is the bits of x as a signed integer b, or INT32_MIN - b - 1 where the sign is
     * set. A NaN becomes nan_code. */
    size_t n;
    const int32_t *first;
    const uint32_t *code;
    uint32_t nan_code;
    int stochastic;
    size_t n_members;
    const float *member; /* ascending, each with its code */
    const uint32_t *member_code;
    uint32_t rule; /* enum ref_scale_rule */
    float value, top;
    int emax, fraction, clamp;
    size_t block;                      /* elements of a row that share a scale; 0: the row; SIZE_MAX: the matrix */
    const struct ref_quantizer *scale; /* NULL: scales are stored as binary32. Its rule is NONE, FIXED, or ABSMAX over all scales */
};

/* What ref_quantize cannot do with it, or NULL. */
const char *ref_quantizer_lacks(const struct ref_quantizer *q);

/* Bytes of a copy with all its tables, and the copy, in memory of that size that is aligned for pointers. */
size_t ref_quantizer_bytes(const struct ref_quantizer *q);
struct ref_quantizer *ref_quantizer_copy(const struct ref_quantizer *q, void *memory);

/* Scales of a matrix. */
size_t ref_quantizer_scales(const struct ref_quantizer *q, size_t rows, size_t cols);

/* y (rows, cols) = what x is worth when it was encoded; y may be x. Element (i, j) has the random word of index first + i cols + j. `scales`: room for
 * ref_quantizer_scales floats. */
void ref_quantize(const struct ref_quantizer *q, const float *x, float *y, size_t rows, size_t cols, uint64_t seed, uint32_t stream,
                  uint64_t first, float *scales);

#endif
