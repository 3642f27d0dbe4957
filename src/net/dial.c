/*
 * dial.c - connecting
 *
 * connect(2) once, then wait for writability and ask SO_ERROR: also after EINTR, for the connection
 * goes on by itself. A TCP connect to a port nobody listens on can, on this machine, be given that
 * very port as its own and meet itself; that is a refusal, not a connection.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "net/net.h"
#include <runnel/task.h>

#define SELF_TRIES 3
#define UNIX_PAUSE_FIRST RN_MILLISECOND
#define UNIX_PAUSE_MOST (100 * RN_MILLISECOND)

static const struct rn__wait_kind wait_connect = {.name = "connect",
                                                  .interrupt = rn__iowait_interrupt};

static int set_one(int fd, int level, int name)
{
    int one = 1;

    return rn__sys_setsockopt(fd, level, name, &one, sizeof one);
}

static int bind_local(int fd, enum rn__net net, const char *local, int family)
{
    struct rn__addr addrs[RN__ADDRS];
    int n = rn__addr_resolve(net, local, true, addrs);

    if (n < 0)
        return n;
    /* The port is then chosen at connect, by the whole four-tuple. Advice: not on old kernels. */
    if (family != AF_UNIX)
        (void)set_one(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    for (int i = 0; i < n; i++)
        if (addrs[i].sa.sa_family == family)
            return rn__sys_bind(fd, &addrs[i].sa, addrs[i].len);
    return -EAFNOSUPPORT;
}

static bool met_itself(int fd)
{
    struct rn__addr a = {.len = sizeof a}, b = {.len = sizeof b};

    return rn__sys_getsockname(fd, &a.sa, &a.len) == 0 &&
           rn__sys_getpeername(fd, &b.sa, &b.len) == 0 && rn__addr_equal(&a, &b);
}

static int wait_connected(rn_conn *c)
{
    int error = 0, r;
    socklen_t len = sizeof error;

    r = rn__iowait_wait(&c->w, RN__WRITE, &wait_connect);
    if (r == 0)
        r = rn__sys_getsockopt(c->w.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return r < 0 ? r : -error;
}

/* A unix listener's backlog is full: the kernel offers nothing to wait for but time. */
static int pause_for(rn_conn *c, rn_time *pause)
{
    rn_time at = atomic_load(&c->w.deadline[RN__WRITE]), span = *pause;
    int r = rn__iowait_check(&c->w, RN__WRITE);

    if (r < 0)
        return r;
    if (at != 0 && at - rn_now() < span)
        span = at - rn_now();
    if (*pause < UNIX_PAUSE_MOST)
        *pause *= 2;
    r = rn_sleep(span);
    return r < 0 ? r : rn__iowait_check(&c->w, RN__WRITE);
}

static int connect_one(rn_conn *c, const struct rn__addr *a)
{
    rn_time pause = UNIX_PAUSE_FIRST;
    int r = rn__iowait_check(&c->w, RN__WRITE);

    if (r < 0)
        return r;
    for (;;) {
        rn__iowait_clear(&c->w, RN__WRITE);
        r = rn__sys_connect(c->w.fd, &a->sa, a->len);
        if (r != -EAGAIN)
            break;
        if (a->sa.sa_family != AF_UNIX)
            return -EADDRNOTAVAIL; /* connect(2): no free local port */
        r = pause_for(c, &pause);
        if (r < 0)
            return r;
    }
    /* Writable before it is decided (a fresh socket has HUP and OUT): only SO_ERROR and the peer's
     * name tell. */
    while (r == -EINPROGRESS || r == -EINTR) {
        struct rn__addr peer = {.len = sizeof peer};

        r = wait_connected(c);
        if (r == 0 && rn__sys_getpeername(c->w.fd, &peer.sa, &peer.len) == -ENOTCONN) {
            rn__iowait_clear(&c->w, RN__WRITE);
            r = -EINPROGRESS;
        }
    }
    return r == -EISCONN ? 0 : r;
}

static int dial_addr(enum rn__net net, const struct rn__addr *a, const rn_dial_options *o,
                     rn_conn **ret, bool *met)
{
    bool is_tcp = net != RN__UNIX;
    rn_conn *c;
    int r, fd;

    *met = false;
    fd = rn__sys_socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    r = rn__conn_new(fd, true, is_tcp, &c);
    if (r < 0) {
        (void)rn__sys_close(fd);
        return r;
    }
    rn__iowait_set_deadline(&c->w, RN__WRITE, o->deadline);
    if (is_tcp && !o->delay)
        r = set_one(fd, IPPROTO_TCP, TCP_NODELAY);
    if (r == 0)
        r = rn__socket_options_set(fd, a->sa.sa_family, &o->socket);
    if (r == 0 && o->local != NULL)
        r = bind_local(fd, net, o->local, a->sa.sa_family);
    if (r == 0)
        r = connect_one(c, a);
    *met = r == 0 && is_tcp && met_itself(fd);
    if (*met)
        r = -ECONNREFUSED;
    if (r < 0) {
        rn__conn_finish(c);
        return r;
    }
    rn__iowait_set_deadline(&c->w, RN__WRITE, 0);
    *ret = c;
    return 0;
}

int rn_dial(const char *network, const char *address, const rn_dial_options *options, rn_conn **ret)
{
    static const rn_dial_options defaults;
    const rn_dial_options *o = options == NULL ? &defaults : options;
    struct rn__addr addrs[RN__ADDRS];
    enum rn__net net;
    int n, r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = rn__net_parse(network, &net);
    if (r < 0)
        return r;
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    r = rn__socket_options_check(&o->socket);
    if (r < 0)
        return r;
    n = r = rn__addr_resolve(net, address, false, addrs);
    for (int i = 0; i < n; i++) {
        int tries = o->local == NULL ? SELF_TRIES : 1;
        bool met; /* itself: another port, another outcome */

        do
            r = dial_addr(net, &addrs[i], o, ret, &met);
        while (met && --tries > 0);
        if (r == 0 || r == -ECANCELED || r == -ETIME)
            break;
    }
    return r;
}
