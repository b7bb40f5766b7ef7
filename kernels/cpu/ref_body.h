/* SPDX-License-Identifier: MIT */
/* ref_body.h - the text of ref.h's operations; included by ref_c.c and ref_avx2.c, which give the table its name. The arithmetic is in
 * docs/arithmetic.md; here only the loops are arranged so that a compiler can put neighbouring outputs side by side. */
#include "kernels/canon.h"
#include "kernels/cpu/ref.h"

#include <math.h>

enum { SEGMENT = 256, ROWS = 16, COLS = 32 };

static float activate(int act, float alpha, float v)
{
    switch (act) {
    case REF_RELU:
        return canon_nan(canon_relu(v));
    case REF_SCALED_RELU:
        return canon_nan(alpha * canon_relu(v));
    case REF_SIGMOID:
        return canon_sigmoid(v);
    case REF_TANH:
        return canon_tanh(v);
    default:
        return canon_nan(v);
    }
}

/* ---- Products: out (m, n) = act(a (m, k) b (k, n) + bias). The factors are read through functions that fill one segment of k. ---- */

struct factor {
    const float *p;
    size_t ld;                /* gemm: elements from row to row */
    int trans;                /* gemm */
    const struct ref_conv *s; /* convolution */
    size_t sample;
};

/* row[k] = a(i, k0 + k); tile[k][j] = b(k0 + k, j0 + j), columns beyond the last are 0. */
typedef void fill_row(const struct factor *f, size_t i, size_t k0, size_t nk, float *row);
typedef void fill_tile(const struct factor *f, size_t k0, size_t nk, size_t j0, size_t nj, float (*tile)[COLS]);

struct product {
    struct factor a, b;
    fill_row *row;
    fill_tile *tile;
    float *out;
    size_t ld_out; /* elements from row to row of out */
    size_t m, n, k;
    const float *row_bias, *col_bias; /* NULL: none */
    int act;
    float alpha;
};

/* total += the chain of one segment, for COLS neighbouring outputs. */
static void add_segment(const float *row, float (*tile)[COLS], size_t nk, float *total)
{
    float acc[COLS] = {0};
    for (size_t k = 0; k < nk; k++)
        for (int j = 0; j < COLS; j++)
            acc[j] = canon_fma(row[k], tile[k][j], acc[j]);
    for (int j = 0; j < COLS; j++)
        total[j] += acc[j];
}

static void product_block(const struct product *p, size_t i0, size_t ni, size_t j0, size_t nj)
{
    float total[ROWS][COLS] = {{0}}, row[SEGMENT], tile[SEGMENT][COLS];
    for (size_t k0 = 0; k0 < p->k; k0 += SEGMENT) {
        const size_t nk = p->k - k0 < SEGMENT ? p->k - k0 : SEGMENT;
        p->tile(&p->b, k0, nk, j0, nj, tile);
        for (size_t i = 0; i < ni; i++) {
            p->row(&p->a, i0 + i, k0, nk, row);
            add_segment(row, tile, nk, total[i]);
        }
    }
    for (size_t i = 0; i < ni; i++)
        for (size_t j = 0; j < nj; j++) {
            float v = total[i][j];
            v = p->row_bias ? v + p->row_bias[i0 + i] : v;
            v = p->col_bias ? v + p->col_bias[j0 + j] : v;
            p->out[(i0 + i) * p->ld_out + j0 + j] = activate(p->act, p->alpha, v);
        }
}

static void product(const struct product *p)
{
    for (size_t j0 = 0; j0 < p->n; j0 += COLS)
        for (size_t i0 = 0; i0 < p->m; i0 += ROWS)
            product_block(p, i0, p->m - i0 < ROWS ? p->m - i0 : ROWS, j0, p->n - j0 < COLS ? p->n - j0 : COLS);
}

static void gemm_row(const struct factor *f, size_t i, size_t k0, size_t nk, float *row)
{
    for (size_t k = 0; k < nk; k++)
        row[k] = f->trans ? f->p[(k0 + k) * f->ld + i] : f->p[i * f->ld + k0 + k];
}

static void gemm_tile(const struct factor *f, size_t k0, size_t nk, size_t j0, size_t nj, float (*tile)[COLS])
{
    for (size_t k = 0; k < nk; k++)
        for (size_t j = nj; j < COLS; j++)
            tile[k][j] = 0;
    if (f->trans)
        for (size_t j = 0; j < nj; j++)
            for (size_t k = 0; k < nk; k++)
                tile[k][j] = f->p[(j0 + j) * f->ld + k0 + k];
    else
        for (size_t k = 0; k < nk; k++)
            for (size_t j = 0; j < nj; j++)
                tile[k][j] = f->p[(k0 + k) * f->ld + j0 + j];
}

