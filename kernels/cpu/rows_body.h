/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/vec.h"
#include "kernels/cpu/rows.h"
