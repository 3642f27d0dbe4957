/*
 * test_corners.c - corners that Go's own net tests know, and no other file here had: streams
 *
 * docs/go-net-corners.md lists all of them with the test of ours. Those of datagrams and unix
 * sockets, of ends and of files are in test_corners_ends.c.
 */
#include <stdatomic.h>

#include "base/base.h"
#include "rntest_coro.h"

#define LONG (10 * RN_SECOND)

static rn_listener *listen_on(const char *network, const char *host, char *address)
{
    rn_listener *ln;

    CHECK_OK(rn_listen(network, host, NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, 128));
    return ln;
}

static void wait_for_fds(int n)
{
    for (int i = 0; i < 10000 && rntest_count_fds() > n; i++)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK_EQ(rntest_count_fds(), n);
}

/* ---- which addresses meet ---- */

/* False: it is somebody else whom it meets there, at the same port of the other family. */
static bool meet(rn_listener *ln, const char *network, const char *host, bool yes)
{
    char address[128], dial[160];
    rn_conn *a, *b;
    int r;

    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    snprintf(dial, sizeof dial, "%s%s", host, strrchr(address, ':'));
    r = rn_dial(network, dial, NULL, &a);
    if (!yes && r == 0)
        rn_close(a);
    if (!yes)
        return r < 0;
    CHECK_OK(r);
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK_EQ(rn_read(b, address, 1), 1);
    rn_close(a);
    rn_close(b);
    return true;
}

RN_CORO_TEST(servers_and_clients_of_each_family_meet)
{
    static const struct {
        const char *network, *address;
        bool v4, v6; /* who reaches it */
    } servers[] = {
        {"tcp", ":0", true, true},
        {"tcp", "[::]:0", true, true},
        {"tcp", "0.0.0.0:0", true, false},
        {"tcp", "[::ffff:0.0.0.0]:0", true, false},
        {"tcp", "127.0.0.1:0", true, false},
        {"tcp", "[::ffff:127.0.0.1]:0", true, false},
        {"tcp", "[::1]:0", false, true},
        {"tcp4", ":0", true, false},
        {"tcp4", "[::ffff:127.0.0.1]:0", true, false},
        {"tcp6", ":0", false, true},
        {"tcp6", "[::]:0", false, true},
    };

    rntest_need_ipv6();
    for (size_t i = 0; i < RN_COUNT_OF(servers); i++) {
        bool v4 = servers[i].v4, v6 = servers[i].v6, as_meant = false;

        for (int tries = 0; tries < 20 && !as_meant; tries++) {
            char address[128];
            rn_listener *ln = listen_on(servers[i].network, servers[i].address, address);

            as_meant = meet(ln, "tcp", "127.0.0.1", v4) && meet(ln, "tcp4", "127.0.0.1", v4) &&
                       meet(ln, "tcp", "[::ffff:127.0.0.1]", v4) && meet(ln, "tcp", "[::1]", v6) &&
                       meet(ln, "tcp6", "[::1]", v6) && meet(ln, "tcp", "", true);
            rn_listener_close(ln);
        }
        CHECK(as_meant);
    }
}

RN_CORO_TEST(an_address_of_the_other_family_is_refused)
{
    rn_conn *c;
    rn_listener *ln;

    CHECK_EQ(rn_dial("tcp4", "[::1]:1", NULL, &c), -RN_ENOHOST);
    CHECK_EQ(rn_dial("tcp6", "127.0.0.1:1", NULL, &c), -RN_ENOHOST);
    CHECK_EQ(rn_dial("tcp6", "[::ffff:127.0.0.1]:1", NULL, &c), -RN_ENOHOST);
    CHECK_EQ(rn_dial("udp4", "[::1]:1", NULL, &c), -RN_ENOHOST);
    CHECK_EQ(rn_listen("tcp4", "[::1]:0", NULL, &ln), -RN_ENOHOST);
    CHECK_EQ(rn_listen("tcp6", "127.0.0.1:0", NULL, &ln), -RN_ENOHOST);
}

