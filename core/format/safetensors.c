/* SPDX-License-Identifier: MIT */
#include "core/format/safetensors.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, MAX_HEADER = 100000000 };
static const char METADATA[] = "__metadata__";

/* One entry of the header: where its data lies, counted from the end of the header. */
struct place {
    const char *name; /* belongs to the parsed header */
    struct lb_tensor t;
    size_t begin, end;
};

/* One byte of a name as a message shows it; returns the length. */
static size_t shown_byte(unsigned char c, char piece[8])
{
    const char *form = c == '\\' ? "\\%c" : c < 0x20 || c == 0x7f ? "\\x%02x" : "%c";
    return (size_t)snprintf(piece, 8, form, c);
}

char *lb_name_text(const char *name, char *buf, size_t size)
{
    size_t n = 0, kept = 0; /* kept: the longest text of whole characters that leaves room for "..." */
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        char piece[8];
        size_t m = shown_byte(*p, piece);
        if ((*p & 0xc0) != 0x80 && n + sizeof "..." <= size)
            kept = n;
        if (n + m >= size) {
            snprintf(buf + kept, size - kept, "...");
            return buf;
        }
        memcpy(buf + n, piece, m);
        n += m;
    }
    buf[n] = 0;
    return buf;
}

/* What stands where something else was expected, for a message. */
static const char *found(const json_t *v, char *buf, size_t size)
{
    static const char *const names[] = {[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a string",
                                        [JSON_TRUE] = "true",        [JSON_FALSE] = "false",  [JSON_NULL] = "null"};
    if (!v)
        return "nothing";
    if (json_is_integer(v))
        snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(buf, size, "the real number %g", json_real_value(v));
    else
        return names[json_typeof(v)];
    return buf;
}

static int read_size(const json_t *v, const char *field, size_t i, size_t *out, struct lb_err *err)
{
    char buf[64];
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return lb_fail(err, "%s[%zu]: expected an integer >= 0, found %s", field, i, found(v, buf, sizeof buf));
    *out = (size_t)json_integer_value(v);
    return 0;
}

static const json_t *read_list(const json_t *info, const char *field, struct lb_err *err)
{
    char buf[64];
    const json_t *v = json_object_get(info, field);
    if (json_is_array(v))
        return v;
    lb_fail(err, "%s: expected a list, found %s", field, found(v, buf, sizeof buf));
    return NULL;
}

static int read_dtype(const json_t *info, enum lb_dtype_id *dtype, struct lb_err *err)
{
    char buf[64];
    const json_t *v = json_object_get(info, "dtype");
    if (!json_is_string(v))
        return lb_fail(err, "dtype: expected a string, found %s", found(v, buf, sizeof buf));
    int id = lb_dtype_find(json_string_value(v));
    if (id < 0)
        return lb_fail(err, "dtype \"%s\" is not one of the %d of the format", lb_name_text(json_string_value(v), buf, sizeof buf),
                       LB_DTYPES);
    *dtype = (enum lb_dtype_id)id;
    return 0;
}

static int read_shape(const json_t *info, unsigned *ndim, size_t *shape, struct lb_err *err)
{
    const json_t *list = read_list(info, "shape", err);
    if (!list)
        return -1;
    size_t n = json_array_size(list);
    if (n > LB_MAX_DIMS)
        return lb_fail(err, "shape: %zu dimensions; lowbit takes at most %d (a limit of its own, not of the format)", n, LB_MAX_DIMS);
    for (size_t i = 0; i < n; i++)
        if (read_size(json_array_get(list, i), "shape", i, &shape[i], err))
            return -1;
    *ndim = (unsigned)n;
    return 0;
}

static int read_offsets(const json_t *info, size_t *begin, size_t *end, struct lb_err *err)
{
    const json_t *list = read_list(info, "data_offsets", err);
    if (!list)
        return -1;
    if (json_array_size(list) != 2)
        return lb_fail(err, "data_offsets: expected 2 numbers, found %zu", json_array_size(list));
    if (read_size(json_array_get(list, 0), "data_offsets", 0, begin, err) ||
        read_size(json_array_get(list, 1), "data_offsets", 1, end, err))
        return -1;
    return *begin > *end ? lb_fail(err, "data_offsets: begin %zu is after end %zu", *begin, *end) : 0;
}

static int read_place(const json_t *info, size_t data_size, struct place *p, struct lb_err *err)
{
    char buf[64];
    enum lb_dtype_id dtype = LB_BOOL;
    unsigned ndim = 0;
    size_t shape[LB_MAX_DIMS] = {0};
    if (!json_is_object(info))
        return lb_fail(err, "expected an object, found %s", found(info, buf, sizeof buf));
    if (read_dtype(info, &dtype, err) || read_shape(info, &ndim, shape, err) || read_offsets(info, &p->begin, &p->end, err) ||
        lb_tensor_describe(&p->t, dtype, ndim, shape, err))
        return -1;
    if (!lb_dtype_fills(dtype, p->t.elems))
        return lb_fail(err, "%zu elements of %s do not fill whole bytes", p->t.elems, lb_dtypes[dtype].name);
    if (p->t.bytes != p->end - p->begin)
        return lb_fail(err, "data_offsets [%zu, %zu] hold %zu bytes, shape and dtype need %zu", p->begin, p->end, p->end - p->begin,
                       p->t.bytes);
    if (p->end > data_size)
        return lb_fail(err, "data_offsets [%zu, %zu] go beyond the %zu bytes of data in the file", p->begin, p->end, data_size);
    return 0;
}

/* Zero-size tensors may share an offset with another: they come first there, then by name. */
static int compare_places(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    if (p->begin != q->begin)
        return p->begin < q->begin ? -1 : 1;
    if (p->end != q->end)
        return p->end < q->end ? -1 : 1;
    return strcmp(p->name, q->name);
}

/* Sorted places cover the data without a hole and without overlap. */
static int check_cover(const struct place *p, size_t n, size_t data_size, struct lb_err *err)
{
    char name[96], last[96];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        lb_name_text(p[i].name, name, sizeof name);
        if (p[i].begin > at)
            return lb_fail(err, "tensor \"%s\": begins at %zu, which leaves a hole of %zu bytes before it", name, p[i].begin,
                           p[i].begin - at);
        if (p[i].begin < at)
            return lb_fail(err, "tensor \"%s\": begins at %zu, which overlaps tensor \"%s\" that ends at %zu", name, p[i].begin,
                           lb_name_text(p[i - 1].name, last, sizeof last), at);
        at = p[i].end;
    }
    if (at != data_size)
        return lb_fail(err, "the tensors end at %zu, but the file has %zu bytes of data", at, data_size);
    return 0;
}