static void gemm(const float *a, const float *b, const float *bias, float *c, size_t m, size_t n, size_t k, int trans_a, int trans_b,
                 int act, float alpha)
{
    const struct product p = {.a = {.p = a, .ld = trans_a ? m : k, .trans = trans_a},
                              .b = {.p = b, .ld = trans_b ? k : n, .trans = trans_b},
                              .row = gemm_row,
                              .tile = gemm_tile,
                              .out = c,
                              .ld_out = n,
                              .m = m,
                              .n = n,
                              .k = k,
                              .col_bias = bias,
                              .act = act,
                              .alpha = alpha};
    product(&p);
}

/* Weights are read 32 rows at a time: those of the outputs that are made side by side. */
static size_t read_panel(const struct ref_rows *w, size_t row, size_t rows)
{
    const size_t n = rows - row < REF_PANEL ? rows - row : (size_t)REF_PANEL;
    for (size_t i = 0; i < n; i++)
        w->read(w, row + i, w->panel + i * w->ld);
    return n;
}

static void gemm_rows(const float *a, const struct ref_rows *w, const float *bias, float *c, size_t m, size_t n, size_t k, int act,
                      float alpha)
{
    for (size_t j = 0; j < n; j += REF_PANEL) {
        const struct product p = {.a = {.p = a, .ld = k},
                                  .b = {.p = w->panel, .ld = w->ld, .trans = 1},
                                  .row = gemm_row,
                                  .tile = gemm_tile,
                                  .out = c + j,
                                  .ld_out = n,
                                  .m = m,
                                  .n = read_panel(w, j, n),
                                  .k = k,
                                  .col_bias = bias ? bias + j : NULL,
                                  .act = act,
                                  .alpha = alpha};
        product(&p);
    }
}

/* ---- Convolution. Taps outside the image are zeros that are multiplied. ---- */

/* Forward: k = (input channel, kernel row, kernel column), columns = output positions of one sample. */
static void conv_tile(const struct factor *f, size_t k0, size_t nk, size_t j0, size_t nj, float (*tile)[COLS])
{
    const struct ref_conv *s = f->s;
    const float *image = f->p + f->sample * s->c * s->h * s->w;
    for (size_t k = 0; k < nk; k++) {
        const size_t kx = (k0 + k) % s->kw, ky = (k0 + k) / s->kw % s->kh, c = (k0 + k) / (s->kw * s->kh);
        size_t oy = j0 / s->ow, ox = j0 % s->ow;
        for (size_t j = 0; j < COLS; j++) {
            const size_t y = oy * s->stride + ky - s->pad, x = ox * s->stride + kx - s->pad; /* wraps to huge where outside */
            tile[k][j] = j < nj && y < s->h && x < s->w ? image[(c * s->h + y) * s->w + x] : 0.0f;
            if (++ox == s->ow) {
                ox = 0;
                oy++;
            }
        }
    }
}

/* Output channels o to o + n, whose weights are w (n, ldw). */
static void conv_channels(const struct ref_conv *s, const float *x, const float *w, size_t ldw, size_t o, size_t n, const float *bias,
                          float *y, int act, float alpha)
{
    const size_t positions = s->oh * s->ow;
    for (size_t sample = 0; sample < s->n; sample++) {
        const struct product p = {.a = {.p = w, .ld = ldw},
                                  .b = {.p = x, .s = s, .sample = sample},
                                  .row = gemm_row,
                                  .tile = conv_tile,
                                  .out = y + (sample * s->o + o) * positions,
                                  .ld_out = positions,
                                  .m = n,
                                  .n = positions,
                                  .k = s->c * s->kh * s->kw,
                                  .row_bias = bias ? bias + o : NULL,
                                  .act = act,
                                  .alpha = alpha};
        product(&p);
    }
}

static void conv2d(const struct ref_conv *s, const float *x, const float *w, const float *bias, float *y, int act, float alpha)
{
    conv_channels(s, x, w, s->c * s->kh * s->kw, 0, s->o, bias, y, act, alpha);
}

static void conv2d_rows(const struct ref_conv *s, const float *x, const struct ref_rows *w, const float *bias, float *y, int act,
                        float alpha)
{
    for (size_t o = 0; o < s->o; o += REF_PANEL) {
        const size_t n = read_panel(w, o, s->o);
        conv_channels(s, x, w->panel, w->ld, o, n, bias, y, act, alpha);
    }
}

/* Input gradient: k = (output channel, kernel row, kernel column), rows = input channels, columns = input positions of one sample. */
static void dx_row(const struct factor *f, size_t i, size_t k0, size_t nk, float *row)
{
    const struct ref_conv *s = f->s;
    const size_t taps = s->kh * s->kw;
    for (size_t k = 0; k < nk; k++)
        row[k] = f->p[((k0 + k) / taps * s->c + i) * taps + (k0 + k) % taps];
}

