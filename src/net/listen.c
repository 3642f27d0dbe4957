/*
 * listen.c - listeners: opening, cancelling, closing
 *
 * A listener has no home: each P that accepts on it has a port of its own, an I/O wait for the same
 * descriptor. Connections inherit TCP_NODELAY from the listening socket, which saves a call each.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net.h"
#include <runnel/task.h>

#define DEFAULT_BACKLOG 4096

static struct rn__list all = {.next = &all, .prev = &all}; /* [L] all_lock: open ones */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

static int set_number(int fd, int level, int name, int value)
{
    return rn__sys_setsockopt(fd, level, name, &value, sizeof value);
}

static int set_flag(int fd, int level, int name, bool on)
{
    return set_number(fd, level, name, on);
}

static int set_options(int fd, int family, int type, const rn_listen_options *o)
{
    int r = rn__socket_options_set(fd, family, type, &o->socket);

    if (family == AF_UNIX || r < 0)
        return r;
    if (o->reuse_port)
        r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true);
    if (r == 0 && o->free_bind)
        r = set_flag(fd, IPPROTO_IP, IP_FREEBIND, true); /* for IPv6 too */
    if (type == SOCK_DGRAM) /* whose SO_REUSEADDR would let others take the port */
        return r;
    if (r == 0 && !o->no_reuse_addr)
        r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true);
    if (r == 0 && !o->delay)
        r = set_flag(fd, IPPROTO_TCP, TCP_NODELAY, true);
    if (r == 0 && o->defer_accept_s > 0)
        r = set_number(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, o->defer_accept_s);
    if (r == 0 && o->fast_open > 0)
        r = set_number(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fast_open);
    return r;
}

static int backlog_of(const rn_listen_options *o)
{
    return o->backlog > 0 ? o->backlog : DEFAULT_BACKLOG;
}

static int open_socket(enum rn__net net, int type, const struct rn__addr *a,
                       const rn_listen_options *o)
{
    int family = a->sa.sa_family, r;
    int fd = rn__sys_socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fd;
    r = set_options(fd, family, type, o);
    /* "tcp" or "udp" on the unspecified address takes IPv4 in too; anything else IPv6 only,
     * whatever net.ipv6.bindv6only says. */
    if (r == 0 && family == AF_INET6)
        r = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                     net != RN__TCP || !IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr));
    if (r == 0)
        r = rn__sys_bind(fd, &a->sa, a->len);
    if (r == 0 && type != SOCK_DGRAM)
        r = rn__sys_listen(fd, backlog_of(o));
    if (r < 0) {
        (void)rn__sys_close(fd);
        return r;
    }
    return fd;
}

static int check_options(const rn_listen_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (o->backlog < 0 || o->defer_accept_s < 0 || o->fast_open < 0)
        return -EINVAL;
    return rn__socket_options_check(&o->socket);
}

/* The first address that can be listened on; what the last one said where none can. */
int rn__listen_open(enum rn__net net, int type, const char *address, const rn_listen_options *o)
{
    struct rn__addr addrs[RN__ADDRS];
    int r = check_options(o), n;

    if (r < 0)
        return r;
    r = n = rn__addr_resolve(net, address, true, addrs);

    for (int i = 0; i < n; i++) {
        r = open_socket(net, type, &addrs[i], o);
        /* A machine without IPv6 still has ":80". Any other failure is the user's to know. */
        if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
            break;
    }
    return r;
}

rn_listener *rn__listener_new(bool is_tcp, int backlog)
{
    int n_ports = rn_procs();
    rn_listener *ln = rn__calloc(1, sizeof *ln + (size_t)n_ports * sizeof ln->ports[0]);

    if (ln == NULL)
        return NULL;
    ln->n_ports = n_ports;
    ln->is_tcp = is_tcp;
    ln->backlog = backlog;
    atomic_store(&ln->fd, -1);
    return ln;
}

/* The path first: between close and unlink a new listener could own it. */
static void give_up(rn_listener *ln)
{
    if (ln->path != NULL && !ln->keep_path)
        (void)rn__sys_unlink(ln->path);
    pthread_mutex_lock(&all_lock);
    rn__list_remove(&ln->link);
    pthread_mutex_unlock(&all_lock);
    (void)rn__sys_close(atomic_exchange(&ln->fd, -1));
}

static void free_listener(rn_listener *ln)
{
    rn__free(ln->path);
    rn__free(ln);
}

/* The run has ended, and nobody has closed it. Its ports' slots go by themselves. */
static void drop_listener(struct rn__iowait *w)
{
    rn_listener *ln = RN_CONTAINER(w, struct rn__port_slot, w)->ln;

    give_up(ln);
    free_listener(ln);
}

