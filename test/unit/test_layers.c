/* SPDX-License-Identifier: MIT */
/* Every op of a backend against PyTorch's results in binary64 (test/data/nn), which no kernel of ours had a hand in. */
#include "test/unit/nn_util.h"

/* Rounding to binary32 changes a value by at most U of it, or by TINY below 2^-126. A sum of K products, in whatever order and fused
 * or not, is off by at most K U times the sum of the magnitudes (to first order; the bias and the second order get four more). So
 * each bound here is a small count of roundings, times U, times the sum of the magnitudes that were added up. */
#define U    0x1p-24
#define TINY 0x1p-148

/* |got - want| <= roundings U magnitude, element by element. */
static void compare(const char *what, const float *got, const double *want, const double *magnitude, size_t n, double roundings)
{
    size_t wrong = 0, worst = 0;
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double share = fabs((double)got[i] - want[i]) / (roundings * U * magnitude[i] + TINY);
        wrong += !(share <= 1);
        if (!(share <= most)) {
            most = share;
            worst = i;
        }
    }
    cr_expect_eq(wrong, 0, "%s: %zu of %zu are off, most of all [%zu]: expected %.17g, got %.9g, %.2f times the bound", what, wrong, n,
                 worst, want[worst], (double)got[worst], most);
}

/* ---- Dense and convolution ---- */

/* Sums of the magnitudes of all that is added up in y, dx, dw and db; a dense layer is a convolution of one pixel. */
struct magnitudes {
    double *y, *dx, *dw, *db;
};

static struct magnitudes magnitudes_of(const struct lb_conv *s, const float *x, const float *w, const float *bias, const float *dy)
{
    const size_t ny = s->n * s->o * s->oh * s->ow, nw = s->o * s->c * s->kh * s->kw;
    struct magnitudes m = {keep(ny, sizeof(double)), keep(s->n * s->c * s->h * s->w, sizeof(double)), keep(nw, sizeof(double)),
                           keep(s->o, sizeof(double))};
    for (size_t i = 0; i < ny; i++) {
        const size_t ox = i % s->ow, oy = i / s->ow % s->oh, o = i / s->ow / s->oh % s->o, n = i / s->ow / s->oh / s->o;
        const double d = fabs((double)dy[i]);
        m.y[i] = fabs((double)bias[o]);
        m.db[o] += d;
        for (size_t k = 0; k < s->c * s->kh * s->kw; k++) {
            const size_t kx = k % s->kw, ky = k / s->kw % s->kh, c = k / s->kw / s->kh;
            const size_t row = oy * s->stride + ky, col = ox * s->stride + kx;
            if (row < s->pad || row - s->pad >= s->h || col < s->pad || col - s->pad >= s->w)
                continue;
            const size_t at = ((n * s->c + c) * s->h + row - s->pad) * s->w + col - s->pad, tap = o * s->c * s->kh * s->kw + k;
            m.y[i] += fabs((double)x[at] * (double)w[tap]);
            m.dx[at] += d * fabs((double)w[tap]);
            m.dw[tap] += d * fabs((double)x[at]);
        }
    }
    return m;
}

