/*
 * sys.h - the one table of system calls
 *
 * Every system call that runnel makes is a row here: it is counted, its errors and bytes are
 * summed, its time is sampled, and a test can make it fail or fall short. Results are >= 0 or
 * -errno. EINTR is retried where a retry is right: never for close (the descriptor is gone),
 * connect (it goes on by itself) and the waits (their caller looks at the clock again).
 *
 * Counters live in a block per thread that only that thread writes (relaxed loads and stores, no
 * locked instruction); task gives each P its own, every other thread shares one by locked adds.
 */
#ifndef RN_BASE_SYS_H
#define RN_BASE_SYS_H

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/base.h"
#include "base/hist.h"
#include "base/slowest.h"

/* X(name, retries EINTR, result is a count of bytes) */
#define RN__SYS_ROWS(X)                                                                            \
    X(socket, 1, 0)                                                                                \
    X(socketpair, 1, 0)                                                                            \
    X(bind, 1, 0)                                                                                  \
    X(listen, 1, 0)                                                                                \
    X(accept4, 1, 0)                                                                               \
    X(connect, 0, 0)                                                                               \
    X(getsockname, 1, 0)                                                                           \
    X(getpeername, 1, 0)                                                                           \
    X(getsockopt, 1, 0)                                                                            \
    X(setsockopt, 1, 0)                                                                            \
    X(shutdown, 1, 0)                                                                              \
    X(close, 0, 0)                                                                                 \
    X(read, 1, 1)                                                                                  \
    X(write, 1, 1)                                                                                 \
    X(readv, 1, 1)                                                                                 \
    X(writev, 1, 1)                                                                                \
    X(recv, 1, 1)                                                                                  \
    X(send, 1, 1)                                                                                  \
    X(recvmsg, 1, 1)                                                                               \
    X(sendmsg, 1, 1)                                                                               \
    X(recvmmsg, 1, 0)                                                                              \
    X(sendmmsg, 1, 0)                                                                              \
    X(pread, 1, 1)                                                                                 \
    X(preadv2, 1, 1)                                                                               \
    X(sendfile, 1, 1)                                                                              \
    X(splice, 1, 1)                                                                                \
    X(epoll_create1, 1, 0)                                                                         \
    X(epoll_ctl, 1, 0)                                                                             \
    X(epoll_wait, 0, 0)                                                                            \
    X(epoll_pwait2, 0, 0)                                                                          \
    X(ppoll, 0, 0)                                                                                 \
    X(pselect6, 0, 0)                                                                              \
    X(io_uring_setup, 1, 0)                                                                        \
    X(io_uring_enter, 0, 0)                                                                        \
    X(io_uring_register, 1, 0)                                                                     \
    X(eventfd2, 1, 0)                                                                              \
    X(eventfd_write, 1, 0) /* write(2), told apart: a wake */                                      \
    X(fcntl, 1, 0)                                                                                 \
    X(ioctl, 1, 0)                                                                                 \
    X(openat, 1, 0)                                                                                \
    X(openat2, 1, 0)                                                                               \
    X(fstat, 1, 0)                                                                                 \
    X(fstatat, 1, 0)                                                                               \
    X(readlinkat, 1, 0)                                                                            \
    X(getdents64, 1, 1)                                                                            \
    X(unlink, 1, 0)                                                                                \
    X(mmap, 1, 0)                                                                                  \
    X(munmap, 1, 0)                                                                                \
    X(mprotect, 1, 0)                                                                              \
    X(madvise, 1, 0)                                                                               \
    X(mincore, 1, 0)                                                                               \
    X(sched_getaffinity, 1, 0)                                                                     \
    X(prlimit, 1, 0)                                                                               \
    X(prctl, 1, 0)                                                                                 \
    X(rt_tgsigqueueinfo, 1, 0)                                                                     \
    X(pipe2, 1, 0)                                                                                 \
    X(dup3, 1, 0)                                                                                  \
    X(posix_spawn, 1, 0) /* clone and execve, as libc makes them */                                \
    X(pidfd_open, 1, 0)                                                                            \
    X(pidfd_send_signal, 1, 0)                                                                     \
    X(kill, 1, 0)                                                                                  \
    X(waitid, 1, 0)                                                                                \
    X(memfd_create, 1, 0)                                                                          \
    X(clone, 1, 0)

enum rn__sys_row {
#define RN__SYS_ENUM(name, retry, bytes) RN__SYS_##name,
    RN__SYS_ROWS(RN__SYS_ENUM)
#undef RN__SYS_ENUM
        RN__SYS_COUNT
};

