/*
 * explain.c - why a listener could not be opened, for people
 *
 * "Address already in use" begs the question by whom. The kernel's list of sockets (sock_diag for
 * TCP, /proc/net/unix for paths) has the inode of the one in the way, and /proc/PID/fd who has it
 * open. All of it may take a while on a big machine: on a P it is offloaded.
 */
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net.h"
#include "net/netlink.h"
#include "net/procfs.h"
#include <runnel/sockopt.h>
#include <runnel/task.h>

#define UNIX_LIST_MOST (4 << 20)
#define LISTENING "00010000" /* /proc/net/unix: __SO_ACCEPTCON */

struct explain {
    const char *network, *address;
    int error;
    char *text;
    size_t len;
};

/* The socket that is most likely in the way. */
struct culprit {
    const struct rn__addr *wanted;
    int score; /* 0: none */
    int state;
    uint32_t uid;
    uint64_t inode; /* 0: a connection that no process has any more */
};

static __attribute__((format(printf, 2, 3))) void add(struct explain *x, const char *format, ...)
{
    size_t used = strlen(x->text);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(x->text + used, x->len - used, format, ap);
    va_end(ap);
}

/* ---- TCP ---- */

static bool is_zero(const void *at, size_t len)
{
    static const char zeros[16];

    return memcmp(at, zeros, len) == 0;
}

/* How much a socket with that address is in the way of `wanted`, which has the same port. */
static int score_of(const struct rn__addr *wanted, const struct inet_diag_msg *m)
{
    bool six = wanted->sa.sa_family == AF_INET6;
    const void *ip = six ? (const void *)&wanted->in6.sin6_addr
                         : (const void *)&wanted->in.sin_addr;
    size_t len = six ? 16 : 4;

    if ((m->idiag_family == AF_INET6) == six) {
        if (memcmp(m->id.idiag_src, ip, len) == 0)
            return 4;
        return is_zero(m->id.idiag_src, len) || is_zero(ip, len) ? 3 : 0;
    }
    /* The other family: where one of the two is everywhere. */
    return is_zero(m->id.idiag_src, 16) || (six && is_zero(ip, 16)) ? 2 : 0;
}

static int look_at_socket(const struct nlmsghdr *h, void *arg)
{
    const struct inet_diag_msg *m = NLMSG_DATA(h);
    struct culprit *c = arg;
    int score;

    if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof *m))
        return 0;
    /* A listener is more to blame than its connections, and these more than what nobody has. */
    score = score_of(c->wanted, m) * 4 + (m->idiag_state == RN_TCP_LISTEN) * 2 +
            (m->idiag_inode != 0);
    if (score < 4 || score <= c->score)
        return 0;
    c->score = score;
    c->state = m->idiag_state;
    c->uid = m->idiag_uid;
    c->inode = m->idiag_inode;
    return 0;
}

static void ask_kernel(struct culprit *c, uint32_t states)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .body = {.sdiag_protocol = IPPROTO_TCP, .idiag_states = states}};

    request.body.id.idiag_sport = c->wanted->sa.sa_family == AF_INET6 ? c->wanted->in6.sin6_port
                                                                      : c->wanted->in.sin_port;
    for (size_t i = 0; i < RN_COUNT_OF(families); i++) {
        request.body.sdiag_family = families[i];
        (void)rn__netlink_dump(NETLINK_SOCK_DIAG, &request.head, look_at_socket, c);
    }
}

static void add_holder(struct explain *x, uint64_t inode, const char *before)
{
    struct rn__holder h;

    rn__proc_find_holder(inode, &h);
    if (h.pid == 0 && h.late)
        add(x, "%s a process that was not found in time", before);
    else if (h.pid == 0)
        add(x, "%s a process that cannot be seen from here", before);
    else if (h.pid == getpid())
        add(x, "%s this process", before);
    else
        add(x, "%s %s (pid %d)", before, h.name, h.pid);
    if (h.processes > 1)
        add(x, " and %d more", h.processes - 1);
}

static void explain_tcp_use(struct explain *x)
{
    struct rn__addr addrs[RN__ADDRS];
    struct culprit c = {.score = 0};
    enum rn__net net;
    int type;
    int n;

    if (rn__net_parse(x->network, &net, &type) < 0)
        return;
    n = rn__addr_resolve(net, x->address, true, addrs);
    for (int i = 0; i < n && c.score == 0; i++) {
        c.wanted = &addrs[i];
        ask_kernel(&c, 1U << RN_TCP_LISTEN);
        if (c.score == 0) /* looks at all connections of the machine */
            ask_kernel(&c, UINT32_MAX);
    }
    if (c.score == 0)
        return;
    if (c.inode == 0)
        add(x, " by connections in %s, which end by themselves", rn_tcp_state_name(c.state));
    else
        add_holder(x, c.inode, c.state == RN_TCP_LISTEN ? " by" : " by a connection of");
}

/* ---- unix ---- */

/* The inode of the socket at that address; listening is better. 0: none. */
static uint64_t find_unix(char *list, const char *address)
{
    uint64_t inode = 0;
    char *save, *line;

    for (line = strtok_r(list, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        char *words[8], *rest;
        size_t n = 0;

        /* Num RefCount Protocol Flags Type St Inode Path, which may have blanks */
        for (char *word = strtok_r(line, " ", &rest); word != NULL && n < 7;
             word = n < 7 ? strtok_r(NULL, " ", &rest) : NULL)
            words[n++] = word;
        if (n < 7 || rest == NULL || strcmp(rest, address) != 0)
            continue;
        if (inode == 0 || strcmp(words[3], LISTENING) == 0)
            inode = strtoull(words[6], NULL, 10);
    }
    return inode;
}

static void explain_unix_use(struct explain *x)
{
    char *list = rn__proc_read("/proc/net/unix", UNIX_LIST_MOST);
    uint64_t inode = list == NULL ? 0 : find_unix(list, x->address);
    struct stat st;

    rn__free(list);
    if (inode != 0)
        add_holder(x, inode, " by");
    else if (*x->address != '@' && list != NULL &&
             rn__sys_fstatat(AT_FDCWD, x->address, &st, AT_SYMLINK_NOFOLLOW) == 0)
        add(x, S_ISSOCK(st.st_mode) ? ": a socket is left there that nobody listens on; remove it"
                                    : ": there is a file that is no socket");
}

/* ---- all of it ---- */

static int explain(void *arg)
{
    struct explain *x = arg;
    bool is_unix = x->network != NULL && strcmp(x->network, "unix") == 0;

    add(x, "%s: %s", x->address == NULL ? "(null)" : x->address, rn_strerror(x->error));
    if (x->address == NULL)
        return 0;
    if (x->error == -EADDRINUSE && is_unix)
        explain_unix_use(x);
    else if (x->error == -EADDRINUSE)
        explain_tcp_use(x);
    else if (x->error == -EADDRNOTAVAIL && !is_unix)
        add(x, " (no interface has it)"); /* a listener needs no local port */
    else if (x->error == -EACCES && !is_unix)
        add(x, ": low ports are for root, or with CAP_NET_BIND_SERVICE");
    return 0;
}

void rn_listen_explain(const char *network, const char *address, int error, char *text, size_t len)
{
    struct explain x = {
        .network = network, .address = address, .error = error, .text = text, .len = len};

    text[0] = '\0';
    if (rn__self() == NULL || rn_offload(explain, &x, NULL) < 0)
        (void)explain(&x);
}