static void linear_layer(struct lb_dev *d, const char *file, const struct lb_conv *s, int dense)
{
    struct lb_err err = {0};
    char what[100];
    const struct lb_safetensors *st = open_dump(file);
    const size_t positions = s->oh * s->ow, nx = s->n * s->c * s->h * s->w, ny = s->n * s->o * positions, taps = s->kh * s->kw;
    const size_t nw = s->o * s->c * taps;
    const float *x = dumped_f32(st, "x"), *w = dumped_f32(st, "weight"), *bias = dumped_f32(st, "bias"), *dy = dumped_f32(st, "dy");
    cr_assert(dumped(st, "x", LB_F32)->elems == nx && dumped(st, "y", LB_F64)->elems == ny && dumped(st, "dweight", LB_F64)->elems == nw,
              "%s", file);
    const struct magnitudes m = magnitudes_of(s, x, w, bias, dy);
    const struct lb_ref rx = on_device(d, x, nx), rw = on_device(d, w, nw), rb = on_device(d, bias, s->o), rdy = on_device(d, dy, ny);
    const struct lb_ref y = on_device(d, NULL, ny), dx = on_device(d, NULL, nx), dw = on_device(d, NULL, nw), db = on_device(d, NULL, s->o);
    const struct lb_gemm forward = {.a = rx, .b = rw, .bias = rb, .c = y, .m = s->n, .n = s->o, .k = s->c, .trans_b = 1};
    const struct lb_gemm down = {.a = rdy, .b = rw, .c = dx, .m = s->n, .n = s->c, .k = s->o};
    const struct lb_gemm weights = {.a = rdy, .b = rx, .c = dw, .m = s->o, .n = s->c, .k = s->n, .trans_a = 1};
    const struct lb_conv2d conv = {.x = rx, .w = rw, .bias = rb, .y = y, .s = *s};
    const struct lb_conv2d_grad conv_dx = {.w = rw, .dy = rdy, .out = dx, .s = *s}, conv_dw = {.x = rx, .dy = rdy, .out = dw, .s = *s};
    const struct lb_bias_grad sum = {.dy = rdy, .db = db, .n = s->n, .c = s->o, .p = positions};
    const int r = dense ? LB_RUN(d, gemm, &forward, &err) || LB_RUN(d, gemm, &down, &err) || LB_RUN(d, gemm, &weights, &err)
                        : LB_RUN(d, conv2d, &conv, &err) || LB_RUN(d, conv2d_dx, &conv_dx, &err) || LB_RUN(d, conv2d_dw, &conv_dw, &err);
    cr_assert(!r && !LB_RUN(d, bias_grad, &sum, &err), "%s", err.text);
    const struct {
        const char *name;
        struct lb_ref at;
        const double *magnitude;
        size_t n, terms;
    } out[] = {{"y", y, m.y, ny, s->c * taps},
               {"dx", dx, m.dx, nx, s->o * taps},
               {"dweight", dw, m.dw, nw, s->n * positions},
               {"dbias", db, m.db, s->o, s->n * positions}};
    for (size_t i = 0; i < COUNT(out); i++) {
        snprintf(what, sizeof what, "%s: %s: %s", d->ops->base.name, file, out[i].name);
        compare(what, from_device(d, out[i].at, out[i].n), dumped_f64(st, out[i].name), out[i].magnitude, out[i].n,
                (double)out[i].terms + 4);
    }
}

static void linear_layers(struct lb_dev *d)
{
    static const struct {
        const char *file;
        struct lb_conv s;
    } conv[] = {{"conv2d_s1p0", {3, 2, 9, 8, 4, 3, 2, 1, 0, 7, 7}},
                {"conv2d_s1p1", {3, 2, 5, 7, 4, 3, 3, 1, 1, 5, 7}},
                {"conv2d_s2p0", {3, 2, 9, 11, 4, 2, 3, 2, 0, 4, 5}},
                {"conv2d_s2p1", {3, 2, 8, 7, 4, 3, 2, 2, 1, 4, 4}}};
    linear_layer(d, "dense", &(struct lb_conv){7, 13, 1, 1, 5, 1, 1, 1, 0, 1, 1}, 1);
    for (size_t i = 0; i < COUNT(conv); i++)
        linear_layer(d, conv[i].file, &conv[i].s, 0);
}

/* ---- Activations ---- */

enum { ROWS = 6, COLS = 11, N = ROWS * COLS };

/* y (1 - y) and 1 - y^2 are differences: what is lost is relative to the sum of their parts. */
static double grad_parts(uint32_t act, double alpha, double y)
{
    switch (act) {
    case LB_RELU:
        return y > 0;
    case LB_SCALED_RELU:
        return y > 0 ? alpha : 0;
    case LB_SIGMOID:
        return y + y * y;
    default:
        return 1 + y * y;
    }
}

