/*
 * test_net.c - listening, accepting, dialling
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "net/net.h"
#include "rntest_coro.h"

/* ---- addresses and listening ---- */

RN_CORO_TEST(malformed_addresses_and_networks_are_refused)
{
    static const char *const bad[] = {"",        "80",    "127.0.0.1", "::1:80",      "[::1]80",
                                      "[::1:80", ":",     ":x",        ":65536",      ":-1",
                                      ":80 ",    ":0x50", "[::1]:",    "1.2.3.4:5:6", "]:80"};
    rn_listener *ln = NULL;
    rn_conn *c = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(rn_listen("tcp", bad[i], NULL, &ln), -RN_EADDRESS);
        CHECK_EQ(rn_dial("tcp", bad[i], NULL, &c), -RN_EADDRESS);
    }
    CHECK_EQ(rn_listen("tcp", NULL, NULL, &ln), -RN_EADDRESS);
    CHECK_EQ(rn_listen("unix", "", NULL, &ln), -RN_EADDRESS);
    CHECK_EQ(rn_listen("udp", ":0", NULL, &ln), -RN_ENETWORK);
    CHECK_EQ(rn_dial(NULL, ":0", NULL, &c), -RN_ENETWORK);
    CHECK_EQ(rn_listen("tcp4", "[::1]:0", NULL, &ln), -RN_ENOHOST);
    CHECK_EQ(rn_dial("tcp", "1.2.3:80", NULL, &c), -RN_ENOHOST);
    CHECK_EQ(rn_listen("tcp", ":0", &(rn_listen_options){.reserved = {1}}, &ln), -EINVAL);
    CHECK_EQ(rn_dial("tcp", ":1", &(rn_dial_options){.reserved = {1}}, &c), -EINVAL);
    CHECK(ln == NULL && c == NULL);
}

RN_CORO_TEST(a_unix_path_may_fill_the_address_and_no_more)
{
    char path[120];
    rn_listener *ln;

    memset(path, 'x', sizeof path);
    memcpy(path, "/tmp/", 5);
    path[107] = '\0';
    snprintf(path + 5, 12, "%010d", getpid()); /* two pollers' runs at once */
    path[15] = 'x';
    unlink(path);
    CHECK_OK(rn_listen("unix", path, NULL, &ln));
    rn_listener_close(ln);
    CHECK_EQ(access(path, F_OK), -1); /* removed with the listener */
    path[107] = 'x';
    path[108] = '\0';
    CHECK_EQ(rn_listen("unix", path, NULL, &ln), -RN_EADDRESS);
}

RN_CORO_TEST(a_port_in_use_is_told_as_the_kernel_says)
{
    rn_listener *ln, *other;
    char address[128];

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK(rn_listener_fd(ln) > 2);
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_EQ(rn_listen("tcp", address, NULL, &other), -EADDRINUSE);
    CHECK_EQ(rn_listen("tcp", "192.0.2.99:0", NULL, &other), -EADDRNOTAVAIL);
    rn_listener_close(ln);
    CHECK_OK(rn_listen("tcp", address, NULL, &ln)); /* free again at once */
    rn_listener_close(ln);
}

RN_CORO_TEST(an_empty_host_listens_on_both_families)
{
    rn_listener *ln;
    rn_conn *c, *d;
    char address[128], dial[140];
    const char *port;

    rntest_need_ipv6();
    CHECK_OK(rn_listen("tcp", ":0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    port = strrchr(address, ':');
    for (int i = 0; i < 4; i++) {
        static const char *const hosts[] = {"127.0.0.1", "[::1]", "", "localhost"};

        snprintf(dial, sizeof dial, "%s%s", hosts[i], port);
        CHECK_OK(rn_dial("tcp", dial, NULL, &c));
        CHECK_OK(rn_accept(ln, &d));
        rn_close(c);
        rn_close(d);
    }
    snprintf(dial, sizeof dial, "127.0.0.1%s", port);
    CHECK(rn_dial("tcp6", dial, NULL, &c) < 0);
    rn_listener_close(ln);
}

RN_CORO_TEST_ON(failures_of_listen_leave_nothing_open, 1)
{
    static const char *const calls[] = {"socket", "setsockopt", "bind", "listen"};
    int fds = rntest_count_fds();
    rn_listener *ln = NULL;

    for (int i = 0; i < 4; i++) {
        CHECK_OK(rn__sys_fail(calls[i], EACCES, 1, 1));
        CHECK_EQ(rn_listen("tcp", "127.0.0.1:0", NULL, &ln), -EACCES);
        rn__sys_clear();
    }
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_listen("tcp", "127.0.0.1:0", NULL, &ln), -ENOMEM);
    rn__mem_fail(2, 1);
    CHECK_EQ(rn_listen("unix", "/tmp/rntest-never", NULL, &ln), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK(ln == NULL);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* ---- dialling ---- */

static void free_port(char address[128])
{
    rn_listener *ln;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, 128));
    rn_listener_close(ln);
}

RN_CORO_TEST(dialling_where_nobody_listens_is_refused)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, so nobody else's */
    char address[64];
    rn_conn *c;

    CHECK_OK(bind(fd, (struct sockaddr *)&at, sizeof at));
    CHECK_OK(getsockname(fd, (struct sockaddr *)&at, &len));
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(at.sin_port));
    CHECK_EQ(rn_dial("tcp", address, NULL, &c), -ECONNREFUSED);
    close(fd);
    CHECK_EQ(rn_dial("unix", "@rntest-nobody", NULL, &c), -ECONNREFUSED);
    CHECK_EQ(rn_dial("unix", "/tmp/rntest/no/such", NULL, &c), -ENOENT);
}

