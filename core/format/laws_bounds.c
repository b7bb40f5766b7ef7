/* SPDX-License-Identifier: MIT */
/* laws_bounds.c - a codec's functions stay within the arrays that they are given: each lies between two pages that cannot be touched. What goes too far
 * ends this process, after a line that says where. */
#include "core/base/guard.h"
#include "core/format/laws_impl.h"
#include "kernels/canon.h"

#include <string.h>

enum { X64, X32, WHOLE, RANDOM, CODES, STEPS, ARRAYS };

struct given {
    struct lb_guarded a[ARRAYS];
    size_t n;
};

static void given_finish(struct given *g)
{
    for (int i = 0; i < ARRAYS; i++)
        lb_guarded_finish(&g->a[i]);
}

static int given_init(struct lb_laws *l, struct given *g, size_t n, int at_end)
{
    static const char *const names[ARRAYS] = {"binary64 numbers", "binary32 numbers", "whole numbers", "random words", "codes", "steps"};
    size_t bytes[ARRAYS] = {n * sizeof(double),        n * sizeof(float), n * sizeof(int64_t), n * sizeof(uint32_t), 0,
                            n * sizeof(struct lb_step)};
    *g = (struct given){.n = n};
    if (lb_coder_bytes(l->coder, n, &bytes[CODES]))
        return lb_fail(l->err, "too many elements");
    for (int i = 0; i < ARRAYS; i++)
        if (lb_guarded_init(&g->a[i], names[i], bytes[i], at_end, l->err)) {
            given_finish(g);
            return -1;
        }
    return 0;
}

/* Ordinary numbers and, every eighth, any bits. */
static void fill(struct given *g)
{
    double *x = (double *)g->a[X64].p;
    float *narrow = (float *)g->a[X32].p;
    int64_t *whole = (int64_t *)g->a[WHOLE].p;
    uint32_t *random = (uint32_t *)g->a[RANDOM].p;
    for (size_t i = 0; i < g->n; i++) {
        const canon_words w = canon_random64(34, 10, i);
        random[i] = w.w[0];
        whole[i] = (int32_t)w.w[1] >> w.w[2] % 32;
        x[i] = i % 8 == 7 ? lb_points_random(i) : (double)whole[i] * 0x1p-12;
        narrow[i] = i % 8 == 7 ? canon_float(w.w[3]) : (float)x[i];
    }
    for (size_t i = 0; i < g->a[CODES].bytes; i++)
        g->a[CODES].p[i] = (unsigned char)canon_random64(35, 11, i).w[0];
}

/* ---- What is called, where the codec has it ---- */

static int encode(const struct lb_codec *c, struct given *g, uint32_t rounding)
{
    const struct lb_encoding how = {rounding, c->overflow, rounding == LB_STOCHASTIC ? (const uint32_t *)g->a[RANDOM].p : NULL};
    if (c->encode)
        c->encode(c, &how, (const double *)g->a[X64].p, g->n, g->a[CODES].p);
    return c->encode != NULL;
}

static int encode_nearest(const struct lb_codec *c, struct given *g)
{
    return encode(c, g, LB_NEAREST);
}

static int encode_stochastic(const struct lb_codec *c, struct given *g)
{
    return c->bits ? encode(c, g, LB_STOCHASTIC) : 0;
}

static int encode_int(const struct lb_codec *c, struct given *g)
{
    const struct lb_encoding how = {LB_NEAREST, c->overflow, NULL};
    if (c->bits && c->encode_int)
        c->encode_int(c, &how, (const int64_t *)g->a[WHOLE].p, 0, g->n, g->a[CODES].p);
    return c->bits && c->encode_int;
}

static int encode_f32(const struct lb_codec *c, struct given *g)
{
    if (c->encode_f32)
        c->encode_f32(c, (const float *)g->a[X32].p, g->n, g->a[CODES].p);
    return c->encode_f32 != NULL;
}

static int decode(const struct lb_codec *c, struct given *g)
{
    if (c->decode)
        c->decode(c, g->a[CODES].p, g->n, (double *)g->a[X64].p);
    return c->decode != NULL;
}

static int decode_int(const struct lb_codec *c, struct given *g)
{
    const int has = c->bits > 16 && c->decode_int && (c->kind == LB_SIGNED || c->kind == LB_UNSIGNED);
    if (has)
        c->decode_int(c, g->a[CODES].p, g->n, (int64_t *)g->a[WHOLE].p);
    return has;
}

static int decode_f32(const struct lb_codec *c, struct given *g)
{
    if (c->decode_f32)
        c->decode_f32(c, g->a[CODES].p, g->n, (float *)g->a[X32].p);
    return c->decode_f32 != NULL;
}

/* Room for fewer steps than there are. */
static int steps(const struct lb_codec *c, struct given *g)
{
    if (c->steps)
        c->steps(c, (struct lb_step *)g->a[STEPS].p, g->n);
    return c->steps != NULL;
}

static const struct {
    const char *name;
    int (*call)(const struct lb_codec *c, struct given *g);
} calls[] = {{"encode", encode_nearest}, {"encode, stochastic", encode_stochastic},
             {"encode_int", encode_int}, {"encode_f32", encode_f32},
             {"decode", decode},         {"decode_int", decode_int},
             {"decode_f32", decode_f32}, {"steps", steps}};

/* Encoders first: what they write is what is decoded. */
static int try_size(struct lb_laws *l, size_t n, int at_end)
{
    struct given g;
    char what[200];
    if (given_init(l, &g, n, at_end))
        return -1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        fill(&g);
        snprintf(what, sizeof what, "%s: no array is touched beyond its ends: %s of %zu elements", l->codec->base.name, calls[i].name, n);
        lb_guard_watch(what, fileno(l->report));
        l->tried += calls[i].call(l->codec, &g) ? n : 0;
        lb_guard_ignore();
    }
    given_finish(&g);
    return 0;
}

int lb_laws_bounds(struct lb_laws *l)
{
    static const size_t units[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 130, 257, 1021};
    const struct lb_codec *c = l->codec;
    int r = 0;
    if (!c->encode && !c->decode && !c->encode_f32 && !c->decode_f32 && !c->steps)
        return 0;
    lb_law_begin(l, "no array is touched beyond its ends");
    fflush(l->report);
    for (size_t i = 0; !r && i < sizeof units / sizeof *units; i++)
        r = try_size(l, units[i] * c->unit_elems, 0) || try_size(l, units[i] * c->unit_elems, 1) ? -1 : 0;
    if (!r)
        lb_law_end(l);
    return r;
}
