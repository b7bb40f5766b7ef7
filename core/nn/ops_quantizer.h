/* SPDX-License-Identifier: MIT */
/* ops_quantizer.h - encoding as data, found by asking the coder for the code of one number after the other: what ops that encode are tested with,
 * by `lowbit verify` and by the unit tests. It shares nothing with core/format/quantizer.c. The codecs' plugins must be loaded. */
#ifndef LB_OPS_QUANTIZER_H
#define LB_OPS_QUANTIZER_H

#include "core/format/coder.h"
#include "core/nn/ops_packed.h"

/* What a quantizer is to be like. Codecs of up to 16 bits, overflow other than wrap. */
struct lb_ops_quantizer_like {
    const char *codec;
    const struct lb_param *params;
    size_t n_params;
    struct lb_encode how; /* rounding and overflow; {0}: saturate. .overflow = -1: the codec's default */
    uint32_t rule;        /* enum lb_scale_rule, without those for hosts only */
    float value;
    size_t block;                              /* as in struct lb_quantizer */
    const struct lb_ops_quantizer_like *scale; /* NULL: scales in binary32 */
};

struct lb_ops_quantizer {
    struct lb_quantizer q;
    struct lb_ops_codec codec;
    int32_t *first;
    uint32_t *code, *member_code;
    float *member;
    struct lb_ops_quantizer *scale;
};

int lb_ops_quantizer_create(const struct lb_ops_quantizer_like *like, struct lb_ops_quantizer **out, struct lb_err *err);
void lb_ops_quantizer_destroy(struct lb_ops_quantizer *q);

/* "F4 floor block 32 in F8_E8M0": for the text of a case. */
void lb_ops_quantizer_text(const struct lb_ops_quantizer_like *like, char *text, size_t size);

#endif
