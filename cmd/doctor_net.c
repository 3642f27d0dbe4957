/*
 * doctor_net.c - checks of the network's settings, and of what it has counted
 *
 * Each sysctl below net. belongs to a network namespace, or is that of the first one only and not
 * to be seen in others: then it is unknown there.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define TIME_WAIT_S 60 /* TCP_TIMEWAIT_LEN of the kernel, which nothing changes */
#define MOST_PORTS (65536 - 1024)
#define RATE_HIGH 10000 /* from here on one CPU does not take all packets easily */

/* ---- what is wanted ---- */

static long want_one(const struct doctor *d)
{
    (void)d;
    return 1;
}

static long want_zero(const struct doctor *d)
{
    (void)d;
    return 0;
}

static long want_fin_timeout(const struct doctor *d)
{
    return d->rate >= RATE_HIGH ? 30 : 60;
}

/* What the kernel has had as its default before 6.18. */
static long want_socket_max(const struct doctor *d)
{
    (void)d;
    return 212992;
}

static long want_packets(const struct doctor *d)
{
    long n = d->rate / 4;

    return n < 1000 ? 1000 : n > 30000 ? 30000 : n;
}

static long want_flows(const struct doctor *d)
{
    return d->rate >= RATE_HIGH ? 32768 : 0;
}

/* ---- ports, and how long they are taken ---- */

/* Whether a port in TIME_WAIT can be had again, after a second. */
static bool reuses_ports(struct doctor *d)
{
    long reuse;

    return doc_read_sysctl(d, "net.ipv4.tcp_tw_reuse", NULL, &reuse, 1) == 1 && reuse == 1;
}

static long want_ports(const struct doctor *d, bool reuse)
{
    return d->rate * (reuse ? 1 : TIME_WAIT_S);
}

static void check_ports(struct doctor *d, const struct doc_check *c)
{
    bool reuse = reuses_ports(d);
    long range[2], want = want_ports(d, reuse), n, first;
    struct doc_finding *f;
    char value[64];

    if (!doc_take_sysctl(d, c, &f, range, 2))
        return;
    n = range[0] < 0 || range[1] > 65535 ? 0 : range[1] - range[0] + 1;
    DOC_SET(f->read, "%ld %ld: %ld ports", range[0], range[1], n);
    DOC_SET(f->wanted, "%ld ports: %ld/s for %d s", want, d->rate, reuse ? 1 : TIME_WAIT_S);
    if (n >= want)
        return;
    if (n < MOST_PORTS) {
        /* An even first and an odd last one, as the kernel asks for. */
        first = want >= MOST_PORTS ? 1024 : (65536 - want) & ~1L;
        DOC_SET(value, "%ld 65535", first);
        doc_advise_sysctl(d, f, value);
        DOC_SET(f->note, "only for who dials; ports that services listen on belong into "
                         "net.ipv4.ip_local_reserved_ports before");
        return;
    }
    DOC_APPEND(f->wanted, ", more than there are");
    if (!reuse)
        return; /* that is advised elsewhere */
    f->state = c->bad;
    DOC_SET(f->note, "keep connections open, or dial from, or to, more addresses");
}

/* 2, the default, is for loopback only. */
static void check_tw_reuse(struct doctor *d, const struct doc_check *c)
{
    long reuse, want = want_ports(d, false);
    struct doc_finding *f;

    if (!doc_take_sysctl(d, c, &f, &reuse, 1))
        return;
    DOC_SET(f->read, "%ld", reuse);
    if (want <= MOST_PORTS) {
        DOC_SET(f->wanted, "any: %ld ports do", want);
        return;
    }
    DOC_SET(f->wanted, "1: %ld/s for %d s are more ports than there are", d->rate, TIME_WAIT_S);
    if (reuse != 1)
        doc_advise_number(d, f, 1);
}

/* ---- backlogs ---- */

static void check_syn_backlog(struct doctor *d, const struct doc_check *c)
{
    long n, cookies, want = doc_want_queue(d);
    struct doc_finding *f;

    if (!doc_take_sysctl(d, c, &f, &n, 1))
        return;
    DOC_SET(f->read, "%ld", n);
    DOC_SET(f->wanted, "at least %ld", want);
    if (n >= want)
        return;
    if (doc_read_sysctl(d, "net.ipv4.tcp_syncookies", NULL, &cookies, 1) == 1 && cookies != 0)
        DOC_APPEND(f->wanted, ", but has no effect while tcp_syncookies is on");
    else
        doc_advise_number(d, f, want);
}

