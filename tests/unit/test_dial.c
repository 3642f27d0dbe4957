/*
 * test_dial.c - dialling names of several addresses; what can go wrong with a connect
 *
 * An address that does not answer is a listener whose queue is full: the kernel drops its SYNs.
 */
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/sys.h"
#include "netns.h"
#include "rntest_coro.h"

/* ---- a resolver that says what the test wants ---- */

static rn_ip known[16];
static int n_known;

static int lookup_known(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips,
                        int n)
{
    (void)arg;
    (void)family;
    (void)deadline;
    CHECK_STR(name, "many.test");
    CHECK(n_known <= n);
    memcpy(ips, known, sizeof known[0] * (size_t)n_known);
    return n_known;
}

/* many.test has these addresses, in this order; ends with NULL. */
static void know(const char *const *texts)
{
    rn_resolver r = {.lookup = lookup_known};

    for (n_known = 0; texts[n_known] != NULL; n_known++)
        CHECK_EQ(rn_lookup_host(texts[n_known], NULL, &known[n_known], 1), 1);
    CHECK_OK(rn_resolver_set(&r));
}

#define KNOW(...) know((const char *const[]){__VA_ARGS__, NULL})

static int dial_many(unsigned port, const rn_dial_options *options, rn_conn **ret)
{
    char address[64];

    snprintf(address, sizeof address, "many.test:%u", port);
    return rn_dial("tcp", address, options, ret);
}

static void check_peer(rn_conn *c, const char *host)
{
    char text[128];

    CHECK_OK(rn_remote_addr(c, text, sizeof text));
    CHECK(strncmp(text, host, strlen(host)) == 0);
}

/* ---- who answers, and who does not ---- */

struct silent {
    rn_listener *ln;
    rn_conn *queued[8];
    int n;
};

static unsigned port_of(rn_listener *ln)
{
    char address[128];

    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    return (unsigned)atoi(strrchr(address, ':') + 1);
}

static bool is_full(rn_listener *ln)
{
#ifdef RNTEST_EMULATED /* qemu does not tell */
    return ln != NULL;
#else
    rn_listener_stats stats;

    CHECK_OK(rn_get_listener_stats(ln, &stats));
    return stats.queued > stats.queue_limit;
#endif
}

/* False: another test has that port. On a slow machine a dial may run out of time while there is
 * room. */
static bool be_silent_at(struct silent *s, const char *host, unsigned port)
{
    char address[64];
    int r;

    snprintf(address, sizeof address, "%s:%u", host, port);
    r = rn_listen("tcp", address, &(rn_listen_options){.backlog = 1}, &s->ln);
    if (r == -EADDRINUSE && port != 0)
        return false;
    CHECK_OK(r);
    snprintf(address, sizeof address, "%s:%u", host, port_of(s->ln));
    s->n = 0;
    r = 0;
    for (int tries = 0; s->n < 8 && tries < 100 && (r == 0 || !is_full(s->ln)); tries++) {
        r = rn_dial("tcp", address, &(rn_dial_options){.deadline = rn_after(100 * RN_MILLISECOND)},
                    &s->queued[s->n]);
        s->n += r == 0;
    }
    CHECK_EQ(r, -ETIME);
    return true;
}

static void be_silent(struct silent *s, const char *host)
{
    if (*host == '[')
        rntest_need_ipv6();
    CHECK(be_silent_at(s, host, 0));
}

static void end_silence(struct silent *s)
{
    while (s->n > 0)
        rn_close(s->queued[--s->n]);
    rn_listener_close(s->ln);
}

static unsigned free_port(void)
{
    rn_listener *ln;
    unsigned port;

    CHECK_OK(rn_listen("tcp", ":0", NULL, &ln));
    port = port_of(ln);
    rn_listener_close(ln);
    return port;
}

/* On 127.0.0.1 and the port of `s`, which is silent on [::1]. */
static rn_listener *answer_beside(struct silent *s)
{
    for (;;) {
        char address[64];
        rn_listener *ln;
        int r;

        be_silent(s, "[::1]");
        snprintf(address, sizeof address, "127.0.0.1:%u", port_of(s->ln));
        r = rn_listen("tcp", address, NULL, &ln);
        if (r == 0)
            return ln;
        CHECK_EQ(r, -EADDRINUSE); /* by another test */
        end_silence(s);
    }
}

