/*
 * test_sockopt.c - socket options: inherited, of a dial, of a connection; TCP_INFO
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "rntest_coro.h"

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    CHECK_OK(getsockopt(fd, level, name, &value, &len));
    return value;
}

struct expected {
    int alive, idle, interval, count, timeout, tos;
};

static void check_options(int fd, struct expected e)
{
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), e.alive);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), e.idle);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), e.interval);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), e.count);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), e.timeout);
    CHECK_EQ(option(fd, IPPROTO_IP, IP_TOS), e.tos);
}

static void dial_listener(rn_listener *ln, const rn_dial_options *o, rn_conn **ret)
{
    char address[128];

    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, o, ret));
}

/* ---- before it listens or connects ---- */

static const rn_socket_options chosen = {.keep_alive_idle_s = 30,
                                         .keep_alive_interval_s = 7,
                                         .keep_alive_count = 3,
                                         .user_timeout_ms = 9000,
                                         .recv_bytes = 30000,
                                         .send_bytes = 20000,
                                         .dscp = 46,
                                         .device = "lo"};
static const struct expected as_chosen = {1, 30, 7, 3, 9000, 46 << 2};

RN_CORO_TEST(accepted_connections_inherit_the_options_of_the_listener)
{
    rn_listener *ln;
    rn_conn *a, *b;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.socket = chosen}, &ln));
    dial_listener(ln, NULL, &a);
    CHECK_OK(rn_accept(ln, &b));
    check_options(rn_conn_fd(b), as_chosen);
    CHECK_EQ(option(rn_conn_fd(b), SOL_SOCKET, SO_RCVBUF), 60000); /* doubled by the kernel */
    CHECK_EQ(option(rn_conn_fd(b), SOL_SOCKET, SO_SNDBUF), 40000);
    rn_close(a);
    rn_close(b);
    rn_listener_close(ln);
}

RN_CORO_TEST(options_cost_no_system_call_for_each_accept)
{
    rn_listener *ln;
    rn_conn *a, *b;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.socket = chosen}, &ln));
    dial_listener(ln, NULL, &a);
    CHECK_OK(rn__sys_fail("setsockopt", EXDEV, 1, 1));
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(rn_set_no_delay(b, true), -EXDEV); /* so this is the first since */
    rn__sys_clear();
    rn_close(a);
    rn_close(b);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_dialled_connection_has_the_options_given)
{
    rn_listener *ln;
    rn_conn *a;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    dial_listener(ln, &(rn_dial_options){.socket = chosen}, &a);
    check_options(rn_conn_fd(a), as_chosen);
    CHECK_EQ(option(rn_conn_fd(a), SOL_SOCKET, SO_RCVBUF), 60000);
    rn_close(a);
    rn_listener_close(ln);
}

