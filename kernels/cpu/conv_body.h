/* SPDX-License-Identifier: MIT */
/* conv_body.h - the text of conv.h's kernels; included by conv_c.c, conv_avx2.c and conv_avx512.c. The weight gradient is in
 * conv_dw_body.h, the product whose lanes are filters in conv_direct_body.h. */
#include "kernels/cpu/vec.h"
#include "kernels/cpu/conv.h"
#include "kernels/cpu/ref.h"

#define ALWAYS static inline __attribute__((always_inline))

/* ---- The product: tiles of `rows` x `cols` vectors, all of whose sums stay in registers ---- */

enum { ROWS_MAX = VEC_REGISTERS == 32 ? 16 : 4, COLS_MAX = 12, TILE_MAX = 16 };

/* What a tile is told besides its size. */
struct conv_tile {
    const float *w; /* (k, rows) */
    size_t row, position;
    size_t y, x;       /* of the first lane in the output */
    const float *bias; /* (rows), never -0 */
    float *total;      /* the sum of the segments so far; the caller's, so that it takes no registers from the chains */
    vec_mask live;     /* of a tile one vector wide */
};

/* The chains of the segment of k from `from` to `to` - 1. */
ALWAYS void conv_chain(const struct conv_product *p, const struct conv_tile *t, size_t from, size_t to, int rows, int cols, int part,
                       vec *acc)
{
    const float *w = t->w + from * (size_t)rows;
    UNROLL for (int i = 0; i < rows * cols; i++) acc[i] = vec_zero();
    for (size_t k = from; k < to; k++, w += rows) {
        const float *b = p->b + p->off[k] + t->position;
        vec x[COLS_MAX];
        UNROLL for (int v = 0; v < cols; v++) x[v] = part ? vec_load_masked(b, t->live) : vec_load(b + v * VEC);
        UNROLL for (int r = 0; r < rows; r++)
        {
            const vec weight = vec_set(w[r]);
            UNROLL for (int v = 0; v < cols; v++) acc[r * cols + v] = vec_fma(weight, x[v], acc[r * cols + v]);
        }
    }
}

/* NaNs become those that are stored. Their sum tells whether there are any: additions are free beside the multiply-adds, comparisons are
 * not. */
ALWAYS void conv_nan(int n, vec *acc)
{
    vec sum[3] = {acc[0], vec_zero(), vec_zero()};
    UNROLL for (int i = 1; i < n; i++) sum[i % 3] = vec_add(sum[i % 3], acc[i]);
    if (vec_any(vec_is_nan(vec_add(vec_add(sum[0], sum[1]), sum[2]))))
        UNROLL for (int i = 0; i < n; i++) acc[i] = vec_nan(acc[i]);
}

/* act, and NaNs. */
ALWAYS void conv_activate(int act, float alpha, int n, vec *acc)
{
    const vec low = vec_set(act == REF_RELU ? 0.0f : -INFINITY);
    if (act == REF_SCALED_RELU)
        UNROLL for (int i = 0; i < n; i++) acc[i] = vec_mul(vec_set(alpha), vec_raise(acc[i], vec_zero()));
    UNROLL for (int i = 0; i < n; i++) acc[i] = vec_raise(acc[i], low);
    conv_nan(n, acc);
}

