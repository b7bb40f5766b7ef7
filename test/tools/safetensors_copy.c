/* SPDX-License-Identifier: MIT */
/* What test/oracle/safetensors_check.py asks of lowbit's reader and writer:
 *   safetensors_copy copy IN OUT       reads IN, adds its tensors in reverse order, writes OUT
 *   safetensors_copy make OUT [f6]     writes a tensor of every dtype but the F6 ones (f6: of all)
 *   safetensors_copy verdict FILE...   one line a file: "ok", or the error */
#include "core/format/safetensors.h"

#include <stdio.h>
#include <string.h>

static int copy(const char *in, const char *out, struct lb_err *err)
{
    struct lb_safetensors a = {0}, b = {0};
    int r = lb_safetensors_open(in, &a, err);
    for (size_t i = a.n; !r && i-- > 0;)
        r = lb_safetensors_add(&b, a.items[i].name, &a.items[i].t, err);
    const char *key;
    json_t *v;
    if (!r && a.metadata) {
        b.metadata = json_object();
        json_object_foreach(a.metadata, key, v) r = r ? r : lb_safetensors_meta(&b, key, json_string_value(v), err);
    }
    if (!r)
        r = lb_safetensors_write(&b, out, err);
    lb_safetensors_finish(&b);
    lb_safetensors_finish(&a);
    return r;
}

/* Adds a tensor whose bytes follow from its dtype; the Python side has the same formula. */
static int add(struct lb_safetensors *st, const char *name, int id, unsigned ndim, const size_t *shape, struct lb_err *err)
{
    struct lb_tensor t;
    if (lb_tensor_init(&t, (enum lb_dtype_id)id, ndim, shape, err))
        return -1;
    for (size_t i = 0; i < t.bytes; i++)
        t.data[i] = (unsigned char)((i * 37 + (size_t)id * 11) & (id == LB_BOOL ? 1 : 255));
    int r = lb_safetensors_add(st, name, &t, err);
    lb_tensor_finish(&t);
    return r;
}

static int make(const char *out, int f6, struct lb_err *err)
{
    struct lb_safetensors st = {0};
    int r = 0;
    for (int id = 0; id < LB_DTYPES && !r; id++)
        if (f6 || (id != LB_F6_E2M3 && id != LB_F6_E3M2))
            r = add(&st, lb_dtypes[id].name, id, 2, (const size_t[]){3, 8}, err);
    r = r || add(&st, "scalar", LB_F32, 0, NULL, err) || add(&st, "none", LB_I64, 2, (const size_t[]){0, 5}, err) ||
        add(&st, "none of F4", LB_F4, 1, (const size_t[]){0}, err) || lb_safetensors_write(&st, out, err);
    lb_safetensors_finish(&st);
    return r ? -1 : 0;
}

static void verdict(const char *path)
{
    struct lb_safetensors st;
    struct lb_err err = {0};
    int r = lb_safetensors_open(path, &st, &err);
    puts(r ? err.text : "ok");
    lb_safetensors_finish(&st);
}

int main(int argc, char **argv)
{
    struct lb_err err = {0};
    int r = -1;
    if (argc == 4 && !strcmp(argv[1], "copy"))
        r = copy(argv[2], argv[3], &err);
    else if (argc >= 3 && !strcmp(argv[1], "make"))
        r = make(argv[2], argc == 4 && !strcmp(argv[3], "f6"), &err);
    else if (argc >= 2 && !strcmp(argv[1], "verdict")) {
        r = 0;
        for (int i = 2; i < argc; i++)
            verdict(argv[i]);
    } else
        lb_fail(&err, "usage: safetensors_copy copy IN OUT | make OUT [f6] | verdict FILE...");
    if (r)
        fprintf(stderr, "safetensors_copy: %s\n", err.text);
    return r ? 2 : 0;
}
