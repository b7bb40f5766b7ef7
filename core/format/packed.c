/* SPDX-License-Identifier: MIT */
#include "core/format/packed.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/format/scale.h"
#include "core/run/config_tables.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { MOST_UNIT = 1024 }; /* elements of a block codec's unit */

/* ---- Codes ---- */

static void decode_from(const struct lb_coder *coder, const void *codes, size_t first, size_t n, float *x)
{
    const struct lb_codec *k = lb_coder_codec(coder);
    const unsigned char *p = codes;
    if (!k->bits)
        lb_decode_f32(coder, p + first / k->unit_elems * k->unit_bytes, n, x);
    else if (first % 8 * k->bits % 8 == 0)
        lb_decode_f32(coder, p + first / 8 * k->bits + first % 8 * k->bits / 8, n, x);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = lb_coder_values32(coder)[lb_code_get(codes, k->bits, first + i)];
}

static void decode(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    decode_from(c->host, codes, first, n, x);
}

/* Codes that the published study's scaling made. */
static void decode_undone(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    const struct lb_undo *u = c->host;
    decode_from(u->coder, codes, first, n, x);
    for (size_t i = 0; i < n; i++)
        x[i] = canon_nan(canon_div(x[i], u->multiply) - u->add);
}

void lb_codes_init(const struct lb_coder *coder, const char *sha256, struct lb_codes *out)
{
    *out = (struct lb_codes){
        .codec = lb_coder_codec(coder), .sha256 = sha256, .values = lb_coder_values32(coder), .decode = decode, .host = coder};
}

/* ---- One element, by the rules ---- */

float lb_packed_scale(const struct lb_packed *p, size_t g)
{
    float s;
    p->s.decode(&p->s, p->scales, g, 1, &s);
    if (p->scale2)
        s *= p->scale2[g / p->group2];
    return p->has_offset ? s + p->offset : s;
}

static void codes_of_row(const struct lb_packed *p, size_t i, size_t j, size_t n, float *x)
{
    const struct lb_codec *k = p->q.codec;
    const unsigned char *row = p->codes + i * p->row_bytes;
    if (k->bits) {
        p->q.decode(&p->q, row, j, n, x);
        return;
    }
    for (size_t done = 0; done < n;) {
        float unit[MOST_UNIT];
        const size_t at = (j + done) % k->unit_elems, many = k->unit_elems - at < n - done ? k->unit_elems - at : n - done;
        p->q.decode(&p->q, row, j + done - at, k->unit_elems, unit);
        memcpy(x + done, unit + at, many * sizeof *x);
        done += many;
    }
}

void lb_packed_row(const struct lb_packed *p, size_t i, size_t j, size_t n, float *x)
{
    codes_of_row(p, i, j, n, x);
    if (!p->scaled)
        return;
    for (size_t k = 0; k < n;) {
        const size_t g = i * p->scale_row + (j + k) / p->block, end = ((j + k) / p->block + 1) * p->block - j;
        const float s = lb_packed_scale(p, g), z = p->zeros ? p->zeros[g] : 0.0f;
        for (; k < n && k < end; k++)
            x[k] = canon_nan(p->zeros ? (x[k] - z) * s : x[k] * s);
    }
}

/* ---- A tensor of a file ---- */

int lb_packed_config(const char *text, const char *name, struct lb_format_config *c, struct lb_err *err)
{
    const struct lb_source from = {.name = name, .text = text};
    const struct lb_formats_file none = {0};
    json_t *o = lb_json_parse(text, strlen(text), name, err);
    if (!o)
        return -1;
    json_object_del(o, "shape");
    const int r = lb_options_check(&lb_format_table, o, "", &from, err) || lb_format_resolve(o, &none, c, err) ? -1 : 0;
    json_decref(o);
    return r;
}

