/* SPDX-License-Identifier: MIT */
/* rows_loss_body.h - the second half of rows_body.h: what goes along rows, softmax and the losses. VEC rows at a time have a lane each; a
 * segment of their columns lies turned in a tile. Missing rows are zeros. */

typedef float tile[SEGMENT][VEC];

struct block {
    size_t rows, cols;
    float max[VEC], sum[VEC];
    tile t;
};

static void load(tile t, const float *x, const struct block *b, size_t j0)
{
    const size_t n = least(SEGMENT, b->cols - j0);
    for (size_t j = 0; j < n; j += VEC) {
        vec r[VEC];
        for (size_t i = 0; i < VEC; i++)
            r[i] = i < b->rows ? get(x + i * b->cols + j0 + j, n - j) : vec_zero();
        vec_transpose(r);
        for (size_t i = 0; i < VEC; i++)
            vec_store(t[j + i], r[i]);
    }
}

static void store(const tile t, float *x, const struct block *b, size_t j0)
{
    const size_t n = least(SEGMENT, b->cols - j0);
    for (size_t j = 0; j < n; j += VEC) {
        vec r[VEC];
        for (size_t i = 0; i < VEC; i++)
            r[i] = vec_load(t[j + i]);
        vec_transpose(r);
        for (size_t i = 0; i < b->rows; i++)
            put(x + i * b->cols + j0 + j, n - j, r[i]);
    }
}

/* Rows of one segment stay in the tile from pass to pass. */
static void reload(tile t, const float *x, const struct block *b, size_t j0)
{
    if (b->cols > SEGMENT)
        load(t, x, b, j0);
}

static void keep(const tile t, float *x, const struct block *b, size_t j0)
{
    if (b->cols > SEGMENT)
        store(t, x, b, j0);
}

static void find_max(struct block *b, const float *x)
{
    vec m = vec_zero();
    for (size_t j0 = 0; j0 < b->cols; j0 += SEGMENT) {
        load(b->t, x, b, j0);
        m = j0 ? m : vec_load(b->t[0]);
        for (size_t j = 0; j < least(SEGMENT, b->cols - j0); j++) {
            const vec v = vec_load(b->t[j]);
            m = vec_select(vec_less(m, v), v, m);
        }
    }
    vec_store(b->max, m);
}

/* exp(x - max), kept in e, and the sum. */
static void exponentials(struct block *b, const float *x, float *e)
{
    vec total = vec_zero();
    find_max(b, x);
    for (size_t j0 = 0; j0 < b->cols; j0 += SEGMENT) {
        vec acc = vec_zero();
        reload(b->t, x, b, j0);
        for (size_t j = 0; j < least(SEGMENT, b->cols - j0); j++) {
            for (int lane = 0; lane < VEC; lane++)
                b->t[j][lane] = canon_exp(b->t[j][lane] - b->max[lane]);
            acc = vec_add(acc, vec_load(b->t[j]));
        }
        total = vec_add(total, acc);
        keep(b->t, e, b, j0);
    }
    vec_store(b->sum, total);
}

static void softmax(const float *x, float *y, size_t rows, size_t cols)
{
    struct block b = {.cols = cols};
    for (size_t r = 0; r < rows; r += VEC, x += VEC * cols, y += VEC * cols) {
        b.rows = least(rows - r, VEC);
        exponentials(&b, x, y);
        const vec sum = vec_load(b.sum);
        for (size_t j0 = 0; j0 < cols; j0 += SEGMENT) {
            reload(b.t, y, &b, j0);
            for (size_t j = 0; j < least(SEGMENT, cols - j0); j++)
                vec_store(b.t[j], vec_nan(vec_div(vec_load(b.t[j]), sum)));
            store(b.t, y, &b, j0);
        }
    }
}

static void softmax_grad(const float *y, const float *dy, float *dx, size_t rows, size_t cols)
{
    struct block b = {.cols = cols};
    tile d;
    for (size_t r = 0; r < rows; r += VEC, y += VEC * cols, dy += VEC * cols, dx += VEC * cols) {
        vec total = vec_zero();
        b.rows = least(rows - r, VEC);
        for (size_t j0 = 0; j0 < cols; j0 += SEGMENT) {
            vec acc = vec_zero();
            load(b.t, y, &b, j0);
            load(d, dy, &b, j0);
            for (size_t j = 0; j < least(SEGMENT, cols - j0); j++)
                acc = vec_fma(vec_load(d[j]), vec_load(b.t[j]), acc);
            total = vec_add(total, acc);
        }
        for (size_t j0 = 0; j0 < cols; j0 += SEGMENT) {
            reload(b.t, y, &b, j0);
            reload(d, dy, &b, j0);
            for (size_t j = 0; j < least(SEGMENT, cols - j0); j++)
                vec_store(d[j], vec_nan(vec_mul(vec_load(b.t[j]), vec_sub(vec_load(d[j]), total))));
            store(d, dx, &b, j0);
        }
    }
}

