/* SPDX-License-Identifier: MIT */
#include "core/base/mem.h"
#include "core/format/floats.h"
#include "core/format/format.h"
#include "core/format/packed.h"
#include "core/nn/nbits_impl.h"

#include <inttypes.h>
#include <string.h>

int lb_nbits_check(int64_t bits, int64_t block_size, struct lb_err *err)
{
    if (bits < 2 || bits > 8)
        return lb_fail(err, "bits: %" PRId64 ", wanted 2 to 8", bits);
    if (block_size && (block_size < 16 || (block_size & (block_size - 1))))
        return lb_fail(err, "block_size: %" PRId64 ", wanted a power of two, 16 or more", block_size);
    return 0;
}

static int check_attributes(const struct lb_nbits_attributes *a, struct lb_err *err)
{
    if (a->k < 1)
        return lb_fail(err, "K: %" PRId64 ", wanted 1 or more", a->k);
    if (a->n < 1)
        return lb_fail(err, "N: %" PRId64 ", wanted 1 or more", a->n);
    if (a->block_size == 0)
        return lb_fail(err, "block_size: 0, wanted a power of two, 16 or more");
    if (lb_nbits_check(a->bits, a->block_size, err))
        return -1;
    if (a->accuracy_level < 0 || a->accuracy_level > 4)
        return lb_fail(err, "accuracy_level: %" PRId64 ", wanted 0 to 4", a->accuracy_level);
    return 0;
}

static int expect_dtype(const struct lb_tensor *t, const char *name, enum lb_dtype_id dtype, struct lb_err *err)
{
    if (t->dtype == dtype)
        return 0;
    return lb_fail(err, "tensor %s: dtype %s, wanted %s", name, lb_dtypes[t->dtype].name, lb_dtypes[dtype].name);
}

/* rows x cols in one dimension or in two. */
static int expect_rows(const struct lb_tensor *t, const char *name, size_t rows, size_t cols, const char *meaning, struct lb_err *err)
{
    size_t all;
    if (lb_mul(rows, cols, &all))
        return lb_fail(err, "tensor %s: wanted %zu x %zu elements, too many", name, rows, cols);
    if (t->ndim == 1)
        return lb_tensor_expect(t, name, 1, &all, meaning, err);
    return lb_tensor_expect(t, name, 2, (const size_t[]){rows, cols}, meaning, err);
}

/* ---- Inputs ----------------------------------------------------------------------------------------------------------------------- */

static int take_codec(struct lb_nbits_codec *c, struct lb_codes *codes, struct lb_err *err)
{
    if (lb_coder_sha256(c->coder, c->sha256, err))
        return -1;
    lb_codes_init(c->coder, c->sha256, codes);
    return 0;
}

static int take_b(struct lb_nbits *w, const struct lb_tensor *b, size_t bits, struct lb_err *err)
{
    const struct lb_param param = {"bits", (double)bits, NULL};
    const size_t shape[] = {w->n, w->blocks, w->block_size / 8 * bits};
    if (expect_dtype(b, "B", LB_U8, err) || lb_tensor_expect(b, "B", 3, shape, "(N, ceil(K / block_size), block_size * bits / 8)", err) ||
        lb_plugins_codec("UINT", &param, 1, &w->q.codec, NULL, err) || lb_coder_create(w->q.codec, &w->q.coder, err))
        return -1;
    w->p.codes = b->data;
    w->p.row_bytes = shape[1] * shape[2]; /* no overflow: it is the size of a tensor that is there */
    return take_codec(&w->q, &w->p.q, err);
}

static int take_scales(struct lb_nbits *w, const struct lb_tensor *t, struct lb_err *err)
{
    if (!lb_floats_has(t->dtype))
        return lb_fail(err, "tensor scales: dtype %s, wanted F32, F16 or BF16", lb_dtypes[t->dtype].name);
    if (expect_rows(t, "scales", w->n, w->blocks, "(N * ceil(K / block_size)), or in two dimensions", err) ||
        !(w->scales = lb_alloc(t->bytes, 1, err)) || lb_format_coder(t->dtype, &w->s.codec, &w->s.coder, err))
        return -1;
    memcpy(w->scales, t->data, t->bytes);
    w->p.scales = w->scales;
    return take_codec(&w->s, &w->p.s, err);
}

static int take_packed_zeros(struct lb_nbits *w, const struct lb_tensor *t, unsigned bits, struct lb_err *err)
{
    const size_t row_bytes = w->blocks / 8 * bits + (w->blocks % 8 * bits + 7) / 8;
    if (expect_rows(t, "zero_points", w->n, row_bytes, "(N * ceil(ceil(K / block_size) * bits / 8)), or in two dimensions", err))
        return -1;
    for (size_t i = 0; i < w->n; i++)
        for (size_t g = 0; g < w->blocks; g++)
            w->zeros[i * w->blocks + g] = (float)lb_code_get(t->data + i * row_bytes, bits, g);
    return 0;
}

