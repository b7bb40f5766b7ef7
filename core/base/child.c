/* SPDX-License-Identifier: MIT */
#include "core/base/child.h"
#include "core/base/io.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_S = 2, MAX_REPLY = 256 << 20 };

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING = sizeof ending / sizeof *ending };
static struct sigaction before[ENDING];
static sigset_t mask_before;
static volatile sig_atomic_t held, interrupted;

const char *lb_status_name(enum lb_status s)
{
    static const char *const names[] = {"ok", "skipped", "unsupported", "failed", "crashed", "timeout", "oom"};
    return names[s];
}

static void write_all(int fd, const char *s, size_t n)
{
    while (n) {
        const ssize_t done = write(fd, s, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        s += done;
        n -= (size_t)done;
    }
}

static void note_signal(int number)
{
    interrupted = number;
}

void lb_child_signals(int hold)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < ENDING; i++)
        sigaddset(&set, ending[i]);
    if (hold) {
        const struct sigaction note = {.sa_handler = note_signal};
        sigprocmask(SIG_BLOCK, &set, &mask_before);
        for (int i = 0; i < ENDING; i++) {
            sigaction(ending[i], NULL, &before[i]);
            if (before[i].sa_handler != SIG_IGN) /* nohup stays what it is */
                sigaction(ending[i], &note, NULL);
        }
    } else if (held) {
        for (int i = 0; i < ENDING; i++)
            sigaction(ending[i], &before[i], NULL);
        sigprocmask(SIG_SETMASK, &mask_before, NULL);
    }
    held = hold;
}

int lb_child_interrupted(void)
{
    return interrupted;
}

/* As lowbit, its plugins and the system say it, of memory that a library or a device did not get. */
static int is_no_memory(const char *error)
{
    return strcasestr(error, "out of memory") || strcasestr(error, "cannot allocate memory");
}

void lb_child_end_process(void)
{
    if (!interrupted)
        return;
    lb_child_signals(0);
    signal(interrupted, SIG_DFL);
    raise(interrupted);
}

int lb_child_pause(double seconds)
{
    const struct timespec wait = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    ppoll(NULL, 0, &wait, held ? &mask_before : NULL);
    return interrupted != 0;
}

/* In the child: works, and writes {"ok": reply} or {"error": text, "oom": true}. */
static void work_and_reply(int fd, lb_work *work, void *arg)
{
    static const char no_memory[] = "{\"error\":\"out of memory: reply\",\"oom\":true}";
    struct lb_err err = {0};
    json_t *reply = json_object(), *all = json_object();
    int lost;
    if (work(arg, reply, &err) == 0)
        lost = json_object_set(all, "ok", reply);
    else
        lost = json_object_set_new(all, "error", lb_json_text(err.set ? err.text : "failed without a message")) ||
               json_object_set_new(all, "oom", json_boolean(lb_mem_refused() > 0 || is_no_memory(err.text)));
    char *dumped = lost ? NULL : lb_json_dump(all, JSON_COMPACT);
    const char *text = dumped ? dumped : no_memory;
    write_all(fd, text, strlen(text));
    lb_free(dumped);
    json_decref(reply);
    json_decref(all);
    lb_progress_end();
    fflush(NULL);
    _exit(0);
}

/* In the child, before the work: its end when the parent ends, its own group, its limits. */
static void settle_in(pid_t parent, int err_fd, const struct lb_child_limits *limits)
{
    lb_child_signals(0);
    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < ENDING; i++)
        signal(ending[i], SIG_IGN); /* who ends all processes of a job by a signal ends the parent, which ends this one */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0);
    dup2(err_fd, 2);
    if (!limits->prints)
        dup2(err_fd, 1); /* what a plugin prints there is no part of what lowbit prints */
    lb_log_child();
    if (limits->bytes) {
        const struct rlimit most = {limits->bytes, limits->bytes};
        setrlimit(RLIMIT_DATA, &most);
    }
}

static int make_pipes(int ends[2], int err_ends[2], struct lb_err *err)
{
    if (pipe2(ends, O_CLOEXEC))
        return lb_fail(err, "pipe: %s", strerror(errno));
    if (!pipe2(err_ends, O_CLOEXEC))
        return 0;
    lb_fail(err, "pipe: %s", strerror(errno));
    close(ends[0]);
    close(ends[1]);
    return -1;
}

