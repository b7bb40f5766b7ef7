/* SPDX-License-Identifier: MIT */
/* codec_minifloat.h - what the codes of small floating-point formats are worth: sign | exponent (e bits) | fraction (m bits), 1 + e + m <= 16.
 * A normal code is worth 2^(exponent - bias) (1 + fraction / 2^m); exponent 0 is 2^(1 - bias) fraction / 2^m, or 0 where there are no subnormals. */
#ifndef LB_CODEC_MINIFLOAT_H
#define LB_CODEC_MINIFLOAT_H

#include <math.h>
#include <stdint.h>

/* Which codes are NaN: none; the one without its sign all ones; the largest exponent with a fraction that is not 0; the code of -0. */
enum lb_nan_codes { LB_NAN_NONE, LB_NAN_ONE, LB_NAN_IEEE, LB_NAN_FNUZ };

/* Infinity is the largest code, without its sign, that LB_NAN_ONE leaves, or with LB_NAN_IEEE (which needs it) the largest exponent with fraction 0. */
struct lb_minifloat {
    int e, m, bias, inf;
    enum lb_nan_codes nan;
    int no_subnormals;
};

/* How many finite numbers without a sign there are: their codes are those below. */
static inline uint32_t lb_minifloat_finite(const struct lb_minifloat *f)
{
    if (f->nan == LB_NAN_IEEE)
        return ((1u << f->e) - 1) << f->m;
    return (1u << (f->e + f->m)) - (f->nan == LB_NAN_ONE) - (f->inf != 0);
}

/* The code that a NaN becomes; 0 where there is none. */
static inline uint32_t lb_minifloat_nan(const struct lb_minifloat *f)
{
    const uint32_t sign = 1u << (f->e + f->m);
    const uint32_t code[] = {0, sign - 1, lb_minifloat_finite(f) | (f->m ? 1u << (f->m - 1) : 0), sign};
    return code[f->nan];
}

static inline double lb_minifloat_value(const struct lb_minifloat *f, uint32_t code)
{
    const uint32_t sign = 1u << (f->e + f->m), one = 1u << f->m, magnitude = code & (sign - 1), fraction = magnitude & (one - 1);
    const uint32_t finite = lb_minifloat_finite(f);
    const int exponent = (int)(magnitude >> f->m);
    double v;
    if (magnitude >= finite)
        v = f->inf && magnitude == finite ? (double)INFINITY : (double)NAN;
    else if (exponent)
        v = ldexp((double)(one + fraction), exponent - f->bias - f->m);
    else
        v = f->no_subnormals ? 0 : ldexp((double)fraction, 1 - f->bias - f->m);
    if (code & sign)
        return f->nan == LB_NAN_FNUZ && magnitude == 0 ? (double)NAN : -v;
    return v;
}

#endif
