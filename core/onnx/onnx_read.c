/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/onnx/onnx_impl.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

enum { OLDEST_OPSET = 7 /* from which on Add broadcasts as it does now */ };

const char *lb_onnx_text(const char *s)
{
    return s ? s : "";
}

/* ---- Names ------------------------------------------------------------------------------------------------------------------------ */

/* `names`: what a node may take. */
static int define(json_t *names, const char *name, const char *what, struct lb_err *err)
{
    char text[64];
    lb_name_text(name, text, sizeof text);
    if (!*name)
        return lb_fail(err, "%s has no name", what);
    if (json_object_get(names, name))
        return lb_fail(err, "%s \"%s\": there is a value of this name already", what, text);
    if (json_object_set_new(names, name, json_true()))
        return lb_fail(err, "%s \"%s\": the name is not UTF-8, or out of memory", what, text);
    return 0;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------ */

static int is_among(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n && names[i]; i++)
        if (!strcmp(names[i], name))
            return 1;
    return 0;
}

static int check_attributes(const Pb__Node *node, const struct lb_onnx_op *op, struct lb_err *err)
{
    char text[64];
    for (size_t i = 0; i < node->n_attribute; i++) {
        const char *name = lb_onnx_text(node->attribute[i]->name);
        lb_name_text(name, text, sizeof text);
        if (!is_among(op->attributes, LB_ONNX_ATTRIBUTES, name))
            return lb_fail(err, "attribute \"%s\" is not supported", text);
        for (size_t j = 0; j < i; j++)
            if (!strcmp(name, lb_onnx_text(node->attribute[j]->name)))
                return lb_fail(err, "attribute \"%s\" is there twice", text);
    }
    return 0;
}

static int check_inputs(const Pb__Node *node, const struct lb_onnx_op *op, json_t *names, struct lb_err *err)
{
    char text[64];
    size_t most = 0;
    while (most < LB_ONNX_INPUTS && op->inputs[most])
        most++;
    if (node->n_input < op->needed || node->n_input > most)
        return lb_fail(err, "%zu inputs, wanted %zu to %zu", node->n_input, op->needed, most);
    for (size_t i = 0; i < node->n_input; i++) {
        const char *name = node->input[i];
        if (!*name && i >= op->needed)
            continue;
        if (!json_object_get(names, name))
            return lb_fail(err, "input %s, \"%s\", is no input or initializer of the graph and no output of a node before it",
                           op->inputs[i], lb_name_text(name, text, sizeof text));
    }
    return 0;
}

static int check_imported(const Pb__Model *m, const char *domain, struct lb_err *err)
{
    for (size_t i = 0; i < m->n_opset; i++) {
        const char *name = lb_onnx_text(m->opset[i]->domain);
        if (strcmp(strcmp(name, "ai.onnx") ? name : "", domain) != 0)
            continue;
        if (!*domain && m->opset[i]->version < OLDEST_OPSET)
            return lb_fail(err, "version %" PRId64 " of the operator set, wanted %d or later", m->opset[i]->version, OLDEST_OPSET);
        return 0;
    }
    return lb_fail(err, "the model does not import the operator set \"%s\"", domain);
}

static int check_node(const Pb__Model *m, const Pb__Node *node, json_t *names, struct lb_err *err)
{
    const struct lb_onnx_op *op = lb_onnx_find(lb_onnx_text(node->domain), lb_onnx_text(node->op));
    if (!op)
        return lb_fail(err, "the operator is not supported (domain \"%.64s\")", lb_onnx_text(node->domain));
    if (check_imported(m, op->domain, err) || check_attributes(node, op, err) || check_inputs(node, op, names, err))
        return -1;
    if (node->n_output != 1)
        return lb_fail(err, "%zu outputs, wanted 1", node->n_output);
    return define(names, node->output[0], "output", err);
}

/* ---- The graph -------------------------------------------------------------------------------------------------------------------- */

static int take_initializer(struct lb_onnx *m, const Pb__Tensor *t, struct lb_err *err)
{
    const char *name = lb_onnx_text(t->name);
    struct lb_tensor x;
    char text[64];
    lb_name_text(name, text, sizeof text);
    if (!*name)
        return lb_fail(err, "an initializer has no name");
    if (lb_onnx_tensor(t, m->path, &x, err))
        return lb_fail_in(err, "initializer \"%s\"", text);
    const int r = lb_safetensors_add(&m->constants, name, &x, err);
    lb_tensor_finish(&x);
    return r;
}

static int check_graph(struct lb_onnx *m, json_t *names, struct lb_err *err)
{
    const Pb__Graph *g = m->model->graph;
    char op[64], name[64];
    for (size_t i = 0; i < g->n_initializer; i++)
        if (take_initializer(m, g->initializer[i], err) || define(names, g->initializer[i]->name, "initializer", err))
            return -1;
    for (size_t i = 0; i < g->n_input; i++) {
        const char *input = lb_onnx_text(g->input[i]->name);
        if (!lb_safetensors_find(&m->constants, input) && define(names, input, "input", err))
            return -1;
    }
    for (size_t i = 0; i < g->n_node; i++)
        if (check_node(m->model, g->node[i], names, err))
            return lb_fail_in(err, "node %zu, %s \"%s\"", i, lb_name_text(lb_onnx_text(g->node[i]->op), op, sizeof op),
                              lb_name_text(lb_onnx_text(g->node[i]->name), name, sizeof name));
    for (size_t i = 0; i < g->n_output; i++)
        if (!json_object_get(names, lb_onnx_text(g->output[i]->name)))
            return lb_fail(err, "output \"%s\" is made by no node", lb_name_text(lb_onnx_text(g->output[i]->name), name, sizeof name));
    return g->n_output ? 0 : lb_fail(err, "the graph has no outputs");
}

int lb_onnx_parse(const void *data, size_t n, const char *path, struct lb_onnx **out, struct lb_err *err)
{
    struct lb_onnx *m = lb_alloc(1, sizeof *m, err);
    json_t *names = json_object();
    int r = m && (m->path = lb_strdup(path, err)) ? 0 : -1;
    *out = NULL;
    if (!r && !names)
        r = lb_fail(err, "out of memory");
    if (!r && !(m->model = pb__model__unpack(NULL, n, data)))
        r = lb_fail(err, "no ONNX model, or one that is cut off (%zu bytes)", n);
    if (!r && !m->model->graph)
        r = lb_fail(err, "no graph: no ONNX model, or one that is cut off (%zu bytes)", n);
    if (!r)
        r = check_graph(m, names, err);
    json_decref(names);
    if (r) {
        lb_onnx_destroy(m);
        return lb_fail_in(err, "%s", path);
    }
    *out = m;
    return 0;
}

int lb_onnx_open(const char *path, struct lb_onnx **out, struct lb_err *err)
{
    struct lb_map map;
    *out = NULL;
    if (lb_map_open(path, &map, err))
        return -1;
    const int r = lb_onnx_parse(map.data, map.size, path, out, err);
    lb_map_close(&map);
    return r;
}

void lb_onnx_destroy(struct lb_onnx *m)
{
    if (!m)
        return;
    lb_safetensors_finish(&m->constants);
    if (m->model)
        pb__model__free_unpacked(m->model, NULL);
    lb_free(m->path);
    lb_free(m);
}
