/*
 * test_listener.c - a listener's queues, why one cannot be opened, and handing one over
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/sys.h"
#include "net/procfs.h"
#include "netns.h"
#include "rntest_coro.h"

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* A network of its own, with a loopback and counters that begin at 0; or the test is skipped. */
static void enter_namespace(void)
{
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        RN_TEST_SKIP("no network namespace may be made here");
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_OK(ioctl(fd, SIOCSIFFLAGS, &up));
    close(fd);
}

static rn_listener_stats stats_of(rn_listener *ln)
{
    rn_listener_stats s;

    CHECK_OK(rn_get_listener_stats(ln, &s));
    return s;
}

static struct sockaddr_in address_of(rn_listener *ln)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;

    CHECK_OK(getsockname(rn_listener_fd(ln), (struct sockaddr *)&at, &len));
    return at;
}

/* A connect that nobody waits for; `deaf`: it does not hear the answer. */
static int start_connect(rn_listener *ln, bool deaf)
{
    struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &none};
    struct sockaddr_in at = address_of(ln);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    if (deaf)
        CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    CHECK_EQ(connect(fd, (struct sockaddr *)&at, sizeof at), -1);
    CHECK_EQ(errno, EINPROGRESS);
    return fd;
}

/* ---- queues ---- */

RN_CORO_TEST(the_backlog_is_cut_to_somaxconn)
{
    rn_listener *ln;
    char text[16] = "";
    int fd = open("/proc/sys/net/core/somaxconn", O_RDONLY), most;

    rntest_need_ipv6();
    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    most = atoi(text);
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.backlog = 1 << 30}, &ln));
    CHECK_EQ(stats_of(ln).backlog_asked, 1 << 30);
    CHECK_EQ(stats_of(ln).backlog, most);
    CHECK_EQ(stats_of(ln).queue_limit, most);
    rn_listener_close(ln);
    CHECK_OK(rn_listen("tcp", "[::1]:0", &(rn_listen_options){.backlog = 3}, &ln));
    CHECK_EQ(stats_of(ln).backlog_asked, 3);
    CHECK_EQ(stats_of(ln).backlog, 3);
    rn_listener_close(ln);
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_EQ(stats_of(ln).backlog_asked, 4096);
    rn_listener_close(ln);
}

RN_CORO_TEST(a_unix_listener_knows_its_backlog)
{
    rn_listener *ln;
    char name[64];

    snprintf(name, sizeof name, "@test-backlog-%d", getpid());
    CHECK_OK(rn_listen("unix", name, &(rn_listen_options){.backlog = 7}, &ln));
    CHECK_EQ(stats_of(ln).backlog, 7);
    CHECK_EQ(stats_of(ln).queued, -1);
    rn_listener_close(ln);
    CHECK_OK(rn_listen("unix", name, &(rn_listen_options){.backlog = 1 << 30}, &ln));
    CHECK(stats_of(ln).backlog > 0 && stats_of(ln).backlog < 1 << 30);
    rn_listener_close(ln);
}

RN_CORO_TEST(the_queue_shows_who_waits_for_accept)
{
    char address[128];
    rn_listener *ln;
    rn_conn *a[3], *b;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_EQ(stats_of(ln).queued, 0);
    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_dial("tcp", address, NULL, &a[i]));
    while (stats_of(ln).queued < 3) /* the last step of a handshake is the listener's */
        rn_yield();
    CHECK_EQ(stats_of(ln).queued, 3);
    CHECK_OK(rn_accept(ln, &b));
    CHECK_EQ(stats_of(ln).queued, 2);
    rn_close(b);
    for (int i = 0; i < 3; i++)
        rn_close(a[i]);
    rn_listener_close(ln);
}

#define BACKLOG 3

