/* SPDX-License-Identifier: MIT */
/* fit_gptq.c - codes column after column: what a column loses is made up for by the columns to come. GPTQ updates those with a factor of the inverse of H; with L^T L =
 * H itself the same targets come out of one triangular solve, without an inverse: t_j = w_j + (sum of the earlier e_i L_ji) / L_jj. Looking no further than the next
 * code it can end up worse than where it began: rows that do keep their nearest values. */
#include "core/base/mem.h"
#include "core/nn/fit_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 /* rows of weights at a time, side by side: each sum is a chain */ };

struct work {
    const struct lb_gptq *q;
    size_t k;
    size_t *order;            /* (k) the column that is at each place */
    double *diagonal;         /* (k) of the products, by place */
    int on_the_way;           /* the scales of a block are found when it begins */
    struct lb_scales own;     /* of the weights as they are, where they are others than q->scales */
    double *fitted, *nearest; /* (rows, k) by place: the weights less what they become by fitting, and by themselves */
};

/* Some rows, which a thread does. */
struct lanes {
    const struct work *w;
    size_t first, n;
    double (*e)[LANES]; /* (k) by place: the error of what is done */
    float *now;         /* (n, block) weights as a block finds them */
    size_t lost;        /* scales that their codec cannot hold */
    struct lb_err err;
    int failed;
};

/* ---- The order ---- */

struct place {
    double weight;
    size_t column;
};

static int by_weight(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight) - (x->weight > y->weight) : (x->column > y->column) - (x->column < y->column);
}

/* The columns in the order of the diagonal, the largest first; of equal ones the first. */
static int find_order(const struct work *w, struct lb_err *err)
{
    const size_t k = w->k;
    struct place *p = lb_alloc(k, sizeof *p, err);
    if (!p)
        return -1;
    for (size_t i = 0; i < k; i++)
        p[i] = (struct place){w->q->products[i * k + i], i};
    if (w->q->f->config->fit.order == LB_FIT_ACTIVATION)
        qsort(p, k, sizeof *p, by_weight);
    for (size_t i = 0; i < k; i++)
        w->order[i] = p[i].column;
    lb_free(p);
    return 0;
}

/* The products become H by places: damped, and permuted. */
static int find_hessian(const struct work *w, struct lb_err *err)
{
    const size_t k = w->k;
    double *h = w->q->products, sum = 0;
    double *row = lb_alloc(k * (w->q->f->config->fit.order == LB_FIT_ACTIVATION ? k : 0), sizeof *row, err);
    if (!row)
        return -1;
    for (size_t i = 0; i < k; i++)
        sum += h[i * k + i];
    const double damp = sum > 0 ? w->q->f->config->fit.damp * (sum / (double)k) : 1;
    for (size_t i = 0; i < k; i++)
        w->diagonal[i] = h[w->order[i] * k + w->order[i]];
    for (size_t i = 0; i < k; i++)
        h[i * k + i] += damp;
    if (w->q->f->config->fit.order == LB_FIT_ACTIVATION) {
        memcpy(row, h, k * k * sizeof *h);
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < k; j++)
                h[i * k + j] = row[w->order[i] * k + w->order[j]];
    }
    lb_free(row);
    return 0;
}

/* ---- Columns ---- */

static size_t scale_at(const struct lb_groups *g, size_t row, size_t col)
{
    return g->per_row ? row * g->per_row + col / g->block : 0;
}

/* Targets of the column at `place`. */
static void targets(const struct lanes *l, size_t place, double t[LANES])
{
    const struct work *w = l->w;
    const double *row = w->q->products + place * w->k;
    double sum[LANES] = {0};
    for (size_t b = 0; b < place; b++)
        for (size_t i = 0; i < LANES; i++)
            sum[i] += l->e[b][i] * row[b];
    for (size_t i = 0; i < l->n; i++)
        t[i] = (double)w->q->w[(l->first + i) * w->k + w->order[place]] + sum[i] / row[place];
}

