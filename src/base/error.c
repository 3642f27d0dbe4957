/*
 * error.c - names and texts of results, the version, and the end of a broken invariant
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/sys.h"

struct own_error {
    const char *name;
    const char *text;
};

#define OWN(e) [e - RN_EBASE]

static const struct own_error own_errors[] = {
    OWN(RN_EADDRESS) = {"RN_EADDRESS", "malformed address (want host:port, :port, path or @name)"},
    OWN(RN_ENETWORK) = {"RN_ENETWORK", "unknown network (tcp, udp, with 4 or 6; unix...)"},
    OWN(RN_ENOHOST) = {"RN_ENOHOST", "no such host"},
    OWN(RN_ETRUNCATED) = {"RN_ETRUNCATED", "file became shorter while it was sent"},
    OWN(RN_EHTTP) = {"RN_EHTTP", "malformed HTTP message"},
    OWN(RN_EFORGOTTEN) = {"RN_EFORGOTTEN", "cancelled, and the offloaded call forgotten"},
    OWN(RN_EFDSETSIZE) = {"RN_EFDSETSIZE",
                          "descriptor too large for select (1024): use RN_POLLER=epoll or poll"},
    OWN(RN_EDNS) = {"RN_EDNS", "name servers failed or did not answer"},
    OWN(RN_ELONG) = {"RN_ELONG", "line longer than its limit"},
    OWN(RN_EWOULDBLOCK) = {"RN_EWOULDBLOCK", "would have to wait"},
    OWN(RN_EPARTIAL) = {"RN_EPARTIAL", "stream ended in the middle"},
    OWN(RN_EURL) = {"RN_EURL", "malformed URL (want http://host[:port][/path])"},
    OWN(RN_ESCHEME) = {"RN_ESCHEME", "URL scheme is not http, the only one there is"},
    OWN(RN_EREDIRECTS) = {"RN_EREDIRECTS", "redirected too often"},
    OWN(RN_EPROXY) = {"RN_EPROXY", "proxy refused the tunnel"},
};

_Static_assert(RN_COUNT_OF(own_errors) == RN_EEND - RN_EBASE, "each RN_E has a name and a text");

static long magnitude_of(ssize_t result)
{
    /* The smallest ssize_t has no positive twin: no call returns it, but a caller may pass it. */
    return result >= 0 ? result : result < -RN_EEND ? RN_EEND : -result;
}

static const struct own_error *find_own(long e)
{
    return e >= RN_EBASE && e < RN_EEND ? &own_errors[e - RN_EBASE] : NULL;
}

const char *rn_strerror(ssize_t result)
{
    long e = magnitude_of(result);
    const struct own_error *own = find_own(e);
    const char *text;

    if (e == 0)
        return "success";
    if (own != NULL)
        return own->text;
    if (e == ETIME)
        return "deadline passed";
    if (e == EADDRNOTAVAIL) /* libc's text tells only of the first of its causes */
        return "address is not this machine's, or no local port is free";
    /* strerrordesc_np: constant texts, neither locale nor a per-thread buffer. */
    text = e > 0 && e < RN_EBASE ? strerrordesc_np((int)e) : NULL;
    return text == NULL ? "unknown error" : text;
}

const char *rn_error_name(ssize_t result)
{
    long e = magnitude_of(result);
    const struct own_error *own = find_own(e);
    const char *name;

    if (e == 0)
        return "OK";
    if (own != NULL)
        return own->name;
    name = e > 0 && e < RN_EBASE ? strerrorname_np((int)e) : NULL;
    return name == NULL ? "E?" : name;
}

bool rn_is_timeout(ssize_t result)
{
    return result == -ETIME || result == -ETIMEDOUT;
}

const char *rn_version(void)
{
    return RN_VERSION;
}

void rn__assert_failed(const char *cond, const char *file, int line)
{
    char text[256];
    int n = snprintf(text, sizeof text, "runnel: broken invariant: %s at %s:%d\n", cond, file,
                     line);

    (void)rn__panic_write(STDERR_FILENO, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
    abort();
}