/* One axis of the inverse of a stride: an input position p meets output position `out` where (p + pad - tap) / stride has no remainder `rem`. */
struct axis {
    ptrdiff_t out, rem, stride;
};

static struct axis axis_at(size_t p, size_t pad, size_t tap, size_t stride)
{
    const ptrdiff_t s = (ptrdiff_t)stride, t = (ptrdiff_t)p + (ptrdiff_t)pad - (ptrdiff_t)tap;
    const ptrdiff_t down = t >= 0 ? t / s : -((s - 1 - t) / s);
    return (struct axis){down, t - down * s, s};
}

static void axis_next(struct axis *a)
{
    if (++a->rem == a->stride) {
        a->rem = 0;
        a->out++;
    }
}

/* Which of `n` output positions the axis meets; n or more: none. */
static size_t axis_out(const struct axis *a)
{
    return a->rem ? SIZE_MAX : (size_t)a->out;
}

static void dx_tile(const struct factor *f, size_t k0, size_t nk, size_t j0, size_t nj, float (*tile)[COLS])
{
    const struct ref_conv *s = f->s;
    for (size_t k = 0; k < nk; k++) {
        const size_t kx = (k0 + k) % s->kw, ky = (k0 + k) / s->kw % s->kh, o = (k0 + k) / (s->kw * s->kh);
        const float *dy = f->p + (f->sample * s->o + o) * s->oh * s->ow;
        size_t x = j0 % s->w;
        struct axis vertical = axis_at(j0 / s->w, s->pad, ky, s->stride), across = axis_at(x, s->pad, kx, s->stride);
        for (size_t j = 0; j < COLS; j++) {
            const size_t oy = axis_out(&vertical), ox = axis_out(&across);
            tile[k][j] = j < nj && oy < s->oh && ox < s->ow ? dy[oy * s->ow + ox] : 0.0f;
            axis_next(&across);
            if (++x == s->w) {
                x = 0;
                axis_next(&vertical);
                across = axis_at(0, s->pad, kx, s->stride);
            }
        }
    }
}

static void conv2d_dx(const struct ref_conv *s, const float *dy, const float *w, float *dx)
{
    const size_t image = s->c * s->h * s->w;
    for (size_t sample = 0; sample < s->n; sample++) {
        const struct product p = {.a = {.p = w, .s = s},
                                  .b = {.p = dy, .s = s, .sample = sample},
                                  .row = dx_row,
                                  .tile = dx_tile,
                                  .out = dx + sample * image,
                                  .ld_out = s->h * s->w,
                                  .m = s->c,
                                  .n = s->h * s->w,
                                  .k = s->o * s->kh * s->kw,
                                  .act = REF_LINEAR};
        product(&p);
    }
}

/* Weight gradient: k = (sample, output position), rows = output channels, columns = (input channel, kernel row, kernel column). */
static void dw_row(const struct factor *f, size_t i, size_t k0, size_t nk, float *row)
{
    const struct ref_conv *s = f->s;
    const size_t positions = s->oh * s->ow;
    for (size_t k = 0; k < nk; k++)
        row[k] = f->p[((k0 + k) / positions * s->o + i) * positions + (k0 + k) % positions];
}

static void dw_tile(const struct factor *f, size_t k0, size_t nk, size_t j0, size_t nj, float (*tile)[COLS])
{
    const struct ref_conv *s = f->s;
    size_t at[COLS], ky[COLS], kx[COLS];
    for (size_t j = 0; j < nj; j++) {
        kx[j] = (j0 + j) % s->kw;
        ky[j] = (j0 + j) / s->kw % s->kh;
        at[j] = (j0 + j) / (s->kw * s->kh) * s->h * s->w;
    }
    for (size_t k = 0; k < nk; k++) {
        const size_t ox = (k0 + k) % s->ow, oy = (k0 + k) / s->ow % s->oh, n = (k0 + k) / (s->ow * s->oh);
        const float *image = f->p + n * s->c * s->h * s->w;
        for (size_t j = 0; j < COLS; j++) {
            tile[k][j] = 0;
            if (j >= nj)
                continue;
            const size_t y = oy * s->stride + ky[j] - s->pad, x = ox * s->stride + kx[j] - s->pad;
            if (y < s->h && x < s->w)
                tile[k][j] = image[at[j] + y * s->w + x];
        }
    }
}

static void conv2d_dw(const struct ref_conv *s, const float *dy, const float *x, float *dw)
{
    const struct product p = {.a = {.p = dy, .s = s},
                              .b = {.p = x, .s = s},
                              .row = dw_row,
                              .tile = dw_tile,
                              .out = dw,
                              .ld_out = s->c * s->kh * s->kw,
                              .m = s->o,
                              .n = s->c * s->kh * s->kw,
                              .k = s->n * s->oh * s->ow,
                              .act = REF_LINEAR};
    product(&p);
}

