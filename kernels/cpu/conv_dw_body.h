/* SPDX-License-Identifier: MIT */
/* conv_dw_body.h - the weight gradient's inner loops; a part of conv_body.h. The lanes are filters; a tile is some rows of the window,
 * `cols` taps each, whose elements of x are read one by one, straight from the image. */

enum { DW_TAPS_MAX = 12, DW_COLS_MAX = 7 };

ALWAYS void dw_tile(const struct conv_dw *d, size_t row, size_t col, int rows, int cols)
{
    const size_t left = d->rows - row, live = left < (size_t)rows ? left : (size_t)rows;
    vec acc[DW_TAPS_MAX];
    size_t at[DW_TAPS_MAX];
    UNROLL for (int r = 0; r < rows; r++) at[r] = d->row[row + ((size_t)r < live ? (size_t)r : 0)] + col;
    UNROLL for (int i = 0; i < rows * cols; i++) acc[i] = vec_zero();
    const float *dy = d->dy;
    for (size_t k = 0; k < d->count; k++, dy += VEC) {
        const float *x = d->x + d->at[k];
        const vec g = vec_load(dy);
        UNROLL for (int r = 0; r < rows; r++) UNROLL for (int q = 0; q < cols; q++) acc[r * cols + q] =
            vec_fma(vec_set(x[at[r] + (size_t)q]), g, acc[r * cols + q]);
    }
    float *sum = d->sum + (row * d->kw + col) * VEC;
    UNROLL for (int r = 0; r < rows; r++)
    {
        if ((size_t)r == live)
            return;
        UNROLL for (int q = 0; q < cols; q++)
        {
            float *s = sum + ((size_t)r * d->kw + (size_t)q) * VEC;
            vec_store(s, d->add ? vec_add(vec_load(s), acc[r * cols + q]) : acc[r * cols + q]);
        }
    }
}

#define DW_TILE(cols, rows)                                                                                                                \
    static void dw_tile_##cols(const struct conv_dw *d, size_t row, size_t col)                                                            \
    {                                                                                                                                      \
        dw_tile(d, row, col, rows, cols);                                                                                                  \
    }
DW_TILE(1, 8)
DW_TILE(2, 5)
DW_TILE(3, 3)
DW_TILE(4, 3)
DW_TILE(5, 2)
DW_TILE(6, 2)
DW_TILE(7, 1)

static const struct {
    void (*tile)(const struct conv_dw *d, size_t row, size_t col);
    size_t rows;
} dw_table[DW_COLS_MAX] = {{dw_tile_1, 8}, {dw_tile_2, 5}, {dw_tile_3, 3}, {dw_tile_4, 3}, {dw_tile_5, 2}, {dw_tile_6, 2}, {dw_tile_7, 1}};

static void dw_segment(const struct conv_dw *d)
{
    for (size_t col = 0; col < d->kw;) {
        const size_t cols = conv_block(d->kw, col, DW_COLS_MAX);
        for (size_t row = 0; row < d->rows; row += dw_table[cols - 1].rows)
            dw_table[cols - 1].tile(d, row, col);
        col += cols;
    }
}

/* n <= VEC columns of dy, rows beyond `filters` zero. */
ALWAYS void dw_transpose_block(float *dst, const float *src, size_t ld, size_t filters, size_t n)
{
    vec r[VEC];
    UNROLL for (size_t f = 0; f < VEC; f++) r[f] = f >= filters ? vec_zero()
                                                   : n == VEC   ? vec_load(src + f * ld)
                                                                : vec_load_masked(src + f * ld, vec_first(n));
    vec_transpose(r);
    UNROLL for (size_t i = 0; i < VEC; i++) if (i < n) vec_store(dst + i * VEC, r[i]);
}

static void dw_transpose(float *dst, const float *src, size_t ld, size_t filters, size_t n)
{
    size_t k = 0;
    if (filters == VEC)
        for (; n - k >= VEC; k += VEC)
            dw_transpose_block(dst + k * VEC, src + k, ld, VEC, VEC);
    for (; k < n; k += VEC)
        dw_transpose_block(dst + k * VEC, src + k, ld, filters, n - k < VEC ? n - k : VEC);
}
