/* SPDX-License-Identifier: MIT */
/* Safetensors files: read, inspected, decoded, written again, taken as a data set, as an integer model, and as the inputs of an op. */
#include "test/fuzz/fuzz.h"
#include "core/base/mem.h"
#include "core/cmd/op.h"
#include "core/format/packed.h"
#include "core/nn/dataset.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, TENSORS = 8, ELEMS = 1 << 14, MOST = 48 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_start();
    return 0;
}

/* ---- Changing a file so that its parts still fit each other ------------------------------------------------------------------------------ */

static size_t header_of(const uint8_t *data, size_t n)
{
    size_t length = 0;
    for (size_t i = 0; i < PREFIX && n >= PREFIX; i++)
        length |= (size_t)data[i] << (8 * i);
    return n >= PREFIX && length <= n - PREFIX ? length : 0;
}

static void put_length(uint8_t *data, size_t length)
{
    for (size_t i = 0; i < PREFIX; i++)
        data[i] = (uint8_t)((uint64_t)length >> (8 * i));
}

/* Gives each tensor of the header the place that its dtype and shape ask for; the bytes of all, or SIZE_MAX where a tensor makes no sense. */
static size_t lay_out(json_t *root)
{
    size_t at = 0, i;
    const char *name;
    json_t *info, *v;
    json_object_foreach(root, name, info)
    {
        size_t shape[LB_MAX_DIMS] = {0};
        const char *dtype = json_string_value(json_object_get(info, "dtype"));
        json_t *list = json_object_get(info, "shape");
        const int id = dtype ? lb_dtype_find(dtype) : -1;
        struct lb_tensor t;
        if (!strcmp(name, "__metadata__"))
            continue;
        if (id < 0 || !json_is_array(list) || json_array_size(list) > LB_MAX_DIMS)
            return SIZE_MAX;
        json_array_foreach(list, i, v) shape[i] = json_integer_value(v) < 0 ? 0 : (size_t)json_integer_value(v);
        if (lb_tensor_describe(&t, (enum lb_dtype_id)id, (unsigned)json_array_size(list), shape, NULL) || t.bytes > ELEMS)
            return SIZE_MAX;
        json_object_set_new(info, "data_offsets", json_pack("[II]", (json_int_t)at, (json_int_t)(at + t.bytes)));
        at += t.bytes;
    }
    return at;
}

