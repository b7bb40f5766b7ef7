/* SPDX-License-Identifier: MIT */
/* log.h - what lowbit says on stderr, as text or as one JSON object a line (docs/results.md), and its progress line. */
#ifndef LB_LOG_H
#define LB_LOG_H

#include "core/plugin.h"

/* quiet: 1 warnings and errors only, 2 errors only. With `json` whatever is printed to the stream stderr becomes such objects too. */
void lb_log_setup(int json, int quiet);
/* Before the command line is read, where it is seen to want JSON: what is printed until lb_log_setup, by argp for one, is an error. */
void lb_log_json_errors(void);

/* level: enum lb_log_level. Control characters in the text are made harmless; its further lines are indented. */
void lb_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A progress line: on a terminal rewritten in place at most ten times a second, and never wider than it; else a plain line every ten seconds (JSON: one). */
void lb_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void lb_progress_end(void); /* leaves the last line standing on a terminal */

/* How far a run is. What is left is total less done, failed and skipped. */
struct lb_progress {
    const char *label;                            /* of what: "trials" */
    size_t done, running, failed, skipped, total; /* done: ended ok; failed, skipped: ended otherwise */
    double per_s;                                 /* how many end in a second; 0: not known yet */
    double seconds_left;                          /* below 0: not known yet */
};

/* Fills in per_s and seconds_left, where `ended` of them took `seconds`. */
void lb_progress_estimate(struct lb_progress *p, size_t ended, double seconds);
/* As lb_progress; but one with nothing left is shown in any case. */
void lb_progress_show(const struct lb_progress *p);

/* How far a training is; epochs and batches count from 1. As lb_progress; as JSON an object of its own, and its last batch is shown in any case. */
struct lb_training_progress {
    const char *label;
    size_t epoch, epochs, batch, batches;
    double loss;  /* mean of the epoch's samples so far */
    double per_s; /* samples */
    double seconds, seconds_left;
};
void lb_progress_training(const struct lb_training_progress *p);

/* In a child whose fd 2 is a pipe to its parent: from now on messages are text, whatever lb_log_setup said, and a training's progress an object in it. */
void lb_log_child(void);
/* What a child is at, for messages as JSON: {"training", its hash}. Borrowed; NULL, NULL: not said. */
struct lb_log_source {
    const char *kind, *hash;
};
/* In the parent, for each line of n bytes that came out of the pipe (without its end): logs it with the level that it shows, else as information, or shows
 * it as progress: then 1. */
int lb_log_line(const char *line, size_t n, const struct lb_log_source *from);
int lb_log_is_progress(const char *line, size_t n);

enum { LB_LOG_TIME = 32 };
void lb_log_time(char text[LB_LOG_TIME]); /* now, as "2026-01-31T23:59:59.999Z" */

#endif
