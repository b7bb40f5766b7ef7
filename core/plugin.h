/* SPDX-License-Identifier: MIT */
/* plugin.h - everything a lowbit plugin knows of its host. A plugin includes this header and nothing else of lowbit's core.
 *
 * A plugin is a shared object that exports one constant symbol, `lb_plugins`: a NULL-ended list of pointers to `struct lb_plugin`, each the
 * first member of a `struct lb_codec` (a number format) or a `struct lb_backend` (a machine that computes). docs/plugins.md is the
 * tutorial; plugins/skeleton_codec.c and plugins/skeleton_backend.c explain every hook by example; `lowbit verify` checks the result. */
#ifndef LB_PLUGIN_H
#define LB_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define LB_ABI    1u
#define LB_EXPORT __attribute__((visibility("default")))

enum lb_plugin_kind { LB_CODEC = 1, LB_BACKEND = 2 };

/* First member of every plugin struct; its layout never changes, whatever the ABI. */
struct lb_plugin {
    uint32_t abi;     /* LB_ABI: must be equal to the host's */
    uint32_t kind;    /* LB_CODEC or LB_BACKEND */
    uint32_t size;    /* sizeof the enclosing struct; hooks beyond it read as NULL */
    const char *name; /* the key that configs use: letters, digits, '_', '.', '-' */
    const char *help; /* one line for `lowbit list` */
};

/* ---- Codecs ---------------------------------------------------------------------------------------------------------------------- */

enum lb_codec_kind { LB_FLOAT = 1, LB_SIGNED, LB_UNSIGNED, LB_CODEBOOK };

/* Which neighbour a value exactly between two neighbours becomes, when rounding to nearest. */
enum lb_ties { LB_TIES_EVEN, /* the even code (IEEE 754) */ LB_TIES_AWAY, /* the larger magnitude */ LB_TIES_ZERO /* the smaller */ };

/* How a value becomes a code. LB_NEAREST breaks ties by the codec's rule, LB_HALF_AWAY always away from zero. */
enum lb_rounding { LB_NEAREST, LB_TOWARD_ZERO, LB_HALF_AWAY, LB_STOCHASTIC };

/* What a finite value too large for the codec becomes, and what an infinity becomes. LB_TO_INF and LB_TO_NAN need such a code. LB_WRAP is
 * for integers: the low bits of the rounded value in two's complement; infinities and NaN become zero. */
enum lb_overflow { LB_SATURATE, LB_TO_INF, LB_TO_NAN, LB_WRAP };

/* One step of an encoder that is not round-to-nearest: numbers >= `from`, up to the next step's, become `code`. */
enum { LB_STEPS_MAX = 1 << 17 };
struct lb_step {
    double from;
    uint32_t code;
};

/* One parameter of a codec, as the config gave it: "codec": {"name": "POSIT", "n": 8} hands over {"n", 8, NULL}. */
struct lb_param {
    const char *name;
    double number;    /* valid where text is NULL */
    const char *text; /* NULL for a number */
};

/* How a whole array is encoded. */
struct lb_encoding {
    uint32_t rounding;      /* enum lb_rounding */
    uint32_t overflow;      /* enum lb_overflow */
    const uint32_t *random; /* LB_STOCHASTIC: one word an element; otherwise NULL */
};

/* A number format.
 *
 * Up to 16 bits a codec is data and one function, code -> value. From `value` the host derives everything else once, for every backend: the
 * sorted values, the decision boundaries with the side each tie takes, all rounding modes, overflow, packing, lookup tables, and the
 * SHA-256 of the format. Values must be exact in binary64; +Inf, -Inf and NaN are legal.
 *
 * A wider codec (`bits` 17..64, whole bytes) gives `encode` and `decode` instead. They work on binary64 so that nothing is rounded twice;
 * `encode_int` / `decode_int` are the way of 64-bit integers, which binary64 does not hold.
 *
 * A block codec (`bits` 0) stores unit_elems elements with what they share in unit_bytes bytes: GGUF's Q4_0 is 32 in 18. It gives `encode` and `decode`
 * too, for whole units; each row of a tensor is padded with zeros to whole units. It rounds in its own way: a config cannot choose. */
