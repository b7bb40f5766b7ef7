/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_MAX = 2048, LINE_MAX_BYTES = 4 * TEXT_MAX };

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static enum { AS_TEXT, AS_JSON, AS_CHILD } form;
static int quietness, on_terminal, wants_json,
    on_line; /* wants_json: of a child, too; on_line: the terminal's cursor stands behind a progress line */
static struct lb_log_source source;
static double last_progress = -1e9;

/* ---- One line, in one write ---- */

static void write_all(const char *s, size_t n)
{
    while (n) {
        const ssize_t done = write(2, s, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        s += done;
        n -= (size_t)done;
    }
}

/* Appends `text` to line[at..size): names from files may hold what moves a terminal's cursor or looks like a line of ours. */
static size_t add_harmless(char *line, size_t at, size_t size, const char *text)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        n--;
    for (size_t i = 0; i < n && at + 6 < size; i++) {
        const unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];
        const int is_c1 = c == 0xc2 && next >= 0x80 && next < 0xa0; /* control characters beyond ASCII, as UTF-8 has them */
        if (c == '\n')
            at += (size_t)snprintf(line + at, size - at, "\n    ");
        else
            line[at++] = (c < 0x20 && c != '\t') || c == 0x7f || is_c1 ? '?' : text[i];
        i += (size_t)is_c1;
    }
    return at;
}

static void say_text(const char *before, const char *text)
{
    char line[LINE_MAX_BYTES];
    size_t n = (size_t)snprintf(line, sizeof line, "%s", before);
    n = add_harmless(line, n, sizeof line, text);
    line[n++] = '\n';
    write_all(line, n);
}

/* Takes over `o`, which gets level and time, and of a child's line what it works on. NULL, like memory that is out, leaves a line that says so. */
static void say_json(const char *level, json_t *o)
{
    char now[LB_LOG_TIME], no_memory[128];
    lb_log_time(now);
    json_t *all = o ? json_pack("{ss,ss}", "level", level, "time", now) : NULL;
    const int lost =
        !all || json_object_update_missing(all, o) || (source.kind && json_object_set_new(all, source.kind, json_string(source.hash)));
    char *line = lost ? NULL : lb_json_dump(all, JSON_COMPACT);
    json_decref(all);
    json_decref(o);
    if (line) {
        const size_t n = strlen(line);
        line[n] = '\n'; /* in place of the NUL: one write, no line of another process in it */
        write_all(line, n + 1);
    } else {
        snprintf(no_memory, sizeof no_memory, "{\"level\":\"error\",\"time\":\"%s\",\"text\":\"out of memory: message\"}\n", now);
        write_all(no_memory, strlen(no_memory));
    }
    lb_free(line);
}

static json_t *json_of_text(const char *text)
{
    json_t *o = json_object();
    if (json_object_set_new(o, "text", lb_json_text(text))) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static void say(int level, const char *text)
{
    char before[16];
    lb_progress_end();
    if (form == AS_JSON) {
        say_json(level_names[level], json_of_text(text));
        return;
    }
    snprintf(before, sizeof before, "%s%s", level < LB_LOG_INFO ? level_names[level] : "", level < LB_LOG_INFO ? ": " : "");
    say_text(before, text);
}

/* ---- What others print to stderr, where that must be JSON ---- */

static FILE *own_stderr; /* what stderr was, while a stream of ours stands in for it */
static int foreign_level;
static char pending[TEXT_MAX];
static size_t n_pending;

static void end_pending(void)
{
    pending[n_pending] = 0;
    if (n_pending)
        say(foreign_level, pending);
    n_pending = 0;
}

static ssize_t take_stderr(void *cookie, const char *text, size_t n)
{
    (void)cookie;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\n')
            pending[n_pending++] = text[i];
        if (text[i] == '\n' || n_pending + 1 == sizeof pending)
            end_pending();
    }
    return (ssize_t)n;
}

static void replace_stderr(void)
{
    static int registered;
    const cookie_io_functions_t functions = {.write = take_stderr};
    FILE *f = own_stderr ? NULL : fopencookie(NULL, "w", functions);
    if (!f)
        return;
    setvbuf(f, NULL, _IONBF, 0);
    own_stderr = stderr;
    stderr = f; /* glibc lets its standard streams be set */
    if (!registered)
        registered = !atexit(end_pending);
}

