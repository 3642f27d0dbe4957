/*
 * tcpinfo.c - what the kernel knows about a TCP connection, or a listener
 *
 * <linux/tcp.h> has the whole struct, libc's only its first half; both at once do not compile, so
 * <netinet/tcp.h> must not come in here. A kernel that is older than the header fills in less: what
 * is missing stays 0.
 */
#include <runnel/sockopt.h>

#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/net.h"
#include "net/procfs.h"

#define NETSTAT_MOST (16 << 10)

const char *rn_tcp_state_name(int state)
{
    static const char *const names[] = {[RN_TCP_ESTABLISHED] = "ESTABLISHED",
                                        [RN_TCP_SYN_SENT] = "SYN_SENT",
                                        [RN_TCP_SYN_RECV] = "SYN_RECV",
                                        [RN_TCP_FIN_WAIT1] = "FIN_WAIT1",
                                        [RN_TCP_FIN_WAIT2] = "FIN_WAIT2",
                                        [RN_TCP_TIME_WAIT] = "TIME_WAIT",
                                        [RN_TCP_CLOSE] = "CLOSE",
                                        [RN_TCP_CLOSE_WAIT] = "CLOSE_WAIT",
                                        [RN_TCP_LAST_ACK] = "LAST_ACK",
                                        [RN_TCP_LISTEN] = "LISTEN",
                                        [RN_TCP_CLOSING] = "CLOSING"};

    if (state < RN_TCP_ESTABLISHED || state > RN_TCP_CLOSING)
        return "?";
    return names[state];
}

static int get_info(int fd, struct tcp_info *ti)
{
    socklen_t len = sizeof *ti;

    memset(ti, 0, sizeof *ti);
    return rn__sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, ti, &len);
}

static rn_time from_us(uint64_t us)
{
    return (rn_time)us * RN_MICROSECOND;
}

static void fill_times(rn_tcp_info *i, const struct tcp_info *ti)
{
    i->rtt_ns = from_us(ti->tcpi_rtt);
    i->rtt_var_ns = from_us(ti->tcpi_rttvar);
    /* All ones: no sample yet. */
    i->min_rtt_ns = ti->tcpi_min_rtt == UINT32_MAX ? 0 : from_us(ti->tcpi_min_rtt);
    i->rto_ns = from_us(ti->tcpi_rto);
    i->since_sent_ns = ti->tcpi_last_data_sent * RN_MILLISECOND;
    i->since_received_ns = ti->tcpi_last_data_recv * RN_MILLISECOND;
    i->busy_ns = from_us(ti->tcpi_busy_time);
    i->rwnd_limited_ns = from_us(ti->tcpi_rwnd_limited);
    i->sndbuf_limited_ns = from_us(ti->tcpi_sndbuf_limited);
}

static void fill_counts(rn_tcp_info *i, const struct tcp_info *ti)
{
    i->mss_send = ti->tcpi_snd_mss;
    i->mss_recv = ti->tcpi_rcv_mss;
    i->path_mtu = ti->tcpi_pmtu;
    i->cwnd = ti->tcpi_snd_cwnd;
    i->ssthresh = ti->tcpi_snd_ssthresh;
    i->unacked = ti->tcpi_unacked;
    i->lost = ti->tcpi_lost;
    i->retransmits = ti->tcpi_retransmits;
    i->total_retransmits = ti->tcpi_total_retrans;
    i->probes = ti->tcpi_probes;
    i->reordering = ti->tcpi_reordering;
    i->unsent_bytes = ti->tcpi_notsent_bytes;
    i->bytes_sent = ti->tcpi_bytes_sent;
    i->bytes_retransmitted = ti->tcpi_bytes_retrans;
    i->bytes_acked = ti->tcpi_bytes_acked;
    i->bytes_received = ti->tcpi_bytes_received;
    i->segments_sent = ti->tcpi_segs_out;
    i->segments_received = ti->tcpi_segs_in;
    i->delivery_rate = ti->tcpi_delivery_rate;
    i->pacing_rate = ti->tcpi_pacing_rate;
    i->delivery_app_limited = ti->tcpi_delivery_rate_app_limited;
}

