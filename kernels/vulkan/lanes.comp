/* SPDX-License-Identifier: MIT */
/* lanes.comp - products on a device that is a CPU: a subgroup is a vector register there, loads are dear (lane by lane), shared memory is
 * no faster than other memory and a barrier is dear. So a work group is one subgroup; a lane has COLUMNS columns, a subgroup apart, and as
 * many rows as the subgroup has lanes; each lane loads one row's factor and hands it to all others. What is multiplied: factors.glsl.
 *
 * Where fma() is not fused, binary64 makes the chains: the product of two binary32 values is exact there, so is mostly the sum, and
 * rounding it to 24 bits is an addition and a mask on its bits, half away from zero. That differs from one rounding of the exact sum only
 *   - where the sum's lower 29 bits are exactly a half: a tie, or a sum that was itself rounded;
 *   - where a sum is subnormal in binary32 and not a multiple of 2^-149; not so if all products are multiples of that;
 *   - where a sum is too large for binary32.
 * The first is looked for in every sum, the others are excluded by the factors' exponents. If anything is found, a block of terms is made
 * again with canon_fma. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_shader_subgroup_vote : require
#include "kernels/vulkan/common.glsl"
#include "kernels/vulkan/factors.glsl"

layout(constant_id = 1) const uint COLUMNS = 4;
layout(constant_id = 2) const uint GROUPS = 1; /* of rows: a row for each lane; 0: one row, the same for all lanes */
const uint LANES = 8u; /* of a subgroup, and gl_WorkGroupSize.x */
const uint TURN = 4u;  /* terms of a turn of the loop; divides 256 */
const bool IS_ROW = GROUPS == 0u;
const uint OWN = IS_ROW ? 1u : GROUPS; /* rows that a lane loads */
const uint ROWS = IS_ROW ? 1u : GROUPS * LANES, WIDE = COLUMNS * LANES; /* of the tile */

#define EACH_ROW [[unroll]] for (uint r = 0u; r < ROWS; r++)
#define EACH_GROUP [[unroll]] for (uint g = 0u; g < OWN; g++)
#define EACH_COLUMN [[unroll]] for (uint j = 0u; j < COLUMNS; j++)

uint terms_end;
uint tile_row, tile_column; /* the first ones of the tile */
uint row_at[OWN];        /* of the rows that this lane loads */
Column cols[COLUMNS];
float total[ROWS][COLUMNS];

/* ---- Terms. A dead one, behind the last, is a product of zeros, which changes no sum. ---- */

float own_left[OWN], left_factor[ROWS], right_factor[COLUMNS]; /* of one term; own_left: of the rows which this lane loads */

/* Which column of the tile is this lane's j-th. */
uint column_of(uint j)
{
#ifdef RIGHT_BY_COLUMNS
    return (j / 4u * LANES + gl_SubgroupInvocationID) * 4u + j % 4u;
#else
    return j * LANES + gl_SubgroupInvocationID;
#endif
}

/* The g-th row that this lane loads. */
uint loaded_row(uint g)
{
    return tile_row + (IS_ROW ? 0u : g * LANES + gl_SubgroupInvocationID);
}

void load_left(Term t, bool live)
{
    EACH_GROUP {
        float v = left_value(row_at[g], t);
        own_left[g] = live ? v : 0.0;
    }
}

void load_right(Term t, bool live)
{
#ifdef RIGHT_BY_COLUMNS
    [[unroll]] for (uint j = 0u; j < COLUMNS; j += 4u) {
        vec4 v = right_quad[(cols[j].at + t.k * b_row) / 4u];
        [[unroll]] for (uint i = 0u; i < 4u; i++) right_factor[j + i] = live ? v[i] : 0.0;
    }
#else
    EACH_COLUMN {
        float v = right_value(cols[j], t);
        right_factor[j] = live ? v : 0.0;
    }
#endif
}

/* Every lane's own_left to all lanes. A lane has its rows in an order of its own, so that the exchange is a fixed one of neighbours. */
void hand_out()
{
    EACH_ROW left_factor[r] = subgroupShuffleXor(own_left[r / LANES], r % LANES);
}

