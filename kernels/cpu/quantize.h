/* SPDX-License-Identifier: MIT */
/* quantize.h - what numbers become when they are encoded and decoded (docs/arithmetic.md, 8.1 - 8.6). One thread; the caller finds the scales and splits the
 * work. */
#ifndef LB_QUANTIZE_H
#define LB_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

enum {
    QUANTIZE_PARTS = 4096, /* of the keys, by their upper bits */
    QUANTIZE_RUN = 1024    /* elements that `random` makes at most */
};

/* A codec. t becomes value[i] for the last i with first[i] <= key(t); key as in struct lb_quantizer; a NaN becomes nan_value. */
struct quantize_codec {
    size_t n;
    const int32_t *first;
    const float *value;
    float nan_value;
    uint16_t start[QUANTIZE_PARTS + 1]; /* the i of a part's first key, and behind them n - 1 */
    /* Where `grid` is set, the same is: |t| rounded to the nearest multiple, half to even, of 2^(e - digits), e being the exponent of |t|, at least `low`; above high it
     * becomes over, [1] where the sign is set; then the sign, which a zero keeps only where minus_zero is set. */
    int grid, digits, low, minus_zero;
    float high[2], over[2], cap; /* cap: what is above it is taken as cap, which is above high */
    /* Stochastic rounding: members ascending, a number between two of them becomes one of the two. */
    size_t n_members; /* 0: none */
    const float *member;
    int grid_members; /* `grid` is set, and its points up to high are the members */
};

/* Fills in what follows from n, first, value and the members: start, grid and its fields. */
void quantize_codec_finish(struct quantize_codec *c);

/* Elements that share scales: element i of n has number i / block. */
struct quantize_run {
    const struct quantize_codec *codec;
    const float *x;
    float *y; /* may be x */
    size_t n, block;
    const float *scale; /* NULL: none */
    int clamp;          /* a scaled x below -top is taken as -top */
    float top;
    const float *unit; /* (n) random numbers u; NULL: to nearest */
};

struct quantize_kernels {
    const char *isa;
    /* The largest magnitude, NaN left out; *finite: whether all are neither infinite nor NaN. */
    float (*amax)(const float *x, size_t n, int *finite);
    void (*quantize)(const struct quantize_run *r);
    /* u of elements first .. first + n - 1, n <= QUANTIZE_RUN. */
    void (*random)(float *u, uint64_t seed, uint32_t stream, uint64_t first, size_t n);
};

void quantize_init_c(struct quantize_kernels *k);
void quantize_init_avx2(struct quantize_kernels *k);
void quantize_init_avx512(struct quantize_kernels *k);

#endif
