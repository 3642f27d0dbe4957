/*
 * test_sys.c - the system-call table: what it calls and what it counts
 */
#include "sys_test.h"

/* ---- rows ---- */

static void *return_arg(void *arg)
{
    return arg;
}

static char room[64];
static struct iovec room_vec = {.iov_base = room, .iov_len = sizeof room};
static struct msghdr room_msg = {.msg_iov = &room_vec, .msg_iovlen = 1};
static struct sockaddr_storage room_sa;
static socklen_t room_len;
static int room_fds[2];
static struct stat room_stat;
static struct mmsghdr room_mmsg;
static struct pollfd room_poll;
static struct epoll_event room_event;
static const struct timespec no_time;
static void *room_map = room;
static unsigned long room_thread = 77;
static pid_t room_pid;
static int one = 1;

#define SA ((struct sockaddr *)&room_sa)

/* Each row and a call of its function; none of them reaches the kernel in the tests below. */
#define EACH_ROW(X)                                                                                \
    X(socket, rn__sys_socket(AF_INET, SOCK_STREAM, 0))                                             \
    X(socketpair, rn__sys_socketpair(AF_UNIX, SOCK_STREAM, 0, room_fds))                           \
    X(bind, rn__sys_bind(-1, SA, sizeof room_sa))                                                  \
    X(listen, rn__sys_listen(-1, 1))                                                               \
    X(accept4, rn__sys_accept4(-1, NULL, NULL, 0))                                                 \
    X(connect, rn__sys_connect(-1, SA, sizeof room_sa))                                            \
    X(getsockname, rn__sys_getsockname(-1, SA, &room_len))                                         \
    X(getpeername, rn__sys_getpeername(-1, SA, &room_len))                                         \
    X(getsockopt, rn__sys_getsockopt(-1, SOL_SOCKET, SO_ERROR, &one, &room_len))                   \
    X(setsockopt, rn__sys_setsockopt(-1, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one))              \
    X(shutdown, rn__sys_shutdown(-1, SHUT_WR))                                                     \
    X(close, rn__sys_close(-1))                                                                    \
    X(read, rn__sys_read(-1, room, 1))                                                             \
    X(write, rn__sys_write(-1, room, 1))                                                           \
    X(readv, rn__sys_readv(-1, &room_vec, 1))                                                      \
    X(writev, rn__sys_writev(-1, &room_vec, 1))                                                    \
    X(recv, rn__sys_recv(-1, room, 1, 0))                                                          \
    X(send, rn__sys_send(-1, room, 1, 0))                                                          \
    X(recvmsg, rn__sys_recvmsg(-1, &room_msg, 0))                                                  \
    X(sendmsg, rn__sys_sendmsg(-1, &room_msg, 0))                                                  \
    X(recvmmsg, rn__sys_recvmmsg(-1, &room_mmsg, 1, 0))                                            \
    X(sendmmsg, rn__sys_sendmmsg(-1, &room_mmsg, 1, 0))                                            \
    X(pread, rn__sys_pread(-1, room, 1, 0))                                                        \
    X(preadv2, rn__sys_preadv2(-1, &room_vec, 1, 0, 0))                                            \
    X(sendfile, rn__sys_sendfile(-1, -1, NULL, 1))                                                 \
    X(splice, rn__sys_splice(-1, -1, 1, 0))                                                        \
    X(epoll_create1, rn__sys_epoll_create1(0))                                                     \
    X(epoll_ctl, rn__sys_epoll_ctl(-1, EPOLL_CTL_ADD, -1, &room_event))                            \
    X(epoll_wait, rn__sys_epoll_wait(-1, &room_event, 1, 0))                                       \
    X(epoll_pwait2, rn__sys_epoll_pwait2(-1, &room_event, 1, &no_time))                            \
    X(ppoll, rn__sys_ppoll(&room_poll, 0, &no_time))                                               \
    X(pselect6, rn__sys_pselect6(0, NULL, NULL, NULL, &no_time))                                   \
    X(io_uring_setup, rn__sys_io_uring_setup(1, NULL, NULL))                                       \
    X(io_uring_enter, rn__sys_io_uring_enter(NULL, false, NULL))                                   \
    X(io_uring_register, rn__sys_io_uring_register(-1, 0, NULL, 0))                                \
    X(eventfd2, rn__sys_eventfd2(0, 0))                                                            \
    X(eventfd_write, rn__sys_eventfd_write(-1))                                                    \
    X(fcntl, rn__sys_fcntl(-1, F_GETFL, 0))                                                        \
    X(ioctl, rn__sys_ioctl(-1, FIONREAD, &one))                                                    \
    X(openat, rn__sys_openat(AT_FDCWD, "/", O_RDONLY, 0))                                          \
    X(openat2, rn__sys_openat2(AT_FDCWD, "/", O_RDONLY, 0))                                        \
    X(fstat, rn__sys_fstat(-1, &room_stat))                                                        \
    X(fstatat, rn__sys_fstatat(AT_FDCWD, "/", &room_stat, 0))                                      \
    X(readlinkat, rn__sys_readlinkat(-1, "", room, sizeof room))                                   \
    X(getdents64, rn__sys_getdents64(-1, room, sizeof room))                                       \
    X(unlink, rn__sys_unlink(""))                                                                  \
    X(mmap, rn__sys_mmap(4096, PROT_READ, 0, &room_map))                                           \
    X(munmap, rn__sys_munmap(NULL, 0))                                                             \
    X(mprotect, rn__sys_mprotect(NULL, 0, 0))                                                      \
    X(madvise, rn__sys_madvise(NULL, 0, 0))                                                        \
    X(mincore, rn__sys_mincore(NULL, 0, NULL))                                                     \
    X(sched_getaffinity, rn__sys_sched_getaffinity(sizeof room, room))                             \
    X(prlimit, rn__sys_prlimit(RLIMIT_NOFILE, NULL, NULL))                                         \
    X(prctl, rn__sys_prctl(-1, 0))                                                                 \
    X(rt_tgsigqueueinfo, rn__sys_rt_tgsigqueueinfo(0, 0, NULL))                                    \
    X(pipe2, rn__sys_pipe2(room_fds, 0))                                                           \
    X(dup3, rn__sys_dup3(-1, 0, 0))                                                                \
    X(posix_spawn, rn__sys_posix_spawn("", NULL, NULL, NULL, NULL, &room_pid))                     \
    X(pidfd_open, rn__sys_pidfd_open(0))                                                           \
    X(pidfd_send_signal, rn__sys_pidfd_send_signal(-1, 0))                                         \
    X(kill, rn__sys_kill(-1, -1))                                                                  \
    X(waitid, rn__sys_waitid(P_PID, -1, &one))                                                     \
    X(memfd_create, rn__sys_memfd_create("x", ~0U))                                                \
    X(clone, rn__sys_thread(return_arg, NULL, 1 << 16, &room_thread))

