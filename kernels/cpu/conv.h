/* SPDX-License-Identifier: MIT */
/* conv.h - the inner loops of the convolutions with the sums of docs/arithmetic.md 2.1; which elements meet is told by tables of offsets,
 * so that a window's rows are read where they lie and nothing like im2col is made. One thread; the caller splits the work. Arrays may
 * begin at any multiple of 4 bytes. */
#ifndef LB_CONV_H
#define LB_CONV_H

#include <stddef.h>
#include <stdint.h>

enum { CONV_SEGMENT = 256, CONV_LANES = 16 /* the most that a vector has */ };

/* out[r * ld + y * width + i] = act(sum over k of w(k, r) b[off[k] + y pitch + i] + bias[r]), r < rows, y < height, i < width <= pitch.
 * Segment s of the sum has the k from ends[s - 1] (0 at first) to ends[s] - 1; zeros that are multiplied by finite numbers may have been
 * left out of it. What is between the rows of b, where pitch is above width, is multiplied and thrown away. */
struct conv_product {
    const float *w;    /* by blocks of rows (conv_block), each (k, rows of the block) */
    const float *bias; /* (rows), or NULL */
    const float *b;
    const size_t *off;  /* (ends[segments - 1]) */
    const size_t *ends; /* (segments), segments >= 1 */
    size_t segments;
    float *out;
    size_t ld, rows, height, width, pitch;
    int act; /* enum ref_act up to REF_SCALED_RELU */
    float alpha;
};

/* out[f * ld + y * width + i] = act(sum over k of w[k][f] x[off[k] + y pitch + i stride] + bias[f]), f < filters <= lanes, y < rows, i <
 * width. The sum as in struct conv_product. For width >= direct_width and a stride of 1 or 2. */
struct conv_direct {
    const float *w;    /* (k, lanes) */
    const float *bias; /* (filters), or NULL */
    const float *x;
    const size_t *off;
    const size_t *ends;
    size_t segments, filters, rows, width, pitch, stride;
    float *out;
    size_t ld;
    int act;
    float alpha;
};

/* dst (planes, rows, n): row r of plane p is element first + i stride, i < n, of the row of `w` elements at src + p step + (r - lo)
 * pitch, zero outside that row; rows outside lo .. hi - 1 are zero altogether, lo <= hi <= rows. Up to CONV_LANES - 1 elements behind dst
 * are overwritten. */
struct conv_lowered {
    float *dst;
    const float *src;
    size_t planes, rows, n, w, stride;
    ptrdiff_t first;
    size_t step, pitch, lo, hi;
};

/* sum (rows, kw, lanes) of one segment: sum[r][q][f] = the chain over k < count of dy[k][f] x[at[k] + row[r] + q]; with `add` it is added
 * to what is there. */
struct conv_dw {
    const float *dy; /* (count, lanes) */
    const float *x;
    const size_t *at;  /* (count) */
    const size_t *row; /* (rows) */
    size_t count, rows, kw;
    float *sum;
    int add;
};

/* The filters that a vector holds, and what makes sums of so many. */
struct conv_dw_kernel {
    size_t lanes;
    void (*segment)(const struct conv_dw *d);
    /* dst[k][f] = src[f * ld + k], f < filters <= lanes, k < n; the other lanes are 0. */
    void (*transpose)(float *dst, const float *src, size_t ld, size_t filters, size_t n);
};

struct conv_kernels {
    const char *isa;
    size_t max_rows; /* of a block */
    void (*product)(const struct conv_product *p);
    size_t lanes, direct_width;
    void (*direct)(const struct conv_direct *p);
    void (*lower)(const struct conv_lowered *l);
    /* Rows of a (planes, rows, w - w / 2) and b (planes, rows, w / 2) woven into rows of w elements, a0 b0 a1 b1 ...: row r of plane p is
     * at dst + p step + r pitch. */
    void (*weave)(float *dst, size_t step, size_t pitch, const float *a, const float *b, size_t planes, size_t rows, size_t w);
    struct conv_dw_kernel dw_wide, dw_narrow; /* for many filters, and for few */
};

/* How many rows the block that begins at row `at` has: all blocks of `rows` rows are as equal as can be. */
static inline size_t conv_block(size_t rows, size_t at, size_t max_rows)
{
    const size_t blocks = (rows + max_rows - 1) / max_rows, less = rows / blocks, longer = rows % blocks;
    return at < longer * (less + 1) ? less + 1 : less;
}

void conv_init_c(struct conv_kernels *k);
void conv_init_avx2(struct conv_kernels *k);
void conv_init_avx512(struct conv_kernels *k);

#endif
