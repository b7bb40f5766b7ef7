/* SPDX-License-Identifier: MIT */
/* cpu_conv_dx.c - conv2d_dx. Input positions of the same remainders by the stride, (py, px), meet the same taps of the kernel; so each
 * such phase is a product of its own, whose vector side are shifted copies of dy with a border of zeros. Where the stride is above 1 most
 * taps are absent from a phase. They are left out where all weights are finite, and otherwise read zeros, for 0 times infinity is NaN;
 * the segments are those of the whole sum in both cases. */
#include "plugins/cpu/cpu_conv.h"
#include "kernels/canon.h"
#include "kernels/cpu/ref.h"

/* A copy of dy: column i of its `width` is column i + shift of dy. */
struct plane {
    ptrdiff_t shift;
    size_t width, at; /* where in the lowered band */
};

/* Along one axis: positions need the rows (columns) of dy from their own number + least on, and `extra` more than they are. */
struct reach {
    ptrdiff_t least;
    size_t extra;
};

struct backward {
    struct cpu_device *d;
    const struct lb_conv2d_grad *o;
    struct conv_split split; /* rows: of the largest phase */
    struct reach rows, cols;
    int wide;                /* one plane in which all columns are found by offsets; else one for each shift */
    size_t pitch;            /* wide: of the plane */
    struct conv_plan *phase; /* (stride, stride) */
    struct plane *plane;
    size_t planes;
    /* (stride, kw): where the plane of phase column px and kernel column kx has its first element, and the plane's width; (stride, kh):
     * the row of a plane that phase row py and kernel row ky begin with. SIZE_MAX: the tap is absent. */
    size_t *col_at, *width_of, *row_at;
    size_t height; /* of a plane */
    int all_taps;
    float *lowered, *woven; /* of each job: zeros, then the planes; the phases' outputs */
    size_t zeros, lowered_size, woven_size;
};

/* Where (p + pad - tap) / stride has no remainder it is *q. */
static int meets(const struct lb_conv *s, size_t p, size_t tap, ptrdiff_t *q)
{
    const ptrdiff_t at = (ptrdiff_t)(p + s->pad) - (ptrdiff_t)tap;
    *q = at / (ptrdiff_t)s->stride;
    return *q * (ptrdiff_t)s->stride == at;
}

/* Positions p, p + stride, ... below n. */
static size_t count(size_t n, size_t p, size_t stride)
{
    return n > p ? (n - p + stride - 1) / stride : 0;
}

/* ---- The plan ---- */

static int all_finite(const float *w, size_t n)
{
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = canon_bits(w[i]) & CANON_INF;
        worst = u > worst ? u : worst;
    }
    return worst < CANON_INF;
}

static struct reach find_reach(const struct lb_conv *s, size_t n, size_t taps)
{
    ptrdiff_t least = PTRDIFF_MAX, most = PTRDIFF_MIN, shift;
    for (size_t p = 0; p < s->stride && p < n; p++)
        for (size_t tap = 0; tap < taps; tap++)
            if (meets(s, p, tap, &shift)) {
                least = shift < least ? shift : least;
                most = shift > most ? shift : most;
            }
    return least <= most ? (struct reach){least, (size_t)(most - least)} : (struct reach){0, 0};
}

static size_t find_plane(struct backward *b, struct plane p)
{
    for (size_t i = 0; i < b->planes; i++)
        if (b->plane[i].shift == p.shift && b->plane[i].width == p.width)
            return i;
    const struct plane *last = b->plane + b->planes - 1;
    p.at = b->planes ? last->at + b->o->s.o * b->height * last->width : b->zeros;
    b->plane[b->planes] = p;
    return b->planes++;
}

static void fill_tables(struct backward *b)
{
    const struct lb_conv *s = &b->o->s;
    ptrdiff_t shift;
    b->planes = 0;
    for (size_t px = 0; px < s->stride; px++)
        for (size_t kx = 0; kx < s->kw; kx++) {
            const size_t width = count(s->w, px, s->stride), i = px * s->kw + kx;
            b->col_at[i] = SIZE_MAX;
            if (!width || !meets(s, px, kx, &shift))
                continue;
            const struct plane p = b->wide ? (struct plane){b->cols.least, b->pitch, 0} : (struct plane){shift, width, 0};
            const struct plane *from = b->plane + find_plane(b, p);
            b->col_at[i] = from->at + (size_t)(shift - from->shift);
            b->width_of[i] = from->width;
        }
    for (size_t py = 0; py < s->stride; py++)
        for (size_t ky = 0; ky < s->kh; ky++)
            b->row_at[py * s->kh + ky] = py < s->h && meets(s, py, ky, &shift) ? (size_t)(shift - b->rows.least) : SIZE_MAX;
}

