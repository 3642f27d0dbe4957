/*
 * dns_test.h - a name server on a thread of the test, which says what the test likes
 */
#ifndef DNS_TEST_H
#define DNS_TEST_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <runnel/dns.h>
#include <stdatomic.h>

#include "rntest_coro.h"

#define MS RN_MILLISECOND

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_SRV = 33 };
enum { SERVFAIL = 2, NXDOMAIN = 3, REFUSED = 5 };

/* A message that is being written. */
struct message {
    int len;
    uint8_t bytes[8192];
};

/* One question that came. */
struct query {
    struct server *server;
    int type;
    bool by_tcp;
    const uint8_t *bytes;
    int len;
    char name[256];
    struct sockaddr_in from;
};

struct server {
    int udp, tcp;
    char address[32];
    /* Fills in the answer to q, begun with its header and question. False: says nothing. */
    bool (*answer)(const struct query *q, struct message *m);
    void *arg;
    atomic_int asked, asked_by_tcp;
};

static inline void put16(struct message *m, unsigned v)
{
    m->bytes[m->len++] = (uint8_t)(v >> 8);
    m->bytes[m->len++] = (uint8_t)v;
}

/* An answer for the name that was asked for; its data come next. */
static inline void put_record(struct message *m, int type, unsigned ttl, int data_len)
{
    m->bytes[7]++;
    put16(m, 0xc00c);
    put16(m, (unsigned)type);
    put16(m, 1);
    put16(m, ttl >> 16);
    put16(m, ttl & 0xffff);
    put16(m, (unsigned)data_len);
}

static inline void put_bytes(struct message *m, const void *bytes, int len)
{
    memcpy(m->bytes + m->len, bytes, (size_t)len);
    m->len += len;
}

static inline void put_a(struct message *m, const char *ip, unsigned ttl)
{
    struct in_addr a;

    inet_pton(AF_INET, ip, &a);
    put_record(m, TYPE_A, ttl, 4);
    put_bytes(m, &a, 4);
}

static inline void put_aaaa(struct message *m, const char *ip, unsigned ttl)
{
    struct in6_addr a;

    inet_pton(AF_INET6, ip, &a);
    put_record(m, TYPE_AAAA, ttl, 16);
    put_bytes(m, &a, 16);
}

/* A name as DNS writes it; its length. */
static inline int wire_name(uint8_t *to, const char *name)
{
    int at = 0;

    while (*name != '\0') {
        size_t n = strcspn(name, ".");

        to[at++] = (uint8_t)n;
        memcpy(to + at, name, n);
        at += (int)n;
        name += n + (name[n] == '.');
    }
    to[at++] = 0;
    return at;
}

static inline void put_named(struct message *m, int type, unsigned ttl, const char *name)
{
    uint8_t wire[256];
    int len = wire_name(wire, name);

    put_record(m, type, ttl, len);
    put_bytes(m, wire, len);
}

static inline void put_srv(struct message *m, unsigned ttl, unsigned priority, unsigned weight,
                           unsigned port, const char *target)
{
    uint8_t wire[256];
    int len = wire_name(wire, target);

    put_record(m, TYPE_SRV, ttl, 6 + len);
    put16(m, priority);
    put16(m, weight);
    put16(m, port);
    put_bytes(m, wire, len);
}

static inline void set_rcode(struct message *m, int rcode)
{
    m->bytes[3] = (uint8_t)((m->bytes[3] & 0xf0) | rcode);
}

static inline void begin_answer(const struct query *q, struct message *m)
{
    memcpy(m->bytes, q->bytes, (size_t)q->len);
    m->len = q->len;
    m->bytes[2] = 0x81;
    m->bytes[3] = 0x80;
}

static inline void send_message(const struct query *q, const struct message *m, int fd)
{
    CHECK_EQ(sendto(fd, m->bytes, (size_t)m->len, 0, (const void *)&q->from, sizeof q->from),
             m->len);
}

