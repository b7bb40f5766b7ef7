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

uint32_t vulkan_spec(const struct vulkan_device *d, enum vulkan_kernel k, uint32_t id)
{
    uint32_t spec[VULKAN_SPEC];
    spec_values(d, &vulkan_shaders[k], spec);
    return spec[id];
}

static int create(struct vulkan_device *d, enum vulkan_kernel k, const struct vulkan_spirv *code)
{
    const struct vulkan_shader *s = &vulkan_shaders[k];
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
    const VkResult r = d->vk.CreateComputePipelines(d->device, VK_NULL_HANDLE, 1, &info, NULL, &d->pipeline[k]);
    d->vk.DestroyShaderModule(d->device, m, NULL);
    if (r)
        d->pipeline[k] = VK_NULL_HANDLE;
    return vulkan_check(d, s->file, r);
}

VkPipeline vulkan_pipeline(struct vulkan_device *d, enum vulkan_kernel k)
{
    if (d->pipeline[k])
        return d->pipeline[k];
    struct vulkan_spirv code = {NULL, 0};
    if (!vulkan_compile(d, &vulkan_shaders[k], &code) && (vulkan_is_loose(d, &vulkan_shaders[k]) || !vulkan_spirv_exact(d, &code)))
        create(d, k, &code);
    d->host->free(d->host, code.words);
    return d->pipeline[k];
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
    if (d->layout && !d->hung)
        d->vk.DestroyPipelineLayout(d->device, d->layout, NULL);
    if (d->set_layout && !d->hung)
        d->vk.DestroyDescriptorSetLayout(d->device, d->set_layout, NULL);
}
