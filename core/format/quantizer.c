/* SPDX-License-Identifier: MIT */
/* quantizer.c - a format's encoding as data, for devices. */
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/format/scale.h"

struct lb_quantizer_tables {
    struct lb_quantizer q;
    int32_t *first;
    uint32_t *code;
    float *member;
    struct lb_quantizer_tables *scale;
};

void lb_quantizer_destroy(struct lb_quantizer_tables *q)
{
    if (!q)
        return;
    lb_quantizer_destroy(q->scale);
    lb_free(q->first);
    lb_free(q->code);
    lb_free(q->member);
    lb_free(q);
}

const struct lb_quantizer *lb_quantizer_data(const struct lb_quantizer_tables *q)
{
    return &q->q;
}

/* Whether scales are stored otherwise than as binary32. */
static int has_narrow_scales(const struct lb_format *f)
{
    return f->scale && f->config->scale && (f->scale->codec->bits <= 16 || f->scale->config->rule != LB_SCALE_NONE);
}

const char *lb_quantizer_lacks(const struct lb_format *f)
{
    const struct lb_format_config *c = f->config;
    if (!f->codec->bits || f->codec->bits > 16)
        return "a codec without a table";
    if (c->overflow == LB_WRAP || (c->overflow < 0 && f->codec->overflow == LB_WRAP))
        return "overflow wrap";
    if (c->rule == LB_SCALE_MULTIPLY || lb_scale_has_zero(c))
        return c->scale_text;
    if (!c->calibrated && (c->rule == LB_SCALE_PERCENTILE || c->rule == LB_SCALE_MSE))
        return "a scale that is searched for in each batch";
    if (f->scale && f->scale->config->per == LB_PER_BLOCK)
        return "scales in blocks of their own";
    return has_narrow_scales(f) ? lb_quantizer_lacks(f->scale) : NULL;
}

static int fill_tables(const struct lb_format *f, struct lb_quantizer_tables *t, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    struct lb_quantizer *q = &t->q;
    const struct lb_encode how = {.rounding = c->rounding, .overflow = c->overflow};
    const double *values;
    if (lb_coder_intervals(f->coder, &how, &q->n, &t->first, &t->code, err))
        return -1;
    q->first = t->first;
    q->code = t->code;
    q->nan_code = f->codec->nan_code;
    q->stochastic = c->rounding == LB_STOCHASTIC;
    lb_coder_members(f->coder, &q->n_members, &values, &q->member_code);
    t->member = lb_alloc(q->n_members, sizeof *t->member, err);
    if (!t->member)
        return -1;
    for (size_t i = 0; i < q->n_members; i++)
        t->member[i] = (float)values[i];
    q->member = t->member;
    return 0;
}

static void fill_rule(const struct lb_format *f, float value, struct lb_quantizer *q)
{
    const struct lb_format_config *c = f->config;
    q->rule = c->calibrated ? LB_SCALE_FIXED : (uint32_t)c->rule;
    q->value = c->calibrated ? value : (float)c->value;
    q->top = (float)f->high;
    q->emax = f->high > 0 ? lb_scale_emax(f) : 0;
    q->fraction = c->rule == LB_SCALE_EVEN ? lb_scale_fraction(f) : 0;
    q->clamp = lb_scale_is_symmetric(f);
    q->block = c->per == LB_PER_BLOCK ? (size_t)c->block : c->per == LB_PER_TENSOR || c->per == LB_PER_NONE ? SIZE_MAX : 0;
}

int lb_quantizer_create(const struct lb_format *f, float value, struct lb_quantizer_tables **out, struct lb_err *err)
{
    *out = NULL;
    if (lb_quantizer_lacks(f))
        return lb_fail(err, "format %s: %s: not for devices", f->config->name, lb_quantizer_lacks(f));
    struct lb_quantizer_tables *t = lb_alloc(1, sizeof *t, err);
    if (!t)
        return -1;
    lb_codes_init(f->coder, f->codec_sha256, &t->q.q);
    fill_rule(f, value, &t->q);
    if (fill_tables(f, t, err) || (has_narrow_scales(f) && lb_quantizer_create(f->scale, 0, &t->scale, err))) {
        lb_quantizer_destroy(t);
        return -1;
    }
    t->q.scale = t->scale ? &t->scale->q : NULL;
    *out = t;
    return 0;
}