static inline bool serve_query(struct query *q, struct message *m)
{
    int at = 12, to = 0;

    CHECK(q->len > 16);
    while (q->bytes[at] != 0) {
        memcpy(q->name + to, q->bytes + at + 1, q->bytes[at]);
        to += q->bytes[at];
        q->name[to++] = '.';
        at += q->bytes[at] + 1;
    }
    q->name[to == 0 ? 0 : to - 1] = '\0';
    q->type = q->bytes[at + 1] << 8 | q->bytes[at + 2];
    atomic_fetch_add(&q->server->asked, 1);
    begin_answer(q, m);
    return q->server->answer(q, m);
}

static inline void serve_udp(struct server *s)
{
    uint8_t bytes[1024];
    struct message m;
    struct query q = {.server = s, .bytes = bytes};
    socklen_t len = sizeof q.from;

    q.len = (int)recvfrom(s->udp, bytes, sizeof bytes, 0, (void *)&q.from, &len);
    if (q.len > 0 && serve_query(&q, &m))
        send_message(&q, &m, s->udp);
}

static inline void serve_tcp(struct server *s)
{
    uint8_t bytes[1024], size[2];
    struct message m;
    struct query q = {.server = s, .bytes = bytes, .by_tcp = true};
    int c = accept(s->tcp, NULL, NULL);

    atomic_fetch_add(&s->asked_by_tcp, 1);
    while (recv(c, size, 2, MSG_WAITALL) == 2) {
        q.len = size[0] << 8 | size[1];
        CHECK_EQ(recv(c, bytes, (size_t)q.len, MSG_WAITALL), q.len);
        if (!serve_query(&q, &m))
            break;
        size[0] = (uint8_t)(m.len >> 8);
        size[1] = (uint8_t)m.len;
        CHECK_EQ(send(c, size, 2, MSG_NOSIGNAL | MSG_MORE), 2);
        CHECK_EQ(send(c, m.bytes, (size_t)m.len, MSG_NOSIGNAL), m.len);
    }
    close(c);
}

static inline void *serve_names(void *arg)
{
    struct server *s = arg;
    struct pollfd fds[2] = {{.fd = s->udp, .events = POLLIN}, {.fd = s->tcp, .events = POLLIN}};

    while (poll(fds, 2, -1) > 0) {
        if (fds[0].revents)
            serve_udp(s);
        if (fds[1].revents)
            serve_tcp(s);
    }
    return NULL;
}

/* Until the test's process ends. port 0: any. s is static. */
static inline void start_server(struct server *s, int port,
                                bool (*answer)(const struct query *, struct message *))
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof sin;
    pthread_t t;

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->answer = answer;
    for (int tries = 0;; tries++) { /* the same port in both: somebody may have the second */
        CHECK(tries < 100);
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_EQ(bind(s->udp, (void *)&sin, sizeof sin), 0);
        CHECK_EQ(getsockname(s->udp, (void *)&sin, &len), 0);
        if (bind(s->tcp, (void *)&sin, sizeof sin) == 0)
            break;
        close(s->udp);
        close(s->tcp);
        sin.sin_port = htons((uint16_t)port);
    }
    CHECK_EQ(listen(s->tcp, 10), 0);
    snprintf(s->address, sizeof s->address, "127.0.0.1:%d", ntohs(sin.sin_port));
    CHECK_EQ(pthread_create(&t, NULL, serve_names, s), 0);
    pthread_detach(t);
}

static inline rn_dns_stats dns_stats(void)
{
    rn_dns_stats stats;

    CHECK_OK(rn_dns_stats_get(&stats));
    return stats;
}

static inline void check_ip(const rn_ip *ip, const char *want)
{
    char text[64];

    CHECK_OK(rn_ip_text(ip, text, sizeof text));
    CHECK_STR(text, want);
}

/* A lookup in a coroutine of its own. */
struct lookup {
    const char *name;
    rn_time deadline;
    int result;
    rn_ip ips[4];
};

static inline int look_up(void *arg)
{
    struct lookup *l = arg;

    l->result = rn_lookup_host(l->name, &(rn_lookup_options){.deadline = l->deadline}, l->ips, 4);
    return 0;
}

#endif
