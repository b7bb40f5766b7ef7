/* SPDX-License-Identifier: MIT */
/* net.c - a model's buffers on a device, and the order of the ops: forward, loss, backward, update. */
#include "core/base/mem.h"
#include "core/nn/net_impl.h"
#include "core/nn/q_net.h"
#include "core/nn/qat_impl.h"

#include <string.h>

static struct lb_ref ref(struct lb_buf *b)
{
    return (struct lb_ref){b, 0};
}

static uint32_t op_act(int activation)
{
    static const uint32_t act[] = {[LB_ACT_LINEAR] = LB_LINEAR,   [LB_ACT_RELU] = LB_RELU, [LB_ACT_SCALED_RELU] = LB_SCALED_RELU,
                                   [LB_ACT_SIGMOID] = LB_SIGMOID, [LB_ACT_TANH] = LB_TANH, [LB_ACT_SOFTMAX] = LB_LINEAR};
    return act[activation];
}

static int create_buffers(struct lb_net *n, const struct lb_net_parts *parts, int train, struct lb_err *err)
{
    const struct lb_model *m = n->m;
    size_t widest = 0;
    if (lb_buf_create(n->d, n->batch * m->layers[0].in, &n->input, err))
        return -1;
    for (size_t i = 0; i < m->n_layers; i++) {
        widest = m->layers[i].out > widest ? m->layers[i].out : widest;
        if ((!parts || !parts->numbers || parts->numbers[i]) && lb_buf_create(n->d, n->batch * m->layers[i].out, &n->y[i], err))
            return -1;
    }
    for (size_t i = 0; i < m->n_params; i++)
        if ((!parts || !parts->f32 || parts->f32[i]) &&
            (lb_buf_create(n->d, m->params[i].elems, &n->w[i], err) || (train && lb_buf_create(n->d, m->params[i].elems, &n->g[i], err))))
            return -1;
    if (!train)
        return 0;
    return lb_buf_create(n->d, n->batch, &n->labels, err) || lb_buf_create(n->d, n->batch, &n->loss, err) ||
                   lb_buf_create(n->d, n->batch * widest, &n->grad[0], err) || lb_buf_create(n->d, n->batch * widest, &n->grad[1], err)
               ? -1
               : 0;
}

int lb_net_allocate(const struct lb_model *m, struct lb_dev *d, size_t batch, const struct lb_net_parts *parts, int train,
                    struct lb_net **out, struct lb_err *err)
{
    *out = NULL;
    size_t check;
    for (size_t i = 0; i < m->n_layers; i++)
        if (lb_mul(batch, m->layers[i].out, &check) || lb_mul(batch, m->layers[i].in, &check))
            return lb_fail(err, "batch %zu: more than this machine can address", batch);
    struct lb_net *n = lb_alloc(1, sizeof *n, err);
    if (!n)
        return -1;
    n->m = m;
    n->d = d;
    n->batch = batch;
    n->y = lb_alloc(m->n_layers, sizeof *n->y, err);
    n->w = lb_alloc(m->n_params, sizeof *n->w, err);
    n->g = lb_alloc(m->n_params, sizeof *n->g, err);
    n->v = lb_alloc(m->n_params, sizeof *n->v, err);
    if (!n->y || !n->w || !n->g || !n->v || create_buffers(n, parts, train, err)) {
        lb_net_destroy(n);
        return -1;
    }
    *out = n;
    return 0;
}

int lb_net_create(const struct lb_model *m, struct lb_dev *d, size_t batch, int train, struct lb_net **out, struct lb_err *err)
{
    if (lb_net_allocate(m, d, batch, NULL, train, out, err))
        return -1;
    if (!lb_net_upload(*out, err))
        return 0;
    lb_net_destroy(*out);
    *out = NULL;
    return -1;
}

void lb_net_forget(struct lb_net *n)
{
    for (size_t i = 0; i < RECORDED; i++) {
        if (n->recorded[i].list)
            n->d->ops->record_free(n->d->dev, n->recorded[i].list);
        n->recorded[i] = (struct recorded){0};
    }
}

