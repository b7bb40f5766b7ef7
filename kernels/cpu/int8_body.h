/* SPDX-License-Identifier: MIT */
/* int8_body.h - the text of int8_*.c: quantization, and products in tiles of outputs that stay in registers over all of k. Many rows share the
 * weights of some panels that were turned to bytes beforehand, a piece of the second-level cache; few rows take them as they are. */
#ifndef LB_INT8_BODY_H
#define LB_INT8_BODY_H

#include "kernels/cpu/gemm_micro.h"
#include "kernels/cpu/int8_lanes.h"

#ifdef __AVX512VNNI__
#define INT8_ISA "vnni"
#else
#define INT8_ISA VEC_ISA
#endif

enum {
    PER_PANEL = INT8_PANEL / VEC, /* vectors */
    WIDE = VEC == 16 ? 4 : 1,     /* panels of a tile with one row; */
    PAIR = VEC == 16 ? 2 : 1,     /* with more */
    TILE_ROWS = VEC == 16  ? 6
                : VEC == 8 ? 3
                           : 2,
    FEW_ROWS = VEC == 16 ? 4 : TILE_ROWS, /* that take codes as they are */
    TILE_VECS = WIDE * PER_PANEL > PAIR *PER_PANEL ? WIDE *PER_PANEL : PAIR *PER_PANEL,
    TILE_ACC = TILE_ROWS * PAIR * PER_PANEL,
    AHEAD = 512,              /* bytes of codes between asking for a line and using it */
    BYTES_AT_ONCE = 256 << 10 /* of weights that were turned */
};

/* ---- Quantization ---- */

static float largest(const float *x, size_t n)
{
    vec most = vec_zero();
    float lane[VEC], amax = 0;
    for (size_t i = 0; i < n; i += VEC) {
        const vec b = vec_abs(n - i < VEC ? vec_load_masked(x + i, vec_first(n - i)) : vec_load(x + i));
        most = vec_select(vec_less(most, b), b, most);
    }
    vec_store(lane, most);
    for (int j = 0; j < VEC; j++)
        amax = lane[j] > amax ? lane[j] : amax;
    return amax;
}

/* Two numbers that become the same integer are as good as equal: x / s is divided only where x times `inverse` is too near to the middle between two, at
 * most 128 x 2^-22 from it. */
INLINE vec quotient(vec x, vec s, vec inverse)
{
    const vec t = vec_mul(x, inverse);
    const vec apart = vec_abs(vec_sub(t, vec_whole(t)));
    return vec_any(vec_less(vec_set(0.4999f), apart)) ? vec_div(x, s) : t;
}

/* n numbers with the scale s. */
static void to_integers(const float *x, size_t n, float s, int8_t *a)
{
    const int divide = s < 0x1p-100f || s > 0x1p100f; /* the inverse would not be as exact */
    const vec scale = vec_set(s), inverse = vec_set(1 / s);
    for (size_t i = 0; i < n; i += VEC) {
        const size_t left = n - i;
        const vec v = left < VEC ? vec_load_masked(x + i, vec_first(left)) : vec_load(x + i);
        vec_store_int8(a + i, left, divide ? vec_div(v, scale) : quotient(v, scale, inverse));
    }
}

static void quantize(const float *x, size_t n, size_t block, float *scale, int8_t *a)
{
    for (size_t k = 0; k < n; k += block, scale++) {
        const size_t count = n - k < block ? n - k : block;
        *scale = canon_div(largest(x + k, count), 127.0f);
        if (*scale == 0)
            memset(a + k, 0, count);
        else
            to_integers(x + k, count, *scale, a + k);
    }
}

static void sums(const int8_t *a, const struct int8_piece *piece, size_t pieces, size_t line_k, int32_t *out)
{
    for (size_t p = 0; p < pieces; p++) {
        const size_t n = piece[p].lines * line_k;
        ivec sum = ivec_set(0);
        size_t i = 0;
        for (; i + VEC * 4 <= n; i += VEC * 4)
            sum = ivec_dot(sum, ivec_set(0x01010101), ivec_load(a + i), 1);
        sum = ivec_dot(sum, ivec_set(0x01010101), ivec_load_some(a + i, n - i), 1);
        out[p] = ivec_sum(sum);
        a += n;
    }
}

