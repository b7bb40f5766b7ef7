/* SPDX-License-Identifier: MIT */
#include "core/format/dtype.h"
#include "core/base/mem.h"

#include <string.h>

/* In the reference writer's order of alignment: its files are sorted by this position, descending. */
const struct lb_dtype lb_dtypes[LB_DTYPES] = {
    [LB_BOOL] = {"BOOL", 8},
    [LB_F4] = {"F4", 4},
    [LB_F6_E2M3] = {"F6_E2M3", 6},
    [LB_F6_E3M2] = {"F6_E3M2", 6},
    [LB_U8] = {"U8", 8},
    [LB_I8] = {"I8", 8},
    [LB_F8_E5M2] = {"F8_E5M2", 8},
    [LB_F8_E4M3] = {"F8_E4M3", 8},
    [LB_F8_E8M0] = {"F8_E8M0", 8},
    [LB_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [LB_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [LB_I16] = {"I16", 16},
    [LB_U16] = {"U16", 16},
    [LB_F16] = {"F16", 16},
    [LB_BF16] = {"BF16", 16},
    [LB_I32] = {"I32", 32},
    [LB_U32] = {"U32", 32},
    [LB_F32] = {"F32", 32},
    [LB_C64] = {"C64", 64},
    [LB_F64] = {"F64", 64},
    [LB_I64] = {"I64", 64},
    [LB_U64] = {"U64", 64},
};

int lb_dtype_find(const char *name)
{
    for (int i = 0; i < LB_DTYPES; i++)
        if (!strcmp(lb_dtypes[i].name, name))
            return i;
    return -1;
}

int lb_dtype_bytes(enum lb_dtype_id id, size_t n, size_t *bytes)
{
    unsigned bits = lb_dtypes[id].bits;
    if (bits % 8 == 0)
        return lb_mul(n, bits / 8, bytes);
    /* n * bits could overflow where the bytes do not. */
    *bytes = n / 8 * bits + (n % 8 * bits + 7) / 8;
    return 0;
}

int lb_dtype_fills(enum lb_dtype_id id, size_t n)
{
    return n % 8 * lb_dtypes[id].bits % 8 == 0;
}
