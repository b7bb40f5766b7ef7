/* SPDX-License-Identifier: MIT */
/* vulkan.c - the backend for GPUs: forward, backward, loss and update on the device, with the bits of cpu_ref. */
#include "plugins/vulkan/vulkan.h"
#include "plugins/vulkan/vulkan_q.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int vulkan_fail(struct vulkan_device *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(d->error, sizeof d->error, format, args);
    va_end(args);
    d->host->log(d->host, LB_LOG_ERROR, d->error);
    return -1;
}

const char *vulkan_result_name(VkResult r)
{
    static const struct {
        VkResult r;
        const char *name;
    } names[] = {{VK_TIMEOUT, "time-out"},
                 {VK_ERROR_OUT_OF_HOST_MEMORY, "out of host memory"},
                 {VK_ERROR_OUT_OF_DEVICE_MEMORY, "out of device memory"},
                 {VK_ERROR_INITIALIZATION_FAILED, "initialization failed"},
                 {VK_ERROR_DEVICE_LOST, "device lost"},
                 {VK_ERROR_MEMORY_MAP_FAILED, "memory could not be mapped"},
                 {VK_ERROR_LAYER_NOT_PRESENT, "layer not present"},
                 {VK_ERROR_EXTENSION_NOT_PRESENT, "extension not present"},
                 {VK_ERROR_FEATURE_NOT_PRESENT, "feature not present"},
                 {VK_ERROR_INCOMPATIBLE_DRIVER, "incompatible driver"},
                 {VK_ERROR_TOO_MANY_OBJECTS, "too many objects"},
                 {VK_ERROR_INVALID_SHADER_NV, "invalid shader"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].r == r)
            return names[i].name;
    return r < 0 ? "unknown error" : "no error";
}

int vulkan_check(struct vulkan_device *d, const char *what, VkResult r)
{
    if (r >= 0)
        return 0;
    vulkan_fail(d, "%s: %s (%d) on %s", what, vulkan_result_name(r), (int)r, d->t.name);
    if (r == VK_ERROR_DEVICE_LOST)
        vulkan_lose(d);
    return -1;
}

int vulkan_is_clean(struct vulkan_device *d)
{
    return d->complaint[0] ? vulkan_fail(d, "the validation layer complained: %s", d->complaint) : 0;
}

void vulkan_lose(struct vulkan_device *d)
{
    if (!d->lost)
        memcpy(d->loss, d->error, sizeof d->loss);
    d->lost = 1;
}

int vulkan_is_lost(struct vulkan_device *d)
{
    return d->lost ? vulkan_fail(d, "the device was lost before: %s", d->loss) : 0;
}

static void close_device(void *dev)
{
    struct vulkan_device *d = dev;
    if (d->device) {
        vulkan_record_close(d);
        vulkan_staging_close(d);
        vulkan_pipelines_close(d);
    }
    vulkan_compiler_close(d);
    vulkan_close_device(d);
    d->host->free(d->host, d);
}

static uint32_t lower(const char *setting, uint32_t limit)
{
    const uint64_t wanted = vulkan_test_setting(setting, limit);
    return wanted < limit ? (uint32_t)wanted : limit;
}

/* Limits as small as a test wants them, so that the cuts are tried without gigabytes. `range` is what can be bound; with `reach` alone ops are
 * cut as if less could be. */
static void lower_limits(struct vulkan_traits *t)
{
    t->range = lower("range", (uint32_t)t->range);
    t->reach = lower("reach", (uint32_t)(t->range - (t->align - 4)) / 4);
    t->terms = lower("terms", VULKAN_TERMS);
    for (int i = 0; i < 3; i++)
        t->groups[i] = lower("groups", t->groups[i]);
}

/* Fused or not, for `isa`; all shaders at once where a test asks for it. */
static int settle(struct vulkan_device *d, char *why, size_t why_size)
{
    struct vulkan_traits *t = &d->t;
    if (d->exact && vulkan_device_test(d, why, why_size))
        return -1;
    snprintf(t->isa, sizeof t->isa, "vulkan %u.%u fma=%s%s", VK_API_VERSION_MAJOR(t->api), VK_API_VERSION_MINOR(t->api),
             !d->exact                    ? "any"
             : d->fma == VULKAN_FMA_FUSED ? "fused"
                                          : "float64",
             t->dot ? " dot=4x8" : "");
    lower_limits(t);
    return vulkan_test_setting("compile", 0) ? vulkan_pipelines_try_all(d) : 0;
}