struct lb_codec {
    struct lb_plugin base;
    const char *tag;     /* safetensors dtype of the codes, or NULL: stored as U8 with the format in the metadata */
    const char *aliases; /* other names, separated by blanks, or NULL */
    uint32_t bits;       /* of one code; 0: a block codec */
    uint32_t unit_elems; /* elements and bytes of the smallest unit that fills whole bytes: F4 2/1, F6 4/3, F16 1/2 */
    uint32_t unit_bytes;
    uint32_t kind;     /* enum lb_codec_kind */
    uint32_t ties;     /* enum lb_ties */
    uint32_t overflow; /* enum lb_overflow: the default */
    uint32_t nan_code; /* bits <= 16: the code that a NaN becomes (0 where the format has no NaN) */

    /* Required up to 16 bits: the value of `code` (< 2^bits). */
    double (*value)(const struct lb_codec *c, uint32_t code);

    /* Optional up to 16 bits: an encoder that is not round-to-nearest, as data. Writes at most `cap` steps, ascending `from`, and returns how many there
     * are. The first is at 0: magnitudes then, infinity being one too; a negative value becomes the step's code | sign_bit. Or the first is at -INFINITY:
     * the whole line, -0 before +0. With steps, a config that asks for another rounding or overflow is refused, and NaN still becomes nan_code. A 64-bit integer
     * between two binary64 numbers counts as the one whose last bit is 1. */
    size_t (*steps)(const struct lb_codec *c, struct lb_step *out, size_t cap);
    uint32_t sign_bit;

    /* Required above 16 bits and of block codecs: n elements, n a multiple of unit_elems. Codes are little-endian, `unit_bytes` a unit. A block codec
     * decodes to binary32 numbers. */
    void (*encode)(const struct lb_codec *c, const struct lb_encoding *how, const double *x, size_t n, void *codes);
    void (*decode)(const struct lb_codec *c, const void *codes, size_t n, double *x);
    /* Required above 16 bits: encode from integers (two's complement, or unsigned where `is_unsigned`), rounding once. */
    void (*encode_int)(const struct lb_codec *c, const struct lb_encoding *how, const int64_t *x, int is_unsigned, size_t n, void *codes);
    /* Required of integer codecs above 16 bits: exact. An unsigned codec writes the bits of a uint64_t. */
    void (*decode_int)(const struct lb_codec *c, const void *codes, size_t n, int64_t *x);

    /* Optional: parameters. The host copies the struct, allocates `state_size` zeroed bytes at `state` and calls `init`, which returns 0, or -1
     * with the reason in `why`. Without `init`, a parameter in a config is an error. */
    size_t state_size;
    void *state;
    int (*init)(struct lb_codec *self, const struct lb_param *params, size_t n, char *why, size_t why_size);

    /* Optional: fast forms on binary32 for LB_NEAREST and the default overflow, bit-equal to the derived ones (`lowbit verify` checks). `n` is a
     * multiple of unit_elems; a decoded NaN is 0x7FC00000. */
    void (*encode_f32)(const struct lb_codec *c, const float *x, size_t n, void *codes);
    void (*decode_f32)(const struct lb_codec *c, const void *codes, size_t n, float *x);

    /* Optional: GLSL text. Up to 16 bits: defines `float lb_value(uint code)`, for backends that would rather compute than look up. Block codecs:
     * defines `float lb_element(uint at, uint i)`, element i of the unit whose bytes begin at byte `at`, which it reads with `uint lb_byte(uint at)`. It
     * gives the bits of `decode` with +, -, *, canon_fma and integer operations (kernels/canon.h is included before it). Names begin with lb_. A
     * codec with neither `value` nor this text is unpacked to binary32 before a GPU computes with it. */
    const char *glsl;
};

/* ---- Formats, as kernels see them ------------------------------------------------------------------------------------------------- */

