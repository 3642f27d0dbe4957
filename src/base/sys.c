/*
 * sys.c - the one table of system calls
 *
 * Owns: the rows' counters of the shared block, the rules of tests. The only file that reads
 * errno; no function here parks, so errno is read on the thread, and in the moment, that set it.
 */
#include "base/san.h"
#include "base/sys.h"

#ifdef RN_IO_URING
#include <liburing.h>
#endif
#include <dirent.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_RULES 16

struct row_kind {
    const char *name;
    bool retry;
    bool bytes;
};

static const struct row_kind kinds[RN__SYS_COUNT] = {
#define KIND(n, r, b) [RN__SYS_##n] = {.name = #n, .retry = r, .bytes = b},
    RN__SYS_ROWS(KIND)
#undef KIND
};

static struct rn__sys_block shared_block = {.shared = true};
static _Thread_local __attribute__((unused)) struct rn__sys_block *own_block;

struct rule {
    int row;
    int error;      /* positive errno, or 0 for a short call */
    size_t most;    /* bytes, for a short call */
    unsigned after; /* calls still to pass */
    unsigned count; /* calls still to hit */
};

static struct rule rules[MAX_RULES]; /* [L] rules_lock */
static unsigned n_rules;             /* [L] */
static unsigned hits;                /* [L] */
static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool rules_set; /* the one branch a call pays */

void rn__sys_use_block(struct rn__sys_block *block)
{
    own_block = block;
}

struct rn__sys_block *rn__sys_shared_block(void)
{
    return &shared_block;
}

const char *rn__sys_name(enum rn__sys_row row)
{
    return kinds[row].name;
}

int rn__sys_row_by_name(const char *name)
{
    for (int i = 0; i < RN__SYS_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return i;
    return -1;
}

static int add_rule(const char *name, int error, size_t most, unsigned nth, unsigned count)
{
    int row = rn__sys_row_by_name(name), r = 0;

    if (row < 0 || nth == 0 || count == 0)
        return -EINVAL;
    pthread_mutex_lock(&rules_lock);
    if (n_rules == MAX_RULES) {
        r = -ENOSPC;
    } else {
        if (n_rules == 0)
            hits = 0;
        rules[n_rules++] = (struct rule){
            .row = row, .error = error, .most = most, .after = nth - 1, .count = count};
        atomic_store(&rules_set, true);
    }
    pthread_mutex_unlock(&rules_lock);
    return r;
}

int rn__sys_fail(const char *row, int error, unsigned nth, unsigned count)
{
    return error <= 0 ? -EINVAL : add_rule(row, error, 0, nth, count);
}

int rn__sys_short(const char *row, size_t most, unsigned nth, unsigned count)
{
    return add_rule(row, 0, most, nth, count);
}

void rn__sys_clear(void)
{
    pthread_mutex_lock(&rules_lock);
    n_rules = 0;
    atomic_store(&rules_set, false);
    pthread_mutex_unlock(&rules_lock);
}

unsigned rn__sys_hits(void)
{
    unsigned n;

    pthread_mutex_lock(&rules_lock);
    n = hits;
    pthread_mutex_unlock(&rules_lock);
    return n;
}

/* What the rules say of this call: -errno to fail with, or 0 with *len perhaps cut. */
static __attribute__((noinline, cold)) int apply_rules(enum rn__sys_row row, size_t *len)
{
    int r = 0;

    pthread_mutex_lock(&rules_lock);
    for (unsigned i = 0; i < n_rules; i++) {
        struct rule *rule = &rules[i];

        if (rule->row != (int)row || rule->count == 0)
            continue;
        if (rule->after > 0) {
            rule->after--;
            continue;
        }
        rule->count--;
        hits++;
        if (rule->error != 0)
            r = -rule->error;
        else if (*len > rule->most)
            *len = rule->most;
    }
    pthread_mutex_unlock(&rules_lock);
    return r;
}

#ifdef RN_NO_STATS
#define block_of_thread() NULL
#define begin(b, row) ((void)(b), (rn_time)0)
#define finish(b, row, r, start) ((void)(start))
#else
static void bump(const struct rn__sys_block *b, _Atomic uint64_t *counter, uint64_t by)
{
    if (RN_UNLIKELY(b->shared))
        atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
    else
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                              memory_order_relaxed);
}

/* The first error of a kind takes a place in the row; only the shared block has more than one
 * thread that may want it. */