RN_CORO_TEST(the_address_of_a_listener_can_be_dialled)
{
    static const char *const hosts[] = {":0", "0.0.0.0:0", "[::]:0", "[::1]:0"};

    rntest_need_ipv6();
    for (size_t i = 0; i < RN_COUNT_OF(hosts); i++) {
        char address[128];
        rn_listener *ln = listen_on("tcp", hosts[i], address);
        rn_conn *a, *b;

        CHECK_OK(rn_dial("tcp", address, NULL, &a));
        CHECK_OK(rn_accept(ln, &b));
        rn_close(a);
        rn_close(b);
        rn_listener_close(ln);
    }
}

RN_CORO_TEST(an_ipv4_peer_of_a_dual_stack_listener_has_an_ipv4_address)
{
    char address[128], text[160], back[128];
    rn_listener *ln = listen_on("tcp", ":0", address);
    rn_conn *a, *b;

    snprintf(text, sizeof text, "127.0.0.1%s", strrchr(address, ':'));
    CHECK_OK(rn_dial("tcp", text, NULL, &a));
    CHECK_OK(rn_accept(ln, &b));
    CHECK_OK(rn_local_addr(a, text, sizeof text));
    CHECK_OK(rn_remote_addr(b, back, sizeof back));
    CHECK_STR(back, text);
    rn_close(a);
    rn_close(b);
    rn_listener_close(ln);
}

struct taken {
    rn_listener *ln;
    rn_conn *c;
};

/* By either kind of socket: "4" of "tcp" is tcp4, and so on. */
static int take(bool is_udp, const char *family, const char *host, const char *port,
                struct taken *ret)
{
    char network[8], address[64];

    *ret = (struct taken){0};
    snprintf(network, sizeof network, "%s%s", is_udp ? "udp" : "tcp", family);
    snprintf(address, sizeof address, "%s:%s", host, port);
    return is_udp ? rn_listen_packet(network, address, NULL, &ret->c)
                  : rn_listen(network, address, NULL, &ret->ln);
}

static void give_back(struct taken *t)
{
    rn_close(t->c);
    if (t->ln != NULL)
        rn_listener_close(t->ln);
}

/* Both on one port. */
static int take_two(bool is_udp, const char *const *first, const char *const *second)
{
    struct taken a, b;
    char address[128];
    int r;

    CHECK_OK(take(is_udp, first[0], first[1], "0", &a));
    CHECK_OK(is_udp ? rn_local_addr(a.c, address, sizeof address)
                    : rn_listener_addr(a.ln, address, sizeof address));
    r = take(is_udp, second[0], second[1], strrchr(address, ':') + 1, &b);
    give_back(&a);
    if (r == 0)
        give_back(&b);
    return r;
}

RN_CORO_TEST(which_listeners_may_share_a_port)
{
    static const struct {
        const char *first[2], *second[2]; /* family and host */
        int result;
    } pairs[] = {
        {{"", ""}, {"", ""}, -EADDRINUSE},
        {{"", ""}, {"", "0.0.0.0"}, -EADDRINUSE},
        {{"", "0.0.0.0"}, {"", ""}, -EADDRINUSE},
        {{"", ""}, {"", "[::]"}, -EADDRINUSE},
        {{"", "[::]"}, {"", "0.0.0.0"}, -EADDRINUSE},
        {{"", "[::ffff:0.0.0.0]"}, {"", "[::]"}, -EADDRINUSE},
        {{"4", ""}, {"6", ""}, 0},
        {{"6", ""}, {"4", ""}, 0},
        {{"4", "0.0.0.0"}, {"6", "[::]"}, 0},
        {{"", "127.0.0.1"}, {"", "[::1]"}, 0},
        {{"", "[::1]"}, {"", "127.0.0.1"}, 0},
        {{"", "127.0.0.1"}, {"", "127.0.0.1"}, -EADDRINUSE},
    };

    rntest_need_ipv6();
    for (size_t i = 0; i < 2 * RN_COUNT_OF(pairs); i++) {
        bool is_udp = i % 2 == 1;
        int r, tries = 20;

        do /* others may have that port, too */
            r = take_two(is_udp, pairs[i / 2].first, pairs[i / 2].second);
        while (r != pairs[i / 2].result && --tries > 0);
        CHECK_EQ(r, pairs[i / 2].result);
    }
}

