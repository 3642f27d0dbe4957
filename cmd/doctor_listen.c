/*
 * doctor_listen.c - the TCP listeners of a process: how long their queues are, and may get
 *
 * /proc/PID/net/tcp tells a listener's queue, but its limit only sock_diag does; the inode joins
 * the two with the process's descriptors.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "net/netlink.h"

#define MOST 256 /* listeners of one process */

static struct listener {
    unsigned long inode;
    char address[64];
    long queued, limit; /* limit: -1 unknown */
} listeners[MOST];      /* of the check that runs */

/* ---- the process's sockets ---- */

struct sockets {
    const struct doctor *doctor;
    unsigned long *inodes;
    size_t n, room;
    bool denied;
};

static void take_fd(const char *name, void *arg)
{
    struct sockets *s = arg;
    char path[PATH_MAX], link[64] = "";
    unsigned long inode;
    ssize_t len;

    (void)snprintf(path, sizeof path, "%s%s/fd/%s", s->doctor->root, s->doctor->proc, name);
    len = readlink(path, link, sizeof link - 1);
    if (len < 0 && errno == EACCES)
        s->denied = true;
    if (len < 0 || sscanf(link, "socket:[%lu]", &inode) != 1)
        return;
    if (s->n == s->room) {
        size_t room = s->room == 0 ? 64 : s->room * 2;
        unsigned long *more = realloc(s->inodes, room * sizeof *more);

        if (more == NULL)
            return;
        s->inodes = more;
        s->room = room;
    }
    s->inodes[s->n++] = inode;
}

static int compare(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

    return x < y ? -1 : x > y;
}

static bool is_ours(const struct sockets *s, unsigned long inode)
{
    return s->n > 0 && bsearch(&inode, s->inodes, s->n, sizeof inode, compare) != NULL;
}

/* ---- the listeners among them ---- */

/* "0100007F:1F90", words of the machine's byte order. */
static void write_address(const char *hex, int family, char *text, size_t room)
{
    unsigned char raw[16];
    char address[INET6_ADDRSTRLEN] = "?", word[9] = "";
    size_t words = family == AF_INET ? 1 : 4;
    unsigned port = 0;

    for (size_t i = 0; i < words && strlen(hex) > i * 8 + 8; i++) {
        uint32_t value;

        memcpy(word, hex + i * 8, 8);
        value = (uint32_t)strtoul(word, NULL, 16);
        memcpy(raw + i * 4, &value, 4);
    }
    (void)inet_ntop(family, raw, address, sizeof address);
    (void)sscanf(strchr(hex, ':') == NULL ? ":0" : strchr(hex, ':'), ":%x", &port);
    (void)snprintf(text, room, family == AF_INET ? "%s:%u" : "[%s]:%u", address, port);
}

/* Adds to the n that are there; how many there are then, or -errno. */
static int take_file(const struct sockets *s, const char *file, int family, int n)
{
    char path[64], *text = NULL;
    int r;

    (void)snprintf(path, sizeof path, "%s/net/%s", s->doctor->proc, file);
    r = doc_read_all(s->doctor, path, &text);
    if (r < 0)
        return r;
    for (const char *line = text; line != NULL && n < MOST; line = strchr(line, '\n')) {
        char hex[64];
        unsigned state, queued;
        unsigned long inode;

        line += *line == '\n';
        /* sl local remote st tx_queue:rx_queue tr:when retrnsmt uid timeout inode */
        if (sscanf(line, " %*d: %63s %*s %x %*x:%x %*x:%*x %*x %*d %*d %lu", hex, &state, &queued,
                   &inode) != 4 ||
            state != TCP_LISTEN || !is_ours(s, inode))
            continue;
        listeners[n] = (struct listener){.inode = inode, .queued = queued, .limit = -1};
        write_address(hex, family, listeners[n].address, sizeof listeners[n].address);
        n++;
    }
    free(text);
    return n;
}

/* ---- their limits ---- */

static int take_message(const struct nlmsghdr *m, void *arg)
{
    const struct inet_diag_msg *msg = NLMSG_DATA(m);
    const int *n = arg;

    if (m->nlmsg_type != SOCK_DIAG_BY_FAMILY || m->nlmsg_len < NLMSG_LENGTH(sizeof *msg))
        return 0;
    for (int i = 0; i < *n; i++) {
        if (listeners[i].inode != msg->idiag_inode)
            continue;
        listeners[i].queued = msg->idiag_rqueue;
        listeners[i].limit = msg->idiag_wqueue;
    }
    return 0;
}

