/* SPDX-License-Identifier: MIT */
/* vulkan_quantize.c - encoding on the device: kernels/vulkan/quantize.comp. First the largest magnitude of what shares a scale, then the scales, then
 * the elements; cut where a binding reaches less far. */
#include "plugins/vulkan/vulkan.h"

#include <stdio.h>
#include <string.h>

enum { PART = 128 /* elements whose largest magnitude one invocation finds */ };

struct vulkan_quantizer {
    struct lb_quantizer q, scale; /* without their tables; q.scale: NULL or &scale */
    struct lb_buf tables;
    size_t scale_at; /* of the scale's tables, words */
    float of_nan, scale_of_nan;
};

/* What shares a scale: n groups, `per_row` in each row of `row` elements, `width` elements of it each (the last one may have fewer). */
struct groups {
    size_t row, width, per_row, n;
};

/* ---- Tables ---- */

static size_t table_words(const struct lb_quantizer *q)
{
    return 2 * q->n + (q->stochastic ? 2 * q->n_members : 0);
}

/* Keys, what they become, and so of members. */
static void fill_tables(const struct lb_quantizer *q, uint32_t *to)
{
    float *worth = (float *)(void *)(to + q->n), *member = worth + q->n;
    memcpy(to, q->first, q->n * sizeof *to);
    for (size_t i = 0; i < q->n; i++)
        worth[i] = q->q.values[q->code[i]];
    for (size_t i = 0; q->stochastic && i < q->n_members; i++) {
        member[i] = q->member[i];
        member[q->n_members + i] = q->q.values[q->member_code[i]];
    }
}

static const char *lacks(const struct lb_quantizer *q)
{
    const struct lb_quantizer *s = q->scale;
    if (!q->q.values || !q->n || (s && (!s->q.values || !s->n)))
        return "only codecs of up to 16 bits are encoded by tables";
    if (q->rule > LB_SCALE_RCEIL || (q->rule > LB_SCALE_ABSMAX && q->rule < LB_SCALE_FLOOR))
        return "this scale rule is for the host";
    if (s && s->rule > LB_SCALE_ABSMAX)
        return "the scale of a scale is fixed or absmax";
    if (s && (s->scale || s->stochastic || (s->rule != LB_SCALE_NONE && s->block != SIZE_MAX)))
        return "the scales' own scale is one for all of them, in binary32, and they are not rounded stochastically";
    return NULL;
}

static int upload(struct vulkan_device *d, const struct lb_quantizer *q, struct vulkan_quantizer *made)
{
    const size_t own = table_words(q), words = own + (q->scale ? table_words(q->scale) : 0);
    uint32_t *tables = d->host->alloc(d->host, words * sizeof *tables);
    if (!tables)
        return vulkan_fail(d, "out of memory: tables");
    fill_tables(q, tables);
    if (q->scale)
        fill_tables(q->scale, tables + own);
    made->scale_at = own;
    made->tables.bytes = words * sizeof *tables;
    int r = vulkan_buf_create(d, &made->tables);
    if (r)
        made->tables.ptr = NULL;
    else
        r = vulkan_buf_write(d, &made->tables, 0, tables, made->tables.bytes);
    d->host->free(d->host, tables);
    return r;
}

void *vulkan_quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size)
{
    struct vulkan_device *d = dev;
    const char *reason = lacks(q);
    struct vulkan_quantizer *made = reason ? NULL : d->host->alloc(d->host, sizeof *made);
    if (!made) {
        snprintf(why, why_size, "%s", reason ? reason : "out of memory");
        return NULL;
    }
    *made = (struct vulkan_quantizer){.q = *q, .of_nan = q->q.values[q->nan_code]};
    if (q->scale) {
        made->scale = *q->scale;
        made->q.scale = &made->scale;
        made->scale_of_nan = q->scale->q.values[q->scale->nan_code];
    }
    if (!upload(d, q, made))
        return made;
    snprintf(why, why_size, "%s", d->error);
    vulkan_quantizer_free(d, made);
    return NULL;
}

void vulkan_quantizer_free(void *dev, void *quantizer)
{
    struct vulkan_device *d = dev;
    struct vulkan_quantizer *q = quantizer;
    if (q && q->tables.ptr)
        vulkan_buf_destroy(d, &q->tables);
    d->host->free(d->host, q);
}

