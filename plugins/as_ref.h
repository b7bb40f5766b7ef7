/* SPDX-License-Identifier: MIT */
/* as_ref.h - the host's formats as the reference kernels take them (kernels/cpu/ref_packed.h, ref_quantize.h): views of the host's arrays. For the backends
 * that decode rows by these kernels, and their tests. */
#ifndef LB_AS_REF_H
#define LB_AS_REF_H

#include "core/plugin.h"
#include "kernels/cpu/ref_packed.h"
#include "kernels/cpu/ref_quantize.h"

static inline void as_ref_decode(const struct ref_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    const struct lb_codes *host = c->of;
    host->decode(host, codes, first, n, x);
}

/* `c` is pointed to. */
static inline struct ref_codes as_ref_codes(const struct lb_codes *c)
{
    return (struct ref_codes){as_ref_decode, c, c->codec->bits, c->codec->unit_elems, c->codec->unit_bytes};
}

static inline struct ref_packed as_ref_packed(const struct lb_packed *w)
{
    struct ref_packed p = {
        .rows = w->rows, .cols = w->cols, .q = as_ref_codes(&w->q), .codes = w->codes, .row_bytes = w->row_bytes, .scaled = w->scaled};
    if (!w->scaled)
        return p;
    p.block = w->block;
    p.scale_row = w->scale_row;
    p.n_scales = w->n_scales;
    p.s = as_ref_codes(&w->s);
    p.scales = w->scales;
    p.scale2 = w->scale2;
    p.group2 = w->group2;
    p.has_offset = w->has_offset;
    p.offset = w->offset;
    p.zeros = w->zeros;
    return p;
}

_Static_assert((int)REF_SCALE_FIXED == (int)LB_SCALE_FIXED && (int)REF_SCALE_ABSMAX == (int)LB_SCALE_ABSMAX &&
                   (int)REF_SCALE_FLOOR == (int)LB_SCALE_FLOOR && (int)REF_SCALE_RCEIL == (int)LB_SCALE_RCEIL,
               "same numbers");

/* `scale`: how scales are stored, as_ref_quantizer of q->scale; or NULL. */
static inline struct ref_quantizer as_ref_quantizer(const struct lb_quantizer *q, const struct ref_quantizer *scale)
{
    return (struct ref_quantizer){.values = q->q.values,
                                  .n_values = (size_t)1 << q->q.codec->bits,
                                  .n = q->n,
                                  .first = q->first,
                                  .code = q->code,
                                  .nan_code = q->nan_code,
                                  .stochastic = q->stochastic,
                                  .n_members = q->stochastic ? q->n_members : 0,
                                  .member = q->member,
                                  .member_code = q->member_code,
                                  .rule = q->rule,
                                  .value = q->value,
                                  .top = q->top,
                                  .emax = q->emax,
                                  .fraction = q->fraction,
                                  .clamp = q->clamp,
                                  .block = q->block,
                                  .scale = scale};
}

#endif
