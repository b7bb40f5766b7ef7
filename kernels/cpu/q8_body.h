/* SPDX-License-Identifier: MIT */
/* q8_body.h - the text of q8_*.c: tiles of sums that stay in registers over all of k, then lie in the first cache until they are rounded. */
#ifndef LB_Q8_BODY_H
#define LB_Q8_BODY_H

#include "kernels/cpu/q8_pack.h"

#ifdef __AVX512VNNI__
#define Q8_ISA "vnni"
#else
#define Q8_ISA VEC_ISA
#endif

enum {
    PER_PANEL = Q8_PANEL / VEC, /* vectors */
    /* Rows of a tile of four, two panels or one; 0: none is that wide. */
    ROWS_4 = VEC == 16  ? 6
             : VEC == 8 ? 1
                        : 0,
    ROWS_2 = VEC == 16  ? 8
             : VEC == 8 ? 2
                        : 0,
    ROWS_1 = VEC == 16  ? 14
             : VEC == 8 ? 4
                        : 2,
    MOST_ACC = VEC == 16 ? 4 * ROWS_4 : ROWS_1 * PER_PANEL,
    MANY_LINES = 64, /* a tile of so many takes longer than memory */
};

/* ---- Tiles ---- */

struct tile {
    const struct q8_task *t;
    const unsigned char *a;
    const int8_t *w; /* of the first panel */
    size_t step;     /* bytes from line to line */
    const int32_t *start;
    int32_t *sums; /* (rows, panels, 16) */
};

/* `is_signed`: what lies at a. */
INLINE ivec quad(const unsigned char *a, int is_signed)
{
    int32_t x;
    memcpy(&x, a, sizeof x);
    return is_signed ? ivec_xor(ivec_set(x), ivec_set((int32_t)0x80808080)) : ivec_set(x);
}

INLINE void products(const struct tile *z, int rows, int panels, int is_signed)
{
    const int vecs = panels * PER_PANEL;
    const struct q8_task *t = z->t;
    const size_t ld = t->ld, step = z->step;
    const uint32_t *at = t->at, *end = at + t->lines;
    const unsigned char *first = z->a;
    const int8_t *w = z->w;
    int32_t *sums = z->sums;
    ivec acc[MOST_ACC];
    UNROLL for (int j = 0; j < vecs; j++)
    {
        const ivec start = ivec_load(z->start + (size_t)j * VEC);
        UNROLL for (int i = 0; i < rows; i++) acc[i * vecs + j] = start;
    }
    for (; at < end; at++, w += step) {
        const unsigned char *a = first + *at;
        ivec line[VEC == 16 ? 4 : 8];
        UNROLL for (int j = 0; j < vecs; j++) line[j] = ivec_load(w + (size_t)j * VEC * 4);
        UNROLL for (int i = 0; i < rows; i++)
        {
            const ivec q = quad(a + (size_t)i * ld, is_signed);
            UNROLL for (int j = 0; j < vecs; j++) acc[i * vecs + j] = q8_dot(acc[i * vecs + j], q, line[j]);
        }
    }
    UNROLL for (int i = 0; i < rows * vecs; i++) ivec_store(sums + (size_t)i * VEC, acc[i]);
}

#define TILE(r, p)                                                                                                                         \
    static void tile_##r##_##p(const struct tile *z)                                                                                       \
    {                                                                                                                                      \
        products(z, r, p, 0);                                                                                                              \
    }                                                                                                                                      \
    static void signed_##r##_##p(const struct tile *z)                                                                                     \
    {                                                                                                                                      \
        products(z, r, p, 1);                                                                                                              \
    }
#define BOTH(r, p) {tile_##r##_##p, signed_##r##_##p},
typedef void (*const tile_of[2])(const struct tile *z); /* unsigned, signed */

