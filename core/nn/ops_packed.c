/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_packed.h"
#include "core/base/mem.h"
#include "core/format/packed.h"
#include "kernels/canon.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Streams of a case's random numbers. */
enum { OF_MATRIX = 0x100, OF_CODES, OF_PADDING, OF_SCALES, OF_SCALE2, OF_ZEROS };

/* ---- Codecs ---- */

int lb_ops_codec_init(const char *name, const struct lb_param *params, size_t n_params, struct lb_ops_codec *out, struct lb_err *err)
{
    if (lb_plugins_codec(name, params, n_params, &out->codec, NULL, err) || lb_coder_create(out->codec, &out->coder, err) ||
        lb_coder_sha256(out->coder, out->sha256, err))
        return -1;
    lb_codes_init(out->coder, out->sha256, &out->codes);
    return 0;
}

void lb_ops_codec_finish(struct lb_ops_codec *c)
{
    lb_coder_destroy(c->coder);
    if (c->codec)
        lb_plugins_codec_free(c->codec);
    *c = (struct lb_ops_codec){0};
}

/* ---- Codes ---- */

static float finite_top(const struct lb_ops_codec *c)
{
    double low, high;
    lb_coder_range(c->coder, &low, &high);
    return (float)fmin(high, 1e30);
}

/* Any code that is a finite number. */
static uint32_t finite_code(const struct lb_codes *q, uint32_t drawn)
{
    const uint32_t mask = (1u << q->codec->bits) - 1;
    for (uint32_t i = 0; i <= mask; i++) {
        const float v = q->values[(drawn + i) & mask];
        if (v - v == 0)
            return (drawn + i) & mask;
    }
    return 0;
}

/* A row of numbers, encoded: what every codec can do. Codecs with few digits before the point get small numbers, integers large ones. */
static void encode_row(const struct lb_ops_codec *c, const struct lb_ops_like *like, uint64_t seed, size_t first, size_t n, float *x,
                       unsigned char *codes)
{
    const int whole = c->codec->kind == LB_SIGNED || c->codec->kind == LB_UNSIGNED;
    const float half = !c->codec->bits ? 2.0f : whole ? fminf(finite_top(c) * 0.5f, 1000.0f) : fminf(finite_top(c) * 0.5f, 2.0f);
    for (size_t i = 0; i < n; i++) {
        const canon_words r = canon_random64(seed, OF_CODES, first + i);
        x[i] = half * (4.0f * canon_unit(r.w[0]) - 2.0f);
        if (like->rarity && r.w[1] % like->rarity == 0)
            x[i] = canon_float(r.w[2]);
    }
    lb_encode_f32(c->coder, NULL, x, n, codes);
}

static void draw_row(const struct lb_ops_codec *c, const struct lb_ops_like *like, uint64_t seed, size_t first, size_t n,
                     unsigned char *codes)
{
    const uint32_t mask = (1u << c->codec->bits) - 1;
    for (size_t i = 0; i < n; i++) {
        const canon_words r = canon_random64(seed, OF_CODES, first + i);
        const int any = like->rarity && r.w[1] % like->rarity == 0;
        lb_code_set(codes, c->codec->bits, i, any ? r.w[0] & mask : finite_code(&c->codes, r.w[0]));
    }
}

/* Numbers or codes, in turn by matrix; codecs of a wide range only numbers, so that sums do not overflow all the time. */
static int draws_codes(const struct lb_ops_codec *c, uint64_t seed)
{
    return c->codes.values && finite_top(c) <= 0x1p20f && canon_random64(seed, OF_MATRIX, 0).w[0] % 4;
}

static void rare_units(const struct lb_ops_codec *c, const struct lb_ops_like *like, uint64_t seed, size_t first, size_t units,
                       unsigned char *codes)
{
    for (size_t u = 0; like->rarity && u < units; u++)
        if (canon_random64(seed, OF_PADDING, first + u).w[3] % like->rarity == 0)
            for (size_t b = 0; b < c->codec->unit_bytes; b++)
                codes[u * c->codec->unit_bytes + b] = (unsigned char)canon_random64(seed + 1, OF_CODES, (first + u) * 4096 + b).w[0];
}

/* Elements of a row with its padding; its bytes. */
static int row_size(const struct lb_ops_packed *c, const struct lb_ops_like *like, size_t *elems, size_t *bytes, struct lb_err *err)
{
    const struct lb_codec *k = c->q.codec;
    const size_t unit = !k->bits ? k->unit_elems : like->per == LB_OPS_PER_BLOCK ? like->block : 1;
    const size_t units = (like->cols + unit - 1) / unit, align = like->row_align ? like->row_align : 1;
    *elems = units * unit;
    *bytes = k->bits ? (*elems * k->bits + 7) / 8 : units * k->unit_bytes;
    *bytes = (*bytes + align - 1) / align * align;
    return *elems < like->cols || *elems > ((size_t)1 << 40) ? lb_fail(err, "a row of %zu elements", like->cols) : 0;
}

