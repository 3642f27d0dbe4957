/*
 * test_corners_ends.c - corners that Go's own net tests know: ends, files, datagrams, unix sockets
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/base.h"
#include "base/mem.h"
#include "rntest_coro.h"

#define LONG (10 * RN_SECOND)

static const char *const streams[] = {"tcp", "unix", "unixpacket"};

/* A path that nobody uses. */
static const char *new_path(void)
{
    static char paths[4][64];
    static int n;

    snprintf(paths[n % 4], sizeof paths[0], "/tmp/rntest-corner-%d-%d", getpid(), n);
    return paths[n++ % 4];
}

/* As rntest_pair_on, but "unixpacket", too. */
static void pair_on(const char *network, rn_conn **a, rn_conn **b)
{
    rn_listener *ln;
    const char *path;

    if (strcmp(network, "unixpacket") != 0) {
        rntest_pair_on(network, a, b);
        return;
    }
    path = new_path();
    CHECK_OK(rn_listen(network, path, NULL, &ln));
    CHECK_OK(rn_dial(network, path, NULL, a));
    CHECK_OK(rn_accept(ln, b));
    rn_listener_close(ln);
}

static rn_conn *packets_on(const char *network, rn_addr *at)
{
    char text[128];
    rn_conn *c;

    CHECK_OK(rn_listen_packet(
        network, strcmp(network, "unixgram") == 0 ? new_path() : "127.0.0.1:0", NULL, &c));
    CHECK_OK(rn_local_addr(c, text, sizeof text));
    CHECK_OK(rn_addr_parse(network, text, at));
    rn_set_deadline(c, rn_after(LONG));
    return c;
}

/* ---- ends ---- */

RN_CORO_TEST(each_half_is_closed_as_often_as_one_likes_on_each_network)
{
    for (int i = 0; i < 3; i++) {
        rn_conn *a, *b;
        char buf[8];

        pair_on(streams[i], &a, &b);
        rn_set_read_deadline(a, rn_after(LONG));
        rn_set_read_deadline(b, rn_after(LONG));
        for (int k = 0; k < 3; k++)
            CHECK_OK(rn_close_write(a));
        CHECK_EQ(rn_write(a, "x", 1), -EPIPE);
        CHECK_EQ(rn_read(b, buf, sizeof buf), 0);
        CHECK_EQ(rn_write(b, "back", 4), 4);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
        for (int k = 0; k < 3; k++)
            CHECK_OK(rn_close_read(a));
        CHECK_EQ(rn_read(a, buf, sizeof buf), 0);
        rn_close(a);
        rn_close(b);
    }
}

struct half {
    rn_conn *conn;
    atomic_int *left;
};

static void end_and_read(void *arg)
{
    struct half *h = arg;
    char buf[8];

    CHECK_EQ(rn_write(h->conn, "last", 4), 4);
    CHECK_OK(rn_close_write(h->conn));
    rntest_read_full(h->conn, buf, 4);
    CHECK_EQ(rn_read(h->conn, buf, sizeof buf), 0);
    rn_close(h->conn);
    --*h->left;
}

RN_CORO_TEST(both_ends_may_end_at_once)
{
    for (int i = 0; i < 100; i++) {
        atomic_int left = 2;
        struct half a = {.left = &left}, b = {.left = &left};

        rntest_pair_on(i % 4 == 0 ? "unix" : "tcp", &a.conn, &b.conn);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1}, end_and_read, &a));
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, end_and_read, &b));
        while (left > 0)
            CHECK_OK(rn_sleep(RN_MILLISECOND / 10));
    }
}

RN_CORO_TEST(a_reset_is_no_timeout)
{
    rn_conn *a, *b;
    char buf[8];
    ssize_t n;

    rntest_pair(&a, &b);
    CHECK_OK(rn_set_linger(b, 0));
    rn_close(b);
    rn_set_read_deadline(a, rn_after(LONG));
    n = rn_read(a, buf, sizeof buf);
    CHECK_EQ(n, -ECONNRESET);
    CHECK(!rn_is_timeout(n));
    rn_close(a);
}

RN_CORO_TEST_ON(reading_and_writing_needs_no_memory, 1)
{
    rn_conn *a, *b, *udp;
    rn_addr at;
    char buf[128] = "";

    rntest_pair(&a, &b);
    udp = packets_on("udp", &at);
    rn_set_read_deadline(b, rn_after(LONG));
    for (int i = 0; i < 100; i++) {
        if (i == 10) /* each has waited once */
            rn__mem_fail(1, UINT32_MAX);
        CHECK_EQ(rn_write(a, buf, sizeof buf), (ssize_t)sizeof buf);
        rntest_read_full(b, buf, sizeof buf);
        CHECK_EQ(rn_send_to(udp, buf, sizeof buf, &at), (ssize_t)sizeof buf);
        CHECK_EQ(rn_recv_from(udp, buf, sizeof buf, NULL), (ssize_t)sizeof buf);
    }
    rn__mem_fail(0, 0);
    rn_close(a);
    rn_close(b);
    rn_close(udp);
}

