/* SPDX-License-Identifier: MIT */
/* op_q.c - what the ops on integer tensors take from a file, and how it gets to the device. */
#include "core/cmd/op_q.h"
#include "core/base/mem.h"
#include "core/format/floats.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parameters ------------------------------------------------------------------------------------------------------------------- */

static const struct {
    enum lb_dtype_id dtype;
    int32_t low, high;
} types[] = {[LB_Q_U8] = {LB_U8, 0, 255},
             [LB_Q_S8] = {LB_I8, -128, 127},
             [LB_Q_U4] = {LB_U8, 0, 15},
             [LB_Q_S4] = {LB_I8, -8, 7},
             [LB_Q_S32] = {LB_I32, INT32_MIN, INT32_MAX}};

enum lb_dtype_id lb_op_q_dtype(uint32_t type)
{
    return types[type].dtype;
}

static int type_of(const struct lb_tensor *t, const char *name, int sums, uint32_t *type, struct lb_err *err)
{
    *type = t->dtype == LB_I8 ? LB_Q_S8 : t->dtype == LB_U8 ? LB_Q_U8 : LB_Q_S32;
    if (t->dtype == LB_U8 || t->dtype == LB_I8 || (sums && t->dtype == LB_I32))
        return 0;
    return lb_fail(err, "tensor %s: dtype %s, wanted %s", name, lb_dtypes[t->dtype].name, sums ? "U8, I8 or I32" : "U8 or I8");
}

int lb_op_q_type(const struct lb_op_call *c, const char *name, int sums, uint32_t *type, struct lb_err *err)
{
    return type_of(lb_op_tensor(c, name), name, sums, type, err);
}

enum { NAME = 32 };

/* "b_scale"; "scale" of a tensor without a name. Returns full. */
static const char *name_of(const char *name, const char *what, char full[NAME])
{
    snprintf(full, NAME, "%s%s%s", name, *name ? "_" : "", what);
    return full;
}

int lb_op_q_output_type(const struct lb_op_call *c, const char *name, uint32_t *type, struct lb_err *err)
{
    char full[NAME];
    const struct lb_tensor *t = lb_op_tensor(c, name_of(name, "zero_point", full));
    *type = LB_Q_U8;
    return t ? type_of(t, full, 0, type, err) : 0;
}

/* How many there are: 1, or one a channel. 0: an error. */
static size_t count(const struct lb_tensor *t, const char *full, size_t channels, struct lb_err *err)
{
    char shape[LB_MAX_DIMS * 24], more[48] = "";
    if (t->ndim <= 1 && t->elems && (t->elems == 1 || t->elems == channels))
        return t->elems;
    if (channels > 1)
        snprintf(more, sizeof more, ", or [%zu], one a channel", channels);
    lb_fail(err, "tensor %s: shape %s, wanted [] or [1]%s", full, lb_shape_text(t->ndim, t->shape, shape, sizeof shape), more);
    return 0;
}

static int read_scales(const struct lb_op_call *c, const char *full, size_t n, struct lb_op_q *q, struct lb_err *err)
{
    float *x;
    if (lb_op_floats(c, full, &x, err))
        return -1;
    int r = (q->scale = lb_alloc(q->n, sizeof *q->scale, err)) ? 0 : -1;
    for (size_t j = 0; !r && j < n; j++)
        if (!isfinite(x[j]) || !(x[j] > 0))
            r = lb_fail(err, "tensor %s: element %zu is %g, expected a finite number above 0", full, j, (double)x[j]);
    for (size_t j = 0; !r && j < q->n; j++)
        q->scale[j] = x[n == 1 ? 0 : j];
    lb_free(x);
    return r;
}

static int read_zeros(const struct lb_op_call *c, const char *full, size_t n, struct lb_op_q *q, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, full);
    if (lb_op_dtype(c, full, types[q->type].dtype, err))
        return -1;
    for (size_t j = 0; j < q->n; j++) {
        const size_t from = n == 1 ? 0 : j;
        int32_t z = q->type == LB_Q_S8 || q->type == LB_Q_S4 ? (int8_t)t->data[from] : t->data[from];
        if (q->type == LB_Q_S32)
            memcpy(&z, t->data + 4 * from, sizeof z);
        if (z < q->low || z > q->high)
            return lb_fail(err, "tensor %s: element %zu is %d, expected %d to %d", full, from, z, q->low, q->high);
        q->zero[j] = z;
        q->zeros_differ |= z != q->zero[0];
    }
    return 0;
}

