/* SPDX-License-Identifier: MIT */
/* codec_uint.c - UINT: unsigned integers of any width up to 16 bits, by its parameter `bits` (8 without it). MatMulNBits takes its codes for this. */
#include "core/plugin.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double value(const struct lb_codec *c, uint32_t code)
{
    (void)c;
    return (double)code;
}

/* The smallest unit that fills whole bytes: 8 / gcd(bits, 8) elements. */
static void set_bits(struct lb_codec *c, uint32_t bits)
{
    uint32_t elems = 1;
    while (bits * elems % 8 != 0)
        elems *= 2;
    c->bits = bits;
    c->unit_elems = elems;
    c->unit_bytes = bits * elems / 8;
}

static int init(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)
{
    for (size_t i = 0; i < n; i++) {
        const struct lb_param *p = &params[i];
        if (strcmp(p->name, "bits") != 0) {
            snprintf(why, why_size, "there is no parameter \"%s\"; it takes \"bits\"", p->name);
            return -1;
        }
        if (p->text || !(p->number >= 1 && p->number <= 16) || p->number != trunc(p->number)) {
            snprintf(why, why_size, "bits: expected a whole number from 1 to 16");
            return -1;
        }
        set_bits(self, (uint32_t)p->number);
    }
    return 0;
}

static const struct lb_codec uint_n = {
    .base = {LB_ABI, LB_CODEC, sizeof uint_n, "UINT", "unsigned integer of `bits` bits, 1 to 16 (default 8)"},
    .bits = 8,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_UNSIGNED,
    .value = value,
    .init = init,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&uint_n.base, NULL};
