/*
 * scenarios.c - servers and clients over each network, and what they do with their connections
 */
#include "fault.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BIG ((size_t)192 << 10)
#define MEDIUM ((size_t)24 << 10)

/* ---- helpers ---- */

void fault_fill(char *buf, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (char)((i + seed) * 2654435761U >> 13);
}

int fault_check(const char *buf, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != (char)((i + seed) * 2654435761U >> 13))
            return FAULT_WRONG;
    return 0;
}

int fault_read_full(rn_conn *c, char *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = fault_note(rn_read(c, buf + done, len - done));

        if (n <= 0)
            return n == 0 ? -RN_EPARTIAL : (int)n;
        done += (size_t)n;
    }
    return 0;
}

int fault_expect_end(rn_conn *c)
{
    char byte;
    ssize_t n = fault_note(rn_read(c, &byte, 1));

    return n > 0 ? FAULT_WRONG : (int)n;
}

/* By plain calls: they are no part of what is tested. */
int fault_file(size_t len)
{
    int fd = memfd_create("fault", MFD_CLOEXEC);
    char buf[4096];

    for (size_t at = 0; fd >= 0 && at < len; at += sizeof buf) {
        fault_fill(buf, sizeof buf, (unsigned)at);
        if (write(fd, buf, sizeof buf) != (ssize_t)sizeof buf)
            abort();
    }
    if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
        abort();
    return fd;
}

int fault_flow(const char *network, const char *address, int (*server)(void *flow),
               int (*client)(void *flow), const void *arg)
{
    struct fault_flow f = {.network = network, .arg = arg};
    int r, waited;

    TRY(rn_listen(network, address, NULL, &f.ln));
    r = (int)fault_note(rn_listener_addr(f.ln, f.address, sizeof f.address));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&f.group, server, &f));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&f.group, client, &f));
    if (r < 0)
        rn_group_cancel(&f.group);
    waited = (int)fault_note(rn_group_wait(&f.group, fault_limit()));
    rn_listener_close(f.ln);
    return r < 0 ? r : waited;
}

int fault_dial(struct fault_flow *f, rn_conn **ret)
{
    return (int)fault_note(rn_dial(f->network, f->address, NULL, ret));
}

/* ---- echo, by rn_serve_listener ---- */

static void echo(rn_conn *c, void *arg)
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    while ((n = fault_note(rn_read(c, buf, sizeof buf))) > 0)
        if (fault_note(rn_write(c, buf, (size_t)n)) < 0)
            break;
    rn_close(c);
}

static int serve_echo(void *arg)
{
    struct fault_flow *f = arg;
    const rn_serve_options *o = f->arg;
    int r = (int)fault_note(rn_serve_listener(f->ln, o, echo, NULL));

    return r == -ECANCELED ? 0 : r; /* the client's doing, or the group's */
}

static int talk_stream(rn_conn *c)
{
    static const size_t lens[] = {1, 1000, MEDIUM};
    char *buf = malloc(MEDIUM);
    int r = buf == NULL ? -ENOMEM : 0;

    for (size_t i = 0; r == 0 && i < sizeof lens / sizeof lens[0]; i++) {
        fault_fill(buf, lens[i], (unsigned)i);
        r = (int)fault_note(rn_write(c, buf, lens[i]));
        r = r < 0 ? r : fault_read_full(c, buf, lens[i]);
        if (r == 0)
            r = fault_check(buf, lens[i], (unsigned)i);
    }
    if (r == 0)
        r = (int)fault_note(rn_close_write(c));
    if (r == 0)
        r = fault_expect_end(c);
    free(buf);
    return r;
}

static int ask_echo(void *arg)
{
    struct fault_flow *f = arg;
    rn_conn *c;
    int r = fault_dial(f, &c);

    if (r == 0) {
        r = talk_stream(c);
        rn_close(c);
    }
    rn_listener_cancel(f->ln);
    return r;
}

int fault_run_tcp_echo(void)
{
    return fault_flow("tcp", "127.0.0.1:0", serve_echo, ask_echo, NULL);
}

int fault_run_unix_echo(void)
{
    char path[64];
    int r;

    /* One whose unlink was to fail has left its name, perhaps to a process of the same number. */
    snprintf(path, sizeof path, "/tmp/rn-fault-%d.sock", getpid());
    (void)unlink(path);
    r = fault_flow("unix", path, serve_echo, ask_echo, NULL);
    (void)unlink(path);
    return r;
}