static int take_float_zeros(struct lb_nbits *w, const struct lb_tensor *t, struct lb_err *err)
{
    if (expect_rows(t, "zero_points", w->n, w->blocks, "(N * ceil(K / block_size)), or in two dimensions, as floats", err))
        return -1;
    float *z = lb_floats(t, "zero_points", err);
    if (!z)
        return -1;
    memcpy(w->zeros, z, w->p.n_scales * sizeof *z);
    lb_free(z);
    return 0;
}

static int take_zeros(struct lb_nbits *w, const struct lb_tensor *t, unsigned bits, struct lb_err *err)
{
    w->p.zeros = w->zeros = lb_alloc(w->p.n_scales, sizeof *w->zeros, err);
    if (!w->zeros)
        return -1;
    for (size_t i = 0; i < w->p.n_scales; i++)
        w->zeros[i] = (float)(1u << (bits - 1));
    if (t && t->dtype != LB_U8 && !lb_floats_has(t->dtype))
        return lb_fail(err, "tensor zero_points: dtype %s, wanted U8 (packed codes), F32, F16 or BF16", lb_dtypes[t->dtype].name);
    if (t && (t->dtype == LB_U8 ? take_packed_zeros(w, t, bits, err) : take_float_zeros(w, t, err)))
        return -1;
    w->int8 = w->level == 4 && (!t || t->dtype == LB_U8);
    return 0;
}

static int check_g_idx(const struct lb_nbits *w, const struct lb_tensor *t, struct lb_err *err)
{
    const size_t padded = w->blocks * w->block_size; /* fits: B is as long */
    if (!t)
        return 0;
    if (expect_dtype(t, "g_idx", LB_I32, err) ||
        (!(t->ndim == 1 && t->shape[0] == padded) && lb_tensor_expect(t, "g_idx", 1, &w->k, "(K)", err)))
        return -1;
    for (size_t i = 0; i < t->elems; i++) {
        int32_t g;
        memcpy(&g, t->data + i * sizeof g, sizeof g);
        if (g < 0 || (size_t)g != i / w->block_size)
            return lb_fail(err, "tensor g_idx: element %zu is %" PRId32 ", wanted %zu: rows in another order are not supported", i, g,
                           i / w->block_size);
    }
    return 0;
}

static int take_bias(struct lb_nbits *w, const struct lb_tensor *t, struct lb_err *err)
{
    if (!t)
        return 0;
    return lb_tensor_expect(t, "bias", 1, &w->n, "(N)", err) || !(w->bias = lb_floats(t, "bias", err)) ? -1 : 0;
}

int lb_nbits_create(const struct lb_nbits_attributes *a, const struct lb_nbits_inputs *in, struct lb_nbits **out, struct lb_err *err)
{
    *out = NULL;
    if (check_attributes(a, err))
        return -1;
    struct lb_nbits *w = lb_alloc(1, sizeof *w, err);
    if (!w)
        return -1;
    const unsigned bits = (unsigned)a->bits;
    w->n = (size_t)a->n;
    w->k = (size_t)a->k;
    w->block_size = (size_t)a->block_size;
    w->blocks = w->k / w->block_size + (w->k % w->block_size != 0);
    w->level = (int)a->accuracy_level;
    w->p = (struct lb_packed){.rows = w->n, .cols = w->k, .scaled = 1, .block = w->block_size, .scale_row = w->blocks};
    int r = take_b(w, in->b, bits, err) || lb_mul(w->n, w->blocks, &w->p.n_scales) || take_scales(w, in->scales, err) ||
                    take_zeros(w, in->zero_points, bits, err) || check_g_idx(w, in->g_idx, err) || take_bias(w, in->bias, err)
                ? -1
                : 0;
    if (r)
        lb_nbits_destroy(w);
    else
        *out = w;
    return r;
}

static void drop_codec(struct lb_nbits_codec *c)
{
    lb_coder_destroy(c->coder);
    lb_plugins_codec_free(c->codec);
}

void lb_nbits_destroy(struct lb_nbits *w)
{
    if (!w)
        return;
    drop_codec(&w->q);
    drop_codec(&w->s);
    lb_free(w->scales);
    lb_free(w->zeros);
    lb_free(w->bias);
    lb_free(w);
}

const struct lb_packed *lb_nbits_packed(const struct lb_nbits *w)
{
    return &w->p;
}

size_t lb_nbits_blocks(const struct lb_nbits *w)
{
    return w->blocks;
}

int lb_nbits_int8(const struct lb_nbits *w)
{
    return w->int8;
}

/* ---- Codes ------------------------------------------------------------------------------------------------------------------------ */

int lb_nbits_pack(const unsigned char *codes, size_t rows, size_t cols, unsigned bits, size_t row_bytes, unsigned char *packed,
                  struct lb_err *err)
{
    memset(packed, 0, rows * row_bytes);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            const unsigned code = codes[i * cols + j];
            if (code >> bits)
                return lb_fail(err, "element [%zu, %zu] is %u, which %u bits do not hold", i, j, code, bits);
            lb_code_set(packed + i * row_bytes, bits, j, code);
        }
    return 0;
}

void lb_nbits_unpack(const unsigned char *packed, size_t row_bytes, size_t rows, size_t cols, unsigned bits, unsigned char *codes)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            codes[i * cols + j] = (unsigned char)lb_code_get(packed + i * row_bytes, bits, j);
}
