/*
 * test_sys_rules.c - the system-call table: how a test makes calls fail, fall short, be interrupted
 */
#include "sys_test.h"

/* ---- failures on demand ---- */

RN_TEST(the_third_accept4_fails_with_emfile)
{
    struct sockaddr_in at;
    int ln = listen_local(&at);

    for (int i = 0; i < 3; i++)
        (void)connect_local(&at);
    CHECK_OK(rn__sys_fail("accept4", EMFILE, 3, 1));
    for (int i = 1; i <= 4; i++) {
        int r = rn__sys_accept4(ln, NULL, NULL, SOCK_CLOEXEC);

        if (i == 3)
            CHECK_EQ(r, -EMFILE);
        else /* the fourth too: the third took no connection from the queue */
            CHECK_OK(r);
    }
    close(ln);
}

RN_TEST(nth_and_count_choose_the_calls_that_fail)
{
    CHECK_EQ(rn__sys_listen(-1, 1), -EBADF); /* before the rule is set: counts for nothing */
    CHECK_OK(rn__sys_fail("listen", EIO, 2, 3));
    for (int i = 1; i <= 8; i++)
        CHECK_EQ(rn__sys_listen(-1, 1), i >= 2 && i <= 4 ? -EIO : -EBADF);
    CHECK_EQ(rn__sys_hits(), 3);
}

RN_TEST(rules_add_up_and_touch_only_their_row)
{
    CHECK_OK(rn__sys_fail("listen", EIO, 1, 1));
    CHECK_OK(rn__sys_fail("listen", ENOMEM, 3, 1));
    CHECK_OK(rn__sys_fail("shutdown", EPERM, 2, 1));
    CHECK_EQ(rn__sys_listen(-1, 1), -EIO);
    CHECK_EQ(rn__sys_shutdown(-1, 0), -EBADF);
    CHECK_EQ(rn__sys_listen(-1, 1), -EBADF);
    CHECK_EQ(rn__sys_shutdown(-1, 0), -EPERM);
    CHECK_EQ(rn__sys_listen(-1, 1), -ENOMEM);
    CHECK_EQ(rn__sys_listen(-1, 1), -EBADF);
}

RN_TEST(a_rule_that_makes_no_sense_is_refused)
{
    CHECK_EQ(rn__sys_fail("raed", EIO, 1, 1), -EINVAL);
    CHECK_EQ(rn__sys_short("raed", 1, 1, 1), -EINVAL);
    CHECK_EQ(rn__sys_fail("listen", 0, 1, 1), -EINVAL);
    CHECK_EQ(rn__sys_fail("listen", -EIO, 1, 1), -EINVAL);
    CHECK_EQ(rn__sys_fail("listen", EIO, 0, 1), -EINVAL);
    CHECK_EQ(rn__sys_fail("listen", EIO, 1, 0), -EINVAL);
    CHECK_EQ(rn__sys_listen(-1, 1), -EBADF);
    CHECK_OK(rn__sys_short("listen", 1, 1, 1)); /* no length to cut: nothing happens */
    CHECK_EQ(rn__sys_listen(-1, 1), -EBADF);
}

RN_TEST(there_are_sixteen_rules_and_clear_ends_them_all)
{
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 1; i <= 16; i++)
            CHECK_OK(rn__sys_fail("listen", EIO, i, 1));
        CHECK_EQ(rn__sys_fail("listen", EIO, 1, 1), -ENOSPC);
        CHECK_EQ(rn__sys_short("read", 1, 1, 1), -ENOSPC);
        CHECK_EQ(rn__sys_fail("raed", EIO, 1, 1), -EINVAL);
        CHECK_EQ(rn__sys_listen(-1, 1), -EIO);
        rn__sys_clear();
        CHECK_EQ(rn__sys_listen(-1, 1), -EBADF);
    }
}

static void *count_injected(void *arg)
{
    intptr_t *hits = arg;

    for (int i = 0; i < 1000; i++) {
        int r = rn__sys_listen(-1, 1);

        CHECK(r == -EIO || r == -EBADF);
        *hits += r == -EIO;
    }
    return NULL;
}