/* Handlers started at the first byte; its own balance. */
int fault_run_resting_echo(void)
{
    static const rn_serve_options o = {.when_readable = true, .balance = RN_BALANCE_ONE};

    return fault_flow("tcp", "[::1]:0", serve_echo, ask_echo, &o);
}

/* ---- rn_serve, a socket for each P ---- */

static int serve_ports(void *arg)
{
    struct fault_flow *f = arg;
    rn_serve_options o = {.balance = RN_BALANCE_REUSE_PORT, .max_conns = 1};

    return (int)fault_note(rn_serve("tcp", f->address, &o, echo, NULL));
}

static int ask_ports(void *arg)
{
    struct fault_flow *f = arg;
    int r = 0;

    for (int i = 0; r == 0 && i < 2; i++) {
        rn_conn *c;

        while ((r = fault_dial(f, &c)) == -ECONNREFUSED) /* not yet */
            TRY(rn_sleep(RN_MILLISECOND));
        if (r == 0) {
            r = talk_stream(c);
            rn_close(c);
        }
    }
    return r < 0 ? r : -ECANCELED; /* the first to end: ends the server */
}

int fault_run_port_each(void)
{
    struct fault_flow f = {.network = "tcp"};
    int r, waited;

    /* An address of this process alone: the sockets of all Ps need one port, known before. */
    snprintf(f.address, sizeof f.address, "127.77.%d.%d:7007", getpid() / 250 % 250,
             getpid() % 250 + 1);
    r = (int)fault_note(rn_group_go(&f.group, serve_ports, &f));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&f.group, ask_ports, &f));
    if (r < 0)
        rn_group_cancel(&f.group);
    waited = (int)fault_note(rn_group_wait(&f.group, fault_limit()));
    return r < 0 ? r : waited == -ECANCELED ? 0 : waited;
}

/* ---- an accept loop ---- */

#define ACCEPTS 4

static int accept_and_answer(rn_listener *ln)
{
    char head[4], tail[8], text[128];
    struct iovec iov[2] = {{head, sizeof head}, {tail, sizeof tail}};
    rn_conn *c;
    int r;

    TRY(rn_accept(ln, &c));
    rn_set_deadline(c, fault_limit());
    r = fault_read_full(c, tail, sizeof tail);
    memcpy(head, "got ", 4);
    if (r == 0)
        r = (int)fault_note(rn_remote_addr(c, text, sizeof text));
    if (r == 0)
        r = (int)fault_note(rn_writev(c, iov, 2));
    rn_close(c);
    return r < 0 ? r : 0;
}

static int accept_loop(void *arg)
{
    struct fault_flow *f = arg;
    rn_listener_stats stats;
    int r = (int)fault_note(rn_get_listener_stats(f->ln, &stats));

    for (int i = 0; r == 0 && i < ACCEPTS; i++)
        r = accept_and_answer(f->ln);
    return r;
}

static int ask_once(struct fault_flow *f)
{
    rn_dial_options o = {.deadline = fault_limit(), .local = "127.0.0.1:0", .syn_retries = 2};
    char head[4], tail[8], text[128];
    struct iovec iov[2] = {{head, sizeof head}, {tail, sizeof tail}};
    rn_tcp_info info;
    ssize_t n;
    rn_conn *c;
    int r;

    o.socket.recv_bytes = 64 << 10;
    TRY(rn_dial("tcp", f->address, &o, &c));
    r = (int)fault_note(rn_write(c, "12345678", 8));
    r = r < 0 ? r : (int)fault_note(rn_local_addr(c, text, sizeof text));
    if (r == 0)
        r = (int)fault_note(rn_set_keep_alive(c, 60, 10, 3));
    if (r == 0)
        r = (int)fault_note(rn_get_tcp_info(c, &info));
    if (r == 0) {
        n = fault_note(rn_readv(c, iov, 2));
        if (n > 0 && n <= 4) {
            r = fault_read_full(c, head + n, 4 - (size_t)n);
            n = 4;
        }
        r = r < 0 ? r : n < 0 ? (int)n : n < 4 ? -RN_EPARTIAL : 0;
        if (r == 0)
            r = fault_read_full(c, tail + (n - 4), 12 - (size_t)n);
        if (r == 0 && (memcmp(head, "got ", 4) != 0 || memcmp(tail, "12345678", 8) != 0))
            r = FAULT_WRONG;
    }
    if (r == 0)
        r = (int)fault_note(rn_unread(c, "again", 5));
    if (r == 0 && (r = fault_read_full(c, tail, 5)) == 0 && memcmp(tail, "again", 5) != 0)
        r = FAULT_WRONG;
    rn_close(c);
    return r;
}

