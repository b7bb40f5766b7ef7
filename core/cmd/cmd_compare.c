/* SPDX-License-Identifier: MIT */
/* lowbit compare: two safetensors files, tensor by tensor. */
#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/cmd/cmd.h"
#include "core/format/format.h"
#include "core/format/safetensors.h"
#include "core/plugins.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct options {
    const char *file[2];
    int csv;
};

/* How the codes of a dtype follow their values; the distance of two codes in that order is what max_ulp counts. */
enum order { NO_ORDER, SIGN_MAGNITUDE, TWOS_COMPLEMENT, UNSIGNED };
static const enum order orders[LB_DTYPES] = {
    [LB_F4] = SIGN_MAGNITUDE,
    [LB_F6_E2M3] = SIGN_MAGNITUDE,
    [LB_F6_E3M2] = SIGN_MAGNITUDE,
    [LB_F8_E5M2] = SIGN_MAGNITUDE,
    [LB_F8_E4M3] = SIGN_MAGNITUDE,
    [LB_F8_E4M3FNUZ] = SIGN_MAGNITUDE,
    [LB_F8_E5M2FNUZ] = SIGN_MAGNITUDE,
    [LB_F16] = SIGN_MAGNITUDE,
    [LB_BF16] = SIGN_MAGNITUDE,
    [LB_F32] = SIGN_MAGNITUDE,
    [LB_F64] = SIGN_MAGNITUDE,
    [LB_F8_E8M0] = UNSIGNED,
    [LB_U8] = UNSIGNED,
    [LB_U16] = UNSIGNED,
    [LB_U32] = UNSIGNED,
    [LB_U64] = UNSIGNED,
    [LB_I8] = TWOS_COMPLEMENT,
    [LB_I16] = TWOS_COMPLEMENT,
    [LB_I32] = TWOS_COMPLEMENT,
    [LB_I64] = TWOS_COMPLEMENT,
};

enum { CHUNK = 4096 }; /* elements at a time; a multiple of 8, so that every chunk begins on a byte */

/* Coders by dtype, made when they are first wanted, and room for one chunk of each file. */
struct work {
    struct lb_codec *codec[LB_DTYPES];
    struct lb_coder *coder[LB_DTYPES];
    int tried[LB_DTYPES];
    uint64_t codes[2][CHUNK];
    double values[2][CHUNK];
};

/* What two tensors of one shape differ in. */
struct diff {
    size_t elems, differ;
    double max_abs, mean_abs;
    uint64_t max_ulp;
    int has_values, has_ulp, equal;
};

static const struct argp_option options[] = {
    {"csv", 'c', NULL, 0, "CSV: name,dtype_a,dtype_b,shape_a,shape_b,elements,differ,max_abs,mean_abs,max_ulp,equal,sha256_a,sha256_b", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'c':
        o->csv = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (o->file[1])
            argp_error(state, "two files, please: \"%s\" is a third", arg);
        o->file[o->file[0] ? 1 : 0] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->file[1])
            argp_error(state, "expected two files");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The coder of a dtype, or NULL where no plugin has a codec for it: then codes are compared and no values. */
static const struct lb_coder *find_coder(struct work *w, enum lb_dtype_id id)
{
    const char *tag = lb_dtypes[id].name;
    const struct lb_entry *entry;
    struct lb_err err = {0};
    if (w->tried[id])
        return w->coder[id];
    w->tried[id] = 1;
    if (lb_plugins_codec(tag, NULL, 0, &w->codec[id], &entry, &err)) {
        w->codec[id] = NULL;
        return NULL;
    }
    const struct lb_codec *c = w->codec[id];
    if (c->tag && !strcmp(c->tag, tag) && c->bits == lb_dtypes[id].bits && lb_coder_create(c, &w->coder[id], &err))
        w->coder[id] = NULL;
    return w->coder[id];
}

static void work_destroy(struct work *w)
{
    if (!w)
        return;
    for (int i = 0; i < LB_DTYPES; i++) {
        lb_coder_destroy(w->coder[i]);
        if (w->codec[i])
            lb_plugins_codec_free(w->codec[i]);
    }
    lb_free(w);
}

/* Place of a code among all of its dtype. -0 and +0 share one. */
static int64_t place(enum order order, unsigned bits, uint64_t code)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    if (order == SIGN_MAGNITUDE)
        return code & sign ? -(int64_t)(code & ~sign) : (int64_t)code;
    /* Unsigned codes are shifted down by half their range, so that those of 64 bits fit too. */
    uint64_t shifted = order == UNSIGNED ? code - sign : code & sign ? code | ~(sign - 1) : code;
    int64_t v;
    memcpy(&v, &shifted, sizeof v);
    return v;
}

