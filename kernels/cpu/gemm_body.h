/* SPDX-License-Identifier: MIT */
/* gemm_body.h - the text of gemm.h's kernels.
 *
 *     for each block of columns, for each chunk of k (whole segments)
 *         y's block is packed into panels:     panel[k][columns], in the second-level cache
 *         for each tile of rows, for each segment of the chunk
 *             for each panel: the micro-kernel adds the chains of one segment to the totals of rows x columns outputs
 *         the last chunk's totals are finished: bias, activation, NaN
 *
 * Totals wait between the segments of a chunk in `sum`, between chunks in the output. x is read where it lies, unless its rows fall on each
 * other in the first-level cache: then a tile of it is copied first. Few rows times a y that is not by_k go another way: gemm_lanes.h. */
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_lanes.h"
#include "kernels/cpu/gemm_micro.h"
#include "kernels/cpu/gemm_pack.h"
#include "kernels/cpu/vec.h"

enum {
    SEGMENT = 256,
    X_ROW = SEGMENT + 16, /* of a copied tile[row][k]: neighbouring rows fall into different sets of the cache */
    X_K = VEC,            /* of a copied tile[k][row] */
    X_TILE = X_K * X_ROW,
    CONFLICT = 1024,   /* bytes: rows that are a multiple of this apart fall into few sets of the cache */
    AHEAD = 64,        /* products between asking for an element of x and using it */
    BLOCK = 128 << 10, /* floats of y's block: half of a second-level cache of 1 MB */
    BLOCK_COLS = 128,  /* of y's block, where k is large */
    MOST_COLS = 512,   /* where k is small */
    DOT_ROWS = 3,      /* up to so many rows decoding for each of them is cheaper than a panel */
    DIRECT_TILES = 6   /* up to so many tiles of rows it is not worth while to pack a y that is by_k */
};

enum { LINEAR, RELU, SCALED_RELU, SIGMOID, TANH };

/* ---- How a task is cut ---- */

struct plan {
    const struct gemm_task *t;
    int lanes;    /* gemm_lanes.h */
    int dot;      /* the source of y makes the product itself */
    size_t tiles; /* of rows, as even as can be */
    int panel;    /* logarithm of the vectors of a panel */
    size_t panel_cols;
    size_t block_cols; /* of y's block; a multiple of panel_cols */
    size_t chunk;      /* of k; a multiple of SEGMENT */
    int copy_x;
    int pack_y;
    int plain;          /* nothing is done to the totals in the end: whole panels of them go to the output at once */
    float *y, *x, *sum; /* y: of lanes, x in their order */
};

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct plan cut(const struct gemm_task *t)
{
    struct plan p = {.t = t, .dot = t->y.source && t->y.source->dot && t->rows <= DOT_ROWS};
    p.lanes = !t->y.source && !t->y.by_k && t->rows <= LANE_ROWS && t->cols >= STRIP && t->k >= STRIP_K;
    p.tiles = (t->rows + MAX_ROWS - 1) / MAX_ROWS;
    const size_t rows = p.tiles ? (t->rows + p.tiles - 1) / p.tiles : 0; /* of the largest tile */
    p.panel = rows * 8 <= MAX_ACC ? 3 : rows * 4 <= MAX_ACC ? 2 : 1;
    p.panel_cols = p.lanes ? LANE_COLS : p.dot ? t->y.source->dot_cols : (size_t)VEC << p.panel;
    p.copy_x = t->x.ld * sizeof(float) % CONFLICT == 0 && t->k > 16;
    p.plain = !t->trans && !t->bias && t->act == LINEAR;
    p.pack_y = t->y.source || !t->y.by_k || p.tiles > DIRECT_TILES;
    const size_t wide = t->k ? BLOCK / t->k / p.panel_cols * p.panel_cols : 0;
    p.block_cols = least(round_up(t->cols ? t->cols : 1, p.panel_cols), wide > BLOCK_COLS ? least(wide, MOST_COLS) : BLOCK_COLS);
    const size_t segments = least((t->k + SEGMENT - 1) / SEGMENT, BLOCK / (p.block_cols * SEGMENT));
    p.chunk = SEGMENT * (segments ? segments : 1);
    return p;
}

