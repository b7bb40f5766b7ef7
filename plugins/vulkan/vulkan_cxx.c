/* SPDX-License-Identifier: MIT */
/* vulkan_cxx.c - what the shader compiler's C++ library keeps for exceptions, without thread-local storage. The library's own would give the plugin a
 * TLS segment, and gcc 12's leak sanitizer dies of one in a shared object that was opened at run time. One thread compiles shaders. */
#include "plugins/vulkan/vulkan.h"

/* As the Itanium C++ ABI (2.2.2) lays it out. */
struct exceptions {
    void *caught;
    unsigned uncaught;
};

struct exceptions *__cxa_get_globals(void);
struct exceptions *__cxa_get_globals_fast(void);

struct exceptions *__cxa_get_globals(void)
{
    static struct exceptions of_the_compiler;
    return &of_the_compiler;
}

struct exceptions *__cxa_get_globals_fast(void)
{
    return __cxa_get_globals();
}
