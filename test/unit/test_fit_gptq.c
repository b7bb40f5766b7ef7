/* SPDX-License-Identifier: MIT */
/* GPTQ against the textbook: the inverse of H made explicitly (Gauss-Jordan), a column of it taken out after each weight (OBQ), for formats of all kinds of scales. Beside it
 * that no row is left with a larger error than its nearest values have, and the sums that go in. */
#include "test/unit/nn_util.h"

#include "core/nn/fit_impl.h"
#include "core/run/config.h"
#include "kernels/canon.h"

static const char *const formats[] = {
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 8, \"format\": \"F16\"}, \"fit\": \"gptq\"}",
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 32}, \"fit\": \"gptq\"}",
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"channel\"}, \"fit\": \"gptq\"}",
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"tensor\"}, \"fit\": \"gptq\"}",
    "{\"codec\": {\"name\": \"FIXED\", \"bits\": 3, \"frac\": 0}, \"scale\": {\"per\": \"block\", \"block\": 16}, \"fit\": {\"method\": "
    "\"gptq\", \"damp\": 0.1}}",
    "{\"codec\": \"I2\", \"scale\": {\"per\": \"block\", \"block\": 16, \"rule\": \"mse\", \"format\": \"F16\"}, \"fit\": \"gptq\"}",
    "{\"codec\": \"U4\", \"scale\": {\"per\": \"block\", \"block\": 16, \"rule\": \"asymmetric\", \"format\": \"F16\"}, \"fit\": \"gptq\"}",
    "{\"codec\": \"U4\", \"scale\": {\"per\": \"channel\", \"rule\": \"asymmetric\"}, \"fit\": \"gptq\"}",
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 32, \"rule\": \"floor\", \"format\": \"F8_E8M0\"}, \"fit\": \"gptq\"}",
    "{\"codec\": \"F4\", \"scale\": {\"per\": \"block\", \"block\": 16, \"format\": {\"codec\": \"F8_E4M3\", \"scale\": {\"per\": "
    "\"tensor\"}}}, \"fit\": \"gptq\"}",
    "{\"codec\": \"NF4\", \"scale\": {\"per\": \"block\", \"block\": 64}, \"fit\": \"gptq\"}",
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 8}, \"fit\": {\"method\": \"gptq\", \"order\": \"activation\"}}",
    "{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 8}, \"rounding\": \"toward_zero\", \"fit\": \"gptq\"}",
    "{\"codec\": \"F8_E4M3\", \"fit\": \"gptq\"}",
    "{\"codec\": \"F16\", \"fit\": \"gptq\"}",
    "{\"codec\": \"U8\", \"scale\": {\"multiply\": 127.5, \"add\": 1}, \"fit\": \"gptq\"}"};

static const struct {
    size_t rows, k, samples;
} sizes[] = {{1, 1, 3}, {5, 9, 4}, {16, 40, 100}, {17, 45, 20}, {33, 100, 300}};

/* ---- What is fitted ---- */

struct opened {
    struct lb_format_config config;
    struct lb_format *f;
};

static void open_text(const char *text, struct opened *o)
{
    struct lb_err err = {0};
    *o = (struct opened){0};
    cr_assert(!lb_config_format(text, NULL, &o->config, &err) && !lb_format_create(&o->config, &o->f, &err), "%s: %s", text, err.text);
}

static void close_text(struct opened *o)
{
    lb_format_destroy(o->f);
    lb_config_format_finish(&o->config);
}

static float normal(uint32_t stream, uint64_t i)
{
    float sum = -6;
    for (uint32_t k = 0; k < 3; k++) {
        const canon_words r = canon_random64(7, stream + k, i);
        sum += canon_unit(r.w[0]) + canon_unit(r.w[1]) + canon_unit(r.w[2]) + canon_unit(r.w[3]);
    }
    return sum;
}

/* Inputs that hang together: each half of the one before it. Column 3 is always 0. */
static void make_inputs(float *x, size_t n, size_t k, uint32_t stream)
{
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < k; i++)
            x[r * k + i] = normal(stream, r * k + i) * (1 + (float)(i % 5)) + (i ? x[r * k + i - 1] / 2 : 0);
    for (size_t r = 0; r < n && k > 3; r++)
        x[r * k + 3] = 0;
}

/* ---- The textbook ---- */

