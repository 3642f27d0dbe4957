/*
 * test_ancillary.c - messages with descriptors, credentials, times, addresses and segments
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <time.h>

#include "message_test.h"
#include "netns.h"

#define IOV(name, text) struct iovec name = {.iov_base = (char *)(text), .iov_len = strlen(text)}

static void make_pipe(int fds[2])
{
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
}

/* ---- descriptors ---- */

static void pass_descriptors(const char *network)
{
    rn_conn *a, *b;
    int pipe_fds[2], got[4], before;
    char buf[64], byte;
    IOV(hello, "hello");
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg out = {.iov = &hello, .n_iov = 1, .fds = pipe_fds, .n_fds = 2};
    rn_msg in = {.iov = &room, .n_iov = 1, .fds = got, .fds_room = 4};

    unix_pair(network, &a, &b);
    make_pipe(pipe_fds);
    before = rntest_count_fds();
    CHECK_EQ(rn_send_msg(a, &out, 0), 5);
    CHECK_EQ(rn_recv_msg(b, &in, 0), 5);
    CHECK_EQ(in.len, 5);
    CHECK_MEM(buf, "hello", 5);
    CHECK_EQ(in.n_fds, 2);
    CHECK(!in.fds_lost && !in.truncated);
    CHECK_EQ(rntest_count_fds(), before + 2);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(pipe_fds[1], "x", 1), 1);
    CHECK_EQ(read(got[0], &byte, 1), 1); /* it is that pipe */
    for (int i = 0; i < 2; i++) {
        close(got[i]);
        close(pipe_fds[i]);
    }
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(descriptors_travel_over_unix_sockets)
{
    pass_descriptors("unix");
    pass_descriptors("unixpacket");
}

/* The kernel rounds the room up to whole words, and fills what is meant for something else. */
RN_CORO_TEST(descriptors_for_which_there_is_no_room_are_closed_and_told)
{
    rn_conn *a, *b;
    int fds[20], got[20], before;
    char buf[8];
    IOV(x, "x");
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg out = {.iov = &x, .n_iov = 1, .fds = fds, .n_fds = 20};

    unix_pair("unix", &a, &b);
    for (int i = 0; i < 20; i++)
        fds[i] = STDERR_FILENO;
    before = rntest_count_fds();
    for (int n = 0; n <= 20; n++) {
        rn_msg in = {.iov = &room, .n_iov = 1, .fds = got, .fds_room = n};

        CHECK_EQ(rn_send_msg(a, &out, 0), 1);
        CHECK_EQ(rn_recv_msg(b, &in, 0), 1);
        CHECK_EQ(in.n_fds, n);
        CHECK_EQ(in.fds_lost, n < 20);
        CHECK_EQ(rntest_count_fds(), before + n);
        for (int i = 0; i < n; i++)
            close(got[i]);
    }
    CHECK_EQ(rn_send_msg(a, &out, 0), 1);
    CHECK_EQ(rn_read(b, buf, 1), 1); /* drops them */
    CHECK_EQ(rntest_count_fds(), before);
    rn_close(a);
    rn_close(b);
}

/* Bytes with descriptors end a read, and the rest must not wait for an edge that was taken. */
RN_CORO_TEST(each_message_of_a_unix_stream_keeps_its_descriptors)
{
    rn_conn *a, *b;
    int fd = STDERR_FILENO, got[2];
    char buf[64];
    IOV(part, "abc");
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg out = {.iov = &part, .n_iov = 1, .fds = &fd, .n_fds = 1};

    unix_pair("unix", &a, &b);
    for (int i = 0; i < 30; i++) {
        rn_msg in = {.iov = &room, .n_iov = 1, .fds = got, .fds_room = 2};
        ssize_t rest = 6;

        CHECK_EQ(rn_send_msg(a, &out, 0), 3);
        CHECK_EQ(rn_send_msg(a, &out, 0), 3);
        CHECK_EQ(rn_write(a, "defdef", 6), 6);
        for (int j = 0; j < 2; j++) {
            ssize_t n = rn_recv_msg(b, &in, 0);

            CHECK(n == 3 || (j == 1 && n == 9)); /* what has no descriptors may follow */
            rest -= n - 3;
            CHECK_EQ(in.n_fds, 1);
            close(got[0]);
        }
        while (rest > 0) {
            ssize_t n = rn_read(b, buf, (size_t)rest);

            CHECK(n > 0);
            rest -= n;
        }
    }
    rn_close(a);
    rn_close(b);
}

