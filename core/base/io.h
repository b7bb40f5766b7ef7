/* SPDX-License-Identifier: MIT */
/* io.h - files and hashes. Files are written as temp + fsync + rename, so that a reader sees the old one or the whole new one. */
#ifndef LB_IO_H
#define LB_IO_H

#include "core/base/err.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A file mapped read-only. An empty file has data == NULL and size 0. Where another process makes the file shorter, whoever reads behind its new end ends the
 * process (map_watch.h). */
struct lb_map {
    const unsigned char *data;
    size_t size;
};
int lb_map_open(const char *path, struct lb_map *m, struct lb_err *err);
int lb_map_open_as(const char *path, const char *name, struct lb_map *m, struct lb_err *err); /* `name`: what messages call it */
void lb_map_close(struct lb_map *m);

/* The whole file as NUL-ended text; *size, if not NULL, without that NUL. The caller frees it with lb_free. */
char *lb_read_file(const char *path, size_t *size, struct lb_err *err);
int lb_write_file(const char *path, const void *data, size_t n, struct lb_err *err);

/* A file on its way: write to f->out, then commit (fsync + rename) or abort. Both are safe on a zeroed struct; abort after commit does nothing. */
struct lb_out {
    FILE *out;
    char path[4096], temp[4160];
};
int lb_out_open(struct lb_out *f, const char *path, struct lb_err *err);
int lb_out_commit(struct lb_out *f, struct lb_err *err);
void lb_out_abort(struct lb_out *f);

/* Removes the files from the folder (no link to one) that processes left when they ended before commit or abort, and says how many. Those of processes that
 * live, on any machine, stay; so do names that are not of this form, and what cannot be locked. */
size_t lb_remove_unfinished(const char *folder);

int lb_make_dirs(const char *path, struct lb_err *err); /* mkdir -p */
int lb_exists(const char *path);
void lb_sync_folder(const char *path); /* of a file: that it is there survives a power cut */

/* SHA-256 as 64 hexadecimal digits and a NUL. */
struct lb_sha256;
struct lb_sha256 *lb_sha256_create(struct lb_err *err);
void lb_sha256_add(struct lb_sha256 *h, const void *data, size_t n);
void lb_sha256_end(struct lb_sha256 *h, char hex[65]); /* also destroys h */
int lb_sha256(const void *data, size_t n, char hex[65], struct lb_err *err);
int lb_sha256_file(const char *path, char hex[65], struct lb_err *err);

double lb_seconds(void); /* monotonic clock */

#endif
