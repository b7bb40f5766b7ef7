/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/onnx/onnx_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXTERNAL = 1 };

/* ONNX's numbers of types, and what their elements may be where they lie in fields of int32. */
static const struct {
    int32_t type;
    enum lb_dtype_id dtype;
    int64_t low, high;
} types[] = {
    {1, LB_F32, 0, -1}, {2, LB_U8, 0, UINT8_MAX},    {6, LB_I32, INT32_MIN, INT32_MAX},
    {7, LB_I64, 0, -1}, {10, LB_F16, 0, UINT16_MAX}, {16, LB_BF16, 0, UINT16_MAX},
};
enum { TYPES = sizeof types / sizeof *types };

static size_t find_type(int32_t type)
{
    size_t i = 0;
    while (i < TYPES && types[i].type != type)
        i++;
    return i;
}

int lb_onnx_dtype(int32_t type, struct lb_err *err)
{
    const size_t i = find_type(type);
    if (i < TYPES)
        return (int)types[i].dtype;
    return lb_fail(
        err, "data type %" PRId32 " is not supported; float (1), uint8 (2), int32 (6), int64 (7), float16 (10), bfloat16 (16) are", type);
}

/* ---- Data outside the file -------------------------------------------------------------------------------------------------------- */

static const char *external(const Pb__Tensor *t, const char *key)
{
    for (size_t i = 0; i < t->n_external; i++)
        if (t->external[i]->key && !strcmp(t->external[i]->key, key))
            return lb_onnx_text(t->external[i]->value);
    return NULL;
}

static int external_size(const Pb__Tensor *t, const char *key, size_t otherwise, size_t *v, struct lb_err *err)
{
    const char *text = external(t, key);
    char *end;
    *v = otherwise;
    if (!text)
        return 0;
    errno = 0;
    *v = strtoull(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end)
        return lb_fail(err, "external data: %s \"%.32s\" is no size", key, text);
    return 0;
}

/* /proc's name of an open file, which leads to that very file. */
enum { OPENED = 32 };
static void name_opened(int fd, char name[OPENED])
{
    snprintf(name, OPENED, "/proc/self/fd/%d", fd);
}

/* Where the open file is; -1 where that cannot be said. */
static int place_of(int fd, char place[PATH_MAX])
{
    char name[OPENED];
    name_opened(fd, name);
    const ssize_t n = readlink(name, place, PATH_MAX);
    if (n <= 0 || n == PATH_MAX || *place != '/')
        return -1;
    place[n] = 0;
    return 0;
}

static int lies_in(int fd, int folder)
{
    char place[PATH_MAX], root[PATH_MAX];
    if (place_of(fd, place) || place_of(folder, root))
        return 0;
    const size_t n = strlen(root);
    return !strncmp(place, root, n) && (n == 1 || place[n] == '/');
}

/* Opens `location` where it lies in the model's folder, links followed. What is asked for its place is the open file, so that no link can be changed between
 * the question and the reading; O_PATH, for what lies elsewhere is not to be touched (opening a device can do things). */
