/* SPDX-License-Identifier: MIT */
#include "core/base/map_watch.h"
#include "core/base/log.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* A signal handler is given nothing: what it must know has to be global. */
enum { FREE, TAKEN };
static struct {
    atomic_uintptr_t from; /* the address of the first byte, or FREE, or TAKEN while it is filled in */
    size_t size;
    char path[256];
} watched[LB_MAP_WATCHED];

/* The signal comes from the very instruction that reads the file, which is never within malloc or the logging, so that both can be used here. */
static void on_bus(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    const uintptr_t at = (uintptr_t)info->si_addr;
    for (size_t i = 0; i < LB_MAP_WATCHED && info->si_code == BUS_ADRERR; i++) {
        const uintptr_t from = atomic_load(&watched[i].from);
        if (from > TAKEN && at >= from && at - from < watched[i].size) {
            lb_log(LB_LOG_ERROR, "%s: became shorter while it was read", watched[i].path);
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

void lb_map_watch(const void *data, size_t size, const char *path)
{
    handle_bus();
    for (size_t i = 0; i < LB_MAP_WATCHED; i++) {
        uintptr_t was = FREE;
        if (!atomic_compare_exchange_strong(&watched[i].from, &was, TAKEN))
            continue;
        watched[i].size = size;
        snprintf(watched[i].path, sizeof watched[i].path, "%s", path);
        atomic_store(&watched[i].from, (uintptr_t)data);
        return;
    }
}

void lb_map_unwatch(const void *data)
{
    for (size_t i = 0; i < LB_MAP_WATCHED; i++) {
        uintptr_t was = (uintptr_t)data;
        if (atomic_compare_exchange_strong(&watched[i].from, &was, FREE))
            return;
    }
}
