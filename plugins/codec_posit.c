/* SPDX-License-Identifier: MIT */
/* codec_posit.c - POSIT: posits of n bits (2..16, default 8) with es exponent bits (0..4, default 2, the 2022 standard's).
 *
 * A code whose top bit is set is the negative of its two's complement; 0 is 0, and the top bit alone is NaR, a NaN. Else, after the sign: a
 * run of equal bits ended by the other one (k ones: r = k - 1, k zeros: r = -k), es bits of exponent e and a fraction f, where bits beyond
 * the end are 0: the value is 2^(r 2^es + e) (1 + f).
 *
 * Deviation: lowbit rounds to the nearest value, ties to the even code. The standard rounds the string of bits, which is the same where
 * neighbours share their regime and exponent, and not beside the ends: there it sends all from the geometric mean on up, and no number but 0 to 0.
 * Infinities and what is too large saturate to maxpos. */
#include "plugins/codec_params.h"

enum { DEFAULT_N = 8, DEFAULT_ES = 2 };

struct state {
    int es;
};

/* A positive code of n bits. */
static double magnitude(uint32_t code, int n, int es)
{
    int at = n - 2; /* the bit that is read next */
    const uint32_t first = code >> at & 1;
    int run = 0;
    while (at >= 0 && (code >> at & 1) == first)
        run++, at--;
    const int regime = first ? run - 1 : -run, left = at > 0 ? at : 0; /* bits behind the one that ends the run */
    const uint32_t rest = code & ((1u << left) - 1);
    const int fraction = left > es ? left - es : 0;
    const int exponent = (int)(left > es ? rest >> fraction : rest << (es - left));
    return ldexp(1 + ldexp((double)(rest & ((1u << fraction) - 1)), -fraction), regime * (1 << es) + exponent);
}

static double value(const struct lb_codec *c, uint32_t code)
{
    const struct state *s = c->state;
    const uint32_t sign = 1u << (c->bits - 1);
    const int n = (int)c->bits, es = s ? s->es : DEFAULT_ES;
    if (code == 0 || code == sign)
        return code ? (double)NAN : 0;
    return code & sign ? -magnitude(2 * sign - code, n, es) : magnitude(code, n, es);
}

static int init(struct lb_codec *self, const struct lb_param *params, size_t n_params, char *why, size_t why_size)
{
    int n = DEFAULT_N, es = DEFAULT_ES;
    const struct lb_whole fields[] = {{"n", 2, 16, &n}, {"es", 0, 4, &es}};
    for (size_t i = 0; i < n_params; i++)
        if (lb_param_take(fields, 2, &params[i], why, why_size))
            return -1;
    lb_codec_resize(self, n);
    self->nan_code = 1u << (n - 1);
    ((struct state *)self->state)->es = es;
    return 0;
}

static const struct lb_codec posit = {
    .base = {LB_ABI, LB_CODEC, sizeof posit, "POSIT", "posits of n bits (2..16, default 8), es exponent bits (0..4, default 2)"},
    .bits = DEFAULT_N,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .nan_code = 0x80,
    .value = value,
    .state_size = sizeof(struct state),
    .init = init,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&posit.base, NULL};
