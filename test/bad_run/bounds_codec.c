/* SPDX-License-Identifier: MIT */
/* bounds_codec.c - binary32 as a codec of 32 bits, and one of its functions goes too far: NAME, IN the function, and TOUCH what it does there to `first`, `end` (bytes of
 * what it writes) and `from`, `from_end` (of what it reads). The number of the function: ENCODE 1, DECODE 2, ENCODE_INT 3, ENCODE_F32 4, DECODE_F32 5. */
#include "core/plugin.h"

#include <string.h>

#ifndef IN
#define IN 0
#define TOUCH
#endif

static void touch(int in, unsigned char *first, size_t bytes, const unsigned char *from, size_t from_bytes)
{
    volatile unsigned char seen = 0; /* for what is only read */
    unsigned char *end = first + bytes;
    const unsigned char *from_end = from + from_bytes;
    (void)end, (void)from_end;
    if (in == IN) {
        TOUCH;
    }
    (void)seen;
}

static void encode(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes)
{
    (void)c, (void)how;
    for (size_t i = 0; i < n; i++) {
        const float f = (float)x[i];
        memcpy((unsigned char *)codes + 4 * i, &f, 4);
    }
    touch(1, codes, 4 * n, (const unsigned char *)x, 8 * n);
}

static void decode(const struct lb_codec *c, const void *codes, size_t n, double *x)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, (const unsigned char *)codes + 4 * i, 4);
        x[i] = (double)f;
    }
    touch(2, (unsigned char *)x, 8 * n, codes, 4 * n);
}

static void encode_int(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n, void *codes)
{
    (void)c, (void)how;
    for (size_t i = 0; i < n; i++) {
        const float f = is_unsigned ? (float)(uint64_t)x[i] : (float)x[i];
        memcpy((unsigned char *)codes + 4 * i, &f, 4);
    }
    touch(3, codes, 4 * n, (const unsigned char *)x, 8 * n);
}

static void encode_f32(const struct lb_codec *c, const float *x, size_t n, void *codes)
{
    (void)c;
    memcpy(codes, x, 4 * n);
    touch(4, codes, 4 * n, (const unsigned char *)x, 4 * n);
}

static void decode_f32(const struct lb_codec *c, const void *codes, size_t n, float *x)
{
    (void)c;
    memcpy(x, codes, 4 * n);
    touch(5, (unsigned char *)x, 4 * n, codes, 4 * n);
}

static const struct lb_codec bad = {
    .base = {LB_ABI, LB_CODEC, sizeof bad, NAME, "goes too far"},
    .bits = 32,
    .unit_elems = 1,
    .unit_bytes = 4,
    .kind = LB_FLOAT,
    .encode = encode,
    .decode = decode,
    .encode_int = encode_int,
    .encode_f32 = encode_f32,
    .decode_f32 = decode_f32,
};

LB_EXPORT const struct lb_plugin *const lb_plugins[] = {&bad.base, NULL};
