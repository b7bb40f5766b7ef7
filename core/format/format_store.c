/* SPDX-License-Identifier: MIT */
/* format_store.c - tensors to codes: scaled, encoded, laid out in rows, counted, and put into a file with what describes them. */
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/format/scale.h"

#include <math.h>
#include <string.h>

void lb_format_turn(unsigned char *codes, size_t bytes, unsigned bits)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned turned = 0;
        for (unsigned at = 0; at < 8; at += bits)
            turned |= ((unsigned)codes[i] >> at & ((1u << bits) - 1)) << (8 - bits - at);
        codes[i] = (unsigned char)turned;
    }
}

/* How the codes of a matrix lie: rows one behind the other, each padded to whole blocks. */
static int row_elems(const struct lb_format *f, const struct lb_groups *g, size_t *n, struct lb_err *err)
{
    const size_t unit = !f->codec->bits ? f->codec->unit_elems : f->config->per == LB_PER_BLOCK ? g->block : 1;
    const size_t units = unit ? g->cols / unit + (g->cols % unit != 0) : 0;
    return lb_mul(units, unit, n) ? lb_fail(err, "%zu elements a row: too many", g->cols) : 0;
}

/* A zeroed tensor for a matrix in rows of `row` elements: under the codec's tag and its own shape where the codes fill it, else bytes. */
static int make_tensor(const struct lb_format *f, unsigned ndim, const size_t *shape, const struct lb_groups *g, size_t row,
                       struct lb_tensor *t, struct lb_err *err)
{
    size_t n, bytes;
    *t = (struct lb_tensor){0};
    if (lb_mul(g->rows, row, &n) || lb_coder_bytes(f->coder, n, &bytes))
        return lb_fail(err, "%zu rows of %zu elements: too many", g->rows, row);
    const int tag = f->codec->tag ? lb_dtype_find(f->codec->tag) : -1;
    if (tag >= 0 && row == g->cols && n * f->codec->bits % 8 == 0 && f->config->high_first <= 0)
        return lb_tensor_init(t, (enum lb_dtype_id)tag, ndim, shape, err);
    return lb_tensor_init(t, LB_U8, 1, &bytes, err);
}

int lb_format_tensor(const struct lb_format *f, unsigned ndim, const size_t *shape, struct lb_tensor *t, struct lb_err *err)
{
    struct lb_groups g;
    size_t row;
    return lb_groups_of(f, ndim, shape, &g, err) || row_elems(f, &g, &row, err) || make_tensor(f, ndim, shape, &g, row, t, err) ? -1 : 0;
}

static int add_metadata(const struct lb_format *f, const char *name, unsigned ndim, const size_t *shape, struct lb_safetensors *out,
                        struct lb_err *err)
{
    struct lb_text key = {0};
    lb_text_add(&key, "lowbit:%s", name);
    if (lb_text_end(&key, err))
        return -1;
    json_t *o = json_deep_copy(f->config->json), *dims = json_array();
    json_object_del(o, "layers"); /* of other tensors, */
    json_object_del(o, "search");
    json_object_del(o, "activations"); /* and of no tensor */
    json_object_del(o, "qat");
    json_object_del(o, "fit"); /* what the codes are worth does not depend on how they were found */
    for (unsigned i = 0; i < ndim; i++)
        json_array_append_new(dims, json_integer((json_int_t)shape[i]));
    json_object_set_new(o, "shape", dims);
    char *text = o ? lb_json_canonical(o, err) : NULL;
    json_decref(o);
    const int r = text ? lb_safetensors_meta(out, key.s, text, err) : lb_fail(err, "out of memory");
    lb_free(text);
    lb_text_free(&key);
    return r;
}

int lb_format_add(const struct lb_format *f, const char *name, struct lb_tensor *codes, unsigned ndim, const size_t *shape,
                  struct lb_safetensors *out, struct lb_err *err)
{
    const int tagged = f->codec->tag && (int)codes->dtype == lb_dtype_find(f->codec->tag);
    if (lb_safetensors_add(out, name, codes, err))
        return -1;
    return tagged && f->config->rule == LB_SCALE_NONE ? 0 : add_metadata(f, name, ndim, shape, out, err);
}