/* A codec as data, made by the host and valid while what it came with is: a kernel knows no codec, and every kernel knows all codecs. */
struct lb_codes {
    const struct lb_codec *codec; /* for its layout, name and glsl */
    const char *sha256;           /* 64 hex digits that identify it: a key for compiled shaders */
    const float *values;          /* up to 16 bits: (1 << bits) what each code is worth, a NaN being 0x7FC00000; otherwise NULL */
    /* Elements first .. first + n - 1 of a stream of codes to binary32, any codec, on the host, from any thread. Block codecs: whole units. */
    void (*decode)(const struct lb_codes *c, const void *codes, size_t first, size_t n, float *x);
    const void *host; /* the host's own */
};

/* A matrix in a format, in host memory: element (i, j) is worth v = round32(round32(q - z) s), a NaN being 0x7FC00000; without zeros q s, without
 * scales q. Scale number g = i * scale_row + j / block is s = t, or where there is a second level s = round32(t scale2[g / group2]), and then
 * round32(s + offset) where there is an offset; t is code g of `scales`. (docs/arithmetic.md, 8) */
struct lb_packed {
    size_t rows, cols;
    struct lb_codes q;
    const unsigned char
        *codes; /* each row is row_bytes bytes; rows of block codecs and of scales in blocks are padded to whole units or blocks */
    size_t row_bytes;
    int scaled;
    size_t block;     /* columns that share a scale; cols: all */
    size_t scale_row; /* scales a row: 0 where the whole matrix has one */
    size_t n_scales;
    struct lb_codes s;
    const unsigned char *scales; /* n_scales codes, a stream */
    const float *scale2;         /* NULL: no second level */
    size_t group2;               /* scales that share a scale2 */
    int has_offset;
    float offset;
    const float *zeros; /* n_scales zero points z, or NULL */
};

/* How scales follow from numbers: docs/arithmetic.md, 8.10. amax is the largest magnitude of what shares a scale. */
enum lb_scale_rule {
    LB_SCALE_NONE,
    LB_SCALE_FIXED,      /* s = value */
    LB_SCALE_ABSMAX,     /* s = amax / top */
    LB_SCALE_MULTIPLY,   /* the published study's; hosts only */
    LB_SCALE_ASYMMETRIC, /* the least and the largest number become the first and the last code; hosts only */
    LB_SCALE_PERCENTILE, /* as absmax, with a quantile of the magnitudes; hosts only */
    LB_SCALE_MSE,        /* the share of amax with the least squared error; hosts only */
    LB_SCALE_FLOOR,      /* powers of two: OCP's rule, */
    LB_SCALE_CEIL,       /* log2(amax) rounded up, */
    LB_SCALE_EVEN,       /* amax rounded to the codec's fraction first, */
    LB_SCALE_RCEIL,      /* amax / top rounded up */
    LB_SCALE_KL,         /* calibrated ones, hosts only: the threshold with the least divergence, */
    LB_SCALE_MOVING_AVERAGE /* the mean of what batches had, later ones counting more */
};

/* How numbers become codes, as data: what a device needs to encode in any format of a codec of up to 16 bits. */
struct lb_quantizer {
    struct lb_codes q;
    /* x becomes code[i] for the last i with first[i] <= key(x); key of binary32: its bits as int32 b, or where the sign is set INT32_MIN - b - 1, so that keys
     * ascend with the numbers, -0 being -1 and +0 being 0. Infinities and what overflows are in the table. A NaN becomes nan_code. */
    size_t n;
    const int32_t *first;
    const uint32_t *code;
    uint32_t nan_code;
    /* Stochastic: a finite x with member[i] < x < member[i + 1] becomes the code of one of the two, docs/arithmetic.md 8.6; others as above. */
    int stochastic;
    size_t n_members;
    const float *member; /* ascending */
    const uint32_t *member_code;

