/* SPDX-License-Identifier: MIT */
/* guard.h - arrays between two pages that cannot be touched: code of others that goes one byte too far is found at once. */
#ifndef LB_GUARD_H
#define LB_GUARD_H

#include "core/base/err.h"
#include <stddef.h>

/* `bytes` of zeros that end (at_end) or begin at a page's edge. At the end they are aligned as their size allows. The struct must stay where it is until finish. */
struct lb_guarded {
    const char *name;
    unsigned char *p;
    size_t bytes;
    unsigned char *map; /* its own */
    size_t map_bytes;
    int closed;
    struct lb_guarded *next, *previous;
};
int lb_guarded_init(struct lb_guarded *g, const char *name, size_t bytes, int at_end, struct lb_err *err);
void lb_guarded_close(struct lb_guarded *g);  /* from now on none of it can be touched */
void lb_guarded_finish(struct lb_guarded *g); /* zeroed is fine */

/* From here to lb_guard_ignore a process that touches what lies beside one of the arrays that there are then writes "FAILED  what: byte 33 of codes (33 bytes) was
 * touched" to the file descriptor, and ends by SIGSEGV as it would have. It also says so of a closed array, and of an address of none. One process has one watch. */
void lb_guard_watch(const char *what, int fd);
void lb_guard_ignore(void);
/* Writes that line for an address, as the watch does. */
void lb_guard_say(const void *address);

#endif
