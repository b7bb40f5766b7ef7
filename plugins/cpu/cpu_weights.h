/* SPDX-License-Identifier: MIT */
/* cpu_weights.h - weights that stay packed: what weights_create makes of a struct lb_packed, and who makes and frees its parts. */
#ifndef LB_CPU_WEIGHTS_H
#define LB_CPU_WEIGHTS_H

#include "plugins/cpu/cpu.h"

struct cpu_int8_weights; /* cpu_int8*.c */

enum { CPU_WEIGHTS_PARTS = 16 };

/* One matrix of weights. The codecs of the struct lb_packed that it was made of (struct lb_codes) are still needed; nothing else of it is. */
struct cpu_weights {
    size_t rows, cols;
    uint32_t uses;                 /* enum lb_uses */
    size_t bytes;                  /* of all parts */
    struct packed_matrix *f32;     /* LB_USE_F32: gemm_packed and conv2d_packed; else NULL */
    struct cpu_int8_weights *int8; /* LB_USE_INT8: gemm_int8 and conv2d_int8; else NULL */
    void *memory[CPU_WEIGHTS_PARTS];
    size_t parts;
};

/* Zeroed memory that is freed with w, and counted in it; NULL after a log message. */
void *cpu_weights_take(struct cpu_device *d, struct cpu_weights *w, size_t count, size_t size);

/* w->f32 for matrices whose codes and scales go into the order of kernels/cpu/packed.h (cpu_weights_fit), and for all others. 0, or -1 after a log message. */
int cpu_weights_fit(const struct lb_packed *p);
int cpu_weights_order(struct cpu_device *d, const struct lb_packed *p, struct cpu_weights *w);
int cpu_weights_rows(struct cpu_device *d, const struct lb_packed *p, struct cpu_weights *w); /* cpu_weights_rows.c */

/* The part for gemm_int8 and conv2d_int8: fills in w->int8 and adds its size to w->bytes. Memory comes from the host's alloc. Returns 0; -1 after a log
 * message; 1 where the codec's values are no integers that fit (docs/arithmetic.md, 8.12). Frees what it made unless it returns 0. */
int cpu_int8_prepare(struct cpu_device *d, const struct lb_packed *p, struct cpu_weights *w);
/* Frees w->int8, which may be NULL. */
void cpu_int8_release(struct cpu_device *d, struct cpu_weights *w);

#endif
