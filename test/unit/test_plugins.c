/* SPDX-License-Identifier: MIT */
/* Search order, shadowing, names, parameters. The refusals themselves are test/sh/plugins_refused.sh. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/plugins.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[64], built[4096]; /* a fresh folder; the build folder that this program lies in */
static size_t had;

static void setup(void)
{
    char exe[4000];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    cr_assert(n > 0);
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    snprintf(built, sizeof built, "%s/..", exe);
    snprintf(root, sizeof root, "/tmp/lowbit-test-XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
    unsetenv("LOWBIT_PLUGIN_PATH");
    had = lb_mem_now();
    cr_redirect_stderr();
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_expect_eq(system(command), 0);
}

/* At the end of each test, whose result what stands in teardown would not reach: nothing is left. */
static void done(void)
{
    lb_plugins_unload();
    cr_expect_eq(lb_mem_now(), had, "%zu bytes are left", lb_mem_now() - had);
}

TestSuite(plugins, .init = setup, .fini = teardown);

/* root/FOLDER/NAME, a copy of a plugin that is built. Returns the folder. */
static const char *put(char folder[160], const char *dir, const char *from, const char *name)
{
    struct lb_err err = {0};
    char path[4200], to[512];
    size_t size;
    snprintf(folder, 160, "%s/%s", root, dir);
    snprintf(path, sizeof path, "%s/%s", built, from);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    char *data = lb_read_file(path, &size, &err);
    cr_assert(data && !lb_make_dirs(folder, &err) && !lb_write_file(to, data, size, &err), "%s", err.text);
    lb_free(data);
    return folder;
}

static size_t count(const char *name, int shadowed)
{
    size_t n = 0;
    for (size_t i = 0; i < lb_plugins_count(); i++)
        n += !strcmp(lb_plugins_at(i)->name, name) && lb_plugins_at(i)->shadowed == shadowed;
    return n;
}

static int starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

Test(plugins, nearest)
{
    static const char *const words[] = {"quality", "F16", "BF16", "MXFP4", "epochs", "momentum", NULL, ""};
    static const struct {
        const char *word, *want;
    } rows[] = {
        {"qualty", "quality"},   {"Quality", "quality"}, {"quailty", "quality"}, {"F17", "F16"},           {"f16", "F16"}, {"bf16", "BF16"},
        {"MXFP6", "MXFP4"},      {"epoch", "epochs"},    {"eposch", "epochs"},   {"momentun", "momentum"}, {"", NULL},     {"xyz", NULL},
        {"learning_rate", NULL}, {"quantum", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = lb_nearest(rows[i].word, words, sizeof words / sizeof *words);
        cr_expect(got == rows[i].want || (got && rows[i].want && !strcmp(got, rows[i].want)), "\"%s\": expected %s, got %s", rows[i].word,
                  rows[i].want ? rows[i].want : "none", got ? got : "none");
    }
    char longest[200] = "";
    memset(longest, 'x', sizeof longest - 1);
    cr_expect_null(lb_nearest(longest, words, 6));
    cr_expect_null(lb_nearest("x", (const char *const[]){longest}, 1));
}

/* The first folder of a name wins; its order is --plugins, then the variable. A folder named twice is searched once. */
Test(plugins, search_order)
{
    struct lb_err err = {0};
    char a[160], b[160], c[160], dirs[600], from_env[600];
    put(a, "a", "bad/good_one.so", "one.so");
    put(b, "b", "bad/good_one.so", "two.so");
    put(c, "c", "bad/good_one.so", "three.so");
    snprintf(dirs, sizeof dirs, "%s:%s/:%s", b, a, b);
    snprintf(from_env, sizeof from_env, "/not/there::%s:%s", a, c);
    setenv("LOWBIT_PLUGIN_PATH", from_env, 1);
    cr_assert_eq(lb_plugins_load(dirs, &err), 0, "%s", err.text);
    cr_expect_eq(count("GOOD_ONE", 0), 1);
    cr_expect_eq(count("GOOD_ONE", 1), 2);
    const struct lb_entry *e = lb_plugins_find(LB_CODEC, "GOOD_ONE", &err);
    cr_assert(e && !e->shadowed && starts(e->file, b), "%s", e ? e->file : err.text);
    cr_expect_str_eq(lb_plugins_at(1)->name, "GOOD_ONE");
    cr_expect(starts(lb_plugins_at(1)->file, a) && starts(lb_plugins_at(2)->file, c));
    char hex[65];
    cr_expect(!lb_sha256_file(e->file, hex, &err) && !strcmp(hex, e->file_sha256), "%s", e->file_sha256);
    done();
}

/* One file that is named wins, whether it comes before or after the folders. */
Test(plugins, file_wins)
{
    struct lb_err err = {0};
    char a[160], b[160], file[200];
    put(a, "a", "bad/good_one.so", "one.so");
    put(b, "b", "bad/good_one.so", "one.so");
    snprintf(file, sizeof file, "%s/one.so", b);
    for (int order = 0; order < 2; order++) {
        cr_assert_eq(order ? lb_plugins_load_file(file, &err) : lb_plugins_load(a, &err), 0, "%s", err.text);
        cr_assert_eq(order ? lb_plugins_load(a, &err) : lb_plugins_load_file(file, &err), 0, "%s", err.text);
        const struct lb_entry *e = lb_plugins_find(LB_CODEC, "GOOD_ONE", &err);
        cr_assert(e && !strcmp(e->file, file), "order %d: %s", order, e ? e->file : err.text);
        cr_expect_eq(count("GOOD_ONE", 1), 1);
        lb_plugins_unload();
    }
    done();
}

Test(plugins, names)
{
    static const struct {
        const char *name, *want; /* what it finds, or what the error says */
    } rows[] = {{"GOOD_ONE", "GOOD_ONE"},
                {"good_one", "GOOD_ONE"},
                {"good1", "GOOD_ONE"},
                {"GOOD1", "there is no codec \"GOOD1\""}, /* an alias only to the letter */
                {"1good", "GOOD_ONE"},
                {"good1 1good", "there is no codec \"good1 1good\"; see lowbit list codecs"},
                {"good", "there is no codec \"good\"; see lowbit list codecs"},
                {"GOD_ONE", "there is no codec \"GOD_ONE\"; did you mean \"GOOD_ONE\"?"},
                {"bad_abi", "codec \"bad_abi\" was not loaded: "},
                {"", "there is no codec \"\"; see lowbit list codecs"}};
    struct lb_err err = {0};
    char a[160];
    put(a, "a", "bad/good_one.so", "one.so");
    put(a, "a", "bad/bad_abi.so", "bad_abi.so");
    cr_assert_eq(lb_plugins_load(a, &err), 0, "%s", err.text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lb_err e = {0};
        const struct lb_entry *got = lb_plugins_find(LB_CODEC, rows[i].name, &e);
        cr_expect(starts(got ? got->name : e.text, rows[i].want), "\"%s\": %s", rows[i].name, got ? got->name : e.text);
    }
    cr_expect_null(lb_plugins_find(LB_BACKEND, "GOOD_ONE", &err));
    cr_expect(starts(err.text, "there is no backend \"GOOD_ONE\""), "%s", err.text);
    cr_assert_not_null(lb_plugins_refused("bad_abi"));
    cr_expect_not(lb_plugins_refused("bad_abi")->missing, "it was refused, but no library is missing");
    cr_expect_null(lb_plugins_refused("good"));
    done();
}

/* A struct longer than the host's is copied whole, so that its own functions find what they know. */
Test(plugins, longer_struct)
{
    struct lb_err err = {0};
    char a[160];
    struct lb_codec *c;
    put(a, "a", "bad/good_big.so", "big.so");
    cr_assert_eq(lb_plugins_load(a, &err), 0, "%s", err.text);
    cr_assert_eq(lb_plugins_codec("GOOD_BIG", NULL, 0, &c, NULL, &err), 0, "%s", err.text);
    cr_expect(c->base.size > sizeof *c && !c->encode && !c->glsl);
    cr_expect_eq(c->value(c, 200), 100.0);
    lb_plugins_codec_free(c);
    done();
}

Test(plugins, parameters)
{
    static const struct {
        const char *codec;
        struct lb_param p;
        size_t n;
        const char *want; /* NULL: taken */
    } rows[] = {{"GOOD_ONE", {"n", 1, NULL}, 1, "codec GOOD_ONE takes no parameters, found \"n\""},
                {"GOOD_ONE", {"n", 1, NULL}, 0, NULL},
                {"SKELETON", {"low", -2, NULL}, 1, NULL},
                {"SKELETON", {"low", -2, NULL}, 0, NULL},
                {"SKELETON", {"low", 0.5, NULL}, 1, "codec SKELETON: low: expected a whole number"},
                {"SKELETON", {"low", 0, "x"}, 1, "codec SKELETON: low: expected a whole number"},
                {"SKELETON", {"high", 1, NULL}, 1, "codec SKELETON: there is no parameter \"high\""},
                {"SKELETONS", {"low", 1, NULL}, 1, "there is no codec \"SKELETONS\"; did you mean \"SKELETON\"?"}};
    struct lb_err err = {0};
    char a[160];
    put(a, "a", "bad/good_one.so", "one.so");
    put(a, "a", "plugins/skeleton_codec.so", "skeleton_codec.so");
    cr_assert_eq(lb_plugins_load(a, &err), 0, "%s", err.text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lb_err e = {0};
        const struct lb_entry *entry = NULL;
        struct lb_codec *c = NULL;
        const int r = lb_plugins_codec(rows[i].codec, &rows[i].p, rows[i].n, &c, &entry, &e);
        cr_expect(rows[i].want ? r && !c && starts(e.text, rows[i].want) : !r && c && entry, "row %zu: %s", i, e.text);
        if (c && c->state)
            cr_expect_eq(c->value(c, 1), rows[i].n ? 0.25 : 1.0, "row %zu", i);
        lb_plugins_codec_free(c);
    }
    done();
}

/* The loader would map what a file cut short promises, and die of it: each length must be refused before. */
Test(plugins, cut_short)
{
    char a[160], file[200], path[4200];
    size_t size;
    struct lb_err err = {0};
    put(a, "a", "bad/good_one.so", "whole.so");
    snprintf(path, sizeof path, "%s/bad/good_one.so", built);
    char *data = lb_read_file(path, &size, &err);
    cr_assert_not_null(data);
    for (size_t n = 0; n < size; n += n < 1024 ? 61 : size / 64 + 7) {
        struct lb_err e = {0};
        snprintf(file, sizeof file, "%s/cut%zu.so", a, n);
        cr_assert_eq(lb_write_file(file, data, n, &err), 0, "%s", err.text);
        cr_expect_eq(lb_plugins_load_file(file, &e), -1, "%zu of %zu bytes", n, size);
        cr_expect(starts(e.text, file), "%s", e.text);
    }
    lb_free(data);
    done();
}

Test(plugins, folders_that_are_not)
{
    static const char *const rows[] = {"", ":", "/not/there", "/dev/null"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lb_err err = {0};
        cr_expect_eq(lb_plugins_load(rows[i], &err), -1, "\"%s\"", rows[i]);
        cr_expect(starts(err.text, "--plugins: "), "\"%s\": %s", rows[i], err.text);
        lb_plugins_unload();
    }
    done();
}