/* The tiles of one, two and four panels, from one row on. */
#if defined(__AVX512VNNI__)
#define EACH_1(x) x(1, 1) x(2, 1) x(3, 1) x(4, 1) x(5, 1) x(6, 1) x(7, 1) x(8, 1) x(9, 1) x(10, 1) x(11, 1) x(12, 1) x(13, 1) x(14, 1)
#define EACH_2(x) x(1, 2) x(2, 2) x(3, 2) x(4, 2) x(5, 2) x(6, 2) x(7, 2) x(8, 2)
#define EACH_4(x) x(1, 4) x(2, 4) x(3, 4) x(4, 4) x(5, 4) x(6, 4)
#elif defined(__AVX2__)
#define EACH_1(x) x(1, 1) x(2, 1) x(3, 1) x(4, 1)
#define EACH_2(x) x(1, 2) x(2, 2)
#define EACH_4(x) x(1, 4)
#else
#define EACH_1(x) x(1, 1) x(2, 1)
#endif
EACH_1(TILE)
static tile_of tiles_1[] = {EACH_1(BOTH)};
#ifdef __AVX2__
EACH_2(TILE)
EACH_4(TILE)
static tile_of tiles_2[] = {EACH_2(BOTH)};
static tile_of tiles_4[] = {EACH_4(BOTH)};
#else
#define tiles_2 tiles_1 /* there are none */
#define tiles_4 tiles_1
#endif
#undef BOTH
#undef TILE

/* The rows of a tile of so many panels. */
static size_t tile_rows(size_t panels)
{
    return panels == 4 ? ROWS_4 : panels == 2 ? ROWS_2 : ROWS_1;
}

static void run_tile(const struct tile *z, size_t rows, size_t panels)
{
    const int flip = z->t->flip != 0;
    if (panels == 4)
        tiles_4[rows - 1][flip](z);
    else if (panels == 2)
        tiles_2[rows - 1][flip](z);
    else
        tiles_1[rows - 1][flip](z);
}

/* ---- What becomes of the sums ---- */

INLINE void requantize_some(const int32_t *v, size_t n, const double *f, int one, const struct q8_held *h, int small, unsigned char *y)
{
    size_t i = 0;
    const size_t step = one ? 0 : 16;
    for (; i + 64 <= n; i += 64) {
        const struct q8_four q = {v + i, one ? f : f + i, y + i, 16, step, 16};
        q8_store_four(&q, h, small);
    }
    for (; i < n; i += 16) {
        int32_t some[16] = {0};
        memcpy(some, v + i, (n - i < 16 ? n - i : 16) * sizeof *some);
        q8_store(some, one ? f : f + i, h, small, y + i, n - i);
    }
}

static void requantize(const int32_t *v, size_t n, const double *f, int one, const struct q8_out *o, unsigned char *y)
{
    const struct q8_held h = q8_held_of(o);
    if (o->small)
        requantize_some(v, n, f, one, &h, 1, y);
    else
        requantize_some(v, n, f, one, &h, 0, y);
}

/* Takes zeros[j] sums[i] away. */
static void take_zeros(int32_t *v, size_t rows, size_t width, const int32_t *zeros, const int32_t *sums)
{
    for (size_t i = 0; i < rows; i++, v += width)
        for (size_t j = 0; j < width; j++)
            v[j] = (int32_t)((uint32_t)v[j] - (uint32_t)zeros[j] * (uint32_t)sums[i]);
}

/* Rows of sums, `width` apart, n of each, as bytes: now four neighbours of a row at a time, now four rows. */
INLINE void store_bytes(const int32_t *v, size_t rows, size_t width, size_t n, const double *f, const struct q8_held *h, int small,
                        unsigned char *y, size_t ld)
{
    size_t j = 0;
    for (; j + 64 <= n; j += 64)
        for (size_t i = 0; i < rows; i++) {
            const struct q8_four q = {v + i * width + j, f + j, y + i * ld + j, 16, 16, 16};
            q8_store_four(&q, h, small);
        }
    for (; j < n; j += 16) {
        size_t i = 0;
        for (size_t next; i + 1 < rows && rows >= 4 && n - j >= 16; i = next) {
            next = i + 4 < rows ? i + 4 : rows; /* the last four may begin within those before */
            i = next - 4;
            const struct q8_four q = {v + i * width + j, f + j, y + i * ld + j, width, 0, ld};
            q8_store_four(&q, h, small);
        }
        for (; i < rows; i++)
            q8_store(v + i * width + j, f + j, h, small, y + i * ld + j, n - j);
    }
}

static void copy_sums(const int32_t *v, size_t n, int32_t *c)
{
    size_t j = 0;
    for (; j + VEC <= n; j += VEC)
        ivec_store(c + j, ivec_load(v + j));
    memcpy(c + j, v + j, (n - j) * sizeof *v);
}