/* send(2) takes less than 2 GiB at once. */
static void write_big(void *arg)
{
    size_t len = ((size_t)2 << 30) + 12345;
    void *zeros = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    CHECK(zeros != MAP_FAILED);
    CHECK_EQ(rn_write(arg, zeros, len), (ssize_t)len);
    rn_close(arg);
    munmap(zeros, len);
}

RN_CORO_TEST(a_write_of_more_than_2_gib_is_whole)
{
    static char buf[1 << 20];
    rn_conn *a, *b;
    int64_t sum = 0;
    ssize_t n;

    if (getenv("RNTEST_LONG") == NULL)
        RN_TEST_SKIP("long");
    rntest_pair(&a, &b);
    CHECK_OK(rn_go(write_big, b));
    while ((n = rn_read(a, buf, sizeof buf)) > 0)
        sum += n;
    CHECK_EQ(n, 0);
    CHECK_EQ(sum, ((int64_t)2 << 30) + 12345);
    rn_close(a);
}

/* ---- files and pipes ---- */

RN_CORO_TEST(a_file_with_a_deadline_in_the_past_sends_nothing)
{
    int fd = memfd_create("rntest", MFD_CLOEXEC);
    rn_copy_report report;
    rn_conn *a, *b;
    char buf[8];

    CHECK_EQ(ftruncate(fd, 1 << 20), 0);
    rntest_pair(&a, &b);
    rn_set_write_deadline(a, rn_now() - 3600 * RN_SECOND);
    CHECK_EQ(rn_copy_file(a, fd, 0, 1 << 20, &report), -ETIME);
    CHECK_EQ(report.bytes, 0);
    rn_close(a);
    CHECK_EQ(rn_read(b, buf, sizeof buf), 0);
    rn_close(b);
    close(fd);
}

RN_CORO_TEST(a_pipe_that_was_copied_from_still_obeys_its_deadline)
{
    rn_conn *a, *b, *from;
    char buf[8];
    int fds[2];

    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    CHECK_OK(rn_conn_from_fd(fds[0], &from));
    rntest_pair(&a, &b);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK_EQ(rn_copy_n(a, from, 1, NULL), 1);
    rn_set_read_deadline(from, rn_after(1000));
    CHECK_EQ(rn_read(from, buf, sizeof buf), -ETIME);
    CHECK_EQ(rn_read(b, buf, sizeof buf), 1);
    rn_close(from);
    rn_close(a);
    rn_close(b);
    close(fds[1]);
}

#define RECORD ((size_t)64 << 10)
#define RECORDS 20

static int write_records(void *arg)
{
    char *record = calloc(1, RECORD);

    for (int i = 0; i < RECORDS; i++)
        CHECK_EQ(rn_write(arg, record, RECORD), (ssize_t)RECORD);
    free(record);
    return rn_close_write(arg);
}

static int read_records(void *arg)
{
    static char buf[RECORD];
    size_t sum = 0;
    ssize_t n;

    while ((n = rn_read(arg, buf, sizeof buf)) > 0)
        sum += (size_t)n;
    CHECK_EQ(sum, RECORDS * RECORD);
    return (int)n;
}

/* So large that a stream's would be spliced; that would cut and join them. */
RN_CORO_TEST(records_are_copied_by_a_buffer)
{
    rn_group g = RN_GROUP_INIT;
    rn_conn *source, *from, *to, *sink;
    rn_copy_report report;

    pair_on("unixpacket", &source, &from);
    rntest_pair(&to, &sink);
    CHECK_OK(rn_group_go(&g, write_records, source));
    CHECK_OK(rn_group_go(&g, read_records, sink));
    CHECK_EQ(rn_copy(to, from, &report), (ssize_t)(RECORDS * RECORD));
    CHECK_EQ(report.by_read_write, report.bytes);
    CHECK_OK(rn_close_write(to));
    CHECK_OK(rn_group_wait(&g, 0));
    rn_close(source);
    rn_close(from);
    rn_close(to);
    rn_close(sink);
}

/* ---- datagrams ---- */

static const char *const packets[] = {"udp", "unixgram"};

