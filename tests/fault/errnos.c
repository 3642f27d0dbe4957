/*
 * errnos.c - what each system call may say, by its man page (section 2), Linux 6.18
 *
 * A row of src/base/sys.h without a line here fails the test "every_row_has_its_errnos".
 *
 *      ROW(name, MAN(all that the page lists), PASS(...), NEVER(...))
 *
 * PASS are errors that may pass without any call of the API failing: where runnel tries again, has
 * another way, or can do without. NEVER is not injected, for reasons that are said beside it. Where
 * a failure is injected without the call being made, EAGAIN would be a lie that nobody could
 * survive: it says that an edge is still to come. So it is under NEVER where that is waited for.
 *
 * PASS(ALL) is for calls with uses that nothing depends on, beside others; what then fails to be
 * told shows as a hang, wrong data or a leak.
 */
#include "fault.h"

#define MAN(...) __VA_ARGS__
#define PASS(...) __VA_ARGS__
#define NEVER(...) __VA_ARGS__
#define NONE 0
#define ALL (-1)
#define ROW(name, m, p, n)                                                                         \
    [RN__SYS_##name] = {                                                                           \
        .man = (const int[]){m, 0}, .pass = (const int[]){p, 0}, .never = (const int[]){n, 0}}

#define READINESS EAGAIN

