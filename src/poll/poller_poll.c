/*
 * poller_poll.c - poll(2): the proof that the contract is not epoll's shadow
 *
 * Owns a dense array of pollfd, the tags beside it, and a table from descriptor to slot. Arming is
 * one-shot: what was reported is disarmed. A slot without armed direction carries ~fd, which poll
 * skips: else a hang-up nobody waits for would be reported for ever.
 */
#include <sys/eventfd.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "poll/poller.h"

#define FIRST_ROOM 64

struct poller {
    struct rn__poller base;
    int wake_fd;        /* in slot 0, always armed */
    struct pollfd *fds; /* n of them, room allocated */
    uint64_t *tags;     /* beside fds */
    uint32_t n, room;
    uint32_t *slot_of_fd; /* 0: not added (slot 0 is never a user's) */
    uint32_t fd_room;
    uint32_t start; /* where the last scan stopped, so that a small max starves nobody */
};

static struct poller *self(struct rn__poller *p)
{
    return RN_CONTAINER(p, struct poller, base);
}

static int grow_slots(struct poller *p)
{
    uint32_t room = p->room == 0 ? FIRST_ROOM : p->room * 2;
    struct pollfd *fds = rn__realloc(p->fds, room * sizeof *fds);
    uint64_t *tags;

    if (fds == NULL)
        return -ENOMEM;
    p->fds = fds;
    tags = rn__realloc(p->tags, room * sizeof *tags);
    if (tags == NULL)
        return -ENOMEM;
    p->tags = tags;
    p->room = room;
    return 0;
}

static int grow_fd_table(struct poller *p, int fd)
{
    uint32_t room = p->fd_room == 0 ? FIRST_ROOM : p->fd_room;
    uint32_t *table;

    while (room <= (uint32_t)fd)
        room *= 2;
    table = rn__realloc(p->slot_of_fd, room * sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    for (uint32_t i = p->fd_room; i < room; i++)
        table[i] = 0;
    p->slot_of_fd = table;
    p->fd_room = room;
    return 0;
}

static void poll_close(struct rn__poller *poller)
{
    struct poller *p = self(poller);

    (void)rn__sys_close(p->wake_fd);
    rn__free(p->fds);
    rn__free(p->tags);
    rn__free(p->slot_of_fd);
    rn__free(p);
}

static int poll_open(struct rn__poller **ret)
{
    struct poller *p = rn__calloc(1, sizeof *p);
    int r;

    if (p == NULL)
        return -ENOMEM;
    p->base.ops = &rn__poller_poll;
    r = p->wake_fd = rn__sys_eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r < 0) {
        rn__free(p);
        return r;
    }
    r = grow_slots(p);
    if (r < 0) {
        poll_close(&p->base);
        return r;
    }
    p->fds[0] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
    p->tags[0] = RN__TAG_WAKE;
    p->n = 1;
    *ret = &p->base;
    return 0;
}

static uint32_t find_slot(const struct poller *p, int fd)
{
    return fd >= 0 && (uint32_t)fd < p->fd_room ? p->slot_of_fd[fd] : 0;
}

static int poll_add(struct rn__poller *poller, int fd, uint64_t tag, unsigned how)
{
    struct poller *p = self(poller);
    int r;

    (void)how;
    r = tag == RN__TAG_WAKE ? -EINVAL : rn__poller_check(fd);
    if (r < 0)
        return r;
    if (find_slot(p, fd) != 0)
        return -EEXIST;
    if ((uint32_t)fd >= p->fd_room && (r = grow_fd_table(p, fd)) < 0)
        return r;
    if (p->n == p->room && (r = grow_slots(p)) < 0)
        return r;
    p->fds[p->n] = (struct pollfd){.fd = ~fd};
    p->tags[p->n] = tag;
    p->slot_of_fd[fd] = p->n++;
    return 0;
}

static int poll_arm(struct rn__poller *poller, int fd, unsigned dirs)
{
    struct poller *p = self(poller);
    uint32_t slot = find_slot(p, fd);

    if (slot == 0)
        return -ENOENT;
    p->fds[slot].fd = fd;
    if (dirs & RN__RD)
        p->fds[slot].events |= POLLIN | POLLPRI | POLLRDHUP;
    if (dirs & RN__WR)
        p->fds[slot].events |= POLLOUT;
    return 0;
}

static void poll_del(struct rn__poller *poller, int fd)
{
    struct poller *p = self(poller);
    uint32_t slot = find_slot(p, fd), last = p->n - 1;

    if (slot == 0)
        return;
    p->slot_of_fd[fd] = 0;
    if (slot != last) {
        int moved = p->fds[last].fd < 0 ? ~p->fds[last].fd : p->fds[last].fd;

        p->fds[slot] = p->fds[last];
        p->tags[slot] = p->tags[last];
        p->slot_of_fd[moved] = slot;
    }
    p->n--;
}

static unsigned bits_of(short revents)
{
    unsigned bits = 0;

    if (revents & (POLLIN | POLLRDHUP | POLLPRI))
        bits |= RN__RD;
    if (revents & POLLOUT)
        bits |= RN__WR;
    if (revents & POLLRDHUP)
        bits |= RN__RDHUP;
    if (revents & POLLPRI)
        bits |= RN__PRI;
    if (revents & (POLLERR | POLLNVAL)) /* NVAL: closed without del; the waiter's call says EBADF */
        bits |= RN__ERR | RN__RD | RN__WR;
    if (revents & POLLHUP)
        bits |= RN__HUP | RN__RD | RN__WR;
    return bits;
}

static void disarm(struct pollfd *f, unsigned bits)
{
    if (bits & RN__RD)
        f->events &= (short)~(POLLIN | POLLPRI | POLLRDHUP);
    if (bits & RN__WR)
        f->events &= (short)~POLLOUT;
    if (f->events == 0)
        f->fd = ~f->fd;
}

static void swallow_wake(struct poller *p)
{
    uint64_t count;

    if (p->fds[0].revents != 0)
        (void)rn__sys_read(p->wake_fd, &count, sizeof count);
}

static int poll_wait(struct rn__poller *poller, rn_time until, struct rn__event *ev, int max)
{
    struct poller *p = self(poller);
    struct timespec room;
    int n = rn__sys_ppoll(p->fds, p->n, rn__poller_timeout(until, &room)), used = 0;

    if (n == -EINTR)
        return 0;
    if (n == -ENOMEM)
        return rn__poller_sit_out();
    if (n <= 0)
        return n;
    swallow_wake(p);
    for (uint32_t i = 0; i < p->n && used < max; i++) {
        uint32_t slot = (p->start + i) % p->n;
        struct pollfd *f = &p->fds[slot];

        if (slot == 0 || f->revents == 0 || f->fd < 0)
            continue;
        ev[used].tag = p->tags[slot];
        ev[used].bits = bits_of(f->revents);
        disarm(f, ev[used++].bits);
        p->start = used == max ? slot + 1 : p->start;
    }
    return used;
}

static void poll_wake(struct rn__poller *poller)
{
    (void)rn__sys_eventfd_write(self(poller)->wake_fd);
}

const struct rn__poller_ops rn__poller_poll = {
    .name = "poll",
    .needs_arm = true,
    .needs_del = true,
    .tells = RN__HUP | RN__ERR | RN__RDHUP | RN__PRI,
    .open = poll_open,
    .close = poll_close,
    .add = poll_add,
    .arm = poll_arm,
    .del = poll_del,
    .wait = poll_wait,
    .wake = poll_wake,
};
