/* SPDX-License-Identifier: MIT */
/* op_backend.c - ops of a backend's table (core/plugin.h), and constants, on tensors from a file. */
#include "core/base/mem.h"
#include "core/cmd/op.h"
#include "core/format/floats.h"
#include "core/format/format.h"
#include "core/nn/buffers.h"
#include "core/plugins.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Puts an input on the device as buffer i; does nothing where it is not there. */
static int put_input(struct lb_op_call *c, struct lb_buffers *b, int i, const char *name, struct lb_err *err)
{
    float *x;
    if (lb_op_floats(c, name, &x, err))
        return -1;
    const int r = x ? lb_buffers_put(b, i, x, lb_op_tensor(c, name)->elems, 1, err) : 0;
    lb_free(x);
    return r;
}

/* A bias of n numbers as buffer 2, or none. */
static int put_bias(struct lb_op_call *c, struct lb_buffers *b, size_t n, const char *meaning, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, "bias");
    return (t && lb_tensor_expect(t, "bias", 1, &n, meaning, err)) || put_input(c, b, 2, "bias", err) ? -1 : 0;
}

/* An output that is made from buffer 3: its room there and its memory here. */
static float *make_output(struct lb_op_call *c, struct lb_buffers *b, const char *name, unsigned ndim, const size_t *shape,
                          struct lb_err *err)
{
    float *y = lb_op_output(c, name, LB_F32, ndim, shape, err);
    return y && !lb_buffers_put(b, 3, NULL, c->out.items[0].t.elems, 1, err) ? y : NULL;
}

static int read_output(struct lb_op_call *c, struct lb_buffers *b, float *y, struct lb_err *err)
{
    return lb_buf_read(c->dev, &b->buf[3], 0, y, c->out.items[0].t.elems, err);
}

/* ---- gemm ------------------------------------------------------------------------------------------------------------------------- */

static int gemm_shape(struct lb_op_call *c, struct lb_gemm *o, struct lb_err *err)
{
    int64_t ta, tb;
    if (lb_op_whole(c, "trans_a", 0, 1, &ta, err) || lb_op_whole(c, "trans_b", 0, 1, &tb, err) ||
        lb_op_activation(c, &o->act, &o->alpha, err) || lb_op_dims(c, "a", 2, ta ? "(k, m)" : "(m, k)", err) ||
        lb_op_dims(c, "b", 2, tb ? "(n, k)" : "(k, n)", err))
        return -1;
    const size_t *a = lb_op_tensor(c, "a")->shape, *b = lb_op_tensor(c, "b")->shape;
    o->trans_a = (int)ta;
    o->trans_b = (int)tb;
    o->m = a[ta ? 1 : 0];
    o->k = a[ta ? 0 : 1];
    o->n = b[tb ? 0 : 1];
    const size_t wanted[] = {tb ? o->n : o->k, tb ? o->k : o->n};
    return lb_tensor_expect(lb_op_tensor(c, "b"), "b", 2, wanted, tb ? "(n, k), k being that of a" : "(k, n), k being that of a", err);
}

int lb_op_gemm(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_buffers b = {.d = c->dev};
    struct lb_gemm o = {.m = 0};
    float *y = NULL;
    int r = gemm_shape(c, &o, err) || put_input(c, &b, 0, "a", err) || put_input(c, &b, 1, "b", err) || put_bias(c, &b, o.n, "(n)", err) ||
                    !(y = make_output(c, &b, "c", 2, (const size_t[]){o.m, o.n}, err))
                ? -1
                : 0;
    o.a = lb_buffers_at(&b, 0);
    o.b = lb_buffers_at(&b, 1);
    o.bias = lb_buffers_at(&b, 2);
    o.c = lb_buffers_at(&b, 3);
    if (!r && o.m && o.n)
        r = LB_RUN(c->dev, gemm, &o, err) || read_output(c, &b, y, err) ? -1 : 0;
    lb_buffers_finish(&b);
    return r;
}

/* ---- conv2d ----------------------------------------------------------------------------------------------------------------------- */

/* How often a kernel fits on a side. */
static int places(size_t side, size_t kernel, size_t pad, size_t stride, const char *name, size_t *out, struct lb_err *err)
{
    if (!kernel || side > SIZE_MAX / 2 || kernel > side + 2 * pad)
        return lb_fail(err, "tensor w: a kernel of %s %zu does not fit %zu with pad %zu", name, kernel, side, pad);
    *out = (side + 2 * pad - kernel) / stride + 1;
    return 0;
}

