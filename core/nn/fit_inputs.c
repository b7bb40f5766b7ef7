/* SPDX-License-Identifier: MIT */
/* fit_inputs.c - what a layer reads, as numbers for fitting: means, products, their factor. Sums are in the order of docs/arithmetic.md, 8.14: threads share out
 * results, never a sum. */
#include "core/base/mem.h"
#include "core/nn/fit_impl.h"

#include <math.h>
#include <string.h>

enum {
    SLAB = 32,  /* rows of inputs at a time */
    SIDE = 4,   /* of them, added in one go over the products: a factor of SLAB */
    BAND = 32,  /* rows of products, one thread's work */
    PANEL = 8,  /* rows of the factor that are made at a time */
    PIECE = 256 /* their columns, one thread's work */
};

void lb_fit_inputs_init(const struct lb_layer *layer, const struct lb_host *host, const float *x, size_t n, struct lb_fit_inputs *out)
{
    const struct lb_conv *s = &layer->conv;
    const int conv = layer->type == LB_CONV2D;
    *out = (struct lb_fit_inputs){
        .layer = layer, .host = host, .x = x, .n = n, .k = conv ? s->c * s->kh * s->kw : layer->in, .rows = conv ? n * s->oh * s->ow : n};
}

/* Input channel c at output position (oy, ox), kernel row ky, its columns. */
static void taps(const struct lb_conv *s, const float *image, size_t oy, size_t ox, size_t ky, double *row)
{
    const size_t y = oy * s->stride + ky - s->pad; /* wraps where it is above the image, and is then beyond it too */
    for (size_t kx = 0; kx < s->kw; kx++) {
        const size_t x = ox * s->stride + kx - s->pad;
        row[kx] = y < s->h && x < s->w ? (double)image[y * s->w + x] : 0.0;
    }
}

static void row_of(const struct lb_fit_inputs *in, size_t r, double *row)
{
    const struct lb_conv *s = &in->layer->conv;
    if (in->layer->type != LB_CONV2D) {
        for (size_t k = 0; k < in->k; k++)
            row[k] = (double)in->x[r * in->k + k];
        return;
    }
    const size_t places = s->oh * s->ow, oy = r % places / s->ow, ox = r % s->ow;
    const float *sample = in->x + r / places * in->layer->in;
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            taps(s, sample + c * s->h * s->w, oy, ox, ky, row + (c * s->kh + ky) * s->kw);
}

int lb_fit_means(const struct lb_fit_inputs *in, double *mean, struct lb_err *err)
{
    double *row = lb_alloc(in->k, sizeof *row, err);
    if (!row)
        return -1;
    memset(mean, 0, in->k * sizeof *mean);
    for (size_t r = 0; r < in->rows; r++) {
        row_of(in, r, row);
        for (size_t k = 0; k < in->k; k++)
            mean[k] += row[k];
    }
    for (size_t k = 0; in->rows && k < in->k; k++)
        mean[k] /= (double)in->rows;
    lb_free(row);
    return 0;
}

/* ---- Products ---- */

struct adding {
    size_t k;
    const double *slab; /* (SLAB, k), zeros behind the last row */
    double *products;
};

/* To row i of the products, up to its diagonal: those of SIDE rows x, one after the other. Zeros add nothing. */
static void add_side(const double *x, size_t k, size_t i, double *p)
{
    const double a[SIDE] = {x[i], x[k + i], x[2 * k + i], x[3 * k + i]};
    if (a[0] == 0 && a[1] == 0 && a[2] == 0 && a[3] == 0)
        return;
    for (size_t j = 0; j <= i; j++)
        p[j] = (((p[j] + a[0] * x[j]) + a[1] * x[k + j]) + a[2] * x[2 * k + j]) + a[3] * x[3 * k + j];
}

static void add_band(void *arg, size_t band)
{
    const struct adding *a = arg;
    const size_t end = (band + 1) * BAND < a->k ? (band + 1) * BAND : a->k;
    for (size_t i = band * BAND; i < end; i++)
        for (size_t r = 0; r < SLAB; r += SIDE)
            add_side(a->slab + r * a->k, a->k, i, a->products + i * a->k);
}

