/* SPDX-License-Identifier: MIT */
/* plan_qat.c - trainings that know a format ("qat"): what of it they know, and so what their hash covers. */
#include "core/base/json.h"
#include "core/run/plan.h"

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
