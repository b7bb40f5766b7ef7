/* SPDX-License-Identifier: MIT */
#include "core/plugins_check.h"
#include "core/format/coder.h"
#include "core/format/dtype.h"

#include <string.h>

static int good_name(const char *s, size_t n)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return n && n <= LB_NAME_MAX && strspn(s, good) >= n;
}

int lb_plugins_check_base(const struct lb_plugin *p, struct lb_err *err)
{
    enum { SIZE_MAX_SANE = 1 << 20 };
    if (p->abi != LB_ABI)
        return lb_fail(err, "ABI %u, this lowbit wants %u", p->abi, LB_ABI);
    if (p->kind != LB_CODEC && p->kind != LB_BACKEND)
        return lb_fail(err, "kind %u, wanted %d (codec) or %d (backend)", p->kind, LB_CODEC, LB_BACKEND);
    const size_t first = p->kind == LB_CODEC ? LB_CODEC_FIRST_SIZE : LB_BACKEND_FIRST_SIZE;
    if (p->size < first || p->size > SIZE_MAX_SANE)
        return lb_fail(err, "size %u, wanted %zu to %d: .size = sizeof(struct lb_%s)", p->size, first, SIZE_MAX_SANE,
                       p->kind == LB_CODEC ? "codec" : "backend");
    if (!p->name)
        return lb_fail(err, "name is NULL, a name is wanted");
    const size_t n = strnlen(p->name, LB_NAME_MAX + 1);
    if (!good_name(p->name, n))
        return lb_fail(err, "name \"%.*s\", wanted 1 to %d letters, digits, '_', '.' or '-'", (int)n, p->name, LB_NAME_MAX);
    if (!p->help || !*p->help || strpbrk(p->help, "\n\r"))
        return lb_fail(err, "%s: help is %s, one line of text is wanted", p->name,
                       !p->help    ? "NULL"
                       : !*p->help ? "empty"
                                   : "more than one line");
    return 0;
}

size_t lb_plugins_word(const char **at, char *word, size_t size)
{
    static const char blanks[] = " \t";
    const char *s = *at + strspn(*at, blanks);
    const size_t n = strcspn(s, blanks), kept = n < size ? n : size - 1;
    memcpy(word, s, kept);
    word[kept] = 0;
    *at = s + n;
    return n;
}

static int check_words(const struct lb_codec *c, struct lb_err *err)
{
    char word[LB_NAME_MAX + 2];
    size_t n;
    for (const char *at = c->aliases ? c->aliases : ""; (n = lb_plugins_word(&at, word, sizeof word)) != 0;)
        if (!good_name(word, n))
            return lb_fail(err, "alias \"%s\", wanted 1 to %d letters, digits, '_', '.' or '-'", word, LB_NAME_MAX);
    if (!c->tag)
        return 0;
    const int id = lb_dtype_find(c->tag);
    if (id < 0)
        return lb_fail(err, "tag \"%.64s\", wanted a dtype of safetensors, or NULL", c->tag);
    if (lb_dtypes[id].bits != c->bits)
        return lb_fail(err, "tag \"%s\" has %u bits, the codec has %u", c->tag, lb_dtypes[id].bits, c->bits);
    return 0;
}

static int check_unit(const struct lb_codec *c, struct lb_err *err)
{
    if (!c->bits) {
        if (!c->unit_elems || c->unit_elems > LB_BLOCK_MAX || !c->unit_bytes || c->unit_bytes > LB_BLOCK_BYTES_MAX)
            return lb_fail(err, "a unit is %u elements in %u bytes, wanted 1 to %d in 1 to %d of a block codec", c->unit_elems,
                           c->unit_bytes, LB_BLOCK_MAX, LB_BLOCK_BYTES_MAX);
        return 0;
    }
    if (c->bits > 16 && (c->bits % 8 || c->unit_elems != 1))
        return lb_fail(err, "bits is %u in units of %u: a codec wider than 16 bits is whole bytes, one element a unit", c->bits,
                       c->unit_elems);
    if (!c->unit_elems || (uint64_t)c->bits * c->unit_elems != 8 * (uint64_t)c->unit_bytes)
        return lb_fail(err, "a unit is %u elements in %u bytes, but %u bits each: bits x unit_elems = 8 x unit_bytes is wanted",
                       c->unit_elems, c->unit_bytes, c->bits);
    return 0;
}