/* ---- Largest magnitudes ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts_of(const struct groups *g, size_t size)
{
    const size_t width = least(g->width, g->row);
    return width > size ? (width + size - 1) / size : 1;
}

/* The elements of a part, counted over all groups; none where its group is the shorter last one of a row. */
static void part_bounds(const struct groups *g, size_t parts, size_t size, size_t q, size_t *from, size_t *end)
{
    const size_t group = q / parts, row = group / g->per_row * g->row, at = group % g->per_row * g->width;
    const size_t group_end = row + least(at + g->width, g->row);
    *from = least(row + at + q % parts * size, group_end);
    *end = least(*from + size, group_end);
}

/* One level: parts of x into `to`, which begins at element 0 of the first part's. */
static int find_parts(struct vulkan_device *d, struct vulkan_operand x, const struct groups *g, size_t size, int raw, int powers,
                      struct vulkan_operand to)
{
    const size_t parts = parts_of(g, size), all = g->n * parts, at_once = d->t.reach / size;
    for (size_t q = 0, n; q < all; q += n) {
        size_t from, end, none;
        n = least(all - q, at_once ? at_once : 1);
        part_bounds(g, parts, size, q, &from, &none);
        part_bounds(g, parts, size, q + n - 1, &none, &end);
        const uint32_t args[] = {(uint32_t)n,        (uint32_t)q,          (uint32_t)parts, (uint32_t)size, (uint32_t)g->row,
                                 (uint32_t)g->width, (uint32_t)g->per_row, (uint32_t)from,  raw != 0,       powers != 0};
        struct vulkan_dispatch c = {.kernel = KERNEL_AMAX, .operand = {x, to}, .args = args, .args_bytes = sizeof args};
        c.operand[0].at += from;
        c.operand[0].n = end - from;
        c.operand[1].at += q;
        c.operand[1].n = n;
        c.groups = vulkan_groups(d, KERNEL_AMAX, n);
        c.work = (double)(end - from);
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

/* Words that vulkan_amax needs beside its result. */
static size_t amax_scratch(const struct vulkan_device *d, const struct groups *g)
{
    const size_t size = least(PART, d->t.reach), parts = parts_of(g, size);
    return parts > 1 ? 2 * g->n * parts : 0;
}

/* The bits of the largest magnitude of each group into `to`; `scratch` has amax_scratch words. */
static int find_amax(struct vulkan_device *d, struct vulkan_operand x, struct groups g, int powers, struct vulkan_operand to,
                     struct vulkan_operand scratch)
{
    const size_t size = least(PART, d->t.reach), half = g.n * parts_of(&g, size);
    for (int level = 0;; level++) {
        const size_t parts = parts_of(&g, size);
        struct vulkan_operand next = scratch;
        next.at += level % 2 ? half : 0;
        if (find_parts(d, x, &g, size, level > 0, powers && !level, parts > 1 ? next : to))
            return -1;
        if (parts == 1)
            return 0;
        x = next;
        x.writes = 0;
        g = (struct groups){.row = parts, .width = parts, .per_row = 1, .n = g.n};
    }
}

/* ---- Scales ---- */

struct scale_args {
    uint32_t count, make, store, rule;
    float value, top;
    int32_t emax, fraction;
    uint32_t by_rule, by_all;
    float by_value, by_top;
    uint32_t keys;
    float of_nan;
};

static int run_scales(struct vulkan_device *d, struct vulkan_operand s, size_t n, struct vulkan_operand most, struct vulkan_operand tables,
                      struct scale_args args)
{
    for (size_t from = 0, part; from < n; from += part) {
        part = least(n - from, d->t.reach);
        args.count = (uint32_t)part;
        struct vulkan_dispatch c = {.kernel = KERNEL_SCALES,
                                    .operand = {{.buffer = NULL}, s, most, tables},
                                    .args = &args,
                                    .args_bytes = sizeof args,
                                    .groups = vulkan_groups(d, KERNEL_SCALES, part),
                                    .work = 50.0 * (double)part};
        c.operand[1].at += from;
        c.operand[1].n = part;
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

/* Parts of the scratch buffer: n scales, one number for all, and what find_amax needs. */
struct room {
    struct vulkan_operand scales, most, scratch;
};

static int take_room(struct vulkan_device *d, const struct groups *g, size_t extra, struct room *r)
{
    const struct groups all = {.row = g->n, .width = g->n, .per_row = 1, .n = 1};
    const size_t one = amax_scratch(d, g), two = amax_scratch(d, &all), most = one > two ? one : two;
    struct vulkan_buffer *b = vulkan_scratch_buffer(d, (g->n + 1 + most + extra) * sizeof(float));
    if (!b)
        return -1;
    r->scales = (struct vulkan_operand){b, extra, g->n, 1};
    r->most = (struct vulkan_operand){b, extra + g->n, 1, 1};
    r->scratch = (struct vulkan_operand){b, extra + g->n + 1, most, 1};
    return 0;
}

static struct vulkan_operand for_reading(struct vulkan_operand o)
{
    o.writes = 0;
    return o;
}

static int find_scales(struct vulkan_device *d, const struct vulkan_quantizer *v, struct vulkan_operand x, const struct groups *g,
                       const struct room *r)
{
    const struct lb_quantizer *q = &v->q, *by = q->scale;
    const struct groups all = {.row = g->n, .width = g->n, .per_row = 1, .n = 1};
    const int by_absmax = by && by->rule == LB_SCALE_ABSMAX, by_all = by_absmax && q->rule == LB_SCALE_ABSMAX;
    const struct vulkan_operand most = by_absmax ? for_reading(r->most) : (struct vulkan_operand){.buffer = NULL};
    struct vulkan_operand tables = {.buffer = NULL};
    struct scale_args args = {.make = 1,
                              .store = by && (by_all || !by_absmax),
                              .rule = q->rule,
                              .value = q->value,
                              .top = q->top,
                              .emax = q->emax,
                              .fraction = q->fraction,
                              .by_all = (uint32_t)by_all};
    if (by) {
        tables = (struct vulkan_operand){v->tables.ptr, v->scale_at, table_words(by), 0};
        args.by_rule = by->rule;
        args.by_value = by->value;
        args.by_top = by->top;
        args.keys = (uint32_t)by->n;
        args.of_nan = v->scale_of_nan;
    }
    if (q->rule != LB_SCALE_FIXED && find_amax(d, x, *g, q->rule >= LB_SCALE_FLOOR, r->scales, r->scratch))
        return -1;
    if (by_all && find_amax(d, for_reading(r->scales), all, 0, r->most, r->scratch))
        return -1;
    if (run_scales(d, r->scales, g->n, most, tables, args))
        return -1;
    if (!by_absmax || by_all)
        return 0;
    args.make = 0;
    args.store = 1;
    return find_amax(d, for_reading(r->scales), all, 0, r->most, r->scratch) || run_scales(d, r->scales, g->n, most, tables, args) ? -1 : 0;
}

/* ---- Elements ---- */

struct apply_args {
    uint32_t count, first, row, width, per_row, scale0, scaled, held;
    float top;
    uint32_t keys, members;
    float of_nan;
    uint32_t index[2], seed[2], stream;
};

static size_t scale_of(const struct groups *g, size_t e)
{
    return e / g->row * g->per_row + e % g->row / g->width;
}

static int apply(struct vulkan_device *d, const struct vulkan_quantizer *v, const struct lb_quantize *o, const struct groups *g,
                 const struct room *r)
{
    const struct lb_quantizer *q = &v->q;
    const size_t n = o->rows * o->cols;
    struct apply_args args = {.row = (uint32_t)g->row,
                              .width = (uint32_t)g->width,
                              .per_row = (uint32_t)g->per_row,
                              .scaled = q->rule != LB_SCALE_NONE,
                              .held = q->clamp != 0,
                              .top = q->top,
                              .keys = (uint32_t)q->n,
                              .members = q->stochastic ? (uint32_t)q->n_members : 0,
                              .of_nan = v->of_nan,
                              .seed = {(uint32_t)o->seed, (uint32_t)(o->seed >> 32)},
                              .stream = o->stream};
    for (size_t from = 0, part; from < n; from += part) {
        part = least(n - from, d->t.reach);
        const uint64_t index = o->first + from;
        const size_t s0 = args.scaled ? scale_of(g, from) : 0, s1 = args.scaled ? scale_of(g, from + part - 1) : 0;
        args.count = (uint32_t)part;
        args.first = (uint32_t)from;
        args.scale0 = (uint32_t)s0;
        args.index[0] = (uint32_t)index;
        args.index[1] = (uint32_t)(index >> 32);
        struct vulkan_dispatch c = {
            .kernel = KERNEL_APPLY,
            .operand = {vulkan_in(o->x, from, part), vulkan_out(o->y, from, part), {.buffer = NULL}, {v->tables.ptr, 0, table_words(q), 0}},
            .args = &args,
            .args_bytes = sizeof args,
            .groups = vulkan_groups(d, KERNEL_APPLY, part),
            .work = 50.0 * (double)part};
        if (args.scaled)
            c.operand[2] = (struct vulkan_operand){r->scales.buffer, r->scales.at + s0, s1 - s0 + 1, 0};
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}

/* block 0: a row. */
static struct groups groups_of(size_t rows, size_t cols, size_t block)
{
    const size_t width = block && block < cols ? block : cols, per_row = width ? (cols + width - 1) / width : 1;
    return (struct groups){.row = cols, .width = width, .per_row = per_row, .n = rows * per_row};
}

int vulkan_quantize(void *dev, const struct lb_quantize *o)
{
    struct vulkan_device *d = dev;
    const struct vulkan_quantizer *v = o->q;
    const size_t n = o->rows * o->cols;
    const struct groups g = v->q.block == SIZE_MAX ? groups_of(n > 0, n, 0) : groups_of(o->rows, o->cols, v->q.block);
    struct room r = {.scales = {.buffer = NULL}};
    if (!n)
        return 0;
    if (n > UINT32_MAX)
        return vulkan_fail(d, "quantize: %zu elements; this backend takes up to %lu", n, (unsigned long)UINT32_MAX);
    if (v->q.rule != LB_SCALE_NONE && (take_room(d, &g, 0, &r) || find_scales(d, v, vulkan_in(o->x, 0, n), &g, &r)))
        return -1;
    return apply(d, v, o, &g, &r);
}

/* ---- Integers of 8 bits ---- */

int vulkan_bytes(struct vulkan_device *d, struct lb_ref x, size_t rows, size_t cols, size_t block, struct vulkan_bytes *out)
{
    const struct groups g = groups_of(rows, cols, block);
    const size_t words = (cols + 3) / 4, at_once = cols && cols < d->t.reach ? d->t.reach / cols : 1;
    const struct scale_args args = {.make = 1, .rule = LB_SCALE_ABSMAX, .top = 127};
    const struct vulkan_operand none = {.buffer = NULL};
    struct room r;
    if (rows * cols > UINT32_MAX)
        return vulkan_fail(d, "integer products: %zu activations; this backend takes up to %lu", rows * cols, (unsigned long)UINT32_MAX);
    if (take_room(d, &g, rows * words, &r) || find_amax(d, vulkan_in(x, 0, rows * cols), g, 0, r.scales, r.scratch) ||
        run_scales(d, r.scales, g.n, none, none, args))
        return -1;
    *out = (struct vulkan_bytes){{r.scales.buffer, 0, rows * words + g.n, 0}, words, rows * words, g.per_row};
    for (size_t from = 0, n; cols && from < rows; from += n) {
        n = least(rows - from, at_once);
        const uint32_t byte_args[] = {(uint32_t)(n * words), (uint32_t)cols, (uint32_t)g.width, (uint32_t)g.per_row};
        const struct vulkan_dispatch c = {.kernel = KERNEL_BYTES,
                                          .operand = {vulkan_in(x, from * cols, n * cols),
                                                      {r.scales.buffer, from * words, n * words, 1},
                                                      {r.scales.buffer, r.scales.at + from * g.per_row, n * g.per_row, 0}},
                                          .args = byte_args,
                                          .args_bytes = sizeof byte_args,
                                          .groups = vulkan_groups(d, KERNEL_BYTES, n * words),
                                          .work = 50.0 * (double)(n * cols)};
        if (vulkan_dispatch(d, &c))
            return -1;
    }
    return 0;
}