/* What is left of the column at `place` when it is stored as the values nearest to `near`. */
static void round_column(const struct lanes *l, const struct lb_scales *by, size_t place, const float near[LANES], double e[LANES])
{
    const struct lb_gptq *q = l->w->q;
    const struct lb_format *f = q->f;
    const struct lb_encode how = {.rounding = f->config->rounding, .overflow = f->config->overflow};
    const size_t col = l->w->order[place];
    float s[LANES], z[LANES], into[LANES], out[LANES];
    unsigned char codes[LANES * sizeof(uint64_t)];
    for (size_t i = 0; i < l->n; i++) {
        const size_t at = scale_at(q->g, l->first + i, col);
        s[i] = by->s ? by->s[at] : 1.0f;
        z[i] = by->zeros ? by->zeros[at] : 0.0f;
        into[i] = lb_scale_into(f, near[i], s[i], z[i]);
    }
    lb_encode_f32(f->coder, &how, into, l->n, codes);
    lb_decode_f32(f->coder, codes, l->n, out);
    for (size_t i = 0; i < l->n; i++) {
        const float v = lb_scale_out(f, out[i], s[i], z[i]);
        e[i] = isfinite(v) ? (double)q->w[(l->first + i) * l->w->k + col] - (double)v : 0;
    }
}

static void put_scales(struct lanes *l, const struct lb_scales *part, size_t col)
{
    const struct lb_gptq *q = l->w->q;
    struct lb_scales *all = q->scales;
    for (size_t i = 0; i < l->n; i++) {
        const size_t at = scale_at(q->g, l->first + i, col);
        all->s[at] = part->s[i];
        if (all->zeros)
            all->zeros[at] = part->zeros[i];
    }
    l->lost += part->lost;
}

/* The scales of the block that begins at column `col` (and place), of its weights as the errors before have moved them. */
static int begin_block(struct lanes *l, size_t col)
{
    const struct lb_gptq *q = l->w->q;
    const size_t n = l->w->k - col < q->g->block ? l->w->k - col : q->g->block;
    const struct lb_groups g = {.rows = l->n, .cols = n, .block = n, .per_row = 1, .n = l->n};
    struct lb_scales part = {0};
    double t[LANES];
    for (size_t b = 0; b < n; b++) {
        targets(l, col + b, t);
        for (size_t i = 0; i < l->n; i++) {
            l->now[i * n + b] = (float)t[i];
            l->e[col + b][i] = (double)q->w[(l->first + i) * l->w->k + col + b] - t[i];
        }
    }
    if (lb_scales_make(q->f, &g, l->now, &part, &l->err))
        return -1;
    put_scales(l, &part, col);
    lb_scales_finish(&part);
    return 0;
}

/* Column after column. */
static int fit_columns(struct lanes *l)
{
    const struct work *w = l->w;
    const struct lb_gptq *q = w->q;
    float near[LANES];
    double t[LANES];
    for (size_t place = 0; place < w->k; place++) {
        if (w->on_the_way && place % q->g->block == 0 && begin_block(l, place))
            return -1;
        targets(l, place, t);
        for (size_t i = 0; i < l->n; i++) {
            near[i] = (float)t[i];
            q->near[(l->first + i) * w->k + w->order[place]] = near[i];
        }
        round_column(l, q->scales, place, near, l->e[place]);
        for (size_t i = 0; i < l->n; i++)
            w->fitted[(l->first + i) * w->k + place] = l->e[place][i];
    }
    return 0;
}

/* The same columns, each for itself. */
static void take_nearest(const struct lanes *l)
{
    const struct work *w = l->w;
    float x[LANES];
    double e[LANES];
    for (size_t place = 0; place < w->k; place++) {
        for (size_t i = 0; i < l->n; i++)
            x[i] = w->q->w[(l->first + i) * w->k + w->order[place]];
        round_column(l, w->on_the_way ? &w->own : w->q->scales, place, x, e);
        for (size_t i = 0; i < l->n; i++)
            w->nearest[(l->first + i) * w->k + place] = e[i];
    }
}

static int fit_lanes(struct lanes *l)
{
    const struct work *w = l->w;
    l->e = lb_alloc(w->k, sizeof *l->e, &l->err);
    l->now = lb_alloc(w->on_the_way ? l->n * w->q->g->block : 0, sizeof *l->now, &l->err);
    const int r = l->e && l->now ? fit_columns(l) : -1;
    if (!r)
        take_nearest(l);
    lb_free(l->e);
    lb_free(l->now);
    return r;
}

static void fit_some(void *arg, size_t at)
{
    struct lanes *l = (struct lanes *)arg + at;
    l->failed = fit_lanes(l);
}

