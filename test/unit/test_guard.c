/* SPDX-License-Identifier: MIT */
/* Arrays between pages that cannot be touched: where they lie, that all of them can be used, and what a process says that goes beyond. */
#include "core/base/guard.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

Test(guard, where_arrays_lie)
{
    const size_t sizes[] = {0, 1, 4, 63, 64, 4095, 4096, 4097, 1 << 20};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        const size_t bytes = sizes[i / 2];
        struct lb_guarded g;
        struct lb_err err = {0};
        cr_assert_eq(lb_guarded_init(&g, "x", bytes, i % 2 != 0, &err), 0, "%s", err.text);
        cr_expect_eq(((uintptr_t)g.p + (i % 2 ? bytes : 0)) % page(), 0, "%zu bytes, at_end=%zu", bytes, i % 2);
        for (size_t b = 0; b < bytes; b++)
            cr_assert_eq(g.p[b], 0);
        memset(g.p, 1, bytes);
        lb_guarded_finish(&g);
        cr_expect_null(g.p);
        lb_guarded_finish(&g);
    }
    struct lb_guarded g;
    struct lb_err err = {0};
    cr_expect_eq(lb_guarded_init(&g, "x", SIZE_MAX - 100, 1, &err), -1);
    cr_expect_str_eq(err.text, "x: 18446744073709551515 bytes: more than this machine can address");
}

enum { FIRST, SECOND, CLOSED, ARRAYS };

/* What a child says that touches byte `at` of an array, of three of 10, 5000 and 20 bytes; the first is made again so that it is the last of the list. */
static void touch(int array, long at, char *said, size_t size, int *status)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        struct lb_guarded g[ARRAYS];
        struct lb_err err = {0};
        int bad = lb_guarded_init(&g[FIRST], "first", 10, 1, &err) || lb_guarded_init(&g[SECOND], "second", 5000, 0, &err) ||
                  lb_guarded_init(&g[CLOSED], "closed", 20, 1, &err);
        lb_guarded_finish(&g[FIRST]);
        bad = bad || lb_guarded_init(&g[FIRST], "first", 10, 1, &err);
        lb_guarded_close(&g[CLOSED]);
        lb_guard_watch("it", ends[1]);
        if (!bad && array < ARRAYS)
            *(volatile unsigned char *)(g[array].p + at) = 1;
        else if (!bad)
            raise(SIGSEGV);
        _exit(bad ? 99 : 0);
    }
    close(ends[1]);
    const ssize_t n = read(ends[0], said, size - 1);
    said[n > 0 ? n : 0] = 0;
    close(ends[0]);
    cr_assert_eq(waitpid(pid, status, 0), pid);
}

Test(guard, what_is_said)
{
    static const struct {
        int array;
        long at;
        const char *said; /* NULL: it ends well */
    } rows[] = {
        {FIRST, 0, NULL},
        {FIRST, 9, NULL},
        {FIRST, 10, "FAILED  it: byte 10 of first (10 bytes) was touched\n"},
        {SECOND, 4999, NULL},
        {SECOND, -1, "FAILED  it: byte -1 of second (5000 bytes) was touched\n"},
        {SECOND, 8192, "FAILED  it: byte 8192 of second (5000 bytes) was touched\n"},
        {CLOSED, 3, "FAILED  it: byte 3 of closed (20 bytes) was touched after it was given back\n"},
        {ARRAYS, 0, ""}, /* a signal that was sent says nothing and still ends the process */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char said[200];
        int status;
        touch(rows[i].array, rows[i].at, said, sizeof said, &status);
        cr_expect_str_eq(said, rows[i].said ? rows[i].said : "", "row %zu", i);
        cr_expect_eq(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, rows[i].said != NULL, "row %zu: status %d", i, status);
        cr_expect(rows[i].said || status == 0, "row %zu: status %d", i, status);
    }
}
