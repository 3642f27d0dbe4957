/*
 * clock.c - the monotonic clock and arithmetic on deadlines that cannot overflow
 */
#include <time.h>

#include "base/clock.h"

rn_time rn_now(void)
{
    struct timespec ts;

    /* Cannot fail: the clock exists on every Linux and ts is ours. Served by the vDSO, so it is
     * no row of the system-call table. */
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (rn_time)ts.tv_sec * RN_SECOND + ts.tv_nsec;
}

rn_time rn__time_add(rn_time at, rn_time span_ns)
{
    rn_time sum;

    if (__builtin_add_overflow(at, span_ns, &sum))
        return span_ns > 0 ? RN__TIME_NEVER : 1;
    /* 0 means "no deadline", and what lies before the clock's start has passed all the same. */
    return sum < 1 ? 1 : sum;
}

rn_time rn_after(rn_time span_ns)
{
    return rn__time_add(rn_now(), span_ns);
}
