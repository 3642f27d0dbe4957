/*
 * slowcall.c - the slowest of the system calls whose time is taken
 *
 * One lock for all blocks: it is taken by snapshots, and where a call is slower than eight others
 * of the last minute. No signal handler makes a counted call, so none waits for it.
 */
#include <pthread.h>

#include "base/sys.h"

static pthread_mutex_t slow_lock = PTHREAD_MUTEX_INITIALIZER;

/* Nothing is wrong when these take long. */
static bool waits_by_intent(enum rn__sys_row row)
{
    return row == RN__SYS_epoll_wait || row == RN__SYS_epoll_pwait2 || row == RN__SYS_ppoll ||
           row == RN__SYS_pselect6 || row == RN__SYS_io_uring_enter;
}

void rn__sys_add_slow(struct rn__sys_block *b, enum rn__sys_row row, rn_time now, rn_time took)
{
    int i;

    if (waits_by_intent(row))
        return;
    pthread_mutex_lock(&slow_lock);
    i = rn__slowest_put(&b->slowest, now, took);
    if (i >= 0)
        b->slow_rows[i] = row;
    pthread_mutex_unlock(&slow_lock);
}

int rn__sys_slowest(const struct rn__sys_block *block, struct rn__sys_slow ret[static RN__SLOWEST])
{
    rn_time now = rn_now();
    int n = 0;

    pthread_mutex_lock(&slow_lock);
    for (int i = 0; i < RN__SLOWEST; i++)
        if (rn__slowest_has(&block->slowest, i, now))
            ret[n++] = (struct rn__sys_slow){.row = block->slow_rows[i],
                                             .at = block->slowest.of[i].at,
                                             .took = block->slowest.of[i].took};
    pthread_mutex_unlock(&slow_lock);
    return n;
}