int lb_child_start(struct lb_child *c, lb_work *work, void *arg, const struct lb_child_limits *limits, struct lb_err *err)
{
    int ends[2], err_ends[2];
    *c = (struct lb_child){0};
    if (make_pipes(ends, err_ends, err))
        return -1;
    signal(SIGCHLD, SIG_DFL); /* ignored, as some parents leave it, it would take the exit status away */
    fflush(NULL);
    const pid_t parent = getpid(), pid = fork();
    const int why = errno;
    if (pid == 0) {
        settle_in(parent, err_ends[1], limits);
        close(ends[0]);
        work_and_reply(ends[1], work, arg);
    }
    close(ends[1]);
    close(err_ends[1]);
    if (pid < 0) {
        close(ends[0]);
        close(err_ends[0]);
        return lb_fail(err, "fork: %s", strerror(why));
    }
    setpgid(pid, pid); /* here, too: whoever comes first */
    fcntl(err_ends[0], F_SETFL, O_NONBLOCK);
    c->pid = pid;
    c->fd = ends[0];
    c->err_fd = err_ends[0];
    c->started = lb_seconds();
    c->deadline = c->started + limits->seconds;
    return 0;
}

/* The child's group, and the child where it has none yet. */
static void end_child(const struct lb_child *c)
{
    kill(-c->pid, SIGKILL);
    kill(c->pid, SIGKILL);
}

/* A line of the child's stderr is at its end: it is logged, and kept where it is no mere progress. */
static void end_line(struct lb_child *c)
{
    const size_t n = c->line_n;
    const int flooded = c->heard > LB_HEARD && !lb_log_is_progress(c->line, n);
    c->line_n = 0;
    if (!flooded && lb_log_line(c->line, n, &c->source))
        return;
    c->heard += n + 1;
    if (!flooded && c->heard > LB_HEARD)
        lb_log(LB_LOG_WARN, "process %ld has written %d KiB to stderr: what follows is not shown", (long)c->pid, LB_HEARD >> 10);
    if (c->said_n + n + 1 > sizeof c->said) {
        const size_t drop = c->said_n + n + 1 - sizeof c->said;
        memmove(c->said, c->said + drop, c->said_n - drop);
        c->said_n -= drop;
    }
    memcpy(c->said + c->said_n, c->line, n);
    c->said[c->said_n + n] = '\n';
    c->said_n += n + 1;
}

/* Takes what the child said on stderr. 1 where nothing more will come. */
static int hear(struct lb_child *c)
{
    char text[LB_SAID];
    for (;;) {
        const ssize_t n = read(c->err_fd, text, sizeof text);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 || errno != EAGAIN;
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] != '\n')
                c->line[c->line_n++] = text[i];
            if (text[i] == '\n' || c->line_n == sizeof c->line)
                end_line(c);
        }
    }
}

/* The last lines that find room, as one text without NUL bytes. */
static void last_lines(const struct lb_child *c, char out[LB_SAID])
{
    size_t from = c->said_n < LB_SAID ? 0 : c->said_n - LB_SAID + 1;
    if (from) {
        const char *end = memchr(c->said + from, '\n', c->said_n - from);
        from = end && end + 1 < c->said + c->said_n ? (size_t)(end + 1 - c->said) : from;
    }
    size_t n = 0;
    for (size_t i = from; i < c->said_n; i++)
        if (c->said[i])
            out[n++] = c->said[i];
    while (n && out[n - 1] == '\n')
        n--;
    out[n] = 0;
}