/* ---- Tiles ---- */

struct tile {
    const struct int8_task *t;
    const unsigned char *codes; /* of the first panel */
    size_t codes_step;          /* from panel to panel */
    size_t per;                 /* lines where the matrix has one: 1, or what it was turned to */
    size_t row, panel;
};

/* Takes the bytes of four consecutive k from one line's codes, part by part. */
INLINE ivec take(ivec line, ivec table, int form, int mapped, int part)
{
    if (form == INT8_BYTES)
        return line;
    const int mask = form == INT8_NIBBLES ? 0x0f0f0f0f : 0x03030303;
    const ivec shifted = part == 0              ? line
                         : form == INT8_NIBBLES ? ivec_right(line, 4)
                         : part == 1            ? ivec_right(line, 2)
                         : part == 2            ? ivec_right(line, 4)
                                                : ivec_right(line, 6);
    const ivec code = ivec_and(shifted, ivec_set(mask));
    return mapped ? ivec_look_up(table, code) : code;
}

/* Where the scales and zeros of vector j of a tile are in piece p. */
INLINE size_t scale_place(const struct tile *z, size_t p, int j)
{
    const size_t panel = z->panel + (size_t)(j / PER_PANEL);
    return (panel * z->t->w->blocks + z->t->piece[p].block) * INT8_PANEL + (size_t)(j % PER_PANEL * VEC);
}

/* What the tile's whole numbers begin with: what the shift, or the zeros, add, negative. */
INLINE void begin(const struct tile *z, size_t p, int rows, int vecs, ivec *acc)
{
    const struct int8_matrix *w = z->t->w;
    const int32_t *sum = z->t->x.sums + z->row * z->t->pieces + p;
    if (!w->zeros) {
        UNROLL for (int i = 0; i < rows; i++, sum += z->t->pieces)
        {
            const ivec all = ivec_set(-w->shift * *sum);
            UNROLL for (int j = 0; j < vecs; j++) acc[i * vecs + j] = all;
        }
        return;
    }
    UNROLL for (int j = 0; j < vecs; j++)
    {
        const ivec zeros = ivec_widen(w->zeros, scale_place(z, p, j), w->zero_bytes);
        UNROLL for (int i = 0; i < rows; i++) acc[i * vecs + j] = ivec_minus_product(zeros, ivec_set(sum[(size_t)i * z->t->pieces]));
    }
}

/* total = F(round(I), s, total). */
INLINE void end(const struct tile *z, size_t p, int rows, int vecs, const ivec *acc, vec *total)
{
    const struct int8_matrix *w = z->t->w;
    const float *of_rows = z->t->x.scale + z->row * z->t->pieces + p;
    vec s[TILE_VECS];
    UNROLL for (int j = 0; j < vecs; j++) s[j] = vec_mul(vec_scale(w->scale, w->scales, scale_place(z, p, j)), vec_set(w->factor));
    if (!z->t->x.by_piece) {
        UNROLL for (int i = 0; i < rows * vecs; i++) total[i] = vec_fma(ivec_float(acc[i]), s[i % vecs], total[i]);
        return;
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        const vec of_row = vec_set(of_rows[(size_t)i * z->t->pieces]);
        UNROLL for (int j = 0; j < vecs; j++) total[i * vecs + j] =
            vec_fma(ivec_float(acc[i * vecs + j]), vec_mul(of_row, s[j]), total[i * vecs + j]);
    }
}

/* Scale of the row, bias, and out. */
INLINE void finish(const struct tile *z, int rows, int vecs, const vec *total)
{
    const struct int8_task *t = z->t;
    const size_t first = z->panel * INT8_PANEL;
    UNROLL for (int j = 0; j < vecs; j++)
    {
        const size_t at = first + (size_t)j * VEC, left = at < t->w->rows ? t->w->rows - at : 0;
        const vec_mask some = vec_first(left < VEC ? left : VEC);
        UNROLL for (int i = 0; i < rows; i++)
        {
            const size_t row = z->row + (size_t)i;
            vec v = total[i * vecs + j];
            if (!t->x.by_piece)
                v = vec_mul(v, vec_set(t->x.scale[row]));
            if (t->bias && left)
                v = vec_add(v, vec_load_masked(t->bias + at, some));
            if (left)
                vec_store_masked(t->out + row * t->ld + (at - t->first * INT8_PANEL), some, vec_nan(v));
        }
    }
}