int lb_op_q_open(const struct lb_op_call *c, const char *name, uint32_t type, size_t channels, struct lb_op_q *q, struct lb_err *err)
{
    char scale[NAME], zero[NAME];
    const struct lb_tensor *s = lb_op_tensor(c, name_of(name, "scale", scale));
    const struct lb_tensor *z = lb_op_tensor(c, name_of(name, "zero_point", zero));
    const size_t scales = s ? count(s, scale, channels, err) : 1, zeros = z ? count(z, zero, channels, err) : 1;
    *q = (struct lb_op_q){.name = name, .type = type, .low = types[type].low, .high = types[type].high};
    if (!scales || !zeros)
        return -1;
    q->n = scales > zeros ? scales : zeros;
    if (!(q->zero = lb_alloc(q->n, sizeof *q->zero, err)))
        return -1;
    return (s && read_scales(c, scale, scales, q, err)) || (z && read_zeros(c, zero, zeros, q, err)) ? -1 : 0;
}

void lb_op_q_finish(struct lb_op_q *q)
{
    lb_free(q->scale);
    lb_free(q->zero);
}

int lb_op_q_need_scale(const struct lb_op_q *q, struct lb_err *err)
{
    char full[NAME];
    return q->scale ? 0 : lb_fail(err, "tensor %s is missing", name_of(q->name, "scale", full));
}

int lb_op_q_need_one_zero(const struct lb_op_q *q, struct lb_err *err)
{
    char full[NAME];
    return q->zeros_differ
               ? lb_fail(err, "tensor %s: expected one zero point for all channels; they differ", name_of(q->name, "zero_point", full))
               : 0;
}

int64_t lb_op_q_reach(const struct lb_op_q *q)
{
    int64_t most = 0;
    for (size_t j = 0; j < q->n; j++) {
        const int64_t below = (int64_t)q->zero[j] - q->low, above = (int64_t)q->high - q->zero[j];
        most = below > most ? below : most;
        most = above > most ? above : most;
    }
    return most;
}

struct lb_q_params lb_op_q_params(const struct lb_op_q *q)
{
    return (struct lb_q_params){.type = q->type, .scale = q->scale[0], .zero = q->zero[0], .low = q->low, .high = q->high};
}

struct lb_q_out lb_op_q_out(const struct lb_op_q *y, int relu)
{
    return (struct lb_q_out){.type = y->type, .zero = y->zero[0], .low = relu ? y->zero[0] : y->low, .high = y->high};
}

int lb_op_q_multipliers(const struct lb_op_q *a, const struct lb_op_q *b, double factor, const struct lb_op_q *y, size_t n, int32_t *rows,
                        struct lb_err *err)
{
    char name_a[NAME], name_b[NAME] = "", name_y[NAME];
    for (size_t j = 0; j < n; j++) {
        const double r = lb_op_q_scale_of(a, j) * (b ? lb_op_q_scale_of(b, j) : 1) * factor / lb_op_q_scale_of(y, j);
        if (!lb_q_multiplier(r, &rows[j], &rows[n + j]))
            continue;
        name_of(a->name, "scale", name_a);
        name_of(y->name, "scale", name_y);
        if (b)
            name_of(b->name, "scale", name_b);
        return lb_fail(err, "tensor %s: %s%s%s / %s is %g for channel %zu; it must be below 2^22", name_y, name_a, b ? " * " : "", name_b,
                       name_y, r, j);
    }
    return 0;
}

/* ---- Settings --------------------------------------------------------------------------------------------------------------------- */