static rn_waitgroup drained;

static void drain(void *arg)
{
    static char buf[1 << 16];
    size_t sum = 0;
    ssize_t n;

    while ((n = rn_read(arg, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++, sum++)
            CHECK_EQ((unsigned char)buf[i], sum % 251);
    CHECK_EQ(n, 0);
    CHECK_EQ(sum, 3 << 20);
    rn_close(arg);
    rn_waitgroup_done(&drained);
}

/* Far more than the kernel takes at once; the descriptors go with the first byte, and once. */
RN_CORO_TEST(a_long_message_on_a_stream_is_sent_whole)
{
    static char big[3 << 20];
    struct iovec iov[3] = {{.iov_base = big, .iov_len = 1},
                           {.iov_base = big + 1, .iov_len = 1 << 20},
                           {.iov_base = big + 1 + (1 << 20), .iov_len = (2 << 20) - 1}};
    rn_msg out = {.iov = iov, .n_iov = 3};
    rn_conn *a, *b;

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i % 251);
    unix_pair("unix", &a, &b);
    rn_waitgroup_add(&drained, 1);
    CHECK_OK(rn_go(drain, b));
    CHECK_OK(rn__sys_short("sendmsg", 1, 1, 1));
    CHECK_EQ(rn_send_msg(a, &out, 0), sizeof big);
    rn__sys_clear();
    rn_close(a);
    CHECK_OK(rn_waitgroup_wait(&drained));
}

RN_CORO_TEST(a_message_that_ended_half_way_poisons_the_stream)
{
    static char big[8 << 20];
    struct iovec iov = {.iov_base = big, .iov_len = sizeof big};
    rn_msg out = {.iov = &iov, .n_iov = 1};
    rn_conn *a, *b;
    ssize_t n;

    unix_pair("unix", &a, &b);
    CHECK_OK(rn__sys_fail("sendmsg", ENOBUFS, 1, 1));
    CHECK_EQ(rn_send_msg(a, &out, 0), -ENOBUFS); /* nothing is out */
    rn__sys_clear();
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK(rn_send_msg(a, &out, RN_MSG_DONTWAIT) > 0);
    rn_set_write_deadline(a, rn_after(20 * RN_MILLISECOND));
    CHECK_EQ(rn_write(a, "y", 1), -ETIME);
    CHECK_EQ(rn_send_msg(a, &out, RN_MSG_DONTWAIT), -ETIME);
    rn_set_write_deadline(a, 0);
    CHECK_EQ(rn_send_msg(a, &out, RN_MSG_DONTWAIT), -RN_EWOULDBLOCK);
    CHECK(rn_read(b, big, sizeof big) > 0);
    do { /* again, where the deadline had passed before the first byte */
        rn_set_write_deadline(a, rn_after(50 * RN_MILLISECOND));
        CHECK_EQ(rn_send_msg(a, &out, 0), -ETIME);
        rn_set_write_deadline(a, 0);
        n = rn_write(a, "z", 1);
    } while (n == 1);
    CHECK_EQ(n, -ETIME);
    rn_close(a);
    rn_close(b);
}

/* ---- credentials ---- */

RN_CORO_TEST(credentials_of_sender_and_peer)
{
    rn_conn *a, *b, *t, *u;
    rn_credentials peer;
    char buf[8];
    IOV(x, "x");
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg in = {.iov = &room, .n_iov = 1}, out = {.iov = &x, .n_iov = 1};
    int pidfd;

    unix_pair("unix", &a, &b);
    CHECK_OK(rn_set_ancillary(b, RN_WITH_CREDENTIALS));
    out.with = RN_WITH_CREDENTIALS;
    out.credentials = (rn_credentials){.pid = getpid(), .uid = getuid(), .gid = getgid()};
    CHECK_EQ(rn_send_msg(a, &out, 0), 1);
    CHECK_EQ(rn_recv_msg(b, &in, 0), 1);
    CHECK_EQ(in.with, RN_WITH_CREDENTIALS);
    CHECK_EQ(in.credentials.pid, getpid());
    CHECK_EQ(in.credentials.uid, getuid());
    CHECK_EQ(rn_write(a, "y", 1), 1); /* without being told to */
    CHECK_EQ(rn_recv_msg(b, &in, 0), 1);
    CHECK_EQ(in.credentials.pid, getpid());
    CHECK_OK(rn_set_ancillary(b, 0));
    CHECK_EQ(rn_write(a, "y", 1), 1);
    CHECK_EQ(rn_recv_msg(b, &in, 0), 1);
    CHECK_EQ(in.with, 0);
    CHECK_OK(rn_peer_credentials(a, &peer));
    CHECK_EQ(peer.pid, getpid());
    CHECK_EQ(peer.gid, getgid());
    if (!rntest_on_valgrind()) { /* which knows no pidfd_open */
        pidfd = rn_peer_pidfd(a);
        CHECK_OK(pidfd);
        CHECK_OK(rn__sys_pidfd_send_signal(pidfd, 0)); /* it is a process, and we are it */
        close(pidfd);
        CHECK_OK(rn__sys_fail("getsockopt", ENOPROTOOPT, 2, 1)); /* before Linux 6.5 */
        pidfd = rn_peer_pidfd(a);
        rn__sys_clear();
        CHECK_OK(rn__sys_pidfd_send_signal(pidfd, 0));
        close(pidfd);
    }
    rntest_pair(&t, &u);
    CHECK_EQ(rn_peer_credentials(t, &peer), -ENOTSUP);
    CHECK_EQ(rn_peer_pidfd(t), -ENOTSUP);
    rn_close(t);
    rn_close(u);
    rn_close(a);
    rn_close(b);
}

/* ---- where and when ---- */

static int64_t real_time(void)
{
    struct timespec ts;

    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &ts), 0);
    return ts.tv_sec * RN_SECOND + ts.tv_nsec;
}

