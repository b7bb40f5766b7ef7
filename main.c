/* SPDX-License-Identifier: MIT */
/* lowbit: what a number format costs a neural network. Everything is in core/; this file only starts it. */
#include "core/base/reserve.h"
#include "core/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Where a standard stream was closed, a file opened later would take its number, and messages would go into it. What stands in for it now refuses to be
 * used, as the closed one did. */
static void fill_closed_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

int main(int argc, char **argv)
{
    fill_closed_streams();
    lb_reserve_start();
    signal(SIGXFSZ, SIG_IGN); /* a file past the limit of its size (ulimit -f) is an error of the write */
    setlocale(LC_ALL, "C");   /* a decimal point is a point, whatever the user's language */
    int status = lb_main(argc, argv);
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "error: standard output: %s\n", errno ? strerror(errno) : "cannot be written");
        return 2;
    }
    return status;
}
