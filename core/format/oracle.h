/* SPDX-License-Identifier: MIT */
/* oracle.h - the code that a number must become, up to 16 bits: found by comparing exact distances to the codec's values, one number at a time.
 * It shares nothing with coder.c but the contract in core/plugin.h, so that each can convict the other. */
#ifndef LB_ORACLE_H
#define LB_ORACLE_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <stddef.h>
#include <stdint.h>

struct lb_oracle {
    const struct lb_codec *codec;
    size_t n; /* distinct finite values, ascending, -0 before +0 */
    double *value;
    uint32_t *code; /* of duplicates the smallest */
    int has_nan;
    int inf[2]; /* code of +Inf and of -Inf, or -1 */
    size_t n_steps;
    struct lb_step *steps; /* NULL where the codec has no encoder of its own */
};

int lb_oracle_init(struct lb_oracle *o, const struct lb_codec *codec, struct lb_err *err);
void lb_oracle_finish(struct lb_oracle *o);

/* The codes that x may become by the rounding (not LB_STOCHASTIC) and overflow rule: one, or two where the contract leaves a tie open. */
size_t lb_oracle_codes(const struct lb_oracle *o, uint32_t rounding, uint32_t overflow, long double x, uint32_t codes[2]);

/* Whether no value of the codec is strictly nearer to x than v. */
int lb_oracle_is_nearest(const struct lb_oracle *o, long double x, double v);

/* The sign of x - (a + b) / 2, exactly. */
int lb_oracle_side(long double x, double a, double b);

/* The last value <= x, or n where there is none. */
size_t lb_oracle_floor(const struct lb_oracle *o, long double x);

/* Where overflow begins: half a step beyond the largest value (the smallest, where negative), rounded to binary64. NAN where there is no such place. */
double lb_oracle_limit(const struct lb_oracle *o, int negative);

#endif
