/* SPDX-License-Identifier: MIT */
/* fuzz.h - what the fuzz targets share. They run from the root of the tree; test/fuzz/fuzz.sh starts them. Whatever the real functions should hold to
 * is checked by aborting: an error where there is a failure and only there, one line of text, and all memory given back. */
#ifndef LB_FUZZ_H
#define LB_FUZZ_H

#include "core/base/err.h"
#include "core/cmd/cmd.h"
#include "core/nn/backend.h"

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's, which has no header for C. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);

/* Makes a folder of this process's own below TMPDIR, loads the plugins beside the executable (fuzz.sh links them there) and opens cpu_ref. */
void fuzz_start(void);
struct lb_dev *fuzz_device(void);

/* The path of `name` in that folder, good until the process ends (up to 16 names). */
const char *fuzz_path(const char *name);
/* Writes a file there, over what it held. Its path. */
const char *fuzz_file(const char *name, const void *data, size_t n);
/* Copies a file of the tree there. */
void fuzz_copy(const char *from, const char *name);

/* Runs a command in this process as main would: fuzz_command(&lb_cmd_inspect, path, "--csv"); `more` may be NULL. */
void fuzz_command(const struct lb_command *c, const char *argument, const char *more);

/* A result and its error belong together; then the error is cleared for the next. */
void fuzz_result(int failed, struct lb_err *err);
/* As much memory is in use as `before` (lb_mem_now). */
void fuzz_balance(size_t before);

/* Loads a config and makes what it asks for, short of data: formats at work, models by their shapes. */
void fuzz_experiment(const char *path, const char *const *sets, size_t n_sets);

#endif
