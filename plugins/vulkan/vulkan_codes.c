/* SPDX-License-Identifier: MIT */
/* vulkan_codes.c - how kernels/vulkan/packed.glsl makes numbers of a codec's codes. Wide codes are computed where their values turn out to be those of
 * a binary floating-point format or of integers: a table of 16 bits is 256 KiB, more than many a matrix. */
#include "kernels/canon.h"
#include "plugins/vulkan/vulkan.h"

#include <stdio.h>

enum { TABLE_BITS = 8 /* codes that are always looked up */, STORED_BITS = 16 /* codes that can be looked up at all */, UNITS = 8 };

static int is_same(float a, float b)
{
    return canon_bits(a) == canon_bits(b) || (canon_is_nan(a) && canon_is_nan(b));
}

/* ---- Forms: as the shader has them ---- */

static float float_of(const struct vulkan_codes *f, uint32_t code)
{
    const uint32_t sign = code >> (f->bits - 1), magnitude = code & ((1u << (f->bits - 1)) - 1);
    uint32_t u = (magnitude << (23 - f->fraction)) + (f->rebias << 23);
    if (f->rebias && magnitude >> f->fraction == 0)
        u = canon_bits((float)magnitude * canon_float((f->rebias + 1 - f->fraction) << 23));
    if (magnitude >= f->top)
        u = magnitude << (23 - f->fraction) | CANON_INF;
    return canon_float(u | sign << 31);
}

static float integer_of(const struct vulkan_codes *f, uint32_t code)
{
    const uint32_t sign = f->form == FORM_SIGNED ? code >> (f->bits - 1) : 0;
    return (float)((int32_t)code - (int32_t)(sign << f->bits)) * canon_float(f->unit << 23);
}

static int holds(const struct vulkan_codes *f, const float *values)
{
    for (uint32_t code = 0; code >> f->bits == 0; code++)
        if (!is_same(values[code], f->form == FORM_FLOAT ? float_of(f, code) : integer_of(f, code)))
            return 0;
    return 1;
}

static int is_float(struct vulkan_codes *f, const float *values)
{
    f->form = FORM_FLOAT;
    for (f->top = 1; f->top >> (f->bits - 1) == 0 && (canon_bits(values[f->top]) & CANON_INF) != CANON_INF; f->top++)
        ;
    for (f->fraction = f->bits - 2; f->fraction; f->fraction--) {
        const uint32_t exponent = canon_bits(values[1u << f->fraction]) >> 23; /* of the least normal number */
        if (f->bits - 1 - f->fraction > 8 || exponent == 0 || exponent > 254)
            continue;
        f->rebias = exponent - 1;
        if ((f->rebias == 0 || f->rebias >= f->fraction) && holds(f, values))
            return 1;
    }
    return 0;
}

static int is_integer(struct vulkan_codes *f, const float *values)
{
    f->unit = canon_bits(values[1]) >> 23;
    f->form = FORM_SIGNED;
    if (f->unit > 254 || holds(f, values))
        return f->unit <= 254;
    f->form = FORM_UNSIGNED;
    return holds(f, values);
}

/* ---- Texts ---- */

/* Whether codes are worth what the codec says, and not something that was made of it: only then its text tells the truth. */
static int is_plain(const struct lb_codes *c)
{
    const struct lb_codec *k = c->codec;
    unsigned char unit[1024];
    double x[1024];
    float y[1024];
    for (uint32_t code = 0; k->bits && code >> k->bits == 0; code++)
        if (!is_same(c->values[code], canon_nan((float)k->value(k, code))))
            return 0;
    if (k->bits || k->unit_bytes > sizeof unit || k->unit_elems > sizeof y / sizeof *y)
        return k->bits != 0;
    for (uint32_t u = 0; u < UNITS; u++) {
        for (uint32_t i = 0; i < k->unit_bytes; i++)
            unit[i] = (unsigned char)(canon_random64(1, u, i).w[0]);
        k->decode(k, unit, k->unit_elems, x);
        c->decode(c, unit, 0, k->unit_elems, y);
        for (uint32_t i = 0; i < k->unit_elems; i++)
            if (!is_same(y[i], canon_nan((float)x[i])))
                return 0;
    }
    return 1;
}

struct vulkan_codes vulkan_codes_of(const struct lb_codes *c)
{
    const struct lb_codec *k = c->codec;
    struct vulkan_codes f = {.form = FORM_NONE, .bits = k->bits};
    if (k->bits > STORED_BITS || (k->bits && !c->values))
        return f;
    if (k->bits > TABLE_BITS && (is_float(&f, c->values) || is_integer(&f, c->values)))
        return f;
    f.form = k->bits ? FORM_TABLE : FORM_NONE;
    if ((k->bits == 0 || k->bits > TABLE_BITS) && k->glsl && is_plain(c))
        f.form = FORM_TEXT;
    return f;
}

int vulkan_codes_define(const struct vulkan_codes *f, char prefix, char *text, size_t size)
{
    const char p = prefix;
    const unsigned bits = f->bits;
    if (f->form == FORM_TABLE)
        return snprintf(text, size, " %c_BITS=%u %c_TABLE", p, bits, p);
    if (f->form == FORM_FLOAT)
        return snprintf(text, size, " %c_BITS=%u %c_FRACTION=%u %c_REBIAS=%u %c_TOP=%u", p, bits, p, f->fraction, p, f->rebias, p, f->top);
    if (f->form == FORM_SIGNED || f->form == FORM_UNSIGNED)
        return snprintf(text, size, " %c_BITS=%u %c_UNIT_OF=%u %c_SIGNED=%d", p, bits, p, f->unit, p, f->form == FORM_SIGNED);
    return f->form == FORM_TEXT && bits ? snprintf(text, size, " %c_BITS=%u", p, bits) : 0;
}
