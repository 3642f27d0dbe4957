/*
 * msg.c - one message with all that belongs to it
 *
 * On a stream what is beside the bytes goes with the first of them, and a write of several pieces
 * is one unit as in conn.c. A read stops after bytes that came with descriptors, so that these
 * belong to what was read.
 */
#include "base/mem.h"
#include "net/message.h"
#include <runnel/task.h>

#define RECV_FLAGS (RN_MSG_TRUNC | RN_MSG_DONTWAIT)
#define SEND_FLAGS (RN_MSG_MORE | RN_MSG_EOR | RN_MSG_DONTWAIT)

/* ---- receiving ---- */

static ssize_t receive(rn_conn *c, rn_msg *m, int flags)
{
    union rn__control control;
    struct msghdr h;
    ssize_t n;

    if (rn__conn_pending(c) > 0 && !c->is_packet) { /* nothing came beside it that is still there */
        size_t i = 0;

        while (m->iov[i].iov_len == 0)
            i++;
        n = rn__conn_try_read(c, m->iov[i].iov_base, m->iov[i].iov_len);
        h = (struct msghdr){.msg_namelen = 0};
    } else {
        rn__msg_to_recv(m, &control, &h);
        n = rn__message_recv(c, &h, flags);
    }
    if (n >= 0)
        rn__msg_received(m, &h, (size_t)n);
    return n;
}

ssize_t rn_recv_msg(rn_conn *conn, rn_msg *msg, int flags)
{
    ssize_t n;

    if (!conn->is_socket)
        return -ENOTSOCK;
    if ((flags & ~RECV_FLAGS) != 0 || (flags & RN_MSG_TRUNC && !conn->is_packet))
        return -EINVAL;
    n = rn__msg_check_recv(conn, msg);
    if (n < 0)
        return n;
    n = rn__conn_enter_read(conn);
    if (n < 0)
        return n;
    n = receive(conn, msg, flags);
    rn__conn_leave(conn, RN__GATE_READER);
    if (n > 0)
        rn__spend();
    return n;
}

/* ---- segments, where the kernel does not cut them ---- */

bool rn__msg_segments_refused(const rn_msg *m, ssize_t r)
{
    return m->with & RN_WITH_SEGMENTS &&
           (r == -EIO || r == -EINVAL || r == -ENOPROTOOPT || r == -EOPNOTSUPP);
}

/* The iovecs of bytes [from, from + len) of m. */
static int slice(const rn_msg *m, size_t from, size_t len, struct iovec *ret)
{
    int used = 0;

    for (int i = 0; i < m->n_iov && len > 0; i++) {
        size_t there = m->iov[i].iov_len;

        if (from >= there) {
            from -= there;
            continue;
        }
        there -= from;
        ret[used] = (struct iovec){.iov_base = (char *)m->iov[i].iov_base + from,
                                   .iov_len = there < len ? there : len};
        len -= ret[used++].iov_len;
        from = 0;
    }
    return used;
}

static ssize_t send_each(rn_conn *c, const rn_msg *m, struct msghdr *h, size_t sum, int flags)
{
    struct iovec *iov = rn__malloc((size_t)m->n_iov * sizeof *iov);
    size_t done = 0;
    ssize_t n = 0;

    if (iov == NULL)
        return -ENOMEM;
    h->msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
    h->msg_iov = iov;
    while (done < sum && n >= 0) {
        size_t len = sum - done < m->segment_bytes ? sum - done : m->segment_bytes;

        h->msg_iovlen = (size_t)slice(m, done, len, iov);
        n = rn__message_send(c, h, flags);
        if (n >= 0)
            done += (size_t)n;
    }
    rn__free(iov);
    return done > 0 ? (ssize_t)done : n;
}

/* ---- sending ---- */

ssize_t rn__msg_send_packet(rn_conn *c, const rn_msg *m, struct msghdr *h, size_t sum, int flags)
{
    ssize_t n = rn__message_send(c, h, flags);

    return rn__msg_segments_refused(m, n) && sum > 0 ? send_each(c, m, h, sum, flags) : n;
}

static ssize_t send_stream(rn_conn *c, const rn_msg *m, struct msghdr *h, size_t sum, int flags)
{
    ssize_t n = rn__message_send(c, h, flags), r;

    if (n < 0) {
        c->failed |= n != -ETIME && n != -ECANCELED && n != -RN_EWOULDBLOCK;
        return n;
    }
    if ((size_t)n == sum || flags & RN_MSG_DONTWAIT)
        return n;
    r = rn__conn_write_rest(c, m->iov, m->n_iov, rn__message_flags(flags), (size_t)n);
    return r < 0 ? r : (ssize_t)sum;
}

ssize_t rn_send_msg(rn_conn *conn, const rn_msg *msg, int flags)
{
    union rn__control control;
    struct msghdr h;
    ssize_t sum, n;

    if (!conn->is_socket)
        return -ENOTSOCK;
    if ((flags & ~SEND_FLAGS) != 0)
        return -EINVAL;
    sum = rn__msg_check_send(conn, msg);
    if (sum < 0)
        return sum;
    n = rn__conn_enter_write(conn);
    if (n < 0)
        return n;
    n = rn__msg_check_family(conn, msg);
    if (n == 0 && (sum > 0 || conn->is_packet)) {
        rn__msg_to_send(msg, &control, &h);
        n = conn->is_packet ? rn__msg_send_packet(conn, msg, &h, (size_t)sum, flags)
                            : send_stream(conn, msg, &h, (size_t)sum, flags);
    }
    rn__conn_leave(conn, RN__GATE_WRITER);
    if (n >= 0)
        rn__spend();
    return n;
}
