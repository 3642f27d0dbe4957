/*
 * poller_epoll.c - edge-triggered epoll, the default; and level-triggered, for comparison
 *
 * Edge-triggered, a descriptor is registered once, for both directions, and never modified: one
 * epoll_ctl in the life of a connection. arm is a no-op because the I/O wait latches edges. The
 * eventfd that wakes the thread is edge-triggered in both modes and never read: each write to it is
 * a new edge.
 *
 * Level-triggered ("epoll-lt"), each arm is an epoll_ctl with EPOLLONESHOT, which disarms both
 * directions at the first report of one: the other is armed again at once. So it keeps books, by
 * descriptor, of what is armed. A descriptor goes in at its first arm, not at add, because epoll
 * reports hang-ups and errors that nobody asked for.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "poll/poller.h"

#define BATCH 256
#define FIRST_ROOM 64

/* Level-triggered only. */
struct slot {
    uint64_t tag;
    unsigned armed; /* directions */
    bool used;
    bool in; /* epoll knows it */
};

struct poller {
    struct rn__poller base;
    int ep;
    int wake_fd;
    bool coarse;        /* no epoll_pwait2: milliseconds only */
    struct slot *slots; /* by descriptor, room of them; none where edge-triggered */
    uint32_t room;
    struct epoll_event events[BATCH];
};

static struct poller *self(struct rn__poller *p)
{
    return RN_CONTAINER(p, struct poller, base);
}

static int register_wake(struct poller *p)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = RN__TAG_WAKE};

    return rn__sys_epoll_ctl(p->ep, EPOLL_CTL_ADD, p->wake_fd, &ev);
}

static int open_as(const struct rn__poller_ops *ops, struct rn__poller **ret)
{
    struct poller *p = rn__calloc(1, sizeof *p);
    int r;

    if (p == NULL)
        return -ENOMEM;
    p->base.ops = ops;
    r = p->ep = rn__sys_epoll_create1(EPOLL_CLOEXEC);
    if (r < 0)
        goto fail_free;
    r = p->wake_fd = rn__sys_eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r < 0)
        goto fail_close_ep;
    r = register_wake(p);
    if (r < 0)
        goto fail_close_wake;
    *ret = &p->base;
    return 0;

fail_close_wake:
    (void)rn__sys_close(p->wake_fd);
fail_close_ep:
    (void)rn__sys_close(p->ep);
fail_free:
    rn__free(p);
    return r;
}

static int epoll_open(struct rn__poller **ret)
{
    return open_as(&rn__poller_epoll, ret);
}

static void epoll_close(struct rn__poller *poller)
{
    struct poller *p = self(poller);

    (void)rn__sys_close(p->wake_fd);
    (void)rn__sys_close(p->ep);
    rn__free(p->slots);
    rn__free(p);
}

static int epoll_add(struct rn__poller *poller, int fd, uint64_t tag, unsigned how)
{
    /* EPOLLEXCLUSIVE allows neither EPOLLRDHUP nor EPOLLPRI; a listener has no use for them. */
    struct epoll_event ev = {.events = how == RN__ADD_SHARED ? EPOLLIN | EPOLLET | EPOLLEXCLUSIVE
                                                             : EPOLLIN | EPOLLOUT | EPOLLRDHUP |
                                                                   EPOLLPRI | (uint32_t)EPOLLET,
                             .data.u64 = tag};

    if (tag == RN__TAG_WAKE)
        return -EINVAL;
    return rn__sys_epoll_ctl(self(poller)->ep, EPOLL_CTL_ADD, fd, &ev);
}

static int epoll_arm(struct rn__poller *poller, int fd, unsigned dirs)
{
    (void)poller;
    (void)fd;
    (void)dirs;
    return 0;
}

static void epoll_del(struct rn__poller *poller, int fd)
{
    /* ENOENT and EBADF mean what del promises: it is not in. */
    (void)rn__sys_epoll_ctl(self(poller)->ep, EPOLL_CTL_DEL, fd, NULL);
}

static unsigned bits_of(uint32_t events)
{
    unsigned bits = 0;

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI))
        bits |= RN__RD;
    if (events & EPOLLOUT)
        bits |= RN__WR;
    if (RN_UNLIKELY(events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))) {
        if (events & EPOLLRDHUP)
            bits |= RN__RDHUP;
        if (events & EPOLLPRI)
            bits |= RN__PRI;
        if (events & EPOLLERR)
            bits |= RN__ERR | RN__RD | RN__WR;
        if (events & EPOLLHUP)
            bits |= RN__HUP | RN__RD | RN__WR;
    }
    return bits;
}

/* Milliseconds, up: a wait that ends early makes its caller spin until the deadline. */
static int wait_coarse(struct poller *p, const struct timespec *ts, int max)
{
    int64_t ms = -1;

    if (ts != NULL) {
        ms = ts->tv_sec > INT32_MAX / 1000 - 1
                 ? INT32_MAX
                 : (int64_t)ts->tv_sec * 1000 + (ts->tv_nsec + 999999) / 1000000;
    }
    return rn__sys_epoll_wait(p->ep, p->events, max, (int)ms);
}

