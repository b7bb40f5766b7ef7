/* SPDX-License-Identifier: MIT */
#include "core/run/plot.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GNUPLOT_SECONDS = 30 };

/* Text that is safe between double quotes in gnuplot. */
static void put_quoted(struct lb_text *t, const char *s)
{
    lb_text_add(t, "\"");
    for (; *s; s++)
        lb_text_add(t, "%c", *s == '"' || *s == '\\' || *s == '`' || (unsigned char)*s < ' ' ? '\'' : *s);
    lb_text_add(t, "\"");
}

/* Lines "place top1 quality name", one for each trial that has them; trials that differ in the seed alone share a place. How many places. */
static size_t put_points(struct lb_text *t, const json_t *experiment, const json_t *trials)
{
    const int models = json_array_size(json_object_get(experiment, "models")) > 1;
    const int backends = json_array_size(json_object_get(experiment, "backends")) > 1;
    json_t *places = json_object(), *trial;
    size_t i;
    json_array_foreach(trials, i, trial)
    {
        const json_t *row = json_object_get(trial, "row"), *top1 = json_object_get(row, "top1"), *quality = json_object_get(row, "quality");
        const char *format = json_string_value(json_object_get(trial, "format")),
                   *model = json_string_value(json_object_get(trial, "model"));
        const char *backend = json_string_value(json_object_get(trial, "backend"));
        if (!json_is_number(top1) || !json_is_number(quality) || !format || !model || !backend)
            continue;
        struct lb_text name = {0};
        lb_text_add(&name, "%s%s%s%s%s", models ? model : "", models ? " " : "", format, backends ? " " : "", backends ? backend : "");
        if (name.s && !json_object_get(places, name.s))
            json_object_set_new(places, name.s, json_integer((json_int_t)json_object_size(places)));
        lb_text_add(t, "%lld %.9g %.9g ", (long long)(name.s ? json_integer_value(json_object_get(places, name.s)) : 0),
                    json_number_value(top1), json_number_value(quality));
        put_quoted(t, name.s ? name.s : "");
        lb_text_add(t, "\n");
        lb_text_free(&name);
    }
    const size_t n = json_object_size(places);
    json_decref(places);
    return n;
}

static size_t make_script(struct lb_text *t, const char *path, const json_t *experiment, const json_t *trials)
{
    const char *title = json_string_value(json_object_get(experiment, "title")),
               *name = json_string_value(json_object_get(experiment, "name"));
    lb_text_add(t, "$points << END_OF_POINTS\n");
    const size_t n = put_points(t, experiment, trials);
    lb_text_add(t, "END_OF_POINTS\nset terminal svg noenhanced size %zu,520\nset output ", 28 * n + 200);
    put_quoted(t, path);
    lb_text_add(t, "\nset title ");
    put_quoted(t, title && *title ? title : name ? name : "");
    lb_text_add(t,
                "\nset ylabel \"percent\"\nset yrange [-4:104]\nset xrange [-1:%zu]\nset xtics rotate by -55 font \",10\"\nset grid\nset "
                "key outside top right\n"
                "plot $points using 1:2:xticlabels(4) with points pointtype 7 pointsize 0.7 title \"top-1\", "
                "$points using 1:3 with points pointtype 4 pointsize 0.9 title \"quality\"\n",
                n);
    return n;
}

/* Runs gnuplot on the script. Its exit status, or 127 where it could not be started. */
static int run_gnuplot(const char *script, size_t n)
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
        dup2(null, 1);
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

int lb_plot_write(const char *folder, const json_t *experiment, const json_t *trials, struct lb_err *err)
{
    char path[4200], temp[4240];
    struct lb_text t = {0};
    snprintf(path, sizeof path, "%s/plot.svg", folder);
    snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid());
    const size_t points = make_script(&t, temp, experiment, trials);
    if (lb_text_end(&t, err))
        return -1;
    const int status = points ? run_gnuplot(t.s, t.n) : 0;
    lb_text_free(&t);
    if (status)
        lb_log(LB_LOG_INFO, status == 127 ? "%s was not drawn: there is no gnuplot here" : "%s was not drawn: gnuplot failed", path);
    if (status || !points)
        unlink(temp);
    else if (rename(temp, path))
        return lb_fail(err, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}
