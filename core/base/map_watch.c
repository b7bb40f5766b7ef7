/* SPDX-License-Identifier: MIT */
#include "core/base/map_watch.h"
#include "core/base/log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A signal handler is given nothing: what it must know has to be global. It may come at any moment: so blocks are linked when they are filled with zeros, and
 * never moved or freed. */
enum { FREE, TAKEN };
enum { BLOCK = 64 };
struct file {
    atomic_uintptr_t from; /* the address of the first byte, or FREE, or TAKEN while it is filled in */
    size_t size;
    char path[256];
};
static struct block {
    struct file file[BLOCK];
    _Atomic(struct block *) next;
} first;

/* The signal comes from the very instruction that reads the file, which is never within malloc or the logging, so that both can be used here. */
static void on_bus(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    const uintptr_t at = (uintptr_t)info->si_addr;
    for (struct block *b = &first; b && info->si_code == BUS_ADRERR; b = atomic_load(&b->next))
        for (size_t i = 0; i < BLOCK; i++) {
            const uintptr_t from = atomic_load(&b->file[i].from);
            if (from > TAKEN && at >= from && at - from < b->file[i].size) {
                lb_log(LB_LOG_ERROR, "%s: became shorter while it was read", b->file[i].path);
                _exit(2);
            }
        }
    signal(signal_number, SIG_DFL); /* and the instruction is tried again */
}

/* Somebody else's handler, such as a sanitizer's, stays. */
static void handle_bus(void)
{
    struct sigaction now;
    const struct sigaction ours = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
    if (!sigaction(SIGBUS, NULL, &now) && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
        sigaction(SIGBUS, &ours, NULL);
}

/* The place whose `from` was `was`, and now is `becomes`; NULL where there is none. */
static struct file *change(uintptr_t was, uintptr_t becomes)
{
    for (struct block *b = &first; b; b = atomic_load(&b->next))
        for (size_t i = 0; i < BLOCK; i++) {
            uintptr_t expected = was;
            if (atomic_compare_exchange_strong(&b->file[i].from, &expected, becomes))
                return &b->file[i];
        }
    return NULL;
}

/* Links one more block behind the last. Not of lb_alloc, which counts what tensors take. */
static int grow(void)
{
    struct block *more = mmap(NULL, sizeof *more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *last = &first, *next = NULL;
    if (more == MAP_FAILED)
        return -1;
    while (!atomic_compare_exchange_strong(&last->next, &next, more)) {
        last = next;
        next = NULL;
    }
    return 0;
}

void lb_map_watch(const void *data, size_t size, const char *path)
{
    struct file *f;
    handle_bus();
    while (!(f = change(FREE, TAKEN)))
        if (grow())
            return;
    f->size = size;
    snprintf(f->path, sizeof f->path, "%s", path);
    atomic_store(&f->from, (uintptr_t)data);
}

void lb_map_unwatch(const void *data)
{
    change((uintptr_t)data, FREE);
}