void lb_net_destroy(struct lb_net *n)
{
    if (!n)
        return;
    lb_net_forget(n);
    lb_qat_free(n);
    lb_net_free_packed(n);
    lb_q_net_destroy(n, n->q);
    for (size_t i = 0; n->y && i < n->m->n_layers; i++)
        lb_buf_destroy(n->d, &n->y[i]);
    for (size_t i = 0; n->w && n->g && n->v && i < n->m->n_params; i++) {
        lb_buf_destroy(n->d, &n->w[i]);
        lb_buf_destroy(n->d, &n->g[i]);
        lb_buf_destroy(n->d, &n->v[i]);
    }
    lb_buf_destroy(n->d, &n->input);
    lb_buf_destroy(n->d, &n->labels);
    lb_buf_destroy(n->d, &n->loss);
    lb_buf_destroy(n->d, &n->grad[0]);
    lb_buf_destroy(n->d, &n->grad[1]);
    lb_free(n->y);
    lb_free(n->w);
    lb_free(n->g);
    lb_free(n->v);
    lb_free(n);
}

int lb_net_upload(struct lb_net *n, struct lb_err *err)
{
    for (size_t i = 0; i < n->m->n_params; i++)
        if (lb_buf_write(n->d, &n->w[i], 0, n->m->params[i].value, n->m->params[i].elems, err))
            return -1;
    return 0;
}

int lb_net_download(struct lb_net *n, struct lb_model *m, struct lb_err *err)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (lb_buf_read(n->d, &n->w[i], 0, m->params[i].value, m->params[i].elems, err))
            return -1;
    return 0;
}

enum { STREAM_ACTIVATIONS = 0x30000, STREAM_SUMS = 0x40000 }; /* + the layer's place in the config */

/* Numbers x (batch, cols) become what their format makes of them, in place: nothing else reads them. */
static int take(struct lb_net *n, size_t i, struct lb_net_place *p, struct lb_buf *x, size_t cols, uint32_t stream, size_t batch,
                struct lb_err *err)
{
    const uint64_t first = (uint64_t)n->sample * cols;
    const uint32_t own = stream + (uint32_t)n->m->layers[i].index;
    if (p->quantizer) {
        const struct lb_quantize op = {
            .x = ref(x), .y = ref(x), .q = p->quantizer, .rows = batch, .cols = cols, .seed = n->seed, .stream = own, .first = first};
        return LB_RUN(n->d, quantize, &op, err);
    }
    if (!p->r.f)
        return 0;
    p->r.seed = n->seed;
    p->r.stream = own;
    p->r.first = first;
    return lb_buf_read(n->d, x, 0, p->x, batch * cols, err) || lb_round_matrix(&p->r, p->x, batch, cols, err) ||
                   lb_buf_write(n->d, x, 0, p->x, batch * cols, err)
               ? -1
               : 0;
}

static int dense(struct lb_net *n, size_t i, size_t batch, uint32_t act, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    struct lb_buf *x = lb_qat_x(n, i);
    if (n->packed && n->packed[l->weight]) {
        const struct lb_gemm_packed op = {.a = ref(x),
                                          .bias = ref(&n->w[l->bias]),
                                          .c = ref(&n->y[i]),
                                          .w = n->packed[l->weight],
                                          .m = batch,
                                          .n = l->out,
                                          .k = l->in,
                                          .act = act,
                                          .alpha = l->alpha,
                                          .block = n->integer_block};
        return n->integer ? LB_RUN(n->d, gemm_int8, &op, err) : LB_RUN(n->d, gemm_packed, &op, err);
    }
    const struct lb_gemm op = {.a = ref(x),
                               .b = ref(lb_qat_w(n, l->weight)),
                               .bias = ref(lb_qat_w(n, l->bias)),
                               .c = ref(&n->y[i]),
                               .m = batch,
                               .n = l->out,
                               .k = l->in,
                               .trans_b = 1,
                               .act = act,
                               .alpha = l->alpha};
    return LB_RUN(n->d, gemm, &op, err);
}