static size_t block_size(const struct plan *p)
{
    return round_up(p->lanes || p->dot ? p->t->rows * p->t->k : p->block_cols * least(p->chunk, p->t->k), 16);
}

static size_t work(const struct gemm_task *t)
{
    const struct plan p = cut(t);
    return block_size(&p) + X_TILE + MAX_ROWS * p.block_cols;
}

/* The part of a product that is at hand: rows of one tile, columns of one block, k of one chunk. */
struct part {
    size_t i0, ni, j0, nj, k0, nk;
};

/* ---- Packing ---- */

/* to (nk, width) = columns j0 .. j0 + n - 1 of y at k0 .. k0 + nk - 1; columns up to width are 0. */
static void pack_by_k(const struct gemm_factor *y, size_t j0, size_t n, size_t k0, size_t nk, float *to, size_t width)
{
    for (size_t k = 0; k < nk; k++, to += width) {
        const float *from = y->p + (k0 + k) * y->ld + j0;
        size_t j = 0;
        for (; j + VEC <= n; j += VEC)
            vec_store(to + j, vec_load(from + j));
        for (; j < width; j += VEC)
            vec_store(to + j, j < n ? vec_load_masked(from + j, vec_first(n - j)) : vec_zero());
    }
}

static void pack_panel(const struct plan *p, size_t j0, size_t n, size_t k0, size_t nk, float *to)
{
    const struct gemm_factor *y = &p->t->y;
    if (y->source) {
        y->source->panel(y->packed, y->first + j0, n, k0, nk, to, p->panel_cols);
        return;
    }
    if (y->by_k) {
        pack_by_k(y, j0, n, k0, nk, to, p->panel_cols);
        return;
    }
    for (size_t j = 0; j < n; j += VEC)
        pack_vector(y->p + (j0 + j) * y->ld + k0, y->ld, n - j, nk, to + j, p->panel_cols);
}

/* The block's panels, each whole in k. What is read where it lies is not packed, but for a last panel with a part of a vector. */
static void pack_block(const struct plan *p, const struct part *a)
{
    for (size_t j = 0; j < a->nj; j += p->panel_cols) {
        const size_t n = least(a->nj - j, p->panel_cols);
        if (p->pack_y || n % VEC)
            pack_panel(p, a->j0 + j, n, a->k0, a->nk, p->y + j * a->nk);
    }
}

/* ni rows of x at k0 .. k0 + nk - 1 to tile[k][row] or tile[row][k], as they lie. */
static void copy_x(const struct gemm_factor *x, size_t i0, size_t ni, size_t k0, size_t nk, float *to)
{
    if (x->by_k) {
        for (size_t k = 0; k < nk; k++)
            for (size_t i = 0; i < ni; i += VEC)
                vec_store(to + k * X_K + i, vec_load_masked(x->p + (k0 + k) * x->ld + i0 + i, vec_first(least(ni - i, VEC))));
        return;
    }
    for (size_t i = 0; i < ni; i++, to += X_ROW) {
        const float *from = x->p + (i0 + i) * x->ld + k0;
        size_t k = 0;
        for (; k + VEC <= nk; k += VEC)
            vec_store(to + k, vec_load(from + k));
        if (k < nk)
            vec_store(to + k, vec_load_masked(from + k, vec_first(nk - k)));
    }
}

/* ---- Totals from and to the output ---- */

/* A tile's part in one panel. */
struct tile {
    size_t i0, ni, j0, nj;
    float *sum; /* (ni, panel_cols) */
};

INLINE vec first_of(const float *p, size_t n)
{
    return n >= VEC ? vec_load(p) : vec_load_masked(p, vec_first(n));
}

INLINE void put_first(float *p, size_t n, vec v)
{
    if (n >= VEC)
        vec_store(p, v);
    else
        vec_store_masked(p, vec_first(n), v);
}

