/* SPDX-License-Identifier: MIT */
/* quantize of backend `cpu`, with each instruction set and one to three threads, against the reference (kernels/cpu/ref_quantize.h), bit for bit. */
#include "plugins/as_ref.h"
#include "test/unit/packed_util.h"

enum { CASES = 250 };

static const char *const codecs[] = {"F4",      "F8_E4M3", "F8_E5M2",     "I8",          "U8",      "F16",     "BF16",
                                     "I4",      "U4",      "I16",         "NF4",         "F6_E2M3", "F6_E3M2", "LOOM_F4",
                                     "F8_E8M0", "TERNARY", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "BOOL",    "I2"};
static const char *const scale_codecs[] = {"F8_E8M0", "F8_E4M3", "F16", "BF16", "F8_E5M2"};

static const char *draw_codec(struct op_run *t, const char *const *names, size_t n)
{
    for (;;) {
        const char *name = names[op_draw(t, 0, n - 1)];
        if (lb_plugins_find(LB_CODEC, name, NULL))
            return name;
    }
}

/* Whether a codec can be encoded in this way; those of 16 bits, whose tables take long to make, are taken now and then. */
static int possible(struct op_run *t, const struct lb_ops_quantizer_like *like)
{
    struct lb_ops_codec c = {0};
    struct lb_err err = {0};
    const int r = lb_ops_codec_init(like->codec, NULL, 0, &c, &err) == 0 && lb_coder_check(c.coder, &like->how, &err) == 0 &&
                  (c.codec->bits < 16 || op_draw(t, 0, 15) == 0);
    lb_ops_codec_finish(&c);
    return r && (!like->scale || possible(t, like->scale));
}

static struct lb_ops_quantizer_like draw_any(struct op_run *t, struct lb_ops_quantizer_like *scale)
{
    static const uint32_t rules[] = {LB_SCALE_NONE, LB_SCALE_FIXED, LB_SCALE_ABSMAX, LB_SCALE_FLOOR,
                                     LB_SCALE_CEIL, LB_SCALE_EVEN,  LB_SCALE_RCEIL};
    static const size_t blocks[] = {0, 0, SIZE_MAX, SIZE_MAX, 16, 32, 64, 7, 33, 1};
    struct lb_ops_quantizer_like like = {.codec = draw_codec(t, codecs, sizeof codecs / sizeof *codecs), .how = {.overflow = -1}};
    like.how.rounding = (uint32_t)(op_draw(t, 0, 3) == 0 ? LB_STOCHASTIC
                                   : op_draw(t, 0, 2)    ? LB_NEAREST
                                                         : op_draw(t, LB_NEAREST, LB_HALF_AWAY));
    like.rule = rules[op_draw(t, 0, 6)];
    like.value = 0.37f;
    like.block = blocks[op_draw(t, 0, 9)];
    if (like.rule == LB_SCALE_NONE || op_draw(t, 0, 2) == 0)
        return like;
    *scale = (struct lb_ops_quantizer_like){.codec = draw_codec(t, scale_codecs, sizeof scale_codecs / sizeof *scale_codecs),
                                            .how = {.overflow = -1}};
    scale->rule = (uint32_t)op_draw(t, LB_SCALE_NONE, LB_SCALE_ABSMAX);
    scale->value = 0.011f;
    scale->block = SIZE_MAX;
    like.scale = scale;
    return like;
}

static struct lb_ops_quantizer_like draw(struct op_run *t, struct lb_ops_quantizer_like *scale)
{
    for (;;) {
        const struct lb_ops_quantizer_like like = draw_any(t, scale);
        if (possible(t, &like))
            return like;
    }
}

/* Numbers of every magnitude that the codec tells apart, and some on its boundaries. */
static float *inputs(struct op_run *t, const struct lb_quantizer *q, size_t n)
{
    float *x = op_input(t, n, op_draw(t, 0, 1) ? 40 : 0);
    const size_t way = op_draw(t, 0, 2);
    for (size_t i = 0; i < n; i++) {
        const canon_words r = op_words(t, 0x600, i);
        if (way == 1)
            x[i] = canon_float((canon_bits(x[i]) & 0x807fffffu) | (100 + r.w[0] % 60) << 23);
        if (way == 2 && r.w[1] % 2) {
            const int32_t key = q->first[r.w[0] % q->n], b = key < 0 ? INT32_MIN - key - 1 : key;
            x[i] = canon_float((uint32_t)b + r.w[2] % 3 - 1);
        }
    }
    return x;
}

