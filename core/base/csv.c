/* SPDX-License-Identifier: MIT */
#include "core/base/csv.h"

#include <string.h>

static void put_field(FILE *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void lb_csv_line(FILE *out, const char *const *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            fputc(',', out);
        if (fields[i])
            put_field(out, fields[i]);
    }
    fputc('\n', out);
}
