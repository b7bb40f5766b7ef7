/* SPDX-License-Identifier: MIT */
/* cpu_q_weights.c - integer weights in panels. A zero point goes into the weights where they stay int8 without it: no row then needs its sum. */
#include "plugins/cpu/cpu_q.h"

double q_factor(int32_t multiplier, int32_t shift)
{
    return (double)multiplier / (double)((uint64_t)1 << (shift & 63));
}

/* ---- Panels ---- */

static void lay_out(struct q_panels *p, char *at, size_t *used, int packed, int zeros)
{
    const size_t n = p->panels * Q8_PANEL, all = p->panels * p->lines * Q8_LINE;
    p->at = conv_take(at, used, p->lines, sizeof *p->at);
    p->w = conv_take(at, used, packed ? 0 : all, 1);
    p->codes = conv_take(at, used, packed ? all / 2 : 0, 1);
    p->sub = conv_take(at, used, packed ? p->panels * Q8_LINE : 0, 1);
    p->bias = conv_take(at, used, n, sizeof *p->bias);
    p->sums = conv_take(at, used, n, sizeof *p->sums);
    p->start = conv_take(at, used, n, sizeof *p->start);
    p->zeros = conv_take(at, used, zeros ? n : 0, sizeof *p->zeros);
    p->ones = conv_take(at, used, zeros ? p->lines * Q8_LINE : 0, 1);
    p->f = conv_take(at, used, n, sizeof *p->f);
    if (!packed)
        p->codes = NULL;
    else
        p->w = NULL;
    if (!zeros)
        p->zeros = NULL;
}

void q_lines(uint32_t *at, size_t lines)
{
    for (size_t i = 0; i < lines; i++)
        at[i] = (uint32_t)(i * Q8_K);
}

int q_panels_create(const struct lb_host *h, struct q_panels *p, size_t outputs, size_t lines, int packed, int zeros)
{
    *p = (struct q_panels){.outputs = outputs, .panels = (outputs + Q8_PANEL - 1) / Q8_PANEL, .lines = lines, .small = 1};
    lay_out(p, NULL, &p->bytes, packed, zeros);
    p->memory = h->alloc(h, p->bytes ? p->bytes : 1);
    if (!p->memory) {
        h->log(h, LB_LOG_ERROR, "out of memory: integer weights");
        return -1;
    }
    memset(p->memory, 0, p->bytes);
    size_t used = 0;
    lay_out(p, p->memory, &used, packed, zeros);
    q_lines(p->at, lines);
    return 0;
}

void q_panels_start(struct q_panels *p, int32_t zero)
{
    if (p->started && p->zero == zero)
        return;
    for (size_t i = 0; i < p->panels * Q8_PANEL; i++)
        p->start[i] = (int32_t)((uint32_t)p->bias[i] - (uint32_t)zero * (uint32_t)p->sums[i]);
    p->zero = zero;
    p->started = 1;
}

void q_panels_unpack(const struct cpu_device *d, const struct q_panels *p, size_t first, size_t cols, int8_t *w)
{
    size_t at;
    const size_t group = q8_group(first, p->panels, &at), used = cols % Q8_K;
    d->k.q8.unpack(p->codes + first * p->lines * (Q8_LINE / 2), p->lines, group, p->flip, p->sub + first * Q8_LINE, w);
    int8_t *last = w + (p->lines ? p->lines - 1 : 0) * group * Q8_LINE;
    for (size_t i = 0; i < group * Q8_LINE && used; i++)
        last[i] = i % Q8_K < used ? last[i] : 0;
}

/* ---- From the host's ---- */

struct range {
    int32_t low, high;
};

static int is_packed(uint32_t type)
{
    return type == LB_Q_U4 || type == LB_Q_S4;
}

static int32_t code_of(const struct lb_q_matrix *m, size_t i, size_t j)
{
    const unsigned char *row = (const unsigned char *)m->codes + i * m->row_bytes;
    if (!is_packed(m->type))
        return m->type == LB_Q_S8 ? (int8_t)row[j] : row[j];
    const int32_t half = row[j / 2] >> (j % 2 ? 4 : 0) & 15;
    return m->type == LB_Q_S4 ? (half ^ 8) - 8 : half;
}

