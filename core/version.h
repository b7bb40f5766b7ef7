/* SPDX-License-Identifier: MIT */
/* version.h - of the program, and of the arithmetic that docs/arithmetic.md describes. */
#ifndef LB_VERSION_H
#define LB_VERSION_H

#define LB_VERSION "0.1.0"

/* Part of every trial's hash: changes whenever a rule changes the bits of a result. */
#define LB_ARITHMETIC "2"

#endif
