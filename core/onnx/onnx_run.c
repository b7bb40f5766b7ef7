/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"
#include "core/onnx/onnx_impl.h"
#include "core/plugins.h"

#include <inttypes.h>
#include <string.h>

/* ---- Inputs ----------------------------------------------------------------------------------------------------------------------- */

static int check_shape(const Pb__Shape *s, const struct lb_tensor *t, struct lb_err *err)
{
    char text[LB_MAX_DIMS * 24];
    lb_shape_text(t->ndim, t->shape, text, sizeof text);
    if (s->n_dim != t->ndim)
        return lb_fail(err, "shape %s, wanted %zu dimensions", text, s->n_dim);
    for (unsigned i = 0; i < t->ndim; i++)
        if (s->dim[i]->has_value && (s->dim[i]->value < 0 || (uint64_t)s->dim[i]->value != t->shape[i]))
            return lb_fail(err, "shape %s, wanted %" PRId64 " in dimension %u", text, s->dim[i]->value, i);
    return 0;
}

/* A tensor of the file against what the model says of the input. */
static int check_input(const Pb__Value *v, const struct lb_tensor *t, struct lb_err *err)
{
    const Pb__TensorType *type = v->type ? v->type->tensor : NULL;
    if (v->type && !type)
        return lb_fail(err, "the model wants something that is no tensor");
    const int dtype = type && type->has_type ? lb_onnx_dtype(type->type, err) : (int)t->dtype;
    if (dtype < 0)
        return -1;
    if (dtype != (int)t->dtype)
        return lb_fail(err, "dtype %s, wanted %s", lb_dtypes[t->dtype].name, lb_dtypes[dtype].name);
    return type && type->shape ? check_shape(type->shape, t, err) : 0;
}

static int add_view(struct lb_safetensors *values, const char *name, const struct lb_tensor *t, struct lb_err *err)
{
    struct lb_tensor view = *t;
    view.owned = 0;
    return lb_safetensors_add(values, name, &view, err);
}

static int take_inputs(const struct lb_onnx *m, const struct lb_safetensors *in, struct lb_safetensors *values, struct lb_err *err)
{
    const Pb__Graph *g = m->model->graph;
    char text[64];
    for (size_t i = 0; i < g->n_input; i++) {
        const char *name = lb_onnx_text(g->input[i]->name);
        const struct lb_tensor *t = lb_safetensors_find(in, name);
        if (!t && lb_safetensors_find(&m->constants, name))
            continue;
        lb_name_text(name, text, sizeof text);
        if (!t)
            return lb_fail(err, "input \"%s\" is missing", text);
        if (check_input(g->input[i], t, err))
            return lb_fail_in(err, "input \"%s\"", text);
        if (add_view(values, name, t, err))
            return -1;
    }
    for (size_t i = 0; i < in->n; i++)
        if (!lb_safetensors_find(values, in->items[i].name))
            return lb_fail(err, "the model has no input \"%s\"", lb_name_text(in->items[i].name, text, sizeof text));
    for (size_t i = 0; i < m->constants.n; i++)
        if (!lb_safetensors_find(values, m->constants.items[i].name) &&
            add_view(values, m->constants.items[i].name, &m->constants.items[i].t, err))
            return -1;
    return 0;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------ */

static int run_node(const struct lb_onnx *m, struct lb_dev *d, const Pb__Node *node, struct lb_safetensors *values, struct lb_err *err)
{
    const struct lb_onnx_op *op = lb_onnx_find(lb_onnx_text(node->domain), lb_onnx_text(node->op));
    struct lb_onnx_call c = {.model = m, .node = node, .dev = d};
    for (size_t i = 0; i < node->n_input; i++)
        c.in[i] = *node->input[i] ? lb_safetensors_find(values, node->input[i]) : NULL;
    const int r = op->run(&c, err) || lb_safetensors_add(values, node->output[0], &c.out, err) ? -1 : 0;
    lb_tensor_finish(&c.out);
    return r;
}

static int run_graph(const struct lb_onnx *m, struct lb_dev *d, struct lb_safetensors *values, struct lb_safetensors *out,
                     struct lb_err *err)
{
    const Pb__Graph *g = m->model->graph;
    char op[64], name[64];
    for (size_t i = 0; i < g->n_node; i++)
        if (run_node(m, d, g->node[i], values, err))
            return lb_fail_in(err, "node %zu, %s \"%s\"", i, lb_name_text(lb_onnx_text(g->node[i]->op), op, sizeof op),
                              lb_name_text(lb_onnx_text(g->node[i]->name), name, sizeof name));
    for (size_t i = 0; i < g->n_output; i++) {
        struct lb_tensor t = {0};
        const int r = lb_tensor_clone(lb_safetensors_find(values, g->output[i]->name), &t, err) ||
                              lb_safetensors_add(out, g->output[i]->name, &t, err)
                          ? -1
                          : 0;
        lb_tensor_finish(&t);
        if (r)
            return -1;
    }
    return 0;
}

int lb_onnx_run(const struct lb_onnx *m, struct lb_dev *d, const struct lb_safetensors *in, struct lb_safetensors *out, struct lb_err *err)
{
    struct lb_safetensors values = {0};
    const int r = take_inputs(m, in, &values, err) || run_graph(m, d, &values, out, err) ? -1 : 0;
    lb_safetensors_finish(&values);
    return r ? lb_fail_in(err, "%s", m->path) : 0;
}
