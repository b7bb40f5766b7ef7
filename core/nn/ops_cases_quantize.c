/* SPDX-License-Identifier: MIT */
/* Encoding: every rule of struct lb_quantizer. */
#include "core/nn/ops_cases.h"

#include <stdint.h>
#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct lb_param posit8[] = {{"n", 8, NULL}, {"es", 2, NULL}}, posit5[] = {{"n", 5, NULL}, {"es", 1, NULL}};
static const struct lb_param uint3[] = {{"bits", 3, NULL}};

#define WITH(p) .params = (p), .n_params = COUNT(p)
#define DEFAULT .how = {.overflow = -1}

/* How scales are stored. */
static const struct lb_ops_quantizer_like e8m0 = {.codec = "F8_E8M0", DEFAULT, .block = SIZE_MAX};
static const struct lb_ops_quantizer_like f16 = {.codec = "F16", DEFAULT, .block = SIZE_MAX};
static const struct lb_ops_quantizer_like bf16 = {.codec = "BF16", DEFAULT, .block = SIZE_MAX};
static const struct lb_ops_quantizer_like e4m3 = {.codec = "F8_E4M3", DEFAULT, .block = SIZE_MAX};
static const struct lb_ops_quantizer_like e4m3_all = {.codec = "F8_E4M3", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = SIZE_MAX};
static const struct lb_ops_quantizer_like e4m3_fixed = {
    .codec = "F8_E4M3", DEFAULT, .rule = LB_SCALE_FIXED, .value = 0.0123f, .block = SIZE_MAX};
static const struct lb_ops_quantizer_like i8_all = {.codec = "I8", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = SIZE_MAX};

static const struct lb_ops_quantizer_like quantizers[] = {
    {.codec = "F8_E4M3", DEFAULT, .block = SIZE_MAX},
    {.codec = "F8_E4M3", .how = {.overflow = LB_TO_NAN}, .block = SIZE_MAX},
    {.codec = "F8_E5M2", .how = {.overflow = LB_TO_INF}, .block = SIZE_MAX},
    {.codec = "F8_E5M2", .how = {.rounding = LB_STOCHASTIC, .overflow = LB_TO_INF}, .block = SIZE_MAX},
    {.codec = "F8_E4M3", .how = {.rounding = LB_STOCHASTIC, .overflow = -1}, .rule = LB_SCALE_ABSMAX, .block = 0},
    {.codec = "F8_E4M3", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = SIZE_MAX},
    {.codec = "F8_E4M3", DEFAULT, .rule = LB_SCALE_FLOOR, .block = 32, .scale = &e8m0},
    {.codec = "F8_E5M2", DEFAULT, .rule = LB_SCALE_CEIL, .block = 32, .scale = &e8m0},
    {.codec = "F6_E2M3", DEFAULT, .rule = LB_SCALE_EVEN, .block = 32, .scale = &e8m0},
    {.codec = "F6_E3M2", DEFAULT, .rule = LB_SCALE_RCEIL, .block = 32, .scale = &e8m0},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_FLOOR, .block = 32, .scale = &e8m0},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_EVEN, .block = 32, .scale = &e8m0},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_CEIL, .block = 16},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_RCEIL, .block = 0},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 16, .scale = &e4m3_all},
    {.codec = "F4", .how = {.rounding = LB_STOCHASTIC, .overflow = -1}, .rule = LB_SCALE_ABSMAX, .block = 16, .scale = &e4m3_all},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 16, .scale = &e4m3_fixed},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 16, .scale = &e4m3},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_FLOOR, .block = 7, .scale = &e4m3_all},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_FIXED, .value = 0.37f, .block = SIZE_MAX, .scale = &e4m3_all},
    {.codec = "F4", DEFAULT, .rule = LB_SCALE_FIXED, .value = 0.0f, .block = SIZE_MAX},
    {.codec = "NF4", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 64},
    {.codec = "NF4", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 64, .scale = &i8_all},
    {.codec = "I8", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 0},
    {.codec = "I8", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = SIZE_MAX, .scale = &f16},
    {.codec = "I8", .how = {.rounding = LB_STOCHASTIC, .overflow = -1}, .rule = LB_SCALE_FIXED, .value = 0.0157f, .block = SIZE_MAX},
    {.codec = "I8", .how = {.rounding = LB_TOWARD_ZERO, .overflow = -1}, .rule = LB_SCALE_ABSMAX, .block = 128, .scale = &bf16},
    {.codec = "I4", .how = {.rounding = LB_HALF_AWAY, .overflow = -1}, .rule = LB_SCALE_ABSMAX, .block = 32, .scale = &f16},
    {.codec = "I4", DEFAULT, .block = SIZE_MAX},
    {.codec = "U4", DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 33, .scale = &f16},
    {.codec = "TERNARY", DEFAULT, .rule = LB_SCALE_EVEN, .block = 0},
    {.codec = "LOOM_F4", DEFAULT, .rule = LB_SCALE_FIXED, .value = 2.0f, .block = SIZE_MAX},
    {.codec = "POSIT", WITH(posit8), DEFAULT, .rule = LB_SCALE_ABSMAX, .block = 1},
    {.codec = "POSIT", WITH(posit5), .how = {.rounding = LB_STOCHASTIC, .overflow = -1}, .block = SIZE_MAX},
    {.codec = "UINT", WITH(uint3), DEFAULT, .rule = LB_SCALE_FLOOR, .block = 32, .scale = &e8m0},
    {.codec = "BF16", .how = {.rounding = LB_STOCHASTIC, .overflow = -1}, .block = SIZE_MAX},
};

_Static_assert(6 * COUNT(quantizers) == LB_OP_QUANTIZE, "as many as the header says");

static const struct {
    size_t rows, cols;
} tables[] = {{1, 1}, {3, 7}, {5, 33}, {7, 64}, {2, 257}, {4, 300}, {1, 1031}, {64, 10}, {2, 513}, {33, 32}, {260, 16}};

void lb_op_make_quantize(struct op_case *c, size_t i)
{
    static const uint64_t firsts[] = {0, 1, 6, 0xfffffffdu, UINT64_C(0x3fffffffe), UINT64_C(0x1000000000000003)};
    struct lb_quantize *o = &c->args.quantize;
    const size_t t = (i + i / 6 * 5) % COUNT(tables), in_place = i / 2 % 2;
    char by[120];
    *o = (struct lb_quantize){.rows = tables[t].rows,
                              .cols = tables[t].cols,
                              .seed = UINT64_C(0x100000001) * i,
                              .stream = (uint32_t)(0x30000 + i),
                              .first = firsts[(i / 6 + i) % COUNT(firsts)]};
    c->by = quantizers[i / 6];
    c->object = &o->q;
    lb_op_add(c, "x", &o->x, in_place ? ROLE_BOTH : ROLE_IN, o->rows * o->cols);
    if (in_place)
        c->array[0].alias = &o->y;
    else
        lb_op_add(c, "y", &o->y, ROLE_OUT, o->rows * o->cols);
    c->spread = 1;
    c->rarity = 64;
    lb_ops_quantizer_text(&c->by, by, sizeof by);
    snprintf(c->text, sizeof c->text, "%s, rows=%zu cols=%zu first=%llu in_place=%zu", by, o->rows, o->cols, (unsigned long long)o->first,
             in_place);
}