static int ask_often(void *arg)
{
    int r = 0;

    for (int i = 0; r == 0 && i < ACCEPTS; i++)
        r = ask_once(arg);
    return r;
}

int fault_run_accepting(void)
{
    return fault_flow("tcp", "127.0.0.1:0", accept_loop, ask_often, NULL);
}

/* ---- records and datagrams ---- */

static int answer_records(void *arg)
{
    struct fault_flow *f = arg;
    char buf[256];
    rn_conn *c;
    ssize_t n;

    TRY(rn_accept(f->ln, &c));
    while ((n = fault_note(rn_recv(c, buf, sizeof buf, 0))) > 0 &&
           (n = fault_note(rn_send(c, buf, (size_t)n, RN_MSG_EOR))) > 0)
        ;
    rn_close(c);
    return n < 0 ? (int)n : 0;
}

static int ask_records(void *arg)
{
    char buf[256];
    rn_conn *c;
    int r = fault_dial(arg, &c);

    for (unsigned i = 1; r == 0 && i <= 4; i++) {
        ssize_t n;

        fault_fill(buf, i * 50, i);
        n = fault_note(rn_send(c, buf, i * 50, 0));
        if (n >= 0)
            n = fault_note(rn_recv(c, buf, sizeof buf, 0));
        r = n < 0 ? (int)n : n == 0 ? -RN_EPARTIAL : (size_t)n != i * 50 ? FAULT_WRONG : 0;
        if (r == 0)
            r = fault_check(buf, i * 50, i);
        if (r < 0 || i == 4)
            rn_close(c);
    }
    return r;
}

int fault_run_unixpacket_echo(void)
{
    char address[64];

    snprintf(address, sizeof address, "@fault-%d-%lld", getpid(), (long long)rn_now());
    return fault_flow("unixpacket", address, answer_records, ask_records, NULL);
}

static int answer_datagrams(rn_conn *c, int n)
{
    for (int i = 0; i < n; i++) {
        char buf[256];
        rn_addr from;
        ssize_t len = fault_note(rn_recv_from(c, buf, sizeof buf, &from));

        if (len < 0)
            return (int)len;
        TRY(rn_send_to(c, buf, (size_t)len, &from));
    }
    return 0;
}

struct datagrams {
    rn_group group;
    rn_conn *server;
    char address[128];
};

static int datagram_server(void *arg)
{
    return answer_datagrams(((struct datagrams *)arg)->server, 4);
}

static int datagram_client(void *arg)
{
    struct datagrams *d = arg;
    char buf[256];
    rn_conn *c;
    int r;

    TRY(rn_dial("udp", d->address, NULL, &c));
    for (unsigned i = 1, r2 = 0; r2 == 0 && i <= 4; i++) {
        ssize_t n;

        fault_fill(buf, i * 50, i);
        n = fault_note(rn_write(c, buf, i * 50));
        if (n >= 0)
            n = fault_note(rn_read(c, buf, sizeof buf));
        r = n < 0 ? (int)n : (size_t)n != i * 50 ? FAULT_WRONG : fault_check(buf, i * 50, i);
        r2 = r < 0;
    }
    rn_close(c);
    return r;
}

int fault_run_udp_exchange(void)
{
    struct datagrams d = {.server = NULL};
    int r, waited;

    TRY(rn_listen_packet("udp", "127.0.0.1:0", NULL, &d.server));
    r = (int)fault_note(rn_local_addr(d.server, d.address, sizeof d.address));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&d.group, datagram_server, &d));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&d.group, datagram_client, &d));
    if (r < 0)
        rn_group_cancel(&d.group);
    waited = (int)fault_note(rn_group_wait(&d.group, fault_limit()));
    rn_close(d.server);
    return r < 0 ? r : waited;
}

/* ---- names ---- */

/* "::1", where nobody listens, and then 127.0.0.1: two attempts. */
static int two_addresses(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips,
                         int n)
{
    (void)arg;
    (void)name;
    (void)family;
    (void)deadline;
    if (n < 2)
        return -RN_EDNS;
    ips[0] = (rn_ip){.family = 6, .bytes = {[15] = 1}};
    ips[1] = (rn_ip){.family = 4, .bytes = {127, 0, 0, 1}};
    return 2;
}

