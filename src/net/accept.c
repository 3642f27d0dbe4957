/*
 * accept.c - taking connections
 *
 * Try first, wait on the poller only after EAGAIN: the port's I/O wait is edge-triggered. Every
 * error of accept(2) falls in one of three classes:
 *
 *      skip      the connection died in the queue, or brought its network's error: take the next
 *      back off  out of descriptors or memory: a timer (5 ms, doubling to 1 s), never the poller,
 *                which reports no edge for what is in the queue already
 *      fatal     the socket is no listener any more
 */
#include "base/clock.h"
#include "base/probe.h"
#include "net/net.h"
#include "task/log.h"
#include <runnel/task.h>

#define BACKOFF_FIRST (5 * RN_MILLISECOND)
#define BACKOFF_MOST RN_SECOND

enum accept_class { SKIP, BACK_OFF, FATAL };

static enum accept_class classify(int e)
{
    switch (-e) {
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
    case EPERM: /* a firewall rule */
        return SKIP;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return BACK_OFF;
    default:
        return FATAL;
    }
}

static const struct rn__wait_kind wait_accept = {.name = "accept",
                                                 .interrupt = rn__iowait_interrupt};
static const struct rn__wait_kind wait_turn = {.name = "accept turn"};

/* The caller's P's port, with an I/O wait and a slot for the next connection. */
static int open_port(rn_listener *ln, struct rn__port *port)
{
    struct rn__iowait *w;
    int r;

    if (atomic_load_explicit(&port->w, memory_order_relaxed) == NULL) {
        r = rn__iowait_open(atomic_load(&ln->fd), RN__ADD_SHARED, &w);
        if (r < 0)
            return r;
        w->may_be_shared = true; /* by the other ports, at least */
        RN_CONTAINER(w, struct rn__port_slot, w)->ln = ln;
        RN_CONTAINER(w, struct rn__port_slot, w)->port = port;
        atomic_store(&port->w, w);
    }
    if (atomic_load(&ln->cancelled)) /* after the store above: see rn_listener_cancel */
        return -ECANCELED;
    if (port->spare != NULL)
        return 0;
    r = rn__conn_new(-1, true, ln->is_tcp, &port->spare);
    if (r == 0)
        port->spare->is_packet = ln->is_packet;
    return r;
}

/* Parks until `until`, whatever the poller has to say. */
static int sit_out(struct rn__iowait *w, rn_time until)
{
    int r;

    w->unarmed = true;
    rn__iowait_set_deadline(w, RN__READ, until);
    do {
        rn__iowait_clear(w, RN__READ);
        r = rn__iowait_check(w, RN__READ);
        if (r == 0)
            r = rn__iowait_wait(w, RN__READ, &wait_accept);
    } while (r == 0);
    rn__iowait_set_deadline(w, RN__READ, 0);
    w->unarmed = false;
    return r == -ETIME ? 0 : r;
}

static int back_off(struct rn__port *port, struct rn__iowait *w, int error)
{
    if (port->backoff_ns == 0) {
        rn__log("accept: %s: trying again until it succeeds", rn_strerror(error));
        port->backoff_ns = BACKOFF_FIRST;
    } else if (port->backoff_ns < BACKOFF_MOST) {
        port->backoff_ns *= 2;
        if (port->backoff_ns > BACKOFF_MOST)
            port->backoff_ns = BACKOFF_MOST;
    }
    RN_PROBE(accept_paused, w->fd, error, port->backoff_ns);
    return sit_out(w, rn_after(port->backoff_ns));
}

/* One connection into the port's spare slot; with the turn. */
static int take(rn_listener *ln, struct rn__port *port)
{
    for (;;) {
        struct rn__iowait *w;
        int fd, r = open_port(ln, port);

        w = atomic_load_explicit(&port->w, memory_order_relaxed);
        if (r < 0 && (w == NULL || classify(r) != BACK_OFF))
            return r;
        if (r == 0) {
            r = rn__iowait_check(w, RN__READ);
            if (r < 0)
                return r;
            rn__iowait_clear(w, RN__READ);
            r = fd = rn__sys_accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                port->backoff_ns = 0;
                return fd;
            }
        }
        if (r == -EAGAIN)
            r = rn__iowait_wait(w, RN__READ, &wait_accept);
        else if (classify(r) == SKIP)
            r = (rn__spend(), 0);
        else if (classify(r) == BACK_OFF)
            r = back_off(port, w, r);
        if (r < 0)
            return r;
    }
}

