/*
 * use.c - which resolver is in effect, and the calls that ask it
 *
 * One at a time, counted: net's hook holds one reference, `current` another, each call of this
 * file's one more. So it may be replaced while coroutines wait in it, and goes with the last.
 */
#include <ares.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/dns.h"
#include <runnel/task.h>

static pthread_mutex_t using = PTHREAD_MUTEX_INITIALIZER; /* one rn_dns_use at a time */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rn__dns *current; /* [L] */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int library; /* [C] what c-ares said when it was initialised */

static void init_library(void)
{
    library = ares_library_init(ARES_LIB_INIT_ALL);
}

static struct rn__dns *take_current(void)
{
    struct rn__dns *d;

    pthread_mutex_lock(&lock);
    d = current;
    if (d != NULL)
        atomic_fetch_add(&d->refs, 1);
    pthread_mutex_unlock(&lock);
    return d;
}

static struct rn__dns *swap_current(struct rn__dns *d)
{
    struct rn__dns *before;

    pthread_mutex_lock(&lock);
    before = current;
    current = d;
    pthread_mutex_unlock(&lock);
    return before;
}

static void free_dns(struct rn__dns *d)
{
    for (int i = 0; i < d->n_search; i++)
        free(d->search[i]);
    free(d->search);
    free((char *)(uintptr_t)d->options.servers);
    free(d);
}

static void drop(struct rn__dns *d)
{
    if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    rn__dns_cache_end(d);
    free_dns(d);
}

/* ---- options ---- */

static int check_options(const rn_dns_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    /* c-ares doubles the timeout at each try, in an int. */
    if (o->timeout_ms < 0 || o->timeout_ms > 60000 || o->tries < 0 || o->tries > 10)
        return -EINVAL;
    return o->cache_entries < -1 || o->max_ttl_s < 0 || o->negative_ttl_s < 0 ? -EINVAL : 0;
}

static int or_default(int value, int otherwise)
{
    return value == 0 ? otherwise : value;
}

static int cut_search(struct rn__dns *d, const char *list)
{
    size_t n = 1;

    for (const char *s = list; *s != '\0'; s++)
        n += *s == ',';
    d->search = calloc(n, sizeof *d->search);
    if (d->search == NULL)
        return -ENOMEM;
    while (*list != '\0') {
        size_t len = strcspn(list, ",");

        if (len == 0 || len >= RN__DNS_NAME_ROOM)
            return -EINVAL;
        d->search[d->n_search] = strndup(list, len);
        if (d->search[d->n_search] == NULL)
            return -ENOMEM;
        d->n_search++;
        list += len + (list[len] == ',');
    }
    return 0;
}

static int copy_options(struct rn__dns *d, const rn_dns_options *o)
{
    d->options = (rn_dns_options){
        .timeout_ms = or_default(o->timeout_ms, 2000),
        .tries = or_default(o->tries, 3),
        .cache_entries = or_default(o->cache_entries, 1024),
        .max_ttl_s = or_default(o->max_ttl_s, 3600),
        .negative_ttl_s = or_default(o->negative_ttl_s, 5),
    };
    if (o->servers != NULL) {
        d->options.servers = strdup(o->servers);
        if (d->options.servers == NULL)
            return -ENOMEM;
        if (*o->servers == '\0')
            return -EINVAL;
    }
    return o->search == NULL ? 0 : cut_search(d, o->search);
}

/* With a first line: what is wrong with the servers is told now, and not by each lookup. */
static int new_dns(const rn_dns_options *o, struct rn__dns **ret)
{
    struct rn__dns *d = calloc(1, sizeof *d);
    int r;

    if (d == NULL)
        return -ENOMEM;
    atomic_store(&d->refs, 2);
    d->seed = (uint64_t)rn_now() | 1;
    r = copy_options(d, o);
    if (r == 0)
        r = rn__dns_cache_init(d);
    if (r == 0) {
        r = rn__dns_line_new(d, &d->idle);
        if (r == 0) {
            d->n_idle = 1;
            *ret = d;
            return 0;
        }
        rn__dns_cache_end(d);
    }
    free_dns(d);
    return r;
}

/* ---- as the process's resolver ---- */

static int check_lookup(const rn_lookup_options *o, int n)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    return n < 1 ? -EINVAL : 0;
}

static int fill_key(struct rn__dns_key *key, enum rn__dns_type type, const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);

    if (len == 0 || len >= sizeof key->name)
        return -RN_EADDRESS;
    key->type = type;
    for (size_t i = 0; i <= len; i++)
        key->name[i] = (char)tolower((unsigned char)name[i]);
    return 0;
}

static int lookup_host(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips, int n)
{
    struct rn__dns_answer *a = NULL;
    struct rn__dns_key key;
    int r = fill_key(&key, (enum rn__dns_type)family, name);

    if (r == 0)
        r = rn__dns_ask(arg, &key, deadline, &a);
    if (a == NULL)
        return r;
    for (r = 0; r < n && r < a->n; r++)
        ips[r] = a->items[r].ip;
    rn__dns_answer_drop(a);
    return r;
}

