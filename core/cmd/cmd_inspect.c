/* SPDX-License-Identifier: MIT */
/* lowbit inspect: what a file holds. Safetensors in full; of other files only what they are. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/base/table.h"
#include "core/cmd/cmd.h"
#include "core/format/format.h"
#include "core/format/packed.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct options {
    const char *file;
    int csv;
};

static const struct argp_option options[] = {
    {"csv", 'c', NULL, 0, "The tensors as CSV: name,dtype,shape,bytes,offset,codec,scale,bits_per_weight,of", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'c':
        o->csv = 1;
        return 0;
    case ARGP_KEY_ARG:
        if (o->file)
            argp_error(state, "one file at a time, please: \"%s\" is a second", arg);
        o->file = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "expected a file");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static uint64_t little(const unsigned char *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static uint32_t big32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int looks_like_safetensors(const struct lb_map *m)
{
    return m->size > 8 && little(m->data, 8) <= m->size - 8 && m->data[8] == '{';
}

/* Offset of the data in the file; in an open file every tensor, even an empty one, is a view behind the header. */
static size_t data_start(const struct lb_safetensors *st)
{
    return 8 + (size_t)little(st->map.data, 8);
}

static void print_metadata(json_t *metadata)
{
    const char *key;
    json_t *v;
    json_object_foreach(metadata, key, v)
    {
        char name[256], value[4096];
        printf("metadata   %s = %s\n", lb_name_text(key, name, sizeof name), lb_name_text(json_string_value(v), value, sizeof value));
    }
}

static int print_facts(const char *path, const struct lb_safetensors *st, struct lb_err *err)
{
    char hex[65];
    size_t elems = 0, start = data_start(st);
    if (lb_safetensors_sha256(st, hex, err))
        return lb_fail_in(err, "%s", path);
    for (size_t i = 0; i < st->n; i++)
        elems += st->items[i].t.elems;
    printf("file       %s: safetensors, %zu bytes\n", path, st->map.size);
    printf("header     %zu bytes; data: %zu bytes from byte %zu on\n", start - 8, st->map.size - start, start);
    printf("content    %zu tensors, %zu elements, SHA-256 %s\n", st->n, elems, hex);
    if (st->metadata)
        print_metadata(st->metadata);
    if (st->n)
        putchar('\n');
    return 0;
}

/* What a tensor is beyond its bytes: its format, or the tensor that it is a part of. */
struct meaning {
    struct lb_format_config config;
    int formatted;
    char *of;      /* NULL: it stands for itself */
    char bits[32]; /* of a weight, scales and all; empty of a part */
};

static void finish_meaning(struct meaning *m)
{
    lb_free(m->of);
    if (m->formatted)
        lb_config_format_finish(&m->config);
}

/* Bytes of each tensor and of all its parts, by its number in the file. */
static int count_bytes(const struct lb_safetensors *st, size_t *bytes, struct lb_err *err)
{
    for (size_t i = 0; i < st->n; i++) {
        char *of;
        if (lb_format_owner(st, st->items[i].name, &of, err))
            return -1;
        const struct lb_tensor *owner = of ? lb_safetensors_find(st, of) : NULL;
        lb_free(of);
        bytes[i] += st->items[i].t.bytes;
        if (owner)
            bytes[(const struct lb_named *)((const char *)owner - offsetof(struct lb_named, t)) - st->items] += st->items[i].t.bytes;
    }
    return 0;
}

static int find_meaning(const struct lb_safetensors *st, const struct lb_named *item, size_t all_bytes, struct meaning *m,
                        struct lb_err *err)
{
    unsigned ndim;
    size_t shape[LB_MAX_DIMS];
    double elems = 1;
    const char *text;
    *m = (struct meaning){0};
    if (lb_format_owner(st, item->name, &m->of, err) || lb_format_text(st, item->name, &text, err))
        return -1;
    if (m->of)
        return 0;
    if (lb_format_shape(st, item->name, &ndim, shape, err) || (text && lb_packed_config(text, item->name, &m->config, err)))
        return -1;
    m->formatted = text != NULL;
    for (unsigned i = 0; i < ndim; i++)
        elems *= (double)shape[i];
    if (elems > 0)
        snprintf(m->bits, sizeof m->bits, "%.6g", 8 * (double)all_bytes / elems);
    return 0;
}

/* One row a tensor; `bytes` with its parts. For people a name is shown without control characters, and cut where it is very long. */
static int add_tensor(const struct lb_safetensors *st, size_t i, size_t all_bytes, int csv, struct lb_table *table, struct lb_err *err)
{
    const struct lb_tensor *t = &st->items[i].t;
    const char *name = st->items[i].name;
    char shown[256], whose[256], shape[LB_MAX_DIMS * 24], bytes[32], offset[32];
    struct meaning m;
    if (find_meaning(st, &st->items[i], all_bytes, &m, err)) {
        finish_meaning(&m);
        return -1;
    }
    const char *empty = csv ? "" : "-", *of = m.of ? csv ? m.of : lb_name_text(m.of, whose, sizeof whose) : empty;
    snprintf(bytes, sizeof bytes, "%zu", t->bytes);
    snprintf(offset, sizeof offset, "%td", t->data - (st->map.data + data_start(st)));
    const char *const cells[] = {csv ? name : lb_name_text(name, shown, sizeof shown),
                                 lb_dtypes[t->dtype].name,
                                 lb_shape_text(t->ndim, t->shape, shape, sizeof shape),
                                 bytes,
                                 offset,
                                 m.formatted ? m.config.codec : empty,
                                 m.formatted ? m.config.scale_text : empty,
                                 *m.bits ? m.bits : empty,
                                 of};
    const int r = lb_table_add(table, cells, err);
    finish_meaning(&m);
    return r;
}