static void fill_phase(struct backward *b, size_t py, size_t px)
{
    const struct lb_conv *s = &b->o->s;
    const size_t *row_at = b->row_at + py * s->kh, *col_at = b->col_at + px * s->kw, *width_of = b->width_of + px * s->kw;
    struct conv_plan *p = &b->phase[py * s->stride + px];
    const size_t taps = s->kh * s->kw;
    size_t left = CONV_SEGMENT, segment = 0;
    p->n = 0;
    for (size_t o = 0; o < s->o; o++)
        for (size_t ky = 0; ky < s->kh; ky++)
            for (size_t kx = 0; kx < s->kw; kx++) {
                const int met = row_at[ky] != SIZE_MAX && col_at[kx] != SIZE_MAX;
                if (left-- == 0) {
                    p->ends[segment++] = p->n;
                    left = CONV_SEGMENT - 1;
                }
                if (!met && !b->all_taps)
                    continue;
                p->off[p->n] = met ? col_at[kx] + (o * b->height + row_at[ky]) * width_of[kx] : 0; /* 0: the zeros */
                p->from[p->n++] = o * s->c * taps + ky * s->kw + kx;
            }
    p->ends[segment] = p->n;
    conv_pack(b->d, p, lb_f32(b->o->w), s->c, taps);
}

/* ---- A band of one sample ---- */

static void lower_sample(const struct backward *b, const float *dy, size_t q0, float *lowered)
{
    const struct lb_conv *s = &b->o->s;
    const ptrdiff_t top = (ptrdiff_t)q0 + b->rows.least;
    const size_t lo = top < 0 ? (size_t)-top : 0, end = (ptrdiff_t)s->oh > top ? (size_t)((ptrdiff_t)s->oh - top) : 0;
    const size_t hi = conv_min(end, b->height);
    const int some = lo < hi;
    for (size_t i = 0; i < b->planes; i++)
        b->d->k.conv.lower(&(struct conv_lowered){
            .dst = lowered + b->plane[i].at,
            .src = some ? dy + (size_t)((ptrdiff_t)lo + top) * s->ow : dy,
            .planes = s->o,
            .rows = b->height,
            .n = b->plane[i].width,
            .w = s->ow,
            .stride = 1,
            .first = b->plane[i].shift,
            .step = s->oh * s->ow,
            .pitch = s->ow,
            .lo = some ? lo : 0,
            .hi = some ? hi : 0,
        });
}

/* Rows py, py + stride, ... of dx from the phases (py, 0), (py, 1), ..., each (channels, rows, width) one after the other. */
static void weave(const struct backward *b, const float *parts, size_t rows, float *dx)
{
    const struct lb_conv *s = &b->o->s;
    if (s->stride == 2) {
        const float *odd = parts + s->c * rows * count(s->w, 0, 2);
        b->d->k.conv.weave(dx, s->h * s->w, 2 * s->w, parts, odd, s->c, rows, s->w);
        return;
    }
    for (size_t px = 0; px < s->stride; px++) {
        const size_t width = count(s->w, px, s->stride);
        for (size_t c = 0; c < s->c; c++)
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < width; i++)
                    dx[(c * s->h + r * s->stride) * s->w + i * s->stride + px] = *parts++;
    }
}

static void band(const struct backward *b, size_t unit, float *lowered, float *woven)
{
    const struct lb_conv *s = &b->o->s;
    const size_t sample = unit / b->split.bands, i = unit % b->split.bands;
    const size_t q0 = conv_band(&b->split, i), q1 = conv_band(&b->split, i + 1);
    float *dx = lb_f32(b->o->out) + sample * s->c * s->h * s->w + q0 * s->stride * s->w;
    lower_sample(b, lb_f32(b->o->dy) + sample * s->o * s->oh * s->ow, q0, lowered);
    for (size_t py = 0; py < s->stride; py++) {
        const size_t all = count(s->h, py, s->stride), rows = (q1 < all ? q1 : all) - (q0 < all ? q0 : all);
        float *out = s->stride == 1 ? dx : woven;
        for (size_t px = 0; rows && px < s->stride; px++) {
            const struct conv_plan *p = &b->phase[py * s->stride + px];
            const size_t width = count(s->w, px, s->stride);
            const struct conv_product product = {.w = p->w,
                                                 .b = lowered,
                                                 .off = p->off,
                                                 .ends = p->ends,
                                                 .segments = p->segments,
                                                 .out = out,
                                                 .ld = s->stride == 1 ? s->h * s->w : rows * width,
                                                 .rows = s->c,
                                                 .height = rows,
                                                 .width = width,
                                                 .pitch = b->pitch ? b->pitch : width,
                                                 .act = REF_LINEAR};
            b->d->k.conv.product(&product);
            out += s->c * rows * width;
        }
        if (rows && s->stride > 1)
            weave(b, woven, rows, dx + py * s->w);
    }
}

