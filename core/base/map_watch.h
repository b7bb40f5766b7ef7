/* SPDX-License-Identifier: MIT */
/* map_watch.h - files that another process makes shorter while they are mapped. What lies behind the new end can no longer be read: SIGBUS. Where that is in
 * a watched file the process says which and ends with status 2; elsewhere SIGBUS does what it does by default. */
#ifndef LB_MAP_WATCH_H
#define LB_MAP_WATCH_H

#include <stddef.h>

/* From any thread. `path` is copied. Where memory is out it is as if this had not been called. */
void lb_map_watch(const void *data, size_t size, const char *path);
void lb_map_unwatch(const void *data);

#endif
