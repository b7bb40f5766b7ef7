/* SPDX-License-Identifier: MIT */
/* bench_dnnl_abi.h - what bench_dnnl.c needs of oneDNN's binary interface, version 2: its structs as storage, its enums as numbers.
 * They are fixed for a major version. So building lowbit needs nothing of oneDNN, and every build can race it where the library is.
 * test_bench_dnnl.c compares all with oneDNN's own header where that is installed. */
#ifndef LB_BENCH_DNNL_ABI_H
#define LB_BENCH_DNNL_ABI_H

#include <stdint.h>

enum { DNNL2_MAJOR = 2, DNNL2_DIMS = 12, DNNL2_CPU = 1, DNNL2_DEFAULT_STREAM = 1, DNNL2_F32 = 3 };
enum { DNNL2_ANY = 1, DNNL2_AB = 3, DNNL2_ABCD = 5, DNNL2_ACDB = 20, DNNL2_BA = 22 };         /* format tags */
enum { DNNL2_FORWARD_TRAINING = 64, DNNL2_FORWARD_INFERENCE = 96, DNNL2_CONV_DIRECT = 1 };    /* propagation, algorithm */
enum { DNNL2_ISA_SSE41 = 1, DNNL2_ISA_AVX2 = 7 };                                             /* the most that may be used */
enum { DNNL2_SRC = 1, DNNL2_DST = 17, DNNL2_WEIGHTS = 33, DNNL2_DIFF = 128 };                 /* arguments; a gradient's is DIFF more */
enum { DNNL2_IMPL_INFO = 8, DNNL2_SRC_MD = 129, DNNL2_WEIGHTS_MD = 131, DNNL2_DST_MD = 133 }; /* queries; a gradient's is 1 more */

/* A tensor's layout, and an op's descriptor: larger than any of them. */
struct dnnl2_md {
    _Alignas(16) char bytes[1024];
};
struct dnnl2_desc {
    _Alignas(16) char bytes[8192];
};

struct dnnl2_arg {
    int arg;
    void *memory;
};
struct dnnl2_version {
    int major, minor, patch;
    const char *hash;
    unsigned cpu_runtime, gpu_runtime;
};

#endif
