/* SPDX-License-Identifier: MIT */
/* nbits_impl.h - what nbits.c makes and nbits_run.c runs. */
#ifndef LB_NBITS_IMPL_H
#define LB_NBITS_IMPL_H

#include "core/format/coder.h"
#include "core/nn/nbits.h"

/* A codec with what is derived from it. */
struct lb_nbits_codec {
    struct lb_codec *codec;
    struct lb_coder *coder;
    char sha256[65];
};

struct lb_nbits {
    struct lb_packed p;
    size_t n, k, blocks, block_size;
    int level, int8;
    float *bias; /* (n) or NULL */
    struct lb_nbits_codec q, s;
    unsigned char *scales;
    float *zeros;
};

#endif
