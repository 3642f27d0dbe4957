/*
 * addr.c - addresses as text and as struct sockaddr
 *
 * "host:port", ":port", "[v6]:port", a path, "@abstract". Names are looked up in /etc/hosts; what
 * is not there is resolve.c's to ask for.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/net.h"

#define HOSTS_MOST (64 << 10)

int rn__net_parse(const char *network, enum rn__net *ret, int *type)
{
    static const struct {
        const char *name;
        enum rn__net net;
        int type;
    } networks[] = {
        {"tcp", RN__TCP, SOCK_STREAM},
        {"tcp4", RN__TCP4, SOCK_STREAM},
        {"tcp6", RN__TCP6, SOCK_STREAM},
        {"unix", RN__UNIX, SOCK_STREAM},
        {"udp", RN__TCP, SOCK_DGRAM},
        {"udp4", RN__TCP4, SOCK_DGRAM},
        {"udp6", RN__TCP6, SOCK_DGRAM},
        {"unixgram", RN__UNIX, SOCK_DGRAM},
        {"unixpacket", RN__UNIX, SOCK_SEQPACKET},
    };

    for (size_t i = 0; network != NULL && i < RN_COUNT_OF(networks); i++) {
        if (strcmp(network, networks[i].name) == 0) {
            *ret = networks[i].net;
            *type = networks[i].type;
            return 0;
        }
    }
    return -RN_ENETWORK;
}

static int parse_port(const char *text, uint16_t *ret)
{
    unsigned port = 0;

    if (*text == '\0')
        return -RN_EADDRESS;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -RN_EADDRESS;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > UINT16_MAX)
            return -RN_EADDRESS;
    }
    *ret = (uint16_t)port;
    return 0;
}

static int split(const char *text, struct rn__host_port *ret)
{
    const char *colon = strrchr(text, ':'), *from = text, *to = colon;

    if (colon == NULL)
        return -RN_EADDRESS;
    if (*text == '[') {
        if (colon == text || colon[-1] != ']')
            return -RN_EADDRESS;
        from++;
        to--;
    } else if (memchr(text, ':', (size_t)(colon - text)) != NULL) {
        return -RN_EADDRESS; /* "::1:80" could mean anything */
    }
    if (to < from || (size_t)(to - from) >= sizeof ret->host)
        return -RN_EADDRESS;
    memcpy(ret->host, from, (size_t)(to - from));
    ret->host[to - from] = '\0';
    if (strpbrk(ret->host, "[]") != NULL)
        return -RN_EADDRESS;
    return parse_port(colon + 1, &ret->port);
}

static struct rn__addr from_v4(struct in_addr ip, uint16_t port)
{
    struct rn__addr a = {.len = sizeof a.in};

    a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = ip};
    return a;
}

static struct rn__addr from_v6(struct in6_addr ip, uint16_t port, uint32_t scope)
{
    struct rn__addr a = {.len = sizeof a.in6};

    a.in6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = ip, .sin6_scope_id = scope};
    return a;
}

/* A number of either family: 1, or 0 where it is none. */
static int from_number(enum rn__net net, const char *host, uint16_t port, struct rn__addr *ret)
{
    char bare[RN__HOST_ROOM];
    const char *percent = strchr(host, '%');
    struct in_addr v4;
    struct in6_addr v6;
    uint32_t scope = 0;

    if (net != RN__TCP6 && inet_pton(AF_INET, host, &v4) == 1) {
        *ret = from_v4(v4, port);
        return 1;
    }
    (void)snprintf(bare, sizeof bare, "%.*s",
                   percent == NULL ? RN__HOST_ROOM - 1 : (int)(percent - host), host);
    if (percent != NULL) {
        scope = if_nametoindex(percent + 1);
        if (scope == 0)
            scope = (uint32_t)strtoul(percent + 1, NULL, 10);
    }
    if (inet_pton(AF_INET6, bare, &v6) != 1)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) { /* "::ffff:127.0.0.1" is IPv4, whatever it looks like */
        memcpy(&v4, v6.s6_addr + 12, sizeof v4);
        *ret = from_v4(v4, port);
        return net != RN__TCP6;
    }
    *ret = from_v6(v6, port, scope);
    return net != RN__TCP4;
}

/* An empty host. Listening: every address; dual-stack is the listener's affair. */
static int from_nothing(enum rn__net net, uint16_t port, bool passive, struct rn__addr *ret)
{
    struct in_addr v4 = {.s_addr = htonl(passive ? INADDR_ANY : INADDR_LOOPBACK)};
    int n = 0;

    if (net != RN__TCP4)
        ret[n++] = from_v6(passive ? in6addr_any : in6addr_loopback, port, 0);
    if (net != RN__TCP6)
        ret[n++] = from_v4(v4, port);
    return n;
}

/* One line of /etc/hosts: "address name name ... # comment"; cuts it up. */
static bool line_names(char *line, const char *host, const char **address)
{
    char *save, *word;

    line[strcspn(line, "#")] = '\0';
    *address = strtok_r(line, " \t\r", &save);
    if (*address == NULL)
        return false;
    while ((word = strtok_r(NULL, " \t\r", &save)) != NULL)
        if (strcasecmp(word, host) == 0)
            return true;
    return false;
}

static int read_hosts(char **ret)
{
    int fd = rn__sys_openat(AT_FDCWD, "/etc/hosts", O_RDONLY | O_CLOEXEC, 0);
    char *text;
    ssize_t n;

    if (fd < 0)
        return -RN_ENOHOST;
    text = rn__malloc(HOSTS_MOST + 1);
    if (text == NULL) {
        (void)rn__sys_close(fd);
        return -ENOMEM;
    }
    n = rn__sys_read(fd, text, HOSTS_MOST);
    (void)rn__sys_close(fd);
    text[n < 0 ? 0 : n] = '\0';
    *ret = text;
    return 0;
}