/* Takes the one-hot targets off; where a target is 0, taking it off changes nothing. */
static void subtract_targets(struct block *b, const int32_t *label, size_t j0)
{
    for (size_t r = 0; r < b->rows; r++) {
        const size_t j = (size_t)label[r] - j0;
        if (j < SEGMENT)
            b->t[j][r] -= 1.0f;
    }
}

/* log(sum) - (x[label] - max) */
static void cross_entropy_loss(const struct block *b, const float *x, const int32_t *label, float *loss)
{
    float t[VEC] = {0};
    for (size_t r = 0; r < b->rows; r++)
        t[r] = x[r * b->cols + (size_t)label[r]];
    for (int lane = 0; lane < VEC; lane++)
        t[lane] = canon_nan(canon_log(b->sum[lane]) - (t[lane] - b->max[lane]));
    put(loss, b->rows, vec_load(t));
}

/* dx = (e / sum - one-hot) / batch */
static void cross_entropy_dx(struct block *b, const int32_t *label, float *dx, float batch)
{
    const vec sum = vec_load(b->sum), divisor = vec_set(batch);
    for (size_t j0 = 0; j0 < b->cols; j0 += SEGMENT) {
        const size_t n = least(SEGMENT, b->cols - j0);
        reload(b->t, dx, b, j0);
        for (size_t j = 0; j < n; j++)
            vec_store(b->t[j], vec_div(vec_load(b->t[j]), sum));
        subtract_targets(b, label, j0);
        for (size_t j = 0; j < n; j++)
            vec_store(b->t[j], vec_nan(vec_div(vec_load(b->t[j]), divisor)));
        store(b->t, dx, b, j0);
    }
}

static void cross_entropy(const float *x, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols, size_t batch)
{
    struct block b = {.cols = cols};
    for (size_t r = 0; r < rows; r += VEC, x += VEC * cols, dx += VEC * cols) {
        b.rows = least(rows - r, VEC);
        exponentials(&b, x, dx);
        cross_entropy_loss(&b, x, labels + r, loss + r);
        cross_entropy_dx(&b, labels + r, dx, (float)batch);
    }
}

/* y - one-hot, kept in d; returns the sum of the squares. */
static vec differences(struct block *b, const float *y, const int32_t *label, float *d)
{
    vec total = vec_zero();
    for (size_t j0 = 0; j0 < b->cols; j0 += SEGMENT) {
        vec acc = vec_zero();
        load(b->t, y, b, j0);
        subtract_targets(b, label, j0);
        for (size_t j = 0; j < least(SEGMENT, b->cols - j0); j++)
            acc = vec_fma(vec_load(b->t[j]), vec_load(b->t[j]), acc);
        total = vec_add(total, acc);
        keep(b->t, d, b, j0);
    }
    return total;
}

static void mse(const float *y, const int32_t *labels, float *loss, float *dx, size_t rows, size_t cols, size_t batch, int reduction)
{
    const int half = reduction == REF_HALF;
    const vec factor = vec_set(half ? 1 : 2), divisor = vec_set(half ? (float)batch : (float)(batch * cols));
    struct block b = {.cols = cols};
    for (size_t r = 0; r < rows; r += VEC, y += VEC * cols, dx += VEC * cols) {
        b.rows = least(rows - r, VEC);
        const vec squares = differences(&b, y, labels + r, dx);
        put(loss + r, b.rows, vec_nan(half ? vec_mul(vec_set(0.5f), squares) : vec_div(squares, vec_set((float)cols))));
        for (size_t j0 = 0; j0 < cols; j0 += SEGMENT) {
            reload(b.t, dx, &b, j0);
            for (size_t j = 0; j < least(SEGMENT, cols - j0); j++)
                vec_store(b.t[j], vec_nan(vec_div(vec_mul(factor, vec_load(b.t[j])), divisor)));
            store(b.t, dx, &b, j0);
        }
    }
}
