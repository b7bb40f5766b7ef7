/* SPDX-License-Identifier: MIT */
/* cpu_int8_prepare.c - weights of any codec whose values are small integers, in the order of kernels/cpu/int8.h. */
#include "plugins/cpu/cpu_int8.h"

#include <math.h>

/* ---- The integers of a codec ---- */

enum { VALUES = 256, CODED = 1024 /* elements that are decoded at a time */, MOST_BITS = 120 };

struct integers {
    float unit; /* 2^f */
    int least, most;
    unsigned char code[VALUES]; /* of u = W - least */
};

/* The least f >= 0 that makes all values whole; -1: none does. */
static int fraction_bits(const float *values, size_t n)
{
    int f = 0;
    for (size_t i = 0; i < n && f >= 0; i++) {
        while (f < MOST_BITS && ldexp((double)values[i], f) != floor(ldexp((double)values[i], f)))
            f++;
        f = f < MOST_BITS && isfinite(values[i]) ? f : -1;
    }
    return f;
}

/* 1 where they are not of at most 8 bits. */
static int find_range(const struct lb_codes *q, struct integers *v)
{
    if (!q->values || q->codec->bits == 0 || q->codec->bits > 16)
        return 1;
    const size_t n = (size_t)1 << q->codec->bits;
    const int f = fraction_bits(q->values, n);
    double least = 0, most = 0;
    for (size_t i = 0; i < n && f >= 0; i++) {
        const double x = ldexp((double)q->values[i], f);
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
    if (f < 0 || least < -128 || most > (least < 0 ? 127 : 255))
        return 1;
    v->unit = (float)ldexp(1, f);
    v->least = (int)least;
    v->most = (int)most;
    return 0;
}

/* u of a value of the codec. */
static size_t above_least(const struct integers *v, float x)
{
    return (size_t)((int)(x * v->unit) - v->least);
}

/* The form with the fewest bits; codes count the values that there are, in ascending order. */
static void choose_form(const struct lb_codes *q, struct integers *v, struct int8_matrix *m)
{
    const size_t n = (size_t)1 << q->codec->bits;
    unsigned char there[VALUES] = {0}, sorted[VALUES];
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        there[above_least(v, q->values[i])] = 1;
    for (size_t u = 0; u < VALUES; u++)
        if (there[u]) {
            v->code[u] = (unsigned char)count;
            sorted[count++] = (unsigned char)u;
        }
    m->form = count <= 4 ? INT8_QUARTERS : count <= 16 ? INT8_NIBBLES : INT8_BYTES;
    for (size_t u = 0; u < VALUES && m->form == INT8_BYTES; u++)
        v->code[u] = (unsigned char)u;
    for (size_t i = 0; i < INT8_LINE && m->form != INT8_BYTES; i++) {
        m->table[i] = i % 16 < count ? sorted[i % 16] : 0;
        m->mapped |= i % 16 < count && sorted[i % 16] != i % 16;
    }
    m->shift = -v->least;
    m->narrow = v->most - v->least <= INT8_NARROW;
}

/* ---- Codes ---- */

struct filling {
    const struct lb_packed *p;
    const struct integers *v;
    struct int8_matrix *m;
    size_t jobs;
};

static void fill_row(const struct filling *f, size_t row)
{
    const struct lb_packed *p = f->p;
    const struct int8_matrix *m = f->m;
    const unsigned parts = 1u << m->form, width = 8u >> m->form;
    unsigned char *panel = m->codes + row / INT8_PANEL * m->lines * INT8_LINE + row % INT8_PANEL * 4;
    float x[CODED];
    for (size_t k0 = 0; k0 < p->cols; k0 += CODED) {
        const size_t n = p->cols - k0 < CODED ? p->cols - k0 : CODED;
        p->q.decode(&p->q, p->codes + row * p->row_bytes, k0, n, x);
        for (size_t i = 0; i < n; i++) {
            const size_t k = k0 + i, part = (k >> 2) & (parts - 1);
            const unsigned code = f->v->code[above_least(f->v, x[i])];
            panel[(k >> 2 >> m->form) * INT8_LINE + k % 4] |= (unsigned char)(code << (part * width));
        }
    }
}

static void fill_rows(void *arg, size_t j)
{
    const struct filling *f = arg;
    const size_t first = f->m->panels * j / f->jobs * INT8_PANEL, end = f->m->panels * (j + 1) / f->jobs * INT8_PANEL;
    for (size_t row = first; row < end && row < f->p->rows; row++)
        fill_row(f, row);
}

/* ---- Scales and zero points ---- */

/* Both in the order of the matrix: raw, what the codes of the scales are worth; scale, s_w. Outputs that are not there have the last one's. */
struct scales {
    float *raw, *scale;
    size_t n;
    float raw_factor; /* scale may be raw times this */
};

/* The number of the scale of place i in the order of the matrix. */
static size_t scale_number(const struct lb_packed *p, const struct int8_matrix *m, size_t i)
{
    const size_t row = i / m->blocks / INT8_PANEL * INT8_PANEL + i % INT8_PANEL;
    return (row < p->rows ? row : p->rows - 1) * p->scale_row + i / INT8_PANEL % m->blocks;
}

static void find_scales(const struct lb_packed *p, float unit, const struct int8_matrix *m, struct scales *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const size_t g = scale_number(p, m, i);
        float x = 1;
        if (p->scaled)
            p->s.decode(&p->s, p->scales, g, 1, &x);
        s->raw[i] = x;
        if (p->scaled && p->scale2)
            x *= p->scale2[g / p->group2];
        if (p->scaled && p->has_offset)
            x += p->offset;
        s->scale[i] = canon_nan(x * (1 / unit));
    }
    s->raw_factor = (p->scaled && p->scale2 ? p->scale2[0] : 1) * (1 / unit);
}