/* A socket for all addresses answers from the one that was asked. */
static void ask(const char *network, const char *server_at, const char *host)
{
    rn_addr any, to, from;
    rn_conn *server = listen_packet(network, server_at, &any), *client;
    char text[128], local[128], buf[64];
    const char *port;
    IOV(question, "question");
    struct iovec room[2] = {{.iov_base = buf, .iov_len = 3},
                            {.iov_base = buf + 3, .iov_len = sizeof buf - 3}};
    rn_msg out = {.iov = &question, .n_iov = 1}, in = {.iov = room, .n_iov = 2};
    int64_t before = real_time() - RN_SECOND;

    CHECK_OK(rn_addr_format(&any, local, sizeof local));
    port = strrchr(local, ':');
    snprintf(text, sizeof text, "%s%s", host, port);
    CHECK_OK(rn_addr_parse("udp", text, &to));
    client = listen_packet(*host == '[' ? "udp6" : "udp4", *host == '[' ? "[::1]:0" : "127.0.0.1:0",
                           &from);
    CHECK_OK(rn_set_ancillary(server, RN_WITH_DESTINATION | RN_WITH_TIMESTAMP));
    out.addr = to;
    CHECK_EQ(rn_send_msg(client, &out, 0), 8);
    CHECK_EQ(rn_recv_msg(server, &in, 0), 8);
    CHECK_MEM(buf, "question", 8);
    CHECK_EQ(in.with, RN_WITH_DESTINATION | RN_WITH_TIMESTAMP);
    CHECK(in.time_ns > before && in.time_ns < real_time() + RN_SECOND);
    CHECK_EQ(in.interface, if_nametoindex("lo"));
    CHECK_OK(rn_addr_format(&in.local, local, sizeof local));
    snprintf(text, sizeof text, "%s:0", host);
    CHECK_STR(local, text);
    in.with &= RN_WITH_DESTINATION;
    room[1].iov_len = 5;
    CHECK_EQ(rn_send_msg(server, &in, 0), 8);
    room[1].iov_len = sizeof buf - 3;
    CHECK_EQ(rn_recv_msg(client, &in, 0), 8);
    CHECK_EQ(in.addr.len, to.len);
    CHECK_MEM(&in.addr.at, &to.at, to.len); /* it came from there, with the port */
    rn_close(client);
    rn_close(server);
}