static __attribute__((noinline, cold)) void count_kind(const struct rn__sys_block *b,
                                                       struct rn__sys_stat *s, int error)
{
    for (int i = 0; i < RN__SYS_KINDS; i++) {
        int there = 0;

        if (atomic_compare_exchange_strong(&s->kinds[i].error, &there, error) || there == error) {
            bump(b, &s->kinds[i].n, 1);
            return;
        }
    }
}

static __attribute__((noinline)) void count_failure(struct rn__sys_block *b, enum rn__sys_row row,
                                                    long r)
{
    struct rn__sys_stat *s = &b->rows[row];

    if (r == -EAGAIN) {
        bump(b, &s->again, 1);
    } else if (r != -EINPROGRESS) {
        bump(b, &s->errors, 1);
        count_kind(b, s, (int)-r);
    }
}

static __attribute__((noinline, cold)) void add_sample(struct rn__sys_block *b,
                                                       enum rn__sys_row row, rn_time start)
{
    struct rn__sys_stat *s = &b->rows[row];
    rn_time now = rn_now(), took = now - start;

    rn__hist_add(&s->latency, (uint64_t)took);
    bump(b, &s->sampled_ns, (uint64_t)took);
    if (rn__slowest_wants(&b->slowest, now, took))
        rn__sys_add_slow(b, row, now, took);
}

static inline struct rn__sys_block *block_of_thread(void)
{
    struct rn__sys_block *b = own_block;

    return RN_LIKELY(b != NULL) ? b : &shared_block;
}

static inline rn_time begin(struct rn__sys_block *b, enum rn__sys_row row)
{
    uint64_t n = atomic_load_explicit(&b->counts[row].calls, memory_order_relaxed);

    bump(b, &b->counts[row].calls, 1);
    return RN_UNLIKELY(n % RN__SYS_SAMPLE == 0) ? rn_now() : 0;
}

static inline void finish(struct rn__sys_block *b, enum rn__sys_row row, long r, rn_time start)
{
    if (RN_UNLIKELY(start != 0))
        add_sample(b, row, start);
    if (RN_UNLIKELY(r < 0))
        count_failure(b, row, r);
    else if (kinds[row].bytes)
        bump(b, &b->counts[row].bytes, (uint64_t)r);
}
#endif

int rn__sys_rule(enum rn__sys_row row, size_t *len)
{
    int r = 0;

    if (RN_UNLIKELY(atomic_load_explicit(&rules_set, memory_order_relaxed)))
        do
            r = apply_rules(row, len);
        while (r == -EINTR);
    return r;
}

/*
 * One call, whole: rules, clock, kernel, EINTR, counters. `len` is the variable that a rule may cut
 * and `expr` may use. Injected errors take the kernel's place inside the retry loop, so that an
 * injected EINTR is retried like a real one.
 */
