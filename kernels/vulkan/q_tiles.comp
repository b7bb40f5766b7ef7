/* SPDX-License-Identifier: MIT */
/* q_tiles.comp - products of integer tensors, q_factors.glsl, on a GPU, as tiles.comp makes those of numbers: a work group makes a tile of outputs from
 * pieces of both factors in shared memory, DEPTH quads of terms at a time, and loads the next pieces while it multiplies. A thread has
 * BLOCKS_DOWN x BLOCKS_ACROSS blocks of 4 x 4 outputs.
 *
 * A piece is (DEPTH, rows or columns of the tile), in vectors of four. One vector of padding keeps threads that store neighbouring quads on different
 * banks. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef DOT
#extension GL_EXT_spirv_intrinsics : require
#endif
#if defined(INPUT_PAIRS) || defined(WEIGHT_PAIRS)
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/q_factors.glsl"

layout(constant_id = 1) const uint THREADS_DOWN = 16;
layout(constant_id = 2) const uint THREADS_ACROSS = 16; /* THREADS_DOWN x THREADS_ACROSS: gl_WorkGroupSize.x */
layout(constant_id = 3) const uint BLOCKS_DOWN = 1;
layout(constant_id = 4) const uint BLOCKS_ACROSS = 1;
layout(constant_id = 5) const uint DEPTH = 8;

const uint THREADS = THREADS_DOWN * THREADS_ACROSS;
const uint TALL = 4u * THREADS_DOWN * BLOCKS_DOWN, WIDE = 4u * THREADS_ACROSS * BLOCKS_ACROSS; /* of the tile */
const uint ROWS = 4u * BLOCKS_DOWN, COLUMNS = 4u * BLOCKS_ACROSS;                              /* of a thread */
const uint LEFT_LOADS = TALL * DEPTH / THREADS, RIGHT_LOADS = WIDE * DEPTH / THREADS;          /* of a thread, for one piece */
const uint LEFT_STEP = TALL / 4u + 1u, RIGHT_STEP = WIDE / 4u + 1u;

shared uvec4 left_piece[DEPTH * LEFT_STEP], right_piece[DEPTH * RIGHT_STEP];

#define EACH(i, n) [[unroll]] for (uint i = 0u; i < n; i++)

uint thread, down, across;        /* this thread's place in the tile */
uint of_group, matrix;            /* whose product it is */
uint tile_row, tile_column, wide; /* the first ones of the tile; columns of the group from there on */
uint first_column;                /* of the group */
uint left_load[LEFT_LOADS], right_load[RIGHT_LOADS];
int acc[ROWS][COLUMNS];

/* Quads behind the last term: the right ones are zeros. */
void load(uint q)
{
    EACH(i, LEFT_LOADS) {
        uint e = thread + i * THREADS;
        left_load[i] = a_quad(row(of_group, min(tile_row + e / DEPTH, m - 1u)), term((q + e % DEPTH) * 4u));
    }
    EACH(i, RIGHT_LOADS) {
        uint e = thread + i * THREADS, column_ = first_column + tile_column + min(e / DEPTH, wide - 1u);
        right_load[i] = (q + e % DEPTH) * 4u < k ? w_quad(w_from(matrix, column_), q + e % DEPTH) : 0u;
    }
}

void store_pieces()
{
    EACH(i, LEFT_LOADS) {
        uint e = thread + i * THREADS;
        left_piece[e % DEPTH * LEFT_STEP + e / DEPTH / 4u][e / DEPTH % 4u] = left_load[i];
    }
    EACH(i, RIGHT_LOADS) {
        uint e = thread + i * THREADS;
        right_piece[e % DEPTH * RIGHT_STEP + e / DEPTH / 4u][e / DEPTH % 4u] = right_load[i];
    }
}

void multiply()
{
    EACH(q, DEPTH) {
        uvec4 a[BLOCKS_DOWN], w[BLOCKS_ACROSS];
        EACH(i, BLOCKS_DOWN) a[i] = left_piece[q * LEFT_STEP + i * THREADS_DOWN + down];
        EACH(i, BLOCKS_ACROSS) w[i] = right_piece[q * RIGHT_STEP + i * THREADS_ACROSS + across];
        EACH(r, ROWS) EACH(j, COLUMNS) acc[r][j] += quad_dot(a[r / 4u][r % 4u], w[j / 4u][j % 4u]);
    }
}

void make()
{
    EACH(r, ROWS) EACH(j, COLUMNS) acc[r][j] = 0;
    load(0u);
    for (uint q = 0u; q * 4u < k; q += DEPTH) {
        store_pieces();
        barrier();
        if ((q + DEPTH) * 4u < k)
            load(q + DEPTH);
        multiply();
        barrier();
    }
}

/* A row of the first block after the other, not unrolled: drivers would compile for long. */
void finish()
{
    uint column0[BLOCKS_ACROSS];
    Column of[COLUMNS];
    EACH(block, BLOCKS_ACROSS) column0[block] = (block * THREADS_ACROSS + across) * 4u;
    EACH(j, COLUMNS) of[j] = column(matrix, min(first_column + tile_column + column0[j / 4u] + j % 4u, n - 1u));
    for (uint r = 0u; r < ROWS; r++) {
        uint i = tile_row + (r / 4u * THREADS_DOWN + down) * 4u + r % 4u;
        int of_row = row_sum(of_group, min(i, m - 1u));
        EACH(block, BLOCKS_ACROSS) {
            uvec4 v;
            EACH(j, 4u) v[j] = finished(acc[0][block * 4u + j], of[block * 4u + j], of_row);
            if (i < m && column0[block] < wide)
                store(result_at(matrix, i, first_column + tile_column + column0[block]), v, min(wide - column0[block], 4u));
        }
        EACH(next_, ROWS - 1u) EACH(j, COLUMNS) acc[next_][j] = acc[next_ + 1u][j];
    }
}

void main()
{
#ifdef CONV2D
    uint sharing = GROUPS > 1u ? outputs : n, all = GROUPS;
#else
    uint sharing = n, all = batch;
#endif
    uint tiles_across = (sharing + WIDE - 1u) / WIDE, tiles = tiles_across * ((m + TALL - 1u) / TALL), group = lb_group();
    of_group = group / tiles;
    if (of_group >= all) /* the last groups of a folded row */
        return;
    group -= of_group * tiles;
    thread = gl_LocalInvocationIndex;
    down = thread / THREADS_ACROSS;
    across = thread % THREADS_ACROSS;
    tile_row = group / tiles_across * TALL;
    tile_column = group % tiles_across * WIDE;
    wide = sharing - tile_column;
#ifdef CONV2D
    matrix = 0u;
    first_column = of_group * outputs;
#else
    matrix = of_group;
    first_column = 0u;
#endif
    make();
    finish();
}
