/* SPDX-License-Identifier: MIT */
/* Who may have written a plugin. Rows that need another's files are for root. */
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/plugins.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { OTHER = 1, THIRD = 2 }; /* uids and gids of the system that nobody logs in with */

static char root[64], above[80], folder[96], file[112], built[4096];

static void put(const char *to)
{
    struct lb_err err = {0};
    char from[4200];
    size_t size;
    snprintf(from, sizeof from, "%s/bad/good_one.so", built);
    char *data = lb_read_file(from, &size, &err);
    cr_assert(data && !lb_write_file(to, data, size, &err), "%s", err.text);
    lb_free(data);
}

static void setup(void)
{
    char exe[4000];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    cr_assert(n > 0);
    exe[n] = 0;
    *strrchr(exe, '/') = 0;
    snprintf(built, sizeof built, "%s/..", exe);
    snprintf(root, sizeof root, "/tmp/lowbit-test-XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
    snprintf(above, sizeof above, "%s/above", root);
    snprintf(folder, sizeof folder, "%s/plugins", above);
    snprintf(file, sizeof file, "%s/one.so", folder);
    cr_assert(!chmod(root, 0755) && !mkdir(above, 0755) && !mkdir(folder, 0755));
    put(file);
    unsetenv("LOWBIT_PLUGIN_PATH");
    unsetenv("LOWBIT_TRUST_PLUGINS");
    cr_redirect_stderr();
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_expect_eq(system(command), 0);
}

TestSuite(plugins_trust, .init = setup, .fini = teardown);

/* Loads the file; "" or why it was refused. */
static const char *load(const char *path)
{
    static struct lb_err err;
    err = (struct lb_err){0};
    const size_t had = lb_mem_now();
    const int r = lb_plugins_load_file(path, &err);
    const int found = lb_plugins_find(LB_CODEC, "GOOD_ONE", NULL) != NULL;
    cr_expect_eq(r == 0, found, "%s: %d, \"%s\"", path, r, err.text);
    lb_plugins_unload();
    cr_expect_eq(lb_mem_now(), had, "%zu bytes are left", lb_mem_now() - had);
    return err.text;
}

struct row {
    const char *why; /* part of the refusal; NULL: loaded */
    unsigned file_mode, folder_mode, above_mode;
    uid_t file_owner, folder_owner, above_owner;
    gid_t file_group, folder_group, above_group;
    uid_t as;
};

static void apply(const struct row *w, int with_owners)
{
    if (with_owners)
        cr_assert(!chown(above, w->above_owner, w->above_group) && !chown(folder, w->folder_owner, w->folder_group) &&
                  !chown(file, w->file_owner, w->file_group));
    cr_assert(!chmod(above, w->above_mode) && !chmod(folder, w->folder_mode) && !chmod(file, w->file_mode));
}

static void expect(const struct row *w, size_t i, const char *got)
{
    cr_expect(w->why ? strstr(got, w->why) != NULL : !*got, "row %zu: expected \"%s\", got \"%s\"", i, w->why ? w->why : "", got);
    cr_expect(!w->why || (strstr(got, " has mode ") && strstr(got, ", owner ") && strstr(got, "--trust-plugins")), "row %zu: %s", i, got);
}

Test(plugins_trust, modes)
{
    static const struct row rows[] = {
        {.file_mode = 0644, .folder_mode = 0755, .above_mode = 0755},
        {.file_mode = 0400, .folder_mode = 0500, .above_mode = 0700},
        {.why = "others can write to the file: ", .file_mode = 0646, .folder_mode = 0755, .above_mode = 0755},
        {.why = "others can write to its folder: ", .file_mode = 0644, .folder_mode = 0757, .above_mode = 0755},
        {.why = "others can write to its folder: ", .file_mode = 0644, .folder_mode = 01777, .above_mode = 0755},
        {.why = "others can write to a folder above it: ", .file_mode = 0644, .folder_mode = 0755, .above_mode = 0777},
        {.file_mode = 0644, .folder_mode = 0755, .above_mode = 01777},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        apply(&rows[i], 0);
        expect(&rows[i], i, load(file));
    }
}

Test(plugins_trust, owners_and_groups)
{
    static const struct row rows[] = {
        {.file_mode = 0664, .folder_mode = 0775, .above_mode = 0775}, /* root's own group */
        {.why = "the file is somebody else's: ", .file_mode = 0644, .folder_mode = 0755, .above_mode = 0755, .file_owner = OTHER},
        {.why = "its folder is somebody else's: ", .file_mode = 0644, .folder_mode = 0755, .above_mode = 0755, .folder_owner = OTHER},
        {.why = "a folder above it is somebody else's: ", .file_mode = 0644, .folder_mode = 0755, .above_mode = 0755, .above_owner = OTHER},
        {.why = "a folder above it is somebody else's: ",
         .file_mode = 0644,
         .folder_mode = 0755,
         .above_mode = 01777,
         .above_owner = OTHER},
        {.file_mode = 0644, .folder_mode = 0755, .above_mode = 0755, .file_group = OTHER, .folder_group = OTHER, .above_group = OTHER},
        {.why = "others can write to the file: ", .file_mode = 0664, .folder_mode = 0755, .above_mode = 0755, .file_group = OTHER},
        {.why = "others can write to its folder: ", .file_mode = 0644, .folder_mode = 0775, .above_mode = 0755, .folder_group = OTHER},
        {.why = "others can write to a folder above it: ",
         .file_mode = 0644,
         .folder_mode = 0755,
         .above_mode = 0775,
         .above_group = OTHER},
        {.file_mode = 0644, .folder_mode = 0755, .above_mode = 01775, .above_group = OTHER},
        {.file_mode = 0664, .folder_mode = 0755, .above_mode = 0755, .file_owner = OTHER, .file_group = OTHER, .as = OTHER},
        {.file_mode = 0664, .folder_mode = 0755, .above_mode = 0755, .file_owner = OTHER, .file_group = 0, .as = OTHER},
        {.why = "others can write to the file: ",
         .file_mode = 0664,
         .folder_mode = 0755,
         .above_mode = 0755,
         .file_owner = OTHER,
         .file_group = THIRD,
         .as = OTHER},
        {.why = "its folder is somebody else's: ",
         .file_mode = 0644,
         .folder_mode = 0755,
         .above_mode = 0755,
         .folder_owner = THIRD,
         .as = OTHER},
    };
    const struct passwd *p = getpwuid(OTHER);
    const struct group *g = getgrgid(OTHER);
    if (geteuid() != 0 || !p || !g || strcmp(p->pw_name, g->gr_name) != 0)
        cr_skip_test("files of another user are made by root alone");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        apply(&rows[i], 1);
        cr_assert(!seteuid(rows[i].as));
        expect(&rows[i], i, load(file));
        cr_assert(!seteuid(0));
    }
}

