/* SPDX-License-Identifier: MIT */
/* cpu_int8.h - what the files cpu_int8*.c share: weights as integers, and how a sum is cut into whole numbers (docs/arithmetic.md, 8.12). */
#ifndef LB_CPU_INT8_H
#define LB_CPU_INT8_H

#include "plugins/cpu/cpu_weights.h"

struct cpu_int8_weights {
    struct int8_matrix m;
};

/* How the k of an op lie in rows of activations. */
struct int8_plan {
    const struct int8_matrix *w;
    size_t block, blocks;     /* k that share a scale of the activations; scales a row */
    int by_piece;             /* else one scale a row */
    struct int8_piece *piece; /* (pieces) */
    size_t *from;             /* (pieces + 1): the first k of each */
    size_t pieces;
    size_t ld;    /* bytes from row to row */
    int in_order; /* a row is its k in their order, with zeros behind */
};

/* What a run of rows needs. */
struct int8_space {
    int8_t *a;     /* (rows, ld) */
    int32_t *sums; /* as kernels/cpu/int8.h has them, for whole groups of rows */
    float *scale;
};

/* Counts pieces and bytes; `block` as in struct lb_gemm_packed. */
struct int8_plan int8_plan_of(const struct int8_matrix *w, size_t block);
/* Takes the plan's arrays (conv_take) and, with `at`, fills them in. */
void int8_plan_take(struct int8_plan *p, char *at, size_t *used);
/* Takes what `rows` rows need. */
void int8_space_take(const struct int8_plan *p, struct int8_space *s, size_t rows, char *at, size_t *used);
/* A row's integers in the order of k become row number i; its scales are set by the caller. */
void int8_lay_row(const struct cpu_device *d, const struct int8_plan *p, const int8_t *integers, const struct int8_space *s, size_t i);

#endif