    uint32_t rule; /* enum lb_scale_rule, without those for hosts only */
    float value;   /* LB_SCALE_FIXED */
    float top;     /* the codec's largest finite value in binary32 */
    int emax;      /* floor(log2(top)) */
    int fraction;  /* LB_SCALE_EVEN: bits of fraction */
    int clamp;     /* a scaled x below -top is taken as -top */
    size_t block;  /* elements of a row that share a scale; 0: the whole row; SIZE_MAX: the whole matrix */
    const struct lb_quantizer
        *scale; /* how scales are stored, NULL: as binary32. Its own rule is NONE, or FIXED or ABSMAX over all scales */
};

/* ---- Backends -------------------------------------------------------------------------------------------------------------------- */

enum lb_log_level { LB_LOG_ERROR, LB_LOG_WARN, LB_LOG_INFO, LB_LOG_DEBUG };

/* CPU features, the bits of --cpumask. */
enum lb_cpu {
    /* with FMA and F16C: x86-64-v3 */
    LB_CPU_AVX2 = 1,
    /* F, BW, DQ, VL, CD: x86-64-v4 */
    LB_CPU_AVX512 = 2,
    LB_CPU_VNNI = 4,
    LB_CPU_VBMI = 8
};

/* LB_FAST: the backend may contract and reorder; one that is as fast without stays exact. */
enum lb_numerics { LB_EXACT, LB_FAST };

/* What the host offers a backend. Valid from probe to close. */
struct lb_host {
    uint32_t abi, size;
    uint32_t threads;   /* threads the backend may use, >= 1 */
    uint32_t cpu;       /* enum lb_cpu of this machine, masked by --cpumask */
    const char *device; /* --device: name or index, or NULL */
    void (*log)(const struct lb_host *h, int level, const char *text);
    void *(*alloc)(const struct lb_host *h, size_t bytes); /* 64-byte aligned and counted, or NULL */
    void (*free)(const struct lb_host *h, void *p);
    /* Calls fn(arg, 0) .. fn(arg, n - 1), spread over `threads` threads; returns when all are done. Not to be nested. */
    void (*parallel)(const struct lb_host *h, size_t n, void (*fn)(void *arg, size_t i), void *arg);
    uint32_t numerics; /* enum lb_numerics */
    const char *cache; /* a folder for what may be kept between runs (compiled shaders), or NULL; several processes use it at once */
};

/* Device memory. A backend without buffer hooks works on host memory: the host fills in ptr (64-byte aligned). */
struct lb_buf {
    void *ptr;
    size_t bytes;
};

/* A place in a buffer, counted in elements of 4 bytes. buf == NULL: absent. */
struct lb_ref {
    struct lb_buf *buf;
    size_t at;
};

static inline float *lb_f32(struct lb_ref r)
{
    return r.buf ? (float *)r.buf->ptr + r.at : NULL;
}

static inline int32_t *lb_i32(struct lb_ref r)
{
    return r.buf ? (int32_t *)r.buf->ptr + r.at : NULL;
}

/* Activations; alpha is the factor of LB_SCALED_RELU. Derivatives are functions of the output y. Formulas: docs/arithmetic.md. */
enum lb_act { LB_LINEAR, LB_RELU, LB_SCALED_RELU, LB_SIGMOID, LB_TANH };

/* The op table. All values are binary32, row-major; labels are int32. Every op returns 0, or -1 after a log message. docs/arithmetic.md gives
 * each formula; an `exact` backend gives its bits. Outputs do not overlap inputs unless an op says so. Nothing beside an array is touched, not even to read it. */

/* c (m, n) = act(op(a) (m, k) . op(b) (k, n) + bias (n)); op(x) is x, or its transpose where trans_x: a is then (k, m), b (n, k). */
struct lb_gemm {
    struct lb_ref a, b, bias, c; /* bias may be absent */
    size_t m, n, k;
    int trans_a, trans_b;
    uint32_t act;
    float alpha;
};

