/* SPDX-License-Identifier: MIT */
/* vulkan_device.c - the instance, the choice among its devices, and the device itself. */
#include "plugins/vulkan/vulkan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 32, MAX_LAYERS = 64, MAX_EXTENSIONS = 1024 };

static const char validation_layer[] = "VK_LAYER_KHRONOS_validation";

/* ---- Instance ---- */

static VKAPI_ATTR VkBool32 VKAPI_CALL complain(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
                                               const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    struct vulkan_device *d = user;
    (void)types;
    const int serious = severity >= VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
    if (serious && !d->complaint[0])
        snprintf(d->complaint, sizeof d->complaint, "%s", data->pMessage);
    d->host->log(d->host, serious ? LB_LOG_ERROR : LB_LOG_DEBUG, data->pMessage);
    return VK_FALSE;
}

static int wants_validation(void)
{
    const char *v = getenv("LOWBIT_VULKAN_VALIDATION");
    return v && *v && strcmp(v, "0") != 0;
}

static int has_layer(const struct vulkan_api *vk, const char *name)
{
    VkLayerProperties layers[MAX_LAYERS];
    uint32_t n = MAX_LAYERS;
    if (vk->EnumerateInstanceLayerProperties(&n, layers) < 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(layers[i].layerName, name))
            return 1;
    return 0;
}

static int create_instance(struct vulkan_device *d, char *why, size_t why_size)
{
    static const char *const layers[] = {validation_layer}, *const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
    const int validation = wants_validation();
    uint32_t version = 0;
    d->vk.EnumerateInstanceVersion(&version);
    if (version < VK_API_VERSION_1_1) {
        snprintf(why, why_size, "the Vulkan loader is older than version 1.1");
        return -1;
    }
    if (validation && !has_layer(&d->vk, validation_layer)) {
        snprintf(why, why_size, "LOWBIT_VULKAN_VALIDATION is set, but there is no layer %s", validation_layer);
        return -1;
    }
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
                                                          .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                                                                             VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
                                                          .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
                                                          .pfnUserCallback = complain,
                                                          .pUserData = d};
    static const VkValidationFeatureEnableEXT synchronization =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT; /* of barriers */
    const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                              .pNext = &messenger,
                                              .enabledValidationFeatureCount = 1,
                                              .pEnabledValidationFeatures = &synchronization};
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .pApplicationName = "lowbit",
                                   .apiVersion = version < VK_API_VERSION_1_2 ? VK_API_VERSION_1_1 : VK_API_VERSION_1_2};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,

                                       .pNext = validation ? &features : NULL,
                                       .pApplicationInfo = &app,
                                       .enabledLayerCount = validation ? 1 : 0,
                                       .ppEnabledLayerNames = layers,
                                       .enabledExtensionCount = validation ? 1 : 0,
                                       .ppEnabledExtensionNames = extensions};
    const VkResult r = d->vk.CreateInstance(&info, NULL, &d->instance);
    if (r) {
        d->instance = VK_NULL_HANDLE;
        snprintf(why, why_size, r == VK_ERROR_INCOMPATIBLE_DRIVER ? "no Vulkan driver (%s)" : "vkCreateInstance: %s",
                 vulkan_result_name(r));
        return -1;
    }
    vulkan_load_instance(&d->vk, d->instance);
    if (validation && d->vk.CreateDebugUtilsMessengerEXT)
        d->vk.CreateDebugUtilsMessengerEXT(d->instance, &messenger, NULL, &d->messenger);
    return 0;
}

/* ---- Choice ---- */

/* Discrete first. */
static int rank(uint32_t type)
{
    static const int ranks[] = {[VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU] = 0,
                                [VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU] = 1,
                                [VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU] = 2,
                                [VK_PHYSICAL_DEVICE_TYPE_OTHER] = 3,
                                [VK_PHYSICAL_DEVICE_TYPE_CPU] = 4};
    return type < sizeof ranks / sizeof *ranks ? ranks[type] : 3;
}

static int contains(const char *text, const char *part)
{
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (!part[i])
            return 1;
    }
    return !*part;
}

/* Whether --device means device i. A number is an index, anything else a part of the name. */
static int is_wanted(const char *wanted, uint32_t i, const char *name)
{
    char *end;
    if (!isdigit((unsigned char)*wanted))
        return contains(name, wanted);
    const unsigned long index = strtoul(wanted, &end, 10);
    return *end ? contains(name, wanted) : index == i;
}

