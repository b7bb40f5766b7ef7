/* SPDX-License-Identifier: MIT */
/* packed_body.h - the text of packed.h's kernels. What is decoded is decoded in runs: at most a segment of one group of rows. */
#include "kernels/cpu/gemm_pack.h"
#include "kernels/cpu/packed.h"
#include "kernels/cpu/packed_lookup.h"

enum {
    SEGMENT = 256,
    STEPS = SEGMENT / PACKED_STEP,
    HELD = 2 * PACKED_BLOCK, /* scales of a group: two blocks of their codes, so that a segment's are always together */
    GROUPS = 4               /* that `dot` does side by side: chains enough to hide each other's latency */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- A run of whole blocks, in so many ways: by width and kind, and how they are scaled ---- */

enum { PLAIN, SCALED, ZEROED };

/* Blocks of one group, or for `dot` of GROUPS groups. */
struct run {
    const struct packed_codes *q;
    int way;          /* PLAIN .. ZEROED */
    size_t blocks;    /* SEGMENT / PACKED_BLOCK at most */
    size_t at[STEPS]; /* where the vectors of each step begin in scale and zero */
    const uint32_t *words[GROUPS];
    const float *scale[GROUPS], *zero[GROUPS];
    float *to; /* expand: (k, width) */
    size_t width;
    const float *x; /* dot: (k) */
    vec acc[GROUPS];
};

INLINE vec scaled(vec v, int way, vec scale, vec zero)
{
    if (way == ZEROED)
        v = vec_sub(v, zero);
    return way == PLAIN ? v : vec_mul(v, scale);
}

INLINE void expand_way(const struct run *r, int kind, int bits, int way)
{
    const struct lookup l = lookup_of(r->q, kind, bits);
    const uint32_t *block = r->words[0];
    float *to = r->to;
    const size_t width = r->width;
    for (size_t b = 0; b < r->blocks; b++, block += bits * VEC, to += PACKED_BLOCK * width) {
        UNROLL for (int step = 0; step < 2; step++)
        {
            vec s = vec_zero(), z = vec_zero();
            if (way != PLAIN)
                s = vec_load(r->scale[0] + r->at[2 * b + (size_t)step]);
            if (way == ZEROED)
                z = vec_load(r->zero[0] + r->at[2 * b + (size_t)step]);
            UNROLL for (int i = 0; i < 8; i++)
            {
                const int c = 8 * step + i;
                vec even, odd;
                lookup_pair(&l, kind, bits, code_pair(block, bits, c), &even, &odd);
                vec_store(to + (size_t)(2 * c) * width, scaled(even, way, s, z));
                vec_store(to + (size_t)(2 * c + 1) * width, scaled(odd, way, s, z));
            }
        }
    }
}

INLINE void dot_way(struct run *r, int kind, int bits, int way)
{
    const struct lookup l = lookup_of(r->q, kind, bits);
    const float *x = r->x;
    const uint32_t *block[GROUPS];
    vec acc[GROUPS];
    UNROLL for (int g = 0; g < GROUPS; g++)
    {
        acc[g] = r->acc[g];
        block[g] = r->words[g];
    }
    for (size_t b = 0; b < r->blocks; b++, x += PACKED_BLOCK) {
        UNROLL for (int step = 0; step < 2; step++)
        {
            vec s[GROUPS], z[GROUPS];
            UNROLL for (int g = 0; g < GROUPS; g++)
            {
                s[g] = way != PLAIN ? vec_load(r->scale[g] + r->at[2 * b + (size_t)step]) : vec_zero();
                z[g] = way == ZEROED ? vec_load(r->zero[g] + r->at[2 * b + (size_t)step]) : vec_zero();
            }
            UNROLL for (int i = 0; i < 8; i++)
            {
                const int c = 8 * step + i;
                const vec x0 = vec_set(x[2 * c]), x1 = vec_set(x[2 * c + 1]);
                UNROLL for (int g = 0; g < GROUPS; g++)
                {
                    vec even, odd;
                    lookup_pair(&l, kind, bits, code_pair(block[g], bits, c), &even, &odd);
                    acc[g] = vec_fma(x0, scaled(even, way, s[g], z[g]), acc[g]);
                    acc[g] = vec_fma(x1, scaled(odd, way, s[g], z[g]), acc[g]);
                }
            }
        }
        UNROLL for (int g = 0; g < GROUPS; g++) block[g] += bits * VEC;
    }
    UNROLL for (int g = 0; g < GROUPS; g++) r->acc[g] = acc[g];
}

/* One function for a width and a kind. In plain C a dot product has too few registers and comes from panels. */
#define EXPAND(name, kind, bits)                                                                                                           \
    static void expand_##name(struct run *r)                                                                                               \
    {                                                                                                                                      \
        if (r->way == PLAIN)                                                                                                               \
            expand_way(r, kind, bits, PLAIN);                                                                                              \
        else if (r->way == SCALED)                                                                                                         \
            expand_way(r, kind, bits, SCALED);                                                                                             \
        else                                                                                                                               \
            expand_way(r, kind, bits, ZEROED);                                                                                             \
    }
#ifdef __AVX2__
#define DOT(name, kind, bits)                                                                                                              \
    static void dot_##name(struct run *r)                                                                                                  \
    {                                                                                                                                      \
        if (r->way == PLAIN)                                                                                                               \
            dot_way(r, kind, bits, PLAIN);                                                                                                 \
        else if (r->way == SCALED)                                                                                                         \
            dot_way(r, kind, bits, SCALED);                                                                                                \
        else                                                                                                                               \
            dot_way(r, kind, bits, ZEROED);                                                                                                \
    }
#else
#define DOT(name, kind, bits)
#endif
#define WAYS(name, kind, bits) EXPAND(name, kind, bits) DOT(name, kind, bits)

WAYS(wide_1, PACKED_WIDE, 1)
WAYS(wide_2, PACKED_WIDE, 2)
WAYS(wide_3, PACKED_WIDE, 3)
WAYS(wide_4, PACKED_WIDE, 4)
WAYS(wide_5, PACKED_WIDE, 5)
WAYS(wide_6, PACKED_WIDE, 6)
WAYS(wide_7, PACKED_WIDE, 7)
WAYS(wide_8, PACKED_WIDE, 8)
#ifdef __AVX512F__
WAYS(narrow_1, PACKED_NARROW, 1)
WAYS(narrow_2, PACKED_NARROW, 2)
WAYS(narrow_3, PACKED_NARROW, 3)
WAYS(narrow_4, PACKED_NARROW, 4)
WAYS(narrow_5, PACKED_NARROW, 5)
WAYS(narrow_6, PACKED_NARROW, 6)
WAYS(narrow_7, PACKED_NARROW, 7)
WAYS(narrow_8, PACKED_NARROW, 8)
#endif
WAYS(table_16, PACKED_TABLE, 16)
WAYS(upper_16, PACKED_UPPER, 16)
WAYS(half_16, PACKED_HALF, 16)

/* By kind and bits, in the order of way_of. */
#define EIGHT(name) name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8
#ifdef __AVX512F__
#define TABLE(what)                                                                                                                        \
    {                                                                                                                                      \
        EIGHT(what##_narrow), EIGHT(what##_wide), what##_table_16, what##_upper_16, what##_half_16                                         \
    }
#else
#define TABLE(what)                                                                                                                        \
    {                                                                                                                                      \
        EIGHT(what##_wide), EIGHT(what##_wide), what##_table_16, what##_upper_16, what##_half_16                                           \
    }
#endif
static void (*const expand_of[])(struct run *) = TABLE(expand);
#ifdef __AVX2__
static void (*const dot_of[])(struct run *) = TABLE(dot);
#endif

static size_t way_of(const struct packed_codes *q)
{
    return q->bits <= 8 ? (size_t)q->kind * 8 + q->bits - 1 : 16 + (size_t)(q->kind - PACKED_TABLE);
}

/* Numbers 32 block .. 32 block + 31 of a group of rows, as they lie in q. */
static void expand_block(const struct packed_codes *q, size_t group, size_t block, float *to)
{
    const uint32_t *at = q->words + group * q->group + block * q->bits * VEC;
    if (q->kind == PACKED_PLAIN) {
        memcpy(to, at, sizeof *to * PACKED_BLOCK * VEC);
        return;
    }
    struct run r = {.q = q, .way = PLAIN, .blocks = 1, .words = {at}, .to = to, .width = VEC};
    expand_of[way_of(q)](&r);
}

/* ---- Scales and zero points ---- */

/* Those of a group of rows that are at hand: numbers first .. first + 32 blocks - 1 of each row. */
struct held {
    size_t first, blocks;
    float scale[HELD * VEC], zero[HELD * VEC];
};

/* t becomes s, numbers j .. j + n - 1. */
static void second_level(const struct packed_matrix *m, size_t group, size_t j, size_t n, float *t)
{
    for (size_t lane = 0; lane < VEC && group * VEC + lane < m->rows && m->scale2; lane++) {
        const size_t g = (group * VEC + lane) * m->scale_row + j;
        size_t at = g / m->group2, left = m->group2 - g % m->group2;
        for (size_t i = 0; i < n; i++, left--) {
            if (left == 0) {
                at++;
                left = m->group2;
            }
            t[i * VEC + lane] *= m->scale2[at];
        }
    }
    for (size_t i = 0; i < n * VEC && m->has_offset; i += VEC)
        vec_store(t + i, vec_add(vec_load(t + i), vec_set(m->offset)));
}

static void hold_block(const struct packed_matrix *m, size_t group, struct held *h)
{
    float *scale = h->scale + h->blocks * PACKED_BLOCK * VEC, *zero = h->zero + h->blocks * PACKED_BLOCK * VEC;
    const size_t j = h->first + h->blocks * PACKED_BLOCK;
    if (m->t.bits) {
        expand_block(&m->t, group, j / PACKED_BLOCK, scale);
        if (m->scale2 || m->has_offset)
            second_level(m, group, j, least(m->scale_row - j, PACKED_BLOCK), scale);
    }
    if (m->z.bits)
        expand_block(&m->z, group, j / PACKED_BLOCK, zero);
    h->blocks++;
}

static int constant(const struct packed_matrix *m)
{
    return !m->t.bits && !m->z.bits;
}

/* What is the same everywhere is written once. */
static void hold_nothing(const struct packed_matrix *m, struct held *h)
{
    const size_t n = constant(m) ? VEC : HELD * VEC;
    h->blocks = 0;
    for (size_t i = 0; i < n && !m->t.bits; i += VEC)
        vec_store(h->scale + i, vec_set(m->scale));
    for (size_t i = 0; i < n && !m->z.bits; i += VEC)
        vec_store(h->zero + i, vec_set(m->zero));
}

/* Numbers j0 .. j1 of each row of the group; j1 - j0 < 32. */
static void hold(const struct packed_matrix *m, size_t group, size_t j0, size_t j1, struct held *h)
{
    if (!h->blocks || j0 / PACKED_BLOCK != h->first / PACKED_BLOCK) {
        h->first = j0 / PACKED_BLOCK * PACKED_BLOCK;
        h->blocks = 0;
        hold_block(m, group, h);
    }
    if (h->blocks == 1 && j1 >= h->first + PACKED_BLOCK)
        hold_block(m, group, h);
}

/* Begins a run of nk <= SEGMENT numbers at k0; its scales are those from *j0 to *j1. */
static void begin_run(const struct packed_matrix *m, size_t k0, size_t nk, size_t *j0, size_t *j1, struct run *r)
{
    const int same = constant(m);
    *j0 = same ? 0 : k0 / m->block;
    *j1 = same ? 0 : (k0 + nk - 1) / m->block;
    r->q = &m->q;
    r->way = m->zeroed ? ZEROED : m->scaled ? SCALED : PLAIN;
    r->blocks = nk / PACKED_BLOCK;
    for (size_t i = 0; i < STEPS; i++)
        r->at[i] = same ? 0 : ((k0 + i * PACKED_STEP) / m->block - *j0 / PACKED_BLOCK * PACKED_BLOCK) * VEC;
}

/* A group becomes number g of the run. */
static void run_group(const struct packed_matrix *m, size_t g, size_t group, size_t k0, size_t j0, size_t j1, struct held *h, struct run *r)
{
    if (!constant(m))
        hold(m, group, j0, j1, h);
    r->words[g] = m->q.words + group * m->q.group + k0 / PACKED_BLOCK * m->q.bits * VEC;
    r->scale[g] = h->scale;
    r->zero[g] = h->zero;
}

/* The block behind the whole ones of the run's group g: 32 numbers of each row, of which some are wanted. */
static void last_block(const struct run *whole, size_t g, float *to)
{
    struct run r = {.q = whole->q, .way = whole->way, .blocks = 1, .to = to, .width = VEC};
    r.at[0] = whole->at[2 * whole->blocks];
    r.at[1] = whole->at[2 * whole->blocks + 1];
    r.words[0] = whole->words[g] + whole->blocks * whole->q->bits * VEC;
    r.scale[0] = whole->scale[g];
    r.zero[0] = whole->zero[g];
    expand_of[way_of(r.q)](&r);
}

/* ---- Sources ---- */

static void segment_panel(const struct packed_matrix *m, size_t group, size_t k0, size_t nk, struct held *h, float *to, size_t width)
{
    struct run r = {.to = to, .width = width};
    float last[PACKED_BLOCK * VEC];
    size_t j0, j1;
    begin_run(m, k0, nk, &j0, &j1, &r);
    run_group(m, 0, group, k0, j0, j1, h, &r);
    expand_of[way_of(r.q)](&r);
    if (nk % PACKED_BLOCK == 0)
        return;
    last_block(&r, 0, last);
    to += r.blocks * PACKED_BLOCK * width;
    for (size_t k = 0; k < nk % PACKED_BLOCK; k++)
        vec_store(to + k * width, vec_load(last + k * VEC));
}

static void codes_panel(const struct packed_matrix *m, size_t i, size_t n, size_t k0, size_t nk, float *to, size_t width)
{
    struct held h;
    for (size_t j = 0; j < n; j += VEC) {
        hold_nothing(m, &h);
        for (size_t k = 0; k < nk; k += SEGMENT)
            segment_panel(m, (i + j) / VEC, k0 + k, least(nk - k, SEGMENT), &h, to + k * width + j, width);
    }
}

static void rows_panel(const struct packed_matrix *m, size_t i, size_t n, size_t k0, size_t nk, float *to, size_t width)
{
    enum { ROW = SEGMENT + 16 }; /* neighbours fall into different sets of the cache */
    float rows[VEC * ROW];
    for (size_t j = 0; j < n; j += VEC)
        for (size_t k = 0; k < nk; k += SEGMENT) {
            const size_t count = least(n - j, VEC), some = least(nk - k, SEGMENT);
            for (size_t r = 0; r < count; r++)
                m->row(m, i + j + r, k0 + k, some, rows + r * ROW);
            pack_vector(rows, ROW, count, some, to + k * width + j, width);
        }
}

#ifdef __AVX2__

/* acc = the chain of one segment. */
static void segment_dot(const struct packed_matrix *m, const size_t *group, size_t k0, size_t nk, struct held *h, const float *x,
                        struct run *r)
{
    float last[PACKED_BLOCK * VEC];
    size_t j0, j1;
    begin_run(m, k0, nk, &j0, &j1, r);
    r->x = x;
    for (size_t g = 0; g < GROUPS; g++) {
        run_group(m, g, group[g], k0, j0, j1, &h[g], r);
        r->acc[g] = vec_zero();
    }
    dot_of[way_of(r->q)](r);
    x += r->blocks * PACKED_BLOCK;
    for (size_t g = 0; g < GROUPS && nk % PACKED_BLOCK; g++) {
        last_block(r, g, last);
        for (size_t k = 0; k < nk % PACKED_BLOCK; k++)
            r->acc[g] = vec_fma(vec_set(x[k]), vec_load(last + k * VEC), r->acc[g]);
    }
}

/* Where there are fewer groups the last one is done again. */
static void codes_dot(const struct packed_matrix *m, size_t i, size_t n, const float *x, float *out)
{
    struct held h[GROUPS];
    struct run r = {.q = &m->q};
    size_t group[GROUPS];
    vec total[GROUPS];
    const size_t groups = (n + VEC - 1) / VEC;
    for (size_t g = 0; g < GROUPS; g++) {
        group[g] = i / VEC + least(g, groups - 1);
        total[g] = vec_zero();
        hold_nothing(m, &h[g]);
    }
    for (size_t k0 = 0; k0 < m->cols; k0 += SEGMENT) {
        segment_dot(m, group, k0, least(m->cols - k0, SEGMENT), h, x + k0, &r);
        for (size_t g = 0; g < GROUPS; g++)
            total[g] = vec_add(total[g], r.acc[g]);
    }
    for (size_t g = 0; g < groups; g++)
        vec_store(out + g * VEC, total[g]);
}

#endif

static void packed_init(struct packed_kernels *k)
{
    *k = (struct packed_kernels){.isa = VEC_ISA, .lanes = VEC, .codes = {.panel = codes_panel}, .rows = {.panel = rows_panel}};
#ifdef __AVX2__
    k->codes.dot = codes_dot;
    k->codes.dot_cols = GROUPS * VEC;
#endif
}
