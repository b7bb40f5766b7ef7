/* SPDX-License-Identifier: MIT */
/* log.h - what lowbit says on stderr, as text or as one JSON object a line, and its progress line. */
#ifndef LB_LOG_H
#define LB_LOG_H

#include "core/plugin.h"

void lb_log_setup(int json, int quiet); /* quiet: warnings and errors only */

/* level: enum lb_log_level. */
void lb_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A progress line: on a terminal rewritten in place at most ten times a second, else a plain line every ten seconds. */
void lb_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void lb_progress_end(void); /* leaves the last line standing on a terminal */

#endif
