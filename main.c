/* SPDX-License-Identifier: MIT */
/* lowbit: what a number format costs a neural network. Everything is in core/; this file only starts it. */
#include "core/cmd/cmd.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C"); /* a decimal point is a point, whatever the user's language */
    int status = lb_main(argc, argv);
    if (fflush(stdout)) {
        fprintf(stderr, "error: standard output: %s\n", strerror(errno));
        return 2;
    }
    return status;
}
