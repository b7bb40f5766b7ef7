/* SPDX-License-Identifier: MIT */
/* vulkan_record.c - command buffers. Ops are recorded into the current batch, and submitted where somebody waits or enough work is together.
 *
 * Barriers: `epoch` counts them. A buffer remembers in which epoch it was last read and written; a command that conflicts with an access of the
 * present epoch puts a barrier before itself, which begins the next. A barrier waits for everything before it on the queue, in earlier command
 * buffers too, so the count goes on across submissions. A recorded list runs anywhere, so it begins with a barrier, and one follows it. */
#include "plugins/vulkan/vulkan.h"

#include <string.h>

enum { SETS = 256 /* of a descriptor pool */, TIMEOUT = 60 };
enum { STAGES = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT }; /* what commands are made of */
static const double slowest = 1e8;                                                       /* multiplications a second */
static const double enough = 2e9; /* multiplications after which a batch is submitted: a second or two of the slowest device */

/* ---- Descriptor sets, where they cannot be pushed ---- */

static int add_pool(struct vulkan_device *d, struct vulkan_sets *s)
{
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, SETS * VULKAN_OPERANDS};
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = SETS, .poolSizeCount = 1, .pPoolSizes = &size};
    VkDescriptorPool *grown = d->host->alloc(d->host, (s->n + 1) * sizeof *grown);
    if (!grown)
        return vulkan_fail(d, "out of memory");
    if (s->n)
        memcpy(grown, s->pool, s->n * sizeof *grown);
    d->host->free(d->host, s->pool);
    s->pool = grown;
    if (vulkan_check(d, "vkCreateDescriptorPool", d->vk.CreateDescriptorPool(d->device, &info, NULL, &s->pool[s->n])))
        return -1;
    s->n++;
    return 0;
}

static int next_set(struct vulkan_device *d, struct vulkan_sets *s, VkDescriptorSet *set)
{
    if (s->used == SETS) {
        s->at++;
        s->used = 0;
    }
    if (s->at == s->n && add_pool(d, s))
        return -1;
    s->used++;
    const VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = s->pool[s->at],
                                              .descriptorSetCount = 1,
                                              .pSetLayouts = &d->set_layout};
    return vulkan_check(d, "vkAllocateDescriptorSets", d->vk.AllocateDescriptorSets(d->device, &info, set));
}

static void reset_sets(struct vulkan_device *d, struct vulkan_sets *s)
{
    for (size_t i = 0; i < s->n; i++)
        d->vk.ResetDescriptorPool(d->device, s->pool[i], 0);
    s->at = s->used = 0;
}

/* ---- Command buffers ---- */

static int commands_create(struct vulkan_device *d, VkCommandBufferLevel level, struct vulkan_commands *c)
{
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .queueFamilyIndex = (uint32_t)d->family};
    *c = (struct vulkan_commands){.bound = KERNELS};
    if (vulkan_check(d, "vkCreateCommandPool", d->vk.CreateCommandPool(d->device, &pool, NULL, &c->pool))) {
        c->pool = VK_NULL_HANDLE;
        return -1;
    }
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = c->pool, .level = level, .commandBufferCount = 1};
    return vulkan_check(d, "vkAllocateCommandBuffers", d->vk.AllocateCommandBuffers(d->device, &info, &c->buffer));
}

static void commands_destroy(struct vulkan_device *d, struct vulkan_commands *c)
{
    for (size_t i = 0; i < c->sets.n && !d->hung; i++)
        d->vk.DestroyDescriptorPool(d->device, c->sets.pool[i], NULL);
    d->host->free(d->host, c->sets.pool);
    if (c->pool && !d->hung)
        d->vk.DestroyCommandPool(d->device, c->pool, NULL);
    *c = (struct vulkan_commands){.bound = KERNELS};
}

static int commands_begin(struct vulkan_device *d, struct vulkan_commands *c)
{
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    reset_sets(d, &c->sets);
    c->bound = KERNELS;
    c->work = 0;
    if (vulkan_check(d, "vkResetCommandPool", d->vk.ResetCommandPool(d->device, c->pool, 0)))
        return -1;
    return vulkan_check(d, "vkBeginCommandBuffer", d->vk.BeginCommandBuffer(c->buffer, &info));
}