#define THUNK(row, call)                                                                           \
    static long call_##row(void)                                                                   \
    {                                                                                              \
        return (long)(call);                                                                       \
    }
EACH_ROW(THUNK)

static const struct {
    const char *name;
    long (*call)(void);
} thunks[] = {
#define THUNK_ENTRY(row, call) [RN__SYS_##row] = {#row, call_##row},
    EACH_ROW(THUNK_ENTRY)};

_Static_assert(RN_COUNT_OF(thunks) == RN__SYS_COUNT, "each row has a thunk");

RN_TEST(rows_are_found_by_their_names)
{
    for (int i = 0; i < RN__SYS_COUNT; i++) {
        const char *name = rn__sys_name((enum rn__sys_row)i);

        CHECK(name != NULL && *name != '\0');
        CHECK_EQ(rn__sys_row_by_name(name), i);
    }
    CHECK_STR(rn__sys_name(RN__SYS_accept4), "accept4");
    CHECK_EQ(rn__sys_row_by_name("epoll_pwait2"), RN__SYS_epoll_pwait2);
    CHECK_EQ(rn__sys_row_by_name("accept"), -1);
    CHECK_EQ(rn__sys_row_by_name(""), -1);
    CHECK_EQ(rn__sys_row_by_name("READ"), -1);
}

