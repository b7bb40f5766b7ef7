/* SPDX-License-Identifier: MIT */
/* gguf_search.h - the encoders of the K formats: scales with a small squared error. GGUF prescribes none; what any encoder gives is a valid file.
 *
 * A block of 256 is cut into pieces. Each piece gets real scales first, which fit its numbers best among some tried; they become small integers times
 * what the block shares; then every piece tries those integers and their neighbours with the block's values as they are decoded, and the block's
 * values are fitted anew to what was chosen, as long as the error falls. All is binary32, sums are binary64, in a fixed order. */
#ifndef GGUF_SEARCH_H
#define GGUF_SEARCH_H

#include "plugins/codec_gguf/gguf.h"

enum { GGUF_K = 256, GGUF_PIECES = 16, GGUF_LANES = 8 };

/* t rounded to a whole number, half to even, and held between low and high; a NaN (0 times infinity) is low. */
static inline int gguf_held(float t, int low, int high)
{
    const float a = t > (float)low ? t : (float)low, b = a < (float)high ? a : (float)high;
    return CANON_INT(canon_bits(b + CANON_SHIFTER) - CANON_SHIFTER_BITS);
}

/* Sums of many terms are made in GGUF_LANES lanes, term i in lane i mod GGUF_LANES, so that they do not wait for each other; and then the lanes are
 * added, in this order. */
static inline double gguf_lanes(const double s[GGUF_LANES])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* x = d scale q with low <= q <= high. */
struct gguf_scaled {
    int piece;     /* elements of a piece */
    int low, high; /* of q; low = -high - 1 */
    int scale_low; /* of the scales, to -scale_low - 1 */
    uint32_t d;    /* half-precision bits */
    int scale[GGUF_PIECES];
    int q[GGUF_K];
};
void gguf_fit_scaled(const float *x, struct gguf_scaled *f);

/* x = d scale q - dmin min with 0 <= q <= high. */
struct gguf_shifted {
    int piece;
    int high;      /* of q */
    int scale_top; /* of scales and mins */
    uint32_t d, dmin;
    int scale[GGUF_PIECES], min[GGUF_PIECES];
    int q[GGUF_K];
};
void gguf_fit_shifted(const float *x, struct gguf_shifted *f);

#endif
