/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"
#include "core/nn/ops_verify_impl.h"
#include "core/plugins.h"

#include <stdio.h>
#include <string.h>

static int has_codec(const char *name)
{
    return !name || lb_plugins_find(LB_CODEC, name, NULL) != NULL;
}

int lb_op_has_codecs(const struct op_case *c)
{
    return has_codec(c->like.codec) && has_codec(c->like.scale_codec) && has_codec(c->by.codec) &&
           has_codec(c->by.scale ? c->by.scale->codec : NULL);
}

/* A copy is about as large as the original. Devices may pad it to so many rows, and small ones as they like. */
static int check_bytes(const struct lb_ops_packed *w, size_t bytes, struct lb_err *err)
{
    enum { SMALL = 1 << 15, ROWS = 64 };
    const size_t own = w->code_bytes + w->scale_bytes + 4 * w->n_scale2 + (w->zeros ? 4 * w->p.n_scales : 0);
    const size_t padded = own / w->p.rows * ((w->p.rows + ROWS - 1) / ROWS * ROWS);
    if (!bytes || (own >= SMALL && bytes > 3 * padded))
        return lb_fail(err, "weights_create: %zu bytes for %zu of codes and scales", bytes, own);
    return 0;
}

/* ---- The arrays that hooks are given: copies between guard pages ---- */

struct giver {
    struct run *t;
    enum side side;
    size_t n;
    unsigned stays; /* bit i: array i must be there as long as the object */
    struct lb_err *err;
};

/* NULL where there is nothing, or an error. */
static const void *give(struct giver *g, const char *name, const void *data, size_t bytes)
{
    if (!data || g->err->set)
        return NULL;
    struct lb_guarded *copy = &g->t->copies[g->side][g->n++];
    if (lb_op_guard(g->t, g->side, copy, name, bytes, g->err))
        return NULL;
    if (bytes)
        memcpy(copy->p, data, bytes);
    g->t->arrays += g->side != REFERENCE;
    return copy->p;
}

static void give_values(struct giver *g, const char *name, struct lb_codes *c)
{
    g->stays |= 1u << g->n;
    c->values = give(g, name, c->values, c->values ? sizeof *c->values << c->codec->bits : 0);
}

static struct lb_packed give_weights(struct giver *g, const struct lb_ops_packed *w)
{
    struct lb_packed p = w->p;
    give_values(g, "q.values", &p.q);
    p.codes = give(g, "codes", p.codes, w->code_bytes);
    p.scales = give(g, "scales", p.scales, w->scale_bytes);
    p.scale2 = give(g, "scale2", p.scale2, w->n_scale2 * sizeof *p.scale2);
    p.zeros = give(g, "zeros", p.zeros, p.n_scales * sizeof *p.zeros);
    if (p.scaled)
        give_values(g, "s.values", &p.s);
    return p;
}

static struct lb_quantizer give_tables(struct giver *g, const struct lb_quantizer *from)
{
    struct lb_quantizer q = *from;
    give_values(g, "q.values", &q.q);
    q.first = give(g, "first", q.first, q.n * sizeof *q.first);
    q.code = give(g, "code", q.code, q.n * sizeof *q.code);
    q.member = give(g, "member", q.member, q.n_members * sizeof *q.member);
    q.member_code = give(g, "member_code", q.member_code, q.n_members * sizeof *q.member_code);
    return q;
}

static struct lb_q_matrix give_integers(struct giver *g, const struct lb_q_matrix *from)
{
    struct lb_q_matrix m = *from;
    m.codes = give(g, "codes", m.codes, m.rows * m.row_bytes);
    m.zero = give(g, "zero", m.zero, m.rows * sizeof *m.zero);
    m.bias = give(g, "bias", m.bias, m.rows * sizeof *m.bias);
    m.multiplier = give(g, "multiplier", m.multiplier, m.rows * sizeof *m.multiplier);
    m.shift = give(g, "shift", m.shift, m.rows * sizeof *m.shift);
    return m;
}

/* ---- The device's own ---- */