static uint64_t distance(enum lb_dtype_id id, uint64_t a, uint64_t b)
{
    int64_t x = place(orders[id], lb_dtypes[id].bits, a), y = place(orders[id], lb_dtypes[id].bits, b);
    return x > y ? (uint64_t)x - (uint64_t)y : (uint64_t)y - (uint64_t)x;
}

static int is_integer(enum lb_dtype_id id)
{
    return orders[id] == TWOS_COMPLEMENT || (orders[id] == UNSIGNED && id != LB_F8_E8M0);
}

static double abs_diff(double a, double b)
{
    if (a == b || (a != a && b != b))
        return 0;
    return a > b ? a - b : b - a; /* a NaN goes through */
}

/* One pair whose codes (or, between dtypes, values) differ. */
static void add_pair(struct diff *d, const struct lb_tensor *a, uint64_t ca, uint64_t cb, double va, double vb, double *sum)
{
    d->differ++;
    if (!d->has_values)
        return;
    double abs = abs_diff(va, vb);
    if (d->has_ulp && va == va && vb == vb) {
        uint64_t ulp = distance(a->dtype, ca, cb);
        d->max_ulp = ulp > d->max_ulp ? ulp : d->max_ulp;
        if (is_integer(a->dtype)) /* binary64 does not hold every 64-bit integer */
            abs = (double)ulp;
    }
    *sum += abs;
    if (!(abs <= d->max_abs) && d->max_abs == d->max_abs)
        d->max_abs = abs;
}

/* `n` elements from element `first` on, which begins on a byte; copied, because in a file they may lie on any byte. */
static void take_chunk(struct work *w, int which, const struct lb_tensor *t, const struct lb_coder *coder, size_t first, size_t n)
{
    unsigned bits = lb_dtypes[t->dtype].bits;
    memcpy(w->codes[which], t->data + first / 8 * bits, (n * bits + 7) / 8);
    if (coder)
        lb_decode_f64(coder, w->codes[which], n, w->values[which]);
}

static void diff_tensors(struct work *w, const struct lb_tensor *a, const struct lb_tensor *b, struct diff *d)
{
    int same = a->dtype == b->dtype;
    unsigned bits = lb_dtypes[a->dtype].bits;
    const struct lb_coder *ca = find_coder(w, a->dtype), *cb = find_coder(w, b->dtype);
    double sum = 0;
    *d = (struct diff){.elems = a->elems, .has_values = ca && cb};
    d->has_ulp = d->has_values && same && orders[a->dtype] != NO_ORDER;
    d->equal = same && !memcmp(a->data, b->data, a->bytes);
    if (d->equal || (!same && !d->has_values))
        return;
    for (size_t first = 0; first < a->elems; first += CHUNK) {
        size_t n = a->elems - first < CHUNK ? a->elems - first : CHUNK;
        take_chunk(w, 0, a, d->has_values ? ca : NULL, first, n);
        take_chunk(w, 1, b, d->has_values ? cb : NULL, first, n);
        for (size_t i = 0; i < n; i++) {
            double va = w->values[0][i], vb = w->values[1][i];
            uint64_t x = same ? lb_code_get(w->codes[0], bits, i) : 0, y = same ? lb_code_get(w->codes[1], bits, i) : 0;
            if (same ? x != y : !(va == vb || (va != va && vb != vb)))
                add_pair(d, a, x, y, va, vb, &sum);
        }
    }
    d->mean_abs = a->elems ? sum / (double)a->elems : 0;
}

/* One line of the answer, as texts: those that do not apply are empty. */
struct line {
    char dtype[2][16], shape[2][LB_MAX_DIMS * 24], elems[24], differ[24], max_abs[32], mean_abs[32], max_ulp[24];
    int equal;
};

static void put_value(char *buf, size_t size, double v, int csv)
{
    if (v != v)
        snprintf(buf, size, "nan");
    else
        snprintf(buf, size, csv ? "%.17g" : "%.6g", v);
}

