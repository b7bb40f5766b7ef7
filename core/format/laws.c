/* SPDX-License-Identifier: MIT */
#include "core/format/laws.h"
#include "core/base/mem.h"
#include "core/format/laws_impl.h"
#include "kernels/canon.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- The report ------------------------------------------------------------------------------------------------------------------- */

void lb_law_begin(struct lb_laws *l, const char *law)
{
    l->law = law;
    l->tried = l->wrong = 0;
}

void lb_law_wrong(struct lb_laws *l, const char *format, ...)
{
    if (l->wrong++)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(l->first, sizeof l->first, format, args);
    va_end(args);
}

void lb_law_end(struct lb_laws *l)
{
    l->laws++;
    l->failed += l->wrong > 0;
    if (!l->wrong)
        fprintf(l->report, "ok      %s: %s (%zu tried)\n", l->codec->base.name, l->law, l->tried);
    else
        fprintf(l->report, "FAILED  %s: %s: %zu of %zu, the first: %s\n", l->codec->base.name, l->law, l->wrong, l->tried, l->first);
}

struct lb_number_text lb_number(double x)
{
    struct lb_number_text t;
    if (isnan(x) || isinf(x) || (fabs(x) < 1e15 && x == trunc(x)))
        snprintf(t.s, sizeof t.s, isnan(x) ? "nan" : "%.0f", x);
    else
        snprintf(t.s, sizeof t.s, "%.17g (%a)", x, x);
    return t;
}

/* ---- Numbers to try --------------------------------------------------------------------------------------------------------------- */

int lb_points_add(struct lb_points *p, double x, struct lb_err *err)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 4096;
        double *more = lb_alloc(cap, sizeof *more, err);
        if (!more)
            return -1;
        if (p->n)
            memcpy(more, p->x, p->n * sizeof *more);
        lb_free(p->x);
        p->x = more;
        p->cap = cap;
    }
    p->x[p->n++] = x;
    return 0;
}

int lb_points_near(struct lb_points *p, double x, struct lb_err *err)
{
    const float f = (float)x;
    const double near[] = {x,         nextafter(x, -INFINITY),          nextafter(x, INFINITY),
                           (double)f, (double)nextafterf(f, -INFINITY), (double)nextafterf(f, INFINITY)};
    int r = 0;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        r |= lb_points_add(p, near[i], err);
    return r;
}

double lb_points_random(uint64_t i)
{
    const canon_words w = canon_random64(20, 1, i);
    const uint64_t bits = (uint64_t)w.w[0] << 32 | w.w[1];
    double any;
    float f;
    memcpy(&any, &bits, sizeof any);
    memcpy(&f, &w.w[0], sizeof f);
    if (w.w[2] % 4 == 0)
        return any;
    if (w.w[2] % 4 == 1)
        return (double)f;
    return ldexp((double)w.w[0] - 2147483648.0 + (double)w.w[1] * 0x1p-32, -(int)(w.w[3] % 40));
}

int lb_same_number(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && !signbit(a) == !signbit(b));
}

int lb_as_binary32(double x, float *out)
{
    *out = (float)x;
    return isnan(x) || (double)*out == x;
}

static int special_points(struct lb_points *p, struct lb_err *err)
{
    static const double special[] = {0,      1,      0.5,    FLT_MIN, FLT_TRUE_MIN, FLT_MAX, 0x1p31, 0x1p32,
                                     0x1p53, 0x1p63, 0x1p64, DBL_MIN, DBL_TRUE_MIN, DBL_MAX, 1e30};
    int r = lb_points_add(p, NAN, err) | lb_points_add(p, INFINITY, err) | lb_points_add(p, -INFINITY, err);
    for (size_t i = 0; !r && i < sizeof special / sizeof *special; i++)
        r = lb_points_near(p, special[i], err) | lb_points_near(p, -special[i], err);
    return r;
}

/* ---- All of them ------------------------------------------------------------------------------------------------------------------ */

int lb_codec_laws(const struct lb_codec *codec, FILE *report, struct lb_err *err)
{
    struct lb_laws l = {.codec = codec, .report = report, .err = err};
    if (lb_coder_create(codec, &l.coder, err)) {
        fprintf(report, "FAILED  %s: can be used: %s\n", codec->base.name, err->text);
        return -1;
    }
    int r = special_points(&l.points, err) || lb_laws_bounds(&l) ? -1 : 0;
    if (!r && !codec->bits)
        r = lb_laws_block(&l);
    else if (!r)
        r = (codec->bits <= 16 ? lb_laws_table(&l) || lb_laws_table_random(&l) : lb_laws_wide(&l)) || lb_laws_packing(&l) ||
            lb_laws_fast(&l);
    lb_free(l.points.x);
    lb_coder_destroy(l.coder);
    if (r)
        return -1;
    fprintf(report, "%s: %u laws, %u failed\n", codec->base.name, l.laws, l.failed);
    return l.failed ? lb_fail(err, "codec %s: %u of %u laws failed", codec->base.name, l.failed, l.laws) : 0;
}