static void activation(struct lb_dev *d, const struct lb_safetensors *st, const char *name, uint32_t act)
{
    struct lb_err err = {0};
    char want[40], what[100];
    double magnitude[N];
    float y_in[N];
    const float *dy = dumped_f32(st, "dy");
    const struct lb_ref x = on_device(d, dumped_f32(st, "x"), N), y = on_device(d, NULL, N), rdy = on_device(d, dy, N),
                        dx = on_device(d, NULL, N);
    snprintf(want, sizeof want, "%s.y", name);
    snprintf(what, sizeof what, "%s: %s", d->ops->base.name, want);
    const double *y64 = dumped_f64(st, want);
    for (size_t i = 0; i < N; i++) {
        magnitude[i] = fabs(y64[i]);
        y_in[i] = (float)y64[i];
    }
    const struct lb_act_op forward = {.x = x, .y = y, .n = N, .act = act, .alpha = 1.1f};
    cr_assert(!LB_RUN(d, act, &forward, &err), "%s", err.text);
    /* canon.h promises an ulp: two roundings */
    compare(what, from_device(d, y, N), y64, magnitude, N, act == LB_RELU ? 0 : act == LB_SCALED_RELU ? 1 : 2);

    /* From PyTorch's y, rounded once; its gradient is that of the y before. */
    const struct lb_act_op apart = {.y = on_device(d, y_in, N), .dy = rdy, .dx = dx, .n = N, .act = act, .alpha = 1.1f};
    struct lb_act_op in_place = apart;
    in_place.dx = rdy;
    snprintf(want, sizeof want, "%s.dx", name);
    snprintf(what, sizeof what, "%s: %s", d->ops->base.name, want);
    for (size_t i = 0; i < N; i++)
        magnitude[i] = fabs((double)dy[i]) * grad_parts(act, (double)1.1f, y64[i]);
    cr_assert(!LB_RUN(d, act_grad, &apart, &err) && !LB_RUN(d, act_grad, &in_place, &err), "%s", err.text);
    compare(what, from_device(d, dx, N), dumped_f64(st, want), magnitude, N, act == LB_RELU ? 0 : 4);
    cr_expect_arr_eq(from_device(d, dx, N), from_device(d, rdy, N), N * sizeof(float), "%s: in place", what);
}

/* The share of softmax's rounding that comes from its exponents: those x - max lose U |x - max|, and a sum loses what its terms lose. */
static double exponents(const float *x, size_t n, size_t j)
{
    double max = (double)x[0], sum = 0, lost = 0;
    for (size_t i = 1; i < n; i++)
        max = fmax(max, (double)x[i]);
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)x[i] - max);
        lost += exp((double)x[i] - max) * (max - (double)x[i]);
    }
    return max - (double)x[j] + lost / sum;
}

static void softmax(struct lb_dev *d, const struct lb_safetensors *st)
{
    struct lb_err err = {0};
    char what[100];
    double magnitude[N];
    float y_in[N];
    const float *x = dumped_f32(st, "x"), *dy = dumped_f32(st, "dy");
    const double *y64 = dumped_f64(st, "softmax.y");
    for (size_t i = 0; i < N; i++) {
        magnitude[i] = y64[i] * (exponents(x + i / COLS * COLS, COLS, i % COLS) + COLS + 6);
        y_in[i] = (float)y64[i];
    }
    const struct lb_softmax forward = {.x = on_device(d, x, N), .y = on_device(d, NULL, N), .rows = ROWS, .cols = COLS};
    const struct lb_softmax grad = {
        .y = on_device(d, y_in, N), .dy = on_device(d, dy, N), .dx = on_device(d, NULL, N), .rows = ROWS, .cols = COLS};
    cr_assert(!LB_RUN(d, softmax, &forward, &err) && !LB_RUN(d, softmax_grad, &grad, &err), "%s", err.text);
    snprintf(what, sizeof what, "%s: softmax.y", d->ops->base.name);
    compare(what, from_device(d, forward.y, N), y64, magnitude, N, 1);
    for (size_t i = 0; i < N; i++) {
        double sum = fabs((double)dy[i]);
        for (size_t j = 0; j < COLS; j++)
            sum += fabs((double)dy[i / COLS * COLS + j]) * y64[i / COLS * COLS + j];
        magnitude[i] = y64[i] * sum;
    }
    snprintf(what, sizeof what, "%s: softmax.dx", d->ops->base.name);
    compare(what, from_device(d, grad.dx, N), dumped_f64(st, "softmax.dx"), magnitude, N, COLS + 4);
}

