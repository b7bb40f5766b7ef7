/* SPDX-License-Identifier: MIT */
/* q_factors.glsl - what the products of integer tensors multiply: rows of bytes (m, k), with weights (n, k), to a result (m, n) of bytes or int32.
 * Without CONV2D the rows are those of matrices, `batch` of them. With it they are the positions (sample, output row, output column) of a
 * convolution, and terms are (kernel row, kernel column, channel of the group); TRANSPOSED is another way of where its taps lie.
 *
 * Terms come in quads, words of four signed bytes; unsigned ones have had 128 subtracted (`flip`), and so have the zero points. Weights have whole
 * turns of quads, those behind the last term being 0, so it does not matter what they are multiplied with. NIBBLES: weights are numbers of 4 bits, 0 to
 * 15, eight a word. Behind the n rows of w_row words come five numbers for each: sum(w) - k zero, zero, bias, multiplier, shift.
 *
 * ALIGNED: quads of the input begin at words. INPUT_PAIRS: two of them at a multiple of 8 bytes, too; WEIGHT_PAIRS: likewise. A CPU loads 8 bytes as fast
 * as 4. TO_S32: the result is int32, else bytes. DOT: the device multiplies four bytes of a word by four of another at once. */
#ifndef LB_Q_FACTORS_GLSL
#define LB_Q_FACTORS_GLSL

#define q_result result
#if defined(CONV2D) && !defined(ALIGNED)
#define TURN 1u /* quads of a turn of loops */
#else
#define TURN 4u
#endif

layout(binding = 0) readonly buffer Input { uint a_words[]; };
layout(binding = 1) readonly buffer Weights { uint w_words[]; };
layout(binding = 2) readonly buffer Sums { int row_sums[]; }; /* of the input's rows, in groups; where a weight's zero point is not 0 */
layout(binding = 3) buffer Result { uint result[]; };
#ifdef INPUT_PAIRS
layout(binding = 0) readonly buffer InputPairs { uint64_t a_pairs[]; };
#endif
#ifdef WEIGHT_PAIRS
layout(binding = 1) readonly buffer WeightPairs { uint64_t w_pairs[]; };
#endif

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint m, n, k;
    uint w_row;
    uint a_from, a_row, a_last; /* bytes: where rows begin, how far apart they are; the last word that is bound */
    uint c_from, c_row;         /* elements likewise */
    uint flip;                  /* 0x80808080 where the input is unsigned */
    int a_zero;
    uint has_sums;
    int zero, low, high; /* of the result */
#ifdef CONV2D
    uint h, w, c, kw, stride, pad, dilation, oh, ow;
    uint channels, outputs; /* of a group */
    uint first;             /* output channel that the columns begin with */
#else
    uint batch, a_step, w_step, c_step; /* from matrix to matrix: bytes, words, elements */
#endif
};
#include "kernels/vulkan/q_out.glsl"

#ifdef CONV2D
#define GROUPS (c / channels)
#endif

/* ---- Quads ---- */

#ifdef DOT
/* OpSDotKHR of packed bytes: capabilities DotProductInput4x8BitPacked and DotProduct. */
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int lb_dot(uint a, uint w, spirv_literal int bytes);

int quad_dot(uint a, uint w)
{
    return lb_dot(a, w, 0);
}
#else
int quad_dot(uint a, uint w)
{
    ivec4 p = q_bytes(a, Q_S8) * q_bytes(w, Q_S8);
    return (p.x + p.y) + (p.z + p.w);
}
#endif

uint quad_of_nibbles(uint four)
{
    uint pairs = (four | four << 8) & 0x00FF00FFu;
    return (pairs | pairs << 4) & 0x0F0F0F0Fu;
}

/* Where the words of column j begin. */
uint w_from(uint matrix, uint j)
{
#ifdef CONV2D
    return at.y + j * w_row;
#else
    return at.y + matrix * w_step + j * w_row;
#endif
}

