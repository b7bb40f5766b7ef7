/* SPDX-License-Identifier: MIT */
/* nbits.h - MatMulNBits: Y (M, N) = A (M, K) . B^T + bias, the weights B (N, K) being codes of 2 to 8 bits in blocks along K. The operator's definition
 * is that of ONNX's com.microsoft domain; its arithmetic is docs/arithmetic.md 8.13, docs/onnx.md says what is taken and refused. */
#ifndef LB_NBITS_H
#define LB_NBITS_H

#include "core/format/tensor.h"
#include "core/nn/backend.h"

/* The operator's attributes. */
struct lb_nbits_attributes {
    int64_t k, n;
    int64_t bits;           /* 2 to 8 */
    int64_t block_size;     /* a power of two, 16 or more */
    int64_t accuracy_level; /* 0 and 1: F32; 2 and 3, which ask for F16 and BF16 at least: F32 too; 4: activations in int8 */
};

/* Its inputs but for A. k_blocks = ceil(K / block_size). */
struct lb_nbits_inputs {
    const struct lb_tensor *b;      /* U8 (N, k_blocks, block_size * bits / 8): a little-endian bit stream a row */
    const struct lb_tensor *scales; /* F32, F16 or BF16 (N * k_blocks) or (N, k_blocks) */
    const struct lb_tensor *
        zero_points; /* U8 (N * ceil(k_blocks * bits / 8)), or in two dimensions, packed as B is; floats in a shape of scales; NULL: 2^(bits - 1) */
    const struct lb_tensor *g_idx; /* I32 (K), or padded to whole blocks; NULL: k / block_size, and nothing else is taken */
    const struct lb_tensor *bias;  /* floats (N), or NULL */
};

/* Weights of the operator. */
struct lb_nbits;

/* Checks attributes and inputs, every number of them; errors name what was found and what was wanted. Views b, which must outlive it; copies the rest. */
int lb_nbits_create(const struct lb_nbits_attributes *a, const struct lb_nbits_inputs *in, struct lb_nbits **out, struct lb_err *err);
void lb_nbits_destroy(struct lb_nbits *w);

/* The weights as kernels take them. */
const struct lb_packed *lb_nbits_packed(const struct lb_nbits *w);

/* Scales a row. */
size_t lb_nbits_blocks(const struct lb_nbits *w);

/* Whether the product is made with activations in int8: accuracy_level is 4, and zero points are codes. With zero points in floats level 4 is computed in
 * F32, which it allows: a level is what is wanted at least. */
int lb_nbits_int8(const struct lb_nbits *w);

/* y (m, N) from a (m, K), in host memory. Weights stay packed on a backend that has packed products; one without multiplies panels of them in F32: the
 * same bits. Level 4 is `unsupported` on a backend without gemm_int8. */
int lb_nbits_forward(const struct lb_nbits *w, struct lb_dev *d, const float *a, size_t m, float *y, struct lb_err *err);

/* Gradients: of the input, da (m, K) from dy (m, N); and of the scales, ds (N, k_blocks), from dy and a. Codes and zero points are constants. */
int lb_nbits_grad_input(const struct lb_nbits *w, struct lb_dev *d, const float *dy, size_t m, float *da, struct lb_err *err);
int lb_nbits_grad_scales(const struct lb_nbits *w, struct lb_dev *d, const float *a, const float *dy, size_t m, float *ds,
                         struct lb_err *err);

/* Codes, one a byte (rows, cols), to rows of `row_bytes` bytes and back, as a little-endian bit stream each; the bits behind are zero. A code that
 * needs more than `bits` bits is an error that says where it is. */
int lb_nbits_pack(const unsigned char *codes, size_t rows, size_t cols, unsigned bits, size_t row_bytes, unsigned char *packed,
                  struct lb_err *err);
void lb_nbits_unpack(const unsigned char *packed, size_t row_bytes, size_t rows, size_t cols, unsigned bits, unsigned char *codes);

/* bits and block_size as the operator has them; block_size 0: none is wanted. */
int lb_nbits_check(int64_t bits, int64_t block_size, struct lb_err *err);

#endif
