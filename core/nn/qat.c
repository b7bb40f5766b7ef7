/* SPDX-License-Identifier: MIT */
#include "core/nn/qat.h"
#include "core/base/mem.h"
#include "core/nn/calibrate.h"
#include "core/nn/qat_impl.h"
#include "kernels/canon.h"

#include <string.h>

enum { STREAM_WEIGHTS = 0x50000, STREAM_READ = 0x60000 }; /* + the parameter, or the layer's place in the config */

static struct lb_ref ref(struct lb_buf *b)
{
    return (struct lb_ref){b, 0};
}

/* ---- What formats can do ---- */

static int is_stochastic(const struct lb_qat_config *c, const struct lb_format *f)
{
    return c->rounding ? c->rounding - 1 == 1 : f->config->rounding == LB_STOCHASTIC;
}

/* Scales that stay are stored as they are, and decide the codes alone. */
static int check_own(const struct lb_qat_config *c, const struct lb_format *f, struct lb_err *err)
{
    static const char *const names[] = {[LB_QAT_CALIBRATED] = "calibrated", [LB_QAT_LEARNED] = "learned"};
    const int rule = f->config->rule;
    if (f->config->rule == LB_SCALE_NONE)
        return 0;
    if ((rule != LB_SCALE_ABSMAX && rule != LB_SCALE_PERCENTILE && rule != LB_SCALE_MSE) || f->config->scale)
        return lb_fail(err, "qat.scales %s: the scale is %s; expected absmax, percentile or mse, stored as F32", names[c->scales],
                       f->config->scale_text);
    if (!f->codec->bits || f->codec->bits > 16)
        return lb_fail(err, "qat.scales %s: codec %s; expected one of up to 16 bits", names[c->scales], f->codec->base.name);
    if (f->config->rounding == LB_STOCHASTIC)
        return lb_fail(err, "qat.scales %s: rounding stochastic; expected a format that does not draw (\"qat\": {\"rounding\": ...} may)",
                       names[c->scales]);
    return 0;
}

static int check_one(const struct lb_qat_config *c, const struct lb_format *f, struct lb_err *err)
{
    const struct lb_encode how = {.rounding = is_stochastic(c, f) ? LB_STOCHASTIC : f->config->rounding, .overflow = f->config->overflow};
    if (lb_coder_check(f->coder, &how, err))
        return lb_fail_in(err, "qat");
    if (f->config->calibrated)
        return lb_fail(err, "qat: scale %s is for activations", f->config->scale_text);
    return c->scales == LB_QAT_DYNAMIC ? 0 : check_own(c, f, err);
}

int lb_qat_check(const struct lb_qat_config *c, const struct lb_format *f, struct lb_err *err)
{
    int r = check_one(c, f, err);
    for (size_t i = 0; !r && i < f->n_layers; i++)
        r = check_one(c, f->layers[i], err);
    return r;
}

/* ---- Items ---- */

/* Binary32 as it is: nothing to do. */
static int changes_nothing(const struct lb_format *f)
{
    return f->codec->bits >= 32 && f->codec->kind == LB_FLOAT && f->config->rule == LB_SCALE_NONE && f->config->overflow < 0;
}

/* Whether numbers may lie beyond the range that scaled codes have. */
static int may_clip(const struct lb_qat_item *it)
{
    const struct lb_format *f = &it->f;
    const struct lb_format_config *c = &it->config;
    const int reaches_all =
        c->rule == LB_SCALE_ABSMAX && !c->scale && !c->calibrated && !it->own && (lb_scale_is_symmetric(f) || f->low <= -f->high);
    return f->codec->bits && !reaches_all;
}

static int32_t key_of(float x)
{
    const uint32_t b = canon_bits(x);
    return b >> 31 ? (int32_t)(INT32_MIN - (int64_t)(int32_t)b - 1) : (int32_t)b;
}

