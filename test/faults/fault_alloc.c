/* SPDX-License-Identifier: MIT */
/* fault_alloc.c - preloaded, it counts allocations by call stack, or makes one of them fail.
 *
 *   LOWBIT_FAULT_STATE=FILE   fault_state.h; each call stack has a slot: its hash, how often it allocated, and the parent of the process where it failed
 *   LOWBIT_FAULT_STACK=HEX    only this stack is counted,
 *   LOWBIT_FAULT_AT=N         and its N-th allocation fails
 *   LOWBIT_FAULT_HOW=out      and with it every later one of the process, and of those that it starts
 *
 * A stack's hash is made of its return addresses as offsets in the files that hold them, so that it is the same wherever these are loaded. */
#include "test/faults/fault_state.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stddef.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

enum { DEPTH = 40 };

static struct fault_slot *slots;
static uint64_t wanted, at;
static atomic_int is_out, goes_on;                                     /* whether memory is out; whether it stays so */
static __thread int inside __attribute__((tls_model("initial-exec"))); /* what counts allocates too */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t address(uint64_t h, void *pc)
{
    struct dl_find_object found;
    if (_dl_find_object(pc, &found))
        return mix(h, 1);
    const char *path = found.dlfo_link_map->l_name, *name = strrchr(path, '/');
    for (name = name ? name + 1 : path; *name; name++)
        h = mix(h, (unsigned char)*name);
    return mix(h, (uintptr_t)pc - found.dlfo_link_map->l_addr);
}

static __attribute__((noinline)) uint64_t stack_hash(void)
{
    void *pc[DEPTH];
    const int n = backtrace(pc, DEPTH);
    uint64_t h = 1;
    for (int i = 3; i < n; i++) /* not those of this file: stack_hash, fails, malloc */
        h = address(h, pc[i]);
    return h ? h : 1;
}

static struct fault_slot *slot_of(uint64_t key)
{
    for (size_t i = key % FAULT_SLOTS, tried = 0; tried < FAULT_SLOTS; i = (i + 1) % FAULT_SLOTS, tried++) {
        uint64_t have = 0;
        if (atomic_compare_exchange_strong(&slots[i].key, &have, key) || have == key)
            return &slots[i];
    }
    abort();
}

/* Counts an allocation; whether it is the one that fails. */
static __attribute__((noinline)) int fails(void)
{
    int yes = 0;
    if (!slots || inside)
        return 0;
    if (is_out) {
        errno = ENOMEM;
        return 1;
    }
    inside = 1;
    const int before = errno;
    const uint64_t stack = stack_hash();
    if (!wanted || stack == wanted) {
        struct fault_slot *s = slot_of(stack);
        yes = atomic_fetch_add(&s->count, 1) + 1 == at && wanted;
        if (yes) {
            atomic_store(&s->failed, (uint64_t)getppid());
            is_out = goes_on;
        }
    }
    errno = yes ? ENOMEM : before;
    inside = 0;
    return yes;
}

static __attribute__((constructor)) void start(void)
{
    const char *how = getenv("LOWBIT_FAULT_HOW");
    void *pc[1];
    inside = 1;
    backtrace(pc, 1); /* loads the unwinder */
    wanted = fault_number("LOWBIT_FAULT_STACK", 16);
    at = fault_number("LOWBIT_FAULT_AT", 10);
    goes_on = how && !strcmp(how, "out");
    slots = fault_state();
    inside = 0;
}

EXPORT void *malloc(size_t n)
{
    return fails() ? NULL : __libc_malloc(n);
}

EXPORT void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t n)
{
    return fails() ? NULL : __libc_realloc(p, n);
}

EXPORT void *aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __libc_memalign(align, n);
}

EXPORT int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = fails() ? NULL : __libc_memalign(align, n);
    if (p)
        *out = p;
    return p ? 0 : ENOMEM;
}

EXPORT void *mmap(void *where, size_t n, int protection, int flags, int fd, off_t offset)
{
    if ((flags & MAP_ANONYMOUS) && fails())
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, where, n, protection, flags, fd, offset);
}
