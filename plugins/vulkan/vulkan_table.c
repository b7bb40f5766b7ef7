/* SPDX-License-Identifier: MIT */
/* vulkan_table.c - the shaders: which pipelines there are, and the text they are made of, which is part of the plugin. */
#include "plugins/vulkan/vulkan.h"

/* The file between the symbols NAME_begin and NAME_end; its path is as make sees it, from the top of the tree. A zero ends it for shaderc's sake. */
#define EMBED(name, path)                                                                                                                  \
    extern const char name##_begin[], name##_end[];                                                                                        \
    __asm__(".pushsection .rodata\n.hidden " #name "_begin\n.hidden " #name "_end\n.globl " #name "_begin\n" #name                         \
            "_begin:\n.incbin \"" path "\"\n.globl " #name "_end\n" #name "_end:\n.byte 0\n.popsection\n");

EMBED(canon, "kernels/canon.h")
EMBED(common, "kernels/vulkan/common.glsl")
EMBED(fma, "kernels/vulkan/fma.glsl")
EMBED(device_test, "kernels/vulkan/device_test.comp")
EMBED(factors, "kernels/vulkan/factors.glsl")
EMBED(lanes, "kernels/vulkan/lanes.comp")
EMBED(tiles, "kernels/vulkan/tiles.comp")
EMBED(product, "kernels/vulkan/product.comp")
EMBED(segments, "kernels/vulkan/segments.comp")
EMBED(add_segments, "kernels/vulkan/add_segments.comp")
EMBED(elements, "kernels/vulkan/elements.comp")
EMBED(rows, "kernels/vulkan/rows.comp")
EMBED(quantize, "kernels/vulkan/quantize.comp")
EMBED(integers, "kernels/vulkan/integers.comp")
EMBED(unpack, "kernels/vulkan/unpack.comp")
EMBED(packed, "kernels/vulkan/packed.glsl")
EMBED(q_out, "kernels/vulkan/q_out.glsl")
EMBED(q_factors, "kernels/vulkan/q_factors.glsl")
EMBED(q_plain, "kernels/vulkan/q_plain.comp")
EMBED(q_lanes, "kernels/vulkan/q_lanes.comp")
EMBED(q_tiles, "kernels/vulkan/q_tiles.comp")
EMBED(q_elements, "kernels/vulkan/q_elements.comp")
EMBED(q_pack, "kernels/vulkan/q_pack.comp")
EMBED(q_images, "kernels/vulkan/q_images.comp")
EMBED(q_copy, "kernels/vulkan/q_copy.comp")

#define SOURCE(path, name)                                                                                                                 \
    {                                                                                                                                      \
        path, name##_begin, name##_end                                                                                                     \
    }
const struct vulkan_source vulkan_sources[] = {SOURCE("kernels/canon.h", canon),
                                               SOURCE("kernels/vulkan/common.glsl", common),
                                               SOURCE("kernels/vulkan/fma.glsl", fma),
                                               SOURCE("kernels/vulkan/device_test.comp", device_test),
                                               SOURCE("kernels/vulkan/factors.glsl", factors),
                                               SOURCE("kernels/vulkan/lanes.comp", lanes),
                                               SOURCE("kernels/vulkan/tiles.comp", tiles),
                                               SOURCE("kernels/vulkan/product.comp", product),
                                               SOURCE("kernels/vulkan/segments.comp", segments),
                                               SOURCE("kernels/vulkan/add_segments.comp", add_segments),
                                               SOURCE("kernels/vulkan/elements.comp", elements),
                                               SOURCE("kernels/vulkan/rows.comp", rows),
                                               SOURCE("kernels/vulkan/packed.glsl", packed),
                                               SOURCE("kernels/vulkan/unpack.comp", unpack),
                                               SOURCE("kernels/vulkan/integers.comp", integers),
                                               SOURCE("kernels/vulkan/quantize.comp", quantize),
                                               SOURCE("kernels/vulkan/q_out.glsl", q_out),
                                               SOURCE("kernels/vulkan/q_factors.glsl", q_factors),
                                               SOURCE("kernels/vulkan/q_plain.comp", q_plain),
                                               SOURCE("kernels/vulkan/q_lanes.comp", q_lanes),
                                               SOURCE("kernels/vulkan/q_tiles.comp", q_tiles),
                                               SOURCE("kernels/vulkan/q_elements.comp", q_elements),
                                               SOURCE("kernels/vulkan/q_pack.comp", q_pack),
                                               SOURCE("kernels/vulkan/q_images.comp", q_images),
                                               SOURCE("kernels/vulkan/q_copy.comp", q_copy),
                                               {NULL, NULL, NULL}};

/* A product by each shape of tile. */
#define SHAPE(product, shape, file, define)                                                                                                \
    [KERNEL_TILES + (product)*VULKAN_SHAPES + (shape)] = {file, define, vulkan_shapes[shape].spec, 1, NULL}
#define LANES(product, define)                                                                                                             \
    SHAPE(product, SHAPE_LANES_ROW, "kernels/vulkan/lanes.comp", define),                                                                  \
        SHAPE(product, SHAPE_LANES_LOW, "kernels/vulkan/lanes.comp", define),                                                              \
        SHAPE(product, SHAPE_LANES, "kernels/vulkan/lanes.comp", define),                                                                  \
        SHAPE(product, SHAPE_LANES_WIDE, "kernels/vulkan/lanes.comp", define)
#define TILES(product, define)                                                                                                             \
    LANES(product, define), SHAPE(product, SHAPE_TILES_LOW, "kernels/vulkan/tiles.comp", define),                                          \
        SHAPE(product, SHAPE_TILES, "kernels/vulkan/tiles.comp", define),                                                                  \
        SHAPE(product, SHAPE_TILES_LARGE, "kernels/vulkan/tiles.comp", define)

const struct vulkan_shader vulkan_shaders[KERNELS] = {
    [KERNEL_GEMM] = {"kernels/vulkan/product.comp", "GEMM", NULL, 1, NULL},
    [KERNEL_CONV2D] = {"kernels/vulkan/product.comp", "CONV2D", NULL, 1, NULL},
    [KERNEL_CONV2D_DX] = {"kernels/vulkan/product.comp", "CONV2D_DX", NULL, 1, NULL},
    [KERNEL_CONV2D_DW] = {"kernels/vulkan/segments.comp", "CONV2D_DW", NULL, 1, NULL},
    [KERNEL_BIAS_GRAD] = {"kernels/vulkan/segments.comp", "BIAS_GRAD", NULL, 1, NULL},
    [KERNEL_ADD_SEGMENTS] = {"kernels/vulkan/add_segments.comp", "", NULL, 1, NULL},
    [KERNEL_ACT + LB_LINEAR] = {"kernels/vulkan/elements.comp", "ACT=linear", NULL, 0, NULL},
    [KERNEL_ACT + LB_RELU] = {"kernels/vulkan/elements.comp", "ACT=relu", NULL, 0, NULL},
    [KERNEL_ACT + LB_SCALED_RELU] = {"kernels/vulkan/elements.comp", "ACT=scaled_relu", NULL, 0, NULL},
    [KERNEL_ACT + LB_SIGMOID] = {"kernels/vulkan/elements.comp", "ACT=sigmoid", NULL, 0, NULL},
    [KERNEL_ACT + LB_TANH] = {"kernels/vulkan/elements.comp", "ACT=tanh_", NULL, 0, NULL},
    [KERNEL_ACT_GRAD + LB_LINEAR] = {"kernels/vulkan/elements.comp", "ACT_GRAD=linear", NULL, 0, NULL},
    [KERNEL_ACT_GRAD + LB_RELU] = {"kernels/vulkan/elements.comp", "ACT_GRAD=relu", NULL, 0, NULL},
    [KERNEL_ACT_GRAD + LB_SCALED_RELU] = {"kernels/vulkan/elements.comp", "ACT_GRAD=scaled_relu", NULL, 0, NULL},
    [KERNEL_ACT_GRAD + LB_SIGMOID] = {"kernels/vulkan/elements.comp", "ACT_GRAD=sigmoid", NULL, 0, NULL},
    [KERNEL_ACT_GRAD + LB_TANH] = {"kernels/vulkan/elements.comp", "ACT_GRAD=tanh_", NULL, 0, NULL},
    [KERNEL_SOFTMAX] = {"kernels/vulkan/rows.comp", "SOFTMAX", NULL, 0, NULL},
    [KERNEL_SOFTMAX_GRAD] = {"kernels/vulkan/rows.comp", "SOFTMAX_GRAD", NULL, 0, NULL},
    [KERNEL_CROSS_ENTROPY] = {"kernels/vulkan/rows.comp", "CROSS_ENTROPY", NULL, 0, NULL},
    [KERNEL_MSE + LB_MEAN] = {"kernels/vulkan/rows.comp", "MSE", NULL, 0, NULL},
    [KERNEL_MSE + LB_HALF] = {"kernels/vulkan/rows.comp", "MSE HALF", NULL, 0, NULL},
    [KERNEL_AMAX] = {"kernels/vulkan/quantize.comp", "AMAX", NULL, 0, NULL},
    [KERNEL_SCALES] = {"kernels/vulkan/quantize.comp", "SCALES", NULL, 0, NULL},
    [KERNEL_APPLY] = {"kernels/vulkan/quantize.comp", "APPLY", NULL, 0, NULL},
    [KERNEL_BYTES] = {"kernels/vulkan/quantize.comp", "BYTES", NULL, 0, NULL},
    [KERNEL_Q_TABLE] = {"kernels/vulkan/q_elements.comp", "TABLE", NULL, 0, NULL},
    [KERNEL_Q_BINARY] = {"kernels/vulkan/q_elements.comp", "BINARY", NULL, 0, NULL},
    [KERNEL_Q_REQUANTIZE] = {"kernels/vulkan/q_elements.comp", "REQUANTIZE", NULL, 0, NULL},
    [KERNEL_Q_QUANTIZE] = {"kernels/vulkan/q_elements.comp", "QUANTIZE", NULL, 0, NULL},
    [KERNEL_Q_DEQUANTIZE] = {"kernels/vulkan/q_elements.comp", "DEQUANTIZE", NULL, 0, NULL},
    [KERNEL_Q_COPY] = {"kernels/vulkan/q_copy.comp", "", NULL, 0, NULL},
    [KERNEL_Q_PACK_QUADS] = {"kernels/vulkan/q_pack.comp", "QUADS", NULL, 0, NULL},
    [KERNEL_Q_PACK_COLUMNS] = {"kernels/vulkan/q_pack.comp", "COLUMNS", NULL, 0, NULL},
    [KERNEL_Q_POOL] = {"kernels/vulkan/q_images.comp", "POOL", NULL, 0, NULL},
    [KERNEL_Q_POOL + 1] = {"kernels/vulkan/q_images.comp", "POOL QUADS", NULL, 0, NULL},
    [KERNEL_Q_IM2COL] = {"kernels/vulkan/q_images.comp", "IM2COL", NULL, 0, NULL},
    [KERNEL_Q_IM2COL + 1] = {"kernels/vulkan/q_images.comp", "IM2COL QUADS", NULL, 0, NULL},
    [KERNEL_Q_COL2IM] = {"kernels/vulkan/q_images.comp", "COL2IM", NULL, 0, NULL},
    [KERNEL_Q_COL2IM + 1] = {"kernels/vulkan/q_images.comp", "COL2IM QUADS", NULL, 0, NULL},
    [KERNEL_DEVICE_TEST] = {"kernels/vulkan/device_test.comp", "", NULL, 0, NULL},
    [KERNEL_FUNCTION_TEST] = {"kernels/vulkan/device_test.comp", "FUNCTIONS", NULL, 0, NULL},
    [KERNEL_SGD] = {"kernels/vulkan/elements.comp", "SGD", NULL, 0, NULL},
    [KERNEL_SGD_MOMENTUM] = {"kernels/vulkan/elements.comp", "SGD MOMENTUM", NULL, 0, NULL},
    TILES(PRODUCT_GEMM, "GEMM"),
    TILES(PRODUCT_CONV2D, "CONV2D"),
    TILES(PRODUCT_CONV2D_DX, "CONV2D_DX"),
    TILES(PRODUCT_CONV2D_DW, "CONV2D_DW"),
    LANES(PRODUCT_GEMM_NT, "GEMM LEFT_BY_TERMS RIGHT_BY_TERMS"),
    LANES(PRODUCT_GEMM_NN, "GEMM LEFT_BY_TERMS RIGHT_BY_COLUMNS"),
    LANES(PRODUCT_GEMM_TN, "GEMM RIGHT_BY_COLUMNS"),
};
