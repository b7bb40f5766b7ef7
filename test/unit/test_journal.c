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
    cr_expect(json_array_size(j.lines) == 0);
    for (int i = 0; i < 5; i++)
        cr_assert(lb_journal_append(&j, line(i % 2 ? "odd" : "even", i), &err) == 0, "%s", err.text);
    cr_expect(json_array_size(j.lines) == 5);
    lb_journal_close(&j);
    lb_journal_close(&j); /* twice is fine */
    static const char text[] =
        "{\"kind\":\"even\",\"n\":0}\n{\"kind\":\"odd\",\"n\":1}\n{\"kind\":\"even\",\"n\":2}\n{\"kind\":\"odd\",\"n\":3}\n"
        "{\"kind\":\"even\",\"n\":4}\n";
    expect_file(text, sizeof text - 1, "appended");
    for (int write = 0; write < 2; write++) {
        cr_assert(lb_journal_open(folder, write, &j, &err) == 0, "%s", err.text);
        cr_expect(json_array_size(j.lines) == 5 && number_of(json_array_get(j.lines, 3)) == 3);
        lb_journal_close(&j);
    }
    expect_file(text, sizeof text - 1, "opened again");
}

Test(journal, find)
{
    static const char text[] =
        "[]\n{\"kind\":\"a\",\"trial\":\"x\",\"n\":1}\n{\"kind\":7,\"trial\":\"x\",\"n\":2}\n{\"kind\":\"a\",\"trial\":\"y\",\"n\":3}\n"
        "{\"kind\":\"a\",\"trial\":\"x\",\"n\":4}\n{\"kind\":\"b\",\"trial\":\"x\",\"n\":5}\n{\"kind\":\"a\",\"trial\":6,\"n\":6}\n{}\n";
    struct lb_journal j;
    struct lb_err err = {0};
    put_file(text, sizeof text - 1);
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

static const struct {
    const char *name, *rest; /* rest: what stands behind WHOLE */
    int lines;               /* that are read; -1: an error */
    const char *error;
} ends[] = {
    {"nothing", "", 2, NULL},
    {"half a line", "{\"kind\":\"a\",\"n", 2, NULL},
    {"a line without its end", "{\"kind\":\"a\",\"n\":3}", 2, NULL},
    {"a whole line of garbage", "garbage\n", 2, NULL},
    {"an empty line", "\n", 2, NULL},
    {"a key twice", "{\"kind\":\"a\",\"kind\":\"a\"}\n", 2, NULL},
    {"one byte", "{", 2, NULL},
    {"bytes that are no UTF-8", "{\"kind\":\"\xff\"}\n", 2, NULL},
    {"another line", "{\"kind\":\"a\",\"n\":3}\n", 3, NULL},
    {"garbage in the middle", "garbage\n{\"kind\":\"a\",\"n\":3}\n", -1, "/trials.jsonl:3: not a line of a journal"},
    {"an empty line in the middle", "\n{\"kind\":\"a\",\"n\":3}\n", -1, "/trials.jsonl:3: not a line of a journal"},
    {"half a line in the middle", "{\"kind\":\n{\"kind\":\"a\",\"n\":3}\n", -1, "/trials.jsonl:3: not a line of a journal"},
    {"garbage, then a torn line", "garbage\n{\"kind\":\"a\"", -1, "/trials.jsonl:3: not a line of a journal"},
};

Test(journal, ends)
{
    for (size_t i = 0; i < COUNT(ends); i++)
        for (int write = 0; write < 2; write++) {
            char text[300];
            struct lb_journal j;
            struct lb_err err = {0};
            const size_t n = (size_t)snprintf(text, sizeof text, "%s%s", WHOLE, ends[i].rest),
                         good = ends[i].lines == 2 ? sizeof WHOLE - 1 : n;
            put_file(text, n);
            const int r = lb_journal_open(folder, write, &j, &err);
            cr_expect(r == (ends[i].lines < 0 ? -1 : 0), "%s: %d, %s", ends[i].name, r, err.text);
            cr_expect(r || (int)json_array_size(j.lines) == ends[i].lines, "%s: %zu lines", ends[i].name, json_array_size(j.lines));
            cr_expect(!r || (strstr(err.text, ends[i].error) && !strncmp(err.text, folder, strlen(folder))), "%s: %s", ends[i].name,
                      err.text);
            lb_journal_close(&j);
            expect_file(text, write && !r ? good : n, ends[i].name);
        }
}

Test(journal, cut_anywhere)
{
    for (size_t n = 0; n < sizeof WHOLE; n++) {
        struct lb_journal j;
        struct lb_err err = {0};
        const size_t one = (size_t)(strchr(WHOLE, '\n') - WHOLE) + 1, lines = n == sizeof WHOLE - 1 ? 2 : n >= one ? 1 : 0;
        put_file(WHOLE, n);
        cr_assert(lb_journal_open(folder, 1, &j, &err) == 0, "%zu bytes: %s", n, err.text);
        cr_expect(json_array_size(j.lines) == lines, "%zu bytes: %zu lines", n, json_array_size(j.lines));
        cr_expect(lb_journal_append(&j, json_pack("{ss}", "kind", "new"), &err) == 0, "%s", err.text);
        lb_journal_close(&j);
        cr_assert(lb_journal_open(folder, 0, &j, &err) == 0, "%zu bytes, healed: %s", n, err.text);
        cr_expect(json_array_size(j.lines) == lines + 1);
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
    cr_expect(json_array_size(j.lines) == 1, "the other's line is lost");
    lb_journal_close(&j);
    int status = 1;
    waitpid(other, &status, 0);
    cr_expect(status == 0);
    expect_file("{\"kind\":\"late\",\"n\":1}\n", 22, "both closed");
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
    for (int write = 0; write < 2; write++) {
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
    cr_expect(json_array_size(j.lines) == 1);
    expect_file("{\"kind\":\"a\",\"n\":1}\n", 19, "full");
    err = (struct lb_err){0};
    cr_expect(lb_journal_append(&j, line("a", 2), &err) == 0, "%s", err.text);
    lb_journal_close(&j);
    expect_file(WHOLE, sizeof WHOLE - 1, "with room again");
}