static struct rn__port *port_here(rn_listener *ln)
{
    return &ln->ports[rn_proc_id() - 1];
}

static void pass_on(struct rn__iowait *w);

/* Nobody is present: puts the port to rest. What has been latched meanwhile, by the poller or by
 * another P's nudge, is passed on first. On the port's own P. */
static void rest_port(rn_listener *ln, struct rn__iowait *w)
{
    while (!rn__iowait_try_rest(w, pass_on)) {
        rn__iowait_clear(w, RN__READ);
        rn__listener_nudge(ln);
    }
}

/* In the scheduler: an event while the port rested. Where somebody has come since, it is theirs. */
static void pass_on(struct rn__iowait *w)
{
    struct rn__port_slot *slot = RN_CONTAINER(w, struct rn__port_slot, w);

    if (atomic_load(&slot->port->present) == 0)
        rest_port(slot->ln, w);
}

/* Before the first accept(2): either it finds a connection, or whoever has an event for one sees
 * that somebody is present. */
static void come(struct rn__port *port)
{
    if (atomic_fetch_add(&port->present, 1) == 0 && port->w != NULL)
        rn__iowait_unrest(port->w);
}

static void go(rn_listener *ln, struct rn__port *port)
{
    if (atomic_fetch_sub(&port->present, 1) == 1 && port->w != NULL)
        rest_port(ln, port->w);
}

static void take_turn(struct rn__port *port)
{
    if (port->users++ > 0)
        rn__turns_wait(&port->turns, &wait_turn);
}

static void pass_turn(struct rn__port *port)
{
    if (--port->users > 0)
        rn__turns_pass(&port->turns);
}

int rn__accept_enter(rn_listener *ln)
{
    int r = rn__listener_enter(ln);

    if (r == 0)
        come(port_here(ln));
    return r;
}

void rn__accept_leave(rn_listener *ln)
{
    go(ln, port_here(ln));
    rn__listener_leave(ln);
}

int rn__accept_next(rn_listener *ln, rn_conn **ret)
{
    struct rn__port *port = port_here(ln);
    int fd;

    take_turn(port);
    fd = take(ln, port);
    if (fd >= 0) {
        rn_conn *conn = port->spare;

        port->spare = NULL;
        conn->w.fd = fd;
        rn__conn_count(conn, RN__COUNT_ACCEPTED);
        RN_PROBE(conn_accepted, fd, port->w->fd);
        *ret = conn;
    }
    pass_turn(port);
    return fd < 0 ? fd : 0;
}

int rn__accept_hold(rn_listener *ln)
{
    struct rn__port *port = port_here(ln);
    int r;

    take_turn(port);
    r = open_port(ln, port);
    if (r < 0 && port->w != NULL && classify(r) == BACK_OFF) {
        r = back_off(port, port->w, r);
        pass_turn(port);
        return r;
    }
    if (r == 0)
        r = rn__iowait_check(port->w, RN__READ);
    if (r == 0) {
        struct rn__iowait *w = port->w;

        w->unarmed = true;
        r = rn__iowait_wait(w, RN__READ, &wait_accept);
        w->unarmed = false;
        rn__iowait_clear(w, RN__READ);
    }
    pass_turn(port);
    return r;
}

int rn_accept(rn_listener *ln, rn_conn **ret)
{
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = rn__accept_enter(ln);
    if (r < 0)
        return r;
    r = rn__accept_next(ln, ret);
    /* One edge may have stood for several connections, and the caller may not come back for the
     * others; or it was cancelled while it backed off from one. Acceptors on other Ps, where there
     * are any, look for themselves. */
    if (atomic_load(&ln->gate) > 3)
        rn__listener_nudge(ln);
    rn__accept_leave(ln);
    rn__spend();
    return r;
}
