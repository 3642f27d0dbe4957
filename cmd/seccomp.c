/*
 * seccomp.c - only the system calls that a server of files needs
 *
 * These are the rows of src/base/sys.c that serving uses, and what libc does on its own: memory,
 * threads, signals, clocks, the end. Not among them is what starts programs, opens connections,
 * changes files but for the log, or changes rights.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "site.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

static const int allowed[] = {
    /* connections */
    SYS_accept4,
    SYS_recvfrom,
    SYS_sendto,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_sendfile,
    SYS_splice,
    SYS_shutdown,
    SYS_close,
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_fcntl,
    SYS_ioctl,
    SYS_pipe2,
    SYS_dup,
    SYS_dup3,
    /* waiting */
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_ppoll,
    SYS_pselect6,
    SYS_eventfd2,
    /* files */
    SYS_openat,
    SYS_openat2,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_pread64,
    SYS_preadv2,
    SYS_getdents64,
    SYS_readlinkat,
    SYS_unlinkat,
    SYS_lseek,
    SYS_faccessat,
    SYS_getcwd,
    SYS_memfd_create, /* for the admin address: where a dump is put together */
    /* memory */
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_mincore,
    SYS_brk,
    SYS_membarrier,
    /* threads */
    SYS_clone,
    SYS_clone3,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_futex,
    SYS_exit,
    SYS_exit_group,
    SYS_gettid,
    SYS_getpid,
    SYS_getppid,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_sched_yield,
    SYS_getcpu,
    SYS_prctl,
    SYS_prlimit64,
    SYS_getrlimit,
    SYS_getrusage,
    SYS_sysinfo,
    SYS_uname,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    /* signals and time */
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_rt_tgsigqueueinfo,
    SYS_restart_syscall,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_timer_delete,
#if defined(__x86_64__)
    SYS_arch_prctl,
    SYS_epoll_wait,
    SYS_poll,
    SYS_select,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_readlink,
    SYS_unlink,
    SYS_access,
    SYS_time,
#endif
};

/* Those of io_uring do what they do past any such filter, so they are for who chose it. */
static const int of_uring[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))
#define MOST (8 + 2 * (COUNT_OF(allowed) + COUNT_OF(of_uring)))

static size_t allow(struct sock_filter *at, int call)
{
    at[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1);
    at[1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return 2;
}

int rights_filter_calls(enum seccomp_mode mode)
{
    struct sock_filter code[MOST];
    struct sock_fprog program = {.filter = code};
    const char *poller = getenv("RN_POLLER");
    unsigned other = mode == SECCOMP_LOG    ? SECCOMP_RET_LOG
                     : mode == SECCOMP_KILL ? SECCOMP_RET_KILL_PROCESS
                                            : SECCOMP_RET_ERRNO | EPERM;
    size_t n = 0;

    /* Numbers mean nothing without the architecture that they are of. */
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT_OF(allowed); i++)
        n += allow(code + n, allowed[i]);
    for (size_t i = 0; i < COUNT_OF(of_uring); i++)
        if (poller != NULL && strcmp(poller, "io_uring") == 0)
            n += allow(code + n, of_uring[i]);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
    program.len = (unsigned short)n;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        int e = errno;

        cmd_error("cannot filter system calls: %s", rn_strerror(e));
        return -e;
    }
    return 0;
}