/* ---- dials and their ends ---- */

RN_CORO_TEST(a_dial_with_a_deadline_in_the_past_sends_nothing)
{
    char address[128];
    rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
    rn_dial_options o = {.deadline = 1};
    rn_listener_stats stats;
    rn_conn *c;

    CHECK_EQ(rn_dial("tcp", address, &o, &c), -ETIME);
    o.deadline = rn_now() - 5 * RN_SECOND;
    CHECK_EQ(rn_dial("tcp", address, &o, &c), -ETIME);
    CHECK_OK(rn_get_listener_stats(ln, &stats));
    CHECK_EQ(stats.queued, 0);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_dial_whose_deadline_is_the_end_of_time_is_made)
{
    char address[128];
    rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
    rn_dial_options o = {.deadline = rn_after(INT64_MAX)};
    rn_conn *c;

    CHECK_OK(rn_dial("tcp", address, &o, &c));
    rn_close(c);
    rn_listener_close(ln);
}

struct dialling {
    const char *address;
    rn_conn *conn;
    atomic_int result;
};

static int dial_it(void *arg)
{
    struct dialling *d = arg;

    d->result = rn_dial("tcp", d->address, NULL, &d->conn);
    return 0;
}

RN_CORO_TEST(a_cancel_at_whatever_moment_of_a_dial_leaves_nothing)
{
    char address[128];
    rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
    int fds, cancelled = 0;

    CHECK_OK(rn_sleep(RN_MILLISECOND));
    fds = rntest_count_fds();
    for (int i = 0; i < 500; i++) {
        struct dialling d = {.address = address};
        rn_group g = RN_GROUP_INIT;
        rn_conn *accepted;

        CHECK_OK(rn_group_go(&g, dial_it, &d));
        for (volatile int spin = 0; spin < i * 50; spin++)
            ;
        if (i % 3 == 0)
            rn_yield();
        rn_group_cancel(&g);
        (void)rn_group_wait(&g, 0);
        CHECK(d.result == 0 || d.result == -ECANCELED);
        cancelled += d.result != 0;
        if (d.result != 0)
            continue;
        CHECK_OK(rn_accept(ln, &accepted)); /* or one of those that were given up */
        rn_close(accepted);
        rn_close(d.conn);
    }
    CHECK(cancelled > 0);
    wait_for_fds(fds);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_cancel_after_the_dial_leaves_the_connection_alone)
{
    char address[128], buf[8];
    rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
    struct dialling d = {.address = address};
    rn_group g = RN_GROUP_INIT;
    rn_conn *b;

    CHECK_OK(rn_group_go(&g, dial_it, &d));
    CHECK_OK(rn_group_wait(&g, 0));
    rn_group_cancel(&g);
    CHECK_EQ(d.result, 0);
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(rn_write(d.conn, "echo", 4), 4);
    CHECK_EQ(rn_read(b, buf, sizeof buf), 4);
    rn_close(d.conn);
    rn_close(b);
    rn_listener_close(ln);
}

static void dial_and_write(void *arg)
{
    struct dialling *d = arg;
    rn_conn *c;
    ssize_t n;
    int r = rn_dial("tcp", d->address, NULL, &c);

    if (r == 0) {
        n = rn_write(c, "x", 1);
        CHECK(n == 1 || n == -EPIPE || n == -ECONNRESET); /* connected it was: never -ENOTCONN */
        rn_close(c);
    }
    d->result = r;
}

RN_CORO_TEST(dials_race_the_close_of_their_listener)
{
    int fds = -1;

    for (int i = 0; i < 100; i++) {
        char address[128];
        rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
        struct dialling d[4];

        for (int k = 0; k < 4; k++) {
            d[k].address = address;
            d[k].result = 1;
            CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + k % 2}, dial_and_write, &d[k]));
        }
        if (i % 2 == 0)
            rn_yield();
        rn_listener_close(ln);
        for (int k = 0; k < 4; k++) {
            while (d[k].result == 1)
                CHECK_OK(rn_sleep(RN_MILLISECOND / 10));
            CHECK(d[k].result == 0 || d[k].result == -ECONNREFUSED || d[k].result == -ECONNRESET);
        }
        if (i == 10)
            fds = rntest_count_fds();
    }
    for (int i = 0; i < 10000 && rntest_count_fds() > fds; i++)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK(rntest_count_fds() <= fds);
}

