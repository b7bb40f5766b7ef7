/* SPDX-License-Identifier: MIT */
/* onnx.h - ONNX models of a few operators: read, checked, run on a backend. docs/onnx.md says what is taken. */
#ifndef LB_ONNX_H
#define LB_ONNX_H

#include "core/format/safetensors.h"
#include "core/nn/backend.h"

struct lb_onnx;

/* Reads a file and checks all that can be checked without its inputs: operators, attributes, names, sizes. Errors name the file and what is wrong in it.
 * Data outside the file is taken from the file's own folder and what lies in it, and from nowhere else. */
int lb_onnx_open(const char *path, struct lb_onnx **out, struct lb_err *err);
/* The same from memory, which is not needed afterwards; `path` is for messages and for data outside. */
int lb_onnx_parse(const void *data, size_t n, const char *path, struct lb_onnx **out, struct lb_err *err);
void lb_onnx_destroy(struct lb_onnx *m);

/* Runs the model on tensors by the names of its inputs, every one of `in` being an input; adds its outputs to `out`. */
int lb_onnx_run(const struct lb_onnx *m, struct lb_dev *d, const struct lb_safetensors *in, struct lb_safetensors *out, struct lb_err *err);

/* The operators that are taken: name and domain ("" is ONNX's own). NULL behind the last. */
const char *lb_onnx_operator(size_t i, const char **domain);

#endif
