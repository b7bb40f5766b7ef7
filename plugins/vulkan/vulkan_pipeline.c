/* SPDX-License-Identifier: MIT */
#include "plugins/vulkan/vulkan.h"

#include <stdio.h>
#include <string.h>

static void spec_values(const struct vulkan_device *d, const struct vulkan_shader *s, uint32_t spec[VULKAN_SPEC])
{
    memset(spec, 0, VULKAN_SPEC * sizeof *spec);
    spec[0] = d->t.group;
    if (s->spec)
        memcpy(spec, s->spec, VULKAN_SPEC * sizeof *spec);
}

const struct vulkan_shader *vulkan_shader_of(const struct vulkan_device *d, enum vulkan_kernel k)
{
    return k < KERNELS ? &vulkan_shaders[k] : &d->made[k - KERNEL_MADE].shader;
}

static VkPipeline *pipeline_of(struct vulkan_device *d, enum vulkan_kernel k)
{
    return k < KERNELS ? &d->pipeline[k] : &d->made[k - KERNEL_MADE].pipeline;
}

uint32_t vulkan_spec(const struct vulkan_device *d, enum vulkan_kernel k, uint32_t id)
{
    uint32_t spec[VULKAN_SPEC];
    spec_values(d, vulkan_shader_of(d, k), spec);
    return spec[id];
}

static int create(struct vulkan_device *d, const struct vulkan_shader *s, const struct vulkan_spirv *code, VkPipeline *out)
{
    uint32_t spec[VULKAN_SPEC];
    VkSpecializationMapEntry entry[VULKAN_SPEC];
    for (uint32_t i = 0; i < VULKAN_SPEC; i++)
        entry[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof *spec, sizeof *spec};
    spec_values(d, s, spec);
    const VkSpecializationInfo values = {VULKAN_SPEC, entry, sizeof spec, spec};
    const VkShaderModuleCreateInfo module = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = code->n * sizeof *code->words, .pCode = code->words};
    VkShaderModule m;
    if (vulkan_check(d, s->file, d->vk.CreateShaderModule(d->device, &module, NULL, &m)))
        return -1;
    const VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                              .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                        .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                        .module = m,
                                                        .pName = "main",
                                                        .pSpecializationInfo = &values},
                                              .layout = d->layout};
    const VkResult r = d->vk.CreateComputePipelines(d->device, VK_NULL_HANDLE, 1, &info, NULL, out);
    d->vk.DestroyShaderModule(d->device, m, NULL);
    if (r)
        *out = VK_NULL_HANDLE;
    return vulkan_check(d, s->file, r);
}

VkPipeline vulkan_pipeline(struct vulkan_device *d, enum vulkan_kernel k)
{
    const struct vulkan_shader *s = vulkan_shader_of(d, k);
    VkPipeline *p = pipeline_of(d, k);
    if (*p)
        return *p;
    struct vulkan_spirv code = {NULL, 0};
    if (!vulkan_compile(d, s, &code) && (vulkan_is_loose(d, s) || !vulkan_spirv_exact(d, &code)))
        create(d, s, &code, p);
    d->host->free(d->host, code.words);
    return *p;
}

static int same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static char *copy_text(const struct vulkan_device *d, const char *text)
{
    const size_t n = text ? strlen(text) + 1 : 0;
    char *copy = n ? d->host->alloc(d->host, n) : NULL;
    return copy ? memcpy(copy, text, n) : NULL;
}

static int grow_made(struct vulkan_device *d)
{
    const size_t more = d->max_made ? 2 * d->max_made : 16;
    struct vulkan_made *grown = d->host->alloc(d->host, more * sizeof *grown);
    if (!grown)
        return -1;
    if (d->n_made)
        memcpy(grown, d->made, d->n_made * sizeof *grown);
    d->host->free(d->host, d->made);
    d->made = grown;
    d->max_made = more;
    return 0;
}

int vulkan_made(struct vulkan_device *d, const struct vulkan_shader *s, enum vulkan_kernel *k)
{
    size_t i = 0;
    while (i < d->n_made && (d->made[i].shader.spec != s->spec || strcmp(d->made[i].shader.file, s->file) != 0 ||
                             strcmp(d->made[i].defines, s->defines) != 0 || !same_text(d->made[i].text, s->text)))
        i++;
    *k = (enum vulkan_kernel)(KERNEL_MADE + i);
    if (i < d->n_made)
        return 0;
    struct vulkan_made m = {.shader = *s, .defines = copy_text(d, s->defines), .text = copy_text(d, s->text)};
    if (!m.defines || (s->text && !m.text) || (d->n_made == d->max_made && grow_made(d))) {
        d->host->free(d->host, m.defines);
        d->host->free(d->host, m.text);
        return vulkan_fail(d, "%s: out of memory", s->file);
    }
    m.shader.defines = m.defines;
    m.shader.text = m.text;
    d->made[d->n_made++] = m;
    return 0;
}

int vulkan_pipelines_try_all(struct vulkan_device *d)
{
    int bad = 0;
    for (int k = 0; k < KERNELS; k++)
        bad |= vulkan_shaders[k].file && vulkan_pipeline(d, (enum vulkan_kernel)k) == VK_NULL_HANDLE;
    return bad ? -1 : 0;
}

int vulkan_pipelines_open(struct vulkan_device *d, char *why, size_t why_size)
{
    VkDescriptorSetLayoutBinding binding[VULKAN_OPERANDS];
    for (uint32_t i = 0; i < VULKAN_OPERANDS; i++)
        binding[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                    .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                    .descriptorCount = 1,
                                                    .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .flags = d->t.push_descriptors ? (VkDescriptorSetLayoutCreateFlags)VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR : 0,
        .bindingCount = VULKAN_OPERANDS,
        .pBindings = binding};
    VkResult r = d->vk.CreateDescriptorSetLayout(d->device, &set, NULL, &d->set_layout);
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, (VULKAN_OPERANDS + VULKAN_ARGS) * 4};
    const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &d->set_layout,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &push};
    if (r)
        d->set_layout = VK_NULL_HANDLE;
    else if ((r = d->vk.CreatePipelineLayout(d->device, &layout, NULL, &d->layout)))
        d->layout = VK_NULL_HANDLE;
    if (r)
        snprintf(why, why_size, "%s: a pipeline layout could not be made: %s", d->t.name, vulkan_result_name(r));
    return r ? -1 : 0;
}

void vulkan_pipelines_close(struct vulkan_device *d)
{
    for (int k = 0; k < KERNELS && !d->hung; k++)
        if (d->pipeline[k])
            d->vk.DestroyPipeline(d->device, d->pipeline[k], NULL);
    for (size_t i = 0; i < d->n_made; i++) {
        if (d->made[i].pipeline && !d->hung)
            d->vk.DestroyPipeline(d->device, d->made[i].pipeline, NULL);
        d->host->free(d->host, d->made[i].defines);
        d->host->free(d->host, d->made[i].text);
    }
    d->host->free(d->host, d->made);
    if (d->layout && !d->hung)
        d->vk.DestroyPipelineLayout(d->device, d->layout, NULL);
    if (d->set_layout && !d->hung)
        d->vk.DestroyDescriptorSetLayout(d->device, d->set_layout, NULL);
}
