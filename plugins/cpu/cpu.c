/* SPDX-License-Identifier: MIT */
/* cpu.c - the fast exact backend: the bits of cpu_ref, from kernels for each instruction set, on all threads. Work is split by outputs only. */
#include "plugins/cpu/cpu.h"

#include <stdio.h>

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    (void)h, (void)why, (void)why_size;
    return 1;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    struct cpu_device *d = h->alloc(h, sizeof *d);
    if (!d) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    d->host = h;
    d->work = NULL;
    d->work_bytes = 0;
    const uint32_t vnni = LB_CPU_VNNI | LB_CPU_VBMI;
    cpu_kernels_init(&d->k, (h->cpu & LB_CPU_AVX2) != 0, (h->cpu & LB_CPU_AVX512) != 0, (h->cpu & vnni) == vnni);
    return d;
}

static void close_device(void *dev)
{
    struct cpu_device *d = dev;
    d->host->free(d->host, d->work);
    d->host->free(d->host, d);
}

static void info(void *dev, struct lb_device_info *out)
{
    const struct cpu_device *d = dev;
    *out = (struct lb_device_info){.device = "cpu", .isa = d->k.isa, .threads = d->host->threads};
}

void *cpu_work(struct cpu_device *d, size_t bytes)
{
    if (bytes <= d->work_bytes)
        return d->work;
    d->host->free(d->host, d->work);
    d->work = d->host->alloc(d->host, bytes);
    d->work_bytes = d->work ? bytes : 0;
    if (!d->work)
        d->host->log(d->host, LB_LOG_ERROR, "out of memory: scratch");
    return d->work;
}

static const struct lb_backend cpu = {
    .base = {LB_ABI, LB_BACKEND, sizeof cpu, "cpu", "the exact arithmetic at full speed: AVX-512, AVX2 or C, all threads"},
    .exact = 1,
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .gemm = cpu_gemm,
    .conv2d = cpu_conv2d,
    .conv2d_dx = cpu_conv2d_dx,
    .conv2d_dw = cpu_conv2d_dw,
    .bias_grad = cpu_bias_grad,
    .act = cpu_act,
    .act_grad = cpu_act_grad,
    .softmax = cpu_softmax,
    .softmax_grad = cpu_softmax_grad,
    .cross_entropy = cpu_cross_entropy,
    .mse = cpu_mse,
    .sgd = cpu_sgd,
    .weights_create = cpu_weights_create,
    .weights_free = cpu_weights_free,
    .gemm_packed = cpu_gemm_packed,
    .conv2d_packed = cpu_conv2d_packed,
    .quantizer_create = cpu_quantizer_create,
    .quantizer_free = cpu_quantizer_free,
    .quantize = cpu_quantize,
    .gemm_int8 = cpu_gemm_int8,
    .conv2d_int8 = cpu_conv2d_int8,
    .q_weights_create = cpu_q_weights_create,
    .q_weights_free = cpu_q_weights_free,
    .q_dense = cpu_q_dense,
    .q_conv2d = cpu_q_conv2d,
    .q_quantize = cpu_q_quantize,
    .q_dequantize = cpu_q_dequantize,
    .q_gemm = cpu_q_gemm,
    .q_table = cpu_q_table,
    .q_binary = cpu_q_binary,
    .q_requantize = cpu_q_requantize,
    .q_pool = cpu_q_pool,
    .q_copy = cpu_q_copy,
    .q_im2col = cpu_q_im2col,
    .q_col2im = cpu_q_col2im,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&cpu.base, NULL};