/* The F16 code of x where there is one without a sign; else any. */
static uint32_t half_code(float x)
{
    const uint32_t b = canon_bits(x);
    if (b < 0x38800000u) /* 2^-14 */
        return (uint32_t)(x * 0x1p24f);
    return b < 0x47800000u ? (b >> 13) - (112u << 10) : 0; /* 2^16 */
}

/* Stores t, which times factor is to be the scale; 0 where it is so. */
static int store_scales(enum int8_scale kind, const float *t, float factor, const struct scales *s, struct int8_matrix *m)
{
    for (size_t i = 0; i < s->n; i++) {
        const uint32_t b = canon_bits(t[i]);
        const uint16_t wide = (uint16_t)(kind == INT8_BF16 ? b >> 16 : half_code(t[i]));
        if (kind == INT8_F32)
            ((float *)m->scales)[i] = t[i];
        else if (kind == INT8_BF16 || kind == INT8_F16)
            memcpy((char *)m->scales + 2 * i, &wide, sizeof wide);
        else
            ((unsigned char *)m->scales)[i] = (unsigned char)(kind == INT8_POWER ? b >> 23 : half_code(t[i]) >> 7);
        if (canon_bits(canon_nan(int8_scale_at(kind, m->scales, i) * factor)) != canon_bits(s->scale[i]))
            return 1;
    }
    m->scale = kind;
    m->factor = factor;
    return 0;
}

/* In the fewest bytes that give every scale as it is. */
static void choose_scales(const struct scales *s, struct int8_matrix *m)
{
    static const enum int8_scale kinds[] = {INT8_POWER, INT8_HALF_BYTE, INT8_F16, INT8_BF16};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!store_scales(kinds[i], s->raw, s->raw_factor, s, m) || !store_scales(kinds[i], s->scale, 1, s, m))
            return;
    memcpy(m->scales, s->scale, s->n * sizeof *s->scale);
    m->scale = INT8_F32;
    m->factor = 1;
}

static size_t scale_bytes(enum int8_scale kind)
{
    return kind == INT8_F32 ? 4 : kind == INT8_BF16 || kind == INT8_F16 ? 2 : 1;
}

/* u - zero is W, zero = z 2^f - least. 1 where a zero point is no such integer. */
static int fill_zeros(const struct lb_packed *p, const struct integers *v, struct int8_matrix *m, int16_t *zeros, size_t n)
{
    int bytes = 1;
    for (size_t i = 0; i < n; i++) {
        const double z = (double)p->zeros[scale_number(p, m, i)] * (double)v->unit, zero = z - v->least;
        if (!(z >= -255 && z <= 255) || z != floor(z))
            return 1;
        zeros[i] = (int16_t)zero;
        bytes = bytes && zero >= 0 && zero <= 255;
    }
    m->zero_bytes = bytes ? 1 : 2;
    for (size_t i = 0; i < n && bytes; i++)
        ((unsigned char *)zeros)[i] = (unsigned char)zeros[i];
    return 0;
}

