/*
 * test_batch.c - many messages with one system call
 */
#include "message_test.h"

#define N 64

static char bytes[N][16];
static struct iovec iovs[N];

static void rooms(rn_msg *msgs)
{
    for (int i = 0; i < N; i++) {
        iovs[i] = (struct iovec){.iov_base = bytes[i], .iov_len = sizeof bytes[i]};
        msgs[i] = (rn_msg){.iov = &iovs[i], .n_iov = 1};
    }
}

static void numbers(rn_msg *msgs, const rn_addr *to)
{
    for (int i = 0; i < N; i++) {
        bytes[i][0] = (char)i;
        iovs[i] = (struct iovec){.iov_base = bytes[i], .iov_len = (size_t)i % 16 + 1};
        msgs[i] = (rn_msg){.iov = &iovs[i], .n_iov = 1, .addr = *to};
    }
}

static void expect_numbers(rn_conn *c, int from, int to)
{
    static rn_msg in[N];

    while (from < to) {
        int n;

        rooms(in);
        n = rn_recv_batch(c, in, N, 0);
        CHECK(n > 0);
        for (int i = 0; i < n; i++, from++) {
            CHECK_EQ(bytes[i][0], from);
            CHECK_EQ(in[i].len, from % 16 + 1);
            CHECK(in[i].addr.len > 0);
        }
    }
    CHECK_EQ(from, to);
    rooms(in);
    CHECK_EQ(rn_recv_batch(c, in, N, RN_MSG_DONTWAIT), -RN_EWOULDBLOCK);
}

static rn_msg msgs[N];

RN_CORO_TEST(a_batch_takes_two_system_calls_for_64_messages)
{
    rn_addr at, from;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at),
            *d = listen_packet("udp", "127.0.0.1:0", &from);
    uint64_t sends = calls_on_procs(RN__SYS_sendmsg) + calls_on_procs(RN__SYS_sendmmsg);
    uint64_t receives = calls_on_procs(RN__SYS_recvmsg) + calls_on_procs(RN__SYS_recvmmsg);

    numbers(msgs, &at);
    CHECK_EQ(rn_send_batch(d, msgs, N, 0), N);
    CHECK_EQ(msgs[20].len, 20 % 16 + 1);
    CHECK_EQ(calls_on_procs(RN__SYS_sendmsg) + calls_on_procs(RN__SYS_sendmmsg) - sends, 1);
    expect_numbers(c, 0, N);
    /* one that takes them all, and the last, in vain */
    CHECK_EQ(calls_on_procs(RN__SYS_recvmsg) + calls_on_procs(RN__SYS_recvmmsg) - receives, 2);
    rn_close(c);
    rn_close(d);
}

RN_CORO_TEST(a_batch_that_falls_short_goes_on)
{
    rn_addr at, from;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at),
            *d = listen_packet("udp", "127.0.0.1:0", &from);

    numbers(msgs, &at);
    CHECK_OK(rn__sys_short("sendmmsg", 3, 1, 1));
    CHECK_OK(rn__sys_short("sendmmsg", 1, 3, 1));
    CHECK_OK(rn__sys_fail("sendmmsg", EAGAIN, 2, 1));
    CHECK_OK(rn__sys_short("recvmmsg", 5, 1, 1));
    CHECK_EQ(rn_send_batch(d, msgs, N, 0), N);
    expect_numbers(c, 0, N);
    rn_close(c);
    rn_close(d);
}

RN_CORO_TEST(an_error_of_the_kth_message_is_told_by_the_next_call)
{
    rn_addr at, from, nobody;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at),
            *d = listen_packet("udp4", "127.0.0.1:0", &from);

    CHECK_OK(rn_addr_parse("udp6", "[::1]:9", &nobody));
    numbers(msgs, &at);
    msgs[7].addr = nobody; /* no address for an IPv4 socket */
    CHECK_EQ(rn_send_batch(d, msgs, N, 0), 7);
    CHECK_EQ(rn_send_batch(d, msgs + 7, N - 7, 0), -EAFNOSUPPORT);
    CHECK_EQ(rn_send_batch(d, msgs + 8, N - 8, 0), N - 8);
    CHECK_OK(rn__sys_short("recvmmsg", 7, 1, 1));
    CHECK_OK(rn__sys_fail("recvmmsg", ENOMEM, 2, 1));
    rooms(msgs);
    CHECK_EQ(rn_recv_batch(c, msgs, N, 0), 7);
    CHECK_EQ(rn_recv_batch(c, msgs, N, 0), -ENOMEM);
    expect_numbers(c, 8, N);
    rn_close(c);
    rn_close(d);
}

static void send_one_later(void *arg)
{
    rn_addr at;
    rn_conn *c;

    CHECK_OK(rn_addr_parse("udp", arg, &at));
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    CHECK_OK(rn_listen_packet("udp", "127.0.0.1:0", NULL, &c));
    CHECK_EQ(rn_send_to(c, "late", 4, &at), 4);
    rn_close(c);
}