/* h (k, k) becomes its inverse. */
static void invert(double *h, size_t k)
{
    double *both = keep(2 * k * k, sizeof *both);
    for (size_t i = 0; i < k; i++) {
        memcpy(both + 2 * i * k, h + i * k, k * sizeof *h);
        both[2 * i * k + k + i] = 1;
    }
    for (size_t p = 0; p < k; p++) {
        const double pivot = both[2 * p * k + p];
        for (size_t j = 0; j < 2 * k; j++)
            both[2 * p * k + j] /= pivot;
        for (size_t i = 0; i < k; i++) {
            const double a = i == p ? 0 : both[2 * i * k + p];
            for (size_t j = 0; j < 2 * k && a != 0; j++)
                both[2 * i * k + j] -= a * both[2 * p * k + j];
        }
    }
    for (size_t i = 0; i < k; i++)
        memcpy(h + i * k, both + 2 * i * k + k, k * sizeof *h);
}

struct textbook {
    const struct lb_format *f;
    const struct lb_groups *g;
    const float *w;
    const double *products;
    double *now; /* (rows, k) weights as they are moved */
    float *v;    /* (rows, k) what is stored is worth */
    struct lb_scales scales;
};

static size_t scale_of(const struct lb_groups *g, size_t row, size_t col)
{
    return g->per_row ? row * g->per_row + col / g->block : 0;
}

static int depends_on_others(const struct lb_format *f)
{
    return f->config->per != LB_PER_BLOCK || f->config->fit.order == LB_FIT_ACTIVATION || f->scale->config->rule != LB_SCALE_NONE;
}

/* Scales of the block that begins at `col`, in all rows. */
static void block_scales(struct textbook *t, size_t col)
{
    struct lb_err err = {0};
    const size_t k = t->g->cols, n = k - col < t->g->block ? k - col : t->g->block;
    const struct lb_groups g = {.rows = t->g->rows, .cols = n, .block = n, .per_row = 1, .n = t->g->rows};
    struct lb_scales part = {0};
    float *x = keep(g.rows * n, sizeof *x);
    for (size_t r = 0; r < g.rows; r++)
        for (size_t i = 0; i < n; i++)
            x[r * n + i] = (float)t->now[r * k + col + i];
    cr_assert_eq(lb_scales_make(t->f, &g, x, &part, &err), 0, "%s", err.text);
    for (size_t r = 0; r < g.rows; r++) {
        t->scales.s[scale_of(t->g, r, col)] = part.s[r];
        if (part.zeros)
            t->scales.zeros[scale_of(t->g, r, col)] = part.zeros[r];
    }
    lb_scales_finish(&part);
}

static float stored(const struct textbook *t, size_t row, size_t col, float x)
{
    const struct lb_encode how = {.rounding = t->f->config->rounding, .overflow = t->f->config->overflow};
    const size_t at = scale_of(t->g, row, col);
    const float s = t->scales.s ? t->scales.s[at] : 1, z = t->scales.zeros ? t->scales.zeros[at] : 0;
    unsigned char code[8] = {0};
    float in = lb_scale_into(t->f, x, s, z), out;
    lb_encode_f32(t->f->coder, &how, &in, 1, code);
    lb_decode_f32(t->f->coder, code, 1, &out);
    return lb_scale_out(t->f, out, s, z);
}

/* The columns, the largest product first where the format says so. */
static size_t next_column(const struct textbook *t, const unsigned char *done)
{
    size_t best = 0;
    while (done[best])
        best++;
    for (size_t i = best + 1; i < t->g->cols && t->f->config->fit.order == LB_FIT_ACTIVATION; i++)
        if (!done[i] && t->products[i * t->g->cols + i] > t->products[best * t->g->cols + best])
            best = i;
    return best;
}

static void run_textbook(struct textbook *t, size_t *order)
{
    struct lb_err err = {0};
    const size_t k = t->g->cols, rows = t->g->rows;
    double *inverse = keep(k * k, sizeof *inverse), mean = 0;
    unsigned char *done = keep(k, 1);
    memcpy(inverse, t->products, k * k * sizeof *inverse);
    for (size_t i = 0; i < k; i++)
        mean += inverse[i * k + i] / (double)k;
    for (size_t i = 0; i < k; i++)
        inverse[i * k + i] += mean > 0 ? t->f->config->fit.damp * mean : 1;
    invert(inverse, k);
    for (size_t i = 0; i < rows * k; i++)
        t->now[i] = (double)t->w[i];
    if (t->f->scale)
        cr_assert_eq(lb_scales_make(t->f, t->g, t->w, &t->scales, &err), 0, "%s", err.text);
    for (size_t step = 0; step < k; step++) {
        const size_t j = order[step] = next_column(t, done);
        done[j] = 1;
        if (t->f->scale && !depends_on_others(t->f) && j % t->g->block == 0)
            block_scales(t, j);
        const double pivot = inverse[j * k + j];
        for (size_t r = 0; r < rows; r++) {
            t->v[r * k + j] = stored(t, r, j, (float)t->now[r * k + j]);
            const double error = (t->now[r * k + j] - (double)t->v[r * k + j]) / pivot;
            for (size_t i = 0; i < k; i++)
                if (!done[i])
                    t->now[r * k + i] -= error * inverse[j * k + i];
        }
        for (size_t a = 0; a < k; a++) /* column j leaves the problem */
            for (size_t b = 0; b < k; b++)
                if (!done[a] && !done[b])
                    inverse[a * k + b] -= inverse[a * k + j] * inverse[j * k + b] / pivot;
    }
}

