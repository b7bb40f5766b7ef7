/* SPDX-License-Identifier: MIT */
/* coder.h - what the host derives from a codec: tables, decision boundaries, every rounding mode, packing, fast forms.
 *
 * For codecs of up to 16 bits a coder holds, for each way of encoding, a list of intervals of the real line with the code that each becomes.
 * An interval begins at the smallest binary64 that belongs to it, so that binary32 and binary64 inputs are decided by the same comparison and
 * nothing is rounded twice. */
#ifndef LB_CODER_H
#define LB_CODER_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <stddef.h>
#include <stdint.h>

struct lb_coder;

/* The largest unit of a block codec. */
enum { LB_BLOCK_MAX = 512, LB_BLOCK_BYTES_MAX = 8 * LB_BLOCK_MAX };

/* How elements are encoded; zero is the codec's default way. */
struct lb_encode {
    uint32_t rounding; /* enum lb_rounding */
    int overflow;      /* enum lb_overflow, or -1: the codec's default */
    uint64_t seed;     /* stochastic: Philox key, */
    uint32_t stream;   /* stream, */
    uint64_t first;    /* and the index of the first element */
};

/* Derives everything from a codec (with parameters already taken, see lb_plugins_codec). The codec must outlive the coder. */
int lb_coder_create(const struct lb_codec *codec, struct lb_coder **out, struct lb_err *err);
/* The same for decoding to binary32 alone, in a fraction of the memory; its hash is of what codes are worth. */
int lb_coder_create_reader(const struct lb_codec *codec, struct lb_coder **out, struct lb_err *err);
void lb_coder_destroy(struct lb_coder *c);
const struct lb_codec *lb_coder_codec(const struct lb_coder *c);

/* Whether this way of encoding exists for the codec (overflow to Inf needs an Inf, wrap needs integers; a block codec has its own way alone). */
int lb_coder_check(const struct lb_coder *c, const struct lb_encode *how, struct lb_err *err);

/* The smallest and the largest finite value. A block codec's are unknown: -Inf and +Inf. */
void lb_coder_range(const struct lb_coder *c, double *low, double *high);

/* Whether x lies so far outside that range that rounding to nearest leaves it: beyond the last value by more than half a step. */
int lb_coder_beyond(const struct lb_coder *c, double x);

/* Bytes of n elements. -1 where they are too many, or of a block codec no whole units. */
int lb_coder_bytes(const struct lb_coder *c, size_t n, size_t *bytes);

/* n elements to and from packed codes (a little-endian bit stream that begins on a byte; of a block codec n is a multiple of unit_elems). `how` NULL: the default. Decoding to binary32 rounds the
 * value once; a NaN is 0x7FC00000 (0x7FF8000000000000). encode needs lb_coder_bytes(n) bytes, whose padding bits become 0. */
void lb_encode_f32(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n, void *codes);
void lb_encode_f64(const struct lb_coder *c, const struct lb_encode *how, const double *x, size_t n, void *codes);
void lb_encode_int(const struct lb_coder *c, const struct lb_encode *how, const int64_t *x, int is_unsigned, size_t n, void *codes);
void lb_decode_f32(const struct lb_coder *c, const void *codes, size_t n, float *x);
void lb_decode_f64(const struct lb_coder *c, const void *codes, size_t n, double *x);
/* What n elements become when they are encoded by lb_encode_f32 and decoded, where there is a way that makes no stream of it (codecs of up to 8 bits, to
 * nearest); else 0, and nothing is done. */
int lb_round_f32(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n, float *y);
/* Element i of such a stream; not of block codecs. */
void lb_decode_f32_at(const struct lb_coder *c, const void *codes, size_t i, float *x);
/* Integer codecs (LB_SIGNED, LB_UNSIGNED) only: exact. */
void lb_decode_int(const struct lb_coder *c, const void *codes, size_t n, int64_t *x);

/* The same without the codec's fast forms: what `lowbit verify` and the tests compare them with. */
void lb_encode_f32_derived(const struct lb_coder *c, const struct lb_encode *how, const float *x, size_t n, void *codes);
void lb_decode_f32_derived(const struct lb_coder *c, const void *codes, size_t n, float *x);

/* One code in a packed stream. */
uint64_t lb_code_get(const void *codes, unsigned bits, size_t i);
void lb_code_set(void *codes, unsigned bits, size_t i, uint64_t code);

/* Up to 16 bits: the value of each code, 2^bits of them; NULL for others. */
const double *lb_coder_values(const struct lb_coder *c);

/* The same rounded to binary32, a NaN being 0x7FC00000. */
const float *lb_coder_values32(const struct lb_coder *c);

/* Up to 16 bits: the members, which are the distinct finite values, ascending, -0 before +0, each with its smallest code. Views. */
void lb_coder_members(const struct lb_coder *c, size_t *n, const double **values, const uint32_t **codes);

/* Up to 16 bits: encoding as data (struct lb_quantizer): binary32 number x becomes code[i] for the last i with first[i] <= key(x), the first of them
 * being INT32_MIN. Overflow and infinities are in it. Stochastic rounding is answered as nearest, what it does where it does not draw. The caller
 * frees both (lb_free). An error where `how` wraps, which no list of intervals can say. */
int lb_coder_intervals(const struct lb_coder *c, const struct lb_encode *how, size_t *n, int32_t **first, uint32_t **code,
                       struct lb_err *err);

/* SHA-256 that identifies the codec, the same on every machine: of its layout and rules, and of its values and intervals up to 16 bits, or above of
 * what it does to fixed inputs. */
int lb_coder_sha256(const struct lb_coder *c, char hex[65], struct lb_err *err);

#endif