RN_CORO_TEST(a_reply_leaves_from_the_address_that_was_asked)
{
    rntest_need_ipv6();
    ask("udp4", "0.0.0.0:0", "127.0.0.1");
    ask("udp4", "0.0.0.0:0", "127.0.0.3");
    ask("udp6", "[::]:0", "[::1]");
    ask("udp", ":0", "127.0.0.3"); /* IPv4 on a socket of both */
}

RN_CORO_TEST(a_message_that_was_cut_says_so)
{
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at);
    char buf[4];
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg m = {.iov = &room, .n_iov = 1};

    CHECK_EQ(rn_send_to(c, "12345", 5, &at), 5);
    CHECK_EQ(rn_send_to(c, "12345", 5, &at), 5);
    CHECK_EQ(rn_send_to(c, "1234", 4, &at), 4);
    CHECK_EQ(rn_recv_msg(c, &m, 0), 4);
    CHECK(m.truncated);
    CHECK_EQ(rn_recv_msg(c, &m, RN_MSG_TRUNC), 5);
    CHECK(m.truncated);
    CHECK_EQ(m.len, 5);
    CHECK_EQ(rn_recv_msg(c, &m, 0), 4);
    CHECK(!m.truncated);
    CHECK_EQ(rn_recv_msg(c, &m, RN_MSG_DONTWAIT), -RN_EWOULDBLOCK);
    rn_close(c);
}

/* ---- segments ---- */

static void expect_segments(rn_conn *c, const char *big, size_t len, size_t segment)
{
    static char buf[1 << 16];

    for (size_t done = 0; done < len;) {
        size_t most = len - done < segment ? len - done : segment;

        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), most);
        CHECK_MEM(buf, big + done, most);
        done += most;
    }
}

static char pattern[20000];

static rn_msg segmented(struct iovec iov[3], const rn_addr *to)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % 253);
    iov[0] = (struct iovec){.iov_base = pattern, .iov_len = 100};
    iov[1] = (struct iovec){.iov_base = pattern + 100, .iov_len = 0};
    iov[2] = (struct iovec){.iov_base = pattern + 100, .iov_len = sizeof pattern - 100};
    return (rn_msg){
        .iov = iov, .n_iov = 3, .addr = *to, .with = RN_WITH_SEGMENTS, .segment_bytes = 1200};
}

/* EIO: no checksums in hardware; EINVAL: too many; ENOPROTOOPT: an old kernel. */
RN_CORO_TEST(segments_are_cut_by_the_kernel_or_one_by_one)
{
    static const int errors[] = {0, EIO, EINVAL, ENOPROTOOPT};
    rn_addr at, from;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at),
            *d = listen_packet("udp", "127.0.0.1:0", &from);
    struct iovec iov[3];
    rn_msg m = segmented(iov, &at);

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        uint64_t calls = calls_on_procs(RN__SYS_sendmsg);

        if (errors[i] != 0)
            CHECK_OK(rn__sys_fail("sendmsg", errors[i], 1, 1));
        CHECK_EQ(rn_send_msg(d, &m, 0), sizeof pattern);
        rn__sys_clear();
        CHECK_EQ(calls_on_procs(RN__SYS_sendmsg) - calls, errors[i] == 0 ? 1 : 1 + 17);
        expect_segments(c, pattern, sizeof pattern, 1200);
    }
    /* The third of those that go one by one fails: two went. */
    CHECK_OK(rn__sys_fail("sendmsg", EIO, 1, 1));
    CHECK_OK(rn__sys_fail("sendmsg", ENOBUFS, 4, 1));
    CHECK_EQ(rn_send_msg(d, &m, 0), 2400);
    rn__sys_clear();
    expect_segments(c, pattern, 2400, 1200);
    m.segment_bytes = 0;
    CHECK_EQ(rn_send_msg(d, &m, 0), -EINVAL);
    rn_close(c);
    rn_close(d);
}