int rn__listener_set_fd(rn_listener *ln, int fd)
{
    int r = rn__iowait_open(-1, RN__ADD_PLAIN, &ln->at_end);

    if (r < 0)
        return r;
    RN_CONTAINER(ln->at_end, struct rn__port_slot, w)->ln = ln;
    RN_CONTAINER(ln->at_end, struct rn__port_slot, w)->port = NULL;
    rn__iowait_set_drop(ln->at_end, drop_listener);
    atomic_store(&ln->fd, fd);
    pthread_mutex_lock(&all_lock);
    rn__list_push(&all, &ln->link);
    pthread_mutex_unlock(&all_lock);
    return 0;
}

void rn__listener_each(void (*fn)(rn_listener *ln, void *arg), void *arg)
{
    pthread_mutex_lock(&all_lock);
    for (struct rn__list *l = all.next; l != &all; l = l->next)
        fn(RN_CONTAINER(l, rn_listener, link), arg);
    pthread_mutex_unlock(&all_lock);
}

int rn_listen(const char *network, const char *address, const rn_listen_options *options,
              rn_listener **ret)
{
    static const rn_listen_options defaults;
    const rn_listen_options *o = options == NULL ? &defaults : options;
    rn_listener *ln;
    enum rn__net net;
    int type, fd, r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = rn__net_parse(network, &net, &type);
    if (r == 0 && type == SOCK_DGRAM)
        r = -RN_ENETWORK; /* rn_listen_packet's */
    if (r == 0)
        r = check_options(o);
    if (r < 0)
        return r;
    ln = rn__listener_new(net != RN__UNIX, backlog_of(o));
    if (ln == NULL)
        return -ENOMEM;
    r = -ENOMEM;
    if (net == RN__UNIX && address != NULL && *address != '@' && !o->keep_path) {
        ln->path = rn__malloc(strlen(address) + 1);
        if (ln->path == NULL)
            goto fail_free;
        memcpy(ln->path, address, strlen(address) + 1);
    }
    ln->is_packet = type != SOCK_STREAM;
    r = fd = rn__listen_open(net, type, address, o);
    if (fd < 0)
        goto fail_free;
    r = rn__listener_set_fd(ln, fd);
    if (r < 0)
        goto fail_close;
    *ret = ln;
    return 0;

fail_close:
    if (ln->path != NULL)
        (void)rn__sys_unlink(ln->path);
    (void)rn__sys_close(fd);
fail_free:
    free_listener(ln);
    return r;
}

int rn_listener_fd(rn_listener *ln)
{
    return atomic_load(&ln->fd);
}

int rn__listener_enter(rn_listener *ln)
{
    uint32_t gate = atomic_load(&ln->gate);

    do
        if (gate & 1)
            return -ECANCELED;
    while (!atomic_compare_exchange_weak(&ln->gate, &gate, gate + 2));
    return 0;
}

void rn__listener_leave(rn_listener *ln)
{
    /* 3: closing, and the last one inside. Only then may ln be touched again: the closer waits. */
    if (atomic_fetch_sub(&ln->gate, 2) == 3)
        rn__ready(atomic_load(&ln->closer));
}

static void cancel_ports(rn_listener *ln)
{
    /* Inside: whoever is woken here may be the one that closes it next. */
    if (rn__listener_enter(ln) < 0)
        return;
    /* A port made after this sees the flag; one made before is woken here. */
    atomic_store(&ln->cancelled, true);
    for (int i = 0; i < ln->n_ports; i++) {
        struct rn__iowait *w = atomic_load(&ln->ports[i].w);

        if (w != NULL)
            rn__iowait_cancel(w);
    }
    rn__listener_leave(ln);
}

void rn_listener_cancel(rn_listener *ln)
{
    bool foreign = rn__foreign_begin(); /* the wake goes to a P's inbox */

    cancel_ports(ln);
    rn__foreign_end(foreign);
}

void rn__listener_nudge(rn_listener *ln)
{
    for (int i = 0; i < ln->n_ports; i++) {
        struct rn__iowait *w = atomic_load(&ln->ports[i].w);

        if (w != NULL && atomic_load(&ln->ports[i].present) > 0)
            rn__iowait_nudge(w, RN__READ);
    }
}

static const struct rn__wait_kind wait_leave = {.name = "close listener"};

void rn__listener_stop(rn_listener *ln)
{
    struct rn__coro *none = NULL;

    rn_listener_cancel(ln);
    if (!atomic_compare_exchange_strong(&ln->closer, &none, rn__self()))
        return; /* somebody did, or does */
    if (atomic_fetch_or(&ln->gate, 1) > 1)
        rn__park(&wait_leave, ln);
    for (int i = 0; i < ln->n_ports; i++) {
        struct rn__port *port = &ln->ports[i];
        struct rn__iowait *w = atomic_exchange(&port->w, NULL);

        if (w != NULL)
            rn__iowait_close(w, true);
        if (port->spare != NULL) {
            port->spare->w.fd = -1;
            rn__iowait_close(&port->spare->w, true);
            port->spare = NULL;
        }
    }
    rn__iowait_close(ln->at_end, true);
    give_up(ln);
}

void rn_listener_close(rn_listener *ln)
{
    if (ln == NULL)
        return;
    rn__listener_stop(ln);
    free_listener(ln);
}