/* Words i and i + 1; i is even. */
uvec2 w_two(uint i)
{
#ifdef WEIGHT_PAIRS
    return unpackUint2x32(w_pairs[i / 2u]);
#else
    return uvec2(w_words[i], w_words[i + 1u]);
#endif
}

/* Quad q of a column that begins at word `from`. */
uint w_quad(uint from, uint q)
{
#ifdef NIBBLES
    return quad_of_nibbles(w_words[from + q / 2u] >> (q % 2u * 16u) & 0xFFFFu);
#else
    return w_words[from + q];
#endif
}

/* A turn of quads, from quad q on. */
uvec4 w_turn(uint from, uint q)
{
    if (TURN == 1u)
        return uvec4(w_quad(from, q));
#ifdef NIBBLES
    uvec2 v = w_two(from + q / 2u);
    return uvec4(quad_of_nibbles(v.x & 0xFFFFu), quad_of_nibbles(v.x >> 16), quad_of_nibbles(v.y & 0xFFFFu), quad_of_nibbles(v.y >> 16));
#else
    return uvec4(w_two(from + q), w_two(from + q + 2u));
#endif
}

/* ---- The input ---- */

/* Where a row begins; the place of its window in a convolution. */
struct Row {
    uint from;
    uint y, x;
};

/* The term that a quad begins with, and its tap. */
struct Term {
    uint k;
    uint channel, x, y;
};

Term term(uint k_)
{
    Term t = Term(k_, 0u, 0u, 0u);
#ifdef CONV2D
    uint tap = k_ / channels;
    t.channel = k_ - tap * channels;
    t.y = tap / kw;
    t.x = tap - t.y * kw;
#endif
    return t;
}

/* `step` terms on: 1, or so many that they stay within a tap. */
void skip(inout Term t, uint step)
{
    t.k += step;
#ifdef CONV2D
    t.channel += step;
    bool next_tap = t.channel >= channels;
    t.channel = next_tap ? 0u : t.channel;
    t.x += next_tap ? 1u : 0u;
    bool next_row = t.x >= kw;
    t.x = next_row ? 0u : t.x;
    t.y += next_row ? 1u : 0u;
#endif
}

void next(inout Term t)
{
#if defined(CONV2D) && !defined(ALIGNED)
    [[unroll]] for (uint i = 0u; i < 4u; i++) skip(t, 1u);
#else
    skip(t, 4u);
#endif
}

/* Row i of group g (of a convolution), or of matrix g. */
Row row(uint g, uint i)
{
#ifdef CONV2D
    uint image = i / (oh * ow), position = i - image * (oh * ow), out_y = position / ow, out_x = position - out_y * ow;
    uint from = a_from + image * (h * w * c) + g * channels;
#ifdef TRANSPOSED
    return Row(from, out_y + pad, out_x + pad);
#else
    return Row(from, out_y * stride - pad, out_x * stride - pad); /* may wrap to huge, and what is added may bring it back */
#endif
#else
    return Row(a_from + g * a_step + i * a_row, 0u, 0u);
#endif
}

uint a_byte(uint place)
{
    return bitfieldExtract(a_words[at.x + place / 4u], int(place % 4u * 8u), 8);
}

#ifdef CONV2D
/* Along one side of an image: where tap t of a window lies; huge where it is outside. */
uint along(uint window, uint t)
{
#ifdef TRANSPOSED
    uint reach = window - t * dilation, i = reach / stride;
    return window >= t * dilation && i * stride == reach ? i : 0xFFFFFFFFu;
#else
    return window + t * dilation;
#endif
}

/* The place of a term's byte, or the first of its quad; where it is outside, none. */
uint place_of(Row r, Term t, out bool inside)
{
    uint y = along(r.y, t.y), x = along(r.x, t.x);
    inside = y < h && x < w;
    return inside ? r.from + (y * w + x) * c + t.channel : 0u;
}

