/* SPDX-License-Identifier: MIT */
/* fma.glsl - the fused multiply-add of a device whose fma() is not fused, from binary64 and 64-bit integers. Included before
 * kernels/canon.h.
 *
 * FMA_FUSED defined: fma() is fused (the device test has shown it) and nothing is defined here but, for that test, fma_float64. */
#ifndef LB_FMA_GLSL
#define LB_FMA_GLSL

#if !defined(FMA_FUSED) || defined(FMA_BOTH)
#ifdef VULKAN /* test/unit/test_vulkan_fma.c compiles this text as C */
#extension GL_ARB_gpu_shader_int64 : require
#endif

/* a*b + c, rounded once. The product of two binary32 values is exact in binary64. The sum s is rounded to odd there: where it is not exact
 * and its last bit is even, the neighbour on the side of the error e (which the two-sum gives exactly) has an odd one. Binary64 has more
 * than two bits beyond binary32, subnormal results included, so rounding that once more gives what one rounding of the exact sum gives
 * (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", IEEE Trans. Computers 57(4), 2008). An infinity or a NaN makes e a
 * NaN, and s stays. */
float fma_float64(float a, float b, float c)
{
    double p = double(a) * double(b);
    double d = double(c);
    double s = p + d;
    double t = s - p;
    double e = (p - (s - t)) + (d - t);
    int64_t u = doubleBitsToInt64(s);
    int64_t outward = ((doubleBitsToInt64(e) ^ u) >> 63) | int64_t(1); /* 1 where e has the sign of s, else -1 */
    u += abs(e) > double(0) && (u & int64_t(1)) == int64_t(0) ? outward : int64_t(0);
    return float(int64BitsToDouble(u));
}
#endif

#ifndef FMA_FUSED
#define canon_fma(a, b, c) fma_float64(a, b, c)
#endif

#endif
