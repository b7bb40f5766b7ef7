/* SPDX-License-Identifier: MIT */
/* factors.glsl - what tiles.comp and lanes.comp multiply: the factors of a product out (m, n) = left (m, k) right (k, n), read where they
 * lie. One of these is defined:
 *
 *   GEMM        left a, right b, each by its own two strides
 *   CONV2D      left the weights (o, c kh kw), right x: columns (sample, output row, output column), terms (input channel, kernel row,
 *               kernel column)
 *   CONV2D_DX   left the weights as (c, o kh kw), right dy: columns (sample, row, column), terms (output channel, kernel row, kernel
 *               column)
 *   CONV2D_DW   left dy as (o, sample oh ow), right x: columns (input channel, kernel row, kernel column), terms (sample, output row,
 *               output column)
 *
 * GEMM may come with LEFT_BY_TERMS (a_col is 1), RIGHT_BY_TERMS (b_row is 1) or RIGHT_BY_COLUMNS (b_col is 1): the factor is read four
 * neighbours at a time. Then k0 is 0, and where it begins, its other stride and (BY_TERMS) k1 or (BY_COLUMNS) n are multiples of four.
 *
 * Weights that stay packed (packed.glsl): RIGHT_PACKED with GEMM, right being their transposed, or LEFT_PACKED with CONV2D. k0 is 0 too;
 * RIGHT_BY_TERMS then only says that k1 is a multiple of four.
 *
 * Indices of columns and terms are taken apart once; next() steps to the next term. */
#ifndef LEFT_PACKED
layout(binding = 0) readonly buffer Left { float left[]; };
#endif
#ifndef RIGHT_PACKED
layout(binding = 1) readonly buffer Right { float right[]; };
#endif
#ifdef LEFT_BY_TERMS
layout(binding = 0) readonly buffer LeftQuads { vec4 left_quad[]; };
#endif
#if (defined(RIGHT_BY_TERMS) && !defined(RIGHT_PACKED)) || defined(RIGHT_BY_COLUMNS)
layout(binding = 1) readonly buffer RightQuads { vec4 right_quad[]; };
#endif
layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) buffer Result { float result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint m, n; /* outputs of this dispatch */
    uint k0, k1;
    uint sample0; /* CONV2D_DW: that the operands begin with */
    uint has_bias, act;
    float alpha;
#ifdef GEMM
    uint a_row, a_col; /* how far apart neighbours are */
    uint b_row, b_col;
    uint c_row;
#else
    uint c, h, w, o, kh, kw, stride, pad, oh, ow;
#endif
#ifdef RIGHT_PACKED
    uint unused[5];
#endif
#if defined(LEFT_PACKED) || defined(RIGHT_PACKED)
    PACKED_ARGUMENTS
#endif
};
#if defined(LEFT_PACKED) || defined(RIGHT_PACKED)
#include "kernels/vulkan/packed.glsl"
#endif

uint result_from; /* where this work group's outputs begin: CONV2D_DW has some for each segment */

/* A term: k, and k taken apart. CONV2D_DX: rest_y and rest_x are the kernel row and column modulo the stride, steps_y and steps_x divided
 * by it. */
struct Term {
    uint k, outer, y, x;
#ifdef CONV2D_DX
    uint steps_y, rest_y, steps_x, rest_x;
#endif
};

/* A column: where it begins in the right factor, and its place in an image or (CONV2D_DW) in the kernel. CONV2D_DX: the place plus the
 * padding, divided by the stride, and the remainders. */
struct Column {
    uint at, y, x;
#ifdef CONV2D_DX
    uint rest_y, rest_x;
#endif
};

#ifdef GEMM

Term term(uint k)
{
    return Term(k, 0u, 0u, 0u);
}

void next(inout Term t)
{
    t.k++;
}

Column column(uint j)
{
#ifdef RIGHT_PACKED
    return Column(j, 0u, 0u);
#else
    return Column(at.y + j * b_col, 0u, 0u);
#endif
}

uint left_row(uint i)
{
    return at.x + i * a_row;
}

float left_value(uint row, Term t)
{
    return left[row + (t.k - k0) * a_col];
}

float right_value(Column col, Term t)
{
#ifdef RIGHT_PACKED
    return packed_value(col.at, t.k);
#else
    return right[col.at + (t.k - k0) * b_row];
#endif
}

uint result_at(uint i, uint j)
{
    return result_from + i * c_row + j;
}

#else

