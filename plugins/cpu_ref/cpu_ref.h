/* SPDX-License-Identifier: MIT */
/* cpu_ref.h - what the files of this plugin share. */
#ifndef CPU_REF_H
#define CPU_REF_H

#include "core/plugin.h"
#include "kernels/cpu/ref.h"

struct device {
    const struct lb_host *host;
    const struct ref_kernels *k;
};

/* Memory of the host's; NULL after a log message. */
void *ref_alloc(const struct device *d, size_t n, size_t size);
struct ref_conv ref_shape(const struct lb_conv *s);

/* ref_weights.c: weights that stay packed. */
void *ref_weights_create(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why, size_t why_size);
void ref_weights_free(void *dev, void *w);
int ref_gemm_packed(void *dev, const struct lb_gemm_packed *o);
int ref_conv2d_packed(void *dev, const struct lb_conv2d_packed *o);
int ref_run_gemm_int8(void *dev, const struct lb_gemm_packed *o);
int ref_run_conv2d_int8(void *dev, const struct lb_conv2d_packed *o);

/* ref_encode.c: encoding. */
void *ref_quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size);
void ref_quantizer_free(void *dev, void *q);
int ref_run_quantize(void *dev, const struct lb_quantize *o);

#endif
