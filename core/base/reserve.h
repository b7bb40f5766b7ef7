/* SPDX-License-Identifier: MIT */
/* reserve.h - memory for libraries that do not survive an allocation that fails. */
#ifndef LB_RESERVE_H
#define LB_RESERVE_H

/* Once, before anything else. From here on jansson and OpenSSL, where there is no memory, get what the program has kept for that: enough for it to meet its own
 * end of memory, and to say so. Where the reserve is used up they get NULL, which lb_mem_refused counts. Texts that json_dumps allocates are not for
 * free(): lb_json_dump. */
void lb_reserve_start(void);

#endif
