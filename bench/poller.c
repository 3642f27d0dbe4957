/*
 * poller.c - what an event costs where many descriptors are watched and few are active
 *
 *     poller [ROUNDS]       (7)
 *
 * Watches 100, 1000 and 10 000 Unix datagram sockets, of which 1, or 10, become ready at a time.
 * Each turn sends the active ones a byte, waits until all are reported, reads them and arms them
 * again; what sending and reading cost by themselves is measured in the same round and taken off.
 * Each of runnel's pollers goes through the contract (src/poll/poller.h), and select, poll and
 * level-triggered epoll also as the short loop that everybody writes: there epoll arms nothing,
 * since what is read is no longer ready.
 *
 * One thread; the median of many turns, which others on the machine change little. Prints a line of
 * JSON for each: the median of the rounds.
 */
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "pieces.h"
#include "poll/poller.h"

#define MOST 10000
#define MOST_ROUNDS 50
#define ACTIVE_MOST 10
#define TURNS_MOST 10000
#define SPENT 40e6 /* ns for each way in a round, about */

static struct sockaddr_un names[MOST];
static socklen_t name_len;
static int fds[MOST], n_fds, n_active, sender;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    return fd;
}

/* An abstract name that the kernel chooses. */
static void open_watched(int index)
{
    struct sockaddr_un *name = &names[index];

    fds[index] = new_socket();
    name->sun_family = AF_UNIX;
    name_len = sizeof *name;
    if (bind(fds[index], (struct sockaddr *)name, sizeof name->sun_family) < 0 ||
        getsockname(fds[index], (struct sockaddr *)name, &name_len) < 0)
        die("bind");
}

/* ---- the ways ---- */

struct way {
    const char *name;
    const char *poller;       /* runnel's, by its name; NULL: a raw loop */
    bool (*begin)(void);      /* watches fds[0..n_fds); false: not here */
    int (*wait)(int *ready);  /* indices of those ready, at most n_active; at least one */
    void (*again)(int index); /* was read */
    void (*end)(void);
};

static struct rn__poller *poller;
static const char *poller_name;

static bool contract_begin(void)
{
    const struct rn__poller_ops *ops = rn__poller_by_name(poller_name);
    struct rn__event ev[64];

    if (ops == NULL || rn__poller_try(ops) < 0 || ops->open(&poller) < 0)
        return false;
    for (int i = 0; i < n_fds; i++)
        if (ops->add(poller, fds[i], (uint64_t)i, RN__ADD_PLAIN) < 0 ||
            ops->arm(poller, fds[i], RN__RD) < 0) {
            ops->close(poller); /* select, above FD_SETSIZE */
            return false;
        }
    while (ops->wait(poller, 0, ev, 64) > 0)
        ; /* that they are writable is an edge, too */
    return true;
}

static int contract_wait(int *ready)
{
    struct rn__event ev[ACTIVE_MOST];
    int n = poller->ops->wait(poller, RN__TIME_NEVER, ev, n_active), used = 0;

    for (int i = 0; i < n; i++)
        if (ev[i].bits & RN__RD)
            ready[used++] = (int)ev[i].tag;
    return n < 0 ? n : used;
}

static void contract_again(int index)
{
    if (poller->ops->needs_arm && poller->ops->arm(poller, fds[index], RN__RD) < 0)
        die("arm");
}

static void contract_end(void)
{
    poller->ops->close(poller);
}

static fd_set set;
static int index_of[FD_SETSIZE], set_end;

static bool select_begin(void)
{
    FD_ZERO(&set);
    set_end = 0;
    for (int i = 0; i < n_fds; i++) {
        if (fds[i] >= FD_SETSIZE)
            return false;
        FD_SET(fds[i], &set);
        index_of[fds[i]] = i;
        set_end = fds[i] >= set_end ? fds[i] + 1 : set_end;
    }
    return true;
}

static int select_wait(int *ready)
{
    fd_set got = set;
    int n = select(set_end, &got, NULL, NULL, NULL), used = 0;

    for (int fd = 0; fd < set_end && used < n && used < n_active; fd++)
        if (FD_ISSET(fd, &got))
            ready[used++] = index_of[fd];
    return n < 0 ? n : used;
}

static struct pollfd polled[MOST];

static bool poll_begin(void)
{
    for (int i = 0; i < n_fds; i++)
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    return true;
}

static int poll_wait(int *ready)
{
    int n = poll(polled, (nfds_t)n_fds, -1), used = 0;

    for (int i = 0; i < n_fds && used < n && used < n_active; i++)
        if (polled[i].revents != 0)
            ready[used++] = i;
    return n < 0 ? n : used;
}

