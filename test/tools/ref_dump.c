/* SPDX-License-Identifier: MIT */
/* What test/oracle/arithmetic_check.py compares with docs/arithmetic.md: inputs and results of every operation of ref.h, of canon.h's functions,
 * of initial random words and of shuffles.
 *   ref_dump c|avx2 OUT.safetensors
 * A case's tensors are named "OP:case/tensor"; "p" are its sizes and switches as I32, "f" its binary32 numbers. Exit 3: not on this machine. */
#include "core/base/mem.h"
#include "core/format/safetensors.h"
#include "core/nn/backend.h"
#include "core/nn/metrics.h"
#include "core/nn/train.h"
#include "kernels/canon.h"
#include "kernels/cpu/ref_packed.h"

#include <stdio.h>
#include <string.h>

/* The first error stays; what comes after it does nothing. */
struct dump {
    const struct ref_kernels *k;
    struct lb_safetensors st;
    struct lb_err err;
    uint32_t stream;
    char where[64];
};

/* A zeroed tensor of the file, or a place that is thrown away where something has failed. */
static void *place(struct dump *d, const char *name, enum lb_dtype_id dtype, unsigned ndim, const size_t *shape)
{
    static uint64_t nowhere[65536];
    struct lb_tensor t;
    char full[128];
    snprintf(full, sizeof full, "%s/%s", d->where, name);
    if (d->err.set || lb_tensor_init(&t, dtype, ndim, shape, &d->err))
        return nowhere;
    void *data = t.data;
    if (lb_safetensors_add(&d->st, full, &t, &d->err)) {
        lb_tensor_finish(&t);
        return nowhere;
    }
    return data;
}

static float *place_f32(struct dump *d, const char *name, size_t a, size_t b)
{
    return place(d, name, LB_F32, 2, (const size_t[]){a, b});
}

static void put_ints(struct dump *d, size_t n, const int32_t *v)
{
    memcpy(place(d, "p", LB_I32, 1, &n), v, n * sizeof *v);
}

static void put_floats(struct dump *d, size_t n, const float *v)
{
    memcpy(place(d, "f", LB_F32, 1, &n), v, n * sizeof *v);
}

/* How inputs are drawn: in [-1, 1); the same with very different magnitudes; now and then a special value. */
enum draw { PLAIN, SCALED, SPECIAL };

static float *draw(struct dump *d, const char *name, size_t a, size_t b, enum draw how)
{
    static const uint32_t special[] = {0, 0x80000000u, 0x7F800000u, 0xFF800000u, 0x7FC00000u, 0xFFC12345u, 0x7F800001u,
                                       1, 0x807FFFFFu, 0x00800000u, 0x7F7FFFFFu, 0xFF7FFFFFu, 0x3F800000u, 0xBF800000u};
    float *x = place_f32(d, name, a, b);
    d->stream++;
    for (size_t i = 0; i < a * b; i++) {
        const canon_words r = canon_random64(20240229, d->stream, i);
        x[i] = 2.0f * canon_unit(r.w[0]) - 1.0f + canon_unit(r.w[1]) * 0x1p-24f;
        if (how != PLAIN && r.w[2] % 3 == 0)
            x[i] = canon_float((canon_bits(x[i]) & 0x807FFFFFu) | (r.w[3] % (how == SCALED ? 60 : 254) + (how == SCALED ? 97 : 1)) << 23);
        if (how == SPECIAL && r.w[2] % 41 == 0)
            x[i] = canon_float(special[r.w[3] % (sizeof special / sizeof *special)]);
    }
    return x;
}

static void begin(struct dump *d, const char *op, size_t i)
{
    snprintf(d->where, sizeof d->where, "%s:%zu", op, i);
}

static const float alpha = 1.1f;