int lb_op_q_sizes(const struct lb_op_call *c, const char *setting, size_t n, size_t low, size_t high, size_t *v, struct lb_err *err)
{
    const char *text = lb_op_text(c, setting), *p = text;
    size_t found = 0;
    int bad = 0;
    for (; p && !bad && found < n; found++) {
        char *end;
        errno = 0;
        const long long x = strtoll(p, &end, 10);
        bad = errno || end == p || (*end && *end != ',') || x < (long long)low || (unsigned long long)x > high;
        v[found] = (size_t)x;
        p = *end ? end + 1 : NULL;
    }
    if (bad || p || (found != n && found != 1))
        return lb_fail(err, "%s: expected %zu whole numbers from %zu to %zu such as 3,2, or one for all, found \"%s\"", setting, n, low,
                       high, text);
    for (size_t i = found; i < n; i++)
        v[i] = v[0];
    return 0;
}

int lb_op_q_relu(const struct lb_op_call *c, int *relu, struct lb_err *err)
{
    const char *text = lb_op_text(c, "act");
    *relu = !strcmp(text, "relu");
    return *relu || !strcmp(text, "linear") ? 0 : lb_fail(err, "act: expected linear or relu, found \"%s\"", text);
}

/* ---- Devices ---------------------------------------------------------------------------------------------------------------------- */

static size_t words(size_t bytes)
{
    return bytes ? bytes / 4 + (bytes % 4 != 0) : 1;
}

int lb_op_q_put(struct lb_buffers *b, int i, const void *data, size_t bytes, struct lb_err *err)
{
    if (!data)
        return lb_buffers_put(b, i, NULL, words(bytes), 1, err);
    float *whole = lb_alloc(words(bytes), 4, err);
    if (whole)
        memcpy(whole, data, bytes);
    const int r = whole ? lb_buffers_put(b, i, whole, words(bytes), 1, err) : -1;
    lb_free(whole);
    return r;
}

int lb_op_q_get(struct lb_buffers *b, int i, void *data, size_t bytes, struct lb_err *err)
{
    void *whole = lb_alloc(words(bytes), 4, err);
    const int r = whole ? lb_buf_read(b->d, &b->buf[i], 0, whole, words(bytes), err) : -1;
    if (!r)
        memcpy(data, whole, bytes);
    lb_free(whole);
    return r;
}

int lb_op_q_put_input(const struct lb_op_call *c, struct lb_buffers *b, int i, const char *name, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    return lb_op_q_put(b, i, t->data, t->bytes, err);
}

void *lb_op_q_output(struct lb_op_call *c, struct lb_buffers *b, const char *name, uint32_t type, unsigned ndim, const size_t *shape,
                     struct lb_err *err)
{
    void *y = lb_op_output(c, name, lb_op_q_dtype(type), ndim, shape, err);
    return y && !lb_op_q_put(b, LB_OP_Q_Y, NULL, c->out.items[0].t.bytes, err) ? y : NULL;
}

void lb_op_q_turn(const void *x, size_t n, size_t rows, size_t cols, size_t size, void *y)
{
    const unsigned char *from = x;
    unsigned char *to = y;
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < cols; k++)
                memcpy(to + ((i * cols + k) * rows + r) * size, from + ((i * rows + r) * cols + k) * size, size);
}

int lb_op_q_put_images(const struct lb_op_call *c, struct lb_buffers *b, int i, const char *name, struct lb_err *err)
{
    const struct lb_tensor *t = lb_op_tensor(c, name);
    unsigned char *turned = lb_alloc(t->bytes, 1, err);
    if (!turned)
        return -1;
    if (t->elems)
        lb_op_q_turn(t->data, t->shape[0], t->shape[1], t->shape[2] * t->shape[3], 1, turned);
    const int r = lb_op_q_put(b, i, turned, t->bytes, err);
    lb_free(turned);
    return r;
}

int lb_op_q_get_images(struct lb_buffers *b, size_t n, size_t c, size_t positions, size_t size, void *y, struct lb_err *err)
{
    const size_t bytes = n * c * positions * size;
    unsigned char *last = lb_alloc(bytes, 1, err);
    const int r = last ? lb_op_q_get(b, LB_OP_Q_Y, last, bytes, err) : -1;
    if (!r)
        lb_op_q_turn(last, n, positions, c, size, y);
    lb_free(last);
    return r;
}