/* A quantizer whose codes are worth 1 within the range of `q`, else 0: what it gives is above 0 where gradients go on. */
static void *create_inside(struct lb_net *n, const struct lb_format *f, const struct lb_quantizer *q, char *why, size_t why_size)
{
    static const struct lb_codec codec = {.base = {.name = "inside"}, .bits = 1, .unit_elems = 8, .unit_bytes = 1};
    static const char sha256[] = "inside";
    static const float values[2] = {0, 1};
    static const uint32_t code[3] = {0, 1, 0};
    const float high = (float)f->high, low = lb_scale_is_symmetric(f) ? -high : (float)f->low;
    const int32_t first[3] = {INT32_MIN, low == 0 ? key_of(-0.0f) : key_of(low), key_of(high) + 1};
    struct lb_quantizer in = *q;
    in.q = (struct lb_codes){.codec = &codec, .sha256 = sha256, .values = values};
    in.n = 3;
    in.first = first;
    in.code = code;
    in.nan_code = 0;
    in.stochastic = 0;
    in.n_members = 2;
    in.member = values;
    in.member_code = code;
    in.clamp = 0;
    return n->d->ops->quantizer_create(n->d->dev, &in, why, why_size);
}

static void free_quantizers(struct lb_net *n, struct lb_qat_item *it)
{
    if (it->quantizer)
        n->d->ops->quantizer_free(n->d->dev, it->quantizer);
    if (it->inside)
        n->d->ops->quantizer_free(n->d->dev, it->inside);
    it->quantizer = it->inside = NULL;
}

/* Quantizers of the device, where it has them for the format; `s`: the scale, where it is calibrated. */
static int ask_device(struct lb_net *n, struct lb_qat_item *it, float s, struct lb_err *err)
{
    const struct lb_backend *b = n->d->ops;
    struct lb_quantizer_tables *tables = NULL;
    char why[256] = "";
    if (!b->quantizer_create || !b->quantize || !b->act_grad || it->own || lb_quantizer_lacks(&it->f))
        return 0;
    if (lb_quantizer_create(&it->f, s, &tables, err))
        return -1;
    const struct lb_quantizer *q = lb_quantizer_data(tables);
    n->d->log[0] = 0;
    it->quantizer = b->quantizer_create(n->d->dev, q, why, sizeof why);
    if (it->quantizer && it->clips)
        it->inside = create_inside(n, &it->f, q, why, sizeof why);
    lb_quantizer_destroy(tables);
    if (it->quantizer && it->clips && !it->inside)
        free_quantizers(n, it);
    return it->quantizer || why[0] ? 0 : lb_fail(err, "backend %s: quantizer: %s", b->base.name, n->d->log);
}

static int make_room(struct lb_net *n, struct lb_qat_item *it, int fake, struct lb_err *err)
{
    size_t elems;
    if (lb_mul(it->rows ? it->rows : n->batch, it->cols, &elems) || elems > UINT32_MAX)
        return lb_fail(err, "qat: %zu rows of %zu numbers: expected fewer than 2^32 in all", it->rows ? it->rows : n->batch, it->cols);
    if (fake && (lb_buf_create(n->d, elems, &it->v, err) || (it->clips && !it->own && lb_buf_create(n->d, elems, &it->mask, err))))
        return -1;
    for (int i = 0; n->d->ops->buf_create && !it->quantizer && i < 2; i++)
        if (!(it->room[i] = lb_alloc(elems, sizeof(float), err)))
            return -1;
    return 0;
}

/* rows and cols of the item are set. x: NULL, or a parameter's numbers. */
static int init_item(struct lb_net *n, struct lb_qat_item *it, const struct lb_format *f, uint32_t stream, const float *x,
                     struct lb_err *err)
{
    const struct lb_qat_config *c = n->qat->q.config;
    const int fake = c->method == LB_QAT_FAKE;
    if (changes_nothing(f))
        return 0;
    it->f = *f;
    it->config = *f->config;
    it->f.config = &it->config;
    it->stream = stream;
    if (x && is_stochastic(c, f))
        it->config.rounding = LB_STOCHASTIC;
    else if (x && c->rounding)
        it->config.rounding = LB_NEAREST;
    if (x && c->scales != LB_QAT_DYNAMIC && it->config.rule != LB_SCALE_NONE &&
        lb_qat_own_create(it, c->scales == LB_QAT_LEARNED, x, &it->own, err))
        return -1;
    it->clips = fake && c->clip && may_clip(it);
    it->r = (struct lb_round){.f = &it->f, .host = &n->d->host, .seed = n->qat->q.seed, .stream = stream};
    if (!it->config.calibrated && ask_device(n, it, 0, err)) /* calibrated ones before each epoch */
        return -1;
    return make_room(n, it, fake, err);
}

