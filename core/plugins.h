/* SPDX-License-Identifier: MIT */
/* plugins.h - finds, checks and loads plugins. The registry is the process's own; it is filled once by lb_plugins_load. */
#ifndef LB_PLUGINS_H
#define LB_PLUGINS_H

#include "core/base/err.h"
#include "core/plugin.h"

/* One plugin of one file, or a file that was refused (plugin == NULL, why set). */
struct lb_entry {
    const struct lb_plugin *plugin; /* points to the host's own whole-size copy of the struct */
    char *name;                     /* the plugin's, or the file's without .so where it was refused */
    char *file;
    char file_sha256[65];
    char *why;    /* refused: the reason. Else NULL */
    int missing;  /* refused only because this machine lacks a library: trials that want it are skipped */
    int shadowed; /* an earlier folder has one of this name */
};

/* Loads every .so of the folders: `dirs` (--plugins, may be NULL), LOWBIT_PLUGIN_PATH, plugins/ beside the executable, its
 * ../lib/lowbit, PREFIX/lib/lowbit. Refusals
 * are entries, logged as warnings; -1 only where memory is out or --plugins names no folder. */
int lb_plugins_load(const char *dirs, struct lb_err *err);
/* Loads one file, whose plugins then win over all others of their names. -1 where it is refused. */
int lb_plugins_load_file(const char *path, struct lb_err *err);
/* Forgets all and frees it. The shared objects stay mapped: a library that a plugin brought may have threads. */
void lb_plugins_unload(void);

size_t lb_plugins_count(void);
const struct lb_entry *lb_plugins_at(size_t i);

/* By name (codecs also by alias; names are matched exactly, then without regard to case). NULL with an error that suggests the nearest name. */
const struct lb_entry *lb_plugins_find(uint32_t kind, const char *name, struct lb_err *err);

/* The entry of a file of that name that was refused, or NULL. Where it is `missing` a library, trials that want it are skipped. */
const struct lb_entry *lb_plugins_refused(const char *name);

/* A codec with its parameters taken; freed by lb_plugins_codec_free. */
int lb_plugins_codec(const char *name, const struct lb_param *params, size_t n, struct lb_codec **out, const struct lb_entry **entry,
                     struct lb_err *err);
void lb_plugins_codec_free(struct lb_codec *c);

/* The nearest of n words to `word` by edit distance, or NULL where none is near. For "did you mean". */
const char *lb_nearest(const char *word, const char *const *words, size_t n);

#endif
