/* SPDX-License-Identifier: MIT */
/* vulkan_memory.c - buffers, and how host memory gets there and back. A write copies into a ring of mapped memory and records a copy from it: it
 * waits for the device only where the ring is full. A read waits for all that was recorded; where device memory is the host's, it copies from there. */
#include "plugins/vulkan/vulkan.h"

#include <string.h>

enum { RING_BYTES = 16 << 20, BACK_BYTES = 4 << 20, LEAST_SCRATCH = 1 << 20 };

/* ---- Buffers ---- */

/* What memory is asked for: the first wish that a type fulfils. Coherent host memory is on every device. */
static int memory_type(const struct vulkan_device *d, enum vulkan_place place, uint32_t allowed)
{
    enum { LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, HOST = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT };
    static const VkMemoryPropertyFlags wishes[][2] = {
        [PLACE_DEVICE] = {LOCAL, 0}, [PLACE_UPLOAD] = {HOST, HOST}, [PLACE_READBACK] = {HOST | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, HOST}};
    for (int wish = 0; wish < 2; wish++)
        for (uint32_t i = 0; i < d->memory.memoryTypeCount; i++)
            if ((allowed >> i & 1) && (d->memory.memoryTypes[i].propertyFlags & wishes[place][wish]) == wishes[place][wish])
                return (int)i;
    return -1;
}

/* Whether the host reads device memory as it is: CPUs, and GPUs that share its memory. */
static int is_mapped(const struct vulkan_device *d, int type)
{
    enum { SHARED = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT };
    return (d->memory.memoryTypes[type].propertyFlags & SHARED) == SHARED && vulkan_test_setting("mapped", 1);
}

static int allocate(struct vulkan_device *d, enum vulkan_place place, struct vulkan_buffer *b)
{
    VkMemoryRequirements need;
    d->vk.GetBufferMemoryRequirements(d->device, b->buffer, &need);
    const int type = memory_type(d, place, need.memoryTypeBits);
    if (type < 0)
        return vulkan_fail(d, "no memory type of %s can hold a storage buffer", d->t.name);
    const VkMemoryAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = need.size, .memoryTypeIndex = (uint32_t)type};
    const VkResult r = d->vk.AllocateMemory(d->device, &info, NULL, &b->memory);
    if (r) {
        b->memory = VK_NULL_HANDLE;
        return vulkan_fail(d, "out of memory: a buffer of %llu bytes on %s: %s", (unsigned long long)b->bytes, d->t.name,
                           vulkan_result_name(r));
    }
    if (vulkan_check(d, "vkBindBufferMemory", d->vk.BindBufferMemory(d->device, b->buffer, b->memory, 0)))
        return -1;
    if (place == PLACE_DEVICE && !is_mapped(d, type))
        return 0;
    return vulkan_check(d, "vkMapMemory", d->vk.MapMemory(d->device, b->memory, 0, VK_WHOLE_SIZE, 0, &b->mapped));
}

int vulkan_buffer_create(struct vulkan_device *d, enum vulkan_place place, VkDeviceSize bytes, struct vulkan_buffer *b)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = bytes,
                                     .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
                                              (place == PLACE_DEVICE ? (VkBufferUsageFlags)VK_BUFFER_USAGE_STORAGE_BUFFER_BIT : 0),
                                     .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    *b = (struct vulkan_buffer){.bytes = bytes};
    if (vulkan_check(d, "vkCreateBuffer", d->vk.CreateBuffer(d->device, &info, NULL, &b->buffer))) {
        b->buffer = VK_NULL_HANDLE;
        return -1;
    }
    if (!allocate(d, place, b))
        return 0;
    vulkan_buffer_destroy(d, b);
    return -1;
}

void vulkan_buffer_destroy(struct vulkan_device *d, struct vulkan_buffer *b)
{
    if (!d->hung && b->buffer)
        d->vk.DestroyBuffer(d->device, b->buffer, NULL);
    if (!d->hung && b->memory)
        d->vk.FreeMemory(d->device, b->memory, NULL);
    *b = (struct vulkan_buffer){.bytes = 0};
}

/* The older ones stay until the end, as lists may have recorded them; each is at least twice as large as the one before. */
struct vulkan_buffer *vulkan_scratch_buffer(struct vulkan_device *d, size_t bytes)
{
    struct vulkan_scratch *s = d->scratch;
    if (s && s->b.bytes >= bytes)
        return &s->b;
    const size_t least = s ? 2 * (size_t)s->b.bytes : LEAST_SCRATCH;
    struct vulkan_scratch *larger = d->host->alloc(d->host, sizeof *larger);
    if (!larger) {
        vulkan_fail(d, "out of memory: scratch");
        return NULL;
    }
    if (vulkan_buffer_create(d, PLACE_DEVICE, bytes > least ? bytes : least, &larger->b)) {
        d->host->free(d->host, larger);
        return NULL;
    }
    larger->older = s;
    d->scratch = larger;
    return &larger->b;
}

