/* SPDX-License-Identifier: MIT */
#include "core/run/child.h"
#include "core/base/io.h"
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
    struct lb_err err = {0};
    json_t *reply = json_object();
    json_t *all = json_object();
    if (work(arg, reply, &err) == 0)
        json_object_set_new(all, "ok", reply);
    else
        json_object_set_new(all, "error", json_string(err.set ? err.text : "failed without a message"));
    char *text = json_dumps(all, JSON_COMPACT);
    if (text)
        write_all(fd, text, strlen(text));
    lb_progress_end();
    fflush(NULL);
    _exit(text ? 0 : 1);
}

int lb_child_start(struct lb_child *c, lb_work *work, void *arg, double timeout_s, struct lb_err *err)
{
    int ends[2];
    *c = (struct lb_child){0};
    if (pipe2(ends, O_CLOEXEC))
        return lb_fail(err, "pipe: %s", strerror(errno));
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return lb_fail(err, "fork: %s", strerror(errno));
    }
    if (pid == 0) {
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

/* Takes what is there to read. 1 at the end. */
static int drain(struct lb_child *c)
{
    if (c->n + 4096 > c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16384;
        char *text = lb_alloc(cap, 1, NULL);
        if (!text)
            return 1;
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
    json_error_t e;
    json_t *all = c->text ? json_loadb(c->text, c->n, JSON_ALLOW_NUL, &e) : NULL;
    json_t *ok = json_object_get(all, "ok");
    const char *error = json_string_value(json_object_get(all, "error"));
    out->status = ok ? LB_OK : LB_FAILED;
    if (ok)
        out->reply = json_incref(ok);
    else if (error && strncmp(error, "unsupported", 11) == 0)
        out->status = LB_UNSUPPORTED;
    if (!ok)
        snprintf(out->why, sizeof out->why, "%s", error ? error : "its reply is no JSON");
    json_decref(all);
}

static void finish(struct lb_child *c, struct lb_outcome *out)
{
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    *out = (struct lb_outcome){.status = LB_FAILED};
    if (c->timed_out) {
        out->status = LB_TIMEOUT;
        snprintf(out->why, sizeof out->why, "ended after its time limit");
    } else if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        out->status = signal == SIGKILL ? LB_OOM : LB_CRASHED;
        snprintf(out->why, sizeof out->why, signal == SIGKILL ? "killed (signal %d, %s): out of memory?" : "signal %d (%s)", signal,
                 strsignal(signal));
    } else if (c->n == 0) {
        out->status = LB_CRASHED;
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
    struct pollfd *p = lb_alloc(n ? n : 1, sizeof *p, NULL);
    if (!p)
        return -1;
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
            break;
        const int wait_ms = soonest < 0 ? 0 : soonest > 1000 ? 1000000 : (int)(soonest * 1000) + 1;
        poll(p, (nfds_t)n, wait_ms);
        for (size_t i = 0; i < n; i++) {
            if (!c[i].pid)
                continue;
            const int late = lb_seconds() > c[i].deadline;
            if (late) {
                c[i].timed_out = 1;
                kill(c[i].pid, SIGKILL);
            }
            if (late || ((p[i].revents & (POLLIN | POLLHUP | POLLERR)) && drain(&c[i]))) {
                finish(&c[i], out);
                lb_free(p);
                return (long)i;
            }
        }
    }
    lb_free(p);
    return -1;
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