static int check_numbers(const struct lb_codec *c, struct lb_err *err)
{
    if (c->bits > 64)
        return lb_fail(err, "bits is %u, wanted 1 to 64, or 0 for a block codec", c->bits);
    if (check_unit(c, err))
        return -1;
    if (c->kind < LB_FLOAT || c->kind > LB_CODEBOOK)
        return lb_fail(err, "codec kind %u, wanted %d to %d (enum lb_codec_kind)", c->kind, LB_FLOAT, LB_CODEBOOK);
    if (!c->bits && (c->kind == LB_SIGNED || c->kind == LB_UNSIGNED))
        return lb_fail(err, "codec kind %u of a block codec, wanted LB_FLOAT or LB_CODEBOOK", c->kind);
    if (c->ties > LB_TIES_ZERO)
        return lb_fail(err, "ties is %u, wanted 0 to %d (enum lb_ties)", c->ties, LB_TIES_ZERO);
    if (c->overflow > LB_WRAP)
        return lb_fail(err, "overflow is %u, wanted 0 to %d (enum lb_overflow)", c->overflow, LB_WRAP);
    if (c->overflow == LB_WRAP && c->kind != LB_SIGNED && c->kind != LB_UNSIGNED)
        return lb_fail(err, "overflow is LB_WRAP, which is for LB_SIGNED and LB_UNSIGNED; kind is %u", c->kind);
    if (c->bits && c->bits <= 16 && c->nan_code >> c->bits)
        return lb_fail(err, "nan_code is %u, wanted less than 2^%u", c->nan_code, c->bits);
    if (c->bits && c->bits <= 16 && c->sign_bit >> c->bits)
        return lb_fail(err, "sign_bit is %u, wanted less than 2^%u", c->sign_bit, c->bits);
    return 0;
}

static int check_hooks(const struct lb_codec *c, struct lb_err *err)
{
    const int table = c->bits && c->bits <= 16, wide = c->bits > 16;
    if (table && !c->value)
        return lb_fail(err, "no `value`: a codec of up to 16 bits needs it, and this one has %u", c->bits);
    const char *missing = table                                                                        ? NULL
                          : !c->encode                                                                 ? "encode"
                          : !c->decode                                                                 ? "decode"
                          : wide && !c->encode_int                                                     ? "encode_int"
                          : wide && !c->decode_int && (c->kind == LB_SIGNED || c->kind == LB_UNSIGNED) ? "decode_int"
                                                                                                       : NULL;
    if (missing && wide)
        return lb_fail(err, "no `%s`: a codec wider than 16 bits needs it, and this one has %u", missing, c->bits);
    if (missing)
        return lb_fail(err, "no `%s`: a block codec (bits 0) needs it", missing);
    if (!table && c->steps)
        return lb_fail(err, "`steps` is for codecs of up to 16 bits, and this one has %u", c->bits);
    if (c->state_size && !c->init)
        return lb_fail(err, "state_size is %zu, but there is no `init` to fill it", c->state_size);
    return 0;
}

int lb_plugins_check_codec(const struct lb_codec *c, struct lb_err *err)
{
    return check_numbers(c, err) || check_hooks(c, err) || check_words(c, err) ? -1 : 0;
}

/* Hooks that are of use together only. */
static int check_group(const char *of, int has, int all, struct lb_err *err)
{
    return has && has != all ? lb_fail(err, "%d of the %d hooks of %s, all or none are wanted", has, all, of) : 0;
}

int lb_plugins_check_backend(const struct lb_backend *b, struct lb_err *err)
{
    const char *missing = !b->probe ? "probe" : !b->open ? "open" : !b->close ? "close" : !b->info ? "info" : NULL;
    if (missing)
        return lb_fail(err, "no `%s`: a backend needs it", missing);
    const int buffers = !!b->buf_create + !!b->buf_destroy + !!b->buf_write + !!b->buf_read;
    const int lists = !!b->record + !!b->record_end + !!b->replay + !!b->record_free;
    const int packed = !!b->weights_create + !!b->weights_free + !!b->gemm_packed + !!b->conv2d_packed;
    const int integers = !!b->gemm_int8 + !!b->conv2d_int8;
    const int encoding = !!b->quantizer_create + !!b->quantizer_free + !!b->quantize;
    const int tensors = !!b->q_weights_create + !!b->q_weights_free + !!b->q_dense + !!b->q_conv2d;
    if (check_group("buffers", buffers, 4, err) || check_group("recorded lists", lists, 4, err) ||
        check_group("packed weights", packed, 4, err) || check_group("integer products", integers, 2, err) ||
        check_group("encoding", encoding, 3, err) || check_group("integer layers", tensors, 4, err))
        return -1;
    if (integers && !packed)
        return lb_fail(err, "integer products, but no `weights_create`: they are products with its weights");
    if (b->exact > 1)
        return lb_fail(err, "exact is %u, wanted 0 or 1", b->exact);
    return 0;
}
