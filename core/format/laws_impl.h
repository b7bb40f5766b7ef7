/* SPDX-License-Identifier: MIT */
/* laws_impl.h - what laws.c and the laws_*.c share. Known to these files alone. */
#ifndef LB_LAWS_IMPL_H
#define LB_LAWS_IMPL_H

#include "core/format/coder.h"
#include "core/format/laws.h"

/* The numbers that laws are tried on. */
struct lb_points {
    double *x;
    size_t n, cap;
};

struct lb_laws {
    const struct lb_codec *codec;
    struct lb_coder *coder;
    FILE *report;
    struct lb_err *err;
    struct lb_points points;
    unsigned laws, failed; /* so far */
    const char *law;       /* the one under way, */
    size_t tried, wrong;   /* how often it was tried and found wrong, */
    char first[256];       /* and the first time */
};

/* A law begins, is tried, is perhaps found wrong, and ends with its line in the report. */
void lb_law_begin(struct lb_laws *l, const char *law);
void lb_law_wrong(struct lb_laws *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lb_law_end(struct lb_laws *l);

/* "0.3 (0x1.3333333333333p-2)", or nan, inf. Returns buf. */
struct lb_number_text {
    char s[64];
};
struct lb_number_text lb_number(double x);

int lb_points_add(struct lb_points *p, double x, struct lb_err *err);
/* x and the numbers next to it, in binary64 and, where x is near one, in binary32. */
int lb_points_near(struct lb_points *p, double x, struct lb_err *err);

/* Seeded numbers of all kinds: any bit pattern of binary64, of binary32, and sizes about 1. */
double lb_points_random(uint64_t i);

/* The same number: NaN is NaN, and zeros differ by sign. */
int lb_same_number(double a, double b);
int lb_as_binary32(double x, float *out); /* whether x is a binary32 number (NaN included) */

/* Each returns -1 only where memory is out. */
int lb_laws_table(struct lb_laws *l);
int lb_laws_table_random(struct lb_laws *l);
int lb_laws_wide(struct lb_laws *l);
int lb_laws_block(struct lb_laws *l); /* all laws of a block codec */
int lb_laws_bounds(struct lb_laws *l);
int lb_laws_packing(struct lb_laws *l);
int lb_laws_fast(struct lb_laws *l);

#endif
