/*
 * base.h - time, errors and version: what every other runnel header needs
 *
 * Results: int calls return 0 or a negative errno (-ECONNREFUSED), byte counts return ssize_t.
 * runnel never speaks through errno. Numbers of our own start at 4096 (RN_E...).
 */
#ifndef RUNNEL_BASE_H
#define RUNNEL_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RN_API __attribute__((visibility("default")))

/* All members zero. */
/* clang-format off */
#ifdef __cplusplus
#define RN_INIT {}
#else
#define RN_INIT {0}
#endif
/* clang-format on */

#ifdef __cplusplus
extern "C" {
#endif

/* A point on the monotonic clock, or a span of it, in nanoseconds. As a deadline, 0 means none. */
typedef int64_t rn_time;

#define RN_MICROSECOND ((rn_time)1000)
#define RN_MILLISECOND ((rn_time)1000000)
#define RN_SECOND ((rn_time)1000000000)

/* runnel's own error numbers; results carry them negated, like errno values. */
enum rn_error {
    RN_EBASE = 4096,
    RN_EADDRESS = RN_EBASE, /* an address that does not parse: the text says "host:port" */
    RN_ENETWORK,            /* a network name that is none that the call knows: tcp, udp, unix... */
    RN_ENOHOST,             /* a host name that nobody knows, or without such an address */
    RN_ETRUNCATED,          /* a file became shorter while it was sent */
    RN_EHTTP,               /* bytes that are not HTTP/1.1 as RFC 9112 writes it */
    RN_EFORGOTTEN,          /* an offloaded call that its cancelled caller waits for no more */
    RN_EFDSETSIZE,          /* a descriptor of 1024 or more, which select(2) has no room for */
    RN_EDNS,                /* name servers that failed or did not answer; perhaps later */
    RN_ELONG,               /* a line that is longer than its limit */
    RN_EPARTIAL,            /* the stream ended in the middle of what was to be read */
    RN_EWOULDBLOCK,         /* RN_MSG_DONTWAIT, and the call would have had to wait */
    RN_EURL,                /* a URL that does not parse: the text says "http://host/path" */
    RN_ESCHEME,             /* a URL of another scheme than http */
    RN_EREDIRECTS,          /* a server that sends elsewhere more often than allowed */
    RN_EPROXY,              /* a proxy that would not open a tunnel */
    RN_EEND
};

/*
 * rn_now - read the monotonic clock
 * Returns nanoseconds since an arbitrary start, never 0.
 * Effects: none. Source: src/base/clock.c
 */
RN_API rn_time rn_now(void);

/*
 * rn_after - the deadline that lies a span ahead
 *   span_ns  nanoseconds from now; negative means already passed
 * Returns an absolute time for rn_set_deadline and its kin; saturates at the end of time, and is
 * never 0, so that "already passed" cannot be mistaken for "none".
 * Effects: none. Source: src/base/clock.c
 */
RN_API rn_time rn_after(rn_time span_ns);

/*
 * rn_strerror - the text for a result
 *   result  a negative result of any runnel call; a positive errno value works too
 * Returns a constant text, never NULL; "success" for 0.
 * Effects: none; safe from any thread. Source: src/base/error.c
 */
RN_API const char *rn_strerror(ssize_t result);

/*
 * rn_error_name - the symbol for a result, for logs and metrics
 *   result  as for rn_strerror
 * Returns "ECONNREFUSED", "RN_EADDRESS", "OK" for 0, or "E?" for what no table knows; never NULL.
 * Effects: none; safe from any thread. Source: src/base/error.c
 */
RN_API const char *rn_error_name(ssize_t result);

/*
 * rn_is_timeout - was this a time limit, ours or the kernel's
 *   result  a result of any runnel call
 * Returns true for -ETIME (a deadline set here passed) and -ETIMEDOUT (the kernel gave up on the
 * peer), false for everything else.
 * Effects: none. Source: src/base/error.c
 */
RN_API bool rn_is_timeout(ssize_t result);

/*
 * rn_version - the version of the library that is linked in
 * Returns "MAJOR.MINOR.PATCH", constant.
 * Effects: none. Source: src/base/error.c
 */
RN_API const char *rn_version(void);

#ifdef __cplusplus
}
#endif

#endif
