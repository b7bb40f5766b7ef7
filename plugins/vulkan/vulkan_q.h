/* SPDX-License-Identifier: MIT */
/* vulkan_q.h - what the files of integer tensors share.
 *
 *   vulkan_q_weights.c  weights: kernels/vulkan/q_factors.glsl says how they lie
 *   vulkan_q_product.c  q_dense, q_conv2d: which shader makes a product, in how many dispatches
 *   vulkan_q_gemm.c     q_gemm: its right factor is made into such weights on the device
 *   vulkan_q_ops.c      the ops on elements;  vulkan_q_images.c  those on images, and copies */
#ifndef VULKAN_Q_H
#define VULKAN_Q_H

#include "plugins/vulkan/vulkan.h"

enum {
    Q_TURN = 4,     /* quads of terms of a turn of a shader's loops: rows of weights have whole ones */
    Q_COLUMN = 5,   /* numbers of a column behind the weights */
    Q_TURNS = 60000 /* of loops of an invocation: llvmpipe ends them after 65535 */
};

/* Some rows of a weight matrix (columns of a product), as many as a binding reaches, in device memory. */
struct vulkan_q_slab {
    struct lb_buf buf;
    size_t row, rows;
};

struct vulkan_q_weights {
    size_t rows, cols, row_words;
    int nibbles;
    int zeros; /* some zero point is not 0, of what the weights are on the device */
    size_t n;
    struct vulkan_q_slab *slab;
};

void *vulkan_q_weights_create(void *dev, const struct lb_q_matrix *m, size_t *bytes);
void vulkan_q_weights_free(void *dev, void *w);

/* n bytes of r from byte `from` on, as words; *rest: where in the first of them they begin. */
struct vulkan_operand vulkan_q_bytes(struct lb_ref r, size_t from, size_t n, int writes, uint32_t *rest);
/* How many units of so many bytes a binding reaches; at least 1, which cannot be cut. */
size_t vulkan_q_at_once(const struct vulkan_device *d, size_t bytes);

/* The arguments of kernels/vulkan/q_factors.glsl; `rest` of matrices, and of a convolution. */
enum { Q_BATCH, Q_A_STEP, Q_W_STEP, Q_C_STEP, Q_MATRICES };
enum { Q_H, Q_W, Q_C, Q_KW, Q_STRIDE, Q_PAD, Q_DILATION, Q_OH, Q_OW, Q_CHANNELS, Q_OUTPUTS, Q_FIRST, Q_CONV };
struct vulkan_q_args {
    uint32_t m, n, k, w_row, a_from, a_row, a_last, c_from, c_row, flip;
    int32_t a_zero;
    uint32_t has_sums;
    int32_t zero, low, high;
    uint32_t rest[Q_CONV];
};

/* A product whose operands can be bound: input, weights, nothing, result. */
struct vulkan_q_product {
    int conv, transposed, nibbles, to_s32;
    int zeros; /* weights have zero points: sums of the input's rows are made */
    struct vulkan_operand operand[VULKAN_OPERANDS];
    size_t scratch; /* words of scratch memory that are in use already */
    struct vulkan_q_args args;
};
/* What input and result add to it. */
void vulkan_q_types(struct vulkan_q_product *p, uint32_t a_type, int32_t a_zero, const struct lb_q_out *out);
int vulkan_q_product(struct vulkan_device *d, struct vulkan_q_product *p);
/* -1 after a log message where sums have more terms than this backend makes. */
int vulkan_q_check_terms(struct vulkan_device *d, const char *op, size_t k);

int vulkan_q_dense(void *dev, const struct lb_q_dense *o);
int vulkan_q_conv2d(void *dev, const struct lb_q_conv2d *o);
int vulkan_q_gemm(void *dev, const struct lb_q_gemm *o);
int vulkan_q_table(void *dev, const struct lb_q_table *o);
int vulkan_q_binary(void *dev, const struct lb_q_binary *o);
int vulkan_q_pool(void *dev, const struct lb_q_pool *o);
int vulkan_q_copy(void *dev, const struct lb_q_copy *o);
int vulkan_q_im2col(void *dev, const struct lb_q_columns *o);
int vulkan_q_col2im(void *dev, const struct lb_q_col2im *o);
int vulkan_q_requantize(void *dev, const struct lb_q_requantize *o);
int vulkan_q_quantize(void *dev, const struct lb_q_quantize *o);
int vulkan_q_dequantize(void *dev, const struct lb_q_dequantize *o);

#endif