static int fill_accept_queue(void *arg)
{
    char address[128];
    rn_conn *in[BACKLOG + 1], *b;
    int out[3];
    rn_listener *ln;

    (void)arg;
    CHECK_OK(rn_listen("tcp4", ":0", &(rn_listen_options){.backlog = BACKLOG}, &ln));
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(address_of(ln).sin_port));
    for (int i = 0; i < BACKLOG + 1; i++) {
        CHECK_OK(rn_dial("tcp", address, NULL, &in[i]));
        while (stats_of(ln).queued < i + 1)
            rn_yield();
    }
    CHECK_EQ(stats_of(ln).queue_limit, BACKLOG);
    CHECK_EQ(stats_of(ln).system_overflows, 0);
    for (int i = 0; i < 3; i++)
        out[i] = start_connect(ln, false);
    while (stats_of(ln).system_overflows < 3) /* or the test's time is up */
        rn_yield();
    CHECK_EQ(stats_of(ln).queued, BACKLOG + 1); /* the kernel lets in one more than it says */
    CHECK(stats_of(ln).system_drops >= 3);
    CHECK_EQ(stats_of(ln).syn_queue_drops, 0);
    for (int i = 0; i < BACKLOG + 1; i++) {
        CHECK_OK(rn_accept(ln, &b));
        rn_close(b);
        rn_close(in[i]);
    }
    for (int i = 0; i < 3; i++)
        close(out[i]);
    rn_listener_close(ln);
    return 0;
}

RN_TEST(a_full_accept_queue_is_seen_and_its_overflows_are_counted)
{
    enter_namespace();
    CHECK_EQ(rn_run(NULL, fill_accept_queue, NULL), 0);
}

/* Handshakes that end while the accept queue is full: begun before, when it was not, and held
 * back because the listener waits for their first data. Three more are there already. */
#define LATE 3

static int overflow_late(void *arg)
{
    rn_listen_options o = {.backlog = BACKLOG, .defer_accept_s = 30};
    bool reset = arg != NULL;
    char address[128], byte;
    rn_conn *in[BACKLOG], *late[LATE], *b;
    rn_listener *ln;

    CHECK_OK(rn_listen("tcp4", ":0", &o, &ln));
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(address_of(ln).sin_port));
    for (int i = 0; i < BACKLOG; i++) {
        CHECK_OK(rn_dial("tcp", address, NULL, &in[i]));
        CHECK_EQ(rn_write(in[i], "x", 1), 1);
        while (stats_of(ln).queued < i + 1)
            rn_yield();
    }
    for (int i = 0; i < LATE; i++)
        CHECK_OK(rn_dial("tcp", address, NULL, &late[i]));
    CHECK_EQ(stats_of(ln).queued, BACKLOG);
    for (int i = 0; i < LATE; i++) /* the first gets the last place */
        CHECK_EQ(rn_write(late[i], "x", 1), 1);
    while (stats_of(ln).system_overflows < LATE - 1)
        rn_yield();
    CHECK_EQ(stats_of(ln).queued, BACKLOG + 1);
    if (reset)
        for (int i = 1; i < LATE; i++)
            CHECK_EQ(rn_read(late[i], &byte, 1), -ECONNRESET);
    for (int i = 0; i < BACKLOG + (reset ? 1 : LATE); i++) { /* else they come when there is room */
        CHECK_OK(rn_accept(ln, &b));
        CHECK_EQ(rn_read(b, &byte, 1), 1);
        rn_close(b);
    }
    for (int i = 0; i < LATE; i++)
        rn_close(late[i]);
    for (int i = 0; i < BACKLOG; i++)
        rn_close(in[i]);
    rn_listener_close(ln);
    return 0;
}

static void enter_overflow(const char *abort_on_overflow)
{
#ifdef RNTEST_EMULATED
    RN_TEST_SKIP("qemu does not tell the accept queue");
#endif
    enter_namespace();
    write_file("/proc/sys/net/ipv4/tcp_abort_on_overflow", abort_on_overflow);
}

RN_TEST(who_does_not_fit_into_the_accept_queue_comes_later)
{
    enter_overflow("0");
    CHECK_EQ(rn_run(NULL, overflow_late, NULL), 0);
}

