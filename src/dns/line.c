/*
 * line.c - a c-ares channel: its sockets, and the wait for them
 *
 * c-ares decides what is sent to whom, when a server is given up, and what an answer is worth. Here
 * its system calls go through the table, and its waiting becomes one rn_wait_fd, for an epoll that
 * holds all of its sockets, until the time that ares_timeout tells.
 *
 * Nothing in here switches but that wait, so errno is c-ares's between two calls of it.
 */
#include <ares.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "dns/dns.h"
#include <runnel/net.h>

#define CLASS_IN 1
#define TYPE_PTR 12
#define TYPE_SRV 33

/* ---- system calls, as c-ares makes them ---- */

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
    int fd = rn__sys_socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    struct rn__dns_line *l = arg;

    if (fd < 0)
        l->error = fd;
    l->fresh = fd;
    return (ares_socket_t)rn__sys_to_errno(fd);
}

static int close_socket(ares_socket_t fd, void *arg)
{
    (void)arg;
    return (int)rn__sys_to_errno(rn__sys_close(fd)); /* which takes it out of epoll, too */
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *sa, ares_socklen_t len,
                          void *arg)
{
    (void)arg;
    return (int)rn__sys_to_errno(rn__sys_connect(fd, sa, len));
}

static ares_ssize_t receive(ares_socket_t fd, void *buf, size_t len, int flags, struct sockaddr *sa,
                            ares_socklen_t *sa_len, void *arg)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = sa};
    ssize_t r;

    (void)arg;
    if (sa != NULL)
        msg.msg_namelen = *sa_len;
    r = rn__sys_recvmsg(fd, &msg, flags);
    if (sa != NULL && r >= 0)
        *sa_len = msg.msg_namelen;
    return rn__sys_to_errno(r);
}

static ares_ssize_t transmit(ares_socket_t fd, const struct iovec *iov, int n, void *arg)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};

    (void)arg;
    return rn__sys_to_errno(rn__sys_sendmsg(fd, &msg, MSG_NOSIGNAL));
}

static const struct ares_socket_functions calls = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = transmit,
};

/* c-ares wants to hear of fd's being readable, writable; of neither: it closes it next. */
static void watch(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct epoll_event ev = {.data.fd = fd};
    struct rn__dns_line *l = arg;
    int r;

    if (!readable && !writable)
        return;
    ev.events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
    r = rn__sys_epoll_ctl(l->epoll, fd == l->fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev);
    if (r < 0)
        l->error = r; /* it is deaf there: the try will time out */
    l->fresh = -1;
}

/* ---- making one ---- */