static int ask_by_name(void *arg)
{
    struct fault_flow *f = arg;
    const char *port = strrchr(f->address, ':');
    char address[128];

    snprintf(address, sizeof address, "two.fault.test%s", port);
    strcpy(f->address, address);
    return ask_echo(f);
}

int fault_run_dial_name(void)
{
    rn_resolver two = {.lookup = two_addresses};
    rn_ip ips[4];
    int r;

    TRY(rn_lookup_host("localhost", NULL, ips, 4));
    TRY(rn_resolver_set(&two));
    r = fault_flow("tcp", "127.0.0.1:0", serve_echo, ask_by_name, NULL);
    if (rn_resolver_set(NULL) < 0) /* never allocates */
        abort();
    return r;
}

#define TEN "aaaaaaaaaa"
#define LONG_LABEL TEN TEN TEN TEN TEN TEN TEN /* 63 is the most */

/* By libc, on the pool, which knows at once that there can be no such name. */
int fault_run_lookup_libc(void)
{
    rn_lookup_options o = {.deadline = fault_limit()};
    rn_ip ips[4];
    int r = rn_lookup_host(LONG_LABEL ".invalid", &o, ips, 4);

    if (r == -RN_ENOHOST || r == -RN_EDNS)
        return 0;
    return (int)fault_note(r < 0 ? r : FAULT_WRONG);
}

/* ---- a buffered dialogue ---- */

static int talk_buffered(rn_conn *c, rn_bufio *b)
{
    const char *line;
    ssize_t n;

    for (unsigned i = 0; i < 3; i++) {
        char text[600], back[600];

        fault_fill(text, sizeof text, i);
        TRY(rn_bufio_write(b, "line\n", 5));
        TRY(rn_bufio_write(b, text, sizeof text));
        TRY(rn_bufio_flush(b));
        n = fault_note(rn_bufio_read_line(b, 100, &line));
        if (n < 0)
            return (int)n;
        if (n == 0)
            return -RN_EPARTIAL;
        if (n != 5 || memcmp(line, "line\n", 5) != 0)
            return FAULT_WRONG;
        n = fault_note(rn_bufio_read_full(b, back, sizeof back));
        if (n < 0)
            return (int)n;
        if (n != (ssize_t)sizeof back)
            return -RN_EPARTIAL;
        if (fault_check(back, sizeof back, i) < 0)
            return FAULT_WRONG;
    }
    return (int)fault_note(rn_close_write(c));
}

static int ask_buffered(void *arg)
{
    rn_bufio_options o = {.read_bytes = 256, .write_bytes = 256};
    struct fault_flow *f = arg;
    rn_bufio *b;
    rn_conn *c;
    int r = fault_dial(f, &c);

    if (r == 0) {
        r = (int)fault_note(rn_bufio_new(c, &o, &b));
        if (r == 0) {
            r = talk_buffered(c, b);
            (void)fault_note(rn_bufio_free(b));
        }
        rn_close(c);
    }
    rn_listener_cancel(f->ln);
    return r;
}

int fault_run_bufio(void)
{
    return fault_flow("tcp", "127.0.0.1:0", serve_echo, ask_buffered, NULL);
}

/* ---- copies ---- */

struct proxy {
    rn_group group;
    rn_conn *a, *b, *back;
};

static int pump(rn_conn *dst, rn_conn *src)
{
    rn_copy_report report;
    ssize_t n = fault_note(rn_copy(dst, src, &report));

    if (report.by_read_write + report.by_splice + report.by_sendfile != report.bytes)
        return FAULT_WRONG;
    return n < 0 ? (int)n : (int)fault_note(rn_close_write(dst));
}

static int pump_up(void *arg)
{
    return pump(((struct proxy *)arg)->b, ((struct proxy *)arg)->a);
}

static int pump_down(void *arg)
{
    return pump(((struct proxy *)arg)->a, ((struct proxy *)arg)->b);
}

static int pump_back(void *arg)
{
    return pump(((struct proxy *)arg)->back, ((struct proxy *)arg)->back);
}

