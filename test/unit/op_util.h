/* SPDX-License-Identifier: MIT */
/* op_util.h - what the tests of the kernels share: seeded cases, arrays that end at forbidden memory, comparison bit for bit, and for
 * a failure the command that repeats its case.
 *
 *     static void one_case(struct op_run *t)
 *     {
 *         const size_t n = op_draw(t, 1, 100);
 *         const float *x = op_input(t, n, 50);
 *         float *want = op_output(t, n), *got = op_output(t, n);
 *         op_name(t, "n=%zu", n);
 *         ref_kernels_c.act(x, want, n, REF_RELU, 0);
 *         t->k.rows.act(...);
 *         op_same(t, "y", want, got, n);
 *     }
 *     Test(act, avx2) { op_cases("act/avx2", "avx2", 300, one_case); }       (one Test for each of "c", "avx2", "avx512") */
#ifndef LB_TEST_OP_UTIL_H
#define LB_TEST_OP_UTIL_H

#include "core/nn/backend.h"
#include "core/plugins.h"
#include "kernels/canon.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/ref.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { OP_ARRAYS = 32, OP_MARGIN = 24 /* elements on both sides of an array that must stay */ };

/* An array of a case. */
struct op_memory {
    void *map;
    size_t bytes; /* of map, a forbidden page at each end */
    float *at;
    size_t n;
};

/* The case at hand. */
struct op_run {
    const char *test, *isa; /* "suite/name"; "c", "avx2", "avx512" or "vnni" */
    char program[4000];
    unsigned cpumask;     /* enum lb_cpu bits of isa */
    struct cpu_kernels k; /* those of isa */
    uint64_t seed;
    size_t index;
    uint32_t drawn; /* random numbers so far */
    char name[240];
    struct op_memory memory[OP_ARRAYS];
    size_t arrays;
};

/* A NaN that no op stores. */
static const uint32_t op_untouched = 0x7fa5c3e1u;

/* Says what the case is, for the message of a failure. */
__attribute__((format(printf, 2, 3))) static inline void op_name(struct op_run *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->name, sizeof t->name, format, args);
    va_end(args);
}

/* Fails the test with a message that ends in the command for this case alone. */
#define op_assert(t, condition, format, ...)                                                                                               \
    cr_assert(condition, "%s: %s: " format "\n    repeat: LOWBIT_SEED=%llu LOWBIT_CASE=%zu %s --filter %s", (t)->isa, (t)->name,           \
              __VA_ARGS__, (unsigned long long)(t)->seed, (t)->index, (t)->program, (t)->test)

/* ---- Random numbers: functions of seed, case, and how many were drawn before ---- */

static inline canon_words op_words(struct op_run *t, uint32_t stream, size_t i)
{
    return canon_random64(t->seed * 1000003u + t->index, stream, i);
}

/* A whole number from lo to hi. */
static inline size_t op_draw(struct op_run *t, size_t lo, size_t hi)
{
    return lo + op_words(t, 0, t->drawn++).w[0] % (hi - lo + 1);
}

