/* SPDX-License-Identifier: MIT */
/* child.h - work in a process of its own: whatever a plugin does there, the parent goes on and knows what happened. */
#ifndef LB_CHILD_H
#define LB_CHILD_H

#include "core/base/err.h"
#include "core/base/log.h"
#include <jansson.h>
#include <sys/types.h>

enum { LB_CHILDREN = 256 }; /* at most, side by side */

enum lb_status { LB_OK, LB_SKIPPED, LB_UNSUPPORTED, LB_FAILED, LB_CRASHED, LB_TIMEOUT, LB_OOM };

const char *lb_status_name(enum lb_status s);

/* The work: fills `reply` (an object), or fails. An error that begins "unsupported: " becomes LB_UNSUPPORTED, without that word; one that says "out of memory" or "Cannot
 * allocate memory", or any where an allocation was refused (lb_mem_refused), LB_OOM. Runs in the child. */
typedef int lb_work(void *arg, json_t *reply, struct lb_err *err);

struct lb_child_limits {
    double seconds;
    size_t bytes; /* of private memory (RLIMIT_DATA), what the parent has loaded included; 0: no limit */
    int prints;   /* its stdout is the parent's */
};

enum { LB_SAID = 2048, LB_HEARD = 1 << 20 };

struct lb_child {
    pid_t pid; /* 0: not running; also its process group, so that what it starts ends with it */
    int fd, err_fd;
    double started, deadline;
    char *text; /* the reply so far */
    size_t n, cap, said_n;
    char said[2 * LB_SAID]; /* the end of its stderr, which is logged by the parent, line by line */
    char line[LB_SAID];     /* the line that has not ended yet */
    size_t line_n;
    struct lb_log_source source; /* set by who started it, or left empty */
    int timed_out, lost;         /* lost: memory for the reply was out, or it is longer than any reply is */
    size_t heard;                /* bytes of its stderr so far, without progress: of a flood only the first LB_HEARD are logged */
};

struct lb_outcome {
    enum lb_status status;
    char why[1024];     /* where not ok: the message, the signal, or the limit */
    char said[LB_SAID]; /* where not ok: the last whole lines of its stderr */
    double seconds;     /* how long it ran */
    json_t *reply;      /* LB_OK only; the caller's */
};

/* Starts the work in a forked child that dies with its parent. What it prints on stdout goes to its stderr, unless limits->prints. */
int lb_child_start(struct lb_child *c, lb_work *work, void *arg, const struct lb_child_limits *limits, struct lb_err *err);

/* Waits until at least one of n <= LB_CHILDREN children (pid != 0) has ended, and returns its index with its outcome; its pid is then 0. -1 where none
 * runs, or where a signal asks for the end (lb_child_interrupted). */
long lb_child_wait(struct lb_child *c, size_t n, struct lb_outcome *out);

/* From here on SIGINT, SIGTERM and SIGHUP arrive while children are waited for, and nowhere else; they end no process but make lb_child_interrupted say
 * which it was (0: none). After lb_child_signals(0) they do what they did before. */
void lb_child_signals(int held);
int lb_child_interrupted(void);

/* Ends the process as the signal that asked for it would have. Returns where none did. */
void lb_child_end_process(void);

/* Sleeps. 1 where a signal asks for the end, as it can while they are held. */
int lb_child_pause(double seconds);

/* Start and wait. */
void lb_child_run(lb_work *work, void *arg, const struct lb_child_limits *limits, struct lb_outcome *out);

/* Kills all that still run. */
void lb_child_kill(struct lb_child *c, size_t n);

#endif