static int conv_shape(struct lb_op_call *c, struct lb_conv2d *o, struct lb_err *err)
{
    int64_t stride, pad;
    if (lb_op_whole(c, "stride", 1, 1 << 20, &stride, err) || lb_op_whole(c, "pad", 0, 1 << 20, &pad, err) ||
        lb_op_activation(c, &o->act, &o->alpha, err) || lb_op_dims(c, "x", 4, "(n, c, h, w)", err) ||
        lb_op_dims(c, "w", 4, "(o, c, kh, kw)", err))
        return -1;
    const size_t *x = lb_op_tensor(c, "x")->shape, *w = lb_op_tensor(c, "w")->shape, wanted[] = {w[0], x[1], w[2], w[3]};
    o->s = (struct lb_conv){x[0], x[1], x[2], x[3], w[0], w[2], w[3], (size_t)stride, (size_t)pad, 0, 0};
    return lb_tensor_expect(lb_op_tensor(c, "w"), "w", 4, wanted, "(o, c, kh, kw), c being that of x", err) ||
                   places(x[2], w[2], o->s.pad, o->s.stride, "height", &o->s.oh, err) ||
                   places(x[3], w[3], o->s.pad, o->s.stride, "width", &o->s.ow, err)
               ? -1
               : 0;
}

int lb_op_conv2d(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_buffers b = {.d = c->dev};
    struct lb_conv2d o = {.act = 0};
    float *y = NULL;
    int r = conv_shape(c, &o, err) || put_input(c, &b, 0, "x", err) || put_input(c, &b, 1, "w", err) ||
                    put_bias(c, &b, o.s.o, "(o)", err) ||
                    !(y = make_output(c, &b, "y", 4, (const size_t[]){o.s.n, o.s.o, o.s.oh, o.s.ow}, err))
                ? -1
                : 0;
    o.x = lb_buffers_at(&b, 0);
    o.w = lb_buffers_at(&b, 1);
    o.bias = lb_buffers_at(&b, 2);
    o.y = lb_buffers_at(&b, 3);
    if (!r && o.s.n && o.s.o)
        r = LB_RUN(c->dev, conv2d, &o, err) || read_output(c, &b, y, err) ? -1 : 0;
    lb_buffers_finish(&b);
    return r;
}

/* ---- act and softmax -------------------------------------------------------------------------------------------------------------- */

int lb_op_act(struct lb_op_call *c, struct lb_err *err)
{
    const struct lb_tensor *x = lb_op_tensor(c, "x");
    struct lb_buffers b = {.d = c->dev};
    struct lb_act_op o = {.n = x->elems};
    float *y = NULL;
    int r = lb_op_activation(c, &o.act, &o.alpha, err) || put_input(c, &b, 0, "x", err) ||
                    !(y = make_output(c, &b, "y", x->ndim, x->shape, err))
                ? -1
                : 0;
    o.x = lb_buffers_at(&b, 0);
    o.y = lb_buffers_at(&b, 3);
    if (!r && o.n)
        r = LB_RUN(c->dev, act, &o, err) || read_output(c, &b, y, err) ? -1 : 0;
    lb_buffers_finish(&b);
    return r;
}

int lb_op_softmax(struct lb_op_call *c, struct lb_err *err)
{
    const struct lb_tensor *x = lb_op_tensor(c, "x");
    struct lb_buffers b = {.d = c->dev};
    struct lb_softmax o = {.cols = x->ndim ? x->shape[x->ndim - 1] : 0};
    float *y = NULL;
    if (!x->ndim)
        return lb_fail(err, "tensor x: shape [], wanted one dimension at least");
    int r = put_input(c, &b, 0, "x", err) || !(y = make_output(c, &b, "y", x->ndim, x->shape, err)) ? -1 : 0;
    o.rows = o.cols ? x->elems / o.cols : 0;
    o.x = lb_buffers_at(&b, 0);
    o.y = lb_buffers_at(&b, 3);
    if (!r && x->elems)
        r = LB_RUN(c->dev, softmax, &o, err) || read_output(c, &b, y, err) ? -1 : 0;
    lb_buffers_finish(&b);
    return r;
}

