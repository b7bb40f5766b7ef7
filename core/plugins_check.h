/* SPDX-License-Identifier: MIT */
/* plugins_check.h - what a plugin must be before anything of it is called. Errors say what was found and what was wanted. */
#ifndef LB_PLUGINS_CHECK_H
#define LB_PLUGINS_CHECK_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <stddef.h>

/* The sizes that the structs had when ABI 1 began. They never grow with the structs: a plugin built then must still load. */
#define LB_CODEC_FIRST_SIZE   (offsetof(struct lb_codec, glsl) + sizeof(const char *))
#define LB_BACKEND_FIRST_SIZE (offsetof(struct lb_backend, sgd) + sizeof(void (*)(void)))

enum { LB_NAME_MAX = 63 };

/* abi, kind, size, name and help: what can be read of any plugin, of whatever ABI. */
int lb_plugins_check_base(const struct lb_plugin *p, struct lb_err *err);

/* The rest, on a whole-size copy: hooks and numbers. Also after `init`, which may have changed them. */
int lb_plugins_check_codec(const struct lb_codec *c, struct lb_err *err);
int lb_plugins_check_backend(const struct lb_backend *b, struct lb_err *err);

/* The next of the blank-separated words at *at, at most size - 1 characters of it; *at moves behind it. Its length, 0 at the end. */
size_t lb_plugins_word(const char **at, char *word, size_t size);

#endif
