/* SPDX-License-Identifier: MIT */
/* codec_fp8.h - binary32 arrays to and from 8-bit floating-point codes, fast: any format of codec_minifloat.h with 8 bits, m > 0, bias 0 .. 100
 * and subnormals, rounded to nearest even, saturating; a NaN becomes nan_code and is decoded as 0x7FC00000. Decoding is by table, for any 8-bit
 * codec whose values have no bits below the upper 16 of binary32.
 *
 * How a magnitude a <= top is rounded: with 2^E the largest power of two that is no more than a, but not less than the smallest normal number, the sum
 * a 2^(m-23) + 2^E is rounded at 2^(E-23), where a counts in steps of its last fraction bit: the bits of the sum hold E, and the significand s
 * = 0 .. 2^(m+1) as lowest bits. The code is 2^m (E + bias - 1) + s; its constant part (even, for the tie) is already in the lowest bits of 2^E. */
#ifndef LB_CODEC_FP8_H
#define LB_CODEC_FP8_H

#include "kernels/cpu/codec_minifloat.h"

#include <stddef.h>

struct lb_fp8 {
    float value[256];
    unsigned char byte3[256], byte2[256]; /* of the values' bits, 3 the highest */
    int encodes;                          /* what follows is set */
    int m, bias;
    uint32_t finite;   /* lb_minifloat_finite */
    uint32_t nan_code; /* 0x80 in formats without -0 */
    float top, unit;   /* the largest value; 2^(m-23) */
    uint32_t constant; /* 2^m (bias - 128), its low 8 bits */
    uint32_t least;    /* bits of the smallest normal number, with the constant */
};

/* f NULL: only decoding. */
void lb_fp8_init(struct lb_fp8 *t, double (*value)(uint32_t code), const struct lb_minifloat *f);

void lb_fp8_encode_c(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes);
void lb_fp8_decode_c(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x);
void lb_fp8_encode_avx2(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes);
void lb_fp8_decode_avx2(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x);
void lb_fp8_encode_vbmi(const struct lb_fp8 *t, const float *x, size_t n, unsigned char *codes);
void lb_fp8_decode_vbmi(const struct lb_fp8 *t, const unsigned char *codes, size_t n, float *x);

/* The 4-bit E2M1 in the same way, two codes a byte; n even. (The other forms are in codec_kernels.h.) */
void lb_fp4_encode_vbmi(const float *x, size_t n, void *codes);

#endif