/* Fills in the line of a tensor; either of a and b may be NULL. */
static void make_line(struct work *w, const struct lb_tensor *a, const struct lb_tensor *b, int csv, struct line *l)
{
    const struct lb_tensor *t[2] = {a, b};
    *l = (struct line){0};
    for (int i = 0; i < 2; i++) {
        if (!t[i])
            continue;
        snprintf(l->dtype[i], sizeof l->dtype[i], "%s", lb_dtypes[t[i]->dtype].name);
        lb_shape_text(t[i]->ndim, t[i]->shape, l->shape[i], sizeof l->shape[i]);
    }
    if (!a || !b || strcmp(l->shape[0], l->shape[1]))
        return;
    struct diff d;
    diff_tensors(w, a, b, &d);
    l->equal = d.equal;
    snprintf(l->elems, sizeof l->elems, "%zu", d.elems);
    if (a->dtype == b->dtype || d.has_values)
        snprintf(l->differ, sizeof l->differ, "%zu", d.differ);
    if (d.has_values) {
        put_value(l->max_abs, sizeof l->max_abs, d.max_abs, csv);
        put_value(l->mean_abs, sizeof l->mean_abs, d.mean_abs, csv);
    }
    if (d.has_ulp)
        snprintf(l->max_ulp, sizeof l->max_ulp, "%" PRIu64, d.max_ulp);
}

static int add_csv(struct lb_table *table, const char *name, const struct line *l, const char sha[2][65], struct lb_err *err)
{
    const char *const cells[] = {name,
                                 l->dtype[0],
                                 l->dtype[1],
                                 l->shape[0],
                                 l->shape[1],
                                 l->elems,
                                 l->differ,
                                 l->max_abs,
                                 l->mean_abs,
                                 l->max_ulp,
                                 l->equal ? "yes" : "no",
                                 sha[0],
                                 sha[1]};
    return lb_table_add(table, cells, err);
}

/* "F32", or "F32 / F16" where the two differ, or "- / F16" where one is missing. */
static const char *both(const char *a, const char *b, char *buf, size_t size)
{
    if (!strcmp(a, b))
        return a;
    snprintf(buf, size, "%s / %s", *a ? a : "-", *b ? b : "-");
    return buf;
}

static const char *or_dash(const char *s)
{
    return *s ? s : "-";
}

static int add_text(struct lb_table *table, const char *name, const struct line *l, struct lb_err *err)
{
    char shown[256], dtype[40], shape[LB_MAX_DIMS * 48 + 8];
    const char *equal = l->equal ? "yes" : !*l->dtype[1] ? "only in A" : !*l->dtype[0] ? "only in B" : "no";
    const char *const cells[] = {lb_name_text(name, shown, sizeof shown),
                                 both(l->dtype[0], l->dtype[1], dtype, sizeof dtype),
                                 both(l->shape[0], l->shape[1], shape, sizeof shape),
                                 or_dash(l->elems),
                                 or_dash(l->differ),
                                 or_dash(l->max_abs),
                                 or_dash(l->mean_abs),
                                 or_dash(l->max_ulp),
                                 equal};
    return lb_table_add(table, cells, err);
}

static void print_head(const struct options *o, const struct lb_safetensors st[2], const char sha[2][65])
{
    json_t *const a = st[0].metadata, *const b = st[1].metadata;
    int same = a && b ? json_equal(a, b) : !a && !b;
    for (int i = 0; i < 2; i++)
        printf("%c          %s: %zu tensors, content SHA-256 %s\n", i ? 'B' : 'A', o->file[i], st[i].n, sha[i]);
    printf("metadata   %s\n\n", same ? "equal" : "different");
}

/* What a tensor means: itself, or where it is in a format of lowbit's its values as F32 (kept in `own`), scale and all. */
static int meaning(const struct lb_safetensors *st, const struct lb_named *item, struct lb_tensor *own, const struct lb_tensor **out,
                   struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS];
    const char *format;
    *out = &item->t;
    if (lb_format_text(st, item->name, &format, err))
        return -1;
    if (!format)
        return 0;
    *out = own;
    return lb_format_shape(st, item->name, &ndim, shape, err) || lb_tensor_init(own, LB_F32, ndim, shape, err) ||
                   lb_format_decode(st, item->name, (float *)(void *)own->data, own->elems, err)
               ? -1
               : 0;
}