static void free_item(struct lb_net *n, struct lb_qat_item *it)
{
    free_quantizers(n, it);
    lb_buf_destroy(n->d, &it->v);
    lb_buf_destroy(n->d, &it->mask);
    lb_free(it->room[0]);
    lb_free(it->room[1]);
    lb_qat_own_destroy(it->own);
}

void lb_qat_free(struct lb_net *n)
{
    struct lb_qat_net *t = n->qat;
    if (!t)
        return;
    for (size_t i = 0; t->param && i < n->m->n_params; i++)
        free_item(n, &t->param[i]);
    for (size_t i = 0; t->read && i < n->m->n_layers; i++)
        free_item(n, &t->read[i]);
    lb_free(t->param);
    lb_free(t->read);
    lb_free(t);
    n->qat = NULL;
}

/* Lists of ops are recorded where every step runs the same ones: nothing is drawn, and the host has no part in them. */
static void note_unlike(struct lb_net *n, const struct lb_qat_item *it)
{
    n->unlike |= n->qat->q.config->method == LB_QAT_FAKE && it->f.codec && (!it->quantizer || it->config.rounding == LB_STOCHASTIC);
}

static int start_params(struct lb_net *n, const struct lb_model *m, struct lb_err *err)
{
    const struct lb_qat *q = &n->qat->q;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct lb_param_tensor *p = &m->params[i];
        struct lb_qat_item *it = &n->qat->param[i];
        it->rows = p->ndim < 2 ? 1 : p->shape[0];
        it->cols = p->elems / it->rows;
        if ((!p->is_bias || q->biases) && init_item(n, it, lb_format_for(q->format, p->name), STREAM_WEIGHTS + (uint32_t)i, p->value, err))
            return lb_fail_in(err, "%s", p->name);
        note_unlike(n, it);
    }
    return 0;
}

static int start_reads(struct lb_net *n, const struct lb_model *m, struct lb_err *err)
{
    const struct lb_qat *q = &n->qat->q;
    for (size_t i = 0; q->activations && i < m->n_layers; i++) {
        const struct lb_layer *l = &m->layers[i];
        struct lb_qat_item *it = &n->qat->read[i];
        it->cols = l->in;
        if (l->weight >= 0 && init_item(n, it, q->activations, STREAM_READ + (uint32_t)l->index, NULL, err))
            return lb_fail_in(err, "layer %zu", l->index);
        if (!it->config.calibrated)
            note_unlike(n, it);
    }
    return 0;
}

int lb_qat_start(struct lb_net *n, const struct lb_qat *q, struct lb_model *m, struct lb_err *err)
{
    lb_net_forget(n);
    n->qat = lb_alloc(1, sizeof *n->qat, err);
    if (!n->qat || lb_net_download(n, m, err))
        return -1;
    n->qat->q = *q;
    n->qat->param = lb_alloc(m->n_params, sizeof *n->qat->param, err);
    n->qat->read = lb_alloc(m->n_layers, sizeof *n->qat->read, err);
    return !n->qat->param || !n->qat->read || start_params(n, m, err) || start_reads(n, m, err) ? -1 : 0;
}

int lb_qat_epoch(struct lb_net *n, struct lb_model *m, struct lb_err *err)
{
    const struct lb_qat *q = &n->qat->q;
    const struct lb_calibration c = {.m = m, .d = n->d, .x = q->x, .n = q->n, .batch = q->batch};
    if (!q->activations || !q->activations->config->calibrated)
        return 0;
    lb_net_forget(n);
    if (lb_net_download(n, m, err))
        return -1;
    for (size_t i = 0; i < m->n_layers; i++) {
        struct lb_qat_item *it = &n->qat->read[i];
        if (!it->f.codec)
            continue;
        float s, z;
        free_quantizers(n, it);
        lb_qat_own_destroy(it->own);
        it->own = NULL;
        if (lb_calibrate_input(&c, i, &it->f, &s, &z, err) || ask_device(n, it, s, err) ||
            (!it->quantizer && lb_qat_own_create_one(s, z, &it->own, err)))
            return -1;
        note_unlike(n, it);
    }
    return 0;
}

