/* SPDX-License-Identifier: MIT */
/* core/run/journal.c: what a line survives, what a file may hold, and who may write to it. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/run/journal.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static char folder[256], path[300];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lowbit-journal-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/trials.jsonl", folder);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(path);
    rmdir(folder);
}

TestSuite(journal, .init = make_folder, .fini = remove_folder);

static void nap(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

/* Whole lines of JSON objects as a journal has them: each with its checksum. */
static const char *sealed(const char *text)
{
    static char out[2000];
    size_t n = 0;
    for (const char *end; *text; text = end + 1) {
        end = strchr(text, '\n');
        const size_t body = (size_t)(end - text) - 1;
        const unsigned long crc = crc32_z(0, (const unsigned char *)text, body);
        n += (size_t)snprintf(out + n, sizeof out - n, "%.*s,\"crc32\":\"%08lx\"}\n", (int)body, text, crc);
    }
    out[n] = 0;
    return out;
}

static void put_file(const char *text, size_t n)
{
    struct lb_err err = {0};
    cr_assert(lb_write_file(path, text, n, &err) == 0, "%s", err.text);
}

/* The file's text is that, byte for byte. */
static void expect_file(const char *text, size_t n, const char *when)
{
    struct lb_err err = {0};
    size_t have = 0;
    char *s = lb_read_file(path, &have, &err);
    cr_assert(s, "%s", err.text);
    cr_expect(have == n && !memcmp(s, text, n), "%s: the file has %zu bytes, expected %zu: %s", when, have, n, s);
    lb_free(s);
}

static json_t *line(const char *kind, int number)
{
    return json_pack("{ss,si}", "kind", kind, "n", number);
}

static json_int_t number_of(const json_t *l)
{
    return l ? json_integer_value(json_object_get(l, "n")) : -1;
}

Test(journal, append_and_read_again)
{
    struct lb_journal j;
    struct lb_err err = {0};
    cr_assert(lb_journal_open(folder, 1, &j, &err) == 0, "%s", err.text);
    cr_expect(j.n == 0);
    for (int i = 0; i < 5; i++)
        cr_assert(lb_journal_append(&j, line(i % 2 ? "odd" : "even", i), &err) == 0, "%s", err.text);
    cr_expect(j.n == 5);
    lb_journal_close(&j);
    lb_journal_close(&j); /* twice is fine */
    static const char text[] =
        "{\"kind\":\"even\",\"n\":0}\n{\"kind\":\"odd\",\"n\":1}\n{\"kind\":\"even\",\"n\":2}\n{\"kind\":\"odd\",\"n\":3}\n"
        "{\"kind\":\"even\",\"n\":4}\n";
    const char *file = sealed(text);
    expect_file(file, strlen(file), "appended");
    for (enum lb_journal_use write = LB_JOURNAL_READ; write < LB_JOURNAL_WAIT; write++) {
        cr_assert(lb_journal_open(folder, write, &j, &err) == 0, "%s", err.text);
        cr_expect(j.n == 5 && number_of(lb_journal_line(&j, 3)) == 3);
        lb_journal_close(&j);
    }
    expect_file(file, strlen(file), "opened again");
}

Test(journal, find)
{
    static const char text[] =
        "{\"kind\":\"a\",\"trial\":\"x\",\"n\":1}\n{\"kind\":7,\"trial\":\"x\",\"n\":2}\n{\"kind\":\"a\",\"trial\":\"y\",\"n\":3}\n"
        "{\"kind\":\"a\",\"trial\":\"x\",\"n\":4}\n{\"kind\":\"b\",\"trial\":\"x\",\"n\":5}\n{\"kind\":\"a\",\"trial\":6,\"n\":6}\n{\"n\":"
        "7}\n";
    struct lb_journal j;
    struct lb_err err = {0};
    put_file(sealed(text), strlen(sealed(text)));
    cr_assert(lb_journal_open(folder, 0, &j, &err) == 0, "%s", err.text);
    cr_expect(number_of(lb_journal_find(&j, "a", "x")) == 4, "the last one counts");
    cr_expect(number_of(lb_journal_find(&j, "a", "y")) == 3);
    cr_expect(number_of(lb_journal_find(&j, "b", "x")) == 5);
    cr_expect(number_of(lb_journal_find(&j, "a", NULL)) == 6);
    cr_expect(!lb_journal_find(&j, "a", "z") && !lb_journal_find(&j, "c", NULL));
    lb_journal_close(&j);
}

/* ---- Torn ends and garbage ---- */

#define WHOLE "{\"kind\":\"a\",\"n\":1}\n{\"kind\":\"a\",\"n\":2}\n"

#define THREE "{\"kind\":\"a\",\"n\":3}\n"