RN_CORO_TEST(a_dial_that_meets_itself_is_refused)
{
    char address[128];
    rn_conn *c;
    int r = -EADDRINUSE;

    for (int tries = 0; tries < 10 && r == -EADDRINUSE; tries++) { /* tests run side by side */
        free_port(address);
        r = rn_dial("tcp", address, &(rn_dial_options){.local = address}, &c);
    }
    CHECK_EQ(r, -ECONNREFUSED);
}

RN_CORO_TEST(a_dial_can_leave_from_a_given_address)
{
    rn_listener *ln;
    rn_conn *c, *d;
    char address[128];

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, &(rn_dial_options){.local = "127.0.0.7:0"}, &c));
    CHECK_OK(rn_accept(ln, &d));
    CHECK_OK(rn_remote_addr(d, address, sizeof address));
    CHECK(strncmp(address, "127.0.0.7:", 10) == 0);
    CHECK_EQ(rn_dial("tcp", address, &(rn_dial_options){.local = "[::1]:0"}, &c), -EAFNOSUPPORT);
    rn_close(c);
    rn_close(d);
    rn_listener_close(ln);
}

/* A listener whose queue is full answers no SYN: the dial waits, and its deadline ends it. */
RN_CORO_TEST(a_dial_ends_at_its_deadline)
{
    rn_listener *ln;
    rn_conn *queued[8], *c;
    char address[128];
    int n = 0, r = 0;
    rn_time until;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.backlog = 1}, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    while (r == 0 && n < 8) {
        until = rn_after(100 * RN_MILLISECOND);
        r = rn_dial("tcp", address, &(rn_dial_options){.deadline = until}, &queued[n]);
        n += r == 0;
    }
    CHECK_EQ(r, -ETIME);
    CHECK(rn_now() >= until);
    CHECK_EQ(rn_dial("tcp", address, &(rn_dial_options){.deadline = 1}, &c), -ETIME);
    while (n > 0)
        rn_close(queued[--n]);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_dial_to_a_full_unix_backlog_waits_for_room)
{
    rn_listener *ln;
    rn_conn *queued[8], *c;
    char address[64];
    int n = 0, r = 0;

    snprintf(address, sizeof address, "@rntest-full-%d", getpid());
    CHECK_OK(rn_listen("unix", address, &(rn_listen_options){.backlog = 1}, &ln));
    while (n < 8 && (r == 0 || n < 2)) { /* two fit; a dial may be too late to be one of them */
        r = rn_dial("unix", address, &(rn_dial_options){.deadline = rn_after(30 * RN_MILLISECOND)},
                    &queued[n]);
        n += r == 0;
    }
    CHECK_EQ(r, -ETIME);
    CHECK_OK(rn_accept(ln, &c));
    rn_close(c);
    CHECK_OK(rn_dial("unix", address, NULL, &c));
    rn_close(c);
    while (n > 0)
        rn_close(queued[--n]);
    rn_listener_close(ln);
}

