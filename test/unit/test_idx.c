/* SPDX-License-Identifier: MIT */
/* core/nn/idx.c: good files plain and .gz, files cut at every byte, each header field at 0 and at the maximum, bytes too many, damaged gzip
 * data, and headers that promise more than a file can hold. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/nn/dataset.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { IMAGES_SIZE = 16 + 12, LABELS_SIZE = 8 + 5, ROOM = 4096 };

/* 2 images of 2 x 3, and 5 labels. */
static const unsigned char images[IMAGES_SIZE] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
static const unsigned char labels[LABELS_SIZE] = {0, 0, 8, 1, 0, 0, 0, 5, 9, 8, 7, 0, 1};

static char folder[256], path[300];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lowbit-idx-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static void write_bytes(const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
}

/* A whole .gz of n bytes; returns its size. */
static size_t pack(const void *data, size_t n, unsigned char *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (unsigned)n, .next_out = out, .avail_out = (unsigned)room};
    cr_assert(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    cr_assert(deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static void write_packed(const void *data, size_t n)
{
    unsigned char gz[ROOM];
    write_bytes(gz, pack(data, n, gz, sizeof gz));
}

static int read_either(int is_images, unsigned char **data, struct lb_err *err)
{
    size_t n, h, w;
    return is_images ? lb_idx_images(path, &n, &h, &w, data, err) : lb_idx_labels(path, &n, data, err);
}

/* The file is refused with one line that names it and holds `text`, and nothing is handed out. */
static void refused(int is_images, const char *text, const char *what, size_t at)
{
    struct lb_err err = {0};
    unsigned char *data = (unsigned char *)(uintptr_t)images;
    size_t before = lb_mem_now();
    cr_assert(read_either(is_images, &data, &err) == -1, "%s %zu: accepted", what, at);
    cr_expect(data == NULL, "%s %zu: data was handed out", what, at);
    cr_expect(lb_mem_now() == before, "%s %zu: memory was kept", what, at);
    cr_expect(err.set && strncmp(err.text, path, strlen(path)) == 0 && !strchr(err.text, '\n'), "%s %zu: %s", what, at, err.text);
    cr_expect(strstr(err.text, text), "%s %zu: expected \"%s\" in: %s", what, at, text, err.text);
}

TestSuite(idx, .init = make_folder, .fini = remove_folder);

Test(idx, plain_and_packed)
{
    for (int gz = 0; gz < 2; gz++) {
        struct lb_err err = {0};
        unsigned char *data = NULL;
        size_t n = 0, h = 0, w = 0;
        (gz ? write_packed : write_bytes)(images, sizeof images);
        cr_assert(lb_idx_images(path, &n, &h, &w, &data, &err) == 0, "%s", err.text);
        cr_expect(n == 2 && h == 2 && w == 3 && memcmp(data, images + 16, 12) == 0);
        lb_free(data);
        (gz ? write_packed : write_bytes)(labels, sizeof labels);
        cr_assert(lb_idx_labels(path, &n, &data, &err) == 0, "%s", err.text);
        cr_expect(n == 5 && memcmp(data, labels + 8, 5) == 0);
        lb_free(data);
    }
}

Test(idx, cut_at_every_byte)
{
    for (int is_images = 0; is_images < 2; is_images++) {
        const unsigned char *whole = is_images ? images : labels;
        size_t size = is_images ? sizeof images : sizeof labels;
        unsigned char gz[ROOM];
        for (size_t n = 0; n < size; n++) {
            write_bytes(whole, n);
            refused(is_images, "expected", "plain cut at", n);
            write_packed(whole, n);
            refused(is_images, "expected", "cut, then packed, at", n);
        }
        size_t packed = pack(whole, size, gz, sizeof gz);
        for (size_t n = 0; n < packed; n++) {
            write_bytes(gz, n);
            refused(is_images, "expected", "packed, then cut, at", n);
        }
    }
}

Test(idx, bytes_too_many)
{
    unsigned char more[ROOM] = {0};
    memcpy(more, images, sizeof images);
    write_bytes(more, sizeof images + 1);
    refused(1, "expected 12 bytes of images after it, found 13", "plain and more", 1);
    write_packed(more, sizeof images + 1);
    refused(1, "found more", "packed with more inside", 1);
    size_t n = pack(images, sizeof images, more, sizeof more);
    more[n] = 0;
    write_bytes(more, n + 1);
    refused(1, "after the gzip data, found 1 bytes more", "packed and more", 1);
}

Test(idx, each_header_field)
{
    static const struct {
        int is_images;
        size_t at;
        uint32_t value;
        const char *text;
    } cases[] = {
        {1, 0, 0, "expected IDX images (magic 0x00000803), found magic 0x00000000"},
        {1, 0, UINT32_MAX, "found magic 0xffffffff"},
        {1, 0, 0x00000801, "found magic 0x00000801"},
        {1, 0, 0x03080000, "found magic 0x03080000"},
        {1, 0, 0x00000d03, "found magic 0x00000d03"},
        {1, 4, 0, "at least 1 in dimension 0, found 0"},
        {1, 8, 0, "at least 1 in dimension 1, found 0"},
        {1, 12, 0, "at least 1 in dimension 2, found 0"},
        {1, 4, UINT32_MAX, "found sizes beyond that"},
        {1, 8, UINT32_MAX, "found sizes beyond that"},
        {1, 12, UINT32_MAX, "found sizes beyond that"},
        {1, 4, 1, "found"},
        {1, 4, 3, "expected 18 bytes"},
        {1, 4, 0x10000000, "expected 1610612736 bytes"},
        {1, 4, 0x15555555, "expected 2147483646 bytes"},
        {1, 4, 0x15555556, "found sizes beyond that"},
        {0, 0, 0x00000803, "expected IDX labels (magic 0x00000801), found magic 0x00000803"},
        {0, 4, 0, "at least 1 in dimension 0, found 0"},
        {0, 4, UINT32_MAX, "found sizes beyond that"},
        {0, 4, INT32_MAX, "expected 2147483647 bytes"},
        {0, 4, 4, "found"},
        {0, 4, 6, "expected 6 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char file[IMAGES_SIZE];
        size_t size = cases[i].is_images ? sizeof images : sizeof labels;
        memcpy(file, cases[i].is_images ? images : labels, size);
        for (int k = 0; k < 4; k++)
            file[cases[i].at + (size_t)k] = (unsigned char)(cases[i].value >> (24 - 8 * k));
        lb_mem_reset_peak();
        size_t before = lb_mem_peak();
        write_bytes(file, size);
        refused(cases[i].is_images, cases[i].text, "plain case", i);
        write_packed(file, size);
        /* A promise that a .gz of this size could keep is found out only at its end, and then differently worded. */
        refused(cases[i].is_images, cases[i].value < 10 ? "found" : cases[i].text, "packed case", i);
        cr_expect(lb_mem_peak() - before < 1 << 20, "case %zu: %zu bytes were allocated", i, lb_mem_peak() - before);
    }
}

Test(idx, three_sizes_that_overflow)
{
    unsigned char file[IMAGES_SIZE];
    memcpy(file, images, sizeof file);
    memset(file + 4, 0xff, 12);
    write_bytes(file, sizeof file);
    refused(1, "found sizes beyond that", "all sizes at", UINT32_MAX);
}

Test(idx, damaged_gzip)
{
    unsigned char gz[ROOM];
    size_t n = pack(images, sizeof images, gz, sizeof gz);
    for (size_t at = n - 8; at < n; at++) { /* CRC-32 and length */
        gz[at] ^= 1;
        write_bytes(gz, n);
        refused(1, "damaged gzip data", "byte", at);
        gz[at] ^= 1;
    }
    gz[2] = 0; /* the method */
    write_bytes(gz, n);
    refused(1, "damaged gzip data", "byte", 2);
}

/* 64 MiB of zeros in 64 KiB of gzip data, behind a header that promises 12 bytes. */
Test(idx, bomb)
{
    enum { BOMB = 64 << 20 };
    unsigned char *big = calloc(BOMB, 1), *gz = malloc(1 << 20);
    cr_assert(big && gz);
    memcpy(big, images, 16);
    write_bytes(gz, pack(big, BOMB, gz, 1 << 20));
    lb_mem_reset_peak();
    size_t before = lb_mem_peak();
    refused(1, "found more", "bomb of", BOMB);
    cr_expect(lb_mem_peak() - before < 1 << 20, "%zu bytes were allocated", lb_mem_peak() - before);
    free(big);
    free(gz);
}

Test(idx, no_file)
{
    refused(1, "", "no file", 0);
    struct lb_err err = {0};
    unsigned char *data;
    size_t n;
    cr_expect(lb_idx_labels(folder, &n, &data, &err) == -1 && strstr(err.text, "regular file"), "%s", err.text);
}
