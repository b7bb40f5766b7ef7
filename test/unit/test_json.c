/* SPDX-License-Identifier: MIT */
#include "core/base/json.h"
#include "core/base/mem.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char sample[] = "{\n"
                             "  \"name\": \"caf\xc3\xa9 \xe2\x82\xac \xf0\x9d\x84\x9e\", \"n\": 1,\n"
                             "  \"layers\": [ {}, { \"type\": \"dense\",\n"
                             "\t\"uni\\u0074s\": [ 1, [ -2.5e3, true ], null ] } ],\n"
                             "  \"names\": { \"0.weight\": \"a\", \"0\": { \"weight\": 7 }, \"a[1]\": 2, \"q\\\"\\\\\": 3, "
                             "\"\\ud834\\udd1e\": 4, \"\xc3\xa9\": 5 },\n"
                             "  \"decoy\": \"}],{\\\"layers\\\": 1\", \"last\": false\r\n"
                             "}\n";

struct place {
    const char *path;
    int key, line, column;
};

static const struct place places[] = {
    {"", 0, 1, 1},
    {"name", 0, 2, 11},
    {"name", 1, 2, 3},
    {"n", 0, 2, 28}, /* columns count characters, not bytes */
    {"n", 1, 2, 23},
    {"layers", 0, 3, 13},
    {"layers[0]", 0, 3, 15},
    {"layers[1]", 0, 3, 19},
    {"layers[1].type", 0, 3, 29},
    {"layers[1].units", 0, 4, 16},
    {"layers[1].units", 1, 4, 2},
    {"layers[1].units[1]", 0, 4, 21},
    {"layers[1].units[1][0]", 0, 4, 23},
    {"layers[1].units[1][1]", 0, 4, 31},
    {"layers[1].units[2]", 0, 4, 39},
    {"layers[1].units[3]", 0, 4, 16}, /* absent: the deepest that is there */
    {"layers[1].absent.deep", 0, 3, 19},
    {"layers[1].absent", 1, 3, 19},
    {"layers[2].type", 0, 3, 13},
    {"layers[99999999999999999999]", 0, 3, 13},
    {"layers[x]", 0, 3, 13},
    {"layers.type", 0, 3, 13},
    {"nam", 0, 1, 1},
    {"namee", 0, 1, 1},
    {"names.0.weight", 0, 5, 26}, /* the key with a dot takes more of the path than the key "0" */
    {"names.0", 0, 5, 36},
    {"names.0.weights", 0, 5, 36},
    {"names.a[1]", 0, 5, 61},
    {"names.q\"\\", 0, 5, 73},
    {"names.\xf0\x9d\x84\x9e", 0, 5, 92},
    {"names.\xc3\xa9", 0, 5, 100},
    {"decoy", 0, 6, 12},
    {"last", 0, 6, 41},
    {"last", 1, 6, 33},
};

Test(json, locate)
{
    struct lb_err err = {0};
    json_t *v = lb_json_parse(sample, strlen(sample), "sample", &err);
    cr_assert(v, "%s", err.text);
    json_decref(v);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place *p = &places[i];
        int line = -1, column = -1;
        lb_json_locate(sample, p->path, p->key, &line, &column);
        cr_expect(line == p->line && column == p->column, "\"%s\" key %d: %d:%d, expected %d:%d", p->path, p->key, line, column, p->line,
                  p->column);
    }
}

/* A page that faults when it is touched follows the n bytes. */
struct fenced {
    char *base, *text;
    size_t size;
};

static struct fenced fence(const char *data, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct fenced f = {.size = (n + page - 1) / page * page};
    f.base = mmap(NULL, f.size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(f.base != MAP_FAILED);
    mprotect(f.base + f.size, page, PROT_NONE);
    f.text = f.base + f.size - n;
    memcpy(f.text, data, n);
    return f;
}

static void unfence(struct fenced *f)
{
    munmap(f->base, f->size + (size_t)sysconf(_SC_PAGESIZE));
}

Test(json, nothing_behind_the_end_is_read)
{
    for (size_t n = 0; n < sizeof sample; n++) {
        struct fenced f = fence(sample, n + 1); /* cut off at n, with its NUL */
        f.text[n] = 0;
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            int line, column;
            lb_json_locate(f.text, places[i].path, places[i].key, &line, &column);
        }
        unfence(&f);
        f = fence(sample, n ? n : 1); /* without a NUL, as parse takes it */
        struct lb_err err = {0};
        json_t *v = lb_json_parse(f.text, n, "cut", &err);
        size_t whole = sizeof sample - 2; /* up to the last brace */
        cr_expect((v != NULL) == (n >= whole), "%zu bytes: %s", n, err.text);
        cr_expect(v || (err.set && !strchr(err.text, '\n')));
        json_decref(v);
        unfence(&f);
    }
}

