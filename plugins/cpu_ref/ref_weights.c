/* SPDX-License-Identifier: MIT */
/* ref_weights.c - products with weights that stay as they are stored: rows are decoded when they are wanted. */
#include "plugins/as_ref.h"
#include "plugins/cpu_ref/cpu_ref.h"

#include <stdio.h>

struct weights {
    struct lb_codes q, s;
    struct ref_packed p;
    uint32_t uses;
    int f; /* for LB_USE_INT8: docs/arithmetic.md, 8.12 */
    unsigned char memory[];
};

/* f of the weights' integers, or -1 with the reason. */
static int integer_shift(const struct lb_packed *w, const struct ref_packed *p, char *why, size_t why_size)
{
    const char *name = w->q.codec->base.name;
    const int f = w->q.values && w->q.codec->bits <= 16 ? ref_int8_shift(w->q.values, (size_t)1 << w->q.codec->bits) : -1;
    if (f < 0)
        snprintf(why, why_size, "codec %s: its values times a power of two are no integers of at most 8 bits", name);
    else if (!ref_int8_zeros(p, f))
        snprintf(why, why_size, "codec %s: its zero points times 2^%d are no whole numbers from -255 to 255", name, f);
    else
        return f;
    return -1;
}

void *ref_weights_create(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why, size_t why_size)
{
    const struct device *d = dev;
    const struct ref_packed p = as_ref_packed(w);
    const int f = uses & LB_USE_INT8 ? integer_shift(w, &p, why, why_size) : 0;
    if (f < 0)
        return NULL;
    *bytes = ref_packed_bytes(&p);
    struct weights *t = ref_alloc(d, 1, sizeof *t + *bytes);
    if (!t)
        return NULL;
    t->uses = uses;
    t->f = f;
    t->q = w->q;
    t->s = w->s;
    ref_packed_copy(&p, t->memory, &t->p);
    t->p.q.of = &t->q;
    t->p.s.of = &t->s;
    return t;
}

void ref_weights_free(void *dev, void *w)
{
    const struct device *d = dev;
    d->host->free(d->host, w);
}

int ref_gemm_packed(void *dev, const struct lb_gemm_packed *o)
{
    const struct device *d = dev;
    const struct ref_packed *p = &((struct weights *)o->w)->p;
    float *panel = ref_alloc(d, REF_PANEL * ref_packed_room(p), sizeof *panel);
    if (!panel)
        return -1;
    const struct ref_rows rows = ref_packed_rows(p, panel);
    d->k->gemm_rows(lb_f32(o->a), &rows, lb_f32(o->bias), lb_f32(o->c), o->m, o->n, o->k, (int)o->act, o->alpha);
    d->host->free(d->host, panel);
    return 0;
}

int ref_conv2d_packed(void *dev, const struct lb_conv2d_packed *o)
{
    const struct device *d = dev;
    const struct ref_packed *p = &((struct weights *)o->w)->p;
    const struct ref_conv s = ref_shape(&o->s);
    float *panel = ref_alloc(d, REF_PANEL * ref_packed_room(p), sizeof *panel);
    if (!panel)
        return -1;
    const struct ref_rows rows = ref_packed_rows(p, panel);
    d->k->conv2d_rows(&s, lb_f32(o->x), &rows, lb_f32(o->bias), lb_f32(o->y), (int)o->act, o->alpha);
    d->host->free(d->host, panel);
    return 0;
}

/* ---- Integer products ---- */

static void scratch_free(const struct device *d, struct ref_int8 *t)
{
    d->host->free(d->host, t->a);
    d->host->free(d->host, t->sa);
    d->host->free(d->host, t->ints);
    d->host->free(d->host, t->q);
}

/* Room for so many integers and scales of activations. 0, or -1 after a log message. */
static int scratch(const struct device *d, const struct weights *w, size_t a, size_t sa, struct ref_int8 *t)
{
    *t = (struct ref_int8){.w = &w->p, .f = w->f};
    if (!(w->uses & LB_USE_INT8)) {
        d->host->log(d->host, LB_LOG_ERROR, "these weights were not made for integer products");
        return -1;
    }
    t->a = ref_alloc(d, a, sizeof *t->a);
    t->sa = ref_alloc(d, sa, sizeof *t->sa);
    t->ints = ref_alloc(d, w->p.cols, sizeof *t->ints);
    t->q = ref_alloc(d, ref_packed_room(&w->p), sizeof *t->q);
    if (t->a && t->sa && t->ints && t->q)
        return 0;
    scratch_free(d, t);
    return -1;
}

int ref_run_gemm_int8(void *dev, const struct lb_gemm_packed *o)
{
    const struct device *d = dev;
    struct ref_int8 t;
    if (scratch(d, o->w, o->m * o->k, o->m * (o->block ? (o->k + o->block - 1) / o->block : 1), &t))
        return -1;
    ref_gemm_int8(&t, lb_f32(o->a), lb_f32(o->bias), lb_f32(o->c), o->m, o->n, o->k, o->block, (int)o->act, o->alpha);
    scratch_free(d, &t);
    return 0;
}

int ref_run_conv2d_int8(void *dev, const struct lb_conv2d_packed *o)
{
    const struct device *d = dev;
    const struct ref_conv s = ref_shape(&o->s);
    struct ref_int8 t;
    if (scratch(d, o->w, s.n * s.c * s.h * s.w + s.c * s.kh * s.kw, s.n, &t))
        return -1;
    ref_conv2d_int8(&t, &s, lb_f32(o->x), lb_f32(o->bias), lb_f32(o->y), (int)o->act, o->alpha);
    scratch_free(d, &t);
    return 0;
}
