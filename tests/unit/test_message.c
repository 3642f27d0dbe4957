/*
 * test_message.c - datagrams, seqpackets, and the flags of recv and send
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "message_test.h"

static const char *text_of(const rn_addr *a)
{
    static char text[4][128];
    static int next;
    char *t = text[next++ % 4];

    CHECK_OK(rn_addr_format(a, t, 128));
    return t;
}

/* ---- datagrams ---- */

static void exchange(const char *network, const char *a_at, const char *b_at)
{
    rn_addr a_addr, b_addr, from;
    rn_conn *a = listen_packet(network, a_at, &a_addr), *b = listen_packet(network, b_at, &b_addr);
    char buf[64];

    CHECK_EQ(rn_send_to(a, "ping", 4, &b_addr), 4);
    CHECK_EQ(rn_send_to(a, "", 0, &b_addr), 0); /* an empty one is one, too */
    CHECK_EQ(rn_send_to(a, "again", 5, &b_addr), 5);
    CHECK_EQ(rn_recv_from(b, buf, sizeof buf, &from), 4);
    CHECK_MEM(buf, "ping", 4);
    CHECK_STR(text_of(&from), text_of(&a_addr));
    CHECK_EQ(rn_recv_from(b, buf, sizeof buf, NULL), 0);
    CHECK_EQ(rn_recv_from(b, buf, 2, NULL), 2); /* cut: the rest is lost */
    CHECK_EQ(rn_send_to(b, "pong", 4, &from), 4);
    CHECK_EQ(rn_recv_from(a, buf, sizeof buf, &from), 4);
    CHECK_STR(text_of(&from), text_of(&b_addr));
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(datagrams_keep_their_bounds_and_name_their_sender)
{
    rntest_need_ipv6();
    exchange("udp", "127.0.0.1:0", "127.0.0.1:0");
    exchange("udp4", "127.0.0.1:0", "127.0.0.1:0");
    exchange("udp6", "[::1]:0", "[::1]:0");
    exchange("unixgram", "@rntest-message-a", "@rntest-message-b");
}

RN_CORO_TEST(udp_without_a_host_takes_ipv4_and_ipv6)
{
    rn_addr any, to, from;
    rn_conn *c = listen_packet("udp", ":0", &any), *d;
    const char *port = strrchr(text_of(&any), ':');
    char text[64], buf[8];

    rntest_need_ipv6();
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s%s", i == 0 ? "127.0.0.1" : "[::1]", port);
        CHECK_OK(rn_addr_parse("udp", text, &to));
        d = listen_packet(i == 0 ? "udp4" : "udp6", i == 0 ? "127.0.0.1:0" : "[::1]:0", &from);
        CHECK_EQ(rn_send_to(d, "x", 1, &to), 1);
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, &from), 1);
        rn_close(d);
    }
    rn_close(c);
}

RN_CORO_TEST(a_dialled_socket_reads_and_writes_messages)
{
    rn_addr at, from;
    rn_conn *server = listen_packet("udp", "127.0.0.1:0", &at), *c;
    char buf[64], here[64];

    CHECK_OK(rn_dial("udp", text_of(&at), NULL, &c));
    CHECK_EQ(rn_write(c, "one", 3), 3);
    CHECK_EQ(rn_write(c, "two", 3), 3);
    CHECK_EQ(rn_read(server, buf, sizeof buf), 3);
    CHECK_EQ(rn_recv_from(server, buf, sizeof buf, &from), 3);
    CHECK_MEM(buf, "two", 3);
    CHECK_OK(rn_local_addr(c, here, sizeof here));
    CHECK_STR(text_of(&from), here);
    CHECK_EQ(rn_send_to(server, "three", 5, &from), 5);
    CHECK_EQ(rn_read(c, buf, sizeof buf), 5);
    rn_close(c);
    rn_close(server);
}

/* ICMP's word for it comes once, and is no end. */
RN_CORO_TEST(a_refused_datagram_is_told_once_and_the_conn_stays_usable)
{
    rn_addr at;
    rn_conn *server = listen_packet("udp", "127.0.0.1:0", &at), *c;
    char address[64], buf[8];

    strcpy(address, text_of(&at));
    CHECK_OK(rn_dial("udp", address, NULL, &c));
    rn_close(server);
    CHECK_EQ(rn_write(c, "x", 1), 1);
    rn_set_read_deadline(c, rn_after(10 * RN_SECOND));
    CHECK_EQ(rn_read(c, buf, sizeof buf), -ECONNREFUSED);
    CHECK_OK(rn_listen_packet("udp", address, NULL, &server));
    CHECK_EQ(rn_write(c, "y", 1), 1);
    CHECK_EQ(rn_read(server, buf, sizeof buf), 1);
    CHECK_EQ(buf[0], 'y');
    rn_close(c);
    rn_close(server);
}

