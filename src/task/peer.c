/*
 * peer.c - a descriptor's peer, written in a signal handler: no inet_ntop, no stdio
 */
#include "task/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/sys.h"

union address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static void put_in(struct rn__line *l, const unsigned char *bytes)
{
    for (int i = 0; i < 4; i++) {
        rn__line_text(l, i == 0 ? "" : ".");
        rn__line_number(l, bytes[i], 10);
    }
}

/* With the longest run of zeros, if longer than one group, as "::" (RFC 5952). */
static void put_in6(struct rn__line *l, const struct in6_addr *a)
{
    int from = 8, run = 1;

    for (int i = 0; i < 8; i++) {
        int n = 0;

        while (i + n < 8 && a->s6_addr16[i + n] == 0)
            n++;
        if (n > run) {
            from = i;
            run = n;
        }
    }
    for (int i = 0; i < 8; i++) {
        if (i == from) {
            rn__line_text(l, "::");
            i += run - 1;
            continue;
        }
        rn__line_text(l, i == 0 || i == from + run ? "" : ":");
        rn__line_number(l, ntohs(a->s6_addr16[i]), 16);
    }
}

static void put_unix(struct rn__line *l, const struct sockaddr_un *un, socklen_t len)
{
    char path[sizeof un->sun_path + 1] = "";
    size_t n = len - offsetof(struct sockaddr_un, sun_path);

    if (len <= offsetof(struct sockaddr_un, sun_path))
        return;
    memcpy(path, un->sun_path, n);
    if (path[0] == '\0')
        path[0] = '@';
    rn__line_text(l, path);
}

void rn__line_peer(struct rn__line *l, int fd)
{
    union address a;
    socklen_t len = sizeof a;
    uint16_t port;

    if (rn__panic_getpeername(fd, &a.sa, &len) < 0)
        return;
    rn__line_text(l, ", peer ");
    switch (a.sa.sa_family) {
    case AF_INET:
        put_in(l, (const unsigned char *)&a.in.sin_addr);
        port = a.in.sin_port;
        break;
    case AF_INET6:
        rn__line_text(l, "[");
        if (IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr))
            put_in(l, a.in6.sin6_addr.s6_addr + 12);
        else
            put_in6(l, &a.in6.sin6_addr);
        rn__line_text(l, "]");
        port = a.in6.sin6_port;
        break;
    default:
        put_unix(l, &a.un, len);
        return;
    }
    rn__line_text(l, ":");
    rn__line_number(l, ntohs(port), 10);
}