static const struct {
    const char *name, *rest; /* rest: what stands behind WHOLE */
    int more;                /* THREE stands behind that */
    int lines;               /* that are read */
    int cut;                 /* behind the last whole line, where the file is written to */
} ends[] = {
    {"nothing", "", 0, 2, 0},
    {"half a line", "{\"kind\":\"a\",\"n", 0, 2, 1},
    {"a line without its end", "{\"kind\":\"a\",\"n\":3,\"crc32\":\"00000000\"}", 0, 2, 1},
    {"a line without its checksum", THREE, 0, 2, 1},
    {"a wrong checksum", "{\"kind\":\"a\",\"n\":3,\"crc32\":\"00000000\"}\n", 0, 2, 1},
    {"a whole line of garbage", "garbage\n", 0, 2, 1},
    {"an empty line", "\n", 0, 2, 1},
    {"one byte", "{", 0, 2, 1},
    {"bytes that are no UTF-8", "{\"kind\":\"\xff\"}\n", 0, 2, 1},
    {"another line", "", 1, 3, 0},
    {"garbage in the middle", "garbage\n", 1, 3, 0},
    {"an empty line in the middle", "\n", 1, 3, 0},
    {"half a line in the middle", "{\"kind\":\n", 1, 3, 0},
    {"two lines without checksums in the middle", THREE THREE, 1, 3, 0},
};

Test(journal, ends)
{
    for (size_t i = 0; i < COUNT(ends); i++)
        for (enum lb_journal_use write = LB_JOURNAL_READ; write < LB_JOURNAL_WAIT; write++) {
            char text[600];
            struct lb_journal j;
            struct lb_err err = {0};
            size_t n = (size_t)snprintf(text, sizeof text, "%s", sealed(WHOLE));
            const size_t whole = n;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", ends[i].rest, ends[i].more ? sealed(THREE) : "");
            put_file(text, n);
            const int r = lb_journal_open(folder, write, &j, &err);
            cr_expect(r == 0, "%s: %s", ends[i].name, err.text);
            cr_expect((int)j.n == ends[i].lines, "%s: %zu lines", ends[i].name, j.n);
            cr_expect(number_of(lb_journal_find(&j, "a", NULL)) == ends[i].lines, "%s: the last line", ends[i].name);
            lb_journal_close(&j);
            expect_file(text, write && ends[i].cut ? whole : n, ends[i].name);
        }
}

/* What is no journal at all is left alone. */
Test(journal, another_file)
{
    static const char *const texts[] = {"garbage\n", "garbage", "[1, 2]\n", "\n\n", WHOLE, "a\nb\nc\n", "{\"kind\":\"a\"}\n{"};
    for (size_t i = 0; i < COUNT(texts); i++)
        for (enum lb_journal_use write = LB_JOURNAL_READ; write < LB_JOURNAL_WAIT; write++) {
            struct lb_journal j;
            struct lb_err err = {0};
            put_file(texts[i], strlen(texts[i]));
            cr_expect(lb_journal_open(folder, write, &j, &err) == -1, "%s", texts[i]);
            cr_expect(strstr(err.text, "/trials.jsonl:1: not a journal: expected lines that end in a checksum"), "%s: %s", texts[i],
                      err.text);
            lb_journal_close(&j);
            expect_file(texts[i], strlen(texts[i]), texts[i]);
        }
}

Test(journal, cut_anywhere)
{
    char text[600];
    const size_t whole = (size_t)snprintf(text, sizeof text, "%s", sealed(WHOLE));
    for (size_t n = 0; n <= whole; n++) {
        struct lb_journal j;
        struct lb_err err = {0};
        const size_t one = (size_t)(strchr(text, '\n') - text) + 1, lines = n == whole ? 2 : n >= one ? 1 : 0;
        put_file(text, n);
        cr_assert(lb_journal_open(folder, 1, &j, &err) == 0, "%zu bytes: %s", n, err.text);
        cr_expect(j.n == lines, "%zu bytes: %zu lines", n, j.n);
        cr_expect(lb_journal_append(&j, json_pack("{ss}", "kind", "new"), &err) == 0, "%s", err.text);
        lb_journal_close(&j);
        cr_assert(lb_journal_open(folder, 0, &j, &err) == 0, "%zu bytes, healed: %s", n, err.text);
        cr_expect(j.n == lines + 1);
        lb_journal_close(&j);
    }
}

/* Each bit of a line in the middle turned: it is noticed, and the lines beside it are read. */
Test(journal, each_bit_counts)
{
    char text[600];
    const size_t whole = (size_t)snprintf(text, sizeof text, "%s", sealed(WHOLE)), one = (size_t)(strchr(text, '\n') - text);
    for (size_t bit = 0; bit < 8 * one; bit++) {
        struct lb_journal j;
        struct lb_err err = {0};
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        put_file(text, whole);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        cr_assert(lb_journal_open(folder, 0, &j, &err) == 0, "bit %zu: %s", bit, err.text);
        cr_expect(j.n == 1 && number_of(lb_journal_line(&j, 0)) == 2, "bit %zu: %zu lines", bit, j.n);
        lb_journal_close(&j);
    }
}

