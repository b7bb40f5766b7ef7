/* SPDX-License-Identifier: MIT */
/* codec_minifloat.c - FLOAT: a floating-point format of 2 to 16 bits by its parameters.
 *
 *   e, m        bits of the exponent (1..8) and of the fraction (0..14), e + m <= 15; default 4 and 3
 *   bias        default 2^(e-1) - 1; all values must be binary32 numbers
 *   inf         1, or 0 or "none": whether there are infinities; default 1 where nan is "ieee", else 0
 *   nan         "ieee" (the default; it has infinities, and takes m > 0), "one", "fnuz" or "none": kernels/cpu/codec_minifloat.h
 *   subnormals  1, or 0: numbers of exponent 0 are read as zero, and the smallest magnitude that is written is 2^(1 - bias); default 1
 *
 * What is too large saturates unless a config says otherwise. The codecs F16, BF16, F8_*, F6_* and F4 are special cases. */
#include "kernels/cpu/codec_minifloat.h"
#include "plugins/codec_params.h"

enum { DEFAULT_E = 4, DEFAULT_M = 3, UNSET = -1000 };

static double value(const struct lb_codec *c, uint32_t code)
{
    static const struct lb_minifloat usual = {DEFAULT_E, DEFAULT_M, 7, 1, LB_NAN_IEEE, 0};
    return lb_minifloat_value(c->state ? c->state : &usual, code);
}

static int take_nan(const struct lb_param *p, int *nan, char *why, size_t why_size)
{
    static const char *const names[] = {"none", "one", "ieee", "fnuz"};
    for (int i = 0; p->text && i < 4; i++)
        if (!strcmp(p->text, names[i])) {
            *nan = i;
            return 0;
        }
    snprintf(why, why_size, "nan: found %s%.40s%s, wanted \"none\", \"one\", \"ieee\" or \"fnuz\"", p->text ? "\"" : "",
             p->text ? p->text : "a number", p->text ? "\"" : "");
    return -1;
}

struct wanted {
    int e, m, bias, inf, nan, subnormals;
};

static int take(struct wanted *w, const struct lb_param *p, char *why, size_t why_size)
{
    const struct lb_whole fields[] = {{"e", 1, 8, &w->e},     {"m", 0, 14, &w->m},    {"bias", -200, 200, &w->bias},
                                      {"inf", 0, 1, &w->inf}, {"nan", 0, 0, &w->nan}, {"subnormals", 0, 1, &w->subnormals}};
    if (!strcmp(p->name, "nan"))
        return take_nan(p, &w->nan, why, why_size);
    if (!strcmp(p->name, "inf") && p->text && !strcmp(p->text, "none")) {
        w->inf = 0;
        return 0;
    }
    return lb_param_take(fields, 6, p, why, why_size);
}

/* What the parameters cannot be together. */
static int check(const struct lb_minifloat *f, char *why, size_t why_size)
{
    if (f->e + f->m > 15) {
        snprintf(why, why_size, "e and m: found %d and %d, wanted at most 15 bits together, with the sign 16", f->e, f->m);
        return -1;
    }
    if (f->nan == LB_NAN_IEEE && (!f->inf || !f->m)) {
        snprintf(why, why_size, "nan: found \"ieee\" with %s, wanted inf 1 and m > 0 beside it", f->inf ? "m 0" : "inf 0");
        return -1;
    }
    const uint32_t finite = lb_minifloat_finite(f), first = f->no_subnormals ? 1u << f->m : 1;
    if (finite <= first) {
        snprintf(why, why_size, "e, m, inf and nan: found %d, %d, %d and others that leave no number but zero", f->e, f->m, f->inf);
        return -1;
    }
    const int least = (int)((finite - 1) >> f->m) - 127, most = 150 - f->m;
    if (f->bias < least || f->bias > most) {
        snprintf(why, why_size, "bias: found %d, wanted %d to %d, so that all values are binary32 numbers", f->bias, least, most);
        return -1;
    }
    return 0;
}

static int init(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size)
{
    struct wanted w = {DEFAULT_E, DEFAULT_M, UNSET, UNSET, LB_NAN_IEEE, 1};
    struct lb_minifloat *f = self->state;
    for (size_t i = 0; i < n; i++)
        if (take(&w, &params[i], why, why_size))
            return -1;
    *f = (struct lb_minifloat){.e = w.e,
                               .m = w.m,
                               .bias = w.bias == UNSET ? (1 << (w.e - 1)) - 1 : w.bias,
                               .inf = w.inf == UNSET ? w.nan == LB_NAN_IEEE : w.inf,
                               .nan = (enum lb_nan_codes)w.nan,
                               .no_subnormals = !w.subnormals};
    if (check(f, why, why_size))
        return -1;
    lb_codec_resize(self, 1 + f->e + f->m);
    self->nan_code = lb_minifloat_nan(f);
    return 0;
}

static const struct lb_codec minifloat = {
    .base = {LB_ABI, LB_CODEC, sizeof minifloat, "FLOAT", "floating point of 2 to 16 bits: e, m, bias, inf, nan, subnormals"},
    .bits = 1 + DEFAULT_E + DEFAULT_M,
    .unit_elems = 1,
    .unit_bytes = 1,
    .kind = LB_FLOAT,
    .ties = LB_TIES_EVEN,
    .overflow = LB_SATURATE,
    .nan_code = 0x7c,
    .value = value,
    .state_size = sizeof(struct lb_minifloat),
    .init = init,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&minifloat.base, NULL};