static void restore_stderr(void)
{
    if (!own_stderr)
        return;
    fclose(stderr);
    stderr = own_stderr;
    own_stderr = NULL;
    n_pending = 0;
}

/* ---- Messages ---- */

void lb_log_setup(int json, int quiet)
{
    form = json ? AS_JSON : AS_TEXT;
    wants_json = json;
    quietness = quiet;
    on_terminal = !json && isatty(2);
    foreign_level = LB_LOG_INFO;
    if (json)
        replace_stderr();
    else
        restore_stderr();
}

void lb_log_json_errors(void)
{
    lb_log_setup(1, 0);
    foreign_level = LB_LOG_ERROR;
}

void lb_log_child(void)
{
    restore_stderr();
    form = AS_CHILD;
    on_line = 0;
}

static int is_wanted(int level)
{
    return level <= LB_LOG_INFO - (quietness < 2 ? quietness : 2);
}

void lb_log(int level, const char *format, ...)
{
    if (!is_wanted(level))
        return;
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(level, text);
}

static int begins(const char *line, size_t n, const char *with)
{
    const size_t m = strlen(with);
    return n >= m && !memcmp(line, with, m) ? (int)m : 0;
}

/* Progress that a child said as an object stays one. */
static int show_object(const char *line, size_t n)
{
    json_error_t e;
    json_t *o = form == AS_JSON && n && *line == '{' ? lb_json_load(line, n, 0, &e) : NULL;
    if (o)
        say_json("progress", o);
    return o != NULL;
}

int lb_log_is_progress(const char *line, size_t n)
{
    return begins(line, n, "progress: ") != 0;
}

int lb_log_line(const char *line, size_t n, const struct lb_log_source *from)
{
    const int progress = begins(line, n, "progress: "), error = begins(line, n, "error: "), warning = begins(line, n, "warning: ");
    const int skip = progress + error + warning, length = n < TEXT_MAX ? (int)n : TEXT_MAX;
    source = *from;
    if (!progress)
        lb_log(error ? LB_LOG_ERROR : warning ? LB_LOG_WARN : LB_LOG_INFO, "%.*s", length - skip, line + skip);
    else if (!show_object(line + skip, n - (size_t)skip))
        lb_progress("%.*s", length - skip, line + skip);
    source = (struct lb_log_source){0};
    return progress != 0;
}

void lb_log_time(char text[LB_LOG_TIME])
{
    struct timespec now = {0};
    struct tm utc = {0};
    char day[24] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, LB_LOG_TIME, "%s.%03dZ", day, (int)(now.tv_nsec / 1000000));
}

/* ---- Progress ---- */

static size_t terminal_width(void)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size = {0};
    const long said = columns ? strtol(columns, NULL, 10) : 0;
    if (said > 0 && said < 10000)
        return (size_t)said;
    return !ioctl(2, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : 80;
}

/* Cuts UTF-8 text so that it takes fewer than `width` columns: the cursor stays on the line. From U+0800 on a character may take two. */
static void cut(char *text, size_t width)
{
    size_t columns = 0;
    for (size_t i = 0; text[i]; i++) {
        const unsigned char c = (unsigned char)text[i];
        columns += (c & 0xc0) == 0x80 ? 0 : c >= 0xe0 ? 2 : 1;
        if (columns >= width) {
            text[i] = 0;
            return;
        }
    }
}

/* Whether it is time for the next line. */
static int is_due(void)
{
    const double now = lb_seconds();
    if (quietness || now - last_progress < (on_terminal ? 0.1 : wants_json ? 1.0 : 10.0))
        return 0;
    last_progress = now;
    return 1;
}

static void show(const char *text)
{
    char line[LINE_MAX_BYTES];
    if (form == AS_CHILD) {
        say_text("progress: ", text);
    } else if (!on_terminal) {
        say_text("", text);
    } else {
        line[add_harmless(line, 0, sizeof line, text)] = 0;
        cut(line, terminal_width());
        write_all("\r", 1);
        write_all(line, strlen(line));
        write_all("\033[K", 3);
        on_line = 1;
    }
}

void lb_progress(const char *format, ...)
{
    if (!is_due())
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (form == AS_JSON)
        say_json("progress", json_of_text(text));
    else
        show(text);
}

