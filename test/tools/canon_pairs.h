/* SPDX-License-Identifier: MIT */
/* canon_pairs.h - operands that are hard for a division. */
#ifndef LB_CANON_PAIRS_H
#define LB_CANON_PAIRS_H

#include "kernels/canon.h"

enum { POWERS = 277, EDGES = 2 * (3 * POWERS + 4) };

/* All powers of two from 2^-149 and both neighbours, 0, 3, infinity and NaN, each with both signs. */
static inline float edge(uint64_t i)
{
    static const uint32_t others[4] = {0, 0x40400000, CANON_INF, CANON_NAN};
    uint32_t sign = (uint32_t)(i & 1) << 31, k = (uint32_t)(i / 2);
    if (k >= 3 * POWERS)
        return canon_float(sign | others[k - 3 * POWERS]);
    uint32_t power = k / 3 < 23 ? 1u << (k / 3) : (k / 3 - 22) << 23;
    return canon_float(sign | (power + k % 3 - 1));
}

/* A dividend whose quotient by d (odd, 24 bits) is as near to a tie as a quotient can be: m is +-2^-24 modulo d, in [d, 2d), so m * 2^24
 * is an odd multiple of d and 1 more or less. m itself is taken if it has 24 bits or, being even, half of it; else it is just a number. */
static inline float hard_dividend(uint32_t d, bool minus)
{
    uint64_t m = 1;
    for (int i = 0; i < 24; i++)
        m = m % 2 == 0 ? m / 2 : (m + d) / 2;
    m = (minus ? d - m : m) + d;
    return (float)(m < 1u << 24 ? m : m / 2);
}

/* The i-th pair of a seed. */
static inline void seeded_pair(uint64_t seed, uint64_t i, float *a, float *b)
{
    canon_words r = canon_random64(seed, 0, i);
    uint32_t ua = r.w[0], ub = r.w[1];
    if (r.w[2] % 4 == 1) /* quotients in (1/2, 2) */
        ub = (ub & 0x807FFFFF) | (ua & CANON_INF);
    if (r.w[2] % 4 == 2) { /* quotients that are subnormal or nearly so */
        ua &= 0xBFFFFFFF;
        ub = (ub & 0x807FFFFF) | (((ua >> 23 & 0xFF) + 124 + (r.w[3] & 31)) << 23);
    }
    if (r.w[2] % 8 == 3) { /* short operands: exact quotients and ties */
        ua &= 0xFFFFFFFFu << (r.w[3] % 24);
        ub &= 0xFFFFFFFFu << (r.w[3] / 32 % 24);
    }
    if (r.w[2] % 8 == 7) { /* quotients next to a tie */
        uint32_t d = (ub & 0x007FFFFFu) | 0x00800001u;
        ua = canon_bits(hard_dividend(d, (ua & 1) != 0));
        ub = canon_bits((float)d);
    }
    *a = canon_float(ua);
    *b = canon_float(ub);
}

#endif
