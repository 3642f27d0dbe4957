/*
 * poller_select.c - select(2): for comparison, and for whoever must show that it works
 *
 * Owns three sets of FD_SETSIZE (1024) bits: glibc's type has no room for more, so a larger
 * descriptor is refused with -RN_EFDSETSIZE. Arming is one-shot, as in poller_poll.c. The exception
 * set tells urgent data; of hang-ups and errors select tells no more than that the directions are
 * ready, which is all a waiter needs. A descriptor closed without del makes the whole call fail:
 * then each is asked, and those that are gone are reported.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "poll/poller.h"

struct poller {
    struct rn__poller base;
    int wake_fd;
    int end;              /* above the largest descriptor added, or the wake_fd */
    int start;            /* where the next scan begins, so that a small max starves nobody */
    fd_set added, rd, wr; /* rd and wr: armed */
    fd_set got_rd, got_wr, got_ex;
    uint64_t tags[FD_SETSIZE];
};

static struct poller *self(struct rn__poller *p)
{
    return RN_CONTAINER(p, struct poller, base);
}

static int select_open(struct rn__poller **ret)
{
    struct poller *p = rn__calloc(1, sizeof *p);
    int fd;

    if (p == NULL)
        return -ENOMEM;
    p->base.ops = &rn__poller_select;
    fd = p->wake_fd = rn__sys_eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0 || fd >= FD_SETSIZE) {
        if (fd >= 0)
            (void)rn__sys_close(fd);
        rn__free(p);
        return fd < 0 ? fd : -RN_EFDSETSIZE;
    }
    FD_SET(fd, &p->rd);
    p->end = fd + 1;
    *ret = &p->base;
    return 0;
}

static void select_close(struct rn__poller *poller)
{
    (void)rn__sys_close(self(poller)->wake_fd);
    rn__free(self(poller));
}

static bool is_in(struct poller *p, int fd)
{
    return fd >= 0 && fd < FD_SETSIZE && FD_ISSET(fd, &p->added);
}

static int select_add(struct rn__poller *poller, int fd, uint64_t tag, unsigned how)
{
    struct poller *p = self(poller);
    int r;

    (void)how;
    r = tag == RN__TAG_WAKE ? -EINVAL : rn__poller_check(fd);
    if (r < 0)
        return r;
    if (fd >= FD_SETSIZE)
        return -RN_EFDSETSIZE;
    if (is_in(p, fd))
        return -EEXIST;
    FD_SET(fd, &p->added);
    p->tags[fd] = tag;
    if (fd >= p->end)
        p->end = fd + 1;
    return 0;
}

static int select_arm(struct rn__poller *poller, int fd, unsigned dirs)
{
    struct poller *p = self(poller);

    if (!is_in(p, fd))
        return -ENOENT;
    if (dirs & RN__RD)
        FD_SET(fd, &p->rd);
    if (dirs & RN__WR)
        FD_SET(fd, &p->wr);
    return 0;
}

static void select_del(struct rn__poller *poller, int fd)
{
    struct poller *p = self(poller);

    if (!is_in(p, fd))
        return;
    FD_CLR(fd, &p->added);
    FD_CLR(fd, &p->rd);
    FD_CLR(fd, &p->wr);
    while (p->end > p->wake_fd + 1 && !FD_ISSET(p->end - 1, &p->added))
        p->end--;
}

static unsigned take(struct poller *p, int fd)
{
    unsigned bits = 0;

    if (FD_ISSET(fd, &p->got_rd))
        bits |= RN__RD;
    if (FD_ISSET(fd, &p->got_ex))
        bits |= RN__RD | RN__PRI;
    if (FD_ISSET(fd, &p->got_wr))
        bits |= RN__WR;
    if (bits & RN__RD)
        FD_CLR(fd, &p->rd);
    if (bits & RN__WR)
        FD_CLR(fd, &p->wr);
    return bits;
}

static int report(struct poller *p, struct rn__event *ev, int max)
{
    int first = p->start < p->end ? p->start : 0, used = 0;

    for (int i = 0; i < p->end && used < max; i++) {
        int fd = (first + i) % p->end;
        unsigned bits = FD_ISSET(fd, &p->added) ? take(p, fd) : 0;

        if (bits == 0)
            continue;
        ev[used++] = (struct rn__event){.tag = p->tags[fd], .bits = bits};
        p->start = fd + 1;
    }
    return used;
}

/* Somebody closed what he had armed. -EBADF when it is none of these. */
static int report_closed(struct poller *p, struct rn__event *ev, int max)
{
    int used = 0;

    for (int fd = 0; fd < p->end && used < max; fd++) {
        if (!FD_ISSET(fd, &p->added) || (!FD_ISSET(fd, &p->rd) && !FD_ISSET(fd, &p->wr)) ||
            rn__sys_fcntl(fd, F_GETFD, 0) >= 0)
            continue;
        FD_CLR(fd, &p->rd);
        FD_CLR(fd, &p->wr);
        ev[used++] = (struct rn__event){.tag = p->tags[fd], .bits = RN__ERR | RN__RD | RN__WR};
    }
    return used > 0 ? used : -EBADF;
}

static int select_wait(struct rn__poller *poller, rn_time until, struct rn__event *ev, int max)
{
    struct poller *p = self(poller);
    struct timespec room;
    uint64_t count;
    int n;

    p->got_rd = p->rd;
    p->got_wr = p->wr;
    p->got_ex = p->rd;
    n = rn__sys_pselect6(p->end, &p->got_rd, &p->got_wr, &p->got_ex,
                         rn__poller_timeout(until, &room));
    if (n == -EINTR)
        return 0;
    if (n == -ENOMEM)
        return rn__poller_sit_out();
    if (n == -EBADF)
        return report_closed(p, ev, max);
    if (n <= 0)
        return n;
    if (FD_ISSET(p->wake_fd, &p->got_rd))
        (void)rn__sys_read(p->wake_fd, &count, sizeof count);
    return report(p, ev, max);
}

static void select_wake(struct rn__poller *poller)
{
    (void)rn__sys_eventfd_write(self(poller)->wake_fd);
}

const struct rn__poller_ops rn__poller_select = {
    .name = "select",
    .needs_arm = true,
    .needs_del = true,
    .tells = RN__PRI,
    .open = select_open,
    .close = select_close,
    .add = select_add,
    .arm = select_arm,
    .del = select_del,
    .wait = select_wait,
    .wake = select_wake,
};
