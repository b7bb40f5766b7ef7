/* SPDX-License-Identifier: MIT */
/* packed.h - formats as kernels see them (core/plugin.h, "Formats, as kernels see them"): codecs, stored tensors and encoding as data. */
#ifndef LB_PACKED_H
#define LB_PACKED_H

#include "core/format/format.h"

/* A coder as data; the values are the coder's own. `sha256` (lb_coder_sha256) is kept, not copied. Coder and text must outlive it. */
void lb_codes_init(const struct lb_coder *coder, const char *sha256, struct lb_codes *out);

/* A tensor of a file as a matrix of codes, whatever its format. Zero-initialise; finish frees everything. */
struct lb_packed_tensor {
    struct lb_packed p;
    struct lb_format *format;        /* NULL: a plain tensor, codec and coder below */
    struct lb_format_config *config; /* of format */
    struct lb_codec *codec;
    struct lb_coder *coder;
    char sha256[65];
    int borrowed; /* format, config, codec, coder and values are another tensor's */
    struct lb_undo {
        const struct lb_coder *coder;
        float multiply, add;
    } undo; /* of the published study's scaling, which is part of what a code is worth */
    float *values;
    unsigned char *codes; /* rows that begin on bytes, where those of the file do not; or NULL */
    float *scale2, *zeros;
};

/* Views the file's codes where they lie so that the file must outlive it. The matrix is shape[0] x the rest, one row where there are fewer than two dimensions. Errors
 * name the tensor. `st` was read from a file or made by lb_format_encode. */
int lb_packed_open(const struct lb_safetensors *st, const char *name, struct lb_packed_tensor *out, struct lb_err *err);

/* The same, with the format of `like` where both are in the same one, so that its tables are there once; `like` (may be NULL) is then finished after `out`. */
int lb_packed_open_like(const struct lb_safetensors *st, const char *name, const struct lb_packed_tensor *like,
                        struct lb_packed_tensor *out, struct lb_err *err);
void lb_packed_finish(struct lb_packed_tensor *t);

/* Frees what it holds of the data, and keeps what codes are worth: for a device that has copied the matrix. */
void lb_packed_drop(struct lb_packed_tensor *t);

/* The format of tensor `name` from its metadata's text. Names of formats.json mean nothing there: a file means the same wherever it is read. */
int lb_packed_config(const char *text, const char *name, struct lb_format_config *c, struct lb_err *err);

/* Scale number g, and n elements of row i from column j on, by docs/arithmetic.md 8: the definition that every kernel is held to. */
float lb_packed_scale(const struct lb_packed *p, size_t g);
void lb_packed_row(const struct lb_packed *p, size_t i, size_t j, size_t n, float *x);

/* A format's encoding as data, for codecs of up to 16 bits and scales that devices know. `value`: the scale of a calibrated format, else ignored. */
struct lb_quantizer_tables;
const char *lb_quantizer_lacks(const struct lb_format *f); /* what of a format no device encodes; NULL: nothing */
int lb_quantizer_create(const struct lb_format *f, float value, struct lb_quantizer_tables **out, struct lb_err *err);
void lb_quantizer_destroy(struct lb_quantizer_tables *q);
const struct lb_quantizer *lb_quantizer_data(const struct lb_quantizer_tables *q);

#endif