/* ---- Forward ---- */

static size_t rows_of(const struct lb_qat_item *it, size_t batch)
{
    return it->rows ? it->rows : batch;
}

static int by_device(struct lb_net *n, const struct lb_qat_item *it, void *quantizer, struct lb_buf *x, struct lb_buf *y, size_t rows,
                     struct lb_err *err)
{
    const struct lb_quantize op = {.x = ref(x),
                                   .y = ref(y),
                                   .q = quantizer,
                                   .rows = rows,
                                   .cols = it->cols,
                                   .seed = n->qat->q.seed,
                                   .stream = it->stream,
                                   .first = n->qat->step << 32};
    return LB_RUN(n->d, quantize, &op, err);
}

static struct lb_encode encoding_of(const struct lb_net *n, const struct lb_qat_item *it)
{
    return (struct lb_encode){.rounding = it->config.rounding,
                              .overflow = it->config.overflow,
                              .seed = n->qat->q.seed,
                              .stream = it->stream,
                              .first = n->qat->step << 32};
}

/* The numbers of a buffer, copied into `room` where the device has memory of its own. NULL where they cannot be read. */
static float *on_host(struct lb_net *n, const struct lb_buf *b, size_t elems, float *room, struct lb_err *err)
{
    if (!n->d->ops->buf_create)
        return b->ptr;
    return lb_buf_read(n->d, b, 0, room, elems, err) ? NULL : room;
}

static int to_device(struct lb_net *n, struct lb_buf *b, const float *x, size_t elems, struct lb_err *err)
{
    return n->d->ops->buf_create ? lb_buf_write(n->d, b, 0, x, elems, err) : 0;
}

static int by_own(struct lb_net *n, struct lb_qat_item *it, struct lb_buf *x, struct lb_buf *y, size_t rows, struct lb_err *err)
{
    const size_t elems = rows * it->cols;
    const struct lb_encode how = encoding_of(n, it);
    const float *from = on_host(n, x, elems, it->room[0], err);
    float *to = n->d->ops->buf_create ? it->room[1] : y->ptr;
    if (!from)
        return -1;
    lb_qat_own_forward(it, &n->d->host, from, elems, &how, to);
    return to_device(n, y, to, elems, err);
}

static int by_host(struct lb_net *n, struct lb_qat_item *it, struct lb_buf *x, struct lb_buf *y, size_t rows, struct lb_err *err)
{
    const size_t elems = rows * it->cols;
    float *v = on_host(n, x, elems, it->room[0], err);
    if (!v)
        return -1;
    if (v != it->room[0] && x != y)
        v = memcpy(y->ptr, v, elems * sizeof *v);
    it->r.first = n->qat->step << 32;
    it->r.inside = !it->clips ? NULL : n->d->ops->buf_create ? it->room[1] : it->mask.ptr;
    return lb_round_matrix(&it->r, v, rows, it->cols, err) || to_device(n, y, v, elems, err) ||
                   (it->clips && to_device(n, &it->mask, it->r.inside, elems, err))
               ? -1
               : 0;
}

static int worth(struct lb_net *n, struct lb_qat_item *it, struct lb_buf *x, struct lb_buf *y, size_t batch, struct lb_err *err)
{
    const size_t rows = rows_of(it, batch);
    return it->quantizer ? by_device(n, it, it->quantizer, x, y, rows, err)
           : it->own     ? by_own(n, it, x, y, rows, err)
                         : by_host(n, it, x, y, rows, err);
}

static int is_fake(const struct lb_net *n)
{
    return n->qat && n->qat->q.config->method == LB_QAT_FAKE;
}