/* The least and the largest code of a row; of 4 bits what they might be. */
static struct range range_of(const struct lb_q_matrix *m, size_t i)
{
    if (is_packed(m->type))
        return m->type == LB_Q_S4 ? (struct range){-8, 7} : (struct range){0, 15};
    struct range r = {255, -128};
    for (size_t j = 0; j < m->cols; j++) {
        const int32_t c = code_of(m, i, j);
        r.low = c < r.low ? c : r.low;
        r.high = c > r.high ? c : r.high;
    }
    return r;
}

/* What is taken from the codes of row i, that they be W; its zero may be all of it. */
static int32_t taken(const struct lb_q_matrix *m, size_t i)
{
    const struct range r = range_of(m, i);
    const int32_t zero = m->zero ? m->zero[i] : 0;
    if (m->cols == 0 || (r.low - zero >= -128 && r.high - zero <= 127))
        return zero;
    return m->type == LB_Q_U8 ? 128 : 0;
}

static void put(struct q_panels *p, size_t i, size_t j, int32_t code, int32_t take)
{
    const size_t at = q_panels_place(p, i, j);
    if (p->w) {
        p->w[at] = (int8_t)(code - take);
        return;
    }
    const size_t e = at % Q8_LINE, half = Q8_LINE / 2;
    const unsigned char bits = (unsigned char)((code & 15) << (e < half ? 0 : 4));
    p->codes[at / Q8_LINE * half + e % half] |= bits;
}

int8_t q_weight(const struct cpu_q_weights *w, size_t output, size_t col)
{
    const struct q_panels *p = &w->all;
    const size_t at = q_panels_place(p, output, col), e = at % Q8_LINE, half = Q8_LINE / 2;
    if (p->w)
        return p->w[at];
    const int code = p->codes[at / Q8_LINE * half + e % half] >> (e < half ? 0 : 4) & 15;
    return (int8_t)((code ^ p->flip) - p->sub[output / Q8_PANEL * Q8_LINE + e]);
}

static void fill_row(struct q_panels *p, const struct lb_q_matrix *m, size_t i, int32_t take)
{
    const int32_t left = (m->zero ? m->zero[i] : 0) - take;
    uint32_t sum = 0;
    for (size_t j = 0; j < m->cols; j++) {
        const int32_t c = code_of(m, i, j);
        put(p, i, j, c, take);
        sum += (uint32_t)(c - take - left);
    }
    p->sums[i] = (int32_t)sum;
    p->bias[i] = m->bias ? m->bias[i] : 0;
    p->f[i] = m->multiplier ? q_factor(m->multiplier[i], m->shift[i]) : 1;
    p->small = p->small && p->f[i] <= 1;
    if (p->zeros)
        p->zeros[i] = left;
    for (size_t k = 0; k < Q8_K && !p->w; k++)
        p->sub[i / Q8_PANEL * Q8_LINE + i % Q8_PANEL * Q8_K + k] = (int8_t)(take + p->flip);
}

void *cpu_q_weights_create(void *dev, const struct lb_q_matrix *m, size_t *bytes)
{
    const struct cpu_device *d = dev;
    struct cpu_q_weights *w = d->host->alloc(d->host, sizeof *w);
    if (!w) {
        d->host->log(d->host, LB_LOG_ERROR, "out of memory: integer weights");
        return NULL;
    }
    *w = (struct cpu_q_weights){.rows = m->rows, .cols = m->cols};
    int zeros = 0;
    for (size_t i = 0; i < m->rows && m->zero && !zeros; i++)
        zeros = taken(m, i) != m->zero[i];
    for (size_t i = 0; i < m->rows && !m->zero && !zeros; i++)
        zeros = taken(m, i) != 0;
    if (q_panels_create(d->host, &w->all, m->rows, (m->cols + Q8_K - 1) / Q8_K, is_packed(m->type), zeros)) {
        d->host->free(d->host, w);
        return NULL;
    }
    w->all.flip = m->type == LB_Q_S4 ? 8 : 0;
    for (size_t i = 0; i < m->rows; i++)
        fill_row(&w->all, m, i, taken(m, i));
    for (size_t j = 0; j < m->cols && zeros; j++)
        for (size_t i = 0; i < Q8_PANEL; i++)
            w->all.ones[j / Q8_K * Q8_LINE + i * Q8_K + j % Q8_K] = 1;
    *bytes = sizeof *w + w->all.bytes;
    return w;
}

void cpu_q_weights_free(void *dev, void *weights)
{
    const struct lb_host *h = ((const struct cpu_device *)dev)->host;
    struct cpu_q_weights *w = weights;
    if (!w)
        return;
    q_plan_free(h, w->plan);
    h->free(h, w->all.memory);
    h->free(h, w);
}
