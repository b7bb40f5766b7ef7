/* SPDX-License-Identifier: MIT */
/* packed_util.h - matrices of codes and quantizers for the tests of kernels that take them, beside op_util.h. Arrays end at forbidden memory,
 * and may not be written.
 *
 *     static void one_case(struct op_run *t)
 *     {
 *         packed_load(t);
 *         const struct lb_ops_like like = {.codec = "F4", .rows = 5, .cols = 70, .per = LB_OPS_PER_BLOCK, .block = 32, .scale_codec = "F8_E8M0"};
 *         const struct lb_packed *w = packed_matrix(t, &like);
 *         const float *unpacked = packed_floats(t, w);               (rows, cols), literally q - z times s
 *         const struct lb_ops_quantizer_like by = {.codec = "F4", .how = {.overflow = -1}, .rule = LB_SCALE_FLOOR, .block = 32, .scale = &e8m0};
 *         const struct lb_quantizer *q = packed_quantizer(t, &by);
 *         ...
 *         packed_end(t);                                             (before lb_plugins_unload)
 *     }
 *
 * What a matrix can be like: core/nn/ops_packed.h; a quantizer: core/nn/ops_quantizer.h. */
#ifndef LB_TEST_PACKED_UTIL_H
#define LB_TEST_PACKED_UTIL_H

#include "core/base/mem.h"
#include "core/format/packed.h"
#include "core/nn/ops_quantizer.h"
#include "test/unit/op_util.h"

#include <glob.h>

enum { PACKED_HELD = 64 };

/* What a case holds. */
static struct {
    struct lb_ops_packed *matrix[PACKED_HELD];
    struct lb_ops_quantizer *quantizer[PACKED_HELD];
    struct op_memory memory[PACKED_HELD];
    size_t matrices, quantizers, arrays;
} packed_held;

/* Loads the codecs that lie beside this program's folder, where they are not loaded yet. */
static inline void packed_load(struct op_run *t)
{
    struct lb_err err = {0};
    if (lb_plugins_find(LB_CODEC, "F4", NULL))
        return;
    char pattern[4100];
    snprintf(pattern, sizeof pattern, "%.*s/../plugins/codec_*.so", (int)(strrchr(t->program, '/') - t->program), t->program);
    glob_t found;
    cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "%s: nothing there", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++)
        cr_assert_eq(lb_plugins_load_file(found.gl_pathv[i], &err), 0, "%s", err.text);
    globfree(&found);
}

/* A copy of n bytes that may be read only, between forbidden pages: now it ends at one, now it begins at one. */
static inline void *packed_bytes(struct op_run *t, const void *data, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = n / page + 2;
    cr_assert(packed_held.arrays < PACKED_HELD);
    struct op_memory *m = &packed_held.memory[packed_held.arrays];
    m->bytes = (pages + 2) * page;
    m->map = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(m->map != MAP_FAILED);
    char *first = (char *)m->map + page, *last = (char *)m->map + (pages + 1) * page;
    char *at = op_words(t, 0x200, packed_held.arrays++).w[0] % 3 ? last - n : first;
    memset(first, 0xa5, pages * page);
    memcpy(at, data, n);
    cr_assert_eq(mprotect(first, pages * page, PROT_READ), 0);
    cr_assert_eq(mprotect(m->map, page, PROT_NONE), 0);
    cr_assert_eq(mprotect(last, page, PROT_NONE), 0);
    return at;
}

/* The like-th matrix of the case, drawn from its seed. scale2 and zeros are as aligned as binary32 asks for, codes and scales not at all. */
static inline const struct lb_packed *packed_matrix(struct op_run *t, const struct lb_ops_like *like)
{
    struct lb_err err = {0};
    struct lb_ops_packed *c;
    cr_assert(packed_held.matrices < PACKED_HELD);
    const uint64_t seed = t->seed * 1000003u + t->index * 64 + packed_held.matrices;
    op_assert(t, lb_ops_packed_create(like, seed, &c, &err) == 0, "%s", err.text);
    packed_held.matrix[packed_held.matrices++] = c;
    c->p.codes = packed_bytes(t, c->codes, c->code_bytes);
    if (c->scales)
        c->p.scales = packed_bytes(t, c->scales, c->scale_bytes);
    if (c->scale2)
        c->p.scale2 = packed_bytes(t, c->scale2, c->n_scale2 * sizeof(float));
    if (c->zeros)
        c->p.zeros = packed_bytes(t, c->zeros, c->p.n_scales * sizeof(float));
    return &c->p;
}

