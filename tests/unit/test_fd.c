/*
 * test_fd.c - descriptors: other people's, files, and what addresses they have
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "rntest_coro.h"

/* ---- other people's descriptors ---- */

RN_CORO_TEST(a_pipe_is_a_conn_too)
{
    rn_conn *r, *w;
    int fds[2];
    char buf[8];

    CHECK_EQ(pipe(fds), 0);
    CHECK_OK(rn_conn_from_fd(fds[0], &r));
    CHECK_OK(rn_conn_from_fd(fds[1], &w));
    CHECK_EQ(rn_conn_fd(r), fds[0]);
    rn_set_read_deadline(r, rn_after(10 * RN_MILLISECOND));
    CHECK_EQ(rn_read(r, buf, sizeof buf), -ETIME);
    rn_set_read_deadline(r, 0);
    CHECK_EQ(rn_write(w, "pipe", 4), 4);
    CHECK_EQ(rn_read(r, buf, sizeof buf), 4);
    CHECK_EQ(rn_close_write(w), -ENOTSOCK);
    rn_close(w);
    CHECK_EQ(rn_read(r, buf, sizeof buf), 0);
    rn_close(r);
}

RN_CORO_TEST(what_is_neither_socket_pipe_nor_terminal_is_refused)
{
    rn_conn *c = NULL;
    int file = open("/proc/self/exe", O_RDONLY), raw = socket(AF_NETLINK, SOCK_RAW, 0);

    CHECK_EQ(rn_conn_from_fd(-1, &c), -EBADF);
    CHECK_EQ(rn_conn_from_fd(file, &c), -ENOTSUP);
    CHECK_EQ(rn_conn_from_fd(raw, &c), -ENOTSUP);
    CHECK(rn_conn_from_fd(0, &c) == -EPERM || rn_conn_from_fd(0, &c) == -EBADF);
    CHECK(c == NULL);
    close(file);
    close(raw);
}

RN_CORO_TEST(wait_fd_waits_for_any_descriptor)
{
    int fds[2], file = open("/proc/self/exe", O_RDONLY);

    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    CHECK_EQ(rn_wait_fd(fds[0], RN_READABLE, rn_after(10 * RN_MILLISECOND)), -ETIME);
    CHECK_EQ(rn_wait_fd(fds[1], RN_WRITABLE, 0), RN_WRITABLE);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(rn_wait_fd(fds[0], RN_READABLE, 0), RN_READABLE);
    CHECK_EQ(rn_wait_fd(file, RN_READABLE | RN_WRITABLE, 0), RN_READABLE | RN_WRITABLE);
    CHECK_EQ(rn_wait_fd(fds[0], 0, 0), -EINVAL);
    CHECK_EQ(rn_wait_fd(fds[0], 8, 0), -EINVAL);
    CHECK_EQ(rn_wait_fd(-1, RN_READABLE, 0), -EBADF);
    close(fds[1]);
    CHECK_EQ(rn_wait_fd(fds[0], RN_READABLE, 0), RN_READABLE); /* data, and a hang-up */
    close(fds[0]);
    close(file);
}

struct fd_waiter {
    int fd, dirs, result;
    rn_waitgroup done;
};

static void wait_one(void *arg)
{
    struct fd_waiter *w = arg;

    w->result = rn_wait_fd(w->fd, w->dirs, rn_after(5 * RN_SECOND));
    rn_waitgroup_done(&w->done);
}

RN_CORO_TEST(several_coroutines_wait_for_one_descriptor)
{
    struct fd_waiter w[4];
    int fds[2], before = rntest_count_fds();

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct fd_waiter){.fd = fds[0], .dirs = i < 3 ? RN_READABLE : RN_WRITABLE};
        rn_waitgroup_add(&w[i].done, 1);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i % 2}, wait_one, &w[i]));
    }
    CHECK_OK(rn_waitgroup_wait(&w[3].done));
    CHECK_EQ(w[3].result, RN_WRITABLE);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(rn_waitgroup_wait(&w[i].done));
        CHECK_EQ(w[i].result, RN_READABLE);
    }
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(rntest_count_fds(), before);
}

static void wait_shielded(void *arg)
{
    rn_shield_begin();
    (void)rn_wait_fd(*(int *)arg, RN_READABLE, 0);
}

static int leave_waiter_behind(void *arg)
{
    CHECK_OK(rn_go(wait_shielded, arg));
    return rn_sleep(5 * RN_MILLISECOND);
}

/* What is still open at the end of a run is closed; this is somebody else's. */
RN_TEST(a_descriptor_waited_for_by_who_is_abandoned_stays_open)
{
    int fds[2];

    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .grace_ns = 10 * RN_MILLISECOND},
                    leave_waiter_behind, &fds[0]));
    CHECK(fcntl(fds[0], F_GETFD) >= 0);
    close(fds[0]);
    close(fds[1]);
}

