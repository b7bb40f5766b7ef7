/* SPDX-License-Identifier: MIT */
/* ref_q.h - integer tensors, literally: docs/arithmetic.md, 13. */
#ifndef REF_Q_H
#define REF_Q_H

#include "plugins/cpu_ref/cpu_ref.h"

/* Bytes of a tensor; NULL where it is absent. */
static inline unsigned char *ref_bytes(struct lb_ref r)
{
    return r.buf ? (unsigned char *)r.buf->ptr + 4 * r.at : NULL;
}

/* A byte as the number that it is in the type. */
static inline int32_t ref_q(uint32_t type, unsigned char byte)
{
    return type == LB_Q_S8 ? (int8_t)byte : byte;
}

/* v multiplier / 2^shift, rounded to a whole number, half to even. */
static inline int64_t ref_scaled(int64_t v, int32_t multiplier, int32_t shift)
{
    const int64_t p = v * multiplier, floor = p >> shift, rest = p - floor * ((int64_t)1 << shift);
    const int64_t twice = 2 * rest, one = (int64_t)1 << shift;
    return floor + (twice > one || (twice == one && floor % 2 != 0));
}

/* zero + v, held within what the output may be. */
static inline unsigned char ref_held(const struct lb_q_out *o, int64_t v)
{
    const int64_t y = v + o->zero;
    return (unsigned char)(y < o->low ? o->low : y > o->high ? o->high : y);
}

/* Stores sum v as element i of `out`. */
static inline void ref_q_store(const struct lb_q_out *o, struct lb_ref out, size_t i, int32_t v, int32_t multiplier, int32_t shift)
{
    if (o->type == LB_Q_S32)
        lb_i32(out)[i] = v;
    else
        ref_bytes(out)[i] = ref_held(o, ref_scaled(v, multiplier, shift));
}

/* ref_q.c */
void *ref_q_weights_create(void *dev, const struct lb_q_matrix *w, size_t *bytes);
void ref_q_weights_free(void *dev, void *w);
int ref_q_dense(void *dev, const struct lb_q_dense *o);
int ref_q_conv2d(void *dev, const struct lb_q_conv2d *o);
int ref_q_gemm(void *dev, const struct lb_q_gemm *o);

/* ref_q_ops.c */
int ref_q_table(void *dev, const struct lb_q_table *o);
int ref_q_binary(void *dev, const struct lb_q_binary *o);
int ref_q_pool(void *dev, const struct lb_q_pool *o);
int ref_q_copy(void *dev, const struct lb_q_copy *o);
int ref_q_im2col(void *dev, const struct lb_q_columns *o);
int ref_q_col2im(void *dev, const struct lb_q_col2im *o);
int ref_q_requantize(void *dev, const struct lb_q_requantize *o);
int ref_q_quantize(void *dev, const struct lb_q_quantize *o);
int ref_q_dequantize(void *dev, const struct lb_q_dequantize *o);

#endif