RN_CORO_TEST(segments_arrive_as_one_message_where_wanted)
{
    static char buf[1 << 16];
    rn_addr at, from;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at),
            *d = listen_packet("udp", "127.0.0.1:0", &from);
    struct iovec iov[3], room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg m = segmented(iov, &at), in = {.iov = &room, .n_iov = 1};
    size_t done = 0;

    CHECK_OK(rn_set_ancillary(c, RN_WITH_SEGMENTS));
    CHECK_EQ(rn_send_msg(d, &m, 0), sizeof pattern);
    while (done < sizeof pattern) {
        ssize_t n = rn_recv_msg(c, &in, 0);

        CHECK(n > 0);
        CHECK_MEM(buf, pattern + done, (size_t)n);
        done += (size_t)n;
        if (n > 1200) {
            CHECK_EQ(in.with, RN_WITH_SEGMENTS);
            CHECK_EQ(in.segment_bytes, 1200);
        }
    }
    CHECK_EQ(done, sizeof pattern);
    CHECK_EQ(rn_send_to(d, "x", 1, &at), 1);
    CHECK_EQ(rn_recv_msg(c, &in, 0), 1);
    CHECK_EQ(in.with, 0);
    rn_close(c);
    rn_close(d);
}

/* ---- what does not fit, what fails ---- */

RN_CORO_TEST(messages_that_do_not_fit_their_socket_are_refused)
{
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at), *a, *b, *t, *u;
    int fd = STDERR_FILENO;
    IOV(x, "x");
    rn_msg m = {.iov = &x, .n_iov = 1, .addr = at, .fds = &fd, .n_fds = 1};

    unix_pair("unix", &a, &b);
    rntest_pair(&t, &u);
    CHECK_EQ(rn_set_ancillary(c, RN_WITH_CREDENTIALS), -EINVAL);
    CHECK_EQ(rn_set_ancillary(c, 1 << 20), -EINVAL);
    CHECK_EQ(rn_set_ancillary(a, RN_WITH_DESTINATION), -EINVAL);
    CHECK_EQ(rn_set_ancillary(t, RN_WITH_SEGMENTS), -EINVAL);
    CHECK_OK(rn_set_ancillary(t, RN_WITH_TIMESTAMP));
    CHECK_OK(rn__sys_fail("setsockopt", ENOPROTOOPT, 2, 1));
    CHECK_EQ(rn_set_ancillary(c, RN_WITH_DESTINATION), -ENOPROTOOPT);
    rn__sys_clear();
    CHECK_EQ(rn_send_msg(c, &m, 0), -EINVAL); /* descriptors: the kernel would drop them */
    CHECK_EQ(rn_send_msg(a, &m, 0), -EINVAL); /* an address on a stream */
    m.addr.len = 0;
    CHECK_EQ(rn_send_msg(t, &m, 0), -EINVAL);
    x.iov_len = 0;
    CHECK_EQ(rn_send_msg(a, &m, 0), -EINVAL); /* no byte for them to go with */
    CHECK_EQ(rn_recv_msg(a, &m, 0), -EINVAL); /* no room */
    x.iov_len = 1;
    fd = -1;
    CHECK_EQ(rn_send_msg(a, &m, 0), -EBADF);
    m.n_fds = 254;
    CHECK_EQ(rn_send_msg(a, &m, 0), -EINVAL);
    m.n_fds = 0;
    m.with = RN_WITH_TIMESTAMP;
    CHECK_EQ(rn_send_msg(a, &m, 0), -EINVAL);
    m.with = 0;
    CHECK_EQ(rn_send_msg(a, &m, RN_MSG_OOB), -EINVAL);
    m.reserved[2] = 1;
    CHECK_EQ(rn_send_msg(a, &m, 0), -EINVAL);
    CHECK_EQ(rn_recv_msg(a, &m, 0), -EINVAL);
    rn_close(c);
    rn_close(a);
    rn_close(b);
    rn_close(t);
    rn_close(u);
}