#define THREADS 4

RN_TEST(a_rule_hits_its_count_exactly_whichever_threads_call)
{
    pthread_t t[THREADS];
    intptr_t hits[THREADS] = {0}, sum = 0;

    CHECK_OK(rn__sys_fail("listen", EIO, 500, 123));
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, count_injected, &hits[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(t[i], NULL), 0);
        sum += hits[i];
    }
    CHECK_EQ(sum, 123);
}

/* ---- short calls ---- */

RN_TEST(a_short_write_of_7)
{
    struct rn__sys_block *b = fresh_block();
    char buf[32];
    int fds[2];

    open_pair(fds);
    CHECK_OK(rn__sys_short("write", 7, 1, 1));
    CHECK_EQ(rn__sys_write(fds[0], "0123456789", 10), 7);
    CHECK_EQ(read(fds[1], buf, sizeof buf), 7);
    CHECK_MEM(buf, "0123456", 7);
    CHECK_EQ(rn__sys_write(fds[0], "0123456789", 10), 10);
    CHECK_EQ(bytes_of(b, RN__SYS_write), 17);
    close_pair(fds);
    drop_block(b);
}

RN_TEST(a_call_shorter_than_the_cut_stays_whole)
{
    char buf[8];
    int fds[2];

    open_pair(fds);
    CHECK_OK(rn__sys_short("send", 7, 2, 1));
    CHECK_EQ(rn__sys_send(fds[0], "0123456789", 10, 0), 10); /* the first: not yet */
    CHECK_EQ(rn__sys_send(fds[0], "abc", 3, 0), 3);
    CHECK_OK(rn__sys_short("recv", 4, 1, 2));
    CHECK_EQ(rn__sys_recv(fds[1], buf, sizeof buf, 0), 4);
    CHECK_EQ(rn__sys_recv(fds[1], buf, 2, 0), 2);
    CHECK_EQ(rn__sys_recv(fds[1], buf, sizeof buf, 0), 7);
    close_pair(fds);
}

/* "abc" "" "defgh" "ij" */
static void fill_vectors(struct iovec iov[4], char text[10])
{
    static const size_t lens[] = {3, 0, 5, 2};

    memcpy(text, "abcdefghij", 10);
    for (int i = 0; i < 4; i++) {
        iov[i] = (struct iovec){.iov_base = text, .iov_len = lens[i]};
        text += lens[i];
    }
}

static void check_vectors_whole(const struct iovec iov[4])
{
    CHECK_EQ(iov[0].iov_len, 3);
    CHECK_EQ(iov[1].iov_len, 0);
    CHECK_EQ(iov[2].iov_len, 5);
    CHECK_EQ(iov[3].iov_len, 2);
}

static void check_received(int fd, const char *text, size_t len)
{
    char buf[32];

    CHECK_EQ(read(fd, buf, sizeof buf), len);
    CHECK_MEM(buf, text, len);
}

RN_TEST(a_short_writev_cuts_a_copy_of_the_vectors)
{
    struct iovec iov[4];
    char text[10];
    int fds[2];

    open_pair(fds);
    fill_vectors(iov, text);
    for (size_t most = 1; most <= 12; most++) {
        size_t expected = most < 10 ? most : 10;

        CHECK_OK(rn__sys_short("writev", most, 1, 1));
        CHECK_EQ(rn__sys_writev(fds[0], iov, 4), expected);
        check_received(fds[1], "abcdefghij", expected);
        check_vectors_whole(iov);
        rn__sys_clear();
    }
    CHECK_EQ(rn__sys_writev(fds[0], iov, 4), 10);
    close_pair(fds);
}

