/* SPDX-License-Identifier: MIT */
#include "core/nn/ops_verify_impl.h"
#include "kernels/canon.h"

#include <string.h>

/* Infinities, NaNs with and without payload, both zeros, subnormals, the smallest normal, the largest, and numbers whose products are subnormal. */
static float special_value(uint32_t r)
{
    static const uint32_t table[] = {0x00000000u, 0x80000000u, 0x00000001u, 0x80000001u, 0x007fffffu, 0x807ffffeu,
                                     0x00800000u, 0x80800000u, 0x7f7fffffu, 0xff7fffffu, 0x7f000000u, 0x1c123456u,
                                     0x9c654321u, 0x20345678u, 0x3f800000u, 0xbf800000u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

static float not_finite(uint32_t r)
{
    static const uint32_t table[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u};
    return canon_float(table[r % (sizeof table / sizeof *table)]);
}

/* Numbers of many sizes, half of them with so few digits that they lie between two codes. */
static float spread(canon_words r)
{
    const uint32_t few = r.w[1] % 2 ? 0xffffffffu : 0xffffffffu << (17 + r.w[1] / 2 % 6);
    const float x = canon_float(canon_bits(4.0f * canon_unit(r.w[0]) - 2.0f) & few);
    return x * canon_float((127u - 9u + r.w[2] / 64 % 19) << 23);
}

/* Element i of array a: uniform in (-2, 2), in special cases every eighth something else. */
static float value(const struct run *t, size_t a, size_t i)
{
    const canon_words r = canon_random64(t->seed, (uint32_t)a, i);
    if (t->exact && t->index % 2 && r.w[1] % t->c.rarity == 0)
        return not_finite(r.w[2]);
    if (t->exact && t->index % 2 && r.w[3] % 8 == 0)
        return special_value(r.w[2]);
    if (t->c.spread && t->index % 4 < 3)
        return spread(r);
    if (t->c.uses == LB_USE_INT8 && a == 0 && t->index % 4 == 2) /* quotients by 2 / 127 that lie between two whole numbers */
        return i % 16 == 0 ? 2.0f : ((float)(r.w[0] % 254) - 126.5f) * (2.0f / 127.0f);
    return 4.0f * canon_unit(r.w[0]) - 2.0f;
}

/* A byte; in every other case mostly one of those where a kernel's sums would saturate. */
static uint32_t byte(const struct run *t, uint32_t r)
{
    static const unsigned char ends[] = {0, 255, 127, 128};
    return t->index % 2 && r % 4 ? ends[r / 4 % 4] : r / 16 % 256;
}

/* Element i of an array that is not of numbers. */
static uint32_t whole(const struct run *t, size_t a, size_t i)
{
    const struct array *array = &t->c.array[a];
    const canon_words r = canon_random64(t->seed, (uint32_t)a, i);
    if (array->fill == FILL_BYTES)
        return byte(t, r.w[0]) | byte(t, r.w[1]) << 8 | byte(t, r.w[2]) << 16 | byte(t, r.w[3]) << 24;
    if (array->fill == FILL_SCALES)
        return ((127u - 10u + r.w[0] % 10) << 23) | (r.w[1] % 2 ? r.w[2] & 0x7fffffu : 0);
    if (array->fill == FILL_PAIRS)
        return i % 2 ? 21 + r.w[0] % 6 : 1u << 21 | (r.w[1] % 2 ? r.w[0] & 0x1fffffu : 0);
    const uint64_t span = (uint64_t)((int64_t)array->high - array->low) + 1;
    if (t->index % 2 && r.w[3] % 8 == 0)
        return (uint32_t)(r.w[2] % 2 ? array->low : array->high);
    if (array->high == (1 << 22) - 1 && r.w[3] % 4 == 1) /* a multiplier: ties */
        return 1u << 21;
    return (uint32_t)array->low + (uint32_t)(((uint64_t)r.w[0] << 32 | r.w[1]) % span);
}

void lb_op_fill(struct run *t, size_t a)
{
    const struct array *array = &t->c.array[a];
    float *before = t->f[a].before;
    for (size_t i = 0; i < FRONT + array->n + MARGIN; i++)
        before[i] = canon_float(LB_OP_UNTOUCHED);
    for (size_t i = 0; i < array->n; i++) {
        float *x = &before[FRONT + i];
        if (array->role == ROLE_LABELS) {
            const int32_t label = (int32_t)(canon_random64(t->seed, (uint32_t)a, i).w[0] % array->classes);
            memcpy(x, &label, sizeof label);
        } else if (array->fill != FILL_FLOATS && array->role != ROLE_OUT) {
            *x = canon_float(whole(t, a, i));
        } else if (array->role != ROLE_OUT) {
            *x = value(t, a, i);
        }
    }
}
