/*
 * poller_test.h - what the conformance tests of pollers share
 *
 * A POLLER_TEST is one case; it becomes one test for each poller. Cases speak of what the contract
 * promises: a report that nobody armed is allowed unless needs_arm says that there is none.
 */
#ifndef POLLER_TEST_H
#define POLLER_TEST_H

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "poll/poller.h"
#include "rntest.h"

#define POLLER_TEST(ident)                                                                         \
    static void case_##ident(const struct rn__poller_ops *ops);                                    \
    RN_TEST(epoll_##ident)                                                                         \
    {                                                                                              \
        case_##ident(&rn__poller_epoll);                                                           \
    }                                                                                              \
    RN_TEST(poll_##ident)                                                                          \
    {                                                                                              \
        case_##ident(&rn__poller_poll);                                                            \
    }                                                                                              \
    RN_TEST(select_##ident)                                                                        \
    {                                                                                              \
        case_##ident(&rn__poller_select);                                                          \
    }                                                                                              \
    RN_TEST(epoll_lt_##ident)                                                                      \
    {                                                                                              \
        case_##ident(&rn__poller_epoll_lt);                                                        \
    }                                                                                              \
    RN_TEST(io_uring_##ident)                                                                      \
    {                                                                                              \
        case_##ident(io_uring_ops());                                                              \
    }                                                                                              \
    static void case_##ident(const struct rn__poller_ops *ops)

static inline const struct rn__poller_ops *io_uring_ops(void)
{
    const struct rn__poller_ops *ops = rn__poller_by_name("io_uring");
    int r;

    if (ops == NULL)
        RN_TEST_SKIP("built without liburing");
    r = rn__poller_try(ops);
    if (r == -ENOSYS || r == -EPERM || r == -EINVAL)
        RN_TEST_SKIP("no io_uring with multishot poll here");
    CHECK_OK(r);
    return ops;
}

#define BOTH (RN__RD | RN__WR)
#define FLAGS (RN__HUP | RN__ERR | RN__RDHUP | RN__PRI)

static inline struct rn__poller *open_poller(const struct rn__poller_ops *ops)
{
    struct rn__poller *p = NULL;

    CHECK_OK(ops->open(&p));
    CHECK(p != NULL && p->ops == ops);
    return p;
}

static inline void add(struct rn__poller *p, int fd, uint64_t tag)
{
    CHECK_OK(p->ops->add(p, fd, tag, RN__ADD_PLAIN));
}

static inline void arm(struct rn__poller *p, int fd, unsigned dirs)
{
    CHECK_OK(p->ops->arm(p, fd, dirs));
}

/* At most max events, each well-formed. */
static inline int wait_for(struct rn__poller *p, rn_time until, struct rn__event *ev, int max)
{
    int n = p->ops->wait(p, until, ev, max);

    CHECK(n >= 0 && n <= max);
    for (int i = 0; i < n; i++) {
        CHECK(ev[i].tag != RN__TAG_WAKE);
        CHECK((ev[i].bits & BOTH) != 0);
        CHECK((ev[i].bits & ~(BOTH | FLAGS)) == 0);
        CHECK(!(ev[i].bits & (RN__ERR | RN__HUP)) || (ev[i].bits & BOTH) == BOTH);
        CHECK(!(ev[i].bits & (RN__RDHUP | RN__PRI)) || (ev[i].bits & RN__RD));
    }
    return n;
}

/* Waits until all bits of want were reported for the tag; all that came. */
static inline unsigned await(struct rn__poller *p, uint64_t tag, unsigned want)
{
    struct rn__event ev[16];
    unsigned got = 0;

    while ((got & want) != want) {
        int n = wait_for(p, RN__TIME_NEVER, ev, 16);

        for (int i = 0; i < n; i++)
            if (ev[i].tag == tag)
                got |= ev[i].bits;
    }
    return got;
}

/* The end of a connection: with `flag` and both directions where the poller tells the flag, else
 * the directions armed. */
static inline void await_end(struct rn__poller *p, uint64_t tag, unsigned flag, unsigned armed)
{
    (void)await(p, tag, p->ops->tells & flag ? flag | BOTH : armed);
}

/* The bits reported for the tag without waiting. */
static inline unsigned look(struct rn__poller *p, uint64_t tag)
{
    struct rn__event ev[16];
    unsigned got = 0;

    for (int turn = 0; turn < 4; turn++) {
        int n = wait_for(p, 0, ev, 16);

        for (int i = 0; i < n; i++)
            if (ev[i].tag == tag)
                got |= ev[i].bits;
    }
    return got;
}

static inline void check_never_early(struct rn__poller *p)
{
    static const rn_time spans[] = {1, 999, 100 * RN_MICROSECOND, 1500 * RN_MICROSECOND,
                                    7 * RN_MILLISECOND + 1};
    struct rn__event ev[4];

    for (size_t i = 0; i < RN_COUNT_OF(spans); i++)
        for (int k = 0; k < 20; k++) {
            rn_time until = rn_after(spans[i]);

            CHECK_EQ(wait_for(p, until, ev, 4), 0);
            CHECK(rn_now() >= until);
        }
}

static inline void open_pair(int fds[2])
{
    CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
}

static inline void close_pair(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static inline void send_byte(int fd)
{
    CHECK_EQ(send(fd, "x", 1, MSG_NOSIGNAL), 1);
}

/* Reads until there is no more; how many bytes. */
static inline long drain(int fd)
{
    static char buf[1 << 16];
    long sum = 0;
    ssize_t n;

    while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
        sum += n;
    return sum;
}

static inline void fill(int fd)
{
    static const char chunk[1 << 14];

    while (send(fd, chunk, sizeof chunk, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

static inline int new_eventfd(unsigned initial)
{
    int fd = eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK);

    CHECK_OK(fd);
    return fd;
}

static inline int bind_local(struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *at;

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CHECK_OK(bind(fd, (struct sockaddr *)at, sizeof *at));
    CHECK_OK(getsockname(fd, (struct sockaddr *)at, &len));
    return fd;
}

/* A blocking socket, connected when it returns. */
static inline int connect_local(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_OK(connect(fd, (const struct sockaddr *)at, sizeof *at));
    return fd;
}

static inline void open_tcp_pair(int fds[2])
{
    struct sockaddr_in at;
    int ln = bind_local(&at);

    CHECK_OK(listen(ln, 1));
    fds[0] = connect_local(&at);
    fds[1] = accept4(ln, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK_OK(fds[1]);
    close(ln);
}

static inline int count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 2048; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#endif
