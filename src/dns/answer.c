/*
 * answer.c - what c-ares and the servers say, as answers
 *
 * Pure. Bytes from the network come here after c-ares has found that they belong to the question;
 * they may still say anything.
 */
#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/dns.h"

#define HEADER 12
#define TYPE_SOA 6

struct rn__dns_answer *rn__dns_answer_new(int n)
{
    struct rn__dns_answer *a = calloc(1, sizeof *a + (size_t)n * sizeof a->items[0]);

    if (a != NULL) {
        atomic_store(&a->refs, 1);
        a->n = n;
    }
    return a;
}

void rn__dns_answer_drop(struct rn__dns_answer *a)
{
    if (a != NULL && atomic_fetch_sub(&a->refs, 1) == 1)
        free(a);
}

int rn__dns_error(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
    case ARES_EBADNAME: /* no name of DNS: too long, or an empty label */
        return -RN_ENOHOST;
    case ARES_ENOMEM:
        return -ENOMEM;
    default:
        return -RN_EDNS;
    }
}

/* ---- the time to live ---- */

static uint32_t get16(const unsigned char *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get32(const unsigned char *p)
{
    return get16(p) << 16 | get16(p + 2);
}

/* Past the name at `at`; len or more: it does not end within the message. */
static int skip_name(const unsigned char *msg, int len, int at)
{
    while (at < len && msg[at] != 0) {
        if (msg[at] >= 0xc0)
            return at + 2;
        at += 1 + msg[at];
    }
    return at + 1;
}

bool rn__dns_ttl(const unsigned char *msg, int len, uint32_t *ret)
{
    uint32_t questions, answers, others, least = UINT32_MAX;
    int at = HEADER;

    if (len < HEADER)
        return false;
    questions = get16(msg + 4);
    answers = get16(msg + 6);
    others = get16(msg + 8);
    for (uint32_t i = 0; i < questions && at < len; i++)
        at = skip_name(msg, len, at) + 4;
    for (uint32_t i = 0; i < (answers > 0 ? answers : others) && at < len; i++) {
        int data = skip_name(msg, len, at) + 10, end;
        uint32_t ttl;

        if (data > len)
            break;
        end = data + (int)get16(msg + data - 2);
        ttl = get32(msg + data - 6);
        if (end > len)
            break;
        if (answers == 0 && (get16(msg + data - 10) != TYPE_SOA || end - data < 22))
            ttl = UINT32_MAX;
        else if (answers == 0 && get32(msg + end - 4) < ttl)
            ttl = get32(msg + end - 4);
        if (ttl < least)
            least = ttl;
        at = end;
    }
    if (least == UINT32_MAX)
        return false;
    *ret = least > INT32_MAX ? 0 : least; /* RFC 2181: those are to be taken for 0 */
    return true;
}

/* ---- addresses ---- */

void rn__dns_from_addrinfo(const struct ares_addrinfo *ai, struct rn__dns_reply *ret)
{
    uint32_t ttl = INT32_MAX;
    int n = 0;

    for (const struct ares_addrinfo_node *i = ai->nodes; i != NULL; i = i->ai_next)
        n += n < RN__DNS_ITEMS;
    ret->answer = n == 0 ? NULL : rn__dns_answer_new(n);
    ret->result = n == 0 ? -RN_ENOHOST : ret->answer == NULL ? -ENOMEM : 0;
    if (ret->result < 0)
        return;
    n = 0;
    for (const struct ares_addrinfo_node *i = ai->nodes; i != NULL && n < ret->answer->n;
         i = i->ai_next) {
        const struct sockaddr_in6 *in6 = (const void *)i->ai_addr;
        const struct sockaddr_in *in = (const void *)i->ai_addr;
        rn_ip *ip = &ret->answer->items[n++].ip;

        ip->family = i->ai_family == AF_INET ? 4 : 6;
        if (ip->family == 4)
            memcpy(ip->bytes, &in->sin_addr, 4);
        else
            memcpy(ip->bytes, &in6->sin6_addr, sizeof ip->bytes);
        if (i->ai_ttl >= 0 && (uint32_t)i->ai_ttl < ttl)
            ttl = (uint32_t)i->ai_ttl;
    }
    for (const struct ares_addrinfo_cname *c = ai->cnames; c != NULL; c = c->next)
        if (c->ttl >= 0 && (uint32_t)c->ttl < ttl)
            ttl = (uint32_t)c->ttl;
    ret->ttl_s = ttl;
}

/* ---- other records ---- */

/* A name that does not fit is none that anybody could dial. */
static bool copy_name(char *to, const char *from)
{
    size_t len = from == NULL ? 0 : strlen(from);

    if (len == 0 || len >= RN__DNS_NAME_ROOM)
        return false;
    memcpy(to, from, len + 1);
    return true;
}

static int take_srv(const unsigned char *msg, int len, struct rn__dns_answer *a)
{
    struct ares_srv_reply *list = NULL;
    int status = ares_parse_srv_reply(msg, len, &list);

    for (const struct ares_srv_reply *i = list; i != NULL && a->n < RN__DNS_ITEMS; i = i->next) {
        rn_dns_srv *srv = &a->items[a->n].srv;

        /* No name at all is the root: the service is not offered. */
        if (!copy_name(srv->target, i->host))
            continue;
        srv->port = i->port;
        srv->priority = i->priority;
        srv->weight = i->weight;
        a->n++;
    }
    if (list != NULL)
        ares_free_data(list);
    return rn__dns_error(status);
}

static int take_ptr(const unsigned char *msg, int len, struct rn__dns_answer *a)
{
    struct hostent *host = NULL;
    int status = ares_parse_ptr_reply(msg, len, NULL, 0, AF_INET, &host);

    if (status != ARES_SUCCESS)
        return rn__dns_error(status);
    for (char **i = host->h_aliases; *i != NULL && a->n < RN__DNS_ITEMS; i++)
        a->n += copy_name(a->items[a->n].name.text, *i);
    ares_free_hostent(host);
    return 0;
}

void rn__dns_from_message(enum rn__dns_type type, int status, const unsigned char *msg, int len,
                          struct rn__dns_reply *ret)
{
    struct rn__dns_answer *a;

    ret->result = rn__dns_error(status);
    if (msg != NULL)
        (void)rn__dns_ttl(msg, len, &ret->ttl_s);
    if (ret->result < 0)
        return;
    a = rn__dns_answer_new(RN__DNS_ITEMS);
    if (a == NULL) {
        ret->result = -ENOMEM;
        return;
    }
    a->n = 0;
    ret->result = type == RN__DNS_SRV ? take_srv(msg, len, a) : take_ptr(msg, len, a);
    if (ret->result == 0 && a->n == 0)
        ret->result = -RN_ENOHOST;
    if (ret->result < 0)
        rn__dns_answer_drop(a);
    else
        ret->answer = a;
}

/* ---- the order of servers ---- */

/* xorshift64*: for balance, not against anybody. */
static uint32_t draw(uint64_t *seed, uint32_t below)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    /* cppcheck-suppress zerodiv ; below is never 0 */
    return (uint32_t)((*seed * 0x2545f4914f6cdd1dU >> 32) % below);
}

