/* SPDX-License-Identifier: MIT */
/* blas_load.c - finds OpenBLAS and the kernels it should use.
 *
 * OpenBLAS picks its kernels in its constructor, by the CPU's model number. A release older than the CPU picks too low (0.3.21 runs AVX2 kernels on
 * a Zen 5 that has AVX-512, at half the speed), and only the environment, read in that constructor, can change its mind. So the library
 * is loaded at run time: once to see what it picks, and where that does not fit the CPU, once more with OPENBLAS_CORETYPE. A user's own
 * OPENBLAS_CORETYPE is left alone. It gets one thread, because the host's threads call it. */
#include "plugins/cpu_blas/cpu_blas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char library[] = "libopenblas.so.0", core_variable[] = "OPENBLAS_CORETYPE", threads_variable[] = "OPENBLAS_NUM_THREADS";

static void *symbol(const struct blas *b, const char *name)
{
    return dlsym(b->lib, name);
}

void blas_unload(struct blas *b)
{
    if (b->lib)
        dlclose(b->lib);
    b->lib = NULL;
}

static int load(struct blas *b, char *why, size_t why_size)
{
    b->lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!b->lib) {
        snprintf(why, why_size, "%s", dlerror());
        return -1;
    }
    char *(*corename)(void);
    void (*set_threads)(int);
    *(void **)&corename = symbol(b, "openblas_get_corename");
    *(void **)&set_threads = symbol(b, "openblas_set_num_threads");
    *(void **)&b->sgemm = symbol(b, "cblas_sgemm");
    *(void **)&b->sgemv = symbol(b, "cblas_sgemv");
    if (!corename || !set_threads || !b->sgemm || !b->sgemv) {
        snprintf(why, why_size, "%s lacks openblas_get_corename, openblas_set_num_threads, cblas_sgemm or cblas_sgemv", library);
        blas_unload(b);
        return -1;
    }
    set_threads(1);
    snprintf(b->core, sizeof b->core, "%s", corename());
    return 0;
}

/* The core type to ask for where the one that OpenBLAS picked does not fit the features that may be used; NULL: it fits. */
static const char *better_core(const char *core, unsigned cpu)
{
    static const char *const avx512[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    static const char *const older[] = {"Prescott", "Core2",  "Penryn",  "Dunnington", "Nehalem", "Atom",
                                        "Nano",     "Athlon", "Opteron", "Barcelona",  "Bobcat"};
    int is_avx512 = 0, is_older = 0;
    for (size_t i = 0; i < sizeof avx512 / sizeof *avx512; i++)
        is_avx512 |= !strcmp(core, avx512[i]);
    for (size_t i = 0; i < sizeof older / sizeof *older; i++)
        is_older |= !strcmp(core, older[i]);
    if (cpu & LB_CPU_AVX512)
        return is_avx512 ? NULL : "SkylakeX";
    if (cpu & LB_CPU_AVX2)
        return is_avx512 ? "Haswell" : NULL;
    return is_older ? NULL : "Prescott";
}

static int reload(const struct lb_host *h, struct blas *b, const char *core, char *why, size_t why_size)
{
    char text[128];
    blas_unload(b);
    setenv(core_variable, core, 1);
    const int r = load(b, why, why_size);
    unsetenv(core_variable);
    if (!r && strcmp(b->core, core)) { /* somebody else keeps the library loaded, or it does not know the core */
        snprintf(text, sizeof text, "OpenBLAS uses its %s kernels although %s would fit this CPU", b->core, core);
        h->log(h, LB_LOG_WARN, text);
    }
    return r;
}

int blas_load(const struct lb_host *h, struct blas *b, char *why, size_t why_size)
{
    char kept[64] = "";
    const char *before = getenv(threads_variable);
    if (before)
        snprintf(kept, sizeof kept, "%s", before);
    setenv(threads_variable, "1", 1);
    int r = load(b, why, why_size);
    const char *core = r || getenv(core_variable) ? NULL : better_core(b->core, h->cpu);
    if (core)
        r = reload(h, b, core, why, why_size);
    if (before)
        setenv(threads_variable, kept, 1);
    else
        unsetenv(threads_variable);
    return r;
}
