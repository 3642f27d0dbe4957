/*
 * batch.c - many messages with one system call
 *
 * The kernel's structures lie in one allocation, which lasts as long as the call: an array of n
 * headers, then the room for what is beside each message.
 */
#include "base/mem.h"
#include "net/message.h"
#include <runnel/task.h>

#define BATCH_MOST 1024 /* more the kernel takes for as many */
#define CONTROL_ALIGN(len) (((len) + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1))

/* NULL: no memory. */
static struct mmsghdr *prepare(rn_msg *msgs, int n, bool to_send)
{
    size_t size = (size_t)n * sizeof(struct mmsghdr);
    struct mmsghdr *vec;
    char *control;

    for (int i = 0; i < n; i++)
        size += CONTROL_ALIGN(rn__msg_control_room(&msgs[i]));
    vec = rn__malloc(size);
    if (vec == NULL)
        return NULL;
    control = (char *)(vec + n);
    for (int i = 0; i < n; i++) {
        if (to_send)
            rn__msg_to_send(&msgs[i], control, &vec[i].msg_hdr);
        else
            rn__msg_to_recv(&msgs[i], control, &vec[i].msg_hdr);
        control += CONTROL_ALIGN(rn__msg_control_room(&msgs[i]));
    }
    return vec;
}

static int check(rn_conn *c, const rn_msg *msgs, int n, int flags, bool to_send)
{
    if (!c->is_packet || n < 1 || n > BATCH_MOST || (flags & ~RN_MSG_DONTWAIT) != 0)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        if ((to_send ? rn__msg_check_send(c, &msgs[i]) : rn__msg_check_recv(c, &msgs[i])) < 0)
            return -EINVAL;
    return 0;
}

/* ---- receiving ---- */

static int receive(rn_conn *c, struct mmsghdr *vec, int n, int flags)
{
    for (;;) {
        int r;

        if (atomic_load(&c->read_closed))
            return 0;
        rn__iowait_clear(&c->w, RN__READ);
        r = rn__sys_recvmmsg(c->w.fd, vec, (unsigned)n, MSG_CMSG_CLOEXEC);
        if (r != -EAGAIN)
            return r;
        if (flags & RN_MSG_DONTWAIT)
            return -RN_EWOULDBLOCK;
        r = rn__message_wait_one(c);
        if (r < 0)
            return r;
    }
}

int rn_recv_batch(rn_conn *conn, rn_msg *msgs, int n, int flags)
{
    struct mmsghdr *vec;
    int r = check(conn, msgs, n, flags, false);

    if (r < 0)
        return r;
    r = rn__conn_enter_read(conn);
    if (r < 0)
        return r;
    vec = prepare(msgs, n, false);
    r = vec == NULL ? -ENOMEM : receive(conn, vec, n, flags);
    for (int i = 0; i < r; i++)
        rn__msg_received(&msgs[i], &vec[i].msg_hdr, vec[i].msg_len);
    rn__conn_leave(conn, RN__GATE_READER);
    rn__free(vec);
    if (r > 0)
        rn__spend();
    return r;
}

/* ---- sending ---- */

/* At least one, or an error. */
static int send_some(rn_conn *c, struct mmsghdr *vec, int n, int flags)
{
    rn_time pause = RN__PAUSE_FIRST;

    for (;;) {
        int r;

        rn__iowait_clear(&c->w, RN__WRITE);
        r = rn__sys_sendmmsg(c->w.fd, vec, (unsigned)n, MSG_NOSIGNAL);
        if (r != -EAGAIN)
            return r;
        if (flags & RN_MSG_DONTWAIT)
            return -RN_EWOULDBLOCK;
        r = rn__message_wait_room(c, &vec->msg_hdr, &pause);
        if (r < 0)
            return r;
    }
}

static int send_all(rn_conn *c, rn_msg *msgs, struct mmsghdr *vec, int n, int flags)
{
    int done = 0, r = 0;

    while (done < n && r >= 0) {
        r = send_some(c, vec + done, n - done, flags);
        for (int i = 0; i < r; i++, done++)
            msgs[done].len = vec[done].msg_len;
        if (r < 0 && rn__msg_segments_refused(&msgs[done], r)) {
            ssize_t sum = rn__iov_sum(msgs[done].iov, msgs[done].n_iov);
            ssize_t sent = rn__msg_send_packet(c, &msgs[done], &vec[done].msg_hdr, (size_t)sum,
                                               flags);

            r = sent < 0 ? (int)sent : 0;
            if (r == 0)
                msgs[done++].len = (size_t)sent;
        }
    }
    return done > 0 ? done : r;
}

int rn_send_batch(rn_conn *conn, rn_msg *msgs, int n, int flags)
{
    struct mmsghdr *vec;
    int r = check(conn, msgs, n, flags, true);

    if (r < 0)
        return r;
    r = rn__conn_enter_write(conn);
    if (r < 0)
        return r;
    for (int i = 0; r == 0 && i < n; i++)
        r = rn__msg_check_family(conn, &msgs[i]);
    if (r == 0) {
        vec = prepare(msgs, n, true);
        r = vec == NULL ? -ENOMEM : send_all(conn, msgs, vec, n, flags);
        rn__free(vec);
    }
    rn__conn_leave(conn, RN__GATE_WRITER);
    if (r > 0)
        rn__spend();
    return r;
}