static int print_tensors(const struct lb_safetensors *st, int csv, struct lb_err *err)
{
    static const char *const columns[] = {"name", "dtype", "shape", "bytes", "offset", "codec", "scale", "bits_per_weight", "of"};
    struct lb_table table = {.columns = columns, .n_columns = sizeof columns / sizeof *columns};
    size_t *all_bytes = lb_alloc(st->n, sizeof *all_bytes, err);
    int r = all_bytes ? count_bytes(st, all_bytes, err) : -1;
    for (size_t i = 0; i < st->n && !r; i++)
        r = add_tensor(st, i, all_bytes[i], csv, &table, err);
    lb_free(all_bytes);
    if (!r)
        (csv ? lb_table_print_csv : lb_table_print)(&table, stdout);
    lb_table_finish(&table);
    return r;
}

static int inspect_safetensors(const struct options *o, struct lb_err *err)
{
    struct lb_safetensors st;
    if (lb_safetensors_open(o->file, &st, err))
        return -1;
    int r = o->csv ? 0 : print_facts(o->file, &st, err);
    if (!r && (o->csv || st.n))
        r = print_tensors(&st, o->csv, err);
    lb_safetensors_finish(&st);
    return r;
}

/* IDX: 0, 0, type, number of dimensions, then each dimension as 32 bits, the first byte the highest. */
static int say_idx(const char *path, const struct lb_map *m)
{
    static const struct {
        unsigned char code, size;
        const char *name;
    } types[] = {{8, 1, "unsigned bytes"},   {9, 1, "signed bytes"},      {11, 2, "16-bit integers"},
                 {12, 4, "32-bit integers"}, {13, 4, "binary32 numbers"}, {14, 8, "binary64 numbers"}};
    if (m->size < 8 || m->data[0] || m->data[1] || !m->data[3] || m->data[3] > LB_MAX_DIMS || m->size < 4 + 4u * m->data[3])
        return 0;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        if (types[k].code != m->data[2])
            continue;
        size_t shape[LB_MAX_DIMS];
        char text[LB_MAX_DIMS * 24];
        for (unsigned i = 0; i < m->data[3]; i++)
            shape[i] = big32(m->data + 4 + 4 * i);
        printf("file       %s: IDX, %zu bytes\ncontent    %s, shape %s\n", path, m->size, types[k].name,
               lb_shape_text(m->data[3], shape, text, sizeof text));
        return 1;
    }
    return 0;
}

/* Says what a file is that is not safetensors; 0 where that is unknown. */
static int say_other(const char *path, const struct lb_map *m)
{
    if (looks_like_safetensors(m))
        return 0;
    if (m->size > 2 && m->data[0] == 0x1f && m->data[1] == 0x8b && m->data[2] == 8) {
        printf("file       %s: gzip, %zu bytes\n", path, m->size);
        return 1;
    }
    /* The length of a header always has a zero byte, text has none. */
    if (m->size && (m->data[0] == '{' || m->data[0] == '[') && !memchr(m->data, 0, m->size < 8 ? m->size : 8)) {
        size_t lines = m->data[m->size - 1] != '\n';
        for (size_t i = 0; i < m->size; i++)
            lines += m->data[i] == '\n';
        printf("file       %s: JSON or JSON lines, %zu bytes, %zu lines\n", path, m->size, lines);
        return 1;
    }
    return say_idx(path, m);
}

static int run(int argc, char **argv)
{
    static const struct argp argp = {
        options,
        parse,
        "FILE",
        "Prints what FILE holds: of a safetensors file the header's facts, the metadata, and for each tensor name, "
        "dtype, shape, bytes, offset from the beginning of the data, codec and scale of its format, bits a weight with all its scales, and "
        "whose scales or zero points it holds; of other files only what they are.",
        NULL,
        NULL,
        NULL};
    struct options o = {0};
    struct lb_err err = {0};
    struct lb_map m = {0};
    if (lb_cmd_parse("inspect", &argp, argc, argv, &o))
        return 2;
    if (lb_map_open(o.file, &m, &err))
        return lb_cmd_fail(&err);
    int known = !o.csv && say_other(o.file, &m);
    lb_map_close(&m);
    if (!known && inspect_safetensors(&o, &err))
        return lb_cmd_fail(&err);
    return 0;
}

const struct lb_command lb_cmd_inspect = {"inspect", "what a file holds: tensors, dtypes, shapes, metadata", run};