RN_TEST(who_does_not_fit_into_the_accept_queue_is_reset_where_that_is_asked_for)
{
    enter_overflow("1");
    CHECK_EQ(rn_run(NULL, overflow_late, &(int){1}), 0);
}

static int fill_syn_queue(void *arg)
{
    char address[128];
    int fds[BACKLOG + 2];
    rn_listener *ln;
    rn_conn *a;

    (void)arg;
    write_file("/proc/sys/net/ipv4/tcp_syncookies", "0");
    CHECK_OK(rn_listen("tcp4", ":0", &(rn_listen_options){.backlog = BACKLOG}, &ln));
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(address_of(ln).sin_port));
    for (int i = 0; i < BACKLOG + 2; i++)
        fds[i] = start_connect(ln, true);
    while (stats_of(ln).syn_queue_drops < 2)
        rn_yield();
    CHECK_EQ(stats_of(ln).queued, 0); /* they are half open: nobody could accept them */
    CHECK_EQ(stats_of(ln).system_overflows, 0);
    CHECK(stats_of(ln).system_drops >= 2);
    /* With cookies a connection needs no place in that queue. */
    CHECK_EQ(stats_of(ln).syn_cookies_sent, 0);
    write_file("/proc/sys/net/ipv4/tcp_syncookies", "1");
    CHECK_OK(rn_dial("tcp", address, NULL, &a));
    CHECK(stats_of(ln).syn_cookies_sent >= 1);
    rn_close(a);
    for (int i = 0; i < BACKLOG + 2; i++)
        close(fds[i]);
    rn_listener_close(ln);
    return 0;
}

RN_TEST(a_full_syn_queue_drops_what_comes_unless_there_are_cookies)
{
    enter_namespace();
    CHECK_EQ(rn_run(NULL, fill_syn_queue, NULL), 0);
}

RN_CORO_TEST(without_proc_a_listener_still_tells_of_its_queue)
{
    rn_listener_stats s = {.queued = 77};
    rn_listener *ln;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", &(rn_listen_options){.backlog = 5}, &ln));
    CHECK_OK(rn__sys_fail("openat", ENOENT, 1, 1));
    CHECK_OK(rn_get_listener_stats(ln, &s));
    CHECK_EQ(s.queue_limit, 5);
    CHECK_EQ(s.system_overflows, -1);
    CHECK_EQ(s.system_drops, -1);
    s.queued = 77;
    CHECK_OK(rn__sys_fail("getsockopt", ENOBUFS, 1, 1));
    CHECK_EQ(rn_get_listener_stats(ln, &s), -ENOBUFS);
    CHECK_EQ(s.queued, 77);
    rn__sys_clear();
    rn_listener_close(ln);
}

/* ---- why not ---- */

static const char *explain(const char *network, const char *address, int error)
{
    static char text[256];

    rn_listen_explain(network, address, error, text, sizeof text);
    return text;
}

static const char *explain_failed_listen(const char *network, const char *address)
{
    rn_listener *ln;
    int r = rn_listen(network, address, NULL, &ln);

    CHECK(r < 0);
    return explain(network, address, r);
}

RN_CORO_TEST(an_address_in_use_here_is_told_so)
{
    rn_listener *ln;
    char address[128], port[140], expected[256];

    rn__proc_find_ns = 60 * RN_SECOND;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    snprintf(expected, sizeof expected, "%s: Address already in use by this process", address);
    CHECK_STR(explain_failed_listen("tcp", address), expected);
    /* One that is everywhere is in the way, too. */
    snprintf(port, sizeof port, "%s", strrchr(address, ':'));
    snprintf(expected, sizeof expected, "%s: Address already in use by this process", port);
    CHECK_STR(explain_failed_listen("tcp4", port), expected);
    CHECK_STR(explain_failed_listen("tcp", port), expected); /* by IPv6 */
    rn_listener_close(ln);
}