static void list_devices(const struct vulkan_device *d, const VkPhysicalDevice *all, uint32_t n, char *why, size_t why_size)
{
    int at = snprintf(why, why_size, "no device \"%s\"; there are", d->host->device);
    for (uint32_t i = 0; i < n && at > 0 && (size_t)at < why_size; i++) {
        VkPhysicalDeviceProperties p;
        d->vk.GetPhysicalDeviceProperties(all[i], &p);
        at += snprintf(why + at, why_size - (size_t)at, "%s %u: %s", i ? "," : "", i, p.deviceName);
    }
}

int vulkan_choose(struct vulkan_device *d, char *why, size_t why_size)
{
    VkPhysicalDevice all[MAX_DEVICES];
    uint32_t n = MAX_DEVICES;
    int best = 0;
    if (create_instance(d, why, why_size))
        return -1;
    const VkResult r = d->vk.EnumeratePhysicalDevices(d->instance, &n, all);
    if (r < 0 || n == 0) {
        snprintf(why, why_size, r < 0 ? "vkEnumeratePhysicalDevices: %s" : "no Vulkan device", vulkan_result_name(r));
        return -1;
    }
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties p;
        d->vk.GetPhysicalDeviceProperties(all[i], &p);
        if (d->host->device && !is_wanted(d->host->device, i, p.deviceName))
            continue;
        if (!d->physical || rank(p.deviceType) < best) {
            d->physical = all[i];
            best = rank(p.deviceType);
        }
    }
    if (d->physical)
        return 0;
    list_devices(d, all, n, why, why_size);
    return -1;
}

/* ---- Device ---- */

static void limits(struct vulkan_traits *t, const VkPhysicalDeviceLimits *l)
{
    t->range = l->maxStorageBufferRange;
    t->align = l->minStorageBufferOffsetAlignment < 4 ? 4 : l->minStorageBufferOffsetAlignment;
    for (int i = 0; i < 3; i++) {
        t->groups[i] = l->maxComputeWorkGroupCount[i];
        t->group_size[i] = l->maxComputeWorkGroupSize[i];
    }
    t->group_most = l->maxComputeWorkGroupInvocations;
    t->shared = l->maxComputeSharedMemorySize;
    t->group = 64;
}

/* Which of the extensions that can be used the device has. */
struct extensions {
    int push_descriptors, float_controls, dot;
};

static struct extensions find_extensions(const struct vulkan_device *d)
{
    struct extensions x = {0, 0, 0};
    uint32_t n = 0;
    d->vk.EnumerateDeviceExtensionProperties(d->physical, NULL, &n, NULL);
    n = n < MAX_EXTENSIONS ? n : MAX_EXTENSIONS;
    VkExtensionProperties *all = d->host->alloc(d->host, n * sizeof *all + 1);
    if (all && d->vk.EnumerateDeviceExtensionProperties(d->physical, NULL, &n, all) >= 0)
        for (uint32_t i = 0; i < n; i++) {
            x.push_descriptors |= !strcmp(all[i].extensionName, VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME);
            x.float_controls |= !strcmp(all[i].extensionName, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME);
            x.dot |= !strcmp(all[i].extensionName, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
        }
    d->host->free(d->host, all);
    return x;
}

/* "1.3 fma=fused" is completed when the device test has chosen. */
static void describe(struct vulkan_device *d, struct extensions x)
{
    struct vulkan_traits *t = &d->t;
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceProperties2 p = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &subgroup};
    t->controls.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES;
    if (t->api >= VK_API_VERSION_1_2) {
        driver.pNext = p.pNext;
        p.pNext = &driver;
    }
    if (x.float_controls || t->api >= VK_API_VERSION_1_2) {
        t->controls.pNext = p.pNext;
        p.pNext = &t->controls;
    }
    d->vk.GetPhysicalDeviceProperties2(d->physical, &p);
    t->subgroup = subgroup.subgroupSize;
    t->subgroup_operations = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT ? subgroup.supportedOperations : 0;
    limits(t, &p.properties.limits);
    snprintf(t->name, sizeof t->name, "%s", p.properties.deviceName);
    const uint32_t v = p.properties.driverVersion;
    if (driver.driverInfo[0] || driver.driverName[0])
        snprintf(t->text, sizeof t->text, "%s (%s %s)", t->name, driver.driverName, driver.driverInfo);
    else
        snprintf(t->text, sizeof t->text, "%s (driver %u.%u.%u)", t->name, VK_API_VERSION_MAJOR(v), VK_API_VERSION_MINOR(v),
                 VK_API_VERSION_PATCH(v));
}