/* ---- Staging ---- */

int vulkan_staging_open(struct vulkan_device *d)
{
    const uint64_t ring = vulkan_test_setting("ring", RING_BYTES);
    if (vulkan_buffer_create(d, PLACE_UPLOAD, ring < 64 ? 64 : ring / 16 * 16, &d->ring.b))
        return -1;
    return vulkan_buffer_create(d, PLACE_READBACK, BACK_BYTES, &d->back);
}

void vulkan_staging_close(struct vulkan_device *d)
{
    vulkan_buffer_destroy(d, &d->ring.b);
    vulkan_buffer_destroy(d, &d->back);
    while (d->scratch) {
        struct vulkan_scratch *older = d->scratch->older;
        vulkan_buffer_destroy(d, &d->scratch->b);
        d->host->free(d->host, d->scratch);
        d->scratch = older;
    }
}

/* Where `bytes` (at most a quarter of the ring) may be written; waits for submissions that read there. -1 after a log message. */
static int take(struct vulkan_device *d, size_t bytes, VkDeviceSize *at)
{
    struct vulkan_ring *r = &d->ring;
    const uint64_t size = r->b.bytes, rest = size - r->head % size;
    if (rest < bytes)
        r->head += rest;
    for (int idle = 0; r->head + bytes - r->tail > size;) {
        int none;
        if (vulkan_wait_oldest(d, &none))
            return -1;
        if (none && idle++) /* nothing is under way and nothing was left to submit: what holds the ring was lost with an error */
            r->tail = r->head;
        else if (none && vulkan_submit(d))
            return -1;
    }
    *at = r->head % size;
    r->head += bytes;
    return 0;
}

int vulkan_buf_write(void *dev, struct lb_buf *b, size_t offset, const void *data, size_t bytes)
{
    struct vulkan_device *d = dev;
    struct vulkan_buffer *to = b->ptr;
    const size_t most = (size_t)(d->ring.b.bytes / 4);
    for (size_t done = 0; done < bytes;) {
        const size_t n = bytes - done < most ? bytes - done : most;
        VkBufferCopy copy = {.dstOffset = offset + done, .size = n};
        if (take(d, n, &copy.srcOffset))
            return -1;
        memcpy((char *)d->ring.b.mapped + copy.srcOffset, (const char *)data + done, n);
        struct vulkan_commands *c = vulkan_commands(d);
        if (!c)
            return -1;
        vulkan_access(d, c, NULL, 0, &to, 1);
        d->vk.CmdCopyBuffer(c->buffer, d->ring.b.buffer, to->buffer, 1, &copy);
        done += n;
    }
    return vulkan_is_clean(d);
}

int vulkan_buf_read(void *dev, const struct lb_buf *b, size_t offset, void *data, size_t bytes)
{
    struct vulkan_device *d = dev;
    struct vulkan_buffer *from = b->ptr, *back = &d->back;
    if (from->mapped) {
        if (vulkan_finish(d))
            return -1;
        memcpy(data, (const char *)from->mapped + offset, bytes);
        return 0;
    }
    for (size_t done = 0; done < bytes;) {
        const size_t n = bytes - done < BACK_BYTES ? bytes - done : BACK_BYTES;
        const VkBufferCopy copy = {.srcOffset = offset + done, .size = n};
        struct vulkan_commands *c = vulkan_commands(d);
        if (!c)
            return -1;
        vulkan_access(d, c, &from, 1, &back, 1);
        d->vk.CmdCopyBuffer(c->buffer, from->buffer, back->buffer, 1, &copy);
        if (vulkan_finish(d))
            return -1;
        memcpy((char *)data + done, d->back.mapped, n);
        done += n;
    }
    return 0;
}

int vulkan_buf_create(void *dev, struct lb_buf *b)
{
    struct vulkan_device *d = dev;
    struct vulkan_buffer *made = d->host->alloc(d->host, sizeof *made);
    if (!made)
        return vulkan_fail(d, "out of memory");
    const VkDeviceSize bytes = b->bytes ? (b->bytes + 3) / 4 * 4 : 4; /* shaders read words */
    struct vulkan_commands *c = vulkan_buffer_create(d, PLACE_DEVICE, bytes, made) ? NULL : vulkan_commands(d);
    if (!c) {
        vulkan_buffer_destroy(d, made);
        d->host->free(d->host, made);
        return -1;
    }
    vulkan_access(d, c, NULL, 0, &made, 1);
    d->vk.CmdFillBuffer(c->buffer, made->buffer, 0, VK_WHOLE_SIZE, 0);
    b->ptr = made;
    return 0;
}

/* What still uses the buffer must have ended. */
void vulkan_buf_destroy(void *dev, struct lb_buf *b)
{
    struct vulkan_device *d = dev;
    struct vulkan_buffer *made = b->ptr;
    if (!d->lost)
        vulkan_finish(d);
    vulkan_buffer_destroy(d, made);
    d->host->free(d->host, made);
    b->ptr = NULL;
}
