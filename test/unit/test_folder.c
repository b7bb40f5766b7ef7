/* SPDX-License-Identifier: MIT */
/* core/run/folder.c, core/base/io.c: which files a run takes for what a killed process left, and who keeps them from it. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/run/folder.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static char folder[256];

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/lowbit-folder-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_expect(system(command) == 0);
}

TestSuite(folder, .init = make_folder, .fini = remove_folder);

static const char *path_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name)
{
    const int fd = open(path_of(name), O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd), "%s", name);
}

static int is_there(const char *name)
{
    struct stat st;
    return !lstat(path_of(name), &st);
}

static void open_and_close(void)
{
    struct lb_journal j;
    struct lb_err err = {0};
    cr_assert(lb_folder_open(folder, LB_JOURNAL_WRITE, &j, &err) == 0, "%s", err.text);
    lb_folder_close(folder, &j);
}

static const struct {
    const char *name;
    int stays;
} names[] = {
    {"table.csv.1.tmp", 0},
    {"config.json.4194304.tmp", 0},
    {"table.md.99999999999999999999.tmp", 0},
    {"plot.svg.12.tmp", 0},
    {"trained/0a.safetensors.7.tmp", 0},
    {"models/0a.safetensors.7.tmp", 0},
    {"models/0a.safetensors", 1},
    {"table.csv", 1},
    {"table.csv.tmp", 1},
    {"table.csv..tmp", 1},
    {"table.csv.1.tmpx", 1},
    {"table.csv.1x.tmp", 1},
    {"table.csv.-1.tmp", 1},
    {"table.csv1.tmp", 1},
    {"tablecsv.1.tmp", 1},
    {"notes.2026.tmp", 1},
    {".csv.1.tmp", 1},
    {"1.tmp", 1},
    {".1.tmp", 1},
    {".tmp", 1},
    {"tmp", 1},
    {"trials.jsonl.1.tmp", 1},
    {"other/table.csv.1.tmp", 1},
    {"shard-1-of-2/table.csv.1.tmp", 1},
};

Test(folder, names_of_unfinished_files)
{
    open_and_close();
    cr_assert(!mkdir(path_of("other"), 0700) && !mkdir(path_of("shard-1-of-2"), 0700));
    for (size_t i = 0; i < COUNT(names); i++)
        make_file(names[i].name);
    open_and_close();
    for (size_t i = 0; i < COUNT(names); i++)
        cr_expect(is_there(names[i].name) == names[i].stays, "%s %s", names[i].name, names[i].stays ? "is lost" : "stays");
}

/* Links, whatever they lead to, and what is no file. */
Test(folder, links_and_others)
{
    open_and_close();
    make_file("kept");
    cr_assert(!symlink("kept", path_of("a.csv.1.tmp")) && !symlink("nothing", path_of("b.csv.1.tmp")));
    cr_assert(!mkdir(path_of("c.csv.1.tmp"), 0700) && !mkfifo(path_of("d.csv.1.tmp"), 0600));
    cr_assert(!rmdir(path_of("models")) && !mkdir(path_of("elsewhere"), 0700) && !symlink("elsewhere", path_of("models")));
    make_file("elsewhere/e.safetensors.1.tmp");
    open_and_close();
    static const char *const stay[] = {"kept", "a.csv.1.tmp", "b.csv.1.tmp", "c.csv.1.tmp", "d.csv.1.tmp", "elsewhere/e.safetensors.1.tmp"};
    for (size_t i = 0; i < COUNT(stay); i++)
        cr_expect(is_there(stay[i]), "%s", stay[i]);
}

/* The folder itself may be a link. */
Test(folder, linked_folder)
{
    char real[300];
    snprintf(real, sizeof real, "%s.real", folder);
    cr_assert(!rename(folder, real) && !symlink(real, folder));
    make_file("table.csv.1.tmp");
    open_and_close();
    cr_expect(!is_there("table.csv.1.tmp"));
    cr_assert(!unlink(folder) && !rename(real, folder));
}

/* A process that writes a file, as `lowbit report` does without the folder's lock, keeps it while it lives, and not longer. */
Test(folder, writer_that_lives, .timeout = 20)
{
    int said[2];
    char temp[600];
    cr_assert(!pipe(said));
    const pid_t pid = fork();
    cr_assert(pid >= 0);
    if (!pid) {
        struct lb_out f;
        const char ready = !lb_out_open(&f, path_of("table.csv"), NULL) && fputs("half a row", f.out) >= 0 && !fflush(f.out);
        if (write(said[1], &ready, 1) == 1)
            pause();
        _exit(0);
    }
    char ready = 0;
    cr_assert(read(said[0], &ready, 1) == 1 && ready);
    snprintf(temp, sizeof temp, "table.csv.%ld.tmp", (long)pid);
    open_and_close();
    cr_expect(is_there(temp), "lost while it was written");
    kill(pid, SIGKILL);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    cr_expect(is_there(temp));
    open_and_close();
    cr_expect(!is_there(temp));
}

/* A file that a run takes away between its writer's open and lock is made again. */
Test(folder, taken_away_before_its_lock, .timeout = 20)
{
    struct lb_err err = {0};
    struct lb_out f;
    char temp[600], text[16] = "";
    snprintf(temp, sizeof temp, "table.csv.%ld.tmp", (long)getpid());
    make_file(temp); /* of an earlier process with this number; its lock is held as by the run that looks at it */
    const int held = open(path_of(temp), O_RDWR);
    cr_assert(held >= 0 && !flock(held, LOCK_EX));
    const pid_t pid = fork();
    cr_assert(pid >= 0);
    if (!pid) {
        usleep(200000);
        unlink(path_of(temp));
        _exit(0);
    }
    close(held); /* the child holds it until it ends */
    cr_assert(lb_out_open(&f, path_of("table.csv"), &err) == 0, "%s", err.text);
    cr_assert(fputs("whole", f.out) >= 0 && lb_out_commit(&f, &err) == 0, "%s", err.text);
    cr_assert(waitpid(pid, NULL, 0) == pid);
    FILE *in = fopen(path_of("table.csv"), "r");
    cr_expect(in && fgets(text, sizeof text, in) && !strcmp(text, "whole"), "\"%s\"", text);
    if (in)
        fclose(in);
    cr_expect(!is_there(temp));
}

/* What an earlier process of the same number left is no part of the new file. */
Test(folder, left_by_the_same_number)
{
    struct lb_err err = {0};
    char temp[600];
    size_t n = 1;
    snprintf(temp, sizeof temp, "table.csv.%ld.tmp", (long)getpid());
    make_file(temp);
    cr_assert(lb_write_file(path_of("table.csv"), "", 0, &err) == 0, "%s", err.text);
    char *text = lb_read_file(path_of("table.csv"), &n, &err);
    cr_expect(text && n == 0, "%zu bytes", n);
    lb_free(text);
}