static int create(struct giver *g, size_t *bytes, char *why, size_t why_size)
{
    struct run *t = g->t;
    struct lb_dev *d = t->d[g->side];
    void **object = &t->object[g->side];
    if (t->q) {
        const struct lb_q_matrix m = give_integers(g, &t->q->m);
        *object = g->err->set ? NULL : d->ops->q_weights_create(d->dev, &m, bytes);
    } else if (t->weights) {
        const struct lb_packed p = give_weights(g, t->weights);
        *object = g->err->set ? NULL : d->ops->weights_create(d->dev, &p, t->c.uses, bytes, why, why_size);
    } else {
        struct lb_quantizer q = give_tables(g, &t->quantizer->q), scale;
        if (q.scale)
            scale = give_tables(g, q.scale);
        q.scale = q.scale ? &scale : NULL;
        *object = g->err->set ? NULL : d->ops->quantizer_create(d->dev, &q, why, why_size);
    }
    return g->err->set ? -1 : 0;
}

int lb_op_object_create(struct run *t, enum side s, struct lb_err *err)
{
    struct giver g = {.t = t, .side = s, .err = err};
    struct lb_dev *d = t->d[s];
    char why[sizeof t->refused] = "";
    size_t bytes = 0;
    if (!t->c.object)
        return 0;
    d->log[0] = 0;
    if (create(&g, &bytes, why, sizeof why))
        return -1;
    for (size_t i = 0; i < g.n; i++)
        if (!(g.stays >> i & 1))
            lb_guarded_close(&t->copies[s][i]);
    t->calls += s != REFERENCE;
    if (t->object[s])
        return t->weights ? check_bytes(t->weights, bytes, err) : 0;
    if (*why && s != REFERENCE) {
        memcpy(t->refused, why, sizeof why);
        return REFUSED;
    }
    const char *hook = t->q ? "q_weights_create" : t->weights ? "weights_create" : "quantizer_create";
    return lb_fail(err, "%s: %s: %s", d->ops->base.name, hook, *why ? why : d->log[0] ? d->log : "failed without a message");
}

int lb_op_objects_draw(struct run *t, struct lb_err *err)
{
    if (t->c.like.codec) {
        t->c.like.rarity = t->exact && t->index % 2 ? (unsigned)(2 * t->c.like.cols + 3) : 0;
        if (lb_ops_packed_create(&t->c.like, t->seed, &t->weights, err))
            return -1;
    }
    if (t->c.by.codec && lb_ops_quantizer_create(&t->c.by, &t->quantizer, err))
        return -1;
    return t->c.q.rows ? lb_ops_q_create(&t->c.q, t->seed, &t->q, err) : 0;
}

void lb_op_objects_free(struct run *t)
{
    for (int s = 0; s < SIDES; s++) {
        const struct lb_dev *d = t->d[s];
        if (t->object[s])
            (t->q ? d->ops->q_weights_free : t->weights ? d->ops->weights_free : d->ops->quantizer_free)(d->dev, t->object[s]);
        t->object[s] = NULL;
        for (int i = 0; i < MAX_COPIES; i++)
            lb_guarded_finish(&t->copies[s][i]);
    }
    lb_ops_packed_destroy(t->weights);
    lb_ops_quantizer_destroy(t->quantizer);
    lb_ops_q_destroy(t->q);
    lb_free(t->unpacked);
    t->q = NULL;
    t->weights = NULL;
    t->quantizer = NULL;
    t->unpacked = NULL;
}

int lb_op_unpack(struct run *t, struct lb_err *err)
{
    const struct lb_packed *p = &t->weights->p;
    t->unpacked = lb_alloc(p->rows * p->cols, sizeof *t->unpacked, err);
    for (size_t i = 0; t->unpacked && i < p->rows; i++)
        if (lb_ops_packed_row(p, i, 0, p->cols, t->unpacked + i * p->cols, err))
            return -1;
    t->c.unpacked = t->unpacked;
    return t->unpacked ? 0 : -1;
}
