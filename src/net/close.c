/*
 * close.c - cancel, half-close, close, and the close that lingers
 *
 *      OPEN --close--> (others leave) --+--> descriptor closed, slot free
 *                                       |                    ^
 *                      unread input     v                    | end of stream, error, 64 KiB, 2 s
 *                                   shutdown(WR) --> LINGERING (at rest: no coroutine, no stack)
 *
 * Closing a TCP socket with unread input makes the kernel send RST, and the peer then loses what it
 * had not read yet of our last answer.
 */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/probe.h"
#include "net/net.h"
#include <runnel/stats.h>

#define LINGER_MOST_KIB 64
#define LINGER_TIME (2 * RN_SECOND)

void rn_cancel(rn_conn *conn)
{
    (void)rn_cancel_ref(rn_conn_ref(conn));
}

rn_ref rn_conn_ref(rn_conn *conn)
{
    return (rn_ref){.index = conn->w.index, .generation = rn__iowait_generation(&conn->w)};
}

bool rn_cancel_ref(rn_ref ref)
{
    bool was_open, foreign = rn__foreign_begin(); /* the wake goes to a P's inbox */

    was_open = rn__iowait_cancel_if(ref.index, ref.generation);
    rn__foreign_end(foreign);
    return was_open;
}

int rn_close_write(rn_conn *conn)
{
    int r = rn__conn_enter_write(conn);

    if (r < 0)
        return r;
    r = conn->is_socket ? rn__sys_shutdown(conn->w.fd, SHUT_WR) : -ENOTSOCK;
    rn__conn_leave(conn, RN__GATE_WRITER);
    return r;
}

/* TCP is not told: with SHUT_RD it would reset a peer that goes on sending after our end of stream,
 * and so end a close that lingers. The flag comes before the nudge, and a reader looks at it before
 * each try. */
int rn_close_read(rn_conn *conn)
{
    int r = conn->is_socket ? rn__conn_hold(conn) : -ENOTSOCK;

    if (r < 0)
        return r;
    r = conn->is_tcp ? 0 : rn__sys_shutdown(conn->w.fd, SHUT_RD);
    if (r == 0) {
        atomic_store(&conn->read_closed, true);
        rn__iowait_nudge(&conn->w, RN__READ);
    }
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

/* Of a datagram socket, before the close: after it the path may be another's. */
static void remove_path(int fd)
{
    struct rn__addr a = {.len = sizeof a - offsetof(struct rn__addr, sa)};

    if (rn__sys_getsockname(fd, &a.sa, &a.len) == 0 && a.sa.sa_family == AF_UNIX &&
        a.len > offsetof(struct sockaddr_un, sun_path) && a.un.sun_path[0] != '\0')
        (void)rn__sys_unlink(a.un.sun_path);
}

/* By what is known when its owner closes it. */
static enum rn_stats_closed reason(rn_conn *c)
{
    rn_time deadline = atomic_load(&c->w.deadline[RN__READ]);

    if (c->failed || c->write_error != 0)
        return RN_CLOSED_ERROR;
    if (rn__iowait_cancelled(&c->w))
        return RN_CLOSED_CANCELLED;
    if (c->saw_eof)
        return RN_CLOSED_EOF;
    return deadline != 0 && deadline <= rn__now_cached() ? RN_CLOSED_DEADLINE : RN_CLOSED_HERE;
}

void rn__conn_finish(rn_conn *c)
{
    if (c->counted == 1)
        c->counted = (uint8_t)(2 + reason(c));
    if (c->counted > 1) {
        rn__count(RN__COUNT_CLOSED + c->counted - 2);
        RN_PROBE(conn_closed, c->w.fd, c->counted - 2);
    }
    rn__unread_free(c);
    rn__serve_forget(c);
    if (c->has_path)
        remove_path(c->w.fd);
    rn__iowait_close(&c->w, false);
}

static bool has_unread_input(rn_conn *c)
{
    int waiting = 0;

    if (c->want_linger || rn__conn_pending(c) > 0)
        return true;
    return rn__sys_ioctl(c->w.fd, FIONREAD, &waiting) == 0 && waiting > 0;
}

static void finish_linger(rn_conn *c)
{
    rn__lingering(-1);
    rn__conn_finish(c);
}

/* In the scheduler of the home P. The scratch is the thread's: what is read is thrown away. */
static void on_linger(struct rn__iowait *w)
{
    static _Thread_local char scratch[16 << 10];
    rn_conn *c = RN_CONTAINER(w, rn_conn, w);
    ssize_t n;

    do {
        n = rn__iowait_check(w, RN__READ);
        if (n < 0)
            break;
        rn__iowait_clear(w, RN__READ);
        n = rn__sys_recv(w->fd, scratch, sizeof scratch, 0);
        if (n == -EAGAIN && rn__iowait_rest(w, on_linger) == 0)
            return;
        c->lingered_kib = (uint16_t)(c->lingered_kib + (n + 1023) / 1024);
    } while (n > 0 && c->lingered_kib < LINGER_MOST_KIB);
    /* Who sends on would be reset before it has looked at what it was told. Read slowly instead:
     * its window closes, and until the time is over it can look. */
    if (n > 0 && c->want_linger)
        rn__iowait_rest_again(w);
    else
        finish_linger(c);
}

/* False where there is no need to, or no way. */
static bool start_linger(rn_conn *c)
{
    if (!c->is_tcp || c->reset_on_close || c->saw_eof || c->failed || c->write_error != 0 ||
        !has_unread_input(c))
        return false;
    /* An edge, also for what is there already, and was told before. */
    if (rn__sys_shutdown(c->w.fd, SHUT_WR) < 0)
        return false;
    rn__unread_free(c);
    if (c->counted != 0)
        c->counted = (uint8_t)(2 + RN_CLOSED_HERE);
    rn__lingering(1);
    rn__iowait_set_deadline(&c->w, RN__READ, rn_after(LINGER_TIME));
    if (rn__iowait_rest(&c->w, on_linger) == 0)
        return true;
    rn__lingering(-1);
    return false;
}

static const struct rn__wait_kind wait_leave = {.name = "close"};

void rn_close(rn_conn *conn)
{
    bool cancelled;
    uint32_t inside;

    if (conn == NULL)
        return;
    cancelled = rn__iowait_cancelled(&conn->w);
    conn->closer = rn__self();
    inside = atomic_fetch_or(&conn->gate, RN__GATE_CLOSING) & RN__GATE_INSIDE;
    if (inside & ~RN__GATE_HOLDERS) {
        rn__iowait_cancel(&conn->w);
        cancelled = true;
    }
    if (inside != 0)
        rn__park(&wait_leave, conn);
    if (cancelled || !start_linger(conn))
        rn__conn_finish(conn);
}