/* The file with the offsets and the length of the data that its header asks for; its new size, or n where there is none. */
static size_t repair(uint8_t *data, size_t n, size_t most)
{
    const size_t length = header_of(data, n);
    json_t *root = length ? json_loadb((const char *)data + PREFIX, length, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const size_t bytes = json_is_object(root) ? lay_out(root) : SIZE_MAX;
    char *text = bytes < most ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    const size_t written = text ? strlen(text) : 0, old = n - PREFIX - length;
    if (text && PREFIX + written + bytes <= most && bytes < most) {
        memmove(data + PREFIX + written, data + PREFIX + length, old < bytes ? old : bytes);
        memcpy(data + PREFIX, text, written);
        if (old < bytes)
            memset(data + PREFIX + written + old, 0x3c, bytes - old);
        put_length(data, written);
        n = PREFIX + written + bytes;
    }
    free(text);
    json_decref(root);
    return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    const size_t length = header_of(data, n), behind = PREFIX + length;
    if (!length || seed % 8 == 0)
        return LLVMFuzzerMutate(data, n, most);
    if (seed % 8 == 1) /* the data alone */
        return behind + LLVMFuzzerMutate(data + behind, n - behind, most - behind);
    uint8_t *header = malloc(most), *rest = malloc(n - behind + 1);
    size_t grown = n;
    if (header && rest) {
        memcpy(rest, data + behind, n - behind);
        memcpy(header, data + PREFIX, length);
        grown = LLVMFuzzerMutate(header, length, most - PREFIX - (n - behind));
        memcpy(data + PREFIX, header, grown);
        memcpy(data + PREFIX + grown, rest, n - behind);
        put_length(data, grown);
        grown += PREFIX + n - behind;
    }
    free(header);
    free(rest);
    return seed % 8 < 5 ? repair(data, grown, most) : grown;
}

/* ---- Reading it ---------------------------------------------------------------------------------------------------------------------- */

static void must(int ok)
{
    if (!ok)
        abort();
}

/* A packed matrix is worth what the decoded tensor holds, bit for bit. */
static void check_packed(const struct lb_packed *p, const float *x)
{
    float *row = malloc((p->cols + 1) * sizeof *row);
    must(row != NULL);
    for (size_t i = 0; i < p->rows && p->cols; i++) {
        lb_packed_row(p, i, 0, p->cols, row);
        must(!memcmp(row, x + i * p->cols, p->cols * sizeof *row));
    }
    free(row);
}

static void decode(const struct lb_safetensors *st, const char *name)
{
    struct lb_err err = {0};
    size_t shape[LB_MAX_DIMS], n = 1;
    unsigned ndim = 0;
    const int failed = lb_format_shape(st, name, &ndim, shape, &err);
    fuzz_result(failed, &err);
    for (unsigned i = 0; i < ndim && !failed && n <= ELEMS; i++)
        n = shape[i] > ELEMS ? ELEMS + 1 : n * shape[i];
    if (failed || n > ELEMS)
        return;
    float *x = malloc((n + 1) * sizeof *x);
    struct lb_packed_tensor t = {0};
    must(x != NULL);
    const int decoded = lb_format_decode(st, name, x, n, &err);
    fuzz_result(decoded, &err);
    const int packed = lb_packed_open(st, name, &t, &err);
    fuzz_result(packed, &err);
    if (!decoded && !packed && t.p.rows * t.p.cols == n)
        check_packed(&t.p, x);
    lb_packed_finish(&t);
    free(x);
}

/* What was read and written again holds the same. */
static void write_again(const struct lb_safetensors *st)
{
    struct lb_err err = {0};
    struct lb_safetensors again;
    char sha[2][65];
    const char *path = fuzz_path("again.safetensors");
    must(!lb_safetensors_write(st, path, &err) && !lb_safetensors_open(path, &again, &err));
    must(!lb_safetensors_sha256(st, sha[0], &err) && !lb_safetensors_sha256(&again, sha[1], &err) && !strcmp(sha[0], sha[1]));
    lb_safetensors_finish(&again);
}

static void as_data(const char *path)
{
    char source[] = "file";
    struct lb_err err = {0};
    struct lb_dataset d;
    const struct lb_data_config config = {.source = source, .path = (char *)(uintptr_t)path, .test = 1};
    fuzz_result(lb_dataset_load(&config, &d, NULL, &err), &err);
    lb_dataset_finish(&d);
}

/* ---- Ops ------------------------------------------------------------------------------------------------------------------------------- */

/* Whether no whole number of a network is so large that running it only takes long. */
static int is_small(const json_t *v)
{
    const char *key;
    json_t *e;
    size_t i;
    if (json_is_integer(v))
        return json_integer_value(v) <= MOST;
    json_object_foreach((json_t *)(uintptr_t)v, key, e) if (!is_small(e)) return 0;
    json_array_foreach(v, i, e) if (!is_small(e)) return 0;
    return 1;
}

static const struct lb_op *find_op(const char *name)
{
    const struct lb_op *op;
    for (size_t i = 0; (op = lb_op_at(i)) && strcmp(op->name, name); i++)
        ;
    return op;
}

static void as_model(const struct lb_safetensors *st, const char *path)
{
    const char *text = json_string_value(json_object_get(st->metadata, "lowbit.model"));
    json_t *model = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *input = json_object_get(model, "input");
    struct lb_op_call c = {.op = find_op("q_model"), .dev = fuzz_device()};
    struct lb_tensor x = {0};
    size_t shape[2] = {2, 1};
    struct lb_err err = {0};
    for (size_t i = 0; i < json_array_size(input); i++)
        shape[1] *= (size_t)json_integer_value(json_array_get(input, i));
    if (model && is_small(model) && shape[1] < ELEMS) {
        char set[600];
        must(c.op && snprintf(set, sizeof set, "model=%s", path) > 0 && !lb_op_set(&c, set, &err));
        must(!lb_tensor_init(&x, LB_F32, 2, shape, &err));
        for (size_t i = 0; i < x.elems; i++)
            memcpy(x.data + 4 * i, &(float){(float)(i % 7) - 3}, 4);
        must(!lb_safetensors_add(&c.in, "x", &x, &err));
        fuzz_result(c.op->run(&c, &err), &err);
    }
    lb_tensor_finish(&x);
    lb_safetensors_finish(&c.in);
    lb_safetensors_finish(&c.out);
    json_decref(model);
}

/* The file's metadata say which op and with which settings: {"op": "q_gemm", "K": "V"}. */
static void as_inputs(struct lb_safetensors *st, const char *path)
{
    const char *name = json_string_value(json_object_get(st->metadata, "op")), *key;
    struct lb_op_call c = {.op = name ? find_op(name) : NULL, .in = *st, .dev = fuzz_device()};
    struct lb_err err = {0};
    json_t *v;
    char set[300];
    int bad = !c.op || c.op->run == lb_op_q_model || c.op->run == lb_op_onnx;
    json_object_foreach(st->metadata, key, v)
    {
        const char *text = json_string_value(v);
        const int is_long = strlen(text) > 16 || strspn(text, "0123456789") > 2; /* a large padding only takes long */
        if (!bad && strcmp(key, "op") && (is_long || snprintf(set, sizeof set, "%.200s=%s", key, text) < 0 || lb_op_set(&c, set, &err)))
            bad = 1;
    }
    err = (struct lb_err){0};
    if (!bad && !lb_op_check(&c, path, &err))
        fuzz_result(c.op->run(&c, &err), &err);
    lb_safetensors_finish(&c.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lb_err err = {0};
    struct lb_safetensors st;
    const size_t before = lb_mem_now();
    const char *path = fuzz_file("x.safetensors", data, n);
    const int failed = lb_safetensors_open(path, &st, &err);
    fuzz_result(failed, &err);
    fuzz_command(&lb_cmd_inspect, path, NULL);
    if (!failed) {
        fuzz_command(&lb_cmd_inspect, path, "--csv");
        write_again(&st);
        for (size_t i = 0; i < st.n && i < TENSORS; i++)
            decode(&st, st.items[i].name);
        as_data(path);
        as_model(&st, path);
        as_inputs(&st, path);
    }
    lb_safetensors_finish(&st);
    fuzz_balance(before);
    return 0;
}
