/* SPDX-License-Identifier: MIT */
/* vulkan_api.h - the functions of Vulkan that are used. The loader is loaded at run time, so that a machine without it gets a reason instead of a
 * plugin that cannot load. (The shader compiler is part of the plugin: Debian 12's libshaderc.so.1 lacks half of its own symbols, the static
 * libraries do not, and so a bundle needs nothing beside it.) */
#ifndef VULKAN_API_H
#define VULKAN_API_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

/* The three tables by what they are asked of: the loader, the instance, the device. */
#define VULKAN_LOADER_FUNCTIONS(X) X(CreateInstance) X(EnumerateInstanceLayerProperties) X(EnumerateInstanceVersion)

#define VULKAN_INSTANCE_FUNCTIONS(X)                                                                                                       \
    X(CreateDebugUtilsMessengerEXT)                                                                                                        \
    X(CreateDevice)                                                                                                                        \
    X(DestroyDebugUtilsMessengerEXT)                                                                                                       \
    X(DestroyInstance)                                                                                                                     \
    X(EnumerateDeviceExtensionProperties)                                                                                                  \
    X(EnumeratePhysicalDevices)                                                                                                            \
    X(GetDeviceProcAddr)                                                                                                                   \
    X(GetPhysicalDeviceFeatures)                                                                                                           \
    X(GetPhysicalDeviceFeatures2)                                                                                                          \
    X(GetPhysicalDeviceMemoryProperties)                                                                                                   \
    X(GetPhysicalDeviceProperties)                                                                                                         \
    X(GetPhysicalDeviceProperties2)                                                                                                        \
    X(GetPhysicalDeviceQueueFamilyProperties)

#define VULKAN_DEVICE_FUNCTIONS(X)                                                                                                         \
    X(AllocateCommandBuffers)                                                                                                              \
    X(AllocateDescriptorSets)                                                                                                              \
    X(AllocateMemory)                                                                                                                      \
    X(BeginCommandBuffer)                                                                                                                  \
    X(BindBufferMemory)                                                                                                                    \
    X(CmdBindDescriptorSets)                                                                                                               \
    X(CmdBindPipeline)                                                                                                                     \
    X(CmdCopyBuffer)                                                                                                                       \
    X(CmdDispatch)                                                                                                                         \
    X(CmdExecuteCommands)                                                                                                                  \
    X(CmdFillBuffer)                                                                                                                       \
    X(CmdPipelineBarrier)                                                                                                                  \
    X(CmdPushConstants)                                                                                                                    \
    X(CmdPushDescriptorSetKHR)                                                                                                             \
    X(CreateBuffer)                                                                                                                        \
    X(CreateCommandPool)                                                                                                                   \
    X(CreateComputePipelines)                                                                                                              \
    X(CreateDescriptorPool)                                                                                                                \
    X(CreateDescriptorSetLayout)                                                                                                           \
    X(CreateFence)                                                                                                                         \
    X(CreatePipelineLayout)                                                                                                                \
    X(CreateShaderModule)                                                                                                                  \
    X(DestroyBuffer)                                                                                                                       \
    X(DestroyCommandPool)                                                                                                                  \
    X(DestroyDescriptorPool)                                                                                                               \
    X(DestroyDescriptorSetLayout)                                                                                                          \
    X(DestroyDevice)                                                                                                                       \
    X(DestroyFence)                                                                                                                        \
    X(DestroyPipeline)                                                                                                                     \
    X(DestroyPipelineLayout)                                                                                                               \
    X(DestroyShaderModule)                                                                                                                 \
    X(DeviceWaitIdle)                                                                                                                      \
    X(EndCommandBuffer)                                                                                                                    \
    X(FreeMemory)                                                                                                                          \
    X(GetBufferMemoryRequirements)                                                                                                         \
    X(GetDeviceQueue)                                                                                                                      \
    X(MapMemory)                                                                                                                           \
    X(QueueSubmit)                                                                                                                         \
    X(ResetCommandPool)                                                                                                                    \
    X(ResetDescriptorPool)                                                                                                                 \
    X(ResetFences)                                                                                                                         \
    X(UpdateDescriptorSets)                                                                                                                \
    X(WaitForFences)

struct vulkan_api {
    void *library;
    PFN_vkGetInstanceProcAddr get;
#define MEMBER(f) PFN_vk##f f;
    VULKAN_LOADER_FUNCTIONS(MEMBER) VULKAN_INSTANCE_FUNCTIONS(MEMBER) VULKAN_DEVICE_FUNCTIONS(MEMBER)
#undef MEMBER
};

#endif