/* Takes the format of `like`, if it is that of text (NULL: a plain tensor of dtype `t`). */
static int borrow(const struct lb_packed_tensor *like, const struct lb_tensor *t, const char *text, struct lb_packed_tensor *out)
{
    if (!like || !like->p.q.codec)
        return 0;
    const char *tag = like->p.q.codec->tag;
    const int same = text ? like->config && json_equal(like->config->json, out->config->json)
                          : !like->config && tag && !strcmp(tag, lb_dtypes[t->dtype].name);
    if (!same)
        return 0;
    if (out->config)
        lb_config_format_finish(out->config);
    lb_free(out->config);
    out->borrowed = 1;
    out->config = like->config;
    out->format = like->format;
    out->codec = like->codec;
    out->coder = like->coder;
    return 1;
}

static int open_format(const struct lb_tensor *t, const char *text, const char *name, const struct lb_packed_tensor *like,
                       struct lb_packed_tensor *out, struct lb_err *err)
{
    if (text) {
        out->config = lb_alloc(1, sizeof *out->config, err);
        if (!out->config || lb_packed_config(text, name, out->config, err))
            return -1;
    }
    if (borrow(like, t, text, out))
        return 0;
    if (text)
        return lb_format_create_reader(out->config, &out->format, err);
    return lb_format_reader(t->dtype, &out->codec, &out->coder, err) || lb_coder_sha256(out->coder, out->sha256, err) ? -1 : 0;
}

/* What codes are worth where the published study's scaling is part of it. */
static int undo(struct lb_packed_tensor *out, struct lb_err *err)
{
    const struct lb_format *f = out->format;
    struct lb_codes *q = &out->p.q;
    char text[200];
    snprintf(text, sizeof text, "%s %a %a", f->codec_sha256, (double)(float)f->config->multiply, (double)(float)f->config->add);
    if (lb_sha256(text, strlen(text), out->sha256, err))
        return -1;
    q->sha256 = out->sha256; /* these codes are worth something else */
    out->undo = (struct lb_undo){f->coder, (float)f->config->multiply, (float)f->config->add};
    q->decode = decode_undone;
    q->host = &out->undo;
    if (!q->values)
        return 0;
    const size_t n = (size_t)1 << f->codec->bits;
    out->values = lb_alloc(n, sizeof *out->values, err);
    if (!out->values)
        return -1;
    for (size_t i = 0; i < n; i++)
        out->values[i] = canon_nan(canon_div(q->values[i], out->undo.multiply) - out->undo.add);
    q->values = out->values;
    return 0;
}

/* Rows that begin on bytes. */
static int align_rows(struct lb_packed_tensor *out, size_t row, struct lb_err *err)
{
    struct lb_packed *p = &out->p;
    const unsigned bits = p->q.codec->bits;
    size_t bytes;
    p->row_bytes = bits ? (row * bits + 7) / 8 : row / p->q.codec->unit_elems * p->q.codec->unit_bytes;
    if (!bits || row * bits % 8 == 0 || p->rows < 2)
        return 0;
    if (lb_mul(p->rows, p->row_bytes, &bytes))
        return lb_fail(err, "%zu rows of %zu bytes: too many", p->rows, p->row_bytes);
    unsigned char *aligned = lb_alloc(bytes, 1, err);
    if (!aligned)
        return -1;
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < row; j++)
            lb_code_set(aligned + i * p->row_bytes, bits, j, lb_code_get(p->codes, bits, i * row + j));
    lb_free(out->codes);
    p->codes = out->codes = aligned;
    return 0;
}

/* Codes in the order that kernels know. */
static int turn(struct lb_packed_tensor *out, const struct lb_tensor *t, struct lb_err *err)
{
    if (!out->format || out->format->config->high_first <= 0)
        return 0;
    out->codes = lb_alloc(t->bytes, 1, err);
    if (!out->codes)
        return -1;
    memcpy(out->codes, t->data, t->bytes);
    lb_format_turn(out->codes, t->bytes, out->format->codec->bits);
    out->p.codes = out->codes;
    return 0;
}

