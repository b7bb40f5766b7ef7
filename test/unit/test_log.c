/* SPDX-License-Identifier: MIT */
/* What stands on stderr: text, JSON, a terminal's line, a child's lines. */
#include "core/base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int said = -1, own = -1; /* a file that fd 2 goes into; what it was */

static void setup(void)
{
    char path[] = "/tmp/lowbit-test-XXXXXX";
    said = mkstemp(path);
    own = dup(2);
    cr_assert(said >= 0 && own >= 0 && !unlink(path) && dup2(said, 2) == 2);
    unsetenv("COLUMNS");
}

static void teardown(void)
{
    lb_log_setup(0, 0);
    dup2(own, 2);
}

TestSuite(log, .init = setup, .fini = teardown);

/* What was written since the last call. */
static const char *taken(void)
{
    static char text[65536];
    fflush(stderr);
    const ssize_t n = pread(said, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    cr_assert(!ftruncate(said, 0) && lseek(said, 0, SEEK_SET) == 0);
    return text;
}

static void expect_text(const char *want)
{
    const char *got = taken();
    cr_expect_str_eq(got, want, "expected \"%s\", got \"%s\"", want, got);
}

/* One line of JSON with the level, and a time; a new reference. */
static json_t *expect_json(const char *level)
{
    json_error_t e;
    const char *got = taken();
    json_t *o = json_loads(got, JSON_REJECT_DUPLICATES, &e);
    cr_assert(o != NULL, "\"%s\": %s", got, e.text);
    cr_expect(strchr(got, '\n') == got + strlen(got) - 1, "more than a line: \"%s\"", got);
    cr_expect_str_eq(json_string_value(json_object_get(o, "level")), level);
    const char *time = json_string_value(json_object_get(o, "time"));
    cr_expect(time && strlen(time) == 24 && !strncmp(time, "20", 2) && time[10] == 'T' && time[19] == '.' && time[23] == 'Z', "%s", time);
    return o;
}

static void expect_json_text(const char *level, const char *text)
{
    json_t *o = expect_json(level);
    cr_expect_str_eq(json_string_value(json_object_get(o, "text")), text);
    json_decref(o);
}

Test(log, text)
{
    static const struct {
        int level;
        const char *text, *want;
    } rows[] = {{LB_LOG_ERROR, "a", "error: a\n"},
                {LB_LOG_WARN, "a", "warning: a\n"},
                {LB_LOG_INFO, "a", "a\n"},
                {LB_LOG_DEBUG, "a", ""},
                {LB_LOG_INFO, "", "\n"},
                {LB_LOG_INFO, "\x1b[2Jx\ty\r\x7f", "?[2Jx\ty??\n"},             /* what moves the cursor */
                {LB_LOG_INFO, "\xc2\x9bm \xc3\xa9 \xff", "?m \xc3\xa9 \xff\n"}, /* the same beyond ASCII; letters stay */
                {LB_LOG_INFO, "a\nerror: b\n", "a\n    error: b\n"}};           /* no line of ours can be made from a name */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lb_log(rows[i].level, "%s", rows[i].text);
        expect_text(rows[i].want);
    }
    char longest[10000];
    memset(longest, '\n', sizeof longest - 1);
    longest[0] = longest[sizeof longest - 2] = 'x';
    longest[sizeof longest - 1] = 0;
    lb_log(LB_LOG_INFO, "%s", longest);
    cr_expect_eq(taken()[0], 'x');
}

Test(log, quiet)
{
    static const char *const want[] = {"error: a\nwarning: a\na\n", "error: a\nwarning: a\n", "error: a\n", "error: a\n"};
    for (int quiet = 0; quiet < 4; quiet++) {
        lb_log_setup(0, quiet);
        for (int level = LB_LOG_ERROR; level <= LB_LOG_DEBUG; level++)
            lb_log(level, "a");
        expect_text(want[quiet]);
    }
    lb_progress("a");
    lb_progress_show(&(struct lb_progress){.label = "trials"});
    expect_text("");
}