static int fit_rows(const struct work *w, struct lb_err *err)
{
    const size_t rows = w->q->g->rows, n = (rows + LANES - 1) / LANES;
    struct lanes *l = lb_alloc(n, sizeof *l, err);
    int r = l ? 0 : -1;
    for (size_t i = 0; l && i < n; i++)
        l[i] = (struct lanes){.w = w, .first = i * LANES, .n = rows - i * LANES < LANES ? rows - i * LANES : LANES};
    if (l)
        w->q->host->parallel(w->q->host, n, fit_some, l);
    for (size_t i = 0; l && i < n; i++) {
        w->q->scales->lost += l[i].lost;
        if (l[i].failed)
            r = lb_fail(err, "%s", l[i].err.text);
    }
    lb_free(l);
    return r;
}

/* ---- Scales ---- */

/* A block's scale can be found by itself where it is not scaled with others', and the columns come in the order of the blocks. */
static int is_on_the_way(const struct lb_format *f)
{
    return f->config->per == LB_PER_BLOCK && f->config->fit.order == LB_FIT_NATURAL && f->scale->config->rule == LB_SCALE_NONE;
}

static int start_scales(struct work *w, struct lb_err *err)
{
    const struct lb_gptq *q = w->q;
    struct lb_scaler scaler;
    if (!q->f->scale)
        return 0;
    lb_scaler_init(q->f, q->g, &scaler);
    if (!w->on_the_way)
        return lb_scales_make(q->f, q->g, q->w, q->scales, err);
    return lb_scales_start(&scaler, q->g, q->scales, err) || lb_scales_make(q->f, q->g, q->w, &w->own, err) ? -1 : 0;
}

/* Codes of scales that are values of their codec: encoding finds them again. */
static void store_scales(const struct work *w)
{
    const struct lb_format *scale = w->q->f->scale;
    const struct lb_encode how = {.rounding = scale->config->rounding, .overflow = scale->config->overflow};
    lb_encode_f32(scale->coder, &how, w->q->scales->s, w->q->g->n, w->q->scales->codes);
}

/* ---- Rows that are better as they were ---- */

static void keep_nearest(const struct work *w, size_t row)
{
    const struct lb_gptq *q = w->q;
    memcpy(q->near + row * w->k, q->w + row * w->k, w->k * sizeof *q->near);
    for (size_t g = row * q->g->per_row; w->on_the_way && g < (row + 1) * q->g->per_row; g++) {
        q->scales->s[g] = w->own.s[g];
        if (q->scales->zeros)
            q->scales->zeros[g] = w->own.zeros[g];
    }
}

static int compare(const struct work *w, struct lb_err *err)
{
    const struct lb_gptq *q = w->q;
    const size_t rows = q->g->rows;
    double *fitted = lb_alloc(2 * rows, sizeof *fitted, err), *nearest = fitted + rows;
    const int r = !fitted || lb_fit_errors(q->products, w->diagonal, w->fitted, rows, w->k, q->host, fitted, err) ||
                          lb_fit_errors(q->products, w->diagonal, w->nearest, rows, w->k, q->host, nearest, err)
                      ? -1
                      : 0;
    for (size_t i = 0; !r && i < rows; i++)
        if (!(fitted[i] <= nearest[i]))
            keep_nearest(w, i);
    lb_free(fitted);
    return r;
}

static int allocate(struct work *w, struct lb_err *err)
{
    const size_t elems = w->q->g->rows * w->k;
    w->order = lb_alloc(w->k, sizeof *w->order, err);
    w->diagonal = lb_alloc(w->k, sizeof *w->diagonal, err);
    w->fitted = lb_alloc(elems, sizeof *w->fitted, err);
    w->nearest = lb_alloc(elems, sizeof *w->nearest, err);
    return w->order && w->diagonal && w->fitted && w->nearest ? 0 : -1;
}

int lb_fit_gptq(const struct lb_gptq *q, struct lb_err *err)
{
    struct work w = {.q = q, .k = q->g->cols, .on_the_way = is_on_the_way(q->f)};
    const int r = allocate(&w, err) || find_order(&w, err) || find_hessian(&w, err) || lb_fit_factor(q->products, w.k, q->host, err) ||
                          start_scales(&w, err) || fit_rows(&w, err) || compare(&w, err)
                      ? -1
                      : 0;
    if (!r && w.on_the_way)
        store_scales(&w);
    lb_scales_finish(&w.own);
    lb_free(w.order);
    lb_free(w.diagonal);
    lb_free(w.fitted);
    lb_free(w.nearest);
    return r;
}
