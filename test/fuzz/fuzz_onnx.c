/* SPDX-License-Identifier: MIT */
/* ONNX models: read, and run on cpu_ref with numbers for the inputs that they declare. Beside the model lies a file for data outside it. */
#include "test/fuzz/fuzz.h"
#include "core/base/mem.h"
#include "core/onnx/onnx_impl.h"

#include <string.h>

enum { ELEMS = 1 << 12, NODES = 16 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_start();
    fuzz_copy("test/data/onnx/external.bin", "external.bin");
    return 0;
}

/* A tensor for an input; 0 where it is not there because it would be large, or makes no sense. */
static int make_input(const Pb__Value *v, struct lb_tensor *x)
{
    const Pb__TensorType *type = v->type ? v->type->tensor : NULL;
    size_t shape[LB_MAX_DIMS] = {0}, n = type && type->shape ? type->shape->n_dim : 0, elems = 1;
    const int dtype = type && type->has_type ? lb_onnx_dtype(type->type, NULL) : (int)LB_F32;
    if (dtype < 0 || n > LB_MAX_DIMS)
        return 0;
    for (size_t i = 0; i < n && elems <= ELEMS; i++) {
        const int64_t d = type->shape->dim[i]->has_value ? type->shape->dim[i]->value : 3;
        shape[i] = d < 0 || d > ELEMS ? ELEMS + 1 : (size_t)d;
        elems *= shape[i];
    }
    if (elems > ELEMS || lb_tensor_init(x, (enum lb_dtype_id)dtype, (unsigned)n, shape, NULL))
        return 0;
    for (size_t i = 0; i < x->bytes; i++)
        x->data[i] = (unsigned char)(i % 4 == 3 ? 0x3f + (i & 0x80) : i % 4 ? 0x40 : 0);
    return 1;
}

/* A product of a few bytes of model may be as large as one likes; how long that takes is not the question here. */
static int is_short(const Pb__Graph *g)
{
    size_t all = 1;
    for (size_t i = 0; i < g->n_initializer; i++)
        for (size_t d = 0; d < g->initializer[i]->n_dims; d++)
            if (g->initializer[i]->dims[d] > ELEMS || lb_mul(all, (size_t)(g->initializer[i]->dims[d] + 1), &all))
                return 0;
    return g->n_node <= NODES && all < (size_t)1 << 40;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lb_err err = {0};
    struct lb_safetensors in = {0}, out = {0};
    struct lb_onnx *m = NULL;
    const size_t before = lb_mem_now();
    const char *path = fuzz_file("model.onnx", data, n);
    const int failed = lb_onnx_open(path, &m, &err);
    fuzz_result(failed, &err);
    for (size_t i = 0; !failed && i < m->model->graph->n_input; i++) {
        struct lb_tensor x = {0};
        if (make_input(m->model->graph->input[i], &x))
            lb_safetensors_add(&in, lb_onnx_text(m->model->graph->input[i]->name), &x, NULL);
        lb_tensor_finish(&x);
    }
    if (!failed && is_short(m->model->graph))
        fuzz_result(lb_onnx_run(m, fuzz_device(), &in, &out, &err), &err);
    lb_safetensors_finish(&in);
    lb_safetensors_finish(&out);
    lb_onnx_destroy(m);
    fuzz_balance(before);
    return 0;
}
