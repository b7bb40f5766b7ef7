/* SPDX-License-Identifier: MIT */
/* csv.h - the one CSV writer: comma, quotes where needed, lines end in \n (RFC 4180 but for the line end). */
#ifndef LB_CSV_H
#define LB_CSV_H

#include <stdio.h>

/* One line of n fields; a NULL field is empty. */
void lb_csv_line(FILE *out, const char *const *fields, size_t n);

#endif