void load(Term t, bool live)
{
    load_left(t, live);
    load_right(t, live);
    hand_out();
}

/* The terms of a turn: all at once where terms lie side by side, else one by one. */
#ifdef LEFT_BY_TERMS
vec4 left_turn[OWN];
#endif
#ifdef RIGHT_BY_TERMS
vec4 right_turn[COLUMNS];
#endif

void load_turn(Term t)
{
#ifdef LEFT_BY_TERMS
    EACH_GROUP left_turn[g] = left_quad[(row_at[g] + t.k) / 4u];
#endif
#ifdef RIGHT_BY_TERMS
#ifdef RIGHT_PACKED
    EACH_COLUMN right_turn[j] = packed_quad(cols[j].at, t.k);
#else
    EACH_COLUMN right_turn[j] = right_quad[(cols[j].at + t.k) / 4u];
#endif
#endif
}

/* The u-th term of the turn. */
void take(uint u, Term t, bool live)
{
#ifdef LEFT_BY_TERMS
    EACH_GROUP own_left[g] = left_turn[g][u];
#else
    load_left(t, live);
#endif
#ifdef RIGHT_BY_TERMS
    EACH_COLUMN right_factor[j] = right_turn[j][u];
#else
    load_right(t, live);
#endif
    hand_out();
}

/* Steps on, but not behind the last term of all. */
void advance(inout Term t, inout uint k)
{
    k++;
    if (k < terms_end)
        next(t);
}

/* ---- Chains ---- */

#ifdef FMA_FUSED

/* Adds the terms from..end - 1, a segment, to the totals. */
void segment(uint from, uint end, inout Term t)
{
    float acc[ROWS][COLUMNS];
    EACH_ROW EACH_COLUMN acc[r][j] = 0.0;
    for (uint k = from; k < end;) {
        load_turn(t);
        [[unroll]] for (uint u = 0u; u < TURN; u++) {
            take(u, t, k < end);
            EACH_ROW EACH_COLUMN acc[r][j] = canon_fma(left_factor[r], right_factor[j], acc[r][j]);
            advance(t, k);
        }
    }
    EACH_ROW EACH_COLUMN total[r][j] += acc[r][j];
}

#else

const uint BLOCK = 64u; /* terms that are made again if need be; divides 256 */
const uint64_t HALF = uint64_t(0x10000000u), LOWER = uint64_t(0x1FFFFFFFu); /* of the 29 bits that binary32 lacks */

/* The least and the largest magnitude but zero, as bits without the sign; the least one less. */
struct Range {
    uint least, most;
};

void include(inout Range e, float v)
{
    uint magnitude = canon_bits(v) << 1;
    e.least = min(e.least, magnitude - 1u);
    e.most = max(e.most, magnitude);
}

double acc[ROWS][COLUMNS]; /* binary32 values */
Range rows, columns;       /* of all factors of the segment so far */

/* All products are multiples of 2^-149, and a chain of 256 of them stays below 2^127; told from the biased exponents. */
bool is_tame()
{
    uint row_least = subgroupMin(rows.least) >> 24, row_most = subgroupMax(rows.most) >> 24;
    uint column_least = columns.least >> 24, column_most = columns.most >> 24;
    return row_least + column_least >= 151u && row_most + column_most <= 370u && row_most < 255u && column_most < 255u;
}

/* The terms from..end - 1; false where a chain may not be exact. */
bool block(uint from, uint end, inout Term t)
{
    uint64_t nearest = LOWER; /* 0: a sum's lower bits were a half */
    for (uint k = from; k < end;) {
        load_turn(t);
        [[unroll]] for (uint u = 0u; u < TURN; u++) {
            take(u, t, k < end);
            EACH_GROUP include(rows, own_left[g]);
            EACH_COLUMN include(columns, right_factor[j]);
            double b[COLUMNS];
            EACH_COLUMN b[j] = double(right_factor[j]);
            EACH_ROW {
                double a = double(left_factor[r]);
                EACH_COLUMN {
                    uint64_t s = doubleBitsToUint64(a * b[j] + acc[r][j]) + HALF;
                    nearest = min(nearest, s & LOWER);
                    acc[r][j] = uint64BitsToDouble(s & ~LOWER);
                }
            }
            advance(t, k);
        }
    }
    return subgroupAll(nearest != uint64_t(0) && is_tame());
}

