/* SPDX-License-Identifier: MIT */
/* safetensors.h - reads (mapped) and writes safetensors files. Format: FACTS, "safetensors"; every malformed class is an error, never a crash. */
#ifndef LB_SAFETENSORS_H
#define LB_SAFETENSORS_H

#include "core/base/err.h"
#include "core/base/io.h"
#include "core/format/tensor.h"
#include <jansson.h>

struct lb_named {
    char *name;
    struct lb_tensor t;
};

/* An open file, or a collection to be written. Zero-initialise; finish frees everything. */
struct lb_safetensors {
    struct lb_map map; /* open file; tensors are read-only views of it */
    json_t *metadata;  /* object of strings, or NULL */
    struct lb_named *items;
    size_t n, cap;
    json_t *index; /* name -> place in items */
};

/* Reads and checks the whole header. Items come in the order of their data. Errors name the file and the tensor. Unknown fields of a tensor are
 * ignored, as the reference reader does; more than LB_MAX_DIMS dimensions, a number above 2^63 - 1, a NUL in any text, a duplicate tensor
 * name or metadata key, a tensor that is a list and a `__metadata__` of null are refused, which it does not do. On error st is left empty. */
int lb_safetensors_open(const char *path, struct lb_safetensors *st, struct lb_err *err);
void lb_safetensors_finish(struct lb_safetensors *st);

/* The tensor of that name, or NULL. */
const struct lb_tensor *lb_safetensors_find(const struct lb_safetensors *st, const char *name);

/* Adds a tensor. `t` is taken over where it is owned (t is left a view), else a view of the caller's data is kept. A name twice is an error. */
int lb_safetensors_add(struct lb_safetensors *st, const char *name, struct lb_tensor *t, struct lb_err *err);
int lb_safetensors_meta(struct lb_safetensors *st, const char *key, const char *value, struct lb_err *err);

/* Writes atomically, in the reference writer's order: widest alignment first, then by name; header padded with blanks to 8 bytes; metadata first,
 * keys sorted. Same content, same bytes. */
int lb_safetensors_write(const struct lb_safetensors *st, const char *path, struct lb_err *err);

/* A tensor's name for messages and tables: control characters and backslashes are escaped; shortened with "..." to fit `size` (>= 8).
 * Returns buf. */
char *lb_name_text(const char *name, char *buf, size_t size);

/* SHA-256 over the tensors sorted by name: for each, name, NUL, tag, NUL, shape as decimal "a,b,c", NUL, then its bytes. */
int lb_safetensors_sha256(const struct lb_safetensors *st, char hex[65], struct lb_err *err);

#endif