RN_CORO_TEST(failures_of_dial_leave_nothing_open)
{
    static const char *const calls[] = {"socket", "setsockopt", "connect", "getsockopt"};
    int fds = rntest_count_fds();
    rn_listener *ln;
    char address[128];
    rn_conn *c = NULL;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    for (int i = 0; i < 3; i++) {
        CHECK_OK(rn__sys_fail(calls[i], ENETUNREACH, 1, 1));
        CHECK_EQ(rn_dial("tcp", address, NULL, &c), -ENETUNREACH);
        rn__sys_clear();
    }
    CHECK_OK(rn__sys_fail("connect", EINTR, 1, 1)); /* never reached the kernel: not connected */
    CHECK_EQ(rn_dial("tcp", address, &(rn_dial_options){.deadline = rn_after(RN_SECOND / 20)}, &c),
             -ETIME);
    rn__sys_clear();
    CHECK(c == NULL);
    rn_listener_close(ln);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* ---- accepting ---- */

struct acceptor {
    rn_listener *ln;
    int result;
    rn_conn *conn;
    rn_waitgroup done;
};

static void accept_one(void *arg)
{
    struct acceptor *a = arg;

    a->result = rn_accept(a->ln, &a->conn);
    rn_waitgroup_done(&a->done);
}

static void start_acceptor(struct acceptor *a, rn_listener *ln, int proc)
{
    memset(a, 0, sizeof *a);
    a->ln = ln;
    rn_waitgroup_add(&a->done, 1);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, accept_one, a));
}

RN_CORO_TEST(cancel_and_close_of_a_listener_wake_its_acceptors)
{
    for (int how = 0; how < 2; how++) {
        struct acceptor a[6];
        rn_listener *ln;
        rn_conn *c;

        CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
        for (int i = 0; i < 6; i++)
            start_acceptor(&a[i], ln, 1 + i % 2);
        rntest_until_all_wait();
        if (how == 0) {
            rn_listener_cancel(ln);
            rn_listener_cancel(ln);
            CHECK_EQ(rn_accept(ln, &c), -ECANCELED);
        } else {
            rn_listener_close(ln);
        }
        for (int i = 0; i < 6; i++) {
            CHECK_OK(rn_waitgroup_wait(&a[i].done));
            CHECK_EQ(a[i].result, -ECANCELED);
        }
        if (how == 0)
            rn_listener_close(ln);
    }
}

RN_CORO_TEST_ON(a_port_at_rest_is_gone_with_its_listener, 1)
{
    struct acceptor a;
    char address[64];
    rn_listener *ln;
    rn_conn *c;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    start_acceptor(&a, ln, 1);
    rn_yield(); /* it waits */
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    CHECK_OK(rn_waitgroup_wait(&a.done)); /* nobody is left at the port */
    rn_close(a.conn);
    rn_close(c);
    rn_listener_close(ln);
    CHECK_OK(rn_sleep(RN_MILLISECOND)); /* what is under way to the port arrives */
}

RN_CORO_TEST(several_acceptors_on_several_procs_each_get_theirs)
{
    struct acceptor a[8];
    rn_conn *c[8];
    rn_listener *ln;
    char address[128];

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    for (int i = 0; i < 8; i++)
        start_acceptor(&a[i], ln, 1 + i % 2);
    rntest_until_all_wait();
    for (int i = 0; i < 8; i++)
        CHECK_OK(rn_dial("tcp", address, NULL, &c[i]));
    for (int i = 0; i < 8; i++) {
        CHECK_OK(rn_waitgroup_wait(&a[i].done));
        CHECK_OK(a[i].result);
        rn_close(a[i].conn);
        rn_close(c[i]);
    }
    rn_listener_close(ln);
}

static char logged[4096];
static atomic_int lines;

static void log_to_memory(void *arg, const char *line)
{
    (void)arg;
    strncat(logged, line, sizeof logged - strlen(logged) - 2);
    strcat(logged, "\n");
    atomic_fetch_add(&lines, 1);
}

/* What it logs, without what the watchdog would say of a machine that pauses. */
static int run_logged(int (*fn)(void *))
{
    return rn_run(&(rn_run_options){.procs = 2, .log = log_to_memory, .watchdog_ns = -1}, fn, NULL);
}

