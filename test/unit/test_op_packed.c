/* SPDX-License-Identifier: MIT */
/* gemm_packed and conv2d_packed of backend `cpu`, with each instruction set and one to three threads, against the reference on unpacked weights, bit for bit: with
 * the codecs that there are, and with drawn tables of every width. */
#include "test/unit/packed_util.h"

enum { CASES = 180, MULTIPLY_ADDS = 1500000 };

/* ---- Codecs of any width up to 16 bits, from drawn numbers ---- */

struct drawn {
    struct lb_codec codec;
    float values[65536];
};

static uint32_t code_at(const unsigned char *codes, unsigned bits, size_t i)
{
    return (uint32_t)lb_code_get(codes, bits, i);
}

static void decode_drawn(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = c->values[code_at(codes, c->codec->bits, first + i)];
}

/* Numbers of 24 bits, of 8 bits, or binary16's or the upper halves' own order; now and then with what is not finite. */
static struct lb_codes draw_codec(struct op_run *t, struct drawn *c, unsigned bits)
{
    const size_t way = op_draw(t, 0, bits == 16 ? 3 : 1), special = op_draw(t, 0, 3) == 0;
    c->codec = (struct lb_codec){.base = {.name = "drawn"}, .bits = bits, .unit_elems = 8, .unit_bytes = bits};
    for (uint32_t i = 0; i < 1u << bits; i++) {
        const canon_words r = op_words(t, 0x300 + bits, i);
        const uint32_t e = i & 0x7fffu;
        const float half = e >= 0x7c00u ? canon_float(0x7f800000u | e << 13) : canon_float(e << 13) * 0x1p112f;
        float v = 4.0f * canon_unit(r.w[0]) - 2.0f;
        v = way == 1 ? canon_float(canon_bits(v) & 0xffff0000u) : way == 2 ? canon_float(i << 16) : way == 3 ? half : v;
        v = way == 3 && i & 0x8000u ? -half : v;
        c->values[i] = canon_nan(special && way < 2 && r.w[1] % 32 == 0 ? op_not_finite(r.w[2]) : v);
    }
    return (struct lb_codes){.codec = &c->codec, .values = c->values, .decode = decode_drawn};
}

static const unsigned char *draw_bytes(struct op_run *t, size_t n)
{
    unsigned char *b = (unsigned char *)op_memory(t, n / 4 + 1);
    for (size_t i = 0; i < n / 4 * 4 + 4; i++)
        b[i] = (unsigned char)op_words(t, 0x400 + (uint32_t)t->arrays, i).w[0];
    return b;
}

/* rows x cols in a drawn codec with drawn scales. */
static struct lb_packed draw_any(struct op_run *t, struct drawn c[2], size_t rows, size_t cols)
{
    static const size_t blocks[] = {16, 32, 48, 64, 128, 256, 272, 5, 1000000};
    struct lb_packed p = {.rows = rows, .cols = cols};
    const unsigned bits = (unsigned)op_draw(t, 1, op_draw(t, 0, 3) ? 8 : 16);
    p.q = draw_codec(t, &c[0], op_draw(t, 0, 5) ? bits : 16);
    p.row_bytes = (cols * p.q.codec->bits + 7) / 8 + op_draw(t, 0, 3);
    p.codes = draw_bytes(t, rows * p.row_bytes);
    p.scaled = op_draw(t, 0, 4) > 0;
    p.block = blocks[op_draw(t, 0, 8)];
    p.block = op_draw(t, 0, 5) ? p.block : cols;
    p.scale_row = p.block == cols && op_draw(t, 0, 1) ? 0 : (cols + p.block - 1) / p.block;
    p.n_scales = p.scale_row ? rows * p.scale_row : 1;
    static const unsigned widths[] = {8, 8, 8, 16, 4, 6, 11};
    p.s = draw_codec(t, &c[1], widths[op_draw(t, 0, 6)]);
    p.scales = draw_bytes(t, (p.n_scales * p.s.codec->bits + 7) / 8);
    const size_t second = op_draw(t, 0, 3);
    p.group2 = second == 1 ? op_draw(t, 1, 40) : p.n_scales;
    p.scale2 = second < 2 ? op_input(t, (p.n_scales + p.group2 - 1) / p.group2, 0) : NULL;
    p.has_offset = p.scale2 && op_draw(t, 0, 2) == 0;
    p.offset = 0.3f;
    if (op_draw(t, 0, 2) == 0) {
        float *z = op_input(t, p.n_scales, 0);
        for (size_t i = 0; i < p.n_scales && op_draw(t, 0, 0) == 0 && bits % 2; i++)
            z[i] = c[0].values[op_words(t, 0x500, i).w[0] & ((1u << p.q.codec->bits) - 1)];
        p.zeros = z;
    }
    return p;
}