int vulkan_record_open(struct vulkan_device *d)
{
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    d->timeout = (uint32_t)vulkan_test_setting("timeout", TIMEOUT);
    d->careless = !vulkan_test_setting("barriers", 1);
    d->waits = vulkan_test_setting("lose", 0);
    d->epoch = 1;
    for (size_t i = 0; i < VULKAN_BATCHES; i++) {
        struct vulkan_batch *b = &d->batch[i];
        if (commands_create(d, VK_COMMAND_BUFFER_LEVEL_PRIMARY, &b->c))
            return -1;
        if (vulkan_check(d, "vkCreateFence", d->vk.CreateFence(d->device, &fence, NULL, &b->fence))) {
            b->fence = VK_NULL_HANDLE;
            return -1;
        }
    }
    return 0;
}

void vulkan_record_close(struct vulkan_device *d)
{
    if (!d->hung)
        d->vk.DeviceWaitIdle(d->device); /* returns at once where the device is lost */
    for (size_t i = 0; i < VULKAN_BATCHES; i++) {
        commands_destroy(d, &d->batch[i].c);
        if (d->batch[i].fence && !d->hung)
            d->vk.DestroyFence(d->device, d->batch[i].fence, NULL);
    }
}

/* ---- Submission ---- */

/* What a batch may take: some time for itself, and its work on a very slow device. */
static uint64_t patience(const struct vulkan_device *d, const struct vulkan_batch *b)
{
    return d->timeout ? (uint64_t)((d->timeout + b->c.work / slowest) * 1e9) : 0;
}

static int wait_for(struct vulkan_device *d, struct vulkan_batch *b)
{
    VkResult r = d->vk.WaitForFences(d->device, 1, &b->fence, VK_TRUE, patience(d, b));
    if (d->waits && !--d->waits)
        r = VK_ERROR_DEVICE_LOST;
    if (r == VK_TIMEOUT) {
        vulkan_fail(d, "time-out: %s did not answer within %u s", d->t.name, (unsigned)(patience(d, b) / 1000000000u));
        vulkan_lose(d);
        d->hung = 1;
        return -1;
    }
    if (vulkan_check(d, "vkWaitForFences", r) || vulkan_check(d, "vkResetFences", d->vk.ResetFences(d->device, 1, &b->fence)))
        return -1;
    b->state = BATCH_IDLE;
    d->ring.tail = b->ring_end;
    return 0;
}

/* The batches are used in turn, so the first submitted one from the current on is the oldest. */
int vulkan_wait_oldest(struct vulkan_device *d, int *was_none)
{
    *was_none = 0;
    if (vulkan_is_lost(d))
        return -1;
    for (size_t i = 0; i < VULKAN_BATCHES; i++) {
        struct vulkan_batch *b = &d->batch[(d->current + i) % VULKAN_BATCHES];
        if (b->state == BATCH_SUBMITTED)
            return wait_for(d, b);
    }
    *was_none = 1;
    return 0;
}

struct vulkan_commands *vulkan_commands(struct vulkan_device *d)
{
    struct vulkan_batch *b = &d->batch[d->current];
    if (vulkan_is_lost(d))
        return NULL;
    if (d->recording)
        return &d->recording->c;
    if (b->state == BATCH_SUBMITTED && wait_for(d, b))
        return NULL;
    if (b->state == BATCH_IDLE && commands_begin(d, &b->c))
        return NULL;
    b->state = BATCH_OPEN;
    return &b->c;
}

/* The host sees what the device wrote only behind such a barrier. */
static void show_host(const struct vulkan_device *d, const struct vulkan_commands *c)
{
    const VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                 .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                 .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    d->vk.CmdPipelineBarrier(c->buffer, STAGES, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &all, 0, NULL, 0, NULL);
}

int vulkan_submit(struct vulkan_device *d)
{
    struct vulkan_batch *b = &d->batch[d->current];
    if (vulkan_is_lost(d))
        return -1;
    if (b->state != BATCH_OPEN)
        return 0;
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &b->c.buffer};
    show_host(d, &b->c);
    b->state = BATCH_IDLE; /* unless it is submitted */
    if (vulkan_check(d, "vkEndCommandBuffer", d->vk.EndCommandBuffer(b->c.buffer)) ||
        vulkan_check(d, "vkQueueSubmit", d->vk.QueueSubmit(d->queue, 1, &info, b->fence)))
        return -1;
    b->state = BATCH_SUBMITTED;
    b->ring_end = d->ring.head;
    d->current = (d->current + 1) % VULKAN_BATCHES;
    return 0;
}

int vulkan_finish(struct vulkan_device *d)
{
    int none = 0;
    if (vulkan_submit(d))
        return -1;
    while (!none)
        if (vulkan_wait_oldest(d, &none))
            return -1;
    return vulkan_is_clean(d);
}

int vulkan_sync(void *dev)
{
    return vulkan_finish(dev);
}

/* ---- Commands ---- */