void lb_progress_end(void)
{
    if (on_line)
        write_all("\n", 1);
    on_line = 0;
}

void lb_progress_estimate(struct lb_progress *p, size_t ended, double seconds)
{
    const size_t left = p->total - p->done - p->failed - p->skipped;
    p->per_s = ended && seconds > 0 ? (double)ended / seconds : 0;
    p->seconds_left = p->per_s > 0 ? (double)left / p->per_s : -1;
}

/* "3 h 05 min left", "12 min 30 s left", "9 s left" */
static size_t add_left(char *text, size_t size, double seconds)
{
    const long s = seconds < 1e9 ? (long)(seconds + 0.5) : 1000000000;
    const int n = s >= 3600 ? snprintf(text, size, ", %ld h %02ld min left", s / 3600, s / 60 % 60)
                  : s >= 60 ? snprintf(text, size, ", %ld min %02ld s left", s / 60, s % 60)
                            : snprintf(text, size, ", %ld s left", s);
    return n > 0 ? (size_t)n : 0;
}

static void show_text(const struct lb_progress *p)
{
    char text[512];
    size_t n = (size_t)snprintf(text, sizeof text, "%.200s: %zu/%zu done, %zu running, %zu failed", p->label, p->done, p->total, p->running,
                                p->failed);
    if (p->skipped)
        n += (size_t)snprintf(text + n, sizeof text - n, ", %zu skipped", p->skipped);
    if (p->per_s > 0)
        n += (size_t)snprintf(text + n, sizeof text - n, p->per_s >= 1 ? ", %.1f/s" : ", %.1f s each",
                              p->per_s >= 1 ? p->per_s : 1 / p->per_s);
    if (p->seconds_left > 0)
        add_left(text + n, sizeof text - n, p->seconds_left);
    show(text);
}

static json_t *rounded(double v, double scale)
{
    return json_real((double)(long long)(v * scale + 0.5) / scale);
}

static void show_json(const struct lb_progress *p)
{
    say_json("progress",
             json_pack("{so,sI,sI,sI,sI,sI,so,so}", "label", lb_json_text(p->label), "done", (json_int_t)p->done, "running",
                       (json_int_t)p->running, "failed", (json_int_t)p->failed, "skipped", (json_int_t)p->skipped, "total",
                       (json_int_t)p->total, "per_s", p->per_s > 0 && p->per_s < 1e9 ? rounded(p->per_s, 1000) : json_null(),
                       "seconds_left", p->seconds_left >= 0 && p->seconds_left < 1e12 ? rounded(p->seconds_left, 10) : json_null()));
}

void lb_progress_show(const struct lb_progress *p)
{
    const int last = p->done + p->failed + p->skipped >= p->total;
    if (quietness || (!is_due() && !last))
        return;
    if (form == AS_JSON)
        show_json(p);
    else
        show_text(p);
}

static json_t *finite(double v)
{
    return v - v == 0 ? json_real(v) : json_null();
}

static json_t *training_object(const struct lb_training_progress *p)
{
    return json_pack("{so,sI,sI,sI,sI,so,so,so,so}", "label", lb_json_text(p->label), "epoch", (json_int_t)p->epoch, "epochs",
                     (json_int_t)p->epochs, "batch", (json_int_t)p->batch, "batches", (json_int_t)p->batches, "loss", finite(p->loss),
                     "seconds", rounded(p->seconds, 1000), "per_s", rounded(p->per_s, 1000), "seconds_left", rounded(p->seconds_left, 10));
}

void lb_progress_training(const struct lb_training_progress *p)
{
    const int last = wants_json && p->epoch == p->epochs && p->batch == p->batches;
    if (quietness || (!is_due() && !last))
        return;
    char text[512];
    json_t *o = wants_json ? training_object(p) : NULL;
    char *line = form == AS_CHILD && o ? lb_json_dump(o, JSON_COMPACT) : NULL;
    snprintf(text, sizeof text, "%.200s: epoch %zu/%zu, batch %zu/%zu, %.0f samples/s, loss %.4f, %.0f s left", p->label, p->epoch,
             p->epochs, p->batch, p->batches, p->per_s, p->loss, p->seconds_left);
    if (form == AS_JSON)
        say_json("progress", json_incref(o));
    else
        show(line ? line : text);
    lb_free(line);
    json_decref(o);
}
