/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_verify.h"
#include "core/base/mem.h"
#include "core/nn/ops_cases.h"
#include "core/plugins.h"
#include "kernels/canon.h"

#include <string.h>

enum { REFERENCE, TESTED, SIDES, MARGIN = 24 /* elements behind each array that must stay */ };

static const uint32_t untouched = 0x7fa5c3e1u; /* a NaN that no op stores */

/* An array of the case at hand: its buffers, what was in them before, and after on each side. */
struct filled {
    size_t at, total;
    struct lb_buf buf[SIDES];
    float *before, *after[SIDES];
};

struct run {
    struct lb_dev *d[SIDES];
    const struct op_kind *kind;
    size_t index;
    uint64_t seed;
    int exact;
    struct op_case c;
    struct filled f[MAX_ARRAYS];
    float *magnitude; /* of the first output, where the kind has no formula */
    struct lb_ops_packed *weights;
    struct lb_ops_quantizer *quantizer;
    struct lb_ops_q *q;
    void *object[SIDES]; /* the device's own of one of them */
    float *unpacked;
    char refused[256]; /* why the backend cannot do the last case that it refused */
};

/* ---- Values ---- */

/* Infinities, NaNs with and without payload, both zeros, subnormals, the smallest normal, the largest, and numbers whose products are subnormal. */
static float special_value(uint32_t r)
{
    static const uint32_t table[] = {0x00000000u, 0x80000000u, 0x00000001u, 0x80000001u, 0x007fffffu, 0x807ffffeu,
                                     0x00800000u, 0x80800000u, 0x7f7fffffu, 0xff7fffffu, 0x7f000000u, 0x1c123456u,
                                     0x9c654321u, 0x20345678u, 0x3f800000u, 0xbf800000u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

static float not_finite(uint32_t r)
{
    static const uint32_t table[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

/* Numbers of many sizes, half of them with so few digits that they lie between two codes. */
static float spread(canon_words r)
{
    const uint32_t few = r.w[1] % 2 ? 0xffffffffu : 0xffffffffu << (17 + r.w[1] / 2 % 6);
    const float x = canon_float(canon_bits(4.0f * canon_unit(r.w[0]) - 2.0f) & few);
    return x * canon_float((127u - 9u + r.w[2] / 64 % 19) << 23);
}

/* Element i of array a: uniform in (-2, 2), in special cases every eighth something else. */
static float value(const struct run *t, size_t a, size_t i)
{
    const canon_words r = canon_random64(t->seed, (uint32_t)a, i);
    if (t->exact && t->index % 2 && r.w[1] % t->c.rarity == 0)
        return not_finite(r.w[2]);
    if (t->exact && t->index % 2 && r.w[3] % 8 == 0)
        return special_value(r.w[2]);
    if (t->c.spread && t->index % 4 < 3)
        return spread(r);
    if (t->c.uses == LB_USE_INT8 && a == 0 && t->index % 4 == 2) /* quotients by 2 / 127 that lie between two whole numbers */
        return i % 16 == 0 ? 2.0f : ((float)(r.w[0] % 254) - 126.5f) * (2.0f / 127.0f);
    return 4.0f * canon_unit(r.w[0]) - 2.0f;
}

/* A byte; in every other case mostly one of those where a kernel's sums would saturate. */
static uint32_t byte(const struct run *t, uint32_t r)
{
    static const unsigned char ends[] = {0, 255, 127, 128};
    return t->index % 2 && r % 4 ? ends[r / 4 % 4] : r / 16 % 256;
}

/* Element i of an array that is not of numbers. */
static uint32_t whole(const struct run *t, size_t a, size_t i)
{
    const struct array *array = &t->c.array[a];
    const canon_words r = canon_random64(t->seed, (uint32_t)a, i);
    if (array->fill == FILL_BYTES)
        return byte(t, r.w[0]) | byte(t, r.w[1]) << 8 | byte(t, r.w[2]) << 16 | byte(t, r.w[3]) << 24;
    if (array->fill == FILL_SCALES)
        return ((127u - 10u + r.w[0] % 10) << 23) | (r.w[1] % 2 ? r.w[2] & 0x7fffffu : 0);
    if (array->fill == FILL_PAIRS)
        return i % 2 ? 21 + r.w[0] % 6 : 1u << 21 | (r.w[1] % 2 ? r.w[0] & 0x1fffffu : 0);
    const uint64_t span = (uint64_t)((int64_t)array->high - array->low) + 1;
    if (t->index % 2 && r.w[3] % 8 == 0)
        return (uint32_t)(r.w[2] % 2 ? array->low : array->high);
    if (array->high == (1 << 22) - 1 && r.w[3] % 4 == 1) /* a multiplier: ties */
        return 1u << 21;
    return (uint32_t)array->low + (uint32_t)(((uint64_t)r.w[0] << 32 | r.w[1]) % span);
}

static void fill(struct run *t, size_t a)
{
    const struct array *array = &t->c.array[a];
    struct filled *f = &t->f[a];
    for (size_t i = 0; i < f->total; i++)
        f->before[i] = canon_float(untouched);
    for (size_t i = 0; i < array->n; i++) {
        float *x = &f->before[f->at + i];
        if (array->role == ROLE_LABELS) {
            const int32_t label = (int32_t)(canon_random64(t->seed, (uint32_t)a, i).w[0] % array->classes);
            memcpy(x, &label, sizeof label);
        } else if (array->fill != FILL_FLOATS && array->role != ROLE_OUT) {
            *x = canon_float(whole(t, a, i));
        } else if (array->role != ROLE_OUT) {
            *x = value(t, a, i);
        }
    }
}

/* ---- Weights and quantizers ---- */

enum { EQUAL, DIFFERENT, REFUSED, NO_CODEC };

static int has_codec(const char *name)
{
    return !name || lb_plugins_find(LB_CODEC, name, NULL) != NULL;
}

static int has_codecs(const struct op_case *c)
{
    return has_codec(c->like.codec) && has_codec(c->like.scale_codec) && has_codec(c->by.codec) &&
           has_codec(c->by.scale ? c->by.scale->codec : NULL);
}

/* A copy is about as large as the original. Devices may pad it to so many rows, and small ones as they like. */
static int check_bytes(const struct lb_ops_packed *w, size_t bytes, struct lb_err *err)
{
    enum { SMALL = 1 << 15, ROWS = 64 };
    const size_t own = w->code_bytes + w->scale_bytes + 4 * w->n_scale2 + (w->zeros ? 4 * w->p.n_scales : 0);
    const size_t padded = own / w->p.rows * ((w->p.rows + ROWS - 1) / ROWS * ROWS);
    if (!bytes || (own >= SMALL && bytes > 3 * padded))
        return lb_fail(err, "weights_create: %zu bytes for %zu of codes and scales", bytes, own);
    return 0;
}

static int create_on(struct run *t, int side, char *why, size_t why_size, struct lb_err *err)
{
    struct lb_dev *d = t->d[side];
    size_t bytes = 0;
    d->log[0] = 0;
    if (t->q)
        t->object[side] = d->ops->q_weights_create(d->dev, &t->q->m, &bytes);
    else if (t->weights)
        t->object[side] = d->ops->weights_create(d->dev, &t->weights->p, t->c.uses, &bytes, why, why_size);
    else
        t->object[side] = d->ops->quantizer_create(d->dev, &t->quantizer->q, why, why_size);
    if (t->object[side])
        return t->weights ? check_bytes(t->weights, bytes, err) : 0;
    if (*why && side == TESTED)
        return REFUSED;
    return lb_fail(err, "%s: %s: %s", d->ops->base.name,
                   t->q         ? "q_weights_create"
                   : t->weights ? "weights_create"
                                : "quantizer_create",
                   *why        ? why
                   : d->log[0] ? d->log
                               : "failed without a message");
}

/* What both sides hold beside their buffers. 0, -1 or REFUSED. */
static int create_objects(struct run *t, struct lb_err *err)
{
    char why[sizeof t->refused] = "";
    if (t->c.like.codec) {
        t->c.like.rarity = t->exact && t->index % 2 ? (unsigned)(2 * t->c.like.cols + 3) : 0;
        if (lb_ops_packed_create(&t->c.like, t->seed, &t->weights, err))
            return -1;
    }
    if (t->c.by.codec && lb_ops_quantizer_create(&t->c.by, &t->quantizer, err))
        return -1;
    if (t->c.q.rows && lb_ops_q_create(&t->c.q, t->seed, &t->q, err))
        return -1;
    for (int s = SIDES - 1; s >= 0 && t->c.object; s--) {
        const int r = create_on(t, s, why, sizeof why, err);
        if (r == REFUSED)
            snprintf(t->refused, sizeof t->refused, "%s", why);
        if (r)
            return r;
    }
    return 0;
}

static void free_objects(struct run *t)
{
    for (int s = 0; s < SIDES; s++) {
        const struct lb_dev *d = t->d[s];
        if (t->object[s])
            (t->q ? d->ops->q_weights_free : t->weights ? d->ops->weights_free : d->ops->quantizer_free)(d->dev, t->object[s]);
        t->object[s] = NULL;
    }
    lb_ops_packed_destroy(t->weights);
    lb_ops_quantizer_destroy(t->quantizer);
    lb_ops_q_destroy(t->q);
    t->q = NULL;
    lb_free(t->unpacked);
    t->weights = NULL;
    t->quantizer = NULL;
    t->unpacked = NULL;
}

static int unpack(struct run *t, struct lb_err *err)
{
    const struct lb_packed *p = &t->weights->p;
    t->unpacked = lb_alloc(p->rows * p->cols, sizeof *t->unpacked, err);
    for (size_t i = 0; t->unpacked && i < p->rows; i++)
        if (lb_ops_packed_row(p, i, 0, p->cols, t->unpacked + i * p->cols, err))
            return -1;
    t->c.unpacked = t->unpacked;
    return t->unpacked ? 0 : -1;
}

/* ---- One case ---- */

static int prepare(struct run *t, struct lb_err *err)
{
    for (size_t a = 0; a < t->c.n_arrays; a++) {
        struct filled *f = &t->f[a];
        f->at = canon_random64(t->seed, 1000, a).w[0] % 20 * (t->index % 3 != 0); /* a third of the cases begin on the buffer's alignment */
        f->total = f->at + t->c.array[a].n + MARGIN;
        f->before = lb_alloc(f->total, sizeof *f->before, err);
        for (int s = 0; s < SIDES; s++) {
            f->after[s] = lb_alloc(f->total, sizeof *f->after[s], err);
            if (!f->before || !f->after[s] || lb_buf_create(t->d[s], f->total, &f->buf[s], err))
                return -1;
        }
        fill(t, a);
    }
    return 0;
}

static void finish(struct run *t)
{
    for (size_t a = 0; a < MAX_ARRAYS; a++) {
        struct filled *f = &t->f[a];
        for (int s = 0; s < SIDES; s++) {
            lb_buf_destroy(t->d[s], &f->buf[s]);
            lb_free(f->after[s]);
        }
        lb_free(f->before);
        *f = (struct filled){0};
    }
    free_objects(t);
    lb_free(t->magnitude);
    t->magnitude = NULL;
}

static int execute(struct run *t, int side, struct lb_err *err)
{
    for (size_t a = 0; a < t->c.n_arrays; a++) {
        const struct array *array = &t->c.array[a];
        struct filled *f = &t->f[a];
        if (lb_buf_write(t->d[side], &f->buf[side], 0, f->before, f->total, err))
            return -1;
        *array->slot = (struct lb_ref){&f->buf[side], f->at};
        if (array->alias)
            *array->alias = *array->slot;
    }
    if (t->c.object)
        *t->c.object = t->object[side];
    if (t->kind->run(t->d[side], &t->c.args, err))
        return -1;
    for (size_t a = 0; a < t->c.n_arrays; a++)
        if (lb_buf_read(t->d[side], &t->f[a].buf[side], 0, t->f[a].after[side], t->f[a].total, err))
            return -1;
    return 0;
}

/* Products: the reference's result on absolute values, without the activation. */
static int sum_of_magnitudes(struct run *t, struct lb_err *err)
{
    const struct lb_gemm *gemm = &t->c.args.gemm;
    const struct lb_conv2d *conv2d = &t->c.args.conv2d;
    const int is_gemm = !strcmp(t->kind->name, "gemm"), is_conv2d = !strcmp(t->kind->name, "conv2d");
    const uint32_t act = is_gemm ? gemm->act : is_conv2d ? conv2d->act : (uint32_t)LB_LINEAR;
    if (is_gemm)
        t->c.args.gemm.act = LB_LINEAR;
    if (is_conv2d)
        t->c.args.conv2d.act = LB_LINEAR;
    size_t out = 0;
    for (size_t a = 0; a < t->c.n_arrays; a++) {
        out = t->c.array[a].role == ROLE_OUT ? a : out;
        for (size_t i = 0; i < t->f[a].total; i++)
            t->f[a].before[i] = canon_float(canon_bits(t->f[a].before[i]) & 0x7fffffffu);
    }
    const size_t n = t->c.array[out].n;
    t->magnitude = lb_alloc(n, sizeof *t->magnitude, err);
    if (!t->magnitude || execute(t, REFERENCE, err))
        return -1;
    if (is_gemm)
        t->c.args.gemm.act = act;
    if (is_conv2d)
        t->c.args.conv2d.act = act;
    for (size_t i = 0; i < n; i++)
        t->magnitude[i] = 1.1f * t->f[out].after[REFERENCE][t->f[out].at + i] + (act >= LB_SIGMOID ? 1.0f : 0.0f);
    return 0;
}

static double bound(const struct run *t, size_t a, size_t i)
{
    const float *in[MAX_ARRAYS];
    for (size_t j = 0; j < t->c.n_arrays; j++)
        in[j] = t->c.array[j].role == ROLE_OUT ? NULL : t->f[j].before + t->f[j].at;
    const double magnitude = t->kind->magnitude ? t->kind->magnitude(&t->c, in, a, i) : (double)t->magnitude[i];
    return ((double)t->c.terms + 32) * 0x1p-23 * magnitude;
}

static int same(const struct run *t, size_t a, size_t i, float want, float got, int inside)
{
    if (canon_bits(want) == canon_bits(got))
        return 1;
    if (t->exact || t->kind->always_exact || !inside || t->c.array[a].role == ROLE_IN || t->c.array[a].role == ROLE_LABELS)
        return 0;
    const double d = (double)want - (double)got, most = bound(t, a, i - t->f[a].at);
    return d <= most && -d <= most;
}

/* 1, and the text of the difference, where the two sides differ or a side wrote beside its outputs. */
static int differ(const struct run *t, char *text, size_t size)
{
    for (size_t a = 0; a < t->c.n_arrays; a++) {
        const struct array *array = &t->c.array[a];
        const struct filled *f = &t->f[a];
        for (size_t i = 0; i < f->total; i++) {
            const int inside = i >= f->at && i < f->at + array->n;
            const float want = f->after[REFERENCE][i], got = f->after[TESTED][i];
            if (same(t, a, i, want, got, inside))
                continue;
            snprintf(text, size, "%s[%td]: expected 0x%08x (%.9g), got 0x%08x (%.9g)%s", array->name, (ptrdiff_t)i - (ptrdiff_t)f->at,
                     canon_bits(want), (double)want, canon_bits(got), (double)got, inside ? "" : ", an element beside the array");
            return 1;
        }
    }
    return 0;
}

/* EQUAL, DIFFERENT with the text, REFUSED by the backend, NO_CODEC, or -1: an error. */
static int try_case(struct run *t, char *text, size_t size, struct lb_err *err)
{
    if (!has_codecs(&t->c))
        return NO_CODEC;
    const int made = create_objects(t, err);
    if (made)
        return made;
    if (prepare(t, err) || execute(t, TESTED, err))
        return -1;
    if (!t->exact && t->weights && unpack(t, err))
        return -1;
    if (!t->exact && !t->kind->always_exact && !t->kind->magnitude && sum_of_magnitudes(t, err))
        return -1;
    for (size_t a = 0; a < t->c.n_arrays; a++)
        fill(t, a);
    return execute(t, REFERENCE, err) ? -1 : differ(t, text, size);
}

/* ---- All cases ---- */

static int verify_op(struct run *t, FILE *report, const char *file, struct lb_err *err)
{
    size_t done = 0, refused = 0;
    for (t->index = 0; t->index < t->kind->cases; t->index++) {
        char text[320];
        struct lb_err why = {0};
        t->c = (struct op_case){.rarity = 1};
        t->kind->make(&t->c, t->index);
        t->seed = (uint64_t)(t->kind - lb_op_kinds + 1) << 32 | t->index;
        const int r = try_case(t, text, sizeof text, &why);
        finish(t);
        done += r == EQUAL;
        refused += r == REFUSED;
        if (r != DIFFERENT && r != -1)
            continue;
        fprintf(report, "%s: FAILED case %zu (%s), seed %llu: %s; repeat with `lowbit verify %s`\n", t->kind->name, t->index, t->c.text,
                (unsigned long long)t->seed, r < 0 ? why.text : text, file);
        return lb_fail(err, "backend %s: %s: case %zu (%s): %s", t->d[TESTED]->ops->base.name, t->kind->name, t->index, t->c.text,
                       r < 0 ? why.text : text);
    }
    if (refused)
        fprintf(report, "%s: ok (%zu cases, and %zu that it cannot do: %s)\n", t->kind->name, done, refused, t->refused);
    else
        fprintf(report, "%s: ok (%zu cases)\n", t->kind->name, done);
    return 0;
}

static int implements(const struct lb_backend *b, const char *op)
{
    const char *name;
    int has;
    for (size_t i = 0; (name = lb_backend_op(b, i, &has)); i++)
        if (!strcmp(name, op))
            return has;
    return 0;
}

int lb_backend_verify(const struct lb_backend *b, const struct lb_backend_options *options, FILE *report, struct lb_err *err)
{
    const struct lb_backend_options plain = {.cpumask = 0, .threads = 1};
    struct lb_backend_options own = options ? *options : (struct lb_backend_options){.cpumask = ~0u};
    if (!own.threads)
        own.threads = 3; /* whatever the machine: work must be cut to be wrong at the cuts */
    struct run t = {.exact = b->exact != 0};
    const struct lb_entry *ref = lb_plugins_find(LB_BACKEND, "cpu_ref", err), *entry = lb_plugins_find(LB_BACKEND, b->base.name, NULL);
    int r = -1;
    if (!ref || lb_backend_open((const struct lb_backend *)ref->plugin, &plain, &t.d[REFERENCE], err) ||
        lb_backend_open(b, &own, &t.d[TESTED], err))
        goto out;
    r = 0;
    for (size_t i = 0; i < lb_op_kinds_n; i++) {
        t.kind = &lb_op_kinds[i];
        if (implements(b, t.kind->name))
            r |= verify_op(&t, report, entry ? entry->file : b->base.name, err);
        else
            fprintf(report, "%s: unsupported\n", t.kind->name);
    }
    fprintf(report, "%s: %s\n", b->base.name,
            r         ? "FAILED"
            : t.exact ? "exact: every op that it has gave the bits of cpu_ref"
                      : "close to cpu_ref, not exact");
out:
    lb_backend_close(t.d[TESTED]);
    lb_backend_close(t.d[REFERENCE]);
    return r;
}
