/*
 * ancillary.c - what travels beside the bytes of a message
 *
 * Between rn_msg and the kernel's control messages. Descriptors that came and for which the caller
 * has no room are closed here: the kernel rounds the room up, and fills what others leave.
 */
#include <runnel/ancillary.h>

#include <string.h>
#include <netinet/udp.h>
#include <sys/syscall.h>

#include "net/message.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#define SENDABLE (RN_WITH_CREDENTIALS | RN_WITH_DESTINATION | RN_WITH_SEGMENTS)
#define SEGMENT_MOST 65507

/* ---- which of it is wanted ---- */

struct option {
    unsigned with;
    int level, name;
    bool for_unix, for_ip4, for_ip6;
    bool for_streams;
};

static const struct option options[] = {
    {RN_WITH_CREDENTIALS, SOL_SOCKET, SO_PASSCRED, .for_unix = true, .for_streams = true},
    {RN_WITH_TIMESTAMP, SOL_SOCKET, SO_TIMESTAMPNS, true, true, true, .for_streams = true},
    {RN_WITH_DESTINATION, IPPROTO_IP, IP_PKTINFO, .for_ip4 = true},
    {RN_WITH_DESTINATION, IPPROTO_IPV6, IPV6_RECVPKTINFO, .for_ip6 = true},
    {RN_WITH_SEGMENTS, IPPROTO_UDP, UDP_GRO, .for_ip4 = true, .for_ip6 = true},
};

static bool fits(const struct option *o, int family, bool is_packet)
{
    if (!is_packet && !o->for_streams)
        return false;
    return family == AF_UNIX ? o->for_unix : family == AF_INET ? o->for_ip4 : o->for_ip6;
}

