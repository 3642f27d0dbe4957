/*
 * times.c - a histogram's quantiles, and its counters in coarser buckets; the few slowest of many
 *
 * The bounds of ours are powers of two, so each bucket of the histogram falls whole into one.
 */
#include "observe/times.h"

#include <string.h>

#define FIRST_BITS 8 /* bucket 0: below 2^8 ns */

static int bucket_of(uint64_t upper)
{
    int bits = upper == 0 ? 0 : 64 - __builtin_clzll(upper);

    if (bits <= FIRST_BITS)
        return 0;
    bits -= FIRST_BITS;
    return bits < RN_STATS_BUCKETS ? bits : RN_STATS_BUCKETS - 1;
}

void rn__times_fill(rn_stats_times *t, const struct rn__hist *h, uint64_t sum_ns)
{
    t->n = 0;
    t->sum_ns = sum_ns;
    for (unsigned i = 0; i < RN__HIST_BUCKETS; i++) {
        uint32_t n = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);

        if (n == 0)
            continue;
        t->n += n;
        t->buckets[bucket_of(rn__hist_upper(i))] += n;
        t->max_ns = (rn_time)rn__hist_upper(i);
    }
    t->p50_ns = (rn_time)rn__hist_quantile(h, 0.5);
    t->p90_ns = (rn_time)rn__hist_quantile(h, 0.9);
    t->p99_ns = (rn_time)rn__hist_quantile(h, 0.99);
}

static rn_time took_of(const char *item, size_t took_at)
{
    rn_time took;

    memcpy(&took, item + took_at, sizeof took);
    return took;
}

void *rn__slow_place(void *items, int *n, size_t bytes, size_t took_at, rn_time took)
{
    char *first = items;
    int i = 0;

    while (i < *n && took_of(first + (size_t)i * bytes, took_at) >= took)
        i++;
    if (i == RN_STATS_SLOW)
        return NULL;
    if (*n < RN_STATS_SLOW)
        ++*n;
    memmove(first + (size_t)(i + 1) * bytes, first + (size_t)i * bytes,
            (size_t)(*n - 1 - i) * bytes);
    return first + (size_t)i * bytes;
}
