/* SPDX-License-Identifier: MIT */
/* op_onnx.c - a model.onnx as an op. */
#include "core/cmd/op.h"
#include "core/onnx/onnx.h"

int lb_op_onnx(struct lb_op_call *c, struct lb_err *err)
{
    struct lb_onnx *m;
    if (lb_onnx_open(lb_op_text(c, "model"), &m, err))
        return -1;
    const int r = lb_onnx_run(m, c->dev, &c->in, &c->out, err);
    lb_onnx_destroy(m);
    return r;
}
