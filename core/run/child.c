/* SPDX-License-Identifier: MIT */
#include "core/run/child.h"
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
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE_MS = 2000 };

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

/* In the child: works, and writes {"ok": reply} or {"error": text}. */
static void work_and_reply(int fd, lb_work *work, void *arg)
{
    static const char no_memory[] = "{\"error\":\"out of memory: reply\"}";
    struct lb_err err = {0};
    json_t *reply = json_object(), *all = json_object();
    int lost;
    if (work(arg, reply, &err) == 0)
        lost = json_object_set(all, "ok", reply);
    else
        lost = json_object_set_new(all, "error", lb_json_text(err.set ? err.text : "failed without a message"));
    char *dumped = lost ? NULL : json_dumps(all, JSON_COMPACT);
    const char *text = dumped ? dumped : no_memory;
    write_all(fd, text, strlen(text));
    free(dumped);
    json_decref(reply);
    json_decref(all);
    lb_progress_end();
    fflush(NULL);
    _exit(0);
}

int lb_child_start(struct lb_child *c, lb_work *work, void *arg, double timeout_s, struct lb_err *err)
{
    int ends[2];
    *c = (struct lb_child){0};
    if (pipe2(ends, O_CLOEXEC))
        return lb_fail(err, "pipe: %s", strerror(errno));
    signal(SIGCHLD, SIG_DFL); /* ignored, as some parents leave it, it would take the exit status away */
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return lb_fail(err, "fork: %s", strerror(errno));
    }
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        close(ends[0]);
        work_and_reply(ends[1], work, arg);
    }
    close(ends[1]);
    c->pid = pid;
    c->fd = ends[0];
    c->deadline = lb_seconds() + timeout_s;
    return 0;
}

/* Takes what is there to read. 1 at the end, also where memory is out. */
static int drain(struct lb_child *c)
{
    if (c->n + 4096 > c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16384;
        char *text = lb_alloc(cap, 1, NULL);
        if (!text) {
            c->lost = 1;
            kill(c->pid, SIGKILL);
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
    json_t *all = c->text ? json_loadb(c->text, c->n, 0, &e) : NULL;
    json_t *ok = json_object_get(all, "ok");
    const char *error = json_string_value(json_object_get(all, "error"));
    out->status = ok ? LB_OK : LB_FAILED;
    if (ok)
        out->reply = json_incref(ok);
    else if (error && strncmp(error, unsupported, strlen(unsupported)) == 0) {
        out->status = LB_UNSUPPORTED;
        error += strlen(unsupported);
    }
    if (!ok)
        snprintf(out->why, sizeof out->why, "%s", error ? error : "its reply is no JSON");
    json_decref(all);
}

/* Waits for a process that was killed or closed its side of the pipe, and so is at its end. One that closed it and stays (a plugin that closed all
 * files) is killed: then 1. */
static int reap(pid_t pid, int *status)
{
    pid_t got = 0;
    for (int i = 0; i < GRACE_MS && (got = waitpid(pid, status, WNOHANG)) == 0; i++)
        poll(NULL, 0, 1);
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
    *out = (struct lb_outcome){.status = LB_FAILED};
    if (c->timed_out) {
        out->status = LB_TIMEOUT;
        snprintf(out->why, sizeof out->why, "ended after its time limit");
    } else if (c->lost) {
        snprintf(out->why, sizeof out->why, "out of memory: reply");
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
    close(c->fd);
    lb_free(c->text);
    *c = (struct lb_child){0};
}

long lb_child_wait(struct lb_child *c, size_t n, struct lb_outcome *out)
{
    struct pollfd p[LB_CHILDREN];
    for (;;) {
        double soonest = 1e9;
        size_t running = 0;
        for (size_t i = 0; i < n; i++) {
            p[i] = (struct pollfd){.fd = c[i].pid ? c[i].fd : -1, .events = POLLIN};
            running += c[i].pid != 0;
            if (c[i].pid && c[i].deadline - lb_seconds() < soonest)
                soonest = c[i].deadline - lb_seconds();
        }
        if (!running)
            return -1;
        const int wait_ms = soonest < 0 ? 0 : soonest > 1000 ? 1000000 : (int)(soonest * 1000) + 1;
        poll(p, (nfds_t)n, wait_ms);
        for (size_t i = 0; i < n; i++) {
            if (!c[i].pid)
                continue;
            int ended = (p[i].revents & (POLLIN | POLLHUP | POLLERR)) && drain(&c[i]);
            if (!ended && lb_seconds() > c[i].deadline) {
                kill(c[i].pid, SIGKILL);
                ended = c[i].timed_out = 1;
            }
            if (ended) {
                finish(&c[i], out);
                return (long)i;
            }
        }
    }
}

void lb_child_run(lb_work *work, void *arg, double timeout_s, struct lb_outcome *out)
{
    struct lb_child c;
    struct lb_err err = {0};
    if (lb_child_start(&c, work, arg, timeout_s, &err)) {
        *out = (struct lb_outcome){.status = LB_FAILED};
        snprintf(out->why, sizeof out->why, "%s", err.text);
        return;
    }
    lb_child_wait(&c, 1, out);
}

void lb_child_kill(struct lb_child *c, size_t n)
{
    struct lb_outcome out;
    for (size_t i = 0; i < n; i++)
        if (c[i].pid) {
            kill(c[i].pid, SIGKILL);
            finish(&c[i], &out);
            json_decref(out.reply);
        }
}