/* ---- memory ---- */

/* The last of three numbers: what one socket's buffer may grow to. */
static void check_buffer(struct doctor *d, const struct doc_check *c)
{
    const long want = 4 << 20;
    struct doc_finding *f;
    char value[64];
    long n[3];

    if (!doc_take_sysctl(d, c, &f, n, 3))
        return;
    DOC_SET(f->read, "%ld %ld %ld", n[0], n[1], n[2]);
    DOC_SET(f->wanted, "the last at least %ld", want);
    if (n[2] >= want)
        return;
    DOC_SET(value, "%ld %ld %ld", n[0], n[1], want);
    doc_advise_sysctl(d, f, value);
}

/* Pages of the machine; 0 if it does not tell. */
static long pages_of_machine(const struct doctor *d)
{
    char text[256];
    long kib = 0;

    if (doc_read(d, "/proc/meminfo", text, sizeof text) < 0 ||
        sscanf(text, "MemTotal: %ld", &kib) != 1)
        return 0;
    return kib / (sysconf(_SC_PAGESIZE) / 1024);
}

/* Pages of all TCP buffers together: from the second number on the kernel economises, at the third
 * it drops. */
static void check_tcp_mem(struct doctor *d, const struct doc_check *c)
{
    long n[3], want = d->connections * 2, machine = pages_of_machine(d);
    struct doc_finding *f;
    char value[64];

    if (!doc_take_sysctl(d, c, &f, n, 3))
        return;
    DOC_SET(f->read, "%ld %ld %ld pages", n[0], n[1], n[2]);
    DOC_SET(f->wanted, "the second at least %ld: two pages for each connection", want);
    if (n[1] >= want)
        return;
    if (machine > 0 && want > machine / 2) {
        f->state = DOC_FAIL;
        DOC_SET(f->note, "the machine has %ld pages: fewer connections, or more memory", machine);
        return;
    }
    DOC_SET(value, "%ld %ld %ld", want / 4 * 3, want, want / 2 * 3);
    doc_advise_sysctl(d, f, value);
}

/* Its table holds a connection for two minutes after its end. */
static void check_conntrack(struct doctor *d, const struct doc_check *c)
{
    long most, count = -1, want = d->connections + d->connections / 4 + d->rate * 120;
    struct doc_finding *f;

    if (!doc_take_sysctl(d, c, &f, &most, 1)) {
        if (!doc_exists(d, f->source)) {
            f->state = DOC_OK;
            DOC_SET(f->read, "not loaded, or not in this network");
            DOC_SET(f->wanted, "any");
        }
        return;
    }
    (void)doc_read_sysctl(d, "net.netfilter.nf_conntrack_count", NULL, &count, 1);
    DOC_SET(f->read, "%ld", most);
    DOC_SET(f->wanted, "at least %ld: the connections, a quarter, and 120 s of new ones", want);
    if (count >= 0)
        DOC_APPEND(f->read, ", %ld of them in use", count);
    if (count == 0) /* no rule of the firewall asks for it; a machine in use has ssh at least */
        DOC_SET(f->wanted, "any while nothing is tracked");
    else if (most < want)
        doc_advise_number(d, f, want);
}

/* ---- what has gone wrong so far ---- */

static void check_overflows(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f = doc_add(d, c);
    long overflows, drops = 0, full = 0, cookies = 0, opened = 0;
    int r = doc_read_counter(d, "netstat", "TcpExt", "ListenOverflows", &overflows);

    DOC_SET(f->source, "%s/net/netstat", d->proc);
    if (r < 0) {
        doc_unknown(f, f->source, r);
        return;
    }
    (void)doc_read_counter(d, "netstat", "TcpExt", "ListenDrops", &drops);
    (void)doc_read_counter(d, "netstat", "TcpExt", "TCPReqQFullDrop", &full);
    (void)doc_read_counter(d, "netstat", "TcpExt", "TCPReqQFullDoCookies", &cookies);
    (void)doc_read_counter(d, "snmp", "Tcp", "PassiveOpens", &opened);
    DOC_SET(f->read,
            "ListenOverflows %ld, ListenDrops %ld, TCPReqQFullDrop %ld, "
            "TCPReqQFullDoCookies %ld, of PassiveOpens %ld",
            overflows, drops, full, cookies, opened);
    DOC_SET(f->wanted, "at most one in 10000");
    if (overflows + full + cookies <= opened / 10000)
        return;
    f->state = c->bad;
    DOC_SET(f->temporary,
            "nstat -az TcpExtListenOverflows TcpExtListenDrops TcpExtTCPReqQFullDrop");
    DOC_SET(f->note, "runnel doctor --pid PID shows a server's queues, and how long they may get");
}