static void fetch(const struct plan *p, const struct tile *e)
{
    const struct gemm_task *t = p->t;
    for (size_t j = 0; j < e->nj; j += VEC) {
        if (!t->trans) {
            for (size_t i = 0; i < e->ni; i++)
                vec_store(e->sum + i * p->panel_cols + j, first_of(t->out + (e->i0 + i) * t->ld + e->j0 + j, e->nj - j));
            continue;
        }
        for (size_t i0 = 0; i0 < e->ni; i0 += VEC) {
            vec r[VEC];
            for (size_t i = 0; i < VEC; i++)
                r[i] = j + i < e->nj ? first_of(t->out + (e->j0 + j + i) * t->ld + e->i0 + i0, e->ni - i0) : vec_zero();
            vec_transpose(r);
            for (size_t i = 0; i < VEC && i0 + i < e->ni; i++)
                vec_store(e->sum + (i0 + i) * p->panel_cols + j, r[i]);
        }
    }
}

/* Asks for the tile of the output while its last segment is computed. */
static void prefetch_out(const struct plan *p, const struct tile *e)
{
    const struct gemm_task *t = p->t;
    const size_t rows = t->trans ? e->nj : e->ni, cols = t->trans ? e->ni : e->nj;
    const float *out = t->trans ? t->out + e->j0 * t->ld + e->i0 : t->out + e->i0 * t->ld + e->j0;
    for (size_t i = 0; i < rows; i++, out += t->ld) {
        for (size_t j = 0; j < cols; j += 16)
            __builtin_prefetch(out + j, 1, 3);
        __builtin_prefetch(out + cols - 1, 1, 3);
    }
}

static void put(const struct plan *p, const struct tile *e, int last)
{
    const struct gemm_task *t = p->t;
    for (size_t j = 0; j < e->nj; j += VEC) {
        if (!t->trans) {
            for (size_t i = 0; i < e->ni; i++) {
                const vec v = vec_load(e->sum + i * p->panel_cols + j);
                put_first(t->out + (e->i0 + i) * t->ld + e->j0 + j, e->nj - j, last ? vec_nan(v) : v);
            }
            continue;
        }
        for (size_t i0 = 0; i0 < e->ni; i0 += VEC) {
            vec r[VEC];
            for (size_t i = 0; i < VEC; i++)
                r[i] = i0 + i < e->ni ? vec_load(e->sum + (i0 + i) * p->panel_cols + j) : vec_zero();
            vec_transpose(r);
            for (size_t i = 0; i < VEC && j + i < e->nj; i++)
                put_first(t->out + (e->j0 + j + i) * t->ld + e->i0 + i0, e->ni - i0, last ? vec_nan(r[i]) : r[i]);
        }
    }
}

/* row = act(row + bias), for activations that are a few instructions; act is a constant where this is inlined. The NaNs are put's. */
INLINE void activate_row(float *row, size_t n, const float *bias, size_t bias_step, int act, float alpha)
{
    const vec zero = vec_zero(), factor = vec_set(alpha);
    for (size_t j = 0; j < n; j += VEC) {
        vec v = vec_load(row + j);
        if (bias)
            v = vec_add(v, bias_step ? first_of(bias + j, n - j) : vec_set(*bias));
        if (act != LINEAR)
            v = vec_select(vec_less(v, zero), zero, v);
        if (act == SCALED_RELU)
            v = vec_mul(factor, v);
        vec_store(row + j, v);
    }
}

