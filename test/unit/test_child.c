/* SPDX-License-Identifier: MIT */
/* core/base/child.c: whatever happens in a child becomes an outcome, and nothing is left behind: no process, no file. */
#include "core/base/child.h"
#include "core/base/io.h"
#include "core/base/mem.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#elif defined __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER
#endif

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void nap(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

static size_t open_files(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    cr_assert(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static int no_child_left(void)
{
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* ---- What a work may do ---- */

static int succeed(void *arg, json_t *reply, struct lb_err *err)
{
    (void)err;
    return json_object_set_new(reply, "x", json_integer(*(const int *)arg));
}

static int say_nothing(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    return -1;
}

static int fail(void *arg, json_t *reply, struct lb_err *err)
{
    json_object_set_new(reply, "x", json_integer(1)); /* what a failed work has filled in does not count */
    return lb_fail(err, "broken: %d", *(const int *)arg);
}

static int fail_in_other_bytes(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply;
    return lb_fail(err, "no \"file\" caf\xe9\n\tthere");
}

static int lack_an_op(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply;
    return lb_fail(err, "unsupported: backend b has no op x");
}

static int sound_like_it(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply;
    return lb_fail(err, "unsupportedness");
}

static void die(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static int segv(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    die(SIGSEGV);
    return 0;
}

static int abrt(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    die(SIGABRT);
    return 0;
}

static int killed(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    raise(SIGKILL);
    return 0;
}

static int leave(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    _exit(3);
}

static int leave_with_success(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    _exit(0);
}

static int hang(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply, (void)err;
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    for (;;)
        pause();
    return 0;
}

static int close_all_and_hang(void *arg, json_t *reply, struct lb_err *err)
{
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    return hang(arg, reply, err);
}

static int lack_device_memory(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply;
    return lb_fail(err, "backend b: cannot be opened: out of memory: a buffer");
}

static int map_too_much(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)reply;
    return lb_fail(err, "x: cannot map 7 bytes: %s", strerror(ENOMEM));
}

static const struct {
    const char *name;
    lb_work *work;
    enum lb_status status;
    const char *why;
} outcomes[] = {
    {"succeed", succeed, LB_OK, ""},
    {"say nothing", say_nothing, LB_FAILED, "failed without a message"},
    {"fail", fail, LB_FAILED, "broken: 7"},
    {"fail in bytes that are no UTF-8", fail_in_other_bytes, LB_FAILED, "no \"file\" caf???there"},
    {"lack an op", lack_an_op, LB_UNSUPPORTED, "backend b has no op x"},
    {"sound like it", sound_like_it, LB_FAILED, "unsupportedness"},
    {"lack a device's memory", lack_device_memory, LB_OOM, "backend b: cannot be opened: out of memory: a buffer"},
    {"map too much", map_too_much, LB_OOM, "x: cannot map 7 bytes: Cannot allocate memory"},
    {"SIGSEGV", segv, LB_CRASHED, "signal 11 (Segmentation fault)"},
    {"abort", abrt, LB_CRASHED, "signal 6 (Aborted)"},
    {"SIGKILL", killed, LB_OOM, "killed (signal 9, Killed): out of memory?"},
    {"leave", leave, LB_CRASHED, "left with status 3 and no reply"},
    {"leave with success", leave_with_success, LB_CRASHED, "left with status 0 and no reply"},
    {"hang", hang, LB_TIMEOUT, "ended after its time limit of 0.2 s"},
    {"close all and hang", close_all_and_hang, LB_CRASHED, "closed its files, gave no reply and had to be ended"},
};

static void expect_outcomes(size_t from, size_t to)
{
    const size_t files = open_files();
    for (size_t i = from; i < to; i++) {
        struct lb_outcome o;
        int arg = 7;
        lb_child_run(outcomes[i].work, &arg, &(struct lb_child_limits){.seconds = outcomes[i].work == hang ? 0.2 : 60}, &o);
        cr_expect(o.status == outcomes[i].status, "%s: %s, expected %s", outcomes[i].name, lb_status_name(o.status),
                  lb_status_name(outcomes[i].status));
        cr_expect_str_eq(o.why, outcomes[i].why, "%s: \"%s\", expected \"%s\"", outcomes[i].name, o.why, outcomes[i].why);
        cr_expect((o.reply != NULL) == (o.status == LB_OK), "%s: a reply where there should be none, or none", outcomes[i].name);
        if (o.status == LB_OK)
            cr_expect(json_integer_value(json_object_get(o.reply, "x")) == 7);
        json_decref(o.reply);
        cr_expect(no_child_left(), "%s: a process is left", outcomes[i].name);
        cr_expect(open_files() == files, "%s: a file is left open", outcomes[i].name);
    }
}

Test(child, outcomes)
{
    expect_outcomes(0, COUNT(outcomes));
}

Test(child, outcomes_where_SIGCHLD_is_ignored)
{
    signal(SIGCHLD, SIG_IGN); /* as some programs leave it to those that they start */
    expect_outcomes(0, COUNT(outcomes) - 1);
}

Test(child, late_is_late_whatever_the_limit)
{
    static const double limits[] = {0, -1, 0.001};
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct lb_outcome o;
        lb_child_run(hang, NULL, &(struct lb_child_limits){.seconds = limits[i]}, &o);
        cr_expect(o.status == LB_TIMEOUT, "limit %g: %s", limits[i], lb_status_name(o.status));
        json_decref(o.reply);
    }
}

/* ---- Replies that do not fit into a pipe, or into memory ---- */

static int reply_much(void *arg, json_t *reply, struct lb_err *err)
{
    const size_t n = *(const size_t *)arg;
    char *text = lb_alloc(n + 1, 1, err);
    if (!text)
        return -1;
    memset(text, 'a', n);
    text[n / 2] = '"'; /* which takes two bytes on its way */
    const int r = json_object_set_new(reply, "much", json_string(text));
    lb_free(text);
    return r;
}

Test(child, large_replies)
{
    static const size_t sizes[] = {1, 2, 4080, 4096, 16384, 65536, 65537, 1 << 20, (3 << 20) + 1};
    const size_t held = lb_mem_now();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct lb_outcome o;
        lb_child_run(reply_much, (void *)(uintptr_t)&sizes[i], &(struct lb_child_limits){.seconds = 60}, &o);
        cr_assert(o.status == LB_OK, "%zu bytes: %s: %s", sizes[i], lb_status_name(o.status), o.why);
        const json_t *much = json_object_get(o.reply, "much");
        cr_expect(json_string_length(much) == sizes[i], "%zu bytes, expected %zu", json_string_length(much), sizes[i]);
        cr_expect(json_string_value(much)[sizes[i] / 2] == '"');
        json_decref(o.reply);
        cr_expect(lb_mem_now() == held, "%zu bytes: not all was freed", sizes[i]);
    }
}

#ifndef ADDRESS_SANITIZER /* which needs more addresses than any limit leaves */
/* No more memory than there is now: the reply is there, its text cannot be made. */
static int reply_in_vain(void *arg, json_t *reply, struct lb_err *err)
{
    unsigned long pages = 0;
    if (reply_much(arg, reply, err))
        return -1;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu", &pages) != 1)
        return lb_fail(err, "/proc/self/statm cannot be read");
    fclose(f);
    const struct rlimit limit = {(pages << 12) + (1 << 20), (pages << 12) + (1 << 20)};
    return setrlimit(RLIMIT_AS, &limit) ? lb_fail(err, "setrlimit: %s", strerror(errno)) : 0;
}

Test(child, no_memory_for_the_reply)
{
    size_t n = 64 << 20;
    struct lb_outcome o;
    lb_child_run(reply_in_vain, &n, &(struct lb_child_limits){.seconds = 60}, &o);
    cr_expect(o.status == LB_OOM && !o.reply);
    cr_expect_str_eq(o.why, "out of memory: reply");
}
#endif

/* ---- Several at once ---- */

enum { MANY = 64 };

static int sleep_and_tell(void *arg, json_t *reply, struct lb_err *err)
{
    const int i = *(const int *)arg;
    if (i % 16 == 5)
        return hang(arg, reply, err);
    if (i % 16 == 6)
        return segv(arg, reply, err);
    nap((i * 7 % 10) * 0.01);
    return succeed(arg, reply, err);
}

Test(child, many)
{
    static struct lb_child c[MANY];
    static int arg[MANY], seen[MANY];
    const size_t files = open_files();
    struct lb_err err = {0};
    struct lb_outcome o;
    cr_assert(lb_child_wait(c, MANY, &o) == -1, "none runs, and one ended");
    for (int i = 0; i < MANY; i++) {
        arg[i] = i;
        cr_assert(lb_child_start(&c[i], sleep_and_tell, &arg[i], &(struct lb_child_limits){.seconds = i % 16 == 5 ? 0.4 : 60}, &err) == 0,
                  "%s", err.text);
    }
    for (int n = 0; n < MANY; n++) {
        const long i = lb_child_wait(c, MANY, &o);
        cr_assert(i >= 0 && i < MANY && !seen[i]);
        seen[i] = 1;
        const enum lb_status want = i % 16 == 5 ? LB_TIMEOUT : i % 16 == 6 ? LB_CRASHED : LB_OK;
        cr_expect(o.status == want, "child %ld: %s (%s)", i, lb_status_name(o.status), o.why);
        cr_expect(want != LB_OK || json_integer_value(json_object_get(o.reply, "x")) == i, "child %ld has the reply of another", i);
        cr_expect(c[i].pid == 0);
        json_decref(o.reply);
    }
    cr_expect(lb_child_wait(c, MANY, &o) == -1);
    cr_expect(no_child_left() && open_files() == files);
}

Test(child, kill)
{
    struct lb_child c[5] = {{0}};
    struct lb_err err = {0};
    const size_t files = open_files();
    const double start = lb_seconds();
    for (size_t i = 0; i < COUNT(c); i++)
        if (i != 2) /* one that never ran */
            cr_assert(lb_child_start(&c[i], hang, NULL, &(struct lb_child_limits){.seconds = 60}, &err) == 0, "%s", err.text);
    lb_child_kill(c, COUNT(c));
    cr_expect(no_child_left() && open_files() == files && lb_seconds() - start < 10);
    for (size_t i = 0; i < COUNT(c); i++)
        cr_expect(c[i].pid == 0);
}

/* ---- A parent that dies ---- */

static int tell_and_hang(void *arg, json_t *reply, struct lb_err *err)
{
    const pid_t self = getpid();
    if (write(*(const int *)arg, &self, sizeof self) != sizeof self)
        return lb_fail(err, "write: %s", strerror(errno));
    return hang(arg, reply, err);
}

Test(child, dies_with_its_parent)
{
    int ends[2], status = 0;
    pid_t child = 0;
    cr_assert(pipe(ends) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); /* the orphan becomes ours, and can be waited for */
    const pid_t parent = fork();
    if (parent == 0) {
        struct lb_child c;
        lb_child_start(&c, tell_and_hang, &ends[1], &(struct lb_child_limits){.seconds = 600}, NULL);
        for (;;)
            pause();
    }
    cr_assert(read(ends[0], &child, sizeof child) == sizeof child);
    kill(parent, SIGKILL);
    cr_expect(waitpid(parent, &status, 0) == parent);
    for (int i = 0; i < 2000 && waitpid(child, &status, WNOHANG) == 0; i++)
        nap(0.005);
    cr_expect(kill(child, 0) < 0 && errno == ESRCH, "the child outlives its parent");
    kill(child, SIGKILL);
}

/* ---- What is left of it ---- */

static int talk_and_crash(void *arg, json_t *reply, struct lb_err *err)
{
    (void)reply, (void)err;
    for (int i = 0; i < *(const int *)arg; i++)
        fprintf(stderr, "line %d\n", i);
    fprintf(stderr, "the last words");
    die(SIGSEGV);
    return 0;
}

/* The last lines of stderr stay, whole ones only where there are too many. */
Test(child, last_words)
{
    static const int lines[] = {0, 3, 5000};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct lb_outcome o;
        int n = lines[i];
        char last[40];
        lb_child_run(talk_and_crash, &n, &(struct lb_child_limits){.seconds = 60}, &o);
        snprintf(last, sizeof last, "line %d\nthe last words", n - 1);
        const size_t length = strlen(o.said);
        cr_expect(o.status == LB_CRASHED && length < LB_SAID);
        cr_expect(n ? length >= strlen(last) && !strcmp(o.said + length - strlen(last), last) : !strcmp(o.said, "the last words"), "%s",
                  o.said);
        cr_expect(!n || !strncmp(o.said, "line ", 5), "%s", o.said);
        cr_expect(n < 5000 || length > LB_SAID / 2, "%zu bytes are kept", length);
    }
}

#ifndef ADDRESS_SANITIZER
static int want_memory(void *arg, json_t *reply, struct lb_err *err)
{
    void *p = lb_alloc(*(const size_t *)arg, 1, err);
    (void)reply;
    lb_free(p);
    return p ? 0 : -1;
}

Test(child, a_limit_of_memory)
{
    static const struct {
        size_t wanted, limit;
        enum lb_status status;
    } cases[] = {{1 << 20, 0, LB_OK}, {1 << 20, 256 << 20, LB_OK}, {512 << 20, 256 << 20, LB_OOM}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lb_child c;
        struct lb_outcome o;
        struct lb_err err = {0};
        size_t wanted = cases[i].wanted;
        cr_assert(!lb_child_start(&c, want_memory, &wanted, &(struct lb_child_limits){60, cases[i].limit, 0}, &err), "%s", err.text);
        cr_assert(lb_child_wait(&c, 1, &o) == 0);
        cr_expect(o.status == cases[i].status, "case %zu: %s: %s", i, lb_status_name(o.status), o.why);
        json_decref(o.reply);
    }
}
#endif

static int fork_and_hang(void *arg, json_t *reply, struct lb_err *err)
{
    const pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    if (write(*(const int *)arg, &pid, sizeof pid) != sizeof pid)
        _exit(1);
    return hang(NULL, reply, err);
}

/* What a plugin starts ends with it. */
Test(child, its_own_children_end_too)
{
    struct lb_outcome o;
    int ends[2];
    pid_t grandchild = 0;
    cr_assert(pipe(ends) == 0);
    lb_child_run(fork_and_hang, &ends[1], &(struct lb_child_limits){.seconds = 0.3}, &o);
    cr_assert(o.status == LB_TIMEOUT && read(ends[0], &grandchild, sizeof grandchild) == sizeof grandchild && grandchild > 0);
    for (int i = 0; i < 200 && !kill(grandchild, 0); i++) { /* a zombie of init's is gone in a moment */
        char path[64], state = 0;
        snprintf(path, sizeof path, "/proc/%d/stat", (int)grandchild);
        FILE *f = fopen(path, "r");
        if (!f || fscanf(f, "%*d %*s %c", &state) != 1 || state == 'Z')
            grandchild = 0;
        if (f)
            fclose(f);
        if (!grandchild)
            break;
        usleep(10000);
    }
    cr_expect(!grandchild || kill(grandchild, 0), "process %d is still there", (int)grandchild);
}

/* A signal that asks for the end is told of where children are waited for, and nowhere else. */
Test(child, signals_are_held)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT(numbers); i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            struct lb_child c;
            struct lb_outcome o;
            lb_child_signals(1);
            if (lb_child_start(&c, hang, NULL, &(struct lb_child_limits){.seconds = 60}, NULL))
                _exit(1);
            const pid_t child = c.pid;
            raise(numbers[i]); /* would end the process here */
            if (lb_child_interrupted() || lb_child_wait(&c, 1, &o) != -1 || lb_child_interrupted() != numbers[i])
                _exit(2);
            lb_child_kill(&c, 1);
            _exit(kill(child, 0) ? 0 : 3);
        }
        int status = 1;
        waitpid(pid, &status, 0);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "signal %d: status %d", numbers[i], status);
    }
}

static int ask_for_the_end(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)err;
    raise(SIGTERM);
    raise(SIGHUP);
    raise(SIGINT);
    return json_object_set_new(reply, "x", json_integer(7));
}

/* Signals that ask for the end are the parent's to hear: a scheduler sends them to all processes of a job, and no trial is "crashed" by that. */
Test(child, the_parent_hears_signals)
{
    struct lb_outcome o;
    lb_child_run(ask_for_the_end, NULL, &(struct lb_child_limits){.seconds = 60}, &o);
    cr_expect(o.status == LB_OK, "%s: %s", lb_status_name(o.status), o.why);
    json_decref(o.reply);
}
