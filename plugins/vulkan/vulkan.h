/* SPDX-License-Identifier: MIT */
/* vulkan.h - what the files of this plugin share.
 *
 *   vulkan.c            the backend's table: probe, open, close, info
 *   vulkan_load.c       the libraries' functions
 *   vulkan_device.c     the instance, the choice of a device, its limits
 *   vulkan_memory.c     buffers, the ring that writes go through
 *   vulkan_record.c     command buffers: barriers, dispatches, submission, recorded lists
 *   vulkan_pipeline.c   compute pipelines, made when first needed;  vulkan_table.c  the table of shaders, and their text
 *   vulkan_compile.c    GLSL to SPIR-V through shaderc;  vulkan_cache.c  on disk;  vulkan_spirv.c  makes it exact
 *   vulkan_test.c       the test of the device's arithmetic
 *   vulkan_ops.c, vulkan_sums.c, vulkan_gemm.c, vulkan_conv.c   the ops;  vulkan_tiles.c  which tile a product gets
 *   vulkan_weights.c, vulkan_codes.c   weights that stay packed;  vulkan_int8.c  integer products with them;  vulkan_quantize.c  encoding
 *   vulkan_q.h, vulkan_q_*.c   integer tensors
 *
 * A dispatch binds up to four storage buffers (bindings 0 to 3 of set 0) and pushes up to 128 bytes: four element offsets, one for each binding,
 * then the arguments of the shader. A shader takes its place in a one-dimensional row of work groups from kernels/vulkan/common.glsl. */
#ifndef VULKAN_H
#define VULKAN_H

#include "core/plugin.h"
#include "plugins/vulkan/vulkan_api.h"

enum {
    VULKAN_OPERANDS = 4, /* storage buffers of a dispatch: what every device allows */
    VULKAN_ARGS = 28,    /* words of a shader's own arguments: with the offsets 128 bytes, what every device allows */
    VULKAN_SPEC = 8,     /* specialization constants, ids 0 to 7; 0 is the size of a work group */
    VULKAN_PACKED = 7,   /* words of PACKED_ARGUMENTS (kernels/vulkan/common.glsl) */
    VULKAN_BATCHES = 4,  /* command buffers in turn */
    VULKAN_SEGMENT = 256,
    VULKAN_TERMS = 200 * VULKAN_SEGMENT /* most terms that an invocation gets: llvmpipe ends its loops after 65535 turns */
};

/* How a shader makes canon_fma. */
enum vulkan_fma { VULKAN_FMA_FUSED, /* fma() */ VULKAN_FMA_FLOAT64 /* kernels/vulkan/fma.glsl */ };

/* Products by tiles, and their tiles: of lanes.comp (CPUs) and tiles.comp (GPUs), LOW for few rows, ROW for one. */
enum vulkan_product {
    PRODUCT_GEMM,
    PRODUCT_CONV2D,
    PRODUCT_CONV2D_DX,
    PRODUCT_CONV2D_DW,
    PRODUCT_GEMM_NT, /* a matrix product whose factors are read four neighbours at a time, by lanes.comp: a as it is, b transposed */
    PRODUCT_GEMM_NN,
    PRODUCT_GEMM_TN,
    VULKAN_PRODUCTS
};
enum vulkan_tile_shape {
    SHAPE_LANES_ROW,
    SHAPE_LANES_LOW,
    SHAPE_LANES,
    SHAPE_LANES_WIDE,
    SHAPE_TILES_LOW,
    SHAPE_TILES,
    SHAPE_TILES_LARGE,
    VULKAN_SHAPES
};