/* Shapes of a convolution: x (n, c, h, w), w (o, c, kh, kw), y (n, o, oh, ow); oh = (h + 2 pad - kh) / stride + 1. */
struct lb_conv {
    size_t n, c, h, w, o, kh, kw, stride, pad, oh, ow;
};

struct lb_conv2d { /* y = act(conv(x, w) + bias (o)) */
    struct lb_ref x, w, bias, y;
    struct lb_conv s;
    uint32_t act;
    float alpha;
};

struct lb_conv2d_grad { /* conv2d_dx: dx from dy and w.  conv2d_dw: dw from dy and x. */
    struct lb_ref x, w, dy, out;
    struct lb_conv s;
};

struct lb_bias_grad { /* db (c) = sum over n, p of dy (n, c, p); k = (n, p) */
    struct lb_ref dy, db;
    size_t n, c, p;
};

struct lb_act_op { /* act: y = f(x).  act_grad: dx = dy f'(y), in place (x and dx may be dy). */
    struct lb_ref x, y, dy, dx;
    size_t n;
    uint32_t act;
    float alpha;
};

struct lb_softmax { /* softmax: y = softmax(x) by rows.  softmax_grad: dx = y (dy - sum(dy y)). */
    struct lb_ref x, y, dy, dx;
    size_t rows, cols;
};

struct
    lb_loss { /* loss (rows): each row's loss; dx: the gradient of their mean.  cross_entropy: x = logits.  mse: x = outputs, one-hot target. */
    struct lb_ref x, labels, loss, dx;
    size_t rows, cols;
    uint32_t reduction; /* enum lb_reduction */
};

/* mse only: what the gradient is divided by. MEAN: rows * cols, times 2 (the derivative of the mean square).  HALF: rows (the derivative of half
 * the sum of squares, as much older code has it). cross_entropy divides by rows in both. */
enum lb_reduction { LB_MEAN, LB_HALF };

struct lb_sgd { /* v = momentum v + (g + decay w); w = w - lr v.  v may be absent where momentum is 0. */
    struct lb_ref w, g, v;
    size_t n;
    float lr, momentum, decay;
};

/* Products with weights in a format, which stay in it. `w` comes from weights_create. */
struct lb_gemm_packed { /* c (m, n) = act(a (m, k) . w (n, k)^T + bias (n)) */
    struct lb_ref a, bias, c;
    void *w;
    size_t m, n, k;
    uint32_t act;
    float alpha;
    size_t block; /* gemm_int8: columns of a that share a scale; 0: its rows */
};

struct lb_conv2d_packed { /* y = act(conv(x, w) + bias (o)); w (o, c kh kw).  conv2d_int8: one scale a sample. */
    struct lb_ref x, bias, y;
    void *w;
    struct lb_conv s;
    uint32_t act;
    float alpha;
};

struct lb_quantize { /* y (rows, cols) = what x becomes when it is encoded and decoded; in place allowed. q comes from quantizer_create. */
    struct lb_ref x, y;
    void *q;
    size_t rows, cols;
    uint64_t seed; /* stochastic rounding: element (i, j) of x has index first + i * cols + j */
    uint32_t stream;
    uint64_t first;
};

/* What weights are for: bits of weights_create's `uses`. */
enum lb_uses { LB_USE_F32 = 1, /* gemm_packed, conv2d_packed */ LB_USE_INT8 = 2 /* gemm_int8, conv2d_int8 */ };

/* ---- Integer tensors (docs/arithmetic.md, 13) -------------------------------------------------------------------------------------
 *
 * Elements are bytes (U8, S8: two's complement) or int32. A tensor of bytes begins at a multiple of 4 bytes; bytes behind its last element stay as they
 * are. An element q is worth (q - zero) scale. Images are channels last, (n, h, w, c). Sums are modulo 2^32: the order they are made in does not
 * matter. R(v) = v multiplier / 2^shift, rounded to a whole number, half to even, exactly: 0 <= multiplier < 2^22, 0 <= shift <= 62. */

enum lb_q_type { LB_Q_U8, LB_Q_S8, LB_Q_U4, LB_Q_S4, /* two a byte, the first in its low half; weights only */ LB_Q_S32 };

