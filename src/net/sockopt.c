/*
 * sockopt.c - socket options, of a connection and of those that are to come
 *
 * The options of a listening socket are inherited by what it accepts, the keep-alive timer too: the
 * kernel copies the socket. A call here holds the connection, so that its descriptor cannot become
 * somebody else's meanwhile.
 */
#include <runnel/sockopt.h>

#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>

#include "net/net.h"

/* Go's 15 s, 15 s and 9 probes find a dead peer after 150 s. So do these, with a quarter of the
 * packets where many connections are idle. */
#define IDLE_S 60
#define INTERVAL_S 15
#define COUNT 6

#define DSCP_MOST 63

static int set(int fd, int level, int name, int value)
{
    return rn__sys_setsockopt(fd, level, name, &value, sizeof value);
}

static int set_keep_alive(int fd, int idle_s, int interval_s, int count)
{
    int r = set(fd, SOL_SOCKET, SO_KEEPALIVE, idle_s >= 0);

    if (r < 0 || idle_s < 0)
        return r;
    r = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s == 0 ? IDLE_S : idle_s);
    if (r == 0)
        r = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s == 0 ? INTERVAL_S : interval_s);
    if (r == 0)
        r = set(fd, IPPROTO_TCP, TCP_KEEPCNT, count == 0 ? COUNT : count);
    return r;
}

static int set_buffers(int fd, int recv_bytes, int send_bytes)
{
    int r = 0;

    if (recv_bytes > 0)
        r = set(fd, SOL_SOCKET, SO_RCVBUF, recv_bytes);
    if (r == 0 && send_bytes > 0)
        r = set(fd, SOL_SOCKET, SO_SNDBUF, send_bytes);
    return r;
}

/* An IPv6 socket may carry IPv4, which has a field of its own. */
static int set_dscp(int fd, int family, int dscp)
{
    int r = 0;

    if (family == AF_INET6)
        r = set(fd, IPPROTO_IPV6, IPV6_TCLASS, dscp << 2);
    return r == 0 ? set(fd, IPPROTO_IP, IP_TOS, dscp << 2) : r;
}

/* ---- before it listens or connects ---- */

int rn__socket_options_check(const rn_socket_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (o->keep_alive_idle_s < -1 || o->keep_alive_interval_s < 0 || o->keep_alive_count < 0)
        return -EINVAL;
    if (o->recv_bytes < 0 || o->send_bytes < 0 || o->user_timeout_ms < 0)
        return -EINVAL;
    return o->dscp < 0 || o->dscp > DSCP_MOST ? -EINVAL : 0;
}

int rn__socket_options_set(int fd, int family, int type, const rn_socket_options *o)
{
    int r = set_buffers(fd, o->recv_bytes, o->send_bytes);

    if (r < 0 || family == AF_UNIX)
        return r;
    if (type == SOCK_STREAM)
        r = set_keep_alive(fd, o->keep_alive_idle_s, o->keep_alive_interval_s, o->keep_alive_count);
    if (r == 0 && type == SOCK_STREAM && o->user_timeout_ms > 0)
        r = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
    if (r == 0 && o->dscp > 0)
        r = set_dscp(fd, family, o->dscp);
    if (r == 0 && o->device != NULL)
        r = rn__sys_setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->device,
                               (socklen_t)strlen(o->device));
    return r;
}

/* ---- of a connection ---- */

static int set_held(rn_conn *c, int level, int name, int value)
{
    int r = rn__conn_hold(c);

    if (r < 0)
        return r;
    r = set(c->w.fd, level, name, value);
    rn__conn_leave(c, RN__GATE_HOLDER);
    return r;
}

int rn_set_no_delay(rn_conn *conn, bool on)
{
    return set_held(conn, IPPROTO_TCP, TCP_NODELAY, on);
}

int rn_set_quick_ack(rn_conn *conn, bool on)
{
    return set_held(conn, IPPROTO_TCP, TCP_QUICKACK, on);
}

int rn_set_user_timeout(rn_conn *conn, int timeout_ms)
{
    return set_held(conn, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms);
}

int rn_set_keep_alive(rn_conn *conn, int idle_s, int interval_s, int count)
{
    int r;

    if (idle_s < -1 || interval_s < 0 || count < 0)
        return -EINVAL;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = set_keep_alive(conn->w.fd, idle_s, interval_s, count);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

int rn_set_buffers(rn_conn *conn, int recv_bytes, int send_bytes)
{
    int r;

    if (recv_bytes < 0 || send_bytes < 0)
        return -EINVAL;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = set_buffers(conn->w.fd, recv_bytes, send_bytes);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

int rn_set_linger(rn_conn *conn, int seconds)
{
    struct linger linger = {.l_onoff = seconds == 0};
    int r;

    /* A positive time makes close(2) wait, also on a non-blocking socket. */
    if (seconds != 0 && seconds != -1)
        return -EINVAL;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = rn__sys_setsockopt(conn->w.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    if (r == 0)
        conn->reset_on_close = seconds == 0;
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

int rn_set_dscp(rn_conn *conn, int dscp)
{
    int family, r;
    socklen_t len = sizeof family;

    if (dscp < 0 || dscp > DSCP_MOST)
        return -EINVAL;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = rn__sys_getsockopt(conn->w.fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
    if (r == 0)
        r = conn->is_tcp ? set_dscp(conn->w.fd, family, dscp) : -EINVAL;
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

int rn_raw_control(rn_conn *conn, int (*fn)(int fd, void *arg), void *arg)
{
    int r = rn__conn_hold(conn);

    if (r < 0)
        return r;
    r = fn(conn->w.fd, arg);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}
