/*
 * message.c - datagrams, and receiving and sending with flags
 *
 * The same loop as in conn.c: clear the latch, try, wait. What is received here never leaves
 * `drained` set: these calls may leave bytes behind whose edge they have cleared.
 *
 * A datagram socket that is not connected cannot wait for room at its peer: a unix socket is
 * writable while the one it sends to is full. It pauses and tries again.
 */
#include <limits.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/probe.h"
#include "net/message.h"
#include <runnel/task.h>

#define RECV_FLAGS (RN_MSG_PEEK | RN_MSG_WAITALL | RN_MSG_OOB | RN_MSG_TRUNC | RN_MSG_DONTWAIT)
#define SEND_FLAGS (RN_MSG_MORE | RN_MSG_EOR | RN_MSG_OOB | RN_MSG_DONTWAIT)

static const struct rn__wait_kind wait_recv = {.name = "recv", .interrupt = rn__iowait_interrupt};
static const struct rn__wait_kind wait_send = {.name = "send", .interrupt = rn__iowait_interrupt};

/* ---- addresses ---- */

static void publish(const struct rn__addr *a, rn_addr *ret)
{
    *ret = (rn_addr){.len = a->len};
    memcpy(&ret->at, &a->sa, a->len);
}

int rn_addr_parse(const char *network, const char *text, rn_addr *ret)
{
    struct rn__addr addrs[RN__ADDRS] = {{.len = 0}};
    enum rn__net net;
    int type, r = rn__net_parse(network, &net, &type);

    if (r == 0)
        r = rn__addr_resolve(net, text, false, addrs);
    if (r < 0)
        return r;
    publish(&addrs[0], ret);
    return 0;
}

int rn_addr_format(const rn_addr *addr, char *text, size_t len)
{
    struct rn__addr a = {.len = addr->len};

    if (addr->len > sizeof a - offsetof(struct rn__addr, sa))
        return -EAFNOSUPPORT;
    memcpy(&a.sa, &addr->at, addr->len);
    return rn__addr_format(&a, text, len);
}

/* ---- opening ---- */

int rn_listen_packet(const char *network, const char *address, const rn_listen_options *options,
                     rn_conn **ret)
{
    static const rn_listen_options defaults;
    const rn_listen_options *o = options == NULL ? &defaults : options;
    enum rn__net net;
    rn_conn *c;
    int type, fd, r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = rn__net_parse(network, &net, &type);
    if (r == 0 && type != SOCK_DGRAM)
        r = -RN_ENETWORK;
    if (r < 0)
        return r;
    fd = rn__listen_open(net, type, address, o);
    if (fd < 0)
        return fd;
    r = rn__conn_new(fd, true, false, &c);
    if (r < 0) {
        if (net == RN__UNIX && *address != '@')
            (void)rn__sys_unlink(address);
        (void)rn__sys_close(fd);
        return r;
    }
    c->is_packet = true;
    c->has_path = net == RN__UNIX && !o->keep_path;
    rn__conn_count(c, RN__COUNT_ADOPTED);
    RN_PROBE(conn_adopted, c->w.fd);
    *ret = c;
    return 0;
}

/* ---- receiving ---- */

int rn__message_flags(int flags)
{
    static const int pairs[][2] = {{RN_MSG_PEEK, MSG_PEEK},
                                   {RN_MSG_OOB, MSG_OOB},
                                   {RN_MSG_TRUNC, MSG_TRUNC},
                                   {RN_MSG_MORE, MSG_MORE},
                                   {RN_MSG_EOR, MSG_EOR}};
    int out = 0;

    for (size_t i = 0; i < RN_COUNT_OF(pairs); i++)
        if (flags & pairs[i][0])
            out |= pairs[i][1];
    return out;
}

static ssize_t try_recv(rn_conn *c, struct msghdr *m, int flags)
{
    c->drained = false;
    rn__iowait_clear(&c->w, RN__READ);
    return m->msg_name != NULL
               ? rn__sys_recvmsg(c->w.fd, m, flags | MSG_CMSG_CLOEXEC)
               : rn__sys_recv(c->w.fd, m->msg_iov->iov_base, m->msg_iov->iov_len, flags);
}

int rn__message_wait_one(rn_conn *c)
{
    if (atomic_load(&c->read_closed)) /* after the clear: as rn__conn_wait_read */
        return 0;
    return rn__iowait_wait(&c->w, RN__READ, &wait_recv);
}

ssize_t rn__message_recv(rn_conn *c, struct msghdr *m, int flags)
{
    for (;;) {
        ssize_t n;
        int r;

        if (atomic_load(&c->read_closed)) {
            m->msg_namelen = 0;
            m->msg_controllen = 0;
            return 0;
        }
        n = try_recv(c, m, rn__message_flags(flags));
        if (n != -EAGAIN) {
            c->saw_eof |= n == 0 && !c->is_packet;
            c->failed |= n < 0 && !(flags & RN_MSG_OOB);
            return n;
        }
        if (flags & RN_MSG_DONTWAIT)
            return -RN_EWOULDBLOCK;
        r = rn__message_wait_one(c);
        if (r < 0)
            return r;
    }
}