RN_CORO_TEST(by_default_a_dead_peer_is_found_after_150_seconds)
{
    const struct expected defaults = {1, 60, 15, 6, 0, 0};
    rn_conn *a, *b;

    rntest_need_ipv6();
    rntest_pair_on("tcp6", &a, &b);
    check_options(rn_conn_fd(a), defaults);
    check_options(rn_conn_fd(b), defaults);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(keep_alive_can_be_left_off)
{
    const rn_socket_options off = {.keep_alive_idle_s = -1};
    rn_listener *ln;
    rn_conn *a, *b;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.socket = off}, &ln));
    dial_listener(ln, &(rn_dial_options){.socket = off}, &a);
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(option(rn_conn_fd(a), SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_EQ(option(rn_conn_fd(b), SOL_SOCKET, SO_KEEPALIVE), 0);
    rn_close(a);
    rn_close(b);
    rn_listener_close(ln);
}

RN_CORO_TEST(ipv6_packets_are_marked_too)
{
    const rn_socket_options marked = {.dscp = 8};
    rn_listener *ln;
    rn_conn *a, *b, *four;
    char address[128], port[140];

    rntest_need_ipv6();
    CHECK_OK(rn_listen("tcp", ":0", &(rn_listen_options){.socket = marked}, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    snprintf(port, sizeof port, "[::1]%s", strrchr(address, ':'));
    CHECK_OK(rn_dial("tcp", port, NULL, &a));
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(option(rn_conn_fd(b), IPPROTO_IPV6, IPV6_TCLASS), 8 << 2);
    rn_close(a);
    snprintf(port, sizeof port, "127.0.0.1%s", strrchr(address, ':'));
    CHECK_OK(rn_dial("tcp", port, NULL, &a));
    CHECK_OK(rn_accept(ln, &four));
    CHECK_EQ(option(rn_conn_fd(four), IPPROTO_IP, IP_TOS), 8 << 2);
    rn_close(a);
    rn_close(b);
    rn_close(four);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_listener_may_wait_for_an_address_to_come)
{
    rn_listener *ln;

    CHECK_EQ(rn_listen("tcp", "192.0.2.99:0", NULL, &ln), -EADDRNOTAVAIL);
    CHECK_OK(rn_listen("tcp", "192.0.2.99:0", &(rn_listen_options){.free_bind = true}, &ln));
    rn_listener_close(ln);
    CHECK_OK(rn_listen("tcp", "[2001:db8::99]:0", &(rn_listen_options){.free_bind = true}, &ln));
    rn_listener_close(ln);
}

RN_CORO_TEST(a_listener_keeps_to_its_interface)
{
    rn_listener *ln;
    char name[16] = "";
    socklen_t len = sizeof name;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.socket.device = "lo"}, &ln));
    CHECK_OK(getsockopt(rn_listener_fd(ln), SOL_SOCKET, SO_BINDTODEVICE, name, &len));
    CHECK_STR(name, "lo");
    rn_listener_close(ln);
    CHECK_EQ(rn_listen("tcp", ":0", &(rn_listen_options){.socket.device = "no-such-0"}, &ln),
             -ENODEV);
}

RN_CORO_TEST(a_deferred_connection_comes_with_its_first_data)
{
    rn_listener_stats stats;
    rn_listener *ln;
    rn_conn *a, *b;
    char c;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.defer_accept_s = 10}, &ln));
    CHECK(option(rn_listener_fd(ln), IPPROTO_TCP, TCP_DEFER_ACCEPT) >= 10);
    dial_listener(ln, NULL, &a);
    CHECK_OK(rn_get_listener_stats(ln, &stats));
    CHECK_EQ(stats.queued, 0);
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(recv(rn_conn_fd(b), &c, 1, MSG_PEEK | MSG_DONTWAIT), 1);
    rn_close(a);
    rn_close(b);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_listener_takes_fast_open_requests)
{
    rn_listener *ln;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.fast_open = 5}, &ln));
    CHECK_EQ(option(rn_listener_fd(ln), IPPROTO_TCP, TCP_FASTOPEN), 5);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_unix_socket_takes_the_buffers_and_passes_over_the_rest)
{
    rn_listener *ln;
    rn_conn *a;
    char name[64];

    snprintf(name, sizeof name, "@test-sockopt-%d", getpid());
    CHECK_OK(rn_listen("unix", name, &(rn_listen_options){.socket = chosen}, &ln));
    CHECK_EQ(option(rn_listener_fd(ln), SOL_SOCKET, SO_SNDBUF), 40000);
    CHECK_OK(rn_dial("unix", name, &(rn_dial_options){.socket = chosen}, &a));
    CHECK_EQ(option(rn_conn_fd(a), SOL_SOCKET, SO_SNDBUF), 40000);
    rn_close(a);
    rn_listener_close(ln);
}

RN_CORO_TEST(options_out_of_range_are_refused)
{
    static const rn_socket_options bad[] = {{.keep_alive_idle_s = -2},
                                            {.keep_alive_idle_s = 32768},
                                            {.keep_alive_interval_s = -1},
                                            {.keep_alive_interval_s = 32768},
                                            {.keep_alive_count = -1},
                                            {.keep_alive_count = 128},
                                            {.user_timeout_ms = -1},
                                            {.recv_bytes = -1},
                                            {.send_bytes = -1},
                                            {.dscp = -1},
                                            {.dscp = 64},
                                            {.reserved = {0, 0, 0, 1}}};
    rn_listener *ln;
    rn_conn *a;
    int fds = rntest_count_fds();

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(rn_listen("tcp", ":0", &(rn_listen_options){.socket = bad[i]}, &ln), -EINVAL);
        CHECK_EQ(rn_dial("tcp4", ":1", &(rn_dial_options){.socket = bad[i]}, &a), -EINVAL);
    }
    CHECK_EQ(rn_listen("tcp", ":0", &(rn_listen_options){.defer_accept_s = -1}, &ln), -EINVAL);
    CHECK_EQ(rn_listen("tcp", ":0", &(rn_listen_options){.fast_open = -1}, &ln), -EINVAL);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* Each of the calls in turn; what fails leaves no descriptor behind. */
