/* SPDX-License-Identifier: MIT */
/* q8.h - products of integer tensors, for every instruction set: docs/arithmetic.md, 13.
 *
 * Weights W are int8 in panels of 16 outputs, activations A unsigned bytes. A line of a panel is 64 bytes: the W of four consecutive k of each of its
 * outputs. Panels lie in groups of four, what is left over in a group of two and one of one; the lines of a group's panels take turns:
 *
 *     group of four panels:  k 0..3: panel 0, 1, 2, 3;  k 4..7: panel 0, 1, 2, 3;  ...
 *
 * k is cut into runs of bytes that lie side by side in A; each begins a new line, and W is 0 where a run ends within a line. Four bytes of A are read for
 * each line, wherever a run ends. */
#ifndef LB_Q8_H
#define LB_Q8_H

#include <stddef.h>
#include <stdint.h>

enum { Q8_PANEL = 16, Q8_LINE = 64, Q8_K = 4 /* of a line */, Q8_WIDE = 4 /* panels of a group */ };

/* Panels of the group in which panel p of `panels` lies; *first: the first of them. */
static inline size_t q8_group(size_t p, size_t panels, size_t *first)
{
    const size_t whole = panels / Q8_WIDE * Q8_WIDE, two = whole + (panels - whole) / 2 * 2;
    *first = p < whole ? p / Q8_WIDE * Q8_WIDE : p < two ? whole : p;
    return p < whole ? (size_t)Q8_WIDE : p < two ? 2 : 1;
}

/* Where W of (output, line) begins; a panel has `lines` of them. */
static inline size_t q8_place(size_t output, size_t line, size_t panels, size_t lines)
{
    size_t first;
    const size_t p = output / Q8_PANEL, group = q8_group(p, panels, &first);
    return (first * lines + line * group + (p - first)) * Q8_LINE + output % Q8_PANEL * Q8_K;
}

/* What becomes of a sum v. `bytes` 4: v, as int32. `bytes` 1: zero + v f, the product being rounded to a whole number, half to even, held within low and
 * high. |v f| is exact: f = m 2^-s, 0 <= m < 2^22. `small`: no f is above 1. */
struct q8_out {
    size_t bytes;
    int32_t zero, low, high;
    int small;
};

/* For outputs j of panels first .. end - 1, j - 16 first < n, and rows (i, h): the sum of (A ^ flip) W + start[j] - zeros[j] sums[h rows + i]. A is at a + h
 * outer_ld + i ld, the result number h outer_ldc + i ldc + (j - 16 first) of c. */
struct q8_task {
    const unsigned char *a;
    size_t ld, outer_ld, rows, outers;
    unsigned char flip; /* 0x80 where A is signed; 0 */
    const uint32_t *at; /* (lines) where in a row of A each line begins */
    size_t lines;
    const int8_t *w;      /* group that begins with panel `first` */
    const int32_t *start; /* from here on: of panel `first`, whole panels */
    const int32_t *zeros; /* NULL: all 0 */
    const int32_t *sums;
    const double *f; /* NULL where out.bytes is 4 */
    size_t first, end, panels, n;
    struct q8_out out;
    void *c;
    size_t ldc, outer_ldc;
};

struct q8_kernels {
    const char *isa;
    void (*product)(const struct q8_task *t); /* first: where a group begins */
    /* y[i] of v[i], i < n. f: n numbers, of which up to 15 more are read, or where `one` is set 16 times the same. v, f and y need no
     * alignment. */
    void (*requantize)(const int32_t *v, size_t n, const double *f, int one, const struct q8_out *o, unsigned char *y);
    /* W of 4 bits of a group of so many panels, a line of a panel being 32 bytes with the first 32 W in their low halves: (code ^ flip) - sub, modulo 2^8,
     * sub (panels, 64). */
    void (*unpack)(const unsigned char *codes, size_t lines, size_t panels, unsigned char flip, const int8_t *sub, int8_t *w);
    /* B, (n, k) where `turned`, else (k, n), becomes a group of so many panels, the last of which has at least one output; sums: of W, 16 a panel. */
    void (*pack)(const unsigned char *b, size_t ld, int turned, size_t n, size_t k, unsigned char flip, size_t panels, int8_t *w,
                 int32_t *sums);
};

void q8_init_c(struct q8_kernels *k);
void q8_init_avx2(struct q8_kernels *k);
void q8_init_vnni(struct q8_kernels *k); /* AVX-512 with VNNI and VBMI; without, the AVX2 ones are as good */

#endif
