/*
 * times.h - what a histogram says; and the few slowest of many
 */
#ifndef RN_OBSERVE_TIMES_H
#define RN_OBSERVE_TIMES_H

#include "base/hist.h"
#include <runnel/stats.h>

void rn__times_fill(rn_stats_times *t, const struct rn__hist *h, uint64_t sum_ns);

/* The place of one among *n of `bytes` each, slowest first, whose times are rn_time at an offset;
 * the others make room. NULL: RN_STATS_SLOW are slower. */
void *rn__slow_place(void *items, int *n, size_t bytes, size_t took_at, rn_time took);

/* requests.c: each rn_http_stats there is, up to `most`, summed up; how many. */
int rn__http_stats_read(rn_stats_http *ret, int most);
int rn__http_stats_count(void);

#endif