/* The rows of the table in vulkan_table.c. From KERNEL_MADE on: shaders that are made as they are needed (vulkan_made). */
enum vulkan_kernel {
    KERNEL_GEMM,
    KERNEL_CONV2D,
    KERNEL_CONV2D_DX,
    KERNEL_CONV2D_DW,
    KERNEL_BIAS_GRAD,
    KERNEL_ADD_SEGMENTS,
    KERNEL_ACT, /* one for each of enum lb_act */
    KERNEL_ACT_LAST = KERNEL_ACT + LB_TANH,
    KERNEL_ACT_GRAD,
    KERNEL_ACT_GRAD_LAST = KERNEL_ACT_GRAD + LB_TANH,
    KERNEL_SOFTMAX,
    KERNEL_SOFTMAX_GRAD,
    KERNEL_CROSS_ENTROPY,
    KERNEL_MSE, /* one for each of enum lb_reduction */
    KERNEL_MSE_LAST = KERNEL_MSE + LB_HALF,
    KERNEL_SGD,
    KERNEL_SGD_MOMENTUM,
    KERNEL_AMAX,
    KERNEL_SCALES,
    KERNEL_APPLY,
    KERNEL_BYTES,
    KERNEL_Q_TABLE,
    KERNEL_Q_BINARY,
    KERNEL_Q_REQUANTIZE,
    KERNEL_Q_QUANTIZE,
    KERNEL_Q_DEQUANTIZE,
    KERNEL_Q_COPY,
    KERNEL_Q_PACK_QUADS,
    KERNEL_Q_PACK_COLUMNS,
    KERNEL_Q_POOL, /* one at a time, and by quads */
    KERNEL_Q_POOL_LAST,
    KERNEL_Q_IM2COL,
    KERNEL_Q_IM2COL_LAST,
    KERNEL_Q_COL2IM,
    KERNEL_Q_COL2IM_LAST,
    KERNEL_DEVICE_TEST,
    KERNEL_FUNCTION_TEST,
    KERNEL_TILES, /* enum vulkan_product x enum vulkan_tile_shape */
    KERNEL_TILES_LAST = KERNEL_TILES + VULKAN_PRODUCTS * VULKAN_SHAPES - 1,
    KERNELS,
    KERNEL_MADE
};

/* What the device is and allows. */
struct vulkan_traits {
    char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE];
    char text[800]; /* name and driver */
    char isa[64];
    uint32_t api, type;        /* VkPhysicalDeviceType */
    VkDeviceSize range, align; /* of a storage buffer binding, bytes */
    size_t reach;              /* most elements that one binding of a dispatch reaches, wherever it begins */
    size_t terms;              /* most terms of a sum that one invocation makes */
    uint32_t group;            /* invocations of a work group of the simple kernels */
    uint32_t groups[3];        /* most work groups of a dispatch */
    uint32_t group_most;       /* most invocations of a work group */
    uint32_t group_size[3];
    uint32_t shared;                                      /* bytes of shared memory of a work group */
    uint32_t subgroup, subgroup_operations;               /* its invocations; VkSubgroupFeatureFlags */
    int float64, int64, push_descriptors, float_controls; /* float_controls: by an extension */
    int dot;                                              /* products of packed bytes, by an extension */
    VkPhysicalDeviceFloatControlsProperties controls;     /* all 0 where the device has none */
};

/* Device memory: lb_buf.ptr. The epochs are those of vulkan_record.c. */
struct vulkan_buffer {
    VkBuffer buffer;
    VkDeviceMemory memory;
    VkDeviceSize bytes;
    uint64_t read, written;
    void *mapped; /* where the host reads and writes it; NULL where it cannot */
};

/* Descriptor sets for devices without push descriptors: pools that are filled one after the other. */
struct vulkan_sets {
    VkDescriptorPool *pool;
    size_t n, at;
    uint32_t used; /* of pool[at] */
};

/* A command buffer, and what runs with it. */
struct vulkan_commands {
    VkCommandPool pool;
    VkCommandBuffer buffer;
    struct vulkan_sets sets;
    enum vulkan_kernel bound; /* the pipeline; KERNELS: none */
    double work;              /* multiplications in it, about */
};

struct vulkan_batch {
    struct vulkan_commands c;
    VkFence fence;
    enum { BATCH_IDLE, BATCH_OPEN, BATCH_SUBMITTED } state;
    uint64_t ring_end; /* of the ring, when it was submitted */
};

struct vulkan_list {
    struct vulkan_commands c;
    int failed;
};