/* One vector of each row; `cols` vectors lie between them. The vector may hold parts of several rows of the output. */
ALWAYS void conv_store(const struct conv_product *p, struct conv_tile *t, int rows, int cols, const vec *acc)
{
    float *out = p->out + t->row * p->ld;
    if (t->x + VEC <= p->width) {
        UNROLL for (int r = 0; r < rows; r++) vec_store(out + (size_t)r * p->ld + t->y * p->width + t->x, acc[r * cols]);
        t->x += VEC;
        return;
    }
    if (p->width >= VEC && t->y + 1 < p->height) { /* the end of one row, and what the next begins with */
        const size_t some = t->x < p->width ? p->width - t->x : 0, next = p->pitch - t->x, begin = next < VEC ? next : VEC;
        const vec_mask here = vec_first(some), there = vec_between(begin, VEC);
        float *end = out + t->y * p->width + t->x, *start = out + (t->y + 1) * p->width - begin;
        UNROLL for (int r = 0; r < rows; r++)
        {
            vec_store_masked(end + (size_t)r * p->ld, here, acc[r * cols]);
            vec_store_masked(start + (size_t)r * p->ld, there, acc[r * cols]);
        }
        t->y += next <= VEC;
        t->x = next <= VEC ? VEC - next : t->x + VEC;
        return;
    }
    for (size_t lane = 0; lane < VEC && t->y < p->height;) {
        const size_t left = VEC - lane, end = p->pitch - t->x, step = left < end ? left : end;
        const size_t some = t->x < p->width ? p->width - t->x : 0;
        if (some) {
            const vec_mask m = vec_between(lane, lane + (some < step ? some : step));
            float *to = out + (ptrdiff_t)(t->y * p->width + t->x) - (ptrdiff_t)lane;
            UNROLL for (int r = 0; r < rows; r++) vec_store_masked(to + (size_t)r * p->ld, m, acc[r * cols]);
        }
        lane += step;
        t->x = step == end ? 0 : t->x + step;
        t->y += step == end;
    }
}

/* Bias, activation, store. A total begins at +0, which shows in the bits only where all sums are -0: adding a bias that is not -0 last
 * does the same, so the first segment's sum is not added to anything. */
ALWAYS void conv_finish(const struct conv_product *p, struct conv_tile *t, int rows, int cols, vec *acc)
{
    UNROLL for (int r = 0; r < rows; r++)
    {
        const vec bias = vec_set(t->bias[r]);
        UNROLL for (int v = 0; v < cols; v++) acc[r * cols + v] = vec_add(acc[r * cols + v], bias);
    }
    conv_activate(p->act, p->alpha, rows * cols, acc);
    UNROLL for (int v = 0; v < cols; v++) conv_store(p, t, rows, cols, acc + v);
}

ALWAYS void conv_tile(const struct conv_product *p, struct conv_tile *t, int rows, int cols, int part, int several)
{
    vec acc[TILE_MAX];
    float *total = t->total;
    size_t from = 0;
    for (size_t s = 0;; s++) {
        conv_chain(p, t, from, p->ends[s], rows, cols, part, acc);
        from = p->ends[s];
        if (s > 0)
            UNROLL for (int i = 0; i < rows * cols; i++) acc[i] = vec_add(vec_load(total + i * VEC), acc[i]);
        if (!several || s + 1 == p->segments)
            break;
        UNROLL for (int i = 0; i < rows * cols; i++) vec_store(total + i * VEC, acc[i]);
    }
    conv_finish(p, t, rows, cols, acc);
}

/* A block of `rows` rows: tiles `wide` vectors wide, then `mid`, then one. Its own copies of the structs, for what is stored could be
 * part of others'. */
ALWAYS void conv_sweep(const struct conv_product *product, struct conv_tile t, int rows, int wide, int mid, int several)
{
    const struct conv_product p = *product;
    const size_t n = (p.height - 1) * p.pitch + p.width, w = (size_t)wide * VEC, m = (size_t)mid * VEC;
    for (; n - t.position >= w; t.position += w)
        conv_tile(&p, &t, rows, wide, 0, several);
    for (; mid > 1 && n - t.position >= m; t.position += m)
        conv_tile(&p, &t, rows, mid, 0, several);
    for (; t.position < n; t.position += VEC) {
        t.live = vec_first(n - t.position < VEC ? n - t.position : VEC);
        conv_tile(&p, &t, rows, 1, 1, several);
    }
}