static void dump_gemm(struct dump *d)
{
    static const struct {
        int32_t m, n, k, trans_a, trans_b, act, bias, draw;
    } cases[] = {{5, 37, 600, 0, 0, REF_LINEAR, 1, PLAIN},
                 {3, 33, 513, 0, 1, REF_RELU, 1, PLAIN},
                 {17, 2, 256, 1, 0, REF_SCALED_RELU, 1, SCALED},
                 {4, 9, 257, 1, 1, REF_SIGMOID, 1, PLAIN},
                 {2, 5, 1, 0, 1, REF_TANH, 0, PLAIN},
                 {7, 31, 300, 0, 1, REF_LINEAR, 0, SCALED},
                 {19, 40, 70, 0, 0, REF_RELU, 1, SPECIAL},
                 {6, 35, 290, 1, 1, REF_SCALED_RELU, 0, SPECIAL},
                 {9, 8, 12, 0, 1, REF_SIGMOID, 1, SPECIAL},
                 {9, 8, 12, 1, 0, REF_TANH, 1, SPECIAL},
                 {3, 3, 0, 0, 0, REF_LINEAR, 1, SPECIAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t m = (size_t)cases[i].m, n = (size_t)cases[i].n, k = (size_t)cases[i].k;
        begin(d, "gemm", i);
        put_ints(d, 7, &cases[i].m);
        put_floats(d, 1, &alpha);
        const float *a = draw(d, "a", cases[i].trans_a ? k : m, cases[i].trans_a ? m : k, (enum draw)cases[i].draw);
        const float *b = draw(d, "b", cases[i].trans_b ? n : k, cases[i].trans_b ? k : n, (enum draw)cases[i].draw);
        const float *bias = cases[i].bias ? draw(d, "bias", 1, n, (enum draw)cases[i].draw) : NULL;
        d->k->gemm(a, b, bias, place_f32(d, "c", m, n), m, n, k, cases[i].trans_a, cases[i].trans_b, cases[i].act, alpha);
    }
}

static void dump_conv(struct dump *d)
{
    static const struct {
        int32_t n, c, h, w, o, kh, kw, stride, pad, act, draw;
    } cases[] = {{2, 3, 9, 8, 4, 3, 2, 1, 0, REF_LINEAR, PLAIN},         {3, 2, 8, 7, 5, 3, 3, 2, 1, REF_RELU, PLAIN},
                 {1, 31, 7, 7, 2, 3, 3, 1, 1, REF_TANH, SCALED},         {2, 1, 17, 19, 3, 5, 4, 3, 2, REF_SIGMOID, PLAIN},
                 {2, 2, 6, 5, 30, 3, 3, 2, 2, REF_SCALED_RELU, SPECIAL}, {3, 2, 5, 6, 2, 2, 3, 4, 0, REF_LINEAR, SPECIAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ref_conv s = {(size_t)cases[i].n,
                             (size_t)cases[i].c,
                             (size_t)cases[i].h,
                             (size_t)cases[i].w,
                             (size_t)cases[i].o,
                             (size_t)cases[i].kh,
                             (size_t)cases[i].kw,
                             (size_t)cases[i].stride,
                             (size_t)cases[i].pad,
                             0,
                             0};
        const enum draw how = (enum draw)cases[i].draw;
        s.oh = (s.h + 2 * s.pad - s.kh) / s.stride + 1;
        s.ow = (s.w + 2 * s.pad - s.kw) / s.stride + 1;
        begin(d, "conv", i);
        put_ints(d, 10, &cases[i].n);
        put_floats(d, 1, &alpha);
        const float *x = draw(d, "x", s.n, s.c * s.h * s.w, how), *w = draw(d, "w", s.o, s.c * s.kh * s.kw, how),
                    *bias = draw(d, "bias", 1, s.o, how);
        const float *dy = draw(d, "dy", s.n, s.o * s.oh * s.ow, how);
        d->k->conv2d(&s, x, w, bias, place_f32(d, "y", s.n, s.o * s.oh * s.ow), cases[i].act, alpha);
        d->k->conv2d_dx(&s, dy, w, place_f32(d, "dx", s.n, s.c * s.h * s.w));
        d->k->conv2d_dw(&s, dy, x, place_f32(d, "dw", s.o, s.c * s.kh * s.kw));
        d->k->bias_grad(dy, place_f32(d, "db", 1, s.o), s.n, s.o, s.oh * s.ow);
    }
}

static void dump_bias_grad(struct dump *d)
{
    static const int32_t cases[][4] = {{64, 3, 9, SCALED}, {300, 2, 1, PLAIN}, {2, 2, 128, PLAIN}, {5, 4, 70, SPECIAL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t n = (size_t)cases[i][0], c = (size_t)cases[i][1], p = (size_t)cases[i][2];
        begin(d, "bias_grad", i);
        put_ints(d, 3, cases[i]);
        d->k->bias_grad(draw(d, "dy", n, c * p, (enum draw)cases[i][3]), place_f32(d, "db", 1, c), n, c, p);
    }
}

static void dump_act(struct dump *d)
{
    for (int32_t act = REF_LINEAR; act <= REF_TANH; act++) {
        begin(d, "act", (size_t)act);
        put_ints(d, 1, &act);
        put_floats(d, 1, &alpha);
        float *x = draw(d, "x", 40, 101, SPECIAL), *y = place_f32(d, "y", 40, 101);
        d->k->act(x, y, 40 * 101, act, alpha);
        d->k->act_grad(y, draw(d, "dy", 40, 101, SPECIAL), place_f32(d, "dx", 40, 101), 40 * 101, act, alpha);
    }
}

static void dump_rows(struct dump *d)
{
    static const int32_t cases[][3] = {{7, 10, PLAIN}, {3, 600, SCALED}, {50, 5, SPECIAL}, {1, 1, PLAIN}, {2, 256, PLAIN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t rows = (size_t)cases[i][0], cols = (size_t)cases[i][1];
        begin(d, "rows", i);
        float *x = draw(d, "x", rows, cols, (enum draw)cases[i][2]), *y = place_f32(d, "softmax", rows, cols);
        int32_t *labels = place(d, "labels", LB_I32, 1, &rows);
        for (size_t r = 0; r < rows; r++) {
            labels[r] = (int32_t)((r * 7) % cols);
            for (size_t j = 0; j < cols && i < 2; j++)
                x[r * cols + j] *= 9.0f;
        }
        d->k->softmax(x, y, rows, cols);
        d->k->softmax_grad(y, draw(d, "dy", rows, cols, (enum draw)cases[i][2]), place_f32(d, "softmax_grad", rows, cols), rows, cols);
        d->k->cross_entropy(x, labels, place_f32(d, "ce", 1, rows), place_f32(d, "ce_dx", rows, cols), rows, cols);
        d->k->mse(x, labels, place_f32(d, "mean", 1, rows), place_f32(d, "mean_dx", rows, cols), rows, cols, REF_MEAN);
        d->k->mse(x, labels, place_f32(d, "half", 1, rows), place_f32(d, "half_dx", rows, cols), rows, cols, REF_HALF);
    }
}

static void dump_sgd(struct dump *d)
{
    static const float cases[][3] = {{0.05f, 0, 0}, {0.1f, 0.9f, 1e-4f}, {1.5f, 0.5f, 0.25f}}; /* lr, momentum, decay */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(d, "sgd", i);
        put_floats(d, 3, cases[i]);
        const size_t n = 1500;
        const float *w0 = draw(d, "w0", 1, n, SPECIAL), *g = draw(d, "g", 1, n, SPECIAL), *v0 = draw(d, "v0", 1, n, SPECIAL);
        float *w = place_f32(d, "w", 1, n), *v = i ? place_f32(d, "v", 1, n) : NULL;
        memcpy(w, w0, n * sizeof *w);
        if (v)
            memcpy(v, v0, n * sizeof *v);
        d->k->sgd(w, g, v, n, cases[i][0], cases[i][1], cases[i][2]);
    }
}

static void dump_canon(struct dump *d)
{
    enum { N = 20000 };
    begin(d, "canon", 0);
    float *x = place_f32(d, "x", 1, N), *y[6];
    double *x64 = place(d, "x64", LB_F64, 1, (const size_t[]){1500}), *e64 = place(d, "exp64", LB_F64, 1, (const size_t[]){1500});
    double *l64 = place(d, "log64", LB_F64, 1, (const size_t[]){1500});
    static const char *const names[] = {"exp", "log", "tanh", "sigmoid", "sin", "cos"};
    for (int i = 0; i < 6; i++)
        y[i] = place_f32(d, names[i], 1, N);
    const float *any = draw(d, "unused", 1, N, SPECIAL);
    for (size_t i = 0; i < N && !d->err.set; i++) {
        const canon_words r = canon_random64(7, 7, i);
        x[i] = i % 4 == 0 ? any[i] : i % 4 == 1 ? 120.0f * any[i] : i % 4 == 2 ? 8.0f * any[i] : canon_float(r.w[0]);
        float (*const f[])(float) = {canon_exp, canon_log, canon_tanh, canon_sigmoid, canon_sin, canon_cos};
        for (int k = 0; k < 6; k++)
            y[k][i] = f[k](x[i]);
    }
    for (size_t i = 0; i < 1500 && !d->err.set; i++) {
        const canon_words r = canon_random64(8, 8, i);
        const double u = canon_float64((uint64_t)r.w[0] << 32 | r.w[1]);
        x64[i] = i % 3 ? ((double)r.w[0] * 0x1p-32 - 0.5) * (i % 3 == 1 ? 1600 : 4) : u;
        e64[i] = canon_exp64(x64[i]);
        l64[i] = canon_log64(i % 3 ? canon_float64(canon_bits64(x64[i]) & INT64_MAX) : x64[i]);
    }
}

static void dump_random(struct dump *d)
{
    static const uint64_t keys[][3] = {
        {0, 0, 0}, {1, 0x10000, 5}, {UINT64_C(0xFEDCBA9876543210), 0xFFFFFFFFu, UINT64_C(0x123456789ABCDEF0)}};
    for (size_t i = 0; i < 3; i++) {
        begin(d, "random", i);
        memcpy(place(d, "key", LB_U64, 1, (const size_t[]){3}), keys[i], sizeof keys[i]);
        const canon_words r = canon_random64(keys[i][0], (uint32_t)keys[i][1], keys[i][2]);
        memcpy(place(d, "words", LB_U32, 1, (const size_t[]){4}), r.w, sizeof r.w);
    }
    static const uint64_t shuffles[][3] = {{1, 0, 1000}, {1, 3, 7}, {99, 2, 257}}; /* seed, epoch, n */
    for (size_t i = 0; i < 3; i++) {
        begin(d, "shuffle", i);
        memcpy(place(d, "key", LB_U64, 1, (const size_t[]){3}), shuffles[i], sizeof shuffles[i]);
        const size_t n = (size_t)shuffles[i][2];
        lb_shuffle(shuffles[i][0], shuffles[i][1], n, place(d, "order", LB_U32, 1, &n));
    }
}

/* First values of a dense and a convolution layer by every rule. */
static void dump_init(struct dump *d)
{
    for (int rule = LB_INIT_HE_NORMAL; rule <= LB_INIT_ZEROS; rule++) {
        struct lb_layer_config layers[] = {{.type = LB_CONV2D,
                                            .filters = 4,
                                            .kernel = {3, 2},
                                            .stride = 2,
                                            .padding = 1,
                                            .init = {rule, -0.3, 0.7},
                                            .bias_init = {LB_INIT_UNIFORM, 0, 0.01}},
                                           {.type = LB_FLATTEN},
                                           {.type = LB_DENSE, .units = 6, .init = {rule, -0.05, 0.05}, .bias_init = {rule, -0.1, 0.1}}};
        const struct lb_model_config config = {.name = "m", .n_layers = 3, .layers = layers};
        struct lb_model *m = NULL;
        begin(d, "init", (size_t)rule);
        put_floats(d, 6, (const float[]){-0.3f, 0.7f, 0, 0.01f, -0.05f, 0.05f});
        if (d->err.set || lb_model_create(&config, 2, 9, 8, 6, &m, &d->err))
            return;
        lb_model_init(m, 12345678901u);
        for (size_t p = 0; p < m->n_params; p++)
            memcpy(place(d, m->params[p].name, LB_F32, m->params[p].ndim, m->params[p].shape), m->params[p].value, 4 * m->params[p].elems);
        lb_model_destroy(m);
    }
}

/* ---- Weights in a format: a byte a code, so that the page has nothing to unpack ---- */

static void decode_bytes(const struct ref_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = ((const float *)c->of)[((const unsigned char *)codes)[first + i]];
}

static void decode_floats(const struct ref_codes *c, const void *codes, size_t first, size_t n, float *x)
{
    (void)c;
    memcpy(x, (const float *)codes + first, n * sizeof *x);
}

/* What codes are worth: whole numbers of `bits` bits, as they are or as they are signed, or E2M1. */
enum values { UNSIGNED, SIGNED, E2M1 };

static const float *put_values(struct dump *d, unsigned bits, enum values kind)
{
    static const float e2m1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    const uint32_t n = 1u << bits;
    float *v = place_f32(d, "values", 1, n);
    for (uint32_t c = 0; c < n; c++)
        v[c] = kind == E2M1 ? (c & 8 ? -e2m1[c & 7] : e2m1[c & 7]) : kind == SIGNED && 2 * c >= n ? (float)c - (float)n : (float)c;
    return v;
}

static const struct {
    int32_t m, n, k, block, act, bias, a_block, bits, values, second, offset, zeros, draw;
} packed_cases[] = {
    {3, 5, 70, 32, REF_LINEAR, 1, 0, 4, SIGNED, 0, 0, 0, PLAIN},        {2, 4, 300, 300, REF_RELU, 0, 32, 8, SIGNED, 0, 0, 0, SCALED},
    {4, 3, 96, 16, REF_SIGMOID, 1, 64, 4, E2M1, 1, 0, 0, PLAIN},        {2, 6, 65, 7, REF_TANH, 1, 33, 4, UNSIGNED, 1, 1, 1, SCALED},
    {3, 2, 50, 25, REF_SCALED_RELU, 1, 0, 2, SIGNED, 0, 0, 1, SPECIAL}, {5, 4, 40, 32, REF_LINEAR, 0, 16, 8, UNSIGNED, 0, 0, 1, SPECIAL},
    {1, 1, 33000, 33000, REF_LINEAR, 1, 0, 8, SIGNED, 0, 0, 0, PLAIN}};
enum { PACKED_CASES = sizeof packed_cases / sizeof *packed_cases, GROUP2 = 3 };

/* The weights of a case, (n, k), as tensors and as a matrix. */
static struct ref_packed put_weights(struct dump *d, size_t i, size_t n, size_t k)
{
    const size_t block = (size_t)packed_cases[i].block < k ? (size_t)packed_cases[i].block : k, per_row = (k + block - 1) / block;
    const unsigned bits = (unsigned)packed_cases[i].bits;
    unsigned char *codes = place(d, "codes", LB_U8, 2, (const size_t[]){n, k});
    float *scales = draw(d, "scales", 1, n * per_row, (enum draw)packed_cases[i].draw);
    put_ints(d, 9,
             (const int32_t[]){packed_cases[i].m, (int32_t)n, (int32_t)k, (int32_t)block, (int32_t)per_row, packed_cases[i].act,
                               packed_cases[i].bias, packed_cases[i].a_block, GROUP2});
    put_floats(d, 2, (const float[]){alpha, 0.3f});
    struct ref_packed p = {.rows = n,
                           .cols = k,
                           .q = {decode_bytes, put_values(d, bits, (enum values)packed_cases[i].values), 8, 1, 1},
                           .codes = codes,
                           .row_bytes = k,
                           .scaled = 1,
                           .block = block,
                           .scale_row = per_row,
                           .n_scales = n * per_row,
                           .s = {decode_floats, NULL, 32, 1, 4},
                           .scales = (const unsigned char *)scales,
                           .group2 = GROUP2};
    d->stream++;
    for (size_t j = 0; j < n * k; j++)
        codes[j] = (unsigned char)(canon_random64(20240229, d->stream, j).w[0] % (1u << bits));
    if (packed_cases[i].second)
        p.scale2 = draw(d, "scale2", 1, (p.n_scales + GROUP2 - 1) / GROUP2, PLAIN);
    if (packed_cases[i].offset) {
        place(d, "offset", LB_I32, 1, (const size_t[]){1});
        p.has_offset = 1;
        p.offset = 0.3f;
    }
    if (packed_cases[i].zeros) {
        float *z = place_f32(d, "zeros", 1, p.n_scales);
        for (size_t g = 0; g < p.n_scales; g++)
            z[g] = (float)(canon_random64(20240229, d->stream, UINT64_C(1) << 40 | g).w[0] % (1u << bits));
        p.zeros = z;
    }
    return p;
}

static void dump_packed(struct dump *d)
{
    static float panel[REF_PANEL * 512];
    for (size_t i = 0; i + 1 < PACKED_CASES; i++) {
        const size_t m = (size_t)packed_cases[i].m, n = (size_t)packed_cases[i].n, k = (size_t)packed_cases[i].k;
        begin(d, "packed", i);
        const struct ref_packed p = put_weights(d, i, n, k);
        const struct ref_rows rows = ref_packed_rows(&p, panel);
        const float *a = draw(d, "a", m, k, (enum draw)packed_cases[i].draw);
        const float *bias = packed_cases[i].bias ? draw(d, "bias", 1, n, PLAIN) : NULL;
        d->k->gemm_rows(a, &rows, bias, place_f32(d, "c", m, n), m, n, k, packed_cases[i].act, alpha);
    }
}

/* With room for every case. */
static struct ref_int8 room(const struct ref_packed *p, size_t codes)
{
    static int8_t a[1 << 16];
    static float sa[1 << 12], q[1 << 16];
    static int16_t ints[1 << 16];
    return (struct ref_int8){.w = p, .f = ref_int8_shift(p->q.of, codes), .a = a, .sa = sa, .ints = ints, .q = q};
}

static void dump_int8(struct dump *d)
{
    for (size_t i = 0; i < PACKED_CASES; i++) {
        const size_t m = (size_t)packed_cases[i].m, n = (size_t)packed_cases[i].n, k = (size_t)packed_cases[i].k;
        begin(d, "int8", i);
        const struct ref_packed p = put_weights(d, i, n, k);
        const struct ref_int8 t = room(&p, (size_t)1 << packed_cases[i].bits);
        const float *a = draw(d, "a", m, k, (enum draw)packed_cases[i].draw);
        const float *bias = packed_cases[i].bias ? draw(d, "bias", 1, n, PLAIN) : NULL;
        ref_gemm_int8(&t, a, bias, place_f32(d, "c", m, n), m, n, k, (size_t)packed_cases[i].a_block, packed_cases[i].act, alpha);
    }
    for (size_t i = 0; i < 3; i++) {
        const struct ref_conv s = {.n = 2, .c = 3, .h = 6, .w = 5, .o = 4, .kh = 3, .kw = 2, .stride = 2, .pad = 1, .oh = 3, .ow = 3};
        begin(d, "conv_int8", i);
        const struct ref_packed p = put_weights(d, i, s.o, s.c * s.kh * s.kw);
        const struct ref_int8 t = room(&p, (size_t)1 << packed_cases[i].bits);
        const int32_t shape[] = {2, 3, 6, 5, 4, 3, 2, 2, 1};
        memcpy(place(d, "s", LB_I32, 1, (const size_t[]){9}), shape, sizeof shape);
        const float *x = draw(d, "x", s.n, s.c * s.h * s.w, (enum draw)packed_cases[i].draw), *bias = draw(d, "bias", 1, s.o, PLAIN);
        ref_conv2d_int8(&t, &s, x, bias, place_f32(d, "y", s.n, s.o * s.oh * s.ow), packed_cases[i].act, alpha);
    }
}

static void dump_metrics(struct dump *d)
{
    for (size_t i = 0; i < 2; i++) {
        const size_t n = 60, classes = 7;
        struct lb_metrics m;
        begin(d, "metrics", i);
        float *f32 = draw(d, "f32", n, classes, i ? SPECIAL : PLAIN), *out = draw(d, "out", n, classes, i ? SPECIAL : SCALED);
        for (size_t k = 0; k < 10 * classes; k++) { /* rows on both sides of |e| = 1e-10, and rows that are alike */
            f32[k] *= k < 5 * classes ? 3e-11f * (float)(k / classes + 1) : 1;
            out[k] = k < 5 * classes ? out[k] * 1e-10f : f32[k] * (k < 7 * classes ? 1.0f : 0.75f);
        }
        int32_t *labels = place(d, "labels", LB_I32, 1, &n);
        for (size_t k = 0; k < n; k++)
            labels[k] = (int32_t)(k % classes);
        lb_metrics_compute(f32, out, f32, out, labels, n, classes, &m);
        double *r = place(d, "result", LB_F64, 1, (const size_t[]){7});
        const double v[] = {m.quality, m.avg_dev, m.max_dev, m.top1, m.top1_f32, m.agreement, m.kl};
        memcpy(r, v, sizeof v);
    }
}

int main(int argc, char **argv)
{
    struct dump d = {.k = &ref_kernels_c};
    if (argc != 3 || (strcmp(argv[1], "c") && strcmp(argv[1], "avx2"))) {
        fprintf(stderr, "usage: ref_dump c|avx2 OUT.safetensors\n");
        return 2;
    }
    if (!strcmp(argv[1], "avx2")) {
        d.k = &ref_kernels_avx2;
        if (!d.k->isa || !(lb_cpu_features() & LB_CPU_AVX2))
            return 3;
    }
    dump_gemm(&d);
    dump_conv(&d);
    dump_bias_grad(&d);
    dump_act(&d);
    dump_rows(&d);
    dump_sgd(&d);
    dump_canon(&d);
    dump_random(&d);
    dump_init(&d);
    dump_packed(&d);
    dump_int8(&d);
    dump_metrics(&d);
    const int r = d.err.set || lb_safetensors_write(&d.st, argv[2], &d.err) ? 1 : 0;
    if (r)
        fprintf(stderr, "ref_dump: %s\n", d.err.text);
    lb_safetensors_finish(&d.st);
    return r;
}
