/* SPDX-License-Identifier: MIT */
/* Scales worked out by hand: MX with each of its rules, NVFP4, NF4 with double quantization, INT4 groups, asymmetric zero points. */
#include "test/unit/nn_util.h"

#include "core/format/packed.h"
#include "core/run/config.h"
#include "kernels/canon.h"

static struct lb_format_config config;

static struct lb_format *open_format(const char *text)
{
    struct lb_err err = {0};
    struct lb_format *f;
    config = (struct lb_format_config){0};
    cr_assert(!lb_config_format(text, NULL, &config, &err) && !lb_format_create(&config, &f, &err), "%s: %s", text, err.text);
    return f;
}

static void close_format(struct lb_format *f)
{
    lb_format_destroy(f);
    lb_config_format_finish(&config);
}

static int same(float a, float b)
{
    return canon_bits(a) == canon_bits(b);
}

#define BLOCK(codec, n, rest) "{\"codec\": " codec ", \"scale\": {\"per\": \"block\", \"block\": " #n rest "}}"

struct hand {
    const char *text;
    float x[4]; /* a block of four, the others 0 */
    unsigned scale;
    unsigned code[4];
    float v[4];
};

#define MX(codec, rule) BLOCK(codec, 32, ", \"rule\": \"" rule "\", \"format\": \"F8_E8M0\"")
#define MXI8            "{\"name\": \"FIXED\", \"bits\": 8, \"frac\": 6}"

static void by_hand(const struct hand *h)
{
    float x[32] = {0}, back[32];
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    struct lb_format_stats stats = {0};
    struct lb_format *f = open_format(h->text);
    memcpy(x, h->x, sizeof h->x);
    cr_assert(!lb_format_encode(f, "w", x, 2, (const size_t[]){1, 32}, 0, 0, &st, &stats, &err) &&
                  !lb_format_decode(&st, "w", back, 32, &err),
              "%s: %s", h->text, err.text);
    const unsigned scale = (unsigned)lb_code_get(lb_safetensors_find(&st, "w.scale")->data, f->scale->codec->bits, 0);
    cr_expect_eq(scale, h->scale, "%s of %g: scale 0x%x, expected 0x%x", h->text, (double)x[0], scale, h->scale);
    for (size_t i = 0; i < 4; i++) {
        const unsigned code = (unsigned)lb_code_get(lb_safetensors_find(&st, "w")->data, f->codec->bits, i);
        cr_expect(code == h->code[i] && same(back[i], h->v[i]), "%s of %g, [%zu]: code 0x%x is %a, expected 0x%x, %a", h->text,
                  (double)x[0], i, code, (double)back[i], h->code[i], (double)h->v[i]);
    }
    lb_safetensors_finish(&st);
    close_format(f);
}

