/* SPDX-License-Identifier: MIT */
/* scale.h - the scales of a matrix: docs/arithmetic.md, 8.10. */
#ifndef LB_SCALE_H
#define LB_SCALE_H

#include "core/format/format.h"

/* A matrix, and what of it shares a scale. Scale number g = i * per_row + j / block. A tensor without elements has no rows. */
struct lb_groups {
    size_t rows, cols;
    size_t block;   /* columns that share a scale; cols: all */
    size_t per_row; /* scales a row; 0: one for the whole matrix */
    size_t n;       /* scales in all */
};

/* How format `f` groups a tensor of this shape (fewer than two dimensions: one row). -1 where it is too large. */
int lb_groups_of(const struct lb_format *f, unsigned ndim, const size_t *shape, struct lb_groups *g, struct lb_err *err);

/* The scale of a power-of-two rule from the largest magnitude (finite); top: the codec's largest value, emax and fraction: below. */
float lb_scale_power(uint32_t rule, float amax, float top, int emax, int fraction);
int lb_scale_emax(const struct lb_format *f);     /* floor(log2(top)) */
int lb_scale_fraction(const struct lb_format *f); /* bits of fraction in the binade below the last */

/* Docs/arithmetic.md, 8.1: what goes into the codec, and what a decoded code is worth; s and z: its scale and zero point, or anything where there is none. */
float lb_scale_into(const struct lb_format *f, float x, float s, float z);
float lb_scale_out(const struct lb_format *f, float q, float s, float z);
int lb_scale_is_symmetric(const struct lb_format *f); /* a number below -top is taken as -top */
static inline int lb_scale_has_zero(const struct lb_format_config *c)
{
    return c->rule == LB_SCALE_ASYMMETRIC || c->zero_point;
}

/* The scales of x (rows, cols), stored: `codes` (in the scale's codec) with what its own scale needs. Zero-initialise; finish frees. */
struct lb_scales {
    struct lb_groups g;
    float *s;             /* (n) each scale as it is worth */
    float *zeros;         /* (n) zero points, or NULL */
    unsigned char *codes; /* (n) in the scale's codec */
    size_t code_bytes;
    float *scale2; /* (n2) or NULL */
    size_t n2, group2;
    size_t lost;  /* scales above 0 and finite that are stored as 0, infinity or NaN */
    float offset; /* where the scale's format has an offset */
};
int lb_scales_make(const struct lb_format *f, const struct lb_groups *g, const float *x, struct lb_scales *out, struct lb_err *err);
void lb_scales_finish(struct lb_scales *s);

/* The same for some rows at a time, of formats whose scales depend on nothing but the elements that share them. */
struct lb_scaler {
    const struct lb_format *f;
    struct lb_groups rows; /* the same groups; rows that are whole numbers of blocks are cut into rows of one block */
    int alone;             /* can be made row by row */
    float top;
    int emax, fraction;
};
void lb_scaler_init(const struct lb_format *f, const struct lb_groups *g, struct lb_scaler *r);
/* Makes room in `out`. */
int lb_scales_start(const struct lb_scaler *r, const struct lb_groups *g, struct lb_scales *out, struct lb_err *err);
/* The scales of rows [first, first + n) of r->rows; x: the whole matrix. `first` is a multiple of 8. */
void lb_scales_rows(const struct lb_scaler *r, const float *x, size_t first, size_t n, struct lb_scales *out);

/* The scales (as lb_scales_make) and the codes of x in rows of `row` elements, as lb_format_tensor lays them out; `codes` is zeroed. `how` has the format's rounding and
 * overflow. */
int lb_format_codes(const struct lb_format *f, const struct lb_groups *g, size_t row, const float *x, const struct lb_encode *how,
                    unsigned char *codes, struct lb_scales *scales, struct lb_err *err);
/* The codes alone, by scales s (g->n) and zero points (g->n) that are there; NULL where the format has none. */
void lb_format_codes_by(const struct lb_format *f, const struct lb_groups *g, size_t row, const float *x, const struct lb_encode *how,
                        const float *s, const float *zeros, unsigned char *codes);

/* As lb_format_encode, of codes that are nearest to other numbers than x: `near`, by the scales that are there (all zero where the format has none). Counts
 * what became of x. */
int lb_format_encode_near(const struct lb_format *f, const char *name, const float *x, const float *near, const struct lb_scales *scales,
                          unsigned ndim, const size_t *shape, struct lb_safetensors *out, struct lb_format_stats *stats,
                          struct lb_err *err);

#endif