/* One tile over all of k. */
INLINE void products(const struct tile *z, int rows, int panels, int form, int mapped, int narrow)
{
    enum { MOST = TILE_ACC > TILE_VECS ? TILE_ACC : TILE_VECS };
    const int vecs = panels * PER_PANEL, parts = 1 << form;
    const int8_t *a = z->t->x.a + z->row * z->t->x.ld;
    const size_t ld = z->t->x.ld, step = z->codes_step;
    const ivec table = ivec_load(z->t->w->table);
    vec total[MOST];
    UNROLL for (int i = 0; i < rows * vecs; i++) total[i] = vec_zero();
    for (size_t p = 0; p < z->t->pieces; p++) {
        const unsigned char *line = z->codes + z->t->piece[p].line * z->per * INT8_LINE;
        const unsigned char *last = line + z->t->piece[p].lines * z->per * INT8_LINE;
        ivec acc[MOST];
        begin(z, p, rows, vecs, acc);
        for (; line < last; line += INT8_LINE, a += 4 * parts) {
            ivec codes[TILE_VECS];
            UNROLL for (int j = 0; j < vecs; j++)
            {
                const unsigned char *at = line + (size_t)(j / PER_PANEL) * step + j % PER_PANEL * VEC * 4;
                if (form != INT8_BYTES && j % PER_PANEL == 0)
                    __builtin_prefetch(at + AHEAD);
                codes[j] = ivec_load(at);
            }
            UNROLL for (int q = 0; q < parts; q++)
            {
                ivec u[TILE_VECS];
                UNROLL for (int j = 0; j < vecs; j++) u[j] = take(codes[j], table, form, mapped, q);
                UNROLL for (int i = 0; i < rows; i++)
                {
                    const ivec quad = ivec_quad(a + (size_t)i * ld + 4 * q);
                    UNROLL for (int j = 0; j < vecs; j++) acc[i * vecs + j] = ivec_dot(acc[i * vecs + j], u[j], quad, narrow);
                }
            }
        }
        end(z, p, rows, vecs, acc, total);
    }
    finish(z, rows, vecs, total);
}

/* The instantiation for so many rows and panels; what the registers do not hold is never asked for, nor many rows of codes. */
INLINE void products_of(const struct tile *z, size_t rows, size_t panels, int form, int mapped, int narrow)
{
#define TILE(r, p)                                                                                                                         \
    case (r)*8 + (p):                                                                                                                      \
        if ((r) <= (form == INT8_BYTES ? (int)TILE_ROWS : (int)FEW_ROWS) && (p) <= ((r) == 1 ? (int)WIDE : (int)PAIR))                     \
            products(z, r, p, form, mapped, narrow);                                                                                       \
        return
    switch (rows * 8 + panels) {
        TILE(1, 1);
        TILE(1, 2);
        TILE(1, 4);
        TILE(2, 1);
        TILE(2, 2);
        TILE(3, 1);
        TILE(4, 1);
        TILE(4, 2);
        TILE(6, 1);
        TILE(6, 2);
    }
#undef TILE
}

/* How many of so many rows the next tile has. */
static size_t tile_rows(size_t left)
{
    static const size_t some[] = {0, 1, 2, VEC == 8 ? 3 : 2, 4, 4, 6};
    return some[left < TILE_ROWS ? left : TILE_ROWS];
}

#define WAY(name, form, mapped, narrow)                                                                                                    \
    static void name(const struct tile *z, size_t rows, size_t panels)                                                                     \
    {                                                                                                                                      \
        products_of(z, rows, panels, form, mapped, narrow);                                                                                \
    }
WAY(bytes, INT8_BYTES, 0, 0)
WAY(nibbles, INT8_NIBBLES, 0, 1)
WAY(nibbles_mapped, INT8_NIBBLES, 1, 0)
WAY(quarters, INT8_QUARTERS, 1, 0)
#if VEC_NARROW
WAY(bytes_narrow, INT8_BYTES, 0, 1)
WAY(nibbles_mapped_narrow, INT8_NIBBLES, 1, 1)
WAY(quarters_narrow, INT8_QUARTERS, 1, 1)
#else
#define bytes_narrow          bytes
#define nibbles_mapped_narrow nibbles_mapped
#define quarters_narrow       quarters
#endif
#undef WAY