#define CALL(row, len, result, expr)                                                               \
    do {                                                                                           \
        struct rn__sys_block *b_ = block_of_thread();                                              \
        rn_time start_ = begin(b_, RN__SYS_##row);                                                 \
        long r_;                                                                                   \
        do {                                                                                       \
            r_ = 0;                                                                                \
            if (RN_UNLIKELY(atomic_load_explicit(&rules_set, memory_order_relaxed)))               \
                r_ = apply_rules(RN__SYS_##row, &(len));                                           \
            if (r_ == 0) {                                                                         \
                r_ = (long)(expr);                                                                 \
                if (RN_UNLIKELY(r_ < 0))                                                           \
                    r_ = -errno;                                                                   \
            }                                                                                      \
        } while (kinds[RN__SYS_##row].retry && RN_UNLIKELY(r_ == -EINTR));                         \
        finish(b_, RN__SYS_##row, r_, start_);                                                     \
        (result) = (__typeof__(result))r_;                                                         \
    } while (0)

/* A call without a length to cut. */
#define SIMPLE(row, expr)                                                                          \
    do {                                                                                           \
        size_t none_ = 0;                                                                          \
        int result_;                                                                               \
        CALL(row, none_, result_, expr);                                                           \
        return result_;                                                                            \
    } while (0)

/* A call that moves at most len bytes. */
#define TRANSFER(row, expr)                                                                        \
    do {                                                                                           \
        ssize_t result_;                                                                           \
        CALL(row, len, result_, expr);                                                             \
        return result_;                                                                            \
    } while (0)

/*
 * Where a process has threads, libc's recv and send allow pthread_cancel around the call and forbid
 * it after: four locked instructions for each request, and nobody cancels a thread of ours. The
 * sanitizers want to see the calls.
 */
#if defined(SYS_recvfrom) && defined(SYS_sendto) && !defined(RN_ASAN) && !defined(RN_TSAN)
#define RECV(fd, buf, len, flags) syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL)
#define SEND(fd, buf, len, flags) syscall(SYS_sendto, fd, buf, len, flags, NULL, 0)
#else
#define RECV recv
#define SEND send
#endif

/* clang-format off */
int rn__sys_socket(int family, int type, int protocol)
{ SIMPLE(socket, socket(family, type, protocol)); }

int rn__sys_socketpair(int family, int type, int protocol, int fds[2])
{ SIMPLE(socketpair, socketpair(family, type, protocol, fds)); }

int rn__sys_bind(int fd, const struct sockaddr *sa, socklen_t len)
{ SIMPLE(bind, bind(fd, sa, len)); }

int rn__sys_listen(int fd, int backlog)
{ SIMPLE(listen, listen(fd, backlog)); }

int rn__sys_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{ SIMPLE(accept4, accept4(fd, sa, len, flags)); }

int rn__sys_connect(int fd, const struct sockaddr *sa, socklen_t len)
{ SIMPLE(connect, connect(fd, sa, len)); }

int rn__sys_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{ SIMPLE(getsockname, getsockname(fd, sa, len)); }

int rn__sys_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{ SIMPLE(getpeername, getpeername(fd, sa, len)); }

int rn__sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{ SIMPLE(getsockopt, getsockopt(fd, level, name, value, len)); }

int rn__sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{ SIMPLE(setsockopt, setsockopt(fd, level, name, value, len)); }

int rn__sys_shutdown(int fd, int how)
{ SIMPLE(shutdown, shutdown(fd, how)); }

/* Never retried: Linux releases the descriptor before it can report EINTR, and by the time of a
 * second close the number may be somebody else's. An injected failure closes all the same. */
int rn__sys_close(int fd)
{
    size_t none = 0;
    bool closed = false;
    int r;

    CALL(close, none, r, (closed = true, close(fd)));
    if (RN_UNLIKELY(!closed))
        (void)close(fd);
    return r;
}

ssize_t rn__sys_read(int fd, void *buf, size_t len)
{ TRANSFER(read, read(fd, buf, len)); }

ssize_t rn__sys_write(int fd, const void *buf, size_t len)
{ TRANSFER(write, write(fd, buf, len)); }

ssize_t rn__sys_recv(int fd, void *buf, size_t len, int flags)
{ TRANSFER(recv, RECV(fd, buf, len, flags)); }

ssize_t rn__sys_send(int fd, const void *buf, size_t len, int flags)
{ TRANSFER(send, SEND(fd, buf, len, flags)); }

ssize_t rn__sys_pread(int fd, void *buf, size_t len, off_t at)
{ TRANSFER(pread, pread(fd, buf, len, at)); }

ssize_t rn__sys_sendfile(int out, int in, off_t *at, size_t len)
{ TRANSFER(sendfile, sendfile(out, in, at, len)); }

ssize_t rn__sys_splice(int in, int out, size_t len, unsigned flags)
{ TRANSFER(splice, splice(in, NULL, out, NULL, len, flags)); }
/* clang-format on */

/* Vectors are cut by shortening a copy: the caller's must stay whole for the next try. */
#define CUT_VECS 8

static int cut_vectors(struct iovec *cut, const struct iovec *iov, int n, size_t most)
{
    int used = 0;

    while (used < n && used < CUT_VECS && most > 0) {
        cut[used] = iov[used];
        if (cut[used].iov_len > most)
            cut[used].iov_len = most;
        most -= cut[used++].iov_len;
    }
    return used;
}

static ssize_t vector_call(bool write, int fd, const struct iovec *iov, int n, size_t most)
{
    struct iovec cut[CUT_VECS];

    if (RN_UNLIKELY(most != SIZE_MAX)) {
        n = cut_vectors(cut, iov, n, most);
        iov = cut;
    }
    return write ? writev(fd, iov, n) : readv(fd, iov, n);
}

ssize_t rn__sys_readv(int fd, const struct iovec *iov, int n)
{
    size_t len = SIZE_MAX;

    TRANSFER(readv, vector_call(false, fd, iov, n, len));
}

ssize_t rn__sys_writev(int fd, const struct iovec *iov, int n)
{
    size_t len = SIZE_MAX;

    TRANSFER(writev, vector_call(true, fd, iov, n, len));
}

ssize_t rn__sys_preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    struct iovec cut[CUT_VECS];
    size_t len = SIZE_MAX;

    TRANSFER(preadv2, len == SIZE_MAX ? preadv2(fd, iov, n, at, flags)
                                      : preadv2(fd, cut, cut_vectors(cut, iov, n, len), at, flags));
}

static struct msghdr cut_message(struct iovec *cut, const struct msghdr *msg, size_t most)
{
    struct msghdr m = *msg;

    m.msg_iovlen = (size_t)cut_vectors(cut, msg->msg_iov, (int)msg->msg_iovlen, most);
    m.msg_iov = cut;
    return m;
}

static ssize_t receive(int fd, struct msghdr *msg, int flags, size_t most)
{
    struct iovec cut[CUT_VECS];
    struct msghdr m;
    ssize_t n;

    if (RN_LIKELY(most == SIZE_MAX))
        return recvmsg(fd, msg, flags);
    m = cut_message(cut, msg, most);
    n = recvmsg(fd, &m, flags);
    if (n >= 0) { /* what the kernel says beside the bytes */
        msg->msg_namelen = m.msg_namelen;
        msg->msg_controllen = m.msg_controllen;
        msg->msg_flags = m.msg_flags;
    }
    return n;
}

ssize_t rn__sys_recvmsg(int fd, struct msghdr *msg, int flags)
{
    size_t len = SIZE_MAX;

    TRANSFER(recvmsg, receive(fd, msg, flags, len));
}

static ssize_t transmit(int fd, const struct msghdr *msg, int flags, size_t most)
{
    struct iovec cut[CUT_VECS];
    struct msghdr m;

    if (RN_LIKELY(most == SIZE_MAX))
        return sendmsg(fd, msg, flags);
    m = cut_message(cut, msg, most);
    return sendmsg(fd, &m, flags);
}

ssize_t rn__sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    size_t len = SIZE_MAX;

    TRANSFER(sendmsg, transmit(fd, msg, flags, len));
}

/* Of several messages a rule cuts the number. */
int rn__sys_recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    size_t most = n;
    int r;

    CALL(recvmmsg, most, r, recvmmsg(fd, msgs, (unsigned)most, flags, NULL));
    return r;
}

int rn__sys_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    size_t most = n;
    int r;

    CALL(sendmmsg, most, r, sendmmsg(fd, msgs, (unsigned)most, flags));
    return r;
}

/* liburing says -errno; here errors travel through errno, as those of the other calls do. */
#ifdef RN_IO_URING
static int to_errno(int r)
{
    if (r >= 0)
        return r;
    errno = -r;
    return -1;
}

static int ring_setup(unsigned entries, struct io_uring_params *params, struct io_uring *ret)
{
    return to_errno(io_uring_queue_init_params(entries, ret, params));
}

static int ring_enter(struct io_uring *ring, bool wait, const struct timespec *timeout)
{
    struct __kernel_timespec ts;
    struct io_uring_cqe *cqe;
    int r;

    if (!wait)
        return to_errno(io_uring_submit_and_get_events(ring));
    if (timeout == NULL)
        return to_errno(io_uring_submit_and_wait(ring, 1));
    ts.tv_sec = timeout->tv_sec;
    ts.tv_nsec = timeout->tv_nsec;
    r = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, NULL);
    return r == -ETIME ? 0 : to_errno(r);
}

