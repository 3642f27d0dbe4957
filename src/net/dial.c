/*
 * dial.c - connecting
 *
 * One attempt at one address; race.c has those at several. An attempt can stop waiting and be taken
 * up again, also by another coroutine: the kernel goes on with it meanwhile.
 *
 * connect(2) once, then wait for writability and ask SO_ERROR: also after EINTR, for the connection
 * goes on by itself. A TCP connect to a port nobody listens on can, on this machine, be given that
 * very port as its own and meet itself; that is a refusal, not a connection.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/mem.h"
#include "base/probe.h"
#include "net/net.h"
#include "task/log.h"
#include <runnel/task.h>

#define SELF_TRIES 3
#define SYN_RETRIES_MOST 127 /* the kernel's */

static const struct rn__wait_kind wait_connect = {.name = "connect",
                                                  .interrupt = rn__iowait_interrupt};

static int set_int(int fd, int level, int name, int value)
{
    return rn__sys_setsockopt(fd, level, name, &value, sizeof value);
}

static int bind_local(int fd, enum rn__net net, const char *local, int family)
{
    struct rn__addr addrs[RN__ADDRS];
    int n = rn__addr_resolve(net, local, true, addrs);

    if (n < 0)
        return n;
    /* The port is then chosen at connect, by the whole four-tuple. Advice: not on old kernels. */
    if (family != AF_UNIX)
        (void)set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
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

/* connect(2) says EADDRNOTAVAIL where there is no source address for such a destination, and where
 * all ports to it are taken. A datagram socket, whose ports are others, tells which. */
static void tell_port_exhaustion(const struct rn__addr *a)
{
    int fd = rn__sys_socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[128];

    if (fd < 0)
        return;
    if (rn__sys_connect(fd, &a->sa, a->len) == 0 && rn__addr_format(a, text, sizeof text) == 0)
        rn__log("dial %s: no local port is free: all of net.ipv4.ip_local_port_range are in use or "
                "in TIME_WAIT towards it",
                text);
    (void)rn__sys_close(fd);
}

/* 0, -EINPROGRESS or -EINTR: it goes on by itself; other errors. */
static int begin_connect(rn_conn *c, const struct rn__addr *a)
{
    rn_time pause = RN__PAUSE_FIRST;
    int r = rn__iowait_check(&c->w, RN__WRITE);

    if (r < 0)
        return r;
    for (;;) {
        rn__iowait_clear(&c->w, RN__WRITE);
        r = rn__sys_connect(c->w.fd, &a->sa, a->len);
        if (r == -EAGAIN && a->sa.sa_family != AF_UNIX)
            r = -EADDRNOTAVAIL; /* connect(2): no free local port */
        if (r == -EADDRNOTAVAIL)
            tell_port_exhaustion(a);
        if (r != -EAGAIN)
            return r;
        r = rn__conn_pause(c, &pause); /* a unix listener's backlog is full */
        if (r < 0)
            return r;
    }
}

static int end_connect(rn_conn *c)
{
    struct rn__addr peer = {.len = 0};
    int r;

    /* Writable before it is decided (a fresh socket has HUP and OUT): only SO_ERROR and the peer's
     * name tell. */
    for (;;) {
        r = wait_connected(c);
        peer.len = sizeof peer;
        if (r < 0 || rn__sys_getpeername(c->w.fd, &peer.sa, &peer.len) != -ENOTCONN)
            return r;
        rn__iowait_clear(&c->w, RN__WRITE);
    }
}

static int set_up(int fd, const struct rn__dial *d, const struct rn__addr *a)
{
    const rn_dial_options *o = d->options;
    bool is_tcp = d->net != RN__UNIX && d->type == SOCK_STREAM;
    int r = 0;

    if (is_tcp && !o->delay)
        r = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (r == 0 && is_tcp && o->syn_retries > 0)
        r = set_int(fd, IPPROTO_TCP, TCP_SYNCNT, o->syn_retries);
    if (r == 0)
        r = rn__socket_options_set(fd, a->sa.sa_family, d->type, &o->socket);
    if (r == 0 && o->local != NULL)
        r = bind_local(fd, d->net, o->local, a->sa.sa_family);
    return r;
}

static int begin(const struct rn__dial *d, const struct rn__addr *a, rn_time until, rn_conn **ret)
{
    int fd = rn__sys_socket(a->sa.sa_family, d->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;
    rn_conn *c;

    if (fd < 0)
        return fd;
    r = rn__conn_new(fd, true, d->net != RN__UNIX && d->type == SOCK_STREAM, &c);
    if (r < 0) {
        (void)rn__sys_close(fd);
        return r;
    }
    c->is_packet = d->type != SOCK_STREAM;
    rn__iowait_set_deadline(&c->w, RN__WRITE, until);
    r = set_up(fd, d, a);
    c->has_path = r == 0 && d->type == SOCK_DGRAM && d->options->local != NULL;
    if (r == 0)
        r = begin_connect(c, a);
    if (r < 0 && r != -EINPROGRESS && r != -EINTR) {
        rn__conn_finish(c);
        return r;
    }
    *ret = c;
    return r;
}

/* *met: the connection was to itself. */
static int try_once(const struct rn__dial *d, const struct rn__addr *a, rn_time until,
                    rn_conn **conn, bool *met)
{
    int r = -EINPROGRESS;

    *met = false;
    if (*conn == NULL)
        r = begin(d, a, until, conn);
    else
        rn__iowait_set_deadline(&(*conn)->w, RN__WRITE, until);
    if (*conn != NULL && (r == -EINPROGRESS || r == -EINTR))
        r = end_connect(*conn);
    if (r == -ETIME || *conn == NULL)
        return r;
    *met = r == 0 && (*conn)->is_tcp && met_itself((*conn)->w.fd);
    if (*met)
        r = -ECONNREFUSED;
    if (r == 0) {
        rn__conn_count(*conn, RN__COUNT_DIALLED);
        rn__iowait_set_deadline(&(*conn)->w, RN__WRITE, 0);
    } else {
        rn__conn_finish(*conn);
        *conn = NULL;
    }
    return r;
}

int rn__dial_try(const struct rn__dial *d, const struct rn__addr *a, rn_time until, rn_conn **conn)
{
    int tries = d->options->local == NULL ? SELF_TRIES : 1, r;
    bool met; /* itself: another port, another outcome */

    do
        r = try_once(d, a, until, conn, &met);
    while (met && --tries > 0);
    return r;
}

static int dial_one(const struct rn__dial *d, const struct rn__addr *a, rn_conn **ret)
{
    rn_conn *c = NULL;
    int r = rn__dial_try(d, a, d->options->deadline, &c);

    if (r == 0)
        *ret = c;
    else if (c != NULL)
        rn__conn_finish(c);
    return r;
}

/* A name that must be asked for. */
static __attribute__((noinline)) int dial_name(const struct rn__dial *d,
                                               const struct rn__host_port *name, rn_conn **ret)
{
    struct rn__addr *addrs = rn__malloc(RN__NAMED * sizeof *addrs);
    int r;

    if (addrs == NULL)
        return -ENOMEM;
    r = rn__resolve(d->net, name, d->options->deadline, addrs);
    if (r == 1)
        r = dial_one(d, &addrs[0], ret);
    else if (r > 1)
        r = rn__dial_race(d, addrs, r, ret);
    rn__free(addrs);
    return r;
}

static int check_options(const rn_dial_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (o->syn_retries < 0 || o->syn_retries > SYN_RETRIES_MOST)
        return -EINVAL;
    return rn__socket_options_check(&o->socket);
}

static int dial(const char *network, const char *address, const rn_dial_options *options,
                rn_conn **ret)
{
    static const rn_dial_options defaults;
    struct rn__dial d = {.options = options == NULL ? &defaults : options};
    struct rn__addr addrs[RN__ADDRS];
    struct rn__host_port name;
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = rn__net_parse(network, &d.net, &d.type);
    if (r == 0)
        r = check_options(d.options);
    if (r < 0)
        return r;
    r = rn__addr_known(d.net, address, false, addrs, &name);
    if (r == 0)
        return dial_name(&d, &name, ret);
    if (r == 1)
        return dial_one(&d, &addrs[0], ret);
    return r < 0 ? r : rn__dial_race(&d, addrs, r, ret);
}

int rn_dial(const char *network, const char *address, const rn_dial_options *options, rn_conn **ret)
{
    bool probed = RN_PROBE_ON(conn_dialled) || RN_PROBE_ON(dial_failed);
    rn_time began = probed ? rn_now() : 0;
    int r = dial(network, address, options, ret);

    if (r == 0)
        RN_PROBE(conn_dialled, (*ret)->w.fd, network, address, rn__probe_since(began));
    else
        RN_PROBE(dial_failed, r, network, address, rn__probe_since(began));
    return r;
}
