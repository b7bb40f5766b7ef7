/* SPDX-License-Identifier: MIT */
/* plan_qat.c - trainings that know a format ("qat"): what of it they know, and so what their hash covers. */
#include "core/base/json.h"
#include "core/run/plan.h"

#include <stdio.h>

int lb_plan_qat_reads(const struct lb_qat_config *c, int mode)
{
    return c->method == LB_QAT_FAKE && c->activations && (mode == LB_MODE_WA || mode == LB_MODE_INTEGER);
}

int lb_plan_qat_mode(const struct lb_qat_config *c, int mode)
{
    return mode == LB_MODE_INTEGER ? mode : lb_plan_qat_reads(c, mode) ? LB_MODE_WA : LB_MODE_W;
}

int lb_plan_qat_identity(const struct lb_plan *p, const struct lb_training *t, json_t *o)
{
    const struct lb_format_fact *f = &p->formats[t->format];
    const int integer = t->mode == LB_MODE_INTEGER, reads = lb_plan_qat_reads(&f->config->qat, t->mode);
    const struct lb_format_config *a = integer ? f->codes : f->activations;
    int lost = json_object_set(o, "format", f->config->json) || json_object_set_new(o, "codec", json_string(f->sha256)) ||
               json_object_set_new(o, "biases", json_boolean(!integer));
    if (reads)
        lost = lost || json_object_set(o, "activations", a->json) ||
               json_object_set_new(o, "activations_codec", json_string(integer ? f->codes_sha256 : f->activations_sha256));
    if (reads && a->calibrated)
        lost = lost || json_object_set_new(o, "calibration", json_integer((json_int_t)p->e->calibration_samples));
    if (reads && a->rule == LB_SCALE_MOVING_AVERAGE)
        lost = lost || json_object_set_new(o, "batch", json_integer((json_int_t)p->e->infer_batch));
    return lost;
}

/* "fake quantization from epoch 4, learned scales" */
static const char *described(const struct lb_qat_config *c, char *buf, size_t size)
{
    static const char *const scales[] = {
        [LB_QAT_DYNAMIC] = "", [LB_QAT_CALIBRATED] = ", calibrated scales", [LB_QAT_LEARNED] = ", learned scales"};
    static const char *const roundings[] = {"", ", rounded to nearest", ", stochastic rounding"};
    char every[60] = "";
    if (c->every)
        snprintf(every, sizeof every, " every %lld steps", (long long)c->every);
    snprintf(buf, size, "%s%s from epoch %lld%s%s%s", c->method == LB_QAT_ROUND_TRIP ? "round trips" : "fake quantization", every,
             (long long)c->from_epoch, scales[c->scales], roundings[c->rounding],
             c->method == LB_QAT_FAKE && !c->clip ? ", not clipped" : "");
    return buf;
}

json_t *lb_plan_qat_describe(const struct lb_plan *p)
{
    json_t *all = json_array();
    int lost = !all;
    for (size_t i = 0; i < p->e->n_formats; i++) {
        const struct lb_format_config *f = &p->e->formats[i];
        char text[200];
        if (f->has_qat)
            lost |= json_array_append_new(all, json_pack("{ss,ss}", "format", f->name, "described", described(&f->qat, text, sizeof text)));
    }
    if (lost || !json_array_size(all)) {
        json_decref(all);
        return NULL;
    }
    return all;
}
