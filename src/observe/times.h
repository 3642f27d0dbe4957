/*
 * times.h - what a histogram says
 */
#ifndef RN_OBSERVE_TIMES_H
#define RN_OBSERVE_TIMES_H

#include "base/hist.h"
#include <runnel/stats.h>

void rn__times_fill(rn_stats_times *t, const struct rn__hist *h, uint64_t sum_ns);

/* requests.c: each rn_http_stats there is, up to `most`, summed up; how many. */
int rn__http_stats_read(rn_stats_http *ret, int most);
int rn__http_stats_count(void);

#endif
