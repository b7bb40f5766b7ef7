/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_verify.h"
#include "core/base/mem.h"
#include "core/nn/ops_verify_impl.h"
#include "core/plugins.h"
#include "kernels/canon.h"

#include <string.h>

/* ---- One case ---- */

int lb_op_guard(struct run *t, enum side s, struct lb_guarded *g, const char *name, size_t bytes, struct lb_err *err)
{
    const int either = canon_random64(t->seed, 1001, 0).w[0] % 2 != 0;
    return lb_guarded_init(g, name, bytes, s == AT_END || (s != AT_START && either), err);
}

/* A third of the loose arrays begin on the buffer's alignment. All buffers begin at a multiple of 64 bytes, those too that end where their array does. */
static int place(struct run *t, size_t a, enum side s, struct lb_err *err)
{
    const struct array *array = &t->c.array[a];
    struct filled *f = &t->f[a];
    const int tight = s == AT_END || s == AT_START;
    f->at[s] = s == AT_END                          ? (16 - array->n % 16) % 16
               : s == AT_START || t->index % 3 == 0 ? 0
                                                    : canon_random64(t->seed, 1000, a).w[0] % FRONT;
    f->total[s] = f->at[s] + array->n + (tight ? 0 : MARGIN);
    t->arrays += tight || t->d[s]->ops->buf_write;
    if (lb_op_guard(t, s, &f->copied[s], array->name, 4 * f->total[s], err))
        return -1;
    if (!tight)
        return lb_buf_create(t->d[s], f->total[s], &f->buf[s], err);
    if (lb_op_guard(t, s, &f->own[s], array->name, 4 * array->n, err))
        return -1;
    f->buf[s] = (struct lb_buf){f->own[s].p - 4 * f->at[s], 4 * f->total[s]};
    return 0;
}

static int prepare(struct run *t, struct lb_err *err)
{
    for (size_t a = 0; a < t->c.n_arrays; a++) {
        t->f[a].before = lb_alloc(FRONT + t->c.array[a].n + MARGIN, sizeof *t->f[a].before, err);
        if (!t->f[a].before)
            return -1;
        lb_op_fill(t, a);
    }
    return 0;
}

static void finish(struct run *t)
{
    for (size_t a = 0; a < MAX_ARRAYS; a++) {
        struct filled *f = &t->f[a];
        for (int s = 0; s < SIDES; s++) {
            if (!f->own[s].map)
                lb_buf_destroy(t->d[s], &f->buf[s]);
            lb_guarded_finish(&f->own[s]);
            lb_guarded_finish(&f->copied[s]);
        }
        lb_free(f->before);
        *f = (struct filled){0};
    }
    lb_op_objects_free(t);
    lb_free(t->magnitude);
    t->magnitude = NULL;
}

static float *after(const struct run *t, size_t a, enum side s)
{
    return (float *)(void *)t->f[a].copied[s].p;
}

static int write_array(struct run *t, size_t a, enum side s, struct lb_err *err)
{
    const struct array *array = &t->c.array[a];
    struct filled *f = &t->f[a];
    if (!f->buf[s].ptr && place(t, a, s, err))
        return -1;
    if (f->total[s])
        memcpy(f->copied[s].p, f->before + FRONT - f->at[s], 4 * f->total[s]);
    *array->slot = (struct lb_ref){&f->buf[s], f->at[s]};
    if (array->alias)
        *array->alias = *array->slot;
    return lb_buf_write(t->d[s], &f->buf[s], 0, after(t, a, s), f->total[s], err);
}

static int execute(struct run *t, enum side s, struct lb_err *err)
{
    for (size_t a = 0; a < t->c.n_arrays; a++)
        if (write_array(t, a, s, err))
            return -1;
    if (t->c.object)
        *t->c.object = t->object[s];
    t->calls += s == AT_END || s == AT_START ? 1 : t->d[s]->ops->buf_write ? 2 * t->c.n_arrays : 0;
    if (t->kind->run(t->d[s], &t->c.args, err))
        return -1;
    for (size_t a = 0; a < t->c.n_arrays; a++)
        if (lb_buf_read(t->d[s], &t->f[a].buf[s], 0, after(t, a, s), t->f[a].total[s], err))
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
        for (size_t i = 0; i < t->c.array[a].n; i++)
            t->f[a].before[FRONT + i] = canon_float(canon_bits(t->f[a].before[FRONT + i]) & 0x7fffffffu);
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
        t->magnitude[i] = 1.1f * after(t, out, REFERENCE)[t->f[out].at[REFERENCE] + i] + (act >= LB_SIGMOID ? 1.0f : 0.0f);
    return 0;
}

static double bound(const struct run *t, size_t a, size_t i)
{
    const float *in[MAX_ARRAYS];
    for (size_t j = 0; j < t->c.n_arrays; j++)
        in[j] = t->c.array[j].role == ROLE_OUT ? NULL : t->f[j].before + FRONT;
    const double magnitude = t->kind->magnitude ? t->kind->magnitude(&t->c, in, a, i) : (double)t->magnitude[i];
    return ((double)t->c.terms + 32) * 0x1p-23 * magnitude;
}

