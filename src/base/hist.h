/*
 * hist.h - log-linear histogram of nanoseconds
 *
 * Eight buckets for each power of two: a value is known to within 12.5 %, from 1 ns to 18 minutes
 * in 304 counters. One writer; readers on other threads see each counter whole (relaxed atomics),
 * and the sum of what they see may lag by the samples under way.
 */
#ifndef RN_BASE_HIST_H
#define RN_BASE_HIST_H

#include <stdatomic.h>

#include "base/base.h"

#define RN__HIST_SUB_BITS 3
#define RN__HIST_SUB (1 << RN__HIST_SUB_BITS)
#define RN__HIST_TOP_BIT 40
#define RN__HIST_BUCKETS ((RN__HIST_TOP_BIT - RN__HIST_SUB_BITS + 1) * RN__HIST_SUB)

struct rn__hist {
    _Atomic uint32_t buckets[RN__HIST_BUCKETS];
};

/* The bucket a value falls in; what is too large for the table falls in the last. */
unsigned rn__hist_bucket(uint64_t value);

/* The largest value that falls in a bucket. */
uint64_t rn__hist_upper(unsigned bucket);

void rn__hist_add(struct rn__hist *h, uint64_t value);

/* Adds from's counters to into's. */
void rn__hist_merge(struct rn__hist *into, const struct rn__hist *from);

uint64_t rn__hist_count(const struct rn__hist *h);

/* The upper bound of the bucket that holds the given share (0 < share <= 1) of the samples;
 * 0 when there are none. */
uint64_t rn__hist_quantile(const struct rn__hist *h, double share);

#endif