/* ---- All of it ---- */

static void release(struct cpu_device *d, struct cpu_int8_weights *w)
{
    if (!w)
        return;
    d->host->free(d->host, w->m.codes);
    d->host->free(d->host, w->m.zeros);
    d->host->free(d->host, w->m.scales);
    d->host->free(d->host, w);
}

static int out_of_memory(const struct cpu_device *d)
{
    d->host->log(d->host, LB_LOG_ERROR, "out of memory: weights for int8 products");
    return -1;
}

static int prepare_codes(struct cpu_device *d, const struct lb_packed *p, const struct integers *v, struct int8_matrix *m)
{
    struct filling f = {.p = p, .v = v, .m = m, .jobs = d->host->threads};
    const size_t bytes = m->panels * m->lines * INT8_LINE;
    m->codes = d->host->alloc(d->host, bytes + 1);
    if (!m->codes)
        return out_of_memory(d);
    memset(m->codes, 0, bytes);
    d->host->parallel(d->host, f.jobs, fill_rows, &f);
    return 0;
}

/* A copy of the first bytes of `wide` in memory of its own. */
static void *kept(struct cpu_device *d, const void *wide, size_t bytes)
{
    void *p = d->host->alloc(d->host, bytes);
    return p ? memcpy(p, wide, bytes) : NULL;
}

static int prepare_scales(struct cpu_device *d, const struct lb_packed *p, struct int8_matrix *m, const struct integers *v)
{
    struct scales s = {.n = m->panels * m->blocks * INT8_PANEL};
    int r = 0;
    float *memory = d->host->alloc(d->host, 3 * s.n * sizeof *memory); /* of which the forms take less */
    if (!memory)
        return out_of_memory(d);
    s.raw = memory;
    s.scale = memory + s.n;
    m->scales = memory + 2 * s.n;
    find_scales(p, v->unit, m, &s);
    choose_scales(&s, m);
    m->scales = kept(d, m->scales, s.n * scale_bytes(m->scale));
    if (m->scales && p->scaled && p->zeros) {
        r = fill_zeros(p, v, m, (int16_t *)(void *)memory, s.n);
        m->zeros = r ? NULL : kept(d, memory, s.n * m->zero_bytes);
    }
    d->host->free(d->host, memory);
    return r || (m->scales && (m->zeros || !p->scaled || !p->zeros)) ? r : out_of_memory(d);
}

int cpu_int8_prepare(struct cpu_device *d, const struct lb_packed *p, struct cpu_weights *w)
{
    struct integers v = {0};
    w->int8 = NULL;
    if (p->rows == 0 || find_range(&p->q, &v))
        return 1;
    struct cpu_int8_weights *made = d->host->alloc(d->host, sizeof *made);
    if (!made)
        return out_of_memory(d);
    *made = (struct cpu_int8_weights){.m = {.rows = p->rows, .cols = p->cols, .panels = (p->rows + INT8_PANEL - 1) / INT8_PANEL}};
    struct int8_matrix *m = &made->m;
    choose_form(&p->q, &v, m);
    m->lines = (p->cols + int8_line_k(m->form) - 1) / int8_line_k(m->form);
    m->block = p->scaled && p->block && p->block < p->cols ? p->block : p->cols ? p->cols : 1;
    m->blocks = p->cols ? (p->cols + m->block - 1) / m->block : 1;
    int r = prepare_codes(d, p, &v, m);
    r = r ? r : prepare_scales(d, p, m, &v);
    if (r) {
        release(d, made);
        return r;
    }
    w->int8 = made;
    w->bytes += sizeof *made + m->panels * (m->lines * INT8_LINE + m->blocks * INT8_PANEL * (scale_bytes(m->scale) + m->zero_bytes));
    return 0;
}

void cpu_int8_release(struct cpu_device *d, struct cpu_weights *w)
{
    release(d, w->int8);
    w->int8 = NULL;
}