/* How far the three parts of a term count. */
#ifdef CONV2D_DW
#define TERM_ROWS oh
#define TERM_COLS ow
#else
#define TERM_ROWS kh
#define TERM_COLS kw
#endif

/* The image that columns are taken from. */
#ifdef CONV2D_DX
#define IMAGE_ROWS h
#define IMAGE_COLS w
#else
#define IMAGE_ROWS oh
#define IMAGE_COLS ow
#endif

#ifdef CONV2D_DX

Term term(uint k)
{
    uint y = k / kw % kh, x = k % kw;
    return Term(k, k / (kh * kw), y, x, y / stride, y % stride, x / stride, x % stride);
}

/* One up, modulo the stride. */
void step(inout uint steps, inout uint rest)
{
    rest++;
    bool full = rest == stride;
    rest = full ? 0u : rest;
    steps += full ? 1u : 0u;
}

void next(inout Term t)
{
    t.k++;
    t.x++;
    step(t.steps_x, t.rest_x);
    if (t.x == kw) {
        t.x = 0u;
        t.steps_x = 0u;
        t.rest_x = 0u;
        t.y++;
        step(t.steps_y, t.rest_y);
    }
    if (t.y == kh) {
        t.y = 0u;
        t.steps_y = 0u;
        t.rest_y = 0u;
        t.outer++;
    }
}

#else

Term term(uint k)
{
    return Term(k, k / (TERM_ROWS * TERM_COLS), k / TERM_COLS % TERM_ROWS, k % TERM_COLS);
}

void next(inout Term t)
{
    t.k++;
    t.x++;
    if (t.x == TERM_COLS) {
        t.x = 0u;
        t.y++;
    }
    if (t.y == TERM_ROWS) {
        t.y = 0u;
        t.outer++;
    }
}

#endif

#ifdef CONV2D_DW

Column column(uint j)
{
    return Column(at.y + j / (kh * kw) * (h * w), j / kw % kh, j % kw);
}

uint left_row(uint i)
{
    return at.x + i * (oh * ow);
}

float left_value(uint row, Term t)
{
    return left[row + (t.outer - sample0) * (o * oh * ow) + t.y * ow + t.x];
}

#else

Column column(uint j)
{
    uint position = j % (IMAGE_ROWS * IMAGE_COLS), s = j / (IMAGE_ROWS * IMAGE_COLS);
#ifdef CONV2D
    return Column(at.y + s * (c * h * w), position / ow, position % ow);
#else
    uint y = position / w + pad, x = position % w + pad;
    return Column(at.y + s * (o * oh * ow), y / stride, x / stride, y % stride, x % stride);
#endif
}

#ifdef LEFT_PACKED
uint left_row(uint i)
{
    return i;
}

float left_value(uint row, Term t)
{
    return packed_value(row, t.k);
}
#elif defined(CONV2D)
uint left_row(uint i)
{
    return at.x + i * (c * kh * kw);
}

float left_value(uint row, Term t)
{
    return left[row + t.k];
}
#else
uint left_row(uint i)
{
    return at.x + i * (kh * kw);
}

float left_value(uint row, Term t)
{
    return left[row + (t.outer * c * kh + t.y) * kw + t.x];
}
#endif

#endif

/* A tap outside the image is a zero that is multiplied. Unsigned coordinates wrap to huge ones there. */
float right_value(Column col, Term t)
{
#ifdef CONV2D_DX
    uint y = col.y - t.steps_y, x = col.x - t.steps_x;
    bool inside = col.rest_y == t.rest_y && col.rest_x == t.rest_x && y < oh && x < ow;
    uint index = t.outer * (oh * ow) + y * ow + x;
#elif defined(CONV2D)
    uint y = col.y * stride + t.y - pad, x = col.x * stride + t.x - pad;
    bool inside = y < h && x < w;
    uint index = t.outer * (h * w) + y * w + x;
#else
    uint y = t.y * stride + col.y - pad, x = t.x * stride + col.x - pad;
    bool inside = y < h && x < w;
    uint index = (t.outer - sample0) * (c * h * w) + y * w + x;
#endif
    float v = right[inside ? col.at + index : at.y];
    return inside ? v : 0.0;
}

uint result_at(uint i, uint j)
{
#ifdef CONV2D_DW
    return result_from + i * n + j;
#else
    uint positions = IMAGE_ROWS * IMAGE_COLS, s = j / positions;
    return result_from + (s * m + i) * positions + (j - s * positions);
#endif
}

#endif