/* To c, at element `at`. */
static void store(const struct q8_task *t, const int32_t *v, size_t rows, size_t width, size_t n, const double *f, size_t at)
{
    if (t->out.bytes == 4) {
        for (size_t i = 0; i < rows; i++)
            copy_sums(v + i * width, n, (int32_t *)t->c + at + i * t->ldc);
        return;
    }
    const struct q8_held h = q8_held_of(&t->out);
    if (t->out.small)
        store_bytes(v, rows, width, n, f, &h, 1, (unsigned char *)t->c + at, t->ldc);
    else
        store_bytes(v, rows, width, n, f, &h, 0, (unsigned char *)t->c + at, t->ldc);
}

/* The outputs' lines are asked for long before they are written. */
static void ask_for_outputs(const struct q8_task *t, size_t rows, size_t n, size_t at)
{
    const char *c = (const char *)t->c + at * t->out.bytes;
    for (size_t i = 0; i < rows; i++, c += t->ldc * t->out.bytes)
        for (size_t j = 0; j < n * t->out.bytes; j += 64)
            __builtin_prefetch(c + j, 1);
}

/* ---- The product ---- */

/* All rows h of the panels at `place` (counted from `first`), `panels` of them together, of a group of `group`. */
static void some_rows(const struct q8_task *t, size_t h, struct tile *z, size_t place, size_t panels)
{
    const size_t most = tile_rows(panels), tiles = (t->rows + most - 1) / most;
    const size_t at = place * Q8_PANEL, width = panels * Q8_PANEL, n = t->n - at < width ? t->n - at : width;
    const size_t least = t->rows / tiles, more = t->rows % tiles;
    for (size_t i = 0, tile = 0, rows; tile < tiles; tile++, i += rows) {
        rows = least + (tile < more);
        if (t->lines > MANY_LINES)
            ask_for_outputs(t, rows, n, h * t->outer_ldc + i * t->ldc + at);
        z->a = t->a + h * t->outer_ld + i * t->ld;
        run_tile(z, rows, panels);
        if (t->zeros)
            take_zeros(z->sums, rows, width, t->zeros + at, t->sums + h * t->rows + i);
        store(t, z->sums, rows, width, n, t->f ? t->f + at : NULL, h * t->outer_ldc + i * t->ldc + at);
    }
}

static void product(const struct q8_task *t)
{
    _Alignas(64) int32_t sums[MOST_ACC * VEC];
    for (size_t p = t->first, first, group; p < t->end; p = first + group) {
        group = q8_group(p, t->panels, &first);
        const size_t together = VEC == 16 || t->rows <= tile_rows(group) ? group : 1; /* many rows are better off with many */
        for (size_t j = 0; j < group; j += together) {
            const size_t place = p + j - t->first;
            struct tile z = {.t = t,
                             .w = t->w + ((p - t->first) * t->lines + j) * Q8_LINE,
                             .step = group * Q8_LINE,
                             .start = t->start + place * Q8_PANEL,
                             .sums = sums};
            for (size_t h = 0; h < t->outers && place * Q8_PANEL < t->n; h++)
                some_rows(t, h, &z, place, together);
        }
    }
}

/* ---- Weights ---- */

static void unpack(const unsigned char *restrict codes, size_t lines, size_t panels, unsigned char flip, const int8_t *restrict sub,
                   int8_t *restrict w)
{
    for (size_t l = 0; l < lines; l++)
        for (size_t p = 0; p < panels; p++, codes += Q8_LINE / 2, w += Q8_LINE) {
            const int8_t *s = sub + p * Q8_LINE;
            for (size_t i = 0; i < Q8_LINE / 2; i++)
                w[i] = (int8_t)(((codes[i] & 15) ^ flip) - s[i]);
            for (size_t i = 0; i < Q8_LINE / 2; i++)
                w[i + Q8_LINE / 2] = (int8_t)(((codes[i] >> 4) ^ flip) - s[i + Q8_LINE / 2]);
        }
}

static void q8_init(struct q8_kernels *k)
{
    *k = (struct q8_kernels){.isa = Q8_ISA, .product = product, .requantize = requantize, .unpack = unpack, .pack = pack};
}

#endif
