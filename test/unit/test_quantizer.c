/* SPDX-License-Identifier: MIT */
/* A format's encoding as data (lb_quantizer_create): the search in its tables, done here by hand, gives the codes of lb_encode_f32 for every codec of up to
 * 16 bits, every rounding and overflow, at every boundary and beside it; and what a quantizer says of scales. */
#include "test/unit/codec_list.h"
#include "test/unit/nn_util.h"

#include "core/format/packed.h"
#include "core/run/config.h"
#include "kernels/canon.h"
static const char *const roundings[] = {"nearest", "toward_zero", "half_away", "stochastic"};
static const char *const overflows[] = {NULL, "saturate", "inf", "nan"};

/* Every plugin's codec of up to 16 bits is in the list, or is one of those in it with other parameters. */
Test(quantizer, all_codecs)
{
    load_plugins();
    for (size_t i = 0; i < lb_plugins_count(); i++) {
        const struct lb_entry *e = lb_plugins_at(i);
        if (!e->plugin || e->plugin->kind != LB_CODEC)
            continue;
        const struct lb_codec *c = (const struct lb_codec *)e->plugin;
        int found = !c->bits || c->bits > 16;
        for (size_t k = 0; k < COUNT(narrow_codecs); k++)
            found |= !strcmp(narrow_codecs[k], e->name) || (*narrow_codecs[k] == '{' && strstr(narrow_codecs[k], e->name));
        cr_expect(found, "codec %s is in no row of this test", e->name);
    }
    drop_all();
}

struct opened {
    struct lb_format_config config;
    struct lb_format *f;
    struct lb_quantizer_tables *tables;
    const struct lb_quantizer *q;
};

/* 0, or -1 where it is refused. */
static int open_text(const char *text, float value, struct opened *o, struct lb_err *err)
{
    *o = (struct opened){0};
    if (lb_config_format(text, NULL, &o->config, err) || lb_format_create(&o->config, &o->f, err) ||
        lb_quantizer_create(o->f, value, &o->tables, err))
        return -1;
    o->q = lb_quantizer_data(o->tables);
    return 0;
}

static void close_text(struct opened *o)
{
    lb_quantizer_destroy(o->tables);
    lb_format_destroy(o->f);
    lb_config_format_finish(&o->config);
}

/* ---- The tables, by hand ---- */

static int32_t key_of(float x)
{
    int32_t b;
    memcpy(&b, &x, sizeof b);
    return b < 0 ? INT32_MIN - b - 1 : b;
}

static float number_of(int32_t key)
{
    const int32_t b = key < 0 ? INT32_MIN - key - 1 : key;
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static uint32_t look_up(const struct lb_quantizer *q, float x, uint32_t random)
{
    if (isnan(x))
        return q->nan_code;
    if (q->stochastic && isfinite(x))
        for (size_t low = 0, high = q->n_members; high - low > 1;) { /* the members around x */
            const size_t mid = (low + high) / 2;
            if (q->member[mid] <= x)
                low = mid;
            else
                high = mid;
            if (high - low == 1 && high < q->n_members && q->member[low] < x && x < q->member[high]) {
                const float u = (float)(random >> 8) * 0x1p-24f, gap = q->member[high] - q->member[low];
                return q->member_code[fmaf(u, gap, -(x - q->member[low])) < 0 ? high : low];
            }
        }
    size_t low = 0, high = q->n;
    while (high - low > 1) {
        const size_t mid = (low + high) / 2;
        if (q->first[mid] <= key_of(x))
            low = mid;
        else
            high = mid;
    }
    return q->code[low];
}

static size_t compared;

static void check_number(const char *text, const struct opened *o, float x)
{
    unsigned char bytes[8] = {0};
    const uint64_t e = compared++;
    const struct lb_encode how = {o->config.rounding, o->config.overflow, 5, 6, e};
    lb_encode_f32(o->f->coder, &how, &x, 1, bytes);
    const uint32_t expected = (uint32_t)lb_code_get(bytes, o->f->codec->bits, 0);
    const uint32_t found = look_up(o->q, x, o->q->stochastic ? canon_random64(5, 6, e / 4).w[e % 4] : 0);
    cr_expect(found == expected, "%s: %a: 0x%x by the tables, 0x%x by lb_encode_f32", text, (double)x, found, expected);
}

static void check_around(const char *text, const struct opened *o, int32_t key)
{
    for (int d = -1; d <= 1; d++)
        if ((d >= 0 || key > INT32_MIN) && (d <= 0 || key < INT32_MAX) && !isnan(number_of(key + d)))
            check_number(text, o, number_of(key + d));
}

static void check_tables(const char *text, const struct opened *o, int all)
{
    static const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, -0x1p-149f, 0x1.fffffep127f, -0x1.fffffep127f};
    const struct lb_quantizer *q = o->q;
    cr_assert(q->n && q->first[0] == INT32_MIN, "%s", text);
    for (size_t i = 0; i < q->n; i += all || i < 8 || i + 9 > q->n ? 1 : 17) {
        cr_expect(!i || q->first[i] > q->first[i - 1], "%s: boundary %zu does not ascend", text, i);
        check_around(text, o, q->first[i]);
    }
    for (size_t i = 0; i < q->n_members; i += all || i < 8 || i + 9 > q->n_members ? 1 : 17) {
        check_around(text, o, key_of(q->member[i]));
        if (i)
            check_around(text, o, key_of(q->member[i - 1] / 2 + q->member[i] / 2));
    }
    for (size_t i = 0; i < COUNT(special); i++)
        check_number(text, o, special[i]);
    for (uint64_t i = 0; i < 2000; i++)
        check_number(text, o, canon_float(canon_random64(9, 1, i).w[0]));
}