static int wait_raw(struct poller *p, rn_time until, int max)
{
    struct timespec room;
    const struct timespec *ts = rn__poller_timeout(until, &room);
    int n;

    /* Only a finite wait needs nanoseconds; epoll_wait is the cheaper call for the others. */
    if (ts == NULL || until == 0 || p->coarse)
        return wait_coarse(p, ts, max);
    n = rn__sys_epoll_pwait2(p->ep, p->events, max, ts);
    if (n == -ENOSYS ||
        n == -EPERM) { /* before Linux 5.11; a seccomp filter that has not heard of it */
        p->coarse = true;
        n = wait_coarse(p, ts, max);
    }
    return n;
}

static int epoll_wait_events(struct rn__poller *poller, rn_time until, struct rn__event *ev,
                             int max)
{
    struct poller *p = self(poller);
    int n = wait_raw(p, until, max < BATCH ? max : BATCH), used = 0;

    if (n == -EINTR)
        return 0;
    for (int i = 0; i < n; i++) {
        if (RN_UNLIKELY(p->events[i].data.u64 == RN__TAG_WAKE))
            continue;
        ev[used].tag = p->events[i].data.u64;
        ev[used++].bits = bits_of(p->events[i].events);
    }
    return n < 0 ? n : used;
}

static void epoll_wake(struct rn__poller *poller)
{
    /* EAGAIN would mean 2^64 - 2 wakes that nobody saw: the thread is awake. */
    (void)rn__sys_eventfd_write(self(poller)->wake_fd);
}

const struct rn__poller_ops rn__poller_epoll = {
    .name = "epoll",
    .tells = RN__HUP | RN__ERR | RN__RDHUP | RN__PRI,
    .open = epoll_open,
    .close = epoll_close,
    .add = epoll_add,
    .arm = epoll_arm,
    .del = epoll_del,
    .wait = epoll_wait_events,
    .wake = epoll_wake,
};

/* ---- level-triggered ---- */

static int epoll_lt_open(struct rn__poller **ret)
{
    return open_as(&rn__poller_epoll_lt, ret);
}

static struct slot *slot_of(struct poller *p, int fd)
{
    return fd >= 0 && (uint32_t)fd < p->room && p->slots[fd].used ? &p->slots[fd] : NULL;
}

static int grow(struct poller *p, int fd)
{
    uint32_t room = p->room == 0 ? FIRST_ROOM : p->room;
    struct slot *slots;

    while (room <= (uint32_t)fd)
        room *= 2;
    slots = rn__realloc(p->slots, room * sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    memset(slots + p->room, 0, (room - p->room) * sizeof *slots);
    p->slots = slots;
    p->room = room;
    return 0;
}

static int epoll_lt_add(struct rn__poller *poller, int fd, uint64_t tag, unsigned how)
{
    struct poller *p = self(poller);
    int r = tag == RN__TAG_WAKE ? -EINVAL : rn__poller_check(fd);

    (void)how; /* EPOLLEXCLUSIVE goes with neither EPOLLONESHOT nor a change */
    if (r < 0)
        return r;
    if (slot_of(p, fd) != NULL)
        return -EEXIST;
    if ((uint32_t)fd >= p->room && (r = grow(p, fd)) < 0)
        return r;
    p->slots[fd] = (struct slot){.tag = tag, .used = true};
    return 0;
}

/* Tells the kernel that these directions are armed, and no other. */
static int set_armed(struct poller *p, int fd, unsigned dirs)
{
    struct slot *s = &p->slots[fd];
    struct epoll_event ev = {.events = EPOLLONESHOT, .data.u64 = (uint64_t)fd};
    int r;

    if (dirs & RN__RD)
        ev.events |= EPOLLIN | EPOLLRDHUP | EPOLLPRI;
    if (dirs & RN__WR)
        ev.events |= EPOLLOUT;
    r = rn__sys_epoll_ctl(p->ep, s->in ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    s->in |= r == 0;
    s->armed = r == 0 ? dirs : 0;
    return r;
}

static int epoll_lt_arm(struct rn__poller *poller, int fd, unsigned dirs)
{
    struct poller *p = self(poller);
    struct slot *s = slot_of(p, fd);

    if (s == NULL)
        return -ENOENT;
    return (s->armed & dirs) == dirs ? 0 : set_armed(p, fd, s->armed | dirs);
}

static void epoll_lt_del(struct rn__poller *poller, int fd)
{
    struct slot *s = slot_of(self(poller), fd);

    if (s == NULL)
        return;
    if (s->in)
        epoll_del(poller, fd);
    s->used = false;
}

static int epoll_lt_wait(struct rn__poller *poller, rn_time until, struct rn__event *ev, int max)
{
    struct poller *p = self(poller);
    int n = epoll_wait_events(poller, until, ev, max);

    for (int i = 0; i < n; i++) {
        int fd = (int)ev[i].tag;
        unsigned left = p->slots[fd].armed & ~ev[i].bits;

        ev[i].tag = p->slots[fd].tag;
        p->slots[fd].armed = 0;
        if (left != 0 && set_armed(p, fd, left) < 0)
            ev[i].bits |= RN__ERR | RN__RD | RN__WR; /* who waits there must not wait for ever */
    }
    return n;
}

const struct rn__poller_ops rn__poller_epoll_lt = {
    .name = "epoll-lt",
    .needs_arm = true,
    .needs_del = true,
    .tells = RN__HUP | RN__ERR | RN__RDHUP | RN__PRI,
    .open = epoll_lt_open,
    .close = epoll_close,
    .add = epoll_lt_add,
    .arm = epoll_lt_arm,
    .del = epoll_lt_del,
    .wait = epoll_lt_wait,
    .wake = epoll_wake,
};
