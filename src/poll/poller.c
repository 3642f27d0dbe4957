/*
 * poller.c - what all pollers share: their names, and how a deadline becomes a timeout
 */
#include "poll/poller.h"

#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/clock.h"
#include "base/sys.h"

static const struct rn__poller_ops *const pollers[] = {
    &rn__poller_epoll,    &rn__poller_poll, &rn__poller_select, &rn__poller_epoll_lt,
#ifdef RN_IO_URING
    &rn__poller_io_uring,
#endif
};

const struct rn__poller_ops *rn__poller_by_name(const char *name)
{
    if (name == NULL)
        return pollers[0];
    for (size_t i = 0; i < RN_COUNT_OF(pollers); i++)
        if (strcmp(pollers[i]->name, name) == 0)
            return pollers[i];
    return NULL;
}

const char *rn__poller_names(void)
{
#ifdef RN_IO_URING
    return "epoll, poll, select, epoll-lt, io_uring";
#else
    return "epoll, poll, select, epoll-lt (built without io_uring)";
#endif
}

int rn__poller_check(int fd)
{
    struct stat st;
    int r = rn__sys_fstat(fd, &st);

    if (r < 0)
        return r;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) ? -EPERM : 0;
}

static int report_one(struct rn__poller *p, int fd)
{
    const uint64_t tag = 1;
    struct rn__event ev = {.tag = 0};
    int r = p->ops->add(p, fd, tag, RN__ADD_PLAIN);

    if (r == 0)
        r = p->ops->arm(p, fd, RN__RD);
    if (r == 0)
        r = p->ops->wait(p, rn_after(RN_SECOND), &ev, 1);
    p->ops->del(p, fd);
    if (r < 0)
        return r;
    return r == 1 && ev.tag == tag && (ev.bits & RN__RD) ? 0 : -EINVAL;
}

int rn__poller_try(const struct rn__poller_ops *ops)
{
    struct rn__poller *p;
    int r = ops->open(&p), fd;

    if (r < 0)
        return r;
    r = fd = rn__sys_eventfd2(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd >= 0) {
        r = report_one(p, fd);
        (void)rn__sys_close(fd);
    }
    ops->close(p);
    return r;
}

int rn__poller_sit_out(void)
{
    static const struct timespec moment = {.tv_nsec = RN_MILLISECOND};

    (void)rn__sys_ppoll(NULL, 0, &moment); /* of nothing: needs none */
    return 0;
}

const struct timespec *rn__poller_timeout(rn_time until, struct timespec *ts)
{
    rn_time left = 0;

    if (until == RN__TIME_NEVER)
        return NULL;
    /* 0 is the common "just look": it costs no clock reading. */
    if (until != 0) {
        rn_time now = rn_now();

        left = until > now ? until - now : 0;
    }
    ts->tv_sec = left / RN_SECOND;
    ts->tv_nsec = left % RN_SECOND;
    return ts;
}