uint outside()
{
    return (uint(a_zero) & 0xFFu) * 0x01010101u;
}
#endif

/* The quad that begins with term t. Behind the last term it is something. */
uint a_quad(Row r, Term t)
{
#if !defined(CONV2D) && defined(ALIGNED)
    return a_words[at.x + min((r.from + t.k) / 4u, a_last)] ^ flip;
#elif !defined(CONV2D)
    uint i = (r.from + t.k) / 4u, shift = (r.from + t.k) % 4u * 8u;
    uint lower = a_words[at.x + min(i, a_last)], upper = a_words[at.x + min(i + 1u, a_last)];
    return (lower >> shift | (shift != 0u ? upper << (32u - shift) : 0u)) ^ flip;
#elif defined(ALIGNED)
    bool inside;
    uint place = place_of(r, t, inside);
    return inside ? a_words[at.x + place / 4u] ^ flip : outside();
#else
    uint quad = 0u;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        bool inside;
        uint place = place_of(r, t, inside), v = uint(a_zero) & 0xFFu;
        if (inside && t.k < k)
            v = a_byte(place) ^ (flip & 0xFFu);
        quad |= v << (i * 8u);
        skip(t, 1u);
    }
    return quad;
#endif
}

/* The turn that begins with term t, which goes on to the next one. */
uvec4 a_turn(Row r, inout Term t)
{
    uvec4 v;
#ifdef INPUT_PAIRS
    [[unroll]] for (uint u = 0u; u < TURN; u += 2u) {
#ifdef CONV2D
        bool inside;
        uint place = place_of(r, t, inside);
        uvec2 pair = inside ? unpackUint2x32(a_pairs[(at.x + place / 4u) / 2u]) ^ flip : uvec2(outside());
#else
        uvec2 pair = unpackUint2x32(a_pairs[(at.x + min((r.from + t.k) / 4u, a_last - 1u)) / 2u]) ^ flip;
#endif
        v[u] = pair.x;
        v[u + 1u] = pair.y;
        skip(t, 8u);
    }
#else
    [[unroll]] for (uint u = 0u; u < TURN; u++) {
        v[u] = a_quad(r, t);
        next(t);
    }
#endif
    return v;
}

/* ---- The result ---- */

/* What a column adds to its sum, and how that becomes a byte. */
struct Column {
    int base, zero, multiplier;
    uint shift;
};

Column column(uint matrix, uint j)
{
    uint i = w_from(matrix, n) + j;
    int sum = int(w_words[i]);
    return Column(int(w_words[i + 2u * n]) - a_zero * sum, int(w_words[i + n]), int(w_words[i + 3u * n]), w_words[i + 4u * n]);
}

/* The sum of row i of group (or matrix) g: the same for all of its columns. */
int row_sum(uint g, uint i)
{
#ifdef CONV2D
    uint j = i * GROUPS + g;
#else
    uint j = g * m + i;
#endif
    return has_sums != 0u ? row_sums[at.z + j] : 0;
}

/* An int32, or a byte. */
uint finished(int sum, Column col, int of_row)
{
    int v = sum + col.base - col.zero * of_row;
#ifdef TO_S32
    return uint(v);
#else
    return q_held(q_scaled(v, col.multiplier, col.shift), zero, low, high);
#endif
}

/* Where element (i, j) of the result is, in elements. */
uint result_at(uint matrix, uint i, uint j)
{
#ifdef CONV2D
    return c_from + i * c_row + j;
#else
    return c_from + matrix * c_step + i * c_row + j;
#endif
}

/* `count` neighbours of a row, finished, at element `to`. */
void store(uint to, uvec4 v, uint count)
{
#ifdef TO_S32
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (j < count)
            result[at.w + to + j] = v[j];
    }
#else
    q_put(at.w * 4u + to, q_word(v), count);
#endif
}

#endif