static int family_of(rn_conn *c)
{
    int family = 0, r;
    socklen_t len = sizeof family;

    r = rn__sys_getsockopt(c->w.fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
    return r < 0 ? r : family;
}

static int set_wanted(rn_conn *c, unsigned with)
{
    int family = family_of(c), r = family < 0 ? family : 0;
    unsigned known = 0;

    if (r < 0)
        return r;
    for (size_t i = 0; i < RN_COUNT_OF(options); i++)
        if (fits(&options[i], family, c->is_packet))
            known |= options[i].with;
    if ((with & ~known) != 0)
        return -EINVAL;
    for (size_t i = 0; r == 0 && i < RN_COUNT_OF(options); i++) {
        int on = (with & options[i].with) != 0;

        if (fits(&options[i], family, c->is_packet))
            r = rn__sys_setsockopt(c->w.fd, options[i].level, options[i].name, &on, sizeof on);
    }
    return r;
}

int rn_set_ancillary(rn_conn *conn, unsigned with)
{
    int r;

    if (!conn->is_socket)
        return -ENOTSOCK;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = set_wanted(conn, with);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

/* ---- who is at the other end ---- */

static int get_peer(rn_conn *c, struct ucred *ret)
{
    socklen_t len = sizeof *ret;
    int r = rn__sys_getsockopt(c->w.fd, SOL_SOCKET, SO_PEERCRED, ret, &len);

    if (r < 0)
        return r;
    return ret->uid == (uid_t)-1 ? -ENOTSUP : 0; /* what the kernel says of all but unix ones */
}

int rn_peer_credentials(rn_conn *conn, rn_credentials *ret)
{
    struct ucred u;
    int r;

    if (!conn->is_socket)
        return -ENOTSOCK;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = get_peer(conn, &u);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    if (r == 0)
        *ret = (rn_credentials){.pid = u.pid, .uid = u.uid, .gid = u.gid};
    return r;
}

static int get_pidfd(rn_conn *c)
{
    struct ucred u;
    int fd = -1, r = get_peer(c, &u);
    socklen_t len = sizeof fd;

    if (r < 0)
        return r;
    r = rn__sys_getsockopt(c->w.fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &len);
    return r == -ENOPROTOOPT ? rn__sys_pidfd_open(u.pid) : r < 0 ? r : fd;
}

int rn_peer_pidfd(rn_conn *conn)
{
    int r;

    if (!conn->is_socket)
        return -ENOTSOCK;
    r = rn__conn_hold(conn);
    if (r < 0)
        return r;
    r = get_pidfd(conn);
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

/* ---- checks ---- */

static ssize_t check(const rn_conn *c, const rn_msg *m)
{
    for (size_t i = 0; i < RN_COUNT_OF(m->reserved); i++)
        if (m->reserved[i] != 0)
            return -EINVAL;
    return m->n_iov == 0 && c->is_packet ? 0 : rn__iov_sum(m->iov, m->n_iov);
}

ssize_t rn__msg_check_recv(const rn_conn *c, const rn_msg *m)
{
    ssize_t sum = check(c, m);

    if (m->fds_room < 0 || m->fds_room > RN__FDS_MOST || (sum == 0 && !c->is_packet))
        return -EINVAL;
    return sum;
}

ssize_t rn__msg_check_send(const rn_conn *c, const rn_msg *m)
{
    ssize_t sum = check(c, m);
    int local = m->local.at.ss_family;

    if (m->n_fds < 0 || m->n_fds > RN__FDS_MOST || (m->with & ~(unsigned)SENDABLE) != 0 ||
        m->addr.len > sizeof m->addr.at)
        return -EINVAL;
    if (!c->is_packet && (m->addr.len > 0 || (sum == 0 && m->n_fds > 0) ||
                          (m->with & (RN_WITH_DESTINATION | RN_WITH_SEGMENTS)) != 0))
        return -EINVAL;
    if (m->with & RN_WITH_DESTINATION && local != AF_INET && local != AF_INET6)
        return -EINVAL;
    if (m->with & RN_WITH_SEGMENTS && (m->segment_bytes == 0 || m->segment_bytes > SEGMENT_MOST))
        return -EINVAL;
    return sum;
}

int rn__msg_check_family(rn_conn *c, const rn_msg *m)
{
    int family;

    if (m->n_fds == 0 && !(m->with & RN_WITH_CREDENTIALS))
        return 0;
    family = family_of(c);
    return family < 0 ? family : family == AF_UNIX ? 0 : -EINVAL;
}

/* ---- to the kernel ---- */

size_t rn__msg_control_room(const rn_msg *m)
{
    int n = m->fds_room > m->n_fds ? m->fds_room : m->n_fds;

    return RN__BESIDE_ROOM + (n == 0 ? 0 : CMSG_SPACE((size_t)n * sizeof(int)));
}

void rn__msg_to_recv(rn_msg *m, void *control, struct msghdr *ret)
{
    *ret = (struct msghdr){.msg_iov = m->iov,
                           .msg_iovlen = (size_t)m->n_iov,
                           .msg_name = &m->addr.at,
                           .msg_namelen = sizeof m->addr.at,
                           .msg_control = control,
                           .msg_controllen = rn__msg_control_room(m)};
}

static void put(struct msghdr *h, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (void *)((char *)h->msg_control + h->msg_controllen);

    memset(c, 0, CMSG_SPACE(len));
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    h->msg_controllen += CMSG_SPACE(len);
}

static void put_source(struct msghdr *h, const rn_msg *m)
{
    struct rn__addr a = {.len = 0};

    memcpy(&a.sa, &m->local.at, sizeof a - offsetof(struct rn__addr, sa));
    if (a.sa.sa_family == AF_INET) {
        struct in_pktinfo i = {.ipi_ifindex = (int)m->interface, .ipi_spec_dst = a.in.sin_addr};

        put(h, IPPROTO_IP, IP_PKTINFO, &i, sizeof i);
    } else {
        struct in6_pktinfo i = {.ipi6_ifindex = m->interface, .ipi6_addr = a.in6.sin6_addr};

        put(h, IPPROTO_IPV6, IPV6_PKTINFO, &i, sizeof i);
    }
}

void rn__msg_to_send(const rn_msg *m, void *control, struct msghdr *ret)
{
    *ret = (struct msghdr){
        .msg_iov = m->iov, .msg_iovlen = (size_t)m->n_iov, .msg_control = control};
    if (m->addr.len > 0) {
        ret->msg_name = (void *)&m->addr.at;
        ret->msg_namelen = m->addr.len;
    }
    if (m->n_fds > 0)
        put(ret, SOL_SOCKET, SCM_RIGHTS, m->fds, (size_t)m->n_fds * sizeof *m->fds);
    if (m->with & RN_WITH_CREDENTIALS) {
        struct ucred u = {
            .pid = m->credentials.pid, .uid = m->credentials.uid, .gid = m->credentials.gid};

        put(ret, SOL_SOCKET, SCM_CREDENTIALS, &u, sizeof u);
    }
    if (m->with & RN_WITH_DESTINATION)
        put_source(ret, m);
    if (m->with & RN_WITH_SEGMENTS) { /* last: rn__msg_send_packet takes it off */
        uint16_t bytes = (uint16_t)m->segment_bytes;

        put(ret, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes);
    }
}

/* ---- from the kernel ---- */

static void take_fds(rn_msg *m, const struct cmsghdr *c)
{
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        if (m->n_fds < m->fds_room) {
            m->fds[m->n_fds++] = fd;
        } else {
            (void)rn__sys_close(fd);
            m->fds_lost = true;
        }
    }
}

static void take_local(rn_msg *m, const struct cmsghdr *c)
{
    struct rn__addr a = {.len = 0};

    if (c->cmsg_level == IPPROTO_IP) {
        struct in_pktinfo i;

        memcpy(&i, CMSG_DATA(c), sizeof i);
        a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = i.ipi_addr};
        a.len = sizeof a.in;
        m->interface = (unsigned)i.ipi_ifindex;
    } else {
        struct in6_pktinfo i;

        memcpy(&i, CMSG_DATA(c), sizeof i);
        a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = i.ipi6_addr};
        if (IN6_IS_ADDR_LINKLOCAL(&i.ipi6_addr))
            a.in6.sin6_scope_id = i.ipi6_ifindex;
        a.len = sizeof a.in6;
        m->interface = i.ipi6_ifindex;
    }
    m->local = (rn_addr){.len = a.len};
    memcpy(&m->local.at, &a.sa, a.len);
    m->with |= RN_WITH_DESTINATION;
}