/* ---- listeners ---- */

static int accept_all(void *arg)
{
    rn_conn *c;

    while (rn_accept(arg, &c) == 0)
        rn_close(c);
    return 0;
}

RN_CORO_TEST(an_address_can_be_listened_on_again_at_once)
{
    char address[128];
    rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
    int taken = 0; /* by other programs, meanwhile */

    for (int i = 0; i < 50; i++) {
        rn_group g = RN_GROUP_INIT;
        rn_conn *c = NULL;

        CHECK_OK(rn_group_go(&g, accept_all, ln));
        if (i % 2 == 0) /* which we end first: it is in TIME_WAIT afterwards */
            CHECK_OK(rn_dial("tcp", address, NULL, &c));
        rn_close(c);
        rn_listener_cancel(ln);
        CHECK_OK(rn_group_wait(&g, 0));
        rn_listener_close(ln);
        if (rn_listen("tcp", address, NULL, &ln) < 0) {
            CHECK(++taken < 5);
            ln = listen_on("tcp", "127.0.0.1:0", address);
        }
    }
    rn_listener_close(ln);
}

RN_CORO_TEST(after_its_close_a_listener_is_not_reached)
{
    static const char *const networks[] = {"tcp", "unix", "unixpacket"};

    for (int i = 0; i < 3; i++) {
        char address[128], path[64];
        rn_listener *ln;
        rn_conn *c;
        int r = 0;

        snprintf(path, sizeof path, "/tmp/rntest-corner-%d", getpid());
        /* Where it is a success, a test beside has the port now. */
        for (int tries = 0; tries < 5 && r == 0; tries++) {
            ln = listen_on(networks[i], i == 0 ? "127.0.0.1:0" : path, address);
            rn_listener_cancel(ln);
            CHECK_EQ(rn_accept(ln, &c), -ECANCELED);
            rn_listener_close(ln);
            r = rn_dial(networks[i], address, NULL, &c);
            if (r == 0)
                rn_close(c);
        }
        CHECK_EQ(r, i == 0 ? -ECONNREFUSED : -ENOENT); /* the path is gone, too */
    }
}

static int accept_one(void *arg)
{
    rn_conn *c;
    int r = rn_accept(arg, &c);

    if (r == 0)
        rn_close(c);
    return r;
}

/* A listener has no deadline: the group has, and the listener goes on. */
RN_CORO_TEST(an_accept_ends_at_the_deadline_of_its_group)
{
    char address[128];
    rn_listener *ln = listen_on("tcp", "127.0.0.1:0", address);
    rn_group g = RN_GROUP_INIT;
    rn_conn *c;

    CHECK_OK(rn_group_go(&g, accept_one, ln));
    CHECK_EQ(rn_group_wait(&g, rn_after(20 * RN_MILLISECOND)), -ETIME);
    CHECK_OK(rn_group_go(&g, accept_one, ln));
    CHECK_EQ(rn_group_wait(&g, rn_now() - RN_SECOND), -ETIME);
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    CHECK_OK(rn_group_go(&g, accept_one, ln));
    CHECK_OK(rn_group_wait(&g, 0));
    rn_close(c);
    rn_listener_close(ln);
}

/* ---- deadlines ---- */

struct reader {
    rn_conn *conn;
    _Atomic ssize_t result;
};

static void read_one(void *arg)
{
    struct reader *r = arg;
    char buf[8];

    r->result = rn_read(r->conn, buf, sizeof buf);
}