Test(log, json)
{
    static const struct {
        const char *text, *want;
    } rows[] = {{"a \"b\" \\ \n\x1b", "a \"b\" \\ \n\x1b"}, {"", ""}, {"\xc3\xa9", "\xc3\xa9"}, {"\xff\xc3\xa9", "???"}};
    lb_log_setup(1, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lb_log(LB_LOG_WARN, "%s", rows[i].text);
        expect_json_text("warning", rows[i].want);
    }
    lb_progress("epoch %d", 3);
    expect_json_text("progress", "epoch 3");
}

/* argp, getopt and the C library print to the stream. */
Test(log, json_of_stderr)
{
    lb_log_json_errors();
    fprintf(stderr, "lowbit: ");
    expect_text("");
    fprintf(stderr, "%s is no command\n", "x");
    expect_json_text("error", "lowbit: x is no command");
    lb_log_setup(1, 0);
    fputs("from a library\n", stderr);
    expect_json_text("info", "from a library");
    lb_log_setup(0, 0);
    fputs("plain", stderr);
    expect_text("plain");
}

Test(log, json_of_last_words)
{
#ifdef SANITIZED
    cr_skip_test("a sanitizer's own words come last");
#endif
    const pid_t pid = fork();
    if (pid == 0) {
        lb_log_setup(1, 0);
        fputs("no end of line", stderr);
        exit(0);
    }
    cr_assert(pid > 0 && waitpid(pid, NULL, 0) == pid);
    expect_json_text("info", "no end of line");
}

Test(log, child)
{
    static const struct {
        const char *line, *want;
        int progress;
    } rows[] = {
        {"error: a", "error: a\n", 0}, {"warning: a", "warning: a\n", 0}, {"warning:a", "warning:a\n", 0}, {"a", "a\n", 0}, {"", "\n", 0},
        {"\x1b]0;x", "?]0;x\n", 0},    {"progress: a", "a\n", 1}};
    lb_log_setup(1, 0);
    lb_log_child();
    lb_log(LB_LOG_WARN, "w");
    lb_progress("p");
    fputs("cut sh", stderr); /* at once: the next may be a crash */
    expect_text("warning: w\nprogress: p\ncut sh");
    lb_log_setup(0, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[64]; /* not ended by a NUL */
        memset(line, 'x', sizeof line);
        memcpy(line, rows[i].line, strlen(rows[i].line));
        const int got = lb_log_line(line, strlen(rows[i].line), &(struct lb_log_source){0});
        cr_expect_eq(got, rows[i].progress, "%s", rows[i].line);
        if (rows[i].progress)
            taken(); /* the one of lb_progress above was a moment ago */
        else
            expect_text(rows[i].want);
    }
    lb_log_setup(1, 0);
    lb_log_line("warning: a", 10, &(struct lb_log_source){0});
    expect_json_text("warning", "a");
    lb_log_line("a", 1, &(struct lb_log_source){"trial", "0123"});
    json_t *o = expect_json("info");
    cr_expect_str_eq(json_string_value(json_object_get(o, "trial")), "0123");
    cr_expect_str_eq(json_string_value(json_object_get(o, "text")), "a");
    json_decref(o);
    lb_log(LB_LOG_INFO, "own");
    o = expect_json("info");
    cr_expect_null(json_object_get(o, "trial"), "not of a child");
    json_decref(o);
}

static const struct lb_training_progress training = {.label = "train \"a\"",
                                                     .epoch = 2,
                                                     .epochs = 3,
                                                     .batch = 5,
                                                     .batches = 5,
                                                     .loss = 0.25,
                                                     .per_s = 1000.4,
                                                     .seconds = 1.5,
                                                     .seconds_left = 0.75};

Test(log, training_text)
{
    lb_progress_training(&training);
    expect_text("train \"a\": epoch 2/3, batch 5/5, 1000 samples/s, loss 0.2500, 1 s left\n");
    struct lb_training_progress last = training;
    last.epoch = 3;
    lb_progress_training(&last);
    expect_text("");
    lb_log_setup(1, 1);
    lb_progress_training(&last);
    expect_text("");
}