/* Listens at an address of network's in another process until *pid is killed. */
static void listen_elsewhere(int family, struct sockaddr *at, socklen_t len, pid_t *pid)
{
    int fd = socket(family, SOCK_STREAM, 0);

    CHECK_OK(bind(fd, at, len));
    CHECK_OK(listen(fd, 1));
    CHECK_OK(getsockname(fd, at, &len));
    *pid = fork();
    CHECK_OK(*pid);
    if (*pid == 0) {
        pause();
        _exit(0);
    }
    close(fd);
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static char there[64];
static pid_t there_pid;

/* Of this process, and so of its children; under valgrind it is another than one thinks. */
static const char *program(void)
{
    static char name[32];
    int fd = open("/proc/self/comm", O_RDONLY);
    ssize_t n = read(fd, name, sizeof name - 1);

    CHECK(n > 1);
    name[n - 1] = '\0';
    close(fd);
    return name;
}

static int check_holder(void *arg)
{
    char expected[256];

    rn__proc_find_ns = 60 * RN_SECOND; /* here it is to be found, however busy the machine is */
    snprintf(expected, sizeof expected, "%s: Address already in use by %s (pid %d)", there,
             program(), there_pid);
    CHECK_STR(explain_failed_listen(arg, there), expected);
    return 0;
}

RN_TEST(an_address_in_use_elsewhere_is_told_with_program_and_pid)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    listen_elsewhere(AF_INET, (struct sockaddr *)&at, sizeof at, &there_pid);
    snprintf(there, sizeof there, "127.0.0.1:%d", ntohs(at.sin_port));
    CHECK_EQ(rn_run(NULL, check_holder, "tcp"), 0);
    /* A plain thread may ask as well. */
    CHECK(strstr(explain("tcp", there, -EADDRINUSE), " (pid ") != NULL);
    end_process(there_pid);
}

RN_TEST(a_path_in_use_elsewhere_is_told_with_program_and_pid)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/test-listener-%d", getpid());
    memcpy(there, at.sun_path, sizeof there);
    listen_elsewhere(AF_UNIX, (struct sockaddr *)&at, sizeof at, &there_pid);
    CHECK_EQ(rn_run(NULL, check_holder, "unix"), 0);
    end_process(there_pid);
    unlink(there);
}

RN_TEST(an_abstract_name_in_use_elsewhere_is_told_with_program_and_pid)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(there, sizeof there, "@test listener %d", getpid());
    memcpy(at.sun_path + 1, there + 1, strlen(there) - 1);
    listen_elsewhere(AF_UNIX, (struct sockaddr *)&at, (socklen_t)(2 + strlen(there)), &there_pid);
    CHECK_EQ(rn_run(NULL, check_holder, "unix"), 0);
    end_process(there_pid);
}

RN_CORO_TEST(a_path_that_nobody_listens_on_is_to_be_removed)
{
    char path[64], expected[256];
    rn_listener *ln;
    int fd;

    snprintf(path, sizeof path, "/tmp/test-stale-%d", getpid());
    CHECK_OK(rn_listen("unix", path, &(rn_listen_options){.keep_path = true}, &ln));
    rn_listener_close(ln);
    snprintf(expected, sizeof expected,
             "%s: Address already in use: a socket is left there that nobody listens on; remove it",
             path);
    CHECK_STR(explain_failed_listen("unix", path), expected);
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    snprintf(expected, sizeof expected,
             "%s: Address already in use: there is a file that is no socket", path);
    CHECK_STR(explain_failed_listen("unix", path), expected);
    unlink(path);
}

