/* SPDX-License-Identifier: MIT */
/* bench_limits.c - what the machine can do at most: multiply-adds in registers, bytes through memory. */
#include "core/base/pool.h"
#include "core/run/bench_impl.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* ---- Multiply-adds ---- */

enum { ITERATIONS = 40000, CHAINS = 10 };

/* Two units with a latency of four cycles want eight chains. No two are equal, and none is in an array, so that each keeps a register of its own. */
#ifdef __x86_64__
__attribute__((target("avx512f"))) static void fma_avx512(void *arg, size_t i)
{
    const __m512 x = _mm512_set1_ps(0.5f);
    __m512 a = _mm512_setzero_ps(), b = _mm512_add_ps(a, x), c = _mm512_add_ps(b, x), d = _mm512_add_ps(c, x), e = _mm512_add_ps(d, x),
           f = _mm512_add_ps(e, x), g = _mm512_add_ps(f, x), h = _mm512_add_ps(g, x), j = _mm512_add_ps(h, x), k = _mm512_add_ps(j, x);
    volatile float sink;
    (void)arg, (void)i;
    for (int n = 0; n < ITERATIONS; n++) {
        a = _mm512_fmadd_ps(a, x, x);
        b = _mm512_fmadd_ps(b, x, x);
        c = _mm512_fmadd_ps(c, x, x);
        d = _mm512_fmadd_ps(d, x, x);
        e = _mm512_fmadd_ps(e, x, x);
        f = _mm512_fmadd_ps(f, x, x);
        g = _mm512_fmadd_ps(g, x, x);
        h = _mm512_fmadd_ps(h, x, x);
        j = _mm512_fmadd_ps(j, x, x);
        k = _mm512_fmadd_ps(k, x, x);
    }
    a = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)), _mm512_add_ps(_mm512_add_ps(e, f), _mm512_add_ps(g, h)));
    a = _mm512_add_ps(a, _mm512_add_ps(j, k));
    sink = _mm512_cvtss_f32(a);
    (void)sink;
}

__attribute__((target("avx2,fma"))) static void fma_avx2(void *arg, size_t i)
{
    const __m256 x = _mm256_set1_ps(0.5f);
    __m256 a = _mm256_setzero_ps(), b = _mm256_add_ps(a, x), c = _mm256_add_ps(b, x), d = _mm256_add_ps(c, x), e = _mm256_add_ps(d, x),
           f = _mm256_add_ps(e, x), g = _mm256_add_ps(f, x), h = _mm256_add_ps(g, x), j = _mm256_add_ps(h, x), k = _mm256_add_ps(j, x);
    volatile float sink;
    (void)arg, (void)i;
    for (int n = 0; n < ITERATIONS; n++) {
        a = _mm256_fmadd_ps(a, x, x);
        b = _mm256_fmadd_ps(b, x, x);
        c = _mm256_fmadd_ps(c, x, x);
        d = _mm256_fmadd_ps(d, x, x);
        e = _mm256_fmadd_ps(e, x, x);
        f = _mm256_fmadd_ps(f, x, x);
        g = _mm256_fmadd_ps(g, x, x);
        h = _mm256_fmadd_ps(h, x, x);
        j = _mm256_fmadd_ps(j, x, x);
        k = _mm256_fmadd_ps(k, x, x);
    }
    a = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)), _mm256_add_ps(_mm256_add_ps(e, f), _mm256_add_ps(g, h)));
    a = _mm256_add_ps(a, _mm256_add_ps(j, k));
    sink = _mm256_cvtss_f32(a);
    (void)sink;
}
#endif

/* What a compiler makes of it: a multiplication and an addition on whatever vectors the machine is sure to have. */
static void multiply_add(void *arg, size_t i)
{
    enum { LANES = 32 };
    float acc[LANES];
    volatile float x = 0.5f, sink;
    const float f = x;
    (void)arg, (void)i;
    for (int c = 0; c < LANES; c++)
        acc[c] = f;
    for (int n = 0; n < ITERATIONS; n++)
        for (int c = 0; c < LANES; c++)
            acc[c] = acc[c] * f + f;
    for (int c = 0; c < LANES; c++)
        sink = acc[c];
    (void)sink;
}

void lb_bench_peak(struct lb_bench_peak *p, struct lb_pool *pool, unsigned threads, unsigned cpu)
{
    *p = (struct lb_bench_peak){pool, threads, multiply_add, "c", 2.0 * 32 * ITERATIONS * threads};
#ifdef __x86_64__
    if (cpu & LB_CPU_AVX2)
        *p = (struct lb_bench_peak){pool, threads, fma_avx2, "avx2", 2.0 * 8 * CHAINS * ITERATIONS * threads};
    if (cpu & LB_CPU_AVX512)
        *p = (struct lb_bench_peak){pool, threads, fma_avx512, "avx512", 2.0 * 16 * CHAINS * ITERATIONS * threads};
#endif
    (void)cpu;
}

/* ---- Products of bytes ---- */

#ifdef __x86_64__
enum { TERMS = 64 };

