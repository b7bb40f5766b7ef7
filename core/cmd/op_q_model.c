/* SPDX-License-Identifier: MIT */
/* op_q_model.c - q_model: an integer model that `lowbit run` made, from its file alone. */
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/cmd/op_q.h"
#include "core/nn/model.h"
#include "core/nn/q_net.h"
#include "core/run/config_tables.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 64, MOST_CLASSES = 1000000 };

/* What is run, and what it was read from. */
struct run {
    struct lb_safetensors st;
    struct lb_model_config config;
    struct lb_model *m;
    struct lb_net *net;
};

/* The network of the metadata: `classes`, and what else a config says of a model. */
static int read_network(const char *text, const char *name, struct run *r, struct lb_err *err)
{
    const struct lb_source from = {.name = name, .text = text};
    json_t *o = lb_json_parse(text, strlen(text), name, err);
    if (!o)
        return -1;
    const json_int_t classes = json_integer_value(json_object_get(o, "classes"));
    json_object_del(o, "classes");
    int failed = lb_options_check(&lb_model_table, o, "", &from, err) || lb_options_fill(&lb_model_table, o, &r->config, err) ? -1 : 0;
    json_decref(o);
    if (!failed && (classes < 1 || classes > MOST_CLASSES))
        failed = lb_fail(err, "%s: classes: expected a whole number from 1 to %d", name, MOST_CLASSES);
    if (!failed && !r->config.has_input)
        failed = lb_fail(err, "%s: input: expected channels, height and width", name);
    if (failed)
        return -1;
    const int64_t *in = r->config.input;
    return lb_model_shape(&r->config, (size_t)in[0], (size_t)in[1], (size_t)in[2], (size_t)classes, &r->m, err)
               ? lb_fail_in(err, "%s", name)
               : 0;
}

static int open_model(const char *path, struct run *r, struct lb_err *err)
{
    struct lb_text name = {0};
    if (lb_safetensors_open(path, &r->st, err))
        return -1;
    const char *text = json_string_value(json_object_get(r->st.metadata, "lowbit.model"));
    if (!text || !lb_q_is_model(&r->st))
        return lb_fail(err,
                       "%s: no integer model: the metadata lowbit.model and lowbit.activations are wanted, as `lowbit run` writes them in "
                       "mode integer",
                       path);
    lb_text_add(&name, "%s: metadata lowbit.model", path);
    if (lb_text_end(&name, err))
        return -1;
    const int failed = read_network(text, name.s, r, err);
    lb_text_free(&name);
    return failed;
}

/* Without the scale of its input a layer is not taken for an integer one: what else it has of one must not be read as numbers. */
static int check_layers(const struct run *r, struct lb_err *err)
{
    for (size_t i = 0; i < r->m->n_layers; i++) {
        const size_t index = r->m->layers[i].index;
        char input[48], bias[48];
        snprintf(input, sizeof input, "%zu.input.scale", index);
        snprintf(bias, sizeof bias, "%zu.bias.scale", index);
        if (lb_safetensors_find(&r->st, bias) && !lb_safetensors_find(&r->st, input))
            return lb_fail(err, "tensor %s: of no use without %s, which is missing", bias, input);
    }
    return 0;
}

/* Samples x (n, values), in any shape that has as many. */
static int check_samples(const struct lb_op_call *c, const struct lb_model *m, struct lb_err *err)
{
    const struct lb_tensor *x = lb_op_tensor(c, "x");
    const size_t values = m->channels * m->height * m->width;
    char shape[LB_MAX_DIMS * 24];
    size_t wanted;
    if (x->ndim >= 2 && !lb_mul(x->shape[0], values, &wanted) && x->elems == wanted)
        return 0;
    return lb_fail(err, "tensor x: shape %s, wanted (n, %zu), the model's inputs being %zux%zux%zu",
                   lb_shape_text(x->ndim, x->shape, shape, sizeof shape), values, m->channels, m->height, m->width);
}

static int infer(struct lb_op_call *c, const char *path, struct run *r, struct lb_err *err)
{
    const struct lb_net_format f = {.weights = &r->st};
    float *x = NULL, *y = NULL;
    if (check_samples(c, r->m, err))
        return -1;
    const size_t n = lb_op_tensor(c, "x")->shape[0], shape[] = {n, r->m->classes};
    if (check_layers(r, err) || lb_net_create_packed(r->m, c->dev, n && n < BATCH ? n : BATCH, &f, &r->net, err))
        return lb_fail_in(err, "%s", path);
    const int failed = lb_op_floats(c, "x", &x, err) || !(y = lb_op_output(c, "y", LB_F32, 2, shape, err)) ||
                               (n && lb_net_infer(r->net, x, n, y, NULL, err))
                           ? -1
                           : 0;
    lb_free(x);
    return failed;
}

int lb_op_q_model(struct lb_op_call *c, struct lb_err *err)
{
    const char *path = lb_op_text(c, "model");
    struct run r = {.m = NULL};
    const int failed = open_model(path, &r, err) || infer(c, path, &r, err) ? -1 : 0;
    lb_net_destroy(r.net);
    lb_model_destroy(r.m);
    lb_options_free(&lb_model_table, &r.config);
    lb_safetensors_finish(&r.st);
    return failed;
}