/* On [::1] and on 127.0.0.1, at one port. */
static void be_silent_on_both(struct silent *six, struct silent *four)
{
    be_silent(six, "[::1]");
    while (!be_silent_at(four, "127.0.0.1", port_of(six->ln))) {
        end_silence(six);
        be_silent(six, "[::1]");
    }
}

/* ---- several addresses ---- */

RN_CORO_TEST(an_address_that_does_not_answer_delays_the_dial_but_does_not_stop_it)
{
    rn_time delays[] = {0, 30 * RN_MILLISECOND, 1};
    int fds = rntest_count_fds();
    struct silent s;
    rn_listener *ln = answer_beside(&s);

    KNOW("::1", "127.0.0.1");
    for (int i = 0; i < 3; i++) {
        rn_dial_options o = {.fallback_delay_ns = delays[i]};
        rn_time start = rn_now();
        rn_conn *c;

        CHECK_OK(dial_many(port_of(ln), &o, &c));
        CHECK(rn_now() - start >= (i == 0 ? 250 * RN_MILLISECOND : delays[i]));
        check_peer(c, "127.0.0.1:");
        CHECK_EQ(rn_write(c, "x", 1), 1); /* without the dial's deadline or cancel */
        rn_close(c);
    }
    rn_listener_close(ln);
    end_silence(&s);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* With a delay that outlasts the test. */
RN_CORO_TEST(an_address_that_refuses_is_followed_by_the_next_at_once)
{
    rn_dial_options o = {.fallback_delay_ns = 3600 * RN_SECOND};
    rn_listener *ln;
    rn_conn *c;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    KNOW("::1", "127.0.0.2", "127.0.0.3", "127.0.0.1");
    CHECK_OK(dial_many(port_of(ln), &o, &c));
    check_peer(c, "127.0.0.1:");
    rn_close(c);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_refusal_in_the_race_starts_the_next_attempt_at_once)
{
    rn_dial_options o = {.fallback_delay_ns = 2 * RN_SECOND};
    struct silent s;
    rn_listener *ln = answer_beside(&s);
    rn_conn *c;

    /* 8 waits of 2 s would outlast the test; there is one. */
    KNOW("::1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7",
         "127.0.0.8", "127.0.0.9", "127.0.0.10", "127.0.0.11", "127.0.0.12", "127.0.0.1");
    CHECK_OK(dial_many(port_of(ln), &o, &c));
    check_peer(c, "127.0.0.1:");
    rn_close(c);
    rn_listener_close(ln);
    end_silence(&s);
}

/* Makes room in a queue that is full: the next SYN that is sent again is answered. */
static int make_room(void *arg)
{
    struct silent *s = arg;

    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    for (int left = s->n; left > 0; left--) {
        rn_conn *accepted;

        CHECK_OK(rn_accept(s->ln, &accepted));
        rn_close(accepted);
    }
    return 0;
}

RN_CORO_TEST(an_address_that_answers_late_is_still_in_the_race)
{
    rn_dial_options o = {.fallback_delay_ns = RN_MILLISECOND};
    rn_group g = {0};
    struct silent s;
    rn_conn *c;

    be_silent(&s, "[::1]");
    KNOW("::1", "127.0.0.2"); /* the second refuses */
    CHECK_OK(rn_group_go(&g, make_room, &s));
    CHECK_OK(dial_many(port_of(s.ln), &o, &c));
    check_peer(c, "[::1]:");
    rn_close(c);
    CHECK_OK(rn_group_wait(&g, 0));
    end_silence(&s);
}

RN_CORO_TEST(families_take_turns_beginning_with_the_first)
{
    static const char *const order[] = {"127.0.0.2", "[::1]", "127.0.0.3", "127.0.0.4"};
    unsigned port = free_port();
    rn_conn *c;

    rntest_need_ipv6();
    /* Each attempt but the i-th is refused without reaching the kernel. */
    KNOW("127.0.0.2", "127.0.0.3", "127.0.0.4", "::1");
    for (int i = 0; i < 4; i++) {
        char address[64];
        rn_listener *ln;

        snprintf(address, sizeof address, "%s:%u", order[i], port);
        CHECK_OK(rn_listen("tcp", address, NULL, &ln));
        if (i > 0)
            CHECK_OK(rn__sys_fail("connect", ENETUNREACH, 1, (unsigned)i));
        CHECK_OK(dial_many(port, NULL, &c));
        rn__sys_clear();
        check_peer(c, order[i]);
        rn_close(c);
        rn_listener_close(ln);
    }
}

RN_CORO_TEST(where_all_fail_the_error_is_of_the_address_tried_first)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, so nobody else's */
    unsigned port;
    rn_conn *c = NULL;

    CHECK_OK(bind(fd, (struct sockaddr *)&at, sizeof at));
    CHECK_OK(getsockname(fd, (struct sockaddr *)&at, &len));
    port = ntohs(at.sin_port);
    KNOW("127.0.0.2", "127.0.0.3", "127.0.0.4");
    CHECK_OK(rn__sys_fail("connect", ENETUNREACH, 2, 1));
    CHECK_EQ(dial_many(port, NULL, &c), -ECONNREFUSED);
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("connect", EHOSTUNREACH, 1, 1));
    CHECK_EQ(dial_many(port, NULL, &c), -EHOSTUNREACH);
    CHECK_OK(rn__sys_fail("connect", EHOSTUNREACH, 1, 1));
    CHECK_EQ(dial_many(port, &(rn_dial_options){.fallback_delay_ns = -1}, &c), -EHOSTUNREACH);
    rn__sys_clear();
    CHECK(c == NULL);
    close(fd);
}

