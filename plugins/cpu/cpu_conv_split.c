/* SPDX-License-Identifier: MIT */
#include "plugins/cpu/cpu_conv.h"

/* A lowered band stays in the second-level cache beside the weights; a thread is woken for no less than some ten microseconds of work. */
enum { BAND_FLOATS = 96 * 1024, MACS_OF_A_THREAD = 400000 };

size_t conv_threads(const struct cpu_device *d, double macs)
{
    const double worth = 1 + macs / MACS_OF_A_THREAD;
    return worth < (double)d->host->threads ? (size_t)worth : d->host->threads;
}

struct conv_split conv_split(const struct cpu_device *d, size_t samples, size_t rows, size_t row_floats, size_t extra_rows, double macs)
{
    struct conv_split s = {.rows = rows, .jobs = conv_threads(d, macs)};
    const size_t fit = BAND_FLOATS / (row_floats ? row_floats : 1);
    size_t band = conv_min(rows, fit > extra_rows ? fit - extra_rows : 1);
    band = band > extra_rows || band == rows ? band : conv_min(rows, extra_rows); /* no more rows twice than once */
    s.bands = (rows + band - 1) / band;
    /* A few samples do not divide among threads, but their rows do. */
    if (samples * s.bands % s.jobs && samples * s.bands < 8 * s.jobs)
        s.bands = conv_min(rows, (s.bands + s.jobs - 1) / s.jobs * s.jobs);
    s.band = (rows + s.bands - 1) / s.bands;
    s.units = samples * s.bands;
    s.jobs = s.units < s.jobs ? (s.units ? s.units : 1) : s.jobs;
    return s;
}

size_t conv_band(const struct conv_split *s, size_t b)
{
    return s->rows * b / s->bands;
}

void *conv_take(char *at, size_t *used, size_t count, size_t size)
{
    void *p = at ? at + *used : NULL;
    *used += (count * size + 63) / 64 * 64;
    return p;
}

void conv_pack(const struct cpu_device *d, struct conv_plan *p, const float *w, size_t rows, size_t stride)
{
    float *to = p->w;
    for (size_t r = 0; r < rows;) {
        const size_t block = conv_block(rows, r, d->k.conv.max_rows);
        for (size_t k = 0; k < p->n; k++)
            for (size_t i = 0; i < block; i++)
                *to++ = w[(r + i) * stride + p->from[k]];
        r += block;
    }
}

void conv_pack_lanes(const struct cpu_device *d, struct conv_plan *p, const float *w, size_t rows, size_t stride)
{
    const size_t lanes = d->k.conv.lanes;
    float *to = p->w;
    for (size_t r = 0; r < rows; r += lanes)
        for (size_t k = 0; k < p->n; k++)
            for (size_t i = 0; i < lanes; i++)
                *to++ = r + i < rows ? w[(r + i) * stride + p->from[k]] : 0.0f;
}

/* ---- Weights that are packed ---- */

struct unpack {
    const struct cpu_device *d;
    const struct conv_plan *p;
    const struct packed_matrix *m;
    size_t first, rows;
    int direct;
};

/* Where weight (row, k = 0) belongs, and how far apart the k are. */
static float *packed_row(const struct unpack *u, size_t row, size_t *step)
{
    const size_t most = u->d->k.conv.max_rows;
    size_t at = 0;
    while (at + conv_block(u->rows, at, most) <= row)
        at += conv_block(u->rows, at, most);
    *step = conv_block(u->rows, at, most);
    return u->p->w + at * u->p->n + (row - at);
}

/* A part of k of the rows that lie side by side in the matrix. */
static void scatter(const struct unpack *u, const struct gemm_source *source, size_t row, size_t n, size_t k0, size_t nk)
{
    float panel[CONV_SEGMENT * CONV_LANES];
    const size_t lanes = u->d->k.packed.lanes;
    source->panel(u->m, u->first + row, n, k0, nk, panel, lanes);
    for (size_t i = 0; i < n; i++) {
        size_t step;
        float *to = packed_row(u, row + i, &step) + k0 * step;
        for (size_t k = 0; k < nk; k++)
            to[k * step] = panel[k * lanes + i];
    }
}

static void unpack_rows(void *arg, size_t group)
{
    const struct unpack *u = arg;
    const struct packed_kernels *packed = &u->d->k.packed;
    const struct gemm_source *source = u->m->row ? &packed->rows : &packed->codes;
    const size_t row = group * packed->lanes, n = conv_min(u->rows - row, packed->lanes);
    if (u->direct)
        source->panel(u->m, u->first + row, n, 0, u->p->n, u->p->w + row * u->p->n, packed->lanes);
    for (size_t k = 0; k < u->p->n && !u->direct; k += CONV_SEGMENT)
        scatter(u, source, row, n, k, conv_min(u->p->n - k, CONV_SEGMENT));
}

void conv_unpack(const struct cpu_device *d, struct conv_plan *p, const struct packed_matrix *m, size_t first, size_t rows, int direct)
{
    const size_t lanes = d->k.packed.lanes;
    d->host->parallel(d->host, (rows + lanes - 1) / lanes, unpack_rows,
                      &(struct unpack){.d = d, .p = p, .m = m, .first = first, .rows = rows, .direct = direct});
}