/* The first few kinds of error that a row met; further ones are in `errors` only. */
#define RN__SYS_KINDS 6

struct rn__sys_kind {
    _Atomic int error; /* positive errno; 0: not taken yet */
    _Atomic uint64_t n;
};

/* What each call adds to. Four rows share a cache line: that of recv and send is the only one that
 * most requests touch. */
struct rn__sys_count {
    _Atomic uint64_t calls;
    _Atomic uint64_t bytes;
};

struct rn__sys_stat {
    _Atomic uint64_t errors; /* EAGAIN and EINPROGRESS are not errors */
    _Atomic uint64_t again;
    _Atomic uint64_t sampled_ns; /* of all in latency */
    struct rn__sys_kind kinds[RN__SYS_KINDS];
    struct rn__hist latency; /* ns, one call in RN__SYS_SAMPLE */
};

#define RN__SYS_SAMPLE 64

struct rn__sys_block {
    _Alignas(RN_CACHE_LINE) struct rn__sys_count counts[RN__SYS_COUNT];
    bool shared; /* [C] more than one thread writes */
    struct rn__sys_stat rows[RN__SYS_COUNT];
    struct rn__slowest slowest; /* of the sampled calls, but for those that wait by intent */
    enum rn__sys_row slow_rows[RN__SLOWEST]; /* [L] of slowcall.c */
};

/* One of these. */
struct rn__sys_slow {
    enum rn__sys_row row;
    rn_time at, took; /* when it ended; how long it was */
};

/* The calling thread's block from now on; NULL goes back to the shared one. The block must outlive
 * its use; base neither allocates nor frees it. */
void rn__sys_use_block(struct rn__sys_block *block);
struct rn__sys_block *rn__sys_shared_block(void);

/* Notes a call, unless it is one that waits for events; the slowest are kept. */
void rn__sys_add_slow(struct rn__sys_block *block, enum rn__sys_row row, rn_time now, rn_time took);

/* The slowest of the last minute, in no order; how many. */
int rn__sys_slowest(const struct rn__sys_block *block, struct rn__sys_slow ret[static RN__SLOWEST]);

const char *rn__sys_name(enum rn__sys_row row);
int rn__sys_row_by_name(const char *name); /* -1 where there is none */

/*
 * Tests: the nth call of a row from now (1 = the next), and the count - 1 after it, fail with
 * error (a positive errno) without reaching the kernel; or their length is cut to at most `most`
 * bytes (of recvmmsg and sendmmsg: messages). Rules add up, at most 16; clear ends them all. While
 * no rule is set, a call pays one predicted branch for this. -EINVAL for an unknown row, -ENOSPC
 * for a seventeenth rule.
 */
int rn__sys_fail(const char *row, int error, unsigned nth, unsigned count);
int rn__sys_short(const char *row, size_t most, unsigned nth, unsigned count);
void rn__sys_clear(void);
unsigned rn__sys_hits(void); /* calls that rules have hit since the first of them was set */

/* What the rules say of one that is no system call of its own, but an entry in a ring: -errno, or 0
 * with *len perhaps cut. */
int rn__sys_rule(enum rn__sys_row row, size_t *len);

RN__BESIDE int rn__sys_socket(int family, int type, int protocol);
int rn__sys_socketpair(int family, int type, int protocol, int fds[2]);
int rn__sys_bind(int fd, const struct sockaddr *sa, socklen_t len);
int rn__sys_listen(int fd, int backlog);
int rn__sys_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
RN__BESIDE int rn__sys_connect(int fd, const struct sockaddr *sa, socklen_t len);
int rn__sys_getsockname(int fd, struct sockaddr *sa, socklen_t *len);
int rn__sys_getpeername(int fd, struct sockaddr *sa, socklen_t *len);
int rn__sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int rn__sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int rn__sys_shutdown(int fd, int how);
RN__BESIDE int rn__sys_close(int fd);
ssize_t rn__sys_read(int fd, void *buf, size_t len);
ssize_t rn__sys_write(int fd, const void *buf, size_t len);
ssize_t rn__sys_readv(int fd, const struct iovec *iov, int n);
ssize_t rn__sys_writev(int fd, const struct iovec *iov, int n);
ssize_t rn__sys_recv(int fd, void *buf, size_t len, int flags);
ssize_t rn__sys_send(int fd, const void *buf, size_t len, int flags);
RN__BESIDE ssize_t rn__sys_recvmsg(int fd, struct msghdr *msg, int flags);
RN__BESIDE ssize_t rn__sys_sendmsg(int fd, const struct msghdr *msg, int flags);
/* Up to n messages, without waiting for more than the first; how many. */
int rn__sys_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
int rn__sys_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
ssize_t rn__sys_pread(int fd, void *buf, size_t len, off_t at);
ssize_t rn__sys_preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags);
ssize_t rn__sys_sendfile(int out, int in, off_t *at, size_t len);
ssize_t rn__sys_splice(int in, int out, size_t len, unsigned flags); /* from and to no offset */
RN__BESIDE int rn__sys_epoll_create1(int flags);
RN__BESIDE int rn__sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev);
RN__BESIDE int rn__sys_epoll_wait(int ep, struct epoll_event *ev, int max, int timeout_ms);
int rn__sys_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *timeout);
int rn__sys_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout);
int rn__sys_pselect6(int n, fd_set *rd, fd_set *wr, fd_set *ex, const struct timespec *timeout);
/* By liburing; -ENOSYS where runnel was built without it. enter submits what is queued and lets the
 * kernel complete what is ready; with `wait` it waits for a completion, for no longer than timeout
 * (NULL: no end). No completion in time is 0 too. */
