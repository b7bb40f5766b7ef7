/* SPDX-License-Identifier: MIT */
/* codec_posit.c - POSIT: posits of n bits (2..16, default 8) with es exponent bits (0..4, default 2, the 2022 standard's).
 *
 * A code whose top bit is set is the negative of its two's complement; 0 is 0, and the top bit alone is NaR, a NaN. Else, after the sign: a
 * run of equal bits ended by the other one (k ones: r = k - 1, k zeros: r = -k), es bits of exponent e and a fraction f, where bits beyond
 * the end are 0: the value is 2^(r 2^es + e) (1 + f).
 *
 * Rounding is the standard's: by the string of bits. Between two posits lies the posit of one bit more that begins with the lower one's string; what is
 * above it goes up, what is below goes down, and what is equal to the even code. Nothing but 0 becomes 0, and no number becomes NaR; infinities do. */
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

/* Where numbers begin to go to the positive code + 1. */
static double boundary(uint32_t code, int n, int es)
{
    return magnitude(2 * code + 1, n + 1, es);
}

/* The first number above (up) or below x. */
static double beside(double x, int up)
{
    return nextafter(x, up ? (double)INFINITY : -(double)INFINITY);
}

static size_t steps(const struct lb_codec *c, struct lb_step *out, size_t cap)
{
    const struct state *s = c->state;
    const int n = (int)c->bits, es = s ? s->es : DEFAULT_ES;
    const uint32_t nar = 1u << (n - 1), most = nar - 1;
    size_t k = 0;
    if (cap < 2 * (size_t)most + 3)
        return 0;
    out[k++] = (struct lb_step){-(double)INFINITY, nar};
    out[k++] = (struct lb_step){beside(-(double)INFINITY, 1), nar + 1};
    for (uint32_t code = most - 1; code; code--) { /* of two, the even one keeps the place between them */
        const double b = -boundary(code, n, es);
        out[k++] = (struct lb_step){code % 2 ? beside(b, 1) : b, 2 * nar - code};
    }
    out[k++] = (struct lb_step){-0.0, 0};
    out[k++] = (struct lb_step){beside(0, 1), 1};
    for (uint32_t code = 1; code < most; code++) {
        const double b = boundary(code, n, es);
        out[k++] = (struct lb_step){code % 2 ? b : beside(b, 1), code + 1};
    }
    out[k++] = (struct lb_step){(double)INFINITY, nar};
    return k;
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
    .steps = steps,
    .state_size = sizeof(struct state),
    .init = init,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&posit.base, NULL};