/* One segment leaves more registers free. */
ALWAYS void conv_rows(const struct conv_product *p, const struct conv_tile *t, int rows, int wide, int mid)
{
    if (p->segments == 1)
        conv_sweep(p, *t, rows, wide, mid, 0);
    else
        conv_sweep(p, *t, rows, wide, mid, 1);
}

/* A row of the table: the block's rows and its tiles. About eight chains are best: enough to hide the latency of a multiply-add, few enough
 * that the next tile's begin while the last one's results are on their way. */
#define CONV_ROWS(rows, wide, mid)                                                                                                         \
    static void conv_rows_##rows(const struct conv_product *p, const struct conv_tile *t)                                                  \
    {                                                                                                                                      \
        conv_rows(p, t, rows, wide, mid);                                                                                                  \
    }
#ifdef __AVX512F__
CONV_ROWS(1, 12, 4)
CONV_ROWS(2, 6, 2)
CONV_ROWS(3, 4, 2)
CONV_ROWS(4, 3, 1)
CONV_ROWS(5, 2, 1)
CONV_ROWS(6, 2, 1)
CONV_ROWS(7, 1, 1)
CONV_ROWS(8, 1, 1)
CONV_ROWS(9, 1, 1)
CONV_ROWS(10, 1, 1)
CONV_ROWS(11, 1, 1)
CONV_ROWS(12, 1, 1)
CONV_ROWS(13, 1, 1)
CONV_ROWS(14, 1, 1)
CONV_ROWS(15, 1, 1)
CONV_ROWS(16, 1, 1)
static void (*const conv_table[])(const struct conv_product *, const struct conv_tile *) = {
    conv_rows_1, conv_rows_2,  conv_rows_3,  conv_rows_4,  conv_rows_5,  conv_rows_6,  conv_rows_7,  conv_rows_8,
    conv_rows_9, conv_rows_10, conv_rows_11, conv_rows_12, conv_rows_13, conv_rows_14, conv_rows_15, conv_rows_16};
#else
CONV_ROWS(1, 8, 3)
CONV_ROWS(2, 4, 2)
CONV_ROWS(3, 3, 1)
CONV_ROWS(4, 2, 1)
static void (*const conv_table[])(const struct conv_product *, const struct conv_tile *) = {conv_rows_1, conv_rows_2, conv_rows_3,
                                                                                            conv_rows_4};
#endif

static void conv_product(const struct conv_product *product)
{
    float total[TILE_MAX * VEC], bias[ROWS_MAX];
    struct conv_product p = *product;
    if (p.pitch == p.width) { /* one long row */
        p.pitch = p.width *= p.height;
        p.height = 1;
    }
    const size_t k = p.ends[p.segments - 1];
    for (size_t row = 0; row < p.rows;) {
        const size_t rows = conv_block(p.rows, row, ROWS_MAX);
        const struct conv_tile t = {.w = p.w + row * k, .row = row, .bias = bias, .total = total};
        for (size_t r = 0; r < rows; r++)
            bias[r] = p.bias ? p.bias[row + r] + 0.0f : 0.0f;
        conv_table[rows - 1](&p, &t);
        row += rows;
    }
}

/* ---- Lowering ---- */

/* The part of `lanes` elements from position `at` of a row of n that lies inside it: lanes lo .. hi - 1. */
static vec_mask conv_inside(ptrdiff_t at, size_t n)
{
    const ptrdiff_t lo = at < 0 ? -at : 0, hi = (ptrdiff_t)n - at;
    const ptrdiff_t from = lo < VEC ? lo : VEC, to = hi < from ? from : hi < VEC ? hi : VEC;
    return vec_between((size_t)from, (size_t)to);
}

