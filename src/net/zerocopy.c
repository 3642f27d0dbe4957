/*
 * zerocopy.c - sending out of the caller's buffer (MSG_ZEROCOPY)
 *
 * Each such send pins the pages it took, and the kernel tells through the socket's error queue when
 * it has let go of them. A call keeps the writers' turn until it has seen as many of these notices
 * as it made sends; so they are all its own, and a count suffices.
 *
 * A notice shows as ERR, which wakes both directions; a reader tries, finds nothing and waits on,
 * for a notice is no error of the socket's. Pollers that arm would report a writable socket at
 * once, and select cannot arm the error queue alone: there the wait is a pause.
 *
 * What the kernel has not let go of belongs to it: only a disconnect, which empties its queues and
 * resets the connection, gives the buffer back before the peer has acknowledged.
 */
#include <time.h> /* which errqueue.h forgets */

#include <limits.h>
#include <linux/errqueue.h>
#include <string.h>

#include "net/net.h"
#include <runnel/ancillary.h>
#include <runnel/task.h>

#define LEAST ((size_t)16 << 10) /* pinning costs more than copying this */
#define PAUSE_FIRST (RN_MILLISECOND / 10)

/* rn_conn.zerocopy */
enum { UNTRIED, ON, OFF };

static const struct rn__wait_kind wait_room = {.name = "send zerocopy",
                                               .interrupt = rn__iowait_interrupt};
static const struct rn__wait_kind wait_notice = {.name = "zerocopy notice",
                                                 .interrupt = rn__iowait_interrupt};

struct sending {
    rn_conn *c;
    uint64_t pinned; /* sends the kernel has not let go of */
    bool no_room;    /* for its bookkeeping */
    rn_zerocopy_report report;
};

/* ---- notices ---- */

static void take_notice(struct sending *s, const struct cmsghdr *cm)
{
    bool is_error = (cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_RECVERR) ||
                    (cm->cmsg_level == IPPROTO_IPV6 && cm->cmsg_type == IPV6_RECVERR);
    struct sock_extended_err e;
    uint32_t n;

    if (!is_error)
        return;
    memcpy(&e, CMSG_DATA(cm), sizeof e);
    if (e.ee_errno != 0 || e.ee_origin != SO_EE_ORIGIN_ZEROCOPY)
        return;
    n = e.ee_data - e.ee_info + 1; /* a range of sends, by their numbers, which wrap */
    s->pinned -= n < s->pinned ? n : s->pinned;
    if (e.ee_code & SO_EE_CODE_ZEROCOPY_COPIED) {
        s->c->zerocopy = OFF;
        s->report.calls_copied += n;
    }
}

/* All there are: -EAGAIN, or the error that kept it from looking. */
static ssize_t take_notices(struct sending *s)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6))];
    } control;

    for (;;) {
        struct msghdr m = {.msg_control = &control, .msg_controllen = sizeof control};

        ssize_t r = rn__sys_recvmsg(s->c->w.fd, &m, MSG_ERRQUEUE);

        if (r < 0)
            return r;
        for (struct cmsghdr *cm = CMSG_FIRSTHDR(&m); cm != NULL; cm = CMSG_NXTHDR(&m, cm))
            take_notice(s, cm);
    }
}

/* Until the kernel has let go of all. */
static int wait_notices(struct sending *s)
{
    rn_time pause = PAUSE_FIRST;

    for (;;) {
        ssize_t looked;
        int r;

        rn__iowait_clear(&s->c->w, RN__WRITE);
        looked = take_notices(s);
        if (s->pinned == 0)
            return 0;
        if (looked == -EAGAIN && rn__iowait_has_edges()) { /* else their edge may be behind us */
            r = rn__iowait_wait(&s->c->w, RN__WRITE, &wait_notice);
        } else {
            r = rn__conn_pause(s->c, &pause);
            pause = pause > RN_MILLISECOND ? RN_MILLISECOND : pause;
        }
        if (r < 0)
            return r;
    }
}

/* The caller gets its buffer back, whatever it costs the connection. */
static void let_go(struct sending *s)
{
    static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    (void)take_notices(s);
    if (s->pinned == 0)
        return;
    s->c->failed = true;
    (void)rn__sys_connect(s->c->w.fd, &nobody, sizeof nobody);
    rn_shield_begin();
    while ((void)take_notices(s), s->pinned > 0)
        if (rn_sleep(PAUSE_FIRST) < 0)
            rn_yield();
    rn_shield_end();
}

/* ---- sending ---- */

static ssize_t try_send(struct sending *s, const char *buf, size_t len)
{
    rn_conn *c = s->c;
    ssize_t n;

    rn__iowait_clear(&c->w, RN__WRITE);
    if (c->zerocopy == ON && !s->no_room && len >= LEAST) {
        n = rn__sys_send(c->w.fd, buf, len, MSG_ZEROCOPY | MSG_NOSIGNAL);

        if (n >= 0) {
            s->pinned++;
            s->report.calls++;
            s->report.by_reference += n;
        }
        if (n != -ENOBUFS && n != -ENOMEM)
            return n;
        s->no_room = true;
    }
    n = rn__sys_send(c->w.fd, buf, len, MSG_NOSIGNAL);
    s->report.by_copy += n > 0 ? n : 0;
    return n;
}

static ssize_t send_all(struct sending *s, const char *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = try_send(s, buf + done, len - done);

        if (n == -EAGAIN) {
            (void)take_notices(s);
            n = rn__iowait_wait(&s->c->w, RN__WRITE, &wait_room);
        }
        if (n < 0) {
            if (done > 0)
                s->c->write_error = (int)n;
            else
                s->c->failed |= n != -ETIME && n != -ECANCELED;
            return n;
        }
        done += (size_t)n;
    }
    return 0;
}

static ssize_t send_with_turn(struct sending *s, const void *buf, size_t len)
{
    static const int on = 1;
    rn_conn *c = s->c;
    ssize_t r;

    if (c->zerocopy == UNTRIED)
        c->zerocopy = c->is_tcp && rn__sys_setsockopt(c->w.fd, SOL_SOCKET, SO_ZEROCOPY, &on,
                                                      sizeof on) == 0
                          ? ON
                          : OFF;
    /* A notice would wake a receive of the poller's over and over. */
    atomic_store_explicit(&c->by_ops, false, memory_order_relaxed);
    r = send_all(s, buf, len);
    if (r == 0) {
        r = wait_notices(s);
        if (r < 0)
            c->write_error = (int)r;
    }
    if (r < 0)
        let_go(s);
    return r;
}

static ssize_t send_zerocopy(struct sending *s, const void *buf, size_t len)
{
    rn_conn *c = s->c;
    ssize_t r;

    if (len < LEAST || !c->is_tcp) {
        r = rn_write(c, buf, len);
        s->report.by_copy += r > 0 ? r : 0;
        return r;
    }
    r = rn__conn_enter_write(c);
    if (r < 0)
        return r;
    r = send_with_turn(s, buf, len);
    rn__conn_leave(c, RN__GATE_WRITER);
    if (r < 0)
        return r;
    rn__spend();
    return (ssize_t)len;
}

ssize_t rn_send_zerocopy(rn_conn *conn, const void *buf, size_t len, rn_zerocopy_report *report)
{
    struct sending s = {.c = conn};
    ssize_t r = len > SSIZE_MAX ? -EINVAL : send_zerocopy(&s, buf, len);

    if (report != NULL)
        *report = s.report;
    return r;
}