/* Zeros, subnormals, the smallest normal, the largest, numbers whose products are subnormal or that round. */
static inline float op_special(uint32_t r)
{
    static const uint32_t table[] = {0x00000000u, 0x80000000u, 0x00000001u, 0x80000001u, 0x007fffffu, 0x807ffffeu,
                                     0x00800000u, 0x80800000u, 0x7f7fffffu, 0xff7fffffu, 0x7f000000u, 0x1c123456u,
                                     0x9c654321u, 0x20345678u, 0x3f800000u, 0xbf800000u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

static inline float op_not_finite(uint32_t r)
{
    static const uint32_t table[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

/* ---- Memory ---- */

/* n elements at an address that is a multiple of 4 and mostly of no more. Now the last one ends at a page that may not be touched, now
 * the first one follows such a page; else there are OP_MARGIN elements before and behind. All of it holds op_untouched. */
static inline float *op_memory(struct op_run *t, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (n + 2 * OP_MARGIN) * sizeof(float), pages = (inner + page - 1) / page;
    cr_assert(t->arrays < OP_ARRAYS);
    struct op_memory *m = &t->memory[t->arrays];
    m->bytes = (pages + 2) * page;
    m->map = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(m->map != MAP_FAILED);
    float *first = (float *)(void *)((char *)m->map + page), *last = (float *)(void *)((char *)m->map + (pages + 1) * page);
    for (float *p = first; p < last; p++)
        *p = canon_float(op_untouched);
    cr_assert_eq(mprotect(m->map, page, PROT_NONE), 0);
    cr_assert_eq(mprotect(last, page, PROT_NONE), 0);
    const uint32_t where = op_words(t, 1, t->arrays).w[0];
    m->n = n;
    m->at = where % 4 == 0 ? last - n : where % 4 == 1 ? first : first + OP_MARGIN / 2 + where / 4 % 17 % OP_MARGIN;
    t->arrays++;
    return m->at;
}

/* n numbers in (-2, 2); where `rarity` is not 0, one in `rarity` is special (zeros, subnormals, huge) and one in
 * 4 `rarity` is not finite. */
static inline float *op_input(struct op_run *t, size_t n, unsigned rarity)
{
    const uint32_t stream = 2 + (uint32_t)t->arrays;
    float *x = op_memory(t, n);
    for (size_t i = 0; i < n; i++) {
        const canon_words r = op_words(t, stream, i);
        x[i] = rarity && r.w[1] % (4 * rarity) == 0 ? op_not_finite(r.w[2])
               : rarity && r.w[1] % rarity == 1     ? op_special(r.w[2])
                                                    : 4.0f * canon_unit(r.w[0]) - 2.0f;
    }
    return x;
}

/* n elements for a kernel to fill; what lies around them is looked at when the case ends. */
static inline float *op_output(struct op_run *t, size_t n)
{
    return op_memory(t, n);
}

static inline void op_same(struct op_run *t, const char *array, const float *want, const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        op_assert(t, canon_bits(want[i]) == canon_bits(got[i]), "%s[%zu] of %zu: expected 0x%08x (%g), got 0x%08x (%g)", array, i, n,
                  canon_bits(want[i]), (double)want[i], canon_bits(got[i]), (double)got[i]);
}

/* Looks at the margins and gives the case's memory back. */
static inline void op_end(struct op_run *t)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t a = 0; a < t->arrays; a++) {
        const struct op_memory *m = &t->memory[a];
        const float *first = (const float *)(void *)((char *)m->map + page);
        const float *last = (const float *)(void *)((char *)m->map + m->bytes - page);
        for (const float *p = first; p < last; p++)
            op_assert(t, (p >= m->at && p < m->at + m->n) || canon_bits(*p) == op_untouched, "array %zu of %zu elements: [%td] was written",
                      a, m->n, p - m->at);
        munmap(m->map, m->bytes);
    }
    t->arrays = 0;
}

/* ---- Running ---- */

/* The backend `cpu`, restricted to the case's instruction set; lb_backend_close it, then lb_plugins_unload. */
static inline struct lb_dev *op_device(struct op_run *t, unsigned threads)
{
    struct lb_err err = {0};
    struct lb_dev *d;
    char file[4100];
    snprintf(file, sizeof file, "%.*s/../plugins/cpu.so", (int)(strrchr(t->program, '/') - t->program), t->program);
    cr_assert_eq(lb_plugins_load_file(file, &err), 0, "%s", err.text);
    const struct lb_entry *e = lb_plugins_find(LB_BACKEND, "cpu", &err);
    cr_assert_not_null(e, "%s", err.text);
    const struct lb_backend_options o = {.cpumask = t->cpumask, .threads = threads};
    cr_assert_eq(lb_backend_open((const struct lb_backend *)(const void *)e->plugin, &o, &d, &err), 0, "%s", err.text);
    return d;
}

/* A number of the environment, or `otherwise`. */
static inline uint64_t op_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Runs one(t) for n cases (LOWBIT_CASE: for that one alone) with the kernels of `isa`; skips where this machine does not have it. */
static inline void op_cases(const char *test, const char *isa, size_t n, void (*one)(struct op_run *t))
{
    static struct op_run t;
    const int vnni = strcmp(isa, "vnni") == 0, avx512 = vnni || strcmp(isa, "avx512") == 0, avx2 = avx512 || strcmp(isa, "avx2") == 0;
    const unsigned needed =
        (avx2 ? (unsigned)LB_CPU_AVX2 : 0) | (avx512 ? (unsigned)LB_CPU_AVX512 : 0) | (vnni ? (unsigned)LB_CPU_VNNI | LB_CPU_VBMI : 0);
    if (needed & ~lb_cpu_features())
        cr_skip_test("this CPU has no %s", isa);
    t = (struct op_run){.test = test, .isa = isa, .cpumask = needed, .seed = op_environment("LOWBIT_SEED", 20240601)};
    cr_assert(readlink("/proc/self/exe", t.program, sizeof t.program - 1) > 0);
    cpu_kernels_init(&t.k, avx2, avx512, vnni);
    cr_assert_str_eq(vnni ? t.k.int8.isa : t.k.isa, isa);
    printf("%s: seed %llu\n", test, (unsigned long long)t.seed);
    fflush(stdout);
    const uint64_t only = op_environment("LOWBIT_CASE", UINT64_MAX);
    for (size_t i = 0; i < n; i++) {
        if (only != UINT64_MAX ? only != i : i % 3 != 0 && getenv("LOWBIT_QUICK") != NULL)
            continue;
        t.index = i;
        t.drawn = 0;
        op_name(&t, "case %zu", i);
        one(&t);
        op_end(&t);
    }
}

#endif