/* Whole vectors are written, from the last of a row to its first, so that what hangs over into the next row is written over in its turn. */
ALWAYS void conv_lower_vectors(const struct conv_lowered *l, int stride)
{
    for (size_t i = (l->n - 1) / VEC * VEC + VEC; i > 0;) {
        i -= VEC;
        const ptrdiff_t at = l->first + (ptrdiff_t)i * stride;
        const vec_mask low = conv_inside(at, l->w), high = conv_inside(at + VEC, l->w);
        const size_t n = l->n, pitch = l->pitch, above = l->lo, inside = l->hi - l->lo, below = l->rows - l->hi;
        float *dst = l->dst + i;
        for (size_t p = 0; p < l->planes; p++) {
            const float *src = l->src + p * l->step + at;
            for (size_t r = 0; r < above; r++, dst += n)
                vec_store(dst, vec_zero());
            for (size_t r = 0; r < inside; r++, dst += n, src += pitch) {
                const vec v = vec_load_masked(src, low);
                vec_store(dst, stride == 2 ? vec_even(v, vec_load_masked(src + VEC, high)) : v);
            }
            for (size_t r = 0; r < below; r++, dst += n)
                vec_store(dst, vec_zero());
        }
    }
}

static void conv_lower_any(const struct conv_lowered *l)
{
    float *dst = l->dst;
    for (size_t p = 0; p < l->planes; p++)
        for (size_t r = 0; r < l->rows; r++, dst += l->n)
            for (size_t i = 0; i < l->n; i++) {
                const ptrdiff_t at = l->first + (ptrdiff_t)(i * l->stride);
                const int inside = r >= l->lo && r < l->hi && at >= 0 && at < (ptrdiff_t)l->w;
                dst[i] = inside ? l->src[(ptrdiff_t)(p * l->step + (r - l->lo) * l->pitch) + at] : 0.0f;
            }
}

static void conv_lower(const struct conv_lowered *l)
{
    if (l->planes == 0 || l->rows == 0 || l->n == 0)
        return;
    if (l->stride == 1)
        conv_lower_vectors(l, 1);
    else if (l->stride == 2)
        conv_lower_vectors(l, 2);
    else
        conv_lower_any(l);
}

static void conv_weave(float *dst, size_t step, size_t pitch, const float *a, const float *b, size_t planes, size_t rows, size_t w)
{
    const size_t nb = w / 2, na = w - nb;
    for (size_t i = 0; i < na; i += VEC) {
        const size_t left = na - i, pairs = left < VEC ? left : VEC, elements = w - 2 * i < 2 * VEC ? w - 2 * i : 2 * VEC;
        const vec_mask even = vec_first(pairs), odd = vec_first(elements - pairs);
        const vec_mask low = vec_first(elements < VEC ? elements : VEC), high = vec_first(elements < VEC ? 0 : elements - VEC);
        const float *from_a = a + i, *from_b = b + i;
        for (size_t p = 0; p < planes; p++) {
            float *to = dst + p * step + 2 * i;
            for (size_t r = 0; r < rows; r++, to += pitch, from_a += na, from_b += nb) {
                const vec x = vec_load_masked(from_a, even), y = vec_load_masked(from_b, odd);
                if (elements >= VEC) /* masked stores are slow without AVX-512 */
                    vec_store(to, vec_zip_low(x, y));
                else
                    vec_store_masked(to, low, vec_zip_low(x, y));
                if (elements == 2 * VEC)
                    vec_store(to + VEC, vec_zip_high(x, y));
                else if (elements > VEC)
                    vec_store_masked(to + VEC, high, vec_zip_high(x, y));
            }
        }
    }
}

#include "kernels/cpu/conv_direct_body.h"
#include "kernels/cpu/conv_dw_body.h"

static void conv_init(struct conv_kernels *k)
{
    k->isa = VEC_ISA;
    k->max_rows = ROWS_MAX;
    k->product = conv_product;
    k->lanes = VEC;
    k->direct_width = DIRECT_MIN;
    k->direct = conv_direct;
    k->lower = conv_lower;
    k->weave = conv_weave;
    k->dw_wide = (struct conv_dw_kernel){VEC, dw_segment, dw_transpose};
}