static int tell_of_connections(void *arg)
{
    const rn_listen_options strict = {.no_reuse_addr = true};
    char address[128], expected[256];
    rn_listener *ln, *other;
    rn_conn *a, *b;
    char c;
    int r;

    (void)arg;
    rn__proc_find_ns = 60 * RN_SECOND;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, NULL, &a));
    CHECK_OK(rn_accept(ln, &b));
    rn_listener_close(ln);
    r = rn_listen("tcp", address, &strict, &other);
    snprintf(expected, sizeof expected,
             "%s: Address already in use by a connection of this process", address);
    CHECK_STR(explain("tcp", address, r), expected);
    CHECK_OK(rn_close_write(b)); /* the first to end rests in TIME_WAIT */
    CHECK_EQ(rn_read(a, &c, 1), 0);
    rn_close(a);
    CHECK_EQ(rn_read(b, &c, 1), 0);
    rn_close(b);
    r = rn_listen("tcp", address, &strict, &other);
    snprintf(expected, sizeof expected,
             "%s: Address already in use by connections in TIME_WAIT, which end by themselves",
             address);
    CHECK_STR(explain("tcp", address, r), expected);
    return 0;
}

/* In a network of its own: elsewhere another program may use the port, too. */
RN_TEST(a_port_that_connections_still_use_is_told_so)
{
    rntest_new_network();
    rntest_loopback_up();
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2}, tell_of_connections, NULL), 0);
}

RN_CORO_TEST(other_failures_are_explained_too)
{
    char text[16];
    rn_listener *ln;
    char address[128];

    CHECK_STR(explain_failed_listen("tcp", "nonsense"),
              "nonsense: malformed address (want host:port, :port, path or @name)");
    CHECK_STR(explain_failed_listen("tcp", "192.0.2.99:80"),
              "192.0.2.99:80: address is not this machine's, or no local port is free (no "
              "interface has it)");
    CHECK_STR(explain("tcp", ":80", -EACCES), ":80: Permission denied: low ports are for root, or "
                                              "with CAP_NET_BIND_SERVICE");
    CHECK_STR(explain("unix", "/x", -EACCES), "/x: Permission denied");
    CHECK_STR(explain("tcp", NULL, -RN_EADDRESS),
              "(null): malformed address (want host:port, :port, path or @name)");
    CHECK_STR(explain("nonsense", ":1", -EADDRINUSE), ":1: Address already in use");
    rn_listen_explain("tcp", "192.0.2.99:80", -EADDRNOTAVAIL, text, sizeof text);
    CHECK_STR(text, "192.0.2.99:80: ");
    rn_listen_explain("tcp", "192.0.2.99:80", -EADDRNOTAVAIL, text, 1);
    CHECK_STR(text, "");
    /* Where the kernel's lists cannot be had, the rest is still said. */
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn__sys_fail("recv", ENOBUFS, 1, 100));
    CHECK(strstr(explain("tcp", address, -EADDRINUSE), "in use") != NULL);
    CHECK(strstr(explain("tcp", address, -EADDRINUSE), " by ") == NULL);
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("getdents64", EPERM, 1, 100));
    CHECK(strstr(explain("tcp", address, -EADDRINUSE), "that cannot be seen from here") != NULL);
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("openat", EMFILE, 1, 1000));
    CHECK(strstr(explain("tcp", address, -EADDRINUSE), "that cannot be seen from here") != NULL);
    CHECK(strstr(explain("unix", "/x", -EADDRINUSE), "in use") != NULL);
    rn__sys_clear();
    rn_listener_close(ln);
}

RN_CORO_TEST(who_holds_an_address_is_not_looked_for_for_ever)
{
    rn_time before = rn__proc_find_ns;
    char address[128];
    rn_listener *ln;

    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    rn__proc_find_ns = 0;
    CHECK(strstr(explain("tcp", address, -EADDRINUSE), " by a process that was not found in time"));
    rn__proc_find_ns = before;
    rn_listener_close(ln);
}

/* ---- handed over ---- */

static int open_listening(struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof *at;

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CHECK_OK(bind(fd, (struct sockaddr *)at, sizeof *at));
    CHECK_OK(listen(fd, 8));
    CHECK_OK(getsockname(fd, (struct sockaddr *)at, &len));
    return fd;
}