static const struct hand hands[] = {
    /* 7 lies between 4 and 8: floor 2^(2 - 2), where 7 is a tie of 6 and 8, which is cut to 6; ceil 2^(3 - 2); even: 1.75 = 1.11b to one bit, half up,
       is 2: 2^(3 - 2); rceil: 7 / 6 rounded up: 2 */
    {MX("\"F4\"", "floor"), {7, 1, -0.25f, 0}, 127, {7, 2, 8, 0}, {6, 1, -0.0f, 0}},
    {MX("\"F4\"", "ceil"), {7, 1, -0.5f, 0}, 128, {6, 1, 8, 0}, {8, 1, -0.0f, 0}},
    {MX("\"F4\"", "even"), {7, 1, -0.5f, 0}, 128, {6, 1, 8, 0}, {8, 1, -0.0f, 0}},
    {MX("\"F4\"", "rceil"), {7, 1, -0.5f, 0}, 128, {6, 1, 8, 0}, {8, 1, -0.0f, 0}},
    /* 6.5 = 1.101b * 4 to one bit is 1.1b * 4 or, half up, 10b * 4: 0.101 is above the half of 0.1 and 1.0 at 0.11b, so 1.1b and even gives 2^0 */
    {MX("\"F4\"", "even"), {6.5f, 0, 0, 0}, 127, {7, 0, 0, 0}, {6, 0, 0, 0}},
    {MX("\"F4\"", "rceil"), {6, 0, 0, 0}, 127, {7, 0, 0, 0}, {6, 0, 0, 0}},
    {MX("\"F4\"", "rceil"), {0x1.800002p2f, 0, 0, 0}, 128, {5, 0, 0, 0}, {6, 0, 0, 0}},
    {MX("\"F4\"", "ceil"), {4, 0, 0, 0}, 127, {6, 0, 0, 0}, {4, 0, 0, 0}},
    {MX("\"F4\"", "ceil"), {0x1.000002p2f, 0, 0, 0}, 128, {4, 0, 0, 0}, {4, 0, 0, 0}},
    /* nothing at all, and what is no number: 0x00 and 0xFF */
    {MX("\"F4\"", "floor"), {0, -0.0f, 0, 0}, 0, {0, 8, 0, 0}, {0, -0.0f, 0, 0}},
    {MX("\"F4\"", "rceil"), {0, 0, 0, 0}, 0, {0, 0, 0, 0}, {0, 0, 0, 0}},
    {MX(MXI8, "floor"), {0, 0, 0, 0}, 0, {0, 0, 0, 0}, {0, 0, 0, 0}},
    /* the exponent ends at -127: 2^-126 is 2 * 2^-127, 2^-149 is too small */
    {MX("\"F4\"", "floor"), {0x1p-126f, 0x1p-149f, 0, 0}, 0, {4, 0, 0, 0}, {0x1p-126f, 0, 0, 0}},
    {MX("\"F4\"", "floor"), {0x1.fffffep127f, 0, 0, 0}, 252, {7, 0, 0, 0}, {0x1.8p127f, 0, 0, 0}},
    {MX(MXI8, "ceil"), {0x1.fffffep127f, 0, 0, 0}, 254, {127, 0, 0, 0}, {0x1.fcp127f, 0, 0, 0}},
    /* MXINT8: codes are 64ths, and -128 is left unused: -2 would be it */
    {MX(MXI8, "floor"), {1.999f, -1.999f, 1, -0.5f}, 127, {127, 129, 64, 224}, {0x1.fcp0f, -0x1.fcp0f, 1, -0.5f}},
    {MX(MXI8, "floor"), {-3.999f, 0, 0, 0}, 128, {129, 0, 0, 0}, {-0x1.fcp1f, 0, 0, 0}},
    /* MXFP8: 500 lies in [256, 512), emax 8: 2^0, and is cut to 448; 2^15 for E5M2 */
    {MX("\"F8_E4M3\"", "floor"), {500, 1, 0, 0}, 127, {0x7e, 0x38, 0, 0}, {448, 1, 0, 0}},
    {MX("\"F8_E4M3\"", "rceil"), {500, 1, 0, 0}, 128, {0x78, 0x30, 0, 0}, {512, 1, 0, 0}}, /* 250 is 256 */
    {MX("\"F8_E5M2\"", "floor"), {1, 0x1p-16f, 0, 0}, 112, {0x78, 0x38, 0, 0}, {1, 0x1p-16f, 0, 0}},
    /* MXFP6: E3M2 to 28 (emax 4), E2M3 to 7.5 (emax 2) */
    {MX("\"F6_E3M2\"", "floor"), {31, 1, 0, 0}, 127, {31, 12, 0, 0}, {28, 1, 0, 0}},
    {MX("\"F6_E2M3\"", "floor"), {7.9f, -1, 0, 0}, 127, {31, 40, 0, 0}, {7.5f, -1, 0, 0}},
    /* INT4 groups: 3.5 / 7 */
    {BLOCK("\"I4\"", 32, ", \"format\": \"F16\""), {-3.5f, 0.76f, 0.74f, 0.25f}, 0x3800, {9, 2, 1, 0}, {-3.5f, 1, 0.5f, 0}},
    /* -1 .. 2 on 0 .. 15: s = 0.2 in F16 (0x3266), z = 5 */
    {BLOCK("\"U4\"", 32, ", \"rule\": \"asymmetric\", \"format\": \"F16\""),
     {2, -1, 0.09f, 0},
     0x3266,
     {15, 0, 5, 5},
     {0x1.998p-3f * 10, 0x1.998p-3f * -5, 0, 0}}};

Test(scale_by_hand, by_hand)
{
    load_plugins();
    for (size_t i = 0; i < COUNT(hands); i++)
        by_hand(&hands[i]);
    drop_all();
}