/* Ten chains, in registers of their own, for two units with a latency of four or five cycles. */
__attribute__((target("avx512f,avx512vnni"))) static void dot_vnni(void *arg, size_t i)
{
    const __m512i x = _mm512_set1_epi8(1);
    __m512i a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, j = x, k = x;
    (void)arg, (void)i;
    for (int n = 0; n < ITERATIONS; n++)
        __asm__ volatile("vpdpbusd %10, %10, %0\n\tvpdpbusd %10, %10, %1\n\tvpdpbusd %10, %10, %2\n\tvpdpbusd %10, %10, %3\n\t"
                         "vpdpbusd %10, %10, %4\n\tvpdpbusd %10, %10, %5\n\tvpdpbusd %10, %10, %6\n\tvpdpbusd %10, %10, %7\n\t"
                         "vpdpbusd %10, %10, %8\n\tvpdpbusd %10, %10, %9"
                         : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(j), "+v"(k)
                         : "v"(x));
}
#endif

int lb_bench_byte_peak(struct lb_bench_peak *p, struct lb_pool *pool, unsigned threads, unsigned cpu)
{
    (void)p, (void)pool, (void)threads, (void)cpu;
#ifdef __x86_64__
    if (cpu & LB_CPU_VNNI)
        *p = (struct lb_bench_peak){pool, threads, dot_vnni, "vnni", 2.0 * TERMS * CHAINS * ITERATIONS * threads};
    return (cpu & LB_CPU_VNNI) != 0;
#else
    return 0;
#endif
}

int lb_bench_peak_run(void *peak, struct lb_err *err)
{
    const struct lb_bench_peak *p = peak;
    (void)err;
    lb_pool_run(p->pool, p->threads, p->loop, NULL);
    return 0;
}

/* ---- Bytes. Short pieces of input and output take turns, as an encoder's do. ---- */

enum { PIECE = 1024 /* bytes of both together */ };

/* Where piece i of `pieces` ends, in lines of 64 bytes. */
static size_t piece_end(size_t bytes, size_t pieces, size_t i)
{
    return (size_t)((double)(bytes / 64) * (double)(i + 1) / (double)pieces);
}

/* Folds all of it into one word, so that it is read. */
static uint64_t fold(const char *in, size_t n)
{
    uint64_t lane[8] = {0}, word[8];
    for (size_t i = 0; i + sizeof word <= n; i += sizeof word) {
        memcpy(word, in + i, sizeof word);
        for (int j = 0; j < 8; j++)
            lane[j] ^= word[j];
    }
    return lane[0] ^ lane[1] ^ lane[2] ^ lane[3] ^ lane[4] ^ lane[5] ^ lane[6] ^ lane[7];
}

/* Copies what can be copied, folds or fills what is left over. */
static void by_memcpy(const char *in, size_t read, char *out, size_t write)
{
    const size_t both = read < write ? read : write;
    volatile uint64_t sink;
    memcpy(out, in, both);
    memset(out + both, 0x3f, write - both);
    sink = fold(in + both, read - both);
    (void)sink;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void by_avx2(const char *in, size_t read, char *out, size_t write, int past_the_caches)
{
    const size_t pieces = (read + write) / PIECE + 1;
    const __m256i some = _mm256_set1_epi32(0x3f800000); /* some processors write zeros at twice the speed of anything else */
    const __m256i *from = (const __m256i *)(const void *)in;
    __m256i *to = (__m256i *)(void *)out, sum = _mm256_setzero_si256();
    size_t r = 0, w = 0;
    volatile int sink;
    for (size_t p = 0; p < pieces; p++) {
        for (const size_t end = 2 * piece_end(read, pieces, p); r < end; r += 2)
            sum = _mm256_xor_si256(sum, _mm256_xor_si256(_mm256_load_si256(from + r), _mm256_load_si256(from + r + 1)));
        const __m256i line = _mm256_or_si256(sum, some);
        for (const size_t end = 2 * piece_end(write, pieces, p); w < end; w++)
            if (past_the_caches)
                _mm256_stream_si256(to + w, line);
            else
                _mm256_store_si256(to + w, line);
    }
    _mm_sfence();
    sink = _mm256_extract_epi32(sum, 0);
    (void)sink;
}

static void by_stores(const char *in, size_t read, char *out, size_t write)
{
    by_avx2(in, read, out, write, 0);
}

static void by_streaming_stores(const char *in, size_t read, char *out, size_t write)
{
    by_avx2(in, read, out, write, 1);
}
#endif

size_t lb_bench_streams(struct lb_bench_stream s[BENCH_STREAMS], const void *in, size_t read, void *out, size_t write, unsigned cpu)
{
    size_t n = 0;
    s[n++] = (struct lb_bench_stream){"memcpy", NULL, 1, in, out, read, write, by_memcpy};
#ifdef __x86_64__
    if (cpu & LB_CPU_AVX2) {
        s[n++] = (struct lb_bench_stream){"stores", NULL, 1, in, out, read, write, by_stores};
        s[n++] = (struct lb_bench_stream){"streaming stores", NULL, 1, in, out, read, write, by_streaming_stores};
    }
#endif
    (void)cpu;
    return n;
}

static void stream_part(void *arg, size_t i)
{
    const struct lb_bench_stream *s = arg;
    const size_t read = s->read / s->threads / 64 * 64, write = s->write / s->threads / 64 * 64;
    s->loop(s->in + i * read, read, s->out + i * write, write);
}

int lb_bench_stream_run(void *stream, struct lb_err *err)
{
    const struct lb_bench_stream *s = stream;
    (void)err;
    lb_pool_run(s->pool, s->threads, stream_part, stream);
    return 0;
}