/* An activation in the same op as the product is the activation of the product. */
static void fused(struct lb_dev *d, const struct lb_safetensors *st)
{
    struct lb_err err = {0};
    const struct lb_ref x = on_device(d, dumped_f32(st, "x"), N), w = on_device(d, dumped_f32(st, "dy"), N);
    const struct lb_ref bias = on_device(d, (const float[ROWS]){0.5f, -1, 2, 0, -3, 1e-3f}, ROWS);
    for (uint32_t act = LB_LINEAR; act <= LB_TANH; act++)
        for (int conv = 0; conv < 2; conv++) {
            const struct lb_ref sum = on_device(d, NULL, ROWS * ROWS), want = on_device(d, NULL, ROWS * ROWS),
                                got = on_device(d, NULL, ROWS * ROWS);
            const struct lb_act_op apart = {.x = sum, .y = want, .n = ROWS * ROWS, .act = act, .alpha = 1.1f};
            struct lb_gemm g = {.a = x, .b = w, .bias = bias, .c = sum, .m = ROWS, .n = ROWS, .k = COLS, .trans_b = 1};
            struct lb_conv2d c = {.x = x, .w = w, .bias = bias, .y = sum, .s = {ROWS, 1, 1, COLS, ROWS, 1, COLS, 1, 0, 1, 1}};
            int r = conv ? LB_RUN(d, conv2d, &c, &err) : LB_RUN(d, gemm, &g, &err);
            g.c = c.y = got;
            g.act = c.act = act;
            g.alpha = c.alpha = 1.1f;
            r = r || LB_RUN(d, act, &apart, &err) || (conv ? LB_RUN(d, conv2d, &c, &err) : LB_RUN(d, gemm, &g, &err));
            cr_assert(!r, "%s", err.text);
            cr_expect_arr_eq(from_device(d, got, ROWS * ROWS), from_device(d, want, ROWS * ROWS), ROWS * ROWS * sizeof(float),
                             "%s: %s with activation %u", d->ops->base.name, conv ? "conv2d" : "gemm", act);
        }
}

static void activations(struct lb_dev *d)
{
    const struct lb_safetensors *st = open_dump("activations");
    activation(d, st, "relu", LB_RELU);
    activation(d, st, "scaled_relu", LB_SCALED_RELU);
    activation(d, st, "sigmoid", LB_SIGMOID);
    activation(d, st, "tanh", LB_TANH);
    softmax(d, st);
    fused(d, st);
}

/* ---- Losses ---- */

enum { LOSS_ROWS = 6, LOSS_COLS = 10, LOSS_N = LOSS_ROWS * LOSS_COLS };

