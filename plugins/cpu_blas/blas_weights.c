/* SPDX-License-Identifier: MIT */
/* blas_weights.c - products with weights that stay as they are stored: a panel of rows at a time becomes binary32, and OpenBLAS takes it from there. */
#include "plugins/as_ref.h"
#include "plugins/cpu_blas/cpu_blas.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { PANEL = 1 << 16 /* floats of a panel, unless one row is longer: 256 KiB */ };

struct weights {
    struct lb_codes q, s;
    struct ref_packed p;
    unsigned char memory[];
};

/* ---- The weights ---- */

void *blas_weights_create(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why, size_t why_size)
{
    const struct device *d = dev;
    const struct ref_packed p = as_ref_packed(w);
    if (uses != LB_USE_F32) {
        snprintf(why, why_size, "OpenBLAS has no integer products");
        return NULL;
    }
    *bytes = ref_packed_bytes(&p);
    struct weights *t = d->host->alloc(d->host, sizeof *t + *bytes);
    if (!t) {
        blas_fail(d, "out of memory");
        return NULL;
    }
    t->q = w->q;
    t->s = w->s;
    ref_packed_copy(&p, t->memory, &t->p);
    t->p.q.of = &t->q;
    t->p.s.of = &t->s;
    return t;
}

void blas_weights_free(void *dev, void *w)
{
    const struct device *d = dev;
    d->host->free(d->host, w);
}

/* ---- Panels ---- */

struct panel {
    const struct ref_packed *p;
    float *at;
    size_t ld, most; /* floats of a row; rows that fit */
    size_t first, n; /* the rows that are there */
    size_t parts;    /* of which so many threads decode a part */
};

static int panel_init(struct device *d, const struct weights *w, struct panel *t)
{
    *t = (struct panel){.p = &w->p, .ld = ref_packed_room(&w->p)};
    t->most = t->ld && t->ld < PANEL ? PANEL / t->ld : 1;
    t->most = t->most < w->p.rows ? t->most : w->p.rows;
    t->at = blas_scratch(d, &d->panel, t->most * t->ld);
    return t->at ? 0 : -1;
}

static void decode_part(void *arg, size_t i)
{
    const struct panel *t = arg;
    const struct range r = blas_range(t->n, 1, t->parts, i);
    for (size_t j = r.begin; j < r.end; j++)
        ref_packed_row(t->p, t->first + j, t->at + j * t->ld);
}

static void read_panel(const struct device *d, struct panel *t, size_t first)
{
    t->first = first;
    t->n = t->p->rows - first < t->most ? t->p->rows - first : t->most;
    t->parts = blas_parts(d, t->n * t->ld * 32, t->n); /* decoding takes as long as so many multiplications */
    blas_parallel(d, t->parts, decode_part, t);
}

/* ---- Products ---- */

struct job {
    const struct device *d;
    const struct lb_gemm_packed *o;
    const struct panel *w;
    size_t parts;
};

/* Rows [rows) of the output, and of its columns those of the panel's rows [cols). */
static void block(const struct job *j, struct range rows, struct range cols)
{
    const struct lb_gemm_packed *o = j->o;
    const size_t m = rows.end - rows.begin, n = cols.end - cols.begin, at = j->w->first + cols.begin;
    const float *bias = lb_f32(o->bias), *a = lb_f32(o->a) + rows.begin * o->k, *w = j->w->at + cols.begin * j->w->ld;
    float *c = lb_f32(o->c) + rows.begin * o->n + at;
    for (size_t i = 0; bias && i < m; i++)
        memcpy(c + i * o->n, bias + at, n * sizeof *bias);
    blas_sgemm(j->d, 0, 1, m, n, o->k, a, o->k, w, j->w->ld, bias ? 1.0f : 0.0f, c, o->n);
    for (size_t i = 0; o->act != LB_LINEAR && i < m; i++)
        blas_activate(j->d, c + i * o->n, n, 0.0f, o->act, o->alpha);
}

static void part(void *arg, size_t i)
{
    const struct job *j = arg;
    struct range rows = {0, j->o->m}, cols = {0, j->w->n};
    if (cols.end >= rows.end)
        cols = blas_range(cols.end, 16, j->parts, i);
    else
        rows = blas_range(rows.end, 16, j->parts, i);
    if (rows.end > rows.begin && cols.end > cols.begin)
        block(j, rows, cols);
}

int blas_gemm_packed(void *dev, const struct lb_gemm_packed *o)
{
    struct device *d = dev;
    struct panel w;
    if (o->m > INT_MAX || o->n > INT_MAX || o->k > INT_MAX)
        return blas_fail(d, "gemm_packed: OpenBLAS takes sizes below 2^31");
    if (panel_init(d, o->w, &w))
        return -1;
    for (size_t first = 0; o->m && first < o->n; first += w.n) {
        read_panel(d, &w, first);
        struct job j = {d, o, &w, blas_parts(d, o->m * w.n * o->k, ((o->m > w.n ? o->m : w.n) + 15) / 16)};
        blas_parallel(d, j.parts, part, &j);
    }
    return 0;
}

int blas_conv2d_packed(void *dev, const struct lb_conv2d_packed *o)
{
    struct device *d = dev;
    const struct lb_conv2d conv = {.x = o->x, .bias = o->bias, .y = o->y, .s = o->s, .act = o->act, .alpha = o->alpha};
    struct panel w;
    int r = panel_init(d, o->w, &w);
    for (size_t first = 0; !r && first < o->s.o; first += w.n) {
        read_panel(d, &w, first);
        r = blas_conv2d_channels(d, &conv, first, w.n, w.at, w.ld);
    }
    return r;
}