static int conv2d(struct lb_net *n, size_t i, size_t batch, uint32_t act, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    struct lb_buf *x = lb_qat_x(n, i);
    struct lb_conv s = l->conv;
    s.n = batch;
    if (n->packed && n->packed[l->weight]) {
        const struct lb_conv2d_packed op = {
            .x = ref(x), .bias = ref(&n->w[l->bias]), .y = ref(&n->y[i]), .w = n->packed[l->weight], .s = s, .act = act, .alpha = l->alpha};
        return n->integer ? LB_RUN(n->d, conv2d_int8, &op, err) : LB_RUN(n->d, conv2d_packed, &op, err);
    }
    const struct lb_conv2d op = {.x = ref(x),
                                 .w = ref(lb_qat_w(n, l->weight)),
                                 .bias = ref(lb_qat_w(n, l->bias)),
                                 .y = ref(&n->y[i]),
                                 .s = s,
                                 .act = act,
                                 .alpha = l->alpha};
    return LB_RUN(n->d, conv2d, &op, err);
}

static int multiply(struct lb_net *n, size_t i, size_t batch, uint32_t act, struct lb_err *err)
{
    return n->m->layers[i].type == LB_DENSE ? dense(n, i, batch, act, err) : conv2d(n, i, batch, act, err);
}

static int activate(struct lb_net *n, size_t i, struct lb_buf *x, size_t batch, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    const struct lb_act_op op = {.x = ref(x), .y = ref(&n->y[i]), .n = batch * l->out, .act = op_act(l->act), .alpha = l->alpha};
    return LB_RUN(n->d, act, &op, err);
}

static int is_taken(const struct lb_net_place *p)
{
    return p->quantizer || p->r.f;
}

static int forward_layer(struct lb_net *n, size_t i, size_t batch, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    struct lb_buf *x = lb_net_x(n, i);
    if (n->q && lb_q_net_is_integer(n->q, i))
        return lb_q_net_layer(n, i, batch, err);
    if ((n->reads && take(n, i, &n->reads[i], x, l->in, STREAM_ACTIVATIONS, batch, err)) || lb_qat_read(n, i, batch, err))
        return -1;
    if (l->weight >= 0 && !(n->sums && is_taken(&n->sums[i])))
        return multiply(n, i, batch, op_act(l->act), err);
    if (l->weight >= 0)
        return multiply(n, i, batch, LB_LINEAR, err) || take(n, i, &n->sums[i], &n->y[i], l->out, STREAM_SUMS, batch, err) ||
                       (l->act != LB_ACT_LINEAR && activate(n, i, &n->y[i], batch, err))
                   ? -1
                   : 0;
    if (l->act == LB_ACT_SOFTMAX) {
        const struct lb_softmax op = {.x = ref(x), .y = ref(&n->y[i]), .rows = batch, .cols = l->out};
        return LB_RUN(n->d, softmax, &op, err);
    }
    return activate(n, i, x, batch, err);
}

static int forward(struct lb_net *n, size_t layers, size_t batch, struct lb_err *err)
{
    for (size_t i = 0; i < layers; i++)
        if (forward_layer(n, i, batch, err))
            return -1;
    return 0;
}

/* The loss and the gradient at the end of layer *from (which may lie before a softmax). */
static int loss_backward(struct lb_net *n, const struct lb_step_args *a, size_t batch, size_t *from, struct lb_err *err)
{
    const struct lb_model *m = n->m;
    const size_t last = m->n_layers - 1;
    struct lb_loss op = {.labels = ref(&n->labels),
                         .loss = ref(&n->loss),
                         .dx = ref(&n->grad[0]),
                         .rows = batch,
                         .cols = m->classes,
                         .reduction = (uint32_t)a->reduction};
    if (a->loss == LB_CROSS_ENTROPY) {
        if (!m->logits)
            return lb_fail(err, "train.loss: cross_entropy needs logits: the last activation must be softmax or linear");
        *from = m->softmax_last ? last : last + 1;
        op.x = ref(*from ? &n->y[*from - 1] : &n->input);
        return LB_RUN(n->d, cross_entropy, &op, err);
    }
    *from = last + 1;
    op.x = ref(&n->y[last]);
    return LB_RUN(n->d, mse, &op, err);
}

static void swap_gradients(struct lb_net *n)
{
    const struct lb_buf swap = n->grad[0];
    n->grad[0] = n->grad[1];
    n->grad[1] = swap;
}