static void one_case(struct op_run *t)
{
    struct lb_ops_quantizer_like scale = {0};
    struct lb_dev *d = op_device(t, (unsigned)op_draw(t, 1, 3));
    packed_load(t);
    const struct lb_ops_quantizer_like like = draw(t, &scale);
    char text[160];
    lb_ops_quantizer_text(&like, text, sizeof text);
    const size_t rows = op_draw(t, 1, 9), cols = op_draw(t, 0, 3) ? op_draw(t, 1, 150) : op_draw(t, 1, 9000);
    op_name(t, "%s rounding %u, %zu x %zu", text, like.how.rounding, rows, cols);
    const struct lb_quantizer *q = packed_quantizer(t, &like);
    float *x = inputs(t, q, rows * cols), *want = op_output(t, rows * cols), *got = op_output(t, rows * cols);
    const struct lb_quantize base = {
        .rows = rows, .cols = cols, .seed = t->seed + t->index, .stream = 0x30007, .first = op_draw(t, 0, 1000)};
    struct ref_quantizer rs, rq;
    if (q->scale)
        rs = as_ref_quantizer(q->scale, NULL);
    rq = as_ref_quantizer(q, q->scale ? &rs : NULL);
    float *scales = op_memory(t, ref_quantizer_scales(&rq, rows, cols));
    ref_quantize(&rq, x, want, rows, cols, base.seed, base.stream, base.first, scales);

    struct lb_buf buf[] = {{x, rows * cols * 4}, {got, rows * cols * 4}};
    struct lb_err err = {0};
    char reason[256] = "";
    struct lb_quantize op = base;
    op.x = (struct lb_ref){&buf[0], 0};
    op.y = (struct lb_ref){&buf[1], 0};
    op.q = d->ops->quantizer_create(d->dev, q, reason, sizeof reason);
    op_assert(t, op.q, "quantizer_create: %s", reason);
    op_assert(t, LB_RUN(d, quantize, &op, &err) == 0, "%s", err.text);
    op_same(t, "y", want, got, rows * cols);
    op.y = op.x; /* in place */
    op_assert(t, LB_RUN(d, quantize, &op, &err) == 0, "%s", err.text);
    op_same(t, "y in place", want, x, rows * cols);
    d->ops->quantizer_free(d->dev, op.q);
    lb_backend_close(d);
    packed_end(t);
    lb_plugins_unload();
}

Test(op_quantize, c)
{
    op_cases("op_quantize/c", "c", CASES, one_case);
}

Test(op_quantize, avx2)
{
    op_cases("op_quantize/avx2", "avx2", CASES, one_case);
}

Test(op_quantize, avx512)
{
    op_cases("op_quantize/avx512", "avx512", CASES, one_case);
}

/* Those whose values are multiples of a step in each binade need no table: the way is much faster, so it must be found. */
Test(op_quantize, grids)
{
    static const char *const names[] = {"F4", "F8_E4M3", "F8_E5M2", "F6_E2M3", "F6_E3M2", "I8", "U8", "I4", "F16"};
    static struct quantize_codec c;
    static struct op_run t = {.test = "op_quantize/grids", .isa = "c"};
    float value[70000];
    cr_assert(readlink("/proc/self/exe", t.program, sizeof t.program - 1) > 0);
    packed_load(&t);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!lb_plugins_find(LB_CODEC, names[i], NULL))
            continue;
        const struct lb_ops_quantizer_like like = {.codec = names[i], .how = {.overflow = -1, .rounding = LB_STOCHASTIC}};
        const struct lb_quantizer *q = packed_quantizer(&t, &like);
        cr_assert(q->n <= sizeof value / sizeof *value);
        for (size_t j = 0; j < q->n; j++)
            value[j] = q->q.values[q->code[j]];
        c = (struct quantize_codec){.n = q->n, .first = q->first, .value = value, .n_members = q->n_members, .member = q->member};
        quantize_codec_finish(&c);
        cr_assert(c.grid && c.grid_members, "%s: grid %d, its members %d", names[i], c.grid, c.grid_members);
    }
    packed_end(&t);
    lb_plugins_unload();
}
