/* SPDX-License-Identifier: MIT */
#include "core/format/format.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "kernels/canon.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct lb_encode way(const struct lb_format_config *c, uint64_t seed, uint32_t stream)
{
    return (struct lb_encode){.rounding = c->rounding, .overflow = c->overflow, .seed = seed, .stream = stream};
}

int lb_format_create(const struct lb_format_config *config, struct lb_format **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_format *f = lb_alloc(1, sizeof *f, err);
    if (!f)
        return -1;
    f->config = config;
    const struct lb_encode how = way(config, 0, 0);
    int r = lb_plugins_codec(config->codec, config->params, config->n_params, &f->codec, &f->entry, err) ||
                    lb_coder_create(f->codec, &f->coder, err) || lb_coder_check(f->coder, &how, err) ||
                    lb_coder_sha256(f->coder, f->sha256, err)
                ? -1
                : 0;
    if (!r && config->rule == LB_SCALE_ABSMAX && f->codec->bits > 16 && f->codec->kind == LB_FLOAT)
        r = lb_fail(err, "scale absmax has no meaning for codec %s", f->codec->base.name);
    if (r) {
        lb_fail_in(err, "format %s", config->name);
        lb_format_destroy(f);
        return -1;
    }
    *out = f;
    return 0;
}

void lb_format_destroy(struct lb_format *f)
{
    if (!f)
        return;
    lb_coder_destroy(f->coder);
    lb_plugins_codec_free(f->codec);
    lb_free(f);
}

/* The scale of a tensor: x ~ q s. */
static float tensor_scale(const struct lb_format *f, const float *x, size_t n)
{
    if (f->config->rule == LB_SCALE_FIXED)
        return (float)f->config->value;
    float amax = 0;
    for (size_t i = 0; i < n; i++) {
        const float a = x[i] < 0 ? -x[i] : x[i];
        amax = a > amax ? a : amax;
    }
    double low, high;
    lb_coder_range(f->coder, &low, &high);
    return canon_div(amax, (float)high);
}

/* What goes into the codec: docs/arithmetic.md, "Formats". */
static float scaled(const struct lb_format_config *c, float s, float x)
{
    switch (c->rule) {
    case LB_SCALE_FIXED:
    case LB_SCALE_ABSMAX:
        return s == 0 ? 0.0f : canon_div(x, s);
    case LB_SCALE_MULTIPLY:
        return (x + (float)c->add) * (float)c->multiply;
    default:
        return x;
    }
}

/* What a decoded code stands for. */
static float unscaled(const struct lb_format_config *c, float s, float q)
{
    switch (c->rule) {
    case LB_SCALE_FIXED:
    case LB_SCALE_ABSMAX:
        return canon_nan(q * s);
    case LB_SCALE_MULTIPLY:
        return canon_nan(canon_div(q, (float)c->multiply) - (float)c->add);
    default:
        return canon_nan(q);
    }
}

static int has_scale(const struct lb_format_config *c)
{
    return c->rule == LB_SCALE_FIXED || c->rule == LB_SCALE_ABSMAX;
}

static void count(const struct lb_format *f, const float *x, const float *in, const float *q, float s, size_t n, struct lb_format_stats *st)
{
    for (size_t i = 0; i < n; i++) {
        const float v = unscaled(f->config, s, q[i]);
        const double d = (double)x[i] - (double)v;
        st->nan_codes += q[i] != q[i];
        st->inf_codes += isinf(q[i]) != 0;
        st->zeroed += x[i] != 0 && v == 0;
        st->clipped += lb_coder_beyond(f->coder, (double)in[i]) != 0;
        st->signal += (double)x[i] * (double)x[i];
        st->noise += d * d;
    }
    st->weights += n;
}

static int count_elems(unsigned ndim, const size_t *shape, size_t *n, struct lb_err *err)
{
    *n = 1;
    for (unsigned i = 0; i < ndim; i++)
        if (lb_mul(*n, shape[i], n))
            return lb_fail(err, "more elements than this machine can address");
    return 0;
}

