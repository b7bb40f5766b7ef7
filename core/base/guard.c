/* SPDX-License-Identifier: MIT */
#include "core/base/guard.h"
#include "core/base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
    struct lb_guarded *arrays; /* all that there are */
    const char *what;
    int fd;
} watched;

int lb_guarded_init(struct lb_guarded *g, const char *name, size_t bytes, int at_end, struct lb_err *err)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room;
    *g = (struct lb_guarded){.name = name, .bytes = bytes};
    if (lb_add(bytes, 4 * page, &room))
        return lb_fail(err, "%s: %zu bytes: more than this machine can address", name, bytes);
    const size_t inner = (bytes + page - 1) / page * page;
    void *map = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return lb_fail(err, "%s: out of memory: %zu bytes wanted", name, inner + 2 * page);
    g->map = map;
    g->map_bytes = inner + 2 * page;
    g->p = g->map + page + (at_end ? inner - bytes : 0);
    if (inner && mprotect(g->map + page, inner, PROT_READ | PROT_WRITE)) {
        lb_guarded_finish(g);
        return lb_fail(err, "%s: out of memory: %s", name, strerror(errno));
    }
    g->next = watched.arrays;
    if (g->next)
        g->next->previous = g;
    watched.arrays = g;
    return 0;
}

void lb_guarded_close(struct lb_guarded *g)
{
    g->closed = !mprotect(g->map, g->map_bytes, PROT_NONE);
}

void lb_guarded_finish(struct lb_guarded *g)
{
    if (g->map)
        munmap(g->map, g->map_bytes);
    if (g->next)
        g->next->previous = g->previous;
    if (g->previous)
        g->previous->next = g->next;
    if (watched.arrays == g)
        watched.arrays = g->next;
    *g = (struct lb_guarded){0};
}

/* The process ends in any case: snprintf into a local array is all that is asked of it. */
void lb_guard_say(const void *address)
{
    const unsigned char *at = address;
    const struct lb_guarded *g = watched.arrays;
    char text[600];
    while (g && (at < g->map || at >= g->map + g->map_bytes))
        g = g->next;
    const int n = g ? snprintf(text, sizeof text, "FAILED  %s: byte %td of %s (%zu bytes) was touched%s\n", watched.what, at - g->p,
                               g->name, g->bytes, g->closed ? " after it was given back" : "")
                    : snprintf(text, sizeof text, "FAILED  %s: an address beside all arrays was touched\n", watched.what);
    const ssize_t written = n > 0 ? write(watched.fd, text, (size_t)n) : 0;
    (void)written;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    signal(number, SIG_DFL); /* the instruction is repeated, and then it ends the process */
    if (info->si_code > 0)
        lb_guard_say(info->si_addr);
    else
        raise(number); /* no fault: somebody sent it */
}

void lb_guard_watch(const char *what, int fd)
{
    const struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    watched.what = what;
    watched.fd = fd;
    sigaction(SIGSEGV, &act, NULL);
}

void lb_guard_ignore(void)
{
    signal(SIGSEGV, SIG_DFL);
}
