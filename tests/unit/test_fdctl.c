/*
 * test_fdctl.c - fcntl and ioctl: flags, copies, signals, pipes, record locks, what is queued
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "rntest_coro.h"

/* ---- flags ---- */

RN_TEST(flags_of_descriptors_are_told_and_set)
{
    int fds[2];

    CHECK_OK(pipe2(fds, O_CLOEXEC));
    CHECK_EQ(rn_fd_blocking(fds[0]), 1);
    CHECK_OK(rn_fd_set_blocking(fds[0], false));
    CHECK_EQ(rn_fd_blocking(fds[0]), 0);
    CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    CHECK_EQ(rn_fd_blocking(fds[1]), 1); /* the other end is another description */
    CHECK_OK(rn_fd_set_blocking(fds[0], true));
    CHECK_EQ(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(rn_fd_cloexec(fds[1]), 1);
    CHECK_OK(rn_fd_set_cloexec(fds[1], false));
    CHECK_EQ(rn_fd_cloexec(fds[1]), 0);
    CHECK_OK(rn_fd_set_cloexec(fds[1], true));
    CHECK_EQ(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(rn_fd_blocking(-1), -EBADF);
    CHECK_EQ(rn_fd_set_blocking(-1, true), -EBADF);
    CHECK_EQ(rn_fd_cloexec(-1), -EBADF);
    CHECK_EQ(rn_fd_set_cloexec(-1, true), -EBADF);
    CHECK_OK(rn__sys_fail("fcntl", EPERM, 2, 1));
    CHECK_EQ(rn_fd_set_blocking(fds[0], false), -EPERM);
    rn__sys_clear();
    CHECK_EQ(rn_fd_blocking(fds[0]), 1);
    close(fds[0]);
    close(fds[1]);
}

/* ---- copies ---- */

RN_TEST(a_copy_shares_the_description_and_is_closed_on_exec)
{
    int fds[2], copy;

    CHECK_OK(pipe2(fds, O_CLOEXEC));
    copy = rn_fd_dup(fds[0]);
    CHECK(copy >= 3 && copy != fds[0]);
    CHECK_EQ(rn_fd_cloexec(copy), 1);
    CHECK_OK(rn_fd_set_blocking(copy, false));
    CHECK_EQ(rn_fd_blocking(fds[0]), 0);
    CHECK_EQ(rn_fd_dup(-1), -EBADF);
    CHECK_OK(rn__sys_fail("fcntl", EMFILE, 1, 1));
    CHECK_EQ(rn_fd_dup(fds[0]), -EMFILE);
    rn__sys_clear();
    close(copy);
    close(fds[0]);
    close(fds[1]);
}

/* What the poller knew of the connection is not told to the next one with its number or slot. */
RN_CORO_TEST_ON(a_connection_may_be_closed_before_its_copy, 1)
{
    rn_conn *a, *b, *c, *d;
    char buf[8];
    int copy;

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(RN_MILLISECOND));
    CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME); /* the poller knows it now */
    copy = rn_conn_file(a);
    CHECK(copy >= 3);
    CHECK_EQ(rn_fd_cloexec(copy), 1);
    CHECK_EQ(rn_fd_blocking(copy), 0);
    rn_close(a);
    rntest_pair(&c, &d);
    CHECK_EQ(rn_write(b, "late", 4), 4); /* an event of the old description */
    CHECK_EQ(rn_wait_fd(copy, RN_READABLE, rn_after(10 * RN_SECOND)), RN_READABLE);
    rn_set_read_deadline(c, rn_after(20 * RN_MILLISECOND));
    CHECK_EQ(rn_read(c, buf, sizeof buf), -ETIME);
    CHECK_EQ(read(copy, buf, sizeof buf), 4);
    CHECK_EQ(write(copy, "answer", 6), 6);
    rntest_read_full(b, buf, 6);
    close(copy);
    CHECK_EQ(rn_read(b, buf, sizeof buf), 0);
    rn_close(b);
    rn_close(c);
    rn_close(d);
}

/* The poller forgets a description that lives on: else one with its number could not be watched. */
RN_CORO_TEST_ON(a_copy_may_get_the_number_of_the_connection_that_was_closed, 1)
{
    rn_conn *a, *b, *again;
    int copy, fd;
    char c;

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(RN_MILLISECOND));
    CHECK_EQ(rn_read(a, &c, 1), -ETIME);
    fd = rn_conn_fd(a);
    copy = rn_conn_file(a);
    rn_close(a);
    CHECK_EQ(dup2(copy, fd), fd);
    close(copy);
    CHECK_OK(rn_conn_from_fd(fd, &again));
    rn_set_read_deadline(again, rn_after(RN_MILLISECOND));
    CHECK_EQ(rn_read(again, &c, 1), -ETIME);
    rn_close(again);
    rn_close(b);
}