struct vulkan_ring {
    struct vulkan_buffer b;
    uint64_t head, tail; /* bytes given out, bytes given back */
};

struct vulkan_scratch {
    struct vulkan_buffer b;
    struct vulkan_scratch *older; /* lists may still name it */
};

struct vulkan_compiler {
    struct shaderc_compiler *compiler;
    unsigned char common[32]; /* SHA-256 of all that every shader depends on */
};

struct vulkan_device {
    const struct lb_host *host;
    struct vulkan_api vk;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    int family; /* of queues */
    struct vulkan_traits t;
    VkPhysicalDeviceMemoryProperties memory;
    int exact;           /* 0: host->numerics is LB_FAST */
    enum vulkan_fma fma; /* vulkan_device_test decides */
    char error[512];     /* the last one that was logged */
    char loss[512];      /* why it was lost */
    int lost;            /* nothing can be run any more */
    int hung;            /* no answer came in time: objects may be in use for ever */
    int careless;        /* a test wants no barriers */
    uint64_t waits;      /* so many more until a test loses the device; 0: never */
    char complaint[400]; /* the first of the validation layer; empty: none */
    uint32_t timeout;    /* seconds */

    struct vulkan_batch batch[VULKAN_BATCHES];
    size_t current;
    struct vulkan_list *recording; /* NULL: ops go into the current batch */
    uint64_t epoch;
    int barrier; /* the next command waits for all before it */
    struct vulkan_ring ring;
    struct vulkan_buffer back; /* what reads go through */
    struct vulkan_scratch *scratch;

    struct vulkan_compiler shaders;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline[KERNELS];
    struct vulkan_made *made; /* grows */
    size_t n_made, max_made;
};

/* ---- Errors: each logs and returns -1 ---- */