/* ---- Both ---- */

struct counts {
    size_t codes, ties, rows, kept; /* kept: rows of nearest values */
};

/* The error that row `row` of v leaves. */
static double error_of(const struct lb_gptq *q, const double *products, const float *v, size_t row)
{
    const size_t k = q->g->cols;
    const float *w = q->w + row * k;
    double error = 0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            error += ((double)w[i] - (double)v[row * k + i]) * products[i * k + j] * ((double)w[j] - (double)v[row * k + j]);
    return error;
}

/* What `near` becomes by scales. */
static float *store_all(const struct lb_gptq *q, const float *near, const struct lb_scales *scales)
{
    const struct textbook t = {.f = q->f, .g = q->g, .scales = *scales};
    const size_t k = q->g->cols;
    float *v = keep(q->g->rows * k, sizeof *v);
    for (size_t i = 0; i < q->g->rows * k; i++)
        v[i] = stored(&t, i / k, i % k, near[i]);
    return v;
}

/* One row, in the order of the columns, up to the first code that differs: there the target must be as good as half way between. */
static void compare_row(const char *text, const struct textbook *t, const size_t *order, const struct lb_gptq *q, const float *v, size_t r,
                        struct counts *n)
{
    const size_t k = t->g->cols;
    for (size_t step = 0; step < k; step++) {
        const size_t at = r * k + order[step];
        const double now = t->now[at], near = (double)q->near[at], gap = fabs((double)v[at] - (double)t->v[at]);
        n->codes++;
        cr_assert(fabs(now - near) <= 1e-5 * (1 + fabs(now)), "%s: %zux%zu, row %zu, step %zu: target %.9g, found %.9g", text, t->g->rows,
                  k, r, step, now, near);
        if (gap <= 1e-5 * fabs((double)v[at]))
            continue;
        cr_assert(fabs(fabs(near - (double)v[at]) - fabs(near - (double)t->v[at])) <= 1e-4 * gap || t->f->config->rounding != LB_NEAREST,
                  "%s: row %zu, step %zu: %.9g became %.9g, found %.9g", text, r, step, now, (double)t->v[at], (double)v[at]);
        n->ties++;
        return;
    }
}

static void compare(const char *text, const struct textbook *t, const size_t *order, const struct lb_gptq *q, struct counts *n)
{
    struct lb_err err = {0};
    struct lb_scales plain = {0};
    const size_t k = q->g->cols;
    if (q->f->scale)
        cr_assert_eq(lb_scales_make(q->f, q->g, q->w, &plain, &err), 0, "%s", err.text);
    const float *v = store_all(q, q->near, q->scales), *nearest = store_all(q, q->w, &plain);
    for (size_t r = 0; r < q->g->rows; r++) {
        const double fitted = error_of(q, t->products, t->v, r), least = error_of(q, t->products, nearest, r);
        n->rows++;
        if (fitted <= least * (1 - 1e-9)) {
            compare_row(text, t, order, q, v, r, n);
        } else if (fitted > least * (1 + 1e-9)) {
            n->kept++;
            cr_assert(!memcmp(v + r * k, nearest + r * k, k * sizeof *v), "%s: row %zu: fitted to error %.9g, that of the nearest is %.9g",
                      text, r, error_of(q, t->products, v, r), least);
        }
    }
    lb_scales_finish(&plain);
}

