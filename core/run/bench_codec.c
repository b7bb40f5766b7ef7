/* SPDX-License-Identifier: MIT */
/* bench_codec.c - encoding and decoding of a binary32 tensor, against moving as many bytes on one thread: larger than a cache, or --n elements. Formats are
 * encoded alone, with their scales, and also in a cache. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/format.h"
#include "core/format/scale.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { LARGE = 16 << 20 /* 64 MiB of binary32: larger than a cache */, SMALL = 16 << 10 };

struct job {
    const struct lb_format *f;
    float *x;
    unsigned char *codes;
    size_t n;     /* elements */
    size_t bytes; /* of the codes and scales */
    struct lb_groups g;
};

static int encode(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    (void)err;
    lb_encode_f32(j->f->coder, NULL, j->x, j->n, j->codes);
    return 0;
}

static int decode(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    (void)err;
    lb_decode_f32(j->f->coder, j->codes, j->n, j->x);
    return 0;
}

static int encode_format(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    const struct lb_format_config *c = j->f->config;
    const struct lb_encode how = {.rounding = c->rounding, .overflow = c->overflow, .seed = 1};
    struct lb_scales scales;
    const int r = lb_format_codes(j->f, &j->g, j->g.cols, j->x, &how, j->codes, &scales, err);
    lb_scales_finish(&scales);
    return r;
}

/* Whether it is a codec in its own way, and nothing else. */
static int is_plain(const struct lb_format *f)
{
    return f->config->rule == LB_SCALE_NONE && f->config->rounding == LB_NEAREST && f->config->overflow < 0;
}

static int one_way(const struct bench *b, const struct job *j, int encoding, struct lb_err *err)
{
    const size_t wide = j->n * sizeof(float);
    struct lb_bench_stream streams[BENCH_STREAMS];
    struct job copy = *j;
    const struct lb_format_config *config = j->f->config;
    const int plain = is_plain(j->f), by_elements = b->o->n || !plain;
    struct contender c[BENCH_STREAMS + 1] = {{.run = !encoding ? decode : plain ? encode : encode_format, .arg = &copy}};
    const size_t n = encoding ? lb_bench_streams(streams, j->x, wide, j->codes, j->bytes, b->cpu)
                              : lb_bench_streams(streams, j->codes, j->bytes, j->x, wide, b->cpu);
    for (size_t i = 0; i < n; i++)
        c[i + 1] = (struct contender){.run = lb_bench_stream_run, .arg = &streams[i]};
    lb_progress("bench: codec %s", config->name);
    if (lb_bench_race(c, n + 1, b->o->seconds, err))
        return -1;
    size_t best = 1;
    for (size_t i = 2; i <= n; i++)
        best = c[i].seconds < c[best].seconds ? i : best;
    char of[96], shape[64];
    const double total = (double)(wide + j->bytes);
    snprintf(of, sizeof of, "moving the bytes, %s, 1 thread (%.3g GB/s)", streams[best - 1].name, total / c[best].seconds * 1e-9);
    if (by_elements)
        snprintf(shape, sizeof shape, "%zu elements", j->n);
    else
        snprintf(shape, sizeof shape, "64 MiB of F32");
    const struct bench_row r = {.op = encoding ? "encode" : "decode",
                                .shape = shape,
                                .format = config->name,
                                .threads = 1,
                                .time = &c[0],
                                .rate = (by_elements ? (double)j->n : total) / c[0].seconds * 1e-9,
                                .unit = by_elements ? "Gelem/s" : "GB/s",
                                .ratio = c[best].seconds / c[0].seconds,
                                .method = config->rounding == LB_STOCHASTIC ? "stochastic" : NULL,
                                .of = of};
    return lb_bench_row(b->t, &r, err);
}

/* Normally distributed numbers, near enough, times 4: most of them in the range of a 4-bit float. */
static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t a = (uint32_t)i * 2654435761u, b = a ^ a >> 15;
        x[i] = 4.0f * (canon_unit(b * 2246822519u) + canon_unit(b * 3266489917u) - 1.0f);
    }
}

/* Room for n elements, in rows of 1024 where they fill some. */
static int make(const struct lb_format *f, size_t n, struct job *j, struct lb_err *err)
{
    const size_t cols = n % 1024 ? n : 1024, shape[2] = {n / cols, cols};
    size_t codes, scales = 0;
    *j = (struct job){.f = f, .n = n};
    if (lb_groups_of(f, 2, shape, &j->g, err))
        return -1;
    const size_t padded = f->config->per == LB_PER_BLOCK && cols % j->g.block;
    if (padded || lb_coder_bytes(f->coder, n, &codes) || (f->scale && lb_coder_bytes(f->scale->coder, j->g.n, &scales)))
        return lb_fail(err, "bench: %s: %zu elements are no whole number of blocks", f->config->name, n);
    j->bytes = codes + scales;
    j->x = lb_alloc(n, sizeof *j->x, err);
    j->codes = lb_alloc(j->bytes, 1, err);
    if (!j->x || !j->codes)
        return -1;
    fill(j->x, n);
    return 0;
}

static int measure_size(const struct bench *b, const struct lb_format *f, size_t n, struct lb_err *err)
{
    struct job j;
    const int r = make(f, n, &j, err) || one_way(b, &j, 1, err) || (is_plain(f) && one_way(b, &j, 0, err)) ? -1 : 0;
    lb_free(j.x);
    lb_free(j.codes);
    return r;
}

static int measure(const struct bench *b, const char *name, struct lb_err *err)
{
    struct lb_format_config config = {0};
    struct lb_format *f = NULL;
    int r = lb_config_format(name, NULL, &config, err) || lb_format_create(&config, &f, err) ? -1 : 0;
    if (!r && f->n_layers)
        r = lb_fail(err, "bench: %s: \"layers\" is for networks", name);
    r = r || measure_size(b, f, b->o->n ? b->o->n : LARGE, err) ? -1 : 0;
    if (!r && !b->o->n && !is_plain(f))
        r = measure_size(b, f, SMALL, err);
    lb_format_destroy(f);
    lb_config_format_finish(&config);
    return r;
}

int lb_bench_codec(const struct bench *b, struct lb_err *err)
{
    static const char *const usual[] = {
        "F16", "BF16", "I8", "F4", "MXFP8_E4M3", "MXFP4", "NVFP4", "INT4_G32", "{\"codec\": \"F8_E4M3\", \"rounding\": \"stochastic\"}"};
    if (b->o->format)
        return measure(b, b->o->format, err);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (measure(b, usual[i], err))
            return -1;
    return 0;
}