/* sum = act(sum + bias) */
static void finish(const struct plan *p, const struct tile *e)
{
    const struct gemm_task *t = p->t;
    if (t->act == LINEAR && !t->bias)
        return;
    for (size_t i = 0; i < e->ni; i++) {
        float *row = e->sum + i * p->panel_cols;
        const float *bias = !t->bias ? NULL : t->trans ? t->bias + e->i0 + i : t->bias + e->j0;
        const size_t step = !t->trans;
        if (t->act == RELU)
            activate_row(row, e->nj, bias, step, RELU, 0);
        else if (t->act == SCALED_RELU)
            activate_row(row, e->nj, bias, step, SCALED_RELU, t->alpha);
        else
            activate_row(row, e->nj, bias, step, LINEAR, 0);
        if (t->act == SIGMOID)
            for (size_t j = 0; j < e->nj; j++)
                row[j] = canon_sigmoid(row[j]);
        else if (t->act == TANH)
            for (size_t j = 0; j < e->nj; j++)
                row[j] = canon_tanh(row[j]);
    }
}

/* ---- The loops ---- */

/* Element (i, k) of x. */
static const float *x_at(const struct gemm_factor *x, size_t i, size_t k)
{
    return x->by_k ? x->p + k * x->ld + i : x->p + i * x->ld + k;
}

/* x for the segment that begins dk behind the chunk's beginning, and what to ask for meanwhile: x itself, some steps ahead, or
 * the next that will be copied. */
static struct step x_step(const struct plan *p, const struct part *a, size_t dk)
{
    const struct gemm_factor *x = &p->t->x;
    const size_t nk = least(a->nk - dk, SEGMENT), ahead = p->copy_x ? nk : AHEAD;
    const float *at = x_at(x, a->i0, a->k0 + dk);
    const float *next = dk + ahead < a->nk           ? x_at(x, a->i0, a->k0 + dk + ahead)
                        : a->i0 + a->ni < p->t->rows ? x_at(x, a->i0 + a->ni, a->k0)
                                                     : NULL;
    struct step s = {.x = at, .ldx = x->ld, .nk = nk, .next = (const char *)(next ? next : at)};
    s.next_row = next ? x->ld * sizeof(float) : 0;
    s.next_line = !next ? 0 : x->by_k ? 16 * s.next_row : 64;
    if (p->copy_x) {
        copy_x(x, a->i0, a->ni, a->k0 + dk, nk, p->x);
        s.x = p->x;
        s.ldx = x->by_k ? X_K : X_ROW;
    }
    return s;
}

/* One segment of one tile in one panel, in pieces of 8, 4, 2, 1 vectors. */
static void panel_step(const struct plan *p, const struct tile *e, struct step s)
{
    for (size_t done = 0; done < e->nj;) {
        int vecs = p->panel;
        while (vecs && done + ((size_t)VEC << vecs) > round_up(e->nj, VEC))
            vecs--;
        micro_of[p->t->x.by_k != 0][vecs](&s, e->ni);
        const size_t step = (size_t)VEC << vecs;
        s.y += step;
        s.out += step;
        s.in = s.in ? s.in + step : NULL;
        done += step;
    }
}

/* Where panel j of the block lies, dk behind the chunk's beginning. */
static void y_step(const struct plan *p, const struct part *a, size_t j, size_t dk, size_t nj, struct step *s)
{
    const struct gemm_factor *y = &p->t->y;
    const int packed = p->pack_y || nj % VEC;
    s->y = packed ? p->y + j * a->nk + dk * p->panel_cols : y->p + (a->k0 + dk) * y->ld + a->j0 + j;
    s->ldy = packed ? p->panel_cols : y->ld;
}

/* Where the totals come from and go to, in the segment that begins dk behind the chunk's beginning. Returns whether `put` is left to do. */
static int total_step(const struct plan *p, const struct part *a, const struct tile *e, size_t dk, struct step *s)
{
    const int begins = dk == 0, ends = dk + s->nk == a->nk, at_once = p->plain && e->nj % VEC == 0;
    float *out = p->t->out + e->i0 * p->t->ld + e->j0;
    if (begins && a->k0 && !at_once)
        fetch(p, e);
    if (ends)
        prefetch_out(p, e);
    const int in_there = at_once && begins, out_there = at_once && ends;
    s->in = a->k0 + dk == 0 ? NULL : in_there ? out : e->sum;
    s->ld_in = in_there ? p->t->ld : p->panel_cols;
    s->out = out_there ? out : e->sum;
    s->ld_out = out_there ? p->t->ld : p->panel_cols;
    return ends && !at_once;
}