/* What is stored is what was fitted: codes of `near`, and those of the scales. */
static void check_stored(const char *text, const struct lb_gptq *q, const size_t *shape)
{
    struct lb_err err = {0};
    struct lb_safetensors st = {0};
    const float *want = store_all(q, q->near, q->scales);
    float *found = keep(shape[0] * shape[1], sizeof *found);
    cr_assert(!lb_format_encode_near(q->f, "w", q->w, q->near, q->scales, 2, shape, &st, NULL, &err) &&
                  !lb_format_decode(&st, "w", found, shape[0] * shape[1], &err),
              "%s: %s", text, err.text);
    cr_expect(!memcmp(found, want, shape[0] * shape[1] * sizeof *want), "%s: %zux%zu: other weights are stored", text, shape[0], shape[1]);
    lb_safetensors_finish(&st);
}

static void check_one(const char *text, size_t size, const struct lb_host *host, struct counts *n)
{
    struct lb_err err = {0};
    struct opened o;
    const size_t rows = sizes[size].rows, k = sizes[size].k, samples = sizes[size].samples, shape[2] = {rows, k};
    const struct lb_layer layer = {.type = LB_DENSE, .in = k, .out = rows};
    float *x = keep(samples * k, sizeof *x), *w = keep(rows * k, sizeof *w);
    double *products = keep(k * k, sizeof *products), *work = keep(k * k, sizeof *work);
    size_t *order = keep(k, sizeof *order);
    struct lb_fit_inputs in;
    struct lb_groups g;
    struct lb_scales scales = {0};
    open_text(text, &o);
    make_inputs(x, samples, k, 10 + (uint32_t)size);
    for (size_t i = 0; i < rows * k; i++)
        w[i] = normal(900 + (uint32_t)size, i) / 8;
    lb_fit_inputs_init(&layer, host, x, samples, &in);
    cr_assert(!lb_fit_products(&in, products, &err) && !lb_groups_of(o.f, 2, shape, &g, &err), "%s", err.text);
    memcpy(work, products, k * k * sizeof *work);
    const struct lb_gptq q = {
        .f = o.f, .g = &g, .host = host, .w = w, .products = work, .near = keep(rows * k, sizeof(float)), .scales = &scales};
    cr_assert_eq(lb_fit_gptq(&q, &err), 0, "%s: %s", text, err.text);
    struct textbook t = {
        .f = o.f, .g = &g, .w = w, .products = products, .now = keep(rows * k, sizeof(double)), .v = keep(rows * k, sizeof(float))};
    run_textbook(&t, order);
    compare(text, &t, order, &q, n);
    check_stored(text, &q, shape);
    lb_scales_finish(&t.scales);
    lb_scales_finish(&scales);
    close_text(&o);
}

Test(fit_gptq, textbook)
{
    struct counts n = {0};
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    for (size_t i = 0; i < COUNT(formats); i++)
        for (size_t size = 0; size < COUNT(sizes); size++) {
            const size_t had = held.n;
            check_one(formats[i], size, &d->host, &n);
            while (held.n > had)
                lb_free(held.p[--held.n]);
        }
    cr_expect(n.codes > 50000 && n.ties < n.codes / 1000, "%zu near ties in %zu codes", n.ties, n.codes);
    cr_expect(n.kept > 0 && n.kept < n.rows / 20, "%zu of %zu rows are better as they were", n.kept, n.rows);
    drop_all();
}

/* ---- Sums ---- */

static const struct {
    struct lb_conv s; /* n: samples; all zero: a dense layer */
    size_t samples, in;
} shapes[] = {{{0}, 1, 1},
              {{0}, 37, 19},
              {{0}, 70, 300},
              {{.c = 1, .h = 5, .w = 4, .o = 2, .kh = 3, .kw = 3, .stride = 1, .pad = 0, .oh = 3, .ow = 2}, 3, 20},
              {{.c = 3, .h = 7, .w = 6, .o = 2, .kh = 3, .kw = 2, .stride = 2, .pad = 2, .oh = 5, .ow = 5}, 5, 126}};

/* Input i of row r, found element by element. */
static double input_at(size_t shape, const float *x, size_t r, size_t i)
{
    const struct lb_conv *s = &shapes[shape].s;
    if (!s->c)
        return (double)x[r * shapes[shape].in + i];
    const size_t places = s->oh * s->ow, c = i / (s->kh * s->kw);
    const long y = (long)(r % places / s->ow * s->stride + i / s->kw % s->kh) - (long)s->pad,
               col = (long)(r % s->ow * s->stride + i % s->kw) - (long)s->pad;
    if (y < 0 || y >= (long)s->h || col < 0 || col >= (long)s->w)
        return 0;
    return (double)x[r / places * shapes[shape].in + (c * s->h + (size_t)y) * s->w + (size_t)col];
}