/* Adds "<name><tail>": `bytes` bytes of data under the tag of `f`'s codec where they fill the shape, else as bytes. */
static int add_beside(const struct lb_format *f, const char *name, const char *tail, const void *data, size_t bytes, unsigned ndim,
                      const size_t *shape, struct lb_safetensors *out, struct lb_format_stats *stats, struct lb_err *err)
{
    struct lb_tensor t = {0};
    struct lb_text key = {0};
    struct lb_groups g = {.rows = 1, .cols = 1};
    for (unsigned i = 0; i < ndim; i++)
        g.cols *= shape[i];
    lb_text_add(&key, "%s%s", name, tail);
    int r = lb_text_end(&key, err) || make_tensor(f, ndim, shape, &g, g.cols, &t, err) ? -1 : 0;
    if (!r) {
        memcpy(t.data, data, bytes);
        stats->bytes += t.bytes;
        r = lb_safetensors_add(out, key.s, &t, err);
    }
    lb_tensor_finish(&t);
    lb_text_free(&key);
    return r;
}

static int add_numbers(const char *name, const char *tail, const float *x, size_t n, int scalar, struct lb_safetensors *out,
                       struct lb_format_stats *stats, struct lb_err *err)
{
    struct lb_tensor t = {0};
    struct lb_text key = {0};
    lb_text_add(&key, "%s%s", name, tail);
    int r = lb_text_end(&key, err) || lb_tensor_init(&t, LB_F32, scalar ? 0 : 1, &n, err) ? -1 : 0;
    if (!r) {
        memcpy(t.data, x, n * sizeof *x);
        stats->bytes += t.bytes;
        r = lb_safetensors_add(out, key.s, &t, err);
    }
    lb_tensor_finish(&t);
    lb_text_free(&key);
    return r;
}

/* The scales and all that goes with them. */
static int add_scales(const struct lb_format *f, const char *name, const struct lb_scales *s, struct lb_safetensors *out,
                      struct lb_format_stats *stats, struct lb_err *err)
{
    const size_t shape[2] = {s->g.rows, s->g.per_row};
    const unsigned ndim = f->config->per == LB_PER_BLOCK ? 2 : s->g.per_row ? 1 : 0;
    int r = add_beside(f->scale, name, ".scale", s->codes, s->code_bytes, ndim, shape, out, stats, err);
    if (!r && s->scale2)
        r = add_numbers(name, ".scale2", s->scale2, s->n2, f->scale->config->per == LB_PER_TENSOR, out, stats, err);
    if (!r && f->scale->config->offset)
        r = add_numbers(name, ".scale_offset", &s->offset, 1, 1, out, stats, err);
    if (!r && s->zeros) {
        size_t bytes;
        unsigned char *codes = lb_coder_bytes(f->coder, s->g.n, &bytes) ? NULL : lb_alloc(bytes, 1, err);
        if (!codes)
            return -1;
        lb_encode_f32(f->coder, NULL, s->zeros, s->g.n, codes);
        r = add_beside(f, name, ".zero_point", codes, bytes, ndim, shape, out, stats, err);
        lb_free(codes);
    }
    return r;
}

/* ---- One tensor ---- */

struct job {
    const struct lb_format *f;
    const float *x;
    struct lb_groups g;
    size_t row; /* elements of a stored row */
    struct lb_scales scales;
    float *q; /* (rows, row): what comes back out of the codec */
};

/* Elements from column `col` of a row on that share scale number g. */
static void count_some(const struct job *j, const struct lb_tensor *codes, size_t row, size_t col, size_t n, size_t g,
                       struct lb_format_stats *st)
{
    const unsigned bits = j->f->codec->bits;
    const float s = j->scales.s ? j->scales.s[g] : 1.0f, z = j->scales.zeros ? j->scales.zeros[g] : 0.0f;
    for (size_t k = col; k < col + n; k++) {
        const float x = j->x[row * j->g.cols + k], v = lb_scale_out(j->f, j->q[row * j->row + k], s, z);
        const double d = (double)x - (double)v;
        if (bits && bits <= 8)
            st->codes[lb_code_get(codes->data, bits, row * j->row + k)]++;
        st->nan_codes += v != v;
        st->inf_codes += isinf(v) != 0;
        st->zeroed += x != 0 && v == 0;
        st->clipped += bits && lb_coder_beyond(j->f->coder, (double)lb_scale_into(j->f, x, s, z)) != 0;
        st->signal += (double)x * (double)x;
        st->noise += d * d;
    }
}

