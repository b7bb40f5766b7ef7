/* SPDX-License-Identifier: MIT */
/* format.h - a format at work: a codec and a scaling, applied to whole tensors, in memory and in files.
 *
 * A tensor is a matrix: its first dimension by all others, one row where there are fewer than two. In a file tensor `w` holds the codes under the codec's
 * tag (U8 bytes where it has none, where its bits do not fill whole bytes, or where rows are padded), `w.scale` the scales in their own codec in the same
 * way, `w.scale2` and `w.scale_offset` in F32 what these are scaled by, `w.zero_point` zero points in the codec of the codes, and __metadata__["lowbit:w"] the format and the
 * shape as JSON. A codec with a tag and no scaling needs none of these. */
#ifndef LB_FORMAT_H
#define LB_FORMAT_H

#include "core/format/coder.h"
#include "core/format/safetensors.h"
#include "core/plugins.h"
#include "core/run/config.h"

struct lb_format {
    const struct lb_format_config *config;
    struct lb_codec *codec;
    struct lb_coder *coder;
    const struct lb_entry *entry; /* the plugin that the codec came from */
    char sha256[65];              /* lb_coder_sha256, with that of the scale's codec where it has one: what the hash of a trial holds */
    char codec_sha256[65];        /* of the codec alone */
    struct lb_format *scale;      /* how scales are stored; NULL: F32 */
    struct lb_format **layers;    /* of config->layers */
    size_t n_layers;
    double low, high; /* least and largest finite value of the codec; 0 of a block codec */
};

/* `config` must outlive the format. Refuses what the codec cannot do (rounding, overflow, a scale rule), and scales of scales of scales. */
int lb_format_create(const struct lb_format_config *config, struct lb_format **out, struct lb_err *err);
/* The same for reading what is stored alone: it takes little memory, and encodes nothing. */
int lb_format_create_reader(const struct lb_format_config *config, struct lb_format **out, struct lb_err *err);
void lb_format_destroy(struct lb_format *f);

/* Whether a POSIX extended expression matches the whole name of a parameter ("2.weight"), or its layer's number ("2"). -1: no expression. */
int lb_format_match(const char *expression, const char *name, struct lb_err *err);

/* The format of a parameter: the first of `layers` that matches, else f. */
const struct lb_format *lb_format_for(const struct lb_format *f, const char *name);

/* Whether modes w8a8 and w4a8 exist for the format: its codec's values times a power of two are whole numbers of at most 8 bits. *bits: of a code. */
int lb_format_is_integer(const struct lb_format *f, unsigned *bits);

/* The same of the format itself, whatever layers that it names have. */
int lb_format_is_whole(const struct lb_format *f);

/* What encoding did to the weights; counts add up over tensors. */
enum { LB_COUNTED_CODES = 256 };
struct lb_format_stats {
    size_t weights;
    size_t nan_codes, inf_codes;    /* codes that mean NaN or Inf */
    size_t zeroed;                  /* weights that were not 0 and became 0 */
    size_t clipped;                 /* scaled weights beyond the codec's range (lb_coder_beyond) */
    double signal, noise;           /* sums of w^2 and (w - w')^2, in binary64 */
    size_t codes[LB_COUNTED_CODES]; /* how often each code stands, of codecs of up to 8 bits */
    size_t bytes;                   /* codes and scales */
    double seconds;                 /* scaling and encoding, without the counting */
};

/* Encodes x (elems of shape) into `out` under `name`. seed and stream: of stochastic rounding. stats: NULL: nothing is counted. */
int lb_format_encode(const struct lb_format *f, const char *name, const float *x, unsigned ndim, const size_t *shape, uint64_t seed,
                     uint32_t stream, struct lb_safetensors *out, struct lb_format_stats *stats, struct lb_err *err);

/* The two halves of it for codes that come from elsewhere: a zeroed tensor of the right dtype and size, and adding it with its metadata. */
int lb_format_tensor(const struct lb_format *f, unsigned ndim, const size_t *shape, struct lb_tensor *t, struct lb_err *err);
int lb_format_add(const struct lb_format *f, const char *name, struct lb_tensor *codes, unsigned ndim, const size_t *shape,
                  struct lb_safetensors *out, struct lb_err *err);

/* Decodes tensor `name` of a file, whatever its format, to binary32. `elems` must be its number of elements. */
int lb_format_decode(const struct lb_safetensors *st, const char *name, float *x, size_t elems, struct lb_err *err);

/* The shape of tensor `name` as it is meant: the metadata's where it has a format, else the tensor's own. */
int lb_format_shape(const struct lb_safetensors *st, const char *name, unsigned *ndim, size_t shape[LB_MAX_DIMS], struct lb_err *err);

/* Whose scales or zero points tensor `name` holds: "w.scale" is of "w" where that has a format with scales. *of: NULL, or freed by the caller. */
int lb_format_owner(const struct lb_safetensors *st, const char *name, char **of, struct lb_err *err);

/* The metadata that says in which format tensor `name` is, as JSON text; NULL for a plain tensor. */
int lb_format_text(const struct lb_safetensors *st, const char *name, const char **text, struct lb_err *err);

/* Turns round the codes of `bits` bits (1, 2, 4) within each byte: from low_first to high_first and back. */
void lb_format_turn(unsigned char *codes, size_t bytes, unsigned bits);

/* The codec of a plain tensor's dtype ("no codec reads C64"); both are freed by the caller. */
int lb_format_coder(enum lb_dtype_id dtype, struct lb_codec **codec, struct lb_coder **coder, struct lb_err *err);
int lb_format_reader(enum lb_dtype_id dtype, struct lb_codec **codec, struct lb_coder **coder,
                     struct lb_err *err); /* decodes to binary32 alone */

#endif
