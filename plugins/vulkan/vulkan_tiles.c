/* SPDX-License-Identifier: MIT */
/* vulkan_tiles.c - products by tiles: which shader and which size of tile a product gets. kernels/vulkan/lanes.comp is for devices that
 * are CPUs, tiles.comp for GPUs. Products that neither takes are made plainly, one invocation an output. */
#include "plugins/vulkan/vulkan.h"

/* Constants, by id. lanes.comp: lanes of a subgroup, columns of a lane, rows of a lane by the lanes (0: one row). tiles.comp: threads;
 * threads down and across; blocks of 4 x 4 of a thread down and across; terms a piece. */
const struct vulkan_shape vulkan_shapes[VULKAN_SHAPES] = {[SHAPE_LANES_ROW] = {{8, 8, 0}, 1, 64},
                                                          [SHAPE_LANES_LOW] = {{8, 4, 1}, 8, 32},
                                                          [SHAPE_LANES] = {{8, 2, 2}, 16, 16},
                                                          [SHAPE_LANES_WIDE] = {{8, 4, 2}, 16, 32},
                                                          [SHAPE_TILES_LOW] = {{128, 4, 32, 1, 1, 16}, 16, 128},
                                                          [SHAPE_TILES] = {{256, 16, 16, 1, 1, 16}, 64, 64},
                                                          [SHAPE_TILES_LARGE] = {{256, 16, 16, 2, 2, 16}, 128, 128}};

enum {
    LANES = 8,
    LANES_TERMS =
        160 * VULKAN_SEGMENT, /* half of them turns at first, each one again where the tile is made with care: below 65535 turns */
    LARGE_ENOUGH = 64         /* tiles that occupy a GPU: with fewer, smaller ones */
};

static size_t tiles(const struct vulkan_shape *s, const struct vulkan_factors *f)
{
    return (((size_t)f->m + s->tall - 1) / s->tall) * (((size_t)f->n + s->wide - 1) / s->wide);
}

/* The bytes of shared memory that tiles.comp declares: pieces of both factors with their padding, the terms, and a table of codes. */
static uint32_t shared_bytes(const struct vulkan_shape *s)
{
    enum { VECTOR = 16, TERM = 8 * 4, TABLE = 256 * 4 };
    return s->spec[5] * ((s->tall / 4 + 1 + s->wide / 4 + 1) * VECTOR + TERM) + TABLE;
}

static int fits(const struct vulkan_device *d, enum vulkan_tile_shape shape)
{
    const struct vulkan_shape *s = &vulkan_shapes[shape];
    return s->spec[0] <= d->t.group_most && s->spec[0] <= d->t.group_size[0] && shared_bytes(s) <= d->t.shared;
}

static enum vulkan_tile_shape gpu_shape(const struct vulkan_device *d, const struct vulkan_factors *f, size_t segments)
{
    if (f->m <= vulkan_shapes[SHAPE_TILES_LOW].tall)
        return fits(d, SHAPE_TILES_LOW) ? SHAPE_TILES_LOW : VULKAN_SHAPES;
    if (tiles(&vulkan_shapes[SHAPE_TILES_LARGE], f) * segments >= LARGE_ENOUGH && fits(d, SHAPE_TILES_LARGE))
        return SHAPE_TILES_LARGE;
    return fits(d, SHAPE_TILES) ? SHAPE_TILES : VULKAN_SHAPES;
}

int vulkan_can_lanes(const struct vulkan_device *d)
{
    enum { NEEDED = VK_SUBGROUP_FEATURE_VOTE_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT };
    return d->t.subgroup == LANES && (d->t.subgroup_operations & NEEDED) == NEEDED;
}

/* Whether vectors of four lie at an operand's beginning and a multiple of `apart` behind it. */
static int in_quads(const struct vulkan_device *d, const struct vulkan_operand *o, uint32_t apart)
{
    return apart % 4 == 0 && o->n % 4 == 0 && o->at % (d->t.align / 4) % 4 == 0;
}

/* A matrix product that can be read four neighbours at a time is another one. */
static enum vulkan_product by_quads(const struct vulkan_device *d, const struct vulkan_operand *operand, const struct vulkan_factors *f,
                                    int packed)
{
    const uint32_t a_row = f->rest[0], a_col = f->rest[1], b_row = f->rest[2], b_col = f->rest[3];
    const int left_by_terms = a_col == 1 && f->k1 % 4 == 0 && in_quads(d, &operand[0], a_row);
    if (packed)
        return left_by_terms ? PRODUCT_GEMM_NT : PRODUCT_GEMM;
    if (left_by_terms && b_row == 1 && in_quads(d, &operand[1], b_col))
        return PRODUCT_GEMM_NT;
    if (b_col == 1 && f->n % 4 == 0 && in_quads(d, &operand[1], b_row))
        return left_by_terms ? PRODUCT_GEMM_NN : PRODUCT_GEMM_TN;
    return PRODUCT_GEMM;
}

/* Exact, a wide tile needs more registers than there are, which pays only where loads are cheap. */
static enum vulkan_tile_shape lanes_shape(const struct vulkan_device *d, enum vulkan_product product, const struct vulkan_factors *f)
{
    if (f->m == 1)
        return SHAPE_LANES_ROW;
    if (f->m <= LANES)
        return SHAPE_LANES_LOW;
    return d->exact && product < PRODUCT_GEMM_NT ? SHAPE_LANES : SHAPE_LANES_WIDE;
}

int vulkan_tiles(struct vulkan_device *d, enum vulkan_product product, const struct vulkan_operand operand[VULKAN_OPERANDS],
                 const struct vulkan_factors *f, const struct vulkan_weights *w)
{
    const uint64_t setting = vulkan_test_setting("tiles", 0); /* 1: those of GPUs on every device; 2: none */
    const int is_cpu = d->t.type == VK_PHYSICAL_DEVICE_TYPE_CPU && !setting;
    const size_t terms = (size_t)f->k1 - f->k0, segments = (terms + VULKAN_SEGMENT - 1) / VULKAN_SEGMENT;
    const int parted = product == PRODUCT_CONV2D_DW; /* each segment is a product of its own */
    if (setting == 2 || !terms || !f->m || !f->n || (!parted && terms > LANES_TERMS))
        return 0;
    if (is_cpu && product == PRODUCT_GEMM)
        product = by_quads(d, operand, f, w != NULL);
    const enum vulkan_tile_shape shape = is_cpu ? lanes_shape(d, product, f) : gpu_shape(d, f, parted ? segments : 1);
    if (shape == VULKAN_SHAPES || (is_cpu && !vulkan_can_lanes(d)))
        return 0;
    struct vulkan_dispatch c = {.kernel = (enum vulkan_kernel)(KERNEL_TILES + product * VULKAN_SHAPES + shape),
                                .args = f,
                                .args_bytes = sizeof *f,
                                .groups = tiles(&vulkan_shapes[shape], f) * (parted ? segments : 1),
                                .work = (double)f->m * (double)f->n * (double)terms};
    for (int i = 0; i < VULKAN_OPERANDS; i++)
        c.operand[i] = operand[i];
    if (w && vulkan_packed_kernel(d, w, &vulkan_shaders[c.kernel],
                                  product == PRODUCT_CONV2D ? "LEFT_PACKED"
                                  : is_cpu                  ? "RIGHT_PACKED"
                                                            : "RIGHT_PACKED SHARED_TABLE",
                                  &c.kernel))
        return -1;
    return vulkan_dispatch(d, &c) ? -1 : 1;
}