int vulkan_fail(struct vulkan_device *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* 0 where r is a success; else logs what failed, and marks a lost device. */
int vulkan_check(struct vulkan_device *d, const char *what, VkResult r);
void vulkan_lose(struct vulkan_device *d);    /* for the reason that was logged last */
int vulkan_is_lost(struct vulkan_device *d);  /* 0, or -1 with the reason once more */
int vulkan_is_clean(struct vulkan_device *d); /* 0, or -1 where the validation layer complained */
const char *vulkan_result_name(VkResult r);

/* A setting for tests, from LOWBIT_VULKAN_TEST="name=number,...": its number where it is given, else `otherwise`.
 *     range, groups      the device's limits, lowered: bytes of a binding, work groups along each axis
 *     reach, terms       ops are cut as if a binding reached so many elements, and an invocation made so many terms (a multiple of 256)
 *     ring               bytes of the ring that writes go through
 *     push=0, float64=0  the device has no push descriptors, no binary64;  unfused=1  its fma() is not used even if it is fused
 *     mapped=0           device memory is not read in place where it could be
 *     lose=N, timeout=S  the device is lost at the N-th wait; seconds until a wait is given up
 *     barriers=0         none is recorded, for the validation layer to find;  compile=1  every shader is compiled at once */
uint64_t vulkan_test_setting(const char *name, uint64_t otherwise);

/* ---- Libraries and devices ---- */

int vulkan_load(struct vulkan_api *vk, char *why, size_t why_size);
void vulkan_load_instance(struct vulkan_api *vk, VkInstance instance);
void vulkan_load_device(struct vulkan_api *vk, VkDevice device);
void vulkan_keep_driver(const struct vulkan_api *vk, VkDevice device); /* loaded, after this device too */
void vulkan_unload(struct vulkan_api *vk);

/* Makes the instance and chooses the device: discrete, integrated, virtual, other, CPU, or what host->device names. -1 with the reason. */
int vulkan_choose(struct vulkan_device *d, char *why, size_t why_size);
int vulkan_inspect(struct vulkan_device *d, char *why, size_t why_size); /* what it is and has; -1: it lacks what any use needs */
int vulkan_open_device(struct vulkan_device *d, char *why, size_t why_size);
void vulkan_close_device(struct vulkan_device *d); /* what these made */

/* Tests the device's arithmetic and chooses d->fma; -1 where it cannot be exact, with the property that it lacks. */
int vulkan_device_test(struct vulkan_device *d, char *why, size_t why_size);

/* ---- Memory ---- */

enum vulkan_place { PLACE_DEVICE, PLACE_UPLOAD, PLACE_READBACK };

int vulkan_buffer_create(struct vulkan_device *d, enum vulkan_place place, VkDeviceSize bytes, struct vulkan_buffer *b);
void vulkan_buffer_destroy(struct vulkan_device *d, struct vulkan_buffer *b);
/* Device memory of at least so many bytes for partial results, contents undefined; NULL after a log message. */
struct vulkan_buffer *vulkan_scratch_buffer(struct vulkan_device *d, size_t bytes);
int vulkan_staging_open(struct vulkan_device *d);
void vulkan_staging_close(struct vulkan_device *d);

int vulkan_buf_create(void *dev, struct lb_buf *b);
void vulkan_buf_destroy(void *dev, struct lb_buf *b);
int vulkan_buf_write(void *dev, struct lb_buf *b, size_t offset, const void *data, size_t bytes);
int vulkan_buf_read(void *dev, const struct lb_buf *b, size_t offset, void *data, size_t bytes);

/* ---- Commands ---- */

int vulkan_record_open(struct vulkan_device *d);
void vulkan_record_close(struct vulkan_device *d);

/* One operand of a dispatch: n elements of 4 bytes from `at` on. buffer == NULL: absent. */
struct vulkan_operand {
    struct vulkan_buffer *buffer;
    size_t at, n;
    int writes;
};

struct vulkan_dispatch {
    enum vulkan_kernel kernel;
    struct vulkan_operand operand[VULKAN_OPERANDS]; /* binding by binding */
    const void *args;                               /* pushed behind the offsets */
    size_t args_bytes;
    size_t groups; /* work groups */
    double work;   /* multiplications, about */
};

int vulkan_dispatch(struct vulkan_device *d, const struct vulkan_dispatch *c);

/* Opens the command buffer that commands go to now; NULL after a log message. */
struct vulkan_commands *vulkan_commands(struct vulkan_device *d);
/* Waits, in the command buffer, for earlier commands where this one needs it. */
void vulkan_access(struct vulkan_device *d, struct vulkan_commands *c, struct vulkan_buffer *const *read, size_t n_read,
                   struct vulkan_buffer *const *written, size_t n_written);
int vulkan_submit(struct vulkan_device *d);                     /* what is recorded so far */
int vulkan_finish(struct vulkan_device *d);                     /* and waits for all of it */
int vulkan_wait_oldest(struct vulkan_device *d, int *was_none); /* for one submission */
int vulkan_sync(void *dev);
void *vulkan_record(void *dev);
int vulkan_record_end(void *dev, void *list);
int vulkan_replay(void *dev, void *list);
void vulkan_record_free(void *dev, void *list);

/* ---- Shaders ---- */

/* A file that is part of the plugin; its name is its path in the source tree. */
struct vulkan_source {
    const char *name, *begin, *end;
};
extern const struct vulkan_source vulkan_sources[]; /* ends with a NULL name */

/* A shader: a file with definitions, and its specialization constants; without them constant 0 is the device's `group`. */
struct vulkan_shader {
    const char *file, *defines; /* "NAME=VALUE NAME ..." */
    const uint32_t *spec;
    int is_sum;       /* of products: see vulkan_is_loose */
    const char *text; /* what it includes as lb_codec.glsl, or NULL */
};
extern const struct vulkan_shader vulkan_shaders[KERNELS];

/* A shader that is not in the table, and its pipeline; the strings are its own. */
struct vulkan_made {
    struct vulkan_shader shader;
    char *defines, *text;
    VkPipeline pipeline;
};

/* The kernel of a shader that is not in the table: the one that was made of the same file, definitions, constants and text, or a new one. `spec` must
 * stay. -1 after a log message. */
int vulkan_made(struct vulkan_device *d, const struct vulkan_shader *s, enum vulkan_kernel *k);
const struct vulkan_shader *vulkan_shader_of(const struct vulkan_device *d, enum vulkan_kernel k);

/* SPIR-V: words is the caller's to free with host->free. */
struct vulkan_spirv {
    uint32_t *words;
    size_t n;
};

/* The tiles of one shape: the constants of its shader, and how many rows and columns of outputs they have. */
struct vulkan_shape {
    uint32_t spec[VULKAN_SPEC];
    uint32_t tall, wide;
};
extern const struct vulkan_shape vulkan_shapes[VULKAN_SHAPES];

VkPipeline vulkan_pipeline(struct vulkan_device *d, enum vulkan_kernel k);              /* VK_NULL_HANDLE after a log message */
uint32_t vulkan_spec(const struct vulkan_device *d, enum vulkan_kernel k, uint32_t id); /* what a constant of that pipeline is */
int vulkan_pipelines_open(struct vulkan_device *d, char *why, size_t why_size);
int vulkan_pipelines_try_all(struct vulkan_device *d); /* compiles every shader of the table */
void vulkan_pipelines_close(struct vulkan_device *d);

int vulkan_compiler_open(struct vulkan_device *d, char *why, size_t why_size);
void vulkan_compiler_close(struct vulkan_device *d);
int vulkan_compile(struct vulkan_device *d, const struct vulkan_shader *s, struct vulkan_spirv *out);
/* Whether a driver may contract and reorder: only in sums of products, and where numerics are fast. The functions of canon.h add up rounding errors;
 * reordered they would be wrong in the second digit, not in the last. */
static inline int vulkan_is_loose(const struct vulkan_device *d, const struct vulkan_shader *s)
{
    return !d->exact && s->is_sum;
}

/* Decorates every operation NoContraction and asks for the modes of the exact arithmetic that the device has. */
int vulkan_spirv_exact(struct vulkan_device *d, struct vulkan_spirv *s);
/* Files of host->cache by key, a SHA-256. load: 0, or -1 where there is none, or none that is whole. */
int vulkan_cache_load(struct vulkan_device *d, const unsigned char key[32], struct vulkan_spirv *out);
void vulkan_cache_store(struct vulkan_device *d, const unsigned char key[32], const struct vulkan_spirv *s);

/* ---- Ops ---- */

/* n elements from element `from` of r on. */
struct vulkan_operand vulkan_in(struct lb_ref r, size_t from, size_t n);
struct vulkan_operand vulkan_out(struct lb_ref r, size_t from, size_t n);
size_t vulkan_groups(const struct vulkan_device *d, enum vulkan_kernel k, size_t invocations);

/* What kernels/vulkan/factors.glsl is told of a product left (m, k) right (k, n): outputs, terms k0 to k1 - 1. rest: of a matrix product the distances
 * of a's rows and columns, b's rows and columns, c's rows; otherwise c h w o kh kw stride pad oh ow. */
struct vulkan_factors {
    uint32_t m, n, k0, k1;
    uint32_t sample0; /* conv2d_dw: that the operands begin with */
    uint32_t has_bias, act;
    float alpha;
    uint32_t rest[10], packed[VULKAN_PACKED];
};

/* ---- Weights that stay packed: kernels/vulkan/packed.glsl ---- */

/* How codes become numbers: by a table, as a number of binary floating point, as an integer, by the codec's own text; as numbers that were stored
 * instead; or not at all. */
enum vulkan_form { FORM_TABLE, FORM_FLOAT, FORM_SIGNED, FORM_UNSIGNED, FORM_TEXT, FORM_NUMBERS, FORM_NONE };
struct vulkan_codes {
    enum vulkan_form form;
    uint32_t bits;                  /* 0: a block codec */
    uint32_t fraction, rebias, top; /* FLOAT: bits; what the exponent lacks of binary32's; the least magnitude that is infinite or NaN */
    uint32_t unit;                  /* SIGNED, UNSIGNED: biased exponent of what 1 is worth */
};
struct vulkan_codes vulkan_codes_of(const struct lb_codes *c);
/* Definitions for packed.glsl, with names that begin with `prefix`; how many characters. */
int vulkan_codes_define(const struct vulkan_codes *f, char prefix, char *text, size_t size);

/* Some rows of a weight matrix, as many as a binding reaches. */
struct vulkan_slab {
    struct lb_buf buf;
    size_t row, rows; /* its first one, and how many */
    uint32_t args[VULKAN_PACKED];
};

struct vulkan_weights {
    size_t rows, cols, block; /* block: columns that share a scale */
    uint32_t uses;
    int shift;         /* LB_USE_INT8: values times 2^shift are integers, */
    int dot;           /* signed bytes (1), unsigned ones (2), or neither (0) */
    char defines[300]; /* of the codec and its scales */
    char *text;        /* the codec's, or NULL */
    size_t n;
    struct vulkan_slab *slab;
};

void *vulkan_weights_create(void *dev, const struct lb_packed *p, uint32_t uses, size_t *bytes, char *why, size_t why_size);
void vulkan_weights_free(void *dev, void *w);
struct vulkan_operand vulkan_slab_operand(const struct vulkan_slab *s);
/* The kernel of shader `plain` with these weights for its factor "LEFT_PACKED" or "RIGHT_PACKED". */
int vulkan_packed_kernel(struct vulkan_device *d, const struct vulkan_weights *w, const struct vulkan_shader *plain, const char *side,
                         enum vulkan_kernel *k);

/* Activations as integers of 8 bits, in scratch memory: rows of `words` words; their scales, `per_row` a row, at element scales_at of the operand. */
struct vulkan_bytes {
    struct vulkan_operand all;
    size_t words, scales_at, per_row;
};

/* x (rows, cols) with a scale for `block` elements of a row, 0: a row. */
int vulkan_bytes(struct vulkan_device *d, struct lb_ref x, size_t rows, size_t cols, size_t block, struct vulkan_bytes *out);

/* Makes a product of all its terms by tiles: 1, 0 where they do not suit it or the device, -1 after a log message. conv2d_dw: segment after segment, the
 * sums (segments, m, n), without bias or activation. Operands: left, right, bias, result. w: the weights where they are packed (their slab is the operand,
 * its arguments are in f), else NULL. */
int vulkan_tiles(struct vulkan_device *d, enum vulkan_product product, const struct vulkan_operand operand[VULKAN_OPERANDS],
                 const struct vulkan_factors *f, const struct vulkan_weights *w);

int vulkan_can_lanes(const struct vulkan_device *d); /* what the shaders for CPUs need of subgroups */

int vulkan_gemm(void *dev, const struct lb_gemm *o);
int vulkan_conv2d(void *dev, const struct lb_conv2d *o);
int vulkan_gemm_packed(void *dev, const struct lb_gemm_packed *o);
int vulkan_conv2d_packed(void *dev, const struct lb_conv2d_packed *o);
int vulkan_gemm_int8(void *dev, const struct lb_gemm_packed *o);
int vulkan_conv2d_int8(void *dev, const struct lb_conv2d_packed *o);
void *vulkan_quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size);
void vulkan_quantizer_free(void *dev, void *q);
int vulkan_quantize(void *dev, const struct lb_quantize *o);
int vulkan_conv2d_dx(void *dev, const struct lb_conv2d_grad *o);
int vulkan_conv2d_dw(void *dev, const struct lb_conv2d_grad *o);
int vulkan_bias_grad(void *dev, const struct lb_bias_grad *o);
int vulkan_act(void *dev, const struct lb_act_op *o);
int vulkan_act_grad(void *dev, const struct lb_act_op *o);
int vulkan_softmax(void *dev, const struct lb_softmax *o);
int vulkan_softmax_grad(void *dev, const struct lb_softmax *o);
int vulkan_cross_entropy(void *dev, const struct lb_loss *o);
int vulkan_mse(void *dev, const struct lb_loss *o);
int vulkan_sgd(void *dev, const struct lb_sgd *o);

#endif