Test(json, locate_any_bytes)
{
    static const char bytes[] = "{}[]\",:\\ u0a.\n";
    uint32_t state = 1;
    for (int round = 0; round < 20000; round++) {
        char text[24];
        for (size_t i = 0; i < sizeof text - 1; i++) {
            state = state * 1664525u + 1013904223u;
            text[i] = bytes[(state >> 24) % (sizeof bytes - 1)];
        }
        text[sizeof text - 1] = 0;
        int line, column;
        lb_json_locate(text, "a.u[0].a", round & 1, &line, &column);
        cr_assert(line >= 1 && column >= 1 && column <= (int)sizeof text);
    }
}

static void expect_canonical(const char *text, const char *wanted)
{
    struct lb_err err = {0};
    json_t *v = lb_json_parse(text, strlen(text), "text", &err);
    cr_assert(v, "%s", err.text);
    char *got = lb_json_canonical(v, &err);
    cr_expect_str_eq(got, wanted);
    lb_free(got);
    json_decref(v);
}

Test(json, canonical)
{
    expect_canonical(" { \"b\" : [ 1 , 2.5 ], \"a\": { \"d\": null, \"c\": true } } ", "{\"a\":{\"c\":true,\"d\":null},\"b\":[1,2.5]}");
    expect_canonical("\"x\\u0041\"", "\"xA\"");
    expect_canonical("7", "7");
}

struct set_case {
    const char *before, *path, *value, *after; /* after: canonical, or the error */
};

static const struct set_case set_cases[] = {
    {"{}", "a", "1", "{\"a\":1}"},
    {"{}", "a.b.c", "x y", "{\"a\":{\"b\":{\"c\":\"x y\"}}}"},
    {"{\"a\":{\"b\":1}}", "a.b", "[1, 2]", "{\"a\":{\"b\":[1,2]}}"},
    {"{\"a\":{\"b\":1}}", "a.c", "null", "there is no \"c\" to take out"},
    {"{\"a\":{\"b\":1,\"c\":2}}", "a.b", "null", "{\"a\":{\"c\":2}}"},
    {"{\"a\":[1,2]}", "a[0]", "null", "{\"a\":[null,2]}"},
    {"{\"a\":[1,2]}", "a[0]", "true", "{\"a\":[true,2]}"},
    {"{\"a\":[1,2]}", "a[2]", "3", "{\"a\":[1,2,3]}"},
    {"{\"a\":[{}]}", "a[0].x", "1e400", "{\"a\":[{\"x\":\"1e400\"}]}"},
    {"{\"a\":[]}", "a[0].x.y", "1", "{\"a\":[{\"x\":{\"y\":1}}]}"},
    {"{\"a\":[[5]]}", "a[0][0]", "6", "{\"a\":[[6]]}"},
    {"{\"n\":{\"0.weight\":\"a\"}}", "n.0.weight", "b", "{\"n\":{\"0.weight\":\"b\"}}"},
    {"{}", "a", "", "{\"a\":\"\"}"},
    {"{}", "a", "{\"x\":1,\"x\":2}", "{\"a\":\"{\\\"x\\\":1,\\\"x\\\":2}\"}"},
    {"{}", "", "1", "expected a path such as train.epochs before \"=\""},
    {"{}", ".", "1", "\".\" is no path"},
    {"{}", "a.", "1", "\".\" is no path"},
    {"{}", "a..b", "1", "\".b\" is no path"},
    {"{}", "[0]", "1", "\"[0]\" is no path"},
    {"{\"a\":[1]}", "a[2]", "1", "expected an index from [0] to [1] at \"[2]\""},
    {"{\"a\":[1]}", "a[-1]", "1", "expected an index from [0] to [1] at \"[-1]\""},
    {"{\"a\":[1]}", "a.b", "1", "expected an index from [0] to [1] at \"b\""},
    {"{\"a\":[1]}", "a[0]x", "1", "\"x\" is no path"},
    {"{\"a\":1}", "a.b", "1", "nothing can be set at \"b\": what holds it is neither an object nor an array"},
};

Test(json, set)
{
    for (size_t i = 0; i < sizeof set_cases / sizeof *set_cases; i++) {
        const struct set_case *c = &set_cases[i];
        struct lb_err err = {0};
        json_t *v = lb_json_parse(c->before, strlen(c->before), "before", &err);
        int r = lb_json_set(v, c->path, c->value, &err);
        char *got = r ? NULL : lb_json_canonical(v, &err);
        cr_expect_str_eq(got ? got : err.text, c->after, "set %s=%s: %s, expected %s", c->path, c->value, got ? got : err.text, c->after);
        lb_free(got);
        json_decref(v);
    }
}
