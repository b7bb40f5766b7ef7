/* SPDX-License-Identifier: MIT */
/* # long */
/* MatMulNBits near to onnxruntime's answers, on the same bytes. */
#include "test/unit/nbits_util.h"

/* ---- onnxruntime's answers ------------------------------------------------------------------------------------------------------------- */

/* What two orders of adding up may differ by: K and a few roundings of 2^-24 on each side, of the sum of the magnitudes. In int8, A is quantized first;
 * onnxruntime multiplies by 127 / amax where 8.12 divides by amax / 127, so that a quotient next to a half may go the other way: one step of A. */
static double tolerance(const struct drawn *d, int int8, size_t row, size_t i)
{
    const float *a = d->a + row * d->k;
    double magnitudes = d->in.bias ? fabs((double)d->add[i]) : 0, steps = 0;
    for (size_t k = 0; k < d->k; k++) {
        const size_t first = k / d->block * d->block;
        double amax = 0, w = fabs((double)weight(d, i, k));
        for (size_t j = first; int8 && j < d->k && j < first + d->block; j++)
            amax = fmax(amax, fabs((double)a[j]));
        const double step = amax / 127, q = step > 0 ? fabs((double)a[k]) / step : 0;
        magnitudes += (fabs((double)a[k]) + step) * w;
        steps += fabs(q - floor(q) - 0.5) < 127 * 0x1p-23 ? step * w : 0;
    }
    return (double)(d->k + 8) * 0x1p-23 * magnitudes + steps;
}

static const struct lb_tensor *vector(const struct lb_safetensors *st, size_t i, const char *name)
{
    char text[40];
    snprintf(text, sizeof text, "%02zu.%s", i, name);
    return lb_safetensors_find(st, text);
}

static const float *vector_floats(const struct lb_tensor *t)
{
    return memcpy(keep(t->elems, sizeof(float)), t->data, t->bytes);
}

static struct drawn *read_case(const struct lb_safetensors *st, size_t i)
{
    struct drawn *d = keep(1, sizeof *d);
    const struct lb_tensor *settings = vector(st, i, "settings"), *a = vector(st, i, "A");
    d->in =
        (struct lb_nbits_inputs){vector(st, i, "B"), vector(st, i, "scales"), vector(st, i, "zero_points"), NULL, vector(st, i, "bias")};
    memcpy(&d->at, settings->data, sizeof d->at); /* K, N, bits, block_size, accuracy_level */
    d->b = *d->in.b;
    d->bits = (unsigned)d->at.bits;
    d->m = a->shape[0];
    d->n = (size_t)d->at.n;
    d->k = (size_t)d->at.k;
    d->block = (size_t)d->at.block_size;
    d->blocks = d->b.shape[1];
    d->a = vector_floats(a);
    d->s = vector_floats(d->in.scales);
    d->add = d->in.bias ? vector_floats(d->in.bias) : NULL;
    const int floats = d->in.zero_points && d->in.zero_points->dtype == LB_F32;
    float *z = keep(d->n * d->blocks, sizeof *z);
    const size_t row = (d->blocks * d->bits + 7) / 8;
    for (size_t g = 0; g < d->n * d->blocks; g++)
        z[g] = !d->in.zero_points ? (float)(1u << (d->bits - 1))
               : floats           ? 0
                                  : (float)code_at(d->in.zero_points->data + g / d->blocks * row, d->bits, g % d->blocks);
    d->z = floats ? vector_floats(d->in.zero_points) : z;
    return d;
}

static void check_case(const struct drawn *d, size_t number, const float *want)
{
    struct lb_err err = {0};
    struct lb_nbits *w = create(d);
    const int int8 = lb_nbits_int8(w);
    float *y = keep(d->m * d->n, sizeof *y);
    if (!int8 || held.dev->ops->gemm_int8) {
        cr_assert_eq(lb_nbits_forward(w, held.dev, d->a, d->m, y, &err), 0, "case %zu: %s", number, err.text);
        for (size_t j = 0; j < d->m * d->n; j++) {
            const double off = fabs((double)y[j] - (double)want[j]), may = tolerance(d, int8, j / d->n, j % d->n);
            cr_expect(off <= may, "case %zu (%u bits, block %zu, level %d), element %zu: onnxruntime %a, got %a: %g off, %g allowed",
                      number, d->bits, d->block, (int)d->at.accuracy_level, j, (double)want[j], (double)y[j], off, may);
        }
    }
    lb_nbits_destroy(w);
}

Test(nbits_ort, onnxruntime)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    load_plugins();
    open_device("cpu_ref", ~0u);
    cr_assert_eq(lb_safetensors_open("test/data/onnx/matmul_nbits.safetensors", &st, &err), 0, "%s (run from the root)", err.text);
    size_t n = 0;
    for (const struct lb_tensor *y; (y = vector(&st, n, "Y")); n++)
        check_case(read_case(&st, n), n, vector_floats(y));
    cr_expect(n > 30, "%zu cases", n);
    lb_safetensors_finish(&st);
    drop_all();
}