static void check_retransmits(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f = doc_add(d, c);
    long sent, again = 0;
    int r = doc_read_counter(d, "snmp", "Tcp", "OutSegs", &sent);

    DOC_SET(f->source, "%s/net/snmp", d->proc);
    if (r == 0)
        r = doc_read_counter(d, "snmp", "Tcp", "RetransSegs", &again);
    if (r < 0) {
        doc_unknown(f, f->source, r);
        return;
    }
    DOC_SET(f->read, "RetransSegs %ld of OutSegs %ld, %.2f %%", again, sent,
            sent > 0 ? 100.0 * (double)again / (double)sent : 0.0);
    DOC_SET(f->wanted, "at most 1 %%");
    if (again <= sent / 100 + 10) /* a few say nothing */
        return;
    f->state = c->bad;
    DOC_SET(f->temporary, "ss -tin");
    DOC_SET(f->note, "that shows retrans and rtt of each connection: which peers lose?");
}

const struct doc_check doc_net_checks[] = {
    {.name = "somaxconn",
     .reads = "net.core.somaxconn",
     .why =
         "It caps the backlog of every listen(): connections that arrive while that many wait for "
         "accept are dropped.",
     .run = doc_check_sysctl,
     .key = "net.core.somaxconn",
     .want = doc_want_queue,
     .bad = DOC_WARN},
    {.name = "listeners",
     .reads = "/proc/PID/net/tcp, sock_diag",
     .why = "A listener's queue is limited by what listen() asked for, or by somaxconn as it was "
            "then.",
     .run = doc_check_listeners,
     .bad = DOC_WARN},
    {.name = "tcp_max_syn_backlog",
     .reads = "net.ipv4.tcp_max_syn_backlog",
     .why = "Without SYN cookies new peers are dropped once three quarters of that many handshakes "
            "are under way on a listener.",
     .run = check_syn_backlog,
     .key = "net.ipv4.tcp_max_syn_backlog",
     .bad = DOC_WARN},
    {.name = "tcp_syncookies",
     .reads = "net.ipv4.tcp_syncookies",
     .why =
         "1 answers a flood of SYNs without memory; 0 lets it lock out everybody, 2 sends cookies "
         "always, and some TCP options are lost.",
     .run = doc_check_sysctl,
     .key = "net.ipv4.tcp_syncookies",
     .want = want_one,
     .bound = DOC_EXACTLY,
     .bad = DOC_WARN},
    {.name = "tcp_abort_on_overflow",
     .reads = "net.ipv4.tcp_abort_on_overflow",
     .why = "1 resets clients where a queue overflows; 0 lets them try again, and a burst passes.",
     .run = doc_check_sysctl,
     .key = "net.ipv4.tcp_abort_on_overflow",
     .want = want_zero,
     .bound = DOC_EXACTLY,
     .bad = DOC_WARN},
    {.name = "tcp_migrate_req",
     .reads = "net.ipv4.tcp_migrate_req, /proc/PID/net/tcp",
     .why = "Where one of several SO_REUSEPORT listeners closes, what waits in its queue is reset, "
            "unless it may move to another.",
     .run = doc_check_migrate,
     .key = "net.ipv4.tcp_migrate_req",
     .bad = DOC_WARN},
    {.name = "listen_overflows",
     .reads = "/proc/PID/net/netstat, snmp",
     .why = "So many handshakes have been dropped since the start because a listener's queue was "
            "full: accept more quickly, or longer queues.",
     .run = check_overflows,
     .bad = DOC_WARN},
    {.name = "retransmits",
     .reads = "/proc/PID/net/snmp",
     .why =
         "Segments that had to be sent again since the start: packets are lost on the way, or at "
         "a queue of this machine.",
     .run = check_retransmits,
     .bad = DOC_WARN},
    {.name = "ip_local_port_range",
     .reads = "net.ipv4.ip_local_port_range",
     .why =
         "Each connection dialled to one address takes a port, for 60 s after it was closed here.",
     .run = check_ports,
     .key = "net.ipv4.ip_local_port_range",
     .bad = DOC_WARN},
    {.name = "tcp_tw_reuse",
     .reads = "net.ipv4.tcp_tw_reuse",
     .why =
         "1 lets a dial take a port again one second after its connection was closed here, rather "
         "than 60.",
     .run = check_tw_reuse,
     .key = "net.ipv4.tcp_tw_reuse",
     .bad = DOC_WARN},
    {.name = "tcp_fin_timeout",
     .reads = "net.ipv4.tcp_fin_timeout",
     .why = "Seconds that the kernel keeps a connection closed here whose peer does not close.",
     .run = doc_check_sysctl,
     .key = "net.ipv4.tcp_fin_timeout",
     .want = want_fin_timeout,
     .bound = DOC_AT_MOST,
     .bad = DOC_WARN},
    {.name = "rmem_max",
     .reads = "net.core.rmem_max",
     .why =
         "It caps SO_RCVBUF: UDP sockets need room for bursts; TCP grows by itself up to tcp_rmem.",
     .run = doc_check_sysctl,
     .key = "net.core.rmem_max",
     .want = want_socket_max,
     .bad = DOC_WARN},
    {.name = "wmem_max",
     .reads = "net.core.wmem_max",
     .why = "It caps SO_SNDBUF; TCP grows by itself up to tcp_wmem.",
     .run = doc_check_sysctl,
     .key = "net.core.wmem_max",
     .want = want_socket_max,
     .bad = DOC_WARN},
    {.name = "tcp_rmem",
     .reads = "net.ipv4.tcp_rmem",
     .why = "Its last number caps a receive buffer, half of which is window: with 4 MiB one "
            "connection receives 160 Mbit/s over 100 ms.",
     .run = check_buffer,
     .key = "net.ipv4.tcp_rmem",
     .bad = DOC_WARN},
    {.name = "tcp_wmem",
     .reads = "net.ipv4.tcp_wmem",
     .why = "Its last number caps what one connection has under way: with 4 MiB it sends 330 "
            "Mbit/s over 100 ms.",
     .run = check_buffer,
     .key = "net.ipv4.tcp_wmem",
     .bad = DOC_WARN},
    {.name = "tcp_mem",
     .reads = "net.ipv4.tcp_mem, /proc/meminfo",
     .why =
         "It limits the buffers of all TCP connections together, in pages: near it windows shrink, "
         "above it segments are dropped.",
     .run = check_tcp_mem,
     .key = "net.ipv4.tcp_mem",
     .bad = DOC_WARN},
    {.name = "netdev_max_backlog",
     .reads = "net.core.netdev_max_backlog",
     .why = "Packets that may wait for a CPU, with RPS and on loopback; more are dropped.",
     .run = doc_check_sysctl,
     .key = "net.core.netdev_max_backlog",
     .want = want_packets,
     .bad = DOC_WARN},
    {.name = "nic_queues",
     .reads = "/sys/class/net/*/queues",
     .why = "Each receive queue of a network card interrupts one CPU: with fewer queues than CPUs "
            "these do all the work of the packets.",
     .run = doc_check_nic_queues,
     .bad = DOC_WARN},
    {.name = "rps_cpus",
     .reads = "/sys/class/net/*/queues/rx-*/rps_cpus",
     .why = "RPS spreads the packets of a card with few queues over the CPUs, by flow.",
     .run = doc_check_rps,
     .bad = DOC_WARN},
    {.name = "rps_sock_flow_entries",
     .reads = "net.core.rps_sock_flow_entries",
     .why = "RFS brings packets to the CPU where their reader runs; it needs a table of flows.",
     .run = doc_check_sysctl,
     .key = "net.core.rps_sock_flow_entries",
     .want = want_flows,
     .bad = DOC_WARN},
    {.name = "nf_conntrack_max",
     .reads = "net.netfilter.nf_conntrack_max, nf_conntrack_count",
     .why =
         "Where a firewall tracks connections, packets of new ones are dropped once its table is "
         "full.",
     .run = check_conntrack,
     .key = "net.netfilter.nf_conntrack_max",
     .bad = DOC_FAIL},
};

const int doc_n_net_checks = sizeof doc_net_checks / sizeof doc_net_checks[0];
