/* SPDX-License-Identifier: MIT */
/* cpu_quantize.c - encoding on this device: where scales come from (docs/arithmetic.md, 8.10), and how threads share the elements. */
#include "kernels/canon.h"
#include "kernels/cpu/quantize_key.h"
#include "plugins/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

/* ---- Quantizers ---- */

struct cpu_quantizer {
    struct lb_quantizer q; /* its pointers are not used */
    struct quantize_codec codec, scale;
    int scaled_scales; /* the scales are stored in `scale` */
    uint32_t scale_rule;
    float scale_value, scale_top;
    void *memory[2];
};

/* What keys and members are worth, copied. */
static void *copy_codec(const struct cpu_device *d, const struct lb_quantizer *q, struct quantize_codec *c)
{
    const size_t members = q->stochastic ? q->n_members : 0;
    float *value = d->host->alloc(d->host, (2 * q->n + members + 1) * sizeof *value);
    if (!value)
        return NULL;
    int32_t *first = (int32_t *)(void *)(value + q->n);
    float *member = value + 2 * q->n;
    for (size_t i = 0; i < q->n; i++)
        value[i] = q->q.values[q->code[i]];
    memcpy(first, q->first, q->n * sizeof *first);
    for (size_t i = 0; i < members; i++)
        member[i] = q->member[i];
    *c = (struct quantize_codec){
        .n = q->n, .first = first, .value = value, .nan_value = q->q.values[q->nan_code], .n_members = members, .member = member};
    quantize_codec_finish(c);
    return value;
}

static const char *lacks(const struct lb_quantizer *q)
{
    const struct lb_quantizer *s = q->scale;
    if (!q->q.values || !q->n || q->n > 1u << 16 || (s && (!s->q.values || !s->n || s->n > 1u << 16)))
        return "only codecs of up to 16 bits";
    if (q->rule > LB_SCALE_RCEIL || (q->rule > LB_SCALE_ABSMAX && q->rule < LB_SCALE_FLOOR))
        return "this scale rule is for the host";
    if (s && (s->scale || s->stochastic || s->rule > LB_SCALE_ABSMAX || (s->rule != LB_SCALE_NONE && s->block != SIZE_MAX)))
        return "scales whose own scale is not one for all of them, fixed or absmax";
    return NULL;
}

void cpu_quantizer_free(void *dev, void *quantizer)
{
    const struct cpu_device *d = dev;
    struct cpu_quantizer *q = quantizer;
    if (!q)
        return;
    for (int i = 0; i < 2; i++)
        d->host->free(d->host, q->memory[i]);
    d->host->free(d->host, q);
}

void *cpu_quantizer_create(void *dev, const struct lb_quantizer *q, char *why, size_t why_size)
{
    struct cpu_device *d = dev;
    const char *reason = lacks(q);
    struct cpu_quantizer *c = reason ? NULL : d->host->alloc(d->host, sizeof *c);
    if (c) {
        *c = (struct cpu_quantizer){.q = *q, .scaled_scales = q->scale != NULL};
        c->memory[0] = copy_codec(d, q, &c->codec);
        if (q->scale) {
            c->scale_rule = q->scale->rule;
            c->scale_value = q->scale->value;
            c->scale_top = q->scale->top;
            c->memory[1] = copy_codec(d, q->scale, &c->scale);
        }
    }
    if (!c || !c->memory[0] || (q->scale && !c->memory[1])) {
        snprintf(why, why_size, "%s", reason ? reason : "out of memory");
        cpu_quantizer_free(d, c);
        return NULL;
    }
    return c;
}

/* ---- Scales ---- */

static float divided(float x, float s)
{
    return s == 0 ? 0.0f : x / s;
}

/* A positive number is mantissa 2^(exponent - 23), the mantissa having 24 bits. */
static int exponent_of(float x, uint32_t *mantissa)
{
    const int tiny = x < 0x1p-126f;
    const uint32_t u = canon_bits(tiny ? x * 0x1p23f : x);
    *mantissa = (u & 0x007fffffu) | 0x00800000u;
    return (int)(u >> 23) - 127 - (tiny ? 23 : 0);
}

static int ceil_log2(float x)
{
    uint32_t mantissa;
    const int e = exponent_of(x, &mantissa);
    return e + (mantissa > 0x00800000u);
}

