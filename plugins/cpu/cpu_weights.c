/* SPDX-License-Identifier: MIT */
/* cpu_weights.c - weights_create: codes and scales in the order of kernels/cpu/packed.h, each in as many bits as it has, and their tables. What does not fit
 * into that order stays as it is: cpu_weights_rows.c. */
#include "plugins/cpu/cpu_weights.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

void *cpu_weights_take(struct cpu_device *d, struct cpu_weights *w, size_t count, size_t size)
{
    void *p = w->parts == CPU_WEIGHTS_PARTS ? NULL : d->host->alloc(d->host, count * size + 64);
    if (!p) {
        d->host->log(d->host, LB_LOG_ERROR, "out of memory: weights");
        return NULL;
    }
    memset(p, 0, count * size);
    w->memory[w->parts++] = p;
    w->bytes += count * size;
    return p;
}

/* ---- Tables ---- */

enum { TABLE = 256 };

/* Table and halves of a codec of up to 8 bits, of numbers (value - zero) scale + offset as far as each is given. */
struct fold {
    const float *zero, *scale, *offset;
};

static float folded(float v, const struct fold *f)
{
    v = f->zero ? v - *f->zero : v;
    v = f->scale ? v * *f->scale : v;
    return f->offset ? v + *f->offset : v;
}

static int is_short(const float *values, unsigned bits, const struct fold *f)
{
    uint32_t low = 0;
    for (uint32_t c = 0; c < 1u << bits; c++)
        low |= canon_bits(folded(values[c], f)) & 0xffffu;
    return low == 0;
}

static int make_table(struct cpu_device *d, struct cpu_weights *w, const float *values, const struct fold *f, struct packed_codes *q)
{
    float *table = cpu_weights_take(d, w, TABLE, sizeof *table);
    uint16_t *halves = table ? cpu_weights_take(d, w, 2 * TABLE, sizeof *halves) : NULL;
    if (!halves)
        return -1;
    for (uint32_t i = 0; i < TABLE; i++) {
        table[i] = folded(values[i & ((1u << q->bits) - 1)], f);
        halves[i] = (uint16_t)(canon_bits(table[i]) >> 16);
        halves[TABLE + i] = (uint16_t)canon_bits(table[i]);
    }
    q->kind = is_short(values, q->bits, f) ? PACKED_NARROW : PACKED_WIDE;
    q->table = table;
    q->halves = halves;
    return 0;
}

/* Whether a shift, or a conversion, does what a table of 16 bits says. For a NaN any other will do. */
static enum packed_kind kind_of_16(const float *values)
{
    int upper = 1, half = 1;
    for (uint32_t c = 0; c < 65536; c++) {
        const uint32_t u = canon_bits(values[c]), magnitude = c & 0x7fffu;
        const float finite = canon_float(magnitude << 13) * 0x1p112f; /* what binary16's exponent is worth */
        const uint32_t h = (c & 0x8000u) << 16 | (magnitude >= 0x7c00u ? 0x7f800000u | magnitude << 13 : canon_bits(finite));
        const int nan = values[c] != values[c];
        upper &= nan ? magnitude > 0x7f80u : u == c << 16;
        half &= nan ? magnitude > 0x7c00u : u == h;
    }
    return upper ? PACKED_UPPER : half ? PACKED_HALF : PACKED_TABLE;
}

/* ---- Codes in order ---- */

struct ordering {
    uint32_t *to;
    const struct packed_codes *q;
    size_t rows, cols, lanes;
    const unsigned char *from; /* as packed_order has them */
    size_t row_bytes, row_codes;
};

static void order_group(void *arg, size_t g)
{
    const struct ordering *o = arg;
    const size_t first = g * o->lanes, n = o->rows - first < o->lanes ? o->rows - first : o->lanes;
    packed_order(o->to + g * o->q->group, o->q->bits, o->cols, o->lanes, o->from, o->row_bytes, o->row_codes, first, n);
}

/* q->words from streams of q->bits each; `o` says where they are. */
static int order(struct cpu_device *d, struct cpu_weights *w, struct packed_codes *q, struct ordering o)
{
    const size_t lanes = d->k.packed.lanes, groups = (o.rows + lanes - 1) / lanes;
    o.q = q;
    o.lanes = lanes;
    q->group = packed_group(q->bits, o.cols, lanes);
    o.to = cpu_weights_take(d, w, groups * q->group + PACKED_SLACK * lanes, sizeof *o.to);
    if (!o.to)
        return -1;
    q->words = o.to;
    d->host->parallel(d->host, groups, order_group, &o);
    return 0;
}

/* ---- Scales and zero points ---- */

