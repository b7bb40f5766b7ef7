/* SPDX-License-Identifier: MIT */
/* tiles.comp - products on a GPU: a work group makes a tile of outputs from pieces of both factors in shared memory, DEPTH terms at a
 * time, and loads the next pieces while it multiplies. A thread has QUADS_DOWN x QUADS_ACROSS blocks of 4 x 4 outputs. What is multiplied:
 * factors.glsl.
 *
 * A piece is (DEPTH, rows or columns of the tile), in vectors of four. One vector of padding keeps threads that store neighbouring terms
 * on different banks. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/factors.glsl"

layout(constant_id = 1) const uint THREADS_DOWN = 16;
layout(constant_id = 2) const uint THREADS_ACROSS = 16; /* THREADS_DOWN x THREADS_ACROSS: gl_WorkGroupSize.x, a multiple of DEPTH */
layout(constant_id = 3) const uint QUADS_DOWN = 1;
layout(constant_id = 4) const uint QUADS_ACROSS = 1;
layout(constant_id = 5) const uint DEPTH = 16; /* divides 256 */

const uint THREADS = THREADS_DOWN * THREADS_ACROSS;
const uint TALL = 4u * THREADS_DOWN * QUADS_DOWN, WIDE = 4u * THREADS_ACROSS * QUADS_ACROSS; /* of the tile */
const uint ROWS = 4u * QUADS_DOWN, COLUMNS = 4u * QUADS_ACROSS;                              /* of a thread */
const uint LEFT_LOADS = TALL * DEPTH / THREADS, RIGHT_LOADS = WIDE * DEPTH / THREADS;        /* of a thread, for one piece */
const uint LEFT_STEP = TALL / 4u + 1u, RIGHT_STEP = WIDE / 4u + 1u;

shared vec4 left_piece[DEPTH * LEFT_STEP], right_piece[DEPTH * RIGHT_STEP];
shared Term terms[DEPTH];

#define EACH(i, n) [[unroll]] for (uint i = 0u; i < n; i++)

uint thread, down, across;   /* this thread's place in the tile */
uint tile_row, tile_column;  /* the first ones of the tile */
uint terms_end;
float left_load[LEFT_LOADS], right_load[RIGHT_LOADS];
float acc[ROWS][COLUMNS], total[ROWS][COLUMNS];

/* ---- Pieces. Neighbouring threads load neighbours in memory: of terms, or of rows and columns. ---- */

bool left_by_terms()
{
#ifdef GEMM
    return a_col == 1u;
#else
    return true;
#endif
}

bool right_by_terms()
{
#ifdef GEMM
    return b_row == 1u;
#elif defined(CONV2D_DW)
    return true;
#else
    return false;
#endif
}

/* The e-th element of a piece: x its row or column, y its term. */
uvec2 element(uint e, bool by_terms, uint size)
{
    return by_terms ? uvec2(e / DEPTH, e % DEPTH) : uvec2(e % size, e / size);
}

/* The terms of the piece that begins with term k; none behind the last. */
void note_terms(uint k)
{
    if (thread < DEPTH)
        terms[thread] = term(min(k + thread, terms_end - 1u));
}

/* Terms behind the last are zeros times zeros, which change no sum. */
void load(uint k)
{
    EACH(i, LEFT_LOADS) {
        uvec2 e = element(thread + i * THREADS, left_by_terms(), TALL);
        float v = left_value(left_row(min(tile_row + e.x, m - 1u)), terms[e.y]);
        left_load[i] = k + e.y < terms_end ? v : 0.0;
    }
    EACH(i, RIGHT_LOADS) {
        uvec2 e = element(thread + i * THREADS, right_by_terms(), WIDE);
        float v = right_value(column(min(tile_column + e.x, n - 1u)), terms[e.y]);
        right_load[i] = k + e.y < terms_end ? v : 0.0;
    }
}

void store()
{
    EACH(i, LEFT_LOADS) {
        uvec2 e = element(thread + i * THREADS, left_by_terms(), TALL);
        left_piece[e.y * LEFT_STEP + e.x / 4u][e.x % 4u] = left_load[i];
    }
    EACH(i, RIGHT_LOADS) {
        uvec2 e = element(thread + i * THREADS, right_by_terms(), WIDE);
        right_piece[e.y * RIGHT_STEP + e.x / 4u][e.x % 4u] = right_load[i];
    }
}

void multiply()
{
    for (uint k = 0u; k < DEPTH; k++) {
        vec4 a[QUADS_DOWN], b[QUADS_ACROSS];
        EACH(q, QUADS_DOWN) a[q] = left_piece[k * LEFT_STEP + q * THREADS_DOWN + down];
        EACH(q, QUADS_ACROSS) b[q] = right_piece[k * RIGHT_STEP + q * THREADS_ACROSS + across];
        EACH(r, ROWS) EACH(j, COLUMNS) acc[r][j] = canon_fma(a[r / 4u][r % 4u], b[j / 4u][j % 4u], acc[r][j]);
    }
}

/* ---- The tile ---- */

void make(uint from)
{
    EACH(r, ROWS) EACH(j, COLUMNS) {
        acc[r][j] = 0.0;
        total[r][j] = 0.0;
    }
    note_terms(from);
    barrier();
    load(from);
    barrier();
    for (uint k = from; k < terms_end; k += DEPTH) {
        store();
        note_terms(k + DEPTH);
        barrier();
        if (k + DEPTH < terms_end)
            load(k + DEPTH);
        multiply();
        bool ends = (k + DEPTH - from) % SEGMENT == 0u || k + DEPTH >= terms_end;
        if (ends) {
            EACH(r, ROWS) EACH(j, COLUMNS) {
                total[r][j] += acc[r][j];
                acc[r][j] = 0.0;
            }
        }
        barrier();
    }
}

float finished(float v, uint i, uint j)
{
#ifdef CONV2D_DW
    return v;
#else
    if (has_bias != 0u) {
#ifdef GEMM
        v += bias[at.z + j];
#else
        v += bias[at.z + i];
#endif
    }
    return lb_activate(act, alpha, v);
#endif
}

void finish()
{
    EACH(r, ROWS) EACH(c_, COLUMNS) {
        uint i = tile_row + (r / 4u * THREADS_DOWN + down) * 4u + r % 4u;
        uint j = tile_column + (c_ / 4u * THREADS_ACROSS + across) * 4u + c_ % 4u;
        if (i < m && j < n)
            result[result_at(i, j)] = finished(total[r][c_], i, j);
    }
}

void main()
{
    result_from = at.w;
    uint tiles_across = (n + WIDE - 1u) / WIDE, tiles = tiles_across * ((m + TALL - 1u) / TALL), group = lb_group();
    uint from = k0;
    terms_end = k1;
#ifdef CONV2D_DW
    uint s = group / tiles;
    group -= s * tiles;
    from += s * SEGMENT;
    result_from += s * m * n;
    terms_end = min(from + SEGMENT, k1);
    bool is_more = from >= k1;
#else
    bool is_more = group >= tiles;
#endif
    if (is_more) /* the last groups of a folded row */
        return;
    thread = gl_LocalInvocationIndex;
    down = thread / THREADS_ACROSS;
    across = thread % THREADS_ACROSS;
    tile_row = group / tiles_across * TALL;
    tile_column = group % tiles_across * WIDE;
#if defined(LEFT_PACKED) || defined(RIGHT_PACKED)
    packed_begin();
#endif
    make(from);
    finish();
}
