/* SPDX-License-Identifier: MIT */
/* ops_packed.h - drawn matrices of codes: what packed kernels are tested with, by `lowbit verify` (ops_cases_packed.c) and by the unit tests
 * (test/unit/packed_util.h). The codecs' plugins must be loaded. */
#ifndef LB_OPS_PACKED_H
#define LB_OPS_PACKED_H

#include "core/base/err.h"
#include "core/plugin.h"

/* A codec by name, as kernels see it. Zero-initialise; finish frees. */
struct lb_ops_codec {
    struct lb_codec *codec;
    struct lb_coder *coder;
    char sha256[65];
    struct lb_codes codes;
};
int lb_ops_codec_init(const char *name, const struct lb_param *params, size_t n_params, struct lb_ops_codec *out, struct lb_err *err);
void lb_ops_codec_finish(struct lb_ops_codec *c);
void lb_ops_codec_text(const char *codec, const struct lb_param *params, size_t n, char *text, size_t size); /* "POSIT n=8 es=2" */

enum lb_ops_per { LB_OPS_NO_SCALE, LB_OPS_PER_MATRIX, LB_OPS_PER_ROW, LB_OPS_PER_BLOCK };
enum lb_ops_zeros { LB_OPS_NO_ZEROS, LB_OPS_ZEROS /* mostly whole numbers, some not where `rarity` is not 0 */, LB_OPS_WHOLE_ZEROS };
enum lb_ops_second { LB_OPS_NO_SECOND, LB_OPS_SECOND_ALL /* one scale2 */, LB_OPS_SECOND_GROUPS /* one for every group2 scales */ };

/* What a matrix is to be like. Zeros: no scales, finite values only, rows that begin on any byte. */
struct lb_ops_like {
    const char *codec;
    const struct lb_param *params;
    size_t n_params;
    size_t rows, cols;
    size_t row_align;        /* row_bytes is a multiple of it; 0: of 1 */
    int per;                 /* enum lb_ops_per */
    size_t block;            /* LB_OPS_PER_BLOCK */
    const char *scale_codec; /* NULL: F32 */
    int second;              /* enum lb_ops_second */
    size_t group2;           /* LB_OPS_SECOND_GROUPS; 0: 256 */
    int offset;              /* with a second level only */
    int zeros;               /* enum lb_ops_zeros */
    unsigned
        rarity; /* not 0: one code in so many is any code, NaN and infinities too; one scale in 8 is zero, subnormal, huge, NaN or infinite */
};

struct lb_ops_packed {
    struct lb_packed p;
    size_t code_bytes, scale_bytes, n_scale2; /* of p.codes (rows * row_bytes) and p.scales; elements of p.scale2 */
    struct lb_ops_codec q, s;
    unsigned char *codes, *scales; /* its memory; what p points to */
    float *scale2, *zeros;
};

/* The matrix that `seed` draws. Codes that pad a row, and the bits behind its last one, are drawn too: nothing may depend on them. */
int lb_ops_packed_create(const struct lb_ops_like *like, uint64_t seed, struct lb_ops_packed **out, struct lb_err *err);
void lb_ops_packed_destroy(struct lb_ops_packed *c);

/* "F4 block 32 in F8_E4M3, scale2, zeros": for the text of a case. */
void lb_ops_packed_text(const struct lb_ops_like *like, char *text, size_t size);

/* n elements of row i from column j on, literally as core/plugin.h and docs/arithmetic.md 8.1 have it: round32(round32(q - z) s). */
int lb_ops_packed_row(const struct lb_packed *p, size_t i, size_t j, size_t n, float *x, struct lb_err *err);

#endif