static void take_of_socket(rn_msg *m, const struct cmsghdr *c)
{
    if (c->cmsg_type == SCM_RIGHTS) {
        take_fds(m, c);
    } else if (c->cmsg_type == SCM_CREDENTIALS) {
        struct ucred u;

        memcpy(&u, CMSG_DATA(c), sizeof u);
        m->credentials = (rn_credentials){.pid = u.pid, .uid = u.uid, .gid = u.gid};
        m->with |= RN_WITH_CREDENTIALS;
    } else if (c->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec ts;

        memcpy(&ts, CMSG_DATA(c), sizeof ts);
        m->time_ns = ts.tv_sec * RN_SECOND + ts.tv_nsec;
        m->with |= RN_WITH_TIMESTAMP;
    }
}

static void take(rn_msg *m, const struct cmsghdr *c)
{
    if (c->cmsg_level == SOL_SOCKET) {
        take_of_socket(m, c);
    } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
               (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)) {
        take_local(m, c);
    } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
        int bytes;

        memcpy(&bytes, CMSG_DATA(c), sizeof bytes);
        m->segment_bytes = (unsigned)bytes;
        m->with |= RN_WITH_SEGMENTS;
    }
}

void rn__msg_received(rn_msg *m, struct msghdr *h, size_t len)
{
    m->len = len;
    m->addr.len = h->msg_namelen;
    m->with = 0;
    m->n_fds = 0;
    m->truncated = (h->msg_flags & MSG_TRUNC) != 0;
    m->fds_lost = (h->msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c != NULL; c = CMSG_NXTHDR(h, c))
        take(m, c);
}