RN_CORO_TEST(a_listener_can_be_made_of_a_descriptor)
{
    struct sockaddr_in at;
    int fd = open_listening(&at), value = 0;
    socklen_t len = sizeof value;
    char address[64];
    rn_listener *ln;
    rn_conn *a, *b;

    CHECK_OK(rn_listener_from_fd(fd, &ln));
    CHECK_EQ(rn_listener_fd(ln), fd);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    CHECK_OK(rn_dial("tcp", address, NULL, &a));
    CHECK_OK(rn_accept(ln, &b));
    CHECK_OK(getsockopt(rn_conn_fd(b), IPPROTO_TCP, TCP_NODELAY, &value, &len));
    CHECK_EQ(value, 1);
    CHECK_EQ(stats_of(ln).backlog_asked, -1);
    CHECK_EQ(stats_of(ln).backlog, 8);
    rn_close(a);
    rn_close(b);
    rn_listener_close(ln);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

RN_CORO_TEST(what_is_no_listening_stream_is_refused)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
    int file = open("/dev/null", O_RDONLY), good, n = rntest_count_fds();
    struct sockaddr_in at;
    rn_listener *ln = NULL;

    CHECK_EQ(rn_listener_from_fd(tcp, &ln), -EINVAL);
    CHECK_EQ(rn_listener_from_fd(udp, &ln), -ENOTSUP);
    CHECK_EQ(rn_listener_from_fd(file, &ln), -ENOTSOCK);
    CHECK_EQ(rn_listener_from_fd(-1, &ln), -EBADF);
    good = open_listening(&at);
    for (unsigned nth = 1; nth <= 3; nth++) {
        CHECK_OK(rn__sys_fail("fcntl", EIO, nth, 1));
        CHECK_EQ(rn_listener_from_fd(good, &ln), -EIO);
        rn__sys_clear();
    }
    CHECK_OK(rn_listener_from_fd(good, &ln));
    rn_listener_close(ln);
    CHECK_EQ(rntest_count_fds(), n);
    close(tcp);
    close(udp);
    close(file);
}