/* ---- Cases ---- */

static size_t draw_rows(struct op_run *t)
{
    static const size_t borders[] = {1, 2, 3, 4, 5, 14, 15, 16, 28, 29, 64, 85};
    return op_draw(t, 0, 2) == 0 ? 1 : borders[op_draw(t, 0, 11)];
}

static size_t draw_k(struct op_run *t)
{
    static const size_t borders[] = {1, 16, 31, 32, 33, 255, 256, 257, 512, 513, 784, 1024, 1300, 2048};
    return op_draw(t, 0, 1) ? op_draw(t, 1, 400) : borders[op_draw(t, 0, 13)];
}

static struct lb_buf host(float *p, size_t n)
{
    return (struct lb_buf){.ptr = p, .bytes = n * sizeof *p};
}

static void *weights(struct op_run *t, struct lb_dev *d, const struct lb_packed *p)
{
    char why[256] = "";
    size_t bytes = 0;
    void *w = d->ops->weights_create(d->dev, p, LB_USE_F32, &bytes, why, sizeof why);
    op_assert(t, w && bytes, "weights_create: %s %s", why, d->log);
    return w;
}

static void end(struct op_run *t, struct lb_dev *d, void *w)
{
    d->ops->weights_free(d->dev, w);
    lb_backend_close(d);
    packed_end(t);
    lb_plugins_unload();
}

static void name_weights(struct op_run *t, const struct lb_packed *p)
{
    const size_t n = strlen(t->name);
    snprintf(t->name + n, sizeof t->name - n, "; %s %u bits, scales %s %u bits, %zu a row, block %zu, second %d, offset %d, zeros %d",
             p->q.codec->base.name, p->q.codec->bits, p->scaled ? "in" : "none", p->scaled ? p->s.codec->bits : 0, p->scale_row, p->block,
             p->scale2 != NULL, p->has_offset, p->zeros != NULL);
}

/* The matrix of the case, in a codec by name or in a drawn one. */
static const struct lb_packed *draw_weights(struct op_run *t, struct drawn c[2], struct lb_packed *own, size_t rows, size_t cols)
{
    const struct lb_packed *p = own;
    packed_load(t);
    if (op_draw(t, 0, 1)) {
        *own = draw_any(t, c, rows, cols);
    } else {
        const struct lb_ops_like like = packed_draw(t, rows, cols);
        p = packed_matrix(t, &like);
    }
    name_weights(t, p);
    return p;
}

static void one_product(struct op_run *t)
{
    static struct drawn c[2];
    struct lb_packed own;
    const size_t m = draw_rows(t), k = draw_k(t);
    const size_t n = op_draw(t, 1, m * k > 20000 ? 80 : 200);
    const int biased = (int)op_draw(t, 0, 1), act = (int)op_draw(t, 0, 4);
    const unsigned threads = (unsigned)op_draw(t, 1, 3), rarity = op_draw(t, 0, 2) ? 0 : 4 * (unsigned)(k + 1);
    struct lb_dev *d = op_device(t, threads);
    op_name(t, "gemm m=%zu n=%zu k=%zu bias=%d act=%d threads=%u special 1/%u", m, n, k, biased, act, threads, rarity);
    const struct lb_packed *p = draw_weights(t, c, &own, n, k);
    const float *unpacked = packed_floats(t, p);
    float *a = op_input(t, m * k, rarity), *bias = op_input(t, n, rarity ? 8 : 0), *want = op_output(t, m * n), *got = op_output(t, m * n);
    ref_kernels_c.gemm(a, unpacked, biased ? bias : NULL, want, m, n, k, 0, 1, act, 1.1f);

    struct lb_buf buf[] = {host(a, m * k), host(bias, n), host(got, m * n)};
    struct lb_err err = {0};
    const struct lb_gemm_packed op = {.a = {&buf[0], 0},
                                      .bias = {biased ? &buf[1] : NULL, 0},
                                      .c = {&buf[2], 0},
                                      .w = weights(t, d, p),
                                      .m = m,
                                      .n = n,
                                      .k = k,
                                      .act = (uint32_t)act,
                                      .alpha = 1.1f};
    op_assert(t, LB_RUN(d, gemm_packed, &op, &err) == 0, "%s", err.text);
    op_same(t, "c", want, got, m * n);
    end(t, d, op.w);
}