static void drop_hook(void *arg)
{
    struct rn__dns *d = arg;
    bool was_current;

    pthread_mutex_lock(&lock);
    was_current = current == d;
    if (was_current)
        current = NULL;
    pthread_mutex_unlock(&lock);
    if (was_current)
        drop(d);
    drop(d);
}

int rn_dns_use(const rn_dns_options *options)
{
    static const rn_dns_options defaults;
    struct rn__dns *d = NULL, *before;
    int r = check_options(options == NULL ? &defaults : options);

    if (r < 0)
        return r;
    pthread_once(&once, init_library);
    if (library != ARES_SUCCESS)
        return -ENOMEM;
    r = new_dns(options == NULL ? &defaults : options, &d);
    if (r < 0)
        return r;
    pthread_mutex_lock(&using);
    before = swap_current(d); /* first: who asks meanwhile finds one of the two */
    r = rn_resolver_set(&(rn_resolver){.lookup = lookup_host, .drop = drop_hook, .arg = d});
    if (r < 0)
        before = swap_current(before);
    pthread_mutex_unlock(&using);
    drop(before);
    if (r < 0)
        drop(before); /* it is d: the hook's */
    return r;
}

/* ---- other questions ---- */

/* Asks whom rn_dns_use has set; *dns and *ret are the caller's to drop. */
static int ask(const struct rn__dns_key *key, rn_time deadline, struct rn__dns **dns,
               struct rn__dns_answer **ret)
{
    struct rn__dns *d;
    int r;

    if (rn_proc_id() == 0)
        return -EDEADLK;
    if (deadline != 0 && deadline <= rn_now())
        return -ETIME;
    d = take_current();
    if (d == NULL)
        return -EINVAL;
    r = rn__dns_ask(d, key, deadline, ret);
    if (r == 0)
        *dns = d;
    else
        drop(d);
    return r;
}

int rn_dns_lookup_srv(const char *name, const rn_lookup_options *options, rn_dns_srv *ret, int n)
{
    static const rn_lookup_options defaults;
    const rn_lookup_options *o = options == NULL ? &defaults : options;
    uint8_t order[RN__DNS_ITEMS];
    struct rn__dns_answer *a = NULL;
    struct rn__dns_key key;
    struct rn__dns *d = NULL;
    int r = check_lookup(o, n);

    if (r == 0)
        r = fill_key(&key, RN__DNS_SRV, name);
    if (r == 0)
        r = ask(&key, o->deadline, &d, &a);
    if (a == NULL || d == NULL)
        return r;
    pthread_mutex_lock(&d->lock);
    rn__dns_srv_order(a, &d->seed, order);
    pthread_mutex_unlock(&d->lock);
    for (r = 0; r < n && r < a->n; r++)
        ret[r] = a->items[order[r]].srv;
    rn__dns_answer_drop(a);
    drop(d);
    return r;
}

/* 7.0.0.127.in-addr.arpa, or its like with 32 digits. */
static int fill_reverse(struct rn__dns_key *key, const rn_ip *ip)
{
    char *to = key->name;
    const uint8_t *b = ip->bytes;

    if (ip->family != 4 && ip->family != 6)
        return -EAFNOSUPPORT;
    *key = (struct rn__dns_key){.type = RN__DNS_PTR};
    if (ip->family == 4) {
        (void)snprintf(to, sizeof key->name, "%u.%u.%u.%u.in-addr.arpa", b[3], b[2], b[1], b[0]);
        return 0;
    }
    for (int i = 15; i >= 0; i--, to += 4)
        (void)snprintf(to, 5, "%x.%x.", b[i] & 15U, b[i] >> 4U);
    (void)snprintf(to, 9, "ip6.arpa");
    return 0;
}

int rn_dns_lookup_addr(const rn_ip *ip, const rn_lookup_options *options, rn_dns_name *ret, int n)
{
    static const rn_lookup_options defaults;
    const rn_lookup_options *o = options == NULL ? &defaults : options;
    struct rn__dns_answer *a = NULL;
    struct rn__dns_key key;
    struct rn__dns *d = NULL;
    int r = check_lookup(o, n);

    if (r == 0)
        r = fill_reverse(&key, ip);
    if (r == 0)
        r = ask(&key, o->deadline, &d, &a);
    if (a == NULL)
        return r;
    for (r = 0; r < n && r < a->n; r++)
        ret[r] = a->items[r].name;
    rn__dns_answer_drop(a);
    drop(d);
    return r;
}

int rn_dns_stats_get(rn_dns_stats *ret)
{
    struct rn__dns *d = take_current();

    if (d == NULL)
        return -EINVAL;
    pthread_mutex_lock(&d->lock);
    *ret = d->stats;
    pthread_mutex_unlock(&d->lock);
    drop(d);
    return 0;
}

void rn_dns_flush(void)
{
    struct rn__dns *d = take_current();

    if (d == NULL)
        return;
    rn__dns_cache_flush(d);
    drop(d);
}