/* Adds the terms from..end - 1, a segment, to the totals. The loop with canon_fma makes a block again; llvmpipe goes through every loop at
 * least once, so there is one for all accumulators, and only one. */
void segment(uint from, uint end, inout Term t)
{
    float again[ROWS][COLUMNS];
    rows = Range(0xFFFFFFFFu, 0u);
    columns = rows;
    EACH_ROW EACH_COLUMN acc[r][j] = 0.0lf;
    for (uint s = from; s < end; s += BLOCK) {
        uint block_end = min(s + BLOCK, end);
        Term first = t;
        EACH_ROW EACH_COLUMN again[r][j] = float(acc[r][j]);
        bool good = block(s, block_end, t);
        for (uint k = s; k < block_end && !good;) {
            load(first, true);
            EACH_ROW EACH_COLUMN again[r][j] = canon_fma(left_factor[r], right_factor[j], again[r][j]);
            advance(first, k);
        }
        EACH_ROW EACH_COLUMN acc[r][j] = good ? acc[r][j] : double(again[r][j]);
    }
    EACH_ROW EACH_COLUMN total[r][j] += float(acc[r][j]);
}

#endif

/* ---- The tile ---- */

uint row_of(uint r)
{
    return tile_row + (IS_ROW ? 0u : r ^ gl_SubgroupInvocationID);
}

bool is_inside(uint r, uint i)
{
    return row_of(r) < m && tile_column + column_of(i) < n;
}

uint place(uint r, uint i)
{
    return result_at(row_of(r), tile_column + column_of(i));
}

/* One bias for a column of a matrix product, or for a row of a convolution. */
void add_bias()
{
#ifdef GEMM
    EACH_COLUMN {
        float v = bias[at.z + min(tile_column + column_of(j), n - 1u)];
        EACH_ROW total[r][j] += v;
    }
#elif defined(CONV2D)
    float own[OWN];
    EACH_GROUP own[g] = bias[at.z + min(loaded_row(g), m - 1u)];
    EACH_ROW {
        float v = subgroupShuffleXor(own[r / LANES], r % LANES);
        EACH_COLUMN total[r][j] += v;
    }
#endif
}

void finish()
{
    if (has_bias != 0u)
        add_bias();
    EACH_ROW EACH_COLUMN {
#ifdef CONV2D_DW
        float v = total[r][j];
#else
        float v = lb_activate(act, alpha, total[r][j]);
#endif
        if (is_inside(r, j))
            result[place(r, j)] = v;
    }
}

void make(uint from, uint end)
{
    EACH_ROW EACH_COLUMN total[r][j] = 0.0;
    Term t = term(from);
    for (uint s = from; s < end; s += SEGMENT)
        segment(s, min(s + SEGMENT, end), t);
    finish();
}

void main()
{
    result_from = at.w;
    uint down = (m + ROWS - 1u) / ROWS, group = lb_group(); /* down first: the columns that tiles share stay in a cache */
    uint from = k0, end = k1;
#ifdef CONV2D_DW
    uint tiles = down * ((n + WIDE - 1u) / WIDE), s = group / tiles;
    group -= s * tiles;
    from += s * SEGMENT;
    result_from += s * m * n;
    end = min(from + SEGMENT, end);
#endif
    terms_end = end;
    tile_row = group % down * ROWS;
    tile_column = group / down * WIDE;
    if (tile_column >= n || from >= end) /* the last groups of a folded row */
        return;
    EACH_GROUP row_at[g] = left_row(min(loaded_row(g), m - 1u));
    EACH_COLUMN cols[j] = column(min(tile_column + column_of(j), n - 1u));
    make(from, end);
}
