/* SPDX-License-Identifier: MIT */
#include "kernels/canon.h"
#include "kernels/cpu/ref_packed.h"

#include <math.h>

enum { PIECE = 32768 /* terms whose sum of products fits in 32 bits, whatever they are */ };

int ref_int8_shift(const float *values, size_t n)
{
    for (int f = 0; f < 8; f++) { /* beyond, the largest value is above 2^7 */
        double low = 0, high = 0;
        int whole = 1;
        for (size_t i = 0; whole && i < n; i++) {
            const double v = ldexp((double)values[i], f);
            whole = isfinite(v) && v == floor(v);
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        if (whole)
            return (low >= -128 && high <= 127) || (low >= 0 && high <= 255) ? f : -1;
    }
    return -1;
}

int ref_int8_zeros(const struct ref_packed *p, int f)
{
    for (size_t g = 0; p->zeros && g < p->n_scales; g++) {
        const double z = ldexp((double)p->zeros[g], f);
        if (!(z == floor(z) && z >= -255 && z <= 255))
            return 0;
    }
    return 1;
}

/* n neighbours that share a scale. Returns it. */
static float quantize(const float *x, size_t n, int8_t *a)
{
    float amax = 0;
    for (size_t i = 0; i < n; i++) {
        const float b = x[i] < 0 ? -x[i] : x[i];
        amax = b > amax ? b : amax;
    }
    const float s = amax / 127.0f;
    for (size_t i = 0; i < n; i++) {
        float t = s == 0 ? 0.0f : x[i] / s;
        t = t > 127.0f ? 127.0f : t < -127.0f ? -127.0f : t;
        a[i] = t != t ? 0 : (int8_t)((t + 12582912.0f) - 12582912.0f); /* to a whole number, half to even */
    }
    return s;
}

/* The integers of row `row` of the weights: (q - z) 2^f. */
static void integers(const struct ref_int8 *t, size_t row)
{
    const struct ref_packed *p = t->w;
    const float two_f = (float)(1 << t->f);
    p->q.decode(&p->q, p->codes + row * p->row_bytes, 0, ref_packed_room(p), t->q);
    for (size_t j = 0; j < p->cols; j++) {
        const float z = p->zeros ? p->zeros[row * p->scale_row + j / p->block] : 0.0f;
        t->ints[j] = (int16_t)((t->q[j] - z) * two_f);
    }
}

static size_t next_multiple(size_t k, size_t of, size_t end)
{
    const size_t next = of ? (k / of + 1) * of : end;
    return next < end ? next : end;
}

/* The sum of row `row` of the weights with activations a (k), `block` of which share a scale. */
static float sum(const struct ref_int8 *t, size_t row, const int8_t *a, const float *sa, size_t block, size_t k)
{
    const struct ref_packed *p = t->w;
    const float one = 1.0f / (float)(1 << t->f);
    float acc = 0;
    for (size_t begin = 0, end; begin < k; begin = end) {
        end = next_multiple(begin, PIECE, k);
        end = next_multiple(begin, block, end);
        end = next_multiple(begin, p->scaled ? p->block : 0, end);
        int32_t products = 0;
        for (size_t i = begin; i < end; i++)
            products += a[i] * t->ints[i];
        float s = p->scaled ? ref_packed_scale(p, row * p->scale_row + begin / p->block) * one : one;
        s = block ? sa[begin / block] * s : s;
        acc = canon_fma((float)products, s, acc);
    }
    return block ? acc : acc * sa[0];
}

static float store(float v, const float *bias, size_t i, int act, float alpha)
{
    float y = bias ? v + bias[i] : v;
    ref_kernels_c.act(&y, &y, 1, act, alpha);
    return y;
}

void ref_gemm_int8(const struct ref_int8 *t, const float *a, const float *bias, float *c, size_t m, size_t n, size_t k, size_t block,
                   int act, float alpha)
{
    const size_t width = block ? block : k, blocks = width ? (k + width - 1) / width : 0, scales = block ? blocks : 1;
    for (size_t i = 0; i < m; i++) {
        t->sa[i * scales] = 0; /* of an empty row */
        for (size_t b = 0; b < blocks; b++) {
            const size_t at = b * width;
            t->sa[i * scales + b] = quantize(a + i * k + at, k - at < width ? k - at : width, t->a + i * k + at);
        }
    }
    for (size_t j = 0; j < n; j++) {
        integers(t, j);
        for (size_t i = 0; i < m; i++)
            c[i * n + j] = store(sum(t, j, t->a + i * k, t->sa + i * scales, block, k), bias, j, act, alpha);
    }
}

/* What output position (oy, ox) sees of an image, k = (input channel, kernel row, kernel column); 0 outside. */
static void patch(const struct ref_conv *s, const int8_t *image, size_t oy, size_t ox, int8_t *out)
{
    for (size_t c = 0; c < s->c; c++)
        for (size_t ky = 0; ky < s->kh; ky++)
            for (size_t kx = 0; kx < s->kw; kx++) {
                const size_t y = oy * s->stride + ky - s->pad, x = ox * s->stride + kx - s->pad; /* wraps to huge where outside */
                *out++ = y < s->h && x < s->w ? image[(c * s->h + y) * s->w + x] : 0;
            }
}

void ref_conv2d_int8(const struct ref_int8 *t, const struct ref_conv *s, const float *x, const float *bias, float *y, int act, float alpha)
{
    const size_t image = s->c * s->h * s->w, k = s->c * s->kh * s->kw, positions = s->oh * s->ow;
    int8_t *seen = t->a + s->n * image;
    for (size_t n = 0; n < s->n; n++)
        t->sa[n] = quantize(x + n * image, image, t->a + n * image);
    for (size_t o = 0; o < s->o; o++) {
        integers(t, o);
        for (size_t n = 0; n < s->n; n++)
            for (size_t p = 0; p < positions; p++) {
                patch(s, t->a + n * image, p / s->ow, p % s->ow, seen);
                y[(n * s->o + o) * positions + p] = store(sum(t, o, seen, t->sa + n, 0, k), bias, o, act, alpha);
            }
    }
}