static int open_channel(const struct rn__dns *d, struct rn__dns_line *l)
{
    static char dns_only[] = "b"; /* /etc/hosts is looked at before */
    struct ares_options o = {
        .flags = ARES_FLAG_NOALIASES,
        .timeout = d->options.timeout_ms,
        .tries = d->options.tries,
        .lookups = dns_only,
        .sock_state_cb = watch,
        .sock_state_cb_data = l,
        .domains = d->search,
        .ndomains = d->n_search,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB | (d->search != NULL ? ARES_OPT_DOMAINS : 0);
    int status = ares_init_options(&l->channel, &o, mask);

    if (status != ARES_SUCCESS)
        return status == ARES_ENOMEM ? -ENOMEM : -RN_EDNS;
    ares_set_socket_functions(l->channel, &calls, l);
    if (d->options.servers != NULL)
        status = ares_set_servers_ports_csv(l->channel, d->options.servers);
    if (status == ARES_SUCCESS)
        return 0;
    ares_destroy(l->channel);
    return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

int rn__dns_line_new(const struct rn__dns *d, struct rn__dns_line **ret)
{
    struct rn__dns_line *l = calloc(1, sizeof *l);
    int r;

    if (l == NULL)
        return -ENOMEM;
    l->fresh = -1;
    l->epoll = r = rn__sys_epoll_create1(EPOLL_CLOEXEC);
    if (r >= 0) {
        r = open_channel(d, l);
        if (r == 0) {
            *ret = l;
            return 0;
        }
        (void)rn__sys_close(l->epoll);
    }
    free(l);
    return r;
}

void rn__dns_line_free(struct rn__dns_line *l)
{
    if (l == NULL)
        return;
    ares_destroy(l->channel); /* which answers what is still being asked */
    rn__dns_answer_drop(l->reply.answer);
    (void)rn__sys_close(l->epoll);
    free(l);
}

bool rn__dns_line_idle(struct rn__dns_line *l)
{
    ares_socket_t fds[ARES_GETSOCK_MAXNUM];
    struct timeval tv;

    return ares_timeout(l->channel, NULL, &tv) == NULL &&
           ares_getsock(l->channel, fds, ARES_GETSOCK_MAXNUM) == 0;
}

/* ---- one question ---- */

static void end_question(struct rn__dns_line *l)
{
    /* Without sockets there is nobody who did not answer. */
    if (l->reply.result == -RN_EDNS && l->error < 0)
        l->reply.result = l->error;
    l->done = true;
}

static void take_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
    struct rn__dns_line *l = arg;

    (void)timeouts;
    l->reply.result = rn__dns_error(status);
    if (ai != NULL && status == ARES_SUCCESS)
        rn__dns_from_addrinfo(ai, &l->reply);
    if (ai != NULL)
        ares_freeaddrinfo(ai);
    end_question(l);
}

static void take_message(void *arg, int status, int timeouts, unsigned char *msg, int len)
{
    struct rn__dns_line *l = arg;

    (void)timeouts;
    rn__dns_from_message(l->type, status, msg, len, &l->reply);
    end_question(l);
}

void rn__dns_line_ask(struct rn__dns_line *l, const struct rn__dns_key *key)
{
    struct ares_addrinfo_hints hints = {.ai_socktype = SOCK_STREAM};

    l->done = false;
    l->error = 0;
    l->reply = (struct rn__dns_reply){.result = 0};
    l->type = key->type;
    switch (key->type) {
    case RN__DNS_SRV:
        ares_search(l->channel, key->name, CLASS_IN, TYPE_SRV, take_message, l);
        break;
    case RN__DNS_PTR:
        ares_query(l->channel, key->name, CLASS_IN, TYPE_PTR, take_message, l);
        break;
    default:
        hints.ai_family = key->type == RN__DNS_A      ? AF_INET
                          : key->type == RN__DNS_AAAA ? AF_INET6
                                                      : AF_UNSPEC;
        ares_getaddrinfo(l->channel, key->name, NULL, &hints, take_addresses, l);
    }
}

/* Whatever has come, and whose time is over. */
static void turn(struct rn__dns_line *l)
{
    struct epoll_event ev[4];
    int n = rn__sys_epoll_wait(l->epoll, ev, RN_COUNT_OF(ev), 0);

    for (int i = 0; i < n; i++) {
        ares_socket_t fd = ev[i].data.fd;
        bool out = ev[i].events & EPOLLOUT, in = ev[i].events & ~(uint32_t)EPOLLOUT;

        ares_process_fd(l->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
    }
    ares_process_fd(l->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

int rn__dns_line_run(struct rn__dns_line *l, rn_time deadline)
{
    while (!l->done) {
        struct timeval tv = {.tv_sec = 1};
        rn_time until;
        int r;

        (void)ares_timeout(l->channel, NULL, &tv);
        /* At least a little later: a time that is over is c-ares's to see first. */
        until = rn_now() + tv.tv_sec * RN_SECOND + (tv.tv_usec + 1) * RN_MICROSECOND;
        if (deadline != 0 && deadline < until)
            until = deadline;
        r = rn_wait_fd(l->epoll, RN_READABLE, until);
        if (r == -ETIME && until == deadline && deadline <= rn_now())
            return -ETIME;
        if (r < 0 && r != -ETIME)
            return r;
        turn(l);
    }
    return 0;
}