static void count(const struct job *j, const struct lb_tensor *codes, struct lb_format_stats *st)
{
    const struct lb_groups *g = &j->g;
    for (size_t i = 0; i < g->rows; i++)
        for (size_t k = 0; k < g->cols; k += g->block)
            count_some(j, codes, i, k, g->cols - k < g->block ? g->cols - k : g->block, g->per_row ? i * g->per_row + k / g->block : 0, st);
    st->weights += g->rows * g->cols;
}

static int decode_and_count(struct job *j, const struct lb_tensor *codes, struct lb_format_stats *stats, struct lb_err *err)
{
    const size_t n = j->g.rows * j->row;
    j->q = lb_alloc(n, sizeof *j->q, err);
    if (!j->q)
        return -1;
    lb_decode_f32(j->f->coder, codes->data, n, j->q);
    count(j, codes, stats);
    lb_free(j->q);
    return 0;
}

/* Codes of `near` by j->scales where there is one, else of x by scales that it finds. */
static int make_codes(struct job *j, const float *near, const struct lb_encode *how, unsigned char *codes, struct lb_err *err)
{
    if (!near)
        return lb_format_codes(j->f, &j->g, j->row, j->x, how, codes, &j->scales, err);
    lb_format_codes_by(j->f, &j->g, j->row, near, how, j->scales.s, j->scales.zeros, codes);
    return 0;
}

static int encode(struct job *j, const char *name, const float *near, unsigned ndim, const size_t *shape, const struct lb_encode *how,
                  struct lb_safetensors *out, struct lb_format_stats *stats, struct lb_err *err)
{
    const struct lb_format *f = j->f;
    struct lb_tensor codes = {0};
    struct lb_format_stats unwanted = {0}, *st = stats ? stats : &unwanted;
    const double start = lb_seconds();
    int r = lb_groups_of(f, ndim, shape, &j->g, err) || row_elems(f, &j->g, &j->row, err) ||
                    make_tensor(f, ndim, shape, &j->g, j->row, &codes, err) || make_codes(j, near, how, codes.data, err)
                ? -1
                : 0;
    st->seconds += r ? 0 : lb_seconds() - start;
    if (!r && j->scales.lost)
        lb_log(LB_LOG_WARN, "format %s: %s: %zu of %zu scales are beyond codec %s: they became 0, infinity or NaN", f->config->name, name,
               j->scales.lost, j->g.n, f->scale->codec->base.name);
    if (!r && stats)
        r = decode_and_count(j, &codes, st, err);
    if (!r) {
        st->bytes += codes.bytes;
        if (f->config->high_first > 0)
            lb_format_turn(codes.data, codes.bytes, f->codec->bits);
        r = lb_format_add(f, name, &codes, ndim, shape, out, err);
    }
    if (!r && f->scale)
        r = add_scales(f, name, &j->scales, out, st, err);
    lb_tensor_finish(&codes);
    return r ? lb_fail_in(err, "tensor %s", name) : 0;
}

int lb_format_encode(const struct lb_format *f, const char *name, const float *x, unsigned ndim, const size_t *shape, uint64_t seed,
                     uint32_t stream, struct lb_safetensors *out, struct lb_format_stats *stats, struct lb_err *err)
{
    struct job j = {.f = f, .x = x};
    const struct lb_encode how = {.rounding = f->config->rounding, .overflow = f->config->overflow, .seed = seed, .stream = stream};
    const int r = encode(&j, name, NULL, ndim, shape, &how, out, stats, err);
    lb_scales_finish(&j.scales);
    return r;
}

int lb_format_encode_near(const struct lb_format *f, const char *name, const float *x, const float *near, const struct lb_scales *scales,
                          unsigned ndim, const size_t *shape, struct lb_safetensors *out, struct lb_format_stats *stats, struct lb_err *err)
{
    struct job j = {.f = f, .x = x, .scales = *scales};
    const struct lb_encode how = {.rounding = f->config->rounding, .overflow = f->config->overflow};
    return encode(&j, name, near, ndim, shape, &how, out, stats, err);
}