static int check_metadata(const json_t *meta, struct lb_err *err)
{
    char buf[64], shown[96];
    const char *key;
    json_t *v;
    if (!json_is_object(meta))
        return lb_fail(err, "%s: expected an object, found %s", METADATA, found(meta, buf, sizeof buf));
    json_object_foreach((json_t *)(uintptr_t)meta, key, v)
    {
        if (!json_is_string(v))
            return lb_fail(err, "%s: \"%s\": expected a string, found %s", METADATA, lb_name_text(key, shown, sizeof shown),
                           found(v, buf, sizeof buf));
    }
    return 0;
}

/* Reads every entry of the header into sorted, checked places. *out is freed by the caller, also after an error. */
static int read_places(json_t *root, size_t data_size, struct place **out, size_t *n_out, struct lb_err *err)
{
    size_t n = 0;
    const char *key;
    json_t *v;
    struct place *p = *out = lb_alloc(json_object_size(root), sizeof *p, err);
    if (!p)
        return -1;
    json_object_foreach(root, key, v)
    {
        if (!strcmp(key, METADATA))
            continue;
        p[n].name = key;
        if (read_place(v, data_size, &p[n], err)) {
            char name[96];
            return lb_fail_in(err, "tensor \"%s\"", lb_name_text(key, name, sizeof name));
        }
        n++;
    }
    qsort(p, n, sizeof *p, compare_places);
    *n_out = n;
    return check_cover(p, n, data_size, err);
}

/* The length of the header, with all that can be said of it before it is read. */
static int read_length(const struct lb_map *m, size_t *length, struct lb_err *err)
{
    uint64_t n = 0;
    if (m->size < PREFIX)
        return lb_fail(err, "%zu bytes; a safetensors file begins with 8 bytes of header length", m->size);
    for (unsigned i = 0; i < PREFIX; i++)
        n |= (uint64_t)m->data[i] << (8 * i);
    if (!n)
        return lb_fail(err, "the header length is 0");
    if (n > MAX_HEADER)
        return lb_fail(err, "the header length %" PRIu64 " is above the format's limit of %d: no safetensors file?", n, MAX_HEADER);
    if (n > m->size - PREFIX)
        return lb_fail(err, "the header length is %" PRIu64 ", but only %zu bytes follow", n, m->size - PREFIX);
    *length = (size_t)n;
    return 0;
}

static json_t *read_header(const char *path, const struct lb_map *m, size_t length, struct lb_err *err)
{
    char name[512], buf[64];
    snprintf(name, sizeof name, "%s: header", path);
    json_t *root = lb_json_parse((const char *)m->data + PREFIX, length, name, err);
    if (root && !json_is_object(root)) {
        lb_fail(err, "%s: expected a JSON object, found %s", name, found(root, buf, sizeof buf));
        json_decref(root);
        root = NULL;
    }
    return root;
}