/* The numbers of scales that have no table: their words are the numbers. */
static int order_plain(struct cpu_device *d, struct cpu_weights *w, const struct lb_packed *p, const float *numbers, struct packed_codes *q)
{
    const size_t lanes = d->k.packed.lanes, groups = (p->rows + lanes - 1) / lanes;
    q->bits = 32;
    q->kind = PACKED_PLAIN;
    q->group = packed_group(32, p->scale_row, lanes);
    float *to = cpu_weights_take(d, w, groups * q->group + PACKED_SLACK * lanes, sizeof *to);
    if (!to)
        return -1;
    for (size_t g = 0; g < p->rows * p->scale_row; g++) {
        const size_t i = g / p->scale_row, j = g % p->scale_row;
        to[i / lanes * q->group + j * lanes + i % lanes] = numbers[g];
    }
    q->words = (const uint32_t *)(const void *)to;
    return 0;
}

/* As binary32, with the second level. */
static int plain_scales(struct cpu_device *d, struct cpu_weights *w, const struct lb_packed *p, struct packed_matrix *m)
{
    float *s = d->host->alloc(d->host, (p->n_scales + 1) * sizeof *s);
    if (!s)
        return d->host->log(d->host, LB_LOG_ERROR, "out of memory: weights"), -1;
    p->s.decode(&p->s, p->scales, 0, p->n_scales, s);
    for (size_t g = 0; g < p->n_scales; g++)
        s[g] = folded(s[g],
                      &(struct fold){.scale = p->scale2 ? &p->scale2[g / p->group2] : NULL, .offset = p->has_offset ? &p->offset : NULL});
    const int r = order_plain(d, w, p, s, &m->t);
    d->host->free(d->host, s);
    return r;
}

/* The second level beside the codes, unless one number of it holds for all and their table can take it. */
static int second_level(struct cpu_device *d, struct cpu_weights *w, const struct lb_packed *p, int folded_in, struct packed_matrix *m)
{
    m->scale_row = p->scale_row;
    m->has_offset = p->has_offset && !folded_in;
    m->offset = p->offset;
    if (!p->scale2 || folded_in)
        return 0;
    const size_t n = (p->n_scales + p->group2 - 1) / p->group2;
    float *scale2 = cpu_weights_take(d, w, n, sizeof *scale2);
    if (!scale2)
        return -1;
    memcpy(scale2, p->scale2, n * sizeof *scale2);
    m->scale2 = scale2;
    m->group2 = p->group2;
    return 0;
}

static int scale_codes(struct cpu_device *d, struct cpu_weights *w, const struct lb_packed *p, struct packed_matrix *m)
{
    struct packed_codes *t = &m->t;
    t->bits = p->s.codec->bits;
    const int folds = t->bits <= 8 && (!p->scale2 || p->group2 >= p->n_scales);
    const struct fold f = {.scale = folds ? p->scale2 : NULL, .offset = folds && p->has_offset ? &p->offset : NULL};
    if (t->bits == 16) {
        t->kind = kind_of_16(p->s.values);
        t->table = p->s.values;
    } else if (make_table(d, w, p->s.values, &f, t)) {
        return -1;
    }
    return second_level(d, w, p, folds, m) ||
                   order(d, w, t, (struct ordering){.rows = p->rows, .cols = p->scale_row, .from = p->scales, .row_codes = p->scale_row})
               ? -1
               : 0;
}

/* The code of up to 8 bits whose value is z, or TABLE. */
static uint32_t code_of(const struct lb_codes *q, float z)
{
    for (uint32_t c = 0; c < TABLE && c < 1u << q->codec->bits; c++)
        if (canon_bits(q->values[c]) == canon_bits(z))
            return c;
    return TABLE;
}

/* Zero points as codes of the codec, or, where one of them is none of its values, as numbers. */
static int zero_points(struct cpu_device *d, struct cpu_weights *w, const struct lb_packed *p, struct packed_matrix *m)
{
    struct packed_codes *z = &m->z;
    z->bits = p->q.codec->bits;
    const size_t bytes = (p->n_scales * z->bits + 7) / 8 + 1;
    unsigned char *codes = d->host->alloc(d->host, bytes);
    if (!codes)
        return d->host->log(d->host, LB_LOG_ERROR, "out of memory: weights"), -1;
    memset(codes, 0, bytes);
    size_t g = 0;
    for (uint32_t c; g < p->n_scales && (c = code_of(&p->q, p->zeros[g])) < TABLE; g++) {
        const size_t at = g * z->bits;
        codes[at / 8] |= (unsigned char)(c << at % 8);
        codes[at / 8 + 1] |= (unsigned char)(c << at % 8 >> 8);
    }
    int r = g < p->n_scales
                ? order_plain(d, w, p, p->zeros, z)
                : make_table(d, w, p->q.values, &(struct fold){0}, z) ||
                      order(d, w, z, (struct ordering){.rows = p->rows, .cols = p->scale_row, .from = codes, .row_codes = p->scale_row});
    d->host->free(d->host, codes);
    return r ? -1 : 0;
}