RN_TEST(each_call_belongs_to_its_row_and_fails_as_told)
{
    struct rn__sys_block *b = fresh_block();

    for (int i = 0; i < RN__SYS_COUNT; i++) {
        CHECK_STR(thunks[i].name, rn__sys_name((enum rn__sys_row)i));
        CHECK_OK(rn__sys_fail(thunks[i].name, EXDEV, 1, 1));
        CHECK_EQ(thunks[i].call(), -EXDEV);
        for (int k = 0; k < RN__SYS_COUNT; k++) {
            CHECK_EQ(calls_of(b, (enum rn__sys_row)k), k <= i);
            CHECK_EQ(errors_of(b, (enum rn__sys_row)k), k <= i);
        }
        rn__sys_clear();
    }
    CHECK(room_map == room); /* untouched on failure */
    CHECK_EQ(room_thread, 77);
    drop_block(b);
}

static bool retries_eintr(enum rn__sys_row row)
{
    static const enum rn__sys_row never[] = {
        RN__SYS_close, RN__SYS_connect,  RN__SYS_epoll_wait,    RN__SYS_epoll_pwait2,
        RN__SYS_ppoll, RN__SYS_pselect6, RN__SYS_io_uring_enter};

    for (size_t i = 0; i < RN_COUNT_OF(never); i++)
        if (never[i] == row)
            return false;
    return true;
}

/* Two rules on the fourth and the first try tell a retry from a call of its own. */
RN_TEST(eintr_is_retried_but_for_close_connect_and_the_waits)
{
    struct rn__sys_block *b = fresh_block();

    for (int i = 0; i < RN__SYS_COUNT; i++) {
        enum rn__sys_row row = (enum rn__sys_row)i;

        CHECK_OK(rn__sys_fail(thunks[i].name, EXDEV, 4, 1));
        CHECK_OK(rn__sys_fail(thunks[i].name, EINTR, 1, 3));
        CHECK_EQ(thunks[i].call(), retries_eintr(row) ? -EXDEV : -EINTR);
        CHECK_EQ(calls_of(b, row), 1); /* a call is one, however often it was tried */
        CHECK_EQ(errors_of(b, row), 1);
        rn__sys_clear();
    }
    drop_block(b);
}

/* ---- counters ---- */

RN_TEST(calls_and_bytes_are_counted)
{
    struct rn__sys_block *b = fresh_block();
    char buf[100] = {0};
    int fds[2];

    open_pair(fds);
    CHECK_EQ(rn__sys_write(fds[0], buf, 100), 100);
    CHECK_EQ(rn__sys_write(fds[0], buf, 11), 11);
    CHECK_EQ(rn__sys_read(fds[1], buf, 30), 30);
    CHECK_EQ(calls_of(b, RN__SYS_socketpair), 1);
    CHECK_EQ(bytes_of(b, RN__SYS_socketpair), 0);
    CHECK(rn__sys_fcntl(fds[0], F_GETFL, 0) > 0);
    CHECK_EQ(bytes_of(b, RN__SYS_fcntl), 0); /* its result is no count of bytes */
    CHECK_EQ(calls_of(b, RN__SYS_write), 2);
    CHECK_EQ(bytes_of(b, RN__SYS_write), 111);
    CHECK_EQ(calls_of(b, RN__SYS_read), 1);
    CHECK_EQ(bytes_of(b, RN__SYS_read), 30);
    CHECK_EQ(errors_of(b, RN__SYS_read) + errors_of(b, RN__SYS_write), 0);
    close_pair(fds);
    drop_block(b);
}