static float power_of_two(const struct lb_quantizer *q, float amax)
{
    uint32_t mantissa;
    int e = -127;
    const float ratio = amax / q->top;
    if (q->rule == LB_SCALE_RCEIL && ratio > 0)
        e = canon_bits(ratio) == 0x7f800000u ? 127 : ceil_log2(ratio);
    else if (q->rule == LB_SCALE_CEIL && amax > 0)
        e = ceil_log2(amax) - q->emax;
    else if (q->rule != LB_SCALE_RCEIL && amax > 0) {
        e = exponent_of(amax, &mantissa) - q->emax;
        if (q->rule == LB_SCALE_EVEN && q->fraction <= 22)
            e += mantissa + (0x00400000u >> q->fraction) >= 0x01000000u;
    }
    e = e > 127 ? 127 : e;
    return canon_float(e <= -127 ? 0x00400000u : (uint32_t)(e + 127) << 23);
}

/* The whole of an op. `divisor`: what amax is divided by; `second`: the scale of the scales. */
struct encoding {
    struct cpu_device *d;
    const struct cpu_quantizer *q;
    const struct lb_quantize *o;
    const float *x;
    float *y;
    size_t rows, row;      /* (1, all) where the matrix has one scale or none */
    size_t width, per_row; /* elements that share a scale, such groups in a row */
    float divisor, second;
    size_t jobs;
    float *partial; /* (jobs, 2) what each found: the largest magnitude, and whether all are finite */
};

static float raw_scale(const struct encoding *e, float amax, int finite)
{
    const struct lb_quantizer *q = &e->q->q;
    if (q->rule == LB_SCALE_FIXED)
        return q->value;
    if (q->rule == LB_SCALE_ABSMAX)
        return divided(amax, e->divisor);
    return finite ? power_of_two(q, amax) : canon_float(CANON_NAN);
}

/* R, as it is worth when stored. */
static float stored(const struct encoding *e, float raw)
{
    const struct cpu_quantizer *q = e->q;
    if (!q->scaled_scales)
        return raw;
    const int by_all = q->scale_rule == LB_SCALE_ABSMAX && q->q.rule == LB_SCALE_ABSMAX;
    const float t = q->scale_rule == LB_SCALE_NONE || by_all ? raw : divided(raw, e->second);
    const float v = t != t ? q->scale.nan_value : quantize_nearest(&q->scale, t);
    return q->scale_rule == LB_SCALE_NONE ? v : v * e->second;
}

static size_t groups(const struct encoding *e)
{
    return e->rows * e->per_row;
}

/* The elements of group g. */
static size_t group_at(const struct encoding *e, size_t g, size_t *n)
{
    const size_t in_row = g % e->per_row * e->width, left = e->row - in_row;
    *n = left < e->width ? left : e->width;
    return g / e->per_row * e->row + in_row;
}

static float raw_of(const struct encoding *e, size_t g)
{
    size_t n;
    int finite = 1;
    const float *x = e->x + group_at(e, g, &n);
    const float amax = e->q->q.rule == LB_SCALE_FIXED ? 0 : e->d->k.quantize.amax(x, n, &finite);
    return raw_scale(e, amax, finite);
}

/* ---- Elements ---- */

enum { AT_A_TIME = 64 /* groups */, SHARE = 16384 /* elements that are worth a thread */ };

/* n elements from `at` on, whose scales are at `scale`. */
static void elements(const struct encoding *e, size_t at, size_t n, size_t width, const float *scale)
{
    const struct lb_quantizer *q = &e->q->q;
    float unit[QUANTIZE_RUN];
    struct quantize_run r = {.codec = &e->q->codec, .block = width, .scale = scale, .clamp = q->clamp, .top = q->top};
    const size_t whole = width < QUANTIZE_RUN ? QUANTIZE_RUN / width * width : QUANTIZE_RUN;
    for (size_t i = 0; i < n; i += whole) {
        r.x = e->x + at + i;
        r.y = e->y + at + i;
        r.n = n - i < whole ? n - i : whole;
        r.scale = scale && width < QUANTIZE_RUN ? scale + i / width : scale;
        if (q->stochastic) {
            e->d->k.quantize.random(unit, e->o->seed, e->o->stream, e->o->first + at + i, r.n);
            r.unit = unit;
        }
        r.block = width < QUANTIZE_RUN ? width : QUANTIZE_RUN;
        e->d->k.quantize.quantize(&r);
    }
}

/* Groups of neighbours in a row, together. */
static void some_groups(const struct encoding *e, size_t g, size_t count)
{
    float scale[AT_A_TIME];
    size_t n, last;
    const size_t at = group_at(e, g, &n);
    for (size_t i = 0; i < count; i++)
        scale[i] = stored(e, raw_of(e, g + i));
    const size_t end = group_at(e, g + count - 1, &last) + last;
    elements(e, at, end - at, e->width, scale);
}

