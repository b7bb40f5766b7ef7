/* SPDX-License-Identifier: MIT */
#include "core/format/floats.h"
#include "core/base/mem.h"
#include "core/format/format.h"

#include <string.h>

int lb_floats_has(enum lb_dtype_id dtype)
{
    return dtype == LB_F32 || dtype == LB_F16 || dtype == LB_BF16;
}

float *lb_floats(const struct lb_tensor *t, const char *name, struct lb_err *err)
{
    struct lb_codec *codec = NULL;
    struct lb_coder *coder = NULL;
    char text[64];
    lb_name_text(name, text, sizeof text);
    if (!lb_floats_has(t->dtype)) {
        lb_fail(err, "tensor %s: dtype %s, wanted F32, F16 or BF16", text, lb_dtypes[t->dtype].name);
        return NULL;
    }
    float *x = lb_alloc(t->elems, sizeof *x, err);
    if (x && lb_format_reader(t->dtype, &codec, &coder, err)) {
        lb_free(x);
        x = NULL;
    }
    if (x)
        lb_decode_f32(coder, t->data, t->elems, x);
    lb_coder_destroy(coder);
    lb_plugins_codec_free(codec);
    return x;
}

int lb_tensor_expect(const struct lb_tensor *t, const char *name, unsigned ndim, const size_t *shape, const char *meaning,
                     struct lb_err *err)
{
    char text[64], found[LB_MAX_DIMS * 24], wanted[LB_MAX_DIMS * 24];
    if (t->ndim == ndim && (!ndim || !memcmp(t->shape, shape, ndim * sizeof *shape)))
        return 0;
    return lb_fail(err, "tensor %s: shape %s, wanted %s%s%s", lb_name_text(name, text, sizeof text),
                   lb_shape_text(t->ndim, t->shape, found, sizeof found), lb_shape_text(ndim, shape, wanted, sizeof wanted),
                   meaning ? " " : "", meaning ? meaning : "");
}
