/* SPDX-License-Identifier: MIT */
/* vulkan_weights.c - weights that stay packed: which definitions kernels/vulkan/packed.glsl gets for a codec and its scales, and the words that it reads.
 * A matrix that is larger than a binding reaches becomes slabs of rows, each with all that its rows need. */
#include "plugins/vulkan/vulkan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    CHUNK = 1 << 16,      /* words that are gathered before they are written */
    TABLES_SHARE = 4,     /* a slab has at least so many times the words of its tables */
    INTEGER_BITS = 8,     /* LB_USE_INT8: of a weight's value and of its zero point */
    MOST_INTEGER = 255,   /* their largest magnitude */
    LARGE_TABLE = 1 << 10 /* words: smaller ones are made whatever the weights take */
};

struct plan {
    const struct lb_packed *p;
    struct vulkan_codes q, s;
    size_t row_bytes, row_words;
    size_t tables;        /* words before the rows */
    size_t scale_row;     /* scales that a row has of its own */
    size_t scales_shared; /* 1 where all rows have the same one */
    size_t group2;        /* scales that share a second level; SIZE_MAX: all */
};

/* ---- The plan ---- */

/* Scales of many bits are stored as numbers rather than as a table larger than they are, or a second text beside the weights'. */
static struct vulkan_codes scales_of(const struct lb_codes *s, const struct vulkan_codes *q)
{
    struct vulkan_codes f = vulkan_codes_of(s);
    const int large = f.form == FORM_TABLE && f.bits > INTEGER_BITS, second = f.form == FORM_TEXT && q->form == FORM_TEXT;
    if (s->codec->bits && (large || second || f.form == FORM_NONE))
        f.form = FORM_NUMBERS;
    return f;
}

static size_t table_words(const struct vulkan_codes *f)
{
    return f->form == FORM_TABLE ? (size_t)1 << f->bits : 0;
}

/* Least f so that all values times 2^f are integers; -1 where there is none, or they have more than 8 bits then. */
static int integer_shift(const struct lb_codes *c)
{
    for (int f = 0; c->values && f < INTEGER_BITS; f++) {
        double low = 0, high = 0;
        int whole = 1;
        for (size_t i = 0; whole && i < (size_t)1 << c->codec->bits; i++) {
            const double v = ldexp((double)c->values[i], f);
            whole = isfinite(v) && v == floor(v);
            low = v < low ? v : low;
            high = v > high ? v : high;
        }
        if (whole)
            return (low >= -128 && high <= 127) || (low >= 0 && high <= MOST_INTEGER) ? f : -1;
    }
    return -1;
}

/* Which bytes q times 2^shift are. */
static int bytes_of(const struct lb_packed *p, int shift)
{
    int unsigned_ones = 0;
    for (size_t i = 0; i < (size_t)1 << p->q.codec->bits; i++)
        unsigned_ones |= ldexp((double)p->q.values[i], shift) > INT8_MAX;
    return p->zeros ? 0 : unsigned_ones ? 2 : 1;
}

static int plan_integers(const struct lb_packed *p, int *shift, char *why, size_t why_size)
{
    *shift = p->q.codec->bits && p->q.codec->bits <= INTEGER_BITS ? integer_shift(&p->q) : -1;
    if (*shift < 0) {
        snprintf(why, why_size, "integer products: the values of %s are no integers of 8 bits times a power of two", p->q.codec->base.name);
        return -1;
    }
    for (size_t g = 0; p->zeros && g < p->n_scales; g++) {
        const double z = ldexp((double)p->zeros[g], *shift);
        if (z == floor(z) && fabs(z) <= MOST_INTEGER)
            continue;
        snprintf(why, why_size, "integer products: zero point %zu is %g, no integer of 8 bits", g, (double)p->zeros[g]);
        return -1;
    }
    return 0;
}

static int make_plan(const struct lb_packed *p, struct plan *n, char *why, size_t why_size)
{
    const struct lb_codec *c = p->q.codec;
    *n = (struct plan){.p = p, .q = vulkan_codes_of(&p->q), .s = {.form = FORM_NONE}};
    if (p->scaled)
        n->s = scales_of(&p->s, &n->q);
    if (n->q.form == FORM_NONE || (p->scaled && n->s.form == FORM_NONE)) {
        snprintf(why, why_size, "%s has neither a table of values nor a GLSL text that gives them",
                 n->q.form == FORM_NONE ? c->base.name : p->s.codec->base.name);
        return -1;
    }
    const size_t most = SIZE_MAX / 64;
    if (p->cols > most || p->rows > most || p->cols > UINT32_MAX || p->rows > UINT32_MAX) {
        snprintf(why, why_size, "a matrix of %zu x %zu is too large", p->rows, p->cols);
        return -1;
    }
    n->row_bytes = c->bits ? (p->cols * c->bits + 7) / 8 : (p->cols + c->unit_elems - 1) / c->unit_elems * c->unit_bytes;
    n->row_words = (n->row_bytes + 3) / 4;
    n->tables = table_words(&n->q) + table_words(&n->s);
    n->scale_row = p->scaled ? p->scale_row : 0;
    n->scales_shared = p->scaled && !p->scale_row;
    n->group2 = p->group2 && p->group2 < p->n_scales ? p->group2 : SIZE_MAX;
    return 0;
}

