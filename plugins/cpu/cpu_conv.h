/* SPDX-License-Identifier: MIT */
/* cpu_conv.h - what the three convolutions of the backend `cpu` share: the plan of a sum, the split into jobs, scratch memory. */
#ifndef LB_CPU_CONV_H
#define LB_CPU_CONV_H

#include "plugins/cpu/cpu.h"

/* The k of a product in their order: where the vector side's row begins (`off`), and the weight of row 0 (`from`). Segments end at
 * `ends`. */
struct conv_plan {
    size_t *off, *from, *ends;
    size_t n, segments;
    float *w; /* packed */
};

/* Work in units, dealt in runs of neighbours to `jobs` jobs; each sample is cut into `bands` of up to `band` rows. */
struct conv_split {
    size_t rows, bands, band, units, jobs;
};

/* `row_floats`, `extra_rows`: a band of r rows needs (r + extra_rows) row_floats of scratch; `macs`: multiply-adds of the whole op. */
struct conv_split conv_split(const struct cpu_device *d, size_t samples, size_t rows, size_t row_floats, size_t extra_rows, double macs);
/* How many threads so many multiply-adds are worth. */
size_t conv_threads(const struct cpu_device *d, double macs);
/* The first row of band b (b = bands: the end). */
size_t conv_band(const struct conv_split *s, size_t b);

/* Takes `count` elements of `size` bytes of scratch memory, 64-byte aligned; with at == NULL it only counts them in *used. */
void *conv_take(char *at, size_t *used, size_t count, size_t size);

/* Weights (row r at w + r stride) into the order of struct conv_product. */
void conv_pack(const struct cpu_device *d, struct conv_plan *p, const float *w, size_t rows, size_t stride);

/* Filters first .. first + rows - 1 of a matrix that is packed into one of these orders, k as they come; first is a multiple of CONV_LANES. */
enum { CONV_UNPACKED = 128 * 1024 /* weights at a time: a half of a second-level cache */ };
void conv_unpack(const struct cpu_device *d, struct conv_plan *p, const struct packed_matrix *m, size_t first, size_t rows, int direct);

/* The same into the order of struct conv_direct, blocks of `lanes` rows one after the other; rows beyond the last are 0. */
void conv_pack_lanes(const struct cpu_device *d, struct conv_plan *p, const float *w, size_t rows, size_t stride);

static inline size_t conv_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
