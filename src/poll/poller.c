/*
 * poller.c - what all pollers share: their names, and how a deadline becomes a timeout
 */
#include "poll/poller.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"

static const struct rn__poller_ops *const pollers[] = {&rn__poller_epoll, &rn__poller_poll};

const struct rn__poller_ops *rn__poller_by_name(const char *name)
{
    if (name == NULL)
        return pollers[0];
    for (size_t i = 0; i < RN_COUNT_OF(pollers); i++)
        if (strcmp(pollers[i]->name, name) == 0)
            return pollers[i];
    return NULL;
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