int lb_qat_weights(struct lb_net *n, struct lb_err *err)
{
    if (!is_fake(n))
        return 0;
    for (size_t i = 0; i < n->m->n_params; i++)
        if (n->qat->param[i].f.codec && worth(n, &n->qat->param[i], &n->w[i], &n->qat->param[i].v, 0, err))
            return -1;
    return 0;
}

int lb_qat_read(struct lb_net *n, size_t layer, size_t batch, struct lb_err *err)
{
    struct lb_qat_item *it = is_fake(n) ? &n->qat->read[layer] : NULL;
    return it && it->f.codec ? worth(n, it, lb_net_x(n, layer), &it->v, batch, err) : 0;
}

struct lb_buf *lb_qat_w(struct lb_net *n, int param)
{
    struct lb_qat_item *it = is_fake(n) ? &n->qat->param[param] : NULL;
    return it && it->f.codec ? &it->v : &n->w[param];
}

struct lb_buf *lb_qat_x(struct lb_net *n, size_t layer)
{
    struct lb_qat_item *it = is_fake(n) ? &n->qat->read[layer] : NULL;
    return it && it->f.codec ? &it->v : lb_net_x(n, layer);
}

/* ---- Backward ---- */

/* g, the gradient of what x is worth, becomes that of x: +0 where x lies beyond the range. */
static int clip(struct lb_net *n, struct lb_qat_item *it, struct lb_buf *x, struct lb_buf *g, size_t rows, struct lb_err *err)
{
    const struct lb_act_op op = {.y = ref(&it->mask), .dy = ref(g), .dx = ref(g), .n = rows * it->cols, .act = LB_RELU};
    return (it->inside && by_device(n, it, it->inside, x, &it->mask, rows, err)) || LB_RUN(n->d, act_grad, &op, err) ? -1 : 0;
}

/* The same by scales that stay; learned ones see the gradient first. */
static int clip_own(struct lb_net *n, struct lb_qat_item *it, struct lb_buf *x, struct lb_buf *g, size_t rows, struct lb_err *err)
{
    const size_t elems = rows * it->cols;
    const struct lb_encode how = encoding_of(n, it);
    const float *from = on_host(n, x, elems, it->room[0], err);
    float *gradient = from ? on_host(n, g, elems, it->room[1], err) : NULL;
    if (!gradient)
        return -1;
    lb_qat_own_backward(it, &n->d->host, from, elems, &how, gradient);
    return it->clips ? to_device(n, g, gradient, elems, err) : 0;
}

static int gradient_of(struct lb_net *n, struct lb_qat_item *it, struct lb_buf *x, struct lb_buf *g, size_t batch, struct lb_err *err)
{
    const size_t rows = rows_of(it, batch);
    if (it->own && (it->clips || it->own->sum))
        return clip_own(n, it, x, g, rows, err);
    return it->clips ? clip(n, it, x, g, rows, err) : 0;
}

int lb_qat_input_gradient(struct lb_net *n, size_t layer, size_t batch, struct lb_buf *dx, struct lb_err *err)
{
    return is_fake(n) ? gradient_of(n, &n->qat->read[layer], lb_net_x(n, layer), dx, batch, err) : 0;
}

int lb_qat_gradients(struct lb_net *n, const struct lb_step_args *a, struct lb_err *err)
{
    for (size_t i = 0; is_fake(n) && i < n->m->n_params; i++) {
        struct lb_qat_item *it = &n->qat->param[i];
        if (gradient_of(n, it, &n->w[i], &n->g[i], 0, err))
            return -1;
        if (it->own && it->own->sum)
            lb_qat_own_learn(it, a);
    }
    return 0;
}

/* ---- Between steps ---- */

int lb_qat_stepped(struct lb_net *n, int ends_epoch, struct lb_err *err)
{
    struct lb_qat_net *t = n->qat;
    const uint64_t every = (uint64_t)t->q.config->every;
    t->step++;
    if (is_fake(n) || !(every ? ++t->since == every : ends_epoch))
        return 0;
    t->since = 0;
    for (size_t i = 0; i < n->m->n_params; i++)
        if (t->param[i].f.codec && worth(n, &t->param[i], &n->w[i], &n->w[i], 0, err))
            return -1;
    return 0;
}