/* grad[0] is the gradient at the layer's output; afterwards, where `need_dx`, that at its input. */
static int backward_layer(struct lb_net *n, size_t i, size_t batch, int need_dx, struct lb_err *err)
{
    const struct lb_layer *l = &n->m->layers[i];
    struct lb_buf *x = lb_qat_x(n, i), *dy = &n->grad[0], *dx = &n->grad[1];
    if (l->act == LB_ACT_SOFTMAX) {
        const struct lb_softmax op = {.y = ref(&n->y[i]), .dy = ref(dy), .dx = ref(dx), .rows = batch, .cols = l->out};
        if (LB_RUN(n->d, softmax_grad, &op, err))
            return -1;
    } else if (l->act != LB_ACT_LINEAR) {
        const struct lb_act_op op = {
            .y = ref(&n->y[i]), .dy = ref(dy), .dx = ref(dy), .n = batch * l->out, .act = op_act(l->act), .alpha = l->alpha};
        if (LB_RUN(n->d, act_grad, &op, err))
            return -1;
    }
    if (l->type == LB_ACTIVATION) {
        if (l->act == LB_ACT_SOFTMAX)
            swap_gradients(n);
        return 0;
    }
    const size_t positions = l->type == LB_CONV2D ? l->conv.oh * l->conv.ow : 1;
    const struct lb_bias_grad db = {.dy = ref(dy), .db = ref(&n->g[l->bias]), .n = batch, .c = l->out / positions, .p = positions};
    if (LB_RUN(n->d, bias_grad, &db, err))
        return -1;
    if (l->type == LB_DENSE) {
        const struct lb_gemm dw = {
            .a = ref(dy), .b = ref(x), .c = ref(&n->g[l->weight]), .m = l->out, .n = l->in, .k = batch, .trans_a = 1};
        const struct lb_gemm down = {.a = ref(dy), .b = ref(lb_qat_w(n, l->weight)), .c = ref(dx), .m = batch, .n = l->in, .k = l->out};
        if (LB_RUN(n->d, gemm, &dw, err) || (need_dx && LB_RUN(n->d, gemm, &down, err)))
            return -1;
    } else {
        struct lb_conv2d_grad op = {
            .x = ref(x), .w = ref(lb_qat_w(n, l->weight)), .dy = ref(dy), .out = ref(&n->g[l->weight]), .s = l->conv};
        op.s.n = batch;
        if (LB_RUN(n->d, conv2d_dw, &op, err))
            return -1;
        op.out = ref(dx);
        if (need_dx && LB_RUN(n->d, conv2d_dx, &op, err))
            return -1;
    }
    if (need_dx && lb_qat_input_gradient(n, i, batch, dx, err))
        return -1;
    swap_gradients(n);
    return 0;
}

static int update(struct lb_net *n, const struct lb_step_args *a, struct lb_err *err)
{
    if (lb_qat_gradients(n, a, err))
        return -1;
    for (size_t i = 0; i < n->m->n_params; i++) {
        const struct lb_sgd op = {.w = ref(&n->w[i]),
                                  .g = ref(&n->g[i]),
                                  .v = n->v[i].ptr ? ref(&n->v[i]) : (struct lb_ref){0},
                                  .n = n->m->params[i].elems,
                                  .lr = a->lr,
                                  .momentum = a->momentum,
                                  .decay = a->decay};
        if (LB_RUN(n->d, sgd, &op, err))
            return -1;
    }
    return 0;
}

/* ---- Runs: the ops of an inference, or (with args) of a step, on what the buffers hold ---- */

static int ops(struct lb_net *n, const struct lb_step_args *a, size_t batch, struct lb_err *err)
{
    size_t from = 0, first = 0; /* the first layer with weights: nothing before it needs a gradient */
    const int unused = a && a->loss == LB_CROSS_ENTROPY && n->m->softmax_last; /* that loss takes the logits: nobody reads the softmax */
    if (lb_qat_weights(n, err) || forward(n, n->m->n_layers - (size_t)unused, batch, err) || (a && loss_backward(n, a, batch, &from, err)))
        return -1;
    while (first < n->m->n_layers && n->m->layers[first].weight < 0)
        first++;
    for (size_t i = from; i-- > first;)
        if (backward_layer(n, i, batch, i > first, err))
            return -1;
    return a ? update(n, a, err) : 0;
}