/* Takes what is there to read. 1 at the end, also where memory is out. */
static int drain(struct lb_child *c)
{
    if (c->n + 4096 > c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16384;
        char *text = cap > MAX_REPLY ? NULL : lb_alloc(cap, 1, NULL);
        if (!text) {
            c->lost = 1;
            end_child(c);
            return 1;
        }
        if (c->text)
            memcpy(text, c->text, c->n);
        lb_free(c->text);
        c->text = text;
        c->cap = cap;
    }
    const ssize_t n = read(c->fd, c->text + c->n, c->cap - c->n - 1);
    if (n > 0)
        c->n += (size_t)n;
    return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static void read_reply(struct lb_child *c, struct lb_outcome *out)
{
    static const char unsupported[] = "unsupported: ";
    json_error_t e;
    json_t *all = c->text ? lb_json_load(c->text, c->n, 0, &e) : NULL;
    json_t *ok = json_object_get(all, "ok");
    const char *error = json_string_value(json_object_get(all, "error"));
    out->status = ok ? LB_OK : error ? LB_FAILED : LB_CRASHED;
    if (ok)
        out->reply = json_incref(ok);
    else if (error && strncmp(error, unsupported, strlen(unsupported)) == 0) {
        out->status = LB_UNSUPPORTED;
        error += strlen(unsupported);
    } else if (json_is_true(json_object_get(all, "oom")))
        out->status = LB_OOM;
    if (!ok)
        snprintf(out->why, sizeof out->why, "%s", error ? error : "its reply is no JSON");
    json_decref(all);
}

/* Waits for a process that was killed or closed its side of the pipe, and so is at its end. One that closed it and stays (a plugin that closed all
 * files) is killed: then 1. */
static int reap(pid_t pid, int *status)
{
    static const struct timespec moment = {0, 50000};
    const double end = lb_seconds() + GRACE_S;
    pid_t got;
    while ((got = waitpid(pid, status, WNOHANG)) == 0 && lb_seconds() < end)
        nanosleep(&moment, NULL);
    if (got)
        return 0;
    kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return 1;
}

static void finish(struct lb_child *c, struct lb_outcome *out)
{
    int status = 0;
    const int stayed = reap(c->pid, &status);
    *out = (struct lb_outcome){.status = LB_FAILED, .seconds = lb_seconds() - c->started};
    kill(-c->pid, SIGKILL); /* what it started and left behind */
    hear(c);
    if (c->line_n)
        end_line(c);
    if (c->timed_out) {
        out->status = LB_TIMEOUT;
        snprintf(out->why, sizeof out->why, "ended after its time limit of %g s", c->deadline - c->started);
    } else if (c->lost) {
        snprintf(out->why, sizeof out->why, "its reply is longer than %d MiB, or memory is out", MAX_REPLY >> 20);
    } else if (WIFSIGNALED(status) && !stayed) {
        const int signal = WTERMSIG(status);
        out->status = signal == SIGKILL ? LB_OOM : LB_CRASHED;
        snprintf(out->why, sizeof out->why, signal == SIGKILL ? "killed (signal %d, %s): out of memory?" : "signal %d (%s)", signal,
                 strsignal(signal));
    } else if (c->n == 0) {
        out->status = LB_CRASHED;
        if (stayed)
            snprintf(out->why, sizeof out->why, "closed its files, gave no reply and had to be ended");
        else
            snprintf(out->why, sizeof out->why, "left with status %d and no reply", WEXITSTATUS(status));
    } else {
        read_reply(c, out);
    }
    if (out->status != LB_OK)
        last_lines(c, out->said);
    close(c->err_fd);
    close(c->fd);
    lb_free(c->text);
    *c = (struct lb_child){0};
}

/* What to wait for: each child's reply and its stderr; how many run, and how long until the first limit. */
static size_t gather(struct lb_child *c, size_t n, struct pollfd *p, struct timespec *wait)
{
    double soonest = 1e6;
    size_t running = 0;
    for (size_t i = 0; i < n; i++) {
        p[2 * i] = (struct pollfd){.fd = c[i].pid ? c[i].fd : -1, .events = POLLIN};
        p[2 * i + 1] = (struct pollfd){.fd = c[i].pid && c[i].err_fd >= 0 ? c[i].err_fd : -1, .events = POLLIN};
        running += c[i].pid != 0;
        if (c[i].pid && c[i].deadline - lb_seconds() < soonest)
            soonest = c[i].deadline - lb_seconds();
    }
    soonest = soonest < 0 ? 0 : soonest + 0.001;
    *wait = (struct timespec){(time_t)soonest, (long)((soonest - (double)(time_t)soonest) * 1e9)};
    return running;
}

/* Whether the child is at its end: its reply is whole, or its time is over. */
static int is_over(struct lb_child *c, const struct pollfd *p)
{
    enum { THERE = POLLIN | POLLHUP | POLLERR };
    if (p[1].revents & THERE && hear(c)) {
        close(c->err_fd);
        c->err_fd = -1;
    }
    if (p[0].revents & THERE && drain(c))
        return 1;
    if (lb_seconds() <= c->deadline)
        return 0;
    end_child(c);
    return c->timed_out = 1;
}

long lb_child_wait(struct lb_child *c, size_t n, struct lb_outcome *out)
{
    struct pollfd p[2 * LB_CHILDREN];
    struct timespec wait;
    while (gather(c, n, p, &wait)) {
        const int none = ppoll(p, (nfds_t)(2 * n), &wait, held ? &mask_before : NULL) < 0;
        if (interrupted)
            return -1;
        for (size_t i = 0; i < n; i++) {
            if (none)
                p[2 * i].revents = p[2 * i + 1].revents = 0;
            if (c[i].pid && is_over(&c[i], &p[2 * i])) {
                finish(&c[i], out);
                return (long)i;
            }
        }
    }
    return -1;
}

void lb_child_run(lb_work *work, void *arg, const struct lb_child_limits *limits, struct lb_outcome *out)
{
    struct lb_child c;
    struct lb_err err = {0};
    if (lb_child_start(&c, work, arg, limits, &err)) {
        *out = (struct lb_outcome){.status = LB_FAILED};
        snprintf(out->why, sizeof out->why, "%s", err.text);
        return;
    }
    if (lb_child_wait(&c, 1, out) < 0) {
        lb_child_kill(&c, 1);
        *out = (struct lb_outcome){.status = LB_FAILED, .why = "interrupted"};
    }
}

void lb_child_kill(struct lb_child *c, size_t n)
{
    struct lb_outcome out;
    for (size_t i = 0; i < n; i++)
        if (c[i].pid) {
            end_child(&c[i]);
            finish(&c[i], &out);
            json_decref(out.reply);
        }
}