static void expect_training(double loss, json_int_t epoch)
{
    static const char *const keys[] = {"epoch", "epochs", "batch", "batches"};
    const json_int_t want[] = {epoch, 3, 5, 5};
    json_t *o = expect_json("progress");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect(json_is_integer(json_object_get(o, keys[i])) && json_integer_value(json_object_get(o, keys[i])) == want[i], "%s",
                  keys[i]);
    cr_expect_str_eq(json_string_value(json_object_get(o, "label")), "train \"a\"");
    cr_expect(loss != loss ? json_is_null(json_object_get(o, "loss")) : json_real_value(json_object_get(o, "loss")) == loss);
    cr_expect_eq(json_real_value(json_object_get(o, "per_s")), 1000.4);
    cr_expect_eq(json_real_value(json_object_get(o, "seconds")), 1.5);
    cr_expect_eq(json_real_value(json_object_get(o, "seconds_left")), 0.8);
    cr_expect_null(json_object_get(o, "text"));
    json_decref(o);
}

/* The last batch of all is shown in any case. */
Test(log, training_json)
{
    struct lb_training_progress last = training;
    last.epoch = 3;
    last.loss = NAN;
    lb_log_setup(1, 0);
    lb_progress_training(&training);
    expect_training(0.25, 2);
    lb_progress_training(&training);
    expect_text("");
    lb_progress_training(&last);
    expect_training(NAN, 3);
}

/* What a child said is an object again, however soon after another child's. */
Test(log, training_of_a_child)
{
    char line[1000];
    lb_log_setup(1, 0);
    lb_log_child();
    lb_progress_training(&training);
    snprintf(line, sizeof line, "%s", taken());
    cr_assert(strncmp(line, "progress: {", 11) == 0, "\"%s\"", line);
    lb_log_setup(1, 0);
    for (int i = 0; i < 2; i++) {
        cr_expect(lb_log_line(line, strcspn(line, "\n"), &(struct lb_log_source){"training", "0123"}));
        json_t *o = expect_json("progress");
        cr_expect_str_eq(json_string_value(json_object_get(o, "training")), "0123");
        cr_expect(json_integer_value(json_object_get(o, "epoch")) == 2 && json_integer_value(json_object_get(o, "epochs")) == 3);
        json_decref(o);
    }
    static const char lies[] = "progress: {\"level\":\"error\",\"time\":0,\"training\":1}";
    lb_log_line(lies, strlen(lies), &(struct lb_log_source){"training", "0123"});
    json_t *o = expect_json("progress"); /* level and time are ours */
    cr_expect_str_eq(json_string_value(json_object_get(o, "training")), "0123");
    json_decref(o);
    cr_expect(lb_log_line("progress: {torn", 15, &(struct lb_log_source){0}));
    taken(); /* a text, where one was due */
}

/* And a text, where the parent wants text. */
Test(log, training_of_a_child_as_text)
{
    lb_log_child();
    lb_progress_training(&training);
    expect_text("progress: train \"a\": epoch 2/3, batch 5/5, 1000 samples/s, loss 0.2500, 1 s left\n");
}

static const struct lb_progress state = {
    .label = "trials", .done = 3, .running = 2, .failed = 1, .skipped = 1, .total = 10, .per_s = 0.25, .seconds_left = 3725.04};

Test(log, progress_text)
{
    struct lb_progress p = state;
    lb_progress_show(&p);
    expect_text("trials: 3/10 done, 2 running, 1 failed, 1 skipped, 4.0 s each, 1 h 02 min left\n");
    lb_progress_show(&p);
    expect_text(""); /* not again so soon */
    p = (struct lb_progress){.label = "trials", .done = 9, .failed = 1, .total = 10, .seconds_left = -1};
    lb_progress_show(&p);
    expect_text("trials: 9/10 done, 0 running, 1 failed\n"); /* but the last in any case */
}