/* What becomes of a sum v. S32: v. U8, S8: zero + R(v), held within low and high, which are of the type. */
struct lb_q_out {
    uint32_t type;
    int32_t zero, low, high;
};

/* Weights in host memory, (rows = outputs, cols = k), and what else of a layer is the same for every input: v = sum((a - a_zero) (w - zero)) + bias. */
struct lb_q_matrix {
    size_t rows, cols;
    uint32_t type;     /* U8, S8, U4, S4 */
    const void *codes; /* (rows, row_bytes) */
    size_t row_bytes;
    const int32_t *zero;               /* (rows): -255 to 255; NULL: 0 */
    const int32_t *bias;               /* (rows), or NULL: 0 */
    const int32_t *multiplier, *shift; /* (rows); NULL where outputs are S32 */
};

/* c (m, n) of a (m, k) and w (n, k), which comes from q_weights_create. */
struct lb_q_dense {
    struct lb_ref a, c;
    void *w;
    size_t m, n, k;
    uint32_t a_type;
    int32_t a_zero;
    struct lb_q_out out;
};

/* Weights (o, kh, kw, c / groups): a row's cols are kh kw c / groups. Outputs o of group g = o / (o of all / groups) read the channels of group g. pad: on
 * each side, with the input's zero. oh = (h + 2 pad - dilation (kh - 1) - 1) / stride + 1.
 * Transposed: oh = (h - 1) stride - 2 pad + dilation (kh - 1) + 1 + more, 0 <= more < stride; output (oy, ox) is the sum over the taps (ky, kx) of input
 * ((oy + pad - dilation ky) / stride, (ox + pad - dilation kx) / stride) where these are whole and inside. */
struct lb_q_conv {
    size_t n, h, w, c, o, kh, kw, stride, pad, dilation, groups, oh, ow;
    int transposed;
};

struct lb_q_conv2d {
    struct lb_ref x, y;
    void *w;
    struct lb_q_conv s;
    uint32_t x_type;
    int32_t x_zero;
    struct lb_q_out out;
};

/* c[i] (m, n) = a[i] (m, k) . op(b[i]), i < batch; b (k, n), or (n, k) where trans_b. Elements from row to row: *_row, from matrix to matrix: *_step (0: the
 * same one). b_zeros: (n) int32, absent: b_zero. multiplier, shift: int32, (n) where per_column, else one; absent where c is S32. */
struct lb_q_gemm {
    struct lb_ref a, b, c, b_zeros, multiplier, shift;
    size_t batch, m, n, k, a_row, b_row, c_row, a_step, b_step, c_step;
    int trans_b, per_column;
    uint32_t a_type, b_type;
    int32_t a_zero, b_zero;
    struct lb_q_out out;
};

/* y[i] = byte number x[i] (as U8) of table (256 bytes); x may be y. */
struct lb_q_table {
    struct lb_ref x, y, table;
    size_t n;
};

enum lb_q_binary_kind { LB_Q_ADD, LB_Q_MUL };

/* ADD: v = (a - a_zero) a_multiplier + (b - b_zero) b_multiplier, and R(v) is v / 2^shift rounded likewise. MUL: v = (a - a_zero) (b - b_zero), multiplied by
 * a_multiplier. y is U8 or S8, and may be a or b. */
struct lb_q_binary {
    struct lb_ref a, b, y;
    size_t n;
    uint32_t kind, a_type, b_type;
    int32_t a_zero, b_zero, a_multiplier, b_multiplier, shift;
    struct lb_q_out out;
};

enum lb_q_pool_kind { LB_Q_MAX, LB_Q_AVERAGE };

/* x (n, h, w, c) -> y (n, oh, ow, c), of the taps that lie inside, at least one. MAX: the largest x, of its type. AVERAGE: v = sum(x - x_zero); multiplier
 * and shift are row t - 1 of `scales`, int32 (kh kw, 2), for t taps inside. s: o = c; dilation 1, groups 1, not transposed. */