static int accept_with_errors(void *arg)
{
    static const int skipped[] = {ECONNABORTED, EPROTO,       ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
                                  ENONET,       EHOSTUNREACH, ENETUNREACH, EPERM,       EINTR};
    static const int backed_off[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    rn_listener *ln;
    rn_conn *c, *d;
    char address[128];

    (void)arg;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++) {
        CHECK_OK(rn_dial("tcp", address, NULL, &c));
        CHECK_OK(rn__sys_fail("accept4", skipped[i], 1, 3));
        CHECK_OK(rn_accept(ln, &d));
        rn__sys_clear();
        rn_close(c);
        rn_close(d);
    }
    CHECK_STR(logged, "");
    for (size_t i = 0; i < sizeof backed_off / sizeof backed_off[0]; i++) {
        rn_time start = rn_now();

        CHECK_OK(rn_dial("tcp", address, NULL, &c));
        CHECK_OK(rn__sys_fail("accept4", backed_off[i], 1, 3));
        CHECK_OK(rn_accept(ln, &d));
        CHECK(rn_now() - start >= (5 + 10 + 20) * RN_MILLISECOND);
        CHECK(strstr(logged, rn_strerror(-backed_off[i])) != NULL);
        CHECK(strchr(logged, '\n') == strrchr(logged, '\n')); /* once for the episode */
        logged[0] = '\0';
        rn__sys_clear();
        rn_close(c);
        rn_close(d);
    }
    CHECK_OK(rn__sys_fail("accept4", EINVAL, 1, 1));
    CHECK_EQ(rn_accept(ln, &d), -EINVAL);
    rn__sys_clear();
    rn_listener_close(ln);
    return 0;
}

RN_TEST(errors_of_accept_are_skipped_backed_off_or_fatal)
{
    CHECK_EQ(run_logged(accept_with_errors), 0);
}

/* Field incident: out of descriptors, an edge-triggered listener stalls, a level-triggered one
 * spins. Here: little CPU while it lasts, and recovery by itself, with no new connection. */
static int run_out_of_fds(void *arg)
{
    struct rlimit old, low;
    struct acceptor a;
    rn_listener *ln;
    rn_conn *c;
    char address[128];
    clock_t cpu;

    (void)arg;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)rn_conn_fd(c) + 1;
    while (dup(0) >= 0 && rntest_count_fds() < 200) /* no holes below */
        low.rlim_cur = 200;
    low.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    cpu = clock();
    start_acceptor(&a, ln, 1);
    CHECK_OK(rn_sleep(300 * RN_MILLISECOND));
    CHECK(clock() - cpu < CLOCKS_PER_SEC / 10); /* 5 %, and room for a busy machine */
    CHECK(strstr(logged, rn_strerror(-EMFILE)) != NULL);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_OK(rn_waitgroup_wait(&a.done));
    CHECK_OK(a.result);
    rn_close(a.conn);
    rn_close(c);
    rn_listener_close(ln);
    return 0;
}

RN_TEST(out_of_descriptors_accept_neither_spins_nor_stalls)
{
    if (rntest_on_valgrind())
        RN_TEST_SKIP("valgrind keeps the descriptor limit to itself");
    CHECK_EQ(run_logged(run_out_of_fds), 0);
}

/* One descriptor that becomes free is enough, and the log has said it once. */
static int close_one(void *arg)
{
    struct rlimit old, low;
    struct acceptor a;
    rn_listener *ln;
    rn_conn *c;
    char address[128];
    int held[256], n = 0;

    (void)arg;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = 128;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 256 && (held[n] = dup(rn_conn_fd(c))) >= 0)
        n++;
    CHECK(n > 0 && n < 256);
    start_acceptor(&a, ln, 1);
    while (atomic_load(&lines) == 0)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    close(held[--n]);
    CHECK_OK(rn_waitgroup_wait(&a.done));
    CHECK_OK(a.result);
    CHECK(strstr(logged, rn_strerror(-EMFILE)) != NULL);
    CHECK_EQ(atomic_load(&lines), 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    while (n > 0)
        close(held[--n]);
    rn_close(a.conn);
    rn_close(c);
    rn_listener_close(ln);
    return 0;
}

RN_TEST(one_descriptor_that_is_closed_lets_accept_go_on)
{
    if (rntest_on_valgrind())
        RN_TEST_SKIP("valgrind keeps the descriptor limit to itself");
    CHECK_EQ(run_logged(close_one), 0);
}

/* By a field that is its P's: which one it is does not matter. */
static __attribute__((noinline, no_sanitize_thread)) bool backs_off(rn_listener *ln, int proc)
{
    struct rn__iowait *w = atomic_load(&ln->ports[proc - 1].w);

    return w != NULL && *(volatile bool *)&w->unarmed;
}

static int accept_until_cancelled(void *arg)
{
    rn_conn *c;
    int r = rn_accept(arg, &c);

    if (r == 0)
        rn_close(c);
    return r;
}

