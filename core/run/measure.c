/* SPDX-License-Identifier: MIT */
#include "core/run/measure.h"
#include "core/base/json.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/nn/model.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A line of /proc/self/status in bytes: "VmRSS: %zu kB", the resident size, or "VmHWM: %zu kB", its highest. */
static size_t status_bytes(const char *format)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    size_t kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, format, &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib * 1024;
}

/* The highest resident size is counted anew from here. Where the kernel does not do that, it stays what start-up made of it. */
static void reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

static int infer(const struct lb_measure *m, struct lb_dev *d, const float *x, float *y, struct lb_err *err)
{
    struct lb_model *model = NULL;
    struct lb_net *net = NULL;
    struct lb_format *activations = NULL;
    struct lb_safetensors st = {0};
    int r = lb_model_shape(m->model, m->channels, m->height, m->width, m->classes, &model, err) || lb_safetensors_open(m->file, &st, err) ||
                    (m->activations && lb_format_create(m->activations, &activations, err))
                ? -1
                : 0;
    const struct lb_net_format f = {
        .weights = &st, .activations = activations, .sums = m->sums, .integer = m->integer, .integer_block = m->integer_block};
    r = r || lb_net_create_packed(model, d, m->batch, &f, &net, err) ? -1 : 0;
    lb_safetensors_finish(&st); /* the net has copies */
    r = r || lb_net_infer(net, x, m->batch, y, NULL, err) ? -1 : 0;
    lb_net_destroy(net);
    lb_format_destroy(activations);
    lb_model_destroy(model);
    return r;
}

int lb_measure(const struct lb_measure *m, json_t *reply, struct lb_err *err)
{
    struct lb_dev *d = NULL;
    struct lb_backend_options options;
    char why[256];
    const struct lb_entry *e = lb_plugins_find(LB_BACKEND, m->backend->backend, err);
    if (!e)
        return -1;
    if (lb_plan_backend_options(m->backend, &m->options, &options, why, sizeof why))
        return lb_fail(err, "backend %s: %s", m->backend->name, why);
    if (lb_backend_open((const struct lb_backend *)e->plugin, &options, &d, err))
        return -1;
    float *x = lb_alloc(m->batch * m->channels * m->height * m->width, sizeof *x, err),
          *y = lb_alloc(m->batch * m->classes, sizeof *y, err);
    const size_t before = lb_mem_now();
    lb_mem_reset_peak();
    reset_peak();
    const size_t resident = status_bytes("VmRSS: %zu kB");
    const int r = !x || !y || infer(m, d, x, y, err) ? -1 : 0;
    const size_t peak = status_bytes("VmHWM: %zu kB");
    const int lost = json_object_set_new(reply, "tensor_bytes", json_integer((json_int_t)(lb_mem_peak() - before))) ||
                     json_object_set_new(reply, "rss_delta_bytes", json_integer((json_int_t)(peak > resident ? peak - resident : 0)));
    lb_free(x);
    lb_free(y);
    lb_backend_close(d);
    return !r && lost ? lb_fail(err, "out of memory: reply") : r;
}

/* Runs argv, and reads the JSON that it prints. */
static int run_fresh(char *const *argv, size_t *tensor_bytes, size_t *rss, struct lb_err *err)
{
    int ends[2], status = 0;
    char exe[4096];
    const ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1); /* the path itself: valgrind cannot run the link */
    if (length < 0)
        return lb_fail(err, "/proc/self/exe: %s", strerror(errno));
    exe[length] = 0;
    if (pipe2(ends, O_CLOEXEC))
        return lb_fail(err, "pipe: %s", strerror(errno));
    fflush(NULL);
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(ends[1], 1) < 0)
            _exit(126);
        execv(exe, argv);
        _exit(127);
    }
    close(ends[1]);
    char text[4096];
    size_t n = 0;
    for (ssize_t got; n < sizeof text && ((got = read(ends[0], text + n, sizeof text - n)) > 0 || (got < 0 && errno == EINTR));)
        n += got > 0 ? (size_t)got : 0;
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    json_error_t e;
    json_t *o = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? lb_json_load(text, n, 0, &e) : NULL;
    *tensor_bytes = (size_t)json_integer_value(json_object_get(o, "tensor_bytes"));
    *rss = (size_t)json_integer_value(json_object_get(o, "rss_delta_bytes"));
    const int bad = !json_is_integer(json_object_get(o, "tensor_bytes")) || !json_is_integer(json_object_get(o, "rss_delta_bytes"));
    json_decref(o);
    if (bad && pid > 0 && WIFSIGNALED(status))
        return lb_fail(err, "the process that measures memory: signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return bad ? lb_fail(err, "the process that measures memory failed (status %d)", pid < 0 ? -1 : WEXITSTATUS(status)) : 0;
}

int lb_measure_fresh(const struct lb_plan *p, const struct lb_trial *t, size_t batch, const char *file, size_t *tensor_bytes, size_t *rss,
                     struct lb_err *err)
{
    const struct lb_dataset *d = &p->data;
    struct lb_text backend = {0};
    char input[128], model[32], format[32], cpumask[32], threads[32];
    snprintf(input, sizeof input, "%zu,%zu,%zu,%zu,%zu", d->channels, d->height, d->width, d->classes, batch);
    snprintf(model, sizeof model, "%zu", t->model);
    snprintf(format, sizeof format, "%zu", t->format);
    snprintf(cpumask, sizeof cpumask, "%u", p->options.cpumask & 0x7fffffff);
    snprintf(threads, sizeof threads, "%u", p->options.threads);
    const char *const fixed[] = {"lowbit",  "measure", p->e->path,  "--model", model, "--format", format, "--mode", p->e->modes[t->mode],
                                 "--input", input,     "--cpumask", cpumask,   "-qq"}; /* warnings about plugins were given */
    enum { FIXED = sizeof fixed / sizeof *fixed, MORE = 12 }; /* MORE: what is added below, but for --set, and the NULL at the end */
    const char **argv = lb_alloc(FIXED + MORE + 2 * p->e->n_sets, sizeof *argv, err);
    size_t n = FIXED;
    if (!argv)
        return -1;
    memcpy(argv, fixed, sizeof fixed);
    if (p->options.threads) {
        argv[n++] = "--threads";
        argv[n++] = threads;
    }
    if (p->options.device) {
        argv[n++] = "--device";
        argv[n++] = p->options.device;
    }
    if (p->options.plugins) {
        argv[n++] = "--plugins";
        argv[n++] = p->options.plugins;
    }
    for (size_t i = 0; i < p->e->n_sets; i++) {
        argv[n++] = "--set";
        argv[n++] = p->e->sets[i];
    }
    char *json = lb_json_dump(p->backends[t->backend].config->json, JSON_COMPACT);
    lb_text_add(&backend, "backends=[%s]", json ? json : "");
    lb_free(json);
    argv[n++] = "--set"; /* behind the config's own, which may name several */
    argv[n++] = backend.s;
    argv[n++] = "--file";
    argv[n++] = file;
    const int r = lb_text_end(&backend, err) || run_fresh((char *const *)(uintptr_t)argv, tensor_bytes, rss, err) ? -1 : 0;
    lb_text_free(&backend);
    lb_free(argv);
    return r;
}