RN_CORO_TEST(a_message_that_is_too_long_is_refused_whole)
{
    static char big[70000];
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at);
    char buf[8];

    CHECK_EQ(rn_send_to(c, big, sizeof big, &at), -EMSGSIZE);
    CHECK_EQ(rn_send_to(c, "x", 1, &at), 1); /* nothing is poisoned */
    CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), 1);
    rn_close(c);
}

/* A path is taken while the socket is open, and removed by its close. */
RN_CORO_TEST(a_unixgram_path_goes_with_its_socket)
{
    char path[64], mine[64], buf[8];
    rn_conn *server, *c;
    rn_addr from;

    snprintf(path, sizeof path, "/tmp/rntest-gram-%d", getpid());
    snprintf(mine, sizeof mine, "/tmp/rntest-gram-%d-c", getpid());
    CHECK_OK(rn_listen_packet("unixgram", path, NULL, &server));
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_OK(rn_dial("unixgram", path, &(rn_dial_options){.local = mine}, &c));
    CHECK_EQ(rn_write(c, "hello", 5), 5);
    CHECK_EQ(rn_recv_from(server, buf, sizeof buf, &from), 5);
    CHECK_STR(text_of(&from), mine);
    CHECK_EQ(rn_send_to(server, "yes", 3, &from), 3);
    CHECK_EQ(rn_read(c, buf, sizeof buf), 3);
    rn_close(c);
    rn_close(server);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_EQ(access(mine, F_OK), -1);
    CHECK_OK(rn_listen_packet("unixgram", path, &(rn_listen_options){.keep_path = true}, &server));
    CHECK_EQ(rn_listen_packet("unixgram", path, NULL, &c), -EADDRINUSE);
    rn_close(server);
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_EQ(unlink(path), 0);
}

static rn_waitgroup received;

static void receive_all(void *arg)
{
    rn_conn *c = arg;
    char buf[8];

    CHECK_OK(rn_sleep(20 * RN_MILLISECOND)); /* the sender has found the queue full by then */
    for (int i = 0; i < 200; i++)
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), 1);
    rn_close(c);
    rn_waitgroup_done(&received);
}

/* The queue of a unix receiver has few places, and its sender polls as writable meanwhile. */
RN_CORO_TEST(a_sender_to_a_full_unixgram_socket_waits_for_room)
{
    rn_addr a_addr, b_addr;
    rn_conn *a = listen_packet("unixgram", "@rntest-full-a", &a_addr),
            *b = listen_packet("unixgram", "@rntest-full-b", &b_addr);
    struct rn__sys_stat *s;
    int full = 0;

    while (rn_send_to(a, "x", 1, &b_addr) == 1 && ++full < 100) {
        rn_set_write_deadline(a, rn_after(10 * RN_MILLISECOND));
    }
    CHECK(full > 0 && full < 100); /* -ETIME, for nobody reads */
    rn_set_write_deadline(a, 0);
    for (int i = 0; i < full; i++) {
        char c;

        CHECK_EQ(rn_recv_from(b, &c, 1, NULL), 1);
    }
    rn_waitgroup_add(&received, 1);
    CHECK_OK(rn_go(receive_all, b));
    for (int i = 0; i < 200; i++)
        CHECK_EQ(rn_send_to(a, "x", 1, &b_addr), 1);
    s = &rn__sys_shared_block()->rows[RN__SYS_sendmsg];
    CHECK(atomic_load(&s->again) < 1000); /* it does not spin */
    CHECK_OK(rn_waitgroup_wait(&received));
    rn_close(a);
}

/* ---- seqpacket ---- */

RN_CORO_TEST(unixpacket_has_connections_records_and_an_end)
{
    rn_conn *a, *b;
    char buf[64];

    unix_pair("unixpacket", &a, &b);
    CHECK_EQ(rn_write(a, "first", 5), 5);
    CHECK_EQ(rn_send(a, "second", 6, RN_MSG_EOR), 6);
    CHECK_EQ(rn_recv(b, buf, 2, RN_MSG_PEEK | RN_MSG_TRUNC), 5); /* how long is it? */
    CHECK_EQ(rn_read(b, buf, sizeof buf), 5);
    CHECK_EQ(rn_recv(b, buf, 2, RN_MSG_TRUNC), 6);
    rn_close(a);
    CHECK_EQ(rn_read(b, buf, sizeof buf), 0);
    rn_close(b);
}