/* The same as a list, which the caller replays. */
static int record(struct lb_net *n, const struct lb_step_args *a, size_t batch, struct recorded *r, struct lb_err *err)
{
    const struct lb_backend *b = n->d->ops;
    if (r->list)
        b->record_free(n->d->dev, r->list);
    *r = (struct recorded){.list = b->record(n->d->dev), .batch = batch, .is_step = a != NULL, .args = a ? *a : (struct lb_step_args){0}};
    if (!r->list)
        return lb_backend_result(n->d, "record", -1, err);
    const int lost = ops(n, a, batch, err); /* the list is ended all the same, so that it can be freed */
    const int ended = b->record_end(n->d->dev, r->list);
    if (!lost && !ended)
        return 0;
    b->record_free(n->d->dev, r->list);
    r->list = NULL;
    return lost ? -1 : lb_backend_result(n->d, "record_end", ended, err);
}

static int is_of(const struct recorded *r, const struct lb_step_args *a, size_t batch)
{
    const struct lb_step_args *b = &r->args;
    return r->list && r->batch == batch && r->is_step == (a != NULL) &&
           (!a || (a->loss == b->loss && a->reduction == b->reduction && !(a->lr < b->lr || a->lr > b->lr) &&
                   !(a->momentum < b->momentum || a->momentum > b->momentum) && !(a->decay < b->decay || a->decay > b->decay)));
}

static int run(struct lb_net *n, const struct lb_step_args *a, size_t batch, struct lb_err *err)
{
    if (!n->d->ops->record || n->unlike)
        return ops(n, a, batch, err);
    for (size_t i = 0; i < RECORDED; i++)
        if (is_of(&n->recorded[i], a, batch))
            return lb_backend_result(n->d, "replay", n->d->ops->replay(n->d->dev, n->recorded[i].list), err);
    struct recorded *r = &n->recorded[n->oldest];
    n->oldest = (n->oldest + 1) % RECORDED;
    return record(n, a, batch, r, err) || lb_backend_result(n->d, "replay", n->d->ops->replay(n->d->dev, r->list), err) ? -1 : 0;
}

int lb_net_infer(struct lb_net *n, const float *x, size_t count, float *y, float *logits, struct lb_err *err)
{
    const struct lb_model *m = n->m;
    const size_t in = m->layers[0].in, out = m->classes, last = m->n_layers - 1;
    struct lb_buf *raw = m->softmax_last ? (last ? &n->y[last - 1] : &n->input) : &n->y[last];
    for (size_t at = 0; at < count; at += n->batch) {
        const size_t batch = count - at < n->batch ? count - at : n->batch;
        n->sample = at;
        if (lb_buf_write(n->d, &n->input, 0, x + at * in, batch * in, err) || run(n, NULL, batch, err) ||
            lb_buf_read(n->d, &n->y[last], 0, y + at * out, batch * out, err) ||
            (logits && lb_buf_read(n->d, raw, 0, logits + at * out, batch * out, err)))
            return -1;
    }
    return 0;
}

/* Momenta are there from the first step that has any. */
static int create_momenta(struct lb_net *n, struct lb_err *err)
{
    for (size_t i = 0; i < n->m->n_params; i++)
        if (!n->v[i].ptr && lb_buf_create(n->d, n->m->params[i].elems, &n->v[i], err))
            return -1;
    return 0;
}

float *lb_net_input(struct lb_net *n)
{
    return n->d->ops->buf_create ? NULL : n->input.ptr;
}

int lb_net_step(struct lb_net *n, const struct lb_step_args *a, const float *x, const int32_t *labels, size_t batch, float *loss,
                struct lb_err *err)
{
    const int there = x == lb_net_input(n);
    if ((a->momentum != 0 && create_momenta(n, err)) || (!there && lb_buf_write(n->d, &n->input, 0, x, batch * n->m->layers[0].in, err)) ||
        lb_buf_write(n->d, &n->labels, 0, labels, batch, err))
        return -1;
    return run(n, a, batch, err) || (loss && lb_buf_read(n->d, &n->loss, 0, loss, batch, err)) ? -1 : 0;
}

int lb_net_gradient(struct lb_net *n, size_t i, float *out, struct lb_err *err)
{
    return lb_buf_read(n->d, &n->g[i], 0, out, n->m->params[i].elems, err);
}

int lb_net_layer_input(struct lb_net *n, size_t layer, size_t batch, float *x, struct lb_err *err)
{
    return lb_buf_read(n->d, lb_net_x(n, layer), 0, x, batch * n->m->layers[layer].in, err);
}
