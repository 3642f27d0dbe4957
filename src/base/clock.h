/*
 * clock.h - deadlines as absolute nanoseconds of CLOCK_MONOTONIC
 */
#ifndef RN_BASE_CLOCK_H
#define RN_BASE_CLOCK_H

#include "base/base.h"

#define RN__TIME_NEVER INT64_MAX

/* at + span_ns, saturating at RN__TIME_NEVER and at 1; never 0: that means "no deadline", and what
 * lies before the clock's start has passed all the same. */
static inline rn_time rn__time_add(rn_time at, rn_time span_ns)
{
    rn_time sum;

    if (__builtin_add_overflow(at, span_ns, &sum))
        return span_ns > 0 ? RN__TIME_NEVER : 1;
    return sum < 1 ? 1 : sum;
}

#endif