static int copy_from_thread(void *arg)
{
    return rn_conn_file(arg);
}

RN_CORO_TEST(a_copy_that_cannot_be_made_is_told)
{
    rn_conn *a, *b;
    int fds = rntest_count_fds();

    rntest_pair(&a, &b);
    CHECK_OK(rn__sys_fail("fcntl", EMFILE, 1, 1));
    CHECK_EQ(rn_conn_file(a), -EMFILE);
    rn__sys_clear();
    CHECK_EQ(rn_offload(copy_from_thread, a, NULL), -EDEADLK);
    rn_close(a);
    rn_close(b);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* ---- owner and signals ---- */

static int wait_signal(rn_chan *ch)
{
    int signo = 0;
    rn_select_case c = {.chan = ch, .op = RN_SELECT_RECV, .item = &signo};

    CHECK_EQ(rn_select(&c, 1, rn_after(15 * RN_SECOND)), 0);
    return signo;
}

RN_CORO_TEST(a_descriptor_sends_its_owner_a_signal_when_input_comes)
{
    static const int signals[] = {0, 40};
    pid_t owner = 1;

    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        int signo = signals[i] == 0 ? SIGIO : signals[i];
        rn_conn *a, *b;
        rn_chan *ch;
        int fd;

        CHECK_OK(rn_chan_new(sizeof(int), 64, &ch));
        CHECK_OK(rn_signal_notify(ch, signo));
        rntest_pair_on("unix", &a, &b);
        fd = rn_conn_fd(a);
        CHECK_OK(rn_fd_owner(fd, &owner));
        CHECK_EQ(owner, 0);
        CHECK_OK(rn_fd_set_owner(fd, getpid(), signals[i]));
        CHECK_OK(rn_fd_owner(fd, &owner));
        CHECK_EQ(owner, getpid());
        CHECK_EQ(rn_fd_blocking(fd), 0); /* as it was */
        CHECK_EQ(rn_write(b, "x", 1), 1);
        CHECK_EQ(wait_signal(ch), signo);
        CHECK_OK(rn_fd_set_owner(fd, 0, 0));
        CHECK_OK(rn_fd_owner(fd, &owner));
        CHECK_EQ(owner, 0);
        CHECK_EQ(fcntl(fd, F_GETFL) & O_ASYNC, 0);
        rn_signal_stop(ch);
        rn_chan_free(ch);
        rn_close(a);
        rn_close(b);
    }
}

RN_TEST(an_owner_may_be_a_process_group_and_must_exist)
{
    pid_t owner = 77;
    int fds[2];

    CHECK_OK(pipe2(fds, O_CLOEXEC));
    CHECK_OK(rn_fd_set_owner(fds[0], -getpgrp(), SIGURG));
    CHECK_EQ(fcntl(fds[0], F_GETSIG), SIGURG);
    CHECK(fcntl(fds[0], F_GETFL) & O_ASYNC);
    CHECK_OK(rn_fd_owner(fds[0], &owner));
    CHECK_EQ(owner, -getpgrp());
    CHECK_OK(rn_fd_set_owner(fds[0], 0, 0));
    CHECK_EQ(rn_fd_set_owner(fds[0], INT32_MAX, 0), -ESRCH);
    CHECK_EQ(rn_fd_set_owner(fds[0], INT32_MIN, 0), -ESRCH);
    CHECK_EQ(rn_fd_set_owner(fds[0], getpid(), 1000), -EINVAL);
    CHECK_EQ(fcntl(fds[0], F_GETFL) & O_ASYNC, 0);
    CHECK_EQ(rn_fd_set_owner(-1, getpid(), 0), -EBADF);
    CHECK_EQ(rn_fd_set_owner(-1, 0, 0), -EBADF);
    owner = 77;
    CHECK_EQ(rn_fd_owner(-1, &owner), -EBADF);
    CHECK_EQ(owner, 77);
    close(fds[0]);
    close(fds[1]);
}

/* ---- pipes ---- */

static int pipe_max_size(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/fs/pipe-max-size", O_RDONLY | O_CLOEXEC);

    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return atoi(text);
}