static void barrier(struct vulkan_device *d, const struct vulkan_commands *c)
{
    const VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                 .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                 .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                                                  VK_ACCESS_TRANSFER_WRITE_BIT};
    d->vk.CmdPipelineBarrier(c->buffer, STAGES, STAGES, 0, 1, &all, 0, NULL, 0, NULL);
    d->epoch++;
    d->barrier = 0;
}

void vulkan_access(struct vulkan_device *d, struct vulkan_commands *c, struct vulkan_buffer *const *read, size_t n_read,
                   struct vulkan_buffer *const *written, size_t n_written)
{
    int needed = d->barrier;
    for (size_t i = 0; i < n_read; i++)
        needed |= read[i]->written == d->epoch;
    for (size_t i = 0; i < n_written; i++)
        needed |= written[i]->written == d->epoch || written[i]->read == d->epoch;
    if (needed && !d->careless)
        barrier(d, c);
    for (size_t i = 0; i < n_read; i++)
        read[i]->read = d->epoch;
    for (size_t i = 0; i < n_written; i++)
        written[i]->written = d->epoch;
}

/* Where the operands lie: a binding begins on the device's alignment, and the rest of the way is pushed. */
struct bindings {
    VkDescriptorBufferInfo info[VULKAN_OPERANDS];
    uint32_t words[VULKAN_OPERANDS + VULKAN_ARGS];
};

static int bind_operand(struct vulkan_device *d, const struct vulkan_operand *o, VkDescriptorBufferInfo *info, uint32_t *rest)
{
    const VkDeviceSize at = (VkDeviceSize)o->at * 4, from = at / d->t.align * d->t.align, range = at - from + (VkDeviceSize)o->n * 4;
    if (o->n > d->t.range / 4 || range > d->t.range)
        return vulkan_fail(d, "an operand of %zu elements cannot be cut, and %s binds at most %llu bytes (maxStorageBufferRange)", o->n,
                           d->t.name, (unsigned long long)d->t.range);
    if (from + range > o->buffer->bytes)
        return vulkan_fail(d, "elements %zu to %zu of a buffer of %llu", o->at, o->at + o->n, (unsigned long long)o->buffer->bytes / 4);
    *info = (VkDescriptorBufferInfo){o->buffer->buffer, from, range};
    *rest = (uint32_t)((at - from) / 4);
    return 0;
}

static int bind_all(struct vulkan_device *d, const struct vulkan_dispatch *c, struct bindings *b)
{
    int some = -1;
    for (int i = 0; i < VULKAN_OPERANDS; i++) {
        b->words[i] = 0;
        if (!c->operand[i].buffer || !c->operand[i].n)
            continue;
        some = i;
        if (bind_operand(d, &c->operand[i], &b->info[i], &b->words[i]))
            return -1;
    }
    if (some < 0 || c->args_bytes > sizeof b->words - VULKAN_OPERANDS * sizeof *b->words)
        return vulkan_fail(d, "a dispatch without an operand, or with too many arguments");
    for (int i = 0; i < VULKAN_OPERANDS; i++) /* what a shader does not read is bound all the same */
        if (!c->operand[i].buffer || !c->operand[i].n)
            b->info[i] = b->info[some];
    memcpy(b->words + VULKAN_OPERANDS, c->args, c->args_bytes);
    return 0;
}

static void access_all(struct vulkan_device *d, struct vulkan_commands *c, const struct vulkan_operand *o)
{
    struct vulkan_buffer *read[VULKAN_OPERANDS], *written[VULKAN_OPERANDS];
    size_t n_read = 0, n_written = 0;
    for (int i = 0; i < VULKAN_OPERANDS; i++) {
        if (!o[i].buffer || !o[i].n)
            continue;
        if (o[i].writes)
            written[n_written++] = o[i].buffer;
        else
            read[n_read++] = o[i].buffer;
    }
    vulkan_access(d, c, read, n_read, written, n_written);
}

static int set_descriptors(struct vulkan_device *d, struct vulkan_commands *c, const struct bindings *b)
{
    VkDescriptorSet set = VK_NULL_HANDLE;
    if (!d->t.push_descriptors && next_set(d, &c->sets, &set))
        return -1;
    VkWriteDescriptorSet write[VULKAN_OPERANDS];
    for (uint32_t i = 0; i < VULKAN_OPERANDS; i++)
        write[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                          .dstSet = set,
                                          .dstBinding = i,
                                          .descriptorCount = 1,
                                          .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                          .pBufferInfo = &b->info[i]};
    if (d->t.push_descriptors) {
        d->vk.CmdPushDescriptorSetKHR(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, d->layout, 0, VULKAN_OPERANDS, write);
        return 0;
    }
    d->vk.UpdateDescriptorSets(d->device, VULKAN_OPERANDS, write, 0, NULL);
    d->vk.CmdBindDescriptorSets(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, d->layout, 0, 1, &set, 0, NULL);
    return 0;
}

