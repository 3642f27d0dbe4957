/*
 * resolve.c - from names to addresses: who is asked, and in what order
 *
 * A number; /etc/hosts (addr.c); the resolver. Owns which resolver that is: one at a time, counted,
 * so that it can be replaced while coroutines are in its lookup.
 *
 * The one that is always there is getaddrinfo(3): it blocks, so it runs on the offload pool, and is
 * forgotten there when its caller is cancelled. An offload has no deadline of its own: where there
 * is one, a member of a group makes the call, and the deadline of the group's wait cancels it.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/probe.h"
#include "net/net.h"
#include <runnel/task.h>

/* ---- which resolver ---- */

struct hook {
    rn_resolver resolver; /* [C] */
    int refs;             /* [L] */
};

static _Atomic uint32_t lock;
static struct hook *current; /* [L] NULL: getaddrinfo */

static struct hook *take_hook(void)
{
    struct hook *h;

    rn__spin_lock(&lock);
    h = current;
    if (h != NULL)
        h->refs++;
    rn__spin_unlock(&lock);
    return h;
}

static void drop_hook(struct hook *h)
{
    bool last;

    if (h == NULL)
        return;
    rn__spin_lock(&lock);
    last = --h->refs == 0;
    rn__spin_unlock(&lock);
    if (!last)
        return;
    if (h->resolver.drop != NULL)
        h->resolver.drop(h->resolver.arg);
    rn__free_lasting(h);
}

int rn_resolver_set(const rn_resolver *resolver)
{
    struct hook *h = NULL, *before;

    if (resolver != NULL) {
        if (resolver->lookup == NULL)
            return -EINVAL;
        for (size_t i = 0; i < RN_COUNT_OF(resolver->reserved); i++)
            if (resolver->reserved[i] != 0)
                return -EINVAL;
        h = rn__malloc_lasting(sizeof *h);
        if (h == NULL)
            return -ENOMEM;
        *h = (struct hook){.resolver = *resolver, .refs = 1};
    }
    rn__spin_lock(&lock);
    before = current;
    current = h;
    rn__spin_unlock(&lock);
    drop_hook(before);
    return 0;
}

/* ---- rn_ip ---- */

static rn_ip ip_of(const struct sockaddr *sa)
{
    rn_ip ip = {.family = sa->sa_family == AF_INET ? 4 : 6};

    if (ip.family == 4) {
        memcpy(ip.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
    } else {
        const struct sockaddr_in6 *in6 = (const void *)sa;

        memcpy(ip.bytes, &in6->sin6_addr, sizeof ip.bytes);
        ip.scope = in6->sin6_scope_id;
    }
    return ip;
}

static struct rn__addr addr_of(const rn_ip *ip, uint16_t port)
{
    struct rn__addr a = {.len = ip->family == 4 ? sizeof a.in : sizeof a.in6};

    if (ip->family == 4) {
        a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&a.in.sin_addr, ip->bytes, 4);
    } else {
        a.in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = ip->scope};
        memcpy(&a.in6.sin6_addr, ip->bytes, sizeof ip->bytes);
    }
    return a;
}

int rn_ip_text(const rn_ip *ip, char *text, size_t len)
{
    char bare[INET6_ADDRSTRLEN], scope[16] = "";
    int n;

    if (ip->family != 4 && ip->family != 6)
        return -EAFNOSUPPORT;
    (void)inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, bare, sizeof bare);
    if (ip->family == 6 && ip->scope != 0)
        (void)snprintf(scope, sizeof scope, "%%%u", ip->scope);
    n = (int)(strlen(bare) + strlen(scope));
    if ((size_t)n >= len)
        return -ENOSPC;
    (void)snprintf(text, len, "%s%s", bare, scope);
    return 0;
}

/* ---- getaddrinfo ---- */

struct libc_job {
    int family;
    int found; /* or an error */
    rn_ip ips[RN__NAMED];
    char name[RN__HOST_ROOM];
};

static int result_of(int eai)
{
    switch (eai) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -RN_ENOHOST;
    case EAI_MEMORY:
        return -ENOMEM;
    default:
        return -RN_EDNS;
    }
}

