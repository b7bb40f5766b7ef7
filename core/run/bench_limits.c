/* SPDX-License-Identifier: MIT */
/* bench_limits.c - what the machine can do at most: multiply-adds in registers, bytes through memory. */
#include "core/base/pool.h"
#include "core/run/bench_impl.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* ---- Multiply-adds ---- */

enum { ITERATIONS = 20000, CHAINS = 24 /* enough to hide the latency of one */ };

#ifdef __x86_64__
/* The asm keeps the compiler from seeing through the loop; it emits nothing. */
__attribute__((target("avx512f"))) static void fma_avx512(void *arg, size_t i)
{
    __m512 acc[CHAINS];
    const __m512 x = _mm512_set1_ps(0.5f);
    (void)arg, (void)i;
    for (int c = 0; c < CHAINS; c++)
        acc[c] = x;
    for (int n = 0; n < ITERATIONS; n++)
#pragma GCC unroll 24
        for (int c = 0; c < CHAINS; c++) {
            acc[c] = _mm512_fmadd_ps(acc[c], x, x);
            __asm__ volatile("" : "+v"(acc[c]));
        }
}

__attribute__((target("avx2,fma"))) static void fma_avx2(void *arg, size_t i)
{
    enum { CHAINS_256 = 12 };
    __m256 acc[CHAINS_256];
    const __m256 x = _mm256_set1_ps(0.5f);
    (void)arg, (void)i;
    for (int c = 0; c < CHAINS_256; c++)
        acc[c] = x;
    for (int n = 0; n < 2 * ITERATIONS; n++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS_256; c++) {
            acc[c] = _mm256_fmadd_ps(acc[c], x, x);
            __asm__ volatile("" : "+x"(acc[c]));
        }
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

int lb_bench_peak_create(struct lb_bench_peak *p, unsigned threads, unsigned cpu, struct lb_err *err)
{
    *p = (struct lb_bench_peak){.threads = threads, .loop = multiply_add, .isa = "c", .flops = 2.0 * 32 * ITERATIONS * threads};
#ifdef __x86_64__
    if (cpu & LB_CPU_AVX2)
        *p = (struct lb_bench_peak){.threads = threads, .loop = fma_avx2, .isa = "avx2", .flops = 2.0 * 8 * 12 * 2 * ITERATIONS * threads};
    if (cpu & LB_CPU_AVX512)
        *p = (struct lb_bench_peak){.threads = threads, .loop = fma_avx512, .isa = "avx512", .flops = 2.0 * 16 * CHAINS * ITERATIONS * threads};
#endif
    p->pool = lb_pool_create(threads);
    return p->pool ? 0 : lb_fail(err, "bench: %u threads could not be started", threads);
}

void lb_bench_peak_finish(struct lb_bench_peak *p)
{
    lb_pool_destroy(p->pool);
}

int lb_bench_peak_run(void *peak, struct lb_err *err)
{
    const struct lb_bench_peak *p = peak;
    (void)err;
    lb_pool_run(p->pool, p->threads, p->loop, NULL);
    return 0;
}

/* ---- Bytes. Blocks of input and output take turns, as an encoder's do. ---- */

enum { BLOCKS = 4096 };

/* Folds all of a block into one word, so that it is read. */
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
    const size_t r = read / BLOCKS, w = write / BLOCKS, both = r < w ? r : w;
    volatile uint64_t sink;
    for (size_t b = 0; b < BLOCKS; b++, in += r, out += w) {
        memcpy(out, in, both);
        memset(out + both, 0, w - both);
        sink = fold(in + both, r - both);
    }
    (void)sink;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void by_avx2(const char *in, size_t read, char *out, size_t write, int past_the_cache)
{
    const size_t r = read / BLOCKS / 64, w = write / BLOCKS / 64;
    __m256i sum = _mm256_setzero_si256();
    volatile int sink;
    for (size_t b = 0; b < BLOCKS; b++) {
        const __m256i *from = (const __m256i *)(const void *)in + 2 * b * r;
        __m256i *to = (__m256i *)(void *)out + 2 * b * w;
        for (size_t i = 0; i < 2 * r; i += 2)
            sum = _mm256_xor_si256(sum, _mm256_xor_si256(_mm256_load_si256(from + i), _mm256_load_si256(from + i + 1)));
        for (size_t i = 0; i < 2 * w; i++)
            if (past_the_cache)
                _mm256_stream_si256(to + i, sum);
            else
                _mm256_store_si256(to + i, sum);
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
    s[n++] = (struct lb_bench_stream){"memcpy", in, out, read, write, by_memcpy};
#ifdef __x86_64__
    if (cpu & LB_CPU_AVX2) {
        s[n++] = (struct lb_bench_stream){"stores", in, out, read, write, by_stores};
        s[n++] = (struct lb_bench_stream){"streaming stores", in, out, read, write, by_streaming_stores};
    }
#endif
    (void)cpu;
    return n;
}

int lb_bench_stream_run(void *stream, struct lb_err *err)
{
    const struct lb_bench_stream *s = stream;
    (void)err;
    s->loop(s->in, s->read, s->out, s->write);
    return 0;
}