/* Accepts one, dials back to the same listener, whose next connection is the echo's. */
static int proxy_and_echo(void *arg)
{
    struct fault_flow *f = arg;
    struct proxy p = {.a = NULL};
    int r, waited;

    TRY(rn_accept(f->ln, &p.a));
    r = fault_dial(f, &p.b);
    if (r == 0)
        r = (int)fault_note(rn_accept(f->ln, &p.back));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&p.group, pump_up, &p));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&p.group, pump_down, &p));
    if (r == 0)
        r = (int)fault_note(rn_group_go(&p.group, pump_back, &p));
    if (r < 0)
        rn_group_cancel(&p.group);
    waited = (int)fault_note(rn_group_wait(&p.group, fault_limit()));
    rn_close(p.back);
    rn_close(p.b);
    rn_close(p.a);
    return r < 0 ? r : waited;
}

struct flood {
    rn_group group;
    rn_conn *c;
    char *buf;
};

static int flood(void *arg)
{
    struct flood *f = arg;

    fault_fill(f->buf, BIG, 0);
    TRY(rn_write(f->c, f->buf, BIG));
    return (int)fault_note(rn_close_write(f->c));
}

static int drain(rn_conn *c)
{
    char buf[16 << 10];

    for (size_t at = 0; at < BIG; at += sizeof buf) {
        int r = fault_read_full(c, buf, sizeof buf);

        if (r == 0)
            r = fault_check(buf, sizeof buf, (unsigned)at);
        if (r < 0)
            return r;
    }
    return fault_expect_end(c);
}

static int drain_it(void *arg)
{
    return drain(((struct flood *)arg)->c);
}

static int send_and_drain(void *arg)
{
    struct flood f = {.buf = malloc(BIG)};
    int r, waited;

    if (f.buf == NULL)
        return -ENOMEM;
    r = fault_dial(arg, &f.c);
    if (r == 0) {
        r = (int)fault_note(rn_group_go(&f.group, flood, &f));
        if (r == 0)
            r = (int)fault_note(rn_group_go(&f.group, drain_it, &f));
        if (r < 0)
            rn_group_cancel(&f.group);
        waited = (int)fault_note(rn_group_wait(&f.group, fault_limit()));
        r = r < 0 ? r : waited;
        rn_close(f.c);
    }
    free(f.buf);
    return r;
}

int fault_run_copy_both_ways(void)
{
    return fault_flow("tcp", "127.0.0.1:0", proxy_and_echo, send_and_drain, NULL);
}

/* ---- files ---- */

static int send_files(void *arg)
{
    struct fault_flow *f = arg;
    int fd, r;
    rn_conn *c;

    TRY(rn_accept(f->ln, &c));
    fd = fault_file(BIG);
    r = (int)fault_note(rn_send_file(c, fd, 0, 4096));
    r = r < 0 ? r : (int)fault_note(rn_send_file(c, fd, 4096, BIG - 4096));
    close(fd);
    rn_close(c);
    return r < 0 ? r : 0;
}

static int take_files(void *arg)
{
    rn_conn *c;
    int r = fault_dial(arg, &c);

    if (r == 0) {
        r = drain(c);
        rn_close(c);
    }
    return r;
}

int fault_run_send_file(void)
{
    return fault_flow("tcp", "127.0.0.1:0", send_files, take_files, NULL);
}

/* ---- closes that linger ---- */

static int answer_unread(void *arg)
{
    struct fault_flow *f = arg;
    char byte;
    rn_conn *c;
    int r;

    TRY(rn_accept(f->ln, &c));
    r = fault_read_full(c, &byte, 1); /* the rest stays unread */
    if (r == 0)
        r = (int)fault_note(rn_write(c, "answer", 6));
    rn_close(c);
    return r < 0 ? r : 0;
}

static int ask_too_much(void *arg)
{
    char buf[6], *text;
    rn_conn *c;
    int r = fault_dial(arg, &c);

    if (r < 0)
        return r;
    text = calloc(1, 8000);
    r = text == NULL ? -ENOMEM : (int)fault_note(rn_write(c, text, 8000));
    free(text);
    r = r < 0 ? r : fault_read_full(c, buf, 6);
    if (r == 0 && memcmp(buf, "answer", 6) != 0)
        r = FAULT_WRONG;
    if (r == 0)
        r = fault_expect_end(c);
    rn_close(c);
    return r;
}

int fault_run_linger(void)
{
    return fault_flow("tcp", "127.0.0.1:0", answer_unread, ask_too_much, NULL);
}
