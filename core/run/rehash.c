/* SPDX-License-Identifier: MIT */
#include "core/run/rehash.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"
#include "core/run/journal.h"
#include "core/run/trial.h"

#include <string.h>

/* What a line of the journal says of its file. 0 where it has none. */
struct artifact {
    int trained;
    const char *hash, *sha256;
};

static int artifact_of(const json_t *line, struct artifact *a)
{
    const char *kind = json_string_value(json_object_get(line, "kind"));
    a->trained = kind && !strcmp(kind, "train");
    a->hash = json_string_value(json_object_get(line, a->trained ? "training" : "trial"));
    a->sha256 = json_string_value(json_object_get(a->trained ? line : json_object_get(line, "row"), "weights_sha256"));
    return a->hash && a->sha256;
}

/* 1 where the file is not that. `report` may be NULL. */
static int check(const char *folder, const struct artifact *a, FILE *report)
{
    struct lb_safetensors st = {0};
    struct lb_err err = {0};
    char have[65] = "", *path = (a->trained ? lb_trained_path : lb_formatted_path)(folder, a->hash, &err);
    const int r = !path || lb_safetensors_open(path, &st, &err) || lb_safetensors_sha256(&st, have, &err);
    lb_safetensors_finish(&st);
    const int same = !r && !strcmp(have, a->sha256);
    if (report && r)
        fprintf(report, "FAILED  %s\n", err.text);
    else if (report)
        fprintf(report, same ? "ok      %s\n" : "FAILED  %s: its tensors are %s, the journal has %s\n", path, have, a->sha256);
    lb_free(path);
    return !same;
}

int lb_rehash_is_whole(const char *folder, const json_t *line)
{
    struct artifact a;
    return artifact_of(line, &a) && !check(folder, &a, NULL);
}

int lb_rehash(const char *folder, FILE *report, size_t *bad, struct lb_err *err)
{
    struct lb_journal j;
    json_t *seen = json_object(), *line;
    *bad = 0;
    if (lb_journal_open(folder, LB_JOURNAL_READ, &j, err)) {
        json_decref(seen);
        return -1;
    }
    for (size_t i = j.n; i-- > 0;) { /* the last line of a hash is the one that counts */
        line = lb_journal_line(&j, i);
        struct artifact a;
        if (!artifact_of(line, &a) || json_object_get(seen, a.hash))
            continue;
        json_object_set_new(seen, a.hash, json_true());
        *bad += (size_t)check(folder, &a, report);
    }
    const size_t n = json_object_size(seen);
    fprintf(report, "%s: %zu files, %zu failed%s\n", folder, n, *bad, *bad ? " (lowbit run --repair makes them again)" : "");
    json_decref(seen);
    lb_journal_close(&j);
    return 0;
}
