/* SPDX-License-Identifier: MIT */
/* laws_random.c - stochastic rounding and wrapping of codecs of up to 16 bits. */
#include "core/base/mem.h"
#include "core/format/laws_impl.h"
#include "core/format/oracle.h"
#include "kernels/canon.h"

#include <math.h>

static const struct lb_encode stochastic = {.rounding = LB_STOCHASTIC, .overflow = LB_SATURATE, .seed = 7, .stream = 3, .first = 1000};

/* The word of element i: only its upper 24 bits count. */
static uint32_t word(size_t i)
{
    const uint64_t e = stochastic.first + i;
    return canon_random64(stochastic.seed, stochastic.stream, e / 4).w[e % 4] >> 8;
}

/* x between values i and i + 1 of the oracle, where its share of the way is exact: the word then decides without rounding. */
static void lattice_point(struct lb_laws *l, const struct lb_oracle *o, size_t i, double share)
{
    const long double a = o->value[i], b = o->value[i + 1], exact = a + (b - a) * share;
    const double x = (double)exact;
    unsigned char packed[2] = {0};
    if (a == b || (long double)x != exact || (exact - a) / (b - a) != (long double)share)
        return;
    lb_encode_f64(l->coder, &stochastic, &x, 1, packed);
    const uint64_t code = lb_code_get(packed, l->codec->bits, 0);
    const int up = (double)word(0) < share * 0x1p24;
    const double want = o->value[up ? i + 1 : i], got = l->codec->value(l->codec, (uint32_t)code);
    l->tried++;
    if (want != got)
        lb_law_wrong(l, "%s, word %u, lies %g of the way from %s to %s: expected %s, got %s", lb_number(x).s, word(0), share,
                     lb_number((double)a).s, lb_number((double)b).s, lb_number(want).s, lb_number(got).s);
}

static void law_lattice(struct lb_laws *l, const struct lb_oracle *o)
{
    const size_t step = o->n / 2048 + 1;
    const double at_word = (double)word(0) * 0x1p-24;
    const double shares[] = {0.25, 0.5, 0.75, 0x1p-10, 1 - 0x1p-10, at_word, at_word + 0x1p-24};
    lb_law_begin(l, "stochastic rounding: up where word < 2^24 share");
    for (size_t i = 0; i + 1 < o->n; i += step)
        for (size_t s = 0; s < sizeof shares / sizeof *shares; s++)
            lattice_point(l, o, i, shares[s]);
    lb_law_end(l);
}

static void law_ends(struct lb_laws *l, const struct lb_oracle *o)
{
    lb_law_begin(l, "stochastic rounding: a value becomes itself, whatever the word");
    for (size_t i = 0; i < o->n; i++) {
        struct lb_encode how = stochastic;
        how.first = i;
        unsigned char packed[2] = {0};
        lb_encode_f64(l->coder, &how, &o->value[i], 1, packed);
        const double got = l->codec->value(l->codec, (uint32_t)lb_code_get(packed, l->codec->bits, 0));
        l->tried++;
        if (!lb_same_number(got, o->value[i]))
            lb_law_wrong(l, "%s becomes %s", lb_number(o->value[i]).s, lb_number(got).s);
    }
    lb_law_end(l);
}

/* How often a number between two values goes up: within five standard deviations of its share. The words are seeded, so this does not come and go. */
static int law_share(struct lb_laws *l, const struct lb_oracle *o)
{
    enum { DRAWS = 65536 };
    size_t bytes, ups = 0, i = o->n * 2 / 3;
    while (i && o->value[i - 1] == o->value[i])
        i--;
    if (!i || lb_coder_bytes(l->coder, DRAWS, &bytes))
        return 0;
    const double a = o->value[i - 1], b = o->value[i], x = a + (b - a) * 0.3, share = (x - a) / (b - a);
    double *same = lb_alloc(DRAWS, sizeof *same, l->err);
    unsigned char *codes = lb_alloc(bytes, 1, l->err);
    if (!same || !codes) {
        lb_free(same);
        lb_free(codes);
        return -1;
    }
    for (size_t k = 0; k < DRAWS; k++)
        same[k] = x;
    lb_encode_f64(l->coder, &stochastic, same, DRAWS, codes);
    lb_law_begin(l, "stochastic rounding: goes up as often as it should");
    for (size_t k = 0; k < DRAWS; k++, l->tried++) {
        const double got = l->codec->value(l->codec, (uint32_t)lb_code_get(codes, l->codec->bits, k));
        ups += got == b;
        if (got != a && got != b)
            lb_law_wrong(l, "%s becomes %s, not %s or %s", lb_number(x).s, lb_number(got).s, lb_number(a).s, lb_number(b).s);
    }
    if (fabs((double)ups - DRAWS * share) > 5 * sqrt(DRAWS * share * (1 - share)))
        lb_law_wrong(l, "%s went up %zu times of %d, wanted about %.0f", lb_number(x).s, ups, DRAWS, DRAWS * share);
    lb_law_end(l);
    lb_free(same);
    lb_free(codes);
    return 0;
}

/* Whether the codes are the integers themselves, so that wrapping means something. */
static int is_integer(const struct lb_laws *l)
{
    const double *v = lb_coder_values(l->coder);
    const uint32_t codes = 1u << l->codec->bits;
    if (l->codec->kind != LB_SIGNED && l->codec->kind != LB_UNSIGNED)
        return 0;
    for (uint32_t code = 0; code < codes; code++)
        if (v[code] != (double)code - (l->codec->kind == LB_SIGNED && code >= codes / 2 ? (double)codes : 0))
            return 0;
    return 1;
}

static void law_wrap(struct lb_laws *l)
{
    const struct lb_encode how = {.rounding = LB_TOWARD_ZERO, .overflow = LB_WRAP};
    const uint64_t mask = (UINT64_C(1) << l->codec->bits) - 1;
    lb_law_begin(l, "wrapping keeps the low bits of the whole number");
    for (size_t i = 0; i < l->points.n; i++) {
        const double x = l->points.x[i];
        unsigned char packed[2] = {0};
        if (fabs(x) >= 0x1p63)
            continue;
        const uint64_t want = isnan(x) ? 0 : (uint64_t)(int64_t)x & mask;
        lb_encode_f64(l->coder, &how, &x, 1, packed);
        const uint64_t code = lb_code_get(packed, l->codec->bits, 0);
        l->tried++;
        if (code != want)
            lb_law_wrong(l, "%s: expected code %u, got code %u", lb_number(x).s, (unsigned)want, (unsigned)code);
    }
    lb_law_end(l);
}

int lb_laws_table_random(struct lb_laws *l)
{
    struct lb_oracle o = {0};
    int r = lb_oracle_init(&o, l->codec, l->err);
    if (!r && !o.steps) {
        law_lattice(l, &o);
        law_ends(l, &o);
        r = law_share(l, &o);
    }
    if (!r && !o.steps && is_integer(l))
        law_wrap(l);
    lb_oracle_finish(&o);
    return r;
}