RN_TEST(again_and_in_progress_are_no_errors)
{
    struct rn__sys_block *b = fresh_block();
    char c;
    int fds[2];

    open_pair(fds);
    CHECK_EQ(rn__sys_read(fds[0], &c, 1), -EAGAIN);
    CHECK_EQ(rn__sys_read(fds[0], &c, 1), -EAGAIN);
    CHECK_EQ(rn__sys_read(-1, &c, 1), -EBADF);
    CHECK_EQ(calls_of(b, RN__SYS_read), 3);
    CHECK_EQ(atomic_load(&b->rows[RN__SYS_read].again), 2);
    CHECK_EQ(errors_of(b, RN__SYS_read), 1);
    CHECK_EQ(bytes_of(b, RN__SYS_read), 0);
    CHECK_OK(rn__sys_fail("connect", EINPROGRESS, 1, 1));
    CHECK_EQ(rn__sys_connect(-1, SA, sizeof room_sa), -EINPROGRESS);
    CHECK_EQ(errors_of(b, RN__SYS_connect), 0);
    close_pair(fds);
    drop_block(b);
}

RN_TEST(one_call_in_64_has_its_time_taken)
{
    struct rn__sys_block *b = fresh_block();
    struct rn__hist *h = &b->rows[RN__SYS_read].latency;
    char c;
    int fd = open("/dev/zero", O_RDONLY);

    CHECK_EQ(RN__SYS_SAMPLE, 64);
    CHECK_EQ(rn__sys_read(fd, &c, 1), 1);
    CHECK_EQ(rn__hist_count(h), 1); /* the first, so that rare calls show too */
    for (int i = 1; i < 640; i++)
        CHECK_EQ(rn__sys_read(fd, &c, 1), 1);
    CHECK_EQ(rn__hist_count(h), 10);
    CHECK_EQ(rn__sys_read(fd, &c, 1), 1);
    CHECK_EQ(rn__hist_count(h), 11);
    CHECK_EQ(rn__hist_count(&b->rows[RN__SYS_write].latency), 0);
    close(fd);
    drop_block(b);
}

static int put(struct rn__slowest *s, rn_time now, rn_time took)
{
    return rn__slowest_wants(s, now, took) ? rn__slowest_put(s, now, took) : -2;
}

RN_TEST(the_slowest_of_a_minute_are_kept)
{
    struct rn__slowest s = {0};
    rn_time now = RN_SECOND, end = now + RN__SLOWEST_NS;
    bool seen[RN__SLOWEST] = {0};

    for (int i = 0; i < RN__SLOWEST; i++) {
        int at = put(&s, now, 10 + i);

        CHECK(at >= 0 && at < RN__SLOWEST && !seen[at]);
        seen[at] = true;
        CHECK_EQ(s.of[at].took, 10 + i);
    }
    CHECK_EQ(put(&s, now + 1, 10), -2); /* no slower than the fastest: no lock for it */
    CHECK_EQ(rn__slowest_put(&s, now + 1, 10), -1);
    CHECK(put(&s, now + 1, 100) >= 0); /* takes the place of 10 */
    CHECK_EQ(put(&s, now + 1, 11), -2);
    CHECK(put(&s, now + 1, 12) >= 0); /* and this that of 11 */
    for (int i = 0; i < RN__SLOWEST; i++)
        CHECK(rn__slowest_has(&s, i, end));
    CHECK_EQ(put(&s, end, 1), -2);
    CHECK(put(&s, end + 1, 1) >= 0); /* six are forgotten, so there is room */
    for (int i = 0, n = 0; i < RN__SLOWEST; i++) {
        n += rn__slowest_has(&s, i, end + 1);
        CHECK(i < RN__SLOWEST - 1 || n == 3);
    }
}

RN_TEST(the_slowest_calls_are_noted_but_not_waits)
{
    struct rn__sys_block *b = fresh_block();
    struct rn__sys_slow slow[RN__SLOWEST];
    struct timeval limit = {.tv_usec = 20000};
    struct timespec wait = {.tv_nsec = 30000000};
    int fds[2], n;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0); /* which would be noted, too */
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    CHECK_EQ(rn__sys_recv(fds[0], room, 1, 0), -EAGAIN);
    CHECK_EQ(rn__sys_ppoll(NULL, 0, &wait), 0);
    n = rn__sys_slowest(b, slow);
    CHECK_EQ(n, 1);
    CHECK_EQ(slow[0].row, RN__SYS_recv);
    CHECK(slow[0].took >= 19 * RN_MILLISECOND && slow[0].took < rn_now());
    CHECK(slow[0].at <= rn_now() && slow[0].at > rn_now() - RN__SLOWEST_NS);
    CHECK_EQ(rn__sys_recv(fds[0], room, 1, 0), -EAGAIN); /* not one of those that are timed */
    CHECK_EQ(rn__sys_slowest(b, slow), 1);
    close_pair(fds);
    drop_block(b);
}