static int make_codes(struct lb_ops_packed *c, const struct lb_ops_like *like, uint64_t seed, struct lb_err *err)
{
    size_t elems, size;
    if (row_size(c, like, &elems, &c->p.row_bytes, err) || lb_mul(like->rows, c->p.row_bytes, &size))
        return lb_fail(err, "a matrix of %zu x %zu", like->rows, like->cols);
    const struct lb_codec *k = c->q.codec;
    float *x = lb_alloc(elems, sizeof *x, err);
    c->codes = lb_alloc(size, 1, err);
    c->code_bytes = size;
    if (!c->codes || !x) {
        lb_free(x);
        return -1;
    }
    for (size_t b = 0; b < size; b++)
        c->codes[b] = (unsigned char)canon_random64(seed, OF_PADDING, b / 4).w[b % 4];
    for (size_t i = 0; i < like->rows; i++) {
        unsigned char *row = c->codes + i * c->p.row_bytes;
        if (draws_codes(&c->q, seed)) {
            draw_row(&c->q, like, seed, i * elems, like->cols, row);
        } else {
            encode_row(&c->q, like, seed, i * elems, k->bits ? like->cols : elems, x, row);
            if (!k->bits)
                rare_units(&c->q, like, seed, i * (elems / k->unit_elems), elems / k->unit_elems, row);
        }
    }
    lb_free(x);
    c->p.codes = c->codes;
    return 0;
}

/* ---- Scales ---- */

