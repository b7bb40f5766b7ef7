/* SPDX-License-Identifier: MIT */
/* The numbers and sizes by which bench_dnnl.c calls oneDNN, against oneDNN's own header; and that a library that is none is refused
 * with a reason. */
#include <criterion/criterion.h>

#include "core/run/bench_dnnl.h"
#include "core/run/bench_dnnl_abi.h"

#include <stdlib.h>
#include <string.h>

#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#define HEADER (DNNL_VERSION_MAJOR == 2)
#else
#define HEADER 0
#endif

Test(bench_dnnl, interface)
{
#if HEADER
    static const struct {
        const char *what;
        int ours, theirs;
    } same[] = {
        {"major", DNNL2_MAJOR, DNNL_VERSION_MAJOR},
        {"dims", DNNL2_DIMS, DNNL_MAX_NDIMS},
        {"cpu", DNNL2_CPU, dnnl_cpu},
        {"stream", DNNL2_DEFAULT_STREAM, dnnl_stream_default_flags},
        {"f32", DNNL2_F32, dnnl_f32},
        {"any", DNNL2_ANY, dnnl_format_tag_any},
        {"ab", DNNL2_AB, dnnl_ab},
        {"ba", DNNL2_BA, dnnl_ba},
        {"abcd", DNNL2_ABCD, dnnl_abcd},
        {"acdb", DNNL2_ACDB, dnnl_acdb},
        {"training", DNNL2_FORWARD_TRAINING, dnnl_forward_training},
        {"inference", DNNL2_FORWARD_INFERENCE, dnnl_forward_inference},
        {"direct", DNNL2_CONV_DIRECT, dnnl_convolution_direct},
        {"sse41", DNNL2_ISA_SSE41, dnnl_cpu_isa_sse41},
        {"avx2", DNNL2_ISA_AVX2, dnnl_cpu_isa_avx2},
        {"src", DNNL2_SRC, DNNL_ARG_SRC},
        {"dst", DNNL2_DST, DNNL_ARG_DST},
        {"weights", DNNL2_WEIGHTS, DNNL_ARG_WEIGHTS},
        {"diff src", DNNL2_SRC + DNNL2_DIFF, DNNL_ARG_DIFF_SRC},
        {"diff dst", DNNL2_DST + DNNL2_DIFF, DNNL_ARG_DIFF_DST},
        {"diff weights", DNNL2_WEIGHTS + DNNL2_DIFF, DNNL_ARG_DIFF_WEIGHTS},
        {"implementation", DNNL2_IMPL_INFO, dnnl_query_impl_info_str},
        {"src md", DNNL2_SRC_MD, dnnl_query_src_md},
        {"dst md", DNNL2_DST_MD, dnnl_query_dst_md},
        {"weights md", DNNL2_WEIGHTS_MD, dnnl_query_weights_md},
        {"diff src md", DNNL2_SRC_MD + 1, dnnl_query_diff_src_md},
        {"diff dst md", DNNL2_DST_MD + 1, dnnl_query_diff_dst_md},
        {"diff weights md", DNNL2_WEIGHTS_MD + 1, dnnl_query_diff_weights_md},
        {"argument", sizeof(struct dnnl2_arg), sizeof(dnnl_exec_arg_t)},
        {"its memory", offsetof(struct dnnl2_arg, memory), offsetof(dnnl_exec_arg_t, memory)},
        {"version", sizeof(struct dnnl2_version), sizeof(dnnl_version_t)},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        cr_expect_eq(same[i].ours, same[i].theirs, "%s: %d, in the header %d", same[i].what, same[i].ours, same[i].theirs);
    cr_expect_geq(sizeof(struct dnnl2_md), sizeof(dnnl_memory_desc_t));
    cr_expect_geq(sizeof(struct dnnl2_desc), sizeof(dnnl_convolution_desc_t));
    cr_expect_geq(sizeof(struct dnnl2_desc), sizeof(dnnl_inner_product_desc_t));
    cr_expect_geq(sizeof(struct dnnl2_desc), sizeof(dnnl_matmul_desc_t));
#else
    cr_skip("the header of oneDNN 2 is not installed (libdnnl-dev)");
#endif
}

Test(bench_dnnl, refused)
{
    static const struct {
        const char *file, *expected;
    } bad[] = {{"/nonexistent/libdnnl.so", "/nonexistent/libdnnl.so"}, {"libm.so.6", "lacks dnnl_version"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char why[256] = "";
        setenv("LOWBIT_DNNL", bad[i].file, 1);
        cr_expect_null(lb_dnnl_load(1, 0, why, sizeof why));
        cr_expect(strstr(why, bad[i].expected), "\"%s\": found \"%s\"", bad[i].file, why);
    }
}