/* ---- deadlines, cancels, readers ---- */

static void try_second(void *arg)
{
    char c;

    CHECK_EQ(rn_recv_from(arg, &c, 1, NULL), -EBUSY);
    CHECK_EQ(rn_recv(arg, &c, 1, 0), -EBUSY);
    rn_cancel(arg);
}

RN_CORO_TEST_ON(deadline_second_reader_and_cancel_of_a_receive, 1)
{
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at);
    char buf[8];

    CHECK_EQ(rn_recv(c, buf, 1, RN_MSG_DONTWAIT), -RN_EWOULDBLOCK);
    rn_set_read_deadline(c, rn_after(5 * RN_MILLISECOND));
    CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), -ETIME);
    rn_set_read_deadline(c, 0);
    CHECK_EQ(rn_send_to(c, "x", 1, &at), 1);
    CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), 1);
    CHECK_OK(rn_go(try_second, c));
    CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), -ECANCELED);
    CHECK_EQ(rn_send_to(c, "x", 1, &at), -ECANCELED);
    rn_close(c);
}

/* ---- streams ---- */

RN_CORO_TEST(peek_leaves_and_waitall_fills)
{
    rn_conn *a, *b;
    char buf[8];

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(b, "abc", 3), 3);
    CHECK_EQ(rn_recv(a, buf, sizeof buf, RN_MSG_PEEK), 3);
    CHECK_EQ(rn_recv(a, buf, 1, RN_MSG_PEEK), 1);
    CHECK_EQ(rn_read(a, buf, 2), 2);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 1);
    CHECK_OK(rn_unread(a, "uv", 2));
    CHECK_EQ(rn_recv(a, buf, sizeof buf, RN_MSG_PEEK), 2);
    CHECK_EQ(rn_write(b, "wxyz", 4), 4);
    CHECK_EQ(rn_recv(a, buf, 5, RN_MSG_WAITALL), 5);
    CHECK_MEM(buf, "uvwxy", 5);
    rn_set_read_deadline(a, rn_after(10 * RN_MILLISECOND));
    CHECK_EQ(rn_recv(a, buf, 5, RN_MSG_WAITALL), 1); /* what came before the deadline is not lost */
    CHECK_EQ(buf[0], 'z');
    CHECK_EQ(rn_recv(a, buf, 5, RN_MSG_WAITALL), -ETIME);
    rn_set_read_deadline(a, 0);
    CHECK_EQ(rn_write(b, "end", 3), 3);
    rn_close(b);
    CHECK_EQ(rn_recv(a, buf, 5, RN_MSG_WAITALL), 3);
    CHECK_EQ(rn_recv(a, buf, 5, RN_MSG_WAITALL), 0);
    rn_close(a);
}

/* A receive that leaves bytes behind has cleared their edge: the next read must not wait. */
RN_CORO_TEST(bytes_left_by_recv_are_found_by_read)
{
    rn_conn *a, *b;
    char buf[64];

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(10 * RN_SECOND));
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(rn_write(b, "x", 1), 1);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 1); /* short: `drained` */
        CHECK_EQ(rn_write(b, "abcd", 4), 4);
        CHECK_EQ(rn_recv(a, buf, 2, 0), 2);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 2);
    }
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(the_urgent_byte_and_its_mark)
{
    rn_conn *a, *b;
    char buf[8];
    ssize_t n = 0;

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(10 * RN_SECOND));
    CHECK_EQ(rn_recv(a, buf, 1, RN_MSG_OOB), -EINVAL); /* there is none */
    CHECK_EQ(rn_write(b, "ab", 2), 2);
    CHECK_EQ(rn_send(b, "!", 1, RN_MSG_OOB), 1);
    CHECK_EQ(rn_write(b, "cd", 2), 2);
    while (n < 2) {
        CHECK_EQ(rn_at_mark(a), 0);
        n += rn_read(a, buf + n, sizeof buf - (size_t)n);
    }
    CHECK_EQ(n, 2); /* a read stops at the mark */
    CHECK_EQ(rn_at_mark(a), 1);
    CHECK_EQ(rn_recv(a, buf, 1, RN_MSG_OOB), 1);
    CHECK_EQ(buf[0], '!');
    CHECK_EQ(rn_recv(a, buf, 2, RN_MSG_WAITALL), 2);
    CHECK_MEM(buf, "cd", 2);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(dontwait_sends_what_there_is_room_for)
{
    static char big[1 << 20];
    rn_conn *a, *b;
    ssize_t n, sum = 0;

    rntest_pair(&a, &b);
    while ((n = rn_send(a, big, sizeof big, RN_MSG_DONTWAIT)) > 0)
        sum += n;
    CHECK_EQ(n, -RN_EWOULDBLOCK);
    CHECK(sum > 0);
    for (ssize_t got = 0; got < sum; got += n)
        CHECK((n = rn_read(b, big, sizeof big)) > 0);
    CHECK_EQ(rn_write(a, "x", 1), 1); /* nothing is poisoned */
    CHECK_EQ(rn_read(b, big, 1), 1);
    rn_close(a);
    rn_close(b);
}