static void row_tile(const struct plan *p, const struct part *a)
{
    const int last = a->k0 + a->nk == p->t->k;
    for (size_t dk = 0; dk == 0 || dk < a->nk; dk += SEGMENT) {
        struct step s = x_step(p, a, dk);
        for (size_t j = 0; j < a->nj; j += p->panel_cols) {
            const struct tile e = {a->i0, a->ni, a->j0 + j, least(a->nj - j, p->panel_cols), p->sum + (a->nk > SEGMENT ? j * MAX_ROWS : 0)};
            const int left = total_step(p, a, &e, dk, &s);
            y_step(p, a, j, dk, e.nj, &s);
            panel_step(p, &e, s);
            s.next_row = s.next_line = 0; /* once is enough */
            if (left && last)
                finish(p, &e);
            if (left)
                put(p, &e, last);
        }
    }
}

/* x as gemm_lanes.h wants it, (rows, ldx): where it lies, or a copy. */
static const float *lane_x(const struct plan *p, size_t *ldx)
{
    const struct gemm_task *t = p->t;
    *ldx = t->x.by_k ? t->k : t->x.ld;
    if (!t->x.by_k || t->x.ld == 1)
        return t->x.p;
    for (size_t i = 0; i < t->rows; i++)
        for (size_t k = 0; k < t->k; k++)
            p->y[i * t->k + k] = *x_at(&t->x, i, k);
    return p->y;
}

static void lane_product(const struct plan *p)
{
    const struct gemm_task *t = p->t;
    size_t ldx;
    const float *x = lane_x(p, &ldx);
    const size_t most = t->rows == 1 ? LANE_COLS : LANE_COLS / 2;
    for (size_t j0 = 0; j0 < t->cols; j0 += most) {
        const size_t from = least(j0, t->cols - STRIP), n = least(t->cols - from, most); /* a strip at least */
        const struct tile e = {0, t->rows, from, n, p->sum};
        lane_totals(t, x, ldx, from, n, e.sum);
        finish(p, &e);
        put(p, &e, 1);
    }
}

static void dot_product(const struct plan *p)
{
    const struct gemm_task *t = p->t;
    const struct gemm_factor *y = &t->y;
    size_t ldx;
    const float *x = lane_x(p, &ldx);
    for (size_t j0 = 0; j0 < t->cols; j0 += p->panel_cols) {
        const struct tile e = {0, t->rows, j0, least(t->cols - j0, p->panel_cols), p->sum};
        for (size_t i = 0; i < t->rows; i++)
            y->source->dot(y->packed, y->first + j0, e.nj, x + i * ldx, e.sum + i * p->panel_cols);
        finish(p, &e);
        put(p, &e, 1);
    }
}

static void product(const struct gemm_task *t, float *memory)
{
    struct plan p = cut(t);
    p.y = memory;
    p.x = memory + block_size(&p);
    p.sum = p.x + X_TILE;
    if (p.lanes || p.dot) {
        (p.lanes ? lane_product : dot_product)(&p);
        return;
    }
    for (size_t j0 = 0; j0 < t->cols; j0 += p.block_cols)
        for (size_t k0 = 0; k0 == 0 || k0 < t->k; k0 += p.chunk) {
            struct part a = {0, 0, j0, least(t->cols - j0, p.block_cols), k0, least(t->k - k0, p.chunk)};
            pack_block(&p, &a);
            for (size_t i = 0; i < p.tiles; i++) {
                a.ni = t->rows / p.tiles + (i < t->rows % p.tiles);
                row_tile(&p, &a);
                a.i0 += a.ni;
            }
        }
}

static void gemm_init(struct gemm_kernels *k)
{
    *k = (struct gemm_kernels){.isa = VEC_ISA, .vec = VEC, .lane_rows = LANE_ROWS, .work = work, .product = product};
}
