/* SPDX-License-Identifier: MIT */
/* codec_small.c - TERNARY, BOOL and FIXED.
 *
 *   TERNARY  2 bits: codes 0, 1, 2 are 0, +1, -1; code 3 is never written and read as 0
 *   BOOL     a byte: code 0 is 0, every other 1, of which 1 is written; numbers are rounded to the nearer, a tie to 0
 *   FIXED    q / 2^frac with q in two's complement of `bits` bits: MXINT8's elements are bits 8, frac 6 */
#include "plugins/codec_params.h"

static double ternary_value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return code == 1 ? 1 : code == 2 ? -1 : 0;
}

static double bool_value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return code != 0;
}

/* ---- FIXED ------------------------------------------------------------------------------------------------------------------------ */

enum { DEFAULT_BITS = 8, DEFAULT_FRAC = 6 };

struct state {
    int frac;
};

static double fixed_value(const struct lb_codec *c, uint32_t code)
{
    const struct state *s = c->state;
    const double q = code >> (c->bits - 1) ? (double)code - (double)(1u << c->bits) : (double)code;
    return ldexp(q, -(s ? s->frac : DEFAULT_FRAC));
}

static int fixed_init(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)
{
    int bits = DEFAULT_BITS, frac = DEFAULT_FRAC;
    const struct lb_whole fields[] = {{"bits", 2, 16, &bits}, {"frac", 0, 15, &frac}};
    for (size_t i = 0; i < n; i++)
        if (lb_param_take(fields, 2, &params[i], why, why_size))
            return -1;
    lb_codec_resize(self, bits);
    ((struct state *)self->state)->frac = frac;
    return 0;
}

static const struct lb_codec ternary = {
    .base = {LB_ABI, LB_CODEC, sizeof ternary, "TERNARY", "2 bits: 0, +1, -1"},
    .bits = 2,
    .unit_elems = 4,
    .unit_bytes = 1,
    .kind = LB_CODEBOOK,
    .ties = LB_TIES_ZERO,
    .overflow = LB_SATURATE,
    .value = ternary_value,
};

static const struct lb_codec boolean = {
    .base = {LB_ABI, LB_CODEC, sizeof boolean, "BOOL", "a byte that is 0 or 1"},
    .tag = "BOOL",
    .aliases = "bool",
    .bits = 8,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_CODEBOOK,
    .ties = LB_TIES_ZERO,
    .overflow = LB_SATURATE,
    .value = bool_value,
};

static const struct lb_codec fixed = {
    .base = {LB_ABI, LB_CODEC, sizeof fixed, "FIXED", "two's complement fixed point: bits (2..16, default 8), frac (0..15, default 6)"},
    .bits = DEFAULT_BITS,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_SIGNED,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .value = fixed_value,
    .state_size = sizeof(struct state),
    .init = fixed_init,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&ternary.base, &boolean.base, &fixed.base, NULL};
