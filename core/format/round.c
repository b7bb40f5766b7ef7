/* SPDX-License-Identifier: MIT */
#include "core/format/round.h"
#include "core/base/mem.h"
#include "core/format/scale.h"

#include <string.h>

struct job {
    const struct lb_round *r;
    float *x;
    struct lb_groups g;
    struct lb_scales scales;
    size_t row, row_bytes; /* elements and bytes of a row in whole units */
    size_t jobs;
    float *work;          /* (jobs, row) */
    unsigned char *codes; /* (jobs, row_bytes) */
};

int lb_round_check(const struct lb_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    if (c->n_layers || c->activations)
        return lb_fail(err, "activations in format %s: \"%s\" is not for activations", c->name, c->n_layers ? "layers" : "activations");
    return 0;
}

static void scale_of(const struct job *j, size_t row, size_t col, float *s, float *z)
{
    const struct lb_round *r = j->r;
    const size_t g = j->g.per_row ? row * j->g.per_row + col / j->g.block : 0;
    *s = r->calibrated ? r->s : j->scales.s ? j->scales.s[g] : 1.0f;
    *z = r->calibrated ? r->z : j->scales.zeros ? j->scales.zeros[g] : 0.0f;
}

static void one_row(const struct job *j, size_t i, float *work, unsigned char *codes)
{
    const struct lb_round *r = j->r;
    const struct lb_format *f = r->f;
    const size_t cols = j->g.cols;
    float *x = j->x + i * cols, s, z;
    const struct lb_encode how = {.rounding = f->config->rounding,
                                  .overflow = f->config->overflow,
                                  .seed = r->seed,
                                  .stream = r->stream,
                                  .first = r->first + (uint64_t)i * cols};
    for (size_t k = 0; k < cols; k++) {
        scale_of(j, i, k, &s, &z);
        work[k] = lb_scale_into(f, x[k], s, z);
    }
    memset(work + cols, 0, (j->row - cols) * sizeof *work);
    lb_encode_f32(f->coder, &how, work, j->row, codes);
    lb_decode_f32(f->coder, codes, j->row, work);
    for (size_t k = 0; k < cols; k++) {
        scale_of(j, i, k, &s, &z);
        x[k] = lb_scale_out(f, work[k], s, z);
    }
}

static void some_rows(void *arg, size_t job)
{
    const struct job *j = arg;
    for (size_t i = j->g.rows * job / j->jobs; i < j->g.rows * (job + 1) / j->jobs; i++)
        one_row(j, i, j->work + job * j->row, j->codes + job * j->row_bytes);
}

int lb_round_matrix(const struct lb_round *r, float *x, size_t rows, size_t cols, struct lb_err *err)
{
    const struct lb_format *f = r->f;
    const size_t unit = f->codec->unit_elems;
    const size_t shape[2] = {rows, cols};
    struct job j = {.r = r, .x = x, .jobs = r->host->threads};
    int failed = lb_groups_of(f, 2, shape, &j.g, err);
    j.row = (cols + unit - 1) / unit * unit;
    failed = failed || lb_coder_bytes(f->coder, j.row, &j.row_bytes) ||
                     (!r->calibrated && f->scale && lb_scales_make(f, &j.g, x, &j.scales, err))
                 ? -1
                 : 0;
    j.work = failed ? NULL : lb_alloc(j.jobs * j.row, sizeof *j.work, err);
    j.codes = failed ? NULL : lb_alloc(j.jobs * j.row_bytes, 1, err);
    if (!failed && j.work && j.codes)
        r->host->parallel(r->host, j.jobs, some_rows, &j);
    failed = failed || !j.work || !j.codes ? -1 : 0;
    lb_scales_finish(&j.scales);
    lb_free(j.work);
    lb_free(j.codes);
    return failed;
}