/* The line of a tensor that both files have, by what it means in each; the dtypes and `equal` are those of the codes. */
static int make_pair(struct work *w, const struct lb_safetensors st[2], const struct lb_named *item[2], int csv, struct line *l,
                     struct lb_err *err)
{
    struct lb_tensor own[2] = {{0}, {0}};
    const struct lb_tensor *t[2];
    const int r = meaning(&st[0], item[0], &own[0], &t[0], err) || meaning(&st[1], item[1], &own[1], &t[1], err) ? -1 : 0;
    if (!r) {
        make_line(w, t[0], t[1], csv, l);
        for (int i = 0; i < 2; i++)
            if (t[i] == &own[i])
                snprintf(l->dtype[i], sizeof l->dtype[i], "%.10s+", lb_dtypes[item[i]->t.dtype].name);
        const struct lb_tensor *a = &item[0]->t, *b = &item[1]->t;
        l->equal = a->dtype == b->dtype && a->bytes == b->bytes && (!a->bytes || !memcmp(a->data, b->data, a->bytes)) &&
                   !strcmp(l->shape[0], l->shape[1]);
    }
    lb_tensor_finish(&own[0]);
    lb_tensor_finish(&own[1]);
    return r;
}

/* One row for every tensor: those of A in the order of its data, then those that are in B alone. *equal: whether all are. */
static int add_rows(const struct options *o, const struct lb_safetensors st[2], const char sha[2][65], struct lb_table *table, int *equal,
                    struct lb_err *err)
{
    struct work *w = lb_alloc(1, sizeof *w, err);
    int r = w ? 0 : -1;
    *equal = 1;
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < st[which].n && !r; i++) {
            const struct lb_named *item = &st[which].items[i];
            const struct lb_tensor *other = lb_safetensors_find(&st[!which], item->name);
            struct line l;
            if (which && other)
                continue;
            if (other) {
                const struct lb_named there = {item->name, *other}, *pair[2] = {item, &there};
                if (make_pair(w, st, pair, o->csv, &l, err)) {
                    r = -1;
                    break;
                }
            } else {
                make_line(w, which ? NULL : &item->t, which ? &item->t : NULL, o->csv, &l);
            }
            *equal &= l.equal;
            r = o->csv ? add_csv(table, item->name, &l, sha, err) : add_text(table, item->name, &l, err);
        }
    }
    work_destroy(w);
    return r;
}

static int print_comparison(const struct options *o, const struct lb_safetensors st[2], int *equal, struct lb_err *err)
{
    static const char *const csv[] = {"name",    "dtype_a",  "dtype_b", "shape_a", "shape_b",  "elements", "differ",
                                      "max_abs", "mean_abs", "max_ulp", "equal",   "sha256_a", "sha256_b"};
    static const char *const text[] = {"name", "dtype", "shape", "elements", "differ", "max_abs", "mean_abs", "max_ulp", "equal"};
    struct lb_table table = {.columns = o->csv ? csv : text, .n_columns = o->csv ? sizeof csv / sizeof *csv : sizeof text / sizeof *text};
    char sha[2][65];
    int r = lb_safetensors_sha256(&st[0], sha[0], err) || lb_safetensors_sha256(&st[1], sha[1], err);
    if (!r)
        r = add_rows(o, st, (const char(*)[65])sha, &table, equal, err);
    if (!r && o->csv) {
        lb_table_print_csv(&table, stdout);
    } else if (!r) {
        print_head(o, st, (const char(*)[65])sha);
        lb_table_print(&table, stdout);
        printf("\n%s\n", *equal ? "all bytes are equal" : "the files differ");
    }
    lb_table_finish(&table);
    return r ? -1 : 0;
}

static int compare_files(const struct options *o, int *equal, struct lb_err *err)
{
    struct lb_safetensors st[2] = {0};
    int r = lb_safetensors_open(o->file[0], &st[0], err) || lb_safetensors_open(o->file[1], &st[1], err);
    if (!r)
        r = print_comparison(o, st, equal, err);
    lb_safetensors_finish(&st[0]);
    lb_safetensors_finish(&st[1]);
    return r;
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "A B",
        "Compares two safetensors files tensor by tensor: elements that differ, largest and mean absolute difference of their values, and "
        "the "
        "largest distance of two codes in the order of their values (max_ulp, NaN apart). A tensor in a format of lowbit's (its dtype is "
        "marked with +) is decoded first, scale and all. A dtype without a codec is compared by its bytes alone.\vExit status: 0 all "
        "tensors of "
        "both "
        "files are equal, byte for byte; 1 they differ; 2 bad usage or input. Metadata are compared, but do not count.",
        NULL,
        NULL,
        NULL};
    struct options o = {0};
    struct lb_err err = {0};
    int equal = 0;
    if (lb_cmd_parse("compare", &argp, argc, argv, &o) || lb_cmd_plugins())
        return 2;
    if (compare_files(&o, &equal, &err))
        return lb_cmd_fail(&err);
    return equal ? 0 : 1;
}

const struct lb_command lb_cmd_compare = {"compare", "two safetensors files, tensor by tensor", run};
