/* SPDX-License-Identifier: MIT */
/* fault_state.h - what the preloaded libraries of this folder share with all processes that come of the one they were preloaded into: a file that is mapped
 * by each, so that a count goes on across fork and exec. The script that starts the process makes the file, of STATE_BYTES zeros, and reads it
 * afterwards: three numbers of 64 bits a slot. */
#ifndef LB_FAULT_STATE_H
#define LB_FAULT_STATE_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fault_slot {
    _Atomic uint64_t key; /* 0: a free slot */
    _Atomic uint64_t count;
    _Atomic uint64_t failed; /* the parent of the process that met the fault */
};

enum { FAULT_SLOTS = 1 << 16, STATE_BYTES = FAULT_SLOTS * sizeof(struct fault_slot) };

/* The file that LOWBIT_FAULT_STATE names; NULL where there is none: then nothing is counted and nothing fails. */
static inline struct fault_slot *fault_state(void)
{
    const char *path = getenv("LOWBIT_FAULT_STATE");
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return NULL;
    void *p = (void *)syscall(SYS_mmap, NULL, (size_t)STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

/* A number from the environment; 0 where it is not there. */
static inline uint64_t fault_number(const char *name, int base)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, base) : 0;
}

#endif