struct lb_q_pool {
    struct lb_ref x, y, scales;
    struct lb_q_conv s;
    uint32_t kind, x_type;
    int32_t x_zero;
    struct lb_q_out out;
};

/* y[y_at + sum of i[d] y_stride[d]] = x[x_at + sum of i[d] x_stride[d]], i[d] < size[d]: bytes. No two elements of y are one. */
struct lb_q_copy {
    struct lb_ref x, y;
    size_t x_at, y_at, size[4], x_stride[4], y_stride[4];
};

/* im2col: y (n oh ow, kh kw c) = the bytes of x (n, h, w, c) that each output position sees, `zero` outside. s: one group, not transposed, o unused. */
struct lb_q_columns {
    struct lb_ref x, y;
    struct lb_q_conv s;
    int32_t zero;
};

/* y (n, h, w, c): v = sum(x - x_zero) over all the places of x (n oh ow, kh kw c) where im2col would put that element of y. */
struct lb_q_col2im {
    struct lb_ref x, y;
    struct lb_q_conv s;
    uint32_t x_type;
    int32_t x_zero, multiplier, shift;
    struct lb_q_out out;
};

/* y (rows, cols) of v = x, int32. multiplier, shift: int32, (cols) where per_column, else one. */
struct lb_q_requantize {
    struct lb_ref x, y, multiplier, shift;
    size_t rows, cols;
    int per_column;
    struct lb_q_out out;
};

/* y = zero + x / scale, the quotient being rounded to a whole number, half to even, then held within low and high; where it is a NaN, zero. x is binary32,
 * (rows, cols), scale (cols) where per_column, else one. y is U8 or S8. */
struct lb_q_quantize {
    struct lb_ref x, y, scale;
    size_t rows, cols;
    int per_column;
    struct lb_q_out out;
};

/* y = store(round32(x - zero) scale); x is U8, S8 or S32. */
struct lb_q_dequantize {
    struct lb_ref x, y, scale;
    size_t rows, cols;
    int per_column;
    uint32_t x_type;
    int32_t zero;
};

/* What a device says of itself; strings are valid until close. */
struct lb_device_info {
    const char *device, *isa;
    uint32_t threads;
    uint32_t fast; /* 1: opened with LB_FAST, an `exact` backend does not give the bits of docs/arithmetic.md */
};

/* A machine that computes. A NULL op is reported as unsupported; nothing is silently computed elsewhere. Ops run in the order of the calls; results
 * are visible after `sync` (or a read). */
struct lb_backend {
    struct lb_plugin base;
    uint32_t exact; /* 1: gives the bits of docs/arithmetic.md; believed once `lowbit verify` has passed */

    /* Required. Returns 1 where this machine can run the backend; 0 with the reason in `why`: its trials are skipped, never failed. */
    int (*probe)(const struct lb_host *h, char *why, size_t why_size);
    /* Required. Returns the backend's own state, or NULL with the reason in `why`. */
    void *(*open)(const struct lb_host *h, char *why, size_t why_size);
    void (*close)(void *dev);
    void (*info)(void *dev, struct lb_device_info *out);

    /* Optional, all or none: memory of the backend's own. `bytes` is filled in by the host. buf_create leaves all of it zero (momentum begins there)
     * and sets ptr to something that is not NULL: a buffer without it counts as not created and is not destroyed. 0 or -1. */
    int (*buf_create)(void *dev, struct lb_buf *b);
    void (*buf_destroy)(void *dev, struct lb_buf *b);
    int (*buf_write)(void *dev, struct lb_buf *b, size_t offset, const void *data, size_t bytes);
    int (*buf_read)(void *dev, const struct lb_buf *b, size_t offset, void *data, size_t bytes); /* waits for the ops before it */
    int (*sync)(void *dev);                                                                      /* optional */

