/* SPDX-License-Identifier: MIT */
/* cpu_q_copy.c - strided copies of bytes: sides that are one in both tensors become one, then the two sides that matter are the inner ones: that along which
 * the output's bytes are neighbours, and that along which the input's are. */
#include "plugins/cpu/cpu_q.h"

enum { SIDES = 4, BLOCK = 32, TURN = 8 };

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

/* Byte i of word j becomes byte j of word i. */
static void turn(uint64_t r[TURN])
{
    static const uint64_t low[] = {0x00000000ffffffff, 0x0000ffff0000ffff, 0x00ff00ff00ff00ff};
    for (int step = 0, apart = 4; apart; step++, apart /= 2)
        for (int i = 0; i < TURN; i++)
            if (!(i & apart)) {
                const uint64_t changed = (r[i] >> 8 * apart ^ r[i + apart]) & low[step];
                r[i + apart] ^= changed;
                r[i] ^= changed << 8 * apart;
            }
}

/* A corner of eight times eight, where the bytes of the input that are neighbours are not those of the output that are. */
static void copy_turned(const unsigned char *x, size_t x_step, unsigned char *y, size_t y_step)
{
    uint64_t r[TURN];
    for (size_t j = 0; j < TURN; j++)
        memcpy(&r[j], x + j * x_step, sizeof r[j]);
    turn(r);
    for (size_t i = 0; i < TURN; i++)
        memcpy(y + i * y_step, &r[i], sizeof r[i]);
}

/* Elements of the inner sides: `rows` of side 2, all of side 3. */
static void copy_block(const struct copy *c, const unsigned char *x, unsigned char *y, size_t rows)
{
    const struct side *s = &c->side[2], *t = &c->side[3];
    const int turned = s->x == 1 && t->y == 1 && s->size > 1;
    for (size_t i = 0; i < rows && t->x == 1 && t->y == 1; i++)
        memcpy(y + i * s->y, x + i * s->x, t->size);
    if (t->x == 1 && t->y == 1)
        return;
    const size_t rows8 = turned ? rows / TURN * TURN : 0, size8 = turned ? t->size / TURN * TURN : 0;
    for (size_t i = 0; i < rows8; i += TURN)
        for (size_t j = 0; j < size8; j += TURN)
            copy_turned(x + i + j * t->x, t->x, y + i * s->y + j, s->y);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < rows8 ? size8 : 0; j < t->size; j++)
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
