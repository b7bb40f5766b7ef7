/* SPDX-License-Identifier: MIT */
/* ref_encode.c - encoding by tables. */
#include "plugins/as_ref.h"
#include "plugins/cpu_ref/cpu_ref.h"

#include <stdio.h>

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
        scale = as_ref_quantizer(s, NULL);
    all = as_ref_quantizer(q, s ? &scale : NULL);
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