/* Makes room for one more item, and the index. */
static int reserve(struct lb_safetensors *st, size_t want, struct lb_err *err)
{
    if (!st->index && !(st->index = json_object()))
        return lb_fail(err, "out of memory: index of tensors");
    if (want <= st->cap)
        return 0;
    size_t cap = want > 2 * st->cap ? want : 2 * st->cap;
    struct lb_named *items = lb_alloc(cap, sizeof *items, err);
    if (!items)
        return -1;
    if (st->n)
        memcpy(items, st->items, st->n * sizeof *items);
    lb_free(st->items);
    st->items = items;
    st->cap = cap;
    return 0;
}

/* Appends a view of t. The index is jansson's hash, which is seeded, so that no file can choose names that collide. */
static int append(struct lb_safetensors *st, const char *name, const struct lb_tensor *t, struct lb_err *err)
{
    if (reserve(st, st->n + 1, err))
        return -1;
    char *copy = lb_strdup(name, err);
    if (!copy)
        return -1;
    if (json_object_set_new(st->index, name, json_integer((json_int_t)st->n))) {
        lb_free(copy);
        return lb_fail(err, "out of memory: index of tensors");
    }
    st->items[st->n] = (struct lb_named){copy, *t};
    st->items[st->n++].t.owned = 0;
    return 0;
}

/* Takes the checked places over as views of the map. */
static int add_views(struct lb_safetensors *st, struct place *p, size_t n, size_t data_at, struct lb_err *err)
{
    if (reserve(st, n, err))
        return -1;
    for (size_t i = 0; i < n; i++) {
        p[i].t.data = (unsigned char *)(uintptr_t)(st->map.data + data_at + p[i].begin);
        p[i].t.readonly = 1;
        if (append(st, p[i].name, &p[i].t, err))
            return -1;
    }
    return 0;
}

/* Everything behind the header's JSON. */
static int read_root(struct lb_safetensors *st, json_t *root, size_t data_at, struct lb_err *err)
{
    struct place *p = NULL;
    size_t n = 0;
    json_t *meta = json_object_get(root, METADATA);
    int r = meta ? check_metadata(meta, err) : 0;
    if (!r)
        r = read_places(root, st->map.size - data_at, &p, &n, err);
    if (!r)
        r = add_views(st, p, n, data_at, err);
    if (!r && meta)
        st->metadata = json_incref(meta);
    lb_free(p);
    return r;
}

int lb_safetensors_open(const char *path, struct lb_safetensors *st, struct lb_err *err)
{
    *st = (struct lb_safetensors){0};
    json_t *root = NULL;
    size_t length = 0;
    int r = -1;
    if (lb_map_open(path, &st->map, err))
        goto out; /* the message names the file already */
    if (read_length(&st->map, &length, err)) {
        lb_fail_in(err, "%s", path);
        goto out;
    }
    root = read_header(path, &st->map, length, err);
    if (!root)
        goto out;
    r = read_root(st, root, PREFIX + length, err);
    if (r)
        lb_fail_in(err, "%s", path);
out:
    json_decref(root);
    if (r)
        lb_safetensors_finish(st);
    return r;
}

void lb_safetensors_finish(struct lb_safetensors *st)
{
    for (size_t i = 0; i < st->n; i++) {
        lb_free(st->items[i].name);
        lb_tensor_finish(&st->items[i].t);
    }
    lb_free(st->items);
    json_decref(st->index);
    json_decref(st->metadata);
    lb_map_close(&st->map);
    *st = (struct lb_safetensors){0};
}

const struct lb_tensor *lb_safetensors_find(const struct lb_safetensors *st, const char *name)
{
    const json_t *at = st->index ? json_object_get(st->index, name) : NULL;
    return at ? &st->items[json_integer_value(at)].t : NULL;
}

/* Whether the text can be written: JSON is UTF-8. jansson checks that where it makes a string. */
static int is_utf8(const char *text)
{
    json_t *s = json_string(text);
    json_decref(s);
    return s != NULL;
}

int lb_safetensors_add(struct lb_safetensors *st, const char *name, struct lb_tensor *t, struct lb_err *err)
{
    char shown[96];
    lb_name_text(name, shown, sizeof shown);
    if (!strcmp(name, METADATA) || !is_utf8(name))
        return lb_fail(err, "tensor \"%s\": the name is %s", shown, is_utf8(name) ? "kept for the metadata" : "not UTF-8");
    if (lb_safetensors_find(st, name))
        return lb_fail(err, "tensor \"%s\": there is one of this name already", shown);
    if (append(st, name, t, err))
        return -1;
    st->items[st->n - 1].t.owned = t->owned;
    t->owned = 0;
    return 0;
}

int lb_safetensors_meta(struct lb_safetensors *st, const char *key, const char *value, struct lb_err *err)
{
    char shown[96];
    if (!is_utf8(key) || !is_utf8(value))
        return lb_fail(err, "metadata \"%s\": not UTF-8", lb_name_text(key, shown, sizeof shown));
    if ((!st->metadata && !(st->metadata = json_object())) || json_object_set_new(st->metadata, key, json_string(value)))
        return lb_fail(err, "out of memory: metadata");
    return 0;
}