RN_CORO_TEST(a_deadline_ends_the_race_and_closes_all_attempts)
{
    int fds = rntest_count_fds();
    struct silent s, t;
    rn_conn *c = NULL;
    rn_time until;

    be_silent_on_both(&s, &t);
    KNOW("::1", "127.0.0.1");
    until = rn_after(50 * RN_MILLISECOND);
    CHECK_EQ(dial_many(port_of(s.ln),
                       &(rn_dial_options){.deadline = until, .fallback_delay_ns = RN_MILLISECOND},
                       &c),
             -ETIME);
    CHECK(rn_now() >= until);
    CHECK_EQ(dial_many(port_of(s.ln), &(rn_dial_options){.deadline = 1}, &c), -ETIME);
    /* Sooner than the delay. */
    CHECK_EQ(dial_many(port_of(s.ln), &(rn_dial_options){.deadline = rn_after(RN_MILLISECOND)}, &c),
             -ETIME);
    CHECK(c == NULL);
    end_silence(&s);
    end_silence(&t);
    CHECK_EQ(rntest_count_fds(), fds);
}

struct cancelled {
    unsigned port;
    rn_time delay;
    int result;
};

static int dial_until_cancelled(void *arg)
{
    struct cancelled *x = arg;
    rn_conn *c;

    x->result = dial_many(x->port, &(rn_dial_options){.fallback_delay_ns = x->delay}, &c);
    return 0;
}

