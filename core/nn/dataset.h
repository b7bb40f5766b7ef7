/* SPDX-License-Identifier: MIT */
/* dataset.h - samples and labels for training and test, from IDX files, safetensors, or the built-in digits. */
#ifndef LB_DATASET_H
#define LB_DATASET_H

#include "core/base/err.h"
#include "core/run/config.h"

struct lb_samples {
    size_t n;
    float *x;   /* (n, channels, height, width), in [0, 1] for images: pixel / 255 in binary32 */
    int32_t *y; /* (n), 0 .. classes - 1 */
};

struct lb_dataset {
    size_t channels, height, width, classes;
    struct lb_samples train, test;
    char sha256[65];     /* over sizes, x and y of both parts, as used */
    char described[160]; /* "mnist: 1000 of 60000 training and 100 of 10000 test images" */
};

/* Loads what the config asks for. A missing file says which command fetches it; *missing, if not NULL, is then 1. */
int lb_dataset_load(const struct lb_data_config *config, struct lb_dataset *out, int *missing, struct lb_err *err);
void lb_dataset_finish(struct lb_dataset *d);

/* IDX (big-endian magic 0x00000803 images or 0x00000801 labels), plain or .gz. Everything in the header is checked against the size. */
int lb_idx_images(const char *path, size_t *n, size_t *height, size_t *width, unsigned char **pixels, struct lb_err *err);
int lb_idx_labels(const char *path, size_t *n, unsigned char **labels, struct lb_err *err);

/* Draws digit images: `pixels` (n, 28, 28), `labels` (n). Image `i` depends on seed and first + i alone. The same bytes on every machine. */
void lb_digits_draw(uint64_t seed, uint64_t first, size_t n, unsigned char *pixels, unsigned char *labels);

#endif
