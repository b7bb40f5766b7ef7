/* SPDX-License-Identifier: MIT */
/* cpu_q.h - integer tensors on the backend `cpu`: weights in panels (kernels/cpu/q8.h), and what the ops share. */
#ifndef LB_CPU_Q_H
#define LB_CPU_Q_H

#include "plugins/cpu/cpu_conv.h"

/* ---- Weights ---- */

/* Outputs and all that belongs to them; arrays of 16 panels elements, what is beyond the last output being 0. */
struct q_panels {
    size_t outputs, panels, lines; /* of a panel */
    uint32_t *at;                  /* (lines) 0, 4, 8 ... */
    int8_t *w;                     /* W: what kernels/cpu/q8.h multiplies; NULL: see codes */
    unsigned char *codes;          /* 4 bits a W: lines of 32 bytes, the first 32 W in low halves; W = (code ^ flip) - sub */
    unsigned char flip;
    int8_t *sub;          /* (panels, 64) */
    int32_t *bias, *sums; /* sums: of W - zeros */
    int32_t *zeros;       /* that are not in W; NULL: none */
    int8_t *ones;         /* with zeros: a panel that adds up A */
    double *f;
    int32_t *start; /* bias - zero sums, */
    int32_t zero;   /* zero being that of A */
    int started;
    int small; /* no f is above 1 */
    void *memory;
    size_t bytes;
};

struct cpu_q_weights {
    size_t rows, cols;
    struct q_panels all;
    struct q_plan *plan; /* of the last convolution whose order is not that of `all`; NULL */
};

/* Makes room for so many outputs, all zero. `packed`: 4 bits a W. 0 or -1. */
int q_panels_create(const struct lb_host *h, struct q_panels *p, size_t outputs, size_t lines, int packed, int zeros);
/* Where W of (output, k) lies in w, line by line: k counts the places of all lines. */
static inline size_t q_panels_place(const struct q_panels *p, size_t output, size_t k)
{
    return q8_place(output, k / Q8_K, p->panels, p->lines) + k % Q8_K;
}
/* W of (output, col) of weights as they were created. */
int8_t q_weight(const struct cpu_q_weights *w, size_t output, size_t col);
/* Makes `start` what it has to be for a zero of A (unsigned). */
void q_panels_start(struct q_panels *p, int32_t zero);
/* W of the group that begins with panel `first`, from codes; `cols` of k exist. */
void q_panels_unpack(const struct cpu_device *d, const struct q_panels *p, size_t first, size_t cols, int8_t *w);

/* ---- Convolutions as ordinary ones: cpu_q_plan.c ---- */

/* Bytes that lie side by side in the input: those that output (y, x) takes begin at channel `channel` of position (y step + dy, x step + dx). */
struct q_taps {
    ptrdiff_t dy, dx;
    size_t channel, bytes, ky, kx;
};

/* Outputs `first` .. of positions (phase_y + i stride, phase_x + j stride) of a transposed convolution, of all of another. */
struct q_part {
    struct q_panels own, *p; /* p: own, or those of the weights */
    size_t first, phase_y, phase_x;
    size_t runs;
    struct q_taps *taps;
};

struct q_plan {
    struct lb_q_conv s;
    size_t together; /* neighbouring positions that are taken as outputs of one */
    size_t parts;
    struct q_part *part;
    size_t top, left, height, width; /* of the input with a frame of zeros */
    int ragged;                      /* bytes behind a run may be read */
};

/* The plan of s, kept in w until there is another; NULL after a log message. */
struct q_plan *q_plan_of(const struct cpu_device *d, struct cpu_q_weights *w, const struct lb_q_conv *s);
void q_plan_free(const struct lb_host *h, struct q_plan *plan);

/* ---- Products: cpu_q_product.c ---- */

/* Rows of bytes and panels. */
struct q_product {
    struct cpu_device *d;
    struct q8_task t;            /* of all rows, all panels; outers: 1 */
    const unsigned char *copied; /* copies of the last rows, of which more is read than there is */
    size_t copies, copied_ld;
    const int8_t *ones;           /* with t.zeros: as in struct q_panels */
    int32_t *sums;                /* with t.zeros: (t.rows), to be filled */
    const struct q_panels *codes; /* where t.w is NULL */
    size_t cols;                  /* of k that exist */
    int8_t *unpacked;             /* (threads, q_product_unpacked) */
    size_t jobs;
    int by_rows;
};

/* Bytes of scratch memory of a thread for W of p, and for copies of rows of k bytes. */
size_t q_product_unpacked(const struct q_panels *p);
size_t q_product_copies(size_t k);
/* Copies those rows that need it: the last ones of t, which begin `bytes` bytes behind a. */
void q_product_copy(struct q_product *g, struct lb_ref a, size_t bytes, unsigned char *copied);
/* On so many threads; with one it may be called on any. */
void q_product_run(struct q_product *g, size_t threads);
/* Lines that lie one behind the other. */
void q_lines(uint32_t *at, size_t lines);
/* m 2^-s */
double q_factor(int32_t multiplier, int32_t shift);

/* ---- Bytes ---- */

static inline unsigned char *q_bytes(struct lb_ref r)
{
    return r.buf ? (unsigned char *)r.buf->ptr + 4 * r.at : NULL;
}
/* Whether `more` bytes behind the first n are there to be read. */
static inline int q_has(struct lb_ref r, size_t n, size_t more)
{
    return 4 * r.at + n + more <= r.buf->bytes;
}
/* What turns codes of the type into unsigned ones, which are as much larger as their zero. */
static inline unsigned char q_flip(uint32_t type)
{
    return type == LB_Q_S8 ? 0x80 : 0;
}
static inline struct q8_out q_out(const struct lb_q_out *o, int small)
{
    return (struct q8_out){o->type == LB_Q_S32 ? 4 : 1, o->zero, o->low, o->high, small};
}
static inline size_t q_jobs(const struct cpu_device *d, double work, double each)
{
    return work < 2 * each ? 1 : conv_min((size_t)(work / each), d->host->threads);
}

enum { Q_MACS_OF_A_THREAD = 1 << 20, Q_BYTES_OF_A_THREAD = 1 << 16 };

#endif
