/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 8, MAX_HEADER = 100000000 };

static int by_name(const void *a, const void *b)
{
    const struct lb_named *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* The reference writer's order of data: dtypes from the last of the table to the first, then names, byte by byte. */
static int by_alignment(const void *a, const void *b)
{
    const struct lb_named *const *x = a, *const *y = b;
    if ((*x)->t.dtype != (*y)->t.dtype)
        return (*x)->t.dtype > (*y)->t.dtype ? -1 : 1;
    return by_name(a, b);
}

static const struct lb_named **sorted(const struct lb_safetensors *st, int (*compare)(const void *, const void *), struct lb_err *err)
{
    const struct lb_named **p = lb_alloc(st->n, sizeof *p, err);
    if (!p)
        return NULL;
    for (size_t i = 0; i < st->n; i++)
        p[i] = &st->items[i];
    qsort(p, st->n, sizeof *p, compare);
    return p;
}

/* A JSON string as the reference writer spells it (small hexadecimal digits, which jansson's writer has large), so that files are byte-equal. */
static void put_string(struct lb_text *h, const char *s)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    lb_text_put(h, "\"", 1);
    for (; *s; s++) {
        const char *special = strchr(from, *s);
        if (special)
            lb_text_add(h, "\\%c", to[special - from]);
        else if ((unsigned char)*s < 0x20)
            lb_text_add(h, "\\u%04x", (unsigned)*s);
        else
            lb_text_put(h, s, 1);
    }
    lb_text_put(h, "\"", 1);
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Keys sorted. The reference writer's order is that of its hash table: with two keys or more its files differ from run to run. */
static int put_metadata(struct lb_text *h, json_t *meta, struct lb_err *err)
{
    size_t n = 0;
    const char *key, **keys = lb_alloc(json_object_size(meta), sizeof *keys, err);
    json_t *v;
    if (!keys)
        return -1;
    json_object_foreach(meta, key, v) keys[n++] = key;
    qsort(keys, n, sizeof *keys, by_text);
    lb_text_add(h, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        if (i)
            lb_text_put(h, ",", 1);
        put_string(h, keys[i]);
        lb_text_put(h, ":", 1);
        put_string(h, json_string_value(json_object_get(meta, keys[i])));
    }
    lb_text_put(h, "}", 1);
    lb_free(keys);
    return 0;
}

/* Whether a tensor can be in a file: its parts agree, and its codes fill whole bytes. */
static int check(const struct lb_named *item, struct lb_err *err)
{
    const struct lb_tensor *t = &item->t;
    struct lb_tensor want;
    char name[96];
    if (lb_tensor_describe(&want, t->dtype, t->ndim, t->shape, err))
        return lb_fail_in(err, "tensor \"%s\"", lb_name_text(item->name, name, sizeof name));
    if (want.elems != t->elems || want.bytes != t->bytes || (t->bytes && !t->data))
        return lb_fail(err, "tensor \"%s\": shape, size and data do not agree", lb_name_text(item->name, name, sizeof name));
    if (!lb_dtype_fills(t->dtype, t->elems))
        return lb_fail(err, "tensor \"%s\": %zu elements of %s do not fill whole bytes", lb_name_text(item->name, name, sizeof name),
                       t->elems, lb_dtypes[t->dtype].name);
    return 0;
}

static int put_tensor(struct lb_text *h, const struct lb_named *item, size_t *offset, struct lb_err *err)
{
    const struct lb_tensor *t = &item->t;
    size_t end;
    if (check(item, err))
        return -1;
    if (lb_add(*offset, t->bytes, &end))
        return lb_fail(err, "the file would be larger than this machine can address");
    put_string(h, item->name);
    lb_text_add(h, ":{\"dtype\":\"%s\",\"shape\":[", lb_dtypes[t->dtype].name);
    for (unsigned i = 0; i < t->ndim; i++)
        lb_text_add(h, "%s%zu", i ? "," : "", t->shape[i]);
    lb_text_add(h, "],\"data_offsets\":[%zu,%zu]}", *offset, end);
    *offset = end;
    return 0;
}

static int make_header(const struct lb_safetensors *st, const struct lb_named **order, struct lb_text *h, struct lb_err *err)
{
    size_t offset = 0;
    lb_text_put(h, "{", 1);
    if (st->metadata && put_metadata(h, st->metadata, err))
        return -1;
    for (size_t i = 0; i < st->n; i++) {
        if (i || st->metadata)
            lb_text_put(h, ",", 1);
        if (put_tensor(h, order[i], &offset, err))
            return -1;
    }
    lb_text_put(h, "}", 1);
    while (h->n % ALIGN && !h->failed)
        lb_text_put(h, " ", 1);
    if (lb_text_end(h, err))
        return -1;
    if (h->n > MAX_HEADER)
        return lb_fail(err, "a header of %zu bytes is above the format's limit of %d", h->n, MAX_HEADER);
    return 0;
}

static int put_file(FILE *out, const struct lb_named **order, size_t n, const struct lb_text *h, struct lb_err *err)
{
    unsigned char length[8];
    for (unsigned i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)h->n >> (8 * i));
    int bad = fwrite(length, 1, sizeof length, out) != sizeof length || fwrite(h->s, 1, h->n, out) != h->n;
    for (size_t i = 0; i < n && !bad; i++)
        if (order[i]->t.bytes)
            bad = fwrite(order[i]->t.data, 1, order[i]->t.bytes, out) != order[i]->t.bytes;
    return bad ? lb_fail(err, "cannot be written: %s", strerror(errno)) : 0;
}

int lb_safetensors_write(const struct lb_safetensors *st, const char *path, struct lb_err *err)
{
    struct lb_text h = {0};
    struct lb_out f = {0};
    int r = -1;
    const struct lb_named **order = sorted(st, by_alignment, err);
    if (!order)
        return -1;
    if (make_header(st, order, &h, err)) {
        lb_fail_in(err, "%s", path);
        goto out;
    }
    if (lb_out_open(&f, path, err))
        goto out;
    if (put_file(f.out, order, st->n, &h, err)) {
        lb_fail_in(err, "%s", path);
        goto out;
    }
    r = lb_out_commit(&f, err);
out:
    lb_out_abort(&f);
    lb_text_free(&h);
    lb_free(order);
    return r;
}

static void hash_item(struct lb_sha256 *h, const struct lb_named *item)
{
    const struct lb_tensor *t = &item->t;
    const char *tag = lb_dtypes[t->dtype].name;
    lb_sha256_add(h, item->name, strlen(item->name) + 1);
    lb_sha256_add(h, tag, strlen(tag) + 1);
    for (unsigned i = 0; i < t->ndim; i++) {
        char number[32];
        int n = snprintf(number, sizeof number, "%s%zu", i ? "," : "", t->shape[i]);
        lb_sha256_add(h, number, (size_t)n);
    }
    lb_sha256_add(h, "", 1);
    if (t->bytes)
        lb_sha256_add(h, t->data, t->bytes);
}

int lb_safetensors_sha256(const struct lb_safetensors *st, char hex[65], struct lb_err *err)
{
    const struct lb_named **order = sorted(st, by_name, err);
    struct lb_sha256 *h = order ? lb_sha256_create(err) : NULL;
    if (h) {
        for (size_t i = 0; i < st->n; i++)
            hash_item(h, order[i]);
        lb_sha256_end(h, hex);
    }
    lb_free(order);
    return h ? 0 : -1;
}
