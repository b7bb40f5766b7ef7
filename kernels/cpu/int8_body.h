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

static void sums(const int8_t *a, const struct int8_piece *piece, size_t pieces, size_t line_k, int32_t factor, int32_t *out)
{
    for (size_t p = 0; p < pieces; p++) {
        const size_t n = piece[p].lines * line_k;
        ivec sum = ivec_set(0);
        size_t i = 0;
        for (; i + VEC * 4 <= n; i += VEC * 4)
            sum = ivec_dot(sum, ivec_set(0x01010101), ivec_load(a + i), 1);
        sum = ivec_dot(sum, ivec_set(0x01010101), ivec_load_some(a + i, n - i), 1);
        out[p * INT8_GROUP] = factor * ivec_sum(sum);
        a += n;
    }
}

/* ---- Tiles ---- */

struct tile {
    const struct int8_task *t;
    const unsigned char *codes; /* of the first panel */
    size_t codes_step;          /* bytes from panel to panel */
    size_t per;                 /* lines where the matrix has one: 1, or what it was turned to */
    const float *scales;        /* times the factor; NULL: as the matrix has them */
    const int32_t *zeros;       /* the same */
    size_t scale;               /* number of the first panel's first scale */
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
    return z->scale + ((size_t)(j / PER_PANEL) * z->t->w->blocks + z->t->piece[p].block) * INT8_PANEL + (size_t)(j % PER_PANEL * VEC);
}

/* What the tile's whole numbers begin with: what the shift, or the zeros, add, negative. */
INLINE void begin(const struct tile *z, size_t p, int rows, int vecs, int ready, ivec *acc)
{
    const struct int8_matrix *w = z->t->w;
    const int32_t *sum = z->t->x.sums + int8_group_place(z->row, z->t->pieces, p);
    if (!w->zeros) {
        UNROLL for (int i = 0; i < rows; i++)
        {
            const ivec all = ivec_set(sum[i]);
            UNROLL for (int j = 0; j < vecs; j++) acc[i * vecs + j] = all;
        }
        return;
    }
    UNROLL for (int j = 0; j < vecs; j++)
    {
        const ivec zeros = ready ? ivec_load(z->zeros + scale_place(z, p, j)) : ivec_widen(w->zeros, scale_place(z, p, j), w->zero_bytes);
        UNROLL for (int i = 0; i < rows; i++) acc[i * vecs + j] = ivec_product(zeros, ivec_set(sum[i]));
    }
}

/* total = F(round(I), s, total). */
INLINE void end(const struct tile *z, size_t p, int rows, int vecs, int ready, const ivec *acc, vec *total)
{
    const struct int8_matrix *w = z->t->w;
    const float *of_rows = z->t->x.scale + int8_group_place(z->row, z->t->pieces, p);
    vec s[TILE_VECS];
    UNROLL for (int j = 0; j < vecs; j++) s[j] = ready ? vec_load(z->scales + scale_place(z, p, j))
                                                       : vec_mul(vec_scale(w->scale, w->scales, scale_place(z, p, j)), vec_set(w->factor));
    if (!z->t->x.by_piece) {
        UNROLL for (int i = 0; i < rows * vecs; i++) total[i] = vec_fma(ivec_float(acc[i]), s[i % vecs], total[i]);
        return;
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        const vec of_row = vec_set(of_rows[i]);
        UNROLL for (int j = 0; j < vecs; j++) total[i * vecs + j] =
            vec_fma(ivec_float(acc[i * vecs + j]), vec_mul(of_row, s[j]), total[i * vecs + j]);
    }
}

/* The outputs' lines are asked for long before they are written. */
INLINE void ask_for_outputs(const struct tile *z, int rows, int vecs)
{
    const float *out = z->t->out + z->row * z->t->ld + (z->panel - z->t->first) * INT8_PANEL;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vecs * VEC; j += INT8_PANEL)
        __builtin_prefetch(out + (size_t)i * z->t->ld + j, 1);
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
INLINE void products(const struct tile *z, int rows, int panels, int form, int mapped, int narrow, int ready)
{
    enum { MOST = TILE_ACC > TILE_VECS ? TILE_ACC : TILE_VECS };
    const int vecs = panels * PER_PANEL, parts = 1 << form;
    const int8_t *a = z->t->x.a + z->row * z->t->x.ld;
    const size_t ld = z->t->x.ld, step = z->codes_step;
    const ivec table = ivec_load(z->t->w->table);
    vec total[MOST];
    ask_for_outputs(z, rows, vecs);
    UNROLL for (int i = 0; i < rows * vecs; i++) total[i] = vec_zero();
    for (size_t p = 0; p < z->t->pieces; p++) {
        const unsigned char *line = z->codes + z->t->piece[p].line * z->per * INT8_LINE;
        const unsigned char *last = line + z->t->piece[p].lines * z->per * INT8_LINE;
        ivec acc[MOST];
        begin(z, p, rows, vecs, ready, acc);
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
        end(z, p, rows, vecs, ready, acc, total);
    }
    finish(z, rows, vecs, total);
}

