/* SPDX-License-Identifier: MIT */
#include "core/run/folder.h"
#include "core/base/log.h"

#include <stdio.h>

static const char *const parts[] = {"", "/trained", "/models"};
enum { PARTS = sizeof parts / sizeof *parts };

static void tidy(const char *folder)
{
    char path[4200];
    size_t n = 0;
    for (int i = 0; i < PARTS; i++) {
        snprintf(path, sizeof path, "%.4096s%s", folder,
                 *parts[i] ? parts[i] : "/."); /* the folder itself may be a link, its parts may not */
        n += lb_remove_unfinished(path);
    }
    if (n)
        lb_log(LB_LOG_INFO, "%s: removed %zu unfinished file%s of processes that were killed", folder, n, n == 1 ? "" : "s");
}

int lb_folder_open(const char *folder, enum lb_journal_use use, struct lb_journal *j, struct lb_err *err)
{
    char path[4200];
    *j = (struct lb_journal){.fd = -1};
    for (int i = 0; i < PARTS; i++) {
        snprintf(path, sizeof path, "%.4096s%s", folder, parts[i]);
        if (lb_make_dirs(path, err))
            return -1;
    }
    if (lb_journal_open(folder, use, j, err))
        return -1;
    tidy(folder);
    return 0;
}

void lb_folder_close(const char *folder, struct lb_journal *j)
{
    if (j->fd >= 0)
        tidy(folder);
    lb_journal_close(j);
}
