/* SPDX-License-Identifier: MIT */
#include "core/plugins_file.h"
#include "core/base/child.h"
#include "core/base/io.h"
#include "core/base/mem.h"
#include "core/plugins_trust.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOAD_SECONDS = 20 };

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_NONE }; /* left to the loader */
#endif

static int inside(uint64_t offset, uint64_t length, uint64_t size)
{
    return offset <= size && length <= size - offset;
}

static int check_segments(const unsigned char *data, size_t size, const ElfW(Ehdr) * h, struct lb_err *err)
{
    if (h->e_phentsize != sizeof(ElfW(Phdr)) || !inside(h->e_phoff, (uint64_t)h->e_phnum * sizeof(ElfW(Phdr)), size))
        return lb_fail(err, "damaged: its %u program headers are not in its %zu bytes", (unsigned)h->e_phnum, size);
    if (h->e_shoff && !inside(h->e_shoff, (uint64_t)h->e_shnum * h->e_shentsize, size))
        return lb_fail(err, "cut short: %zu bytes, but its headers promise %llu", size,
                       (unsigned long long)h->e_shoff + (unsigned long long)h->e_shnum * h->e_shentsize);
    for (unsigned i = 0; i < h->e_phnum; i++) {
        ElfW(Phdr) p;
        memcpy(&p, data + h->e_phoff + i * sizeof p, sizeof p);
        if ((p.p_type == PT_LOAD || p.p_type == PT_DYNAMIC) && !inside(p.p_offset, p.p_filesz, size))
            return lb_fail(err, "cut short: %zu bytes, but segment %u ends at %llu", size, i,
                           (unsigned long long)p.p_offset + (unsigned long long)p.p_filesz);
    }
    return 0;
}

static int check_file(const unsigned char *data, size_t size, struct lb_err *err)
{
    ElfW(Ehdr) h;
    if (size < SELFMAG || memcmp(data, ELFMAG, SELFMAG) != 0)
        return lb_fail(err, "not an ELF file: a shared object is wanted");
    if (size < sizeof h)
        return lb_fail(err, "cut short: %zu bytes, an ELF header alone has %zu", size, sizeof h);
    memcpy(&h, data, sizeof h);
    if (h.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
        return lb_fail(err, "ELF class %u, this lowbit wants %u", h.e_ident[EI_CLASS], sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
    if (MACHINE != EM_NONE && h.e_machine != MACHINE)
        return lb_fail(err, "built for machine %u, this lowbit wants %u", (unsigned)h.e_machine, (unsigned)MACHINE);
    if (h.e_type != ET_DYN)
        return lb_fail(err, "ELF type %u, a shared object (%u) is wanted: gcc -shared -fPIC", (unsigned)h.e_type, (unsigned)ET_DYN);
    return check_segments(data, size, &h, err);
}

const struct lb_plugin *const *lb_plugins_list(void *so, size_t *n, struct lb_err *why)
{
    const struct lb_plugin *const *list = dlsym(so, "lb_plugins");
    Dl_info info;
    void *extra = NULL;
    *n = 0;
    if (!list || !dladdr1((const void *)list, &info, &extra, RTLD_DL_SYMENT) || !extra) {
        lb_fail(why, "no symbol `lb_plugins`: LB_EXPORT const struct lb_plugin *const lb_plugins[] = {..., NULL} is wanted");
        return NULL;
    }
    const ElfW(Sym) *symbol = extra;
    const size_t room = symbol->st_size / sizeof *list;
    if ((symbol->st_info & 15) != STT_OBJECT || !room) {
        lb_fail(why, "`lb_plugins` is not a list of pointers");
        return NULL;
    }
    while (*n < room && list[*n])
        ++*n;
    if (*n == room)
        lb_fail(why, "`lb_plugins` has no NULL at its end");
    else if (!*n)
        lb_fail(why, "`lb_plugins` is empty");
    return why->set ? NULL : list;
}

/* The loader's words, less the file's own name; *missing where it is a library that the file needs which could not be opened. */
static void loader_reason(const char *text, const char *path, int *missing, struct lb_err *why)
{
    static const char open_failed[] = "cannot open shared object file";
    const size_t n = strlen(path);
    const int own = !strncmp(text, path, n) && !strncmp(text + n, ": ", 2);
    const char *reason = own ? text + n + 2 : text;
    /* The file was open a moment ago; and with no memory left the loader's words lack their end, which says so. */
    const int no_memory = (own && !strcmp(reason, open_failed)) || !strcmp(reason, "cannot create shared object descriptor");
    *missing = !own && strstr(text, ": cannot open shared object file") != NULL;
    if (no_memory || (own && strstr(text, open_failed)))
        lb_mem_note_refused();
    lb_fail(why, "%s%s%.900s", *missing ? "a library that it needs is not on this machine: " : "", no_memory ? "out of memory: " : "",
            reason);
}

/* The bytes that are mapped here are those that are hashed, checked and, as `real` is nobody else's to change, loaded. */
static int check_bytes(int fd, char sha256[65], struct lb_err *why)
{
    struct lb_map m;
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (lb_map_open(path, &m, why))
        return -1;
    const int bad = lb_sha256(m.data, m.size, sha256, why) || check_file(m.data, m.size, why);
    lb_map_close(&m);
    return bad ? -1 : 0;
}

/* Whether the file can be loaded at all is seen afterwards, in lowbit itself. What it prints is not to appear twice where results are. */
static int load_in_child(void *arg, json_t *reply, struct lb_err *err)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    (void)reply, (void)err;
    if (nowhere >= 0)
        dup2(nowhere, 1);
    dlopen(arg, RTLD_NOW | RTLD_LOCAL);
    return 0;
}

static int survives_loading(char *real, struct lb_err *why)
{
    struct lb_outcome o;
    lb_child_run(load_in_child, real, &(struct lb_child_limits){.seconds = LOAD_SECONDS}, &o);
    json_decref(o.reply);
    if (o.status == LB_OK)
        return 1;
    if (o.status == LB_FAILED) /* there was no process for it: the file is not to blame */
        lb_mem_note_refused();
    lb_fail(why, "loading it was tried in a process of its own: %s", o.why);
    return 0;
}

static int same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Whether the path still leads to the file that was checked, and nobody has written to it since (a compiler at work beside us, or a change of hands that
 * LOWBIT_TRUST_PLUGINS made possible). */
static int is_unchanged(const char *real, const struct stat *then)
{
    struct stat now;
    return !stat(real, &now) && now.st_dev == then->st_dev && now.st_ino == then->st_ino && now.st_size == then->st_size &&
           same_time(&now.st_mtim, &then->st_mtim) && same_time(&now.st_ctim, &then->st_ctim);
}

void *lb_plugins_open(const char *file, int foreign, char sha256[65], int *missing, struct lb_err *why)
{
    char *real = NULL;
    void *so = NULL;
    struct stat st;
    *missing = 0;
    const int fd = lb_plugins_trust(file, &real, why);
    if (fd < 0 || (fstat(fd, &st) && lb_fail(why, "%s", strerror(errno))) || check_bytes(fd, sha256, why) ||
        (foreign && !survives_loading(real, why)))
        goto out;
    so = dlopen(real, RTLD_NOW | RTLD_LOCAL);
    const char *said = so ? NULL : dlerror();
    if (!so) {
        loader_reason(said ? said : "the loader does not say why", real, missing, why);
    } else if (!is_unchanged(real, &st)) {
        lb_fail(why, "changed while it was being loaded");
        dlclose(so);
        so = NULL;
    }
out:
    if (fd >= 0)
        close(fd);
    lb_free(real);
    return so;
}
