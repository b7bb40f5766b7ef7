/* SPDX-License-Identifier: MIT */
/* conv_direct_body.h - the forward product whose lanes are filters; a part of conv_body.h. The elements of x are read one by one where
 * they lie, so nothing is prepared; in return the results, (position, filter), are transposed on their way out. */

enum {
    DIRECT_MIN = 4, /* fewer chains than that do not hide the latency of a multiply-add */
    DIRECT_MAX = VEC_REGISTERS == 32 ? 16 : 12,
    DIRECT_KEPT = 4 * VEC + DIRECT_MAX
};

/* Results on their way out: from position `first` on, `count` of them. */
struct direct_kept {
    float sum[DIRECT_KEPT * VEC], total[DIRECT_MAX * VEC];
    size_t first, count, begin; /* begin: of those in `sum`, the first that is not out yet */
};

ALWAYS void direct_chain(const struct conv_direct *p, const float *x, size_t from, size_t to, int n, int stride, vec *acc)
{
    UNROLL for (int i = 0; i < n; i++) acc[i] = vec_zero();
    const float *w = p->w + from * VEC;
    for (size_t k = from; k < to; k++, w += VEC) {
        const float *at = x + p->off[k];
        const vec weight = vec_load(w);
        UNROLL for (int i = 0; i < n; i++) acc[i] = vec_fma(vec_set(at[i * stride]), weight, acc[i]);
    }
}

/* n neighbouring positions. */
ALWAYS void direct_tile(const struct conv_direct *p, const float *x, struct direct_kept *kept, int n, int stride, int several)
{
    vec acc[DIRECT_MAX];
    float *total = kept->total;
    size_t from = 0;
    for (size_t s = 0;; s++) {
        direct_chain(p, x, from, p->ends[s], n, stride, acc);
        from = p->ends[s];
        if (s > 0)
            UNROLL for (int i = 0; i < n; i++) acc[i] = vec_add(vec_load(total + i * VEC), acc[i]);
        if (!several || s + 1 == p->segments)
            break;
        UNROLL for (int i = 0; i < n; i++) vec_store(total + i * VEC, acc[i]);
    }
    vec bias = vec_zero(); /* a total begins at +0: see conv_finish */
    if (p->bias)
        bias = vec_add(bias, vec_load_masked(p->bias, vec_first(p->filters)));
    UNROLL for (int i = 0; i < n; i++) acc[i] = vec_add(acc[i], bias);
    conv_activate(p->act, p->alpha, n, acc);
    float *out = kept->sum + (kept->begin + kept->count) * VEC;
    UNROLL for (int i = 0; i < n; i++) vec_store(out + i * VEC, acc[i]);
    kept->count += (size_t)n;
}

ALWAYS void direct_stride(const struct conv_direct *p, const float *x, struct direct_kept *kept, int n, int stride)
{
    if (p->segments == 1)
        direct_tile(p, x, kept, n, stride, 0);
    else
        direct_tile(p, x, kept, n, stride, 1);
}

#define DIRECT_TILE(n)                                                                                                                     \
    static void direct_tile_1_##n(const struct conv_direct *p, const float *x, struct direct_kept *kept)                                   \
    {                                                                                                                                      \
        direct_stride(p, x, kept, n, 1);                                                                                                   \
    }                                                                                                                                      \
    static void direct_tile_2_##n(const struct conv_direct *p, const float *x, struct direct_kept *kept)                                   \
    {                                                                                                                                      \
        direct_stride(p, x, kept, n, 2);                                                                                                   \
    }
DIRECT_TILE(4)
DIRECT_TILE(5)
DIRECT_TILE(6)
DIRECT_TILE(7)
DIRECT_TILE(8)
DIRECT_TILE(9)
DIRECT_TILE(10)
DIRECT_TILE(11)
DIRECT_TILE(12)
#ifdef __AVX512F__
DIRECT_TILE(13)
DIRECT_TILE(14)
DIRECT_TILE(15)
DIRECT_TILE(16)
#endif

typedef void direct_function(const struct conv_direct *p, const float *x, struct direct_kept *kept);

static direct_function *const direct_table[2][DIRECT_MAX - DIRECT_MIN + 1] = {
    {direct_tile_1_4, direct_tile_1_5, direct_tile_1_6, direct_tile_1_7, direct_tile_1_8, direct_tile_1_9, direct_tile_1_10,
     direct_tile_1_11, direct_tile_1_12,
#ifdef __AVX512F__
     direct_tile_1_13, direct_tile_1_14, direct_tile_1_15, direct_tile_1_16
#endif
    },
    {direct_tile_2_4, direct_tile_2_5, direct_tile_2_6, direct_tile_2_7, direct_tile_2_8, direct_tile_2_9, direct_tile_2_10,
     direct_tile_2_11, direct_tile_2_12,
#ifdef __AVX512F__
     direct_tile_2_13, direct_tile_2_14, direct_tile_2_15, direct_tile_2_16
#endif
    }};

/* The first n <= VEC kept positions go where they belong. */
static void direct_out(const struct conv_direct *p, struct direct_kept *kept, size_t n)
{
    const float *sum = kept->sum + kept->begin * VEC;
    float *out = p->out + kept->first;
    vec r[VEC];
    UNROLL for (int i = 0; i < VEC; i++) r[i] = vec_load(sum + i * VEC);
    vec_transpose(r);
    if (n == VEC && p->filters == VEC)
        UNROLL for (size_t f = 0; f < VEC; f++) vec_store(out + f * p->ld, r[f]);
    else
        UNROLL for (size_t f = 0; f < VEC; f++) if (f < p->filters) vec_store_masked(out + f * p->ld, vec_first(n), r[f]);
    kept->first += n;
    kept->count -= n;
    kept->begin += n;
}

static void conv_direct(const struct conv_direct *p)
{
    struct direct_kept kept;
    kept.first = kept.count = kept.begin = 0;
    for (size_t i = 0; i < (size_t)DIRECT_KEPT * VEC; i++)
        kept.sum[i] = 0;
    for (size_t y = 0; y < p->rows; y++)
        for (size_t i = 0; i < p->width;) {
            const size_t n = conv_block(p->width, i, DIRECT_MAX);
            if (kept.begin + kept.count + n > DIRECT_KEPT) { /* fewer than VEC are kept here, and begin is beyond them */
                for (size_t j = 0; j < kept.count; j++)
                    vec_store(kept.sum + j * VEC, vec_load(kept.sum + (kept.begin + j) * VEC));
                kept.begin = 0;
            }
            direct_table[p->stride - 1][n - DIRECT_MIN](p, p->x + y * p->pitch + i * p->stride, &kept);
            i += n;
            while (kept.count >= VEC)
                direct_out(p, &kept, VEC);
        }
    if (kept.count)
        direct_out(p, &kept, kept.count);
}