RN_CORO_TEST(a_cancel_ends_the_race_and_closes_all_attempts)
{
    int fds = rntest_count_fds();
    struct silent s, t;

    be_silent_on_both(&s, &t);
    KNOW("::1", "127.0.0.1");
    for (int i = 0; i < 20; i++) {
        struct cancelled x = {.port = port_of(s.ln), .delay = i % 2 ? 1 : RN_SECOND};
        rn_group g = {0};

        CHECK_OK(rn_group_go(&g, dial_until_cancelled, &x));
        CHECK_OK(rn_sleep(i * RN_MILLISECOND / 2));
        rn_group_cancel(&g);
        CHECK_OK(rn_group_wait(&g, 0));
        CHECK_EQ(x.result, -ECANCELED);
    }
    end_silence(&s);
    end_silence(&t);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* All answer at the same time: one wins, and nothing is left of the others. */
static int race_of_equals(void *arg)
{
    unsigned port = *(unsigned *)arg;

    for (int i = 0; i < 100; i++) {
        rn_conn *c;

        CHECK_OK(dial_many(port, &(rn_dial_options){.fallback_delay_ns = 1}, &c));
        rn_close(c);
    }
    return 0;
}

static void close_it(rn_conn *conn, void *arg)
{
    char byte;

    (void)arg;
    while (rn_read(conn, &byte, 1) > 0)
        ;
    rn_close(conn);
}

static int serve_all(void *arg)
{
    return rn_serve_listener(arg, NULL, close_it, NULL) == -ECANCELED ? 0 : -EIO;
}

RN_CORO_TEST(of_several_that_answer_one_wins_and_the_others_are_closed)
{
    int fds = rntest_count_fds();
    rn_group server = {0}, dialers = {0};
    rn_listener *ln;
    unsigned port;

    CHECK_OK(rn_listen("tcp", ":0", NULL, &ln));
    port = port_of(ln);
    KNOW("::1", "127.0.0.1", "127.0.0.2", "127.0.0.3");
    CHECK_OK(rn_group_go(&server, serve_all, ln));
    for (int i = 0; i < 4; i++)
        CHECK_OK(rn_group_go(&dialers, race_of_equals, &port));
    CHECK_OK(rn_group_wait(&dialers, 0));
    rn_listener_cancel(ln);
    CHECK_OK(rn_group_wait(&server, 0));
    rn_listener_close(ln);
    CHECK_EQ(rntest_count_fds(), fds);
}

RN_CORO_TEST_ON(a_race_without_memory_fails_and_leaves_nothing_open, 1)
{
    struct silent s;
    rn_listener *ln = answer_beside(&s);
    rn_conn *c = NULL;
    int fds, failed = 0;

    KNOW("::1", "127.0.0.1");
    CHECK_OK(dial_many(port_of(ln), &(rn_dial_options){.fallback_delay_ns = 1}, &c));
    rn_close(c);
    fds = rntest_count_fds();
    for (unsigned nth = 1; nth <= 8; nth++) {
        int r;

        c = NULL;
        rn__mem_fail(nth, 1);
        /* Where the attempt that would win fails, only the silent one is left. */
        r = dial_many(
            port_of(ln),
            &(rn_dial_options){.fallback_delay_ns = 1, .deadline = rn_after(100 * RN_MILLISECOND)},
            &c);
        rn__mem_fail(0, 0);
        CHECK(r == 0 ? c != NULL : (r == -ENOMEM || r == -ETIME) && c == NULL);
        failed += r < 0;
        rn_close(c);
        CHECK_EQ(rntest_count_fds(), fds);
    }
    CHECK(failed > 0);
    rn_listener_close(ln);
    end_silence(&s);
}

/* One address at a time; one that is silent gets a share of the time, not all of it. */
RN_CORO_TEST(without_fallback_delay_each_address_has_its_share_of_the_time)
{
    rn_dial_options o = {.fallback_delay_ns = -1};
    struct silent s;
    rn_listener *ln = answer_beside(&s);
    rn_conn *c;

    KNOW("::1", "127.0.0.1");
    o.deadline = rn_after(8 * RN_SECOND);
    CHECK_OK(dial_many(port_of(ln), &o, &c)); /* after 4 s */
    check_peer(c, "127.0.0.1:");
    rn_close(c);
    rn_listener_close(ln);
    end_silence(&s);
}

RN_CORO_TEST(localhost_reaches_whichever_family_listens)
{
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0"};

    rntest_need_ipv6();
    for (int i = 0; i < 2; i++) {
        char address[64];
        rn_listener *ln;
        rn_conn *c;
        rn_ip ips[4];
        int r;

        CHECK_OK(rn_listen("tcp", hosts[i], NULL, &ln));
        snprintf(address, sizeof address, "localhost:%u", port_of(ln));
        r = rn_lookup_host("localhost", &(rn_lookup_options){.family = i == 0 ? 4 : 6}, ips, 4);
        if (r > 0) {
            CHECK_OK(rn_dial("tcp", address, NULL, &c));
            check_peer(c, i == 0 ? "127.0.0.1:" : "[::1]:");
            rn_close(c);
        }
        rn_listener_close(ln);
    }
}

/* ---- what can go wrong with a connect ---- */

/* The kernel gives up after one more SYN (1 s), and waits for its answer (2 s). */
RN_CORO_TEST(the_kernels_own_time_limit_is_told_apart_from_a_deadline)
{
    char address[64];
    struct silent s;
    rn_conn *c;
    int r;

    be_silent(&s, "127.0.0.1");
    snprintf(address, sizeof address, "127.0.0.1:%u", port_of(s.ln));
    r = rn_dial("tcp", address, &(rn_dial_options){.syn_retries = 1}, &c);
    CHECK_EQ(r, -ETIMEDOUT);
    CHECK(rn_is_timeout(r));
    CHECK_EQ(rn_dial("tcp", address, &(rn_dial_options){.syn_retries = 128}, &c), -EINVAL);
    CHECK_EQ(rn_dial("tcp", address, &(rn_dial_options){.syn_retries = -1}, &c), -EINVAL);
    end_silence(&s);
}

static int dial_unreachable(void *arg)
{
    rn_conn *c;

    (void)arg;
    CHECK_EQ(rn_dial("tcp", "192.0.2.1:80", NULL, &c), -ENETUNREACH);
    return 0;
}

RN_TEST(a_network_without_a_route_is_unreachable)
{
    rntest_new_network();
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, dial_unreachable, NULL), 0);
}