const struct fault_errnos fault_errnos[RN__SYS_COUNT] = {
    /* Another family's socket is tried next; explain can do without. */
    ROW(socket, MAN(EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT),
        PASS(NONE), NEVER(NONE)),
    ROW(socketpair, MAN(EAFNOSUPPORT, EFAULT, EMFILE, ENFILE, EOPNOTSUPP, EPROTONOSUPPORT),
        PASS(NONE), NEVER(NONE)),
    ROW(bind,
        MAN(EACCES, EADDRINUSE, EBADF, EINVAL, ENOTSOCK, EADDRNOTAVAIL, EFAULT, ELOOP, ENAMETOOLONG,
            ENOENT, ENOMEM, ENOTDIR, EROFS),
        PASS(NONE), NEVER(NONE)),
    ROW(listen, MAN(EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP), PASS(NONE), NEVER(NONE)),
    /* accept.c's classes "skip" and "back off"; and when a server ends just then. */
    ROW(accept4,
        MAN(EAGAIN, EBADF, ECONNABORTED, EFAULT, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM,
            ENOTSOCK, EOPNOTSUPP, EPERM, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
            EHOSTUNREACH, ENETUNREACH, ETIMEDOUT),
        PASS(ALL), NEVER(READINESS)),
    /* A full backlog of a unix listener is waited for. EINTR and EINPROGRESS where no
     * connect has begun would be, in vain. */
    ROW(connect,
        MAN(EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, EBADF,
            ECONNREFUSED, EFAULT, EINPROGRESS, EINTR, EISCONN, ENETUNREACH, ENOTSOCK, EPROTOTYPE,
            ETIMEDOUT, ECONNRESET, EHOSTUNREACH),
        PASS(EAGAIN), NEVER(EINPROGRESS, EINTR)),
    /* Did a dial meet itself? Where that cannot be asked, it did not. */
    ROW(getsockname, MAN(EBADF, EFAULT, EINVAL, ENOBUFS, ENOTSOCK), PASS(ALL), NEVER(NONE)),
    /* The same, and is it connected yet? ENOTCONN of one that is would be waited for in vain. */
    ROW(getpeername, MAN(EBADF, EFAULT, EINVAL, ENOBUFS, ENOTCONN, ENOTSOCK), PASS(ALL),
        NEVER(ENOTCONN)),
    ROW(getsockopt, MAN(EBADF, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK), PASS(NONE), NEVER(NONE)),
    /* IP_BIND_ADDRESS_NO_PORT is advice. */
    ROW(setsockopt,
        MAN(EBADF, EFAULT, EINVAL, ENOPROTOOPT, ENOTSOCK, EDOM, EISCONN, ENOMEM, ENOBUFS),
        PASS(ALL), NEVER(NONE)),
    /* Of a close that lingers. */
    ROW(shutdown, MAN(EBADF, EINVAL, ENOTCONN, ENOTSOCK), PASS(ALL), NEVER(NONE)),
    /* The descriptor is gone whatever it says. */
    ROW(close, MAN(EBADF, EINTR, EIO, ENOSPC, EDQUOT), PASS(EBADF, EINTR, EIO, ENOSPC, EDQUOT),
        NEVER(NONE)),
    /* /proc, /sys and /etc/hosts too, which may not be there. */
    ROW(read, MAN(EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR), PASS(ALL), NEVER(READINESS)),
    ROW(write,
        MAN(EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM,
            EPIPE),
        PASS(EINTR), NEVER(READINESS)),
    ROW(readv, MAN(EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR), PASS(EINTR),
        NEVER(READINESS)),
    ROW(writev,
        MAN(EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM,
            EPIPE),
        PASS(EINTR), NEVER(READINESS)),
    ROW(recv,
        MAN(EAGAIN, EBADF, ECONNREFUSED, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK,
            ECONNRESET, ETIMEDOUT),
        PASS(EINTR), NEVER(READINESS)),
    /* On io_uring an operation that is not supported is made again, as a call. */
    ROW(send,
        MAN(EACCES, EAGAIN, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL,
            EISCONN, EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE),
        PASS(EINTR, EOPNOTSUPP), NEVER(READINESS)),
    ROW(recvmsg,
        MAN(EAGAIN, EBADF, ECONNREFUSED, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK,
            ECONNRESET, ETIMEDOUT),
        PASS(EINTR), NEVER(READINESS)),
    ROW(sendmsg,
        MAN(EACCES, EAGAIN, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL,
            EISCONN, EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE),
        PASS(EINTR), NEVER(READINESS)),
    ROW(recvmmsg,
        MAN(EAGAIN, EBADF, ECONNREFUSED, EFAULT, EINTR, EINVAL, ENOMEM, ENOTCONN, ENOTSOCK),
        PASS(EINTR), NEVER(READINESS)),
    ROW(sendmmsg,
        MAN(EACCES, EAGAIN, EALREADY, EBADF, ECONNRESET, EDESTADDRREQ, EFAULT, EINTR, EINVAL,
            EISCONN, EMSGSIZE, ENOBUFS, ENOMEM, ENOTCONN, ENOTSOCK, EOPNOTSUPP, EPIPE),
        PASS(EINTR), NEVER(READINESS)),
    ROW(pread, MAN(EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR, ENXIO, EOVERFLOW, ESPIPE),
        PASS(EINTR), NEVER(NONE)),
    /* A probe: is it in the cache? Also what old kernels say; then the offload pool reads. */
    ROW(preadv2, MAN(EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR, ENOSYS, EOPNOTSUPP, ESPIPE),
        PASS(ALL), NEVER(NONE)),
    /* Another way is found: splice.c, rn__splice_refused. */
    ROW(sendfile,
        MAN(EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, ENOMEM, EOVERFLOW, ESPIPE, ENOSYS, EPIPE),
        PASS(EINTR, EINVAL, ENOSYS), NEVER(READINESS)),
    ROW(splice, MAN(EAGAIN, EBADF, EINTR, EINVAL, ENOMEM, ESPIPE, EPIPE, ENOSYS),
        PASS(EINTR, EINVAL, ENOSYS), NEVER(READINESS)),
    ROW(epoll_create1, MAN(EINVAL, EMFILE, ENFILE, ENOMEM), PASS(NONE), NEVER(NONE)),
    /* The removals, after which the descriptor is closed. */
    ROW(epoll_ctl, MAN(EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, ENOSPC, EPERM), PASS(ALL),
        NEVER(NONE)),
    /* Only a broken runnel could be told so, and then it aborts: sched.c. */
    ROW(epoll_wait, MAN(EBADF, EFAULT, EINTR, EINVAL), PASS(EINTR), NEVER(EBADF, EFAULT, EINVAL)),
    ROW(epoll_pwait2, MAN(EBADF, EFAULT, EINTR, EINVAL, ENOSYS, EPERM), PASS(EINTR, ENOSYS, EPERM),
        NEVER(EBADF, EFAULT, EINVAL)),
    ROW(ppoll, MAN(EFAULT, EINTR, EINVAL, ENOMEM), PASS(EINTR, ENOMEM), NEVER(EFAULT, EINVAL)),
    ROW(pselect6, MAN(EBADF, EINTR, EINVAL, ENOMEM), PASS(EINTR, ENOMEM), NEVER(EBADF, EINVAL)),
    /* Then epoll stands in. */
    ROW(io_uring_setup, MAN(EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS),
        PASS(EFAULT, EINVAL, EPERM, ENOSYS), NEVER(NONE)),
    ROW(io_uring_enter,
        MAN(EAGAIN, EBADF, EBADFD, EBADR, EBUSY, EEXIST, EFAULT, EINVAL, EINTR, ENXIO, EOPNOTSUPP),
        PASS(EAGAIN, EBUSY, EINTR),
        NEVER(EBADF, EBADFD, EBADR, EEXIST, EFAULT, EINVAL, ENXIO, EOPNOTSUPP)),
    /* Tried before it is chosen (rn__poller_try); then only a broken runnel could be told so. */
    ROW(io_uring_register,
        MAN(EACCES, EBADF, EBADFD, EBUSY, EEXIST, EFAULT, EINVAL, EMFILE, ENOMEM, ENXIO, EOPNOTSUPP,
            EPERM),
        PASS(NONE),
        NEVER(EACCES, EBADF, EBADFD, EBUSY, EEXIST, EFAULT, EINVAL, EMFILE, ENOMEM, ENXIO,
              EOPNOTSUPP, EPERM)),
    ROW(eventfd2, MAN(EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM), PASS(NONE), NEVER(NONE)),
    /* A wake that is lost is for ever, and cannot be: EAGAIN needs 2^64 - 2 that nobody saw. */
    ROW(eventfd_write, MAN(EAGAIN, EINVAL, EBADF), PASS(NONE), NEVER(EAGAIN, EINVAL, EBADF)),
    /* The size of a pipe. */
    /* EAGAIN is said of locks. */
    ROW(fcntl,
        MAN(EACCES, EAGAIN, EBADF, EBUSY, EDEADLK, EFAULT, EINTR, EINVAL, EMFILE, ENOLCK, ENOTDIR,
            EPERM),
        PASS(ALL), NEVER(EAGAIN)),
    /* Is there unread input? Where a close cannot know, it does not linger. */
    ROW(ioctl, MAN(EBADF, EFAULT, EINVAL, ENOTTY), PASS(ALL), NEVER(NONE)),
    /* Those again. */
    ROW(openat,
        MAN(EACCES, EBADF, EBUSY, EDQUOT, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP,
            EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTDIR, ENXIO,
            EOPNOTSUPP, EOVERFLOW, EPERM, EROFS, ETXTBSY),
        PASS(ALL), NEVER(NONE)),
    /* Not from memory, or before Linux 5.12: another thread asks again. */
    ROW(openat2,
        MAN(E2BIG, EAGAIN, EINVAL, ELOOP, EXDEV, EACCES, EMFILE, ENFILE, ENOENT, ENOMEM, ENOSYS),
        PASS(EAGAIN, EINVAL), NEVER(NONE)),
    ROW(fstat, MAN(EBADF, EFAULT, ENOMEM, EOVERFLOW), PASS(NONE), NEVER(NONE)),
    ROW(fstatat,
        MAN(EACCES, EBADF, EFAULT, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW),
        PASS(NONE), NEVER(NONE)),
    ROW(readlinkat,
        MAN(EACCES, EBADF, EFAULT, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR),
        PASS(NONE), NEVER(NONE)),
    ROW(getdents64, MAN(EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR), PASS(NONE), NEVER(NONE)),
    /* Of a close, which tells nothing. */
    ROW(memfd_create, MAN(EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM), PASS(NONE), NEVER(NONE)),
    ROW(unlink,
        MAN(EACCES, EBUSY, EFAULT, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM,
            EROFS),
        PASS(ALL), NEVER(NONE)),
    /* An alternate stack: without it an overflow is an ordinary fault. */
    ROW(mmap,
        MAN(EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE, ENODEV, ENOMEM, EOVERFLOW, EPERM,
            ETXTBSY),
        PASS(ALL), NEVER(NONE)),
    /* Nobody can do anything about it. */
    ROW(munmap, MAN(EINVAL, ENOMEM), PASS(ALL), NEVER(NONE)),
    ROW(mprotect, MAN(EACCES, EINVAL, ENOMEM), PASS(NONE), NEVER(NONE)),
    /* Advice; and guards, for which mprotect stands in. */
    ROW(madvise, MAN(EACCES, EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EIO, ENOMEM, EPERM), PASS(ALL),
        NEVER(NONE)),
    /* How deep stacks get is then not known. */
    ROW(mincore, MAN(EAGAIN, EFAULT, EINVAL, ENOMEM), PASS(ALL), NEVER(NONE)),
    /* Then all CPUs are taken for usable. */
    ROW(sched_getaffinity, MAN(EFAULT, EINVAL, EPERM, ESRCH), PASS(ALL), NEVER(NONE)),
    /* Then the limit stays what it was. */
    ROW(prlimit, MAN(EFAULT, EINVAL, EPERM, ESRCH), PASS(ALL), NEVER(NONE)),
    /* Then naps, and sleeps, end later. */
    ROW(prctl, MAN(EACCES, EBADF, EBUSY, EFAULT, EINVAL, ENODEV, ENXIO, EOPNOTSUPP, EPERM),
        PASS(ALL), NEVER(NONE)),
    ROW(rt_tgsigqueueinfo, MAN(EAGAIN, EINVAL, EPERM, ESRCH), PASS(NONE), NEVER(NONE)),
    /* Without one a copy reads and writes. */
    ROW(pipe2, MAN(EFAULT, EINVAL, EMFILE, ENFILE, ENOPKG), PASS(ALL), NEVER(NONE)),
    ROW(dup3, MAN(EBADF, EBUSY, EINTR, EINVAL, EMFILE), PASS(NONE), NEVER(NONE)),
    ROW(posix_spawn,
        MAN(EAGAIN, EINVAL, ENOMEM, ENOSYS, E2BIG, EACCES, EFAULT, EIO, EISDIR, ELIBBAD, ELOOP,
            EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETXTBSY),
        PASS(NONE), NEVER(NONE)),
    /* ESRCH: an ignored child has ended, which is told when it is waited for. */
    ROW(pidfd_open, MAN(EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ESRCH, ENOSYS), PASS(ESRCH),
        NEVER(NONE)),
    ROW(pidfd_send_signal, MAN(EBADF, EINVAL, EPERM, ESRCH), PASS(NONE), NEVER(NONE)),
    ROW(kill, MAN(EINVAL, EPERM, ESRCH), PASS(NONE), NEVER(NONE)),
    /* Of a process that was left to itself. */
    /* EAGAIN is said of a pidfd that does not block. */
    ROW(waitid, MAN(EAGAIN, ECHILD, EINTR, EINVAL, ESRCH), PASS(ALL), NEVER(EAGAIN)),
    /* A thread more for the pool, which has one. */
    ROW(clone, MAN(EAGAIN, EINVAL, ENOMEM, EPERM), PASS(ALL), NEVER(NONE)),
};