/* ---- Definitions ---- */

__attribute__((format(printf, 2, 3))) static void define(struct vulkan_weights *w, const char *format, ...)
{
    const size_t at = strlen(w->defines);
    va_list args;
    va_start(args, format);
    vsnprintf(w->defines + at, sizeof w->defines - at, format, args);
    va_end(args);
}

static void define_codes(struct vulkan_weights *w, const struct vulkan_codes *f, char prefix)
{
    const size_t at = strlen(w->defines);
    vulkan_codes_define(f, prefix, w->defines + at, sizeof w->defines - at);
}

static void define_scales(struct vulkan_weights *w, const struct plan *n)
{
    const struct lb_packed *p = n->p;
    define(w, " SCALED");
    define_codes(w, &n->s, 'S');
    if (p->scale_row > 1)
        define(w, " S_BLOCK=%zu", p->block);
    if (p->scale2)
        define(w, " SCALE2");
    if (p->scale2 && n->group2 < SIZE_MAX)
        define(w, " GROUP2=%zu", n->group2);
    if (p->has_offset)
        define(w, " OFFSET");
    if (p->zeros)
        define(w, " ZEROS");
}

static void define_all(struct vulkan_weights *w, const struct plan *n)
{
    const struct lb_codec *c = n->p->q.codec;
    if (!c->bits)
        define(w, " Q_UNIT=%u Q_UNIT_BYTES=%u", (unsigned)c->unit_elems, (unsigned)c->unit_bytes);
    define_codes(w, &n->q, 'Q');
    if (n->p->scaled)
        define_scales(w, n);
}

/* ---- Words ---- */

/* Gathers words and writes them behind each other. */
struct writer {
    struct vulkan_device *d;
    struct lb_buf *to;
    size_t at; /* words written */
    size_t n;
    uint32_t *word; /* CHUNK */
};

static int flush(struct writer *w)
{
    const int r = w->n ? vulkan_buf_write(w->d, w->to, w->at * 4, w->word, w->n * 4) : 0;
    w->at += w->n;
    w->n = 0;
    return r;
}

static int put(struct writer *w, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const size_t room = (CHUNK - w->n) * 4, part = n - done < room ? n - done : room;
        w->word[w->n + (part - 1) / 4] = 0; /* what the last word has behind the bytes */
        memcpy(w->word + w->n, (const char *)bytes + done, part);
        w->n += (part + 3) / 4;
        done += part;
        if (w->n == CHUNK && flush(w))
            return -1;
    }
    return 0;
}

static uint32_t code_at(const unsigned char *codes, unsigned bits, size_t i)
{
    const size_t at = i / 8 * bits + i % 8 * bits / 8;
    const unsigned from = (unsigned)(i % 8) * bits % 8, bytes = (from + bits + 7) / 8;
    uint32_t v = 0;
    for (unsigned b = 0; b < bytes; b++)
        v |= (uint32_t)codes[at + b] << 8 * b;
    return v >> from & ((1u << bits) - 1);
}

/* Codes first to first + n - 1 of a stream as a stream of its own. */
static int put_codes(struct writer *w, const struct lb_codes *c, const unsigned char *codes, size_t first, size_t n)
{
    const unsigned bits = c->codec->bits;
    uint64_t held = 0;
    unsigned has = 0;
    for (size_t i = 0; i < n; i++) {
        held |= (uint64_t)code_at(codes, bits, first + i) << has;
        has += bits;
        if (has < 32)
            continue;
        const uint32_t word = (uint32_t)held;
        if (put(w, &word, sizeof word))
            return -1;
        held >>= 32;
        has -= 32;
    }
    const uint32_t rest = (uint32_t)held;
    return has ? put(w, &rest, sizeof rest) : 0;
}

