/*
 * resolve.h - from the name of a host to its addresses
 *
 * A host is looked for in this order: it is a number; it stands in /etc/hosts; the resolver knows
 * it. That is libc's getaddrinfo(3), on the threads of rn_offload, unless another is set.
 */
#ifndef RUNNEL_RESOLVE_H
#define RUNNEL_RESOLVE_H

#include <runnel/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The address of a host, without a port. */
typedef struct rn_ip {
    uint8_t family;    /* 4 or 6 */
    uint8_t bytes[16]; /* as on the wire; of IPv4 the first four */
    uint32_t scope;    /* of a link-local IPv6 address: its interface's index; else 0 */
} rn_ip;

/* How a name is looked up. All zero is the default. */
typedef struct rn_lookup_options {
    rn_time deadline;     /* absolute; 0: none */
    int family;           /* 4 or 6: addresses of that family only; 0: both */
    uint64_t reserved[4]; /* zero */
} rn_lookup_options;

/* What finds the addresses of names, for rn_dial and rn_lookup_host. */
typedef struct rn_resolver {
    /* Called in a coroutine, on any P, by several at once; may switch. name is neither a number nor
     * in /etc/hosts; family is 4, 6 or 0; ips is room for n addresses, the best first. Returns how
     * many; -RN_ENOHOST, -RN_EDNS, -ETIME at the deadline (absolute; 0: none), -ECANCELED. */
    int (*lookup)(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips, int n);
    /* Called once, when it has been replaced and the last lookup has returned; on any thread, even
     * after the runtime's end. May be NULL. */
    void (*drop)(void *arg);
    void *arg;            /* handed to both */
    uint64_t reserved[4]; /* zero */
} rn_resolver;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_LOOKUP_OPTIONS_INIT RN_INIT
#define RN_RESOLVER_INIT RN_INIT

/*
 * rn_lookup_host - the addresses of a host
 *   name     a number ("127.0.0.1", "::1", "fe80::1%eth0") or a name, without a port
 *   options  NULL for the defaults
 *   ips      room for n addresses; those to try first come first
 *   n        1 or more; 16 are as many as are ever found
 * Returns how many were found, 1..n; -RN_EADDRESS no name at all; -RN_ENOHOST there is no such
 * host, or it has no address of that family; -RN_EDNS the name servers failed, or did not answer:
 * another time they may; -ETIME deadline passed; -ECANCELED; -EINVAL a bad option; -ENOMEM;
 * -EDEADLK on a plain thread. ips is untouched on failure.
 * Effects: may switch coroutines; a lookup that is given up goes on where the resolver does it, and
 * is forgotten. Source: src/net/resolve.c
 */
RN_API int rn_lookup_host(const char *name, const rn_lookup_options *options, rn_ip *ips, int n);

/*
 * rn_ip_text - an address as text
 *   ip    address
 *   text  room for it: "192.0.2.1", "2001:db8::1", "fe80::1%2"; no brackets
 *   len   bytes of room; 64 suffice
 * Returns 0; -ENOSPC too little room; -EAFNOSUPPORT its family is neither 4 nor 6.
 * Effects: does not switch; any thread. Source: src/net/resolve.c
 */
RN_API int rn_ip_text(const rn_ip *ip, char *text, size_t len);

/*
 * rn_resolver_set - use another resolver from now on
 *   resolver  copied; NULL: libc's again
 * Lookups under way end with the one they began with. It stays set when the run ends.
 * Returns 0; -EINVAL no lookup function, or reserved members that are not zero; -ENOMEM. On failure
 * nothing has changed, and drop is not called.
 * Effects: does not switch; any thread. Source: src/net/resolve.c
 */
RN_API int rn_resolver_set(const rn_resolver *resolver);

#ifdef __cplusplus
}
#endif

#endif
