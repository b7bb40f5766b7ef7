/* SPDX-License-Identifier: MIT */
/* vulkan_spirv.c - makes a SPIR-V module exact. GLSL's `precise` reaches only what flows into a variable that is declared so, and not fma(); here every
 * floating-point operation is decorated NoContraction, and the module declares how binary32 (and binary64, where it is used) behaves.
 *
 * A module is a header of five words and instructions, each (words << 16 | opcode) and its operands, in the order of sections that the
 * specification (2.4) gives: capabilities, extensions, imports, memory model, entry points, execution modes, debug, annotations, types... */
#include "plugins/vulkan/vulkan.h"

#include <string.h>

enum {
    HEADER = 5,
    OP_EXTENSION = 10,
    OP_EXT_INST_IMPORT = 11,
    OP_EXT_INST = 12,
    OP_ENTRY_POINT = 15,
    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    OP_TYPE_VOID = 19,
    OP_DECORATE = 71,
    OP_F_NEGATE = 127,
    OP_F_ADD = 129,
    OP_F_SUB = 131,
    OP_F_MUL = 133,
    OP_F_DIV = 136,
    OP_VECTOR_TIMES_SCALAR = 142,
    OP_DOT = 148,
    STD450_FMA = 50,
    NO_CONTRACTION = 42,
    CAPABILITY_FLOAT64 = 10,
};

/* A mode of binary32 and of binary64: the capability that allows it is that of the mode. */
struct mode {
    uint32_t mode, capability;
};
static const struct mode denorm_preserve = {4459, 4464}, signed_zero = {4461, 4466}, round_to_nearest = {4462, 4467};

static uint32_t opcode(uint32_t word)
{
    return word & 0xFFFFu;
}

static int is_arithmetic(const uint32_t *at)
{
    static const uint16_t list[] = {OP_F_NEGATE, OP_F_ADD, OP_F_SUB, OP_F_MUL, OP_F_DIV, OP_VECTOR_TIMES_SCALAR, OP_DOT};
    if (opcode(*at) == OP_EXT_INST) /* result type, result, set, instruction; the only set that is imported is GLSL.std.450 */
        return at[4] == STD450_FMA;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (opcode(*at) == list[i])
            return 1;
    return 0;
}

/* What is found on the way through: where sections end, the entry point, what is decorated already. */
struct survey {
    size_t capabilities, modes, annotations; /* where each section ends: the place of the next instruction */
    size_t operations;
    uint32_t entry;
    int float64;
};

static int look(const struct vulkan_spirv *s, struct survey *v)
{
    *v = (struct survey){0};
    for (size_t i = HEADER, n; i < s->n; i += n) {
        const uint32_t *at = s->words + i, op = opcode(*at);
        n = *at >> 16;
        if (n == 0 || n > s->n - i || (op == OP_EXT_INST && n < 5))
            return -1;
        if (op == OP_CAPABILITY) {
            v->capabilities = i + n;
            v->float64 |= at[1] == CAPABILITY_FLOAT64;
        } else if (op == OP_ENTRY_POINT || op == OP_EXECUTION_MODE) {
            v->modes = i + n;
            v->entry = op == OP_ENTRY_POINT ? at[2] : v->entry;
        } else if (op == OP_TYPE_VOID && !v->annotations) { /* the first of the types: main returns nothing */
            v->annotations = i;
        }
        v->operations += is_arithmetic(at) != 0;
    }
    return v->capabilities && v->modes && v->entry && v->annotations ? 0 : -1;
}

/* Where a mode may be declared: for both widths, or for one if the device lets them differ. */
struct width {
    uint32_t bits;
    int declared;
};

/* The modes of one kind that the module gets. A device where all widths must agree (independence NONE) gets it for all that it uses, or not at all;
 * 16 bits are never used. */
static uint32_t *declare(uint32_t *to, const struct mode *m, int has32, int has64, int together, const struct survey *v, int capabilities)
{
    const struct width widths[] = {{32, has32 && (!together || !v->float64 || has64)}, {64, v->float64 && has64 && (!together || has32)}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        if (!widths[i].declared)
            continue;
        if (capabilities) {
            if (i == 1 && widths[0].declared) /* once is enough */
                continue;
            *to++ = 2u << 16 | OP_CAPABILITY;
            *to++ = m->capability;
        } else {
            *to++ = 4u << 16 | OP_EXECUTION_MODE;
            *to++ = v->entry;
            *to++ = m->mode;
            *to++ = widths[i].bits;
        }
    }
    return to;
}

static uint32_t *declare_all(uint32_t *to, const VkPhysicalDeviceFloatControlsProperties *c, const struct survey *v, int capabilities)
{
    const int denorm = c->denormBehaviorIndependence == VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE;
    const int rounding = c->roundingModeIndependence == VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE;
    to = declare(to, &denorm_preserve, c->shaderDenormPreserveFloat32 != 0, c->shaderDenormPreserveFloat64 != 0, denorm, v, capabilities);
    to = declare(to, &signed_zero, c->shaderSignedZeroInfNanPreserveFloat32 != 0, c->shaderSignedZeroInfNanPreserveFloat64 != 0, 0, v,
                 capabilities);
    return declare(to, &round_to_nearest, c->shaderRoundingModeRTEFloat32 != 0, c->shaderRoundingModeRTEFloat64 != 0, rounding, v,
                   capabilities);
}

/* SPIR-V 1.3 knows the modes by an extension. */
static uint32_t *extension(uint32_t *to)
{
    static const char name[24] = "SPV_KHR_float_controls";
    *to++ = (1u + sizeof name / 4) << 16 | OP_EXTENSION;
    memcpy(to, name, sizeof name);
    return to + sizeof name / 4;
}

static uint32_t *decorate(uint32_t *to, const struct vulkan_spirv *s)
{
    for (size_t i = HEADER; i < s->n; i += s->words[i] >> 16)
        if (is_arithmetic(s->words + i)) {
            *to++ = 3u << 16 | OP_DECORATE;
            *to++ = s->words[i + 2];
            *to++ = NO_CONTRACTION;
        }
    return to;
}

static uint32_t *copy(uint32_t *to, const struct vulkan_spirv *s, size_t from, size_t end)
{
    memcpy(to, s->words + from, (end - from) * sizeof *to);
    return to + (end - from);
}

int vulkan_spirv_exact(struct vulkan_device *d, struct vulkan_spirv *s)
{
    enum { ROOM = 3 * (2 + 2 * 4) + 8 };
    struct survey v;
    if (look(s, &v))
        return vulkan_fail(d, "the shader compiler gave something that is not SPIR-V");
    uint32_t *made = d->host->alloc(d->host, (s->n + ROOM + 3 * v.operations) * sizeof *made);
    if (!made)
        return vulkan_fail(d, "out of memory");
    const VkPhysicalDeviceFloatControlsProperties *c = &d->t.controls;
    uint32_t *capabilities = copy(made, s, 0, v.capabilities), *to = declare_all(capabilities, c, &v, 1);
    if (to != capabilities)
        to = extension(to);
    to = copy(to, s, v.capabilities, v.modes);
    to = declare_all(to, c, &v, 0);
    to = copy(to, s, v.modes, v.annotations);
    to = decorate(to, s);
    to = copy(to, s, v.annotations, s->n);
    d->host->free(d->host, s->words);
    *s = (struct vulkan_spirv){made, (size_t)(to - made)};
    return 0;
}
