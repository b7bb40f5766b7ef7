/* SPDX-License-Identifier: MIT */
/* cpu_q_dense.c - dense layers of integers. */
#include "plugins/cpu/cpu_q.h"

struct scratch {
    unsigned char *copied;
    int32_t *sums;
    int8_t *unpacked;
};

static size_t lay_out(struct scratch *s, char *at, const struct cpu_device *d, const struct lb_q_dense *o, const struct q_panels *p)
{
    size_t used = 0;
    s->copied = conv_take(at, &used, q_product_copies(o->k), 1);
    s->sums = conv_take(at, &used, p->zeros ? o->m : 0, sizeof *s->sums);
    s->unpacked = conv_take(at, &used, d->host->threads, q_product_unpacked(p));
    return used;
}

int cpu_q_dense(void *dev, const struct lb_q_dense *o)
{
    struct cpu_device *d = dev;
    struct cpu_q_weights *w = o->w;
    struct q_panels *p = &w->all;
    struct scratch s;
    if (w->rows != o->n || w->cols != o->k) {
        d->host->log(d->host, LB_LOG_ERROR, "q_dense: weights of another shape");
        return -1;
    }
    if (o->m == 0 || o->n == 0)
        return 0;
    char *work = cpu_work(d, lay_out(&s, NULL, d, o, p));
    if (!work)
        return -1;
    lay_out(&s, work, d, o, p);
    const unsigned char flip = q_flip(o->a_type);
    q_panels_start(p, o->a_zero + flip);
    struct q_product g = {.d = d,
                          .t = {.a = q_bytes(o->a),
                                .ld = o->k,
                                .rows = o->m,
                                .outers = 1,
                                .flip = flip,
                                .at = p->at,
                                .lines = p->lines,
                                .w = p->w,
                                .start = p->start,
                                .zeros = p->zeros,
                                .sums = s.sums,
                                .f = p->f,
                                .end = p->panels,
                                .panels = p->panels,
                                .n = o->n,
                                .out = q_out(&o->out, p->small),
                                .c = q_bytes(o->c),
                                .ldc = o->n},
                          .ones = p->ones,
                          .sums = p->zeros ? s.sums : NULL,
                          .codes = p->w ? NULL : p,
                          .cols = o->k,
                          .unpacked = s.unpacked};
    q_product_copy(&g, o->a, 0, s.copied);
    q_product_run(&g, d->host->threads);
    return 0;
}
