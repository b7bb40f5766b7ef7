/* SPDX-License-Identifier: MIT */
/* lanes.h - the loops of encoding that compilers make vectors of, each built for several instruction sets, of which the machine's best runs. The bits
 * are the same on all. */
#ifndef LB_LANES_H
#define LB_LANES_H

#include <stddef.h>
#include <stdint.h>

/* The largest magnitude, as its bits, of each block of n numbers (the last may be shorter): above 0x7F800000 where there is a NaN. */
void lb_lanes_amax(const float *x, size_t n, size_t block, uint32_t *most);

/* t = x / s, or +0 where s = 0, and `least` where it is less than that; s: one for each block. t may be x. */
void lb_lanes_divide(const float *x, size_t n, size_t block, const float *s, float least, float *t);

/* Encoding by a few steps, and codes of 8 bits: x becomes code[i] for the last i with first[i] <= key(x), as in struct lb_quantizer. */
struct lb_lanes_steps {
    size_t n;
    const int32_t *first;
    const uint32_t *code, *change; /* change[i]: code[i] ^ code[i - 1] */
    uint32_t nan_code;
};
void lb_lanes_steps(const struct lb_lanes_steps *s, const float *x, size_t n, unsigned char *codes);

/* Codes of 1, 2, 4 or 8 bits, a byte each, as a bit stream; n * bits is a multiple of 8. */
void lb_lanes_pack(const unsigned char *codes, unsigned bits, size_t n, unsigned char *out);

/* The random words of the 4 n elements from 4 * index on (docs/arithmetic.md, 8.6). */
void lb_lanes_random(uint64_t seed, uint32_t stream, uint64_t index, size_t n, uint32_t *words);

/* Members that are floating-point numbers with `digits` bits of fraction, those of a sign with ascending codes from 0 on: below 2^low they are
 * multiples of 2^(low - digits). What is no less than over[sign] becomes over_code[sign]; top: the largest member of a sign, as bits. */
struct lb_lanes_grid {
    uint32_t digits, top[2], over[2], over_code[2];
    int32_t low;
    uint32_t sign, minus_zero, nan_code; /* sign: the bit of a code; minus_zero: that of the code of -0 */
};

/* Stochastic rounding of 8.6 to codes of 8 bits. */
void lb_lanes_stochastic(const struct lb_lanes_grid *g, const float *x, const uint32_t *words, size_t n, unsigned char *codes);

#endif