static int order_scales(struct cpu_device *d, struct cpu_weights *w, const struct lb_packed *p, struct packed_matrix *m)
{
    const int table = p->s.values && (p->s.codec->bits <= 8 || p->s.codec->bits == 16);
    if (table ? scale_codes(d, w, p, m) : plain_scales(d, w, p, m))
        return -1;
    return p->zeros ? zero_points(d, w, p, m) : 0;
}

/* ---- A matrix ---- */

int cpu_weights_fit(const struct lb_packed *p)
{
    const unsigned bits = p->q.codec->bits;
    const int aligned = !p->scaled || p->scale_row == 0 || p->block % PACKED_STEP == 0 || p->block >= p->cols;
    return p->q.values && ((bits >= 1 && bits <= 8) || bits == 16) && aligned;
}

/* The one scale of a whole matrix, in m->scale and m->zero. */
static void one_scale(const struct lb_packed *p, struct packed_matrix *m)
{
    float s;
    p->s.decode(&p->s, p->scales, 0, 1, &s);
    m->scale = folded(s, &(struct fold){.scale = p->scale2, .offset = p->has_offset ? &p->offset : NULL});
    m->zero = p->zeros ? p->zeros[0] : 0;
}

/* Whether the one scale costs less in the table: numbers of few bits are looked up whole, others by halves. */
static int scale_into_table(const struct lb_packed *p, const struct fold *f)
{
    const unsigned bits = p->q.codec->bits;
    return bits <= 4 || (bits <= 8 && (is_short(p->q.values, bits, f) || !is_short(p->q.values, bits, &(struct fold){0})));
}

int cpu_weights_order(struct cpu_device *d, const struct lb_packed *p, struct cpu_weights *w)
{
    struct packed_matrix *m = cpu_weights_take(d, w, 1, sizeof *m);
    struct fold f = {0};
    if (!m)
        return -1;
    *m = (struct packed_matrix){.rows = p->rows, .cols = p->cols, .scaled = p->scaled, .zeroed = p->scaled && p->zeros};
    m->block = p->scale_row && p->block ? p->block : p->cols + 1;
    m->q.bits = p->q.codec->bits;
    if (p->scaled && p->scale_row && order_scales(d, w, p, m))
        return -1;
    if (p->scaled && !p->scale_row) {
        one_scale(p, m);
        f = (struct fold){.zero = p->zeros ? &m->zero : NULL, .scale = &m->scale};
        if (scale_into_table(p, &f))
            m->scaled = m->zeroed = 0;
        else
            f = (struct fold){0};
    }
    if (m->q.bits == 16) {
        m->q.kind = kind_of_16(p->q.values);
        m->q.table = p->q.values;
    } else if (make_table(d, w, p->q.values, &f, &m->q)) {
        return -1;
    }
    w->f32 = m;
    return order(d, w, &m->q, (struct ordering){.rows = p->rows, .cols = p->cols, .from = p->codes, .row_bytes = p->row_bytes});
}

/* ---- The hooks ---- */

void cpu_weights_free(void *dev, void *weights)
{
    struct cpu_device *d = dev;
    struct cpu_weights *w = weights;
    if (!w)
        return;
    if (w->int8)
        cpu_int8_release(d, w);
    for (size_t i = 0; i < w->parts; i++)
        d->host->free(d->host, w->memory[i]);
    d->host->free(d->host, w);
}

/* Also 1, where it cannot be done. */
static int fill(struct cpu_device *d, const struct lb_packed *p, struct cpu_weights *w, char *why, size_t why_size)
{
    if (p->scaled && !p->s.codec->bits) {
        snprintf(why, why_size, "%s: scales in a codec of blocks", p->s.codec->base.name);
        return 1;
    }
    if (w->uses & LB_USE_F32) {
        const int r = cpu_weights_fit(p) ? cpu_weights_order(d, p, w) : cpu_weights_rows(d, p, w);
        if (r) {
            if (r > 0)
                snprintf(why, why_size, "%s: blocks of %u elements", p->q.codec->base.name, p->q.codec->unit_elems);
            return r;
        }
    }
    if (!(w->uses & LB_USE_INT8))
        return 0;
    const int r = cpu_int8_prepare(d, p, w);
    if (r > 0)
        snprintf(why, why_size, "%s: its values are not integers of at most 8 bits", p->q.codec->base.name);
    return r;
}

void *cpu_weights_create(void *dev, const struct lb_packed *p, uint32_t uses, size_t *bytes, char *why, size_t why_size)
{
    struct cpu_device *d = dev;
    struct cpu_weights *w = d->host->alloc(d->host, sizeof *w);
    if (!w) {
        d->host->log(d->host, LB_LOG_ERROR, "out of memory: weights");
        return NULL;
    }
    *w = (struct cpu_weights){.rows = p->rows, .cols = p->cols, .uses = uses, .bytes = sizeof *w};
    if (fill(d, p, w, why, why_size)) {
        cpu_weights_free(d, w);
        return NULL;
    }
    *bytes = w->bytes;
    return w;
}
