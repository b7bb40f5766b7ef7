/* SPDX-License-Identifier: MIT */
#include "core/format/round.h"
#include "core/base/mem.h"
#include "core/format/scale.h"

#include <string.h>

struct job {
    const struct lb_round *r;
    float *x;
    size_t rows, cols;
    size_t row, row_bytes; /* elements and bytes of a row in whole units */
    size_t jobs;
    int by_rows; /* what shares a scale lies in one row, and so does what shares that one's */
    struct part {
        struct lb_groups g;
        struct lb_scales scales;
        size_t first; /* its scales are those of the rows from here on */
        float *work;  /* (row) */
        unsigned char *codes;
        struct lb_err err;
        int failed;
    } * part; /* (jobs); of the first one all scales where rows share them */
};

int lb_round_check(const struct lb_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    if (c->n_layers || c->activations)
        return lb_fail(err, "activations in format %s: \"%s\" is not for activations", c->name, c->n_layers ? "layers" : "activations");
    return 0;
}

static void scale_of(const struct lb_round *r, const struct part *p, size_t row, size_t col, float *s, float *z)
{
    const size_t g = p->g.per_row ? (row - p->first) * p->g.per_row + col / p->g.block : 0;
    *s = r->calibrated ? r->s : p->scales.s ? p->scales.s[g] : 1.0f;
    *z = r->calibrated ? r->z : p->scales.zeros ? p->scales.zeros[g] : 0.0f;
}

static void one_row(const struct job *j, const struct part *p, const struct part *scales, size_t i)
{
    const struct lb_round *r = j->r;
    const struct lb_format *f = r->f;
    float *x = j->x + i * j->cols, s, z;
    const struct lb_encode how = {.rounding = f->config->rounding,
                                  .overflow = f->config->overflow,
                                  .seed = r->seed,
                                  .stream = r->stream,
                                  .first = r->first + (uint64_t)i * j->cols};
    for (size_t k = 0; k < j->cols; k++) {
        scale_of(r, scales, i, k, &s, &z);
        p->work[k] = lb_scale_into(f, x[k], s, z);
    }
    memset(p->work + j->cols, 0, (j->row - j->cols) * sizeof *p->work);
    lb_encode_f32(f->coder, &how, p->work, j->row, p->codes);
    lb_decode_f32(f->coder, p->codes, j->row, p->work);
    for (size_t k = 0; k < j->cols; k++) {
        scale_of(r, scales, i, k, &s, &z);
        x[k] = lb_scale_out(f, p->work[k], s, z);
    }
}

/* The scales of n rows, where the format has any that are not given. */
static int find_scales(const struct job *j, struct part *p, size_t first, size_t n, struct lb_err *err)
{
    const size_t shape[2] = {n, j->cols};
    const struct lb_format *f = j->r->f;
    p->first = first;
    if (lb_groups_of(f, 2, shape, &p->g, err))
        return -1;
    return !j->r->calibrated && f->scale ? lb_scales_make(f, &p->g, j->x + first * j->cols, &p->scales, err) : 0;
}

static void some_rows(void *arg, size_t at)
{
    const struct job *j = arg;
    struct part *p = &j->part[at];
    const size_t first = j->rows * at / j->jobs, end = j->rows * (at + 1) / j->jobs;
    p->failed = j->by_rows && first < end && find_scales(j, p, first, end - first, &p->err);
    for (size_t i = first; i < end && !p->failed; i++)
        one_row(j, p, j->by_rows ? p : j->part, i);
}

static int make_parts(struct job *j, struct lb_err *err)
{
    j->part = lb_alloc(j->jobs, sizeof *j->part, err);
    for (size_t i = 0; j->part && i < j->jobs; i++) {
        j->part[i].work = lb_alloc(j->row, sizeof *j->part[i].work, err);
        j->part[i].codes = lb_alloc(j->row_bytes, 1, err);
        if (!j->part[i].work || !j->part[i].codes)
            return -1;
    }
    return j->part ? 0 : -1;
}

static void free_parts(struct job *j)
{
    for (size_t i = 0; j->part && i < j->jobs; i++) {
        lb_scales_finish(&j->part[i].scales);
        lb_free(j->part[i].work);
        lb_free(j->part[i].codes);
    }
    lb_free(j->part);
}

int lb_round_matrix(const struct lb_round *r, float *x, size_t rows, size_t cols, struct lb_err *err)
{
    const struct lb_format *f = r->f;
    const struct lb_format_config *c = f->config;
    const size_t unit = f->codec->unit_elems;
    struct job j = {.r = r, .x = x, .rows = rows, .cols = cols, .jobs = r->host->threads};
    j.by_rows = c->per != LB_PER_TENSOR && !(f->scale && f->scale->config->rule != LB_SCALE_NONE);
    j.row = (cols + unit - 1) / unit * unit;
    int failed = lb_coder_bytes(f->coder, j.row, &j.row_bytes) ? lb_fail(err, "%zu elements a row: too many", cols) : 0;
    failed = failed || make_parts(&j, err) || (!j.by_rows && find_scales(&j, j.part, 0, rows, err)) ? -1 : 0;
    if (!failed)
        r->host->parallel(r->host, j.jobs, some_rows, &j);
    for (size_t i = 0; !failed && i < j.jobs; i++)
        if (j.part[i].failed)
            failed = lb_fail(err, "%s", j.part[i].err.text);
    free_parts(&j);
    return failed;
}