/* 0 bytes are a message, and 0 no end. */
RN_CORO_TEST(empty_datagrams_and_empty_buffers_count)
{
    for (int i = 0; i < 2; i++) {
        char text[128], buf[64];
        rn_addr at;
        rn_conn *c = packets_on(packets[i], &at), *d;

        CHECK_OK(rn_addr_format(&at, text, sizeof text));
        CHECK_OK(rn_dial(packets[i], text, NULL, &d));
        CHECK_EQ(rn_send(d, NULL, 0, 0), 0);
        CHECK_EQ(rn_read(c, buf, sizeof buf), 0);
        CHECK_EQ(rn_send_to(c, "", 0, &at), 0);
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), 0);
        CHECK_EQ(rn_write(d, "dropped", 7), 7);
        CHECK_EQ(rn_recv(c, buf, 0, 0), 0); /* takes it */
        CHECK_EQ(rn_write(d, "left", 4), 4);
        CHECK_EQ(rn_read(c, buf, 0), 0); /* does not touch the socket */
        CHECK_EQ(rn_read(c, buf, 3), 3); /* cut */
        CHECK_EQ(rn_write(d, "next", 4), 4);
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), 4);
        CHECK_MEM(buf, "next", 4);
        rn_close(c);
        rn_close(d);
    }
}

RN_CORO_TEST(who_is_not_dialled_has_nobody_to_write_to)
{
    for (int i = 0; i < 2; i++) {
        rn_addr at, other_at;
        rn_conn *c = packets_on(packets[i], &at), *other = packets_on(packets[i], &other_at), *d;
        char text[128], buf[8];

        CHECK_EQ(rn_write(c, "x", 1), i == 0 ? -EDESTADDRREQ : -ENOTCONN);
        CHECK_EQ(rn_send(c, "x", 1, 0), i == 0 ? -EDESTADDRREQ : -ENOTCONN);
        CHECK_OK(rn_addr_format(&at, text, sizeof text));
        CHECK_OK(rn_dial(packets[i], text, NULL, &d));
        /* A dialled one has its peer; Linux lets it send elsewhere all the same. */
        CHECK_EQ(rn_send_to(d, "x", 1, &other_at), 1);
        CHECK_EQ(rn_recv(other, buf, sizeof buf, 0), 1);
        CHECK_EQ(rn_write(d, "y", 1), 1);
        CHECK_EQ(rn_recv(c, buf, sizeof buf, 0), 1);
        rn_close(c);
        rn_close(d);
        rn_close(other);
    }
}

RN_CORO_TEST(datagrams_obey_deadlines_in_the_past)
{
    for (int i = 0; i < 2; i++) {
        rn_addr at;
        rn_conn *c = packets_on(packets[i], &at);
        rn_addr from = {.len = 77};
        char buf[8];

        CHECK_EQ(rn_send_to(c, "there", 5, &at), 5);
        rn_set_read_deadline(c, rn_now());
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, &from), -ETIME);
        CHECK_EQ(from.len, 77); /* untouched */
        rn_set_write_deadline(c, rn_now() - 5 * RN_SECOND);
        CHECK_EQ(rn_send_to(c, "x", 1, &at), -ETIME);
        rn_set_deadline(c, rn_after(LONG));
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, &from), 5);
        rn_close(c);
    }
}

RN_CORO_TEST(a_dual_stack_udp_socket_sends_to_both_families)
{
    static const char *const tos[] = {"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"};
    char here[128], text[160], buf[8];
    rn_addr to, from;
    rn_conn *any, *v4;

    rntest_need_ipv6();
    CHECK_OK(rn_listen_packet("udp", ":0", NULL, &any));
    CHECK_OK(rn_listen_packet("udp4", "127.0.0.1:0", NULL, &v4));
    CHECK_OK(rn_local_addr(any, here, sizeof here));
    rn_set_read_deadline(any, rn_after(LONG));
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s%s", tos[i], strrchr(here, ':'));
        CHECK_OK(rn_addr_parse("udp", text, &to));
        CHECK_EQ(rn_send_to(any, "x", 1, &to), 1);
        CHECK_EQ(rn_recv_from(any, buf, sizeof buf, &from), 1);
        CHECK_OK(rn_addr_format(&from, text, sizeof text));
        CHECK(strncmp(text, i < 2 ? "127.0.0.1:" : "[::1]:", i < 2 ? 10 : 6) == 0);
        CHECK_EQ(rn_send_to(any, "y", 1, &from), 1); /* whoever sent is answered */
        CHECK_EQ(rn_recv(any, buf, sizeof buf, 0), 1);
        CHECK_EQ(rn_send_to(v4, "x", 1, &to), i < 2 ? 1 : -EAFNOSUPPORT);
        if (i < 2)
            CHECK_EQ(rn_recv(any, buf, sizeof buf, 0), 1);
    }
    rn_close(any);
    rn_close(v4);
}

