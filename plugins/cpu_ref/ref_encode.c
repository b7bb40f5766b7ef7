/* SPDX-License-Identifier: MIT */
/* ref_encode.c - encoding by tables. */
#include "kernels/cpu/ref_quantize.h"
#include "plugins/cpu_ref/cpu_ref.h"

#include <stdio.h>

_Static_assert((int)REF_SCALE_FIXED == (int)LB_SCALE_FIXED && (int)REF_SCALE_ABSMAX == (int)LB_SCALE_ABSMAX &&
                   (int)REF_SCALE_FLOOR == (int)LB_SCALE_FLOOR && (int)REF_SCALE_RCEIL == (int)LB_SCALE_RCEIL,
               "same numbers");

/* Tables as they lie at the host's, for a copy. */
static struct ref_quantizer view(const struct lb_quantizer *q, const struct ref_quantizer *scale)
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

void *ref_quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size)
{
    const struct device *d = dev;
    const struct lb_quantizer *s = q->scale;
    if (!q->q.values || (s && (!s->q.values || s->scale))) {
        snprintf(why, why_size, "only codecs of up to 16 bits, and one level of scales, are encoded by tables");
        return NULL;
    }
    struct ref_quantizer scale, all;
    if (s)
        scale = view(s, NULL);
    all = view(q, s ? &scale : NULL);
    const char *lacks = ref_quantizer_lacks(&all);
    if (lacks) {
        snprintf(why, why_size, "%s", lacks);
        return NULL;
    }
    void *memory = ref_alloc(d, 1, ref_quantizer_bytes(&all));
    return memory ? ref_quantizer_copy(&all, memory) : NULL;
}

void ref_quantizer_free(void *dev, void *q)
{
    const struct device *d = dev;
    d->host->free(d->host, q);
}

int ref_run_quantize(void *dev, const struct lb_quantize *o)
{
    const struct device *d = dev;
    float *scales = ref_alloc(d, ref_quantizer_scales(o->q, o->rows, o->cols), sizeof *scales);
    if (!scales)
        return -1;
    ref_quantize(o->q, lb_f32(o->x), lb_f32(o->y), o->rows, o->cols, o->seed, o->stream, o->first, scales);
    d->host->free(d->host, scales);
    return 0;
}
