/* SPDX-License-Identifier: MIT */
#include "core/run/shard.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A whole number from 0 to 999,999,999, whatever follows. */
static int digits(const char **at, size_t *out)
{
    const size_t n = strspn(*at, "0123456789");
    if (n < 1 || n > 9)
        return -1;
    *out = strtoul(*at, NULL, 10);
    *at += n;
    return 0;
}

int lb_shard_parse(const char *text, struct lb_shard *s, struct lb_err *err)
{
    const char *at = text;
    *s = (struct lb_shard){0};
    if (!strcmp(text, "none"))
        return 0;
    if (digits(&at, &s->index) || *at++ != '/' || digits(&at, &s->count) || *at || s->index < 1 || s->index > s->count)
        return lb_fail(err, "--shard: expected I/N with I from 1 to N, or none, found \"%.100s\"", text);
    return 0;
}

/* A variable of Slurm's; `otherwise` where it is not set. */
static int variable(const char *name, size_t otherwise, size_t *out, struct lb_err *err)
{
    const char *text = getenv(name), *at = text;
    *out = otherwise;
    if (text && (digits(&at, out) || *at))
        return lb_fail(err, "%s: expected a whole number, found \"%.100s\"; --shard none runs all trials", name, text);
    return 0;
}

int lb_shard_of_slurm(struct lb_shard *s, struct lb_err *err)
{
    size_t id, first, step;
    *s = (struct lb_shard){0};
    if (!getenv("SLURM_ARRAY_TASK_ID") || !getenv("SLURM_ARRAY_TASK_COUNT"))
        return 0;
    if (variable("SLURM_ARRAY_TASK_ID", 1, &id, err) || variable("SLURM_ARRAY_TASK_COUNT", 1, &s->count, err) ||
        variable("SLURM_ARRAY_TASK_MIN", 1, &first, err) || variable("SLURM_ARRAY_TASK_STEP", 1, &step, err))
        return -1;
    s->index = step && id >= first ? (id - first) / step + 1 : 0;
    if (s->index < 1 || s->index > s->count)
        return lb_fail(err,
                       "SLURM_ARRAY_TASK_ID: %zu is not among the %zu tasks from %zu in steps of %zu (an array with gaps?); --shard I/N "
                       "says which share "
                       "this is",
                       id, s->count, first, step);
    return 0;
}

char *lb_shard_trials(const struct lb_shard *s, size_t n_trials, struct lb_err *err)
{
    char *mine = lb_alloc(n_trials + 1, 1, err);
    for (size_t i = 0; mine && i < n_trials; i++)
        mine[i] = !s->count || (size_t)((unsigned __int128)i * s->count / n_trials) + 1 == s->index;
    return mine;
}

int lb_shard_folder(const struct lb_shard *s, const char *folder, char out[4096], struct lb_err *err)
{
    const int n = s->count ? snprintf(out, 4096, "%s/shard-%zu-of-%zu", folder, s->index, s->count) : snprintf(out, 4096, "%s", folder);
    return n < 0 || n >= 4096 ? lb_fail(err, "%.200s...: the path is too long", folder) : 0;
}

int lb_shard_is_folder(const char *name)
{
    struct lb_shard s;
    int used = 0;
    return sscanf(name, "shard-%9zu-of-%9zu%n", &s.index, &s.count, &used) == 2 && !name[used] && s.index >= 1 && s.index <= s.count;
}