/* ---- blocks ---- */

#define THREADS 4
#define ROUNDS 10000

static void *read_and_fail(void *own)
{
    char buf[3];
    int fd = open("/dev/zero", O_RDONLY);

    if (own != NULL)
        rn__sys_use_block(own);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(rn__sys_read(fd, buf, sizeof buf), 3);
        CHECK_EQ(rn__sys_shutdown(-1, SHUT_WR), -EBADF);
    }
    close(fd);
    return NULL;
}

static void check_exact(struct rn__sys_block *b, uint64_t rounds)
{
    CHECK_EQ(calls_of(b, RN__SYS_read), rounds);
    CHECK_EQ(bytes_of(b, RN__SYS_read), 3 * rounds);
    CHECK_EQ(errors_of(b, RN__SYS_read), 0);
    CHECK_EQ(calls_of(b, RN__SYS_shutdown), rounds);
    CHECK_EQ(errors_of(b, RN__SYS_shutdown), rounds);
}

static void run_threads(struct rn__sys_block *blocks)
{
    pthread_t t[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, read_and_fail, blocks == NULL ? NULL : &blocks[i]), 0);
    while (blocks == NULL && calls_of(rn__sys_shared_block(), RN__SYS_read) < ROUNDS)
        sched_yield(); /* counters may be read at any time, by any thread */
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}

RN_TEST(the_shared_block_is_exact_from_four_threads)
{
    run_threads(NULL);
    check_exact(rn__sys_shared_block(), THREADS * ROUNDS);
    CHECK(rn__hist_count(&rn__sys_shared_block()->rows[RN__SYS_read].latency) > 0);
}

RN_TEST(a_thread_with_a_block_counts_there_alone)
{
    struct rn__sys_block *blocks = calloc(THREADS, sizeof *blocks);

    CHECK(blocks != NULL);
    run_threads(blocks);
    for (int i = 0; i < THREADS; i++)
        check_exact(&blocks[i], ROUNDS);
    CHECK_EQ(calls_of(rn__sys_shared_block(), RN__SYS_read), 0);
    CHECK_EQ(calls_of(rn__sys_shared_block(), RN__SYS_shutdown), 0);
    free(blocks);
}

/* ---- the rows that are more than their call ---- */

RN_TEST(mmap_gives_the_address_by_way_of_its_last_argument)
{
    unsigned char *at = NULL;
    void *none = &at;

    CHECK_OK(rn__sys_mmap(8192, PROT_READ | PROT_WRITE, MAP_NORESERVE, (void **)&at));
    CHECK(at != NULL);
    CHECK_EQ(at[0] + at[8191], 0);
    at[8191] = 1;
    CHECK_OK(rn__sys_munmap(at, 8192));
    CHECK_EQ(rn__sys_mmap(0, PROT_READ, 0, &none), -EINVAL);
    CHECK(none == &at);
}

static void *look_at_mask(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return arg;
}

RN_TEST(a_new_thread_blocks_signals_but_not_its_own_faults)
{
    sigset_t mask, before, after;
    unsigned long t;
    void *result;

    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK_OK(rn__sys_thread(look_at_mask, &mask, 1 << 18, &t));
    CHECK_EQ(pthread_join((pthread_t)t, &result), 0);
    CHECK(result == &mask);
    CHECK(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGHUP));
    CHECK(!sigismember(&mask, SIGSEGV) && !sigismember(&mask, SIGBUS));
    CHECK(!sigismember(&mask, SIGABRT));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int sig = 1; sig < 32; sig++)
        CHECK_EQ(sigismember(&before, sig), sigismember(&after, sig));
}
