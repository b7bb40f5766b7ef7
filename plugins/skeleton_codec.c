/* SPDX-License-Identifier: MIT */
/* skeleton_codec.c - four small codecs that use every hook of `struct lb_codec` and say what each is for. docs/plugins.md is the tutorial; copy
 * what you need from here. Built with everything else, not installed.
 *
 *   SKELETON       3 bits: a sign and one of four magnitudes, 0 and three powers of two; parameter `low` moves them up or down
 *   SKELETON_STEP  the same codes with an encoder that does not round
 *   SKELETON_I24   a codec wider than a table: 24-bit integers
 *   SKELETON_BLOCK a block codec: 4 integers of 8 bits that share a power of two
 *
 * A hook may be called from several threads at once: it reads its codec and nothing else, keeps nothing between calls, and never prints. */
#include <plugin.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- SKELETON: a value function, and all that is optional ------------------------------------------------------------------------- */

/* What `init` keeps. The host allocates it, zeroed (state_size), one for each set of parameters, and frees it: it must not own memory. */
struct state {
    int low; /* the smallest power of two is 2^low */
};

/* Required. Bit 2: the sign. Bits 1-0: 0 is zero, m is 2^(low + m - 1). Exact in binary64, the same for the same code whenever it is asked. From
 * these eight numbers the host makes the decision boundaries, the rounding modes, saturation, packing and the lookup tables of every backend. */
static double value(const struct lb_codec *c, uint32_t code)
{
    const struct state *s = c->state; /* NULL before init, as in SKELETON_STEP, which has none */
    const int m = (int)(code & 3), low = s ? s->low : 0;
    const double magnitude = m ? ldexp(1, low + m - 1) : 0;
    return code & 4 ? -magnitude : magnitude;
}

/* Optional: parameters. A config's "codec": {"name": "SKELETON", "low": -1} arrives as {"low", -1, NULL}. `self` is a copy made for these parameters:
 * init may change its numbers (bits, unit_elems, nan_code, ...), which are then checked again. Unknown names and values out of range are errors, told
 * in `why`; parameters that are not given keep their defaults. n is 0 where the config gives none. */
static int init(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)
{
    struct state *s = self->state;
    for (size_t i = 0; i < n; i++) {
        const struct lb_param *p = &params[i];
        if (strcmp(p->name, "low") != 0) {
            snprintf(why, why_size, "there is no parameter \"%s\"; it takes \"low\"", p->name);
            return -1;
        }
        if (p->text || p->number != trunc(p->number) || fabs(p->number) > 100) {
            snprintf(why, why_size, "low: expected a whole number from -100 to 100");
            return -1;
        }
        s->low = (int)p->number;
    }
    return 0;
}

/* Optional: fast forms on binary32, for rounding to nearest and the default overflow. Write them when a profile asks for it: without them the host's
 * derived ones are used, and `lowbit verify` holds both to the same bits. n is a multiple of unit_elems, here 8 elements in 3 bytes; codes are a
 * little-endian bit stream: element 0 in the lowest bits of byte 0. */
static uint32_t encode_one(float x, float unit)
{
    const float a = fabsf(x) / unit;                                     /* a power of two divides exactly */
    const uint32_t m = a <= 0.5f ? 0 : a < 1.5f ? 1 : a <= 3.0f ? 2 : 3; /* ties go to the even code: 0.5 to 0, 1.5 and 3 to 2 */
    return x != x ? 0 : m | (signbit(x) ? 4 : 0);
}

static void encode_f32(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    unsigned char *p = codes;
    const float unit = ldexpf(1, ((const struct state *)c->state)->low);
    for (size_t i = 0; i + 8 <= n; i += 8, p += 3) {
        uint32_t word = 0;
        for (unsigned j = 0; j < 8; j++)
            word |= encode_one(x[i + j], unit) << (3 * j);
        p[0] = (unsigned char)word;
        p[1] = (unsigned char)(word >> 8);
        p[2] = (unsigned char)(word >> 16);
    }
}

static void decode_f32(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    const unsigned char *p = codes;
    for (size_t i = 0; i + 8 <= n; i += 8, p += 3) {
        const uint32_t word = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
        for (unsigned j = 0; j < 8; j++)
            x[i + j] = (float)value(c, word >> (3 * j) & 7);
    }
}

/* Optional: how a shader computes the value where a lookup would be slower, which it is above 8 bits. Here of the default parameters only, so `init`
 * must remove it (self->glsl = NULL) when others are given; most codecs leave it out, and their codes are looked up. */