RN_CORO_TEST(a_udp_port_is_taken_once)
{
    int r = -EADDRINUSE;

    for (int tries = 0; tries < 5 && r == -EADDRINUSE; tries++) {
        rn_addr at;
        rn_conn *c = packets_on("udp", &at), *d;
        char text[128];

        CHECK_OK(rn_addr_format(&at, text, sizeof text));
        CHECK_EQ(rn_listen_packet("udp", text, NULL, &d), -EADDRINUSE);
        rn_close(c);
        r = rn_listen_packet("udp", text, NULL, &d); /* or another program was quicker */
        if (r == 0)
            rn_close(d);
    }
    CHECK_EQ(r, 0);
}

RN_CORO_TEST(a_packet_conn_can_be_made_of_a_descriptor)
{
    for (int i = 0; i < 2; i++) {
        rn_addr at;
        rn_conn *c = packets_on(packets[i], &at), *d;
        char buf[8];

        CHECK_OK(rn_conn_from_fd(dup(rn_conn_fd(c)), &d));
        CHECK_EQ(rn_send_to(d, "", 0, &at), 0);
        CHECK_EQ(rn_send_to(d, "x", 1, &at), 1);
        CHECK_EQ(rn_recv_from(c, buf, sizeof buf, NULL), 0);
        rn_close(c);
        CHECK_EQ(rn_recv_from(d, buf, sizeof buf, NULL), 1);
        rn_close(d);
    }
}

/* ---- unix sockets ---- */

RN_CORO_TEST(a_unixgram_sender_without_a_name_has_no_address)
{
    rn_addr at, from = {.len = 77};
    rn_conn *c = packets_on("unixgram", &at);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[16] = "x", buf[8];

    CHECK_EQ(sendto(fd, "12345", 5, 0, (struct sockaddr *)&at.at, at.len), 5);
    CHECK_EQ(rn_recv_from(c, buf, sizeof buf, &from), 5);
    CHECK_EQ(from.len, 0);
    CHECK_OK(rn_addr_format(&from, text, sizeof text));
    CHECK_STR(text, "");
    close(fd);
    rn_close(c);
}

RN_CORO_TEST(ends_of_unix_sockets_have_the_names_they_were_given)
{
    static const char *const networks[] = {"unix", "unixpacket", "unixgram"};

    for (int i = 0; i < 6; i++) {
        const char *at = new_path(), *local = i % 2 == 0 ? NULL : new_path();
        rn_conn *c, *packet = NULL;
        rn_listener *ln = NULL;
        char text[128];

        if (i / 2 == 2)
            CHECK_OK(rn_listen_packet("unixgram", at, NULL, &packet));
        else
            CHECK_OK(rn_listen(networks[i / 2], at, NULL, &ln));
        CHECK_OK(rn_dial(networks[i / 2], at, &(rn_dial_options){.local = local}, &c));
        CHECK_OK(rn_local_addr(c, text, sizeof text));
        CHECK_STR(text, local == NULL ? "" : local);
        CHECK_OK(rn_remote_addr(c, text, sizeof text));
        CHECK_STR(text, at);
        if (packet != NULL)
            CHECK_EQ(rn_remote_addr(packet, text, sizeof text), -ENOTCONN);
        rn_close(c);
        rn_close(packet);
        if (ln != NULL)
            rn_listener_close(ln);
        if (local != NULL && i / 2 != 2)
            CHECK_EQ(unlink(local), 0); /* of a stream it stays, as in Go */
    }
}

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

RN_CORO_TEST(a_unix_path_goes_when_its_listener_does)
{
    const char *path = new_path();
    rn_listener *ln, *other;
    int fd;

    CHECK_OK(rn_listen("unix", path, NULL, &ln));
    CHECK(exists(path));
    rn_listener_close(ln);
    CHECK(!exists(path));

    CHECK_OK(rn_listen("unix", path, &(rn_listen_options){.keep_path = true}, &ln));
    rn_listener_close(ln);
    CHECK(exists(path));
    CHECK_EQ(rn_listen("unix", path, NULL, &ln), -EADDRINUSE); /* even where nobody listens */
    CHECK_EQ(unlink(path), 0);

    CHECK_OK(
        rn_listen("unix", path, NULL, &ln)); /* made of a descriptor, it does not own the path */
    fd = dup(rn_listener_fd(ln));
    CHECK_OK(rn_listener_from_fd(fd, &other));
    rn_listener_close(other);
    CHECK(exists(path));
    rn_listener_close(ln);
    CHECK(!exists(path));

    CHECK_OK(rn_listen("unix", path, NULL, &ln)); /* handed on, it belongs to the other one, too */
    fd = rn_listener_file(ln);
    rn_listener_close(ln);
    CHECK(exists(path));
    close(fd);
    CHECK_EQ(unlink(path), 0);
}
