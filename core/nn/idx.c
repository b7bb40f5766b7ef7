/* SPDX-License-Identifier: MIT */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/nn/dataset.h"

#include <limits.h>
#include <string.h>
#include <zlib.h>

/* An IDX file is big-endian: u32 magic 0x0000TTDD (TT = 08: bytes, DD: dimensions), DD sizes as u32, then the bytes, and no more. */
enum { IMAGES = 0x00000803, LABELS = 0x00000801, MAX_HEADER = 16 };

/* Deflate makes at most 1032 bytes of one: a header that promises more than that is a lie, found before anything is allocated. */
enum { MAX_RATIO = 1032 };

/* No data set that lowbit is for comes near it; it bounds what a small .gz can make us allocate. */
static const size_t max_payload = (size_t)1 << 31;

/* The bytes of a file, unpacked while they are read where it is a .gz. */
struct stream {
    const char *path;
    struct lb_map map;
    size_t at; /* bytes of the map that have been given to zlib, or copied */
    int gz, ended;
    z_stream z;
};

static void *zlib_alloc(void *opaque, unsigned items, unsigned size)
{
    (void)opaque;
    return lb_alloc(items, size, NULL);
}

static void zlib_free(void *opaque, void *p)
{
    (void)opaque;
    lb_free(p);
}

static int stream_open(struct stream *s, const char *path, struct lb_err *err)
{
    *s = (struct stream){.path = path};
    if (lb_map_open(path, &s->map, err))
        return -1;
    s->gz = s->map.size >= 2 && s->map.data[0] == 0x1f && s->map.data[1] == 0x8b;
    if (!s->gz)
        return 0;
    s->z.zalloc = zlib_alloc;
    s->z.zfree = zlib_free;
    if (inflateInit2(&s->z, 16 + MAX_WBITS) == Z_OK) /* 16: a gzip header, not a zlib one */
        return 0;
    lb_map_close(&s->map);
    return lb_fail(err, "%s: cannot unpack: out of memory", path);
}

static void stream_close(struct stream *s)
{
    if (s->gz)
        inflateEnd(&s->z);
    lb_map_close(&s->map);
}

static unsigned chunk(size_t n)
{
    return n < UINT_MAX ? (unsigned)n : UINT_MAX;
}

/* Reads up to n bytes into out; *got < n only at the end of the data. */
static int stream_read(struct stream *s, unsigned char *out, size_t n, size_t *got, struct lb_err *err)
{
    *got = 0;
    if (!s->gz) {
        *got = s->map.size - s->at < n ? s->map.size - s->at : n;
        if (*got)
            memcpy(out, s->map.data + s->at, *got);
        s->at += *got;
        return 0;
    }
    while (*got < n && !s->ended) {
        unsigned in = chunk(s->map.size - s->at), room = chunk(n - *got);
        s->z.next_in = (Bytef *)(uintptr_t)(s->map.data + s->at);
        s->z.avail_in = in;
        s->z.next_out = out + *got;
        s->z.avail_out = room;
        int rc = inflate(&s->z, Z_NO_FLUSH);
        s->at += in - s->z.avail_in;
        *got += room - s->z.avail_out;
        s->ended = rc == Z_STREAM_END;
        if (rc == Z_BUF_ERROR)
            return lb_fail(err, "%s: the gzip data end too early: expected a whole .gz file, found %zu bytes of it", s->path, s->map.size);
        if (rc != Z_OK && rc != Z_STREAM_END)
            return lb_fail(err, "%s: damaged gzip data near byte %zu: %s", s->path, s->at, s->z.msg ? s->z.msg : "out of memory");
    }
    return 0;
}

/* After the last byte that was asked for: no byte more, and for a .gz its checksum and then the end of the file. */
static int stream_end(struct stream *s, struct lb_err *err)
{
    unsigned char more;
    size_t got;
    if (stream_read(s, &more, 1, &got, err))
        return -1;
    if (got)
        return lb_fail(err, "%s: expected the end of the data after what the header promises, found more", s->path);
    if (s->at != s->map.size)
        return lb_fail(err, "%s: expected the end of the file after the gzip data, found %zu bytes more", s->path, s->map.size - s->at);
    return 0;
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads and checks the header: `size` gets the dimensions, *bytes their product, which is known to be possible for a file of this size. */
static int read_header(struct stream *s, uint32_t magic, size_t size[3], size_t *bytes, struct lb_err *err)
{
    const char *kind = magic == IMAGES ? "images" : "labels";
    unsigned dims = magic & 0xff;
    unsigned char h[MAX_HEADER];
    size_t want = 4 + 4 * (size_t)dims, got;
    if (stream_read(s, h, want, &got, err))
        return -1;
    if (got >= 4 && big_endian(h) != magic)
        return lb_fail(err, "%s: expected IDX %s (magic 0x%08x), found magic 0x%08x", s->path, kind, magic, big_endian(h));
    if (got < want)
        return lb_fail(err, "%s: expected an IDX header of %zu bytes for %s, found %zu bytes", s->path, want, kind, got);
    *bytes = 1;
    for (unsigned d = 0; d < dims; d++) {
        size[d] = big_endian(h + 4 + 4 * (size_t)d);
        if (size[d] == 0)
            return lb_fail(err, "%s: IDX header: expected a size of at least 1 in dimension %u, found 0", s->path, d);
        if (lb_mul(*bytes, size[d], bytes) || *bytes > max_payload)
            return lb_fail(err, "%s: IDX header: expected at most %zu bytes of %s, found sizes beyond that", s->path, max_payload, kind);
    }
    size_t possible = s->map.size - s->at;
    if (s->gz && lb_mul(s->map.size, MAX_RATIO, &possible))
        possible = SIZE_MAX;
    if (*bytes > possible || (!s->gz && *bytes < possible))
        return lb_fail(err, "%s: IDX header: expected %zu bytes of %s after it, found %s%zu", s->path, *bytes, kind,
                       s->gz ? "at most " : "", possible);
    return 0;
}

static int read_idx(const char *path, uint32_t magic, size_t size[3], unsigned char **out, struct lb_err *err)
{
    struct stream s;
    unsigned char *data = NULL;
    size_t bytes, got;
    int rc = -1;
    *out = NULL;
    if (stream_open(&s, path, err))
        return -1;
    if (read_header(&s, magic, size, &bytes, err) || !(data = lb_alloc(bytes, 1, err)) || stream_read(&s, data, bytes, &got, err))
        goto out;
    if (got < bytes) {
        lb_fail(err, "%s: IDX header: expected %zu bytes after it, found %zu", path, bytes, got);
        goto out;
    }
    if (stream_end(&s, err))
        goto out;
    *out = data;
    data = NULL;
    rc = 0;
out:
    lb_free(data);
    stream_close(&s);
    return rc;
}

int lb_idx_images(const char *path, size_t *n, size_t *height, size_t *width, unsigned char **pixels, struct lb_err *err)
{
    size_t size[3] = {0};
    if (read_idx(path, IMAGES, size, pixels, err))
        return -1;
    *n = size[0];
    *height = size[1];
    *width = size[2];
    return 0;
}

int lb_idx_labels(const char *path, size_t *n, unsigned char **labels, struct lb_err *err)
{
    size_t size[3] = {0};
    if (read_idx(path, LABELS, size, labels, err))
        return -1;
    *n = size[0];
    return 0;
}
