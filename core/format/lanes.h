/* SPDX-License-Identifier: MIT */
/* lanes.h - the loops of encoding that compilers make vectors of, each built for several instruction sets, of which the machine's best runs. The bits
 * are the same on all. */
#ifndef LB_LANES_H
#define LB_LANES_H

#include <stddef.h>
#include <stdint.h>

/* Holds them to some instruction sets (enum lb_cpu, of which AVX2 and AVX512 count), for tests. */
void lb_lanes_limit(unsigned cpu);

/* The largest magnitude of each block of n numbers (the last may be shorter); a NaN where there is one. */
void lb_lanes_amax(const float *x, size_t n, size_t block, float *amax);

/* Each amax becomes 2^E of a rule that counts binades: the exponent of amax after `up` was added to its bits, and one more where `ceil` is set and it is no power
 * of two, less emax. An infinity or a NaN becomes a NaN. */
void lb_lanes_power(float *amax, size_t n, uint32_t up, uint32_t ceil, int32_t emax);

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

/* Encoding to nearest by counting: the number k = x * by, x being held within low and high, becomes the code k & mask. |k| < 2^22. */
struct lb_lanes_whole {
    float by, low, high;
    uint32_t mask, nan_code;
};
void lb_lanes_whole(const struct lb_lanes_whole *w, const float *x, size_t n, unsigned char *codes);

/* Codes of 1, 2, 4 or 8 bits, a byte each, as a bit stream; n * bits is a multiple of 8. */
void lb_lanes_pack(const unsigned char *codes, unsigned bits, size_t n, unsigned char *out);

/* The random words of the 4 n elements from 4 * index on (docs/arithmetic.md, 8.6). */
void lb_lanes_random(uint64_t seed, uint32_t stream, uint64_t index, size_t n, uint32_t *words);

/* Members that are floating-point numbers with `digits` <= 6 bits of fraction: those without a sign have the codes 0, 1, 2, ..., and are multiples of
 * 2^(low - digits) below 2^low. */
struct lb_lanes_grid {
    uint32_t digits, base;       /* base: (low + 126) * 2^digits */
    uint32_t least, top;         /* bits of 2^low and of the largest member */
    float fine;                  /* 2^(24 + digits - low) */
    uint32_t over, over_code[2]; /* magnitudes from here on, as bits, overflow to these, [1] where the sign is set */
    uint32_t sign;               /* the bit of a code */
    uint32_t minus_zero;         /* ~0 where there is a -0, else 0 */
    uint32_t nan_code;
};

/* Stochastic rounding of 8.6 to codes of 8 bits. */
void lb_lanes_stochastic(const struct lb_lanes_grid *g, const float *x, const uint32_t *words, size_t n, unsigned char *codes);

#endif