/* The instantiation for so many rows and panels; what the registers do not hold is never asked for, nor many rows of codes. */
INLINE void products_of(const struct tile *z, size_t rows, size_t panels, int form, int mapped, int narrow, int ready)
{
#define TILE(r, p)                                                                                                                         \
    case (r)*8 + (p):                                                                                                                      \
        if ((r) <= (ready ? (int)TILE_ROWS : (int)FEW_ROWS) && (p) <= ((r) == 1 ? (int)WIDE : (int)PAIR))                                  \
            products(z, r, p, form, mapped, narrow, ready);                                                                                \
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

#define WAY(name, form, mapped, narrow, ready)                                                                                             \
    static void name(const struct tile *z, size_t rows, size_t panels)                                                                     \
    {                                                                                                                                      \
        products_of(z, rows, panels, form, mapped, narrow, ready);                                                                         \
    }
WAY(bytes, INT8_BYTES, 0, 0, 0)
WAY(bytes_ready, INT8_BYTES, 0, 0, 1)
WAY(nibbles, INT8_NIBBLES, 0, 1, 0)
WAY(nibbles_mapped, INT8_NIBBLES, 1, 0, 0)
WAY(quarters, INT8_QUARTERS, 1, 0, 0)
#if VEC_NARROW
WAY(bytes_narrow, INT8_BYTES, 0, 1, 0)
WAY(bytes_ready_narrow, INT8_BYTES, 0, 1, 1)
WAY(nibbles_mapped_narrow, INT8_NIBBLES, 1, 1, 0)
WAY(quarters_narrow, INT8_QUARTERS, 1, 1, 0)
#else
#define bytes_narrow          bytes
#define bytes_ready_narrow    bytes_ready
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

/* What many rows share of some panels: their bytes, scales and zeros, one panel after the other. */
struct ready {
    size_t panels; /* at a time; 0: rows are few */
    size_t codes;  /* bytes of a panel; 0: they are bytes already */
    size_t places; /* scales of a panel */
};

static struct ready ready_for(const struct int8_task *t)
{
    const struct int8_matrix *w = t->w;
    struct ready r = {.places = w->blocks * INT8_PANEL};
    if (t->rows <= FEW_ROWS)
        return r;
    const size_t codes = w->lines * INT8_LINE << w->form, bytes = codes + r.places * sizeof(float);
    r.codes = w->form == INT8_BYTES ? 0 : codes;
    const size_t fit = BYTES_AT_ONCE / bytes / WIDE * WIDE, all = t->end - t->first;
    r.panels = fit < WIDE ? WIDE : fit;
    r.panels = r.panels < all ? r.panels : all;
    return r;
}

static size_t work(const struct int8_task *t)
{
    const struct ready r = ready_for(t);
    return r.panels * (r.codes + r.places * (sizeof(float) + (t->w->zeros ? sizeof(int32_t) : 0)));
}

/* How many of n panels the next tile of so many rows takes. */
static size_t tile_panels(size_t n, size_t rows)
{
    const size_t most = rows == 1 ? WIDE : PAIR;
    return n < most ? 1 : most;
}

static void few_rows(const struct int8_task *t)
{
    const struct int8_matrix *w = t->w;
    void (*const way)(const struct tile *z, size_t rows, size_t panels) = way_of[w->form][w->mapped][w->narrow];
    for (size_t i = 0, rows; i < t->rows; i += rows) {
        rows = tile_rows(t->rows - i);
        for (size_t p = t->first, n; p < t->end; p += n) {
            const struct tile z = {.t = t,
                                   .codes = w->codes + p * w->lines * INT8_LINE,
                                   .codes_step = w->lines * INT8_LINE,
                                   .per = 1,
                                   .scale = p * w->blocks * INT8_PANEL,
                                   .row = i,
                                   .panel = p};
            n = tile_panels(t->end - p, rows);
            way(&z, rows, n);
        }
    }
}

/* Makes n panels ready, from z->panel on. */
static void make_ready(struct tile *z, const struct ready *r, size_t n, unsigned char *scratch)
{
    const struct int8_matrix *w = z->t->w;
    const size_t first = z->panel * r->places, places = n * r->places;
    float *scales = (float *)(void *)(scratch + r->panels * r->codes);
    int32_t *zeros = (int32_t *)(void *)(scales + r->panels * r->places);
    for (size_t i = 0; i < places; i += VEC)
        vec_store(scales + i, vec_mul(vec_scale(w->scale, w->scales, first + i), vec_set(w->factor)));
    for (size_t i = 0; i < places && w->zeros; i += VEC)
        ivec_store(zeros + i, ivec_widen(w->zeros, first + i, w->zero_bytes));
    for (size_t i = 0; i < n && r->codes; i++)
        turn(w, z->panel + i, scratch + i * r->codes);
    z->codes_step = r->codes ? r->codes : w->lines * INT8_LINE;
    z->per = (size_t)1 << w->form;
    z->scales = scales;
    z->zeros = w->zeros ? zeros : NULL;
}

static void many_rows(const struct int8_task *t, const struct ready *r, unsigned char *scratch)
{
    void (*const way)(const struct tile *z, size_t rows, size_t panels) = t->w->narrow ? bytes_ready_narrow : bytes_ready;
    for (size_t first = t->first, n; first < t->end; first += n) {
        struct tile z = {.t = t, .panel = first};
        n = r->panels < t->end - first ? r->panels : t->end - first;
        make_ready(&z, r, n, scratch);
        for (size_t rows; z.row < t->rows; z.row += rows) {
            rows = tile_rows(t->rows - z.row);
            for (size_t p = 0, panels; p < n; p += panels) {
                panels = tile_panels(n - p, rows);
                z.panel = first + p;
                z.codes = (r->codes ? scratch : t->w->codes + first * z.codes_step) + p * z.codes_step;
                z.scale = p * r->places;
                way(&z, rows, panels);
            }
        }
    }
}

static void product(const struct int8_task *t, unsigned char *scratch)
{
    const struct ready r = ready_for(t);
    if (r.panels)
        many_rows(t, &r, scratch);
    else
        few_rows(t);
}

static void int8_init(struct int8_kernels *k)
{
    *k = (struct int8_kernels){.isa = INT8_ISA, .quantize = quantize, .sums = sums, .work = work, .product = product};
}

#endif