Test(log, progress_json)
{
    static const char *const keys[] = {"done", "running", "failed", "skipped", "total"};
    static const json_int_t want[] = {3, 2, 1, 1, 10};
    lb_log_setup(1, 0);
    lb_progress_show(&state);
    json_t *o = expect_json("progress");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect(json_is_integer(json_object_get(o, keys[i])) && json_integer_value(json_object_get(o, keys[i])) == want[i], "%s",
                  keys[i]);
    cr_expect_str_eq(json_string_value(json_object_get(o, "label")), "trials");
    cr_expect_eq(json_real_value(json_object_get(o, "seconds_left")), 3725.0);
    cr_expect_eq(json_real_value(json_object_get(o, "per_s")), 0.25);
    cr_expect_null(json_object_get(o, "text"));
    json_decref(o);
    lb_progress_show(&(struct lb_progress){.label = "trials", .seconds_left = -1});
    o = expect_json("progress");
    cr_expect(json_is_null(json_object_get(o, "seconds_left")) && json_is_null(json_object_get(o, "per_s")));
    json_decref(o);
}

Test(log, estimate)
{
    static const struct {
        size_t done, failed, skipped, total, ended;
        double seconds, per_s, left;
    } rows[] = {{5, 1, 0, 10, 2, 4, 0.5, 8},
                {5, 5, 0, 10, 10, 4, 2.5, 0},
                {1, 1, 4, 10, 2, 4, 0.5, 8},
                {0, 0, 4, 10, 0, 4, 0, -1},
                {0, 0, 4, 10, 1, 0, 0, -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lb_progress p = {.done = rows[i].done, .failed = rows[i].failed, .skipped = rows[i].skipped, .total = rows[i].total};
        lb_progress_estimate(&p, rows[i].ended, rows[i].seconds);
        cr_expect(p.per_s == rows[i].per_s && p.seconds_left == rows[i].left, "row %zu: %g, %g", i, p.per_s, p.seconds_left);
    }
}

/* On a terminal one line is rewritten, and it never reaches the last column. */
Test(log, terminal)
{
    static const struct {
        unsigned short width;
        const char *columns, *label, *want;
    } rows[] = {{200, NULL, "trials", "trials: 3/10 done, 2 running, 1 failed, 1 skipped, 4.0 s each, 1 h 02 min left"},
                {20, NULL, "trials", "trials: 3/10 done, "},
                {0, NULL, "trials", "trials: 3/10 done, 2 running, 1 failed, 1 skipped, 4.0 s each, 1 h 02 min left"}, /* 78 of 80 */
                {200, "12", "trials", "trials: 3/1"},
                {10, "nonsense", "trials", "trials: 3"},
                {1, NULL, "trials", ""},
                {5, NULL, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"},
                {6, NULL, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", "\xe4\xb8\xad\xe4\xb8\xad"}}; /* two columns each */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int host, terminal;
        const struct winsize size = {.ws_row = 24, .ws_col = rows[i].width};
        cr_assert(!openpty(&host, &terminal, NULL, NULL, &size) && dup2(terminal, 2) == 2);
        if (rows[i].columns)
            setenv("COLUMNS", rows[i].columns, 1);
        else
            unsetenv("COLUMNS");
        lb_log_setup(0, 0);
        struct lb_progress p = state;
        p.label = rows[i].label;
        usleep(110000); /* more than a tenth of a second since the last one */
        lb_progress_show(&p);
        lb_log(LB_LOG_INFO, "after it");
        char got[1024], want[1024];
        ssize_t n = 0, more;
        snprintf(want, sizeof want, "\r%s\033[K\r\nafter it\r\n", rows[i].want);
        while ((size_t)n < strlen(want) && (more = read(host, got + n, sizeof got - 1 - (size_t)n)) > 0)
            n += more;
        got[n] = 0;
        cr_expect_str_eq(got, want, "row %zu: \"%s\"", i, got + 1);
        close(host);
        close(terminal);
    }
}