static int put_decoded(struct writer *w, const struct lb_codes *c, const unsigned char *codes, size_t first, size_t n)
{
    float x[64];
    for (size_t i = 0, part; i < n; i += part) {
        part = n - i < sizeof x / sizeof *x ? n - i : sizeof x / sizeof *x;
        c->decode(c, codes, first + i, part, x);
        if (put(w, x, part * sizeof *x))
            return -1;
    }
    return 0;
}

static size_t scale_words(const struct plan *n, size_t scales)
{
    return n->s.form == FORM_NUMBERS ? scales : (scales / 32 + 1) * n->p->s.codec->bits;
}

/* Words of a slab of so many rows, about: never fewer than it has. */
static size_t slab_words(const struct plan *n, size_t rows)
{
    const struct lb_packed *p = n->p;
    const size_t scales = rows * n->scale_row + n->scales_shared;
    size_t words = n->tables + rows * n->row_words + 4;
    if (p->scaled)
        words += scale_words(n, scales) + (p->zeros ? scales : 0) + (p->scale2 ? scales / n->group2 + 2 : 0);
    return words;
}

/* Second levels of scales first to first + count - 1. */
static int put_second(struct writer *w, const struct plan *n, size_t first, size_t count)
{
    const size_t from = first / n->group2, end = (first + count - 1) / n->group2 + 1;
    return put(w, n->p->scale2 + from, (end - from) * sizeof *n->p->scale2);
}

static int put_scales(struct writer *w, const struct plan *n, struct vulkan_slab *s)
{
    const struct lb_packed *p = n->p;
    const size_t first = s->row * n->scale_row, count = s->rows * n->scale_row + n->scales_shared;
    s->args[1] = (uint32_t)(w->at + w->n);
    s->args[2] = (uint32_t)n->scale_row;
    if (n->s.form == FORM_NUMBERS ? put_decoded(w, &p->s, p->scales, first, count) : put_codes(w, &p->s, p->scales, first, count))
        return -1;
    s->args[3] = (uint32_t)(w->at + w->n);
    if (p->scale2) {
        s->args[4] = (uint32_t)(first % n->group2);
        if (put_second(w, n, first, count))
            return -1;
    }
    s->args[5] = (uint32_t)(w->at + w->n);
    if (p->has_offset)
        memcpy(&s->args[6], &p->offset, sizeof p->offset);
    return p->zeros ? put(w, p->zeros + first, count * sizeof *p->zeros) : 0;
}

static int put_slab(struct writer *w, const struct plan *n, struct vulkan_slab *s)
{
    const struct lb_packed *p = n->p;
    if (put(w, p->q.values, table_words(&n->q) * 4) || put(w, p->s.values, table_words(&n->s) * 4))
        return -1;
    for (size_t i = 0; i < s->rows; i++)
        if (put(w, p->codes + (s->row + i) * p->row_bytes, n->row_bytes))
            return -1;
    s->args[0] = (uint32_t)n->row_words;
    return p->scaled && put_scales(w, n, s) ? -1 : flush(w);
}

/* ---- Making and freeing ---- */

static int make_slab(struct vulkan_device *d, const struct plan *n, uint32_t *words, struct vulkan_slab *s)
{
    s->buf.bytes = slab_words(n, s->rows) * 4;
    if (vulkan_buf_create(d, &s->buf)) {
        s->buf.ptr = NULL;
        return -1;
    }
    struct writer w = {.d = d, .to = &s->buf, .word = words};
    return put_slab(&w, n, s);
}

/* Rows that fit into a slab; 0 with the reason where not even one does. */
static size_t rows_at_once(const struct vulkan_device *d, const struct plan *n, char *why, size_t why_size)
{
    const size_t bound = d->t.range / 4 < UINT32_MAX / 4 ? (size_t)d->t.range / 4 : UINT32_MAX / 4; /* bytes are counted in 32 bits */
    const size_t wanted = d->t.reach > TABLES_SHARE * n->tables ? d->t.reach : TABLES_SHARE * n->tables;
    const size_t most = wanted < bound ? wanted : bound;
    size_t lo = 1, hi = n->p->rows;
    if (slab_words(n, 1) > bound) {
        snprintf(why, why_size, "a row of the weights, with its tables, takes %zu bytes, and %s binds at most %llu (maxStorageBufferRange)",
                 slab_words(n, 1) * 4, d->t.name, (unsigned long long)d->t.range);
        return 0;
    }
    while (lo < hi) {
        const size_t middle = lo + (hi - lo + 1) / 2;
        if (slab_words(n, middle) <= most)
            lo = middle;
        else
            hi = middle - 1;
    }
    return lo;
}

