/* SPDX-License-Identifier: MIT */
/* cpu.h - the private header of the backend `cpu`: its device, and the ops that its files define. */
#ifndef LB_CPU_H
#define LB_CPU_H

#include "core/plugin.h"
#include "kernels/cpu/kernels.h"

struct cpu_device {
    const struct lb_host *host;
    struct cpu_kernels k;
    void *work; /* grows to the largest op's need, then stays: no allocation in a training loop */
    size_t work_bytes;
};

/* At least `bytes` of scratch memory, 64-byte aligned, until the next call; NULL (and a message) where memory is out. */
void *cpu_work(struct cpu_device *d, size_t bytes);

/* The ops; `dev` is a struct cpu_device. */
int cpu_gemm(void *dev, const struct lb_gemm *op); /* cpu_gemm.c */
int cpu_gemm_packed(void *dev, const struct lb_gemm_packed *op);
int cpu_gemm_int8(void *dev, const struct lb_gemm_packed *op); /* cpu_int8.c */
int cpu_conv2d_int8(void *dev, const struct lb_conv2d_packed *op);
int cpu_conv2d(void *dev, const struct lb_conv2d *op); /* cpu_conv.c */
int cpu_conv2d_packed(void *dev, const struct lb_conv2d_packed *op);
int cpu_conv2d_dx(void *dev, const struct lb_conv2d_grad *op);
int cpu_conv2d_dw(void *dev, const struct lb_conv2d_grad *op);
int cpu_bias_grad(void *dev, const struct lb_bias_grad *op); /* cpu_rows.c */
int cpu_act(void *dev, const struct lb_act_op *op);
int cpu_act_grad(void *dev, const struct lb_act_op *op);
int cpu_softmax(void *dev, const struct lb_softmax *op);
int cpu_softmax_grad(void *dev, const struct lb_softmax *op);
int cpu_cross_entropy(void *dev, const struct lb_loss *op);
int cpu_mse(void *dev, const struct lb_loss *op);
int cpu_sgd(void *dev, const struct lb_sgd *op);
void *cpu_weights_create(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why,
                         size_t why_size); /* cpu_weights.c */
void cpu_weights_free(void *dev, void *w);
void *cpu_quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size); /* cpu_quantize.c */
void cpu_quantizer_free(void *dev, void *q);
int cpu_quantize(void *dev, const struct lb_quantize *op);
void *cpu_q_weights_create(void *dev, const struct lb_q_matrix *w, size_t *bytes); /* cpu_q_weights.c */
void cpu_q_weights_free(void *dev, void *w);
int cpu_q_dense(void *dev, const struct lb_q_dense *op);
int cpu_q_conv2d(void *dev, const struct lb_q_conv2d *op);
int cpu_q_gemm(void *dev, const struct lb_q_gemm *op);
int cpu_q_table(void *dev, const struct lb_q_table *op); /* cpu_q_rows.c */
int cpu_q_binary(void *dev, const struct lb_q_binary *op);
int cpu_q_requantize(void *dev, const struct lb_q_requantize *op);
int cpu_q_quantize(void *dev, const struct lb_q_quantize *op);
int cpu_q_dequantize(void *dev, const struct lb_q_dequantize *op);
int cpu_q_pool(void *dev, const struct lb_q_pool *op); /* cpu_q_images.c */
int cpu_q_copy(void *dev, const struct lb_q_copy *op);
int cpu_q_im2col(void *dev, const struct lb_q_columns *op);
int cpu_q_col2im(void *dev, const struct lb_q_col2im *op);

#endif