int lb_fit_products(const struct lb_fit_inputs *in, double *products, struct lb_err *err)
{
    const size_t k = in->k;
    size_t elems;
    double *slab = lb_mul(k, SLAB, &elems) ? NULL : lb_alloc(elems, sizeof *slab, err);
    struct adding a = {.k = k, .slab = slab, .products = products};
    if (!slab)
        return lb_fail(err, "%zu inputs: too many", k);
    memset(products, 0, k * k * sizeof *products);
    for (size_t at = 0; at < in->rows; at += SLAB) {
        const size_t many = in->rows - at < SLAB ? in->rows - at : SLAB;
        memset(slab + many * k, 0, (SLAB - many) * k * sizeof *slab);
        for (size_t r = 0; r < many; r++)
            row_of(in, at + r, slab + r * k);
        in->host->parallel(in->host, (k + BAND - 1) / BAND, add_band, &a);
    }
    for (size_t i = 0; i < k; i++)
        for (size_t j = i + 1; j < k; j++)
            products[i * k + j] = products[j * k + i];
    lb_free(slab);
    return 0;
}

/* ---- The factor ---- */

struct factoring {
    double *h;
    size_t k, begin, end; /* rows of the panel */
};

/* Takes the products of row r, which is done, off row j, columns [from, to). */
static void take_off(const struct factoring *f, size_t j, size_t r, size_t from, size_t to)
{
    const double a = f->h[r * f->k + j], *done = f->h + r * f->k;
    double *row = f->h + j * f->k;
    for (size_t i = from; i < to; i++)
        row[i] -= a * done[i];
}

/* Columns of the panel: the rows behind it, the last one first. */
static void take_off_behind(void *arg, size_t piece)
{
    const struct factoring *f = arg;
    const size_t from = piece * PIECE;
    for (size_t r = f->k; r-- > f->end;)
        for (size_t j = f->begin; j < f->end; j++)
            take_off(f, j, r, from, from + PIECE < j + 1 ? from + PIECE : j + 1);
}

static int finish_row(const struct factoring *f, size_t j, struct lb_err *err)
{
    double *row = f->h + j * f->k;
    if (!(row[j] > 0) || !isfinite(row[j]))
        return lb_fail(err, "the products of its inputs are not positive definite (%.3g at column %zu); a larger fit.damp may help", row[j],
                       j);
    row[j] = sqrt(row[j]);
    for (size_t i = 0; i < j; i++)
        row[i] /= row[j];
    return 0;
}

int lb_fit_factor(double *h, size_t k, const struct lb_host *host, struct lb_err *err)
{
    struct factoring f = {.h = h, .k = k, .end = k};
    for (; f.end; f.end = f.begin) {
        f.begin = f.end > PANEL ? f.end - PANEL : 0;
        if (f.end < k)
            host->parallel(host, (f.end + PIECE - 1) / PIECE, take_off_behind, &f);
        for (size_t j = f.end; j-- > f.begin;) {
            for (size_t r = f.end; r-- > j + 1;)
                take_off(&f, j, r, 0, j + 1);
            if (finish_row(&f, j, err))
                return -1;
        }
    }
    return 0;
}

/* ---- The error ---- */

struct measuring {
    const double *h, *diagonal, *d;
    size_t rows, k;
    double *y, *error; /* (rows, k) room; (rows) */
};

/* y_i = the sum over the earlier j of h_ji d_j. */
static void measure_rows(void *arg, size_t at)
{
    const struct measuring *m = arg;
    const size_t k = m->k, end = (at + 1) * PANEL < m->rows ? (at + 1) * PANEL : m->rows;
    for (size_t j = 0; j < k; j++)
        for (size_t o = at * PANEL; o < end; o++) {
            const double a = m->d[o * k + j], *h = m->h + j * k;
            double *y = m->y + o * k;
            for (size_t i = j + 1; i < k; i++)
                y[i] += a * h[i];
        }
    for (size_t o = at * PANEL; o < end; o++)
        for (size_t i = 0; i < k; i++) {
            const double d = m->d[o * k + i];
            m->error[o] += d * (m->diagonal[i] * d + 2 * m->y[o * k + i]);
        }
}

int lb_fit_errors(const double *h, const double *diagonal, const double *d, size_t rows, size_t k, const struct lb_host *host,
                  double *error, struct lb_err *err)
{
    struct measuring m = {.h = h, .diagonal = diagonal, .d = d, .rows = rows, .k = k, .error = error};
    m.y = lb_alloc(rows * k, sizeof *m.y, err);
    if (!m.y)
        return -1;
    memset(error, 0, rows * sizeof *error);
    host->parallel(host, (rows + PANEL - 1) / PANEL, measure_rows, &m);
    lb_free(m.y);
    return 0;
}
