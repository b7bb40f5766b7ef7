/* SPDX-License-Identifier: MIT */
/* ref_q_ops.c - the other ops on integer tensors. */
#include "plugins/cpu_ref/ref_q.h"
#include "kernels/canon.h"

#include <math.h>

int ref_q_table(void *dev, const struct lb_q_table *o)
{
    const unsigned char *x = ref_bytes(o->x), *table = ref_bytes(o->table);
    (void)dev;
    for (size_t i = 0; i < o->n; i++)
        ref_bytes(o->y)[i] = table[x[i]];
    return 0;
}

int ref_q_binary(void *dev, const struct lb_q_binary *o)
{
    (void)dev;
    for (size_t i = 0; i < o->n; i++) {
        const int64_t a = ref_q(o->a_type, ref_bytes(o->a)[i]) - o->a_zero, b = ref_q(o->b_type, ref_bytes(o->b)[i]) - o->b_zero;
        const int64_t r = o->kind == LB_Q_ADD ? ref_scaled(a * o->a_multiplier + b * o->b_multiplier, 1, o->shift)
                                              : ref_scaled(a * b, o->a_multiplier, o->shift);
        ref_bytes(o->y)[i] = ref_held(&o->out, r);
    }
    return 0;
}

/* One output of a pool: channel c at position (oy, ox) of image x. */
static unsigned char pooled(const struct lb_q_pool *o, const unsigned char *x, size_t oy, size_t ox, size_t c)
{
    const struct lb_q_conv *s = &o->s;
    int32_t largest = INT32_MIN, sum = 0;
    size_t taps = 0;
    for (size_t ky = 0; ky < s->kh; ky++)
        for (size_t kx = 0; kx < s->kw; kx++) {
            const size_t iy = oy * s->stride + ky - s->pad, ix = ox * s->stride + kx - s->pad; /* wrap to huge where outside */
            if (iy >= s->h || ix >= s->w)
                continue;
            const int32_t v = ref_q(o->x_type, x[(iy * s->w + ix) * s->c + c]);
            largest = v > largest ? v : largest;
            sum += v - o->x_zero;
            taps++;
        }
    if (o->kind == LB_Q_MAX)
        return (unsigned char)largest;
    const int32_t *scale = lb_i32(o->scales) + 2 * (taps - 1);
    return ref_held(&o->out, ref_scaled(sum, scale[0], scale[1]));
}

int ref_q_pool(void *dev, const struct lb_q_pool *o)
{
    const struct lb_q_conv *s = &o->s;
    (void)dev;
    for (size_t n = 0; n < s->n; n++)
        for (size_t p = 0; p < s->oh * s->ow; p++)
            for (size_t c = 0; c < s->c; c++)
                ref_bytes(o->y)[(n * s->oh * s->ow + p) * s->c + c] =
                    pooled(o, ref_bytes(o->x) + n * s->h * s->w * s->c, p / s->ow, p % s->ow, c);
    return 0;
}

int ref_q_copy(void *dev, const struct lb_q_copy *o)
{
    const size_t *size = o->size;
    (void)dev;
    for (size_t i = 0; i < size[0] * size[1] * size[2] * size[3]; i++) {
        const size_t at[4] = {i / size[3] / size[2] / size[1], i / size[3] / size[2] % size[1], i / size[3] % size[2], i % size[3]};
        size_t x = o->x_at, y = o->y_at;
        for (int d = 0; d < 4; d++) {
            x += at[d] * o->x_stride[d];
            y += at[d] * o->y_stride[d];
        }
        ref_bytes(o->y)[y] = ref_bytes(o->x)[x];
    }
    return 0;
}

/* Column `col` of row `row` of im2col: where it is in the images, or SIZE_MAX. */
static size_t column(const struct lb_q_conv *s, size_t row, size_t col)
{
    const size_t positions = s->oh * s->ow, n = row / positions, oy = row % positions / s->ow, ox = row % s->ow;
    const size_t ky = col / s->c / s->kw, kx = col / s->c % s->kw, c = col % s->c;
    const size_t iy = oy * s->stride + ky * s->dilation - s->pad, ix = ox * s->stride + kx * s->dilation - s->pad;
    return iy < s->h && ix < s->w ? ((n * s->h + iy) * s->w + ix) * s->c + c : SIZE_MAX;
}

int ref_q_im2col(void *dev, const struct lb_q_columns *o)
{
    const struct lb_q_conv *s = &o->s;
    const size_t cols = s->kh * s->kw * s->c;
    (void)dev;
    for (size_t i = 0; i < s->n * s->oh * s->ow * cols; i++) {
        const size_t at = column(s, i / cols, i % cols);
        ref_bytes(o->y)[i] = at == SIZE_MAX ? (unsigned char)o->zero : ref_bytes(o->x)[at];
    }
    return 0;
}

int ref_q_col2im(void *dev, const struct lb_q_col2im *o)
{
    const struct device *d = dev;
    const struct lb_q_conv *s = &o->s;
    const size_t cols = s->kh * s->kw * s->c, elements = s->n * s->h * s->w * s->c;
    uint32_t *sum = ref_alloc(d, elements, sizeof *sum);
    if (!sum)
        return -1;
    for (size_t i = 0; i < elements; i++)
        sum[i] = 0;
    for (size_t i = 0; i < s->n * s->oh * s->ow * cols; i++) {
        const size_t at = column(s, i / cols, i % cols);
        if (at != SIZE_MAX)
            sum[at] += (uint32_t)(ref_q(o->x_type, ref_bytes(o->x)[i]) - o->x_zero);
    }
    for (size_t i = 0; i < elements; i++)
        ref_q_store(&o->out, o->y, i, (int32_t)sum[i], o->multiplier, o->shift);
    d->host->free(d->host, sum);
    return 0;
}

int ref_q_requantize(void *dev, const struct lb_q_requantize *o)
{
    (void)dev;
    for (size_t i = 0; i < o->rows * o->cols; i++) {
        const size_t scale = o->per_column ? i % o->cols : 0;
        ref_q_store(&o->out, o->y, i, lb_i32(o->x)[i], lb_i32(o->multiplier)[scale], lb_i32(o->shift)[scale]);
    }
    return 0;
}

int ref_q_quantize(void *dev, const struct lb_q_quantize *o)
{
    (void)dev;
    for (size_t i = 0; i < o->rows * o->cols; i++) {
        float t = lb_f32(o->x)[i] / lb_f32(o->scale)[o->per_column ? i % o->cols : 0];
        t = t > 1024.0f ? 1024.0f : t < -1024.0f ? -1024.0f : t; /* beyond what any zero brings back */
        ref_bytes(o->y)[i] = ref_held(&o->out, t != t ? 0 : (int64_t)rintf(t));
    }
    return 0;
}

int ref_q_dequantize(void *dev, const struct lb_q_dequantize *o)
{
    (void)dev;
    for (size_t i = 0; i < o->rows * o->cols; i++) {
        const int32_t x = o->x_type == LB_Q_S32 ? lb_i32(o->x)[i] : ref_q(o->x_type, ref_bytes(o->x)[i]);
        const float v = (float)(int32_t)((uint32_t)x - (uint32_t)o->zero) * lb_f32(o->scale)[o->per_column ? i % o->cols : 0];
        lb_f32(o->y)[i] = v != v ? canon_float(0x7fc00000u) : v;
    }
    return 0;
}
