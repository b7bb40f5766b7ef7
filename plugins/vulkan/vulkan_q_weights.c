/* SPDX-License-Identifier: MIT */
/* vulkan_q_weights.c - weights of integer tensors. Bytes become signed ones, 128 being subtracted from unsigned ones and their zero points; numbers of 4
 * bits become 0 to 15, 8 being added to signed ones. A matrix that is larger than a binding reaches becomes slabs of rows. */
#include "plugins/vulkan/vulkan_q.h"

#include <string.h>

enum { CHUNK = 1 << 16 /* words that are gathered before they are written */ };

static int is_small(uint32_t type)
{
    return type == LB_Q_U4 || type == LB_Q_S4;
}

/* What a number on the device is more than it was. */
static int32_t moved(uint32_t type)
{
    return type == LB_Q_U8 ? -128 : type == LB_Q_S4 ? 8 : 0;
}

static int32_t zero_of(const struct lb_q_matrix *m, size_t row)
{
    return (m->zero ? m->zero[row] : 0) + moved(m->type);
}

/* Code j of a row, as it is on the device. */
static int32_t code_of(const struct lb_q_matrix *m, const unsigned char *row, size_t j)
{
    if (!is_small(m->type))
        return (int8_t)(row[j] ^ (m->type == LB_Q_U8 ? 0x80 : 0));
    return (row[j / 2] >> (j % 2 * 4) & 15) ^ (m->type == LB_Q_S4 ? 8 : 0);
}

/* Writes a row's words; returns the sum of its codes. */
static uint32_t put_row(const struct lb_q_matrix *m, size_t i, uint32_t *words, size_t n)
{
    const unsigned char *row = (const unsigned char *)m->codes + i * m->row_bytes;
    const unsigned bits = is_small(m->type) ? 4 : 8, in_word = 32 / bits;
    uint32_t sum = 0;
    memset(words, 0, n * sizeof *words);
    for (size_t j = 0; j < m->cols; j++) {
        const uint32_t v = (uint32_t)code_of(m, row, j);
        sum += v;
        words[j / in_word] |= (v & ((1u << bits) - 1)) << j % in_word * bits;
    }
    return sum;
}

/* The numbers of row i of a slab of so many rows. */
static void put_column(const struct lb_q_matrix *m, size_t row, uint32_t sum, uint32_t *to, size_t rows)
{
    const uint32_t zero = (uint32_t)zero_of(m, row);
    to[0] = sum - (uint32_t)m->cols * zero;
    to[rows] = zero;
    to[2 * rows] = m->bias ? (uint32_t)m->bias[row] : 0;
    to[3 * rows] = m->multiplier ? (uint32_t)m->multiplier[row] : 0;
    to[4 * rows] = m->multiplier ? (uint32_t)m->shift[row] : 0;
}

/* words: room for CHUNK or for a row; columns: for the numbers of the slab's rows. */
static int fill_slab(struct vulkan_device *d, const struct lb_q_matrix *m, size_t row_words, struct vulkan_q_slab *s, uint32_t *words,
                     uint32_t *columns)
{
    const size_t most = row_words && row_words < CHUNK ? CHUNK / row_words : 1;
    for (size_t i = 0, n; i < s->rows; i += n) {
        n = s->rows - i < most ? s->rows - i : most;
        for (size_t r = 0; r < n; r++)
            put_column(m, s->row + i + r, put_row(m, s->row + i + r, words + r * row_words, row_words), columns + i + r, s->rows);
        if (vulkan_buf_write(d, &s->buf, i * row_words * sizeof *words, words, n * row_words * sizeof *words))
            return -1;
    }
    return vulkan_buf_write(d, &s->buf, s->rows * row_words * sizeof *words, columns, Q_COLUMN * s->rows * sizeof *columns);
}

static int make_slab(struct vulkan_device *d, const struct lb_q_matrix *m, size_t row_words, struct vulkan_q_slab *s)
{
    const size_t room = row_words < CHUNK ? CHUNK : row_words;
    s->buf.bytes = s->rows * (row_words + Q_COLUMN) * sizeof(uint32_t);
    if (vulkan_buf_create(d, &s->buf)) {
        s->buf.ptr = NULL;
        return -1;
    }
    uint32_t *words = d->host->alloc(d->host, (room + Q_COLUMN * s->rows) * sizeof *words);
    const int r = words ? fill_slab(d, m, row_words, s, words, words + room) : vulkan_fail(d, "out of memory: weights");
    d->host->free(d->host, words);
    return r;
}

static int make_slabs(struct vulkan_device *d, const struct lb_q_matrix *m, struct vulkan_q_weights *w)
{
    const size_t each = w->row_words + Q_COLUMN, most = d->t.reach / each ? d->t.reach / each : 1, slabs = (w->rows + most - 1) / most;
    w->slab = d->host->alloc(d->host, (slabs + 1) * sizeof *w->slab);
    if (!w->slab)
        return vulkan_fail(d, "out of memory: weights");
    for (; w->n < slabs; w->n++) {
        struct vulkan_q_slab *s = &w->slab[w->n];
        *s = (struct vulkan_q_slab){.row = w->n * most};
        s->rows = w->rows - s->row < most ? w->rows - s->row : most;
        if (make_slab(d, m, w->row_words, s)) {
            w->n += s->buf.ptr != NULL;
            return -1;
        }
    }
    return 0;
}

void *vulkan_q_weights_create(void *dev, const struct lb_q_matrix *m, size_t *bytes)
{
    struct vulkan_device *d = dev;
    const size_t terms = 4 * Q_TURN, turns = (m->cols + terms - 1) / terms;
    *bytes = 0;
    if (m->rows > INT32_MAX || vulkan_q_check_terms(d, "q_weights_create", m->cols))
        return NULL;
    struct vulkan_q_weights *w = d->host->alloc(d->host, sizeof *w);
    if (!w) {
        vulkan_fail(d, "out of memory: weights");
        return NULL;
    }
    *w = (struct vulkan_q_weights){.rows = m->rows, .cols = m->cols, .nibbles = is_small(m->type)};
    w->row_words = turns * (w->nibbles ? Q_TURN / 2 : Q_TURN);
    for (size_t i = 0; i < m->rows; i++)
        w->zeros |= zero_of(m, i) != 0;
    if (make_slabs(d, m, w)) {
        vulkan_q_weights_free(d, w);
        return NULL;
    }
    for (size_t i = 0; i < w->n; i++)
        *bytes += w->slab[i].buf.bytes;
    return w;
}

void vulkan_q_weights_free(void *dev, void *weights)
{
    struct vulkan_device *d = dev;
    struct vulkan_q_weights *w = weights;
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        vulkan_buf_destroy(d, &w->slab[i].buf);
    d->host->free(d->host, w->slab);
    d->host->free(d->host, w);
}
