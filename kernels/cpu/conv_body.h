/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/vec.h"
#include "kernels/cpu/conv.h"
