/* SPDX-License-Identifier: MIT */
/* ops_verify.h - every op of a backend against cpu_ref in plain C, on seeded cases: odd shapes, offsets, special values. */
#ifndef LB_OPS_VERIFY_H
#define LB_OPS_VERIFY_H

#include "core/nn/backend.h"
#include <stdio.h>

/* Opens the backend with `options` (NULL: the defaults), runs the cases of ops_cases.c, and writes one line per op to `report`:
 *     gemm: ok (104 cases)
 *     conv2d: unsupported
 *     sgd: FAILED case 3 (n=33 ...), seed 4294967299: w[7]: expected 0x3f800000 (1), got 0x3f800001 (1.00000012); repeat with `lowbit verify ...`
 * What touches an address beside an array ends the process by SIGSEGV, after such a line as core/base/guard.h has; so does what reads an array that a hook was to copy.
 * A backend that declares `exact` must give the reference's bits, a NaN being 0x7FC00000, for special values too. Any other is given finite values, and may
 * differ by the rounding errors of a sum in any order: (terms + 32) 2^-23 times the sum of the magnitudes. Nothing beside the outputs may change.
 * Returns 0 if every op that the backend has passed; -1 with the error otherwise (the report is complete also then). The plugins must be loaded: cpu_ref is
 * found by its name. */
int lb_backend_verify(const struct lb_backend *b, const struct lb_backend_options *options, FILE *report, struct lb_err *err);

#endif