RN_CORO_TEST(an_option_that_cannot_be_set_is_told)
{
    const rn_listen_options o = {.socket = chosen,
                                 .reuse_port = true,
                                 .free_bind = true,
                                 .defer_accept_s = 1,
                                 .fast_open = 1};
    int fds = rntest_count_fds(), r = -1;
    unsigned nth = 0;
    rn_listener *ln, *plain;
    rn_conn *a;

    while (r < 0) {
        CHECK_OK(rn__sys_fail("setsockopt", ENOPROTOOPT, ++nth, 1));
        r = rn_listen("tcp", "127.0.0.1:0", &o, &ln);
        rn__sys_clear();
        CHECK(r == 0 || r == -ENOPROTOOPT);
        CHECK(r == 0 || rntest_count_fds() == fds);
    }
    CHECK_EQ(nth, 9 + 6 + 1); /* of the socket, of the listener, and one that did not happen */
    rn_listener_close(ln);
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &plain));
    for (nth = 1; nth <= 10; nth++) {
        char address[128];

        CHECK_OK(rn_listener_addr(plain, address, sizeof address));
        CHECK_OK(rn__sys_fail("setsockopt", ENOPROTOOPT, nth, 1));
        CHECK_EQ(rn_dial("tcp", address, &(rn_dial_options){.socket = chosen}, &a), -ENOPROTOOPT);
        rn__sys_clear();
    }
    rn_listener_close(plain);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* ---- of a connection ---- */

RN_CORO_TEST(options_can_be_set_on_a_connection)
{
    rn_conn *a, *b;
    int fd;

    rntest_pair(&a, &b);
    fd = rn_conn_fd(a);
    CHECK_OK(rn_set_no_delay(a, false));
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    CHECK_OK(rn_set_no_delay(a, true));
    CHECK_OK(rn_set_keep_alive(a, 11, 12, 13));
    CHECK_OK(rn_set_user_timeout(a, 1234));
    CHECK_OK(rn_set_dscp(a, 10));
    check_options(fd, (struct expected){1, 11, 12, 13, 1234, 10 << 2});
    CHECK_OK(rn_set_keep_alive(a, 0, 0, 0));
    CHECK_OK(rn_set_user_timeout(a, 0));
    CHECK_OK(rn_set_dscp(a, 0));
    check_options(fd, (struct expected){1, 60, 15, 6, 0, 0});
    CHECK_OK(rn_set_keep_alive(a, -1, 0, 0));
    CHECK_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_OK(rn_set_buffers(a, 0, 10000));
    CHECK_EQ(option(fd, SOL_SOCKET, SO_SNDBUF), 20000);
    CHECK(option(fd, SOL_SOCKET, SO_RCVBUF) != 20000);
    CHECK_OK(rn_set_buffers(a, 10000, 0));
    CHECK_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 20000);
    CHECK_OK(rn_set_quick_ack(a, false));
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_QUICKACK), 0);
    CHECK_OK(rn_set_quick_ack(a, true));
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_QUICKACK), 1);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(options_that_make_no_sense_are_refused)
{
    rn_conn *a, *b, *u, *v;

    rntest_pair(&a, &b);
    rntest_pair_on("unix", &u, &v);
    CHECK_EQ(rn_set_keep_alive(a, -2, 0, 0), -EINVAL);
    CHECK_EQ(rn_set_keep_alive(a, 1, -1, 0), -EINVAL);
    CHECK_EQ(rn_set_keep_alive(a, 1, 1, -1), -EINVAL);
    CHECK_EQ(rn_set_buffers(a, -1, 0), -EINVAL);
    CHECK_EQ(rn_set_buffers(a, 0, -1), -EINVAL);
    CHECK_EQ(rn_set_linger(a, 1), -EINVAL); /* would block */
    CHECK_EQ(rn_set_linger(a, -2), -EINVAL);
    CHECK_EQ(rn_set_dscp(a, 64), -EINVAL);
    CHECK_EQ(rn_set_dscp(a, -1), -EINVAL);
    CHECK_EQ(rn_set_dscp(u, 1), -EINVAL);
    CHECK_EQ(rn_set_user_timeout(a, -1), -EINVAL);
    CHECK_EQ(rn_set_no_delay(u, true), -EOPNOTSUPP);
    CHECK_EQ(rn_set_quick_ack(u, true), -EOPNOTSUPP);
    rn_close(a);
    rn_close(b);
    rn_close(u);
    rn_close(v);
}