RN_CORO_TEST(a_receive_that_failed_leaves_the_message_alone)
{
    rn_addr at;
    rn_conn *c = listen_packet("udp", "127.0.0.1:0", &at), *t, *u;
    char buf[8];
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    rn_msg m = {.iov = &room, .n_iov = 1, .len = 77, .with = 5, .n_fds = 3, .truncated = true};
    rn_msg before = m;

    CHECK_OK(rn__sys_fail("recvmsg", ENOMEM, 1, 1));
    CHECK_EQ(rn_recv_msg(c, &m, 0), -ENOMEM);
    rn_set_read_deadline(c, rn_after(RN_MILLISECOND));
    CHECK_EQ(rn_recv_msg(c, &m, 0), -ETIME);
    CHECK_MEM(&m, &before, sizeof m);
    rn_close(c);
    rntest_pair(&t, &u); /* bytes already in user space come first, and nothing beside them */
    CHECK_OK(rn_unread(t, "pq", 2));
    CHECK_EQ(rn_recv_msg(t, &m, 0), 2);
    CHECK_EQ(m.with, 0);
    CHECK_EQ(m.n_fds, 0);
    rn_close(u);
    CHECK_EQ(rn_recv_msg(t, &m, 0), 0);
    rn_close(t);
}

/* ---- other people's programs ---- */

#define PYTHON                                                                                     \
    "import os,socket,sys\n"                                                                       \
    "s=socket.socket(socket.AF_UNIX); s.connect('\\0'+sys.argv[1])\n"                              \
    "r,w=os.pipe(); socket.send_fds(s,[b'take'],[w]); os.close(w)\n"                               \
    "data,fds,flags,_=socket.recv_fds(s,100,2); assert data==b'give' and len(fds)==1\n"            \
    "assert os.read(r,9)==b'through'; os.write(fds[0],b'back')\n"

RN_CORO_TEST(python_and_runnel_exchange_descriptors)
{
    rn_listener *ln;
    rn_conn *conn;
    rn_process *p;
    char name[64], buf[16];
    int fds[2], got, status;
    struct iovec room = {.iov_base = buf, .iov_len = sizeof buf};
    IOV(give, "give");
    rn_msg in = {.iov = &room, .n_iov = 1, .fds = &got, .fds_room = 1};
    rn_msg out = {.iov = &give, .n_iov = 1, .fds = &fds[1], .n_fds = 1};

    if (rntest_on_valgrind())
        RN_TEST_SKIP("valgrind knows no pidfd_open");
    if (access("/usr/bin/python3", X_OK) != 0)
        RN_TEST_SKIP("no python3");
    snprintf(name, sizeof name, "@rntest-python-%d", getpid());
    CHECK_OK(rn_listen("unix", name, NULL, &ln));
    CHECK_OK(rn_spawn((const char *const[]){"/usr/bin/python3", "-c", PYTHON, name + 1, NULL}, NULL,
                      &p));
    CHECK_OK(rn_accept(ln, &conn));
    CHECK_EQ(rn_recv_msg(conn, &in, 0), 4);
    CHECK_EQ(in.n_fds, 1);
    make_pipe(fds);
    CHECK_EQ(rn_send_msg(conn, &out, 0), 4);
    CHECK_EQ(write(got, "through", 7), 7);
    CHECK_OK(rn_process_wait(p, rn_after(60 * RN_SECOND), &status));
    CHECK_EQ(status, 0);
    CHECK_EQ(read(fds[0], buf, sizeof buf), 4);
    CHECK_MEM(buf, "back", 4);
    close(got);
    close(fds[0]);
    close(fds[1]);
    rn_process_free(p);
    rn_close(conn);
    rn_listener_close(ln);
}

/* End of record over SCTP: where the kernel has it. */
RN_TEST(sctp_records)
{
    int fd = socket(AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP);

    if (fd < 0)
        RN_TEST_SKIP("this kernel has no SCTP");
    close(fd);
    RN_TEST_SKIP("no network of runnel's opens SCTP sockets");
}