/* Now and then so many weights that they are unpacked in groups of filters. */
static struct lb_conv shape(struct op_run *t)
{
    struct lb_conv s;
    if (op_draw(t, 0, 15) == 0)
        return (struct lb_conv){.n = 1, .c = 600, .h = 4, .w = 6, .o = 40, .kh = 3, .kw = 3, .stride = 1, .pad = 0, .oh = 2, .ow = 4};
    do {
        s = (struct lb_conv){.n = op_draw(t, 1, 3), .h = op_draw(t, 1, 20), .w = op_draw(t, 1, 24), .pad = op_draw(t, 0, 2)};
        s.c = op_draw(t, 1, op_draw(t, 0, 1) ? 6 : 40);
        s.o = op_draw(t, 1, 40);
        s.kh = op_draw(t, 1, 5);
        s.kw = op_draw(t, 0, 2) ? s.kh : op_draw(t, 1, 5);
        s.stride = op_draw(t, 1, 3);
        s.oh = s.h + 2 * s.pad < s.kh ? 0 : (s.h + 2 * s.pad - s.kh) / s.stride + 1;
        s.ow = s.w + 2 * s.pad < s.kw ? 0 : (s.w + 2 * s.pad - s.kw) / s.stride + 1;
    } while (!s.oh || !s.ow || s.n * s.o * s.oh * s.ow * s.c * s.kh * s.kw > MULTIPLY_ADDS);
    return s;
}

static void one_convolution(struct op_run *t)
{
    static struct drawn c[2];
    struct lb_packed own;
    const struct lb_conv s = shape(t);
    const struct ref_conv r = {s.n, s.c, s.h, s.w, s.o, s.kh, s.kw, s.stride, s.pad, s.oh, s.ow};
    const size_t k = s.c * s.kh * s.kw, nx = s.n * s.c * s.h * s.w, ny = s.n * s.o * s.oh * s.ow;
    const int biased = (int)op_draw(t, 0, 1), act = (int)op_draw(t, 0, 4);
    const unsigned threads = (unsigned)op_draw(t, 1, 3), rarity = op_draw(t, 0, 2) ? 0 : 3000;
    struct lb_dev *d = op_device(t, threads);
    op_name(t, "conv2d n=%zu c=%zu h=%zu w=%zu o=%zu kh=%zu kw=%zu stride=%zu pad=%zu act=%d bias=%d, %u threads", s.n, s.c, s.h, s.w, s.o,
            s.kh, s.kw, s.stride, s.pad, act, biased, threads);
    const struct lb_packed *p = draw_weights(t, c, &own, s.o, k);
    const float *unpacked = packed_floats(t, p);
    float *x = op_input(t, nx, rarity), *bias = op_input(t, s.o, rarity ? 8 : 0), *want = op_output(t, ny), *got = op_output(t, ny);
    ref_kernels_c.conv2d(&r, x, unpacked, biased ? bias : NULL, want, act, 1.1f);

    struct lb_buf buf[] = {host(x, nx), host(bias, s.o), host(got, ny)};
    struct lb_err err = {0};
    const struct lb_conv2d_packed op = {.x = {&buf[0], 0},
                                        .bias = {biased ? &buf[1] : NULL, 0},
                                        .y = {&buf[2], 0},
                                        .w = weights(t, d, p),
                                        .s = s,
                                        .act = (uint32_t)act,
                                        .alpha = 1.1f};
    op_assert(t, LB_RUN(d, conv2d_packed, &op, &err) == 0, "%s", err.text);
    op_same(t, "y", want, got, ny);
    end(t, d, op.w);
}

Test(op_packed, c)
{
    op_cases("op_packed/c", "c", CASES, one_product);
}

Test(op_packed, avx2)
{
    op_cases("op_packed/avx2", "avx2", CASES, one_product);
}

Test(op_packed, avx512)
{
    op_cases("op_packed/avx512", "avx512", CASES, one_product);
}

Test(op_packed, conv_c)
{
    op_cases("op_packed/conv_c", "c", CASES / 2, one_convolution);
}

Test(op_packed, conv_avx2)
{
    op_cases("op_packed/conv_avx2", "avx2", CASES / 2, one_convolution);
}

Test(op_packed, conv_avx512)
{
    op_cases("op_packed/conv_avx512", "avx512", CASES / 2, one_convolution);
}