static int ep;

static bool epoll_begin(void)
{
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0)
        return false;
    for (int i = 0; i < n_fds; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

        if (epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev) < 0)
            die("epoll_ctl");
    }
    return true;
}

static int epoll_wait_ready(int *ready)
{
    struct epoll_event ev[ACTIVE_MOST];
    int n = epoll_wait(ep, ev, n_active, -1);

    for (int i = 0; i < n; i++)
        ready[i] = (int)ev[i].data.u32;
    return n;
}

static void epoll_end(void)
{
    close(ep);
}

static void nothing_again(int index)
{
    (void)index;
}

static void nothing_end(void)
{
}

#define CONTRACT(poller)                                                                           \
    {                                                                                              \
        poller, poller, contract_begin, contract_wait, contract_again, contract_end                \
    }

static const struct way ways[] = {
    CONTRACT("select"),
    CONTRACT("poll"),
    CONTRACT("epoll"),
    CONTRACT("epoll-lt"),
    CONTRACT("io_uring"),
    {"raw select", NULL, select_begin, select_wait, nothing_again, nothing_end},
    {"raw poll", NULL, poll_begin, poll_wait, nothing_again, nothing_end},
    {"raw epoll", NULL, epoll_begin, epoll_wait_ready, nothing_again, epoll_end},
};

/* ---- measuring ---- */

/* Which are active changes from turn to turn, all over the set. */
static int active(long turn, int k)
{
    return (int)((unsigned long)(turn * 7919 + (long)k * (n_fds / n_active)) % (unsigned)n_fds);
}

static void make_ready(int index)
{
    if (sendto(sender, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&names[index], name_len) != 1)
        die("sendto");
}

static void take(int index)
{
    char c;

    if (recv(fds[index], &c, 1, 0) != 1)
        die("recv");
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void turn_bare(long turn)
{
    for (int k = 0; k < n_active; k++)
        make_ready(active(turn, k));
    for (int k = 0; k < n_active; k++)
        take(active(turn, k));
}

static void turn_way(const struct way *w, long turn)
{
    int ready[ACTIVE_MOST];

    for (int k = 0; k < n_active; k++)
        make_ready(active(turn, k));
    for (int seen = 0; seen < n_active;) {
        int n = w->wait(ready);

        if (n < 0)
            die(w->name);
        for (int i = 0; i < n; i++) {
            take(ready[i]);
            w->again(ready[i]);
        }
        seen += n;
    }
}

/* ns of a turn, the median; without a way only what all of them do beside it. */
static double run(const struct way *w, int turns)
{
    static double ns[TURNS_MOST];
    double start = now(), end;

    for (int t = 0; t < turns; t++, start = end) {
        if (w == NULL)
            turn_bare(t);
        else
            turn_way(w, t);
        end = now();
        ns[t] = end - start;
    }
    qsort(ns, (size_t)turns, sizeof *ns, pieces_compare);
    return ns[turns / 2];
}

/* ns for each event of one round; NAN where the way is not there. */
static double measure(const struct way *w)
{
    double guess, bare, all;
    int turns;

    poller_name = w->poller;
    if (!w->begin())
        return NAN;
    guess = run(w, 20) + 1;
    turns = guess * TURNS_MOST > SPENT ? (int)(SPENT / guess) + 20 : TURNS_MOST;
    all = run(w, turns);
    w->end();
    bare = run(NULL, turns);
    return (all - bare) / n_active;
}

static void measure_all(int rounds)
{
    double ns[sizeof ways / sizeof *ways][MOST_ROUNDS];

    for (int r = 0; r < rounds; r++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
            ns[i][r] = measure(&ways[i]);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        qsort(ns[i], (size_t)rounds, sizeof *ns[i], pieces_compare);
        if (!isnan(ns[i][0]))
            printf("{\"name\": \"%s\", \"watched\": %d, \"active\": %d, \"ns\": %.1f}\n",
                   ways[i].name, n_fds, n_active, ns[i][rounds / 2]);
        (void)fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static const int counts[] = {100, 1000, MOST};
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    struct rlimit nofile;

    if (argc > 2 || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: poller [ROUNDS]\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
        nofile.rlim_cur = nofile.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &nofile);
    }
    sender = new_socket();
    for (int made = 0, c = 0; c < 3; c++) {
        n_fds = counts[c];
        while (made < n_fds)
            open_watched(made++);
        for (n_active = 1; n_active <= ACTIVE_MOST; n_active *= ACTIVE_MOST)
            measure_all(rounds);
    }
    return 0;
}