static void ask_limits(int n, int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {.head = {.nlmsg_len = sizeof request,
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 .body = {.sdiag_family = (unsigned char)family,
                          .sdiag_protocol = IPPROTO_TCP,
                          .idiag_states = 1 << TCP_LISTEN}};

    /* Without an answer the limits stay unknown. */
    (void)rn__netlink_dump(NETLINK_SOCK_DIAG, &request.head, take_message, &n);
}

/* The TCP listeners of the checked process; how many, or -errno. */
static int find_listeners(const struct doctor *d)
{
    struct sockets s = {.doctor = d};
    char path[64];
    int n, r;

    (void)snprintf(path, sizeof path, "%s/fd", d->proc);
    r = doc_each_entry(d, path, take_fd, &s);
    if (r == 0 && s.denied)
        r = -EACCES;
    if (s.n > 0)
        qsort(s.inodes, s.n, sizeof *s.inodes, compare);
    n = r < 0 ? r : take_file(&s, "tcp", AF_INET, 0);
    if (n >= 0 && (r = take_file(&s, "tcp6", AF_INET6, n)) >= 0)
        n = r; /* else there is no IPv6 */
    free(s.inodes);
    if (n > 0 && d->root[0] == '\0' && d->net_error == 0) {
        ask_limits(n, AF_INET);
        ask_limits(n, AF_INET6);
    }
    return n;
}

/* ---- checks ---- */

/* Where its program is told how many may wait. */
static void name_backlog(const struct doctor *d, long want, char *text, size_t room)
{
    char path[64], name[32] = "";

    (void)snprintf(path, sizeof path, "%s/comm", d->proc);
    if (doc_read(d, path, name, sizeof name) > 0 && strcmp(name, "runnel\n") == 0)
        (void)snprintf(text, room, "runnel's --backlog %ld", want);
    else
        (void)snprintf(text, room, "rn_listen_options.backlog, listen(2)");
}

static void judge(struct doctor *d, const struct doc_check *c, const struct listener *l)
{
    struct doc_finding *f = doc_add(d, c);
    long want = doc_want_queue(d), somaxconn = LONG_MAX;
    char how[64];

    DOC_SET(f->source, "%s/net/tcp, sock_diag", d->proc);
    DOC_SET(f->wanted, "a limit of at least %ld, and less than half of it in use", want);
    if (l->limit < 0) {
        f->state = DOC_UNKNOWN;
        DOC_SET(f->read, "%s: %ld wait, limit unknown", l->address, l->queued);
        return;
    }
    DOC_SET(f->read, "%s: %ld wait, at most %ld", l->address, l->queued, l->limit);
    if (l->queued * 2 > l->limit) {
        f->state = l->queued >= l->limit ? DOC_FAIL : c->bad;
        DOC_SET(f->temporary, "kill -QUIT %ld", d->pid);
        DOC_SET(f->note,
                "that makes a runnel program list its coroutines: why do they not accept?");
    }
    if (l->limit >= want)
        return;
    if (f->state == DOC_OK)
        f->state = c->bad;
    (void)doc_read_sysctl(d, "net.core.somaxconn", NULL, &somaxconn, 1);
    name_backlog(d, want, how, sizeof how);
    if (somaxconn < want)
        DOC_SET(f->note,
                "raise somaxconn, and the program's own backlog if it asks for no more (%s), then "
                "start it anew",
                how);
    else
        DOC_SET(f->note, "the program asks for so few (%s), or somaxconn was lower when it started",
                how);
}

void doc_check_listeners(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f;
    int n = d->pid == 0 ? 0 : find_listeners(d);

    if (n > 0) {
        for (int i = 0; i < n; i++)
            judge(d, c, &listeners[i]);
        return;
    }
    f = doc_add(d, c);
    DOC_SET(f->source, "%s/net/tcp", d->proc);
    if (n < 0)
        doc_unknown(f, f->source, n);
    else
        DOC_SET(f->read, "%s", d->pid == 0 ? "no --pid given" : "none");
    DOC_SET(f->wanted, "limits of at least %ld", doc_want_queue(d));
}

/* Whether two of the listeners have one address: a group of SO_REUSEPORT. */
static bool is_group(int n)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(listeners[i].address, listeners[k].address) == 0)
                return true;
    return false;
}

void doc_check_migrate(struct doctor *d, const struct doc_check *c)
{
    struct doc_finding *f;
    long migrate;
    int n;

    if (!doc_take_sysctl(d, c, &f, &migrate, 1))
        return;
    DOC_SET(f->read, "%ld", migrate);
    DOC_SET(f->wanted, "1");
    if (migrate != 0)
        return;
    n = d->pid == 0 ? -1 : find_listeners(d);
    if (n >= 0 && !is_group(n))
        DOC_SET(f->wanted, "any: the process has no group of SO_REUSEPORT listeners");
    else
        doc_advise_number(d, f, 1);
    if (n < 0)
        DOC_SET(f->note, "only for groups of SO_REUSEPORT listeners; --pid PID looks for one");
}