/* ---- what is refused, and what fails ---- */

RN_CORO_TEST(flags_and_networks_that_do_not_fit_are_refused)
{
    rn_listener *ln;
    rn_conn *a, *b, *c;
    rn_addr at;
    char buf[8];

    CHECK_EQ(rn_listen("udp", "127.0.0.1:0", NULL, &ln), -RN_ENETWORK);
    CHECK_EQ(rn_listen_packet("tcp", "127.0.0.1:0", NULL, &c), -RN_ENETWORK);
    CHECK_EQ(rn_listen_packet("unixpacket", "@x", NULL, &c), -RN_ENETWORK);
    CHECK_EQ(rn_listen_packet("udp", "nonsense", NULL, &c), -RN_EADDRESS);
    CHECK_EQ(rn_addr_parse("quic", "127.0.0.1:0", &at), -RN_ENETWORK);
    CHECK_EQ(rn_addr_parse("udp", "127.0.0.1", &at), -RN_EADDRESS);
    rntest_pair(&a, &b);
    c = listen_packet("udp", "127.0.0.1:0", &at);
    CHECK_EQ(rn_recv(a, buf, 1, 1 << 20), -EINVAL);
    CHECK_EQ(rn_recv(a, buf, 1, RN_MSG_TRUNC), -EINVAL);
    CHECK_EQ(rn_recv(a, buf, 1, RN_MSG_PEEK | RN_MSG_WAITALL), -EINVAL);
    CHECK_EQ(rn_recv(c, buf, 1, RN_MSG_WAITALL), -EINVAL);
    CHECK_EQ(rn_recv(c, buf, 1, RN_MSG_OOB), -EINVAL);
    CHECK_EQ(rn_send(a, "x", 1, RN_MSG_PEEK), -EINVAL);
    CHECK_EQ(rn_send_to(a, "x", 1, &at), -EINVAL);
    CHECK_EQ(rn_recv_from(a, buf, 1, NULL), -EINVAL);
    rn_close(a);
    rn_close(b);
    rn_close(c);
}

RN_CORO_TEST_ON(a_packet_socket_that_cannot_be_opened_leaves_nothing, 1)
{
    static const char *const rows[] = {"socket", "bind", "setsockopt"};
    int fds = rntest_count_fds();
    char path[64];
    rn_conn *c;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rn_listen_options o = {.reuse_port = true};

        CHECK_OK(rn__sys_fail(rows[i], ENOBUFS, 1, 1));
        CHECK_EQ(rn_listen_packet("udp", "127.0.0.1:0", &o, &c), -ENOBUFS);
        rn__sys_clear();
    }
    CHECK_OK(rn__sys_fail("sendmsg", ENOBUFS, 1, 1));
    CHECK_OK(rn__sys_fail("recvmsg", ENOMEM, 1, 1));
    snprintf(path, sizeof path, "/tmp/rntest-fail-%d", getpid());
    CHECK_OK(rn_listen_packet("unixgram", path, NULL, &c));
    {
        rn_addr at;
        char byte;

        CHECK_OK(rn_addr_parse("unixgram", path, &at));
        CHECK_EQ(rn_send_to(c, "x", 1, &at), -ENOBUFS);
        CHECK_EQ(rn_send_to(c, "x", 1, &at), 1);
        CHECK_EQ(rn_recv_from(c, &byte, 1, NULL), -ENOMEM);
        CHECK_EQ(rn_recv_from(c, &byte, 1, NULL), 1);
    }
    rn_close(c);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_EQ(rntest_count_fds(), fds);
}