static int same(const struct run *t, size_t a, size_t i, float want, float got)
{
    if (canon_bits(want) == canon_bits(got))
        return 1;
    if (t->exact || t->kind->always_exact || t->c.array[a].role == ROLE_IN || t->c.array[a].role == ROLE_LABELS)
        return 0;
    const double d = (double)want - (double)got, most = bound(t, a, i);
    return d <= most && -d <= most;
}

/* 1, and the text of the difference, where the side has another result than the reference or wrote beside its outputs. */
static int differ(const struct run *t, enum side s, char *text, size_t size)
{
    static const char *const where[SIDES] = {"", "", ", with arrays that begin where a page does", ", with arrays within larger buffers"};
    for (size_t a = 0; a < t->c.n_arrays; a++) {
        const struct array *array = &t->c.array[a];
        const struct filled *f = &t->f[a];
        for (size_t i = 0; i < f->total[s]; i++) {
            const size_t element = i - f->at[s]; /* huge before the array */
            const int inside = element < array->n;
            const float got = after(t, a, s)[i];
            const float want = inside ? after(t, a, REFERENCE)[f->at[REFERENCE] + element] : canon_float(LB_OP_UNTOUCHED);
            if (inside ? same(t, a, element, want, got) : canon_bits(want) == canon_bits(got))
                continue;
            snprintf(text, size, "%s[%td]: expected 0x%08x (%.9g), got 0x%08x (%.9g)%s%s", array->name, (ptrdiff_t)element,
                     canon_bits(want), (double)want, canon_bits(got), (double)got, inside ? "" : ", an element beside the array",
                     s == t->first ? "" : where[s]);
            return 1;
        }
    }
    return 0;
}

/* The reference last of what is needed for the first comparison: a backend that refuses a case costs little. */
static int run_reference(struct run *t, struct lb_err *err)
{
    if (!t->exact && t->weights && lb_op_unpack(t, err))
        return -1;
    if (lb_op_object_create(t, REFERENCE, err))
        return -1;
    if (!t->exact && !t->kind->always_exact && !t->kind->magnitude && sum_of_magnitudes(t, err))
        return -1;
    for (size_t a = 0; a < t->c.n_arrays; a++)
        lb_op_fill(t, a);
    return execute(t, REFERENCE, err);
}

/* EQUAL, DIFFERENT with the text, REFUSED by the backend, NO_CODEC, or -1: an error. */
static int try_case(struct run *t, char *text, size_t size, struct lb_err *err)
{
    if (!lb_op_has_codecs(&t->c))
        return NO_CODEC;
    if (lb_op_objects_draw(t, err) || prepare(t, err))
        return -1;
    for (enum side s = t->first; s < SIDES; s++) {
        const int made = lb_op_object_create(t, s, err);
        if (made)
            return made;
        if (execute(t, s, err) || (s == t->first && run_reference(t, err)))
            return -1;
        if (differ(t, s, text, size))
            return DIFFERENT;
    }
    return EQUAL;
}

/* ---- All cases ---- */

static int verify_op(struct run *t, FILE *report, const char *file, struct lb_err *err)
{
    const char *name = t->d[LOOSE]->ops->base.name;
    size_t done = 0, refused = 0;
    char what[320];
    fflush(report); /* before what a fault writes */
    for (t->index = 0; t->index < t->kind->cases; t->index++) {
        char text[320];
        struct lb_err why = {0};
        t->c = (struct op_case){.rarity = 1};
        t->kind->make(&t->c, t->index);
        t->seed = (uint64_t)(t->kind - lb_op_kinds + 1) << 32 | t->index;
        snprintf(what, sizeof what, "%s: %s, case %zu (%s)", name, t->kind->name, t->index, t->c.text);
        lb_guard_watch(what, fileno(report));
        const int r = try_case(t, text, sizeof text, &why);
        finish(t);
        lb_guard_ignore();
        done += r == EQUAL;
        refused += r == REFUSED;
        if (r != DIFFERENT && r != -1)
            continue;
        fprintf(report, "%s: FAILED case %zu (%s), seed %llu: %s; repeat with `lowbit verify %s`\n", t->kind->name, t->index, t->c.text,
                (unsigned long long)t->seed, r < 0 ? why.text : text, file);
        return lb_fail(err, "backend %s: %s: case %zu (%s): %s", name, t->kind->name, t->index, t->c.text, r < 0 ? why.text : text);
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
        lb_backend_open(b, &own, &t.d[LOOSE], err))
        goto out;
    t.d[AT_END] = t.d[AT_START] = t.d[LOOSE];
    t.first = b->buf_create ? LOOSE : AT_END;
    r = 0;
    for (size_t i = 0; i < lb_op_kinds_n; i++) {
        t.kind = &lb_op_kinds[i];
        if (implements(b, t.kind->name))
            r |= verify_op(&t, report, entry ? entry->file : b->base.name, err);
        else
            fprintf(report, "%s: unsupported\n", t.kind->name);
    }
    if (!r)
        fprintf(report, "%s: %zu times the backend was given arrays beside which nothing can be touched, %zu arrays in all\n", b->base.name,
                t.calls, t.arrays);
    fprintf(report, "%s: %s\n", b->base.name,
            r         ? "FAILED"
            : t.exact ? "exact: every op that it has gave the bits of cpu_ref"
                      : "close to cpu_ref, not exact");
out:
    lb_backend_close(t.d[LOOSE]);
    lb_backend_close(t.d[REFERENCE]);
    return r;
}