/* Whether products of packed bytes are one instruction; a test may want them where they are many. */
static int has_dot(const struct vulkan_device *d, struct extensions x)
{
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR feature = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &feature};
    VkPhysicalDeviceShaderIntegerDotProductPropertiesKHR property = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES_KHR};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &property};
    if (!x.dot)
        return 0;
    d->vk.GetPhysicalDeviceFeatures2(d->physical, &features);
    d->vk.GetPhysicalDeviceProperties2(d->physical, &properties);
    const VkBool32 fast =
        property.integerDotProduct4x8BitPackedSignedAccelerated && property.integerDotProduct4x8BitPackedMixedSignednessAccelerated;
    return feature.shaderIntegerDotProduct && vulkan_test_setting("dot", fast);
}

/* A queue that computes; one that does nothing else is better: it does not wait for graphics. -1: none. */
static int compute_family(const struct vulkan_device *d)
{
    VkQueueFamilyProperties all[32];
    uint32_t n = sizeof all / sizeof *all;
    int found = -1;
    d->vk.GetPhysicalDeviceQueueFamilyProperties(d->physical, &n, all);
    for (uint32_t i = 0; i < n; i++) {
        if (!(all[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || !all[i].queueCount)
            continue;
        if (found < 0 || !(all[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            found = (int)i;
    }
    return found;
}

int vulkan_inspect(struct vulkan_device *d, char *why, size_t why_size)
{
    struct vulkan_traits *t = &d->t;
    VkPhysicalDeviceProperties p;
    VkPhysicalDeviceFeatures features;
    d->vk.GetPhysicalDeviceProperties(d->physical, &p);
    d->vk.GetPhysicalDeviceFeatures(d->physical, &features);
    d->vk.GetPhysicalDeviceMemoryProperties(d->physical, &d->memory);
    t->api = p.apiVersion;
    t->type = p.deviceType;
    d->family = compute_family(d);
    if (p.apiVersion < VK_API_VERSION_1_1 || d->family < 0) {
        snprintf(why, why_size, "%s: %s", p.deviceName, d->family < 0 ? "no queue that computes" : "it has Vulkan 1.0, and 1.1 is needed");
        return -1;
    }
    const struct extensions x = find_extensions(d);
    describe(d, x);
    t->float64 = features.shaderFloat64 && vulkan_test_setting("float64", 1);
    t->int64 = features.shaderInt64 != 0;
    t->push_descriptors = x.push_descriptors && vulkan_test_setting("push", 1);
    t->dot = has_dot(d, x);
    t->float_controls = x.float_controls && t->api < VK_API_VERSION_1_2; /* else part of the version */
    return 0;
}

int vulkan_open_device(struct vulkan_device *d, char *why, size_t why_size)
{
    const struct vulkan_traits *t = &d->t;
    const char *names[3];
    uint32_t n = 0;
    if (t->push_descriptors)
        names[n++] = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME;
    if (t->float_controls)
        names[n++] = VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME;
    if (t->dot)
        names[n++] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES_KHR, .shaderIntegerDotProduct = VK_TRUE};
    const float priority = 1;
    const VkPhysicalDeviceFeatures used = {.shaderFloat64 = t->float64 ? VK_TRUE : VK_FALSE, .shaderInt64 = t->int64 ? VK_TRUE : VK_FALSE};
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = (uint32_t)d->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = t->dot ? &dot : NULL,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = n,
                                     .ppEnabledExtensionNames = names,
                                     .pEnabledFeatures = &used};
    const VkResult r = d->vk.CreateDevice(d->physical, &info, NULL, &d->device);
    if (r) {
        d->device = VK_NULL_HANDLE;
        snprintf(why, why_size, "%s: vkCreateDevice: %s", t->name, vulkan_result_name(r));
        return -1;
    }
    vulkan_load_device(&d->vk, d->device);
    vulkan_keep_driver(&d->vk, d->device);
    d->vk.GetDeviceQueue(d->device, (uint32_t)d->family, 0, &d->queue);
    return 0;
}

/* Of a device that hangs nothing may be destroyed, and its driver must stay. */
void vulkan_close_device(struct vulkan_device *d)
{
    if (d->hung)
        return;
    if (d->device)
        d->vk.DestroyDevice(d->device, NULL);
    if (d->messenger)
        d->vk.DestroyDebugUtilsMessengerEXT(d->instance, d->messenger, NULL);
    if (d->instance)
        d->vk.DestroyInstance(d->instance, NULL);
    vulkan_unload(&d->vk);
}