RN_TEST(a_short_readv_fills_only_so_much)
{
    struct iovec iov[4];
    char text[10];
    int fds[2];

    open_pair(fds);
    CHECK_EQ(write(fds[0], "0123456789", 10), 10);
    fill_vectors(iov, text);
    CHECK_OK(rn__sys_short("readv", 4, 1, 1));
    CHECK_EQ(rn__sys_readv(fds[1], iov, 4), 4);
    CHECK_MEM(text, "0123efghij", 10);
    check_vectors_whole(iov);
    CHECK_EQ(rn__sys_readv(fds[1], iov, 4), 6);
    CHECK_MEM(text, "456789ghij", 10);
    close_pair(fds);
}

RN_TEST(a_short_sendmsg_leaves_the_callers_message_whole)
{
    struct iovec iov[4];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 4};
    char text[10];
    int fds[2];

    open_pair(fds);
    fill_vectors(iov, text);
    CHECK_OK(rn__sys_short("sendmsg", 7, 1, 1));
    CHECK_EQ(rn__sys_sendmsg(fds[0], &msg, MSG_NOSIGNAL), 7);
    check_received(fds[1], "abcdefg", 7);
    CHECK(msg.msg_iov == iov && msg.msg_iovlen == 4);
    check_vectors_whole(iov);
    CHECK_EQ(rn__sys_sendmsg(fds[0], &msg, MSG_NOSIGNAL), 10);
    close_pair(fds);
}

RN_TEST(a_short_call_with_many_vectors_is_short_and_right)
{
    struct iovec iov[20];
    char text[20];
    int fds[2];
    ssize_t n;

    open_pair(fds);
    for (int i = 0; i < 20; i++) {
        text[i] = (char)('a' + i);
        iov[i] = (struct iovec){.iov_base = &text[i], .iov_len = 1};
    }
    CHECK_OK(rn__sys_short("writev", 15, 1, 1));
    n = rn__sys_writev(fds[0], iov, 20);
    CHECK(n >= 1 && n <= 15);
    check_received(fds[1], text, (size_t)n);
    close_pair(fds);
}

/* What the kernel says beside the bytes must reach the caller of a cut recvmsg too: who reads
 * msg_controllen to find passed descriptors would else read what nobody wrote. */
RN_TEST(a_short_recvmsg_fills_in_the_callers_header)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char buf[16];
    struct iovec iov = {.iov_base = buf, .iov_len = sizeof buf};
    struct sockaddr_storage from;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_name = &from,
                         .msg_namelen = sizeof from,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    int fds[2];

    CHECK_OK(rn__sys_socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
    CHECK_EQ(send(fds[0], "0123456789", 10, 0), 10);
    CHECK_OK(rn__sys_short("recvmsg", 4, 1, 1));
    CHECK_EQ(rn__sys_recvmsg(fds[1], &msg, 0), 4);
    CHECK_MEM(buf, "0123", 4);
    CHECK(msg.msg_iov == &iov && msg.msg_iovlen == 1);
    CHECK_EQ(iov.iov_len, sizeof buf);
    CHECK(msg.msg_flags & MSG_TRUNC);
    CHECK_EQ(msg.msg_controllen, 0);
    CHECK_EQ(msg.msg_namelen, 0);
    close_pair(fds);
}

RN_TEST(pread_and_sendfile_fall_short_too)
{
    int file = open("/proc/self/exe", O_RDONLY), fds[2];
    off_t at = 1;
    char buf[64];

    open_pair(fds);
    CHECK_OK(rn__sys_short("pread", 3, 1, 1));
    CHECK_EQ(rn__sys_pread(file, buf, sizeof buf, 1), 3);
    CHECK_MEM(buf, "ELF", 3);
    CHECK_OK(rn__sys_short("sendfile", 3, 1, 1));
    CHECK_EQ(rn__sys_sendfile(fds[0], file, &at, sizeof buf), 3);
    CHECK_EQ(at, 4);
    check_received(fds[1], "ELF", 3);
    CHECK_EQ(rn__sys_sendfile(fds[0], file, &at, sizeof buf), sizeof buf);
    close(file);
    close_pair(fds);
}

/* ---- EINTR ---- */