static int from_hosts(enum rn__net net, const struct rn__host_port *hp, struct rn__addr *ret)
{
    char *text, *save, *line;
    const char *address;
    int n = 0, r = read_hosts(&text);

    if (r < 0)
        return r;
    for (line = strtok_r(text, "\n", &save); line != NULL && n < RN__ADDRS;
         line = strtok_r(NULL, "\n", &save))
        if (line_names(line, hp->host, &address))
            n += from_number(net, address, hp->port, &ret[n]);
    rn__free(text);
    return n == 0 ? -RN_ENOHOST : n;
}

static int from_path(const char *text, struct rn__addr *ret)
{
    size_t len = strlen(text);
    bool abstract = *text == '@';

    /* The kernel takes a path without its NUL, but everybody else expects one. */
    if (len == 0 || len + !abstract > sizeof ret->un.sun_path)
        return -RN_EADDRESS;
    *ret = (struct rn__addr){.len = 0};
    ret->un.sun_family = AF_UNIX;
    memcpy(ret->un.sun_path, text, len);
    if (abstract)
        ret->un.sun_path[0] = '\0';
    ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
    return 1;
}

/* Such a name is a number that somebody mistyped, or an old way of writing one ("127.1", "0x7f.1"),
 * which libc's resolver would understand, and whoever filters addresses would not. */
static bool ends_in_number(const char *host)
{
    size_t len = strlen(host);
    const char *last;

    if (len > 0 && host[len - 1] == '.')
        len--;
    last = memrchr(host, '.', len);
    last = last == NULL ? host : last + 1;
    if (strncasecmp(last, "0x", 2) == 0)
        return true;
    return strspn(last, "0123456789") >= (size_t)(host + len - last);
}

int rn__addr_host(enum rn__net net, const struct rn__host_port *hp, struct rn__addr *ret)
{
    int r = from_number(net, hp->host, hp->port, ret);
    struct rn__addr other;

    if (r != 0)
        return r;
    if (strchr(hp->host, ':') != NULL || ends_in_number(hp->host) ||
        from_number(RN__TCP, hp->host, hp->port, &other) != 0)
        return -RN_ENOHOST;
    r = from_hosts(net, hp, ret);
    return r == -RN_ENOHOST ? 0 : r;
}

int rn__addr_known(enum rn__net net, const char *text, bool passive, struct rn__addr *ret,
                   struct rn__host_port *name)
{
    int r;

    if (text == NULL)
        return -RN_EADDRESS;
    if (net == RN__UNIX)
        return from_path(text, ret);
    r = split(text, name);
    if (r < 0)
        return r;
    if (name->host[0] == '\0')
        return from_nothing(net, name->port, passive, ret);
    return rn__addr_host(net, name, ret);
}

int rn__addr_resolve(enum rn__net net, const char *text, bool passive, struct rn__addr *ret)
{
    struct rn__host_port name;
    int r = rn__addr_known(net, text, passive, ret, &name);

    return r == 0 ? -RN_ENOHOST : r;
}

static int format_unix(const struct rn__addr *a, char *text, size_t len)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t n = a->len > head ? a->len - head : 0;

    if (n > 0 && a->un.sun_path[0] != '\0')
        n = strnlen(a->un.sun_path, n);
    if (n >= len)
        return -ENOSPC;
    memcpy(text, a->un.sun_path, n);
    text[n] = '\0';
    if (n > 0 && text[0] == '\0')
        text[0] = '@';
    return 0;
}

int rn__addr_format(const struct rn__addr *a, char *text, size_t len)
{
    char ip[INET6_ADDRSTRLEN], scope[16] = "";
    int n;

    if (a->sa.sa_family == AF_UNIX || a->len == 0)
        return len == 0 ? -ENOSPC : format_unix(a, text, len);
    if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
        inet_ntop(AF_INET, a->in6.sin6_addr.s6_addr + 12, ip, sizeof ip);
        n = snprintf(text, len, "%s:%u", ip, ntohs(a->in6.sin6_port));
    } else if (a->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof ip);
        n = snprintf(text, len, "%s:%u", ip, ntohs(a->in.sin_port));
    } else if (a->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof ip);
        if (a->in6.sin6_scope_id != 0)
            (void)snprintf(scope, sizeof scope, "%%%u", a->in6.sin6_scope_id);
        n = snprintf(text, len, "[%s%s]:%u", ip, scope, ntohs(a->in6.sin6_port));
    } else {
        return -EAFNOSUPPORT;
    }
    return n < 0 || (size_t)n >= len ? -ENOSPC : 0;
}

bool rn__addr_equal(const struct rn__addr *a, const struct rn__addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    if (a->sa.sa_family == AF_INET6)
        return a->in6.sin6_port == b->in6.sin6_port &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
    return false;
}

static int format_name(int (*get)(int, struct sockaddr *, socklen_t *), int fd, char *text,
                       size_t len)
{
    struct rn__addr a = {.len = sizeof a - offsetof(struct rn__addr, sa)};
    int r = get(fd, &a.sa, &a.len);

    return r < 0 ? r : rn__addr_format(&a, text, len);
}

int rn_local_addr(rn_conn *conn, char *text, size_t len)
{
    return format_name(rn__sys_getsockname, conn->w.fd, text, len);
}

int rn_remote_addr(rn_conn *conn, char *text, size_t len)
{
    return format_name(rn__sys_getpeername, conn->w.fd, text, len);
}

int rn_listener_addr(rn_listener *ln, char *text, size_t len)
{
    int fd = atomic_load(&ln->fd);

    return fd < 0 ? -ECANCELED : format_name(rn__sys_getsockname, fd, text, len);
}