/* By form, mapped and narrow; nibbles that are not mapped are narrow. */
static void (*const way_of[3][2][2])(const struct tile *z, size_t rows,
                                     size_t panels) = {{{bytes, bytes_narrow}, {bytes, bytes_narrow}},
                                                       {{nibbles, nibbles}, {nibbles_mapped, nibbles_mapped_narrow}},
                                                       {{quarters, quarters_narrow}, {quarters, quarters_narrow}}};

/* ---- The product ---- */

/* Panel `panel` as bytes. */
INLINE void turn_form(const struct int8_matrix *w, size_t panel, unsigned char *out, int form)
{
    const unsigned char *in = w->codes + panel * w->lines * INT8_LINE;
    const ivec table = ivec_load(w->table);
    for (size_t l = 0; l < w->lines; l++, in += INT8_LINE)
        UNROLL for (int q = 0; q < 1 << form; q++, out += INT8_LINE)
        {
            UNROLL for (int j = 0; j < PER_PANEL; j++) ivec_store(out + j * VEC * 4, take(ivec_load(in + j * VEC * 4), table, form, 1, q));
        }
}

static void turn(const struct int8_matrix *w, size_t panel, unsigned char *out)
{
    if (w->form == INT8_NIBBLES)
        turn_form(w, panel, out, INT8_NIBBLES);
    else
        turn_form(w, panel, out, INT8_QUARTERS);
}

static int turned(const struct int8_task *t)
{
    return t->w->form != INT8_BYTES && t->rows > FEW_ROWS;
}

/* A panel's bytes, and how many panels are done together. */
static size_t turned_bytes(const struct int8_matrix *w)
{
    return w->lines * INT8_LINE << w->form;
}

static size_t together(const struct int8_task *t)
{
    const size_t fit = BYTES_AT_ONCE / (turned_bytes(t->w) + 1) / WIDE * WIDE, all = t->end - t->first;
    const size_t n = fit < WIDE ? WIDE : fit;
    return n < all ? n : all;
}

static size_t work(const struct int8_task *t)
{
    return turned(t) ? together(t) * turned_bytes(t->w) : 0;
}

/* All rows of panels first .. end - 1. */
static void panels_product(struct tile *z, size_t first, size_t end)
{
    const struct int8_matrix *w = z->t->w;
    void (*const way)(const struct tile *z, size_t rows, size_t panels) = way_of[z->per > 1 ? INT8_BYTES : w->form][w->mapped][w->narrow];
    const unsigned char *codes = z->codes;
    const size_t rows = z->t->rows, most = rows == 1 ? WIDE : PAIR;
    for (size_t i = 0, n; i < rows; i += n) {
        n = tile_rows(rows - i);
        z->row = i;
        for (size_t p = first, m; p < end; p += m) {
            m = end - p < most ? 1 : most;
            z->panel = p;
            z->codes = codes + (p - first) * z->codes_step;
            way(z, n, m);
        }
    }
}

static void product(const struct int8_task *t, unsigned char *scratch)
{
    const struct int8_matrix *w = t->w;
    const size_t panel_bytes = w->lines * INT8_LINE;
    const int turning = turned(t);
    for (size_t p = t->first, n; p < t->end; p += n) {
        struct tile z = {.t = t, .codes = w->codes + p * panel_bytes, .codes_step = panel_bytes, .per = 1};
        n = t->end - p < together(t) ? t->end - p : together(t);
        if (turning) {
            for (size_t i = 0; i < n; i++)
                turn(w, p + i, scratch + i * turned_bytes(w));
            z.codes = scratch;
            z.codes_step = turned_bytes(w);
            z.per = (size_t)1 << w->form;
        }
        panels_product(&z, p, p + n);
    }
}

static void int8_init(struct int8_kernels *k)
{
    *k = (struct int8_kernels){.isa = INT8_ISA, .quantize = quantize, .sums = sums, .work = work, .product = product};
}

#endif
