/* SPDX-License-Identifier: MIT */
/* format_codes.c - the codes of a matrix, made in pieces that stay in the first cache from the scales to the codes. */
#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/format/lanes.h"
#include "core/format/scale.h"

#include <math.h>
#include <string.h>

enum { PIECE = 4096 /* elements; a multiple of 8, so that codes begin on a byte */ };

struct job {
    const struct lb_format *f;
    const float *x;
    const struct lb_encode *how;
    struct lb_scaler scaler;
    struct lb_groups g;
    size_t row;             /* elements of a stored row */
    const float *s, *zeros; /* of g; or NULL */
    unsigned char *codes;
};

/* ---- What goes into the codec ---- */

/* n elements that begin with a scale's first, or share one: number g and those behind it. */
static void into_codec(const struct job *j, const float *x, size_t n, size_t block, size_t g, float *t)
{
    const struct lb_format *f = j->f;
    lb_lanes_divide(x, n, block, j->s + g, lb_scale_is_symmetric(f) ? -(float)f->high : -INFINITY, t);
    if (j->zeros)
        for (size_t i = 0; i < n; i++)
            t[i] = j->zeros[g + i / block] + t[i];
}

/* n elements from e on. */
static void into(const struct job *j, size_t e, size_t n, float *t)
{
    const struct lb_groups *g = &j->scaler.rows;
    if (!j->s) {
        for (size_t i = 0; i < n; i++)
            t[i] = lb_scale_into(j->f, j->x[e + i], 1, 0);
        return;
    }
    for (size_t done = 0, many; done < n; done += many) {
        const size_t row = (e + done) / g->cols, col = (e + done) % g->cols, inside = col % g->block;
        const size_t left = n - done, in_row = g->cols - col, in_block = g->block - inside;
        size_t block = g->block;
        if (inside)
            block = many = in_block < in_row ? in_block : in_row;
        else
            many = g->cols == g->block ? left : in_row;
        many = many < left ? many : left;
        into_codec(j, j->x + e + done, many, block, row * g->per_row + col / g->block, t + done);
    }
}

/* ---- Codes ---- */

/* Codes of n <= PIECE elements from e on. */
static void encode_piece(const struct job *j, size_t e, size_t n, unsigned char *codes)
{
    struct lb_encode how = *j->how;
    float t[PIECE];
    const float *in = j->x + e;
    how.first += e;
    if (j->f->config->rule != LB_SCALE_NONE) {
        into(j, e, n, t);
        in = t;
    }
    lb_encode_f32(j->f->coder, &how, in, n, codes);
}

/* Rows without padding are one stream. */
static void encode_dense(const struct job *j, size_t e, size_t n)
{
    const unsigned bits = j->f->codec->bits;
    for (size_t end = e + n; e < end; e += PIECE)
        encode_piece(j, e, end - e < PIECE ? end - e : PIECE, j->codes + e / 8 * bits);
}

/* A row whose codes are padded by zeros. */
static void encode_padded(const struct job *j, size_t i)
{
    const unsigned bits = j->f->codec->bits;
    const size_t cols = j->g.cols, from = i * j->row;
    const int whole = j->row * bits % 8 == 0;
    unsigned char own[PIECE * sizeof(double)];
    for (size_t k = 0; k < cols; k += PIECE) {
        const size_t n = cols - k < PIECE ? cols - k : PIECE;
        encode_piece(j, i * cols + k, n, whole ? j->codes + (from * bits + k * bits) / 8 : own);
        for (size_t e = 0; !whole && e < n; e++)
            lb_code_set(j->codes, bits, from + k + e, lb_code_get(own, bits, e));
    }
}

/* Units of a block codec; the last one of a row may be padded by the number 0. */
static void encode_units(const struct job *j)
{
    const struct lb_codec *codec = j->f->codec;
    const size_t cols = j->g.cols, unit = codec->unit_elems, rest = cols % unit, row_bytes = j->row / unit * codec->unit_bytes;
    float last[LB_BLOCK_MAX] = {0};
    if (!rest) {
        lb_encode_f32(j->f->coder, j->how, j->x, j->g.rows * cols, j->codes);
        return;
    }
    for (size_t i = 0; i < j->g.rows; i++) {
        const float *x = j->x + i * cols;
        unsigned char *codes = j->codes + i * row_bytes;
        lb_encode_f32(j->f->coder, j->how, x, cols - rest, codes);
        memcpy(last, x + cols - rest, rest * sizeof *last);
        lb_encode_f32(j->f->coder, j->how, last, unit, codes + row_bytes - codec->unit_bytes);
    }
}

static void encode_rows(const struct job *j, size_t first, size_t n)
{
    if (j->row == j->g.cols)
        encode_dense(j, first * j->scaler.rows.cols, n * j->scaler.rows.cols);
    else
        for (size_t i = first; i < first + n; i++)
            encode_padded(j, i);
}

/* All codes; where `alone` is not NULL, the scales of rows are made just before they are used. */
static void encode_all(const struct job *j, struct lb_scales *alone)
{
    const struct lb_groups *rows = &j->scaler.rows;
    const size_t many = rows->cols ? (PIECE / rows->cols + 7) / 8 * 8 : 0, band = many ? many : 8;
    if (!j->f->codec->bits) {
        encode_units(j);
        return;
    }
    for (size_t i = 0; i < rows->rows; i += band) {
        const size_t n = rows->rows - i < band ? rows->rows - i : band;
        if (alone)
            lb_scales_rows(&j->scaler, j->x, i, n, alone);
        encode_rows(j, i, n);
    }
}

int lb_format_codes(const struct lb_format *f, const struct lb_groups *g, size_t row, const float *x, const struct lb_encode *how,
                    unsigned char *codes, struct lb_scales *scales, struct lb_err *err)
{
    struct job j = {.f = f, .x = x, .how = how, .g = *g, .row = row, .codes = codes};
    *scales = (struct lb_scales){0};
    lb_scaler_init(f, g, &j.scaler);
    if (f->scale && (j.scaler.alone ? lb_scales_start(&j.scaler, g, scales, err) : lb_scales_make(f, g, x, scales, err))) {
        lb_scales_finish(scales);
        return -1;
    }
    j.s = scales->s;
    j.zeros = scales->zeros;
    encode_all(&j, j.scaler.alone ? scales : NULL);
    return 0;
}

void lb_format_codes_by(const struct lb_format *f, const struct lb_groups *g, size_t row, const float *x, const struct lb_encode *how,
                        const float *s, const float *zeros, unsigned char *codes)
{
    struct job j = {.f = f, .x = x, .how = how, .g = *g, .row = row, .s = s, .zeros = zeros, .codes = codes};
    lb_scaler_init(f, g, &j.scaler);
    encode_all(&j, NULL);
}
