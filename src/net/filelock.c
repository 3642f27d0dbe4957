/*
 * filelock.c - record locks that do not stop a P
 *
 * F_OFD_SETLK, tried again and again. The kernel tells nobody who is no thread that a lock has
 * become free: the alternative, F_OFD_SETLKW on the offload pool, keeps a thread for each waiter,
 * which no cancel gets out of there; with as many waiters as the pool has threads the holder's own
 * offloaded calls, and with them the unlock, would never run.
 */
#include <runnel/fd.h>

#include "base/sys.h"
#include <runnel/task.h>

#define PAUSE_FIRST RN_MILLISECOND
#define PAUSE_MOST (50 * RN_MILLISECOND)

static int set_lock(int fd, short type, off_t from, off_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len};

    if (from < 0 || len < 0)
        return -EINVAL; /* fcntl would lock what lies before */
    return rn__sys_fcntl(fd, F_OFD_SETLK, (long)&l);
}

int rn_file_lock(int fd, int kind, off_t from, off_t len, rn_time deadline)
{
    rn_time pause = PAUSE_FIRST;

    if (kind != RN_LOCK_SHARED && kind != RN_LOCK_EXCLUSIVE)
        return -EINVAL;
    for (;;) {
        int r = set_lock(fd, kind == RN_LOCK_SHARED ? F_RDLCK : F_WRLCK, from, len);
        rn_time left;

        if (r != -EAGAIN && r != -EACCES)
            return r;
        left = deadline == 0 ? pause : deadline - rn_now();
        if (left <= 0)
            return -ETIME;
        r = rn_sleep(left < pause ? left : pause);
        if (r < 0)
            return r;
        if (pause < PAUSE_MOST)
            pause *= 2;
        if (pause > PAUSE_MOST)
            pause = PAUSE_MOST;
    }
}

int rn_file_unlock(int fd, off_t from, off_t len)
{
    return set_lock(fd, F_UNLCK, from, len);
}
