/* SPDX-License-Identifier: MIT */
/* onnx_impl.h - what the files of core/onnx share. */
#ifndef LB_ONNX_IMPL_H
#define LB_ONNX_IMPL_H

#include "core/onnx/onnx.h"
#include "onnx.pb-c.h"

enum { LB_ONNX_INPUTS = 6, LB_ONNX_ATTRIBUTES = 8 };

struct lb_onnx {
    char *path;
    Pb__Model *model;
    struct lb_safetensors constants; /* the initializers by name; they may be views of the model */
};

/* Numbers of a Tensor: a view of it where they lie there as they are, else owned. `path`: of the model. */
int lb_onnx_tensor(const Pb__Tensor *t, const char *path, struct lb_tensor *out, struct lb_err *err);

/* The dtype of ONNX's number for it, or -1 with an error. */
int lb_onnx_dtype(int32_t type, struct lb_err *err);

/* A node at work. */
struct lb_onnx_call {
    const struct lb_onnx *model;
    const Pb__Node *node;
    struct lb_dev *dev;
    const struct lb_tensor *in[LB_ONNX_INPUTS]; /* NULL: left out */
    struct lb_tensor out;                       /* to be made */
};

struct lb_onnx_op {
    const char *domain, *name;
    const char *inputs[LB_ONNX_INPUTS]; /* as the operator's definition calls them */
    size_t needed;                      /* of inputs */
    const char *attributes[LB_ONNX_ATTRIBUTES];
    int (*run)(struct lb_onnx_call *c, struct lb_err *err);
};

/* The operator of a node, or NULL. ONNX's own domain has two names. */
const struct lb_onnx_op *lb_onnx_find(const char *domain, const char *name);

/* Names that a file may leave out: "" then. */
const char *lb_onnx_text(const char *s);

#endif
