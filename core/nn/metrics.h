/* SPDX-License-Identifier: MIT */
/* metrics.h - how far outputs are from the F32 network's, from the labels, and from another backend's. Sums are binary64, in sample order. */
#ifndef LB_METRICS_H
#define LB_METRICS_H

#include <stddef.h>
#include <stdint.h>

enum { LB_HIST = 7 }; /* deviation <= 10, 20, 30, 40, 50, 100, and more, in percent */

struct lb_metrics {
    double quality, avg_dev, max_dev; /* percent; FACTS 1a */
    double top1;                      /* percent of labels */
    double top1_f32;                  /* the same of the F32 outputs */
    double agreement;                 /* percent of samples with the F32 network's argmax */
    double kl;                        /* nats, mean KL(F32 || outputs) of softmax(logits); NAN without logits */
    size_t hist[LB_HIST];
};

/* n samples of `classes` outputs; the logits may both be NULL. */
void lb_metrics_compute(const float *f32, const float *out, const float *f32_logits, const float *out_logits, const int32_t *labels,
                        size_t n, size_t classes, struct lb_metrics *m);

/* The index of the first largest value, NaN left out; -1 where all are NaN. */
long lb_argmax(const float *x, size_t n);

struct lb_difference {
    double max_abs;
    size_t elements;  /* that differ in any bit */
    uint64_t max_ulp; /* distance in the order of all binary32; UINT64_MAX where one is NaN */
};
void lb_difference(const float *a, const float *b, size_t n, struct lb_difference *d);

/* 10 log10(signal / noise); INFINITY without noise. */
double lb_sqnr_db(double signal, double noise);

#endif
