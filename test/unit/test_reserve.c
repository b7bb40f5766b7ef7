/* SPDX-License-Identifier: MIT */
/* What jansson gets where there is no memory, and arrays that end at a page that cannot be touched. */
#include "core/base/guard.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/reserve.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG = 500000 }; /* bytes that malloc asks the kernel for */

static char *quoted_text(void)
{
    char *text = malloc(LONG + 1);
    memset(text, 'a', LONG);
    text[0] = text[LONG - 1] = '"';
    text[LONG] = 0;
    return text;
}

/* Whether the text can be read while the process may get no more memory than it has. */
static int can_read(const char *text, json_error_t *e)
{
    struct rlimit before, none;
    getrlimit(RLIMIT_AS, &before);
    none = (struct rlimit){0, before.rlim_max};
    setrlimit(RLIMIT_AS, &none);
    json_t *value = lb_json_load(text, LONG, JSON_DECODE_ANY, e);
    setrlimit(RLIMIT_AS, &before);
    const int there = value && json_string_length(value) == LONG - 2 && !memcmp(json_string_value(value), text + 1, LONG - 2);
    json_decref(value);
    return there;
}

Test(reserve, texts_are_read_without_memory_until_it_is_used_up)
{
    json_error_t e = {0};
    char *text = quoted_text();
    mallopt(M_MMAP_THRESHOLD, 4096); /* and no large piece comes back from what was freed */
    lb_reserve_start();
    cr_expect(can_read(text, &e));
    cr_expect_eq(lb_mem_refused(), 0);
    int more = 0;
    while (more < 10 && can_read(text, &e))
        more++;
    cr_expect_lt(more, 10);
    cr_expect_gt(lb_mem_refused(), 0);
    cr_expect_eq(json_error_code(&e), json_error_out_of_memory);
    json_t *value = lb_json_load(text, LONG, JSON_DECODE_ANY, &e);
    cr_expect_not_null(value, "there is memory again");
    char *dumped = lb_json_dump(value, JSON_ENCODE_ANY);
    cr_expect_str_eq(dumped, text);
    lb_free(dumped);
    json_decref(value);
    free(text);
}

/* What a process says that touches byte `at` of `bytes`, and the signal that ends it. */
static int touch(size_t bytes, int at_end, ptrdiff_t at, char said[200])
{
    int ends[2], status = 0;
    struct lb_guarded g[2] = {{0}};
    cr_assert_eq(lb_guarded_init(&g[0], "others", 5, at_end, NULL), 0);
    cr_assert_eq(lb_guarded_init(&g[1], "codes", bytes, at_end, NULL), 0);
    cr_assert_eq(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        lb_guard_watch("law", ends[1]);
        memset(g[1].p, 1, bytes);
        ((volatile unsigned char *)g[1].p)[at] = 1;
        _exit(0);
    }
    close(ends[1]);
    waitpid(pid, &status, 0);
    const ssize_t n = read(ends[0], said, 199);
    said[n > 0 ? n : 0] = 0;
    close(ends[0]);
    lb_guarded_finish(&g[0]);
    lb_guarded_finish(&g[1]);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

Test(guard, what_lies_beside_an_array_cannot_be_touched)
{
    static const size_t sizes[] = {0, 1, 7, 64, 4095, 4096, 4097, 10000};
    char said[200], want[200];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = sizes[i];
        cr_expect_eq(touch(n, 1, (ptrdiff_t)n, said), SIGSEGV, "%zu bytes", n);
        snprintf(want, sizeof want, "FAILED  law: byte %zu of codes (%zu bytes) was touched\n", n, n);
        cr_expect_str_eq(said, want);
        cr_expect_eq(touch(n, 0, -1, said), SIGSEGV, "%zu bytes", n);
        snprintf(want, sizeof want, "FAILED  law: byte -1 of codes (%zu bytes) was touched\n", n);
        cr_expect_str_eq(said, want);
        cr_expect(!n || !touch(n, 1, (ptrdiff_t)n - 1, said), "%zu bytes", n);
        cr_expect(!n || !touch(n, 0, 0, said), "%zu bytes", n);
    }
}
