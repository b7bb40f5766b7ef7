/* SPDX-License-Identifier: MIT */
/* folder.h - a results folder that is written to. */
#ifndef LB_FOLDER_H
#define LB_FOLDER_H

#include "core/run/journal.h"

/* Makes the folder and its parts where they are missing, takes its lock and reads its journal (lb_journal_open), and removes what killed processes left
 * unfinished. */
int lb_folder_open(const char *folder, enum lb_journal_use use, struct lb_journal *j, struct lb_err *err);

/* Removes what this process's own children left, and closes the journal. One that was not opened (fd -1) is fine. */
void lb_folder_close(const char *folder, struct lb_journal *j);

#endif