static atomic_int told;

static void note_line(void *arg, const char *line)
{
    (void)arg;
    if (strstr(line, "no local port is free") != NULL && strstr(line, "127.0.0.1:80") != NULL)
        atomic_fetch_add(&told, 1);
}

static int use_up_ports(void *arg)
{
    rn_conn *c[8];
    rn_listener *ln;
    int n = 0, r = 0;

    (void)arg;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:80", NULL, &ln));
    while (n < 8 && r == 0) {
        r = rn_dial("tcp", "127.0.0.1:80", NULL, &c[n]);
        n += r == 0;
    }
    CHECK_EQ(r, -EADDRNOTAVAIL);
    CHECK_EQ(n, 4);
    CHECK_EQ(atomic_load(&told), 1);
    CHECK(strstr(rn_strerror(r), "no local port is free") != NULL);
    /* No such address on this machine is another matter, and is not told as this one. */
    CHECK_EQ(rn_dial("tcp", "127.0.0.1:80", &(rn_dial_options){.local = "192.0.2.1:0"}, &c[7]),
             -EADDRNOTAVAIL);
    CHECK_EQ(atomic_load(&told), 1);
    while (n > 0)
        rn_close(c[--n]);
    rn_listener_close(ln);
    return 0;
}

RN_TEST(running_out_of_local_ports_is_told_with_the_address)
{
    rntest_new_network();
    rntest_loopback_up();
    rntest_write_sysctl("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003\n");
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1, .log = note_line}, use_up_ports, NULL), 0);
}

/* Field incident: a client that binds to an address, and leaves the port to the kernel, has one
 * connection for each port. With IP_BIND_ADDRESS_NO_PORT a port is used again towards another
 * destination: 100 connections from 64 ports. */
static int share_ports(void *arg)
{
    static const char *const to[] = {"127.0.0.1:80", "127.0.0.1:81"};
    rn_dial_options from = {.local = "127.0.0.2:0"};
    rn_listener *ln[2];
    rn_conn *c[100];
    char address[128];

    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_OK(rn_listen("tcp", to[i], NULL, &ln[i]));
    for (int i = 0; i < 100; i++) {
        CHECK_OK(rn_dial("tcp", to[i % 2], &from, &c[i]));
        CHECK_OK(rn_local_addr(c[i], address, sizeof address));
        CHECK(strncmp(address, "127.0.0.2:400", 13) == 0);
    }
    for (int i = 0; i < 100; i++)
        rn_close(c[i]);
    for (int i = 0; i < 2; i++)
        rn_listener_close(ln[i]);
    return 0;
}

RN_TEST(a_local_address_does_not_use_up_a_port_for_each_dial)
{
    rntest_new_network();
    rntest_loopback_up();
    rntest_write_sysctl("/proc/sys/net/ipv4/ip_local_port_range", "40000 40063\n");
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, share_ports, NULL), 0);
}
