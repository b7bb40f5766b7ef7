/* SPDX-License-Identifier: MIT */
/* fit_gptq.c - codes column after column: what a column loses is made up for by the columns to come. GPTQ updates those with a factor of the inverse of H; with L^T L =
 * H itself the same targets come out of one triangular solve, without an inverse: t_j = w_j + (sum of the earlier e_i L_ji) / L_jj. */
#include "core/base/mem.h"
#include "core/nn/fit_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16 /* rows of weights at a time, side by side: each sum is a chain */ };

struct work {
    const struct lb_gptq *q;
    size_t k;
    size_t *order;  /* (k) the column that is at each place */
    int on_the_way; /* the scales of a block are found when it begins */
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
static int find_order(struct work *w, struct lb_err *err)
{
    const size_t k = w->k;
    struct place *p = lb_alloc(k, sizeof *p, err);
    w->order = lb_alloc(k, sizeof *w->order, err);
    if (!p || !w->order) {
        lb_free(p);
        return -1;
    }
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

/* The column's codes: of `near`, what they are worth, and what that leaves. */
static void round_column(const struct lanes *l, size_t place, const double t[LANES])
{
    const struct lb_gptq *q = l->w->q;
    const struct lb_format *f = q->f;
    const struct lb_encode how = {.rounding = f->config->rounding, .overflow = f->config->overflow};
    const size_t col = l->w->order[place];
    const float *s = q->scales->s, *z = q->scales->zeros;
    float into[LANES], out[LANES];
    unsigned char codes[LANES * sizeof(uint64_t)];
    for (size_t i = 0; i < l->n; i++) {
        const size_t at = scale_at(q->g, l->first + i, col);
        const float near = (float)t[i];
        q->near[(l->first + i) * l->w->k + col] = near;
        into[i] = lb_scale_into(f, near, s ? s[at] : 1.0f, z ? z[at] : 0.0f);
    }
    lb_encode_f32(f->coder, &how, into, l->n, codes);
    lb_decode_f32(f->coder, codes, l->n, out);
    for (size_t i = 0; i < l->n; i++) {
        const size_t row = l->first + i, at = scale_at(q->g, row, col);
        const float v = lb_scale_out(f, out[i], s ? s[at] : 1.0f, z ? z[at] : 0.0f);
        l->e[place][i] = isfinite(v) ? (double)q->w[row * l->w->k + col] - (double)v : 0;
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

static int fit_lanes(struct lanes *l)
{
    const struct work *w = l->w;
    const size_t block = w->q->g->block;
    double t[LANES];
    l->e = lb_alloc(w->k, sizeof *l->e, &l->err);
    l->now = lb_alloc(w->on_the_way ? l->n * block : 0, sizeof *l->now, &l->err);
    int r = l->e && l->now ? 0 : -1;
    for (size_t place = 0; !r && place < w->k; place++) {
        if (w->on_the_way && place % block == 0)
            r = begin_block(l, place);
        if (r)
            break;
        targets(l, place, t);
        round_column(l, place, t);
    }
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

static int start_scales(const struct work *w, struct lb_err *err)
{
    const struct lb_gptq *q = w->q;
    struct lb_scaler scaler;
    if (!q->f->scale)
        return 0;
    lb_scaler_init(q->f, q->g, &scaler);
    return w->on_the_way ? lb_scales_start(&scaler, q->g, q->scales, err) : lb_scales_make(q->f, q->g, q->w, q->scales, err);
}

/* Codes of scales that are values of their codec: encoding finds them again. */
static void store_scales(const struct work *w)
{
    const struct lb_format *scale = w->q->f->scale;
    const struct lb_encode how = {.rounding = scale->config->rounding, .overflow = scale->config->overflow};
    lb_encode_f32(scale->coder, &how, w->q->scales->s, w->q->g->n, w->q->scales->codes);
}

int lb_fit_gptq(const struct lb_gptq *q, struct lb_err *err)
{
    struct work w = {.q = q, .k = q->g->cols, .on_the_way = is_on_the_way(q->f)};
    const int r = find_order(&w, err) || find_hessian(&w, err) || lb_fit_factor(q->products, w.k, q->host, err) || start_scales(&w, err) ||
                          fit_rows(&w, err)
                      ? -1
                      : 0;
    if (!r && w.on_the_way)
        store_scales(&w);
    lb_free(w.order);
    return r;
}