struct on_proc {
    rn_listener *ln;
    rn_group group;
    rn_waitgroup begun;
    int result;
};

static int accept_alone(void *arg)
{
    struct on_proc *a = arg;

    rn_waitgroup_done(&a->begun);
    a->result = accept_until_cancelled(a->ln);
    return 0;
}

static void accept_in_group(void *arg)
{
    struct on_proc *a = arg;

    CHECK_OK(rn_group_go(&a->group, accept_alone, a));
    (void)rn_group_wait(&a->group, 0);
    rn_waitgroup_done(&a->begun);
}

/* Who has the edge is out of descriptors, and gives up: it is the other one's to hear of. */
RN_CORO_TEST_ON(an_acceptor_that_gives_up_while_it_backs_off_tells_the_others, 3)
{
    struct on_proc a[2] = {{.result = 0}, {.result = 0}};
    char address[128];
    rn_listener *ln;
    rn_conn *c;
    int who;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    for (int i = 0; i < 2; i++) {
        a[i].ln = ln;
        rn_waitgroup_add(&a[i].begun, 2);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = i + 2}, accept_in_group, &a[i]));
    }
    rntest_until_all_wait();
    CHECK_OK(rn__sys_fail("accept4", EMFILE, 1, 1000));
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    while (!backs_off(ln, 2) && !backs_off(ln, 3))
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    who = backs_off(ln, 2) ? 0 : 1;
    rn__sys_clear();
    rn_group_cancel(&a[who].group);
    CHECK_OK(rn_waitgroup_wait(&a[who].begun));
    if (a[who].result < 0) /* else the timer was faster */
        CHECK_OK(rn_waitgroup_wait(&a[1 - who].begun));
    rn_listener_close(ln);
    CHECK_OK(rn_waitgroup_wait(&a[1 - who].begun));
    rn_close(c);
}

static int leave_listeners_open(void *arg)
{
    rn_listener *ln[2];
    rn_conn *c, *d;
    char address[128];

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln[0]));
    CHECK_OK(rn_listen("unix", arg, NULL, &ln[1])); /* has no port */
    CHECK_OK(rn_listener_addr(ln[0], address, sizeof address));
    for (int i = 0; i < 2; i++) {
        struct acceptor a;

        start_acceptor(&a, ln[0], i + 1);
        CHECK_OK(rn_dial("tcp", address, NULL, &c));
        CHECK_OK(rn_waitgroup_wait(&a.done));
        CHECK_OK(a.result);
        d = a.conn;
        rn_close(c);
        rn_close(d);
    }
    return 0;
}

static void count_listener(rn_listener *ln, void *arg)
{
    (void)ln;
    ++*(int *)arg;
}

RN_TEST(a_listener_left_open_is_closed_once_by_the_end_of_the_run)
{
    int fds = rntest_count_fds(), known = 0;
    char path[64];
    uint64_t errors;

    snprintf(path, sizeof path, "/tmp/rntest-left-%d", getpid());
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, leave_listeners_open, path));
    errors = atomic_load(&rn__sys_shared_block()->rows[RN__SYS_close].errors);
    CHECK_EQ(errors, 0);
    CHECK_EQ(rntest_count_fds(), fds);
    CHECK_EQ(access(path, F_OK), -1);
    rn__listener_each(count_listener, &known);
    CHECK_EQ(known, 0);
}

#define QUEUED 300 /* with what accepts them, more than two chunks of slots */

RN_CORO_TEST(no_connection_is_lost_for_want_of_memory)
{
    rn_listener *ln;
    rn_conn *c[QUEUED], *d[QUEUED];
    char address[128];

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    for (int i = 0; i < QUEUED; i++)
        CHECK_OK(rn_dial("tcp", address, NULL, &c[i]));
    CHECK_OK(rn__sys_fail("mmap", ENOMEM, 1, 1)); /* the slots' next chunk */
    CHECK_OK(rn__sys_fail("mmap", EAGAIN, 2, 1)); /* the same, by the limit of locked memory */
    for (int i = 0; i < QUEUED; i++)
        CHECK_OK(rn_accept(ln, &d[i]));
    CHECK_EQ(rn__sys_hits(), 2);
    rn__sys_clear();
    for (int i = 0; i < QUEUED; i++) {
        rn_close(c[i]);
        rn_close(d[i]);
    }
    rn_listener_close(ln);
}
