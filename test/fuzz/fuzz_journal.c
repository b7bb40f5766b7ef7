/* SPDX-License-Identifier: MIT */
/* Journals: read, reported on, and healed as a run that goes on does. The first byte says whether the lines' checksums are put right first. */
#include "test/fuzz/fuzz.h"
#include "core/base/mem.h"
#include "core/run/report.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <zlib.h>

enum { MARK = 20 /* ,"crc32":"01234567" and } */ };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_start();
    return 0;
}

/* In place of libc's: a report would start gnuplot five times. It goes on without. */
pid_t fork(void)
{
    errno = EAGAIN;
    return -1;
}

/* A line as it is written, whatever its own checksum says. */
static void put_line(struct lb_text *t, const char *line, size_t n)
{
    const char *mark = n > MARK ? line + n - MARK : line;
    n -= n > MARK && !memcmp(mark, ",\"crc32\":\"", 10) ? MARK : n && line[n - 1] == '}' ? 1 : 0;
    lb_text_put(t, line, n);
    lb_text_add(t, ",\"crc32\":\"%08lx\"}\n", crc32_z(0, (const unsigned char *)line, n));
}

static void put_right(const char *data, size_t n)
{
    struct lb_text t = {0};
    for (size_t at = 0; at < n;) {
        const char *end = memchr(data + at, '\n', n - at);
        const size_t length = end ? (size_t)(end - data) - at : n - at;
        put_line(&t, data + at, length);
        at += length + 1;
    }
    fuzz_file("trials.jsonl", t.s ? t.s : "", t.n);
    lb_text_free(&t);
}

/* What a line holds is asked for by its number, and by kind and hash. */
static void read_lines(struct lb_journal *j)
{
    for (size_t i = 0; i < j->n; i++) {
        const json_t *line = lb_journal_line(j, i);
        const char *kind = json_string_value(json_object_get(line, "kind")), *hash = json_string_value(json_object_get(line, "trial"));
        if (kind && hash)
            lb_journal_find(j, kind, hash);
    }
}

static void use(enum lb_journal_use how)
{
    struct lb_err err = {0};
    struct lb_journal j;
    const int failed = lb_journal_open(fuzz_path(""), how, &j, &err);
    fuzz_result(failed, &err);
    if (failed)
        return;
    read_lines(&j);
    if (how == LB_JOURNAL_READ)
        fuzz_result(lb_report_write(fuzz_path(""), &j, NULL, &err), &err);
    else
        fuzz_result(lb_journal_append(&j, json_pack("{ss,ss}", "kind", "trial", "trial", "00"), &err), &err);
    lb_journal_close(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    const size_t before = lb_mem_now();
    if (*data & 1)
        put_right((const char *)data + 1, n - 1);
    else
        fuzz_file("trials.jsonl", data + 1, n - 1);
    use(LB_JOURNAL_READ);
    use(LB_JOURNAL_WRITE);
    use(LB_JOURNAL_READ); /* what is healed is whole */
    fuzz_balance(before);
    return 0;
}