RN_CORO_TEST(addresses_of_both_ends_are_told)
{
    rn_conn *a, *b;
    char x[128], y[128];

    rntest_pair(&a, &b);
    CHECK_OK(rn_local_addr(a, x, sizeof x));
    CHECK_OK(rn_remote_addr(b, y, sizeof y));
    CHECK_STR(x, y);
    CHECK(strncmp(x, "127.0.0.1:", 10) == 0);
    CHECK_EQ(rn_local_addr(a, x, 5), -ENOSPC);
    rn_close(a);
    rn_close(b);
    rntest_pair_on("unix", &a, &b);
    CHECK_OK(rn_local_addr(b, x, sizeof x));
    CHECK(x[0] == '@');
    CHECK_OK(rn_local_addr(a, x, sizeof x));
    CHECK_STR(x, "");
    rn_close(a);
    rn_close(b);
}

/* ---- files ---- */

static int make_file(size_t len)
{
    char name[] = "/tmp/rntest-XXXXXX";
    int fd = mkstemp(name);

    CHECK(fd >= 0);
    unlink(name);
    for (size_t i = 0; i < len; i += 4096) {
        char page[4096];
        size_t n = len - i < sizeof page ? len - i : sizeof page;

        memset(page, (int)('a' + i / 4096 % 26), n);
        CHECK_EQ(write(fd, page, n), (ssize_t)n);
    }
    return fd;
}

struct sender {
    rn_conn *conn;
    int fd;
    off_t at;
    size_t len;
    ssize_t result;
    rn_waitgroup done;
};

static void send_it(void *arg)
{
    struct sender *s = arg;

    s->result = rn_send_file(s->conn, s->fd, s->at, s->len);
    rn_waitgroup_done(&s->done);
}

RN_CORO_TEST(send_file_sends_what_was_asked_for)
{
    struct sender s = {.fd = make_file(5 << 20), .at = 4095, .len = (5 << 20) - 4095};
    rn_conn *a, *b;
    char buf[65536];
    size_t at = 4095;

    rntest_pair(&a, &b);
    s.conn = b;
    rn_waitgroup_add(&s.done, 1);
    CHECK_OK(rn_go(send_it, &s));
    while (at < 5 << 20) {
        ssize_t n = rn_read(a, buf, sizeof buf);

        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++, at++)
            CHECK(buf[i] == (char)('a' + at / 4096 % 26));
    }
    CHECK_OK(rn_waitgroup_wait(&s.done));
    CHECK_EQ(s.result, (ssize_t)s.len);
    CHECK_EQ(lseek(s.fd, 0, SEEK_CUR), 5 << 20); /* its offset is where it was */
    CHECK_EQ(rn_send_file(b, s.fd, 0, 0), 0);
    close(s.fd);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(a_file_that_is_too_short_is_told)
{
    rn_conn *a, *b;
    int file = make_file(1000);
    char buf[2000];

    rntest_pair(&a, &b);
    CHECK_EQ(rn_send_file(b, file, 0, 1001), -RN_ETRUNCATED);
    rntest_read_full(a, buf, 1000);
    CHECK_EQ(rn_write(b, "x", 1), -RN_ETRUNCATED); /* poisoned: the length was promised */
    rn_close(a);
    rn_close(b);
    rntest_pair(&a, &b);
    CHECK_EQ(rn_send_file(b, file, 1000, 1), -RN_ETRUNCATED);
    CHECK_EQ(rn_send_file(b, file, -1, 1), -EINVAL);
    CHECK_EQ(rn_send_file(b, rn_conn_fd(a), 0, 1), -EINVAL);
    CHECK_EQ(rn_send_file(b, -1, 0, 1), -EBADF);
    CHECK_EQ(rn_write(b, "x", 1), 1); /* nothing was sent: not poisoned */
    close(file);
    rn_close(a);
    rn_close(b);
}

static int read_until_cancelled(void *conn)
{
    static char buf[65536];

    while (rn_read(conn, buf, sizeof buf) > 0)
        continue;
    return 0;
}

RN_CORO_TEST(a_file_cut_while_it_is_sent_ends_in_an_error)
{
    struct sender s = {.fd = make_file(8 << 20), .len = 8 << 20};
    rn_group g = RN_GROUP_INIT;
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    s.conn = b;
    rn_waitgroup_add(&s.done, 1);
    CHECK_OK(rn_go(send_it, &s));
    rntest_until_all_wait(); /* the socket is full by now */
    CHECK_EQ(ftruncate(s.fd, 1 << 20), 0);
    CHECK_OK(rn_group_go(&g, read_until_cancelled, a)); /* what is missing never comes */
    CHECK_OK(rn_waitgroup_wait(&s.done));
    CHECK_EQ(s.result, -RN_ETRUNCATED);
    rn_cancel(a);
    CHECK_OK(rn_group_wait(&g, 0));
    close(s.fd);
    rn_close(b);
    rn_close(a);
}
