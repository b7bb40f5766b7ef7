/* SPDX-License-Identifier: MIT */
/* run_cost.c - what isolation and the journal cost: 1,000 trials that do nothing, each a child and a line of the length of a trial's, in a parent that
 * holds MNIST's 190 MB; then a journal of 100,000 lines is read. Prints the figures; run_cost FOLDER. */
#include "core/base/child.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/run/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRIALS = 1000, LINES = 100000, HELD = 190 << 20, LINE = 2500 };

static int nothing(void *arg, json_t *reply, struct lb_err *err)
{
    (void)arg, (void)err;
    return json_object_set_new(reply, "row", json_object());
}

static json_t *line(size_t i)
{
    static char text[LINE];
    char hash[65];
    snprintf(hash, sizeof hash, "%064zx", i);
    memset(text, 'x', sizeof text - 1);
    return json_pack("{ss,ss,ss,ss}", "kind", "trial", "trial", hash, "status", "ok", "row", text);
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int trials(struct lb_journal *j, struct lb_err *err)
{
    static double child[TRIALS], all[TRIALS];
    for (size_t i = 0; i < TRIALS; i++) {
        struct lb_outcome o;
        const double start = lb_seconds();
        lb_child_run(nothing, NULL, &(struct lb_child_limits){.seconds = 60}, &o);
        child[i] = lb_seconds() - start;
        json_decref(o.reply);
        if (o.status != LB_OK || lb_journal_append(j, line(i), err))
            return lb_fail(err, "%s", o.why);
        all[i] = lb_seconds() - start;
    }
    double sum = 0;
    for (size_t i = 0; i < TRIALS; i++)
        sum += all[i];
    qsort(child, TRIALS, sizeof *child, by_number);
    qsort(all, TRIALS, sizeof *all, by_number);
    printf("%d trials: %.2f ms each (median %.2f, of them the child %.2f)\n", TRIALS, 1e3 * sum / TRIALS, 1e3 * all[TRIALS / 2],
           1e3 * child[TRIALS / 2]);
    return 0;
}

static int reading(struct lb_journal *j, const char *folder, struct lb_err *err)
{
    j->lazy = 1;
    for (size_t i = TRIALS; i < LINES; i++)
        if (lb_journal_append(j, line(i), err))
            return -1;
    lb_journal_close(j);
    const double start = lb_seconds();
    if (lb_journal_open(folder, LB_JOURNAL_READ, j, err))
        return -1;
    printf("%zu lines, %.0f MB: read in %.2f s\n", j->n, 1e-6 * (double)LINES * (LINE + 120), lb_seconds() - start);
    return j->n == LINES ? 0 : lb_fail(err, "%zu lines", j->n);
}

int main(int argc, char **argv)
{
    struct lb_err err = {0};
    struct lb_journal j = {.fd = -1};
    char *held = argc == 2 ? lb_alloc(HELD, 1, &err) : NULL;
    if (held)
        memset(held, 1, HELD);
    const int failed = !held || lb_make_dirs(argv[1], &err) || lb_journal_open(argv[1], LB_JOURNAL_WRITE, &j, &err) || trials(&j, &err) ||
                       reading(&j, argv[1], &err);
    if (failed)
        fprintf(stderr, "run_cost: %s\n", err.set ? err.text : "expected FOLDER");
    lb_journal_close(&j);
    lb_free(held);
    return failed ? 2 : 0;
}
