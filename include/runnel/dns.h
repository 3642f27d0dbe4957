/*
 * dns.h - names by runnel's own waits instead of threads: a resolver with a cache (c-ares)
 *
 * A library of its own, librunnel-dns (pkg-config runnel-dns), for it needs c-ares; runnel.h does
 * not include it. After one rn_dns_use, rn_dial and rn_lookup_host ask the name servers of
 * /etc/resolv.conf without a thread: thousands of lookups may wait for a server that is silent, and
 * nothing else does. Numbers and /etc/hosts come first, as always (resolve.h).
 */
#ifndef RUNNEL_DNS_H
#define RUNNEL_DNS_H

#include <runnel/resolve.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whom to ask, and what to remember. All zero is the default. */
typedef struct rn_dns_options {
    const char *servers;  /* "127.0.0.1:5353,[::1]:53", in order; NULL: those of resolv.conf */
    const char *search;   /* "example.org,example.net", "" none; NULL: that of resolv.conf */
    int timeout_ms;       /* of a try; doubles each time all servers were tried; 0: 2000 */
    int tries;            /* of each server; 0: 3 */
    int cache_entries;    /* names remembered at most; 0: 1024; -1: none */
    int max_ttl_s;        /* nothing is remembered for longer; 0: an hour */
    int negative_ttl_s;   /* that there is no such name, where the answer does not say; 0: 5 */
    uint64_t reserved[4]; /* zero */
} rn_dns_options;

/* A server of a service. */
typedef struct rn_dns_srv {
    char target[256];  /* its name, for rn_dial */
    uint16_t port;     /* where it serves */
    uint16_t priority; /* lower first */
    uint16_t weight;   /* its share among those of one priority */
} rn_dns_srv;

/* The name of a host. */
typedef struct rn_dns_name {
    char text[256]; /* without a dot at the end */
} rn_dns_name;

/* What has been asked since rn_dns_use. */
typedef struct rn_dns_stats {
    uint64_t hits;      /* answered from the cache */
    uint64_t misses;    /* the servers were asked */
    uint64_t merged;    /* waited for the answer to somebody else's question */
    uint64_t evicted;   /* forgotten before their time, for want of room */
    uint64_t entries;   /* remembered now */
    uint64_t in_flight; /* questions under way now */
} rn_dns_stats;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_DNS_OPTIONS_INIT RN_INIT

/*
 * rn_dns_use - look names up by DNS, without a thread, from now on
 *   options  copied; NULL for the defaults
 * It becomes the process's resolver, by rn_resolver_set, in place of the one before, and with an
 * empty cache. It stays when the run ends; rn_resolver_set(NULL) ends it. /etc/resolv.conf is
 * looked at again every 5 s, and where it has changed the cache is emptied.
 * Returns 0; -EINVAL a bad option; -ENOMEM; -EMFILE, -ENFILE. On failure nothing has changed.
 * Effects: does not switch; reads resolv.conf; any thread. A lookup takes about 12 KiB of its
 * coroutine's stack. Source: src/dns/use.c
 */
RN_API int rn_dns_use(const rn_dns_options *options);

/*
 * rn_dns_lookup_srv - the servers of a service
 *   name     as "_imaps._tcp.example.org"
 *   options  NULL for the defaults; the family does not matter
 *   ret      room for n servers; those to try first come first, as RFC 2782 has it: by priority,
 *            and at random by weight within one, anew at each call
 *   n        1 or more; 64 are as many as are ever found
 * Returns how many were found, 1..n; -RN_ENOHOST there is no such service, or it is said not to be
 * offered; -EINVAL rn_dns_use is not in effect, or a bad option; else as rn_lookup_host. ret is
 * untouched on failure.
 * Effects: as rn_lookup_host. Source: src/dns/use.c
 */
RN_API int rn_dns_lookup_srv(const char *name, const rn_lookup_options *options, rn_dns_srv *ret,
                             int n);

/*
 * rn_dns_lookup_addr - the names of an address
 *   ip       address
 *   options  as for rn_dns_lookup_srv
 *   ret      room for n names
 *   n        1 or more; 64 are as many as are ever found
 * Asks for PTR records, which whoever owns the address may have written as he liked: a name is
 * proven only where it leads back to the address.
 * Returns how many were found, 1..n; -RN_ENOHOST it has no name; -EAFNOSUPPORT its family is
 * neither 4 nor 6; else as rn_dns_lookup_srv. ret is untouched on failure.
 * Effects: as rn_lookup_host. Source: src/dns/use.c
 */
RN_API int rn_dns_lookup_addr(const rn_ip *ip, const rn_lookup_options *options, rn_dns_name *ret,
                              int n);

/*
 * rn_dns_stats_get - how the cache does
 *   ret  the numbers
 * Returns 0; -EINVAL rn_dns_use is not in effect. *ret is untouched on failure.
 * Effects: does not switch; any thread. Source: src/dns/use.c
 */
RN_API int rn_dns_stats_get(rn_dns_stats *ret);

/*
 * rn_dns_flush - forget all answers
 * What is being asked now is answered to those who wait for it, and not remembered either.
 * Effects: does not switch; any thread; none where rn_dns_use is not in effect.
 * Source: src/dns/use.c
 */
RN_API void rn_dns_flush(void);

#ifdef __cplusplus
}
#endif

#endif
