/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/ref_packed.h"
#include "kernels/canon.h"

#include <string.h>

/* ---- Copies: floats first, then bytes ---- */

static size_t code_bytes(const struct ref_codes *c, size_t n)
{
    if (c->bits)
        return n / 8 * c->bits + (n % 8 * c->bits + 7) / 8;
    return (n + c->unit_elems - 1) / c->unit_elems * c->unit_bytes;
}

static size_t n_scale2(const struct ref_packed *p)
{
    return p->scale2 ? (p->n_scales + p->group2 - 1) / p->group2 : 0;
}

size_t ref_packed_bytes(const struct ref_packed *p)
{
    size_t bytes, scales = 0;
    if (p->scaled)
        scales = code_bytes(&p->s, p->n_scales) + ((p->zeros ? p->n_scales : 0) + n_scale2(p)) * sizeof(float);
    if (__builtin_mul_overflow(p->rows, p->row_bytes, &bytes) || __builtin_add_overflow(bytes, scales, &bytes))
        return 0;
    return bytes;
}

static const void *place(unsigned char **at, const void *from, size_t bytes)
{
    if (!from)
        return NULL;
    void *to = *at;
    memcpy(to, from, bytes);
    *at += bytes;
    return to;
}

void ref_packed_copy(const struct ref_packed *from, void *memory, struct ref_packed *to)
{
    unsigned char *at = memory;
    *to = *from;
    to->zeros = place(&at, from->zeros, from->n_scales * sizeof(float));
    to->scale2 = place(&at, from->scale2, n_scale2(from) * sizeof(float));
    to->codes = place(&at, from->codes, from->rows * from->row_bytes);
    to->scales = from->scaled ? place(&at, from->scales, code_bytes(&from->s, from->n_scales)) : NULL;
}

/* ---- Values ---- */

size_t ref_packed_room(const struct ref_packed *p)
{
    const size_t unit = p->q.bits ? 1 : p->q.unit_elems;
    return (p->cols + unit - 1) / unit * unit;
}

float ref_packed_scale(const struct ref_packed *p, size_t g)
{
    float s;
    p->s.decode(&p->s, p->scales, g, 1, &s);
    if (p->scale2)
        s = s * p->scale2[g / p->group2];
    if (p->has_offset)
        s = s + p->offset;
    return s;
}

void ref_packed_row(const struct ref_packed *p, size_t i, float *x)
{
    p->q.decode(&p->q, p->codes + i * p->row_bytes, 0, ref_packed_room(p), x);
    for (size_t j = 0; p->scaled && j < p->cols;) {
        const size_t g = i * p->scale_row + j / p->block;
        const float s = ref_packed_scale(p, g);
        do {
            const float q = p->zeros ? x[j] - p->zeros[g] : x[j];
            x[j] = canon_nan(q * s);
        } while (++j < p->cols && j % p->block);
    }
}

static void read_row(const struct ref_rows *w, size_t i, float *x)
{
    ref_packed_row(w->of, i, x);
}

struct ref_rows ref_packed_rows(const struct ref_packed *p, float *panel)
{
    return (struct ref_rows){.read = read_row, .of = p, .panel = panel, .ld = ref_packed_room(p)};
}