int rn_get_tcp_info(rn_conn *conn, rn_tcp_info *ret)
{
    struct tcp_info ti;
    int r = rn__conn_hold(conn);

    if (r < 0)
        return r;
    r = conn->is_tcp ? get_info(conn->w.fd, &ti) : -ENOTSUP;
    rn__conn_leave(conn, RN__GATE_HOLDER);
    if (r < 0)
        return r;
    memset(ret, 0, sizeof *ret);
    ret->state = (enum rn_tcp_state)ti.tcpi_state;
    fill_times(ret, &ti);
    fill_counts(ret, &ti);
    return 0;
}

/* ---- listeners ---- */

/* The value below `name` of the two lines "TcpExt: name name" and "TcpExt: value value"; or -1. */
static int64_t netstat_value(const char *text, const char *name)
{
    const char *names = strstr(text, "TcpExt: "), *values, *end;
    size_t len = strlen(name);

    if (names == NULL || (end = strchr(names, '\n')) == NULL)
        return -1;
    values = end + 1;
    /* The first word of each is the same. */
    for (;;) {
        names = strchr(names, ' ');
        values = strchr(values, ' ');
        if (names == NULL || names > end || values == NULL)
            return -1;
        names++;
        values++;
        if (strncmp(names, name, len) == 0 && (names[len] == ' ' || names[len] == '\n'))
            return strtoll(values, NULL, 10);
    }
}

void rn__listen_system(rn_listener_stats *s)
{
    char *text = rn__proc_read("/proc/net/netstat", NETSTAT_MOST);
    const char *at = text == NULL ? "" : text;

    s->system_overflows = netstat_value(at, "ListenOverflows");
    s->system_drops = netstat_value(at, "ListenDrops");
    s->syn_queue_drops = netstat_value(at, "TCPReqQFullDrop");
    s->syn_cookies_sent = netstat_value(at, "SyncookiesSent");
    rn__free(text);
}

static int somaxconn(void)
{
    char *text = rn__proc_read("/proc/sys/net/core/somaxconn", 32);
    int n = text == NULL ? -1 : (int)strtol(text, NULL, 10);

    rn__free(text);
    return n;
}

/* A listening socket tells its queue in two fields that mean something else elsewhere. */
int rn__listener_queue(rn_listener *ln, rn_listener_stats *s)
{
    struct tcp_info ti;
    int r, most;

    s->backlog_asked = ln->backlog;
    if (ln->is_tcp) {
        r = get_info(atomic_load(&ln->fd), &ti);
        if (r < 0)
            return r;
        s->queued = (int)ti.tcpi_unacked;
        s->queue_limit = s->backlog = (int)ti.tcpi_sacked;
        return 0;
    }
    most = somaxconn();
    s->queued = -1;
    s->backlog = most >= 0 && (ln->backlog < 0 || ln->backlog > most) ? most : ln->backlog;
    s->queue_limit = s->backlog;
    return 0;
}

static int get_queue(rn_listener *ln, rn_listener_stats *s)
{
    int r = rn__self() == NULL ? -EDEADLK : rn__listener_enter(ln);

    if (r < 0)
        return r;
    r = rn__listener_queue(ln, s);
    rn__listener_leave(ln);
    return r;
}

int rn__listener_queued(rn_listener *ln)
{
    rn_listener_stats s;
    int r = get_queue(ln, &s);

    return r < 0 ? r : s.queued;
}

int rn_get_listener_stats(rn_listener *ln, rn_listener_stats *ret)
{
    rn_listener_stats s = {0};
    int r = get_queue(ln, &s);

    if (r < 0)
        return r;
    rn__listen_system(&s);
    *ret = s;
    return 0;
}
