/* SPDX-License-Identifier: MIT */
/* rows_body.h - the text of rows.h's operations, compiled for each instruction set. What a chain goes along (the columns of a row, the
 * samples of a channel) never lies in one vector: the lanes are different chains. */
#include "kernels/cpu/vec.h"
#include "kernels/cpu/ref.h"
#include "kernels/cpu/rows.h"

#include <string.h>

enum { SEGMENT = ROWS_SEGMENT };

static inline size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A vector of an array of which `left` elements remain. */
static inline vec get(const float *p, size_t left)
{
    return left >= VEC ? vec_load(p) : vec_load_masked(p, vec_first(left));
}

static inline void put(float *p, size_t left, vec v)
{
    if (left >= VEC)
        vec_store(p, v);
    else
        vec_store_masked(p, vec_first(left), v);
}

/* ---- Element by element: a loop for each activation, so that none has a branch inside. A vector is loaded before it is stored, so that an
 * output may lie where an input lies. ---- */

static inline vec relu(vec x)
{
    return vec_select(vec_less(x, vec_zero()), vec_zero(), x);
}

static void act_linear(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += VEC)
        put(y + i, n - i, vec_nan(get(x + i, n - i)));
}

static void act_relu(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += VEC)
        put(y + i, n - i, vec_nan(relu(get(x + i, n - i))));
}

static void act_scaled_relu(const float *x, float *y, size_t n, float alpha)
{
    for (size_t i = 0; i < n; i += VEC)
        put(y + i, n - i, vec_nan(vec_mul(vec_set(alpha), relu(get(x + i, n - i)))));
}

static void act_sigmoid(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += VEC) {
        float t[VEC];
        vec_store(t, get(x + i, n - i));
        for (int lane = 0; lane < VEC; lane++)
            t[lane] = canon_sigmoid(t[lane]);
        put(y + i, n - i, vec_load(t));
    }
}

static void act_tanh(const float *x, float *y, size_t n)
{
    for (size_t i = 0; i < n; i += VEC) {
        float t[VEC];
        vec_store(t, get(x + i, n - i));
        for (int lane = 0; lane < VEC; lane++)
            t[lane] = canon_tanh(t[lane]);
        put(y + i, n - i, vec_load(t));
    }
}

static void act(const float *x, float *y, size_t n, int function, float alpha)
{
    switch (function) {
    case REF_RELU:
        act_relu(x, y, n);
        return;
    case REF_SCALED_RELU:
        act_scaled_relu(x, y, n, alpha);
        return;
    case REF_SIGMOID:
        act_sigmoid(x, y, n);
        return;
    case REF_TANH:
        act_tanh(x, y, n);
        return;
    default:
        act_linear(x, y, n);
    }
}

static void grad_relu(const float *y, const float *dy, float *dx, size_t n)
{
    for (size_t i = 0; i < n; i += VEC) {
        const vec_mask on = vec_less(vec_zero(), get(y + i, n - i));
        put(dx + i, n - i, vec_nan(vec_select(on, get(dy + i, n - i), vec_zero())));
    }
}

static void grad_scaled_relu(const float *y, const float *dy, float *dx, size_t n, float alpha)
{
    for (size_t i = 0; i < n; i += VEC) {
        const vec_mask on = vec_less(vec_zero(), get(y + i, n - i));
        const vec scaled = vec_mul(vec_set(alpha), get(dy + i, n - i));
        put(dx + i, n - i, vec_nan(vec_select(on, scaled, vec_zero())));
    }
}

static void grad_sigmoid(const float *y, const float *dy, float *dx, size_t n)
{
    for (size_t i = 0; i < n; i += VEC) {
        const vec out = get(y + i, n - i);
        put(dx + i, n - i, vec_nan(vec_mul(get(dy + i, n - i), vec_mul(out, vec_sub(vec_set(1), out)))));
    }
}

static void grad_tanh(const float *y, const float *dy, float *dx, size_t n)
{
    for (size_t i = 0; i < n; i += VEC) {
        const vec out = get(y + i, n - i), minus = vec_sub(vec_zero(), out); /* the sign of a zero is lost in the sum with 1 */
        put(dx + i, n - i, vec_nan(vec_mul(get(dy + i, n - i), vec_fma(minus, out, vec_set(1)))));
    }
}

static void act_grad(const float *y, const float *dy, float *dx, size_t n, int function, float alpha)
{
    switch (function) {
    case REF_RELU:
        grad_relu(y, dy, dx, n);
        return;
    case REF_SCALED_RELU:
        grad_scaled_relu(y, dy, dx, n, alpha);
        return;
    case REF_SIGMOID:
        grad_sigmoid(y, dy, dx, n);
        return;
    case REF_TANH:
        grad_tanh(y, dy, dx, n);
        return;
    default:
        act_linear(dy, dx, n);
    }
}

static void sgd(float *w, const float *g, float *v, size_t n, float lr, float momentum, float decay)
{
    const vec minus_lr = vec_set(-lr), factor = vec_set(momentum), weight = vec_set(decay);
    for (size_t i = 0; i < n; i += VEC) {
        const vec old = get(w + i, n - i);
        vec step = vec_fma(weight, old, get(g + i, n - i));
        if (v) {
            step = vec_nan(vec_fma(factor, get(v + i, n - i), step));
            put(v + i, n - i, step);
        }
        put(w + i, n - i, vec_nan(vec_fma(minus_lr, step, old)));
    }
}