static int make_slabs(struct vulkan_device *d, const struct plan *n, struct vulkan_weights *w, char *why, size_t why_size)
{
    const size_t rows = w->rows ? rows_at_once(d, n, why, why_size) : 1;
    if (!rows)
        return -1;
    const size_t slabs = (w->rows + rows - 1) / rows, table = table_words(&n->q);
    if (table > LARGE_TABLE && table * slabs > n->row_words * w->rows) {
        snprintf(why, why_size, "the table of %s's values would be larger than the weights", n->p->q.codec->base.name);
        return -1;
    }
    uint32_t *words = d->host->alloc(d->host, CHUNK * sizeof *words);
    w->slab = d->host->alloc(d->host, (slabs + 1) * sizeof *w->slab);
    snprintf(why, why_size, "out of memory");
    int r = words && w->slab ? 0 : vulkan_fail(d, "out of memory: weights");
    for (; !r && w->n < slabs; w->n++) {
        struct vulkan_slab *s = &w->slab[w->n];
        *s = (struct vulkan_slab){.row = w->n * rows};
        s->rows = w->rows - s->row < rows ? w->rows - s->row : rows;
        r = make_slab(d, n, words, s);
        if (r)
            snprintf(why, why_size, "%s", d->error);
        if (!s->buf.ptr)
            break;
    }
    d->host->free(d->host, words);
    return r;
}

/* A codec's own text is compiled here, so that a fault in it is told where it can be answered. */
static int try_text(struct vulkan_device *d, const struct vulkan_weights *w, char *why, size_t why_size)
{
    enum vulkan_kernel k;
    if (!w->text ||
        (!vulkan_packed_kernel(d, w, &vulkan_shaders[KERNEL_GEMM], "RIGHT_PACKED", &k) && vulkan_pipeline(d, k) != VK_NULL_HANDLE))
        return 0;
    snprintf(why, why_size, "%s", d->error);
    return -1;
}

static char *copy_text(const struct vulkan_device *d, const char *text)
{
    const size_t n = strlen(text) + 1;
    char *copy = d->host->alloc(d->host, n);
    return copy ? memcpy(copy, text, n) : NULL;
}

static int make(struct vulkan_device *d, const struct plan *n, struct vulkan_weights *w, char *why, size_t why_size)
{
    const char *text = n->q.form == FORM_TEXT ? n->p->q.codec->glsl : n->s.form == FORM_TEXT ? n->p->s.codec->glsl : NULL;
    define_all(w, n);
    if (text && !(w->text = copy_text(d, text))) {
        snprintf(why, why_size, "out of memory");
        return -1;
    }
    return try_text(d, w, why, why_size) || make_slabs(d, n, w, why, why_size) ? -1 : 0;
}

void *vulkan_weights_create(void *dev, const struct lb_packed *p, uint32_t uses, size_t *bytes, char *why, size_t why_size)
{
    struct vulkan_device *d = dev;
    struct plan n;
    int shift = 0;
    *bytes = 0;
    if (make_plan(p, &n, why, why_size) || ((uses & LB_USE_INT8) && plan_integers(p, &shift, why, why_size)))
        return NULL;
    struct vulkan_weights *w = d->host->alloc(d->host, sizeof *w);
    if (!w) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    *w = (struct vulkan_weights){
        .rows = p->rows, .cols = p->cols, .uses = uses, .shift = shift, .dot = uses & LB_USE_INT8 ? bytes_of(p, shift) : 0};
    w->block = p->scaled && p->scale_row > 1 ? p->block : p->cols;
    if (make(d, &n, w, why, why_size)) {
        vulkan_weights_free(d, w);
        return NULL;
    }
    for (size_t i = 0; i < w->n; i++)
        *bytes += w->slab[i].buf.bytes;
    return w;
}

void vulkan_weights_free(void *dev, void *weights)
{
    struct vulkan_device *d = dev;
    struct vulkan_weights *w = weights;
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        vulkan_buf_destroy(d, &w->slab[i].buf);
    d->host->free(d->host, w->slab);
    d->host->free(d->host, w->text);
    d->host->free(d->host, w);
}

struct vulkan_operand vulkan_slab_operand(const struct vulkan_slab *s)
{
    return (struct vulkan_operand){s->buf.ptr, 0, s->buf.bytes / 4, 0};
}

int vulkan_packed_kernel(struct vulkan_device *d, const struct vulkan_weights *w, const struct vulkan_shader *plain, const char *side,
                         enum vulkan_kernel *k)
{
    char defines[400];
    struct vulkan_shader s = *plain;
    snprintf(defines, sizeof defines, "%s %s%s", plain->defines, side, w->defines);
    s.defines = defines;
    s.text = w->text;
    return vulkan_made(d, &s, k);
}