/* order[from..n) starts with one priority's; brings one of these, drawn by weight, to the front. A
 * weight of 0 has a share of its own, tiny: RFC 2782 wants it a small chance. */
static void draw_next(const struct rn__dns_answer *a, uint64_t *seed, uint8_t *order, int from)
{
    uint32_t sum = 0, mark;
    int i;

    for (i = from; i < a->n; i++) {
        if (a->items[order[i]].srv.priority != a->items[order[from]].srv.priority)
            break;
        sum += 256U * a->items[order[i]].srv.weight + 1;
    }
    mark = draw(seed, sum);
    for (i = from; i < a->n; i++) {
        uint32_t share = 256U * a->items[order[i]].srv.weight + 1;
        uint8_t chosen = order[i];

        if (mark >= share) {
            mark -= share;
            continue;
        }
        memmove(order + from + 1, order + from, (size_t)(i - from));
        order[from] = chosen;
        return;
    }
}

void rn__dns_srv_order(const struct rn__dns_answer *a, uint64_t *seed, uint8_t *order)
{
    for (int i = 0; i < a->n; i++) {
        int at = i;

        while (at > 0 && a->items[order[at - 1]].srv.priority > a->items[i].srv.priority) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = (uint8_t)i;
    }
    for (int i = 0; i < a->n; i++)
        draw_next(a, seed, order, i);
}