static void check_sums(size_t shape, const struct lb_host *host)
{
    struct lb_err err = {0};
    const struct lb_conv *s = &shapes[shape].s;
    const struct lb_layer layer = {.type = s->c ? LB_CONV2D : LB_DENSE, .in = shapes[shape].in, .conv = *s};
    float *x = keep(shapes[shape].samples * layer.in, sizeof *x);
    struct lb_fit_inputs in;
    make_inputs(x, shapes[shape].samples, layer.in, 50 + (uint32_t)shape);
    lb_fit_inputs_init(&layer, host, x, shapes[shape].samples, &in);
    cr_assert(in.k == (s->c ? s->c * s->kh * s->kw : layer.in) && in.rows == shapes[shape].samples * (s->c ? s->oh * s->ow : 1));
    double *products = keep(in.k * in.k, sizeof *products), *mean = keep(in.k, sizeof *mean), *h = keep(in.k * in.k, sizeof *h);
    cr_assert(!lb_fit_products(&in, products, &err) && !lb_fit_means(&in, mean, &err), "%s", err.text);
    for (size_t i = 0; i < in.k; i++) {
        double sum = 0;
        for (size_t r = 0; r < in.rows; r++)
            sum += input_at(shape, x, r, i);
        cr_assert(mean[i] == sum / (double)in.rows, "shape %zu, mean %zu: %.17g, expected %.17g", shape, i, mean[i], sum / (double)in.rows);
        for (size_t j = 0; j < in.k; j++) {
            sum = 0;
            for (size_t r = 0; r < in.rows; r++)
                sum += input_at(shape, x, r, i) * input_at(shape, x, r, j);
            cr_assert(products[i * in.k + j] == sum, "shape %zu, product %zu %zu: %.17g, expected %.17g", shape, i, j,
                      products[i * in.k + j], sum);
        }
    }
    for (size_t i = 0; i < in.k; i++)
        products[i * in.k + i] += 1;
    memcpy(h, products, in.k * in.k * sizeof *h);
    cr_assert_eq(lb_fit_factor(h, in.k, host, &err), 0, "%s", err.text);
    for (size_t j = 0; j < in.k; j++) /* L^T L */
        for (size_t i = 0; i <= j; i++) {
            double sum = 0;
            for (size_t r = j; r < in.k; r++)
                sum += h[r * in.k + j] * h[r * in.k + i];
            cr_assert(fabs(sum - products[j * in.k + i]) <= 1e-12 * sqrt(products[j * in.k + j] * products[i * in.k + i]),
                      "shape %zu, factor %zu %zu", shape, j, i);
        }
}

Test(fit_gptq, sums)
{
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    for (size_t i = 0; i < COUNT(shapes); i++)
        check_sums(i, &d->host);
    drop_all();
}

/* The factor is made in panels and pieces; each element's sum is that of the plain loop, whatever the size. */
Test(fit_gptq, factor_bits)
{
    static const size_t many[] = {1, 7, 8, 9, 255, 257, 300};
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    for (size_t c = 0; c < COUNT(many); c++) {
        struct lb_err err = {0};
        const size_t k = many[c];
        double *h = keep(k * k, sizeof *h), *plain = keep(k * k, sizeof *plain);
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j <= i; j++)
                h[i * k + j] = plain[i * k + j] = i == j ? (double)k : (double)normal(300, i * k + j) / 8;
        cr_assert_eq(lb_fit_factor(h, k, &d->host, &err), 0, "%s", err.text);
        for (size_t j = k; j-- > 0;) {
            for (size_t r = k; r-- > j + 1;)
                for (size_t i = 0; i <= j; i++)
                    plain[j * k + i] -= plain[r * k + j] * plain[r * k + i];
            plain[j * k + j] = sqrt(plain[j * k + j]);
            for (size_t i = 0; i < j; i++)
                plain[j * k + i] /= plain[j * k + j];
        }
        for (size_t i = 0; i < k; i++)
            cr_assert(!memcmp(h + i * k, plain + i * k, (i + 1) * sizeof *h), "%zu: row %zu", k, i);
    }
    drop_all();
}

Test(fit_gptq, not_positive)
{
    struct lb_err err = {0};
    double h[4] = {1, 0, 2, 1};
    load_plugins();
    struct lb_dev *d = open_device("cpu_ref", ~0u);
    cr_expect(lb_fit_factor(h, 2, &d->host, &err) && strstr(err.text, "not positive definite"), "%s", err.text);
    drop_all();
}
