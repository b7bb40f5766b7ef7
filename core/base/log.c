/* SPDX-License-Identifier: MIT */
#include "core/base/log.h"
#include "core/base/io.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int as_json, is_quiet, on_line; /* on_line: the terminal's cursor stands behind a progress line */
static double last_progress = -1e9;

void lb_log_setup(int json, int quiet)
{
    as_json = json;
    is_quiet = quiet;
}

static void say_json(const char *level, const char *text)
{
    json_t *o = json_pack("{ss,ss}", "level", level, "text", text);
    char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (line)
        fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(o);
}

void lb_log(int level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > LB_LOG_INFO || (is_quiet && level > LB_LOG_WARN))
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lb_progress_end();
    if (as_json)
        say_json(names[level], text);
    else
        fprintf(stderr, "%s%s%s\n", level < LB_LOG_INFO ? names[level] : "", level < LB_LOG_INFO ? ": " : "", text);
}

void lb_progress(const char *format, ...)
{
    const int terminal = isatty(2) && !as_json;
    const double now = lb_seconds();
    if (is_quiet || now - last_progress < (terminal ? 0.1 : 10.0))
        return;
    last_progress = now;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (as_json)
        say_json("progress", text);
    else
        fprintf(stderr, terminal ? "\r%s\033[K" : "%s\n", text);
    on_line = terminal;
}

void lb_progress_end(void)
{
    if (on_line)
        fputc('\n', stderr);
    on_line = 0;
}
