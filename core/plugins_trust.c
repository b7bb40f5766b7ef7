/* SPDX-License-Identifier: MIT */
#include "core/plugins_trust.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char variable[] = "LOWBIT_TRUST_PLUGINS";

enum { N_TRUSTED = 3 };

/* Who is looked upon as the user: these could replace lowbit itself. */
struct trusted {
    uid_t uid[N_TRUSTED];
    char exe[PATH_MAX]; /* lowbit's own path, "" where it is not known */
};

static void who_is_trusted(struct trusted *t)
{
    struct stat st;
    const ssize_t n = readlink("/proc/self/exe", t->exe, sizeof t->exe - 1);
    t->exe[n > 0 ? n : 0] = 0;
    t->uid[0] = 0;
    t->uid[1] = geteuid();
    t->uid[2] = stat("/proc/self/exe", &st) ? t->uid[1] : st.st_uid;
}

static int is_trusted(const struct trusted *t, uid_t uid)
{
    for (int i = 0; i < N_TRUSTED; i++)
        if (t->uid[i] == uid)
            return 1;
    return 0;
}

/* A group of the user's own name that has no other member: many systems give every user one, and let it write by default. */
static int is_own_group(uid_t uid, gid_t gid)
{
    const struct passwd *user = getpwuid(uid);
    const struct group *group = user ? getgrgid(gid) : NULL;
    if (!group || strcmp(group->gr_name, user->pw_name) != 0)
        return 0;
    for (char **member = group->gr_mem; *member; member++)
        if (strcmp(*member, user->pw_name) != 0)
            return 0;
    return 1;
}

static int group_is_trusted(const struct trusted *t, const char *path, gid_t gid)
{
    if (getxattr(path, "system.posix_acl_access", NULL, 0) > 0) /* the mode then shows what an access list gives to anybody */
        return 0;
    for (int i = 0; i < N_TRUSTED; i++)
        if (is_own_group(t->uid[i], gid))
            return 1;
    return 0;
}

/* lowbit lies there or below: who can write there can put another lowbit in its place, and needs no plugin. */
static int holds_lowbit(const struct trusted *t, const char *path)
{
    const size_t n = strlen(path);
    return !strncmp(t->exe, path, n) && (t->exe[n] == '/' || path[n - 1] == '/');
}

static int refuse(const struct stat *st, const char *path, const char *what, struct lb_err *why)
{
    return lb_fail(
        why,
        "%s: %.500s has mode %04o, owner %u, group %u; wanted: owned by root, by you (%u) or by the owner of lowbit, and written by "
        "nobody else (chmod go-w); --trust-plugins loads it all the same",
        what, path, (unsigned)st->st_mode & 07777, (unsigned)st->st_uid, (unsigned)st->st_gid, (unsigned)geteuid());
}

enum place { A_FILE, ITS_FOLDER, ABOVE };

/* In a folder with the sticky bit, as /tmp is one, others can add files but touch none; that is good enough above the plugin's own folder. */
static int check(const struct trusted *t, const struct stat *st, const char *path, enum place place, struct lb_err *why)
{
    static const char *const foreign[] = {"the file is somebody else's", "its folder is somebody else's",
                                          "a folder above it is somebody else's"},
                             *const open_to[] = {"others can write to the file", "others can write to its folder",
                                                 "others can write to a folder above it"};
    const int sticky = place == ABOVE && (st->st_mode & S_ISVTX);
    if (place != A_FILE && holds_lowbit(t, path))
        return 0;
    if (!is_trusted(t, st->st_uid))
        return refuse(st, path, foreign[place], why);
    if (!sticky && ((st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && !group_is_trusted(t, path, st->st_gid))))
        return refuse(st, path, open_to[place], why);
    return 0;
}

/* From / downward: what is above each step is known by then to be nobody else's to change. `real` is given back as it was. */
static int check_folders(const struct trusted *t, char *real, struct lb_err *why)
{
    const char *last = strrchr(real, '/');
    for (char *slash = real; slash; slash = strchr(slash + 1, '/')) {
        const char had = slash[slash == real];
        struct stat st;
        slash[slash == real] = 0;
        const int bad = lstat(real, &st)      ? lb_fail(why, "%.500s: %s", real, strerror(errno))
                        : S_ISDIR(st.st_mode) ? check(t, &st, real, slash == last ? ITS_FOLDER : ABOVE, why)
                                              : lb_fail(why, "%.500s became a link while it was looked at", real);
        slash[slash == real] = had;
        if (bad)
            return -1;
    }
    return 0;
}

/* The path of `file` with the links of its folders resolved, but not its own. */
static char *place_of(const char *file, struct lb_err *why)
{
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    struct lb_text folder = {0}, place = {0};
    lb_text_put(&folder, file, slash ? (size_t)(slash - file) + 1 : 0);
    char *real = lb_text_end(&folder, why) ? NULL : realpath(slash ? folder.s : ".", NULL);
    if (real)
        lb_text_add(&place, "%s%s%s", real, real[1] ? "/" : "", name);
    else
        lb_fail(why, "%s", strerror(errno));
    lb_text_free(&folder);
    free(real);
    if (!why->set && !lb_text_end(&place, why))
        return place.s;
    lb_text_free(&place);
    return NULL;
}

static char *target_of(const char *file, struct lb_err *why)
{
    char *found = realpath(file, NULL), *target = found ? lb_strdup(found, why) : NULL;
    if (!found)
        lb_fail(why, "%s", strerror(errno));
    free(found);
    return target;
}

/* The file's descriptor, or -1 where it is no file at all. *foreign is set where somebody else can write to it or on the way to it. */
static int open_checked(char *place, char *real, struct lb_err *foreign, struct lb_err *why)
{
    struct trusted t;
    struct stat st;
    who_is_trusted(&t);
    if (!check_folders(&t, place, foreign) && strcmp(place, real) != 0)
        check_folders(&t, real, foreign);
    const int fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a pipe of that name would wait for its other end */
    if (fd < 0)
        return lb_fail(why, "%s", strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return lb_fail(why, "not a regular file");
    }
    check(&t, &st, real, A_FILE, foreign);
    return fd;
}

int lb_plugins_trust(const char *file, char **real, struct lb_err *why)
{
    struct lb_err foreign = {0};
    char *place = place_of(file, why);
    *real = place ? target_of(file, why) : NULL;
    const int fd = *real ? open_checked(place, *real, &foreign, why) : -1;
    lb_free(place);
    if (fd < 0 || !foreign.set)
        return fd;
    const char *all = getenv(variable);
    if (all && !strcmp(all, "1")) {
        lb_log(LB_LOG_WARN, "%s: let through by --trust-plugins or %s=1: %s", file, variable, foreign.text);
        return fd;
    }
    close(fd);
    return lb_fail(why, "%s", foreign.text);
}

void lb_plugins_trust_all(void)
{
    setenv(variable, "1", 1);
}