    /* The op table. */
    int (*gemm)(void *dev, const struct lb_gemm *op);
    int (*conv2d)(void *dev, const struct lb_conv2d *op);
    int (*conv2d_dx)(void *dev, const struct lb_conv2d_grad *op);
    int (*conv2d_dw)(void *dev, const struct lb_conv2d_grad *op);
    int (*bias_grad)(void *dev, const struct lb_bias_grad *op);
    int (*act)(void *dev, const struct lb_act_op *op);
    int (*act_grad)(void *dev, const struct lb_act_op *op);
    int (*softmax)(void *dev, const struct lb_softmax *op);
    int (*softmax_grad)(void *dev, const struct lb_softmax *op);
    int (*cross_entropy)(void *dev, const struct lb_loss *op);
    int (*mse)(void *dev, const struct lb_loss *op);
    int (*sgd)(void *dev, const struct lb_sgd *op);

    /* Optional, all or none: lists of ops. From `record` (NULL on failure) to `record_end` ops are checked and noted, not run; `replay` runs them, as
     * often as the host likes, on what the buffers then hold. Buffers are neither created nor destroyed, written nor read in between, and those
     * that a list names outlive it. */
    void *(*record)(void *dev);
    int (*record_end)(void *dev, void *list);
    int (*replay)(void *dev, void *list);
    void (*record_free)(void *dev, void *list);

    /* Optional: weights that stay packed. weights_create takes a copy in whatever order suits the device, of about the size of the original (`bytes`:
     * what it takes there); the codes' own data (struct lb_codes: values, decode, codec) stay valid until weights_free. It returns NULL after a log message; what it cannot do at all it says in `why`, and the host unpacks to binary32 or
     * reports `unsupported`. gemm_packed and conv2d_packed give the bits of gemm and conv2d on the unpacked weights. */
    void *(*weights_create)(void *dev, const struct lb_packed *w, uint32_t uses, size_t *bytes, char *why, size_t why_size);
    void (*weights_free)(void *dev, void *w);
    int (*gemm_packed)(void *dev, const struct lb_gemm_packed *op);
    int (*conv2d_packed)(void *dev, const struct lb_conv2d_packed *op);
    /* The same with activations in int8, and integer products: docs/arithmetic.md, 8.12. Codecs whose values times a power of two are integers of at
     * most 8 bits. */
    int (*gemm_int8)(void *dev, const struct lb_gemm_packed *op);
    int (*conv2d_int8)(void *dev, const struct lb_conv2d_packed *op);

    /* Optional: encoding on the device. quantizer_create copies what it needs; NULL with the reason in `why`: the host encodes then, and the row says
     * packed = no. */
    void *(*quantizer_create)(void *dev, const struct lb_quantizer *q, char *why, size_t why_size);
    void (*quantizer_free)(void *dev, void *q);
    int (*quantize)(void *dev, const struct lb_quantize *op);

    /* Optional: integer tensors. q_weights_create takes a copy in whatever order suits the device (`bytes`: what it takes there); it returns NULL after a log message. */
    void *(*q_weights_create)(void *dev, const struct lb_q_matrix *w, size_t *bytes);
    void (*q_weights_free)(void *dev, void *w);
    int (*q_dense)(void *dev, const struct lb_q_dense *op);
    int (*q_conv2d)(void *dev, const struct lb_q_conv2d *op);
    int (*q_gemm)(void *dev, const struct lb_q_gemm *op);
    int (*q_table)(void *dev, const struct lb_q_table *op);
    int (*q_binary)(void *dev, const struct lb_q_binary *op);
    int (*q_pool)(void *dev, const struct lb_q_pool *op);
    int (*q_copy)(void *dev, const struct lb_q_copy *op);
    int (*q_im2col)(void *dev, const struct lb_q_columns *op);
    int (*q_col2im)(void *dev, const struct lb_q_col2im *op);
    int (*q_requantize)(void *dev, const struct lb_q_requantize *op);
    int (*q_quantize)(void *dev, const struct lb_q_quantize *op);
    int (*q_dequantize)(void *dev, const struct lb_q_dequantize *op);
};

#endif
