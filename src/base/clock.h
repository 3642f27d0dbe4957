/*
 * clock.h - deadlines as absolute nanoseconds of CLOCK_MONOTONIC
 */
#ifndef RN_BASE_CLOCK_H
#define RN_BASE_CLOCK_H

#include "base/base.h"

#define RN__TIME_NEVER INT64_MAX

/* at + span_ns, saturating at RN__TIME_NEVER and at 1; never 0. */
rn_time rn__time_add(rn_time at, rn_time span_ns);

#endif