/* A group of another name than the user's is one that others may be in. */
Test(plugins_trust, shared_group)
{
    const struct passwd *p = NULL;
    const struct group *g = NULL;
    while (geteuid() == 0 && (p = getpwent()) && (!p->pw_uid || !(g = getgrgid(p->pw_gid)) || !strcmp(g->gr_name, p->pw_name)))
        ;
    if (!p)
        cr_skip_test("only root can make another's files, and of a user with such a group");
    const uid_t uid = p->pw_uid;
    cr_assert(!chown(file, uid, p->pw_gid) && !chmod(file, 0664) && !seteuid(uid));
    const char *why = load(file);
    cr_expect(strstr(why, "others can write to the file: "), "user %u: %s", (unsigned)uid, why);
    cr_assert(!seteuid(0));
}

/* With an access list the group's bits say what anybody is given at most. */
Test(plugins_trust, access_list)
{
    static const unsigned char list[] = {2, 0,     0,    0,    1,    0,    6,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    6,
                                         0, THIRD, 0,    0,    0,    4,    0,    4, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
                                         6, 0,     0xff, 0xff, 0xff, 0xff, 0x20, 0, 4,    0,    0xff, 0xff, 0xff, 0xff};
    if (setxattr(file, "system.posix_acl_access", list, sizeof list, 0))
        cr_skip_test("no access lists here: %s", strerror(errno));
    const char *why = load(file);
    cr_expect(strstr(why, "others can write to the file: ") && strstr(why, "mode 0664"), "%s", why);
}

/* What a link leads to counts, and where the link lies. */
Test(plugins_trust, links)
{
    char open_folder[96], safe[112], loose[112];
    snprintf(open_folder, sizeof open_folder, "%s/open", above);
    snprintf(safe, sizeof safe, "%s/link.so", folder);
    snprintf(loose, sizeof loose, "%s/real.so", open_folder);
    cr_assert(!mkdir(open_folder, 0755) && !chmod(open_folder, 0777));
    put(loose);
    cr_assert(!symlink("../open/real.so", safe));
    cr_expect(strstr(load(safe), "others can write to its folder: "), "a link to a file in an open folder");
    cr_assert(!unlink(loose) && !symlink(file, loose));
    cr_expect(strstr(load(loose), "others can write to its folder: "), "a link in an open folder");
    cr_assert(!chmod(open_folder, 0755));
    cr_expect_str_empty(load(loose));
    cr_assert(!unlink(safe) && !symlink("nowhere", safe));
    cr_expect(strstr(load(safe), "No such file"), "a link to nowhere");
    cr_assert(!unlink(safe) && !mkfifo(safe, 0644));
    char want[160];
    snprintf(want, sizeof want, "%s: not a regular file", safe);
    cr_expect_str_eq(load(safe), want, "a pipe, which must not be waited for");
}

Test(plugins_trust, let_through)
{
    static const struct {
        const char *value;
        int loads;
    } rows[] = {{"", 0}, {"0", 0}, {"yes", 0}, {"1", 1}};
    cr_assert(!chmod(folder, 0777));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setenv("LOWBIT_TRUST_PLUGINS", rows[i].value, 1);
        cr_expect_eq(!*load(file), rows[i].loads, "\"%s\"", rows[i].value);
    }
    fflush(stderr);
    char said[4096];
    const size_t n = fread(said, 1, sizeof said - 1, cr_get_redirected_stderr());
    said[n] = 0;
    cr_expect(strstr(said, "warning: ") && strstr(said, "one.so: let through by --trust-plugins or LOWBIT_TRUST_PLUGINS=1: others can"),
              "%s", said);
}

/* The hash must be that of what was loaded. */
Test(plugins_trust, changed_meanwhile)
{
    struct lb_err err = {0};
    char from[4200];
    size_t size;
    snprintf(from, sizeof from, "%s/bad/bad_touched.so", built);
    char *data = lb_read_file(from, &size, &err);
    cr_assert(data && !lb_write_file(file, data, size, &err), "%s", err.text);
    lb_free(data);
    cr_expect(strstr(load(file), "changed while it was being loaded"), "its constructor changes the file");
}