static void check_codec(const char *codec, size_t rounding, size_t overflow)
{
    char text[200], quoted[100];
    struct lb_err err = {0};
    struct opened o;
    snprintf(quoted, sizeof quoted, *codec == '{' ? "%s" : "\"%s\"", codec);
    snprintf(text, sizeof text, "{\"codec\": %s, \"rounding\": \"%s\"%s%s%s}", quoted, roundings[rounding],
             overflows[overflow] ? ", \"overflow\": \"" : "", overflows[overflow] ? overflows[overflow] : "",
             overflows[overflow] ? "\"" : "");
    const int refused = open_text(text, 0, &o, &err);
    if (refused)
        cr_expect(rounding || overflow, "%s: %s", text, err.text);
    else
        check_tables(text, &o, o.f->codec->bits <= 8 || (!overflow && rounding != 2));
    close_text(&o);
}

static void check_part(size_t from, size_t step)
{
    load_plugins();
    for (size_t i = from; i < COUNT(narrow_codecs); i += step)
        for (size_t r = 0; r < COUNT(roundings); r++)
            for (size_t v = 0; v < COUNT(overflows); v++)
                check_codec(narrow_codecs[i], r, v);
    cr_expect(compared > 100000, "%zu numbers", compared);
    drop_all();
}

Test(quantizer, tables_1)
{
    check_part(0, 3);
}

Test(quantizer, tables_2)
{
    check_part(1, 3);
}

Test(quantizer, tables_3)
{
    check_part(2, 3);
}

/* ---- Scales ---- */

Test(quantizer, scales)
{
    struct lb_err err = {0};
    struct opened o;
    load_plugins();
    cr_assert(!open_text("MXFP4", 0, &o, &err), "%s", err.text);
    cr_expect(o.q->rule == LB_SCALE_FLOOR && o.q->top == 6 && o.q->emax == 2 && o.q->block == 32 && !o.q->clamp && o.q->scale);
    cr_expect(o.q->scale->rule == LB_SCALE_NONE && o.q->scale->q.codec->bits == 8 && o.q->scale->nan_code == 0xff && !o.q->scale->scale);
    close_text(&o);
    cr_assert(!open_text("NVFP4", 0, &o, &err), "%s", err.text);
    cr_expect(o.q->rule == LB_SCALE_ABSMAX && o.q->block == 16 && o.q->scale && o.q->scale->rule == LB_SCALE_ABSMAX &&
              o.q->scale->block == SIZE_MAX && o.q->scale->top == 448 && !o.q->scale->scale);
    close_text(&o);
    cr_assert(!open_text("INT8_CHANNEL", 0, &o, &err), "%s", err.text);
    cr_expect(o.q->rule == LB_SCALE_ABSMAX && o.q->block == 0 && o.q->clamp && o.q->top == 127 && !o.q->scale);
    close_text(&o);
    cr_assert(!open_text("{\"codec\": \"F8_E4M3\", \"scale\": {\"per\": \"row\", \"rule\": \"even\"}}", 0, &o, &err), "%s", err.text);
    cr_expect(o.q->rule == LB_SCALE_EVEN && o.q->emax == 8 && o.q->fraction == 3 && o.q->block == 0 && !o.q->scale);
    close_text(&o);
    cr_assert(!open_text("MXINT8", 0, &o, &err), "%s", err.text);
    cr_expect(o.q->clamp && o.q->top == 1.984375f && o.q->emax == 0);
    close_text(&o);
    cr_assert(!open_text("{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"mse\", \"calibrated\": true}}", 0.25f, &o, &err),
              "%s", err.text);
    cr_expect(o.q->rule == LB_SCALE_FIXED && o.q->value == 0.25f && o.q->block == SIZE_MAX);
    close_text(&o);
    drop_all();
}

Test(quantizer, refused)
{
    static const char *const rows[][2] = {
        {"F32", "a codec without a table"},
        {"I32", "a codec without a table"},
        {"Q4_0", "a codec without a table"},
        {"{\"codec\": \"I8\", \"overflow\": \"wrap\"}", "overflow wrap"},
        {"{\"codec\": \"I8\", \"scale\": {\"multiply\": 100}}", "x100"},
        {"UINT8_ASYM", "asymmetric/channel"},
        {"INT4_G32_MSE", "searched for in each batch"},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"row\", \"rule\": \"percentile\", \"percentile\": 99}}", "searched for in each batch"},
        {"{\"codec\": \"U8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\", \"calibrated\": true}}", "asymmetric/tensor"},
        {"NF4_DOUBLE", "scales in blocks of their own"}};
    load_plugins();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct lb_err err = {0};
        struct opened o;
        cr_expect(open_text(rows[i][0], 0, &o, &err) == -1 && !o.tables && strstr(err.text, rows[i][1]), "%s: expected %s, found %s",
                  rows[i][0], rows[i][1], err.set ? err.text : "no error");
        close_text(&o);
    }
    drop_all();
}