/* ---- The rest ---- */

/* k = (sample, position), in segments as a product with 1. */
static void bias_grad(const float *dy, float *db, size_t n, size_t c, size_t p)
{
    for (size_t i = 0; i < c; i++) {
        float total = 0, acc = 0;
        size_t k = 0;
        for (size_t s = 0; s < n; s++)
            for (size_t q = 0; q < p; q++) {
                if (k == SEGMENT) {
                    total += acc;
                    acc = 0;
                    k = 0;
                }
                acc += dy[(s * c + i) * p + q];
                k++;
            }
        db[i] = canon_nan(total + acc);
    }
}

static void act_forward(const float *x, float *y, size_t n, int act, float alpha)
{
    for (size_t i = 0; i < n; i++)
        y[i] = activate(act, alpha, x[i]);
}

static float derivative(int act, float alpha, float y, float dy)
{
    switch (act) {
    case REF_RELU:
        return y > 0 ? dy : 0.0f;
    case REF_SCALED_RELU:
        return y > 0 ? alpha * dy : 0.0f;
    case REF_SIGMOID:
        return dy * (y * (1.0f - y));
    case REF_TANH:
        return dy * canon_fma(-y, y, 1.0f);
    default:
        return dy;
    }
}

static void act_grad(const float *y, const float *dy, float *dx, size_t n, int act, float alpha)
{
    for (size_t i = 0; i < n; i++)
        dx[i] = canon_nan(derivative(act, alpha, y[i], dy[i]));
}

static float row_max(const float *x, size_t n)
{
    float m = x[0];
    for (size_t j = 1; j < n; j++)
        m = x[j] > m ? x[j] : m;
    return m;
}

/* The sum of exp(x - m), in segments; e, if not NULL, receives the terms. */
static float exp_sum(const float *x, size_t n, float m, float *e)
{
    float total = 0;
    for (size_t j0 = 0; j0 < n; j0 += SEGMENT) {
        float acc = 0;
        for (size_t j = j0; j < n && j < j0 + SEGMENT; j++) {
            const float t = canon_exp(x[j] - m);
            if (e)
                e[j] = t;
            acc += t;
        }
        total += acc;
    }
    return total;
}

static void softmax(const float *x, float *y, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++, x += cols, y += cols) {
        const float sum = exp_sum(x, cols, row_max(x, cols), y);
        for (size_t j = 0; j < cols; j++)
            y[j] = canon_nan(canon_div(y[j], sum));
    }
}

/* The sum of a b, in segments. */
static float dot(const float *a, const float *b, size_t n)
{
    float total = 0;
    for (size_t j0 = 0; j0 < n; j0 += SEGMENT) {
        float acc = 0;
        for (size_t j = j0; j < n && j < j0 + SEGMENT; j++)
            acc = canon_fma(a[j], b[j], acc);
        total += acc;
    }
    return total;
}

static void softmax_grad(const float *y, const float *dy, float *dx, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++, y += cols, dy += cols, dx += cols) {
        const float t = dot(dy, y, cols);
        for (size_t j = 0; j < cols; j++)
            dx[j] = canon_nan(y[j] * (dy[j] - t));
    }
}

static void cross_entropy(const float *x, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++, x += cols, dx += cols) {
        const size_t label = (size_t)labels[r];
        const float m = row_max(x, cols), sum = exp_sum(x, cols, m, dx);
        loss[r] = canon_nan(canon_log(sum) - (x[label] - m));
        for (size_t j = 0; j < cols; j++)
            dx[j] = canon_nan(canon_div(canon_div(dx[j], sum) - (j == label ? 1.0f : 0.0f), (float)rows));
    }
}

static void mse(const float *y, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols, int reduction)
{
    for (size_t r = 0; r < rows; r++, y += cols, dx += cols) {
        for (size_t j = 0; j < cols; j++)
            dx[j] = y[j] - (j == (size_t)labels[r] ? 1.0f : 0.0f);
        const float squares = dot(dx, dx, cols);
        loss[r] = canon_nan(reduction == REF_HALF ? 0.5f * squares : canon_div(squares, (float)cols));
        for (size_t j = 0; j < cols; j++)
            dx[j] = canon_nan(reduction == REF_HALF ? canon_div(dx[j], (float)rows) : canon_div(2.0f * dx[j], (float)(rows * cols)));
    }
}

static void sgd(float *w, const float *g, float *v, size_t n, float lr, float momentum, float decay)
{
    for (size_t i = 0; i < n; i++) {
        float step = canon_fma(decay, w[i], g[i]);
        if (v)
            v[i] = step = canon_nan(canon_fma(momentum, v[i], step));
        w[i] = canon_nan(canon_fma(-lr, step, w[i]));
    }
}
