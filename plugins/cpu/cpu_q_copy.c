/* SPDX-License-Identifier: MIT */
/* cpu_q_copy.c - strided copies of bytes: sides that are one in both tensors become one, then the two sides that matter are the inner ones: that along which
 * the output's bytes are neighbours, and that along which the input's are. */
#include "plugins/cpu/cpu_q.h"

enum { SIDES = 4, BLOCK = 32 };

struct side {
    size_t size, x, y;
};

struct copy {
    const struct lb_q_copy *o;
    struct side side[SIDES];    /* the last two are the inner ones */
    size_t blocks, units, jobs; /* blocks of side 2; units: with sides 0 and 1 */
};

/* Leaves out sides of one element, and joins those that are one. Returns how many are left. */
static size_t joined(const struct lb_q_copy *o, struct side *out)
{
    size_t n = 0;
    for (int i = SIDES - 1; i >= 0; i--) { /* the innermost first */
        const struct side s = {o->size[i], o->x_stride[i], o->y_stride[i]};
        if (s.size == 1)
            continue;
        if (n && s.x == out[n - 1].size * out[n - 1].x && s.y == out[n - 1].size * out[n - 1].y)
            out[n - 1].size *= s.size;
        else
            out[n++] = s;
    }
    return n;
}

static void exchange(struct side *a, struct side *b)
{
    const struct side t = *a;
    *a = *b;
    *b = t;
}

static void arrange(struct copy *c)
{
    struct side found[SIDES];
    const size_t n = joined(c->o, found);
    for (size_t i = 0; i < SIDES; i++)
        c->side[SIDES - 1 - i] = i < n ? found[i] : (struct side){1, 0, 0};
    for (size_t i = 0; i < SIDES - 1; i++)
        if (c->side[i].y == 1 && c->side[i].size > 1)
            exchange(&c->side[i], &c->side[SIDES - 1]);
    for (size_t i = 0; i < SIDES - 2; i++)
        if (c->side[i].x == 1 && c->side[i].size > 1)
            exchange(&c->side[i], &c->side[SIDES - 2]);
}

/* Elements of the inner sides: `rows` of side 2, all of side 3. */
static void copy_block(const struct copy *c, const unsigned char *x, unsigned char *y, size_t rows)
{
    const struct side *s = &c->side[2], *t = &c->side[3];
    if (t->x == 1 && t->y == 1) {
        for (size_t i = 0; i < rows; i++)
            memcpy(y + i * s->y, x + i * s->x, t->size);
        return;
    }
    for (size_t j0 = 0; j0 < t->size; j0 += BLOCK)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = j0; j < conv_min(j0 + BLOCK, t->size); j++)
                y[i * s->y + j * t->y] = x[i * s->x + j * t->x];
}

static void run_job(void *arg, size_t job)
{
    const struct copy *c = arg;
    const struct side *s = c->side;
    for (size_t u = c->units * job / c->jobs; u < c->units * (job + 1) / c->jobs; u++) {
        const size_t i = u % c->blocks * BLOCK, b = u / c->blocks % s[1].size, a = u / c->blocks / s[1].size;
        const unsigned char *x = q_bytes(c->o->x) + c->o->x_at + a * s[0].x + b * s[1].x + i * s[2].x;
        unsigned char *y = q_bytes(c->o->y) + c->o->y_at + a * s[0].y + b * s[1].y + i * s[2].y;
        copy_block(c, x, y, conv_min(BLOCK, s[2].size - i));
    }
}

int cpu_q_copy(void *dev, const struct lb_q_copy *o)
{
    const struct cpu_device *d = dev;
    struct copy c = {.o = o};
    for (int i = 0; i < SIDES; i++)
        if (o->size[i] == 0)
            return 0;
    arrange(&c);
    c.blocks = (c.side[2].size + BLOCK - 1) / BLOCK;
    c.units = c.blocks * c.side[0].size * c.side[1].size;
    c.jobs = conv_min(q_jobs(d, (double)c.units * (double)(BLOCK * c.side[3].size), Q_BYTES_OF_A_THREAD), c.units);
    d->host->parallel(d->host, c.jobs, run_job, &c);
    return 0;
}