static int ring_register(int fd, unsigned op, void *arg, unsigned n)
{
    return to_errno(io_uring_register((unsigned)fd, op, arg, n));
}
#else
static int no_ring(void)
{
    errno = ENOSYS;
    return -1;
}
#define ring_setup(entries, params, ret) ((void)(entries), (void)(params), (void)(ret), no_ring())
#define ring_enter(ring, wait, timeout) ((void)(ring), (void)(wait), (void)(timeout), no_ring())
#define ring_register(fd, op, arg, n) ((void)(fd), (void)(op), (void)(arg), (void)(n), no_ring())
#endif

/* clang-format off */
int rn__sys_epoll_create1(int flags)
{ SIMPLE(epoll_create1, epoll_create1(flags)); }

int rn__sys_epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{ SIMPLE(epoll_ctl, epoll_ctl(ep, op, fd, ev)); }

int rn__sys_epoll_wait(int ep, struct epoll_event *ev, int max, int timeout_ms)
{ SIMPLE(epoll_wait, epoll_wait(ep, ev, max, timeout_ms)); }

int rn__sys_epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *timeout)
{ SIMPLE(epoll_pwait2, epoll_pwait2(ep, ev, max, timeout, NULL)); }

int rn__sys_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout)
{ SIMPLE(ppoll, ppoll(fds, n, timeout, NULL)); }

