/* SPDX-License-Identifier: MIT */
#include "core/run/rehash.h"
#include "core/base/mem.h"
#include "core/format/safetensors.h"
#include "core/run/journal.h"
#include "core/run/trial.h"

#include <string.h>

/* One artifact: `want` is its SHA-256 in the journal. 1 where it is not that. */
static int check(const char *folder, int trained, const char *hash, const char *want, FILE *report)
{
    struct lb_safetensors st = {0};
    struct lb_err err = {0};
    char have[65] = "", *path = (trained ? lb_trained_path : lb_formatted_path)(folder, hash, &err);
    const int r = !path || lb_safetensors_open(path, &st, &err) || lb_safetensors_sha256(&st, have, &err);
    lb_safetensors_finish(&st);
    const int same = !r && !strcmp(have, want);
    if (r)
        fprintf(report, "FAILED  %s\n", err.text);
    else
        fprintf(report, same ? "ok      %s\n" : "FAILED  %s: its tensors are %s, the journal has %s\n", path, have, want);
    lb_free(path);
    return !same;
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
        const char *training = json_string_value(json_object_get(line, "kind"));
        const int trained = training && !strcmp(training, "train");
        const char *hash = json_string_value(json_object_get(line, trained ? "training" : "trial"));
        const char *sha = json_string_value(json_object_get(trained ? line : json_object_get(line, "row"), "weights_sha256"));
        if (!hash || !sha || json_object_get(seen, hash))
            continue;
        json_object_set_new(seen, hash, json_true());
        *bad += (size_t)check(folder, trained, hash, sha, report);
    }
    const size_t n = json_object_size(seen);
    fprintf(report, "%s: %zu files, %zu failed\n", folder, n, *bad);
    json_decref(seen);
    lb_journal_close(&j);
    return 0;
}