struct io_uring;
struct io_uring_params;
int rn__sys_io_uring_setup(unsigned entries, struct io_uring_params *params, struct io_uring *ret);
int rn__sys_io_uring_enter(struct io_uring *ring, bool wait, const struct timespec *timeout);
int rn__sys_io_uring_register(int ring_fd, unsigned op, void *arg, unsigned n);
int rn__sys_eventfd2(unsigned initial, int flags);
int rn__sys_eventfd_write(int fd); /* adds 1 */
int rn__sys_fcntl(int fd, int cmd, long arg);
int rn__sys_ioctl(int fd, unsigned long request, void *arg);
int rn__sys_openat(int dir, const char *path, int flags, mode_t mode);
int rn__sys_openat2(int dir, const char *path, int flags, unsigned long long resolve);
int rn__sys_fstat(int fd, struct stat *st);
RN__BESIDE int rn__sys_fstatat(int dir, const char *path, struct stat *st, int flags);
/* The length; the text has no NUL. */
int rn__sys_readlinkat(int dir, const char *path, char *text, size_t room);
ssize_t rn__sys_getdents64(int dir, void *buf, size_t len); /* struct dirent64s */
int rn__sys_unlink(const char *path);
/* mmap's result travels through *ret: an address is no errno. Anonymous and private, always. */
int rn__sys_mmap(size_t len, int prot, int flags, void **ret);
int rn__sys_munmap(void *at, size_t len);
int rn__sys_mprotect(void *at, size_t len, int prot);
int rn__sys_madvise(void *at, size_t len, int advice);
int rn__sys_mincore(void *at, size_t len, unsigned char *resident);
int rn__sys_sched_getaffinity(size_t bytes, void *mask);
int rn__sys_prlimit(int resource, const void *set, void *get);
int rn__sys_prctl(int option, unsigned long arg);
int rn__sys_pipe2(int fds[2], int flags);
int rn__sys_dup3(int fd, int to, int flags);
int rn__sys_memfd_create(const char *name, unsigned flags);
/* posix_spawnp; actions and attributes as there. *ret: the process. */
int rn__sys_posix_spawn(const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attr, char *const *argv, char *const *env,
                        pid_t *ret);
int rn__sys_pidfd_open(pid_t pid);
int rn__sys_pidfd_send_signal(int pidfd, int sig);
int rn__sys_kill(pid_t pid, int sig);
/* Has the child (P_PIDFD, P_PID) ended? 1 and *status as waitpid's: it is reaped; 0: not yet. */
int rn__sys_waitid(idtype_t type, int id, int *status);
/* To one thread of this process, with a pointer. */
int rn__sys_rt_tgsigqueueinfo(int tid, int sig, void *value);
/* pthread_create, counted as the clone it makes. */
int rn__sys_thread(void *(*fn)(void *), void *arg, size_t stack_bytes, unsigned long *ret);

/* A result of these as the system itself would have told it, for somebody else's code that calls
 * them in its place (c-ares): -1, and errno. */
RN__BESIDE long rn__sys_to_errno(long result);

/* For last words and signal handlers: uncounted, async-signal-safe, leaves errno alone. */
int rn__panic_write(int fd, const char *text, size_t len);
int rn__panic_getpeername(int fd, struct sockaddr *sa, socklen_t *len);

#endif
