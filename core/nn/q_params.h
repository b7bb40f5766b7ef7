/* SPDX-License-Identifier: MIT */
/* q_params.h - parameters of integer tensors: x ~ (q - zero) scale; docs/arithmetic.md, 13. */
#ifndef LB_Q_PARAMS_H
#define LB_Q_PARAMS_H

#include "core/base/err.h"
#include "core/format/format.h"
#include "core/plugin.h"

/* Of one tensor of activations. */
struct lb_q_params {
    uint32_t type; /* LB_Q_U8, LB_Q_S8 */
    float scale;
    int32_t zero, low, high; /* low, high: the codes that are used */
};

/* Whether activations in the format can be integer tensors: an integer codec of up to 8 bits with one scale. -1 says why not. */
int lb_q_check_activations(const struct lb_format *f, struct lb_err *err);

/* Parameters in format `f`. Errors name `what`: scale not finite or not above 0, zero no whole number within the codes. */
int lb_q_params_of(const struct lb_format *f, float scale, float zero, const char *what, struct lb_q_params *out, struct lb_err *err);

/* r > 0 (binary64) as multiplier / 2^shift with 2^21 <= multiplier < 2^22, or fewer digits below 2^-40; r = 0: 0. -1: r is not finite, below 0 or 2^22 and
 * more. */
int lb_q_multiplier(double r, int32_t *multiplier, int32_t *shift);

/* table[q] for every code q of `in` (as U8): y = act(x), its code in `out`. The value is made in binary64, so the code is the right one but where
 * y / scale lies within 2^-40 of a tie. act: LB_LINEAR ... LB_TANH. */
void lb_q_table_fill(const struct lb_q_params *in, const struct lb_q_params *out, uint32_t act, float alpha, unsigned char table[256]);

/* The integers of weights in a format: W = (q - z) 2^f of docs/arithmetic.md, 8.12. */
struct lb_q_weights {
    uint32_t type; /* the smallest of S4, U4, S8, U8 that holds every value of the codec */
    int16_t *w;    /* (rows, cols): q 2^f */
    int32_t *zero; /* (rows): z 2^f; NULL: 0 */
    float *scale;  /* (rows): s 2^-f */
    size_t rows, cols;
};
struct lb_packed;

/* Whether weights in the format can be integers with one scale an output. */
int lb_q_is_integer(const struct lb_format *f);
/* -1 where they are none, the error naming `what`. finish frees; zero-initialise. */
int lb_q_weights_of(const struct lb_packed *p, const char *what, struct lb_q_weights *out, struct lb_err *err);
void lb_q_weights_finish(struct lb_q_weights *w);

#endif