RN_CORO_TEST(a_listener_without_memory_leaves_the_descriptor_alone)
{
    struct sockaddr_in at;
    int fd = open_listening(&at);
    rn_listener *ln;

    rn__mem_fail(1, 1);
    CHECK_EQ(rn_listener_from_fd(fd, &ln), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    close(fd);
}

/* What is in the queue when the first owner closes is there for the second. */
RN_CORO_TEST(a_listener_that_is_handed_on_loses_nothing)
{
    char path[64];
    rn_listener *ln, *next;
    rn_conn *a, *b;
    struct stat st;
    int fd;

    snprintf(path, sizeof path, "/tmp/test-hand-on-%d", getpid());
    CHECK_OK(rn_listen("unix", path, NULL, &ln));
    CHECK_OK(rn_dial("unix", path, NULL, &a));
    fd = rn_listener_file(ln);
    CHECK(fd > 2 && fd != rn_listener_fd(ln));
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    rn_listener_close(ln);
    CHECK_OK(stat(path, &st)); /* it is the other one's now */
    CHECK_OK(rn_listener_from_fd(fd, &next));
    CHECK_OK(rn_accept(next, &b));
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK_EQ(rn_read(b, path + 60, 1), 1);
    rn_close(a);
    CHECK_OK(rn_dial("unix", path, NULL, &a));
    rn_close(a);
    rn_close(b);
    rn_listener_close(next);
    unlink(path);
}

/* ---- socket activation ---- */

/* What systemd does: sockets from 3 on, and the variables, in a process of its own. */
static void activate(const char *pid, const char *n, const char *names)
{
    struct sockaddr_in at;
    int fds[3];

    for (int i = 0; i < 3; i++) {
        int low = open_listening(&at);

        fds[i] = fcntl(low, F_DUPFD, 20);
        close(low);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_OK(dup2(fds[i], 3 + i));
        close(fds[i]);
    }
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", n, 1);
    if (names != NULL)
        setenv("LISTEN_FDNAMES", names, 1);
}

static const char *own_pid(void)
{
    static char text[16];

    snprintf(text, sizeof text, "%d", getpid());
    return text;
}

static int take_inherited(void *arg)
{
    rn_listener *ln, *web, *other;
    rn_conn *a, *b;
    char address[128];

    (void)arg;
    CHECK_EQ(rn_listen_inherited("web", 2, &ln), -ENOENT);
    CHECK_OK(rn_listen_inherited("web", 1, &web));
    CHECK_EQ(rn_listener_fd(web), 5);
    CHECK(fcntl(3, F_GETFD) & FD_CLOEXEC); /* the others too */
    CHECK(fcntl(4, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(rn_listen_inherited(NULL, 2, &ln), -EBUSY);
    CHECK_OK(rn_listen_inherited(NULL, 1, &other));
    CHECK_EQ(rn_listener_fd(other), 4);
    CHECK_EQ(rn_listen_inherited("admin", 0, &ln), -EBUSY);
    CHECK_EQ(rn_listen_inherited("admi", 0, &ln), -ENOENT);
    CHECK_EQ(rn_listen_inherited(NULL, 3, &ln), -ENOENT);
    CHECK_EQ(rn_listen_inherited(NULL, -1, &ln), -ENOENT);
    CHECK_OK(rn_listener_addr(web, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, NULL, &a));
    CHECK_OK(rn_accept(web, &b));
    rn_close(a);
    rn_close(b);
    rn_listener_close(web);
    CHECK_EQ(rn_listen_inherited("web", 1, &ln), -EBUSY); /* its number is anybody's now */
    rn_listener_close(other);
    return 0;
}

RN_TEST(sockets_of_the_service_manager_are_taken_by_name_or_number)
{
    activate(own_pid(), "3", "web:admin:web");
    CHECK_EQ(rn_run(NULL, take_inherited, NULL), 0);
}

static int find_none(void *arg)
{
    rn_listener *ln;

    (void)arg;
    CHECK_EQ(rn_listen_inherited(NULL, 0, &ln), -ENOENT);
    CHECK_EQ(rn_listen_inherited("web", 0, &ln), -ENOENT);
    CHECK_EQ(fcntl(3, F_GETFD), 0);
    return 0;
}

RN_TEST(sockets_for_another_process_are_left_alone)
{
    activate("1", "3", "web:admin:web");
    CHECK_EQ(rn_run(NULL, find_none, NULL), 0);
}

RN_TEST(variables_that_are_no_numbers_mean_no_sockets)
{
    static const char *const bad[] = {"", "x", "-1", "3x", " 3", "99999999999", "0"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        activate(own_pid(), bad[i], NULL);
        CHECK_EQ(rn_run(NULL, find_none, NULL), 0);
    }
    activate("", "3", NULL);
    CHECK_EQ(rn_run(NULL, find_none, NULL), 0);
    unsetenv("LISTEN_PID");
    CHECK_EQ(rn_run(NULL, find_none, NULL), 0);
}

static int take_unfit(void *arg)
{
    rn_listener *ln;

    (void)arg;
    CHECK_EQ(rn_listen_inherited(NULL, 0, &ln), -ENOTSOCK);
    CHECK_EQ(rn_listen_inherited(NULL, 0, &ln), -ENOTSOCK); /* not taken: -EBUSY would mislead */
    CHECK_OK(rn_listen_inherited(NULL, 1, &ln));
    rn_listener_close(ln);
    return 0;
}

static void open_null_at_3(void)
{
    int null = open("/dev/null", O_RDONLY);

    CHECK_OK(dup2(null, 3));
    close(null);
}

RN_TEST(an_inherited_descriptor_that_does_not_listen_is_refused)
{
    activate(own_pid(), "3", NULL);
    open_null_at_3();
    CHECK_EQ(rn_run(NULL, take_unfit, NULL), 0);
}