RN_CORO_TEST(a_deadline_that_was_taken_away_does_not_end_what_comes_after)
{
    rn_conn *a, *b;
    struct reader r = {.result = 1000};
    static char zeros[1 << 20];

    rntest_pair(&a, &b);
    rn_set_deadline(a, rn_now() - 5 * RN_SECOND);
    CHECK_EQ(rn_write(a, "x", 1), -ETIME);
    rn_set_read_deadline(a, 0);
    r.conn = a;
    CHECK_OK(rn_go(read_one, &r));
    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    CHECK_EQ(r.result, 1000); /* it waits, while writes still fail */
    CHECK_EQ(rn_write(a, "x", 1), -ETIME);
    rn_set_write_deadline(a, 0);
    rn_set_read_deadline(b, rn_after(LONG));
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK_EQ(rn_read(b, zeros, sizeof zeros), 1);
    CHECK_EQ(rn_write(b, "x", 1), 1);
    while (r.result == 1000)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK_EQ(r.result, 1);
    rn_close(a);
    rn_close(b);
}

static void deadlines_fire(int proc)
{
    static const rn_time spans[] = {1,    2,     50,     100,    500,     1000,
                                    5000, 25000, 250000, 500000, 1000000, 5000000};

    for (size_t i = 0; i < RN_COUNT_OF(spans); i++) {
        struct reader r = {.result = 1000};
        rn_conn *b;

        rntest_pair(&r.conn, &b);
        rn_set_deadline(r.conn, rn_after(spans[i]));
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, read_one, &r));
        while (r.result == 1000)
            CHECK_OK(rn_sleep(RN_MILLISECOND / 2));
        CHECK_EQ(r.result, -ETIME);
        rn_close(r.conn);
        rn_close(b);
    }
}

RN_CORO_TEST_ON(deadlines_from_a_nanosecond_on_all_fire_on_one_proc, 1)
{
    deadlines_fire(1);
}

RN_CORO_TEST_ON(deadlines_from_a_nanosecond_on_all_fire_on_four_procs, 4)
{
    for (int proc = 1; proc <= 4; proc++)
        deadlines_fire(proc);
}

struct mover {
    rn_conn *a, *b;
    atomic_int left; /* coroutines */
    atomic_bool stop;
};

static void move_deadlines(void *arg)
{
    struct mover *m = arg;

    for (int i = 0; i < 2000; i++) {
        rn_set_read_deadline(m->a, rn_after(i % 7 == 0 ? 2000 : RN_SECOND * (3600 - i)));
        rn_set_write_deadline(m->a, rn_after(i % 5 == 0 ? 2000 : RN_SECOND * (3600 - i)));
        if (i % 16 == 0)
            rn_yield();
    }
    m->left--;
}

static void read_anyhow(void *arg)
{
    struct mover *m = arg;
    char buf[8];

    while (!m->stop)
        if (rn_read(m->a, buf, sizeof buf) == -ETIME)
            rn_yield();
    m->left--;
}

static void write_anyhow(void *arg)
{
    struct mover *m = arg;

    while (!m->stop) {
        ssize_t n = rn_write(m->a, "x", 1);

        CHECK(n == 1 || n == -ETIME);
        rn_yield();
    }
    m->left--;
}

static void echo_anyhow(void *arg)
{
    struct mover *m = arg;
    char buf[64];
    ssize_t n;

    while ((n = rn_read(m->b, buf, sizeof buf)) > 0)
        CHECK_EQ(rn_write(m->b, buf, (size_t)n), n);
    CHECK_EQ(n, 0);
    CHECK_OK(rn_close_write(m->b));
    m->left--;
}

/* In the end all is as if they had never been moved. */
RN_CORO_TEST_ON(deadlines_are_moved_from_all_procs_while_reads_and_writes_go_on, 4)
{
    struct mover m = {.left = 3};
    char buf[8];

    rntest_pair(&m.a, &m.b);
    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i}, move_deadlines, &m));
    m.left += 3;
    CHECK_OK(rn_go(read_anyhow, &m));
    CHECK_OK(rn_go(write_anyhow, &m));
    CHECK_OK(rn_go(echo_anyhow, &m));
    while (m.left > 3)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    m.stop = true;
    rn_set_write_deadline(m.a, 0);
    CHECK_EQ(rn_write(m.a, "x", 1), 1);
    rn_set_read_deadline(m.a, rn_now()); /* if it waits it is woken */
    while (m.left > 1)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    rn_set_deadline(m.a, 0);
    CHECK_OK(rn_close_write(m.a));
    while (rn_read(m.a, buf, sizeof buf) > 0)
        ;
    rn_close(m.b);
    rn_close(m.a);
}