/* ---- One writer at a time ---- */

Test(journal, a_second_writer_is_refused)
{
    struct lb_journal first, second;
    struct lb_err err = {0};
    cr_assert(lb_journal_open(folder, 1, &first, &err) == 0, "%s", err.text);
    cr_expect(lb_journal_open(folder, 1, &second, &err) == -1);
    cr_expect(strstr(err.text, "trials.jsonl: another lowbit is at work on this folder"), "%s", err.text);
    err = (struct lb_err){0};
    cr_expect(lb_journal_open(folder, 0, &second, &err) == 0, "readers may: %s", err.text);
    lb_journal_close(&second);
    lb_journal_close(&first);
    cr_expect(lb_journal_open(folder, 1, &second, &err) == 0, "%s", err.text);
    lb_journal_close(&second);
}

/* What another writer appends before it lets go must be seen, and not cut off. */
Test(journal, reads_behind_the_lock)
{
    struct lb_journal j;
    struct lb_err err = {0};
    int ready[2];
    char c;
    cr_assert(pipe(ready) == 0);
    const pid_t other = fork();
    if (other == 0) {
        struct lb_journal mine;
        if (lb_journal_open(folder, 1, &mine, NULL) || write(ready[1], "r", 1) != 1)
            _exit(1);
        nap(0.4);
        _exit(lb_journal_append(&mine, line("late", 1), NULL) ? 1 : 0);
    }
    cr_assert(read(ready[0], &c, 1) == 1);
    cr_assert(lb_journal_open(folder, 1, &j, &err) == 0, "%s", err.text);
    cr_expect(j.n == 1, "the other's line is lost");
    lb_journal_close(&j);
    int status = 1;
    waitpid(other, &status, 0);
    cr_expect(status == 0);
    const char *late = sealed("{\"kind\":\"late\",\"n\":1}\n");
    expect_file(late, strlen(late), "both closed");
}

/* ---- What cannot be opened or written ---- */

Test(journal, refusals)
{
    struct lb_journal j;
    struct lb_err err = {0};
    char longest[5000], inside[400];
    cr_expect(lb_journal_open(folder, 0, &j, &err) == -1 && strstr(err.text, "/trials.jsonl: no journal here"), "%s", err.text);
    cr_expect(access(path, F_OK) != 0, "reading has made a file");
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    for (enum lb_journal_use write = LB_JOURNAL_READ; write < LB_JOURNAL_WAIT; write++) {
        err = (struct lb_err){0};
        cr_expect(lb_journal_open(longest, write, &j, &err) == -1 && strstr(err.text, "the path is too long"), "%s", err.text);
        put_file("", 0);
        snprintf(inside, sizeof inside, "%s/under", path);
        err = (struct lb_err){0};
        cr_expect(lb_journal_open(inside, write, &j, &err) == -1 && err.set && j.fd == -1, "a folder that is a file");
        unlink(path);
        cr_assert(mkdir(path, 0777) == 0);
        err = (struct lb_err){0};
        cr_expect(lb_journal_open(folder, write, &j, &err) == -1 && err.set && j.fd == -1, "a journal that is a folder");
        rmdir(path);
    }
}

Test(journal, no_line)
{
    struct lb_journal j;
    struct lb_err err = {0};
    cr_assert(lb_journal_open(folder, 1, &j, &err) == 0, "%s", err.text);
    cr_expect(lb_journal_append(&j, NULL, &err) == -1, "what memory was out for is no line");
    cr_expect_str_eq(err.text, "out of memory: journal");
    lb_journal_close(&j);
    expect_file("", 0, "no line");
}

Test(journal, a_full_disk_leaves_whole_lines)
{
    struct lb_journal j;
    struct lb_err err = {0};
    struct rlimit limit;
    char much[300];
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = 0;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(lb_journal_open(folder, 1, &j, &err) == 0 && lb_journal_append(&j, line("a", 1), &err) == 0, "%s", err.text);
    cr_assert(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const struct rlimit low = {100, limit.rlim_max};
    cr_assert(setrlimit(RLIMIT_FSIZE, &low) == 0);
    cr_expect(lb_journal_append(&j, json_pack("{ss}", "kind", much), &err) == -1, "100 bytes hold it");
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_expect(strstr(err.text, "/trials.jsonl: cannot be written: ") && !strstr(err.text, "Success"), "%s", err.text);
    cr_expect(j.n == 1);
    const char *one = sealed("{\"kind\":\"a\",\"n\":1}\n");
    expect_file(one, strlen(one), "full");
    err = (struct lb_err){0};
    cr_expect(lb_journal_append(&j, line("a", 2), &err) == 0, "%s", err.text);
    lb_journal_close(&j);
    const char *both = sealed(WHOLE);
    expect_file(both, strlen(both), "with room again");
}
