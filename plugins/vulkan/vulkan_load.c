/* SPDX-License-Identifier: MIT */
#include "plugins/vulkan/vulkan.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const char *name;
    size_t at; /* in the struct of functions */
};

#define ENTRY(f) {"vk" #f, offsetof(struct vulkan_api, f)},
static const struct entry loader_functions[] = {VULKAN_LOADER_FUNCTIONS(ENTRY){NULL, 0}};
static const struct entry instance_functions[] = {VULKAN_INSTANCE_FUNCTIONS(ENTRY){NULL, 0}};
static const struct entry device_functions[] = {VULKAN_DEVICE_FUNCTIONS(ENTRY){NULL, 0}};
#undef ENTRY
static void put(void *api, size_t at, PFN_vkVoidFunction f)
{
    memcpy((char *)api + at, &f, sizeof f);
}

/* The machine's loader; the bundle's (scripts/bundle.sh) where the machine has a driver only. */
static void *open_loader(char *why, size_t why_size)
{
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        snprintf(why, why_size, "no Vulkan loader: %s", dlerror());
    return library ? library : dlopen("$ORIGIN/../fallback/libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
}

int vulkan_load(struct vulkan_api *vk, char *why, size_t why_size)
{
    *vk = (struct vulkan_api){.library = open_loader(why, why_size)};
    if (!vk->library)
        return -1;
    *(void **)&vk->get = dlsym(vk->library, "vkGetInstanceProcAddr");
    for (const struct entry *e = loader_functions; vk->get && e->name; e++)
        put(vk, e->at, vk->get(NULL, e->name));
    if (!vk->CreateInstance || !vk->EnumerateInstanceVersion) {
        snprintf(why, why_size, "the Vulkan loader is older than version 1.1");
        vulkan_unload(vk);
        return -1;
    }
    return 0;
}

void vulkan_load_instance(struct vulkan_api *vk, VkInstance instance)
{
    for (const struct entry *e = instance_functions; e->name; e++)
        put(vk, e->at, vk->get(instance, e->name));
}

void vulkan_load_device(struct vulkan_api *vk, VkDevice device)
{
    for (const struct entry *e = device_functions; e->name; e++)
        put(vk, e->at, vk->GetDeviceProcAddr(device, e->name));
}

/* A driver that is unloaded leaves memory behind (Mesa 22.3), and takes its time to come back: it brings a compiler. A command is the driver's
 * own function, so it tells its file. */
void vulkan_keep_driver(const struct vulkan_api *vk, VkDevice device)
{
    PFN_vkVoidFunction f = vk->GetDeviceProcAddr(device, "vkCmdDispatch");
    Dl_info where;
    void *at;
    memcpy(&at, &f, sizeof at);
    if (f && dladdr(at, &where) && where.dli_fname)
        dlopen(where.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

void vulkan_unload(struct vulkan_api *vk)
{
    if (vk->library)
        dlclose(vk->library);
    vk->library = NULL;
}

uint64_t vulkan_test_setting(const char *name, uint64_t otherwise)
{
    const char *at = getenv("LOWBIT_VULKAN_TEST");
    const size_t n = strlen(name);
    while (at && *at) {
        if (!strncmp(at, name, n) && at[n] == '=')
            return strtoull(at + n + 1, NULL, 10);
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return otherwise;
}