/* Codes lie under their codec's tag or as bytes. */
static int check_dtype(const struct lb_tensor *t, const struct lb_codec *k, struct lb_err *err)
{
    const int tag = k->tag ? lb_dtype_find(k->tag) : -1;
    if (t->dtype == LB_U8 || (int)t->dtype == tag)
        return 0;
    return lb_fail(err, "%s, expected %s%sU8 that holds codes of %s", lb_dtypes[t->dtype].name, tag >= 0 ? k->tag : "",
                   tag >= 0 ? " or " : "", k->base.name);
}

/* Tensor "<name><tail>" with so many bytes: codes of `k`, or binary32 where that is NULL. */
static int find_beside(const struct lb_safetensors *st, const char *name, const char *tail, const struct lb_codec *k, size_t bytes,
                       const struct lb_tensor **t, struct lb_err *err)
{
    struct lb_text key = {0};
    lb_text_add(&key, "%s%s", name, tail);
    if (lb_text_end(&key, err))
        return -1;
    *t = lb_safetensors_find(st, key.s);
    int r = 0;
    if (!*t)
        r = lb_fail(err, "tensor %s is missing", key.s);
    else if ((*t)->bytes != bytes)
        r = lb_fail(err, "tensor %s: %zu bytes, expected %zu", key.s, (*t)->bytes, bytes);
    else if (!k && (*t)->dtype != LB_F32)
        r = lb_fail(err, "tensor %s: %s, expected F32", key.s, lb_dtypes[(*t)->dtype].name);
    else if (k && check_dtype(*t, k, err))
        r = lb_fail_in(err, "tensor %s", key.s);
    lb_text_free(&key);
    return r;
}

/* n numbers of "<name><tail>", copied: a mapped file's data may lie on any byte. */
static int find_numbers(const struct lb_safetensors *st, const char *name, const char *tail, size_t n, float **x, struct lb_err *err)
{
    const struct lb_tensor *t;
    *x = lb_alloc(n, sizeof **x, err);
    if (!*x || find_beside(st, name, tail, NULL, n * sizeof **x, &t, err))
        return -1;
    memcpy(*x, t->data, n * sizeof **x);
    return 0;
}

static int open_scales(const struct lb_safetensors *st, const char *name, const struct lb_groups *g, struct lb_packed_tensor *out,
                       struct lb_err *err)
{
    const struct lb_format *f = out->format, *scale = f->scale;
    struct lb_packed *p = &out->p;
    const struct lb_tensor *t;
    size_t bytes;
    p->scaled = 1;
    p->block = g->block ? g->block : 1;
    p->scale_row = g->per_row;
    p->n_scales = g->n;
    lb_codes_init(scale->coder, scale->codec_sha256, &p->s);
    if (lb_coder_bytes(scale->coder, g->n, &bytes) || find_beside(st, name, ".scale", scale->codec, bytes, &t, err))
        return -1;
    p->scales = t->data;
    if (scale->config->per != LB_PER_NONE) {
        p->group2 = scale->config->per == LB_PER_BLOCK ? (size_t)scale->config->block : g->n;
        if (find_numbers(st, name, ".scale2", p->group2 ? (g->n + p->group2 - 1) / p->group2 : 1, &out->scale2, err))
            return -1;
        p->scale2 = out->scale2;
    }
    if (scale->config->offset) {
        float *offset = NULL;
        const int r = find_numbers(st, name, ".scale_offset", 1, &offset, err);
        p->offset = r ? 0 : *offset;
        p->has_offset = 1;
        lb_free(offset);
        if (r)
            return -1;
    }
    if (f->config->rule != LB_SCALE_ASYMMETRIC)
        return 0;
    if (lb_coder_bytes(f->coder, g->n, &bytes) || find_beside(st, name, ".zero_point", f->codec, bytes, &t, err))
        return -1;
    out->zeros = lb_alloc(g->n, sizeof *out->zeros, err);
    if (!out->zeros)
        return -1;
    lb_decode_f32(f->coder, t->data, g->n, out->zeros);
    p->zeros = out->zeros;
    return 0;
}

