/* SPDX-License-Identifier: MIT */
/* codec_kernels.h - binary32 arrays to and from codes, fast. n elements; FP4: n even, two codes a byte, low nibble first. Rounding to nearest even;
 * F16 and BF16 overflow to Inf, I8 and FP4 saturate; a NaN becomes 0x7E00, 0x7FC0, 0, 0 and is decoded as 0x7FC00000. Every _avx2 form gives
 * the bits of its _c form. */
#ifndef LB_CODEC_KERNELS_H
#define LB_CODEC_KERNELS_H

#include <stddef.h>

void lb_f16_encode_c(const float *x, size_t n, void *codes);
void lb_f16_decode_c(const void *codes, size_t n, float *x);
void lb_bf16_encode_c(const float *x, size_t n, void *codes);
void lb_bf16_decode_c(const void *codes, size_t n, float *x);
void lb_i8_encode_c(const float *x, size_t n, void *codes);
void lb_i8_decode_c(const void *codes, size_t n, float *x);
void lb_fp4_encode_c(const float *x, size_t n, void *codes);
void lb_fp4_decode_c(const void *codes, size_t n, float *x);

void lb_f16_encode_avx2(const float *x, size_t n, void *codes);
void lb_f16_decode_avx2(const void *codes, size_t n, float *x);
void lb_bf16_encode_avx2(const float *x, size_t n, void *codes);
void lb_bf16_decode_avx2(const void *codes, size_t n, float *x);
void lb_i8_encode_avx2(const float *x, size_t n, void *codes);
void lb_i8_decode_avx2(const void *codes, size_t n, float *x);
void lb_fp4_encode_avx2(const float *x, size_t n, void *codes);
void lb_fp4_decode_avx2(const void *codes, size_t n, float *x);

/* Whether this CPU runs the _avx2 and the _vbmi forms (AVX-512 with VBMI: codec_fp8.h). */
int lb_codec_avx2(void);
int lb_codec_vbmi(void);

#endif
