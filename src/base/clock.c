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

rn_time rn_after(rn_time span_ns)
{
    return rn__time_add(rn_now(), span_ns);
}