static int set_from_thread(void *arg)
{
    return rn_set_no_delay(arg, true);
}

RN_CORO_TEST(options_are_not_set_from_plain_threads)
{
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_offload(set_from_thread, a, NULL), -EDEADLK);
    rn_close(a);
    rn_close(b);
}

/* ---- the descriptor, held ---- */

static int look(int fd, void *arg)
{
    *(int *)arg = fd;
    return 42;
}

RN_CORO_TEST(raw_control_hands_out_the_descriptor_and_the_result)
{
    rn_conn *a, *b;
    int fd = -1;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_raw_control(a, look, &fd), 42);
    CHECK_EQ(fd, rn_conn_fd(a));
    rn_close(a);
    rn_close(b);
}

#define HOLDERS 63

static struct {
    rn_conn *conn;
    rn_waitgroup inside, done;
    bool leave, closed;
} held;

static int stay(int fd, void *arg)
{
    char c;

    rn_waitgroup_done(&held.inside);
    while (!held.leave)
        rn_yield();
    CHECK(!held.closed);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    if (arg != NULL) { /* the close has begun: nobody else comes in */
        CHECK_EQ(rn_set_no_delay(held.conn, true), -ECANCELED);
        CHECK_EQ(rn_read(held.conn, &c, 1), -ECANCELED);
    }
    return 0;
}

static void hold(void *arg)
{
    CHECK_EQ(rn_raw_control(held.conn, stay, arg), 0);
    rn_waitgroup_done(&held.done);
}

static void close_held(void *arg)
{
    (void)arg;
    rn_waitgroup_done(&held.inside);
    rn_close(held.conn);
    held.closed = true;
    rn_waitgroup_done(&held.done);
}

RN_CORO_TEST_ON(close_waits_until_the_descriptor_is_given_back, 1)
{
    rn_conn *b;
    char c;

    rntest_pair(&held.conn, &b);
    rn_waitgroup_add(&held.inside, 2);
    rn_waitgroup_add(&held.done, 2);
    CHECK_EQ(rn_write(b, "unread", 6), 6);
    CHECK_OK(rn_wait_fd(rn_conn_fd(held.conn), RN_READABLE, 0));
    CHECK_EQ(rn_write(held.conn, "x", 1), 1);
    CHECK_OK(rn_go(hold, held.conn));
    CHECK_OK(rn_go(close_held, NULL));
    CHECK_OK(rn_waitgroup_wait(&held.inside));
    rn_yield();
    held.leave = true;
    CHECK_OK(rn_waitgroup_wait(&held.done));
    /* A holder is no reader that had to be sent away: the close went on as ever, and lingers. */
    CHECK_EQ(rn_read(b, &c, 1), 1);
    CHECK_EQ(rn_read(b, &c, 1), 0);
    rn_close(b);
}