int lb_format_tensor(const struct lb_format *f, unsigned ndim, const size_t *shape, struct lb_tensor *t, struct lb_err *err)
{
    size_t bytes, n;
    *t = (struct lb_tensor){0};
    if (count_elems(ndim, shape, &n, err))
        return -1;
    if (lb_coder_bytes(f->coder, n, &bytes))
        return lb_fail(err, "%zu elements: too many", n);
    const int tag = f->codec->tag ? lb_dtype_find(f->codec->tag) : -1;
    if (tag >= 0 && n * f->codec->bits % 8 == 0)
        return lb_tensor_init(t, (enum lb_dtype_id)tag, ndim, shape, err);
    return lb_tensor_init(t, LB_U8, 1, &bytes, err);
}

static int add_metadata(const struct lb_format *f, const char *name, unsigned ndim, const size_t *shape, struct lb_safetensors *out,
                        struct lb_err *err)
{
    struct lb_text key = {0};
    lb_text_add(&key, "lowbit:%s", name);
    if (lb_text_end(&key, err))
        return -1;
    json_t *o = json_deep_copy(f->config->json), *dims = json_array();
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

/* Tensor "<name>.scale". */
static int add_scale(const char *name, float s, struct lb_safetensors *out, struct lb_err *err)
{
    struct lb_tensor scale = {0};
    struct lb_text t = {0};
    lb_text_add(&t, "%s.scale", name);
    int r = lb_text_end(&t, err) || lb_tensor_init(&scale, LB_F32, 0, NULL, err) ? -1 : 0;
    if (!r) {
        memcpy(scale.data, &s, sizeof s);
        r = lb_safetensors_add(out, t.s, &scale, err);
    }
    lb_tensor_finish(&scale);
    lb_text_free(&t);
    return r;
}

static int find_scale(const struct lb_safetensors *st, const char *name, float *s, struct lb_err *err)
{
    struct lb_text t = {0};
    lb_text_add(&t, "%s.scale", name);
    if (lb_text_end(&t, err))
        return -1;
    const struct lb_tensor *scale = lb_safetensors_find(st, t.s);
    int r = 0;
    if (!scale || scale->dtype != LB_F32 || scale->elems != 1)
        r = lb_fail(err, "tensor %s: expected one F32 value", t.s);
    else
        memcpy(s, scale->data, sizeof *s);
    lb_text_free(&t);
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

int lb_format_encode(const struct lb_format *f, const char *name, const float *x, unsigned ndim, const size_t *shape, uint64_t seed,
                     uint32_t stream, struct lb_safetensors *out, struct lb_format_stats *stats, struct lb_err *err)
{
    size_t n;
    if (count_elems(ndim, shape, &n, err))
        return lb_fail_in(err, "tensor %s", name);
    struct lb_tensor codes = {0};
    const struct lb_encode how = way(f->config, seed, stream);
    const double start = lb_seconds();
    const float s = has_scale(f->config) ? tensor_scale(f, x, n) : 1.0f;
    float *in = lb_alloc(n, sizeof *in, err), *q = lb_alloc(n, sizeof *q, err);
    int r = in && q ? lb_format_tensor(f, ndim, shape, &codes, err) : -1;
    if (!r) {
        for (size_t i = 0; i < n; i++)
            in[i] = scaled(f->config, s, x[i]);
        lb_encode_f32(f->coder, &how, in, n, codes.data);
        stats->seconds += lb_seconds() - start;
        lb_decode_f32(f->coder, codes.data, n, q);
        count(f, x, in, q, s, n, stats);
        stats->bytes += codes.bytes + (has_scale(f->config) ? sizeof s : 0);
        r = lb_format_add(f, name, &codes, ndim, shape, out, err);
    }
    if (!r && has_scale(f->config))
        r = add_scale(name, s, out, err);
    lb_tensor_finish(&codes);
    lb_free(in);
    lb_free(q);
    return r ? lb_fail_in(err, "tensor %s", name) : 0;
}

int lb_format_coder(enum lb_dtype_id dtype, struct lb_codec **codec, struct lb_coder **coder, struct lb_err *err)
{
    const struct lb_entry *entry;
    *coder = NULL;
    if (lb_plugins_codec(lb_dtypes[dtype].name, NULL, 0, codec, &entry, err))
        return -1;
    return lb_coder_create(*codec, coder, err);
}

int lb_format_text(const struct lb_safetensors *st, const char *name, const char **text, struct lb_err *err)
{
    struct lb_text key = {0};
    *text = NULL;
    if (!st->metadata)
        return 0;
    lb_text_add(&key, "lowbit:%s", name);
    if (lb_text_end(&key, err))
        return -1;
    *text = json_string_value(json_object_get(st->metadata, key.s));
    lb_text_free(&key);
    return 0;
}

int lb_format_shape(const struct lb_safetensors *st, const char *name, unsigned *ndim, size_t shape[LB_MAX_DIMS], struct lb_err *err)
{
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    const char *text;
    if (!t)
        return lb_fail(err, "tensor %s is missing", name);
    if (lb_format_text(st, name, &text, err))
        return -1;
    *ndim = t->ndim;
    memcpy(shape, t->shape, sizeof t->shape);
    if (!text)
        return 0;
    json_t *o = lb_json_parse(text, strlen(text), name, err), *dims = json_object_get(o, "shape");
    int r = o ? 0 : -1;
    if (o && (!json_is_array(dims) || json_array_size(dims) > LB_MAX_DIMS))
        r = lb_fail(err, "tensor %s: its format's \"shape\" is no list of at most %d numbers", name, LB_MAX_DIMS);
    *ndim = r ? 0 : (unsigned)json_array_size(dims);
    for (unsigned i = 0; !r && i < *ndim; i++) {
        const json_t *v = json_array_get(dims, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            r = lb_fail(err, "tensor %s: its format's \"shape\" holds what is no size", name);
        shape[i] = r ? 0 : (size_t)json_integer_value(v);
    }
    json_decref(o);
    return r;
}

/* Reads the config of a tensor's format. */
static int read_config(const char *text, const char *name, struct lb_format_config *c, struct lb_err *err)
{
    json_t *o = lb_json_parse(text, strlen(text), name, err);
    if (!o)
        return -1;
    json_object_del(o, "shape");
    char *bare = lb_json_canonical(o, err);
    json_decref(o);
    int r = bare ? lb_config_format(bare, NULL, c, err) : -1;
    lb_free(bare);
    return r;
}

static int decode_plain(const struct lb_tensor *t, float *x, struct lb_err *err)
{
    struct lb_codec *codec = NULL;
    struct lb_coder *coder = NULL;
    int r = lb_format_coder(t->dtype, &codec, &coder, err);
    if (!r)
        lb_decode_f32(coder, t->data, t->elems, x);
    lb_coder_destroy(coder);
    lb_plugins_codec_free(codec);
    return r;
}

static int decode_formatted(const struct lb_safetensors *st, const struct lb_tensor *t, const char *name, const char *text, float *x,
                            size_t n, struct lb_err *err)
{
    struct lb_format_config config = {0};
    struct lb_format *f = NULL;
    size_t bytes = 0;
    float s = 1.0f;
    int r = read_config(text, name, &config, err) || lb_format_create(&config, &f, err) ? -1 : 0;
    if (!r && (lb_coder_bytes(f->coder, n, &bytes) || bytes != t->bytes))
        r = lb_fail(err, "holds %zu bytes, expected %zu", t->bytes, bytes);
    if (!r && has_scale(&config))
        r = find_scale(st, name, &s, err);
    if (!r) {
        lb_decode_f32(f->coder, t->data, n, x);
        for (size_t i = 0; i < n; i++)
            x[i] = unscaled(&config, s, x[i]);
    }
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    return r;
}

int lb_format_decode(const struct lb_safetensors *st, const char *name, float *x, size_t elems, struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS], n;
    const char *text;
    if (lb_format_shape(st, name, &ndim, shape, err) || count_elems(ndim, shape, &n, err) || lb_format_text(st, name, &text, err))
        return -1;
    if (n != elems)
        return lb_fail(err, "tensor %s: %zu elements, expected %zu", name, n, elems);
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    int r = text ? decode_formatted(st, t, name, text, x, elems, err) : decode_plain(t, x, err);
    return r ? lb_fail_in(err, "tensor %s", name) : 0;
}