/* What it is worth, (rows, cols), in an array of the case. */
static inline const float *packed_floats(struct op_run *t, const struct lb_packed *p)
{
    struct lb_err err = {0};
    float *x = op_memory(t, p->rows * p->cols);
    for (size_t i = 0; i < p->rows; i++)
        op_assert(t, lb_ops_packed_row(p, i, 0, p->cols, x + i * p->cols, &err) == 0, "%s", err.text);
    return x;
}

static inline const struct lb_quantizer *packed_quantizer(struct op_run *t, const struct lb_ops_quantizer_like *like)
{
    struct lb_err err = {0};
    struct lb_ops_quantizer *c;
    cr_assert(packed_held.quantizers < PACKED_HELD);
    op_assert(t, lb_ops_quantizer_create(like, &c, &err) == 0, "%s", err.text);
    packed_held.quantizer[packed_held.quantizers++] = c;
    for (struct lb_ops_quantizer *q = c; q; q = q->scale) {
        q->q.first = packed_bytes(t, q->first, q->q.n * sizeof *q->first);
        q->q.code = packed_bytes(t, q->code, q->q.n * sizeof *q->code);
        q->q.member = packed_bytes(t, q->member, q->q.n_members * sizeof *q->member);
        q->q.member_code = packed_bytes(t, q->member_code, q->q.n_members * sizeof *q->member_code);
    }
    return &c->q;
}

/* Gives all of it back; at the end of each case. */
static inline void packed_end(struct op_run *t)
{
    (void)t;
    for (; packed_held.matrices; packed_held.matrices--)
        lb_ops_packed_destroy(packed_held.matrix[packed_held.matrices - 1]);
    for (; packed_held.quantizers; packed_held.quantizers--)
        lb_ops_quantizer_destroy(packed_held.quantizer[packed_held.quantizers - 1]);
    for (; packed_held.arrays; packed_held.arrays--)
        munmap(packed_held.memory[packed_held.arrays - 1].map, packed_held.memory[packed_held.arrays - 1].bytes);
}

/* ---- Drawing what they are like ---- */

/* Codecs of every width that the tests know; those that are not loaded are passed over. */
static const char *const packed_codecs[] = {"F4",   "I8",      "U8",      "F8_E4M3", "F8_E5M2", "F16",   "BF16",    "I16",  "F32",  "I32",
                                            "I4",   "U4",      "I2",      "TERNARY", "BOOL",    "NF4",   "F6_E2M3", "Q4_0", "Q4_K", "Q6_K",
                                            "Q8_0", "F6_E3M2", "LOOM_F4", "F8_E8M0", "IQ4_NL",  "TQ1_0", "Q3_K",    "Q5_1"};
static const char *const packed_scale_codecs[] = {NULL, "F16", "BF16", "F8_E8M0", "F8_E4M3", "I8"};

static inline const char *packed_draw_name(struct op_run *t, const char *const *names, size_t n)
{
    for (;;) {
        const char *name = names[op_draw(t, 0, n - 1)];
        if (!name || lb_plugins_find(LB_CODEC, name, NULL))
            return name;
    }
}

/* A matrix of any kind of struct lb_packed: any codec, any scales, special codes in a third of the cases. */
static inline struct lb_ops_like packed_draw(struct op_run *t, size_t rows, size_t cols)
{
    static const size_t blocks[] = {1, 16, 32, 64, 128, 7, 33, 256}, aligns[] = {0, 0, 0, 2, 4, 16, 64};
    struct lb_ops_like like = {.rows = rows, .cols = cols};
    like.codec = packed_draw_name(t, packed_codecs, sizeof packed_codecs / sizeof *packed_codecs);
    like.row_align = aligns[op_draw(t, 0, 6)];
    like.per = (int)op_draw(t, 0, 4);
    like.per = like.per == 4 ? (int)LB_OPS_PER_BLOCK : like.per;
    like.block = blocks[op_draw(t, 0, 7)];
    like.scale_codec = packed_draw_name(t, packed_scale_codecs, sizeof packed_scale_codecs / sizeof *packed_scale_codecs);
    like.second = (int)op_draw(t, 0, 3) % 3;
    like.offset = like.second && op_draw(t, 0, 1);
    like.zeros = op_draw(t, 0, 3) == 0;
    like.rarity = op_draw(t, 0, 2) ? 0 : (unsigned)(2 * cols + 3);
    return like;
}

#endif