/* Root may exceed the limit: as nobody. */
static void exceed_pipe_limit(int fd)
{
    pid_t pid = fork();
    int status;

    CHECK_OK(pid);
    if (pid == 0) {
        if (geteuid() == 0 && setuid(65534) < 0)
            _exit(1);
        _exit(rn_pipe_set_size(fd, (size_t)pipe_max_size() * 2) == -EPERM ? 0 : 2);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

RN_TEST(a_pipe_can_be_made_larger_and_smaller_within_its_limits)
{
    static char bytes[3 * 65536];
    long page = sysconf(_SC_PAGESIZE);
    int fds[2];

    CHECK_OK(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
    CHECK(rn_pipe_size(fds[0]) >= page);
    CHECK_EQ(rn_pipe_set_size(fds[0], 200000), 262144);
    CHECK_EQ(rn_pipe_size(fds[1]), 262144);
    CHECK_EQ(write(fds[1], bytes, sizeof bytes), sizeof bytes);
    CHECK_EQ(rn_pipe_set_size(fds[1], 1), -EBUSY);
    CHECK_EQ(read(fds[0], bytes, sizeof bytes), sizeof bytes);
    CHECK_EQ(rn_pipe_set_size(fds[1], 1), page);
    CHECK_EQ(rn_pipe_set_size(fds[1], 0), -EINVAL);
    CHECK_EQ(rn_pipe_set_size(fds[1], (size_t)INT32_MAX + 1), -EINVAL);
    CHECK_EQ(rn_pipe_set_size(-1, 4096), -EBADF);
    CHECK_EQ(rn_pipe_size(-1), -EBADF);
    exceed_pipe_limit(fds[0]);
    close(fds[0]);
    close(fds[1]);
}

/* ---- record locks ---- */

/* An open file of 100 bytes, and its path. */
static int open_file(char *path)
{
    int fd;

    strcpy(path, "/tmp/rntest-lock-XXXXXX");
    fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 100), 0);
    return fd;
}

static int reopen(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

RN_CORO_TEST(locks_exclude_by_range_and_kind_between_descriptions)
{
    char path[64];
    int a = open_file(path), b = reopen(path, O_RDWR), r = reopen(path, O_RDONLY), copy;

    CHECK_OK(rn_file_lock(a, RN_LOCK_EXCLUSIVE, 0, 50, 0));
    CHECK_EQ(rn_file_lock(b, RN_LOCK_EXCLUSIVE, 49, 1, 1), -ETIME);
    CHECK_EQ(rn_file_lock(b, RN_LOCK_SHARED, 0, 0, 1), -ETIME);
    CHECK_OK(rn_file_lock(b, RN_LOCK_EXCLUSIVE, 50, 0, 1)); /* to the end, and beyond */
    CHECK_EQ(rn_file_lock(a, RN_LOCK_SHARED, 1 << 30, 1, 1), -ETIME);
    CHECK_OK(rn_file_unlock(a, 10, 10)); /* a part */
    CHECK_OK(rn_file_lock(b, RN_LOCK_SHARED, 10, 10, 1));
    CHECK_OK(rn_file_lock(r, RN_LOCK_SHARED, 15, 1, 1)); /* together */
    CHECK_EQ(rn_file_lock(r, RN_LOCK_SHARED, 20, 1, 1), -ETIME);
    CHECK_EQ(rn_file_lock(a, RN_LOCK_EXCLUSIVE, 15, 1, 1), -ETIME);
    copy = rn_fd_dup(a);
    CHECK_OK(
        rn_file_lock(copy, RN_LOCK_SHARED, 0, 10, 1)); /* the same owner: now of another kind */
    CHECK_OK(rn_file_lock(r, RN_LOCK_SHARED, 0, 10, 1));
    close(a); /* the copy keeps it */
    CHECK_EQ(rn_file_lock(b, RN_LOCK_SHARED, 20, 30, 1), -ETIME);
    close(copy);
    CHECK_OK(rn_file_lock(b, RN_LOCK_SHARED, 20, 30, 1));
    close(b);
    close(r);
    unlink(path);
}

RN_CORO_TEST(locks_that_make_no_sense_are_refused)
{
    char path[64];
    int a = open_file(path), r = reopen(path, O_RDONLY);

    CHECK_EQ(rn_file_lock(r, RN_LOCK_EXCLUSIVE, 0, 1, 0), -EBADF);
    CHECK_EQ(rn_file_lock(-1, RN_LOCK_SHARED, 0, 1, 0), -EBADF);
    CHECK_EQ(rn_file_lock(a, 2, 0, 1, 0), -EINVAL);
    CHECK_EQ(rn_file_lock(a, -1, 0, 1, 0), -EINVAL);
    CHECK_EQ(rn_file_lock(a, RN_LOCK_SHARED, -1, 1, 0), -EINVAL);
    CHECK_EQ(rn_file_lock(a, RN_LOCK_SHARED, 5, -5, 0), -EINVAL);
    CHECK_EQ(rn_file_unlock(a, 5, -5), -EINVAL);
    CHECK_EQ(rn_file_unlock(-1, 0, 0), -EBADF);
    CHECK_OK(rn__sys_fail("fcntl", ENOLCK, 1, 1));
    CHECK_EQ(rn_file_lock(a, RN_LOCK_SHARED, 0, 1, 0), -ENOLCK);
    rn__sys_clear();
    close(a);
    close(r);
    unlink(path);
}

struct locker {
    int fd, result;
    rn_waitgroup started, done;
};

static void lock_all(void *arg)
{
    struct locker *l = arg;

    rn_waitgroup_done(&l->started);
    l->result = rn_file_lock(l->fd, RN_LOCK_EXCLUSIVE, 0, 0, 0);
    rn_waitgroup_done(&l->done);
}

/* One P: the others go on while a coroutine waits for its lock. */
RN_CORO_TEST_ON(who_waits_for_a_lock_does_not_keep_its_proc, 1)
{
    char path[64];
    int a = open_file(path);
    struct locker l = {.fd = reopen(path, O_RDWR), .result = 77};

    rn_waitgroup_add(&l.started, 1);
    rn_waitgroup_add(&l.done, 1);
    CHECK_OK(rn_file_lock(a, RN_LOCK_SHARED, 0, 1, 0));
    CHECK_OK(rn_go(lock_all, &l));
    CHECK_OK(rn_waitgroup_wait(&l.started));
    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    CHECK_EQ(l.result, 77);
    CHECK_EQ(rn_file_lock(l.fd, RN_LOCK_EXCLUSIVE, 0, 0, rn_after(5 * RN_MILLISECOND)), -ETIME);
    CHECK_OK(rn_file_unlock(a, 0, 0));
    CHECK_OK(rn_waitgroup_wait(&l.done));
    CHECK_OK(l.result);
    CHECK_EQ(rn_file_lock(a, RN_LOCK_SHARED, 0, 1, 1), -ETIME);
    close(l.fd);
    CHECK_OK(rn_file_lock(a, RN_LOCK_SHARED, 0, 1, 1));
    close(a);
    unlink(path);
}

static int lock_in_group(void *arg)
{
    struct locker *l = arg;

    rn_waitgroup_done(&l->started);
    l->result = rn_file_lock(l->fd, RN_LOCK_SHARED, 0, 0, 0);
    return l->result;
}

static int lock_from_thread(void *arg)
{
    return rn_file_lock(*(int *)arg, RN_LOCK_SHARED, 0, 0, 0);
}

RN_CORO_TEST(a_cancel_ends_the_wait_for_a_lock)
{
    char path[64];
    int a = open_file(path);
    struct locker l = {.fd = reopen(path, O_RDWR)};
    rn_group g = RN_GROUP_INIT;

    rn_waitgroup_add(&l.started, 1);
    CHECK_OK(rn_file_lock(a, RN_LOCK_EXCLUSIVE, 0, 0, 0));
    CHECK_OK(rn_group_go(&g, lock_in_group, &l));
    CHECK_OK(rn_waitgroup_wait(&l.started));
    rn_group_cancel(&g);
    CHECK_EQ(rn_group_wait(&g, 0), -ECANCELED);
    CHECK_EQ(l.result, -ECANCELED);
    CHECK_EQ(rn_offload(lock_from_thread, &l.fd, NULL), -EDEADLK); /* it would have to wait */
    CHECK_OK(rn_file_unlock(a, 0, 0));
    CHECK_OK(rn_offload(lock_from_thread, &l.fd, NULL));
    close(l.fd);
    close(a);
    unlink(path);
}

/* The holder is another process, which has the lock until it ends. */
static pid_t start_holder(const char *path, int *ret_stop)
{
    int ready[2], stop[2];
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char c;
    pid_t pid;

    CHECK_OK(pipe(ready));
    CHECK_OK(pipe(stop));
    pid = fork();
    CHECK_OK(pid);
    if (pid == 0) {
        int fd = open(path, O_RDWR);

        close(stop[1]);
        if (fcntl(fd, F_SETLK, &l) == 0 && write(ready[1], "x", 1) == 1)
            (void)!read(stop[0], &c, 1);
        _exit(0);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    close(stop[0]);
    *ret_stop = stop[1];
    return pid;
}

static struct {
    char path[64];
    int fd, stop;
} other;

static int outlive_holder(void *arg)
{
    (void)arg;
    CHECK_EQ(rn_file_lock(other.fd, RN_LOCK_SHARED, 0, 1, rn_after(5 * RN_MILLISECOND)), -ETIME);
    close(other.stop); /* ends it */
    CHECK_OK(rn_file_lock(other.fd, RN_LOCK_EXCLUSIVE, 0, 0, rn_after(15 * RN_SECOND)));
    return 0;
}

RN_TEST(a_lock_of_another_process_is_waited_for)
{
    pid_t pid;

    other.fd = open_file(other.path);
    pid = start_holder(other.path, &other.stop); /* before there are threads */
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, outlive_holder, NULL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    close(other.fd);
    unlink(other.path);
}

/* ---- what is queued ---- */

RN_CORO_TEST(queued_input_counts_what_was_handed_back)
{
    rn_conn *a, *b;
    char buf[16];

    rntest_pair(&a, &b);
    CHECK_EQ(rn_input_queued(b), 0);
    CHECK_EQ(rn_write(a, "0123456789", 10), 10);
    while (rn_input_queued(b) < 10)
        rn_yield();
    CHECK_EQ(rn_input_queued(b), 10);
    CHECK_EQ(rn_read(b, buf, 4), 4);
    CHECK_EQ(rn_input_queued(b), 6);
    CHECK_OK(rn_unread(b, buf + 1, 3));
    CHECK_EQ(rn_input_queued(b), 9);
    rntest_read_full(b, buf, 9);
    CHECK_EQ(rn_input_queued(b), 0);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(queued_input_of_datagrams_is_the_first_one)
{
    char address[128];
    rn_conn *to, *from;

    CHECK_OK(rn_listen_packet("udp", "127.0.0.1:0", NULL, &to));
    CHECK_OK(rn_local_addr(to, address, sizeof address));
    CHECK_OK(rn_dial("udp", address, NULL, &from));
    CHECK_EQ(rn_write(from, "abc", 3), 3);
    CHECK_EQ(rn_write(from, "defgh", 5), 5);
    while (rn_input_queued(to) == 0)
        rn_yield();
    CHECK_EQ(rn_input_queued(to), 3);
    CHECK_EQ(rn_output_unsent(from), -ENOTSUP);
    rn_close(to);
    rn_close(from);
}

RN_CORO_TEST(queued_output_is_what_the_peer_has_not_acknowledged)
{
    static char buf[1 << 20];
    rn_conn *a, *b;
    ssize_t all, unsent;

#ifdef RNTEST_EMULATED
    RN_TEST_SKIP("qemu knows no SIOCOUTQNSD");
#endif
    rntest_pair(&a, &b);
    CHECK_EQ(rn_output_queued(a), 0);
    CHECK_EQ(rn_output_unsent(a), 0);
    CHECK_OK(rn_set_buffers(a, 0, 1 << 20));
    CHECK_OK(rn_set_buffers(b, 1 << 16, 0));
    while (rn_send(a, buf, sizeof buf, RN_MSG_DONTWAIT) > 0)
        continue;
    all = rn_output_queued(a);
    unsent = rn_output_unsent(a);
    CHECK(unsent > 0 && all >= unsent);
    while (rn_output_queued(a) > 0) { /* as it is read it goes */
        rn_set_read_deadline(b, rn_after(RN_MILLISECOND));
        CHECK(rn_read(b, buf, sizeof buf) != 0);
    }
    CHECK_EQ(rn_output_unsent(a), 0);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(pipes_queue_input_and_know_no_output)
{
    rn_conn *r, *w;
    int fds[2];

    CHECK_OK(pipe2(fds, O_CLOEXEC));
    CHECK_OK(rn_conn_from_fd(fds[0], &r));
    CHECK_OK(rn_conn_from_fd(fds[1], &w));
    CHECK_EQ(rn_write(w, "pipe", 4), 4);
    CHECK_EQ(rn_input_queued(r), 4);
    CHECK_EQ(rn_output_queued(w), -ENOTTY);
    CHECK_OK(rn__sys_fail("ioctl", ENXIO, 1, 1));
    CHECK_EQ(rn_input_queued(r), -ENXIO);
    rn__sys_clear();
    rn_close(r);
    rn_close(w);
}