static void groups_job(void *arg, size_t job)
{
    const struct encoding *e = arg;
    const size_t end = groups(e) * (job + 1) / e->jobs;
    for (size_t g = groups(e) * job / e->jobs; g < end;) {
        const size_t in_row = e->per_row - g % e->per_row, most = in_row < AT_A_TIME ? in_row : AT_A_TIME;
        const size_t count = end - g < most ? end - g : most;
        some_groups(e, g, count);
        g += count;
    }
}

/* ---- What all share ---- */

/* Part `job` of all elements. */
static size_t part(const struct encoding *e, size_t job, size_t *n)
{
    const size_t all = e->rows * e->row, units = (all + QUANTIZE_RUN - 1) / QUANTIZE_RUN;
    const size_t from = units * job / e->jobs * QUANTIZE_RUN, to = units * (job + 1) / e->jobs * QUANTIZE_RUN;
    *n = (to < all ? to : all) - from;
    return from;
}

static void amax_job(void *arg, size_t job)
{
    const struct encoding *e = arg;
    size_t n;
    int finite;
    const size_t at = part(e, job, &n);
    e->partial[2 * job] = e->d->k.quantize.amax(e->x + at, n, &finite);
    e->partial[2 * job + 1] = (float)finite;
}

static void raw_job(void *arg, size_t job)
{
    const struct encoding *e = arg;
    float most = 0;
    for (size_t g = groups(e) * job / e->jobs; g < groups(e) * (job + 1) / e->jobs; g++) {
        const float raw = raw_of(e, g), a = raw < 0 ? -raw : raw;
        most = a > most ? a : most;
    }
    e->partial[2 * job] = most;
    e->partial[2 * job + 1] = 1;
}

/* The largest of what the jobs find. */
static float amax_of(struct encoding *e, void (*find)(void *, size_t), int *finite)
{
    float amax = 0;
    *finite = 1;
    e->d->host->parallel(e->d->host, e->jobs, find, e);
    for (size_t j = 0; j < e->jobs; j++) {
        amax = e->partial[2 * j] > amax ? e->partial[2 * j] : amax;
        *finite &= e->partial[2 * j + 1] != 0;
    }
    return amax;
}

static void find_second(struct encoding *e)
{
    const struct cpu_quantizer *q = e->q;
    int finite;
    e->divisor = q->q.top;
    e->second = q->scale_value;
    if (!q->scaled_scales || q->scale_rule != LB_SCALE_ABSMAX)
        return;
    if (q->q.rule == LB_SCALE_ABSMAX) {
        e->second = amax_of(e, amax_job, &finite) / (q->q.top * q->scale_top);
        e->divisor = q->q.top * e->second;
    } else {
        e->second = amax_of(e, raw_job, &finite) / q->scale_top;
    }
}

/* All elements, with one scale or none. */
struct alike {
    const struct encoding *e;
    const float *scale;
};

static void alike_job(void *arg, size_t job)
{
    const struct alike *a = arg;
    size_t n;
    const size_t at = part(a->e, job, &n);
    elements(a->e, at, n, SIZE_MAX, a->scale);
}

static void encode_alike(struct encoding *e)
{
    float scale = 1;
    const uint32_t rule = e->q->q.rule;
    if (rule != LB_SCALE_NONE) {
        int finite = 1;
        const float amax = rule == LB_SCALE_FIXED ? 0 : amax_of(e, amax_job, &finite);
        scale = stored(e, raw_scale(e, amax, finite));
    }
    e->d->host->parallel(e->d->host, e->jobs, alike_job, &(struct alike){e, rule == LB_SCALE_NONE ? NULL : &scale});
}

int cpu_quantize(void *dev, const struct lb_quantize *o)
{
    struct cpu_device *d = dev;
    const struct lb_quantizer *q = &((const struct cpu_quantizer *)o->q)->q;
    const size_t n = o->rows * o->cols, worth = n / SHARE + 1;
    const int all = q->block == SIZE_MAX || q->rule == LB_SCALE_NONE;
    struct encoding e = {.d = d, .q = o->q, .o = o, .x = lb_f32(o->x), .y = lb_f32(o->y)};
    if (n == 0)
        return 0;
    e.rows = all ? 1 : o->rows;
    e.row = all ? n : o->cols;
    e.width = all || !q->block || q->block > e.row ? e.row : q->block;
    e.per_row = (e.row + e.width - 1) / e.width;
    e.jobs = worth < d->host->threads ? worth : d->host->threads;
    e.partial = cpu_work(d, 2 * e.jobs * sizeof *e.partial);
    if (!e.partial)
        return -1;
    find_second(&e);
    if (groups(&e) == 1)
        encode_alike(&e);
    else
        d->host->parallel(d->host, e.jobs, groups_job, &e);
    return 0;
}
