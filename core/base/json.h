/* SPDX-License-Identifier: MIT */
/* json.h - the one JSON reader: jansson, plus what it does not keep, the place of each value in the text. */
#ifndef LB_JSON_H
#define LB_JSON_H

#include "core/base/err.h"
#include <jansson.h>
#include <stddef.h>

/* json_loadb and json_dumps, but NULL wherever memory was out in between (reserve.h); then the code in *e is json_error_out_of_memory. What lb_json_dump gives is
 * freed with lb_free. */
json_t *lb_json_load(const char *text, size_t n, size_t flags, json_error_t *e);
char *lb_json_dump(const json_t *value, size_t flags);

/* Parses text (n bytes, from `name`), duplicate keys and trailing text rejected. Errors read "name:line:column: ...". A new reference, or NULL. */
json_t *lb_json_parse(const char *text, size_t n, const char *name, struct lb_err *err);

/* The place (1-based line and column, in characters) of the value at `path`, such as "model.layers[2].filters", in valid JSON text; where the
 * path is absent, the place of the deepest ancestor that exists. An empty path is the whole value. With `key`, the place of the key itself. */
void lb_json_locate(const char *text, const char *path, int key, int *line, int *column);

/* A JSON string of any bytes: where they are no UTF-8 (a path, a plugin's own words), '?' stands for each that is not ASCII. A new reference, or NULL
 * where memory is out. */
json_t *lb_json_text(const char *s);

/* Canonical text: sorted keys, no blanks. Equal values give equal text. Freed with lb_free. */
char *lb_json_canonical(const json_t *value, struct lb_err *err);

/* Sets the value at path ("train.epochs", "formats[0].scale") to `text`, read as JSON, or as a string where it is no JSON; null takes the
 * key out. Missing objects are made. */
int lb_json_set(json_t *root, const char *path, const char *text, struct lb_err *err);

#endif