/* Bytes that were unread come first; a peek leaves them. */
static ssize_t recv_stream(rn_conn *c, char *buf, size_t len, int flags)
{
    size_t have = flags & RN_MSG_OOB ? 0 : rn__conn_pending(c), done = 0;
    struct iovec iov;
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = 0;

    if (have > 0) {
        n = rn__conn_try_read(c, buf, len);
        if (n < 0 || !(flags & (RN_MSG_PEEK | RN_MSG_WAITALL)))
            return n;
        if (flags & RN_MSG_PEEK) {
            int r = rn_unread(c, buf, (size_t)n);

            return r < 0 ? r : n;
        }
        done = (size_t)n;
    }
    while (done < len) {
        iov = (struct iovec){.iov_base = buf + done, .iov_len = len - done};
        n = rn__message_recv(c, &m, flags);
        if (n <= 0 || !(flags & RN_MSG_WAITALL))
            break;
        done += (size_t)n;
    }
    return flags & RN_MSG_WAITALL && done > 0 ? (ssize_t)done : done == len ? (ssize_t)len : n;
}

ssize_t rn_recv(rn_conn *conn, void *buf, size_t len, int flags)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int both = RN_MSG_PEEK | RN_MSG_WAITALL;
    ssize_t n;

    if ((flags & ~RECV_FLAGS) != 0 || len > SSIZE_MAX || (flags & both) == both ||
        (flags & RN_MSG_WAITALL && (flags & RN_MSG_OOB || conn->is_packet)) ||
        (flags & RN_MSG_TRUNC && !conn->is_packet) || (flags & RN_MSG_OOB && !conn->is_tcp))
        return -EINVAL;
    if (!conn->is_socket)
        return -ENOTSOCK;
    if (len == 0 && !conn->is_packet)
        return 0;
    n = rn__conn_enter_read(conn);
    if (n < 0)
        return n;
    n = conn->is_packet ? rn__message_recv(conn, &m, flags) : recv_stream(conn, buf, len, flags);
    rn__conn_leave(conn, RN__GATE_READER);
    if (n > 0)
        rn__spend();
    return n;
}

ssize_t rn_recv_from(rn_conn *conn, void *buf, size_t len, rn_addr *from)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    rn_addr a;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_name = &a.at, .msg_namelen = sizeof a.at};
    ssize_t n;

    if (!conn->is_packet || len > SSIZE_MAX)
        return -EINVAL;
    n = rn__conn_enter_read(conn);
    if (n < 0)
        return n;
    n = rn__message_recv(conn, &m, 0);
    rn__conn_leave(conn, RN__GATE_READER);
    if (n < 0)
        return n;
    rn__spend();
    a.len = m.msg_namelen;
    if (from != NULL)
        *from = a;
    return n;
}

int rn_at_mark(rn_conn *conn)
{
    int at = 0, r;

    if (!conn->is_socket)
        return -ENOTSOCK;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = rn__sys_ioctl(conn->w.fd, SIOCATMARK, &at);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r < 0 ? r : at != 0;
}

/* ---- sending ---- */

int rn__message_wait_room(rn_conn *c, const struct msghdr *m, rn_time *pause)
{
    bool to_unix = c->is_packet && m->msg_name != NULL && m->msg_namelen > 0 &&
                   ((struct sockaddr *)m->msg_name)->sa_family == AF_UNIX;

    return to_unix ? rn__conn_pause(c, pause) : rn__iowait_wait(&c->w, RN__WRITE, &wait_send);
}

ssize_t rn__message_send(rn_conn *c, const struct msghdr *m, int flags)
{
    rn_time pause = RN__PAUSE_FIRST;

    for (;;) {
        ssize_t n;
        int r;

        rn__iowait_clear(&c->w, RN__WRITE);
        n = rn__sys_sendmsg(c->w.fd, m, rn__message_flags(flags) | MSG_NOSIGNAL);
        if (n >= 0)
            atomic_store_explicit(&c->held_back, c->is_tcp && flags & RN_MSG_MORE,
                                  memory_order_relaxed);
        if (n != -EAGAIN)
            return n;
        if (flags & RN_MSG_DONTWAIT)
            return -RN_EWOULDBLOCK;
        r = rn__message_wait_room(c, m, &pause);
        if (r < 0)
            return r;
    }
}

static ssize_t send_message(rn_conn *c, const void *buf, size_t len, const rn_addr *to, int flags)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = rn__conn_enter_write(c);

    if (n < 0)
        return n;
    if (to != NULL) {
        m.msg_name = (void *)&to->at;
        m.msg_namelen = to->len;
    }
    n = rn__message_send(c, &m, flags);
    rn__conn_leave(c, RN__GATE_WRITER);
    if (n >= 0)
        rn__spend();
    return n;
}

ssize_t rn_send(rn_conn *conn, const void *buf, size_t len, int flags)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};

    if ((flags & ~SEND_FLAGS) != 0 || len > SSIZE_MAX || (flags & RN_MSG_OOB && !conn->is_tcp))
        return -EINVAL;
    if (!conn->is_socket)
        return -ENOTSOCK;
    if (conn->is_packet || (flags & RN_MSG_DONTWAIT && len > 0))
        return send_message(conn, buf, len, NULL, flags);
    return rn__conn_write(conn, &iov, 1, rn__message_flags(flags));
}

ssize_t rn_send_to(rn_conn *conn, const void *buf, size_t len, const rn_addr *to)
{
    if (!conn->is_packet || len > SSIZE_MAX || to->len > sizeof to->at)
        return -EINVAL;
    return send_message(conn, buf, len, to, 0);
}