int rn__sys_pselect6(int n, fd_set *rd, fd_set *wr, fd_set *ex, const struct timespec *timeout)
{ SIMPLE(pselect6, pselect(n, rd, wr, ex, timeout, NULL)); }

int rn__sys_io_uring_setup(unsigned entries, struct io_uring_params *params, struct io_uring *ret)
{ SIMPLE(io_uring_setup, ring_setup(entries, params, ret)); }

int rn__sys_io_uring_enter(struct io_uring *ring, bool wait, const struct timespec *timeout)
{ SIMPLE(io_uring_enter, ring_enter(ring, wait, timeout)); }

int rn__sys_io_uring_register(int ring_fd, unsigned op, void *arg, unsigned n)
{ SIMPLE(io_uring_register, ring_register(ring_fd, op, arg, n)); }

int rn__sys_eventfd2(unsigned initial, int flags)
{ SIMPLE(eventfd2, eventfd(initial, flags)); }

int rn__sys_eventfd_write(int fd)
{ SIMPLE(eventfd_write, write(fd, &(uint64_t){1}, sizeof(uint64_t)) < 0 ? -1 : 0); }

int rn__sys_fcntl(int fd, int cmd, long arg)
{ SIMPLE(fcntl, fcntl(fd, cmd, arg)); }

int rn__sys_ioctl(int fd, unsigned long request, void *arg)
{ SIMPLE(ioctl, ioctl(fd, request, arg)); }

int rn__sys_openat(int dir, const char *path, int flags, mode_t mode)
{ SIMPLE(openat, openat(dir, path, flags, mode)); }

int rn__sys_fstat(int fd, struct stat *st)
{ SIMPLE(fstat, fstat(fd, st)); }

int rn__sys_fstatat(int dir, const char *path, struct stat *st, int flags)
{ SIMPLE(fstatat, fstatat(dir, path, st, flags)); }

int rn__sys_readlinkat(int dir, const char *path, char *text, size_t room)
{ SIMPLE(readlinkat, readlinkat(dir, path, text, room)); }

ssize_t rn__sys_getdents64(int dir, void *buf, size_t len)
{ TRANSFER(getdents64, getdents64(dir, buf, len)); }

int rn__sys_unlink(const char *path)
{ SIMPLE(unlink, unlink(path)); }

int rn__sys_munmap(void *at, size_t len)
{ SIMPLE(munmap, munmap(at, len)); }

int rn__sys_mprotect(void *at, size_t len, int prot)
{ SIMPLE(mprotect, mprotect(at, len, prot)); }

int rn__sys_madvise(void *at, size_t len, int advice)
{ SIMPLE(madvise, madvise(at, len, advice)); }

int rn__sys_mincore(void *at, size_t len, unsigned char *resident)
{ SIMPLE(mincore, mincore(at, len, resident)); }

int rn__sys_sched_getaffinity(size_t bytes, void *mask)
{ SIMPLE(sched_getaffinity, sched_getaffinity(0, bytes, mask)); }

int rn__sys_prlimit(int resource, const void *set, void *get)
{ SIMPLE(prlimit, syscall(SYS_prlimit64, 0, resource, set, get)); }

int rn__sys_prctl(int option, unsigned long arg)
{ SIMPLE(prctl, prctl(option, arg, 0UL, 0UL, 0UL)); }
/* clang-format on */

int rn__sys_openat2(int dir, const char *path, int flags, unsigned long long resolve)
{
    struct open_how how = {.flags = (unsigned)flags, .resolve = resolve};

    SIMPLE(openat2, syscall(SYS_openat2, dir, path, &how, sizeof how));
}

/* clang-format off */
int rn__sys_pipe2(int fds[2], int flags)
{ SIMPLE(pipe2, pipe2(fds, flags)); }