static void run_loss(struct lb_dev *d, const char *name, const double *loss_magnitude, const double *dx_magnitude, double roundings)
{
    struct lb_err err = {0};
    char want[40], what[100];
    const struct lb_safetensors *st = open_dump("losses");
    const struct lb_loss op = {.x = on_device(d, dumped_f32(st, "x"), LOSS_N),
                               .labels = on_device(d, dumped_i32(st, "labels"), LOSS_ROWS),
                               .loss = on_device(d, NULL, LOSS_ROWS),
                               .dx = on_device(d, NULL, LOSS_N),
                               .rows = LOSS_ROWS,
                               .cols = LOSS_COLS,
                               .reduction = strcmp(name, "mse_half") ? LB_MEAN : LB_HALF};
    cr_assert(!(strcmp(name, "cross_entropy") ? LB_RUN(d, mse, &op, &err) : LB_RUN(d, cross_entropy, &op, &err)), "%s", err.text);
    snprintf(want, sizeof want, "%s.loss", name);
    snprintf(what, sizeof what, "%s: %s", d->ops->base.name, want);
    compare(what, from_device(d, op.loss, LOSS_ROWS), dumped_f64(st, want), loss_magnitude, LOSS_ROWS, roundings);
    snprintf(want, sizeof want, "%s.dx", name);
    snprintf(what, sizeof what, "%s: %s", d->ops->base.name, want);
    compare(what, from_device(d, op.dx, LOSS_N), dumped_f64(st, want), dx_magnitude, LOSS_N, roundings);
}

/* log(sum) - (x - max): an error of the sum is absolute in its logarithm. The gradient is p - 1 at the label. */
static void cross_entropy(struct lb_dev *d)
{
    const struct lb_safetensors *st = open_dump("losses");
    const float *x = dumped_f32(st, "x");
    const int32_t *labels = dumped_i32(st, "labels");
    double of_loss[LOSS_ROWS], of_dx[LOSS_N];
    for (size_t r = 0; r < LOSS_ROWS; r++) {
        const float *row = x + r * LOSS_COLS;
        double max = (double)row[0], sum = 0;
        for (size_t j = 0; j < LOSS_COLS; j++)
            max = fmax(max, (double)row[j]);
        for (size_t j = 0; j < LOSS_COLS; j++)
            sum += exp((double)row[j] - max);
        of_loss[r] = 4 * log(sum) + exponents(row, LOSS_COLS, (size_t)labels[r]) + LOSS_COLS + 4;
        for (size_t j = 0; j < LOSS_COLS; j++)
            of_dx[r * LOSS_COLS + j] =
                (exp((double)row[j] - max) / sum * (exponents(row, LOSS_COLS, j) + LOSS_COLS + 8) + 2 * (j == (size_t)labels[r])) /
                LOSS_ROWS;
    }
    run_loss(d, "cross_entropy", of_loss, of_dx, 1);
}

static void losses(struct lb_dev *d)
{
    const struct lb_safetensors *st = open_dump("losses");
    cross_entropy(d);
    const char *const mse[] = {"mse_mean", "mse_half"};
    for (size_t i = 0; i < COUNT(mse);
         i++) { /* all terms of the loss are positive, so it is its own magnitude; dx is a product of roundings */
        char of[40];
        snprintf(of, sizeof of, "%s.loss", mse[i]);
        const double *loss = dumped_f64(st, of);
        snprintf(of, sizeof of, "%s.dx", mse[i]);
        double *dx = dumped_f64(st, of);
        for (size_t j = 0; j < LOSS_N; j++)
            dx[j] = fabs(dx[j]);
        run_loss(d, mse[i], loss, dx, LOSS_COLS + 4);
    }
}

/* ---- Backends ---- */

static void all_ops(const char *backend, unsigned cpumask)
{
    static void (*const group[])(struct lb_dev *) = {linear_layers, activations, losses};
    load_plugins();
    for (size_t i = 0; i < COUNT(group); i++) {
        group[i](open_device(backend, cpumask));
        close_device();
    }
    drop_all();
}

Test(layers, cpu_ref)
{
    all_ops("cpu_ref", ~0u);
}

Test(layers, cpu_ref_plain_c)
{
    all_ops("cpu_ref", 0);
}

Test(layers, cpu_blas)
{
    all_ops("cpu_blas", ~0u);
}