static int open_tensor(const struct lb_safetensors *st, const char *name, const struct lb_packed_tensor *like, struct lb_packed_tensor *out,
                       struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS], row, n, bytes;
    const char *text;
    struct lb_groups g;
    struct lb_format_config none = {.per = LB_PER_NONE};
    const struct lb_format plain = {.config = &none};
    if (lb_format_shape(st, name, &ndim, shape, err) || lb_format_text(st, name, &text, err))
        return -1;
    const struct lb_tensor *t = lb_safetensors_find(st, name);
    if (open_format(t, text, name, like, out, err) || lb_groups_of(out->format ? out->format : &plain, ndim, shape, &g, err))
        return -1;
    const struct lb_coder *coder = out->format ? out->format->coder : out->coder;
    const struct lb_codec *k = lb_coder_codec(coder);
    const size_t unit = !k->bits ? k->unit_elems : out->format && out->format->config->per == LB_PER_BLOCK && g.block ? g.block : 1;
    if (!k->bits && unit > MOST_UNIT)
        return lb_fail(err, "codec %s: %zu elements a block, more than %d", k->base.name, unit, MOST_UNIT);
    if (lb_mul(g.cols / unit + (g.cols % unit != 0), unit, &row) || lb_mul(g.rows, row, &n) || lb_coder_bytes(coder, n, &bytes))
        return lb_fail(err, "%zu rows of %zu elements: too many", g.rows, g.cols);
    if (bytes != t->bytes)
        return lb_fail(err, "holds %zu bytes, expected %zu", t->bytes, bytes);
    if (out->format && check_dtype(t, k, err))
        return -1;
    struct lb_packed *p = &out->p;
    *p = (struct lb_packed){.rows = g.rows, .cols = g.cols, .codes = t->data, .block = g.cols ? g.cols : 1};
    lb_codes_init(coder, out->format ? out->format->codec_sha256 : out->borrowed ? like->sha256 : out->sha256, &p->q);
    if (out->format && out->format->config->rule == LB_SCALE_MULTIPLY && undo(out, err))
        return -1;
    return turn(out, t, err) || align_rows(out, row, err) || (out->format && out->format->scale && open_scales(st, name, &g, out, err)) ? -1
                                                                                                                                        : 0;
}

int lb_packed_open_like(const struct lb_safetensors *st, const char *name, const struct lb_packed_tensor *like,
                        struct lb_packed_tensor *out, struct lb_err *err)
{
    *out = (struct lb_packed_tensor){0};
    if (!open_tensor(st, name, like, out, err))
        return 0;
    lb_packed_finish(out);
    return lb_fail_in(err, "tensor %s", name);
}

int lb_packed_open(const struct lb_safetensors *st, const char *name, struct lb_packed_tensor *out, struct lb_err *err)
{
    return lb_packed_open_like(st, name, NULL, out, err);
}

void lb_packed_drop(struct lb_packed_tensor *t)
{
    lb_free(t->codes);
    lb_free(t->scale2);
    lb_free(t->zeros);
    t->codes = NULL;
    t->scale2 = t->zeros = NULL;
    t->p.codes = t->p.scales = NULL;
    t->p.scale2 = t->p.zeros = NULL;
}

void lb_packed_finish(struct lb_packed_tensor *t)
{
    lb_packed_drop(t);
    if (!t->borrowed) {
        lb_format_destroy(t->format);
        if (t->config)
            lb_config_format_finish(t->config);
        lb_free(t->config);
        lb_coder_destroy(t->coder);
        lb_plugins_codec_free(t->codec);
    }
    lb_free(t->values);
    *t = (struct lb_packed_tensor){0};
}

int lb_format_decode(const struct lb_safetensors *st, const char *name, float *x, size_t elems, struct lb_err *err)
{
    struct lb_packed_tensor t;
    if (lb_packed_open(st, name, &t, err))
        return -1;
    const size_t n = t.p.rows * t.p.cols;
    for (size_t i = 0; n == elems && i < t.p.rows; i++)
        lb_packed_row(&t.p, i, 0, t.p.cols, x + i * t.p.cols);
    lb_packed_finish(&t);
    return n == elems ? 0 : lb_fail(err, "tensor %s: %zu elements, expected %zu", name, n, elems);
}