/* The row of work groups as a box that the device allows; common.glsl makes a row of it again. */
static int dispatch_groups(struct vulkan_device *d, const struct vulkan_commands *c, size_t groups)
{
    const size_t x = groups < d->t.groups[0] ? groups : d->t.groups[0], rows = (groups + x - 1) / x;
    const size_t y = rows < d->t.groups[1] ? rows : d->t.groups[1], z = (rows + y - 1) / y;
    if (z > d->t.groups[2])
        return vulkan_fail(d, "%zu work groups are more than %s allows (maxComputeWorkGroupCount)", groups, d->t.name);
    d->vk.CmdDispatch(c->buffer, (uint32_t)x, (uint32_t)y, (uint32_t)z);
    return 0;
}

static int dispatch(struct vulkan_device *d, const struct vulkan_dispatch *o)
{
    struct bindings b;
    const VkPipeline pipeline = d->lost ? VK_NULL_HANDLE : vulkan_pipeline(d, o->kernel);
    struct vulkan_commands *c = pipeline || d->lost ? vulkan_commands(d) : NULL;
    if (!c || bind_all(d, o, &b))
        return -1;
    access_all(d, c, o->operand);
    if (c->bound != o->kernel)
        d->vk.CmdBindPipeline(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    c->bound = o->kernel;
    d->vk.CmdPushConstants(c->buffer, d->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                           (uint32_t)(VULKAN_OPERANDS * sizeof *b.words + o->args_bytes), b.words);
    if (set_descriptors(d, c, &b) || dispatch_groups(d, c, o->groups))
        return -1;
    c->work += o->work;
    if (vulkan_is_clean(d))
        return -1;
    return !d->recording && c->work > enough ? vulkan_submit(d) : 0;
}

int vulkan_dispatch(struct vulkan_device *d, const struct vulkan_dispatch *c)
{
    if (!c->groups)
        return 0;
    const int r = dispatch(d, c);
    if (r && d->recording)
        d->recording->failed = 1;
    return r;
}

/* ---- Lists ---- */

void *vulkan_record(void *dev)
{
    struct vulkan_device *d = dev;
    const VkCommandBufferInheritanceInfo none = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_INHERITANCE_INFO};
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT,
                                           .pInheritanceInfo = &none};
    struct vulkan_list *l = d->recording || vulkan_is_lost(d) ? NULL : d->host->alloc(d->host, sizeof *l);
    if (!l) {
        if (!d->lost)
            vulkan_fail(d, "out of memory, or a list is being recorded");
        return NULL;
    }
    *l = (struct vulkan_list){.failed = 0};
    if (commands_create(d, VK_COMMAND_BUFFER_LEVEL_SECONDARY, &l->c) ||
        vulkan_check(d, "vkBeginCommandBuffer", d->vk.BeginCommandBuffer(l->c.buffer, &info))) {
        commands_destroy(d, &l->c);
        d->host->free(d->host, l);
        return NULL;
    }
    d->recording = l;
    d->epoch++;
    d->barrier = 1;
    return l;
}

int vulkan_record_end(void *dev, void *list)
{
    struct vulkan_device *d = dev;
    struct vulkan_list *l = list;
    d->recording = NULL;
    d->epoch++;
    d->barrier = 1;
    l->failed |= vulkan_check(d, "vkEndCommandBuffer", d->vk.EndCommandBuffer(l->c.buffer)) != 0;
    return l->failed ? -1 : 0;
}

int vulkan_replay(void *dev, void *list)
{
    struct vulkan_device *d = dev;
    struct vulkan_list *l = list;
    struct vulkan_commands *c = vulkan_commands(d);
    if (!c)
        return -1;
    if (l->failed)
        return vulkan_fail(d, "the list could not be recorded");
    d->vk.CmdExecuteCommands(c->buffer, 1, &l->c.buffer);
    c->bound = KERNELS;
    c->work += l->c.work;
    d->epoch++;
    d->barrier = 1;
    if (vulkan_is_clean(d))
        return -1;
    return c->work > enough ? vulkan_submit(d) : 0;
}

void vulkan_record_free(void *dev, void *list)
{
    struct vulkan_device *d = dev;
    struct vulkan_list *l = list;
    if (!l)
        return;
    if (!d->lost)
        vulkan_finish(d);
    commands_destroy(d, &l->c);
    d->host->free(d->host, l);
}