Test(scale_by_hand, not_a_number)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    static const char *const rules[] = {"floor", "ceil", "even", "rceil"};
    load_plugins();
    for (size_t r = 0; r < COUNT(rules); r++)
        for (size_t k = 0; k < COUNT(odd); k++) {
            char text[200];
            float x[64] = {[3] = odd[k], [40] = 1}, back[64];
            struct lb_err err = {0};
            struct lb_safetensors st = {0};
            struct lb_format_stats stats = {0};
            snprintf(text, sizeof text,
                     "{\"codec\":\"F4\",\"scale\":{\"per\":\"block\",\"block\":32,\"rule\":\"%s\",\"format\":\"F8_E8M0\"}}", rules[r]);
            struct lb_format *f = open_format(text);
            cr_assert(!lb_format_encode(f, "w", x, 1, (const size_t[]){64}, 0, 0, &st, &stats, &err) &&
                          !lb_format_decode(&st, "w", back, 64, &err),
                      "%s", err.text);
            const struct lb_tensor *t = lb_safetensors_find(&st, "w.scale");
            cr_expect(t->dtype == LB_F8_E8M0 && t->ndim == 2 && t->shape[0] == 1 && t->shape[1] == 2);
            cr_expect(t->data[0] == 0xff && t->data[1] != 0xff && back[40] == 1, "%s: %d", rules[r], t->data[0]);
            for (size_t i = 0; i < 32; i++)
                cr_expect(canon_bits(back[i]) == 0x7fc00000, "%s [%zu]: %a", rules[r], i, (double)back[i]);
            lb_safetensors_finish(&st);
            close_format(f);
        }
    drop_all();
}

/* NVFP4 by FACTS: s = amax / (448 * 6) = 1 for amax 2688; the block of 2688 gets 448, one of 6 gets 6 / 6 = 1, one of 1e-6 gets 2^-9 * round(...) = 0. */
Test(scale_by_hand, nvfp4)
{
    float x[48] = {2688, -1344}, back[48];
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    struct lb_format_stats stats = {0};
    x[16] = -6;
    x[17] = 2.5f;
    x[32] = 1e-6f;
    load_plugins();
    struct lb_format *f = open_format("NVFP4");
    cr_assert(!lb_format_encode(f, "w", x, 2, (const size_t[]){1, 48}, 0, 0, &st, &stats, &err) &&
                  !lb_format_decode(&st, "w", back, 48, &err),
              "%s", err.text);
    const struct lb_tensor *scale = lb_safetensors_find(&st, "w.scale"), *scale2 = lb_safetensors_find(&st, "w.scale2");
    float s2;
    memcpy(&s2, scale2->data, sizeof s2);
    cr_expect(scale->dtype == LB_F8_E4M3 && scale2->ndim == 0 && s2 == 1);
    cr_expect(scale->data[0] == 0x7e && scale->data[1] == 0x38 && scale->data[2] == 0);
    cr_expect(back[0] == 2688 && back[1] == -1344 && back[16] == -6 && back[17] == 2 && back[32] == 0, "%g %g %g %g %g", (double)back[0],
              (double)back[1], (double)back[16], (double)back[17], (double)back[32]);
    cr_expect_eq(stats.bytes, 24 + 3 + 4);
    lb_safetensors_finish(&st);
    close_format(f);
    drop_all();
}

/* NF4 with double quantization: R are 1 and 3, their mean is 2, D are -1 and 1, s2 = 1 / 127, codes -127 and 127; s = +-127 * s2 + 2. */
Test(scale_by_hand, nf4_double)
{
    float x[128] = {[5] = -1, [70] = 3}, back[128];
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    struct lb_format_stats stats = {0};
    load_plugins();
    struct lb_format *f = open_format("NF4_DOUBLE");
    cr_assert(!lb_format_encode(f, "w", x, 1, (const size_t[]){128}, 0, 0, &st, &stats, &err) &&
                  !lb_format_decode(&st, "w", back, 128, &err),
              "%s", err.text);
    const struct lb_tensor *scale = lb_safetensors_find(&st, "w.scale");
    float s2, offset;
    memcpy(&s2, lb_safetensors_find(&st, "w.scale2")->data, sizeof s2);
    memcpy(&offset, lb_safetensors_find(&st, "w.scale_offset")->data, sizeof offset);
    cr_expect(scale->dtype == LB_I8 && scale->data[0] == 129 && scale->data[1] == 127 && s2 == 1.0f / 127 && offset == 2);
    cr_expect(back[5] == -1 && back[70] == 3 && back[6] == 0 && back[71] == 0, "%a %a", (double)back[5], (double)back[70]);
    cr_expect_eq(stats.bytes, 64 + 2 + 4 + 4);
    lb_safetensors_finish(&st);
    close_format(f);
    drop_all();
}