static const char glsl[] = "float lb_value(uint code)\n"
                           "{\n"
                           "    float m = (code & 3u) == 0u ? 0.0 : float(1u << ((code & 3u) - 1u));\n"
                           "    return (code & 4u) != 0u ? -m : m;\n"
                           "}\n";

static int init_with_glsl(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)
{
    const int r = init(self, params, n, why, why_size);
    if (((const struct state *)self->state)->low != 0)
        self->glsl = NULL;
    return r;
}

static const struct lb_codec skeleton = {
    .base = {LB_ABI, LB_CODEC, sizeof skeleton, "SKELETON", "an example: 3 bits, 0 and three powers of two; low moves them"},
    .tag = NULL,            /* no safetensors dtype has 3 bits: stored as U8, with the format in the metadata */
    .aliases = "skeleton3", /* separated by blanks; no name may be taken twice */
    .bits = 3,
    .unit_elems = 8, /* the smallest number of elements that fills whole bytes, and those bytes: 8 x 3 bits = 3 bytes */
    .unit_bytes = 3,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE, /* 1000 becomes the largest value; LB_TO_INF and LB_TO_NAN need a code that is one */
    .nan_code = 0,           /* no code is NaN: a NaN becomes zero */
    .value = value,
    .state_size = sizeof(struct state),
    .init = init_with_glsl,
    .encode_f32 = encode_f32,
    .decode_f32 = decode_f32,
    .glsl = glsl,
};

/* ---- SKELETON_STEP: an encoder that is not rounding ------------------------------------------------------------------------------- */

/* Optional: where the encoder is not round-to-nearest, its decision points as data. Magnitudes from `from` up to the next step's become `code`, and a
 * negative number's code gets sign_bit. The first step is at 0; at most `cap` may be written. Here each number is cut down to the value below it. */
static size_t steps(const struct lb_codec *c, struct lb_step *out, size_t cap)
{
    (void)c;
    const struct lb_step all[] = {{0, 0}, {1, 1}, {2, 2}, {4, 3}};
    size_t n = 0;
    for (; n < sizeof all / sizeof *all && n < cap; n++)
        out[n] = all[n];
    return n;
}

static const struct lb_codec skeleton_step = {
    .base = {LB_ABI, LB_CODEC, sizeof skeleton_step, "SKELETON_STEP", "an example: SKELETON's codes, but numbers are cut, not rounded"},
    .bits = 3,
    .unit_elems = 8,
    .unit_bytes = 3,
    .kind = LB_FLOAT,
    .value = value,
    .steps = steps,
    .sign_bit = 4,
};

/* ---- SKELETON_I24: wider than a table --------------------------------------------------------------------------------------------- */

enum { I24_MAX = 0x7fffff, I24_MIN = -0x800000 };

static void put24(void *codes, size_t i, int64_t v)
{
    unsigned char *p = (unsigned char *)codes + 3 * i;
    p[0] = (unsigned char)(v & 255);
    p[1] = (unsigned char)(v >> 8 & 255);
    p[2] = (unsigned char)(v >> 16 & 255);
}

static int64_t limit(const struct lb_encoding *how, int64_t v)
{
    if (how->overflow == LB_WRAP)
        return v; /* put24 keeps the low bits */
    return v < I24_MIN ? I24_MIN : v > I24_MAX ? I24_MAX : v;
}

/* A whole number, by the rounding asked for. */
static double whole(const struct lb_encoding *how, double x, size_t i)
{
    const double down = floor(x), part = x - down;
    switch (how->rounding) {
    case LB_TOWARD_ZERO:
        return trunc(x);
    case LB_HALF_AWAY:
        return round(x);
    case LB_STOCHASTIC:
        return (double)how->random[i] < part * 4294967296.0 ? down + 1 : down; /* one random word an element */
    default:
        return part > 0.5 || (part == 0.5 && fmod(down, 2) != 0) ? down + 1 : down;
    }
}

/* Required above 16 bits. From binary64, so that nothing is rounded twice; every rounding mode and the overflow rules that make sense. */
static void i24_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const double w = whole(how, x[i], i);
        if (x[i] != x[i] || (isinf(x[i]) && how->overflow == LB_WRAP))
            put24(codes, i, 0);
        else if (fabs(w) < 0x1p62)
            put24(codes, i, limit(how, (int64_t)w));
        else
            put24(codes, i, how->overflow == LB_WRAP ? (int64_t)fmod(w, 0x1p24) : w < 0 ? I24_MIN : I24_MAX);
    }
}

/* Required above 16 bits, and exact in integer codecs. */
static void i24_decode_int(const struct lb_codec *c, const void *codes, size_t n, int64_t *x)
{
    (void)c;
    const unsigned char *p = codes;
    for (size_t i = 0; i < n; i++, p += 3) {
        const int64_t v = p[0] | p[1] << 8 | p[2] << 16;
        x[i] = v > I24_MAX ? v - 0x1000000 : v;
    }
}

