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

static int check(const struct lb_format *f, struct lb_err *err)
{
    const struct lb_format_config *c = f->config;
    if (!f->codec->bits || f->codec->bits > 16)
        return lb_fail(err, "codec %s has no table, and activations are encoded by tables", f->codec->base.name);
    if (c->n_layers || c->activations || c->high_first > 0)
        return lb_fail(err, "\"%s\" is not for activations", c->n_layers ? "layers" : c->activations ? "activations" : "order");
    if (c->overflow == LB_WRAP || (c->overflow < 0 && f->codec->overflow == LB_WRAP))
        return lb_fail(err, "overflow wrap is for weights only");
    if (c->rule == LB_SCALE_MULTIPLY || (!c->calibrated && c->rule >= LB_SCALE_ASYMMETRIC && c->rule <= LB_SCALE_MSE))
        return lb_fail(err, "scale %s is for weights, or must be calibrated: no device finds it for each batch", c->scale_text);
    if (c->calibrated && c->rule == LB_SCALE_ASYMMETRIC)
        return lb_fail(err, "scale asymmetric is for weights only");
    if (f->scale && f->scale->config->per == LB_PER_BLOCK)
        return lb_fail(err, "scales in blocks of their own are for weights only");
    return 0;
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
    if (check(f, err))
        return lb_fail_in(err, "activations in format %s", f->config->name);
    struct lb_quantizer_tables *t = lb_alloc(1, sizeof *t, err);
    if (!t)
        return -1;
    lb_codes_init(f->coder, f->codec_sha256, &t->q.q);
    fill_rule(f, value, &t->q);
    const int narrow = f->scale && f->config->scale && (f->scale->codec->bits <= 16 || f->scale->config->rule != LB_SCALE_NONE);
    if (fill_tables(f, t, err) || (narrow && lb_quantizer_create(f->scale, 0, &t->scale, err))) {
        lb_quantizer_destroy(t);
        return -1;
    }
    t->q.scale = t->scale ? &t->scale->q : NULL;
    *out = t;
    return 0;
}