/* On a thread of the pool. */
static int ask_libc(void *arg)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct libc_job *j = arg;
    int r;

    hints.ai_family = j->family == 0 ? AF_UNSPEC : j->family == 4 ? AF_INET : AF_INET6;
    r = result_of(getaddrinfo(j->name, NULL, &hints, &list));
    if (r < 0)
        return r;
    for (struct addrinfo *i = list; i != NULL && r < RN__NAMED; i = i->ai_next)
        if (i->ai_family == AF_INET || i->ai_family == AF_INET6)
            j->ips[r++] = ip_of(i->ai_addr);
    freeaddrinfo(list);
    return r == 0 ? -RN_ENOHOST : r;
}

struct libc_call {
    struct libc_job *job; /* NULL once it is the pool's */
    int result;
};

static int offload_call(void *arg)
{
    struct libc_call *call = arg;

    call->result = rn_offload(ask_libc, call->job, rn__free_lasting);
    if (call->result == -RN_EFORGOTTEN) {
        call->job = NULL;
        call->result = -ECANCELED;
    }
    return 0;
}

static int lookup_by_libc(const char *name, int family, rn_time deadline, rn_ip *ips, int n)
{
    struct libc_call call = {.job = rn__malloc_lasting(sizeof *call.job)};
    rn_group group = {0};
    int r = 0;

    if (call.job == NULL)
        return -ENOMEM;
    call.job->family = family;
    (void)snprintf(call.job->name, sizeof call.job->name, "%s", name);
    if (deadline == 0) {
        (void)offload_call(&call);
    } else {
        r = rn_group_go(&group, offload_call, &call);
        if (r == 0)
            r = rn_group_wait(&group, deadline);
    }
    if (r == 0)
        r = call.result;
    if (r > n)
        r = n;
    if (r > 0)
        memcpy(ips, call.job->ips, (size_t)r * sizeof *ips);
    rn__free_lasting(call.job);
    return r;
}

/* ---- asking ---- */

/* A name that is neither a number nor in /etc/hosts. */
static int ask_resolver(const char *name, int family, rn_time deadline, rn_ip *ips, int n)
{
    rn_time began = RN_PROBE_CLOCK(name_resolved);
    struct hook *h;
    int r;

    if (deadline != 0 && deadline <= rn_now())
        return -ETIME;
    if (rn__is_cancelled(rn__self()))
        return -ECANCELED;
    h = take_hook();
    if (h == NULL) {
        r = lookup_by_libc(name, family, deadline, ips, n);
    } else {
        r = h->resolver.lookup(h->resolver.arg, name, family, deadline, ips, n);
        r = r == 0 ? -RN_ENOHOST : r > n ? n : r;
        drop_hook(h);
    }
    RN_PROBE(name_resolved, name, r, rn__probe_since(began));
    return r;
}

static int family_of(enum rn__net net)
{
    return net == RN__TCP4 ? 4 : net == RN__TCP6 ? 6 : 0;
}

int rn__resolve(enum rn__net net, const struct rn__host_port *name, rn_time deadline,
                struct rn__addr *ret)
{
    rn_ip ips[RN__NAMED];
    int n = ask_resolver(name->host, family_of(net), deadline, ips, RN__NAMED), got = 0;

    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        if (ips[i].family == 4 ? net != RN__TCP6 : ips[i].family == 6 && net != RN__TCP4)
            ret[got++] = addr_of(&ips[i], name->port);
    return got == 0 ? -RN_ENOHOST : got;
}

static int check_lookup(const char *name, const rn_lookup_options *o, int n)
{
    size_t len = name == NULL ? 0 : strlen(name);

    if (rn__self() == NULL)
        return -EDEADLK;
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (n < 1 || (o->family != 0 && o->family != 4 && o->family != 6))
        return -EINVAL;
    return len == 0 || len >= RN__HOST_ROOM ? -RN_EADDRESS : 0;
}

int rn_lookup_host(const char *name, const rn_lookup_options *options, rn_ip *ips, int n)
{
    static const rn_lookup_options defaults;
    const rn_lookup_options *o = options == NULL ? &defaults : options;
    enum rn__net net = o->family == 4 ? RN__TCP4 : o->family == 6 ? RN__TCP6 : RN__TCP;
    struct rn__addr known[RN__ADDRS];
    struct rn__host_port hp = {.port = 0};
    int r = check_lookup(name, o, n);

    if (r < 0)
        return r;
    memcpy(hp.host, name, strlen(name) + 1);
    r = rn__addr_host(net, &hp, known);
    if (r == 0)
        return ask_resolver(name, o->family, o->deadline, ips, n);
    if (r > n)
        r = n;
    for (int i = 0; i < r; i++)
        ips[i] = ip_of(&known[i].sa);
    return r;
}