RN_CORO_TEST(a_batch_waits_for_its_first_message_only)
{
    static char text[64];
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at);

    CHECK_OK(rn_addr_format(&at, text, sizeof text));
    CHECK_OK(rn_go(send_one_later, text));
    rooms(msgs);
    CHECK_EQ(rn_recv_batch(c, msgs, N, 0), 1);
    CHECK_MEM(bytes[0], "late", 4);
    rn_set_read_deadline(c, rn_after(5 * RN_MILLISECOND));
    CHECK_EQ(rn_recv_batch(c, msgs, N, 0), -ETIME);
    rn_set_read_deadline(c, 0);
    rn_close(c);
}

/* Its receiver's queue is short, and it polls as writable while that is full. */
RN_CORO_TEST(a_batch_to_a_full_unixgram_socket_waits)
{
    rn_addr a_at, b_at;
    rn_conn *a = listen_packet("unixgram", "@rntest-batch-a", &a_at),
            *b = listen_packet("unixgram", "@rntest-batch-b", &b_at);
    int n, sum = 0;

    numbers(msgs, &b_at);
    while ((n = rn_send_batch(a, msgs, N, RN_MSG_DONTWAIT)) > 0)
        sum += n;
    CHECK_EQ(n, -RN_EWOULDBLOCK);
    rn_set_write_deadline(a, rn_after(5 * RN_MILLISECOND));
    CHECK_EQ(rn_send_batch(a, msgs, N, 0), -ETIME);
    for (rooms(msgs); sum > 0; sum -= n)
        CHECK((n = rn_recv_batch(b, msgs, N, 0)) > 0);
    CHECK_EQ(sum, 0);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(descriptors_and_segments_in_a_batch)
{
    rn_addr a_at, b_at, c_at, d_at;
    rn_conn *a = listen_packet("unixgram", "@rntest-batch-c", &a_at),
            *b = listen_packet("unixgram", "@rntest-batch-d", &b_at);
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &c_at),
            *d = listen_packet("udp", "127.0.0.1:0", &d_at);
    int fd = STDERR_FILENO, got[2][2], fds = rntest_count_fds();

    numbers(msgs, &b_at);
    for (int i = 0; i < 2; i++) {
        msgs[i].fds = &fd;
        msgs[i].n_fds = 1;
    }
    CHECK_EQ(rn_send_batch(a, msgs, 3, 0), 3);
    rooms(msgs);
    for (int i = 0; i < 2; i++) {
        msgs[i].fds = got[i];
        msgs[i].fds_room = 2;
    }
    CHECK_EQ(rn_recv_batch(b, msgs, N, 0), 3);
    CHECK_EQ(msgs[0].n_fds + msgs[1].n_fds, 2);
    CHECK_EQ(msgs[2].n_fds, 0);
    CHECK_EQ(rntest_count_fds(), fds + 2);
    close(got[0][0]);
    close(got[1][0]);

    numbers(msgs, &c_at);
    msgs[1].with = RN_WITH_SEGMENTS; /* 2 bytes, as two */
    msgs[1].segment_bytes = 1;
    CHECK_OK(rn__sys_short("sendmmsg", 1, 1, 1));
    CHECK_OK(rn__sys_fail("sendmmsg", EIO, 2, 1));
    CHECK_OK(rn__sys_fail("sendmsg", EIO, 1, 1));
    CHECK_EQ(rn_send_batch(d, msgs, 3, 0), 3);
    rn__sys_clear();
    CHECK_EQ(msgs[1].len, 2);
    rooms(msgs);
    CHECK_EQ(rn_recv_batch(c, msgs, N, 0), 4);
    CHECK_EQ(msgs[1].len, 1);
    CHECK_EQ(msgs[3].len, 3);
    rn_close(a);
    rn_close(b);
    rn_close(c);
    rn_close(d);
}

RN_CORO_TEST(a_batch_of_nothing_or_on_a_stream_is_refused)
{
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at), *t, *u;

    rntest_pair(&t, &u);
    rooms(msgs);
    CHECK_EQ(rn_recv_batch(t, msgs, N, 0), -EINVAL);
    CHECK_EQ(rn_send_batch(t, msgs, N, 0), -EINVAL);
    CHECK_EQ(rn_recv_batch(c, msgs, 0, 0), -EINVAL);
    CHECK_EQ(rn_recv_batch(c, msgs, 1025, 0), -EINVAL);
    CHECK_EQ(rn_recv_batch(c, msgs, N, RN_MSG_PEEK), -EINVAL);
    msgs[3].n_iov = -1;
    CHECK_EQ(rn_recv_batch(c, msgs, N, 0), -EINVAL);
    rn_close(c);
    rn_close(t);
    rn_close(u);
}