RN_TEST(an_interrupted_read_is_tried_again)
{
    struct rn__sys_block *b = fresh_block();
    char buf[4];
    int fds[2];

    open_pair(fds);
    CHECK_EQ(write(fds[0], "data", 4), 4);
    CHECK_OK(rn__sys_fail("read", EINTR, 1, 5));
    CHECK_EQ(rn__sys_read(fds[1], buf, 4), 4);
    CHECK_MEM(buf, "data", 4);
    CHECK_EQ(calls_of(b, RN__SYS_read), 1);
    CHECK_EQ(errors_of(b, RN__SYS_read), 0);
    CHECK_EQ(bytes_of(b, RN__SYS_read), 4);
    close_pair(fds);
    drop_block(b);
}

struct shower {
    pthread_t on;
    int then_write;
};

static void ignore_signal(int sig)
{
    (void)sig;
}

static void *shower_signals(void *arg)
{
    const struct shower *s = arg;

    for (int i = 0; i < 50; i++) {
        CHECK_EQ(pthread_kill(s->on, SIGUSR1), 0);
        usleep(200);
    }
    CHECK_EQ(write(s->then_write, "x", 1), 1);
    return NULL;
}

RN_TEST(a_blocking_read_outlasts_real_signals)
{
    struct sigaction sa = {.sa_handler = ignore_signal}; /* no SA_RESTART */
    struct shower s = {.on = pthread_self()};
    pthread_t t;
    int fds[2];
    char c;

    CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    s.then_write = fds[0];
    CHECK_EQ(pthread_create(&t, NULL, shower_signals, &s), 0);
    CHECK_EQ(rn__sys_read(fds[1], &c, 1), 1);
    CHECK_EQ(pthread_join(t, NULL), 0);
    close_pair(fds);
}

RN_TEST(an_interrupted_close_has_closed_and_is_not_repeated)
{
    struct rn__sys_block *b = fresh_block();
    int fd = any_fd(), again;

    CHECK_OK(rn__sys_fail("close", EINTR, 1, 1));
    CHECK_EQ(rn__sys_close(fd), -EINTR);
    CHECK(!is_open(fd));
    CHECK_EQ(calls_of(b, RN__SYS_close), 1);
    again = any_fd();
    CHECK_EQ(again, fd); /* the number is somebody else's now */
    CHECK_OK(rn__sys_fail("close", EINTR, 1, 2));
    CHECK_EQ(rn__sys_close(again), -EINTR); /* the second EINTR is left: it was not tried again */
    again = any_fd();
    CHECK_EQ(rn__sys_close(again), -EINTR);
    again = any_fd();
    CHECK_EQ(rn__sys_close(again), 0);
    drop_block(b);
}

RN_TEST(a_close_that_fails_is_counted_as_an_error)
{
    struct rn__sys_block *b = fresh_block();

    CHECK_EQ(rn__sys_close(-1), -EBADF);
    CHECK_EQ(calls_of(b, RN__SYS_close), 1);
    CHECK_EQ(errors_of(b, RN__SYS_close), 1);
    drop_block(b);
}

/* A close that lingers stays in the kernel for a second. */
RN_TEST(the_time_a_close_takes_is_taken)
{
    struct rn__sys_block *b = fresh_block();
    struct linger linger = {.l_onoff = 1, .l_linger = 1};
    static char chunk[1 << 16];
    struct sockaddr_in at;
    int ln = listen_local(&at), fd = connect_local(&at);
    rn_time start;

    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    while (send(fd, chunk, sizeof chunk, MSG_DONTWAIT) > 0)
        ;
    start = rn_now();
    CHECK_EQ(rn__sys_close(fd), 0);
    if (rn_now() - start < 500 * RN_MILLISECOND)
        RN_TEST_SKIP("this kernel does not linger");
    CHECK(rn__hist_quantile(&b->rows[RN__SYS_close].latency, 1) >= 500 * RN_MILLISECOND);
    close(ln);
    drop_block(b);
}
