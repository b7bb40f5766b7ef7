/* SPDX-License-Identifier: MIT */
#include "core/run/plot.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/run/figures.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GNUPLOT_SECONDS = 30 };

/* Runs gnuplot on the script; what it draws goes to `out`. Its exit status, or 127 where it could not be started. */
static int run_gnuplot(const char *script, size_t n, int out)
{
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC))
        return 127;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(GNUPLOT_SECONDS);
        const int null = open("/dev/null", O_WRONLY);
        dup2(ends[0], 0);
        dup2(out, 1);
        dup2(null, 2);
        execlp("gnuplot", "gnuplot", "-d", "-", (char *)NULL);
        _exit(127);
    }
    close(ends[0]);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    for (size_t at = 0; pid > 0 && at < n;) {
        const ssize_t done = write(ends[1], script + at, n - at);
        if (done <= 0 && errno != EINTR)
            break;
        at += done > 0 ? (size_t)done : 0;
    }
    close(ends[1]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    signal(SIGPIPE, before);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static int draw(const char *folder, const struct lb_figure *f, const json_t *experiment, const json_t *trials, struct lb_err *err)
{
    char path[4200];
    struct lb_text t = {0}, body = {0};
    struct lb_out out;
    snprintf(path, sizeof path, "%s/%s.svg", folder, f->name);
    unsigned width = 800, height = 520;
    const int any = f->make(experiment, trials, &body, &width, &height);
    lb_text_add(&t, "set terminal svg noenhanced size %u,%u\n%s", width, height, body.s ? body.s : "");
    const int lost = body.failed;
    lb_text_free(&body);
    if (lost || lb_text_end(&t, err))
        return lost ? lb_fail(err, "%s: out of memory", path) : -1;
    int r = any ? lb_out_open(&out, path, err) : 0;
    const int status = any && !r ? run_gnuplot(t.s, t.n, fileno(out.out)) : 0;
    lb_text_free(&t);
    if (!any || r)
        return r;
    if (!status)
        return lb_out_commit(&out, err);
    lb_out_abort(&out);
    lb_log(LB_LOG_INFO, status == 127 ? "%s was not drawn: there is no gnuplot here" : "%s was not drawn: gnuplot failed", path);
    return 0;
}

int lb_plot_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err)
{
    static const struct lb_figure figures[] = {{"plot", lb_figure_formats},
                                               {"pareto", lb_figure_pareto},
                                               {"layers", lb_figure_layers},
                                               {"codes", lb_figure_codes},
                                               {"outputs", lb_figure_outputs}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (draw(folder, &figures[i], experiment, trials, err))
            return -1;
    return 0;
}