/* NULL with the reason. */
static struct vulkan_device *open_all(const struct lb_host *h, char *why, size_t why_size)
{
    struct vulkan_device *d = h->alloc(h, sizeof *d);
    if (!d) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    *d = (struct vulkan_device){.host = h, .exact = h->numerics != LB_FAST};
    if (!vulkan_load(&d->vk, why, why_size) && !vulkan_choose(d, why, why_size) && !vulkan_inspect(d, why, why_size) &&
        !vulkan_open_device(d, why, why_size) && !vulkan_compiler_open(d, why, why_size) && !vulkan_pipelines_open(d, why, why_size) &&
        !vulkan_record_open(d) && !vulkan_staging_open(d) && !settle(d, why, why_size))
        return d;
    if (d->error[0])
        snprintf(why, why_size, "%s", d->error);
    close_device(d);
    return NULL;
}

/* Whether the device test may well fail: then it is a matter of the probe, and trials are skipped. Elsewhere it costs more than it tells. Drivers for
 * CPUs keep subnormals without offering a mode for it. */
static int is_doubtful(const struct vulkan_device *d)
{
    const struct vulkan_traits *t = &d->t;
    const int keeps_subnormals = t->controls.shaderDenormPreserveFloat32 || t->type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    return d->exact && !(t->float64 && t->int64 && keeps_subnormals);
}

static int probe(const struct lb_host *h, char *why, size_t why_size)
{
    struct vulkan_device d = {.host = h, .exact = h->numerics != LB_FAST};
    if (vulkan_load(&d.vk, why, why_size))
        return 0;
    const int r = vulkan_choose(&d, why, why_size) || vulkan_inspect(&d, why, why_size) || vulkan_open_device(&d, why, why_size);
    const int doubtful = !r && is_doubtful(&d);
    vulkan_close_device(&d);
    if (!doubtful)
        return !r;
    struct vulkan_device *opened = open_all(h, why, why_size);
    if (opened)
        close_device(opened);
    return opened != NULL;
}

static void *open_device(const struct lb_host *h, char *why, size_t why_size)
{
    return open_all(h, why, why_size);
}

static void info(void *dev, struct lb_device_info *out)
{
    const struct vulkan_device *d = dev;
    *out = (struct lb_device_info){.device = d->t.text, .isa = d->t.isa, .threads = 1, .fast = !d->exact};
}

static const struct lb_backend vulkan = {
    .base = {LB_ABI, LB_BACKEND, sizeof vulkan, "vulkan", "GPUs through Vulkan: exact, all on the device"},
    .exact = 1,
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .info = info,
    .buf_create = vulkan_buf_create,
    .buf_destroy = vulkan_buf_destroy,
    .buf_write = vulkan_buf_write,
    .buf_read = vulkan_buf_read,
    .sync = vulkan_sync,
    .gemm = vulkan_gemm,
    .conv2d = vulkan_conv2d,
    .conv2d_dx = vulkan_conv2d_dx,
    .conv2d_dw = vulkan_conv2d_dw,
    .bias_grad = vulkan_bias_grad,
    .act = vulkan_act,
    .act_grad = vulkan_act_grad,
    .softmax = vulkan_softmax,
    .softmax_grad = vulkan_softmax_grad,
    .cross_entropy = vulkan_cross_entropy,
    .mse = vulkan_mse,
    .sgd = vulkan_sgd,
    .record = vulkan_record,
    .record_end = vulkan_record_end,
    .replay = vulkan_replay,
    .record_free = vulkan_record_free,
    .weights_create = vulkan_weights_create,
    .weights_free = vulkan_weights_free,
    .gemm_packed = vulkan_gemm_packed,
    .conv2d_packed = vulkan_conv2d_packed,
    .gemm_int8 = vulkan_gemm_int8,
    .conv2d_int8 = vulkan_conv2d_int8,
    .quantizer_create = vulkan_quantizer_create,
    .quantizer_free = vulkan_quantizer_free,
    .quantize = vulkan_quantize,
    .q_weights_create = vulkan_q_weights_create,
    .q_weights_free = vulkan_q_weights_free,
    .q_dense = vulkan_q_dense,
    .q_conv2d = vulkan_q_conv2d,
    .q_gemm = vulkan_q_gemm,
    .q_table = vulkan_q_table,
    .q_binary = vulkan_q_binary,
    .q_pool = vulkan_q_pool,
    .q_copy = vulkan_q_copy,
    .q_im2col = vulkan_q_im2col,
    .q_col2im = vulkan_q_col2im,
    .q_requantize = vulkan_q_requantize,
    .q_quantize = vulkan_q_quantize,
    .q_dequantize = vulkan_q_dequantize,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&vulkan.base, NULL};
