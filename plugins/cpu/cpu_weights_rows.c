/* SPDX-License-Identifier: MIT */
/* cpu_weights_rows.c - weights in codecs without a table that fits, or with scales of odd blocks: their streams are kept as they came, and the codec decodes
 * parts of rows. */
#include "plugins/cpu/cpu_weights.h"

#include <string.h>

enum { RUN = 256, UNIT_MOST = 1024 /* elements of a block codec */ };

/* Elements first .. first + n - 1 of row i, unscaled; n <= RUN. A codec of blocks decodes whole ones. */
static void decode(const struct lb_packed *p, size_t i, size_t first, size_t n, float *to)
{
    float whole[RUN + 2 * UNIT_MOST];
    const size_t unit = p->q.codec->bits ? 1 : p->q.codec->unit_elems;
    const size_t begin = first / unit * unit, end = (first + n + unit - 1) / unit * unit;
    const unsigned char *codes = p->codes + i * p->row_bytes;
    if (begin == first && end == first + n) {
        p->q.decode(&p->q, codes, first, n, to);
        return;
    }
    p->q.decode(&p->q, codes, begin, end - begin, whole);
    memcpy(to, whole + (first - begin), n * sizeof *to);
}

/* Scales g .. g + n - 1. */
static void scales(const struct lb_packed *p, size_t g, size_t n, float *s)
{
    p->s.decode(&p->s, p->scales, g, n, s);
    for (size_t i = 0; i < n; i++) {
        s[i] = p->scale2 ? s[i] * p->scale2[(g + i) / p->group2] : s[i];
        s[i] = p->has_offset ? s[i] + p->offset : s[i];
    }
}

static void scale(const struct lb_packed *p, size_t i, size_t k0, size_t nk, float *to)
{
    const size_t block = p->scale_row && p->block ? p->block : SIZE_MAX, first = k0 / block, n = (k0 + nk - 1) / block - first + 1;
    const size_t g = i * p->scale_row + first;
    float s[RUN + 1];
    scales(p, g, n, s);
    for (size_t k = 0; k < nk; k++) {
        const size_t j = (k0 + k) / block - first;
        to[k] = (p->zeros ? to[k] - p->zeros[g + j] : to[k]) * s[j];
    }
}

static void row(const struct packed_matrix *m, size_t i, size_t k0, size_t nk, float *to)
{
    const struct lb_packed *p = m->arg;
    for (size_t k = 0; k < nk; k += RUN) {
        const size_t n = nk - k < RUN ? nk - k : RUN;
        decode(p, i, k0 + k, n, to + k);
        if (p->scaled)
            scale(p, i, k0 + k, n, to + k);
    }
}

static void *copy(struct cpu_device *d, struct cpu_weights *w, const void *from, size_t n)
{
    void *to = cpu_weights_take(d, w, n, 1);
    if (to && n)
        memcpy(to, from, n);
    return to;
}

static int copy_scales(struct cpu_device *d, struct cpu_weights *w, struct lb_packed *p)
{
    const size_t bytes = (p->n_scales * p->s.codec->bits + 7) / 8, n2 = p->scale2 ? (p->n_scales + p->group2 - 1) / p->group2 : 0;
    p->scales = copy(d, w, p->scales, bytes);
    if (p->scales && p->scale2)
        p->scale2 = copy(d, w, p->scale2, n2 * sizeof *p->scale2);
    if (p->scales && p->zeros)
        p->zeros = copy(d, w, p->zeros, p->n_scales * sizeof *p->zeros);
    return p->scales ? 0 : -1;
}

int cpu_weights_rows(struct cpu_device *d, const struct lb_packed *from, struct cpu_weights *w)
{
    if (!from->q.codec->bits && from->q.codec->unit_elems > UNIT_MOST)
        return 1;
    struct packed_matrix *m = cpu_weights_take(d, w, 1, sizeof *m);
    struct lb_packed *p = m ? copy(d, w, from, sizeof *from) : NULL;
    if (!p)
        return -1;
    p->codes = copy(d, w, from->codes, p->rows * p->row_bytes);
    if (!p->codes || (p->scaled && copy_scales(d, w, p)))
        return -1;
    *m = (struct packed_matrix){.rows = p->rows, .cols = p->cols, .row = row, .arg = p};
    w->f32 = m;
    return 0;
}
