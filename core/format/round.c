/* SPDX-License-Identifier: MIT */
#include "core/format/round.h"
#include "core/base/mem.h"
#include "core/format/scale.h"
#include "kernels/canon.h"

/* Some rows, which a thread does. */
struct part {
    struct lb_groups g;
    struct lb_scales own; /* of these rows alone */
    unsigned char *codes;
    float *v; /* (rows, row) what the codes are worth */
    struct lb_err err;
    int failed;
};

struct job {
    const struct lb_round *r;
    float *x;
    size_t rows, cols, row; /* row: elements in whole units */
    int by_rows;            /* what shares a scale lies in one row, and each part finds its own */
    const float *s, *z;     /* of all rows, where they do not; or NULL */
    struct part *part;      /* (jobs) */
    size_t jobs;
};

int lb_round_check(const struct lb_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    if (c->n_layers || c->activations)
        return lb_fail(err, "activations in format %s: \"%s\" is not for activations", c->name, c->n_layers ? "layers" : "activations");
    return 0;
}

/* Whether x, scaled, is within the range that codes have, those of symmetric codecs reaching as far down as up. */
static int is_inside(const struct lb_format *f, float x, float s, float z)
{
    const float high = (float)f->high, low = lb_scale_is_symmetric(f) ? -high : (float)f->low;
    const float t = lb_scale_is_symmetric(f) ? (s == 0 ? 0.0f : canon_div(x, s)) : lb_scale_into(f, x, s, z);
    return s > 0 && t >= low && t <= high;
}

/* Rows first .. first + n - 1 become what they are worth. */
static int round_rows(const struct job *j, struct part *p, size_t first, size_t n)
{
    const struct lb_round *r = j->r;
    const struct lb_format *f = r->f;
    const size_t shape[2] = {n, j->cols};
    float *x = j->x + first * j->cols;
    const struct lb_encode how = {.rounding = f->config->rounding,
                                  .overflow = f->config->overflow,
                                  .seed = r->seed,
                                  .stream = r->stream,
                                  .first = r->first + (uint64_t)first * j->cols};
    size_t bytes;
    if (lb_groups_of(f, 2, shape, &p->g, &p->err))
        return -1;
    if (lb_coder_bytes(f->coder, n * j->row, &bytes))
        return lb_fail(&p->err, "%zu rows of %zu elements: too many", n, j->row);
    p->codes = lb_alloc(bytes, 1, &p->err);
    p->v = lb_alloc(n * j->row, sizeof *p->v, &p->err);
    if (!p->codes || !p->v)
        return -1;
    if (j->by_rows && lb_format_codes(f, &p->g, j->row, x, &how, p->codes, &p->own, &p->err))
        return -1;
    const float *s = j->by_rows ? p->own.s : j->s ? j->s + first * p->g.per_row : NULL;
    const float *z = j->by_rows ? p->own.zeros : j->z ? j->z + first * p->g.per_row : NULL;
    if (!j->by_rows)
        lb_format_codes_by(f, &p->g, j->row, x, &how, s, z, p->codes);
    lb_decode_f32(f->coder, p->codes, n * j->row, p->v);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < j->cols; k++) {
            const size_t at = p->g.per_row ? i * p->g.per_row + k / p->g.block : 0;
            const float scale = s ? s[at] : 1.0f, zero = z ? z[at] : 0.0f;
            if (r->inside)
                r->inside[(first + i) * j->cols + k] = is_inside(f, x[i * j->cols + k], scale, zero) ? 1.0f : 0.0f;
            x[i * j->cols + k] = lb_scale_out(f, p->v[i * j->row + k], scale, zero);
        }
    return 0;
}

static void one_part(void *arg, size_t at)
{
    const struct job *j = arg;
    const size_t first = j->rows * at / j->jobs, end = j->rows * (at + 1) / j->jobs;
    j->part[at].failed = first < end && round_rows(j, &j->part[at], first, end - first);
}

/* Calibrated, or found over all rows at once; `shared` keeps them. */
static int find_shared(struct job *j, struct lb_scales *shared, struct lb_err *err)
{
    const struct lb_round *r = j->r;
    const size_t shape[2] = {j->rows, j->cols};
    struct lb_groups g;
    if (r->calibrated) {
        j->s = &r->s;
        j->z = lb_scale_has_zero(r->f->config) ? &r->z : NULL;
        return 0;
    }
    if (lb_groups_of(r->f, 2, shape, &g, err) || lb_scales_make(r->f, &g, j->x, shared, err))
        return -1;
    j->s = shared->s;
    j->z = shared->zeros;
    return 0;
}

int lb_round_matrix(const struct lb_round *r, float *x, size_t rows, size_t cols, struct lb_err *err)
{
    const struct lb_format *f = r->f;
    const size_t unit = f->codec->bits ? 1 : f->codec->unit_elems;
    const int scales_of_rows = f->config->per != LB_PER_TENSOR && (!f->scale || f->scale->config->rule == LB_SCALE_NONE);
    struct job j = {.r = r,
                    .x = x,
                    .rows = rows,
                    .cols = cols,
                    .row = (cols + unit - 1) / unit * unit,
                    .by_rows = scales_of_rows && !r->calibrated,
                    .jobs = r->host->threads};
    struct lb_scales shared = {0};
    j.part = lb_alloc(j.jobs, sizeof *j.part, err);
    int failed = !j.part || (!j.by_rows && find_shared(&j, &shared, err)) ? -1 : 0;
    if (!failed)
        r->host->parallel(r->host, j.jobs, one_part, &j);
    for (size_t i = 0; j.part && i < j.jobs; i++) {
        if (j.part[i].failed)
            failed = lb_fail(err, "%s", j.part[i].err.text);
        lb_scales_finish(&j.part[i].own);
        lb_free(j.part[i].codes);
        lb_free(j.part[i].v);
    }
    lb_scales_finish(&shared);
    lb_free(j.part);
    return failed;
}