static float rare_scale(uint32_t r)
{
    static const uint32_t table[] = {0x00000000u, 0x80000000u, 0x00000001u, 0x007fffffu, 0x807ffffeu, 0x00800000u,
                                     0x7f7fffffu, 0x7f800000u, 0xff800000u, 0x7fc00000u, 0x0da24260u, 0x33800000u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

static int make_scales(struct lb_ops_packed *c, const struct lb_ops_like *like, uint64_t seed, struct lb_err *err)
{
    struct lb_packed *p = &c->p;
    const struct lb_codec *k = c->s.codec;
    p->scaled = 1;
    p->block = like->per == LB_OPS_PER_BLOCK ? like->block : like->cols;
    p->scale_row = like->per == LB_OPS_PER_MATRIX ? 0 : (like->cols + p->block - 1) / p->block;
    p->n_scales = like->per == LB_OPS_PER_MATRIX ? 1 : like->rows * p->scale_row;
    p->s = c->s.codes;
    float *x = lb_alloc(p->n_scales, sizeof *x, err);
    if (!x || lb_coder_bytes(c->s.coder, p->n_scales, &c->scale_bytes) || !(c->scales = lb_alloc(c->scale_bytes, 1, err))) {
        lb_free(x);
        return lb_fail(err, "%zu scales", p->n_scales);
    }
    const float top = k->kind == LB_SIGNED || k->kind == LB_UNSIGNED ? finite_top(&c->s) : 1.0f;
    for (size_t g = 0; g < p->n_scales; g++) {
        const canon_words r = canon_random64(seed, OF_SCALES, g);
        x[g] = top * (0.02f + canon_unit(r.w[0])) * (r.w[1] % 16 ? 1.0f : -1.0f);
        if (like->rarity && r.w[2] % 8 == 0)
            x[g] = rare_scale(r.w[3]);
    }
    lb_encode_f32(c->s.coder, NULL, x, p->n_scales, c->scales);
    lb_free(x);
    p->scales = c->scales;
    return 0;
}

static int make_second(struct lb_ops_packed *c, const struct lb_ops_like *like, uint64_t seed, struct lb_err *err)
{
    struct lb_packed *p = &c->p;
    p->group2 = like->second == LB_OPS_SECOND_ALL ? p->n_scales : like->group2 ? like->group2 : 256;
    c->n_scale2 = (p->n_scales + p->group2 - 1) / p->group2;
    c->scale2 = lb_alloc(c->n_scale2, sizeof *c->scale2, err);
    if (!c->scale2)
        return -1;
    for (size_t g = 0; g < c->n_scale2; g++) {
        const canon_words r = canon_random64(seed, OF_SCALE2, g);
        c->scale2[g] = like->rarity && r.w[1] % 8 == 0 ? rare_scale(r.w[2]) : 0.01f + canon_unit(r.w[0]);
    }
    p->scale2 = c->scale2;
    p->has_offset = like->offset;
    p->offset = like->offset ? 0.37f + canon_unit(canon_random64(seed, OF_SCALE2, UINT64_MAX).w[0]) : 0.0f;
    return 0;
}

static int make_zeros(struct lb_ops_packed *c, const struct lb_ops_like *like, uint64_t seed, struct lb_err *err)
{
    c->zeros = lb_alloc(c->p.n_scales, sizeof *c->zeros, err);
    if (!c->zeros)
        return -1;
    double low = -8, high = 8;
    if (c->q.codec->bits)
        lb_coder_range(c->q.coder, &low, &high);
    low = fmax(low, -1000);
    high = fmin(high, 1000);
    for (size_t g = 0; g < c->p.n_scales; g++) {
        const canon_words r = canon_random64(seed, OF_ZEROS, g);
        const float z = (float)(low + (high - low) * (double)canon_unit(r.w[0]));
        c->zeros[g] = like->rarity && like->zeros == LB_OPS_ZEROS && r.w[1] % 8 == 0 ? z : rintf(z);
    }
    c->p.zeros = c->zeros;
    return 0;
}

/* ---- Matrices ---- */

int lb_ops_packed_create(const struct lb_ops_like *like, uint64_t seed, struct lb_ops_packed **out, struct lb_err *err)
{
    *out = NULL;
    struct lb_ops_packed *c = lb_alloc(1, sizeof *c, err);
    if (!c)
        return -1;
    c->p = (struct lb_packed){.rows = like->rows, .cols = like->cols, .block = like->cols};
    int r = lb_ops_codec_init(like->codec, like->params, like->n_params, &c->q, err);
    c->p.q = c->q.codes;
    r = r || make_codes(c, like, seed, err);
    if (!r && like->per != LB_OPS_NO_SCALE) {
        r = lb_ops_codec_init(like->scale_codec ? like->scale_codec : "F32", NULL, 0, &c->s, err) || make_scales(c, like, seed, err) ||
            (like->second != LB_OPS_NO_SECOND && make_second(c, like, seed, err)) || (like->zeros && make_zeros(c, like, seed, err));
    }
    if (r) {
        lb_ops_packed_destroy(c);
        return -1;
    }
    *out = c;
    return 0;
}

void lb_ops_packed_destroy(struct lb_ops_packed *c)
{
    if (!c)
        return;
    lb_ops_codec_finish(&c->q);
    lb_ops_codec_finish(&c->s);
    lb_free(c->codes);
    lb_free(c->scales);
    lb_free(c->scale2);
    lb_free(c->zeros);
    lb_free(c);
}

void lb_ops_codec_text(const char *codec, const struct lb_param *params, size_t n, char *text, size_t size)
{
    snprintf(text, size, "%s", codec);
    for (size_t i = 0; i < n; i++) {
        const size_t at = strlen(text);
        snprintf(text + at, size - at, " %s=%g", params[i].name, params[i].number);
    }
}

void lb_ops_packed_text(const struct lb_ops_like *like, char *text, size_t size)
{
    static const char *const per[] = {"", " scaled", " rows", " block "}, *const second[] = {"", ", scale2", ", scale2 in groups"};
    char block[24] = "", codec[64];
    lb_ops_codec_text(like->codec, like->params, like->n_params, codec, sizeof codec);
    if (like->per == LB_OPS_PER_BLOCK)
        snprintf(block, sizeof block, "%zu", like->block);
    snprintf(text, size, "%s%s%s%s%s%s%s%s%s", codec, per[like->per], block, like->per && like->scale_codec ? " in " : "",
             like->per && like->scale_codec ? like->scale_codec : "", like->per ? second[like->second] : "",
             like->per && like->offset ? ", offset" : "", like->per && like->zeros ? ", zeros" : "", like->rarity ? ", special" : "");
}

static float scale_of(const struct lb_packed *p, size_t g)
{
    float s;
    p->s.decode(&p->s, p->scales, g, 1, &s);
    if (p->scale2)
        s = s * p->scale2[g / p->group2];
    return p->has_offset ? s + p->offset : s;
}

int lb_ops_packed_row(const struct lb_packed *p, size_t i, size_t j, size_t n, float *x, struct lb_err *err)
{
    const size_t unit = p->q.codec->bits ? 1 : p->q.codec->unit_elems;
    const size_t first = j / unit * unit, last = (j + n + unit - 1) / unit * unit;
    float *q = lb_alloc(last - first, sizeof *q, err);
    if (!q)
        return -1;
    p->q.decode(&p->q, p->codes + i * p->row_bytes, first, last - first, q);
    for (size_t k = 0; k < n; k++) {
        float v = q[j + k - first];
        if (p->scaled) {
            const size_t g = i * p->scale_row + (j + k) / p->block;
            v = p->zeros ? v - p->zeros[g] : v;
            v = v * scale_of(p, g);
        }
        x[k] = canon_nan(v);
    }
    lb_free(q);
    return 0;
}