static void i24_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++) {
        int64_t v;
        i24_decode_int(c, (const unsigned char *)codes + 3 * i, 1, &v);
        x[i] = (double)v;
    }
}

/* Required above 16 bits: from 64-bit integers, which binary64 does not all hold. With is_unsigned the bits are a uint64_t's. */
static void i24_encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n,
                           void *codes)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        put24(codes, i, is_unsigned && x[i] < 0 && how->overflow != LB_WRAP ? I24_MAX : limit(how, x[i]));
}

static const struct lb_codec skeleton_i24 = {
    .base = {LB_ABI, LB_CODEC, sizeof skeleton_i24, "SKELETON_I24", "an example: 24-bit two's complement integer"},
    .bits = 24,
    .unit_elems = 1, /* above 16 bits: whole bytes, one element a unit */
    .unit_bytes = 3,
    .kind = LB_SIGNED,
    .encode = i24_encode,
    .decode = i24_decode,
    .encode_int = i24_encode_int,
    .decode_int = i24_decode_int,
};

/* ---- SKELETON_BLOCK: numbers that share something --------------------------------------------------------------------------------- */

enum { BLOCK_ELEMS = 4, BLOCK_BYTES = 5, BLOCK_BIAS = 135, BLOCK_TOP = 127 };

/* A unit is byte 0: e, and a byte q for each number, two's complement: q 2^(e - 135). All of them must be binary32 numbers, whatever the bytes are. */
static double block_number(const uint8_t *unit, size_t i)
{
    return ldexp((int8_t)unit[1 + i], unit[0] - BLOCK_BIAS);
}

/* What a unit cannot hold is the codec's own affair; here a NaN becomes 0, and what is too large the largest number. */
static double block_within(double x)
{
    const double most = ldexp(BLOCK_TOP, 255 - BLOCK_BIAS);
    return x != x ? 0 : x > most ? most : x < -most ? -most : x;
}

/* Required of block codecs, for whole units, as many as n says: the host pads rows with zeros. Rounding is the codec's own, so `how` says nothing. */
static void block_encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c, (void)how;
    for (uint8_t *unit = codes; n >= BLOCK_ELEMS; n -= BLOCK_ELEMS, x += BLOCK_ELEMS, unit += BLOCK_BYTES) {
        double amax = 0;
        int e = 0;
        for (int i = 0; i < BLOCK_ELEMS; i++)
            amax = fmax(amax, fabs(block_within(x[i])));
        while (ldexp(BLOCK_TOP, e - BLOCK_BIAS) < amax)
            e++;
        unit[0] = (uint8_t)e;
        for (int i = 0; i < BLOCK_ELEMS; i++)
            unit[1 + i] = (uint8_t)((int)rint(ldexp(block_within(x[i]), BLOCK_BIAS - e)) & 255);
    }
}

/* Required of block codecs. */
static void block_decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++)
        x[i] = block_number((const uint8_t *)codes + i / BLOCK_ELEMS * BLOCK_BYTES, i % BLOCK_ELEMS);
}

/* Optional, but a GPU has no other way to read a block codec: element i of the unit that begins at byte `at`, by the bits of `decode`. Below e = 9 the
 * power of two is subnormal; canon_float makes it from its bits. kernels/canon.h has what GLSL and C need to be the same text. */
static const char block_glsl[] = "float lb_element(uint at, uint i)\n"
                                 "{\n"
                                 "    uint e = lb_byte(at), q = lb_byte(at + 1u + i);\n"
                                 "    float unit = canon_float(e < 9u ? 1u << (e + 14u) : (e - 8u) << 23);\n"
                                 "    return unit * CANON_REAL((CANON_INT(q) - (q < 128u ? 0 : 256)));\n"
                                 "}\n";

static const struct lb_codec skeleton_block = {
    .base = {LB_ABI, LB_CODEC, sizeof skeleton_block, "SKELETON_BLOCK", "an example: 4 integers of 8 bits that share a power of two"},
    .bits = 0, /* a block codec */
    .unit_elems = BLOCK_ELEMS,
    .unit_bytes = BLOCK_BYTES,
    .kind = LB_FLOAT,
    .encode = block_encode,
    .decode = block_decode,
    .glsl = block_glsl,
};

/* The one symbol that a plugin exports: its plugins, NULL at the end. */
LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&skeleton.base, &skeleton_step.base, &skeleton_i24.base, &skeleton_block.base,
                                                        NULL};