int rn__sys_dup3(int fd, int to, int flags)
{ SIMPLE(dup3, dup3(fd, to, flags)); }

int rn__sys_memfd_create(const char *name, unsigned flags)
{ SIMPLE(memfd_create, memfd_create(name, flags)); }

int rn__sys_kill(pid_t pid, int sig)
{ SIMPLE(kill, kill(pid, sig)); }

int rn__sys_pidfd_open(pid_t pid)
{ SIMPLE(pidfd_open, syscall(SYS_pidfd_open, pid, 0)); }

int rn__sys_pidfd_send_signal(int pidfd, int sig)
{ SIMPLE(pidfd_send_signal, syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0)); }
/* clang-format on */

/* posix_spawn returns its error. */
static int spawn(const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attr, char *const *argv, char *const *env, pid_t *pid)
{
    errno = posix_spawnp(pid, file, actions, attr, argv, env);
    return errno == 0 ? 0 : -1;
}

int rn__sys_posix_spawn(const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attr, char *const *argv, char *const *env,
                        pid_t *ret)
{
    size_t none = 0;
    pid_t pid = 0;
    int r;

    CALL(posix_spawn, none, r, spawn(file, actions, attr, argv, env, &pid));
    if (r == 0)
        *ret = pid;
    return r;
}

/* The status in waitpid's form, which is what W* macros take. */
static int wait_for(idtype_t type, int id, int *status)
{
    siginfo_t info = {.si_pid = 0};

    if (waitid(type, (id_t)id, &info, WEXITED | WNOHANG) < 0)
        return -1;
    if (info.si_pid == 0)
        return 0;
    if (info.si_code == CLD_EXITED)
        *status = W_EXITCODE(info.si_status, 0);
    else
        *status = W_EXITCODE(0, info.si_status) | (info.si_code == CLD_DUMPED ? WCOREFLAG : 0);
    return 1;
}

int rn__sys_waitid(idtype_t type, int id, int *status)
{
    SIMPLE(waitid, wait_for(type, id, status));
}

int rn__sys_rt_tgsigqueueinfo(int tid, int sig, void *value)
{
    siginfo_t info = {.si_signo = sig, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = value;
    SIMPLE(rt_tgsigqueueinfo, syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, sig, &info));
}

int rn__sys_mmap(size_t len, int prot, int flags, void **ret)
{
    size_t none = 0;
    void *at = MAP_FAILED;
    int r;

    CALL(mmap, none, r,
         (at = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0)) == MAP_FAILED
             ? -1
             : 0);
    if (r == 0)
        *ret = at;
    return r;
}

/* pthread_create returns its error; errno is set so that the one path of CALL serves. Signals are
 * blocked in the new thread: they stay with the threads of the program that knows them. Not those
 * that the thread brings upon itself: a blocked fault ends the process without its handler. */
static int create_thread(void *(*fn)(void *), void *arg, size_t stack_bytes, pthread_t *t)
{
    static const int own_faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    pthread_attr_t attr;
    sigset_t all, old;
    int e = pthread_attr_init(&attr);

    if (e == 0) {
        e = pthread_attr_setstacksize(&attr, stack_bytes);
        sigfillset(&all);
        for (size_t i = 0; i < RN_COUNT_OF(own_faults); i++)
            sigdelset(&all, own_faults[i]);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        if (e == 0)
            e = pthread_create(t, &attr, fn, arg);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
    }
    errno = e;
    return e == 0 ? 0 : -1;
}

int rn__sys_thread(void *(*fn)(void *), void *arg, size_t stack_bytes, unsigned long *ret)
{
    size_t none = 0;
    pthread_t t = 0;
    int r;

    CALL(clone, none, r, create_thread(fn, arg, stack_bytes, &t));
    if (r == 0)
        *ret = t;
    return r;
}

long rn__sys_to_errno(long result)
{
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

int rn__panic_write(int fd, const char *text, size_t len)
{
    int saved = errno, r = 0;

    while (len > 0 && r == 0) {
        ssize_t n = write(fd, text, len);

        if (n >= 0) {
            text += n;
            len -= (size_t)n;
        } else if (errno != EINTR) {
            r = -errno;
        }
    }
    errno = saved;
    return r;
}

int rn__panic_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    int saved = errno, r = getpeername(fd, sa, len) < 0 ? -errno : 0;

    errno = saved;
    return r;
}