RN_CORO_TEST_ON(at_most_63_hold_a_connection_at_once, 1)
{
    rn_conn *b;

    rntest_pair(&held.conn, &b);
    rn_waitgroup_add(&held.inside, HOLDERS);
    rn_waitgroup_add(&held.done, HOLDERS);
    for (int i = 0; i < HOLDERS; i++)
        CHECK_OK(rn_go(hold, NULL));
    CHECK_OK(rn_waitgroup_wait(&held.inside));
    CHECK_EQ(rn_set_no_delay(held.conn, true), -EBUSY);
    CHECK_EQ(rn_write(held.conn, "x", 1), 1); /* which does not keep writers out */
    held.leave = true;
    CHECK_OK(rn_waitgroup_wait(&held.done));
    CHECK_OK(rn_set_no_delay(held.conn, true));
    rn_close(held.conn);
    rn_close(b);
}

/* ---- TCP_INFO ---- */

RN_CORO_TEST(tcp_info_tells_what_was_sent_and_received)
{
    char buf[5000] = {0};
    rn_tcp_info i, j;
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(a, buf, sizeof buf), sizeof buf);
    rntest_read_full(b, buf, sizeof buf);
    CHECK_EQ(rn_write(b, buf, 10), 10); /* its acknowledgement comes with it */
    rntest_read_full(a, buf, 10);
    CHECK_OK(rn_get_tcp_info(a, &i));
    CHECK_OK(rn_get_tcp_info(b, &j));
    CHECK_EQ(i.state, RN_TCP_ESTABLISHED);
    CHECK_EQ(i.bytes_received, 10);
    CHECK_EQ(j.bytes_received, sizeof buf);
    CHECK(i.bytes_acked >= sizeof buf && i.bytes_acked <= sizeof buf + 1); /* with the SYN */
    CHECK_EQ(i.bytes_sent, sizeof buf);
    CHECK_EQ(i.unacked + i.lost + i.retransmits + i.unsent_bytes, 0);
    CHECK(i.path_mtu >= 1280 && i.mss_send > 500 && i.mss_send < i.path_mtu);
    CHECK(i.cwnd >= 1 && i.segments_sent >= 2 && i.segments_received >= 2);
    CHECK(i.rtt_ns > 0 && i.rtt_ns < 20 * RN_SECOND && i.rto_ns >= 200 * RN_MILLISECOND / 2);
    CHECK(i.min_rtt_ns > 0 && i.min_rtt_ns <= i.rtt_ns + i.rtt_var_ns * 4 + RN_MILLISECOND);
    CHECK(i.since_sent_ns >= 0 && i.since_sent_ns < 20 * RN_SECOND);
    for (size_t k = 0; k < sizeof i.reserved / sizeof i.reserved[0]; k++)
        CHECK_EQ(i.reserved[k], 0);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(tcp_info_tells_what_is_not_yet_sent)
{
    static char buf[1 << 20];
    rn_tcp_info i;
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    CHECK_OK(rn_set_buffers(b, 4096, 0));
    while (send(rn_conn_fd(a), buf, sizeof buf, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        continue;
    CHECK_OK(rn_get_tcp_info(a, &i));
    CHECK(i.unsent_bytes > 0);
    CHECK_OK(rn_set_linger(a, 0));
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(tcp_info_is_of_tcp)
{
    rn_tcp_info i = {.cwnd = 77};
    rn_conn *a, *b;

    rntest_pair_on("unix", &a, &b);
    CHECK_EQ(rn_get_tcp_info(a, &i), -ENOTSUP);
    rn_close(a);
    rn_close(b);
    rntest_pair(&a, &b);
    CHECK_OK(rn__sys_fail("getsockopt", ENOBUFS, 1, 1));
    CHECK_EQ(rn_get_tcp_info(a, &i), -ENOBUFS);
    CHECK_EQ(i.cwnd, 77);
    rn_close(a);
    rn_close(b);
}

RN_TEST(tcp_states_have_names)
{
    CHECK_STR(rn_tcp_state_name(RN_TCP_ESTABLISHED), "ESTABLISHED");
    CHECK_STR(rn_tcp_state_name(RN_TCP_CLOSE_WAIT), "CLOSE_WAIT");
    CHECK_STR(rn_tcp_state_name(RN_TCP_CLOSING), "CLOSING");
    CHECK_STR(rn_tcp_state_name(0), "?");
    CHECK_STR(rn_tcp_state_name(12), "?");
    CHECK_STR(rn_tcp_state_name(-1), "?");
}