static void job(void *arg, size_t j)
{
    const struct backward *b = arg;
    const struct conv_split *s = &b->split;
    float *lowered = b->lowered + j * b->lowered_size;
    for (size_t i = 0; i < b->zeros; i++)
        lowered[i] = 0;
    for (size_t u = s->units * j / s->jobs; u < s->units * (j + 1) / s->jobs; u++)
        band(b, u, lowered, b->woven + j * b->woven_size);
}

/* ---- The op ---- */

static size_t round_up(size_t n)
{
    return (n / CONV_LANES + 1) * CONV_LANES;
}

/* Tables whose sizes do not depend on the split, then what does. */
static size_t layout(struct backward *b, char *at)
{
    const struct lb_conv *s = &b->o->s;
    const size_t k = s->o * s->kh * s->kw, phases = s->stride * s->stride;
    size_t used = 0;
    b->phase = conv_take(at, &used, phases, sizeof *b->phase);
    b->plane = conv_take(at, &used, s->stride * s->kw, sizeof *b->plane);
    b->col_at = conv_take(at, &used, s->stride * s->kw, sizeof *b->col_at);
    b->width_of = conv_take(at, &used, s->stride * s->kw, sizeof *b->width_of);
    b->row_at = conv_take(at, &used, s->stride * s->kh, sizeof *b->row_at);
    for (size_t i = 0; i < phases; i++) {
        struct conv_plan p = {.segments = k ? (k + CONV_SEGMENT - 1) / CONV_SEGMENT : 1};
        p.off = conv_take(at, &used, k, sizeof *p.off);
        p.from = conv_take(at, &used, k, sizeof *p.from);
        p.ends = conv_take(at, &used, p.segments, sizeof *p.ends);
        p.w = conv_take(at, &used, s->c * k, sizeof *p.w);
        if (at)
            b->phase[i] = p;
    }
    b->lowered = conv_take(at, &used, b->split.jobs * b->lowered_size, sizeof *b->lowered);
    b->woven = conv_take(at, &used, b->split.jobs * b->woven_size, sizeof *b->woven);
    return used;
}

/* Wide or not: see cpu_conv.c. At most as many planes as kernel columns, each at most as wide as phase 0: the sizes come before the tables
 * that they make room for. */
static void find_sizes(struct backward *b)
{
    const struct lb_conv *s = &b->o->s;
    const size_t width = count(s->w, 0, s->stride), rows = count(s->h, 0, s->stride);
    b->rows = find_reach(s, s->h, s->kh);
    b->cols = find_reach(s, s->w, s->kw);
    b->wide = s->kh * s->kw * s->c <= width * s->stride * s->stride;
    b->pitch = b->wide ? width + b->cols.extra : 0;
    const size_t row = s->o * (b->wide ? b->pitch : s->kw * width);
    b->split = conv_split(b->d, s->n, rows, row, b->rows.extra, (double)(s->n * s->c * rows * width) * (double)(s->o * s->kh * s->kw));
    b->height = b->split.band + b->rows.extra;
    b->zeros = round_up(b->split.band * (b->wide ? b->pitch : width));
    b->lowered_size = b->zeros + round_up(row * b->height + CONV_LANES);
    b->woven_size = s->stride > 1 ? round_up(s->c * b->split.band * s->w + CONV_LANES) : 0;
}

/* Each phase of the stride has tables of its own, so their size grows with its square: what nobody trains goes the reference's way. */
enum { MOST_STRIDE = 4 };

static int by_reference(const struct cpu_device *d, const struct lb_conv2d_grad *o)
{
    const struct lb_conv *c = &o->s;
    const struct ref_conv s = {c->n, c->c, c->h, c->w, c->o, c->kh, c->kw, c->stride, c->pad, c->oh, c->ow};
    const struct ref_kernels *k = (d->host->cpu & LB_CPU_AVX2) && ref_kernels_avx2.isa ? &ref_kernels_avx2 : &ref_kernels_c;
    k->conv2d_dx(&s, lb_f32(o->dy), lb_f32(o->w), lb_f32(o->out));
    return 0;
}

int cpu_conv2d_dx(void *dev, const struct lb_conv2d_grad *o)
{
    struct backward b = {.d = dev, .o = o};
    const struct lb_conv *s = &o->s;
    if (s->stride > MOST_STRIDE)
        return by_reference(b.d, o);
    find_sizes(&b);
    char *work = cpu_work(b.d, layout(&b, NULL));
    if (!work)
        return -1;
    layout(&b, work);
    fill_tables(&b);
    b.all_taps = s->stride > 1 && !all_finite(lb_f32(o->w), s->o * s->c * s->kh * s->kw);
    for (size_t py = 0; py < s->stride; py++)
        for (size_t px = 0; px < s->stride; px++)
            fill_phase(&b, py, px);
    b.d->host->parallel(b.d->host, b.split.jobs, job, &b);
    return 0;
}
