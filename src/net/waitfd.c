/*
 * waitfd.c - waiting for other people's descriptors
 *
 * Each wait has an I/O wait of its own for as long as it lasts: two more system calls, but nothing
 * that could outlive the library's own use of its descriptor. epoll knows a descriptor once; a
 * second coroutine waiting for the same one registers a duplicate.
 */
#include "net/net.h"

static const struct rn__wait_kind wait_fd = {.name = "wait fd", .interrupt = rn__iowait_interrupt};

static int wait_once(int fd, unsigned dirs, rn_time deadline)
{
    struct rn__iowait *w;
    int r = rn__iowait_open(fd, RN__ADD_PLAIN, &w);

    if (r < 0)
        return r;
    w->merged = true;
    w->may_be_shared = true;
    w->fd_dirs = (uint8_t)dirs;
    rn__iowait_set_deadline(w, RN__READ, deadline);
    /* An event for a direction that was not asked for wakes it too: wait again. */
    do {
        rn__iowait_clear(w, RN__READ);
        r = rn__iowait_wait(w, RN__READ, &wait_fd);
    } while (r == 0 && !(atomic_load(&w->ready) & dirs));
    if (r == 0)
        r = (int)(atomic_load(&w->ready) & dirs);
    rn__iowait_close(w, true);
    return r;
}

int rn_wait_fd(int fd, int dirs, rn_time deadline)
{
    int r, copy;

    if (rn__self() == NULL)
        return -EDEADLK;
    if (dirs == 0 || (dirs & ~(RN_READABLE | RN_WRITABLE)) != 0)
        return -EINVAL;
    r = wait_once(fd, (unsigned)dirs, deadline);
    if (r == -EPERM)
        return dirs; /* a regular file: the poller has nothing to tell */
    if (r != -EEXIST)
        return r;
    copy = rn__sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return copy;
    r = wait_once(copy, (unsigned)dirs, deadline);
    (void)rn__sys_close(copy);
    return r;
}