/* ---- Sums over samples ---- */

/* The sums of the columns of `columns` vectors, the last of which has `left` lanes. */
static inline void column_sums(const float *dy, float *db, size_t n, size_t ld, int columns, size_t left)
{
    enum { MOST = 4 };
    vec total[MOST], acc[MOST];
    for (int j = 0; j < columns; j++)
        total[j] = vec_zero();
    for (size_t s0 = 0; s0 < n; s0 += SEGMENT) {
        const size_t end = least(n, s0 + SEGMENT);
        for (int j = 0; j < columns; j++)
            acc[j] = vec_zero();
        for (size_t s = s0; s < end; s++)
            for (int j = 0; j < columns; j++)
                acc[j] = vec_add(acc[j], get(dy + s * ld + (size_t)j * VEC, j + 1 < columns ? VEC : left));
        for (int j = 0; j < columns; j++)
            total[j] = vec_add(total[j], acc[j]);
    }
    for (int j = 0; j < columns; j++)
        put(db + (size_t)j * VEC, j + 1 < columns ? VEC : left, vec_nan(total[j]));
}

static void bias_grad(const float *dy, float *db, size_t n, size_t c, size_t ld)
{
    size_t i = 0;
    for (; i + 4 * VEC <= c; i += 4 * VEC)
        column_sums(dy + i, db + i, n, ld, 4, VEC);
    for (; i < c; i += VEC)
        column_sums(dy + i, db + i, n, ld, 1, least(c - i, VEC));
}

static void add_segments(const float *sums, float *db, size_t segments, size_t c)
{
    for (size_t i = 0; i < c; i += VEC) {
        vec total = vec_zero();
        for (size_t s = 0; s < segments; s++)
            total = vec_add(total, get(sums + s * c + i, c - i));
        put(db + i, c - i, vec_nan(total));
    }
}

/* Chains that go side by side; with more than one vector of them the additions of one do not wait for those of another. */
enum { CHAINS = 16, SIDES = CHAINS / VEC };

/* sums[i] = the chain over row[i][0 .. steps - 1], steps a multiple of VEC. */
static void add_chains(const float *const *row, size_t steps, float *sums)
{
    vec acc[SIDES];
    for (int j = 0; j < SIDES; j++)
        acc[j] = vec_zero();
    for (size_t at = 0; at < steps; at += VEC)
        for (int j = 0; j < SIDES; j++) {
            vec t[VEC];
            for (int i = 0; i < VEC; i++)
                t[i] = vec_load(row[j * VEC + i] + at);
            vec_transpose(t);
            for (int i = 0; i < VEC; i++)
                acc[j] = vec_add(acc[j], t[i]);
        }
    for (int j = 0; j < SIDES; j++)
        vec_store(sums + j * VEC, acc[j]);
}

/* Where a chain begins: position q of channel i of sample s. */
struct place {
    size_t k, i, s, q;
};

static inline void next_chain(struct place *a, size_t c, size_t p)
{
    if (++a->i < c)
        return;
    a->i = 0;
    a->k += SEGMENT;
    a->q += SEGMENT;
    a->s += a->q / p;
    a->q %= p;
}

/* The elements of a segment side by side, as many as there are, then zeros: these change no chain, as one that begins at +0 never becomes
 * -0. Up to a vector more is written. */
static void copy_segment(const float *dy, size_t n, size_t c, size_t p, struct place a, float *to)
{
    const size_t count = least(SEGMENT, n * p - a.k);
    for (size_t done = 0, run; done < count; done += run, a.s++, a.q = 0) {
        const float *from = dy + (a.s * c + a.i) * p + a.q;
        run = least(p - a.q, count - done);
        for (size_t i = 0; i < run; i += VEC)
            vec_store(to + done + i, get(from + i, run - i));
    }
    for (size_t i = count; i < SEGMENT; i += VEC)
        vec_store(to + i, vec_zero());
}

static void segment_sums(const float *dy, float *sums, size_t n, size_t c, size_t p, size_t first, size_t count)
{
    float copy[CHAINS][SEGMENT + VEC], sum[CHAINS];
    struct place a = {.k = first / c * SEGMENT, .i = first % c};
    a.s = a.k / p;
    a.q = a.k % p;
    for (size_t t = 0; t < count; t += CHAINS) {
        const size_t chains = least(count - t, CHAINS);
        const size_t steps = (least(SEGMENT, n * p - a.k) + VEC - 1) / VEC * VEC; /* no chain behind is longer */
        const float *row[CHAINS];
        for (size_t i = 0; i < chains; i++, next_chain(&a, c, p)) {
            row[i] = copy[i];
            if (a.q + steps <= p)
                row[i] = dy + (a.s * c + a.i) * p + a.q;
            else
                copy_segment(dy, n, c, p, a, copy[i]);
        }
        for (size_t i = chains; i < CHAINS; i++)
            row[i] = row[0];
        add_chains(row, steps, sum);
        memcpy(sums + first + t, sum, chains * sizeof *sum);
    }
}

#include "kernels/cpu/rows_loss_body.h"

static const struct rows_kernels kernels = {
    .isa = VEC_ISA,
    .act = act,
    .act_grad = act_grad,
    .bias_grad = bias_grad,
    .segment_sums = segment_sums,
    .add_segments = add_segments,
    .softmax = softmax,
    .softmax_grad = softmax_grad,
    .cross_entropy = cross_entropy,
    .mse = mse,
    .sgd = sgd,
};
