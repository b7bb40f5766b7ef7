/* SPDX-License-Identifier: MIT */
/* qat_file.c - the scales that training found, beside the weights it made, and the trial's use of them. */
#include "core/base/mem.h"
#include "core/nn/qat_impl.h"

#include <stdio.h>
#include <string.h>

static const char *scale_name(const char *parameter, char *buf, size_t size)
{
    snprintf(buf, size, "%.31s.scale", parameter);
    return buf;
}

int lb_qat_scales(const struct lb_net *n, struct lb_safetensors *st, struct lb_err *err)
{
    for (size_t i = 0; i < n->m->n_params; i++) {
        const struct lb_qat_own *o = n->qat->param[i].own;
        struct lb_tensor t = {0};
        char name[48];
        if (!o)
            continue;
        if (lb_tensor_init(&t, LB_F32, 1, &o->found.g.n, err))
            return -1;
        memcpy(t.data, o->found.s, t.bytes);
        const int r = lb_safetensors_add(st, scale_name(n->m->params[i].name, name, sizeof name), &t, err);
        lb_tensor_finish(&t);
        if (r)
            return -1;
    }
    return 0;
}

int lb_qat_has_scales(const struct lb_safetensors *trained, const char *parameter)
{
    char name[48];
    return lb_safetensors_find(trained, scale_name(parameter, name, sizeof name)) != NULL;
}

int lb_qat_encode(const struct lb_model *m, size_t i, const struct lb_format *f, const struct lb_safetensors *trained,
                  struct lb_safetensors *st, struct lb_format_stats *stats, struct lb_err *err)
{
    const struct lb_param_tensor *p = &m->params[i];
    struct lb_scales s = {0};
    char name[48];
    const struct lb_tensor *t = lb_safetensors_find(trained, scale_name(p->name, name, sizeof name));
    if (lb_groups_of(f, p->ndim, p->shape, &s.g, err))
        return -1;
    if (!t || t->dtype != LB_F32 || t->elems != s.g.n)
        return lb_fail(err, "tensor %s: expected %zu F32 scales", name, s.g.n);
    s.s = lb_alloc(s.g.n, sizeof *s.s, err);
    s.codes = lb_alloc(s.g.n, sizeof *s.s, err);
    s.code_bytes = s.g.n * sizeof *s.s;
    int r = s.s && s.codes ? 0 : -1;
    if (!r) {
        memcpy(s.s, t->data, s.code_bytes);
        memcpy(s.codes, t->data, s.code_bytes);
        r = lb_format_encode_near(f, p->name, p->value, p->value, &s, p->ndim, p->shape, st, stats, err);
    }
    lb_scales_finish(&s);
    return r;
}