static int open_inside(const char *path, const char *location, struct lb_err *err)
{
    enum { ONLY_PLACE = O_PATH | O_CLOEXEC };
    const char *slash = strrchr(path, '/');
    struct lb_text folder = {0};
    char shown[128];
    lb_name_text(location, shown, sizeof shown);
    lb_text_add(&folder, "%.*s", slash ? (int)(slash - path + 1) : 2, slash ? path : "./");
    if (lb_text_end(&folder, err))
        return -1;
    const int root = open(folder.s, ONLY_PLACE | O_DIRECTORY);
    int fd = root < 0 || *location == '/' ? -1 : openat(root, location, ONLY_PLACE);
    if (fd < 0 && root >= 0 && *location != '/') {
        lb_fail(err, "external data: %s: %s", shown, strerror(errno));
    } else if (fd < 0 || !lies_in(fd, root)) {
        lb_fail(err, "external data: \"%s\" is outside the model's folder", shown);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    if (root >= 0)
        close(root);
    lb_text_free(&folder);
    return fd;
}

static int map_inside(const char *path, const char *location, struct lb_map *map, struct lb_err *err)
{
    char opened[OPENED], shown[128], name[160];
    const int fd = open_inside(path, location, err);
    if (fd < 0)
        return -1;
    name_opened(fd, opened);
    lb_name_text(location, shown, sizeof shown);
    snprintf(name, sizeof name, "external data: %s", shown);
    const int r = lb_map_open_as(opened, name, map, err);
    close(fd);
    return r;
}

static int read_external(const Pb__Tensor *t, const char *path, struct lb_tensor *out, struct lb_err *err)
{
    const char *location = external(t, "location");
    struct lb_map map = {0};
    size_t offset, length;
    if (t->has_raw || t->n_floats || t->n_int32s || t->n_int64s)
        return lb_fail(err, "has numbers in the file, and outside too");
    if (!location || !*location)
        return lb_fail(err, "external data: no location");
    if (external_size(t, "offset", 0, &offset, err) || external_size(t, "length", out->bytes, &length, err))
        return -1;
    if (length != out->bytes)
        return lb_fail(err, "external data: length %zu, wanted %zu bytes by its shape", length, out->bytes);
    int r = map_inside(path, location, &map, err);
    if (!r && (offset > map.size || length > map.size - offset))
        r = lb_fail(err, "external data: %s has %zu bytes, wanted %zu from %zu on", location, map.size, length, offset);
    if (!r && !(out->data = lb_alloc(length, 1, err)))
        r = -1;
    if (!r) {
        out->owned = 1;
        if (length)
            memcpy(out->data, map.data + offset, length);
    }
    lb_map_close(&map);
    return r;
}

/* ---- Data in the file ------------------------------------------------------------------------------------------------------------- */

/* Elements of up to 4 bytes that lie in fields of int32. */
static int narrow(const Pb__Tensor *t, size_t type, struct lb_tensor *out, struct lb_err *err)
{
    const size_t size = lb_dtypes[out->dtype].bits / 8;
    if (!(out->data = lb_alloc(out->bytes, 1, err)))
        return -1;
    out->owned = 1;
    for (size_t i = 0; i < out->elems; i++) {
        const int32_t v = t->int32s[i];
        if (v < types[type].low || v > types[type].high)
            return lb_fail(err, "element %zu is %" PRId32 ", wanted %" PRId64 " to %" PRId64, i, v, types[type].low, types[type].high);
        memcpy(out->data + i * size, &v, size); /* little-endian, as the raw data of the file is */
    }
    return 0;
}

static int read_inside(const Pb__Tensor *t, size_t type, struct lb_tensor *out, struct lb_err *err)
{
    const int f32 = out->dtype == LB_F32, i64 = out->dtype == LB_I64;
    const size_t fields = t->n_floats + t->n_int32s + t->n_int64s, n = f32 ? t->n_floats : i64 ? t->n_int64s : t->n_int32s;
    if (t->has_raw && fields)
        return lb_fail(err, "has its numbers twice, raw and in fields");
    if (t->has_raw && t->raw.len != out->bytes)
        return lb_fail(err, "has %zu bytes, wanted %zu by its shape", t->raw.len, out->bytes);
    if (!t->has_raw && (n != out->elems || n != fields))
        return lb_fail(err, "has %zu numbers in fields of its type and %zu in others, wanted %zu by its shape", n, fields - n, out->elems);
    if (!t->has_raw && !f32 && !i64)
        return narrow(t, type, out, err);
    out->data = t->has_raw ? t->raw.data : f32 ? (unsigned char *)t->floats : (unsigned char *)t->int64s;
    out->readonly = 1;
    return 0;
}

int lb_onnx_tensor(const Pb__Tensor *t, const char *path, struct lb_tensor *out, struct lb_err *err)
{
    size_t shape[LB_MAX_DIMS];
    const int dtype = lb_onnx_dtype(t->type, err);
    *out = (struct lb_tensor){0};
    if (dtype < 0)
        return -1;
    if (t->n_dims > LB_MAX_DIMS)
        return lb_fail(err, "%zu dimensions: lowbit takes at most %d", t->n_dims, LB_MAX_DIMS);
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0)
            return lb_fail(err, "dimension %zu is %" PRId64, i, t->dims[i]);
        shape[i] = (size_t)t->dims[i];
    }
    if (lb_tensor_describe(out, (enum lb_dtype_id)dtype, (unsigned)t->n_dims, shape, err))
        return -1;
    if (t->has_location && t->location != 0 && t->location != EXTERNAL)
        return lb_fail(err, "data location %" PRId32 ", wanted 0 or 1", t->location);
    const int r =
        t->has_location && t->location == EXTERNAL ? read_external(t, path, out, err) : read_inside(t, find_type(t->type), out, err);
    if (r)
        lb_tensor_finish(out);
    return r;
}