/* ---- constant --------------------------------------------------------------------------------------------------------------------- */

/* Sizes with commas between; the empty text has none. */
static int read_shape(const char *text, size_t *shape, unsigned *ndim, struct lb_err *err)
{
    *ndim = 0;
    for (const char *p = text; *p;) {
        char *end;
        errno = 0;
        const unsigned long long v = strtoull(p, &end, 10);
        if (errno || end == p || *p == '-' || (*end && *end != ',') || (*end && !end[1]) || *ndim == LB_MAX_DIMS)
            return lb_fail(err, "shape: expected up to %d sizes such as 2,3, found \"%s\"", LB_MAX_DIMS, text);
        shape[(*ndim)++] = (size_t)v;
        p = *end ? end + 1 : end;
    }
    return 0;
}

/* One number of the list as a code of the dtype; *next is behind it and its comma, NULL behind the last. */
static int read_value(const struct lb_coder *coder, const char *p, const char **next, uint64_t *code, struct lb_err *err)
{
    const struct lb_codec *k = lb_coder_codec(coder);
    char *end;
    double low, high;
    *code = 0;
    errno = 0;
    if (k->kind != LB_FLOAT) { /* binary64 does not hold every integer */
        int64_t whole = k->kind == LB_UNSIGNED ? (int64_t)strtoull(p, &end, 10) : strtoll(p, &end, 10);
        const int bad = errno || (k->kind == LB_UNSIGNED && strchr(p, '-') && strchr(p, '-') < end);
        lb_coder_range(coder, &low, &high);
        if (end == p || (*end && *end != ',') || bad || (k->bits < 64 && ((double)whole < low || (double)whole > high)))
            return lb_fail(err, "value: expected numbers that %s holds, found \"%s\"", k->base.name, p);
        lb_encode_int(coder, NULL, &whole, k->kind == LB_UNSIGNED, 1, code);
    } else {
        const double v = strtod(p, &end);
        if (end == p || (*end && *end != ','))
            return lb_fail(err, "value: expected a number, found \"%s\"", p);
        lb_encode_f64(coder, NULL, &v, 1, code);
    }
    *next = *end ? end + 1 : NULL;
    return 0;
}

static int fill(struct lb_op_call *c, const struct lb_coder *coder, enum lb_dtype_id dtype, struct lb_err *err)
{
    const char *text = lb_op_text(c, "value"), *next = text, *shape_text = lb_op_text(c, "shape");
    size_t shape[LB_MAX_DIMS] = {0}, n = 1;
    unsigned ndim;
    uint64_t code;
    unsigned char *y;
    for (const char *p = text; *p; p++)
        n += *p == ',';
    if (read_shape(shape_text, shape, &ndim, err))
        return -1;
    if (!*shape_text && n > 1) {
        ndim = 1;
        shape[0] = n;
    }
    if (!(y = lb_op_output(c, "Y", dtype, ndim, shape, err)))
        return -1;
    const size_t elems = c->out.items[0].t.elems;
    if (n != 1 && n != elems)
        return lb_fail(err, "value: %zu numbers, wanted 1 or the %zu of the shape", n, elems);
    if (!lb_dtype_fills(dtype, elems))
        return lb_fail(err, "dtype: %zu elements of %s do not fill whole bytes", elems, lb_dtypes[dtype].name);
    for (size_t i = 0; i < elems; i++) {
        if (next && read_value(coder, next, &next, &code, err))
            return -1;
        lb_code_set(y, lb_dtypes[dtype].bits, i, code);
    }
    return 0;
}

int lb_op_constant(struct lb_op_call *c, struct lb_err *err)
{
    const int dtype = lb_dtype_find(lb_op_text(c, "dtype"));
    struct lb_codec *codec = NULL;
    struct lb_coder *coder = NULL;
    if (dtype < 0)
        return lb_fail(err, "dtype: expected one of safetensors, such as F32, found \"%s\"", lb_op_text(c, "dtype"));
    const int r = lb_format_coder((enum lb_dtype_id)dtype, &codec, &coder, err) || fill(c, coder, (enum lb_dtype_id)dtype, err) ? -1 : 0;
    lb_coder_destroy(coder);
    lb_plugins_codec_free(codec);
    return r;
}
