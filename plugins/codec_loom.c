/* SPDX-License-Identifier: MIT */
/* codec_loom.c - LOOM_F4: the 4-bit format of a published study, kept as it is so that its results can be explained. Its decoder has Inf and NaN
 * where E2M1 has 4 and 6, and it encodes by one of two rules that are not rounding (parameter `encoder`):
 *   a  |x| < 0.125 -> 0, [0.125, 1) -> 0.75, then truncation, |x| >= 4 -> NaN
 *   b  the top fraction bit and a clamped exponent of the binary32 input: |x| < 1 -> 0 or 0.75 by that bit, |x| >= 4 -> Inf or NaN by it */
#include "core/plugin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct state {
    int encoder_b;
};

static double value(const struct lb_codec *c, uint32_t code)
{
    static const double magnitude[8] = {0, 0.75, 1, 1.5, 2, 3, INFINITY, NAN};
    (void)c;
    return code & 8 ? -magnitude[code & 7] : magnitude[code & 7];
}

static size_t add(struct lb_step *out, size_t n, size_t cap, double from, uint32_t code)
{
    if (n < cap)
        out[n] = (struct lb_step){from, code};
    return n + 1;
}

static size_t steps_a(struct lb_step *out, size_t cap)
{
    static const struct lb_step step[] = {{0, 0}, {0.125, 1}, {1, 2}, {1.5, 3}, {2, 4}, {3, 5}, {4, 7}};
    const size_t n = sizeof step / sizeof *step;
    for (size_t i = 0; i < n && i < cap; i++)
        out[i] = step[i];
    return n;
}

/* Below 1 and from 4 on, each binade has two steps; binary32 subnormals are 0. */
static size_t steps_b(struct lb_step *out, size_t cap)
{
    size_t n = add(out, 0, cap, 0, 0);
    for (int e = -126; e < 128; e++) {
        const uint32_t base = e < 0 ? 0 : e == 0 ? 2 : e == 1 ? 4 : 6;
        if (e > -126) /* in the first binade the lower half is 0, as all below it */
            n = add(out, n, cap, ldexp(1, e), base);
        n = add(out, n, cap, ldexp(1.5, e), base + 1);
    }
    return add(out, n, cap, INFINITY, 6);
}

static size_t steps(const struct lb_codec *c, struct lb_step *out, size_t cap)
{
    const struct state *s = c->state;
    return s && s->encoder_b ? steps_b(out, cap) : steps_a(out, cap);
}

static int init(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)
{
    struct state *s = self->state;
    for (size_t i = 0; i < n; i++) {
        const char *text = params[i].text;
        if (strcmp(params[i].name, "encoder") || !text || (strcmp(text, "a") && strcmp(text, "b"))) {
            snprintf(why, why_size, "takes \"encoder\": \"a\" or \"b\", found \"%.40s\": %s%.40s", params[i].name, text ? "" : "a number",
                     text ? text : "");
            return -1;
        }
        s->encoder_b = text[0] == 'b';
    }
    return 0;
}

static const struct lb_codec loom = {
    .base = {LB_ABI, LB_CODEC, sizeof loom, "LOOM_F4", "a published study's own 4-bit format: 0 0.75 1 1.5 2 3 Inf NaN; encoder a or b"},
    .bits = 4,
    .unit_elems = 2,
    .unit_bytes = 1,
    .kind = LB_CODEBOOK,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .nan_code = 7,
    .value = value,
    .steps = steps,
    .sign_bit = 8,
    .state_size = sizeof(struct state),
    .init = init,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&loom.base, NULL};
