/* SPDX-License-Identifier: MIT */
/* bench_codec.c - encoding and decoding of a binary32 tensor, against moving as many bytes on one thread: larger than a cache, or --n elements. */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/format/coder.h"
#include "core/plugins.h"
#include "core/run/bench_impl.h"
#include "kernels/canon.h"

#include <stdio.h>
#include <string.h>

enum { LARGE = 16 << 20 /* 64 MiB of binary32: larger than a cache */ };

struct job {
    const struct lb_coder *coder;
    float *x;
    void *codes;
    size_t n;     /* elements */
    size_t bytes; /* of the codes */
};

static int encode(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    (void)err;
    lb_encode_f32(j->coder, NULL, j->x, j->n, j->codes);
    return 0;
}

static int decode(void *arg, struct lb_err *err)
{
    const struct job *j = arg;
    (void)err;
    lb_decode_f32(j->coder, j->codes, j->n, j->x);
    return 0;
}

static int one_way(const struct bench *b, const struct job *j, int encoding, struct lb_err *err)
{
    const size_t wide = j->n * sizeof(float);
    struct lb_bench_stream streams[BENCH_STREAMS];
    struct job copy = *j;
    struct contender c[BENCH_STREAMS + 1] = {{.run = encoding ? encode : decode, .arg = &copy}};
    const size_t n = encoding ? lb_bench_streams(streams, j->x, wide, j->codes, j->bytes, b->cpu)
                              : lb_bench_streams(streams, j->codes, j->bytes, j->x, wide, b->cpu);
    for (size_t i = 0; i < n; i++)
        c[i + 1] = (struct contender){.run = lb_bench_stream_run, .arg = &streams[i]};
    lb_progress("bench: codec %s", lb_coder_codec(j->coder)->base.name);
    if (lb_bench_race(c, n + 1, b->o->seconds, err))
        return -1;
    size_t best = 1;
    for (size_t i = 2; i <= n; i++)
        best = c[i].seconds < c[best].seconds ? i : best;
    char of[96], shape[64];
    const double total = (double)(wide + j->bytes);
    snprintf(of, sizeof of, "moving the bytes, %s, 1 thread (%.3g GB/s)", streams[best - 1].name, total / c[best].seconds * 1e-9);
    if (b->o->n)
        snprintf(shape, sizeof shape, "%zu elements", j->n);
    else
        snprintf(shape, sizeof shape, "64 MiB of F32");
    const struct bench_row r = {.op = encoding ? "encode" : "decode",
                                .shape = shape,
                                .format = lb_coder_codec(j->coder)->base.name,
                                .threads = 1,
                                .time = &c[0],
                                .rate = (b->o->n ? (double)j->n : total) / c[0].seconds * 1e-9,
                                .unit = b->o->n ? "Gelem/s" : "GB/s",
                                .ratio = c[best].seconds / c[0].seconds,
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

static int measure(const struct bench *b, const char *name, struct lb_err *err)
{
    struct lb_codec *codec = NULL;
    struct lb_coder *coder = NULL;
    struct job j = {.n = b->o->n ? b->o->n : LARGE};
    int r = lb_plugins_codec(name, NULL, 0, &codec, NULL, err) || lb_coder_create(codec, &coder, err) ? -1 : 0;
    if (!r && lb_coder_bytes(coder, j.n, &j.bytes))
        r = lb_fail(err, "bench: %s: too many bytes", name);
    if (!r) {
        j.coder = coder;
        j.x = lb_alloc(j.n, sizeof *j.x, err);
        j.codes = lb_alloc(j.bytes, 1, err);
        r = j.x && j.codes ? 0 : -1;
    }
    if (!r) {
        fill(j.x, j.n);
        r = one_way(b, &j, 1, err) || one_way(b, &j, 0, err) ? -1 : 0;
    }
    lb_free(j.x);
    lb_free(j.codes);
    lb_coder_destroy(coder);
    lb_plugins_codec_free(codec);
    return r;
}

int lb_bench_codec(const struct bench *b, struct lb_err *err)
{
    static const char *const usual[] = {"F16", "BF16", "I8", "F4"};
    if (b->o->format)
        return measure(b, b->o->format, err);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (measure(b, usual[i], err))
            return -1;
    return 0;
}
