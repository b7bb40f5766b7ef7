/* SPDX-License-Identifier: MIT */
/* fault_disk.c - preloaded, it counts the calls to the kernel that change files, or makes one of them, or all from one on, fail.
 *
 *   LOWBIT_FAULT_STATE=FILE   fault_state.h; slot 0 counts the calls
 *   LOWBIT_FAULT_AT=N         the N-th call
 *   LOWBIT_FAULT_HOW=WORD     enospc, eio: fails so; short: a write takes half of its bytes; full: from here on there is no room on the disk;
 *                             ro: from here on the disk is read-only
 *
 * The C library's own calls (fwrite, fclose) cannot be replaced by name. So a filter of the kernel's (seccomp) hands them to a handler of SIGSYS, which
 * makes the call again with a mark in its sixth argument, which none of them has: those the filter lets through. Calls count where they are
 * about a regular file that is open as number 3 or higher, or about a path. */
#include "test/faults/fault_state.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <ucontext.h>

enum { MARK = 0x10b17fa };

static struct fault_slot *slots;
static uint64_t at;
static const char *how = "";

/* How each is refused where there is no room, and on a disk that is read-only; 0: it is not. `fd`: its first argument is an open file. */
static const struct call {
    long number;
    int fd, no_room, read_only;
} calls[] = {{SYS_write, 1, ENOSPC, EIO},    {SYS_pwrite64, 1, ENOSPC, EIO},   {SYS_writev, 1, ENOSPC, EIO},
             {SYS_fsync, 1, EIO, EIO},       {SYS_fdatasync, 1, EIO, EIO},     {SYS_ftruncate, 1, EIO, EIO},
             {SYS_rename, 0, ENOSPC, EROFS}, {SYS_renameat, 0, ENOSPC, EROFS}, {SYS_renameat2, 0, ENOSPC, EROFS},
             {SYS_mkdir, 0, ENOSPC, EROFS},  {SYS_openat, 0, ENOSPC, EROFS}};
enum { CALLS = sizeof calls / sizeof *calls };

static long again(long number, const long *a)
{
    const long r = syscall(number, a[0], a[1], a[2], a[3], a[4], (long)MARK);
    return r < 0 ? -errno : r;
}

/* Whether the call is one that changes a file of the run's. */
static int counts(const struct call *c, const long *a)
{
    struct stat st;
    if (c->number == SYS_mkdir)
        return access((const char *)a[0], F_OK) != 0;
    return !c->fd || (a[0] > 2 && !fstat((int)a[0], &st) && S_ISREG(st.st_mode));
}

static long refuse(const struct call *c, const long *a)
{
    const int is_write = c->number == SYS_write;
    if (!strcmp(how, "short") && is_write && a[2] > 1)
        return again(c->number, (const long[]){a[0], a[1], a[2] / 2, a[3], a[4]});
    if (!strcmp(how, "eio"))
        return -EIO;
    if (!strcmp(how, "ro"))
        return -c->read_only;
    if (!strcmp(how, "enospc") || (!strcmp(how, "full") && c->no_room == ENOSPC))
        return -c->no_room;
    return again(c->number, a);
}

static void on_call(int signal, siginfo_t *info, void *context)
{
    const int before = errno;
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const long a[] = {g[REG_RDI], g[REG_RSI], g[REG_RDX], g[REG_R10], g[REG_R8]};
    const struct call *c = calls;
    (void)signal;
    while (c < calls + CALLS - 1 && c->number != info->si_syscall)
        c++;
    int yes = 0;
    if (counts(c, a)) {
        const uint64_t n = atomic_fetch_add(&slots->count, 1) + 1;
        yes = at && (n == at || (n > at && (!strcmp(how, "full") || !strcmp(how, "ro"))));
        if (yes)
            atomic_store(&slots->failed, (uint64_t)getppid());
    }
    g[REG_RAX] = yes ? refuse(c, a) : again(info->si_syscall, a);
    errno = before;
}

static int filter(void)
{
    enum { ALLOW = CALLS + 7, TRAP };
    struct sock_filter f[TRAP + 1];
    unsigned char n = 0;
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, ALLOW - 2);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5]));
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, ALLOW - 4, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < CALLS - 1; i++, n++)
        f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, (unsigned char)(TRAP - n - 1), 0);
    /* The last, openat, only where it may create: the loader opens libraries before there is a handler. */
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[CALLS - 1].number, 0, 2);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2]));
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 1, 0);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    const struct sock_fprog program = {n, f};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static __attribute__((constructor)) void start(void)
{
    struct sigaction act = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER};
    static const char refused[] = "fault_disk: this machine allows no filter\n";
    at = fault_number("LOWBIT_FAULT_AT", 10);
    if (getenv("LOWBIT_FAULT_HOW"))
        how = getenv("LOWBIT_FAULT_HOW");
    slots = fault_state();
    if (!slots)
        return;
    sigaction(SIGSYS, &act, NULL);
    if (filter()) {
        syscall(SYS_write, 2, refused, sizeof refused - 1);
        _exit(77);
    }
}
