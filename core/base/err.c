/* SPDX-License-Identifier: MIT */
#include "core/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names and texts from files may hold anything; a message is one line. */
static void make_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

int lb_fail(struct lb_err *err, const char *format, ...)
{
    if (!err || err->set)
        return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    make_one_line(err->text);
    err->set = 1;
    return -1;
}

int lb_fail_in(struct lb_err *err, const char *format, ...)
{
    if (!err || !err->set)
        return -1;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.900s", old);
    make_one_line(err->text);
    return -1;
}
